//! The search: many starts climb at once through one batched run of the map per iteration.
//!
//! Each start keeps a *base* (its best point so far with gradients) and tries a *candidate*. A step follows the objective's gradient
//! and is projected on the box and on the linearised CV limits, the most important limit last, so that it has the last word
//! (gradient projection after Rosen, J. SIAM 8 (1960) 181-217; cyclic projections after Kaczmarz). A better candidate becomes the base and
//! the step grows; else the step halves. Points are compared by [`Key`]: limits by rank first, then the objective.
//!
//! Bounded: `iterations` runs of the map, each with work proportional to starts x MVs x CVs. Own code allocates nothing per solve.

use flyball_core::bounds::CVS_MAX;
use flyball_core::optimum::{CvProblem, Problem};
use flyball_core::ports::Probe;

use crate::engine::SteadyMap;
use crate::halton::spread;
use crate::objective::Objective;

/// A violation below this share of the CV's scale counts as none, and violations are compared in steps of it.
pub(crate) const VIOLATION_STEP: f64 = 1e-4;
/// Slack that a projected step aims for, so that rounding does not end just outside.
const SLACK_AIM: f64 = 0.25 * VIOLATION_STEP;
/// Distance of finite differences, share of an MV's range: large against f32 rounding, small against curvature.
const DIFFERENCE: f64 = 1e-3;
/// First, largest and smallest step, share of an MV's range.
const STEP_FIRST: f64 = 0.25;
const STEP_MAX: f64 = 0.5;
const STEP_MIN: f64 = 1e-5;
/// Rounds of projection per step.
const PROJECTIONS: usize = 8;

/// How good a point is. A total order: fewer unmet ranks (rank 1 counts most), then smaller violations by rank, then the objective.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Bit 63: outside the MV limits. Bit 62 - level: a limit of that rank is not met.
    pub unmet: u64,
    /// Sum of violations per rank in steps of [`VIOLATION_STEP`].
    pub amount: [u32; CVS_MAX],
    /// More is better; -infinity when the map gave no usable number.
    pub value: f64,
}

impl Key {
    pub(crate) const WORST: Self = Self { unmet: u64::MAX, amount: [u32::MAX; CVS_MAX], value: f64::NEG_INFINITY };

    /// No rank worse, judged in the order of importance: violations only.
    pub(crate) fn limits_no_worse_than(&self, other: &Self) -> bool {
        (self.unmet, self.amount) <= (other.unmet, other.amount)
    }

    /// For moves on the way to `goal`: judged rank by rank, what the goal meets first, then what it gives up. A less important limit may
    /// get worse only when a more important one gets better by more than rounding.
    pub(crate) fn move_no_worse_than(&self, stay: &Self, goal: &Self) -> bool {
        const MORE_THAN_ROUNDING: u32 = 4;
        for given_up in [false, true] {
            for level in (0..CVS_MAX).filter(|l| (goal.unmet & (1 << (62 - l)) != 0) == given_up) {
                let (moved, stayed) = (self.amount[level], stay.amount[level]);
                if moved > stayed {
                    return false;
                }
                if stayed - moved > MORE_THAN_ROUNDING {
                    return true;
                }
            }
        }
        true
    }

    pub(crate) fn better_than(&self, other: &Self) -> bool {
        let (a, b) = ((self.unmet, self.amount), (other.unmet, other.amount));
        a < b || (a == b && self.value > other.value)
    }

    /// The order inside one phase of the search: ranks in the order that this phase gives them.
    fn better_in_phase(&self, other: &Self, order: &[u8]) -> bool {
        for level in order {
            let (a, b) = (self.amount[usize::from(*level)], other.amount[usize::from(*level)]);
            if a != b {
                return a < b;
            }
        }
        self.value > other.value
    }
}

