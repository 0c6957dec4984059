//! From tract's typed graph to the engine's graph, or the reason why not.
//!
//! Stage. [`typed`] stops right after typing, before tract's declutter passes: there the operators are those which the importers wire, a
//! closed list, with axes where ONNX puts them. Declutter moves axes through the graph, splits products over loops and merges patterns into
//! operators of its own, differently for each graph. What it would gain (constants, folded normalisation, merged activations) is done here,
//! on the engine's few operators ([`simplify`], [`recognise`]).
//!
//! Only f32 flows through the engine's graph. Integers, booleans and dimensions are compile-time [`Value::Fixed`] and are computed by tract
//! itself; an operator that needs them at run time is refused.
//!
//! Words: a *move* changes no number (transpose, slice, pad, gather); *places* are numbers 0, 1, 2... that are sent through a move to learn
//! where each number comes from.

mod conv;
mod elementwise;
mod import;
mod matmul;
mod moves;
mod nn;
mod pool;
mod recognise;
mod recurrent;
mod repairs;
mod scan;
mod simplify;
mod value;

use std::collections::HashMap;
use std::fmt;

use flyball_engine::{Graph, GraphError};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::IfThenElse;

pub(crate) use import::parse;
pub use import::{reset_states, typed};
use value::Value;

/// An operator or a shape that the engine does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// Name of the file's node, or of what tract made from it.
    pub node: String,
    /// tract's name of the operator.
    pub operator: String,
    /// One sentence without the node's name.
    pub why: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node '{}' ({}): {}", self.node, self.operator, self.why)
    }
}

impl std::error::Error for Unsupported {}

/// Why one operator cannot be translated; the walk adds the node's name.
#[derive(Debug)]
pub(crate) enum Why {
    /// Said about the operator itself.
    Here(String),
    /// Said inside a loop or a branch, with its place.
    Inside(Unsupported),
}

impl Why {
    fn at(self, node: &TypedNode) -> Unsupported {
        match self {
            Self::Here(why) => Unsupported { node: node.name.clone(), operator: node.op.name().into_owned(), why },
            Self::Inside(known) => known,
        }
    }
}

impl From<GraphError> for Why {
    fn from(error: GraphError) -> Self {
        Self::Here(error.0)
    }
}

impl From<TractError> for Why {
    fn from(error: TractError) -> Self {
        Self::Here(error.root_cause().to_string())
    }
}

/// Says why not.
pub(crate) fn no<T>(why: impl Into<String>) -> Result<T, Why> {
    Err(Why::Here(why.into()))
}

/// Translates a typed graph of concrete shapes; inputs and outputs keep their order.
///
/// # Errors
/// The first operator that the engine does not have, a shape that is not concrete, or a size over the engine's limits. Nothing large is
/// allocated before it is checked.
pub fn lower(model: &TypedModel) -> Result<Graph, Unsupported> {
    let mut graph = Graph::new();
    let mut inputs = Vec::new();
    for outlet in &model.inputs {
        let node = model.node(outlet.node);
        graph.set_origin(&node.name);
        let fact = &node.outputs[outlet.slot].fact;
        let made = value::check_float(fact.datum_type)
            .and_then(|()| value::concrete(fact))
            .and_then(|shape| Ok(graph.input(&shape)?));
        inputs.push(Value::Data(made.map_err(|why| why.at(node))?));
    }
    for (value, outlet) in walk(&mut graph, model, &inputs)?.iter().zip(&model.outputs) {
        let node = model.node(outlet.node);
        let data = value::data(&mut graph, value).map_err(|why| why.at(node))?;
        graph.output(data);
    }
    let order = graph.inputs().to_vec();
    simplify::simplify(&graph, &order, &simplify::Known::new()).map_err(|error| Unsupported {
        node: "graph".to_owned(),
        operator: "graph".to_owned(),
        why: error.0,
    })
}

/// Translates all nodes that the outputs need and returns the outputs' values.
pub(crate) fn walk(graph: &mut Graph, model: &TypedModel, inputs: &[Value]) -> Result<Vec<Value>, Unsupported> {
    let mut values: HashMap<OutletId, Value> = model.inputs.iter().copied().zip(inputs.iter().cloned()).collect();
    let order = model.eval_order().map_err(|error| Unsupported {
        node: "graph".to_owned(),
        operator: "graph".to_owned(),
        why: error.root_cause().to_string(),
    })?;
    for id in order {
        let node = model.node(id);
        if values.contains_key(&OutletId::new(id, 0)) {
            continue;
        }
        graph.set_origin(&node.name);
        let fed: Option<Vec<Value>> = node.inputs.iter().map(|outlet| values.get(outlet).cloned()).collect();
        let made = match fed {
            Some(fed) => node_values(graph, node, &fed).map_err(|why| why.at(node))?,
            None => return no("an input has no value").map_err(|why| why.at(node)),
        };
        values.extend(made.into_iter().enumerate().map(|(slot, value)| (OutletId::new(id, slot), value)));
    }
    let missing = |outlet: &OutletId| no("has no value").map_err(|why: Why| why.at(model.node(outlet.node)));
    model.outputs.iter().map(|outlet| values.get(outlet).cloned().map_or_else(|| missing(outlet), Ok)).collect()
}

