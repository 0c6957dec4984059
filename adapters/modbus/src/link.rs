//! The body of one Modbus link thread. Why this file: everything that waits for the wire waits here, so that the scan never does.
//!
//! Words: a *session* is one connection from its making to its loss; a unit *rests* when it is left out of the polls for a while.
//!
//! ```text
//!            connect ok            first answer
//!   no session -------> session, not Up ------> session, Up
//!       ^  \ failed: wait longer      |              |
//!       |___\_________________________|______________|   any loss
//! ```
//!
//! Losses. A loss belongs to the *unit* when another unit has answered in the same session: then only that unit's values turn Bad and the
//! link reconnects and goes on. Otherwise it belongs to the *link*: every value turns Bad and the state is Down. A unit that failed three
//! times in a row rests for the back-off time. There is at most one try to connect per back-off wait, whoever caused the loss.
//!
//! Writes overtake reads between two requests. A batch is looked at before each of its requests: what is late is discarded, not sent.
//! One thread, one current-thread runtime (protocols.md 5.3: three times faster than a shared one).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flyball_config::{ModbusConnection, ModbusTransport, Protocol, WritePhase};
use flyball_core::image::{LinkState, Sample, WriteOutcome};
use flyball_core::link::{LinkSeat, WriteBatch};
use flyball_core::status::Status;
use flyball_core::time::Timestamp;
use tokio::sync::Notify;

use crate::client::{Client, Timing};
use crate::error::{LinkLoss, RequestError};
use crate::jitter::Jitter;
use crate::phase::PollPhase;
use crate::plan::{Block, ReadPlan, read_plan};
use crate::samples::{BlockData, sample};
use crate::writes::WritePlan;

/// Failures in a row after which a unit rests, when there are others to poll.
const FAILURES_BEFORE_REST: u32 = 3;
/// Real time between an expected answer and the scan: timer resolution (1 ms) and a thread's wake-up.
const MARGIN: Duration = Duration::from_millis(3);
/// Real time between two looks at the stop flag.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// A bell for `link_pair` and the end that `run` listens at. Ringing never blocks.
#[must_use]
pub fn doorbell() -> (Arc<Notify>, Arc<dyn Fn() + Send + Sync>) {
    let bell = Arc::new(Notify::new());
    let ring = Arc::clone(&bell);
    (bell, Arc::new(move || ring.notify_one()))
}

/// Runs a Modbus link until the seat is stopped. Blocks; give it a thread of its own.
///
/// A request that runs when the stop comes is abandoned and its connection closed: wait for the last outcome before stopping.
pub fn run(mut seat: LinkSeat, bell: Arc<Notify>) {
    let name = seat.plan.connection.name.clone();
    let Protocol::Modbus(settings) = seat.plan.connection.protocol.clone() else {
        tracing::error!(link = name, "not a Modbus connection: this link does nothing");
        seat.images.give(|image| image.state = LinkState::Refused);
        return;
    };
    // Two helper threads: name look-ups that hang (each outlives its time-out) must not pile up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!(link = name, "no runtime: {e}; check the limit of open files");
            seat.images.give(|image| image.state = LinkState::Refused);
            return;
        }
    };
    let stop = Arc::clone(&seat.stop);
    runtime.block_on(async {
        let stopped = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(STOP_LOOK).await;
            }
        };
        let mut link = Link::new(seat, settings, bell);
        tokio::select! {
            () = link.work() => {}
            () = stopped => {}
        }
        // Dropping the link closes its connection.
    });
    // Not waiting for a name look-up that hangs.
    runtime.shutdown_background();
    tracing::info!(link = name, "stopped");
}

/// One unit behind the connection.
struct Unit {
    id: u8,
    /// Failures in a row.
    failures: u32,
    /// Not asked before this time.
    rest_until: Timestamp,
    /// Has answered in this session.
    answered: bool,
}

