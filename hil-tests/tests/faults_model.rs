//! Fault campaign, M: model files that are not what was released, models that leave their domain, and a model exchanged in CLOSED LOOP.

use std::fs;
use std::path::Path;

use flyball::clock::VirtualClock;
use flyball::engines::{SolveBudget, load_with};
use flyball_config::{Config, GainSign, Role, ShadowFile};
use flyball_core::command::Action;
use flyball_core::mode::{Mode, ShedCause};
use flyball_core::optimum::HeldBy;
use flyball_core::record::{Event, ScanRecord};
use flyball_core::sensor::PredictionReason;
use flyball_core::shadow::COMPARED_SAMPLES;
use flyball_hil_tests::campaign::Row;
use flyball_hil_tests::fault::{Stage, left};
use flyball_hil_tests::{engines, example};

fn closed(record: &ScanRecord) -> bool {
    record.mode.actual == Mode::ClosedLoop
}

/// Why a configuration's models are refused.
fn refusal(config: &Config) -> String {
    match load_with(config, &VirtualClock::new(), SolveBudget::iterations(1)) {
        Ok(_) => panic!("{} was loaded", config.models[0].file.display()),
        Err(e) => e.to_string(),
    }
}

/// The example with the soft sensor's file edited; `approved`: its hash is the configuration's, as if somebody had released it.
fn edited(folder: &Path, approved: bool, edit: impl FnOnce(&mut Vec<u8>)) -> Config {
    let mut config = example("r101.toml");
    let mut bytes = fs::read(&config.models[0].file).expect("the example's model");
    edit(&mut bytes);
    let file = folder.join("edited.onnx");
    fs::write(&file, bytes).expect("a folder of our own");
    config.models[0].file = file;
    if approved {
        let said = refusal(&config);
        let hash = said.split("has sha256 ").nth(1).and_then(|rest| rest.get(..64)).unwrap_or_else(|| panic!("{said}"));
        config.models[0].sha256 = hash.into();
    }
    config
}

/// Changes a text inside the file to another of the same length.
fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at =
        bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap_or_else(|| panic!("no '{from}' inside"));
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn m1_a_file_that_is_not_the_released_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut told = Vec::new();
    let mut case = |what: &str, words: &str, config: &Config| {
        let said = refusal(config);
        println!("{what}: {said}");
        assert!(said.contains(words) && said.contains("model cB"), "{what}: {said}");
        told.push(what.to_owned());
    };
    case("wrong hash", "sha256", &edited(folder.path(), false, |b| b[1_000] ^= 1));
    case("cut off", "damaged", &edited(folder.path(), true, |b| b.truncate(b.len() / 2)));
    case("other input", "F_61", &edited(folder.path(), true, |b| replace(b, "\"F_60\"", "\"F_61\"")));
    let mut other = example("r101.toml");
    (other.models[0].file, other.models[0].sha256) = (other.models[1].file.clone(), other.models[1].sha256.clone());
    case("another model", "was trained with", &other);
    let mut huge = example("r101.toml");
    huge.models[0].file = folder.path().join("huge.onnx");
    let file = fs::File::create(&huge.models[0].file).expect("a file");
    file.set_len(65 << 20).expect("a sparse file");
    case("oversized", "64 MiB", &huge);
    // The candidate beside a good model is held to the same rules, before anything starts.
    let bad = edited(folder.path(), false, |b| b[1_000] ^= 1);
    let mut shadow = example("r101.toml");
    shadow.models[0].shadow =
        Some(ShadowFile { file: bad.models[0].file.clone(), sha256: shadow.models[0].sha256.clone() });
    case("shadow with a wrong hash", "sha256", &shadow);
    Row {
        id: "M1",
        fault: "model file cut off, oversized, with another input, another hash, or of another model",
        expected: "refused at start with a sentence that names the model; nothing is loaded",
        observed: format!("refused: {}", told.join(", ")),
    }
    .lay();
}

