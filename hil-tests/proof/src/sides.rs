//! One scan of the runtime and one scan of the PLC, in the order in which the shipped scan and the PLC's program do it.

use std::sync::LazyLock;
use std::time::Duration;

use crate::gate::lease::ApcLease;
use crate::gate::link::{ApcLink, ApcLinkFromApp, LinkInputs};
use crate::gate::setpoint::{ApcSp, SpInputs};
use flyball_config::units::{Unit, UnitRow};
use flyball_config::{EuRange, Mv, OutputId, ReturnAfterShed, TagId, Verify};
use flyball_core::guard::{MvFacts, MvGuard, OperatorLimits, Request};
use flyball_core::handshake::{LeaseState, PlcState};
use flyball_core::mode::{Blocker, Facts, Mode, ShedCause};
use flyball_core::time::Timestamp;

use crate::parts::{Break, GATE_TIMEOUT_SCANS, LOST_AFTER_SCANS, PLC_SCANS, Parts, STALE_SCANS, scans};
use crate::promises::{Promise, bit};
use crate::state::{Batch, Memory, NOW, Order, Plc, Runtime, SCAN_MS, SCAN_NANOS, State, Words};

static ONE: UnitRow = UnitRow { symbol: "1", unit_id: -1, display: "", description: "" };

/// An MV whose guard remembers nothing but whether it has written and with which sequence number: one move of 1 EU per scan, a refresh
/// in every scan, any read-back verifies.
static GUARD: LazyLock<MvGuard> = LazyLock::new(|| {
    MvGuard::new(&Mv {
        name: "mv".into(),
        text: String::new(),
        unit: Unit(&ONE),
        limits: EuRange { low: 0.0, high: 1.0 },
        write: OutputId(0),
        sequence: OutputId(1),
        valid: None,
        readback: TagId(0),
        in_control: TagId(1),
        ack: None,
        operator_low: None,
        operator_high: None,
        limited_high: None,
        limited_low: None,
        move_up: 1.0,
        move_down: 1.0,
        move_per: scans(1),
        deadband: 0.0,
        move_cost: 0.0,
        refresh: scans(1),
        verify: Verify { within: 1e9, by: Duration::ZERO },
        travel_per_hour: None,
        critical: false,
    })
});

/// Where the optimiser of the model always wants to be, EU.
const TARGET: f64 = 1.0;

fn facts_of(image: Option<Words>) -> MvFacts {
    MvFacts {
        readback: image.map(|w| f64::from(w.readback)),
        in_control: image.is_some_and(|w| w.in_control),
        operator: OperatorLimits::None,
        limited_high: false,
        limited_low: false,
    }
}

impl Runtime {
    /// One scan. Mirrors `Controller::step`: handshake, judge, transition, guard, emit.
    pub fn scan(&mut self, parts: &Parts) {
        let order = std::mem::take(&mut self.order);
        if parts.lease && self.old > STALE_SCANS {
            self.image = None;
        }
        let image = self.image;
        let restarted = parts.take(&mut self.watch, NOW, image.map(|w| w.heartbeat));
        let plc = PlcState {
            alive: self.watch.alive(),
            restarted,
            heartbeat: self.watch.seen.unwrap_or(0),
            wants: image.map(|w| w.wants),
            closed: image.is_some_and(|w| w.closed),
            shed_reason: 0,
            lease: parts.lease(image.map(|w| w.owner), self.instance),
        };
        let (mut blocker, mut shed) = plc.objection();
        if order == Order::Trouble {
            blocker = if blocker == Blocker::None { Blocker::OptimiserNotReady } else { blocker };
            shed = shed.or(Some(ShedCause::OptimiserFailed));
        }
        let facts = Facts {
            command: if let Order::SetMode(mode) = order { Some(mode) } else { None },
            hold: if let Order::Hold(hold) = order { Some(hold) } else { None },
            acknowledge: order == Order::Acknowledge,
            plc_wants: parts.wish(&plc),
            plc_closed: plc.closed,
            plc_reason: 0,
            blocker,
            shed,
            deadline_met: true,
            swapped: None,
        };
        let was = self.mode;
        self.mode = parts.next(was, &facts);
        let told = if parts.broken == Break::WritesOneScanAfterShed { was } else { self.mode };
        let setpoint = self.guard(parts, told.actual == Mode::ClosedLoop);
        self.heartbeat = self.heartbeat.wrapping_add(1);
        let instance = self.instance;
        self.sent = Some(Batch {
            asks: false,
            instance,
            mode: self.mode.announced() as u8,
            valid: self.mode.actual == Mode::ClosedLoop,
            setpoint,
            heartbeat: self.heartbeat,
        })
        .filter(|_| plc.lease.speaks());
        if plc.lease == LeaseState::Free {
            self.sent = Some(Batch { asks: true, instance, ..Batch::default() });
        }
        self.pass();
    }