struct Link {
    seat: LinkSeat,
    settings: ModbusConnection,
    bell: Arc<Notify>,
    reads: ReadPlan,
    writes: WritePlan,
    phase: PollPhase,
    jitter: Jitter,
    units: Vec<Unit>,
    /// One per block of the plan.
    blocks: Vec<BlockData>,
    /// A block that was refused as wrongly configured is not asked before this time.
    block_rest: Vec<Timestamp>,
    /// Scratch for samples, in plan order.
    samples: Vec<Sample>,
    state: LinkState,
    client: Option<Client>,
    /// Failed tries and fruitless sessions in a row.
    failures: u32,
    next_try: Timestamp,
    /// The last session ended by a loss: late answers may still be on their way.
    after_loss: bool,
    /// Block to begin the next poll with.
    first_block: usize,
}

impl Link {
    fn new(seat: LinkSeat, settings: ModbusConnection, bell: Arc<Notify>) -> Self {
        let reads = read_plan(seat.plan.reads.iter().map(|(_, tag)| tag), &settings);
        let writes = WritePlan::new(seat.plan.writes.iter().map(|(_, output)| output), &settings);
        let mut ids: Vec<u8> = reads.blocks.iter().map(|b| b.unit).collect();
        ids.sort_unstable();
        ids.dedup();
        let rested = |id| Unit { id, failures: 0, rest_until: Timestamp::ZERO, answered: false };
        let margin = MARGIN.saturating_mul(seat.time_scale.max(1));
        Self {
            phase: PollPhase::new(settings.poll, seat.plan.cycle, margin),
            // Links of one program get different seeds; two programs differ by their start time.
            jitter: Jitter::new(u64::from(seat.plan.id.0) << 32 ^ seat.utc.unix_nanos_at_zero as u64),
            units: ids.into_iter().map(rested).collect(),
            blocks: vec![BlockData::waiting(); reads.blocks.len()],
            block_rest: vec![Timestamp::ZERO; reads.blocks.len()],
            samples: vec![Sample::WAITING; seat.plan.reads.len()],
            state: LinkState::Starting,
            client: None,
            failures: 0,
            next_try: Timestamp::ZERO,
            after_loss: false,
            first_block: 0,
            reads,
            writes,
            seat,
            settings,
            bell,
        }
    }

    fn now(&self) -> Timestamp {
        self.seat.clock.now()
    }

    /// For ever: connect, poll in phase, write when the bell rings.
    async fn work(&mut self) {
        loop {
            if self.client.is_none() {
                self.connect().await;
                continue;
            }
            let now = self.now();
            let due = self.phase.next(now, Timestamp(self.seat.next_scan.load(Ordering::Relaxed)));
            if self.rings_before(due).await {
                self.serve_writes().await;
            } else {
                self.poll().await;
            }
        }
    }

    /// Waits; true when the bell rang first.
    async fn rings_before(&self, due: Timestamp) -> bool {
        let wait = self.seat.real(due.since(self.now()));
        tokio::select! {
            biased;
            () = self.bell.notified() => true,
            () = tokio::time::sleep(wait) => false,
        }
    }

    /// One try, when its time has come. Batches that arrive meanwhile are answered "not connected".
    async fn connect(&mut self) {
        while self.rings_before(self.next_try).await {
            self.serve_writes().await;
        }
        let timeout = self.seat.real(self.seat.plan.connection.timeout);
        let rtu = !matches!(self.settings.transport, ModbusTransport::Tcp { .. });
        // A late answer is awaited for as long again as it was asked for.
        let silence = if self.after_loss && rtu { timeout } else { Duration::ZERO };
        let timing = Timing { timeout, pause: self.seat.real(self.settings.pause), silence };
        // Set before the try: whatever becomes of it, the next one is a whole wait later.
        self.next_try = self.now().after(self.jitter.wait(self.seat.plan.connection.reconnect, self.failures));
        match Client::connect(&self.settings, timing).await {
            Ok(client) => {
                self.client = Some(client);
                self.after_loss = false;
                for unit in &mut self.units {
                    unit.answered = false;
                }
                self.block_rest.fill(Timestamp::ZERO);
            }
            Err(loss) => {
                self.failures = self.failures.saturating_add(1);
                self.next_try = self.now().after(self.jitter.wait(self.seat.plan.connection.reconnect, self.failures));
                self.go_down(loss);
            }
        }
        self.serve_writes().await;
    }

