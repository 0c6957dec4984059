//! Why: owns the terminal while the live view runs and gives it back in every case: end, error, panic, second signal.
//!
//! ratatui's own panic hook restores the terminal before a panic is printed; `Drop` does it on every other way out.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flyball_core::time::Timestamp;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::state::ViewState;
use super::{draw, line};

/// Real time between two lines of the plain form.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// True while the terminal is ours. SYNC POINT: Relaxed, it carries no other data.
static LIVE: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back if it is ours, from any thread: for the ways out that run no `Drop`.
pub fn give_back() {
    if LIVE.swap(false, Ordering::Relaxed) {
        ratatui::restore();
    }
}

/// Where pictures go.
pub enum Screen {
    /// A whole terminal.
    Live(Box<DefaultTerminal>),
    /// One line every few seconds on stdout.
    Plain {
        /// Real time of the next line.
        next: Timestamp,
    },
}

impl Screen {
    /// Takes the terminal when stdout and stdin are one and `plain` is not asked for; else lines.
    ///
    /// # Errors
    /// When the terminal refuses raw mode.
    pub fn open(plain: bool) -> io::Result<Self> {
        if plain || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Ok(Self::Plain { next: Timestamp::ZERO });
        }
        let terminal = ratatui::try_init()?;
        LIVE.store(true, Ordering::Relaxed);
        Ok(Self::Live(Box::new(terminal)))
    }

    /// True when the terminal is drawn on: then nothing else may write to it, log lines included.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// Shows a picture; the plain form leaves most of them out. `now` is real time.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn show(&mut self, state: &ViewState, now: Timestamp) -> io::Result<()> {
        match self {
            Self::Live(terminal) => terminal.draw(|frame| draw(frame, state)).map(|_| ()),
            Self::Plain { next } if now < *next => Ok(()),
            Self::Plain { next } => {
                *next = now.after(LINE_EVERY);
                let mut out = io::stdout().lock();
                writeln!(out, "{}", line(state))?;
                out.flush()
            }
        }
    }

    /// True when the user has typed q, Esc or Ctrl-C (which raw mode delivers as a key, not as a signal). Never waits.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn end_asked(&self) -> io::Result<bool> {
        if !self.is_live() {
            return Ok(false);
        }
        let mut asked = false;
        while event::poll(Duration::ZERO)? {
            let Event::Key(key) = event::read()? else { continue };
            let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            asked |=
                key.kind == KeyEventKind::Press && (ctrl_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc));
        }
        Ok(asked)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}
