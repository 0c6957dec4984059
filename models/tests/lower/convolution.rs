//! Convolutions, pooling, and batch normalisation folded into what stands before it.

use flyball_engine::Op;
use tract_onnx::pb::AttributeProto;

use crate::onnx::{Onnx, dim, dims, float, int, ints, string};
use crate::{check, count, random};

fn conv(name: &str, input: &[usize], weights: &[usize], bias: bool, attributes: &[AttributeProto]) {
    let mut random = random(name);
    let mut file = Onnx::new(17);
    let x = file.input("x", &dims(input));
    let w = file.weights(weights, &mut random);
    let b = if bias { file.weights(&weights[..1], &mut random) } else { String::new() };
    let names: Vec<&str> = if bias { vec![&x, &w, &b] } else { vec![&x, &w] };
    let y = file.node("Conv", &names, attributes);
    file.output(&y);
    let graph = check(name, &file);
    assert_eq!(count(&graph, &|op| matches!(op, Op::Conv(_))), 1, "{name}");
    assert_eq!(count(&graph, &|op| !matches!(op, Op::Conv(_) | Op::Input | Op::Constant(_))), 0, "{name}");
}

#[test]
fn one_axis() {
    for bias in [false, true] {
        let named = |what: &str| format!("Conv 1-D {what} bias {bias}");
        let (x, w) = (&[2, 4, 17], &[6, 4, 3]);
        conv(&named("plain"), x, w, bias, &[]);
        conv(&named("same"), x, w, bias, &[ints("pads", &[1, 1])]);
        conv(&named("causal"), x, w, bias, &[ints("pads", &[2, 0])]);
        conv(&named("causal dilated"), x, w, bias, &[ints("pads", &[8, 0]), ints("dilations", &[4])]);
        conv(&named("strided"), x, w, bias, &[ints("strides", &[2]), ints("pads", &[1, 0])]);
        conv(&named("strided dilated"), x, w, bias, &[ints("strides", &[3]), ints("dilations", &[2])]);
        conv(&named("groups"), x, &[6, 2, 3], bias, &[int("group", 2)]);
        conv(&named("depthwise"), x, &[4, 1, 5], bias, &[int("group", 4), ints("pads", &[2, 2])]);
        conv(&named("one channel"), &[2, 1, 17], &[1, 1, 4], bias, &[ints("kernel_shape", &[4])]);
        for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
            for stride in [1, 2] {
                let attributes = [string("auto_pad", auto), ints("strides", &[stride])];
                conv(&named(&format!("{auto} {stride}")), x, &[6, 4, 4], bias, &attributes);
            }
        }
    }
}

