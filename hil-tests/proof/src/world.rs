//! What may happen next: in every round the world acts, the link decides on the writes, the PLC scans, the link decides on the reads, the
//! runtime scans.

use flyball_core::mode::Mode;
use stateright::{Model, Property};

use crate::parts::{Parts, STALE_SCANS};
use crate::promises::{self, Promise};
use crate::state::{Order, Runtime, State, Turn};

/// The model: parts, and which faults the world knows.
#[derive(Debug, Clone, Copy)]
pub struct World<const N: usize> {
    /// What is proven.
    pub parts: Parts,
    /// What may happen.
    pub scope: Scope,
}

/// Faults and operator actions beyond loss of messages, crash and restart, which are always there.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// The link delays and repeats.
    pub late: bool,
    /// A read may fail, a write may be cut between value and commit.
    pub broken_messages: bool,
    /// Permit comes and goes, the PLC stops, scans stall.
    pub stops: bool,
    /// So many runtimes, counted from the first, have a bad link; the others' messages arrive.
    pub bad_links: usize,
    /// The PLC loses power.
    pub power: bool,
    /// Any order to the runtime; otherwise only the wish for CLOSED LOOP.
    pub orders: bool,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing but time.
    Nothing,
    /// The operator turns the switch at the PLC.
    Switch,
    /// Interlocks come or go.
    Permit,
    /// The slave loop leaves AUTO or returns.
    Slave,
    /// The operator sets the slave loop's setpoint to this.
    Local(u8),
    /// An order to a runtime.
    Order(usize, Order),
    /// A runtime dies.
    Crash(usize),
    /// A runtime is started.
    Start(usize),
    /// The PLC loses power and comes back.
    PowerCycle,
    /// The PLC's key switch: STOP or RUN.
    Key,
    /// The link decides on a write.
    Write(Write),
    /// The link decides on a read.
    Read(Read),
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// Arrives.
    Arrives,
    /// Lost.
    Lost,
    /// Its values arrive, what commits them does not.
    Half,
    /// Arrives one scan late, before the next.
    Late,
    /// Arrives now and again one scan later.
    Twice,
}

/// What a runtime reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Read {
    /// What the PLC shows.
    Fresh,
    /// What it showed one scan ago.
    Stale,
    /// The same as in the scan before: nothing arrived.
    Frozen,
    /// Nothing that could be read.
    Bad,
}

impl<const N: usize> World<N> {
    /// Does one step; turns go round.
    fn act(&self, state: &mut State<N>, step: Step) {
        state.ghost.broken = 0;
        match step {
            Step::Nothing => {}
            Step::Switch => {
                state.plc.enable = !state.plc.enable;
                state.ghost.asked = state.ghost.asked.map(|asked| asked || state.plc.enable);
            }
            Step::Permit => {
                state.plc.permit = !state.plc.permit;
                // While nothing is latched, a permit that returns is the PLC's own wish: docs/PROOF.md.
                state.ghost.asked = state.ghost.asked.map(|asked| asked || state.plc.permit);
            }
            Step::Slave => state.plc.auto = !state.plc.auto,
            Step::Local(setpoint) => state.plc.local = f32::from(setpoint),
            Step::Order(i, order) => {
                state.runtimes[i].order = order;
                let asks = order == Order::SetMode(Mode::ClosedLoop);
                let mode = state.runtimes[i].mode;
                state.ghost.asked[i] |= asks && mode.actual != Mode::ClosedLoop;
                let leaves = matches!(order, Order::SetMode(Mode::Off | Mode::Advisory));
                if leaves && (mode.actual == Mode::ClosedLoop || mode.arming) {
                    state.ghost.asked[i] = false;
                }
            }
            Step::Crash(i) => {
                let stopped = Runtime::started(state.runtimes[i].instance, state.runtimes[i].heartbeat);
                let Runtime { sent, late, .. } = state.runtimes[i];
                state.runtimes[i] = Runtime { up: false, sent, late, ..stopped };
                (state.ghost.asked[i], state.ghost.plc_silent[i]) = (false, 0);
            }
            Step::Start(i) => {
                // Its counter begins somewhere else: no copy of the old one is equal by chance.
                let heartbeat = state.runtimes[i].heartbeat.wrapping_add(1);
                // Nor is its number for the lease: of two numbers the one that it did not have.
                let instance = if self.parts.lease { 5 + 2 * i as u32 - state.runtimes[i].instance } else { 1 };
                state.runtimes[i] = Runtime { late: state.runtimes[i].late, ..Runtime::started(instance, heartbeat) };
            }
            Step::PowerCycle => state.plc.power_cycle(),
            Step::Key => state.plc.run = !state.plc.run,
            Step::Write(write) => self.carry(state, write),
            Step::Read(read) => self.read(state, read),
        }
        state.turn = match state.turn {
            Turn::World => Turn::Plc(0),
            Turn::Plc(i) if i + 1 < N => Turn::Plc(i + 1),
            Turn::Plc(_) => {
                state.scan_plc(&self.parts);
                Turn::Runtime(0)
            }
            Turn::Runtime(i) if i + 1 < N => Turn::Runtime(i + 1),
            Turn::Runtime(_) => Turn::World,
        };
        state.settle(&self.parts);
    }

