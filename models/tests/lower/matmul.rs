//! Gemm, MatMul and Einsum: the formula is kept, and constants need no moving at run time.

use flyball_engine::{Graph, Op};

use crate::onnx::{Onnx, dim, dims, float, int, string};
use crate::{check, count, random};

fn maps(graph: &Graph) -> usize {
    count(graph, &|op| matches!(op, Op::Index(_)))
}

#[test]
fn gemm_with_every_attribute() {
    for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for scales in [None, Some((0.5, 2.0)), Some((1.0, 0.0))] {
            for bias in [None, Some(&[7][..]), Some(&[1, 7]), Some(&[3, 1]), Some(&[])] {
                let name = format!("Gemm {a} {b} {scales:?} {bias:?}");
                let mut random = random(&name);
                let mut file = Onnx::new(17);
                let x = file.input("x", &dims(if a == 1 { &[4, 3] } else { &[3, 4] }));
                let w = file.weights(if b == 1 { &[7, 4] } else { &[4, 7] }, &mut random);
                let mut attributes = vec![int("transA", a), int("transB", b)];
                if let Some((alpha, beta)) = scales {
                    attributes.extend([float("alpha", alpha), float("beta", beta)]);
                }
                let mut names = vec![x, w];
                if let Some(shape) = bias {
                    names.push(file.weights(shape, &mut random));
                }
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let y = file.node("Gemm", &names, &attributes);
                file.output(&y);
                let graph = check(&name, &file);
                assert!(maps(&graph) <= a as usize, "{name}: only the input may be moved: {:?}", graph.nodes());
                assert_eq!(
                    count(&graph, &|op| matches!(op, Op::Binary(_))),
                    usize::from(bias.is_some() && scales != Some((1.0, 0.0))),
                    "{name}: alpha and beta are in the constants"
                );
            }
        }
    }
}

#[test]
fn matmul_of_every_rank() {
    let shapes: [(&[usize], &[usize]); 10] = [
        (&[3, 4], &[4, 5]),
        (&[4], &[4]),
        (&[4], &[4, 5]),
        (&[3, 4], &[4]),
        (&[2, 3, 4], &[4, 5]),
        (&[3, 4], &[2, 4, 5]),
        (&[2, 3, 4], &[2, 4, 5]),
        (&[2, 1, 3, 4], &[6, 4, 5]),
        (&[1, 4], &[4, 1]),
        (&[3, 1], &[1, 5]),
    ];
    for (a, b) in shapes {
        let mut file = Onnx::new(17);
        let (x, y) = (file.input("a", &dims(a)), file.input("b", &dims(b)));
        let z = file.node("MatMul", &[&x, &y], &[]);
        file.output(&z);
        check(&format!("MatMul {a:?} {b:?}"), &file);
        for left in [false, true] {
            let name = format!("MatMul {a:?} {b:?} constant, left: {left}");
            let mut file = Onnx::new(17);
            let x = file.input("x", &dims(if left { b } else { a }));
            let w = file.weights(if left { a } else { b }, &mut random(&name));
            let z = file.node("MatMul", &if left { [&w[..], &x] } else { [&x, &w] }, &[]);
            file.output(&z);
            let graph = check(&name, &file);
            if !left && b.len() == 2 {
                assert_eq!(maps(&graph), 0, "{name}: {:?}", graph.nodes());
            }
        }
    }
}

#[test]
fn a_dense_layer_over_more_axes_is_one_product() {
    let mut file = Onnx::new(17);
    let x = file.input("x", &[dim("N"), dim(5), dim(4)]);
    let w = file.weights(&[4, 6], &mut random("dense"));
    let y = file.node("MatMul", &[&x, &w], &[]);
    file.output(&y);
    let graph = check("dense", &file);
    let products: Vec<&[usize]> =
        graph.nodes().iter().filter(|n| matches!(n.op, Op::MatMul)).map(|n| &n.shape[..]).collect();
    assert_eq!(products, [&[15, 6]], "rows and steps are rows of one product");
    assert_eq!(maps(&graph), 0);
}

#[test]
fn einsum_formulas() {
    let formulas: [(&str, &[&[usize]]); 16] = [
        ("ij,jk->ik", &[&[3, 4], &[4, 5]]),
        ("ij,jk->ki", &[&[3, 4], &[4, 5]]),
        ("ij,kj->ik", &[&[3, 4], &[5, 4]]),
        ("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 5]]),
        ("bhid,bhjd->bhij", &[&[2, 3, 4, 5], &[2, 3, 6, 5]]),
        ("bihd,bjhd->bhij", &[&[2, 4, 3, 5], &[2, 6, 3, 5]]),
        ("i,j->ij", &[&[3], &[4]]),
        ("i,i->", &[&[5], &[5]]),
        ("ij->ji", &[&[3, 4]]),
        ("ij->i", &[&[3, 4]]),
        ("ij->", &[&[3, 4]]),
        ("ii->i", &[&[4, 4]]),
        ("ij,ij->ij", &[&[3, 4], &[3, 4]]),
        ("ij,k->ik", &[&[3, 4], &[5]]),
        ("...ij,jk->...ik", &[&[2, 3, 4], &[4, 5]]),
        ("ij,jk,kl->il", &[&[3, 4], &[4, 5], &[5, 2]]),
    ];
    for (formula, shapes) in formulas {
        let mut file = Onnx::new(17);
        let names: Vec<String> =
            shapes.iter().enumerate().map(|(i, shape)| file.input(&format!("x{i}"), &dims(shape))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let y = file.node("Einsum", &names, &[string("equation", formula)]);
        file.output(&y);
        check(formula, &file);
    }
}
