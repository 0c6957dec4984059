//! Time inside the scan: monotonic nanoseconds. UTC lives at the rim (`UtcOffset`).

use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Monotonic nanoseconds since the program's start (or since zero on a virtual clock).
///
/// Wraps after 584 years; arithmetic saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Start of time.
    pub const ZERO: Self = Self(0);

    /// Time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Later by `d`.
    #[must_use]
    pub const fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }

    /// Earlier by `d`, at least zero.
    #[must_use]
    pub const fn before(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(d)))
    }

    /// Seconds as a number, for formulas.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 * 1e-9
    }
}

/// Nanoseconds of a duration, saturating at 584 years.
#[must_use]
pub const fn nanos(d: Duration) -> u64 {
    let n = d.as_nanos();
    if n > u64::MAX as u128 { u64::MAX } else { n as u64 }
}

/// Maps monotonic time to UTC and back, at the rim only.
///
/// The offset is taken once at start, so a step of the wall clock moves no timer and no stamp runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UtcOffset {
    /// Unix nanoseconds (UTC) at `Timestamp::ZERO`.
    pub unix_nanos_at_zero: i64,
    /// Process nanoseconds per UTC nanosecond: 1 on a plant, more in an accelerated rig.
    pub scale: u32,
}

impl UtcOffset {
    /// UTC of a timestamp, unix nanoseconds.
    #[must_use]
    pub fn utc(&self, t: Timestamp) -> i64 {
        self.unix_nanos_at_zero.saturating_add_unsigned(t.0 / u64::from(self.scale.max(1)))
    }

    /// Timestamp of a UTC time; times before the start are zero.
    #[must_use]
    pub fn timestamp(&self, unix_nanos: i64) -> Timestamp {
        let since = unix_nanos.saturating_sub(self.unix_nanos_at_zero).max(0) as u64;
        Timestamp(since.saturating_mul(u64::from(self.scale.max(1))))
    }
}

/// The identity of one scan, with its only clock reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCycle {
    /// Counts every period since start, missed ones included.
    pub number: u64,
    /// Scheduled start of this scan.
    pub scheduled: Timestamp,
    /// When it really started: the one clock reading.
    pub now: Timestamp,
    /// Scan period.
    pub period: Duration,
    /// Periods that passed without a scan since the one before.
    pub missed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(u64::MAX).after(Duration::from_secs(1)), Timestamp(u64::MAX));
        assert_eq!(Timestamp(1).before(Duration::from_secs(1)), Timestamp::ZERO);
    }

    #[test]
    fn utc_round_trip_at_scale() {
        for scale in [1, 20] {
            let o = UtcOffset { unix_nanos_at_zero: 1_700_000_000_000_000_000, scale };
            let t = Timestamp(2_000_000_000);
            assert_eq!(o.timestamp(o.utc(t)), t);
        }
        let o = UtcOffset { unix_nanos_at_zero: 10, scale: 1 };
        assert_eq!(o.timestamp(3), Timestamp::ZERO, "before the start");
    }
}
