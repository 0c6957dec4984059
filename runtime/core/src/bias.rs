//! Bias update: corrects a soft sensor with late samples, at the time the sample was *taken*.
//!
//! error = sample - raw prediction at the sample time; bias += clamp(take * (error - bias), one_step), bounded by total.
//! Practice of DeltaV lab entry and Rockwell VOA (domain guide 4.5). A sample is recognised by its own time, never by its value, so that
//! an analyser that repeats the same result is not taken twice.
//!
//! A sample that tells nothing about the model is refused. The first rule that it breaks gives the reason (`BiasState::judge`).

use std::time::Duration;

use flyball_config::{Bias, Confirm, EuRange, PredictionId};
use serde::{Deserialize, Serialize};

use crate::bounds::SAMPLE_HISTORY_MAX;
use crate::sample::{REFUSALS, SampleOutcome, SampleVerdict};
use crate::state::Archive;
use crate::time::{Timestamp, nanos};

/// Sample times that are recognised: an analyser, and operators who type meanwhile.
const SEEN: usize = 16;

/// What one run of the model showed, as far as a late sample will ask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The model's own output, EU; None when the prediction was Bad.
    pub raw: Option<f64>,
    /// Half of the interval, EU, if there was one.
    pub half_width: Option<f64>,
    /// By how much it was wider in the operating mode of that time; 1 for no wider.
    pub factor: f64,
    /// Nothing was wrong with inputs, domain and output. An expired bias or a wide interval is no reason to refuse what would mend it.
    pub good: bool,
    /// The process had been steady.
    pub steady: bool,
}

impl Shown {
    /// The prediction was Bad.
    pub const NOTHING: Self = Self { raw: None, half_width: None, factor: 1.0, good: false, steady: false };
}

/// One remembered run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Past {
    at: Timestamp,
    shown: Shown,
    /// Bias that was shown with it, EU.
    bias: f64,
}

/// The bias of one prediction and what it needs to be updated.
#[derive(Debug, Clone)]
pub struct BiasState {
    rule: Bias,
    /// Where a result can be: the `ok` range of the analyser.
    plausible: Option<EuRange>,
    /// Errors after bias beyond this wait for confirmation, EU; infinite for none.
    confirm_beyond: f64,
    /// Ring, times rising.
    history: Vec<Past>,
    next: usize,
    filled: usize,
    seen: [Timestamp; SEEN],
    seen_next: usize,
    /// Error after bias of the sample before, if that was far from the prediction.
    far: Option<f64>,
    /// Present bias, EU.
    pub bias: f64,
    /// The last accepted sample asked for more than `total` allows: the model needs maintenance.
    pub at_total: bool,
    /// Sample time of the last sample that was looked at.
    pub last_sample: Option<Timestamp>,
    /// Its result, EU; None when Bad.
    pub last_value: Option<f64>,
    /// When a sample was last accepted.
    pub last_accepted: Option<Timestamp>,
    /// Error of the last accepted sample against the raw prediction, EU.
    pub last_error: f64,
    /// What became of the last sample.
    pub last_verdict: Option<SampleVerdict>,
    /// The newest reason to refuse.
    pub last_refusal: Option<SampleVerdict>,
    /// Samples not taken, by `SampleVerdict::refusal`.
    pub refused: [u32; REFUSALS],
}

impl BiasState {
    /// State with a history as long as the oldest sample allowed. `sigma`: the model's standard error, EU, if its file gives one.
    #[must_use]
    pub fn new(rule: Bias, every: Duration, plausible: Option<EuRange>, sigma: Option<f64>) -> Self {
        let runs = (nanos(rule.oldest) / nanos(every).max(1)).min(SAMPLE_HISTORY_MAX as u64) as usize;
        let confirm_beyond = match rule.confirm {
            Confirm::Sigmas(n) => sigma.map_or(f64::INFINITY, |s| n * s),
            Confirm::Beyond(error) => error,
            Confirm::Never => f64::INFINITY,
        };
        Self {
            rule,
            plausible,
            confirm_beyond,
            history: vec![Past { at: Timestamp::ZERO, shown: Shown::NOTHING, bias: 0.0 }; runs + 2],
            next: 0,
            filled: 0,
            seen: [Timestamp::ZERO; SEEN],
            seen_next: 0,
            far: None,
            bias: 0.0,
            at_total: false,
            last_sample: None,
            last_value: None,
            last_accepted: None,
            last_error: 0.0,
            last_verdict: None,
            last_refusal: None,
            refused: [0; REFUSALS],
        }
    }

    /// Remembers what this run showed.
    pub fn remember(&mut self, at: Timestamp, shown: Shown) {
        self.history[self.next] = Past { at, shown, bias: self.bias };
        self.next = (self.next + 1) % self.history.len();
        self.filled = (self.filled + 1).min(self.history.len());
    }

