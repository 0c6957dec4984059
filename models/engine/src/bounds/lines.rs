//! Planes round functions: linear functions of the arguments that stay above and below it over given intervals.
//!
//! A slope is chosen by any means; the constant is then worked out so that the line holds whatever the slope. For that, g(x) = f(x) - slope x
//! must be bounded over the interval:
//!
//! * where f is convex, by the ends;
//! * where f is concave, by its tangent at any t: g(x) <= g(t) + (f'(t) - slope) (x - t);
//! * elsewhere, by its values on a grid of step h that contains all kinks, plus h^2 / 8 times the largest |f''| (the error of linear
//!   interpolation).
//!
//! Among upper lines the best is the one that is lowest in the middle of the interval: it has the least area below it. It belongs to the
//! concave hull of f. Lower lines are upper lines of -f, or of -f(-x).

use std::cmp::Ordering;

use super::Interval;
use super::functions::accuracy;
use super::round::FUNCTION_64;
use crate::op::{Binary, Unary};

/// a x + b y + constant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plane {
    pub a: f64,
    pub b: f64,
    pub constant: f64,
}

/// Two planes with a function between them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Planes {
    pub upper: Plane,
    pub lower: Plane,
}

impl Planes {
    /// An exact linear function.
    pub fn exact(a: f64, b: f64) -> Self {
        let plane = Plane { a, b, constant: 0.0 };
        Self { upper: plane, lower: plane }
    }

    /// What is known without the arguments.
    pub fn flat(y: Interval) -> Self {
        let plane = |constant| Plane { a: 0.0, b: 0.0, constant };
        Self { upper: plane(y.high), lower: plane(y.low) }
    }

    /// Takes the result's own interval where a plane says less at the centre of the arguments, or is no number.
    pub fn or_flat(mut self, x: Interval, y: Interval, known: Interval) -> Self {
        let at = |p: &Plane| p.a * 0.5 * (x.low + x.high) + p.b * 0.5 * (y.low + y.high) + p.constant;
        let flat = Self::flat(known);
        if !matches!(at(&self.upper).partial_cmp(&known.high), Some(Ordering::Less)) {
            self.upper = flat.upper;
        }
        if !matches!(at(&self.lower).partial_cmp(&known.low), Some(Ordering::Greater)) {
            self.lower = flat.lower;
        }
        self
    }

    /// Largest magnitude that any term of a plane can have for arguments of these sizes.
    pub fn mass(&self, a: f64, b: f64) -> f64 {
        let of = |p: &Plane| p.a.abs() * a + if p.b == 0.0 { 0.0 } else { p.b.abs() * b } + p.constant.abs();
        of(&self.upper).max(of(&self.lower))
    }
}

/// Intervals of a grid.
const GRID: usize = 16;
/// Steps in the search of a tangent.
const TANGENT_STEPS: usize = 10;

/// How a function bends.
enum Shape {
    Convex,
    Concave,
    /// Convex below this point, concave above.
    Turning(f64),
    /// Bends at most this much between kinks.
    Kinked {
        kinks: [f64; 2],
        bend: f64,
    },
}

fn shape(f: Unary) -> Shape {
    let kinked = |kinks, bend| Shape::Kinked { kinks, bend };
    match f {
        Unary::Square | Unary::Exp | Unary::Softplus => Shape::Convex,
        Unary::Sqrt | Unary::Log => Shape::Concave,
        Unary::Erf | Unary::Tanh | Unary::Sigmoid => Shape::Turning(0.0),
        Unary::Negate | Unary::Absolute | Unary::Relu | Unary::LeakyRelu { .. } => kinked([0.0; 2], 0.0),
        Unary::Elu { alpha } if (0.0..=1.0).contains(&alpha) => Shape::Convex,
        Unary::Elu { alpha } => kinked([0.0; 2], f64::from(alpha).abs()),
        Unary::Selu { alpha, gamma } => kinked([0.0; 2], (f64::from(alpha) * f64::from(gamma)).abs()),
        // |f''| is largest at 0: sqrt(2 / pi) for both.
        Unary::Gelu | Unary::GeluTanh => kinked([0.0; 2], 0.8),
        Unary::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (f64::from(alpha), f64::from(beta));
            // Without slope there are no kinks.
            if alpha == 0.0 { kinked([0.0; 2], 0.0) } else { kinked([-beta / alpha, (1.0 - beta) / alpha], 0.0) }
        }
        Unary::HardSwish => kinked([-3.0, 3.0], 1.0 / 3.0 + 1e-9),
        Unary::Clip { low, high } => kinked([f64::from(low), f64::from(high)], 0.0),
    }
}

