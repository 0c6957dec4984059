//! Why: what another model or another configuration would have done on the inputs of a recording.
//!
//! The plant answers as it did then: it followed what was written then, not what would have been. So the answer is about the next move from each
//! recorded state, not about a run under the other model.

use std::path::{Path, PathBuf};

use flyball_config::{Config, ModelRole};
use flyball_core::image::{InputImage, LinkState, Sample};
use flyball_core::record::ScanRecord;

use super::derive::Replay;
use sha2::{Digest, Sha256};

use super::compare::Comparison;
use super::{Opened, Pace, configuration, engines};
use crate::cli::Replay as Arguments;

pub(super) fn run(opened: &Opened, arguments: &Arguments) -> Result<(String, u8), String> {
    let mut config = match &arguments.config {
        Some(path) => configuration(path)?,
        None => opened.config.clone(),
    };
    for model in &arguments.model {
        put(&mut config, model)?;
    }
    if config.timing.cycle != opened.config.timing.cycle {
        return Err(format!(
            "the recording has a scan every {} ms, {} asks for {} ms: use the recorded cycle",
            opened.config.timing.cycle.as_millis(),
            arguments.config.as_deref().unwrap_or(Path::new("the configuration")).display(),
            config.timing.cycle.as_millis()
        ));
    }
    let places = Places::new(&opened.config, &config);
    let header = opened.header();
    let mut replay = Replay::new(&config, engines(&config, header.budget)?.engines, header.read_only);
    let mut comparison = Comparison::new(&opened.config, &config);
    let (mut asked, mut pace) = (ScanRecord::new(&config), Pace::start());
    let (mut faults, mut gaps, mut before) = (0u64, 0u64, None);
    for scan in opened.recording.scans() {
        let Ok(scan) = scan else {
            faults += 1;
            continue;
        };
        let record = scan.decode()?;
        pace.scan(&record);
        // A gap is a gap for the other one, too: scans were missed.
        gaps += u64::from(before.is_some_and(|b: u32| scan.sequence != b.wrapping_add(1)));
        before = Some(scan.sequence);
        places.arrange(&record, &mut asked);
        comparison.take(&record, replay.step(&asked), scan.utc);
    }
    let mut text = opened.title();
    text += &format!("{} scans, {}\n", comparison.scans(), pace.text());
    if faults + gaps > 0 {
        text += &format!("{faults} faults and {gaps} gaps in the recording: what is missing was passed over\n");
    }
    text += &places.note(&config);
    text += &comparison.text();
    if let Some(folder) = &arguments.report {
        comparison.report(opened, pace.text()).write(folder)?;
        text += &format!("Plots: {}\n", folder.join("report.html").display());
    }
    Ok((text, 0))
}

/// Puts a model file in the place of another: `FILE`, when there is one soft sensor, or `NAME=FILE`.
fn put(config: &mut Config, given: &str) -> Result<(), String> {
    let names = || config.models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
    let (name, file) = match given.split_once('=') {
        Some((name, file)) => (name.to_owned(), PathBuf::from(file)),
        None => {
            let sensors: Vec<_> = config.models.iter().filter(|m| m.role == ModelRole::SoftSensor).collect();
            let [only] = sensors[..] else {
                return Err(format!("--model {given}: say in whose place, NAME={given}; models are {}", names()));
            };
            (only.name.clone(), PathBuf::from(given))
        }
    };
    let bytes = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let known = names();
    let model = config.models.iter_mut().find(|m| m.name == name);
    let model = model.ok_or_else(|| format!("there is no model \"{name}\"; models are {known}"))?;
    model.file = std::path::absolute(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    model.sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    Ok(())
}

/// Where the other configuration finds its inputs in the recording, by name.
struct Places {
    tags: Vec<Option<usize>>,
    connections: Vec<Option<usize>>,
    /// Commands name MVs, models, predictions and prices by number: they mean the same only where these are the same.
    commands: bool,
}

impl Places {
    fn new(recorded: &Config, other: &Config) -> Self {
        let same = |a: &mut dyn Iterator<Item = &String>, b: &mut dyn Iterator<Item = &String>| a.eq(b);
        let mvs = same(&mut recorded.mvs.iter().map(|m| &m.name), &mut other.mvs.iter().map(|m| &m.name));
        let models = same(&mut recorded.models.iter().map(|m| &m.name), &mut other.models.iter().map(|m| &m.name));
        let prices =
            |c: &Config| c.optimiser.iter().flat_map(|o| &o.prices).map(|p| p.name.clone()).collect::<Vec<_>>();
        Self {
            tags: other.tags.iter().map(|t| recorded.tags.iter().position(|r| r.name == t.name)).collect(),
            connections: (other.connections.iter())
                .map(|c| recorded.connections.iter().position(|r| r.name == c.name))
                .collect(),
            commands: mvs && models && prices(recorded) == prices(other) && recorded.predictions == other.predictions,
        }
    }

    /// Lays the inputs of a recorded scan where the other configuration looks for them.
    fn arrange(&self, recorded: &ScanRecord, asked: &mut ScanRecord) {
        let InputImage { samples, links, writes, commands } = &recorded.inputs;
        (asked.cycle, asked.flushed) = (recorded.cycle, recorded.flushed);
        for (place, from) in asked.inputs.samples.iter_mut().zip(&self.tags) {
            *place = from.map_or(Sample::WAITING, |i| samples[i]);
        }
        for (i, from) in self.connections.iter().enumerate() {
            asked.inputs.links[i] = from.map_or(LinkState::Starting, |i| links[i]);
            asked.inputs.writes[i] = from.and_then(|i| writes[i]);
        }
        asked.inputs.commands.clear();
        if self.commands {
            asked.inputs.commands.clone_from(commands);
        }
    }

    fn note(&self, other: &Config) -> String {
        let mut text = String::new();
        let missing: Vec<&str> = other
            .tags
            .iter()
            .zip(&self.tags)
            .filter(|(_, from)| from.is_none())
            .map(|(t, _)| t.name.as_str())
            .collect();
        if !missing.is_empty() {
            text += &format!("Tags that were not recorded, and stay without value: {}\n", missing.join(", "));
        }
        if !self.commands {
            text += "Commands are left out: MVs, models or prices are others.\n";
        }
        text
    }
}
