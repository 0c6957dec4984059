//! Pooling: windows are gathered into one more axis, which is then reduced.

use flyball_engine::graph::ELEMENTS_MAX;
use flyball_engine::index::{IndexMap, elements, for_each, strides};
use flyball_engine::op::ReduceKind;
use flyball_engine::{Binary, Graph, Node};
use tract_onnx::tract_core::ops::cnn::{MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::value::{Value, data_at};
use super::{Why, moves, no};

/// Where the windows of one pooling stand.
struct Windows {
    spec: PoolSpec,
    /// Spatial lengths of the input and of the output.
    input: Vec<usize>,
    output: Vec<usize>,
    /// Padding before the first place of each spatial axis.
    before: Vec<usize>,
    after: Vec<usize>,
}

impl Windows {
    fn new(spec: &PoolSpec, shape: &[usize]) -> Result<Self, Why> {
        if spec.data_format != DataFormat::NCHW || shape.len() != spec.kernel_shape.len() + 2 {
            return no("channels are expected before space");
        }
        let spaced = (spec.strides().iter().chain(spec.dilations().iter())).all(|n| (1..=ELEMENTS_MAX).contains(n));
        if !spaced || spec.kernel_shape.iter().any(|n| !(1..=ELEMENTS_MAX).contains(n)) {
            return no(format!("a window of {:?} with its strides and dilations", spec.kernel_shape));
        }
        let padding = spec.computed_padding(&shape[2..]);
        Ok(Self {
            spec: spec.clone(),
            input: shape[2..].to_vec(),
            output: padding.iter().map(|axis| axis.convoluted).collect(),
            before: padding.iter().map(|axis| axis.pad_before).collect(),
            after: padding.iter().map(|axis| axis.pad_after).collect(),
        })
    }

    /// The place of a tap on one axis, counted from the first padded place.
    fn padded(&self, axis: usize, output: usize, tap: usize) -> usize {
        output * self.spec.stride(axis) + tap * self.spec.dilation(axis)
    }

    /// The place of a tap in the input; `None` in the padding.
    fn inside(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        self.padded(axis, output, tap).checked_sub(self.before[axis]).filter(|place| *place < self.input[axis])
    }
}

/// The input's windows with the taps of each as the last axis.
fn gather(graph: &mut Graph, x: Node, windows: &Windows, fill: f32) -> Result<Node, Why> {
    let own = graph.shape(x).to_vec();
    let taps = elements(&windows.spec.kernel_shape);
    let kernel = strides(&windows.spec.kernel_shape);
    let from = strides(&own);
    let shape = [&own[..2], &windows.output, &[taps]].concat();
    if shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d)).is_none_or(|n| n > ELEMENTS_MAX) {
        return no(format!("windows of shape {shape:?}; at most {ELEMENTS_MAX} numbers"));
    }
    let map = IndexMap::from_fn(&shape, fill, |at| {
        let tap = at[at.len() - 1];
        (0..windows.input.len()).try_fold(at[0] * from[0] + at[1] * from[1], |sum, axis| {
            let tap = tap / kernel[axis] % windows.spec.kernel_shape[axis];
            windows.inside(axis, at[2 + axis], tap).map(|place| sum + place * from[2 + axis])
        })
    });
    moves::index(graph, &[x], &shape, map)
}

fn reduced(graph: &mut Graph, kind: ReduceKind, windows: Node) -> Result<Node, Why> {
    let shape = graph.shape(windows).to_vec();
    let last = shape.len() - 1;
    let reduced = graph.reduce(kind, windows, &[last])?;
    Ok(graph.reshape(reduced, &shape[..last])?)
}

/// Largest of each window; places of the largest are not given.
pub(crate) fn max_pool(graph: &mut Graph, op: &MaxPool, inputs: &[Value]) -> Result<Vec<Value>, Why> {
    if op.with_index_outputs.is_some() {
        return no("gives the places of the largest, which are integers");
    }
    let x = data_at(graph, inputs, 0)?;
    let windows = Windows::new(&op.pool_spec, graph.shape(x))?;
    let gathered = gather(graph, x, &windows, f32::NEG_INFINITY)?;
    Ok(vec![Value::Data(reduced(graph, ReduceKind::Maximum, gathered)?)])
}

/// Sum or mean of each window.
pub(crate) fn sum_pool(graph: &mut Graph, op: &SumPool, inputs: &[Value]) -> Result<Node, Why> {
    let x = data_at(graph, inputs, 0)?;
    let windows = Windows::new(&op.pool_spec, graph.shape(x))?;
    let gathered = gather(graph, x, &windows, 0.0)?;
    let sum = reduced(graph, ReduceKind::Sum, gathered)?;
    if !op.normalize {
        return Ok(sum);
    }
    let mut shares = Vec::new();
    for_each(&windows.output, |at| {
        let count: usize = (0..at.len())
            .map(|axis| {
                // What lies past the stated padding, under ceil mode, is never counted.
                let end = windows.before[axis] + windows.input[axis] + windows.after[axis];
                let overhang = matches!(op.pool_spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true));
                let counts = |tap: &usize| {
                    if op.count_include_pad {
                        !overhang || windows.padded(axis, at[axis], *tap) < end
                    } else {
                        windows.inside(axis, at[axis], *tap).is_some()
                    }
                };
                (0..op.pool_spec.kernel_shape[axis]).filter(counts).count()
            })
            .product();
        shares.push(1.0 / count as f32);
    });
    let alike = shares.iter().all(|share| share == &shares[0]);
    let share = if alike && !shares.is_empty() {
        graph.scalar(shares[0])?
    } else {
        graph.constant(&[&[1, 1], &windows.output[..]].concat(), shares)?
    };
    Ok(graph.binary(Binary::Multiply, sum, share)?)
}
