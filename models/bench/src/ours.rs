//! This engine as a contender: the network as the predictor port runs it, one step of a streamed window, or a program with derivatives.

use std::sync::Arc;

use flyball_engine::gradient::{jacobian, vjp};
use flyball_engine::stream::stream;
use flyball_engine::{Graph, Instance, Path, Program};
use flyball_models::{How, Network, lower};
use prost::Message;
use tract_onnx::pb;

use crate::case::{Carried, Case, Window, Work};
use crate::contender::Contender;

/// Name in tables; goals are judged for it.
pub const NAME: &str = "flyball";

/// Loads a case into this engine. The second part says what a reader must know of how it runs.
///
/// # Errors
/// The engine refuses the graph.
pub fn prepare(case: &Case) -> Result<(Box<dyn Contender>, Option<String>), String> {
    if case.work != Work::Value {
        return Ok((Box::new(derived(case)?), None));
    }
    if let Some(window) = &case.window {
        return Ok((Box::new(streamed(window)?), Some(format!("{NAME} streams the window's own graph"))));
    }
    let network = Network::read(&case.bytes, case.rows).map_err(|e| e.to_string())?;
    let note = match network.how() {
        How::Native => None,
        How::Fallback(why) => Some(format!("{NAME} runs on tract's plan: {why}")),
    };
    let state = case.carried.iter().map(|c| vec![0.0; network.outputs()[c.output].len()]).collect();
    Ok((Box::new(Whole { network, state, carried: case.carried.clone() }), note))
}

/// A network run as a whole.
struct Whole {
    network: Network,
    /// A network lends one tensor at a time: a state goes from output to input through here.
    state: Vec<Vec<f32>>,
    carried: Vec<Carried>,
}

impl Contender for Whole {
    fn name(&self) -> &str {
        NAME
    }

    fn set_input(&mut self, input: usize, numbers: &[f32]) -> Result<(), String> {
        self.network.input_mut(input).copy_from_slice(numbers);
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        self.network.run().map_err(|e| format!("{NAME}: {e:?}"))?;
        for (carried, state) in self.carried.iter().zip(&mut self.state) {
            state.copy_from_slice(self.network.output(carried.output));
            self.network.input_mut(carried.input).copy_from_slice(state);
        }
        Ok(())
    }

    fn output(&self, output: usize) -> Result<Vec<f32>, String> {
        Ok(self.network.output(output).to_vec())
    }

    fn counted(&self) -> bool {
        true
    }
}

/// The graph of a file.
fn graph(bytes: &[u8], rows: usize) -> Result<Graph, String> {
    let file = pb::ModelProto::decode(bytes).map_err(|e| e.to_string())?;
    let typed = lower::typed(&file, rows).map_err(|e| e.to_string())?;
    lower::lower(&typed).map_err(|e| e.to_string())
}

fn compile(graph: &Graph) -> Result<Instance, String> {
    let program = Program::compile(graph, Path::best()).map_err(|e| e.to_string())?;
    Ok(Arc::new(program).instance())
}

/// A program whose outputs are those of the network, then derivatives.
struct Derived(Instance);

fn derived(case: &Case) -> Result<Derived, String> {
    let value = graph(&case.bytes, case.rows)?;
    let inputs = value.inputs();
    if case.work == Work::Jacobian {
        return Ok(Derived(compile(&jacobian(&value, inputs, &[0]).map_err(|e| e.to_string())?)?));
    }
    let mut instance = compile(&vjp(&value, inputs, &[0]).map_err(|e| e.to_string())?)?;
    // Every number of the output counts once in the sum.
    instance.input_mut(inputs.len()).fill(1.0);
    Ok(Derived(instance))
}

impl Contender for Derived {
    fn name(&self) -> &str {
        NAME
    }

    fn set_input(&mut self, input: usize, numbers: &[f32]) -> Result<(), String> {
        self.0.input_mut(input).copy_from_slice(numbers);
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        self.0.run();
        Ok(())
    }

    fn output(&self, output: usize) -> Result<Vec<f32>, String> {
        Ok(self.0.output(output).to_vec())
    }

    fn counted(&self) -> bool {
        true
    }
}

/// One step of a window with its states, which go round through `memory` as the predictor keeps them.
struct Streamed {
    instance: Instance,
    /// Numbers of each state, in the order of the inputs after the step's own.
    memory: Vec<Vec<f32>>,
    /// Place of the first state among inputs and outputs.
    inputs: usize,
    outputs: usize,
}

fn streamed(window: &Window) -> Result<Streamed, String> {
    let graph = graph(&window.bytes, 1)?;
    let form = stream(&graph, 0, window.axis).map_err(|e| e.to_string())?;
    let (inputs, outputs) = (graph.inputs().len(), graph.outputs().len());
    Ok(Streamed { instance: compile(&form.graph)?, memory: form.initial, inputs, outputs })
}

impl Contender for Streamed {
    fn name(&self) -> &str {
        NAME
    }

    fn set_input(&mut self, input: usize, numbers: &[f32]) -> Result<(), String> {
        match input.checked_sub(self.inputs) {
            Some(state) => self.memory[state].copy_from_slice(numbers),
            None => self.instance.input_mut(input).copy_from_slice(numbers),
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        for (place, state) in self.memory.iter().enumerate() {
            self.instance.input_mut(self.inputs + place).copy_from_slice(state);
        }
        self.instance.run();
        for (place, state) in self.memory.iter_mut().enumerate() {
            state.copy_from_slice(self.instance.output(self.outputs + place));
        }
        Ok(())
    }

    fn output(&self, output: usize) -> Result<Vec<f32>, String> {
        Ok(self.instance.output(output).to_vec())
    }

    fn counted(&self) -> bool {
        true
    }
}
