//! Every bad model file is refused with its sentence, and nothing in a file can make the loader panic.

mod support;

use std::time::Duration;

use flyball_config::Model;
use flyball_models::{ModelError, Refusal, SourceInfo, limits, load_bytes, load_model};
use prost::Message;
use support::{Monotonic, cb, load, sha256, ss};
use tract_onnx::pb;

const BUDGET: Duration = Duration::from_secs(1);

fn good() -> (Model, Vec<SourceInfo>, Vec<u8>) {
    let (model, sources) = cb();
    let bytes = std::fs::read(&model.file).unwrap();
    (model, sources, bytes)
}

/// Loads the soft sensor after an edit of its protobuf, with the hash of the edited file.
fn edited(edit: impl FnOnce(&mut pb::ModelProto)) -> ModelError {
    let (mut model, sources, bytes) = good();
    let mut file = pb::ModelProto::decode(bytes.as_slice()).unwrap();
    edit(&mut file);
    let bytes = file.encode_to_vec();
    model.sha256 = sha256(&bytes);
    load_bytes(&model, &bytes, &sources, BUDGET, &Monotonic::start()).expect_err("must be refused")
}

fn metadata<'a>(file: &'a mut pb::ModelProto, key: &str) -> &'a mut String {
    &mut file.metadata_props.iter_mut().find(|e| e.key == key).unwrap().value
}

fn refused(error: &ModelError, refusal: Refusal, words: &str) {
    println!("{error}");
    let text = error.to_string();
    assert_eq!(error.refusal, refusal, "{text}");
    assert!(text.contains(words), "'{words}' is not in: {text}");
    assert!(text.starts_with("model r101_cb: ") && !error.allowed.is_empty() && !error.next.is_empty(), "{text}");
}

#[test]
fn damaged_files_are_refused() {
    let (mut model, sources, bytes) = good();
    let clock = Monotonic::start();
    let half = &bytes[..bytes.len() / 2];
    refused(&load_bytes(&model, half, &sources, BUDGET, &clock).unwrap_err(), Refusal::WrongHash, "sha256");
    model.sha256 = sha256(half);
    refused(
        &load_bytes(&model, half, &sources, BUDGET, &clock).unwrap_err(),
        Refusal::NotOnnx,
        "not ONNX or is damaged",
    );
    model.file = "does/not/exist.onnx".into();
    refused(&load_model(&model, &sources, BUDGET, &clock).unwrap_err(), Refusal::Unreadable, "exist.onnx");
    let folder = tempfile::tempdir().unwrap();
    model.file = folder.path().join("huge.onnx");
    std::fs::File::create(&model.file).unwrap().set_len(limits::FILE_BYTES_MAX + 1).unwrap();
    refused(&load_model(&model, &sources, BUDGET, &clock).unwrap_err(), Refusal::TooLarge, "64 MiB");
}

#[test]
fn weights_must_be_inside_finite_and_fill_their_dimensions() {
    refused(
        &edited(|f| f.graph.as_mut().unwrap().initializer[2].raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes())),
        Refusal::BadWeight,
        "NaN or infinite",
    );
    refused(
        &edited(|f| f.graph.as_mut().unwrap().initializer[2].dims = vec![i64::MAX, 9]),
        Refusal::BadWeight,
        "do not fill",
    );
    refused(&edited(|f| f.graph.as_mut().unwrap().initializer[2].dims = vec![-1]), Refusal::BadWeight, "do not fill");
    refused(
        &edited(|f| f.graph.as_mut().unwrap().initializer[2].data_location = Some(1)),
        Refusal::ExternalData,
        "another file",
    );
}

#[test]
fn names_units_and_filters_must_be_those_of_the_training() {
    refused(
        &edited(|f| {
            let t = metadata(f, "plc.inputs");
            *t = t.replace("\"F_60\"", "\"F_61\"");
        }),
        Refusal::WrongName,
        "F_60",
    );
    refused(
        &edited(|f| {
            let t = metadata(f, "plc.inputs");
            *t = t.replace("degC", "K");
        }),
        Refusal::WrongUnit,
        "'K'",
    );
    refused(
        &edited(|f| {
            let t = metadata(f, "plc.inputs");
            *t = t.replace("\"lag_s\":60.0", "\"lag_s\":90.0");
        }),
        Refusal::WrongFilter,
        "90 s",
    );
    refused(
        &edited(|f| {
            for key in ["plc.outputs", "plc.residuals"] {
                let t = metadata(f, key);
                *t = t.replace("cB", "cC");
            }
        }),
        Refusal::WrongName,
        "cC",
    );
}

