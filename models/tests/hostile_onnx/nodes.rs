//! Nodes that ask for absurd things: shapes, sizes, windows, axes, places.

use tract_onnx::pb;

use crate::onnx::{float, graph, int, ints, string};
use crate::sheet::{ANY, HUGE, Sheet, TOO_LARGE, with};

#[test]
fn shapes_that_values_ask_for() {
    let mut sheet = Sheet::default();
    let made = |operator: &'static str, values: &'static [i64]| {
        with(move |f, x| {
            let shape = f.ints(&[values.len()], values);
            let big = match operator {
                "ConstantOfShape" => f.node(operator, &[&shape], &[]),
                _ => f.node(operator, &[x, &shape], &[]),
            };
            let sum = f.node("ReduceSum", &[&big], &[int("keepdims", 0)]);
            f.node("Add", &[x, &sum], &[])
        })
    };
    sheet.refused("ConstantOfShape 2^40", made("ConstantOfShape", &[1 << 20, 1 << 20]), TOO_LARGE);
    sheet.refused("ConstantOfShape overflow", made("ConstantOfShape", &[1 << 62, 1 << 62]), TOO_LARGE);
    sheet.refused("ConstantOfShape negative", made("ConstantOfShape", &[-4]), &["numbers on", "cannot run", "static"]);
    sheet.refused("Expand 2^40", made("Expand", &[HUGE, 1, 4]), TOO_LARGE);
    sheet.refused("Expand negative", made("Expand", &[-3, 1, 4]), ANY);
    sheet.refused("Tile 2^40", made("Tile", &[HUGE, 1]), TOO_LARGE);
    sheet.refused("Tile negative", made("Tile", &[-1, 1]), ANY);
    sheet.refused("Reshape to more", made("Reshape", &[HUGE, 4]), ANY);
    sheet.refused("Reshape with two -1", made("Reshape", &[-1, -1]), ANY);
    sheet.refused("Reshape with -2", made("Reshape", &[-2, -2]), ANY);
    sheet.refused("Reshape to nothing", made("Reshape", &[0, 0, 0]), ANY);
    sheet.refused("Pad 2^40", made("Pad", &[0, HUGE, 0, HUGE]), TOO_LARGE);
    sheet.refused("Pad negative beyond", made("Pad", &[0, -3, 0, -3]), ANY);
    sheet.check();
}

#[test]
fn ranges_and_one_hots() {
    let mut sheet = Sheet::default();
    let range = |start: i64, limit: i64, step: i64| {
        with(move |f, x| {
            let numbers = [start, limit, step].map(|n| f.ints(&[], &[n]));
            let range = f.node("Range", &[&numbers[0], &numbers[1], &numbers[2]], &[]);
            let range = f.node("Cast", &[&range], &[int("to", 1)]);
            let sum = f.node("ReduceSum", &[&range], &[int("keepdims", 0)]);
            f.node("Add", &[x, &sum], &[])
        })
    };
    sheet.refused("Range 2^40", range(0, HUGE, 1), TOO_LARGE);
    sheet.refused("Range step 0", range(0, 5, 0), ANY);
    sheet.refused("Range down", range(0, i64::MIN, -1), ANY);
    let float_range = with(|f, x| {
        let numbers = [0.0, 1.0, 1e-30].map(|n| f.floats(&[], vec![n]));
        let range = f.node("Range", &[&numbers[0], &numbers[1], &numbers[2]], &[]);
        let sum = f.node("ReduceSum", &[&range], &[int("keepdims", 0)]);
        f.node("Add", &[x, &sum], &[])
    });
    sheet.refused("Range of tiny steps", float_range, ANY);
    let one_hot = with(|f, x| {
        let (places, depth) = (f.ints(&[2], &[0, 1]), f.ints(&[], &[HUGE]));
        let values = f.floats(&[2], vec![0.0, 1.0]);
        let hot = f.node("OneHot", &[&places, &depth, &values], &[]);
        let sum = f.node("ReduceSum", &[&hot], &[int("keepdims", 0)]);
        f.node("Add", &[x, &sum], &[])
    });
    sheet.refused("OneHot 2^40", one_hot, TOO_LARGE);
    sheet.check();
}

