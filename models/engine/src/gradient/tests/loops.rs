//! Recurrent networks: states, stacked outputs, inputs that stay, weights inside bodies, loops inside loops.

use std::sync::Arc;

use super::{build, expect_right, inputs, weights};
use crate::gradient::{jacobian, loss_gradient, with_parameters};
use crate::op::{Binary, Op, ReduceKind, Scan, Unary};
use crate::reference::{Values, evaluate};
use crate::{Graph, Node};

const TRIPS: usize = 5;
const IN: usize = 3;
const HIDDEN: usize = 4;

/// What of a recurrent layer becomes the output.
#[derive(Debug, Clone, Copy)]
enum Taken {
    /// Last states side by side.
    Last,
    /// All stacked outputs, [rows, trips, hidden].
    All,
    /// The last stacked output.
    LastOfAll,
    /// The sum of stacked outputs over trips.
    Total,
    /// Last states and stacked outputs.
    Both,
}

const TAKEN: [Taken; 5] = [Taken::Last, Taken::All, Taken::LastOfAll, Taken::Total, Taken::Both];

/// A layer over x [rows, trips, in] with zeros as first states.
fn layer(rows: usize, states: usize, taken: Taken, body: impl Fn(usize) -> Graph) -> Graph {
    build(&[&[rows, TRIPS, IN]], |g, x| {
        let x = g.transpose(x[0], &[1, 0, 2]).unwrap();
        let zeros = g.constant(&[rows, HIDDEN], vec![0.0; rows * HIDDEN]).unwrap();
        let parts = g.scan(Arc::new(body(rows)), TRIPS, &vec![zeros; states], &[x], &[]).unwrap();
        take(g, &parts, states, taken)
    })
}

fn take(g: &mut Graph, parts: &[Node], states: usize, taken: Taken) -> Node {
    let rows = g.shape(parts[0])[0];
    let all = g.transpose(parts[states], &[1, 0, 2]).unwrap();
    match taken {
        Taken::Last => g.concat(&parts[..states], 1).unwrap(),
        Taken::All => all,
        Taken::LastOfAll => {
            let last = g.slice(all, 1, TRIPS - 1, TRIPS).unwrap();
            g.reshape(last, &[rows, HIDDEN]).unwrap()
        }
        Taken::Total => g.reduce(ReduceKind::Sum, all, &[1]).unwrap(),
        Taken::Both => {
            let all = g.reshape(all, &[rows, TRIPS * HIDDEN]).unwrap();
            g.concat(&[parts[0], all, parts[states - 1]], 1).unwrap()
        }
    }
}

/// x W + h R + b, cut into `count` pieces.
fn gates(g: &mut Graph, x: Node, h: Node, count: usize) -> Vec<Node> {
    let w = weights(g, &[IN, count * HIDDEN], 0.7, 1);
    let r = weights(g, &[HIDDEN, count * HIDDEN], 0.6, 2);
    let b = weights(g, &[count * HIDDEN], 0.2, 3);
    let sum = g.matmul(x, w).unwrap();
    let recurrent = g.matmul(h, r).unwrap();
    let sum = g.binary(Binary::Add, sum, recurrent).unwrap();
    let sum = g.binary(Binary::Add, sum, b).unwrap();
    (0..count).map(|i| g.slice(sum, 1, i * HIDDEN, (i + 1) * HIDDEN).unwrap()).collect()
}

/// States h and c; stacks h.
fn lstm(rows: usize) -> Graph {
    let mut g = Graph::new();
    let h = g.input(&[rows, HIDDEN]).unwrap();
    let c = g.input(&[rows, HIDDEN]).unwrap();
    let x = g.input(&[rows, IN]).unwrap();
    let z = gates(&mut g, x, h, 4);
    let open: Vec<Node> = (0..3).map(|i| g.unary(Unary::Sigmoid, z[i]).unwrap()).collect();
    let new = g.unary(Unary::Tanh, z[3]).unwrap();
    let new = g.binary(Binary::Multiply, open[0], new).unwrap();
    let kept = g.binary(Binary::Multiply, open[1], c).unwrap();
    let cell = g.binary(Binary::Add, new, kept).unwrap();
    let shown = g.unary(Unary::Tanh, cell).unwrap();
    let shown = g.binary(Binary::Multiply, open[2], shown).unwrap();
    [shown, cell, shown].into_iter().for_each(|output| g.output(output));
    g
}

