//! `ScanRecord`: all of one scan. Sizes are fixed at start; filling it allocates nothing.

use flyball_config::Config;
use serde::{Deserialize, Serialize};

use crate::bounds::{CAUSES_PER_SCAN, COMMANDS_PER_SCAN, PRICES_MAX};
use crate::command::Answer;
use crate::condition::Conditioned;
use crate::deadline::Deadlines;
use crate::guard::GuardReport;
use crate::handshake::PlcState;
use crate::image::{InputImage, RecordedOutputs};
use crate::mode::{Mode, ModeState, ShedCause};
use crate::optimum::{HeldBy, Optimum};
use crate::ports::PHASES;
use crate::sample::Samples;
use crate::sensor::Prediction;
use crate::shadow::ModelReport;
use crate::time::{ScanCycle, Timestamp};

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub outputs: RecordedOutputs,
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
    /// How often the clock net was asked in this scan before it said stop; None when it never did. A replay's clock says the same.
    pub net_after: Option<u32>,
    /// State after this scan, for replays that begin here; empty in most scans.
    pub keyframe: Vec<u8>,
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
            outputs: RecordedOutputs::new(config.outputs.len()),
            answers: heapless::Vec::new(),
            events: heapless::Vec::new(),
            events_lost: 0,
            flushed: false,
            phase_ends: [zero; PHASES],
            net_caught: false,
            net_after: None,
            keyframe: Vec::new(),
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

    /// Appends its bytes, with all bits of every number (postcard). May allocate: not for the scan thread.
    pub fn to_bytes(&self, out: &mut Vec<u8>) {
        let kept = std::mem::take(out);
        *out = postcard::to_extend(self, kept).expect("plain data into memory cannot fail");
    }

    /// Reads what [`ScanRecord::to_bytes`] gave.
    ///
    /// # Errors
    /// The bytes are damaged, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}
