//! The gate in front of a server: connection caps, frame lengths, idle and stalled peers, sessions asked for in clear text.
//!
//! async-opcua's listener has no cap of connections or message length, answers CreateSession on channels that are not offered,
//! and keeps every response for a peer that does not read (1.4 GB were seen). So no stranger reaches it directly: the gate
//! accepts, reads one frame at a time into a bounded buffer and forwards it over loopback.
//!
//! The bound: at most `outstanding` requests of a connection are inside the server or on the way back. A peer that does not
//! read its answers is not read from either, and is closed after `stalled`.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::frame::{self, FrameKind, HEADER_BYTES, HELLO_BYTES_MAX, Header};

/// Limits of a gate. Each is a maximum that a plant's real clients stay far below.
#[derive(Debug, Clone)]
pub struct GateLimits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub per_address: usize,
    /// Bytes of one chunk, header included; the server's buffers are 65 535.
    pub chunk_bytes: usize,
    /// Requests of one connection that are not answered yet. Pending Publish requests count (the server allows 20).
    pub outstanding: usize,
    /// Time for HELLO, and from there to the first request.
    pub hello_within: Duration,
    /// A connection without any frame from the client for this long is closed.
    pub idle: Duration,
    /// A peer that takes nothing for this long is closed.
    pub stalled: Duration,
    /// Sessions in clear text that one address may ask for at once; they come back at `clear_sessions_per_s`.
    pub clear_sessions: u32,
    /// See `clear_sessions`.
    pub clear_sessions_per_s: f64,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            connections: 100,
            per_address: 50,
            chunk_bytes: 65_536,
            outstanding: 32,
            hello_within: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            stalled: Duration::from_secs(10),
            clear_sessions: 60,
            clear_sessions_per_s: 1.0,
        }
    }
}

/// What the gate has done since start, for diagnostics and tests.
#[derive(Debug, Default)]
pub struct GateCounters {
    /// Connections open now.
    pub open: AtomicUsize,
    /// Connections refused by a cap.
    pub refused: AtomicUsize,
    /// Connections closed for a broken rule (length, order, clear session, stalled).
    pub expelled: AtomicUsize,
}

/// Per address: connections, and a bucket of clear sessions.
struct Visitor {
    open: usize,
    clear_sessions: f64,
    refilled: Instant,
}

/// Addresses remembered at once; those without a connection and with a full bucket are forgotten first.
const VISITORS_MAX: usize = 4_096;

struct Shared {
    limits: GateLimits,
    none_offered: bool,
    inner: SocketAddr,
    counters: Arc<GateCounters>,
    visitors: Mutex<HashMap<IpAddr, Visitor>>,
}

/// A running gate. Dropping it closes the listener and every connection.
pub struct Gate {
    /// Counters.
    pub counters: Arc<GateCounters>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// Opens the gate on `listener` in front of the server at `inner`.
    #[must_use]
    pub fn open(listener: TcpListener, inner: SocketAddr, limits: GateLimits, none_offered: bool) -> Self {
        let counters = Arc::new(GateCounters::default());
        let shared = Arc::new(Shared {
            limits,
            none_offered,
            inner,
            counters: Arc::clone(&counters),
            visitors: Mutex::new(HashMap::new()),
        });
        Self { counters, task: tokio::spawn(accept(listener, shared)) }
    }
}

