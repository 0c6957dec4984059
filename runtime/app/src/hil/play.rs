//! The player: walks through a scenario scan by scan and keeps what was seen. Pure: no clock, no plant; who calls it does what it says.

use flyball_config::Config;
use flyball_report::{Outcome, Row};

use super::scenario::{Always, Expect, Scenario};
use super::seen::{Seen, short};
use crate::words;

/// A command whose number is not known yet, or that needs none.
pub const NO_COMMAND: u32 = 0;

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Whoever plays must do the action of the step.
    Due,
    /// Done at this time; waiting for all expectations in one scan.
    Waiting { since: f64 },
    /// All held at `held`; they must go on holding.
    Holding { since: f64, held: f64 },
}

/// A running scenario.
pub struct Player {
    config: Config,
    scenario: Scenario,
    step: usize,
    phase: Phase,
    /// The step's command and its answer.
    command: u32,
    answer: Option<String>,
    /// The time of the newest scan, process seconds.
    now: f64,
    rows: Vec<Row>,
    watches: Vec<Watch>,
    failed: bool,
    /// When each step was begun, with its id.
    pub marks: Vec<(f64, String)>,
}

/// State of one `always`.
struct Watch {
    rule: Always,
    /// Value of the scan before, and when.
    before: Option<(f64, f64)>,
    lowest: f64,
    highest: f64,
    largest: f64,
    /// First scan in which it did not hold, and what was seen.
    broken: Option<(f64, String)>,
}

impl Player {
    /// Before the first step.
    #[must_use]
    pub fn new(config: &Config, scenario: &Scenario) -> Self {
        let watch = |rule: &Always| Watch {
            rule: rule.clone(),
            before: None,
            lowest: f64::INFINITY,
            highest: f64::NEG_INFINITY,
            largest: 0.0,
            broken: None,
        };
        Self {
            config: config.clone(),
            step: 0,
            phase: Phase::Due,
            command: NO_COMMAND,
            answer: None,
            now: 0.0,
            rows: Vec::new(),
            watches: scenario.always.iter().map(watch).collect(),
            scenario: scenario.clone(),
            failed: false,
            marks: Vec::new(),
        }
    }

    /// The step whose action must be done now; then call `done`.
    #[must_use]
    pub fn due(&self) -> Option<usize> {
        (!self.over() && self.phase == Phase::Due).then_some(self.step)
    }

    /// The action of the step that was due has been done; `command` is the number of the command that did it.
    pub fn done(&mut self, command: u32) {
        self.command = command;
        self.answer = None;
        self.phase = Phase::Waiting { since: self.now };
        self.marks.push((self.now, self.scenario.step[self.step].id.clone()));
    }

    /// Nothing is left to be done or seen.
    #[must_use]
    pub fn over(&self) -> bool {
        self.failed || self.step == self.scenario.step.len()
    }

    /// Takes one scan.
    pub fn take(&mut self, seen: &Seen) {
        self.now = seen.at;
        if self.over() {
            return;
        }
        self.watches.iter_mut().for_each(|w| w.take(&self.config, seen));
        if let Some((_, text)) = seen.answers.iter().find(|(id, _)| *id == self.command && *id != NO_COMMAND) {
            self.answer = Some(text.clone());
        }
        let step = &self.scenario.step[self.step];
        let looked: Vec<(bool, String)> =
            step.expect.iter().map(|e| seen.holds(&self.config, e, self.answer.as_deref())).collect();
        let all = looked.iter().all(|(holds, _)| *holds);
        let (within, during) = (step.within_s, step.during_s);
        match self.phase {
            Phase::Due => {}
            Phase::Waiting { since } if all && during > 0.0 => self.phase = Phase::Holding { since, held: seen.at },
            Phase::Waiting { since } if all => self.close(since, seen.at, &looked, None),
            Phase::Waiting { since } if seen.at - since > within => self.close(since, seen.at, &looked, Some(seen)),
            Phase::Waiting { .. } => {}
            Phase::Holding { since, .. } if !all => self.close(since, seen.at, &looked, Some(seen)),
            Phase::Holding { since, held } if seen.at - held >= during => self.close(since, held, &looked, None),
            Phase::Holding { .. } => {}
        }
    }

