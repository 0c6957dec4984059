//! Report: events of what changed since the scan before. Fixed-size, copied into the record; words are made outside.

use super::Controller;
use crate::image::{InputImage, LinkState};
use crate::optimum::SolveStatus;
use crate::record::{Event, ScanRecord};
use crate::state::Archive;
use crate::watch::{Advice, Trigger};

/// What was true in the scan before.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    pub(super) plc_alive: bool,
    pub(super) links: Vec<LinkState>,
    pub(super) usable: Vec<bool>,
    pub(super) at_total: Vec<bool>,
    pub(super) out: Vec<bool>,
    pub(super) advice: Vec<Advice>,
    pub(super) domain: Vec<bool>,
    pub(super) solve: SolveStatus,
    pub(super) refused_cycle: Vec<u64>,
}

impl Before {
    pub(super) fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep(&mut self.plc_alive);
        archive.keep_all(&mut self.links);
        archive.keep_all(&mut self.usable);
        archive.keep_all(&mut self.at_total);
        archive.keep_all(&mut self.out);
        archive.keep_all(&mut self.advice);
        archive.keep_all(&mut self.domain);
        archive.keep(&mut self.solve);
        archive.keep_all(&mut self.refused_cycle);
    }
}

impl Controller {
    /// Events of what changed since the scan before.
    pub(super) fn report(&mut self, inputs: &InputImage, record: &mut ScanRecord) {
        let before = &mut self.before;
        if record.plc.alive != before.plc_alive {
            before.plc_alive = record.plc.alive;
            record.event(Event::PlcHeartbeat(record.plc.alive));
        }
        for (i, state) in inputs.links.iter().enumerate() {
            if *state != before.links[i] {
                before.links[i] = *state;
                record.event(Event::LinkChanged(i as u32, *state));
            }
        }
        for (i, outcome) in inputs.writes.iter().enumerate() {
            let Some(o) = outcome else { continue };
            if o.status.is_bad() && !o.discarded && before.refused_cycle[i] != o.cycle {
                before.refused_cycle[i] = o.cycle;
                record.event(Event::WriteRefused(i as u32, o.status));
            }
        }
        for i in 0..record.predictions.len() {
            let usable = record.predictions[i].value.is_some();
            if usable != before.usable[i] {
                before.usable[i] = usable;
                record.event(Event::PredictionUsable(i as u32, usable));
            }
            let at_total = record.predictions[i].late.needs_maintenance;
            if at_total != before.at_total[i] {
                before.at_total[i] = at_total;
                record.event(Event::BiasAtTotal(i as u32, at_total));
            }
        }
        for i in 0..record.mvs.len() {
            let out = record.mvs[i].guard.out;
            if out != before.out[i] {
                before.out[i] = out;
                if out {
                    record.event(Event::MvOut(i as u32));
                }
            }
        }
        self.report_advice(record);
        let before = &mut self.before;
        if record.solved && record.optimum.status != before.solve {
            before.solve = record.optimum.status;
            record.event(Event::Solve(record.optimum.status));
        }
    }

    /// Advice that came or went: of predictions, then of models.
    fn report_advice(&mut self, record: &mut ScanRecord) {
        for (i, at) in (0u32..).zip(&self.config.predictions) {
            let watched = &record.models[at.model.index()].watch.outputs[at.output as usize];
            let (now, sample) = (watched.advice, watched.accepted);
            let before = std::mem::replace(&mut self.before.advice[i as usize], now);
            for trigger in Trigger::ALL.into_iter().filter(|t| now.contains(*t) != before.contains(*t)) {
                record.event(Event::Advice(i, trigger, now.contains(trigger), sample));
            }
        }
        for i in 0..record.models.len() {
            let now = record.models[i].watch.advice.contains(Trigger::Domain);
            if std::mem::replace(&mut self.before.domain[i], now) != now {
                record.event(Event::DomainAdvice(i as u32, now));
            }
        }
    }
}
