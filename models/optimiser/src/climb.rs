//! The search: many starts climb at once, each by sequential quadratic programming with exact gradients.
//!
//! Each start keeps a *base* (its best point so far) and tries a *candidate*. The step comes from the quadratic subproblem of [`crate::qp`] inside
//! a box-shaped trust region; curvature is learnt by damped BFGS updates (Powell 1978; Nocedal and Wright, "Numerical Optimization", 2nd ed.,
//! procedure 18.2). A candidate becomes the base when an exact penalty function falls (ibid. 18.3), or when it meets limits better by rank.
//! The incumbent over all starts is judged by [`Key`] alone: limits by rank, then cost.
//!
//! One iteration evaluates one candidate of every start that still climbs, in one batched run of the model. Bounded by the iteration budget;
//! a search can be left after any iteration and go on later. Nothing is allocated and nothing is random: same question, same bits.

use flyball_core::ports::Probe;

use crate::curvature;
use crate::halton::spread;
use crate::levels::{Key, LEVELS_MAX, VIOLATION_STEP};
use crate::nlp::{Nlp, Trial};
use crate::qp::{Qp, Question};

/// First trust region, share of each variable's box.
const RADIUS_FIRST: f64 = 0.5;
/// Below this step, share of the box, a start has converged.
const STEP_MIN: f64 = 1e-6;
/// A start whose linear-quadratic model promises less than this share of the first gradient has converged: 32-bit models resolve no more.
const PROMISE_MIN: f64 = 1e-6;
/// Share of the promise that must come true.
const ACCEPT: f64 = 1e-4;
/// Starts whose bases are this close climb the same hill; the worse one stops.
const SAME_HILL: f64 = 0.02;
/// Weight of a violation of the least important level in the penalty function, in first gradients; each level above counts this many times more.
const PENALTY: f64 = 4.0;
const PENALTY_PER_LEVEL: f64 = 30.0;
const PENALTY_MAX: f64 = 1e7;
/// The penalty must exceed the multiplier to be exact.
const PENALTY_MARGIN: f64 = 1.5;
/// Curvature that a start assumes before it has learnt any, in first gradients per box.
const CURVATURE_FIRST: f64 = 1.0;

/// One start.
#[derive(Debug, Clone)]
struct Climber {
    base: Trial,
    key: Key,
    hessian: Vec<f64>,
    inverse: Vec<f64>,
    penalty: Vec<f64>,
    multipliers: Vec<f64>,
    radius: f64,
    /// What the subproblem promised for the candidate that is tried.
    promise: f64,
    /// Largest component of the step to the candidate.
    stride: f64,
    started: bool,
    done: bool,
    converged: bool,
}

impl Climber {
    /// Forgets all but its place.
    fn restart(&mut self, variables: usize) {
        self.key = Key::WORST;
        self.base.usable = false;
        self.radius = RADIUS_FIRST;
        self.multipliers.fill(0.0);
        self.penalty.fill(0.0);
        self.hessian.fill(0.0);
        self.inverse.fill(0.0);
        for i in 0..variables {
            self.hessian[i * variables + i] = CURVATURE_FIRST;
            self.inverse[i * variables + i] = 1.0 / CURVATURE_FIRST;
        }
        (self.started, self.done, self.converged) = (false, false, false);
    }
}

/// What a search has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Iterations made.
    pub iterations: u32,
    /// No start climbs any more.
    pub settled: bool,
    /// The start that found the incumbent has converged.
    pub converged: bool,
}

/// What became of a search in one scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worked {
    /// It goes on in the next scan.
    Unfinished,
    /// It may be answered.
    Complete,
    /// The clock ended it; it may be answered.
    OverBudget,
}

