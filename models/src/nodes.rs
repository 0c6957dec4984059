//! Checks of a graph as it stands in the file: operators, attributes, names and their order. Nothing is built yet.
//!
//! What passes has only operators of the list ([`crate::operators`]), is sorted so that each tensor is made before it is read, makes each
//! name once, and asks for no window, step or group that is absurd.

use std::collections::HashSet;

use tract_onnx::pb;

use crate::error::{ModelError, Refusal};
use crate::file::{self, weight};
use crate::{limits, operators};

/// Attributes that count things: 0 and below mean nothing, and engines divide by them.
const COUNTS: &[&str] =
    &["blocksize", "dilations", "group", "hidden_size", "kernel_shape", "num_groups", "num_heads", "size", "strides"];
/// Attributes that may hold any integer: ends of a slice are often the largest number there is.
const ANY_SIZE: &[&str] = &["ends", "seed", "starts", "value_int", "value_ints"];

/// Checks the graph of a file.
pub(crate) fn check(file: &pb::ModelProto, graph: &pb::GraphProto) -> Result<(), ModelError> {
    check_version(file)?;
    if graph.node.len() > limits::NODES_MAX {
        return Err(ModelError::new(
            Refusal::TooLarge,
            format!("the graph has {} nodes", graph.node.len()),
            format!("at most {} nodes are allowed", limits::NODES_MAX),
            "use a compact model",
        ));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err(weight("the graph has sparse weights".to_owned(), "dense float weights are allowed"));
    }
    for tensor in &graph.initializer {
        file::check_tensor(tensor, &tensor.name)?;
    }
    for node in &graph.node {
        check_node(node)?;
    }
    check_dimension_names(graph)?;
    check_names(graph)
}

/// tract reads the name of a dimension as an expression, by recursion.
fn check_dimension_names(graph: &pb::GraphProto) -> Result<(), ModelError> {
    use pb::{tensor_shape_proto::dimension::Value, type_proto};
    for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
            continue;
        };
        for dim in tensor.shape.iter().flat_map(|s| &s.dim) {
            if let Some(Value::DimParam(name)) = &dim.value
                && name.len() > limits::DIMENSION_NAME_MAX
            {
                return Err(ModelError::new(
                    Refusal::WrongShape,
                    format!("a dimension of '{}' has a name of {} characters", value.name, name.len()),
                    format!("at most {} are allowed", limits::DIMENSION_NAME_MAX),
                    "export the model with short names of dimensions",
                ));
            }
        }
    }
    Ok(())
}

fn check_version(file: &pb::ModelProto) -> Result<(), ModelError> {
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let versions: Vec<i64> = file.opset_import.iter().filter(|o| standard(&o.domain)).map(|o| o.version).collect();
    if let [version] = versions.as_slice()
        && operators::OPSETS.contains(version)
    {
        return Ok(());
    }
    Err(ModelError::new(
        Refusal::UnknownOperator,
        format!("the file uses operator sets {versions:?}"),
        format!("one standard operator set of {} to {} is allowed", operators::OPSETS.start(), operators::OPSETS.end()),
        "export the model with opset 18",
    ))
}

fn check_node(node: &pb::NodeProto) -> Result<(), ModelError> {
    let standard = node.domain.is_empty() || node.domain == "ai.onnx";
    let Some(honoured) = operators::attributes(&node.op_type).filter(|_| standard) else {
        let domain = if standard { String::new() } else { format!("{}.", node.domain) };
        return Err(ModelError::new(
            Refusal::UnknownOperator,
            format!("node '{}' uses operator {domain}{}", node.name, node.op_type),
            "only the standard operators of docs/OPERATORS.md are allowed",
            "export the model with standard operators (opset 9 to 18)",
        ));
    };
    let mut seen = HashSet::new();
    for attribute in &node.attribute {
        let refuse = |found: &str, allowed: String| {
            Err(ModelError::new(
                Refusal::BadAttribute,
                format!("attribute {} of node '{}' ({}) {found}", attribute.name, node.name, node.op_type),
                allowed,
                "export the model again without it, or with another layer",
            ))
        };
        if !seen.insert(attribute.name.as_str()) {
            return refuse("stands there twice", "each attribute may stand once".to_owned());
        }
        if !honoured.contains(&attribute.name.as_str()) {
            return refuse("would be ignored", format!("{} takes {honoured:?}", node.op_type));
        }
        if operators::would_be_ignored(&node.op_type, attribute) {
            return refuse("has a value that would be ignored", "only its default is allowed".to_owned());
        }
        if attribute.g.is_some() || !attribute.graphs.is_empty() || !attribute.ref_attr_name.is_empty() {
            return refuse("holds a graph", "a graph without branches and loops is allowed".to_owned());
        }
        if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
            return refuse("holds sparse numbers", "dense numbers are allowed".to_owned());
        }
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            file::check_tensor(tensor, &node.name)?;
        }
        if attribute.floats.iter().chain([&attribute.f]).any(|v| v.is_nan()) {
            return Err(weight(
                format!("attribute {} of node '{}' is NaN", attribute.name, node.name),
                "every number must be finite",
            ));
        }
        let ints = attribute.ints.iter().chain([&attribute.i]);
        let largest = limits::ELEMENTS_MAX as i64;
        let name = attribute.name.as_str();
        if !ANY_SIZE.contains(&name) && ints.clone().any(|i| !(-largest..=largest).contains(i)) {
            return refuse("is too large", format!("numbers of -{largest} to {largest} are allowed"));
        }
        let holds = attribute.ints.iter().chain(Some(&attribute.i).filter(|_| attribute.ints.is_empty()));
        if COUNTS.contains(&name) && holds.clone().any(|i| *i < 1) {
            return refuse("is below 1", "numbers from 1 are allowed".to_owned());
        }
        let taps = attribute.ints.iter().try_fold(1_i64, |n, i| n.checked_mul(*i));
        if name == "kernel_shape" && taps.is_none_or(|n| n as u64 > limits::TAPS_MAX) {
            return refuse("is too large", format!("windows of at most {} numbers are allowed", limits::TAPS_MAX));
        }
    }
    Ok(())
}

/// Each name is made once, and before it is read.
fn check_names(graph: &pb::GraphProto) -> Result<(), ModelError> {
    let bad = |found: String| {
        ModelError::new(
            Refusal::BadGraph,
            found,
            "each tensor must be made once, before it is read",
            "export the model again",
        )
    };
    let mut initial = HashSet::new();
    if let Some(twice) = graph.initializer.iter().find(|t| !initial.insert(t.name.as_str())) {
        return Err(bad(format!("two weights are called '{}'", twice.name)));
    }
    let mut made = HashSet::new();
    if let Some(twice) = graph.input.iter().find(|i| !made.insert(i.name.as_str())) {
        return Err(bad(format!("two inputs are called '{}'", twice.name)));
    }
    made.extend(initial);
    for node in &graph.node {
        for name in node.input.iter().filter(|n| !n.is_empty()) {
            if !made.contains(name.as_str()) {
                return Err(bad(format!(
                    "node '{}' ({}) reads '{name}', which is not made before",
                    node.name, node.op_type
                )));
            }
        }
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            if !made.insert(name.as_str()) {
                return Err(bad(format!("node '{}' ({}) makes '{name}' again", node.name, node.op_type)));
            }
        }
    }
    if graph.output.is_empty() {
        return Err(bad("the graph has no output".to_owned()));
    }
    match graph.output.iter().find(|o| !made.contains(o.name.as_str())) {
        Some(missing) => Err(bad(format!("nothing makes the output '{}'", missing.name))),
        None => Ok(()),
    }
}
