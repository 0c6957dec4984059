//! Every operator on its own, away from kinks; at kinks and edges of domains against what is promised.

use super::{build, check, expect_right, weights};
use crate::gradient::{full_jacobian, jacobian};
use crate::index::IndexMap;
use crate::op::{Binary, Conv, Op, ReduceKind, Unary};
use crate::reference::evaluate;
use crate::{Graph, Node};

const FUNCTIONS: [Unary; 23] = [
    Unary::Negate,
    Unary::Absolute,
    Unary::Square,
    Unary::Sqrt,
    Unary::Exp,
    Unary::Log,
    Unary::Erf,
    Unary::Relu,
    Unary::LeakyRelu { slope: 0.1 },
    Unary::Elu { alpha: 0.7 },
    Unary::Elu { alpha: -0.7 },
    Unary::Selu { alpha: 1.67, gamma: 1.05 },
    Unary::Selu { alpha: -0.5, gamma: 1.05 },
    Unary::Selu { alpha: 0.5, gamma: -1.05 },
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::HardSigmoid { alpha: 0.3, beta: 0.5 },
    Unary::HardSwish,
    Unary::Softplus,
    Unary::Clip { low: -0.4, high: 0.6 },
    Unary::Clip { low: f32::NEG_INFINITY, high: 0.6 },
];

/// x moved so that roots and logarithms exist.
fn argument(g: &mut Graph, function: Unary, x: Node) -> Node {
    match function {
        Unary::Sqrt | Unary::Log => {
            let two = g.scalar(2.0).unwrap();
            g.binary(Binary::Add, x, two).unwrap()
        }
        _ => {
            let five = g.scalar(4.0).unwrap();
            g.binary(Binary::Multiply, x, five).unwrap()
        }
    }
}

#[test]
fn functions_of_one_number() {
    for function in FUNCTIONS {
        let graph = build(&[&[3, 4]], |g, x| {
            let x = argument(g, function, x[0]);
            g.unary(function, x).unwrap()
        });
        expect_right(&format!("{function:?}"), &graph);
    }
}

#[test]
fn functions_of_two_numbers_with_broadcasting() {
    let functions = [
        Binary::Add,
        Binary::Subtract,
        Binary::Multiply,
        Binary::Minimum,
        Binary::Maximum,
        Binary::PRelu,
        Binary::Greater,
        Binary::Equal,
    ];
    let shapes: [[&[usize]; 2]; 6] = [
        [&[2, 3], &[2, 3]],
        [&[2, 3], &[3]],
        [&[3], &[2, 3]],
        [&[2, 1], &[1, 3]],
        [&[2, 3], &[]],
        [&[2, 2, 3], &[2, 1]],
    ];
    for [a, b] in shapes {
        for function in functions {
            let graph = build(&[a, b], |g, x| g.binary(function, x[0], x[1]).unwrap());
            expect_right(&format!("{function:?} of {a:?} and {b:?}"), &graph);
        }
        for function in [Binary::Divide, Binary::Power] {
            let graph = build(&[a, b], |g, x| {
                let two = g.scalar(2.0).unwrap();
                let moved = [g.binary(Binary::Add, x[0], two).unwrap(), g.binary(Binary::Add, x[1], two).unwrap()];
                g.binary(function, moved[0], moved[1]).unwrap()
            });
            expect_right(&format!("{function:?} of {a:?} and {b:?}"), &graph);
        }
        let twice = build(&[a, b], |g, x| {
            let product = g.binary(Binary::Multiply, x[0], x[1]).unwrap();
            g.binary(Binary::Maximum, product, x[0]).unwrap()
        });
        expect_right("what is read twice", &twice);
    }
}

/// Derivative with respect to one number of y = f(x), one-element tensors.
fn slope_at(f: impl Fn(&mut Graph, &[Node]) -> Node, at: &[f64]) -> Vec<f64> {
    let shapes: Vec<&[usize]> = at.iter().map(|_| [1].as_slice()).collect();
    let graph = build(&shapes, f);
    let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
    let inputs: Vec<Vec<f64>> = at.iter().map(|x| vec![*x]).collect();
    evaluate(&derived, &inputs)[1..].iter().map(|v| v[0]).collect()
}

