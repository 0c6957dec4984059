//! What a seed draws: faults with their times and sizes, and how each is laid and lifted.
//!
//! A fault is drawn whole at the start of a run, so that a run can be told in words before it is played.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flyball_config::{ModelId, MvId, PredictionId, Role};
use flyball_core::command::Action;
use flyball_core::image::{InputImage, LinkState, Sample};
use flyball_core::mode::Mode;
use flyball_core::status::Status;
use flyball_core::time::Timestamp;
use flyball_hil_tests::fault::Stage;
use flyball_rig::panel::MvName;
use flyball_rig::plc::{Retained, WriteFault};
use flyball_rig::r101::loops::SlaveMode;
use flyball_rig::random::Random;
use flyball_rig::signals::{PlcValue, Signal};

/// Instruments and signals whose readings can be spoilt.
const READ: [&str; 7] = ["FI-101", "TI-101", "TI-102", "TI-103", "QY-101", "AI-101", "AI-100"];
/// PLC signals that can be forced: instruments, handshake, what the gate says.
const FORCED: [Signal; 12] = [
    Signal::FeedPv,
    Signal::TempPv,
    Signal::JacketPv,
    Signal::FeedTempPv,
    Signal::DutyPv,
    Signal::PlcHb,
    Signal::ModeReq,
    Signal::ClosedLoop,
    Signal::FeedInControl,
    Signal::FeedSpAct,
    Signal::TempLimHi,
    Signal::FeedSeqAck,
];
/// Cells whose writes can fail.
const WRITTEN: [Signal; 6] =
    [Signal::FeedSp, Signal::TempSp, Signal::FeedSeq, Signal::FeedValid, Signal::AppHb, Signal::AppMode];
/// Codes that a source may send.
const CODES: [Status; 9] = [
    Status::BadTimeout,
    Status::BadSensorFailure,
    Status::BadNodeIdUnknown,
    Status::UncertainInitialValue,
    Status::UncertainLastUsableValue,
    Status::UncertainSimulatedValue,
    Status::UncertainTransducerInManual,
    Status::UncertainSubNormal,
    Status::GoodLocalOverride,
];

/// One fault.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Key switch.
    Stop,
    /// Power off and on.
    Power(Retained, u64),
    /// Writes of a cell fail.
    Writes(Signal, WriteFault),
    /// Another client, every so many seconds.
    Foreign(MvName, f32, u64),
    /// A signal is forced.
    Forced(Signal, f64),
    /// The operator switches off for as long as it lasts.
    SwitchedOff,
    /// An interlock.
    NoPermit,
    /// A slave in MANUAL with another setpoint.
    Manual(MvName, f32),
    /// The operator's limits.
    Limits(MvName, f32, f32),
    /// An MV taken out at the panel.
    OutOfService(MvName),
    /// Feed temperature, degC.
    Hot(f64),
    /// Feed concentration, mol/l.
    Rich(f64),
    /// The analyser says it is sick.
    Analyser,
    /// A reading has this status.
    Code(usize, Status),
    /// A reading is multiplied, then shifted, then made noisy.
    Bent(usize, f64, f64, f64),
    /// Every reading of a connection has no new proof of life.
    Silent(usize),
    /// A connection is down.
    Down(usize),
    /// The analyser's clock is wrong by so many seconds.
    SampleTime(i64),
    /// Each scan finishes late by so many milliseconds, now and then.
    Slow(u64),
    /// The program is stopped for so many milliseconds, once.
    Starved(u64),
    /// Somebody commands.
    Command(Role, Action),
}

/// A fault with its time, seconds after the loop has closed.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// Laid.
    pub from: u64,
    /// Lifted.
    pub until: u64,
    /// What.
    pub fault: Fault,
}

