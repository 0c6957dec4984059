//! The guard: the last stage before the door. Only here can a `Setpoint` be made.

use crate::value::Value;

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
