//! The quadratic subproblem: the best step inside a box under linearised limits, given up by rank when they cannot all be met.
//!
//! Minimises 1/2 d'Hd + g'd for d inside a box with low <= row + slope'd <= high. Rows enter by an augmented Lagrangian (Hestenes 1969, Powell
//! 1969; Bertsekas, "Nonlinear Programming", 2nd ed., 4.2), the box by projected Newton steps with an active set (Bertsekas, SIAM J. Control
//! Optim. 20 (1982) 221-246). Limits that cannot be met inside the box are relaxed first, level by level, most important first, to the least
//! violation that is possible there in the least-squares sense, which is equal concern inside a level.
//!
//! Every loop ends by a count; all memory is allocated once. Answers are approximations when a count ends them: the search judges every step
//! by true values, so that a bad step costs an iteration and nothing else.

use crate::levels::VIOLATION_STEP;
use crate::nlp::RowLimits;

/// Steps aim this far inside a limit, so that rounding does not end just outside.
const SLACK_AIM: f64 = 0.25 * VIOLATION_STEP;
/// A linearised limit is met within this.
const MET: f64 = 0.05 * VIOLATION_STEP;
/// Rounds of the augmented Lagrangian before the limits count as not to be met together.
const ROUNDS: usize = 6;
/// Newton steps of one round.
const NEWTON_STEPS: usize = 24;
/// Steps of one line search.
const LINE_STEPS: usize = 30;
/// Weight of a limit against slope and curvature of the cost: large enough for few rounds, small enough for 64-bit arithmetic.
const STIFFNESS: f64 = 1e4;
/// Curvature of a step that only restores limits: of all steps that restore them equally, the shortest.
const RESTORING: f64 = 1e-6;

/// One subproblem; `rows`, `slopes` and `limits` as in [`crate::nlp::Trial`].
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Curvature, n x n, positive definite.
    pub hessian: &'a [f64],
    /// Gradient of the cost.
    pub gradient: &'a [f64],
    /// Values of the rows at d = 0.
    pub rows: &'a [f64],
    /// Their slopes, row by row.
    pub slopes: &'a [f64],
    /// Their limits.
    pub limits: &'a [RowLimits],
    /// Place of each level in the order of importance, 0 first.
    pub order: &'a [u8],
    /// Smallest step of each variable, at most 0.
    pub low: &'a [f64],
    /// Largest step of each variable, at least 0.
    pub high: &'a [f64],
}

/// Memory of the solver, and its answer.
#[derive(Debug, Clone)]
pub struct Qp {
    /// The step.
    pub step: Vec<f64>,
    /// Multiplier of each row: positive where its low limit holds the cost back, negative for its high limit.
    pub multipliers: Vec<f64>,
    /// Some limit could not be met inside the box.
    pub relaxed: bool,
    low: Vec<f64>,
    high: Vec<f64>,
    weight: Vec<f64>,
    value: Vec<f64>,
    along: Vec<f64>,
    residual: Vec<f64>,
    slope: Vec<f64>,
    newton: Vec<f64>,
    moved: Vec<f64>,
    free: Vec<usize>,
    factor: Vec<f64>,
    flat: Vec<f64>,
}

impl Qp {
    /// Memory for `variables` and `rows`.
    #[must_use]
    pub fn new(variables: usize, rows: usize) -> Self {
        let (n, m) = (variables, rows);
        let mut flat = vec![0.0; n * n + n];
        (0..n).for_each(|i| flat[i * n + i] = RESTORING);
        Self {
            step: vec![0.0; n],
            multipliers: vec![0.0; m],
            relaxed: false,
            low: vec![0.0; m],
            high: vec![0.0; m],
            weight: vec![0.0; m],
            value: vec![0.0; m],
            along: vec![0.0; m],
            residual: vec![0.0; m],
            slope: vec![0.0; n],
            newton: vec![0.0; n],
            moved: vec![0.0; n],
            free: Vec::with_capacity(n),
            factor: vec![0.0; n * n],
            flat,
        }
    }

