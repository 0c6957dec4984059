//! Functions of two numbers.

use fearless_simd::{f32x16, prelude::*};

use super::lanes::fill;
use super::{BinaryFn, UnaryFn};

/// a + b
#[derive(Clone, Copy)]
pub(crate) struct Add;

impl BinaryFn for Add {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        a + b
    }
}

/// a - b
#[derive(Clone, Copy)]
pub(crate) struct Subtract;

impl BinaryFn for Subtract {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        a - b
    }
}

/// a b
#[derive(Clone, Copy)]
pub(crate) struct Multiply;

impl BinaryFn for Multiply {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        a * b
    }
}

/// a / b
#[derive(Clone, Copy)]
pub(crate) struct Divide;

impl BinaryFn for Divide {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        a / b
    }
}

/// The smaller; b where both are equal.
#[derive(Clone, Copy)]
pub(crate) struct Minimum;

impl BinaryFn for Minimum {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        (a.simd_lt(b) | !a.simd_eq(a)).select(a, b)
    }
}

/// The larger; b where both are equal.
#[derive(Clone, Copy)]
pub(crate) struct Maximum;

impl BinaryFn for Maximum {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        (a.simd_gt(b) | !a.simd_eq(a)).select(a, b)
    }
}

/// a above 0, b a below.
#[derive(Clone, Copy)]
pub(crate) struct PRelu;

impl BinaryFn for PRelu {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        a.simd_lt(0.0).select(a * b, a)
    }
}

/// 1 where a > b, else 0.
#[derive(Clone, Copy)]
pub(crate) struct Greater;

impl BinaryFn for Greater {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        a.simd_gt(b).select(fill(a, 1.0), fill(a, 0.0))
    }
}

/// 1 where a = b, else 0.
#[derive(Clone, Copy)]
pub(crate) struct Equal;

impl BinaryFn for Equal {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        a.simd_eq(b).select(fill(a, 1.0), fill(a, 0.0))
    }
}

/// a times the derivative of a function at b.
#[derive(Clone, Copy)]
pub(crate) struct Slope<F>(pub(crate) F);

impl<F: UnaryFn> BinaryFn for Slope<F> {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        a * self.0.slope(simd, b)
    }
}
