//! Fault campaign, P: what the PLC and its operators can do to a closed loop. R-101 on the virtual clock; every time is exact.
//!
//! What is expected stands in the domain guide's fault list and shed table; the rows of docs/FAULTS.md are what these runs saw.

use std::time::Duration;

use flyball::clock::VirtualClock;
use flyball_core::guard::Verdict;
use flyball_core::mode::{Mode, ShedCause};
use flyball_core::optimum::HeldBy;
use flyball_core::record::{Event, ScanRecord};
use flyball_core::status::Status;
use flyball_hil_tests::campaign::Row;
use flyball_hil_tests::fault::{Stage, left};
use flyball_hil_tests::{engines, example};
use flyball_rig::panel::MvName;
use flyball_rig::plc::{Retained, SimPlc, WriteFault};
use flyball_rig::r101::loops::SlaveMode;
use flyball_rig::signals::{PlcValue, Signal};

/// The PLC's own ramp of the feed setpoint, l/h per scan of the runtime, and what single precision may add.
const FEED_RAMP: f64 = 1.0 + 1e-3;

fn out(record: &ScanRecord) -> bool {
    record.events.contains(&Event::MvOut(0))
}

fn closed(record: &ScanRecord) -> bool {
    record.mode.actual == Mode::ClosedLoop
}

fn feed(record: &ScanRecord) -> f64 {
    record.mvs[0].readback.expect("the feed setpoint can be read")
}

#[test]
fn p1_plc_stop_and_run() {
    let mut stage = Stage::closed(11, 300);
    stage.inject(SimPlc::stop);
    let shed = stage.until("shed", 30, left);
    assert_eq!(shed.record.mode.shed, Some(ShedCause::PlcHeartbeatLost));
    assert!(shed.record.inputs.samples.iter().all(|s| s.status.is_good()), "a PLC in STOP answers every read");
    stage.stays_open(60);
    stage.inject(SimPlc::run);
    stage.stays_open(300);
    stage.re_enable();
    let again = stage.until("closing", 120, closed);
    Row {
        id: "P1",
        fault: "PLC in STOP, every reading still Good; RUN again after 60 s",
        expected: "left by the missing heartbeat within `lost_after` (10 s) and one scan; nothing written until the operator asks again",
        observed: format!("left after {} s; closed again {} s after the operator asked", shed.after, again.after),
    }
    .lay();
}

#[test]
fn p2_plc_restarts_with_zeros() {
    let mut stage = Stage::at_optimum(12);
    let bias = |r: &ScanRecord| r.predictions[0].bias;
    let before = bias(stage.scan());
    stage.inject(|plc| plc.power_cycle(Retained::Kept, Duration::from_secs(10)));
    let shed = stage.until("shed", 5, left);
    let (mut good, mut zeros) = (0, 0);
    let process: Vec<usize> = ["FI-101", "TI-101", "TI-102", "TI-103"].map(|t| stage.tag(t).index()).into();
    stage.watch(40, |r| {
        for tag in &process {
            zeros += u32::from(r.tags[*tag].get() == Some(0.0));
        }
        let zero_seen = r.inputs.samples[process[0]].value.is_some_and(|x| x.get() == 0.0);
        good += u32::from(zero_seen && r.predictions[0].time == r.cycle.now && r.predictions[0].status.is_good());
    });
    assert_eq!((zeros, good), (0, 0), "zeros believed, predictions called Good on them");
    stage.stays_open(600);
    let after = bias(stage.scan());
    assert!((after - before).abs() <= 0.02, "bias {before} -> {after}");
    stage.re_enable();
    let again = stage.until("closing", 600, closed);
    Row {
        id: "P2",
        fault: "PLC restarts, everything reads zero for 10 s",
        expected: "left in the first scan; zeros are implausible, no value and no prediction stands on them; operator closes again",
        observed: format!(
            "left after {} s ({}); no zero used; closed again {} s after the operator asked",
            shed.after,
            stage.words.shed(shed.record.mode.shed.expect("left")),
            again.after
        ),
    }
    .lay();
}

