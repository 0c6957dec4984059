//! The guard: the last stage before the door. Only here can a `Setpoint` be made.
//!
//! Order for each MV: mode permits and the PLC says in control -> scan in time -> read-back usable -> verified so far -> inputs trusted ->
//! tighter of engineering and operator limits -> move limit from the read-back -> deadband -> PLC clamps that direction -> hourly travel ->
//! write. Values are finite by type. The guard knows no model and no optimiser; what it is told may be anything.
//!
//! Every move starts from the setpoint that the loop really uses (read-back), never from what was written before.

use flyball_config::{EuRange, Mv};
use heapless::Deque;
use serde::{Deserialize, Serialize};

use crate::optimum::HeldBy;
use crate::state::Archive;
use crate::time::{Timestamp, nanos};
use crate::value::Value;

/// Verifications in a row that may fail before the MV is taken out of service.
const VERIFY_FAILURES_MAX: u32 = 3;
/// Scans in which a verified setpoint must stand elsewhere before a foreign writer is named.
const FOREIGN_SCANS: u32 = 2;
/// Moves remembered for the move limit; more in one period are refused.
const MOVES_REMEMBERED: usize = 16;
/// Buckets of the hourly travel, one minute each: the present one has only begun, so an hour needs one more than sixty.
const TRAVEL_BUCKETS: usize = 61;
/// Length of a bucket.
const BUCKET_NANOS: u64 = 60_000_000_000;

/// A guarded setpoint. The constructor is private to this file: by type nothing reaches the door without passing the guard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setpoint(Value);

impl Setpoint {
    /// The value inside.
    #[must_use]
    pub const fn value(self) -> Value {
        self.0
    }
}

/// What the plant says about one MV in this scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MvFacts {
    /// Setpoint that the loop uses; None when not measured and usable.
    pub readback: Option<f64>,
    /// The PLC lets us move this MV.
    pub in_control: bool,
    /// Operator limits: absent (not configured), or readable or not.
    pub operator: OperatorLimits,
    /// PLC clamps at its high limit.
    pub limited_high: bool,
    /// PLC clamps at its low limit.
    pub limited_low: bool,
}

/// Operator limits of one MV.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OperatorLimits {
    /// Not configured.
    None,
    /// Read.
    Known(f64, f64),
    /// Configured but not readable now: no move.
    Unreadable,
}

/// What is asked of the guard in this scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// Scheduled time of the scan (its jitter must not eat into a move period).
    pub now: Timestamp,
    /// Actual mode is CLOSED LOOP.
    pub permitted: bool,
    /// The scan began before its deadline.
    pub in_time: bool,
    /// The inputs behind the target are trusted.
    pub trusted: bool,
    /// The operator holds the setpoints.
    pub hold: bool,
    /// Where the MV should be after this move; None: stay.
    pub target: Option<f64>,
}

/// The guard's answer.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Verdict {
    /// Written as asked.
    Accepted,
    /// Written, but less than asked.
    Limited(HeldBy),
    /// The present setpoint was written again to show that we live.
    Refreshed(HeldBy),
    /// Nothing written now.
    Held(HeldBy),
    /// May not write at all.
    Refused(HeldBy),
    /// Not asked yet.
    #[default]
    Idle,
}

impl Verdict {
    /// What holds the MV.
    #[must_use]
    pub const fn held_by(self) -> HeldBy {
        match self {
            Self::Accepted | Self::Idle => HeldBy::Nothing,
            Self::Limited(h) | Self::Refreshed(h) | Self::Held(h) | Self::Refused(h) => h,
        }
    }
}

/// What the guard says about one MV.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct GuardReport {
    /// Answer.
    pub verdict: Verdict,
    /// Tight limits, EU.
    pub low: f64,
    /// Tight limits, EU.
    pub high: f64,
    /// Setpoint written last since entry.
    pub written: Option<f64>,
    /// Its sequence number.
    pub sequence: u16,
    /// Verifications failed in a row.
    pub verify_failures: u32,
    /// Taken out by failed verification.
    pub out: bool,
    /// Somebody else moves this setpoint.
    pub foreign: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Written {
    value: f64,
    at: Timestamp,
    /// A move, not a repetition of the present setpoint: only a move that arrives proves anything.
    moved: bool,
    proof: Proof,
}

