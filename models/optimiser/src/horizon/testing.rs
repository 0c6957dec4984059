//! Models with memory for tests and benches: seeded random recurrent, convolutional and autoregressive networks, and linear difference
//! equations. All read a window [1, steps, columns] and answer [1, outputs].

use std::sync::Arc;

use flyball_core::optimum::{CvProblem, MvProblem, Problem};
use flyball_engine::testing::Random;
use flyball_engine::{Binary, Conv, Graph, GraphError, Node, Unary};

use super::{Blocks, Columns, Dynamics, HorizonOptimizer, HorizonSetup, Run};
use crate::CannotOptimise;
use crate::setup::{MvSetup, Setup};

/// Kinds of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// A gated recurrent unit and a dense layer.
    Gru,
    /// Two causal convolutions along time and a dense layer on the newest step.
    Convolution,
    /// Two dense layers of tanh over the whole window.
    Dense,
}

/// Sizes of a network: columns are MVs, then one disturbance, then the outputs fed back, if they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// MVs.
    pub mvs: usize,
    /// Outputs, each a CV.
    pub outputs: usize,
    /// Hidden numbers.
    pub hidden: usize,
    /// Steps of the window.
    pub window: usize,
    /// Outputs are inputs, too.
    pub fed_back: bool,
}

impl Sizes {
    /// Numbers of one row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.mvs + 1 + if self.fed_back { self.outputs } else { 0 }
    }
}

/// Writes layers with seeded weights.
struct Writer {
    graph: Graph,
    random: Random,
}

impl Writer {
    fn weights(&mut self, shape: &[usize], spread: f32) -> Result<Node, GraphError> {
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| self.random.between(-spread, spread)).collect();
        self.graph.constant(shape, numbers)
    }

    fn dense(&mut self, x: Node, outputs: usize, gain: f32) -> Result<Node, GraphError> {
        let inputs = *self.graph.shape(x).last().unwrap_or(&1);
        let weights = self.weights(&[inputs, outputs], gain / (inputs as f32).sqrt())?;
        let bias = self.weights(&[1, outputs], 0.2)?;
        let product = self.graph.matmul(x, weights)?;
        self.graph.binary(Binary::Add, product, bias)
    }

    fn convolution(&mut self, x: Node, channels: usize, taps: usize) -> Result<Node, GraphError> {
        let inputs = self.graph.shape(x)[1];
        let weights = self.weights(&[channels, inputs, taps], 1.5 / ((inputs * taps) as f32).sqrt())?;
        let bias = self.weights(&[channels], 0.2)?;
        let conv = Conv { strides: vec![1], dilations: vec![1], pads: vec![(0, 0)], groups: 1 };
        let slid = self.graph.conv(x, weights, Some(bias), conv)?;
        self.graph.unary(Unary::Tanh, slid)
    }
}

/// A network of a seed.
///
/// # Errors
/// Never for sizes within the engine's limits.
pub fn network(kind: Network, seed: u64, sizes: Sizes) -> Result<Graph, GraphError> {
    let (n, hidden) = (sizes.columns(), sizes.hidden);
    let mut w = Writer { graph: Graph::new(), random: Random::new(seed) };
    let x = w.graph.input(&[1, sizes.window, n])?;
    let features = match kind {
        Network::Dense => {
            let x = w.graph.reshape(x, &[1, sizes.window * n])?;
            let x = w.dense(x, hidden, 1.5)?;
            let x = w.graph.unary(Unary::Tanh, x)?;
            let x = w.dense(x, hidden, 1.5)?;
            w.graph.unary(Unary::Tanh, x)?
        }
        Network::Convolution => {
            let x = w.graph.transpose(x, &[0, 2, 1])?;
            let x = w.convolution(x, hidden, 3)?;
            let x = w.convolution(x, hidden, sizes.window / 2 - 1)?;
            let steps = w.graph.shape(x)[2];
            let newest = w.graph.slice(x, 2, steps - 1, steps)?;
            w.graph.reshape(newest, &[1, hidden])?
        }
        Network::Gru => {
            let x = w.graph.transpose(x, &[1, 0, 2])?;
            let mut body = Writer { graph: Graph::new(), random: w.random.clone() };
            let h = body.graph.input(&[1, hidden])?;
            let now = body.graph.input(&[1, n])?;
            let (by_x, by_h) = (body.dense(now, 3 * hidden, 1.5)?, body.dense(h, 3 * hidden, 1.2)?);
            let g = &mut body.graph;
            let sum = g.binary(Binary::Add, by_x, by_h)?;
            let gate = |g: &mut Graph, k: usize| -> Result<Node, GraphError> {
                let part = g.slice(sum, 1, k * hidden, (k + 1) * hidden)?;
                g.unary(Unary::Sigmoid, part)
            };
            let (keep, reset) = (gate(g, 0)?, gate(g, 1)?);
            let new_x = g.slice(by_x, 1, 2 * hidden, 3 * hidden)?;
            let new_h = g.slice(by_h, 1, 2 * hidden, 3 * hidden)?;
            let reset = g.binary(Binary::Multiply, reset, new_h)?;
            let new = g.binary(Binary::Add, new_x, reset)?;
            let new = g.unary(Unary::Tanh, new)?;
            let difference = g.binary(Binary::Subtract, h, new)?;
            let kept = g.binary(Binary::Multiply, keep, difference)?;
            let out = g.binary(Binary::Add, new, kept)?;
            g.output(out);
            w.random = body.random;
            let start = w.graph.constant(&[1, hidden], vec![0.0; hidden])?;
            w.graph.scan(Arc::new(body.graph), sizes.window, &[start], &[x], &[])?[0]
        }
    };
    let y = w.dense(features, sizes.outputs, 1.0)?;
    w.graph.output(y);
    Ok(w.graph)
}

