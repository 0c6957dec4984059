//! Interval propagation: one pass over the steps, in buffers that are made once.

use super::Interval;
use super::functions::unary;
use super::pairs::{binary, quotient};
use super::plan::{Kind, Loop, Plan, Span, Step};
use super::products::Products;
use super::round::{ACTIVATION, FLOOR, LARGEST, UNIT, gamma, overflow};
use crate::op::{Binary, Unary};

/// What is known of every number of a graph.
#[derive(Debug, Default)]
pub struct Bounds {
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    /// Largest sum of magnitudes of the terms that a number is made of, as its only reader sees them; else its largest magnitude.
    pub mass: Vec<f64>,
    /// How far a program's number can be from the function of the program's numbers before it.
    pub slack: Vec<f64>,
    /// Centre, radius and mass of sums that are being made.
    sums: [Vec<f64>; 4],
    /// Centre and radius of the factors.
    factors: [Vec<f64>; 4],
    /// States of a loop between two trips.
    carried: Vec<Interval>,
    loops: Vec<Bounds>,
}

impl Bounds {
    /// Buffers for a plan, with its constants in place.
    pub fn new(plan: &Plan) -> Self {
        let mut bounds = Self::default();
        let variables = vec![0.0; plan.variables];
        bounds.low = variables.iter().chain(&plan.constants).copied().collect();
        bounds.high = bounds.low.clone();
        bounds.mass = bounds.low.iter().map(|v| v.abs()).collect();
        for place in plan.variables..plan.places() {
            if bounds.low[place].is_nan() {
                bounds.set(place, Interval::WHOLE);
            }
        }
        bounds.slack = vec![0.0; plan.variables];
        let (mut sums, mut factors, mut carried) = (0, [0, 0], 0);
        for step in &plan.steps {
            match &step.kind {
                Kind::Products { a, b, .. } => {
                    sums = sums.max(step.out.len);
                    factors = [factors[0].max(a.len), factors[1].max(b.len)];
                }
                Kind::Sum { .. } => sums = sums.max(step.out.len),
                Kind::Softmax { groups, .. } => (sums, factors[0]) = (sums.max(*groups), factors[0].max(*groups)),
                Kind::Scan(inner) => {
                    carried = carried.max(inner.updates.iter().map(|s| s.len).sum());
                    bounds.loops.push(Self::new(&inner.body));
                }
                _ => {}
            }
        }
        bounds.sums = std::array::from_fn(|_| vec![0.0; sums]);
        bounds.factors = std::array::from_fn(|i| vec![0.0; factors[i / 2]]);
        bounds.carried = vec![Interval::WHOLE; carried];
        bounds
    }

    /// The interval at a place.
    pub fn at(&self, place: usize) -> Interval {
        Interval { low: self.low[place], high: self.high[place] }
    }

    /// Largest magnitude at a place.
    pub fn size(&self, place: usize) -> f64 {
        self.at(place).size()
    }

    /// Sets a number that begins no sum.
    pub fn set(&mut self, place: usize, x: Interval) {
        self.low[place] = x.low;
        self.high[place] = x.high;
        self.mass[place] = x.size();
    }

    /// Computes the results of one step from those before it.
    pub fn forward(&mut self, step: &Step) {
        let out = step.out;
        match &step.kind {
            Kind::Input => {}
            Kind::Unary { function: Unary::Negate, x } => {
                for i in 0..out.len {
                    let (from, to) = (self.at(x + i), out.start + i);
                    let mass = self.mass[x + i];
                    self.set(to, Interval { low: -from.high, high: -from.low });
                    self.keep(step, to, mass);
                }
            }
            Kind::Unary { function, x } => {
                for i in 0..out.len {
                    self.set(out.start + i, unary(*function, self.at(x + i)));
                }
            }
            Kind::Binary { function, a, b, limit } => {
                for i in 0..out.len {
                    self.pair(step, *function, [a.at(i), b.at(i)], out.start + i);
                    self.limit(out.start + i, *limit);
                }
            }
            Kind::Products { products, a, b, bias } => self.products(step, products, [*a, *b], *bias),
            Kind::Sum { x, to } => self.sum(step, *x, to),
            Kind::Extreme { largest, x, to } => self.extreme(out, *largest, *x, to),
            Kind::Index { picks } => {
                for (i, pick) in picks.iter().enumerate() {
                    let (from, to) = (*pick as usize, out.start + i);
                    let mass = self.mass[from];
                    self.set(to, self.at(from));
                    self.keep(step, to, mass);
                    self.slack[to] = step.gamma_64 * self.size(from);
                }
            }
            Kind::Softmax { x, to, groups } => self.softmax(out, *x, to, *groups),
            Kind::Scan(inner) => self.scan(out, inner),
        }
    }