#[test]
fn two_axes() {
    for bias in [false, true] {
        let named = |what: &str| format!("Conv 2-D {what} bias {bias}");
        let (x, w) = (&[2, 3, 9, 8], &[4, 3, 3, 2]);
        conv(&named("plain"), x, w, bias, &[]);
        conv(&named("pads"), x, w, bias, &[ints("pads", &[1, 0, 2, 1])]);
        conv(&named("strides"), x, w, bias, &[ints("strides", &[2, 1]), ints("dilations", &[1, 3])]);
        conv(&named("groups"), x, &[6, 1, 3, 3], bias, &[int("group", 3), ints("pads", &[1, 1, 1, 1])]);
        conv(&named("auto"), x, w, bias, &[string("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])]);
        conv(&named("1 x 1"), x, &[5, 3, 1, 1], bias, &[]);
    }
}

#[test]
fn weights_that_are_computed_at_run_time() {
    let mut file = Onnx::new(17);
    let (x, w) = (file.input("x", &dims(&[2, 3, 9])), file.input("w", &dims(&[4, 3, 3])));
    let b = file.input("b", &dims(&[4]));
    let y = file.node("Conv", &[&x, &w, &b], &[]);
    file.output(&y);
    check("Conv with inputs only", &file);
}

#[test]
fn pooling() {
    for (operator, own) in
        [("MaxPool", vec![]), ("AveragePool", vec![]), ("AveragePool", vec![int("count_include_pad", 1)])]
    {
        for ceil in [0, 1] {
            let cases: Vec<(&str, Vec<AttributeProto>)> = vec![
                ("plain", vec![ints("kernel_shape", &[3])]),
                ("strided", vec![ints("kernel_shape", &[3]), ints("strides", &[2])]),
                ("padded", vec![ints("kernel_shape", &[3]), ints("strides", &[2]), ints("pads", &[1, 1])]),
                ("wide", vec![ints("kernel_shape", &[4]), ints("strides", &[3]), ints("pads", &[2, 1])]),
            ];
            for (what, mut attributes) in cases {
                let name = format!("{operator} {what} {} ceil {ceil}", own.len());
                attributes.extend(own.clone());
                attributes.push(int("ceil_mode", ceil));
                let mut file = Onnx::new(18);
                let x = file.input("x", &[dim("N"), dim(4), dim(11)]);
                let y = file.node(operator, &[&x], &attributes);
                file.output(&y);
                check(&name, &file);
            }
            let name = format!("{operator} 2-D {} ceil {ceil}", own.len());
            let mut attributes = own.clone();
            attributes.extend([
                ints("kernel_shape", &[3, 2]),
                ints("strides", &[2, 2]),
                ints("pads", &[1, 0, 1, 1]),
                int("ceil_mode", ceil),
            ]);
            let mut file = Onnx::new(18);
            let x = file.input("x", &[dim("N"), dim(2), dim(8), dim(9)]);
            let y = file.node(operator, &[&x], &attributes);
            file.output(&y);
            check(&name, &file);
        }
        for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
            let mut attributes = own.clone();
            attributes.extend([ints("kernel_shape", &[4]), ints("strides", &[2]), string("auto_pad", auto)]);
            let mut file = Onnx::new(18);
            let x = file.input("x", &[dim("N"), dim(2), dim(9)]);
            let y = file.node(operator, &[&x], &attributes);
            file.output(&y);
            check(&format!("{operator} {auto} {}", own.len()), &file);
        }
    }
    let mut file = Onnx::new(18);
    let x = file.input("x", &[dim("N"), dim(4), dim(11)]);
    let y = file.node("MaxPool", &[&x], &[ints("kernel_shape", &[3]), ints("dilations", &[2])]);
    file.output(&y);
    check("MaxPool dilated", &file);
    for operator in ["GlobalAveragePool", "GlobalMaxPool"] {
        for shape in [&[3, 4, 7][..], &[3, 4, 5, 6]] {
            let mut file = Onnx::new(18);
            let x = file.input("x", &dims(shape));
            let y = file.node(operator, &[&x], &[]);
            file.output(&y);
            check(&format!("{operator} {shape:?}"), &file);
        }
    }
}

/// Adds a BatchNormalization of `channels` to `x`.
fn normalised(file: &mut Onnx, x: &str, channels: usize, name: &str) -> String {
    let mut random = random(name);
    let scale = file.weights(&[channels], &mut random);
    let shift = file.weights(&[channels], &mut random);
    let mean = file.weights(&[channels], &mut random);
    let variance = random.numbers(channels, 0.4).iter().map(|v| v + 0.5).collect();
    let variance = file.floats(&[channels], variance);
    file.node("BatchNormalization", &[x, &scale, &shift, &mean, &variance], &[float("epsilon", 1e-3)])
}

#[test]
fn batch_normalisation_disappears_into_the_layer_before_it() {
    for bias in [false, true] {
        let mut random = random("batch norm");
        let mut file = Onnx::new(17);
        let x = file.input("x", &[dim("N"), dim(3), dim(9)]);
        let w = file.weights(&[4, 3, 3], &mut random);
        let b = file.weights(&[4], &mut random);
        let names: Vec<&str> = if bias { vec![&x, &w, &b] } else { vec![&x, &w] };
        let y = file.node("Conv", &names, &[]);
        let y = normalised(&mut file, &y, 4, "after conv");
        file.output(&y);
        let graph = check(&format!("Conv, BatchNormalization, bias {bias}"), &file);
        assert_eq!(count(&graph, &|op| matches!(op, Op::Binary(_))), 0, "{:?}", graph.nodes());

        let mut file = Onnx::new(17);
        let x = file.input("x", &[dim("N"), dim(3)]);
        let w = file.weights(&[5, 3], &mut random);
        let b = file.weights(&[5], &mut random);
        let names: Vec<&str> = if bias { vec![&x, &w, &b] } else { vec![&x, &w] };
        let y = file.node("Gemm", &names, &[int("transB", 1)]);
        let y = normalised(&mut file, &y, 5, "after gemm");
        let y = file.node("Relu", &[&y], &[]);
        file.output(&y);
        let graph = check(&format!("Gemm, BatchNormalization, bias {bias}"), &file);
        assert_eq!(count(&graph, &|op| matches!(op, Op::Binary(_))), 1, "only the bias: {:?}", graph.nodes());
    }
}

/// The layer's own result is needed, too: folding it would compute the layer twice.
#[test]
fn a_layer_with_two_readers_is_not_folded() {
    let mut random = random("two readers");
    let mut file = Onnx::new(17);
    let x = file.input("x", &[dim("N"), dim(3), dim(9)]);
    let w = file.weights(&[4, 3, 3], &mut random);
    let y = file.node("Conv", &[&x, &w], &[]);
    let z = normalised(&mut file, &y, 4, "two readers");
    file.output(&y);
    file.output(&z);
    let graph = check("Conv with two readers", &file);
    assert_eq!(count(&graph, &|op| matches!(op, Op::Conv(_))), 1);
}

#[test]
fn batch_normalisation_of_an_input() {
    for shape in [&[3, 4][..], &[3, 4, 5], &[3, 4, 5, 2]] {
        let mut file = Onnx::new(17);
        let x = file.input("x", &dims(shape));
        let y = normalised(&mut file, &x, 4, "first");
        file.output(&y);
        check(&format!("BatchNormalization {shape:?}"), &file);
    }
}
