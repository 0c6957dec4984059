//! Convolution with step 1 along the last axis: the kernel slides over the positions, lanes lie across them.
//!
//! Terms are counted channel, tap (row-major as in the weights) and split into partial sums as in a dense product with as many outputs
//! ([`super::order`]): gathering the taps and multiplying gives the same bits. Here one partial sum after the other is taken, because there are
//! positions enough to keep the processor busy; so terms are kept in the order of their partial sums.

use fearless_simd::{Simd, SimdBase, f32x16};

use super::dense::{floor, raise};
use super::order::{Group, groups};
use super::{LANES, load, store};
use crate::math::Fused;

/// Output channels that are computed together.
const TILE: usize = 4;

/// Geometry of one convolution without padding, per sample and group of channels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slide {
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
    /// Whether relu is taken of the results.
    pub relu: bool,
}

/// Numbers of the packed form of weights [groups, channels, terms] and biases.
pub(crate) fn packed_len(channel_groups: usize, channels: usize, terms: usize) -> usize {
    let tiles: usize = groups(channels).map(|g| g.outputs.div_ceil(TILE)).sum();
    channel_groups * tiles * TILE * (1 + terms)
}

/// Packs weights [groups, channels, terms] and biases (or none): tile after tile its biases, then its terms in the order of the partial sums,
/// padded with zeros.
pub(crate) fn pack(weights: &[f32], bias: &[f32], channels: usize, terms: usize, packed: &mut [f32]) {
    let mut cells = packed.chunks_exact_mut(TILE);
    let mut put = |of: &dyn Fn(usize) -> Option<f32>| {
        for (i, number) in cells.next().into_iter().flatten().enumerate() {
            *number = of(i).unwrap_or(0.0);
        }
    };
    for (part, weights) in weights.chunks_exact(channels * terms).enumerate() {
        for group in groups(channels) {
            for tile in (0..group.outputs).step_by(TILE) {
                let channel = |i: usize| (tile + i < group.outputs).then_some(group.first + tile + i);
                put(&|i| channel(i).and_then(|c| bias.get(part * channels + c).copied()));
                for term in by_split(group, terms) {
                    put(&|i| channel(i).map(|c| weights[c * terms + term]));
                }
            }
        }
    }
}

/// Terms in the order of their partial sums.
fn by_split(group: Group, terms: usize) -> impl Iterator<Item = usize> {
    let splits = group.splits();
    (0..splits).flat_map(move |k| (k..terms).step_by(splits))
}

/// Offsets in the order of partial sums of each group of outputs, one list after the other.
pub(crate) fn order_offsets(channels: usize, offsets: &[u32]) -> Vec<u32> {
    groups(channels).flat_map(|g| by_split(g, offsets.len()).collect::<Vec<_>>()).map(|i| offsets[i]).collect()
}

/// Runs it on weights and biases in packed form.
pub(crate) fn slide<S: Simd>(simd: S, job: &Slide, x: &[f32], packed: &[f32], out: &mut [f32]) {
    simd.vectorize(
        #[inline(always)]
        || {
            let plane = job.rows * job.positions;
            let count = groups(job.channels).count();
            let terms = job.offsets.len() / count.max(1);
            let per_group = packed.len() / job.groups;
            let parts = x.chunks_exact(job.group_len).zip(out.chunks_exact_mut(job.channels * plane));
            for (part, (x, out)) in parts.enumerate() {
                let mut packed = &packed[part % job.groups * per_group..][..per_group];
                for (group, offsets) in groups(job.channels).zip(job.offsets.chunks_exact(terms)) {
                    let out = &mut out[group.first * plane..][..group.outputs * plane];
                    for tile in out.chunks_mut(TILE * plane) {
                        let (own, rest) = packed.split_at(TILE * (1 + terms));
                        packed = rest;
                        match group.splits() {
                            1 => positions::<S, 1>(simd, job, offsets, x, own, tile),
                            2 => positions::<S, 2>(simd, job, offsets, x, own, tile),
                            _ => positions::<S, 4>(simd, job, offsets, x, own, tile),
                        }
                    }
                }
            }
        },
    );
}