/// The search and its memory.
#[derive(Debug, Clone)]
pub struct Search {
    climbers: Vec<Climber>,
    candidates: Vec<Trial>,
    wanted: Vec<bool>,
    qp: Qp,
    low: Vec<f64>,
    high: Vec<f64>,
    change: Vec<f64>,
    bend: Vec<f64>,
    /// Place of each level in use in the order of importance of this phase.
    order: Vec<u8>,
    /// Levels that turned out not to be met.
    given_up: u64,
    budget: u32,
    phase_end: u32,
    /// 1 / steepest slope of the cost at the first usable base: costs are compared in this unit.
    scale: f64,
    /// Best point so far.
    pub best: Trial,
    /// Its key.
    pub best_key: Key,
    best_start: usize,
    /// The candidate of the first start needs no evaluation.
    first_known: bool,
    progress: Progress,
}

impl Search {
    /// Memory for `starts` starts of a problem.
    #[must_use]
    pub fn new(starts: usize, variables: usize, rows: usize) -> Self {
        let climber = Climber {
            base: Trial::new(variables, rows),
            key: Key::WORST,
            hessian: vec![0.0; variables * variables],
            inverse: vec![0.0; variables * variables],
            penalty: vec![0.0; rows],
            multipliers: vec![0.0; rows],
            radius: RADIUS_FIRST,
            promise: 0.0,
            stride: 0.0,
            started: false,
            done: false,
            converged: false,
        };
        Self {
            climbers: vec![climber; starts],
            candidates: vec![Trial::new(variables, rows); starts],
            wanted: vec![false; starts],
            qp: Qp::new(variables, rows),
            low: vec![0.0; variables],
            high: vec![0.0; variables],
            change: vec![0.0; variables],
            bend: vec![0.0; variables],
            order: Vec::with_capacity(LEVELS_MAX),
            given_up: 0,
            budget: 0,
            phase_end: 0,
            scale: 0.0,
            best: Trial::new(variables, rows),
            best_key: Key::WORST,
            best_start: 0,
            first_known: false,
            progress: Progress::default(),
        }
    }

    /// Number of starts.
    #[must_use]
    pub fn starts(&self) -> usize {
        self.climbers.len()
    }

    /// What it has come to.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Begins a search from `stay` with its key, the incumbent that has to be beaten, from `previous` (shares), and from starts that are
    /// spread evenly. `inside` says that the shares of `stay` are the point at which it was evaluated, and not one outside the box.
    /// `budget` is the number of iterations that it may take in all.
    pub fn begin(&mut self, nlp: &dyn Nlp, stay: (&Trial, Key), inside: bool, previous: Option<&[f64]>, budget: u32) {
        copy(&mut self.best, stay.0);
        self.best_key = stay.1;
        self.first_known = inside;

        let levels = nlp.limits().iter().map(|l| usize::from(l.level) + 1).max().unwrap_or(0).min(LEVELS_MAX);
        self.order.clear();
        self.order.extend(0..levels as u8);
        self.given_up = 0;
        (self.budget, self.phase_end) = (budget, budget.div_ceil(2));
        self.scale = 0.0;
        self.best_start = 0;
        self.progress = Progress::default();
        let n = nlp.variables();
        for (k, (climber, candidate)) in self.climbers.iter_mut().zip(&mut self.candidates).enumerate() {
            for (i, share) in candidate.point.iter_mut().enumerate() {
                *share = match (k, previous) {
                    (0, _) => stay.0.point[i],
                    (1, Some(answer)) => answer[i],
                    _ => spread(k, i),
                }
                .clamp(0.0, 1.0);
            }
            climber.restart(n);
        }
    }

