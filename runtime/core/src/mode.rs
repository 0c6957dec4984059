//! Modes and what stands in the way of one.

use serde::{Deserialize, Serialize};

/// Who holds the setpoint (OFF / WARM / ON of APC suites).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// Reads and predicts.
    Off,
    /// Also optimises and shows moves; writes nothing but the handshake.
    Advisory,
    /// Writes setpoints where the PLC says "in control".
    ClosedLoop,
}

/// What stands in the way of a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blocker {
    /// Nothing.
    None,
}