/// One climbing start. Coordinates are shares of each MV's box, 0 to 1.
#[derive(Debug, Clone)]
struct Climber {
    base: Vec<f64>,
    candidate: Vec<f64>,
    key: Key,
    slope: Vec<f64>,
    cv: Vec<f64>,
    cv_slope: Vec<f64>,
    step: f64,
    done: bool,
}

/// What a search ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub iterations: u32,
    pub converged: bool,
    pub over_budget: bool,
}

/// The search and its preallocated memory.
pub(crate) struct Search {
    map: Box<dyn SteadyMap>,
    objective: Objective,
    sign: f64,
    mv_input: Vec<usize>,
    ranges: Vec<(f64, f64)>,
    x: Vec<f64>,
    y: Vec<f64>,
    climbers: Vec<Climber>,
    direction: Vec<f64>,
    /// Box of each MV in this solve, EU, and whether it may move.
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    pub free: Vec<bool>,
    /// Rank of each CV as level 0, 1, ...; the number of levels.
    level: Vec<u8>,
    levels: usize,
    order: Vec<u8>,
    /// Best point so far, EU, and its key.
    pub best: Vec<f64>,
    pub best_key: Key,
}

impl Search {
    /// Rows that one run of the map must answer.
    pub(crate) fn rows(starts: usize, mvs: usize) -> usize {
        (starts * (1 + mvs)).max(mvs + 6)
    }

    pub(crate) fn new(
        map: Box<dyn SteadyMap>,
        objective: Objective,
        sign: f64,
        mv_input: Vec<usize>,
        ranges: Vec<(f64, f64)>,
        starts: usize,
        cvs: usize,
    ) -> Self {
        let n = mv_input.len();
        let climber = Climber {
            base: vec![0.0; n],
            candidate: vec![0.0; n],
            key: Key::WORST,
            slope: vec![0.0; n],
            cv: vec![0.0; cvs],
            cv_slope: vec![0.0; cvs * n],
            step: STEP_FIRST,
            done: false,
        };
        Self {
            x: vec![0.0; map.rows() * map.inputs()],
            y: vec![0.0; map.rows() * map.outputs()],
            map,
            objective,
            sign,
            mv_input,
            ranges,
            climbers: vec![climber; starts],
            direction: vec![0.0; n],
            low: vec![0.0; n],
            high: vec![0.0; n],
            free: vec![false; n],
            level: vec![0; cvs],
            levels: 0,
            order: Vec::with_capacity(CVS_MAX),
            best: vec![0.0; n],
            best_key: Key::WORST,
        }
    }

    pub(crate) fn starts(&self) -> usize {
        self.climbers.len()
    }

    /// Map input of an MV.
    pub(crate) fn input_of(&self, mv: usize) -> usize {
        self.mv_input[mv]
    }

    /// Writes the same point into every row, so that no row is left from an earlier solve.
    pub(crate) fn fill(&mut self, problem: &Problem, mvs: &[f64]) {
        for row in 0..self.map.rows() {
            self.set_row(row, problem, mvs);
        }
    }

    /// Sets the box: the problem's limits inside the training range. An MV that cannot move is fixed where it is.
    pub(crate) fn pose(&mut self, problem: &Problem) {
        for (i, mv) in problem.mvs.iter().enumerate() {
            let (train_low, train_high) = self.ranges[self.mv_input[i]];
            let (low, high) = (mv.low.max(train_low), mv.high.min(train_high));
            self.free[i] = mv.free && low < high;
            (self.low[i], self.high[i]) = if self.free[i] { (low, high) } else { (mv.now, mv.now) };
        }
        self.levels = 0;
        for (i, cv) in problem.cvs.iter().enumerate() {
            let more_important = |other: &CvProblem| other.priority < cv.priority;
            let seen = |k: usize| problem.cvs[..k].iter().any(|c| c.priority == problem.cvs[k].priority);
            let level = (0..problem.cvs.len()).filter(|k| more_important(&problem.cvs[*k]) && !seen(*k)).count();
            self.level[i] = level as u8;
            self.levels = self.levels.max(level + 1);
        }
        self.order.clear();
        self.order.extend(0..self.levels as u8);
    }

