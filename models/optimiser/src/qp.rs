//! The quadratic subproblem: the best step inside a box under linearised limits, given up by rank when they cannot all be met.
//!
//! Minimises 1/2 d'Hd + g'd for d inside a box with low <= row + slope'd <= high, by the dual method of Goldfarb and Idnani (Math. Programming 27
//! (1983) 1-33): it starts at the unconstrained minimum and takes in one violated limit after the other. It works with the inverse of H,
//! which the search keeps anyway, and a Cholesky factor of the active limits. Rows are very slightly soft (a regularised dual), so that there is
//! always an answer; when a row gives way visibly, limits are relaxed first, level by level, most important first, to the least violation
//! that is possible in the least-squares sense, which is equal concern inside a level.
//!
//! Every loop ends by a count; all memory is allocated once. When a count ends it early the step is an approximation: the search judges
//! every step by true values, so that a bad step costs an iteration and nothing else.

use crate::levels::VIOLATION_STEP;
use crate::nlp::RowLimits;

/// Steps aim this far inside a limit, so that rounding does not end just outside.
const SLACK_AIM: f64 = 0.25 * VIOLATION_STEP;
/// A linearised limit is met within this.
const MET: f64 = 0.05 * VIOLATION_STEP;
/// Softness of a row that is to be met: gives way by this much per unit of its multiplier.
const FIRM: f64 = 1e-9;
/// Softness of a row whose violation is to be made small, against [`RESTORING`].
const SOFT: f64 = 1.0;
/// Curvature of a step that only restores limits: of all steps that restore them equally, the shortest.
const RESTORING: f64 = 1e-6;
/// A violation below this is rounding.
const ROUNDING: f64 = 1e-11;

/// One subproblem; `rows`, `slopes` and `limits` as in [`crate::nlp::Trial`].
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Inverse of the curvature, n x n, positive definite.
    pub inverse: &'a [f64],
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

/// A limit that holds the step.
#[derive(Debug, Clone, Copy)]
struct Active {
    what: What,
    /// 1 for a low limit, -1 for a high one.
    side: f64,
    multiplier: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Variable(usize),
    Row(usize),
}

/// Curvature of a pass: that of the cost, or a small one that only measures length.
#[derive(Debug, Clone, Copy)]
enum Curvature<'a> {
    Inverse(&'a [f64]),
    Restoring,
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
    softness: Vec<f64>,
    values: Vec<f64>,
    /// Inverse curvature times the slope of each row, where it was needed.
    bent: Vec<f64>,
    is_bent: Vec<bool>,
    active: Vec<Active>,
    held: Vec<bool>,
    kept: Vec<bool>,
    factor: Vec<f64>,
    /// Products of the active limits with the one that comes in, and the solution for them.
    products: Vec<f64>,
    shares: Vec<f64>,
    direction: Vec<f64>,
}

impl Qp {
    /// Memory for `variables` and `rows`.
    #[must_use]
    pub fn new(variables: usize, rows: usize) -> Self {
        let (n, m) = (variables, rows);
        let most = n + m;
        Self {
            step: vec![0.0; n],
            multipliers: vec![0.0; m],
            relaxed: false,
            low: vec![0.0; m],
            high: vec![0.0; m],
            softness: vec![FIRM; m],
            values: vec![0.0; m],
            bent: vec![0.0; n * m],
            is_bent: vec![false; m],
            active: Vec::with_capacity(most),
            held: vec![false; n],
            kept: vec![false; m],
            factor: vec![0.0; most * most],
            products: vec![0.0; most],
            shares: vec![0.0; most],
            direction: vec![0.0; n],
        }
    }

