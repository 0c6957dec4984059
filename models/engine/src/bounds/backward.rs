//! Linear relaxation: bounds of one step's results as linear functions of the steps before it, carried back to the inputs.
//!
//! A *row* is one result, or minus one result, that is to be bounded from above: row <= sum of coefficients times numbers + constant. It
//! starts as the result itself. Steps are visited from the last to the first; each replaces its results by planes over what it reads. At
//! the inputs, and at steps that have no planes, every number is replaced by the end of its interval that makes the row largest.
//!
//! Every replacement is rounded in f64: products and sums of coefficients by the relative error `gamma_64` of the step, times the sizes of
//! the numbers that they multiply, which is part of the step's slack. The rows' own sums are bounded at the end by their terms' magnitudes.

use super::Interval;
use super::extreme::Extreme;
use super::forward::Bounds;
use super::lines::{Planes, binary, unary};
use super::plan::{Kind, Plan, Span, Step, Tighten};
use super::products::Products;
use super::round::{FLOOR, UNIT, gamma_64};
use crate::op::{Binary, Unary};

/// Rows that are carried together.
pub const LANES: usize = 8;
type Lanes = [f64; LANES];

/// Buffers of linear relaxation.
#[derive(Debug)]
pub struct Relaxation {
    /// Round each result, by place.
    planes: Vec<Planes>,
    /// Planes of largest and smallest numbers, by step.
    extremes: Vec<Extreme>,
    coefficients: Vec<Lanes>,
    /// Steps whose results have coefficients.
    touched: Vec<bool>,
    /// Result and sign of each row.
    rows: Vec<(usize, f64)>,
    totals: Totals,
    /// How much each number of the inputs contributes to the width of the outputs' bounds; by place.
    pub influence: Vec<f64>,
}

/// What a row has besides its coefficients.
#[derive(Debug, Default)]
struct Totals {
    constant: Lanes,
    /// Magnitudes of what was added to `constant`.
    bulk: Lanes,
    slack: Lanes,
    /// Number of terms.
    terms: usize,
}

/// A product that is 0 where the coefficient is 0: a row does not depend on such a number, and it may be infinite.
fn weighed(coefficient: f64, value: f64) -> f64 {
    if coefficient == 0.0 { 0.0 } else { coefficient * value }
}

/// Each coefficient times the bound that makes its row largest.
fn mix(coefficient: &Lanes, upper: f64, lower: f64) -> Lanes {
    coefficient.map(|c| weighed(c, if c > 0.0 { upper } else { lower }))
}

impl Totals {
    fn add(&mut self, term: Lanes) {
        for l in 0..LANES {
            self.constant[l] += term[l];
            self.bulk[l] += term[l].abs();
        }
        self.terms += 1;
    }

    fn loosen(&mut self, coefficient: &Lanes, slack: f64) {
        for l in 0..LANES {
            self.slack[l] += weighed(coefficient[l].abs(), slack);
        }
        self.terms += 1;
    }

    /// Replaces a number by the end of its interval that makes each row largest.
    fn end(&mut self, coefficient: &Lanes, x: Interval) {
        self.add(mix(coefficient, x.high, x.low));
    }

    fn bound(&self, lane: usize) -> f64 {
        let rounding = gamma_64(self.terms + 16) * (self.bulk[lane] + 2.0 * self.slack[lane]);
        (self.constant[lane] + self.slack[lane] + rounding).next_up()
    }
}

impl Relaxation {
    /// Buffers for a plan.
    pub fn new(plan: &Plan) -> Self {
        let extreme = |step: &Step| match &step.kind {
            Kind::Extreme { to, .. } => Extreme::new(step.out.len, to.len()),
            _ => Extreme::default(),
        };
        let longest = plan.steps.iter().map(|s| s.out.len).max().unwrap_or(0);
        Self {
            planes: vec![Planes::default(); plan.variables],
            extremes: plan.steps.iter().map(extreme).collect(),
            coefficients: vec![[0.0; LANES]; plan.variables],
            touched: vec![false; plan.steps.len()],
            rows: Vec::with_capacity(2 * longest),
            totals: Totals::default(),
            influence: vec![0.0; plan.variables],
        }
    }

