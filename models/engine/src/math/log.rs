//! The natural logarithm.

use fearless_simd::{f32x16, i32x16, prelude::*};

use super::UnaryFn;
use super::exp::{LN2_HIGH, LN2_LOW};
use super::lanes::{Fused, below, fill, polynomial};

/// (ln(1 + f) - f) / f^2 for sqrt(1/2) <= 1 + f <= sqrt(2), by `models/tools/minimax.py`; relative error of ln(1 + f) below 2^-27.
const TAIL: [f32; 9] =
    [-0.49999988, 0.33333322, -0.25001603, 0.20002206, -0.1660887, 0.14177437, -0.13240014, 0.12929796, -0.07659534];
/// Encoding of sqrt(1/2).
const SQRT_HALF: i32 = 0x3f35_04f3;
const EXPONENT: u32 = 23;

/// Natural logarithm; minus infinity at 0, NaN below.
#[derive(Clone, Copy)]
pub(crate) struct Log;

impl UnaryFn for Log {
    /// x = 2^k (1 + f), so ln x = k ln 2 + ln(1 + f); f is exact, which keeps the relative precision near 1.
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: f32x16<S>) -> f32x16<S> {
        let subnormal = x.simd_lt(f32::MIN_POSITIVE);
        let scaled = subnormal.select(x * (1_u32 << EXPONENT) as f32, x);
        let bits = scaled.bitcast::<i32x16<S>>();
        let k = (bits - SQRT_HALF) >> EXPONENT;
        let f = (bits - (k << EXPONENT)).bitcast::<f32x16<S>>() - 1.0;
        let shift = subnormal.select(i32x16::splat(simd, EXPONENT as i32), i32x16::splat(simd, 0));
        let k: f32x16<S> = (k - shift).to_float();
        let rest = (f * f).fma(polynomial(f, TAIL), k * LN2_LOW);
        let y = k.fma(LN2_HIGH, f + rest);
        // Infinity and NaN stay what they are.
        let y = x.simd_lt(f32::INFINITY).select(y, x);
        let y = x.simd_eq(0.0).select(fill(x, f32::NEG_INFINITY), y);
        below(x, 0.0, f32::NAN, y)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        fill(v, 1.0) / v
    }
}