#[test]
fn products_that_grow() {
    let mut sheet = Sheet::default();
    let outer = |operator: &'static str, constant: bool| {
        with(move |f, x| {
            let mut y = if constant { f.floats(&[1, 4], vec![1.0; 4]) } else { x.to_owned() };
            for _ in 0..6 {
                let (column, row) = (f.ints(&[2], &[-1, 1]), f.ints(&[2], &[1, -1]));
                let a = f.node("Reshape", &[&y, &column], &[]);
                let b = f.node("Reshape", &[&y, &row], &[]);
                y = f.node(operator, &[&a, &b], &[]);
            }
            let sum = f.node("ReduceSum", &[&y], &[int("keepdims", 0)]);
            f.node("Add", &[x, &sum], &[])
        })
    };
    for operator in ["Mul", "MatMul", "Max", "Pow", "Sub"] {
        sheet.refused(format!("{operator} of column and row"), outer(operator, false), TOO_LARGE);
        sheet.refused(format!("{operator} of constant column and row"), outer(operator, true), TOO_LARGE);
    }
    let doubled = |constant: bool| {
        with(move |f, x| {
            let mut y = if constant { f.floats(&[1, 4], vec![1.0; 4]) } else { x.to_owned() };
            for _ in 0..40 {
                y = f.node("Concat", &[&y, &y], &[int("axis", 0)]);
            }
            let sum = f.node("ReduceSum", &[&y], &[int("keepdims", 0)]);
            f.node("Add", &[x, &sum], &[])
        })
    };
    sheet.refused("Concat doubled 40 times", doubled(false), TOO_LARGE);
    sheet.refused("constant Concat doubled 40 times", doubled(true), TOO_LARGE);
    let many = with(|f, x| {
        let shape = f.ints(&[3], &[1 << 20, 1, 4]);
        let mut y = f.node("Expand", &[x, &shape], &[]);
        for _ in 0..20 {
            y = f.node("Relu", &[&y], &[]);
        }
        f.node("ReduceSum", &[&y], &[int("keepdims", 0)])
    });
    sheet.refused("twenty tensors of 16 MiB", many, TOO_LARGE);
    let folded = with(|f, x| {
        let shape = f.ints(&[2], &[2048, 2048]);
        let ones = f.node("ConstantOfShape", &[&shape], &[]);
        let mut y = ones.clone();
        for _ in 0..8 {
            y = f.node("MatMul", &[&y, &ones], &[]);
        }
        let sum = f.node("ReduceSum", &[&y], &[int("keepdims", 0)]);
        f.node("Add", &[x, &sum], &[])
    });
    sheet.refused("constant products of 2048 x 2048", folded, TOO_LARGE);
    sheet.check();
}

#[test]
fn windows_of_convolutions_and_pools() {
    let mut sheet = Sheet::default();
    let conv = |attributes: Vec<pb::AttributeProto>| {
        with(move |f, x| {
            let shape = f.ints(&[3], &[1, 1, 4]);
            let x = f.node("Reshape", &[x, &shape], &[]);
            let w = f.floats(&[1, 1, 2], vec![1.0, 1.0]);
            f.node("Conv", &[&x, &w], &attributes)
        })
    };
    let pool = |operator: &'static str, attributes: Vec<pb::AttributeProto>| {
        with(move |f, x| {
            let shape = f.ints(&[3], &[1, 1, 4]);
            let x = f.node("Reshape", &[x, &shape], &[]);
            f.node(operator, &[&x], &attributes)
        })
    };
    for value in [0, -1, HUGE, i64::MAX, i64::MIN] {
        sheet.refused(format!("strides {value}"), conv(vec![ints("strides", &[value])]), ANY);
        sheet.refused(format!("dilations {value}"), conv(vec![ints("dilations", &[value])]), ANY);
        sheet.refused(format!("group {value}"), conv(vec![int("group", value)]), ANY);
        sheet.refused(format!("kernel_shape {value}"), conv(vec![ints("kernel_shape", &[value])]), ANY);
        for operator in ["MaxPool", "AveragePool"] {
            let kernel = pool(operator, vec![ints("kernel_shape", &[value])]);
            sheet.refused(format!("{operator} of {value}"), kernel, ANY);
            let strides = pool(operator, vec![ints("kernel_shape", &[2]), ints("strides", &[value])]);
            sheet.refused(format!("{operator} with strides {value}"), strides, ANY);
        }
    }
    for pads in [[HUGE, 0], [i64::MAX, i64::MAX], [-9, 0], [i64::MIN, 0], [1 << 22, 1 << 22]] {
        sheet.refused(format!("pads {pads:?}"), conv(vec![ints("pads", &pads)]), ANY);
        let padded = pool("MaxPool", vec![ints("kernel_shape", &[2]), ints("pads", &pads)]);
        sheet.refused(format!("MaxPool with pads {pads:?}"), padded, ANY);
    }
    for pads in [vec![], vec![1], vec![1; 9]] {
        sheet.refused(format!("pads {pads:?}"), conv(vec![ints("pads", &pads)]), ANY);
    }
    sheet.refused("strides of two axes", conv(vec![ints("strides", &[1, 1])]), ANY);
    sheet.refused("kernel of two axes", pool("MaxPool", vec![ints("kernel_shape", &[2, 2])]), ANY);
    sheet.refused("kernel of no axes", pool("MaxPool", vec![ints("kernel_shape", &[])]), ANY);
    let wide = pool("AveragePool", vec![ints("kernel_shape", &[1 << 16]), ints("pads", &[1 << 20, 1 << 20])]);
    sheet.refused("a million windows of 65536", wide, ANY);
    sheet.check();
}

