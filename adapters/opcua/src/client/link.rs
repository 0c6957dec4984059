//! The link's life: one session after the other, images out, batches in, until the seat is stopped.
//!
//! Staleness counts from `alive`: the last answered Publish (a keep-alive counts) or Read. When nothing came for three keep-alive
//! intervals the subscription is made anew, and when that does not help, the session.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flyball_core::config::{Backoff, OpcUaConnection, ReadBy};
use flyball_core::image::{LinkState, Sample, WriteOutcome};
use flyball_core::link::LinkSeat;
use flyball_core::status::Status;
use flyball_core::time::Timestamp;
use opcua::types::{
    MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, ReadValueId, TimestampsToReturn,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::ClientIdentity;
use super::inbox::{Inbox, Postman};
use super::nodes::{CallFailed, Reader, in_words};
use super::readings::{Parts, Reading, points, sample};
use super::session::{Failure, Open, Opener};
use super::writes::{Cell, write};
use crate::wire::to_status;

/// How often a waiting link looks whether it shall stop.
const STOP_LOOK: Duration = Duration::from_millis(50);
/// Connecting (RSA, two round trips, a slow PLC) gets at least this long, however fast the process clock runs.
const PATIENCE_MIN: Duration = Duration::from_millis(1_000);
/// Keep-alives come at least this often (real time), so that silence is noticed soon.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(1);
/// Silent keep-alive intervals until the subscription is made anew.
const SILENT_INTERVALS: u32 = 3;

/// One prepared session.
struct Up {
    open: Open,
    reader: Reader,
    cells: Vec<Cell>,
    nodes: Vec<Option<NodeId>>,
    inbox: Arc<Inbox>,
    subscription: Option<u32>,
    /// Silence (process time) that is not normal.
    silence: Duration,
    /// The watchdog counts from here at the earliest.
    watched_since: Timestamp,
    /// The subscription was already made anew for this silence.
    revived: bool,
}

/// How a session ended.
enum End {
    Stopped,
    Lost(String),
}

pub(super) struct Link {
    seat: LinkSeat,
    settings: OpcUaConnection,
    bell: Arc<Notify>,
    identity: ClientIdentity,
    parts: Vec<Parts>,
    readings: Vec<Reading>,
    samples: Vec<Sample>,
    alive: Timestamp,
    state: LinkState,
    said: Option<Failure>,
    failures: u32,
    seed: u64,
}

impl Link {
    pub fn new(seat: LinkSeat, settings: OpcUaConnection, bell: Arc<Notify>, identity: ClientIdentity) -> Self {
        let (points, parts) = points(seat.plan.reads.iter().map(|(_, tag)| tag));
        let readings = vec![Reading::WAITING; points.len()];
        let samples = vec![Sample::WAITING; seat.plan.reads.len()];
        let seed = (u64::from(seat.plan.id.0) << 32) ^ seat.utc.unix_nanos_at_zero as u64 | 1;
        Self {
            seat,
            settings,
            bell,
            identity,
            parts,
            readings,
            samples,
            alive: Timestamp::ZERO,
            state: LinkState::Starting,
            said: None,
            failures: 0,
            seed,
        }
    }

    fn name(&self) -> &str {
        &self.seat.plan.connection.name
    }

    fn call_limit(&self) -> Duration {
        self.seat.real(self.seat.plan.connection.timeout)
    }

    fn patience(&self) -> Duration {
        self.call_limit().max(PATIENCE_MIN)
    }

    /// Until the seat is stopped.
    pub async fn work(mut self) {
        let opener = Opener {
            settings: self.settings.clone(),
            identity: self.identity.clone(),
            patience: self.patience(),
            clock: Arc::clone(&self.seat.clock),
        };
        while !self.seat.stopping() {
            let opened = {
                let mut opening = std::pin::pin!(opener.open());
                loop {
                    tokio::select! {
                        opened = &mut opening => break Some(opened),
                        () = self.idle() => if self.seat.stopping() { break None },
                    }
                }
            };
            let failure = match opened {
                None => break,
                Some(Ok(open)) => match self.prepare(open).await {
                    Ok(mut up) => {
                        self.failures = 0;
                        match self.serve(&mut up).await {
                            End::Stopped => {
                                up.open.close(self.patience()).await;
                                break;
                            }
                            End::Lost(why) => {
                                // First of all the scan is told; the server may take its time with our goodbye.
                                self.go_down(LinkState::Down);
                                self.leave(up.open).await;
                                Failure::Down(why)
                            }
                        }
                    }
                    Err(CallFailed(why)) => Failure::Down(why),
                },
                Some(Err(failure)) => failure,
            };
            self.say(&failure);
            self.go_down(if matches!(failure, Failure::Refused(_)) { LinkState::Refused } else { LinkState::Down });
            let until = Instant::now() + self.back_off();
            while Instant::now() < until && !self.seat.stopping() {
                tokio::select! {
                    () = self.idle() => {}
                    () = sleep_until(until) => {}
                }
            }
        }
        self.go_down(LinkState::Down);
    }

    /// Closes a session that has been lost, so that a server that still hears us can forget it. Bounded by `patience`.
    async fn leave(&mut self, open: Open) {
        let mut closing = std::pin::pin!(open.close(self.patience()));
        loop {
            tokio::select! {
                () = &mut closing => return,
                () = self.idle() => {}
            }
        }
    }

    /// One short wait without a session: batches are answered "not connected", so that none is sent after the outage.
    async fn idle(&mut self) {
        let wait = STOP_LOOK.min(self.seat.real(self.seat.plan.cycle).max(Duration::from_millis(1)));
        let bell = Arc::clone(&self.bell);
        tokio::select! {
            () = bell.notified() => self.refuse_batch(),
            () = sleep(wait) => self.publish(),
        }
    }

    fn refuse_batch(&mut self) {
        let done = self.seat.clock.now();
        let Some(batch) = self.seat.writes.newest() else { return };
        let outcome = WriteOutcome { cycle: batch.cycle, status: Status::BadNotConnected, done, discarded: true };
        self.seat.outcomes.give(|slot| *slot = outcome);
    }

    /// `first * 2^failures` up to `longest`, times 0.75 to 1.25: links that fell together must not come back together.
    fn back_off(&mut self) -> Duration {
        let Backoff { first, longest } = self.seat.plan.connection.reconnect;
        let grown = first.saturating_mul(1 << self.failures.min(20)).min(longest.max(first));
        self.failures = self.failures.saturating_add(1);
        // xorshift64 (Marsaglia 2003); not for secrets.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let fraction = (self.seed >> 11) as f64 / (1u64 << 53) as f64;
        self.seat.real(grown.mul_f64(0.75 + 0.5 * fraction))
    }

    /// Each reason is said once, not once per try.
    fn say(&mut self, failure: &Failure) {
        if self.said.as_ref() == Some(failure) {
            return;
        }
        match failure {
            Failure::Down(why) => warn!(link = self.name(), "OPC UA link down: {why}"),
            Failure::Refused(why) => warn!(link = self.name(), "OPC UA link refused: {why}"),
        }
        self.said = Some(failure.clone());
    }

    fn go_down(&mut self, state: LinkState) {
        self.state = state;
        for (sample, parts) in self.samples.iter_mut().zip(&self.parts) {
            let source_time = self.readings[parts.value].source_time;
            *sample = Sample { value: None, status: Status::BadNoCommunication, source_time, alive: self.alive };
        }
        self.give();
    }

    fn give(&mut self) {
        let (state, samples) = (self.state, &self.samples);
        self.seat.images.give(|image| {
            image.state = state;
            image.samples.clone_from(samples);
        });
    }

    /// Samples from the readings, and out.
    fn publish(&mut self) {
        if self.state == LinkState::Up {
            let utc = self.seat.utc;
            for (at, (_, tag)) in self.seat.plan.reads.iter().enumerate() {
                self.samples[at] = sample(tag, self.parts[at], &self.readings, utc, self.alive);
            }
        }
        self.give();
    }

    /// Everything a session needs before its first image: nodes, types, subscription.
    async fn prepare(&mut self, open: Open) -> Result<Up, CallFailed> {
        let reader = Reader::new(Arc::clone(&open.session), self.patience()).await?;
        let (addresses, _) = points(self.seat.plan.reads.iter().map(|(_, tag)| tag));
        let resolved = reader.resolve(&addresses).await?;
        let now = self.seat.clock.now();
        let mut nodes = Vec::new();
        for (at, node) in resolved.into_iter().enumerate() {
            match node {
                Ok(node) => {
                    self.readings[at] = Reading::WAITING;
                    nodes.push(Some(node.id));
                }
                Err((status, why)) => {
                    let (tag, address) = (self.tag_of(at), in_words(addresses[at]));
                    warn!(link = self.name(), tag, address, "tag is not readable: {why}; correct its address");
                    self.readings[at] = Reading::bad(status, now);
                    nodes.push(None);
                }
            }
        }
        let outputs: Vec<_> = self.seat.plan.writes.iter().map(|(_, output)| &output.address).collect();
        let targets = reader.resolve(&outputs).await?;
        let mut cells = Vec::new();
        for ((_, output), node) in self.seat.plan.writes.iter().zip(targets) {
            let node = node.map_err(|(status, why)| {
                let (output, address) = (&output.name, in_words(&output.address));
                warn!(link = self.name(), output, address, "output is not writable: {why}; correct its address");
                status
            });
            cells.push(Cell { output: output.clone(), node });
        }
        let inbox = Arc::new(Inbox::default());
        *inbox.values.lock().unwrap_or_else(PoisonError::into_inner) = vec![None; nodes.len()];
        let mut up = Up {
            open,
            reader,
            cells,
            nodes,
            inbox,
            subscription: None,
            silence: Duration::ZERO,
            watched_since: now,
            revived: false,
        };
        match self.settings.read_by {
            ReadBy::Subscription { publishing } => self.subscribe(&mut up, publishing).await?,
            ReadBy::Cyclic { .. } => self.read_all(&mut up).await?,
        }
        // What was asked for before this session is not sent in it.
        self.refuse_batch();
        self.state = LinkState::Up;
        self.said = None;
        info!(link = self.name(), url = self.settings.endpoint, points = up.nodes.len(), "OPC UA link up");
        Ok(up)
    }

    fn tag_of(&self, point: usize) -> &str {
        let owner = self.parts.iter().rposition(|p| p.value <= point).unwrap_or(0);
        &self.seat.plan.reads[owner].1.name
    }

    async fn subscribe(&mut self, up: &mut Up, publishing: Duration) -> Result<(), CallFailed> {
        let interval = self.seat.real(publishing);
        let stale = self.seat.plan.reads.iter().map(|(_, tag)| tag.stale_after).min().unwrap_or(KEEP_ALIVE_MAX * 3);
        let keep_alive = (self.seat.real(stale) / 3).clamp(interval, KEEP_ALIVE_MAX.max(interval));
        let count = |d: Duration| (d.as_secs_f64() / interval.as_secs_f64().max(1e-3)).ceil().clamp(1.0, 1e6) as u32;
        let lifetime = count(Duration::from_secs(30)).max(3 * count(keep_alive));
        let limit = self.patience();
        let session = &up.open.session;
        let created = timeout(
            limit,
            session.create_subscription(
                interval,
                lifetime,
                count(keep_alive),
                0,
                0,
                true,
                Postman(Arc::clone(&up.inbox)),
            ),
        );
        let id = match created.await {
            Ok(Ok(id)) => id,
            Ok(Err(e)) => return Err(CallFailed(format!("CreateSubscription: {e}"))),
            Err(_) => return Err(CallFailed("CreateSubscription: no answer".into())),
        };
        up.subscription = Some(id);
        let (revised, revised_count) = {
            let state = session.subscription_state().lock();
            state.get(id).map_or((interval, count(keep_alive)), |s| (s.publishing_interval(), s.max_keep_alive_count()))
        };
        let slowest = self.monitor(up, id, interval).await?;
        let session = &up.open.session;
        session.trigger_publish_now();
        let (cycle, link) = (self.seat.real(self.seat.plan.cycle), self.name());
        if revised > cycle || slowest > cycle {
            warn!(link, ?interval, ?revised, sampling = ?slowest, ?cycle,
                "the server publishes or samples slower than the cycle; lower its minimum intervals or lengthen the cycle");
        } else {
            info!(link, ?interval, ?revised, sampling = ?slowest, "subscribed");
        }
        let silent = (revised * revised_count.max(1)) * SILENT_INTERVALS + limit;
        up.silence = silent * self.seat.time_scale.max(1);
        up.watched_since = self.seat.clock.now();
        Ok(())
    }

    /// Creates the monitored items; returns the slowest revised sampling interval.
    async fn monitor(&mut self, up: &Up, subscription: u32, interval: Duration) -> Result<Duration, CallFailed> {
        let known: Vec<(usize, &NodeId)> =
            up.nodes.iter().enumerate().filter_map(|(i, n)| Some((i, n.as_ref()?))).collect();
        let mut slowest = Duration::ZERO;
        for chunk in known.chunks(up.reader.limits.monitored_items.max(1)) {
            let items = chunk.iter().map(|(at, id)| MonitoredItemCreateRequest {
                item_to_monitor: ReadValueId::from(NodeId::clone(id)),
                monitoring_mode: MonitoringMode::Reporting,
                requested_parameters: MonitoringParameters {
                    client_handle: *at as u32 + 1,
                    sampling_interval: interval.as_secs_f64() * 1e3,
                    queue_size: 1,
                    discard_oldest: true,
                    ..Default::default()
                },
            });
            let session = &up.open.session;
            let created = session.create_monitored_items(subscription, TimestampsToReturn::Both, items.collect());
            let created = match timeout(self.patience(), created).await {
                Ok(Ok(created)) => created,
                Ok(Err(e)) => return Err(CallFailed(format!("CreateMonitoredItems: {e}"))),
                Err(_) => return Err(CallFailed("CreateMonitoredItems: no answer".into())),
            };
            for (item, (at, id)) in created.iter().zip(chunk) {
                let status = to_status(item.result.status_code);
                let revised = item.result.revised_sampling_interval;
                if status.is_bad() {
                    warn!(link = self.name(), tag = self.tag_of(*at), node = %id, "tag cannot be monitored: the server says {status}");
                    self.readings[*at] = Reading::bad(status, self.seat.clock.now());
                } else if revised.is_finite() && revised > 0.0 {
                    slowest = slowest.max(Duration::from_secs_f64(revised.min(1e9) * 1e-3));
                }
            }
        }
        Ok(slowest)
    }

    /// Until the connection is lost or the seat is stopped.
    async fn serve(&mut self, up: &mut Up) -> End {
        let look = self.seat.real(self.seat.plan.cycle).max(Duration::from_millis(1)).min(STOP_LOOK);
        let every = match self.settings.read_by {
            ReadBy::Cyclic { every } => Some(self.seat.real(every).max(Duration::from_millis(1))),
            ReadBy::Subscription { .. } => None,
        };
        let mut next_read = Instant::now() + every.unwrap_or_default();
        let mut next_look = Instant::now() + look;
        let (bell, pulse) = (Arc::clone(&self.bell), Arc::clone(&up.open.pulse));
        self.take_news(up);
        loop {
            tokio::select! {
                biased;
                () = bell.notified() => if let Some(why) = self.write(up).await { return End::Lost(why) },
                () = pulse.news.notified() => self.take_news(up),
                () = sleep_until(next_look) => {
                    next_look = Instant::now() + look;
                    if self.seat.stopping() {
                        return End::Stopped;
                    }
                    self.take_news(up);
                    if every.is_none() && let Err(CallFailed(why)) = self.watch(up).await {
                        return End::Lost(why);
                    }
                }
                () = sleep_until(next_read), if every.is_some() => {
                    let every = every.unwrap_or_default();
                    next_read = (next_read + every).max(Instant::now());
                    if let Err(CallFailed(why)) = self.read_all(up).await {
                        return End::Lost(why);
                    }
                    self.publish();
                }
            }
            if up.open.is_lost() {
                return End::Lost("the server closed the connection or the network did".into());
            }
        }
    }

    /// Values that arrived since the last look, and the proof of life.
    fn take_news(&mut self, up: &Up) {
        let now = self.seat.clock.now();
        let published = Timestamp(up.open.pulse.published.load(Ordering::Relaxed));
        self.alive = self.alive.max(published);
        let mut values = up.inbox.values.lock().unwrap_or_else(PoisonError::into_inner);
        for (slot, reading) in values.iter_mut().zip(&mut self.readings) {
            if let Some(value) = slot.take() {
                *reading = Reading::new(&value, self.seat.utc, now);
            }
        }
        drop(values);
        self.publish();
    }

    async fn read_all(&mut self, up: &mut Up) -> Result<(), CallFailed> {
        let known: Vec<(usize, ReadValueId)> =
            up.nodes.iter().enumerate().filter_map(|(at, node)| Some((at, ReadValueId::from(node.clone()?)))).collect();
        let ids: Vec<ReadValueId> = known.iter().map(|(_, id)| id.clone()).collect();
        let reader =
            Reader { session: Arc::clone(&up.open.session), limits: up.reader.limits, limit: self.call_limit() };
        let values = reader.read(&ids).await?;
        let now = self.seat.clock.now();
        self.alive = now;
        for ((at, _), value) in known.iter().zip(&values) {
            self.readings[*at] = Reading::new(value, self.seat.utc, now);
        }
        Ok(())
    }

    /// Carries out the newest batch. The reason, when the connection can no longer be trusted.
    async fn write(&mut self, up: &Up) -> Option<String> {
        let batch = self.seat.writes.newest()?.clone();
        let limit = self.call_limit();
        let (clock, per_call) = (Arc::clone(&self.seat.clock), up.reader.limits.write);
        let written = write(&up.open.session, clock.as_ref(), &up.cells, &batch, limit, per_call).await;
        let outcome = written.outcome;
        if outcome.status.is_bad() {
            debug!(link = self.name(), cycle = outcome.cycle, status = %outcome.status, "write");
        }
        self.seat.outcomes.give(|slot| *slot = outcome);
        written.lost.then(|| format!("a write was not answered ({}); later ones would queue behind it", outcome.status))
    }

    /// The watchdog: no Publish answered for too long, although the session says it is connected.
    async fn watch(&mut self, up: &mut Up) -> Result<(), CallFailed> {
        let now = self.seat.clock.now();
        let heard = self.alive.max(up.watched_since);
        if self.alive > up.watched_since {
            up.revived = false;
        }
        let ended = up.inbox.ended.swap(false, Ordering::Relaxed);
        if !ended && now.since(heard) <= up.silence {
            return Ok(());
        }
        if up.revived {
            return Err(CallFailed("the subscription stays silent although it was made anew".into()));
        }
        warn!(link = self.name(), silent = ?now.since(heard), "no notification and no keep-alive; making the subscription anew");
        up.revived = true;
        if let Some(old) = up.subscription.take() {
            let _ = timeout(self.patience(), up.open.session.delete_subscription(old)).await;
        }
        let ReadBy::Subscription { publishing } = self.settings.read_by else { return Ok(()) };
        self.subscribe(up, publishing).await
    }
}
