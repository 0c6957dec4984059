//! The optimiser port: asks the search for the best reachable point, then makes the next move and says what holds it.
//!
//! Anytime: the incumbent is "stay here" until a point is no worse in every rank and better. The last answer is read from the
//! caller's [`Optimum`], so the optimiser has no memory of its own: same question and same last answer, same bits.

use core::time::Duration;

use flyball_config::{CvId, Direction, InputSource, Model, Mv, MvId, Optimiser};
use flyball_core::bounds::{CVS_MAX, MVS_MAX};
use flyball_core::optimum::{CvOptimum, CvProblem, HeldBy, MvOptimum, MvProblem, Optimum, Problem, SolveStatus};
use flyball_core::ports::{Clock, NoProbe, Optimizer, Probe};

use crate::engine::SteadyMap;
use crate::error::{ModelError, Refusal};
use crate::objective::Objective;
use crate::search::{Ending, Key, Search, VIOLATION_STEP, violation};
use crate::{LoadedModel, limits};

/// Iterations of one solve at most; far beyond what compact maps need to converge.
pub const ITERATIONS_MAX: u32 = 500;
/// Starting points at most: with 32 MVs this fills the largest batch.
pub const STARTS_MAX: usize = 32;
/// A limit is active when the prediction is this close to it, share of the CV's scale.
const ACTIVE_WITHIN: f64 = 2e-3;
/// An MV is at a limit or at its optimum within this share of its range.
const AT_LIMIT: f64 = 1e-4;
/// Shares of the full move that are tried when the full move would hurt a limit.
const SHARES: [f64; 4] = [1.0, 0.5, 0.25, 0.125];
/// A time budget is filled to this share, because the calibration ran on an idle machine.
const CALIBRATION_SAFETY: f64 = 0.5;
/// Calibrating solves; the slowest counts.
const CALIBRATION_SOLVES: u32 = 5;

/// The optimiser over a steady-state map.
pub struct NetOptimizer {
    search: Search,
    single: Box<dyn SteadyMap>,
    ranges: Vec<(f64, f64)>,
    engineering: Vec<(f64, f64)>,
    nominal: Vec<f64>,
    sign: f64,
    accept_if_gain: f64,
    cvs: usize,
    prices: Vec<f64>,
    iterations: u32,
}

impl NetOptimizer {
    /// Binds the optimiser of a configuration to its loaded map. `map` is the configuration's model of `loaded`; `cvs` their number.
    ///
    /// # Errors
    /// The objective cannot be compiled, an MV is no input of the map, or the engine cannot run the batch.
    pub fn new(
        settings: &Optimiser,
        map: &Model,
        mvs: &[Mv],
        cvs: usize,
        loaded: &LoadedModel,
    ) -> Result<Self, ModelError> {
        let rows = Self::rows(settings, mvs.len());
        let (batch, single) = (Box::new(loaded.batch_plan(rows)?), Box::new(loaded.batch_plan(1)?));
        Self::over(settings, map, mvs, cvs, batch, single, loaded.input_ranges()).map_err(|e| e.of(&map.name))
    }

    /// Rows that the batched map of [`NetOptimizer::over`] must answer.
    #[must_use]
    pub fn rows(settings: &Optimiser, mvs: usize) -> usize {
        Search::rows(usize::from(settings.starts).clamp(1, STARTS_MAX), mvs)
    }