    /// Writes one row of the batch: the problem's inputs inside the training range, with these MVs (EU).
    pub(crate) fn set_row(&mut self, row: usize, problem: &Problem, mvs: &[f64]) {
        let n = self.map.inputs();
        let cells = &mut self.x[row * n..(row + 1) * n];
        cells.copy_from_slice(&problem.inputs);
        for (input, mv) in self.mv_input.iter().zip(mvs) {
            cells[*input] = *mv;
        }
        for (cell, (low, high)) in cells.iter_mut().zip(&self.ranges) {
            *cell = cell.clamp(*low, *high);
        }
    }

    /// Runs the map on all rows and adds the output bias. False when the engine failed.
    pub(crate) fn run(&mut self, problem: &Problem) -> bool {
        if self.map.run(&self.x, &mut self.y).is_err() {
            return false;
        }
        for row in self.y.chunks_exact_mut(self.map.outputs()) {
            for (cell, bias) in row.iter_mut().zip(&problem.output_bias) {
                *cell += bias;
            }
        }
        true
    }

    /// Objective of a row, more is better.
    pub(crate) fn value(&self, row: usize, problem: &Problem) -> f64 {
        let (n, m) = (self.map.inputs(), self.map.outputs());
        let (x, y) = (&self.x[row * n..(row + 1) * n], &self.y[row * m..(row + 1) * m]);
        self.sign * self.objective.value(x, y, &problem.prices)
    }

    /// Prediction of a CV in a row.
    pub(crate) fn cv(&self, row: usize, cv: &CvProblem) -> f64 {
        self.y[row * self.map.outputs() + cv.map_output as usize]
    }

    /// Key of a row; None when a number that matters is not finite.
    pub(crate) fn key(&self, row: usize, problem: &Problem) -> Option<Key> {
        let value = self.value(row, problem);
        let mut sums = [0.0; CVS_MAX];
        let mut finite = value.is_finite();
        let mut key = Key { unmet: 0, amount: [0; CVS_MAX], value };
        for (cv, level) in problem.cvs.iter().zip(&self.level).filter(|(cv, _)| cv.active) {
            let predicted = self.cv(row, cv);
            finite &= predicted.is_finite();
            let share = violation(cv, predicted) / cv.scale;
            if share >= VIOLATION_STEP {
                key.unmet |= 1 << (62 - level);
                sums[usize::from(*level)] += share;
            }
        }
        for (amount, sum) in key.amount.iter_mut().zip(sums) {
            // Saturates at the top, which is far outside any range.
            *amount = (sum / VIOLATION_STEP) as u32;
        }
        finite.then_some(key)
    }

    /// Climbs from all starts within the iteration budget. `best` and `best_key` hold the incumbent before and after; `previous` is the
    /// last answer, if there is one. `now` must be the present point, EU.
    pub(crate) fn climb(
        &mut self,
        problem: &Problem,
        previous: Option<&[f64]>,
        budget: u32,
        probe: &mut dyn Probe,
    ) -> Ending {
        self.place(problem, previous);
        let mut ending = Ending { iterations: 0, converged: false, over_budget: false };
        let (mut phase_end, mut given_up) = (budget.div_ceil(2), 0_u64);
        while ending.iterations < budget {
            if probe.over_budget() {
                ending.over_budget = true;
                return ending;
            }
            if !self.iterate(problem) {
                return ending;
            }
            ending.iterations += 1;
            let settled = self.climbers.iter().all(|c| c.done);
            if settled || ending.iterations >= phase_end {
                if self.demote(&mut given_up) {
                    phase_end = ending.iterations + (budget - ending.iterations).div_ceil(2);
                } else if settled {
                    ending.converged = true;
                    return ending;
                } else {
                    phase_end = budget;
                }
            }
        }
        ending
    }