/// The values of one node, checked against the shapes that tract inferred.
pub(crate) fn node_values(graph: &mut Graph, node: &TypedNode, inputs: &[Value]) -> Result<Vec<Value>, Why> {
    let facts: Vec<&TypedFact> = node.outputs.iter().map(|output| &output.fact).collect();
    let float = |value: &Value| !matches!(value, Value::Fixed(_));
    let only_fixed = !inputs.is_empty() && !inputs.iter().any(float);
    let fixed_result = facts.iter().any(|fact| fact.datum_type != f32::datum_type());
    if (only_fixed || fixed_result)
        && let Some(values) = value::compute(graph, node, inputs)?
    {
        return Ok(values);
    }
    let made = match operation(graph, node, inputs) {
        Ok(made) => made,
        Err(why) => match value::compute(graph, node, inputs) {
            Ok(Some(values)) => values,
            _ => return Err(why),
        },
    };
    for (value, fact) in made.iter().zip(&facts) {
        if let Value::Data(data) = value {
            let (found, wanted) = (graph.shape(*data).to_vec(), value::concrete(fact)?);
            if found != wanted {
                return no(format!("was translated to shape {found:?} where tract infers {wanted:?}"));
            }
        }
    }
    Ok(made)
}

/// One operator, by its kind.
fn operation(graph: &mut Graph, node: &TypedNode, inputs: &[Value]) -> Result<Vec<Value>, Why> {
    use tract_onnx::tract_core::ops;
    if let Some(op) = node.op_as::<Const>() {
        return Ok(vec![value::constant(graph, op.val())?]);
    }
    if let Some(op) = node.op_as::<IfThenElse>() {
        return branch(graph, op, inputs);
    }
    if moves::is_move(node, inputs) {
        return moves::moves(graph, node, inputs, None);
    }
    if let Some(made) = elementwise::elementwise(graph, node, inputs)? {
        return Ok(vec![made]);
    }
    if let Some(op) = node.op_as::<ops::einsum::EinSum>() {
        return Ok(vec![Value::Data(matmul::einsum(graph, op, node, inputs, None)?)]);
    }
    if let Some(op) = node.op_as::<ops::cnn::Conv>() {
        return Ok(vec![Value::Data(conv::conv(graph, op, inputs)?)]);
    }
    if let Some(op) = node.op_as::<ops::cnn::MaxPool>() {
        return pool::max_pool(graph, op, inputs);
    }
    if let Some(op) = node.op_as::<ops::cnn::SumPool>() {
        return Ok(vec![Value::Data(pool::sum_pool(graph, op, inputs)?)]);
    }
    if let Some(op) = node.op_as::<ops::nn::Reduce>() {
        return Ok(vec![Value::Data(nn::reduce(graph, op, inputs)?)]);
    }
    if let Some(op) = node.op_as::<ops::nn::Softmax>() {
        return Ok(vec![Value::Data(nn::softmax(graph, op, inputs)?)]);
    }
    if let Some(op) = node.op_as::<ops::lstm_cell::LstmEpilogue>() {
        return recurrent::lstm_cell(graph, op.hidden, inputs);
    }
    if let Some(op) = node.op_as::<ops::gru_cell::GruEpilogue>() {
        return recurrent::gru_cell(graph, op.hidden, inputs);
    }
    if let Some(op) = node.op_as::<ops::gru_seq::GruSeq>() {
        return recurrent::gru_sequence(graph, op, inputs);
    }
    if let Some(op) = node.op_as::<ops::scan::Scan>() {
        return scan::scan(graph, op, node, inputs);
    }
    no("the engine does not have this operator")
}

/// A branch whose condition is known.
fn branch(graph: &mut Graph, op: &IfThenElse, inputs: &[Value]) -> Result<Vec<Value>, Why> {
    let Some(Value::Fixed(condition)) = inputs.first() else {
        return no("the condition is not constant, and a branch must be known when the program is built");
    };
    let (body, mapping) = if condition.cast_to_scalar::<bool>()? {
        (&op.then_body, &op.then_input_mapping)
    } else {
        (&op.else_body, &op.else_input_mapping)
    };
    let fed: Vec<Value> = mapping.iter().map(|slot| inputs[*slot].clone()).collect();
    walk(graph, body, &fed).map_err(Why::Inside)
}
