//! The field ports of the runtime on a virtual clock: no socket, no thread, no waiting; hours in seconds, and the same bits every run.
//!
//! `freeze` moves the PLC on to the scan's `now` and copies the signals that the configuration names; `flush` writes into the PLC's
//! memory, values before commits. Both belong to one rig; clones share it, so one can be given as input and one as output.
//!
//! Words: *address* is the configuration's; it is resolved once, at the start, and everything unknown is reported together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flyball_config::{Address, Config, ModbusAddress, ModbusTable, NodeIdentifier, OpcUaAddress, WritePhase};
use flyball_core::image::{InputImage, LinkState, OutputImage, Sample, WriteOutcome};
use flyball_core::ports::{FieldInput, FieldOutput};
use flyball_core::status::Status;
use flyball_core::time::{ScanCycle, Timestamp, UtcOffset};
use flyball_core::value::Value;

use crate::device::Device;
use crate::gc;
use crate::plc::{SimPlc, WriteResult};
use crate::r101::process::GcResult;
use crate::signals::{self, NAMESPACE, PlcValue};

/// How the virtual field behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualOptions {
    /// What is read is this many PLC scans old (publishing interval, network).
    pub delay_scans: usize,
    /// Name of the connection that leads to AI-101; all others lead to the PLC.
    pub analyser: String,
    /// UTC of the virtual clock, for AI-101's sample time.
    pub utc: UtcOffset,
}

impl Default for VirtualOptions {
    /// No delay, analyser on connection `gc`, the clock starts at 2023-11-14 22:13:20 UTC.
    fn default() -> Self {
        let utc = UtcOffset { unix_nanos_at_zero: 1_700_000_000_000_000_000, scale: 1 };
        Self { delay_scans: 0, analyser: "gc".into(), utc }
    }
}

/// Called after every scan of the PLC: the story of a scenario, or a fault.
pub type Script<P = SimPlc> = Box<dyn FnMut(&mut P) + Send>;

/// Where a tag is read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    Plc(usize),
    GcResult,
    GcSampled,
    GcValid,
}

/// What a client sees of the field at one PLC scan.
#[derive(Debug, Clone)]
struct Published {
    at: Duration,
    values: Vec<(PlcValue, Duration)>,
    gc: Option<GcResult>,
}

struct World<P> {
    plc: P,
    options: VirtualOptions,
    script: Option<Script<P>>,
    sources: Vec<Source>,
    sampled_at: Vec<bool>,
    good_when: Vec<Option<f64>>,
    targets: Vec<(usize, WritePhase)>,
    connection_of_output: Vec<usize>,
    published: VecDeque<Published>,
    writes: Vec<Option<WriteOutcome>>,
}

/// The virtual field. Clones share one PLC.
pub struct VirtualRig<P = SimPlc> {
    world: Arc<Mutex<World<P>>>,
}

// Derived, it would ask for a PLC that can be cloned; a clone of the rig shares its PLC.
impl<P> Clone for VirtualRig<P> {
    fn clone(&self) -> Self {
        Self { world: Arc::clone(&self.world) }
    }
}

impl<P: Device> VirtualRig<P> {
    /// Resolves every address of `config` against the PLC and AI-101.
    ///
    /// # Errors
    /// One sentence per address that does not exist there.
    pub fn new(config: &Config, plc: P, options: VirtualOptions) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let has_analyser = plc.analyser().is_some();
        let analyser = |connection: usize| has_analyser && config.connections[connection].name == options.analyser;
        let mut resolve = |what: &str, connection: usize, address: &Address| {
            source::<P>(address, analyser(connection)).unwrap_or_else(|| {
                let name = &config.connections[connection].name;
                errors.push(format!("{what}: {address:?} does not exist on the simulated device of connection {name}"));
                Source::GcValid
            })
        };
        let mut sources = Vec::new();
        for tag in &config.tags {
            let connection = tag.connection.index();
            sources.push(resolve(&tag.name, connection, &tag.address));
            if let Some(address) = &tag.sampled_at {
                resolve(&format!("{} sampled_at", tag.name), connection, address);
            }
            if let Some(good) = &tag.good_when {
                resolve(&format!("{} good_when", tag.name), connection, &good.address);
            }
        }
        let mut targets = Vec::new();
        for output in &config.outputs {
            let row = match resolve(&output.name, output.connection.index(), &output.address) {
                Source::Plc(row) => row,
                // Reported above, or a register of the analyser, which refuses every write.
                _ => usize::MAX,
            };
            targets.push((row, output.phase));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let world = World {
            sampled_at: config.tags.iter().map(|t| t.sampled_at.is_some()).collect(),
            good_when: config.tags.iter().map(|t| t.good_when.as_ref().map(|g| g.equals)).collect(),
            connection_of_output: config.outputs.iter().map(|o| o.connection.index()).collect(),
            writes: vec![None; config.connections.len()],
            published: VecDeque::with_capacity(options.delay_scans + 1),
            script: None,
            plc,
            options,
            sources,
            targets,
        };
        Ok(Self { world: Arc::new(Mutex::new(world)) })
    }

    /// Plays `script` after every scan of the PLC.
    pub fn set_script(&self, script: Script<P>) {
        self.lock().script = Some(script);
    }

    /// Looks at, or acts on, the PLC between two scans.
    pub fn with_plc<R>(&self, act: impl FnOnce(&mut P) -> R) -> R {
        act(&mut self.lock().plc)
    }