    /// Lays planes round a step's results, over the intervals of what it reads.
    pub fn lay(&mut self, plan: &Plan, s: usize, bounds: &mut Bounds) {
        let (step, out) = (&plan.steps[s], plan.steps[s].out);
        match &step.kind {
            Kind::Unary { function, x } => {
                for i in 0..out.len {
                    let (place, from) = (out.start + i, bounds.at(x + i));
                    let (planes, error) = unary(*function, from, bounds.at(place));
                    self.put(step, bounds, place, planes, error, [from, from]);
                }
            }
            Kind::Binary { function, a, b, .. } => {
                for i in 0..out.len {
                    let (place, [x, y]) = (out.start + i, [bounds.at(a.at(i)), bounds.at(b.at(i))]);
                    let known = bounds.at(place);
                    let flat = Planes::flat(known);
                    let laid = || binary(*function, x, y).map_or(flat, |p| p.or_flat(x, y, known));
                    let (planes, error) = match function {
                        Binary::PRelu if y.low == y.high && f64::from(y.low as f32) == y.low => {
                            unary(Unary::LeakyRelu { slope: y.low as f32 }, x, known)
                        }
                        Binary::Minimum | Binary::Maximum => (laid(), 0.0),
                        // What sums of products may be off by was noted with their intervals.
                        _ if step.roundings > 0 => (laid(), bounds.slack[place]),
                        Binary::Divide => (laid(), 2.0 * UNIT * known.size() + FLOOR),
                        _ => (flat, 0.0),
                    };
                    self.put(step, bounds, place, planes, error, [x, y]);
                }
            }
            Kind::Extreme { largest, x, to } => self.extremes[s].lay(step, bounds, *largest, *x, to),
            _ => {}
        }
    }

    fn put(&mut self, step: &Step, bounds: &mut Bounds, place: usize, planes: Planes, error: f64, from: [Interval; 2]) {
        self.planes[place] = planes;
        bounds.slack[place] = error + step.gamma_64 * planes.mass(from[0].size(), from[1].size());
    }

    /// Tightens the intervals of a step's results. Intervals with an infinite end stay as they are.
    pub fn tighten(&mut self, plan: &Plan, bounds: &mut Bounds, last: usize, all: bool) {
        let step = &plan.steps[last];
        let wanted = |x: Interval| {
            let crosses = x.low < 0.0 && x.high > 0.0;
            x.is_finite() && x.low < x.high && (all || step.tighten == Tighten::All || crosses)
        };
        self.rows.clear();
        for place in step.out.range().filter(|p| wanted(bounds.at(*p))) {
            self.rows.extend([(place, 1.0), (place, -1.0)]);
        }
        for first in (0..self.rows.len()).step_by(LANES) {
            let lanes = LANES.min(self.rows.len() - first);
            self.touched[..=last].fill(false);
            self.totals = Totals::default();
            self.coefficients[step.out.range()].fill([0.0; LANES]);
            self.touched[last] = true;
            for lane in 0..lanes {
                let (place, sign) = self.rows[first + lane];
                self.coefficients[place][lane] = sign;
            }
            for s in (0..=last).rev() {
                if self.touched[s] {
                    self.visit(plan, bounds, s, all);
                }
            }
            for lane in 0..lanes {
                let ((place, sign), bound) = (self.rows[first + lane], self.totals.bound(lane));
                // Not a number where something is unbounded on the way: then nothing is gained.
                if sign > 0.0 && bound < bounds.high[place] {
                    bounds.high[place] = bound;
                } else if sign < 0.0 && -bound > bounds.low[place] {
                    bounds.low[place] = -bound;
                }
            }
        }
        if !step.chained {
            step.out.range().for_each(|place| bounds.mass[place] = bounds.size(place));
        }
    }

    /// Replaces the results of a step.
    fn visit(&mut self, plan: &Plan, bounds: &Bounds, s: usize, measure: bool) {
        let step = &plan.steps[s];
        let out = step.out;
        if plan.is_leaf(step) {
            for place in out.range() {
                let (coefficient, x) = (self.coefficients[place], bounds.at(place));
                if measure && matches!(step.kind, Kind::Input) {
                    let share: f64 = coefficient.iter().map(|c| c.abs()).sum();
                    self.influence[place] += share * x.width();
                }
                self.totals.end(&coefficient, x);
            }
            return;
        }
        for read in &step.reads {
            let from = plan.steps[*read].out;
            if self.touched[*read] {
                // What is there already will be rounded again when more is added.
                for place in from.range() {
                    self.totals.loosen(&self.coefficients[place], step.gamma_64 * bounds.size(place));
                }
            } else {
                self.coefficients[from.range()].fill([0.0; LANES]);
                self.touched[*read] = true;
            }
        }
        // Results come after everything that they are made of.
        let (before, after) = self.coefficients.split_at_mut(out.start);
        let mut push = Push { before, bounds, totals: &mut self.totals };
        for i in 0..out.len {
            if after[i] != [0.0; LANES] {
                push.totals.loosen(&after[i], bounds.slack[out.start + i]);
            }
        }
        match &step.kind {
            Kind::Unary { x, .. } => {
                for i in 0..out.len {
                    push.planes(&after[i], &self.planes[out.start + i], [x + i, x + i]);
                }
            }
            Kind::Binary { a, b, .. } => {
                for i in 0..out.len {
                    push.planes(&after[i], &self.planes[out.start + i], [a.at(i), b.at(i)]);
                }
            }
            Kind::Extreme { largest, x, to } => {
                let extreme = &self.extremes[s];
                for (i, cell) in to.iter().enumerate() {
                    let (upper, lower) = extreme.factors(*largest, i, *cell);
                    if upper != 0.0 || lower != 0.0 {
                        push.lanes(mix(&after[*cell as usize], upper, lower), x.start + i);
                    }
                }
                for cell in 0..out.len {
                    let (upper, lower) = extreme.constants(*largest, cell);
                    push.totals.add(mix(&after[cell], upper, lower));
                }
            }
            Kind::Sum { x, to } => {
                for (i, cell) in to.iter().enumerate() {
                    push.term(&after[*cell as usize], 1.0, x.start + i);
                }
            }
            Kind::Index { picks } => {
                for (i, pick) in picks.iter().enumerate() {
                    push.term(&after[i], 1.0, *pick as usize);
                }
            }
            Kind::Products { products, a, b, bias } => {
                push.products(&after[..out.len], products, [*a, *b], *bias);
            }
            Kind::Input | Kind::Scan(_) | Kind::Softmax { .. } => {}
        }
    }
}

