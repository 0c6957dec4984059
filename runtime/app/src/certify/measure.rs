//! The measurement: what every cycle took, taken from the records while the shipped application runs.

use std::time::Duration;

use flyball_core::image::LinkState;
use flyball_core::mode::{Mode, ModeState};
use flyball_core::ports::Phase;
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::nanos;

use crate::timing::Timing;

/// More cycles than this say nothing new: twelve days at one second, a day at 100 ms.
const CYCLES_MAX: usize = 1_000_000;

/// Where the measurement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing counts yet.
    WarmUp,
    /// Every cycle counts.
    Measuring,
    /// No more counts; the statistics have been taken.
    Over,
}

/// Collects from the keeper's thread.
pub struct Collector {
    scale: u64,
    read_only: bool,
    deadline: Duration,
    stage: Stage,
    /// Real nanoseconds, oldest first.
    pub latencies: Vec<u64>,
    /// Cycles over the deadline, and periods without a scan.
    pub missed: u64,
    /// Cycles with the loop closed.
    pub closed: u64,
    /// Statistics of the stages, once it is over.
    pub timing: Option<Timing>,
    /// Newest mode, for whoever waits.
    pub mode: Option<ModeState>,
    /// Records since all links are up and all predictions are there, without a break.
    pub ready: u32,
    /// The next record is the first that counts: it tells of a cycle that does not.
    first: bool,
    judged: u64,
    ended: Duration,
}

impl Collector {
    /// Empty. `deadline` is that of the process clock, which runs `scale` times as fast as the real one.
    #[must_use]
    pub fn new(scale: u32, read_only: bool, deadline: Duration) -> Self {
        Self {
            scale: u64::from(scale.max(1)),
            read_only,
            deadline,
            stage: Stage::WarmUp,
            latencies: Vec::new(),
            missed: 0,
            closed: 0,
            timing: None,
            mode: None,
            ready: 0,
            first: false,
            judged: 0,
            ended: Duration::ZERO,
        }
    }

    /// From the next record on every cycle counts.
    pub fn begin(&mut self) {
        self.stage = Stage::Measuring;
        self.first = true;
    }

    /// The next record is the last.
    pub fn end(&mut self) {
        self.stage = Stage::Over;
    }

    /// Takes a record. A cycle's writes are acknowledged while the scan sleeps, so the latency of a cycle stands in the record after it.
    pub fn take(&mut self, r: &ScanRecord, timing: &Timing) {
        let first = std::mem::take(&mut self.first);
        let judged = r.deadlines.cycles - std::mem::replace(&mut self.judged, r.deadlines.cycles);
        let before = std::mem::replace(&mut self.ended, r.phase_ends[Phase::Flush as usize].since(r.cycle.scheduled));
        self.mode = Some(r.mode);
        let ready = r.inputs.links.iter().all(|l| *l == LinkState::Up)
            && r.predictions.iter().all(|p| p.status != Status::BadWaitingForInitialData);
        self.ready = if ready { self.ready.saturating_add(1) } else { 0 };
        if self.stage == Stage::Over && self.timing.is_none() {
            self.timing = Some(timing.clone());
        }
        if self.stage != Stage::Measuring || first || self.latencies.len() >= CYCLES_MAX {
            return;
        }
        self.missed += u64::from(r.cycle.missed);
        if self.read_only {
            let took = self.ended;
            self.missed += u64::from(took > self.deadline);
            self.push(took);
        } else if judged > 0 {
            let took = match r.deadlines.latency {
                Some(latency) => latency,
                // Late, withheld or never acknowledged: it took at least this long.
                None => {
                    self.missed += 1;
                    before.max(self.deadline)
                }
            };
            self.push(took);
        }
        self.closed += u64::from(r.mode.actual == Mode::ClosedLoop);
    }

    fn push(&mut self, took: Duration) {
        self.latencies.push(nanos(took) / self.scale);
    }
}