#[test]
fn m2_golden_vectors_do_not_match() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = edited(folder.path(), true, |bytes| {
        let at = bytes.windows(7).position(|w| w == b"\"out\":[").expect("golden vectors") + 7;
        // Another leading digit of the first answer.
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
    });
    let said = refusal(&config);
    assert!(said.contains("golden vector 0"), "{said}");
    Row {
        id: "M2",
        fault: "model answers its first golden vector with another number",
        expected: "refused at start, the vector and both numbers are told",
        observed: "refused, golden vector 0 named".into(),
    }
    .lay();
}

#[test]
fn m3_outside_the_domain() {
    let outside = |r: &ScanRecord| matches!(r.predictions[0].reason, PredictionReason::OutsideDomain(..));
    let far = |r: &ScanRecord| matches!(r.predictions[0].reason, PredictionReason::FarOutsideDomain(..));
    let mut stage = Stage::at_optimum(61);
    stage.bend("TI-102", |x| x - 5.2);
    let doubt = stage.until("doubt", 120, outside);
    stage.pass(600);
    assert!(closed(stage.scan()), "Uncertain stays in use");
    stage.bend("TI-102", |x| x - 8.0);
    let bad = stage.until("no value", 120, far);
    let (cells, mut moved) = (stage.config.mvs.iter().map(|m| m.write).collect::<Vec<_>>(), false);
    let frozen = stage.until("freeze", 5, |r| r.mvs[0].held_by == HeldBy::Quality || left(r));
    let shed = stage.until("shed", 60, left);
    assert!(matches!(shed.record.mode.shed, Some(ShedCause::CriticalCv(_))));
    stage.watch(60, |r| moved |= cells.iter().any(|c| r.outputs.cell(*c).is_some()));
    assert!(!moved);
    Row {
        id: "M3",
        fault: "inputs outside 99 %, then outside 99.9 % of the training (TI-102 off by 5.2, then 8 degC)",
        expected: "Uncertain after three runs and still in use; then no value, MVs frozen at once, left three scans later",
        observed: format!(
            "Uncertain after {} s, loop stays closed; no value after {} s, frozen after {} s, left after {} s",
            doubt.after, bad.after, frozen.after, shed.after
        ),
    }
    .lay();
}

#[test]
fn m4_wrong_sign_of_a_gain() {
    let mut config = example("r101.toml");
    let cooling = config.cvs.iter_mut().find(|cv| cv.name == "cooling").expect("the example has one");
    assert_eq!(cooling.gains[0].1, GainSign::Negative);
    cooling.gains[0].1 = GainSign::Positive;
    let said = refusal(&config);
    assert!(said.contains("gains of [cv.cooling]") && said.contains("temp"), "{said}");
    Row {
        id: "M4",
        fault: "the map's duty rises with temperature where the engineer's table says it falls",
        expected: "refused at start; CV, MV and sign are named",
        observed: "refused: gains of [cv.cooling], temp".into(),
    }
    .lay();
}

#[test]
fn m5_model_exchanged_in_closed_loop() {
    let mut config = example("r101.toml");
    let model = &config.models[0];
    config.models[0].shadow = Some(ShadowFile { file: model.file.clone(), sha256: model.sha256.clone() });
    let engines = engines(&config).engines;
    let mut stage = Stage::cold(config, engines, VirtualClock::new(), 62);
    stage.close(1);
    let compared = |r: &ScanRecord| r.models[0].shadow.as_ref().map_or(0, |s| s.compared[0].samples);
    stage.until("samples", 40_000, |r| compared(r) >= COMPARED_SAMPLES && closed(r));
    let id = flyball_config::ModelId(0);
    stage.command(Role::Engineer, Action::SwapModel(id, true));
    stage.inject(|_| {});
    let shed = stage.until("shed", 5, left);
    assert_eq!(shed.record.mode.shed, Some(ShedCause::ModelSwapped(id)));
    assert!(shed.record.events.contains(&Event::ModelSwapped(0, true)));
    stage.stays_open(900);
    stage.re_enable();
    let again = stage.until("closing", 600, closed);
    Row {
        id: "M5",
        fault: "an Engineer promotes a shadow in CLOSED LOOP (there is no other way to exchange a model while running)",
        expected: "goes through ADVISORY in that scan; only the operator closes again",
        observed: format!(
            "left after {} s; open for 900 s; closed again {} s after the operator asked",
            shed.after, again.after
        ),
    }
    .lay();
}
