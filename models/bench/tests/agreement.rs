//! Promise: every model of the bench loads in every engine and all of them compute the same, so that their times may be compared.
//!
//! Without the library of ONNX Runtime its part is skipped and said. Where `ORT_DYLIB_PATH` is set, as in CI, it must work.

use flyball_inference_bench::case::{Case, Work};
use flyball_inference_bench::contender::{Contender, TOLERANCE, largest_difference};
use flyball_inference_bench::onnx_runtime::{self, Library, VARIABLE};
use flyball_inference_bench::{ours, tract_plan, zoo};

fn library() -> Option<Library> {
    match Library::load() {
        Ok(library) => Some(library),
        Err(why) if std::env::var_os(VARIABLE).is_some() => panic!("{why}"),
        Err(why) => {
            println!("NOT TESTED: ONNX Runtime: {why}");
            None
        }
    }
}

fn contenders(case: &Case, library: Option<&Library>) -> Vec<Box<dyn Contender>> {
    let (ours, _) = ours::prepare(case).unwrap_or_else(|e| panic!("{}: {}: {e}", case.name, ours::NAME));
    let mut all = vec![ours, tract_plan::prepare(case).unwrap_or_else(|e| panic!("{}: tract: {e}", case.name))];
    if let Some(library) = library {
        all.push(onnx_runtime::prepare(library, case).unwrap_or_else(|e| panic!("{}: ONNX Runtime: {e}", case.name)));
    }
    all
}

#[test]
fn all_engines_compute_the_same_in_every_case() {
    let library = library();
    for case in zoo::cases().expect("built here").iter().filter(|c| c.work == Work::Value) {
        let mut all = contenders(case, library.as_ref());
        let difference = largest_difference(case, &mut all).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        println!("{}: {difference:.1e}", case.name);
        assert!(difference <= TOLERANCE);
        for contender in &all {
            let numbers = contender.output(0).expect("it was run");
            assert!(numbers.iter().any(|v| *v != 0.0), "{}: {} answers nothing but 0", case.name, contender.name());
        }
    }
}

#[test]
fn a_run_does_not_depend_on_the_runs_before_it_unless_states_are_carried() {
    let library = library();
    let mut cases = zoo::cases().expect("built here");
    // Over 32 steps a state is forgotten down to the last bit; over 4 it is not.
    for cell in [zoo::Cell::Gru, zoo::Cell::Lstm] {
        cases.push(Case::read("short window", zoo::recurrent(cell, 4, false), 1).expect("built here"));
    }
    for case in cases.iter().filter(|c| c.work == Work::Value) {
        for mut contender in contenders(case, library.as_ref()) {
            let mut run = || {
                for (place, numbers) in case.feed(0).iter().enumerate() {
                    if case.carried.iter().all(|c| c.input != place) {
                        contender.set_input(place, numbers).expect("fits");
                    }
                }
                contender.run().expect("runs");
                contender.output(0).expect("it was run")
            };
            let (first, second) = (run(), run());
            assert_eq!(first == second, case.carried.is_empty(), "{}: {}", case.name, contender.name());
        }
    }
}

#[test]
fn derivatives_are_those_of_the_value() {
    let mut case = Case::read("mlp", zoo::mlp(&[3, 8, 2], "Tanh"), 1).expect("built here");
    let mut value = tract_plan::prepare(&case).expect("loads");
    let x = case.feed(0).remove(0);
    let step = 1e-2;
    let mut at = |place: usize, by: f32| {
        let mut moved = x.clone();
        moved[place] += by;
        value.set_input(0, &moved).expect("fits");
        value.run().expect("runs");
        value.output(0).expect("it was run")
    };
    // [input][output], by central differences.
    let slopes: Vec<Vec<f32>> = (0..3)
        .map(|i| at(i, step).iter().zip(at(i, -step)).map(|(high, low)| (high - low) / (2.0 * step)).collect())
        .collect();
    let mut derivative = |work| {
        case.work = work;
        let (mut ours, _) = ours::prepare(&case).expect("loads");
        ours.set_input(0, &x).expect("fits");
        ours.run().expect("runs");
        ours.output(1).expect("it was run")
    };
    let (gradient, jacobian) = (derivative(Work::Gradient), derivative(Work::Jacobian));
    assert_eq!((gradient.len(), jacobian.len()), (3, 6));
    for (input, slope) in slopes.iter().enumerate() {
        let sum: f32 = slope.iter().sum();
        assert!((gradient[input] - sum).abs() < 1e-3, "input {input}: {} and {sum}", gradient[input]);
        for (output, slope) in slope.iter().enumerate() {
            let found = jacobian[output * 3 + input];
            assert!((found - slope).abs() < 1e-3, "output {output} by input {input}: {found} and {slope}");
        }
    }
}

#[test]
fn multiply_adds_are_those_of_the_shapes() {
    let counted = |name: &str, bytes: Vec<u8>, rows: usize| {
        let case = Case::read(name, bytes, rows).expect("built here");
        tract_plan::multiply_adds(&case).expect("static shapes")
    };
    let layers = [16, 64, 64, 2];
    let mlp = 16 * 64 + 64 * 64 + 64 * 2;
    assert_eq!(counted("mlp", zoo::mlp(&layers, "Relu"), 1), mlp);
    assert_eq!(counted("mlp", zoo::mlp(&layers, "Tanh"), 64), 64 * mlp);
    assert_eq!(counted("cnn", zoo::cnn(), 64), 64 * ((8 * 32 * 5 + 32 * 32 * 5) * 64 + 32));
    assert_eq!(counted("gru", zoo::recurrent(zoo::Cell::Gru, 32, false), 1), 32 * 3 * 32 * (8 + 32) + 32);
    assert_eq!(counted("lstm", zoo::recurrent(zoo::Cell::Lstm, 32, false), 1), 32 * 4 * 32 * (8 + 32) + 32);
    assert_eq!(counted("step", zoo::recurrent(zoo::Cell::Lstm, 1, true), 1), 4 * 32 * (8 + 32) + 32);
}

#[test]
fn engines_that_differ_are_not_compared() {
    let read = |activation| Case::read("mlp", zoo::mlp(&[4, 8, 2], activation), 1).expect("built here");
    let (relu, tanh) = (read("Relu"), read("Tanh"));
    let mut both = vec![tract_plan::prepare(&relu).expect("loads"), tract_plan::prepare(&tanh).expect("loads")];
    let refused = largest_difference(&relu, &mut both).expect_err("relu is not tanh");
    assert!(refused.contains("tract 0.23 and tract 0.23 differ by"), "{refused}");
}
