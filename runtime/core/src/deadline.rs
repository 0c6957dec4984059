//! Deadline accounting: was the last cycle's write acknowledged in time? Every miss is counted; nothing is ever written late.
//!
//! A cycle's latency ends with its last write response. Responses arrive while the scan sleeps, so cycle n is judged at the start of
//! cycle n+1 (the deadline is at most one cycle, checked by the configuration).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::image::WriteOutcome;
use crate::state::Archive;
use crate::time::{ScanCycle, Timestamp};

/// Counters of deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deadlines {
    /// Cycles judged.
    pub cycles: u64,
    /// Misses.
    pub missed: u64,
    /// Misses in a row, now.
    pub in_a_row: u32,
    /// Longest row of misses.
    pub longest_row: u32,
    /// Scans that did not take place at all.
    pub skipped: u64,
    /// The cycle judged last met its deadline.
    pub last_met: bool,
    /// Latency of the cycle judged last (scheduled start to last acknowledgement), if all its writes were acknowledged.
    pub latency: Option<Duration>,
}

/// What was posted and when it had to be done.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Posted {
    cycle: u64,
    scheduled: Timestamp,
    deadline: Timestamp,
}

/// Judges each flushed cycle once.
#[derive(Debug, Clone)]
pub struct DeadlineWatch {
    writers: Vec<usize>,
    deadline: Duration,
    posted: Option<Posted>,
    /// Counters since start.
    pub counters: Deadlines,
}

impl DeadlineWatch {
    /// `writers`: indices of the connections that carry output cells.
    #[must_use]
    pub fn new(writers: Vec<usize>, deadline: Duration) -> Self {
        Self { writers, deadline, posted: None, counters: Deadlines { last_met: true, ..Deadlines::default() } }
    }

    /// Keeps what was posted and the counters.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep(&mut self.posted);
        archive.keep(&mut self.counters);
    }

    /// Remembers that this cycle's cells were handed over.
    pub fn posted(&mut self, cycle: &ScanCycle) {
        let deadline = cycle.scheduled.after(self.deadline);
        self.posted = Some(Posted { cycle: cycle.number, scheduled: cycle.scheduled, deadline });
    }

    /// Judges the cycle before. A scan that was skipped or withheld counts as missed.
    pub fn judge(&mut self, cycle: &ScanCycle, outcomes: &[Option<WriteOutcome>]) {
        let c = &mut self.counters;
        c.skipped = c.skipped.saturating_add(u64::from(cycle.missed));
        let Some(posted) = self.posted.take() else { return };
        let mut last = Some(posted.scheduled);
        for &writer in &self.writers {
            let done = outcomes[writer]
                .filter(|o| o.cycle == posted.cycle && !o.discarded && o.done <= posted.deadline)
                .map(|o| o.done);
            last = last.zip(done).map(|(a, b)| a.max(b));
        }
        c.cycles += 1;
        c.latency = last.map(|t| t.since(posted.scheduled));
        c.last_met = last.is_some() && cycle.missed == 0;
        if c.last_met {
            c.in_a_row = 0;
        } else {
            c.missed += 1;
            c.in_a_row = c.in_a_row.saturating_add(1);
            c.longest_row = c.longest_row.max(c.in_a_row);
        }
    }

    /// A scan finished too late and was not flushed: its deadline is missed without a post.
    pub fn withheld(&mut self) {
        let c = &mut self.counters;
        c.cycles += 1;
        c.missed += 1;
        c.last_met = false;
        c.latency = None;
        c.in_a_row = c.in_a_row.saturating_add(1);
        c.longest_row = c.longest_row.max(c.in_a_row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    const MS: u64 = 1_000_000;

    fn cycle(number: u64, missed: u32) -> ScanCycle {
        let t = Timestamp(number * 1000 * MS);
        ScanCycle { number, scheduled: t, now: t, period: Duration::from_secs(1), missed }
    }

    fn outcome(cycle: u64, done_ms: u64, discarded: bool) -> Option<WriteOutcome> {
        let done = Timestamp(cycle * 1000 * MS + done_ms * MS);
        Some(WriteOutcome { cycle, status: Status::Good, done, discarded })
    }

    #[test]
    fn met_late_discarded_missing_and_skipped() {
        let mut w = DeadlineWatch::new(vec![0], Duration::from_millis(250));
        let cases = [
            (outcome(1, 30, false), 0, true),
            (outcome(2, 251, false), 0, false),
            (outcome(3, 10, true), 0, false),
            (outcome(3, 10, false), 0, false), // no word of cycle 4 itself
            (None, 0, false),
            (outcome(6, 10, false), 1, false), // acknowledged, but the next scan was skipped
            (outcome(7, 10, false), 0, true),
        ];
        for (i, (got, missed, met)) in cases.into_iter().enumerate() {
            let n = i as u64 + 1;
            w.posted(&cycle(n, 0));
            w.judge(&cycle(n + 1, missed), &[got]);
            assert_eq!(w.counters.last_met, met, "case {n}");
        }
        assert_eq!((w.counters.missed, w.counters.longest_row, w.counters.in_a_row), (5, 5, 0));
    }

    #[test]
    fn two_writers_the_slower_one_counts() {
        let mut w = DeadlineWatch::new(vec![0, 2], Duration::from_millis(250));
        w.posted(&cycle(1, 0));
        w.judge(&cycle(2, 0), &[outcome(1, 10, false), None, outcome(1, 90, false)]);
        assert_eq!(w.counters.latency, Some(Duration::from_millis(90)));
    }
}
