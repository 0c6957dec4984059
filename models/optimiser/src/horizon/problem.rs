//! The horizon problem, posed for the search: moves in blocks, limits of every CV at every step, move limits between blocks.
//!
//! Variables are the MVs of each block, block by block, as shares of what is reachable by then: operator and engineering limits, training range,
//! and as many moves from the present setpoint. So the first move is inside its limits whatever the search does. Rows are the CVs at every
//! step in units of their concern, then the moves from block to block in units of a whole one; these are level 0, which is never given up.
//!
//! The cost is the objective, averaged over the steps, and: each whole move of an MV costs its `move_cost` (pseudo-Huber: in proportion beyond
//! a tenth of a whole move, quadratic below); a CV that still moves by one concern over the last quarter of the horizon costs `terminal`,
//! quadratic; leaving the model's domain costs as it does for the steady-state map, averaged over the steps.

use flyball_core::bounds::{MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX, MVS_MAX};
use flyball_core::optimum::Problem;
use flyball_engine::{GraphError, Instance, Path, Program};
use std::sync::Arc;

use super::blocks::Blocks;
use super::dynamics::Dynamics;
use super::plant::Plant;
use super::rollout::{Roles, rollout};
use super::tangent::with_slopes;
use crate::domain::DomainCost;
use crate::levels::LEVELS_MAX;
use crate::nlp::{Nlp, RowLimits, Trial};
use crate::objective::Objective;

/// Moves smaller than this share of a whole one cost less than in proportion, so that the cost has a slope everywhere.
const MOVE_ROUNDING: f64 = 0.1;
/// The last 1 / this of the horizon is where CVs should be steady.
const TAIL: usize = 4;

/// What is fixed about a horizon problem.
pub(crate) struct Fixed {
    pub blocks: Blocks,
    pub objective: Objective,
    /// 1 to maximise, -1 to minimise.
    pub sign: f64,
    /// Input of each MV.
    pub mv_input: Vec<usize>,
    /// Input and output of each output that is fed back.
    pub fed_back: Vec<(usize, usize)>,
    /// Cost of one whole move per MV, units of the objective.
    pub move_cost: Vec<f64>,
    /// Cost of one concern of change over the tail, units of the objective.
    pub terminal: f64,
    /// A violation of now may last so many steps.
    pub recover: usize,
    pub domain: Option<DomainCost>,
}

/// A posed problem with the memory of its evaluation.
pub(crate) struct Horizon {
    pub fixed: Fixed,
    pub plant: Plant,
    pub problem: Problem,
    /// What is reachable by each MV in each block, EU.
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    /// Limits of each MV in this solve, EU, and whether it may move.
    pub mv_low: [f64; MVS_MAX],
    pub mv_high: [f64; MVS_MAX],
    pub free: [bool; MVS_MAX],
    limits: Vec<RowLimits>,
    sloped: Instance,
    /// Place of the slopes among its outputs.
    slopes_at: usize,
    plain: Instance,
    /// Outputs of the newest evaluation, step by step, in the configuration's order, EU.
    pub outputs: Vec<f64>,
    by_output: Vec<f64>,
    moves: Vec<f64>,
    z: Vec<f64>,
}

