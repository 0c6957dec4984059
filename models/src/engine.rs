//! The engine seam: a graph that has been typed once, and plans of a fixed number of rows over it.
//!
//! Today tract runs the graph in f32; it allocates inside each run. A later engine replaces the inside of this file only:
//! everybody else knows [`Graph`], [`BatchPlan`] and [`SteadyMap`].

use flyball_core::ports::PredictFault;
use tract_onnx::prelude::*;

use crate::error::{ModelError, Refusal};
use crate::file::Shape;
use crate::guard::{self, refused};
use crate::limits;
use crate::onnx::OnnxFile;

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

/// A checked graph and the order in which the configuration names its columns.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    file: OnnxFile,
    shape: Shape,
    outputs: usize,
    /// File column of each configured input.
    pub input_order: Vec<usize>,
    /// File column of each configured output.
    pub output_order: Vec<usize>,
}

impl Graph {
    /// Column orders are those of the file.
    pub(crate) fn new(file: OnnxFile, shape: Shape, outputs: usize) -> Self {
        let order = |n| (0..n).collect();
        Self { file, shape, outputs, input_order: order(shape.inputs), output_order: order(outputs) }
    }

    /// A plan for `rows` rows per run.
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
        let typed = self.file.typed_as(&[&[width, self.shape.inputs]])?;
        let mut plan = BatchPlan {
            state: guard::plan(typed)?,
            rows,
            width,
            file_inputs: self.shape.inputs,
            file_outputs: self.outputs,
            input_order: self.input_order.clone(),
            output_order: self.output_order.clone(),
        };
        plan.prove_shape()?;
        Ok(plan)
    }
}

/// A plan for a fixed number of rows. Columns are in the configuration's order.
pub struct BatchPlan {
    state: TypedSimpleState,
    rows: usize,
    /// Rows of one engine run: `rows`, or 1 when the file says batch 1.
    width: usize,
    file_inputs: usize,
    file_outputs: usize,
    input_order: Vec<usize>,
    output_order: Vec<usize>,
}

impl BatchPlan {
    fn prove_shape(&mut self) -> Result<(), ModelError> {
        let x = Tensor::zero::<f32>(&[self.width, self.file_inputs]).map_err(|e| refused(&e))?;
        let y = self.state.run(tvec!(x.into())).map_err(|e| refused(&e))?;
        let found = y.first().map(|t| (t.datum_type(), t.shape().to_vec()));
        if found == Some((f32::datum_type(), vec![self.width, self.file_outputs])) {
            return Ok(());
        }
        Err(ModelError::new(
            Refusal::WrongShape,
            format!("the graph answers {found:?} for {} rows", self.width),
            format!("float32 of shape [{}, {}] is needed by plc.outputs", self.width, self.file_outputs),
            "export the model with one output tensor whose columns are plc.outputs",
        ))
    }

    fn run_part(&mut self, x: &[f64], y: &mut [f64]) -> TractResult<()> {
        let (n, m) = (self.input_order.len(), self.output_order.len());
        let mut tensor = Tensor::zero::<f32>(&[self.width, self.file_inputs])?;
        {
            let mut plain = tensor.try_as_plain_ram_mut()?;
            let cells = plain.as_slice_mut::<f32>()?;
            for (row, values) in x.chunks_exact(n).enumerate() {
                for (value, column) in values.iter().zip(&self.input_order) {
                    cells[row * self.file_inputs + column] = *value as f32;
                }
            }
        }
        let answer = self.state.run(tvec!(tensor.into()))?;
        let plain = answer[0].try_as_plain_ram()?;
        let cells = plain.as_slice::<f32>()?;
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
        self.input_order.len()
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
        // tract's tanh limits its argument by min and max, which turns NaN into a plausible number: NaN must not get that far.
        if !x.iter().all(|v| v.is_finite()) {
            return Err(PredictFault::NotFinite);
        }
        for (part_x, part_y) in x.chunks_exact(n).zip(y.chunks_exact_mut(m)) {
            if self.run_part(part_x, part_y).is_err() {
                // A failed run leaves half-filled wires behind; the next run must not meet them.
                let _ = self.state.reset_turn();
                return Err(PredictFault::Engine);
            }
        }
        Ok(())
    }
}
