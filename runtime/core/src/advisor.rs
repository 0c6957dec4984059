//! Advisor: asks the optimiser with the plant's present state, and turns its answer into recommendations. The third room of the scan.
//!
//! The map is corrected by the plant (output bias = plant - map at the present point, filtered), but only while the process is steady:
//! during a transient the difference is dynamics, not model error (RTO practice, domain guide 5.10).

use std::time::Duration;

use flyball_config::{BackOff, Config, Cv, InputSource, MatchPlant, Model, ModelOutput, Mv, ValueSource};
use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::bounds::{CVS_MAX, MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
use crate::condition::Conditioned;
use crate::feature::{FeatureLine, Quality, scans_of};
use crate::guard::{MvFacts, MvGuard};
use crate::optimum::{CvProblem, HeldBy, MvProblem, Optimum, Problem, SolveStatus};
use crate::ports::{Optimizer, Probe};
use crate::sensor::Prediction;
use crate::state::Archive;
use crate::time::{ScanCycle, Timestamp, nanos};

/// The map's own prediction may change by this share of an output's range and still count as steady.
const STEADY_BAND: f64 = 0.01;

/// State of the plant-to-map matching of one map output.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Match {
    /// Share of the difference taken per scan: 1 - exp(-cycle / filter).
    share: f64,
    bias: f64,
    started: bool,
    anchor: f64,
    steady_since: Option<Timestamp>,
}

impl Match {
    fn new(output: &ModelOutput, cycle: Duration) -> Self {
        let filter = output.match_plant.map_or(Duration::ZERO, |m| m.filter);
        let ratio = cycle.as_secs_f64() / filter.as_secs_f64().max(cycle.as_secs_f64());
        Self { share: 1.0 - (-ratio).exp(), bias: 0.0, started: false, anchor: 0.0, steady_since: None }
    }
}

/// Move limits hold per `move_per`; one optimiser period may be shorter (a part of them) or longer (still one whole move).
fn moves_per_run(mv: &Mv, every: Duration) -> (f64, f64) {
    let share = (every.as_secs_f64() / mv.move_per.as_secs_f64()).min(1.0);
    (mv.move_up * share, mv.move_down * share)
}

/// The optimiser with everything that is fixed about its question.
pub struct Advisor {
    map: Model,
    engine: Box<dyn Optimizer>,
    /// Filter and delay of each map input; those of MVs stay unused.
    lines: std::vec::Vec<FeatureLine>,
    matches: std::vec::Vec<Match>,
    cvs: std::vec::Vec<Cv>,
    /// Largest moves (up, down) of each MV in one optimiser period.
    moves: std::vec::Vec<(f64, f64)>,
    every_scans: u64,
    last_slot: Option<u64>,
    /// Scans of one step of a model that remembers; none for a steady-state map.
    step_scans: Option<u64>,
    last_step: Option<u64>,
    /// A solve that began in an earlier scan is not complete yet.
    solving: bool,
    problem: Problem,
    /// Newest answer.
    pub optimum: Optimum,
    /// Cycle of the newest answer.
    pub solved_at: Option<u64>,
    /// Failed solves in a row.
    pub failures: u32,
}

impl Advisor {
    /// Binds the optimiser of a configuration; None when it has none.
    #[must_use]
    pub fn new(config: &Config, engine: Option<Box<dyn Optimizer>>) -> Option<Self> {
        let settings = config.optimiser.as_ref()?;
        let map = config.models[settings.map.index()].clone();
        let mut prices = Vec::new();
        for p in &settings.prices {
            prices.push(p.value).ok()?;
        }
        let problem = Problem { mvs: Vec::new(), cvs: Vec::new(), inputs: Vec::new(), output_bias: Vec::new(), prices };
        Some(Self {
            every_scans: scans_of(settings.every, config.timing.cycle).max(1) as u64,
            lines: map.inputs.iter().map(|i| FeatureLine::new(i, config.timing.cycle)).collect(),
            matches: map.outputs.iter().map(|o| Match::new(o, config.timing.cycle)).collect(),
            cvs: config.cvs.clone(),
            moves: config.mvs.iter().map(|mv| moves_per_run(mv, settings.every)).collect(),
            map,
            engine: engine?,
            last_slot: None,
            step_scans: settings.horizon.as_ref().map(|h| scans_of(h.step, config.timing.cycle).max(1) as u64),
            last_step: None,
            solving: false,
            problem,
            optimum: Optimum::default(),
            solved_at: None,
            failures: 0,
        })
    }

    /// No solve is under way: a state taken now is whole.
    #[must_use]
    pub fn settled(&self) -> bool {
        !self.solving
    }

