//! Why: `flyball demo`: the whole program on this machine, over real sockets, against simulated and recorded plants.

pub mod folder;
pub mod r101;
pub mod rig;
pub mod te4;
pub mod turbine;

use crate::logging::{self, LogForm, LogRing};
use crate::view::Screen;

/// Takes the terminal for the live view, or stays with lines; the log goes into the view's ring or to stderr.
fn open(plain: bool) -> Result<(Screen, LogRing), String> {
    let screen = Screen::open(plain).map_err(|e| format!("the terminal refuses ({e}); use --plain"))?;
    if screen.is_live() {
        return Ok((screen, logging::to_ring()?));
    }
    logging::to_stderr(LogForm::Text)?;
    Ok((screen, LogRing::default()))
}

/// The terminal went away while it was drawn on.
fn gone(e: &std::io::Error) -> String {
    format!("the terminal is gone ({e}); use --plain")
}

/// Exit code of a demonstration: 0 everything required was reached; 1 it was not; 2 it could not run.
fn exit_code(name: &str, played: Result<bool, String>) -> u8 {
    match played {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(sentence) => {
            eprintln!("flyball demo {name}: {sentence}");
            2
        }
    }
}
