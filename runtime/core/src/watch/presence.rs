//! Presence: for which share of the last week the inputs were inside the model's domain.
//!
//! Counted in 168 buckets of one hour, so that memory and work stay fixed however often the model runs.

use crate::state::Archive;
use crate::time::Timestamp;

/// Buckets of the horizon.
const HOURS: usize = 168;
/// Nanoseconds of one bucket.
const HOUR: u64 = 3_600_000_000_000;

/// Runs and runs inside, per hour of the last week.
#[derive(Debug, Clone)]
pub struct Presence {
    /// (inside, all).
    buckets: [(u32, u32); HOURS],
    hour: Option<u64>,
    first: u64,
    inside: u64,
    all: u64,
}

impl Default for Presence {
    fn default() -> Self {
        Self { buckets: [(0, 0); HOURS], hour: None, first: 0, inside: 0, all: 0 }
    }
}

impl Presence {
    /// Keeps the counts.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep_all(&mut self.buckets);
        archive.keep(&mut self.hour);
        archive.keep(&mut self.first);
        archive.keep(&mut self.inside);
        archive.keep(&mut self.all);
    }

    /// Counts one run. Bounded by the number of buckets.
    pub fn add(&mut self, now: Timestamp, inside: bool) {
        let hour = now.0 / HOUR;
        match self.hour {
            None => self.first = hour,
            Some(last) => {
                for passed in 1..=hour.saturating_sub(last).min(HOURS as u64) {
                    let bucket = &mut self.buckets[((last + passed) % HOURS as u64) as usize];
                    self.inside -= u64::from(bucket.0);
                    self.all -= u64::from(bucket.1);
                    *bucket = (0, 0);
                }
            }
        }
        self.hour = Some(hour.max(self.hour.unwrap_or(0)));
        let bucket = &mut self.buckets[(hour % HOURS as u64) as usize];
        if bucket.1 < u32::MAX {
            bucket.0 += u32::from(inside);
            bucket.1 += 1;
            self.inside += u64::from(inside);
            self.all += 1;
        }
    }

    /// Share of the runs inside, 0 to 1; None before the first run.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.all > 0).then(|| self.inside as f64 / self.all as f64)
    }

    /// A whole week has been seen.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.hour.is_some_and(|hour| hour - self.first >= HOURS as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(n: u64) -> Timestamp {
        Timestamp(n * HOUR)
    }

    #[test]
    fn the_week_moves_on_and_forgets() {
        let mut p = Presence::default();
        assert_eq!((p.share(), p.whole()), (None, false));
        for h in 0..100 {
            p.add(hours(h), true);
        }
        for h in 100..168 {
            p.add(hours(h), false);
        }
        assert!(!p.whole());
        assert_eq!(p.share(), Some(100.0 / 168.0));
        for h in 168..268 {
            p.add(hours(h), false);
        }
        assert!(p.whole());
        assert_eq!(p.share(), Some(0.0), "the hundred good hours are more than a week ago");
    }

    #[test]
    fn a_long_gap_empties_it_in_bounded_work() {
        let mut p = Presence::default();
        p.add(hours(1), false);
        p.add(hours(u64::MAX / HOUR), true);
        assert_eq!(p.share(), Some(1.0));
    }

    #[test]
    fn many_runs_in_one_hour_count_each() {
        let mut p = Presence::default();
        for i in 0..1000 {
            p.add(Timestamp(i), i % 4 != 0);
        }
        assert_eq!(p.share(), Some(0.75));
    }
}
