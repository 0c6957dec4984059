//! Words: what codes of the scan mean to an operator. One place, so that the terminal, the OPC UA nodes, the log and the method answers
//! say the same thing. APC English: setpoint, limit, in service, shed, permit.

use flyball_config::{Config, Model, PredictionId, duration_words as duration};
use flyball_core::command::Outcome;
use flyball_core::condition::{Conditioned, Reason};
use flyball_core::domain::Statistic;
use flyball_core::image::LinkState;
use flyball_core::mode::{Blocker, CertificateFault, Mode, ModeState, ShedCause};
use flyball_core::optimum::{HeldBy, SolveStatus};
use flyball_core::record::Event;
use flyball_core::sample::{REFUSALS, SampleVerdict};
use flyball_core::sensor::{Prediction, PredictionReason};
use flyball_core::watch::Trigger;

pub mod watch;

/// Texts of one configuration.
#[derive(Debug, Clone)]
pub struct Words {
    config: Config,
}

/// Name of a mode.
#[must_use]
pub const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "OFF",
        Mode::Advisory => "ADVISORY",
        Mode::ClosedLoop => "CLOSED LOOP",
    }
}

/// Name of a solve status.
#[must_use]
pub const fn solve(status: SolveStatus) -> &'static str {
    match status {
        SolveStatus::Waiting => "waiting for inputs",
        SolveStatus::Optimal => "optimal",
        SolveStatus::Improved => "improved",
        SolveStatus::TimeLimit => "time limit",
        SolveStatus::NoGain => "no gain, staying",
        SolveStatus::InfeasibleRelaxed => "infeasible, lowest ranks given up",
        SolveStatus::Failed => "failed, setpoints held",
    }
}

/// All solve states in the order of their numbers, for EnumStrings.
pub const SOLVE_STATES: [SolveStatus; 7] = [
    SolveStatus::Waiting,
    SolveStatus::Optimal,
    SolveStatus::Improved,
    SolveStatus::TimeLimit,
    SolveStatus::NoGain,
    SolveStatus::InfeasibleRelaxed,
    SolveStatus::Failed,
];

/// State of a link.
#[must_use]
pub const fn link(state: LinkState) -> &'static str {
    match state {
        LinkState::Starting => "starting",
        LinkState::Up => "up",
        LinkState::Down => "down, reconnecting",
        LinkState::Refused => "refused",
    }
}

/// Why a tag is not simply Good; empty when it is.
#[must_use]
pub fn reason(tag: &Conditioned) -> String {
    let why = match tag.reason {
        Reason::None => return String::new(),
        Reason::Waiting => "no value yet".into(),
        Reason::Source => format!("source says {}", tag.status),
        Reason::Stale => "no sign of life from the source".into(),
        Reason::NotForControl => "source marks it as not for control".into(),
        Reason::Simulated => "simulated, and simulation is not allowed here".into(),
        Reason::SourceUncertain => format!("source says {}", tag.status),
        Reason::Implausible => "outside the plausible range".into(),
        Reason::OutsideEuRange => "outside the EU range".into(),
        Reason::TooFast => "changed faster than max_rate".into(),
        Reason::FrozenSignal => "frozen".into(),
    };
    if tag.substituted { format!("{why}; substituted") } else { why }
}

/// What became of a late sample.
#[must_use]
pub const fn sample(verdict: SampleVerdict) -> &'static str {
    match verdict {
        SampleVerdict::Accepted => "accepted",
        SampleVerdict::Held => "held: far from the prediction, waits for a second sample that says the same",
        SampleVerdict::FromFuture => "refused: sample time is in the future",
        SampleVerdict::TooFresh => "refused: younger than a result can be",
        SampleVerdict::TooOld => "refused: sample is too old",
        SampleVerdict::NotUsable => "refused: value is Bad",
        SampleVerdict::Implausible => "refused: outside the plausible range",
        SampleVerdict::NoPrediction => "refused: no prediction at the sample time",
        SampleVerdict::ModelNotGood => "refused: prediction at the sample time was not Good",
        SampleVerdict::NotSteady => "refused: process was not steady at the sample time",
    }
}

/// How often samples were refused, and why; the most frequent first, never more than there are reasons.
#[must_use]
pub fn refusals(counts: &[u32; REFUSALS]) -> Vec<String> {
    let mut list: Vec<_> = SampleVerdict::ALL_REFUSALS.iter().zip(counts).filter(|(_, n)| **n > 0).collect();
    list.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    list.iter().map(|(verdict, n)| format!("{n} times {}", sample(**verdict))).collect()
}

/// A statistic of the domain.
const fn statistic(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::T2 => "T2",
        Statistic::Spe => "SPE",
    }
}

