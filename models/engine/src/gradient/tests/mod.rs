//! Derivatives against central differences of the reference interpreter in f64.

mod loops;
mod networks;
mod operators;
mod random;

use crate::gradient::{full_jacobian, jacobian, vjp};
use crate::index::elements;
use crate::op::Op;
use crate::reference::{Values, evaluate};
use crate::testing::{Random, random_inputs};
use crate::{Graph, Node};

/// Relative, beside a tenth of that of the largest derivative: constants of derivatives are folded in f32.
const TOLERANCE: f64 = 1e-6;

/// What a comparison found.
#[derive(Default)]
struct Found {
    /// Derivatives compared, and those left out because a kink is nearer than the step of the difference.
    compared: usize,
    kinks: usize,
    /// Largest deviation relative to the tolerance's scale.
    worst: f64,
}

/// Jacobian by rows, full Jacobian and product of all outputs with respect to all inputs, against differences.
fn check(graph: &Graph, inputs: &[Values]) -> Result<Found, String> {
    let (wrt, outputs) = (graph.inputs().to_vec(), (0..graph.outputs().len()).collect::<Vec<_>>());
    let by_rows = jacobian(graph, &wrt, &outputs).map_err(|e| format!("jacobian: {e}"))?;
    let full = full_jacobian(graph, &wrt, &outputs).map_err(|e| format!("full jacobian: {e}"))?;
    let product = vjp(graph, &wrt, &outputs).map_err(|e| format!("product: {e}"))?;
    for derived in [&by_rows, &full, &product] {
        check_form(graph, derived)?;
    }

    let values = evaluate(graph, inputs);
    let mut random = Random::new(7);
    let weights: Vec<Values> =
        values.iter().map(|v| v.iter().map(|_| f64::from(random.between(-1.0, 1.0))).collect()).collect();
    let by_rows = evaluate(&by_rows, inputs);
    let full = evaluate(&full, inputs);
    let product = evaluate(&product, &[inputs, &weights].concat());
    for (name, all) in [("jacobian", &by_rows), ("full jacobian", &full), ("product", &product)] {
        let same = |(a, b): (&Values, &Values)| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        if !all.iter().zip(&values).all(same) {
            return Err(format!("{name}: the graph's own outputs changed"));
        }
    }

    let mut found = Found::default();
    let rows: Vec<usize> = graph.outputs().iter().map(|o| row_count(graph.shape(*o))).collect();
    for (which, input) in wrt.iter().enumerate() {
        let size = elements(graph.shape(*input));
        // Per number of the input: the differences of all outputs.
        let differences: Vec<Difference> = (0..size).map(|i| difference(graph, inputs, which, i)).collect();
        let scale = differences.iter().flat_map(|d| &d.slopes).flatten().fold(0.0, |m: f64, v| m.max(v.abs()));
        for (i, d) in differences.iter().enumerate() {
            let mut compare = |name: &str, got: f64, wanted: f64, kink: bool| {
                if kink {
                    found.kinks += 1;
                    return Ok(());
                }
                let deviation = (got - wanted).abs() / (wanted.abs() + 0.1 * scale + 1e-4);
                found.compared += 1;
                found.worst = found.worst.max(deviation);
                if deviation <= TOLERANCE {
                    return Ok(());
                }
                Err(format!("{name}, input {which} at {i}: {got}, by differences {wanted}"))
            };
            let (mut seed, mut row_seed, mut weighted, mut any_kink) = (0, 0, 0.0, false);
            for (o, slopes) in d.slopes.iter().enumerate() {
                let per_row = slopes.len() / rows[o];
                for (j, slope) in slopes.iter().enumerate() {
                    let got = full[values.len() + which][(seed + j) * size + i];
                    compare(&format!("full jacobian of output {o} at {j}"), got, *slope, d.kinks[o][j])?;
                    weighted += weights[o][j] * slope;
                    any_kink |= d.kinks[o][j];
                }
                for j in 0..per_row {
                    let column = || (j..slopes.len()).step_by(per_row);
                    let got = by_rows[values.len() + which][(row_seed + j) * size + i];
                    let kink = column().any(|at| d.kinks[o][at]);
                    let wanted = column().map(|at| slopes[at]).sum();
                    compare(&format!("jacobian of output {o} at {j}"), got, wanted, kink)?;
                }
                seed += slopes.len();
                row_seed += per_row;
            }
            compare("product", product[values.len() + which][i], weighted, any_kink)?;
        }
    }
    Ok(found)
}

