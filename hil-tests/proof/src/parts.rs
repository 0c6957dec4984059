//! The functions that are proven: those that ship, or the same with one broken on purpose, to see that the proof can fail.

use std::time::Duration;

use crate::gate::lease::ApcLease;
use crate::gate::link::LinkSettings;
use crate::gate::setpoint::{ApcSp, SpInputs, SpSettings};
use flyball_config::ReturnAfterShed;
use flyball_core::handshake::{HeartbeatRules, HeartbeatWatch, LeaseState, PlcState};
use flyball_core::mode::{Blocker, Facts, Mode, ModeRules, ModeState, next};
use flyball_core::time::Timestamp;

use crate::state::SCAN_MS;

/// Breaks that a test puts into the machine; each must be caught by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// None: what ships.
    None,
    /// A wish to leave is not obeyed while arming.
    LeaveRefusedWhileArming,
    /// A cause to shed is overheard while the operator holds the setpoints.
    ShedRefusedWhileHolding,
    /// After a shed the runtime asks for CLOSED LOOP by itself.
    AsksAgainByItself,
    /// The runtime never notices that the PLC's heartbeat stopped.
    PlcLossNeverNoticed,
    /// The PLC never notices that the runtime's heartbeat stopped.
    RuntimeLossNeverNoticed,
    /// The guard is told the mode of the scan before.
    WritesOneScanAfterShed,
    /// The gate block takes what was written before it closed.
    OldSequenceTakenAtEntry,
    /// The first write after entry is a move already.
    FirstWriteIsAMove,
    /// The runtime is never satisfied with its time in ADVISORY.
    NeverArms,
    /// What a PLC without a heartbeat says counts as its wish.
    DeadWishCounts,
    /// A runtime does not care whose the lease is.
    LeaseIgnored,
    /// The lease goes from one owner to the next without a pause.
    NoPauseBetweenOwners,
}

/// What one run of the model is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// The break, if any.
    pub broken: Break,
    /// Rules of the runtime's modes.
    pub modes: ModeRules,
    /// Rules of the PLC's heartbeat.
    pub heartbeat: HeartbeatRules,
    /// Settings of FB_ApcLink.
    pub link: LinkSettings,
    /// Settings of FB_ApcSp.
    pub setpoint: SpSettings,
    /// FB_ApcSp takes part; otherwise the MV is in control whenever the gate is closed.
    pub mv: bool,
    /// FB_ApcLease takes part.
    pub lease: bool,
}

/// Scans of the PLC in one scan of the runtime. FB_ApcLink counts every second time, so its heartbeat moves once per round.
pub const PLC_SCANS: u32 = 2;
/// PLC scans that a changed heartbeat of the runtime may be missing before the gate opens.
pub const GATE_TIMEOUT_SCANS: u8 = 5;
/// Scans that a changed heartbeat of the PLC may be missing before the runtime sheds.
pub const LOST_AFTER_SCANS: u8 = 2;
/// Scans for which a value may be old before it counts as not readable, where a lease is used: not longer than the gate's time-out.
pub const STALE_SCANS: u8 = 2;
/// PLC scans for which the link must be good before the gate closes.
pub const HEALTHY_SCANS: u32 = 3;
/// A step of the PLC's heartbeat beyond this is a restart.
pub const JUMP: u16 = 3;

impl Parts {
    /// What ships, with time-outs of a few scans.
    #[must_use]
    pub fn shipped(return_after_shed: ReturnAfterShed) -> Self {
        Self {
            broken: Break::None,
            modes: ModeRules { never: Blocker::None, arm_after_scans: 1, arm_good_scans: 0, return_after_shed },
            heartbeat: HeartbeatRules { lost_after: scans(u32::from(LOST_AFTER_SCANS)), jump: JUMP },
            link: LinkSettings {
                hb_timeout_ms: u32::from(GATE_TIMEOUT_SCANS) * SCAN_MS,
                healthy_ms: HEALTHY_SCANS * SCAN_MS,
                x_return: return_after_shed == ReturnAfterShed::Automatic,
            },
            setpoint: SpSettings {
                r_eng_lo: 0.0,
                r_eng_hi: 1.0,
                r_rate_up: 1.0,
                r_rate_dn: 1.0,
                r_max_jump: 1.0,
                data_timeout_ms: 8 * SCAN_MS,
                x_shed_to_fb: false,
                r_sp_fallback: 0.0,
            },
            mv: false,
            lease: false,
        }
    }

