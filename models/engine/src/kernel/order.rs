//! The order of accumulation: how the outputs of a product are grouped, and into how many partial sums each output is split.
//!
//! A multiply-add takes four cycles and a processor starts one or two per cycle, so at least four independent sums must be under way at
//! any time. Wide products have them across outputs; narrow ones split each sum. The split is part of the result's bits. It follows from
//! the number of outputs alone.
//!
//! With `k` terms and `s` partial sums, term `i` goes to sum `i % s`. Sum 0 starts with the bias, the others with zero. They are added as
//! (0 + 1) + (2 + 3).

use super::LANES;

/// Outputs that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// First output.
    pub first: usize,
    /// Outputs, at most `vectors` x 16.
    pub outputs: usize,
    /// Vectors: 1, 2 or 4.
    pub vectors: usize,
}

impl Group {
    /// Partial sums per output: vectors times splits is always 4.
    pub(crate) fn splits(self) -> usize {
        4 / self.vectors
    }

    /// Numbers per term in the packed weights.
    pub(crate) fn width(self) -> usize {
        self.vectors * LANES
    }
}

/// The groups of a product with this many outputs: fours, then what is left as one, two or (padded) four vectors.
pub(crate) fn groups(outputs: usize) -> impl Iterator<Item = Group> {
    let full = outputs / (4 * LANES);
    let left = outputs - full * 4 * LANES;
    let vectors = match left.div_ceil(LANES) {
        3 => 4,
        n => n,
    };
    let fours = (0..full).map(|i| Group { first: i * 4 * LANES, outputs: 4 * LANES, vectors: 4 });
    let rest = (left > 0).then_some(Group { first: full * 4 * LANES, outputs: left, vectors });
    fours.chain(rest)
}

/// Numbers of packed weights with `terms` rows.
pub(crate) fn packed_len(terms: usize, outputs: usize) -> usize {
    groups(outputs).map(|g| g.width() * terms).sum()
}

/// Packs row-major weights [terms, outputs]: group after group, term after term, padded with zeros.
pub(crate) fn pack(weights: &[f32], outputs: usize, packed: &mut [f32]) {
    let mut at = 0;
    for group in groups(outputs) {
        for row in weights.chunks_exact(outputs) {
            let cell = &mut packed[at..at + group.width()];
            let (filled, padding) = cell.split_at_mut(group.outputs);
            filled.copy_from_slice(&row[group.first..group.first + group.outputs]);
            padding.fill(0.0);
            at += group.width();
        }
    }
}
