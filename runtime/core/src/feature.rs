//! Features: what a model is fed with. Causal filters and delays over conditioned values, on the scan's own time grid.
//!
//! Every input of every model owns one line: filter first, then delay, both in whole scans. Missed scans are filled with the value
//! of the next one (zero-order hold), so a delay of 60 s stays 60 s. A Bad value empties the line: a window with a hole is no window.

use flyball_config::{Filter, ModelInput};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::bounds::HISTORY_SCANS_MAX;
use crate::state::Archive;

/// Share of held or uncertain values in a window above which the feature is Uncertain.
const HELD_SHARE_MAX: f64 = 0.2;

/// Quality of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// Measured.
    Good,
    /// Too many held, substituted or uncertain values in its window.
    Uncertain,
    /// Window or delay not full yet.
    Waiting,
    /// Its source is Bad.
    Bad,
}

/// A value with its quality, per scan.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Point {
    value: f64,
    doubtful: bool,
}

/// Filter and delay of one model input.
#[derive(Debug, Clone)]
pub struct FeatureLine {
    filter: FilterState,
    /// Ring of filtered values; its length is the delay in scans + 1.
    ring: Vec<Point>,
    /// Where the next value goes.
    next: usize,
    /// Values in the ring since the last gap.
    filled: usize,
    bad: bool,
}

#[derive(Debug, Clone)]
enum FilterState {
    None,
    Mean { window: Vec<Point>, next: usize, filled: usize },
    FirstOrder { keep: f64, state: Option<f64> },
    LeadLag { keep: f64, gain: f64, state: Option<f64> },
}

/// Scans that a duration spans, rounded to the nearest, at most `HISTORY_SCANS_MAX`.
#[must_use]
pub fn scans_of(duration: Duration, cycle: Duration) -> usize {
    let n = (duration.as_secs_f64() / cycle.as_secs_f64()).round();
    (n as usize).min(HISTORY_SCANS_MAX)
}

/// Share of the old state that a first-order lag keeps in one scan.
fn keep(cycle: Duration, tau: Duration) -> f64 {
    (-cycle.as_secs_f64() / tau.as_secs_f64()).exp()
}

impl FeatureLine {
    /// A line for one input at this scan period. Allocates its rings.
    #[must_use]
    pub fn new(input: &ModelInput, cycle: Duration) -> Self {
        let empty = Point { value: 0.0, doubtful: false };
        let filter = match input.filter {
            Filter::None => FilterState::None,
            Filter::Mean(d) => FilterState::Mean { window: vec![empty; scans_of(d, cycle).max(1)], next: 0, filled: 0 },
            // Discrete first order: y += (1 - exp(-dt/tau)) (x - y).
            Filter::FirstOrder(tau) => FilterState::FirstOrder { keep: keep(cycle, tau), state: None },
            // (1 + lead s) / (1 + lag s) = lagged + lead * d(lagged)/dt, with d(lagged)/dt = (x - lagged) / lag.
            Filter::LeadLag { lead, lag } => FilterState::LeadLag {
                keep: keep(cycle, lag),
                gain: lead.as_secs_f64() / lag.as_secs_f64(),
                state: None,
            },
        };
        let ring = vec![empty; scans_of(input.delay, cycle) + 1];
        Self { filter, ring, next: 0, filled: 0, bad: true }
    }

    /// Takes the value of this scan; `scans` > 1 when scans were missed. None is Bad.
    ///
    /// Bounded by the length of the line, however many scans were missed.
    pub fn push(&mut self, value: Option<f64>, doubtful: bool, scans: u32) {
        let Some(value) = value else {
            self.reset();
            return;
        };
        self.bad = false;
        let most = self.ring.len() + self.filter.len();
        for _ in 0..(scans as usize).clamp(1, most) {
            if let Some(filtered) = self.filter.push(Point { value, doubtful }) {
                self.ring[self.next] = filtered;
                self.next = (self.next + 1) % self.ring.len();
                self.filled = (self.filled + 1).min(self.ring.len());
            }
        }
    }

    /// The delayed, filtered value and its quality. The number means nothing when Waiting or Bad.
    #[must_use]
    pub fn read(&self) -> (f64, Quality) {
        if self.bad {
            return (0.0, Quality::Bad);
        }
        if self.filled < self.ring.len() {
            return (0.0, Quality::Waiting);
        }
        // The ring is full: the oldest value stands where the next one will go.
        let oldest = self.ring[self.next];
        (oldest.value, if oldest.doubtful { Quality::Uncertain } else { Quality::Good })
    }

    /// Keeps filter and delay.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        match &mut self.filter {
            FilterState::None => {}
            FilterState::Mean { window, next, filled } => {
                archive.keep_all(window);
                archive.keep_index(next, window.len() - 1);
                archive.keep_index(filled, window.len());
            }
            FilterState::FirstOrder { state, .. } | FilterState::LeadLag { state, .. } => archive.keep(state),
        }
        archive.keep_all(&mut self.ring);
        archive.keep_index(&mut self.next, self.ring.len() - 1);
        archive.keep_index(&mut self.filled, self.ring.len());
        archive.keep(&mut self.bad);
    }

    fn reset(&mut self) {
        self.bad = true;
        self.filled = 0;
        self.next = 0;
        match &mut self.filter {
            FilterState::None => {}
            FilterState::Mean { next, filled, .. } => (*next, *filled) = (0, 0),
            FilterState::FirstOrder { state, .. } | FilterState::LeadLag { state, .. } => *state = None,
        }
    }
}

