//! The optimiser port over a steady-state map: asks the search for the best reachable point, within a budget of iterations.
//!
//! Anytime: the incumbent is "stay here" until a point is no worse in every rank and better. A solve may take several scans; the answer is
//! given when it is complete. Same question, same last answer and same budget: same bits.

use core::time::Duration;

use flyball_core::bounds::{CVS_MAX, MODEL_INPUTS_MAX, MVS_MAX};
use flyball_core::optimum::{CvProblem, MvProblem, Optimum, Problem, SolveStatus};
use flyball_core::ports::{Clock, NoProbe, Optimizer, Probe};

use crate::answer::Answer;
use crate::climb::{Search, Worked};
use crate::domain::DomainCost;
use crate::levels::Key;
use crate::map::Map;
use crate::nlp::{Nlp, Trial};
use crate::objective::{BadObjective, Objective};
use crate::setup::Setup;
use crate::steady::{Fixed, Steady};

/// Iterations of one solve at most; far beyond what compact maps need to converge.
pub const ITERATIONS_MAX: u32 = 200;
/// Starting points at most: more buy nothing on maps this small and cost the budget.
pub const STARTS_MAX: usize = flyball_config::bounds::STARTS_MAX as usize;
/// A time budget is filled to this share, because the calibration ran on an idle machine.
const CALIBRATION_SAFETY: f64 = 0.5;
/// Calibrating solves; the slowest counts.
const CALIBRATION_SOLVES: u32 = 5;

/// Why an optimiser cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CannotOptimise {
    /// The objective cannot be used.
    Objective(BadObjective),
    /// The map does not fit the MVs and CVs: what was found, what is allowed.
    Map(String, String),
}

/// The optimiser over a steady-state map.
pub struct SteadyOptimizer {
    steady: Steady,
    search: Search,
    answer: Answer,
    stay: Trial,
    stay_key: Key,
    stay_objective: f64,
    accept_if_gain: f64,
    iterations: u32,
    iterations_per_scan: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The question cannot be answered.
    Failed,
    /// Searching.
    Searching,
}

/// An iteration budget and the share of it that one scan may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Iterations of one solve.
    pub solve: u32,
    /// Iterations of one scan, at most `solve`.
    pub scan: u32,
}

impl SteadyOptimizer {
    /// Binds an optimiser to a map. `ranges` is where the map is believed per input in EU, `domain` what it costs to leave its domain.
    ///
    /// # Errors
    /// The objective cannot be compiled, or sizes do not fit.
    pub fn new(
        setup: &Setup,
        map: Box<dyn Map>,
        ranges: Vec<(f64, f64)>,
        domain: Option<DomainCost>,
    ) -> Result<Self, CannotOptimise> {
        fn names(list: &[String]) -> Vec<&str> {
            list.iter().map(String::as_str).collect()
        }
        let (inputs, outputs) = (names(&setup.inputs), names(&setup.outputs));
        let objective = Objective::compile(&setup.objective, &inputs, &outputs, &names(&setup.prices));
        let objective = objective.map_err(CannotOptimise::Objective)?;
        let (mvs, cvs) = (setup.mvs.len(), setup.cvs);
        let fits = map.inputs() == inputs.len()
            && map.outputs() == outputs.len()
            && ranges.len() == inputs.len()
            && (1..=MVS_MAX).contains(&mvs)
            && setup.mvs.iter().all(|mv| mv.input < inputs.len())
            && cvs <= CVS_MAX;
        if !fits {
            return Err(CannotOptimise::Map(
                format!("the map answers {} to {} for {mvs} MVs and {cvs} CVs", map.inputs(), map.outputs()),
                format!("{} to {}, 1 to {MVS_MAX} MVs and at most {CVS_MAX} CVs", inputs.len(), outputs.len()),
            ));
        }
        let starts = setup.starts.clamp(1, STARTS_MAX);
        let mv_input: Vec<usize> = setup.mvs.iter().map(|mv| mv.input).collect();
        let engineering = setup.mvs.iter().map(|mv| mv.engineering).collect();
        let answer = Answer::new(engineering, &mv_input, &ranges, cvs);
        let fixed = Fixed {
            map,
            objective,
            sign: if setup.maximise { 1.0 } else { -1.0 },
            mv_input,
            ranges,
            move_cost: setup.mvs.iter().map(|mv| mv.move_cost).collect(),
            reach: setup.reach,
            domain,
        };
        Ok(Self {
            steady: Steady::new(fixed, starts, cvs),
            search: Search::new(starts, mvs, cvs),
            answer,
            stay: Trial::new(mvs, cvs),
            stay_key: Key::WORST,
            stay_objective: 0.0,
            accept_if_gain: setup.accept_if_gain,
            iterations: ITERATIONS_MAX,
            iterations_per_scan: ITERATIONS_MAX,
            state: State::Failed,
        })
    }

