//! R-101 as a PLC meets it: actuators in, noisy measurements out, and a gas chromatograph whose answer is always late. Pure.
//!
//! Words: *truth* is the state of the equations; *measurement* is truth plus the noise of one instrument; *process time* is the time
//! of the plant since its start.

use std::time::Duration;

use super::plant::{self, Feed, State};
use crate::random::Random;

/// Time constant of the feed loop, s.
const FEED_LAG_S: f64 = 3.0;
/// AI-101 takes a sample this often, ms.
const GC_PERIOD_MS: i64 = 600_000;
/// AI-101 needs this long for an answer, ms.
const GC_DELAY_MS: i64 = 300_000;
/// AI-100: the shift laboratory reports this often, ms (three times a day).
const LAB_PERIOD_MS: i64 = 28_800_000;

/// Standard deviations of the instruments. Bounded: no reading is off by more than six of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// FI-101, l/h.
    pub feed: f64,
    /// TI-101 and TI-102, K.
    pub temperature: f64,
    /// TI-103, K.
    pub feed_temperature: f64,
    /// QY-101, kJ/h.
    pub duty: f64,
    /// AI-101, mol/l.
    pub analyser: f64,
    /// AI-100, mol/l.
    pub laboratory: f64,
}

impl Noise {
    /// Good instruments. With less than this a frozen check would fire on a steady plant.
    pub const SMALL: Self =
        Self { feed: 0.2, temperature: 0.01, feed_temperature: 0.01, duty: 5.0, analyser: 0.002, laboratory: 0.0 };
    /// Exact instruments.
    pub const OFF: Self =
        Self { feed: 0.0, temperature: 0.0, feed_temperature: 0.0, duty: 0.0, analyser: 0.0, laboratory: 0.0 };
}

/// One scan's readings of the instruments wired to the PLC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurements {
    /// FI-101, l/h.
    pub feed: f64,
    /// TI-101 reactor, degC.
    pub temperature: f64,
    /// TI-102 jacket, degC.
    pub jacket: f64,
    /// TI-103 feed, degC.
    pub feed_temperature: f64,
    /// QY-101, kJ/h.
    pub duty: f64,
    /// AI-100, mol/l.
    pub c_a0: f64,
}

/// Newest result of AI-101.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GcResult {
    /// Product B, mol/l.
    pub c_b: f64,
    /// When the sample was taken: process time in ms; before the start it is negative.
    pub sampled_ms: i64,
    /// The analyser's valid bit.
    pub valid: bool,
}

/// The plant with its instruments.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Truth.
    pub state: State,
    /// Feed as it is: flow, concentration, temperature.
    pub feed: Feed,
    /// Duty as it is, kJ/h.
    pub duty: f64,
    /// Valid bit of AI-101; false simulates a sick analyser.
    pub gc_healthy: bool,
    noise: Noise,
    random: Random,
    time_ms: i64,
    gc: GcResult,
    gc_pending: Option<(f64, i64)>,
    lab_c_a0: f64,
}

impl Process {
    /// Steady at a feed and a reactor temperature (degC). The analyser's last sample was taken 5 min ago, the laboratory's just now.
    #[must_use]
    pub fn steady(feed: Feed, temperature: f64, noise: Noise, seed: u64) -> Self {
        let (state, duty) = plant::steady(feed, temperature);
        let mut random = Random::new(seed);
        let gc = GcResult { c_b: state.c_b + noise.analyser * random.normal(), sampled_ms: -GC_DELAY_MS, valid: true };
        let lab_c_a0 = feed.c_a0 + noise.laboratory * random.normal();
        Self { state, feed, duty, gc_healthy: true, noise, random, time_ms: 0, gc, gc_pending: None, lab_c_a0 }
    }

