//! Modes: who holds the setpoint, and the one function that changes that.
//!
//! ```text
//!            SetMode(OFF)                         asked, nothing in the way, gate closed
//!   OFF <------------------- ADVISORY -- arming ---------------------------------> CLOSED LOOP
//!    |        SetMode(ADVISORY)  ^                                                     |
//!    +---------------------------+<------------------ shed: any cause -----------------+
//! ```
//!
//! `next` is small, pure and total so that it can be model-checked. It never starts in closed loop, never refuses to shed, and after a
//! shed it returns by itself only when the configuration says so.

use flyball_config::{ConnectionId, CvId, ModelId, MvId, PredictionId, ReturnAfterShed};
use serde::{Deserialize, Serialize};

/// Who holds the setpoint (OFF / WARM / ON of APC suites).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Reads and predicts.
    Off,
    /// Also optimises and shows moves; writes nothing but the handshake.
    Advisory,
    /// Writes setpoints where the PLC says "in control".
    ClosedLoop,
}

/// What stands in the way of CLOSED LOOP; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Blocker {
    /// Nothing.
    None,
    /// `highest_mode = "advisory"`.
    HighestMode,
    /// Started with --read-only.
    ReadOnly,
    /// No optimiser, no MV or no handshake in the configuration.
    NothingToWrite,
    /// The configuration demands a latency certificate, and it does not hold.
    Certificate(CertificateFault),
    /// A connection that carries handshake or MVs is not up.
    LinkDown(ConnectionId),
    /// The PLC's heartbeat does not change.
    PlcHeartbeat,
    /// The PLC's lease is not ours.
    NoLease,
    /// The PLC (its operator switch, permit or latch) does not ask for mode 2.
    PlcNotAsking,
    /// Windows of a model are not full yet.
    ModelStarting(PredictionId),
    /// A critical CV has no usable value.
    CriticalCv(CvId),
    /// A model is outside the range in which it was trained.
    ModelOutside(PredictionId),
    /// A read-back of an MV is not usable.
    Readback(MvId),
    /// The optimiser has given no usable answer yet.
    OptimiserNotReady,
    /// Deadlines not met for long enough in a row.
    DeadlineNotProven,
    /// Not long enough in ADVISORY.
    TooSoon,
    /// The PLC has not closed its gate yet.
    WaitingForPlc,
    /// Nobody has asked for CLOSED LOOP.
    NotRequested,
}

/// What is wrong with the latency certificate that the configuration demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CertificateFault {
    /// There is none.
    Missing,
    /// It cannot be read, or is no certificate of a known form.
    Unreadable,
    /// Its contents do not belong to its seal.
    Tampered,
    /// It says that the deadline is not kept.
    Failed,
    /// It says that too little is known.
    Inconclusive,
    /// It was made for another configuration.
    OtherConfiguration,
    /// It was made with other model files.
    OtherModels,
    /// It was made by another version of this program.
    OtherVersion,
    /// It was made on another processor.
    OtherProcessor,
    /// It was made under another kernel.
    OtherKernel,
    /// The scan thread was granted another scheduling then.
    OtherScheduling,
    /// It is too old, or from the future.
    Expired,
}

/// Why CLOSED LOOP was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ShedCause {
    /// SetMode by an operator.
    Operator,
    /// The PLC opened its gate; its own reason code (`iShedReason`).
    PlcOpened(u16),
    /// The PLC asks for less than mode 2.
    PlcAsksLess,
    /// The PLC's heartbeat stopped.
    PlcHeartbeatLost,
    /// The PLC's heartbeat jumped: it restarted.
    PlcRestarted,
    /// The PLC's lease is no longer ours.
    LeaseLost,
    /// A connection that carries handshake or MVs went down.
    LinkLost(ConnectionId),
    /// A critical CV has no usable value any more.
    CriticalCv(CvId),
    /// A critical MV is lost.
    CriticalMv(MvId),
    /// A model has been outside its training range for too long.
    ModelOutside(PredictionId),
    /// Too many deadlines missed in a row.
    DeadlineMissed,
    /// The optimiser failed too often in a row.
    OptimiserFailed,
    /// Somebody else moved a setpoint that is ours.
    ForeignWriter(MvId),
    /// An Engineer swapped a model with its shadow: whoever closes the loop again shall know that it is another one.
    ModelSwapped(ModelId),
}