    /// Solves.
    pub fn solve(&mut self, question: &Question<'_>) {
        for (j, limits) in question.limits.iter().enumerate() {
            // A band narrower than the slack is aimed at in its middle.
            let aim = SLACK_AIM.min(0.5 * (limits.high - limits.low)).max(0.0);
            (self.low[j], self.high[j]) = (limits.low + aim, limits.high - aim);
        }
        self.softness.fill(FIRM);
        self.pass(question, Curvature::Inverse(question.inverse));
        self.relaxed = !self.all_met(|_| true);
        if self.relaxed {
            self.relax(question);
            self.softness.fill(FIRM);
            self.pass(question, Curvature::Inverse(question.inverse));
        }
        self.multipliers.fill(0.0);
        for active in &self.active {
            if let What::Row(j) = active.what {
                self.multipliers[j] = active.side * active.multiplier;
            }
        }
    }

    fn all_met(&self, of: impl Fn(usize) -> bool) -> bool {
        let met = |j: usize| self.values[j] >= self.low[j] - MET && self.values[j] <= self.high[j] + MET;
        (0..self.values.len()).filter(|j| of(*j)).all(met)
    }

    /// Widens limits to what can be reached, level by level.
    fn relax(&mut self, question: &Question<'_>) {
        let place = |j: usize| usize::from(question.order[usize::from(question.limits[j].level)]);
        for (step, (low, high)) in self.step.iter_mut().zip(question.low.iter().zip(question.high)) {
            *step = 0.0_f64.clamp(*low, *high);
        }
        for j in 0..self.values.len() {
            self.values[j] = question.rows[j] + dot(slope(question, j), &self.step);
        }
        for level in 0..question.order.len() {
            if self.all_met(|j| place(j) == level) {
                continue;
            }
            // Levels above are firm, this one is pulled, those below do not count yet.
            for (j, softness) in self.softness.iter_mut().enumerate() {
                *softness = match place(j).cmp(&level) {
                    core::cmp::Ordering::Less => FIRM,
                    core::cmp::Ordering::Equal => SOFT,
                    core::cmp::Ordering::Greater => f64::INFINITY,
                };
            }
            self.pass(question, Curvature::Restoring);
            for j in (0..self.values.len()).filter(|j| place(*j) <= level) {
                let value = self.values[j];
                (self.low[j], self.high[j]) = (self.low[j].min(value), self.high[j].max(value));
            }
        }
    }

    /// One run of the dual method.
    fn pass(&mut self, question: &Question<'_>, curvature: Curvature<'_>) {
        let n = self.step.len();
        self.active.clear();
        self.held.fill(false);
        self.kept.fill(false);
        self.is_bent.fill(false);
        match curvature {
            Curvature::Inverse(inverse) => {
                for i in 0..n {
                    self.step[i] = -dot(&inverse[i * n..(i + 1) * n], question.gradient);
                }
            }
            Curvature::Restoring => self.step.fill(0.0),
        }
        for j in 0..self.values.len() {
            self.values[j] = question.rows[j] + dot(slope(question, j), &self.step);
        }
        for _ in 0..4 * (n + self.values.len()) + 8 {
            let Some((what, side)) = self.most_violated(question) else { break };
            if !self.take_in(question, curvature, what, side) {
                break;
            }
        }
        for ((step, low), high) in self.step.iter_mut().zip(question.low).zip(question.high) {
            *step = step.clamp(*low, *high);
        }
    }

    /// The limit that is violated most and does not hold yet.
    fn most_violated(&self, question: &Question<'_>) -> Option<(What, f64)> {
        let (mut worst, mut found) = (ROUNDING, None);
        for (i, step) in self.step.iter().enumerate().filter(|(i, _)| !self.held[*i]) {
            for (side, by) in [(1.0, question.low[i] - step), (-1.0, step - question.high[i])] {
                if by > worst {
                    (worst, found) = (by, Some((What::Variable(i), side)));
                }
            }
        }
        for (j, value) in self.values.iter().enumerate() {
            if self.kept[j] || self.softness[j].is_infinite() {
                continue;
            }
            for (side, by) in [(1.0, self.low[j] - value), (-1.0, value - self.high[j])] {
                if by > worst {
                    (worst, found) = (by, Some((What::Row(j), side)));
                }
            }
        }
        found
    }

