//! Any ONNX file, with or without a contract: checked, then typed for given shapes, then lowered or planned.
//!
//! Commands, benches and tests go this way; [`crate::load_model`] adds the contract. Whatever the bytes are, the answer is a value or an
//! error: sizes and work are bounded ([`crate::limits`]), and a panic of tract is caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flyball_engine::Graph;
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

/// Tensors of a run: shape and numbers, row-major.
pub type Tensors = Vec<(Vec<usize>, Vec<f32>)>;

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
        caught(|| {
            let mut model = lower::parse(&self.proto).map_err(|e| refused(&e))?;
            lower::set_rows(&mut model, rows).map_err(|e| refused(&e))?;
            guard::typed(&self.proto, model)
        })
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

/// The engine's graph.
///
/// # Errors
/// The engine does not have an operator or a shape.
pub fn lowered(typed: &TypedModel) -> Result<Graph, ModelError> {
    caught(|| {
        lower::lower(typed).map_err(|e| {
            ModelError::new(
                Refusal::Engine,
                e.to_string(),
                "the operators of docs/OPERATORS.md are native",
                "use other layers, or let the model run on tract's plan",
            )
        })
    })
}

/// tract's plan: the way of models that cannot be lowered.
pub struct Fallback(TypedSimpleState);

impl Fallback {
    /// Plans a typed graph.
    ///
    /// # Errors
    /// Something is over its maximum, or tract refuses the graph.
    pub fn new(typed: TypedModel) -> Result<Self, ModelError> {
        caught(|| guard::plan(typed).map(Self))
    }

    /// One run. Allocates.
    ///
    /// # Errors
    /// tract's plan fails, or an output is not float32.
    pub fn run(&mut self, inputs: &[(&[usize], &[f32])]) -> Result<Tensors, ModelError> {
        let mut run = || -> TractResult<Tensors> {
            let fed = inputs.iter().map(|(shape, data)| Tensor::from_shape(shape, data).map(|t| t.into_tvalue()));
            let answers = self.0.run(fed.collect::<TractResult<TVec<TValue>>>()?)?;
            let read = |t: &TValue| Ok((t.shape().to_vec(), t.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()));
            answers.iter().map(read).collect()
        };
        let answer = caught(|| run().map_err(|e| refused(&e)));
        if answer.is_err() {
            // A failed run leaves half-filled wires behind; the next run must not meet them.
            let _ = self.0.reset_turn();
        }
        answer
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