    fn lock(&self) -> MutexGuard<'_, World<P>> {
        // A panic in a test's script leaves a PLC that can still be looked at.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves an address.
fn source<P: Device>(address: &Address, analyser: bool) -> Option<Source> {
    match address {
        Address::OpcUa(OpcUaAddress::Node { namespace, identifier: NodeIdentifier::Text(text) }) => {
            (namespace == NAMESPACE).then(|| signals::row_of_node(P::TABLE, text)).flatten().map(Source::Plc)
        }
        Address::OpcUa(_) => None,
        Address::Modbus(ModbusAddress { table: ModbusTable::HoldingRegister, start, bit, .. }) => {
            match (analyser, *start, *bit) {
                (true, gc::RESULT, None) => Some(Source::GcResult),
                (true, gc::SAMPLED, None) => Some(Source::GcSampled),
                (true, gc::STATUS, Some(gc::VALID_BIT)) => Some(Source::GcValid),
                (false, register, None) => signals::row_at_register(P::TABLE, register).map(Source::Plc),
                _ => None,
            }
        }
        Address::Modbus(_) => None,
    }
}

impl<P: Device> World<P> {
    fn advance(&mut self, to: Timestamp) {
        let scan = self.plc.scan_time();
        while Timestamp::ZERO.after(self.plc.time() + scan) <= to {
            self.plc.scan();
            if let Some(script) = &mut self.script {
                script(&mut self.plc);
            }
            if self.options.delay_scans > 0 {
                self.publish();
            }
        }
        if self.options.delay_scans == 0 || self.published.is_empty() {
            self.publish();
        }
    }

    fn publish(&mut self) {
        while self.published.len() > self.options.delay_scans {
            self.published.pop_front();
        }
        let plc = &self.plc;
        let values = (0..P::TABLE.len()).map(|row| (plc.value(row), plc.changed_at(row))).collect();
        self.published.push_back(Published { at: plc.time(), values, gc: plc.analyser() });
    }

    fn sample(&self, tag: usize, seen: &Published) -> Sample {
        let alive = Timestamp::ZERO.after(seen.at);
        let utc = self.options.utc;
        // Without an analyser no tag has one of its addresses: nothing below is used.
        let gc = seen.gc.unwrap_or(GcResult { c_b: f64::NAN, sampled_ms: 0, valid: false });
        let sampled_s = gc::sampled_unix_s(&gc, utc);
        let sampled = utc.timestamp(i64::from(sampled_s) * 1_000_000_000);
        let (raw, changed) = match self.sources[tag] {
            Source::Plc(row) => {
                let (value, changed) = seen.values[row];
                (value.number(), Timestamp::ZERO.after(changed))
            }
            Source::GcResult => (f64::from(gc.c_b as f32), alive),
            Source::GcSampled => (f64::from(sampled_s), alive),
            Source::GcValid => (f64::from(u8::from(gc.valid)), alive),
        };
        let valid = f64::from(u8::from(gc.valid));
        let good = self.good_when[tag].is_none_or(|wanted| (valid - wanted).abs() < 0.5);
        let status = if good { Status::Good } else { Status::BadSensorFailure };
        Sample::new(raw, status, if self.sampled_at[tag] { sampled } else { changed }, alive)
    }
}

impl<P: Device> FieldInput for VirtualRig<P> {
    fn freeze(&mut self, cycle: &ScanCycle, image: &mut InputImage) {
        let mut world = self.lock();
        world.advance(cycle.now);
        image.commands.clear();
        image.links.fill(LinkState::Up);
        image.writes.copy_from_slice(&world.writes);
        let Some(seen) = world.published.front() else { return };
        for (tag, sample) in image.samples.iter_mut().enumerate() {
            *sample = world.sample(tag, seen);
        }
    }
}

impl<P: Device> VirtualRig<P> {
    /// Writes cells by `OutputId`: all of phase `Value`, then all of phase `Commit`.
    fn write(&self, cycle: &ScanCycle, cells: &[Option<Value>]) {
        let mut world = self.lock();
        for phase in [WritePhase::Value, WritePhase::Commit] {
            for (i, cell) in cells.iter().enumerate() {
                let (row, of) = world.targets[i];
                let Some(value) = cell.filter(|_| of == phase) else { continue };
                let result = P::TABLE.get(row).map_or(WriteResult::Refused, |spec| {
                    world.plc.write_row(row, PlcValue::from_number(spec.plc_type, value.get()))
                });
                let status = match result {
                    WriteResult::Done => Status::Good,
                    WriteResult::Clamped => Status::GoodClamped,
                    WriteResult::Refused => Status::BadNotWritable,
                    WriteResult::WrongType => Status::BadTypeMismatch,
                };
                let connection = world.connection_of_output[i];
                let fresh = WriteOutcome { cycle: cycle.number, status, done: cycle.now, discarded: false };
                world.writes[connection] = match world.writes[connection] {
                    Some(o) if o.cycle == cycle.number => {
                        Some(WriteOutcome { status: o.status.worst(status), ..fresh })
                    }
                    _ => Some(fresh),
                };
            }
        }
    }
}

impl<P: Device> FieldOutput for VirtualRig<P> {
    fn flush(&mut self, cycle: &ScanCycle, image: &OutputImage) {
        self.write(cycle, image.cells());
    }
}

#[cfg(test)]
pub mod tests;
