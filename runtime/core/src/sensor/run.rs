//! One soft sensor: feeds its lines, runs its model when it is due, and gives each output a status.
//!
//! Status of a prediction (domain guide 4.4):
//!
//! * a Bad input makes it Bad; a held or substituted one makes it Uncertain;
//! * inputs outside the training range are limited to it, and it becomes Uncertain; more than five such inputs make it Bad (DeltaV);
//! * inputs that together are outside the domain make it Uncertain, far outside Bad (`domain.rs`; on the inputs before they are limited);
//! * an expired bias, a bias at its total and an interval that is too wide make it Uncertain.
//!
//! Bias first, interval second: the interval is about the corrected value.

use flyball_config::{Config, InputSource, Model, ModelOutput, PredictionId};

use super::{LabAnswer, Prediction, PredictionReason, note};
use crate::bias::{BiasState, Shown};
use crate::bounds::{MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
use crate::condition::{Conditioned, Reason};
use crate::domain::{DomainLevel, DomainReading, DomainWatch};
use crate::feature::{FeatureLine, Quality, scans_of};
use crate::image::Sample;
use crate::interval::Conformal;
use crate::ports::Predictor;
use crate::sample::{SampleOutcome, SampleVerdict, Samples};
use crate::status::Status;
use crate::steady::Steadiness;
use crate::time::{ScanCycle, Timestamp};
use crate::value::Value;

/// More inputs than this outside their training range: the prediction is Bad (DeltaV neural block).
const OUTSIDE_MAX: u32 = 5;

/// Share of the training range by which noise may carry an input past its end: it is limited, but not called outside.
const DOMAIN_MARGIN: f64 = 0.01;

/// One soft sensor with its lines, engine, domain and outputs.
pub(super) struct Sensor {
    model: Model,
    engine: Box<dyn Predictor>,
    lines: Vec<FeatureLine>,
    domain: Option<DomainWatch>,
    outputs: Vec<Output>,
    first: PredictionId,
    every_scans: u64,
    last_slot: Option<u64>,
    started: Option<Timestamp>,
    /// Runs of the model since its memory was empty.
    runs: u32,
}

/// What belongs to one output.
struct Output {
    bias: Option<BiasState>,
    steady: Vec<Steadiness>,
    interval: Option<Conformal>,
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

impl Sensor {
    /// Binds an engine. All memory is allocated here.
    pub(super) fn new(config: &Config, model: &Model, engine: Box<dyn Predictor>, first: PredictionId) -> Self {
        assert_eq!(engine.inputs(), model.inputs.len(), "contract check matches inputs by name");
        assert_eq!(engine.outputs(), model.outputs.len(), "contract check matches outputs by name");
        assert!(model.inputs.len() <= MODEL_INPUTS_MAX && model.outputs.len() <= MODEL_OUTPUTS_MAX);
        let trust = engine.trust();
        let output = |(i, output): (usize, &ModelOutput)| {
            let errors = trust.errors.get(i);
            let bias = output.bias.map(|rule| {
                let plausible = config.tag(rule.with).plausible;
                BiasState::new(rule, model.every, plausible, errors.map(|e| e.sigma()))
            });
            let rules = output.bias.map(|b| b.only_when).unwrap_or_default();
            Output {
                bias,
                steady: rules.iter().flatten().map(|rule| Steadiness::new(*rule, model.every)).collect(),
                interval: model.trust.interval.zip(errors).map(|(rule, errors)| Conformal::new(rule, errors.clone())),
            }
        };
        Self {
            lines: model.inputs.iter().map(|i| FeatureLine::new(i, config.timing.cycle)).collect(),
            outputs: model.outputs.iter().enumerate().map(output).collect(),
            domain: DomainWatch::wanted(trust.domain, &model.trust),
            first,
            every_scans: scans_of(model.every, config.timing.cycle).max(1) as u64,
            last_slot: None,
            started: None,
            runs: 0,
            model: model.clone(),
            engine,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.model.name
    }

    /// Its first prediction.
    pub(super) fn first(&self) -> PredictionId {
        self.first
    }

    pub(super) fn reset_bias(&mut self) {
        self.outputs.iter_mut().filter_map(|o| o.bias.as_mut()).for_each(BiasState::reset);
    }

    /// Feeds the lines, and runs the model if it is due.
    pub(super) fn scan(&mut self, cycle: &ScanCycle, tags: &[Conditioned], predictions: &mut [Prediction]) {
        self.feed(cycle, tags, predictions);
        let slot = cycle.number / self.every_scans;
        if self.last_slot == Some(slot) {
            return;
        }
        if self.last_slot.is_some_and(|last| slot > last + 1) {
            self.forget();
        }
        self.last_slot = Some(slot);
        self.predict(cycle.now, predictions);
    }

    fn feed(&mut self, cycle: &ScanCycle, tags: &[Conditioned], predictions: &[Prediction]) {
        let scans = cycle.missed.saturating_add(1);
        for (input, line) in self.model.inputs.iter().zip(&mut self.lines) {
            match input.source {
                InputSource::Tag(tag) => {
                    let t = &tags[tag.index()];
                    line.push(t.get(), t.substituted || !t.status.is_good(), scans);
                }
                InputSource::Prediction(p) => {
                    let p = &predictions[p.index()];
                    line.push(p.get(), !p.status.is_good(), scans);
                }
                InputSource::Mv(_) => unreachable!("configuration: only maps read MVs"),
            }
        }
        for rule in self.outputs.iter_mut().flat_map(|o| &mut o.steady) {
            rule.push(tags[rule.tag().index()].measured());
        }
    }

    fn predict(&mut self, now: Timestamp, predictions: &mut [Prediction]) {
        let started = *self.started.get_or_insert(now);
        let mut steady = [false; MODEL_OUTPUTS_MAX];
        for (steady, output) in steady.iter_mut().zip(&mut self.outputs) {
            *steady = true;
            for rule in &mut output.steady {
                // Every rule ends its run, whatever the others say.
                *steady &= rule.close();
            }
        }
        let mut features = [0.0; MODEL_INPUTS_MAX];
        let mut raw = [0.0; MODEL_OUTPUTS_MAX];
        let (inputs, outputs) = (self.model.inputs.len(), self.model.outputs.len());
        let gathered = self.gather(&mut features[..inputs]);
        let first = self.first.index();
        let out = &mut predictions[first..first + outputs];

        let inputs_say = match gathered {
            Ok(inputs) => inputs,
            Err((status, reason)) => {
                self.forget();
                self.fail(now, out, status, reason);
                return;
            }
        };
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
            let output = &mut self.outputs[i];
            *p = output.judge(&self.model.outputs[i], now, started, raw[i], &inputs_say, p);
            if let Some(bias) = &mut output.bias {
                let good = inputs_say.status.is_good() && p.status.code() != Status::UncertainEngineeringUnitsExceeded;
                let raw = p.value.is_some().then_some(raw[i]);
                bias.remember(now, Shown { raw, half_width: p.half_width, good, steady: steady[i] });
            }
        }
    }

    /// Collects the features, limited to the training range. Err when the model must not run.
    fn gather(&mut self, features: &mut [f64]) -> Result<Inputs, (Status, PredictionReason)> {
        let (mut status, mut reason) = (Status::Good, PredictionReason::None);
        let mut unlimited = [0.0; MODEL_INPUTS_MAX];
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
            unlimited[i] = value;
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
        let mut inputs =
            Inputs { status, reason, in_range: outside == 0, in_domain: outside == 0, far: false, domain: None };
        if let Some(watch) = &mut self.domain {
            let (reading, level) = watch.judge(&unlimited[..features.len()]);
            inputs.domain = Some(reading);
            inputs.in_domain &= level == DomainLevel::Inside;
            inputs.far = level == DomainLevel::FarOutside;
            if level == DomainLevel::Outside && outside == 0 {
                inputs.status = Status::UncertainSensorNotAccurate;
                inputs.reason = PredictionReason::OutsideDomain(reading.statistic, reading.worst);
            }
        }
        Ok(inputs)
    }

    /// A gap: what a model remembers of earlier steps no longer joins the next one.
    fn forget(&mut self) {
        self.engine.reset();
        self.runs = 0;
        if let Some(watch) = &mut self.domain {
            watch.forget();
        }
    }

    fn fail(&mut self, now: Timestamp, out: &mut [Prediction], status: Status, reason: PredictionReason) {
        for (p, output) in out.iter_mut().zip(&mut self.outputs) {
            if let Some(bias) = &mut output.bias {
                bias.remember(now, Shown { raw: None, half_width: None, good: false, steady: false });
            }
            let nothing = Prediction { in_range: false, in_domain: false, domain: None, half_width: None, ..*p };
            *p = Prediction { value: None, raw: 0.0, status, reason, time: now, ..nothing };
        }
    }

    /// Offers the newest analyser results; a bias that changed acts from the next run on.
    pub(super) fn correct(
        &mut self,
        now: Timestamp,
        readings: &[Sample],
        tags: &[Conditioned],
        predictions: &mut [Prediction],
        samples: &mut Samples,
    ) {
        for (i, output) in self.outputs.iter_mut().enumerate() {
            let id = PredictionId(self.first.0 + i as u32);
            let rule = self.model.outputs[i].bias;
            if let Some((value, taken)) = rule.and_then(|r| result(&readings[r.with.index()], &tags[r.with.index()]))
                && let Some(outcome) = output.offer(id, now, value, taken)
            {
                note(samples, outcome);
            }
            output.show(&mut predictions[id.index()]);
        }
    }

    /// Offers a typed laboratory value.
    pub(super) fn lab_sample(
        &mut self,
        id: PredictionId,
        value: f64,
        taken: Timestamp,
        now: Timestamp,
        samples: &mut Samples,
    ) -> LabAnswer {
        let output = self.outputs.get_mut(id.index() - self.first.index());
        let Some(output) = output.filter(|o| o.bias.is_some()) else { return LabAnswer::NoBias };
        let Some(outcome) = output.offer(id, now, Some(value), taken) else { return LabAnswer::SeenBefore };
        note(samples, outcome);
        LabAnswer::Judged(outcome.verdict)
    }
}

/// A result of an analyser (None: a Bad one) and when it was taken; None when there is none.
///
/// What the conditioner has put in the place of a result is none. A reading that it refused is one all the same, to be refused and counted
/// here, as long as it has a time of its own; a link that is down gives none.
fn result(reading: &Sample, tag: &Conditioned) -> Option<(Option<f64>, Timestamp)> {
    let value = reading.value.map(Value::get);
    match tag.reason {
        Reason::Waiting | Reason::NotForControl | Reason::Simulated => None,
        // Judged by the rules of the bias: they know how old a sample may be, and where it must lie.
        Reason::Stale | Reason::Implausible if value.is_some() => Some((value, reading.source_time)),
        _ if tag.measured().is_some() => Some((tag.measured(), tag.source_time)),
        _ => (reading.source_time != reading.alive).then_some((None, reading.source_time)),
    }
}

impl Output {
    /// One output of one run. `before` lends what runs do not change.
    fn judge(
        &self,
        spec: &ModelOutput,
        now: Timestamp,
        started: Timestamp,
        raw: f64,
        inputs: &Inputs,
        before: &Prediction,
    ) -> Prediction {
        let bias = self.bias.as_ref().map_or(0.0, |b| b.bias);
        let Inputs { in_range, in_domain, domain, .. } = *inputs;
        let kept = Prediction { raw, bias, time: now, in_range, in_domain, domain, half_width: None, ..*before };
        let bad =
            |reason| Prediction { value: None, status: Status::BadSensorFailure, reason, in_domain: false, ..kept };
        if let (true, Some(d)) = (inputs.far, domain) {
            return bad(PredictionReason::FarOutsideDomain(d.statistic, d.worst));
        }
        let rejected = spec.reject_outside.is_some_and(|r| !r.contains(raw));
        let Some(value) = Value::new(raw + bias).filter(|_| !rejected) else {
            return Prediction { in_domain, ..bad(PredictionReason::OutputRejected) };
        };
        let half_width = self.interval.as_ref().map(Conformal::half_width);
        let limited = value.get().clamp(spec.range.low, spec.range.high);
        let (mut status, mut reason) = (inputs.status, inputs.reason);
        if limited != value.get() {
            let bits = if limited < value.get() { Status::LIMIT_HIGH } else { Status::LIMIT_LOW };
            status = status.worst(Status::UncertainEngineeringUnitsExceeded).with_limit(bits);
            reason = PredictionReason::OutputLimited;
        } else if status.is_good()
            && let Some(doubt) = self.doubt(spec, now, started, half_width)
        {
            (status, reason) = (Status::UncertainSensorNotAccurate, doubt);
        }
        Prediction { value: Value::new(limited), status, reason, half_width, ..kept }
    }

    /// What samples say against a prediction whose inputs are fine.
    fn doubt(
        &self,
        spec: &ModelOutput,
        now: Timestamp,
        started: Timestamp,
        half_width: Option<f64>,
    ) -> Option<PredictionReason> {
        let too_wide = half_width.zip(spec.too_wide).is_some_and(|(half, width)| 2.0 * half > width);
        if self.bias.as_ref().is_some_and(|b| b.expired(now, started)) {
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
            interval.learn(error, covered);
        }
        Some(outcome)
    }

    fn show(&self, p: &mut Prediction) {
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