    /// Solves. Multipliers of an earlier call to start from stay in `multipliers`.
    pub fn solve(&mut self, question: &Question<'_>) {
        let n = self.step.len();
        for (j, limits) in question.limits.iter().enumerate() {
            // A band narrower than the slack is aimed at in its middle.
            let aim = SLACK_AIM.min(0.5 * (limits.high - limits.low)).max(0.0);
            (self.low[j], self.high[j]) = (limits.low + aim, limits.high - aim);
        }
        for (step, (low, high)) in self.step.iter_mut().zip(question.low.iter().zip(question.high)) {
            *step = 0.0_f64.clamp(*low, *high);
        }
        let curvature = (0..n).map(|i| question.hessian[i * n + i]).fold(1e-3, f64::max);
        let pull = curvature + question.gradient.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        self.weigh(question, pull);
        self.relaxed = false;
        if self.rounds(question, ROUNDS) {
            return;
        }
        self.relaxed = true;
        self.relax(question);
        self.weigh(question, pull);
        self.multipliers.fill(0.0);
        self.rounds(question, ROUNDS);
    }

    fn weigh(&mut self, question: &Question<'_>, pull: f64) {
        let n = self.step.len();
        for (j, weight) in self.weight.iter_mut().enumerate() {
            let square: f64 = question.slopes[j * n..(j + 1) * n].iter().map(|s| s * s).sum();
            *weight = STIFFNESS * pull / square.max(1e-12);
        }
    }

    /// Rounds of the augmented Lagrangian; true when all limits are met.
    fn rounds(&mut self, question: &Question<'_>, rounds: usize) -> bool {
        for _ in 0..rounds {
            self.descend(question, question.hessian, question.gradient);
            let mut worst = 0.0_f64;
            for j in 0..self.multipliers.len() {
                let row = self.row(question, j, &self.step);
                worst = worst.max((self.low[j] - row).max(row - self.high[j]));
                self.multipliers[j] = -self.weight[j] * self.outside(j, row);
            }
            if worst <= MET {
                return true;
            }
        }
        false
    }

    /// Widens limits to what can be reached, level by level.
    fn relax(&mut self, question: &Question<'_>) {
        let n = self.step.len();
        let flat = std::mem::take(&mut self.flat);
        for (step, (low, high)) in self.step.iter_mut().zip(question.low.iter().zip(question.high)) {
            *step = 0.0_f64.clamp(*low, *high);
        }
        self.multipliers.fill(0.0);
        let place = |j: usize| usize::from(question.order[usize::from(question.limits[j].level)]);
        for level in 0..question.order.len() {
            let of_level = |j: &usize| place(*j) == level;
            let met = |qp: &Self, j: usize| {
                let row = qp.row(question, j, &qp.step);
                row >= qp.low[j] - MET && row <= qp.high[j] + MET
            };
            let members = || (0..question.limits.len()).filter(of_level);
            if members().all(|j| met(self, j)) {
                continue;
            }
            // Levels above hold by their weight, this one pulls, those below do not count yet.
            for j in 0..question.limits.len() {
                let other = place(j);
                let square: f64 = question.slopes[j * n..(j + 1) * n].iter().map(|s| s * s).sum();
                self.weight[j] = match other.cmp(&level) {
                    core::cmp::Ordering::Less => STIFFNESS / square.max(1e-12),
                    core::cmp::Ordering::Equal => 1.0,
                    core::cmp::Ordering::Greater => 0.0,
                };
            }
            for _ in 0..ROUNDS {
                self.descend(question, &flat[..n * n], &flat[n * n..]);
                for j in 0..question.limits.len() {
                    if place(j) < level {
                        let row = self.row(question, j, &self.step);
                        self.multipliers[j] = -self.weight[j] * self.outside(j, row);
                    }
                }
                let above_met = (0..question.limits.len()).filter(|j| place(*j) < level).all(|j| met(self, j));
                if above_met {
                    break;
                }
            }
            for j in members() {
                let row = self.row(question, j, &self.step);
                (self.low[j], self.high[j]) = (self.low[j].min(row), self.high[j].max(row));
            }
            self.multipliers.fill(0.0);
        }
        self.flat = flat;
    }

