//! Condition: judges every sample before anything may use it. The first room of the scan.
//!
//! Order of the tests (the reason of the *first* failing one is kept): communication, code, range, rate, frozen; then substitution:
//! hold the last good value, then the configured one, then Bad. Substitution always lowers the status and never touches a signal.
//! Stale means "no proof of life", never "unchanged": a steady temperature behind a deadband sends nothing for hours and is fine.

use flyball_config::{Config, EuRange, Frozen, OnBad, Tag, TagRole};
use serde::{Deserialize, Serialize};

use crate::image::Sample;
use crate::state::Archive;
use crate::status::{Severity, Status};
use crate::time::{Timestamp, nanos};
use crate::value::Value;

/// Rejected samples in a row after which the tag is Bad instead of "keeps its last value".
const REJECTS_UNTIL_BAD: u32 = 5;
/// A frozen signal becomes Bad after this many of its windows.
const FROZEN_BAD_WINDOWS: u64 = 3;
/// Outside the EU range by more than this share of its span: Uncertain.
const EU_RANGE_MARGIN: f64 = 0.05;

/// Why a conditioned value is not simply Good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Reason {
    /// Nothing to say.
    #[default]
    None,
    /// No first value yet.
    Waiting,
    /// The link or device says Bad.
    Source,
    /// No proof of life for longer than `stale_after`.
    Stale,
    /// The source says it is not a real measurement yet (initial value) or not for control.
    NotForControl,
    /// Simulated, and the application does not allow that.
    Simulated,
    /// The source says Uncertain.
    SourceUncertain,
    /// Outside the plausible range (`ok`).
    Implausible,
    /// Outside the EU range by more than 5 %.
    OutsideEuRange,
    /// Changed faster than `max_rate`.
    TooFast,
    /// Moved less than the band over its window.
    FrozenSignal,
}

/// A judged value: the only form in which a reading goes further.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conditioned {
    /// Value in EU; None when Bad.
    pub value: Option<Value>,
    /// Quality after all tests.
    pub status: Status,
    /// First failing test.
    pub reason: Reason,
    /// The value is not the reading itself: held or configured.
    pub substituted: bool,
    /// Source time of the reading (or of the one that is held).
    pub source_time: Timestamp,
    /// Last proof of life.
    pub alive: Timestamp,
}

impl Conditioned {
    /// Before the first scan.
    pub const WAITING: Self = Self {
        value: None,
        status: Status::BadWaitingForInitialData,
        reason: Reason::Waiting,
        substituted: false,
        source_time: Timestamp::ZERO,
        alive: Timestamp::ZERO,
    };

    /// The value if it is measured (not substituted) and Good or Uncertain.
    #[must_use]
    pub fn measured(&self) -> Option<f64> {
        self.value.filter(|_| !self.substituted).map(Value::get)
    }

    /// The value, substituted or not.
    #[must_use]
    pub fn get(&self) -> Option<f64> {
        self.value.map(Value::get)
    }
}

/// The tests of one tag, compiled from its configuration.
#[derive(Debug, Clone)]
struct Rule {
    plausible: Option<EuRange>,
    eu_limits: EuRange,
    max_rate_per_s: f64,
    frozen: Option<Frozen>,
    stale_after: u64,
    stale_by_sample: bool,
    hold: u64,
    on_bad: OnBad,
    signal: bool,
}

impl Rule {
    fn new(tag: &Tag) -> Self {
        let margin = tag.range.span() * EU_RANGE_MARGIN;
        let signal = tag.role == TagRole::Signal;
        Self {
            plausible: tag.plausible,
            eu_limits: EuRange { low: tag.range.low - margin, high: tag.range.high + margin },
            max_rate_per_s: tag.max_rate_per_s.unwrap_or(f64::INFINITY),
            frozen: tag.frozen,
            stale_after: nanos(tag.stale_after),
            stale_by_sample: tag.sampled_at.is_some(),
            hold: if signal { 0 } else { nanos(tag.hold) },
            on_bad: if signal { OnBad::Bad } else { tag.on_bad },
            signal,
        }
    }
}

/// What is remembered of one tag.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Memory {
    accepted: Option<(Value, Timestamp)>,
    accepted_source: Timestamp,
    rejects: u32,
    still_low: f64,
    still_high: f64,
    still_since: Option<Timestamp>,
}

/// All tags' rules and memories.
#[derive(Debug, Clone)]
pub struct Conditioner {
    rules: Vec<Rule>,
    memories: Vec<Memory>,
    simulation: bool,
}

impl Conditioner {
    /// Compiles the rules of every tag. Allocates; `run` does not.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            rules: config.tags.iter().map(Rule::new).collect(),
            memories: vec![Memory::default(); config.tags.len()],
            simulation: config.app.simulation,
        }
    }

    /// Keeps what it remembers of every tag.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep_all(&mut self.memories);
    }

    /// Judges every sample. Bounded: one fixed set of tests per tag. The three lists have one entry per tag.
    pub fn run(&mut self, now: Timestamp, samples: &[Sample], out: &mut [Conditioned]) {
        assert_eq!(samples.len(), self.rules.len());
        assert_eq!(out.len(), self.rules.len());
        let simulation = self.simulation;
        for (((rule, memory), sample), out) in self.rules.iter().zip(&mut self.memories).zip(samples).zip(out) {
            *out = judge(rule, memory, sample, now, simulation);
        }
    }
}

