//! What is known of the plant between solves: the model's memory after the plant's history, the prediction for now, and the output bias.
//!
//! At each step the row of the step before is complete, because only now it is known where the MVs really stood during it. The model takes
//! it, and its answer is the prediction for now; the plant minus that prediction is the bias of the future, constant over the horizon.

use std::sync::Arc;

use flyball_core::bounds::{MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
use flyball_core::state::Archive;
use flyball_engine::{GraphError, Instance, Path, Program};

use super::dynamics::Dynamics;

/// The order in which the configuration names columns, and what is fixed about the columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// Column of the model of each input.
    pub inputs: Vec<usize>,
    /// Column of the model's answer of each output.
    pub outputs: Vec<usize>,
    /// Range in which each input was trained, EU.
    pub ranges: Vec<(f64, f64)>,
    /// Whether each input is an MV.
    pub is_mv: Vec<bool>,
    /// Share of a new difference that each output's bias takes in one step, above 0; 1 takes all.
    pub bias_share: Vec<f64>,
}

/// The plant as the model knows it.
pub(crate) struct Plant {
    one_step: Instance,
    columns: Columns,
    initial: Vec<Vec<f32>>,
    /// One list per state.
    memory: Vec<Vec<f32>>,
    /// Inputs of the step that is under way, in the configuration's order.
    under_way: [f64; MODEL_INPUTS_MAX],
    has_row: bool,
    rows: usize,
    window: usize,
    bias: Vec<f64>,
    started: Vec<bool>,
}

impl Plant {
    pub(crate) fn new(dynamics: &Dynamics, columns: Columns) -> Result<Self, GraphError> {
        let one_step = Arc::new(Program::compile(&dynamics.one_step()?, Path::best())?).instance();
        let initial = dynamics.initial();
        Ok(Self {
            one_step,
            memory: initial.clone(),
            initial,
            under_way: [0.0; MODEL_INPUTS_MAX],
            has_row: false,
            rows: 0,
            window: dynamics.window(),
            bias: vec![0.0; columns.outputs.len()],
            started: vec![false; columns.outputs.len()],
            columns,
        })
    }

    /// Forgets all: a model with memory sees equally spaced steps, and after a gap it starts anew.
    pub(crate) fn reset(&mut self) {
        for (memory, initial) in self.memory.iter_mut().zip(&self.initial) {
            memory.copy_from_slice(initial);
        }
        (self.has_row, self.rows) = (false, 0);
        self.bias.fill(0.0);
        self.started.fill(false);
    }

    /// Keeps the model's memory, the row that is under way, and the bias.
    pub(crate) fn keep(&mut self, archive: &mut Archive<'_>) {
        self.memory.iter_mut().for_each(|memory| archive.keep_all(memory));
        archive.keep_all(&mut self.under_way);
        archive.keep(&mut self.has_row);
        archive.keep(&mut self.rows);
        archive.keep_all(&mut self.bias);
        archive.keep_all(&mut self.started);
    }

    /// Takes a step of the plant: inputs now, MVs where they stand, and outputs as measured now where they are known. One run of one step of
    /// the model; allocates nothing. What is not finite is a gap.
    pub(crate) fn observe(&mut self, inputs: &[f64], plant: &[Option<f64>]) {
        let n = self.columns.inputs.len();
        if inputs.len() != n || !inputs.iter().all(|v| v.is_finite()) {
            self.reset();
            return;
        }
        if self.has_row {
            for ((kept, now), is_mv) in self.under_way.iter_mut().zip(inputs).zip(&self.columns.is_mv) {
                if *is_mv {
                    *kept = *now;
                }
            }
            if !self.take_row(plant) {
                self.reset();
            }
        }
        self.under_way[..n].copy_from_slice(inputs);
        self.has_row = true;
    }

    /// Runs the model on the row that is complete; false when it gives no numbers.
    fn take_row(&mut self, plant: &[Option<f64>]) -> bool {
        let cells = self.one_step.input_mut(0);
        for ((value, column), (low, high)) in self.under_way.iter().zip(&self.columns.inputs).zip(&self.columns.ranges)
        {
            cells[*column] = value.clamp(*low, *high) as f32;
        }
        for (i, memory) in self.memory.iter().enumerate() {
            self.one_step.input_mut(1 + i).copy_from_slice(memory);
        }
        self.one_step.run();
        for (i, memory) in self.memory.iter_mut().enumerate() {
            memory.copy_from_slice(self.one_step.output(1 + i));
        }
        let answer = self.one_step.output(0);
        if !answer.iter().all(|v| v.is_finite()) {
            return false;
        }
        self.rows = self.rows.saturating_add(1);
        if !self.ready() {
            return true;
        }
        for (i, column) in self.columns.outputs.iter().enumerate().take(MODEL_OUTPUTS_MAX) {
            let Some(measured) = plant.get(i).copied().flatten().filter(|v| v.is_finite()) else { continue };
            let difference = measured - f64::from(answer[*column]);
            let share = if self.started[i] { self.columns.bias_share[i] } else { 1.0 };
            self.bias[i] += share * (difference - self.bias[i]);
            self.started[i] = true;
        }
        true
    }

    /// The window has been seen.
    pub(crate) fn ready(&self) -> bool {
        self.rows >= self.window
    }

    /// Steps of the model's window.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// Bias of each output, in the configuration's order, EU.
    pub(crate) fn bias(&self) -> &[f64] {
        &self.bias
    }

    /// What the model remembers.
    pub(crate) fn memory(&self) -> &[Vec<f32>] {
        &self.memory
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }
}
