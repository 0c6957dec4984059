//! Why: SIGTERM and SIGINT end the program in order; a second one ends it at once.
//!
//! The first signal only sets a flag that main and the links look at: heartbeat stopped, sessions closed, last state said. Who asks
//! twice is obeyed: the terminal is restored and the process ends with exit code 130; the PLC sheds by its heartbeat time-out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Exit code after a second signal (128 + SIGINT, as shells have it).
const EXIT_IMPATIENT: i32 = 130;

/// The stop flag, set by the first SIGTERM or SIGINT.
///
/// SYNC POINT: set once, read with Relaxed; it carries no other data.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Installs the handlers; one thread named `signals` waits for them.
    ///
    /// # Errors
    /// When the operating system refuses a handler or a thread.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::manual();
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let flag = stop.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                if flag.0.swap(true, Ordering::Relaxed) {
                    crate::view::give_back();
                    // No farewell and no exit handlers: whoever asks twice has waited long enough.
                    signal_hook::low_level::exit(EXIT_IMPATIENT);
                }
            }
        })?;
        Ok(stop)
    }

    /// A flag without handlers, for runs inside tests and benches.
    #[must_use]
    pub fn manual() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Asks for the end, as a signal does.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True once the end was asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for `link_pair`.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}
