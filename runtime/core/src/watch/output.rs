//! The watch over one prediction: how its errors at late samples compare with those at commissioning.
//!
//! Words: *error* is sample minus prediction with the bias that was shown at its time; *raw error* is sample minus the model's own
//! output. RMSEP and coverage use the first, which is what users see; the CUSUM uses the second, because a bias hides a drift of the
//! model until it reaches its limit. *Advice* is for people: nothing here changes a prediction, a mode or a model.

use serde::{Deserialize, Serialize};

use super::cusum::Cusum;
use crate::sample::{SampleOutcome, SampleVerdict};
use crate::state::Archive;
use crate::time::Timestamp;

/// Samples of the rolling figures.
pub const SAMPLES: usize = 20;
/// Rolling RMSEP above this multiple of the one at commissioning is advice to maintain the model (domain guide 4.6).
const RMSEP_RATIO_MAX: f64 = 1.5;
/// Coverage below the target by more than this is advice.
const COVERAGE_MISSING_MAX: f64 = 0.1;

/// What a watch advises about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Trigger {
    /// Rolling RMSEP above 1.5 times that of the commissioning.
    Rmsep,
    /// CUSUM of the raw errors beyond its limit.
    Drift,
    /// The bias stands at its limit.
    BiasLimit,
    /// Fewer samples inside the interval than promised.
    Coverage,
    /// Inside the domain for less than 90 % of a week.
    Domain,
}

impl Trigger {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Rmsep, Self::Drift, Self::BiasLimit, Self::Coverage, Self::Domain];
}

/// A set of triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Advice(u8);

impl Advice {
    /// Adds or removes a trigger.
    pub fn set(&mut self, trigger: Trigger, stands: bool) {
        let bit = 1 << trigger as u8;
        self.0 = if stands { self.0 | bit } else { self.0 & !bit };
    }

    /// This trigger stands.
    #[must_use]
    pub const fn contains(self, trigger: Trigger) -> bool {
        self.0 & (1 << trigger as u8) != 0
    }

    /// The first trigger that stands.
    #[must_use]
    pub fn first(self) -> Option<Trigger> {
        Trigger::ALL.into_iter().find(|t| self.contains(*t))
    }

    /// As a number, for records.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// When the first advice since the watch began was given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    /// About what.
    pub trigger: Trigger,
    /// With which accepted sample, from 1; 0: before the first.
    pub sample: u32,
    /// When that was taken.
    pub taken: Timestamp,
}

/// What is shown of one prediction's watch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct OutputReport {
    /// Samples accepted since the watch began.
    pub accepted: u32,
    /// Samples refused since then.
    pub refused: u32,
    /// RMSEP of the last samples, EU; None before the first.
    pub rmsep: Option<f64>,
    /// RMSEP at commissioning, EU, from the model file.
    pub commissioning: Option<f64>,
    /// CUSUM, in RMSEP at commissioning.
    pub cusum: Cusum,
    /// Share of the last samples inside the interval, 0 to 1; None when no sample had one.
    pub coverage: Option<f64>,
    /// What stands now.
    pub advice: Advice,
    /// First advice since the watch began.
    pub raised: Option<Raised>,
}

/// State of the watch over one prediction. Bounded: the last samples and a few sums.
#[derive(Debug, Clone)]
pub struct OutputWatch {
    commissioning: Option<f64>,
    /// Share of samples that the interval promises to hold, 0 to 1.
    target: f64,
    errors: [f64; SAMPLES],
    covered: [Option<bool>; SAMPLES],
    accepted: u32,
    refused: u32,
    cusum: Cusum,
    advice: Advice,
    raised: Option<Raised>,
}

impl OutputWatch {
    /// Begins with the RMSEP at commissioning, EU, and the interval's target, 0 to 1.
    #[must_use]
    pub fn new(commissioning: Option<f64>, target: f64) -> Self {
        Self {
            commissioning: commissioning.filter(|sigma| sigma.is_finite() && *sigma > 0.0),
            target,
            errors: [0.0; SAMPLES],
            covered: [None; SAMPLES],
            accepted: 0,
            refused: 0,
            cusum: Cusum::default(),
            advice: Advice::default(),
            raised: None,
        }
    }

