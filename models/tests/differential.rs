//! The engine against tract on seeded random ONNX graphs: chains and forks of one to eight operators over rows, sequences and images.
//!
//! Both see the same bytes. A seed that fails is printed with its operators and becomes a named test.

#[path = "support/onnx.rs"]
mod onnx;

use flyball_models::onnx::OnnxFile;
use flyball_models::{How, Network};
use onnx::{Onnx, Random, dim, float, int, ints};

/// Rows of every run.
const ROWS: usize = 2;
/// Largest difference, share of the largest number of the output or of 1.
const TOLERANCE: f32 = 1e-4;

/// A tensor of the graph under construction, without its batch axis.
#[derive(Clone)]
struct Wire {
    name: String,
    shape: Vec<usize>,
}

const ACTIVATIONS: [&str; 13] = [
    "Relu",
    "Tanh",
    "Sigmoid",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Softplus",
    "HardSigmoid",
    "HardSwish",
    "Abs",
    "Neg",
    "Exp",
    "Identity",
];

/// One more operator; what it made, and its name for messages.
fn grow(file: &mut Onnx, wires: &[Wire], random: &mut Random) -> (Wire, String) {
    let x = wires[random.below(wires.len())].clone();
    let n = *x.shape.last().expect("every wire has a feature axis");
    let unary =
        |file: &mut Onnx, operator: &str| Wire { name: file.node(operator, &[&x.name], &[]), shape: x.shape.clone() };
    let choice = random.below(11);
    let (wire, what) = match (choice, x.shape.len()) {
        (0 | 1, 1) => {
            let m = 1 + random.below(40);
            let (w, b) = (file.weights(&[n, m], random), file.weights(&[m], random));
            (Wire { name: file.node("Gemm", &[&x.name, &w, &b], &[]), shape: vec![m] }, "Gemm".to_owned())
        }
        (0 | 1, 2) => {
            let (m, kernel) = (1 + random.below(8), 1 + random.below(3.min(n)));
            let (stride, pad) = (1 + random.below(2), random.below(3) as i64);
            let (w, b) = (file.weights(&[m, x.shape[0], kernel], random), file.weights(&[m], random));
            let attributes = [ints("strides", &[stride as i64]), ints("pads", &[pad, pad])];
            let length = (n + 2 * pad as usize - kernel) / stride + 1;
            (
                Wire { name: file.node("Conv", &[&x.name, &w, &b], &attributes), shape: vec![m, length] },
                "Conv".to_owned(),
            )
        }
        (2, 2) => {
            let kind = ["AveragePool", "MaxPool"][random.below(2)];
            let kernel = 1 + random.below(3.min(n));
            let name = file.node(kind, &[&x.name], &[ints("kernel_shape", &[kernel as i64])]);
            (Wire { name, shape: vec![x.shape[0], n - kernel + 1] }, kind.to_owned())
        }
        (3, _) => {
            let operator = ["Add", "Sub", "Mul", "Max", "Min"][random.below(5)];
            let other = wires.iter().rev().find(|w| w.shape == x.shape).cloned();
            let other = match other.filter(|_| random.below(2) == 0) {
                Some(wire) => wire.name,
                None => file.weights(&x.shape, random),
            };
            (Wire { name: file.node(operator, &[&x.name, &other], &[]), shape: x.shape.clone() }, operator.to_owned())
        }
        (4, _) => {
            let name = file.node("Softmax", &[&x.name], &[int("axis", -1)]);
            (Wire { name, shape: x.shape.clone() }, "Softmax".to_owned())
        }
        (5, 2) => {
            let name = file.node("Transpose", &[&x.name], &[ints("perm", &[0, 2, 1])]);
            (Wire { name, shape: vec![n, x.shape[0]] }, "Transpose".to_owned())
        }
        (6, 2) => {
            let kind = ["ReduceMean", "ReduceMax"][random.below(2)];
            let name = file.node(kind, &[&x.name], &[ints("axes", &[2]), int("keepdims", 0)]);
            (Wire { name, shape: vec![x.shape[0]] }, kind.to_owned())
        }
        (7, 2) => {
            let name = file.node("Flatten", &[&x.name], &[int("axis", 1)]);
            (Wire { name, shape: vec![x.shape.iter().product()] }, "Flatten".to_owned())
        }
        (8, _) => {
            let (from, to) = (random.below(n), n);
            let axis = x.shape.len() as i64;
            let lists = [vec![from as i64], vec![to as i64], vec![axis]].map(|list| file.ints(&[1], &list));
            let name = file.node("Slice", &[&x.name, &lists[0], &lists[1], &lists[2]], &[]);
            let mut shape = x.shape.clone();
            *shape.last_mut().expect("it has one") = to - from;
            (Wire { name, shape }, "Slice".to_owned())
        }
        (9, _) => {
            let name = file.node("Concat", &[&x.name, &x.name], &[int("axis", 1)]);
            let mut shape = x.shape.clone();
            shape[0] *= 2;
            (Wire { name, shape }, "Concat".to_owned())
        }
        (10, _) => {
            let (scale, bias) = (file.weights(&[n], random), file.weights(&[n], random));
            let attributes = [int("axis", -1), float("epsilon", 1e-3)];
            let name = file.node("LayerNormalization", &[&x.name, &scale, &bias], &attributes);
            (Wire { name, shape: x.shape.clone() }, "LayerNormalization".to_owned())
        }
        _ => {
            let operator = ACTIVATIONS[random.below(ACTIVATIONS.len())];
            (unary(file, operator), operator.to_owned())
        }
    };
    (wire, what)
}