impl Horizon {
    /// Compiles the rollout. `cvs` is the number of CVs.
    pub(crate) fn new(fixed: Fixed, plant: Plant, dynamics: &Dynamics, cvs: usize) -> Result<Self, GraphError> {
        let columns = plant.columns();
        let roles = Roles {
            mvs: fixed.mv_input.iter().map(|i| columns.inputs[*i]).collect(),
            fed_back: fixed.fed_back.iter().map(|(i, o)| (columns.inputs[*i], columns.outputs[*o])).collect(),
        };
        let graph = rollout(dynamics, &roles, &fixed.blocks)?;
        let derived = with_slopes(&graph)?;
        let instance =
            |graph| -> Result<Instance, GraphError> { Ok(Arc::new(Program::compile(graph, Path::best())?).instance()) };
        let (variables, steps, m) =
            (fixed.blocks.len() * fixed.mv_input.len(), fixed.blocks.steps(), columns.outputs.len());
        let rows = cvs * steps + (fixed.blocks.len() - 1) * fixed.mv_input.len();
        Ok(Self {
            sloped: instance(&derived)?,
            slopes_at: derived.outputs().len() - 1,
            plain: instance(&graph)?,
            problem: Problem::default(),
            low: vec![0.0; variables],
            high: vec![0.0; variables],
            mv_low: [0.0; MVS_MAX],
            mv_high: [0.0; MVS_MAX],
            free: [false; MVS_MAX],
            limits: vec![RowLimits::NONE; rows],
            outputs: vec![0.0; steps * m],
            by_output: vec![0.0; steps * m],
            moves: vec![0.0; variables],
            z: vec![0.0; columns.inputs.len()],
            fixed,
            plant,
        })
    }

    /// Number of MVs.
    pub(crate) fn mvs(&self) -> usize {
        self.fixed.mv_input.len()
    }

    /// Number of steps.
    pub(crate) fn steps(&self) -> usize {
        self.fixed.blocks.steps()
    }

    /// Row of a CV at a step.
    pub(crate) fn row(&self, cv: usize, step: usize) -> usize {
        cv * self.steps() + step
    }

    /// Takes a problem. An MV that cannot move is fixed where it is.
    pub(crate) fn pose(&mut self, problem: &Problem) {
        self.problem.clone_from(problem);
        let mvs = self.mvs();
        for (i, mv) in problem.mvs.iter().enumerate().take(MVS_MAX) {
            let (train_low, train_high) = self.plant.columns().ranges[self.fixed.mv_input[i]];
            let (mut low, mut high) = (mv.low.max(train_low), mv.high.min(train_high));
            // The slave cannot follow further that way.
            if mv.limited_high {
                high = high.min(mv.now.max(low));
            }
            if mv.limited_low {
                low = low.max(mv.now.min(high));
            }
            self.free[i] = mv.free && low < high;
            (self.mv_low[i], self.mv_high[i]) = if self.free[i] { (low, high) } else { (mv.now, mv.now) };
            for block in 0..self.fixed.blocks.len() {
                let moves = (block + 1) as f64;
                // From outside the limits this is the way back at full speed.
                let (down, up) = (mv.now - moves * mv.move_down.max(0.0), mv.now + moves * mv.move_up.max(0.0));
                self.low[block * mvs + i] = self.mv_low[i].clamp(down, up);
                self.high[block * mvs + i] = self.mv_high[i].clamp(down, up);
            }
        }
    }

    /// Limits of all rows, around where the plant is now. `stay` is the answer to staying.
    pub(crate) fn limit(&mut self) {
        let (mvs, steps, m) = (self.mvs(), self.steps(), self.plant.columns().outputs.len());
        for (j, cv) in self.problem.cvs.iter().enumerate() {
            // The first prediction stands for where the CV is: it has the plant's bias and no move has reached it.
            let first = self.outputs[cv.map_output as usize % m];
            let over = (cv.low - first).max(first - cv.high).max(0.0);
            for step in 0..steps {
                // Already the first step must bring some of it: else each solve would leave the way back to the next one.
                let left = (1.0 - (step + 1) as f64 / self.fixed.recover.max(1) as f64).max(0.0) * over;
                let level = level_of(&self.problem, j);
                self.limits[j * steps + step] = if cv.active {
                    RowLimits { low: (cv.low - left) / cv.scale, high: (cv.high + left) / cv.scale, level }
                } else {
                    RowLimits { level, ..RowLimits::NONE }
                };
            }
        }
        let begin = self.problem.cvs.len() * steps;
        for block in 1..self.fixed.blocks.len() {
            for (i, mv) in self.problem.mvs.iter().enumerate() {
                let whole = mv.move_up.max(mv.move_down);
                self.limits[begin + (block - 1) * mvs + i] = if self.free[i] && whole > 0.0 {
                    RowLimits { low: -mv.move_down.max(0.0) / whole, high: mv.move_up.max(0.0) / whole, level: 0 }
                } else {
                    RowLimits::NONE
                };
            }
        }
    }