    /// The same over any map, for instance the plant's own equations. `ranges` bound each input: outside, the map is not believed.
    ///
    /// # Errors
    /// As [`NetOptimizer::new`].
    pub fn over(
        settings: &Optimiser,
        map: &Model,
        mvs: &[Mv],
        cvs: usize,
        batch: Box<dyn SteadyMap>,
        single: Box<dyn SteadyMap>,
        ranges: Vec<(f64, f64)>,
    ) -> Result<Self, ModelError> {
        let inputs: Vec<&str> = map.inputs.iter().map(|i| i.name.as_str()).collect();
        let outputs: Vec<&str> = map.outputs.iter().map(|o| o.name.as_str()).collect();
        let prices: Vec<&str> = settings.prices.iter().map(|p| p.name.as_str()).collect();
        let objective = Objective::compile(&settings.objective, &inputs, &outputs, &prices)?;
        let mut mv_input = Vec::with_capacity(mvs.len());
        for (i, mv) in mvs.iter().enumerate() {
            let at = map.inputs.iter().position(|input| input.source == InputSource::Mv(MvId(i as u32)));
            mv_input.push(at.ok_or_else(|| {
                unusable(format!("MV {} is no input of the map", mv.name), format!("inputs are {}", inputs.join(", ")))
            })?);
        }
        let starts = usize::from(settings.starts).clamp(1, STARTS_MAX);
        let sizes_fit = batch.rows() == Search::rows(starts, mvs.len()) && single.rows() == 1;
        let columns_fit = [&batch, &single].iter().all(|m| m.inputs() == inputs.len() && m.outputs() == outputs.len());
        if !sizes_fit
            || !columns_fit
            || ranges.len() != inputs.len()
            || mvs.is_empty()
            || mvs.len() > MVS_MAX
            || cvs > CVS_MAX
        {
            return Err(unusable(
                format!(
                    "the map answers {} rows of {} to {} for {} MVs and {cvs} CVs",
                    batch.rows(),
                    batch.inputs(),
                    batch.outputs(),
                    mvs.len()
                ),
                format!(
                    "{} rows of {} to {}, 1 to {MVS_MAX} MVs and at most {CVS_MAX} CVs",
                    Search::rows(starts, mvs.len()),
                    inputs.len(),
                    outputs.len()
                ),
            ));
        }
        let sign = if settings.direction == Direction::Maximise { 1.0 } else { -1.0 };
        Ok(Self {
            nominal: ranges.iter().map(|(low, high)| 0.5 * (low + high)).collect(),
            search: Search::new(batch, objective, sign, mv_input, ranges.clone(), starts, cvs),
            single,
            ranges,
            engineering: mvs.iter().map(|mv| (mv.limits.low, mv.limits.high)).collect(),
            sign,
            accept_if_gain: settings.accept_if_gain,
            cvs,
            prices: settings.prices.iter().map(|p| p.value).collect(),
            iterations: ITERATIONS_MAX,
        })
    }

    /// Fixes the iteration budget, 1 to [`ITERATIONS_MAX`].
    #[must_use]
    pub fn with_iterations(mut self, iterations: u32) -> Self {
        self.iterations = iterations.clamp(1, ITERATIONS_MAX);
        self
    }

    /// Iteration budget of one solve.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Turns a time budget into an iteration budget by timing solves on this machine, and returns it. Call once at start, on the thread
    /// that will solve; write the result into the record's header, because it decides the bits.
    pub fn calibrate(&mut self, stop_after: Duration, clock: &dyn Clock) -> u32 {
        let problem = self.calibration_problem();
        let mut slowest = 1.0_f64; // ns per iteration
        self.iterations = ITERATIONS_MAX;
        for _ in 0..CALIBRATION_SOLVES {
            let mut optimum = Optimum::default();
            let begin = clock.now();
            self.optimise(&problem, &mut optimum, &mut NoProbe);
            let taken = clock.now().0.saturating_sub(begin.0) as f64;
            slowest = slowest.max(taken / f64::from(optimum.iterations.max(1)));
        }
        let fit = CALIBRATION_SAFETY * stop_after.as_nanos() as f64 / slowest;
        // The cast saturates; at least one iteration is always made.
        self.iterations = (fit as u32).clamp(1, ITERATIONS_MAX);
        self.iterations
    }

