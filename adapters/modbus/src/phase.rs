//! When to poll. Why this file: a value read just before the scan is fresh; the same value read just after it is a whole cycle old.
//!
//! Words: the *lead* is how long before the next scan a poll starts: the slow end of the link's own recent poll times and a margin.
//! The *grid* is the smaller of poll interval and scan cycle; polls lie on grid points counted from the next scan, so a poll interval
//! that is not a whole part or multiple of the cycle is rounded to it. Pure: time comes in as an argument.

use std::time::Duration;

use flyball_core::time::{Timestamp, nanos};

/// Poll times that are remembered.
const RECENT: usize = 64;

/// Decides when the next poll starts.
#[derive(Debug, Clone)]
pub struct PollPhase {
    poll: u64,
    grid: u64,
    margin: u64,
    recent: [u64; RECENT],
    count: usize,
    last_start: Option<Timestamp>,
}

impl PollPhase {
    /// For a poll interval and a scan period. `margin` is kept between the slowest expected answer and the scan; all in process time.
    #[must_use]
    pub fn new(poll: Duration, cycle: Duration, margin: Duration) -> Self {
        // One microsecond keeps a configuration of zero from dividing by it.
        let (poll, cycle) = (nanos(poll).max(1_000), nanos(cycle).max(1_000));
        Self { poll, grid: poll.min(cycle), margin: nanos(margin), recent: [0; RECENT], count: 0, last_start: None }
    }

    /// A poll has started.
    pub fn started(&mut self, at: Timestamp) {
        self.last_start = Some(at);
    }

    /// A poll was answered in full after this long.
    pub fn answered(&mut self, took: Duration) {
        self.recent[self.count % RECENT] = nanos(took);
        self.count += 1;
    }

    /// A new connection: poll at once.
    pub fn restart(&mut self) {
        self.last_start = None;
    }

    /// Lead before the scan: second slowest of the last 64 polls (about p98; one outlier does not move it), a quarter more, and the margin.
    /// Never more than the grid.
    #[must_use]
    pub fn lead(&self) -> Duration {
        let (mut first, mut second) = (0, 0);
        for took in &self.recent[..self.count.min(RECENT)] {
            if *took > first {
                (first, second) = (*took, first);
            } else if *took > second {
                second = *took;
            }
        }
        let slow = if self.count < 2 { first } else { second };
        Duration::from_nanos(slow.saturating_add(slow / 4).saturating_add(self.margin).min(self.grid))
    }

    /// Start of the next poll. `next_scan` zero means unknown: then the interval alone counts.
    #[must_use]
    pub fn next(&self, now: Timestamp, next_scan: Timestamp) -> Timestamp {
        let Some(last) = self.last_start else { return now };
        if next_scan == Timestamp::ZERO {
            return Timestamp(last.0.saturating_add(self.poll)).max(now);
        }
        // Half a grid early is nearer to this grid point than to the next one.
        let earliest = (last.0.saturating_add(self.poll).saturating_sub(self.grid / 2)).max(now.0);
        let anchor = next_scan.before(self.lead()).0;
        let on_grid = if anchor >= earliest {
            anchor - (anchor - earliest) / self.grid * self.grid
        } else {
            anchor.saturating_add((earliest - anchor).div_ceil(self.grid).saturating_mul(self.grid))
        };
        Timestamp(on_grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Polls that start in `cycles` scans of 100 ms, each answered after `took` ms; start times in ms.
    fn simulate(poll_ms: u64, took_ms: u64, cycles: u64) -> (Vec<u64>, PollPhase) {
        let mut phase =
            PollPhase::new(Duration::from_millis(poll_ms), Duration::from_millis(100), Duration::from_millis(3));
        let (mut now, mut starts) = (Timestamp(0), Vec::new());
        while now.0 < cycles * 100 * MS {
            let next_scan = Timestamp((now.0 / (100 * MS) + 1) * 100 * MS);
            let due = phase.next(now, next_scan);
            // The link wakes at scans, because a batch is then posted.
            if due > next_scan {
                now = next_scan;
                continue;
            }
            phase.started(due);
            starts.push(due.0 / MS);
            now = due.after(Duration::from_millis(took_ms));
            phase.answered(Duration::from_millis(took_ms));
        }
        (starts, phase)
    }

    #[test]
    fn answers_arrive_just_before_the_scan() {
        let (starts, phase) = simulate(100, 8, 20);
        assert_eq!(phase.lead(), Duration::from_millis(13));
        assert!(starts.len() >= 20);
        for start in &starts[3..] {
            assert_eq!(start % 100, 87, "{starts:?}");
        }
    }

    #[test]
    fn slower_polls_keep_the_phase_of_the_scan() {
        let (starts, _) = simulate(300, 8, 31);
        assert!(starts[3..].windows(2).all(|w| w[1] - w[0] == 300 && w[0] % 100 == 87), "{starts:?}");
        let (starts, _) = simulate(25, 2, 10);
        assert!(starts[8..].windows(2).all(|w| w[1] - w[0] == 25), "{starts:?}");
    }

    #[test]
    fn a_poll_slower_than_the_cycle_skips_whole_steps() {
        let (starts, _) = simulate(100, 130, 30);
        assert!(starts[3..].windows(2).all(|w| w[1] - w[0] == 200), "{starts:?}");
    }

    #[test]
    fn one_outlier_does_not_move_the_lead() {
        let (_, mut phase) = simulate(100, 8, 20);
        phase.answered(Duration::from_millis(90));
        assert_eq!(phase.lead(), Duration::from_millis(13));
        phase.answered(Duration::from_millis(60));
        assert_eq!(phase.lead(), Duration::from_millis(78));
    }

    #[test]
    fn without_a_known_scan_the_interval_counts() {
        let mut phase = PollPhase::new(Duration::from_millis(50), Duration::from_millis(100), Duration::ZERO);
        assert_eq!(phase.next(Timestamp(7), Timestamp::ZERO), Timestamp(7), "the first poll is due at once");
        phase.started(Timestamp(7));
        assert_eq!(phase.next(Timestamp(8), Timestamp::ZERO), Timestamp(50 * MS + 7));
    }
}
