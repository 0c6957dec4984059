//! Seeded random graphs for tests: of values, bits, gradients, bounds.
//!
//! Graphs are *tame*: for inputs between -1 and 1, no number is beyond 256 in magnitude, no divisor, logarithm or root comes near 0, and every
//! tensor that is worked on further stays within [`MAGNITUDE_MAX`]. Axis 0 of every input and output counts *rows*, which no operator mixes. The same seed
//! with another number of rows gives the same network. A test prints the seed with which it fails.

mod grow;
mod loops;
#[cfg(test)]
mod tests;

use crate::graph::{Graph, GraphError};
use crate::index::elements;

/// Largest magnitude of a tensor that is worked on further, for inputs between -1 and 1.
pub const MAGNITUDE_MAX: f64 = 4.0;

/// A family of operators that may appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Functions of one number without kinks.
    Smooth,
    /// Functions of one number with kinks, such as relu.
    Kinked,
    /// Sums, differences and products with broadcasting.
    Arithmetic,
    /// Quotients, with a divisor of 1/2 or more.
    Divide,
    /// Powers: of a positive base, or whole.
    Power,
    /// The smaller or larger of two, parametric relu.
    Choice,
    /// Comparisons, and what they let through: values jump.
    Compare,
    /// Derivatives of functions of one number.
    Slope,
    /// Matrix products with weights on either side, or of two computed tensors.
    MatMul,
    /// Convolutions over one or two axes.
    Conv,
    /// Sums along axes.
    Sum,
    /// Largest or smallest along axes.
    Extremum,
    /// Softmax and normalisation to mean 0 and variance 1.
    Normalise,
    /// Transposed, sliced, padded, concatenated.
    Move,
    /// Gathered with repetition, expanded, overlapping windows.
    Repeat,
    /// Another shape.
    Reshape,
    /// Recurrent loops.
    Scan,
}

impl Kind {
    /// All families.
    pub const ALL: [Self; 17] = [
        Self::Smooth,
        Self::Kinked,
        Self::Arithmetic,
        Self::Divide,
        Self::Power,
        Self::Choice,
        Self::Compare,
        Self::Slope,
        Self::MatMul,
        Self::Conv,
        Self::Sum,
        Self::Extremum,
        Self::Normalise,
        Self::Move,
        Self::Repeat,
        Self::Reshape,
        Self::Scan,
    ];
}

/// What a random graph looks like.
#[derive(Debug, Clone)]
pub struct Options {
    /// Length of axis 0 of all inputs and outputs.
    pub rows: usize,
    /// Number of inputs, at least 1.
    pub inputs: usize,
    /// Number of times an operator is put on top; each becomes one or a few nodes.
    pub steps: usize,
    /// Families to choose from, each equally often; a family may be named twice.
    pub kinds: Vec<Kind>,
}

impl Options {
    /// Up to 8 steps of all families on one input.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self { rows, inputs: 1, steps: 8, kinds: Kind::ALL.to_vec() }
    }

    /// The same without some families.
    #[must_use]
    pub fn without(mut self, kinds: &[Kind]) -> Self {
        self.kinds.retain(|kind| !kinds.contains(kind));
        self
    }

    /// The same with these families only.
    #[must_use]
    pub fn only(mut self, kinds: &[Kind]) -> Self {
        self.kinds = kinds.to_vec();
        self
    }
}

/// The graph of a seed: inputs of shape [rows, ...], one or two outputs of shape [rows, ...].
///
/// # Panics
/// No family or no input is allowed by the options.
#[must_use]
pub fn random_graph(seed: u64, options: &Options) -> Graph {
    assert!(!options.kinds.is_empty() && options.inputs > 0 && options.rows > 0, "nothing to build a graph from");
    let grown: Result<Graph, GraphError> = grow::grow(Random::new(seed), options);
    grown.unwrap_or_else(|error| panic!("seed {seed} with {options:?} gives no graph: {error}"))
}

/// Inputs between -1 and 1 for a graph, row-major. Each input has a stream of its own, so row 0 is the same for any number of rows.
#[must_use]
pub fn random_inputs(graph: &Graph, seed: u64) -> Vec<Vec<f32>> {
    let numbers = |(i, shape): (usize, &[usize])| {
        let mut random = Random::new(seed.wrapping_mul(31).wrapping_add(i as u64));
        (0..elements(shape)).map(|_| random.between(-1.0, 1.0)).collect()
    };
    graph.inputs().iter().map(|input| graph.shape(*input)).enumerate().map(numbers).collect()
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Any seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `count` - 1; the bias is below 2^-40 for counts of tests.
    ///
    /// # Panics
    /// `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        (self.bits() % count as u64) as usize
    }

    /// `low` to `high`, both included.
    pub fn within(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.bits() >> 40) as f32 / (1_u32 << 24) as f32;
        low + (high - low) * unit
    }

    /// True once in `count` times.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of a list.
    ///
    /// # Panics
    /// The list is empty.
    pub fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}
