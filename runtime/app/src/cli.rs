//! Why: the words an engineer types. `--help` teaches the first three of them; exit codes are 0 good, 1 warnings or goal not met,
//! 2 error.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::logging::LogForm;

/// Sits beside a PLC: predicts quality, optimises setpoints, offers them guarded and in time. The PLC stays in charge.
#[derive(Debug, Parser)]
#[command(name = "flyball", version, after_help = FIRST_STEPS, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  flyball demo                       watch a simulated reactor earn money, about two minutes, nothing to install
  flyball check plant.toml           everything that is wrong with a configuration, at once, with line and remedy
  flyball run plant.toml --read-only connect, predict and show what would be written; this process cannot write

Exit codes: 0 good, 1 warnings or a goal not met, 2 error.
Environment: FLYBALL_LOG=info or FLYBALL_LOG=flyball=debug,opcua=warn filters the log.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a configuration beside its PLC
    ///
    /// Starts in OFF or ADVISORY, never in CLOSED LOOP. SIGTERM or Ctrl-C ends it in order: the heartbeat stops and the PLC
    /// keeps its own setpoints.
    Run(Run),
    /// Check a configuration without connecting to anything
    Check(Check),
    /// Write what the PLC engineer needs: gate blocks in structured text, tag and register lists, a checklist
    ///
    /// From the configuration that flyball runs, so that limits, rates, time-outs and addresses have one source.
    PlcKit(PlcKit),
    /// Show what it does, on this machine, over real sockets
    Demo(Demo),
    /// Serve the simulated plant R-101 alone, as a PLC to try a configuration against
    Rig(Rig),
    /// Measure scan, wake-up lateness, recording or inference on this machine
    Bench(Bench),
    /// Measure the whole loop on this machine under stress, and certify its deadline
    ///
    /// Exit code: 0 pass, 1 fail or inconclusive, 2 error.
    Certify(Certify),
    /// Play a scenario against a rig and report what was seen
    ///
    /// Exit code: 0 everything as expected, 1 not, 2 error.
    Hil(Hil),
    /// Write recordings as tables for pandas, DuckDB, Spark or a spreadsheet
    Export(Export),
    /// Look into a model file
    #[command(subcommand)]
    Model(ModelCommand),
    /// Derive a recording again: prove it, or ask what another model or configuration would have written
    ///
    /// Alone: every decision is derived again from its inputs and compared bit for bit. With --model or --config: what that one would have
    /// done on the same inputs, beside what was done. Exit code 1 when a scan differs or nothing could be compared.
    Replay(Replay),
    /// Say in sentences why the loop was left, or what holds each MV
    Why(Why),
    /// The second process; started by `run`
    #[command(hide = true)]
    Service,
}

/// `flyball run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Configuration file (TOML)
    pub file: PathBuf,
    /// Never write anything to any PLC, not even the heartbeat
    #[arg(long)]
    pub read_only: bool,
    /// Form of the log lines on stderr
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub log: LogForm,
    /// Show the live view in this terminal
    #[arg(long)]
    pub view: bool,
    /// Process seconds per real second, for accelerated rigs; 1 beside a plant
    #[arg(long, hide = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub time_scale: u32,
}

/// `flyball rig`.
#[derive(Debug, Args)]
pub struct Rig {
    /// Process seconds per real second
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub time_scale: u32,
    /// OPC UA port; the chromatograph's Modbus port moves with it (48401 gives 15020), the PLC's Modbus port is 100 above
    #[arg(long, default_value_t = 48_401, value_parser = clap::value_parser!(u16).range(48_401..=65_000))]
    pub ports: u16,
    /// Password of the OPC UA user apc_r101
    #[arg(long, default_value = "rig-only")]
    pub password: String,
    /// Folder for the PLC's certificates
    #[arg(long, default_value = "pki-plc")]
    pub pki: PathBuf,
    /// Process seconds until the simulated operator switches APC on
    #[arg(long, default_value_t = 60)]
    pub enable_after: u32,
}

