//! Reductions and softmax. Normalisation and attention arrive as these and elementwise operators.

use flyball_engine::op::ReduceKind;
use flyball_engine::{Graph, Node, Unary};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};

use super::value::{Value, data_at};
use super::{Why, no, recognise};

/// Reduces axes to length 1.
pub(crate) fn reduce(graph: &mut Graph, op: &Reduce, inputs: &[Value]) -> Result<Node, Why> {
    let x = data_at(graph, inputs, 0)?;
    Ok(match op.reducer {
        Reducer::Sum => graph.reduce(ReduceKind::Sum, x, &op.axes)?,
        Reducer::Max => graph.reduce(ReduceKind::Maximum, x, &op.axes)?,
        Reducer::Min => graph.reduce(ReduceKind::Minimum, x, &op.axes)?,
        Reducer::MeanOfSquares => {
            let square = graph.unary(Unary::Square, x)?;
            graph.mean(square, &op.axes)?
        }
        other => return no(format!("the engine does not have the reduction {other:?}")),
    })
}

/// Softmax over axes, or its logarithm.
pub(crate) fn softmax(graph: &mut Graph, op: &Softmax, inputs: &[Value]) -> Result<Node, Why> {
    if op.quant_output_dt.is_some() {
        return no("works on quantised numbers");
    }
    let x = data_at(graph, inputs, 0)?;
    let share = graph.softmax(x, &op.axes)?;
    match op.kind {
        SoftmaxKind::Softmax => Ok(share),
        SoftmaxKind::LogSoftmax => recognise::logarithm(graph, share),
    }
}