    /// One iteration. False when no start climbs any more.
    pub fn iterate(&mut self, nlp: &mut dyn Nlp) -> bool {
        if self.progress.settled {
            return false;
        }
        for (wanted, climber) in self.wanted.iter_mut().zip(&self.climbers) {
            *wanted = !climber.done;
        }
        if core::mem::take(&mut self.first_known) {
            // Staying was evaluated already.
            copy(&mut self.candidates[0], &self.best);
            self.wanted[0] = false;
        }
        nlp.evaluate(&mut self.candidates, &self.wanted);
        self.wanted[0] |= !self.climbers[0].done;
        self.progress.iterations += 1;
        for k in 0..self.climbers.len() {
            if self.wanted[k] {
                self.judge(k, nlp);
            }
        }
        for k in 0..self.climbers.len() {
            if self.wanted[k] && !self.climbers[k].done && !self.same_hill(k) {
                self.propose(k, nlp);
            }
        }
        let settled = self.climbers.iter().all(|c| c.done);
        let phase_over = settled || self.progress.iterations >= self.phase_end;
        if phase_over && self.give_up(nlp.variables()) {
            let left = self.budget.saturating_sub(self.progress.iterations);
            self.phase_end = self.progress.iterations + left.div_ceil(2);
            return true;
        }
        if phase_over {
            self.phase_end = u32::MAX;
        }
        self.progress.settled = settled;
        self.progress.converged = self.climbers[self.best_start].converged;
        !settled
    }

    /// Iterates until nothing climbs any more or the iterations of the solve are used up: complete. Before that it stops when those of
    /// one scan are used up, to go on later, or when the clock ran out.
    pub fn work(&mut self, nlp: &mut dyn Nlp, iterations: u32, of_scan: u32, probe: &mut dyn Probe) -> Worked {
        for in_scan in 0.. {
            if self.progress.settled || self.progress.iterations >= iterations {
                break;
            }
            if in_scan == of_scan {
                return Worked::Unfinished;
            }
            if probe.over_budget() {
                return Worked::OverBudget;
            }
            self.iterate(nlp);
        }
        Worked::Complete
    }

    /// Whether the incumbent is worth leaving `stay`: it meets other limits, or costs less by more than `gain`.
    #[must_use]
    pub fn worth_leaving(&self, stay: &Key, gain: f64) -> bool {
        let best = &self.best_key;
        let same_limits = best.limits_no_worse_than(stay) && stay.limits_no_worse_than(best);
        !same_limits || stay.cost - best.cost > gain.max(0.0)
    }

    /// The most important level that the incumbent does not meet becomes the least important for the rest of the search: what cannot be met
    /// must not cost the others. False when there is none left to give up.
    fn give_up(&mut self, variables: usize) -> bool {
        let unmet = |l: &usize| self.best_key.gives_up(*l) && self.given_up & Key::bit(*l) == 0;
        let Some(level) = (0..self.order.len()).find(unmet) else { return false };
        self.given_up |= Key::bit(level);
        let place = self.order[level];
        if usize::from(place) + 1 == self.order.len() {
            return false;
        }
        for other in self.order.iter_mut().filter(|o| **o > place) {
            *other -= 1;
        }
        self.order[level] = (self.order.len() - 1) as u8;
        for (k, (climber, candidate)) in self.climbers.iter_mut().zip(&mut self.candidates).enumerate() {
            // All have climbed towards the limit that is now given up; most must look elsewhere.
            for (i, share) in candidate.point.iter_mut().enumerate() {
                *share = if k < 2 { climber.base.point[i] } else { spread(k, i) };
            }
            climber.restart(variables);
        }
        true
    }

    /// Multipliers of the limits at the incumbent, in cost per unit of concern, from the subproblem there: what each limit is worth.
    pub fn multipliers(&mut self, nlp: &dyn Nlp) {
        let scale = if self.scale > 0.0 { self.scale } else { 1.0 };
        for (i, share) in self.best.point.iter().enumerate() {
            (self.low[i], self.high[i]) = (-share, 1.0 - share);
            self.bend[i] = scale * self.best.gradient[i];
        }
        self.qp.solve(&Question {
            inverse: &self.climbers[self.best_start].inverse,
            gradient: &self.bend,
            rows: &self.best.rows,
            slopes: &self.best.slopes,
            limits: nlp.limits(),
            order: &self.order,
            low: &self.low,
            high: &self.high,
        });
        self.qp.multipliers.iter_mut().for_each(|m| *m /= scale);
    }

    /// What [`Search::multipliers`] found.
    #[must_use]
    pub fn best_multipliers(&self) -> &[f64] {
        &self.qp.multipliers
    }

