//! Judge: what stands in the way of CLOSED LOOP, and what is a cause to leave it. Facts for the mode machine, no decisions.

use std::time::Duration;

use flyball_config::{ConnectionId, CvId, Mv, MvId, PredictionId, TagId};

use super::Controller;
use super::obey::Orders;
use crate::advisor::{Advisor, value_of};
use crate::condition::Conditioned;
use crate::feature::scans_of;
use crate::guard::{MvFacts, OperatorLimits};
use crate::image::{InputImage, LinkState};
use crate::mode::{Blocker, Facts, Mode, ShedCause};
use crate::record::ScanRecord;
use crate::status::Status;
use crate::time::ScanCycle;

/// A critical CV's model may be outside its training range for this long before the loop is left.
const OUTSIDE_LEAVE: Duration = Duration::from_secs(600);
/// After this long outside, the MVs are frozen.
const OUTSIDE_FREEZE: Duration = Duration::from_secs(120);
/// Scans for which a critical CV may be without value beyond its tag's own hold.
const CRITICAL_SCANS_MAX: u32 = 3;
/// Failed solves in a row before the loop is left.
const SOLVE_FAILURES_MAX: u32 = 10;

impl Controller {
    /// Everything the mode machine must know: what stands in the way, and what is a cause to leave.
    pub(super) fn judge(
        &mut self,
        cycle: &ScanCycle,
        inputs: &InputImage,
        record: &mut ScanRecord,
        orders: Orders,
    ) -> Facts {
        let plc = self.link.as_mut().map(|l| l.read(cycle.now, &record.tags)).unwrap_or_default();
        record.plc = plc;
        for (i, mv) in self.config.mvs.iter().enumerate() {
            self.mv_facts[i] = (mv_facts(mv, &record.tags), self.in_service[i] && !self.reports[i].out);
            if let Some(ack) = mv.ack.and_then(|t| record.tags[t.index()].measured()) {
                self.guards[i].adopt_sequence(ack.clamp(0.0, 65_535.0) as u16);
            }
        }
        let down = self.writers.iter().copied().find(|&w| inputs.links[w] != LinkState::Up);
        let (mut blocker, mut shed) = (Blocker::None, None);
        let mut found = |b: Blocker, s: Option<ShedCause>| {
            if blocker == Blocker::None {
                blocker = b;
            }
            shed = shed.or(s);
        };
        if let Some(w) = down {
            let id = ConnectionId(w as u32);
            found(Blocker::LinkDown(id), Some(ShedCause::LinkLost(id)));
        }
        if plc.restarted {
            found(Blocker::PlcHeartbeat, Some(ShedCause::PlcRestarted));
        }
        if !plc.alive {
            found(Blocker::PlcHeartbeat, Some(ShedCause::PlcHeartbeatLost));
        }
        for (i, cv) in self.config.cvs.iter().enumerate() {
            let value = value_of(cv.source, &record.tags, &record.predictions);
            record.cvs[i].value = value;
            let bad = &mut self.critical_bad_scans[i];
            *bad = if value.is_some() { 0 } else { bad.saturating_add(1) };
            if cv.critical && *bad > 0 {
                let id = CvId(i as u32);
                found(Blocker::CriticalCv(id), (*bad > CRITICAL_SCANS_MAX).then_some(ShedCause::CriticalCv(id)));
            }
        }
        for (i, p) in record.predictions.iter().enumerate() {
            let id = PredictionId(i as u32);
            let outside = &mut self.outside_scans[i];
            *outside = if p.value.is_some() && !p.in_range { outside.saturating_add(1) } else { 0 };
            if p.value.is_none() && p.status == Status::BadWaitingForInitialData {
                found(Blocker::ModelStarting(id), None);
            } else if *outside > 0 && self.config.critical_prediction(id) {
                let too_long = *outside as usize > scans_of(OUTSIDE_LEAVE, cycle.period);
                found(Blocker::ModelOutside(id), too_long.then_some(ShedCause::ModelOutside(id)));
            }
        }
        for (i, (facts, in_service)) in self.mv_facts.iter().enumerate() {
            let id = MvId(i as u32);
            let mv = &self.config.mvs[i];
            if facts.readback.is_none() {
                found(Blocker::Readback(id), mv.critical.then_some(ShedCause::CriticalMv(id)));
            }
            if self.reports[i].foreign {
                found(Blocker::None, Some(ShedCause::ForeignWriter(id)));
            }
            if mv.critical && !(*in_service && facts.in_control) && self.mode.actual == Mode::ClosedLoop {
                found(Blocker::None, self.critical_mv_lost(id));
            }
        }
        if let Some(a) = &self.advisor {
            if !a.ready() {
                found(Blocker::OptimiserNotReady, None);
            }
            if a.failures > SOLVE_FAILURES_MAX {
                found(Blocker::OptimiserNotReady, Some(ShedCause::OptimiserFailed));
            }
        }
        let counters = &self.deadlines.counters;
        if counters.in_a_row >= self.config.timing.shed_after {
            found(Blocker::DeadlineNotProven, Some(ShedCause::DeadlineMissed));
        }
        Facts {
            command: orders.mode,
            hold: orders.hold,
            acknowledge: orders.acknowledge,
            // What a PLC without heartbeat asks for is no wish: after a restart its zeros would make the switch that was left on rise.
            plc_wants: plc.wants.filter(|_| plc.alive),
            plc_closed: plc.closed,
            plc_reason: plc.shed_reason,
            blocker,
            shed,
            deadline_met: counters.last_met,
            swapped: orders.swapped,
        }
    }

    /// The inputs behind the present recommendation may be acted upon.
    pub(super) fn trusted(&self, cycle: &ScanCycle, record: &ScanRecord) -> bool {
        let freeze = scans_of(OUTSIDE_FREEZE, cycle.period);
        let critical_fine =
            self.critical_bad_scans.iter().zip(&self.config.cvs).all(|(bad, cv)| !cv.critical || *bad == 0);
        let inside = (0u32..)
            .zip(&self.outside_scans)
            .all(|(i, outside)| *outside as usize <= freeze || !self.config.critical_prediction(PredictionId(i)));
        critical_fine && inside && record.plc.alive && self.advisor.as_ref().is_some_and(Advisor::ready)
    }

    /// A critical MV counts as lost once it has been in control since entry and no longer is.
    fn critical_mv_lost(&self, id: MvId) -> Option<ShedCause> {
        let report = &self.reports[id.index()];
        (report.written.is_some() || report.out).then_some(ShedCause::CriticalMv(id))
    }
}

/// What the plant says about one MV.
fn mv_facts(mv: &Mv, tags: &[Conditioned]) -> MvFacts {
    let read = |tag: TagId| tags[tag.index()].measured();
    let flag = |tag: Option<TagId>| tag.and_then(read).is_some_and(|x| x >= 0.5);
    let operator = match (mv.operator_low, mv.operator_high) {
        (None, None) => OperatorLimits::None,
        (low, high) => {
            let low = low.map_or(Some(f64::NEG_INFINITY), read);
            let high = high.map_or(Some(f64::INFINITY), read);
            low.zip(high).map_or(OperatorLimits::Unreadable, |(l, h)| OperatorLimits::Known(l, h))
        }
    };
    MvFacts {
        readback: read(mv.readback),
        in_control: flag(Some(mv.in_control)),
        operator,
        limited_high: flag(mv.limited_high),
        limited_low: flag(mv.limited_low),
    }
}
