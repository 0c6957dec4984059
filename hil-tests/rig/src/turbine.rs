//! A gas turbine played back from measurements: one row per period as Modbus registers, with analysers that are 24 rows late.
//! This file owns a clock (in `TurbineServer`); `Turbine` is pure.
//!
//! Words: *row* is one record of the file; *late* registers show what a sample taken 24 rows ago gave, with the time it was taken;
//! *reference* registers show it at once, for scoring only: no model may read them. A row is the mean of its hour, so its sample time
//! is the *end* of its showing: whoever predicted from that row did so before.
//!
//! Registers: holding, float32, uint32 and float64 high word first (ABCD), unit 1, numbered from 40001: `REGISTERS`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flyball_config::ModbusTable;
use flyball_modbus::{BankSize, Exception, ModbusServer, RegisterBank, ServerOptions};

/// Columns of the file, in its order.
pub const COLUMNS: [&str; 11] = ["AT", "AP", "AH", "AFDP", "GTEP", "TIT", "TAT", "TEY", "CDP", "CO", "NOX"];
/// Rows that the analysers are late.
pub const LATE_ROWS: usize = 24;
/// Unit id.
pub const UNIT: u8 = 1;

/// What a register pair shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// This column of the present row.
    Live(usize),
    /// This column of the row `LATE_ROWS` ago; NaN before there is one.
    Late(usize),
    /// When that row ended, unix seconds UTC, uint32; 0 before there is one.
    SampledAt,
    /// The same with its fraction, float64: rows may be much shorter than a second.
    SampledAtExactly,
    /// Number of the present row in the file, from 0, uint32.
    RowNumber,
}

/// The register map: wire address of each pair, what it shows, its meaning.
pub const REGISTERS: [(u16, Shows, &str); 17] = [
    (0, Shows::Live(0), "AT ambient temperature, degC"),
    (2, Shows::Live(1), "AP ambient pressure, mbar"),
    (4, Shows::Live(2), "AH ambient humidity, %"),
    (6, Shows::Live(3), "AFDP air filter difference pressure, mbar"),
    (8, Shows::Live(4), "GTEP gas turbine exhaust pressure, mbar"),
    (10, Shows::Live(5), "TIT turbine inlet temperature, degC"),
    (12, Shows::Live(6), "TAT turbine after temperature, degC"),
    (14, Shows::Live(8), "CDP compressor discharge pressure"),
    (16, Shows::Live(7), "TEY turbine energy yield, MWh"),
    (18, Shows::Late(9), "CO analyser, late, mg/m3"),
    (20, Shows::Late(10), "NOX analyser, late, mg/m3"),
    (22, Shows::SampledAt, "when the late values were sampled, unix seconds"),
    (24, Shows::Late(7), "TEY, late, MWh"),
    (26, Shows::Live(9), "CO reference, for scoring only, mg/m3"),
    (28, Shows::Live(10), "NOX reference, for scoring only, mg/m3"),
    (30, Shows::RowNumber, "row number"),
    (32, Shows::SampledAtExactly, "when the late values were sampled, unix seconds with their fraction"),
];

/// Registers in the map.
const WORDS: usize = 36;

/// The register map as a table in Markdown, for the documentation.
#[must_use]
pub fn register_map() -> String {
    use std::fmt::Write as _;
    let mut out = String::from("| Registers | Type | Meaning |\n|---|---|---|\n");
    for (start, shows, text) in REGISTERS {
        let (kind, words) = match shows {
            Shows::Live(_) | Shows::Late(_) => ("float32", 2),
            Shows::SampledAt | Shows::RowNumber => ("uint32", 2),
            Shows::SampledAtExactly => ("float64", 4),
        };
        let first = 40_001 + u32::from(start);
        writeln!(out, "| {first}-{} | {kind} | {text} |", first + words - 1).expect("a String takes every line");
    }
    out
}

/// Rows of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Turbine {
    rows: Vec<[f64; COLUMNS.len()]>,
}

impl Turbine {
    /// The year 2013, which no model of the examples was trained on; part of the program, so that it needs no file.
    #[must_use]
    pub fn year_2013() -> Self {
        Self::parse(include_str!("../data/gas_turbine/gt_2013.csv")).expect("a test reads the same file")
    }

    /// Reads a file of the data set.
    ///
    /// # Errors
    /// A sentence with the line: not readable, other columns, a field that is no finite number, no row.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: cannot be read ({e})", path.display()))?;
        Self::parse(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Reads the text of a file of the data set.
    ///
    /// # Errors
    /// As `read`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|e| e.to_string())?;
        if !header.iter().eq(COLUMNS) {
            let found: Vec<&str> = header.iter().collect();
            return Err(format!("columns are {}, expected {}", found.join(","), COLUMNS.join(",")));
        }
        let mut rows = Vec::new();
        for (line, record) in (2..).zip(reader.records()) {
            let record = record.map_err(|e| e.to_string())?;
            let mut row = [0.0; COLUMNS.len()];
            for (i, field) in record.iter().enumerate() {
                let number = field.trim().parse::<f64>().ok().filter(|x| x.is_finite());
                row[i] = number.ok_or_else(|| format!("line {line}, {}: {field:?} is no number", COLUMNS[i]))?;
            }
            rows.push(row);
        }
        if rows.is_empty() { Err("has no rows".into()) } else { Ok(Self { rows }) }
    }