    /// Ends a step: one row per expectation. `failed`: the scan that shows what had not come.
    fn close(&mut self, since: f64, at: f64, looked: &[(bool, String)], failed: Option<&Seen>) {
        let step = &self.scenario.step[self.step];
        for (i, (expect, (holds, observed))) in step.expect.iter().zip(looked).enumerate() {
            self.rows.push(Row {
                id: row_id(&step.id, step.expect.len(), i),
                what: step.text.clone(),
                expected: expected(expect, step.within_s, step.during_s),
                observed: match failed {
                    // A loop that has opened explains most of what does not come.
                    Some(seen) if !holds && expect.mode.is_none() => {
                        format!("{observed}; {} ({})", words::mode(seen.mode), seen.reason)
                    }
                    _ => observed.clone(),
                },
                outcome: if failed.is_none() || *holds { Outcome::Passed } else { Outcome::Failed },
                at: since,
                took: at - since,
            });
        }
        self.failed = failed.is_some();
        self.step += 1;
        self.phase = Phase::Due;
    }

    /// Ends it here: what has not been seen yet is skipped, for this reason.
    #[must_use]
    pub fn finish(mut self, reason: &str) -> Vec<Row> {
        let left = self.scenario.step[self.step.min(self.scenario.step.len())..].iter();
        let reason = if self.failed { "an earlier step failed" } else { reason };
        for step in left {
            for (i, expect) in step.expect.iter().enumerate() {
                self.rows.push(Row {
                    id: row_id(&step.id, step.expect.len(), i),
                    what: step.text.clone(),
                    expected: expected(expect, step.within_s, step.during_s),
                    observed: format!("not looked at: {reason}"),
                    outcome: Outcome::Skipped,
                    at: self.now,
                    took: 0.0,
                });
            }
        }
        self.rows.extend(self.watches.iter().map(|w| w.row(self.now)));
        self.rows
    }
}

fn row_id(step: &str, of: usize, i: usize) -> String {
    if of == 1 { step.to_owned() } else { format!("{step}.{}", i + 1) }
}

fn expected(e: &Expect, within: f64, during: f64) -> String {
    let hold = if during > 0.0 { format!(", then for {during} s") } else { String::new() };
    format!("{e} within {within} s{hold}")
}

impl Watch {
    fn take(&mut self, config: &Config, seen: &Seen) {
        let rule = &self.rule;
        let mv = rule.mv.as_ref().and_then(|n| config.mvs.iter().position(|m| m.name == *n));
        let cv = rule.cv.as_ref().and_then(|n| config.cvs.iter().position(|c| c.name == *n));
        let value = mv.map_or_else(|| cv.and_then(|i| seen.cvs[i]), |i| seen.mvs[i].0);
        // After a scan that was late or skipped the plant has moved on for longer.
        let cycle = config.timing.cycle.as_secs_f64();
        let step = value
            .zip(self.before)
            .map_or(0.0, |(now, (before, at))| (now - before).abs() / ((seen.at - at) / cycle).max(1.0));
        self.before = value.map(|value| (value, seen.at));
        let Some(value) = value else { return };
        self.lowest = self.lowest.min(value);
        self.highest = self.highest.max(value);
        self.largest = self.largest.max(step);
        // A single-precision value of the PLC may lie half a bit beyond.
        let slack = |limit: f64| limit.abs() * 1e-6;
        let low = rule.low.is_none_or(|low| value >= low - slack(low));
        let high = rule.high.is_none_or(|high| value <= high + slack(high));
        let steady = rule.step.is_none_or(|most| step <= most + slack(value));
        if self.broken.is_none() && !(low && high && steady) {
            self.broken = Some((seen.at, format!("{} after a step of {}", short(value), short(step))));
        }
    }

    fn row(&self, now: f64) -> Row {
        let r = &self.rule;
        let mut expected = r
            .mv
            .as_ref()
            .map_or_else(|| format!("always CV {}", r.cv.as_deref().unwrap_or("?")), |mv| format!("always MV {mv}"));
        for (word, limit) in [(">=", r.low), ("<=", r.high), ("moves at most", r.step)] {
            if let Some(limit) = limit {
                expected += &format!(" {word} {}", short(limit));
            }
        }
        let seen = format!("{} to {}, largest step {}", short(self.lowest), short(self.highest), short(self.largest));
        let (outcome, observed, took) = match &self.broken {
            Some((at, what)) => (Outcome::Failed, format!("{what}; {seen}"), *at),
            None if self.lowest > self.highest => (Outcome::Failed, "never a usable value".into(), now),
            None => (Outcome::Passed, seen, now),
        };
        Row { id: r.id.clone(), what: r.text.clone(), expected, observed, outcome, at: 0.0, took }
    }
}

#[cfg(test)]
#[path = "play_tests.rs"]
mod play_tests;
