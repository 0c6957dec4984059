//! The score of a scenario: what the acceptance of R-101 asks, measured on truth, beside the oracle's answer.
//!
//! Words: *required* is the acceptance; *got* is what happened. Limits: duty 6000 kJ/h with 6450 allowed for a step and 6060 for a
//! ramp, product 1.06 mol/l, 95 % of the oracle's profit within 25 min of closing, back within 11 min.

use std::collections::VecDeque;
use std::time::Duration;

use crate::panel::MvName;
use crate::plc::{FirstOffer, PlcOptions, Truth};
use crate::r101::oracle::{self, DUTY_HIGH, Oracle, PRODUCT_LOW};
use crate::scenario::Disturbance;

/// Moves of the runtime in `MOVE_WINDOW_S`, up and down, by MV (l/h and K).
const MOVES: [(f32, f32); 2] = [(2.0, 4.0), (0.2, 0.5)];
const MOVE_WINDOW_S: usize = 30;
/// A long window catches what sums up over many moves.
const LONG_WINDOW_MOVES: usize = 10;
/// Means are taken over the last minute.
const MEAN_S: usize = 60;
const PROFIT_WITHIN: Duration = Duration::from_secs(25 * 60);
const BACK_WITHIN: Duration = Duration::from_secs(11 * 60);
/// "Near" the oracle's feed, l/h: two percent, which is what a back-off on the duty costs.
const FEED_NEAR: f64 = 3.5;

/// One line of the closing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What.
    pub what: &'static str,
    /// What was required.
    pub required: String,
    /// What happened.
    pub got: String,
    /// Met.
    pub passed: bool,
}

/// The closing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Lines in reading order.
    pub rows: Vec<Row>,
}

impl Verdict {
    /// All lines passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|r| r.passed)
    }
}

/// Largest move inside a window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moved {
    up: f32,
    down: f32,
}

/// The running score. Memory is bounded: five minutes of setpoints and one of profit.
#[derive(Debug, Clone)]
pub struct Score {
    disturbance: Disturbance,
    /// When the loop closed first.
    pub closed_at: Option<Duration>,
    /// When the disturbance began.
    pub disturbed_at: Option<Duration>,
    /// Lowest product since closing, mol/l.
    pub product_low: f64,
    /// Highest duty since the disturbance, kJ/h.
    pub duty_high: f64,
    /// Last time at which the duty was above its limit since the disturbance.
    pub above_until: Option<Duration>,
    /// Time spent above the limit since the disturbance.
    pub above_for: Duration,
    /// When the mean profit of one minute first reached 95 % of the oracle's.
    pub profit_reached_at: Option<Duration>,
    /// Mean profit of the last minute, EUR/h; since the disturbance in `profit_end`.
    pub profit_climbed: f64,
    /// Mean profit of the last minute after the disturbance, EUR/h.
    pub profit_end: f64,
    /// First offers by MV.
    pub first_offers: [Option<FirstOffer>; 2],
    /// Sheds since closing.
    pub sheds: u16,
    /// Largest step of an active setpoint in one scan, as a share of rate x scan.
    pub largest_step: f32,
    /// Feed setpoint now, l/h.
    pub feed: f64,
    profits: VecDeque<f64>,
    setpoints: VecDeque<[f32; 2]>,
    moved: [Moved; 2],
    moved_long: [Moved; 2],
    before: Option<Truth>,
    optimum: Oracle,
    optimum_after: Option<Oracle>,
}

