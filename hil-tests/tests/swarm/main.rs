//! The swarm: each seed draws which faults come, how hard and when, and plays them on R-101 in CLOSED LOOP on the virtual clock.
//!
//! Safety: the observer judges every scan, whatever happens. Liveness: with the faults gone and a willing operator the loop is closed again
//! within a bound. A seed is a run: the same bytes every time. A seed that failed is kept below as a test with a name.
//!
//! ```sh
//! FLYBALL_SEED=1234 cargo test --release --workspace --test swarm -- --nocapture   # one seed, told event by event
//! FLYBALL_SEEDS=5000 cargo test --release --workspace --test swarm                 # as many as time allows
//! ```

mod draw;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use draw::{Draw, Planned, Readings};
use flyball::clock::VirtualClock;
use flyball_config::{Config, MvId, Role};
use flyball_core::command::Action;
use flyball_core::mode::Mode;
use flyball_hil_tests::fault::Stage;
use flyball_hil_tests::{engines, example};
use flyball_rig::random::Random;

/// Seeds when the environment says nothing.
const SEEDS: u64 = 40;
/// The safety phase.
const FAULTS_S: u64 = 900;
/// The loop must be closed again within this.
const CLOSED_WITHIN_S: u64 = 1_800;

/// The base case: feed l/h, temperature degC.
const BASE: [f32; 2] = [140.0, 114.0];

/// What a run was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    bytes: u64,
    written: (u64, u64),
    sheds: u32,
    closed_after: u64,
}

/// FNV-1a: small, the same everywhere.
fn digest(before: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(before, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01B3))
}

fn play(config: &Config, seed: u64, talks: bool) -> Run {
    let mut draw = Draw(Random::new(seed));
    let plan = draw.plan(FAULTS_S);
    let mut stage = Stage::cold(config.clone(), engines(config).engines, VirtualClock::new(), seed);
    stage.talks = talks;
    stage.close(draw.0.next_u64() % 900);
    let readings = Readings::default();
    readings.hook(&mut stage, seed);
    if talks {
        plan.iter().for_each(|p| println!("{p:?}"));
    }
    let mut run = Run { bytes: 0xCBF2_9CE4_8422_2325, written: (0, 0), sheds: 0, closed_after: 0 };
    let mut buffer = Vec::new();
    let mut scan = |stage: &mut Stage, run: &mut Run| {
        let before = stage.seconds();
        let record = stage.scan();
        buffer.clear();
        record.to_bytes(&mut buffer);
        run.bytes = digest(run.bytes, &buffer);
        let closed = record.mode.actual == Mode::ClosedLoop;
        let left = record.events.iter().any(|e| matches!(e, flyball_core::record::Event::Shed(_)));
        run.sheds += u32::from(left);
        (closed, stage.seconds() - before)
    };
    safety(&mut stage, &readings, &plan, &mut |stage| scan(stage, &mut run));
    run.closed_after = liveness(&mut stage, &mut |stage| scan(stage, &mut run));
    run.written = stage.observer.written;
    run
}

/// Faults come and go; the observer in `Stage::scan` judges.
fn safety(stage: &mut Stage, readings: &Readings, plan: &[Planned], scan: &mut dyn FnMut(&mut Stage) -> (bool, u64)) {
    let (start, mut laid) = (stage.seconds(), vec![false; plan.len()]);
    loop {
        let passed = stage.seconds() - start;
        for (planned, laid) in plan.iter().zip(&mut laid) {
            let due = passed >= planned.from && passed < planned.until && passed < FAULTS_S;
            if due != *laid {
                planned.fault.apply(stage, readings, due);
                *laid = due;
            }
            if due {
                planned.fault.again(stage, passed - planned.from);
            }
        }
        if passed >= FAULTS_S {
            return;
        }
        scan(stage);
    }
}

/// The faults are gone; an operator and an engineer put back what was changed and ask again. Seconds until the loop is closed.
fn liveness(stage: &mut Stage, scan: &mut dyn FnMut(&mut Stage) -> (bool, u64)) -> u64 {
    let prices: Vec<f64> = stage.config.optimiser.iter().flat_map(|o| o.prices.iter().map(|p| p.value)).collect();
    for (i, price) in (0..).zip(prices) {
        stage.command(Role::Engineer, Action::SetPrice(i, price));
    }
    let start = stage.seconds();
    loop {
        let passed = stage.seconds() - start;
        if passed.is_multiple_of(120) {
            // Off and on again: a latched shed waits for that. By hand the plant goes back to its base case, which the model knows.
            stage.inject(|plc| {
                plc.panel.enable = false;
                [plc.panel.mvs[0].local_setpoint, plc.panel.mvs[1].local_setpoint] = BASE;
            });
            for mv in [MvId(0), MvId(1)] {
                stage.command(Role::Operator, Action::MvService(mv, true));
            }
        } else if passed % 120 == 5 {
            stage.inject(|plc| plc.panel.enable = true);
            stage.command(Role::Operator, Action::SetMode(Mode::ClosedLoop));
        }
        let (closed, _) = scan(stage);
        if closed && passed % 120 > 5 {
            return stage.seconds() - start;
        }
        assert!(passed < CLOSED_WITHIN_S, "not closed again within {CLOSED_WITHIN_S} s");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_seed_keeps_the_invariants_and_comes_back() {
    let config = example("r101.toml");
    if let Some(seed) = number("FLYBALL_SEED") {
        println!("seed {seed}: {:?}", play(&config, seed, true));
        return;
    }
    let seeds = number("FLYBALL_SEEDS").unwrap_or(SEEDS);
    let (mut failed, mut sheds, mut slowest) = (Vec::new(), 0, (0, 0));
    let mut written = (0, 0);
    for seed in 1..=seeds {
        match catch_unwind(AssertUnwindSafe(|| play(&config, seed, false))) {
            Ok(run) => {
                sheds += run.sheds;
                written = (written.0 + run.written.0, written.1 + run.written.1);
                slowest = slowest.max((run.closed_after, seed));
            }
            Err(_) => {
                println!("seed {seed} failed: FLYBALL_SEED={seed} repeats it");
                failed.push(seed);
            }
        }
    }
    println!(
        "{seeds} seeds: {} setpoints written, {} moves, {sheds} sheds; closed again within {} s (seed {})",
        written.0, written.1, slowest.0, slowest.1
    );
    assert!(failed.is_empty(), "seeds {failed:?} of {seeds}");
    assert!(sheds > seeds as u32 / 2 && written.1 > seeds, "too tame to prove anything");
}

// Seeds that once failed.

#[test]
fn seed_34_a_withheld_scan_uses_up_no_sequence_number() {
    play(&example("r101.toml"), 34, false);
}

#[test]
fn same_seed_same_bytes() {
    let config = example("r101.toml");
    let mut seen = BTreeMap::new();
    for seed in [1, 2] {
        let first = play(&config, seed, false);
        assert_eq!(first, play(&config, seed, false), "seed {seed}");
        seen.insert(first.bytes, seed);
    }
    assert_eq!(seen.len(), 2, "another seed is another run");
}
