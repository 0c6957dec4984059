//! Why: a latency certificate is worth what it refuses. The command on real sockets under stress, and a loop that stays open until its
//! certificate holds.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Plant, with_line};
use flyball::certify::certificate::{Certificate, Held, hash};
use flyball::certify::identity::{MadeFor, MadeOn};
use flyball::certify::verdict::{Run, Verdict, Word};
use flyball::cli::Against;
use flyball::timing::Timing;
use flyball_machine::extreme::estimate;
use flyball_rig::plc::PlcOptions;

/// The worked example with a deadline that lets the plant run ten times as fast, in ADVISORY: on a busy machine it may never close.
fn fast_example(folder: &Path) -> std::path::PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples");
    let mut text = fs::read_to_string(examples.join("r101.toml")).expect("the example");
    text = text.replace("\"../../models/", &format!("\"{}/", examples.join("../../models").display()));
    for (old, new) in [
        ("deadline     = ", "deadline     = \"100 ms\""),
        ("highest_mode = ", "highest_mode = \"advisory\""),
        ("stage_budget = ", ""),
        ("stop_after     = ", "stop_after     = \"20 ms\""),
    ] {
        text = with_line(&text, old, new);
    }
    let file = folder.join("r101.toml");
    fs::write(&file, text).expect("written");
    file
}

#[test]
fn a_short_measurement_is_inconclusive_and_its_certificate_says_what_was_seen() {
    let folder = tempfile::tempdir().expect("folder");
    let file = fast_example(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.args(["certify", "--minutes", "0.1", "--stress", "1"]).arg(&file).env_remove("FLYBALL_LOG");
    let output = command.output().expect("the program runs");
    let (said, logged) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}\n{logged}");
    for wanted in ["pace 10", "too short for a verdict", "optimise", "r101.cert.toml"] {
        assert!(said.contains(wanted), "{wanted} is missing in\n{said}");
    }
    let text = fs::read_to_string(folder.path().join("r101.cert.toml")).expect("the certificate");
    let held = Held::read(&text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    assert_ne!(held.verdict, Word::Pass, "{text}");
    assert!(held.reasons.iter().any(|r| r.contains("blocks are too few")), "{:?}", held.reasons);
    let config = flyball_config::load(&file).config.expect("accepted");
    assert_eq!(held.made_for, MadeFor::of(&config));
    let table: toml::Table = text.parse().expect("TOML");
    let run = &table["run"];
    // Sixty periods of 100 ms in 6 s, and what passes until the end is seen; a loaded machine may skip some.
    let cycles = run["cycles"].as_integer().expect("a number");
    assert!((1..=600).contains(&cycles), "{text}");
    for stage in ["freeze", "condition", "guard", "flush", "total", "jitter"] {
        let stage = &table["stage"][stage];
        let us = |key: &str| stage[key].as_float().expect("a number");
        assert!(
            us("p50_us") <= us("p99_us") && us("p99_us") <= us("p999_us") && us("p999_us") <= us("max_us"),
            "{stage:?}"
        );
        let counted: i64 =
            stage["up_to_us"].as_array().expect("a list").iter().map(|b| b[1].as_integer().expect("a count")).sum();
        assert_eq!(Some(counted), stage["count"].as_integer(), "the histogram holds every cycle: {stage:?}");
    }
    assert_eq!(table["seal"]["sha256"].as_str(), Some(&*hash(text.split("[seal]\n").next().expect("a body"))));
}

#[test]
fn the_rig_plays_only_what_it_has() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples");
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    let output = command.arg("certify").arg(examples.join("modbus.toml")).output().expect("the program runs");
    let logged = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{logged}");
    assert!(logged.contains("the built-in rig plays R-101 only"), "{logged}");
}

/// A certificate of this machine for a configuration, as `flyball certify` would have written it.
fn good_certificate(file: &Path) -> String {
    let config = flyball_config::load(file).config.expect("accepted");
    let request = config.timing.cpu;
    let machine = flyball::realtime::machine();
    let granted = std::thread::spawn(move || flyball::realtime::apply(&request)).join().expect("never panics");
    let (deadline, unix) = (config.timing.deadline, std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970"));
    let run = Run {
        against: Against::Rig,
        seconds: 600,
        stress: 2,
        pace: 1,
        cycles: 1,
        closed: 1,
        missed: 0,
        deadline,
        limit: deadline,
    };
    Certificate {
        application: "R101-OPT",
        created: unix.as_secs() as i64,
        made_for: &MadeFor::of(&config),
        made_on: &MadeOn::of(&machine, &granted),
        run: &run,
        timing: &Timing::new(),
        estimate: &estimate(&[], 1, &[], 1),
        verdict: &Verdict { word: Word::Pass, reasons: vec!["made for a test".into()] },
    }
    .text()
}

#[test]
fn the_loop_stays_open_until_the_demanded_certificate_holds() {
    let plant = Plant::start(PlcOptions::default());
    let text = fs::read_to_string(&plant.config).expect("the configuration");
    // The core is not asked for: a machine with one core would refuse it in other words.
    let text = with_line(&text, "cpu          = ", "certificate = \"r101.cert.toml\"");
    fs::write(&plant.config, text).expect("written");
    let place = plant.folder.path().join("r101.cert.toml");
    let good = good_certificate(&plant.config);

    fs::write(&place, good.replace("seconds        = 600", "seconds        = 6000")).expect("written");
    {
        let program = plant.run(&[]);
        program.said(&["r101.cert.toml does not hold: its contents do not belong to its seal. CLOSED LOOP is refused, ADVISORY is not affected."]);
        program.said(&["model cB.cB is usable"]);
        plant.switch(true);
        let from = plant.truth().time;
        plant.pass(Duration::from_secs(120));
        let seen = plant.watch.since(from);
        assert!(seen.iter().all(|s| !s.closed && s.mode < 2), "it must stay in ADVISORY\n{}", program.log());
        assert!(
            seen.iter().any(|s| s.wanted == 2) && seen.iter().any(|s| s.mode == 1),
            "the PLC has asked, ADVISORY runs"
        );
        plant.switch(false);
    }

    fs::write(&place, good).expect("written");
    let program = plant.run(&[]);
    program.said(&["latency certificate", "r101.cert.toml", "holds"]);
    plant.close_the_loop(&program);
}