    /// Keeps the mass of a sum that goes on.
    fn keep(&mut self, step: &Step, place: usize, mass: f64) {
        if step.chained {
            self.mass[place] = mass.max(self.mass[place]);
        }
    }

    fn limit(&mut self, place: usize, limit: Interval) {
        let own = self.at(place);
        if !own.is_whole() && !limit.is_whole() {
            self.low[place] = own.low.max(limit.low);
            self.high[place] = own.high.min(limit.high);
        }
    }

    /// Sets the result of a sum of products: its range without rounding, and the mass of its terms.
    fn set_sum(&mut self, step: &Step, place: usize, range: Interval, mass: f64) {
        let error = step.gamma * mass + step.floor;
        let x = if range.is_whole() {
            range
        } else if mass + error <= LARGEST {
            let low = if step.nonnegative {
                // All terms have one sign, so the error is relative. The range itself was computed in f64.
                let relative = step.gamma * range.low.max(0.0) + step.gamma_64 * mass + step.floor;
                (range.low - relative.min(error)).max(0.0)
            } else {
                range.low - error
            };
            Interval { low, high: range.high + error }
        } else if range.low == range.high {
            // An infinite constant and a finite number, as in the masks of attention.
            range
        } else if step.roundings == 1 {
            // One operation, one rounding of the result; the other side may still be finite.
            let widened = |v: f64, to: f64| if v.is_finite() { v + to * (2.0 * UNIT * v.abs() + FLOOR) } else { v };
            overflow(Interval { low: widened(range.low, -1.0), high: widened(range.high, 1.0) })
        } else {
            // Partial sums may overflow in both directions.
            Interval::WHOLE
        };
        self.set(place, x);
        self.slack[place] = if x.is_finite() { error } else { f64::INFINITY };
        self.keep(step, place, mass + error);
    }

    fn pair(&mut self, step: &Step, function: Binary, [a, b]: [usize; 2], place: usize) {
        let (x, y) = (self.at(a), self.at(b));
        let (m, n) = (self.mass[a], self.mass[b]);
        match function {
            Binary::Add | Binary::Subtract => self.set_sum(step, place, binary(function, x, y), m + n),
            Binary::Multiply => self.set_sum(step, place, binary(function, x, y), m * n),
            // Only a constant divisor continues a sum.
            Binary::Divide if step.roundings > 0 => {
                let range = if x.is_whole() { x } else { quotient(x, y) };
                self.set_sum(step, place, range, m / y.low.abs());
            }
            _ => self.set(place, binary(function, x, y)),
        }
    }