/// `flyball certify`.
#[derive(Debug, Args)]
pub struct Certify {
    /// Configuration file (TOML)
    pub file: PathBuf,
    /// Real minutes of measurement, after the loop has closed
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    pub minutes: f64,
    /// Workers that keep processor and memory busy meanwhile; one per core when left out
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=256))]
    pub stress: Option<u32>,
    /// What is on the other end
    #[arg(long, value_enum, default_value_t)]
    pub against: Against,
    /// Probability per cycle with which the stated time may be exceeded
    #[arg(long, default_value_t = 1e-6, value_parser = probability)]
    pub exceedance: f64,
    /// Where the certificate goes; the file that `timing.certificate` names, or FILE.cert.toml, when left out
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// `flyball hil`.
#[derive(Debug, Args)]
pub struct Hil {
    /// Configuration file (TOML)
    pub file: PathBuf,
    /// Name of a built-in scenario, or a file
    #[arg(long)]
    pub scenario: Option<String>,
    /// Folder for junit.xml, report.html, FAT.md and trend.csv
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// What is on the other end
    #[arg(long, value_enum, default_value_t)]
    pub plant: Plant,
    /// Process seconds per real second of the scripted plant
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub time_scale: u32,
    /// Show the built-in scenarios and end
    #[arg(long)]
    pub list: bool,
}

/// The other end of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Plant {
    /// The built-in rig: the scenario's part on the plant is played, time runs faster
    #[default]
    Scripted,
    /// The endpoints of the configuration: a person is asked for the plant's part. It writes: use it on a rig, not on a plant
    Theirs,
}

impl Plant {
    /// In one word.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Scripted => "scripted",
            Self::Theirs => "theirs",
        }
    }
}

/// The other end of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Against {
    /// The built-in rig: the loop closes and writes
    #[default]
    Rig,
    /// The PLC of the configuration: nothing is written, not even the heartbeat
    Plant,
}

impl Against {
    /// As it stands in a certificate.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Rig => "rig",
            Self::Plant => "plant",
        }
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number of minutes is needed".to_owned())?;
    if (0.05..=10_080.0).contains(&number) {
        Ok(number)
    } else {
        Err("0.05 to 10080 minutes (a week) are allowed".into())
    }
}

fn probability(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a probability is needed, such as 1e-6".to_owned())?;
    if (1e-12..=1e-2).contains(&number) { Ok(number) } else { Err("1e-12 to 1e-2 are allowed".into()) }
}

/// `flyball replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// Recording: a file, or a folder of one application
    pub file: PathBuf,
    /// Another model: FILE in the place of the only soft sensor, or NAME=FILE; may be repeated
    #[arg(long, value_name = "[NAME=]FILE")]
    pub model: Vec<String>,
    /// Another configuration (TOML); tags and connections are found by their names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write figures and plots of the comparison into this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}

/// `flyball why`.
#[derive(Debug, Args)]
pub struct Why {
    /// Recording: a file, or a folder of one application
    pub file: PathBuf,
    /// UTC, 03:12 or 03:12:44 of its last day, or 2026-11-30T03:12:44Z; the last time that the loop was left, when left out
    pub time: Option<String>,
}

/// `flyball check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Configuration file (TOML)
    pub file: PathBuf,
    /// Print the findings as JSON, for pipelines
    #[arg(long)]
    pub json: bool,
}

/// `flyball plc-kit`.
#[derive(Debug, Args)]
pub struct PlcKit {
    /// Configuration file (TOML)
    pub file: PathBuf,
    /// Folder of the kit; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Replace files that are there with another content
    #[arg(long)]
    pub force: bool,
    /// Cycle of the PLC task that calls the blocks, ms
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub task: u32,
}

