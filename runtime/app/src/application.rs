//! One running application: threads, links, scan, record keeper and service process, wired from a configuration.
//!
//! Data flows one way: links -> images -> scan -> images -> links; records -> keeper -> service. Commands come back over one bounded queue.
//! Dropping or stopping it ends everything in order: scan first (the heartbeat stops), then links, then the service.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::bounded;
use crossbeam::queue::ArrayQueue;
use flyball_config::{Config, Protocol, Role, Secret, UserIdentity};
use flyball_core::bounds::COMMANDS_PER_SCAN;
use flyball_core::command::{Action, Command};
use flyball_core::controller::Controller;
use flyball_core::exchange::exchange;
use flyball_core::executive::Executive;
use flyball_core::field::Field;
use flyball_core::link::{LinkPlan, LinkSeat, link_pair};
use flyball_core::mode::Blocker;
use flyball_core::ports::Clock;
use flyball_core::record::ScanRecord;
use flyball_models::LoadedModel;

use crate::certify::demand::Demand;
use crate::clock::SystemClock;
use crate::engines::{self, LoadedEngines};
use crate::error::StartError;
use crate::keeper::{Keeper, Observer};
use crate::publication::{Facts, ModelFacts, Publisher};
use crate::realtime::{self, Granted};
use crate::recording;
use crate::service::channel::{Hello, ServerSettings};
use crate::service::supervisor::{self, ServiceStatus, Supervisor};

/// Records between the scan and their keeper: enough for the keeper to be away for this many scans.
const RECORDS: usize = 64;

/// Commands of this process are numbered from here; those of strangers count from zero.
const FIRST_OWN_COMMAND: u32 = 1 << 31;

/// How an application is run.
pub struct Options {
    /// Never write anything.
    pub read_only: bool,
    /// Process seconds per real second; 1 beside a plant.
    pub time_scale: u32,
    /// Shown each record, in the keeper's thread.
    pub observer: Option<Observer>,
    /// Accept any server certificate (demonstrations on loopback only).
    pub trust_servers: bool,
    /// Record every scan, and how; None for no recording.
    pub recorder: Option<flyball_config::Recorder>,
}

/// A running application.
pub struct Application {
    stop_scan: Arc<AtomicBool>,
    stop_links: Arc<AtomicBool>,
    scan: Option<JoinHandle<()>>,
    links: Vec<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
    supervisor: Option<Arc<Supervisor>>,
    commands: Arc<ArrayQueue<Command>>,
    next_command: AtomicU32,
    granted: Granted,
}

