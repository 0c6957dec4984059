//! Prediction interval: split conformal, adapted by late samples.
//!
//! The interval of a prediction is value +- h. h is the quantile at level 1 - a of the size of the error *after bias*, of
//!
//! ```text
//! F(s) = (m F_file(s) + number of recent errors <= s) / (m + n)        recent: the newest n <= 100 accepted samples; m = 20
//! ```
//!
//! `F_file` comes from `plc.residuals`: errors on rows that the model was not trained on, m times as good as one sample. It begins as
//! the whole truth and fades to a sixth of it. Each accepted sample moves the level (I. Gibbs, E. Candes, "Adaptive conformal inference
//! under distribution shift", NeurIPS 2021):
//!
//! ```text
//! a <- a + adapt * ((1 - coverage) - miss)       miss: 1 if the sample lay outside the interval shown for its time, else 0
//! ```
//!
//! with a kept in [(1 - coverage) / 20, min(4 (1 - coverage), 1/2)], so that the interval stays finite and means something: beyond these
//! bounds the long-run guarantee of the paper does not hold, and the tracked coverage says so. What it cannot do: correct an offset (the
//! bias comes first) or promise coverage at one moment; it promises shares of many samples.

use crate::state::Archive;
use flyball_config::Interval;
use serde::{Deserialize, Serialize};

/// Samples that the file's quantiles count as.
const FILE_COUNTS: f64 = 20.0;
/// Recent errors that are kept.
const RECENT: usize = 100;
/// Halvings of the search for a quantile: to the last bit of what matters.
const HALVINGS: u32 = 60;
/// Of a normal distribution, 90 % lie within this many standard deviations.
const NORMAL_90: f64 = 1.644_853_6;

/// The size of the error of a model on rows that it was not trained on, one output.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorQuantiles {
    /// Share of rows (above 0, below 1, rising) and the size of error that they do not exceed (EU, not falling).
    points: Vec<(f64, f64)>,
}

impl ErrorQuantiles {
    /// None unless shares rise between 0 and 1, sizes are finite, do not fall and do not end at 0, and there is at least one.
    #[must_use]
    pub fn new(points: Vec<(f64, f64)>) -> Option<Self> {
        let (mut share, mut size) = (0.0, 0.0);
        for &(p, s) in &points {
            if !(p > share && p < 1.0 && s >= size && s.is_finite()) {
                return None;
            }
            (share, size) = (p, s);
        }
        (size > 0.0).then_some(Self { points })
    }

    /// Share of rows whose error is at most `s`: straight between the points; beyond the last one the rest falls as the inverse of the
    /// distance, through the last two points. That is slower than any usual error does, so it errs to the wide side.
    fn share_within(&self, s: f64) -> f64 {
        let (mut p0, mut s0, mut before) = (0.0, 0.0, (0.0, 0.0));
        for &(p, size) in &self.points {
            if s < size {
                return p0 + (p - p0) * (s - s0) / (size - s0);
            }
            before = (p0, s0);
            (p0, s0) = (p, size);
        }
        let rest = 1.0 - p0;
        let steep = 1.0 - rest / (1.0 - before.0);
        let step = (s0 - before.1).max(1e-3 * s0);
        1.0 - rest / (1.0 + steep * (s - s0) / step)
    }

    /// The size of error that this share of rows does not exceed, EU.
    #[must_use]
    pub fn size_at(&self, share: f64) -> f64 {
        quantile(share, |s| self.share_within(s), self.largest())
    }

    fn largest(&self) -> f64 {
        self.points[self.points.len() - 1].1
    }

    /// Standard error of a normal distribution with the same 90 % quantile, EU: the `sigma` of a confirmation rule.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        self.size_at(0.9) / NORMAL_90
    }
}

/// Smallest number whose share reaches `level`; `share` does not fall. Bounded: doublings, then halvings.
fn quantile(level: f64, share: impl Fn(f64) -> f64, start: f64) -> f64 {
    let (mut low, mut high) = (0.0, start);
    for _ in 0..HALVINGS {
        if share(high) >= level {
            break;
        }
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..HALVINGS {
        let middle = low + 0.5 * (high - low);
        if share(middle) >= level {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// One recent error.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Judged {
    size: f64,
    covered: bool,
}

/// The interval of one prediction.
#[derive(Debug, Clone)]
pub struct Conformal {
    rule: Interval,
    file: ErrorQuantiles,
    recent: [Judged; RECENT],
    next: usize,
    filled: usize,
    /// Present a: the share of samples that the interval may miss.
    miss: f64,
    half_width: f64,
}

impl Conformal {
    /// The interval before any sample.
    #[must_use]
    pub fn new(rule: Interval, file: ErrorQuantiles) -> Self {
        let none = Judged { size: 0.0, covered: false };
        let half_width = file.size_at(rule.coverage);
        let miss = 1.0 - rule.coverage;
        Self { rule, file, recent: [none; RECENT], next: 0, filled: 0, miss, half_width }
    }

    /// Keeps what it has learnt.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep_all(&mut self.recent);
        archive.keep_index(&mut self.next, RECENT - 1);
        archive.keep_index(&mut self.filled, RECENT);
        archive.keep(&mut self.miss);
        archive.keep(&mut self.half_width);
    }

    /// Half of upper minus lower, EU.
    #[must_use]
    pub fn half_width(&self) -> f64 {
        self.half_width
    }

    /// Share of samples that should lie inside.
    #[must_use]
    pub fn aimed(&self) -> f64 {
        self.rule.coverage
    }

    /// Share of the newest samples that did, and of how many (at most 100); None before the first.
    #[must_use]
    pub fn tracked(&self) -> Option<(f64, u16)> {
        let inside = self.recent[..self.filled].iter().filter(|j| j.covered).count();
        (self.filled > 0).then(|| (inside as f64 / self.filled as f64, self.filled as u16))
    }

    /// Learns from one sample: its error after bias (EU) and whether it lay inside the interval shown for its time.
    ///
    /// Bounded: one quantile of at most 100 errors. An error that is not finite teaches nothing.
    pub fn learn(&mut self, error: f64, covered: bool) {
        if !error.is_finite() {
            return;
        }
        self.recent[self.next] = Judged { size: error.abs(), covered };
        self.next = (self.next + 1) % RECENT;
        self.filled = (self.filled + 1).min(RECENT);
        if self.rule.adapt > 0.0 {
            let aimed = 1.0 - self.rule.coverage;
            let miss = self.miss + self.rule.adapt * (aimed - f64::from(u8::from(!covered)));
            self.miss = miss.clamp(aimed / 20.0, (4.0 * aimed).min(0.5));
            self.half_width = self.quantile(1.0 - self.miss);
        }
    }

    /// Forgets every sample: as after start.
    pub fn restart(&mut self) {
        (self.next, self.filled, self.miss) = (0, 0, 1.0 - self.rule.coverage);
        self.half_width = self.file.size_at(self.rule.coverage);
    }

    fn quantile(&self, level: f64) -> f64 {
        let recent = &self.recent[..self.filled];
        let share = |s: f64| {
            let within = recent.iter().filter(|j| j.size <= s).count();
            (FILE_COUNTS * self.file.share_within(s) + within as f64) / (FILE_COUNTS + recent.len() as f64)
        };
        quantile(level, share, self.file.largest())
    }
}

#[cfg(test)]
#[path = "interval_tests.rs"]
mod tests;
