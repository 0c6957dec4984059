//! What is moved and what is kept: optimiser, MVs, CVs, handshake with the PLC.

use std::time::Duration;

use super::{EuRange, ModelId, MvId, OutputId, TagId, ValueSource};
use crate::units::Unit;

/// The setpoint optimiser.
#[derive(Debug, Clone)]
pub struct Optimiser {
    /// Run interval, a whole number of cycles.
    pub every: Duration,
    /// The map it searches.
    pub map: ModelId,
    /// Maximise or minimise.
    pub direction: Direction,
    /// Expression over the map's input and output names and the prices.
    pub objective: String,
    /// Unit of the objective, for texts ("EUR/h").
    pub objective_unit: String,
    /// Prices, live-changeable.
    pub prices: Vec<Price>,
    /// Starting points, the present one and the last answer included.
    pub starts: u16,
    /// Time budget, turned into an iteration budget at start.
    pub stop_after: Duration,
    /// Do not move for less (objective units).
    pub accept_if_gain: f64,
    /// The search looks this many moves far from the present setpoints; none: as far as limits and training allow.
    pub reach: Option<f64>,
    /// Cost of leaving the map's domain by a whole limit of T2 or SPE (objective units).
    pub domain_cost: f64,
    /// The model remembers, and a plan of moves is searched; none: the map is a steady state.
    pub horizon: Option<Horizon>,
}

/// How far the optimiser plans with a model that reads a window of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Horizon {
    /// Steps that are predicted.
    pub steps: usize,
    /// Lengths of the move blocks in steps; the last one reaches to the end.
    pub blocks: Vec<usize>,
    /// Time of one step of the model; `Optimiser::every` is a whole number of these.
    pub step: Duration,
    /// Cost of a CV that still moves by its concern over the last quarter of the horizon (objective units).
    pub terminal: f64,
    /// Steps in which a CV that is outside a limit may come back.
    pub recover: usize,
}

/// Direction of the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// More is better.
    Maximise,
    /// Less is better.
    Minimise,
}

/// One price.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// Name in the objective.
    pub name: String,
    /// Value at start.
    pub value: f64,
    /// Unit text ("EUR/mol").
    pub unit: String,
}

/// A manipulated variable: the setpoint of an existing PLC loop, never a valve.
#[derive(Debug, Clone)]
pub struct Mv {
    /// Name.
    pub name: String,
    /// One sentence.
    pub text: String,
    /// Unit.
    pub unit: Unit,
    /// Engineering limits; the PLC has its own copy.
    pub limits: EuRange,
    /// Cell of the setpoint.
    pub write: OutputId,
    /// Cell of its sequence number.
    pub sequence: OutputId,
    /// Cell of its valid flag.
    pub valid: Option<OutputId>,
    /// The setpoint that the loop really uses.
    pub readback: TagId,
    /// "The runtime is in control of this loop."
    pub in_control: TagId,
    /// Last accepted sequence number.
    pub ack: Option<TagId>,
    /// Operator limit, low.
    pub operator_low: Option<TagId>,
    /// Operator limit, high.
    pub operator_high: Option<TagId>,
    /// PLC clamps at the high limit.
    pub limited_high: Option<TagId>,
    /// PLC clamps at the low limit.
    pub limited_low: Option<TagId>,
    /// Largest move up in `move_per`.
    pub move_up: f64,
    /// Largest move down in `move_per`.
    pub move_down: f64,
    /// The period of both.
    pub move_per: Duration,
    /// Smaller moves are not written.
    pub deadband: f64,
    /// An unchanged setpoint is written again after this long.
    pub refresh: Duration,
    /// The read-back must follow.
    pub verify: Verify,
    /// Sum of all moves in one hour, at most.
    pub travel_per_hour: Option<f64>,
    /// What one whole move costs (objective units): move suppression.
    pub move_cost: f64,
    /// Lost: the whole application leaves CLOSED LOOP.
    pub critical: bool,
}

/// Write verification: read-back within `within` by `by` after the write.
#[derive(Debug, Clone, Copy)]
pub struct Verify {
    /// Tolerance in EU.
    pub within: f64,
    /// Time.
    pub by: Duration,
}

/// A controlled variable: limits, not targets.
#[derive(Debug, Clone)]
pub struct Cv {
    /// Name.
    pub name: String,
    /// One sentence.
    pub text: String,
    /// Its value now.
    pub source: ValueSource,
    /// Output of the optimiser's map that predicts it (index in `Model::outputs`).
    pub map_output: u32,
    /// Unit.
    pub unit: Unit,
    /// Low limit.
    pub low: Option<f64>,
    /// High limit.
    pub high: Option<f64>,
    /// Distance kept from the limits.
    pub back_off: BackOff,
    /// Concern: violations of one rank are weighed in this unit. None: the span of its map output.
    pub concern: Option<f64>,
    /// How it must answer to each MV, as the engineer knows: the map is refused where it says otherwise.
    pub gains: Vec<(MvId, GainSign)>,
    /// 1 = given up last.
    pub priority: u8,
    /// Bad: the application leaves CLOSED LOOP.
    pub critical: bool,
}

/// Distance kept from a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BackOff {
    /// So much, EU.
    Fixed(f64),
    /// Half the width of the prediction's interval.
    HalfInterval,
}

/// Sign of a gain, the derivative of a CV by an MV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GainSign {
    /// The CV rises with the MV.
    Positive,
    /// The CV falls with the MV.
    Negative,
}

/// Signals exchanged with the PLC's gate block.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// Our heartbeat.
    pub heartbeat_out: OutputId,
    /// The PLC's heartbeat, sent back.
    pub echo_out: Option<OutputId>,
    /// Actual mode.
    pub mode_out: OutputId,
    /// Status bits.
    pub status_out: Option<OutputId>,
    /// Signature.
    pub signature_out: Option<OutputId>,
    /// The PLC's heartbeat.
    pub heartbeat_in: TagId,
    /// Mode the PLC or its operator asks for, 0/1/2.
    pub mode_wanted: TagId,
    /// The gate is closed: recommendations are used.
    pub closed_loop: TagId,
    /// Why the PLC shed.
    pub shed_reason: Option<TagId>,
    /// Heartbeat unchanged for this long: lost.
    pub lost_after: Duration,
    /// Who may close the loop again after a shed.
    pub return_after_shed: ReturnAfterShed,
    /// Several instances may stand beside this PLC: only the one that holds its lease speaks.
    pub lease: Option<Lease>,
}

/// Where the PLC grants its lease (docs/adr/0018-lease.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Who asks: emptied by the PLC once it has looked.
    pub request: OutputId,
    /// Who holds it, 0: nobody.
    pub owner: TagId,
}

/// Return after a shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnAfterShed {
    /// The operator must ask again.
    Operator,
    /// As soon as the permissions are back.
    Automatic,
}
