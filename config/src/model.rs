//! The validated configuration: what the plant is, in types that carry units and ids.
//!
//! Everything here has passed `check`: references are indices, quantities are in the stated unit, lists respect `bounds`.
//! The reader of a file (`load`) is the only maker in production; tests and rigs may build one by hand.
//!
//! Words: docs/GLOSSARY.md. Numbers without a unit in their name are in the engineering unit (EU) of their tag.

use std::path::PathBuf;
use std::time::Duration;

use crate::units::Unit;

macro_rules! index_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name(pub u32);

        impl $name {
            /// Position in the list that this id indexes.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index_type!(
    /// Index of a tag in `Config::tags` and in the input image.
    TagId
);
index_type!(
    /// Index of an output cell in `Config::outputs` and in the output image.
    OutputId
);
index_type!(
    /// Index of a connection in `Config::connections`.
    ConnectionId
);
index_type!(
    /// Index of a model in `Config::models`.
    ModelId
);
index_type!(
    /// Index of one output of one soft sensor in `Config::predictions`.
    PredictionId
);
index_type!(
    /// Index of a manipulated variable in `Config::mvs`.
    MvId
);
index_type!(
    /// Index of a controlled variable in `Config::cvs`.
    CvId
);

/// A whole, validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from; relative paths inside it are relative to this file's folder.
    pub file: PathBuf,
    /// CRC-32 over the bytes of the file, its tag sheets and its models: what the PLC can check under management of change.
    pub signature: u32,
    /// Who this application is.
    pub app: App,
    /// When it runs and how long it may take.
    pub timing: Timing,
    /// Field connections, in file order.
    pub connections: Vec<Connection>,
    /// Every value that is read: process tags first (file order), then the signals of MVs and handshake.
    pub tags: Vec<Tag>,
    /// Every cell that is written.
    pub outputs: Vec<Output>,
    /// Soft sensors and the optimiser's map.
    pub models: Vec<Model>,
    /// All outputs of models of role `SoftSensor`, flattened in file order.
    pub predictions: Vec<PredictionRef>,
    /// The setpoint optimiser, if there is one.
    pub optimiser: Option<Optimiser>,
    /// Manipulated variables.
    pub mvs: Vec<Mv>,
    /// Controlled variables.
    pub cvs: Vec<Cv>,
    /// The link to the PLC's gate block. Without it the application can never leave ADVISORY.
    pub handshake: Option<Handshake>,
    /// What others can read over OPC UA.
    pub server: Option<Server>,
}

impl Config {
    /// The tag of an id.
    #[must_use]
    pub fn tag(&self, id: TagId) -> &Tag {
        &self.tags[id.index()]
    }

    /// Finds a tag by its name, ignoring case (names are unique ignoring case).
    #[must_use]
    pub fn tag_named(&self, name: &str) -> Option<TagId> {
        let at = self.tags.iter().position(|t| t.name.eq_ignore_ascii_case(name))?;
        Some(TagId(at as u32))
    }

    /// True when a critical CV takes its value from this prediction.
    #[must_use]
    pub fn critical_prediction(&self, id: PredictionId) -> bool {
        self.cvs.iter().any(|cv| cv.critical && cv.source == ValueSource::Prediction(id))
    }
}

/// Who this application is: printed in reports, served under Identification.
#[derive(Debug, Clone)]
pub struct App {
    /// Short unique name, also the root folder of the OPC UA address space.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Plant area.
    pub area: String,
    /// Whom to call.
    pub owner: String,
    /// OFF or ADVISORY; closed loop is never a start mode.
    pub start_mode: StartMode,
    /// The highest mode this configuration may ever reach.
    pub highest_mode: HighestMode,
    /// Management-of-change number.
    pub change_ref: String,
    /// True when simulated data (UncertainSimulatedValue) may be used. Never for a real plant.
    pub simulation: bool,
}

/// Mode after start. ClosedLoop is deliberately not expressible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartMode {
    /// Read and predict only.
    Off,
    /// Compute and show, write nothing.
    Advisory,
}

/// Cap on the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HighestMode {
    /// Never writes a setpoint.
    Advisory,
    /// May write when the PLC and the operator permit.
    ClosedLoop,
}

