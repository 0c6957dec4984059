//! Why: a recording that is missing or unreadable when it is needed is worse than none. The shipped program beside the simulated plant over real
//! sockets: ended in order, killed, and on a disk that takes no more.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Plant, Program, SECRETS, with_line};
use flyball_core::mode::Mode;
use flyball_core::record::ScanRecord;
use flyball_recorder::Recording;
use flyball_rig::plc::PlcOptions;
use nix::sys::signal::Signal;

/// The plant with a configuration that closes its chunks every second (ten scans at this time scale).
fn plant() -> Plant {
    let plant = Plant::start(PlcOptions::default());
    let text = fs::read_to_string(&plant.config).expect("there");
    let table = "[recorder]\nflush_every = \"1 s\"\nkeyframe_every = 20\nmin_free = \"0 B\"\n";
    fs::write(&plant.config, with_line(&text, "[timing]", &format!("{table}\n[timing]"))).expect("written");
    plant
}

fn folder(plant: &Plant) -> PathBuf {
    plant.folder.path().join("recordings")
}

/// Every scan that can be read, and what is told beside.
fn read(folder: &Path) -> (Vec<ScanRecord>, Vec<String>) {
    let recording = Recording::open(folder).expect("opens");
    let (mut records, mut faults) = (Vec::new(), Vec::new());
    for scan in recording.scans() {
        match scan {
            Ok(scan) => records.push(scan.decode().expect("the record of this version")),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    (records, faults)
}

/// Numbers go up by one, skipped scans aside.
fn assert_no_hole(records: &[ScanRecord]) {
    for pair in records.windows(2) {
        let (a, b) = (&pair[0].cycle, &pair[1].cycle);
        assert_eq!(b.number, a.number + 1 + u64::from(b.missed));
    }
}

#[test]
fn a_run_that_was_ended_is_whole_and_brings_everything_along() {
    let plant = plant();
    let mut program = plant.run(&[]);
    plant.close_the_loop(&program);
    program.signal(Signal::SIGTERM);
    assert!(program.end().success(), "{}", program.log());
    let (records, faults) = read(&folder(&plant));
    assert_eq!(faults, [""; 0]);
    assert_no_hole(&records);
    assert!(records.first().is_some_and(|r| !r.keyframe.is_empty()), "a recording begins with a keyframe");
    assert!(records.iter().filter(|r| !r.keyframe.is_empty()).count() > 1);
    assert_eq!(records.iter().map(|r| r.mode.actual).max_by_key(|m| *m as u8), Some(Mode::ClosedLoop));
    assert!(records.iter().any(|r| r.mvs[0].guard.written.is_some()), "a write is in the record");

    let recording = Recording::open(&folder(&plant)).expect("opens");
    let lines: Vec<_> = recording.lines().map(|l| l.expect("whole").1.text).collect();
    assert!(lines.iter().any(|l| l.contains("mode ADVISORY -> CLOSED LOOP")), "{lines:?}");
    let header = recording.header();
    assert!(header.budget.is_some_and(|(solve, scan)| solve >= scan && scan > 0), "{header:?}");
    assert_eq!((header.utc.scale, header.read_only, header.models.len()), (common::SCALE, false, 2));
    let files: BTreeSet<_> = recording.attachments().expect("whole").into_iter().map(|a| a.name).collect();
    assert_eq!(files.len(), 3, "configuration and two models: {files:?}");

    // No secret is in the file, in whatever form.
    for path in fs::read_dir(folder(&plant)).expect("listed") {
        let bytes = fs::read(path.expect("entry").path()).expect("read");
        for (_, secret) in SECRETS {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} is in the recording");
        }
    }
}

#[test]
fn a_killed_run_is_readable_up_to_its_open_chunk() {
    let plant = plant();
    let mut program = plant.run(&[]);
    plant.close_the_loop(&program);
    // A recording can be read while it is written.
    let before = read(&folder(&plant)).0.len();
    program.kill();
    let (records, faults) = read(&folder(&plant));
    assert!(records.len() >= before && before > 0, "{} after {before}", records.len());
    assert_no_hole(&records);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("cut off at byte"), "{faults:?}");
    let last = records.last().map_or(0, |r| r.heartbeat);
    println!(
        "{} scans; the PLC saw heartbeat {}, the recording ends with {last}",
        records.len(),
        plant.truth().app.ui_hb
    );

    // The next run begins a file of its own beside it.
    let program = plant.run(&[]);
    program.said(&["PLC heartbeat is alive"]);
    program.wait("a second file", || Recording::open(&folder(&plant)).is_ok_and(|r| r.files().len() == 2));
}

#[test]
fn a_disk_that_takes_no_more_stops_the_recording_and_nothing_else() {
    let plant = plant();
    // The kernel refuses every write beyond 96 KiB of a file: EFBIG, a real error of a real write.
    let mut command = Command::new("bash");
    let script = "trap '' XFSZ; ulimit -f 96; exec \"$0\" run \"$1\" --time-scale 10";
    command.args(["-c", script, env!("CARGO_BIN_EXE_flyball")]).arg(&plant.config);
    command.envs(SECRETS).env_remove("FLYBALL_LOG").env("NO_COLOR", "1");
    let mut program = Program::spawn(command);
    program.said(&["NOT RECORDING", "File too large"]);
    program.said(&["records again", "scans were not recorded"]);
    plant.close_the_loop(&program);
    assert!(!program.log().contains("shed"), "{}", program.log());
    program.signal(Signal::SIGTERM);
    assert!(program.end().success(), "{}", program.log());
    let (records, faults) = read(&folder(&plant));
    assert!(!records.is_empty());
    assert!(faults.iter().all(|f| f.contains("cut off at byte")), "cut off where it was good: {faults:?}");
    let survey = Recording::open(&folder(&plant)).expect("opens").survey();
    assert!(!survey.gaps.is_empty(), "the holes are seen");
}