impl FilterState {
    fn len(&self) -> usize {
        match self {
            Self::Mean { window, .. } => window.len(),
            Self::None | Self::FirstOrder { .. } | Self::LeadLag { .. } => 1,
        }
    }

    fn push(&mut self, point: Point) -> Option<Point> {
        match self {
            Self::None => Some(point),
            Self::Mean { window, next, filled } => {
                window[*next] = point;
                *next = (*next + 1) % window.len();
                *filled = (*filled + 1).min(window.len());
                if *filled < window.len() {
                    return None;
                }
                // Summed anew in a fixed order: no drift of a running sum, the same bits in every run.
                let n = window.len() as f64;
                let sum: f64 = window.iter().map(|p| p.value).sum();
                let held = window.iter().filter(|p| p.doubtful).count() as f64;
                Some(Point { value: sum / n, doubtful: held / n > HELD_SHARE_MAX })
            }
            Self::FirstOrder { keep, state } => {
                let y = match *state {
                    Some(y) => point.value + *keep * (y - point.value),
                    None => point.value,
                };
                *state = Some(y);
                Some(Point { value: y, doubtful: point.doubtful })
            }
            Self::LeadLag { keep, gain, state } => {
                let lagged = state.map_or(point.value, |y| point.value + *keep * (y - point.value));
                *state = Some(lagged);
                Some(Point { value: lagged + *gain * (point.value - lagged), doubtful: point.doubtful })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_config::{InputSource, TagId};

    const CYCLE: Duration = Duration::from_secs(1);

    fn line(filter: Filter, delay_s: u64) -> FeatureLine {
        let input = ModelInput {
            name: "x".into(),
            source: InputSource::Tag(TagId(0)),
            filter,
            delay: Duration::from_secs(delay_s),
        };
        FeatureLine::new(&input, CYCLE)
    }

    #[test]
    fn delay_is_exact_in_scans() {
        let mut l = line(Filter::None, 3);
        for i in 0..3 {
            l.push(Some(f64::from(i)), false, 1);
            assert_eq!(l.read().1, Quality::Waiting);
        }
        for i in 3..20 {
            l.push(Some(f64::from(i)), false, 1);
            assert_eq!(l.read(), (f64::from(i - 3), Quality::Good));
        }
    }

    #[test]
    fn missed_scans_keep_the_delay_in_time() {
        let mut l = line(Filter::None, 4);
        for i in 0..5 {
            l.push(Some(f64::from(i)), false, 1);
        }
        l.push(Some(9.0), false, 3); // scans 5, 6 and 7
        assert_eq!(l.read().0, 3.0);
        l.push(Some(9.0), false, u32::MAX);
        assert_eq!(l.read().0, 9.0);
    }

    #[test]
    fn mean_over_window_then_delay() {
        let mut l = line(Filter::Mean(Duration::from_secs(4)), 2);
        for i in 0..6 {
            l.push(Some(f64::from(i)), false, 1);
        }
        // Means: (0..3)=1.5, (1..4)=2.5, (2..5)=3.5; delayed by two scans.
        assert_eq!(l.read(), (1.5, Quality::Good));
    }

    #[test]
    fn first_order_reaches_63_percent_after_tau() {
        let mut l = line(Filter::FirstOrder(Duration::from_secs(30)), 0);
        l.push(Some(0.0), false, 1);
        for _ in 0..30 {
            l.push(Some(1.0), false, 1);
        }
        assert!((l.read().0 - (1.0 - (-1.0f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn lead_lag_looks_ahead_along_a_ramp_and_forgets_it_at_rest() {
        let mut l = line(Filter::LeadLag { lead: Duration::from_secs(120), lag: Duration::from_secs(30) }, 0);
        for i in 0..600 {
            l.push(Some(f64::from(i) * 0.01), false, 1);
        }
        // On a ramp of 0.01/s the answer runs (lead - lag) seconds ahead.
        assert!((l.read().0 - (599.0 + 90.0) * 0.01).abs() < 0.02, "{}", l.read().0);
        for _ in 0..600 {
            l.push(Some(6.0), false, 1);
        }
        assert!((l.read().0 - 6.0).abs() < 1e-6);
    }

    #[test]
    fn a_bad_value_empties_the_window() {
        let mut l = line(Filter::Mean(Duration::from_secs(3)), 0);
        for _ in 0..3 {
            l.push(Some(1.0), false, 1);
        }
        assert_eq!(l.read().1, Quality::Good);
        l.push(None, false, 1);
        assert_eq!(l.read().1, Quality::Bad);
        l.push(Some(1.0), false, 1);
        assert_eq!(l.read().1, Quality::Waiting);
    }

    #[test]
    fn more_than_a_fifth_held_is_uncertain() {
        let mut l = line(Filter::Mean(Duration::from_secs(10)), 0);
        for i in 0..10 {
            l.push(Some(1.0), i < 2, 1);
        }
        assert_eq!(l.read().1, Quality::Good);
        l.push(Some(1.0), true, 1);
        l.push(Some(1.0), true, 1);
        l.push(Some(1.0), true, 1);
        assert_eq!(l.read().1, Quality::Uncertain);
    }
}