/// Cycle, deadline, budgets.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Scan period.
    pub cycle: Duration,
    /// Scheduled start of a scan to last write confirmed.
    pub deadline: Duration,
    /// Consecutive missed deadlines that shed to ADVISORY.
    pub shed_after: u32,
    /// Budget per stage; their sum is at most the deadline.
    pub stage_budget: StageBudget,
    /// Deadline must have been met for this many cycles in a row before closing the loop.
    pub arm_cycles: u32,
    /// Time in ADVISORY before closing the loop.
    pub arm_after: Duration,
    /// What is asked of the operating system for the scan thread.
    pub cpu: CpuRequest,
}

/// Budget of each stage of a scan.
#[derive(Debug, Clone, Copy)]
pub struct StageBudget {
    /// Reading: the age a fresh sample may have gained in the link.
    pub read: Duration,
    /// Condition and features.
    pub condition: Duration,
    /// All models that are due.
    pub predict: Duration,
    /// One optimiser call.
    pub optimise: Duration,
    /// Guard and transition.
    pub guard: Duration,
    /// Write until acknowledged.
    pub write: Duration,
}

/// Scheduling that is asked for; what was got is reported.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuRequest {
    /// Core to pin the scan thread to.
    pub core: Option<u32>,
    /// SCHED_FIFO priority, 1 to 99.
    pub priority: Option<u8>,
    /// Lock memory against paging.
    pub lock_memory: bool,
}

/// One field connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Name used in addresses (`plc1: ...`).
    pub name: String,
    /// Protocol and its settings.
    pub protocol: Protocol,
    /// Time for one request; after it the request is a timeout.
    pub timeout: Duration,
    /// Reconnect back-off.
    pub reconnect: Backoff,
}

/// Exponential back-off with jitter between these bounds.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

/// Protocol of a connection.
#[derive(Debug, Clone)]
pub enum Protocol {
    /// OPC UA client.
    OpcUa(OpcUaConnection),
    /// Modbus client.
    Modbus(ModbusConnection),
}

/// OPC UA client settings.
#[derive(Debug, Clone)]
pub struct OpcUaConnection {
    /// `opc.tcp://host:port/path`.
    pub endpoint: String,
    /// Message security.
    pub security: Security,
    /// Who we are to the server.
    pub user: UserIdentity,
    /// Subscription or cyclic read.
    pub read_by: ReadBy,
    /// Folder of own and trusted certificates.
    pub pki: PathBuf,
}

/// Message security of an OPC UA endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Security {
    /// Sign or sign and encrypt.
    pub mode: SecurityMode,
    /// Algorithms.
    pub policy: SecurityPolicy,
}

impl Security {
    /// No security at all: only behind the explicit lab switch.
    pub const NONE: Self = Self { mode: SecurityMode::None, policy: SecurityPolicy::None };
}

/// OPC UA MessageSecurityMode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SecurityMode {
    /// Clear text.
    None,
    /// Signed.
    Sign,
    /// Signed and encrypted.
    SignAndEncrypt,
}

/// OPC UA security policies; deprecated ones cannot be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SecurityPolicy {
    /// Clear text.
    None,
    /// Basic256Sha256.
    Basic256Sha256,
    /// Aes128_Sha256_RsaOaep.
    Aes128Sha256RsaOaep,
    /// Aes256_Sha256_RsaPss.
    Aes256Sha256RsaPss,
}

/// User identity of the client.
#[derive(Debug, Clone)]
pub enum UserIdentity {
    /// No user.
    Anonymous,
    /// User name and password.
    Password {
        /// User name.
        user: String,
        /// Where the password comes from.
        password: Secret,
    },
}

/// Where a secret comes from: never the secret itself, so it can be printed and logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// Environment variable.
    Env(String),
    /// First line of a file.
    File(PathBuf),
}

/// How values are read over OPC UA.
#[derive(Debug, Clone, Copy)]
pub enum ReadBy {
    /// Monitored items.
    Subscription {
        /// Requested publishing interval; sampling interval is the same.
        publishing: Duration,
    },
    /// Read service at this interval.
    Cyclic {
        /// Interval.
        every: Duration,
    },
}

