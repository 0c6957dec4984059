//! Rows times packed weights: the kernel of dense layers, gates, attention and gathered convolutions.
//!
//! Lanes lie across outputs. A *tile* is some rows by some vectors of one group, held in registers while the terms go by; its shape
//! depends on the instruction set, the order of accumulation ([`super::order`]) does not.

use fearless_simd::{Simd, SimdBase, f32x16};

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

/// `out[row][j] = start + sum over i of x[row][i] weights[i][j]`, rows close together in all three.
pub(crate) fn dense<S: Simd>(
    simd: S,
    x: &[f32],
    terms: usize,
    packed: &[f32],
    outputs: usize,
    start: Start<'_>,
    out: &mut [f32],
) {
    simd.vectorize(
        #[inline(always)]
        || {
            let mut at = 0;
            for group in groups(outputs) {
                let weights = &packed[at..at + group.width() * terms];
                at += group.width() * terms;
                let job = Job { x, terms, weights, outputs, group, start };
                match group.vectors {
                    4 => job.run::<S, 4, 64, 1>(simd, out),
                    2 => job.run::<S, 2, 32, 2>(simd, out),
                    _ => job.run::<S, 1, 16, 4>(simd, out),
                }
            }
        },
    );
}

/// One group of outputs for all rows.
struct Job<'a> {
    x: &'a [f32],
    terms: usize,
    weights: &'a [f32],
    outputs: usize,
    group: Group,
    start: Start<'a>,
}

impl Job<'_> {
    /// `V` vectors of `W` = 16 V numbers per term, `K` partial sums.
    #[inline(always)]
    fn run<S: Simd, const V: usize, const W: usize, const K: usize>(&self, simd: S, out: &mut [f32]) {
        let weights = self.weights.as_chunks::<W>().0;
        let rows = out.len() / self.outputs;
        let wide = <S::f32s as SimdBase<S>>::LEN == LANES;
        let mut row = 0;
        // With 32 wide registers a tile of 4 rows by the whole group fits; with 16 narrow ones, one vector by some rows.
        if wide {
            while row + 4 <= rows {
                self.tile::<S, 4, V, V, W, K>(simd, row, 0, weights, out);
                row += 4;
            }
            if row + 2 <= rows {
                self.tile::<S, 2, V, V, W, K>(simd, row, 0, weights, out);
                row += 2;
            }
        } else if K == 1 && <S::f32s as SimdBase<S>>::LEN == LANES / 2 {
            while row + 4 <= rows {
                for v in 0..V {
                    self.tile::<S, 4, 1, V, W, K>(simd, row, v, weights, out);
                }
                row += 4;
            }
        }
        while row < rows {
            self.tile::<S, 1, V, V, W, K>(simd, row, 0, weights, out);
            row += 1;
        }
    }

    /// `R` rows from `row` by `N` vectors from `vector`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const N: usize, const V: usize, const W: usize, const K: usize>(
        &self,
        simd: S,
        row: usize,
        vector: usize,
        weights: &[[f32; W]],
        out: &mut [f32],
    ) {
        let first = self.group.first + vector * LANES;
        let x: [&[f32]; R] = core::array::from_fn(|r| &self.x[(row + r) * self.terms..][..self.terms]);
        let zero = f32x16::splat(simd, 0.0);
        let mut sums = [[[zero; K]; N]; R];
        for (r, sums) in sums.iter_mut().enumerate() {
            for (v, sums) in sums.iter_mut().enumerate() {
                let column = first + v * LANES;
                sums[0] = match self.start {
                    Start::Zero => zero,
                    Start::Bias(bias) => load(simd, &bias[column.min(self.outputs)..self.outputs]),
                    Start::Rows(rows) => {
                        let own = &rows[(row + r) * self.outputs..][..self.outputs];
                        load(simd, &own[column.min(self.outputs)..])
                    }
                };
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
        for (r, sums) in sums.iter().enumerate() {
            let own = &mut out[(row + r) * self.outputs..][..self.outputs];
            for (v, sums) in sums.iter().enumerate() {
                let column = (first + v * LANES).min(self.outputs);
                store(combine(sums), &mut own[column..]);
            }
        }
    }
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

/// Adds partial sums in the order of [`super::order`].
#[inline(always)]
pub(crate) fn combine<S: Simd, const K: usize>(sums: &[f32x16<S>; K]) -> f32x16<S> {
    match K {
        1 => sums[0],
        2 => sums[0] + sums[1],
        _ => (sums[0] + sums[1]) + (sums[2] + sums[3]),
    }
}
