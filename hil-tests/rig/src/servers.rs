//! The simulated PLC on real sockets: one thread steps it in real time (or faster), an OPC UA and a Modbus TCP server show all signals at
//! once, and AI-101 answers as a Modbus device of its own. This file owns a clock.
//!
//! The plant's time is exact: every scan has an absolute deadline (origin + n x scan / scale), a late scan is followed at once, none is
//! skipped. Values are shown at most every 10 ms, which is the OPC UA server's fastest sampling.
//!
//! SYNC POINT: one mutex holds the PLC and what clients have been shown; the servers' write hooks and the stepping thread take it for
//! microseconds. Lock order: servers, then PLC; the OPC UA address space may be held by a hook that waits for the PLC, so values
//! are pushed to OPC UA only after the PLC's lock is released.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flyball_config::{ModbusTable, Role, Security};
use flyball_core::status::Status;
use flyball_core::time::{Timestamp, UtcOffset};
use flyball_modbus::{BankSize, Exception, ModbusServer, RegisterBank, ServerOptions, Written};
use flyball_opcua::server::variables::VariableChange;
use flyball_opcua::server::{ServerHost, ServerSettings, ServerUser, VariableBank, VariableSpec};
use flyball_opcua::{Scalar, ScalarType};

use crate::gc;
use crate::plc::{PlcOptions, SimPlc, Truth, WriteResult};
use crate::signals::{Direction, NAMESPACE, PlcValue, SIGNALS, SignalSpec};

/// Values are shown at most this often, real time.
const SHOW_EVERY: Duration = Duration::from_millis(10);
/// Unit id of the PLC on its Modbus TCP port.
pub const PLC_UNIT: u8 = 1;

/// How the rig is started.
#[derive(Debug, Clone)]
pub struct RigOptions {
    /// The PLC.
    pub plc: PlcOptions,
    /// Process seconds per real second, at least 1.
    pub time_scale: u32,
    /// Host name or address of the OPC UA server.
    pub opcua_host: String,
    /// Its port, 0 = any free one.
    pub opcua_port: u16,
    /// Where the PLC's Modbus TCP server listens.
    pub modbus: SocketAddr,
    /// Where AI-101 listens.
    pub analyser: SocketAddr,
    /// OPC UA user of the runtime.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Folder for the server's certificates.
    pub pki: PathBuf,
    /// True: any client certificate is taken (a rig on one's own desk).
    pub trust_any_client: bool,
    /// True: also offers no security with anonymous users, as an old PLC does.
    pub open: bool,
}

impl RigOptions {
    /// R-101 at its base case on free loopback ports, user `apc_r101`, any client certificate taken.
    #[must_use]
    pub fn new(password: &str, pki: PathBuf) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            plc: PlcOptions::default(),
            time_scale: 1,
            opcua_host: "127.0.0.1".into(),
            opcua_port: 0,
            modbus: any,
            analyser: any,
            user: "apc_r101".into(),
            password: password.into(),
            pki,
            trust_any_client: true,
            open: false,
        }
    }
}

/// Played after every scan, on the stepping thread: a scenario or a fault campaign.
pub type Script = Box<dyn FnMut(&mut SimPlc) + Send>;

struct Plant {
    plc: SimPlc,
    /// What the OPC UA server holds, by signal.
    shown: Vec<PlcValue>,
    script: Option<Script>,
}

struct Servers {
    host: ServerHost,
    bank: Arc<VariableBank>,
    // Held for their Drop: it closes the port and ends the thread.
    _modbus: ModbusServer,
    _analyser: ModbusServer,
}

