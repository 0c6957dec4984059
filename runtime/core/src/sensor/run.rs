//! One soft sensor: feeds its lines, runs its model when it is due, and offers it late samples. How an answer is judged is in `running.rs`.
//!
//! Here, the status of a prediction (domain guide 4.4): a Bad input makes it Bad; a held or substituted one makes it Uncertain.

use flyball_config::{Config, InputSource, Model, ModelId, PredictionId};

use super::running::{Run, RunningModel};
use super::{LabAnswer, Prediction, PredictionReason, note};
use crate::age::SampleAge;
use crate::bounds::{MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
use crate::condition::{Conditioned, Reason};
use crate::feature::{FeatureLine, Quality, scans_of};
use crate::image::Sample;
use crate::ports::Predictor;
use crate::sample::{SampleOutcome, Samples};
use crate::shadow::{ModelReport, Shadow, SwapRefusal};
use crate::state::Archive;
use crate::status::Status;
use crate::steady::Steadiness;
use crate::time::{ScanCycle, Timestamp};
use crate::value::Value;

/// One soft sensor with its lines, its model and perhaps a shadow.
pub(super) struct Sensor {
    id: ModelId,
    model: Model,
    lines: Vec<FeatureLine>,
    /// Per input; used by those that read an age.
    ages: Vec<SampleAge>,
    /// Per output: its rules of steadiness. They belong to the process, so a shadow shares them.
    steady: Vec<Vec<Steadiness>>,
    active: RunningModel,
    shadow: Option<Shadow>,
    first: PredictionId,
    every_scans: u64,
    last_slot: Option<u64>,
    started: Option<Timestamp>,
}

impl Sensor {
    /// Binds engines. All memory is allocated here.
    pub(super) fn new(
        config: &Config,
        id: ModelId,
        engine: Box<dyn Predictor>,
        shadow: Option<Box<dyn Predictor>>,
        first: PredictionId,
    ) -> Self {
        let model = &config.models[id.index()];
        let plausible = |tag| config.tag(tag).plausible;
        let steady = |output: &flyball_config::ModelOutput| {
            let rules = output.bias.map(|b| b.only_when).unwrap_or_default();
            rules.iter().flatten().map(|rule| Steadiness::new(*rule, model.every)).collect()
        };
        Self {
            id,
            lines: model.inputs.iter().map(|i| FeatureLine::new(i, config.timing.cycle)).collect(),
            ages: vec![SampleAge::default(); model.inputs.len()],
            steady: model.outputs.iter().map(steady).collect(),
            active: RunningModel::new(model, engine, &plausible),
            shadow: shadow.map(|candidate| Shadow::new(model, RunningModel::new(model, candidate, &plausible))),
            first,
            every_scans: scans_of(model.every, config.timing.cycle).max(1) as u64,
            last_slot: None,
            started: None,
            model: model.clone(),
        }
    }

    /// Keeps lines, model and shadow.
    pub(super) fn keep(&mut self, archive: &mut Archive<'_>) {
        self.lines.iter_mut().for_each(|line| line.keep(archive));
        archive.keep_all(&mut self.ages);
        self.steady.iter_mut().flatten().for_each(|rule| rule.keep(archive));
        // First: it may change places with the model.
        self.shadow.iter_mut().for_each(|shadow| shadow.keep(archive, &mut self.active));
        self.active.keep(archive);
        archive.keep(&mut self.last_slot);
        archive.keep(&mut self.started);
    }

    pub(super) fn id(&self) -> ModelId {
        self.id
    }

    /// Its first prediction.
    pub(super) fn first(&self) -> PredictionId {
        self.first
    }

    pub(super) fn reset_bias(&mut self) {
        self.active.reset_bias();
    }

    /// Swaps the model with its shadow; see [`Shadow::swap`].
    pub(super) fn swap(&mut self, promote: bool) -> Result<(), SwapRefusal> {
        self.shadow.as_mut().ok_or(SwapRefusal::NoShadow)?.swap(promote, &mut self.active)
    }

    pub(super) fn report(&self, report: &mut ModelReport) {
        self.active.watch.report(&mut report.watch);
        if let (Some(shadow), Some(report)) = (&self.shadow, &mut report.shadow) {
            shadow.report(report);
        }
    }

    /// Feeds the lines, and runs the model if it is due.
    pub(super) fn scan(&mut self, cycle: &ScanCycle, tags: &[Conditioned], predictions: &mut [Prediction]) {
        self.feed(cycle, tags, predictions);
        let slot = cycle.number / self.every_scans;
        if self.last_slot == Some(slot) {
            return;
        }
        if self.last_slot.is_some_and(|last| slot > last + 1) {
            self.active.forget();
            self.shadow.iter_mut().for_each(|s| s.gap(cycle.now));
        }
        self.last_slot = Some(slot);
        self.predict(cycle.now, predictions);
    }

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
        for rule in self.steady.iter_mut().flatten() {
            rule.push(tags[rule.tag().index()].measured());
        }
    }

    fn predict(&mut self, now: Timestamp, predictions: &mut [Prediction]) {
        let started = *self.started.get_or_insert(now);
        let mut steady = [false; MODEL_OUTPUTS_MAX];
        for (steady, rules) in steady.iter_mut().zip(&mut self.steady) {
            *steady = true;
            for rule in rules {
                // Every rule ends its run, whatever the others say.
                *steady &= rule.close();
            }
        }
        let mut inputs = [0.0; MODEL_INPUTS_MAX];
        let inputs = &mut inputs[..self.lines.len()];
        let first = self.first.index();
        let out = &mut predictions[first..first + self.model.outputs.len()];
        match self.gather(inputs) {
            Ok((status, reason)) => {
                let run = Run { now, started, inputs, status, reason, steady: &steady };
                self.active.run(&self.model, &run, out);
                if let Some(shadow) = &mut self.shadow {
                    shadow.run(&self.model, &run);
                }
            }
            Err((status, reason)) => {
                self.active.fail(now, out, status, reason);
                self.shadow.iter_mut().for_each(|s| s.gap(now));
            }
        }
    }

    /// Collects the inputs. Err when no model must run on them.
    fn gather(&self, inputs: &mut [f64]) -> Result<(Status, PredictionReason), (Status, PredictionReason)> {
        let (mut status, mut reason) = (Status::Good, PredictionReason::None);
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
            inputs[i] = value;
        }
        Ok((status, reason))
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
        for i in 0..self.model.outputs.len() {
            let rule = self.model.outputs[i].bias;
            if let Some((value, taken)) = rule.and_then(|r| result(&readings[r.with.index()], &tags[r.with.index()]))
                && let Some(outcome) = self.late(i, now, value, taken)
            {
                note(samples, outcome);
            }
            self.active.outputs[i].show(&mut predictions[self.first.index() + i]);
        }
    }

    /// Offers a late sample to the model and to its shadow; None when it was looked at before.
    fn late(&mut self, output: usize, now: Timestamp, value: Option<f64>, taken: Timestamp) -> Option<SampleOutcome> {
        let id = PredictionId(self.first.0 + output as u32);
        let outcome = self.active.offer(output, id, now, value, taken)?;
        if let Some(shadow) = &mut self.shadow {
            shadow.late(output, now, &outcome);
        }
        Some(outcome)
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
        let output = id.index() - self.first.index();
        if self.model.outputs.get(output).is_none_or(|o| o.bias.is_none()) {
            return LabAnswer::NoBias;
        }
        let Some(outcome) = self.late(output, now, Some(value), taken) else { return LabAnswer::SeenBefore };
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
