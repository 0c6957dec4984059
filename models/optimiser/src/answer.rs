//! The answer in an operator's terms: where to go, the next move, what holds each MV, and what each limit is worth.

use flyball_config::CvId;
use flyball_core::bounds::{CVS_MAX, MODEL_INPUTS_MAX, MVS_MAX};
use flyball_core::optimum::{
    CvOptimum, CvProblem, HeldBy, MvOptimum, MvProblem, Optimum, Problem, SENSITIVITIES, Sensitivity, SolveStatus,
};

use crate::climb::Search;
use crate::levels::{Key, VIOLATION_STEP};
use crate::nlp::{Nlp, Trial};
use crate::steady::Steady;

/// A limit is active when the prediction is this close to it, in units of concern.
const ACTIVE_WITHIN: f64 = 2e-3;
/// An MV is at a limit or at its optimum within this share of its box.
const AT_LIMIT: f64 = 1e-4;
/// Shares of the full move that are tried when the full move would hurt a limit.
const SHARES: [f64; 4] = [1.0, 0.5, 0.25, 0.125];
/// An MV touches a CV when a hundredth of its box moves it by this much, in units of concern.
const TOUCHES: f64 = 1e-3;

/// Writes answers; owns what that needs.
pub(crate) struct Answer {
    engineering: Vec<(f64, f64)>,
    /// Training range of each MV.
    trained: Vec<(f64, f64)>,
    /// Inputs of the map that are no MVs, with the span of their range.
    disturbances: Vec<(usize, f64)>,
    trial: Trial,
}

impl Answer {
    pub(crate) fn new(engineering: Vec<(f64, f64)>, mv_input: &[usize], ranges: &[(f64, f64)], cvs: usize) -> Self {
        Self {
            trial: Trial::new(engineering.len(), cvs),
            engineering,
            trained: mv_input.iter().map(|i| ranges[*i]).collect(),
            disturbances: (0..ranges.len())
                .filter(|i| !mv_input.contains(i))
                .map(|i| (i, ranges[i].1 - ranges[i].0))
                .collect(),
        }
    }

    /// Engineering limits of each MV.
    pub(crate) fn engineering(&self) -> &[(f64, f64)] {
        &self.engineering
    }

    /// The question could not be answered: every MV stays.
    pub(crate) fn failed(&self, problem: &Problem, optimum: &mut Optimum) {
        optimum.status = SolveStatus::Failed;
        optimum.sensitivities.clear();
        stay(problem, HeldBy::Quality, optimum);
    }

    /// Staying is as good.
    pub(crate) fn stay(&mut self, steady: &mut Steady, at: &Trial, objective: f64, optimum: &mut Optimum) {
        optimum.objective_optimum = objective;
        optimum.sensitivities.clear();
        report_cvs(&steady.problem, at, &[], optimum);
        stay(&steady.problem, HeldBy::NoGain, optimum);
    }

    /// The incumbent of the search is where to go.
    pub(crate) fn go(&mut self, steady: &mut Steady, search: &mut Search, stay_key: &Key, optimum: &mut Optimum) {
        let n = steady.mvs();
        let mut goal = [0.0; MVS_MAX];
        for (i, goal) in goal.iter_mut().enumerate().take(n) {
            *goal = steady.eu(i, search.best.point[i]);
        }
        let goal = &goal[..n];
        search.multipliers(steady);
        steady.at(goal, &mut self.trial);
        optimum.objective_optimum = steady.objective();
        report_cvs(&steady.problem, &search.best, search.best_multipliers(), optimum);
        let mut slopes = [0.0; MODEL_INPUTS_MAX];
        let found = steady.lagrangian_slopes(search.best_multipliers());
        slopes[..found.len()].copy_from_slice(found);
        self.report_sensitivities(steady.fixed.sign, &slopes, optimum);

        let mut touched = [None; MVS_MAX];
        for (i, touch) in touched.iter_mut().enumerate().take(n) {
            let active = optimum.cvs.iter().enumerate().filter(|(_, answer)| answer.active);
            let moved = active.filter(|(j, _)| 1e-2 * search.best.slope(*j)[i].abs() > TOUCHES);
            *touch = moved.min_by_key(|(j, _)| (steady.problem.cvs[*j].priority, *j)).map(|(j, _)| CvId(j as u32));
        }
        let (next, blocked) = self.next_move(steady, stay_key, &search.best_key, goal);
        optimum.mvs.clear();
        for i in 0..n {
            let mv = steady.problem.mvs[i];
            let next = next.map_or(mv.now, |moves| moves[i]);
            let held_by = self.held_by(steady, i, &mv, goal[i], next, touched[i], blocked);
            let worth = self.worth(steady, i, goal[i], slopes[steady.fixed.mv_input[i]]);
            let _ = optimum.mvs.push(MvOptimum { optimum: goal[i], next, held_by, worth });
        }
    }

