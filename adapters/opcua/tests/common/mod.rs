//! What both test files share: servers on ephemeral ports, a link thread with its scan side, logs that can be searched.
//!
//! Nothing here is a mock: servers, sockets and threads are the real ones.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod rude;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flyball_core::config::units::{Unit, UnitRow};
use flyball_core::config::{
    Address, Backoff, Connection, ConnectionId, EuRange, NodeIdentifier, OnBad, OpcUaAddress, OpcUaConnection, Output,
    OutputId, OutputKind, Protocol, ReadBy, Scaling, Secret, Security, SecurityMode, SecurityPolicy, Tag, TagId,
    TagRole, UserIdentity, WritePhase,
};
use flyball_core::image::{LinkState, Sample, WriteOutcome};
use flyball_core::link::{LinkDoor, LinkImage, LinkPlan, link_pair};
use flyball_core::ports::Clock;
use flyball_core::status::Status;
use flyball_core::time::{Timestamp, UtcOffset};
use flyball_core::value::Value;
use flyball_opcua::server::variables::WriteHook;
use flyball_opcua::server::{ServerHost, ServerSettings, VariableBank, VariableSpec};
use flyball_opcua::{ClientIdentity, Scalar, doorbell};

pub const PLC: &str = "urn:test:plc";
pub const CYCLE: Duration = Duration::from_millis(50);
/// Only a hang is longer than this.
pub const HANG: Duration = Duration::from_secs(60);
pub const SECURE: Security = Security { mode: SecurityMode::SignAndEncrypt, policy: SecurityPolicy::Basic256Sha256 };

static ROW: UnitRow = UnitRow { symbol: "degC", unit_id: 4_408_652, display: "degC", description: "degree Celsius" };

/// A monotonic clock.
pub struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.elapsed().as_nanos() as u64)
    }

    fn wait_until(&self, at: Timestamp) {
        std::thread::sleep(at.since(self.now()));
    }
}

/// A lab server: policy None, anonymous.
pub fn lab(dir: &Path, port: u16) -> ServerSettings {
    let mut settings = ServerSettings::new("plc", "127.0.0.1", port, dir.join("server"));
    settings.security = vec![Security::NONE];
    settings.anonymous = true;
    settings
}

pub fn spec(node: &str, initial: Scalar) -> VariableSpec {
    VariableSpec { namespace: PLC.into(), node: node.into(), browse_name: node.into(), initial, writable: true }
}

/// Everything that clients wrote, in order.
pub type Seen = Arc<Mutex<Vec<(usize, Scalar)>>>;

pub fn recording() -> (Seen, WriteHook) {
    let seen: Seen = Arc::default();
    let record = Arc::clone(&seen);
    let hook = move |index: usize, value: &Scalar| {
        record.lock().expect("seen").push((index, value.clone()));
        Status::Good
    };
    (seen, Arc::new(hook))
}

pub fn serve(settings: ServerSettings, specs: Vec<VariableSpec>) -> (ServerHost, Arc<VariableBank>, Seen) {
    let (seen, hook) = recording();
    let bank = VariableBank::new("PLC", &[], specs, hook);
    let host = ServerHost::start(settings, bank.clone()).expect("server starts");
    (host, bank, seen)
}

pub fn address(node: &str) -> Address {
    Address::OpcUa(OpcUaAddress::Node { namespace: PLC.into(), identifier: NodeIdentifier::Text(node.into()) })
}

pub fn tag(name: &str, address: Address) -> Tag {
    Tag {
        name: name.into(),
        text: String::new(),
        connection: ConnectionId(0),
        address,
        role: TagRole::Process,
        unit: Unit(&ROW),
        scaling: Scaling::None,
        range: EuRange { low: 0.0, high: 100.0 },
        plausible: None,
        max_rate_per_s: None,
        frozen: None,
        stale_after: Duration::from_secs(1),
        hold: Duration::ZERO,
        on_bad: OnBad::Bad,
        invalid_marks: Vec::new(),
        sampled_at: None,
        good_when: None,
    }
}

pub fn output(name: &str, node: &str, kind: OutputKind, phase: WritePhase) -> Output {
    Output { name: name.into(), connection: ConnectionId(0), address: address(node), kind, phase }
}

/// A link under test: its thread, and the scan's side of it.
pub struct TestLink {
    pub door: LinkDoor,
    pub clock: Arc<RealClock>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    last: LinkImage,
}

/// Settings of a test link.
pub struct LinkSettings {
    pub name: &'static str,
    pub url: String,
    pub pki: PathBuf,
    pub security: Security,
    pub user: Option<(&'static str, &'static str)>,
    pub read_by: ReadBy,
    pub trust_server: bool,
}

