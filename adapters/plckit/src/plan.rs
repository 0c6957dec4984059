//! What the PLC needs, derived from the configuration: names, cells, and the settings of the gate blocks.
//!
//! The rules for the settings stand here and nowhere else; the README of a kit prints them. The wish behind all of them: whatever
//! flyball does by its configuration, the blocks let pass, and not much more.

use std::time::Duration;

use flyball_config::{
    Address, Config, ConnectionId, DataType, EuRange, Mv, OutputId, OutputKind, ReturnAfterShed, TagId, TagRole, Unit,
    WritePhase,
};

use crate::names::{Names, capitalised, identifier};
use crate::time::{real_step, three_digits};

/// The PLC ramps the largest move in this part of `verify.by`; the rest is for the ways there and back.
const RAMP_SHARE: f64 = 0.5;
/// A ramp moves at least so many steps of REAL in one cycle of the task; with fewer it would be uneven, with none it would stand still.
const REAL_STEPS_PER_CYCLE: f64 = 8.0;
/// Largest jump that is accepted, in largest moves: flyball starts from a read-back that may still be ramping.
const JUMP_MOVES: f64 = 2.0;
/// Repetitions of an unchanged setpoint that fit into the data time-out.
const REFRESHES_PER_TIMEOUT: u32 = 3;
/// Data time-out at least.
const DATA_TIMEOUT_LEAST: Duration = Duration::from_secs(60);
/// The heartbeat must be alive at least for this long before the loop closes.
const HEALTHY_LEAST: Duration = Duration::from_secs(10);
/// ... and for so many cycles.
const HEALTHY_CYCLES: u32 = 3;

/// Elementary types of IEC 61131-3 that cells have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StType {
    Bool,
    Int,
    UInt,
    Word,
    DInt,
    UDInt,
    DWord,
    LInt,
    ULInt,
    Real,
    LReal,
}

impl StType {
    /// As structured text writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Int => "INT",
            Self::UInt => "UINT",
            Self::Word => "WORD",
            Self::DInt => "DINT",
            Self::UDInt => "UDINT",
            Self::DWord => "DWORD",
            Self::LInt => "LINT",
            Self::ULInt => "ULINT",
            Self::Real => "REAL",
            Self::LReal => "LREAL",
        }
    }

    /// The OPC UA data type that a server gives such a variable (OPC 30000; WORD as UInt16).
    pub const fn opcua(self) -> &'static str {
        match self {
            Self::Bool => "Boolean",
            Self::Int => "Int16",
            Self::UInt | Self::Word => "UInt16",
            Self::DInt => "Int32",
            Self::UDInt | Self::DWord => "UInt32",
            Self::LInt => "Int64",
            Self::ULInt => "UInt64",
            Self::Real => "Float",
            Self::LReal => "Double",
        }
    }

    /// The type of a process value: what goes over Modbus; REAL over OPC UA, where flyball takes every numeric type.
    const fn of(address: &Address) -> Self {
        match address {
            Address::OpcUa(_) => Self::Real,
            Address::Modbus(m) => match m.data {
                DataType::Bool => Self::Bool,
                DataType::Int16 => Self::Int,
                DataType::UInt16 => Self::UInt,
                DataType::Bcd16 => Self::Word,
                DataType::Int32 => Self::DInt,
                DataType::UInt32 => Self::UDInt,
                DataType::Bcd32 => Self::DWord,
                DataType::Int64 => Self::LInt,
                DataType::UInt64 => Self::ULInt,
                DataType::Float32 => Self::Real,
                DataType::Float64 => Self::LReal,
            },
        }
    }
}

/// Member with the number of the instance that asks for the lease.
pub const LEASE_REQUEST: &str = "LeaseReq";
/// Member with the number of the instance that holds it.
pub const LEASE_OWNER: &str = "LeaseOwner";

/// Who writes a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    Flyball(WritePhase),
    Plc,
}

/// One value that is exchanged.
#[derive(Debug, Clone)]
pub struct Cell<'c> {
    /// Name in flyball (`feed.write`, `FI-101`).
    pub name: &'c str,
    /// Member of the application's structure (`FeedSp`, `FromApp.uiHb`), or of the structure of process values.
    pub member: String,
    /// A process value: it lives in the PLC anyway.
    pub process: bool,
    pub text: String,
    pub writer: Writer,
    pub st: StType,
    pub unit: Unit,
    pub range: Option<EuRange>,
    pub connection: ConnectionId,
    pub address: &'c Address,
}

/// Settings of FB_ApcLink.
#[derive(Debug, Clone)]
pub struct LinkPlan {
    pub hb_timeout: Duration,
    pub healthy: Duration,
    pub returns: bool,
    /// Approved signature; 0 when flyball does not write it.
    pub signature: u32,
    /// Several instances may reach this PLC: FB_ApcLease says which one writes.
    pub lease: bool,
}

