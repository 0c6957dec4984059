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

use flyball_engine::reference;
use flyball_models::onnx::{Fallback, OnnxFile, lowered};
use flyball_models::{ModelError, limits};

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

fn run(bytes: &[u8]) -> Result<(), ModelError> {
    let file = OnnxFile::read(bytes)?;
    let typed = file.typed(1)?;
    let shape = |slot: usize| typed.input_fact(slot).ok().and_then(|f| f.shape.as_concrete().map(<[usize]>::to_vec));
    let shapes: Vec<Vec<usize>> = (0..typed.inputs.len()).map(|slot| shape(slot).expect("typed is static")).collect();
    let zeros: Vec<Vec<f32>> = shapes.iter().map(|s| vec![0.0; s.iter().product()]).collect();
    let refused = match lowered(&typed) {
        Ok(graph) => {
            let wide: Vec<Vec<f64>> = zeros.iter().map(|v| vec![0.0; v.len()]).collect();
            let answers = reference::evaluate(&graph, &wide);
            assert_eq!(answers.len(), graph.outputs().len());
            None
        }
        Err(error) => Some(error),
    };
    let fed: Vec<(&[usize], &[f32])> = shapes.iter().zip(&zeros).map(|(s, z)| (s.as_slice(), z.as_slice())).collect();
    let answer = Fallback::new(typed).and_then(|mut plan| plan.run(&fed));
    match (refused, answer) {
        (Some(error), Err(_)) => Err(error),
        _ => Ok(()),
    }
}