    /// Takes a violated limit in, letting go of others on the way. False when rounding leaves no way.
    fn take_in(&mut self, question: &Question<'_>, curvature: Curvature<'_>, what: What, side: f64) -> bool {
        let softness = self.softness_of(what);
        self.bend(question, curvature, what);
        let own = self.product(question, curvature, what, what) + softness;
        let mut multiplier = 0.0;
        for _ in 0..=self.active.len() {
            let k = self.active.len();
            for q in 0..k {
                let other = self.active[q];
                self.products[q] = side * other.side * self.product(question, curvature, other.what, what);
                self.shares[q] = self.products[q];
            }
            self.substitute(k);
            let along = own - dot(&self.products[..k], &self.shares[..k]);
            let violation = match what {
                What::Variable(i) if side > 0.0 => question.low[i] - self.step[i],
                What::Variable(i) => self.step[i] - question.high[i],
                What::Row(j) if side > 0.0 => self.low[j] - self.values[j],
                What::Row(j) => self.values[j] - self.high[j],
            } - softness * multiplier;
            let full = if along > 1e-13 * own { violation / along } else { f64::INFINITY };
            let (mut least, mut first) = (f64::INFINITY, None);
            for q in 0..k {
                if self.shares[q] > 0.0 && self.active[q].multiplier < least * self.shares[q] {
                    (least, first) = (self.active[q].multiplier / self.shares[q], Some(q));
                }
            }
            let length = full.min(least).max(0.0);
            if !length.is_finite() {
                return false;
            }
            self.advance(question, curvature, what, side, length);
            for (active, share) in self.active.iter_mut().zip(&self.shares) {
                active.multiplier = (active.multiplier - length * share).max(0.0);
            }
            multiplier += length;
            match first.filter(|_| least < full) {
                None => {
                    let known = self.active.len();
                    self.active.push(Active { what, side, multiplier });
                    self.set_held(what, true);
                    if self.extend(question, curvature, known) {
                        return true;
                    }
                    // Depends on what already holds, within rounding.
                    self.active.pop();
                    self.set_held(what, false);
                    return false;
                }
                Some(q) => {
                    let gone = self.active.remove(q);
                    self.set_held(gone.what, false);
                    self.shrink(q);
                }
            }
        }
        false
    }

    /// Moves the step so that the limit that comes in gains `length` of its multiplier.
    fn advance(&mut self, question: &Question<'_>, curvature: Curvature<'_>, what: What, side: f64, length: f64) {
        if length == 0.0 {
            return;
        }
        let n = self.step.len();
        self.direction.fill(0.0);
        for q in 0..=self.active.len() {
            let (what, by) = match self.active.get(q) {
                Some(active) => (active.what, -active.side * self.shares[q]),
                None => (what, side),
            };
            match (what, curvature) {
                (What::Row(j), _) => add(&mut self.direction, by, &self.bent[j * n..(j + 1) * n]),
                (What::Variable(i), Curvature::Inverse(inverse)) => {
                    add(&mut self.direction, by, &inverse[i * n..(i + 1) * n]);
                }
                (What::Variable(i), Curvature::Restoring) => self.direction[i] += by / RESTORING,
            }
        }
        add(&mut self.step, length, &self.direction);
        for j in 0..self.values.len() {
            self.values[j] += length * dot(slope(question, j), &self.direction);
        }
    }

    fn softness_of(&self, what: What) -> f64 {
        match what {
            What::Variable(_) => 0.0,
            What::Row(j) => self.softness[j],
        }
    }

    fn set_held(&mut self, what: What, held: bool) {
        match what {
            What::Variable(i) => self.held[i] = held,
            What::Row(j) => self.kept[j] = held,
        }
    }

