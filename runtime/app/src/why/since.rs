//! Why: since when something is as it is. Filled scan by scan, asked at the moment that is to be explained.

use std::time::Duration;

use flyball_config::{Config, ConnectionId, PredictionId, TagId};
use flyball_core::condition::Reason;
use flyball_core::image::LinkState;
use flyball_core::record::ScanRecord;
use flyball_core::sensor::PredictionReason;

/// Something that lasts: what it is, and since when (unix nanoseconds).
#[derive(Debug, Clone, Copy)]
struct Lasting<T> {
    is: Option<T>,
    since: i64,
}

impl<T: PartialEq> Lasting<T> {
    const NEW: Self = Self { is: None, since: 0 };

    fn take(&mut self, is: T, utc: i64) {
        if self.is.as_ref() != Some(&is) {
            *self = Self { is: Some(is), since: utc };
        }
    }
}

/// Since when everything is as it is.
pub(super) struct Since {
    tags: Vec<Lasting<(Reason, bool)>>,
    predictions: Vec<Lasting<(PredictionReason, bool)>>,
    links: Vec<Lasting<LinkState>>,
    heartbeat: Lasting<u16>,
    in_control: Vec<Lasting<bool>>,
    /// Longest phase of the newest missed deadline, and when.
    pub(super) missed: Option<(i64, Missed)>,
    before: Option<Before>,
}

/// What a missed deadline is explained by: it is judged in the scan after.
struct Before {
    missed: u64,
    flushed: bool,
    /// From the scheduled start to the end of the last phase.
    took: Duration,
}

/// Where the time of a missed deadline went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Missed {
    /// The scan did not run for so many periods.
    Skipped(u32),
    /// The outputs were ready too late: milliseconds from the scheduled start.
    Withheld(f64),
    /// They were sent, but the answer came too late or never.
    Unanswered,
}

impl Since {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            tags: vec![Lasting::NEW; config.tags.len()],
            predictions: vec![Lasting::NEW; config.predictions.len()],
            links: vec![Lasting::NEW; config.connections.len()],
            heartbeat: Lasting::NEW,
            in_control: vec![Lasting::NEW; config.mvs.len()],
            missed: None,
            before: None,
        }
    }

    pub(super) fn take(&mut self, record: &ScanRecord, utc: i64) {
        for (lasting, tag) in self.tags.iter_mut().zip(&record.tags) {
            lasting.take((tag.reason, tag.value.is_some()), utc);
        }
        for (lasting, p) in self.predictions.iter_mut().zip(&record.predictions) {
            lasting.take((p.reason, p.value.is_some()), utc);
        }
        for (lasting, link) in self.links.iter_mut().zip(&record.inputs.links) {
            lasting.take(*link, utc);
        }
        for (lasting, mv) in self.in_control.iter_mut().zip(&record.mvs) {
            lasting.take(mv.in_control, utc);
        }
        self.heartbeat.take(record.plc.heartbeat, utc);
        if let Some(before) = &self.before
            && record.deadlines.missed > before.missed
        {
            let missed = if record.cycle.missed > 0 {
                Missed::Skipped(record.cycle.missed)
            } else if !before.flushed {
                Missed::Withheld(before.took.as_secs_f64() * 1e3)
            } else {
                Missed::Unanswered
            };
            self.missed = Some((utc, missed));
        }
        let last = record.phase_ends.iter().max().copied().unwrap_or(record.cycle.now);
        self.before = Some(Before {
            missed: record.deadlines.missed,
            flushed: record.flushed,
            took: last.since(record.cycle.scheduled),
        });
    }

    pub(super) fn tag(&self, id: TagId) -> i64 {
        self.tags[id.index()].since
    }

    pub(super) fn prediction(&self, id: PredictionId) -> i64 {
        self.predictions[id.index()].since
    }

    pub(super) fn link(&self, id: ConnectionId) -> i64 {
        self.links[id.index()].since
    }

    pub(super) fn heartbeat(&self) -> i64 {
        self.heartbeat.since
    }

    pub(super) fn in_control(&self, mv: usize) -> i64 {
        self.in_control[mv].since
    }
}
