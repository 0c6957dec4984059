//! Matrix products and convolutions as lists of products: which place of the first factor meets which of the second in which result.
//!
//! Places are counted from the start of each tensor.

use crate::index::{broadcast_strides, elements, for_each, place, strides};
use crate::op::Conv;

/// Geometry of one operator that sums products.
#[derive(Debug)]
pub enum Products {
    /// Matrix product.
    MatMul(MatMul),
    /// Convolution over one or two spatial axes.
    Conv(Convolution),
}

/// [m, k] times [k, n], once per batch.
#[derive(Debug)]
pub struct MatMul {
    /// Starts of the two factors and of the result.
    pub batches: Vec<[usize; 3]>,
    /// Rows of the first factor.
    pub m: usize,
    /// Length of each sum.
    pub k: usize,
    /// Columns of the second factor.
    pub n: usize,
}

impl MatMul {
    /// Geometry for factors and a result of these shapes, all of one rank.
    pub fn new(a: &[usize], b: &[usize], out: &[usize]) -> Self {
        let axes = out.len() - 2;
        let (m, k, n) = (out[axes], a[axes + 1], out[axes + 1]);
        // Strides over batch axes, in matrices.
        let (of_a, of_b) = (broadcast_strides(&a[..axes], &out[..axes]), broadcast_strides(&b[..axes], &out[..axes]));
        let mut batches = Vec::new();
        for_each(&out[..axes], |at| {
            batches.push([place(at, &of_a) * m * k, place(at, &of_b) * k * n, batches.len() * m * n]);
        });
        Self { batches, m, k, n }
    }
}

/// A convolution with its axes brought to two spatial ones.
#[derive(Debug)]
pub struct Convolution {
    batch: usize,
    channels: [usize; 2],
    groups: usize,
    input: [usize; 2],
    kernel: [usize; 2],
    output: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    before: [usize; 2],
}

impl Convolution {
    /// Geometry for an input, weights and a result of these shapes.
    pub fn new(conv: &Conv, input: &[usize], weights: &[usize], out: &[usize]) -> Self {
        let two =
            |list: &[usize], missing: usize| if list.len() == 2 { [list[0], list[1]] } else { [missing, list[0]] };
        let before: Vec<usize> = conv.pads.iter().map(|p| p.0).collect();
        Self {
            batch: input[0],
            channels: [out[1] / conv.groups, weights[1]],
            groups: conv.groups,
            input: two(&input[2..], 1),
            kernel: two(&weights[2..], 1),
            output: two(&out[2..], 1),
            strides: two(&conv.strides, 1),
            dilations: two(&conv.dilations, 1),
            before: two(&before, 0),
        }
    }

    /// Calls `result` with each place of the result and its channel.
    pub fn for_each_result(&self, mut result: impl FnMut(usize, usize)) {
        let plane = self.output[0] * self.output[1];
        let channels = self.groups * self.channels[0];
        for i in 0..self.batch * channels * plane {
            result(i, i / plane % channels);
        }
    }

    /// Calls `tap` with each pair of places of the input and of the weights that meet in one result. Padding is left out.
    pub fn for_each_tap(&self, result: usize, mut tap: impl FnMut(usize, usize)) {
        let (column, rest) = (result % self.output[1], result / self.output[1]);
        let (row, rest) = (rest % self.output[0], rest / self.output[0]);
        let channels = self.groups * self.channels[0];
        let (channel, batch) = (rest % channels, rest / channels);
        let group = channel / self.channels[0];
        let inside = |at: usize, tap: usize, axis: usize| {
            let place = at * self.strides[axis] + tap * self.dilations[axis];
            place.checked_sub(self.before[axis]).filter(|p| *p < self.input[axis])
        };
        for from in 0..self.channels[1] {
            let input = (batch * self.groups + group) * self.channels[1] + from;
            let weight = channel * self.channels[1] + from;
            for i in 0..self.kernel[0] {
                let Some(y) = inside(row, i, 0) else { continue };
                for j in 0..self.kernel[1] {
                    let Some(x) = inside(column, j, 1) else { continue };
                    tap(
                        (input * self.input[0] + y) * self.input[1] + x,
                        (weight * self.kernel[0] + i) * self.kernel[1] + j,
                    );
                }
            }
        }
    }
}

impl Products {
    /// Products in the longest sum.
    pub fn length(&self) -> usize {
        match self {
            Self::MatMul(p) => p.k,
            Self::Conv(c) => c.channels[1] * c.kernel[0] * c.kernel[1],
        }
    }
}

/// For each element of `from`, its cell in the reduced tensor.
pub fn cells(reduced: &[usize], from: &[usize]) -> Box<[u32]> {
    let to = broadcast_strides(reduced, from);
    let mut cells = Vec::with_capacity(elements(from));
    for_each(from, |at| cells.push(place(at, &to) as u32));
    cells.into()
}

/// For each element of a broadcast result, its place in a factor of shape `own`; none if they are the same.
pub fn spread(own: &[usize], wide: &[usize]) -> Option<Vec<usize>> {
    if own == wide {
        return None;
    }
    let (from, mut places) = (broadcast_strides(own, wide), Vec::with_capacity(elements(wide)));
    debug_assert_eq!(strides(own).len(), from.len(), "ranks are equal");
    for_each(wide, |at| places.push(place(at, &from)));
    Some(places)
}
