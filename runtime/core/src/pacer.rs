//! Pacer: gives each scan its identity. Absolute deadlines, phase kept after an overrun by whole steps, missed periods counted, no
//! catch-up burst.

use std::time::Duration;

use crate::ports::Clock;
use crate::time::{ScanCycle, Timestamp, nanos};

/// Absolute-time pacer of one scan.
#[derive(Debug, Clone)]
pub struct Pacer {
    period: Duration,
    start: Timestamp,
    next: u64,
}

impl Pacer {
    /// First scan one period after `start`.
    #[must_use]
    pub fn new(start: Timestamp, period: Duration) -> Self {
        assert!(!period.is_zero(), "the configuration refuses a zero cycle");
        Self { period, start, next: 1 }
    }

    /// Scheduled start of the next scan.
    #[must_use]
    pub fn scheduled(&self) -> Timestamp {
        self.at(self.next)
    }

    /// Waits for the next scan. Periods that have passed completely are skipped and counted, the phase is kept.
    pub fn wait(&mut self, clock: &dyn Clock) -> ScanCycle {
        let period = nanos(self.period);
        let late = clock.now().0.saturating_sub(self.scheduled().0);
        let missed = late / period;
        self.next += missed;
        let scheduled = self.scheduled();
        clock.wait_until(scheduled);
        let cycle = ScanCycle {
            number: self.next,
            scheduled,
            now: clock.now(),
            period: self.period,
            missed: missed.min(u64::from(u32::MAX)) as u32,
        };
        self.next += 1;
        cycle
    }

    fn at(&self, number: u64) -> Timestamp {
        Timestamp(self.start.0.saturating_add(nanos(self.period).saturating_mul(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock that jumps to where it is told, and a little further.
    struct Script {
        now: AtomicU64,
        lateness: u64,
    }

    impl Clock for Script {
        fn now(&self) -> Timestamp {
            Timestamp(self.now.load(Ordering::Relaxed))
        }

        fn wait_until(&self, at: Timestamp) {
            self.now.fetch_max(at.0 + self.lateness, Ordering::Relaxed);
        }
    }

    #[test]
    fn phase_is_kept_and_missed_periods_are_counted() {
        let clock = Script { now: AtomicU64::new(0), lateness: 3 };
        let mut pacer = Pacer::new(Timestamp(0), Duration::from_nanos(100));
        let c = pacer.wait(&clock);
        assert_eq!((c.number, c.scheduled.0, c.now.0, c.missed), (1, 100, 103, 0));
        clock.now.store(450, Ordering::Relaxed); // this scan took 350
        let c = pacer.wait(&clock);
        assert_eq!((c.number, c.scheduled.0, c.missed), (4, 400, 2), "late but in its own period: run at once");
        let c = pacer.wait(&clock);
        assert_eq!((c.number, c.scheduled.0, c.missed), (5, 500, 0), "no burst");
    }

    #[test]
    fn numbers_and_schedule_never_drift() {
        let clock = Script { now: AtomicU64::new(0), lateness: 7 };
        let mut pacer = Pacer::new(Timestamp(50), Duration::from_nanos(1000));
        for n in 1..10_000 {
            let c = pacer.wait(&clock);
            assert_eq!(c.scheduled.0, 50 + n * 1000);
        }
    }
}
