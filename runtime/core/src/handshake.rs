//! Handshake with the PLC's gate block: heartbeats both ways, and what the PLC says of itself.
//!
//! The heartbeat is a counter (a toggling bit can alias with the sampling), advanced once per completed scan: a hung scan stops it.
//!
//! Where several instances stand beside one PLC, the PLC grants a *lease* to one of them (docs/adr/0018-lease.md). Who does not hold it says
//! nothing: the cells of the handshake have one writer.

use std::time::Duration;

use flyball_config::{Config, Handshake, OutputId, TagId};
use serde::{Deserialize, Serialize};

use crate::condition::Conditioned;
use crate::image::OutputImage;
use crate::mode::{Blocker, ShedCause};
use crate::state::Archive;
use crate::time::{ScanCycle, Timestamp};

/// Changes of the PLC's heartbeat that must be seen before it counts as alive: a frozen number at start is no proof.
const CHANGES_UNTIL_ALIVE: u32 = 3;
/// A counter that moves by more than this between two scans (either way) was restarted.
const JUMP: u16 = 120;

/// When a heartbeat counts as alive, lost or restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatRules {
    /// Unchanged for longer than this: lost.
    pub lost_after: Duration,
    /// A step of more than this, either way, is a restart.
    pub jump: u16,
}

impl HeartbeatRules {
    /// The rules of the shipped handshake.
    #[must_use]
    pub const fn new(lost_after: Duration) -> Self {
        Self { lost_after, jump: JUMP }
    }
}

/// What is remembered of the PLC's counter. Small and pure, so that it can be model-checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct HeartbeatWatch {
    /// Newest counter.
    pub seen: Option<u16>,
    /// Changes since start, loss or restart; stops where the counter counts as alive.
    pub changes: u32,
    /// When it changed last.
    pub changed_at: Timestamp,
}

impl HeartbeatWatch {
    /// Takes the counter of one scan, None when it cannot be read; true when it jumped: the PLC restarted.
    pub fn take(&mut self, rules: &HeartbeatRules, now: Timestamp, counter: Option<u16>) -> bool {
        let mut restarted = false;
        if let Some(counter) = counter
            && self.seen != Some(counter)
        {
            if let Some(before) = self.seen {
                let step = counter.wrapping_sub(before);
                restarted = step.min(before.wrapping_sub(counter)) > rules.jump || step > u16::MAX / 2;
                self.changes = if restarted { 1 } else { (self.changes + 1).min(CHANGES_UNTIL_ALIVE) };
            }
            self.seen = Some(counter);
            self.changed_at = now;
        }
        if now.since(self.changed_at) > rules.lost_after {
            self.changes = 0;
        }
        restarted
    }

    /// The counter changes.
    #[must_use]
    pub const fn alive(&self) -> bool {
        self.changes >= CHANGES_UNTIL_ALIVE
    }
}

/// What the PLC says, as far as it can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlcState {
    /// Its heartbeat changes.
    pub alive: bool,
    /// Its heartbeat jumped in this scan.
    pub restarted: bool,
    /// Newest heartbeat.
    pub heartbeat: u16,
    /// Mode it asks for; None when it cannot be read.
    pub wants: Option<u16>,
    /// Its gate is closed.
    pub closed: bool,
    /// Why it shed last.
    pub shed_reason: u16,
    /// Who holds its lease.
    pub lease: LeaseState,
}

/// Who holds the PLC's lease, as far as this instance can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum LeaseState {
    /// The configuration knows no lease: this is the only instance.
    #[default]
    NotUsed,
    /// This instance.
    Ours,
    /// Nobody: it may be asked for.
    Free,
    /// Another instance.
    Other(u32),
    /// Not readable now, which is as good as lost: what was read before may be old.
    Unreadable,
}

impl LeaseState {
    /// `owner`: what the PLC says, None if it cannot be read; `us`: this instance, 0 if it has no number.
    #[must_use]
    pub const fn of(owner: Option<u32>, us: u32) -> Self {
        match owner {
            None => Self::Unreadable,
            Some(0) => Self::Free,
            Some(owner) if owner == us => Self::Ours,
            Some(owner) => Self::Other(owner),
        }
    }

    /// This instance may write to the PLC.
    #[must_use]
    pub const fn speaks(self) -> bool {
        matches!(self, Self::NotUsed | Self::Ours)
    }
}

impl PlcState {
    /// The mode it asks for, as far as that counts as a wish: words of a PLC whose heartbeat is not alive are leftovers or zeros. Else a
    /// PLC that restarts with its operator's switch left on would seem to ask anew.
    #[must_use]
    pub fn wish(&self) -> Option<u16> {
        self.wants.filter(|_| self.alive)
    }

