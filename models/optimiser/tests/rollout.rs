//! The rollout against the reference interpreter step by step, and its derivatives against differences and against reverse mode.

use flyball_engine::testing::Random;
use flyball_engine::{Graph, reference::evaluate};
use flyball_optimiser::horizon::testing::{Network, Sizes, network};
use flyball_optimiser::horizon::{Blocks, Dynamics, Roles, Run, rollout, tangent};

const NETWORKS: [Network; 3] = [Network::Gru, Network::Convolution, Network::Dense];

fn numbers(random: &mut Random, n: usize) -> Vec<f64> {
    (0..n).map(|_| f64::from(random.between(-1.0, 1.0))).collect()
}

struct Case {
    kind: Network,
    seed: u64,
    sizes: Sizes,
    dynamics: Dynamics,
    roles: Roles,
    blocks: Blocks,
    graph: Graph,
    /// Rows that were seen, oldest first.
    history: Vec<Vec<f64>>,
    moves: Vec<f64>,
    present: Vec<f64>,
    bias: Vec<f64>,
}

impl Case {
    fn new(kind: Network, seed: u64, fed_back: bool, run: Run) -> Self {
        let mut random = Random::new(seed);
        let (mvs, outputs) = (random.within(1, 3), random.within(1, 3));
        let sizes = Sizes { mvs, outputs, hidden: random.within(2, 6), window: 8, fed_back };
        let dynamics = Dynamics::new(&network(kind, seed, sizes).unwrap(), 1, run).unwrap();
        let fed: Vec<(usize, usize)> = (0..outputs).filter(|_| fed_back).map(|o| (mvs + 1 + o, o)).collect();
        let roles = Roles { mvs: (0..mvs).collect(), fed_back: fed };
        let blocks = Blocks::new(&[1, 2, 3], 9).unwrap();
        let graph = rollout(&dynamics, &roles, &blocks).unwrap();
        let n = sizes.columns();
        let history = (0..sizes.window).map(|_| numbers(&mut random, n)).collect();
        let (moves, present) = (numbers(&mut random, 3 * mvs), numbers(&mut random, n));
        let bias = numbers(&mut random, outputs).iter().map(|b| 0.1 * b).collect();
        Self { kind, seed, sizes, dynamics, roles, blocks, graph, history, moves, present, bias }
    }

    /// The memory after the history, by the reference interpreter.
    fn memory(&self) -> Vec<Vec<f64>> {
        let one_step = self.dynamics.one_step().unwrap();
        let initial = self.dynamics.initial();
        let mut memory: Vec<Vec<f64>> =
            initial.iter().map(|list| list.iter().map(|v| f64::from(*v)).collect()).collect();
        for row in &self.history {
            let fed: Vec<Vec<f64>> = std::iter::once(row.clone()).chain(memory).collect();
            memory = evaluate(&one_step, &fed).split_off(1);
        }
        memory
    }

    fn fed(&self, moves: &[f64]) -> Vec<Vec<f64>> {
        let mut fed = vec![moves.to_vec(), self.present.clone(), self.bias.clone()];
        fed.extend(self.memory());
        fed
    }

    /// Outputs at every step by the windowed graph alone: for a recurrent network one window from the first row on, else a sliding one.
    fn step_by_step(&self) -> Vec<f64> {
        let mut rows = self.history.clone();
        let mut answers: Vec<f64> = Vec::new();
        let m = self.sizes.outputs;
        for step in 0..self.blocks.steps() {
            let mut row = self.present.clone();
            for (i, column) in self.roles.mvs.iter().enumerate() {
                row[*column] = self.moves[self.blocks.of(step) * self.sizes.mvs + i];
            }
            for (column, output) in self.roles.fed_back.iter().filter(|_| step > 0) {
                row[*column] = answers[(step - 1) * m + output];
            }
            rows.push(row);
            let longest =
                if self.kind == Network::Gru && self.dynamics.is_stepwise() { rows.len() } else { self.sizes.window };
            let window: Vec<f64> = rows[rows.len() - longest..].concat();
            let graph = network(self.kind, self.seed, Sizes { window: longest, ..self.sizes }).unwrap();
            answers.extend(evaluate(&graph, &[window])[0].iter().zip(&self.bias).map(|(y, b)| y + b));
        }
        answers
    }
}

fn each(mut check: impl FnMut(&Case)) {
    for kind in NETWORKS {
        for seed in 1..=12 {
            for (fed_back, run) in [(false, Run::Stepwise), (true, Run::Stepwise), (true, Run::AsTrained)] {
                check(&Case::new(kind, seed, fed_back, run));
            }
        }
    }
}

#[test]
fn a_rollout_is_the_model_step_by_step() {
    let mut whole = 0;
    each(|case| {
        let (found, wanted) = (&evaluate(&case.graph, &case.fed(&case.moves))[0], case.step_by_step());
        assert_eq!(found.len(), wanted.len());
        for (a, b) in found.iter().zip(&wanted) {
            assert!(
                (a - b).abs() <= 1e-12 * (1.0 + b.abs()),
                "{:?} seed {}: {found:?} against {wanted:?}",
                case.kind,
                case.seed
            );
        }
        whole += u32::from(!case.dynamics.is_stepwise());
    });
    // Both ways of running a model were met: a dense window can only be run as a whole, a trained recurrent one must be.
    assert!(whole >= 24, "{whole}");
}

#[test]
fn slopes_are_those_of_differences_and_of_reverse_mode() {
    let mut forward = 0;
    each(|case| {
        let derived = tangent::with_slopes(&case.graph).unwrap();
        forward += u32::from(tangent::forward(&case.graph).unwrap().is_some());
        let reverse = tangent::reverse(&case.graph).unwrap();
        let fed = case.fed(&case.moves);
        let slopes = evaluate(&derived, &fed).pop().unwrap();
        let others = evaluate(&reverse, &fed).pop().unwrap();
        let k = case.blocks.steps() * case.sizes.outputs;
        assert_eq!((slopes.len(), others.len()), (case.moves.len() * k, case.moves.len() * k));
        for (a, b) in slopes.iter().zip(&others) {
            assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{:?} seed {}: {a} against {b}", case.kind, case.seed);
        }
        const BY: f64 = 1e-6;
        for v in 0..case.moves.len() {
            let side = |by: f64| {
                let mut moves = case.moves.clone();
                moves[v] += by;
                evaluate(&case.graph, &case.fed(&moves)).swap_remove(0)
            };
            for (i, (up, down)) in side(BY).iter().zip(side(-BY)).enumerate() {
                let (found, wanted) = (slopes[v * k + i], (up - down) / (2.0 * BY));
                assert!((found - wanted).abs() < 1e-8, "{:?} seed {} {v} {i}: {found} {wanted}", case.kind, case.seed);
            }
        }
    });
    assert!(forward >= 96, "forward mode has rules for {forward} of 108");
}

#[test]
fn what_is_no_windowed_model_is_refused() {
    let mut graph = Graph::new();
    let x = graph.input(&[1, 3]).unwrap();
    graph.output(x);
    let found = Dynamics::new(&graph, 1, Run::Stepwise).unwrap_err().to_string();
    assert!(found.contains("[1, 3]") && found.contains("one input [1, steps, inputs]"), "{found}");
}