    /// Keeps the last samples and the sums.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep(&mut self.errors);
        archive.keep(&mut self.covered);
        archive.keep(&mut self.accepted);
        archive.keep(&mut self.refused);
        archive.keep(&mut self.cusum);
        archive.keep(&mut self.advice);
        archive.keep(&mut self.raised);
    }

    /// Takes a sample. Bounded by `SAMPLES`.
    pub fn take(&mut self, sample: &SampleOutcome) {
        let raw_error = sample.value.zip(sample.raw).map(|(y, raw)| y - raw);
        let (SampleVerdict::Accepted, Some((error, raw_error))) =
            (sample.verdict, sample.error_after_bias.zip(raw_error))
        else {
            self.refused = self.refused.saturating_add(1);
            return;
        };
        let at = self.accepted as usize % SAMPLES;
        self.errors[at] = error;
        self.covered[at] = sample.covered;
        self.accepted = self.accepted.saturating_add(1);
        if let Some(sigma) = self.commissioning {
            self.cusum.add(raw_error / sigma);
        }
        let full = self.accepted as usize >= SAMPLES;
        let too_large = self.rmsep().zip(self.commissioning).is_some_and(|(now, then)| now > RMSEP_RATIO_MAX * then);
        let every_one_had_an_interval = self.covered.iter().all(Option::is_some);
        let too_few = self.coverage().is_some_and(|share| share < self.target - COVERAGE_MISSING_MAX);
        self.advice.set(Trigger::Rmsep, full && too_large);
        self.advice.set(Trigger::Drift, self.cusum.alarm());
        self.advice.set(Trigger::BiasLimit, sample.at_total);
        self.advice.set(Trigger::Coverage, every_one_had_an_interval && too_few);
        if let (None, Some(trigger)) = (self.raised, self.advice.first()) {
            self.raised = Some(Raised { trigger, sample: self.accepted, taken: sample.taken });
        }
    }

    /// Forgets every sample.
    pub fn restart(&mut self) {
        *self = Self::new(self.commissioning, self.target);
    }

    /// What is shown.
    #[must_use]
    pub fn report(&self) -> OutputReport {
        OutputReport {
            accepted: self.accepted,
            refused: self.refused,
            rmsep: self.rmsep(),
            commissioning: self.commissioning,
            cusum: self.cusum,
            coverage: self.coverage(),
            advice: self.advice,
            raised: self.raised,
        }
    }

    fn kept(&self) -> usize {
        (self.accepted as usize).min(SAMPLES)
    }

    fn rmsep(&self) -> Option<f64> {
        let n = self.kept();
        let squares: f64 = self.errors[..n].iter().map(|e| e * e).sum();
        (n > 0).then(|| (squares / n as f64).sqrt()).filter(|v| v.is_finite())
    }

    fn coverage(&self) -> Option<f64> {
        let known = self.covered[..self.kept()].iter().flatten();
        let (inside, all) = known.fold((0, 0), |(i, n), covered| (i + i32::from(*covered), n + 1));
        (all > 0).then(|| f64::from(inside) / f64::from(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(n: u32, error: f64) -> SampleOutcome {
        SampleOutcome {
            output: flyball_config::PredictionId(0),
            taken: Timestamp(u64::from(n) * 3_600_000_000_000),
            value: Some(error),
            raw: Some(0.0),
            bias_before: 0.0,
            error_after_bias: Some(error),
            covered: Some(true),
            interval_factor: 1.0,
            at_total: false,
            verdict: SampleVerdict::Accepted,
        }
    }

    fn fed(watch: &mut OutputWatch, samples: impl IntoIterator<Item = SampleOutcome>) {
        samples.into_iter().for_each(|s| watch.take(&s));
    }

    #[test]
    fn figures_are_those_of_the_last_twenty() {
        let mut w = OutputWatch::new(Some(1.0), 0.9);
        assert_eq!((w.report().rmsep, w.report().coverage), (None, None));
        fed(&mut w, [sample(1, 3.0), sample(2, 4.0)]);
        assert_eq!(w.report().rmsep, Some(12.5f64.sqrt()));
        fed(&mut w, (0..20).map(|n| sample(n, if n.is_multiple_of(2) { 1.0 } else { -1.0 })));
        assert_eq!(w.report().rmsep, Some(1.0), "the first two are forgotten");
        assert_eq!(w.report().accepted, 22);
    }

    #[test]
    fn a_large_rmsep_counts_when_twenty_samples_say_so() {
        let mut w = OutputWatch::new(Some(1.0), 0.9);
        // Signs alternate: no CUSUM.
        let at = |n: u32, size: f64| sample(n, if n.is_multiple_of(2) { size } else { -size });
        fed(&mut w, (0..19).map(|n| at(n, 1.6)));
        assert_eq!(w.report().advice, Advice::default(), "nineteen are too few");
        w.take(&at(19, 1.6));
        assert!(w.report().advice.contains(Trigger::Rmsep));
        let raised = w.report().raised.expect("raised");
        assert_eq!((raised.trigger, raised.sample, raised.taken), (Trigger::Rmsep, 20, at(19, 0.0).taken));
        fed(&mut w, (20..40).map(|n| at(n, 1.4)));
        assert_eq!(w.report().advice, Advice::default(), "it ends by itself");
        assert_eq!(w.report().raised, Some(raised), "and is remembered");
    }

    #[test]
    fn a_drift_that_the_bias_hides_is_found_in_the_raw_errors() {
        let mut w = OutputWatch::new(Some(2.0), 0.9);
        fed(&mut w, (0..10).map(|n| SampleOutcome { error_after_bias: Some(0.0), ..sample(n, 2.0) }));
        assert_eq!(w.report().raised, None);
        w.take(&SampleOutcome { error_after_bias: Some(0.0), ..sample(10, 2.0) });
        assert_eq!(w.report().raised.map(|r| (r.trigger, r.sample)), Some((Trigger::Drift, 11)));
        assert_eq!(w.report().rmsep, Some(0.0));
    }

    #[test]
    fn coverage_counts_only_samples_with_an_interval() {
        let mut w = OutputWatch::new(None, 0.9);
        let covered = |n: u32, c: Option<bool>| SampleOutcome { covered: c, ..sample(n, 0.0) };
        fed(&mut w, [covered(0, None), covered(1, Some(true)), covered(2, Some(false))]);
        assert_eq!(w.report().coverage, Some(0.5));
        assert_eq!(w.report().advice, Advice::default(), "three samples are no reason");
        fed(&mut w, (0..20).map(|n| covered(n, Some(n >= 4))));
        assert_eq!((w.report().coverage, w.report().advice), (Some(0.8), Advice::default()), "10 % below is allowed");
        fed(&mut w, (0..20).map(|n| covered(n, Some(n >= 5))));
        assert!(w.report().advice.contains(Trigger::Coverage));
    }

    #[test]
    fn refused_samples_are_counted_and_change_nothing_else() {
        let mut w = OutputWatch::new(Some(1.0), 0.9);
        fed(&mut w, (0..50).map(|n| SampleOutcome { verdict: SampleVerdict::NotSteady, ..sample(n, 99.0) }));
        let r = w.report();
        assert_eq!((r.accepted, r.refused, r.rmsep, r.raised), (0, 50, None, None));
    }

    #[test]
    fn a_bias_at_its_limit_is_told_at_once() {
        let mut w = OutputWatch::new(None, 0.9);
        w.take(&SampleOutcome { at_total: true, ..sample(0, 0.0) });
        assert_eq!(w.report().raised.map(|r| r.trigger), Some(Trigger::BiasLimit));
        w.restart();
        assert_eq!(w.report(), OutputWatch::new(None, 0.9).report());
    }
}
