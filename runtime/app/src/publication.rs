//! Publication: turns scan records into changes of the nodes that others see. Knows the address space; knows no protocol.
//!
//! Every value carries the status of what it shows and, as source time, the time of the input snapshot it came from.

mod methods;
mod models;
mod read;
mod tree;
mod watch;

use flyball_config::Config;
use flyball_core::outside::{Change, Directory, NodeValue};
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::UtcOffset;

use crate::timing::Timing;
use crate::words::Words;

pub use methods::{METHODS, Method};
pub use tree::{Facts, ModelFacts};

/// What a node shows besides the record.
pub struct Surroundings<'a> {
    /// Timing statistics (real nanoseconds).
    pub timing: &'a Timing,
    /// Scheduling that was got, in words.
    pub scheduling: &'a str,
    /// Nothing is ever written.
    pub read_only: bool,
}

/// Keeps the newest value of every node and finds what changed.
pub struct Publisher {
    config: Config,
    words: Words,
    utc: UtcOffset,
    facts: Facts,
    sources: Vec<tree::Source>,
    last: Vec<Option<(Option<NodeValue>, Status)>>,
}

impl Publisher {
    /// The address space of a configuration, and the publisher that fills it.
    #[must_use]
    pub fn new(config: &Config, utc: UtcOffset, facts: Facts) -> (Directory, Self) {
        let (directory, sources) = tree::build(config);
        let last = vec![None; sources.len()];
        (directory, Self { config: config.clone(), words: Words::new(config), utc, facts, sources, last })
    }

    /// Nodes whose value or status differs from what was published last.
    pub fn changes(&mut self, record: &ScanRecord, around: &Surroundings<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        for (i, source) in self.sources.iter().enumerate() {
            let view = read::View {
                config: &self.config,
                words: &self.words,
                facts: &self.facts,
                utc: self.utc,
                record,
                around,
            };
            let (value, status, time) = view.read(*source);
            let now = (value, status);
            if self.last[i].as_ref() == Some(&now) {
                continue;
            }
            changes.push(Change {
                node: i as u32,
                value: now.0.clone(),
                status: status.0,
                source_time: self.utc.utc(time),
            });
            self.last[i] = Some(now);
        }
        changes
    }
}
