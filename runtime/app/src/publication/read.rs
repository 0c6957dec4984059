//! Reads one node's value, status and time out of a record.

use flyball_config::{Config, CvId, InputSource, ModelId, MvId, PredictionId};
use flyball_core::image::LinkState;
use flyball_core::outside::NodeValue;
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::{Timestamp, UtcOffset};

use super::Surroundings;
use super::tree::{Facts, ModelFacts, Source, Statistic};
use crate::words::{Words, link, plc_reason, reason, solve};

/// Everything a node's value can come from.
pub(super) struct View<'a> {
    pub(super) config: &'a Config,
    pub(super) words: &'a Words,
    pub(super) facts: &'a Facts,
    pub(super) utc: UtcOffset,
    pub(super) record: &'a ScanRecord,
    pub(super) around: &'a Surroundings<'a>,
}

/// Value (None is null), status and source time of a node.
pub(super) type Reading = (Option<NodeValue>, Status, Timestamp);

pub(super) fn number(x: f64) -> Option<NodeValue> {
    x.is_finite().then_some(NodeValue::Number(x))
}

pub(super) fn text(s: impl Into<String>) -> Option<NodeValue> {
    Some(NodeValue::Text(s.into()))
}

pub(super) fn whole(n: impl Into<u64>) -> Option<NodeValue> {
    Some(NodeValue::Whole(n.into()))
}

