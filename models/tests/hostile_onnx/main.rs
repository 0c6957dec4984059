//! Hostile ONNX files: each ends in an error or in a model that runs, and none takes the process down or its memory up.
//!
//! [`nodes`] and [`graphs`] hold files made by hand, each with one absurd wish. [`mutations`] edits good files by a seeded program, as bytes and as
//! messages. Both go all the way that a file can go: read, type, lower, plan, run. What is counted is the peak of allocated bytes; time is
//! bounded by the loader's own counts ([`limits`]), and the slowest file is printed.

mod graphs;
mod mutations;
mod nodes;
#[path = "../support/onnx.rs"]
mod onnx;
mod sheet;

use std::cell::Cell;
use std::sync::Once;
use std::time::{Duration, Instant};

use flyball_models::onnx::OnnxFile;
use flyball_models::{ModelError, Network, limits};

/// Bytes that reading and running a file of kilobytes may hold at once: the tensors of one run, twice, for the copies that folding makes.
pub const PEAK_MAX: u64 = 2 * limits::RUN_BYTES_MAX;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What became of one file.
pub struct Verdict {
    /// Outputs of the run, or the first error.
    pub end: Result<(), ModelError>,
    /// Largest number of bytes allocated at once.
    pub peak: u64,
    /// How long it took, for the reader.
    pub time: Duration,
}

/// Takes a file as far as it goes.
pub fn judge(bytes: &[u8]) -> Verdict {
    static HOOK: Once = Once::new();
    // Panics that the loader catches would fill the screen; one that it does not catch still fails the test.
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    let began = Instant::now();
    let mut end = Ok(());
    QUIET.set(true);
    let peak = allocation_counter::measure(|| end = run(bytes)).bytes_max;
    QUIET.set(false);
    Verdict { end, peak, time: began.elapsed() }
}

/// Both ways that a file can go: the engine's program and tract's plan. An error when neither runs it.
fn run(bytes: &[u8]) -> Result<(), ModelError> {
    let file = OnnxFile::read(bytes)?;
    let ways = [Network::new(file.typed(1)?), Network::on_tract(file.typed(1)?)];
    let mut first = None;
    let mut ran = false;
    for way in ways {
        match way {
            // A run that fails or answers NaN is an answer; what must not be is a panic or a huge allocation.
            Ok(mut network) => ran |= network.run().is_ok(),
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.filter(|_| !ran).map_or(Ok(()), Err)
}