    /// The same with one break.
    #[must_use]
    pub fn with(self, broken: Break) -> Self {
        let mut parts = Self { broken, ..self };
        match broken {
            Break::PlcLossNeverNoticed => parts.heartbeat.lost_after = Duration::MAX,
            Break::RuntimeLossNeverNoticed => parts.link.hb_timeout_ms = u32::MAX,
            Break::NeverArms => parts.modes.arm_after_scans = u32::MAX,
            _ => {}
        }
        parts
    }

    /// `mode::next`.
    #[must_use]
    pub fn next(&self, state: ModeState, facts: &Facts) -> ModeState {
        let mut facts = *facts;
        match self.broken {
            Break::LeaveRefusedWhileArming if state.arming && facts.command.is_some_and(|m| m < Mode::ClosedLoop) => {
                facts.command = None;
            }
            Break::ShedRefusedWhileHolding if state.hold => facts.shed = None,
            _ => {}
        }
        let mut after = next(&self.modes, state, &facts);
        if self.broken == Break::AsksAgainByItself
            && state.actual == Mode::ClosedLoop
            && after.actual == Mode::Advisory
            && after.shed.is_some()
        {
            after.requested = Mode::ClosedLoop;
        }
        after
    }

    /// `LeaseState::of`.
    #[must_use]
    pub fn lease(&self, owner: Option<u32>, us: u32) -> LeaseState {
        match LeaseState::of(owner, us) {
            _ if !self.lease => LeaseState::NotUsed,
            LeaseState::Other(_) if self.broken == Break::LeaseIgnored => LeaseState::Ours,
            lease => lease,
        }
    }

    /// `PlcState::wish`.
    #[must_use]
    pub fn wish(&self, plc: &PlcState) -> Option<u16> {
        if self.broken == Break::DeadWishCounts { plc.wants } else { plc.wish() }
    }

    /// `ApcLease::scan`.
    pub fn grant(&self, lease: &mut ApcLease, heartbeat: u16, request: &mut u32) {
        let asked = *request;
        lease.scan(heartbeat, request, self.link.hb_timeout_ms, SCAN_MS);
        if self.broken == Break::NoPauseBetweenOwners && lease.udi_owner == 0 {
            lease.udi_owner = asked;
        }
    }

    /// `HeartbeatWatch::take`.
    pub fn take(&self, watch: &mut HeartbeatWatch, now: Timestamp, counter: Option<u16>) -> bool {
        watch.take(&self.heartbeat, now, counter)
    }

    /// `ApcSp::scan`.
    pub fn gate(&self, gate: &mut ApcSp, input: &SpInputs, local: &mut f32) {
        let (before, was) = (*gate, *local);
        gate.scan(input, &self.setpoint, local, SCAN_MS);
        if self.broken == Break::OldSequenceTakenAtEntry && gate.x_in_control && !before.x_in_control {
            // Step 3 without its last line: what stands in the cell looks new.
            *gate = ApcSp { x_in_ctl_old: true, ui_seq_last: input.ui_seq_app.wrapping_sub(1), ..before };
            *local = was;
            gate.scan(input, &self.setpoint, local, SCAN_MS);
        }
    }
}

/// A time of so many scans.
#[must_use]
pub fn scans(n: u32) -> Duration {
    Duration::from_millis(u64::from(n) * u64::from(SCAN_MS))
}
