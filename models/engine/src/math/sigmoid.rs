//! tanh, sigmoid, softplus.

use fearless_simd::{f32x16, prelude::*};

use super::UnaryFn;
use super::exp::{Reduced, exp_of_negative, expm1_of_negative};
use super::lanes::{Fused, above, below, fill, polynomial};

/// tanh x = x P(x^2) / Q(x^2) for |x| <= 8.66, by `models/tools/minimax.py`; relative error below 2^-25.
const TANH_P: [f32; 5] = [1.0, 0.13405745, 0.0035250743, 2.1101585e-5, 1.4055018e-8];
const TANH_Q: [f32; 5] = [1.0, 0.4673907, 0.0259888, 0.00033341438, 8.0591775e-7];

/// (ln(1 + e) - e) / e^2 for 0 <= e <= 1, by `models/tools/minimax.py`; relative error of ln(1 + e) below 2^-27.
const LOG1P_TAIL: [f32; 9] =
    [-0.4999993, 0.33330464, -0.2495802, 0.19692121, -0.15344976, 0.10661361, -0.057460267, 0.02008826, -0.0032910071];

/// x P(x^2) / Q(x^2), limited to -1 and 1. For a large x the quotient must stay at 1 or above; `models/tools/minimax.py` looks at that.
#[inline(always)]
pub(super) fn odd_quotient<S: Simd, const N: usize, const M: usize>(
    x: f32x16<S>,
    p: [f32; N],
    q: [f32; M],
) -> f32x16<S> {
    let square = x * x;
    let (top, bottom) = (x * polynomial(square, p), polynomial(square, q));
    // Infinite for an x beyond 1e4; then the comparison still holds.
    top.abs().simd_ge(bottom).select(fill(x, 1.0).copysign(x), top / bottom)
}

/// `factor` / (1 + e^-z), given the parts of e^-z: |z| <= 170, garbage beyond.
#[inline(always)]
pub(super) fn logistic<S: Simd>(parts: Reduced<S>, factor: f32x16<S>) -> f32x16<S> {
    // 1 + m 2^a 2^b, times 2^-b above and below the line: nothing overflows, and a subnormal result is rounded once.
    let inverse = parts.inverse_upper_half();
    factor * inverse / parts.mantissa().fma(parts.lower_half(), inverse)
}

/// Hyperbolic tangent.
#[derive(Clone, Copy)]
pub(crate) struct Tanh;

impl UnaryFn for Tanh {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        odd_quotient(x, TANH_P, TANH_Q)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        (-v).fma(v, 1.0)
    }
}

/// 1 / (1 + e^-x)
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl UnaryFn for Sigmoid {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        let y = logistic(Reduced::new(-x), fill(x, 1.0));
        above(x, 105.0, 1.0, below(x, -105.0, 0.0, y))
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        (-v).fma(v, v)
    }
}

/// ln(1 + e^x)
#[derive(Clone, Copy)]
pub(crate) struct Softplus;

impl UnaryFn for Softplus {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        // max(x, 0) + ln(1 + e^-|x|)
        let e = exp_of_negative(-x.abs());
        below(x, 0.0, 0.0, x) + (e * e).fma(polynomial(e, LOG1P_TAIL), e)
    }
    /// From the value: sigmoid(x) = 1 - e^-softplus(x).
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        -expm1_of_negative(-v)
    }
}