impl Application {
    /// Starts everything. Returns when the scan runs; links connect in their own time.
    ///
    /// # Errors
    /// A model that is refused, a secret that is missing, or an operating system that gives no threads.
    pub fn start(config: &Config, options: Options) -> Result<Self, StartError> {
        let config = &Config { instance: draw_instance(), ..config.clone() };
        let clock = Arc::new(SystemClock::start(options.time_scale));
        let loaded = engines::load(config, &*clock)?;
        let server = config.server.as_ref().map(ServerSettings::resolved).transpose().map_err(StartError)?;
        let (stop_scan, stop_links) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let commands = Arc::new(ArrayQueue::new(COMMANDS_PER_SCAN * 4));

        let (seats, doors) = links(config, &clock, &stop_links, &options);
        let mut link_threads = Vec::new();
        for (seat, bell) in seats {
            link_threads.push(spawn_link(config, seat, bell, &options)?);
        }

        let facts = facts(config, &loaded);
        let (directory, publisher) = Publisher::new(config, clock.utc(), facts);
        let supervisor = match server {
            Some(server) => {
                let options = supervisor::Options::new(Hello { directory, server });
                let started = options.and_then(Supervisor::start);
                Some(Arc::new(started.map_err(|e| StartError(format!("the service process cannot be started: {e}")))?))
            }
            None => None,
        };

        let (ring, wake) = bounded::<()>(1);
        let bell = Arc::new(move || {
            // Full means that the keeper has been told already.
            let _ = ring.try_send(());
        });
        let recorder = match &options.recorder {
            Some(settings) => Some(recording::start(config, settings, &loaded, clock.utc(), options.read_only)?),
            None => None,
        };
        let keyframe_every = options.recorder.as_ref().map_or(0, |r| r.keyframe_every);
        let (records, taker) = exchange(RECORDS, || ScanRecord::new(config), bell);
        let controller = Controller::new(config, loaded.engines, options.read_only);
        let field = Field::new(doors, Arc::clone(&commands));
        let (granted_in, granted) = bounded(1);
        let executive =
            Executive::new(config, controller, field, clock.clone(), records).with_keyframes(keyframe_every);
        let demand = Demand::of(config, clock.utc());
        let scan = spawn_scan(config, executive, demand, granted_in, &stop_scan)?;
        let granted: Granted = granted.recv().map_err(|_| StartError("the scan thread ended at once".into()))?;
        report_grant(&granted);

        let keeper = Keeper {
            config: config.clone(),
            publisher,
            supervisor: supervisor.clone(),
            commands: Arc::clone(&commands),
            observer: options.observer,
            recorder,
            scale: options.time_scale,
            scheduling: granted.policy.clone(),
            read_only: options.read_only,
            utc: clock.utc(),
        };
        let keeper = spawn("keeper", move || keeper.run(taker, &wake))?;
        Ok(Self {
            stop_scan,
            stop_links,
            scan: Some(scan),
            links: link_threads,
            keeper: Some(keeper),
            supervisor,
            commands,
            next_command: AtomicU32::new(FIRST_OWN_COMMAND),
            granted,
        })
    }

    /// State of the service process; None when the configuration has no server.
    #[must_use]
    pub fn service(&self) -> Option<ServiceStatus> {
        self.supervisor.as_ref().map(|s| s.status())
    }

    /// What the scan thread got.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Asks for something in the name of whoever started this process, as an Engineer. The scan checks it like any other command and answers
    /// in a record under the number that is returned; None: too many commands are waiting.
    pub fn ask(&self, action: Action) -> Option<u32> {
        // SYNC POINT: Relaxed is enough, only the number matters.
        let id = self.next_command.fetch_add(1, Ordering::Relaxed) | FIRST_OWN_COMMAND;
        self.commands.push(Command { id, role: Role::Engineer, action }).ok().map(|()| id)
    }

    /// True while the scan thread lives.
    #[must_use]
    pub fn running(&self) -> bool {
        self.scan.as_ref().is_some_and(|s| !s.is_finished())
    }

    /// Ends in order: scan (heartbeat stops), links (sessions closed), keeper (last state said), service.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The links must not go first: the scan would see them down and shed instead of simply ending.
        self.stop_scan.store(true, Ordering::Relaxed);
        join(self.scan.take());
        self.stop_links.store(true, Ordering::Relaxed);
        join(self.links.drain(..));
        join(self.keeper.take());
        self.supervisor = None;
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        let name = thread.thread().name().unwrap_or("?").to_owned();
        if thread.join().is_err() {
            tracing::error!("thread {name} had panicked");
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.end();
    }
}

/// One link thread's seat and the bell that wakes it.
type SeatAndBell = (LinkSeat, Arc<tokio::sync::Notify>);

fn links(
    config: &Config,
    clock: &Arc<SystemClock>,
    stop: &Arc<AtomicBool>,
    options: &Options,
) -> (Vec<SeatAndBell>, Vec<flyball_core::link::LinkDoor>) {
    let mut seats = Vec::new();
    let mut doors = Vec::new();
    for plan in LinkPlan::all(config) {
        let (bell, ring) = match plan.connection.protocol {
            Protocol::OpcUa(_) => flyball_opcua::doorbell(),
            Protocol::Modbus(_) => flyball_modbus::doorbell(),
        };
        let shared: Arc<dyn Clock> = clock.clone();
        let (seat, door) = link_pair(plan, ring, Arc::clone(stop), shared, clock.utc(), options.time_scale);
        seats.push((seat, bell));
        doors.push(door);
    }
    (seats, doors)
}

