//! Sums, largest and smallest along an axis.
//!
//! Along the last axis there are 16 partial results, element `i` in lane `i % 16`, folded as 8 + 8, 4 + 4, 2 + 2, 1 + 1. Along any other
//! axis elements are taken one after the other. Which of the two is decided by the axis, not by sizes, so that rows do not change bits.

use fearless_simd::{Select, Simd, SimdBase, f32x16};

use super::{LANES, load, store};
use crate::op::ReduceKind;

/// Geometry: `outer` times `len` times `inner` numbers become `outer` times `inner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reduce {
    /// What is done.
    pub kind: ReduceKind,
    /// Numbers that go into each result.
    pub len: usize,
    /// Results that lie side by side; 1 along the last axis.
    pub inner: usize,
    /// True along the last axis.
    pub last: bool,
}

/// Runs it.
pub(crate) fn reduce<S: Simd>(simd: S, job: Reduce, x: &[f32], out: &mut [f32]) {
    simd.vectorize(
        #[inline(always)]
        || match job.kind {
            ReduceKind::Sum => with(
                simd,
                job,
                0.0,
                x,
                out,
                #[inline(always)]
                |a, b| a + b,
            ),
            ReduceKind::Maximum => with(
                simd,
                job,
                f32::NEG_INFINITY,
                x,
                out,
                #[inline(always)]
                |a, b| larger(a, b),
            ),
            ReduceKind::Minimum => with(
                simd,
                job,
                f32::INFINITY,
                x,
                out,
                #[inline(always)]
                |a, b| -larger(-a, -b),
            ),
        },
    );
}

/// The larger; NaN if either is.
#[inline(always)]
fn larger<S: Simd>(a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
    (b.simd_gt(a) | b.simd_ne(b)).select(b, a)
}

#[inline(always)]
fn with<S: Simd>(
    simd: S,
    job: Reduce,
    neutral: f32,
    x: &[f32],
    out: &mut [f32],
    join: impl Fn(f32x16<S>, f32x16<S>) -> f32x16<S>,
) {
    if job.last {
        for (row, out) in x.chunks_exact(job.len).zip(out) {
            *out = along(simd, neutral, row, &join);
        }
        return;
    }
    for (block, out) in x.chunks_exact(job.len * job.inner).zip(out.chunks_exact_mut(job.inner)) {
        for (column, out) in out.chunks_mut(LANES).enumerate() {
            let mut sum = f32x16::splat(simd, neutral);
            for line in block.chunks_exact(job.inner) {
                let line = &line[column * LANES..];
                sum = join(sum, load(simd, &line[..out.len()]));
            }
            store(sum, out);
        }
    }
}

/// One row into one number.
#[inline(always)]
fn along<S: Simd>(simd: S, neutral: f32, row: &[f32], join: &impl Fn(f32x16<S>, f32x16<S>) -> f32x16<S>) -> f32 {
    let (full, rest) = row.as_chunks::<LANES>();
    let mut sum = f32x16::splat(simd, neutral);
    for chunk in full {
        sum = join(sum, f32x16::load_array_ref(simd, chunk));
    }
    if !rest.is_empty() {
        let mut padded = [neutral; LANES];
        padded[..rest.len()].copy_from_slice(rest);
        sum = join(sum, f32x16::load_array(simd, padded));
    }
    for half in [8, 4, 2, 1] {
        let lanes = sum.to_array();
        let mut upper = lanes;
        upper[..half].copy_from_slice(&lanes[half..2 * half]);
        sum = join(sum, f32x16::load_array(simd, upper));
    }
    sum.to_array()[0]
}
