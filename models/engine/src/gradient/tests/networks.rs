//! Whole feed-forward networks: right derivatives, few nodes, rows, parameters.

use super::{build, check, expect_right, inputs, weights};
use crate::gradient::{full_jacobian, jacobian, loss_gradient, vjp, with_parameters};
use crate::op::{Binary, Conv, Op, ReduceKind, Unary};
use crate::reference::{Values, evaluate};
use crate::{Graph, Node};

/// Layers of these widths with biases; the last is linear.
fn perceptron(rows: usize, widths: &[usize], function: Unary) -> Graph {
    build(&[&[rows, widths[0]]], |g, x| {
        let mut y = x[0];
        for (layer, pair) in widths.windows(2).enumerate() {
            let w = weights(g, pair, 1.5 / (pair[0] as f32).sqrt(), layer as u64);
            let b = weights(g, &pair[1..], 0.3, 50 + layer as u64);
            y = g.matmul(y, w).unwrap();
            y = g.binary(Binary::Add, y, b).unwrap();
            if layer + 2 < widths.len() {
                y = g.unary(function, y).unwrap();
            }
        }
        y
    })
}

fn convolutional(rows: usize) -> Graph {
    build(&[&[rows, 3, 10]], |g, x| {
        let causal = |stride| Conv { strides: vec![stride], dilations: vec![2], pads: vec![(4, 0)], groups: 1 };
        let (w, b) = (weights(g, &[4, 3, 3], 0.5, 1), weights(g, &[4], 0.2, 2));
        let y = g.conv(x[0], w, Some(b), causal(1)).unwrap();
        let y = g.unary(Unary::Gelu, y).unwrap();
        let w = weights(g, &[4, 4, 3], 0.5, 3);
        let y = g.conv(y, w, None, causal(2)).unwrap();
        let y = g.unary(Unary::Tanh, y).unwrap();
        let y = g.mean(y, &[2]).unwrap();
        let y = g.reshape(y, &[rows, 4]).unwrap();
        let w = weights(g, &[4, 2], 0.7, 4);
        g.matmul(y, w).unwrap()
    })
}

/// One head over time steps of [rows, time, features], then the last step.
fn attention(rows: usize) -> Graph {
    build(&[&[rows, 4, 3]], |g, x| {
        let head = |g: &mut Graph, seed| {
            let w = weights(g, &[3, 3], 0.9, seed);
            g.matmul(x[0], w).unwrap()
        };
        let (query, key, value) = (head(g, 1), head(g, 2), head(g, 3));
        let key = g.transpose(key, &[0, 2, 1]).unwrap();
        let scores = g.matmul(query, key).unwrap();
        let scores = g.softmax(scores, &[2]).unwrap();
        let mixed = g.matmul(scores, value).unwrap();
        let last = g.slice(mixed, 1, 3, 4).unwrap();
        g.reshape(last, &[rows, 3]).unwrap()
    })
}

#[test]
fn networks_of_one_and_five_rows() {
    for rows in [1, 5] {
        expect_right("tanh", &perceptron(rows, &[5, 7, 6, 2], Unary::Tanh));
        expect_right("relu", &perceptron(rows, &[5, 7, 6, 2], Unary::Relu));
        expect_right("one output", &perceptron(rows, &[4, 6, 1], Unary::Sigmoid));
        expect_right("convolutional", &convolutional(rows));
        expect_right("attention", &attention(rows));
    }
}

/// Numbers of nodes by operator among those that something reads.
fn count(graph: &Graph, wanted: impl Fn(&Op) -> bool) -> usize {
    let read = crate::copy::read_by(graph, graph.outputs());
    graph.nodes().iter().zip(read).filter(|(node, read)| *read && wanted(&node.op)).count()
}

