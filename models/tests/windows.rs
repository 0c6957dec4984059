//! Models that read a window of time: run whole or streamed, waited for, reset, and restored from their memory.

#[path = "support/onnx.rs"]
mod onnx;
#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use flyball_config::{EuRange, Filter, Model, ModelInput, ModelOutput, ModelRole, Trust};
use flyball_core::ports::Predictor;
use flyball_core::state::Archive;
use flyball_models::{LoadedModel, ModelError, Network, OnnxPredictor, Refusal, SourceInfo, load_bytes};
use onnx::{Onnx, Random, dims, float, int, ints};
use prost::Message;
use support::{Monotonic, sha256, tag, unit};
use tract_onnx::pb::StringStringEntryProto;

const STEPS: usize = 6;
const COLUMNS: usize = 2;

/// LSTM or GRU over [1, steps, columns], last step, dense: two outputs.
fn recurrent(cell: &str) -> Onnx {
    onnx::recurrent(cell, STEPS, COLUMNS, 5, 2, &mut Random::new(7))
}

/// Causal convolutions over [1, columns, steps], last step, dense: one output. Reaches exactly the window.
fn convolution(mean: bool) -> Onnx {
    let mut random = Random::new(9);
    let mut file = Onnx::new(17);
    let x = file.input("x", &dims(&[1, COLUMNS, STEPS]));
    let w = file.weights(&[4, COLUMNS, 3], &mut random);
    let y = file.node("Conv", &[&x, &w], &[ints("kernel_shape", &[3]), ints("dilations", &[2]), ints("pads", &[4, 0])]);
    let y = file.node("Tanh", &[&y], &[]);
    let last = if mean {
        file.node("ReduceMean", &[&y], &[ints("axes", &[2]), int("keepdims", 0)])
    } else {
        let place = file.ints(&[], &[STEPS as i64 - 1]);
        file.node("Gather", &[&y, &place], &[int("axis", 2)])
    };
    let w = file.weights(&[4, 1], &mut random);
    let b = file.floats(&[1], vec![0.25]);
    let y = file.node("Gemm", &[&last, &w, &b], &[float("alpha", 1.0)]);
    file.output(&y);
    file
}

/// Windows as a plant would give them: every input between -1 and 1.
fn rows(n: usize) -> Vec<Vec<f64>> {
    let mut random = Random::new(11);
    (0..n).map(|_| (0..COLUMNS).map(|_| f64::from(random.unit())).collect()).collect()
}

/// The window that ends at row `end`, as the graph's input wants it.
fn window(rows: &[Vec<f64>], end: usize, axis: usize) -> Vec<f32> {
    let part = &rows[end + 1 - STEPS..=end];
    if axis == 1 {
        return part.iter().flatten().map(|v| *v as f32).collect();
    }
    (0..COLUMNS).flat_map(|c| part.iter().map(move |row| row[c] as f32)).collect()
}

fn answer(network: &mut Network, input: &[f32]) -> Vec<f64> {
    network.input_mut(0).copy_from_slice(input);
    network.run().expect("runs");
    network.output(0).iter().map(|v| f64::from(*v)).collect()
}

