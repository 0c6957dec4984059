//! Why: starts the service process, feeds it, watches it and starts it again; the loop never notices any of that.
//!
//! Whoever publishes only copies values into `pending`; the threads here do the waiting. A child that exits, hangs, grows or cheats
//! is killed and started anew with back-off, and gets the directory and every current value again.
//!
//! Words: *child* is one run of the service process. Nothing that a child says is believed: lengths, counts, kinds and roles are
//! checked here, and once more by the scan that applies a command.

use std::ffi::OsString;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use flyball_core::outside::{Call, Change, Reply};
use flyball_core::ports::Clock;
use flyball_core::time::Timestamp;

use super::calls::{OpenCalls, check};
use super::channel::{
    ChannelError, FROM_SERVICE_BYTES_MAX, FromService, Hello, TO_SERVICE_BYTES_MAX, ToService, receive, send,
};
use super::pending::Pending;
use super::words::{forward_lines, plain};
use crate::clock::SystemClock;
use crate::logging::LOG_VARIABLE;

/// Calls that wait for the scan at most; more are answered "too many" at once.
const CALLS_MAX: usize = 64;
/// Longest text of a child that is kept.
const TEXT_MAX: usize = 500;
/// How often a child is looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often it must prove that it is alive.
const PING_EVERY: Duration = Duration::from_secs(1);

/// How the service process is started and when it is given up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program, normally this one.
    pub program: PathBuf,
    /// Arguments that make it the service.
    pub arguments: Vec<OsString>,
    /// What it serves.
    pub hello: Hello,
    /// First wait before a restart; doubles up to `back_off_longest`.
    pub back_off_first: Duration,
    /// Longest wait before a restart.
    pub back_off_longest: Duration,
    /// Resident memory at which it is restarted, bytes.
    pub resident_max: u64,
    /// Time to the first `Ready`: the first start on a machine makes a 2048-bit key.
    pub ready_within: Duration,
    /// Time to answer a ping.
    pub answer_within: Duration,
}

impl Options {
    /// This program as the service, with the usual limits.
    ///
    /// # Errors
    /// When the path of the running program cannot be found.
    pub fn new(hello: Hello) -> std::io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: vec!["service".into()],
            hello,
            back_off_first: Duration::from_millis(500),
            back_off_longest: Duration::from_secs(30),
            resident_max: 512 << 20,
            ready_within: Duration::from_secs(60),
            answer_within: Duration::from_secs(10),
        })
    }
}

/// What is known about the service process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Process id of the running child.
    pub pid: Option<u32>,
    /// Starts after the first one.
    pub restarts: u32,
    /// Where its server listens, once it does.
    pub address: Option<String>,
    /// Nodes that the child has received a value for, by its own account.
    pub nodes_served: u32,
    /// Why the last child ended, in words.
    pub last_end: Option<String>,
    /// Replies dropped because the child did not read.
    pub replies_dropped: u64,
}

/// What the threads share.
struct Shared {
    options: Options,
    pending: Pending,
    open: Mutex<OpenCalls>,
    status: Mutex<ServiceStatus>,
    clock: SystemClock,
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, ServiceStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, OpenCalls> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Control's side of the service process.
pub struct Supervisor {
    shared: Arc<Shared>,
    calls: Receiver<Call>,
    /// Dropped to end the supervising thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts the service and the thread that supervises it. Returns at once; a child that cannot start is retried.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            pending: Pending::new(options.hello.directory.nodes.len()),
            options,
            open: Mutex::default(),
            status: Mutex::default(),
            clock: SystemClock::start(1),
        });
        let (calls_in, calls) = bounded(CALLS_MAX);
        let (stop, stopped) = bounded(0);
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("supervisor".into())
            .spawn(move || supervise(&for_thread, &calls_in, &stopped))?;
        Ok(Self { shared, calls, stop: Some(stop), thread: Some(thread) })
    }

    /// New values, newest per node wins. Copies and returns; never waits for the child. Work is proportional to `changes`.
    pub fn publish(&self, changes: &[Change]) {
        self.shared.pending.changes(changes);
    }

    /// OPC UA ServiceLevel, 0 to 255.
    pub fn service_level(&self, level: u8) {
        self.shared.pending.level(level);
    }

    /// Calls from outside: checked against the directory, ids unique over all children. Each wants one `reply`.
    #[must_use]
    pub fn calls(&self) -> Receiver<Call> {
        self.calls.clone()
    }

    /// Answers a call. An answer to a child that is gone, or to no call, is dropped.
    pub fn reply(&self, reply: Reply) {
        let id = self.shared.open().close(reply.id);
        if let Some(id) = id {
            self.shared.pending.reply(Reply { id, ..reply });
        }
    }

    /// What is known about the child.
    #[must_use]
    pub fn status(&self) -> ServiceStatus {
        let mut status = self.shared.status().clone();
        status.replies_dropped = self.shared.pending.replies_dropped();
        status
    }

    /// Number of nodes that have a value.
    #[must_use]
    pub fn nodes_known(&self) -> u32 {
        self.shared.pending.known()
    }

    /// Ends the service in order, after a grace time by force. Waits for it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the supervisor of the service process panicked");
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
    }
}

