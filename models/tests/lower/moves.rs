//! Operators that move numbers: each is one index map at most, and chains of them are one.

use flyball_engine::Op;

use crate::onnx::{Onnx, dim, dims, int, ints, string};
use crate::{check, count};

/// x [N, 4, 6] through one chain of nodes.
fn moved(opset: i64, build: impl FnOnce(&mut Onnx, &str) -> Vec<String>) -> Onnx {
    let mut file = Onnx::new(opset);
    let x = file.input("x", &[dim("N"), dim(4), dim(6)]);
    for y in build(&mut file, &x) {
        file.output(&y);
    }
    file
}

/// Checks a file and that it moves its input at most once per output.
fn once(name: &str, file: &Onnx) {
    let graph = check(name, file);
    let maps = count(&graph, &|op| !matches!(op, Op::Input | Op::Reshape | Op::Constant(_)));
    let moves = count(&graph, &|op| matches!(op, Op::Index(_)));
    assert!(maps == moves && moves <= graph.outputs().len(), "{name}: {:?}", graph.nodes());
}

#[test]
fn reshapes_move_nothing() {
    let free = |name: &str, file: Onnx| {
        let graph = check(name, &file);
        assert_eq!(count(&graph, &|op| !matches!(op, Op::Input | Op::Reshape)), 0, "{name}: {:?}", graph.nodes());
    };
    for axis in [0, 1, 2, -1] {
        free(&format!("Flatten {axis}"), moved(18, |f, x| vec![f.node("Flatten", &[x], &[int("axis", axis)])]));
    }
    for shape in [&[0, -1][..], &[-1], &[3, 2, 2, 6], &[0, 0, 3, 2]] {
        let file = moved(18, |f, x| {
            let shape = f.ints(&[shape.len()], shape);
            vec![f.node("Reshape", &[x, &shape], &[])]
        });
        free(&format!("Reshape {shape:?}"), file);
    }
    let file = moved(18, |f, x| {
        let axes = f.ints(&[2], &[0, -1]);
        let wide = f.node("Unsqueeze", &[x, &axes], &[]);
        let shape = f.node("Shape", &[&wide], &[]);
        let same = f.node("Reshape", &[&wide, &shape], &[]);
        vec![f.node("Squeeze", &[&same, &axes], &[])]
    });
    free("Unsqueeze, Shape, Reshape, Squeeze", file);
    free(
        "Unsqueeze 11",
        moved(11, |f, x| {
            let y = f.node("Unsqueeze", &[x], &[ints("axes", &[1])]);
            vec![f.node("Squeeze", &[&y], &[ints("axes", &[1])])]
        }),
    );
}

#[test]
fn slices_with_steps_negative_axes_and_ends_outside() {
    let cases: [[&[i64]; 4]; 6] = [
        [&[1], &[3], &[1], &[1]],
        [&[0, 1], &[2, 100], &[-2, -1], &[1, 2]],
        [&[-1], &[i64::MIN + 1], &[2], &[-1]],
        [&[-1], &[-100], &[1], &[-2]],
        [&[-3], &[-1], &[2], &[1]],
        [&[5, 3], &[1, 0], &[2, 1], &[-2, -1]],
    ];
    for [starts, ends, axes, steps] in cases {
        let file = moved(18, |f, x| {
            let [s, e, a, d] = [starts, ends, axes, steps].map(|list| f.ints(&[list.len()], list));
            vec![f.node("Slice", &[x, &s, &e, &a, &d], &[])]
        });
        once(&format!("Slice {starts:?} {ends:?} {axes:?} {steps:?}"), &file);
    }
    once(
        "Slice 9",
        &moved(9, |f, x| {
            vec![f.node("Slice", &[x], &[ints("starts", &[1, -3]), ints("ends", &[4, -1]), ints("axes", &[1, 2])])]
        }),
    );
}

#[test]
fn splits() {
    for axis in [1, -1] {
        let file = moved(18, |f, x| f.node_with("Split", &[x], 2, &[int("axis", axis), int("num_outputs", 2)]));
        once(&format!("Split {axis}"), &file);
    }
    once(
        "Split parts",
        &moved(13, |f, x| {
            let parts = f.ints(&[3], &[1, 2, 3]);
            f.node_with("Split", &[x, &parts], 3, &[int("axis", 2)])
        }),
    );
    once("Split 11", &moved(11, |f, x| f.node_with("Split", &[x], 2, &[int("axis", 1), ints("split", &[1, 3])])));
    once("Split uneven", &moved(18, |f, x| f.node_with("Split", &[x], 4, &[int("axis", 2), int("num_outputs", 4)])));
}

#[test]
fn transposes_and_their_inverse() {
    for perm in [[0, 2, 1], [2, 0, 1], [1, 0, 2], [2, 1, 0]] {
        once(
            &format!("Transpose {perm:?}"),
            &moved(18, |f, x| vec![f.node("Transpose", &[x], &[ints("perm", &perm)])]),
        );
    }
    once("Transpose", &moved(18, |f, x| vec![f.node("Transpose", &[x], &[])]));
    let file = moved(18, |f, x| {
        let y = f.node("Transpose", &[x], &[ints("perm", &[2, 0, 1])]);
        vec![f.node("Transpose", &[&y], &[ints("perm", &[1, 2, 0])])]
    });
    let graph = check("Transpose twice", &file);
    assert_eq!(count(&graph, &|op| matches!(op, Op::Index(_))), 0, "there and back is nothing");
}