/// The verdict on one reading before substitution.
enum Verdict {
    Use(Value, Status, Reason),
    /// The sample is not used; within limits the last value stands in.
    Reject(Status, Reason),
}

fn judge(rule: &Rule, memory: &mut Memory, sample: &Sample, now: Timestamp, simulation: bool) -> Conditioned {
    match test(rule, memory, sample, now, simulation) {
        Verdict::Use(value, status, reason) => {
            memory.accepted = Some((value, now));
            memory.accepted_source = sample.source_time;
            memory.rejects = 0;
            Conditioned {
                value: Some(value),
                status,
                reason,
                substituted: false,
                source_time: sample.source_time,
                alive: sample.alive,
            }
        }
        Verdict::Reject(status, reason) => substitute(rule, memory, sample, now, status, reason),
    }
}

fn test(rule: &Rule, memory: &mut Memory, sample: &Sample, now: Timestamp, simulation: bool) -> Verdict {
    // 1. Communication: no value, no proof of life.
    let Some(value) = sample.value else {
        let waiting = sample.status.code() == Status::BadWaitingForInitialData;
        return Verdict::Reject(sample.status, if waiting { Reason::Waiting } else { Reason::Source });
    };
    let proof = if rule.stale_by_sample { sample.alive.min(sample.source_time) } else { sample.alive };
    if nanos(now.since(proof)) > rule.stale_after {
        return Verdict::Reject(Status::BadNoCommunication, Reason::Stale);
    }

    // 2. The source's own code.
    let (mut status, mut reason) = (sample.status, Reason::None);
    match sample.status.code() {
        Status::UncertainInitialValue => {
            return Verdict::Reject(Status::BadWaitingForInitialData, Reason::NotForControl);
        }
        Status::UncertainTransducerInManual => return Verdict::Reject(Status::BadOutOfService, Reason::NotForControl),
        Status::UncertainLastUsableValue | Status::UncertainNoCommunicationLastUsableValue => {
            return Verdict::Reject(Status::BadNoCommunication, Reason::Stale);
        }
        Status::UncertainSimulatedValue if !simulation => {
            return Verdict::Reject(Status::BadOutOfService, Reason::Simulated);
        }
        code if code.severity() == Severity::Uncertain => reason = Reason::SourceUncertain,
        _ => {}
    }

    // 3. Range.
    let x = value.get();
    if rule.plausible.is_some_and(|ok| !ok.contains(x)) {
        return Verdict::Reject(Status::BadSensorFailure, Reason::Implausible);
    }
    if !rule.signal && reason == Reason::None && !rule.eu_limits.contains(x) {
        (status, reason) = (Status::UncertainEngineeringUnitsExceeded, Reason::OutsideEuRange);
    }

    // 4. Rate, against the last accepted value: the allowed change grows with the time since, so a true step recovers by itself.
    if let Some((last, at)) = memory.accepted {
        let seconds = now.since(at).as_secs_f64();
        if seconds > 0.0 && (x - last.get()).abs() > rule.max_rate_per_s * seconds {
            memory.rejects = memory.rejects.saturating_add(1);
            return Verdict::Reject(Status::BadSensorFailure, Reason::TooFast);
        }
    }

    // 5. Frozen.
    if let Some(frozen) = rule.frozen {
        memory.still_low = memory.still_low.min(x);
        memory.still_high = memory.still_high.max(x);
        match memory.still_since {
            Some(since) if memory.still_high - memory.still_low < frozen.band => {
                let still = nanos(now.since(since));
                let window = nanos(frozen.after);
                if still >= window.saturating_mul(FROZEN_BAD_WINDOWS) {
                    return Verdict::Reject(Status::BadSensorFailure, Reason::FrozenSignal);
                }
                if still >= window && reason == Reason::None {
                    (status, reason) = (Status::UncertainSensorNotAccurate, Reason::FrozenSignal);
                }
            }
            _ => {
                (memory.still_low, memory.still_high) = (x, x);
                memory.still_since = Some(now);
            }
        }
    }
    Verdict::Use(value, status, reason)
}

fn substitute(
    rule: &Rule,
    memory: &Memory,
    sample: &Sample,
    now: Timestamp,
    status: Status,
    reason: Reason,
) -> Conditioned {
    let bad = Conditioned {
        value: None,
        status,
        reason,
        substituted: false,
        source_time: sample.source_time,
        alive: sample.alive,
    };
    let gave_up = reason == Reason::TooFast && memory.rejects >= REJECTS_UNTIL_BAD;
    if let Some((last, at)) = memory.accepted
        && nanos(now.since(at)) <= rule.hold
        && !gave_up
    {
        return Conditioned {
            value: Some(last),
            status: Status::UncertainLastUsableValue,
            substituted: true,
            source_time: memory.accepted_source,
            ..bad
        };
    }
    match rule.on_bad {
        OnBad::Use(x) => match Value::new(x) {
            Some(value) => Conditioned {
                value: Some(value),
                status: Status::UncertainSubstituteValue,
                substituted: true,
                source_time: now,
                ..bad
            },
            None => bad,
        },
        OnBad::Bad => bad,
    }
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
