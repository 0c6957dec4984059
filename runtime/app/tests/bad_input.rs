//! Why: who makes a mistake is told what was found, where, and what to do next; who can run all the same, runs.
//!
//! Faults of the file end the program with exit code 2 before anything is connected. Faults of the world are said in the log with the next
//! step, and the program goes on trying in ADVISORY.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use common::{Plant, Program, SECRETS, command, free_port, r101, with_line};
use flyball_rig::plc::PlcOptions;
use nix::sys::signal::Signal;

/// Runs a file that must be refused; returns what was said.
fn refused(folder: &Path, name: &str, text: &str, prepare: impl FnOnce(&mut Command)) -> String {
    let file = folder.join(format!("{name}.toml"));
    fs::write(&file, text).expect("configuration");
    let mut command = command(&file, &[]);
    prepare(&mut command);
    let mut program = Program::spawn(command);
    let status = program.end();
    let said = program.log();
    println!("--- {name}: exit code {:?}\n{said}", status.code());
    assert_eq!(status.code(), Some(2), "{name}:\n{said}");
    said
}

/// White space of a rendered report does not matter: long lines are wrapped.
fn plain(text: &str) -> String {
    text.replace(['|', '\u{2502}'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_wrong_file_is_refused_with_place_and_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    let good = r101(free_port(), free_port(), free_port());
    let replace = |old: &str, new: &str| {
        assert!(good.contains(old), "the example has no {old:?}");
        good.replacen(old, new, 1)
    };
    let table: [(&str, String, &[&str]); 5] = [
        ("malformed", replace("[timing]", "[timing"), &["malformed.toml:", "unclosed table", "]"]),
        ("unit", replace("unit     = \"l/h\"", "unit     = \"l/hr\""), &["unit.toml:", "FI-101", "l/hr", "l/h"]),
        (
            "overlap",
            replace("gc: 40103 uint32", "gc: 40102 uint32"),
            &["overlap.toml:", "40102-40103", "40101-40102", "overlaps tag AI-101", "one place for one value"],
        ),
        ("mismatch", replace("TK    = { tag", "T_K   = { tag"), &["cB", "T_K", "TK"]),
        ("hash", with_line_in(&good, "model.cB", "sha256"), &["cB", "sha256", "r101_cb.onnx"]),
    ];
    for (name, text, parts) in table {
        let said = plain(&refused(folder.path(), name, &text, |_| {}));
        for part in parts {
            assert!(said.contains(part), "{name}: {part:?} is missing in\n{said}");
        }
    }
    for (variable, whose) in [(SECRETS[0].0, "plc1"), (SECRETS[1].0, "hmi_r101")] {
        let said = plain(&refused(folder.path(), variable, &good, |c| {
            c.env_remove(variable);
        }));
        assert!(said.contains(variable) && said.contains(whose), "{said}");
        assert!(!SECRETS.iter().any(|(_, secret)| said.contains(secret)), "no secret is shown: {said}");
    }
}

/// The text with the hash of one model replaced.
fn with_line_in(text: &str, table: &str, key: &str) -> String {
    let (before, after) = text.split_once(&format!("[{table}]")).expect("the table");
    let line = after.lines().find(|l| l.starts_with(key)).expect("the key");
    format!("{before}[{table}]{}", after.replacen(line, &format!("{key} = \"{}\"", "0".repeat(64)), 1))
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("nowhere.toml");
    let mut program = Program::start(&file, &[]);
    let status = program.end();
    let said = program.log();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[test]
fn a_used_port_is_said_and_the_loop_goes_on_without_the_server() {
    let plant = Plant::start(PlcOptions::default());
    let taken = std::net::TcpListener::bind(("127.0.0.1", plant.port)).expect("the port was free");
    let mut program = plant.run(&[]);
    let said = program.said(&["cannot listen on", &plant.port.to_string()]);
    println!("{said}");
    assert!(said.contains("Change the port or stop it") && said.contains("the loop goes on"), "{said}");
    program.said(&["PLC heartbeat is alive"]);
    assert_eq!(plant.truth().app.i_mode, 1);
    drop(taken);
    program.service(1);
    println!("the server came by itself once the port was free");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().code(), Some(0), "{}", program.log());
}

#[test]
fn an_unreachable_plc_is_named_and_tried_again() {
    let mut plant = Plant::start(PlcOptions::default());
    plant.rig.stop_servers();
    let mut program = plant.run(&[]);
    let (opcua, modbus) = (plant.rig.opcua_port().to_string(), plant.rig.analyser().port().to_string());
    println!("{}", program.said(&["plc1", "no answer from", &opcua, "check address", "it is tried again"]));
    println!("{}", program.said(&["gc", &modbus, "check address"]));
    plant.pass(std::time::Duration::from_secs(30));
    assert!(!program.log().contains("CLOSED LOOP"), "{}", program.log());
    plant.rig.start_servers().expect("same ports");
    program.said(&["connection plc1: up"]);
    program.said(&["connection gc: up"]);
    program.said(&["PLC heartbeat is alive"]);
    assert_eq!(plant.truth().app.i_mode, 1, "ADVISORY");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().code(), Some(0), "{}", program.log());
}

#[test]
fn a_refused_certificate_is_named_with_the_folder_that_trusts_it() {
    let plant = Plant::start(PlcOptions::default());
    let client = plant.folder.path().join("pki/client");
    let trusted = fs::read_dir(client.join("trusted")).expect("folder").next().expect("a file").expect("entry");
    fs::remove_file(trusted.path()).expect("not trusted any more");
    let program = plant.run(&[]);
    let said = program.said(&["plc1", "is not trusted"]);
    println!("{said}");
    let rejected = client.join("rejected").join(trusted.file_name());
    assert!(said.contains(&rejected.display().to_string()), "names the file: {said}");
    assert!(said.contains(&client.join("trusted").display().to_string()), "names the folder: {said}");
    // What the sentence says is enough.
    fs::rename(rejected, trusted.path()).expect("as the sentence says");
    program.said(&["connection plc1: up"]);
}

#[test]
fn a_wrong_password_is_said() {
    let plant = Plant::start(PlcOptions::default());
    let mut command = command(&plant.config, &["--time-scale", "10"]);
    command.env(SECRETS[0].0, "guess");
    let program = Program::spawn(command);
    let said = program.said(&["plc1", "apc_r101", "password"]);
    println!("{said}");
    assert!(!said.contains("guess"), "{said}");
}

#[test]
fn missing_rights_are_said_and_it_runs_all_the_same() {
    let plant = Plant::start(PlcOptions::default());
    // Root loses the capabilities, everybody else the limits.
    let mut command = if fs::metadata("/proc/self").expect("proc").uid() == 0 {
        let mut c = Command::new("setpriv");
        c.args(["--bounding-set", "-sys_nice,-ipc_lock", "--inh-caps", "-sys_nice,-ipc_lock"]);
        c
    } else {
        let mut c = Command::new("sh");
        c.args(["-c", "ulimit -r 0; ulimit -l 64; exec \"$0\" \"$@\""]);
        c
    };
    command.arg(env!("CARGO_BIN_EXE_flyball")).arg("run").arg(&plant.config).args(["--time-scale", "10"]).envs(SECRETS);
    let program = Program::spawn(command);
    let said = program.said(&["SCHED_FIFO 80 refused"]);
    println!("{said}");
    for part in ["CAP_SYS_NICE is missing", "running as normal priority", "setcap cap_sys_nice", "docs/OPERATING.md"] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
    println!("{}", program.said(&["Locking memory refused", "memlock"]));
    program.said(&["PLC heartbeat is alive"]);
}

#[test]
fn the_table_of_the_example_is_the_one_that_is_tested() {
    // A helper that replaced nothing would let every case above pass for the wrong reason.
    let text = r101(1, 2, 3);
    assert!(text.contains("opc.tcp://127.0.0.1:1\"") && text.contains("opc.tcp://127.0.0.1:3\""));
    assert_ne!(with_line(&text, "port       = ", "port = 9"), text);
}
