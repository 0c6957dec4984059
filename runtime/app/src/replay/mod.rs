//! Why: `flyball replay`: a recording once more. Alone it proves that every decision follows from the record, bit for bit; with another model or
//! configuration it tells what that one would have done on the same inputs.

mod compare;
pub mod derive;
mod other;
mod verify;

use std::path::Path;
use std::time::Duration;

use flyball_config::{Config, load};
use flyball_core::ports::Clock;
use flyball_core::record::ScanRecord;
use flyball_optimiser::Budget;
use flyball_recorder::utc::words;
use flyball_recorder::{Header, Recording};

use crate::cli::Replay;
use crate::clock::{SystemClock, VirtualClock};
use crate::engines::{LoadedEngines, SolveBudget, load_with};

/// Carries out the command. Returns the exit code: 0 equal (or compared), 1 something differs or could not be replayed, 2 error.
#[must_use]
pub fn run(arguments: &Replay) -> u8 {
    match carry_out(arguments) {
        Ok((text, code)) => {
            print!("{text}");
            code
        }
        Err(e) => {
            eprintln!("flyball replay: {e}");
            2
        }
    }
}

fn carry_out(arguments: &Replay) -> Result<(String, u8), String> {
    let opened = Opened::new(&arguments.file)?;
    if arguments.config.is_none() && arguments.model.is_empty() {
        if arguments.report.is_some() {
            return Err("--report belongs to --model or --config: without them there is nothing to compare".into());
        }
        verify::run(&opened)
    } else {
        other::run(&opened, arguments)
    }
}

/// A recording with what it was made with.
pub(crate) struct Opened {
    pub(crate) recording: Recording,
    pub(crate) config: Config,
    /// Where the recording's own files lie; gone with this.
    _folder: tempfile::TempDir,
}

impl Opened {
    /// Opens a file or a folder, and unpacks configuration and models.
    pub(crate) fn new(file: &Path) -> Result<Self, String> {
        let recording = Recording::open(file)?;
        let signature = recording.header().signature;
        if let Some(other) = recording.files().iter().find(|f| f.header.signature != signature) {
            return Err(format!(
                "the configuration changed between {} and {}: name one file",
                recording.files()[0].path.display(),
                other.path.display()
            ));
        }
        let folder = tempfile::tempdir().map_err(|e| format!("no folder for the recording's files ({e})"))?;
        let path = recording.extract(folder.path())?;
        let mut config = configuration(&path)?;
        // Paths in the text may have changed on the way out, the run has not.
        config.signature = signature;
        Ok(Self { recording, config, _folder: folder })
    }

    pub(crate) fn header(&self) -> &Header {
        self.recording.header()
    }

    /// First lines of every answer.
    pub(crate) fn title(&self) -> String {
        let header = self.header();
        let scale = match header.utc.scale {
            0 | 1 => String::new(),
            scale => format!("The plant was accelerated: 1 s of UTC is {scale} s of process time.\n"),
        };
        format!("{}, recorded by flyball {} on {}\n{scale}", header.application, header.version, header.machine)
    }
}

/// Loads a configuration; its errors are the answer.
pub(crate) fn configuration(path: &Path) -> Result<Config, String> {
    let loaded = load(path);
    loaded.config.ok_or_else(|| format!("{} is refused:\n{}", path.display(), loaded.diagnostics.lines()))
}

/// The models of a configuration, with the budget of the recording.
pub(crate) fn engines(config: &Config, budget: Option<(u32, u32)>) -> Result<LoadedEngines, String> {
    let budget = budget.map_or(Budget { solve: 1, scan: 1 }, |(solve, scan)| Budget { solve, scan });
    load_with(config, &VirtualClock::new(), SolveBudget::Fixed(budget)).map_err(|e| e.to_string())
}

/// UTC with tenths of a second.
pub(crate) fn clock(utc: i64) -> String {
    format!("{}.{}", words(utc), utc.rem_euclid(1_000_000_000) / 100_000_000)
}

/// How much faster than the process something was done.
pub(crate) struct Pace {
    clock: SystemClock,
    first: Option<u64>,
    last: u64,
}

impl Pace {
    pub(crate) fn start() -> Self {
        Self { clock: SystemClock::start(1), first: None, last: 0 }
    }

    pub(crate) fn scan(&mut self, record: &ScanRecord) {
        self.first.get_or_insert(record.cycle.now.0);
        self.last = record.cycle.now.0;
    }

    pub(crate) fn text(&self) -> String {
        let process = Duration::from_nanos(self.last.saturating_sub(self.first.unwrap_or(0)));
        let took = Duration::from_nanos(self.clock.now().0);
        let factor = process.as_secs_f64() / took.as_secs_f64().max(1e-9);
        format!(
            "{:.0} s of process time in {:.2} s, {factor:.0} times faster",
            process.as_secs_f64(),
            took.as_secs_f64()
        )
    }
}