    /// What the PLC itself puts in the way of closing, and gives as a cause to leave: the first that applies.
    #[must_use]
    pub const fn objection(&self) -> (Blocker, Option<ShedCause>) {
        if self.restarted {
            (Blocker::PlcHeartbeat, Some(ShedCause::PlcRestarted))
        } else if !self.alive {
            (Blocker::PlcHeartbeat, Some(ShedCause::PlcHeartbeatLost))
        } else if !self.lease.speaks() {
            (Blocker::NoLease, Some(ShedCause::LeaseLost))
        } else {
            (Blocker::None, None)
        }
    }
}

/// Status bits for the PLC (`wStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusBit {
    /// Some input is Bad.
    InputBad = 0,
    /// Some model is outside its domain.
    ModelOutside = 1,
    /// The last deadline was missed.
    DeadlineMissed = 2,
    /// The optimiser found no solution.
    NoSolution = 3,
    /// A write was not verified.
    VerifyFailed = 4,
    /// A bias has expired.
    BiasExpired = 5,
    /// Simulated data is allowed.
    Simulation = 6,
    /// Operator limits lie outside the engineering limits or cross.
    LimitsMismatch = 7,
}

/// Both counters.
#[derive(Debug, Clone)]
pub struct Link {
    signals: Handshake,
    signature: u32,
    instance: u32,
    lease: LeaseState,
    own: u16,
    rules: HeartbeatRules,
    watch: HeartbeatWatch,
}

impl Link {
    /// For a configuration with a handshake.
    #[must_use]
    pub fn new(config: &Config) -> Option<Self> {
        let signals = config.handshake.clone()?;
        let signature = config.signature;
        let rules = HeartbeatRules::new(signals.lost_after);
        let (instance, lease) = (config.instance, LeaseState::default());
        Some(Self { signals, signature, instance, lease, own: 0, rules, watch: HeartbeatWatch::default() })
    }

    /// Keeps both counters and who we are: a replay asks for the lease with the number of the run that it repeats.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep(&mut self.own);
        archive.keep(&mut self.watch);
        archive.keep(&mut self.instance);
        archive.keep(&mut self.lease);
    }

    /// Judges the PLC's signals.
    pub fn read(&mut self, now: Timestamp, tags: &[Conditioned]) -> PlcState {
        let word = |tag: TagId| tags[tag.index()].measured().map(to_word);
        let number =
            |tag: TagId| tags[tag.index()].measured().map(|x| x.round().clamp(0.0, f64::from(u32::MAX)) as u32);
        self.lease = self.signals.lease.map_or(LeaseState::NotUsed, |l| LeaseState::of(number(l.owner), self.instance));
        let restarted = self.watch.take(&self.rules, now, word(self.signals.heartbeat_in));
        PlcState {
            alive: self.watch.alive(),
            restarted,
            heartbeat: self.watch.seen.unwrap_or(0),
            wants: word(self.signals.mode_wanted),
            closed: word(self.signals.closed_loop) == Some(1),
            shed_reason: self.signals.shed_reason.and_then(word).unwrap_or(0),
            lease: self.lease,
        }
    }

    /// Fills the handshake cells at the end of a scan. The heartbeat cell goes with the second write. Without the lease it only asks for it, and
    /// only while nobody has it.
    pub fn write(&mut self, _cycle: &ScanCycle, mode: u32, status: u32, image: &mut OutputImage) {
        self.own = self.own.wrapping_add(1);
        let mut set = |cell: Option<OutputId>, signal: u32| {
            if let Some(cell) = cell {
                image.set_signal(cell, signal);
            }
        };
        if !self.lease.speaks() {
            if self.lease == LeaseState::Free && self.instance != 0 {
                set(self.signals.lease.map(|l| l.request), self.instance);
            }
            return;
        }
        set(Some(self.signals.heartbeat_out), u32::from(self.own));
        set(self.signals.echo_out, u32::from(self.watch.seen.unwrap_or(0)));
        set(Some(self.signals.mode_out), mode);
        set(self.signals.status_out, status);
        set(self.signals.signature_out, self.signature);
    }

    /// This instance may write to the PLC.
    #[must_use]
    pub fn speaks(&self) -> bool {
        self.lease.speaks()
    }

    /// Our heartbeat of the last scan.
    #[must_use]
    pub fn own(&self) -> u16 {
        self.own
    }
}