/// Where coefficients go.
struct Push<'r> {
    before: &'r mut [Lanes],
    bounds: &'r Bounds,
    totals: &'r mut Totals,
}

impl Push<'_> {
    /// Adds `weight` times the number at a place.
    fn term(&mut self, coefficient: &Lanes, weight: f64, place: usize) {
        self.lanes(std::array::from_fn(|l| coefficient[l] * weight), place);
    }

    fn lanes(&mut self, coefficient: Lanes, place: usize) {
        if let Some(own) = self.before.get_mut(place) {
            (0..LANES).for_each(|l| own[l] += coefficient[l]);
        } else {
            let value = self.bounds.low[place];
            self.totals.add(coefficient.map(|c| c * value));
        }
    }

    fn planes(&mut self, coefficient: &Lanes, planes: &Planes, places: [usize; 2]) {
        if *coefficient == [0.0; LANES] {
            return;
        }
        let (upper, lower) = (&planes.upper, &planes.lower);
        self.lanes(mix(coefficient, upper.a, lower.a), places[0]);
        if upper.b != 0.0 || lower.b != 0.0 {
            self.lanes(mix(coefficient, upper.b, lower.b), places[1]);
        }
        self.totals.add(mix(coefficient, upper.constant, lower.constant));
    }

    fn products(&mut self, after: &[Lanes], products: &Products, [a, b]: [Span; 2], bias: Option<Span>) {
        let first = a.start < self.before.len();
        match products {
            Products::MatMul(p) => {
                for [of_a, of_b, of_out] in &p.batches {
                    for i in 0..p.m {
                        let row = &after[of_out + i * p.n..of_out + (i + 1) * p.n];
                        // Rows that begin here have few coefficients; columns of zeros need no multiplication.
                        let few = first && 4 * row.iter().filter(|c| **c != [0.0; LANES]).count() < p.n;
                        if few {
                            for (j, coefficient) in row.iter().enumerate().filter(|(_, c)| **c != [0.0; LANES]) {
                                for k in 0..p.k {
                                    let weight = self.bounds.low[b.start + of_b + k * p.n + j];
                                    self.term(coefficient, weight, a.start + of_a + i * p.k + k);
                                }
                            }
                            continue;
                        }
                        for k in 0..p.k {
                            let x = a.start + of_a + i * p.k + k;
                            let y = b.start + of_b + k * p.n;
                            if first {
                                let weights = &self.bounds.low[y..y + p.n];
                                let sum = &mut self.before[x];
                                for (coefficient, weight) in row.iter().zip(weights) {
                                    (0..LANES).for_each(|l| sum[l] += coefficient[l] * weight);
                                }
                            } else {
                                let weight = self.bounds.low[x];
                                for (j, coefficient) in row.iter().enumerate() {
                                    self.term(coefficient, weight, y + j);
                                }
                            }
                        }
                    }
                }
            }
            Products::Conv(shape) => shape.for_each_result(|result, channel| {
                let coefficient = after[result];
                if coefficient == [0.0; LANES] {
                    return;
                }
                shape.for_each_tap(result, |x, w| {
                    let (x, w) = (a.start + x, b.start + w);
                    if first {
                        self.term(&coefficient, self.bounds.low[w], x);
                    } else {
                        self.term(&coefficient, self.bounds.low[x], w);
                    }
                });
                if let Some(bias) = bias {
                    self.term(&coefficient, 1.0, bias.start + channel);
                }
            }),
        }
    }
}
