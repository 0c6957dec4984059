//! The steady-state problem: an economic objective and CV limits over a map, posed for the search.
//!
//! Variables are the MVs, as shares of their box; rows are the CVs, in units of their concern. The cost is the objective, the moves that it
//! takes and the way out of the map's domain.

use flyball_core::bounds::MVS_MAX;
use flyball_core::optimum::Problem;

use crate::domain::DomainCost;
use crate::levels::LEVELS_MAX;
use crate::map::Map;
use crate::nlp::{Nlp, RowLimits, Trial};
use crate::objective::Objective;

/// Moves smaller than this share of a whole one cost less than in proportion, so that the cost has a slope everywhere.
const MOVE_ROUNDING: f64 = 0.1;

/// What is fixed about a steady-state problem.
pub(crate) struct Fixed {
    pub map: Box<dyn Map>,
    pub objective: Objective,
    /// 1 to maximise, -1 to minimise.
    pub sign: f64,
    /// Input of the map of each MV.
    pub mv_input: Vec<usize>,
    /// Where the map is believed, per input, EU.
    pub ranges: Vec<(f64, f64)>,
    /// Cost of one whole move per MV, units of the objective.
    pub move_cost: Vec<f64>,
    /// The search looks this many moves far; none: as far as limits and training allow.
    pub reach: Option<f64>,
    pub domain: Option<DomainCost>,
}

/// A posed problem with the memory of its evaluation.
pub(crate) struct Steady {
    pub fixed: Fixed,
    pub problem: Problem,
    /// Box of each MV in this solve, EU, and whether it may move.
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    pub free: Vec<bool>,
    limits: Vec<RowLimits>,
    x: Vec<f64>,
    y: Vec<f64>,
    slopes: Vec<f64>,
    by_x: Vec<f64>,
    by_y: Vec<f64>,
    z: Vec<f64>,
}

impl Steady {
    /// Memory for `rows` points at once and `cvs` CVs.
    pub(crate) fn new(fixed: Fixed, rows: usize, cvs: usize) -> Self {
        let (n, m, mvs) = (fixed.map.inputs(), fixed.map.outputs(), fixed.mv_input.len());
        Self {
            problem: Problem::default(),
            low: vec![0.0; mvs],
            high: vec![0.0; mvs],
            free: vec![false; mvs],
            limits: vec![RowLimits::NONE; cvs],
            x: vec![0.0; rows * n],
            y: vec![0.0; rows * m],
            slopes: vec![0.0; rows * n * m],
            by_x: vec![0.0; n],
            by_y: vec![0.0; m],
            z: vec![0.0; n],
            fixed,
        }
    }

    /// Takes a problem: box of each MV, limits of each CV. An MV that cannot move is fixed where it is.
    pub(crate) fn pose(&mut self, problem: &Problem) {
        self.problem.clone_from(problem);
        for (i, mv) in problem.mvs.iter().enumerate() {
            let (train_low, train_high) = self.fixed.ranges[self.fixed.mv_input[i]];
            let (mut low, mut high) = (mv.low.max(train_low), mv.high.min(train_high));
            if let Some(moves) = self.fixed.reach {
                // From outside the limits at least the way back is looked at.
                low = low.max((mv.now - moves * mv.move_down).min(high));
                high = high.min((mv.now + moves * mv.move_up).max(low));
            }
            // The slave cannot follow further that way.
            if mv.limited_high {
                high = high.min(mv.now.max(low));
            }
            if mv.limited_low {
                low = low.max(mv.now.min(high));
            }
            self.free[i] = mv.free && low < high;
            (self.low[i], self.high[i]) = if self.free[i] { (low, high) } else { (mv.now, mv.now) };
        }
        for (j, cv) in problem.cvs.iter().enumerate() {
            let none = (f64::NEG_INFINITY, f64::INFINITY);
            let (low, high) = if cv.active { (cv.low / cv.scale, cv.high / cv.scale) } else { none };
            self.limits[j] = RowLimits { low, high, level: level_of(problem, j) };
        }
    }

