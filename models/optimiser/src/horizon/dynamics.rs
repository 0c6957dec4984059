//! A model that reads a window of time, as a function of one row and what it remembers of earlier ones.
//!
//! A *row* holds one number per input for one step: MVs as they stand during the step, everything else as measured at its beginning. The
//! *answer* to a row is the outputs at the step's end. What is remembered is a *memory*: the states of the one-step form, or, where there is
//! none, the last rows themselves.

use flyball_engine::index::{IndexMap, elements};
use flyball_engine::stream::{Stream, stream};
use flyball_engine::{Graph, GraphError, Node};

use super::template::Template;

/// How a windowed model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// One step at a time where the engine can do that, else the whole window.
    Stepwise,
    /// One step at a time only where that equals the whole window for ever.
    AsTrained,
}

/// A windowed model: its graph has one input [1, steps, inputs] or [1, inputs, steps] and one output [1, outputs].
#[derive(Debug, Clone)]
pub struct Dynamics {
    form: Form,
    axis: usize,
    window: usize,
    columns: usize,
    outputs: usize,
    /// Why every step runs the whole window, where one step alone was wanted.
    pub note: Option<String>,
}

#[derive(Debug, Clone)]
enum Form {
    Stepwise(Stream),
    Whole(Graph),
}

impl Dynamics {
    /// Takes a model whose steps are along `axis`, 1 or 2.
    ///
    /// # Errors
    /// The graph has another shape.
    pub fn new(graph: &Graph, axis: usize, run: Run) -> Result<Self, GraphError> {
        let shapes: Vec<&[usize]> = graph.inputs().iter().chain(graph.outputs()).map(|n| graph.shape(*n)).collect();
        let (window, columns, outputs) = match (&shapes[..], axis) {
            ([[1, steps, inputs], [1, outputs]], 1) | ([[1, inputs, steps], [1, outputs]], 2) if *steps >= 2 => {
                (*steps, *inputs, *outputs)
            }
            _ => {
                return Err(GraphError(format!(
                    "inputs and outputs have shapes {shapes:?}; one input [1, steps, inputs] or [1, inputs, steps] with at least two \
                     steps and one output [1, outputs] are allowed"
                )));
            }
        };
        let (form, note) = match stream(graph, 0, axis) {
            Ok(form) if run == Run::Stepwise || form.equal_for_ever => (Form::Stepwise(form), None),
            Ok(_) => (Form::Whole(graph.clone()), Some("it was trained on windows that each begin anew".to_owned())),
            Err(why) => (Form::Whole(graph.clone()), Some(why.to_string())),
        };
        Ok(Self { form, axis, window, columns, outputs, note })
    }

    /// Steps of its window; so many rows must have been seen before an answer counts.
    #[must_use]
    pub fn window(&self) -> usize {
        self.window
    }

    /// Numbers of one row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Numbers of one answer.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether one step is run at a time.
    #[must_use]
    pub fn is_stepwise(&self) -> bool {
        matches!(self.form, Form::Stepwise(_))
    }

    /// The memory before the first row.
    #[must_use]
    pub fn initial(&self) -> Vec<Vec<f32>> {
        match &self.form {
            Form::Stepwise(form) => form.initial.clone(),
            Form::Whole(_) => vec![vec![0.0; (self.window - 1) * self.columns]],
        }
    }

    /// Inputs of a graph for the memory.
    pub(super) fn memory_inputs(&self, graph: &mut Graph) -> Result<Vec<Node>, GraphError> {
        match &self.form {
            Form::Stepwise(form) => {
                form.graph.inputs()[1..].iter().map(|n| graph.input(form.graph.shape(*n))).collect()
            }
            Form::Whole(_) => Ok(vec![graph.input(&[(self.window - 1) * self.columns])?]),
        }
    }

    /// What writes its steps.
    pub(super) fn template(&self) -> Result<Template, GraphError> {
        Template::new(match &self.form {
            Form::Stepwise(form) => &form.graph,
            Form::Whole(graph) => graph,
        })
    }

    /// One step: the answer [1, outputs] to a row [1, columns], and the memory after it.
    pub(super) fn step(
        &self,
        template: &mut Template,
        graph: &mut Graph,
        row: Node,
        memory: &[Node],
    ) -> Result<(Node, Vec<Node>), GraphError> {
        let (n, t) = (self.columns, self.window);
        let shape = |steps: usize| if self.axis == 1 { [1, steps, n] } else { [1, n, steps] };
        match &self.form {
            Form::Stepwise(_) => {
                let mut inputs = vec![graph.reshape(row, &shape(1))?];
                inputs.extend(memory);
                let mut results = template.copy(graph, &inputs)?;
                let memory = results.split_off(1);
                Ok((graph.reshape(results[0], &[1, self.outputs])?, memory))
            }
            Form::Whole(_) => {
                let row = graph.reshape(row, &[n])?;
                let rows = graph.concat(&[memory[0], row], 0)?;
                let map = IndexMap::from_fn(&shape(t), 0.0, |at| {
                    Some(if self.axis == 1 { at[1] * n + at[2] } else { at[2] * n + at[1] })
                });
                let window = graph.index(&[rows], &shape(t), map)?;
                let answer = template.copy(graph, &[window])?[0];
                let memory = graph.slice(rows, 0, n, elements(graph.shape(rows)))?;
                Ok((answer, vec![memory]))
            }
        }
    }

    /// The graph of one step: inputs are a row [1, columns] and the memory, outputs the answer and the memory after it.
    ///
    /// # Errors
    /// It is over a limit of the engine.
    pub fn one_step(&self) -> Result<Graph, GraphError> {
        let mut graph = Graph::new();
        let row = graph.input(&[1, self.columns])?;
        let memory = self.memory_inputs(&mut graph)?;
        let (answer, memory) = self.step(&mut self.template()?, &mut graph, row, &memory)?;
        graph.output(answer);
        memory.into_iter().for_each(|node| graph.output(node));
        Ok(graph)
    }
}
