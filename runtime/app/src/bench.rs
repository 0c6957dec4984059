//! Benches of the promise: how long a scan takes, and how late it wakes. Prints the machine and what scheduling it really got.
//!
//! Absolute times belong to this machine in this moment; the ratios of one run are what to compare.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use flyball_config::{Config, load_text};
use flyball_core::controller::{Controller, Engines};
use flyball_core::exchange::{Taker, exchange};
use flyball_core::executive::Executive;
use flyball_core::field::Field;
use flyball_core::image::{InputImage, LinkState, OutputImage, Sample};
use flyball_core::link::{LinkPlan, LinkSeat, link_pair};
use flyball_core::ports::{Clock, FieldInput, FieldOutput, NoProbe};
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::{ScanCycle, Timestamp};
use flyball_inference_bench::case::Case;
use flyball_inference_bench::zoo;
use flyball_machine::spread::Spread;

use crate::cli::{BenchKind, Inference};
use crate::clock::SystemClock;
use crate::error::StartError;
use crate::realtime;

mod record;

/// Scans timed per size, after as many for warming up.
const SCANS: usize = 2_000;
/// Period of the wake-up bench.
const WAKE_PERIOD: Duration = Duration::from_millis(10);
/// Cycles per turn, and turns of each side.
const WAKE_CYCLES: usize = 500;
const WAKE_TURNS: usize = 6;

/// Counts the allocations of a piece of work, where a counting allocator is linked in.
pub type Counter<'a> = &'a dyn Fn(&mut dyn FnMut()) -> u64;

/// p50, p99.9 and max in microseconds, in columns.
struct Columns(Spread);

impl Columns {
    fn of(ns: Vec<u64>) -> Result<Self, StartError> {
        Spread::of(ns).map(Self).ok_or_else(|| StartError("nothing was timed".to_owned()))
    }
}

impl std::fmt::Display for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let us = |ns: u64| ns as f64 * 1e-3;
        write!(f, "{:>9.1} {:>9.1} {:>9.1}", us(self.0.p50), us(self.0.p999), us(self.0.max))
    }
}

/// `flyball bench [scan|wakeup|record|inference]`; without the allocation count, which needs `cargo bench`.
#[must_use]
pub fn run(which: Option<BenchKind>) -> u8 {
    let done = match which {
        Some(BenchKind::Inference(arguments)) => inference(&arguments),
        Some(BenchKind::Scan) => header_and(|| scan(None)),
        Some(BenchKind::Wakeup) => header_and(wakeup),
        Some(BenchKind::Record) => header_and(record::record),
        None => header_and(|| scan(None).and_then(|()| wakeup())),
    };
    done.unwrap_or_else(|e| {
        eprintln!("flyball bench: {e}");
        2
    })
}

fn header_and(bench: impl FnOnce() -> Result<(), StartError>) -> Result<u8, StartError> {
    header();
    bench().map(|()| 0)
}

/// The files, or the built-in models with their goals: this engine beside tract, ONNX Runtime and the machine's ceiling.
fn inference(arguments: &Inference) -> Result<u8, StartError> {
    let cases = match arguments.files.as_slice() {
        [] => zoo::cases(),
        files => files.iter().map(|file| Case::open(file, arguments.rows as usize)).collect(),
    };
    let verdict = flyball_inference_bench::run(&cases.map_err(StartError)?, None).map_err(StartError)?;
    Ok(u8::from(verdict.missed > 0))
}

/// Prints machine and scheduling; asks for real-time scheduling first.
pub fn header() {
    print!("{}", realtime::bench_header(None));
}

