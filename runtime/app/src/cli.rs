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
    /// Show what it does, on this machine, over real sockets
    Demo(Demo),
    /// Serve the simulated plant R-101 alone, as a PLC to try a configuration against
    Rig(Rig),
    /// Measure scan, wake-up lateness, recording or inference on this machine
    Bench(Bench),
    /// Write recordings as tables for pandas, DuckDB, Spark or a spreadsheet
    Export(Export),
    /// Look into a model file
    #[command(subcommand)]
    Model(ModelCommand),
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

/// `flyball check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Configuration file (TOML)
    pub file: PathBuf,
    /// Print the findings as JSON, for pipelines
    #[arg(long)]
    pub json: bool,
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
