//! e^x and what is made of it alone: elu, selu, the bell e^(-c x^2).
//!
//! e^x = 2^n e^r with n = round(x / ln 2), so |r| <= ln 2 / 2. r is x less n ln 2, subtracted in two parts (W. J. Cody and W. Waite, Software
//! Manual for the Elementary Functions, 1980); e^r is a polynomial. 2^n is applied in two *halves*, 2^floor(n / 2) and 2^ceil(n / 2): results
//! below 2^-126 are then rounded once to a subnormal number, and results beyond f32 become infinite. Where n is out of range
//! the lanes hold garbage until the last step selects the limit instead, so that comparisons run beside the polynomial.

use fearless_simd::{f32x16, i32x16, prelude::*};

use super::UnaryFn;
use super::lanes::{Fused, above, below, exact_product, fill, polynomial};

const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// The first 15 bits of ln 2: its product with a whole number below 2^9 is exact.
pub(super) const LN2_HIGH: f32 = 0.693_145_75;
/// ln 2 less `LN2_HIGH`.
pub(super) const LN2_LOW: f32 = 1.428_606_8e-6;
/// Added to |y| < 2^21 it leaves n = round(y), and the lowest bits of the sum hold the whole number n.
const ROUND: f32 = 12_582_912.0;
/// Bias of an exponent, as a float to be added to `ROUND` and as a place to shift to.
const BIAS: f32 = 127.0;
const EXPONENT: u32 = 23;
/// (e^r - 1 - r) / r^2, by `models/tools/minimax.py`; relative error of e^r - 1 below 2^-26.
const TAIL: [f32; 5] = [0.49999997, 0.16666546, 0.041667435, 0.008366259, 0.0013870649];

/// Beyond these e^x is infinite or rounds to 0. n / 2 stays far within the exponents of f32.
const INFINITE: f32 = 89.0;
const VANISHED: f32 = -105.0;

/// e^x = 2^n e^r.
#[derive(Clone, Copy)]
pub(super) struct Reduced<S: Simd> {
    /// n + 254 in the lowest 9 bits: halves of it are biased exponents.
    halves: i32x16<S>,
    /// |r| <= ln 2 / 2
    r: f32x16<S>,
}

impl<S: Simd> Reduced<S> {
    /// Of e^x for |x| <= 170; garbage beyond.
    #[inline(always)]
    pub(super) fn new(x: f32x16<S>) -> Self {
        Self::of_product(x, 1.0, 0.0)
    }

    /// Of e^(c y) where c = `c` + `c_rest`.
    #[inline(always)]
    pub(super) fn of_product(y: f32x16<S>, c: f32, c_rest: f32) -> Self {
        let sum = y.fma(c * LOG2_E, ROUND + 2.0 * BIAS);
        let n = sum - (ROUND + 2.0 * BIAS);
        let r = if c == 1.0 { n.fma(-LN2_HIGH, y) } else { y.fma(c, n * -LN2_HIGH) };
        let r = if c_rest == 0.0 { r } else { y.fma(c_rest, r) };
        Self { halves: sum.bitcast(), r: n.fma(-LN2_LOW, r) }
    }

    /// Times e^rest, for a `rest` that does not move n.
    #[inline(always)]
    pub(super) fn with(self, rest: f32x16<S>) -> Self {
        Self { r: self.r + rest, ..self }
    }

    /// e^r
    #[inline(always)]
    pub(super) fn mantissa(self) -> f32x16<S> {
        polynomial(self.r, [1.0, 1.0, TAIL[0], TAIL[1], TAIL[2], TAIL[3], TAIL[4]])
    }

    /// 2^floor(n / 2)
    #[inline(always)]
    pub(super) fn lower_half(self) -> f32x16<S> {
        ((self.halves >> 1) << EXPONENT).bitcast()
    }

    /// 2^ceil(n / 2)
    #[inline(always)]
    pub(super) fn upper_half(self) -> f32x16<S> {
        ((self.halves - (self.halves >> 1)) << EXPONENT).bitcast()
    }

