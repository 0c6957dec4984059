//! Bias update: corrects a soft sensor with late samples, at the time the sample was *taken*.
//!
//! error = sample - raw prediction at the sample time; bias += clamp(take * (error - bias), one_step), bounded by total.
//! Practice of DeltaV lab entry and Rockwell VOA (domain guide 4.5). A sample is recognised by its own time, never by its value, so that
//! an analyser that repeats the same result is not taken twice.

use flyball_config::Bias;
use serde::{Deserialize, Serialize};

use crate::feature::scans_of;
use crate::time::{Timestamp, nanos};
use std::time::Duration;

/// Why a sample was or was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SampleVerdict {
    /// Taken.
    Accepted,
    /// Sample time lies in the future.
    FromFuture,
    /// Older than `oldest`.
    TooOld,
    /// The model had no usable prediction at that time.
    NoPrediction,
    /// The value is not usable.
    NotUsable,
}

/// One remembered raw prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Past {
    at: Timestamp,
    raw: Option<f64>,
}

/// The bias of one prediction and what it needs to be updated.
#[derive(Debug, Clone)]
pub struct BiasState {
    rule: Bias,
    history: Vec<Past>,
    next: usize,
    /// Present bias, EU.
    pub bias: f64,
    /// Sample time of the last sample that was looked at.
    pub last_sample: Option<Timestamp>,
    /// When a sample was last accepted.
    pub last_accepted: Option<Timestamp>,
    /// Error of the last accepted sample against the raw prediction, EU.
    pub last_error: f64,
    /// What became of the last sample.
    pub last_verdict: Option<SampleVerdict>,
}

impl BiasState {
    /// State with a history as long as the oldest sample allowed.
    #[must_use]
    pub fn new(rule: Bias, every: Duration) -> Self {
        let length = scans_of(rule.oldest, every) + 2;
        Self {
            rule,
            history: vec![Past { at: Timestamp::ZERO, raw: None }; length],
            next: 0,
            bias: 0.0,
            last_sample: None,
            last_accepted: None,
            last_error: 0.0,
            last_verdict: None,
        }
    }

    /// Remembers the raw prediction of this run (None when it was Bad).
    pub fn remember(&mut self, at: Timestamp, raw: Option<f64>) {
        self.history[self.next] = Past { at, raw };
        self.next = (self.next + 1) % self.history.len();
    }

    /// Offers the newest analyser reading. Does nothing when this sample time was seen before. Bounded by the history.
    pub fn offer(&mut self, now: Timestamp, sample: Option<f64>, taken: Timestamp) -> Option<SampleVerdict> {
        if self.last_sample == Some(taken) || taken == Timestamp::ZERO {
            return None;
        }
        let verdict = self.judge(now, sample, taken);
        self.last_sample = Some(taken);
        self.last_verdict = Some(verdict);
        Some(verdict)
    }

    fn judge(&mut self, now: Timestamp, sample: Option<f64>, taken: Timestamp) -> SampleVerdict {
        let Some(sample) = sample else { return SampleVerdict::NotUsable };
        if taken > now {
            return SampleVerdict::FromFuture;
        }
        if nanos(now.since(taken)) > nanos(self.rule.oldest) {
            return SampleVerdict::TooOld;
        }
        let Some(raw) = self.raw_at(taken) else { return SampleVerdict::NoPrediction };
        let error = sample - raw;
        let step = (self.rule.take * (error - self.bias)).clamp(-self.rule.one_step, self.rule.one_step);
        self.bias = (self.bias + step).clamp(-self.rule.total, self.rule.total);
        self.last_error = error;
        self.last_accepted = Some(now);
        SampleVerdict::Accepted
    }

    /// Raw prediction that was in force at `taken`: the newest one not later.
    fn raw_at(&self, taken: Timestamp) -> Option<f64> {
        let n = self.history.len();
        for back in 1..=n {
            let past = self.history[(self.next + n - back) % n];
            if past.at <= taken {
                return past.raw.filter(|_| past.at != Timestamp::ZERO);
            }
        }
        None
    }

    /// No sample was accepted for longer than `expires` (counted from `since` before the first one).
    #[must_use]
    pub fn expired(&self, now: Timestamp, since: Timestamp) -> bool {
        nanos(now.since(self.last_accepted.unwrap_or(since))) > nanos(self.rule.expires)
    }

    /// Largest bias, EU.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.rule.total
    }

    /// Forgets the bias.
    pub fn reset(&mut self) {
        self.bias = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_config::TagId;

    const S: u64 = 1_000_000_000;

    fn state() -> BiasState {
        let rule = Bias {
            with: TagId(0),
            take: 0.3,
            one_step: 0.02,
            total: 0.05,
            oldest: Duration::from_secs(600),
            expires: Duration::from_secs(7200),
        };
        let mut s = BiasState::new(rule, Duration::from_secs(5));
        for i in 1..=120 {
            s.remember(Timestamp(i * 5 * S), Some(1.0 + 0.001 * i as f64));
        }
        s
    }

    #[test]
    fn error_is_taken_at_the_sample_time() {
        let mut s = state();
        // At 300 s the raw prediction was 1.060; now (600 s) it is 1.120.
        assert_eq!(s.offer(Timestamp(600 * S), Some(1.080), Timestamp(302 * S)), Some(SampleVerdict::Accepted));
        assert!((s.last_error - 0.020).abs() < 1e-12);
        assert!((s.bias - 0.006).abs() < 1e-12);
    }

    #[test]
    fn the_same_sample_time_is_never_taken_twice() {
        let mut s = state();
        assert!(s.offer(Timestamp(600 * S), Some(1.08), Timestamp(300 * S)).is_some());
        let bias = s.bias;
        assert_eq!(s.offer(Timestamp(601 * S), Some(1.30), Timestamp(300 * S)), None);
        assert_eq!(s.bias, bias);
    }

    #[test]
    fn refusals() {
        let mut s = state();
        let now = Timestamp(600 * S);
        assert_eq!(s.offer(now, Some(1.0), Timestamp(601 * S)), Some(SampleVerdict::FromFuture));
        let later = Timestamp(1300 * S);
        assert_eq!(s.offer(later, Some(1.0), Timestamp(599 * S)), Some(SampleVerdict::TooOld));
        assert_eq!(s.offer(now, None, Timestamp(598 * S)), Some(SampleVerdict::NotUsable));
        assert_eq!(s.offer(now, Some(1.0), Timestamp(2 * S)), Some(SampleVerdict::NoPrediction));
        assert_eq!(s.bias, 0.0);
    }

    #[test]
    fn one_step_and_total_bound_a_typing_error() {
        let mut s = state();
        for i in 0..10 {
            s.offer(Timestamp((600 + i) * S), Some(10.9), Timestamp((500 + i) * S));
            assert!(s.bias <= 0.02 * (i + 1) as f64 + 1e-12);
        }
        assert!((s.bias - 0.05).abs() < 1e-12);
    }

    #[test]
    fn expiry_counts_from_the_last_accepted_sample() {
        let mut s = state();
        assert!(!s.expired(Timestamp(7000 * S), Timestamp::ZERO));
        assert!(s.expired(Timestamp(7201 * S), Timestamp::ZERO));
        s.offer(Timestamp(600 * S), Some(1.08), Timestamp(300 * S));
        assert!(!s.expired(Timestamp(7700 * S), Timestamp::ZERO));
        assert!(s.expired(Timestamp(7801 * S), Timestamp::ZERO));
    }
}
