//! What was seen, as a report.

use flyball_config::Config;
use flyball_core::mode::Mode;
use flyball_core::ports::Clock;
use flyball_report::{Report, TimingRow, Trend};

use super::scenario::Scenario;
use super::seen::Seen;
use super::stage::Outcome;
use crate::certify::certificate::hash;
use crate::certify::identity::MadeFor;
use crate::cli::Plant;
use crate::clock::SystemClock;
use crate::realtime;
use crate::timing::{Measure, Nanos};
use crate::utc;

/// Seed, versions, hashes, machine: what a reader needs to play it again.
pub fn facts(config: &Config, scenario: &Scenario, plant: Plant) -> Vec<(String, String)> {
    let made_for = MadeFor::of(config);
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("flyball", made_for.flyball),
        fact("application", config.app.name.clone()),
        fact("change_ref", config.app.change_ref.clone()),
        fact("configuration SHA-256", made_for.configuration),
    ];
    facts.extend(config.models.iter().map(|m| fact(&format!("model {} SHA-256", m.name), m.sha256.clone())));
    facts.push(fact("plant", plant.text().into()));
    facts.push(fact("seed", scenario.seed.to_string()));
    facts.push(fact("scenario SHA-256", hash(&format!("{scenario:?}"))));
    facts.push(fact("machine", realtime::machine().to_string()));
    facts
}

/// The report.
pub fn report(scenario: &Scenario, facts: Vec<(String, String)>, outcome: Outcome, begun: &SystemClock) -> Report {
    let Outcome { rows, marks, seen, timing, config, scheduling } = outcome;
    let mut facts = facts;
    facts.push(("scan thread".into(), scheduling));
    let events = seen.iter().flat_map(|s| s.events.iter().map(|text| (s.at, text.clone()))).collect();
    let measured = timing.iter().flat_map(|t| Measure::ALL.map(|m| (m, t.summary(m))));
    let row = |(m, s): (Measure, crate::timing::Summary)| TimingRow {
        stage: m.name().into(),
        count: s.count,
        times: [s.p50, s.p99, s.p999, s.max].map(|ns| Nanos(ns).to_string()),
    };
    let counted = timing.iter().map(|t| {
        let o = t.overruns();
        format!(
            "deadline missed {} times (longest row {}), {} periods without a scan",
            o.total, o.in_row_max, o.skipped
        )
    });
    Report {
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        text: scenario.text.clone(),
        started: utc::text(begun.utc().unix_nanos_at_zero / 1_000_000_000),
        seconds: begun.now().as_secs_f64(),
        facts,
        rows,
        timing: measured.filter(|(_, s)| s.count > 0).map(row).collect(),
        counted: counted.collect(),
        times: seen.iter().map(|s| s.at).collect(),
        trends: trends(&config, &seen),
        marks,
        events,
    }
}

fn trends(config: &Config, seen: &[Seen]) -> Vec<Trend> {
    let mode = |s: &Seen| match s.mode {
        Mode::Off => 0.0,
        Mode::Advisory => 1.0,
        Mode::ClosedLoop => 2.0,
    };
    let mut trends = vec![Trend {
        name: "mode".into(),
        unit: "0 OFF, 1 ADVISORY, 2 CLOSED LOOP".into(),
        low: None,
        high: None,
        values: seen.iter().map(|s| Some(mode(s))).collect(),
    }];
    trends.extend(config.mvs.iter().enumerate().map(|(i, mv)| Trend {
        name: format!("{}: {}", mv.name, mv.text),
        unit: mv.unit.0.symbol.into(),
        low: Some(mv.limits.low),
        high: Some(mv.limits.high),
        values: seen.iter().map(|s| s.mvs[i].0).collect(),
    }));
    trends.extend(config.cvs.iter().enumerate().map(|(i, cv)| Trend {
        name: format!("{}: {}", cv.name, cv.text),
        unit: cv.unit.0.symbol.into(),
        low: cv.low,
        high: cv.high,
        values: seen.iter().map(|s| s.cvs[i]).collect(),
    }));
    trends.extend(config.optimiser.as_ref().map(|o| Trend {
        name: "objective".into(),
        unit: o.objective_unit.clone(),
        low: None,
        high: None,
        values: seen.iter().map(|s| s.objective).collect(),
    }));
    trends
}
