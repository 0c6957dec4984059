//! Domain of a model: T2 and SPE of the inputs of one run against the limits of the training, and the input that explains most.
//!
//! With z the standardised inputs, t = P z the scores on the kept components, lambda their variances and r = z - P't what the components
//! do not explain:
//!
//! ```text
//! T2  = sum over components of t_k^2 / lambda_k      how far inside the plane of the training
//! SPE = sum over inputs of r_i^2                     how far off that plane
//! ```
//!
//! Contributions add up to the statistic: z_i * sum over k of P_ki t_k / lambda_k for T2, r_i^2 for SPE (T. Kourti, J. F. MacGregor,
//! "Process analysis, monitoring and diagnosis using multivariate projection methods", Chemom. Intell. Lab. Syst. 28 (1995)).
//!
//! By construction 5 % of the training itself lies outside a 95 % limit, so one run says little: see `DomainWatch`.

use flyball_config::{DomainKind, DomainLimit, Trust};
use serde::{Deserialize, Serialize};

use crate::bounds::MODEL_INPUTS_MAX;
use crate::state::Archive;

/// Runs in a row that must say the same before the verdict changes: of unrelated runs inside the domain, one in 8,000 brings it
/// outside a 95 % limit.
const RUNS_IN_A_ROW: u32 = 3;

/// The training inputs of a model as its file describes them. All lists in the configuration's order of inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// Mean per input, EU.
    pub mean: Vec<f64>,
    /// Standard deviation per input, EU, above 0.
    pub std: Vec<f64>,
    /// Kept components, one row of loadings per component, one entry per input.
    pub loadings: Vec<Vec<f64>>,
    /// Variance of each component, above 0.
    pub eigenvalues: Vec<f64>,
    /// Limits of T2 at 95, 99 and 99.9 %.
    pub t2: [f64; 3],
    /// Limits of SPE at 95, 99 and 99.9 %.
    pub spe: [f64; 3],
}

/// Which statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statistic {
    /// Inside the plane of the training, but far from its centre.
    T2,
    /// Off the plane: inputs that do not go together as they did in the training.
    Spe,
}

/// T2 and SPE of one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DomainReading {
    /// T2.
    pub t2: f64,
    /// SPE.
    pub spe: f64,
    /// Limit of T2 beyond which the prediction is Uncertain.
    pub t2_limit: f64,
    /// Limit of SPE beyond which the prediction is Uncertain.
    pub spe_limit: f64,
    /// The statistic that is larger beside its limit.
    pub statistic: Statistic,
    /// The input (index in `Model::inputs`) that contributes most to it.
    pub worst: u16,
}

/// Where the inputs are. Ordered, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DomainLevel {
    /// Where the model was trained.
    Inside,
    /// Outside the limit for Uncertain.
    Outside,
    /// Outside the limit for Bad.
    FarOutside,
}

/// The domain of one model and the verdict over its last runs.
#[derive(Debug, Clone)]
pub struct DomainWatch {
    pca: Pca,
    uncertain_at: DomainLimit,
    bad_at: Option<DomainLimit>,
    /// None before the first run.
    verdict: Option<DomainLevel>,
    /// What the last runs said that differed from the verdict, the mildest of them, and how many.
    other: (DomainLevel, u32),
}

impl Pca {
    /// T2 and SPE of one row, with contributions summed up per statistic in the given lists. Bounded by components times inputs.
    fn statistics(&self, features: &[f64], on_plane: &mut [f64], off_plane: &mut [f64]) -> (f64, f64) {
        let mut z = [0.0; MODEL_INPUTS_MAX];
        for (i, x) in features.iter().enumerate() {
            z[i] = (x - self.mean[i]) / self.std[i];
            off_plane[i] = z[i];
            on_plane[i] = 0.0;
        }
        let mut t2 = 0.0;
        for (row, variance) in self.loadings.iter().zip(&self.eigenvalues) {
            let score: f64 = row.iter().zip(&z).map(|(p, z)| p * z).sum();
            t2 += score * score / variance;
            for (i, p) in row.iter().enumerate() {
                on_plane[i] += p * score / variance * z[i];
                off_plane[i] -= p * score;
            }
        }
        off_plane.iter_mut().for_each(|r| *r *= *r);
        (t2, off_plane.iter().sum())
    }
}