/// Loads the file with a contract; configured outputs and inputs in the opposite order of the file's.
fn load(file: &Onnx, axis: usize, run: &str, role: ModelRole) -> Result<LoadedModel, ModelError> {
    let mut network = Network::read(&file.bytes(), 1).expect("both engines have it");
    let outputs = network.outputs()[0].len();
    let golden = rows(STEPS + 10);
    let pairs: Vec<String> = (STEPS - 1..STEPS + 9)
        .map(|end| {
            let input: Vec<f64> = golden[end + 1 - STEPS..=end].concat();
            format!("{{\"in\": {input:?}, \"out\": {:?}}}", answer(&mut network, &window(&golden, end, axis)))
        })
        .collect();
    let input = |i: usize| {
        format!(
            "{{\"name\": \"x{i}\", \"unit\": \"m\", \"filter\": \"none\", \"train_min\": -1, \"train_max\": 1, \
             \"mean\": 0, \"std\": 1, \"nominal\": 0.1}}"
        )
    };
    let output = |i: usize| format!("{{\"name\": \"y{i}\", \"unit\": \"m\", \"range\": [-2, 2]}}");
    let list = |n: usize, f: &dyn Fn(usize) -> String| format!("[{}]", (0..n).map(f).collect::<Vec<_>>().join(", "));
    let mut proto = file.model();
    for (key, value) in [
        ("plc.schema", "1".to_owned()),
        ("plc.version", "1".to_owned()),
        ("plc.scaling", "in_graph".to_owned()),
        ("plc.sample_time", "5".to_owned()),
        ("plc.inputs", list(COLUMNS, &input)),
        ("plc.outputs", list(outputs, &output)),
        ("plc.window", format!("{{\"steps\": {STEPS}, \"axis\": {axis}, \"run\": \"{run}\"}}")),
        ("plc.golden", format!("{{\"tolerance_of_span\": 1e-5, \"pairs\": [{}]}}", pairs.join(", "))),
    ] {
        proto.metadata_props.push(StringStringEntryProto { key: key.to_owned(), value });
    }
    let bytes = proto.encode_to_vec();
    let range = EuRange { low: -2.0, high: 2.0 };
    let model = Model {
        name: "windowed".to_owned(),
        text: String::new(),
        file: "windowed.onnx".into(),
        sha256: sha256(&bytes),
        shadow: None,
        role,
        every: Duration::from_secs(5),
        inputs: (0..COLUMNS)
            .rev()
            .map(|i| ModelInput {
                name: format!("x{i}"),
                source: tag(i as u32),
                filter: Filter::None,
                delay: Duration::ZERO,
            })
            .collect(),
        outputs: (0..outputs)
            .rev()
            .map(|i| ModelOutput {
                name: format!("y{i}"),
                unit: unit("m"),
                range,
                reject_outside: None,
                too_wide: None,
                bias: None,
                match_plant: None,
            })
            .collect(),
        trust: Trust::default(),
    };
    let source = |i: usize| SourceInfo {
        name: format!("tag{i}"),
        unit: "m".to_owned(),
        display: "m".to_owned(),
        low: -1.0,
        high: 1.0,
    };
    let sources: Vec<SourceInfo> = (0..COLUMNS).rev().map(source).collect();
    load_bytes(&model, &bytes, &sources, Duration::from_secs(1), &Monotonic::start())
}

/// One step in the configuration's order; outputs back in the file's.
fn step(predictor: &mut OnnxPredictor, row: &[f64]) -> Vec<f64> {
    let features: Vec<f64> = row.iter().rev().copied().collect();
    let mut out = vec![0.0; predictor.outputs()];
    predictor.predict(&features, &mut out).expect("finite");
    out.reverse();
    out
}

#[test]
fn a_whole_window_answers_what_the_graph_answers_for_its_last_steps() {
    for (file, axis) in [(recurrent("LSTM"), 1), (recurrent("GRU"), 1), (convolution(true), 2)] {
        let loaded = load(&file, axis, "window", ModelRole::SoftSensor).expect("loads");
        let mut predictor = loaded.predictor().expect("loaded");
        let mut network = Network::read(&file.bytes(), 1).unwrap();
        assert_eq!(predictor.warm_up() as usize, STEPS);
        let rows = rows(3 * STEPS);
        for (end, row) in rows.iter().enumerate() {
            let got = step(&mut predictor, row);
            if end + 1 >= STEPS {
                assert_eq!(got, answer(&mut network, &window(&rows, end, axis)), "step {end}");
            }
        }
    }
}

