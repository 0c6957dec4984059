//! Fault campaign, D: what instruments, analysers and converters can do to the numbers. R-101 on the virtual clock; every time is exact.

use std::collections::BTreeMap;

use flyball_core::condition::Reason;
use flyball_core::image::Sample;
use flyball_core::mode::{Blocker, Mode};
use flyball_core::record::ScanRecord;
use flyball_core::sample::SampleVerdict;
use flyball_core::sensor::PredictionReason;
use flyball_core::status::Status;
use flyball_core::time::Timestamp;
use flyball_core::watch::Trigger;
use flyball_hil_tests::campaign::Row;
use flyball_hil_tests::fault::{Stage, left};
use flyball_rig::random::Random;

/// The instruments behind the soft sensor.
const INPUTS: [&str; 5] = ["FI-101", "TI-101", "TI-102", "TI-103", "QY-101"];

fn closed(record: &ScanRecord) -> bool {
    record.mode.actual == Mode::ClosedLoop
}

fn cause(stage: &Stage, record: &ScanRecord) -> String {
    record.mode.shed.map_or_else(String::new, |cause| stage.words.shed(cause))
}

#[test]
fn d1_numbers_that_are_none() {
    let mut stage = Stage::at_optimum(31);
    let mut cases = 0;
    for name in INPUTS {
        let tag = stage.tag(name).index();
        for raw in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e38, -1e38, 1e-310] {
            if name == "QY-101" && raw == 1e-310 {
                continue; // A duty may be as good as nothing.
            }
            stage.bend(name, move |_| raw);
            stage.watch(3, |r| {
                let t = &r.tags[tag];
                assert!(t.substituted && t.status.severity() == Status::UncertainLastUsableValue.severity(), "{t:?}");
                assert!(t.get() != Some(raw), "{name} = {raw} is believed");
            });
            stage.heal();
            stage.pass(5);
            cases += 1;
        }
    }
    assert!(closed(stage.scan()));
    Row {
        id: "D1",
        fault: "NaN, infinities, 1e38 and denormals from each instrument of the soft sensor, 3 s each",
        expected: "Bad at once, the last good value stands in, no panic",
        observed: format!("{cases} cases, none used, still in CLOSED LOOP"),
    }
    .lay();
}

#[test]
fn d2_stuck_value() {
    let mut stage = Stage::at_optimum(32);
    let (tag, stuck) = (stage.tag("FI-101").index(), 199.9);
    stage.bend("FI-101", move |_| stuck);
    let frozen = |r: &ScanRecord| r.tags[tag].reason == Reason::FrozenSignal;
    let flagged = stage.until("flag", 400, frozen);
    assert!(flagged.record.tags[tag].measured().is_some(), "Uncertain first");
    let bad = stage.until("Bad", 900, |r| frozen(r) && r.tags[tag].measured().is_none());
    let shed = stage.until("shed", 60, left);
    Row {
        id: "D2",
        fault: "FI-101 stuck",
        expected: "Uncertain after its window (5 min), Bad after three, left when it is no longer held (10 s) and the model has run",
        observed: format!(
            "flag after {} s, Bad after {} s, left after {} s: {}",
            flagged.after,
            bad.after,
            shed.after,
            cause(&stage, &shed.record)
        ),
    }
    .lay();
}