/// A function, or its mirror image: `flip` turns the argument, `sign` the value.
#[derive(Clone, Copy)]
struct Curve {
    f: Unary,
    flip: f64,
    sign: f64,
}

impl Curve {
    fn value(&self, x: f64) -> f64 {
        self.sign * self.f.value(self.flip * x)
    }

    /// Value and derivative.
    fn both(&self, x: f64) -> (f64, f64) {
        let at = self.flip * x;
        let value = self.f.value(at);
        let slope = self.f.slope(if self.f.slope_from_output() { value } else { at });
        (self.sign * value, self.sign * self.flip * slope)
    }

    /// At least g(x).
    fn above(&self, slope: f64, x: f64) -> f64 {
        above(self.value(x), slope, x)
    }

    /// Bound of g where the curve is concave, from its tangent at t.
    fn tangent(&self, slope: f64, t: f64, x: Interval) -> f64 {
        let (value, own) = self.both(t);
        // The computed derivative may be off where it is a difference of numbers near 1.
        let unsure = FUNCTION_64 * (1.0 + own.abs() + slope.abs());
        let rise = |end: f64| (own - slope) * (end - t) + unsure * (end - t).abs();
        above(value, slope, t) + rise(x.low).max(rise(x.high)).max(0.0)
    }

    /// Slope and constant of an upper line.
    fn upper(&self, shape: &Shape, x: Interval) -> (f64, f64) {
        let (low, high, middle) = (x.low, x.high, 0.5 * (x.low + x.high));
        let chord = (self.value(high) - self.value(low)) / (high - low);
        match shape {
            Shape::Convex => (chord, self.above(chord, low).max(self.above(chord, high))),
            Shape::Concave => {
                let (_, slope) = self.both(middle);
                (slope, self.tangent(slope, middle, x))
            }
            Shape::Turning(at) if high <= *at => self.upper(&Shape::Convex, x),
            Shape::Turning(at) if low >= *at => self.upper(&Shape::Concave, x),
            Shape::Turning(at) => {
                let concave = Interval { low: *at, high };
                let touch = if self.both(high).1 >= chord { high } else { self.touch(low, *at, high).max(middle) };
                let slope = if touch == high { chord } else { self.both(touch).1 };
                (slope, self.above(slope, low).max(self.tangent(slope, touch, concave)))
            }
            Shape::Kinked { kinks, bend } => self.kinked(*kinks, *bend, x),
        }
    }

    /// About where a tangent of the concave part above `turning` passes through the curve at `low`, and never below that.
    fn touch(&self, low: f64, turning: f64, high: f64) -> f64 {
        let begin = self.value(low);
        // The tangent at `right` passes above the lower end, the one at `left` below.
        let (mut left, mut right) = (turning, high);
        for _ in 0..TANGENT_STEPS {
            let t = 0.5 * (left + right);
            let (value, slope) = self.both(t);
            let over = value + slope * (low - t) >= begin;
            (left, right) = if over { (left, t) } else { (t, right) };
        }
        right
    }

