//! Maps: functions of rows with exact derivatives, which is all that the optimiser knows of a model.

use std::sync::Arc;

use flyball_core::ports::PredictFault;
use flyball_engine::gradient::jacobian;
use flyball_engine::{Graph, GraphError, Instance, Path, Program};

/// A function of rows. Columns are in the configuration's order, in engineering units.
pub trait Map: Send {
    /// Numbers in per row.
    fn inputs(&self) -> usize;
    /// Numbers out per row.
    fn outputs(&self) -> usize;
    /// Answers `x.len() / inputs()` rows: outputs into `y`, and into `slopes` the derivative of each output by each input, row after row,
    /// output after output. Outputs may be NaN. A row's bits do not depend on the other rows.
    ///
    /// # Errors
    /// An input is not finite or the engine failed; `y` and `slopes` are then unspecified.
    fn run(&mut self, x: &[f64], y: &mut [f64], slopes: &mut [f64]) -> Result<(), PredictFault>;
}

/// A network and its Jacobian as one program of the engine.
pub struct NetworkMap {
    /// Programs for many rows and for one: which one runs does not change a bit.
    batch: Instance,
    single: Instance,
    rows: usize,
    /// Column of the graph of each input and output here.
    input_order: Vec<usize>,
    output_order: Vec<usize>,
    graph_inputs: usize,
    graph_outputs: usize,
}

impl NetworkMap {
    /// Compiles the graph that `graph_of(rows)` gives: one input [rows, n], one output [rows, m]. `rows` is what one batched run answers.
    /// The orders name the graph's column of each input and output of the map.
    ///
    /// # Errors
    /// The graph cannot be differentiated or is too large.
    pub fn new<E: From<GraphError>>(
        graph_of: impl Fn(usize) -> Result<Graph, E>,
        rows: usize,
        input_order: Vec<usize>,
        output_order: Vec<usize>,
    ) -> Result<Self, E> {
        let compiled = |rows: usize| -> Result<Instance, E> {
            let graph = graph_of(rows)?;
            let derived = jacobian(&graph, &[graph.inputs()[0]], &[0])?;
            Ok(Arc::new(Program::compile(&derived, Path::best())?).instance())
        };
        let (batch, single) = (compiled(rows)?, compiled(1)?);
        let columns = |shape: &[usize]| shape.last().copied().unwrap_or(1);
        let graph_inputs = single.program().inputs().next().map_or(0, columns);
        let graph_outputs = single.program().outputs().next().map_or(0, columns);
        Ok(Self { batch, single, rows, input_order, output_order, graph_inputs, graph_outputs })
    }
}

/// Runs `rows` rows on an instance that was compiled for as many or more; rows beyond are left as they were.
fn run_on(
    map: (&[usize], &[usize], usize, usize),
    instance: &mut Instance,
    width: usize,
    x: &[f64],
    y: &mut [f64],
    slopes: &mut [f64],
) {
    let (input_order, output_order, graph_inputs, graph_outputs) = map;
    let (n, m) = (input_order.len(), output_order.len());
    let cells = instance.input_mut(0);
    for (x, cells) in x.chunks_exact(n).zip(cells.chunks_exact_mut(graph_inputs)) {
        for (value, column) in x.iter().zip(input_order) {
            cells[*column] = *value as f32;
        }
    }
    instance.run();
    let (values, derivatives) = (instance.output(0), instance.output(1));
    for (row, (y, slopes)) in y.chunks_exact_mut(m).zip(slopes.chunks_exact_mut(m * n)).enumerate() {
        for ((value, slopes), output) in y.iter_mut().zip(slopes.chunks_exact_mut(n)).zip(output_order) {
            *value = f64::from(values[row * graph_outputs + output]);
            let begin = (output * width + row) * graph_inputs;
            let of_output = &derivatives[begin..begin + graph_inputs];
            for (slope, column) in slopes.iter_mut().zip(input_order) {
                *slope = f64::from(of_output[*column]);
            }
        }
    }
}

impl Map for NetworkMap {
    fn inputs(&self) -> usize {
        self.input_order.len()
    }

    fn outputs(&self) -> usize {
        self.output_order.len()
    }

    fn run(&mut self, x: &[f64], y: &mut [f64], slopes: &mut [f64]) -> Result<(), PredictFault> {
        if !x.iter().all(|v| v.is_finite()) {
            return Err(PredictFault::NotFinite);
        }
        let (n, m) = (self.input_order.len(), self.output_order.len());
        let shape = (&self.input_order[..], &self.output_order[..], self.graph_inputs, self.graph_outputs);
        let rows = x.len() / n;
        let mut done = 0;
        while done < rows {
            // A full batch costs about as much as half its rows one by one.
            let left = rows - done;
            let (take, width) = if 2 * left > self.rows { (left.min(self.rows), self.rows) } else { (1, 1) };
            let instance = if width == 1 { &mut self.single } else { &mut self.batch };
            let (from, to) = (done, done + take);
            run_on(
                shape,
                instance,
                width,
                &x[from * n..to * n],
                &mut y[from * m..to * m],
                &mut slopes[from * m * n..to * m * n],
            );
            done = to;
        }
        Ok(())
    }
}

/// Equations as a map, with derivatives by central differences: for oracles, and for models without exact ones.
pub struct Differences<F> {
    inputs: usize,
    outputs: usize,
    /// Distance of the differences per input, EU.
    distance: Vec<f64>,
    values: F,
    near: [Vec<f64>; 2],
    x: Vec<f64>,
}

impl<F: FnMut(&[f64], &mut [f64]) -> Result<(), PredictFault> + Send> Differences<F> {
    /// `values` answers one row; `distance` is small against the curvature and large against the rounding of it.
    pub fn new(inputs: usize, outputs: usize, distance: Vec<f64>, values: F) -> Self {
        let near = [vec![0.0; outputs], vec![0.0; outputs]];
        Self { inputs, outputs, distance, values, near, x: vec![0.0; inputs] }
    }
}

impl<F: FnMut(&[f64], &mut [f64]) -> Result<(), PredictFault> + Send> Map for Differences<F> {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn run(&mut self, x: &[f64], y: &mut [f64], slopes: &mut [f64]) -> Result<(), PredictFault> {
        if !x.iter().all(|v| v.is_finite()) {
            return Err(PredictFault::NotFinite);
        }
        let (n, m) = (self.inputs, self.outputs);
        for ((x, y), slopes) in x.chunks_exact(n).zip(y.chunks_exact_mut(m)).zip(slopes.chunks_exact_mut(n * m)) {
            (self.values)(x, y)?;
            self.x.copy_from_slice(x);
            for i in 0..n {
                for (sign, near) in [1.0, -1.0].into_iter().zip(&mut self.near) {
                    self.x[i] = x[i] + sign * self.distance[i];
                    (self.values)(&self.x, near)?;
                }
                self.x[i] = x[i];
                for j in 0..m {
                    slopes[j * n + i] = (self.near[0][j] - self.near[1][j]) / (2.0 * self.distance[i]);
                }
            }
        }
        Ok(())
    }
}