/// Draws from a seed.
pub struct Draw(pub Random);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        (self.0.uniform() * n as f64) as usize
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.uniform()
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn mv(&mut self) -> MvName {
        self.of(&MvName::ALL)
    }

    /// A setpoint, sometimes outside every limit.
    fn setpoint(&mut self, mv: MvName) -> f32 {
        let (low, high) = if mv == MvName::Feed { (70.0, 210.0) } else { (103.0, 122.0) };
        self.between(low, high) as f32
    }

    /// A number that an instrument should never show, or one that it may.
    fn number(&mut self) -> f64 {
        let any = self.between(-300.0, 300.0);
        self.of(&[0.0, 1.0, 2.0, f64::NAN, f64::INFINITY, 1e38, -1e38, 1e-40, 120.0, 65_535.0, any, any])
    }

    /// A few faults within this many seconds.
    pub fn plan(&mut self, within_s: u64) -> Vec<Planned> {
        let count = 2 + self.below(7);
        (0..count)
            .map(|_| {
                let from = self.below(within_s as usize) as u64;
                // Short ones are as likely as long ones.
                let lasts = self.between(0.0, 6.0).exp() as u64;
                Planned { from, until: (from + lasts.max(1)).min(within_s), fault: self.fault() }
            })
            .collect()
    }

    fn fault(&mut self) -> Fault {
        match self.below(21) {
            0 => Fault::Stop,
            1 => Fault::Power(self.of(&[Retained::Kept, Retained::Zeroed]), 1 + self.below(20) as u64),
            2 | 3 => {
                let clamp =
                    WriteFault::Clamp { low: 100.0, high: self.between(110.0, 180.0), silent: self.below(2) == 0 };
                Fault::Writes(self.of(&WRITTEN), self.of(&[WriteFault::Ignore, WriteFault::Refuse, clamp]))
            }
            4 => {
                let mv = self.mv();
                Fault::Foreign(mv, self.setpoint(mv), 1 + self.below(40) as u64)
            }
            5 => Fault::Forced(self.of(&FORCED), self.number()),
            6 => Fault::SwitchedOff,
            7 => Fault::NoPermit,
            8 => {
                let mv = self.mv();
                Fault::Manual(mv, self.setpoint(mv))
            }
            9 => {
                let mv = self.mv();
                Fault::Limits(mv, self.setpoint(mv), self.setpoint(mv))
            }
            10 => Fault::OutOfService(self.mv()),
            11 => Fault::Hot(self.between(110.0, 122.0)),
            12 => Fault::Rich(self.between(4.8, 5.4)),
            13 => Fault::Analyser,
            14 => Fault::Code(self.below(READ.len()), self.of(&CODES)),
            15 => {
                let tag = self.below(READ.len());
                let factor = self.of(&[1.0, 1.0, 0.0, 1.8, 10.0, -1.0, f64::NAN]);
                Fault::Bent(tag, factor, self.between(-5.0, 5.0), self.of(&[0.0, 0.0, 0.5, 5.0]))
            }
            16 => Fault::Silent(self.below(2)),
            17 => Fault::Down(self.below(2)),
            18 => Fault::SampleTime(self.between(-4_000.0, 4_000.0) as i64),
            19 => {
                let ms = self.between(1.0, 9.0).exp() as u64;
                self.of(&[Fault::Slow(ms), Fault::Starved(ms)])
            }
            _ => {
                let role = self.of(&[Role::Observer, Role::Operator, Role::Engineer]);
                Fault::Command(role, self.action())
            }
        }
    }

    fn action(&mut self) -> Action {
        let on = self.below(2) == 0;
        match self.below(9) {
            0 => Action::SetMode(self.of(&[Mode::Off, Mode::Advisory, Mode::ClosedLoop])),
            1 | 2 => Action::Hold(on),
            3 => Action::MvService(MvId(self.below(3) as u32), on),
            4 => Action::SetPrice(self.below(4) as u32, self.number()),
            5 => {
                let (value, taken) = (self.between(0.2, 2.0), self.between(0.0, 3_000.0) as u64);
                Action::LabSample(PredictionId(self.below(2) as u32), value, Timestamp(taken * 1_000_000_000))
            }
            6 => Action::ResetBias(ModelId(self.below(3) as u32)),
            7 => Action::SwapModel(ModelId(self.below(3) as u32), on),
            _ => Action::Acknowledge,
        }
    }
}

/// What is wrong with the readings now, shared with the hook between PLC and runtime.
#[derive(Clone, Default)]
pub struct Readings(Arc<Mutex<Vec<Fault>>>);