    /// Fixes the iteration budget, 1 to [`ITERATIONS_MAX`].
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.iterations = budget.solve.clamp(1, ITERATIONS_MAX);
        self.iterations_per_scan = budget.scan.clamp(1, self.iterations);
        self
    }

    /// The iteration budget.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget { solve: self.iterations, scan: self.iterations_per_scan }
    }

    /// Turns time budgets into iteration budgets by timing solves on this machine. Call once at start, on the thread that will solve; write the
    /// result into the record's header, because it decides the bits. `solve` is the time of one solve, `scan` what of it one scan may use;
    /// `prices` are those of the configuration.
    pub fn calibrate(&mut self, solve: Duration, scan: Duration, prices: &[f64], clock: &dyn Clock) -> Budget {
        let problem = self.calibration_problem(prices);
        let mut slowest = 1.0_f64; // ns per iteration
        (self.iterations, self.iterations_per_scan) = (ITERATIONS_MAX, ITERATIONS_MAX);
        for _ in 0..CALIBRATION_SOLVES {
            let mut optimum = Optimum::default();
            let begin = clock.now();
            self.optimise(&problem, &mut optimum, &mut NoProbe);
            let taken = clock.now().0.saturating_sub(begin.0) as f64;
            slowest = slowest.max(taken / f64::from(optimum.iterations.max(1)));
        }
        // The casts saturate; at least one iteration is always made.
        let fit = |time: Duration| (CALIBRATION_SAFETY * time.as_nanos() as f64 / slowest) as u32;
        self.iterations = fit(solve).clamp(1, ITERATIONS_MAX);
        self.iterations_per_scan = fit(scan).clamp(1, self.iterations);
        self.budget()
    }

    fn calibration_problem(&self, prices: &[f64]) -> Problem {
        let mut problem = Problem::default();
        // Lists are as long as the configuration's, which `bounds` limits.
        for (low, high) in self.answer.engineering() {
            let span = high - low;
            let _ = problem.mvs.push(MvProblem {
                now: low + 0.3 * span,
                low: *low,
                high: *high,
                move_up: 0.05 * span,
                move_down: 0.05 * span,
                free: true,
                limited_high: false,
                limited_low: false,
            });
        }
        let outputs = self.steady.fixed.map.outputs();
        for j in 0..self.stay.rows.len() {
            let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
            let map_output = (j % outputs) as u32;
            let _ = problem.cvs.push(CvProblem { low, high, priority: 1, scale: 1.0, active: true, map_output });
        }
        for (low, high) in &self.steady.fixed.ranges {
            let _ = problem.inputs.push(0.5 * (low + high));
        }
        let _ = problem.prices.extend_from_slice(prices);
        problem
    }

    fn fits(&self, problem: &Problem) -> bool {
        let fixed = &self.steady.fixed;
        problem.mvs.len() == self.stay.point.len()
            && problem.cvs.len() == self.stay.rows.len()
            && problem.inputs.len() == fixed.ranges.len()
            && problem.inputs.iter().chain(&problem.output_bias).chain(&problem.prices).all(|v| v.is_finite())
            && sound(problem, fixed.map.outputs())
    }
}

