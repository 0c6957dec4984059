//! Trust: when a prediction is believed, how wide its interval is, and how late samples correct it.

use std::time::Duration;

use super::TagId;
use crate::bounds::STEADY_RULES_MAX;

/// When a prediction is doubted. The data behind it (PCA of the training inputs, error quantiles) are in the model file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trust {
    /// What is checked.
    pub domain: DomainKind,
    /// Outside this limit of T2 or SPE: Uncertain.
    pub uncertain_at: DomainLimit,
    /// Outside this limit: Bad; None never.
    pub bad_at: Option<DomainLimit>,
    /// Prediction interval; None for none.
    pub interval: Option<Interval>,
}

impl Default for Trust {
    /// What counts without `[model.*.trust]`.
    fn default() -> Self {
        Self {
            domain: DomainKind::AsInFile,
            uncertain_at: DomainLimit::P95,
            bad_at: Some(DomainLimit::P999),
            interval: Some(Interval { coverage: 0.9, adapt: 0.02, required: false }),
        }
    }
}

/// How the domain of a model is checked. The training range of each input is checked always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainKind {
    /// T2 and SPE if the model file brings their data.
    AsInFile,
    /// T2 and SPE; a model file without their data is refused.
    T2AndSpe,
    /// The training ranges only.
    TrainingRange,
}

/// Share of the training rows that lay inside a limit of T2 and SPE. Ordered, the tightest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DomainLimit {
    /// 95 %.
    P95,
    /// 99 %.
    P99,
    /// 99.9 %.
    P999,
}

/// Conformal prediction interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Share of samples that should lie inside, 0.5 to 0.99.
    pub coverage: f64,
    /// Step by which one sample moves the level, 0 (never) to 0.1.
    pub adapt: f64,
    /// The file asks for it: a model file without error quantiles is refused.
    pub required: bool,
}

/// Bias update by an analyser or laboratory (domain practice: corrected at the time the sample was taken).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bias {
    /// The analyser tag; its source time is the sample time.
    pub with: TagId,
    /// Share of each new error that is taken, 0 to 1.
    pub take: f64,
    /// Largest change by one sample.
    pub one_step: f64,
    /// Largest bias.
    pub total: f64,
    /// A result cannot be younger than this.
    pub youngest: Duration,
    /// Oldest sample that is used.
    pub oldest: Duration,
    /// No accepted sample for this long: the prediction becomes Uncertain.
    pub expires: Duration,
    /// Errors beyond this wait for a second sample that says the same.
    pub confirm: Confirm,
    /// What must have been steady before the sample was taken; the first ones are filled.
    pub only_when: [Option<Steady>; STEADY_RULES_MAX],
}

/// From which error on a sample must be confirmed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Confirm {
    /// Multiples of the model's own standard error.
    Sigmas(f64),
    /// EU.
    Beyond(f64),
    /// Every error is taken as it is.
    Never,
}

/// A tag that must not have moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steady {
    /// Which.
    pub tag: TagId,
    /// Highest minus lowest value, EU.
    pub within: f64,
    /// Over this time.
    pub during: Duration,
}
