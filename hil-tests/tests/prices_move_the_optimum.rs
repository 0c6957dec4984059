//! Promise: a price that changes while running moves the optimum of R-101 to where brute force over the plant finds it, within one optimiser
//! period.

use flyball_config::Role;
use flyball_core::command::{Action, Command};
use flyball_core::optimum::SolveStatus;
use flyball_hil_tests::{VirtualRun, engines, example};
use flyball_rig::r101::oracle::point;
use flyball_rig::scenario::Plan;

/// Scan at which the price is changed: windows are full, the reactor stands at its base point.
const CHANGE_AT: u64 = 400;
/// Feed concentration and temperature of the rig at its base point.
const C_A0: f64 = 5.10;
const T0: f64 = 116.0;

/// Profit at steady state with these prices of B, A and duty; none where a limit with its back-off is not met.
fn profit(prices: [f64; 3], feed: f64, temperature: f64) -> Option<f64> {
    let p = point(feed, temperature, C_A0, T0);
    let met = p.c_b >= 1.06 + 0.008 - 1e-3 && p.duty <= 6000.0 - 70.0 + 10.0;
    met.then(|| prices[0] * feed * p.c_b - prices[1] * feed * C_A0 - prices[2] * p.duty)
}

fn best(prices: [f64; 3]) -> f64 {
    let grid = (160..=400).flat_map(|f| (1050..=1200).map(move |t| (f64::from(f) / 2.0, f64::from(t) / 10.0)));
    grid.filter_map(|(f, t)| profit(prices, f, t)).fold(f64::NEG_INFINITY, f64::max)
}

fn changed(index: u32, price: f64) {
    let config = example("r101.toml");
    let every = config.optimiser.as_ref().unwrap().every.as_secs();
    let mut prices = [0.60, 0.105, 0.0015];
    let spoil = Box::new(move |cycle: &flyball_core::time::ScanCycle, image: &mut flyball_core::image::InputImage| {
        if cycle.number == CHANGE_AT {
            let action = Action::SetPrice(index, price);
            let _ = image.commands.push(Command { id: 1, role: Role::Engineer, action });
        }
    });
    let mut run = VirtualRun::with(&config, Plan::STEP, 1, engines(&config).engines, spoil);
    let mut old = [0.0; 2];
    loop {
        let record = run.scan();
        let at = |i: usize| record.optimum.mvs[i].optimum;
        if record.cycle.number < CHANGE_AT {
            if record.solved {
                old = [at(0), at(1)];
            }
            continue;
        }
        assert!(record.cycle.number <= CHANGE_AT + every, "no solve within one period");
        if record.solved {
            prices[index as usize] = price;
            assert_eq!(record.prices[index as usize], price);
            assert_ne!(record.optimum.status, SolveStatus::Failed);
            let (feed, temperature) = (at(0), at(1));
            let says = format!("from {old:?} to {feed:.1} l/h, {temperature:.2} degC, {:?}", record.optimum.status);
            println!("price {index} = {price}: {says}");
            let got = profit(prices, feed, temperature).unwrap_or_else(|| panic!("limits are not met: {says}"));
            let best = best(prices);
            assert!(got >= best - 0.01 * best.abs().max(1.0), "{says}: {got:.3} of {best:.3} EUR/h");
            // Staying where the old prices pointed to would have been worse, or is still the best.
            let stayed = profit(prices, old[0], old[1]).unwrap_or(f64::NEG_INFINITY);
            assert!(got >= stayed - 0.01 * best.abs().max(1.0), "{says}: staying gives {stayed:.3}");
            return;
        }
    }
}

#[test]
fn twice_the_price_of_cooling() {
    changed(2, 0.003);
}

#[test]
fn twice_the_price_of_the_feed_turns_the_optimum_round() {
    changed(1, 0.21);
}
