//! Why: from what the mode machine noted back to what happened first: from a CV to its model, to the model's input, to the tag, to its connection.

use flyball_config::{Config, ConnectionId, CvId, InputSource, MvId, PredictionId, TagId, ValueSource, duration_words};
use flyball_core::condition::Reason;
use flyball_core::image::LinkState;
use flyball_core::mode::ShedCause;
use flyball_core::optimum::HeldBy;
use flyball_core::record::ScanRecord;
use flyball_core::sensor::PredictionReason;

use super::since::{Missed, Since};
use crate::replay::clock;
use crate::view::number;
use crate::words::{Words, link, reason};

/// The way back, and where it ends.
#[derive(Debug, Default)]
pub(super) struct Cause {
    /// One sentence per step.
    pub(super) steps: Vec<String>,
    /// The last step that is known.
    pub(super) first: Option<String>,
}

impl Cause {
    /// A step that may have another behind it.
    fn step(&mut self, text: String) {
        self.first = Some(text.clone());
        self.steps.push(text);
    }
}

/// Everything that is asked on the way back.
struct Trace<'a> {
    config: &'a Config,
    words: &'a Words,
    since: &'a Since,
    record: &'a ScanRecord,
}

/// The way back from a shed.
pub(super) fn of_shed(config: &Config, words: &Words, since: &Since, record: &ScanRecord, cause: ShedCause) -> Cause {
    let trace = Trace { config, words, since, record };
    let mut way = Cause::default();
    match cause {
        ShedCause::Operator => way.step("somebody asked for it: see the lines before.".into()),
        ShedCause::PlcOpened(_) => trace.gate(&mut way),
        ShedCause::PlcAsksLess => {
            way.step("the operator switch, the permit or a latch in the PLC asks for less.".into())
        }
        ShedCause::PlcHeartbeatLost => trace.heartbeat(&mut way),
        ShedCause::PlcRestarted => {
            way.step(format!(
                "the PLC's heartbeat jumped at {} UTC: its program was started anew.",
                clock(since.heartbeat())
            ));
        }
        ShedCause::LinkLost(id) => trace.connection(id, &mut way),
        ShedCause::CriticalCv(id) => trace.cv(id, &mut way),
        ShedCause::CriticalMv(id) => trace.mv(id, &mut way),
        ShedCause::ModelOutside(id) => trace.prediction(id, &mut way),
        ShedCause::DeadlineMissed => trace.deadline(&mut way),
        ShedCause::OptimiserFailed => trace.optimiser(&mut way),
        ShedCause::ForeignWriter(id) => trace.foreign(id, &mut way),
        ShedCause::ModelSwapped(_) => {
            way.step("a model was swapped with its shadow; that always leaves the loop.".into())
        }
        other => way.step(words.shed(other)),
    }
    way
}

/// The way back from an MV that is held because its inputs are not trusted; nothing when none is.
pub(super) fn of_hold(config: &Config, words: &Words, since: &Since, record: &ScanRecord) -> Cause {
    let trace = Trace { config, words, since, record };
    let mut way = Cause::default();
    if !record.mvs.iter().any(|mv| mv.held_by == HeldBy::Quality) {
        return way;
    }
    for (i, cv) in config.cvs.iter().enumerate() {
        if cv.critical && record.cvs[i].value.is_none() {
            trace.cv(CvId(i as u32), &mut way);
            return way;
        }
    }
    let outside = record.predictions.iter().position(|p| p.value.is_some() && !p.in_range);
    match outside {
        Some(i) => trace.prediction(PredictionId(i as u32), &mut way),
        None if !record.plc.alive => trace.heartbeat(&mut way),
        None => trace.optimiser(&mut way),
    }
    way
}