    /// Puts the candidates on their starting points: the present one, the last answer, then a Halton sequence.
    fn place(&mut self, problem: &Problem, previous: Option<&[f64]>) {
        for (k, climber) in self.climbers.iter_mut().enumerate() {
            climber.key = Key::WORST;
            climber.step = STEP_FIRST;
            climber.done = false;
            for (i, mv) in problem.mvs.iter().enumerate() {
                let width = self.high[i] - self.low[i];
                let share = match (k, previous) {
                    (0, _) => (mv.now - self.low[i]) / width,
                    (1, Some(answer)) => (answer[i] - self.low[i]) / width,
                    _ => spread(k, i),
                };
                climber.candidate[i] = if self.free[i] { share.clamp(0.0, 1.0) } else { 0.0 };
            }
        }
    }

    fn eu(&self, i: usize, share: f64) -> f64 {
        // The clamp makes the box exact whatever the rounding.
        (self.low[i] + share * (self.high[i] - self.low[i])).clamp(self.low[i], self.high[i])
    }

    /// One run of the map: judge each candidate, take or reject it, propose the next. False when the engine failed.
    fn iterate(&mut self, problem: &Problem) -> bool {
        let n = self.mv_input.len();
        let mut point = [0.0; flyball_core::bounds::MVS_MAX];
        for k in 0..self.climbers.len() {
            for column in 0..=n {
                for i in 0..n {
                    let share = self.climbers[k].candidate[i];
                    let share = if i + 1 == column { share + difference(share) } else { share };
                    point[i] = self.eu(i, share);
                }
                self.set_row(k * (1 + n) + column, problem, &point[..n]);
            }
        }
        if !self.run(problem) {
            return false;
        }
        for k in 0..self.climbers.len() {
            self.judge(k, problem);
            self.propose(k, problem);
        }
        true
    }

    fn judge(&mut self, k: usize, problem: &Problem) {
        let n = self.mv_input.len();
        let row = k * (1 + n);
        let key = self.key(row, problem).unwrap_or(Key::WORST);
        if key.better_than(&self.best_key) {
            self.best_key = key;
            for i in 0..n {
                self.best[i] = self.eu(i, self.climbers[k].candidate[i]);
            }
        }
        if self.climbers[k].done {
            return;
        }
        if !key.better_in_phase(&self.climbers[k].key, &self.order) {
            let climber = &mut self.climbers[k];
            climber.step *= 0.5;
            climber.done |= climber.step < STEP_MIN;
            return;
        }
        let value = self.value(row, problem);
        for i in 0..n {
            let by = difference(self.climbers[k].candidate[i]);
            let slope = if self.free[i] { (self.value(row + 1 + i, problem) - value) / by } else { 0.0 };
            self.climbers[k].slope[i] = if slope.is_finite() { slope } else { 0.0 };
        }
        for (j, cv) in problem.cvs.iter().enumerate() {
            let predicted = self.cv(row, cv);
            self.climbers[k].cv[j] = predicted;
            for i in 0..n {
                let by = difference(self.climbers[k].candidate[i]);
                let slope = if self.free[i] { (self.cv(row + 1 + i, cv) - predicted) / by } else { 0.0 };
                self.climbers[k].cv_slope[j * n + i] = if slope.is_finite() { slope } else { 0.0 };
            }
        }
        let climber = &mut self.climbers[k];
        climber.key = key;
        climber.base.copy_from_slice(&climber.candidate);
        climber.step = (climber.step * 2.0).min(STEP_MAX);
    }

