//! Small networks of several operators.

use flyball_engine::Op;

use crate::onnx::{Onnx, cnn, dim, dims, ints, mlp, recurrent};
use crate::{check, count, random};

#[test]
fn the_networks_of_the_benches() {
    for activation in ["Relu", "Tanh"] {
        check(&format!("mlp {activation}"), &mlp(&[16, 64, 64, 2], activation, &mut random("mlp")));
    }
    for causal in [false, true] {
        check(&format!("cnn causal {causal}"), &cnn(8, 64, &[(32, 5), (32, 5)], 3, causal, &mut random("cnn")));
    }
    for cell in ["RNN", "GRU", "LSTM"] {
        let graph = check(cell, &recurrent(cell, 8, 5, 12, 2, &mut random(cell)));
        assert_eq!(count(&graph, &|op| matches!(op, Op::Scan(_))), 1);
    }
}

/// Softmax(Q K / sqrt d + mask) V over several heads, as PyTorch writes it.
#[test]
fn attention_in_pieces() {
    let (steps, heads, width) = (5, 2, 6);
    let mut random = random("attention");
    let mut file = Onnx::new(17);
    let x = file.input("x", &[dim("N"), dim(steps), dim(heads * width)]);
    let mut projected = |file: &mut Onnx, x: &str| {
        let w = file.weights(&[heads * width, heads * width], &mut random);
        let b = file.weights(&[heads * width], &mut random);
        let y = file.node("MatMul", &[x, &w], &[]);
        file.node("Add", &[&b, &y], &[])
    };
    let split = |file: &mut Onnx, x: &str, perm: &[i64]| {
        let shape = file.ints(&[4], &[0, 0, heads as i64, width as i64]);
        let y = file.node("Reshape", &[x, &shape], &[]);
        file.node("Transpose", &[&y], &[ints("perm", perm)])
    };
    let (q, k, v) = (projected(&mut file, &x), projected(&mut file, &x), projected(&mut file, &x));
    let q = split(&mut file, &q, &[0, 2, 1, 3]);
    let k = split(&mut file, &k, &[0, 2, 3, 1]);
    let v = split(&mut file, &v, &[0, 2, 1, 3]);
    let scores = file.node("MatMul", &[&q, &k], &[]);
    let root = file.floats(&[], vec![(width as f32).sqrt()]);
    let scores = file.node("Div", &[&scores, &root], &[]);
    let mask = (0..steps * steps).map(|i| i % steps <= i / steps).collect::<Vec<bool>>();
    let mask = file.bools(&[steps, steps], &mask);
    let never = file.floats(&[], vec![f32::NEG_INFINITY]);
    let scores = file.node("Where", &[&mask, &scores, &never], &[]);
    let share = file.node("Softmax", &[&scores], &[]);
    let y = file.node("MatMul", &[&share, &v], &[]);
    let y = file.node("Transpose", &[&y], &[ints("perm", &[0, 2, 1, 3])]);
    let shape = file.ints(&[3], &[0, 0, (heads * width) as i64]);
    let y = file.node("Reshape", &[&y, &shape], &[]);
    let y = projected(&mut file, &y);
    let y = file.node("Add", &[&x, &y], &[]);
    file.output(&y);
    let graph = check("attention", &file);
    assert_eq!(count(&graph, &|op| matches!(op, Op::MatMul)), 6);
}

#[test]
fn several_inputs_and_outputs_keep_their_order() {
    let mut file = Onnx::new(17);
    let (a, b) = (file.input("a", &dims(&[2, 3])), file.input("b", &dims(&[3])));
    let unused = file.input("unused", &dims(&[7]));
    assert_eq!(unused, "unused");
    let sum = file.node("Add", &[&a, &b], &[]);
    let difference = file.node("Sub", &[&a, &b], &[]);
    let fixed = file.floats(&[2], vec![4.0, 5.0]);
    for y in [&difference, &sum, &fixed] {
        file.output(y);
    }
    let graph = check("order", &file);
    let shapes: Vec<&[usize]> = graph.inputs().iter().map(|n| graph.shape(*n)).collect();
    assert_eq!(shapes, [&[2, 3][..], &[3], &[7]]);
    assert_eq!(graph.outputs().len(), 3);
}

#[test]
fn the_batch_is_found_by_name_place_or_alone() {
    let shape_for = |shape: &[crate::onnx::Dim], rows: usize| {
        let mut file = Onnx::new(17);
        let x = file.input("x", shape);
        let y = file.node("Relu", &[&x], &[]);
        file.output(&y);
        let model = flyball_models::lower::typed(&file.model(), rows).map_err(|error| error.to_string())?;
        let graph = flyball_models::lower::lower(&model).map_err(|error| error.to_string())?;
        Ok::<_, String>(graph.shape(graph.inputs()[0]).to_vec())
    };
    assert_eq!(shape_for(&[dim("N"), dim(4)], 7), Ok(vec![7, 4]));
    assert_eq!(shape_for(&[dim(6), dim("batch_size"), dim(4)], 7), Ok(vec![6, 7, 4]));
    assert_eq!(shape_for(&[dim("rows"), dim(4)], 7), Ok(vec![7, 4]));
    assert_eq!(shape_for(&[dim("?"), dim(4)], 7), Ok(vec![7, 4]));
    assert_eq!(shape_for(&[dim(2), dim(4)], 7), Ok(vec![2, 4]), "fixed shapes stay");
    let error = shape_for(&[dim("batch"), dim("time")], 7).expect_err("time is free");
    assert!(error.contains("time") && error.contains("static shapes"), "{error}");
}

#[test]
fn a_branch_with_a_known_condition() {
    let branch = |operator: &str| {
        let mut file = Onnx::new(17);
        let y = file.node(operator, &["x"], &[]);
        file.output(&y);
        file.graph()
    };
    for condition in [false, true] {
        let mut file = Onnx::new(17);
        let x = file.input("x", &dims(&[2, 3]));
        let c = file.bools(&[], &[condition]);
        let attributes =
            [crate::onnx::graph("then_branch", branch("Tanh")), crate::onnx::graph("else_branch", branch("Exp"))];
        let y = file.node("If", &[&c], &attributes);
        let y = file.node("Add", &[&x, &y], &[]);
        file.output(&y);
        check(&format!("If {condition}"), &file);
    }
}