    /// Keeps filters, matching, prices, the newest answer and the memory of the engine; only while [`Advisor::settled`].
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        self.lines.iter_mut().for_each(|line| line.keep(archive));
        archive.keep_all(&mut self.matches);
        archive.keep(&mut self.last_slot);
        archive.keep(&mut self.last_step);
        archive.keep(&mut self.problem.prices);
        archive.keep(&mut self.optimum);
        archive.keep(&mut self.solved_at);
        archive.keep(&mut self.failures);
        self.engine.keep(archive);
    }

    /// Prices now.
    #[must_use]
    pub fn prices(&self) -> &[f64] {
        &self.problem.prices
    }

    /// Changes a price; false when there is no such price or the number is not finite.
    pub fn set_price(&mut self, index: u32, price: f64) -> bool {
        match self.problem.prices.get_mut(index as usize) {
            Some(p) if price.is_finite() => {
                *p = price;
                true
            }
            _ => false,
        }
    }

    /// Begins a solve when it is due and goes on with it in later scans until it is complete. `mvs`: facts per MV, and whether it is in
    /// service. Returns true when there is a new answer.
    ///
    /// Bounded: one map evaluation per scan for the matching, and the optimiser's own iteration budget of one scan.
    pub fn run(
        &mut self,
        cycle: &ScanCycle,
        tags: &[Conditioned],
        predictions: &[Prediction],
        mvs: &[(MvFacts, bool)],
        guards: &[MvGuard],
        probe: &mut dyn Probe,
    ) -> bool {
        let slot = cycle.number / self.every_scans;
        let due = self.last_slot != Some(slot);
        self.feed(cycle, tags, predictions);
        if !self.pose(tags, predictions, mvs, guards) {
            // What was asked before the inputs were lost is not worth an answer.
            self.solving = false;
            self.gap();
            if due {
                self.last_slot = Some(slot);
                self.fail(mvs);
            }
            return due;
        }
        match self.step_scans {
            Some(scans) => self.observe(cycle.number / scans, tags, predictions),
            None => self.match_plant(cycle.now, tags, predictions),
        }
        if due {
            self.last_slot = Some(slot);
            self.engine.begin(&self.problem, &self.optimum);
            self.solving = true;
        }
        if !self.solving || !self.engine.proceed(&mut self.optimum, probe) {
            return false;
        }
        self.solving = false;
        if self.optimum.status == SolveStatus::Failed {
            self.fail(mvs);
        } else {
            self.failures = 0;
            self.solved_at = Some(cycle.number);
        }
        true
    }

    /// Gives a model that remembers one step of the plant at its interval; steps are equally spaced, and after a gap it starts anew.
    fn observe(&mut self, step: u64, tags: &[Conditioned], predictions: &[Prediction]) {
        if self.last_step == Some(step) {
            return;
        }
        if self.last_step.is_some_and(|last| step > last + 1) {
            self.gap();
        }
        self.last_step = Some(step);
        let mut plant = [None; MODEL_OUTPUTS_MAX];
        for (i, (place, output)) in plant.iter_mut().zip(&self.map.outputs).enumerate() {
            // Where no match_plant says otherwise, the CV of an output is what the plant has of it.
            let of_cv = || self.cvs.iter().find(|cv| cv.map_output as usize == i).map(|cv| cv.source);
            let source = output.match_plant.map(|m| m.source).or_else(of_cv);
            *place = source.and_then(|source| value_of(source, tags, predictions));
        }
        self.engine.observe(&self.problem.inputs, &plant[..self.map.outputs.len().min(MODEL_OUTPUTS_MAX)]);
    }

    /// What a model remembers no longer joins the next step.
    fn gap(&mut self) {
        if self.last_step.take().is_some() {
            self.engine.reset();
        }
    }

    /// True when the newest answer may be followed.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.solved_at.is_some() && self.failures == 0
    }

    fn fail(&mut self, mvs: &[(MvFacts, bool)]) {
        self.failures = self.failures.saturating_add(1);
        self.optimum.status = SolveStatus::Failed;
        for (answer, (facts, _)) in self.optimum.mvs.iter_mut().zip(mvs) {
            answer.next = facts.readback.unwrap_or(answer.next);
            answer.held_by = HeldBy::Quality;
        }
    }

    /// Feeds the filters of the map's inputs; they run every scan, whether a solve is due or not.
    fn feed(&mut self, cycle: &ScanCycle, tags: &[Conditioned], predictions: &[Prediction]) {
        let scans = cycle.missed.saturating_add(1);
        for (input, line) in self.map.inputs.iter().zip(&mut self.lines) {
            let (value, good) = match input.source {
                InputSource::Tag(tag) => (tags[tag.index()].get(), tags[tag.index()].status.is_good()),
                InputSource::Prediction(id) => {
                    (predictions[id.index()].get(), predictions[id.index()].status.is_good())
                }
                InputSource::Mv(_) | InputSource::Age(_) => continue,
            };
            line.push(value, !good, scans);
        }
    }

    /// Writes the present state into the question; false when an input of the map is Bad.
    fn pose(
        &mut self,
        tags: &[Conditioned],
        predictions: &[Prediction],
        mvs: &[(MvFacts, bool)],
        guards: &[MvGuard],
    ) -> bool {
        let p = &mut self.problem;
        p.mvs.clear();
        p.cvs.clear();
        p.inputs.clear();
        p.output_bias.clear();
        for (((facts, in_service), guard), (move_up, move_down)) in
            mvs.iter().zip(guards).zip(self.moves.iter().copied())
        {
            let Some(now) = facts.readback else { return false };
            let tight = guard.tight(facts.operator);
            let (low, high) = tight.map_or((now, now), |t| (t.low, t.high));
            let free = *in_service && tight.is_some();
            let MvFacts { limited_high, limited_low, .. } = *facts;
            // Lists are as long as the configuration's, which `bounds` limits.
            let _ = p.mvs.push(MvProblem { now, low, high, move_up, move_down, free, limited_high, limited_low });
        }
        for (input, line) in self.map.inputs.iter().zip(&self.lines) {
            let value = match (input.source, line.read()) {
                (InputSource::Mv(mv), _) => p.mvs.get(mv.index()).map(|m| m.now),
                (_, (_, Quality::Bad | Quality::Waiting)) => None,
                (_, (value, _)) => Some(value),
            };
            let Some(value) = value else { return false };
            let _ = p.inputs.push(value);
        }
        for m in &self.matches {
            let _ = p.output_bias.push(m.bias);
        }
        for cv in &self.cvs {
            let active = value_of(cv.source, tags, predictions).is_some();
            let range = self.map.outputs[cv.map_output as usize].range;
            let back_off = back_off(cv, predictions);
            let _ = p.cvs.push(CvProblem {
                low: cv.low.map_or(f64::NEG_INFINITY, |l| l + back_off),
                high: cv.high.map_or(f64::INFINITY, |h| h - back_off),
                priority: cv.priority,
                scale: cv.concern.unwrap_or(range.span()),
                active,
                map_output: cv.map_output,
            });
        }
        true
    }

    fn match_plant(&mut self, now: Timestamp, tags: &[Conditioned], predictions: &[Prediction]) {
        if self.map.outputs.iter().all(|o| o.match_plant.is_none()) {
            return;
        }
        let mut inputs = [0.0; MODEL_INPUTS_MAX];
        let mut outputs = [0.0; MODEL_OUTPUTS_MAX];
        let (n, m) = (self.problem.inputs.len(), self.map.outputs.len().min(CVS_MAX));
        inputs[..n].copy_from_slice(&self.problem.inputs);
        if !self.engine.evaluate(&inputs[..n], &mut outputs[..m]) {
            return;
        }
        for i in 0..m {
            let output = &self.map.outputs[i];
            let (state, map) = (&mut self.matches[i], outputs[i]);
            if (map - state.anchor).abs() > STEADY_BAND * output.range.span() || state.steady_since.is_none() {
                state.anchor = map;
                state.steady_since = Some(now);
            }
            let Some(MatchPlant { source, filter }) = output.match_plant else { continue };
            let steady = state.steady_since.is_some_and(|s| nanos(now.since(s)) >= nanos(filter));
            let Some(plant) = value_of(source, tags, predictions).filter(|_| steady) else { continue };
            let target = plant - map;
            if state.started {
                state.bias += state.share * (target - state.bias);
            } else {
                state.bias = target;
                state.started = true;
            }
            self.problem.output_bias[i] = state.bias;
        }
    }
}

/// Present value of a CV or plant output, substituted values excluded.
#[must_use]
pub fn value_of(source: ValueSource, tags: &[Conditioned], predictions: &[Prediction]) -> Option<f64> {
    match source {
        ValueSource::Tag(tag) => tags[tag.index()].measured(),
        ValueSource::Prediction(id) => predictions[id.index()].get(),
    }
}

/// Distance kept from the limits of a CV, EU. A prediction without interval has no value either, and its CV is not considered.
#[must_use]
pub fn back_off(cv: &Cv, predictions: &[Prediction]) -> f64 {
    match (cv.back_off, cv.source) {
        (BackOff::Fixed(distance), _) => distance,
        (BackOff::HalfInterval, ValueSource::Prediction(id)) => predictions[id.index()].half_width.unwrap_or(0.0),
        (BackOff::HalfInterval, ValueSource::Tag(_)) => 0.0,
    }
}
