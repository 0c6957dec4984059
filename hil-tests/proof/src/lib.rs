//! A model of flyball beside a PLC for exhaustive exploration: every order of link faults, crashes and operator actions.
//!
//! The model contains no rules of its own. It composes what ships: `mode::next`, `HeartbeatWatch`, `PlcState::objection` and
//! `MvGuard::judge` of the runtime, and the ports of the gate blocks that a site pastes into its PLC. What is here is the world between
//! and around them, and what must never happen. What was left out of the world is listed in docs/PROOF.md.
//!
//! * `parts`: the shipping functions, and the same with one of them broken on purpose;
//! * `state`: one instant of the world, made canonical so that counters which only wrap and compare do not make it infinite;
//! * `sides`: one scan of the runtime, one scan of the PLC;
//! * `world`: what may happen next;
//! * `promises`: what must hold in every state.

/// The ports of the gate blocks, the very files of the rig: they stand alone, and the rig's servers are not needed here.
#[path = "../../rig/src/gate"]
pub mod gate {
    pub mod lease;
    pub mod link;
    pub mod setpoint;
    pub mod timer;
}
pub mod parts;
pub mod promises;
pub mod sides;
pub mod state;
pub mod world;