struct Shared {
    plant: Mutex<Plant>,
    servers: Mutex<Option<Servers>>,
    registers: Arc<RegisterBank>,
    gc_registers: Arc<RegisterBank>,
    utc: UtcOffset,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panicking script or hook must not take the plant away from everybody else.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running rig. Dropping it stops everything.
pub struct RigPlc {
    shared: Arc<Shared>,
    options: RigOptions,
    url: String,
    thread: Option<JoinHandle<()>>,
}

impl RigPlc {
    /// Starts the plant's thread and all servers; returns when they accept connections.
    ///
    /// # Errors
    /// A sentence: a port is in use, the folder cannot be written, no thread can be started.
    pub fn start(options: RigOptions) -> Result<Self, String> {
        let scale = options.time_scale.max(1);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let utc = UtcOffset { unix_nanos_at_zero: since_1970.as_nanos() as i64, scale };
        let last = SIGNALS.iter().map(|s| s.register + s.plc_type.registers()).max().unwrap_or(0);
        let only_holding = |holding_registers| BankSize { holding_registers, ..BankSize::all(0) };
        let plc = SimPlc::new(options.plc);
        let shown = SIGNALS.iter().map(|s| plc.read(s.signal)).collect();
        let shared = Arc::new(Shared {
            plant: Mutex::new(Plant { plc, shown, script: None }),
            servers: Mutex::new(None),
            registers: Arc::new(RegisterBank::new(only_holding(usize::from(last)))),
            gc_registers: Arc::new(RegisterBank::new(only_holding(gc::REGISTERS))),
            utc,
            stop: AtomicBool::new(false),
        });
        let mut rig = Self { shared, options, url: String::new(), thread: None };
        rig.start_servers()?;
        let shared = Arc::clone(&rig.shared);
        let scan = rig.options.plc.scan;
        let thread = std::thread::Builder::new().name("rig-plant".into()).spawn(move || step_for_ever(&shared, scan, scale));
        rig.thread = Some(thread.map_err(|e| format!("cannot start a thread for the plant: {e}"))?);
        Ok(rig)
    }

    /// Starts the servers again after `stop_servers`, on the same ports.
    ///
    /// # Errors
    /// As `start`. Calling it while they run is an error too.
    pub fn start_servers(&mut self) -> Result<(), String> {
        let mut slot = lock(&self.shared.servers);
        if slot.is_some() {
            return Err("the servers of the rig run already: call stop_servers first".into());
        }
        let specs = {
            let mut plant = lock(&self.shared.plant);
            plant.shown = SIGNALS.iter().map(|s| plant.plc.read(s.signal)).collect();
            self.shared.fill_registers(&plant.plc);
            SIGNALS.iter().zip(&plant.shown).map(|(s, v)| variable(s, *v)).collect()
        };
        let hooked = Arc::clone(&self.shared);
        let bank = VariableBank::new("R101", &[NAMESPACE], specs, Arc::new(move |i, v| hooked.opcua_write(i, v)));
        let o = &self.options;
        let mut settings = ServerSettings::new("rig-plc", &o.opcua_host, o.opcua_port, o.pki.clone());
        settings.users = vec![ServerUser { name: o.user.clone(), password: o.password.clone(), role: Role::Operator }];
        settings.trust_any_client = o.trust_any_client;
        settings.anonymous = o.open;
        if o.open {
            settings.security.push(Security::NONE);
        }
        let host = ServerHost::start(settings, Arc::clone(&bank) as Arc<_>)?;
        let hooked = Arc::clone(&self.shared);
        let write = ServerOptions {
            units: Some(vec![PLC_UNIT]),
            on_write: Some(Box::new(move |w| hooked.modbus_write(w))),
            ..ServerOptions::default()
        };
        let refuse = ServerOptions {
            units: Some(vec![gc::UNIT]),
            on_write: Some(Box::new(|_| Err(Exception::ILLEGAL_ADDRESS))),
            ..ServerOptions::default()
        };
        let port_taken = |e: std::io::Error, at| format!("cannot listen for Modbus TCP on {at}: {e}. Stop who uses the port or choose another");
        let modbus = ModbusServer::start(o.modbus, Arc::clone(&self.shared.registers), write).map_err(|e| port_taken(e, o.modbus))?;
        let analyser = ModbusServer::start(o.analyser, Arc::clone(&self.shared.gc_registers), refuse)
            .map_err(|e| port_taken(e, o.analyser))?;
        // A restart must come back where the clients look for it.
        self.options.opcua_port = host.address().port();
        self.options.modbus = modbus.address();
        self.options.analyser = analyser.address();
        self.url = host.url().to_owned();
        *slot = Some(Servers { host, bank, _modbus: modbus, _analyser: analyser });
        Ok(())
    }