#[test]
fn powers_exist_where_they_should() {
    let power = |g: &mut Graph, x: &[Node]| g.binary(Binary::Power, x[0], x[1]).unwrap();
    let [a, b] = slope_at(power, &[-2.0, 3.0])[..] else { panic!("two derivatives") };
    assert_eq!(a, 12.0);
    assert!(b.is_nan(), "a negative base has no neighbours");
    assert_eq!(slope_at(power, &[0.0, 2.0]), [0.0, 0.0]);
    assert_eq!(slope_at(power, &[0.0, 1.0]), [1.0, 0.0]);
    assert_eq!(slope_at(power, &[3.0, 0.0])[0], 0.0);
    let [a, b] = slope_at(power, &[0.0, 0.0])[..] else { panic!("two derivatives") };
    assert_eq!(a, 0.0, "0 to the 0 is 1, as for every other base");
    assert!(!b.is_finite(), "0^b jumps at b = 0");
    for (exponent, wanted) in [(0.0, 0.0), (1.0, 1.0), (2.0, -4.0), (3.0, 12.0)] {
        let fixed = |g: &mut Graph, x: &[Node]| {
            let exponent = g.scalar(exponent).unwrap();
            g.binary(Binary::Power, x[0], exponent).unwrap()
        };
        assert_eq!(slope_at(fixed, &[-2.0]), [wanted]);
    }
    let growth = |g: &mut Graph, x: &[Node]| {
        let base = g.scalar(0.0).unwrap();
        g.binary(Binary::Power, base, x[0]).unwrap()
    };
    assert_eq!(slope_at(growth, &[2.0]), [0.0]);
}

#[test]
fn kinks_have_the_slope_that_is_promised() {
    for function in [Binary::Maximum, Binary::Minimum] {
        let two = |g: &mut Graph, x: &[Node]| g.binary(function, x[0], x[1]).unwrap();
        assert_eq!(slope_at(two, &[1.0, 1.0]), [0.0, 1.0], "of two equal numbers the second takes all");
        let limit = |g: &mut Graph, x: &[Node]| {
            let one = g.scalar(1.0).unwrap();
            g.binary(function, one, x[0]).unwrap()
        };
        assert_eq!(slope_at(limit, &[1.0]), [0.0], "a limit is kept");
    }
    let relu = |g: &mut Graph, x: &[Node]| g.unary(Unary::Relu, x[0]).unwrap();
    assert_eq!(slope_at(relu, &[0.0]), [0.0]);
    let root = |g: &mut Graph, x: &[Node]| g.unary(Unary::Sqrt, x[0]).unwrap();
    assert_eq!(slope_at(root, &[0.0]), [f64::INFINITY]);
}

#[test]
fn reductions() {
    for kind in [ReduceKind::Sum, ReduceKind::Maximum, ReduceKind::Minimum] {
        for axes in [&[0][..], &[1], &[0, 2], &[0, 1, 2]] {
            let graph = build(&[&[2, 3, 4]], |g, x| {
                let squares = g.unary(Unary::Square, x[0]).unwrap();
                g.reduce(kind, squares, axes).unwrap()
            });
            expect_right(&format!("{kind:?} over {axes:?}"), &graph);
        }
    }
    let graph = build(&[&[1, 4]], |g, x| g.reduce(ReduceKind::Maximum, x[0], &[1]).unwrap());
    let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
    let shares = evaluate(&derived, &[vec![2.0, 3.0, 3.0, 1.0]]).remove(1);
    assert_eq!(shares, [0.0, 0.5, 0.5, 0.0], "equal ones share");
}

#[test]
fn softmax_needs_few_nodes() {
    for axes in [&[1][..], &[2], &[1, 2]] {
        let graph = build(&[&[2, 3, 4]], |g, x| {
            let y = g.softmax(x[0], axes).unwrap();
            let w = weights(g, &[3, 4], 1.0, 5);
            g.binary(Binary::Multiply, y, w).unwrap()
        });
        expect_right(&format!("softmax over {axes:?}"), &graph);
    }
    // What is subtracted differs within the sum: nothing cancels.
    let uneven = build(&[&[2, 3], &[2, 3]], |g, x| {
        let below = g.binary(Binary::Subtract, x[0], x[1]).unwrap();
        let powers = g.unary(Unary::Exp, below).unwrap();
        let sum = g.reduce(ReduceKind::Sum, powers, &[1]).unwrap();
        g.binary(Binary::Divide, powers, sum).unwrap()
    });
    expect_right("softmax of a difference", &uneven);
    let graph = build(&[&[1, 3]], |g, x| g.softmax(x[0], &[1]).unwrap());
    let derived = jacobian(&graph, graph.inputs(), &[0]).unwrap();
    assert!(!derived.nodes().iter().any(|n| matches!(n.op, Op::Binary(Binary::Equal))), "the shift cancels");
}

