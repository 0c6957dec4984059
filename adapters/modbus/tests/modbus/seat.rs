//! A running link and the scan's side of it, for the tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flyball_config::{Connection, ConnectionId, Output, OutputId, Tag, TagId};
use flyball_core::image::{LinkState, Sample, WriteOutcome};
use flyball_core::link::{LinkDoor, LinkPlan, link_pair};
use flyball_core::ports::Clock;
use flyball_core::time::{Timestamp, UtcOffset, nanos};
use flyball_core::value::Value;

/// Longest wait for something that must come; a hang ends the test instead of the build.
const PATIENCE: Duration = Duration::from_secs(20);

struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        // One second ahead, so that no time is zero.
        Timestamp(nanos(self.0.elapsed()) + 1_000_000_000)
    }

    fn wait_until(&self, at: Timestamp) {
        std::thread::sleep(at.since(self.now()));
    }
}

/// A link in its thread. Dropping it stops the link and waits for its end.
pub struct Running {
    pub door: LinkDoor,
    pub clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub const CYCLE: Duration = Duration::from_millis(100);

impl Running {
    pub fn start(connection: Connection, tags: Vec<Tag>, outputs: Vec<Output>) -> Self {
        let plan = LinkPlan {
            id: ConnectionId(0),
            connection,
            reads: (0..).map(TagId).zip(tags).collect(),
            writes: (0..).map(OutputId).zip(outputs).collect(),
            cycle: CYCLE,
        };
        let (bell, ring) = flyball_modbus::doorbell();
        let stop = Arc::new(AtomicBool::new(false));
        let clock: Arc<dyn Clock> = Arc::new(RealClock(Instant::now()));
        let utc = UtcOffset { unix_nanos_at_zero: 1_700_000_000_000_000_000, scale: 1 };
        let (seat, door) = link_pair(plan, ring, Arc::clone(&stop), Arc::clone(&clock), utc, 1);
        let thread = Some(std::thread::spawn(move || flyball_modbus::run(seat, bell)));
        Self { door, clock, stop, thread }
    }

    /// The next image that satisfies `wanted`; every image on the way is shown to it.
    pub fn image(&mut self, mut wanted: impl FnMut(LinkState, &[Sample]) -> bool) -> (LinkState, Vec<Sample>) {
        let start = Instant::now();
        loop {
            if let Some(image) = self.door.images.newest()
                && wanted(image.state, &image.samples)
            {
                return (image.state, image.samples.clone());
            }
            assert!(start.elapsed() < PATIENCE, "the image that was waited for never came");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Posts a batch that may be sent until `not_after`, and waits for its end.
    pub fn write(&mut self, cycle: u64, not_after: Timestamp, cells: &[Option<f64>]) -> WriteOutcome {
        self.door.batches.give(|batch| {
            (batch.cycle, batch.not_after) = (cycle, not_after);
            batch.cells = cells.iter().map(|c| c.and_then(Value::new)).collect();
        });
        let start = Instant::now();
        loop {
            if let Some(outcome) = self.door.outcomes.newest()
                && outcome.cycle == cycle
            {
                return *outcome;
            }
            assert!(start.elapsed() < PATIENCE, "no outcome of cycle {cycle}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A deadline that no test machine misses.
    pub fn ample(&self) -> Timestamp {
        self.clock.now().after(PATIENCE)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the link thread panicked");
        }
    }
}

/// The number of a sample.
pub fn number(sample: &Sample) -> Option<f64> {
    sample.value.map(Value::get)
}
