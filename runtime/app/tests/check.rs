//! Why: `flyball check` as a user meets it: exit codes 0, 1, 2, every error at once, JSON for pipelines, and a summary with wire
//! addresses.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples").join(name)
}

fn flyball(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flyball")).args(arguments).output().expect("the program runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_good_file_is_explained_with_its_wire_addresses() {
    let file = example("r101.toml");
    let output = flyball(&["check", file.to_str().expect("UTF-8")]);
    let text = text(&output);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{text}");
    for wanted in [
        "R101-OPT",
        "deadline 500 ms",
        "40101 -> FC3, start 100, 2 registers, unit 1, CDAB",
        "feed         80 to 200 l/h",
        "PLC heartbeat lost after",
        "maximise",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
}

#[test]
fn a_broken_file_gives_every_error_and_exit_code_2() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("broken.toml");
    let good = std::fs::read_to_string(example("turbine.toml")).expect("example");
    let broken = good.replace("\"degC\"", "\"degF2\"").replace("deadline = \"500 ms\"", "deadline = \"5 bananas\"");
    assert_ne!(good, broken);
    std::fs::write(&file, broken).expect("writable");
    let output = flyball(&["check", file.to_str().expect("UTF-8")]);
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    for wanted in ["degF2", "bananas", "check again"] {
        assert!(shown.contains(wanted), "{wanted} is missing in\n{shown}");
    }
    let json = flyball(&["check", "--json", file.to_str().expect("UTF-8")]);
    let rows: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert!(rows.as_array().is_some_and(|r| r.len() >= 2), "{rows}");
    assert_eq!(json.status.code(), Some(2));
}

#[test]
fn the_model_of_another_plant_is_refused_in_its_line() {
    let folder = tempfile::tempdir().expect("folder");
    let good = std::fs::read_to_string(example("turbine.toml")).expect("example");
    let model = example("../../models/examples/r101_cb.onnx").canonicalize().expect("model");
    // Without its hash, so that nothing but the contract inside the file tells them apart.
    let lines = good.lines().filter_map(|line| match line.split_once('=') {
        Some((key, _)) if key.trim() == "file" => Some(format!("file = {:?}", model.to_str().expect("UTF-8"))),
        Some((key, _)) if key.trim() == "sha256" => None,
        _ => Some(line.to_owned()),
    });
    let file = folder.path().join("turbine.toml");
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("writable");
    let output = flyball(&["check", "--json", file.to_str().expect("UTF-8")]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(2), "{rows}");
    let row = rows.as_array().and_then(|r| r.iter().find(|r| r["severity"] == "error")).expect("an error");
    assert!(row["subject"].as_str().is_some_and(|s| s.starts_with("model ")), "{rows}");
    assert!(row["line"].as_u64().is_some_and(|line| line > 100), "{rows}");
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_name() {
    let output = flyball(&["check", "no-such-plant.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("no-such-plant.toml"), "{}", text(&output));
}
