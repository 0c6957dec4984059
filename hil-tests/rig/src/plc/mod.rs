//! The simulated PLC of R-101: plant, slave loops, gate blocks, operator panel and signal memory, one scan at a time. Pure: no clock,
//! no socket, no randomness but the seeded noise; two PLCs with the same options and the same calls hold the same bits.
//!
//! One scan, as on a real PLC: read instruments, gate blocks, slave loops, publish. The plant then moves on by one scan with the new
//! outputs. In STOP the program does not run: signals stay readable and stand still, the actuators hold, the plant goes on.
//!
//! Words: *write area* are the signals that only the runtime writes; *offer* is a setpoint that the runtime has written together with a
//! new sequence number.

use std::time::Duration;

pub mod types;

use crate::gate::link::{ApcLink, ApcLinkFromApp, LinkInputs};
use crate::gate::setpoint::{ApcSp, SpInputs};
use crate::panel::{MvName, Panel};
use crate::r101::loops::{DUTY_MAX, FEED_MAX, FeedController, SlaveMode, TemperatureController};
use crate::r101::process::Process;
use crate::signals::{Direction, PlcType, PlcValue, SIGNALS, Signal};
pub use types::{FirstOffer, MvTruth, PlcOptions, PlcState, Retained, Truth, WriteFault, WriteResult};

#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    value: PlcValue,
    changed: Duration,
}

#[derive(Debug, Clone, PartialEq)]
struct Slot {
    gate: ApcSp,
    sequence_seen: u16,
    in_control: bool,
    first_offer: Option<FirstOffer>,
    offers: u32,
}

impl Slot {
    fn new() -> Self {
        Self { gate: ApcSp::default(), sequence_seen: 0, in_control: false, first_offer: None, offers: 0 }
    }
}

/// The simulated PLC with its plant.
#[derive(Debug, Clone, PartialEq)]
pub struct SimPlc {
    /// The operator panel.
    pub panel: Panel,
    /// The plant. Disturbances are set here (`process.feed.t0`, `process.feed.c_a0`).
    pub process: Process,
    options: PlcOptions,
    state: PlcState,
    time: Duration,
    cells: Vec<Cell>,
    kept: Vec<Cell>,
    forced: Vec<Option<PlcValue>>,
    write_faults: Vec<Option<WriteFault>>,
    link: ApcLink,
    slots: [Slot; 2],
    feed_controller: FeedController,
    temperature_controller: TemperatureController,
}

impl SimPlc {
    /// A PLC in RUN, steady at the options' point, operator switch off. One scan has been done, so that all signals have values.
    #[must_use]
    pub fn new(options: PlcOptions) -> Self {
        let process = Process::steady(options.feed, options.temperature, options.noise, options.seed);
        let zero = |of: PlcType| Cell { value: PlcValue::zero(of), changed: Duration::ZERO };
        let cells: Vec<Cell> = SIGNALS.iter().map(|s| zero(s.plc_type)).collect();
        let mut plc = Self {
            panel: Panel::at(options.feed.flow, options.temperature, &options.gate),
            state: PlcState::Run,
            time: Duration::ZERO,
            kept: cells.clone(),
            cells,
            forced: vec![None; SIGNALS.len()],
            write_faults: vec![None; SIGNALS.len()],
            link: ApcLink::default(),
            slots: [Slot::new(), Slot::new()],
            feed_controller: FeedController::at(options.feed.flow),
            temperature_controller: TemperatureController::at(process.duty),
            process,
            options,
        };
        plc.program();
        plc
    }

    /// One scan of `options.scan`: the plant moves, then the program runs if the PLC is in RUN. Bounded by the number of signals.
    pub fn scan(&mut self) {
        let scan = self.options.scan;
        self.process.advance(scan, self.feed_controller.output, self.temperature_controller.output);
        self.time += scan;
        match self.state {
            PlcState::Run => self.program(),
            PlcState::Stop => {}
            PlcState::Starting { left } if left > scan => self.state = PlcState::Starting { left: left - scan },
            PlcState::Starting { .. } => {
                let now = self.time;
                self.cells = self.kept.iter().map(|c| Cell { changed: now, ..*c }).collect();
                self.state = PlcState::Run;
                self.program();
            }
        }
    }

