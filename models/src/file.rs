//! From bytes to a checked ONNX graph: nothing is built from a file before its size, hash, weights, operators and shape are known good.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};
use tract_onnx::pb;
use tract_onnx::prelude::Framework;

use crate::error::{ModelError, Refusal};
use crate::{limits, nodes, wire};

/// Shape of the graph's one input and one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Dimensions of the input after the batch: the inputs, or inputs and steps of a window.
    pub row: Vec<usize>,
    /// False: the graph says batch 1; true: the batch is symbolic.
    pub any_batch: bool,
}

/// Reads a model file of at most [`limits::FILE_BYTES_MAX`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    let unreadable = |e: std::io::Error| {
        ModelError::new(
            Refusal::Unreadable,
            format!("{} cannot be read ({e})", path.display()),
            "a readable ONNX file is needed",
            "check the path (relative to the configuration file) and the rights",
        )
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(limits::FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    check_size(&bytes)?;
    Ok(bytes)
}

/// SHA-256 of bytes, hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use core::fmt::Write;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn check_size(bytes: &[u8]) -> Result<(), ModelError> {
    if bytes.len() as u64 <= limits::FILE_BYTES_MAX {
        return Ok(());
    }
    Err(ModelError::new(
        Refusal::TooLarge,
        format!("the file is larger than {} bytes", limits::FILE_BYTES_MAX),
        format!("at most {} MiB are allowed", limits::FILE_BYTES_MAX >> 20),
        "use a compact model",
    ))
}

/// Compares the SHA-256 of the bytes with the configuration's.
pub(crate) fn check_hash(bytes: &[u8], expected: &str) -> Result<(), ModelError> {
    let found = sha256(bytes);
    if found.eq_ignore_ascii_case(expected.trim()) {
        return Ok(());
    }
    Err(ModelError::new(
        Refusal::WrongHash,
        format!("the file has sha256 {found}"),
        format!("the configuration allows only {expected}"),
        "if the new file is approved, put its sha256 into the configuration; if not, put the approved file back",
    ))
}

/// Decodes the protobuf and checks everything that can be checked without building the graph.
pub(crate) fn decode(bytes: &[u8]) -> Result<pb::ModelProto, ModelError> {
    let file = parse(bytes)?;
    check(&file)?;
    Ok(file)
}

/// Decodes the protobuf and checks nothing else.
pub(crate) fn parse(bytes: &[u8]) -> Result<pb::ModelProto, ModelError> {
    check_size(bytes)?;
    if !wire::has_few_records(bytes) {
        return Err(ModelError::new(
            Refusal::TooLarge,
            "the file has too many entries or nests them too deep",
            format!("at most {} entries, {} deep, are allowed", limits::RECORDS_MAX, limits::RECORD_DEPTH_MAX),
            "use a compact model",
        ));
    }
    let mut reader = bytes;
    tract_onnx::onnx()
        .proto_model_for_read(&mut reader)
        .map_err(|e| damaged(format!("the file is not ONNX or is damaged ({})", e.root_cause())))
}

fn damaged(found: String) -> ModelError {
    ModelError::new(Refusal::NotOnnx, found, "a complete ONNX file is needed", "export or copy the file again")
}

/// Checks everything that can be checked without building the graph.
pub(crate) fn check(file: &pb::ModelProto) -> Result<(), ModelError> {
    let Some(graph) = &file.graph else {
        return Err(damaged("the file has no graph".to_owned()));
    };
    nodes::check(file, graph)
}