    /// Number of rows, at least one.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A row in the order of `COLUMNS`.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<&[f64; COLUMNS.len()]> {
        self.rows.get(row)
    }

    /// Registers while `row` is shown. `first` is the row that was shown first (there is nothing late before it) and `sampled` the unix
    /// second at which the late row ended.
    #[must_use]
    pub fn registers(&self, row: usize, first: usize, sampled: f64) -> [u16; WORDS] {
        let mut words = [0; WORDS];
        let late = row.checked_sub(LATE_ROWS).filter(|r| *r >= first).and_then(|r| self.rows.get(r));
        for (start, shows, _) in REGISTERS {
            let real = |x: f64| (x as f32).to_bits();
            let bits = match shows {
                Shows::Live(column) => self.rows.get(row).map_or(f32::NAN.to_bits(), |r| real(r[column])),
                Shows::Late(column) => late.map_or(f32::NAN.to_bits(), |r| real(r[column])),
                Shows::SampledAt => late.map_or(0, |_| sampled as u32),
                Shows::RowNumber => row as u32,
                Shows::SampledAtExactly => {
                    let bits = late.map_or(0.0, |_| sampled).to_bits();
                    for (word, shift) in words[usize::from(start)..].iter_mut().zip([48, 32, 16, 0]) {
                        *word = (bits >> shift) as u16;
                    }
                    continue;
                }
            };
            words[usize::from(start)] = (bits >> 16) as u16;
            words[usize::from(start) + 1] = (bits & 0xFFFF) as u16;
        }
        words
    }
}

/// How a turbine is served.
#[derive(Debug, Clone, Copy)]
pub struct TurbineOptions {
    /// Where to listen, port 0 = any free one.
    pub address: SocketAddr,
    /// First row.
    pub first: usize,
    /// Rows to show; the last one stays.
    pub rows: usize,
    /// Real time per row.
    pub period: Duration,
}

/// A turbine on a Modbus TCP port. Dropping it stops it.
pub struct TurbineServer {
    server: ModbusServer,
    row: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    playing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TurbineServer {
    /// Starts serving and playing; the first row is shown at once.
    ///
    /// # Errors
    /// A sentence: port in use, no such row, no thread.
    pub fn start(turbine: Turbine, options: TurbineOptions) -> Result<Self, String> {
        let server = Self::hold(turbine, options)?;
        server.play();
        Ok(server)
    }

    /// Starts serving, and holds the first row until `play`: time for a client to connect.
    ///
    /// # Errors
    /// As `start`.
    pub fn hold(turbine: Turbine, options: TurbineOptions) -> Result<Self, String> {
        if options.first >= turbine.rows() {
            return Err(format!("first row {} does not exist: the file has {} rows", options.first, turbine.rows()));
        }
        let size = BankSize { holding_registers: WORDS, ..BankSize::all(0) };
        let bank = Arc::new(RegisterBank::new(size));
        let row = Arc::new(AtomicUsize::new(options.first));
        let stop = Arc::new(AtomicBool::new(false));
        let playing = Arc::new(AtomicBool::new(false));
        let show = {
            let (bank, row) = (Arc::clone(&bank), Arc::clone(&row));
            // `started` is the unix time at which the first row began to pass.
            move |now: usize, started: Duration| {
                let passed = (now + 1).saturating_sub(options.first + LATE_ROWS) as u32;
                let sampled = (started + options.period * passed).as_secs_f64();
                let words = turbine.registers(now, options.first, sampled);
                bank.write(ModbusTable::HoldingRegister, 0, &words).expect("the bank was made as long as the map");
                row.store(now, Ordering::Relaxed);
                now + 1 < turbine.rows().min(options.first + options.rows)
            }
        };
        let more = show(options.first, Duration::ZERO);
        let only_read = ServerOptions {
            units: Some(vec![UNIT]),
            on_write: Some(Box::new(|_| Err(Exception::ILLEGAL_ADDRESS))),
            ..ServerOptions::default()
        };
        let server = ModbusServer::start(options.address, bank, only_read).map_err(|e| {
            format!(
                "cannot listen for Modbus TCP on {}: {e}. Stop who uses the port or choose another",
                options.address
            )
        })?;
        let (stopped, released) = (Arc::clone(&stop), Arc::clone(&playing));
        let play = move || {
            while !released.load(Ordering::Relaxed) && !stopped.load(Ordering::Relaxed) {
                std::thread::park();
            }
            let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let mut next = Instant::now();
            let (mut row, mut more) = (options.first, more);
            while more && !stopped.load(Ordering::Relaxed) {
                next += options.period;
                if let Some(wait) = next.checked_duration_since(Instant::now()) {
                    // Parked, not asleep, so that shutdown does not wait for a long period.
                    std::thread::park_timeout(wait);
                    if Instant::now() < next {
                        next -= options.period;
                        continue;
                    }
                }
                row += 1;
                more = show(row, started);
            }
        };
        let thread = std::thread::Builder::new().name("rig-turbine".into()).spawn(play);
        let thread = thread.map_err(|e| format!("cannot start a thread for the turbine: {e}"))?;
        Ok(Self { server, row, stop, playing, thread: Some(thread) })
    }

    /// Lets the rows pass. SYNC POINT: Relaxed, the flag is all there is to say.
    pub fn play(&self) {
        self.playing.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The row that is shown now. SYNC POINT: Relaxed, it may be one row behind the registers.
    #[must_use]
    pub fn row(&self) -> usize {
        self.row.load(Ordering::Relaxed)
    }
}

impl Drop for TurbineServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