/// What a write changed, as long as it may still be withheld.
#[derive(Debug, Clone, Copy)]
struct Undo {
    written: Option<Written>,
    delta: f64,
}

/// What the read-back has said about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Proof {
    /// Nothing yet; its time is not over.
    Pending,
    /// The read-back arrived there: from now on a deviation has another author.
    Verified,
    /// It did not arrive in time. It may still be on its way, so a deviation says nothing.
    Failed,
}

/// The guard of one MV.
#[derive(Debug, Clone)]
pub struct MvGuard {
    limits: EuRange,
    move_up: f64,
    move_down: f64,
    move_per: u64,
    deadband: f64,
    refresh: u64,
    verify_within: f64,
    verify_by: u64,
    travel_max: f64,
    written: Option<Written>,
    /// Of this scan; None when it wrote nothing.
    undo: Option<Undo>,
    moves: Deque<(Timestamp, f64), MOVES_REMEMBERED>,
    travel: [f64; TRAVEL_BUCKETS],
    travel_bucket: u64,
    sequence: u16,
    verify_failures: u32,
    out: bool,
    foreign_scans: u32,
}

impl MvGuard {
    /// A guard from the configuration of its MV.
    #[must_use]
    pub fn new(mv: &Mv) -> Self {
        Self {
            limits: mv.limits,
            move_up: mv.move_up,
            move_down: mv.move_down,
            move_per: nanos(mv.move_per),
            deadband: mv.deadband,
            refresh: nanos(mv.refresh),
            verify_within: mv.verify.within,
            verify_by: nanos(mv.verify.by),
            travel_max: mv.travel_per_hour.unwrap_or(f64::INFINITY),
            written: None,
            undo: None,
            moves: Deque::new(),
            travel: [0.0; TRAVEL_BUCKETS],
            travel_bucket: 0,
            sequence: 0,
            verify_failures: 0,
            out: false,
            foreign_scans: 0,
        }
    }

