//! Late samples: results of an analyser or a laboratory, which tell of a time that is past, and what became of each.
//!
//! Whoever judges a model by its samples (bias, interval, watching) reads the outcomes of one scan here and nowhere else.

use flyball_config::PredictionId;
use serde::{Deserialize, Serialize};

use crate::bounds::{COMMANDS_PER_SCAN, PREDICTIONS_MAX};
use crate::time::Timestamp;

/// Late samples of one scan: at most one per prediction from its tag, and those that were typed.
pub const SAMPLES_PER_SCAN: usize = PREDICTIONS_MAX + COMMANDS_PER_SCAN;

/// The outcomes of one scan.
pub type Samples = heapless::Vec<SampleOutcome, SAMPLES_PER_SCAN>;

/// Why a sample was or was not used. The rules are in `bias.rs`, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SampleVerdict {
    /// Taken.
    Accepted,
    /// Far from what was predicted: waits for a second sample that says the same.
    Held,
    /// Sample time lies in the future.
    FromFuture,
    /// Younger than a result can be.
    TooFresh,
    /// Older than `oldest`.
    TooOld,
    /// The value is Bad.
    NotUsable,
    /// Outside what a healthy instrument can show.
    Implausible,
    /// The model had no prediction at that time.
    NoPrediction,
    /// The prediction at that time was not Good.
    ModelNotGood,
    /// The process was not steady at that time.
    NotSteady,
}

/// Reasons to refuse.
pub const REFUSALS: usize = 9;

impl SampleVerdict {
    /// All reasons, in the order of `refusal`.
    pub const ALL_REFUSALS: [Self; REFUSALS] = [
        Self::Held,
        Self::FromFuture,
        Self::TooFresh,
        Self::TooOld,
        Self::NotUsable,
        Self::Implausible,
        Self::NoPrediction,
        Self::ModelNotGood,
        Self::NotSteady,
    ];

    /// Number of the reason; None when the sample was taken. A held sample counts as refused: alone it changes nothing.
    #[must_use]
    pub fn refusal(self) -> Option<usize> {
        Self::ALL_REFUSALS.iter().position(|v| *v == self)
    }
}

/// One late sample of one scan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampleOutcome {
    /// Of which prediction.
    pub output: PredictionId,
    /// When it was taken.
    pub taken: Timestamp,
    /// Its result, EU; None when it has none that could be shown.
    pub value: Option<f64>,
    /// The model's own output at that time, EU; None when there was none.
    pub raw: Option<f64>,
    /// Bias before this sample, EU.
    pub bias_before: f64,
    /// Sample minus the prediction that was shown for that time (the bias of that time included), EU.
    pub error_after_bias: Option<f64>,
    /// The sample lay inside the interval that was shown for that time; None when none was shown.
    pub covered: Option<bool>,
    /// By how much that interval was wider for the operating mode; 1 for no wider.
    pub interval_factor: f64,
    /// The bias stands at its total after it.
    pub at_total: bool,
    /// What became of it.
    pub verdict: SampleVerdict,
}
