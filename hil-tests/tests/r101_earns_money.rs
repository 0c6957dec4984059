//! Promise: on the worked example the loop closes, climbs to the optimum, and keeps every limit through a disturbance, in virtual time.
//!
//! The invariants of docs/SAFETY.md are checked in every scan on the way.

use flyball_config::Config;
use flyball_core::mode::Mode;
use flyball_core::record::ScanRecord;
use flyball_hil_tests::{VirtualRun, example};
use flyball_rig::scenario::{Chapter, Plan};

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

fn play(plan: Plan, seed: u64) {
    let config = example("r101.toml");
    let words = flyball::words::Words::new(&config);
    let mut run = VirtualRun::new(&config, plan, seed);
    let (mut sum, mut n) = (0.0, 0u32);
    while !run.over() {
        let record = run.scan();
        invariants(&config, record);
        for event in &record.events {
            println!("{:>7.0} s  {}", record.cycle.now.as_secs_f64(), words.event(event));
        }
        let p = record.predictions[0];
        if let (Some(cb), true) = (p.get(), p.in_domain) {
            let error = cb - run.truth().reactor.c_b;
            sum += error * error;
            n += 1;
        }
    }
    let scenario = run.scenario.lock().expect("not poisoned");
    let verdict = scenario.score().verdict();
    for row in &verdict.rows {
        println!("{:<45} {:>25} {:>25} {}", row.what, row.required, row.got, if row.passed { "ok" } else { "NOT MET" });
    }
    let rmsep = (sum / f64::from(n.max(1))).sqrt();
    println!("soft sensor RMSEP {rmsep:.4} mol/l over {n} scans inside its domain");
    assert!(verdict.passed(), "acceptance not met: {verdict:#?}");
    assert!(n > 1000 && rmsep <= 0.015, "RMSEP {rmsep} over {n} scans");
    assert_eq!(scenario.chapter(), Chapter::Over);
}

#[test]
fn a_step_of_the_feed_temperature() {
    play(Plan::STEP, 1);
}

#[test]
fn a_ramp_of_the_feed_temperature() {
    play(Plan::RAMP, 2);
}
