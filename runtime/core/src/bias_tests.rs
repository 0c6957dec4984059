//! Each rule of the bias update: what is taken, and one test per reason to refuse.

use super::*;
use flyball_config::TagId;

const S: u64 = 1_000_000_000;

const RULE: Bias = Bias {
    with: TagId(0),
    take: 0.3,
    one_step: 0.02,
    total: 0.05,
    youngest: Duration::ZERO,
    oldest: Duration::from_secs(600),
    expires: Duration::from_secs(7200),
    confirm: Confirm::Never,
    only_when: [None; flyball_config::bounds::STEADY_RULES_MAX],
};

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * S)
}

fn good(raw: f64) -> Shown {
    Shown { raw: Some(raw), half_width: Some(0.01), factor: 1.0, good: true, steady: true }
}

/// Runs every 5 s up to 600 s, raw prediction rising by 0.001 each.
fn state_of(rule: Bias) -> BiasState {
    let mut s = BiasState::new(rule, Duration::from_secs(5), Some(EuRange { low: 0.3, high: 1.6 }), Some(0.01));
    for i in 1..=120 {
        s.remember(at(i * 5), good(1.0 + 0.001 * i as f64));
    }
    s
}

fn state() -> BiasState {
    state_of(RULE)
}

fn offer(s: &mut BiasState, now: Timestamp, y: Option<f64>, taken: Timestamp) -> Option<SampleVerdict> {
    s.offer(PredictionId(0), now, y, taken).map(|o| o.verdict)
}

/// Offers and expects this refusal: nothing is learned, and the reason is counted once.
fn refused(s: &mut BiasState, now: u64, y: Option<f64>, taken: u64, why: SampleVerdict) {
    let (bias, accepted) = (s.bias, s.last_accepted);
    let before = s.refused[why.refusal().expect("a reason")];
    assert_eq!(offer(s, at(now), y, at(taken)), Some(why));
    assert_eq!((s.bias, s.last_accepted), (bias, accepted), "{why:?} must change nothing");
    assert_eq!((s.refused[why.refusal().expect("a reason")], s.last_refusal), (before + 1, Some(why)));
    assert_eq!(s.last_sample, Some(at(taken)), "it is shown");
}

#[test]
fn error_is_taken_at_the_sample_time() {
    let mut s = state();
    // At 300 s the raw prediction was 1.060; now (600 s) it is 1.120.
    let outcome = s.offer(PredictionId(3), at(600), Some(1.080), at(302)).expect("new");
    assert_eq!((outcome.verdict, outcome.output, outcome.taken), (SampleVerdict::Accepted, PredictionId(3), at(302)));
    assert!((s.last_error - 0.020).abs() < 1e-12);
    assert!((s.bias - 0.006).abs() < 1e-12);
    assert_eq!((outcome.bias_before, outcome.raw, outcome.value), (0.0, Some(1.060), Some(1.080)));
    assert_eq!((s.refused, s.last_refusal), ([0; REFUSALS], None));
}

#[test]
fn error_after_bias_is_against_what_was_shown_at_the_sample_time() {
    let mut s = state();
    offer(&mut s, at(600), Some(1.080), at(300));
    s.remember(at(605), good(1.2));
    // Taken before the bias was learned: the bias of that time was 0, whatever it is now.
    let outcome = s.offer(PredictionId(0), at(606), Some(1.125), at(600)).expect("new");
    assert!((outcome.error_after_bias.expect("shown") - 0.005).abs() < 1e-12);
    assert_eq!(outcome.covered, Some(true));
    assert!((outcome.bias_before - 0.006).abs() < 1e-12, "but the bias was learned meanwhile");
    // Taken after it: shown were 1.2 and the bias.
    let outcome = s.offer(PredictionId(0), at(607), Some(1.25), at(605)).expect("new");
    assert!((outcome.error_after_bias.expect("shown") - (1.25 - 1.206)).abs() < 1e-12);
    assert_eq!(outcome.covered, Some(false), "0.044 away, half width 0.01");
}

#[test]
fn the_same_sample_time_is_never_taken_twice() {
    let mut s = state();
    assert!(offer(&mut s, at(600), Some(1.08), at(300)).is_some());
    let bias = s.bias;
    assert_eq!(offer(&mut s, at(601), Some(1.30), at(300)), None);
    // Nor after another one came between: an analyser that still shows its last result while somebody types another.
    assert!(offer(&mut s, at(602), Some(1.08), at(310)).is_some());
    let (bias_then, counted) = (s.bias, s.refused);
    assert_eq!(offer(&mut s, at(603), Some(1.30), at(300)), None);
    assert_eq!((s.bias, s.refused), (bias_then, counted));
    assert_ne!(bias, bias_then);
}