impl Words {
    /// Words that name this configuration's things.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone() }
    }

    /// What stands in the way of CLOSED LOOP.
    #[must_use]
    pub fn blocker(&self, blocker: Blocker) -> String {
        let c = &self.config;
        match blocker {
            Blocker::None => "nothing stands in the way".into(),
            Blocker::HighestMode => "the configuration says highest_mode = \"advisory\"".into(),
            Blocker::ReadOnly => "started with --read-only".into(),
            Blocker::Certificate(fault) => self.certificate(fault),
            Blocker::NothingToWrite => "the configuration has no optimiser, MV or handshake".into(),
            Blocker::LinkDown(id) => format!("connection {} is not up", c.connections[id.index()].name),
            Blocker::PlcHeartbeat => "the PLC's heartbeat does not change".into(),
            Blocker::NoLease => "the PLC's lease is not ours (does another instance hold it?)".into(),
            Blocker::PlcNotAsking => "the PLC does not ask for it (operator switch, permit or latch)".into(),
            Blocker::ModelStarting(id) => format!("windows of {} are not full yet", self.prediction(id)),
            Blocker::CriticalCv(id) => format!("critical CV {} has no usable value", c.cvs[id.index()].name),
            Blocker::ModelOutside(id) => format!("{} is outside the range it was trained on", self.prediction(id)),
            Blocker::Readback(id) => format!("read-back of MV {} is not usable", c.mvs[id.index()].name),
            Blocker::OptimiserNotReady => "the optimiser has no usable answer".into(),
            Blocker::DeadlineNotProven => "deadlines have not been met for long enough in a row".into(),
            Blocker::TooSoon => "not long enough in ADVISORY yet".into(),
            Blocker::WaitingForPlc => "waiting for the PLC to close its gate".into(),
            Blocker::NotRequested => "nobody has asked for CLOSED LOOP".into(),
        }
    }

    /// What is wrong with the latency certificate, and what to do; the log of the start says more.
    fn certificate(&self, fault: CertificateFault) -> String {
        let rule = self.config.timing.certificate.as_ref();
        let file = rule.and_then(|r| r.file.file_name()).map_or_else(String::new, |f| f.to_string_lossy().into_owned());
        let why = match fault {
            CertificateFault::Missing => "does not exist",
            CertificateFault::Unreadable => "cannot be read",
            CertificateFault::Tampered => "was changed after it was made",
            CertificateFault::Failed => "says that the deadline is not kept",
            CertificateFault::Inconclusive => "says that too little is known",
            CertificateFault::OtherConfiguration => "was made for another configuration",
            CertificateFault::OtherModels => "was made with other models",
            CertificateFault::OtherVersion => "was made by another version of flyball",
            CertificateFault::OtherProcessor => "was made on another processor",
            CertificateFault::OtherKernel => "was made under another kernel",
            CertificateFault::OtherScheduling => "was made with another scheduling",
            CertificateFault::Expired => "is too old",
        };
        format!("the latency certificate {file} {why}; make one with flyball certify")
    }

    /// Why CLOSED LOOP was left.
    #[must_use]
    pub fn shed(&self, cause: ShedCause) -> String {
        let c = &self.config;
        match cause {
            ShedCause::Operator => "operator".into(),
            ShedCause::PlcOpened(code) => format!("the PLC opened its gate ({})", plc_reason(code)),
            ShedCause::PlcAsksLess => "the PLC no longer asks for CLOSED LOOP".into(),
            ShedCause::PlcHeartbeatLost => "the PLC's heartbeat stopped".into(),
            ShedCause::PlcRestarted => "the PLC restarted (its heartbeat jumped)".into(),
            ShedCause::LeaseLost => "the PLC's lease is no longer ours".into(),
            ShedCause::LinkLost(id) => format!("connection {} went down", c.connections[id.index()].name),
            ShedCause::CriticalCv(id) => format!("critical CV {} has no usable value", c.cvs[id.index()].name),
            ShedCause::CriticalMv(id) => format!("critical MV {} is lost", c.mvs[id.index()].name),
            ShedCause::ModelOutside(id) => format!("{} was outside its training range too long", self.prediction(id)),
            ShedCause::DeadlineMissed => format!("{} deadlines missed in a row", c.timing.shed_after),
            ShedCause::OptimiserFailed => "the optimiser failed too often in a row".into(),
            ShedCause::ForeignWriter(id) => format!("somebody else moved the setpoint of {}", c.mvs[id.index()].name),
            ShedCause::ModelSwapped(id) => format!("model {} was swapped by an Engineer", c.models[id.index()].name),
        }
    }

    /// The mode's reason in one sentence.
    #[must_use]
    pub fn mode_reason(&self, state: &ModeState) -> String {
        match (state.actual, state.shed) {
            (Mode::ClosedLoop, _) if state.hold => "setpoints held by the operator".into(),
            (Mode::ClosedLoop, _) => "recommendations are being used".into(),
            (Mode::Off, _) => "switched off".into(),
            (Mode::Advisory, _) if state.arming => "ready; waiting for the PLC to close its gate".into(),
            (Mode::Advisory, Some(cause)) => format!("shed: {}", self.shed(cause)),
            (Mode::Advisory, None) => self.blocker(state.blocker),
        }
    }

    /// What holds an MV.
    #[must_use]
    pub fn held_by(&self, held: HeldBy) -> String {
        match held {
            HeldBy::Nothing => "at its optimum".into(),
            HeldBy::Rate => "move limit".into(),
            HeldBy::EngineeringHigh => "engineering high limit".into(),
            HeldBy::EngineeringLow => "engineering low limit".into(),
            HeldBy::OperatorHigh => "operator high limit".into(),
            HeldBy::OperatorLow => "operator low limit".into(),
            HeldBy::Cv(cv) => {
                let name = self.config.cvs.get(cv.index()).map_or("?", |c| c.name.as_str());
                format!("limit of CV {name}")
            }
            HeldBy::Domain => "range the model was trained on".into(),
            HeldBy::Reach => "as far as the optimiser looks from the present setpoint".into(),
            HeldBy::NotInControl => "slave loop not in remote, or MV out of service".into(),
            HeldBy::PlcLimit => "PLC clamps this direction".into(),
            HeldBy::Quality => "inputs not trusted".into(),
            HeldBy::Mode => "mode permits no move".into(),
            HeldBy::Hold => "operator hold".into(),
            HeldBy::Travel => "hourly travel used up".into(),
            HeldBy::Deadband => "within the deadband".into(),
            HeldBy::NoGain => "gain too small to move".into(),
            HeldBy::VerifyFailed => "write not followed three times; put it back in service".into(),
            HeldBy::Verifying => "last write not confirmed yet".into(),
            HeldBy::Entry => "bumpless entry".into(),
            HeldBy::Late => "scan started too late".into(),
            HeldBy::LimitsCross => "operator limits cross or cannot be read".into(),
        }
    }

    /// Why a prediction is not simply Good; empty when it is.
    #[must_use]
    pub fn prediction_reason(&self, model: &Model, p: &Prediction) -> String {
        let input = |i: u16| model.inputs.get(usize::from(i)).map_or("?", |input| input.name.as_str());
        match p.reason {
            PredictionReason::None => String::new(),
            PredictionReason::Waiting => "windows of its inputs are not full yet".into(),
            PredictionReason::InputBad(i) => format!("input {} is Bad", input(i)),
            PredictionReason::InputUncertain(i) => format!("input {} is held or uncertain", input(i)),
            PredictionReason::OutsideTraining(i) => format!("input {} is outside its training range", input(i)),
            PredictionReason::OutsideDomain(s, i) => {
                format!("inputs are outside the domain by {}, most of it from input {}", statistic(s), input(i))
            }
            PredictionReason::FarOutsideDomain(s, i) => {
                format!("inputs are far outside the domain by {}, most of it from input {}", statistic(s), input(i))
            }
            PredictionReason::OutputRejected => "output is outside reject_outside".into(),
            PredictionReason::OutputLimited => "output limited to its range".into(),
            PredictionReason::ModelFault => "the model gave no number".into(),
            PredictionReason::BiasExpired => "no late sample accepted for too long".into(),
            PredictionReason::BiasAtTotal => "bias is at its total: the model needs maintenance".into(),
            PredictionReason::IntervalTooWide => "prediction interval is too wide".into(),
        }
    }

    /// Answer to a command: done or not, and a sentence.
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> (bool, String) {
        match outcome {
            Outcome::Done => (true, "Done.".into()),
            Outcome::Waiting(b) => (true, format!("Accepted; still to come: {}.", self.blocker(b))),
            Outcome::Refused(b) => (false, format!("Refused: {}.", self.blocker(b))),
            Outcome::RoleTooLow(role) => (false, format!("Refused: this needs the role {role:?}.")),
            Outcome::Unknown => (false, "Refused: there is no such thing.".into()),
            Outcome::OutOfRange => (false, "Refused: the number is not finite or outside its range.".into()),
            Outcome::TakesNoSamples => (false, "Refused: the configuration has no bias for this output.".into()),
            Outcome::SampleSeenBefore => (false, "Refused: a sample taken at this time was entered before.".into()),
            Outcome::Sample(id, verdict) => self.typed_sample(id, verdict),
            Outcome::NotSwapped(why) => (false, watch::not_swapped(why)),
        }
    }

    /// Answer to a typed laboratory value, with the limit that it broke and what to do.
    fn typed_sample(&self, id: PredictionId, verdict: SampleVerdict) -> (bool, String) {
        let at = self.config.predictions[id.index()];
        let output = &self.config.models[at.model.index()].outputs[at.output as usize];
        let Some(rule) = output.bias else { return (false, "Refused.".into()) };
        let tag = |id: flyball_config::TagId| &self.config.tags[id.index()];
        let more = match verdict {
            SampleVerdict::Accepted => return (true, "Accepted.".into()),
            SampleVerdict::Held => {
                return (true, "Held: it is far from the prediction. Enter a second sample to confirm it.".into());
            }
            SampleVerdict::FromFuture => "check the time, it is UTC".into(),
            SampleVerdict::TooFresh => format!("at least {} after it was taken is allowed", duration(rule.youngest)),
            SampleVerdict::TooOld => format!("at most {} after it was taken is allowed", duration(rule.oldest)),
            SampleVerdict::NotUsable => "enter a number".into(),
            SampleVerdict::Implausible => match tag(rule.with).plausible {
                Some(ok) => format!("{} to {} {} is allowed", ok.low, ok.high, output.unit),
                None => "check the value and its unit".into(),
            },
            SampleVerdict::NoPrediction | SampleVerdict::ModelNotGood => "it cannot judge the model".into(),
            SampleVerdict::NotSteady => {
                let one = |s: &flyball_config::Steady| {
                    let t = tag(s.tag);
                    format!("{} within {} {} for {}", t.name, s.within, t.unit, duration(s.during))
                };
                let rules: Vec<String> = rule.only_when.iter().flatten().map(one).collect();
                format!("{} before the sample is needed", rules.join(" and "))
            }
        };
        let why = sample(verdict).trim_start_matches("refused: ");
        (false, format!("Refused: {why}; {more}."))
    }

    /// An event, for the log.
    #[must_use]
    pub fn event(&self, event: &Event) -> String {
        let c = &self.config;
        match *event {
            Event::ModeChanged(from, to) => format!("mode {} -> {}", mode(from), mode(to)),
            Event::Shed(cause) => format!("left CLOSED LOOP: {}", self.shed(cause)),
            Event::PlcHeartbeat(true) => "PLC heartbeat is alive".into(),
            Event::PlcHeartbeat(false) => "PLC heartbeat lost".into(),
            Event::LinkChanged(i, state) => format!("connection {}: {}", c.connections[i as usize].name, link(state)),
            Event::MvOut(i) => {
                format!("MV {} taken out: the PLC did not follow three writes", c.mvs[i as usize].name)
            }
            Event::WriteRefused(i, status) => {
                format!("write on connection {} failed: {status}", c.connections[i as usize].name)
            }
            Event::PredictionUsable(i, true) => {
                format!("{} is usable", self.prediction(PredictionId(i)))
            }
            Event::PredictionUsable(i, false) => {
                format!("{} is not usable", self.prediction(PredictionId(i)))
            }
            Event::BiasAtTotal(i, true) => {
                format!("{} needs maintenance: its bias is at its total", self.prediction(PredictionId(i)))
            }
            Event::BiasAtTotal(i, false) => format!("bias of {} left its total", self.prediction(PredictionId(i))),
            Event::Solve(status) => format!("optimiser: {}", solve(status)),
            Event::Skipped(n) => format!("{n} scans skipped"),
            Event::ModelSwapped(i, true) => format!("model {}: the shadow was promoted", c.models[i as usize].name),
            Event::ModelSwapped(i, false) => format!("model {}: rolled back", c.models[i as usize].name),
            Event::Advice(i, about, stands, sample) => {
                let (name, text) = (self.prediction(flyball_config::PredictionId(i)), watch::trigger(about));
                let word = if stands { "advice" } else { "advice ended" };
                format!("{name}: {word} at sample {sample}: {text}")
            }
            Event::DomainAdvice(i, stands) => {
                let word = if stands { "advice" } else { "advice ended" };
                format!("model {}: {word}: {}", c.models[i as usize].name, watch::trigger(Trigger::Domain))
            }
        }
    }

    /// Name of a prediction: `model.output`.
    #[must_use]
    pub fn prediction(&self, id: PredictionId) -> String {
        let at = self.config.predictions[id.index()];
        let model = &self.config.models[at.model.index()];
        format!("model {}.{}", model.name, model.outputs[at.output as usize].name)
    }
}

/// Reason codes of the PLC's gate block (`iShedReason`).
#[must_use]
pub const fn plc_reason(code: u16) -> &'static str {
    match code {
        0 => "no reason given",
        1 => "our heartbeat was not seen",
        2 => "we announced a lower mode",
        3 => "permit lost",
        4 => "signature not approved",
        5 => "operator switch off",
        _ => "unknown reason code",
    }
}