    /// EU of a share.
    pub(crate) fn eu(&self, variable: usize, share: f64) -> f64 {
        let (low, high) = (self.low[variable], self.high[variable]);
        // The clamp makes the box exact whatever the rounding.
        (low + share * (high - low)).clamp(low, high)
    }

    /// Share of an EU value, 0 where nothing moves.
    pub(crate) fn share(&self, variable: usize, value: f64) -> f64 {
        let (low, high) = (self.low[variable], self.high[variable]);
        if low < high { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Evaluates a plan in EU, which may lie outside the box. The shares of the trial are left as they are.
    pub(crate) fn at(&mut self, plan: &[f64], trial: &mut Trial) {
        self.moves.copy_from_slice(plan);
        let present: heapless::Vec<f64, MODEL_INPUTS_MAX> = self.problem.inputs.clone();
        feed(&mut self.sloped, &self.plant, &self.moves, &present);
        self.sloped.run();
        self.read(trial);
    }

    /// Outputs at every step for a plan and present inputs, into `outputs`. False when one is not finite.
    pub(crate) fn predict(&mut self, plan: &[f64], present: &[f64]) -> bool {
        feed(&mut self.plain, &self.plant, plan, present);
        self.plain.run();
        let columns = self.plant.columns();
        sort(self.plain.output(0), &columns.outputs, &mut self.outputs)
    }

    /// Mean of the objective along the outputs of the newest evaluation, for this plan and present inputs.
    pub(crate) fn objective(&mut self, plan: &[f64], present: &[f64]) -> f64 {
        let m = self.plant.columns().outputs.len();
        let mut x = [0.0; MODEL_INPUTS_MAX];
        let mut sum = 0.0;
        for step in 0..self.steps() {
            let n = self.inputs_at(step, plan, present, &mut x);
            sum += self.fixed.objective.value(&x[..n], &self.outputs[step * m..(step + 1) * m], &self.problem.prices);
        }
        sum / self.steps() as f64
    }

    /// Inputs of the model at a step; returns their number.
    fn inputs_at(&self, step: usize, plan: &[f64], present: &[f64], x: &mut [f64; MODEL_INPUTS_MAX]) -> usize {
        let (columns, mvs) = (self.plant.columns(), self.mvs());
        let (n, m) = (columns.inputs.len(), columns.outputs.len());
        x[..n].copy_from_slice(present);
        for (i, input) in self.fixed.mv_input.iter().enumerate() {
            x[*input] = plan[self.fixed.blocks.of(step) * mvs + i];
        }
        if step > 0 {
            for (input, output) in &self.fixed.fed_back {
                x[*input] = self.outputs[(step - 1) * m + output];
            }
        }
        n
    }

    /// Cost of the plan in `moves`; its derivatives by each move into `gradient`, and by each output into `by_output`.
    fn cost(&mut self, gradient: &mut [f64]) -> f64 {
        let (mvs, steps, m) = (self.mvs(), self.steps(), self.plant.columns().outputs.len());
        let (mut x, mut by_x, mut by_y) = ([0.0; MODEL_INPUTS_MAX], [0.0; MODEL_INPUTS_MAX], [0.0; MODEL_OUTPUTS_MAX]);
        let share = 1.0 / steps as f64;
        gradient.fill(0.0);
        self.by_output.fill(0.0);
        let mut cost = 0.0;
        for step in 0..steps {
            let n = self.inputs_at(step, &self.moves, &self.problem.inputs, &mut x);
            let y = &self.outputs[step * m..(step + 1) * m];
            let (by_x, by_y) = (&mut by_x[..n], &mut by_y[..m]);
            let objective = self.fixed.objective.gradient(&x[..n], y, &self.problem.prices, by_x, by_y);
            cost -= share * self.fixed.sign * objective;
            by_x.iter_mut().chain(by_y.iter_mut()).for_each(|slope| *slope *= -self.fixed.sign);
            if let Some(domain) = &self.fixed.domain {
                cost += share * domain.add(&x[..n], &mut self.z, by_x);
            }
            for (sum, slope) in self.by_output[step * m..].iter_mut().zip(by_y.iter()) {
                *sum += share * slope;
            }
            let block = self.fixed.blocks.of(step);
            for (i, input) in self.fixed.mv_input.iter().enumerate() {
                gradient[block * mvs + i] += share * by_x[*input];
            }
            if step > 0 {
                for (input, output) in &self.fixed.fed_back {
                    self.by_output[(step - 1) * m + output] += share * by_x[*input];
                }
            }
        }
        cost + self.terminal() + self.suppression(gradient)
    }

    fn terminal(&mut self) -> f64 {
        let (steps, m) = (self.steps(), self.plant.columns().outputs.len());
        let before = steps - 1 - (steps / TAIL).clamp(1, steps - 1);
        let mut cost = 0.0;
        for cv in self.problem.cvs.iter().filter(|cv| cv.active) {
            let output = cv.map_output as usize;
            let (first, last) = (before * m + output, (steps - 1) * m + output);
            let change = (self.outputs[last] - self.outputs[first]) / cv.scale;
            cost += self.fixed.terminal * change * change;
            let slope = 2.0 * self.fixed.terminal * change / cv.scale;
            self.by_output[last] += slope;
            self.by_output[first] -= slope;
        }
        cost
    }

    fn suppression(&self, gradient: &mut [f64]) -> f64 {
        let mvs = self.mvs();
        let mut cost = 0.0;
        for (i, (mv, price)) in self.problem.mvs.iter().zip(&self.fixed.move_cost).enumerate() {
            for block in (0..self.fixed.blocks.len()).filter(|_| *price > 0.0) {
                let here = block * mvs + i;
                let before = if block == 0 { mv.now } else { self.moves[here - mvs] };
                let way = self.moves[here] - before;
                let whole = if way > 0.0 { mv.move_up } else { mv.move_down };
                if whole > 0.0 {
                    let rounding = MOVE_ROUNDING * whole;
                    let length = (way * way + rounding * rounding).sqrt();
                    cost += price * (length - rounding) / whole;
                    let slope = price * way / (length * whole);
                    gradient[here] += slope;
                    if block > 0 {
                        gradient[here - mvs] -= slope;
                    }
                }
            }
        }
        cost
    }

    /// Fills a trial from a run of the plan in `moves`.
    fn read(&mut self, trial: &mut Trial) {
        let (mvs, steps, nv) = (self.mvs(), self.steps(), self.moves.len());
        let m = self.plant.columns().outputs.len();
        trial.usable = sort(self.sloped.output(0), &self.plant.columns().outputs, &mut self.outputs);
        if !trial.usable {
            return;
        }
        trial.cost = self.cost(&mut trial.gradient);
        let slopes = self.sloped.output(self.slopes_at);
        let columns = &self.plant.columns().outputs;
        for v in 0..nv {
            let span = self.high[v] - self.low[v];
            let of_move = &slopes[v * steps * m..(v + 1) * steps * m];
            let mut sum = trial.gradient[v];
            // No output depends on a later move.
            let from = self.fixed.blocks.begin(v / mvs);
            for step in from..steps {
                for (output, column) in columns.iter().enumerate() {
                    sum += self.by_output[step * m + output] * f64::from(of_move[step * m + column]);
                }
            }
            trial.gradient[v] = span * sum;
            for (j, cv) in self.problem.cvs.iter().enumerate() {
                let column = columns[cv.map_output as usize];
                let unit = if cv.active { span / cv.scale } else { 0.0 };
                for step in 0..steps {
                    let slope = if step < from { 0.0 } else { f64::from(of_move[step * m + column]) };
                    trial.slopes[(j * steps + step) * nv + v] = unit * slope;
                }
            }
        }
        for (j, cv) in self.problem.cvs.iter().enumerate() {
            for step in 0..steps {
                let value = self.outputs[step * m + cv.map_output as usize] / cv.scale;
                trial.rows[j * steps + step] = if cv.active { value } else { 0.0 };
            }
        }
        let begin = self.problem.cvs.len() * steps;
        trial.slopes[begin * nv..].fill(0.0);
        for block in 1..self.fixed.blocks.len() {
            for (i, mv) in self.problem.mvs.iter().enumerate() {
                let (row, here, before) = (begin + (block - 1) * mvs + i, block * mvs + i, (block - 1) * mvs + i);
                let whole = mv.move_up.max(mv.move_down);
                if !(self.free[i] && whole > 0.0) {
                    trial.rows[row] = 0.0;
                    continue;
                }
                trial.rows[row] = (self.moves[here] - self.moves[before]) / whole;
                trial.slopes[row * nv + here] = (self.high[here] - self.low[here]) / whole;
                trial.slopes[row * nv + before] = -(self.high[before] - self.low[before]) / whole;
            }
        }
        trial.judge();
    }
}

/// Writes a plan and present inputs, both in the configuration's order and EU, into a rollout.
fn feed(instance: &mut Instance, plant: &Plant, plan: &[f64], present: &[f64]) {
    let columns = plant.columns();
    for (cell, value) in instance.input_mut(0).iter_mut().zip(plan) {
        *cell = *value as f32;
    }
    let row = instance.input_mut(1);
    for ((value, column), (low, high)) in present.iter().zip(&columns.inputs).zip(&columns.ranges) {
        row[*column] = value.clamp(*low, *high) as f32;
    }
    let bias = instance.input_mut(2);
    for (value, column) in plant.bias().iter().zip(&columns.outputs) {
        bias[*column] = *value as f32;
    }
    for (i, memory) in plant.memory().iter().enumerate() {
        instance.input_mut(3 + i).copy_from_slice(memory);
    }
}

/// Outputs of a rollout in the configuration's order; false when one is not finite.
fn sort(from: &[f32], columns: &[usize], to: &mut [f64]) -> bool {
    let m = columns.len();
    let mut finite = true;
    for (from, to) in from.chunks_exact(m).zip(to.chunks_exact_mut(m)) {
        for (to, column) in to.iter_mut().zip(columns) {
            *to = f64::from(from[*column]);
            finite &= to.is_finite();
        }
    }
    finite
}

/// Rank of a CV as a level without gaps, below that of the moves.
fn level_of(problem: &Problem, j: usize) -> u8 {
    let priority = problem.cvs[j].priority;
    let first_of_rank = |k: usize| !problem.cvs[..k].iter().any(|c| c.priority == problem.cvs[k].priority);
    let above = (0..problem.cvs.len()).filter(|k| problem.cvs[*k].priority < priority && first_of_rank(*k)).count();
    (above + 1).min(LEVELS_MAX - 1) as u8
}

impl Nlp for Horizon {
    fn variables(&self) -> usize {
        self.moves.len()
    }

    fn rows(&self) -> usize {
        self.limits.len()
    }

    fn limits(&self) -> &[RowLimits] {
        &self.limits
    }

    fn evaluate(&mut self, trials: &mut [Trial], wanted: &[bool]) {
        let present: heapless::Vec<f64, MODEL_INPUTS_MAX> = self.problem.inputs.clone();
        for trial in trials.iter_mut().zip(wanted).filter(|(_, w)| **w).map(|(t, _)| t) {
            for (v, share) in trial.point.iter().enumerate() {
                self.moves[v] = self.eu(v, *share);
            }
            feed(&mut self.sloped, &self.plant, &self.moves, &present);
            self.sloped.run();
            self.read(trial);
        }
    }
}
