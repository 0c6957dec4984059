//! What a model file says for the watch: operating modes, deciles and RMSEP at commissioning reach the runtime in the configuration's order,
//! and what does not fit is refused.

mod support;

use std::time::Duration;

use flyball_config::{Filter, Model};
use flyball_core::ports::Predictor;
use flyball_models::{ModelError, Refusal, SourceInfo, load_bytes};
use prost::Message;
use serde_json::Value as Json;
use support::{In, Monotonic, cb, configured, load, sha256, tag};
use tract_onnx::pb;

const BUDGET: Duration = Duration::from_secs(1);

/// The turbine, inputs and outputs in another order than in the file.
fn turbine() -> (Model, Vec<SourceInfo>) {
    let input = |i: u32, name: &'static str, unit: &'static str| -> In { (name, unit, tag(i), Filter::None, 0) };
    configured(
        "turbine.onnx",
        Duration::from_secs(3600),
        &[
            input(0, "CDP", "mbar"),
            input(1, "TAT", "degC"),
            input(2, "TIT", "degC"),
            input(3, "GTEP", "mbar"),
            input(4, "AFDP", "mbar"),
            input(5, "AH", "%"),
            input(6, "AP", "mbar"),
            input(7, "AT", "degC"),
        ],
        &[("NOX", "mg/m3", 20.0, 120.0), ("CO", "mg/m3", 0.0, 50.0), ("TEY", "MWh", 90.0, 180.0)],
    )
}

#[test]
fn the_basis_is_in_the_configurations_order() {
    let (model, sources) = turbine();
    let loaded = load(&model, &sources);
    let basis = loaded.predictor().expect("a predictor").basis();
    let contract = &loaded.contract;
    let (cdp, nox) = (&contract.inputs[7], &contract.residuals.as_ref().expect("residuals").outputs[2]);
    assert_eq!((cdp.name.as_str(), nox.name.as_str()), ("CDP", "NOX"));
    assert_eq!(Some(basis.inputs[0].to_vec()), cdp.deciles);
    assert_eq!(basis.rmsep[0], nox.rmsep);
    let (set, file) = (basis.modes.expect("modes"), contract.modes.as_ref().expect("modes"));
    assert!(set.modes.len() >= 2);
    for (mode, listed) in set.modes.iter().zip(&file.modes) {
        assert_eq!((&mode.name, mode.radius), (&listed.name, listed.radius));
        assert_eq!(mode.centroid[0], listed.centroid[7]);
        let factors: Vec<f64> = listed.outputs.iter().rev().map(|o| o.factor).collect();
        assert_eq!(mode.factors, factors);
    }
}

#[test]
fn a_file_without_the_new_keys_is_watched_by_what_it_has() {
    let (model, sources) = cb();
    let loaded = load(&model, &sources);
    let basis = loaded.basis();
    let q = loaded.contract.inputs.iter().find(|i| i.name == "Q").expect("Q");
    assert_eq!(q.deciles, None);
    assert_eq!(basis.inputs[0][4], q.mean, "a normal distribution's median");
    assert!((basis.inputs[0][8] - q.mean - 1.281_552 * q.std).abs() < 1e-9);
    assert_eq!(basis.rmsep[0], loaded.contract.metrics["cB"]["rmsep"].as_f64());
    assert_eq!(basis.modes, None);
}

/// Loads the turbine with one key of its metadata edited.
fn edited(key: &str, edit: impl FnOnce(&mut Json)) -> Result<(), ModelError> {
    let (mut model, sources) = turbine();
    let bytes = std::fs::read(&model.file).expect("the example");
    let mut file = pb::ModelProto::decode(bytes.as_slice()).expect("ONNX");
    let entry = file.metadata_props.iter_mut().find(|e| e.key == key).expect("the key");
    let mut json: Json = serde_json::from_str(&entry.value).expect("JSON");
    edit(&mut json);
    entry.value = json.to_string();
    let bytes = file.encode_to_vec();
    model.sha256 = sha256(&bytes);
    load_bytes(&model, &bytes, &sources, BUDGET, &Monotonic::start()).map(|_| ())
}

fn refused(key: &str, words: &str, edit: impl FnOnce(&mut Json)) {
    let error = edited(key, edit).expect_err(words);
    assert_eq!(error.refusal, Refusal::BadContract, "{error}");
    assert!(error.to_string().contains(words), "'{words}' is not in: {error}");
}

#[test]
fn modes_that_do_not_fit_are_refused() {
    edited("plc.modes", |_| {}).expect("unchanged it loads");
    refused("plc.modes", "plc.modes", |m| m["modes"] = Json::from(3));
    refused("plc.modes", "0 modes", |m| m["modes"] = Json::Array(Vec::new()));
    refused("plc.modes", "17 modes", |m| m["modes"] = vec![m["modes"][0].clone(); 17].into());
    refused("plc.modes", "7 means", |m| {
        m["mean"].as_array_mut().expect("a list").pop();
    });
    refused("plc.modes", "not above 0", |m| m["std"][2] = 0.0.into());
    refused("plc.modes", "radius 0", |m| m["modes"][1]["radius"] = 0.0.into());
    refused("plc.modes", "centroid of 7", |m| {
        m["modes"][1]["centroid"].as_array_mut().expect("a list").pop();
    });
    refused("plc.modes", "other outputs", |m| m["modes"][0]["outputs"][1]["name"] = "NO2".into());
    refused("plc.modes", "factor", |m| m["modes"][0]["outputs"][1]["factor"] = 0.9.into());
    refused("plc.modes", "factor", |m| m["modes"][0]["outputs"][1]["factor"] = 101.0.into());
    refused("plc.modes", "twice", |m| m["modes"][1]["name"] = m["modes"][0]["name"].clone());
    refused("plc.modes", "1 to 64", |m| m["modes"][1]["name"] = "".into());
}

#[test]
fn deciles_must_rise_and_be_nine() {
    edited("plc.inputs", |m| m[3]["deciles"] = Json::Null).expect("they are optional");
    refused("plc.inputs", "deciles", |m| m[3]["deciles"][8] = (-1e9).into());
    refused("plc.inputs", "deciles", |m| m[3]["deciles"] = vec![1.0; 8].into());
}