#[test]
fn d3_spike_step_noise_and_drift() {
    let mut stage = Stage::at_optimum(33);
    let tag = stage.tag("FI-101").index();
    let too_fast = |r: &ScanRecord| r.tags[tag].reason == Reason::TooFast && r.tags[tag].substituted;
    stage.bend("FI-101", |x| x - 100.0);
    assert!(too_fast(stage.scan()), "a spike is rejected");
    stage.heal();
    assert!(!stage.scan().tags[tag].substituted, "and forgotten");
    stage.pass(60);
    stage.bend("FI-101", |x| x - 100.0);
    assert!(too_fast(stage.scan()));
    let step = stage.until("step", 10, |r| r.tags[tag].measured().is_some());
    stage.heal();
    stage.pass(300);
    assert!(closed(stage.scan()));

    // Noise: ten times the instruments' own.
    let mut random = Random::new(33);
    let noisy: BTreeMap<usize, f64> =
        [("FI-101", 2.0), ("TI-101", 0.1), ("TI-102", 0.1), ("TI-103", 0.1), ("QY-101", 50.0)]
            .map(|(name, sigma)| (stage.tag(name).index(), sigma))
            .into();
    stage.spoil(move |_, image| {
        for (tag, sigma) in &noisy {
            let s = image.samples[*tag];
            let x = s.value.map_or(f64::NAN, flyball_core::value::Value::get) + sigma * random.normal();
            image.samples[*tag] = Sample::new(x, s.status, s.source_time, s.alive);
        }
    });
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    stage.watch(900, |r| {
        let feed = r.mvs[0].readback.expect("readable");
        (low, high) = (low.min(feed), high.max(feed));
    });
    assert!(closed(stage.scan()));

    // Drift: SPE sees that the temperatures no longer belong together.
    let mut stage = Stage::at_optimum(34);
    let mut passed = 0.0;
    let drifting = stage.tag("TI-102").index();
    stage.spoil(move |_, image| {
        passed += 1.0;
        let s = image.samples[drifting];
        let x = s.value.map_or(f64::NAN, flyball_core::value::Value::get) - passed * 0.01;
        image.samples[drifting] = Sample::new(x, s.status, s.source_time, s.alive);
    });
    let seen = stage.until("drift", 7_200, |r| matches!(r.predictions[0].reason, PredictionReason::OutsideDomain(..)));
    let far = |r: &ScanRecord| matches!(r.predictions[0].reason, PredictionReason::FarOutsideDomain(..));
    let gone = stage.until("no value", 7_200, |r| far(r) && left(r));
    Row {
        id: "D3",
        fault: "FI-101 spikes and steps by 100 l/h; all instruments ten times as noisy; TI-102 drifts by 0.6 degC per min",
        expected: "spike rejected; step believed when its rate allows; noise moves nothing; drift: Uncertain, then no value and left",
        observed: format!(
            "spike rejected in its scan; step believed after {} s; noise: feed setpoint moved within {:.1} l/h; drift: Uncertain after {} s, left after {} s",
            step.after,
            high - low,
            seen.after,
            gone.after
        ),
    }
    .lay();
}

#[test]
fn d3_a_slow_drift_shows_in_the_samples() {
    let mut stage = Stage::at_optimum(35);
    stage.talks = false;
    let mut passed = 0.0;
    let drifting = stage.tag("QY-101").index();
    stage.spoil(move |_, image| {
        passed += 1.0;
        let s = image.samples[drifting];
        let x = s.value.map_or(f64::NAN, flyball_core::value::Value::get) + passed * 0.01;
        image.samples[drifting] = Sample::new(x, s.status, s.source_time, s.alive);
    });
    let seen = stage.until("drift", 24 * 3_600, |r| r.models[0].watch.outputs[0].advice.contains(Trigger::Drift));
    assert!(closed(&seen.record) && seen.record.predictions[0].in_domain, "too slow for the domain to see by itself");
    println!("QY-101 drifts by 36 kJ/h per hour: advice after {} s", seen.after);
}

#[test]
fn d4_wrong_word_order_and_base() {
    let mut stage = Stage::example(36);
    let tag = stage.tag("AI-101").index();
    stage.bend("AI-101", |x| f64::from(f32::from_bits((x as f32).to_bits().rotate_left(16))));
    let mut used = 0;
    stage.watch(3_600, |r| {
        let t = &r.tags[tag];
        used += u32::from(t.measured().is_some());
        assert_eq!(t.reason, Reason::Implausible);
    });
    let end = stage.scan().clone();
    let late = end.predictions[0].late;
    assert_eq!((used, end.predictions[0].bias, end.models[0].watch.outputs[0].accepted), (0, 0.0, 0));
    assert_eq!(late.last_refusal, Some(SampleVerdict::Implausible));
    Row {
        id: "D4",
        fault: "AI-101 read with its words swapped, from the start",
        expected: "implausible from the first reading, refused as a sample with that reason, never used",
        observed: format!("{} samples refused as implausible in an hour, bias 0", late.refused_in_all()),
    }
    .lay();
}

