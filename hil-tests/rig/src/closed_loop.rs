//! Tests of the whole loop without a model: the hand-made controller drives PLC, gate and plant through the story of R-101.
//!
//! They show that the rig obeys the reference numbers, that the acceptance can be met by legal moves, and that the score can say no.

use std::time::Duration;

use crate::hand::Hand;
use crate::plc::{PlcOptions, SimPlc};
use crate::r101::process::Noise;
use crate::scenario::{Chapter, Disturbance, Plan, Scenario};
use crate::score::Score;

/// Plays a plan; the hand goes to `climb` and after the disturbance to `cut`.
fn play(plan: Plan, noise: Noise, climb: [f64; 2], cut: [f64; 2]) -> Score {
    let mut plc = SimPlc::new(PlcOptions { noise, ..PlcOptions::default() });
    let mut hand = Hand::to(climb);
    let mut scenario = Scenario::new(plan);
    while !scenario.over() {
        plc.scan();
        if scenario.step(&mut plc) == Chapter::Disturbed {
            hand.targets = cut;
        }
        hand.act(&mut plc);
    }
    scenario.score().clone()
}

fn failed(score: &Score) -> Vec<&'static str> {
    score.verdict().rows.iter().filter(|r| !r.passed).map(|r| r.what).collect()
}

fn close(what: &str, got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{what}: got {got}, want {want} +- {tolerance}");
}

#[test]
fn ramp_to_the_optimum_through_the_gate() {
    // Reference by a smooth ramp: lowest product 1.082. Ours moves in steps every 30 s, and the feed lags by 3 s.
    let score = play(Plan { disturbance: Disturbance::None, ..Plan::STEP }, Noise::OFF, [200.0, 120.0], [200.0, 120.0]);
    assert_eq!(failed(&score), [""; 0]);
    close("product", score.product_low, 1.082, 1.5e-3);
    close("profit", score.profit_climbed, 17.82, 0.05);
}

#[test]
fn a_timely_cut_meets_the_acceptance_of_the_step() {
    for noise in [Noise::OFF, Noise::SMALL] {
        let score = play(Plan::STEP, noise, [200.0, 120.0], [173.0, 120.0]);
        assert_eq!(failed(&score), [""; 0], "{:#?}", score.verdict());
        assert!(score.duty_high > 6200.0, "{}", score.duty_high);
    }
}

#[test]
fn a_timely_cut_meets_the_acceptance_of_the_ramp() {
    let score = play(Plan::RAMP, Noise::SMALL, [200.0, 120.0], [173.0, 120.0]);
    assert_eq!(failed(&score), [""; 0], "{:#?}", score.verdict());
}

#[test]
fn without_a_cut_the_score_says_no() {
    let score = play(Plan::STEP, Noise::OFF, [200.0, 120.0], [200.0, 120.0]);
    close("duty", score.duty_high, 6708.0, 5.0);
    assert_eq!(failed(&score), ["highest duty", "duty back <= 6000 kJ/h", "feed at the end"]);
}

#[test]
fn staying_at_the_base_case_fails_on_profit() {
    let score = play(Plan { disturbance: Disturbance::None, ..Plan::STEP }, Noise::OFF, [140.0, 114.0], [140.0, 114.0]);
    assert_eq!(failed(&score), ["95 % of the oracle's profit"]);
}

#[test]
fn nobody_switches_on() {
    let plan = Plan { give_up_at: Duration::from_secs(60), ..Plan::STEP };
    let mut plc = SimPlc::new(PlcOptions::default());
    let mut scenario = Scenario::new(plan);
    while !scenario.over() {
        plc.scan();
        scenario.step(&mut plc);
    }
    assert!(failed(scenario.score()).contains(&"loop closed"));
    assert!(plc.time() <= Duration::from_secs(61));
}