    /// Offers a result for prediction `output`: `sample` in EU, None when it is Bad. Returns None when this sample time was seen before,
    /// or is no time. Bounded: one search by halving in the history.
    pub fn offer(
        &mut self,
        output: PredictionId,
        now: Timestamp,
        sample: Option<f64>,
        taken: Timestamp,
    ) -> Option<SampleOutcome> {
        if taken == Timestamp::ZERO || self.seen.contains(&taken) {
            return None;
        }
        self.seen[self.seen_next] = taken;
        self.seen_next = (self.seen_next + 1) % SEEN;
        let past = self.past_at(taken);
        let raw = past.and_then(|p| p.shown.raw);
        let bias_before = self.bias;
        let verdict = match self.judge(now, sample, taken, past) {
            Ok(error) => {
                self.take(now, error);
                SampleVerdict::Accepted
            }
            Err(why) => why,
        };
        if let Some(i) = verdict.refusal() {
            self.refused[i] = self.refused[i].saturating_add(1);
            self.last_refusal = Some(verdict);
        }
        self.last_sample = Some(taken);
        self.last_value = sample;
        self.last_verdict = Some(verdict);
        let shown = past.and_then(|p| p.shown.raw.map(|raw| raw + p.bias));
        let error_after_bias = sample.zip(shown).map(|(y, shown)| y - shown);
        let half_width = past.and_then(|p| p.shown.half_width);
        let covered = error_after_bias.zip(half_width).map(|(error, half)| error.abs() <= half);
        let (interval_factor, at_total) = (past.map_or(1.0, |p| p.shown.factor), self.at_total);
        Some(SampleOutcome {
            output,
            taken,
            value: sample,
            raw,
            bias_before,
            error_after_bias,
            covered,
            interval_factor,
            at_total,
            verdict,
        })
    }

    /// The rules, in this order. Ok is the error against the raw prediction at the sample time.
    fn judge(
        &mut self,
        now: Timestamp,
        sample: Option<f64>,
        taken: Timestamp,
        past: Option<Past>,
    ) -> Result<f64, SampleVerdict> {
        if taken > now {
            return Err(SampleVerdict::FromFuture);
        }
        let age = now.since(taken);
        if age < self.rule.youngest {
            return Err(SampleVerdict::TooFresh);
        }
        if age > self.rule.oldest {
            return Err(SampleVerdict::TooOld);
        }
        let sample = sample.filter(|y| y.is_finite()).ok_or(SampleVerdict::NotUsable)?;
        if self.plausible.is_some_and(|ok| !ok.contains(sample)) {
            return Err(SampleVerdict::Implausible);
        }
        let (past, raw) = past.and_then(|p| Some((p, p.shown.raw?))).ok_or(SampleVerdict::NoPrediction)?;
        if !past.shown.good {
            return Err(SampleVerdict::ModelNotGood);
        }
        if !past.shown.steady {
            return Err(SampleVerdict::NotSteady);
        }
        let error = sample - raw;
        self.confirmed(error - self.bias).then_some(error).ok_or(SampleVerdict::Held)
    }

    /// A large error counts when the sample before said the same: one wrong bottle or typing error never does.
    fn confirmed(&mut self, after_bias: f64) -> bool {
        if after_bias.abs() <= self.confirm_beyond {
            self.far = None;
            return true;
        }
        let before = self.far.replace(after_bias);
        before.is_some_and(|b| (b > 0.0) == (after_bias > 0.0))
    }

    fn take(&mut self, now: Timestamp, error: f64) {
        let step = (self.rule.take * (error - self.bias)).clamp(-self.rule.one_step, self.rule.one_step);
        let wanted = self.bias + step;
        self.bias = wanted.clamp(-self.rule.total, self.rule.total);
        self.at_total = wanted.abs() > self.rule.total;
        self.last_error = error;
        self.last_accepted = Some(now);
    }

    /// What was in force at `taken`: the newest run not later, if it is still remembered.
    fn past_at(&self, taken: Timestamp) -> Option<Past> {
        let n = self.history.len();
        let back = |i: usize| self.history[(self.next + n - 1 - i) % n];
        // Runs 0 (the newest) to `later` are later than the sample; times rise, so halving finds where that ends.
        let (mut later, mut end) = (0, self.filled);
        while later < end {
            let middle = usize::midpoint(later, end);
            if back(middle).at > taken {
                later = middle + 1;
            } else {
                end = middle;
            }
        }
        (later < self.filled).then(|| back(later))
    }

    /// No sample was accepted for longer than `expires` (counted from `since` before the first one).
    #[must_use]
    pub fn expired(&self, now: Timestamp, since: Timestamp) -> bool {
        nanos(now.since(self.last_accepted.unwrap_or(since))) > nanos(self.rule.expires)
    }

    /// Keeps the bias, the answers it looks back on, and what became of the samples.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep_all(&mut self.history);
        archive.keep_index(&mut self.next, self.history.len() - 1);
        archive.keep_index(&mut self.filled, self.history.len());
        archive.keep_all(&mut self.seen);
        archive.keep_index(&mut self.seen_next, SEEN - 1);
        archive.keep(&mut self.far);
        archive.keep(&mut self.bias);
        archive.keep(&mut self.at_total);
        archive.keep(&mut self.last_sample);
        archive.keep(&mut self.last_value);
        archive.keep(&mut self.last_accepted);
        archive.keep(&mut self.last_error);
        archive.keep(&mut self.last_verdict);
        archive.keep(&mut self.last_refusal);
        archive.keep(&mut self.refused);
    }

    /// Forgets the bias.
    pub fn reset(&mut self) {
        self.bias = 0.0;
        self.at_total = false;
        self.far = None;
    }
}

#[cfg(test)]
#[path = "bias_tests.rs"]
mod tests;
