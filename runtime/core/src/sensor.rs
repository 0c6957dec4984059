//! Soft sensors: features into models, outputs into predictions with a quality of their own. The second room of the scan.
//!
//! Here: what a prediction is, and the bank of all soft sensors. `sensor/run.rs` feeds one soft sensor, `sensor/running.rs` runs its
//! model and judges the answer.
//! Between two runs a prediction keeps its old time: it is never re-stamped.

mod run;
pub(crate) mod running;

use flyball_config::{Config, ModelId, ModelRole, PredictionId};
use serde::{Deserialize, Serialize};

use crate::condition::Conditioned;
use crate::domain::{DomainReading, Statistic};
use crate::image::Sample;
use crate::ports::Predictor;
use crate::sample::{REFUSALS, SampleOutcome, SampleVerdict, Samples};
use crate::shadow::{ModelReport, SwapRefusal};
use crate::state::Archive;
use crate::status::Status;
use crate::time::{ScanCycle, Timestamp};
use crate::value::Value;
use run::Sensor;

/// Why a prediction is not simply Good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PredictionReason {
    /// Nothing to say.
    #[default]
    None,
    /// Windows of its inputs are not full yet.
    Waiting,
    /// This input (index in `Model::inputs`) is Bad.
    InputBad(u16),
    /// This input is held, substituted or Uncertain.
    InputUncertain(u16),
    /// This input is outside the range in which the model was trained.
    OutsideTraining(u16),
    /// The inputs are outside the domain by this statistic; this input contributes most.
    OutsideDomain(Statistic, u16),
    /// So far outside that the prediction is Bad.
    FarOutsideDomain(Statistic, u16),
    /// The output is outside `reject_outside`.
    OutputRejected,
    /// The output was limited to its range.
    OutputLimited,
    /// The model gave no number.
    ModelFault,
    /// No late sample was accepted for too long.
    BiasExpired,
    /// Samples ask for more correction than `total` allows: the model needs maintenance.
    BiasAtTotal,
    /// The interval is wider than `too_wide`.
    IntervalTooWide,
}

/// One output of one soft sensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Bias-corrected value in EU; None when Bad.
    pub value: Option<Value>,
    /// Quality.
    pub status: Status,
    /// Why.
    pub reason: PredictionReason,
    /// The model's own output, EU (0 when Bad).
    pub raw: f64,
    /// Bias that was added, EU.
    pub bias: f64,
    /// Half of the prediction interval, EU; None when there is no value or no interval.
    pub half_width: Option<f64>,
    /// Time of the inputs.
    pub time: Timestamp,
    /// Each input is in its training range. Outside, the mode machine freezes and then sheds.
    pub in_range: bool,
    /// Inputs are where the model was trained: each in its range, and all together inside the domain. Outside, the prediction is Uncertain
    /// and stays in use: the corners of a training are outside its 99 %, and optima lie in corners.
    pub in_domain: bool,
    /// T2 and SPE of the inputs; None when the model file brings no data for them, or the model did not run.
    pub domain: Option<DomainReading>,
    /// Late samples.
    pub late: LateFacts,
}

/// What late samples have said about one prediction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LateFacts {
    /// Sample time of the last late sample and what became of it.
    pub last: Option<(Timestamp, SampleVerdict)>,
    /// Its result, EU; None when Bad.
    pub last_value: Option<f64>,
    /// Error of the last accepted sample against the raw prediction, EU.
    pub last_error: f64,
    /// The newest reason to refuse.
    pub last_refusal: Option<SampleVerdict>,
    /// Samples not taken, by `SampleVerdict::ALL_REFUSALS`.
    pub refused: [u32; REFUSALS],
    /// Share of samples that should lie inside the interval; None without interval.
    pub coverage_aimed: Option<f64>,
    /// Share of the newest accepted samples that did, and their number; None before the first.
    pub coverage: Option<(f64, u16)>,
    /// The bias is at its total.
    pub needs_maintenance: bool,
}

impl LateFacts {
    const NONE: Self = Self {
        last: None,
        last_value: None,
        last_error: 0.0,
        last_refusal: None,
        refused: [0; REFUSALS],
        coverage_aimed: None,
        coverage: None,
        needs_maintenance: false,
    };