    /// The cyclic program.
    fn program(&mut self) {
        let m = self.process.measure();
        let real = |x: f64| PlcValue::Real(x as f32);
        self.publish(Signal::FeedPv, real(m.feed));
        self.publish(Signal::TempPv, real(m.temperature));
        self.publish(Signal::JacketPv, real(m.jacket));
        self.publish(Signal::FeedTempPv, real(m.feed_temperature));
        self.publish(Signal::DutyPv, real(m.duty));
        self.publish(Signal::LabCa0, real(m.c_a0));

        let scan_ms = self.options.scan.as_millis() as u32;
        let inputs = LinkInputs {
            app: self.app(),
            x_oper_enable: self.panel.enable,
            x_permit: self.panel.permit,
            udi_sig_ok: self.panel.approved_signature,
        };
        self.link.scan(&inputs, &self.options.gate.link, scan_ms);
        for mv in MvName::ALL {
            self.scan_mv(mv, scan_ms);
        }
        self.scan_slaves();

        let plc = self.link.plc;
        self.publish(Signal::PlcHb, PlcValue::UInt(plc.ui_hb));
        self.publish(Signal::ModeReq, PlcValue::Int(plc.i_mode_req));
        self.publish(Signal::ClosedLoop, PlcValue::Bool(plc.x_closed_loop));
        self.publish(Signal::LinkOk, PlcValue::Bool(plc.x_link_ok));
        self.publish(Signal::ShedReason, PlcValue::Int(plc.i_shed_reason));
        self.publish(Signal::ShedCount, PlcValue::UInt(plc.ui_shed_count));
    }

    /// One FB_ApcSp with its signals.
    fn scan_mv(&mut self, mv: MvName, scan_ms: u32) {
        let signals = mv.signals();
        let settings = self.options.gate.mvs[mv.index()];
        let panel = self.panel.mvs[mv.index()];
        let sequence = self.number(signals.seq) as u16;
        let offered = self.number(signals.sp) as f32;
        let inputs = SpInputs {
            x_closed_loop: self.link.plc.x_closed_loop,
            x_mv_enable: panel.in_service,
            x_loop_ready: panel.slave == SlaveMode::Auto,
            r_sp_app: offered,
            ui_seq_app: sequence,
            x_valid_app: self.number(signals.valid) > 0.0,
            r_op_lo: panel.low,
            r_op_hi: panel.high,
        };
        let mut local = panel.local_setpoint;
        let slot = &mut self.slots[mv.index()];
        let active = slot.gate.r_sp_out;
        slot.gate.scan(&inputs, &settings, &mut local, scan_ms);
        let gate = slot.gate;
        if gate.x_in_control && !slot.in_control {
            slot.first_offer = None;
        } else if sequence != slot.sequence_seen && gate.x_in_control {
            slot.offers += 1;
            slot.first_offer = slot.first_offer.or(Some(FirstOffer { offered, active }));
        }
        slot.sequence_seen = sequence;
        slot.in_control = gate.x_in_control;
        self.panel.mvs[mv.index()].local_setpoint = local;
        self.publish(signals.sp_act, PlcValue::Real(gate.r_sp_out));
        self.publish(signals.in_control, PlcValue::Bool(gate.x_in_control));
        self.publish(signals.seq_ack, PlcValue::UInt(gate.ui_seq_ack));
        self.publish(signals.reject, PlcValue::Int(gate.i_reject));
        self.publish(signals.lim_hi, PlcValue::Bool(gate.x_lim_hi));
        self.publish(signals.lim_lo, PlcValue::Bool(gate.x_lim_lo));
        self.publish(signals.lo, PlcValue::Real(panel.low));
        self.publish(signals.hi, PlcValue::Real(panel.high));
        self.publish(signals.eng_lo, PlcValue::Real(settings.r_eng_lo));
        self.publish(signals.eng_hi, PlcValue::Real(settings.r_eng_hi));
        self.publish(signals.auto, PlcValue::Bool(panel.slave == SlaveMode::Auto));
    }

    /// FIC-101 and TIC-101. TIC uses the published measurement: a forced transmitter misleads it as a sick one would.
    fn scan_slaves(&mut self) {
        let [feed, temp] = self.panel.mvs;
        self.feed_controller.mode = feed.slave;
        if let (SlaveMode::Manual, Some(output)) = (feed.slave, feed.manual_output) {
            self.feed_controller.output = output.clamp(0.0, FEED_MAX);
        }
        self.feed_controller.scan(f64::from(self.slots[0].gate.r_sp_out));
        self.temperature_controller.mode = temp.slave;
        if let (SlaveMode::Manual, Some(output)) = (temp.slave, temp.manual_output) {
            self.temperature_controller.output = output.clamp(0.0, DUTY_MAX);
        }
        let measured = self.number(Signal::TempPv);
        let setpoint = f64::from(self.slots[1].gate.r_sp_out);
        if measured.is_finite() {
            self.temperature_controller.scan(setpoint, measured, self.options.scan.as_secs_f64());
        }
        self.publish(Signal::TempOut, PlcValue::Real(self.temperature_controller.output as f32));
    }

    fn app(&self) -> ApcLinkFromApp {
        ApcLinkFromApp {
            ui_hb: self.number(Signal::AppHb) as u16,
            ui_hb_echo: self.number(Signal::AppHbEcho) as u16,
            i_mode: self.number(Signal::AppMode) as i16,
            w_status: self.number(Signal::AppStatus) as u16,
            udi_sig: self.number(Signal::AppSignature) as u32,
        }
    }

    fn number(&self, signal: Signal) -> f64 {
        self.cells[signal as usize].value.number()
    }

    fn publish(&mut self, signal: Signal, value: PlcValue) {
        let value = self.forced[signal as usize].unwrap_or(value);
        let cell = &mut self.cells[signal as usize];
        if !cell.value.same(value) {
            *cell = Cell { value, changed: self.time };
        }
    }

