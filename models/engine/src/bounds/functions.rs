//! Intervals of functions of one number, element by element, as a program in f32 may compute them.
//!
//! A function is monotone between its *critical points* (kinks and stationary points), so its range over an interval is spanned by its
//! values at the ends and at the critical points inside.

use super::Interval;
use super::round::{ACTIVATION, CANCELLATION, FLOOR, UNIT, above, below, gamma, overflow};
use crate::op::Unary;

/// Where x (1 + erf(x / sqrt 2)) / 2 is smallest: the root of its derivative, found by bisection. The value there is flat, so the last
/// digits do not matter.
const GELU_LOWEST: f64 = -0.751_791_524_693_564_5;
/// The same of the form with tanh.
const GELU_TANH_LOWEST: f64 = -0.752_461_422_071_016_3;

/// What a program in f32 may compute for an argument inside `x`, and the real values.
pub fn unary(f: Unary, x: Interval) -> Interval {
    if x.is_whole() {
        return Interval::WHOLE;
    }
    match f {
        Unary::Sqrt | Unary::Log if x.low < 0.0 => Interval::WHOLE,
        // Limits in the wrong order: all arguments below `low` give `low`, all others lie above `high`.
        Unary::Clip { low, high } if low > high => Interval::new(f64::from(high), f64::from(low)),
        Unary::Elu { .. } | Unary::Selu { .. } | Unary::LeakyRelu { .. } | Unary::Absolute | Unary::Square => {
            hull(f, x, &[0.0])
        }
        Unary::Gelu => hull(f, x, &[GELU_LOWEST]),
        Unary::GeluTanh => hull(f, x, &[GELU_TANH_LOWEST]),
        Unary::HardSwish => hull(f, x, &[-3.0, -1.5, 3.0]),
        _ => hull(f, x, &[]),
    }
}

fn hull(f: Unary, x: Interval, critical: &[f64]) -> Interval {
    let (relative, absolute) = accuracy(f, x);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let inside = critical.iter().copied().filter(|c| x.low < *c && *c < x.high);
    for point in [x.low, x.high].into_iter().chain(inside) {
        let value = f.value(point);
        if value.is_nan() {
            return Interval::WHOLE;
        }
        let exact = relative == 0.0 && absolute == 0.0;
        low = low.min(if exact { value } else { below(value, relative, absolute) });
        high = high.max(if exact { value } else { above(value, relative, absolute) });
    }
    // Rounding keeps these signs, and kernels these limits, whatever their error.
    match f {
        Unary::Exp | Unary::Square | Unary::Sqrt => low = low.max(0.0),
        Unary::Tanh | Unary::Erf => (low, high) = (low.clamp(-1.0, 1.0), high.clamp(-1.0, 1.0)),
        Unary::Sigmoid | Unary::HardSigmoid { .. } => (low, high) = (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0)),
        _ => {}
    }
    overflow(Interval::new(low, high))
}

/// Largest error of a program's function over an interval of arguments: relative to the value, and absolute.
///
/// Limits and sign changes are exact. Products are rounded. Kernels of the transcendental functions have the stated relative accuracy;
/// where a kernel may subtract numbers that nearly cancel (e^x - 1, 1 + erf, logarithms near 1) an absolute error at the scale of the
/// operands is added.
pub fn accuracy(f: Unary, x: Interval) -> (f64, f64) {
    let negative = x.low <= 0.0;
    let cancels = |scale: f64| if negative { CANCELLATION * scale.abs() + FLOOR } else { FLOOR };
    match f {
        Unary::Negate | Unary::Absolute | Unary::Relu | Unary::Clip { .. } => (0.0, 0.0),
        Unary::LeakyRelu { .. } | Unary::Square | Unary::Sqrt => (2.0 * UNIT, FLOOR),
        Unary::Exp | Unary::Erf | Unary::Tanh | Unary::Sigmoid => (ACTIVATION, FLOOR),
        Unary::Log | Unary::Softplus => (ACTIVATION, CANCELLATION),
        Unary::Elu { alpha } => (ACTIVATION, cancels(f64::from(alpha))),
        Unary::Selu { alpha, gamma } => (ACTIVATION, cancels(f64::from(alpha) * f64::from(gamma))),
        Unary::Gelu | Unary::GeluTanh => (ACTIVATION, if negative { -ACTIVATION * x.low + FLOOR } else { FLOOR }),
        // Limiting to 0 and 1 makes no error larger, so the error is that of a product and a sum.
        Unary::HardSigmoid { alpha, beta } => {
            (0.0, gamma(4) * (f64::from(alpha).abs() * x.size() + f64::from(beta).abs()) + FLOOR)
        }
        Unary::HardSwish => (0.0, gamma(8) * x.size() * 1.01 + FLOOR),
    }
}