    /// Takes or rejects the candidate of a start.
    fn judge(&mut self, k: usize, nlp: &dyn Nlp) {
        let candidate = &self.candidates[k];
        let key = Key::of(candidate, nlp.limits());
        if key.better_than(&self.best_key) {
            self.best_key = key;
            self.best_start = k;
            copy(&mut self.best, candidate);
        }
        let climber = &mut self.climbers[k];
        if !climber.started {
            climber.done = !candidate.usable;
            if candidate.usable {
                climber.started = true;
                climber.key = key;
                copy(&mut climber.base, candidate);
                let steepest = candidate.gradient.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
                if self.scale == 0.0 && steepest > 0.0 {
                    self.scale = 1.0 / steepest;
                }
            }
            return;
        }
        let gain = penalty(&climber.base, &climber.penalty, nlp, self.scale)
            - penalty(candidate, &climber.penalty, nlp, self.scale);
        let meets_more = candidate.usable && key.meets_more_than(&climber.key, &self.order);
        if candidate.usable && (gain >= ACCEPT * climber.promise || meets_more) {
            learn(climber, candidate, self.scale, &mut self.change, &mut self.bend);
            if gain > 0.75 * climber.promise && climber.stride > 0.9 * climber.radius {
                climber.radius = (2.0 * climber.radius).min(1.0);
            } else if gain < 0.25 * climber.promise {
                climber.radius = (0.5 * climber.radius).min(climber.stride);
            }
            climber.key = key;
            copy(&mut climber.base, candidate);
        } else {
            climber.radius = 0.3 * climber.stride;
            // What is promised lies below what the model resolves.
            climber.converged |= climber.promise < 10.0 * PROMISE_MIN;
            climber.done |= climber.converged;
        }
    }

    /// Stops a start that climbs the hill of a better one.
    fn same_hill(&mut self, k: usize) -> bool {
        let me = &self.climbers[k];
        let near = |other: &Climber| {
            other.started
                && other.base.point.iter().zip(&me.base.point).all(|(a, b)| (a - b).abs() <= SAME_HILL)
                && !me.key.better_than(&other.key)
        };
        let better = |j: usize| self.climbers[j].key.better_than(&me.key) || j < k;
        let same = (0..self.climbers.len()).any(|j| j != k && better(j) && near(&self.climbers[j]));
        self.climbers[k].done |= same;
        same
    }

    /// The next candidate of a start.
    fn propose(&mut self, k: usize, nlp: &dyn Nlp) {
        let climber = &mut self.climbers[k];
        let candidate = &mut self.candidates[k];
        let scale = if self.scale > 0.0 { self.scale } else { 1.0 };
        for (i, share) in climber.base.point.iter().enumerate() {
            self.low[i] = (-share).max(-climber.radius);
            self.high[i] = (1.0 - share).min(climber.radius);
            self.bend[i] = scale * climber.base.gradient[i];
        }
        self.qp.solve(&Question {
            inverse: &climber.inverse,
            gradient: &self.bend,
            rows: &climber.base.rows,
            slopes: &climber.base.slopes,
            limits: nlp.limits(),
            order: &self.order,
            low: &self.low,
            high: &self.high,
        });
        climber.multipliers.copy_from_slice(&self.qp.multipliers);
        climber.stride = 0.0;
        for (i, share) in candidate.point.iter_mut().enumerate() {
            *share = (climber.base.point[i] + self.qp.step[i]).clamp(0.0, 1.0);
            climber.stride = climber.stride.max((*share - climber.base.point[i]).abs());
        }
        // Levels that are in use share the span of weights that 64-bit arithmetic leaves.
        let levels = self.order.len();
        let per_level = PENALTY_PER_LEVEL.min((PENALTY_MAX / PENALTY).powf(1.0 / levels.max(1) as f64));
        for (j, limits) in nlp.limits().iter().enumerate() {
            let below = levels as i32 - 1 - i32::from(self.order[usize::from(limits.level)]);
            let exact = PENALTY_MARGIN * climber.multipliers[j].abs();
            // Ranks count against each other only where not all can be met: heavier than exact makes a curved limit a narrow path.
            let by_rank = if self.qp.relaxed { PENALTY * per_level.powi(below) } else { 1.0 };
            climber.penalty[j] = climber.penalty[j].max(by_rank).max(exact);
        }
        let (cost_falls, limits_gain) = promise(climber, &self.qp.step, &self.bend, nlp);
        climber.promise = cost_falls + limits_gain;
        if limits_gain > 0.0 && climber.promise < 0.5 * limits_gain {
            // A step that restores limits must be worth it in the penalty function, whatever it costs (ibid. 18.36).
            let more = (-2.0 * cost_falls / limits_gain).min(PENALTY_MAX);
            climber.penalty.iter_mut().for_each(|p| *p = (*p * more).min(PENALTY_MAX));
            climber.promise = cost_falls + promise(climber, &self.qp.step, &self.bend, nlp).1;
        }
        if climber.stride < STEP_MIN || climber.promise < PROMISE_MIN {
            climber.done = true;
            climber.converged = true;
        }
    }
}

