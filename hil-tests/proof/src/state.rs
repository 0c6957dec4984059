//! One instant of the world, and its canonical form.
//!
//! Heartbeats and sequence numbers count for ever, and time goes on for ever; but the code under proof only looks at differences. So after
//! every step counters and times are shifted to a fixed base, and differences beyond what any rule can tell apart are cut. Two instants
//! with the same canonical form have the same future.

use std::hash::{Hash, Hasher};

use crate::gate::lease::ApcLease;
use crate::gate::link::ApcLink;
use crate::gate::setpoint::ApcSp;
use flyball_core::handshake::HeartbeatWatch;
use flyball_core::mode::{Blocker, Mode, ModeState, ShedCause};
use flyball_core::time::Timestamp;

use crate::parts::{JUMP, LOST_AFTER_SCANS, Parts};

/// One scan of either side, ms.
pub const SCAN_MS: u32 = 1_000;
/// The scan that is next, seen by the runtime.
pub const NOW: Timestamp = Timestamp(1_000_000 * SCAN_NANOS);
/// A scan in nanoseconds.
pub const SCAN_NANOS: u64 = 1_000_000_000;
/// Base of the PLC's counter and of sequence numbers.
const BASE: u16 = 10_000;
/// Sequence numbers further apart than this from the acknowledged one are as good as this far.
const SEQUENCE_WINDOW: i16 = 9;

/// What the PLC shows a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Words {
    /// `uiHb`.
    pub heartbeat: u16,
    /// `iModeReq`.
    pub wants: u16,
    /// `xClosedLoop`.
    pub closed: bool,
    /// `xInControl`.
    pub in_control: bool,
    /// `rSpAct`, whole EU.
    pub readback: u8,
    /// `uiSeqAck`.
    pub ack: u16,
    /// `udiOwner`.
    pub owner: u32,
}

/// What a runtime writes in one scan: values first, then what commits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Batch {
    /// `iMode`, first write.
    pub mode: u8,
    /// `xValid`, first write.
    pub valid: bool,
    /// `rSp` (first write) and `uiSeq` (second write).
    pub setpoint: Option<(u8, u16)>,
    /// `uiHb`, second write.
    pub heartbeat: u16,
    /// Who writes.
    pub instance: u32,
    /// Nothing of all this is written, but `udiOwnerReq`.
    pub asks: bool,
}

/// One flyball.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Runtime {
    /// The process runs.
    pub up: bool,
    /// Its number for the lease, another one after each start.
    pub instance: u32,
    /// Scans since something arrived, where a lease is used; stops counting above every bound.
    pub old: u8,
    /// Its mode machine.
    pub mode: ModeState,
    /// Its watch over the PLC.
    pub watch: HeartbeatWatch,
    /// Its own heartbeat.
    pub heartbeat: u16,
    /// Its guard has written since entry.
    pub entered: bool,
    /// Its guard's sequence number.
    pub sequence: u16,
    /// What it read last; None: nothing readable.
    pub image: Option<Words>,
    /// What it wrote last, until the link has decided on it.
    pub sent: Option<Batch>,
    /// What the link keeps for the next scan.
    pub late: Option<Batch>,
    /// Order of this round.
    pub order: Order,
}

/// What an operator or the plant asks of a runtime in one scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// Nothing.
    #[default]
    None,
    /// SetMode.
    SetMode(Mode),
    /// Hold the setpoints, or release them.
    Hold(bool),
    /// Acknowledge a shed.
    Acknowledge,
    /// The plant gives a cause to shed (a critical CV is Bad, deadlines are missed, the optimiser fails).
    Trouble,
    /// The scan does not take place.
    Stall,
}

/// The PLC.
#[derive(Debug, Clone, Copy)]
pub struct Plc {
    /// In RUN.
    pub run: bool,
    /// FB_ApcLease.
    pub lease: ApcLease,
    /// FB_ApcLink.
    pub link: ApcLink,
    /// FB_ApcSp.
    pub gate: ApcSp,
    /// Operator's switch.
    pub enable: bool,
    /// Interlocks.
    pub permit: bool,
    /// The slave loop is in AUTO.
    pub auto: bool,
    /// Operator's setpoint, EU.
    pub local: f32,
    /// What the runtimes have written: mode, valid, setpoint, sequence, heartbeat.
    pub memory: Memory,
    /// What it showed one scan ago.
    pub before: Words,
    /// What it shows.
    pub shown: Words,
}

/// The cells that a runtime writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// `iMode`.
    pub mode: u8,
    /// `xValid`.
    pub valid: bool,
    /// `rSp`, whole EU.
    pub setpoint: u8,
    /// `uiSeq`.
    pub sequence: u16,
    /// `uiHb`.
    pub heartbeat: u16,
    /// `udiOwnerReq`.
    pub request: u32,
}