/// An instrument, a unit, and its value in it.
type OtherUnit = (&'static str, &'static str, fn(f64) -> f64);

#[test]
fn d5_wrong_unit() {
    let mut told = Vec::new();
    let cases: [OtherUnit; 3] =
        [("TI-101", "degF", |c| c * 1.8 + 32.0), ("TI-102", "K", |c| c + 273.15), ("FI-101", "m3/h", |l| l / 1_000.0)];
    for (name, what, bend) in cases {
        let mut stage = Stage::example(37);
        stage.bend(name, bend);
        let tag = stage.tag(name).index();
        assert_eq!(stage.scan().tags[tag].reason, Reason::Implausible, "{name} in {what}");
        stage.stays_open(1_800);
        assert!(matches!(stage.scan().mode.blocker, Blocker::CriticalCv(_)));
        told.push(format!("{name} in {what}"));
    }
    // A duty may be next to nothing, so its range cannot tell; the domain can, as soon as the model runs.
    let mut stage = Stage::example(37);
    stage.bend("QY-101", |kj| kj / 3_600.0);
    let outside = stage.until("doubt", 3_600, |r| {
        use PredictionReason::{FarOutsideDomain, OutsideDomain};
        matches!(r.predictions[0].reason, OutsideDomain(..) | FarOutsideDomain(..))
    });
    Row {
        id: "D5",
        fault: "an instrument answers in another unit, from the start",
        expected: "flagged at commissioning: implausible at the first reading, and the loop never closes; or outside the domain",
        observed: format!(
            "{}: implausible, not closed in 1800 s; QY-101 in kW: outside the domain after {} s",
            told.join(", "),
            outside.after
        ),
    }
    .lay();
}

/// What table 2.2 of the domain guide makes of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// As it is.
    Good,
    /// With doubt.
    Doubt,
    /// Held for 10 s, then Bad with this code.
    Held(Status),
}

