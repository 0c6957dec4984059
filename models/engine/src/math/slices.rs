//! Functions over slices of any length: for tests, measurements and whoever stands outside of a program.

use fearless_simd::{Level, dispatch, f32x16, prelude::*};

use super::{BinaryFn, BinaryVisitor, UnaryFn, UnaryVisitor, with_binary, with_unary};
use crate::op::{Binary, Unary};

const LANES: usize = 16;

/// `function` of every number of `from`, written to `to`. The same bits at every level. Bounded by the length; allocates nothing.
///
/// # Panics
/// The lengths differ.
pub fn apply_unary(level: Level, function: Unary, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "numbers read and written");
    if let Level::Fallback(simd) = level {
        with_unary(function, Slices { simd, a: from, b: from, to })
    }
}

/// `function` of every pair of `a` and `b`, written to `to`. The same bits at every level. Bounded by the length; allocates nothing.
///
/// # Panics
/// The lengths differ.
pub fn apply_binary(level: Level, function: Binary, a: &[f32], b: &[f32], to: &mut [f32]) {
    assert_eq!(a.len(), b.len(), "numbers on both sides");
    assert_eq!(a.len(), to.len(), "numbers read and written");
    if let Level::Fallback(simd) = level {
        with_binary(function, Slices { simd, a, b, to })
    }
}

/// `b` is not read by functions of one number.
struct Slices<'a, S> {
    simd: S,
    a: &'a [f32],
    b: &'a [f32],
    to: &'a mut [f32],
}

impl<S: Simd> UnaryVisitor for Slices<'_, S> {
    type Out = ();

    #[inline(never)]
    fn visit<F: UnaryFn>(self, function: F) {
        self.simd.vectorize(
            #[inline(always)]
            || {
                let (from, rest) = self.a.as_chunks::<LANES>();
                let (to, to_rest) = self.to.as_chunks_mut::<LANES>();
                let (last, mut last_to) = (padded(rest), [0.0; LANES]);
                for (x, y) in from.iter().chain([&last]).zip(to.iter_mut().chain([&mut last_to])) {
                    *y = function.apply(self.simd, f32x16::simd_from(self.simd, *x)).into();
                }
                to_rest.copy_from_slice(&last_to[..rest.len()]);
            },
        )
    }
}

impl<S: Simd> BinaryVisitor for Slices<'_, S> {
    type Out = ();

    #[inline(never)]
    fn visit<F: BinaryFn>(self, function: F) {
        self.simd.vectorize(
            #[inline(always)]
            || {
                let (a, a_rest) = self.a.as_chunks::<LANES>();
                let (b, b_rest) = self.b.as_chunks::<LANES>();
                let (to, to_rest) = self.to.as_chunks_mut::<LANES>();
                let (a_last, b_last, mut last_to) = (padded(a_rest), padded(b_rest), [0.0; LANES]);
                let pairs = a.iter().chain([&a_last]).zip(b.iter().chain([&b_last]));
                for ((a, b), y) in pairs.zip(to.iter_mut().chain([&mut last_to])) {
                    let (a, b) = (f32x16::simd_from(self.simd, *a), f32x16::simd_from(self.simd, *b));
                    *y = function.apply(self.simd, a, b).into();
                }
                to_rest.copy_from_slice(&last_to[..a_rest.len()]);
            },
        )
    }
}

/// The numbers that are left, and zeros.
fn padded(rest: &[f32]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    lanes
}