    fn carry(&self, state: &mut State<N>, write: Write) {
        let Turn::Plc(i) = state.turn else { return };
        let runtime = &mut state.runtimes[i];
        let (sent, late) = (runtime.sent.take(), runtime.late.take());
        let arriving = late.or(sent.filter(|_| write != Write::Lost && write != Write::Late));
        let owner = state.plc.lease.udi_owner;
        let foreign = arriving.is_some_and(|b| !b.asks && owner != 0 && b.instance != owner);
        state.ghost.broken |= u16::from(self.parts.lease && foreign) << promises::bit(Promise::OneSpeaker);
        if let Some(late) = late {
            state.plc.take(&late, true);
        }
        let Some(sent) = sent else { return };
        match write {
            Write::Arrives => state.plc.take(&sent, true),
            Write::Half => state.plc.take(&sent, false),
            Write::Lost => {}
            Write::Late => runtime.late = Some(sent),
            Write::Twice => {
                state.plc.take(&sent, true);
                runtime.late = Some(sent);
            }
        }
    }

    fn read(&self, state: &mut State<N>, read: Read) {
        let Turn::Runtime(i) = state.turn else { return };
        let plc = &state.plc;
        let runtime = &mut state.runtimes[i];
        if !runtime.up {
            return;
        }
        runtime.image = match read {
            Read::Fresh => Some(plc.shown),
            Read::Stale => Some(plc.before),
            Read::Frozen => runtime.image,
            Read::Bad => None,
        };
        runtime.old =
            if !self.parts.lease || read != Read::Frozen { 0 } else { (runtime.old + 1).min(STALE_SCANS + 1) };
        if runtime.order == Order::Stall {
            runtime.order = Order::None;
            runtime.pass();
        } else {
            state.scan_runtime(i, &self.parts, read == Read::Fresh);
        }
    }

    /// Scans until the loop is closed and the MV in control, when nothing fails any more and the operator does what it takes.
    #[must_use]
    pub fn closes_within(&self, state: &State<N>) -> Option<u32> {
        let mut s = *state;
        for scans in 0..=promises::CLOSED_WITHIN_SCANS {
            let closed = s.runtimes.iter().any(|r| r.up && r.mode.actual == Mode::ClosedLoop);
            if closed && s.plc.gate.x_in_control {
                return Some(scans);
            }
            let step = willing(&s);
            self.act(&mut s, step);
            while s.turn != Turn::World {
                let plain =
                    if let Turn::Plc(_) = s.turn { Step::Write(Write::Arrives) } else { Step::Read(Read::Fresh) };
                self.act(&mut s, plain);
            }
        }
        None
    }
}

