//! The engine seam: a checked file, and plans of a fixed number of rows over it.
//!
//! Everybody else knows [`Graph`], [`BatchPlan`] and [`SteadyMap`]; what runs a plan is [`crate::network`]'s business.

use flyball_core::ports::PredictFault;

use crate::contract::{ModelContract, WindowContract};
use crate::error::{ModelError, Refusal};
use crate::file::Shape;
use crate::limits;
use crate::lower;
use crate::network::{How, Network};
use crate::onnx::OnnxFile;
use crate::window::Window;

/// A function of rows: what the optimiser searches. Columns are in the configuration's order, in engineering units.
pub trait SteadyMap: Send {
    /// Numbers in per row.
    fn inputs(&self) -> usize;
    /// Numbers out per row.
    fn outputs(&self) -> usize;
    /// Rows that one run answers.
    fn rows(&self) -> usize;
    /// Answers `rows()` rows: `x.len() == rows() * inputs()`, `y.len() == rows() * outputs()`. Outputs may be NaN.
    ///
    /// # Errors
    /// An input is not finite or the engine failed; `y` is then unspecified.
    fn run(&mut self, x: &[f64], y: &mut [f64]) -> Result<(), PredictFault>;
}

/// A checked file and the order in which the configuration names its columns.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    file: OnnxFile,
    shape: Shape,
    outputs: usize,
    /// Axis of the steps of a window in the graph's input.
    axis: usize,
    /// File column of each configured input.
    pub input_order: Vec<usize>,
    /// File column of each configured output.
    pub output_order: Vec<usize>,
}

impl Graph {
    /// Column orders are those of the file, and its contract's.
    pub(crate) fn new(file: OnnxFile, shape: Shape, contract: &ModelContract) -> Self {
        let (inputs, outputs) = (contract.inputs.len(), contract.outputs.len());
        let axis = contract.window.map_or(1, |window| window.axis);
        let order = |n| (0..n).collect();
        Self { file, shape, outputs, axis, input_order: order(inputs), output_order: order(outputs) }
    }

    /// Whether the file takes any number of rows.
    pub(crate) fn any_batch(&self) -> bool {
        self.shape.any_batch
    }

    /// The file.
    pub(crate) fn file(&self) -> &OnnxFile {
        &self.file
    }

    /// A plan for `rows` rows per run; a row is a whole window where the file has one.
    pub(crate) fn plan(&self, rows: usize) -> Result<BatchPlan, ModelError> {
        if !(1..=limits::BATCH_ROWS_MAX).contains(&rows) {
            return Err(ModelError::new(
                Refusal::BadMap,
                format!("a plan of {rows} rows was asked for"),
                format!("1 to {} rows are allowed", limits::BATCH_ROWS_MAX),
                "use fewer starting points",
            ));
        }
        let width = if self.shape.any_batch { rows } else { 1 };
        let network = self.prove_shape(Network::new(self.file.typed(width)?)?, width)?;
        let steps = self.shape.row.iter().product::<usize>() / self.input_order.len();
        Ok(BatchPlan {
            network,
            rows,
            width,
            steps,
            steps_last: self.axis == 2,
            input_order: self.input_order.clone(),
            output_order: self.output_order.clone(),
            file_outputs: self.outputs,
        })
    }

    /// A model with memory that takes one step at a time.
    pub(crate) fn window(&self, window: &WindowContract) -> Result<Window, ModelError> {
        let network = self.prove_shape(Network::new(self.file.typed(1)?)?, 1)?;
        let graph = match network.how() {
            How::Native => lower::lower(&self.file.typed(1)?).ok(),
            How::Fallback(_) => None,
        };
        Window::new(network, graph.as_ref(), window, self.input_order.len())
    }

    fn prove_shape(&self, network: Network, width: usize) -> Result<Network, ModelError> {
        let found: Vec<&[usize]> = network.outputs().iter().map(|o| o.shape.as_slice()).collect();
        if found == [[width, self.outputs]] {
            return Ok(network);
        }
        Err(ModelError::new(
            Refusal::WrongShape,
            format!("the graph answers {found:?} for {width} rows"),
            format!("float32 of shape [{width}, {}] is needed by plc.outputs", self.outputs),
            "export the model with one output tensor whose columns are plc.outputs",
        ))
    }
}

/// A plan for a fixed number of rows. Columns are in the configuration's order.
pub struct BatchPlan {
    network: Network,
    rows: usize,
    /// Rows of one engine run: `rows`, or 1 when the file says batch 1.
    width: usize,
    /// Steps of a window, 1 for a model without.
    steps: usize,
    /// Whether a window's steps are the last axis of the graph's input.
    steps_last: bool,
    input_order: Vec<usize>,
    output_order: Vec<usize>,
    file_outputs: usize,
}

impl BatchPlan {
    /// What runs it.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    fn run_part(&mut self, x: &[f64], y: &mut [f64]) -> Result<(), PredictFault> {
        let (n, m) = (self.input_order.len(), self.output_order.len());
        let cells = self.network.input_mut(0);
        let row_len = n * self.steps;
        for (x, cells) in x.chunks_exact(row_len).zip(cells.chunks_exact_mut(row_len)) {
            for (step, values) in x.chunks_exact(n).enumerate() {
                for (value, column) in values.iter().zip(&self.input_order) {
                    let cell = if self.steps_last { column * self.steps + step } else { step * n + column };
                    cells[cell] = *value as f32;
                }
            }
        }
        self.network.run()?;
        let cells = self.network.output(0);
        for (row, values) in y.chunks_exact_mut(m).enumerate() {
            for (value, column) in values.iter_mut().zip(&self.output_order) {
                *value = f64::from(cells[row * self.file_outputs + column]);
            }
        }
        Ok(())
    }
}

impl SteadyMap for BatchPlan {
    fn inputs(&self) -> usize {
        self.input_order.len() * self.steps
    }

    fn outputs(&self) -> usize {
        self.output_order.len()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn run(&mut self, x: &[f64], y: &mut [f64]) -> Result<(), PredictFault> {
        let (n, m) = (self.inputs() * self.width, self.outputs() * self.width);
        if x.len() != self.rows * self.inputs() || y.len() != self.rows * self.outputs() {
            return Err(PredictFault::Engine);
        }
        if !x.iter().all(|v| v.is_finite()) {
            return Err(PredictFault::NotFinite);
        }
        x.chunks_exact(n).zip(y.chunks_exact_mut(m)).try_for_each(|(x, y)| self.run_part(x, y))
    }
}