impl Score {
    /// A score for the base case of R-101 with this disturbance.
    #[must_use]
    pub fn new(disturbance: Disturbance) -> Self {
        let after = match disturbance {
            Disturbance::None => None,
            Disturbance::Step { to } | Disturbance::Ramp { to, .. } => Some(oracle::oracle(5.10, to)),
        };
        Self {
            disturbance,
            closed_at: None,
            disturbed_at: None,
            product_low: f64::INFINITY,
            duty_high: 0.0,
            above_until: None,
            above_for: Duration::ZERO,
            profit_reached_at: None,
            profit_climbed: 0.0,
            profit_end: 0.0,
            first_offers: [None; 2],
            sheds: 0,
            largest_step: 0.0,
            feed: 0.0,
            profits: VecDeque::with_capacity(MEAN_S),
            setpoints: VecDeque::with_capacity(MOVE_WINDOW_S * LONG_WINDOW_MOVES + 1),
            moved: [Moved::default(); 2],
            moved_long: [Moved::default(); 2],
            before: None,
            optimum: oracle::oracle(5.10, 116.0),
            optimum_after: after,
        }
    }

    /// The disturbance begins.
    pub fn disturbed(&mut self, now: Duration) {
        self.disturbed_at = Some(now);
    }

    /// The optimum that the plant should reach now.
    #[must_use]
    pub fn oracle(&self) -> Oracle {
        self.optimum_after.filter(|_| self.disturbed_at.is_some()).unwrap_or(self.optimum)
    }

    /// Looks at one scan. Bounded by the windows.
    pub fn observe(&mut self, truth: &Truth, options: &PlcOptions) {
        if truth.link.x_closed_loop && self.closed_at.is_none() {
            self.closed_at = Some(truth.time);
        }
        self.feed = f64::from(truth.mvs[0].gate.r_sp_out);
        if self.closed_at.is_some() {
            self.product_low = self.product_low.min(truth.reactor.c_b);
            self.sheds = truth.link.ui_shed_count;
            for i in 0..2 {
                self.first_offers[i] = self.first_offers[i].or(truth.mvs[i].first_offer);
            }
            self.observe_step(truth, options);
            if truth.time.subsec_nanos() == 0 {
                self.each_second(truth);
            }
        }
        if self.disturbed_at.is_some() {
            self.duty_high = self.duty_high.max(truth.duty);
            if truth.duty > DUTY_HIGH {
                self.above_until = Some(truth.time);
                self.above_for += options.scan;
            }
        }
        self.before = Some(*truth);
    }

    fn observe_step(&mut self, truth: &Truth, options: &PlcOptions) {
        let Some(before) = &self.before else { return };
        for mv in MvName::ALL {
            let i = mv.index();
            let settings = &options.gate.mvs[i];
            let step = truth.mvs[i].gate.r_sp_out - before.mvs[i].gate.r_sp_out;
            let rate = if step > 0.0 { settings.r_rate_up } else { settings.r_rate_dn };
            self.largest_step = self.largest_step.max(step.abs() / (rate * options.scan.as_secs_f32()));
        }
    }

    fn each_second(&mut self, truth: &Truth) {
        if self.profits.len() == MEAN_S {
            self.profits.pop_front();
        }
        self.profits.push_back(truth.profit);
        let mean = self.profits.iter().sum::<f64>() / self.profits.len() as f64;
        if self.disturbed_at.is_some() {
            self.profit_end = mean;
        } else {
            self.profit_climbed = mean;
            if self.profits.len() == MEAN_S && mean >= 0.95 * self.optimum.point().profit {
                self.profit_reached_at = self.profit_reached_at.or(Some(truth.time));
            }
        }

        let now = [truth.mvs[0].gate.r_sp_out, truth.mvs[1].gate.r_sp_out];
        self.setpoints.push_back(now);
        let long = MOVE_WINDOW_S * LONG_WINDOW_MOVES;
        if self.setpoints.len() > long + 1 {
            self.setpoints.pop_front();
        }
        let back = |seconds: usize| self.setpoints[self.setpoints.len().saturating_sub(seconds + 1)];
        let (short_ago, long_ago) = (back(MOVE_WINDOW_S), back(long));
        for i in 0..2 {
            for (moved, then) in [(&mut self.moved[i], short_ago[i]), (&mut self.moved_long[i], long_ago[i])] {
                moved.up = moved.up.max(now[i] - then);
                moved.down = moved.down.max(then - now[i]);
            }
        }
    }