    /// Value of a signal as a server shows it.
    #[must_use]
    pub fn read(&self, signal: Signal) -> PlcValue {
        self.cells[signal as usize].value
    }

    /// Process time of a signal's last change: the source time of an OPC UA server.
    #[must_use]
    pub fn changed(&self, signal: Signal) -> Duration {
        self.cells[signal as usize].changed
    }

    /// A write by a client. Takes effect in the next scan.
    pub fn write(&mut self, signal: Signal, value: PlcValue) -> WriteResult {
        let spec = signal.spec();
        if spec.direction != Direction::Write || matches!(self.state, PlcState::Starting { .. }) {
            return WriteResult::Refused;
        }
        if value.plc_type() != spec.plc_type {
            return WriteResult::WrongType;
        }
        match self.write_faults[signal as usize] {
            None => {
                self.publish(signal, value);
                WriteResult::Done
            }
            Some(WriteFault::Ignore) => WriteResult::Done,
            Some(WriteFault::Refuse) => WriteResult::Refused,
            Some(WriteFault::Clamp { low, high, silent }) => {
                let x = value.number();
                let limited = x.max(low).min(high);
                let kept = PlcValue::from_number(spec.plc_type, limited);
                self.publish(signal, kept);
                if silent || kept.same(value) { WriteResult::Done } else { WriteResult::Clamped }
            }
        }
    }

    /// Sets or lifts a fault on the writes of a signal.
    pub fn set_write_fault(&mut self, signal: Signal, fault: Option<WriteFault>) {
        self.write_faults[signal as usize] = fault;
    }

    /// Forces a signal to a value (a sick transmitter, a forced marker) or releases it. A value of another type is ignored.
    pub fn force(&mut self, signal: Signal, value: Option<PlcValue>) {
        let value = value.filter(|v| v.plc_type() == signal.spec().plc_type);
        self.forced[signal as usize] = value;
        if let Some(value) = value {
            self.publish(signal, value);
        }
    }

    /// Another client writes the setpoint of an MV and commits it with a sequence number of its own.
    pub fn foreign_write(&mut self, mv: MvName, setpoint: f32) {
        let signals = mv.signals();
        let sequence = (self.number(signals.seq) as u16).wrapping_add(1);
        self.publish(signals.sp, PlcValue::Real(setpoint));
        self.publish(signals.valid, PlcValue::Bool(true));
        self.publish(signals.seq, PlcValue::UInt(sequence));
    }

    /// Key switch to STOP: the program stands still, values stay readable.
    pub fn stop(&mut self) {
        if self.state == PlcState::Run {
            self.state = PlcState::Stop;
        }
    }

    /// Key switch to RUN: the program goes on where it stood.
    pub fn run(&mut self) {
        if self.state == PlcState::Stop {
            self.state = PlcState::Run;
        }
    }

    /// Power off and on: for `zero_for` everything reads zero and the actuators hold; then the program starts with cold gate blocks.
    pub fn power_cycle(&mut self, retained: Retained, zero_for: Duration) {
        if retained == Retained::Zeroed {
            self.panel = Panel::at(self.options.feed.flow, self.options.temperature, &self.options.gate);
        }
        let now = self.time;
        let zero = |of: PlcType| Cell { value: PlcValue::zero(of), changed: now };
        let zeroed: Vec<Cell> = SIGNALS.iter().map(|s| zero(s.plc_type)).collect();
        self.kept = if retained == Retained::Kept { self.cells.clone() } else { zeroed.clone() };
        self.cells = zeroed;
        self.link = ApcLink::default();
        self.slots = [Slot::new(), Slot::new()];
        // A controller that starts takes over the output that its actuator has held.
        self.feed_controller = FeedController::at(self.feed_controller.output);
        self.temperature_controller = TemperatureController::at(self.temperature_controller.output);
        self.state = PlcState::Starting { left: zero_for };
    }

    /// Process time since the start.
    #[must_use]
    pub const fn time(&self) -> Duration {
        self.time
    }

    /// Processor state.
    #[must_use]
    pub const fn state(&self) -> PlcState {
        self.state
    }

    /// How it was started.
    #[must_use]
    pub const fn options(&self) -> &PlcOptions {
        &self.options
    }

    /// Everything at this instant.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let mv = |i: usize| MvTruth {
            gate: self.slots[i].gate,
            local: self.panel.mvs[i].local_setpoint,
            first_offer: self.slots[i].first_offer,
            offers: self.slots[i].offers,
        };
        Truth {
            time: self.time,
            plc: self.state,
            reactor: self.process.state,
            feed: self.process.feed,
            duty: self.process.duty,
            profit: self.process.profit(),
            gc: self.process.gc(),
            app: self.app(),
            link: self.link.plc,
            latched: self.link.latched(),
            mvs: [mv(0), mv(1)],
            panel: self.panel,
        }
    }
}

#[cfg(test)]
mod tests;
