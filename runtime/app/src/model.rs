//! Why: `flyball model show FILE`: what an engineer wants to know of a model file before it is named in a configuration.

use std::io::{Read as _, Write as _};

use crate::cli::ModelShow;
use crate::clock::SystemClock;

/// Carries out the command. Returns the exit code: 0 good, 2 when the file cannot be shown.
#[must_use]
pub fn show(arguments: &ModelShow) -> u8 {
    match text(arguments) {
        Ok(text) => {
            // A reader that has seen enough (`| head`) closes the pipe; that is no error of the file.
            let _ = std::io::stdout().write_all(text.as_bytes());
            0
        }
        Err(why) => {
            eprintln!("{}: {why}", arguments.file.display());
            2
        }
    }
}

fn text(arguments: &ModelShow) -> Result<String, String> {
    let file = std::fs::File::open(&arguments.file).map_err(|e| format!("cannot be read ({e}); check the path"))?;
    let mut bytes = Vec::new();
    // One byte more than allowed is enough for the loader to refuse it.
    let most = flyball_models::limits::FILE_BYTES_MAX + 1;
    file.take(most).read_to_end(&mut bytes).map_err(|e| format!("cannot be read ({e})"))?;
    let shown = flyball_models::show(&bytes, arguments.rows as usize, &SystemClock::start(1));
    shown.map_err(|e| format!("{}; {}; {}", e.found, e.allowed, e.next))
}
