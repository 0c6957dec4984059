//! The keeper: drains the records, writes the log, keeps timing statistics, feeds the service, and passes commands in.
//!
//! Everything that may wait, allocate or fail about a scan happens here, in a normal thread. The scan never waits for it: when the keeper
//! is away too long the oldest records are overwritten, which it notices by their numbers.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, never, select};
use crossbeam::queue::ArrayQueue;
use flyball_config::{Config, ModelId, MvId, PredictionId, TagRole};
use flyball_core::command::{Action, Command};
use flyball_core::exchange::Taker;
use flyball_core::image::LinkState;
use flyball_core::mode::Mode;
use flyball_core::outside::{Call, NodeValue, Reply};
use flyball_core::ports::{PHASES, Phase};
use flyball_core::record::{Event, ScanRecord};
use flyball_core::status::Status;
use flyball_core::time::{Timestamp, UtcOffset, nanos};
use flyball_recorder::{Line, Recorder};

use crate::publication::{METHODS, Method, Publisher, Surroundings};
use crate::service::supervisor::Supervisor;
use crate::timing::{Measure, Timing};
use crate::words::Words;

/// Shown each record with the timing so far.
pub type Observer = Box<dyn FnMut(&ScanRecord, &Timing) + Send>;

/// Longest wait for a wake-up; a scan that stands still is noticed after this.
const PATIENCE: Duration = Duration::from_millis(500);

/// Everything the keeper's thread owns.
pub(crate) struct Keeper {
    pub(crate) config: Config,
    pub(crate) publisher: Publisher,
    pub(crate) supervisor: Option<Arc<Supervisor>>,
    pub(crate) commands: Arc<ArrayQueue<Command>>,
    pub(crate) observer: Option<Observer>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) scale: u32,
    pub(crate) scheduling: String,
    pub(crate) read_only: bool,
    pub(crate) utc: UtcOffset,
}

/// State of the keeper's loop.
struct State {
    words: Words,
    timing: Timing,
    last_number: Option<u64>,
    level: Option<u8>,
}

impl Keeper {
    /// Runs until the scan's side of the wake channel is gone, then says the last state.
    pub(crate) fn run(mut self, mut records: Taker<ScanRecord>, wake: &Receiver<()>) {
        let calls: Receiver<Call> = self.supervisor.as_ref().map_or_else(never, |s| s.calls());
        let mut state =
            State { words: Words::new(&self.config), timing: Timing::new(), last_number: None, level: None };
        loop {
            let ended = select! {
                recv(wake) -> woken => woken.is_err(),
                recv(calls) -> call => {
                    if let Ok(call) = call {
                        self.take_call(&call);
                    }
                    false
                }
                default(PATIENCE) => false,
            };
            while let Some(record) = records.pop() {
                self.keep(&mut state, record);
            }
            if ended {
                break;
            }
        }
        if let Some(supervisor) = &self.supervisor {
            supervisor.service_level(0);
        }
        tracing::info!("ended: the heartbeat has stopped; the PLC keeps its setpoints ({})", state.timing_line());
    }