impl Trace<'_> {
    fn cv(&self, id: CvId, way: &mut Cause) {
        let cv = &self.config.cvs[id.index()];
        match cv.source {
            ValueSource::Tag(tag) => {
                way.step(format!("CV {} is read from {}.", cv.name, self.config.tag(tag).name));
                self.tag(tag, way);
            }
            ValueSource::Prediction(p) => {
                way.step(format!("CV {} comes from {}.", cv.name, self.words.prediction(p)));
                self.prediction(p, way);
            }
        }
    }

    fn prediction(&self, id: PredictionId, way: &mut Cause) {
        let at = self.config.predictions[id.index()];
        let model = &self.config.models[at.model.index()];
        let p = &self.record.predictions[id.index()];
        let why = self.words.prediction_reason(model, p);
        way.step(format!("{}: {why}, since {} UTC.", self.words.prediction(id), clock(self.since.prediction(id))));
        let (PredictionReason::InputBad(i)
        | PredictionReason::InputUncertain(i)
        | PredictionReason::OutsideTraining(i)
        | PredictionReason::OutsideDomain(_, i)
        | PredictionReason::FarOutsideDomain(_, i)) = p.reason
        else {
            return;
        };
        match model.inputs.get(usize::from(i)).map(|input| input.source) {
            Some(InputSource::Tag(tag) | InputSource::Age(tag)) => self.tag(tag, way),
            // Models only read predictions of models before them, so this ends.
            Some(InputSource::Prediction(p)) if p < id => self.prediction(p, way),
            _ => {}
        }
    }

    fn tag(&self, id: TagId, way: &mut Cause) {
        let (tag, now) = (self.config.tag(id), &self.record.tags[id.index()]);
        let why = reason(now);
        if why.is_empty() {
            let value = now.get().map_or("without value".to_owned(), number);
            way.step(format!("{} itself is Good: {value} {}.", tag.name, tag.unit.0.symbol));
            return;
        }
        way.step(format!("{}: {why}, since {} UTC.", tag.name, clock(self.since.tag(id))));
        let from_the_source = matches!(now.reason, Reason::Stale | Reason::Source | Reason::Waiting);
        if from_the_source && self.record.inputs.links[tag.connection.index()] != LinkState::Up {
            self.connection(tag.connection, way);
        }
    }

    fn connection(&self, id: ConnectionId, way: &mut Cause) {
        let (name, state) = (&self.config.connections[id.index()].name, self.record.inputs.links[id.index()]);
        let last = self.record.inputs.writes[id.index()].filter(|w| w.status.is_bad());
        let last = last.map_or_else(String::new, |w| format!("; its last write ended with {}", w.status));
        way.step(format!("connection {name}: {}, since {} UTC{last}.", link(state), clock(self.since.link(id))));
    }

    fn heartbeat(&self, way: &mut Cause) {
        let Some(handshake) = &self.config.handshake else { return };
        let (at, tag) = (clock(self.since.heartbeat()), handshake.heartbeat_in);
        let patience = duration_words(handshake.lost_after);
        way.step(format!("the PLC's heartbeat changed last at {at} UTC; {patience} without change is too long."));
        if self.record.tags[tag.index()].value.is_some() && reason(&self.record.tags[tag.index()]).is_empty() {
            way.step(
                "the PLC's values are still read and Good, but its program does not run: the PLC is in STOP, or the block is not called.".into(),
            );
        } else {
            self.tag(tag, way);
        }
    }

    fn gate(&self, way: &mut Cause) {
        if self.record.plc.shed_reason != 1 {
            way.step("the PLC decided this itself, for the reason above.".into());
            return;
        }
        way.step("the PLC did not see our heartbeat change in time.".into());
        if let Some((at, missed)) = self.since.missed {
            way.step(missed_text(at, missed));
        }
        let down = self.record.inputs.links.iter().position(|l| *l != LinkState::Up);
        if let Some(i) = down {
            self.connection(ConnectionId(i as u32), way);
        }
    }

    fn mv(&self, id: MvId, way: &mut Cause) {
        let (mv, now) = (&self.config.mvs[id.index()], &self.record.mvs[id.index()]);
        if now.guard.out {
            way.step(format!("MV {} was taken out: the PLC did not follow three writes.", mv.name));
        } else if !now.in_service {
            way.step(format!("MV {} was taken out of service by an operator.", mv.name));
        } else if !now.in_control {
            let at = clock(self.since.in_control(id.index()));
            way.step(format!("MV {}: its slave loop is not in remote since {at} UTC.", mv.name));
        } else if now.readback.is_none() {
            way.step(format!("MV {}: its read-back {} has no value.", mv.name, self.config.tag(mv.readback).name));
            self.tag(mv.readback, way);
        }
    }

    fn deadline(&self, way: &mut Cause) {
        if let Some((at, missed)) = self.since.missed {
            way.step(missed_text(at, missed));
        }
    }

    fn optimiser(&self, way: &mut Cause) {
        let Some(optimiser) = &self.config.optimiser else { return };
        let map = &self.config.models[optimiser.map.index()];
        for input in &map.inputs {
            match input.source {
                InputSource::Tag(tag) if self.record.tags[tag.index()].value.is_none() => {
                    way.step(format!("the optimiser's map reads {}.", self.config.tag(tag).name));
                    return self.tag(tag, way);
                }
                InputSource::Prediction(p) if self.record.predictions[p.index()].value.is_none() => {
                    way.step(format!("the optimiser's map reads {}.", self.words.prediction(p)));
                    return self.prediction(p, way);
                }
                _ => {}
            }
        }
        for (i, mv) in self.config.mvs.iter().enumerate() {
            if self.record.mvs[i].readback.is_none() {
                way.step(format!("the read-back of MV {} has no value.", mv.name));
                return self.tag(mv.readback, way);
            }
        }
        way.step("the optimiser found no usable answer, although its inputs are there.".into());
    }

    fn foreign(&self, id: MvId, way: &mut Cause) {
        let (mv, now) = (&self.config.mvs[id.index()], &self.record.mvs[id.index()]);
        let of = |x: Option<f64>| x.map_or("nothing".to_owned(), number);
        way.step(format!(
            "MV {}: {} {unit} was written and confirmed, and now it stands at {} {unit}: somebody else writes it.",
            mv.name,
            of(now.guard.written),
            of(now.readback),
            unit = mv.unit.0.symbol
        ));
    }
}

fn missed_text(at: i64, missed: Missed) -> String {
    let at = clock(at);
    match missed {
        Missed::Skipped(n) => format!(
            "this process did not run for {n} scan periods before {at} UTC: the machine was busy, or it was stopped."
        ),
        Missed::Withheld(ms) => {
            format!("the scan before {at} UTC was ready only after {ms:.0} ms, so nothing was sent.")
        }
        Missed::Unanswered => {
            format!("the write of the scan before {at} UTC was not answered in time: network or PLC.")
        }
    }
}
