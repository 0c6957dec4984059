//! The executive: the only loop of the scan thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flyball_config::Config;

use crate::controller::Controller;
use crate::exchange::Giver;
use crate::image::{InputImage, OutputImage};
use crate::pacer::Pacer;
use crate::ports::{Clock, FieldInput, FieldOutput, PHASES, Phase, Probe};
use crate::record::ScanRecord;
use crate::time::Timestamp;

/// Buffers for keyframes. One comes back when its record has gone through the keeper's hands.
const KEYFRAMES: usize = 2;

/// Reads the clock at the end of each phase, and says when a stage has used up its budget.
pub struct LiveProbe {
    clock: Arc<dyn Clock>,
    ends: [Timestamp; PHASES],
    last: Timestamp,
    budget: Duration,
    asked: u32,
    net_after: Option<u32>,
}

impl LiveProbe {
    /// A probe on this clock; `budget` is the optimiser's.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, budget: Duration) -> Self {
        let last = Timestamp::ZERO;
        Self { clock, ends: [last; PHASES], last, budget, asked: 0, net_after: None }
    }

    /// A scan begins.
    fn begin(&mut self) {
        (self.asked, self.net_after) = (0, None);
    }
}

impl Probe for LiveProbe {
    fn mark(&mut self, phase: Phase) {
        self.last = self.clock.now();
        self.ends[phase as usize] = self.last;
    }

    fn over_budget(&mut self) -> bool {
        let over = self.clock.now() > self.last.after(self.budget);
        if over {
            self.net_after.get_or_insert(self.asked);
        }
        self.asked = self.asked.saturating_add(1);
        over
    }
}

/// Everything the scan thread owns.
pub struct Executive<F> {
    clock: Arc<dyn Clock>,
    pacer: Pacer,
    deadline: Duration,
    field: F,
    inputs: InputImage,
    outputs: OutputImage,
    controller: Controller,
    probe: LiveProbe,
    records: Giver<ScanRecord>,
    record: Box<ScanRecord>,
    /// A keyframe is due every so many scans; 0: never.
    keyframe_every: u32,
    since_keyframe: u32,
    keyframes: heapless::Vec<Vec<u8>, KEYFRAMES>,
}

impl<F: FieldInput + FieldOutput> Executive<F> {
    /// Allocates the images; `run` allocates nothing any more.
    #[must_use]
    pub fn new(
        config: &Config,
        controller: Controller,
        field: F,
        clock: Arc<dyn Clock>,
        records: Giver<ScanRecord>,
    ) -> Self {
        Self {
            pacer: Pacer::new(clock.now(), config.timing.cycle),
            deadline: config.timing.deadline,
            field,
            inputs: InputImage::new(config.tags.len(), config.connections.len()),
            outputs: OutputImage::new(config.outputs.len()),
            controller,
            probe: LiveProbe::new(Arc::clone(&clock), config.timing.stage_budget.optimise),
            records,
            record: Box::new(ScanRecord::new(config)),
            keyframe_every: 0,
            since_keyframe: 0,
            keyframes: heapless::Vec::new(),
            clock,
        }
    }

    /// Puts the state into every so many-th record, beginning with the first, for replays that begin there; 0: never. Later by some scans while a
    /// solve is under way, or while the buffers have not come back. Allocates the buffers.
    #[must_use]
    pub fn with_keyframes(mut self, every: u32) -> Self {
        self.keyframe_every = every;
        self.since_keyframe = every;
        self.keyframes.clear();
        while every > 0 && !self.keyframes.is_full() {
            let buffer = Vec::with_capacity(self.controller.keyframe_room());
            // The loop ends when it is full.
            let _ = self.keyframes.push(buffer);
        }
        self
    }

    /// Scans until told to stop. SYNC POINT: `stop` is set once by main; Relaxed is enough, it is looked at once per scan.
    pub fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.scan();
        }
    }

    /// One scan: wait, freeze, step, flush unless late, record.
    pub fn scan(&mut self) {
        let cycle = self.pacer.wait(&*self.clock);
        self.field.freeze(&cycle, &mut self.inputs);
        self.probe.begin();
        self.probe.mark(Phase::Freeze);
        self.controller.step(&cycle, &self.inputs, &mut self.outputs, &mut self.record, &mut self.probe);
        let in_time = self.clock.now() < cycle.scheduled.after(self.deadline);
        let post = in_time && !self.controller.read_only();
        if post {
            self.field.flush(&cycle, &self.outputs);
        }
        self.controller.flushed(&cycle, post);
        self.probe.mark(Phase::Flush);
        self.record.flushed = post;
        self.record.phase_ends = self.probe.ends;
        self.record.net_after = self.probe.net_after;
        self.keyframe();
        self.records.swap(&mut self.record);
        self.take_back();
    }

    fn keyframe(&mut self) {
        self.since_keyframe = self.since_keyframe.saturating_add(1);
        if self.keyframe_every == 0 || self.since_keyframe <= self.keyframe_every {
            return;
        }
        let Some(mut buffer) = self.keyframes.pop() else { return };
        if self.controller.save(&mut buffer) {
            self.record.keyframe = buffer;
            self.since_keyframe = 1;
        } else {
            // One was taken out above, so there is room.
            let _ = self.keyframes.push(buffer);
        }
    }

    /// The box that came back may bring a buffer.
    fn take_back(&mut self) {
        if self.record.keyframe.capacity() > 0 {
            // No more buffers go round than there is room for.
            let _ = self.keyframes.push(std::mem::take(&mut self.record.keyframe));
        }
    }
}
