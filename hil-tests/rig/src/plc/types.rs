//! What goes into a simulated PLC and what it answers: options, states, faults, truth.
//!
//! Words: *truth* is what no instrument shows; *retained* is memory that survives a power cycle.

use std::time::Duration;

use crate::gate::link::{ApcLinkFromApp, ApcLinkToApp};
use crate::gate::setpoint::ApcSp;
use crate::panel::{GateSettings, Panel};
use crate::r101::plant::{Feed, State};
use crate::r101::process::{GcResult, Noise};

/// How a simulated PLC starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlcOptions {
    /// Feed at the start: flow (l/h), concentration of A (mol/l), temperature (degC).
    pub feed: Feed,
    /// Reactor temperature at the start, degC.
    pub temperature: f64,
    /// Instruments.
    pub noise: Noise,
    /// Seed of the noise.
    pub seed: u64,
    /// Scan time, whole milliseconds.
    pub scan: Duration,
    /// Engineer's settings.
    pub gate: GateSettings,
}

impl Default for PlcOptions {
    /// The base case of R-101: 140 l/h, 114 degC, feed of 5.10 mol/l at 116 degC, small noise, scan 100 ms.
    fn default() -> Self {
        Self {
            feed: Feed { flow: 140.0, c_a0: 5.10, t0: 116.0 },
            temperature: 114.0,
            noise: Noise::SMALL,
            seed: 1,
            scan: Duration::from_millis(100),
            gate: GateSettings::default(),
        }
    }
}

/// What the PLC's processor is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlcState {
    /// The program runs.
    Run,
    /// The program stands still; values stay readable.
    Stop,
    /// After power on: everything reads zero for this long yet, writes are refused.
    Starting {
        /// Time until RUN.
        left: Duration,
    },
}

/// What memory keeps over a power cycle. The instances of the gate blocks always start anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retained {
    /// Write area and panel are kept.
    Kept,
    /// The write area is zero and the panel is back at its defaults, switched off.
    Zeroed,
}

/// A fault on the way of one written signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WriteFault {
    /// Limits the value and says so (GoodClamped) unless silent.
    Clamp {
        /// Lowest value kept.
        low: f64,
        /// Highest value kept.
        high: f64,
        /// Answer Good all the same.
        silent: bool,
    },
    /// Answers Good and keeps nothing.
    Ignore,
    /// Refuses the write.
    Refuse,
}

/// Answer to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteResult {
    /// Accepted.
    Done,
    /// Accepted, but limited.
    Clamped,
    /// The signal is not in the write area, or is refused by a fault, or the PLC is starting.
    Refused,
    /// The value has another type than the signal.
    WrongType,
}

/// The first offer after the runtime took control of an MV.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstOffer {
    /// What was offered, EU.
    pub offered: f32,
    /// The active setpoint at that moment, EU.
    pub active: f32,
}

/// Truth about one MV.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MvTruth {
    /// The gate block with its outputs.
    pub gate: ApcSp,
    /// The operator's setpoint, EU.
    pub local: f32,
    /// First offer since control was taken; None before it.
    pub first_offer: Option<FirstOffer>,
    /// Offers since the start.
    pub offers: u32,
}

/// Everything about the PLC and its plant at one instant, for views and scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// Process time since the start.
    pub time: Duration,
    /// Processor state.
    pub plc: PlcState,
    /// Reactor.
    pub reactor: State,
    /// Feed.
    pub feed: Feed,
    /// Duty, kJ/h.
    pub duty: f64,
    /// Profit now, EUR/h.
    pub profit: f64,
    /// What AI-101 shows.
    pub gc: GcResult,
    /// What the runtime last wrote.
    pub app: ApcLinkFromApp,
    /// What the gate says.
    pub link: ApcLinkToApp,
    /// A shed waits for the operator.
    pub latched: bool,
    /// By MV.
    pub mvs: [MvTruth; 2],
    /// The operator panel.
    pub panel: Panel,
}

