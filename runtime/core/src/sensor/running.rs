//! A model that runs: its engine, domain, biases, intervals and watch, that is all that belongs to one model file. A soft sensor has one,
//! its shadow another; both are judged by the same rules, and a swap exchanges them whole.
//!
//! Status of a prediction (domain guide 4.4):
//!
//! * inputs outside the training range are limited to it, and it becomes Uncertain; more than five such inputs make it Bad (DeltaV);
//! * inputs that together are outside the domain make it Uncertain, far outside Bad (`domain.rs`; on the inputs before they are limited);
//! * an expired bias, a bias at its total and an interval that is too wide make it Uncertain.
//!
//! Bias first, interval second: the interval is about the corrected value, and wider in an operating mode with larger errors.

use flyball_config::{EuRange, Model, ModelOutput, PredictionId, TagId};

use super::{Prediction, PredictionReason};
use crate::bias::{BiasState, Shown};
use crate::bounds::{MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
use crate::domain::{DomainLevel, DomainReading, DomainWatch};
use crate::interval::Conformal;
use crate::ports::Predictor;
use crate::sample::{SampleOutcome, SampleVerdict};
use crate::state::Archive;
use crate::status::Status;
use crate::time::Timestamp;
use crate::value::Value;
use crate::watch::ModelWatch;

/// More inputs than this outside their training range: the prediction is Bad (DeltaV neural block).
const OUTSIDE_MAX: u32 = 5;

/// Share of the training range by which noise may carry an input past its end: it is limited, but not called outside.
const DOMAIN_MARGIN: f64 = 0.01;

/// All that belongs to one model file.
pub(crate) struct RunningModel {
    pub(crate) engine: Box<dyn Predictor>,
    domain: Option<DomainWatch>,
    pub(crate) outputs: Vec<Output>,
    /// Runs of the model since its memory was empty.
    runs: u32,
    pub(crate) watch: ModelWatch,
}

/// What belongs to one output of a model file.
pub(crate) struct Output {
    pub(crate) bias: Option<BiasState>,
    interval: Option<Conformal>,
}

/// One run: what the lines and the process say, whichever model runs.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// Time of the inputs.
    pub now: Timestamp,
    /// First run of the soft sensor.
    pub started: Timestamp,
    /// Inputs before they are limited to a training range, EU.
    pub inputs: &'a [f64],
    /// Good, or Uncertain because of an input.
    pub status: Status,
    /// Why.
    pub reason: PredictionReason,
    /// The process had been steady, per output.
    pub steady: &'a [bool],
}

/// What the inputs of a run say about all outputs.
#[derive(Clone, Copy)]
struct Inputs {
    status: Status,
    reason: PredictionReason,
    in_range: bool,
    in_domain: bool,
    /// So far outside the domain that there is no value.
    far: bool,
    domain: Option<DomainReading>,
}

impl RunningModel {
    /// Binds an engine; `plausible` is the `ok` range of a tag. All memory is allocated here.
    pub(crate) fn new(model: &Model, engine: Box<dyn Predictor>, plausible: &dyn Fn(TagId) -> Option<EuRange>) -> Self {
        assert_eq!(engine.inputs(), model.inputs.len(), "contract check matches inputs by name");
        assert_eq!(engine.outputs(), model.outputs.len(), "contract check matches outputs by name");
        assert!(model.inputs.len() <= MODEL_INPUTS_MAX && model.outputs.len() <= MODEL_OUTPUTS_MAX);
        let trust = engine.trust();
        let output = |(i, output): (usize, &ModelOutput)| {
            let errors = trust.errors.get(i);
            let sigma = errors.map(|e| e.sigma());
            Output {
                bias: output.bias.map(|rule| BiasState::new(rule, model.every, plausible(rule.with), sigma)),
                interval: model.trust.interval.zip(errors).map(|(rule, errors)| Conformal::new(rule, errors.clone())),
            }
        };
        Self {
            outputs: model.outputs.iter().enumerate().map(output).collect(),
            domain: DomainWatch::wanted(trust.domain, &model.trust),
            runs: 0,
            watch: ModelWatch::new(&engine.basis(), model.outputs.len(), model.trust.interval.map(|i| i.coverage)),
            engine,
        }
    }

    /// Keeps the memory of the engine and all that runs and samples have said.
    pub(crate) fn keep(&mut self, archive: &mut Archive<'_>) {
        self.engine.keep(archive);
        self.domain.iter_mut().for_each(|domain| domain.keep(archive));
        for output in &mut self.outputs {
            output.bias.iter_mut().for_each(|bias| bias.keep(archive));
            output.interval.iter_mut().for_each(|interval| interval.keep(archive));
        }
        archive.keep(&mut self.runs);
        self.watch.keep(archive);
    }