#[test]
fn the_same_value_of_another_time_is_another_sample() {
    let mut s = state();
    for i in 0..5 {
        assert_eq!(offer(&mut s, at(600), Some(1.08), at(300 + 5 * i)), Some(SampleVerdict::Accepted));
    }
}

#[test]
fn refused_from_the_future() {
    refused(&mut state(), 600, Some(1.1), 601, SampleVerdict::FromFuture);
}

#[test]
fn refused_when_younger_than_a_result_can_be() {
    let mut s = state_of(Bias { youngest: Duration::from_secs(60), ..RULE });
    refused(&mut s, 600, Some(1.1), 541, SampleVerdict::TooFresh);
    assert_eq!(offer(&mut s, at(600), Some(1.1), at(540)), Some(SampleVerdict::Accepted));
}

#[test]
fn refused_when_older_than_allowed() {
    let mut s = state();
    assert_eq!(offer(&mut s, at(1200), Some(1.1), at(600)), Some(SampleVerdict::Accepted), "600 s are allowed");
    refused(&mut s, 1200, Some(1.1), 599, SampleVerdict::TooOld);
}

#[test]
fn refused_when_the_value_is_bad() {
    refused(&mut state(), 600, None, 590, SampleVerdict::NotUsable);
    refused(&mut state(), 600, Some(f64::NAN), 590, SampleVerdict::NotUsable);
}

#[test]
fn refused_when_no_healthy_instrument_shows_that() {
    refused(&mut state(), 600, Some(1.7), 590, SampleVerdict::Implausible);
    refused(&mut state(), 600, Some(0.2), 591, SampleVerdict::Implausible);
}

#[test]
fn refused_when_there_was_no_prediction() {
    // Before the first run.
    refused(&mut state(), 600, Some(1.1), 2, SampleVerdict::NoPrediction);
    // While it was Bad.
    let mut s = state();
    s.remember(at(605), Shown::NOTHING);
    refused(&mut s, 610, Some(1.1), 607, SampleVerdict::NoPrediction);
}

#[test]
fn refused_when_the_prediction_was_not_good() {
    let mut s = state();
    s.remember(at(605), Shown { good: false, ..good(1.1) });
    refused(&mut s, 610, Some(1.1), 607, SampleVerdict::ModelNotGood);
    assert_eq!(offer(&mut s, at(610), Some(1.1), at(604)), Some(SampleVerdict::Accepted), "the run before was Good");
}

#[test]
fn refused_when_the_process_was_not_steady() {
    let mut s = state();
    s.remember(at(605), Shown { steady: false, ..good(1.1) });
    refused(&mut s, 610, Some(1.1), 607, SampleVerdict::NotSteady);
}

#[test]
fn held_until_a_second_sample_says_the_same() {
    let mut s = state_of(Bias { confirm: Confirm::Sigmas(4.0), ..RULE });
    // At 300 s: 1.060. Four times 0.01 is the limit.
    assert_eq!(offer(&mut s, at(600), Some(1.099), at(300)), Some(SampleVerdict::Accepted));
    let bias = s.bias;
    refused(&mut s, 600, Some(1.30), 305, SampleVerdict::Held);
    // A sample as predicted: the one before was a mistake, and is forgotten.
    assert_eq!(offer(&mut s, at(600), Some(1.062 + bias), at(310)), Some(SampleVerdict::Accepted));
    refused(&mut s, 600, Some(1.30), 315, SampleVerdict::Held);
    // Far, but on the other side: no confirmation.
    refused(&mut s, 600, Some(0.70), 320, SampleVerdict::Held);
    // The same side as the one before.
    let before = s.bias;
    assert_eq!(offer(&mut s, at(600), Some(0.80), at(325)), Some(SampleVerdict::Accepted));
    assert!((s.bias - (before - 0.02)).abs() < 1e-12, "one step towards it");
    // A change that is real goes on: no sample waits again.
    assert_eq!(offer(&mut s, at(600), Some(0.80), at(330)), Some(SampleVerdict::Accepted));
}

