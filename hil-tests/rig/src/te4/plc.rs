//! The simulated PLC of te4: plant, base control, gate blocks, operator panel and signal memory, one scan at a time. Pure: no clock, no
//! socket, no randomness but the seeded noise; two PLCs with the same options and the same calls hold the same bits.
//!
//! One scan, as on a real PLC: read instruments, gate blocks, base control, publish. The plant then moves on by one scan with the new
//! outputs. The runtime moves the setpoints of pressure and fraction of A; the demand stays the operator's.
//!
//! Words: *trip* is the plant's own shutdown at 3000 kPa: both feeds close, the permit goes, and it stays until somebody resets it.

use std::time::Duration;

use super::loops::{BaseControl, Measured, PERIOD_S, Setpoints};
use super::plant::{self, Outputs, SHUTDOWN, Surroundings};
use super::process::{Noise, Process};
use super::signals::{COMP, PRESS, TE4_SIGNALS, Te4Signal};
use crate::device::{Device, Start};
use crate::gate::link::{ApcLink, ApcLinkFromApp, ApcLinkToApp, LinkInputs, LinkSettings};
use crate::gate::setpoint::SpSettings;
use crate::panel::{GateSettings, Panel};
use crate::plc::memory::Memory;
use crate::plc::slot::Slot;
use crate::plc::types::{MvTruth, WriteResult};
use crate::r101::loops::SlaveMode;
use crate::r101::process::GcResult;
use crate::signals::{PlcValue, SignalSpec};

/// How the simulated PLC of te4 starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Te4Options {
    /// Pressure at the start, kPa; above 100.
    pub pressure: f64,
    /// Fraction of A at the start, %.
    pub fraction_a: f64,
    /// Demand at the start, kmol/h.
    pub demand: f64,
    /// Fastest change of the demand, kmol/h per h: the operator's setpoint is ramped.
    pub demand_rate: f64,
    /// Feed and catalyst at the start.
    pub around: Surroundings,
    /// Instruments.
    pub noise: Noise,
    /// Seed of the noise.
    pub seed: u64,
    /// Scan time, whole milliseconds; a whole number of scans makes 0.1 h.
    pub scan: Duration,
    /// Engineer's settings: MV 0 is the pressure, MV 1 the fraction of A.
    pub gate: GateSettings,
}

impl Default for Te4Options {
    /// Ricker's base case: 2700 kPa, 47 % A, 100 kmol/h, fresh catalyst; small noise, scan 1 s.
    ///
    /// The gate's patience fits a runtime that looks every 36 s. Its ramps are faster than the runtime's moves: they are the net below.
    fn default() -> Self {
        let sp = |low, high, rate, jump| SpSettings {
            r_eng_lo: low,
            r_eng_hi: high,
            r_rate_up: rate,
            r_rate_dn: rate,
            r_max_jump: jump,
            data_timeout_ms: 600_000,
            x_shed_to_fb: false,
            r_sp_fallback: low,
        };
        Self {
            pressure: 2700.0,
            fraction_a: 47.0,
            demand: 100.0,
            demand_rate: 5.0,
            around: Surroundings::default(),
            noise: Noise::SMALL,
            seed: 1,
            scan: Duration::from_secs(1),
            gate: GateSettings {
                link: LinkSettings { hb_timeout_ms: 180_000, healthy_ms: 60_000, x_return: false },
                mvs: [sp(2650.0, 2860.0, 0.05, 10.0), sp(44.0, 72.0, 0.005, 2.0)],
            },
        }
    }
}

/// Everything about the PLC and its plant at one instant, for views and scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Te4Truth {
    /// Process time since the start.
    pub time: Duration,
    /// The plant: pressure, fractions, level, flows.
    pub plant: Outputs,
    /// Valve positions, %.
    pub positions: [f64; 4],
    /// Cost now, $ per kmol of product.
    pub cost: f64,
    /// Demand after the operator's ramp, kmol/h.
    pub demand: f64,
    /// What the override takes away from it, kmol/h.
    pub reduction: f64,
    /// The plant has shut itself down.
    pub tripped: bool,
    /// What the gate says.
    pub link: ApcLinkToApp,
    /// By MV: pressure (kPa), fraction of A (%).
    pub mvs: [MvTruth; 2],
}

