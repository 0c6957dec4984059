//! N1 to N3, N5, N7: the network fails between the real program and the plant's servers. Why: what an outage does to the loop is decided
//! by three parties, link, scan and PLC, and only all of them together show it.
//!
//! The plant's time runs ten times as fast as the clock; all times here are process time, and delays on the line are given in it too.
//! What the program does is counted in completed scans, by the numbers of its own trace.

#[path = "../../../hil-tests/src/campaign.rs"]
mod campaign;
mod common;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use campaign::Row;
use common::network::{Network, Over};
use common::{Plant, Program, SCALE, SECRETS, beats, command, wait_until};
use flyball_rig::gate::link::shed;
use flyball_rig::plc::PlcOptions;
use flyball_rig::proxy::{Door, Line};
use flyball_rig::servers::{RigOptions, RigPlc};

/// The repository's root, for the fault table.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The program's `lost_after` in the example, at 1 s per cycle.
const LOST_AFTER_CYCLES: usize = 10;

/// A closed loop over a line.
struct Case {
    plant: Plant,
    network: Network,
    program: Program,
}

impl Case {
    /// Starts plant, proxies and program; the PLC would return by itself after a shed, which is the harder case.
    fn start(over: Over) -> Self {
        let mut options = PlcOptions::default();
        options.gate.link.x_return = true;
        let plant = Plant::start(options);
        let network = Network::before(&plant, over);
        let mut command = command(&plant.config, &["--time-scale", "10"]);
        command.env("FLYBALL_LOG", "info,flyball::keeper=trace");
        let program = Program::spawn(command);
        Self { plant, network, program }
    }

    fn closed(over: Over) -> Self {
        let case = Self::start(over);
        case.plant.close_the_loop(&case.program);
        case
    }

    /// Lines said so far.
    fn mark(&self) -> usize {
        self.program.lines().len()
    }

    /// Heartbeat that the PLC has: the number of scans that the program had completed when it wrote it.
    fn heartbeat(&self) -> usize {
        usize::from(self.plant.truth().app.ui_hb)
    }

    /// Waits for a line after `mark`.
    fn said_after(&self, mark: usize, parts: &[&str]) -> String {
        let find = || self.program.lines().into_iter().skip(mark).find(|l| parts.iter().all(|p| l.contains(p)));
        self.program.wait(&format!("a line with {parts:?}"), || find().is_some());
        find().expect("just seen")
    }

    /// Waits for a line after `mark` and counts the scans that were completed before it, since the one of this heartbeat. Lines may
    /// come late through the pipe; their order and number do not change by that.
    fn scans_since(&self, heartbeat: usize, mark: usize, parts: &[&str]) -> usize {
        self.said_after(mark, parts);
        let lines = self.program.lines();
        let at = lines.iter().skip(mark).position(|l| parts.iter().all(|p| l.contains(p))).expect("just seen");
        lines[..mark + at].iter().filter(|l| is_scan(l)).count().saturating_sub(heartbeat)
    }

    /// The program has no connection to the PLC that works: everything is well again, but nobody has closed the loop.
    fn stays_open_until_the_operator_closes(&self, offers: [u32; 2]) {
        self.program.wait("the PLC hears the program again", || self.plant.truth().link.x_link_ok);
        let from = self.plant.truth().time;
        self.plant.pass(Duration::from_secs(60));
        let truth = self.plant.truth();
        assert_eq!(
            (truth.link.i_mode_req, truth.app.i_mode),
            (2, 1),
            "the PLC asks, and the program stays in ADVISORY"
        );
        assert!(self.plant.watch.since(from).iter().all(|s| !s.closed && s.mode == 1));
        assert_eq!(truth.mvs.map(|mv| mv.offers), offers, "no setpoint was offered after the outage");
        let mark = self.mark();
        self.plant.switch(false);
        self.plant.pass(Duration::from_secs(10));
        self.plant.switch(true);
        self.said_after(mark, &["mode ADVISORY -> CLOSED LOOP"]);
        self.program.wait("the loop closes", || self.plant.truth().link.x_closed_loop);
    }

    fn offers(&self) -> [u32; 2] {
        self.plant.truth().mvs.map(|mv| mv.offers)
    }
}

/// The same over both protocols, side by side; what each measured.
fn over_both<T: Send>(test: impl Fn(Over) -> T + Sync) -> [T; 2] {
    thread::scope(|scope| {
        let runs = [Over::OpcUa, Over::Modbus].map(|over| {
            scope.spawn({
                let test = &test;
                move || test(over)
            })
        });
        runs.map(|run| run.join().expect("the other protocol failed, see above"))
    })
}