    fn kinked(&self, kinks: [f64; 2], bend: f64, x: Interval) -> (f64, f64) {
        let steps = if bend == 0.0 { 1 } else { GRID };
        let step = (x.high - x.low) / steps as f64;
        let mut points = [x.high; GRID + 3];
        (0..steps).for_each(|i| points[i] = x.low + step * i as f64);
        let mut count = steps + 1;
        for kink in kinks.map(|k| self.flip * k) {
            if x.low < kink && kink < x.high {
                points[count] = kink;
                count += 1;
            }
        }
        let points = &points[..count];
        let mut values = [0.0; GRID + 3];
        points.iter().zip(&mut values).for_each(|(p, v)| *v = self.value(*p));
        // The hull's edge over the middle: the highest chord there.
        let middle = 0.5 * (x.low + x.high);
        let (mut best, mut slope) = (f64::NEG_INFINITY, 0.0);
        for (left, at_left) in points.iter().zip(values).filter(|(p, _)| **p <= middle) {
            for (right, at_right) in points.iter().zip(values).filter(|(p, _)| **p > middle) {
                let rise = (at_right - at_left) / (right - left);
                let height = at_left + rise * (middle - left);
                if height > best {
                    (best, slope) = (height, rise);
                }
            }
        }
        // Grid steps are rounded; a hundredth more covers that.
        let between = bend * step * step / 8.0 * 1.01;
        let highest = points.iter().zip(values).map(|(p, v)| above(v, slope, *p)).fold(f64::NEG_INFINITY, f64::max);
        (slope, highest + between)
    }
}

/// At least value - slope x, with the rounding of both terms.
fn above(value: f64, slope: f64, x: f64) -> f64 {
    let linear = slope * x;
    value - linear + FUNCTION_64 * (value.abs() + linear.abs())
}

/// Planes of a function of one number over `x`, whose interval there is `y`, and how far a program's function can be from it.
pub fn unary(f: Unary, x: Interval, y: Interval) -> (Planes, f64) {
    let (relative, absolute) = accuracy(f, x);
    let error = relative * y.size() + absolute;
    // Limits in the wrong order make a jump, which no line touches on both sides.
    let jumps = matches!(f, Unary::Clip { low, high } if low > high);
    if jumps || !x.is_finite() || !y.is_finite() || x.width() <= 1e-9 * x.size() {
        return (Planes::flat(y), 0.0);
    }
    if let Unary::Negate = f {
        return (Planes::exact(-1.0, 0.0), 0.0);
    }
    let shape = shape(f);
    let (slope, constant) = Curve { f, flip: 1.0, sign: 1.0 }.upper(&shape, x);
    let upper = Plane { a: slope, b: 0.0, constant };
    let lower = match &shape {
        Shape::Turning(at) => {
            let turned = Interval { low: -x.high, high: -x.low };
            let (slope, constant) = Curve { f, flip: -1.0, sign: -1.0 }.upper(&Shape::Turning(-at), turned);
            Plane { a: slope, b: 0.0, constant: -constant }
        }
        other => {
            let negated = match other {
                Shape::Convex => Shape::Concave,
                Shape::Concave => Shape::Convex,
                Shape::Turning(at) => Shape::Turning(*at),
                Shape::Kinked { kinks, bend } => Shape::Kinked { kinks: *kinks, bend: *bend },
            };
            let (slope, constant) = Curve { f, flip: 1.0, sign: -1.0 }.upper(&negated, x);
            Plane { a: -slope, b: 0.0, constant: -constant }
        }
    };
    (Planes { upper, lower }.or_flat(x, Interval { low: 0.0, high: 0.0 }, y), error)
}

/// Planes of a function of two numbers, if it has any that are better than its interval.
pub fn binary(f: Binary, x: Interval, y: Interval) -> Option<Planes> {
    if !x.is_finite() || !y.is_finite() {
        return None;
    }
    match f {
        Binary::Add => Some(Planes::exact(1.0, 1.0)),
        Binary::Subtract => Some(Planes::exact(1.0, -1.0)),
        Binary::Multiply if y.low == y.high => Some(Planes::exact(y.low, 0.0)),
        Binary::Multiply if x.low == x.high => Some(Planes::exact(0.0, x.low)),
        Binary::Multiply => Some(product(x, y)),
        Binary::Divide if y.low <= 0.0 && y.high >= 0.0 => None,
        Binary::Divide if y.low == y.high => Some(Planes::exact(1.0 / y.low, 0.0)),
        Binary::Divide => Some(quotient(x, y)),
        Binary::Maximum => Some(maximum(x, y)),
        Binary::Minimum => {
            let turned = maximum(Interval { low: -x.high, high: -x.low }, Interval { low: -y.high, high: -y.low });
            let negated = |p: Plane| Plane { constant: -p.constant, ..p };
            Some(Planes { upper: negated(turned.lower), lower: negated(turned.upper) })
        }
        _ => None,
    }
}