/// A listener whose connections have Nagle's algorithm off: with it on, a notification took 80 ms instead of 11 ms.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(128)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = guests.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((client, address)) => match Entry::new(&shared, address.ip()) {
                    Ok(entry) => {
                        guests.spawn(guest(client, address, Arc::clone(&shared), entry));
                    }
                    Err(why) => {
                        shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                        debug!(%address, why, "OPC UA connection refused");
                        refuse(&client, why);
                    }
                },
                Err(error) => {
                    // Out of file descriptors: without a pause this loop would spin.
                    warn!(%error, "OPC UA listener cannot accept; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

/// Says why, without waiting: a fresh socket's send buffer is empty.
fn refuse(client: &TcpStream, why: &str) {
    const BAD_TCP_NOT_ENOUGH_RESOURCES: u32 = 0x8081_0000;
    let _ = client.try_write(&frame::error_frame(BAD_TCP_NOT_ENOUGH_RESOURCES, why));
}

/// One counted connection; leaving is counted by drop.
struct Entry {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Entry {
    fn new(shared: &Arc<Shared>, address: IpAddr) -> Result<Self, &'static str> {
        let limits = &shared.limits;
        if shared.counters.open.load(Ordering::Relaxed) >= limits.connections {
            return Err("this server has as many connections as it allows; try later");
        }
        let mut visitors = shared.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        if visitors.len() >= VISITORS_MAX {
            let full = f64::from(limits.clear_sessions);
            visitors.retain(|_, v| v.open > 0 || v.refill(limits) < full);
        }
        let visitor = visitors.entry(address).or_insert_with(|| Visitor {
            open: 0,
            clear_sessions: f64::from(limits.clear_sessions),
            refilled: Instant::now(),
        });
        if visitor.open >= limits.per_address {
            return Err("this address has as many connections as one address may have; close some");
        }
        visitor.open += 1;
        shared.counters.open.fetch_add(1, Ordering::Relaxed);
        Ok(Self { shared: Arc::clone(shared), address })
    }

    /// Takes one clear session from the address's bucket.
    fn take_clear_session(&self) -> bool {
        let mut visitors = self.shared.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(visitor) = visitors.get_mut(&self.address) else { return false };
        let left = visitor.refill(&self.shared.limits);
        if left < 1.0 {
            return false;
        }
        visitor.clear_sessions = left - 1.0;
        true
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.counters.open.fetch_sub(1, Ordering::Relaxed);
        let mut visitors = self.shared.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(visitor) = visitors.get_mut(&self.address) {
            visitor.open -= 1;
        }
    }
}

impl Visitor {
    fn refill(&mut self, limits: &GateLimits) -> f64 {
        let gained = self.refilled.elapsed().as_secs_f64() * limits.clear_sessions_per_s;
        self.refilled = Instant::now();
        self.clear_sessions = (self.clear_sessions + gained).min(f64::from(limits.clear_sessions));
        self.clear_sessions
    }
}

/// Why a connection ends.
enum End {
    /// One side closed it or the network did.
    Closed,
    /// A rule was broken: status code and reason for the peer.
    Expelled(u32, &'static str),
}

const BAD_TCP_MESSAGE_TYPE_INVALID: u32 = 0x807E_0000;
const BAD_TCP_MESSAGE_TOO_LARGE: u32 = 0x8080_0000;
const BAD_TIMEOUT: u32 = 0x800A_0000;
const BAD_SECURITY_POLICY_REJECTED: u32 = 0x8055_0000;
const BAD_TOO_MANY_SESSIONS: u32 = 0x8056_0000;

async fn guest(mut client: TcpStream, address: SocketAddr, shared: Arc<Shared>, entry: Entry) {
    let opened = client.set_nodelay(true).and_then(|()| {
        let socket = TcpSocket::new_v4()?;
        socket.set_nodelay(true)?;
        Ok(socket)
    });
    let Ok(socket) = opened else { return };
    let Ok(Ok(mut server)) = timeout(shared.limits.stalled, socket.connect(shared.inner)).await else {
        warn!(%address, "OPC UA server behind the gate does not answer");
        return;
    };
    let traffic = Traffic { limits: &shared.limits, outstanding: AtomicUsize::new(0), answered: Notify::new() };
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            end = traffic.requests(from_client, to_server, shared.none_offered, &entry) => end,
            end = traffic.responses(from_server, to_client) => end,
        }
    };
    if let End::Expelled(code, why) = end {
        shared.counters.expelled.fetch_add(1, Ordering::Relaxed);
        info!(%address, why, "OPC UA connection closed by the gate");
        let _ = client.try_write(&frame::error_frame(code, why));
    }
    let _ = timeout(Duration::from_secs(1), client.shutdown()).await;
}

/// Both directions of one connection.
struct Traffic<'a> {
    limits: &'a GateLimits,
    outstanding: AtomicUsize,
    answered: Notify,
}

