//! Soft sensors: features into models, outputs into predictions with a quality of their own. The second room of the scan.
//!
//! Status of a prediction (domain guide 4.4): a Bad input makes it Bad; a held, substituted or out-of-range input makes it Uncertain and the
//! input is limited to its training range first; more than five such inputs make it Bad (DeltaV). Between two runs a prediction keeps
//! its old time: it is never re-stamped.

use flyball_config::{Config, InputSource, Model, ModelId, ModelRole, PredictionId};
use serde::{Deserialize, Serialize};

use crate::age::SampleAge;
use crate::bias::{BiasState, SampleVerdict};
use crate::bounds::{MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
use crate::condition::Conditioned;
use crate::feature::{FeatureLine, Quality, scans_of};
use crate::ports::Predictor;
use crate::shadow::{ModelReport, Parts, Shadow, SwapRefusal, offer};
use crate::status::Status;
use crate::time::{ScanCycle, Timestamp};
use crate::value::Value;
use crate::watch::{LateSample, ModelWatch};

/// More inputs than this outside their training range: the prediction is Bad (DeltaV neural block).
const OUTSIDE_MAX: u32 = 5;

/// Share of the training range by which noise may carry an input past its end: it is limited, but not called outside.
pub(crate) const DOMAIN_MARGIN: f64 = 0.01;

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
    /// The output is outside `reject_outside`.
    OutputRejected,
    /// The output was limited to its range.
    OutputLimited,
    /// The model gave no number.
    ModelFault,
    /// No late sample was accepted for too long.
    BiasExpired,
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
    /// Time of the inputs.
    pub time: Timestamp,
    /// All inputs were inside the training range.
    pub in_domain: bool,
    /// Last late sample and what became of it.
    pub last_sample: Option<(Timestamp, SampleVerdict)>,
    /// Error of the last accepted sample against the raw prediction, EU.
    pub last_error: f64,
}

impl Prediction {
    /// Before the first run.
    pub const WAITING: Self = Self {
        value: None,
        status: Status::BadWaitingForInitialData,
        reason: PredictionReason::Waiting,
        raw: 0.0,
        bias: 0.0,
        time: Timestamp::ZERO,
        in_domain: false,
        last_sample: None,
        last_error: 0.0,
    };

    /// The value, if not Bad.
    #[must_use]
    pub fn get(&self) -> Option<f64> {
        self.value.map(Value::get)
    }
}

/// One soft sensor with its lines, engine and biases.
struct Sensor {
    model: Model,
    engine: Box<dyn Predictor>,
    lines: Vec<FeatureLine>,
    biases: Vec<Option<BiasState>>,
    first: PredictionId,
    every_scans: u64,
    last_slot: Option<u64>,
    started: Option<Timestamp>,
    /// Runs of the model since its memory was empty.
    runs: u32,
    id: ModelId,
    /// Per input; used by those that read an age.
    ages: Vec<SampleAge>,
    watch: ModelWatch,
    shadow: Option<Shadow>,
}

