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

use crate::device::{Device, Start};
use crate::gc;
use crate::plc::{PlcOptions, SimPlc, Truth, WriteResult};
use crate::signals::{Direction, NAMESPACE, PlcValue, SignalSpec};
use crate::te4::plc::Te4Options;

/// Values are shown at most this often, real time.
const SHOW_EVERY: Duration = Duration::from_millis(10);
/// Unit id of the PLC on its Modbus TCP port.
pub const PLC_UNIT: u8 = 1;

/// How the rig is started.
#[derive(Debug, Clone)]
pub struct RigOptions<O = PlcOptions> {
    /// The PLC with its plant.
    pub plc: O,
    /// Process seconds per real second, at least 1.
    pub time_scale: u32,
    /// Host name or address of the OPC UA server.
    pub opcua_host: String,
    /// Its port, 0 = any free one.
    pub opcua_port: u16,
    /// Where the PLC's Modbus TCP server listens.
    pub modbus: SocketAddr,
    /// Where AI-101 listens; no port is opened for a plant without it.
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
        Self::on_free_ports(PlcOptions::default(), "apc_r101", password, pki)
    }
}

impl RigOptions<Te4Options> {
    /// te4 at its base case on free loopback ports, user `apc_te4`, any client certificate taken.
    #[must_use]
    pub fn te4(password: &str, pki: PathBuf) -> Self {
        Self::on_free_ports(Te4Options::default(), "apc_te4", password, pki)
    }
}

impl<O> RigOptions<O> {
    fn on_free_ports(plc: O, user: &str, password: &str, pki: PathBuf) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            plc,
            time_scale: 1,
            opcua_host: "127.0.0.1".into(),
            opcua_port: 0,
            modbus: any,
            analyser: any,
            user: user.into(),
            password: password.into(),
            pki,
            trust_any_client: true,
            open: false,
        }
    }
}

/// Played after every scan, on the stepping thread: a scenario or a fault campaign.
pub type Script<P = SimPlc> = Box<dyn FnMut(&mut P) + Send>;

struct Plant<P> {
    plc: P,
    /// What the OPC UA server holds, by signal.
    shown: Vec<PlcValue>,
    script: Option<Script<P>>,
}

struct Servers {
    host: ServerHost,
    bank: Arc<VariableBank>,
    // Held for their Drop: it closes the port and ends the thread.
    _modbus: ModbusServer,
    _analyser: Option<ModbusServer>,
}