/// The file of a seed, and its operators.
fn random_file(seed: u64) -> (Vec<u8>, String) {
    let mut random = Random::new(seed);
    let mut file = Onnx::new(17);
    let shape =
        if random.below(2) == 0 { vec![1 + random.below(24)] } else { vec![1 + random.below(6), 1 + random.below(30)] };
    let dims: Vec<onnx::Dim> = std::iter::once(dim("N")).chain(shape.iter().map(|n| dim(*n))).collect();
    let mut wires = vec![Wire { name: file.input("x", &dims), shape }];
    let mut names = Vec::new();
    for _ in 0..1 + random.below(8) {
        let (wire, what) = grow(&mut file, &wires, &mut random);
        if wire.shape.iter().product::<usize>() > 4_000 {
            break;
        }
        names.push(what);
        wires.push(wire);
    }
    if wires.len() == 1 {
        let name = file.node("Tanh", &[&wires[0].name.clone()], &[]);
        wires.push(Wire { name, shape: wires[0].shape.clone() });
    }
    file.output(&wires.last().expect("at least one operator").name);
    (file.bytes(), names.join(" -> "))
}

/// Compares both engines on one seed; false when the engine does not have the graph.
fn compare(seed: u64) -> bool {
    let (bytes, names) = random_file(seed);
    let file = OnnxFile::read(&bytes).unwrap_or_else(|e| panic!("seed {seed} ({names}): {e}"));
    let typed = || file.typed(ROWS).unwrap_or_else(|e| panic!("seed {seed} ({names}): {e}"));
    let (mut ours, mut tract) =
        (Network::new(typed()).expect("one of both"), Network::on_tract(typed()).expect("tract"));
    if matches!(ours.how(), How::Fallback(_)) {
        return false;
    }
    let len = ours.inputs()[0].len();
    let numbers = Random::new(seed ^ 0xabcd).numbers(len, 1.0);
    ours.input_mut(0).copy_from_slice(&numbers);
    tract.input_mut(0).copy_from_slice(&numbers);
    ours.run().expect("runs");
    tract.run().expect("runs");
    let scale = tract.output(0).iter().filter(|v| v.is_finite()).fold(1.0_f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in ours.output(0).iter().zip(tract.output(0)).enumerate() {
        let same = a == b || (!a.is_finite() && !b.is_finite()) || (a - b).abs() <= TOLERANCE * scale;
        assert!(same, "seed {seed} ({names}): number {i} is {a}, tract says {b}");
    }
    true
}

/// `FLYBALL_GRAPHS` sets the number of graphs for a long run.
#[test]
fn random_graphs_give_what_tract_gives() {
    let count = std::env::var("FLYBALL_GRAPHS").ok().and_then(|n| n.parse().ok()).unwrap_or(4_000_u64);
    let native = (1..=count).filter(|seed| compare(*seed)).count();
    println!("{native} of {count} random graphs ran natively and agree with tract");
    assert_eq!(native as u64, count, "every operator of the generator is in the engine's set");
}