/// State h; stacks h.
fn gru(rows: usize) -> Graph {
    let mut g = Graph::new();
    let h = g.input(&[rows, HIDDEN]).unwrap();
    let x = g.input(&[rows, IN]).unwrap();
    let z = gates(&mut g, x, h, 2);
    let (update, reset) = (g.unary(Unary::Sigmoid, z[0]).unwrap(), g.unary(Unary::Sigmoid, z[1]).unwrap());
    let w = weights(&mut g, &[IN, HIDDEN], 0.7, 5);
    let r = weights(&mut g, &[HIDDEN, HIDDEN], 0.6, 6);
    let kept = g.binary(Binary::Multiply, reset, h).unwrap();
    let (a, b) = (g.matmul(x, w).unwrap(), g.matmul(kept, r).unwrap());
    let sum = g.binary(Binary::Add, a, b).unwrap();
    let new = g.unary(Unary::Tanh, sum).unwrap();
    let difference = g.binary(Binary::Subtract, h, new).unwrap();
    let moved = g.binary(Binary::Multiply, update, difference).unwrap();
    let result = g.binary(Binary::Add, new, moved).unwrap();
    g.output(result);
    g.output(result);
    g
}

#[test]
fn lstm_and_gru_of_one_and_five_rows() {
    for rows in [1, 5] {
        for taken in TAKEN {
            expect_right(&format!("lstm, {taken:?}"), &layer(rows, 2, taken, lstm));
            expect_right(&format!("gru, {taken:?}"), &layer(rows, 1, taken, gru));
        }
    }
}

/// The loops of a graph in order.
fn scans(graph: &Graph) -> Vec<&Scan> {
    graph.nodes().iter().filter_map(|n| if let Op::Scan(scan) = &n.op { Some(scan) } else { None }).collect()
}

#[test]
fn nothing_of_the_forward_loop_is_computed_twice() {
    let graph = layer(2, 2, Taken::Last, lstm);
    let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
    let [first, second] = scans(&derived)[..] else { panic!("one loop there, one back") };
    let products = |g: &Graph| g.nodes().iter().filter(|n| matches!(n.op, Op::MatMul)).count();
    let functions = |g: &Graph| g.nodes().iter().filter(|n| matches!(n.op, Op::Unary(_))).count();
    let steps = first.body.nodes().len() as i64 - scans(&graph)[0].body.nodes().len() as i64;
    assert!(steps <= 0, "the first body only has more outputs");
    assert_eq!((products(&first.body), functions(&first.body)), (2, 5));
    // Adjoints of x and of h, by one product each.
    assert_eq!((products(&second.body), functions(&second.body)), (2, 0));
    // The four gates are put side by side by one map.
    assert_eq!(second.body.nodes().iter().filter(|n| matches!(n.op, Op::Index(_))).count(), 1);
    println!(
        "first body {} nodes, {} stacked; second body {} nodes, {} scanned",
        first.body.nodes().len(),
        first.body.outputs().len() - first.states,
        second.body.nodes().len(),
        second.scanned
    );
}

/// Loss of a graph whose constants became parameters, against differences.
fn check_parameters(name: &str, graph: &Graph) -> Graph {
    let (lifted, parameters) =
        with_parameters(graph, |g, node| g.constant_data(node).is_some_and(|data| data.len() > 1)).unwrap();
    let mut at = inputs(graph, 4);
    let values = evaluate(graph, &at);
    at.extend(parameters.iter().map(|p| p.data.iter().map(|v| f64::from(*v)).collect::<Values>()));
    assert_eq!(evaluate(&lifted, &at), values, "{name}: lifted weights change nothing");
    let wrt: Vec<Node> = parameters.iter().map(|p| p.node).collect();
    let derived = loss_gradient(&lifted, &wrt, 0).unwrap();
    at.push(values[0].iter().map(|v| v + 0.3).collect());
    let found = evaluate(&derived, &at);
    for (which, derivative) in (graph.inputs().len()..).zip(&found[1..]) {
        for (i, got) in derivative.iter().enumerate() {
            let side = |step: f64| {
                let mut moved = at.clone();
                moved[which][i] += step;
                evaluate(&derived, &moved)[0][0]
            };
            let wanted = (side(1e-5) - side(-1e-5)) / 2e-5;
            assert!(
                (got - wanted).abs() < 1e-6 * (wanted.abs() + 1e-2),
                "{name}, input {which} at {i}: {got}, {wanted}"
            );
        }
    }
    derived
}