#[test]
fn d6_each_status_code() {
    use Use::{Doubt, Good, Held};
    let cases = [
        (Status::Good, Good),
        (Status::GoodLocalOverride, Good),
        (Status::GoodClamped, Good),
        (Status(0x00EB_0000), Good), // GoodSubNormal
        (Status(0x0401_0000), Good), // GoodCascadeInitializationAcknowledged and its kin
        (Status(0x0409_0000), Good),
        (Status::Good.with_limit(Status::LIMIT_HIGH), Good),
        (Status::UncertainLastUsableValue, Held(Status::BadNoCommunication)),
        (Status::UncertainNoCommunicationLastUsableValue, Held(Status::BadNoCommunication)),
        (Status::UncertainSubstituteValue, Doubt),
        (Status::UncertainInitialValue, Held(Status::BadWaitingForInitialData)),
        (Status::UncertainSensorNotAccurate, Doubt),
        (Status::UncertainSensorCalibration, Doubt),
        (Status::UncertainEngineeringUnitsExceeded, Doubt),
        (Status(0x40F2_0000), Doubt), // over and under range
        (Status(0x40F3_0000), Doubt),
        (Status::UncertainSubNormal, Doubt),
        (Status::UncertainSimulatedValue, Held(Status::BadOutOfService)),
        (Status::UncertainTransducerInManual, Held(Status::BadOutOfService)),
        (Status::BadWaitingForInitialData, Held(Status::BadWaitingForInitialData)),
        (Status::BadNoCommunication, Held(Status::BadNoCommunication)),
        (Status::BadTimeout, Held(Status::BadTimeout)),
        (Status::BadCommunicationError, Held(Status::BadCommunicationError)),
        (Status::BadServerNotConnected, Held(Status::BadServerNotConnected)),
        (Status(0x8025_0000), Held(Status(0x8025_0000))), // BadSessionIdInvalid
        (Status::BadSensorFailure, Held(Status::BadSensorFailure)),
        (Status::BadDeviceFailure, Held(Status::BadDeviceFailure)),
        (Status::BadOutOfService, Held(Status::BadOutOfService)),
        (Status::BadConfigurationError, Held(Status::BadConfigurationError)),
        (Status::BadNotConnected, Held(Status::BadNotConnected)),
        (Status::BadNodeIdUnknown, Held(Status::BadNodeIdUnknown)),
        (Status::BadTypeMismatch, Held(Status::BadTypeMismatch)),
        (Status::BadUserAccessDenied, Held(Status::BadUserAccessDenied)),
        (Status(0xC000_0000), Held(Status(0xC000_0000))), // the reserved severity
    ];
    let mut stage = Stage::example(38);
    stage.talks = false;
    stage.pass(10);
    let tag = stage.tag("TI-102").index();
    for (status, expected) in cases {
        stage.status("TI-102", status);
        let first = stage.scan().tags[tag];
        let mut held = 1;
        stage.watch(14, |r| held += u32::from(r.tags[tag].substituted));
        let last = stage.scan().tags[tag];
        match expected {
            Good => assert!(last.status.is_good() && last.measured().is_some() && last.status == status, "{status:?}"),
            Doubt => {
                assert!(last.measured().is_some() && !last.status.is_good(), "{status:?}: {last:?}");
                assert_eq!(last.reason, Reason::SourceUncertain);
            }
            Held(bad) => {
                assert!(first.substituted && first.status == Status::UncertainLastUsableValue, "{status:?}: {first:?}");
                assert_eq!((last.value, last.status), (None, bad), "{status:?}");
                assert_eq!(held, 10, "{status:?}");
            }
        }
        stage.heal();
        stage.pass(3);
    }
    let count = |of: fn(&Use) -> bool| cases.iter().filter(|(_, u)| of(u)).count();
    Row {
        id: "D6",
        fault: "each Good, Uncertain and Bad code of table 2.2 on TI-102",
        expected: "Good used, doubtful used as Uncertain, the rest held for 10 s and then without value, with its code",
        observed: format!(
            "{} used, {} used with doubt, {} held for 10 s and then Bad",
            count(|u| *u == Good),
            count(|u| *u == Doubt),
            count(|u| matches!(u, Held(_)))
        ),
    }
    .lay();
}

#[test]
fn d7_an_input_is_missing() {
    let mut stage = Stage::at_optimum(39);
    let tag = stage.tag("TI-101").index();
    stage.status("TI-101", Status::BadTimeout);
    assert!(stage.scan().tags[tag].substituted, "one scan: the last value stands in");
    stage.heal();
    stage.pass(60);
    assert!(closed(stage.scan()));

    // A disturbance variable has a nominal value.
    let dv = stage.tag("TI-103").index();
    stage.status("TI-103", Status::BadTimeout);
    let nominal = stage.until("nominal value", 20, |r| r.tags[dv].status == Status::UncertainSubstituteValue);
    assert_eq!(nominal.record.tags[dv].get(), Some(116.0));
    stage.pass(60);
    assert!(closed(stage.scan()));
    stage.heal();
    stage.pass(300);

    // A minute, and then for ever.
    stage.status("TI-101", Status::BadTimeout);
    let shed = stage.until("shed", 60, left);
    stage.pass(60 - shed.after);
    stage.heal();
    stage.stays_open(600);
    stage.re_enable();
    let again = stage.until("closing", 600, closed);
    stage.status("TI-101", Status::BadTimeout);
    stage.until("shed", 60, left);
    stage.re_enable();
    stage.stays_open(3_600);
    Row {
        id: "D7",
        fault: "TI-101 missing for one scan, for a minute, for ever; TI-103 for a minute",
        expected: "held for 10 s; then TI-103 by its nominal value, TI-101 not: left. After a minute the operator closes again, without TI-101 never",
        observed: format!(
            "one scan: nothing; TI-103: nominal after {} s, loop stays closed; TI-101: left after {} s ({}), closed again {} s after the operator asked; for ever: not closed in 1 h",
            nominal.after,
            shed.after,
            cause(&stage, &shed.record),
            again.after
        ),
    }
    .lay();
}

