//! te4 as a PLC meets it: valves that lag, noisy measurements, and a composition analyser that is one sample late. Pure.
//!
//! Words: *truth* is the state of the equations; *measurement* is truth plus the noise of one instrument; *position* is where a valve is,
//! *demand* where it shall go, both in %.

use std::time::Duration;

use super::loops::{LEVEL_SETPOINT, PERIOD_S};
use super::plant::{self, Outputs, Point, State, Surroundings};
use crate::random::Random;

/// Time constant of every valve, h (Ricker 1993).
const VALVE_LAG_H: f64 = 0.00277;
/// Longest step of the integration, s.
const LONGEST_STEP_S: f64 = 10.0;

/// Standard deviations of the instruments. Bounded: no reading is off by more than six of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Pressure, kPa.
    pub pressure: f64,
    /// Level, %.
    pub level: f64,
    /// Each flow, as a share of itself.
    pub flow: f64,
    /// Each fraction, % of the vapour.
    pub fraction: f64,
}

impl Noise {
    /// Good instruments.
    pub const SMALL: Self = Self { pressure: 0.3, level: 0.05, flow: 0.001, fraction: 0.05 };
    /// Exact instruments.
    pub const OFF: Self = Self { pressure: 0.0, level: 0.0, flow: 0.0, fraction: 0.0 };
}

/// One scan's readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurements {
    /// Pressure, kPa.
    pub pressure: f64,
    /// Level, %.
    pub level: f64,
    /// Feed 1, feed 2, purge, product, kmol/h.
    pub flows: [f64; 4],
    /// Fractions of A, B and C in the purge as the analyser shows them, %: 0.1 h to 0.2 h old.
    pub fractions: [f64; 3],
    /// Valve positions, %.
    pub positions: [f64; 4],
}

/// The plant with its valves and instruments.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Truth.
    pub state: State,
    /// Feed composition and catalyst. Disturbances are set here.
    pub around: Surroundings,
    /// Where the valves are, %.
    pub positions: [f64; 4],
    noise: Noise,
    random: Random,
    time_ms: u64,
    /// What the analyser shows, and the sample that it is working on, %.
    shown: [f64; 3],
    working: [f64; 3],
}

impl Process {
    /// Steady at this point, with the analyser's last samples taken there.
    #[must_use]
    pub fn steady(point: &Point, around: Surroundings, noise: Noise, seed: u64) -> Self {
        let shown = point.fractions.map(|y| 100.0 * y);
        Self {
            state: State::holding(point.pressure, LEVEL_SETPOINT, point.fractions),
            around,
            positions: point.valves,
            noise,
            random: Random::new(seed),
            time_ms: 0,
            shown,
            working: shown,
        }
    }

    /// Advances by `step` with the valves asked to these positions, %. Work: one integration step per 10 s or part of it.
    pub fn advance(&mut self, step: Duration, demands: [f64; 4]) {
        let seconds = step.as_secs_f64();
        let steps = (seconds / LONGEST_STEP_S).ceil().max(1.0);
        let hours = seconds / steps / 3600.0;
        let share = 1.0 - (-hours / VALVE_LAG_H).exp();
        for _ in 0..steps as u64 {
            for (position, demand) in self.positions.iter_mut().zip(demands) {
                *position += (demand.clamp(0.0, 100.0) - *position) * share;
            }
            self.state = self.state.advance(hours, self.positions, &self.around);
        }
        let before = self.time_ms / (PERIOD_S * 1000);
        self.time_ms += step.as_millis() as u64;
        if self.time_ms / (PERIOD_S * 1000) != before {
            self.shown = self.working;
            let truth = self.outputs().fractions;
            self.working = truth.map(|y| (100.0 * y + self.noise.fraction * self.random.normal()).max(0.0));
        }
    }

    /// Truth: pressure, fractions, level, flows.
    #[must_use]
    pub fn outputs(&self) -> Outputs {
        self.state.outputs(self.positions)
    }

    /// Truth: cost now, $ per kmol of product.
    #[must_use]
    pub fn cost(&self) -> f64 {
        let Outputs { fractions: [a, _, c], flows: [_, _, purge, product], .. } = self.outputs();
        plant::cost(purge, a, c, product)
    }

    /// Reads the instruments once. Every call draws new noise.
    pub fn measure(&mut self) -> Measurements {
        let out = self.outputs();
        let Noise { pressure, level, flow, .. } = self.noise;
        Measurements {
            pressure: out.pressure + pressure * self.random.normal(),
            level: out.level + level * self.random.normal(),
            flows: out.flows.map(|f| f * (1.0 + flow * self.random.normal())),
            fractions: self.shown,
            positions: self.positions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(noise: Noise) -> Process {
        let around = Surroundings::default();
        let point = plant::steady(2700.0, 0.47, 100.0, &around).expect("the base case");
        Process::steady(&point, around, noise, 1)
    }

    #[test]
    fn the_analyser_is_one_sample_late() {
        let mut p = base(Noise::OFF);
        let mut demands = p.positions;
        demands[1] = 60.0;
        let period = Duration::from_secs(PERIOD_S);
        let mut truth = vec![p.outputs().fractions[0]];
        for _ in 0..5 {
            p.advance(period, demands);
            truth.push(p.outputs().fractions[0]);
            let shown = p.measure().fractions[0] / 100.0;
            assert!((shown - truth[truth.len() - 2]).abs() < 1e-12, "{shown} of {truth:?}");
        }
        assert!(truth[5] > truth[0] + 0.01, "more A is there: {truth:?}");
    }

    #[test]
    fn a_valve_is_at_63_percent_after_its_time_constant() {
        let mut p = base(Noise::OFF);
        let start = p.positions;
        let step = Duration::from_secs_f64(VALVE_LAG_H * 3600.0);
        p.advance(step, start.map(|v| v + 1.0));
        for (now, before) in p.positions.into_iter().zip(start) {
            assert!((now - before - (1.0 - (-1.0f64).exp())).abs() < 1e-9, "{now}");
        }
    }

    #[test]
    fn same_seed_same_noise() {
        let read = |seed| {
            let mut p = base(Noise::SMALL);
            p.random = Random::new(seed);
            p.measure()
        };
        assert_eq!(read(7), read(7));
        assert_ne!(read(7), read(8));
        assert!((read(7).pressure - 2700.0).abs() < 2.0);
    }
}
