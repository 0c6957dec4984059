//! Problems for tests and benches: the reactor R-101 by its equations, and seeded random networks.

use flyball_core::optimum::{CvProblem, MvProblem, Problem};
use flyball_core::ports::PredictFault;
use flyball_engine::testing::Random;
use flyball_engine::{Graph, GraphError, Unary};

use crate::map::{Differences, Map, NetworkMap};
use crate::setup::{MvSetup, Setup};
use crate::{CannotOptimise, SteadyOptimizer};

/// Steady state of R-101, the Van de Vusse reactor with the parameters of Klatt and Engell (as used by do-mpc): product B in mol/l and cooling
/// duty in kJ/h, for feed in l/h, reactor and feed temperature in degC, feed concentration in mol/l.
#[must_use]
pub fn r101(feed: f64, temperature: f64, t0: f64, ca0: f64) -> (f64, f64) {
    let t = temperature + 273.15;
    let k1 = 1.287e12 * (-9758.3 / t).exp();
    let k3 = 9.043e9 * (-8560.0 / t).exp();
    let d = feed / 10.0;
    let ca = (-(d + k1) + ((d + k1).powi(2) + 4.0 * k3 * d * ca0).sqrt()) / (2.0 * k3);
    let cb = k1 * ca / (d + k1);
    let generated = -(k1 * ca * 4.2 - k1 * cb * 11.0 - k3 * ca * ca * 41.85) * 10.0;
    (cb, generated + feed * 0.9342 * 3.01 * (t0 - temperature))
}

/// Profit of R-101, EUR/h.
#[must_use]
pub fn r101_profit(feed: f64, ca0: f64, (cb, duty): (f64, f64), prices: &[f64]) -> f64 {
    prices[0] * feed * cb - prices[1] * feed * ca0 - prices[2] * duty
}

/// What is fixed about R-101.
#[must_use]
pub fn r101_setup(starts: usize) -> Setup {
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect();
    let mv = |input, engineering| MvSetup { input, engineering, move_cost: 0.0 };
    Setup {
        objective: "price_B*F*cB - price_A*F*cA0 - price_Q*Q".to_owned(),
        maximise: true,
        inputs: names(&["F", "T", "T0", "cA0"]),
        outputs: names(&["cB", "Q"]),
        prices: names(&["price_B", "price_A", "price_Q"]),
        mvs: vec![mv(0, (80.0, 200.0)), mv(1, (105.0, 120.0))],
        cvs: 2,
        starts,
        accept_if_gain: 0.0,
        reach: None,
    }
}

/// The equations of R-101 as a map.
#[must_use]
pub fn r101_equations() -> Box<dyn Map> {
    let values = |x: &[f64], y: &mut [f64]| -> Result<(), PredictFault> {
        (y[0], y[1]) = r101(x[0], x[1], x[2], x[3]);
        Ok(())
    };
    Box::new(Differences::new(4, 2, vec![1e-3, 1e-4, 1e-3, 1e-5], values))
}

/// R-101 at a point, as the advisor asks it: quality of at least 1.06 mol/l is rank 1, duty of at most 6000 kJ/h is rank 2.
#[must_use]
pub fn r101_problem(feed: f64, temperature: f64, t0: f64, ca0: f64) -> Problem {
    let mv = |now, low, high, move_up, move_down| MvProblem {
        now,
        low,
        high,
        move_up,
        move_down,
        free: true,
        limited_high: false,
        limited_low: false,
    };
    let cv =
        |low, high, priority, scale, map_output| CvProblem { low, high, priority, scale, active: true, map_output };
    Problem {
        mvs: [mv(feed, 80.0, 200.0, 2.0, 4.0), mv(temperature, 105.0, 120.0, 0.2, 0.5)].into_iter().collect(),
        cvs: [cv(1.06, f64::INFINITY, 1, 0.5, 0), cv(f64::NEG_INFINITY, 6000.0, 2, 9200.0, 1)].into_iter().collect(),
        inputs: [feed, temperature, t0, ca0].into_iter().collect(),
        output_bias: [0.0, 0.0].into_iter().collect(),
        prices: [0.60, 0.105, 0.0015].into_iter().collect(),
    }
}

/// Brute force over a grid of 0.5 l/h and 0.1 degC: best feasible profit in EUR/h, or if there is none the best product that keeps the duty.
///
/// # Errors
/// No point meets both limits.
pub fn r101_best(problem: &Problem) -> Result<f64, f64> {
    let (t0, ca0) = (problem.inputs[2], problem.inputs[3]);
    let (mut best, mut quality) = (f64::NEG_INFINITY, 0.0_f64);
    for f in 160..=400 {
        for t in 1050..=1200 {
            let (feed, temperature) = (f64::from(f) / 2.0, f64::from(t) / 10.0);
            let now = r101(feed, temperature, t0, ca0);
            if now.1 <= 6000.0 {
                quality = quality.max(now.0);
                if now.0 >= 1.06 {
                    best = best.max(r101_profit(feed, ca0, now, &problem.prices));
                }
            }
        }
    }
    if best.is_finite() { Ok(best) } else { Err(quality) }
}