#[test]
fn d8_wrong_laboratory_samples() {
    let mut stage = Stage::closed(40, 3_600);
    let tag = stage.tag("AI-101").index();
    let seen = stage.until("a sample", 700, |r| r.samples.iter().any(|s| s.verdict == SampleVerdict::Accepted));
    stage.pass(10);
    let (taken, bias) = (seen.record.samples[0].taken.0 / 1_000_000_000, stage.scan().predictions[0].bias);
    let value = seen.record.samples[0].value.expect("accepted");
    let now = stage.seconds();
    let entries = [
        (value + 0.05, taken, None), // the same sample with another value
        (value, now - 2_400, Some(SampleVerdict::TooOld)),
        (value, now + 600, Some(SampleVerdict::FromFuture)),
        (value * 10.0, now - 200, Some(SampleVerdict::Implausible)),
        (value / 10.0, now - 190, Some(SampleVerdict::Implausible)),
        (value + 0.2, now - 180, Some(SampleVerdict::Held)),
    ];
    for (value, taken, verdict) in entries {
        stage.spoil(move |cycle, image| {
            image.samples[tag] = Sample::new(value, Status::Good, Timestamp(taken * 1_000_000_000), cycle.now);
        });
        let mut verdicts = Vec::new();
        stage.watch(10, |r| verdicts.extend(r.samples.iter().map(|s| s.verdict)));
        assert_eq!(verdicts, verdict.into_iter().collect::<Vec<_>>(), "{value} taken at {taken} s");
        let record = stage.scan();
        assert_eq!(record.predictions[0].bias, bias, "{value} taken at {taken} s moved the bias");
        assert!(closed(record));
    }
    Row {
        id: "D8",
        fault: "laboratory sample again with another value, 40 min late, from the future, ten times too high or low, 0.2 mol/l off",
        expected: "each refused with its reason, the bias does not move, the loop stays closed",
        observed: "seen before; too old; from the future; implausible twice; held for a second one: bias unchanged".into(),
    }
    .lay();
}

#[test]
fn d9_the_same_analyser_value_again() {
    let mut stage = Stage::at_optimum(41);
    let tag = stage.tag("AI-101").index();
    stage.until("a sample", 700, |r| !r.samples.is_empty());
    stage.pass(10);
    let shown = stage.scan().clone();
    let (still, bias) = (shown.inputs.samples[tag], shown.predictions[0].bias);
    stage.spoil(move |cycle, image| image.samples[tag] = Sample { alive: cycle.now, ..still });
    let (mut looked_at, mut stale) = (0, None);
    let start = stage.seconds();
    stage.watch(1_800, |r| {
        looked_at += r.samples.len();
        let now = r.cycle.scheduled.0 / 1_000_000_000;
        stale = stale.or((r.tags[tag].reason == Reason::Stale).then_some(now - start));
    });
    let end = stage.scan();
    assert!(looked_at == 0 && end.predictions[0].bias == bias && closed(end));
    Row {
        id: "D9",
        fault: "the analyser shows the same result and sample time again and again",
        expected: "no second update; stale when the sample is older than 25 min; the loop stays closed",
        observed: format!("no update in half an hour; stale after {} s", stale.expect("its time has come")),
    }
    .lay();
}