    /// Number of MVs.
    pub(crate) fn mvs(&self) -> usize {
        self.fixed.mv_input.len()
    }

    /// EU of a share.
    pub(crate) fn eu(&self, i: usize, share: f64) -> f64 {
        // The clamp makes the box exact whatever the rounding.
        (self.low[i] + share * (self.high[i] - self.low[i])).clamp(self.low[i], self.high[i])
    }

    /// Share of an EU value, 0 for an MV that does not move.
    pub(crate) fn share(&self, i: usize, value: f64) -> f64 {
        if self.free[i] { ((value - self.low[i]) / (self.high[i] - self.low[i])).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Evaluates a point in EU, which may lie outside the box. The shares of the trial are left as they are.
    pub(crate) fn at(&mut self, mvs: &[f64], trial: &mut Trial) {
        self.fill(0, mvs);
        let ran = self.run(1);
        self.read(0, trial, ran);
    }

    /// The map's outputs at inputs in EU, without bias. False when one is not finite.
    pub(crate) fn values(&mut self, inputs: &[f64], outputs: &mut [f64]) -> bool {
        let slopes = self.fixed.map.inputs() * self.fixed.map.outputs();
        self.fixed.map.run(inputs, outputs, &mut self.slopes[..slopes]).is_ok() && outputs.iter().all(|y| y.is_finite())
    }

    /// Objective without the costs of moves and domain at the point of the last [`Steady::at`].
    pub(crate) fn objective(&mut self) -> f64 {
        let (n, m) = (self.fixed.map.inputs(), self.fixed.map.outputs());
        self.fixed.objective.value(&self.x[..n], &self.y[..m], &self.problem.prices)
    }

    /// Derivative of the cost minus the limits' multipliers by each input of the map at the point of the last [`Steady::at`], per EU.
    pub(crate) fn lagrangian_slopes(&mut self, multipliers: &[f64]) -> &[f64] {
        let n = self.fixed.map.inputs();
        self.cost(0);
        for (cv, multiplier) in self.problem.cvs.iter().zip(multipliers) {
            let output = cv.map_output as usize;
            let of_output = &self.slopes[output * n..(output + 1) * n];
            for (total, slope) in self.by_x.iter_mut().zip(of_output) {
                *total -= multiplier / cv.scale * slope;
            }
        }
        &self.by_x
    }

    /// Writes one row: the problem's inputs inside the training range, with these MVs (EU).
    fn fill(&mut self, row: usize, mvs: &[f64]) {
        let n = self.fixed.map.inputs();
        let cells = &mut self.x[row * n..(row + 1) * n];
        cells.copy_from_slice(&self.problem.inputs);
        for (input, mv) in self.fixed.mv_input.iter().zip(mvs) {
            cells[*input] = *mv;
        }
        for (cell, (low, high)) in cells.iter_mut().zip(&self.fixed.ranges) {
            *cell = cell.clamp(*low, *high);
        }
    }

    /// Runs the map on the first rows and adds the output bias. False when the engine failed.
    fn run(&mut self, rows: usize) -> bool {
        let (n, m) = (self.fixed.map.inputs(), self.fixed.map.outputs());
        let ran = self.fixed.map.run(&self.x[..rows * n], &mut self.y[..rows * m], &mut self.slopes[..rows * n * m]);
        for row in self.y[..rows * m].chunks_exact_mut(m) {
            for (cell, bias) in row.iter_mut().zip(&self.problem.output_bias) {
                *cell += bias;
            }
        }
        ran.is_ok()
    }

    /// Cost of a row; its derivative by each input of the map, through the outputs, in `by_x`.
    fn cost(&mut self, row: usize) -> f64 {
        let (n, m) = (self.fixed.map.inputs(), self.fixed.map.outputs());
        let (x, y) = (&self.x[row * n..(row + 1) * n], &self.y[row * m..(row + 1) * m]);
        let prices = &self.problem.prices;
        let objective = self.fixed.objective.gradient(x, y, prices, &mut self.by_x, &mut self.by_y);
        for (output, by) in self.by_y.iter().enumerate().filter(|(_, by)| **by != 0.0) {
            let of_output = &self.slopes[(row * m + output) * n..(row * m + output + 1) * n];
            for (total, slope) in self.by_x.iter_mut().zip(of_output) {
                *total += by * slope;
            }
        }
        for total in &mut self.by_x {
            *total *= -self.fixed.sign;
        }
        let mut cost = -self.fixed.sign * objective;
        if let Some(domain) = &self.fixed.domain {
            cost += domain.add(x, &mut self.z, &mut self.by_x);
        }
        for ((mv, input), price) in self.problem.mvs.iter().zip(&self.fixed.mv_input).zip(&self.fixed.move_cost) {
            if *price > 0.0 {
                let way = x[*input] - mv.now;
                let whole = if way > 0.0 { mv.move_up } else { mv.move_down };
                if whole > 0.0 {
                    let rounding = MOVE_ROUNDING * whole;
                    let length = (way * way + rounding * rounding).sqrt();
                    cost += price * (length - rounding) / whole;
                    self.by_x[*input] += price * way / (length * whole);
                }
            }
        }
        cost
    }

    /// Fills a trial from a row that was run.
    fn read(&mut self, row: usize, trial: &mut Trial, ran: bool) {
        trial.usable = false;
        if !ran {
            return;
        }
        trial.cost = self.cost(row);
        let (n, m, mvs) = (self.fixed.map.inputs(), self.fixed.map.outputs(), self.mvs());
        let mut spans = [0.0; MVS_MAX];
        for (i, span) in spans.iter_mut().enumerate().take(mvs) {
            *span = self.high[i] - self.low[i];
        }
        for (i, slope) in trial.gradient.iter_mut().enumerate() {
            *slope = spans[i] * self.by_x[self.fixed.mv_input[i]];
        }
        for (j, cv) in self.problem.cvs.iter().enumerate() {
            let output = cv.map_output as usize;
            if !cv.active {
                // A CV that is not usable limits nothing, whatever the map says of it.
                trial.rows[j] = 0.0;
                trial.slopes[j * mvs..(j + 1) * mvs].fill(0.0);
                continue;
            }
            trial.rows[j] = self.y[row * m + output] / cv.scale;
            let of_output = &self.slopes[(row * m + output) * n..(row * m + output + 1) * n];
            for (i, slope) in trial.slopes[j * mvs..(j + 1) * mvs].iter_mut().enumerate() {
                *slope = spans[i] * of_output[self.fixed.mv_input[i]] / cv.scale;
            }
        }
        trial.judge();
    }
}

/// Rank of a CV as a level without gaps.
fn level_of(problem: &Problem, j: usize) -> u8 {
    let priority = problem.cvs[j].priority;
    let first_of_rank = |k: usize| !problem.cvs[..k].iter().any(|c| c.priority == problem.cvs[k].priority);
    let above = (0..problem.cvs.len()).filter(|k| problem.cvs[*k].priority < priority && first_of_rank(*k)).count();
    above.min(LEVELS_MAX - 1) as u8
}

impl Nlp for Steady {
    fn variables(&self) -> usize {
        self.mvs()
    }

    fn rows(&self) -> usize {
        self.limits.len()
    }

    fn limits(&self) -> &[RowLimits] {
        &self.limits
    }

    fn evaluate(&mut self, trials: &mut [Trial], wanted: &[bool]) {
        let mut mvs = [0.0; MVS_MAX];
        let n = self.mvs();
        let mut rows = 0;
        for trial in trials.iter().zip(wanted).filter(|(_, w)| **w).map(|(t, _)| t) {
            for (i, value) in mvs.iter_mut().enumerate().take(n) {
                *value = self.eu(i, trial.point[i]);
            }
            self.fill(rows, &mvs[..n]);
            rows += 1;
        }
        let ran = self.run(rows);
        for (row, trial) in trials.iter_mut().zip(wanted).filter(|(_, w)| **w).map(|(t, _)| t).enumerate() {
            self.read(row, trial, ran);
        }
    }
}
