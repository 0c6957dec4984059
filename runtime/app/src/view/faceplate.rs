//! Why: the operator's faceplate of a running application: what a record and its timing look like as a picture.

use std::time::Duration;

use flyball_config::{Config, ValueSource};
use flyball_core::mode::Mode;
use flyball_core::optimum::{Optimum, SolveStatus};
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;

use super::number;
use super::state::{CvRow, LinkRow, MvRow, ObjectiveRow, TimingRow, Trend, ViewState};
use crate::timing::{Measure, Timing};
use crate::words::{Words, solve};

/// Measures worth a line.
const MEASURES: [Measure; 6] =
    [Measure::Total, Measure::Predict, Measure::Optimise, Measure::Write, Measure::Jitter, Measure::DataAge];
/// Scans between two points of a trend.
const SCANS_PER_POINT: u64 = 10;

/// Fills pictures from records.
pub struct Faceplate {
    config: Config,
    words: Words,
    state: ViewState,
}

impl Faceplate {
    /// An empty faceplate of this configuration.
    #[must_use]
    pub fn new(config: &Config, time_scale: u32) -> Self {
        let mut trends = Vec::new();
        if let Some(o) = &config.optimiser {
            trends.push(Trend::new("objective", &*o.objective_unit));
        }
        trends.extend(config.cvs.iter().map(|cv| Trend::new(&*cv.name, cv.unit.0.symbol)));
        let state = ViewState {
            title: format!("{}: {}", config.app.name, config.app.description),
            time_scale,
            trends,
            deadline: config.timing.deadline / time_scale.max(1),
            ..ViewState::default()
        };
        Self { config: config.clone(), words: Words::new(config), state }
    }

    /// Takes a record.
    pub fn take(&mut self, r: &ScanRecord, timing: &Timing) {
        let s = &mut self.state;
        (s.mode, s.requested) = (r.mode.actual, r.mode.requested);
        s.sub_state = match r.mode {
            m if m.hold => "HOLD".into(),
            m if m.arming => "ARMING".into(),
            m if m.shed.is_some() && m.actual < Mode::ClosedLoop => "SHED".into(),
            _ => String::new(),
        };
        s.reason = self.words.mode_reason(&r.mode);
        s.cycle = r.cycle.number;
        s.elapsed = Duration::from_nanos(r.cycle.now.0);
        s.overruns = timing.overruns();
        s.timing = MEASURES.iter().map(|m| TimingRow { name: m.name().into(), summary: timing.summary(*m) }).collect();
        s.links = (self.config.connections.iter().zip(&r.inputs.links))
            .map(|(connection, state)| LinkRow { name: connection.name.clone(), state: *state })
            .collect();
        let solved = r.optimum.status != SolveStatus::Waiting;
        s.objective = self.config.optimiser.as_ref().map(|o| ObjectiveRow {
            name: "objective".into(),
            now: solved.then_some(r.optimum.objective_now),
            optimum: solved.then_some(r.optimum.objective_optimum),
            unit: o.objective_unit.clone(),
            solve: solve(r.optimum.status).into(),
        });
        s.against = against(&self.config, &r.optimum);
        s.mvs = (self.config.mvs.iter().enumerate())
            .map(|(i, mv)| {
                let answer = r.optimum.mvs.get(i);
                MvRow {
                    name: mv.name.clone(),
                    actual: r.mvs[i].readback,
                    recommended: answer.map(|a| a.next),
                    optimum: answer.map(|a| a.optimum),
                    unit: mv.unit.0.symbol.into(),
                    held_by: self.words.held_by(r.mvs[i].held_by),
                    in_control: r.mvs[i].in_control,
                }
            })
            .collect();
        s.cvs = (self.config.cvs.iter().enumerate())
            .map(|(i, cv)| {
                let (range, status) = match cv.source {
                    ValueSource::Tag(tag) => (self.config.tag(tag).range, r.tags[tag.index()].status),
                    ValueSource::Prediction(p) => {
                        let at = self.config.predictions[p.index()];
                        let output = &self.config.models[at.model.index()].outputs[at.output as usize];
                        (output.range, r.predictions[p.index()].status)
                    }
                };
                let answer = r.optimum.cvs.get(i);
                CvRow {
                    name: cv.name.clone(),
                    value: r.cvs[i].value,
                    low: cv.low,
                    high: cv.high,
                    predicted: answer.map(|a| a.predicted),
                    range: (range.low, range.high),
                    unit: cv.unit.0.symbol.into(),
                    status: if r.cvs[i].value.is_none() && !status.is_bad() { Status::Bad } else { status },
                    given_up: answer.is_some_and(|a| a.given_up),
                }
            })
            .collect();
        if r.cycle.number.is_multiple_of(SCANS_PER_POINT) {
            self.trend(r, solved);
        }
    }

    fn trend(&mut self, r: &ScanRecord, solved: bool) {
        let objective = self.config.optimiser.is_some().then_some(solved.then_some(r.optimum.objective_now));
        let values = objective.into_iter().chain(r.cvs.iter().map(|cv| cv.value));
        for (trend, value) in self.state.trends.iter_mut().zip(values) {
            if let Some(value) = value {
                trend.push(value);
            }
        }
    }

    /// The picture, for adding what records do not say, and for drawing.
    pub fn picture(&mut self) -> &mut ViewState {
        &mut self.state
    }
}

/// The limits that hold the optimum, most valuable first, with what it would bring to move each outwards by one unit.
fn against(config: &Config, optimum: &Optimum) -> String {
    let Some(optimiser) = &config.optimiser else { return String::new() };
    let side = |at: f64, low: f64, high: f64| if (at - low).abs() < (high - at).abs() { "low" } else { "high" };
    let mvs = config.mvs.iter().zip(&optimum.mvs).map(|(mv, answer)| {
        (answer.worth, &mv.name, side(answer.optimum, mv.limits.low, mv.limits.high), mv.unit.0.symbol)
    });
    let cvs = config.cvs.iter().zip(&optimum.cvs).map(|(cv, answer)| {
        let (low, high) = (cv.low.unwrap_or(f64::NEG_INFINITY), cv.high.unwrap_or(f64::INFINITY));
        (answer.worth, &cv.name, side(answer.predicted, low, high), cv.unit.0.symbol)
    });
    let mut limits: Vec<_> = mvs.chain(cvs).filter(|(worth, ..)| *worth > 0.0).collect();
    limits.sort_by(|a, b| b.0.total_cmp(&a.0));
    let per = &optimiser.objective_unit;
    let text = |(worth, name, side, unit): &(f64, &String, &str, &str)| {
        format!("{name} {side} limit (worth {} {per} per {unit})", number(*worth))
    };
    limits.iter().map(text).collect::<Vec<_>>().join(", ")
}
