//! `Controller::step`: the scan. A column of verbs; each room's work is in its own file.
//!
//! ```text
//! obey -> condition -> predict -> judge -> optimise -> transition -> guard -> emit
//! ```
//!
//! The mode transition comes before the guard, so that a cause to shed found in this scan stops the writes of this very scan.

mod judge;
mod obey;
mod report;

use flyball_config::{Config, HighestMode, ModelId, ReturnAfterShed, StartMode};

use crate::advisor::Advisor;
use crate::condition::{Conditioner, Reason};
use crate::deadline::DeadlineWatch;
use crate::feature::scans_of;
use crate::guard::{GuardReport, MvFacts, MvGuard, OperatorLimits, Request, Verdict};
use crate::handshake::{Link, StatusBit};
use crate::image::{InputImage, LinkState, OutputImage};
use crate::mode::{Blocker, Facts, Mode, ModeRules, ModeState, next};
use crate::optimum::{HeldBy, SolveStatus};
use crate::ports::{Optimizer, Phase, Predictor, Probe};
use crate::record::{Event, MvRecord, ScanRecord};
use crate::sensor::{Prediction, PredictionReason, SensorBank};
use crate::state::{Archive, StateError};
use crate::time::ScanCycle;
use crate::watch::Advice;
use report::Before;

/// Engines for the models of a configuration, contract-checked and in the configuration's order.
pub struct Engines {
    /// One per model; None for maps.
    pub predictors: Vec<Option<Box<dyn Predictor>>>,
    /// One per model; None for those without a shadow.
    pub shadows: Vec<Option<Box<dyn Predictor>>>,
    /// The optimiser, if configured.
    pub optimizer: Option<Box<dyn Optimizer>>,
}

/// State of the scan. One per application.
pub struct Controller {
    config: Config,
    read_only: bool,
    conditioner: Conditioner,
    sensors: SensorBank,
    advisor: Option<Advisor>,
    link: Option<Link>,
    guards: Vec<MvGuard>,
    in_service: Vec<bool>,
    mv_facts: Vec<(MvFacts, bool)>,
    /// Predictions live from run to run; the record's box changes from scan to scan.
    predictions: Vec<Prediction>,
    /// Guard reports of the scan before.
    reports: Vec<GuardReport>,
    deadlines: DeadlineWatch,
    rules: ModeRules,
    mode: ModeState,
    writers: Vec<usize>,
    critical_bad_scans: Vec<u32>,
    outside_scans: Vec<u32>,
    before: Before,
}

impl Controller {
    /// Builds the scan of a configuration. All memory is allocated here.
    ///
    /// `read_only`: never writes anything, whatever the mode asked for.
    #[must_use]
    pub fn new(config: &Config, engines: Engines, read_only: bool) -> Self {
        let Engines { mut predictors, mut shadows, optimizer } = engines;
        let active = |id: ModelId| {
            predictors[id.index()].take().expect("an engine for every soft sensor is loaded before the scan is built")
        };
        let sensors = SensorBank::new(config, active, |id: ModelId| shadows.get_mut(id.index())?.take());
        let advisor = Advisor::new(config, optimizer);
        let never = if read_only {
            Blocker::ReadOnly
        } else if config.app.highest_mode == HighestMode::Advisory {
            Blocker::HighestMode
        } else if config.handshake.is_none() || config.mvs.is_empty() || advisor.is_none() {
            Blocker::NothingToWrite
        } else {
            Blocker::None
        };
        let cycle = config.timing.cycle;
        let mut writers: Vec<usize> = config.outputs.iter().map(|o| o.connection.index()).collect();
        writers.sort_unstable();
        writers.dedup();
        let start = match config.app.start_mode {
            StartMode::Off => Mode::Off,
            StartMode::Advisory => Mode::Advisory,
        };
        let facts = MvFacts {
            readback: None,
            in_control: false,
            operator: OperatorLimits::None,
            limited_high: false,
            limited_low: false,
        };
        Self {
            read_only,
            conditioner: Conditioner::new(config),
            sensors,
            advisor,
            link: Link::new(config),
            guards: config.mvs.iter().map(MvGuard::new).collect(),
            in_service: vec![true; config.mvs.len()],
            mv_facts: vec![(facts, true); config.mvs.len()],
            predictions: vec![Prediction::WAITING; config.predictions.len()],
            reports: vec![GuardReport::default(); config.mvs.len()],
            deadlines: DeadlineWatch::new(writers.clone(), config.timing.deadline),
            rules: ModeRules {
                never,
                arm_after_scans: scans_of(config.timing.arm_after, cycle) as u32,
                arm_good_scans: config.timing.arm_cycles,
                return_after_shed: config.handshake.as_ref().map_or(ReturnAfterShed::Operator, |h| h.return_after_shed),
            },
            mode: ModeState::start(start),
            writers,
            critical_bad_scans: vec![0; config.cvs.len()],
            outside_scans: vec![0; config.predictions.len()],
            before: Before {
                links: vec![LinkState::Starting; config.connections.len()],
                usable: vec![false; config.predictions.len()],
                at_total: vec![false; config.predictions.len()],
                out: vec![false; config.mvs.len()],
                advice: vec![Advice::default(); config.predictions.len()],
                domain: vec![false; config.models.len()],
                refused_cycle: vec![u64::MAX; config.connections.len()],
                ..Before::default()
            },
            config: config.clone(),
        }
    }