impl LinkSettings {
    pub fn new(name: &'static str, url: &str, dir: &Path) -> Self {
        Self {
            name,
            url: url.into(),
            pki: dir.join(name),
            security: Security::NONE,
            user: None,
            read_by: ReadBy::Subscription { publishing: Duration::from_millis(20) },
            trust_server: false,
        }
    }

    pub fn start(self, tags: Vec<Tag>, outputs: Vec<Output>) -> TestLink {
        logs();
        let user = match self.user {
            None => UserIdentity::Anonymous,
            Some((user, _)) => UserIdentity::Password { user: user.into(), password: Secret::Env("UNUSED".into()) },
        };
        let protocol = Protocol::OpcUa(OpcUaConnection {
            endpoint: self.url,
            security: self.security,
            user,
            read_by: self.read_by,
            pki: self.pki,
        });
        let connection = Connection {
            name: self.name.into(),
            protocol,
            timeout: Duration::from_millis(800),
            reconnect: Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(400) },
        };
        let plan = LinkPlan {
            id: ConnectionId(0),
            connection,
            reads: (0..).map(TagId).zip(tags).collect(),
            writes: (0..).map(OutputId).zip(outputs).collect(),
            cycle: CYCLE,
        };
        let identity = ClientIdentity {
            application: "flyball-test".into(),
            application_uri: "urn:test:flyball".into(),
            password: self.user.map(|(_, password)| password.into()),
            trust_server: self.trust_server,
        };
        let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("clock after 1970");
        let clock = Arc::new(RealClock(Instant::now()));
        let utc = UtcOffset { unix_nanos_at_zero: since_epoch.as_nanos() as i64, scale: 1 };
        let stop = Arc::new(AtomicBool::new(false));
        let (bell, ring) = doorbell();
        let (seat, door) = link_pair(plan, ring, stop.clone(), clock.clone(), utc, 1);
        let thread = std::thread::spawn(move || flyball_opcua::run(seat, bell, identity));
        let last = LinkImage { state: LinkState::Starting, samples: Vec::new() };
        TestLink { door, clock, stop, thread: Some(thread), last }
    }
}

impl TestLink {
    /// Waits for an image; the test fails when none comes that fits.
    pub fn wait(&mut self, what: &str, mut fits: impl FnMut(&LinkImage) -> bool) -> LinkImage {
        let start = Instant::now();
        loop {
            if let Some(image) = self.door.images.newest() {
                self.last = image.clone();
                if fits(&self.last) {
                    return self.last.clone();
                }
            }
            assert!(start.elapsed() < HANG, "never came: {what}; last image {:?}\n{}", self.last, said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn wait_value(&mut self, at: usize, value: f64) -> Sample {
        self.wait(&format!("value {value}"), |i| i.state == LinkState::Up && number(&i.samples[at]) == Some(value))
            .samples[at]
    }

    /// Posts a batch and waits for its outcome.
    pub fn write(&mut self, cycle: u64, not_after: Timestamp, cells: &[Option<f64>]) -> WriteOutcome {
        self.post(cycle, not_after, cells);
        let start = Instant::now();
        loop {
            if let Some(outcome) = self.door.outcomes.newest()
                && outcome.cycle == cycle
            {
                return *outcome;
            }
            assert!(start.elapsed() < HANG, "no outcome of cycle {cycle}\n{}", said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn post(&mut self, cycle: u64, not_after: Timestamp, cells: &[Option<f64>]) {
        self.door.batches.give(|batch| {
            batch.cycle = cycle;
            batch.not_after = not_after;
            for (cell, x) in batch.cells.iter_mut().zip(cells) {
                *cell = x.and_then(Value::new);
            }
        });
    }

    pub fn soon(&self) -> Timestamp {
        self.clock.now().after(Duration::from_secs(30))
    }
}

impl Drop for TestLink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("link thread ended without a panic");
            }
        }
    }
}

pub fn number(sample: &Sample) -> Option<f64> {
    sample.value.map(Value::get)
}

pub fn unix_nanos() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("clock after 1970").as_nanos() as i64
}

struct Log;

fn buffer() -> &'static Mutex<Vec<u8>> {
    static BUFFER: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    BUFFER.get_or_init(Mutex::default)
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        buffer().lock().expect("log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects the log of this process.
pub fn logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO).with_writer(|| Log).init();
    });
}

/// Lines of this crate's log.
pub fn said() -> String {
    let all = String::from_utf8_lossy(&buffer().lock().expect("log")).into_owned();
    all.lines().filter(|l| l.contains("flyball_opcua")).map(|l| format!("{l}\n")).collect()
}

/// Waits for a log line that contains all of these.
pub fn wait_said(parts: &[&str]) -> String {
    let start = Instant::now();
    loop {
        let log = said();
        if let Some(line) = log.lines().find(|l| parts.iter().all(|p| l.contains(p))) {
            return line.to_owned();
        }
        assert!(start.elapsed() < HANG, "no log line with {parts:?} in\n{log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
