//! RNN, GRU and LSTM against the equations of the ONNX standard, in every direction, layout and form, and against tract's plan.

use flyball_engine::{Graph, Op};
use flyball_models::lower::{lower, reset_states, typed};
use tract_onnx::prelude::*;

use crate::onnx::{Onnx, Random, dims, int, ints, string, strings};
use crate::{Range, answer, assert_close, check, count, inputs_of, program_answer, random, tract_answer, translated};

/// One layer with its weights.
#[derive(Debug, Clone)]
struct Layer {
    cell: &'static str,
    direction: &'static str,
    batch_first: bool,
    before_reset: bool,
    bias: bool,
    initial: bool,
    peepholes: bool,
    activations: Vec<&'static str>,
    steps: usize,
}

const ROWS: usize = 3;
const WIDTH: usize = 4;
const HIDDEN: usize = 5;

impl Layer {
    fn new(cell: &'static str) -> Self {
        Self {
            cell,
            direction: "forward",
            batch_first: false,
            before_reset: true,
            bias: true,
            initial: false,
            peepholes: false,
            activations: Vec::new(),
            steps: 6,
        }
    }

    fn gates(&self) -> usize {
        match self.cell {
            "RNN" => 1,
            "GRU" => 3,
            _ => 4,
        }
    }

    fn directions(&self) -> usize {
        if self.direction == "bidirectional" { 2 } else { 1 }
    }

    /// Weights W, R, B, P of all directions.
    fn weights(&self) -> [Vec<f32>; 4] {
        let mut random = random(&format!("{} weights", self.cell));
        let (d, g) = (self.directions(), self.gates());
        let mut numbers = |n: usize| random.numbers(n, 0.6);
        [
            numbers(d * g * HIDDEN * WIDTH),
            numbers(d * g * HIDDEN * HIDDEN),
            numbers(d * 2 * g * HIDDEN),
            numbers(d * 3 * HIDDEN),
        ]
    }

    fn file(&self) -> Onnx {
        let (d, g) = (self.directions(), self.gates());
        let [w, r, b, p] = self.weights();
        let mut file = Onnx::new(17);
        let x = file
            .input("x", &dims(&if self.batch_first { [ROWS, self.steps, WIDTH] } else { [self.steps, ROWS, WIDTH] }));
        let w = file.floats(&[d, g * HIDDEN, WIDTH], w);
        let r = file.floats(&[d, g * HIDDEN, HIDDEN], r);
        let b = if self.bias { file.floats(&[d, 2 * g * HIDDEN], b) } else { String::new() };
        let state = dims(&if self.batch_first { [ROWS, d, HIDDEN] } else { [d, ROWS, HIDDEN] });
        let h = if self.initial { file.input("h", &state) } else { String::new() };
        let c = if self.initial && self.cell == "LSTM" { file.input("c", &state) } else { String::new() };
        let p = if self.peepholes { file.floats(&[d, 3 * HIDDEN], p) } else { String::new() };
        let mut names: Vec<&str> = vec![&x, &w, &r, &b, "", &h];
        if self.cell == "LSTM" {
            names.extend([&c[..], &p]);
        }
        while names.last() == Some(&"") {
            names.pop();
        }
        let mut attributes = vec![int("hidden_size", HIDDEN as i64), string("direction", self.direction)];
        if self.batch_first {
            attributes.push(int("layout", 1));
        }
        if self.cell == "GRU" {
            attributes.push(int("linear_before_reset", i64::from(self.before_reset)));
        }
        if !self.activations.is_empty() {
            let all = self.activations.repeat(d);
            attributes.push(strings("activations", &all));
        }
        for y in file.node_with(self.cell, &names, if self.cell == "LSTM" { 3 } else { 2 }, &attributes) {
            file.output(&y);
        }
        file
    }

