//! T2, T4, S4: the control process is starved, its log is blocked, its name server hangs, it is killed in the middle of a write. Why: what
//! a machine does to a process must never become a late write, a torn one, or a scan that waits.

#[path = "../../../hil-tests/src/campaign.rs"]
mod campaign;
mod common;

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use campaign::Row;
use common::network::{Network, Over};
use common::{Plant, Program, Seen, beats, command, lives, send, wait_until, with_line};
use flyball_rig::gate::link::shed;
use flyball_rig::plc::PlcOptions;
use flyball_rig::proxy::Line;
use nix::sys::signal::Signal;

/// The repository's root, for the fault table.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn returning() -> PlcOptions {
    let mut options = PlcOptions::default();
    options.gate.link.x_return = true;
    options
}

/// The program's counter goes up for each scan; a write that comes after a newer one makes it step back.
fn backwards(seen: &[Seen]) -> usize {
    seen.windows(2).filter(|w| (w[1].heartbeat.wrapping_sub(w[0].heartbeat) as i16) < 0).count()
}

#[test]
fn t2_process_starved() {
    const STOP: Duration = Duration::from_secs(2);
    const SKIPPED_MIN: u32 = 15;
    let plant = Plant::start(returning());
    let mut program = plant.run(&[]);
    plant.close_the_loop(&program);
    program.signal(Signal::SIGSTOP);
    thread::sleep(STOP);
    assert!(!plant.truth().link.x_closed_loop, "20 s of process time: the PLC has shed by itself");
    let offers = plant.truth().mvs.map(|mv| mv.offers);
    let stopped = plant.truth().time;
    program.signal(Signal::SIGCONT);
    // A busy machine may have skipped a scan before; the gap of the stop is the one that counts.
    let skipped = || {
        let lines = program.lines();
        let of = |l: &String| l.split_once(" scans skipped")?.0.rsplit(' ').next()?.parse::<u32>().ok();
        lines.iter().filter_map(of).max().unwrap_or(0)
    };
    program.wait("the skipped scans are counted", || skipped() >= SKIPPED_MIN);
    program.said(&["mode CLOSED LOOP -> ADVISORY"]);
    program.wait("the PLC hears it again", || plant.truth().link.x_link_ok);
    plant.pass(Duration::from_secs(60));
    let truth = plant.truth();
    assert_eq!((truth.link.i_mode_req, truth.app.i_mode), (2, 1), "the PLC asks, the program stays in ADVISORY");
    assert_eq!(truth.mvs.map(|mv| mv.offers), offers, "nothing of before the stop is offered after it");
    assert!(plant.watch.since(stopped).iter().all(|s| !s.closed));
    assert_eq!(backwards(&plant.watch.since(Duration::ZERO)), 0, "no old write after a newer one");
    plant.switch(false);
    plant.pass(Duration::from_secs(10));
    plant.operate_until_it_moves(&program);
    let skipped = skipped();
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().code(), Some(0), "{}", program.log());
    println!("{skipped} scans skipped in one gap; {}", program.log().lines().last().unwrap_or_default());
    Row {
        id: "T2",
        fault: "control process stopped for 20 cycles (SIGSTOP, SIGCONT), loop closed",
        expected: "misses counted, late result not written, re-arm",
        observed: format!(
            "at least {SKIPPED_MIN} scans counted as skipped in one gap, PLC shed meanwhile, no setpoint afterwards until the operator's switch"
        ),
    }
    .lay();
}

/// A program whose output nobody reads. Dropping it ends it by its id.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        // Both are errors when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets `more` heartbeats arrive at the PLC and looks that each was one more than the last.
fn beats_on(plant: &Plant, what: &str, more: usize) {
    let from = plant.truth().time;
    wait_until(what, || beats(&plant.watch.since(from)).0.len() >= more);
    assert_eq!(backwards(&plant.watch.since(from)), 0);
}