    fn products(&mut self, step: &Step, products: &Products, [a, b]: [Span; 2], bias: Option<Span>) {
        let fixed = b.start >= self.slack.len();
        self.halve(0, a);
        if !fixed {
            self.halve(2, b);
        }
        let len = step.out.len;
        let [centre, radius, mass, _] = &mut self.sums;
        let [centre, radius, mass] = [&mut centre[..len], &mut radius[..len], &mut mass[..len]];
        let [ca, ra, cb, rb] = &self.factors;
        let cb = if fixed { &self.low[b.range()] } else { &cb[..] };
        let [ma, mb] = [&self.mass[a.range()], &self.mass[b.range()]];
        [&mut *centre, &mut *radius, &mut *mass].into_iter().for_each(|s| s.fill(0.0));
        match products {
            Products::MatMul(p) => {
                for [of_a, of_b, of_out] in &p.batches {
                    for i in 0..p.m {
                        let row = of_out + i * p.n..of_out + (i + 1) * p.n;
                        let (centre, radius) = (&mut centre[row.clone()], &mut radius[row.clone()]);
                        let mass = &mut mass[row];
                        for k in 0..p.k {
                            let (x, y) = (of_a + i * p.k + k, of_b + k * p.n..of_b + (k + 1) * p.n);
                            let (c, r, m) = (ca[x], ra[x], ma[x]);
                            let (cb, mb) = (&cb[y.clone()], &mb[y.clone()]);
                            for j in 0..p.n {
                                centre[j] += c * cb[j];
                                mass[j] += m * mb[j];
                            }
                            if fixed {
                                (0..p.n).for_each(|j| radius[j] += r * mb[j]);
                            } else {
                                let rb = &rb[y];
                                (0..p.n).for_each(|j| radius[j] += r * (cb[j].abs() + rb[j]) + c.abs() * rb[j]);
                            }
                        }
                    }
                }
            }
            Products::Conv(shape) => shape.for_each_result(|result, channel| {
                let (mut c, mut r, mut m) = (0.0, 0.0, 0.0);
                shape.for_each_tap(result, |x, w| {
                    c += ca[x] * cb[w];
                    r += if fixed { ra[x] * mb[w] } else { ra[x] * (cb[w].abs() + rb[w]) + ca[x].abs() * rb[w] };
                    m += ma[x] * mb[w];
                });
                if let Some(bias) = bias {
                    let place = bias.start + channel;
                    let half = 0.5 * (self.high[place] - self.low[place]);
                    c += self.low[place] + half;
                    r += half;
                    m += self.mass[place];
                }
                (centre[result], radius[result], mass[result]) = (c, r, m);
            }),
        }
        for i in 0..len {
            let (c, r, m) = (self.sums[0][i], self.sums[1][i], self.sums[2][i]);
            self.set_sum(step, step.out.start + i, Interval::new(c - r, c + r), m);
        }
    }

    /// Centres and radii of a factor.
    fn halve(&mut self, into: usize, span: Span) {
        for i in 0..span.len {
            let (low, high) = (self.low[span.start + i], self.high[span.start + i]);
            self.factors[into][i] = 0.5 * (low + high);
            self.factors[into + 1][i] = 0.5 * (high - low);
        }
    }

    fn sum(&mut self, step: &Step, x: Span, to: &[u32]) {
        self.sums.iter_mut().for_each(|s| s[..step.out.len].fill(0.0));
        for (i, cell) in to.iter().enumerate() {
            let (from, cell) = (x.start + i, *cell as usize);
            self.sums[0][cell] += self.low[from];
            self.sums[1][cell] += self.high[from];
            self.sums[2][cell] += self.mass[from];
        }
        for i in 0..step.out.len {
            let range = Interval::new(self.sums[0][i], self.sums[1][i]);
            self.set_sum(step, step.out.start + i, range, self.sums[2][i]);
        }
    }

    fn extreme(&mut self, out: Span, largest: bool, x: Span, to: &[u32]) {
        // Worked out for the largest; the smallest is minus the largest of the negated.
        let turned = |x: Interval| if largest { x } else { Interval { low: -x.high, high: -x.low } };
        for place in out.range() {
            self.low[place] = f64::NEG_INFINITY;
            self.high[place] = f64::NEG_INFINITY;
            self.mass[place] = 0.0;
        }
        for (i, cell) in to.iter().enumerate() {
            let (own, cell) = (turned(self.at(x.start + i)), out.start + *cell as usize);
            // A mass above zero marks a cell that has met a number of which nothing is known.
            self.mass[cell] += f64::from(u8::from(own.is_whole()));
            self.low[cell] = self.low[cell].max(own.low);
            self.high[cell] = self.high[cell].max(own.high);
        }
        for place in out.range() {
            let known = if self.mass[place] > 0.0 { Interval::WHOLE } else { turned(self.at(place)) };
            self.set(place, known);
        }
    }

