//! Shadow: a candidate model that runs beside the active one on the same inputs and is never used for control.
//!
//! Both see the same late samples by the same rules, so their errors can be compared sample by sample. Promotion swaps the two in place
//! at the beginning of a scan: both engines exist from the start, nothing is allocated, and the swapped-out model goes on as the shadow,
//! so that it can be rolled back at once. Nobody but an Engineer swaps them, and each swap forces the application to ADVISORY.

use flyball_config::{Model, ModelRole};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::sample::{SampleOutcome, SampleVerdict};
use crate::sensor::running::{Run, RunningModel};
use crate::sensor::{Prediction, PredictionReason};
use crate::state::Archive;
use crate::status::Status;
use crate::time::{Timestamp, nanos};
use crate::watch::WatchReport;

/// Samples after which a comparison may decide (domain guide 4.6).
pub const COMPARED_SAMPLES: u32 = 30;
/// Or this long.
pub const COMPARED_TIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// Why a model was not swapped with its shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwapRefusal {
    /// The model has no shadow.
    NoShadow,
    /// The shadow has no usable prediction: its windows are not full, or its inputs are Bad.
    NotReady,
    /// Too few samples for too short a time: so many, and so many whole hours.
    TooEarly(u32, u32),
    /// The candidate is the active model already.
    AlreadyPromoted,
    /// The candidate was not promoted.
    NothingToRollBack,
}

/// Errors of both models at the same samples; running sums.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Side {
    /// Root of the mean squared error, EU.
    pub rmsep: f64,
    /// Mean error, sample minus prediction, EU.
    pub mean: f64,
    /// Share of the samples inside the interval, 0 to 1; None when none had one.
    pub coverage: Option<f64>,
}

/// One output of both models over the same samples.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// Samples that both models took.
    pub samples: u32,
    /// From the first to the last of them, as taken.
    pub over: Duration,
    /// The active model.
    pub active: Side,
    /// The shadow.
    pub shadow: Side,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Sums {
    error: f64,
    square: f64,
    covered: u32,
    with_interval: u32,
}

impl Sums {
    fn add(&mut self, error: f64, sample: &SampleOutcome) {
        self.error += error;
        self.square += error * error;
        self.with_interval += u32::from(sample.covered.is_some());
        self.covered += u32::from(sample.covered == Some(true));
    }

    fn side(&self, samples: u32) -> Side {
        let n = f64::from(samples.max(1));
        let coverage = (self.with_interval > 0).then(|| f64::from(self.covered) / f64::from(self.with_interval));
        Side { rmsep: (self.square / n).sqrt(), mean: self.error / n, coverage }
    }
}

/// What both models said of the samples of one output.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Compared {
    samples: u32,
    first: Timestamp,
    last: Timestamp,
    active: Sums,
    shadow: Sums,
}

impl Compared {
    /// Counts a sample that both models took.
    fn add(&mut self, active: &SampleOutcome, shadow: &SampleOutcome) {
        let taken = |s: &SampleOutcome| s.error_after_bias.filter(|_| s.verdict == SampleVerdict::Accepted);
        let Some((error, own)) = taken(active).zip(taken(shadow)).filter(|_| self.samples < u32::MAX) else { return };
        if self.samples == 0 {
            self.first = active.taken;
        }
        self.last = active.taken.max(self.last);
        self.samples += 1;
        self.active.add(error, active);
        self.shadow.add(own, shadow);
    }

    fn report(&self) -> Comparison {
        Comparison {
            samples: self.samples,
            over: self.last.since(self.first),
            active: self.active.side(self.samples),
            shadow: self.shadow.side(self.samples),
        }
    }
}

/// What is shown of a shadow. Lists are sized at start.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ShadowReport {
    /// The candidate is the active model now, and the original one its shadow.
    pub promoted: bool,
    /// Its prediction per output, EU; None when not usable.
    pub values: Vec<Option<f64>>,
    /// Bias that was added to each, EU.
    pub biases: Vec<f64>,
    /// Its watch.
    pub watch: WatchReport,
    /// Both over the same samples, per output.
    pub compared: Vec<Comparison>,
}

/// What is shown of one model of the configuration; empty for a map.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelReport {
    /// Its watch.
    pub watch: WatchReport,
    /// Its shadow, if it has one.
    pub shadow: Option<ShadowReport>,
}

