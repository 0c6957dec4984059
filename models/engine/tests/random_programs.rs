//! Promises over seeded random graphs: what the reference interpreter gives, the same bits on every path and in every run, a row the same alone
//! and among others, gradients included. A failing seed becomes a named test below.

use std::sync::Arc;

use flyball_engine::gradient::jacobian;
use flyball_engine::testing::{Kind, Options, random_graph, random_inputs};
use flyball_engine::{Graph, Instance, Path, Program, reference};

/// Share of the largest number of a tensor, or of 1: a few dozen roundings one after the other.
const TOLERANCE: f64 = 5e-5;

fn instance(graph: &Graph, path: Path, seed: u64) -> Instance {
    Arc::new(Program::compile(graph, path).unwrap_or_else(|e| panic!("seed {seed}: {e}"))).instance()
}

fn run(instance: &mut Instance, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    for (i, numbers) in inputs.iter().enumerate() {
        instance.input_mut(i).copy_from_slice(numbers);
    }
    instance.run();
    let outputs = instance.program().outputs().len();
    (0..outputs).map(|o| instance.output(o).to_vec()).collect()
}

/// Bits, with one pattern for all NaN: their sign and payload may differ between processors.
fn bits(all: &[Vec<f32>]) -> Vec<u32> {
    all.iter().flatten().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect()
}

/// Runs on every path, twice; all agree to the bit.
fn same_everywhere(graph: &Graph, inputs: &[Vec<f32>], seed: u64) -> Vec<Vec<f32>> {
    let first = run(&mut instance(graph, Path::Scalar, seed), inputs);
    for path in Path::available() {
        let mut instance = instance(graph, path, seed);
        for round in 1..=2 {
            assert_eq!(bits(&first), bits(&run(&mut instance, inputs)), "seed {seed}: {path} differs in run {round}");
        }
    }
    first
}

fn close(got: &[Vec<f32>], exact: &[Vec<f64>], seed: u64) {
    for (o, (got, exact)) in got.iter().zip(exact).enumerate() {
        let scale = exact.iter().filter(|v| v.is_finite()).fold(1.0_f64, |m, v| m.max(v.abs()));
        for (i, (got, exact)) in got.iter().zip(exact).enumerate() {
            let same = f64::from(*got) == *exact || (got.is_nan() && exact.is_nan());
            let off = (f64::from(*got) - exact).abs();
            assert!(same || off <= TOLERANCE * scale, "seed {seed}: output {o}[{i}] is {got} instead of {exact}");
        }
    }
}

fn wide(inputs: &[Vec<f32>]) -> Vec<Vec<f64>> {
    inputs.iter().map(|list| list.iter().map(|v| f64::from(*v)).collect()).collect()
}

/// Comparisons jump: a rounding may decide them otherwise than f64 does.
fn steady(rows: usize) -> Options {
    Options::new(rows).without(&[Kind::Compare])
}

#[test]
fn values_are_the_references_and_bits_the_same_on_every_path() {
    for seed in 0..400 {
        let graph = random_graph(seed, &steady(1 + seed as usize % 3));
        let inputs = random_inputs(&graph, seed);
        close(&same_everywhere(&graph, &inputs, seed), &reference::evaluate(&graph, &wide(&inputs)), seed);
    }
}

#[test]
fn comparisons_too_have_the_same_bits() {
    for seed in 1000..1100 {
        let graph = random_graph(seed, &Options::new(2));
        let inputs = random_inputs(&graph, seed);
        same_everywhere(&graph, &inputs, seed);
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_sixty_four() {
    for seed in 2000..2150 {
        const ROWS: usize = 64;
        let (one, many) = (random_graph(seed, &Options::new(1)), random_graph(seed, &Options::new(ROWS)));
        let inputs = random_inputs(&many, seed);
        let path = Path::best();
        let all = run(&mut instance(&many, path, seed), &inputs);
        let mut alone = instance(&one, path, seed);
        for row in [0, 1, 17, ROWS - 1] {
            let part = |list: &Vec<f32>| list[row * list.len() / ROWS..(row + 1) * list.len() / ROWS].to_vec();
            let got = run(&mut alone, &inputs.iter().map(part).collect::<Vec<_>>());
            assert_eq!(bits(&got), bits(&all.iter().map(part).collect::<Vec<_>>()), "seed {seed}, row {row}");
        }
    }
}

#[test]
fn gradients_compiled_are_those_of_the_reference() {
    let smooth = [Kind::Smooth, Kind::Arithmetic, Kind::MatMul, Kind::Conv, Kind::Sum, Kind::Normalise, Kind::Move];
    let mut derived = 0;
    for seed in 3000..3120 {
        let graph = random_graph(seed, &Options::new(1).only(&smooth));
        let all: Vec<usize> = (0..graph.outputs().len()).collect();
        let Ok(gradient) = jacobian(&graph, graph.inputs(), &all) else { continue };
        derived += 1;
        let inputs = random_inputs(&graph, seed);
        close(&same_everywhere(&gradient, &inputs, seed), &reference::evaluate(&gradient, &wide(&inputs)), seed);
    }
    assert!(derived > 60, "only {derived} graphs had a gradient");
}