#[test]
fn gathers_with_known_positions() {
    for (axis, shape, positions) in
        [(1, &[2][..], &[3, 0][..]), (2, &[2, 2], &[0, -1, 2, 2]), (0, &[], &[1]), (-1, &[1], &[5])]
    {
        let file = moved(18, |f, x| {
            let positions = f.ints(shape, positions);
            vec![f.node("Gather", &[x, &positions], &[int("axis", axis)])]
        });
        once(&format!("Gather {axis} {positions:?}"), &file);
    }
    once(
        "GatherElements",
        &moved(18, |f, x| {
            let positions = f.ints(&[3, 1, 6], &[0, 1, 2, 3, -1, -2, 0, 0, 0, 1, 1, 1, 3, 2, 1, 0, 3, 2]);
            vec![f.node("GatherElements", &[x, &positions], &[int("axis", 1)])]
        }),
    );
    once(
        "GatherND",
        &moved(18, |f, x| {
            let positions = f.ints(&[2, 2], &[0, 3, 2, 1]);
            vec![f.node("GatherND", &[x, &positions], &[])]
        }),
    );
    once("Trilu", &moved(18, |f, x| vec![f.node("Trilu", &[x], &[int("upper", 0)])]));
    once(
        "Trilu upper",
        &moved(18, |f, x| {
            let k = f.ints(&[], &[1]);
            vec![f.node("Trilu", &[x, &k], &[int("upper", 1)])]
        }),
    );
    once(
        "DepthToSpace",
        &moved(18, |f, x| {
            let shape = f.ints(&[4], &[3, 4, 2, 3]);
            let y = f.node("Reshape", &[x, &shape], &[]);
            vec![f.node("DepthToSpace", &[&y], &[int("blocksize", 2)])]
        }),
    );
}

#[test]
fn concatenation_of_inputs_and_constants() {
    for axis in [0, 1, 2, -1] {
        let mut file = Onnx::new(18);
        let mut shape = [2, 3, 4];
        let a = file.input("a", &dims(&shape));
        shape[i64::rem_euclid(axis, 3) as usize] = 2;
        let b = file.input("b", &dims(&shape));
        let c = file.weights(&shape, &mut crate::random("concat"));
        let y = file.node("Concat", &[&a, &c, &b, &a], &[int("axis", axis)]);
        file.output(&y);
        once(&format!("Concat {axis}"), &file);
    }
}

#[test]
fn expand_and_tile() {
    for shape in [&[2, 3, 4, 6][..], &[3, 4, 6], &[6], &[1, 1, 1, 1, 1]] {
        let file = moved(18, |f, x| {
            let shape = f.ints(&[shape.len()], shape);
            vec![f.node("Expand", &[x, &shape], &[])]
        });
        once(&format!("Expand {shape:?}"), &file);
    }
    once(
        "Tile",
        &moved(18, |f, x| {
            let repeats = f.ints(&[3], &[1, 2, 3]);
            vec![f.node("Tile", &[x, &repeats], &[])]
        }),
    );
}

#[test]
fn padding_of_every_kind() {
    for mode in ["constant", "reflect", "edge"] {
        for pads in [[0, 1, 2, 0, 0, 3], [0, 3, 0, 0, 3, 5]] {
            let file = moved(18, |f, x| {
                let pads = f.ints(&[6], &pads);
                vec![f.node("Pad", &[x, &pads], &[string("mode", mode)])]
            });
            once(&format!("Pad {mode} {pads:?}"), &file);
        }
    }
    once(
        "Pad value and axes",
        &moved(18, |f, x| {
            let pads = f.ints(&[2], &[2, 1]);
            let value = f.floats(&[], vec![0.75]);
            let axes = f.ints(&[1], &[-1]);
            vec![f.node("Pad", &[x, &pads, &value, &axes], &[])]
        }),
    );
    once("Pad 9", &moved(9, |f, x| vec![f.node("Pad", &[x], &[ints("pads", &[0, 0, 1, 0, 0, 1])])]));
}

/// tract leaves open how long the axes are that are not named.
#[test]
fn padding_of_named_axes_alone() {
    for axes in [&[1][..], &[-1, 0]] {
        let file = moved(18, |f, x| {
            let pads = f.ints(&[2 * axes.len()], &[1, 2, 0, 1][..2 * axes.len()]);
            let axes = f.ints(&[axes.len()], axes);
            vec![f.node("Pad", &[x, &pads, "", &axes], &[])]
        });
        once(&format!("Pad axes {axes:?}"), &file);
    }
}

/// tract reads a negative number as a huge one and fails; cutting off is what the standard says.
#[test]
fn negative_padding_cuts_off() {
    let file = moved(18, |f, x| {
        let pads = f.ints(&[6], &[0, -1, 1, 0, 0, -2]);
        vec![f.node("Pad", &[x, &pads], &[])]
    });
    let graph = crate::translated(&file).expect("is translated");
    let x: Vec<f64> = (1..=72).map(f64::from).collect();
    let y = flyball_engine::reference::evaluate(&graph, &[x]).remove(0);
    assert_eq!(y.len(), 3 * 3 * 5);
    assert_eq!(&y[..10], &[0.0, 7.0, 8.0, 9.0, 10.0, 0.0, 13.0, 14.0, 15.0, 16.0]);
}
