//! The answer of a horizon in an operator's terms: the first move, where the plan leads, what holds each MV, what each limit is worth.

use flyball_config::CvId;
use flyball_core::bounds::{CVS_MAX, MODEL_INPUTS_MAX, MVS_MAX};
use flyball_core::optimum::{CvOptimum, HeldBy, MvOptimum, Optimum, Problem, SENSITIVITIES, Sensitivity, SolveStatus};

use super::problem::Horizon;
use crate::answer::stay;
use crate::climb::Search;
use crate::levels::VIOLATION_STEP;
use crate::nlp::{Nlp, Trial};
use crate::setup::Setup;

/// A limit is active when the prediction is this close to it, in units of concern.
const ACTIVE_WITHIN: f64 = 2e-3;
/// An MV is at a limit, or has arrived, within this share of its range.
const AT_LIMIT: f64 = 1e-4;
/// An MV touches a CV when a hundredth of its range moves it by this much, in units of concern.
const TOUCHES: f64 = 1e-3;
/// Distance of the differences by disturbances, share of their range: large against 32-bit rounding.
const DIFFERENCE: f64 = 5e-3;

/// Writes answers; owns what that needs.
pub(crate) struct Answer {
    engineering: Vec<(f64, f64)>,
    /// Training range of each MV.
    trained: Vec<(f64, f64)>,
    /// Inputs that are no MVs, with the span of their range.
    disturbances: Vec<(usize, f64)>,
    cvs: usize,
    worth: Vec<f64>,
}

impl Answer {
    pub(crate) fn new(setup: &Setup, trained: Vec<(f64, f64)>, ranges: &[(f64, f64)]) -> Self {
        let is_mv = |i: &usize| setup.mvs.iter().any(|mv| mv.input == *i);
        Self {
            engineering: setup.mvs.iter().map(|mv| mv.engineering).collect(),
            trained,
            disturbances: (0..ranges.len()).filter(|i| !is_mv(i)).map(|i| (i, ranges[i].1 - ranges[i].0)).collect(),
            cvs: setup.cvs,
            worth: vec![0.0; setup.cvs],
        }
    }

    /// Engineering limits of each MV.
    pub(crate) fn engineering(&self) -> &[(f64, f64)] {
        &self.engineering
    }

    /// Number of CVs.
    pub(crate) fn cvs(&self) -> usize {
        self.cvs
    }

    /// The question could not be answered: every MV stays.
    pub(crate) fn failed(&self, problem: &Problem, optimum: &mut Optimum) {
        optimum.status = SolveStatus::Failed;
        optimum.sensitivities.clear();
        stay(problem, HeldBy::Quality, optimum);
    }

    /// Staying is as good.
    pub(crate) fn stay(&mut self, horizon: &Horizon, at: &Trial, objective: f64, optimum: &mut Optimum) {
        optimum.objective_optimum = objective;
        optimum.sensitivities.clear();
        self.worth.fill(0.0);
        self.report_cvs(horizon, at, optimum);
        stay(&horizon.problem, HeldBy::NoGain, optimum);
    }

    /// The incumbent of the search is the plan.
    pub(crate) fn go(&mut self, horizon: &mut Horizon, search: &mut Search, plan: &[f64], optimum: &mut Optimum) {
        search.multipliers(horizon);
        let (steps, mvs) = (horizon.steps(), horizon.mvs());
        for (j, worth) in self.worth.iter_mut().enumerate() {
            let rows = horizon.row(j, 0)..horizon.row(j, 0) + steps;
            *worth = search.best_multipliers()[rows].iter().map(|m| m.abs()).sum();
        }
        self.report_cvs(horizon, &search.best, optimum);
        self.report_sensitivities(horizon, search, plan, optimum);
        optimum.mvs.clear();
        let last = plan.len() - mvs;
        for i in 0..mvs {
            let mv = horizon.problem.mvs[i];
            let touched = touched(horizon, search, i, optimum);
            let held_by = self.held_by(horizon, plan, i, touched);
            let worth = self.worth_of_limit(horizon, search, plan, i);
            let next = plan[i].clamp(mv.now - mv.move_down.max(0.0), mv.now + mv.move_up.max(0.0));
            let _ = optimum.mvs.push(MvOptimum { optimum: plan[last + i], next, held_by, worth });
        }
    }

