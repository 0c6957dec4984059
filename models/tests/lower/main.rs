//! Translated graphs against tract's plans, operator by operator, and against the standard's formulas where tract does not read them.
//!
//! Random numbers are seeded by the name of the case, which every failure shows.

mod convolution;
mod elementwise;
mod files;
mod matmul;
mod moves;
mod networks;
#[path = "../support/onnx.rs"]
mod onnx;
mod recurrent;
mod refusals;

use std::sync::Arc;

use flyball_engine::{Graph, Node, Op, Path, Program, reference};
use flyball_models::lower::{Unsupported, lower, reset_states, typed};
use onnx::{Onnx, Random};
use tract_onnx::prelude::*;

/// Rows of the free dimension in these tests.
pub const ROWS: usize = 3;

/// What a case is fed with.
#[derive(Clone, Copy)]
pub enum Range {
    /// -`0` to `0`
    Within(f32),
    /// 0.05 to 2
    Positive,
}

/// A seed from the name of a case.
pub fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Random numbers of a case.
pub fn random(name: &str) -> Random {
    Random::new(seed(name))
}

/// The translated graph.
pub fn translated(file: &Onnx) -> Result<Graph, Unsupported> {
    let mut model = typed(&file.model(), ROWS).expect("tract types the graph");
    reset_states(&mut model);
    lower(&model)
}

/// The refusal of a file, by whichever of the two steps.
pub fn refusal(file: &Onnx) -> String {
    match typed(&file.model(), ROWS) {
        Ok(model) => lower(&model).expect_err("must be refused").to_string(),
        Err(error) => error.to_string(),
    }
}

/// Random inputs of a graph.
pub fn inputs_of(graph: &Graph, name: &str, range: Range) -> Vec<Vec<f32>> {
    let mut random = random(name);
    let number = |random: &mut Random| match range {
        Range::Within(scale) => scale * random.unit(),
        Range::Positive => 1.025 + 0.975 * random.unit(),
    };
    let length = |node: &Node| graph.shape(*node).iter().product::<usize>();
    graph.inputs().iter().map(|node| (0..length(node)).map(|_| number(&mut random)).collect()).collect()
}

/// The reference interpreter's answer.
pub fn answer(graph: &Graph, inputs: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let wide: Vec<Vec<f64>> = inputs.iter().map(|x| x.iter().map(|v| f64::from(*v)).collect()).collect();
    reference::evaluate(graph, &wide)
}

/// tract's answer, from the typed graph as it is or optimised.
pub fn tract_answer(file: &Onnx, inputs: &[Vec<f32>], optimised: bool) -> TractResult<Vec<Vec<f64>>> {
    let mut model = typed(&file.model(), ROWS).map_err(|error| TractError::msg(error.to_string()))?;
    reset_states(&mut model);
    let shapes: Vec<Vec<usize>> = (0..model.inputs.len())
        .map(|slot| Ok(model.input_fact(slot)?.shape.as_concrete().expect("concrete input").to_vec()))
        .collect::<TractResult<_>>()?;
    let model = if optimised { model.into_optimized()? } else { model };
    let mut fed = tvec!();
    for (shape, numbers) in shapes.iter().zip(inputs) {
        fed.push(Tensor::from_shape(shape, numbers)?.into_tvalue());
    }
    let results = model.into_runnable()?.run(fed)?;
    let wide = |t: &TValue| -> TractResult<Vec<f64>> {
        Ok(t.try_as_plain_ram()?.as_slice::<f32>()?.iter().map(|v| f64::from(*v)).collect())
    };
    results.iter().map(wide).collect()
}

/// The compiled program's answer.
pub fn program_answer(graph: &Graph, inputs: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let program = Program::compile(graph, Path::best()).expect("is compiled");
    let outputs = program.outputs().len();
    let mut instance = Arc::new(program).instance();
    for (slot, numbers) in inputs.iter().enumerate() {
        instance.input_mut(slot).copy_from_slice(numbers);
    }
    instance.run();
    (0..outputs).map(|slot| instance.output(slot).iter().map(|v| f64::from(*v)).collect()).collect()
}

/// 1e-5 of the number plus 1e-5 of the largest number of the tensor.
pub fn assert_close(what: &str, found: &[Vec<f64>], wanted: &[Vec<f64>]) {
    assert_within(1e-5, what, found, wanted);
}

/// This share of the number plus this share of the largest number of the tensor.
pub fn assert_within(share: f64, what: &str, found: &[Vec<f64>], wanted: &[Vec<f64>]) {
    assert_eq!(found.len(), wanted.len(), "{what}: number of outputs");
    for (slot, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert_eq!(found.len(), wanted.len(), "{what}: length of output {slot}");
        let largest = wanted.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
            let near = (a - b).abs() <= share * (largest + b.abs());
            assert!(near || a == b, "{what}: output {slot}, element {i}: {a} is not {b}");
        }
    }
}

/// Translates a file and compares its reference answer with both plans of tract and with the compiled program. Returns the graph.
pub fn check_in(name: &str, file: &Onnx, range: Range) -> Graph {
    let graph = translated(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let inputs = inputs_of(&graph, name, range);
    let found = answer(&graph, &inputs);
    assert_close(&format!("{name}, compiled"), &program_answer(&graph, &inputs), &found);
    for optimised in [false, true] {
        let wanted = tract_answer(file, &inputs, optimised).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_close(&format!("{name} (optimised: {optimised})"), &found, &wanted);
    }
    graph
}

/// As [`check_in`] with numbers of -2 to 2.
pub fn check(name: &str, file: &Onnx) -> Graph {
    check_in(name, file, Range::Within(2.0))
}

/// How many nodes of a graph, bodies of loops included, satisfy a test.
pub fn count(graph: &Graph, test: &dyn Fn(&Op) -> bool) -> usize {
    let inside = |op: &Op| match op {
        Op::Scan(scan) => count(&scan.body, test),
        _ => 0,
    };
    graph.nodes().iter().map(|node| usize::from(test(&node.op)) + inside(&node.op)).sum()
}
