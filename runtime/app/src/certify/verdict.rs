//! The verdict: what a measurement and its estimate say about the deadline. Pure.

use std::fmt;
use std::time::Duration;

use flyball_machine::extreme::{CONFIDENCE, Estimate};
use serde::Deserialize;

use crate::cli::Against;
use crate::timing::Nanos;

/// Share of the cycles in which the loop must have been closed, percent: an open loop writes less.
const CLOSED_MIN: u64 = 90;

/// How the times were measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What was on the other end.
    pub against: Against,
    /// Real seconds.
    pub seconds: u64,
    /// Workers that kept processor and memory busy.
    pub stress: u32,
    /// Cycles followed each other this many times as fast as at the plant; every time limit was the real one.
    pub pace: u32,
    /// Cycles judged.
    pub cycles: u64,
    /// Of these, with the loop closed.
    pub closed: u64,
    /// Of these, over the deadline, or without a scan.
    pub missed: u64,
    /// The configured deadline.
    pub deadline: Duration,
    /// What the measured part of a cycle may take: without writes, the deadline less the budget of the write.
    pub limit: Duration,
}

/// The verdict in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The deadline is kept, and enough is known to say so.
    Pass,
    /// It is not kept.
    Fail,
    /// Too little is known.
    Inconclusive,
}

impl Word {
    /// As it stands in the file.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// In one word.
    pub word: Word,
    /// In sentences, at least one.
    pub reasons: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.word.text().to_uppercase())?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

/// Judges. A measured miss is a failure whatever the estimate says; an estimate that is doubted decides nothing.
#[must_use]
pub fn judge(run: &Run, estimate: &Estimate) -> Verdict {
    let nanos = |ns: f64| Nanos(if ns < 1e18 { ns as u64 } else { u64::MAX });
    let limit = Nanos(run.limit.as_nanos() as u64);
    let (mut failed, mut open) = (Vec::new(), Vec::new());
    if run.missed > 0 {
        failed.push(format!("{} of {} cycles missed the deadline of {limit}", run.missed, run.cycles));
    }
    if run.stress == 0 {
        open.push("an idle machine proves nothing about a busy one: leave --stress out, or give at least 1".to_owned());
    }
    if run.against == Against::Rig && run.closed * 100 < run.cycles * CLOSED_MIN {
        open.push(format!("the loop was closed in {} of {} cycles only", run.closed, run.cycles));
    }
    open.extend(estimate.doubts.iter().map(ToString::to_string));
    let mut passed = String::new();
    if let Some(q) = estimate.quantiles.first() {
        let said = format!(
            "once in {:.0} cycles a cycle takes {} or longer ({:.0} % interval {} to {})",
            1.0 / q.exceedance,
            nanos(q.value),
            CONFIDENCE * 100.0,
            nanos(q.low),
            nanos(q.high)
        );
        let bound = run.limit.as_nanos() as f64;
        if q.value > bound && open.is_empty() {
            failed.push(format!("{said}; the limit is {limit}"));
        } else if q.high > bound {
            open.push(format!("{said}; the interval is not below the limit of {limit}"));
        }
        passed = format!("{said}; the limit is {limit}");
    }
    match (failed.is_empty(), open.is_empty()) {
        (false, _) => Verdict { word: Word::Fail, reasons: failed.into_iter().chain(open).collect() },
        (true, false) => Verdict { word: Word::Inconclusive, reasons: open },
        (true, true) => {
            let all = format!("none of {} cycles missed the deadline", run.cycles);
            Verdict { word: Word::Pass, reasons: vec![passed, all] }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_machine::extreme::{Doubt, Gev, Quantile};

    const MS: f64 = 1e6;

    fn run() -> Run {
        Run {
            against: Against::Rig,
            seconds: 600,
            stress: 2,
            pace: 2,
            cycles: 1200,
            closed: 1200,
            missed: 0,
            deadline: Duration::from_millis(500),
            limit: Duration::from_millis(500),
        }
    }

    fn estimate(value: f64, high: f64) -> Estimate {
        Estimate {
            block: 30,
            blocks: 40,
            fit: Some(Gev { location: 20.0 * MS, scale: 5.0 * MS, shape: 0.1 }),
            fit_p: 0.5,
            quantiles: vec![Quantile { exceedance: 1e-6, value: value * MS, low: value * MS / 2.0, high: high * MS }],
            doubts: Vec::new(),
        }
    }

    #[test]
    fn a_pass_needs_no_miss_an_interval_below_the_limit_and_no_doubt() {
        let v = judge(&run(), &estimate(120.0, 300.0));
        assert_eq!(v.word, Word::Pass);
        assert_eq!(
            v.reasons[0],
            "once in 1000000 cycles a cycle takes 120 ms or longer (95 % interval 60.0 ms to 300 ms); the limit is 500 ms"
        );
        assert_eq!(judge(&run(), &estimate(600.0, 900.0)).word, Word::Fail);
        assert_eq!(judge(&run(), &estimate(400.0, 501.0)).word, Word::Inconclusive, "the upper end decides");
        assert_eq!(judge(&Run { missed: 1, ..run() }, &estimate(120.0, 300.0)).word, Word::Fail, "seen is believed");
        assert_eq!(judge(&Run { stress: 0, ..run() }, &estimate(120.0, 300.0)).word, Word::Inconclusive);
        assert_eq!(judge(&Run { closed: 1000, ..run() }, &estimate(120.0, 300.0)).word, Word::Inconclusive);
    }

    #[test]
    fn a_doubt_is_no_pass_and_an_estimate_in_doubt_no_failure() {
        for value in [120.0, 600.0] {
            let doubted = Estimate { doubts: vec![Doubt::FewBlocks(12)], ..estimate(value, value * 2.0) };
            let v = judge(&run(), &doubted);
            assert_eq!(v.word, Word::Inconclusive, "{v}");
            assert!(v.reasons[0].starts_with("12 blocks are too few"), "{v}");
        }
        let nothing = Estimate { quantiles: Vec::new(), doubts: vec![Doubt::NoSpread], ..estimate(1.0, 1.0) };
        assert_eq!(judge(&run(), &nothing).word, Word::Inconclusive);
    }
}
