//! Any ONNX file, with or without a contract: checked, then typed for given shapes, then lowered or planned.
//!
//! Commands, benches and tests go this way; [`crate::load_model`] adds the contract. Whatever the bytes are, the answer is a value or an
//! error: sizes and work are bounded ([`crate::limits`]), and a panic of tract is caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tract_onnx::pb;
use tract_onnx::prelude::*;

use crate::error::{ModelError, Refusal};
use crate::guard::{self, refused};
use crate::{file, lower};

/// A file that passed every check which needs no building.
#[derive(Debug, Clone)]
pub struct OnnxFile {
    proto: pb::ModelProto,
}

impl OnnxFile {
    /// Decodes and checks a file's bytes.
    ///
    /// # Errors
    /// Not ONNX, too large, or against a rule.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        caught(|| file::decode(bytes).map(|proto| Self { proto }))
    }

    /// Checks a file that is decoded already.
    ///
    /// # Errors
    /// Against a rule.
    pub fn from_proto(proto: pb::ModelProto) -> Result<Self, ModelError> {
        caught(|| file::check(&proto))?;
        Ok(Self { proto })
    }

    /// The decoded file.
    pub(crate) fn proto(&self) -> &pb::ModelProto {
        &self.proto
    }

    /// tract's typed graph for this many rows; other dimensions as the file says.
    ///
    /// # Errors
    /// A shape is not static, something is over its maximum, or tract refuses the graph.
    pub fn typed(&self, rows: usize) -> Result<TypedModel, ModelError> {
        lower::typed(&self.proto, rows)
    }

    /// tract's typed graph for these shapes of its inputs, which must be float32.
    ///
    /// # Errors
    /// As [`OnnxFile::typed`]; or the number of inputs differs.
    pub fn typed_as(&self, shapes: &[&[usize]]) -> Result<TypedModel, ModelError> {
        caught(|| {
            let mut model = lower::parse(&self.proto).map_err(|e| refused(&e))?;
            if model.inputs.len() != shapes.len() {
                return Err(ModelError::new(
                    Refusal::WrongShape,
                    format!("the graph takes {} inputs and {} are given", model.inputs.len(), shapes.len()),
                    "both must be the same",
                    "give one tensor for each input that has no initial value",
                ));
            }
            for (slot, shape) in shapes.iter().enumerate() {
                model.set_input_fact(slot, f32::fact(*shape).into()).map_err(|e| refused(&e))?;
            }
            guard::typed(&self.proto, model)
        })
    }
}

/// A panic of tract is an error like any other.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(ModelError::new(
            Refusal::Engine,
            "the engine's parser panicked on the file",
            "a well-formed ONNX file is needed",
            "export the model again; if it still happens, report it with the file",
        ))
    })
}