    /// Asks every block once. Ends early when the link is lost and cannot be made again at once.
    async fn poll(&mut self) {
        let start = self.now();
        self.phase.started(start);
        let (count, first) = (self.reads.blocks.len(), std::mem::take(&mut self.first_block));
        let mut complete = true;
        for i in (first..count).chain(0..first) {
            self.serve_writes().await;
            if self.client.is_none() && self.now() >= self.next_try {
                self.connect().await;
            }
            let Some(client) = &mut self.client else {
                self.first_block = i;
                complete = false;
                break;
            };
            let block = self.reads.blocks[i];
            let now = self.seat.clock.now();
            let resting = self.units.iter().any(|u| u.id == block.unit && now < u.rest_until);
            if resting || now < self.block_rest[i] {
                continue;
            }
            match client.read(&block, &mut self.blocks[i].words).await {
                Ok(()) => {
                    let at = self.now();
                    (self.blocks[i].status, self.blocks[i].at) = (Status::Good, at);
                    self.unit_answered(block.unit);
                }
                Err(RequestError::Refused(exception)) => self.block_refused(i, block, exception),
                Err(RequestError::Lost(loss)) => {
                    complete = false;
                    // The next poll begins with the next unit's blocks, so that a dead unit does not starve them.
                    self.first_block = (i + 1) % count;
                    self.lost(block.unit, loss);
                }
            }
        }
        if complete {
            self.phase.answered(self.now().since(start));
        }
        // Nothing to read: the open connection is all the proof there is.
        if self.client.is_some() && (count == 0 || self.units.iter().any(|u| u.answered)) {
            self.go_up();
        }
        self.publish();
    }

    /// An exception to a read: the session goes on, the values get the status of domain guide 2.4.
    fn block_refused(&mut self, i: usize, block: Block, exception: crate::error::Exception) {
        let now = self.now();
        let Some(status) = exception.read_status() else {
            // Busy: the last values stay and grow old.
            self.unit_answered(block.unit);
            return;
        };
        if self.blocks[i].status != status {
            let link = &self.seat.plan.connection.name;
            let last = u32::from(block.start) + u32::from(block.count) - 1;
            tracing::warn!(link, "unit {} {:?} {}..{last}: {exception}", block.unit, block.table, block.start);
        }
        (self.blocks[i].status, self.blocks[i].at) = (status, now);
        if exception.is_gateway() {
            self.unit_failed(block.unit, status);
            return;
        }
        self.unit_answered(block.unit);
        if exception.is_configuration() {
            self.block_rest[i] = now.after(self.seat.plan.connection.reconnect.longest);
        }
    }

    fn unit_answered(&mut self, id: u8) {
        self.failures = 0;
        if let Some(unit) = self.units.iter_mut().find(|u| u.id == id) {
            (unit.failures, unit.answered) = (0, true);
        }
    }

    /// A unit did not answer: its values turn Bad, and after some failures it rests, if there are others to ask.
    fn unit_failed(&mut self, id: u8, status: Status) {
        let now = self.now();
        for (block, data) in self.reads.blocks.iter().zip(&mut self.blocks) {
            if block.unit == id {
                (data.status, data.at) = (status, now);
            }
        }
        let others = self.units.len() > 1;
        if let Some(unit) = self.units.iter_mut().find(|u| u.id == id) {
            unit.failures = unit.failures.saturating_add(1);
            if others && unit.failures >= FAILURES_BEFORE_REST {
                let wait = self.jitter.wait(self.seat.plan.connection.reconnect, unit.failures - FAILURES_BEFORE_REST);
                unit.rest_until = now.after(wait);
            }
        }
    }

