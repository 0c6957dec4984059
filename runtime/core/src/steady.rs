//! Steadiness: has a tag moved less than a band over a time that ends now? A sample of a moving process says little about a model, because
//! the time it was taken is never known as well as the process moves.

use std::time::Duration;

use flyball_config::{Steady, TagId};

use crate::feature::scans_of;
use crate::state::Archive;

/// Lowest and highest value of a tag over some scans; None when one was missing.
type Span = Option<(f64, f64)>;

/// One rule and the values it looks back on.
#[derive(Debug, Clone)]
pub struct Steadiness {
    rule: Steady,
    /// One span per run of the model, a ring as long as the rule's time.
    runs: Vec<Span>,
    next: usize,
    filled: usize,
    /// Scans since the last run.
    open: Span,
    scans: u32,
}

impl Steadiness {
    /// A rule over runs that are `every` apart. Allocates its ring.
    #[must_use]
    pub fn new(rule: Steady, every: Duration) -> Self {
        let runs = vec![None; scans_of(rule.during, every).max(1)];
        Self { rule, runs, next: 0, filled: 0, open: None, scans: 0 }
    }

    /// Keeps the values that it looks back on.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep_all(&mut self.runs);
        archive.keep_index(&mut self.next, self.runs.len() - 1);
        archive.keep_index(&mut self.filled, self.runs.len());
        archive.keep(&mut self.open);
        archive.keep(&mut self.scans);
    }

    /// The tag that must be steady.
    #[must_use]
    pub fn tag(&self) -> TagId {
        self.rule.tag
    }

    /// Takes the value of a scan; None when the tag is Bad or substituted.
    pub fn push(&mut self, value: Option<f64>) {
        let first = self.scans == 0;
        self.scans = self.scans.saturating_add(1);
        self.open = match (value, self.open) {
            (Some(x), Some((low, high))) => Some((x.min(low), x.max(high))),
            (Some(x), None) if first => Some((x, x)),
            _ => None,
        };
    }

    /// Ends a run: steady over the rule's time up to now? False while that time has not passed. Bounded by the ring.
    pub fn close(&mut self) -> bool {
        self.runs[self.next] = if self.scans == 0 { None } else { self.open };
        self.next = (self.next + 1) % self.runs.len();
        self.filled = (self.filled + 1).min(self.runs.len());
        self.scans = 0;
        self.open = None;
        if self.filled < self.runs.len() {
            return false;
        }
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for run in &self.runs {
            let Some((l, h)) = run else { return false };
            (low, high) = (low.min(*l), high.max(*h));
        }
        high - low <= self.rule.within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five scans per run, a minute at 1 s.
    fn rule() -> Steadiness {
        let during = Duration::from_secs(60);
        Steadiness::new(Steady { tag: TagId(0), within: 1.0, during }, Duration::from_secs(5))
    }

    /// The verdict of each run over values per scan.
    fn run(s: &mut Steadiness, values: impl IntoIterator<Item = Option<f64>>) -> Vec<bool> {
        let mut verdicts = Vec::new();
        for (i, value) in values.into_iter().enumerate() {
            s.push(value);
            if i % 5 == 4 {
                verdicts.push(s.close());
            }
        }
        verdicts
    }

    #[test]
    fn steady_once_the_whole_time_has_passed_within_the_band() {
        let verdicts = run(&mut rule(), (0..100).map(|i| Some(110.0 + 0.5 * f64::from(i % 3))));
        assert_eq!(verdicts.iter().position(|v| *v), Some(11), "after 12 runs of 5 s: {verdicts:?}");
        assert!(verdicts[11..].iter().all(|v| *v));
    }

    #[test]
    fn one_scan_outside_the_band_counts_until_it_is_a_minute_ago() {
        let spike = 123;
        let verdicts = run(&mut rule(), (0..300).map(|i| Some(if i == spike { 111.6 } else { 110.5 })));
        for (i, steady) in verdicts.iter().enumerate() {
            let seen = (spike / 5..spike / 5 + 12).contains(&i);
            assert_eq!(*steady, i >= 11 && !seen, "run {i}");
        }
    }

    #[test]
    fn a_slow_drift_is_judged_over_the_time_and_not_since_ever() {
        // 0.9 per minute: inside; 1.1 per minute: outside, in every run.
        let of = |per_minute: f64| run(&mut rule(), (0..1000).map(|i| Some(f64::from(i) * per_minute / 60.0)));
        assert!(of(0.9)[11..].iter().all(|v| *v));
        assert!(of(1.1).iter().all(|v| !*v));
    }

    #[test]
    fn a_missing_value_is_not_steady() {
        let verdicts = run(&mut rule(), (0..300).map(|i| (i != 100).then_some(110.0)));
        assert_eq!(verdicts[19..33], [&[true][..], &[false; 12], &[true]].concat());
        let mut silent = rule();
        assert!((0..50).all(|_| !silent.close()), "without any scan");
    }
}