    /// What moving an MV's limit by one EU would gain; 0 when it is not at a limit.
    fn worth(&self, steady: &Steady, i: usize, goal: f64, slope: f64) -> f64 {
        let (low, high) = (steady.low[i], steady.high[i]);
        let near = AT_LIMIT * (high - low);
        if !steady.free[i] {
            0.0
        } else if goal >= high - near {
            (-slope).max(0.0)
        } else if goal <= low + near {
            slope.max(0.0)
        } else {
            0.0
        }
    }

    fn report_sensitivities(&self, sign: f64, slopes: &[f64], optimum: &mut Optimum) {
        optimum.sensitivities.clear();
        for _ in 0..SENSITIVITIES {
            let told = |input: usize| optimum.sensitivities.iter().any(|s| s.input as usize == input);
            let left = self.disturbances.iter().filter(|(i, _)| !told(*i));
            // The first of equal ones, so that the order never depends on rounding of a comparison.
            let most = left.fold(None, |most: Option<(usize, f64)>, (i, span)| {
                let weight = (slopes[*i] * span).abs();
                if weight > most.map_or(0.0, |(_, w)| w) { Some((*i, weight)) } else { most }
            });
            let Some((input, _)) = most else { return };
            // The cost falls where the objective to maximise rises.
            let _ = optimum.sensitivities.push(Sensitivity { input: input as u32, slope: -sign * slopes[input] });
        }
    }

    /// The largest move of one period towards the goal that makes no limit worse than staying; with the CV that forbade the full move.
    fn next_move(
        &mut self,
        steady: &mut Steady,
        stay: &Key,
        goal_key: &Key,
        goal: &[f64],
    ) -> (Option<[f64; MVS_MAX]>, Option<CvId>) {
        let n = goal.len();
        let mut blocked = None;
        // After the shares of the whole move: one MV alone.
        for k in 0..SHARES.len() + n {
            let mut moves = [0.0; MVS_MAX];
            for i in 0..n {
                let mv = &steady.problem.mvs[i];
                let whole = (goal[i] - mv.now).clamp(-mv.move_down.max(0.0), mv.move_up.max(0.0));
                let share = SHARES.get(k).copied().unwrap_or(if k == SHARES.len() + i { 1.0 } else { 0.0 });
                moves[i] = if steady.free[i] { limited_step(mv, share * whole) } else { mv.now };
            }
            steady.at(&moves[..n], &mut self.trial);
            let key = Key::of(&self.trial, steady.limits());
            if key.move_no_worse_than(stay, goal_key) {
                return (Some(moves), blocked);
            }
            if k == 0 {
                blocked = worst_cv(&steady.problem, &self.trial);
            }
        }
        (None, blocked)
    }

