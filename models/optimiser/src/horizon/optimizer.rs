//! The optimiser port over a horizon: the best plan of moves, of which only the first is made.
//!
//! Anytime, as the steady-state optimiser: the incumbent is "stay" until a plan is no worse in every rank and better. Each solve starts from
//! the present setpoints and from the last plan, shifted by the time since. Same history, same question, same budget: same bits.

use core::time::Duration;

use flyball_core::bounds::{CVS_MAX, MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
use flyball_core::optimum::{CvProblem, MvProblem, Optimum, Problem, SolveStatus};
use flyball_core::ports::{Clock, NoProbe, Optimizer, Probe};
use flyball_core::state::Archive;

use super::answer::Answer;
use super::blocks::{Blocks, HORIZON_MVS_MAX, STEPS_MAX};
use super::dynamics::Dynamics;
use super::plant::{Columns, Plant};
use super::problem::{Fixed, Horizon};
use crate::climb::{Search, Worked};
use crate::domain::DomainCost;
use crate::levels::Key;
use crate::nlp::{Nlp, ROWS_MAX, Trial, VARIABLES_MAX};
use crate::objective::Objective;
use crate::optimiser::{Budget, CannotOptimise, ITERATIONS_MAX, STARTS_MAX, sound};
use crate::setup::Setup;

/// A time budget is filled to this share, because the calibration ran on an idle machine.
const CALIBRATION_SAFETY: f64 = 0.5;
/// Calibrating solves; the slowest counts.
const CALIBRATION_SOLVES: u32 = 5;

/// What a horizon adds to a [`Setup`].
#[derive(Debug, Clone, PartialEq)]
pub struct HorizonSetup {
    /// Objective, names, MVs. Its reach is not used: the moves of the blocks are the reach.
    pub base: Setup,
    /// Move blocks.
    pub blocks: Blocks,
    /// Inputs that are outputs fed back: input, output.
    pub fed_back: Vec<(usize, usize)>,
    /// Cost of a CV that still moves by one concern over the last quarter of the horizon, units of the objective.
    pub terminal: f64,
    /// Steps in which a CV that is outside a limit now may come back.
    pub recover: usize,
}

/// The optimiser over a horizon.
pub struct HorizonOptimizer {
    horizon: Horizon,
    search: Search,
    answer: Answer,
    stay: Trial,
    stay_key: Key,
    stay_objective: f64,
    /// Last plan, EU, block by block, and the steps of the plant since it was asked for.
    plan: Vec<f64>,
    has_plan: bool,
    age: usize,
    now: Vec<f64>,
    shares: Vec<f64>,
    previous: Vec<f64>,
    accept_if_gain: f64,
    iterations: u32,
    iterations_per_scan: u32,
    searching: bool,
}

impl HorizonOptimizer {
    /// Binds an optimiser to a model.
    ///
    /// # Errors
    /// The objective cannot be compiled, sizes do not fit, or the rollout is over a limit of the engine.
    pub fn new(
        setup: &HorizonSetup,
        dynamics: &Dynamics,
        columns: Columns,
        domain: Option<DomainCost>,
    ) -> Result<Self, CannotOptimise> {
        fn names(list: &[String]) -> Vec<&str> {
            list.iter().map(String::as_str).collect()
        }
        let base = &setup.base;
        let (inputs, outputs) = (names(&base.inputs), names(&base.outputs));
        let objective = Objective::compile(&base.objective, &inputs, &outputs, &names(&base.prices));
        let objective = objective.map_err(CannotOptimise::Objective)?;
        let (n, m, mvs, cvs) = (inputs.len(), outputs.len(), base.mvs.len(), base.cvs);
        let permuted = |order: &[usize], count: usize| order.len() == count && (0..count).all(|c| order.contains(&c));
        let fits = permuted(&columns.inputs, dynamics.columns())
            && permuted(&columns.outputs, dynamics.outputs())
            && (n, m) == (columns.inputs.len(), columns.outputs.len())
            && columns.ranges.len() == n
            && columns.is_mv.len() == n
            && columns.bias_share.len() == m
            && n <= MODEL_INPUTS_MAX
            && m <= MODEL_OUTPUTS_MAX
            && base.mvs.iter().all(|mv| mv.input < n && columns.is_mv[mv.input])
            && setup.fed_back.iter().all(|(i, o)| *i < n && *o < m && !columns.is_mv[*i])
            && cvs <= CVS_MAX;
        if !fits {
            return Err(CannotOptimise::Map(
                format!(
                    "the model answers {} to {} for {mvs} MVs and {cvs} CVs",
                    dynamics.columns(),
                    dynamics.outputs()
                ),
                format!("{n} to {m}, and at most {CVS_MAX} CVs"),
            ));
        }
        let variables = setup.blocks.len() * mvs;
        let rows = cvs * setup.blocks.steps() + (setup.blocks.len() - 1) * mvs;
        if !(1..=HORIZON_MVS_MAX).contains(&mvs) || variables > VARIABLES_MAX || rows > ROWS_MAX {
            let (steps, blocks) = (setup.blocks.steps(), setup.blocks.len());
            return Err(CannotOptimise::Map(
                format!(
                    "a horizon of {steps} steps and {blocks} move blocks for {mvs} MVs and {cvs} CVs has {rows} limits"
                ),
                format!(
                    "1 to {HORIZON_MVS_MAX} MVs, {STEPS_MAX} steps and {ROWS_MAX} limits (CVs x steps, and MVs x moves between blocks); \
                     take fewer steps or blocks"
                ),
            ));
        }
        let engine = |e: flyball_engine::GraphError| {
            CannotOptimise::Map(
                format!("the horizon cannot be compiled ({e})"),
                "fewer steps or a smaller model".into(),
            )
        };
        let ranges = base.mvs.iter().map(|mv| columns.ranges[mv.input]).collect();
        let answer = Answer::new(base, ranges, &columns.ranges);
        let fixed = Fixed {
            blocks: setup.blocks.clone(),
            objective,
            sign: if base.maximise { 1.0 } else { -1.0 },
            mv_input: base.mvs.iter().map(|mv| mv.input).collect(),
            fed_back: setup.fed_back.clone(),
            move_cost: base.mvs.iter().map(|mv| mv.move_cost).collect(),
            terminal: setup.terminal,
            recover: setup.recover,
            domain,
        };
        let plant = Plant::new(dynamics, columns).map_err(engine)?;
        let horizon = Horizon::new(fixed, plant, dynamics, cvs).map_err(engine)?;
        let starts = base.starts.clamp(1, STARTS_MAX);
        Ok(Self {
            horizon,
            search: Search::new(starts, variables, rows),
            answer,
            stay: Trial::new(variables, rows),
            stay_key: Key::WORST,
            stay_objective: 0.0,
            plan: vec![0.0; variables],
            has_plan: false,
            age: 0,
            now: vec![0.0; variables],
            shares: vec![0.0; variables],
            previous: vec![0.0; variables],
            accept_if_gain: base.accept_if_gain,
            iterations: ITERATIONS_MAX,
            iterations_per_scan: ITERATIONS_MAX,
            searching: false,
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

    /// The last plan, EU, one list of MVs per block; empty before the first answer.
    pub fn plan(&self) -> impl Iterator<Item = &[f64]> {
        self.plan.chunks_exact(self.horizon.mvs()).filter(|_| self.has_plan)
    }

    /// Outputs of the model at every step of a plan (EU, block by block), bias included, one list of outputs per step. None when a number is
    /// not finite or the model's window has not been seen. For tools and tests.
    pub fn predict(&mut self, problem: &Problem, plan: &[f64]) -> Option<Vec<Vec<f64>>> {
        let fits = self.fits(problem) && plan.len() == self.plan.len() && self.horizon.plant.ready();
        if !fits || !self.horizon.predict(plan, &problem.inputs) {
            return None;
        }
        let m = self.horizon.plant.columns().outputs.len();
        Some(self.horizon.outputs.chunks_exact(m).map(<[f64]>::to_vec).collect())
    }

    /// Cost that the search minimises at a plan, with its place in the order of plans; None as [`HorizonOptimizer::predict`]. For tools and tests.
    pub fn judge(&mut self, problem: &Problem, plan: &[f64]) -> Option<Key> {
        if !self.fits(problem) || plan.len() != self.plan.len() || !self.horizon.plant.ready() {
            return None;
        }
        let mut trial = self.stay.clone();
        self.horizon.pose(problem);
        self.stay_plan(problem);
        self.horizon.at(&self.now, &mut trial);
        self.horizon.limit();
        self.horizon.at(plan, &mut trial);
        Some(Key::of(&trial, self.horizon.limits()))
    }

    /// Turns time budgets into iteration budgets by timing solves on this machine, as the steady-state optimiser does. Rows of the middle
    /// of the training range are fed first, and forgotten again.
    pub fn calibrate(&mut self, solve: Duration, scan: Duration, prices: &[f64], clock: &dyn Clock) -> Budget {
        let problem = self.calibration_problem(prices);
        // One row more than the window, because a row is complete when the next one begins.
        for _ in 0..=self.horizon.plant.window() {
            self.horizon.plant.observe(&problem.inputs, &[]);
        }
        let mut slowest = 1.0_f64; // ns per iteration
        (self.iterations, self.iterations_per_scan) = (ITERATIONS_MAX, ITERATIONS_MAX);
        for _ in 0..CALIBRATION_SOLVES {
            let mut optimum = Optimum::default();
            let begin = clock.now();
            self.optimise(&problem, &mut optimum, &mut NoProbe);
            let taken = clock.now().0.saturating_sub(begin.0) as f64;
            slowest = slowest.max(taken / f64::from(optimum.iterations.max(1)));
        }
        self.reset();
        // The casts saturate; at least one iteration is always made.
        let fit = |time: Duration| (CALIBRATION_SAFETY * time.as_nanos() as f64 / slowest) as u32;
        self.iterations = fit(solve).clamp(1, ITERATIONS_MAX);
        self.iterations_per_scan = fit(scan).clamp(1, self.iterations);
        self.budget()
    }

    fn calibration_problem(&self, prices: &[f64]) -> Problem {
        let mut problem = Problem::default();
        // Lists are as long as the configuration's, which `bounds` limits.
        for (low, high) in &self.horizon.plant.columns().ranges {
            let _ = problem.inputs.push(0.5 * (low + high));
        }
        for (low, high) in self.answer.engineering() {
            let (now, step) = (low + 0.3 * (high - low), 0.05 * (high - low));
            let mv = MvProblem {
                now,
                low: *low,
                high: *high,
                move_up: step,
                move_down: step,
                free: true,
                limited_high: false,
                limited_low: false,
            };
            let _ = problem.mvs.push(mv);
        }
        let outputs = self.horizon.plant.columns().outputs.len();
        for j in 0..self.answer.cvs() {
            let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
            let map_output = (j % outputs) as u32;
            let _ = problem.cvs.push(CvProblem { low, high, priority: 1, scale: 1.0, active: true, map_output });
        }
        let _ = problem.prices.extend_from_slice(prices);
        problem
    }

    fn fits(&self, problem: &Problem) -> bool {
        let columns = self.horizon.plant.columns();
        problem.mvs.len() == self.horizon.mvs()
            && problem.cvs.len() == self.answer.cvs()
            && problem.inputs.len() == columns.inputs.len()
            && problem.inputs.iter().chain(&problem.prices).all(|v| v.is_finite())
            && sound(problem, columns.outputs.len())
    }

    /// The plan that stays.
    fn stay_plan(&mut self, problem: &Problem) {
        for block in self.now.chunks_exact_mut(problem.mvs.len()) {
            block.iter_mut().zip(&problem.mvs).for_each(|(now, mv)| *now = mv.now);
        }
    }
}

impl Optimizer for HorizonOptimizer {
    fn begin(&mut self, problem: &Problem, _last: &Optimum) {
        self.searching = false;
        if !self.fits(problem) || !self.horizon.plant.ready() {
            self.horizon.problem.clone_from(problem);
            return;
        }
        self.horizon.pose(problem);
        self.stay_plan(problem);
        self.horizon.at(&self.now, &mut self.stay);
        if !self.stay.usable {
            return;
        }
        self.horizon.limit();
        self.stay_objective = self.horizon.objective(&self.now, &problem.inputs);
        self.stay_key = Key::of(&self.stay, self.horizon.limits());
        let mvs = self.horizon.mvs();
        let mut outside = false;
        for (v, now) in self.now.iter().enumerate() {
            self.shares[v] = self.horizon.share(v, *now);
            outside |= *now < self.horizon.mv_low[v % mvs] || *now > self.horizon.mv_high[v % mvs];
            let block = self.horizon.fixed.blocks.shifted(v / mvs, self.age);
            self.previous[v] = self.horizon.share(v, self.plan[block * mvs + v % mvs]);
        }
        self.stay.point.copy_from_slice(&self.shares);
        if outside {
            self.stay_key.unmet |= Key::OUTSIDE;
        }
        let previous = self.has_plan.then_some(&self.previous[..]);
        let stay = (&self.stay, self.stay_key);
        self.search.begin(&self.horizon, stay, !outside, previous, self.iterations);
        self.age = 0;
        self.searching = true;
    }

    fn proceed(&mut self, optimum: &mut Optimum, probe: &mut dyn Probe) -> bool {
        optimum.starts = self.search.starts() as u32;
        if !self.searching {
            optimum.iterations = 0;
            self.has_plan = false;
            self.answer.failed(&self.horizon.problem, optimum);
            return true;
        }
        let worked = self.search.work(&mut self.horizon, self.iterations, self.iterations_per_scan, probe);
        if worked == Worked::Unfinished {
            return false;
        }
        optimum.iterations = self.search.progress().iterations;
        optimum.objective_now = self.stay_objective;
        let worth_it = self.search.worth_leaving(&self.stay_key, self.accept_if_gain);
        if worth_it {
            for (v, share) in self.search.best.point.iter().enumerate() {
                self.plan[v] = self.horizon.eu(v, *share);
            }
            self.answer.go(&mut self.horizon, &mut self.search, &self.plan, optimum);
        } else {
            self.plan.copy_from_slice(&self.now);
            self.answer.stay(&self.horizon, &self.stay, self.stay_objective, optimum);
        }
        self.has_plan = true;
        optimum.status = match () {
            () if worked == Worked::OverBudget => SolveStatus::TimeLimit,
            () if optimum.cvs.iter().any(|cv| cv.given_up) => SolveStatus::InfeasibleRelaxed,
            () if !worth_it => SolveStatus::NoGain,
            () if self.search.progress().converged => SolveStatus::Optimal,
            () => SolveStatus::Improved,
        };
        true
    }

    /// Outputs at the end of the horizon when the MVs go to these inputs at once and everything stays.
    fn evaluate(&mut self, inputs: &[f64], outputs: &mut [f64]) -> bool {
        let columns = self.horizon.plant.columns();
        let (n, m) = (columns.inputs.len(), columns.outputs.len());
        let fits = inputs.len() == n && outputs.len() == m && inputs.iter().all(|v| v.is_finite());
        if !fits || !self.horizon.plant.ready() {
            return false;
        }
        let mvs = self.horizon.mvs();
        for (v, place) in self.shares.iter_mut().enumerate() {
            let input = self.horizon.fixed.mv_input[v % mvs];
            let (low, high) = self.horizon.plant.columns().ranges[input];
            *place = inputs[input].clamp(low, high);
        }
        let finite = self.horizon.predict(&self.shares, inputs);
        let last = self.horizon.outputs.len() - m;
        outputs.copy_from_slice(&self.horizon.outputs[last..]);
        finite
    }

    fn observe(&mut self, inputs: &[f64], plant: &[Option<f64>]) {
        self.horizon.plant.observe(inputs, plant);
        self.age = (self.age + 1).min(STEPS_MAX);
    }

    fn reset(&mut self) {
        self.horizon.plant.reset();
        (self.has_plan, self.age) = (false, 0);
    }

    fn keep(&mut self, archive: &mut Archive<'_>) {
        self.horizon.plant.keep(archive);
        archive.keep_all(&mut self.plan);
        archive.keep(&mut self.has_plan);
        archive.keep_index(&mut self.age, STEPS_MAX);
    }
}