/// All soft sensors of an application, in file order.
pub struct SensorBank {
    sensors: Vec<Sensor>,
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
            if model.role != ModelRole::SoftSensor {
                continue;
            }
            let id = ModelId(i as u32);
            let engine = engine(id);
            assert_eq!(engine.inputs(), model.inputs.len(), "contract check matches inputs by name");
            assert_eq!(engine.outputs(), model.outputs.len(), "contract check matches outputs by name");
            assert!(model.inputs.len() <= MODEL_INPUTS_MAX && model.outputs.len() <= MODEL_OUTPUTS_MAX);
            sensors.push(Sensor {
                lines: model.inputs.iter().map(|i| FeatureLine::new(i, config.timing.cycle)).collect(),
                biases: model.outputs.iter().map(|o| o.bias.map(|b| BiasState::new(b, model.every))).collect(),
                first: PredictionId(first),
                every_scans: scans_of(model.every, config.timing.cycle).max(1) as u64,
                last_slot: None,
                started: None,
                runs: 0,
                id,
                ages: vec![SampleAge::default(); model.inputs.len()],
                watch: ModelWatch::new(&engine.basis(), model.outputs.len()),
                shadow: shadow(id).map(|candidate| Shadow::new(model, candidate)),
                model: model.clone(),
                engine,
            });
            first += model.outputs.len() as u32;
        }
        Self { sensors }
    }

    /// Feeds every line, runs the models that are due, offers late samples. Bounded: lines and models are counted at start.
    pub fn run(&mut self, cycle: &ScanCycle, tags: &[Conditioned], predictions: &mut [Prediction]) {
        for sensor in &mut self.sensors {
            sensor.feed(cycle, tags, predictions);
            let slot = cycle.number / sensor.every_scans;
            if sensor.last_slot != Some(slot) {
                if sensor.last_slot.is_some_and(|last| slot > last + 1) {
                    sensor.forget();
                    sensor.shadow.iter_mut().for_each(|s| s.gap(cycle.now));
                }
                sensor.last_slot = Some(slot);
                sensor.predict(cycle.now, predictions);
            }
            sensor.correct(cycle.now, tags, predictions);
        }
    }

    /// Forgets the biases of a model; false when it is no soft sensor.
    pub fn reset_bias(&mut self, model: ModelId, config: &Config) -> bool {
        let name = config.models.get(model.index()).map(|m| m.name.as_str());
        let Some(sensor) = self.sensors.iter_mut().find(|s| Some(s.model.name.as_str()) == name) else { return false };
        sensor.biases.iter_mut().flatten().for_each(BiasState::reset);
        true
    }

    /// Offers a laboratory value that an operator typed; None when the prediction has no bias rule.
    pub fn lab_sample(
        &mut self,
        id: PredictionId,
        value: f64,
        taken: Timestamp,
        now: Timestamp,
    ) -> Option<SampleVerdict> {
        let sensor = self.sensors.iter_mut().rfind(|s| s.first <= id)?;
        let output = id.index() - sensor.first.index();
        sensor.late(output, now, Value::new(value).map(Value::get), taken)?;
        sensor.biases[output].as_ref()?.last_verdict
    }

    /// Swaps a model with its shadow: `promote`, or roll back. Nothing is allocated.
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    pub fn swap(&mut self, model: ModelId, promote: bool) -> Result<(), SwapRefusal> {
        let sensor = self.sensors.iter_mut().find(|s| s.id == model).ok_or(SwapRefusal::NoShadow)?;
        let Sensor { engine, biases, runs, watch, shadow, .. } = sensor;
        shadow.as_mut().ok_or(SwapRefusal::NoShadow)?.swap(promote, Parts { engine, biases, runs, watch })
    }

    /// Fills one report per model of the configuration; allocates nothing.
    pub fn report(&self, reports: &mut [ModelReport]) {
        for sensor in &self.sensors {
            let Some(report) = reports.get_mut(sensor.id.index()) else { continue };
            sensor.watch.report(&mut report.watch);
            if let (Some(shadow), Some(report)) = (&sensor.shadow, &mut report.shadow) {
                shadow.report(report);
            }
        }
    }
}

impl Sensor {
    fn feed(&mut self, cycle: &ScanCycle, tags: &[Conditioned], predictions: &[Prediction]) {
        let scans = cycle.missed.saturating_add(1);
        for ((input, line), age) in self.model.inputs.iter().zip(&mut self.lines).zip(&mut self.ages) {
            match input.source {
                InputSource::Tag(tag) => {
                    let t = &tags[tag.index()];
                    line.push(t.get(), t.substituted || !t.status.is_good(), scans);
                }
                InputSource::Prediction(p) => {
                    let p = &predictions[p.index()];
                    line.push(p.get(), !p.status.is_good(), scans);
                }
                InputSource::Age(tag) => line.push(age.read(cycle, &tags[tag.index()]), false, scans),
                InputSource::Mv(_) => unreachable!("configuration: only maps read MVs"),
            }
        }
    }

    fn predict(&mut self, now: Timestamp, predictions: &mut [Prediction]) {
        self.started.get_or_insert(now);
        let mut features = [0.0; MODEL_INPUTS_MAX];
        let mut raw = [0.0; MODEL_OUTPUTS_MAX];
        let (inputs, outputs) = (self.model.inputs.len(), self.model.outputs.len());
        let quality = self.gather(&mut features[..inputs]);
        let first = self.first.index();
        let out = &mut predictions[first..first + outputs];

        let (status, reason, in_domain) = match quality {
            Ok(q) => q,
            Err((status, reason)) => {
                self.forget();
                self.shadow.iter_mut().for_each(|s| s.gap(now));
                self.fail(now, out, status, reason);
                return;
            }
        };
        self.observe(now, in_domain);
        if self.engine.predict(&features[..inputs], &mut raw[..outputs]).is_err() {
            self.forget();
            self.fail(now, out, Status::BadSensorFailure, PredictionReason::ModelFault);
            return;
        }
        self.runs = self.runs.saturating_add(1);
        if self.runs < self.engine.warm_up() {
            self.fail(now, out, Status::BadWaitingForInitialData, PredictionReason::Waiting);
            return;
        }
        for (i, p) in out.iter_mut().enumerate() {
            let spec = &self.model.outputs[i];
            let bias = self.biases[i].as_ref().map_or(0.0, |b| b.bias);
            let expired = self.biases[i].as_ref().is_some_and(|b| b.expired(now, self.started.unwrap_or(now)));
            let rejected = spec.reject_outside.is_some_and(|r| !r.contains(raw[i]));
            if let Some(b) = &mut self.biases[i] {
                b.remember(now, (!rejected && in_domain).then_some(raw[i]));
            }
            let kept = Prediction { raw: raw[i], bias, time: now, in_domain, ..*p };
            let Some(value) = Value::new(raw[i] + bias).filter(|_| !rejected) else {
                let (status, reason) = (Status::BadSensorFailure, PredictionReason::OutputRejected);
                *p = Prediction { value: None, status, reason, ..kept };
                continue;
            };
            let limited = value.get().clamp(spec.range.low, spec.range.high);
            let (mut status, mut reason) = (status, reason);
            if limited != value.get() {
                let bits = if limited < value.get() { Status::LIMIT_HIGH } else { Status::LIMIT_LOW };
                status = status.worst(Status::UncertainEngineeringUnitsExceeded).with_limit(bits);
                reason = PredictionReason::OutputLimited;
            } else if expired && status.is_good() {
                (status, reason) = (Status::UncertainSensorNotAccurate, PredictionReason::BiasExpired);
            }
            *p = Prediction { value: Value::new(limited), status, reason, ..kept };
        }
    }