    /// Closes all ports and connections; PLC and plant go on.
    pub fn stop_servers(&self) {
        let servers = lock(&self.shared.servers).take();
        drop(servers);
    }

    /// Endpoint URL of the OPC UA server.
    #[must_use]
    pub fn opcua_url(&self) -> &str {
        &self.url
    }

    /// Port of the OPC UA server.
    #[must_use]
    pub const fn opcua_port(&self) -> u16 {
        self.options.opcua_port
    }

    /// Where the PLC's Modbus TCP server listens (unit `PLC_UNIT`).
    #[must_use]
    pub const fn modbus(&self) -> SocketAddr {
        self.options.modbus
    }

    /// Where AI-101 listens (unit `gc::UNIT`).
    #[must_use]
    pub const fn analyser(&self) -> SocketAddr {
        self.options.analyser
    }

    /// UTC at process time zero, and the scale.
    #[must_use]
    pub fn utc(&self) -> UtcOffset {
        self.shared.utc
    }

    /// Everything at this instant.
    #[must_use]
    pub fn truth(&self) -> Truth {
        lock(&self.shared.plant).plc.truth()
    }

    /// Acts on the PLC between two scans: operator panel, disturbances, STOP, power cycle, faults.
    pub fn with_plc<R>(&self, act: impl FnOnce(&mut SimPlc) -> R) -> R {
        act(&mut lock(&self.shared.plant).plc)
    }

    /// Plays `script` after every scan from now on.
    pub fn set_script(&self, script: Script) {
        lock(&self.shared.plant).script = Some(script);
    }

    /// Stops servers and plant and waits for their threads.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for RigPlc {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.stop_servers();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn step_for_ever(shared: &Shared, scan: Duration, scale: u32) {
    let origin = Instant::now();
    let real_scan = scan / scale;
    let mut next = origin;
    let mut shown = origin;
    while !shared.stop.load(Ordering::Relaxed) {
        next += real_scan;
        let now = Instant::now();
        if let Some(wait) = next.checked_duration_since(now) {
            std::thread::sleep(wait);
        }
        let show = next >= shown + SHOW_EVERY;
        if let Some(changes) = shared.step(show) {
            shown = next;
            if let Some(servers) = lock(&shared.servers).as_ref()
                && let Err(status) = servers.bank.set(&servers.host, &changes)
            {
                tracing::error!(%status, "rig: OPC UA values not set");
            }
        }
    }
}

impl Shared {
    /// One scan; answers what OPC UA must be told, if it is time to show.
    fn step(&self, show: bool) -> Option<Vec<VariableChange>> {
        let mut plant = lock(&self.plant);
        let Plant { plc, shown, script } = &mut *plant;
        plc.scan();
        if let Some(script) = script {
            script(plc);
        }
        if !show {
            return None;
        }
        self.fill_registers(plc);
        let mut changes = Vec::new();
        for (index, spec) in SIGNALS.iter().enumerate() {
            let value = plc.read(spec.signal);
            if !shown[index].same(value) {
                shown[index] = value;
                let source_time = self.utc.utc(Timestamp::ZERO.after(plc.changed(spec.signal)));
                changes.push(VariableChange { index, value: scalar(value), status: Status::Good, source_time });
            }
        }
        Some(changes)
    }

