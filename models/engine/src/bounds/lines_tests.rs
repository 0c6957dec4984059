//! Planes stay on their side of the function everywhere, and lie close to it where an interval is narrow.

use super::Interval;
use super::functions::{accuracy, slope, unary};
use super::lines;
use crate::op::{Binary, Unary};

const FUNCTIONS: [Unary; 24] = [
    Unary::Negate,
    Unary::Absolute,
    Unary::Square,
    Unary::Sqrt,
    Unary::Exp,
    Unary::Log,
    Unary::Erf,
    Unary::Relu,
    Unary::LeakyRelu { slope: 0.1 },
    Unary::LeakyRelu { slope: -2.0 },
    Unary::Elu { alpha: 0.7 },
    Unary::Elu { alpha: 3.0 },
    Unary::Elu { alpha: -0.5 },
    Unary::Selu { alpha: 1.67, gamma: 1.05 },
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Unary::HardSigmoid { alpha: -0.3, beta: 0.4 },
    Unary::HardSwish,
    Unary::Softplus,
    Unary::Clip { low: -0.4, high: 0.6 },
    Unary::Clip { low: f32::NEG_INFINITY, high: 0.5 },
];

/// Intervals of many places and widths.
fn intervals(positive: bool) -> impl Iterator<Item = Interval> {
    let starts = (-24..=24).map(|i| f64::from(i) * 0.37 + 0.013);
    let widths = [1e-5, 0.03, 0.4, 1.7, 6.0, 25.0];
    let all = starts.flat_map(move |s| widths.into_iter().map(move |w| Interval { low: s, high: s + w }));
    all.filter(move |x| !positive || x.low > 0.0)
}

#[test]
fn planes_stay_on_their_side() {
    for f in FUNCTIONS {
        for x in intervals(matches!(f, Unary::Log | Unary::Sqrt)) {
            let y = unary(f, x);
            let (planes, _) = lines::unary(f, x, y);
            for i in 0..=500 {
                let at = (x.low + x.width() * f64::from(i) / 500.0).min(x.high);
                let (value, rounding) = (f.value(at), 1e-13 * (1.0 + f.value(at).abs()));
                let (above, below) =
                    (planes.upper.a * at + planes.upper.constant, planes.lower.a * at + planes.lower.constant);
                assert!(value <= above + rounding, "{f:?} over {x:?}: {value} above {above} at {at}");
                assert!(value >= below - rounding, "{f:?} over {x:?}: {value} below {below} at {at}");
            }
        }
    }
}

/// The gap of a smooth function shrinks with the square of the width; at a kink with the width itself.
#[test]
fn planes_are_close_over_narrow_intervals() {
    for f in FUNCTIONS {
        for x in intervals(true).filter(|x| x.low > 0.7 && x.width() < 0.5) {
            let y = unary(f, x);
            let (planes, _) = lines::unary(f, x, y);
            let middle = 0.5 * (x.low + x.high);
            let gap = (planes.upper.a - planes.lower.a) * middle + planes.upper.constant - planes.lower.constant;
            // The largest second derivative is that of the exponential function.
            let bend = if f == Unary::Exp { f.value(x.high) } else { 3.5 };
            let rounding = 4.0 * (accuracy(f, x).0 * y.size() + accuracy(f, x).1) + 1e-12;
            let kinked = f == Unary::HardSwish && x.low < 3.0 && x.high > 3.0;
            let allowed = bend * x.width() * if kinked { 1.0 } else { 0.25 * x.width() };
            assert!(gap <= allowed + rounding, "{f:?} over {x:?}: gap {gap}");
        }
    }
}

#[test]
fn intervals_are_as_wide_as_the_function_and_its_error() {
    for f in FUNCTIONS {
        for x in intervals(matches!(f, Unary::Log | Unary::Sqrt)) {
            let y = unary(f, x);
            let values = (0..=2000).map(|i| f.value((x.low + x.width() * f64::from(i) / 2000.0).min(x.high)));
            let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            let (relative, absolute) = accuracy(f, x);
            // At a kink between two of the points the function may be lower than at both, by its slope of 2 at most.
            let allowed = 2.0 * (relative * y.size() + absolute) + x.width() / 1000.0;
            assert!(y.low <= low && y.high >= high, "{f:?} over {x:?}: {y:?}, values from {low} to {high}");
            assert!(y.width() <= high - low + 2.0 * allowed, "{f:?} over {x:?}: {y:?}, values from {low} to {high}");
        }
    }
}

#[test]
fn slopes_hold_all_derivatives() {
    for f in FUNCTIONS {
        for x in intervals(matches!(f, Unary::Log | Unary::Sqrt)) {
            let v = if f.slope_from_output() { unary(f, x) } else { x };
            let range = slope(f, v);
            for i in 0..=200 {
                let at = (x.low + x.width() * f64::from(i) / 200.0).min(x.high);
                let own = f.slope(if f.slope_from_output() { f.value(at) } else { at });
                assert!(range.contains(own), "{f:?} over {x:?}: slope {own} at {at} outside {range:?}");
            }
        }
    }
}

#[test]
fn planes_of_two_numbers_stay_on_their_side() {
    for f in [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Divide, Binary::Minimum, Binary::Maximum] {
        for x in intervals(false).step_by(5) {
            for y in intervals(false).step_by(7) {
                let Some(planes) = lines::binary(f, x, y) else {
                    assert!(f == Binary::Divide && y.contains(0.0), "{f:?} over {x:?}, {y:?} has no planes");
                    continue;
                };
                for i in 0..100 {
                    let a = x.low + x.width() * f64::from(i % 10) / 9.0;
                    let b = y.low + y.width() * f64::from(i / 10) / 9.0;
                    let value = f.value(a, b);
                    let at = |p: &lines::Plane| p.a * a + p.b * b + p.constant;
                    let rounding = 1e-12 * (1.0 + value.abs() + planes.mass(x.size(), y.size()));
                    assert!(value <= at(&planes.upper) + rounding, "{f:?} over {x:?}, {y:?} at {a}, {b}");
                    assert!(value >= at(&planes.lower) - rounding, "{f:?} over {x:?}, {y:?} at {a}, {b}");
                }
            }
        }
    }
}
