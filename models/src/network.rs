//! A network that can be run: compiled to the engine's program when every operator is in its set, else on tract's plan.
//!
//! The engine's program allocates nothing and has the same bits everywhere. tract's plan is the fallback: a wider operator set, with its own
//! arithmetic and allocations inside each run. Which of the two, and why, is part of the result ([`How`]).

use std::sync::Arc;

use flyball_core::ports::PredictFault;
use flyball_engine::{Graph, Instance, Path, Program};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use crate::error::{ModelError, Refusal};
use crate::guard::{self, refused};
use crate::lower::{self, Unsupported};
use crate::{file, limits};

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
        Self::new(&file::decode(bytes)?, rows)
    }

    /// The same for a decoded file.
    ///
    /// # Errors
    /// As [`Network::read`].
    pub fn new(proto: &ModelProto, rows: usize) -> Result<Self, ModelError> {
        Self::on(proto, rows, Path::best())
    }

    /// The same for one instruction set; [`Network::new`] takes the best.
    ///
    /// # Errors
    /// As [`Network::read`].
    pub fn on(proto: &ModelProto, rows: usize, path: Path) -> Result<Self, ModelError> {
        let typed = lower::typed(proto, rows)?;
        match lower::lower(&typed) {
            Ok(graph) => Self::native(proto, &graph, path),
            Err(why) => Self::fallback(proto, typed, why),
        }
    }

    /// tract's plan whatever the operators are: for comparison.
    ///
    /// # Errors
    /// tract cannot run the graph.
    pub fn on_tract(proto: &ModelProto, rows: usize) -> Result<Self, ModelError> {
        let asked = Unsupported { node: String::new(), operator: String::new(), why: "tract was asked for".into() };
        Self::fallback(proto, lower::typed(proto, rows)?, asked)
    }

    fn native(proto: &ModelProto, graph: &Graph, path: Path) -> Result<Self, ModelError> {
        let program = Arc::new(Program::compile(graph, path).map_err(|e| {
            ModelError::new(
                Refusal::TooLarge,
                format!("the graph cannot be compiled ({e})"),
                "a compact network is needed",
                "use a smaller model or fewer rows",
            )
        })?);
        let inputs = infos(&input_names(proto), program.inputs().map(<[usize]>::to_vec));
        let outputs = infos(&output_names(proto), program.outputs().map(<[usize]>::to_vec));
        Ok(Self { runner: Runner::Native(program.instance()), inputs, outputs, how: How::Native })
    }

    fn fallback(proto: &ModelProto, mut typed: TypedModel, why: Unsupported) -> Result<Self, ModelError> {
        lower::reset_states(&mut typed);
        let runner = TractRunner::new(typed)?;
        let shapes = |all: &[Vec<usize>]| all.to_vec().into_iter();
        let inputs = infos(&input_names(proto), shapes(&runner.input_shapes));
        let outputs = infos(&output_names(proto), shapes(&runner.output_shapes));
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

/// Names of the graph's inputs that are not weights.
fn input_names(proto: &ModelProto) -> Vec<String> {
    let graph = proto.graph.iter();
    let names = graph.flat_map(|g| {
        g.input.iter().filter(|i| !g.initializer.iter().any(|t| t.name == i.name)).map(|i| i.name.clone())
    });
    names.collect()
}

fn output_names(proto: &ModelProto) -> Vec<String> {
    proto.graph.iter().flat_map(|g| g.output.iter().map(|o| o.name.clone())).collect()
}

fn infos(names: &[String], shapes: impl Iterator<Item = Vec<usize>>) -> Vec<TensorInfo> {
    let names = names.iter().cloned().chain(std::iter::repeat(String::new()));
    shapes.zip(names).map(|(shape, name)| TensorInfo { name, shape }).collect()
}