/// Modbus client settings.
#[derive(Debug, Clone)]
pub struct ModbusConnection {
    /// Wire.
    pub transport: ModbusTransport,
    /// Unit id of tags that name none.
    pub unit: u8,
    /// Poll interval.
    pub poll: Duration,
    /// Join neighbouring registers when the hole between them is at most this many registers.
    pub gap_limit: u16,
    /// Registers per read request, at most 125.
    pub max_read: u16,
    /// Registers per write request, at most 123.
    pub max_write: u16,
    /// Pause between two requests, for devices that need one.
    pub pause: Duration,
}

/// Modbus wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModbusTransport {
    /// Modbus TCP.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port, usually 502.
        port: u16,
    },
    /// RTU frames in a TCP stream.
    RtuOverTcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Serial line.
    Rtu {
        /// Device file.
        device: PathBuf,
        /// Baud rate.
        baud: u32,
        /// Parity.
        parity: Parity,
        /// Stop bits, 1 or 2.
        stop_bits: u8,
    },
}

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// None.
    None,
    /// Even (the Modbus default).
    Even,
    /// Odd.
    Odd,
}

/// Where a value lives in the field.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// OPC UA node.
    OpcUa(OpcUaAddress),
    /// Modbus register or bit.
    Modbus(ModbusAddress),
}

/// An OPC UA node by namespace URI, never by index.
#[derive(Debug, Clone, PartialEq)]
pub enum OpcUaAddress {
    /// By NodeId.
    Node {
        /// Namespace URI.
        namespace: String,
        /// Identifier.
        identifier: NodeIdentifier,
    },
    /// By browse path from the Objects folder, each step a browse name with its namespace URI.
    Path(Vec<(String, String)>),
}

/// Identifier part of an OPC UA NodeId.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeIdentifier {
    /// `i=`
    Numeric(u32),
    /// `s=`
    Text(String),
    /// `g=`, in its text form.
    Guid(String),
    /// `b=`, decoded.
    Opaque(Vec<u8>),
}

/// A Modbus address as it goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModbusAddress {
    /// Unit id.
    pub unit: u8,
    /// Data table.
    pub table: ModbusTable,
    /// Zero-based wire address of the first register or bit.
    pub start: u16,
    /// How the registers are read.
    pub data: DataType,
    /// Bit inside the register, 0 = least significant, for `bit n`.
    pub bit: Option<u8>,
    /// Byte order of 32- and 64-bit values.
    pub order: WordOrder,
}

/// The four Modbus tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModbusTable {
    /// 0xxxx, FC1/5/15.
    Coil,
    /// 1xxxx, FC2.
    DiscreteInput,
    /// 3xxxx, FC4.
    InputRegister,
    /// 4xxxx, FC3/6/16.
    HoldingRegister,
}

/// Data types on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// One bit.
    Bool,
    /// Signed 16 bits.
    Int16,
    /// Unsigned 16 bits.
    UInt16,
    /// Signed 32 bits.
    Int32,
    /// Unsigned 32 bits.
    UInt32,
    /// Signed 64 bits.
    Int64,
    /// Unsigned 64 bits.
    UInt64,
    /// IEEE 754 single.
    Float32,
    /// IEEE 754 double.
    Float64,
    /// Four decimal digits in one register.
    Bcd16,
    /// Eight decimal digits in two registers.
    Bcd32,
}

impl DataType {
    /// 16-bit registers that a value of this type fills.
    #[must_use]
    pub const fn registers(self) -> u16 {
        match self {
            Self::Bool | Self::Int16 | Self::UInt16 | Self::Bcd16 => 1,
            Self::Int32 | Self::UInt32 | Self::Float32 | Self::Bcd32 => 2,
            Self::Int64 | Self::UInt64 | Self::Float64 => 4,
        }
    }
}

/// Byte order of values wider than one register, A = most significant byte of a 32-bit value.
///
/// 64-bit values use the same rule: word order big or little, bytes inside each word kept or swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordOrder {
    /// High word first, high byte first (big endian).
    Abcd,
    /// Low word first, high byte first.
    Cdab,
    /// High word first, bytes swapped.
    Badc,
    /// Low word first, bytes swapped (little endian).
    Dcba,
}

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
}

/// Values go first, then in a second write what commits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WritePhase {
    /// First write: setpoints, mode, echo.
    Value,
    /// Second write: sequence numbers and heartbeat.
    Commit,
}