    /// Samples that were not taken.
    #[must_use]
    pub fn refused_in_all(&self) -> u32 {
        self.refused.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

impl Prediction {
    /// Before the first run.
    pub const WAITING: Self = Self {
        value: None,
        status: Status::BadWaitingForInitialData,
        reason: PredictionReason::Waiting,
        raw: 0.0,
        bias: 0.0,
        half_width: None,
        time: Timestamp::ZERO,
        in_range: false,
        in_domain: false,
        domain: None,
        late: LateFacts::NONE,
    };

    /// The value, if not Bad.
    #[must_use]
    pub fn get(&self) -> Option<f64> {
        self.value.map(Value::get)
    }

    /// Lower and upper end of the prediction interval, EU: about the bias-corrected output, whether that was limited or not.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        let middle = self.raw + self.bias;
        self.half_width.map(|half| (middle - half, middle + half))
    }
}

/// What became of a typed laboratory value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabAnswer {
    /// The output has no bias that it could correct.
    NoBias,
    /// A sample of this time was looked at before.
    SeenBefore,
    /// Judged.
    Judged(SampleVerdict),
}

/// All soft sensors of an application, in file order.
pub struct SensorBank {
    sensors: Vec<Sensor>,
    /// Late samples since the last `take_samples`.
    samples: Samples,
}

impl SensorBank {
    /// Binds engines to the configuration. `engine` is called once per model of role `SoftSensor` and returns its predictor,
    /// whose inputs and outputs are in the configuration's order; `shadow` once per model that has one.
    pub fn new(
        config: &Config,
        mut engine: impl FnMut(ModelId) -> Box<dyn Predictor>,
        mut shadow: impl FnMut(ModelId) -> Option<Box<dyn Predictor>>,
    ) -> Self {
        let mut sensors = Vec::new();
        let mut first = 0u32;
        for (i, model) in config.models.iter().enumerate() {
            if model.role == ModelRole::SoftSensor {
                let id = ModelId(i as u32);
                sensors.push(Sensor::new(config, id, engine(id), shadow(id), PredictionId(first)));
                first += model.outputs.len() as u32;
            }
        }
        Self { sensors, samples: Samples::new() }
    }

    /// Feeds every line, runs the models that are due, offers late samples. Bounded: lines and models are counted at start.
    /// `readings` are what the links gave, `tags` what the conditioner made of them.
    pub fn run(
        &mut self,
        cycle: &ScanCycle,
        readings: &[Sample],
        tags: &[Conditioned],
        predictions: &mut [Prediction],
    ) {
        for sensor in &mut self.sensors {
            sensor.scan(cycle, tags, predictions);
            sensor.correct(cycle.now, readings, tags, predictions, &mut self.samples);
        }
    }

    /// Keeps every soft sensor. Samples are handed over within the scan.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        self.sensors.iter_mut().for_each(|sensor| sensor.keep(archive));
    }

    /// Forgets the biases of a model; false when it is no soft sensor.
    pub fn reset_bias(&mut self, model: ModelId) -> bool {
        let Some(sensor) = self.sensors.iter_mut().find(|s| s.id() == model) else { return false };
        sensor.reset_bias();
        true
    }

    /// Swaps a model with its shadow: `promote`, or roll back. Nothing is allocated.
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    pub fn swap(&mut self, model: ModelId, promote: bool) -> Result<(), SwapRefusal> {
        self.sensors.iter_mut().find(|s| s.id() == model).ok_or(SwapRefusal::NoShadow)?.swap(promote)
    }

    /// Fills one report per model of the configuration; allocates nothing.
    pub fn report(&self, reports: &mut [ModelReport]) {
        for sensor in &self.sensors {
            if let Some(report) = reports.get_mut(sensor.id().index()) {
                sensor.report(report);
            }
        }
    }

    /// Offers a laboratory value that an operator typed.
    pub fn lab_sample(&mut self, id: PredictionId, value: f64, taken: Timestamp, now: Timestamp) -> LabAnswer {
        let Some(sensor) = self.sensors.iter_mut().rfind(|s| s.first() <= id) else { return LabAnswer::NoBias };
        sensor.lab_sample(id, value, taken, now, &mut self.samples)
    }

    /// Hands over what became of the late samples since the last call.
    pub fn take_samples(&mut self, into: &mut Samples) {
        into.clone_from(&self.samples);
        self.samples.clear();
    }
}

/// As many outcomes as samples can come in one scan fit.
fn note(samples: &mut Samples, outcome: SampleOutcome) {
    let _ = samples.push(outcome);
}

#[cfg(test)]
#[path = "sensor_tests.rs"]
mod tests;