fn is_scan(line: &str) -> bool {
    line.contains(" scan ") && line.contains("started late by")
}

/// Process time on the clock of the proxies.
fn real(process: Duration) -> Duration {
    process / SCALE
}

#[test]
fn n1_cable_pulled() {
    let plc = PlcOptions::default();
    let (timeout, scan) = (Duration::from_millis(u64::from(plc.gate.link.hb_timeout_ms)), plc.scan);
    over_both(|over| {
        let case = Case::closed(over);
        let mark = case.mark();
        case.network.plc.set(Line::CUT);
        let last = case.heartbeat();
        let cycles = case.scans_since(last, mark, &["mode CLOSED LOOP -> ADVISORY"]);
        wait_until("the PLC sheds", || !case.plant.truth().link.x_closed_loop);
        let seen = case.plant.watch.since(Duration::ZERO);
        let last_beat = *beats(&seen).0.last().expect("there were beats");
        let open = seen.iter().find(|s| s.time > last_beat && !s.closed).expect("just seen");
        let took = open.time - last_beat;
        println!("{over:?}: PLC shed {took:?} after the last heartbeat, program in ADVISORY after {cycles} scans");
        assert_eq!(open.shed_reason, shed::HEARTBEAT);
        assert!(took >= timeout - scan && took <= timeout + 2 * scan, "{took:?}");
        assert!(cycles <= LOST_AFTER_CYCLES, "{cycles} scans");

        case.plant.pass(Duration::from_secs(60));
        let offers = case.offers();
        case.network.plc.set(Line::GOOD);
        case.stays_open_until_the_operator_closes(offers);
        assert_eq!(
            case.network.plc.counts().old_to_server,
            0,
            "{over:?}: what was sent before the outage stays unsent"
        );
    });
    Row {
        id: "N1",
        fault: "cable pulled, no FIN, 60 s; OPC UA and Modbus",
        expected: "PLC sheds within heartbeat time-out + 1 scan, program in ADVISORY within `lost_after`, no write after recovery until re-armed",
        observed: format!(
            "PLC sheds at most {} ms after its time-out of {} s, program within {LOST_AFTER_CYCLES} scans; 0 bytes from before the outage \
             reach the PLC, no setpoint until the operator's switch",
            (2 * scan).as_millis(),
            timeout.as_secs()
        ),
    }
    .lay();
}

#[test]
#[ignore = "OPC UA is noticed after its configured time-out, which is longer than 3 cycles of this accelerated rig; run it with --ignored"]
fn n2_half_open() {
    const CYCLES_MAX: usize = 3;
    over_both(|over| {
        let case = Case::closed(over);
        let mark = case.mark();
        case.network.plc.orphan();
        let last = case.heartbeat();
        // The link says it; the scan may never see it down, because the next connection is made at once.
        let cycles = case.scans_since(last, mark, &["link", "down: "]);
        println!("{over:?}: noticed after {cycles} scans");
        assert!(cycles <= CYCLES_MAX, "{cycles}");
        case.said_after(mark, &["link up"]);
    });
    Row {
        id: "N2",
        fault: "half-open connection: the peer vanishes, the socket stays; OPC UA and Modbus",
        expected: "noticed within 3 cycles by the application's time-out, not by TCP keep-alive",
        observed: format!("link down within {CYCLES_MAX} scans, new connection made"),
    }
    .lay();
}

#[test]
fn n3_latency() {
    let case = Case::closed(Over::OpcUa);
    for (round_trip, jitter) in [(50, 20), (200, 50)] {
        let half = real(Duration::from_millis(round_trip / 2));
        case.network.plc.set(Line { delay: half, jitter: real(Duration::from_millis(jitter)), ..Line::GOOD });
        case.plant.pass(Duration::from_secs(20));
        case.plant.operate_until_it_moves(&case.program);
    }
    let mark = case.mark();
    let half = real(Duration::from_millis(250));
    case.network.plc.set(Line { delay: half, jitter: real(Duration::from_millis(100)), ..Line::GOOD });
    // Two writes one after the other, 500 ms each, cannot meet 950 ms.
    let why = case.said_after(mark, &["left CLOSED LOOP: "]);
    println!("500 ms: {why}");
    case.program.wait("the PLC opens its gate", || !case.plant.truth().link.x_closed_loop);
    let offers = case.offers();
    case.plant.pass(Duration::from_secs(60));
    assert_eq!(case.offers(), offers, "late results offer nothing");
    Row {
        id: "N3",
        fault: "latency 50, 200, 500 ms with jitter on each request; OPC UA, deadline 950 ms",
        expected: "late results discarded and counted, the loop opens when the latency does not fit the deadline",
        observed: "works closed at 50 and 200 ms; at 500 ms ADVISORY, no setpoint offered for 60 s".into(),
    }
    .lay();
}