/// A linear difference equation: the answer is `weights` [window x columns, outputs] times the window, oldest row first, plus `constant`.
///
/// # Errors
/// Sizes do not fit.
pub fn linear(window: usize, columns: usize, weights: &[f64], constant: &[f64]) -> Result<Graph, GraphError> {
    let single = |list: &[f64]| list.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let mut g = Graph::new();
    let x = g.input(&[1, window, columns])?;
    let x = g.reshape(x, &[1, window * columns])?;
    let matrix = g.constant(&[window * columns, constant.len()], single(weights))?;
    let bias = g.constant(&[1, constant.len()], single(constant))?;
    let product = g.matmul(x, matrix)?;
    let y = g.binary(Binary::Add, product, bias)?;
    g.output(y);
    Ok(g)
}

/// What is fixed about a horizon over a model of these sizes: inputs u0, u1, ..., d, f0, ...; outputs y0, ...; MVs in -1 to 1.
#[must_use]
pub fn setup(sizes: Sizes, objective: &str, blocks: Blocks) -> HorizonSetup {
    let (mvs, outputs) = (sizes.mvs, sizes.outputs);
    let mut inputs: Vec<String> = (0..mvs).map(|i| format!("u{i}")).collect();
    inputs.push("d".to_owned());
    if sizes.fed_back {
        inputs.extend((0..outputs).map(|o| format!("f{o}")));
    }
    let base = Setup {
        objective: objective.to_owned(),
        maximise: true,
        inputs,
        outputs: (0..outputs).map(|o| format!("y{o}")).collect(),
        prices: vec!["price".to_owned()],
        mvs: (0..mvs).map(|input| MvSetup { input, engineering: (-1.0, 1.0), move_cost: 0.0 }).collect(),
        cvs: outputs,
        starts: 2,
        accept_if_gain: 0.0,
        reach: None,
    };
    let fed_back = if sizes.fed_back { (0..outputs).map(|o| (mvs + 1 + o, o)).collect() } else { Vec::new() };
    HorizonSetup { base, recover: blocks.steps() / 3, blocks, fed_back, terminal: 0.0 }
}

/// Columns in the order of the model, each input trained in -`span` to `span`.
#[must_use]
pub fn columns(sizes: Sizes, span: f64) -> Columns {
    let n = sizes.columns();
    Columns {
        inputs: (0..n).collect(),
        outputs: (0..sizes.outputs).collect(),
        ranges: vec![(-span, span); n],
        is_mv: (0..n).map(|i| i < sizes.mvs).collect(),
        bias_share: vec![1.0; sizes.outputs],
    }
}

/// The optimiser over a graph of these sizes.
///
/// # Errors
/// As [`HorizonOptimizer::new`].
pub fn optimizer(graph: &Graph, setup: &HorizonSetup, columns: Columns) -> Result<HorizonOptimizer, CannotOptimise> {
    let dynamics = Dynamics::new(graph, 1, Run::Stepwise);
    let dynamics = dynamics.map_err(|e| CannotOptimise::Map(e.to_string(), "a windowed model".to_owned()))?;
    HorizonOptimizer::new(setup, &dynamics, columns, None)
}

/// A question about a model of these sizes with all MVs at `now`, free in -1 to 1 with moves of `whole`, and CVs without limits.
#[must_use]
pub fn problem(sizes: Sizes, now: &[f64], whole: f64) -> Problem {
    let mut problem = Problem::default();
    for now in now {
        let (low, high) = (-1.0, 1.0);
        let mv = MvProblem {
            now: *now,
            low,
            high,
            move_up: whole,
            move_down: whole,
            free: true,
            limited_high: false,
            limited_low: false,
        };
        let _ = problem.mvs.push(mv);
    }
    for j in 0..sizes.outputs {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let cv = CvProblem { low, high, priority: 1, scale: 1.0, active: true, map_output: j as u32 };
        let _ = problem.cvs.push(cv);
    }
    let _ = problem.inputs.extend_from_slice(now);
    let _ = problem.inputs.resize(sizes.columns(), 0.0);
    let _ = problem.prices.push(1.0);
    problem
}

/// A random question: setpoints, limits that may exclude them, CV limits that may not be met, MVs that are out.
#[must_use]
pub fn random_problem(random: &mut Random, sizes: Sizes) -> Problem {
    let steady = crate::testing::Sizes { mvs: sizes.mvs, cvs: sizes.outputs, hidden: 1 };
    let mut problem = crate::testing::random_problem(random, steady);
    problem.inputs.truncate(sizes.mvs + 1);
    while problem.inputs.len() < sizes.columns() {
        let _ = problem.inputs.push(f64::from(random.between(-1.0, 1.0)));
    }
    for (i, mv) in problem.mvs.iter().enumerate() {
        problem.inputs[i] = mv.now;
    }
    problem
}
