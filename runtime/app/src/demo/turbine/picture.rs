//! Why: what the operator's view shows of the turbine: each target as measured late and as predicted now.
//!
//! Filled from records in the keeper's thread, a few times per second; the main thread adds what it alone knows and draws.

use std::time::Duration;

use flyball_config::Config;
use flyball_core::condition::Conditioned;
use flyball_core::image::LinkState;
use flyball_core::record::ScanRecord;

use super::board::{Rows, TARGETS};
use crate::timing::{Measure, Timing};
use crate::view::{CvRow, LinkRow, TimingRow, Trend, ViewState};

/// Plant time of a row.
const ROW_OF_PLANT: Duration = Duration::from_secs(3600);
/// Scans between two pictures.
const SCANS_PER_PICTURE: u64 = 20;
/// Measures worth a line.
const MEASURES: [Measure; 5] = [Measure::Scan, Measure::Predict, Measure::Jitter, Measure::DataAge, Measure::Condition];

/// The picture of a run.
pub struct Picture {
    state: ViewState,
    config: Config,
}

impl Picture {
    /// An empty picture. `scale` is how many seconds of the configuration pass in a real one, `row` the real time of a row.
    #[must_use]
    pub fn new(config: &Config, scale: u32, row: Duration) -> Self {
        let state = ViewState {
            title: format!("{}: {}", config.app.name, config.app.description),
            reason: "it writes nothing. now: the analysers, 24 rows late".into(),
            trends: TARGETS.iter().rev().map(|(name, unit)| Trend::new(format!("{name} predicted"), *unit)).collect(),
            time_scale: u32::try_from(ROW_OF_PLANT.as_nanos() / row.as_nanos().max(1)).unwrap_or(u32::MAX),
            deadline: config.timing.deadline / scale.max(1),
            ..ViewState::default()
        };
        Self { state, config: config.clone() }
    }

    /// Takes a record; most of them change nothing.
    pub fn take(&mut self, record: &ScanRecord, timing: &Timing, rows: Rows) {
        if !record.cycle.number.is_multiple_of(SCANS_PER_PICTURE) {
            return;
        }
        let state = &mut self.state;
        (state.mode, state.requested) = (record.mode.actual, record.mode.requested);
        state.cycle = record.cycle.number;
        state.elapsed = ROW_OF_PLANT * u32::try_from(rows.newest.map_or(0, |r| r + 1)).unwrap_or(u32::MAX);
        state.overruns = timing.overruns();
        state.timing =
            MEASURES.iter().map(|m| TimingRow { name: m.name().into(), summary: timing.summary(*m) }).collect();
        state.links = self
            .config
            .connections
            .iter()
            .zip(&record.inputs.links)
            .map(|(connection, link)| LinkRow { name: connection.name.clone(), state: *link })
            .collect();
        let late = ["TEY_LATE", "CO", "NOX"];
        state.cvs.clear();
        for (i, (prediction, p)) in
            self.config.predictions.iter().zip(&record.predictions).enumerate().take(TARGETS.len())
        {
            let output = &self.config.models[prediction.model.index()].outputs[prediction.output as usize];
            let measured = self.config.tag_named(late[i]).and_then(|tag| record.tags.get(tag.index()));
            state.cvs.push(CvRow {
                name: output.name.clone(),
                value: measured.and_then(Conditioned::get),
                low: None,
                high: None,
                predicted: p.get(),
                range: (output.range.low, output.range.high),
                unit: TARGETS[i].1.into(),
                status: p.status,
                given_up: false,
            });
            if let Some(value) = p.get() {
                state.trends[TARGETS.len() - 1 - i].push(value);
            }
        }
    }

    /// Adds what the records do not say: share done with the scores so far, messages, whether clients can connect.
    pub fn surround(&mut self, done: f64, scores: String, messages: Vec<String>, served: bool) {
        self.state.progress = Some((done, scores));
        self.state.messages = messages;
        self.state.links.retain(|link| link.name != "OPC UA server");
        let state = if served { LinkState::Up } else { LinkState::Down };
        self.state.links.push(LinkRow { name: "OPC UA server".into(), state });
    }

    /// What to draw.
    #[must_use]
    pub fn state(&self) -> &ViewState {
        &self.state
    }
}