/// Range of the derivative; `v` is the function's value or argument as in [`Unary::slope`]. Kinks take both sides.
pub fn slope(f: Unary, v: Interval) -> Interval {
    let sides = |below: f64, above: f64, kinks: &[f64]| {
        let crossed = kinks.iter().any(|k| v.low <= *k && *k <= v.high);
        let all_above = kinks.iter().all(|k| v.low > *k);
        let (low, high) = (below.min(above), below.max(above));
        if crossed {
            Interval::new(low, high)
        } else if all_above {
            Interval::new(above, above)
        } else {
            Interval::new(below, below)
        }
    };
    let at = |critical: &[f64]| {
        let inside = critical.iter().copied().filter(|c| v.low < *c && *c < v.high);
        let mut values = [v.low, v.high].into_iter().chain(inside).map(|p| f.slope(p));
        values.try_fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| {
            (!s.is_nan()).then_some((low.min(s), high.max(s)))
        })
    };
    let exact = match f {
        _ if v.is_whole() => return Interval::WHOLE,
        Unary::Negate => Interval::new(-1.0, -1.0),
        Unary::Absolute => sides(-1.0, 1.0, &[0.0]),
        Unary::Relu => sides(0.0, 1.0, &[0.0]),
        Unary::LeakyRelu { slope } => sides(f64::from(slope), 1.0, &[0.0]),
        Unary::HardSigmoid { alpha, .. } => Interval::new(f64::from(alpha).min(0.0), f64::from(alpha).max(0.0)),
        Unary::Clip { .. } => Interval::new(0.0, 1.0),
        Unary::HardSwish => Interval::new(-0.5, 1.5),
        // The derivative of both forms stays between -0.13 and 1.13.
        Unary::Gelu | Unary::GeluTanh => Interval::new(-0.15, 1.15),
        Unary::Sqrt | Unary::Log if v.low <= 0.0 => return Interval::WHOLE,
        Unary::Elu { .. } | Unary::Selu { .. } => {
            let (Some((mut low, mut high)), kink) = (at(&[]), v.low <= 0.0 && v.high >= 0.0) else {
                return Interval::WHOLE;
            };
            if kink {
                for side in [f.slope(0.0), f.slope(f64::MIN_POSITIVE)] {
                    (low, high) = (low.min(side), high.max(side));
                }
            }
            Interval::new(low, high)
        }
        Unary::Tanh | Unary::Erf => at(&[0.0]).map_or(Interval::WHOLE, |(l, h)| Interval::new(l, h)),
        Unary::Sigmoid => at(&[0.5]).map_or(Interval::WHOLE, |(l, h)| Interval::new(l, h)),
        _ => at(&[]).map_or(Interval::WHOLE, |(l, h)| Interval::new(l, h)),
    };
    // A slope is a few operations on numbers of about its own size or 1, and one kernel at most.
    Interval::new(
        below(exact.low, 4.0 * ACTIVATION, 4.0 * ACTIVATION),
        above(exact.high, 4.0 * ACTIVATION, 4.0 * ACTIVATION),
    )
}
