//! Models that read a window of time steps behind a port that gives them one step at a time.
//!
//! Two ways, chosen by the file and by what can be proved. *Windowed*: the last steps are kept and the whole window is run each time: exactly
//! what was trained. *Streamed*: one step is run and the network's own states are carried on; a fraction of the work. A streamed recurrent
//! network remembers since its last reset, a windowed one forgets what is older than its window; they are equal for the first window after a
//! reset. A network of convolutions is equal for ever, so it is always streamed.

use std::sync::Arc;

use flyball_core::ports::PredictFault;
use flyball_core::state::Archive;
use flyball_engine::stream::{Stream, stream};
use flyball_engine::{Graph, Instance, Path, Program};

use crate::contract::{WindowContract, WindowRun};
use crate::error::{ModelError, Refusal};
use crate::network::Network;

/// A model with memory, in the file's column order. Rows of the window are equally spaced in time.
pub(crate) struct Window {
    way: Way,
    steps: usize,
    /// Runs from which on an answer counts.
    warm_up: usize,
    /// The last steps (windowed) or the states (streamed).
    memory: Vec<f32>,
    at_start: Vec<f32>,
    /// Why a window is run as a whole although the file asks for streaming.
    pub note: Option<String>,
}

enum Way {
    Whole { network: Box<Network>, columns: usize, axis: usize },
    Streamed { instance: Box<Instance>, states: Vec<usize>, outputs: usize },
}

impl Window {
    /// Binds a network whose one input has the contract's window. `graph` is its form in the engine, when it has one.
    pub(crate) fn new(
        network: Network,
        graph: Option<&Graph>,
        window: &WindowContract,
        columns: usize,
    ) -> Result<Self, ModelError> {
        let streamed = match graph {
            Some(graph) => stream(graph, 0, window.axis).map_err(|why| why.to_string()),
            None => Err("the engine does not have all of its operators".to_owned()),
        };
        let asked = window.run == WindowRun::Stream;
        match streamed {
            Ok(streamed) if asked || streamed.equal_for_ever => Self::streamed(&streamed, window),
            Err(why) if asked => {
                let note = format!("the window is run as a whole, because one step alone cannot be run: {why}");
                Ok(Self { note: Some(note), ..Self::whole(network, window, columns) })
            }
            _ => Ok(Self::whole(network, window, columns)),
        }
    }

    fn whole(network: Network, window: &WindowContract, columns: usize) -> Self {
        let memory = vec![0.0; window.steps * columns];
        let way = Way::Whole { network: Box::new(network), columns, axis: window.axis };
        Self { way, steps: window.steps, warm_up: window.steps, at_start: memory.clone(), memory, note: None }
    }

    fn streamed(form: &Stream, window: &WindowContract) -> Result<Self, ModelError> {
        let program = Program::compile(&form.graph, Path::best()).map_err(|e| {
            ModelError::new(
                Refusal::TooLarge,
                format!("the one-step form of the network cannot be compiled ({e})"),
                "a compact network is needed",
                "use a smaller model",
            )
        })?;
        let instance = Box::new(Arc::new(program).instance());
        let memory: Vec<f32> = form.initial.concat();
        let way = Way::Streamed { instance, states: form.initial.iter().map(Vec::len).collect(), outputs: 1 };
        // A recurrent network answers from its first step, but was trained to answer at the end of a window.
        Ok(Self { way, steps: window.steps, warm_up: window.steps, at_start: memory.clone(), memory, note: None })
    }

    /// Runs from which on an answer counts.
    pub(crate) fn warm_up(&self) -> usize {
        self.warm_up
    }

    pub(crate) fn reset(&mut self) {
        self.memory.copy_from_slice(&self.at_start);
    }

    /// Keeps the last steps, or the states.
    pub(crate) fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep_all(&mut self.memory);
    }

    /// Takes one step, in the file's column order, and answers. Bounded by the network; allocates nothing when the engine runs it.
    pub(crate) fn step(&mut self, step: &[f32]) -> Result<&[f32], PredictFault> {
        match &mut self.way {
            Way::Whole { network, columns, axis } => {
                self.memory.copy_within(*columns.., 0);
                let newest = self.memory.len() - *columns;
                self.memory[newest..].copy_from_slice(step);
                let input = network.input_mut(0);
                if *axis == 1 {
                    input.copy_from_slice(&self.memory);
                } else {
                    for (t, row) in self.memory.chunks_exact(*columns).enumerate() {
                        for (column, value) in row.iter().enumerate() {
                            input[column * self.steps + t] = *value;
                        }
                    }
                }
                network.run()?;
                Ok(network.output(0))
            }
            Way::Streamed { instance, states, outputs } => {
                instance.input_mut(0).copy_from_slice(step);
                let mut at = 0;
                for (i, len) in states.iter().enumerate() {
                    instance.input_mut(1 + i).copy_from_slice(&self.memory[at..at + len]);
                    at += len;
                }
                instance.run();
                at = 0;
                for (i, len) in states.iter().enumerate() {
                    self.memory[at..at + len].copy_from_slice(instance.output(*outputs + i));
                    at += len;
                }
                Ok(instance.output(0))
            }
        }
    }
}