/// Refuses external data, sizes that contradict the dimensions, and floats that are not finite.
pub(crate) fn check_tensor(tensor: &pb::TensorProto, name: &str) -> Result<(), ModelError> {
    const EXTERNAL: i32 = 1; // onnx.proto: TensorProto.DataLocation.EXTERNAL
    if tensor.data_location == Some(EXTERNAL) || !tensor.external_data.is_empty() {
        return Err(ModelError::new(
            Refusal::ExternalData,
            format!("the weights '{name}' are stored in another file"),
            "all weights must be inside the model file",
            "save the model in one file",
        ));
    }
    if tensor.segment.is_some() {
        return Err(weight(format!("the weights '{name}' are stored in pieces"), "whole weights are allowed"));
    }
    let mut elements = 1_u64;
    for dim in &tensor.dims {
        let size = u64::try_from(*dim).ok();
        elements = size.and_then(|d| elements.checked_mul(d)).ok_or_else(|| misfit(tensor, name))?;
    }
    let typed = [
        tensor.float_data.len(),
        tensor.double_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.uint64_data.len(),
        tensor.string_data.len(),
    ];
    let bytes_per = match tensor.data_type {
        1 | 6 | 12 => 4,      // FLOAT, INT32, UINT32
        7 | 11 | 13 => 8,     // INT64, DOUBLE, UINT64
        4 | 5 | 10 | 16 => 2, // UINT16, INT16, FLOAT16, BFLOAT16
        2 | 3 | 9 => 1,       // UINT8, INT8, BOOL
        8 => 0,               // STRING, never raw
        other => {
            return Err(weight(
                format!("the weights '{name}' have data type {other}"),
                "ONNX number types are allowed",
            ));
        }
    };
    let stored = if tensor.raw_data.is_empty() {
        typed.iter().sum::<usize>() as u64
    } else if bytes_per > 0 && tensor.raw_data.len().is_multiple_of(bytes_per) {
        (tensor.raw_data.len() / bytes_per) as u64
    } else {
        return Err(misfit(tensor, name));
    };
    if stored != elements {
        return Err(misfit(tensor, name));
    }
    let raw32 = tensor.raw_data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    let raw64 =
        tensor.raw_data.chunks_exact(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
    let plain = tensor.float_data.iter().map(|v| f64::from(*v)).chain(tensor.double_data.iter().copied());
    // A single infinity is the limit of a clip or the mask of an attention, not a trained weight.
    let bad = |v: f64| v.is_nan() || (v.is_infinite() && elements != 1);
    let first_bad = match tensor.data_type {
        1 => raw32.chain(plain).position(bad),
        11 => raw64.chain(plain).position(bad),
        _ => None,
    };
    match first_bad {
        Some(at) => Err(weight(
            format!("element {at} of the weights '{name}' is NaN or infinite"),
            "every weight must be finite",
        )),
        None => Ok(()),
    }
}

fn misfit(tensor: &pb::TensorProto, name: &str) -> ModelError {
    weight(format!("the weights '{name}' do not fill their dimensions {:?}", tensor.dims), "size and data must agree")
}

pub(crate) fn weight(found: String, allowed: &str) -> ModelError {
    ModelError::new(Refusal::BadWeight, found, allowed, "train or export the model again")
}

/// One float input [1 or N, n] or [1 or N, a, b], and one output.
pub(crate) fn shape(file: &pb::ModelProto) -> Result<Shape, ModelError> {
    let graph = file.graph.as_ref().expect("decode refuses a file without a graph");
    let wrong = |found: String| {
        ModelError::new(
            Refusal::WrongShape,
            found,
            "one float32 input of shape [1, n] or [N, n], or with a window [N, steps, n] or [N, n, steps], and one output are allowed",
            "export the model with a static number of inputs in one tensor",
        )
    };
    let free: Vec<_> = graph.input.iter().filter(|i| !graph.initializer.iter().any(|t| t.name == i.name)).collect();
    if free.len() != 1 || graph.output.len() != 1 {
        return Err(wrong(format!("the graph has {} inputs and {} outputs", free.len(), graph.output.len())));
    }
    let Some(pb::type_proto::Value::TensorType(tensor)) = free[0].r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(wrong(format!("input '{}' has no tensor type", free[0].name)));
    };
    if tensor.elem_type != 1 {
        return Err(wrong(format!("input '{}' has element type {}", free[0].name, tensor.elem_type)));
    }
    use pb::tensor_shape_proto::dimension::Value as Dim;
    let dims: Vec<_> = tensor.shape.iter().flat_map(|s| &s.dim).map(|d| d.value.as_ref()).collect();
    let largest = (limits::WINDOW_STEPS_MAX * flyball_core::bounds::MODEL_INPUTS_MAX) as i64;
    let row: Option<Vec<usize>> = dims
        .iter()
        .skip(1)
        .map(|dim| match dim {
            Some(Dim::DimValue(n)) if (1..=largest).contains(n) => Some(*n as usize),
            _ => None,
        })
        .collect();
    let Some(row) = row.filter(|row| (1..=2).contains(&row.len())) else {
        return Err(wrong(format!(
            "input '{}' has {} dimensions, or one beside the first is no number",
            free[0].name,
            dims.len()
        )));
    };
    match dims[0] {
        Some(Dim::DimValue(1)) => Ok(Shape { row, any_batch: false }),
        Some(Dim::DimValue(other)) => Err(wrong(format!("input '{}' has a fixed batch of {other}", free[0].name))),
        Some(Dim::DimParam(_)) | None => Ok(Shape { row, any_batch: true }),
    }
}