    fn row(&self, question: &Question<'_>, j: usize, step: &[f64]) -> f64 {
        let n = step.len();
        question.rows[j] + dot(&question.slopes[j * n..(j + 1) * n], step)
    }

    /// Projected Newton steps on the augmented Lagrangian, which is convex and piecewise quadratic, each with an exact line search.
    fn descend(&mut self, question: &Question<'_>, hessian: &[f64], gradient: &[f64]) {
        let n = self.step.len();
        for j in 0..self.residual.len() {
            self.value[j] = self.row(question, j, &self.step);
            self.residual[j] = self.outside(j, self.value[j]);
        }
        let still = 1e-10 * (1.0 + gradient.iter().fold(0.0_f64, |m, g| m.max(g.abs())));
        for _ in 0..NEWTON_STEPS {
            self.slope_of(question, hessian, gradient);
            if self.find_free(question) <= still || !self.newton_direction(question, hessian) {
                return;
            }
            self.keep_in_box(question);
            for j in 0..self.residual.len() {
                self.along[j] =
                    if self.weight[j] > 0.0 { dot(&question.slopes[j * n..(j + 1) * n], &self.moved) } else { 0.0 };
            }
            let (mut tilt, mut bend) = (0.0, 0.0);
            for i in 0..n {
                let by = &hessian[i * n..(i + 1) * n];
                tilt += self.moved[i] * (gradient[i] + dot(by, &self.step));
                bend += self.moved[i] * dot(by, &self.moved);
            }
            let factor = self.line_search(tilt, bend);
            if factor <= 0.0 {
                return;
            }
            for i in 0..n {
                self.step[i] = (self.step[i] + factor * self.moved[i]).clamp(question.low[i], question.high[i]);
            }
            for j in 0..self.residual.len() {
                self.value[j] += factor * self.along[j];
                self.residual[j] = self.outside(j, self.value[j]);
            }
        }
    }

    /// The Newton direction, cut by the box, into `moved`: bent along it where that still descends, else as far as it goes.
    fn keep_in_box(&mut self, question: &Question<'_>) {
        let (mut descends, mut longest) = (0.0, 1.0_f64);
        for i in 0..self.step.len() {
            let to = (self.step[i] + self.newton[i]).clamp(question.low[i], question.high[i]);
            self.moved[i] = to - self.step[i];
            descends += self.slope[i] * self.moved[i];
            if self.newton[i] != 0.0 {
                longest = longest.min((self.moved[i] / self.newton[i]).max(0.0));
            }
        }
        if descends >= 0.0 {
            for (moved, newton) in self.moved.iter_mut().zip(&self.newton) {
                *moved = longest * newton;
            }
        }
    }

    /// Where the slope along `moved` is zero, 0 to 1. Newton steps inside a bracket.
    fn line_search(&self, tilt: f64, bend: f64) -> f64 {
        let slopes = |at: f64| {
            let (mut first, mut second) = (tilt + bend * at, bend);
            for j in (0..self.along.len()).filter(|j| self.along[*j] != 0.0) {
                let residual = self.outside(j, self.value[j] + at * self.along[j]);
                first += self.weight[j] * residual * self.along[j];
                if residual != 0.0 {
                    second += self.weight[j] * self.along[j] * self.along[j];
                }
            }
            (first, second)
        };
        let (begin, mut curvature) = slopes(0.0);
        if begin >= 0.0 {
            return 0.0;
        }
        let (mut low, mut high, mut at, mut slope) = (0.0, 1.0, 0.0, begin);
        let end = slopes(1.0);
        if end.0 <= 0.0 {
            return 1.0;
        }
        for _ in 0..LINE_STEPS {
            let newton = at - slope / curvature;
            at = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            (slope, curvature) = slopes(at);
            if slope.abs() <= 1e-12 * begin.abs() {
                break;
            }
            if slope < 0.0 { low = at } else { high = at }
        }
        at
    }