    /// Runs the model and judges its answer. Work is fixed by the model.
    pub(crate) fn run(&mut self, model: &Model, run: &Run<'_>, out: &mut [Prediction]) {
        let mut features = [0.0; MODEL_INPUTS_MAX];
        let mut raw = [0.0; MODEL_OUTPUTS_MAX];
        let features = &mut features[..run.inputs.len()];
        let limited = self.limit(run, features);
        self.watch.ran(run.now, run.inputs, limited.is_ok_and(|i| i.in_domain));
        let inputs = match limited {
            Ok(inputs) => inputs,
            Err(reason) => return self.fail(run.now, out, Status::BadSensorFailure, reason),
        };
        if self.engine.predict(features, &mut raw[..out.len()]).is_err() {
            return self.fail(run.now, out, Status::BadSensorFailure, PredictionReason::ModelFault);
        }
        self.runs = self.runs.saturating_add(1);
        if self.runs < self.engine.warm_up() {
            return self.show_nothing(run.now, out, Status::BadWaitingForInitialData, PredictionReason::Waiting);
        }
        for (i, p) in out.iter_mut().enumerate() {
            let output = &mut self.outputs[i];
            let factor = self.watch.interval_factor(i);
            *p = output.judge(&model.outputs[i], run, raw[i], &inputs, factor, p);
            if let Some(bias) = &mut output.bias {
                let good = inputs.status.is_good() && p.status.code() != Status::UncertainEngineeringUnitsExceeded;
                let raw = p.value.is_some().then_some(raw[i]);
                bias.remember(run.now, Shown { raw, half_width: p.half_width, factor, good, steady: run.steady[i] });
            }
        }
    }

    /// Limits the inputs to the training range. Err when the model must not run.
    fn limit(&mut self, run: &Run<'_>, features: &mut [f64]) -> Result<Inputs, PredictionReason> {
        let (mut status, mut reason) = (run.status, run.reason);
        let mut outside = 0;
        for (i, (feature, value)) in features.iter_mut().zip(run.inputs).enumerate() {
            let (low, high) = self.engine.input_range(i);
            *feature = value.clamp(low, high);
            if (*feature - value).abs() > DOMAIN_MARGIN * (high - low) {
                outside += 1;
                if outside == 1 {
                    (status, reason) =
                        (Status::UncertainSensorNotAccurate, PredictionReason::OutsideTraining(i as u16));
                }
            }
        }
        if outside > OUTSIDE_MAX {
            return Err(reason);
        }
        let inside = outside == 0;
        let mut inputs = Inputs { status, reason, in_range: inside, in_domain: inside, far: false, domain: None };
        if let Some(watch) = &mut self.domain {
            let (reading, level) = watch.judge(run.inputs);
            inputs.domain = Some(reading);
            inputs.in_domain &= level == DomainLevel::Inside;
            inputs.far = level == DomainLevel::FarOutside;
            if level == DomainLevel::Outside && inside {
                inputs.status = Status::UncertainSensorNotAccurate;
                inputs.reason = PredictionReason::OutsideDomain(reading.statistic, reading.worst);
            }
        }
        Ok(inputs)
    }

    /// A gap: what a model remembers of earlier steps no longer joins the next one.
    pub(crate) fn forget(&mut self) {
        self.engine.reset();
        self.runs = 0;
        if let Some(watch) = &mut self.domain {
            watch.forget();
        }
    }

    /// It could not run: forgets, and shows why.
    pub(crate) fn fail(&mut self, now: Timestamp, out: &mut [Prediction], status: Status, reason: PredictionReason) {
        self.forget();
        self.show_nothing(now, out, status, reason);
    }

    fn show_nothing(&mut self, now: Timestamp, out: &mut [Prediction], status: Status, reason: PredictionReason) {
        for (p, output) in out.iter_mut().zip(&mut self.outputs) {
            if let Some(bias) = &mut output.bias {
                bias.remember(now, Shown::NOTHING);
            }
            let nothing = Prediction { in_range: false, in_domain: false, domain: None, half_width: None, ..*p };
            *p = Prediction { value: None, raw: 0.0, status, reason, time: now, ..nothing };
        }
    }

    /// Offers a late sample to the bias of an output, its interval and the watch; None when it was looked at before.
    pub(crate) fn offer(
        &mut self,
        output: usize,
        id: PredictionId,
        now: Timestamp,
        value: Option<f64>,
        taken: Timestamp,
    ) -> Option<SampleOutcome> {
        let outcome = self.outputs.get_mut(output)?.offer(id, now, value, taken)?;
        self.watch.late(output, &outcome);
        Some(outcome)
    }