/// `flyball demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Which demonstration
    #[arg(value_enum, default_value_t)]
    pub which: DemoKind,
    /// End after this many real seconds instead of at the end of the scenario
    #[arg(long)]
    pub seconds: Option<u32>,
    /// One status line every few seconds instead of the live view (also chosen when stdout is no terminal)
    #[arg(long)]
    pub plain: bool,
    /// Keep running after the closing table until it is told to end, so that clients can look around
    #[arg(long)]
    pub hold: bool,
    /// Record every scan into this folder (r101 only)
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
}

/// The demonstrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DemoKind {
    /// Simulated reactor R-101: a soft sensor and an optimiser climb to the best operating point
    #[default]
    R101,
    /// Simulated two-phase reactor on the virtual clock: days in seconds, beside the oracle, without sockets; plain lines only
    Te4,
    /// Real gas-turbine measurements: predicted emissions beside the measured ones
    Turbine,
}

/// `flyball export`.
#[derive(Debug, Args)]
pub struct Export {
    /// A recording, or a folder of them
    pub recording: PathBuf,
    /// Folder for the tables
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Form of the tables
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
}

/// Form of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ExportFormat {
    /// Parquet with Snappy
    #[default]
    Parquet,
    /// Comma-separated text
    Csv,
}

/// `flyball bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure; scan and wakeup when left out
    #[command(subcommand)]
    pub which: Option<BenchKind>,
}

/// The benches.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum BenchKind {
    /// One scan at 10, 1,000 and 10,000 tags
    Scan,
    /// Lateness of the pacer beside a bare absolute sleep
    Wakeup,
    /// What recording costs the scan at 1,000 tags, and bytes per scan
    Record,
    /// Inference beside tract, ONNX Runtime and what the machine could do at best
    ///
    /// ONNX Runtime takes part when its library is there: models/tools/fetch_onnxruntime.sh, or ORT_DYLIB_PATH. Exit code 1 when a goal
    /// was missed or the engines differ.
    Inference(Inference),
}

/// `flyball model`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// What is in an ONNX file, what runs it, what it costs here, what it can answer at all
    Show(ModelShow),
}

/// `flyball model show`.
#[derive(Debug, Args)]
pub struct ModelShow {
    /// ONNX file, with or without a contract
    pub file: PathBuf,
    /// Rows of a run, for files with a symbolic batch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub rows: u32,
}

/// `flyball bench inference`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Inference {
    /// ONNX files with float32 inputs; the built-in models with their goals when left out
    pub files: Vec<PathBuf>,
    /// Rows of a run, for files with a symbolic batch
    #[arg(long, default_value_t = 1, requires = "files", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub rows: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent_and_help_teaches_the_first_three() {
        Cli::command().debug_assert();
        let help = Cli::command().render_help().to_string();
        for wanted in ["flyball demo ", "flyball check plant.toml", "flyball run plant.toml --read-only", "Exit codes"]
        {
            assert!(help.contains(wanted), "{help}");
        }
        assert!(!help.contains("service"), "the second process is nobody's command: {help}");
    }

    #[test]
    fn defaults() {
        let demo = Cli::try_parse_from(["flyball", "demo"]).expect("parses");
        assert!(matches!(demo.command, Command::Demo(Demo { which: DemoKind::R101, seconds: None, .. })));
        let run = Cli::try_parse_from(["flyball", "run", "a.toml", "--read-only", "--log", "json"]).expect("parses");
        assert!(matches!(run.command, Command::Run(Run { read_only: true, log: LogForm::Json, view: false, .. })));
        assert!(Cli::try_parse_from(["flyball", "run"]).is_err(), "a file is needed");
        let bench =
            Cli::try_parse_from(["flyball", "bench", "inference", "a.onnx", "b.onnx", "--rows", "64"]).expect("parses");
        let Command::Bench(Bench { which: Some(BenchKind::Inference(inference)) }) = bench.command else {
            panic!("{bench:?}");
        };
        assert_eq!((inference.files.len(), inference.rows), (2, 64));
        assert!(Cli::try_parse_from(["flyball", "bench", "inference", "--rows", "64"]).is_err(), "rows of which file?");
    }
}