    /// The session is gone. Decides whose fault it was.
    fn lost(&mut self, unit: u8, loss: LinkLoss) {
        self.client = None;
        self.after_loss = true;
        self.unit_failed(unit, loss.status());
        if self.units.iter().any(|u| u.id != unit && u.answered) {
            tracing::debug!(link = self.seat.plan.connection.name, "unit {unit}: {loss}");
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.go_down(loss);
    }

    /// Everything is Bad, and the scan is told.
    fn go_down(&mut self, loss: LinkLoss) {
        if self.state != LinkState::Down {
            let place = match &self.settings.transport {
                ModbusTransport::Tcp { host, port } | ModbusTransport::RtuOverTcp { host, port } => {
                    format!("{host}:{port}")
                }
                ModbusTransport::Rtu { device, .. } => device.display().to_string(),
            };
            tracing::warn!(link = self.seat.plan.connection.name, "Modbus link to {place} down: {loss}");
        }
        self.state = LinkState::Down;
        self.phase.restart();
        let now = self.now();
        for data in &mut self.blocks {
            (data.status, data.at) = (loss.status(), now);
        }
        self.publish();
    }

    fn go_up(&mut self) {
        if self.state != LinkState::Up {
            let requests = self.reads.blocks.len();
            tracing::info!(link = self.seat.plan.connection.name, "Modbus link up, {requests} requests per poll");
        }
        self.state = LinkState::Up;
    }

    fn publish(&mut self) {
        let (now, utc) = (self.now(), self.seat.utc);
        let tags = self.seat.plan.reads.iter().map(|(_, tag)| tag);
        for ((slot, tag), item) in self.samples.iter_mut().zip(tags).zip(&self.reads.items) {
            *slot = sample(tag, item.as_ref(), &self.blocks, utc, now);
        }
        let (state, samples) = (self.state, &self.samples);
        self.seat.images.give(|image| {
            image.state = state;
            image.samples.clone_from(samples);
        });
    }

    /// Takes the newest batch, if there is one, and reports how it ended. Older ones were never sent and are gone.
    async fn serve_writes(&mut self) {
        let Some(batch) = self.seat.writes.newest().cloned() else { return };
        let mut outcome = WriteOutcome { cycle: batch.cycle, status: Status::Good, done: self.now(), discarded: false };
        self.write(&batch, &mut outcome).await;
        outcome.done = self.now();
        self.seat.outcomes.give(|slot| *slot = outcome);
    }

    /// Values, then commits. `discarded` is set when the batch was late before its first or any later request; a commit that was discarded
    /// leaves a value in the PLC that nothing tells it to use.
    async fn write(&mut self, batch: &WriteBatch, outcome: &mut WriteOutcome) {
        let mut refused = vec![None; batch.cells.len()];
        for phase in [WritePhase::Value, WritePhase::Commit] {
            for request in self.writes.requests(phase, &batch.cells, &mut refused) {
                if self.seat.clock.now() > batch.not_after {
                    outcome.status = outcome.status.worst(Status::BadTimeout);
                    outcome.discarded = true;
                    return;
                }
                let Some(client) = &mut self.client else {
                    outcome.status = outcome.status.worst(Status::BadNotConnected);
                    return;
                };
                match client.write(&request).await {
                    Ok(()) => self.unit_answered(request.unit),
                    Err(RequestError::Refused(exception)) => {
                        let status = exception.write_status();
                        let link = &self.seat.plan.connection.name;
                        tracing::warn!(link, "write to unit {} at {}: {exception}", request.unit, request.start);
                        for cell in request.cells {
                            refused[cell] = status.is_bad().then_some(status);
                        }
                        outcome.status = outcome.status.worst(status);
                    }
                    Err(RequestError::Lost(loss)) => {
                        outcome.status = outcome.status.worst(loss.status());
                        self.lost(request.unit, loss);
                        return;
                    }
                }
            }
        }
        for status in refused.into_iter().flatten() {
            outcome.status = outcome.status.worst(status);
        }
    }
}
