//! Functions of one or two tensors, element by element: the loops round [`crate::math`].
//!
//! Each function gets a loop of its own per instruction set, with no choice inside. The choice is made once, outside of the code that the
//! instruction set is enabled for: one large function with all loops in it takes the compiler minutes.

use fearless_simd::{Simd, SimdBase, f32x16};

use super::{LANES, load, store};
use crate::math::{BinaryFn, BinaryVisitor, UnaryFn, UnaryVisitor, with_binary, with_unary};
use crate::op::{Binary, Unary};

/// `function` of every number of `from`, written to `to`. Lengths are equal.
pub(crate) fn unary<S: Simd>(simd: S, function: Unary, from: &[f32], to: &mut [f32]) {
    with_unary(function, Each { simd, from: Some(from), to });
}

/// `function` of every number, in its place.
pub(crate) fn unary_in_place<S: Simd>(simd: S, function: Unary, numbers: &mut [f32]) {
    with_unary(function, Each { simd, from: None, to: numbers });
}

/// `function` of pairs. A side is as long as `to`, or one number that stands for all.
pub(crate) fn binary<S: Simd>(simd: S, function: Binary, a: &[f32], b: &[f32], to: &mut [f32]) {
    with_binary(function, Pairs { simd, a, b, to });
}

struct Each<'a, S> {
    simd: S,
    /// None: what is in `to` already. One loop for both keeps the code small.
    from: Option<&'a [f32]>,
    to: &'a mut [f32],
}

impl<S: Simd> UnaryVisitor for Each<'_, S> {
    type Out = ();

    #[inline(always)]
    fn visit<F: UnaryFn>(self, function: F) {
        let Self { simd, from, to } = self;
        simd.vectorize(
            #[inline(always)]
            || {
                for (i, to) in to.chunks_mut(LANES).enumerate() {
                    let x = match from {
                        Some(from) => load(simd, &from[i * LANES..]),
                        None => load(simd, to),
                    };
                    store(function.apply(simd, x), to);
                }
            },
        );
    }
}

struct Pairs<'a, S> {
    simd: S,
    a: &'a [f32],
    b: &'a [f32],
    to: &'a mut [f32],
}

impl<S: Simd> BinaryVisitor for Pairs<'_, S> {
    type Out = ();

    #[inline(always)]
    fn visit<F: BinaryFn>(self, function: F) {
        let Self { simd, a, b, to } = self;
        simd.vectorize(
            #[inline(always)]
            || {
                let (a, b) = (Side::of(simd, a, to.len()), Side::of(simd, b, to.len()));
                for (i, to) in to.chunks_mut(LANES).enumerate() {
                    store(function.apply(simd, a.vector(simd, i), b.vector(simd, i)), to);
                }
            },
        );
    }
}

/// One side of a pair: a list, or one number in all lanes.
struct Side<'a, S: Simd> {
    list: Option<&'a [f32]>,
    all: f32x16<S>,
}

impl<'a, S: Simd> Side<'a, S> {
    #[inline(always)]
    fn of(simd: S, numbers: &'a [f32], len: usize) -> Self {
        let list = (numbers.len() == len).then_some(numbers);
        Self { list, all: f32x16::splat(simd, numbers.first().copied().unwrap_or(0.0)) }
    }

    #[inline(always)]
    fn vector(&self, simd: S, i: usize) -> f32x16<S> {
        match self.list {
            Some(list) => load(simd, &list[i * LANES..]),
            None => self.all,
        }
    }
}
