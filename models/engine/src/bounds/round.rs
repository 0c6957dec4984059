//! Rounding: how far a program in f32 can be from the real function, and how f64 results are pushed outwards.
//!
//! The *unit* of a format is the largest relative error of one rounding to nearest: 2^-24 in f32, 2^-53 in f64. `gamma(k)` is
//! k unit / (1 - k unit), the largest relative error of k roundings in a row (Higham, Accuracy and Stability of Numerical Algorithms,
//! 2nd ed. 2002, lemma 3.1). A sum of products in which each product passes through at most k roundings is off by at most gamma(k) times
//! the sum of the products' magnitudes, in any order, fused or not (ibid., section 3.1).

use super::Interval;

/// Unit of f32.
pub const UNIT: f64 = 1.0 / 16_777_216.0;
/// Unit of f64.
pub const UNIT_64: f64 = f64::EPSILON / 2.0;
/// Absolute error of one operation whose result is no normal number. Rounding to a subnormal errs by 2^-150 at most; the smallest normal
/// number also covers kernels that flush to zero.
pub const FLOOR: f64 = f32::MIN_POSITIVE as f64;
/// What is larger becomes infinite in f32.
pub const LARGEST: f64 = f32::MAX as f64;
/// Relative error of an activation's kernel: 1e-6, and a thousandth more for the f64 functions that stand for the real ones here.
pub const ACTIVATION: f64 = 1.001e-6;
/// Absolute error, per unit of scale, of kernels that subtract 1 from such an activation or add 1 to it.
pub const CANCELLATION: f64 = ACTIVATION + 4.0 * UNIT;
/// Relative error allowed to one f64 function and the few operations round it: `libm` stays below 1 ulp, this is 256.
pub const FUNCTION_64: f64 = 256.0 * f64::EPSILON;
/// Roundings in a row at most: a quarter of what would make `gamma` meaningless.
pub const ROUNDINGS_MAX: usize = 1 << 22;

/// Relative error of `k` roundings in f32. A thousandth is added: it covers the f64 arithmetic of this module on the same sums, whose
/// unit is 2^-29 times smaller.
pub fn gamma(k: usize) -> f64 {
    let error = k as f64 * UNIT;
    error / (1.0 - error) * (1.0 + 1.0 / 1024.0)
}

/// Relative error of `k` roundings in f64.
pub fn gamma_64(k: usize) -> f64 {
    let error = k as f64 * UNIT_64;
    error / (1.0 - error) * (1.0 + 1.0 / 1024.0)
}

/// `value` minus a relative and an absolute error; infinite values stay.
pub fn below(value: f64, relative: f64, absolute: f64) -> f64 {
    if value.is_finite() { (value - (relative * value.abs() + absolute)).next_down() } else { value }
}

/// `value` plus a relative and an absolute error; infinite values stay.
pub fn above(value: f64, relative: f64, absolute: f64) -> f64 {
    -below(-value, relative, absolute)
}

/// What f32 makes infinite is infinite.
pub fn overflow(x: Interval) -> Interval {
    Interval {
        low: if x.low < -LARGEST { f64::NEG_INFINITY } else { x.low },
        high: if x.high > LARGEST { f64::INFINITY } else { x.high },
    }
}
