//! One case on disk: a model, and sets of inputs with the outputs that are expected.

use std::collections::BTreeSet;
use std::path::Path;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use crate::{file, limits};

/// Folders of cases whose models are files in the package. `real` downloads its models, `light` has no inputs.
pub(super) const KINDS: [&str; 4] = ["node", "pytorch-converted", "pytorch-operator", "simple"];
/// Cases of one kind, sets of one case, tensors of one set at most.
const CASES_MAX: usize = 10_000;
const SETS_MAX: usize = 16;
const TENSORS_MAX: usize = 64;

/// A float32 tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// Inputs and expected outputs in the graph's order.
pub(super) struct DataSet {
    pub inputs: Vec<pb::TensorProto>,
    pub outputs: Vec<pb::TensorProto>,
}

pub(super) struct Case {
    pub model: pb::ModelProto,
    pub sets: Vec<DataSet>,
}

/// Names of the cases of one kind, in order; none if the folder does not exist.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| format!("{} cannot be read ({e})", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("model.onnx").is_file() {
            names.push(name);
        }
        if names.len() > CASES_MAX {
            return Err(format!("{} holds more than {CASES_MAX} cases", folder.display()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads one case. The model is decoded but not checked: that is part of what is tested.
pub(super) fn read(folder: &Path) -> Result<Case, String> {
    let bytes = file::read(&folder.join("model.onnx")).map_err(|e| e.found)?;
    let model = file::parse(&bytes).map_err(|e| e.found)?;
    let mut sets = Vec::new();
    for number in 0..SETS_MAX {
        let set = folder.join(format!("test_data_set_{number}"));
        if !set.is_dir() {
            break;
        }
        sets.push(DataSet { inputs: tensors(&set, "input")?, outputs: tensors(&set, "output")? });
    }
    if sets.is_empty() { Err("the case has no test_data_set_0".to_owned()) } else { Ok(Case { model, sets }) }
}

fn tensors(folder: &Path, what: &str) -> Result<Vec<pb::TensorProto>, String> {
    let mut found = Vec::new();
    for number in 0..TENSORS_MAX {
        let path = folder.join(format!("{what}_{number}.pb"));
        if !path.is_file() {
            break;
        }
        let bytes = file::read(&path).map_err(|e| e.found)?;
        let tensor = tract_onnx::tensor::proto_from_reader(bytes.as_slice());
        // A sequence or an optional is no tensor: an empty one stands for it, and the case turns out to be outside.
        found.push(tensor.unwrap_or_default());
    }
    Ok(found)
}

impl Case {
    pub fn graph(&self) -> Option<&pb::GraphProto> {
        self.model.graph.as_ref()
    }

    /// The operators of the model, each once; those of another domain with it in front.
    pub fn operators(&self) -> Vec<String> {
        let nodes = self.graph().map(|g| g.node.as_slice()).unwrap_or_default();
        let name = |n: &pb::NodeProto| match n.domain.as_str() {
            "" | "ai.onnx" => n.op_type.clone(),
            domain => format!("{domain}.{}", n.op_type),
        };
        nodes.iter().map(name).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether float32 comes in and only float32 goes out; else what it asks for.
    pub fn scope(&self) -> Result<(), String> {
        let Some(graph) = self.graph() else { return Err("a file without a graph".to_owned()) };
        for (what, values) in [("input", &graph.input), ("output", &graph.output)] {
            for value in values {
                if !is_tensor(value) {
                    return Err(format!("{what} '{}' is no tensor", value.name));
                }
            }
        }
        for set in &self.sets {
            for tensor in &set.outputs {
                if tensor.data_type != DataType::Float as i32 {
                    return Err(format!("an output of type {}", type_name(tensor)));
                }
            }
            for tensor in &set.inputs {
                if !is_number(tensor) && !is_fixed(tensor) {
                    return Err(format!("an input of type {}", type_name(tensor)));
                }
            }
        }
        Ok(())
    }

    /// Graph inputs that are fed: those without an initial value, in order.
    pub fn fed(&self) -> Vec<String> {
        let Some(graph) = self.graph() else { return Vec::new() };
        let initial: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        graph.input.iter().map(|i| i.name.clone()).filter(|name| !initial.contains(name.as_str())).collect()
    }
}

fn is_tensor(value: &pb::ValueInfoProto) -> bool {
    let kind = value.r#type.as_ref().and_then(|t| t.value.as_ref());
    matches!(kind, Some(pb::type_proto::Value::TensorType(_)))
}

pub(super) fn is_number(tensor: &pb::TensorProto) -> bool {
    tensor.data_type == DataType::Float as i32
}

/// Integers and flags say how a graph is built; every static model has them as constants.
fn is_fixed(tensor: &pb::TensorProto) -> bool {
    [DataType::Int64, DataType::Int32, DataType::Bool].iter().any(|t| tensor.data_type == *t as i32)
}

fn type_name(tensor: &pb::TensorProto) -> String {
    DataType::try_from(tensor.data_type).map_or("unknown".to_owned(), |t| format!("{t:?}").to_lowercase())
}

/// The numbers of a float32 tensor. Its size is bounded by its file.
pub(super) fn numbers(tensor: &pb::TensorProto) -> Result<Numbers, String> {
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let shape = shape.ok_or("a negative dimension")?;
    let data: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let count = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
    if count != Some(data.len()) || data.len() as u64 > limits::ELEMENTS_MAX {
        return Err(format!("a tensor of shape {shape:?} with {} numbers", data.len()));
    }
    Ok(Numbers { shape, data })
}
