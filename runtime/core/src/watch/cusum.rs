//! CUSUM: finds a small lasting shift of an error long before any single error is remarkable.
//!
//! Two-sided tabular form (E. S. Page, Continuous Inspection Schemes, Biometrika 41, 1954; NIST/SEMATECH e-Handbook of Statistical Methods,
//! section 6.3.2.3): with z = error / sigma,
//! high = max(0, high + z - k), low = max(0, low - z - k); alarm when one exceeds h. k = 0.5 looks for shifts of one sigma; with h = 5 and
//! independent normal errors a false alarm comes once in about 465 samples. Errors of hourly samples are not independent: it comes
//! sooner there, which is one reason why an alarm is advice.

use serde::{Deserialize, Serialize};

/// Half the shift that is looked for, in sigma.
pub const SLACK: f64 = 0.5;
/// Alarm limit, in sigma.
pub const LIMIT: f64 = 5.0;
/// Sums stop growing here, so that they come back in finite time and stay finite.
const CEILING: f64 = 1000.0;

/// The two sums, in sigma, at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Cusum {
    /// Grows while errors are above zero.
    pub high: f64,
    /// Grows while errors are below zero.
    pub low: f64,
}

impl Cusum {
    /// Takes an error in units of its sigma at commissioning.
    pub fn add(&mut self, z: f64) {
        self.high = (self.high + z - SLACK).clamp(0.0, CEILING);
        self.low = (self.low - z - SLACK).clamp(0.0, CEILING);
    }

    /// One of the sums is beyond its limit.
    #[must_use]
    pub fn alarm(&self) -> bool {
        self.high > LIMIT || self.low > LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(errors: &[f64]) -> Cusum {
        let mut c = Cusum::default();
        errors.iter().for_each(|z| c.add(*z));
        c
    }

    #[test]
    fn by_hand() {
        // 0 + 1 - 0.5, + 2 - 0.5, - 1 - 0.5.
        let c = fed(&[1.0, 2.0, -1.0]);
        assert_eq!((c.high, c.low), (0.5, 0.5));
    }

    #[test]
    fn a_shift_of_one_sigma_is_found_after_eleven_samples_on_either_side() {
        for sign in [1.0, -1.0] {
            assert!(!fed(&[sign; 10]).alarm(), "ten times 0.5 is the limit, not beyond it");
            assert!(fed(&[sign; 11]).alarm());
        }
        assert!(!fed(&[0.5; 10_000]).alarm(), "a shift of k is never found");
    }

    #[test]
    fn a_typing_error_of_any_size_keeps_it_finite_and_it_comes_back() {
        let mut c = fed(&[f64::MAX, f64::MAX]);
        assert!(c.alarm() && c.high.is_finite());
        for _ in 0..2000 {
            c.add(0.0);
        }
        assert!(!c.alarm());
    }
}
