//! Why: a run over real sockets must follow from its recording to the last bit, whoever asks why the loop was left must get the right answer, and
//! a recording that was touched must say so.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Plant, with_line};
use flyball_rig::plc::PlcOptions;
use nix::sys::signal::Signal;

/// Answer and exit code of the shipped program.
fn flyball(arguments: &[&str]) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_flyball")).args(arguments).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.code().expect("ends by itself"))
}

/// A run that closes the loop and sheds, because the PLC goes to STOP; its recordings.
fn recorded() -> (Plant, PathBuf) {
    let plant = Plant::start(PlcOptions::default());
    let text = fs::read_to_string(&plant.config).expect("there");
    let table = "[recorder]\nflush_every = \"1 s\"\nkeyframe_every = 20\nmin_free = \"0 B\"\n\n[timing]";
    fs::write(&plant.config, with_line(&text, "[timing]", table)).expect("written");
    let mut program = plant.run(&[]);
    plant.close_the_loop(&program);
    plant.pass(Duration::from_secs(60));
    plant.rig.with_plc(flyball_rig::plc::SimPlc::stop);
    program.said(&["left CLOSED LOOP"]);
    plant.pass(Duration::from_secs(30));
    program.signal(Signal::SIGTERM);
    assert!(program.end().success(), "{}", program.log());
    let folder = plant.folder.path().join("recordings");
    (plant, folder)
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder).expect("listed").map(|e| e.expect("entry").path());
    let file = files.next().expect("one recording");
    assert_eq!(files.next(), None, "one run, one file");
    file
}

#[test]
fn a_run_over_sockets_is_derived_again_explained_and_compared() {
    let (plant, folder) = recorded();
    let file = only_file(&folder);
    let path = |p: &Path| p.to_str().expect("UTF-8").to_owned();

    let (text, code) = flyball(&["replay", &path(&folder)]);
    println!("{text}");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("equal to the last bit") && !text.contains("could not be compared"), "{text}");

    let (text, code) = flyball(&["why", &path(&folder)]);
    println!("{text}");
    assert_eq!(code, 0, "{text}");
    for sentence in [
        "CLOSED LOOP was left on",
        "the PLC's heartbeat stopped",
        "First cause: the PLC's values are still read and Good, but its program does not run: the PLC is in STOP",
        "60 s before",
        "mode CLOSED LOOP -> ADVISORY",
    ] {
        assert!(text.contains(sentence), "{sentence}\n{text}");
    }
    let (text, code) = flyball(&["why", &path(&folder), "soon"]);
    assert!(code == 2 && text.contains("\"soon\" is no time: write 03:12"), "{text}");

    // The same model again changes nothing; a smaller move does.
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/examples/r101_cb.onnx");
    let (text, code) = flyball(&["replay", &path(&folder), "--model", &path(&model)]);
    assert_eq!(code, 0, "{text}");
    let feed = |text: &str| text.lines().find(|l| l.starts_with("next move of feed ")).expect("a line").to_owned();
    assert!(feed(&text).contains("equal throughout"), "{text}");
    let slower = plant.config.with_file_name("slower.toml");
    let text = fs::read_to_string(&plant.config).expect("there");
    let (fast, slow) = ("up = \"2 l/h\"", "up = \"1 l/h\"");
    assert!(text.contains(fast), "{text}");
    fs::write(&slower, text.replace(fast, slow)).expect("written");
    let report = plant.folder.path().join("report");
    let (text, code) = flyball(&["replay", &path(&folder), "--config", &path(&slower), "--report", &path(&report)]);
    println!("{text}");
    assert_eq!(code, 0, "{text}");
    assert!(!feed(&text).contains("equal throughout"), "{text}");
    assert!(fs::read_to_string(report.join("report.html")).expect("written").contains("<svg"));

    // One byte in the middle.
    let mut bytes = fs::read(&file).expect("read");
    let middle = bytes.len() * 2 / 3;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("written");
    let (text, code) = flyball(&["replay", &path(&folder)]);
    println!("{text}");
    assert!(text.contains("The recording is not whole"), "{code} {text}");
}

#[test]
fn what_is_no_recording_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes.mcap");
    fs::write(&file, "remember the milk").expect("written");
    for command in ["replay", "why"] {
        let (text, code) = flyball(&[command, file.to_str().expect("UTF-8")]);
        assert!(
            code == 2 && text.starts_with(&format!("flyball {command}: ")) && text.contains("notes.mcap"),
            "{text}"
        );
        let (text, code) = flyball(&[command, "/nowhere/at/all"]);
        assert_eq!(code, 2, "{text}");
    }
}