/// A model file and how it is fed.
#[derive(Debug, Clone)]
pub struct Model {
    /// Name.
    pub name: String,
    /// One sentence.
    pub text: String,
    /// ONNX file.
    pub file: PathBuf,
    /// Expected SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Soft sensor or the optimiser's map.
    pub role: ModelRole,
    /// Run interval, a whole number of cycles. The cycle for a map.
    pub every: Duration,
    /// Inputs by the names in the model file (order of the configuration; the file's own order is matched at load).
    pub inputs: Vec<ModelInput>,
    /// Outputs by the names in the model file.
    pub outputs: Vec<ModelOutput>,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Predicts now; each output is a `PredictionId`.
    SoftSensor,
    /// Steady-state map that the optimiser searches.
    Map,
}

/// One input of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// Name in the model file.
    pub name: String,
    /// Where its value comes from.
    pub source: InputSource,
    /// Causal filter.
    pub filter: Filter,
    /// Delay after the filter.
    pub delay: Duration,
}

/// Source of a model input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputSource {
    /// A conditioned tag.
    Tag(TagId),
    /// A decision variable of the optimiser (maps only).
    Mv(MvId),
    /// Output of a soft sensor earlier in the file.
    Prediction(PredictionId),
}

/// Causal filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// None.
    None,
    /// Mean over a window.
    Mean(Duration),
    /// First order with this time constant.
    FirstOrder(Duration),
}

/// One output of a model.
#[derive(Debug, Clone)]
pub struct ModelOutput {
    /// Name in the model file.
    pub name: String,
    /// Unit.
    pub unit: Unit,
    /// EU range.
    pub range: EuRange,
    /// Outside this the prediction is Bad.
    pub reject_outside: Option<EuRange>,
    /// Correction by late samples (soft sensors).
    pub bias: Option<Bias>,
    /// Output bias from the plant (maps).
    pub match_plant: Option<MatchPlant>,
}

/// Bias update by an analyser or laboratory (domain practice: corrected at the time the sample was taken).
#[derive(Debug, Clone, Copy)]
pub struct Bias {
    /// The analyser tag; its source time is the sample time.
    pub with: TagId,
    /// Share of each new error that is taken, 0 to 1.
    pub take: f64,
    /// Largest change by one sample.
    pub one_step: f64,
    /// Largest bias.
    pub total: f64,
    /// Oldest sample that is used.
    pub oldest: Duration,
    /// No accepted sample for this long: the prediction becomes Uncertain.
    pub expires: Duration,
}

/// Output bias of a map: filtered difference between the plant and the map at the present inputs.
#[derive(Debug, Clone, Copy)]
pub struct MatchPlant {
    /// What the plant says.
    pub source: ValueSource,
    /// First-order time constant.
    pub filter: Duration,
}

/// A measured or predicted value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueSource {
    /// A conditioned tag.
    Tag(TagId),
    /// A prediction.
    Prediction(PredictionId),
}

/// Which output of which model a `PredictionId` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PredictionRef {
    /// Model.
    pub model: ModelId,
    /// Index in `Model::outputs`.
    pub output: u32,
}

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
    pub back_off: f64,
    /// 1 = given up last.
    pub priority: u8,
    /// Bad: the application leaves CLOSED LOOP.
    pub critical: bool,
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
}

/// Return after a shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnAfterShed {
    /// The operator must ask again.
    Operator,
    /// As soon as the permissions are back.
    Automatic,
}

/// The OPC UA server for SCADA, HMI and historian.
#[derive(Debug, Clone)]
pub struct Server {
    /// `opc.tcp://host:port/path` to listen on.
    pub endpoint: String,
    /// Offered security. Contains `Security::NONE` only behind the explicit lab switch.
    pub security: Vec<Security>,
    /// True when anonymous users may read.
    pub anonymous_read: bool,
    /// Users.
    pub users: Vec<User>,
    /// Folder of own and trusted certificates.
    pub pki: PathBuf,
    /// True: any client certificate is accepted (lab switch); false: it must be in the trusted folder.
    pub trust_any_client: bool,
}

/// A user of the server.
#[derive(Debug, Clone)]
pub struct User {
    /// Name.
    pub name: String,
    /// Where the password comes from.
    pub password: Secret,
    /// What the user may do.
    pub role: Role,
}

/// Well-known roles (OPC UA Part 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Role {
    /// Reads.
    Observer,
    /// May change mode, hold, acknowledge.
    Operator,
    /// May also change prices and configuration.
    Engineer,
}
