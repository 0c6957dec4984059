//! Why: a deadline is broken by the rarest cycle, and a measurement of minutes has not seen it. What can be said about it all the same:
//! an upper quantile by extreme-value statistics, with its interval, and every reason not to believe it.
//!
//! Method: block maxima. The series is cut into blocks of equal length; their maxima follow, in the limit, a generalised extreme value
//! distribution (GEV), whatever the single times follow [C, ch. 3]. It is fitted by L-moments, which for some tens of blocks are better than
//! maximum likelihood [HWW]. A shape below zero would claim a finite longest time: that is not believed, and a Gumbel tail takes its place,
//! which lies above. Interval and goodness of fit come from a parametric bootstrap with a fixed seed: the same times, the same bits.
//!
//! Words: *shape* is xi in the sense of Coles; above zero the tail is heavier than exponential. *Exceedance* is the probability that one
//! cycle takes longer than the quantile. A *doubt* is a reason why the quantile must not be used.
//!
//! Sources: [C] S. Coles, An Introduction to Statistical Modeling of Extreme Values, Springer 2001. [H] J. R. M. Hosking, L-moments, J. R.
//! Statist. Soc. B 52 (1990) 105-124. [HWW] J. R. M. Hosking, J. R. Wallis, E. F. Wood, Estimation of the generalized extreme-value
//! distribution by the method of probability-weighted moments, Technometrics 27 (1985) 251-261. [K] M. G. Kendall, Rank Correlation Methods,
//! 1948 (trend). [AD] T. W. Anderson, D. A. Darling, J. Am. Statist. Assoc. 49 (1954) 765-769. [SMQ] W. Stute et al., Bootstrap based
//! goodness-of-fit tests, Metrika 40 (1993) 243-256.

use std::fmt;

/// Fewest blocks of which anything is said; the tests show what the interval is worth there.
pub const BLOCKS_MIN: usize = 30;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 1_000;
/// The interval holds the quantile with this probability.
pub const CONFIDENCE: f64 = 0.95;
/// Level of the checks for trend, dependence and fit: a sound series is doubted by each in 1 of 100 cases.
const LEVEL: f64 = 0.01;
/// Two-sided 1 % point of the normal distribution, for `LEVEL`.
const Z_LEVEL: f64 = 2.5758;
/// A heavier tail has no variance, and no quantile far out can be had from some tens of blocks.
const SHAPE_MAX: f64 = 0.5;
/// Euler's constant: mean of a Gumbel distribution in units of its scale.
const EULER: f64 = 0.577_215_664_901_532_9;

/// A generalised extreme value distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gev {
    /// Location, in the unit of the times.
    pub location: f64,
    /// Scale, above zero, in the unit of the times.
    pub scale: f64,
    /// Shape xi; 0 is Gumbel. scipy's `genextreme` calls the negative of it `c`.
    pub shape: f64,
}

impl Gev {
    /// Fit by L-moments [HWW, eq. 14]; None when all values are equal or fewer than three.
    #[must_use]
    pub fn fit(sorted: &[f64]) -> Option<Self> {
        let [mean, l2, t3] = l_moments(sorted)?;
        let c = 2.0 / (3.0 + t3) - std::f64::consts::LN_2 / 3f64.ln();
        let k = 7.8590 * c + 2.9554 * c * c;
        if k.abs() < 1e-6 {
            return Self::gumbel(sorted);
        }
        let gamma = libm::tgamma(1.0 + k);
        let scale = l2 * k / ((1.0 - 2f64.powf(-k)) * gamma);
        let gev = Self { location: mean - scale * (1.0 - gamma) / k, scale, shape: -k };
        (scale.is_finite() && scale > 0.0 && gev.location.is_finite()).then_some(gev)
    }

    /// Fit of a Gumbel distribution by L-moments [H, table 2].
    #[must_use]
    pub fn gumbel(sorted: &[f64]) -> Option<Self> {
        let [mean, l2, _] = l_moments(sorted)?;
        let scale = l2 / std::f64::consts::LN_2;
        Some(Self { location: mean - EULER * scale, scale, shape: 0.0 })
    }

    /// The fit whose tail does not end: Gumbel where the shape came out below zero.
    fn endless(self, sorted: &[f64]) -> Option<Self> {
        if self.shape < 0.0 { Self::gumbel(sorted) } else { Some(self) }
    }

    /// Value that is exceeded when -ln(probability of staying below) is `y`.
    #[must_use]
    pub fn at(&self, y: f64) -> f64 {
        let Self { location, scale, shape } = *self;
        if shape == 0.0 { location - scale * y.ln() } else { location + scale * (y.powf(-shape) - 1.0) / shape }
    }