    fn report_cvs(&self, horizon: &Horizon, trial: &Trial, optimum: &mut Optimum) {
        optimum.cvs.clear();
        let steps = horizon.steps();
        for (j, cv) in horizon.problem.cvs.iter().enumerate().take(CVS_MAX) {
            let mut answer =
                CvOptimum { predicted: trial.rows[horizon.row(j, steps - 1)] * cv.scale, ..Default::default() };
            for step in (0..steps).filter(|_| cv.active) {
                let row = horizon.row(j, step);
                let (value, limits) = (trial.rows[row], horizon.limits()[row]);
                let outside = (cv.low - value * cv.scale).max(value * cv.scale - cv.high).max(0.0);
                answer.violation = answer.violation.max(outside);
                answer.given_up |= limits.violation(value) >= VIOLATION_STEP;
                answer.active |= [limits.low, limits.high].iter().any(|limit| (value - limit).abs() <= ACTIVE_WITHIN);
            }
            answer.active |= answer.given_up;
            if answer.active && !answer.given_up {
                answer.worth = self.worth[j] / cv.scale;
            }
            let _ = optimum.cvs.push(answer);
        }
    }

    /// How the objective along the plan, less what the limits are worth, depends on each disturbance: by central differences.
    fn report_sensitivities(&self, horizon: &mut Horizon, search: &Search, plan: &[f64], optimum: &mut Optimum) {
        let mut present = [0.0; MODEL_INPUTS_MAX];
        let n = horizon.problem.inputs.len();
        present[..n].copy_from_slice(&horizon.problem.inputs);
        let mut largest: [(f64, Sensitivity); SENSITIVITIES] = [(0.0, Sensitivity::default()); SENSITIVITIES];
        for (input, span) in &self.disturbances {
            let here = present[*input];
            let mut sides = [0.0; 2];
            let mut known = true;
            for (value, sign) in sides.iter_mut().zip([1.0, -1.0]) {
                present[*input] = here + sign * DIFFERENCE * span;
                known &= horizon.predict(plan, &present[..n]);
                *value = lagrangian(horizon, search, plan, &present[..n]);
            }
            present[*input] = here;
            let slope = (sides[0] - sides[1]) / (2.0 * DIFFERENCE * span);
            let mut entry = ((slope * span).abs(), Sensitivity { input: *input as u32, slope });
            for place in largest.iter_mut().filter(|_| known && slope.is_finite()) {
                if entry.0 > place.0 {
                    core::mem::swap(place, &mut entry);
                }
            }
        }
        let found = horizon.predict(plan, &present[..n]);
        optimum.objective_optimum = if found { horizon.objective(plan, &present[..n]) } else { optimum.objective_now };
        optimum.sensitivities.clear();
        for (_, entry) in largest.iter().filter(|(effect, _)| *effect > 0.0) {
            let _ = optimum.sensitivities.push(*entry);
        }
    }

    /// What moving an MV's limit by one EU would gain, over all blocks that are at it; 0 when none is.
    fn worth_of_limit(&self, horizon: &Horizon, search: &Search, plan: &[f64], i: usize) -> f64 {
        let (low, high) = (horizon.mv_low[i], horizon.mv_high[i]);
        if !horizon.free[i] {
            return 0.0;
        }
        let (near, mvs) = (AT_LIMIT * (high - low), horizon.mvs());
        let mut gains = [0.0; 2];
        for (v, value) in plan.iter().enumerate().skip(i).step_by(mvs) {
            let span = horizon.high[v] - horizon.low[v];
            if span <= 0.0 {
                continue;
            }
            let mut slope = search.best.gradient[v];
            for (row, multiplier) in search.best_multipliers().iter().enumerate().filter(|(_, m)| **m != 0.0) {
                slope -= multiplier * search.best.slope(row)[v];
            }
            if *value >= high - near {
                gains[0] -= slope / span;
            } else if *value <= low + near {
                gains[1] += slope / span;
            }
        }
        gains[0].max(gains[1]).max(0.0)
    }