    /// The closing table.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let best = self.optimum.point();
        let since_closing = |t: Option<Duration>| t.zip(self.closed_at).map(|(t, c)| t.saturating_sub(c));
        let minutes = |d: Option<Duration>| d.map_or("never".into(), |d| format!("{:.1} min", d.as_secs_f64() / 60.0));
        let mut rows = Vec::new();
        let mut row = |what, required: String, got: String, passed| rows.push(Row { what, required, got, passed });

        row("loop closed", "yes".into(), self.closed_at.map_or("never".into(), |t| format!("at {} s", t.as_secs())), self.closed_at.is_some());
        for mv in MvName::ALL {
            let what = ["first feed offer = setpoint", "first temperature offer = setpoint"][mv.index()];
            let offer = self.first_offers[mv.index()];
            let got = offer.map_or("none".into(), |o| format!("{:.3} at {:.3}", o.offered, o.active));
            row(what, "equal".into(), got, offer.is_some_and(|o| (o.offered - o.active).abs() <= 1e-3));
        }
        let reached = since_closing(self.profit_reached_at);
        row(
            "95 % of the oracle's profit",
            format!("{:.2} EUR/h within 25 min", 0.95 * best.profit),
            format!("{} ({:.2} of {:.2} EUR/h)", minutes(reached), self.profit_climbed, best.profit),
            reached.is_some_and(|d| d <= PROFIT_WITHIN) && self.profit_climbed >= 0.95 * best.profit,
        );
        row("product B", format!(">= {PRODUCT_LOW} mol/l"), format!("{:.4}", self.product_low), self.product_low.is_finite() && self.product_low >= PRODUCT_LOW);
        self.disturbance_rows(&mut row);
        let steps = format!("{:.1} %", self.largest_step * 100.0);
        row("step per scan", "<= 100 % of rate x scan".into(), steps, self.largest_step <= 1.01);
        for mv in MvName::ALL {
            let i = mv.index();
            let (up, down) = MOVES[i];
            // A period may jitter by one second, in which the PLC ramps on.
            let slack = [1.0, 0.1][i];
            let many = LONG_WINDOW_MOVES as f32;
            let (short, long) = (self.moved[i], self.moved_long[i]);
            let passed = short.up <= up + slack
                && short.down <= down + slack
                && long.up <= up * many + slack
                && long.down <= down * many + slack;
            let what = ["feed moves in 30 s", "temperature moves in 30 s"][i];
            row(what, format!("+{up} / -{down}"), format!("+{:.2} / -{:.2}", short.up, short.down), passed);
        }
        row("sheds", "0".into(), self.sheds.to_string(), self.sheds == 0);
        Verdict { rows }
    }

    fn disturbance_rows(&self, row: &mut impl FnMut(&'static str, String, String, bool)) {
        let allowed = match self.disturbance {
            Disturbance::None => return,
            Disturbance::Step { .. } => 6450.0,
            Disturbance::Ramp { .. } => 6060.0,
        };
        let happened = self.disturbed_at.is_some();
        row("highest duty", format!("<= {allowed:.0} kJ/h"), format!("{:.0}", self.duty_high), happened && self.duty_high <= allowed);
        if let Disturbance::Step { .. } = self.disturbance {
            let after = self.above_until.zip(self.disturbed_at).map(|(t, d)| t.saturating_sub(d)).unwrap_or_default();
            let got = format!("{} s ({} s above)", after.as_secs(), self.above_for.as_secs());
            row("duty back <= 6000 kJ/h", "within 660 s of the step".into(), got, happened && after <= BACK_WITHIN);
        }
        let wanted = self.oracle().point();
        let near = (self.feed - wanted.feed).abs() <= FEED_NEAR;
        row("feed at the end", format!("{:.0} +- {FEED_NEAR} l/h", wanted.feed), format!("{:.1}", self.feed), happened && near);
        row("profit at the end", format!("oracle {:.2} EUR/h", wanted.profit), format!("{:.2}", self.profit_end), happened);
    }
}
