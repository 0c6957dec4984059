//! What the engine does not have is refused in one sentence that names the node; nothing panics and nothing large is allocated.

use flyball_engine::graph::ELEMENTS_MAX;

use crate::onnx::{FLOAT, Onnx, dim, dims, int, ints};
use crate::translated;

/// The file's one node is refused with these words.
fn refused(file: &Onnx, words: &str) {
    let error = translated(file).expect_err("must be refused");
    let text = error.to_string();
    println!("{text}");
    assert!(text.contains(words), "'{words}' is not in: {text}");
    assert!(!error.node.is_empty() && !error.operator.is_empty(), "{error:?}");
}

fn one(operator: &str) -> Onnx {
    let mut file = Onnx::new(18);
    let x = file.input("x", &[dim("N"), dim(4), dim(5)]);
    let y = file.node(operator, &[&x], &[]);
    file.output(&y);
    file
}

#[test]
fn operators_outside_the_set() {
    for operator in ["Sin", "Cos", "Floor", "Round", "Sign", "ReduceProd"] {
        refused(&one(operator), &format!("node '{operator}_0"));
    }
    refused(&one("ArgMax"), "ArgMax");
    let mut file = Onnx::new(18);
    let x = file.input("x", &[dim("N"), dim(4)]);
    let zero = file.floats(&[], vec![0.0]);
    let above = file.node("Greater", &[&x, &zero], &[]);
    let y = file.node("Cast", &[&above], &[int("to", i64::from(FLOAT))]);
    file.output(&y);
    refused(&file, "outcome of a comparison");
    let mut file = Onnx::new(18);
    let x = file.input("x", &[dim("N"), dim(4)]);
    let zero = file.floats(&[], vec![0.0]);
    let above = file.node("Greater", &[&x, &zero], &[]);
    let root = file.node("Sqrt", &[&x], &[]);
    let y = file.node("Where", &[&above, &root, &zero], &[]);
    file.output(&y);
    refused(&file, "selects by a condition");
    let mut file = Onnx::new(18);
    let x = file.input("x", &dims(&[1, 2, 6]));
    let w = file.weights(&[2, 3, 3], &mut crate::random("deconvolution"));
    let y = file.node("ConvTranspose", &[&x, &w], &[]);
    file.output(&y);
    refused(&file, "ConvTranspose_0");
    let mut file = Onnx::new(18);
    let x = file.input("x", &dims(&[1, 2, 3, 4, 5]));
    let w = file.weights(&[2, 2, 2, 2, 2], &mut crate::random("3-D"));
    let y = file.node("Conv", &[&x, &w], &[]);
    file.output(&y);
    refused(&file, "spatial axes");
}

#[test]
fn numbers_that_are_not_float32() {
    let mut file = Onnx::new(18);
    let x = file.input("x", &[dim("N"), dim(4)]);
    let y = file.node("Cast", &[&x], &[int("to", 11)]);
    let y = file.node("Exp", &[&y], &[]);
    let y = file.node("Cast", &[&y], &[int("to", i64::from(FLOAT))]);
    file.output(&y);
    refused(&file, "float32");
    let mut file = Onnx::new(18);
    let x = file.input("x", &[dim("N"), dim(4)]);
    let places = file.node("Cast", &[&x], &[int("to", 7)]);
    let table = file.weights(&[9, 2], &mut crate::random("table"));
    let y = file.node("Gather", &[&table, &places], &[]);
    file.output(&y);
    refused(&file, "float32");
}

/// Refused with a bound, by the check before tract or by the translation.
fn too_large(file: &Onnx, words: &str) {
    let text = crate::refusal(file);
    println!("{text}");
    assert!(text.contains(words) || text.contains("too large") || text.contains("allowed"), "{text}");
}

#[test]
fn sizes_over_the_limits() {
    let mut file = Onnx::new(18);
    let x = file.input("x", &dims(&[1, ELEMENTS_MAX + 1]));
    let y = file.node("Relu", &[&x], &[]);
    file.output(&y);
    too_large(&file, "at most");
    let huge = |repeats: &[i64]| {
        let mut file = Onnx::new(18);
        let x = file.input("x", &dims(&[4, 4]));
        let repeats = file.ints(&[2], repeats);
        let y = file.node("Tile", &[&x, &repeats], &[]);
        let y = file.node("ReduceSum", &[&y], &[]);
        file.output(&y);
        file
    };
    too_large(&huge(&[1 << 20, 1 << 20]), "at most");
    too_large(&huge(&[1 << 11, 1 << 10]), "at most");
    let mut file = Onnx::new(18);
    let x = file.input("x", &dims(&[1, 1]));
    let w = file.input("w", &dims(&[1, 1]));
    let shape = file.ints(&[2], &[1 << 15, 1]);
    let tall = file.node("Expand", &[&x, &shape], &[]);
    let shape = file.ints(&[2], &[1, 1 << 15]);
    let wide = file.node("Expand", &[&w, &shape], &[]);
    let y = file.node("MatMul", &[&tall, &wide], &[]);
    file.output(&y);
    too_large(&file, "at most");
    let mut file = Onnx::new(18);
    let x = file.input("x", &dims(&[1, 1, 1 << 12, 1 << 9]));
    let y = file.node("MaxPool", &[&x], &[ints("kernel_shape", &[4, 4])]);
    file.output(&y);
    too_large(&file, "at most");
}