/// Child after child, until asked to stop.
fn supervise(shared: &Arc<Shared>, calls: &Sender<Call>, stopped: &Receiver<()>) {
    let options = &shared.options;
    let mut wait = options.back_off_first;
    loop {
        let started = shared.clock.now();
        let end = match spawn(options) {
            Ok(child) => watch(shared, child, calls, stopped),
            Err(e) => End::NotStarted(e),
        };
        let ran = shared.clock.now().since(started);
        {
            let mut status = shared.status();
            status.pid = None;
            status.address = None;
            status.nodes_served = 0;
            status.last_end = Some(end.to_string());
        }
        if matches!(end, End::Stopped) {
            return;
        }
        // A child that ran for long fell by chance, not by its settings: begin the back-off anew.
        if ran > options.back_off_longest {
            wait = options.back_off_first;
        }
        tracing::warn!("service process {end}; it is started again in {:.1} s, the loop goes on", wait.as_secs_f64());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        wait = (wait * 2).min(options.back_off_longest);
        shared.status().restarts += 1;
    }
}

/// Starts a child with an environment that holds nothing but the search path and the log filter: no PLC password gets there.
fn spawn(options: &Options) -> std::io::Result<Child> {
    let mut command = Command::new(&options.program);
    command.args(&options.arguments).env_clear();
    for kept in ["PATH", LOG_VARIABLE] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    // Its own process group: Ctrl-C in the terminal is for control, which then ends the child in order.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// Why a child ended.
enum End {
    Stopped,
    NotStarted(std::io::Error),
    Exited(ExitStatus),
    Failed(String),
    Grew(u64),
    NotReady,
    Hung,
    Broke(ChannelError),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("was stopped"),
            Self::NotStarted(e) => write!(f, "could not be started ({e})"),
            Self::Exited(status) => write!(f, "ended by itself ({status})"),
            Self::Failed(why) => write!(f, "gave up: {why}"),
            Self::Grew(bytes) => write!(f, "grew to {} MiB and was ended", bytes >> 20),
            Self::NotReady => f.write_str("was not ready in time and was ended"),
            Self::Hung => f.write_str("did not answer in time and was ended"),
            Self::Broke(e) => write!(f, "broke the channel ({e}) and was ended"),
        }
    }
}

/// What the reader thread tells the watching one. Calls do not come this way.
enum Event {
    Ready(String),
    Pong(u32, u32),
    Failed(String),
    End(ChannelError),
}

/// One child from its start to its end.
fn watch(shared: &Arc<Shared>, mut child: Child, calls: &Sender<Call>, stopped: &Receiver<()>) -> End {
    let generation = shared.pending.start_anew();
    shared.open().start_anew();
    let pid = child.id();
    shared.status().pid = Some(pid);
    let (events_in, events) = bounded(64);
    let end = match start_threads(shared, &mut child, generation, calls, events_in) {
        Ok(()) => watch_running(shared, &mut child, &events, stopped),
        Err(e) => End::NotStarted(e),
    };
    if matches!(end, End::Stopped) {
        shared.pending.shutdown();
        wait_for_exit(shared, &mut child, Duration::from_secs(3));
    }
    // Killing an already ended child is an error that says just that.
    let _ = child.kill();
    let status = child.wait();
    // Lets the writer of this child end even when nothing is published any more.
    shared.pending.start_anew();
    match (end, status) {
        // The pipe closes a moment before the exit status is there; the status says more.
        (End::Broke(ChannelError::Closed | ChannelError::Truncated), Ok(status)) => End::Exited(status),
        (end, _) => end,
    }
}

fn wait_for_exit(shared: &Shared, child: &mut Child, grace: Duration) {
    let by = shared.clock.now().after(grace);
    while shared.clock.now() < by && matches!(child.try_wait(), Ok(None)) {
        shared.clock.wait_until(shared.clock.now().after(Duration::from_millis(20)));
    }
}