    fn calibration_problem(&self) -> Problem {
        let mut problem = Problem {
            mvs: heapless::Vec::new(),
            cvs: heapless::Vec::new(),
            inputs: heapless::Vec::new(),
            output_bias: heapless::Vec::new(),
            prices: heapless::Vec::new(),
        };
        // Lists are as long as the configuration's, which `bounds` limits.
        for (low, high) in &self.engineering {
            let span = high - low;
            let mv = MvProblem {
                now: low + 0.3 * span,
                low: *low,
                high: *high,
                move_up: 0.05 * span,
                move_down: 0.05 * span,
                free: true,
            };
            let _ = problem.mvs.push(mv);
        }
        for j in 0..self.cvs {
            let map_output = (j % self.single.outputs()) as u32;
            let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
            let _ = problem.cvs.push(CvProblem { low, high, priority: 1, scale: 1.0, active: true, map_output });
        }
        for value in &self.nominal {
            let _ = problem.inputs.push(*value);
        }
        for price in &self.prices {
            let _ = problem.prices.push(*price);
        }
        problem
    }

    fn fits(&self, problem: &Problem) -> bool {
        let finite = |mv: &MvProblem| {
            [mv.now, mv.move_up, mv.move_down].iter().all(|v| v.is_finite()) && !mv.low.is_nan() && !mv.high.is_nan()
        };
        problem.mvs.len() == self.engineering.len()
            && problem.cvs.len() == self.cvs
            && problem.inputs.len() == self.ranges.len()
            && problem.inputs.iter().chain(&problem.output_bias).chain(&problem.prices).all(|v| v.is_finite())
            && problem.mvs.iter().all(finite)
            && problem.cvs.iter().all(|cv| (cv.map_output as usize) < self.single.outputs() && cv.scale > 0.0)
    }

    /// Stays: every MV keeps its present setpoint.
    fn stay(problem: &Problem, optimum: &mut Optimum, held_by: HeldBy) {
        optimum.mvs.clear();
        for mv in &problem.mvs {
            let held_by = if mv.free { held_by } else { HeldBy::NotInControl };
            let _ = optimum.mvs.push(MvOptimum { optimum: mv.now, next: mv.now, held_by });
        }
    }

    fn report_cvs(&self, row: usize, problem: &Problem, optimum: &mut Optimum) {
        optimum.cvs.clear();
        for cv in &problem.cvs {
            let predicted = self.search.cv(row, cv);
            let violation = violation(cv, predicted);
            let near = |limit: f64| (predicted - limit).abs() <= ACTIVE_WITHIN * cv.scale;
            let given_up = cv.active && violation >= VIOLATION_STEP * cv.scale;
            let active = cv.active && (near(cv.low) || near(cv.high) || given_up);
            let _ = optimum.cvs.push(CvOptimum { predicted, violation, given_up, active });
        }
    }

    /// Fills the answer for a better point: optimum, next move, and what holds each MV.
    fn move_towards(&mut self, problem: &Problem, stay: &Key, optimum: &mut Optimum) {
        let n = problem.mvs.len();
        let mut goal = [0.0; MVS_MAX];
        goal[..n].copy_from_slice(&self.search.best);
        // Row 0: the optimum; rows 1..: each MV a little off, to see which limit each of them would touch.
        self.search.set_row(0, problem, &goal[..n]);
        for i in 0..n {
            let mut point = goal;
            let span = self.search.high[i] - self.search.low[i];
            let inwards = if goal[i] > self.search.low[i] + 0.5 * span { -1.0 } else { 1.0 };
            point[i] += inwards * 1e-2 * span;
            self.search.set_row(1 + i, problem, &point[..n]);
        }
        let ran = self.search.run(problem);
        optimum.objective_optimum = self.sign * self.search.value(0, problem);
        self.report_cvs(0, problem, optimum);
        let mut touched = [None; MVS_MAX];
        for (i, touch) in touched.iter_mut().enumerate().take(n) {
            let active = optimum.cvs.iter().zip(&problem.cvs).enumerate().filter(|(_, (answer, _))| answer.active);
            let moved = active
                .filter(|(_, (answer, cv))| (self.search.cv(1 + i, cv) - answer.predicted).abs() > 1e-3 * cv.scale);
            *touch = moved.min_by_key(|(j, (_, cv))| (cv.priority, *j)).map(|(j, _)| CvId(j as u32));
        }
        let (next, blocked) = if ran { self.next_move(problem, stay, &goal[..n]) } else { (None, None) };
        optimum.mvs.clear();
        for (i, mv) in problem.mvs.iter().enumerate() {
            let next = next.map_or(mv.now, |moves| moves[i]);
            let held_by = self.held_by(i, mv, goal[i], next, touched[i], blocked);
            let _ = optimum.mvs.push(MvOptimum { optimum: goal[i], next, held_by });
        }
    }