/// Fixed rules of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeRules {
    /// Something that forbids closed loop for good, or None.
    pub never: Blocker,
    /// Scans in ADVISORY before closing.
    pub arm_after_scans: u32,
    /// Scans with met deadlines in a row before closing.
    pub arm_good_scans: u32,
    /// Return after a shed.
    pub return_after_shed: ReturnAfterShed,
}

/// The mode and what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModeState {
    /// What was asked for.
    pub requested: Mode,
    /// What is.
    pub actual: Mode,
    /// Ready is announced to the PLC; waiting for its gate.
    pub arming: bool,
    /// The operator froze the setpoints.
    pub hold: bool,
    /// Latched cause of the last shed, until acknowledged or closed again.
    pub shed: Option<ShedCause>,
    /// What stands in the way now.
    pub blocker: Blocker,
    /// Scans since ADVISORY was entered, saturating.
    pub advisory_scans: u32,
    /// Scans with met deadlines in a row, saturating.
    pub good_scans: u32,
    /// Mode that the PLC asked for in the scan before; None when it could not be read or believed.
    pub plc_wanted: Option<u16>,
}

/// What one scan found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// SetMode of this scan.
    pub command: Option<Mode>,
    /// Hold or release of this scan.
    pub hold: Option<bool>,
    /// Acknowledge of this scan.
    pub acknowledge: bool,
    /// Mode that the PLC asks for; None when it cannot be read.
    pub plc_wants: Option<u16>,
    /// The PLC's gate is closed.
    pub plc_closed: bool,
    /// The PLC's own reason code for its last shed.
    pub plc_reason: u16,
    /// First thing of the plant side in the way of closing (links, heartbeat, CVs, models, read-backs, optimiser), or None.
    pub blocker: Blocker,
    /// First cause to leave CLOSED LOOP found in this scan.
    pub shed: Option<ShedCause>,
    /// The last deadline was met.
    pub deadline_met: bool,
    /// A model was swapped in this scan: CLOSED LOOP is left, and asking for it begins anew, however a shed otherwise ends.
    pub swapped: Option<ModelId>,
}

impl ModeState {
    /// After start: never closed loop.
    #[must_use]
    pub const fn start(mode: Mode) -> Self {
        let mode = match mode {
            Mode::Off => Mode::Off,
            Mode::Advisory | Mode::ClosedLoop => Mode::Advisory,
        };
        Self {
            requested: mode,
            actual: mode,
            arming: false,
            hold: false,
            shed: None,
            blocker: Blocker::NotRequested,
            advisory_scans: 0,
            good_scans: 0,
            plc_wanted: None,
        }
    }

    /// Mode number announced to the PLC: 0 OFF, 1 ADVISORY, 2 ready or CLOSED LOOP.
    #[must_use]
    pub const fn announced(&self) -> u32 {
        match self.actual {
            Mode::Off => 0,
            Mode::Advisory => 1 + self.arming as u32,
            Mode::ClosedLoop => 2,
        }
    }
}