    /// Probability of staying at or below `x`.
    #[must_use]
    pub fn below(&self, x: f64) -> f64 {
        let z = (x - self.location) / self.scale;
        let y = if self.shape == 0.0 { (-z).exp() } else { (1.0 + self.shape * z).max(0.0).powf(-1.0 / self.shape) };
        (-y).exp()
    }
}

/// Mean, L-scale and L-skewness, unbiased [H, eq. 3.1].
fn l_moments(sorted: &[f64]) -> Option<[f64; 3]> {
    let n = sorted.len() as f64;
    if sorted.len() < 3 {
        return None;
    }
    let mut b = [0.0; 3];
    for (i, x) in sorted.iter().enumerate() {
        let i = i as f64;
        b[0] += x;
        b[1] += x * i / (n - 1.0);
        b[2] += x * i * (i - 1.0) / ((n - 1.0) * (n - 2.0));
    }
    let [b0, b1, b2] = b.map(|b| b / n);
    let l2 = 2.0 * b1 - b0;
    (l2 > b0.abs() * 1e-12).then(|| [b0, l2, (6.0 * b2 - 6.0 * b1 + b0) / l2])
}

/// Why a quantile must not be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Doubt {
    /// Fewer blocks than `BLOCKS_MIN`.
    FewBlocks(usize),
    /// All maxima are equal, or so few that nothing can be fitted.
    NoSpread,
    /// The maxima rise or fall with time: Kendall's S over its standard deviation.
    Trend(f64),
    /// Neighbouring maxima are alike: correlation of their ranks.
    Dependent(f64),
    /// The distribution does not fit: share of samples of the fitted one that fit worse.
    PoorFit(f64),
    /// The tail is too heavy: its shape.
    HeavyTail(f64),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewBlocks(n) => write!(f, "{n} blocks are too few, at least {BLOCKS_MIN} are needed: measure longer"),
            Self::NoSpread => f.write_str("the block maxima do not spread: nothing can be fitted"),
            Self::Trend(z) => {
                let way = if *z > 0.0 { "rise" } else { "fall" };
                write!(f, "the block maxima {way} with time (Kendall's z {z:.1}): the machine was not in one state")
            }
            Self::Dependent(r) => {
                write!(f, "neighbouring block maxima are alike (rank correlation {r:.2}): slow states of the machine")
            }
            Self::PoorFit(p) => {
                write!(f, "no extreme-value distribution fits the block maxima (p {p:.3}): often two kinds of cycles")
            }
            Self::HeavyTail(xi) => write!(f, "the tail is too heavy to look further out (shape {xi:.2} > {SHAPE_MAX})"),
        }
    }
}

/// An upper quantile and what it is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Cycles per block.
    pub block: usize,
    /// Whole blocks.
    pub blocks: usize,
    /// The distribution that fits the block maxima best.
    pub fit: Option<Gev>,
    /// Share of samples of the fit that fit worse than the measured ones; small is bad.
    pub fit_p: f64,
    /// The quantiles in the order that was asked for.
    pub quantiles: Vec<Quantile>,
    /// Why it must not be used; empty when it may.
    pub doubts: Vec<Doubt>,
}

/// One upper quantile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// Probability per cycle of taking longer.
    pub exceedance: f64,
    /// Estimate, in the unit of the times.
    pub value: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
}

