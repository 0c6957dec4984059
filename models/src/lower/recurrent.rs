//! Recurrent cells as a few operators. Gates stand one after the other on the last axis, so each side has one matrix product.

use std::sync::Arc;

use flyball_engine::{Binary, Graph, GraphError, Node, Unary};
use tract_onnx::tract_core::ops::gru_seq::GruSeq;

use super::value::{Value, data_at};
use super::{Why, moves, no};

/// Gates `first..last` of a tensor whose last axis holds gates of `hidden` numbers.
fn gates(graph: &mut Graph, x: Node, hidden: usize, first: usize, last: usize) -> Result<Node, GraphError> {
    let axis = graph.shape(x).len() - 1;
    graph.slice(x, axis, first * hidden, last * hidden)
}

/// One LSTM step after its products: gates i, o, f, c before activation and the cell, to the new output and the new cell.
///
/// ONNX LSTM with its default activations: C = sigmoid(f) C + sigmoid(i) tanh(c), H = sigmoid(o) tanh(C).
pub(crate) fn lstm_cell(graph: &mut Graph, hidden: usize, inputs: &[Value]) -> Result<Vec<Value>, Why> {
    let (before, cell) = (data_at(graph, inputs, 0)?, data_at(graph, inputs, 1)?);
    let open = gates(graph, before, hidden, 0, 3)?;
    let open = graph.unary(Unary::Sigmoid, open)?;
    let fresh = gates(graph, before, hidden, 3, 4)?;
    let fresh = graph.unary(Unary::Tanh, fresh)?;
    let (input, output) = (gates(graph, open, hidden, 0, 1)?, gates(graph, open, hidden, 1, 2)?);
    let forget = gates(graph, open, hidden, 2, 3)?;
    let kept = graph.binary(Binary::Multiply, forget, cell)?;
    let added = graph.binary(Binary::Multiply, input, fresh)?;
    let cell = graph.binary(Binary::Add, kept, added)?;
    let shown = graph.unary(Unary::Tanh, cell)?;
    let shown = graph.binary(Binary::Multiply, output, shown)?;
    Ok(vec![Value::Data(shown), Value::Data(cell)])
}

/// One GRU step after its products, reset gate after the product: gates z, r, h of both sides and the state.
pub(crate) fn gru_cell(graph: &mut Graph, hidden: usize, inputs: &[Value]) -> Result<Vec<Value>, Why> {
    let (x, recurrent) = (data_at(graph, inputs, 0)?, data_at(graph, inputs, 1)?);
    let state = data_at(graph, inputs, 2)?;
    let fresh = gates(graph, recurrent, hidden, 2, 3)?;
    Ok(vec![Value::Data(gru_step(graph, hidden, x, recurrent, fresh, state)?)])
}

/// ONNX GRU with linear_before_reset: H = (1 - z) tanh(x_h + r fresh) + z H, where z and r are sigmoids of both sides' sums.
fn gru_step(
    graph: &mut Graph,
    hidden: usize,
    x: Node,
    recurrent: Node,
    fresh: Node,
    state: Node,
) -> Result<Node, GraphError> {
    let (from_x, from_state) = (gates(graph, x, hidden, 0, 2)?, gates(graph, recurrent, hidden, 0, 2)?);
    let open = graph.binary(Binary::Add, from_x, from_state)?;
    let open = graph.unary(Unary::Sigmoid, open)?;
    let (update, reset) = (gates(graph, open, hidden, 0, 1)?, gates(graph, open, hidden, 1, 2)?);
    let remembered = graph.binary(Binary::Multiply, reset, fresh)?;
    let from_x = gates(graph, x, hidden, 2, 3)?;
    let candidate = graph.binary(Binary::Add, from_x, remembered)?;
    let candidate = graph.unary(Unary::Tanh, candidate)?;
    let change = graph.binary(Binary::Subtract, state, candidate)?;
    let change = graph.binary(Binary::Multiply, update, change)?;
    graph.binary(Binary::Add, candidate, change)
}