/// Time per scan at 10, 1,000 and 10,000 tags: freeze, step, flush and record, without models.
///
/// # Errors
/// The generated configuration is refused (a bug).
pub fn scan(count: Option<Counter<'_>>) -> Result<(), StartError> {
    println!("\nscan alone (freeze, condition, guard, flush, record), every tag changes in every scan, us");
    println!(
        "{:>8} {:>9} {:>9} {:>9}  {:>12} {:>16}",
        "tags", "p50", "p99.9", "max", "record bytes", "allocations/scan"
    );
    for tags in [10, 1_000, 10_000] {
        let mut bench = ScanBench::new(tags)?;
        bench.run(SCANS);
        let mut times = Vec::new();
        let allocations = match count {
            None => "(cargo bench)".to_owned(),
            Some(count) => {
                let sum = bench.count(count);
                format!("{}", sum as f64 / SCANS as f64)
            }
        };
        times.extend(bench.run(SCANS));
        println!("{tags:>8} {}  {:>12} {allocations:>16}", Columns::of(times)?, bench.bytes);
    }
    Ok(())
}

/// Wake-up lateness of the executive beside a bare absolute sleep, in turns in one process.
///
/// # Errors
/// The generated configuration is refused (a bug).
pub fn wakeup() -> Result<(), StartError> {
    let config = synthetic(1_000, WAKE_PERIOD)?;
    let clock = Arc::new(SystemClock::start(1));
    let (_seats, doors) = pairs(&config, &clock);
    let commands = Arc::new(ArrayQueue::new(1));
    let (records, mut taker) = exchange(4, || ScanRecord::new(&config), Arc::new(|| {}));
    let controller = Controller::new(&config, no_engines(&config), true);
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    let mut executive = Executive::new(&config, controller, Field::new(doors, commands), clock.clone(), records);
    for _ in 0..WAKE_TURNS {
        let mut next = clock.now();
        for _ in 0..WAKE_CYCLES {
            next = next.after(WAKE_PERIOD);
            clock.wait_until(next);
            bare.push(clock.now().since(next).as_nanos() as u64);
        }
        for i in 0..=WAKE_CYCLES {
            executive.scan();
            // The first scan of a turn begins in the middle of a period: it says nothing about waking.
            if let Some(r) = taker.newest().filter(|_| i > 0) {
                ours.push(r.cycle.now.since(r.cycle.scheduled).as_nanos() as u64);
            }
        }
    }
    let (bare, ours) = (Columns::of(bare)?, Columns::of(ours)?);
    println!(
        "\nwake-up later than scheduled, period {} ms, {} cycles each, in turns, us",
        WAKE_PERIOD.as_millis(),
        WAKE_CYCLES * WAKE_TURNS
    );
    println!("{:>16} {:>9} {:>9} {:>9}", "", "p50", "p99.9", "max");
    println!("{:>16} {bare}", "bare sleep");
    println!("{:>16} {ours}", "executive");
    let ratio = |of: fn(&Spread) -> u64| of(&ours.0) as f64 / of(&bare.0) as f64;
    println!("{:>16} {:>9.2} {:>9.2}", "ratio", ratio(|s| s.p50), ratio(|s| s.p999));
    Ok(())
}

/// A scan without pacer: the body of the executive, called as fast as it goes.
struct ScanBench {
    clock: Arc<SystemClock>,
    seats: Vec<LinkSeat>,
    field: Field,
    controller: Controller,
    inputs: InputImage,
    outputs: OutputImage,
    record: Box<ScanRecord>,
    records: flyball_core::exchange::Giver<ScanRecord>,
    number: u64,
    /// Size of one encoded record.
    bytes: usize,
}

impl ScanBench {
    /// Nobody takes the records: the oldest are overwritten.
    fn new(tags: usize) -> Result<Self, StartError> {
        Self::with_taker(tags, 4).map(|(bench, _)| bench)
    }

    fn with_taker(tags: usize, boxes: usize) -> Result<(Self, Taker<ScanRecord>), StartError> {
        let config = synthetic(tags, Duration::from_secs(1))?;
        let clock = Arc::new(SystemClock::start(1));
        let (seats, doors) = pairs(&config, &clock);
        let (records, taker) = exchange(boxes, || ScanRecord::new(&config), Arc::new(|| {}));
        let record = Box::new(ScanRecord::new(&config));
        let mut bytes = Vec::new();
        record.to_bytes(&mut bytes);
        let bench = Self {
            seats,
            field: Field::new(doors, Arc::new(ArrayQueue::new(1))),
            controller: Controller::new(&config, no_engines(&config), false),
            inputs: InputImage::new(config.tags.len(), config.connections.len()),
            outputs: OutputImage::new(config.outputs.len()),
            record,
            records,
            number: 0,
            bytes: bytes.len(),
            clock,
        };
        Ok((bench, taker))
    }