#[test]
fn the_contract_must_be_complete_and_true() {
    refused(&edited(|f| f.metadata_props.clear()), Refusal::BadContract, "plc.schema");
    refused(&edited(|f| *metadata(f, "plc.schema") = "2".into()), Refusal::BadContract, "schema");
    refused(&edited(|f| *metadata(f, "plc.scaling") = "external".into()), Refusal::BadContract, "external");
    refused(&edited(|f| *metadata(f, "plc.inputs") = "[{]".into()), Refusal::BadContract, "plc.inputs");
    refused(
        &edited(|f| {
            let t = metadata(f, "plc.golden");
            *t = t.replacen("\"out\":[", "\"out\":[1", 1);
        }),
        Refusal::WrongGolden,
        "golden vector 0",
    );
    refused(
        &edited(|f| {
            let t = metadata(f, "plc.golden");
            *t = t.replace("0.0001", "0.5");
        }),
        Refusal::BadContract,
        "tolerance",
    );
    // A weight that is finite but not the trained one: only the golden vectors can see it.
    refused(
        &edited(|f| f.graph.as_mut().unwrap().initializer[2].raw_data[..4].copy_from_slice(&9.0_f32.to_le_bytes())),
        Refusal::WrongGolden,
        "instead of",
    );
}

#[test]
fn graphs_that_the_engine_cannot_run_are_refused() {
    refused(
        &edited(|f| f.graph.as_mut().unwrap().node[2].op_type = "Wombat".into()),
        Refusal::UnknownOperator,
        "Wombat",
    );
    refused(
        &edited(|f| f.graph.as_mut().unwrap().node[2].domain = "com.example".into()),
        Refusal::UnknownOperator,
        "com.example",
    );
    refused(&edited(|f| f.graph.as_mut().unwrap().input.clear()), Refusal::BadGraph, "not made before");
    let second = pb::ValueInfoProto { name: "second".into(), ..Default::default() };
    refused(&edited(|f| f.graph.as_mut().unwrap().input.push(second)), Refusal::WrongShape, "2 inputs");
    refused(&edited(|f| f.graph.as_mut().unwrap().node[2].input[1] = "x_mean".into()), Refusal::Engine, "cannot run");
    let error = edited(|f| f.graph = None);
    refused(&error, Refusal::NotOnnx, "no graph");
}

#[test]
fn too_slow_for_its_budget_is_refused() {
    let (model, sources, _) = good();
    let error = load_model(&model, &sources, Duration::from_nanos(1), &Monotonic::start()).unwrap_err();
    refused(&error, Refusal::TooSlow, "budget");
}

#[test]
fn a_tag_that_can_leave_the_training_range_is_a_warning() {
    let (model, mut sources) = cb();
    (sources[1].low, sources[1].high) = (150.0, 160.0);
    let narrow = load(&model, &sources).warnings;
    sources[1].high = 240.0;
    let wide = load(&model, &sources).warnings;
    assert!(
        !narrow.iter().any(|w| w.contains("tag-F ")) && wide.iter().any(|w| w.contains("tag-F ") && w.contains("240")),
        "{wide:?}"
    );
}

#[test]
fn no_corruption_makes_the_loader_panic() {
    let (mut model, sources, bytes) = good();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (clock, mut loaded) = (Monotonic::start(), 0);
    for round in 0..600 {
        let mut changed = bytes.clone();
        match round % 3 {
            0 => changed.truncate(random() as usize % bytes.len()),
            1 => {
                for _ in 0..=random() % 8 {
                    let at = random() as usize % changed.len();
                    changed[at] = random() as u8;
                }
            }
            _ => changed = (0..random() % 4096).map(|_| random() as u8).collect(),
        }
        model.sha256 = sha256(&changed);
        match load_bytes(&model, &changed, &sources, BUDGET, &clock) {
            Ok(_) => loaded += 1,
            Err(e) => assert!(!e.found.contains("panicked"), "round {round}: {e}"),
        }
    }
    // A byte of a comment or of a range that nobody compares may change without harm; most changes must be seen.
    println!("{loaded} of 600 corrupted files still passed every check");
    assert!(loaded < 200);
}

#[test]
fn every_example_loads() {
    for (model, sources) in [cb(), ss()] {
        let loaded = load(&model, &sources);
        assert!(loaded.contract.golden.pairs.len() >= limits::GOLDEN_PAIRS_MIN && loaded.report.p50_ns > 0);
    }
}