/// Sizes of a random network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// MVs; the network has two inputs more, which are disturbances.
    pub mvs: usize,
    /// CVs: outputs of the network; one output more is the money.
    pub cvs: usize,
    /// Neurons of each of two hidden layers.
    pub hidden: usize,
}

/// Weights of a random network with two hidden layers of tanh, in [-1, 1] on every axis.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomNetwork {
    /// Sizes of the layers.
    pub sizes: [usize; 4],
    /// Per layer: weights [inputs, outputs] and biases.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl RandomNetwork {
    /// The network of a seed.
    pub fn new(seed: u64, sizes: Sizes) -> Self {
        let mut random = Random::new(seed);
        let sizes = [sizes.mvs + 2, sizes.hidden, sizes.hidden, sizes.cvs + 1];
        let mut layers = Vec::new();
        for layer in sizes.windows(2) {
            let spread = 1.5 / (layer[0] as f32).sqrt();
            let weights = (0..layer[0] * layer[1]).map(|_| random.between(-spread, spread)).collect();
            let biases = (0..layer[1]).map(|_| random.between(-0.5, 0.5)).collect();
            layers.push((weights, biases));
        }
        Self { sizes, layers }
    }

    /// As a graph for `rows` rows.
    ///
    /// # Errors
    /// Never for sizes within the engine's limits.
    pub fn graph(&self, rows: usize) -> Result<Graph, GraphError> {
        let mut graph = Graph::new();
        let mut x = graph.input(&[rows, self.sizes[0]])?;
        for (i, (weights, biases)) in self.layers.iter().enumerate() {
            let shape = [self.sizes[i], self.sizes[i + 1]];
            let weights = graph.constant(&shape, weights.clone())?;
            let biases = graph.constant(&[1, shape[1]], biases.clone())?;
            let product = graph.matmul(x, weights)?;
            x = graph.binary(flyball_engine::Binary::Add, product, biases)?;
            if i + 1 < self.layers.len() {
                x = graph.unary(Unary::Tanh, x)?;
            }
        }
        graph.output(x);
        Ok(graph)
    }
}

/// What is fixed about a random network: money is the last output plus a little of the first MV.
#[must_use]
pub fn random_setup(sizes: Sizes, starts: usize) -> Setup {
    let named = |letter: char, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<_>>();
    Setup {
        objective: format!("price*y{} - 0.1*x0^2", sizes.cvs),
        maximise: true,
        inputs: named('x', sizes.mvs + 2),
        outputs: named('y', sizes.cvs + 1),
        prices: vec!["price".to_owned()],
        mvs: (0..sizes.mvs).map(|input| MvSetup { input, engineering: (-1.0, 1.0), move_cost: 0.0 }).collect(),
        cvs: sizes.cvs,
        starts,
        accept_if_gain: 0.0,
        reach: None,
    }
}

/// The optimiser over a random network.
///
/// # Errors
/// Sizes beyond the limits.
pub fn random_optimizer(network: &RandomNetwork, setup: &Setup) -> Result<SteadyOptimizer, CannotOptimise> {
    let (n, m) = (setup.inputs.len(), setup.outputs.len());
    let map = NetworkMap::new(|rows| network.graph(rows), setup.starts, (0..n).collect(), (0..m).collect());
    let map = map.map_err(|e| CannotOptimise::Map(e.to_string(), "a smaller network".to_owned()))?;
    SteadyOptimizer::new(setup, Box::new(map), vec![(-1.0, 1.0); n], None)
}

/// A random question: setpoints, limits that may exclude them, CV limits that may not be met, MVs that are out.
#[must_use]
pub fn random_problem(random: &mut Random, sizes: Sizes) -> Problem {
    let mut between = |low: f32, high: f32| f64::from(random.between(low, high));
    let mut problem = Problem::default();
    for _ in 0..sizes.mvs {
        let (a, b) = (between(-1.0, 1.0), between(-1.0, 1.0));
        let _ = problem.mvs.push(MvProblem {
            now: between(-1.0, 1.0),
            low: a.min(b) - 0.2,
            high: a.max(b) + 0.2,
            move_up: between(0.0, 0.3),
            move_down: between(0.0, 0.3),
            free: between(0.0, 1.0) < 0.9,
            limited_high: between(0.0, 1.0) < 0.05,
            limited_low: between(0.0, 1.0) < 0.05,
        });
    }
    for j in 0..sizes.cvs {
        let (a, width) = (between(-1.5, 1.0), between(0.05, 2.0));
        let kind = between(0.0, 3.0) as u8;
        let _ = problem.cvs.push(CvProblem {
            low: if kind == 0 { f64::NEG_INFINITY } else { a },
            high: if kind == 1 { f64::INFINITY } else { a + width },
            priority: 1 + between(0.0, 4.0) as u8,
            scale: between(0.5, 3.0),
            active: between(0.0, 1.0) < 0.95,
            map_output: j as u32,
        });
    }
    for _ in 0..sizes.mvs + 2 {
        let _ = problem.inputs.push(between(-1.0, 1.0));
    }
    for _ in 0..=sizes.cvs {
        let _ = problem.output_bias.push(between(-0.2, 0.2));
    }
    let _ = problem.prices.push(between(0.2, 2.0));
    problem
}
