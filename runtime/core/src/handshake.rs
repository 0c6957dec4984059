//! Handshake with the PLC's gate block: heartbeats both ways, and what the PLC says of itself.
//!
//! The heartbeat is a counter (a toggling bit can alias with the sampling), advanced once per completed scan: a hung scan stops it.

use flyball_config::{Config, Handshake, OutputId, TagId};
use serde::{Deserialize, Serialize};

use crate::condition::Conditioned;
use crate::image::OutputImage;
use crate::state::Archive;
use crate::time::{ScanCycle, Timestamp, nanos};

/// Changes of the PLC's heartbeat that must be seen before it counts as alive: a frozen number at start is no proof.
const CHANGES_UNTIL_ALIVE: u32 = 3;
/// A counter that moves by more than this between two scans (either way) was restarted.
const JUMP: u16 = 120;

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
    own: u16,
    seen: Option<u16>,
    changes: u32,
    changed_at: Timestamp,
}

impl Link {
    /// For a configuration with a handshake.
    #[must_use]
    pub fn new(config: &Config) -> Option<Self> {
        let signals = config.handshake.clone()?;
        let signature = config.signature;
        Some(Self { signals, signature, own: 0, seen: None, changes: 0, changed_at: Timestamp::ZERO })
    }

    /// Keeps both counters.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep(&mut self.own);
        archive.keep(&mut self.seen);
        archive.keep(&mut self.changes);
        archive.keep(&mut self.changed_at);
    }

    /// Judges the PLC's signals.
    pub fn read(&mut self, now: Timestamp, tags: &[Conditioned]) -> PlcState {
        let word = |tag: TagId| tags[tag.index()].measured().map(to_word);
        let mut restarted = false;
        if let Some(heartbeat) = word(self.signals.heartbeat_in)
            && self.seen != Some(heartbeat)
        {
            if let Some(before) = self.seen {
                let step = heartbeat.wrapping_sub(before);
                restarted = step.min(before.wrapping_sub(heartbeat)) > JUMP || step > u16::MAX / 2;
                self.changes = if restarted { 1 } else { self.changes.saturating_add(1) };
            }
            self.seen = Some(heartbeat);
            self.changed_at = now;
        }
        if nanos(now.since(self.changed_at)) > nanos(self.signals.lost_after) {
            self.changes = 0;
        }
        PlcState {
            alive: self.changes >= CHANGES_UNTIL_ALIVE,
            restarted,
            heartbeat: self.seen.unwrap_or(0),
            wants: word(self.signals.mode_wanted),
            closed: word(self.signals.closed_loop) == Some(1),
            shed_reason: self.signals.shed_reason.and_then(word).unwrap_or(0),
        }
    }

    /// Fills the handshake cells at the end of a scan. The heartbeat cell goes with the second write.
    pub fn write(&mut self, _cycle: &ScanCycle, mode: u32, status: u32, image: &mut OutputImage) {
        self.own = self.own.wrapping_add(1);
        let mut set = |cell: Option<OutputId>, signal: u32| {
            if let Some(cell) = cell {
                image.set_signal(cell, signal);
            }
        };
        set(Some(self.signals.heartbeat_out), u32::from(self.own));
        set(self.signals.echo_out, u32::from(self.seen.unwrap_or(0)));
        set(Some(self.signals.mode_out), mode);
        set(self.signals.status_out, status);
        set(self.signals.signature_out, self.signature);
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
    use std::time::Duration;

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
        };
        Link { signals, signature: 7, own: 65_534, seen: None, changes: 0, changed_at: Timestamp::ZERO }
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