/// One transition. Total: every state and every fact has an answer; shedding is never refused.
#[must_use]
pub fn next(rules: &ModeRules, state: ModeState, facts: &Facts) -> ModeState {
    let mut s = state;
    s.good_scans = if facts.deadline_met { s.good_scans.saturating_add(1) } else { 0 };
    s.advisory_scans = if s.actual == Mode::Advisory { s.advisory_scans.saturating_add(1) } else { 0 };
    if facts.acknowledge && s.actual != Mode::ClosedLoop {
        s.shed = None;
    }

    // Requests. The PLC's wish counts when it rises while we look: a switch that was left on does not close the loop after a restart, of
    // ours or of the PLC, whose latch is empty then.
    let rising = matches!((s.plc_wanted, facts.plc_wants), (Some(before), Some(2)) if before < 2);
    s.plc_wanted = facts.plc_wants;
    if rising && s.actual == Mode::Advisory {
        s.requested = Mode::ClosedLoop;
    }
    if let Some(mode) = facts.command {
        s.requested = if mode == Mode::ClosedLoop && rules.never != Blocker::None { s.requested } else { mode };
    }

    if facts.swapped.is_some() {
        s.arming = false;
        s.advisory_scans = 0;
    }

    // Leaving is always possible and comes first.
    if s.actual == Mode::ClosedLoop {
        if let Some(cause) = leave(&s, facts) {
            s.actual = Mode::Advisory;
            s.arming = false;
            s.hold = false;
            s.advisory_scans = 0;
            s.shed = Some(cause);
            if rules.return_after_shed == ReturnAfterShed::Operator && s.requested == Mode::ClosedLoop {
                s.requested = Mode::Advisory;
            }
        } else if let Some(hold) = facts.hold {
            s.hold = hold;
        }
    }
    if facts.swapped.is_some() && s.requested == Mode::ClosedLoop {
        s.requested = Mode::Advisory;
    }
    if s.requested == Mode::Off {
        s.actual = Mode::Off;
        s.arming = false;
    } else if s.actual == Mode::Off {
        s.actual = Mode::Advisory;
        s.advisory_scans = 0;
    }

    // Closing: asked for, nothing in the way, announced, and then closed by the PLC.
    s.blocker = if s.actual == Mode::ClosedLoop { Blocker::None } else { in_the_way(rules, &s, facts) };
    if s.actual == Mode::Advisory {
        let announced = s.arming;
        s.arming = matches!(s.blocker, Blocker::None | Blocker::WaitingForPlc);
        if s.arming && announced && facts.plc_closed {
            s.actual = Mode::ClosedLoop;
            s.arming = false;
            s.shed = None;
            s.blocker = Blocker::None;
        }
    }
    s
}

fn leave(s: &ModeState, facts: &Facts) -> Option<ShedCause> {
    if s.requested < Mode::ClosedLoop {
        return Some(ShedCause::Operator);
    }
    if let Some(model) = facts.swapped {
        return Some(ShedCause::ModelSwapped(model));
    }
    if facts.shed.is_some() {
        return facts.shed;
    }
    if !facts.plc_closed {
        return Some(ShedCause::PlcOpened(facts.plc_reason));
    }
    (facts.plc_wants != Some(2)).then_some(ShedCause::PlcAsksLess)
}