#[test]
fn p3_program_download_renames_nodes() {
    // The links' part (the error names the tag, a write goes to the node of that name only) is tested on sockets in adapters/opcua.
    let mut stage = Stage::closed(13, 300);
    let (sensor, connection) = (stage.tag("TI-101").index(), stage.config.tag(stage.tag("TI-101")).connection.index());
    let readback = stage.config.mvs[0].readback.index();
    stage.spoil(move |_, image| {
        for tag in [sensor, readback] {
            image.samples[tag].value = None;
            image.samples[tag].status = Status::BadNodeIdUnknown;
        }
        if let Some(outcome) = &mut image.writes[connection] {
            outcome.status = Status::BadNodeIdUnknown;
        }
    });
    let refused = stage.until("refusal", 5, |r| r.events.iter().any(|e| matches!(e, Event::WriteRefused(..))));
    let (mut feed_written, write) = (0, stage.config.mvs[0].write);
    stage.watch(5, |r| feed_written += u32::from(r.outputs.cell(write).is_some()));
    assert_eq!(feed_written, 0);
    let shed = stage.until("shed", 60, left);
    assert_eq!(shed.record.tags[sensor].status, Status::BadNodeIdUnknown);
    stage.stays_open(60);
    Row {
        id: "P3",
        fault: "program download: the nodes of TI-101 and of the feed setpoint are gone",
        expected: "link names the tags; feed not written without its read-back; left when the value of TI-101 is no longer held (10 s)",
        observed: format!(
            "refusal told after {} s; left after {} s: {}",
            refused.after,
            shed.after,
            stage.words.shed(shed.record.mode.shed.expect("left"))
        ),
    }
    .lay();
}

#[test]
fn p4_write_rejected() {
    let mut stage = Stage::closed(14, 60);
    stage.inject(|plc| plc.set_write_fault(Signal::FeedSp, Some(WriteFault::Refuse)));
    let refused = stage.until("refusal", 40, |r| r.events.contains(&Event::WriteRefused(0, Status::BadNotWritable)));
    let lost = stage.until("MV out", 200, out);
    let (standing, temp_before) = (feed(&lost.record), lost.record.mvs[1].readback);
    stage.inject(|plc| plc.set_write_fault(Signal::FeedSp, None));
    stage.pass(300);
    let later = stage.scan().clone();
    assert!(closed(&later) && later.mvs[1].readback > temp_before, "the other MV goes on");
    assert!((feed(&later) - standing).abs() < 1e-6 && later.mvs[0].held_by == HeldBy::VerifyFailed);
    Row {
        id: "P4",
        fault: "writes of the feed setpoint rejected (BadNotWritable)",
        expected: "told in the next scan with its status; after three moves that did not arrive the MV is out until the operator's word; the other goes on",
        observed: format!("told after {} s, MV out after {} s; no write to it, the other went on", refused.after, lost.after),
    }
    .lay();
}

#[test]
fn p4_every_refusal_is_told_in_its_own_words() {
    let mut stage = Stage::closed(15, 20);
    for status in [
        Status::BadUserAccessDenied,
        Status::BadNotWritable,
        Status::BadTypeMismatch,
        Status::BadOutOfRange,
        Status::BadConfigurationError, // exceptions 01, 02, 03
        Status::BadDeviceFailure,      // exception 04
        Status::BadTimeout,
    ] {
        stage.spoil(move |_, image| {
            if let Some(outcome) = &mut image.writes[0] {
                outcome.status = status;
            }
        });
        let told = stage.until("refusal", 2, |r| r.events.contains(&Event::WriteRefused(0, status)));
        let text = stage.words.event(&Event::WriteRefused(0, status));
        assert!(text.contains(status.name()) && text.contains("plc1"), "{text}");
        assert_eq!(told.after, 1);
        stage.heal();
        stage.pass(2);
    }
}