    /// Advances by `step` with the actuators at these demands (l/h, kJ/h). Work: one integration step per second or part of it.
    pub fn advance(&mut self, step: Duration, flow_demand: f64, duty_demand: f64) {
        let seconds = step.as_secs_f64();
        self.feed.flow += (flow_demand - self.feed.flow) * (1.0 - (-seconds / FEED_LAG_S).exp());
        self.duty = duty_demand;
        self.state = plant::advance(self.state, seconds, self.feed, self.duty);
        let before = self.time_ms;
        self.time_ms += step.as_millis() as i64;
        let passed = |period: i64, phase: i64| (before - phase).div_euclid(period) != (self.time_ms - phase).div_euclid(period);
        if passed(GC_PERIOD_MS, GC_PERIOD_MS - GC_DELAY_MS) {
            let c_b = self.state.c_b + self.noise.analyser * self.random.normal();
            self.gc_pending = Some((c_b, self.time_ms));
        }
        if let Some((c_b, sampled_ms)) = self.gc_pending
            && self.time_ms >= sampled_ms + GC_DELAY_MS
        {
            self.gc = GcResult { c_b, sampled_ms, valid: self.gc_healthy };
            self.gc_pending = None;
        }
        if passed(LAB_PERIOD_MS, 0) {
            self.lab_c_a0 = self.feed.c_a0 + self.noise.laboratory * self.random.normal();
        }
    }

    /// Reads the instruments once. Every call draws new noise.
    pub fn measure(&mut self) -> Measurements {
        let mut noisy = |truth: f64, deviation: f64| truth + deviation * self.random.normal();
        Measurements {
            feed: noisy(self.feed.flow, self.noise.feed).max(0.0),
            temperature: noisy(self.state.t, self.noise.temperature),
            jacket: noisy(self.state.t_jacket, self.noise.temperature),
            feed_temperature: noisy(self.feed.t0, self.noise.feed_temperature),
            duty: noisy(self.duty, self.noise.duty),
            c_a0: self.lab_c_a0,
        }
    }

    /// What AI-101 shows.
    #[must_use]
    pub const fn gc(&self) -> GcResult {
        self.gc
    }

    /// Process time, ms since the start.
    #[must_use]
    pub const fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// Profit now, EUR/h, from truth.
    #[must_use]
    pub fn profit(&self) -> f64 {
        plant::profit(self.feed.flow, self.state.c_b, self.feed.c_a0, self.duty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Feed = Feed { flow: 140.0, c_a0: 5.10, t0: 116.0 };
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_analyser_is_five_minutes_late_and_says_when_it_sampled() {
        let mut p = Process::steady(BASE, 114.0, Noise::OFF, 1);
        let duty = p.duty;
        let mut changes = Vec::new();
        let mut truth = std::collections::BTreeMap::new();
        for second in 1..=3600 {
            p.advance(SECOND, 140.0 + f64::from(second) / 60.0, duty);
            truth.insert(p.time_ms(), p.state.c_b);
            if changes.last().is_none_or(|(_, r): &(i64, GcResult)| *r != p.gc()) {
                changes.push((p.time_ms(), p.gc()));
            }
        }
        let times: Vec<i64> = changes.iter().map(|(at, _)| *at / 1000).collect();
        assert_eq!(times, [1, 600, 1200, 1800, 2400, 3000, 3600]);
        for (at, result) in &changes[1..] {
            assert_eq!(at - result.sampled_ms, GC_DELAY_MS);
            assert!((result.c_b - truth[&result.sampled_ms]).abs() < 1e-12);
        }
    }

    #[test]
    fn the_feed_lags_by_seconds() {
        let mut p = Process::steady(BASE, 114.0, Noise::OFF, 1);
        let duty = p.duty;
        for _ in 0..30 {
            p.advance(Duration::from_millis(100), 150.0, duty);
        }
        assert!((p.feed.flow - (150.0 - 10.0 * (-1.0f64).exp())).abs() < 1e-9, "63 % after one time constant");
    }

    #[test]
    fn the_shift_laboratory_reports_three_times_a_day() {
        let mut p = Process::steady(BASE, 114.0, Noise::OFF, 1);
        p.feed.c_a0 = 5.25;
        assert!((p.measure().c_a0 - 5.10).abs() < 1e-12, "nobody has looked yet");
        p.advance(Duration::from_secs(8 * 3600), 140.0, p.duty);
        assert!((p.measure().c_a0 - 5.25).abs() < 1e-12);
    }

    #[test]
    fn same_seed_same_noise() {
        let read = |seed| {
            let mut p = Process::steady(BASE, 114.0, Noise::SMALL, seed);
            p.advance(SECOND, 140.0, p.duty);
            p.measure()
        };
        assert_eq!(read(7), read(7));
        assert_ne!(read(7), read(8));
        assert!((read(7).temperature - 114.0).abs() < 0.1);
    }
}
