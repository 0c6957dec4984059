//! A TCP proxy that spoils the line between the runtime and a server of the rig, on loopback, at run time. Why: cables, switches and busy
//! devices fail in ways that no well-behaved server shows, and the reaction must be seen on real sockets. This file owns a clock.
//!
//! Words: the *line* is what the proxy does to bytes now; a *piece* is what one read brought; *towards the server* is the direction of
//! requests. One thread with one runtime serves up to `CONNECTIONS_MAX` connections; each holds at most `PIECES_MAX` pieces per direction.
//!
//! TCP below us does not lose bytes, so a lost segment shows as a late one, and what was sent over a cut line arrives when it is back,
//! unless the sender has reset the connection. That is what TCP does between two machines, and what makes old writes dangerous.

mod answers;
mod line;
mod relay;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::random::Random;
use answers::Answers;
pub use answers::{Answer, Framing};
pub use line::{Counts, Door, Line, RESEND};

/// Connections at once; more are reset.
pub const CONNECTIONS_MAX: usize = 64;
/// Pieces that wait in one direction of a connection.
const PIECES_MAX: usize = 16;
/// Bytes of a piece.
const PIECE_BYTES: usize = 16 << 10;
/// Attempts whose times are kept.
const ATTEMPTS_MAX: usize = 10_000;
/// Pause until a port that is in use is tried again.
const PORT_PAUSE: Duration = Duration::from_millis(20);

/// What all open connections are told at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Nothing yet.
    Go,
    /// RST to both ends.
    Reset,
    /// The server's end closes; the client's socket stays, and nothing comes from it any more.
    Orphan,
    /// The proxy ends.
    Stop,
}

/// What thread and owner share. SYNC POINT: the mutexes are held for a few lines each and never across a wait; `line` and `orders` are
/// watched by every connection.
struct Shared {
    upstream: Mutex<SocketAddr>,
    line: watch::Sender<Line>,
    orders: watch::Sender<Order>,
    counts: Mutex<Counts>,
    attempts: Mutex<Vec<Duration>>,
    open: AtomicUsize,
    answers: Mutex<Answers>,
    random: Mutex<Random>,
    started: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running proxy. Dropping it resets every connection and ends its thread.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    handle: Handle,
    schedule: Mutex<Option<tokio::task::JoinHandle<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free loopback port and passes everything on to `upstream`, over a good line. `seed` decides jitter and loss.
    ///
    /// # Errors
    /// No port, no thread.
    pub fn start(upstream: SocketAddr, framing: Framing, seed: u64) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            line: watch::Sender::new(Line::GOOD),
            orders: watch::Sender::new(Order::Go),
            counts: Mutex::default(),
            attempts: Mutex::default(),
            open: AtomicUsize::new(0),
            answers: Mutex::new(Answers::new(framing)),
            random: Mutex::new(Random::new(seed)),
            started: Instant::now(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let served = Arc::clone(&shared);
        let orders = shared.orders.subscribe();
        let thread = std::thread::Builder::new().name("rig-proxy".into()).spawn(move || {
            runtime.block_on(serve(listener, address, &served, orders));
        })?;
        Ok(Self { shared, address, handle, schedule: Mutex::new(None), thread: Some(thread) })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections made from now on go there: another machine has taken over the address.
    pub fn retarget(&self, upstream: SocketAddr) {
        *lock(&self.shared.upstream) = upstream;
    }

    /// The line from now on, for open connections too. Ends a schedule.
    pub fn set(&self, line: Line) {
        self.end_schedule();
        self.shared.line.send_replace(line);
    }

    /// Plays the lines one after the other, each for its time, over and over until `set`.
    pub fn play(&self, schedule: Vec<(Duration, Line)>) {
        self.end_schedule();
        let shared = Arc::clone(&self.shared);
        let task = self.handle.spawn(async move {
            while !schedule.is_empty() {
                for (time, line) in &schedule {
                    shared.line.send_replace(*line);
                    tokio::time::sleep(*time).await;
                }
            }
        });
        *lock(&self.schedule) = Some(task);
    }

    fn end_schedule(&self) {
        if let Some(task) = lock(&self.schedule).take() {
            task.abort();
        }
    }

    /// Every open connection is reset at both ends.
    pub fn reset(&self) {
        self.shared.orders.send_replace(Order::Reset);
    }

    /// The peer vanishes: every open connection stays open at the client and is never heard of again.
    pub fn orphan(&self) {
        self.shared.orders.send_replace(Order::Orphan);
    }

    /// Spoils the next answer; several calls spoil as many answers, one each, in this order.
    pub fn next_answer(&self, answer: Answer) {
        lock(&self.shared.answers).push(answer);
    }

    /// Answers that wait to be spoilt.
    #[must_use]
    pub fn answers_waiting(&self) -> usize {
        lock(&self.shared.answers).waiting()
    }

    /// What has been counted since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *lock(&self.shared.counts)
    }

    /// When somebody tried to connect, since the start of the proxy; the first 10 000 times. A closed door is not seen from here.
    #[must_use]
    pub fn attempts(&self) -> Vec<Duration> {
        lock(&self.shared.attempts).clone()
    }

    /// Time since the start of the proxy.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Connections that are open at the client's end.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end_schedule();
        self.shared.orders.send_replace(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// Accepts until `Stop`. The door decides whether there is a listener at all.
async fn serve(
    listener: std::net::TcpListener,
    address: SocketAddr,
    shared: &Arc<Shared>,
    mut orders: watch::Receiver<Order>,
) {
    let mut line = shared.line.subscribe();
    let mut listener = TcpListener::from_std(listener).ok();
    loop {
        let door = line.borrow_and_update().door;
        match (&listener, door) {
            (Some(_), Door::Closed) => listener = None,
            (None, Door::Open | Door::Resets) => {
                listener = TcpListener::bind(address).await.ok();
                if listener.is_none() {
                    tokio::time::sleep(PORT_PAUSE).await;
                    continue;
                }
            }
            _ => {}
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => match accepted {
                Ok((client, _)) => admit(client, door, shared),
                // Too many open files: the next try is a moment later.
                Err(_) => tokio::time::sleep(PORT_PAUSE).await,
            },
            _ = line.changed() => {}
            _ = orders.wait_for(|o| *o == Order::Stop) => return,
        }
    }
}

/// Counts the attempt and gives the connection a task of its own, or a reset.
fn admit(client: TcpStream, door: Door, shared: &Arc<Shared>) {
    lock(&shared.counts).attempts += 1;
    {
        let mut attempts = lock(&shared.attempts);
        if attempts.len() < ATTEMPTS_MAX {
            attempts.push(shared.started.elapsed());
        }
    }
    if door != Door::Open || shared.open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
        relay::reset(&client);
        return;
    }
    shared.open.fetch_add(1, Ordering::Relaxed);
    let (shared, orders) = (Arc::clone(shared), shared.orders.subscribe());
    tokio::spawn(async move {
        relay::relay(client, &shared, orders).await;
        shared.open.fetch_sub(1, Ordering::Relaxed);
    });
}
