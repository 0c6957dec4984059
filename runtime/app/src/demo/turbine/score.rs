//! Why: how good predictions are, counted as they come: R2 and RMSE without keeping any of them.
//!
//! R2 = 1 - sum (measured - predicted)^2 / sum (measured - mean)^2. The lower sum runs by Welford's recurrence (Technometrics 4, 1962),
//! which loses no digits when the mean is large beside the spread.

/// Sums over the pairs so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    count: u32,
    /// Squared errors, EU squared.
    errors: f64,
    /// Mean of the measured values, EU.
    mean: f64,
    /// Squared distances of the measured values from their mean, EU squared.
    spread: f64,
}

impl Score {
    /// Takes a pair, both in the same unit.
    pub fn add(&mut self, measured: f64, predicted: f64) {
        self.count += 1;
        self.errors += (measured - predicted).powi(2);
        let off = measured - self.mean;
        self.mean += off / f64::from(self.count);
        self.spread += off * (measured - self.mean);
    }

    /// Pairs taken.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Share of the spread that is explained; negative when the mean would have been better. None while nothing has varied.
    #[must_use]
    pub fn r2(&self) -> Option<f64> {
        (self.spread > 0.0).then(|| 1.0 - self.errors / self.spread)
    }

    /// Root of the mean squared error, EU. None before the first pair.
    #[must_use]
    pub fn rmse(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.errors / f64::from(self.count)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(pairs: &[(f64, f64)]) -> Score {
        let mut score = Score::default();
        pairs.iter().for_each(|(measured, predicted)| score.add(*measured, *predicted));
        score
    }

    #[test]
    fn by_hand() {
        // Mean 2, spread 2, squared errors 0.25 + 0 + 0.25.
        let s = score(&[(1.0, 1.5), (2.0, 2.0), (3.0, 2.5)]);
        assert!((s.r2().expect("varied") - 0.75).abs() < 1e-12);
        assert!((s.rmse().expect("pairs") - (0.5f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(s.count(), 3);
    }

    #[test]
    fn a_large_mean_costs_no_digits() {
        let s = score(&[(1e9 + 1.0, 1e9 + 1.5), (1e9 + 2.0, 1e9 + 2.0), (1e9 + 3.0, 1e9 + 2.5)]);
        assert!((s.r2().expect("varied") - 0.75).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_not_perfect() {
        assert_eq!((Score::default().r2(), Score::default().rmse()), (None, None));
        assert_eq!(score(&[(5.0, 5.0), (5.0, 5.0)]).r2(), None, "no spread, nothing explained");
        assert!(score(&[(1.0, 9.0), (2.0, 9.0)]).r2().expect("varied") < 0.0);
    }
}