    fn keep(&mut self, state: &mut State, record: &ScanRecord) {
        if let Some(last) = state.last_number {
            let lost = record.cycle.number.saturating_sub(last + 1).saturating_sub(u64::from(record.cycle.missed));
            if lost > 0 {
                tracing::warn!("{lost} scan records overwritten before they were kept: this thread was away too long");
            }
        }
        state.last_number = Some(record.cycle.number);
        self.measure(&mut state.timing, record);
        let mut lines = Vec::new();
        for event in &record.events {
            let line = Line { warning: is_warning(event), text: state.words.event(event) };
            log(&line);
            lines.push(line);
        }
        for answer in &record.answers {
            let (done, text) = state.words.outcome(answer.outcome);
            let line = Line { warning: false, text: format!("command {}: {text}", answer.id) };
            log(&line);
            lines.push(line);
            if let Some(supervisor) = &self.supervisor {
                let status = if done { Status::Good } else { Status::BadInvalidState };
                supervisor.reply(Reply { id: answer.id, status: status.0, text });
            }
            if record.inputs.commands.iter().any(|c| c.id == answer.id && c.action == Action::ResetTiming) && done {
                state.timing.reset();
            }
        }
        if let Some(supervisor) = &self.supervisor {
            let around =
                Surroundings { timing: &state.timing, scheduling: &self.scheduling, read_only: self.read_only };
            supervisor.publish(&self.publisher.changes(record, &around));
            let level = service_level(record);
            if state.level != Some(level) {
                state.level = Some(level);
                supervisor.service_level(level);
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.keep(record, lines);
        }
        if let Some(observer) = &mut self.observer {
            observer(record, &state.timing);
        }
    }

    /// Durations of a scan, real nanoseconds.
    fn measure(&self, timing: &mut Timing, r: &ScanRecord) {
        let real = |d: Duration| nanos(d) / u64::from(self.scale.max(1));
        let mut durations = [None; PHASES];
        let mut before = r.cycle.now;
        for phase in [Phase::Freeze, Phase::Condition, Phase::Predict, Phase::Optimise, Phase::Guard, Phase::Flush] {
            let end = r.phase_ends[phase as usize];
            durations[phase as usize] = Some(real(end.since(before)));
            before = end;
        }
        timing.phases(&durations);
        let (late, end) = (real(r.cycle.now.since(r.cycle.scheduled)), real(before.since(r.cycle.scheduled)));
        timing.record(Measure::Jitter, late);
        timing.record(Measure::Scan, end);
        tracing::trace!("scan {}: started late by {late} ns, ended after {end} ns", r.cycle.number);
        if let Some(latency) = r.deadlines.latency {
            timing.record(Measure::Total, real(latency));
        } else if r.outputs.cells().is_empty() {
            timing.record(Measure::Total, real(before.since(r.cycle.scheduled)));
        }
        let posted = r.inputs.writes.iter().flatten().filter(|w| !w.discarded && w.cycle + 1 == r.cycle.number);
        if let Some(done) = posted.map(|w| w.done).max() {
            let flushed = r.cycle.scheduled.before(r.cycle.period);
            timing.record(Measure::Write, real(done.since(flushed)).saturating_sub(timing.summary(Measure::Scan).last));
        }
        let oldest = self.config.tags.iter().zip(&r.inputs.samples).filter_map(|(tag, s)| {
            let up = r.inputs.links[tag.connection.index()] == LinkState::Up;
            (tag.role == TagRole::Process && up && s.alive != Timestamp::ZERO).then_some(s.alive)
        });
        if let Some(oldest) = oldest.min() {
            timing.record(Measure::DataAge, real(r.cycle.now.since(oldest)));
        }
        timing.cycle(!r.deadlines.last_met, r.cycle.missed);
    }

    /// A call from outside becomes a command for the scan, or is refused at once.
    fn take_call(&self, call: &Call) {
        let refuse = |status: Status, text: &str| {
            if let Some(supervisor) = &self.supervisor {
                supervisor.reply(Reply { id: call.id, status: status.0, text: text.into() });
            }
        };
        match self.action(call) {
            Ok(action) => {
                tracing::info!("{} ({:?}) asks: {action:?}", call.user, call.role);
                let command = Command { id: call.id, role: call.role, action };
                if self.commands.push(command).is_err() {
                    refuse(Status::BadInvalidState, "Refused: too many commands are waiting; try again.");
                }
            }
            Err(text) => refuse(Status::BadInvalidArgument, &text),
        }
    }

    fn action(&self, call: &Call) -> Result<Action, String> {
        let method = METHODS.get(call.method as usize).ok_or("Refused: there is no such method.")?;
        let argument = |i: usize| call.arguments.get(i);
        let text = |i: usize| match argument(i) {
            Some(NodeValue::Text(s)) => Ok(s.as_str()),
            _ => Err(format!("Refused: argument {} must be a text.", i + 1)),
        };
        let number = |i: usize| match argument(i) {
            Some(NodeValue::Number(x)) if x.is_finite() => Ok(*x),
            _ => Err(format!("Refused: argument {} must be a finite number.", i + 1)),
        };
        let flag = |i: usize| match argument(i) {
            Some(NodeValue::Flag(b)) => Ok(*b),
            _ => Err(format!("Refused: argument {} must be true or false.", i + 1)),
        };
        let named = |what: &str, name: &str, names: Vec<String>| {
            names
                .iter()
                .position(|n| n.eq_ignore_ascii_case(name))
                .map(|i| i as u32)
                .ok_or_else(|| format!("Refused: there is no {what} \"{name}\". Known: {}.", names.join(", ")))
        };
        let c = &self.config;
        Ok(match method {
            Method::SetMode => match argument(0) {
                Some(NodeValue::Whole(0)) => Action::SetMode(Mode::Off),
                Some(NodeValue::Whole(1)) => Action::SetMode(Mode::Advisory),
                Some(NodeValue::Whole(2)) => Action::SetMode(Mode::ClosedLoop),
                _ => return Err("Refused: mode must be 0 (OFF), 1 (ADVISORY) or 2 (CLOSED LOOP).".into()),
            },
            Method::Hold => Action::Hold(flag(0)?),
            Method::Acknowledge => Action::Acknowledge,
            Method::ResetCounters => Action::ResetTiming,
            Method::SetPrice => {
                let prices = c.optimiser.iter().flat_map(|o| o.prices.iter().map(|p| p.name.clone())).collect();
                Action::SetPrice(named("price", text(0)?, prices)?, number(1)?)
            }
            Method::SetMvService => {
                let mvs = c.mvs.iter().map(|m| m.name.clone()).collect();
                Action::MvService(MvId(named("MV", text(0)?, mvs)?), flag(1)?)
            }
            Method::EnterLabSample => {
                let outputs = c.predictions.iter().map(|p| {
                    let model = &c.models[p.model.index()];
                    format!("{}.{}", model.name, model.outputs[p.output as usize].name)
                });
                let id = PredictionId(named("output", text(0)?, outputs.collect())?);
                let Some(NodeValue::Time(taken)) = argument(2) else {
                    return Err("Refused: argument 3 must be the time the sample was taken.".into());
                };
                Action::LabSample(id, number(1)?, self.utc.timestamp(*taken))
            }
            Method::ResetBias => {
                let models = c.models.iter().map(|m| m.name.clone()).collect();
                Action::ResetBias(ModelId(named("model", text(0)?, models)?))
            }
            Method::Promote | Method::RollBack => {
                let models = c.models.iter().map(|m| m.name.clone()).collect();
                Action::SwapModel(ModelId(named("model", text(0)?, models)?), *method == Method::Promote)
            }
        })
    }
}

impl State {
    fn timing_line(&self) -> String {
        let total = self.timing.summary(Measure::Total);
        let o = self.timing.overruns();
        let ms = |ns: u64| ns as f64 * 1e-6;
        format!(
            "total p50 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms; {} deadlines missed, {} scans skipped",
            ms(total.p50),
            ms(total.p999),
            ms(total.max),
            o.total,
            o.skipped
        )
    }
}

fn log(line: &Line) {
    if line.warning {
        tracing::warn!("{}", line.text);
    } else {
        tracing::info!("{}", line.text);
    }
}

/// Something that somebody should look at.
const fn is_warning(event: &Event) -> bool {
    matches!(
        event,
        Event::Shed(_)
            | Event::BiasAtTotal(_, true)
            | Event::Advice(_, _, true, _)
            | Event::DomainAdvice(_, true)
            | Event::ModelSwapped(..)
            | Event::MvOut(_)
            | Event::WriteRefused(..)
            | Event::PlcHeartbeat(false)
            | Event::Skipped(_)
    )
}

/// OPC UA ServiceLevel (Part 4, 6.6.2.4): 255 healthy, 150 degraded inputs, 1 no data.
fn service_level(r: &ScanRecord) -> u8 {
    if r.inputs.links.iter().all(|l| *l != LinkState::Up) {
        1
    } else if r.tags.iter().any(|t| t.value.is_none()) || r.predictions.iter().any(|p| p.value.is_none()) {
        150
    } else {
        255
    }
}
