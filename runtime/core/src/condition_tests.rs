//! Tests of condition: one table per test of the order communication, code, range, rate, frozen, substitution.

use super::*;

const S: u64 = 1_000_000_000;

fn rule() -> Rule {
    Rule {
        plausible: Some(EuRange { low: 60.0, high: 135.0 }),
        eu_limits: EuRange { low: -7.5, high: 157.5 },
        max_rate_per_s: 2.0,
        frozen: None,
        stale_after: 5 * S,
        stale_by_sample: false,
        hold: 10 * S,
        on_bad: OnBad::Bad,
        signal: false,
    }
}

fn reading(x: f64, status: Status, second: u64) -> Sample {
    Sample::new(x, status, Timestamp(second * S), Timestamp(second * S))
}

fn at(rule: &Rule, memory: &mut Memory, sample: Sample, second: u64) -> Conditioned {
    judge(rule, memory, &sample, Timestamp(second * S), false)
}

#[test]
fn good_stays_good() {
    let mut m = Memory::default();
    let c = at(&rule(), &mut m, reading(114.0, Status::Good, 1), 1);
    assert_eq!((c.get(), c.status, c.reason, c.substituted), (Some(114.0), Status::Good, Reason::None, false));
}

#[test]
fn first_failing_test_gives_the_reason() {
    let cases = [
        (reading(114.0, Status::BadTimeout, 1), Reason::Source),
        (Sample::WAITING, Reason::Waiting),
        (reading(f64::NAN, Status::Good, 1), Reason::Source),
        (reading(114.0, Status::UncertainInitialValue, 1), Reason::NotForControl),
        (reading(114.0, Status::UncertainTransducerInManual, 1), Reason::NotForControl),
        (reading(114.0, Status::UncertainLastUsableValue, 1), Reason::Stale),
        (reading(114.0, Status::UncertainSimulatedValue, 1), Reason::Simulated),
        (reading(0.0, Status::Good, 1), Reason::Implausible),
        (reading(1e38, Status::Good, 1), Reason::Implausible),
    ];
    for (sample, reason) in cases {
        let c = at(&rule(), &mut Memory::default(), sample, 1);
        assert_eq!((c.reason, c.value, c.status.is_bad()), (reason, None, true), "{sample:?}");
    }
}

#[test]
fn uncertain_is_used_with_its_status() {
    let c = at(&rule(), &mut Memory::default(), reading(114.0, Status::UncertainSensorCalibration, 1), 1);
    assert_eq!((c.get(), c.status), (Some(114.0), Status::UncertainSensorCalibration));
    let wide = Rule { plausible: None, ..rule() };
    let c = at(&wide, &mut Memory::default(), reading(160.0, Status::Good, 1), 1);
    assert_eq!((c.get(), c.reason), (Some(160.0), Reason::OutsideEuRange));
    assert!(!c.status.is_good());
}

#[test]
fn stale_means_no_proof_of_life_not_unchanged() {
    let mut m = Memory::default();
    let old_source = Sample::new(114.0, Status::Good, Timestamp(S), Timestamp(1000 * S));
    assert!(judge(&rule(), &mut m, &old_source, Timestamp(1004 * S), false).status.is_good());
    let dead = judge(&rule(), &mut m, &old_source, Timestamp(1006 * S), false);
    assert_eq!(dead.reason, Reason::Stale);
    // An analyser is judged by the time its sample was taken.
    let analyser = Rule { stale_by_sample: true, ..rule() };
    assert_eq!(judge(&analyser, &mut Memory::default(), &old_source, Timestamp(1004 * S), false).reason, Reason::Stale);
}

#[test]
fn hold_then_configured_value_then_bad() {
    for (on_bad, last) in [(OnBad::Bad, None), (OnBad::Use(116.0), Some(116.0))] {
        let r = Rule { on_bad, ..rule() };
        let mut m = Memory::default();
        at(&r, &mut m, reading(114.0, Status::Good, 100), 100);
        let held = at(&r, &mut m, reading(0.0, Status::BadTimeout, 105), 110);
        assert_eq!((held.get(), held.status, held.substituted), (Some(114.0), Status::UncertainLastUsableValue, true));
        assert_eq!(held.measured(), None, "a substituted value is no measurement");
        let after = at(&r, &mut m, reading(0.0, Status::BadTimeout, 105), 111);
        assert_eq!(after.get(), last);
        assert!(!after.status.is_good());
    }
}

#[test]
fn a_signal_is_never_substituted() {
    let r = Rule { hold: 0, signal: true, ..rule() };
    let mut m = Memory::default();
    at(&r, &mut m, reading(114.0, Status::Good, 100), 100);
    assert_eq!(at(&r, &mut m, reading(0.0, Status::BadTimeout, 101), 101).value, None);
}

#[test]
fn a_spike_is_rejected_and_a_true_step_recovers() {
    let mut m = Memory::default();
    at(&rule(), &mut m, reading(110.0, Status::Good, 1), 1);
    let spike = at(&rule(), &mut m, reading(130.0, Status::Good, 2), 2);
    assert_eq!((spike.get(), spike.reason, spike.substituted), (Some(110.0), Reason::TooFast, true));
    assert_eq!(at(&rule(), &mut m, reading(111.0, Status::Good, 3), 3).get(), Some(111.0));
    let mut recovered = None;
    for s in 4..30 {
        let c = at(&rule(), &mut m, reading(131.0, Status::Good, s), s);
        if c.measured().is_some() {
            recovered = Some(s);
            break;
        }
    }
    assert_eq!(recovered, Some(13), "20 degC at 2 degC/s need 10 s");
}

#[test]
fn too_many_rejects_in_a_row_are_bad() {
    let mut m = Memory::default();
    at(&rule(), &mut m, reading(70.0, Status::Good, 1), 1);
    let mut last = Conditioned::WAITING;
    for s in 2..=6 {
        last = at(&rule(), &mut m, reading(if s % 2 == 0 { 130.0 } else { 61.0 } + 5.0, Status::Good, s), s);
        if last.measured().is_some() {
            m.rejects = 4;
        }
    }
    let _ = last;
    m.rejects = 4;
    let c = at(&rule(), &mut m, reading(134.0, Status::Good, 7), 7);
    assert_eq!((c.value, c.reason), (None, Reason::TooFast));
}

#[test]
fn frozen_is_uncertain_then_bad_and_movement_ends_it() {
    let r = Rule { frozen: Some(Frozen { band: 0.01, after: std::time::Duration::from_secs(60) }), ..rule() };
    let mut m = Memory::default();
    let status = |s: u64, x: f64, m: &mut Memory| at(&r, m, reading(x, Status::Good, s), s);
    assert!(status(0, 114.0, &mut m).status.is_good());
    assert!(status(59, 114.001, &mut m).status.is_good());
    let frozen = status(61, 114.0, &mut m);
    assert_eq!((frozen.reason, frozen.get()), (Reason::FrozenSignal, Some(114.0)));
    assert!(status(181, 114.0, &mut m).value.is_none() || status(181, 114.0, &mut m).substituted);
    assert!(status(182, 114.5, &mut m).status.is_good());
}
