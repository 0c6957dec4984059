//! A network that can be run: compiled to the engine's program when every operator is in its set, else on tract's plan.
//!
//! The engine's program allocates nothing and has the same bits everywhere. tract's plan is the fallback: a wider operator set, with its own
//! arithmetic and allocations inside each run. Which of the two, and why, is part of the result ([`How`]).

use std::sync::Arc;

use flyball_core::ports::PredictFault;
use flyball_engine::{Graph, Instance, Path, Program};
use tract_onnx::prelude::*;

use crate::error::{ModelError, Refusal};
use crate::guard::{self, refused};
use crate::limits;
use crate::lower::{self, Unsupported};
use crate::onnx::{OnnxFile, caught};

/// An input or output tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Static shape; a symbolic batch has become the number of rows.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Numbers in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True for a tensor without numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What runs a network.
#[derive(Debug, Clone)]
pub enum How {
    /// The engine's program.
    Native,
    /// tract's plan, because of this.
    Fallback(Unsupported),
}

/// A loaded network with float32 inputs and outputs of static shape.
pub struct Network {
    runner: Runner,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    how: How,
}

enum Runner {
    Native(Instance),
    Tract(Box<TractRunner>),
}

impl Network {
    /// Reads ONNX bytes. A symbolic batch dimension becomes `rows`.
    ///
    /// # Errors
    /// The bytes are no ONNX file, break a limit, or neither engine can run the graph.
    pub fn read(bytes: &[u8], rows: usize) -> Result<Self, ModelError> {
        Self::new(OnnxFile::read(bytes)?.typed(rows)?)
    }

    /// Compiles a typed graph, or plans it where the engine lacks an operator.
    ///
    /// # Errors
    /// It is over a limit, or neither engine can run it.
    pub fn new(typed: TypedModel) -> Result<Self, ModelError> {
        caught(|| match lower::lower(&typed) {
            Ok(graph) => Self::native(&typed, &graph),
            Err(why) => Self::fallback(typed, why),
        })
    }

    /// tract's plan whatever the operators are: for comparison.
    ///
    /// # Errors
    /// tract cannot run the graph.
    pub fn on_tract(typed: TypedModel) -> Result<Self, ModelError> {
        let asked = Unsupported { node: String::new(), operator: String::new(), why: "tract was asked for".into() };
        caught(|| Self::fallback(typed, asked))
    }

    fn native(typed: &TypedModel, graph: &Graph) -> Result<Self, ModelError> {
        let program = Arc::new(Program::compile(graph, Path::best()).map_err(|e| {
            ModelError::new(
                Refusal::TooLarge,
                format!("the graph cannot be compiled ({e})"),
                "a compact network is needed",
                "use a smaller model or fewer rows",
            )
        })?);
        let inputs = infos(typed, &typed.inputs, program.inputs().map(<[usize]>::to_vec));
        let outputs = infos(typed, &typed.outputs, program.outputs().map(<[usize]>::to_vec));
        Ok(Self { runner: Runner::Native(program.instance()), inputs, outputs, how: How::Native })
    }

    fn fallback(mut typed: TypedModel, why: Unsupported) -> Result<Self, ModelError> {
        lower::reset_states(&mut typed);
        let names = |outlets: &[OutletId]| infos(&typed, outlets, std::iter::repeat_n(Vec::new(), outlets.len()));
        let (mut inputs, mut outputs) = (names(&typed.inputs), names(&typed.outputs));
        let runner = TractRunner::new(typed)?;
        inputs.iter_mut().zip(&runner.input_shapes).for_each(|(info, shape)| info.shape.clone_from(shape));
        outputs.iter_mut().zip(&runner.output_shapes).for_each(|(info, shape)| info.shape.clone_from(shape));
        Ok(Self { runner: Runner::Tract(Box::new(runner)), inputs, outputs, how: How::Fallback(why) })
    }

    /// Inputs in the file's order.
    #[must_use]
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// Outputs in the file's order.
    #[must_use]
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// What runs it.
    #[must_use]
    pub fn how(&self) -> &How {
        &self.how
    }

    /// The compiled program, when the engine runs it.
    #[must_use]
    pub fn program(&self) -> Option<&Arc<Program>> {
        match &self.runner {
            Runner::Native(instance) => Some(instance.program()),
            Runner::Tract(_) => None,
        }
    }

