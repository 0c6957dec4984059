//! Why: what changed from scan to scan, one line each, for the minute before and after.

use flyball_config::Config;
use flyball_core::command::{Action, Command};
use flyball_core::condition::Reason;
use flyball_core::optimum::HeldBy;
use flyball_core::record::ScanRecord;

use crate::words::{Words, mode, reason};

/// The scan before.
pub(super) struct Changes {
    config: Config,
    tags: Vec<(Reason, bool)>,
    held: Vec<HeldBy>,
    missed: u64,
    first: bool,
}

impl Changes {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            tags: vec![(Reason::Waiting, false); config.tags.len()],
            held: vec![HeldBy::Nothing; config.mvs.len()],
            missed: 0,
            first: true,
            config: config.clone(),
        }
    }

    fn tags(&mut self, record: &ScanRecord) -> Vec<String> {
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        for (i, tag) in record.tags.iter().enumerate() {
            let now = (tag.reason, tag.value.is_some());
            if std::mem::replace(&mut self.tags[i], now) == now || self.first {
                continue;
            }
            let why = reason(tag);
            let text = match (why.is_empty(), tag.value.is_some()) {
                (true, _) => "good again".to_owned(),
                (false, true) => why,
                (false, false) if tag.reason == Reason::Waiting => why,
                (false, false) => format!("no value, {why}"),
            };
            match groups.iter_mut().find(|(known, _)| *known == text) {
                Some((_, tags)) => tags.push(i),
                None => groups.push((text, vec![i])),
            }
        }
        groups.iter().map(|(text, tags)| alike(&self.config, tags, text)).collect()
    }

    /// One line per change of this scan.
    pub(super) fn of(&mut self, record: &ScanRecord, words: &Words) -> Vec<String> {
        let mut lines = Vec::new();
        for command in &record.inputs.commands {
            let answer = record.answers.iter().find(|a| a.id == command.id);
            let answer = answer.map_or_else(String::new, |a| format!(": {}", words.outcome(a.outcome).1));
            lines.push(format!("{:?} asks: {}{answer}", command.role, asked(&self.config, command)));
        }
        lines.extend(self.tags(record));
        lines.extend(record.events.iter().map(|event| words.event(event)));
        if record.events_lost > 0 {
            lines.push(format!("and {} more events in this scan", record.events_lost));
        }
        let missed = record.deadlines.missed.saturating_sub(self.missed);
        if missed > 0 && !self.first {
            lines.push(format!("deadline missed, {} in a row", record.deadlines.in_a_row));
        }
        self.missed = record.deadlines.missed;
        for (i, mv) in record.mvs.iter().enumerate() {
            if std::mem::replace(&mut self.held[i], mv.held_by) != mv.held_by
                && !self.first
                && worth_telling(mv.held_by)
            {
                lines.push(format!("MV {} held by: {}", self.config.mvs[i].name, words.held_by(mv.held_by)));
            }
        }
        self.first = false;
        lines
    }
}

/// Tags that changed alike, in one line.
fn alike(config: &Config, tags: &[usize], text: &str) -> String {
    const NAMED: usize = 3;
    let name = |i: &usize| config.tags[*i].name.as_str();
    let named: Vec<&str> = tags.iter().take(NAMED).map(name).collect();
    match tags.len().saturating_sub(NAMED) {
        0 => format!("{}: {text}", named.join(", ")),
        more => format!("{} and {more} more tags: {text}", named.join(", ")),
    }
}

/// What comes and goes with every move is no news.
fn worth_telling(held: HeldBy) -> bool {
    !matches!(held, HeldBy::Verifying | HeldBy::Rate | HeldBy::Deadband | HeldBy::Nothing | HeldBy::Mode)
}

fn asked(config: &Config, command: &Command) -> String {
    let mv = |id: flyball_config::MvId| config.mvs.get(id.index()).map_or("?", |m| &m.name);
    let model = |id: flyball_config::ModelId| config.models.get(id.index()).map_or("?", |m| &m.name);
    match command.action {
        Action::SetMode(wanted) => format!("mode {}", mode(wanted)),
        Action::Hold(true) => "hold the setpoints".into(),
        Action::Hold(false) => "release the setpoints".into(),
        Action::MvService(id, on) => format!("MV {} {} service", mv(id), if on { "in" } else { "out of" }),
        Action::SetPrice(i, price) => {
            let name = config.optimiser.as_ref().and_then(|o| o.prices.get(i as usize)).map_or("?", |p| &p.name);
            format!("price {name} = {price}")
        }
        Action::LabSample(_, value, _) => format!("laboratory value {value}"),
        Action::ResetBias(id) => format!("forget the bias of model {}", model(id)),
        Action::SwapModel(id, true) => format!("promote the shadow of model {}", model(id)),
        Action::SwapModel(id, false) => format!("roll model {} back", model(id)),
        Action::Acknowledge => "acknowledge".into(),
        Action::ResetTiming => "reset the timing counters".into(),
    }
}