/// Upper quantiles of a series of times, oldest first, cut into blocks of `block` cycles. What does not fill a block at the end is left out.
///
/// Bounded: `RESAMPLES` fits of as many values as there are blocks.
#[must_use]
pub fn estimate(times: &[f64], block: usize, exceedances: &[f64], seed: u64) -> Estimate {
    let block = block.max(1);
    let maxima: Vec<f64> = times.chunks_exact(block).map(|c| c.iter().copied().fold(f64::MIN, f64::max)).collect();
    let mut sorted = maxima.clone();
    sorted.sort_by(f64::total_cmp);
    let mut estimate =
        Estimate { block, blocks: maxima.len(), fit: None, fit_p: 0.0, quantiles: Vec::new(), doubts: Vec::new() };
    if maxima.len() < BLOCKS_MIN {
        estimate.doubts.push(Doubt::FewBlocks(maxima.len()));
    }
    let fitted = Gev::fit(&sorted).and_then(|fit| Some((fit, fit.endless(&sorted)?)));
    let Some((fit, endless)) = fitted else {
        estimate.doubts.push(Doubt::NoSpread);
        return estimate;
    };
    estimate.fit = Some(fit);
    // A cycle stays below with 1 - p, a block with (1 - p)^block.
    let ys: Vec<f64> = exceedances.iter().map(|p| -(block as f64) * (-p).ln_1p()).collect();
    let resampled = bootstrap(&fit, sorted.len(), &ys, seed);
    let measured = anderson_darling(&fit, &sorted);
    estimate.fit_p =
        resampled.distances.iter().filter(|d| **d >= measured).count() as f64 / resampled.distances.len().max(1) as f64;
    for (i, (exceedance, y)) in exceedances.iter().zip(&ys).enumerate() {
        let mut spread: Vec<f64> = resampled.quantiles.iter().map(|q| q[i]).collect();
        spread.sort_by(f64::total_cmp);
        let rank = |share: f64| spread[((spread.len() - 1) as f64 * share).round() as usize];
        let (low, high) = (rank((1.0 - CONFIDENCE) / 2.0), rank((1.0 + CONFIDENCE) / 2.0));
        estimate.quantiles.push(Quantile { exceedance: *exceedance, value: endless.at(*y), low, high });
    }
    let (z, r) = (kendall(&maxima), neighbours(&maxima));
    let doubts = [
        (z.abs() > Z_LEVEL, Doubt::Trend(z)),
        (r * (maxima.len() as f64).sqrt() > Z_LEVEL, Doubt::Dependent(r)),
        (estimate.fit_p < LEVEL, Doubt::PoorFit(estimate.fit_p)),
        (fit.shape > SHAPE_MAX, Doubt::HeavyTail(fit.shape)),
    ];
    estimate.doubts.extend(doubts.iter().filter(|(stands, _)| *stands).map(|(_, doubt)| *doubt));
    estimate
}

struct Resampled {
    /// By resample, by asked quantile.
    quantiles: Vec<Vec<f64>>,
    /// Anderson-Darling distance of each resample to its own fit.
    distances: Vec<f64>,
}

/// Samples of the fitted distribution, each fitted again.
fn bootstrap(fit: &Gev, n: usize, ys: &[f64], seed: u64) -> Resampled {
    let mut random = SplitMix(seed);
    let mut resampled = Resampled { quantiles: Vec::with_capacity(RESAMPLES), distances: Vec::new() };
    for _ in 0..RESAMPLES {
        let mut sample: Vec<f64> = (0..n).map(|_| fit.at(-random.unit().ln())).collect();
        sample.sort_by(f64::total_cmp);
        let Some(again) = Gev::fit(&sample) else { continue };
        let Some(endless) = again.endless(&sample) else { continue };
        resampled.distances.push(anderson_darling(&again, &sample));
        resampled.quantiles.push(ys.iter().map(|y| endless.at(*y)).collect());
    }
    if resampled.quantiles.is_empty() {
        resampled.quantiles.push(vec![f64::INFINITY; ys.len()]);
    }
    resampled
}

/// Distance of a sorted sample to a distribution that weighs the tails [AD].
fn anderson_darling(fit: &Gev, sorted: &[f64]) -> f64 {
    let n = sorted.len();
    let below = |i: usize| fit.below(sorted[i]).clamp(1e-300, 1.0 - 1e-16);
    let sum: f64 = (0..n).map(|i| (2 * i + 1) as f64 * (below(i).ln() + (-below(n - 1 - i)).ln_1p())).sum();
    -(n as f64) - sum / n as f64
}

/// Kendall's S against time over its standard deviation, with the correction for continuity [K].
fn kendall(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mut s = 0i64;
    for (i, a) in values.iter().enumerate() {
        for b in &values[i + 1..] {
            s += match b.total_cmp(a) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Less => -1,
            };
        }
    }
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    if deviation > 0.0 { (s - s.signum()) as f64 / deviation } else { 0.0 }
}

/// Correlation of the ranks of neighbours.
fn neighbours(values: &[f64]) -> f64 {
    let n = values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; n];
    let middle = (n as f64 - 1.0) / 2.0;
    for (rank, at) in order.into_iter().enumerate() {
        ranks[at] = rank as f64 - middle;
    }
    let spread: f64 = ranks.iter().map(|r| r * r).sum();
    let product: f64 = ranks.windows(2).map(|w| w[0] * w[1]).sum();
    if spread > 0.0 { product / spread } else { 0.0 }
}

/// G. L. Steele et al., Fast splittable pseudorandom number generators, OOPSLA 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0 and below 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

#[cfg(test)]
#[path = "extreme_tests.rs"]
mod extreme_tests;