impl View<'_> {
    /// Reads a node. A number that does not exist is null with BadNoData-like status, never zero.
    pub(super) fn read(&self, source: Source) -> Reading {
        let now = self.record.cycle.now;
        let good = |value: Option<NodeValue>| {
            let status = if value.is_some() { Status::Good } else { Status::BadWaitingForInitialData };
            (value, status, now)
        };
        match source {
            Source::Tag(_)
            | Source::TagRaw(_)
            | Source::TagReason(_)
            | Source::TagSubstituted(_)
            | Source::TagAge(_)
            | Source::Link(_) => self.input(source),
            Source::Model(m, item) => self.model(m, item),
            Source::Prediction(id, item) => self.prediction(id, item),
            Source::SetpointActual(mv)
            | Source::Optimum(mv)
            | Source::NextMove(mv)
            | Source::Written(mv)
            | Source::LimitLow(mv)
            | Source::LimitHigh(mv)
            | Source::InService(mv)
            | Source::InControl(mv)
            | Source::HeldBy(mv)
            | Source::MvWorth(mv)
            | Source::VerifyFailures(mv) => good(self.mv(source, mv)),
            Source::CvValue(cv)
            | Source::CvPredicted(cv)
            | Source::CvLow(cv)
            | Source::CvHigh(cv)
            | Source::CvViolation(cv)
            | Source::CvWorth(cv)
            | Source::CvBackOff(cv)
            | Source::CvGivenUp(cv) => good(self.cv(source, cv)),
            other => good(self.plain(other)),
        }
    }

    fn plain(&self, source: Source) -> Option<NodeValue> {
        let (r, words) = (self.record, self.words);
        let solved = r.optimum.status != flyball_core::optimum::SolveStatus::Waiting;
        match source {
            Source::Fixed(s) => text(s),
            Source::Version => text(&self.facts.version),
            Source::InstanceUri => text(&self.facts.instance_uri),
            Source::ChangeRef => text(&self.config.app.change_ref),
            Source::Signature => whole(self.config.signature),
            Source::Mode => whole(r.mode.actual as u32),
            Source::ModeRequested => whole(r.mode.requested as u32),
            Source::ModeReason => text(words.mode_reason(&r.mode)),
            Source::Blocker => text(words.blocker(r.mode.blocker)),
            Source::ShedReason => text(r.mode.shed.map_or(String::new(), |s| words.shed(s))),
            Source::Hold => Some(NodeValue::Flag(r.mode.hold)),
            Source::Health => whole(self.health().0),
            Source::HealthText => text(self.health().1),
            Source::Heartbeat => whole(r.heartbeat),
            Source::CycleNumber => whole(r.cycle.number),
            Source::InputsTimestamp => Some(NodeValue::Time(self.utc.utc(r.cycle.now))),
            Source::SimulationActive => Some(NodeValue::Flag(self.config.app.simulation)),
            Source::Scheduling => text(self.around.scheduling),
            Source::ReadOnly => Some(NodeValue::Flag(self.around.read_only)),
            Source::Configured(x) => number(x),
            Source::Stage(measure, statistic) => {
                let s = self.around.timing.summary(measure);
                let ns = match statistic {
                    Statistic::Last => s.last,
                    Statistic::P50 => s.p50,
                    Statistic::P99 => s.p99,
                    Statistic::P999 => s.p999,
                    Statistic::Max => s.max,
                };
                if s.count == 0 { None } else { number(ns as f64 * 1e-6) }
            }
            Source::Overruns => whole(r.deadlines.missed),
            Source::OverrunsInRow => whole(r.deadlines.in_a_row),
            Source::Skipped => whole(r.deadlines.skipped),
            Source::Load => {
                let scan = self.around.timing.summary(crate::timing::Measure::Scan);
                number(scan.last as f64 * 1e-7 / self.config.timing.cycle.as_secs_f64())
            }
            Source::Watch(m, watched) => {
                super::watch::read(watched, &self.config.models[m.index()], self.facts, m, &r.models[m.index()])
            }
            Source::SolveStatus => whole(r.optimum.status as u32),
            Source::SolveText => text(solve(r.optimum.status)),
            Source::ObjectiveNow => number(r.optimum.objective_now).filter(|_| solved),
            Source::ObjectiveOptimum => number(r.optimum.objective_optimum).filter(|_| solved),
            Source::Gain => number((r.optimum.objective_optimum - r.optimum.objective_now).abs()).filter(|_| solved),
            Source::Iterations => whole(r.optimum.iterations),
            Source::ActiveConstraints => Some(NodeValue::Texts(active_constraints(self.config, r))),
            Source::Sensitivities => Some(NodeValue::Texts(sensitivities(self.config, r))),
            Source::Price(i) => number(r.prices.get(i as usize).copied().unwrap_or(f64::NAN)),
            Source::PlcHeartbeatOk => Some(NodeValue::Flag(r.plc.alive)),
            Source::PlcHeartbeat => whole(r.plc.heartbeat),
            Source::PlcClosed => Some(NodeValue::Flag(r.plc.closed)),
            Source::PlcWants => r.plc.wants.map(|w| NodeValue::Whole(u64::from(w))),
            Source::PlcShedReason => text(plc_reason(r.plc.shed_reason)),
            Source::StatusBits => whole(r.status_bits),
            _ => None,
        }
    }

    /// The file that predicts now: the original one, or a promoted candidate.
    pub(super) fn active_file(&self, model: ModelId) -> Option<&ModelFacts> {
        let shadow = self.record.models[model.index()].shadow.as_ref();
        self.facts.file(model, shadow.is_some_and(|s| s.promoted))
    }

    fn input(&self, source: Source) -> Reading {
        let r = self.record;
        match source {
            Source::Tag(id) => {
                let t = &r.tags[id.index()];
                (t.get().and_then(number), t.status, t.source_time)
            }
            Source::TagRaw(id) => {
                let s = r.inputs.sample(id);
                (s.value.and_then(|v| number(v.get())), s.status, s.source_time)
            }
            Source::TagReason(id) => (text(reason(&r.tags[id.index()])), Status::Good, r.cycle.now),
            Source::TagSubstituted(id) => {
                (Some(NodeValue::Flag(r.tags[id.index()].substituted)), Status::Good, r.cycle.now)
            }
            Source::TagAge(id) => {
                let alive = r.tags[id.index()].alive;
                if alive == Timestamp::ZERO {
                    return (None, Status::BadWaitingForInitialData, r.cycle.now);
                }
                // Tenths of a second: finer steps would be a notification per tag and scan for nothing.
                let tenths = (r.cycle.now.since(alive).as_secs_f64() * 10.0).round() / 10.0;
                (number(tenths), Status::Good, r.cycle.now)
            }
            Source::Link(i) => {
                let state = r.inputs.links[i as usize];
                let status = if state == LinkState::Up { Status::Good } else { Status::UncertainSubNormal };
                (text(link(state)), status, r.cycle.now)
            }
            _ => (None, Status::BadInternalError, r.cycle.now),
        }
    }

    fn mv(&self, source: Source, id: MvId) -> Option<NodeValue> {
        let (m, answer) = (&self.record.mvs[id.index()], self.record.optimum.mvs.get(id.index()));
        match source {
            Source::SetpointActual(_) => m.readback.and_then(number),
            Source::Optimum(_) => answer.and_then(|a| number(a.optimum)),
            Source::NextMove(_) => answer.and_then(|a| number(a.next)),
            Source::Written(_) => m.guard.written.and_then(number),
            Source::LimitLow(_) => number(m.guard.low),
            Source::LimitHigh(_) => number(m.guard.high),
            Source::InService(_) => Some(NodeValue::Flag(m.in_service)),
            Source::InControl(_) => Some(NodeValue::Flag(m.in_control)),
            Source::HeldBy(_) => text(self.words.held_by(m.held_by)),
            Source::VerifyFailures(_) => whole(m.guard.verify_failures),
            Source::MvWorth(_) => answer.and_then(|a| number(a.worth)),
            _ => None,
        }
    }

    fn cv(&self, source: Source, id: CvId) -> Option<NodeValue> {
        let cv = &self.config.cvs[id.index()];
        let answer = self.record.optimum.cvs.get(id.index());
        match source {
            Source::CvValue(_) => self.record.cvs[id.index()].value.and_then(number),
            Source::CvPredicted(_) => answer.and_then(|a| number(a.predicted)),
            Source::CvLow(_) => cv.low.and_then(number),
            Source::CvHigh(_) => cv.high.and_then(number),
            Source::CvWorth(_) => answer.and_then(|a| number(a.worth)),
            Source::CvBackOff(_) => number(flyball_core::advisor::back_off(cv, &self.record.predictions)),
            Source::CvViolation(_) => answer.and_then(|a| number(a.violation)),
            Source::CvGivenUp(_) => Some(NodeValue::Flag(answer.is_some_and(|a| a.given_up))),
            _ => None,
        }
    }

    /// DeviceHealth with its reason, the worst first.
    fn health(&self) -> (u32, String) {
        let r = self.record;
        if let Some(i) = r.inputs.links.iter().position(|l| *l == LinkState::Refused) {
            return (1, format!("connection {} refused", self.config.connections[i].name));
        }
        if let Some(i) = r.inputs.links.iter().position(|l| *l != LinkState::Up) {
            return (1, format!("connection {} is not up", self.config.connections[i].name));
        }
        if self.config.app.simulation {
            return (2, "simulated data may be used".into());
        }
        if let Some(i) = r.predictions.iter().position(|p| p.value.is_none() || !p.in_domain) {
            return (3, format!("{} is not trustworthy", self.words.prediction(PredictionId(i as u32))));
        }
        if let Some(i) = r.predictions.iter().position(|p| p.late.needs_maintenance) {
            let name = self.words.prediction(PredictionId(i as u32));
            return (4, format!("{name} needs maintenance: its bias is at its total"));
        }
        if let Some(i) = r.mvs.iter().position(|m| m.guard.out) {
            return (4, format!("MV {} is out: writes were not followed", self.config.mvs[i].name));
        }
        (0, "normal".into())
    }
}