    /// Each share is monotone in each of the numbers: it grows with its own and falls with the others. A number that is minus infinity
    /// has no share, as long as another one is finite.
    fn softmax(&mut self, out: Span, x: Span, to: &[u32], groups: usize) {
        let [largest, least, most, lowest] = &mut self.sums;
        let [surest, _, _, _] = &mut self.factors;
        largest[..groups].fill(f64::NEG_INFINITY);
        surest[..groups].fill(f64::NEG_INFINITY);
        lowest[..groups].fill(f64::INFINITY);
        least[..groups].fill(0.0);
        most[..groups].fill(0.0);
        for (i, cell) in to.iter().enumerate() {
            let (cell, place) = (*cell as usize, x.start + i);
            largest[cell] = largest[cell].max(self.high[place]);
            surest[cell] = surest[cell].max(self.low[place]);
            lowest[cell] = lowest[cell].min(self.low[place]);
        }
        for (i, cell) in to.iter().enumerate() {
            let (cell, place) = (*cell as usize, x.start + i);
            least[cell] += libm::exp(self.low[place] - largest[cell]);
            most[cell] += libm::exp(self.high[place] - largest[cell]);
        }
        let count = out.len / groups.max(1);
        for (i, cell) in to.iter().enumerate() {
            let (cell, place) = (*cell as usize, x.start + i);
            let power = |v: f64| libm::exp(v - largest[cell]);
            let (own_low, own_high) = (power(self.low[place]), power(self.high[place]));
            // The others are what remains; the difference is off by the f64 rounding of the whole sum.
            let rounding = (count + 8) as f64 * f64::EPSILON * most[cell];
            let others_most = (most[cell] - own_high).max(0.0) + rounding;
            let others_least = (least[cell] - own_low - rounding).max(0.0);
            let low = own_low / (own_low + others_most);
            let high = if own_high > 0.0 {
                own_high / (own_high + others_least)
            } else {
                // A power that vanishes in f64 says nothing beside others that may vanish too.
                f64::from(u8::from(self.high[place].is_finite()))
            };
            // A difference d is rounded to d (1 + u), which makes its power e^(d u) times as large. Below -110 powers are no normal numbers.
            let spread = (largest[cell] - lowest[cell]).min(110.0);
            let relative = 2.0 * (ACTIVATION + 2.0 * UNIT * spread) + gamma(count + 4) + 1e-9;
            let absolute = 4.0 * (count + 1) as f64 * FLOOR;
            // A rounded sum of numbers that are at least 0 is no smaller than each of them.
            let high = (high + relative * high + absolute).min(1.0);
            let share = Interval::new((low - relative * low - absolute).max(0.0), high);
            let known = surest[cell].is_finite() && largest[cell].is_finite();
            let share = if known { share } else { Interval::WHOLE };
            (self.low[out.start + i], self.high[out.start + i]) = (share.low, share.high);
            self.mass[out.start + i] = share.size();
        }
    }

    fn scan(&mut self, out: Span, inner: &Loop) {
        // Taken out and put back, so that both sides can be borrowed; nothing is allocated.
        let mut body = std::mem::take(&mut self.loops[inner.slot]);
        let copy = |body: &mut Self, outer: &Self, from: usize, to: Span| {
            (0..to.len).for_each(|i| body.set(to.start + i, outer.at(from + i)));
        };
        for (from, to) in inner.states.iter().chain(&inner.fixed) {
            copy(&mut body, self, from.start, *to);
        }
        for trip in 0..inner.trips {
            for (from, to) in &inner.scanned {
                copy(&mut body, self, from.start + trip * to.len, *to);
            }
            for step in &inner.body.steps {
                body.forward(step);
            }
            for (start, from) in &inner.stacked {
                let to = Span { start: out.start + start + trip * from.len, len: from.len };
                copy(self, &body, from.start, to);
            }
            let updates = || inner.updates.iter().flat_map(|u| u.range());
            for (slot, place) in self.carried.iter_mut().zip(updates()) {
                *slot = body.at(place);
            }
            let states = inner.states.iter().flat_map(|(_, to)| to.range());
            for (state, place) in self.carried.iter().zip(states) {
                body.set(place, *state);
            }
        }
        let count: usize = inner.updates.iter().map(|u| u.len).sum();
        for i in 0..count {
            self.set(out.start + i, self.carried[i]);
        }
        self.loops[inner.slot] = body;
    }
}