    /// The largest move of one period towards the goal that makes no limit worse than staying; with the CV that forbade the full move.
    fn next_move(&mut self, problem: &Problem, stay: &Key, goal: &[f64]) -> (Option<[f64; MVS_MAX]>, Option<CvId>) {
        let n = goal.len();
        let full = |i: usize| {
            let mv = &problem.mvs[i];
            if self.search.free[i] {
                (goal[i] - mv.now).clamp(-mv.move_down.max(0.0), mv.move_up.max(0.0))
            } else {
                0.0
            }
        };
        let mut tries = [[0.0; MVS_MAX]; SHARES.len() + MVS_MAX];
        for (k, moves) in tries.iter_mut().enumerate().take(SHARES.len() + n) {
            for i in 0..n {
                // After the shares of the whole move: one MV alone.
                let share = SHARES.get(k).copied().unwrap_or(if k == SHARES.len() + i { 1.0 } else { 0.0 });
                moves[i] = limited_step(&problem.mvs[i], share * full(i));
            }
        }
        for (k, moves) in tries.iter().enumerate().take(SHARES.len() + n) {
            self.search.set_row(k, problem, &moves[..n]);
        }
        if !self.search.run(problem) {
            return (None, None);
        }
        let goal_key = self.search.best_key;
        let judged = |k: usize, search: &Search| {
            search.key(k, problem).is_some_and(|key| key.move_no_worse_than(stay, &goal_key))
        };
        let chosen = (0..SHARES.len() + n).find(|k| judged(*k, &self.search));
        let blocked = if chosen == Some(0) { None } else { self.worst_cv(problem) };
        (chosen.map(|k| tries[k]), blocked)
    }

    /// The most important CV that the full move (row 0) would violate.
    fn worst_cv(&self, problem: &Problem) -> Option<CvId> {
        let violated = |cv: &CvProblem| cv.active && violation(cv, self.search.cv(0, cv)) >= VIOLATION_STEP * cv.scale;
        let worst =
            problem.cvs.iter().enumerate().filter(|(_, cv)| violated(cv)).min_by_key(|(j, cv)| (cv.priority, *j));
        worst.map(|(j, _)| CvId(j as u32))
    }

    fn held_by(
        &self,
        i: usize,
        mv: &MvProblem,
        goal: f64,
        next: f64,
        touched: Option<CvId>,
        blocked: Option<CvId>,
    ) -> HeldBy {
        if !self.search.free[i] {
            return if mv.free && mv.low > mv.high { HeldBy::LimitsCross } else { HeldBy::NotInControl };
        }
        let near = AT_LIMIT * (self.search.high[i] - self.search.low[i]);
        if (goal - next).abs() > near {
            let full = if goal > mv.now { mv.now + mv.move_up } else { mv.now - mv.move_down };
            let by_rate = (next - full).abs() <= near;
            return if by_rate { HeldBy::Rate } else { blocked.map_or(HeldBy::Rate, HeldBy::Cv) };
        }
        let (train_low, train_high) = self.ranges[self.search.input_of(i)];
        let (engineering_low, engineering_high) = self.engineering[i];
        if goal >= self.search.high[i] - near {
            return match () {
                () if train_high < mv.high => HeldBy::Domain,
                () if mv.high < engineering_high => HeldBy::OperatorHigh,
                () => HeldBy::EngineeringHigh,
            };
        }
        if goal <= self.search.low[i] + near {
            return match () {
                () if train_low > mv.low => HeldBy::Domain,
                () if mv.low > engineering_low => HeldBy::OperatorLow,
                () => HeldBy::EngineeringLow,
            };
        }
        touched.map_or(HeldBy::Nothing, HeldBy::Cv)
    }
}

