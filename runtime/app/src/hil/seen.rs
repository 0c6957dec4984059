//! What a scenario looks at: one scan, reduced to what expectations can name.

use flyball_config::Config;
use flyball_core::mode::Mode;
use flyball_core::record::ScanRecord;

use super::scenario::Expect;
use crate::words::{self, Words};

/// One scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Process seconds since the start.
    pub at: f64,
    /// Actual mode.
    pub mode: Mode,
    /// Why it is not closed, or the cause of the last shed.
    pub reason: String,
    /// Cause of the last shed, until acknowledged or closed again.
    pub shed: Option<String>,
    /// Setpoint in use and what holds it, by MV.
    pub mvs: Vec<(Option<f64>, String)>,
    /// By CV.
    pub cvs: Vec<Option<f64>>,
    /// By tag.
    pub tags: Vec<Option<f64>>,
    /// Objective now, once the optimiser has answered.
    pub objective: Option<f64>,
    /// Answers to commands: number and sentence.
    pub answers: Vec<(u32, String)>,
    /// What happened in this scan, in sentences.
    pub events: Vec<String>,
    /// All links are up and no model waits for its windows.
    pub ready: bool,
}

impl Seen {
    /// Of a record.
    #[must_use]
    pub fn of(words: &Words, r: &ScanRecord) -> Self {
        use flyball_core::image::LinkState;
        use flyball_core::status::Status;
        let waiting = r.predictions.iter().any(|p| p.status == Status::BadWaitingForInitialData);
        Self {
            at: r.cycle.now.as_secs_f64(),
            mode: r.mode.actual,
            reason: words.mode_reason(&r.mode),
            shed: r.mode.shed.map(|cause| words.shed(cause)),
            mvs: r.mvs.iter().map(|m| (m.readback, words.held_by(m.held_by))).collect(),
            cvs: r.cvs.iter().map(|c| c.value).collect(),
            tags: r.tags.iter().map(|t| t.get()).collect(),
            objective: (r.optimum.status != flyball_core::optimum::SolveStatus::Waiting)
                .then_some(r.optimum.objective_now),
            answers: r.answers.iter().map(|a| (a.id, words.outcome(a.outcome).1)).collect(),
            events: r.events.iter().map(|e| words.event(e)).collect(),
            ready: r.inputs.links.iter().all(|l| *l == LinkState::Up) && !waiting,
        }
    }

    /// Whether an expectation holds, and what was seen. `answer`: the answer to the step's command, if it has come.
    #[must_use]
    pub fn holds(&self, config: &Config, e: &Expect, answer: Option<&str>) -> (bool, String) {
        let contains = |found: Option<&str>, part: &str, none: &str| match found {
            Some(text) => (text.to_lowercase().contains(&part.to_lowercase()), text.to_owned()),
            None => (false, none.to_owned()),
        };
        let position = |found: Option<usize>| found.expect("names are checked when the scenario is read");
        if let Some(mode) = e.mode {
            let text = format!("{} ({})", words::mode(self.mode), self.reason);
            return (self.mode == mode.into(), text);
        }
        if let Some(part) = &e.shed {
            return contains(self.shed.as_deref(), part, "no shed");
        }
        if let Some(part) = &e.answer {
            return contains(answer, part, "no answer");
        }
        if let Some(mv) = &e.mv {
            let i = position(config.mvs.iter().position(|m| m.name == *mv));
            let (value, held) = &self.mvs[i];
            let (within, text) = between(*value, e, config.mvs[i].unit.0.symbol);
            let held_fits = e.held_by.as_ref().is_none_or(|part| held.to_lowercase().contains(&part.to_lowercase()));
            return (within && held_fits, format!("{text}, held by: {held}"));
        }
        if let Some(cv) = &e.cv {
            let i = position(config.cvs.iter().position(|c| c.name == *cv));
            return between(self.cvs[i], e, config.cvs[i].unit.0.symbol);
        }
        let tag = e.tag.as_deref().and_then(|t| config.tag_named(t));
        let i = position(tag.map(flyball_config::TagId::index));
        between(self.tags[i], e, config.tags[i].unit.0.symbol)
    }
}

fn between(value: Option<f64>, e: &Expect, unit: &str) -> (bool, String) {
    match value {
        Some(v) => {
            (e.low.is_none_or(|low| v >= low) && e.high.is_none_or(|high| v <= high), format!("{} {unit}", short(v)))
        }
        None => (e.low.is_none() && e.high.is_none(), "no usable value".into()),
    }
}

/// Five significant digits at most.
#[must_use]
pub fn short(v: f64) -> String {
    let digits = (4.0 - v.abs().max(1e-9).log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{v:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(mode) = self.mode {
            return write!(f, "mode {}", words::mode(mode.into()));
        }
        for (what, part) in [("shed", &self.shed), ("answer", &self.answer)] {
            if let Some(part) = part {
                return write!(f, "{what}: {part}");
            }
        }
        for (what, name) in [("MV", &self.mv), ("CV", &self.cv), ("tag", &self.tag)] {
            if let Some(name) = name {
                write!(f, "{what} {name}")?;
            }
        }
        if let Some(low) = self.low {
            write!(f, " >= {}", short(low))?;
        }
        if let Some(high) = self.high {
            write!(f, "{} <= {}", if self.low.is_some() { " and" } else { "" }, short(high))?;
        }
        self.held_by.iter().try_for_each(|part| write!(f, " held by {part}"))
    }
}
