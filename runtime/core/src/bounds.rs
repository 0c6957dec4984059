//! Every maximum of the scan. Those of a configuration have their home, with their reasons, where files are checked against them.

pub use flyball_config::bounds::*;

/// Commands taken from outside in one scan; more wait for the next one.
pub const COMMANDS_PER_SCAN: usize = 8;
/// Events kept of one scan: the first explain most.
pub const CAUSES_PER_SCAN: usize = 16;

const _: () = assert!(CVS_MAX <= MODEL_OUTPUTS_MAX, "output biases of a map are kept in lists of CVS_MAX");