    /// Shows the run to the watch and to the shadow: inputs as they are, before they are limited to a training range.
    fn observe(&mut self, now: Timestamp, in_domain: bool) {
        let mut inputs = [0.0; MODEL_INPUTS_MAX];
        for (value, line) in inputs.iter_mut().zip(&self.lines) {
            *value = line.read().0;
        }
        let inputs = &inputs[..self.lines.len()];
        self.watch.ran(now, inputs, in_domain);
        if let Some(shadow) = &mut self.shadow {
            shadow.run(now, inputs);
        }
    }

    /// Offers a late sample to the bias of an output, and shows it to the watch and to the shadow; None when it was looked at before.
    fn late(&mut self, output: usize, now: Timestamp, value: Option<f64>, taken: Timestamp) -> Option<LateSample> {
        let sample = offer(self.biases.get_mut(output)?.as_mut()?, now, value, taken)?;
        self.watch.late(output, &sample);
        if let Some(shadow) = &mut self.shadow {
            shadow.late(output, now, value, &sample);
        }
        Some(sample)
    }

    /// Collects the features, limited to the training range. Err when the model must not run.
    fn gather(&self, features: &mut [f64]) -> Result<(Status, PredictionReason, bool), (Status, PredictionReason)> {
        let (mut status, mut reason) = (Status::Good, PredictionReason::None);
        let mut outside = 0;
        for (i, line) in self.lines.iter().enumerate() {
            let (value, quality) = line.read();
            let index = i as u16;
            match quality {
                Quality::Bad => return Err((Status::BadNoCommunication, PredictionReason::InputBad(index))),
                Quality::Waiting => return Err((Status::BadWaitingForInitialData, PredictionReason::Waiting)),
                Quality::Uncertain if status.is_good() => {
                    (status, reason) = (Status::UncertainSubNormal, PredictionReason::InputUncertain(index));
                }
                _ => {}
            }
            let (low, high) = self.engine.input_range(i);
            features[i] = value.clamp(low, high);
            if (features[i] - value).abs() > DOMAIN_MARGIN * (high - low) {
                outside += 1;
                if outside == 1 {
                    status = Status::UncertainSensorNotAccurate;
                    reason = PredictionReason::OutsideTraining(index);
                }
            }
        }
        if outside > OUTSIDE_MAX {
            return Err((Status::BadSensorFailure, reason));
        }
        Ok((status, reason, outside == 0))
    }

    /// A gap: what a model remembers of earlier steps no longer joins the next one.
    fn forget(&mut self) {
        self.engine.reset();
        self.runs = 0;
    }

    fn fail(&mut self, now: Timestamp, out: &mut [Prediction], status: Status, reason: PredictionReason) {
        for (p, bias) in out.iter_mut().zip(&mut self.biases) {
            if let Some(b) = bias {
                b.remember(now, None);
            }
            *p = Prediction { value: None, status, reason, raw: 0.0, time: now, in_domain: false, ..*p };
        }
    }

    /// Offers the newest analyser readings; a bias that changed acts from the next run on.
    fn correct(&mut self, now: Timestamp, tags: &[Conditioned], predictions: &mut [Prediction]) {
        let first = self.first.index();
        for i in 0..self.model.outputs.len() {
            let Some(rule) = self.model.outputs[i].bias else { continue };
            let analyser = &tags[rule.with.index()];
            if !analyser.substituted && analyser.value.is_some() {
                self.late(i, now, analyser.get(), analyser.source_time);
            }
            let Some(state) = &self.biases[i] else { continue };
            let p = &mut predictions[first + i];
            p.last_sample = state.last_sample.zip(state.last_verdict);
            p.last_error = state.last_error;
        }
    }
}
