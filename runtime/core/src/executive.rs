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

/// Reads the clock at the end of each phase, and says when a stage has used up its budget.
pub struct LiveProbe {
    clock: Arc<dyn Clock>,
    ends: [Timestamp; PHASES],
    last: Timestamp,
    budget: Duration,
}

impl LiveProbe {
    /// A probe on this clock; `budget` is the optimiser's.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, budget: Duration) -> Self {
        Self { clock, ends: [Timestamp::ZERO; PHASES], last: Timestamp::ZERO, budget }
    }
}

impl Probe for LiveProbe {
    fn mark(&mut self, phase: Phase) {
        self.last = self.clock.now();
        self.ends[phase as usize] = self.last;
    }

    fn over_budget(&mut self) -> bool {
        self.clock.now() > self.last.after(self.budget)
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
            clock,
        }
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
        self.records.swap(&mut self.record);
    }
}