    /// Forgets the biases.
    pub(crate) fn reset_bias(&mut self) {
        self.outputs.iter_mut().filter_map(|o| o.bias.as_mut()).for_each(BiasState::reset);
    }

    /// Forgets what samples have said, as after start; memory of the engine stays.
    pub(crate) fn restart(&mut self) {
        self.reset_bias();
        self.outputs.iter_mut().filter_map(|o| o.interval.as_mut()).for_each(Conformal::restart);
        self.watch.restart();
    }
}

impl Output {
    /// One output of one run; `factor` widens the interval. `before` lends what runs do not change.
    fn judge(
        &self,
        spec: &ModelOutput,
        run: &Run<'_>,
        raw: f64,
        inputs: &Inputs,
        factor: f64,
        before: &Prediction,
    ) -> Prediction {
        let bias = self.bias.as_ref().map_or(0.0, |b| b.bias);
        let Inputs { in_range, in_domain, domain, .. } = *inputs;
        let kept = Prediction { raw, bias, time: run.now, in_range, in_domain, domain, half_width: None, ..*before };
        let bad =
            |reason| Prediction { value: None, status: Status::BadSensorFailure, reason, in_domain: false, ..kept };
        if let (true, Some(d)) = (inputs.far, domain) {
            return bad(PredictionReason::FarOutsideDomain(d.statistic, d.worst));
        }
        let rejected = spec.reject_outside.is_some_and(|r| !r.contains(raw));
        let Some(value) = Value::new(raw + bias).filter(|_| !rejected) else {
            return Prediction { in_domain, ..bad(PredictionReason::OutputRejected) };
        };
        let half_width = self.interval.as_ref().map(|i| i.half_width() * factor);
        let limited = value.get().clamp(spec.range.low, spec.range.high);
        let (mut status, mut reason) = (inputs.status, inputs.reason);
        if limited != value.get() {
            let bits = if limited < value.get() { Status::LIMIT_HIGH } else { Status::LIMIT_LOW };
            status = status.worst(Status::UncertainEngineeringUnitsExceeded).with_limit(bits);
            reason = PredictionReason::OutputLimited;
        } else if status.is_good()
            && let Some(doubt) = self.doubt(spec, run, half_width)
        {
            (status, reason) = (Status::UncertainSensorNotAccurate, doubt);
        }
        Prediction { value: Value::new(limited), status, reason, half_width, ..kept }
    }

    /// What samples say against a prediction whose inputs are fine.
    fn doubt(&self, spec: &ModelOutput, run: &Run<'_>, half_width: Option<f64>) -> Option<PredictionReason> {
        let too_wide = half_width.zip(spec.too_wide).is_some_and(|(half, width)| 2.0 * half > width);
        if self.bias.as_ref().is_some_and(|b| b.expired(run.now, run.started)) {
            Some(PredictionReason::BiasExpired)
        } else if self.bias.as_ref().is_some_and(|b| b.at_total) {
            Some(PredictionReason::BiasAtTotal)
        } else {
            too_wide.then_some(PredictionReason::IntervalTooWide)
        }
    }

    fn offer(
        &mut self,
        id: PredictionId,
        now: Timestamp,
        value: Option<f64>,
        taken: Timestamp,
    ) -> Option<SampleOutcome> {
        let outcome = self.bias.as_mut()?.offer(id, now, value, taken)?;
        if let (SampleVerdict::Accepted, Some(interval)) = (outcome.verdict, &mut self.interval)
            && let (Some(error), Some(covered)) = (outcome.error_after_bias, outcome.covered)
        {
            // Errors of all operating modes count alike: each in the width of its own.
            interval.learn(error / outcome.interval_factor, covered);
        }
        Some(outcome)
    }

    /// Shows what late samples have said.
    pub(crate) fn show(&self, p: &mut Prediction) {
        p.late.coverage_aimed = self.interval.as_ref().map(Conformal::aimed);
        p.late.coverage = self.interval.as_ref().and_then(Conformal::tracked);
        let Some(bias) = &self.bias else { return };
        p.late.last = bias.last_sample.zip(bias.last_verdict);
        p.late.last_value = bias.last_value;
        p.late.last_error = bias.last_error;
        p.late.last_refusal = bias.last_refusal;
        p.late.refused = bias.refused;
        p.late.needs_maintenance = bias.at_total;
    }
}