fn in_the_way(rules: &ModeRules, s: &ModeState, facts: &Facts) -> Blocker {
    let checks = [
        (rules.never != Blocker::None, rules.never),
        (facts.blocker != Blocker::None, facts.blocker),
        (s.advisory_scans < rules.arm_after_scans, Blocker::TooSoon),
        (s.good_scans < rules.arm_good_scans, Blocker::DeadlineNotProven),
        (facts.plc_wants != Some(2), Blocker::PlcNotAsking),
        (s.requested != Mode::ClosedLoop, Blocker::NotRequested),
        (!facts.plc_closed, Blocker::WaitingForPlc),
    ];
    checks.iter().find(|(stands, _)| *stands).map_or(Blocker::None, |(_, b)| *b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ModeRules = ModeRules {
        never: Blocker::None,
        arm_after_scans: 3,
        arm_good_scans: 2,
        return_after_shed: ReturnAfterShed::Operator,
    };

    const QUIET: Facts = Facts {
        command: None,
        hold: None,
        acknowledge: false,
        plc_wants: Some(2),
        plc_closed: false,
        plc_reason: 0,
        blocker: Blocker::None,
        shed: None,
        deadline_met: true,
        swapped: None,
    };

    fn run(rules: &ModeRules, mut s: ModeState, facts: Facts, n: u32) -> ModeState {
        for _ in 0..n {
            s = next(rules, s, &facts);
        }
        s
    }

    fn closed() -> ModeState {
        let s = run(&RULES, ModeState::start(Mode::Advisory), QUIET, 10);
        let s = next(&RULES, s, &Facts { command: Some(Mode::ClosedLoop), ..QUIET });
        assert!(s.arming && s.actual == Mode::Advisory && s.announced() == 2);
        let s = next(&RULES, s, &Facts { plc_closed: true, ..QUIET });
        assert_eq!(s.actual, Mode::ClosedLoop);
        s
    }

    const IN_LOOP: Facts = Facts { plc_closed: true, ..QUIET };

    #[test]
    fn never_starts_in_closed_loop_and_a_switch_left_on_does_not_close_it() {
        let s = ModeState::start(Mode::ClosedLoop);
        assert_eq!(s.actual, Mode::Advisory);
        let s = run(&RULES, s, IN_LOOP, 1000);
        assert_eq!(s.actual, Mode::Advisory, "PLC wants 2 and even has its gate closed, but nobody asked us");
        assert_eq!(s.blocker, Blocker::NotRequested);
    }

    #[test]
    fn a_rising_wish_of_the_plc_closes_the_loop() {
        let s = run(&RULES, ModeState::start(Mode::Advisory), Facts { plc_wants: Some(1), ..QUIET }, 10);
        let s = run(&RULES, s, QUIET, 2);
        assert!(s.arming);
        assert_eq!(next(&RULES, s, &IN_LOOP).actual, Mode::ClosedLoop);
    }

    #[test]
    fn a_plc_that_restarts_with_its_switch_left_on_does_not_ask_anew() {
        let s = next(&RULES, closed(), &Facts { plc_closed: false, plc_wants: Some(1), ..QUIET });
        assert_eq!((s.actual, s.plc_wanted), (Mode::Advisory, Some(1)), "it sheds and latches");
        let s = run(&RULES, s, Facts { plc_wants: None, ..QUIET }, 5);
        let s = run(&RULES, s, IN_LOOP, 1000);
        assert_eq!((s.actual, s.requested), (Mode::Advisory, Mode::Advisory), "its latch is empty after the restart");
    }

    #[test]
    fn the_gate_must_close_after_we_announced_ready() {
        let s = run(&RULES, ModeState::start(Mode::Advisory), IN_LOOP, 10);
        let s = next(&RULES, s, &Facts { command: Some(Mode::ClosedLoop), ..IN_LOOP });
        assert_eq!(s.actual, Mode::Advisory, "not in the same scan as the announcement");
        assert_eq!(s.announced(), 2);
    }

    #[test]
    fn every_cause_sheds_at_once_and_latches() {
        let causes = [
            Facts { shed: Some(ShedCause::DeadlineMissed), ..IN_LOOP },
            Facts { plc_closed: false, plc_reason: 3, ..IN_LOOP },
            Facts { plc_wants: Some(1), ..IN_LOOP },
            Facts { plc_wants: None, ..IN_LOOP },
            Facts { command: Some(Mode::Advisory), ..IN_LOOP },
            Facts { command: Some(Mode::Off), ..IN_LOOP },
        ];
        for facts in causes {
            let s = next(&RULES, closed(), &facts);
            assert!(s.actual < Mode::ClosedLoop, "{facts:?}");
            assert!(s.shed.is_some());
            let s = run(&RULES, s, IN_LOOP, 1000);
            assert!(s.actual < Mode::ClosedLoop || facts.plc_wants == Some(1), "no return by itself: {facts:?}");
        }
    }

    #[test]
    fn a_swapped_model_opens_the_loop_and_nothing_but_a_new_request_closes_it() {
        let swapped = Some(ModelId(1));
        for return_after_shed in [ReturnAfterShed::Operator, ReturnAfterShed::Automatic] {
            let rules = ModeRules { return_after_shed, ..RULES };
            let s = next(&rules, closed(), &Facts { swapped, command: Some(Mode::ClosedLoop), ..IN_LOOP });
            assert_eq!((s.actual, s.shed), (Mode::Advisory, Some(ShedCause::ModelSwapped(ModelId(1)))));
            let s = run(&rules, s, IN_LOOP, 1000);
            assert_eq!((s.actual, s.requested, s.blocker), (Mode::Advisory, Mode::Advisory, Blocker::NotRequested));
            let s = next(&rules, s, &Facts { command: Some(Mode::ClosedLoop), ..QUIET });
            assert_eq!(next(&rules, s, &IN_LOOP).actual, Mode::ClosedLoop, "asked for again");
        }
        let arming = run(&RULES, ModeState::start(Mode::Advisory), QUIET, 10);
        let arming = next(&RULES, arming, &Facts { command: Some(Mode::ClosedLoop), ..QUIET });
        assert!(arming.arming);
        let s = next(&RULES, arming, &Facts { swapped, ..IN_LOOP });
        assert_eq!((s.actual, s.arming, s.requested), (Mode::Advisory, false, Mode::Advisory), "nor does it close now");
    }

    #[test]
    fn a_certificate_that_does_not_hold_keeps_the_loop_open_for_good_and_advisory_runs() {
        let never = Blocker::Certificate(CertificateFault::Tampered);
        let rules = ModeRules { never, return_after_shed: ReturnAfterShed::Automatic, ..RULES };
        let s = run(&rules, ModeState::start(Mode::Advisory), Facts { plc_wants: Some(1), ..QUIET }, 10);
        let s = next(&rules, s, &Facts { command: Some(Mode::ClosedLoop), ..IN_LOOP });
        let s = run(&rules, s, IN_LOOP, 1000);
        assert_eq!((s.actual, s.arming, s.blocker), (Mode::Advisory, false, never));
        assert_eq!(s.announced(), 1, "it is not even announced");
    }

    #[test]
    fn automatic_return_waits_for_good_scans() {
        let rules = ModeRules { return_after_shed: ReturnAfterShed::Automatic, arm_good_scans: 30, ..RULES };
        let s =
            next(&rules, closed(), &Facts { shed: Some(ShedCause::DeadlineMissed), deadline_met: false, ..IN_LOOP });
        assert_eq!(s.actual, Mode::Advisory);
        let s = run(&rules, s, QUIET, 29);
        assert!(!s.arming);
        let s = run(&rules, s, QUIET, 1);
        assert!(s.arming);
    }

    #[test]
    fn a_forbidden_mode_stays_forbidden() {
        let rules = ModeRules { never: Blocker::ReadOnly, ..RULES };
        let s =
            run(&rules, ModeState::start(Mode::Advisory), Facts { command: Some(Mode::ClosedLoop), ..IN_LOOP }, 100);
        assert_eq!((s.actual, s.requested, s.blocker), (Mode::Advisory, Mode::Advisory, Blocker::ReadOnly));
    }

    #[test]
    fn acknowledge_clears_the_latch_but_closes_nothing() {
        let s = next(&RULES, closed(), &Facts { shed: Some(ShedCause::OptimiserFailed), ..IN_LOOP });
        let s = run(&RULES, s, Facts { acknowledge: true, ..QUIET }, 100);
        assert_eq!((s.actual, s.shed), (Mode::Advisory, None));
    }

    #[test]
    fn hold_works_in_closed_loop_only_and_ends_with_it() {
        let s = next(&RULES, closed(), &Facts { hold: Some(true), ..IN_LOOP });
        assert!(s.hold);
        let s = next(&RULES, s, &Facts { shed: Some(ShedCause::DeadlineMissed), ..IN_LOOP });
        assert!(!s.hold);
        assert!(!next(&RULES, s, &Facts { hold: Some(true), ..QUIET }).hold);
    }
}