    fn held_by(&self, horizon: &Horizon, plan: &[f64], i: usize, touched: Option<CvId>) -> HeldBy {
        let mv = &horizon.problem.mvs[i];
        let (low, high) = (horizon.mv_low[i], horizon.mv_high[i]);
        if !horizon.free[i] {
            return match () {
                () if !mv.free => HeldBy::NotInControl,
                () if mv.low > mv.high => HeldBy::LimitsCross,
                () if mv.limited_high || mv.limited_low => HeldBy::PlcLimit,
                () => HeldBy::NotInControl,
            };
        }
        let near = AT_LIMIT * (high - low);
        let (next, goal) = (plan[i], plan[plan.len() - horizon.mvs() + i]);
        if (goal - next).abs() > near {
            let full = if goal > mv.now { mv.now + mv.move_up } else { mv.now - mv.move_down };
            let by_rate = (next - full).abs() <= near;
            return if by_rate { HeldBy::Rate } else { touched.map_or(HeldBy::Nothing, HeldBy::Cv) };
        }
        let (train_low, train_high) = self.trained[i];
        let (engineering_low, engineering_high) = self.engineering[i];
        if goal >= high - near {
            return match () {
                () if mv.limited_high && high < mv.high.min(train_high) => HeldBy::PlcLimit,
                () if train_high < mv.high => HeldBy::Domain,
                () if mv.high < engineering_high => HeldBy::OperatorHigh,
                () => HeldBy::EngineeringHigh,
            };
        }
        if goal <= low + near {
            return match () {
                () if mv.limited_low && low > mv.low.max(train_low) => HeldBy::PlcLimit,
                () if train_low > mv.low => HeldBy::Domain,
                () if mv.low > engineering_low => HeldBy::OperatorLow,
                () => HeldBy::EngineeringLow,
            };
        }
        touched.map_or(HeldBy::Nothing, HeldBy::Cv)
    }
}

/// The most important active CV that an MV moves in any block.
fn touched(horizon: &Horizon, search: &Search, i: usize, optimum: &Optimum) -> Option<CvId> {
    let (steps, mvs) = (horizon.steps(), horizon.mvs().min(MVS_MAX));
    let moves = |j: usize| {
        (0..steps).any(|step| {
            search.best.slope(horizon.row(j, step)).iter().skip(i).step_by(mvs).any(|s| 1e-2 * s.abs() > TOUCHES)
        })
    };
    let active = optimum.cvs.iter().enumerate().filter(|(j, answer)| answer.active && moves(*j));
    active.min_by_key(|(j, _)| (horizon.problem.cvs[*j].priority, *j)).map(|(j, _)| CvId(j as u32))
}

/// Objective of the newest prediction plus the worth of what it leaves to the active limits.
fn lagrangian(horizon: &mut Horizon, search: &Search, plan: &[f64], present: &[f64]) -> f64 {
    let mut value = horizon.objective(plan, present);
    let outputs = horizon.plant.columns().outputs.len();
    for (j, cv) in horizon.problem.cvs.iter().enumerate().filter(|(_, cv)| cv.active) {
        for step in 0..horizon.steps() {
            let row = horizon.outputs[step * outputs + cv.map_output as usize] / cv.scale;
            value += horizon.fixed.sign * search.best_multipliers()[horizon.row(j, step)] * row;
        }
    }
    value
}