impl DomainWatch {
    /// A watch with the limits that the configuration asks for.
    #[must_use]
    pub fn new(pca: Pca, trust: &Trust) -> Self {
        let other = (DomainLevel::Inside, 0);
        Self { pca, uncertain_at: trust.uncertain_at, bad_at: trust.bad_at, verdict: None, other }
    }

    /// The watch of a model, if its file brings the data and the configuration does not decline.
    #[must_use]
    pub fn wanted(pca: Option<Pca>, trust: &Trust) -> Option<Self> {
        pca.filter(|_| trust.domain != DomainKind::TrainingRange).map(|pca| Self::new(pca, trust))
    }

    /// Judges the inputs of one run, unlimited, in EU. The verdict is over the last runs:
    ///
    /// * it changes when `RUNS_IN_A_ROW` runs in a row said so, and only as far as all of them said;
    /// * a run beyond the limit for Bad, and any first run, turn Inside into Outside at once;
    /// * so FarOutside always takes `RUNS_IN_A_ROW` runs: one spike never takes a value away.
    pub fn judge(&mut self, features: &[f64]) -> (DomainReading, DomainLevel) {
        let n = features.len().min(MODEL_INPUTS_MAX);
        let (mut on_plane, mut off_plane) = ([0.0; MODEL_INPUTS_MAX], [0.0; MODEL_INPUTS_MAX]);
        let (t2, spe) = self.pca.statistics(&features[..n], &mut on_plane[..n], &mut off_plane[..n]);
        let (t2_limit, spe_limit) = self.limits(self.uncertain_at);
        let statistic = if share(spe, spe_limit) > share(t2, t2_limit) { Statistic::Spe } else { Statistic::T2 };
        let contributions = if statistic == Statistic::Spe { &off_plane[..n] } else { &on_plane[..n] };
        let reading = DomainReading { t2, spe, t2_limit, spe_limit, statistic, worst: largest(contributions) };
        let outside = |at: DomainLimit| {
            let (t2_limit, spe_limit) = self.limits(at);
            // Written so that a number that is none is outside.
            !(t2 <= t2_limit && spe <= spe_limit)
        };
        let level = if self.bad_at.is_some_and(outside) {
            DomainLevel::FarOutside
        } else if outside(self.uncertain_at) {
            DomainLevel::Outside
        } else {
            DomainLevel::Inside
        };
        self.settle(level);
        (reading, self.verdict.unwrap_or(level))
    }

    /// Keeps the verdict and what speaks against it.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep(&mut self.verdict);
        archive.keep(&mut self.other);
    }

    /// A gap in the runs: what was seen before it does not count any more.
    pub fn forget(&mut self) {
        (self.verdict, self.other.1) = (None, 0);
    }

    fn limits(&self, at: DomainLimit) -> (f64, f64) {
        (self.pca.t2[at as usize], self.pca.spe[at as usize])
    }

    fn settle(&mut self, level: DomainLevel) {
        let at_once = level.min(DomainLevel::Outside);
        let Some(verdict) = self.verdict else {
            (self.verdict, self.other) = (Some(at_once), (level, 1));
            return;
        };
        let (mildest, count) = self.other;
        if level == verdict {
            self.other.1 = 0;
        } else if count > 0 && (mildest > verdict) == (level > verdict) {
            // The mildest change that all of them ask for: the least outside going out, the least inside coming back.
            let mildest = if level > verdict { mildest.min(level) } else { mildest.max(level) };
            self.other = (mildest, count + 1);
        } else {
            self.other = (level, 1);
        }
        if self.other.1 >= RUNS_IN_A_ROW {
            (self.verdict, self.other.1) = (Some(self.other.0), 0);
        } else if level == DomainLevel::FarOutside && verdict == DomainLevel::Inside {
            (self.verdict, self.other) = (Some(at_once), (level, 1));
        }
    }
}

/// How large a statistic is beside its limit; what is no number is larger than anything.
fn share(x: f64, limit: f64) -> f64 {
    let share = x / limit;
    if share.is_nan() { f64::INFINITY } else { share }
}

fn largest(contributions: &[f64]) -> u16 {
    let mut worst = 0;
    for (i, c) in contributions.iter().enumerate() {
        if *c > contributions[worst] || c.is_nan() && !contributions[worst].is_nan() {
            worst = i;
        }
    }
    worst as u16
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
