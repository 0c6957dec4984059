//! Shadow: a candidate model that runs beside the active one on the same inputs and is never used for control.
//!
//! Both see the same late samples by the same rules, so their errors can be compared sample by sample. Promotion swaps the two in place
//! at the beginning of a scan: both engines exist from the start, nothing is allocated, and the swapped-out model goes on as the shadow,
//! so that it can be rolled back at once. Nobody but an Engineer swaps them, and each swap forces the application to ADVISORY.

use flyball_config::{Model, ModelRole};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::bias::{BiasState, SampleVerdict};
use crate::bounds::MODEL_OUTPUTS_MAX;
use crate::ports::Predictor;
use crate::time::{Timestamp, nanos};
use crate::watch::{LateSample, ModelWatch, WatchReport};

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

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    error: f64,
    square: f64,
    covered: u32,
    with_interval: u32,
}

impl Sums {
    fn add(&mut self, sample: &LateSample) {
        self.error += sample.error;
        self.square += sample.error * sample.error;
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
#[derive(Debug, Clone, Copy, Default)]
struct Compared {
    samples: u32,
    first: Timestamp,
    last: Timestamp,
    active: Sums,
    shadow: Sums,
}

impl Compared {
    fn add(&mut self, active: &LateSample, shadow: &LateSample) {
        if self.samples == u32::MAX {
            return;
        }
        if self.samples == 0 {
            self.first = active.taken;
        }
        self.last = active.taken.max(self.last);
        self.samples += 1;
        self.active.add(active);
        self.shadow.add(shadow);
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
    /// Its bias per output, EU.
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

/// The parts of a soft sensor that belong to its model file and change places in a swap.
pub struct Parts<'a> {
    /// The engine.
    pub engine: &'a mut Box<dyn Predictor>,
    /// Bias per output that has a rule.
    pub biases: &'a mut Vec<Option<BiasState>>,
    /// Runs since the engine's memory was empty.
    pub runs: &'a mut u32,
    /// The watch.
    pub watch: &'a mut ModelWatch,
}

/// A candidate beside a soft sensor.
pub struct Shadow {
    engine: Box<dyn Predictor>,
    biases: Vec<Option<BiasState>>,
    runs: u32,
    watch: ModelWatch,
    raw: Vec<Option<f64>>,
    compared: Vec<Compared>,
    promoted: bool,
}

impl Shadow {
    /// For a soft sensor with this engine. Allocates everything.
    #[must_use]
    pub fn new(model: &Model, engine: Box<dyn Predictor>) -> Self {
        assert_eq!(engine.inputs(), model.inputs.len(), "contract check matches inputs by name");
        assert_eq!(engine.outputs(), model.outputs.len(), "contract check matches outputs by name");
        let outputs = model.outputs.len();
        Self {
            watch: ModelWatch::new(&engine.basis(), outputs),
            biases: model.outputs.iter().map(|o| o.bias.map(|b| BiasState::new(b, model.every))).collect(),
            runs: 0,
            raw: vec![None; outputs],
            compared: vec![Compared::default(); outputs],
            promoted: false,
            engine,
        }
    }

    /// Runs on the inputs of the active model, each limited to the training range of this one. Same bounds as the active model.
    pub fn run(&mut self, now: Timestamp, inputs: &[f64]) {
        let mut limited = [0.0; crate::bounds::MODEL_INPUTS_MAX];
        let mut out = [0.0; MODEL_OUTPUTS_MAX];
        let mut inside = true;
        for (i, value) in inputs.iter().enumerate() {
            let (low, high) = self.engine.input_range(i);
            limited[i] = value.clamp(low, high);
            inside &= (limited[i] - value).abs() <= crate::sensor::DOMAIN_MARGIN * (high - low);
        }
        self.watch.ran(now, inputs, inside);
        let outputs = self.raw.len();
        if self.engine.predict(&limited[..inputs.len()], &mut out[..outputs]).is_err() {
            self.gap(now);
            return;
        }
        self.runs = self.runs.saturating_add(1);
        let warm = self.runs >= self.engine.warm_up();
        for (i, raw) in self.raw.iter_mut().enumerate() {
            *raw = Some(out[i]).filter(|_| warm);
            if let Some(bias) = &mut self.biases[i] {
                bias.remember(now, raw.filter(|_| inside));
            }
        }
    }

    /// The active model could not run: nor could this one.
    pub fn gap(&mut self, now: Timestamp) {
        self.engine.reset();
        self.runs = 0;
        self.raw.fill(None);
        self.biases.iter_mut().flatten().for_each(|bias| bias.remember(now, None));
    }

    /// Offers a late sample that the active model was offered, with what it said; the same rules apply to both.
    pub fn late(&mut self, output: usize, now: Timestamp, value: Option<f64>, active: &LateSample) {
        let Some(bias) = &mut self.biases[output] else { return };
        if let Some(own) = offer(bias, now, value, active.taken) {
            self.watch.late(output, &own);
            if own.accepted && active.accepted {
                self.compared[output].add(active, &own);
            }
        }
    }

    /// Swaps the two models: `promote` makes the candidate the active one, false brings the original one back. Allocates nothing.
    ///
    /// # Errors
    /// The first rule that stands against it. Rolling back is refused only when nothing was promoted.
    pub fn swap(&mut self, promote: bool, active: Parts<'_>) -> Result<(), SwapRefusal> {
        self.may_swap(promote)?;
        std::mem::swap(&mut self.engine, active.engine);
        std::mem::swap(&mut self.biases, active.biases);
        std::mem::swap(&mut self.runs, active.runs);
        std::mem::swap(&mut self.watch, active.watch);
        // What was learnt of samples in the other role says nothing about this one.
        for bias in self.biases.iter_mut().chain(active.biases.iter_mut()).flatten() {
            bias.reset();
        }
        self.watch.restart();
        active.watch.restart();
        self.compared.fill(Compared::default());
        self.raw.fill(None);
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
        if self.raw.iter().any(Option::is_none) {
            return Err(SwapRefusal::NotReady);
        }
        // The output with the fewest samples decides; outputs without a bias rule never get one.
        let ruled =
            || self.compared.iter().zip(&self.biases).filter(|(_, bias)| bias.is_some()).map(|(c, _)| c.report());
        let (samples, over) =
            (ruled().map(|c| c.samples).min().unwrap_or(0), ruled().map(|c| c.over).min().unwrap_or_default());
        if samples < COMPARED_SAMPLES && nanos(over) < nanos(COMPARED_TIME) {
            return Err(SwapRefusal::TooEarly(samples, (over.as_secs() / 3600) as u32));
        }
        Ok(())
    }

    /// Fills a report of the right size; allocates nothing.
    pub fn report(&self, out: &mut ShadowReport) {
        out.promoted = self.promoted;
        for (i, raw) in self.raw.iter().enumerate() {
            out.biases[i] = self.biases[i].as_ref().map_or(0.0, |b| b.bias);
            out.values[i] = raw.map(|r| r + out.biases[i]);
            out.compared[i] = self.compared[i].report();
        }
        self.watch.report(&mut out.watch);
    }
}

/// Offers a sample to a bias and tells the watch's side of it; None when this sample was looked at before.
pub fn offer(bias: &mut BiasState, now: Timestamp, value: Option<f64>, taken: Timestamp) -> Option<LateSample> {
    let before = bias.bias;
    let verdict = bias.offer(now, value, taken)?;
    Some(LateSample {
        taken,
        accepted: verdict == SampleVerdict::Accepted,
        raw_error: bias.last_error,
        error: bias.last_error - before,
        covered: None,
        bias_at_limit: LateSample::at_limit(bias.bias, bias.total()),
    })
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
