//! The six seams: `FieldInput`, `FieldOutput`, `Predictor`, `Optimizer`, `Clock`, `Probe`. There are no others.
//!
//! Everything the scan needs from the world comes through these; adapters, models, rigs and replays implement them.

use crate::domain::Pca;
use crate::image::{InputImage, OutputImage};
use crate::interval::ErrorQuantiles;
use crate::optimum::{Optimum, Problem};
use crate::state::Archive;
use crate::time::{ScanCycle, Timestamp};
use crate::watch::basis::Basis;

/// %I side: copies the newest readings into the image. Never waits.
pub trait FieldInput {
    /// Freezes the newest inputs for this scan. Bounded by the number of tags.
    fn freeze(&mut self, cycle: &ScanCycle, image: &mut InputImage);
}

/// %Q side: hands the image to the links. Never waits for the wire.
pub trait FieldOutput {
    /// Posts the cells that are set. The links discard what they cannot send before `image.not_after`.
    fn flush(&mut self, cycle: &ScanCycle, image: &OutputImage);
}

/// A neural model.
pub trait Predictor: Send {
    /// Numbers in, in the order of `Model::inputs`.
    fn inputs(&self) -> usize;
    /// Numbers out, in the order of `Model::outputs`.
    fn outputs(&self) -> usize;
    /// Training range of an input in EU; values outside are limited to it by the caller and the prediction becomes Uncertain.
    fn input_range(&self, input: usize) -> (f64, f64);
    /// One prediction. `features.len() == inputs()`, `out.len() == outputs()`. Work is fixed by the model.
    ///
    /// # Errors
    /// A fault when an output is not finite or the engine failed; `out` is then unspecified.
    fn predict(&mut self, features: &[f64], out: &mut [f64]) -> Result<(), PredictFault>;
    /// What the model file says about its own limits. Asked once, at start; may allocate.
    fn trust(&self) -> TrustData {
        TrustData::default()
    }
    /// Runs after a reset from which on an answer counts: the steps of its window. 1 for a model without memory.
    fn warm_up(&self) -> u32 {
        1
    }
    /// Forgets earlier runs. A model with memory sees equally spaced steps: after a gap it starts anew.
    fn reset(&mut self) {}
    /// What its file says about its commissioning, for the watch. Asked once at start.
    fn basis(&self) -> Basis {
        Basis::default()
    }
    /// Keeps what it remembers of earlier runs, for whoever replays from the middle; nothing for a model without memory.
    fn keep(&mut self, _archive: &mut Archive<'_>) {}
}

/// What a model file says about where the model may be believed, and how far. All in the configuration's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrustData {
    /// The training inputs, for T2 and SPE.
    pub domain: Option<Pca>,
    /// Size of the error per output; empty when the file gives none.
    pub errors: Vec<ErrorQuantiles>,
}

/// Why a prediction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PredictFault {
    /// An output was NaN or infinite.
    NotFinite,
    /// The engine returned an error.
    Engine,
}

/// The setpoint optimiser. Anytime: the answer starts as "stay here" and only improves.
pub trait Optimizer: Send {
    /// Begins a solve of this problem; `last` is the answer of the solve before, to start from.
    fn begin(&mut self, problem: &Problem, last: &Optimum);
    /// Works on within the iterations of one scan, fixed at start; asks `probe.over_budget()` once per iteration as a safety net. True when
    /// the solve is complete: then, and only then, `optimum` is the new answer.
    fn proceed(&mut self, optimum: &mut Optimum, probe: &mut dyn Probe) -> bool;
    /// A whole solve.
    fn optimise(&mut self, problem: &Problem, optimum: &mut Optimum, probe: &mut dyn Probe) {
        self.begin(problem, optimum);
        while !self.proceed(optimum, probe) {}
    }
    /// The map at a point: `inputs` in the order of `Model::inputs`, MVs filled in. False when an output is not finite.
    fn evaluate(&mut self, inputs: &[f64], outputs: &mut [f64]) -> bool;
    /// One step of the model's time: inputs as for `evaluate`, MVs where they stand now, and the plant's present value of each output where it
    /// is known. Called at the model's interval, before a solve of the same scan; a map without memory needs none.
    fn observe(&mut self, _inputs: &[f64], _plant: &[Option<f64>]) {}
    /// Forgets what was observed: after a gap a model with memory starts anew.
    fn reset(&mut self) {}
    /// Keeps what it remembers between two solves beside the last answer, for whoever replays from the middle.
    fn keep(&mut self, _archive: &mut Archive<'_>) {}
}

/// Time. Only the executive and the links hold one; the scan never sees it.
pub trait Clock: Send + Sync {
    /// Monotonic now.
    fn now(&self) -> Timestamp;
    /// Waits until `at`; returns at once when that is past.
    fn wait_until(&self, at: Timestamp);
}

/// Phases of a scan, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Phase {
    /// Inputs frozen.
    Freeze,
    /// Samples judged, features made.
    Condition,
    /// Models run.
    Predict,
    /// Setpoints searched.
    Optimise,
    /// Setpoints guarded, mode transition done.
    Guard,
    /// Outputs posted.
    Flush,
}

/// Number of phases.
pub const PHASES: usize = 6;

/// Watches a scan from outside. The live probe reads the clock; the replay probe does nothing.
pub trait Probe {
    /// The end of a phase.
    fn mark(&mut self, phase: Phase);
    /// True when the running stage has used up its time budget. A replay answers what was recorded.
    fn over_budget(&mut self) -> bool {
        false
    }
}

/// A probe that does nothing: for replay, simulation and tests.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn mark(&mut self, _phase: Phase) {}
}