#[test]
fn weights_inside_bodies_become_parameters() {
    for rows in [1, 5] {
        for taken in TAKEN {
            check_parameters("lstm", &layer(rows, 2, taken, lstm));
            check_parameters("gru", &layer(rows, 1, taken, gru));
        }
    }
    let derived = check_parameters("lstm", &layer(1, 2, Taken::Last, lstm));
    let second = scans(&derived)[1];
    let moves = second.body.nodes().iter().filter(|n| matches!(n.op, Op::Index(_)));
    // Weights are transposed once, outside; inside, the four gates are put side by side again, and x and h turn from rows to columns.
    assert!(moves.clone().all(|n| second.body.node(n.inputs[0]).shape.iter().product::<usize>() <= 4 * HIDDEN));
}

#[test]
fn two_layers_share_their_weights() {
    let body = || {
        let mut g = Graph::new();
        let (h, x) = (g.input(&[2, HIDDEN]).unwrap(), g.input(&[2, HIDDEN]).unwrap());
        let r = weights(&mut g, &[HIDDEN, HIDDEN], 0.7, 8);
        let sum = g.binary(Binary::Add, h, x).unwrap();
        let sum = g.matmul(sum, r).unwrap();
        let new = g.unary(Unary::Tanh, sum).unwrap();
        g.output(new);
        g.output(new);
        Arc::new(g)
    };
    let graph = build(&[&[3, 2, HIDDEN]], |g, x| {
        let body = body();
        let zeros = g.constant(&[2, HIDDEN], vec![0.0; 2 * HIDDEN]).unwrap();
        let first = g.scan(Arc::clone(&body), 3, &[zeros], &[x[0]], &[]).unwrap();
        let second = g.scan(body, 3, &[first[0]], &[first[1]], &[]).unwrap();
        second[0]
    });
    expect_right("two layers", &graph);
    let (lifted, parameters) = with_parameters(&graph, |g, node| g.shape(node) == [HIDDEN, HIDDEN]).unwrap();
    assert_eq!(parameters.len(), 1);
    expect_right("two layers with one weight", &lifted);
}

/// States a, b, d; scanned x; fixed f. a' = tanh(a b + x f), b' = x (forgets), d' = d (stays), and e = a' d is stacked with f.
fn odd_body() -> Graph {
    let mut g = Graph::new();
    let [a, b, d, x, f] = [(); 5].map(|()| g.input(&[1, 2]).unwrap());
    let product = g.binary(Binary::Multiply, a, b).unwrap();
    let scaled = g.binary(Binary::Multiply, x, f).unwrap();
    let sum = g.binary(Binary::Add, product, scaled).unwrap();
    let new = g.unary(Unary::Tanh, sum).unwrap();
    let shown = g.binary(Binary::Multiply, new, d).unwrap();
    [new, x, d, shown, f].into_iter().for_each(|output| g.output(output));
    g
}

#[test]
fn states_that_forget_or_stay_and_inputs_that_stay() {
    let shapes: [&[usize]; 5] = [&[1, 2], &[1, 2], &[1, 2], &[3, 1, 2], &[1, 2]];
    for part in 0..5 {
        let graph = build(&shapes, |g, x| {
            let parts = g.scan(Arc::new(odd_body()), 3, &x[..3], &x[3..4], &x[4..]).unwrap();
            g.reshape(parts[part], &[1, if part < 3 { 2 } else { 6 }]).unwrap()
        });
        expect_right(&format!("part {part}"), &graph);
        let summed = build(&shapes, |g, x| {
            let parts = g.scan(Arc::new(odd_body()), 3, &x[..3], &x[3..4], &x[4..]).unwrap();
            g.reduce(ReduceKind::Sum, parts[part], &[0]).unwrap()
        });
        expect_right(&format!("part {part} summed"), &summed);
    }
    let once = build(&[&[1, 2], &[1, 2], &[1, 2], &[1, 1, 2], &[1, 2]], |g, x| {
        let parts = g.scan(Arc::new(odd_body()), 1, &x[..3], &x[3..4], &x[4..]).unwrap();
        g.concat(&parts[..3], 1).unwrap()
    });
    expect_right("one trip", &once);
}