#[test]
fn matrix_products() {
    let shapes: [[&[usize]; 2]; 8] = [
        [&[3, 4], &[4, 2]],
        [&[2, 3, 4], &[4, 2]],
        [&[3, 4], &[2, 4, 2]],
        [&[2, 3, 4], &[2, 4, 2]],
        [&[2, 1, 3, 4], &[3, 4, 2]],
        [&[2, 2, 3, 4], &[1, 4, 2]],
        [&[1, 4], &[4, 1]],
        [&[3, 1], &[1, 3]],
    ];
    for [a, b] in shapes {
        let both = build(&[a, b], |g, x| g.matmul(x[0], x[1]).unwrap());
        expect_right(&format!("{a:?} times {b:?}"), &both);
        let right = build(&[a], |g, x| {
            let w = weights(g, b, 1.0, 3);
            g.matmul(x[0], w).unwrap()
        });
        expect_right(&format!("{a:?} times fixed {b:?}"), &right);
        let left = build(&[b], |g, x| {
            let w = weights(g, a, 1.0, 4);
            g.matmul(w, x[0]).unwrap()
        });
        expect_right(&format!("fixed {a:?} times {b:?}"), &left);
        for axes in [vec![a.len().max(b.len()) - 1], vec![a.len().max(b.len()) - 2], vec![0]] {
            let summed = build(&[a, b], |g, x| {
                let y = g.matmul(x[0], x[1]).unwrap();
                g.reduce(ReduceKind::Sum, y, &axes).unwrap()
            });
            expect_right(&format!("{a:?} times {b:?} summed over {axes:?}"), &summed);
        }
    }
    let square = build(&[&[3, 3]], |g, x| g.matmul(x[0], x[0]).unwrap());
    expect_right("a matrix squared", &square);
}

/// Convolution of inputs x, weights and bias, all differentiated.
fn convolution(x: &[usize], w: &[usize], conv: &Conv) {
    let graph = build(&[x, w, &[w[0]]], |g, n| g.conv(n[0], n[1], Some(n[2]), conv.clone()).unwrap());
    expect_right(&format!("{conv:?} of {x:?} with {w:?}"), &graph);
    let summed = build(&[x, w, &[w[0]]], |g, n| {
        let y = g.conv(n[0], n[1], Some(n[2]), conv.clone()).unwrap();
        let rank = g.shape(y).len();
        g.reduce(ReduceKind::Sum, y, &[0, rank - 1]).unwrap()
    });
    expect_right(&format!("sum of {conv:?} of {x:?} with {w:?}"), &summed);
}

fn geometry(strides: &[usize], dilations: &[usize], pads: &[(usize, usize)], groups: usize) -> Conv {
    Conv { strides: strides.to_vec(), dilations: dilations.to_vec(), pads: pads.to_vec(), groups }
}

#[test]
fn convolutions_over_one_axis() {
    for stride in 1..4 {
        for dilation in 1..3 {
            for pads in [(0, 0), (1, 0), (4, 0), (0, 2), (5, 5)] {
                convolution(&[2, 2, 7], &[3, 2, 3], &geometry(&[stride], &[dilation], &[pads], 1));
            }
        }
    }
    convolution(&[1, 4, 5], &[6, 2, 2], &geometry(&[2], &[1], &[(1, 1)], 2));
    convolution(&[2, 3, 5], &[3, 1, 3], &geometry(&[1], &[1], &[(2, 0)], 3));
    convolution(&[2, 2, 3], &[2, 2, 1], &geometry(&[1], &[1], &[(0, 0)], 1));
    // All outputs see padding only, or nearly.
    convolution(&[1, 1, 1], &[1, 1, 1], &geometry(&[7], &[1], &[(3, 3)], 1));
    convolution(&[1, 1, 2], &[1, 1, 2], &geometry(&[5], &[3], &[(6, 6)], 1));
}

#[test]
fn convolutions_over_two_axes() {
    convolution(&[2, 2, 4, 5], &[2, 2, 2, 3], &geometry(&[1, 1], &[1, 1], &[(0, 0), (0, 0)], 1));
    convolution(&[1, 2, 5, 4], &[4, 1, 2, 2], &geometry(&[2, 1], &[1, 2], &[(1, 0), (0, 2)], 2));
    convolution(&[2, 1, 4, 4], &[2, 1, 3, 1], &geometry(&[3, 2], &[1, 1], &[(1, 1), (1, 1)], 1));
}

