//! What a wire of tract's graph is during the translation, and how constants pass between tract and the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use flyball_engine::graph::{ELEMENTS_MAX, RANK_MAX};
use flyball_engine::{Graph, Node};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::tract_data::TooEarly;

use super::{Why, no};

/// The value of one wire.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// f32 numbers, computed at run time or constant.
    Data(Node),
    /// Known when the program is built: integers, booleans, dimensions, strings.
    Fixed(Arc<Tensor>),
    /// A comparison of numbers that are not known before run time; only a selection can use it.
    Test(Test),
}

/// `left` compared with `right`, element by element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Test {
    /// How.
    pub kind: Comparison,
    /// Left side.
    pub left: Node,
    /// Right side.
    pub right: Node,
}

/// Comparisons that a selection is recognised from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// left > right
    Greater,
    /// left < right
    Less,
    /// left = right
    Equal,
}

/// Refuses everything but f32.
pub(crate) fn check_float(kind: DatumType) -> Result<(), Why> {
    if kind == f32::datum_type() {
        return Ok(());
    }
    no(format!("carries {kind:?} at run time; only float32 flows through the engine"))
}

/// The shape of a fact as numbers, within the engine's limits.
pub(crate) fn concrete(fact: &TypedFact) -> Result<Vec<usize>, Why> {
    let Some(shape) = fact.shape.as_concrete() else {
        let dims: Vec<String> = fact.shape.iter().map(ToString::to_string).collect();
        return no(format!("has the shape [{}], which is not concrete; export with static shapes", dims.join(", ")));
    };
    let count = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
    if shape.len() > RANK_MAX || count.is_none_or(|n| n > ELEMENTS_MAX) {
        return no(format!("a tensor of shape {shape:?}; at most {ELEMENTS_MAX} numbers on {RANK_MAX} axes"));
    }
    Ok(shape.to_vec())
}

/// A constant of the file: numbers become a node, everything else stays fixed.
pub(crate) fn constant(graph: &mut Graph, tensor: &Arc<Tensor>) -> Result<Value, Why> {
    if tensor.datum_type() != f32::datum_type() {
        return Ok(Value::Fixed(Arc::clone(tensor)));
    }
    if tensor.volume() > ELEMENTS_MAX {
        return no(format!("a constant of shape {:?}; at most {ELEMENTS_MAX} numbers", tensor.shape()));
    }
    let plain = tensor.try_as_plain_ram()?;
    Ok(Value::Data(graph.constant(tensor.shape(), plain.as_slice::<f32>()?.to_vec())?))
}

/// The node of a value that must be numbers.
pub(crate) fn data(graph: &mut Graph, value: &Value) -> Result<Node, Why> {
    match value {
        Value::Data(node) => Ok(*node),
        Value::Fixed(tensor) => {
            check_float(tensor.datum_type())?;
            match constant(graph, tensor)? {
                Value::Data(node) => Ok(node),
                _ => no("a constant that is not float32"),
            }
        }
        Value::Test(_) => no("uses the outcome of a comparison as a number"),
    }
}

/// The input at a place, as numbers.
pub(crate) fn data_at(graph: &mut Graph, inputs: &[Value], slot: usize) -> Result<Node, Why> {
    match inputs.get(slot) {
        Some(value) => data(graph, value),
        None => no(format!("input {slot} is missing")),
    }
}

/// The tensor of a value that is known, of either kind.
pub(crate) fn known(graph: &Graph, value: &Value) -> Option<Arc<Tensor>> {
    match value {
        Value::Fixed(tensor) => Some(Arc::clone(tensor)),
        Value::Data(node) => {
            let numbers = graph.constant_data(*node)?;
            Tensor::from_shape(graph.shape(*node), numbers).ok().map(Arc::new)
        }
        Value::Test(_) => None,
    }
}

/// The one number of a constant all of whose elements are equal.
pub(crate) fn uniform(graph: &Graph, node: Node) -> Option<f32> {
    let numbers = graph.constant_data(node)?;
    let first = *numbers.first()?;
    numbers.iter().all(|v| v.to_bits() == first.to_bits()).then_some(first)
}

/// Lets tract compute a node whose inputs are all known; `None` if one is not or the operator has a state.
pub(crate) fn compute(graph: &mut Graph, node: &TypedNode, inputs: &[Value]) -> Result<Option<Vec<Value>>, Why> {
    if inputs.is_empty() {
        return Ok(None);
    }
    let Some(known) = inputs.iter().map(|value| known(graph, value)).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    for output in &node.outputs {
        concrete(&output.fact)?;
    }
    match evaluate(node.op.as_ref(), known.into_iter().map(IntoTValue::into_tvalue).collect()) {
        Ok(Some(results)) => {
            let results: Vec<Arc<Tensor>> = results.into_iter().map(|v| v.into_arc_tensor()).collect();
            results.iter().map(|tensor| constant(graph, tensor)).collect::<Result<Vec<_>, Why>>().map(Some)
        }
        Ok(None) => Ok(None),
        Err(error) if error.root_cause().is::<TooEarly>() => no("depends on a shape that is not concrete"),
        Err(error) => Err(error.into()),
    }
}

/// Runs one operator of tract. A panic in it (an integer division by zero, say) is an error, too.
pub(crate) fn evaluate(op: &dyn TypedOp, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
    catch_unwind(AssertUnwindSafe(|| op.eval_out_of_plan(inputs)))
        .unwrap_or_else(|_| Err(TractError::msg("tract panicked on constant inputs")))
}