    /// Y, Y_h and Y_c by the equations of the standard, in f64.
    fn by_the_standard(&self, inputs: &[Vec<f32>]) -> Vec<Vec<f64>> {
        let (d, g, steps) = (self.directions(), self.gates(), self.steps);
        let [w, r, b, p] = self.weights();
        let usual: &[&str] = match self.cell {
            "RNN" => &["Tanh"],
            "GRU" => &["Sigmoid", "Tanh"],
            _ => &["Sigmoid", "Tanh", "Tanh"],
        };
        let names = if self.activations.is_empty() { usual.to_vec() } else { self.activations.clone() };
        let act = |i: usize, v: f64| match names[i] {
            "Sigmoid" => 1.0 / (1.0 + (-v).exp()),
            "Tanh" => v.tanh(),
            _ => v.max(0.0),
        };
        // Place of a state or an output: [d, rows, hidden] or [rows, d, hidden], with steps in front of or behind the rows.
        let state_at = |dir: usize, row: usize, j: usize| {
            if self.batch_first { (row * d + dir) * HIDDEN + j } else { (dir * ROWS + row) * HIDDEN + j }
        };
        let y_at = |t: usize, dir: usize, row: usize, j: usize| {
            if self.batch_first {
                ((row * steps + t) * d + dir) * HIDDEN + j
            } else {
                ((t * d + dir) * ROWS + row) * HIDDEN + j
            }
        };
        let x_at = |t: usize, row: usize, i: usize| {
            inputs[0][if self.batch_first { (row * steps + t) * WIDTH + i } else { (t * ROWS + row) * WIDTH + i }]
        };
        let mut y = vec![0.0; steps * d * ROWS * HIDDEN];
        let (mut last_h, mut last_c) = (vec![0.0; d * ROWS * HIDDEN], vec![0.0; d * ROWS * HIDDEN]);
        for dir in 0..d {
            let backward = self.direction == "reverse" || dir == 1;
            for row in 0..ROWS {
                let start = |slot: usize| -> Vec<f64> {
                    (0..HIDDEN)
                        .map(|j| if self.initial { f64::from(inputs[slot][state_at(dir, row, j)]) } else { 0.0 })
                        .collect()
                };
                let mut h = start(1);
                let mut c = if self.cell == "LSTM" { start(2) } else { vec![0.0; HIDDEN] };
                for step in 0..steps {
                    let t = if backward { steps - 1 - step } else { step };
                    let bias = |side: usize, k: usize| {
                        if self.bias { f64::from(b[(dir * 2 + side) * g * HIDDEN + k]) } else { 0.0 }
                    };
                    let from_x = |k: usize| -> f64 {
                        let row_of_w = (dir * g * HIDDEN + k) * WIDTH;
                        (0..WIDTH).map(|i| f64::from(w[row_of_w + i]) * f64::from(x_at(t, row, i))).sum::<f64>()
                            + bias(0, k)
                    };
                    let from = |v: &[f64], k: usize| -> f64 {
                        let row_of_r = (dir * g * HIDDEN + k) * HIDDEN;
                        (0..HIDDEN).map(|i| f64::from(r[row_of_r + i]) * v[i]).sum()
                    };
                    let peep = |k: usize, j: usize, c: f64| {
                        if self.peepholes { f64::from(p[(dir * 3 + k) * HIDDEN + j]) * c } else { 0.0 }
                    };
                    let gate = |k: usize, j: usize| {
                        from_x(k * HIDDEN + j) + from(&h, k * HIDDEN + j) + bias(1, k * HIDDEN + j)
                    };
                    let new: Vec<(f64, f64)> = match self.cell {
                        "RNN" => (0..HIDDEN).map(|j| (act(0, gate(0, j)), 0.0)).collect(),
                        "GRU" => {
                            let z: Vec<f64> = (0..HIDDEN).map(|j| act(0, gate(0, j))).collect();
                            let reset: Vec<f64> = (0..HIDDEN).map(|j| act(0, gate(1, j))).collect();
                            let rh: Vec<f64> = reset.iter().zip(&h).map(|(r, h)| r * h).collect();
                            let n = |j: usize| {
                                let k = 2 * HIDDEN + j;
                                let inner = if self.before_reset {
                                    reset[j] * (from(&h, k) + bias(1, k))
                                } else {
                                    from(&rh, k) + bias(1, k)
                                };
                                act(1, from_x(k) + inner)
                            };
                            (0..HIDDEN).map(|j| ((1.0 - z[j]) * n(j) + z[j] * h[j], 0.0)).collect()
                        }
                        _ => (0..HIDDEN)
                            .map(|j| {
                                let i = act(0, gate(0, j) + peep(0, j, c[j]));
                                let f = act(0, gate(2, j) + peep(2, j, c[j]));
                                let cell = f * c[j] + i * act(1, gate(3, j));
                                let o = act(0, gate(1, j) + peep(1, j, cell));
                                (o * act(2, cell), cell)
                            })
                            .collect(),
                    };
                    for (j, (new_h, new_c)) in new.into_iter().enumerate() {
                        (h[j], c[j]) = (new_h, new_c);
                        y[y_at(t, dir, row, j)] = new_h;
                    }
                }
                for j in 0..HIDDEN {
                    last_h[state_at(dir, row, j)] = h[j];
                    last_c[state_at(dir, row, j)] = c[j];
                }
            }
        }
        if self.cell == "LSTM" { vec![y, last_h, last_c] } else { vec![y, last_h] }
    }