/// Settings of one FB_ApcSp, in the MV's unit.
#[derive(Debug, Clone)]
pub struct MvPlan<'c> {
    pub mv: &'c Mv,
    /// `Feed`.
    pub id: String,
    pub rate_up: f64,
    pub rate_down: f64,
    /// The rate up, the rate down was raised to what REAL resolves.
    pub raised: [bool; 2],
    pub jump: f64,
    pub data_timeout: Duration,
    pub members: Members,
}

/// Members of the application's structure that belong to one MV; None: not in the configuration.
#[derive(Debug, Clone)]
pub struct Members {
    pub sp: String,
    pub seq: String,
    pub valid: Option<String>,
    pub sp_act: String,
    pub in_control: String,
    pub ack: Option<String>,
    pub op_lo: Option<String>,
    pub op_hi: Option<String>,
    pub lim_hi: Option<String>,
    pub lim_lo: Option<String>,
}

/// Everything that the files of a kit say.
#[derive(Debug)]
pub struct Plan<'c> {
    pub config: &'c Config,
    /// The application's name as an identifier.
    pub app: String,
    pub task: Duration,
    pub link: Option<LinkPlan>,
    pub mvs: Vec<MvPlan<'c>>,
    /// Handshake, then MVs in file order, then process values.
    pub cells: Vec<Cell<'c>>,
}

impl<'c> Plan<'c> {
    pub fn new(config: &'c Config, task: Duration) -> Self {
        let mut build = Build { config, names: Names::default(), ids: Names::default(), cells: Vec::new() };
        let link = config.handshake.as_ref().map(|h| LinkPlan {
            hb_timeout: h.lost_after,
            healthy: HEALTHY_LEAST.max(config.timing.cycle * HEALTHY_CYCLES),
            returns: h.return_after_shed == ReturnAfterShed::Automatic,
            lease: h.lease.is_some(),
            signature: if h.signature_out.is_some() { config.signature } else { 0 },
        });
        build.handshake();
        let mvs = config.mvs.iter().map(|mv| build.mv(mv, task)).collect();
        build.process_values();
        Self { config, app: identifier(&config.app.name), task, link, mvs, cells: build.cells }
    }

    /// Name of the structure and of its file.
    pub fn type_name(&self) -> String {
        format!("ST_Apc{}", self.app)
    }

    /// Name of the program and of its file.
    pub fn program_name(&self) -> String {
        format!("PRG_Apc{}", self.app)
    }

    /// The connection to the PLC with FB_ApcLink.
    pub fn link_connection(&self) -> Option<ConnectionId> {
        let handshake = self.config.handshake.as_ref()?;
        Some(self.config.outputs[handshake.heartbeat_out.index()].connection)
    }

    /// Whether the PLCs with signals have this connection; every one when there are no signals. An analyser on a wire of its own has not.
    pub fn is_plc(&self, connection: ConnectionId) -> bool {
        let mut signals = self.cells.iter().filter(|c| !c.process).peekable();
        signals.peek().is_none() || signals.any(|c| c.connection == connection)
    }
}

/// The settings of FB_ApcSp for one MV.
fn settings<'c>(mv: &'c Mv, id: String, members: Members, config: &Config, task: Duration) -> MvPlan<'c> {
    let seconds = mv.verify.by.as_secs_f64() * RAMP_SHARE;
    let largest = mv.limits.low.abs().max(mv.limits.high.abs());
    let least = three_digits(real_step(largest) * REAL_STEPS_PER_CYCLE / task.as_secs_f64());
    let (up, down) = (three_digits(mv.move_up / seconds), three_digits(mv.move_down / seconds));
    let refresh = mv.refresh.max(config.timing.cycle);
    MvPlan {
        mv,
        id,
        rate_up: up.max(least),
        rate_down: down.max(least),
        raised: [up < least, down < least],
        jump: three_digits(JUMP_MOVES * mv.move_up.max(mv.move_down)),
        data_timeout: DATA_TIMEOUT_LEAST.max(refresh * REFRESHES_PER_TIMEOUT),
        members,
    }
}

struct Build<'c> {
    config: &'c Config,
    /// Members of the application's structure.
    names: Names,
    /// First parts of the names of MVs.
    ids: Names,
    cells: Vec<Cell<'c>>,
}