/// What a willing operator does next. He sees lamps, not memory.
fn willing<const N: usize>(s: &State<N>) -> Step {
    if let Some(i) = s.runtimes.iter().position(|r| !r.up) {
        return Step::Start(i);
    }
    if !s.plc.run {
        return Step::Key;
    }
    if !s.plc.permit {
        return Step::Permit;
    }
    if !s.plc.auto {
        return Step::Slave;
    }
    // A latched gate, or a switch that is off: off, then on.
    if !s.plc.enable || s.plc.link.latched() {
        return Step::Switch;
    }
    if s.plc.link.plc.x_closed_loop && !s.plc.gate.x_in_control {
        // FB_ApcSp gave the MV up after its data time-out, and takes it back when the slave loop was out of AUTO.
        return Step::Slave;
    }
    match s.runtimes.iter().position(|r| r.mode.requested != Mode::ClosedLoop) {
        Some(i) => Step::Order(i, Order::SetMode(Mode::ClosedLoop)),
        None => Step::Nothing,
    }
}

impl<const N: usize> Model for World<N> {
    type State = State<N>;
    type Action = Step;

    fn init_states(&self) -> Vec<State<N>> {
        let mut start = State::start();
        start.settle(&self.parts);
        let mut left_on = start;
        left_on.plc.enable = true;
        vec![start, left_on]
    }

    fn actions(&self, state: &State<N>, steps: &mut Vec<Step>) {
        match state.turn {
            Turn::World => self.world(state, steps),
            Turn::Plc(i) => {
                steps.push(Step::Write(Write::Arrives));
                if state.runtimes[i].sent.is_some() && i < self.scope.bad_links {
                    steps.push(Step::Write(Write::Lost));
                    if self.scope.broken_messages {
                        steps.push(Step::Write(Write::Half));
                    }
                    if self.scope.late {
                        steps.extend([Write::Late, Write::Twice].map(Step::Write));
                    }
                }
            }
            Turn::Runtime(i) => {
                steps.push(Step::Read(Read::Fresh));
                if state.runtimes[i].up && i < self.scope.bad_links {
                    steps.push(Step::Read(Read::Frozen));
                    if self.scope.late {
                        steps.push(Step::Read(Read::Stale));
                    }
                    if self.scope.broken_messages {
                        steps.push(Step::Read(Read::Bad));
                    }
                }
            }
        }
    }

    fn next_state(&self, state: &State<N>, step: Step) -> Option<State<N>> {
        let mut next = *state;
        self.act(&mut next, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl<const N: usize> World<N> {
    fn world(&self, state: &State<N>, steps: &mut Vec<Step>) {
        steps.extend([Step::Nothing, Step::Switch]);
        if self.scope.power {
            steps.push(Step::PowerCycle);
        }
        if self.scope.stops {
            steps.extend([Step::Permit, Step::Key]);
        }
        if self.parts.mv {
            steps.push(Step::Slave);
            if !state.plc.gate.x_in_control && state.plc.local != 0.0 {
                steps.push(Step::Local(0));
            }
        }
        for (i, runtime) in state.runtimes.iter().enumerate() {
            if !runtime.up {
                steps.push(Step::Start(i));
                continue;
            }
            steps.push(Step::Crash(i));
            let mut order = |order| steps.push(Step::Order(i, order));
            order(Order::SetMode(Mode::ClosedLoop));
            if self.scope.orders {
                order(Order::SetMode(Mode::Off));
                order(Order::SetMode(Mode::Advisory));
                order(Order::Trouble);
            }
            if self.scope.stops {
                order(Order::Stall);
            }
            if self.parts.mv && runtime.mode.actual == Mode::ClosedLoop {
                order(Order::Hold(!runtime.mode.hold));
            }
            if self.scope.stops && runtime.mode.shed.is_some() {
                order(Order::Acknowledge);
            }
        }
    }
}