fn spawn_link(
    config: &Config,
    seat: LinkSeat,
    bell: Arc<tokio::sync::Notify>,
    options: &Options,
) -> Result<JoinHandle<()>, StartError> {
    let name = seat.plan.connection.name.clone();
    match &seat.plan.connection.protocol {
        Protocol::Modbus(_) => spawn(&name, move || flyball_modbus::run(seat, bell)),
        Protocol::OpcUa(settings) => {
            let password = match &settings.user {
                UserIdentity::Anonymous => None,
                UserIdentity::Password { password, .. } => Some(resolve(password, &format!("connection {name}"))?),
            };
            let identity = flyball_opcua::ClientIdentity {
                application: format!("flyball {}", config.app.name),
                application_uri: instance_uri(config),
                password,
                trust_server: options.trust_servers,
            };
            spawn(&name, move || flyball_opcua::run(seat, bell, identity))
        }
    }
}

fn spawn_scan(
    config: &Config,
    mut executive: Executive<Field>,
    demand: Option<Demand>,
    granted: crossbeam::channel::Sender<Granted>,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<()>, StartError> {
    abort_when_the_scan_panics();
    let (cpu, stop) = (config.timing.cpu, Arc::clone(stop));
    spawn(SCAN_THREAD, move || {
        let got = realtime::apply(&cpu);
        // Before the first scan, and after the kernel has said what it grants: the certificate was made for that.
        if let Some(fault) = demand.and_then(|d| d.fault(&got)) {
            executive.forbid(Blocker::Certificate(fault));
        }
        // Nobody waiting for the answer means that start was given up.
        let _ = granted.send(got);
        executive.run(&stop);
    })
}

/// Name of the scan thread, by which the panic hook knows it.
const SCAN_THREAD: &str = "scan";

/// A panic of the scan thread is a bug beside a PLC: the process aborts, the heartbeat stops, the PLC sheds. Other threads unwind.
fn abort_when_the_scan_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        if std::thread::current().name() == Some(SCAN_THREAD) {
            crate::logging::finish();
            std::process::abort();
        }
    }));
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|e| {
        StartError(format!("the operating system gives no thread for {name}: {e}; raise the limit of processes"))
    })
}

fn report_grant(granted: &Granted) {
    tracing::info!("scan thread: {}", granted.policy);
    for refusal in &granted.refusals {
        tracing::warn!("{refusal}");
    }
}

fn resolve(secret: &Secret, of: &str) -> Result<String, StartError> {
    secret.resolve().map_err(|e| StartError(format!("{of}: {e}")))
}

/// A number that no other run of the program has, but for one chance in two thousand million. Drawn here and not in the scan, which must give
/// the same bits from the same record.
fn draw_instance() -> u32 {
    // The standard library's keys for hash maps are the system's random numbers.
    let random = RandomState::new().build_hasher().finish();
    ((random >> 33) as u32).max(1)
}

fn instance_uri(config: &Config) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.map_or_else(|_| "localhost".into(), |name| name.trim().to_owned());
    format!("urn:{host}:flyball:{}", config.app.name)
}

fn facts(config: &Config, loaded: &LoadedEngines) -> Facts {
    let of = |file: &LoadedModel, hash: &str| ModelFacts {
        hash: hash.to_owned(),
        version: file.contract.version.clone(),
        modes: file.contract.modes.iter().flat_map(|m| &m.modes).map(|m| m.name.clone()).collect(),
    };
    Facts {
        version: env!("CARGO_PKG_VERSION").into(),
        models: loaded.models.iter().zip(&config.models).map(|(file, model)| of(file, &model.sha256)).collect(),
        shadows: loaded
            .shadows
            .iter()
            .zip(&config.models)
            .map(|(file, m)| Some(of(file.as_ref()?, m.shadow.as_ref().map_or("", |s| &s.sha256))))
            .collect(),
        instance_uri: instance_uri(config),
    }
}