#[test]
fn moves() {
    type Move = fn(&mut Graph, Node) -> Node;
    let moves: [(&str, Move); 12] = [
        ("transpose", |g, x| g.transpose(x, &[2, 0, 1]).unwrap()),
        ("slice", |g, x| g.slice(x, 1, 1, 3).unwrap()),
        ("pad", |g, x| g.pad(x, &[(0, 1), (2, 0), (1, 1)], 0.5).unwrap()),
        ("concat with itself", |g, x| g.concat(&[x, x], 1).unwrap()),
        ("gather", |g, x| g.gather(x, 1, &[2, 0, 2, 2, 1]).unwrap()),
        ("gather one often", |g, x| g.gather(x, 2, &[0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]).unwrap()),
        ("reverse", |g, x| g.gather(x, 2, &[3, 2, 1, 0]).unwrap()),
        ("expand in front", |g, x| g.expand(x, &[3, 2, 3, 4]).unwrap()),
        ("expand inside", |g, x| {
            let x = g.reshape(x, &[2, 3, 1, 4]).unwrap();
            g.expand(x, &[2, 3, 2, 4]).unwrap()
        }),
        ("reshape", |g, x| g.reshape(x, &[6, 2, 2]).unwrap()),
        ("windows", |g, x| {
            let map = IndexMap::from_fn(&[2, 3, 3, 2], 0.0, |at| Some(at[0] * 12 + at[1] * 4 + at[2] + at[3]));
            g.index(&[x], &[2, 3, 3, 2], map).unwrap()
        }),
        ("nothing but filling", |g, x| {
            let map = IndexMap::from_fn(&[2, 2], 3.0, |_| None);
            g.index(&[x], &[2, 2], map).unwrap()
        }),
    ];
    for (name, f) in moves {
        let alone = build(&[&[2, 3, 4]], |g, x| {
            let y = f(g, x[0]);
            g.unary(Unary::Sigmoid, y).unwrap()
        });
        expect_right(name, &alone);
        // A sum makes the adjoint narrow on each axis in turn.
        for axis in 0..4 {
            let summed = build(&[&[2, 3, 4]], |g, x| {
                let y = f(g, x[0]);
                let axis = axis.min(g.shape(y).len() - 1);
                g.reduce(ReduceKind::Sum, y, &[axis]).unwrap()
            });
            expect_right(&format!("{name}, summed over {axis}"), &summed);
        }
    }
    let parts = build(&[&[2, 3], &[2, 1], &[2, 2]], |g, x| {
        let all = g.concat(&[x[0], x[1], x[2], x[1]], 1).unwrap();
        g.unary(Unary::Square, all).unwrap()
    });
    expect_right("concat of several", &parts);
}

#[test]
fn repeated_moves_stay_cheap() {
    let gathered = build(&[&[1, 64]], |g, x| {
        let places: Vec<usize> = (0..64).chain(std::iter::repeat_n(0, 1000)).collect();
        g.gather(x[0], 1, &places).unwrap()
    });
    let derived = crate::gradient::vjp(&gathered, gathered.inputs(), &[0]).unwrap();
    let moved: usize = derived.nodes()[gathered.nodes().len()..]
        .iter()
        .map(|n| if let Op::Index(map) = &n.op { map.picks.len() } else { 0 })
        .sum();
    assert!(moved < 1500, "{moved} numbers are moved for 1064 adjoints");
    let expanded = build(&[&[1, 8]], |g, x| {
        let x = g.reshape(x[0], &[1, 1, 8]).unwrap();
        g.expand(x, &[1, 50, 8]).unwrap()
    });
    let derived = crate::gradient::vjp(&expanded, expanded.inputs(), &[0]).unwrap();
    assert!(!derived.nodes()[expanded.nodes().len()..].iter().any(|n| matches!(n.op, Op::Index(_))));
}

#[test]
fn derivatives_can_be_differentiated() {
    for function in FUNCTIONS {
        let graph = build(&[&[1, 3]], |g, x| {
            let x = argument(g, function, x[0]);
            let y = g.unary(function, x).unwrap();
            let w = weights(g, &[3, 2], 1.0, 9);
            g.matmul(y, w).unwrap()
        });
        let first = full_jacobian(&graph, graph.inputs(), &[0]).unwrap();
        expect_right(&format!("second derivative of {function:?}"), &first);
    }
}

#[test]
fn what_cannot_be_differentiated_is_an_error() {
    let graph = build(&[&[1, 3]], |g, x| g.unary(Unary::Tanh, x[0]).unwrap());
    let x = graph.inputs()[0];
    let text = |result: Result<Graph, crate::GraphError>| result.unwrap_err().to_string();
    assert!(text(jacobian(&graph, &[x], &[1])).contains("output 1 of 1"));
    assert!(text(jacobian(&graph, &[Node(9)], &[0])).contains("node 9 of 2"));
    assert!(text(jacobian(&graph, &[x], &[])).contains("no output"));
    let large = build(&[&[1, 1 << 13]], |g, x| g.unary(Unary::Tanh, x[0]).unwrap());
    assert!(text(jacobian(&large, large.inputs(), &[0])).contains("choose fewer outputs"));
    let constant = build(&[&[1, 3], &[1, 2]], |_, x| x[0]);
    let zeros = jacobian(&constant, constant.inputs(), &[0]).unwrap();
    let found = evaluate(&zeros, &[vec![1.0; 3], vec![1.0; 2]]);
    assert_eq!(found[1], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(found[2], [0.0; 6]);
    check(&constant, &[vec![1.0; 3], vec![1.0; 2]]).unwrap();
}