    /// Forbids CLOSED LOOP for good, for this reason. A reason that stands already is kept.
    pub fn forbid(&mut self, reason: Blocker) {
        if self.rules.never == Blocker::None {
            self.rules.never = reason;
        }
    }

    /// One scan: a function from (state, cycle, input image) to (state, output image, record).
    ///
    /// Total: never an error; a fault is part of the record. Bounded: work is proportional to the counts of tags, model inputs, MVs
    /// and the optimiser's iteration budget. Pure: no clock, no I/O, no global. Allocates nothing (engines count apart).
    pub fn step(
        &mut self,
        cycle: &ScanCycle,
        inputs: &InputImage,
        outputs: &mut OutputImage,
        record: &mut ScanRecord,
        probe: &mut dyn Probe,
    ) {
        self.begin(cycle, inputs, outputs, record);
        let orders = self.obey(cycle, inputs, record);
        self.conditioner.run(cycle.now, &inputs.samples, &mut record.tags);
        probe.mark(Phase::Condition);
        self.sensors.run(cycle, &inputs.samples, &record.tags, &mut self.predictions);
        record.predictions.copy_from_slice(&self.predictions);
        self.sensors.take_samples(&mut record.samples);
        self.sensors.report(&mut record.models);
        probe.mark(Phase::Predict);
        let facts = self.judge(cycle, inputs, record, orders);
        self.optimise(cycle, record, probe);
        probe.mark(Phase::Optimise);
        self.transition(&facts, record);
        self.guard(cycle, outputs, record);
        self.emit(cycle, outputs, record);
        self.report(inputs, record);
        probe.mark(Phase::Guard);
    }

    /// The executive tells whether the outputs of the last step were posted, or withheld because they were late.
    pub fn flushed(&mut self, cycle: &ScanCycle, posted: bool) {
        if posted {
            // Who only waits for the lease writes nothing that could be acknowledged.
            if self.speaks() {
                self.deadlines.posted(cycle);
            }
        } else if !self.read_only {
            self.deadlines.withheld();
            self.guards.iter_mut().for_each(MvGuard::withheld);
        }
    }

    /// This instance may write to the PLC: the only one, or the one that holds the lease.
    fn speaks(&self) -> bool {
        self.link.as_ref().is_none_or(Link::speaks)
    }

    /// Bytes that a keyframe of this scan needs at most. Asked once at start.
    #[must_use]
    pub fn keyframe_room(&mut self) -> usize {
        let mut archive = Archive::measure();
        self.keep(&mut archive);
        archive.room()
    }

    /// Saves the state between two scans into `out`, without allocating; false when there is not enough capacity, or a solve is under way: its
    /// intermediate results are not kept. Then `out` is empty.
    pub fn save(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.advisor.as_ref().is_some_and(|a| !a.settled()) {
            return false;
        }
        let mut archive = Archive::save(out);
        self.keep(&mut archive);
        let saved = archive.finish().is_ok();
        if !saved {
            out.clear();
        }
        saved
    }

