//! Graphs are built right: shapes, moves, folding; the interpreter against numbers worked out by hand.

use std::sync::Arc;

use crate::op::{Binary, Conv, Op, ReduceKind, Unary};
use crate::reference::evaluate;
use crate::{Graph, Node};

fn graph(shape: &[usize]) -> (Graph, Node) {
    let mut g = Graph::new();
    let x = g.input(shape).unwrap();
    (g, x)
}

/// Output of a graph of one input that counts 0, 1, 2, ...
fn run(mut g: Graph, out: Node) -> Vec<f64> {
    let n = crate::index::elements(g.shape(g.inputs()[0]));
    g.output(out);
    evaluate(&g, &[(0..n).map(|i| i as f64).collect()]).remove(0)
}

#[test]
fn moves_put_numbers_where_they_belong() {
    let (mut g, x) = graph(&[2, 3]);
    let t = g.transpose(x, &[1, 0]).unwrap();
    assert_eq!(g.shape(t), [3, 2]);
    assert_eq!(run(g, t), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let (mut g, x) = graph(&[2, 3]);
    let s = g.slice(x, 1, 1, 3).unwrap();
    assert_eq!(run(g, s), [1.0, 2.0, 4.0, 5.0]);
    let (mut g, x) = graph(&[2, 2]);
    let p = g.pad(x, &[(0, 1), (1, 0)], 9.0).unwrap();
    assert_eq!(run(g, p), [9.0, 0.0, 1.0, 9.0, 2.0, 3.0, 9.0, 9.0, 9.0]);
    let (mut g, x) = graph(&[2, 2]);
    let y = g.gather(x, 0, &[1, 1, 0]).unwrap();
    let c = g.concat(&[x, y], 0).unwrap();
    assert_eq!(run(g, c), [0.0, 1.0, 2.0, 3.0, 2.0, 3.0, 2.0, 3.0, 0.0, 1.0]);
    let (mut g, x) = graph(&[2, 1]);
    let e = g.expand(x, &[3, 2, 2]).unwrap();
    assert_eq!(run(g, e), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
}

#[test]
fn products_broadcast_and_convolutions_slide() {
    let (mut g, x) = graph(&[2, 1, 2]);
    let w = g.constant(&[2, 1], vec![1.0, 10.0]).unwrap();
    let y = g.matmul(x, w).unwrap();
    assert_eq!(g.shape(y), [2, 1, 1]);
    assert_eq!(run(g, y), [10.0, 32.0]);
    let (mut g, x) = graph(&[1, 2, 4]);
    let w = g.constant(&[1, 2, 2], vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    let conv = Conv { strides: vec![1], dilations: vec![2], pads: vec![(2, 0)], groups: 1 };
    let y = g.conv(x, w, None, conv).unwrap();
    // Channel 0 two steps ago plus channel 1 now; causal.
    assert_eq!(run(g, y), [4.0, 5.0, 0.0 + 6.0, 1.0 + 7.0]);
}

#[test]
fn a_loop_carries_its_state_and_stacks_its_outputs() {
    let mut body = Graph::new();
    let (s, x) = (body.input(&[1]).unwrap(), body.input(&[1]).unwrap());
    let sum = body.binary(Binary::Add, s, x).unwrap();
    let square = body.unary(Unary::Square, sum).unwrap();
    body.output(sum);
    body.output(square);
    let (mut g, x) = graph(&[4, 1]);
    let s = g.constant(&[1], vec![10.0]).unwrap();
    let parts = g.scan(Arc::new(body), 4, &[s], &[x], &[]).unwrap();
    g.output(parts[0]);
    g.output(parts[1]);
    let out = evaluate(&g, &[vec![0.0, 1.0, 2.0, 3.0]]);
    assert_eq!(out, [vec![16.0], vec![100.0, 121.0, 169.0, 256.0]]);
}

#[test]
fn constants_are_folded_and_softmax_sums_to_one() {
    let mut g = Graph::new();
    let a = g.constant(&[3], vec![1.0, 2.0, 4.0]).unwrap();
    let m = g.mean(a, &[0]).unwrap();
    assert!(matches!(&g.node(m).op, Op::Constant(d) if (d[0] - 7.0 / 3.0).abs() < 1e-6));
    let (mut g, x) = graph(&[2, 3]);
    let y = g.softmax(x, &[1]).unwrap();
    let sum = g.reduce(ReduceKind::Sum, y, &[1]).unwrap();
    for v in run(g, sum) {
        assert!((v - 1.0).abs() < 1e-15);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (mut g, x) = graph(&[2, 3]);
    let y = g.input(&[4]).unwrap();
    assert!(g.binary(Binary::Add, x, y).is_err());
    assert!(g.matmul(x, x).is_err());
    assert!(g.transpose(x, &[0, 0]).is_err());
    assert!(g.slice(x, 1, 2, 4).is_err());
    assert!(g.reshape(x, &[7]).is_err());
    assert!(g.reduce(ReduceKind::Sum, x, &[2]).is_err());
    assert!(g.input(&[1 << 30, 1 << 30]).is_err());
    assert!(g.expand(x, &[2, 4]).is_err());
}

#[test]
fn slopes_are_derivatives() {
    let functions = [
        Unary::Negate,
        Unary::Square,
        Unary::Absolute,
        Unary::Sqrt,
        Unary::Exp,
        Unary::Log,
        Unary::Erf,
        Unary::Relu,
        Unary::LeakyRelu { slope: 0.1 },
        Unary::Elu { alpha: 0.7 },
        Unary::Selu { alpha: 1.67, gamma: 1.05 },
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Unary::HardSwish,
        Unary::Softplus,
        Unary::Clip { low: -0.4, high: 0.6 },
    ];
    for f in functions {
        for i in 0..40 {
            let x = -3.93 + 0.2 * f64::from(i);
            let (h, v) = (1e-6, f.value(x));
            let wanted = (f.value(x + h) - f.value(x - h)) / (2.0 * h);
            let got = f.slope(if f.slope_from_output() { v } else { x });
            assert!(v.is_nan() || (got - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "{f:?} at {x}: {got} {wanted}");
        }
    }
}