impl ModelReport {
    /// An empty report of the right size.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        if model.role == ModelRole::Map {
            return Self::default();
        }
        let outputs = model.outputs.len();
        let watch = WatchReport::new(model.inputs.len(), outputs);
        let shadow = model.shadow.as_ref().map(|_| ShadowReport {
            promoted: false,
            values: vec![None; outputs],
            biases: vec![0.0; outputs],
            watch: watch.clone(),
            compared: vec![Comparison::default(); outputs],
        });
        Self { watch, shadow }
    }

    /// Copies without allocating; both are of the same model.
    pub fn copy_from(&mut self, other: &Self) {
        self.watch.copy_from(&other.watch);
        if let (Some(to), Some(from)) = (&mut self.shadow, &other.shadow) {
            to.promoted = from.promoted;
            to.values.copy_from_slice(&from.values);
            to.biases.copy_from_slice(&from.biases);
            to.watch.copy_from(&from.watch);
            to.compared.copy_from_slice(&from.compared);
        }
    }
}

/// A candidate beside a soft sensor.
pub(crate) struct Shadow {
    model: RunningModel,
    predictions: Vec<Prediction>,
    compared: Vec<Compared>,
    promoted: bool,
}

impl Shadow {
    /// For a soft sensor, with its candidate. Allocates everything.
    pub(crate) fn new(config: &Model, candidate: RunningModel) -> Self {
        let outputs = config.outputs.len();
        Self {
            model: candidate,
            predictions: vec![Prediction::WAITING; outputs],
            compared: vec![Compared::default(); outputs],
            promoted: false,
        }
    }

    /// Keeps which of the two is active, the other one, what it said, and the comparison.
    pub(crate) fn keep(&mut self, archive: &mut Archive<'_>, active: &mut RunningModel) {
        let was = self.promoted;
        archive.keep(&mut self.promoted);
        if self.promoted != was {
            std::mem::swap(&mut self.model, active);
        }
        self.model.keep(archive);
        archive.keep_all(&mut self.predictions);
        archive.keep_all(&mut self.compared);
    }

    /// Runs on the inputs of the active model, each limited to the training range of this one. Same bounds as the active model.
    pub(crate) fn run(&mut self, config: &Model, run: &Run<'_>) {
        self.model.run(config, run, &mut self.predictions);
    }

    /// The active model could not run on these inputs: nor could this one.
    pub(crate) fn gap(&mut self, now: Timestamp) {
        let (status, reason) = (Status::BadWaitingForInitialData, PredictionReason::Waiting);
        self.model.fail(now, &mut self.predictions, status, reason);
    }

    /// Offers a late sample that the active model was offered, with what it said; the same rules apply to both.
    pub(crate) fn late(&mut self, output: usize, now: Timestamp, active: &SampleOutcome) {
        if let Some(own) = self.model.offer(output, active.output, now, active.value, active.taken) {
            self.compared[output].add(active, &own);
        }
    }

    /// Swaps the two models: `promote` makes the candidate the active one, false brings the original one back. Allocates nothing.
    ///
    /// # Errors
    /// The first rule that stands against it. Rolling back is refused only when nothing was promoted.
    pub(crate) fn swap(&mut self, promote: bool, active: &mut RunningModel) -> Result<(), SwapRefusal> {
        self.may_swap(promote)?;
        std::mem::swap(&mut self.model, active);
        // What was learnt of samples in the other role says nothing about this one.
        self.model.restart();
        active.restart();
        self.compared.fill(Compared::default());
        self.predictions.fill(Prediction::WAITING);
        self.promoted = promote;
        Ok(())
    }

    fn may_swap(&self, promote: bool) -> Result<(), SwapRefusal> {
        if !promote {
            return if self.promoted { Ok(()) } else { Err(SwapRefusal::NothingToRollBack) };
        }
        if self.promoted {
            return Err(SwapRefusal::AlreadyPromoted);
        }
        if self.predictions.iter().any(|p| p.value.is_none()) {
            return Err(SwapRefusal::NotReady);
        }
        // The output with the fewest samples decides; outputs without a bias rule never get one.
        let ruled = || {
            let pairs = self.compared.iter().zip(&self.model.outputs);
            pairs.filter(|(_, output)| output.bias.is_some()).map(|(c, _)| c.report())
        };
        let (samples, over) =
            (ruled().map(|c| c.samples).min().unwrap_or(0), ruled().map(|c| c.over).min().unwrap_or_default());
        if samples < COMPARED_SAMPLES && nanos(over) < nanos(COMPARED_TIME) {
            return Err(SwapRefusal::TooEarly(samples, (over.as_secs() / 3600) as u32));
        }
        Ok(())
    }

    /// Fills a report of the right size; allocates nothing.
    pub(crate) fn report(&self, out: &mut ShadowReport) {
        out.promoted = self.promoted;
        for (i, p) in self.predictions.iter().enumerate() {
            out.biases[i] = p.bias;
            out.values[i] = p.get();
            out.compared[i] = self.compared[i].report();
        }
        self.model.watch.report(&mut out.watch);
    }
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
