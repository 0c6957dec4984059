//! What must hold in every state that can be reached.

use flyball_core::mode::{Blocker, Facts, Mode, ShedCause};
use stateright::Property;

use crate::parts::{GATE_TIMEOUT_SCANS, LOST_AFTER_SCANS};
use crate::state::{Runtime, State, Turn};
use crate::world::World;

/// Scans in which the loop is closed from anywhere, with faults over and a willing operator.
pub const CLOSED_WITHIN_SCANS: u32 = 40;

/// Promises that are judged while something happens; the others are read off the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// A setpoint is written only in CLOSED LOOP and where the PLC says "in control".
    WritesOnlyInControl,
    /// CLOSED LOOP is entered only after somebody asked since the last time.
    NoReturnByItself,
    /// The first write after entry is the read-back, and the loop's present setpoint if the image is current.
    Bumpless,
    /// The gate block never moves the loop's setpoint faster than its rate.
    NoStep,
    /// What was written before the gate closed is not taken.
    GateIgnoresOldValues,
    /// Only the instance that holds the lease writes anything but its request.
    OneSpeaker,
    /// The gate block leaves the operator's setpoint alone unless the MV is in control.
    GateObeysOnlyInControl,
}

/// Its bit in `Ghost::broken`.
#[must_use]
pub const fn bit(promise: Promise) -> u16 {
    promise as u16
}

const fn kept<const N: usize>(state: &State<N>, promise: Promise) -> bool {
    state.ghost.broken >> bit(promise) & 1 == 0
}

/// All promises, with the names that a break must be caught by.
#[must_use]
pub fn all<const N: usize>() -> Vec<Property<World<N>>> {
    vec![
        Property::always("written only in CLOSED LOOP and in control", |_, s: &State<N>| {
            kept(s, Promise::WritesOnlyInControl)
        }),
        Property::always("no return by itself", |_, s: &State<N>| kept(s, Promise::NoReturnByItself)),
        Property::always("bumpless entry", |_, s: &State<N>| kept(s, Promise::Bumpless)),
        Property::always("no step of the setpoint", |_, s: &State<N>| kept(s, Promise::NoStep)),
        Property::always("the gate ignores what was written before it closed", |_, s: &State<N>| {
            kept(s, Promise::GateIgnoresOldValues)
        }),
        Property::always("the gate moves a setpoint only in control", |_, s: &State<N>| {
            kept(s, Promise::GateObeysOnlyInControl)
        }),
        Property::always("only the owner of the lease writes", |_, s: &State<N>| kept(s, Promise::OneSpeaker)),
        Property::always("never two owners", |_, s: &State<N>| {
            s.runtimes.iter().filter(|r| r.up && r.mode.actual == Mode::ClosedLoop).count() <= 1
        }),
        Property::always("leaving is never refused", |w: &World<N>, s: &State<N>| {
            s.runtimes.iter().filter(|r| r.up).all(|r| can_leave(w, r))
        }),
        Property::always("the PLC opens within its time-out of a silent runtime", |_, s: &State<N>| {
            s.ghost.runtime_silent < GATE_TIMEOUT_SCANS || !s.plc.link.plc.x_closed_loop
        }),
        Property::always("the runtime sheds within its time-out of a silent PLC", |_, s: &State<N>| {
            let silent = |i: usize| s.ghost.plc_silent[i] > LOST_AFTER_SCANS;
            (0..N).all(|i| !silent(i) || s.runtimes[i].mode.actual != Mode::ClosedLoop)
        }),
        Property::always("a willing operator gets the loop closed", |w: &World<N>, s: &State<N>| {
            s.turn != Turn::World || w.closes_within(s).is_some_and(|scans| scans <= CLOSED_WITHIN_SCANS)
        }),
        Property::sometimes("the loop is closed and a setpoint is written", |_, s: &State<N>| {
            s.plc.gate.x_in_control && s.runtimes.iter().any(|r| r.entered)
        }),
    ]
}

/// Any wish and any cause leads out of this state in one scan, also out of arming, whatever else happens in that scan.
fn can_leave<const N: usize>(world: &World<N>, runtime: &Runtime) -> bool {
    let mode = runtime.mode;
    let quiet = Facts {
        command: None,
        hold: None,
        acknowledge: false,
        plc_wants: Some(2),
        plc_closed: true,
        plc_reason: 0,
        blocker: Blocker::None,
        shed: None,
        deadline_met: true,
        swapped: None,
    };
    let left = |facts: &Facts| {
        let after = world.parts.next(mode, facts);
        after.actual != Mode::ClosedLoop && after.announced() < 2
    };
    let (blocker, shed) = (Blocker::PlcHeartbeat, Some(ShedCause::PlcHeartbeatLost));
    left(&Facts { command: Some(Mode::Advisory), ..quiet })
        && left(&Facts { command: Some(Mode::Off), ..quiet })
        && left(&Facts { blocker, shed, ..quiet })
        && left(&Facts { blocker, shed, hold: Some(true), ..quiet })
        && (mode.actual != Mode::ClosedLoop
            || [
                Facts { plc_closed: false, ..quiet },
                Facts { plc_wants: Some(1), ..quiet },
                Facts { plc_wants: None, ..quiet },
            ]
            .iter()
            .all(|facts| world.parts.next(mode, facts).actual != Mode::ClosedLoop))
}