/// What the optimum depends on most, in words.
fn sensitivities(config: &Config, r: &ScanRecord) -> Vec<String> {
    let Some(settings) = &config.optimiser else { return Vec::new() };
    let map = &config.models[settings.map.index()];
    let words = |s: &flyball_core::optimum::Sensitivity| {
        let input = map.inputs.get(s.input as usize)?;
        let unit = match input.source {
            InputSource::Tag(tag) => config.tag(tag).unit,
            // A map reads no age.
            InputSource::Age(_) => return None,
            InputSource::Mv(mv) => config.mvs[mv.index()].unit,
            InputSource::Prediction(id) => {
                let at = config.predictions[id.index()];
                config.models[at.model.index()].outputs[at.output as usize].unit
            }
        };
        Some(format!("{}: {:+.4} {} per {unit}", input.name, s.slope, settings.objective_unit))
    };
    r.optimum.sensitivities.iter().filter_map(words).collect()
}

/// What limits the optimum, in words: MVs at a limit and CVs at theirs, with what the limit is worth.
fn active_constraints(config: &Config, r: &ScanRecord) -> Vec<String> {
    let money = config.optimiser.as_ref().map_or("", |o| o.objective_unit.as_str());
    let worth = |worth: f64, unit: flyball_config::units::Unit| match worth {
        worth if worth > 0.0 => format!(" (worth {worth:.3} {money} per {unit})"),
        _ => String::new(),
    };
    let mvs = config.mvs.iter().zip(&r.optimum.mvs).zip(&r.mvs).filter_map(|((mv, a), m)| {
        let near = mv.limits.span() * 1e-3;
        if a.optimum >= m.guard.high - near {
            Some(format!("{} at its high limit {} {}{}", mv.name, m.guard.high, mv.unit, worth(a.worth, mv.unit)))
        } else if a.optimum <= m.guard.low + near {
            Some(format!("{} at its low limit {} {}{}", mv.name, m.guard.low, mv.unit, worth(a.worth, mv.unit)))
        } else {
            None
        }
    });
    let cvs = config.cvs.iter().zip(&r.optimum.cvs).filter(|(_, a)| a.active || a.given_up).map(|(cv, a)| {
        if a.given_up {
            format!("{} given up", cv.name)
        } else {
            format!("{} at its limit{}", cv.name, worth(a.worth, cv.unit))
        }
    });
    mvs.chain(cvs).collect()
}
