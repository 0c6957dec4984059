//! Every maximum in one place, each with its reason; relations are asserted at compile time.

/// Tags of one application. 10,000 tags at 1 s are what a large unit has; twice that leaves room.
pub const TAGS_MAX: usize = 20_000;
/// Field connections: one thread each.
pub const CONNECTIONS_MAX: usize = 32;
/// Output cells: at most three per MV and five for the handshake.
pub const OUTPUTS_MAX: usize = 3 * MVS_MAX + 5;
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
/// Commands taken from outside in one scan; more wait for the next one.
pub const COMMANDS_PER_SCAN: usize = 8;
/// Causes kept of one scan: the first explain most.
pub const CAUSES_PER_SCAN: usize = 16;
/// Longest history of one model input in scans (one day at 10 s, 2.4 h at 1 s).
pub const HISTORY_SCANS_MAX: usize = 8_640;

const _: () = assert!(CVS_MAX <= MODEL_OUTPUTS_MAX, "each CV is one output of the optimiser's map");
const _: () = assert!(MVS_MAX <= MODEL_INPUTS_MAX, "each MV is one input of the optimiser's map");
const _: () = assert!(TAGS_MAX <= u32::MAX as usize, "TagId is 32 bits");