    fn run(&mut self, scans: usize) -> Vec<u64> {
        (0..scans).map(|_| self.feed().scan()).collect()
    }

    fn count(&mut self, count: Counter<'_>) -> u64 {
        (0..SCANS)
            .map(|_| {
                self.feed();
                count(&mut || {
                    self.scan();
                })
            })
            .sum()
    }

    /// The link's work, not timed: new values in every box.
    fn feed(&mut self) -> &mut Self {
        self.number += 1;
        let now = Timestamp(self.number * 1_000_000_000);
        let wobble = (self.number % 7) as f64;
        for seat in &mut self.seats {
            seat.images.give(|image| {
                image.state = LinkState::Up;
                for (i, sample) in image.samples.iter_mut().enumerate() {
                    *sample = Sample::new(40.0 + wobble + (i % 13) as f64, Status::Good, now, now);
                }
            });
        }
        self
    }

    fn scan(&mut self) -> u64 {
        let scheduled = Timestamp(self.number * 1_000_000_000);
        let cycle =
            ScanCycle { number: self.number, scheduled, now: scheduled, period: Duration::from_secs(1), missed: 0 };
        let begin = self.clock.now();
        self.field.freeze(&cycle, &mut self.inputs);
        self.controller.step(&cycle, &self.inputs, &mut self.outputs, &mut self.record, &mut NoProbe);
        self.field.flush(&cycle, &self.outputs);
        self.controller.flushed(&cycle, true);
        self.records.swap(&mut self.record);
        self.clock.now().since(begin).as_nanos() as u64
    }
}

fn pairs(config: &Config, clock: &Arc<SystemClock>) -> (Vec<LinkSeat>, Vec<flyball_core::link::LinkDoor>) {
    let stop = Arc::new(AtomicBool::new(false));
    LinkPlan::all(config)
        .into_iter()
        .map(|plan| link_pair(plan, Arc::new(|| {}), Arc::clone(&stop), clock.clone(), clock.utc(), 1))
        .unzip()
}

fn no_engines(config: &Config) -> Engines {
    let none = || config.models.iter().map(|_| None).collect();
    Engines { predictors: none(), shadows: none(), optimizer: None }
}

/// A configuration of this many tags with every check switched on, made as a user would write it.
fn synthetic(tags: usize, cycle: Duration) -> Result<Config, StartError> {
    use std::fmt::Write;
    let ms = cycle.as_millis();
    let mut text = format!(
        "schema = 1\n[app]\nname = \"BENCH\"\ndescription = \"synthetic\"\n[timing]\ncycle = \"{ms} ms\"\ndeadline = \"{ms} ms\"\n\
         [connection.c]\nprotocol = \"modbus-tcp\"\nhost = \"127.0.0.1\"\nport = 1502\nunit = 1\nnumbering = \"zero-based\"\n\
         word_order = \"ABCD\"\ntimeout = \"100 ms\"\npoll = \"{ms} ms\"\n"
    );
    for i in 0..tags {
        let _ = write!(
            text,
            "[tag.T{i:05}]\ntext = \"t\"\nat = \"c: holding {} float32\"\nunit = \"degC\"\nrange = [0, 100]\nok = [-5, 105]\n\
             max_rate = \"500 degC per s\"\nfrozen = {{ band = \"0.01 degC\", after = \"1 h\" }}\n",
            i * 2
        );
    }
    let loaded = load_text(std::path::Path::new("bench.toml"), &text);
    loaded
        .config
        .ok_or_else(|| StartError(format!("the bench's own configuration is refused:\n{}", loaded.diagnostics.lines())))
}