    /// Goes on from a state that [`Controller::save`] gave. Configuration and models must be those of then.
    ///
    /// # Errors
    /// The bytes do not fit this configuration and its models; this controller must then not be used any more.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut archive = Archive::load(bytes);
        self.keep(&mut archive);
        archive.finish()
    }

    /// Everything that lives from scan to scan. What a scan makes anew before it uses it is left out.
    fn keep(&mut self, archive: &mut Archive<'_>) {
        self.conditioner.keep(archive);
        self.sensors.keep(archive);
        self.advisor.iter_mut().for_each(|advisor| advisor.keep(archive));
        self.link.iter_mut().for_each(|link| link.keep(archive));
        self.guards.iter_mut().for_each(|guard| guard.keep(archive));
        archive.keep_all(&mut self.in_service);
        archive.keep_all(&mut self.predictions);
        archive.keep_all(&mut self.reports);
        self.deadlines.keep(archive);
        archive.keep(&mut self.mode);
        archive.keep_all(&mut self.critical_bad_scans);
        archive.keep_all(&mut self.outside_scans);
        self.before.keep(archive);
    }

    /// Nothing is ever written.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    fn begin(&mut self, cycle: &ScanCycle, inputs: &InputImage, outputs: &mut OutputImage, record: &mut ScanRecord) {
        outputs.clear(cycle.scheduled.after(self.config.timing.deadline));
        record.cycle = *cycle;
        record.never = self.rules.never;
        record.events.clear();
        record.events_lost = 0;
        record.answers.clear();
        record.net_caught = false;
        record.keyframe.clear();
        record.flushed = false;
        record.copy_inputs(inputs);
        if cycle.missed > 0 {
            record.event(Event::Skipped(cycle.missed));
        }
        self.deadlines.judge(cycle, &inputs.writes);
    }

    fn optimise(&mut self, cycle: &ScanCycle, record: &mut ScanRecord, probe: &mut dyn Probe) {
        record.solved = false;
        let Some(advisor) = &mut self.advisor else { return };
        if self.mode.actual != Mode::Off {
            let (tags, predictions) = (&record.tags, &record.predictions);
            record.solved = advisor.run(cycle, tags, predictions, &self.mv_facts, &self.guards, probe);
        }
        record.net_caught = record.solved && advisor.optimum.status == SolveStatus::TimeLimit;
        record.optimum.clone_from(&advisor.optimum);
        record.prices.clear();
        let _ = record.prices.extend_from_slice(advisor.prices());
    }

    fn transition(&mut self, facts: &Facts, record: &mut ScanRecord) {
        let was = self.mode;
        self.mode = next(&self.rules, was, facts);
        record.mode = self.mode;
        if self.mode.actual != was.actual {
            record.event(Event::ModeChanged(was.actual, self.mode.actual));
            if let (Mode::ClosedLoop, Some(cause)) = (was.actual, self.mode.shed) {
                record.event(Event::Shed(cause));
            }
        }
    }

    fn guard(&mut self, cycle: &ScanCycle, outputs: &mut OutputImage, record: &mut ScanRecord) {
        let permitted = self.mode.actual == Mode::ClosedLoop && !self.read_only;
        let trusted = self.trusted(cycle, record);
        let speaks = self.speaks();
        let in_time = cycle.now < cycle.scheduled.after(self.config.timing.deadline);
        for (i, guard) in self.guards.iter_mut().enumerate() {
            let (facts, in_service) = &self.mv_facts[i];
            let answer = record.optimum.mvs.get(i).copied();
            let request = Request {
                now: cycle.scheduled,
                permitted: permitted && *in_service,
                in_time,
                trusted,
                hold: self.mode.hold,
                target: answer.map(|a| a.next),
            };
            let (setpoint, report) = guard.judge(facts, &request);
            let mv = &self.config.mvs[i];
            if let Some(setpoint) = setpoint {
                outputs.set_setpoint(mv.write, setpoint);
                outputs.set_signal(mv.sequence, u32::from(report.sequence));
            }
            if let Some(valid) = mv.valid.filter(|_| speaks) {
                // Holding the present setpoint is valid too: without trust the MV is frozen, not given up.
                outputs.set_signal(valid, u32::from(permitted && *in_service));
            }
            self.reports[i] = report;
            record.mvs[i] = MvRecord {
                readback: facts.readback,
                in_control: facts.in_control,
                in_service: *in_service,
                guard: report,
                held_by: held_by(report.verdict, answer.map(|a| a.held_by)),
            };
        }
    }

    fn emit(&mut self, cycle: &ScanCycle, outputs: &mut OutputImage, record: &mut ScanRecord) {
        record.status_bits = self.status_bits(record);
        if let Some(link) = &mut self.link {
            link.write(cycle, self.mode.announced(), record.status_bits, outputs);
            record.heartbeat = link.own();
        }
        record.deadlines = self.deadlines.counters;
        record.outputs.copy_from(outputs);
    }

    fn status_bits(&self, record: &ScanRecord) -> u32 {
        let bit = |bit: StatusBit, set: bool| u32::from(set) << bit as u32;
        let crossing = self
            .guards
            .iter()
            .zip(&self.mv_facts)
            .any(|(g, (f, _))| matches!(f.operator, OperatorLimits::Known(..)) && g.tight(f.operator).is_none());
        let process_bad = record.tags.iter().any(|t| t.value.is_none() && t.reason != Reason::Waiting);
        bit(StatusBit::InputBad, process_bad)
            | bit(StatusBit::ModelOutside, record.predictions.iter().any(|p| p.value.is_some() && !p.in_domain))
            | bit(StatusBit::DeadlineMissed, !self.deadlines.counters.last_met)
            | bit(StatusBit::NoSolution, self.advisor.as_ref().is_some_and(|a| a.failures > 0))
            | bit(StatusBit::VerifyFailed, record.mvs.iter().any(|m| m.guard.verify_failures > 0))
            | bit(StatusBit::BiasExpired, record.predictions.iter().any(|p| p.reason == PredictionReason::BiasExpired))
            | bit(StatusBit::Simulation, self.config.app.simulation)
            | bit(StatusBit::LimitsMismatch, crossing)
    }
}

/// The guard's word counts first; where it lets everything pass, the optimiser's reason explains the rest.
fn held_by(verdict: Verdict, optimiser: Option<HeldBy>) -> HeldBy {
    match verdict.held_by() {
        HeldBy::Nothing | HeldBy::Mode | HeldBy::Deadband => match optimiser {
            Some(h) if h != HeldBy::Nothing => h,
            _ => verdict.held_by(),
        },
        other => other,
    }
}
