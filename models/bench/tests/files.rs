//! What `Case::read` accepts and refuses, and what it feeds.

use std::path::PathBuf;

use flyball_inference_bench::case::{Carried, Case, FEEDS};
use flyball_inference_bench::onnx::{Builder, Dim};
use flyball_inference_bench::zoo;

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

#[test]
fn symbolic_rows_are_filled_in_and_fixed_ones_cannot_be_changed() {
    let bytes = zoo::mlp(&[16, 64, 64, 2], "Relu");
    let case = Case::read("mlp", bytes, 64).expect("symbolic rows");
    assert_eq!(case.inputs[0].shape, [64, 16]);
    assert_eq!(case.weight_bytes, (16 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2) * 4);
    let mut b = Builder::new(1);
    let x = b.input("x", &[Dim::Of(1), Dim::Of(4)]);
    let y = b.node("Relu", &[&x], Vec::new());
    b.output(&y);
    let fixed = b.bytes();
    assert_eq!(Case::read("fixed", fixed.clone(), 1).expect("its own rows").inputs[0].shape, [1, 4]);
    let refused = Case::read("fixed", fixed, 2).expect_err("rows are fixed");
    assert!(refused.contains("no symbolic dimension") && refused.contains("--rows"), "{refused}");
}

#[test]
fn what_is_no_onnx_file_is_refused_in_words() {
    let refused = Case::read("x.onnx", b"not a model".to_vec(), 1).expect_err("no protobuf");
    assert!(refused.contains("x.onnx is not an ONNX file"), "{refused}");
    let refused = Case::read("empty.onnx", Vec::new(), 1).expect_err("no graph");
    assert!(refused.contains("empty.onnx has no graph"), "{refused}");
    let refused = Case::open(&example("nowhere.onnx"), 1).expect_err("no file");
    assert!(refused.contains("nowhere.onnx cannot be read"), "{refused}");
}

#[test]
fn inputs_are_drawn_from_the_training_ranges_of_the_contract() {
    let case = Case::open(&example("r101_ss.onnx"), 3).expect("an example of this project");
    assert_eq!(case.name, "r101_ss.onnx, batch 3");
    let ranges = &case.inputs[0].ranges;
    assert_eq!(ranges.len(), 4);
    assert!(ranges.iter().all(|(low, high)| low < high && *high > 1.0), "engineering units: {ranges:?}");
    for set in 0..FEEDS {
        let numbers = &case.feed(set)[0];
        assert_eq!(numbers.len(), 12);
        for (number, (low, high)) in numbers.iter().zip(ranges.iter().cycle()) {
            assert!((low..=high).contains(&number), "{number} is outside {low} to {high}");
        }
    }
}

#[test]
fn without_a_contract_inputs_are_drawn_from_minus_one_to_one_and_states_begin_at_zero() {
    let mut case = Case::read("step", zoo::recurrent(zoo::Cell::Gru, 1, true), 1).expect("built here");
    case.carried = vec![Carried { output: 1, input: 1 }];
    let feed = case.feed(2);
    assert!(feed[0].iter().all(|v| (-1.0..1.0).contains(v)) && feed[0].iter().any(|v| *v < 0.0));
    assert!(feed[1].iter().all(|v| *v == 0.0));
    assert_eq!(feed, case.feed(2), "seeded");
    assert_ne!(feed[0], case.feed(3)[0]);
}