impl Readings {
    /// Puts the hook in place.
    pub fn hook(&self, stage: &mut Stage, seed: u64) {
        let shared = self.clone();
        let tags = READ.map(|name| stage.tag(name).index());
        let connections: Vec<usize> = stage.config.tags.iter().map(|t| t.connection.index()).collect();
        let mut random = Random::new(!seed);
        let clock = Arc::clone(&stage.clock);
        let mut silent_since: [Option<(Timestamp, Vec<Sample>)>; 2] = [None, None];
        stage.spoil(move |cycle, image| {
            let faults = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            for fault in &*faults {
                match *fault {
                    Fault::Slow(ms) if cycle.number.is_multiple_of(7) => {
                        clock.set(cycle.now.after(Duration::from_millis(ms)));
                    }
                    Fault::Down(connection) => image.links[connection] = LinkState::Down,
                    Fault::Code(tag, status) => bend(image, tags[tag], |s| Sample { status, ..s }),
                    Fault::Bent(tag, factor, shift, noise) => {
                        let noise = noise * random.normal();
                        let change = |x: f64| x * factor + shift + noise;
                        bend(image, tags[tag], |s| Sample {
                            value: s.value.and_then(|x| to_value(change(x.get()))),
                            ..s
                        });
                    }
                    Fault::SampleTime(shift) => bend(image, tags[5], |s| {
                        let taken = (s.source_time.0 / 1_000_000_000) as i64 + shift;
                        Sample { source_time: Timestamp(taken.max(1) as u64 * 1_000_000_000), ..s }
                    }),
                    _ => {}
                }
            }
            for (connection, since) in silent_since.iter_mut().enumerate() {
                if !faults.iter().any(|f| matches!(f, Fault::Silent(c) if *c == connection)) {
                    *since = None;
                    continue;
                }
                // The first scan's readings are the last that came.
                let (since, samples) = since.get_or_insert_with(|| (cycle.now, image.samples.clone()));
                for (tag, _) in connections.iter().enumerate().filter(|(_, c)| **c == connection) {
                    image.samples[tag] = Sample { alive: samples[tag].alive.min(*since), ..samples[tag] };
                }
            }
        });
    }

    fn set(&self, fault: Fault, on: bool) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{fault:?}");
        faults.retain(|f| format!("{f:?}") != name);
        if on {
            faults.push(fault);
        }
    }
}

fn to_value(x: f64) -> Option<flyball_core::value::Value> {
    flyball_core::value::Value::new(x)
}

/// Changes one reading, and keeps what a link would keep: a Bad status drops the number.
fn bend(image: &mut InputImage, tag: usize, change: impl FnOnce(Sample) -> Sample) {
    let s = change(image.samples[tag]);
    let raw = s.value.map_or(f64::NAN, flyball_core::value::Value::get);
    image.samples[tag] = Sample::new(raw, s.status, s.source_time, s.alive);
}

impl Fault {
    /// Lays it (`on`) or lifts it.
    pub fn apply(self, stage: &mut Stage, readings: &Readings, on: bool) {
        let rig = stage.run.rig.clone();
        rig.with_plc(|plc| match self {
            Self::Stop if on => plc.stop(),
            Self::Stop => plc.run(),
            Self::Power(kept, zero_s) if on => plc.power_cycle(kept, Duration::from_secs(zero_s)),
            Self::Writes(signal, fault) => plc.set_write_fault(signal, on.then_some(fault)),
            Self::Forced(signal, x) => {
                let kind = plc.read(signal).plc_type();
                plc.force(signal, on.then(|| PlcValue::from_number(kind, x)));
            }
            Self::SwitchedOff => plc.panel.enable = !on,
            Self::NoPermit => plc.panel.permit = !on,
            Self::Manual(mv, setpoint) => {
                plc.panel.mv(mv).slave = if on { SlaveMode::Manual } else { SlaveMode::Auto };
                if on {
                    plc.panel.mv(mv).local_setpoint = setpoint;
                }
            }
            Self::Limits(mv, low, high) => {
                let wide = if mv == MvName::Feed { (80.0, 200.0) } else { (105.0, 120.0) };
                let panel = plc.panel.mv(mv);
                (panel.low, panel.high) = if on { (low, high) } else { wide };
            }
            Self::OutOfService(mv) => plc.panel.mv(mv).in_service = !on,
            Self::Hot(to) => plc.process.feed.t0 = if on { to } else { 116.0 },
            Self::Rich(to) => plc.process.feed.c_a0 = if on { to } else { 5.10 },
            Self::Analyser => plc.process.gc_healthy = !on,
            _ => {}
        });
        match self {
            Self::Command(role, action) if on => stage.command(role, action),
            Self::Starved(ms) if on => {
                let now = Timestamp(stage.seconds() * 1_000_000_000);
                stage.clock.set(now.after(Duration::from_millis(ms)));
            }
            Self::Code(..) | Self::Bent(..) | Self::Silent(_) | Self::Down(_) | Self::SampleTime(_) | Self::Slow(_) => {
                readings.set(self, on);
            }
            _ => {}
        }
    }

    /// What it does again and again while it lasts, `passed` seconds after it was laid.
    pub fn again(self, stage: &mut Stage, passed: u64) {
        if let Self::Foreign(mv, setpoint, every) = self
            && passed.is_multiple_of(every)
        {
            stage.run.rig.with_plc(|plc| plc.foreign_write(mv, setpoint));
        }
    }
}
