//! The error function and both forms of gelu.
//!
//! Gelu keeps its relative precision in the negative tail, where x (1 + erf(x / sqrt 2)) / 2 would lose it: with the upper tail of the normal
//! distribution T(a) = erfc(a / sqrt 2) / 2 and a = |x| it is max(x, 0) - a T(a), and T(a) = e^(-a^2 / 2) times a quotient of polynomials.

use fearless_simd::{f32x16, prelude::*};

use super::UnaryFn;
use super::exp::{Reduced, bell};
use super::lanes::{Fused, above, below, exact_product, exact_sum, fill, polynomial};
use super::sigmoid::{logistic, odd_quotient};

/// erf x = x P(x^2) / Q(x^2) for |x| <= 3.85, by `models/tools/minimax.py`; relative error below 2^-24.
#[expect(clippy::approx_constant, reason = "the fit's own first coefficient, which happens to be 2 / sqrt pi")]
const ERF_P: [f32; 7] = [1.1283791, 0.19898428, 0.050479617, 0.0036736024, 0.00014218209, -1.9859528e-6, 2.0464457e-8];
const ERF_Q: [f32; 5] = [1.0, 0.5096768, 0.11463788, 0.014291053, 0.00095222954];

/// T(a) e^(a^2 / 2) = P(a) / Q(a) for 0 <= a <= 14.6, by `models/tools/minimax.py`; relative error below 2^-25.
const TAIL_P: [f32; 5] = [0.5, 0.43779698, 0.18287511, 0.040514264, 0.0040989877];
const TAIL_Q: [f32; 6] = [1.0, 1.6734788, 1.2009889, 0.46852124, 0.10156085, 0.010274514];
/// a T(a) rounds to 0 beyond.
const TAIL_END: f32 = 14.6;

/// The tanh form is x sigmoid(z) with z = 2 sqrt(2 / pi) (x + 0.044715 x^3) = `CUBE` x (`RATIO` + x^2).
const CUBE: f64 = core::f64::consts::FRAC_2_SQRT_PI * core::f64::consts::SQRT_2 * 0.044715;
const RATIO: f64 = 1.0 / 0.044715;
/// sigmoid(z) rounds to 1 above, x sigmoid(z) to 0 below the negative.
const CUBE_END: f32 = 11.5;

/// A constant as f32, and what rounding dropped.
const fn parts(value: f64) -> (f32, f32) {
    (value as f32, (value - value as f32 as f64) as f32)
}

/// Gauss error function.
#[derive(Clone, Copy)]
pub(crate) struct Erf;

impl UnaryFn for Erf {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        odd_quotient(x, ERF_P, ERF_Q)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        let parts = bell(v, 1.0);
        let slope = parts.times(parts.mantissa() * core::f32::consts::FRAC_2_SQRT_PI);
        above(v.abs(), 10.5, 0.0, slope)
    }
}

/// x (1 + erf(x / sqrt 2)) / 2
#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl UnaryFn for Gelu {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        let a = x.abs();
        let parts = bell(x, 0.5);
        let quotient = parts.mantissa() * (a * polynomial(a, TAIL_P)) / polynomial(a, TAIL_Q);
        let tail = above(a, TAIL_END, 0.0, parts.times(quotient));
        below(x, 0.0, 0.0, x) - tail
    }
    /// Below 0 it is T(a) - a phi(a) with the density phi; above 0 one less that.
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        const DENSITY: f32 = 0.5 * core::f32::consts::FRAC_2_SQRT_PI * core::f32::consts::FRAC_1_SQRT_2;
        let a = v.abs();
        let parts = bell(v, 0.5);
        let quotient = polynomial(a, TAIL_P) / polynomial(a, TAIL_Q);
        let below_0 = parts.times(parts.mantissa() * a.fma(-DENSITY, quotient));
        let below_0 = above(a, TAIL_END + 0.4, 0.0, below_0);
        v.simd_gt(0.0).select(fill(v, 1.0) - below_0, below_0)
    }
}

/// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
#[derive(Clone, Copy)]
pub(crate) struct GeluTanh;

/// The parts of e^-z. An error of z is a relative error of the result, and |z| reaches 100: sums and products keep what rounding drops.
#[inline(always)]
fn cubic<S: Simd>(x: f32x16<S>) -> Reduced<S> {
    const RATIO_PARTS: (f32, f32) = parts(RATIO);
    const CUBE_PARTS: (f32, f32) = parts(CUBE);
    let (square, square_rest) = exact_product(x, x);
    let (sum, sum_rest) = exact_sum(square, fill(x, RATIO_PARTS.0));
    let (product, product_rest) = exact_product(x, sum);
    let rest = x.fma(sum_rest + (square_rest + RATIO_PARTS.1), product_rest);
    Reduced::of_product(product, -CUBE_PARTS.0, -CUBE_PARTS.1).with(rest * -CUBE_PARTS.0)
}

impl UnaryFn for GeluTanh {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        let y = logistic(cubic(x), x);
        below(x, -CUBE_END, 0.0, x.simd_gt(CUBE_END).select(x, y))
    }
    /// s + x s (1 - s) dz/dx with s = sigmoid(z).
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        let s = logistic(cubic(v), fill(v, 1.0));
        let dz = (v * v).fma((3.0 * CUBE) as f32, (CUBE * RATIO) as f32);
        let slope = s * (v * (fill(v, 1.0) - s)).fma(dz, 1.0);
        above(v, CUBE_END, 1.0, below(v, -CUBE_END, 0.0, slope))
    }
}