/// What only an observer outside knows; promises are about this too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ghost<const N: usize> {
    /// An operator has asked for CLOSED LOOP since this runtime was in it, or stopped.
    pub asked: [bool; N],
    /// Scans since this runtime saw a change of the PLC's heartbeat; stops counting above every bound.
    pub plc_silent: [u8; N],
    /// PLC scans since the runtime's heartbeat changed; stops counting above every bound.
    pub runtime_silent: u8,
    /// Promises broken in the last step, one bit each (`promises::bit`).
    pub broken: u16,
}

/// Whose turn it is in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Operator, crash, restart, or nothing.
    World,
    /// The link decides on what this runtime wrote; after the last one the PLC scans.
    Plc(usize),
    /// The link decides on what this runtime reads; then it scans.
    Runtime(usize),
}

/// One instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State<const N: usize> {
    /// Who is next.
    pub turn: Turn,
    /// The runtimes.
    pub runtimes: [Runtime; N],
    /// The PLC.
    pub plc: Plc,
    /// The observer.
    pub ghost: Ghost<N>,
}

impl Plc {
    /// Everything as whole numbers: setpoints of the model are whole.
    fn key(&self) -> impl Hash + Eq + use<> {
        let g = &self.gate;
        let reals = [g.r_sp_out, g.r_target, g.r_local_old, self.local].map(f32::to_bits);
        let flags = [g.x_in_control, g.x_lim_hi, g.x_lim_lo, g.x_in_ctl_old, g.x_ramp_fb, g.x_accepted];
        (
            (
                self.run,
                self.lease,
                self.link,
                self.enable,
                self.permit,
                self.auto,
                self.memory,
                self.before,
                self.shown,
            ),
            (reals, flags, g.ui_seq_ack, g.ui_seq_last, g.i_reject, g.ton_data),
        )
    }
}

impl PartialEq for Plc {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Plc {}

impl Hash for Plc {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Runtime {
    /// A runtime that has just been started.
    #[must_use]
    pub fn started(instance: u32, heartbeat: u16) -> Self {
        Self {
            up: true,
            instance,
            old: 0,
            mode: ModeState::start(Mode::Advisory),
            watch: HeartbeatWatch { changed_at: NOW, ..HeartbeatWatch::default() },
            heartbeat,
            entered: false,
            sequence: BASE,
            image: None,
            sent: None,
            late: None,
            order: Order::None,
        }
    }
}

impl<const N: usize> State<N> {
    /// Both sides have just been started; the operator's switch is off.
    #[must_use]
    pub fn start() -> Self {
        let mut link = ApcLink::default();
        link.plc.ui_hb = BASE;
        let gate = ApcSp { ui_seq_ack: BASE, ui_seq_last: BASE, ..ApcSp::default() };
        let shown = Words { heartbeat: BASE, ack: BASE, ..Words::default() };
        let plc = Plc {
            run: true,
            lease: ApcLease::default(),
            link,
            gate,
            enable: false,
            permit: true,
            auto: true,
            local: 0.0,
            memory: Memory { sequence: BASE, ..Memory::default() },
            before: shown,
            shown,
        };
        let ghost = Ghost { asked: [false; N], plc_silent: [0; N], runtime_silent: 0, broken: 0 };
        Self {
            turn: Turn::World,
            runtimes: std::array::from_fn(|i| Runtime::started(1 + i as u32, heartbeat_base(i))),
            plc,
            ghost,
        }
    }

    /// One line for people, of both sides.
    #[must_use]
    pub fn line(&self) -> String {
        let side = |r: &Runtime| {
            let m = r.mode;
            let (up, arming) = (if r.up { "up" } else { "down" }, if m.arming { " arming" } else { "" });
            format!(
                "[{up} {:?}/{:?}{arming}, PLC seen {} times, wanted {:?}]",
                m.requested, m.actual, r.watch.changes, m.plc_wanted
            )
        };
        let sides: Vec<String> = self.runtimes.iter().map(side).collect();
        let plc = &self.plc;
        let lamp = |on: bool, text: &'static str| if on { text } else { "" };
        let lamps = [
            lamp(plc.run, " run"),
            lamp(plc.enable, " switch"),
            lamp(plc.permit, " permit"),
            lamp(plc.link.plc.x_link_ok, " link"),
            lamp(plc.link.latched(), " latched"),
            lamp(plc.link.plc.x_closed_loop, " CLOSED"),
            lamp(plc.gate.x_in_control, " in control"),
        ];
        format!("{:?} {}  PLC{}", self.turn, sides.concat(), lamps.concat())
    }

