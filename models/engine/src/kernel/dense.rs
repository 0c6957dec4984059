//! Rows times packed weights: the kernel of dense layers, gates, attention and gathered convolutions.
//!
//! Lanes lie across outputs. A *tile* is some rows by some vectors of one group, held in registers while the terms go by; its shape
//! depends on the instruction set, the order of accumulation ([`super::order`]) does not.

use fearless_simd::{Select, Simd, SimdBase, f32x16};

use super::order::{Group, groups};
use super::{LANES, load, store};
use crate::math::Fused;

/// What the sums start with.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Zero.
    Zero,
    /// One number per output, the same for each row.
    Bias(&'a [f32]),
    /// One number per output and row.
    Rows(&'a [f32]),
}

/// `out[row][j] = start + sum over i of x[row][i] weights[i][j]`, rows close together in all three; `relu` of it when asked for.
pub(crate) fn dense<S: Simd>(
    simd: S,
    x: &[f32],
    terms: usize,
    packed: &[f32],
    outputs: usize,
    start: Start<'_>,
    relu: bool,
    out: &mut [f32],
) {
    simd.vectorize(
        #[inline(always)]
        || {
            let mut at = 0;
            for group in groups(outputs) {
                let weights = &packed[at..at + group.width() * terms];
                at += group.width() * terms;
                let job = Job { x, terms, weights, outputs, group, start, relu };
                match group.vectors {
                    4 => job.run::<S, 4, 64, 1>(simd, out),
                    2 => job.run::<S, 2, 32, 2>(simd, out),
                    _ => job.run::<S, 1, 16, 4>(simd, out),
                }
            }
        },
    );
}

/// Where nothing is started with: as long as the widest group.
static ZEROS: [f32; 4 * LANES] = [0.0; 4 * LANES];

/// One group of outputs for all rows.
struct Job<'a> {
    x: &'a [f32],
    terms: usize,
    weights: &'a [f32],
    outputs: usize,
    group: Group,
    start: Start<'a>,
    relu: bool,
}

impl Job<'_> {
    /// `V` vectors of `W` = 16 V numbers per term, `K` partial sums.
    #[inline(always)]
    fn run<S: Simd, const V: usize, const W: usize, const K: usize>(&self, simd: S, out: &mut [f32]) {
        let weights = self.weights.as_chunks::<W>().0;
        let rows = out.len() / self.outputs;
        let lanes = <S::f32s as SimdBase<S>>::LEN;
        let mut row = 0;
        // With 32 wide registers a tile of 4 rows by the whole group fits; with 16 narrow ones, one vector by some rows.
        if lanes == LANES {
            while row + 4 <= rows {
                self.tile::<S, 4, V, W, W, K>(simd, row, 0, weights, out);
                row += 4;
            }
            if row + 2 <= rows {
                self.tile::<S, 2, V, W, W, K>(simd, row, 0, weights, out);
                row += 2;
            }
        } else if K == 1 && lanes == LANES / 2 {
            while row + 4 <= rows {
                for v in 0..V {
                    self.tile::<S, 4, 1, LANES, W, K>(simd, row, v, weights, out);
                }
                row += 4;
            }
        }
        while row < rows {
            self.tile::<S, 1, V, W, W, K>(simd, row, 0, weights, out);
            row += 1;
        }
    }

    /// `R` rows from `row` by `N` vectors (`C` = 16 N outputs) from `vector`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const N: usize, const C: usize, const W: usize, const K: usize>(
        &self,
        simd: S,
        row: usize,
        vector: usize,
        weights: &[[f32; W]],
        out: &mut [f32],
    ) {
        let first = self.group.first + vector * LANES;
        let mut x: [&[f32]; R] = [&[]; R];
        for (r, x) in x.iter_mut().enumerate() {
            *x = &self.x[(row + r) * self.terms..][..self.terms];
        }
        // The choice is made for slices, not for registers: those must not be touched by a branch.
        let mut begin: [&[f32]; R] = [&ZEROS; R];
        for (r, begin) in begin.iter_mut().enumerate() {
            *begin = match self.start {
                Start::Zero => &ZEROS,
                Start::Bias(bias) => tail(bias, first),
                Start::Rows(rows) => tail(&rows[(row + r) * self.outputs..][..self.outputs], first),
            };
        }
        let mut sums = [[[f32x16::splat(simd, 0.0); K]; N]; R];
        for r in 0..R {
            let padded;
            let whole = match begin[r].first_chunk::<C>() {
                Some(whole) => whole,
                None => {
                    padded = pad::<C>(begin[r]);
                    &padded
                }
            };
            for v in 0..N {
                sums[r][v][0] = load(simd, &whole[v * LANES..]);
            }
        }
        let (steps, rest) = weights.as_chunks::<K>();
        let done = steps.len() * K;
        for (i, step) in steps.iter().enumerate() {
            for (k, term) in step.iter().enumerate() {
                multiply_add::<S, R, N, W, K>(simd, &x, i * K + k, term, vector, k, &mut sums);
            }
        }
        for (k, term) in rest.iter().enumerate() {
            multiply_add::<S, R, N, W, K>(simd, &x, done + k, term, vector, k, &mut sums);
        }
        let floor = floor(simd, self.relu);
        for r in 0..R {
            let own = &mut out[(row + r) * self.outputs..][..self.outputs];
            let own = own.get_mut(first..).unwrap_or_default();
            match own.first_chunk_mut::<C>() {
                Some(whole) => {
                    for v in 0..N {
                        store(raise(combine(&sums[r][v]), floor), &mut whole[v * LANES..][..LANES]);
                    }
                }
                None => {
                    let mut whole = [0.0; C];
                    for v in 0..N {
                        store(raise(combine(&sums[r][v]), floor), &mut whole[v * LANES..][..LANES]);
                    }
                    let n = own.len();
                    own.copy_from_slice(&whole[..n]);
                }
            }
        }
    }
}