    /// Shows all signals in the Modbus tables. Under the PLC's lock, so that a client's own write is never covered by an older value.
    fn fill_registers(&self, plc: &SimPlc) {
        let table = ModbusTable::HoldingRegister;
        for direction in [Direction::Write, Direction::Read] {
            let mut block = Vec::new();
            let mut start = None;
            for spec in SIGNALS.iter().filter(|s| s.direction == direction) {
                start = start.or(Some(spec.register));
                let (high, low) = plc.read(spec.signal).to_registers();
                block.push(high);
                block.extend(low);
            }
            let written = self.registers.write(table, start.unwrap_or(0), &block);
            written.expect("the bank was made as long as the table of signals");
        }
        let gc = gc::registers(&plc.process.gc(), self.utc);
        self.gc_registers.write(table, gc::RESULT, &gc).expect("the bank was made as long as the map of AI-101");
    }

    fn opcua_write(&self, index: usize, value: &Scalar) -> Status {
        let Some(spec) = SIGNALS.get(index) else { return Status::BadNodeIdUnknown };
        let Some(value) = plc_value(spec, value) else { return Status::BadTypeMismatch };
        let mut plant = lock(&self.plant);
        let result = plant.plc.write(spec.signal, value);
        if matches!(result, WriteResult::Done | WriteResult::Clamped) {
            // The server stores what was asked; where the PLC kept something else, the next show corrects it.
            plant.shown[index] = value;
        }
        match result {
            WriteResult::Done => Status::Good,
            WriteResult::Clamped => Status::GoodClamped,
            WriteResult::Refused => Status::BadNotWritable,
            WriteResult::WrongType => Status::BadTypeMismatch,
        }
    }

    /// A block of registers: every signal it touches is written, in the order of the table, so that a heartbeat or sequence number comes after
    /// the values before it. Outside the write area: exception 2.
    fn modbus_write(&self, written: &Written) -> Result<(), Exception> {
        let first = u32::from(written.start);
        let end = first + written.words.len() as u32;
        let touched = |s: &&SignalSpec| {
            let start = u32::from(s.register);
            start < end && first < start + u32::from(s.plc_type.registers())
        };
        let signals: Vec<&SignalSpec> = SIGNALS.iter().filter(touched).collect();
        let covered: u32 = signals.iter().map(|s| u32::from(s.plc_type.registers())).sum();
        let writable = signals.iter().all(|s| s.direction == Direction::Write);
        if written.table != ModbusTable::HoldingRegister || !writable || covered < end - first {
            return Err(Exception::ILLEGAL_ADDRESS);
        }
        let mut plant = lock(&self.plant);
        for spec in signals {
            let (old_high, old_low) = plant.plc.read(spec.signal).to_registers();
            let word = |register: u16, old: u16| {
                let at = usize::from(register).checked_sub(usize::from(written.start));
                at.and_then(|i| written.words.get(i)).copied().unwrap_or(old)
            };
            let high = word(spec.register, old_high);
            let low = old_low.map_or(0, |old| word(spec.register + 1, old));
            let value = PlcValue::from_registers(spec.plc_type, high, low);
            if plant.plc.write(spec.signal, value) == WriteResult::Refused {
                return Err(Exception::ILLEGAL_ADDRESS);
            }
        }
        Ok(())
    }
}

fn variable(spec: &SignalSpec, value: PlcValue) -> VariableSpec {
    VariableSpec {
        namespace: NAMESPACE.into(),
        node: spec.node.into(),
        browse_name: spec.node.replace('"', ""),
        initial: scalar(value),
        writable: spec.direction == Direction::Write,
    }
}

fn scalar(value: PlcValue) -> Scalar {
    match value {
        PlcValue::Bool(x) => Scalar::Bool(x),
        PlcValue::Int(x) => Scalar::Int16(x),
        PlcValue::UInt(x) | PlcValue::Word(x) => Scalar::UInt16(x),
        PlcValue::UDInt(x) => Scalar::UInt32(x),
        PlcValue::Real(x) => Scalar::Float(x),
    }
}

/// The scalar as this signal's type; None when its wire type differs.
fn plc_value(spec: &SignalSpec, value: &Scalar) -> Option<PlcValue> {
    let zero: ScalarType = scalar(PlcValue::zero(spec.plc_type)).scalar_type();
    let number = value.number().filter(|_| value.scalar_type() == zero)?;
    Some(PlcValue::from_number(spec.plc_type, number))
}