impl Traffic<'_> {
    /// Client to server. Work per frame is bounded by `chunk_bytes`; memory by one such buffer.
    async fn requests(
        &self,
        mut client: impl AsyncRead + Unpin,
        mut server: impl AsyncWrite + Unpin,
        none_offered: bool,
        entry: &Entry,
    ) -> End {
        let mut chunk = Vec::new();
        let mut said_hello = false;
        let mut in_clear = false;
        let mut inside_message = false;
        let mut requested = false;
        loop {
            if let Err(end) = self.wait_for_answers().await {
                return end;
            }
            let patience = if requested { self.limits.idle } else { self.limits.hello_within };
            let header = match timeout(
                patience,
                read_frame(&mut client, &mut chunk, |header| {
                    if (header.kind == FrameKind::Hello) == said_hello || header.kind == FrameKind::Acknowledge {
                        return Err(End::Expelled(BAD_TCP_MESSAGE_TYPE_INVALID, "first HELLO, once, then OPN and MSG"));
                    }
                    let longest = if said_hello { self.limits.chunk_bytes } else { HELLO_BYTES_MAX };
                    if header.bytes > longest {
                        return Err(End::Expelled(BAD_TCP_MESSAGE_TOO_LARGE, "frame is longer than was agreed"));
                    }
                    Ok(())
                }),
            )
            .await
            {
                Ok(Ok(header)) => header,
                Ok(Err(end)) => return end,
                Err(_) => return End::Expelled(BAD_TIMEOUT, "no frame for too long"),
            };
            let body = &chunk[HEADER_BYTES..];
            match header.kind {
                FrameKind::Hello => said_hello = true,
                FrameKind::Open => in_clear = frame::opens_policy_none(body),
                FrameKind::Message if in_clear && !inside_message => {
                    let request = frame::clear_request_type(body);
                    let discovery = request.is_some_and(|r| frame::DISCOVERY.contains(&r));
                    if !none_offered && !discovery {
                        return End::Expelled(
                            BAD_SECURITY_POLICY_REJECTED,
                            "SecurityPolicy None is not offered here; choose one of the endpoints that GetEndpoints lists",
                        );
                    }
                    if request == Some(frame::CREATE_SESSION) && !entry.take_clear_session() {
                        return End::Expelled(BAD_TOO_MANY_SESSIONS, "too many sessions from this address; try later");
                    }
                    requested |= !discovery;
                }
                FrameKind::Message => requested = true,
                _ => {}
            }
            if header.kind == FrameKind::Message {
                inside_message = !header.last;
                if header.last {
                    self.outstanding.fetch_add(1, Ordering::Relaxed);
                }
            }
            match timeout(self.limits.stalled, server.write_all(&chunk)).await {
                Ok(Ok(())) => {}
                _ => return End::Closed,
            }
        }
    }

    /// Holds further requests while too many are unanswered.
    async fn wait_for_answers(&self) -> Result<(), End> {
        let mut waited = Duration::ZERO;
        /// A look now and then costs nothing and needs no proof that no wake-up is ever lost.
        const LOOK: Duration = Duration::from_millis(100);
        while self.outstanding.load(Ordering::Relaxed) >= self.limits.outstanding {
            if waited >= self.limits.stalled {
                return Err(End::Expelled(BAD_TIMEOUT, "too many requests without reading the answers"));
            }
            if timeout(LOOK, self.answered.notified()).await.is_err() {
                waited += LOOK;
            }
        }
        Ok(())
    }

    /// Server to client. A response counts as answered when the client's socket has taken it.
    async fn responses(&self, mut server: impl AsyncRead + Unpin, mut client: impl AsyncWrite + Unpin) -> End {
        let mut chunk = Vec::new();
        loop {
            let header = match read_frame(&mut server, &mut chunk, |header| {
                if header.bytes > self.limits.chunk_bytes { Err(End::Closed) } else { Ok(()) }
            })
            .await
            {
                Ok(header) => header,
                Err(end) => return end,
            };
            match timeout(self.limits.stalled, client.write_all(&chunk)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return End::Closed,
                Err(_) => return End::Expelled(BAD_TIMEOUT, "answers are not read"),
            }
            if header.kind == FrameKind::Message && header.last {
                // An answer to a request that was counted; saturating, because an error frame may answer several.
                let _ = self.outstanding.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
                self.answered.notify_one();
            }
        }
    }
}

/// Reads one whole frame into `chunk`, once `allowed` has agreed to its header: the announced length is never believed before.
async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    chunk: &mut Vec<u8>,
    allowed: impl FnOnce(&Header) -> Result<(), End>,
) -> Result<Header, End> {
    let mut head = [0; HEADER_BYTES];
    from.read_exact(&mut head).await.map_err(|_| End::Closed)?;
    let header = Header::read(&head).filter(|h| h.bytes >= HEADER_BYTES);
    let header = header.ok_or(End::Expelled(BAD_TCP_MESSAGE_TYPE_INVALID, "not an OPC UA TCP frame"))?;
    allowed(&header)?;
    chunk.clear();
    chunk.extend_from_slice(&head);
    chunk.resize(header.bytes, 0);
    from.read_exact(&mut chunk[HEADER_BYTES..]).await.map_err(|_| End::Closed)?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nagle_is_off_on_accepted_sockets() {
        let listener = listen("127.0.0.1:0".parse().expect("address")).expect("listener");
        let address = listener.local_addr().expect("address");
        let _client = TcpStream::connect(address).await.expect("connect");
        let (accepted, _) = listener.accept().await.expect("accept");
        assert!(accepted.nodelay().expect("getsockopt"), "TCP_NODELAY must be inherited from the listener");
    }
}