#[test]
fn the_jacobian_of_a_perceptron_is_one_product_per_layer() {
    for rows in [1, 64] {
        let graph = perceptron(rows, &[16, 64, 64, 2], Unary::Tanh);
        let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
        let [products, functions, slopes, others] = [
            count(&derived, |op| matches!(op, Op::MatMul)),
            count(&derived, |op| matches!(op, Op::Unary(_))),
            count(&derived, |op| matches!(op, Op::Binary(Binary::Slope(_)))),
            count(&derived, |op| matches!(op, Op::Index(_) | Op::Reduce { .. } | Op::Conv(_))),
        ];
        // The last layer's product with the identity folds into a constant.
        assert_eq!([products, functions, slopes, others], [3 + 2, 2, 2, 0]);
        let appended = &derived.nodes()[graph.nodes().len()..];
        println!("{} nodes, {} of them appended", derived.nodes().len(), appended.len());
        assert_eq!(appended.len(), 9, "three constants, and per layer a lift, a slope and a product");
        // Adjoints are on the left, weights fixed on the right.
        for node in appended.iter().filter(|node| matches!(node.op, Op::MatMul)) {
            assert!(derived.constant_data(node.inputs[1]).is_some());
            assert_eq!(node.shape[..2], [2, rows]);
        }
    }
}

#[test]
fn a_linear_graph_has_a_constant_jacobian() {
    let graph = perceptron(3, &[4, 3, 2], Unary::Negate);
    let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
    assert!(count(&derived, |op| matches!(op, Op::MatMul)) == 2, "those of the values only");
    assert!(derived.constant_data(derived.outputs()[1]).is_some());
    expect_right("linear", &graph);
}

#[test]
fn seeds_are_not_multiplied() {
    // Too large to be folded: a product with the identity would stay.
    let graph = perceptron(1, &[600, 512], Unary::Tanh);
    let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
    assert_eq!(count(&derived, |op| matches!(op, Op::MatMul)), 1);
    let weights = graph.nodes().iter().find(|n| n.shape == [600, 512]).unwrap();
    let (Op::Constant(weights), Some(found)) = (&weights.op, derived.constant_data(derived.outputs()[1])) else {
        panic!("both are constant")
    };
    assert!((0..512 * 600).all(|at| found[at] == weights[at % 600 * 512 + at / 600]));
}

#[test]
fn only_what_leads_to_the_input_is_differentiated() {
    let graph = build(&[&[2, 3], &[2, 3]], |g, x| {
        let side = g.unary(Unary::Exp, x[1]).unwrap();
        let side = g.unary(Unary::Gelu, side).unwrap();
        let y = g.unary(Unary::Tanh, x[0]).unwrap();
        g.binary(Binary::Multiply, y, side).unwrap()
    });
    let derived = jacobian(&graph, &graph.inputs()[..1], &[0]).unwrap();
    assert_eq!(count(&derived, |op| matches!(op, Op::Binary(Binary::Slope(_)))), 1);
    expect_right("two inputs", &graph);
}

#[test]
fn derivatives_with_respect_to_inner_nodes() {
    let mut graph = perceptron(2, &[3, 4, 2], Unary::Tanh);
    let inner = graph.nodes().iter().position(|node| matches!(node.op, Op::Unary(_))).unwrap();
    let inner = Node(inner as u32);
    graph.output(inner);
    let derived = jacobian(&graph, &[inner, graph.inputs()[0]], &[0]).unwrap();
    let found = evaluate(&derived, &inputs(&graph, 1));
    // The second layer is linear: its weights, for each row.
    let weights = graph.node(graph.outputs()[0]).inputs[0];
    let weights = graph.constant_data(graph.node(weights).inputs[1]).unwrap();
    let wanted: Values = (0..2)
        .flat_map(|j| [0, 1].map(|_| j))
        .flat_map(|j| (0..4).map(move |i| (i, j)))
        .map(|(i, j)| f64::from(weights[2 * i + j]))
        .collect();
    assert_eq!(found[2], wanted);
}

#[test]
fn rows_that_depend_on_each_other_are_summed() {
    // y = x - mean of x over rows: its sum over rows does not depend on x at all.
    let graph = build(&[&[4, 2]], |g, x| {
        let mean = g.mean(x[0], &[0]).unwrap();
        g.binary(Binary::Subtract, x[0], mean).unwrap()
    });
    let at = inputs(&graph, 3);
    let by_rows = evaluate(&jacobian(&graph, graph.inputs(), &[0]).unwrap(), &at);
    assert!(by_rows[1].iter().all(|slope| slope.abs() < 1e-7));
    let full = evaluate(&full_jacobian(&graph, graph.inputs(), &[0]).unwrap(), &at);
    // Seeds count [row, column]; the first is of row 0, column 0.
    let first: Vec<f64> = full[1][..8].to_vec();
    assert_eq!(first, [0.75, 0.0, -0.25, 0.0, -0.25, 0.0, -0.25, 0.0]);
    check(&graph, &at).unwrap();
}