    fn check(&self) -> Graph {
        let name = format!("{self:?}");
        let file = self.file();
        let graph = translated(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let inputs = inputs_of(&graph, &name, Range::Within(1.0));
        let found = answer(&graph, &inputs);
        assert_close(&format!("{name}, standard"), &found, &self.by_the_standard(&inputs));
        assert_close(&format!("{name}, compiled"), &program_answer(&graph, &inputs), &found);
        for optimised in [false, true] {
            // tract's optimiser breaks a loop both of whose initial states are the same constant.
            if optimised && self.cell == "LSTM" && !self.initial {
                continue;
            }
            let wanted = tract_answer(&file, &inputs, optimised)
                .unwrap_or_else(|error| panic!("{name}, tract, optimised: {optimised}: {error:?}"));
            assert_close(&format!("{name}, tract, optimised: {optimised}"), &found, &wanted);
        }
        graph
    }
}

const CELLS: [&str; 3] = ["RNN", "GRU", "LSTM"];

#[test]
fn every_direction_and_layout() {
    for cell in CELLS {
        for direction in ["forward", "reverse", "bidirectional"] {
            for batch_first in [false, true] {
                for initial in [false, true] {
                    for before_reset in if cell == "GRU" { &[false, true][..] } else { &[true] } {
                        let before_reset = *before_reset;
                        Layer { direction, batch_first, initial, before_reset, ..Layer::new(cell) }.check();
                    }
                }
            }
        }
    }
}

#[test]
fn few_steps_no_bias_peepholes_other_activations() {
    for cell in CELLS {
        for steps in [1, 2, 5] {
            for before_reset in [false, true] {
                for direction in ["reverse", "bidirectional"] {
                    Layer { steps, before_reset, direction, bias: false, initial: true, ..Layer::new(cell) }.check();
                }
            }
        }
    }
    for direction in ["forward", "bidirectional"] {
        Layer { direction, peepholes: true, initial: true, ..Layer::new("LSTM") }.check();
        Layer { direction, peepholes: true, bias: false, ..Layer::new("LSTM") }.check();
        let own = |activations: &[&'static str], cell| Layer {
            direction,
            activations: activations.to_vec(),
            ..Layer::new(cell)
        };
        own(&["Relu"], "RNN").check();
        own(&["Tanh", "Sigmoid"], "GRU").check();
        own(&["Sigmoid", "Relu", "Tanh"], "LSTM").check();
        Layer { peepholes: true, ..own(&["Tanh", "Relu", "Sigmoid"], "LSTM") }.check();
    }
}

/// One product per side and step: the input's is before the loop, for all steps at once, and nothing is transposed inside.
#[test]
fn the_input_side_is_computed_before_the_loop() {
    for cell in CELLS {
        for before_reset in [true, false] {
            let layer = Layer { before_reset, ..Layer::new(cell) };
            let graph = layer.check();
            let scan = graph
                .nodes()
                .iter()
                .find_map(|n| match &n.op {
                    Op::Scan(scan) => Some(scan),
                    _ => None,
                })
                .expect("a loop");
            let products = |g: &Graph| g.nodes().iter().filter(|n| matches!(n.op, Op::MatMul)).count();
            let two_products = cell == "GRU" && !before_reset;
            assert_eq!(products(&scan.body), 1 + usize::from(two_products), "{layer:?}");
            assert_eq!(products(&graph), 1, "{layer:?}");
            let product = graph.nodes().iter().find(|n| matches!(n.op, Op::MatMul)).expect("counted");
            assert_eq!(product.shape.iter().product::<usize>(), layer.steps * ROWS * layer.gates() * HIDDEN);
            assert_eq!((scan.trips, scan.states), (layer.steps, if cell == "LSTM" { 2 } else { 1 }));
            assert_eq!(scan.body.inputs().len(), scan.states + scan.scanned, "weights are constants of the body");
            let moved = |n: &flyball_engine::op::NodeData| matches!(n.op, Op::Index(_)) && n.inputs.len() > 1;
            assert!(!scan.body.nodes().iter().any(moved), "{layer:?}: gates are slices");
            assert_eq!(count(&graph, &|op| matches!(op, Op::Conv(_))), 0);
        }
    }
}

#[test]
fn one_step_is_no_loop() {
    for cell in CELLS {
        let graph = Layer { steps: 1, initial: true, ..Layer::new(cell) }.check();
        assert_eq!(count(&graph, &|op| matches!(op, Op::Scan(_))), 0, "{cell}");
    }
}

/// By default tract carries the state of a loop from run to run of a session: a second run with the same input answers otherwise.
#[test]
fn states_begin_anew_in_each_run() {
    for cell in CELLS {
        let layer = Layer::new(cell);
        let mut x = Random::new(7);
        let x = Tensor::from_shape(&[layer.steps, ROWS, WIDTH], &x.numbers(layer.steps * ROWS * WIDTH, 1.0)).unwrap();
        let twice = |model: TypedModel| {
            let mut state = model.into_runnable().unwrap().spawn().unwrap();
            let mut run = || state.run(tvec!(x.clone().into_tvalue())).unwrap().remove(0).into_tensor();
            (run(), run())
        };
        let leaking = typed(&layer.file().model(), ROWS).unwrap();
        let mut cured = leaking.clone();
        reset_states(&mut cured);
        let (first, second) = twice(leaking);
        assert_ne!(
            first, second,
            "{cell}: tract is expected to carry the state; if it no longer does, drop reset_states"
        );
        let (first, second) = twice(cured);
        assert_eq!(first, second, "{cell}");
    }
}

#[test]
fn layers_in_a_row_and_a_window_from_rows() {
    let mut random = random("stack");
    let mut file = Onnx::new(17);
    let x = file.input("x", &[crate::onnx::dim("batch"), crate::onnx::dim(8), crate::onnx::dim(4)]);
    let mut y = file.node("Transpose", &[&x], &[ints("perm", &[1, 0, 2])]);
    for (cell, gates, width) in [("LSTM", 4, 4), ("GRU", 3, 12)] {
        let w = file.weights(&[2, gates * 6, width], &mut random);
        let r = file.weights(&[2, gates * 6, 6], &mut random);
        let b = file.weights(&[2, gates * 12], &mut random);
        let attributes = [int("hidden_size", 6), string("direction", "bidirectional"), int("linear_before_reset", 1)];
        let attributes = &attributes[..if cell == "GRU" { 3 } else { 2 }];
        y = file.node(cell, &[&y, &w, &r, &b], attributes);
        y = file.node("Transpose", &[&y], &[ints("perm", &[0, 2, 1, 3])]);
        let shape = file.ints(&[3], &[0, 0, -1]);
        y = file.node("Reshape", &[&y, &shape], &[]);
    }
    file.output(&y);
    let graph = check("two bidirectional layers", &file);
    assert_eq!(count(&graph, &|op| matches!(op, Op::Scan(_))), 4);
}

/// An ONNX Scan: running sum and its maximum so far, forwards and backwards.
#[test]
fn scan_operator() {
    let mut body = Onnx::new(17);
    let (sum, top) = (body.input("sum", &dims(&[2])), body.input("top", &dims(&[2])));
    let (a, b) = (body.input("a", &dims(&[2])), body.input("b", &dims(&[2])));
    let half = body.floats(&[], vec![0.5]);
    let both = body.node("Mul", &[&a, &b], &[]);
    let new_sum = body.node("Add", &[&sum, &both], &[]);
    let new_top = body.node("Max", &[&top, &new_sum], &[]);
    let shown = body.node("Mul", &[&new_top, &half], &[]);
    let sums = body.node("Identity", &[&new_sum], &[]);
    for y in [&new_sum, &new_top, &shown, &sums] {
        body.output(y);
    }
    for (directions, axes) in [([0, 0], [0, 0]), ([1, 0], [0, 1])] {
        let mut file = Onnx::new(17);
        let (sum, top) = (file.input("s", &dims(&[2])), file.input("t", &dims(&[2])));
        let shape = |axis: i64| if axis == 0 { [5, 2] } else { [2, 5] };
        let (a, b) = (file.input("a_all", &dims(&shape(axes[0]))), file.input("b_all", &dims(&shape(axes[1]))));
        let attributes = [
            crate::onnx::graph("body", body.graph()),
            int("num_scan_inputs", 2),
            ints("scan_input_directions", &directions),
            ints("scan_output_directions", &directions),
            ints("scan_input_axes", &axes),
            ints("scan_output_axes", &axes),
        ];
        for y in file.node_with("Scan", &[&sum, &top, &a, &b], 4, &attributes) {
            file.output(&y);
        }
        check(&format!("Scan {directions:?} {axes:?}"), &file);
    }
}

#[test]
fn attributes_that_tract_ignores_are_refused() {
    let refused = |file: Onnx, word: &str| {
        let error = typed(&file.model(), ROWS).map(|m| lower(&m)).expect_err("must be refused");
        let error = format!("{error:#}");
        assert!(error.contains(word), "'{word}' is not in: {error}");
    };
    let with = |attribute| {
        let mut file = Onnx::new(17);
        let x = file.input("x", &dims(&[3, 2, 4]));
        let w = file.weights(&[1, 20, 4], &mut random("refused"));
        let r = file.weights(&[1, 20, 5], &mut random("refused"));
        let y = file.node("LSTM", &[&x, &w, &r], &[int("hidden_size", 5), attribute]);
        file.output(&y);
        file
    };
    refused(with(crate::onnx::float("clip", 1.0)), "clip");
    refused(with(int("input_forget", 1)), "input_forget");
    refused(with(strings("activations", &["Sigmoid", "Softsign", "Tanh"])), "softsign");
    refused(with(strings("activations", &["Sigmoid"])), "activations");
    refused(with(string("direction", "sideways")), "sideways");
}