#[test]
fn attributes_of_the_wrong_kind() {
    let mut sheet = Sheet::default();
    let softmax = |attribute| with(move |f, x| f.node("Softmax", &[x], &[attribute]));
    sheet.refused("axis as a float", softmax(float("axis", 1.0)), ANY);
    sheet.refused("axis as a text", softmax(string("axis", "one")), ANY);
    sheet.refused("axis out of range", softmax(int("axis", 9)), ANY);
    sheet.refused("axis far out of range", softmax(int("axis", i64::MIN)), ANY);
    sheet.refused("unknown attribute", softmax(int("axes", 1)), ANY);
    sheet.refused("axis as a graph", softmax(graph("axis", pb::GraphProto::default())), ANY);
    let twice = with(|f, x| f.node("Softmax", &[x], &[int("axis", 0), int("axis", 1)]));
    sheet.refused("axis twice", twice, &["stands there twice"]);
    for perm in [vec![0, 0], vec![0], vec![1, 2], vec![-1, 0], vec![i64::MAX, 0], vec![0, 1, 2]] {
        let turned = with(|f, x| f.node("Transpose", &[x], &[ints("perm", &perm)]));
        sheet.refused(format!("perm {perm:?}"), turned, ANY);
    }
    sheet.refused("Concat without an axis", with(|f, x| f.node("Concat", &[x, x], &[])), ANY);
    sheet.refused("Concat beyond its axes", with(|f, x| f.node("Concat", &[x, x], &[int("axis", 7)])), ANY);
    sheet.refused("Flatten beyond its axes", with(|f, x| f.node("Flatten", &[x], &[int("axis", 7)])), ANY);
    sheet.refused("Cast to a text", with(|f, x| f.node("Cast", &[x], &[int("to", 8)])), ANY);
    sheet.refused("Cast to nothing known", with(|f, x| f.node("Cast", &[x], &[int("to", 99)])), ANY);
    for axis in [-9, 2, i64::MAX] {
        let axes = with(|f, x| {
            let axes = f.ints(&[1], &[axis]);
            f.node("Unsqueeze", &[x, &axes], &[])
        });
        if axis == 2 {
            sheet.runs("Unsqueeze at 2, the end", axes);
        } else {
            sheet.refused(format!("Unsqueeze at {axis}"), axes, ANY);
        }
        let axes = with(|f, x| {
            let axes = f.ints(&[1], &[axis]);
            f.node("ReduceSum", &[x, &axes], &[])
        });
        sheet.refused(format!("ReduceSum over {axis}"), axes, ANY);
    }
    sheet.check();
}

#[test]
fn places_that_do_not_exist() {
    let mut sheet = Sheet::default();
    for places in [vec![4], vec![-5], vec![i64::MAX], vec![i64::MIN]] {
        let gather = with(|f, x| {
            let places = f.ints(&[places.len()], &places);
            f.node("Gather", &[x, &places], &[int("axis", 1)])
        });
        sheet.refused(format!("Gather {places:?}"), gather, ANY);
    }
    let split = |sizes: Vec<i64>| {
        with(move |f, x| {
            let parts = f.ints(&[sizes.len()], &sizes);
            f.node_with("Split", &[x, &parts], sizes.len().max(1), &[int("axis", 1)]).remove(0)
        })
    };
    for sizes in [vec![1, 1], vec![5, -1], vec![i64::MAX, 5], vec![]] {
        sheet.refused(format!("Split into {sizes:?}"), split(sizes), ANY);
    }
    for steps in [0, i64::MIN, i64::MAX] {
        let slice = with(|f, x| {
            let numbers = [0, i64::MAX, 1, steps].map(|n| f.ints(&[1], &[n]));
            f.node("Slice", &[x, &numbers[0], &numbers[1], &numbers[2], &numbers[3]], &[])
        });
        sheet.refused(format!("Slice with steps {steps}"), slice, ANY);
    }
    let top = with(|f, x| {
        let k = f.ints(&[1], &[HUGE]);
        f.node_with("TopK", &[x, &k], 2, &[]).remove(0)
    });
    sheet.refused("TopK 2^40", top, ANY);
    sheet.check();
}