    /// Inverse curvature times the slope of a row, once per pass.
    fn bend(&mut self, question: &Question<'_>, curvature: Curvature<'_>, what: What) {
        let What::Row(j) = what else { return };
        if self.is_bent[j] {
            return;
        }
        self.is_bent[j] = true;
        let n = self.step.len();
        for i in 0..n {
            self.bent[j * n + i] = match curvature {
                Curvature::Inverse(inverse) => dot(&inverse[i * n..(i + 1) * n], slope(question, j)),
                Curvature::Restoring => slope(question, j)[i] / RESTORING,
            };
        }
    }

    /// Product of two limits' slopes under the inverse curvature; rows must be bent.
    fn product(&self, question: &Question<'_>, curvature: Curvature<'_>, a: What, b: What) -> f64 {
        let n = self.step.len();
        match (a, b, curvature) {
            (What::Row(j), What::Row(k), _) => dot(slope(question, j), &self.bent[k * n..(k + 1) * n]),
            (What::Row(j), What::Variable(i), _) | (What::Variable(i), What::Row(j), _) => self.bent[j * n + i],
            (What::Variable(i), What::Variable(k), Curvature::Inverse(inverse)) => inverse[i * n + k],
            (What::Variable(i), What::Variable(k), Curvature::Restoring) => {
                if i == k {
                    1.0 / RESTORING
                } else {
                    0.0
                }
            }
        }
    }

    /// Row of the Cholesky factor of an active limit, from those before it. False when it depends on them.
    fn extend(&mut self, question: &Question<'_>, curvature: Curvature<'_>, row: usize) -> bool {
        let most = self.products.len();
        let mine = self.active[row];
        for q in 0..row {
            let other = self.active[q];
            let product = mine.side * other.side * self.product(question, curvature, other.what, mine.what);
            let (upper, lower) = self.factor.split_at_mut(row * most);
            let rest = product - dot(&lower[..q], &upper[q * most..q * most + q]);
            lower[q] = rest / upper[q * most + q];
        }
        let own = self.product(question, curvature, mine.what, mine.what) + self.softness_of(mine.what);
        let row_so_far = &self.factor[row * most..row * most + row];
        let rest = own - dot(row_so_far, row_so_far);
        if rest <= 1e-14 * own {
            return false;
        }
        self.factor[row * most + row] = rest.sqrt();
        true
    }

    /// Takes a row out of the Cholesky factor: the rows behind it move up, and rotations of columns make it triangular again (Golub and Van
    /// Loan, "Matrix Computations", 4th ed., 6.5.4).
    fn shrink(&mut self, gone: usize) {
        let most = self.products.len();
        let left = self.active.len();
        for row in gone..left {
            let (upper, lower) = self.factor.split_at_mut((row + 1) * most);
            upper[row * most..row * most + row + 2].copy_from_slice(&lower[..row + 2]);
        }
        for column in gone..left {
            let (a, b) = (self.factor[column * most + column], self.factor[column * most + column + 1]);
            let length = a.hypot(b);
            if length <= 0.0 {
                continue;
            }
            let (cosine, sine) = (a / length, b / length);
            for row in column..left {
                let at = row * most + column;
                let (x, y) = (self.factor[at], self.factor[at + 1]);
                self.factor[at] = cosine * x + sine * y;
                self.factor[at + 1] = cosine * y - sine * x;
            }
        }
    }

    /// Solves for the shares of the first `k` active limits, in place.
    fn substitute(&mut self, k: usize) {
        let most = self.products.len();
        for i in 0..k {
            let row = &self.factor[i * most..i * most + i + 1];
            self.shares[i] = (self.shares[i] - dot(&row[..i], &self.shares[..i])) / row[i];
        }
        for i in (0..k).rev() {
            let row = &self.factor[i * most..i * most + i + 1];
            let (before, rest) = self.shares.split_at_mut(i);
            rest[0] /= row[i];
            add(before, -rest[0], &row[..i]);
        }
    }
}

fn slope<'a>(question: &Question<'a>, j: usize) -> &'a [f64] {
    let n = question.low.len();
    &question.slopes[j * n..(j + 1) * n]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], by: f64, of: &[f64]) {
    for (to, of) in to.iter_mut().zip(of) {
        *to += by * of;
    }
}