    /// The canonical form.
    pub fn settle(&mut self, parts: &Parts) {
        self.settle_plc_heartbeat();
        for i in 0..N {
            self.settle_runtime_heartbeat(i);
        }
        self.settle_sequence();
        let oldest = NOW.before(crate::parts::scans(u32::from(LOST_AFTER_SCANS) + 2));
        for runtime in &mut self.runtimes {
            let mode = &mut runtime.mode;
            mode.advisory_scans = mode.advisory_scans.min(parts.modes.arm_after_scans);
            mode.good_scans = mode.good_scans.min(parts.modes.arm_good_scans);
            // Said to people only: the machine works it out anew in each scan.
            mode.blocker = Blocker::None;
            mode.shed = mode.shed.map(|_| ShedCause::Operator);
            runtime.watch.changed_at = runtime.watch.changed_at.max(oldest);
        }
        self.plc.link.plc.i_shed_reason = 0;
        self.plc.link.plc.ui_shed_count = 0;
        self.plc.gate.i_reject = 0;
    }

    /// The watch tells a step of 0, of 1 to `JUMP`, and of more; and which copies are the same.
    fn settle_plc_heartbeat(&mut self) {
        let now = self.plc.link.plc.ui_hb;
        let near = |c: u16| now.wrapping_sub(c) <= JUMP + 1;
        let mut far = [None; 8];
        let mut found = 0;
        self.each_plc_heartbeat(|c| {
            if !near(*c) && !far.contains(&Some(*c)) && found < far.len() {
                far[found] = Some(*c);
                found += 1;
            }
        });
        far[..found].sort_unstable_by_key(|c| c.map(|c| now.wrapping_sub(c)));
        self.each_plc_heartbeat(|c| {
            *c = match far.iter().position(|f| *f == Some(*c)) {
                // Far behind, in the order of age.
                Some(rank) => BASE - 1_000 - rank as u16,
                None => BASE - now.wrapping_sub(*c),
            };
        });
        self.plc.link.plc.ui_hb = BASE;
    }

    fn each_plc_heartbeat(&mut self, mut act: impl FnMut(&mut u16)) {
        act(&mut self.plc.before.heartbeat);
        act(&mut self.plc.shown.heartbeat);
        for runtime in &mut self.runtimes {
            if let Some(words) = &mut runtime.image {
                act(&mut words.heartbeat);
            }
            if let Some(seen) = &mut runtime.watch.seen {
                act(seen);
            }
        }
    }

    /// The gate block tells only whether two copies differ.
    fn settle_runtime_heartbeat(&mut self, i: usize) {
        let (base, now) = (heartbeat_base(i), self.runtimes[i].heartbeat);
        let mut ages = [Some(0), None, None, None, None, None, None];
        let mut found = 1;
        self.each_runtime_heartbeat(i, |c| {
            let age = Some(now.wrapping_sub(*c));
            if !ages.contains(&age) && found < ages.len() {
                ages[found] = age;
                found += 1;
            }
        });
        ages[..found].sort_unstable();
        self.each_runtime_heartbeat(i, |c| {
            let rank = ages.iter().position(|a| *a == Some(now.wrapping_sub(*c)));
            *c = base - rank.unwrap_or(ages.len()) as u16;
        });
        self.runtimes[i].heartbeat = base;
    }

    /// Copies of the heartbeat of runtime `i`: bases lie so far apart that a copy tells whose it is.
    fn each_runtime_heartbeat(&mut self, i: usize, mut act: impl FnMut(&mut u16)) {
        let mut mine = |c: &mut u16| {
            if usize::from(*c > BASE + BASE / 2) == i {
                act(c);
            }
        };
        mine(&mut self.plc.memory.heartbeat);
        mine(&mut self.plc.link.ui_hb_last);
        mine(&mut self.plc.lease.ui_hb_last);
        for batch in [&mut self.runtimes[i].sent, &mut self.runtimes[i].late].into_iter().flatten() {
            mine(&mut batch.heartbeat);
        }
    }

    /// Sequence numbers are shifted so that the acknowledged one stands at the base.
    fn settle_sequence(&mut self) {
        let acknowledged = self.plc.gate.ui_seq_ack;
        let shift = |c: &mut u16| {
            let ahead = (c.wrapping_sub(acknowledged) as i16).clamp(-SEQUENCE_WINDOW, SEQUENCE_WINDOW);
            *c = BASE.wrapping_add_signed(ahead);
        };
        shift(&mut self.plc.gate.ui_seq_ack);
        shift(&mut self.plc.gate.ui_seq_last);
        shift(&mut self.plc.memory.sequence);
        shift(&mut self.plc.before.ack);
        shift(&mut self.plc.shown.ack);
        for runtime in &mut self.runtimes {
            shift(&mut runtime.sequence);
            if let Some(words) = &mut runtime.image {
                shift(&mut words.ack);
            }
            for batch in [&mut runtime.sent, &mut runtime.late].into_iter().flatten() {
                if let Some((_, sequence)) = &mut batch.setpoint {
                    shift(sequence);
                }
            }
        }
    }
}

/// Where the heartbeats of runtime `i` stand in the canonical form.
fn heartbeat_base(i: usize) -> u16 {
    BASE * (1 + i as u16)
}