#[test]
fn p5_write_clamped() {
    // The PLC's own limit, with its flag: learned. Nobody has told the runtime of the operator's limits here.
    let mut config = example("r101.toml");
    (config.mvs[0].operator_low, config.mvs[0].operator_high) = (None, None);
    let engines = engines(&config).engines;
    let mut stage = Stage::cold(config, engines, VirtualClock::new(), 16);
    stage.close(60);
    stage.inject(|plc| plc.panel.mv(MvName::Feed).high = 151.0);
    let learned = stage.until("limit", 300, |r| r.mvs[0].held_by == HeldBy::PlcLimit);
    let mut failures = 0;
    stage.watch(300, |r| failures = failures.max(r.mvs[0].guard.verify_failures));
    assert!(closed(stage.scan()) && failures == 0, "a clamp with a flag is no failure");
    stage.inject(|plc| plc.panel.mv(MvName::Feed).high = 200.0);
    let step = (0..29).map(|_| feed(stage.scan())).fold(0.0, f64::max) - 151.0;
    assert!(step <= 2.0 + 1e-3, "no windup: {step}");

    // A clamp without a flag, said (GoodClamped) or silent.
    let mut lost = [0; 2];
    for (i, silent) in [false, true].into_iter().enumerate() {
        let mut stage = Stage::closed(17, 60);
        let clamp = WriteFault::Clamp { low: 80.0, high: 151.0, silent };
        stage.inject(|plc| plc.set_write_fault(Signal::FeedSp, Some(clamp)));
        let seen = stage.until("MV out", 600, out);
        assert!(feed(&seen.record) <= 151.0 + 1e-3);
        lost[i] = seen.after;
        stage.inject(|plc| plc.set_write_fault(Signal::FeedSp, None));
        stage.pass(120);
        assert!(feed(stage.scan()) <= 151.0 + 1e-3, "no windup");
    }
    Row {
        id: "P5",
        fault: "feed setpoint clamped at 151 l/h: by the PLC's limit with its flag, with GoodClamped, silently",
        expected: "flag: direction blocked, no failure, no windup; without flag: the read-back shows it, MV out after three moves, no windup",
        observed: format!(
            "flag: held after {} s, next step {step:.1} l/h when widened; GoodClamped: out after {} s; silent: out after {} s",
            learned.after, lost[0], lost[1]
        ),
    }
    .lay();
}

#[test]
fn p6_write_accepted_but_ignored() {
    let mut stage = Stage::closed(18, 60);
    let before = feed(stage.scan());
    stage.inject(|plc| plc.set_write_fault(Signal::FeedSp, Some(WriteFault::Ignore)));
    let lost = stage.until("MV out", 300, out);
    assert!((feed(&lost.record) - before).abs() <= 2.0 && closed(&lost.record));
    stage.pass(120);
    assert!(matches!(stage.scan().mvs[0].guard.verdict, Verdict::Refused(_)));
    Row {
        id: "P6",
        fault: "writes of the feed setpoint answered Good and ignored",
        expected: "three moves in a row that do not arrive: MV out, the other goes on",
        observed: format!("MV out after {} s, still in CLOSED LOOP", lost.after),
    }
    .lay();
}

#[test]
fn p7_foreign_writer() {
    let mut stage = Stage::at_optimum(19);
    stage.inject(|plc| plc.foreign_write(MvName::Feed, 195.0));
    let named = stage.until("foreign writer", 10, |r| r.mvs[0].guard.foreign);
    let shed = stage.until("shed", 10, left);
    assert!(matches!(shed.record.mode.shed, Some(ShedCause::ForeignWriter(_))), "{:?}", shed.record.mode.shed);
    stage.stays_open(60);
    Row {
        id: "P7",
        fault: "another client writes the feed setpoint",
        expected: "named within two scans, left in the next, operator closes again",
        observed: format!("named after {} s, left after {} s", named.after, shed.after),
    }
    .lay();
}

