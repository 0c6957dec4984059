//! Why: what recording costs the scan, and how many bytes a scan takes on the disk.
//!
//! The scan thread hands its record to a keeper as it does in the program; with the recorder on, the keeper encodes and the recorder's thread writes
//! real files. Both ways are timed in turns in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use flyball_config::{Config, Recorder as Settings};
use flyball_core::exchange::Taker;
use flyball_core::ports::Clock;
use flyball_core::record::ScanRecord;
use flyball_core::time::Timestamp;
use flyball_recorder::schema::Schema;
use flyball_recorder::{Header, Preamble, Recorder, Recording};

use super::{Columns, ScanBench, synthetic};
use crate::error::StartError;

/// Tags of the bench.
const TAGS: usize = 1_000;
/// Scans of a turn, and turns of each side.
const SCANS: usize = 500;
const TURNS: usize = 6;
/// Records between the scan and its keeper, as in the program.
const BOXES: usize = 64;
/// Pause between scans: a hundred times as busy as R-101, and slow enough that nothing is dropped.
const PERIOD: Duration = Duration::from_millis(4);

/// Prints the cost with the recorder off and on.
///
/// # Errors
/// No folder for temporary files, no thread, or a configuration that is refused (a bug).
pub fn record() -> Result<(), StartError> {
    let folder = std::env::temp_dir().join(format!("flyball-bench-{}", std::process::id()));
    let config = synthetic(TAGS, Duration::from_secs(1))?;
    let settings = Settings { min_free: 0, ..Settings::new(folder.clone()) };
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        off.extend(side(None)?);
        on.extend(side(Some(start(&config, &settings)?))?);
    }
    println!("\nscan with {TAGS} tags, keeper in another thread, {} scans each, in turns, us", SCANS * TURNS);
    println!("{:>14} {:>9} {:>9} {:>9}", "recorder", "p50", "p99.9", "max");
    let (off, on) = (Columns::of(off)?, Columns::of(on)?);
    println!("{:>14} {off}", "off");
    println!("{:>14} {on}", "on");
    println!("{:>14} {:>9.1}", "added", (on.0.p50 as f64 - off.0.p50 as f64) * 1e-3);
    sizes(&folder);
    // What stays in the folder for temporary files does no harm.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(())
}

/// Bytes of what was recorded.
fn sizes(folder: &std::path::Path) {
    let Ok(recording) = Recording::open(folder) else { return };
    let bytes: u64 = recording.files().iter().map(|f| f.size).sum();
    let (mut scans, mut exact) = (0_u64, 0_u64);
    for scan in recording.scans().flatten() {
        scans += 1;
        exact += scan.bytes.len() as u64;
    }
    let (each, raw) = (bytes.checked_div(scans).unwrap_or(0), exact.checked_div(scans).unwrap_or(0));
    println!("{scans} scans recorded: {each} bytes each on the disk (the exact record is {raw} before compression)");
}

fn start(config: &Config, settings: &Settings) -> Result<Recorder, StartError> {
    let header = Header {
        version: env!("CARGO_PKG_VERSION").into(),
        application: config.app.name.clone(),
        signature: config.signature,
        models: [].into(),
        machine: crate::realtime::machine().to_string(),
        budget: None,
        utc: crate::clock::SystemClock::start(1).utc(),
        instance: 0,
        read_only: false,
        keyframe_every: settings.keyframe_every,
        configuration: String::new(),
    };
    Recorder::start(settings, Preamble { header, schema: Schema::new(config), sources: Vec::new() })
        .map_err(|e| StartError(format!("no thread for the recorder: {e}")))
}

/// Times scans whose records a keeper takes, and records or not.
fn side(recorder: Option<Recorder>) -> Result<Vec<u64>, StartError> {
    let (mut bench, taker) = ScanBench::with_taker(TAGS, BOXES)?;
    let stop = Arc::new(AtomicBool::new(false));
    let keeper = keeper(taker, recorder, Arc::clone(&stop))?;
    let mut times = Vec::with_capacity(SCANS);
    let clock = Arc::clone(&bench.clock);
    let mut next = clock.now();
    for _ in 0..SCANS {
        next = next.after(PERIOD);
        clock.wait_until(next);
        times.push(bench.feed().scan());
    }
    // SYNC POINT: the flag is the whole message.
    stop.store(true, Ordering::Relaxed);
    keeper.join().map_err(|_| StartError("the keeper had panicked".to_owned()))?;
    Ok(times)
}

/// Takes every record, as the program's keeper does.
fn keeper(
    mut taker: Taker<ScanRecord>,
    mut recorder: Option<Recorder>,
    stop: Arc<AtomicBool>,
) -> Result<thread::JoinHandle<()>, StartError> {
    let clock = crate::clock::SystemClock::start(1);
    let body = move || {
        let mut next = Timestamp::ZERO;
        while !stop.load(Ordering::Relaxed) {
            while let Some(record) = taker.pop() {
                if let Some(recorder) = &mut recorder {
                    recorder.keep(record, Vec::new());
                }
            }
            next = next.after(PERIOD);
            clock.wait_until(next);
        }
    };
    thread::Builder::new().spawn(body).map_err(|e| StartError(format!("no thread for the keeper: {e}")))
}