/// `now + step` with the step inside the move limits in spite of rounding.
fn limited_step(mv: &MvProblem, step: f64) -> f64 {
    (mv.now + step).clamp(mv.now - mv.move_down.max(0.0), mv.now + mv.move_up.max(0.0))
}

fn unusable(found: String, allowed: String) -> ModelError {
    ModelError::new(
        Refusal::BadMap,
        found,
        format!("allowed: {allowed}"),
        "mend the map's inputs, MVs or CVs in the configuration",
    )
}

impl Optimizer for NetOptimizer {
    fn optimise(&mut self, problem: &Problem, optimum: &mut Optimum, probe: &mut dyn Probe) {
        let mut previous = [0.0; MVS_MAX];
        let n = problem.mvs.len();
        let known = optimum.mvs.len() == n && optimum.mvs.iter().all(|mv| mv.optimum.is_finite());
        for (place, mv) in previous.iter_mut().zip(&optimum.mvs) {
            *place = mv.optimum;
        }
        optimum.iterations = 0;
        optimum.starts = self.search.starts() as u32;
        if !self.fits(problem) {
            optimum.status = SolveStatus::Failed;
            return Self::stay(problem, optimum, HeldBy::Quality);
        }
        self.search.pose(problem);
        let mut now = [0.0; MVS_MAX];
        for (place, mv) in now.iter_mut().zip(&problem.mvs) {
            *place = mv.now;
        }
        self.search.fill(problem, &now[..n]);
        let stay = if self.search.run(problem) { self.search.key(0, problem) } else { None };
        let Some(mut stay) = stay else {
            optimum.status = SolveStatus::Failed;
            return Self::stay(problem, optimum, HeldBy::Quality);
        };
        optimum.objective_now = self.sign * stay.value;
        optimum.objective_optimum = optimum.objective_now;
        self.report_cvs(0, problem, optimum);
        let outside = |i: usize| now[i] < self.search.low[i] || now[i] > self.search.high[i];
        if (0..n).any(outside) {
            stay.unmet |= 1 << 63;
        }
        self.search.best.copy_from_slice(&now[..n]);
        self.search.best_key = stay;
        let Ending { iterations, converged, over_budget } =
            self.search.climb(problem, known.then_some(&previous[..n]), self.iterations, probe);
        optimum.iterations = iterations;
        let best = self.search.best_key;
        let same_limits = best.limits_no_worse_than(&stay) && stay.limits_no_worse_than(&best);
        let worth_it = !same_limits || best.value - stay.value > self.accept_if_gain.max(0.0);
        if worth_it {
            self.move_towards(problem, &stay, optimum);
        } else {
            Self::stay(problem, optimum, HeldBy::NoGain);
        }
        optimum.status = match () {
            () if over_budget => SolveStatus::TimeLimit,
            () if optimum.cvs.iter().any(|cv| cv.given_up) => SolveStatus::InfeasibleRelaxed,
            () if !worth_it => SolveStatus::NoGain,
            () if converged => SolveStatus::Optimal,
            () => SolveStatus::Improved,
        };
    }

    fn evaluate(&mut self, inputs: &[f64], outputs: &mut [f64]) -> bool {
        let mut x = [0.0; flyball_core::bounds::MODEL_INPUTS_MAX];
        if inputs.len() != self.ranges.len() || outputs.len() != self.single.outputs() {
            return false;
        }
        for ((place, value), (low, high)) in x.iter_mut().zip(inputs).zip(&self.ranges) {
            // NaN stays NaN through a clamp and is refused below.
            *place = value.clamp(*low, *high);
        }
        self.single.run(&x[..inputs.len()], outputs).is_ok() && outputs.iter().all(|y| y.is_finite())
    }
}

const _: () =
    assert!(STARTS_MAX * (1 + MVS_MAX) <= limits::BATCH_ROWS_MAX, "the largest search fits the largest batch");
