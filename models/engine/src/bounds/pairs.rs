//! Intervals of functions of two numbers, element by element.
//!
//! Sums, differences and products are returned without rounding, because their error depends on the whole sum of products that they are
//! part of (see `forward`). All others are returned as a program in f32 may compute them.

use super::Interval;
use super::functions::slope;
use super::round::{ACTIVATION, FLOOR, UNIT, above, below, overflow};
use crate::op::Binary;

/// Range of the function over two intervals.
pub fn binary(f: Binary, a: Interval, b: Interval) -> Interval {
    let known = |yes: bool, no: bool| Interval::new(f64::from(u8::from(yes)), f64::from(u8::from(!no)));
    match f {
        // A comparison with NaN is false, so these are never unknown.
        Binary::Greater => known(a.low > b.high, a.high <= b.low),
        Binary::Equal => {
            let same = a.low == a.high && b.low == b.high && a.low == b.low;
            known(same, a.high < b.low || b.high < a.low)
        }
        _ if a.is_whole() || b.is_whole() => Interval::WHOLE,
        Binary::Add => sum(a, b),
        Binary::Subtract => sum(a, Interval { low: -b.high, high: -b.low }),
        Binary::Multiply => product(a, b),
        Binary::Divide => rounded(quotient(a, b), 2.0 * UNIT),
        Binary::Minimum => Interval::new(a.low.min(b.low), a.high.min(b.high)),
        Binary::Maximum => Interval::new(a.low.max(b.low), a.high.max(b.high)),
        Binary::Power => power(a, b),
        Binary::PRelu => {
            let positive = Interval { low: a.low.max(0.0), high: a.high };
            if a.low >= 0.0 {
                return positive;
            }
            let negative = rounded(product(Interval { low: a.low, high: a.high.min(0.0) }, b), 2.0 * UNIT);
            if a.high < 0.0 {
                return negative;
            }
            Interval::new(negative.low.min(positive.low), negative.high.max(positive.high))
        }
        Binary::Slope(function) => rounded(product(a, slope(function, b)), 2.0 * UNIT),
    }
}

/// The quotient without rounding; nothing is said where the divisor can be 0.
pub fn quotient(a: Interval, b: Interval) -> Interval {
    if b.low <= 0.0 && b.high >= 0.0 {
        return Interval::WHOLE;
    }
    corners(a, b, |x, y| x / y)
}

fn sum(a: Interval, b: Interval) -> Interval {
    // Infinity minus infinity is NaN in one corner, and a program may compute it.
    let (low, high) = (a.low + b.low, a.high + b.high);
    let clash = (a.high == f64::INFINITY && b.low == f64::NEG_INFINITY)
        || (a.low == f64::NEG_INFINITY && b.high == f64::INFINITY);
    if clash { Interval::WHOLE } else { Interval::new(low, high) }
}

fn product(a: Interval, b: Interval) -> Interval {
    let unknown = |x: Interval, y: Interval| !x.is_finite() && y.low <= 0.0 && y.high >= 0.0;
    if unknown(a, b) || unknown(b, a) {
        return Interval::WHOLE;
    }
    corners(a, b, |x, y| x * y)
}

/// Range of a function that is monotone in each argument alone: its extremes lie in corners.
fn corners(a: Interval, b: Interval, f: impl Fn(f64, f64) -> f64) -> Interval {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in [f(a.low, b.low), f(a.low, b.high), f(a.high, b.low), f(a.high, b.high)] {
        if value.is_nan() {
            return Interval::WHOLE;
        }
        (low, high) = (low.min(value), high.max(value));
    }
    Interval::new(low, high)
}

fn rounded(x: Interval, relative: f64) -> Interval {
    if x.is_whole() {
        return x;
    }
    let wide = Interval::new(below(x.low, relative, FLOOR), above(x.high, relative, FLOOR));
    // A product or quotient keeps its sign when it is rounded.
    let low = if x.low >= 0.0 { wide.low.max(0.0) } else { wide.low };
    let high = if x.high <= 0.0 { wide.high.min(0.0) } else { wide.high };
    overflow(Interval::new(low, high))
}

fn power(a: Interval, b: Interval) -> Interval {
    let whole_exponent = b.low == b.high && b.low.fract() == 0.0;
    let exact = if whole_exponent && b.low == 0.0 {
        Interval::new(1.0, 1.0)
    } else if whole_exponent {
        let crosses = a.low <= 0.0 && a.high >= 0.0;
        let even = b.low % 2.0 == 0.0;
        let ends = corners(a, b, libm::pow);
        match (crosses, even) {
            (false, _) => ends,
            (true, true) if b.low < 0.0 => Interval::new(ends.low, f64::INFINITY),
            (true, true) => Interval::new(0.0, ends.high),
            (true, false) if b.low < 0.0 => Interval::WHOLE,
            (true, false) => ends,
        }
    } else if a.low >= 0.0 {
        corners(a, b, libm::pow)
    } else {
        // A negative base with an exponent between two integers is NaN.
        Interval::WHOLE
    };
    if exact.is_whole() {
        return exact;
    }
    // Either e^(b ln a), where an error of the logarithm is multiplied by b, or |b| products.
    let error = |v: f64| {
        let logarithm = if v == 0.0 { 0.0 } else { v.abs().ln().abs() };
        ACTIVATION * (1.0 + logarithm) + (ACTIVATION + 8.0 * UNIT) * b.size()
    };
    let low = below(exact.low, error(exact.low), FLOOR);
    let low = if exact.low >= 0.0 { low.max(0.0) } else { low };
    overflow(Interval::new(low, above(exact.high, error(exact.high), FLOOR)))
}