    fn held_by(
        &self,
        steady: &Steady,
        i: usize,
        mv: &MvProblem,
        goal: f64,
        next: f64,
        touched: Option<CvId>,
        blocked: Option<CvId>,
    ) -> HeldBy {
        let (low, high) = (steady.low[i], steady.high[i]);
        if !steady.free[i] {
            return match () {
                () if !mv.free => HeldBy::NotInControl,
                () if mv.low > mv.high => HeldBy::LimitsCross,
                () if mv.limited_high || mv.limited_low => HeldBy::PlcLimit,
                () => HeldBy::NotInControl,
            };
        }
        let near = AT_LIMIT * (high - low);
        if (goal - next).abs() > near {
            let full = if goal > mv.now { mv.now + mv.move_up } else { mv.now - mv.move_down };
            let by_rate = (next - full).abs() <= near;
            return if by_rate { HeldBy::Rate } else { blocked.map_or(HeldBy::Rate, HeldBy::Cv) };
        }
        let (train_low, train_high) = self.trained[i];
        let (engineering_low, engineering_high) = self.engineering[i];
        if goal >= high - near {
            return match () {
                () if mv.limited_high && high < mv.high.min(train_high) => HeldBy::PlcLimit,
                () if high < mv.high.min(train_high) => HeldBy::Reach,
                () if train_high < mv.high => HeldBy::Domain,
                () if mv.high < engineering_high => HeldBy::OperatorHigh,
                () => HeldBy::EngineeringHigh,
            };
        }
        if goal <= low + near {
            return match () {
                () if mv.limited_low && low > mv.low.max(train_low) => HeldBy::PlcLimit,
                () if low > mv.low.max(train_low) => HeldBy::Reach,
                () if train_low > mv.low => HeldBy::Domain,
                () if mv.low > engineering_low => HeldBy::OperatorLow,
                () => HeldBy::EngineeringLow,
            };
        }
        touched.map_or(HeldBy::Nothing, HeldBy::Cv)
    }
}

/// Stays: every MV keeps its present setpoint.
pub(crate) fn stay(problem: &Problem, held_by: HeldBy, optimum: &mut Optimum) {
    optimum.mvs.clear();
    for mv in &problem.mvs {
        let held_by = if mv.free { held_by } else { HeldBy::NotInControl };
        let _ = optimum.mvs.push(MvOptimum { optimum: mv.now, next: mv.now, held_by, worth: 0.0 });
    }
}

/// CVs at a trial; `multipliers` in cost per unit of concern, empty where they are not known.
fn report_cvs(problem: &Problem, trial: &Trial, multipliers: &[f64], optimum: &mut Optimum) {
    optimum.cvs.clear();
    for (j, cv) in problem.cvs.iter().enumerate().take(CVS_MAX) {
        let predicted = trial.rows[j] * cv.scale;
        let violation = if cv.active { (cv.low - predicted).max(predicted - cv.high).max(0.0) } else { 0.0 };
        let near = |limit: f64| (predicted - limit).abs() <= ACTIVE_WITHIN * cv.scale;
        let given_up = cv.active && violation >= VIOLATION_STEP * cv.scale;
        let active = cv.active && (near(cv.low) || near(cv.high) || given_up);
        let multiplier = multipliers.get(j).copied().unwrap_or(0.0);
        let worth = if active && !given_up { multiplier.abs() / cv.scale } else { 0.0 };
        let _ = optimum.cvs.push(CvOptimum { predicted, violation, given_up, active, worth });
    }
}

/// The most important CV that a trial violates.
fn worst_cv(problem: &Problem, trial: &Trial) -> Option<CvId> {
    let violated = |j: usize, cv: &CvProblem| {
        let predicted = trial.rows[j] * cv.scale;
        cv.active && (cv.low - predicted).max(predicted - cv.high) >= VIOLATION_STEP * cv.scale
    };
    let worst =
        problem.cvs.iter().enumerate().filter(|(j, cv)| violated(*j, cv)).min_by_key(|(j, cv)| (cv.priority, *j));
    worst.map(|(j, _)| CvId(j as u32))
}

/// `now + step` with the step inside the move limits in spite of rounding.
fn limited_step(mv: &MvProblem, step: f64) -> f64 {
    (mv.now + step).clamp(mv.now - mv.move_down.max(0.0), mv.now + mv.move_up.max(0.0))
}