    /// How far a row at this value, shifted by its multiplier, lies outside its limits: negative below.
    fn outside(&self, j: usize, value: f64) -> f64 {
        let weight = self.weight[j];
        if weight <= 0.0 {
            return 0.0;
        }
        let shifted = value - self.multipliers[j] / weight;
        if shifted < self.low[j] {
            shifted - self.low[j]
        } else if shifted > self.high[j] {
            shifted - self.high[j]
        } else {
            0.0
        }
    }

    fn slope_of(&mut self, question: &Question<'_>, hessian: &[f64], gradient: &[f64]) {
        let n = self.step.len();
        for i in 0..n {
            self.slope[i] = gradient[i] + dot(&hessian[i * n..(i + 1) * n], &self.step);
        }
        for (j, residual) in self.residual.iter().enumerate().filter(|(_, r)| **r != 0.0) {
            let force = self.weight[j] * residual;
            for (slope, s) in self.slope.iter_mut().zip(&question.slopes[j * n..(j + 1) * n]) {
                *slope += force * s;
            }
        }
    }

    /// Variables that are not held by the box; the steepest slope among them.
    fn find_free(&mut self, question: &Question<'_>) -> f64 {
        self.free.clear();
        let mut steepest = 0.0_f64;
        for i in 0..self.step.len() {
            let held = (self.step[i] <= question.low[i] && self.slope[i] >= 0.0)
                || (self.step[i] >= question.high[i] && self.slope[i] <= 0.0);
            if !held {
                self.free.push(i);
                steepest = steepest.max(self.slope[i].abs());
            }
        }
        steepest
    }

    /// Newton direction of the free variables by a Cholesky factorisation; false when the curvature is not positive.
    fn newton_direction(&mut self, question: &Question<'_>, hessian: &[f64]) -> bool {
        let n = self.step.len();
        let k = self.free.len();
        for (a, i) in self.free.iter().enumerate() {
            for (b, j) in self.free[..=a].iter().enumerate() {
                self.factor[a * k + b] = hessian[i * n + j];
            }
        }
        for (j, _) in self.residual.iter().enumerate().filter(|(_, r)| **r != 0.0) {
            let slopes = &question.slopes[j * n..(j + 1) * n];
            for (a, i) in self.free.iter().enumerate() {
                let by = self.weight[j] * slopes[*i];
                for (b, i) in self.free[..=a].iter().enumerate() {
                    self.factor[a * k + b] += by * slopes[*i];
                }
            }
        }
        if !factorise(&mut self.factor[..k * k], k) {
            return false;
        }
        self.newton.fill(0.0);
        for (a, i) in self.free.iter().enumerate() {
            self.moved[a] = -self.slope[*i];
        }
        substitute(&self.factor[..k * k], &mut self.moved[..k]);
        for (a, i) in self.free.iter().enumerate() {
            self.newton[*i] = self.moved[a];
        }
        true
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Cholesky factorisation of the lower triangle in place; false when it is not positive definite.
fn factorise(a: &mut [f64], k: usize) -> bool {
    for i in 0..k {
        for j in 0..=i {
            let (upper, lower) = a.split_at(i * k);
            let row_j = if j < i { &upper[j * k..j * k + j] } else { &lower[..j] };
            let sum: f64 = lower[..j].iter().zip(row_j).map(|(x, y)| x * y).sum();
            let rest = a[i * k + j] - sum;
            if i == j {
                if rest <= 0.0 || !rest.is_finite() {
                    return false;
                }
                a[i * k + i] = rest.sqrt();
            } else {
                a[i * k + j] = rest / a[j * k + j];
            }
        }
    }
    true
}

/// Solves with the factor, in place.
fn substitute(factor: &[f64], x: &mut [f64]) {
    let k = x.len();
    for i in 0..k {
        let sum: f64 = factor[i * k..i * k + i].iter().zip(&x[..i]).map(|(f, x)| f * x).sum();
        x[i] = (x[i] - sum) / factor[i * k + i];
    }
    for i in (0..k).rev() {
        x[i] /= factor[i * k + i];
        let by = x[i];
        for j in 0..i {
            x[j] -= factor[i * k + j] * by;
        }
    }
}