#[test]
fn a_streamed_recurrent_network_equals_the_first_window_after_a_reset() {
    for cell in ["LSTM", "GRU", "RNN"] {
        let file = recurrent(cell);
        let loaded = load(&file, 1, "stream", ModelRole::SoftSensor).expect("loads");
        // It brings nothing to doubt itself by, and that is said; of streaming there is nothing to warn of.
        let told = loaded.warnings.iter().filter(|w| !w.contains("it brings no plc.")).collect::<Vec<_>>();
        assert!(told.is_empty(), "{told:?}");
        let mut predictor = loaded.predictor().expect("loaded");
        let mut network = Network::read(&file.bytes(), 1).unwrap();
        let rows = rows(2 * STEPS);
        let first: Vec<Vec<f64>> = rows[..STEPS].iter().map(|row| step(&mut predictor, row)).collect();
        assert_eq!(first[STEPS - 1], answer(&mut network, &window(&rows, STEPS - 1, 1)), "{cell}: bit for bit");
        // It remembers more than the window from here on, until it is reset.
        let later: Vec<Vec<f64>> = rows[STEPS..].iter().map(|row| step(&mut predictor, row)).collect();
        assert_ne!(later[STEPS - 1], answer(&mut network, &window(&rows, 2 * STEPS - 1, 1)), "{cell}");
        predictor.reset();
        let again: Vec<Vec<f64>> = rows[STEPS..].iter().map(|row| step(&mut predictor, row)).collect();
        assert_eq!(again[STEPS - 1], answer(&mut network, &window(&rows, 2 * STEPS - 1, 1)), "{cell} after a reset");
    }
}

#[test]
fn convolutions_are_streamed_because_they_stay_equal_for_ever() {
    let file = convolution(false);
    let loaded = load(&file, 2, "window", ModelRole::SoftSensor).expect("loads");
    let mut predictor = loaded.predictor().expect("loaded");
    // The states of one step, not the whole window.
    assert_ne!(numbers(&mut predictor), STEPS * COLUMNS);
    let mut network = Network::read(&file.bytes(), 1).unwrap();
    let rows = rows(4 * STEPS);
    for (end, row) in rows.iter().enumerate() {
        let got = step(&mut predictor, row);
        if end + 1 >= STEPS {
            assert_eq!(got, answer(&mut network, &window(&rows, end, 2)), "step {end}");
        }
    }
}

/// What a predictor remembers, as bytes.
fn kept(predictor: &mut dyn Predictor) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 << 16);
    let mut archive = Archive::save(&mut bytes);
    predictor.keep(&mut archive);
    assert_eq!(archive.finish(), Ok(()));
    bytes
}

/// How many numbers a predictor remembers.
fn numbers(predictor: &mut dyn Predictor) -> usize {
    postcard::take_from_bytes(&kept(predictor)).expect("a length comes first").0
}

#[test]
fn a_memory_that_was_kept_continues_where_it_was_taken() {
    for (file, axis, run) in [(recurrent("LSTM"), 1, "stream"), (recurrent("LSTM"), 1, "window")] {
        let loaded = load(&file, axis, run, ModelRole::SoftSensor).expect("loads");
        let (mut one, mut other) = (loaded.predictor().unwrap(), loaded.predictor().unwrap());
        let rows = rows(3 * STEPS);
        rows[..STEPS + 2].iter().for_each(|row| drop(step(&mut one, row)));
        let kept = kept(&mut one);
        let restore = |other: &mut dyn Predictor, bytes| {
            let mut archive = Archive::load(bytes);
            other.keep(&mut archive);
            archive.finish()
        };
        assert!(restore(&mut loaded.predictor().unwrap(), &kept[1..]).is_err(), "another length is refused");
        assert_eq!(restore(&mut other, &kept), Ok(()));
        for row in &rows[STEPS + 2..] {
            assert_eq!(step(&mut one, row), step(&mut other, row), "{run}");
        }
    }
}

#[test]
fn what_cannot_be_streamed_is_run_whole_and_said() {
    let loaded = load(&convolution(true), 2, "stream", ModelRole::SoftSensor).expect("loads");
    assert!(loaded.warnings.iter().any(|w| w.contains("one step alone cannot be run")), "{:?}", loaded.warnings);
    assert_eq!(numbers(&mut loaded.predictor().unwrap()), STEPS * COLUMNS);
}

#[test]
fn a_map_has_no_window_and_shapes_must_fit_it() {
    let map = load(&recurrent("GRU"), 1, "window", ModelRole::Map).expect("a horizon may be planned over it");
    let (model, _) = support::ss();
    let error = map.optimizer(&support::r101_settings(1), &model, &support::r101_mvs(), &support::r101_cvs());
    assert_eq!(error.err().expect("a steady state has no time").refusal, Refusal::BadMap);
    let error = load(&convolution(false), 1, "window", ModelRole::SoftSensor);
    assert_eq!(error.expect_err("axes are swapped").refusal, Refusal::WrongShape);
}