/// One tile of channels at every position.
#[inline(always)]
fn positions<S: Simd, const K: usize>(
    simd: S,
    job: &Slide,
    offsets: &[u32],
    x: &[f32],
    packed: &[f32],
    out: &mut [f32],
) {
    let wide = <S::f32s as SimdBase<S>>::LEN == LANES;
    let plane = job.rows * job.positions;
    let floor = floor(simd, job.relu);
    for row in 0..job.rows {
        let (from, to) = (row * job.row_step, row * job.positions);
        let mut at = 0;
        // 16 sums fit into 32 wide registers, 4 into 16 narrow ones.
        while wide && at + 4 * LANES <= job.positions {
            let sums = tile::<S, 4, K>(simd, offsets, &x[from + at..], packed);
            write(&sums, floor, out, plane, to + at);
            at += 4 * LANES;
        }
        while at < job.positions {
            // The last vector overlaps the one before: the same numbers are written twice.
            let here = at.min(job.positions - LANES);
            let sums = tile::<S, 1, K>(simd, offsets, &x[from + here..], packed);
            write(&sums, floor, out, plane, to + here);
            at += LANES;
        }
    }
}

#[inline(always)]
fn write<S: Simd, const N: usize>(
    sums: &[[f32x16<S>; N]; TILE],
    floor: f32x16<S>,
    out: &mut [f32],
    plane: usize,
    at: usize,
) {
    for (channel, sums) in out.chunks_exact_mut(plane).zip(sums) {
        for (v, sum) in sums.iter().enumerate() {
            store(raise(*sum, floor), &mut channel[at + v * LANES..][..LANES]);
        }
    }
}

/// `N` vectors of positions of one tile: partial sums one after the other, added as (0 + 1) + (2 + 3).
#[inline(always)]
fn tile<S: Simd, const N: usize, const K: usize>(
    simd: S,
    offsets: &[u32],
    x: &[f32],
    packed: &[f32],
) -> [[f32x16<S>; N]; TILE] {
    let (bias, weights) = packed.split_at(TILE);
    let mut begin = [0.0; TILE];
    begin.copy_from_slice(bias);
    let zero = [0.0; TILE];
    let weights = weights.as_chunks::<TILE>().0;
    // Partial sum k has a K-th of the terms; the first ones have one more when there is a remainder.
    let (share, more) = (offsets.len() / K, offsets.len() % K);
    let bound = [0, share + usize::from(more > 0), 2 * share + more.min(2), 3 * share + more, offsets.len()];
    let part = |k: usize| (&offsets[bound[k]..bound[k + 1]], &weights[bound[k]..bound[k + 1]]);
    match K {
        1 => partial::<S, N>(simd, offsets, x, weights, begin),
        2 => {
            let half = bound[1];
            let a = partial::<S, N>(simd, &offsets[..half], x, &weights[..half], begin);
            let b = partial::<S, N>(simd, &offsets[half..], x, &weights[half..], zero);
            add(&a, &b)
        }
        _ => {
            let (o, w) = part(0);
            let a = partial::<S, N>(simd, o, x, w, begin);
            let (o, w) = part(1);
            let ab = add(&a, &partial::<S, N>(simd, o, x, w, zero));
            let (o, w) = part(2);
            let c = partial::<S, N>(simd, o, x, w, zero);
            let (o, w) = part(3);
            add(&ab, &add(&c, &partial::<S, N>(simd, o, x, w, zero)))
        }
    }
}

#[inline(always)]
fn add<S: Simd, const N: usize>(a: &[[f32x16<S>; N]; TILE], b: &[[f32x16<S>; N]; TILE]) -> [[f32x16<S>; N]; TILE] {
    let mut sums = *a;
    for (sums, b) in sums.iter_mut().zip(b) {
        for (sum, b) in sums.iter_mut().zip(b) {
            *sum += *b;
        }
    }
    sums
}

#[inline(always)]
fn partial<S: Simd, const N: usize>(
    simd: S,
    offsets: &[u32],
    x: &[f32],
    weights: &[[f32; TILE]],
    start: [f32; TILE],
) -> [[f32x16<S>; N]; TILE] {
    // Loops instead of `array::from_fn`: its closure would not be compiled for the instruction set.
    let mut sums = [[f32x16::splat(simd, 0.0); N]; TILE];
    for (sums, start) in sums.iter_mut().zip(start) {
        *sums = [f32x16::splat(simd, start); N];
    }
    for (offset, weights) in offsets.iter().zip(weights) {
        let x = &x[*offset as usize..][..N * LANES];
        for v in 0..N {
            let x = load(simd, &x[v * LANES..]);
            for r in 0..TILE {
                sums[r][v] = f32x16::splat(simd, weights[r]).fma(x, sums[r][v]);
            }
        }
    }
    sums
}