#[test]
fn p8_slave_to_manual_and_back() {
    let mut stage = Stage::at_optimum(20);
    stage.inject(|plc| plc.panel.mv(MvName::Feed).slave = SlaveMode::Manual);
    let released = stage.until("release", 5, |r| !r.mvs[0].in_control);
    stage.pass(60);
    stage.inject(|plc| {
        let feed = plc.panel.mv(MvName::Feed);
        (feed.local_setpoint, feed.slave) = (185.0, SlaveMode::Auto);
    });
    let entry = stage.until("entry", 5, |r| r.mvs[0].guard.verdict == Verdict::Refreshed(HeldBy::Entry));
    assert_eq!(entry.record.mvs[0].guard.written, Some(185.0));
    let step = stage.largest_step(MvName::Feed, 600);
    assert!(step <= FEED_RAMP, "{step}");
    let end = stage.scan().clone();
    assert!(closed(&end) && feed(&end) > 195.0, "goes on to the optimum: {}", feed(&end));
    Row {
        id: "P8",
        fault: "feed controller to MANUAL, its setpoint changed 200 to 185 l/h, back to AUTO",
        expected: "no write in MANUAL, the loop stays closed; first write is the setpoint found there; no step above the PLC's ramp (1 l/h per s)",
        observed: format!(
            "given up after {} s; back after {} s with 185.0 l/h; largest step {step:.2} l/h per s",
            released.after, entry.after
        ),
    }
    .lay();
}

#[test]
fn p9_operator_limits_narrowed_across_the_setpoint() {
    let mut stage = Stage::at_optimum(21);
    let before = feed(stage.scan());
    stage.inject(|plc| plc.panel.mv(MvName::Feed).high = 188.0);
    let held = stage.until("held", 5, |r| r.mvs[0].held_by == HeldBy::OperatorHigh);
    let step = stage.largest_step(MvName::Feed, 60);
    let end = stage.scan().clone();
    assert!(closed(&end) && (feed(&end) - 188.0).abs() < 1e-3 && step <= FEED_RAMP, "{step}");
    stage.pass(300);
    assert!((feed(stage.scan()) - 188.0).abs() < 1e-3);
    Row {
        id: "P9",
        fault: "operator's high limit lowered to 188 l/h below a setpoint of 200 l/h",
        expected: "the PLC ramps (1 l/h per s), nothing is written above the limit, the loop stays closed",
        observed: format!("held after {} s; {before:.0} to 188 l/h, largest step {step:.2} l/h per s", held.after),
    }
    .lay();
}

#[test]
fn p10_setpoint_at_saturation() {
    let mut stage = Stage::closed(22, 60);
    stage.inject(|plc| plc.force(Signal::FeedLimHi, Some(PlcValue::Bool(true))));
    let held = stage.until("held", 40, |r| r.mvs[0].held_by == HeldBy::PlcLimit);
    stage.pass(5);
    let standing = feed(stage.scan());
    let mut highest = standing;
    stage.watch(600, |r| highest = highest.max(feed(r)));
    assert!(highest <= standing + 1e-6, "{standing} -> {highest}");
    stage.inject(|plc| plc.force(Signal::FeedLimHi, None));
    let mut step = 0.0_f64;
    stage.watch(30, |r| step = step.max(feed(r) - standing));
    assert!(step <= 2.0 + 1e-3 && closed(stage.scan()), "{step}");
    Row {
        id: "P10",
        fault: "feed loop saturated high for 10 min while the optimiser wants more",
        expected: "direction blocked at once, nothing integrates: after release no more than one move (2 l/h in 30 s)",
        observed: format!("held after {} s; {step:.1} l/h in the first 30 s after release", held.after),
    }
    .lay();
}
