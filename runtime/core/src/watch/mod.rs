//! Watch: says when a model needs a person. Per model: time inside the domain, operating mode and PSI of its inputs; per prediction: rolling
//! RMSEP, CUSUM and coverage over late samples (domain guide 4.6). Pure, bounded, allocated at start; advice only, never a change.

pub mod basis;
pub mod cusum;
pub mod operating;
pub mod output;
pub mod presence;
pub mod psi;

use serde::{Deserialize, Serialize};

use crate::sample::SampleOutcome;
use crate::state::Archive;
use crate::time::Timestamp;
use basis::Basis;
use operating::{ModeTracker, OperatingMode};
pub use output::{Advice, OutputReport, OutputWatch, Raised, Trigger};
use presence::Presence;
use psi::Psi;

/// Share of a week inside the domain below which a model needs new training data (domain guide 4.6).
const IN_DOMAIN_MIN: f64 = 0.9;

/// What is shown of one model's watch. Lists are sized at start.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WatchReport {
    /// Per output.
    pub outputs: Vec<OutputReport>,
    /// Share of the last week inside the domain, 0 to 1; None before the first run.
    pub in_domain: Option<f64>,
    /// What stands about the model as a whole.
    pub advice: Advice,
    /// PSI per input, for information; None while there are too few points.
    pub psi: Vec<Option<f64>>,
    /// Operating mode now.
    pub mode: OperatingMode,
}

impl WatchReport {
    /// An empty report of the right size.
    #[must_use]
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { outputs: vec![OutputReport::default(); outputs], psi: vec![None; inputs], ..Self::default() }
    }

    /// Copies without allocating; both are of the same model.
    pub fn copy_from(&mut self, other: &Self) {
        self.outputs.copy_from_slice(&other.outputs);
        self.psi.copy_from_slice(&other.psi);
        (self.in_domain, self.advice, self.mode) = (other.in_domain, other.advice, other.mode);
    }
}

/// The watch over one model.
#[derive(Debug, Clone)]
pub struct ModelWatch {
    outputs: Vec<OutputWatch>,
    domain: Presence,
    psi: Psi,
    modes: Option<ModeTracker>,
}

impl ModelWatch {
    /// For a model with so many outputs whose intervals promise to hold this share of the samples, if there are any. Allocates everything.
    #[must_use]
    pub fn new(basis: &Basis, outputs: usize, coverage: Option<f64>) -> Self {
        let commissioning = |i: usize| basis.rmsep.get(i).copied().flatten();
        Self {
            outputs: (0..outputs).map(|i| OutputWatch::new(commissioning(i), coverage.unwrap_or(0.0))).collect(),
            domain: Presence::default(),
            psi: Psi::new(&basis.inputs),
            modes: basis.modes.clone().map(ModeTracker::new),
        }
    }

    /// Keeps what is watched.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        self.outputs.iter_mut().for_each(|output| output.keep(archive));
        self.domain.keep(archive);
        self.psi.keep(archive);
        self.modes.iter_mut().for_each(|modes| modes.keep(archive));
    }

    /// Takes a run: its inputs as they were before they were limited to the training range, EU. Bounded by inputs and modes.
    pub fn ran(&mut self, now: Timestamp, inputs: &[f64], in_domain: bool) {
        self.domain.add(now, in_domain);
        self.psi.add(now, inputs);
        if let Some(modes) = &mut self.modes {
            modes.run(inputs);
        }
    }

    /// Takes a late sample of an output.
    pub fn late(&mut self, output: usize, sample: &SampleOutcome) {
        if let Some(watch) = self.outputs.get_mut(output) {
            watch.take(sample);
        }
    }

    /// By how much an output's interval is wider in the present operating mode, at least 1.
    #[must_use]
    pub fn interval_factor(&self, output: usize) -> f64 {
        self.modes.as_ref().map_or(1.0, |m| m.interval_factor(output))
    }

    /// Begins anew, as after start.
    pub fn restart(&mut self) {
        self.outputs.iter_mut().for_each(OutputWatch::restart);
        self.domain = Presence::default();
        self.psi.restart();
    }

    /// Fills a report of the right size; allocates nothing.
    pub fn report(&self, out: &mut WatchReport) {
        for (report, watch) in out.outputs.iter_mut().zip(&self.outputs) {
            *report = watch.report();
        }
        out.psi.fill(None);
        for (value, now) in out.psi.iter_mut().zip(&self.psi.values) {
            *value = *now;
        }
        out.in_domain = self.domain.share();
        let low = self.domain.whole() && out.in_domain.is_some_and(|share| share < IN_DOMAIN_MIN);
        out.advice = Advice::default();
        out.advice.set(Trigger::Domain, low);
        out.mode = self.modes.as_ref().map_or(OperatingMode::None, ModeTracker::now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(n: u64) -> Timestamp {
        Timestamp(n * 3_600_000_000_000)
    }

    #[test]
    fn a_week_with_too_little_time_in_the_domain_is_told_after_a_week() {
        let mut w = ModelWatch::new(&Basis::default(), 1, None);
        let mut report = WatchReport::new(0, 1);
        for h in 0..168 {
            w.ran(hours(h), &[], h % 5 != 0);
        }
        w.report(&mut report);
        assert!(report.in_domain.is_some_and(|s| s < 0.81) && !report.advice.contains(Trigger::Domain), "{report:?}");
        w.ran(hours(168), &[], true);
        w.report(&mut report);
        assert!(report.advice.contains(Trigger::Domain));
        for h in 169..400 {
            w.ran(hours(h), &[], h % 11 != 0);
        }
        w.report(&mut report);
        assert!(!report.advice.contains(Trigger::Domain), "91 % of a week: {report:?}");
    }

    #[test]
    fn a_file_that_says_nothing_is_watched_as_far_as_possible() {
        let mut w = ModelWatch::new(&Basis::default(), 1, None);
        w.ran(hours(1), &[1.0, 2.0], true);
        let sample = SampleOutcome {
            output: flyball_config::PredictionId(0),
            taken: hours(1),
            value: Some(9.0),
            raw: Some(0.0),
            bias_before: 0.0,
            error_after_bias: Some(9.0),
            covered: None,
            interval_factor: 1.0,
            at_total: false,
            verdict: crate::sample::SampleVerdict::Accepted,
        };
        (0..100).for_each(|_| w.late(0, &sample));
        let mut report = WatchReport::new(2, 1);
        w.report(&mut report);
        assert_eq!((report.outputs[0].rmsep, report.outputs[0].advice), (Some(9.0), Advice::default()));
        assert_eq!((report.psi.as_slice(), report.mode), ([None, None].as_slice(), OperatingMode::None));
        assert_eq!(w.interval_factor(0), 1.0);
    }
}