/// One writer, one reader and one for its log lines; each ends by itself when the child is gone.
fn start_threads(
    shared: &Arc<Shared>,
    child: &mut Child,
    generation: u64,
    calls: &Sender<Call>,
    events: Sender<Event>,
) -> std::io::Result<()> {
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(std::io::Error::other("the child has no pipes"));
    };
    let named = |name: &str| thread::Builder::new().name(name.into());
    let of_writer = Arc::clone(shared);
    named("service-write").spawn(move || {
        let hello = ToService::Hello(Box::new(of_writer.options.hello.clone()));
        let mut message = Some(hello);
        while let Some(m) = message {
            if let Err(e) = send(&mut stdin, &m, TO_SERVICE_BYTES_MAX) {
                tracing::debug!("service process no longer reads: {e}");
                return;
            }
            if m == ToService::Shutdown {
                return;
            }
            message = of_writer.pending.next(generation);
        }
    })?;
    let of_reader = Arc::clone(shared);
    let calls = calls.clone();
    named("service-read").spawn(move || {
        let mut from = BufReader::new(stdout);
        loop {
            let event = match receive(&mut from, FROM_SERVICE_BYTES_MAX) {
                Ok(FromService::Call(call)) => {
                    take_call(&of_reader, call, &calls);
                    continue;
                }
                Ok(FromService::Note(text)) => {
                    tracing::info!("service: {}", plain(&text, TEXT_MAX));
                    continue;
                }
                Ok(FromService::Ready { address }) => Event::Ready(plain(&address, TEXT_MAX)),
                Ok(FromService::Pong { number, nodes_served }) => Event::Pong(number, nodes_served),
                Ok(FromService::Failed(why)) => Event::Failed(plain(&why, TEXT_MAX)),
                Err(e) => Event::End(e),
            };
            let last = matches!(event, Event::End(_) | Event::Failed(_));
            // The channel is bounded: a child that floods it waits in its own pipe.
            if events.send(event).is_err() || last {
                return;
            }
        }
    })?;
    named("service-log").spawn(move || forward_lines(stderr))?;
    Ok(())
}

/// Checks a call and hands it over, or answers it at once.
fn take_call(shared: &Shared, mut call: Call, calls: &Sender<Call>) {
    let refuse = |id, status: u32, text: String| shared.pending.reply(Reply { id, status, text });
    if let Err((status, text)) = check(&shared.options.hello.directory, &call) {
        tracing::warn!("call refused: {text}");
        return refuse(call.id, status, text);
    }
    let own = call.id;
    let busy = "Too many calls are waiting. Try again in a second.";
    let Some(id) = shared.open().open(own) else { return refuse(own, BAD_TOO_MANY_OPERATIONS, busy.into()) };
    call.id = id;
    if calls.try_send(call).is_err() {
        shared.open().close(id);
        refuse(own, BAD_TOO_MANY_OPERATIONS, busy.into());
    }
}

/// OPC UA BadTooManyOperations.
const BAD_TOO_MANY_OPERATIONS: u32 = 0x8010_0000;

/// The life of a child: ready, answering, not too large, until one of these ends or stop is asked.
fn watch_running(shared: &Shared, child: &mut Child, events: &Receiver<Event>, stopped: &Receiver<()>) -> End {
    let options = &shared.options;
    let pid = child.id();
    let now = || shared.clock.now();
    let ready_by = now().after(options.ready_within);
    let mut ready = false;
    let mut ping: u32 = 0;
    let mut next_ping = now();
    // Some while a ping is unanswered.
    let mut answer_by: Option<Timestamp> = None;
    loop {
        crossbeam::channel::select! {
            recv(stopped) -> _ => return End::Stopped,
            recv(events) -> event => match event {
                Ok(Event::Ready(address)) => {
                    ready = true;
                    tracing::info!("service process {pid} serves {address}");
                    shared.status().address = Some(address);
                }
                Ok(Event::Pong(number, nodes_served)) if number == ping => {
                    answer_by = None;
                    shared.status().nodes_served = nodes_served;
                }
                Ok(Event::Pong(..)) => {}
                Ok(Event::Failed(why)) => return End::Failed(why),
                Ok(Event::End(e)) => return End::Broke(e),
                Err(_) => return End::Broke(ChannelError::Closed),
            },
            default(TICK) => {}
        }
        if let Ok(Some(status)) = child.try_wait() {
            return last_words(events).unwrap_or(End::Exited(status));
        }
        if let Some(bytes) = resident_bytes(pid).filter(|b| *b > options.resident_max) {
            return End::Grew(bytes);
        }
        let at = now();
        if !ready && at > ready_by {
            return End::NotReady;
        }
        if answer_by.is_some_and(|by| at > by) {
            return End::Hung;
        }
        if ready && answer_by.is_none() && at >= next_ping {
            ping = ping.wrapping_add(1);
            shared.pending.ping(ping);
            answer_by = Some(at.after(options.answer_within));
            next_ping = at.after(PING_EVERY);
        }
    }
}

/// What an ended child said last, if that tells more than its exit status. Ends with the reader, which ends with the pipe.
fn last_words(events: &Receiver<Event>) -> Option<End> {
    loop {
        match events.recv_timeout(PING_EVERY) {
            Ok(Event::Ready(_) | Event::Pong(..)) => {}
            Ok(Event::Failed(why)) => return Some(End::Failed(why)),
            Ok(Event::End(ChannelError::Closed | ChannelError::Truncated)) | Err(_) => return None,
            Ok(Event::End(e)) => return Some(End::Broke(e)),
        }
    }
}

/// Resident memory of a process; None when it is gone.
fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_read_from_the_kernel() {
        let own = resident_bytes(std::process::id()).expect("we run");
        assert!(own > 100_000, "{own}");
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
