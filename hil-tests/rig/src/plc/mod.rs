//! The simulated PLC of R-101: plant, slave loops, gate blocks, operator panel and signal memory, one scan at a time. Pure: no clock,
//! no socket, no randomness but the seeded noise; two PLCs with the same options and the same calls hold the same bits.
//!
//! One scan, as on a real PLC: read instruments, gate blocks, slave loops, publish. The plant then moves on by one scan with the new
//! outputs. In STOP the program does not run: signals stay readable and stand still, the actuators hold, the plant goes on.
//!
//! Words: *write area* are the signals that only the runtime writes; *offer* is a setpoint that the runtime has written together with a
//! new sequence number.

use std::time::Duration;

pub mod memory;
pub mod slot;
pub mod types;

use crate::device::{Device, Start};
use crate::gate::lease::ApcLease;
use crate::gate::link::{ApcLink, ApcLinkFromApp, LinkInputs};
use crate::panel::{MvName, Panel};
use crate::r101::loops::{DUTY_MAX, FEED_MAX, FeedController, SlaveMode, TemperatureController};
use crate::r101::process::{GcResult, Process};
use crate::signals::{PlcValue, SIGNALS, Signal, SignalSpec};
use memory::Memory;
use slot::Slot;
pub use types::{FirstOffer, MvTruth, PlcOptions, PlcState, Retained, Truth, WriteFault, WriteResult};

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
    memory: Memory,
    kept: Vec<PlcValue>,
    lease: ApcLease,
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
        let memory = Memory::new(SIGNALS);
        let mut plc = Self {
            panel: Panel::at(options.feed.flow, options.temperature, &options.gate),
            state: PlcState::Run,
            time: Duration::ZERO,
            kept: memory.zeros(),
            memory,
            lease: ApcLease::default(),
            link: ApcLink::default(),
            slots: [Slot::default(), Slot::default()],
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
                self.memory.load(&self.kept, self.time);
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
        let mut request = self.number(Signal::OwnerReq) as u32;
        let heartbeat = self.app().ui_hb;
        self.lease.scan(heartbeat, &mut request, self.options.gate.link.hb_timeout_ms, scan_ms);
        self.publish(Signal::OwnerReq, PlcValue::UDInt(request));
        self.publish(Signal::Owner, PlcValue::UDInt(self.lease.udi_owner));
        let inputs = LinkInputs {
            app: self.app(),
            x_oper_enable: self.panel.enable,
            x_permit: self.panel.permit,
            udi_sig_ok: self.panel.approved_signature,
        };
        self.link.scan(&inputs, &self.options.gate.link, scan_ms);
        let closed_loop = self.link.plc.x_closed_loop;
        for mv in MvName::ALL {
            let i = mv.index();
            let (panel, settings) = (&mut self.panel.mvs[i], &self.options.gate.mvs[i]);
            let times = (self.time, scan_ms);
            self.slots[i].scan(&mut self.memory, mv.rows(), panel, settings, closed_loop, times);
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
        self.memory.number(signal as usize)
    }

    fn publish(&mut self, signal: Signal, value: PlcValue) {
        self.memory.publish(signal as usize, value, self.time);
    }

    /// Value of a signal as a server shows it.
    #[must_use]
    pub fn read(&self, signal: Signal) -> PlcValue {
        self.memory.value(signal as usize)
    }

    /// Process time of a signal's last change: the source time of an OPC UA server.
    #[must_use]
    pub fn changed(&self, signal: Signal) -> Duration {
        self.memory.changed(signal as usize)
    }

    /// A write by a client. Takes effect in the next scan.
    pub fn write(&mut self, signal: Signal, value: PlcValue) -> WriteResult {
        self.write_row(signal as usize, value)
    }

    /// Sets or lifts a fault on the writes of a signal.
    pub fn set_write_fault(&mut self, signal: Signal, fault: Option<WriteFault>) {
        self.memory.set_write_fault(signal as usize, fault);
    }

    /// Forces a signal to a value (a sick transmitter, a forced marker) or releases it. A value of another type is ignored.
    pub fn force(&mut self, signal: Signal, value: Option<PlcValue>) {
        self.memory.force(signal as usize, value, self.time);
    }

    /// Another client writes the setpoint of an MV and commits it with a sequence number of its own.
    pub fn foreign_write(&mut self, mv: MvName, setpoint: f32) {
        let rows = mv.rows();
        let sequence = (self.memory.number(rows.seq) as u16).wrapping_add(1);
        self.memory.publish(rows.sp, PlcValue::Real(setpoint), self.time);
        self.memory.publish(rows.valid, PlcValue::Bool(true), self.time);
        self.memory.publish(rows.seq, PlcValue::UInt(sequence), self.time);
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
        let zeros = self.memory.zeros();
        self.kept = if retained == Retained::Kept { self.memory.values() } else { zeros.clone() };
        self.memory.load(&zeros, self.time);
        self.lease = ApcLease::default();
        self.link = ApcLink::default();
        self.slots = [Slot::default(), Slot::default()];
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
        let mv = |i: usize| self.slots[i].truth(self.panel.mvs[i].local_setpoint);
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

impl Device for SimPlc {
    const ROOT: &'static str = "R101";
    const TABLE: &'static [SignalSpec] = SIGNALS;

    fn scan(&mut self) {
        SimPlc::scan(self);
    }

    fn scan_time(&self) -> Duration {
        self.options.scan
    }

    fn time(&self) -> Duration {
        self.time
    }

    fn value(&self, row: usize) -> PlcValue {
        self.memory.value(row)
    }

    fn changed_at(&self, row: usize) -> Duration {
        self.memory.changed(row)
    }

    fn write_row(&mut self, row: usize, value: PlcValue) -> WriteResult {
        if matches!(self.state, PlcState::Starting { .. }) {
            return WriteResult::Refused;
        }
        self.memory.write(row, value, self.time)
    }

    fn analyser(&self) -> Option<GcResult> {
        Some(self.process.gc())
    }
}

impl Start for PlcOptions {
    type Plc = SimPlc;

    fn start(self) -> SimPlc {
        SimPlc::new(self)
    }
}

#[cfg(test)]
mod tests;
