//! Functions without transcendental parts: absolute value, square, root, and the activations made of straight lines and parabolas.
//!
//! Selections are written so that NaN falls through to the side that keeps it.

use fearless_simd::{f32x16, prelude::*};

use super::UnaryFn;
use super::lanes::{Fused, above, below, fill, unless_nan};

/// x limited to `low` and `high`.
#[inline(always)]
fn clip<S: Simd>(x: f32x16<S>, low: f32, high: f32) -> f32x16<S> {
    below(x, low, low, above(x, high, high, x))
}

/// 1 where `low` < v < `high`, else 0.
#[inline(always)]
fn inside<S: Simd>(v: f32x16<S>, low: f32, high: f32) -> f32x16<S> {
    let inside = v.simd_gt(low) & v.simd_lt(high);
    unless_nan(v, inside.select(fill(v, 1.0), fill(v, 0.0)))
}

/// -x
#[derive(Clone, Copy)]
pub(crate) struct Negate;

impl UnaryFn for Negate {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        -x
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        unless_nan(v, fill(v, -1.0))
    }
}

/// |x|
#[derive(Clone, Copy)]
pub(crate) struct Absolute;

impl UnaryFn for Absolute {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        x.abs()
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        // 0 and NaN are their own slopes.
        above(v, 0.0, 1.0, below(v, 0.0, -1.0, v))
    }
}

/// x^2
#[derive(Clone, Copy)]
pub(crate) struct Square;

impl UnaryFn for Square {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        x * x
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        v + v
    }
}

/// Square root; NaN below 0.
#[derive(Clone, Copy)]
pub(crate) struct Sqrt;

impl UnaryFn for Sqrt {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        x.sqrt()
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        fill(v, 0.5) / v
    }
}

/// max(x, 0)
#[derive(Clone, Copy)]
pub(crate) struct Relu;

impl UnaryFn for Relu {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        below(x, 0.0, 0.0, x)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        above(v, 0.0, 1.0, below(v, 0.0, 0.0, v))
    }
}

/// x above 0, `slope` x below.
#[derive(Clone, Copy)]
pub(crate) struct LeakyRelu {
    /// As in [`crate::Unary::LeakyRelu`].
    pub(crate) slope: f32,
}

impl UnaryFn for LeakyRelu {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        x.simd_lt(0.0).select(x * self.slope, x)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        unless_nan(v, above(v, 0.0, 1.0, fill(v, self.slope)))
    }
}

/// alpha x + beta, limited to 0 and 1.
#[derive(Clone, Copy)]
pub(crate) struct HardSigmoid {
    /// As in [`crate::Unary::HardSigmoid`].
    pub(crate) alpha: f32,
    /// As in [`crate::Unary::HardSigmoid`].
    pub(crate) beta: f32,
}

impl HardSigmoid {
    #[inline(always)]
    fn line<S: Simd>(self, x: f32x16<S>) -> f32x16<S> {
        x.fma(self.alpha, self.beta)
    }
}

impl UnaryFn for HardSigmoid {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        clip(self.line(x), 0.0, 1.0)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        inside(self.line(v), 0.0, 1.0) * self.alpha
    }
}

/// x times (x + 3) / 6 limited to 0 and 1.
#[derive(Clone, Copy)]
pub(crate) struct HardSwish;

impl UnaryFn for HardSwish {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        // x + 3 is exact near -3, where x / 6 + 1 / 2 would lose its digits.
        let y = x * (x + 3.0) * (1.0 / 6.0);
        x.simd_lt(-3.0).select(fill(x, 0.0), x.simd_gt(3.0).select(x, y))
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        let line = v.fma(1.0 / 3.0, 0.5);
        v.simd_le(-3.0).select(fill(v, 0.0), v.simd_ge(3.0).select(fill(v, 1.0), line))
    }
}

/// x limited to `low` and `high`.
#[derive(Clone, Copy)]
pub(crate) struct Clip {
    /// As in [`crate::Unary::Clip`].
    pub(crate) low: f32,
    /// As in [`crate::Unary::Clip`].
    pub(crate) high: f32,
}

impl UnaryFn for Clip {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: f32x16<S>) -> f32x16<S> {
        clip(x, self.low, self.high)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, _: S, v: f32x16<S>) -> f32x16<S> {
        inside(v, self.low, self.high)
    }
}
