//! `ScanRecord`: all of one scan. Sizes are fixed at start; filling it allocates nothing.
//!
//! `encode` gives the bytes that two equal runs must share. Stage times and lateness are measurements, not decisions: they are not in them.

use flyball_config::Config;
use serde::{Deserialize, Serialize};

use crate::bounds::{CAUSES_PER_SCAN, COMMANDS_PER_SCAN, PRICES_MAX};
use crate::command::Answer;
use crate::condition::Conditioned;
use crate::deadline::Deadlines;
use crate::guard::GuardReport;
use crate::handshake::PlcState;
use crate::image::{InputImage, OutputImage, Sample};
use crate::mode::{Mode, ModeState, ShedCause};
use crate::optimum::{HeldBy, Optimum};
use crate::ports::PHASES;
use crate::sample::Samples;
use crate::sensor::Prediction;
use crate::shadow::ModelReport;
use crate::time::{ScanCycle, Timestamp};
use crate::watch::OutputReport;
use crate::watch::operating::OperatingMode;

/// Something worth telling, in the order in which it was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The actual mode changed.
    ModeChanged(Mode, Mode),
    /// CLOSED LOOP was left without or with the operator.
    Shed(ShedCause),
    /// The PLC's heartbeat came or went.
    PlcHeartbeat(bool),
    /// A field link changed.
    LinkChanged(u32, crate::image::LinkState),
    /// An MV was taken out by failed verification.
    MvOut(u32),
    /// A write was refused by the device, with its status.
    WriteRefused(u32, crate::status::Status),
    /// A prediction changed between usable and not.
    PredictionUsable(u32, bool),
    /// The bias of a prediction reached its total, or left it: the model needs maintenance, or no longer.
    BiasAtTotal(u32, bool),
    /// The optimiser changed how it ends.
    Solve(crate::optimum::SolveStatus),
    /// Scans were skipped.
    Skipped(u32),
    /// A model and its shadow changed places: promoted, or rolled back (false).
    ModelSwapped(u32, bool),
    /// The watch over a prediction advises something, or no longer (false); at which accepted sample.
    Advice(u32, crate::watch::Trigger, bool, u32),
    /// A model was inside its domain for too little of a week, or no longer (false).
    DomainAdvice(u32, bool),
}

/// One MV in one scan.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct MvRecord {
    /// Setpoint that the loop uses.
    pub readback: Option<f64>,
    /// PLC says in control.
    pub in_control: bool,
    /// In service (operator).
    pub in_service: bool,
    /// Guard.
    pub guard: GuardReport,
    /// What holds it, guard and optimiser taken together.
    pub held_by: HeldBy,
}

/// One CV in one scan.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CvRecord {
    /// Present value, if usable.
    pub value: Option<f64>,
}

/// Everything about one scan.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanRecord {
    /// Its identity.
    pub cycle: ScanCycle,
    /// Frozen inputs.
    pub inputs: InputImage,
    /// Judged values per tag.
    pub tags: Vec<Conditioned>,
    /// Predictions.
    pub predictions: Vec<Prediction>,
    /// Late samples of this scan and what became of each.
    pub samples: Samples,
    /// Watch and shadow per model of the configuration.
    pub models: Vec<ModelReport>,
    /// Newest optimiser answer.
    pub optimum: Optimum,
    /// The optimiser ran in this scan.
    pub solved: bool,
    /// Prices in force.
    pub prices: heapless::Vec<f64, PRICES_MAX>,
    /// Per MV.
    pub mvs: Vec<MvRecord>,
    /// Per CV.
    pub cvs: Vec<CvRecord>,
    /// Mode.
    pub mode: ModeState,
    /// PLC side of the handshake.
    pub plc: PlcState,
    /// Our heartbeat.
    pub heartbeat: u16,
    /// Status bits for the PLC.
    pub status_bits: u32,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Cells.
    pub outputs: OutputImage,
    /// Answers to commands.
    pub answers: heapless::Vec<Answer, COMMANDS_PER_SCAN>,
    /// First events of the scan.
    pub events: heapless::Vec<Event, CAUSES_PER_SCAN>,
    /// Events that found no room.
    pub events_lost: u32,
    /// The outputs were posted (not late, not read-only).
    pub flushed: bool,
    /// End of each phase, measured by the live probe; zero in a replay.
    pub phase_ends: [Timestamp; PHASES],
    /// The clock net ended a stage early.
    pub net_caught: bool,
}