/// MVs and CVs of a problem are numbers that can be worked with; `outputs` are those of the map.
pub(crate) fn sound(problem: &Problem, outputs: usize) -> bool {
    let mv = |mv: &MvProblem| {
        [mv.now, mv.move_up, mv.move_down].iter().all(|v| v.is_finite()) && !mv.low.is_nan() && !mv.high.is_nan()
    };
    let cv = |cv: &CvProblem| {
        (cv.map_output as usize) < outputs
            && cv.scale > 0.0
            && cv.scale.is_finite()
            && !cv.low.is_nan()
            && !cv.high.is_nan()
    };
    problem.mvs.iter().all(mv) && problem.cvs.iter().all(cv)
}

impl Optimizer for SteadyOptimizer {
    fn begin(&mut self, problem: &Problem, last: &Optimum) {
        self.state = State::Failed;
        if !self.fits(problem) {
            self.steady.problem.clone_from(problem);
            return;
        }
        self.steady.pose(problem);
        let n = self.steady.mvs();
        let (mut now, mut shares, mut previous) = ([0.0; MVS_MAX], [0.0; MVS_MAX], [0.0; MVS_MAX]);
        let known = last.mvs.len() == n && last.mvs.iter().all(|mv| mv.optimum.is_finite());
        let mut outside = false;
        for (i, mv) in problem.mvs.iter().enumerate() {
            now[i] = mv.now;
            shares[i] = self.steady.share(i, mv.now);
            previous[i] = if known { self.steady.share(i, last.mvs[i].optimum) } else { 0.0 };
            outside |= mv.now < self.steady.low[i] || mv.now > self.steady.high[i];
        }
        self.steady.at(&now[..n], &mut self.stay);
        self.stay.point.copy_from_slice(&shares[..n]);
        self.stay_key = Key::of(&self.stay, self.steady.limits());
        if !self.stay.usable {
            return;
        }
        self.stay_objective = self.steady.objective();
        if outside {
            self.stay_key.unmet |= Key::OUTSIDE;
        }
        let stay = (&self.stay, self.stay_key);
        self.search.begin(&self.steady, stay, !outside, known.then_some(&previous[..n]), self.iterations);
        self.state = State::Searching;
    }

    fn proceed(&mut self, optimum: &mut Optimum, probe: &mut dyn Probe) -> bool {
        optimum.starts = self.search.starts() as u32;
        if self.state == State::Failed {
            optimum.iterations = 0;
            self.answer.failed(&self.steady.problem, optimum);
            return true;
        }
        let worked = self.search.work(&mut self.steady, self.iterations, self.iterations_per_scan, probe);
        if worked == Worked::Unfinished {
            return false;
        }
        optimum.iterations = self.search.progress().iterations;
        optimum.objective_now = self.stay_objective;
        let worth_it = self.search.worth_leaving(&self.stay_key, self.accept_if_gain);
        if worth_it {
            self.answer.go(&mut self.steady, &mut self.search, &self.stay_key, optimum);
        } else {
            self.answer.stay(&mut self.steady, &self.stay, self.stay_objective, optimum);
        }
        optimum.status = match () {
            () if worked == Worked::OverBudget => SolveStatus::TimeLimit,
            () if optimum.cvs.iter().any(|cv| cv.given_up) => SolveStatus::InfeasibleRelaxed,
            () if !worth_it => SolveStatus::NoGain,
            () if self.search.progress().converged => SolveStatus::Optimal,
            () => SolveStatus::Improved,
        };
        true
    }

    fn evaluate(&mut self, inputs: &[f64], outputs: &mut [f64]) -> bool {
        let fixed = &mut self.steady.fixed;
        let (n, m) = (fixed.ranges.len(), fixed.map.outputs());
        if inputs.len() != n || outputs.len() != m {
            return false;
        }
        let mut x = [0.0; MODEL_INPUTS_MAX];
        for ((place, value), (low, high)) in x.iter_mut().zip(inputs).zip(&fixed.ranges) {
            // NaN stays NaN through a clamp and is refused by the map.
            *place = value.clamp(*low, *high);
        }
        self.steady.values(&x[..n], outputs)
    }
}