    /// The shipped guard, brought to where this one stands: with these settings it remembers only what is rebuilt here.
    fn guard(&mut self, parts: &Parts, permitted: bool) -> Option<(u8, u16)> {
        let facts = facts_of(self.image);
        let ask =
            Request { now: NOW, permitted, in_time: true, trusted: true, hold: self.mode.hold, target: Some(TARGET) };
        let mut guard = GUARD.clone();
        if self.entered {
            let entry = MvFacts { readback: Some(0.0), in_control: true, ..facts };
            guard.adopt_sequence(self.sequence.wrapping_sub(1));
            guard.judge(&entry, &Request { now: NOW.before(scans(1)), permitted: true, hold: true, ..ask });
        } else {
            // The PLC's acknowledged number is taken over in every scan, as `Controller::judge` does.
            guard.adopt_sequence(self.image.map_or(self.sequence, |w| w.ack));
        }
        let (setpoint, report) = guard.judge(&facts, &ask);
        let first = !self.entered && setpoint.is_some();
        self.entered = report.written.is_some();
        self.sequence = report.sequence;
        let value = setpoint.map(|s| s.value().get());
        if !parts.mv {
            // Nobody looks at the number.
            self.sequence = 0;
            return value.map(|x| (x as u8, 0));
        }
        let value = if first && parts.broken == Break::FirstWriteIsAMove { Some(TARGET) } else { value };
        value.map(|x| (x as u8, report.sequence))
    }

    /// A scan's time passes.
    pub fn pass(&mut self) {
        self.watch.changed_at = Timestamp(self.watch.changed_at.0.saturating_sub(SCAN_NANOS));
    }
}

impl Plc {
    /// One scan of the program: gate blocks, then publish.
    pub fn scan(&mut self, parts: &Parts) {
        if !self.run {
            return;
        }
        let Memory { mode, valid, setpoint, sequence, heartbeat, .. } = self.memory;
        if parts.lease {
            parts.grant(&mut self.lease, heartbeat, &mut self.memory.request);
        }
        let app = ApcLinkFromApp { ui_hb: heartbeat, i_mode: i16::from(mode), ..ApcLinkFromApp::default() };
        let inputs = LinkInputs { app, x_oper_enable: self.enable, x_permit: self.permit, udi_sig_ok: 0 };
        self.link.scan(&inputs, &parts.link, SCAN_MS);
        let inputs = SpInputs {
            x_closed_loop: self.link.plc.x_closed_loop,
            x_mv_enable: true,
            x_loop_ready: self.auto,
            r_sp_app: f32::from(setpoint),
            ui_seq_app: sequence,
            x_valid_app: valid,
            r_op_lo: 0.0,
            r_op_hi: 1.0,
        };
        if parts.mv {
            parts.gate(&mut self.gate, &inputs, &mut self.local);
        } else {
            self.gate.x_in_control = self.link.plc.x_closed_loop;
        }
        self.shown = Words {
            heartbeat: self.link.plc.ui_hb,
            wants: self.link.plc.i_mode_req as u16,
            closed: self.link.plc.x_closed_loop,
            in_control: self.gate.x_in_control,
            readback: self.gate.r_sp_out as u8,
            ack: self.gate.ui_seq_ack,
            owner: self.lease.udi_owner,
        };
    }