impl<'c> Build<'c> {
    fn handshake(&mut self) {
        for taken in ["FromApp", "ToApp", LEASE_REQUEST, LEASE_OWNER] {
            self.names.give(taken);
        }
        let Some(h) = &self.config.handshake else { return };
        let mut written = |id: Option<OutputId>, member: &str, text: &str| {
            if let Some(id) = id {
                self.output(id, format!("FromApp.{member}"), text.into(), Unit::ONE, None);
            }
        };
        written(Some(h.heartbeat_out), "uiHb", "Heartbeat of flyball");
        written(h.echo_out, "uiHbEcho", "Heartbeat of the PLC, sent back");
        written(Some(h.mode_out), "iMode", "Actual mode: 0 OFF, 1 ADVISORY, 2 ready or CLOSED LOOP");
        written(h.status_out, "wStatus", "Status bits");
        written(h.signature_out, "udiSig", "Signature of configuration and models");
        self.input(h.heartbeat_in, "ToApp.uiHb".into(), StType::UInt, None);
        self.input(h.mode_wanted, "ToApp.iModeReq".into(), StType::Int, None);
        self.input(h.closed_loop, "ToApp.xClosedLoop".into(), StType::Bool, None);
        if let Some(id) = h.shed_reason {
            self.input(id, "ToApp.iShedReason".into(), StType::Int, None);
        }
        if let Some(lease) = h.lease {
            let text = "Number of the instance that asks for the lease".into();
            self.output(lease.request, LEASE_REQUEST.into(), text, Unit::ONE, None);
            self.input(lease.owner, LEASE_OWNER.into(), StType::UDInt, None);
        }
    }

    fn mv(&mut self, mv: &'c Mv, task: Duration) -> MvPlan<'c> {
        let id = self.ids.give(&capitalised(&mv.name));
        let name = |names: &mut Names, suffix: &str| names.give(&format!("{id}{suffix}"));
        let limits = Some(mv.limits);
        let mut output = |output: OutputId, suffix: &str, text: String, range| {
            let member = name(&mut self.names, suffix);
            self.output(
                output,
                member.clone(),
                text,
                if range { mv.unit } else { Unit::ONE },
                limits.filter(|_| range),
            );
            member
        };
        let sp = output(mv.write, "Sp", format!("Recommendation: {}", mv.text), true);
        let valid = mv.valid.map(|v| output(v, "Valid", "The recommendation may be used".into(), false));
        let seq = output(mv.sequence, "Seq", "Sequence: +1 after every recommendation".into(), false);
        let mut input = |tag: TagId, suffix: &str, st, range| {
            let member = name(&mut self.names, suffix);
            self.input(tag, member.clone(), st, limits.filter(|_| range));
            member
        };
        let members = Members {
            sp,
            seq,
            valid,
            sp_act: input(mv.readback, "SpAct", StType::Real, true),
            in_control: input(mv.in_control, "InControl", StType::Bool, false),
            ack: mv.ack.map(|t| input(t, "SeqAck", StType::UInt, false)),
            op_lo: mv.operator_low.map(|t| input(t, "Lo", StType::Real, true)),
            op_hi: mv.operator_high.map(|t| input(t, "Hi", StType::Real, true)),
            lim_hi: mv.limited_high.map(|t| input(t, "LimHi", StType::Bool, false)),
            lim_lo: mv.limited_low.map(|t| input(t, "LimLo", StType::Bool, false)),
        };
        settings(mv, id, members, self.config, task)
    }

    fn process_values(&mut self) {
        let mut names = Names::default();
        for (tag, id) in self.config.tags.iter().zip(0..).filter(|(tag, _)| tag.role == TagRole::Process) {
            let member = names.give(&identifier(&tag.name));
            self.input(TagId(id), member, StType::of(&tag.address), Some(tag.range));
        }
    }

    fn output(&mut self, id: OutputId, member: String, text: String, unit: Unit, range: Option<EuRange>) {
        let output = &self.config.outputs[id.index()];
        let st = match output.kind {
            OutputKind::Setpoint(_) => StType::Real,
            OutputKind::SetpointValid(_) => StType::Bool,
            OutputKind::Sequence(_) | OutputKind::Heartbeat | OutputKind::HeartbeatEcho => StType::UInt,
            OutputKind::Mode => StType::Int,
            OutputKind::Status => StType::Word,
            OutputKind::Signature | OutputKind::LeaseRequest => StType::UDInt,
        };
        self.cells.push(Cell {
            name: &output.name,
            member,
            process: false,
            text,
            writer: Writer::Flyball(output.phase),
            st,
            unit,
            range,
            connection: output.connection,
            address: &output.address,
        });
    }

    fn input(&mut self, id: TagId, member: String, st: StType, range: Option<EuRange>) {
        let tag = self.config.tag(id);
        self.cells.push(Cell {
            name: &tag.name,
            member,
            process: tag.role == TagRole::Process,
            text: tag.text.clone(),
            writer: Writer::Plc,
            st,
            unit: tag.unit,
            range,
            connection: tag.connection,
            address: &tag.address,
        });
    }
}

impl Members {
    /// Whether a member is one of these.
    pub fn has(&self, member: &str) -> bool {
        let always = [&self.sp, &self.seq, &self.sp_act, &self.in_control];
        let some = [&self.valid, &self.ack, &self.op_lo, &self.op_hi, &self.lim_hi, &self.lim_lo];
        always.into_iter().chain(some.into_iter().flatten()).any(|m| m == member)
    }
}
