//! What is read and written: tags with their checks, output cells with their phases.

use std::time::Duration;

use super::{Address, ConnectionId, MvId};
use crate::units::Unit;

/// A process variable or a signal that is read.
#[derive(Debug, Clone)]
pub struct Tag {
    /// Site name, unique ignoring case. Signals are named `<mv>.<signal>` or `handshake.<signal>`.
    pub name: String,
    /// From the P&ID.
    pub text: String,
    /// Where it is read.
    pub connection: ConnectionId,
    /// Address there.
    pub address: Address,
    /// Process variable or signal.
    pub role: TagRole,
    /// Engineering unit.
    pub unit: Unit,
    /// Raw value to engineering unit.
    pub scaling: Scaling,
    /// EU range: 0 to 100 % of the bar graph.
    pub range: EuRange,
    /// Where a healthy instrument can be (`ok`).
    pub plausible: Option<EuRange>,
    /// Fastest plausible change, EU per second.
    pub max_rate_per_s: Option<f64>,
    /// Frozen check.
    pub frozen: Option<Frozen>,
    /// No proof of life from the source for this long: stale.
    pub stale_after: Duration,
    /// A bad value is replaced by the last good one for this long.
    pub hold: Duration,
    /// What replaces it after the hold.
    pub on_bad: OnBad,
    /// Raw values by which the device says "invalid".
    pub invalid_marks: Vec<f64>,
    /// Where the device says when the sample was taken (unix seconds, UTC).
    pub sampled_at: Option<Address>,
    /// Where the device says whether the sample is valid.
    pub good_when: Option<GoodWhen>,
}

/// What kind of read value a tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagRole {
    /// Listed under `[tag.*]`: shown under Inputs, may be substituted.
    Process,
    /// A signal of an MV or of the handshake: never substituted.
    Signal,
}

/// A range in engineering units, `low < high`, both finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EuRange {
    /// Low end.
    pub low: f64,
    /// High end.
    pub high: f64,
}

impl EuRange {
    /// Width, always > 0.
    #[must_use]
    pub fn span(&self) -> f64 {
        self.high - self.low
    }

    /// True inside or on the ends.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Raw value to engineering unit; `eu = raw * factor + offset`, or a square root over the raw range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    /// The raw value is in engineering units.
    None,
    /// `eu = raw * factor + offset`.
    Linear {
        /// Factor.
        factor: f64,
        /// Offset in EU.
        offset: f64,
    },
    /// `eu = eu_low + (eu_high - eu_low) * sqrt((raw - raw_low) / (raw_high - raw_low))`; below raw_low it is eu_low.
    SquareRoot {
        /// Raw range.
        raw: EuRange,
        /// EU range.
        eu: EuRange,
    },
}

impl Scaling {
    /// A raw value in engineering units. NaN stays NaN: a broken transmitter must not read as "no flow".
    #[must_use]
    pub fn to_eu(self, raw: f64) -> f64 {
        match self {
            Self::None => raw,
            Self::Linear { factor, offset } => raw * factor + offset,
            Self::SquareRoot { raw: r, eu } => {
                // Not `max(0.0)`, which would turn NaN into zero.
                let share = (raw - r.low) / r.span();
                let share = if share < 0.0 { 0.0 } else { share };
                eu.low + eu.span() * share.sqrt()
            }
        }
    }
}

/// Frozen check: `max - min < band` over `after`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frozen {
    /// Band in EU.
    pub band: f64,
    /// Window.
    pub after: Duration,
}

/// Last resort for a bad value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OnBad {
    /// The tag is Bad.
    Bad,
    /// Use this value (EU), marked Uncertain.
    Use(f64),
}

/// Validity bit of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct GoodWhen {
    /// Address of the bit or register.
    pub address: Address,
    /// The value that means good.
    pub equals: f64,
}

/// A cell that is written.
#[derive(Debug, Clone)]
pub struct Output {
    /// Name for messages, `<mv>.write` or `handshake.<signal>`.
    pub name: String,
    /// Where it is written.
    pub connection: ConnectionId,
    /// Address there.
    pub address: Address,
    /// What it carries.
    pub kind: OutputKind,
    /// First or second write of a cycle.
    pub phase: WritePhase,
}

/// What an output cell carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// Setpoint of an MV: only the guard can make one.
    Setpoint(MvId),
    /// "This setpoint may be used."
    SetpointValid(MvId),
    /// Sequence number of an MV's setpoint.
    Sequence(MvId),
    /// Our heartbeat.
    Heartbeat,
    /// The PLC's heartbeat sent back.
    HeartbeatEcho,
    /// Actual mode 0/1/2.
    Mode,
    /// Status bits.
    Status,
    /// Configuration signature.
    Signature,
    /// Number of the instance that asks for the lease.
    LeaseRequest,
}

/// Values go first, then in a second write what commits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WritePhase {
    /// First write: setpoints, mode, echo.
    Value,
    /// Second write: sequence numbers and heartbeat.
    Commit,
}