/// Loss, and its differences with respect to each number of these inputs, against the graph's own.
fn check_loss(derived: &Graph, at: &[Values], wrt: &[usize]) {
    let found = evaluate(derived, at);
    for (derivative, which) in found[1..].iter().zip(wrt) {
        assert_eq!(derivative.len(), at[*which].len());
        for (i, got) in derivative.iter().enumerate() {
            let side = |step: f64| {
                let mut moved = at.to_vec();
                moved[*which][i] += step;
                evaluate(derived, &moved)[0][0]
            };
            let wanted = (side(1e-5) - side(-1e-5)) / 2e-5;
            assert!((got - wanted).abs() < 1e-6 * (wanted.abs() + 1e-2), "input {which} at {i}: {got}, {wanted}");
        }
    }
}

#[test]
fn the_loss_of_parameters() {
    for graph in [perceptron(5, &[3, 4, 2], Unary::Tanh), convolutional(3), attention(2)] {
        let (lifted, parameters) =
            with_parameters(&graph, |g, node| g.constant_data(node).is_some_and(|data| data.len() > 1)).unwrap();
        assert!(lifted.nodes().iter().all(|n| !matches!(&n.op, Op::Constant(data) if data.len() > 1)));
        let wrt: Vec<Node> = parameters.iter().map(|p| p.node).collect();
        let derived = loss_gradient(&lifted, &wrt, 0).unwrap();
        let mut at = inputs(&graph, 1);
        let values = evaluate(&graph, &at);
        at.extend(parameters.iter().map(|p| p.data.iter().map(|v| f64::from(*v)).collect()));
        assert_eq!(evaluate(&lifted, &at), values, "lifted weights change nothing");
        let target: Values = values[0].iter().enumerate().map(|(i, v)| v + 0.1 * i as f64 - 0.2).collect();
        at.push(target.clone());
        let loss: f64 = values[0].iter().zip(&target).map(|(v, t)| (v - t).powi(2)).sum::<f64>() / target.len() as f64;
        assert!((evaluate(&derived, &at)[0][0] - loss).abs() < 1e-6 * loss);
        assert_eq!(derived.shape(derived.outputs()[0]), [0_usize; 0]);
        let places: Vec<usize> = (graph.inputs().len()..lifted.inputs().len()).collect();
        check_loss(&derived, &at, &places);
        for (parameter, output) in parameters.iter().zip(&derived.outputs()[1..]) {
            assert_eq!(parameter.shape, derived.shape(*output));
        }
    }
}

#[test]
fn shared_weights_are_one_parameter() {
    let graph = build(&[&[2, 3]], |g, x| {
        let w = weights(g, &[3, 3], 0.8, 1);
        let flat = g.reshape(w, &[1, 9]).unwrap();
        let y = g.matmul(x[0], w).unwrap();
        let y = g.unary(Unary::Tanh, y).unwrap();
        let y = g.matmul(y, w).unwrap();
        let norm = g.reduce(ReduceKind::Maximum, x[0], &[1]).unwrap();
        let flat = g.binary(Binary::Multiply, norm, flat).unwrap();
        g.concat(&[y, flat], 1).unwrap()
    });
    let (lifted, parameters) = with_parameters(&graph, |g, node| g.shape(node) == [3, 3]).unwrap();
    assert_eq!((parameters.len(), lifted.inputs().len()), (1, 2));
    assert!(!lifted.nodes().iter().any(|node| matches!(node.op, Op::Constant(_))));
    expect_right("shared weights", &lifted);
    let (same, none) = with_parameters(&graph, |_, _| false).unwrap();
    assert!(none.is_empty());
    let at = inputs(&graph, 2);
    assert_eq!(evaluate(&same, &at), evaluate(&graph, &at));
}

#[test]
fn products_take_seeds_of_chosen_outputs() {
    let mut graph = perceptron(2, &[3, 4, 2], Unary::Tanh);
    let hidden = graph.node(graph.node(graph.outputs()[0]).inputs[0]).inputs[0];
    graph.output(hidden);
    let derived = vjp(&graph, graph.inputs(), &[1]).unwrap();
    let seeds = derived.inputs()[1..].iter().map(|seed| derived.shape(*seed).to_vec());
    assert!(seeds.eq([vec![2, 4]]));
    assert_eq!(derived.outputs().len(), 3);
    expect_right("two outputs", &graph);
}