impl ScanRecord {
    /// An empty record of the right size.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let zero = Timestamp::ZERO;
        Self {
            cycle: ScanCycle { number: 0, scheduled: zero, now: zero, period: config.timing.cycle, missed: 0 },
            inputs: InputImage::new(config.tags.len(), config.connections.len()),
            tags: vec![Conditioned::WAITING; config.tags.len()],
            predictions: vec![Prediction::WAITING; config.predictions.len()],
            samples: Samples::new(),
            models: config.models.iter().map(ModelReport::new).collect(),
            optimum: Optimum::default(),
            solved: false,
            prices: heapless::Vec::new(),
            mvs: vec![MvRecord::default(); config.mvs.len()],
            cvs: vec![CvRecord::default(); config.cvs.len()],
            mode: ModeState::start(Mode::Advisory),
            plc: PlcState::default(),
            heartbeat: 0,
            status_bits: 0,
            deadlines: Deadlines::default(),
            outputs: OutputImage::new(config.outputs.len()),
            answers: heapless::Vec::new(),
            events: heapless::Vec::new(),
            events_lost: 0,
            flushed: false,
            phase_ends: [zero; PHASES],
            net_caught: false,
        }
    }

    /// Adds an event; the first ones of a scan are kept.
    pub fn event(&mut self, event: Event) {
        if self.events.push(event).is_err() {
            self.events_lost = self.events_lost.saturating_add(1);
        }
    }

    /// Copies the frozen inputs without allocating (sizes are equal by construction).
    pub fn copy_inputs(&mut self, inputs: &InputImage) {
        self.inputs.samples.copy_from_slice(&inputs.samples);
        self.inputs.links.copy_from_slice(&inputs.links);
        self.inputs.writes.copy_from_slice(&inputs.writes);
        self.inputs.commands.clone_from(&inputs.commands);
    }

    /// Appends the bytes of everything that was decided: equal runs give equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u64(self.cycle.number);
        w.u64(self.cycle.scheduled.0);
        w.u64(self.cycle.now.0);
        w.u64(u64::from(self.cycle.missed));
        for s in &self.inputs.samples {
            w.sample(s);
        }
        for t in &self.tags {
            w.option(t.get());
            w.u64(u64::from(t.status.0) << 16 | u64::from(t.reason as u8) << 8 | u64::from(t.substituted));
        }
        for p in &self.predictions {
            w.option(p.get());
            w.f64(p.raw);
            w.f64(p.bias);
            w.u64(u64::from(p.status.0) | u64::from(p.in_domain) << 32);
            w.option(p.half_width);
            w.option(p.domain.map(|d| d.t2));
            w.option(p.domain.map(|d| d.spe));
            w.u64(p.domain.map_or(u64::MAX, |d| u64::from(d.worst)));
        }
        for s in &self.samples {
            w.u64(u64::from(s.output.0) << 8 | s.verdict as u64);
            w.u64(s.taken.0);
            w.option(s.value);
            w.option(s.error_after_bias);
            w.u64(s.covered.map_or(2, u64::from));
        }
        for model in &self.models {
            w.model(model);
        }
        w.u64(self.optimum.status as u64 | u64::from(self.solved) << 8);
        w.f64(self.optimum.objective_now);
        w.f64(self.optimum.objective_optimum);
        for m in &self.optimum.mvs {
            w.f64(m.optimum);
            w.f64(m.next);
            w.f64(m.worth);
        }
        for c in &self.optimum.cvs {
            w.f64(c.predicted);
            w.f64(c.violation);
            w.f64(c.worth);
        }
        for m in &self.mvs {
            w.option(m.readback);
            w.option(m.guard.written);
            w.u64(u64::from(m.guard.sequence) | u64::from(m.in_control) << 16 | u64::from(m.guard.out) << 17);
        }
        w.u64(self.mode.actual as u64 | (self.mode.requested as u64) << 8 | u64::from(self.mode.arming) << 16);
        w.u64(u64::from(self.heartbeat) | u64::from(self.plc.heartbeat) << 16 | u64::from(self.status_bits) << 32);
        w.u64(self.deadlines.missed);
        for cell in self.outputs.cells() {
            w.option(cell.map(crate::value::Value::get));
        }
        w.u64(u64::from(self.flushed));
    }
}

/// Little-endian writer; numbers as their bits, so that equality of bytes is equality of bits.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn u64(&mut self, x: u64) {
        self.0.extend_from_slice(&x.to_le_bytes());
    }

    fn f64(&mut self, x: f64) {
        self.u64(x.to_bits());
    }

    /// None is a NaN pattern that no `Value` can have.
    fn option(&mut self, x: Option<f64>) {
        self.f64(x.unwrap_or(f64::NAN));
    }

    fn model(&mut self, m: &ModelReport) {
        let mode = match m.watch.mode {
            OperatingMode::None => 0,
            OperatingMode::Unknown => 1,
            OperatingMode::Known(i) => 2 + u64::from(i),
        };
        self.u64(mode << 8 | u64::from(m.watch.advice.bits()));
        self.option(m.watch.in_domain);
        for o in &m.watch.outputs {
            self.watched(o);
        }
        for psi in &m.watch.psi {
            self.option(*psi);
        }
        let Some(shadow) = &m.shadow else { return };
        self.u64(u64::from(shadow.promoted));
        for value in &shadow.values {
            self.option(*value);
        }
        for o in &shadow.watch.outputs {
            self.watched(o);
        }
        for c in &shadow.compared {
            self.u64(u64::from(c.samples));
            self.f64(c.active.rmsep);
            self.f64(c.shadow.rmsep);
        }
    }

    fn watched(&mut self, o: &OutputReport) {
        self.u64(u64::from(o.accepted) | u64::from(o.advice.bits()) << 32);
        self.u64(u64::from(o.refused));
        self.option(o.rmsep);
        self.f64(o.cusum.high);
        self.f64(o.cusum.low);
        self.option(o.coverage);
    }

    fn sample(&mut self, s: &Sample) {
        self.option(s.value.map(crate::value::Value::get));
        self.u64(u64::from(s.status.0));
        self.u64(s.source_time.0);
        self.u64(s.alive.0);
    }
}