/// What is left of a row from here; nothing where a padded group ends behind it.
#[inline(always)]
fn tail(row: &[f32], first: usize) -> &[f32] {
    row.get(first..).unwrap_or_default()
}

/// Apart from the loop, which rarely needs it.
#[cold]
#[inline(never)]
fn pad<const C: usize>(row: &[f32]) -> [f32; C] {
    let mut whole = [0.0; C];
    whole[..row.len()].copy_from_slice(row);
    whole
}

#[inline(always)]
fn multiply_add<S: Simd, const R: usize, const N: usize, const W: usize, const K: usize>(
    simd: S,
    x: &[&[f32]; R],
    i: usize,
    term: &[f32; W],
    vector: usize,
    k: usize,
    sums: &mut [[[f32x16<S>; K]; N]; R],
) {
    for v in 0..N {
        let weight = load(simd, &term[(vector + v) * LANES..]);
        for r in 0..R {
            let x = f32x16::splat(simd, x[r][i]);
            sums[r][v][k] = x.fma(weight, sums[r][v][k]);
        }
    }
}

/// Relu, the function that most results are put through, while they are still in registers: raises what is below `floor`, 0 for relu and minus
/// infinity for nothing. Without a branch, which would drive the sums out of their registers. NaN stays.
#[inline(always)]
pub(crate) fn raise<S: Simd>(sum: f32x16<S>, floor: f32x16<S>) -> f32x16<S> {
    sum.simd_lt(floor).select(floor, sum)
}

/// The floor of [`raise`].
#[inline(always)]
pub(crate) fn floor<S: Simd>(simd: S, relu: bool) -> f32x16<S> {
    f32x16::splat(simd, if relu { 0.0 } else { f32::NEG_INFINITY })
}

/// Adds partial sums in the order of [`super::order`].
#[inline(always)]
pub(crate) fn combine<S: Simd, const K: usize>(sums: &[f32x16<S>; K]) -> f32x16<S> {
    match K {
        1 => sums[0],
        2 => sums[0] + sums[1],
        _ => (sums[0] + sums[1]) + (sums[2] + sums[3]),
    }
}