    /// Keeps the last write, the moves and the travel it counts, and what the read-back has said.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep(&mut self.written);
        archive.keep(&mut self.moves);
        archive.keep_all(&mut self.travel);
        archive.keep(&mut self.travel_bucket);
        archive.keep(&mut self.sequence);
        archive.keep(&mut self.verify_failures);
        archive.keep(&mut self.out);
        archive.keep(&mut self.foreign_scans);
    }

    /// The tighter of engineering and operator limits; None when they cross or cannot be read.
    #[must_use]
    pub fn tight(&self, operator: OperatorLimits) -> Option<EuRange> {
        let (low, high) = match operator {
            OperatorLimits::None => (self.limits.low, self.limits.high),
            // `max` and `min` would swallow a NaN.
            OperatorLimits::Known(low, high) if low.is_nan() || high.is_nan() => return None,
            OperatorLimits::Known(low, high) => (self.limits.low.max(low), self.limits.high.min(high)),
            OperatorLimits::Unreadable => return None,
        };
        (low <= high).then_some(EuRange { low, high })
    }

    /// The operator puts the MV back in service after a failed verification.
    pub fn restore(&mut self) {
        self.out = false;
        self.verify_failures = 0;
    }

    /// What was judged last came too late and was not sent: it is as if it had not been written. So the first write after entry is still to
    /// come, no move was used up, and nothing has to arrive.
    pub fn withheld(&mut self) {
        let Some(Undo { written, delta }) = self.undo.take() else { return };
        if delta != 0.0 {
            let _ = self.moves.pop_back();
            let travel = &mut self.travel[(self.travel_bucket % TRAVEL_BUCKETS as u64) as usize];
            *travel = (*travel - delta.abs()).max(0.0);
        }
        self.sequence = self.sequence.wrapping_sub(1);
        self.written = written;
    }

    /// Continues the PLC's numbering, so that the first sequence number after a restart is new to it.
    pub fn adopt_sequence(&mut self, acknowledged: u16) {
        if self.written.is_none() {
            self.sequence = acknowledged;
        }
    }

    /// Judges one request. Total and bounded; never allocates.
    pub fn judge(&mut self, facts: &MvFacts, request: &Request) -> (Option<Setpoint>, GuardReport) {
        self.undo = None;
        let tight = self.tight(facts.operator);
        let (setpoint, verdict) = self.decide(facts, request, tight);
        let range = tight.unwrap_or(self.limits);
        let report = GuardReport {
            verdict,
            low: range.low,
            high: range.high,
            written: self.written.map(|w| w.value),
            sequence: self.sequence,
            verify_failures: self.verify_failures,
            out: self.out,
            foreign: self.foreign_scans >= FOREIGN_SCANS,
        };
        (setpoint, report)
    }

    fn decide(&mut self, facts: &MvFacts, ask: &Request, tight: Option<EuRange>) -> (Option<Setpoint>, Verdict) {
        if !ask.permitted || !facts.in_control {
            self.written = None;
            self.foreign_scans = 0;
            let why = match (self.out, ask.permitted) {
                (true, _) => HeldBy::VerifyFailed,
                (false, true) => HeldBy::NotInControl,
                (false, false) => HeldBy::Mode,
            };
            return (None, Verdict::Refused(why));
        }
        if !ask.in_time {
            return (None, Verdict::Held(HeldBy::Late));
        }
        let Some(now_at) = facts.readback.filter(|x| x.is_finite()) else {
            return (None, Verdict::Refused(HeldBy::Quality));
        };
        let Some(tight) = tight else { return (None, Verdict::Refused(HeldBy::LimitsCross)) };
        self.verify(facts, ask.now, now_at, tight);
        if self.out {
            return (None, Verdict::Refused(HeldBy::VerifyFailed));
        }
        if self.foreign_scans > 0 {
            // Somebody else may be moving it: a write of ours would hide that, and the two would fight.
            return (None, Verdict::Held(HeldBy::Verifying));
        }
        if !tight.contains(now_at) {
            // The PLC ramps it inside by itself; anything we wrote would be outside the limits or too far away.
            let why = if now_at > tight.high { HeldBy::OperatorHigh } else { HeldBy::OperatorLow };
            return (None, Verdict::Held(why));
        }
        let Some(last) = self.written else {
            // First write after entry: exactly the plant's present setpoint.
            return (self.write(ask.now, now_at, now_at), Verdict::Refreshed(HeldBy::Entry));
        };
        let (goal, why) = self.limit(facts, ask, now_at, tight);
        if (goal - now_at).abs() >= self.deadband && goal != now_at {
            if last.proof == Proof::Pending && nanos(ask.now.since(last.at)) < self.verify_by {
                return (None, Verdict::Held(HeldBy::Verifying));
            }
            let verdict = if why == HeldBy::Nothing { Verdict::Accepted } else { Verdict::Limited(why) };
            return (self.write(ask.now, goal, now_at), verdict);
        }
        let why = if why == HeldBy::Nothing && goal != now_at { HeldBy::Deadband } else { why };
        if nanos(ask.now.since(last.at)) >= self.refresh {
            return (self.write(ask.now, now_at, now_at), Verdict::Refreshed(why));
        }
        (None, Verdict::Held(why))
    }

    /// Target through limits, move limit, direction and travel; with the first thing that holds it.
    fn limit(&self, facts: &MvFacts, ask: &Request, now_at: f64, tight: EuRange) -> (f64, HeldBy) {
        if ask.hold {
            return (now_at, HeldBy::Hold);
        }
        if !ask.trusted {
            return (now_at, HeldBy::Quality);
        }
        let Some(target) = ask.target.filter(|x| x.is_finite()) else { return (now_at, HeldBy::Nothing) };
        let mut why = HeldBy::Nothing;
        let mut goal = target;
        if goal > tight.high {
            goal = tight.high;
            why = if tight.high < self.limits.high { HeldBy::OperatorHigh } else { HeldBy::EngineeringHigh };
        } else if goal < tight.low {
            goal = tight.low;
            why = if tight.low > self.limits.low { HeldBy::OperatorLow } else { HeldBy::EngineeringLow };
        }
        if (facts.limited_high && goal > now_at) || (facts.limited_low && goal < now_at) {
            return (now_at, HeldBy::PlcLimit);
        }
        let (up, down) = self.allowance(ask.now);
        let reachable = goal.clamp(now_at - down, now_at + up);
        if reachable != goal {
            (goal, why) = (reachable, HeldBy::Rate);
        }
        if self.travelled(ask.now) + (goal - now_at).abs() > self.travel_max {
            return (now_at, HeldBy::Travel);
        }
        // Addition above may round past a limit by one bit; limits are never passed.
        (goal.clamp(tight.low, tight.high), why)
    }

    /// What is left of the move limits in the period that ends now: (up, down), both >= 0.
    fn allowance(&self, now: Timestamp) -> (f64, f64) {
        if self.moves.is_full() && self.moves.front().is_some_and(|(at, _)| nanos(now.since(*at)) < self.move_per) {
            return (0.0, 0.0);
        }
        let (mut up, mut down) = (self.move_up, self.move_down);
        for (at, delta) in &self.moves {
            if nanos(now.since(*at)) < self.move_per {
                if *delta > 0.0 {
                    up -= delta;
                } else {
                    down += delta;
                }
            }
        }
        (up.max(0.0), down.max(0.0))
    }

    /// Sum of all moves in the last hour.
    fn travelled(&self, now: Timestamp) -> f64 {
        let bucket = now.0 / BUCKET_NANOS;
        let old = bucket.saturating_sub(self.travel_bucket).min(TRAVEL_BUCKETS as u64) as usize;
        // Buckets older than an hour are counted as empty; they are cleared at the next write.
        let mut sum = 0.0;
        for back in 0..TRAVEL_BUCKETS - old.min(TRAVEL_BUCKETS) {
            let at = (self.travel_bucket + TRAVEL_BUCKETS as u64 - back as u64) % TRAVEL_BUCKETS as u64;
            sum += self.travel[at as usize];
        }
        sum
    }

    fn write(&mut self, now: Timestamp, value: f64, from: f64) -> Option<Setpoint> {
        let finite = Value::new(value)?;
        let delta = value - from;
        if delta != 0.0 {
            if self.moves.is_full() {
                self.moves.pop_front();
            }
            // Room was made above.
            let _ = self.moves.push_back((now, delta));
            let bucket = now.0 / BUCKET_NANOS;
            for b in self.travel_bucket + 1..=bucket.min(self.travel_bucket + TRAVEL_BUCKETS as u64) {
                self.travel[(b % TRAVEL_BUCKETS as u64) as usize] = 0.0;
            }
            self.travel_bucket = bucket;
            self.travel[(bucket % TRAVEL_BUCKETS as u64) as usize] += delta.abs();
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.undo = Some(Undo { written: self.written, delta });
        self.written = Some(Written { value, at: now, moved: delta != 0.0, proof: Proof::Pending });
        Some(Setpoint(finite))
    }

    /// Compares the read-back with what was written; counts failures; watches for a foreign writer.
    fn verify(&mut self, facts: &MvFacts, now: Timestamp, now_at: f64, tight: EuRange) {
        let Some(written) = &mut self.written else { return };
        let there = (now_at - written.value).abs() <= self.verify_within;
        // A clamp by the PLC or by a limit that the operator has just moved is not a failure: the limit was learned.
        let clamped = facts.limited_high || facts.limited_low || !tight.contains(written.value);
        if there {
            written.proof = Proof::Verified;
            self.foreign_scans = 0;
            if written.moved {
                self.verify_failures = 0;
            }
        } else if clamped {
            self.foreign_scans = 0;
            // The PLC has moved it away from there: where it stands now says nothing about other writers.
            written.proof = Proof::Failed;
        } else if written.proof == Proof::Verified {
            self.foreign_scans = self.foreign_scans.saturating_add(1);
        } else if written.proof == Proof::Pending && nanos(now.since(written.at)) >= self.verify_by {
            // Judged once; the next write is judged anew. An old value is never sent again.
            written.proof = Proof::Failed;
            self.verify_failures += 1;
            self.out = self.verify_failures >= VERIFY_FAILURES_MAX;
        }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
