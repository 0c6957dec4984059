//! Convolution with step 1 along the last axis: the kernel slides over the positions, lanes lie across them.
//!
//! Terms are taken in the order channel, tap (row-major as in the weights), split into partial sums as a dense product with as many
//! outputs would be ([`super::order`]): gathering the taps and multiplying gives the same bits.

use fearless_simd::{Simd, SimdBase, f32x16};

use super::dense::combine;
use super::order::groups;
use super::{LANES, load, store};
use crate::math::Fused;

/// Geometry of one convolution without padding, per sample and group of channels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slide {
    /// Samples.
    pub samples: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Numbers of one sample and group of the input.
    pub group_len: usize,
    /// Output channels per group.
    pub channels: usize,
    /// Rows of output positions, and the input's distance between them.
    pub rows: usize,
    /// Distance of two rows in the input.
    pub row_step: usize,
    /// Output positions per row, at least [`LANES`].
    pub positions: usize,
    /// Place of each term's first number in the group.
    pub offsets: Vec<u32>,
}

/// Runs it. `weights` are [groups, channels, terms], `bias` is [groups, channels] or empty.
pub(crate) fn slide<S: Simd>(simd: S, job: &Slide, x: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
    simd.vectorize(
        #[inline(always)]
        || {
            let (terms, plane) = (job.offsets.len(), job.rows * job.positions);
            let parts = x.chunks_exact(job.group_len).zip(out.chunks_exact_mut(job.channels * plane));
            for (part, (x, out)) in parts.enumerate() {
                let first = part % job.groups * job.channels;
                for group in groups(job.channels) {
                    let weights = &weights[(first + group.first) * terms..][..group.outputs * terms];
                    let bias = if bias.is_empty() { bias } else { &bias[first + group.first..][..group.outputs] };
                    let out = &mut out[group.first * plane..][..group.outputs * plane];
                    match group.vectors {
                        4 => channels::<S, 1, 4>(simd, job, x, weights, bias, out),
                        2 => channels::<S, 2, 2>(simd, job, x, weights, bias, out),
                        _ => channels::<S, 4, 1>(simd, job, x, weights, bias, out),
                    }
                }
            }
        },
    );
}

/// All channels of one group of outputs with `K` partial sums; with wide registers, tiles of 4 channels by `N` vectors.
#[inline(always)]
fn channels<S: Simd, const K: usize, const N: usize>(
    simd: S,
    job: &Slide,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    let count = out.len() / (job.rows * job.positions);
    let wide = <S::f32s as SimdBase<S>>::LEN == LANES;
    let mut channel = 0;
    if wide {
        while channel + 4 <= count {
            positions::<S, 4, N, K>(simd, job, x, weights, bias, channel, out);
            channel += 4;
        }
    }
    // On slow paths one channel at a time: nothing is gained by more, and the code stays small.
    while <S::f32s as SimdBase<S>>::LEN >= LANES / 2 && channel + 2 <= count {
        positions::<S, 2, 1, K>(simd, job, x, weights, bias, channel, out);
        channel += 2;
    }
    while channel < count {
        positions::<S, 1, 1, K>(simd, job, x, weights, bias, channel, out);
        channel += 1;
    }
}

/// `R` channels at every position.
#[inline(always)]
fn positions<S: Simd, const R: usize, const N: usize, const K: usize>(
    simd: S,
    job: &Slide,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    channel: usize,
    out: &mut [f32],
) {
    let terms = job.offsets.len();
    let weights: [&[f32]; R] = core::array::from_fn(|r| &weights[(channel + r) * terms..][..terms]);
    let start: [f32; R] = core::array::from_fn(|r| bias.get(channel + r).copied().unwrap_or(0.0));
    for row in 0..job.rows {
        let from = row * job.row_step;
        let mut at = 0;
        let mut write = |at: usize, r: usize, value: f32x16<S>| {
            let place = ((channel + r) * job.rows + row) * job.positions + at;
            store(value, &mut out[place..place + LANES]);
        };
        while at + N * LANES <= job.positions {
            let sums = tile::<S, R, N, K>(simd, &job.offsets, x, from + at, &weights, &start);
            for (r, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    write(at + v * LANES, r, *sum);
                }
            }
            at += N * LANES;
        }
        while at < job.positions {
            // The last vector overlaps the one before: the same numbers are written twice.
            let here = at.min(job.positions - LANES);
            let sums = tile::<S, R, 1, K>(simd, &job.offsets, x, from + here, &weights, &start);
            for (r, [sum]) in sums.iter().enumerate() {
                write(here, r, *sum);
            }
            at += LANES;
        }
    }
}

#[inline(always)]
fn tile<S: Simd, const R: usize, const N: usize, const K: usize>(
    simd: S,
    offsets: &[u32],
    x: &[f32],
    from: usize,
    weights: &[&[f32]; R],
    start: &[f32; R],
) -> [[f32x16<S>; N]; R] {
    let mut sums = [[[f32x16::splat(simd, 0.0); K]; N]; R];
    for (sums, start) in sums.iter_mut().zip(start) {
        for sums in sums {
            sums[0] = f32x16::splat(simd, *start);
        }
    }
    let (steps, rest) = offsets.as_chunks::<K>();
    for (i, step) in steps.iter().enumerate() {
        for (k, offset) in step.iter().enumerate() {
            multiply_add(simd, x, from + *offset as usize, weights, i * K + k, k, &mut sums);
        }
    }
    for (k, offset) in rest.iter().enumerate() {
        multiply_add(simd, x, from + *offset as usize, weights, steps.len() * K + k, k, &mut sums);
    }
    core::array::from_fn(|r| core::array::from_fn(|v| combine(&sums[r][v])))
}

#[inline(always)]
fn multiply_add<S: Simd, const R: usize, const N: usize, const K: usize>(
    simd: S,
    x: &[f32],
    at: usize,
    weights: &[&[f32]; R],
    term: usize,
    k: usize,
    sums: &mut [[[f32x16<S>; K]; N]; R],
) {
    let x = &x[at..at + N * LANES];
    for v in 0..N {
        let x = load(simd, &x[v * LANES..]);
        for r in 0..R {
            sums[r][v][k] = f32x16::splat(simd, weights[r][term]).fma(x, sums[r][v][k]);
        }
    }
}
