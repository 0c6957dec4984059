//! What a field link is given and gives back: the plan, the image boxes, the write batches.
//!
//! A link is one thread with one connection (docs/ARCHITECTURE.md, threads). It may wait; the scan never waits for it.
//! SYNC POINT: all hand-over is through `exchange` boxes and the two atomics in `LinkSeat`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flyball_config::{Config, Connection, ConnectionId, Output, OutputId, Tag, TagId};

use crate::exchange::{Giver, Taker, exchange};
use crate::image::{LinkState, Sample, WriteOutcome};
use crate::ports::Clock;
use crate::time::{Timestamp, UtcOffset};
use crate::value::Value;

/// What one link reads and writes, in the order of its boxes.
#[derive(Debug, Clone)]
pub struct LinkPlan {
    /// Which connection.
    pub id: ConnectionId,
    /// Its settings.
    pub connection: Connection,
    /// Tags read here.
    pub reads: Vec<(TagId, Tag)>,
    /// Cells written here.
    pub writes: Vec<(OutputId, Output)>,
    /// Scan period, for phasing the polls.
    pub cycle: Duration,
}

impl LinkPlan {
    /// One plan per connection of a configuration.
    #[must_use]
    pub fn all(config: &Config) -> Vec<Self> {
        (0u32..)
            .zip(&config.connections)
            .map(|(i, connection)| {
                let id = ConnectionId(i);
                let reads = (0u32..).zip(&config.tags).filter(|(_, t)| t.connection == id);
                let writes = (0u32..).zip(&config.outputs).filter(|(_, o)| o.connection == id);
                Self {
                    id,
                    connection: connection.clone(),
                    reads: reads.map(|(t, tag)| (TagId(t), tag.clone())).collect(),
                    writes: writes.map(|(o, out)| (OutputId(o), out.clone())).collect(),
                    cycle: config.timing.cycle,
                }
            })
            .collect()
    }
}

/// Newest readings of one link, in the order of `LinkPlan::reads`.
#[derive(Debug, Clone)]
pub struct LinkImage {
    /// State of the connection.
    pub state: LinkState,
    /// One per read.
    pub samples: Vec<Sample>,
}

/// Cells to write in one cycle, in the order of `LinkPlan::writes`.
///
/// A link sends all set cells of phase `Value` in one request, then all set cells of phase `Commit` in a second one.
#[derive(Debug, Clone)]
pub struct WriteBatch {
    /// Cycle that asked.
    pub cycle: u64,
    /// Nothing of it may be sent after this time.
    pub not_after: Timestamp,
    /// One per write; None is not written.
    pub cells: Vec<Option<Value>>,
}

/// The link thread's side.
pub struct LinkSeat {
    /// What to do.
    pub plan: LinkPlan,
    /// Readings out.
    pub images: Giver<LinkImage>,
    /// Write batches in; only the newest counts, an older one is never sent late.
    pub writes: Taker<WriteBatch>,
    /// Outcomes out.
    pub outcomes: Giver<WriteOutcome>,
    /// Scheduled start of the next scan, nanoseconds: polls are phased to be answered just before it. SYNC POINT: Relaxed, a hint.
    pub next_scan: Arc<AtomicU64>,
    /// True: close the session properly and end. SYNC POINT: set once by main, Relaxed is enough.
    pub stop: Arc<AtomicBool>,
    /// Process clock.
    pub clock: Arc<dyn Clock>,
    /// UTC at the rim.
    pub utc: UtcOffset,
    /// Process seconds per real second (1 on a plant; an accelerated rig says more). Time-outs and intervals of the plan are
    /// process time: divide by this before waiting on a real timer.
    pub time_scale: u32,
}

impl LinkSeat {
    /// A process duration as real waiting time.
    #[must_use]
    pub fn real(&self, process: Duration) -> Duration {
        process / self.time_scale.max(1)
    }

    /// Main has asked the link to end.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The scan's side of one link.
pub struct LinkDoor {
    /// Tags in the order of the link's samples.
    pub reads: Vec<TagId>,
    /// Cells in the order of the link's batch.
    pub writes: Vec<OutputId>,
    /// Readings in.
    pub images: Taker<LinkImage>,
    /// Write batches out.
    pub batches: Giver<WriteBatch>,
    /// Outcomes in.
    pub outcomes: Taker<WriteOutcome>,
    /// Tells the link when the next scan starts.
    pub next_scan: Arc<AtomicU64>,
}

/// Makes the two sides of one link. `ring` is called after a batch was posted; it must wake the link's thread and not block.
#[must_use]
pub fn link_pair(
    plan: LinkPlan,
    ring: Arc<dyn Fn() + Send + Sync>,
    stop: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    utc: UtcOffset,
    time_scale: u32,
) -> (LinkSeat, LinkDoor) {
    /// Boxes in flight: one being filled, one waiting, one being read, one spare so that nobody ever finds none.
    const BOXES: usize = 4;
    let image = LinkImage { state: LinkState::Starting, samples: vec![Sample::WAITING; plan.reads.len()] };
    let batch = WriteBatch { cycle: 0, not_after: Timestamp::ZERO, cells: vec![None; plan.writes.len()] };
    let outcome =
        WriteOutcome { cycle: 0, status: crate::status::Status::Good, done: Timestamp::ZERO, discarded: false };
    let (images, image_taker) = exchange(BOXES, || image.clone(), Arc::new(|| {}));
    let (batches, batch_taker) = exchange(BOXES, || batch.clone(), ring);
    let (outcomes, outcome_taker) = exchange(BOXES, || outcome, Arc::new(|| {}));
    let next_scan = Arc::new(AtomicU64::new(0));
    let door = LinkDoor {
        reads: plan.reads.iter().map(|(id, _)| *id).collect(),
        writes: plan.writes.iter().map(|(id, _)| *id).collect(),
        images: image_taker,
        batches,
        outcomes: outcome_taker,
        next_scan: Arc::clone(&next_scan),
    };
    let seat = LinkSeat { plan, images, writes: batch_taker, outcomes, next_scan, stop, clock, utc, time_scale };
    (seat, door)
}
