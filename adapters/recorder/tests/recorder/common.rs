//! A run without a plant: records of R-101's configuration whose numbers are made up and whose shape is not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flyball_config::{Config, Recorder as Settings};
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::{ScanCycle, Timestamp, UtcOffset};
use flyball_core::value::Value;
use flyball_recorder::schema::Schema;
use flyball_recorder::{Header, Line, Preamble, Recorder, sources};

/// 2026-11-30 14:56:26 UTC.
pub const BEGIN: i64 = 1_796_050_586_000_000_000;
/// Only a hang is longer than this.
pub const HANG: Duration = Duration::from_secs(60);

/// The worked example.
pub fn config() -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples/r101.toml");
    flyball_config::load(&file).config.expect("the example is right")
}

/// Settings for tests: chunks close at once, and no disk of a test machine is too full.
pub fn settings(folder: &Path) -> Settings {
    Settings { min_free: 0, flush_every: Duration::ZERO, keyframe_every: 10, ..Settings::new(folder.to_owned()) }
}

/// What `flyball run` would say.
pub fn preamble(config: &Config) -> Preamble {
    let sources = sources(config).expect("the example's files can be read");
    let header = Header {
        version: "0.0.0".into(),
        application: config.app.name.clone(),
        signature: config.signature,
        models: config.models.iter().map(|m| (m.name.clone(), m.sha256.clone())).collect(),
        machine: "a test".into(),
        budget: Some((300, 20)),
        utc: UtcOffset { unix_nanos_at_zero: BEGIN, scale: 1 },
        instance: 0,
        read_only: false,
        keyframe_every: 10,
        configuration: sources[0].name.clone(),
    };
    Preamble { header, schema: Schema::new(config), sources }
}

/// The record of one scan; every tenth has a keyframe.
pub fn record(config: &Config, number: u64) -> ScanRecord {
    let mut r = ScanRecord::new(config);
    let now = Timestamp(number * 1_000_000_000);
    r.cycle = ScanCycle { number, scheduled: now, now, ..r.cycle };
    for (at, tag) in r.tags.iter_mut().enumerate() {
        tag.value = Value::new(number as f64 + at as f64 / 100.0);
        tag.status = if at == 1 { Status::UncertainLastUsableValue } else { Status::Good };
        tag.alive = now;
    }
    r.tags[2].value = None;
    r.heartbeat = number as u16;
    if number.is_multiple_of(10) {
        r.keyframe = vec![number as u8; 100];
    }
    r
}

/// Records these scans, with a sentence for each seventh.
pub fn write(config: &Config, settings: &Settings, numbers: impl IntoIterator<Item = u64>) {
    let mut recorder = Recorder::start(settings, preamble(config)).expect("a thread");
    for number in numbers {
        keep(&mut recorder, config, number);
    }
}

/// Hands one scan over.
pub fn keep(recorder: &mut Recorder, config: &Config, number: u64) {
    let said = number.is_multiple_of(7).then(|| Line { warning: true, text: format!("scan \"{number}\"") });
    recorder.keep(&record(config, number), said.into_iter().collect());
}

/// The recordings in a folder, by name.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("listed").map(|e| e.expect("entry").path()).collect();
    files.sort();
    files
}

/// Looks until it is so.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + HANG;
    while !so() {
        assert!(std::time::Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
