//! Every maximum of a configuration in one place, each with its reason; relations are asserted at compile time.
//!
//! A file that goes beyond one of these is refused, because everything downstream is sized from the configuration once.

use std::time::Duration;

/// Tags of one application, signals included. 10,000 tags at 1 s are what a large unit has; twice that leaves room.
pub const TAGS_MAX: usize = 20_000;
/// Field connections: one thread each.
pub const CONNECTIONS_MAX: usize = 32;
/// Output cells: at most three per MV and six for the handshake.
pub const OUTPUTS_MAX: usize = 3 * MVS_MAX + 6;
/// Models of one application.
pub const MODELS_MAX: usize = 32;
/// Inputs of one model.
pub const MODEL_INPUTS_MAX: usize = 64;
/// Outputs of one model.
pub const MODEL_OUTPUTS_MAX: usize = 32;
/// Predictions (outputs of all soft sensors).
pub const PREDICTIONS_MAX: usize = 64;
/// Manipulated variables.
pub const MVS_MAX: usize = 32;
/// Controlled variables.
pub const CVS_MAX: usize = 32;
/// Prices in an objective.
pub const PRICES_MAX: usize = 32;
/// Longest history of one model input in scans (one day at 10 s, 2.4 h at 1 s).
pub const HISTORY_SCANS_MAX: usize = 8_640;
/// Runs of a model that are remembered for late samples: a day at 1 s and some more, 5 MB per output.
pub const SAMPLE_HISTORY_MAX: usize = 100_000;
/// Tags that must be steady for a sample to count.
pub const STEADY_RULES_MAX: usize = 4;
/// Starting points of one optimiser call: more buy nothing on maps this small and cost the budget.
pub const STARTS_MAX: u16 = 64;
/// Steps of a horizon: at most 40 are predicted at each solve.
pub const HORIZON_STEPS_MAX: u32 = 40;
/// Users of the server: people and programs of one plant area.
pub const USERS_MAX: usize = 64;
/// Bytes of recordings: one file of at least a megabyte (less is all preamble), all files of at most a petabyte.
pub const RECORDING_BYTES_MIN: u64 = 1 << 20;
/// The most, see [`RECORDING_BYTES_MIN`].
pub const RECORDING_BYTES_MAX: u64 = 1 << 50;
/// Scans from keyframe to keyframe: beyond a day at 1 s a replay takes too long to begin.
pub const KEYFRAME_EVERY_MAX: u32 = 100_000;
/// Shortest cycle: below this a general-purpose kernel and TCP cannot hold a deadline.
pub const CYCLE_MIN: Duration = Duration::from_millis(10);
/// Longest cycle: slower things run in a model's `every`; the heartbeat must not be slower than this.
pub const CYCLE_MAX: Duration = Duration::from_secs(60);
/// Longest duration of any kind. A year needs no timer.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Largest configuration file or sheet in bytes: 20,000 tags of 500 bytes, and half as much again.
pub const FILE_BYTES_MAX: u64 = 15_000_000;
/// Largest model file in bytes ("compact" models; a 100 MB file is a mistake).
pub const MODEL_BYTES_MAX: u64 = 64_000_000;
/// Registers of one Modbus read (Modbus Application Protocol 1.1b3, section 6.3).
pub const MODBUS_READ_MAX: u16 = 125;
/// Registers of one Modbus write (Modbus Application Protocol 1.1b3, section 6.12).
pub const MODBUS_WRITE_MAX: u16 = 123;

const _: () = assert!(CVS_MAX <= MODEL_OUTPUTS_MAX, "each CV is one output of the optimiser's map");
const _: () = assert!(MVS_MAX <= MODEL_INPUTS_MAX, "each MV is one input of the optimiser's map");
const _: () = assert!(TAGS_MAX <= u32::MAX as usize, "TagId is 32 bits");