#[test]
fn the_limit_of_confirmation_is_an_amount_or_none() {
    let of = |confirm, sigma| {
        let mut s = BiasState::new(Bias { confirm, ..RULE }, Duration::from_secs(5), None, sigma);
        s.remember(at(5), good(1.0));
        offer(&mut s, at(10), Some(1.1), at(5))
    };
    assert_eq!(of(Confirm::Beyond(0.09), None), Some(SampleVerdict::Held));
    assert_eq!(of(Confirm::Beyond(0.11), None), Some(SampleVerdict::Accepted));
    assert_eq!(of(Confirm::Never, Some(0.001)), Some(SampleVerdict::Accepted));
    assert_eq!(of(Confirm::Sigmas(4.0), None), Some(SampleVerdict::Accepted), "without sigma nothing can be far");
}

#[test]
fn the_first_rule_that_is_broken_gives_the_reason() {
    let mut s = state_of(Bias { confirm: Confirm::Sigmas(4.0), ..RULE });
    s.remember(at(605), Shown { good: false, steady: false, ..good(1.1) });
    refused(&mut s, 610, Some(9.9), 611, SampleVerdict::FromFuture);
    refused(&mut s, 1300, Some(9.9), 606, SampleVerdict::TooOld);
    refused(&mut s, 610, Some(9.9), 607, SampleVerdict::Implausible);
    refused(&mut s, 610, Some(1.5), 608, SampleVerdict::ModelNotGood);
}

#[test]
fn one_step_and_total_bound_a_typing_error() {
    let mut s = state();
    for i in 0..10 {
        offer(&mut s, at(600 + i), Some(1.59), at(500 + i));
        assert!(s.bias <= 0.02 * (i + 1) as f64 + 1e-12);
        assert_eq!(s.at_total, i >= 2, "after {} steps of 0.02", i + 1);
    }
    assert!((s.bias - 0.05).abs() < 1e-12);
    // Samples that fit take the alarm back, and so does a reset.
    offer(&mut s, at(620), Some(1.12), at(600));
    assert!(!s.at_total);
    s.at_total = true;
    s.reset();
    assert_eq!((s.bias, s.at_total), (0.0, false));
}

#[test]
fn expiry_counts_from_the_last_accepted_sample() {
    let mut s = state();
    assert!(!s.expired(at(7000), Timestamp::ZERO));
    assert!(s.expired(at(7201), Timestamp::ZERO));
    offer(&mut s, at(600), Some(1.08), at(300));
    assert!(!s.expired(at(7700), Timestamp::ZERO));
    assert!(s.expired(at(7801), Timestamp::ZERO));
    offer(&mut s, at(7802), Some(9.9), at(7800));
    assert!(s.expired(at(7802), Timestamp::ZERO), "a refused sample renews nothing");
}

#[test]
fn the_run_in_force_is_found_wherever_it_lies_in_the_ring() {
    // A ring of 122 runs that has gone round several times; compared with looking at every run.
    let mut s = BiasState::new(RULE, Duration::from_secs(5), None, None);
    let mut all = Vec::new();
    let mut time = 0;
    for i in 0..1000u64 {
        time += 1 + i * 2_654_435_761 % 9;
        all.push((time, i as f64));
        s.remember(at(time), good(i as f64));
        for look in [0, 1, time / 2, time.saturating_sub(300), time - 1, time, time + 50] {
            let kept = &all[all.len().saturating_sub(122)..];
            let wanted = kept.iter().rev().find(|(t, _)| *t <= look).map(|(_, raw)| *raw);
            assert_eq!(s.past_at(at(look)).and_then(|p| p.shown.raw), wanted, "at {look} of {time}");
        }
    }
}

#[test]
fn any_samples_keep_the_bias_bounded_and_finite() {
    let mut s = state_of(Bias { confirm: Confirm::Sigmas(4.0), ..RULE });
    let mut n = 1_u64;
    for i in 0..20_000u64 {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let y = match n >> 60 {
            0 => f64::MAX,
            1 => -f64::MAX,
            2 => f64::INFINITY,
            _ => (n >> 20 & 0xFFFF) as f64 * 3e-5,
        };
        let before = s.bias;
        s.offer(PredictionId(0), at(600), Some(y).filter(|_| n >> 59 & 1 == 0), at((n >> 33) % 700));
        assert!(
            s.bias.abs() <= RULE.total + 1e-12 && (s.bias - before).abs() <= RULE.one_step + 1e-12,
            "sample {i}: {y}"
        );
    }
    assert!(s.refused.iter().filter(|n| **n > 0).count() >= 4, "{:?}", s.refused);
}
