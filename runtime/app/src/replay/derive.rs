//! Why: a recorded scan once more, from its inputs alone, and the first thing in which the two differ.
//!
//! Equal means equal bits. Stage times and lateness are measurements, not decisions, and are not compared; whether the outputs were posted and
//! when the clock net said stop are taken from the record, because they came from the clock.

use flyball_config::Config;
use serde::Serialize;

use flyball_core::controller::{Controller, Engines};
use flyball_core::image::OutputImage;
use flyball_core::ports::{Phase, Probe};
use flyball_core::record::ScanRecord;
use flyball_core::state::StateError;

/// Says what the live probe has said.
#[derive(Debug, Clone, Copy)]
struct RecordedProbe {
    asked: u32,
    net_after: Option<u32>,
}

impl Probe for RecordedProbe {
    fn mark(&mut self, _phase: Phase) {}

    fn over_budget(&mut self) -> bool {
        let over = self.net_after.is_some_and(|after| self.asked >= after);
        self.asked = self.asked.saturating_add(1);
        over
    }
}

/// Where two records of one scan differ first, in the order of the phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Number of the scan.
    pub cycle: u64,
    /// Phase that made the field.
    pub phase: Phase,
    /// Field of `ScanRecord`.
    pub field: &'static str,
    /// Entry of a list: of tags, predictions, MVs, output cells.
    pub entry: Option<usize>,
    /// The first of the two, as text.
    pub recorded: String,
    /// The other one.
    pub derived: String,
}

impl Difference {
    fn new(a: &ScanRecord, phase: Phase, field: &'static str, entry: Option<usize>, texts: (String, String)) -> Self {
        Self { cycle: a.cycle.number, phase, field, entry, recorded: texts.0, derived: texts.1 }
    }
}

/// The shipped controller, fed from records.
pub struct Replay {
    controller: Controller,
    outputs: OutputImage,
    /// The newest scan as it was derived again.
    record: ScanRecord,
    keyframe: Vec<u8>,
}

impl Replay {
    /// From a cold start. Configuration, models, budget and `read_only` must be those of the recording for an equal answer; others tell what
    /// would have been decided on the same inputs.
    #[must_use]
    pub fn new(config: &Config, engines: Engines, read_only: bool) -> Self {
        let mut controller = Controller::new(config, engines, read_only);
        let keyframe = Vec::with_capacity(controller.keyframe_room());
        let outputs = OutputImage::new(config.outputs.len());
        Self { controller, outputs, record: ScanRecord::new(config), keyframe }
    }

    /// Begins with the state after the scan of this record.
    ///
    /// # Errors
    /// The keyframe does not fit; nothing can then be replayed with this configuration from there.
    pub fn begin(&mut self, keyframe: &[u8]) -> Result<(), StateError> {
        self.controller.restore(keyframe)
    }

    /// Derives a scan again and returns it. The record must be of the scan after the one before.
    pub fn step(&mut self, recorded: &ScanRecord) -> &ScanRecord {
        let mut probe = RecordedProbe { asked: 0, net_after: recorded.net_after };
        let cycle = &recorded.cycle;
        self.controller.forbid(recorded.never);
        self.controller.step(cycle, &recorded.inputs, &mut self.outputs, &mut self.record, &mut probe);
        self.controller.flushed(cycle, recorded.flushed);
        self.record.flushed = recorded.flushed;
        self.record.phase_ends = recorded.phase_ends;
        self.record.net_after = recorded.net_after;
        if !recorded.keyframe.is_empty() && self.controller.save(&mut self.keyframe) {
            self.record.keyframe.clone_from(&self.keyframe);
        }
        &self.record
    }

    /// Derives a scan again; the first difference, if there is one.
    pub fn verify(&mut self, recorded: &ScanRecord) -> Option<Difference> {
        self.step(recorded);
        difference(recorded, &self.record)
    }
}

/// The first difference between two records of one scan.
#[must_use]
pub fn difference(a: &ScanRecord, b: &ScanRecord) -> Option<Difference> {
    if same(a, b) {
        return None;
    }
    macro_rules! whole {
        ($phase:ident, $field:ident) => {
            if !same(&a.$field, &b.$field) {
                let texts = (format!("{:?}", a.$field), format!("{:?}", b.$field));
                return Some(Difference::new(a, Phase::$phase, stringify!($field), None, texts));
            }
        };
    }
    macro_rules! each {
        ($phase:ident, $field:ident, $of:ident => $list:expr) => {
            let list = |$of: &ScanRecord| $list.iter().map(|x| (bytes(x), format!("{x:?}"))).collect::<Vec<_>>();
            let pairs = list(a).into_iter().zip(list(b)).enumerate();
            if let Some((entry, (x, y))) = pairs.into_iter().find(|(_, (x, y))| x.0 != y.0) {
                return Some(Difference::new(a, Phase::$phase, stringify!($field), Some(entry), (x.1, y.1)));
            }
            // Of another length.
            whole!($phase, $field);
        };
    }
    whole!(Freeze, cycle);
    whole!(Freeze, never);
    each!(Freeze, inputs, r => r.inputs.samples);
    whole!(Freeze, answers);
    each!(Condition, tags, r => r.tags);
    each!(Predict, predictions, r => r.predictions);
    whole!(Predict, samples);
    each!(Predict, models, r => r.models);
    whole!(Optimise, solved);
    whole!(Optimise, net_caught);
    whole!(Optimise, net_after);
    whole!(Optimise, prices);
    whole!(Optimise, optimum);
    whole!(Guard, plc);
    each!(Guard, cvs, r => r.cvs);
    whole!(Guard, mode);
    each!(Guard, mvs, r => r.mvs);
    whole!(Guard, deadlines);
    whole!(Guard, status_bits);
    whole!(Guard, heartbeat);
    each!(Guard, outputs, r => r.outputs.cells());
    whole!(Guard, events);
    whole!(Guard, events_lost);
    whole!(Flush, flushed);
    whole!(Flush, keyframe);
    // All that is left are measurements.
    None
}

/// Equal in all bits: -0 is not 0, and a NaN is itself.
fn same<T: Serialize>(a: &T, b: &T) -> bool {
    bytes(a) == bytes(b)
}

fn bytes<T: Serialize>(x: &T) -> Vec<u8> {
    postcard::to_allocvec(x).expect("plain data into memory cannot fail")
}