#[test]
#[ignore = "its row is not laid yet: the machine was too busy; run it with --ignored and UPDATE_SNAPSHOTS=1"]
fn n5_flapping() {
    const WINDOW: Duration = Duration::from_secs(200);
    over_both(|over| {
        let case = Case::closed(over);
        let half = real(Duration::from_secs(5));
        case.network.plc.play(vec![(half, Line::CUT), (half, Line::GOOD), (half, Line::RESETS), (half, Line::GOOD)]);
        case.network.plc.reset();
        wait_until("the gate opens", || !case.plant.truth().link.x_closed_loop);
        let offers = case.offers();
        let (from, tried) = (case.plant.truth().time, case.network.plc.counts().attempts);
        let cpu = processor_ticks(case.program.id());
        case.plant.pass(WINDOW);
        let tried = case.network.plc.counts().attempts - tried;
        let cpu = processor_ticks(case.program.id()) - cpu;
        println!("{over:?}: {tried} connections tried in {WINDOW:?}, {cpu} ticks of processor time");
        assert!(u128::from(tried) <= WINDOW.as_millis() / 1_000, "{tried}");
        // 100 ticks a second (USER_HZ): 20 s of real time are 2000.
        assert!(cpu < 1_000, "{cpu} ticks in 20 s: it spins");
        assert!(case.plant.watch.since(from).iter().all(|s| !s.closed), "the shed is latched");
        assert_eq!(case.offers(), offers);
        case.network.plc.set(Line::GOOD);
        case.stays_open_until_the_operator_closes(offers);
        assert_eq!(case.network.plc.counts().old_to_server, 0, "{over:?}");
    });
    Row {
        id: "N5",
        fault: "link flaps 5 s cut or reset, 5 s good, for 200 s; OPC UA and Modbus",
        expected: "back-off, at most 1 connection tried per second, shed stays latched",
        observed: "at most 200 connections tried in 200 s, less than half a processor used, gate open and no setpoint until the operator's \
                   switch"
            .into(),
    }
    .lay();
}

/// User and system time of a process, clock ticks.
fn processor_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<i64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // After the name and the state letter: utime and stime are fields 14 and 15 of the line, 11 and 12 of these numbers.
    (fields[10] + fields[11]).unsigned_abs()
}

#[test]
fn n7_another_server_at_the_address() {
    let case = Case::closed(Over::OpcUa);
    let folder = tempfile::tempdir().expect("folder");
    let mut options = RigOptions::new(SECRETS[0].1, folder.path().join("other-pki"));
    options.time_scale = SCALE;
    let other = RigPlc::start(options).expect("a second plant");
    let mark = case.mark();
    case.network.plc.retarget(([127, 0, 0, 1], other.opcua_port()).into());
    case.network.plc.reset();
    let said = case.said_after(mark, &["is not trusted", "trust list"]);
    println!("{said}");
    assert!(said.contains("to trust it, move the file") && said.contains("pki/client/trusted"), "{said}");
    case.said_after(mark, &["mode CLOSED LOOP -> ADVISORY"]);
    case.plant.pass(Duration::from_secs(30));
    assert_eq!(other.truth().app.ui_hb, 0, "nothing was written to the other PLC");
    case.network.plc.retarget(([127, 0, 0, 1], case.plant.rig.opcua_port()).into());
    let offers = case.offers();
    case.stays_open_until_the_operator_closes(offers);
    Row {
        id: "N7",
        fault: "another OPC UA server with another certificate at the same address",
        expected: "refused, said with the check that failed, nothing written to it",
        observed: "refused by the trust list with both folders named, heartbeat of the other PLC still 0, ADVISORY until the operator's switch".into(),
    }
    .lay();
}

#[test]
fn a_closed_port_is_tried_with_back_off() {
    let case = Case::start(Over::Modbus);
    case.network.plc.set(Line { door: Door::Resets, ..Line::GOOD });
    let tried = case.network.plc.counts().attempts;
    case.plant.pass(Duration::from_secs(60));
    let tried = case.network.plc.counts().attempts - tried;
    assert!((2..=60).contains(&tried), "{tried} tries in 60 s");
}