    /// 2^-ceil(n / 2)
    #[inline(always)]
    pub(super) fn inverse_upper_half(self) -> f32x16<S> {
        let rest = i32x16::splat(self.r.token(), 254) - self.halves;
        ((rest + (self.halves >> 1)) << EXPONENT).bitcast()
    }

    /// `factor` e^x, rounded once where it is subnormal.
    #[inline(always)]
    pub(super) fn times(self, factor: f32x16<S>) -> f32x16<S> {
        factor * self.lower_half() * self.upper_half()
    }
}

/// e^x
#[inline(always)]
pub(crate) fn exp<S: Simd>(x: f32x16<S>) -> f32x16<S> {
    let parts = Reduced::new(x);
    let y = parts.times(parts.mantissa());
    above(x, INFINITE, f32::INFINITY, below(x, VANISHED, 0.0, y))
}

/// e^x for x <= 0.
#[inline(always)]
pub(super) fn exp_of_negative<S: Simd>(x: f32x16<S>) -> f32x16<S> {
    let parts = Reduced::new(x);
    below(x, VANISHED, 0.0, parts.times(parts.mantissa()))
}

/// e^x - 1 for x <= 0, with its relative precision near 0.
#[inline(always)]
pub(super) fn expm1_of_negative<S: Simd>(x: f32x16<S>) -> f32x16<S> {
    // -1 in f32 from here on, so 2^n needs no halves.
    const MINUS_ONE: f32 = -18.0;
    let sum = x.fma(LOG2_E, ROUND + BIAS);
    let n = sum - (ROUND + BIAS);
    let r = n.fma(-LN2_LOW, n.fma(-LN2_HIGH, x));
    let scale: f32x16<S> = (sum.bitcast::<i32x16<S>>() << EXPONENT).bitcast();
    let of_r = (r * r).fma(polynomial(r, TAIL), r);
    below(x, MINUS_ONE, -1.0, of_r.fma(scale, scale - 1.0))
}

/// The parts of e^(-c x^2) for c = 1 or 1/2 and |x| <= 13. The square is kept with what rounding drops: e^-80 would feel it.
#[inline(always)]
pub(super) fn bell<S: Simd>(x: f32x16<S>, c: f32) -> Reduced<S> {
    let (square, rest) = exact_product(x, x);
    Reduced::new(square * -c).with(rest * -c)
}

/// gamma x above 0, gamma alpha (e^x - 1) below; `product` is gamma alpha.
#[inline(always)]
fn scaled_elu<S: Simd>(x: f32x16<S>, product: f32, gamma: f32) -> f32x16<S> {
    let zero = fill(x, 0.0);
    let positive = x.simd_gt(0.0);
    // A sum of two parts, one of which is 0: a last selection between x and y would become a masked store, which is slow on AVX2.
    expm1_of_negative(positive.select(zero, x)).fma(product, positive.select(x * gamma, zero))
}

/// e^x
#[derive(Clone, Copy)]
pub(crate) struct Exp;

impl UnaryFn for Exp {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        exp(x)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        v
    }
}

/// x above 0, alpha (e^x - 1) below.
#[derive(Clone, Copy)]
pub(crate) struct Elu {
    /// As in [`crate::Unary::Elu`].
    pub(crate) alpha: f32,
}

impl UnaryFn for Elu {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        scaled_elu(x, self.alpha, 1.0)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        above(v, 0.0, 1.0, v + self.alpha)
    }
}

/// gamma x above 0, gamma alpha (e^x - 1) below.
#[derive(Clone, Copy)]
pub(crate) struct Selu {
    /// As in [`crate::Unary::Selu`].
    pub(crate) alpha: f32,
    /// As in [`crate::Unary::Selu`].
    pub(crate) gamma: f32,
}

impl UnaryFn for Selu {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        scaled_elu(x, self.alpha * self.gamma, self.gamma)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        above(v, 0.0, self.gamma, v + self.alpha * self.gamma)
    }
}
