//! Times horizon solves on this machine: `cargo run --release -p flyball-optimiser --example horizon_time [QUESTIONS [FILE]]`.
//!
//! 20 steps of 4 MVs in 5 move blocks and 3 CVs, over a gated recurrent unit of 32 and over two dense layers of 32 on a window of 8 rows, with
//! random questions. With FILE the first questions are written as JSON with the weights and our answers, for
//! `models/tools/compare_horizon.py`.

use std::fmt::Write as _;
use std::time::Instant;

use flyball_core::optimum::{Optimum, SolveStatus};
use flyball_core::ports::{NoProbe, Optimizer};
use flyball_engine::testing::Random;
use flyball_engine::{Graph, Op};
use flyball_machine::realtime::bench_header;
use flyball_optimiser::horizon::testing::{Network, Sizes, columns, network, optimizer, problem, setup};
use flyball_optimiser::horizon::{Blocks, HorizonOptimizer};

const BLOCKS: [usize; 5] = [1, 1, 2, 4, 12];
const STEPS: usize = 20;
/// Questions that go into the file, and how often each is solved for its time.
const WRITTEN: usize = 10;
const REPEATS: usize = 15;

fn constants(graph: &Graph, lists: &mut Vec<(Vec<usize>, Vec<f32>)>) {
    for node in graph.nodes() {
        match &node.op {
            Op::Constant(data) => lists.push((node.shape.clone(), data.to_vec())),
            Op::Scan(scan) => constants(&scan.body, lists),
            _ => {}
        }
    }
}

/// A new question with its history; the CVs are inside their limits now.
fn ask(
    horizon: &mut HorizonOptimizer,
    dice: &mut Random,
    sizes: Sizes,
) -> (flyball_core::optimum::Problem, Vec<Vec<f64>>, Vec<f64>) {
    let mut between = |low: f32, high: f32| f64::from(dice.between(low, high));
    horizon.reset();
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for _ in 0..=sizes.window {
        rows.push((0..sizes.columns()).map(|_| between(-0.5, 0.5)).collect());
    }
    let plant: Vec<f64> = (0..sizes.outputs).map(|_| between(-0.3, 0.3)).collect();
    let known: Vec<Option<f64>> = plant.iter().copied().map(Some).collect();
    rows.iter().for_each(|row| horizon.observe(row, &known));
    let now = rows[sizes.window][..sizes.mvs].to_vec();
    let mut question = problem(sizes, &now, 0.2);
    question.inputs[sizes.mvs] = between(-0.5, 0.5);
    if sizes.fed_back {
        question.inputs[sizes.mvs + 1..].copy_from_slice(&plant);
    }
    let stay = now.repeat(BLOCKS.len());
    let first = horizon.predict(&question, &stay).expect("the window has been seen").swap_remove(0);
    for (cv, y) in question.cvs.iter_mut().zip(first) {
        (cv.low, cv.high) = (y - between(0.05, 0.5), y + between(0.05, 0.5));
    }
    question.prices[0] = between(0.5, 2.0);
    // Rows are complete with the MVs that stood during them.
    let complete = rows.windows(2).map(|two| [&two[1][..sizes.mvs], &two[0][sizes.mvs..]].concat()).collect();
    (question, complete, plant)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let questions: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let file = arguments.next();
    println!("{}", bench_header(None));
    println!(
        "| model | questions | iterations p50 | max | p50 us | p99.9 us | max us |\n|---|---|---|---|---|---|---|"
    );
    let mut cases = Vec::new();
    for (name, kind, window, fed_back) in
        [("gru-32", Network::Gru, 20, false), ("dense-32-32", Network::Dense, 8, true)]
    {
        let sizes = Sizes { mvs: 4, outputs: 3, hidden: 32, window, fed_back };
        let graph = network(kind, 5, sizes).expect("small");
        let fixed = setup(sizes, "price*y2 - 0.1*u0^2 - 0.1*u1^2", Blocks::new(&BLOCKS, STEPS).expect("fits"));
        let mut horizon = optimizer(&graph, &fixed, columns(sizes, 1.0)).expect("fits");
        let (mut dice, mut optimum) = (Random::new(11), Optimum::default());
        let (mut ns, mut iterations, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..questions {
            let (question, rows, plant) = ask(&mut horizon, &mut dice, sizes);
            let begin = Instant::now();
            horizon.optimise(&question, &mut optimum, &mut NoProbe);
            ns.push(begin.elapsed().as_nanos() as u64);
            iterations.push(optimum.iterations);
            if file.is_some() && written.len() < WRITTEN && optimum.status != SolveStatus::InfeasibleRelaxed {
                let plan: Vec<f64> = horizon.plan().flatten().copied().collect();
                let mut times: Vec<u64> = Vec::new();
                for _ in 0..REPEATS {
                    // As if there were no last plan: from the present setpoints alone.
                    horizon.reset();
                    let known: Vec<Option<f64>> = plant.iter().copied().map(Some).collect();
                    rows.iter().for_each(|row| horizon.observe(row, &known));
                    let last: Vec<f64> = question.inputs.to_vec();
                    horizon.observe(&last, &known);
                    let begin = Instant::now();
                    horizon.optimise(&question, &mut optimum, &mut NoProbe);
                    times.push(begin.elapsed().as_nanos() as u64);
                }
                times.sort_unstable();
                let limits: Vec<[f64; 2]> = question.cvs.iter().map(|cv| [cv.low, cv.high]).collect();
                written.push(format!(
                    "{{\"rows\": {rows:?}, \"plant\": {plant:?}, \"present\": {:?}, \"limits\": {limits:?}, \"price\": {:?}, \
                     \"move\": 0.2, \"plan\": {plan:?}, \"us\": {}}}",
                    question.inputs.to_vec(),
                    question.prices[0],
                    times[REPEATS / 2] as f64 / 1e3
                ));
            }
        }
        ns.sort_unstable();
        iterations.sort_unstable();
        let at = |share: usize| ns[(ns.len() - 1) * share / 1000] as f64 / 1e3;
        let (half, most) = (iterations[iterations.len() / 2], iterations[iterations.len() - 1]);
        println!("| {name} | {questions} | {half} | {most} | {:.0} | {:.0} | {:.0} |", at(500), at(999), at(1000));
        let mut lists = Vec::new();
        constants(&graph, &mut lists);
        let weights: Vec<String> =
            lists.iter().map(|(shape, data)| format!("{{\"shape\": {shape:?}, \"data\": {data:?}}}")).collect();
        cases.push(format!(
            "{{\"name\": \"{name}\", \"mvs\": 4, \"fed_back\": {fed_back}, \"window\": {window}, \"hidden\": 32, \"blocks\": {BLOCKS:?}, \
             \"weights\": [{}],\n \"questions\": [{}]}}",
            weights.join(", "),
            written.join(",\n  ")
        ));
    }
    if let Some(file) = file {
        let mut text = String::new();
        let _ = write!(text, "[{}]", cases.join(",\n"));
        std::fs::write(&file, text).unwrap_or_else(|e| panic!("cannot write {file}: {e}"));
    }
}