#[test]
fn a_delay_line_leads_after_some_trips() {
    // a' = x, b' = a, c' = b: the last c is the third x from the end.
    let mut body = Graph::new();
    let [a, b, _, x] = [(); 4].map(|()| body.input(&[1, 2]).unwrap());
    [x, a, b].into_iter().for_each(|output| body.output(output));
    let body = Arc::new(body);
    let graph = build(&[&[TRIPS, 1, 2]], |g, x| {
        let zeros = g.constant(&[1, 2], vec![0.0; 2]).unwrap();
        g.scan(Arc::clone(&body), TRIPS, &[zeros; 3], &[x[0]], &[]).unwrap()[2]
    });
    expect_right("delay line", &graph);
    let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
    let slopes = evaluate(&derived, &inputs(&graph, 1)).remove(1);
    let places: Vec<usize> = (0..slopes.len()).filter(|i| slopes[*i] != 0.0).collect();
    assert_eq!(places, [2 * (TRIPS - 3), 2 * TRIPS + 2 * (TRIPS - 3) + 1]);
}

#[test]
fn a_part_that_does_not_depend_on_the_input_is_left_alone() {
    let graph = build(&[&[1, 2]], |g, x| {
        let [a, b, d, f] = [1, 2, 3, 4].map(|seed| weights(g, &[1, 2], 1.0, seed));
        let scanned = weights(g, &[3, 1, 2], 1.0, 5);
        let parts = g.scan(Arc::new(odd_body()), 3, &[a, b, d], &[scanned], &[f]).unwrap();
        g.binary(Binary::Multiply, parts[0], x[0]).unwrap()
    });
    let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
    assert_eq!(scans(&derived).len(), 1);
    expect_right("a factor from a loop", &graph);
}

/// A loop in a body: each outer trip runs a small recurrence over the features of its slice.
#[test]
fn loops_inside_loops() {
    let inner = || {
        let mut g = Graph::new();
        let (s, x) = (g.input(&[2, 1]).unwrap(), g.input(&[2, 1]).unwrap());
        let f = g.input(&[2, 1]).unwrap();
        let w = weights(&mut g, &[1, 1], 0.9, 11);
        let product = g.matmul(s, w).unwrap();
        let sum = g.binary(Binary::Add, product, x).unwrap();
        let sum = g.binary(Binary::Multiply, sum, f).unwrap();
        let new = g.unary(Unary::Tanh, sum).unwrap();
        g.output(new);
        g.output(new);
        Arc::new(g)
    };
    let outer = || {
        let mut g = Graph::new();
        let s = g.input(&[2, 1]).unwrap();
        let x = g.input(&[2, IN]).unwrap();
        let f = g.input(&[2, 1]).unwrap();
        let turned = g.transpose(x, &[1, 0]).unwrap();
        let turned = g.reshape(turned, &[IN, 2, 1]).unwrap();
        let factor = g.unary(Unary::Sigmoid, f).unwrap();
        let parts = g.scan(inner(), IN, &[s], &[turned], &[factor]).unwrap();
        let b = weights(&mut g, &[1, 1], 0.5, 12);
        let all = g.reduce(ReduceKind::Sum, parts[1], &[0]).unwrap();
        let all = g.reshape(all, &[2, 1]).unwrap();
        let shown = g.binary(Binary::Multiply, all, b).unwrap();
        g.output(parts[0]);
        g.output(shown);
        Arc::new(g)
    };
    let graph = build(&[&[TRIPS, 2, IN], &[2, 1], &[2, 1]], |g, x| {
        let parts = g.scan(outer(), TRIPS, &[x[1]], &[x[0]], &[x[2]]).unwrap();
        let all = g.transpose(parts[1], &[1, 0, 2]).unwrap();
        let all = g.reshape(all, &[2, TRIPS]).unwrap();
        g.concat(&[parts[0], all], 1).unwrap()
    });
    expect_right("nested", &graph);
    let (lifted, parameters) = with_parameters(&graph, |_, _| true).unwrap();
    assert_eq!(parameters.len(), 2);
    expect_right("nested with parameters", &lifted);
}