    /// Numbers of an input, row-major; they stay from one run to the next.
    ///
    /// # Panics
    /// There is no such input.
    pub fn input_mut(&mut self, input: usize) -> &mut [f32] {
        match &mut self.runner {
            Runner::Native(instance) => instance.input_mut(input),
            Runner::Tract(tract) => &mut tract.inputs[input],
        }
    }

    /// Numbers of an output after a run, row-major. They may be NaN.
    ///
    /// # Panics
    /// There is no such output.
    #[must_use]
    pub fn output(&self, output: usize) -> &[f32] {
        match &self.runner {
            Runner::Native(instance) => instance.output(output),
            Runner::Tract(tract) => &tract.outputs[output],
        }
    }

    /// Runs it once. Work is fixed by the network; the engine's program allocates nothing.
    ///
    /// # Errors
    /// tract's plan failed.
    pub fn run(&mut self) -> Result<(), PredictFault> {
        match &mut self.runner {
            Runner::Native(instance) => {
                instance.run();
                Ok(())
            }
            Runner::Tract(tract) => tract.run(),
        }
    }
}

/// tract's plan with the numbers it reads and writes.
struct TractRunner {
    state: TypedSimpleState,
    input_shapes: Vec<Vec<usize>>,
    output_shapes: Vec<Vec<usize>>,
    inputs: Vec<Vec<f32>>,
    outputs: Vec<Vec<f32>>,
}

impl TractRunner {
    fn new(typed: TypedModel) -> Result<Self, ModelError> {
        let shapes = |outlets: &[OutletId]| -> TractResult<Vec<Vec<usize>>> {
            outlets
                .iter()
                .map(|o| {
                    let fact = typed.outlet_fact(*o)?;
                    let shape = fact.shape.as_concrete().map(<[usize]>::to_vec);
                    let shape =
                        shape.ok_or_else(|| TractError::msg(format!("shape {:?} is not static", fact.shape)))?;
                    let numbers = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
                    if fact.datum_type != f32::datum_type() || numbers.is_none_or(|n| n > limits::TENSOR_NUMBERS_MAX) {
                        return Err(TractError::msg(format!("{:?} of shape {shape:?}", fact.datum_type)));
                    }
                    Ok(shape)
                })
                .collect()
        };
        let both = shapes(&typed.inputs).and_then(|inputs| Ok((inputs, shapes(&typed.outputs)?)));
        let (input_shapes, output_shapes) = both.map_err(|e| refused(&e))?;
        let zeros = |all: &[Vec<usize>]| all.iter().map(|s| vec![0.0; s.iter().product()]).collect::<Vec<_>>();
        let (inputs, outputs) = (zeros(&input_shapes), zeros(&output_shapes));
        let state = guard::plan(typed)?;
        let mut runner = Self { state, input_shapes, output_shapes, inputs, outputs };
        runner.try_run().map_err(|e| refused(&e))?;
        Ok(runner)
    }

    fn run(&mut self) -> Result<(), PredictFault> {
        // tract's tanh limits its argument by min and max, which turns NaN into a plausible number: NaN must not get that far.
        if !self.inputs.iter().flatten().all(|v| v.is_finite()) {
            return Err(PredictFault::NotFinite);
        }
        self.try_run().map_err(|_| {
            // A failed run leaves half-filled wires behind; the next run must not meet them.
            let _ = self.state.reset_turn();
            PredictFault::Engine
        })
    }

    fn try_run(&mut self) -> TractResult<()> {
        let mut fed = tvec!();
        for (shape, numbers) in self.input_shapes.iter().zip(&self.inputs) {
            fed.push(Tensor::from_shape(shape, numbers)?.into());
        }
        let answers = self.state.run(fed)?;
        for (answer, (shape, numbers)) in answers.iter().zip(self.output_shapes.iter().zip(&mut self.outputs)) {
            if answer.shape() != shape {
                return Err(TractError::msg(format!("an answer of shape {:?} instead of {shape:?}", answer.shape())));
            }
            let plain = answer.try_as_plain_ram()?;
            numbers.copy_from_slice(plain.as_slice::<f32>()?);
        }
        Ok(())
    }
}

/// Names of outlets, with these shapes.
fn infos(typed: &TypedModel, outlets: &[OutletId], shapes: impl Iterator<Item = Vec<usize>>) -> Vec<TensorInfo> {
    let name = |outlet: &OutletId| typed.outlet_label(*outlet).unwrap_or(&typed.node(outlet.node).name).to_owned();
    outlets.iter().zip(shapes).map(|(outlet, shape)| TensorInfo { name: name(outlet), shape }).collect()
}
