//! Promise: on the second plant the loop closes and finds the cheapest operation, and finds it again when the catalyst weakens and when
//! more is demanded, with the pressure below the override all the way. Judged on the true plant, beside the oracle.
//!
//! `cargo test --release --workspace --test te4_saves_money -- --nocapture` prints what happened in every ten plant hours.

use flyball_config::Config;
use flyball_core::mode::Mode;
use flyball_core::record::{Event, ScanRecord};
use flyball_hil_tests::example;
use flyball_hil_tests::te4::Te4Run;
use flyball_rig::te4::loops::OVERRIDE_AT;
use flyball_rig::te4::oracle::{PRESSURE_HIGH, oracle};
use flyball_rig::te4::plant::Surroundings;
use flyball_rig::te4::plc::Te4Options;
use flyball_rig::te4::score::Means;

/// Plant hours of one chapter: until means stand still.
const CHAPTER_H: f64 = 110.0;
/// Means are taken over the last hours.
const MEAN_H: usize = 10;
/// Activity after the catalyst was poisoned, and how long that takes, h. In one step no setpoint could hold the pressure: the rig's
/// tests show what then happens.
const WEAK: f64 = 0.829;
const WEAKENING_H: f64 = 12.0;

/// No setpoint outside ClosedLoop-and-in-control, none outside the limits.
fn invariants(config: &Config, record: &ScanRecord) {
    for (i, mv) in config.mvs.iter().enumerate() {
        let Some(written) = record.outputs.cell(mv.write) else { continue };
        let n = record.cycle.number;
        assert_eq!(record.mode.actual, Mode::ClosedLoop, "scan {n}: a setpoint outside CLOSED LOOP");
        assert!(record.mvs[i].in_control, "scan {n}: {} is not in control", mv.name);
        assert!(mv.limits.contains(written.get()), "scan {n}: {} = {}", mv.name, written.get());
    }
}

/// Plays a chapter: `each` acts before every scan with the hours since its begin. Answers the means at its end.
fn chapter(run: &mut Te4Run, config: &Config, name: &str, mut each: impl FnMut(&mut Te4Run, f64)) -> Means {
    println!("{name}");
    let words = flyball::words::Words::new(config);
    run.with_score(|score| score.reset_extremes());
    let (begin, mut told) = (run.hours(), 0.0);
    loop {
        let since = run.hours() - begin;
        if since >= CHAPTER_H {
            break;
        }
        each(run, since);
        let record = run.scan();
        invariants(config, record);
        // A solve every 6 min would drown the rest.
        for event in record.events.iter().filter(|e| !matches!(e, Event::Solve(_))) {
            println!("  {since:>6.2} h  {}", words.event(event));
        }
        let k = record.predictions[0].get();
        let answer: Vec<_> = record.optimum.mvs.iter().map(|m| (m.optimum, m.held_by)).collect();
        if since >= told + MEAN_H as f64 {
            told += MEAN_H as f64;
            let (means, t) = (run.with_score(|score| score.means(MEAN_H)), run.truth());
            let Some(m) = means else { continue };
            println!(
                "  {:>6.1} h  cost {:.4} $/kmol, {:.1} kPa, A {:.2} %, product {:.2} of {:.2} kmol/h, k {k:.4?}, purge valve {:.1} %, {answer:?}",
                since, m.cost, m.pressure, m.fraction_a, m.product, m.demand, t.positions[2]
            );
        }
    }
    let (pressure_high, valves) = run.with_score(|score| (score.pressure_high, score.valves));
    println!("  highest pressure {pressure_high:.1} kPa, valves {valves:.1?} %");
    assert!(pressure_high <= OVERRIDE_AT, "{name}: the pressure reached {pressure_high} kPa");
    for (number, (low, high)) in (1..).zip(valves) {
        // A valve at its end controls nothing: all stay a percent away from it.
        assert!(low > 1.0 && high < 99.0, "{name}: valve {number} was at {low} to {high} %");
    }
    run.with_score(|score| {
        assert!(!score.overridden && !score.tripped, "{name}: override {}, trip {}", score.overridden, score.tripped);
        assert_eq!(score.sheds, 0, "{name}: nobody asked for a shed");
        score.means(MEAN_H).expect("a chapter is longer than its means")
    })
}

/// From the base case to the optimum.
fn to_the_optimum(run: &mut Te4Run, config: &Config) {
    let means = chapter(run, config, "from the base case", |run, since| {
        // The operator watches for an hour, then switches APC on.
        run.rig.with_plc(|plc| plc.panel.enable = since >= 1.0);
    });
    let best = oracle(100.0, &Surroundings::default(), PRESSURE_HIGH).expect("feasible").point;
    println!("  {means:?}; oracle {:.4} $/kmol at A {:.2} %", best.cost, 100.0 * best.fractions[0]);
    assert!(run.with_score(|score| score.closed), "the loop closed");
    assert!(means.cost <= 0.095 && means.pressure <= PRESSURE_HIGH, "{means:?}");
    assert!((means.product - 100.0).abs() < 0.5, "the demand is met: {means:?}");
}

/// Means within 5 % of the oracle's cost, at a pressure that is allowed, with the demand met.
fn near(means: &Means, demand: f64, activity: f64) {
    let around = Surroundings { activity, ..Surroundings::default() };
    let best = oracle(demand, &around, PRESSURE_HIGH).expect("feasible").point;
    println!("  {means:?}; oracle {:.4} $/kmol at A {:.2} %", best.cost, 100.0 * best.fractions[0]);
    assert!(means.cost <= 1.05 * best.cost && means.pressure <= PRESSURE_HIGH, "{means:?} against {}", best.cost);
    assert!((means.product - demand).abs() < 0.5, "the demand is met: {means:?}");
}

#[test]
fn the_base_case_and_a_weaker_catalyst() {
    let config = example("te4.toml");
    let mut run = Te4Run::new(&config, Te4Options { seed: 1, ..Te4Options::default() });
    to_the_optimum(&mut run, &config);
    let means = chapter(&mut run, &config, "the catalyst weakens", |run, since| {
        let share = (since / WEAKENING_H).min(1.0);
        run.rig.with_plc(|plc| plc.process.around.activity = 1.0 - share * (1.0 - WEAK));
    });
    near(&means, 100.0, WEAK);
}

#[test]
fn the_base_case_and_more_demand() {
    let config = example("te4.toml");
    let mut run = Te4Run::new(&config, Te4Options { seed: 2, ..Te4Options::default() });
    to_the_optimum(&mut run, &config);
    let means = chapter(&mut run, &config, "15 % more is demanded", |run, _| {
        run.rig.with_plc(|plc| plc.demand_wanted = 115.0);
    });
    near(&means, 115.0, 1.0);
}

#[test]
fn switched_off_nothing_is_saved() {
    let config = example("te4.toml");
    let mut run = Te4Run::new(&config, Te4Options::default());
    let means = chapter(&mut run, &config, "APC off", |_, _| {});
    assert!((means.cost - 0.2415).abs() < 0.002, "{means:?}");
    assert!(!run.with_score(|score| score.closed));
}