/// The simulated PLC with its plant.
#[derive(Debug, Clone, PartialEq)]
pub struct Te4Plc {
    /// The operator panel; MV 0 is the pressure, MV 1 the fraction of A.
    pub panel: Panel,
    /// Demand that the operator asks for, kmol/h; followed at `demand_rate`.
    pub demand_wanted: f64,
    /// The plant. Disturbances are set here (`process.around`).
    pub process: Process,
    options: Te4Options,
    time: Duration,
    memory: Memory,
    link: ApcLink,
    slots: [Slot; 2],
    control: BaseControl,
    demand: f64,
    tripped: bool,
}

impl Te4Plc {
    /// A PLC in RUN, steady at the options' point, operator switch off. One scan has been done, so that all signals have values.
    ///
    /// # Panics
    /// When the plant has no steady state at the options' point.
    #[must_use]
    pub fn new(options: Te4Options) -> Self {
        let Te4Options { pressure, fraction_a, demand, around, noise, seed, .. } = options;
        let point = plant::steady(pressure, fraction_a / 100.0, demand, &around);
        let point = point.expect("options start at a point that has a steady state");
        let mut plc = Self {
            panel: Panel::at(pressure, fraction_a, &options.gate),
            demand_wanted: demand,
            process: Process::steady(&point, around, noise, seed),
            time: Duration::ZERO,
            memory: Memory::new(TE4_SIGNALS),
            link: ApcLink::default(),
            slots: [Slot::default(), Slot::default()],
            control: BaseControl::at(point.valves),
            demand,
            tripped: false,
            options,
        };
        plc.program();
        plc
    }

    /// The cyclic program.
    fn program(&mut self) {
        let m = self.process.measure();
        let real = |x: f64| PlcValue::Real(x as f32);
        let [f1, f2, f3, f4] = m.flows;
        let [a, b, c] = m.fractions;
        let [v1, v2, v3, v4] = m.positions;
        for (signal, value) in [
            (Te4Signal::PressPv, m.pressure),
            (Te4Signal::LevelPv, m.level),
            (Te4Signal::Feed1Pv, f1),
            (Te4Signal::Feed2Pv, f2),
            (Te4Signal::PurgePv, f3),
            (Te4Signal::ProductPv, f4),
            (Te4Signal::FracA, a),
            (Te4Signal::FracB, b),
            (Te4Signal::FracC, c),
            (Te4Signal::Valve1, v1),
            (Te4Signal::Valve2, v2),
            (Te4Signal::Valve3, v3),
            (Te4Signal::Valve4, v4),
        ] {
            self.publish(signal, real(value));
        }
        // The trip is wired to its own transmitter: it sees the pressure as it is.
        self.tripped |= self.process.outputs().pressure >= SHUTDOWN;

        let scan_ms = self.options.scan.as_millis() as u32;
        let inputs = LinkInputs {
            app: self.app(),
            x_oper_enable: self.panel.enable,
            x_permit: self.panel.permit && !self.tripped,
            udi_sig_ok: self.panel.approved_signature,
        };
        self.link.scan(&inputs, &self.options.gate.link, scan_ms);
        let closed_loop = self.link.plc.x_closed_loop;
        for (i, rows) in [PRESS, COMP].iter().enumerate() {
            let (panel, settings) = (&mut self.panel.mvs[i], &self.options.gate.mvs[i]);
            self.slots[i].scan(&mut self.memory, rows, panel, settings, closed_loop, (self.time, scan_ms));
        }
        self.control();

        let plc = self.link.plc;
        self.publish(Te4Signal::Demand, real(self.demand));
        self.publish(Te4Signal::DemandAct, real((self.demand - self.control.over.reduction).max(0.0)));
        self.publish(Te4Signal::Overriding, PlcValue::Bool(self.control.over.reduction > 0.0));
        self.publish(Te4Signal::Tripped, PlcValue::Bool(self.tripped));
        self.publish(Te4Signal::PlcHb, PlcValue::UInt(plc.ui_hb));
        self.publish(Te4Signal::ModeReq, PlcValue::Int(plc.i_mode_req));
        self.publish(Te4Signal::ClosedLoop, PlcValue::Bool(plc.x_closed_loop));
        self.publish(Te4Signal::LinkOk, PlcValue::Bool(plc.x_link_ok));
        self.publish(Te4Signal::ShedReason, PlcValue::Int(plc.i_shed_reason));
        self.publish(Te4Signal::ShedCount, PlcValue::UInt(plc.ui_shed_count));
    }

