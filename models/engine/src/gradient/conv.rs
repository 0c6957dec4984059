//! Adjoints through convolutions: of the input by a convolution with the weights turned around, of the weights by a matrix product.

use crate::gradient::backward::Backward;
use crate::graph::{GraphError, Node, check_size};
use crate::index::{IndexMap, elements, place, strides};
use crate::op::Conv;

impl Backward {
    /// y = x * weights + bias.
    pub(super) fn conv(
        &mut self,
        conv: &Conv,
        y: Node,
        x: Node,
        weights: Node,
        bias: Option<Node>,
        adjoint: Node,
    ) -> Result<(), GraphError> {
        if let Some(bias) = bias.filter(|bias| self.wants(*bias)) {
            let from = self.graph.shape(y).to_vec();
            let mut to = vec![1; from.len()];
            to[1] = from[1];
            let sum = self.sum_to(adjoint, &from, &to)?;
            let own = self.wide(&[self.narrow(sum)[1]]);
            let contribution = self.graph.reshape(sum, &own)?;
            self.contribute(bias, contribution);
        }
        if self.wants(x) {
            self.conv_input(conv, y, x, weights, adjoint)?;
        }
        if self.wants(weights) {
            self.conv_weights(conv, y, x, weights, adjoint)?;
        }
        Ok(())
    }

    /// Zeros between the numbers of the adjoint undo the stride; then each input gathers from all outputs that it reached. An adjoint that is the
    /// same for all samples stays so.
    fn conv_input(&mut self, conv: &Conv, y: Node, x: Node, weights: Node, adjoint: Node) -> Result<(), GraphError> {
        let (sx, sy) = (self.graph.shape(x).to_vec(), self.graph.shape(y).to_vec());
        let kernel = self.graph.shape(weights)[2..].to_vec();
        let samples = self.narrow(adjoint)[0];
        let adjoint = self.widen(adjoint, &[&[samples], &sy[1..]].concat())?;
        let axes: Vec<Spread> =
            (0..kernel.len()).map(|axis| Spread::new(conv, axis, &kernel, sx[2 + axis], sy[2 + axis])).collect();

        let batch = self.seeds.unwrap_or(1) * samples;
        let mut shape = vec![batch, sy[1]];
        shape.extend(axes.iter().map(|axis| axis.end - axis.start));
        check_size(&shape)?;
        let from = strides(&[&[batch], &sy[1..]].concat());
        let map = IndexMap::from_fn(&shape, 0.0, |at| {
            let mut spatial = axes.iter().zip(&at[2..]).zip(&from[2..]);
            let first = place(&at[..2], &from);
            spatial.try_fold(first, |sum, ((axis, i), stride)| Some(sum + axis.output(*i)? * stride))
        });
        let spread = self.moved(adjoint, &shape, map)?;
        let turned = self.turned_weights(conv, weights)?;
        let back = Conv {
            strides: vec![1; kernel.len()],
            dilations: conv.dilations.clone(),
            pads: axes.iter().map(|axis| (axis.start, axis.total - axis.end)).collect(),
            groups: conv.groups,
        };
        let product = self.graph.conv(spread, turned, None, back)?;
        let own = self.wide(&[&[samples], &sx[1..]].concat());
        let contribution = self.graph.reshape(product, &own)?;
        self.contribute(x, contribution);
        Ok(())
    }

    /// Taps in reverse order; inputs and outputs of each group exchanged.
    fn turned_weights(&mut self, conv: &Conv, weights: Node) -> Result<Node, GraphError> {
        let own = self.graph.shape(weights).to_vec();
        let (outputs, inputs) = (own[0] / conv.groups, own[1]);
        let shape = [&[inputs * conv.groups, outputs], &own[2..]].concat();
        let from = strides(&own);
        let map = IndexMap::from_fn(&shape, 0.0, |at| {
            let channel = place(&[at[0] / inputs * outputs + at[1], at[0] % inputs], &from);
            let taps = (2..own.len()).map(|axis| (own[axis] - 1 - at[axis]) * from[axis]).sum::<usize>();
            Some(channel + taps)
        });
        self.graph.index(&[weights], &shape, map)
    }

    /// Per group: outputs by places times places by taps, where a place is one number of one sample's output channel.
    fn conv_weights(&mut self, conv: &Conv, y: Node, x: Node, weights: Node, adjoint: Node) -> Result<(), GraphError> {
        let (sx, sy, sw) =
            (self.graph.shape(x).to_vec(), self.graph.shape(y).to_vec(), self.graph.shape(weights).to_vec());
        let (samples, spots, spatial) = (sy[0], elements(&sy[2..]), conv.strides.len());
        let adjoint = self.widen(adjoint, &sy)?;
        let adjoint = self.graph.reshape(adjoint, &[self.seeds.unwrap_or(1), samples, sy[1], spots])?;
        let adjoint = self.graph.transpose(adjoint, &[0, 2, 1, 3])?;
        let rows = self.wide(&[conv.groups, sy[1] / conv.groups, samples * spots]);
        let adjoint = self.graph.reshape(adjoint, &rows)?;

        let mut axes = vec![conv.groups, samples];
        axes.extend(&sy[2..]);
        axes.extend(&sw[1..]);
        check_size(&axes)?;
        let from = strides(&sx);
        let map = IndexMap::from_fn(&axes, 0.0, |at| {
            let (spot, tap) = (&at[2..2 + spatial], &at[2 + spatial..]);
            let start = place(&[at[1], at[0] * sw[1] + tap[0]], &from);
            (0..spatial).try_fold(start, |sum, axis| {
                let padded = spot[axis] * conv.strides[axis] + tap[1 + axis] * conv.dilations[axis];
                let inside = padded.checked_sub(conv.pads[axis].0).filter(|i| *i < sx[2 + axis])?;
                Some(sum + inside * from[2 + axis])
            })
        });
        let columns = self.graph.index(&[x], &[conv.groups, samples * spots, elements(&sw[1..])], map)?;
        let product = self.graph.matmul(adjoint, columns)?;
        let own = self.wide(&sw);
        let contribution = self.graph.reshape(product, &own)?;
        self.contribute(weights, contribution);
        Ok(())
    }
}

/// One spatial axis on the way back: outputs `stride` apart on an axis of length `total`, of which only `start..end` is laid out and the rest
/// is padding.
struct Spread {
    total: usize,
    start: usize,
    end: usize,
    /// Places by which the first output lies before `start`: it saw padding only.
    ahead: usize,
    stride: usize,
    outputs: usize,
}

impl Spread {
    fn new(conv: &Conv, axis: usize, kernel: &[usize], input: usize, outputs: usize) -> Self {
        let reach = (kernel[axis] - 1) * conv.dilations[axis];
        let (stride, pad) = (conv.strides[axis], conv.pads[axis].0);
        let (total, length) = (input + reach, (outputs - 1) * stride + 1);
        let start = reach.saturating_sub(pad);
        // At least one place, even if padding is all that the outputs saw.
        let end = (reach + length).saturating_sub(pad).clamp(start + 1, total);
        Self { total, start, end, ahead: pad.saturating_sub(reach), stride, outputs }
    }

    /// The output at a place of `start..end`, if there is one.
    fn output(&self, at: usize) -> Option<usize> {
        let place = at + self.ahead;
        (place.is_multiple_of(self.stride) && place / self.stride < self.outputs).then_some(place / self.stride)
    }
}