/// A PLC word: rounded, limited to 16 bits.
fn to_word(x: f64) -> u16 {
    x.round().clamp(0.0, 65_535.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;
    use crate::value::Value;
    use flyball_config::ReturnAfterShed;

    const S: u64 = 1_000_000_000;

    fn link() -> Link {
        let t = TagId;
        let signals = Handshake {
            heartbeat_out: OutputId(0),
            echo_out: None,
            mode_out: OutputId(1),
            status_out: None,
            signature_out: None,
            heartbeat_in: t(0),
            mode_wanted: t(1),
            closed_loop: t(2),
            shed_reason: None,
            lost_after: Duration::from_secs(5),
            return_after_shed: ReturnAfterShed::Operator,
            lease: None,
        };
        let rules = HeartbeatRules::new(signals.lost_after);
        Link {
            signals,
            signature: 7,
            instance: 9,
            lease: LeaseState::NotUsed,
            own: 65_534,
            rules,
            watch: HeartbeatWatch::default(),
        }
    }

    fn tags(heartbeat: u16) -> [Conditioned; 3] {
        [f64::from(heartbeat), 2.0, 1.0].map(|x| Conditioned {
            value: Value::new(x),
            status: Status::Good,
            ..Conditioned::WAITING
        })
    }

    #[test]
    fn a_frozen_number_is_no_heartbeat() {
        let mut l = link();
        for s in 1..100 {
            assert!(!l.read(Timestamp(s * S), &tags(777)).alive);
        }
    }

    #[test]
    fn alive_after_three_changes_lost_after_the_timeout_and_wraps() {
        let mut l = link();
        for i in 0..10u16 {
            let plc = l.read(Timestamp(u64::from(i + 1) * S), &tags(65_530u16.wrapping_add(i)));
            assert_eq!(plc.alive, i >= 3, "beat {i}");
            assert!(!plc.restarted, "a wrap is no restart");
        }
        let beat = 65_530u16.wrapping_add(9);
        assert!(l.read(Timestamp(15 * S), &tags(beat)).alive);
        assert!(!l.read(Timestamp(16 * S), &tags(beat)).alive);
    }

    #[test]
    fn a_wish_counts_only_while_the_plc_is_alive() {
        let mut l = link();
        for i in 0..10u16 {
            let plc = l.read(Timestamp(u64::from(i + 1) * S), &tags(5_000 + i));
            assert_eq!((plc.wants, plc.wish()), (Some(2), (i >= 3).then_some(2)), "beat {i}");
        }
        assert_eq!(l.read(Timestamp(11 * S), &tags(3)).wish(), None, "after a restart");
    }

    #[test]
    fn without_the_lease_it_only_asks_and_only_while_nobody_has_it() {
        let mut l = link();
        l.signals.lease = Some(flyball_config::Lease { request: OutputId(2), owner: TagId(3) });
        let cycle = ScanCycle {
            number: 0,
            scheduled: Timestamp::ZERO,
            now: Timestamp::ZERO,
            period: Duration::from_secs(1),
            missed: 0,
        };
        let cases = [
            (Some(0.0), LeaseState::Free, [false, false, true]),
            (Some(9.0), LeaseState::Ours, [true, true, false]),
            (Some(4.0), LeaseState::Other(4), [false; 3]),
            (None, LeaseState::Unreadable, [false; 3]),
        ];
        for (beat, (owner, lease, written)) in (1u16..).zip(cases) {
            let [a, b, c] = tags(beat);
            let owner = Conditioned { value: owner.and_then(Value::new), status: Status::Good, ..Conditioned::WAITING };
            let plc = l.read(Timestamp(u64::from(beat) * S), &[a, b, c, owner]);
            assert_eq!((plc.lease, plc.lease.speaks()), (lease, written[0]));
            let mut image = OutputImage::new(3);
            l.write(&cycle, 1, 0, &mut image);
            assert_eq!([0, 1, 2].map(|i| image.cell(OutputId(i)).is_some()), written, "{lease:?}");
        }
    }

    #[test]
    fn a_jump_is_a_restart() {
        let mut l = link();
        for i in 0..10u16 {
            l.read(Timestamp(u64::from(i + 1) * S), &tags(5_000 + i));
        }
        let plc = l.read(Timestamp(11 * S), &tags(3));
        assert!(plc.restarted && !plc.alive);
        let mut l = link();
        for i in 0..10u16 {
            l.read(Timestamp(u64::from(i + 1) * S), &tags(40 + i));
        }
        assert!(l.read(Timestamp(11 * S), &tags(1)).restarted, "a small counter that falls back was restarted too");
    }

    #[test]
    fn own_counter_wraps_and_moves_once_per_write() {
        let mut l = link();
        let mut image = OutputImage::new(2);
        let cycle = ScanCycle {
            number: 0,
            scheduled: Timestamp::ZERO,
            now: Timestamp::ZERO,
            period: Duration::from_secs(1),
            missed: 0,
        };
        let mut beats = Vec::new();
        for _ in 0..3 {
            l.write(&cycle, 1, 0, &mut image);
            beats.push(image.cell(OutputId(0)).map(Value::get));
        }
        assert_eq!(beats, [Some(65_535.0), Some(0.0), Some(1.0)]);
    }
}