    /// Demand ramp and base control. The loops use published measurements: a forced transmitter misleads them as a sick one would.
    fn control(&mut self) {
        let most = self.options.demand_rate * self.options.scan.as_secs_f64() / 3600.0;
        self.demand += (self.demand_wanted - self.demand).clamp(-most, most);
        let modes = self.panel.mvs.map(|mv| mv.slave);
        for (loop_, mv) in [&mut self.control.pressure, &mut self.control.composition].into_iter().zip(&self.panel.mvs)
        {
            if let (SlaveMode::Manual, Some(output)) = (mv.slave, mv.manual_output) {
                loop_.output = output.clamp(0.0, 100.0);
            }
        }
        if self.time.as_millis().is_multiple_of(u128::from(PERIOD_S) * 1000) {
            let setpoints = Setpoints {
                demand: self.demand,
                pressure: f64::from(self.slots[0].gate.r_sp_out),
                fraction_a: f64::from(self.slots[1].gate.r_sp_out),
            };
            let measured = Measured {
                product: self.number(Te4Signal::ProductPv),
                pressure: self.number(Te4Signal::PressPv),
                fraction_a: self.number(Te4Signal::FracA),
            };
            self.control.each_period(&setpoints, &measured, modes);
        }
        self.control.each_scan(self.number(Te4Signal::LevelPv));
        if self.tripped {
            self.control.product.output = 0.0;
            self.control.composition.output = 0.0;
        }
    }

    fn app(&self) -> ApcLinkFromApp {
        ApcLinkFromApp {
            ui_hb: self.number(Te4Signal::AppHb) as u16,
            ui_hb_echo: self.number(Te4Signal::AppHbEcho) as u16,
            i_mode: self.number(Te4Signal::AppMode) as i16,
            w_status: self.number(Te4Signal::AppStatus) as u16,
            udi_sig: self.number(Te4Signal::AppSignature) as u32,
        }
    }

    fn number(&self, signal: Te4Signal) -> f64 {
        self.memory.number(signal as usize)
    }

    fn publish(&mut self, signal: Te4Signal, value: PlcValue) {
        self.memory.publish(signal as usize, value, self.time);
    }

    /// Value of a signal as a server shows it.
    #[must_use]
    pub fn read(&self, signal: Te4Signal) -> PlcValue {
        self.memory.value(signal as usize)
    }

    /// Forces a signal to a value (a sick transmitter) or releases it. A value of another type is ignored.
    pub fn force(&mut self, signal: Te4Signal, value: Option<PlcValue>) {
        self.memory.force(signal as usize, value, self.time);
    }

    /// Resets the trip; it comes back at once when the pressure is still too high.
    pub fn reset_trip(&mut self) {
        self.tripped = false;
    }

    /// Everything at this instant.
    #[must_use]
    pub fn truth(&self) -> Te4Truth {
        let mv = |i: usize| self.slots[i].truth(self.panel.mvs[i].local_setpoint);
        Te4Truth {
            time: self.time,
            plant: self.process.outputs(),
            positions: self.process.positions,
            cost: self.process.cost(),
            demand: self.demand,
            reduction: self.control.over.reduction,
            tripped: self.tripped,
            link: self.link.plc,
            mvs: [mv(0), mv(1)],
        }
    }
}

impl Device for Te4Plc {
    const ROOT: &'static str = "TE4";
    const TABLE: &'static [SignalSpec] = TE4_SIGNALS;

    fn scan(&mut self) {
        self.process.advance(self.options.scan, self.control.outputs());
        self.time += self.options.scan;
        self.program();
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
        self.memory.write(row, value, self.time)
    }

    fn analyser(&self) -> Option<GcResult> {
        None
    }
}

impl Start for Te4Options {
    type Plc = Te4Plc;

    fn start(self) -> Te4Plc {
        Te4Plc::new(self)
    }
}

#[cfg(test)]
mod tests;