/// What the linearised problem promises for a step: the fall of the cost, and that of the penalties.
fn promise(climber: &Climber, step: &[f64], gradient: &[f64], nlp: &dyn Nlp) -> (f64, f64) {
    let n = step.len();
    let (mut cost, mut limits_gain) = (0.0, 0.0);
    for i in 0..n {
        let curved: f64 = climber.hessian[i * n..(i + 1) * n].iter().zip(step).map(|(h, d)| h * d).sum();
        cost -= step[i] * (gradient[i] + 0.5 * curved);
    }
    for (j, limits) in nlp.limits().iter().enumerate() {
        let along: f64 = climber.base.slope(j).iter().zip(step).map(|(s, d)| s * d).sum();
        let value = climber.base.rows[j];
        let falls = excess(limits.violation(value)) - excess(limits.violation(value + along));
        limits_gain += climber.penalty[j] * falls;
    }
    (cost, limits_gain)
}

/// The exact penalty function, in first gradients.
fn penalty(trial: &Trial, weights: &[f64], nlp: &dyn Nlp, scale: f64) -> f64 {
    let violated: f64 = (nlp.limits().iter().zip(&trial.rows).zip(weights))
        .map(|((limits, value), weight)| weight * excess(limits.violation(*value)))
        .sum();
    trial.cost * if scale > 0.0 { scale } else { 1.0 } + violated
}

/// A violation that counts as none costs nothing, so that steps along a curved limit are not refused for it.
fn excess(violation: f64) -> f64 {
    (violation - 0.5 * VIOLATION_STEP).max(0.0)
}

/// Damped BFGS update of the curvature of the Lagrangian from base to candidate.
fn learn(climber: &mut Climber, candidate: &Trial, scale: f64, change: &mut [f64], bend: &mut [f64]) {
    let n = change.len();
    let scale = if scale > 0.0 { scale } else { 1.0 };
    for i in 0..n {
        change[i] = candidate.point[i] - climber.base.point[i];
        bend[i] = scale * (candidate.gradient[i] - climber.base.gradient[i]);
    }
    for (j, multiplier) in climber.multipliers.iter().enumerate().filter(|(_, m)| **m != 0.0) {
        let slopes = candidate.slope(j).iter().zip(climber.base.slope(j));
        for (bend, (new, old)) in bend.iter_mut().zip(slopes) {
            *bend -= multiplier * (new - old);
        }
    }
    // climber.base is replaced by the caller: its gradient serves as memory.
    curvature::update(&mut climber.hessian, &mut climber.inverse, change, bend, &mut climber.base.gradient);
}

fn copy(to: &mut Trial, from: &Trial) {
    to.point.copy_from_slice(&from.point);
    to.gradient.copy_from_slice(&from.gradient);
    to.rows.copy_from_slice(&from.rows);
    to.slopes.copy_from_slice(&from.slopes);
    to.cost = from.cost;
    to.usable = from.usable;
}