    /// The next candidate of a start: gradient step, projected on box and linearised limits.
    fn propose(&mut self, k: usize, problem: &Problem) {
        let climber = &mut self.climbers[k];
        let d = &mut self.direction;
        let steepest = climber.slope.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
        let factor = if steepest > 0.0 { climber.step / steepest } else { 0.0 };
        for ((d, slope), base) in d.iter_mut().zip(&climber.slope).zip(&climber.base) {
            *d = in_box(slope * factor, *base, climber.step);
        }
        for _ in 0..PROJECTIONS {
            for level in self.order.iter().rev() {
                let members = problem.cvs.iter().enumerate().filter(|(j, cv)| cv.active && self.level[*j] == *level);
                for (j, cv) in members {
                    let n = climber.base.len();
                    let slope = &climber.cv_slope[j * n..(j + 1) * n];
                    project(d, slope, climber.cv[j], cv, &climber.base, climber.step);
                }
            }
        }
        let mut moved = 0.0_f64;
        for ((candidate, base), d) in climber.candidate.iter_mut().zip(&climber.base).zip(d.iter()) {
            *candidate = (base + d).clamp(0.0, 1.0);
            moved = moved.max((*candidate - base).abs());
        }
        climber.done |= moved < STEP_MIN;
    }

    /// The most important rank that the incumbent does not meet becomes the least important for the rest of the search: if it cannot be
    /// met, the others should be. False when there is none left to give up.
    fn demote(&mut self, given_up: &mut u64) -> bool {
        let unmet = (0..self.levels).find(|l| self.best_key.unmet & (1 << (62 - l)) != 0 && *given_up & (1 << l) == 0);
        let Some(level) = unmet else { return false };
        *given_up |= 1 << level;
        let Some(at) = self.order.iter().position(|l| usize::from(*l) == level) else { return false };
        if at + 1 == self.order.len() {
            return false;
        }
        self.order[at..].rotate_left(1);
        for (k, climber) in self.climbers.iter_mut().enumerate() {
            // Its base is judged anew, because the order of importance changed.
            climber.key = Key::WORST;
            climber.step = STEP_FIRST;
            climber.done = false;
            climber.candidate.copy_from_slice(&climber.base);
            // All have climbed towards the limit that is now given up; most must look elsewhere.
            if k >= 2 {
                for (i, share) in climber.candidate.iter_mut().enumerate() {
                    *share = if self.free[i] { spread(k, i) } else { 0.0 };
                }
            }
        }
        true
    }
}

/// Violation of a CV's limits, EU, at least 0.
pub(crate) fn violation(cv: &CvProblem, predicted: f64) -> f64 {
    (cv.low - predicted).max(predicted - cv.high).max(0.0)
}

/// Finite difference at a share, pointing into the box.
fn difference(share: f64) -> f64 {
    if share > 0.5 { -DIFFERENCE } else { DIFFERENCE }
}

fn in_box(d: f64, base: f64, step: f64) -> f64 {
    d.clamp((-base).max(-step), (1.0 - base).min(step))
}

/// Moves `d` by the shortest way so that the linearised CV keeps both limits, inside the box.
fn project(d: &mut [f64], slope: &[f64], value: f64, cv: &CvProblem, base: &[f64], step: f64) {
    for (sign, limit) in [(1.0, cv.low), (-1.0, cv.high)] {
        if !limit.is_finite() {
            continue;
        }
        let along: f64 = slope.iter().zip(d.iter()).map(|(s, d)| s * d).sum();
        let slack = sign * (value + along - limit) / cv.scale - SLACK_AIM;
        if slack >= 0.0 {
            continue;
        }
        // Only MVs that can still go the right way share the correction.
        let can = |s: f64, d: f64, b: f64| {
            let way = sign * s;
            (way > 0.0 && in_box(d + 1.0, b, step) > d) || (way < 0.0 && in_box(d - 1.0, b, step) < d)
        };
        let norm: f64 = slope
            .iter()
            .zip(d.iter())
            .zip(base)
            .filter(|((s, d), b)| can(**s, **d, **b))
            .map(|((s, _), _)| s * s)
            .sum();
        if norm <= 0.0 {
            continue;
        }
        let by = -slack * cv.scale * sign / norm;
        for ((d, s), b) in d.iter_mut().zip(slope).zip(base) {
            if can(*s, *d, *b) {
                *d = in_box(*d + by * s, *b, step);
            }
        }
    }
}