/// x y = cy x + cx y - cx cy + (x - cx)(y - cy) round the centres c; the last term is at most the product of the radii (McCormick,
/// Computability of global solutions to factorable nonconvex programs, 1976: the mean of his two planes).
fn product(x: Interval, y: Interval) -> Planes {
    let (cx, cy) = (0.5 * (x.low + x.high), 0.5 * (y.low + y.high));
    let radius = |v: Interval, c: f64| (v.high - c).max(c - v.low);
    let rest = radius(x, cx) * radius(y, cy);
    let error = FUNCTION_64 * (cx * cy).abs() + FUNCTION_64 * rest;
    let plane = |rest: f64| Plane { a: cy, b: cx, constant: rest - cx * cy };
    Planes { upper: plane(rest + error), lower: plane(-rest - error) }
}

/// max(x, y) = y + relu(x - y).
fn maximum(x: Interval, y: Interval) -> Planes {
    if x.low >= y.high {
        return Planes::exact(1.0, 0.0);
    }
    if y.low >= x.high {
        return Planes::exact(0.0, 1.0);
    }
    let (low, high) = (x.low - y.high, x.high - y.low);
    let (slope, constant) = above_relu(low, high);
    let upper = Plane { a: slope, b: 1.0 - slope, constant };
    let first = high > -low;
    let lower = if first { Planes::exact(1.0, 0.0).lower } else { Planes::exact(0.0, 1.0).lower };
    Planes { upper, lower }
}

/// Slope and constant of a line above relu from `low` below 0 to `high` above 0.
pub fn above_relu(low: f64, high: f64) -> (f64, f64) {
    let slope = high / (high - low);
    // Relu is convex, so the ends decide, whatever the slope.
    let constant = (-slope * low).max(high - slope * high);
    (slope, constant + FUNCTION_64 * (low.abs() + high.abs()))
}

/// x / y as the product of x and 1 / y, whose bounds are linear in y.
fn quotient(x: Interval, y: Interval) -> Planes {
    if y.high < 0.0 {
        // x / y is minus x / -y.
        let turned = quotient(x, Interval { low: -y.high, high: -y.low });
        let back = |p: Plane| Plane { a: -p.a, b: p.b, constant: -p.constant };
        return Planes { upper: back(turned.lower), lower: back(turned.upper) };
    }
    let inverse = Interval { low: (1.0 / y.high).next_down(), high: (1.0 / y.low).next_up() };
    let Planes { upper, lower } = product(x, inverse);
    // 1 / y is convex: below the chord, and above any line of slope -s up to the constant 2 sqrt(s), where the two touch.
    let chord = -1.0 / y.low / y.high;
    let top = (1.0 / y.low - chord * y.low).max(1.0 / y.high - chord * y.high) * (1.0 + FUNCTION_64);
    let middle = 0.5 * (y.low + y.high);
    let touching = -1.0 / middle / middle;
    let bottom = 2.0 * (-touching).sqrt() * (1.0 - FUNCTION_64);
    // A plane a x + c / y + constant; its second coefficient decides which of the two lines bounds it.
    let through = |p: Plane, above: bool| {
        let (slope, line) = if (p.b >= 0.0) == above { (chord, top) } else { (touching, bottom) };
        let error = FUNCTION_64 * (p.b * line).abs();
        Plane { a: p.a, b: p.b * slope, constant: p.constant + p.b * line + if above { error } else { -error } }
    };
    Planes { upper: through(upper, true), lower: through(lower, false) }
}
