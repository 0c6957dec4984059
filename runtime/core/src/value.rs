//! `Value`: a finite number. The first keystone: no limiter can let a NaN by that cannot exist.

use serde::{Deserialize, Serialize};

/// A finite `f64`. NaN and infinity cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Value(f64);

impl Value {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// The value, if it is finite.
    #[must_use]
    pub fn new(x: f64) -> Option<Self> {
        x.is_finite().then_some(Self(x))
    }

    /// The number inside.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl From<Value> for f64 {
    fn from(v: Value) -> Self {
        v.0
    }
}

impl TryFrom<f64> for Value {
    type Error = NotFinite;

    fn try_from(x: f64) -> Result<Self, NotFinite> {
        Self::new(x).ok_or(NotFinite)
    }
}

/// A number that was NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

impl core::fmt::Display for NotFinite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("number is NaN or infinite")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_become_values() {
        assert_eq!(Value::new(1.5).map(Value::get), Some(1.5));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Value::new(bad), None);
        }
        assert!(Value::new(f64::MIN_POSITIVE / 2.0).is_some(), "denormals are finite");
    }
}