#[test]
fn t4_log_blocked_disk_full_name_server_hangs() {
    const SCANS: usize = 100;
    // Blocked: the pipe is full before the loop is looked at.
    let plant = Plant::start(PlcOptions::default());
    let mut unread = command(&plant.config, &["--time-scale", "10"]);
    unread.env("FLYBALL_LOG", "trace").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut unread = Unread(unread.spawn().expect("starts"));
    wait_until("heartbeats", || beats(&plant.watch.since(Duration::ZERO)).0.len() > 5);
    plant.pass(Duration::from_secs(100));
    beats_on(&plant, "scans while nobody reads the log", SCANS);
    assert!(unread.0.try_wait().expect("our own child").is_none(), "it runs");
    // It had more to say than the pipe takes (64 KiB): somebody who reads now finds a full pipe and the count of what was lost.
    let mut stderr = unread.0.stderr.take().expect("pipe");
    let reader = thread::spawn(move || {
        let (mut all, mut room) = (Vec::new(), vec![0; 1 << 16]);
        while let Ok(n @ 1..) = stderr.read(&mut room) {
            all.extend_from_slice(&room[..n]);
        }
        String::from_utf8_lossy(&all).into_owned()
    });
    plant.pass(Duration::from_secs(20));
    send(unread.0.id(), Signal::SIGTERM);
    assert_eq!(unread.0.wait().expect("our own child").code(), Some(0));
    let said = reader.join().expect("no panic");
    assert!(said.contains("log lines lost: they were not taken"), "{} bytes were said", said.len());
    drop(plant);

    // Full: every write of a line fails.
    let plant = Plant::start(PlcOptions::default());
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let mut command_ = command(&plant.config, &["--time-scale", "10"]);
    command_.env("FLYBALL_LOG", "trace").stdin(Stdio::null()).stdout(full()).stderr(full());
    let mut on_full_disk = Unread(command_.spawn().expect("starts"));
    beats_on(&plant, "scans on a full disk", SCANS);
    send(on_full_disk.0.id(), Signal::SIGTERM);
    assert_eq!(on_full_disk.0.wait().expect("our own child").code(), Some(0), "it ends in order");
    drop(plant);

    // Names: the analyser is looked up under a name that nobody knows, with a resolver that may take its time.
    let plant = Plant::start(PlcOptions::default());
    let text = fs::read_to_string(&plant.config).expect("configuration");
    fs::write(&plant.config, with_line(&text, "host       = ", "host       = \"analyser.invalid\"")).expect("written");
    let mut slow = command(&plant.config, &["--time-scale", "10"]);
    slow.env("RES_OPTIONS", "timeout:30 attempts:5");
    let mut program = Program::spawn(slow);
    beats_on(&plant, "scans while a name is looked up", SCANS);
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().code(), Some(0), "{}", program.log());
    Row {
        id: "T4",
        fault: "log: a pipe that nobody reads, and a full disk; a name that is not resolved",
        expected: "control cycle unaffected",
        observed: format!(
            "{SCANS} heartbeats reach the PLC in each case, lines that were not taken are counted, the program ends in order"
        ),
    }
    .lay();
}

#[test]
fn s4_kill_in_mid_write() {
    const TIMES: usize = 2;
    let mut torn = 0;
    for turn in 0..TIMES {
        let plant = Plant::start(returning());
        let network = Network::before(&plant, Over::Modbus);
        let mut program = plant.run(&[]);
        let service = program.service(1);
        plant.close_the_loop(&program);
        // A write of some forty bytes takes 10 ms and more, so that one is under way when the process dies.
        network.plc.set(Line { segment: 8, rate: Some(4_000), ..Line::GOOD });
        let before = network.plc.counts().to_server;
        wait_until("bytes are under way", || network.plc.counts().to_server > before + 20 + 7 * turn as u64);
        program.kill();
        wait_until("the PLC sheds", || !plant.truth().link.x_closed_loop);
        let seen = plant.watch.since(Duration::ZERO);
        let open = seen.iter().rfind(|s| s.closed).map(|s| s.time).expect("it was closed");
        let after = plant.watch.since(open + Duration::from_millis(100));
        assert!(after[0].shed_reason == shed::HEARTBEAT || after[0].shed_reason == shed::APP_MODE, "{:?}", after[0]);
        let limits = [(80.0, 200.0), (105.0, 120.0)];
        for s in &seen {
            for (setpoint, (low, high)) in s.setpoints.iter().zip(limits) {
                assert!((low..=high).contains(setpoint), "torn: {setpoint}");
            }
        }
        torn += seen
            .windows(2)
            .filter(|w| w[0].setpoints.iter().zip(w[1].setpoints).any(|(a, b)| (a - b).abs() > 2.0))
            .count();
        wait_until("the service process ends", || !lives(service));
        drop(network);

        let network = Network::before(&plant, Over::Modbus);
        let restarted = plant.truth().time;
        let program = plant.run(&[]);
        program.said(&["PLC heartbeat is alive"]);
        program.wait("the PLC hears it", || plant.truth().link.x_link_ok);
        plant.pass(Duration::from_secs(30));
        assert_eq!(plant.truth().app.i_mode, 1, "ADVISORY");
        assert!(plant.watch.since(restarted).iter().all(|s| !s.closed));
        drop(program);
        drop(network);
    }
    assert_eq!(torn, 0, "no setpoint jumped");
    Row {
        id: "S4",
        fault: "kill -9 of control while a write is on the wire in pieces; Modbus; twice",
        expected: "PLC sheds, restart comes up in ADVISORY",
        observed: "shed each time, no setpoint torn or outside its limits, ADVISORY for 30 s while the PLC asks for CLOSED LOOP".into(),
    }
    .lay();
}