struct Shared<P> {
    plant: Mutex<Plant<P>>,
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
pub struct RigPlc<P: Device = SimPlc> {
    shared: Arc<Shared<P>>,
    options: RigOptions<()>,
    url: String,
    thread: Option<JoinHandle<()>>,
}

/// All values of a PLC in the order of its table.
fn values<P: Device>(plc: &P) -> Vec<PlcValue> {
    (0..P::TABLE.len()).map(|row| plc.value(row)).collect()
}

impl RigPlc {
    /// Everything at this instant.
    #[must_use]
    pub fn truth(&self) -> Truth {
        lock(&self.shared.plant).plc.truth()
    }
}

impl<P: Device> RigPlc<P> {
    /// Starts the plant's thread and all servers; returns when they accept connections.
    ///
    /// # Errors
    /// A sentence: a port is in use, the folder cannot be written, no thread can be started.
    pub fn start<O: Start<Plc = P>>(options: RigOptions<O>) -> Result<Self, String> {
        let scale = options.time_scale.max(1);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let utc = UtcOffset { unix_nanos_at_zero: since_1970.as_nanos() as i64, scale };
        let last = P::TABLE.iter().map(|s| s.register + s.plc_type.registers()).max().unwrap_or(0);
        let only_holding = |holding_registers| BankSize { holding_registers, ..BankSize::all(0) };
        let RigOptions {
            plc,
            time_scale,
            opcua_host,
            opcua_port,
            modbus,
            analyser,
            user,
            password,
            pki,
            trust_any_client,
            open,
        } = options;
        let options = RigOptions {
            plc: (),
            time_scale,
            opcua_host,
            opcua_port,
            modbus,
            analyser,
            user,
            password,
            pki,
            trust_any_client,
            open,
        };
        let plc = plc.start();
        let scan = plc.scan_time();
        let shown = values(&plc);
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
        let thread =
            std::thread::Builder::new().name("rig-plant".into()).spawn(move || step_for_ever(&shared, scan, scale));
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
        let has_analyser;
        let specs = {
            let mut plant = lock(&self.shared.plant);
            plant.shown = values(&plant.plc);
            self.shared.fill_registers(&plant.plc);
            has_analyser = plant.plc.analyser().is_some();
            P::TABLE.iter().zip(&plant.shown).map(|(s, v)| variable(s, *v)).collect()
        };
        let hooked = Arc::clone(&self.shared);
        let bank = VariableBank::new(P::ROOT, &[NAMESPACE], specs, Arc::new(move |i, v| hooked.opcua_write(i, v)));
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
        let port_taken = |e: std::io::Error, at| {
            format!("cannot listen for Modbus TCP on {at}: {e}. Stop who uses the port or choose another")
        };
        let modbus = ModbusServer::start(o.modbus, Arc::clone(&self.shared.registers), write)
            .map_err(|e| port_taken(e, o.modbus))?;
        let start_analyser = || ModbusServer::start(o.analyser, Arc::clone(&self.shared.gc_registers), refuse);
        let analyser = has_analyser.then(start_analyser).transpose().map_err(|e| port_taken(e, o.analyser))?;
        // A restart must come back where the clients look for it.
        self.options.opcua_port = host.address().port();
        self.options.modbus = modbus.address();
        if let Some(analyser) = &analyser {
            self.options.analyser = analyser.address();
        }
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

    /// Acts on the PLC between two scans: operator panel, disturbances, STOP, power cycle, faults.
    pub fn with_plc<R>(&self, act: impl FnOnce(&mut P) -> R) -> R {
        act(&mut lock(&self.shared.plant).plc)
    }

    /// Plays `script` after every scan from now on.
    pub fn set_script(&self, script: Script<P>) {
        lock(&self.shared.plant).script = Some(script);
    }

    /// Stops servers and plant and waits for their threads.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl<P: Device> Drop for RigPlc<P> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.stop_servers();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn step_for_ever<P: Device>(shared: &Shared<P>, scan: Duration, scale: u32) {
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

impl<P: Device> Shared<P> {
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
        for (index, shown) in shown.iter_mut().enumerate() {
            let value = plc.value(index);
            if !shown.same(value) {
                *shown = value;
                let source_time = self.utc.utc(Timestamp::ZERO.after(plc.changed_at(index)));
                changes.push(VariableChange { index, value: scalar(value), status: Status::Good, source_time });
            }
        }
        Some(changes)
    }

    /// Shows all signals in the Modbus tables. Under the PLC's lock, so that a client's own write is never covered by an older value.
    fn fill_registers(&self, plc: &P) {
        let table = ModbusTable::HoldingRegister;
        for direction in [Direction::Write, Direction::Read] {
            let mut block = Vec::new();
            let mut start = None;
            for (row, spec) in P::TABLE.iter().enumerate().filter(|(_, s)| s.direction == direction) {
                start = start.or(Some(spec.register));
                let (high, low) = plc.value(row).to_registers();
                block.push(high);
                block.extend(low);
            }
            let written = self.registers.write(table, start.unwrap_or(0), &block);
            written.expect("the bank was made as long as the table of signals");
        }
        if let Some(result) = plc.analyser() {
            let gc = gc::registers(&result, self.utc);
            self.gc_registers.write(table, gc::RESULT, &gc).expect("the bank was made as long as the map of AI-101");
        }
    }

    fn opcua_write(&self, index: usize, value: &Scalar) -> Status {
        let Some(spec) = P::TABLE.get(index) else { return Status::BadNodeIdUnknown };
        let Some(value) = plc_value(spec, value) else { return Status::BadTypeMismatch };
        let mut plant = lock(&self.plant);
        let result = plant.plc.write_row(index, value);
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
        let touched = |(_, s): &(usize, &SignalSpec)| {
            let start = u32::from(s.register);
            start < end && first < start + u32::from(s.plc_type.registers())
        };
        let signals: Vec<(usize, &SignalSpec)> = P::TABLE.iter().enumerate().filter(touched).collect();
        let overlap = |s: &SignalSpec| {
            let start = u32::from(s.register);
            end.min(start + u32::from(s.plc_type.registers())) - first.max(start)
        };
        let covered: u32 = signals.iter().map(|(_, s)| overlap(s)).sum();
        let writable = signals.iter().all(|(_, s)| s.direction == Direction::Write);
        if written.table != ModbusTable::HoldingRegister || !writable || covered < end - first {
            return Err(Exception::ILLEGAL_ADDRESS);
        }
        let mut plant = lock(&self.plant);
        for (row, spec) in signals {
            let (old_high, old_low) = plant.plc.value(row).to_registers();
            let word = |register: u16, old: u16| {
                let at = usize::from(register).checked_sub(usize::from(written.start));
                at.and_then(|i| written.words.get(i)).copied().unwrap_or(old)
            };
            let high = word(spec.register, old_high);
            let low = old_low.map_or(0, |old| word(spec.register + 1, old));
            let value = PlcValue::from_registers(spec.plc_type, high, low);
            if plant.plc.write_row(row, value) == WriteResult::Refused {
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