    /// A write arrives; without `commit` only its first half.
    pub fn take(&mut self, batch: &Batch, commit: bool) {
        if batch.asks {
            self.memory.request = batch.instance;
            return;
        }
        self.memory.mode = batch.mode;
        self.memory.valid = batch.valid;
        if let Some((value, sequence)) = batch.setpoint {
            self.memory.setpoint = value;
            if commit {
                self.memory.sequence = sequence;
            }
        }
        if commit {
            self.memory.heartbeat = batch.heartbeat;
        }
    }

    /// Power off and on: cold blocks, zeroed memory; switch, interlocks and the operator's setpoint are kept.
    pub fn power_cycle(&mut self) {
        self.lease = ApcLease::default();
        self.link = ApcLink::default();
        self.gate = ApcSp { r_sp_out: self.local, ..ApcSp::default() };
        self.memory = Memory::default();
        self.shown = Words { readback: self.local as u8, ..Words::default() };
        self.run = true;
    }
}

impl<const N: usize> State<N> {
    /// The PLC's scans of one round, watched.
    pub fn scan_plc(&mut self, parts: &Parts) {
        self.plc.before = self.plc.shown;
        for _ in 0..PLC_SCANS {
            let before = self.plc;
            self.plc.scan(parts);
            self.watch_plc(&before, parts);
        }
    }

    fn watch_plc(&mut self, before: &Plc, parts: &Parts) {
        let (was, is) = (&before.gate, &self.plc.gate);
        let ghost = &mut self.ghost;
        if self.plc.run {
            let changed = self.plc.memory.heartbeat != before.link.ui_hb_last;
            let bound = GATE_TIMEOUT_SCANS + 1;
            ghost.runtime_silent = if changed { 0 } else { (ghost.runtime_silent + 1).min(bound) };
        }
        let mut broke = |promise: Promise, broken: bool| ghost.broken |= u16::from(broken) << bit(promise);
        let step = (is.r_sp_out - was.r_sp_out).abs();
        broke(Promise::NoStep, is.x_in_control && step > parts.setpoint.r_rate_up * SCAN_MS as f32 / 1_000.0);
        broke(Promise::GateIgnoresOldValues, is.x_in_control && !was.x_in_control && is.ui_seq_ack != was.ui_seq_ack);
        broke(Promise::GateObeysOnlyInControl, !is.x_in_control && self.plc.local != before.local);
    }

    /// The scan of runtime `i`, watched.
    pub fn scan_runtime(&mut self, i: usize, parts: &Parts, current: bool) {
        let before = self.runtimes[i];
        self.runtimes[i].scan(parts);
        let after = self.runtimes[i];
        let ghost = &mut self.ghost;
        let closed = after.mode.actual == Mode::ClosedLoop;
        let entered = closed && before.mode.actual != Mode::ClosedLoop;
        // A counter that is only repeated, or cannot be read, is silence.
        ghost.plc_silent[i] =
            if after.watch.seen == before.watch.seen { (ghost.plc_silent[i] + 1).min(LOST_AFTER_SCANS + 2) } else { 0 };
        let mut broke = |promise: Promise, broken: bool| ghost.broken |= u16::from(broken) << bit(promise);
        let written = after.sent.and_then(|b| b.setpoint);
        let in_control = after.image.is_some_and(|w| w.in_control);
        broke(Promise::WritesOnlyInControl, written.is_some() && !(closed && in_control));
        broke(Promise::NoReturnByItself, entered && !ghost.asked[i]);
        let first = written.filter(|_| !before.entered);
        let read = after.image.map(|w| w.readback);
        broke(Promise::Bumpless, first.is_some_and(|(value, _)| Some(value) != read));
        let present = self.plc.gate.r_sp_out as u8;
        broke(Promise::Bumpless, current && first.is_some_and(|(value, _)| value != present));
        // Where the configuration says so, one wish lasts until the operator leaves.
        if entered && parts.modes.return_after_shed == ReturnAfterShed::Operator {
            ghost.asked[i] = false;
        }
    }
}
