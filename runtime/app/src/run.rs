//! Why: `flyball run FILE`: one application beside its PLC until it is told to end.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flyball_config::{Config, load};
use flyball_core::ports::Clock;

use crate::application::{Application, Options};
use crate::cli::Run;
use crate::clock::SystemClock;
use crate::logging::{self, LogRing};
use crate::realtime;
use crate::signals::Stop;
use crate::view::{Faceplate, Screen};

/// Real time between two looks at the end, the screen and the service.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the command. 0: ended as asked; 2: it could not start, or the scan ended by itself.
#[must_use]
pub fn run(arguments: &Run) -> u8 {
    let loaded = load(&arguments.file);
    let problems = loaded.diagnostics.render(false);
    if !problems.is_empty() {
        say(problems.trim_end());
    }
    let Some(config) = loaded.config else { return 2 };
    match begin(arguments, &config) {
        Ok(()) => 0,
        Err(sentence) => {
            logging::finish();
            say(&format!("flyball run: {sentence}"));
            2
        }
    }
}

/// To people at the terminal. What stands behind stderr may be full or gone; that is no reason to leave the PLC (`eprintln!` would panic).
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn begin(arguments: &Run, config: &Config) -> Result<(), String> {
    let stop = Stop::on_signals().map_err(|e| format!("signals cannot be received ({e})"))?;
    let screen = if arguments.view { Some(open_screen()?) } else { None };
    let ring = match &screen {
        Some(screen) if screen.is_live() => logging::to_ring()?,
        _ => {
            logging::to_stderr(arguments.log)?;
            LogRing::default()
        }
    };
    tracing::info!("{}: {}", config.app.name, config.app.description);
    tracing::info!("not a safety function; the PLC keeps authority (docs/SAFETY.md)");
    tracing::info!("{}", realtime::machine());
    let faceplate = Arc::new(Mutex::new(Faceplate::new(config, arguments.time_scale)));
    let observed = Arc::clone(&faceplate);
    let observer = move |record: &_, timing: &_| lock(&observed).take(record, timing);
    let options = Options {
        read_only: arguments.read_only,
        time_scale: arguments.time_scale,
        observer: screen.is_some().then(|| Box::new(observer) as crate::keeper::Observer),
        trust_servers: false,
        recorder: config.recorder.enabled.then(|| config.recorder.clone()),
    };
    let application = Application::start(config, options).map_err(|e| e.0)?;
    tracing::info!("running{}; SIGTERM or Ctrl-C ends it", if arguments.read_only { ", read-only" } else { "" });
    let watched = watch(&application, &stop, screen, &ring, &faceplate);
    let crashed = !stop.asked() && !application.running();
    application.stop();
    watched?;
    if crashed { Err("the scan ended by itself; see the log above".into()) } else { Ok(()) }
}

fn open_screen() -> Result<Screen, String> {
    Screen::open(false).map_err(|e| format!("the terminal refuses the live view ({e}); leave --view out"))
}

fn watch(
    application: &Application,
    stop: &Stop,
    mut screen: Option<Screen>,
    ring: &LogRing,
    faceplate: &Mutex<Faceplate>,
) -> Result<(), String> {
    let clock = SystemClock::start(1);
    let mut served = None;
    while application.running() && !stop.asked() {
        let address = application.service().and_then(|s| s.address);
        if address.is_some() && address != served {
            tracing::info!("OPC UA server: {}", address.as_deref().unwrap_or_default());
            served = address;
        }
        if let Some(screen) = &mut screen {
            let gone = |e: std::io::Error| format!("the terminal is gone ({e})");
            if screen.end_asked().map_err(gone)? {
                break;
            }
            let mut shown = lock(faceplate);
            shown.picture().messages = ring.newest(6);
            screen.show(shown.picture(), clock.now()).map_err(gone)?;
        }
        clock.wait_until(clock.now().after(LOOK));
    }
    Ok(())
}

/// A panic of the other side leaves whole numbers behind.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