/// A whole GRU sequence, which tract's importer makes of four steps and more.
///
/// Inputs: x [rows, steps, n], W [3 hidden, n], R [3 hidden, hidden], optionally biases [1, 6 hidden], state [rows, 1, hidden].
pub(crate) fn gru_sequence(graph: &mut Graph, op: &GruSeq, inputs: &[Value]) -> Result<Vec<Value>, Why> {
    if op.projected || op.chunk.unsigned_abs() != 1 {
        return no("has the form that tract's optimiser makes; the typed graph is expected");
    }
    let h = op.hidden;
    let x = data_at(graph, inputs, 0)?;
    let [rows, steps, width] = graph.shape(x)[..] else { return no("takes inputs of three axes") };
    let (w, r) = (data_at(graph, inputs, 1)?, data_at(graph, inputs, 2)?);
    let (w, r) = (moves::transpose(graph, w, &[1, 0])?, moves::transpose(graph, r, &[1, 0])?);
    let x = time_first(graph, x, 1, op.chunk < 0)?;
    let x = graph.reshape(x, &[steps, rows, width])?;
    let mut products = graph.matmul(x, w)?;
    let mut fresh_bias = None;
    if op.has_bias {
        let bias = data_at(graph, inputs, 3)?;
        let bias = graph.reshape(bias, &[6 * h])?;
        let (input_bias, state_bias) = (gates(graph, bias, h, 0, 3)?, gates(graph, bias, h, 3, 5)?);
        let state_bias = graph.pad(state_bias, &[(0, h)], 0.0)?;
        let sum = graph.binary(Binary::Add, input_bias, state_bias)?;
        products = graph.binary(Binary::Add, products, sum)?;
        fresh_bias = Some(gates(graph, bias, h, 5, 6)?);
    }
    let initial = data_at(graph, inputs, inputs.len() - 1)?;
    let initial = graph.reshape(initial, &[rows, h])?;

    let mut body = Graph::new();
    body.set_origin(&graph.node(products).origin);
    let state = body.input(&[rows, h])?;
    let x = body.input(&[rows, 3 * h])?;
    let mut fixed = vec![r];
    let r = body.input(&[h, 3 * h])?;
    let recurrent = body.matmul(state, r)?;
    let mut fresh = gates(&mut body, recurrent, h, 2, 3)?;
    if let Some(bias) = fresh_bias {
        fixed.push(bias);
        let bias = body.input(&[h])?;
        fresh = body.binary(Binary::Add, fresh, bias)?;
    }
    let new = gru_step(&mut body, h, x, recurrent, fresh, state)?;
    body.output(new);
    if op.emit_y {
        body.output(new);
    }
    let (body, fixed) = super::scan::with_constants(graph, &body, 2, &fixed)?;
    let parts = graph.scan(Arc::new(body), steps, &[initial], &[products], &fixed)?;
    let last = graph.reshape(parts[0], &[rows, 1, h])?;
    let all = match parts.get(1) {
        Some(all) => {
            let all = graph.reshape(*all, &[steps, rows, 1, h])?;
            time_back(graph, all, 1, op.chunk < 0)?
        }
        None => graph.constant(&[rows, 0, h], Vec::new())?,
    };
    Ok(vec![Value::Data(all), Value::Data(last)])
}

/// Moves the time axis to the front and leaves one of length 1 in its place; `reverse` turns time round.
pub(crate) fn time_first(graph: &mut Graph, x: Node, axis: usize, reverse: bool) -> Result<Node, Why> {
    let own = graph.shape(x).to_vec();
    let from = flyball_engine::index::strides(&own);
    let mut shape = own.clone();
    shape[axis] = 1;
    shape.insert(0, own[axis]);
    let map = flyball_engine::index::IndexMap::from_fn(&shape, 0.0, |at| {
        let time = if reverse { own[axis] - 1 - at[0] } else { at[0] };
        Some(time * from[axis] + at[1..].iter().zip(&from).map(|(i, step)| i * step).sum::<usize>())
    });
    moves::index(graph, &[x], &shape, map)
}

/// The opposite of [`time_first`].
pub(crate) fn time_back(graph: &mut Graph, x: Node, axis: usize, reverse: bool) -> Result<Node, Why> {
    let own = graph.shape(x).to_vec();
    let from = flyball_engine::index::strides(&own);
    let mut shape = own[1..].to_vec();
    shape[axis] = own[0];
    let map = flyball_engine::index::IndexMap::from_fn(&shape, 0.0, |at| {
        let time = if reverse { own[0] - 1 - at[axis] } else { at[axis] };
        let inside = |(i, (at, step)): (usize, (&usize, &usize))| if i == axis { 0 } else { at * step };
        Some(time * from[0] + at.iter().zip(&from[1..]).enumerate().map(inside).sum::<usize>())
    });
    moves::index(graph, &[x], &shape, map)
}