fn row_count(shape: &[usize]) -> usize {
    if shape.len() >= 2 { shape[0] } else { 1 }
}

/// The graph's own nodes keep their places, and everything that follows is read.
fn check_form(graph: &Graph, derived: &Graph) -> Result<(), String> {
    let own = graph.nodes().len();
    for (index, (a, b)) in graph.nodes().iter().zip(derived.nodes()).enumerate() {
        if a.shape != b.shape || a.inputs != b.inputs || std::mem::discriminant(&a.op) != std::mem::discriminant(&b.op)
        {
            return Err(format!("node {index} changed from {a:?} to {b:?}"));
        }
    }
    let read = crate::copy::read_by(derived, derived.outputs());
    for (index, data) in derived.nodes().iter().enumerate().skip(own) {
        // A part of a loop may be missing, an input may be without use.
        if !read[index] && !matches!(data.op, Op::Input | Op::Part(_)) {
            return Err(format!("node {index} is read by nobody: {data:?}"));
        }
    }
    Ok(())
}

/// Derivatives of all outputs with respect to one number of one input.
struct Difference {
    slopes: Vec<Values>,
    kinks: Vec<Vec<bool>>,
}

/// Central differences with two steps, extrapolated; where the two disagree there is a kink or a jump.
fn difference(graph: &Graph, inputs: &[Values], which: usize, at: usize) -> Difference {
    let central = |step: f64| -> Vec<Values> {
        let side = |step: f64| {
            let mut moved = inputs.to_vec();
            moved[which][at] += step;
            evaluate(graph, &moved)
        };
        let pairs = side(step).into_iter().zip(side(-step));
        pairs.map(|(up, down)| up.iter().zip(down).map(|(u, d)| (u - d) / (2.0 * step)).collect()).collect()
    };
    let (wide, close) = (central(2e-4), central(1e-4));
    let pairs = || wide.iter().zip(&close).map(|(w, c)| w.iter().zip(c));
    Difference {
        slopes: pairs().map(|p| p.map(|(w, c)| (4.0 * c - w) / 3.0).collect()).collect(),
        kinks: pairs().map(|p| p.map(|(w, c)| (w - c).abs() > 1e-4 * (1.0 + w.abs())).collect()).collect(),
    }
}

/// Random inputs for a graph.
fn inputs(graph: &Graph, seed: u64) -> Vec<Values> {
    random_inputs(graph, seed).iter().map(|v| v.iter().map(|x| f64::from(*x)).collect()).collect()
}

/// Checks one graph at a few points, away from kinks.
fn expect_right(name: &str, graph: &Graph) {
    for seed in 0..3 {
        match check(graph, &inputs(graph, seed)) {
            Ok(found) if found.compared == 0 || found.kinks > 0 => {
                panic!("{name}, input seed {seed}: {} compared, {} kinks", found.compared, found.kinks)
            }
            Ok(_) => {}
            Err(error) => panic!("{name}, input seed {seed}: {error}"),
        }
    }
}

/// A graph of inputs with these shapes and one output.
fn build(shapes: &[&[usize]], f: impl Fn(&mut Graph, &[Node]) -> Node) -> Graph {
    let mut graph = Graph::new();
    let inputs: Vec<Node> = shapes.iter().map(|shape| graph.input(shape).unwrap()).collect();
    let output = f(&mut graph, &inputs);
    graph.output(output);
    graph
}

/// Fixed numbers between -scale and scale.
fn weights(graph: &mut Graph, shape: &[usize], scale: f32, seed: u64) -> Node {
    let mut random = Random::new(seed);
    let numbers: Vec<f32> = (0..elements(shape)).map(|_| random.between(-scale, scale)).collect();
    graph.constant(shape, numbers).unwrap()
}
