//! The optimiser's question and answer: plain, bounded, copyable.

use flyball_config::{CvId, MvId};
use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::bounds::{CVS_MAX, MODEL_INPUTS_MAX, MVS_MAX, PRICES_MAX};

/// What one optimiser call may know. Order of MVs, CVs and prices is the configuration's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problem {
    /// Per MV.
    pub mvs: Vec<MvProblem, MVS_MAX>,
    /// Per CV.
    pub cvs: Vec<CvProblem, CVS_MAX>,
    /// Value of each map input in the order of `Model::inputs`; entries of MVs are ignored.
    pub inputs: Vec<f64, MODEL_INPUTS_MAX>,
    /// Bias added to each map output (plant minus map at the present point), in the order of `Model::outputs`.
    pub output_bias: Vec<f64, CVS_MAX>,
    /// Prices.
    pub prices: Vec<f64, PRICES_MAX>,
}

/// One MV of a problem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MvProblem {
    /// The setpoint the loop really uses.
    pub now: f64,
    /// The tighter of engineering and operator limits, low.
    pub low: f64,
    /// The tighter of engineering and operator limits, high.
    pub high: f64,
    /// Largest move up in one optimiser period.
    pub move_up: f64,
    /// Largest move down in one optimiser period.
    pub move_down: f64,
    /// False: cannot be moved; it is a measured disturbance at `now`.
    pub free: bool,
    /// The PLC clamps at its high limit: moves up would wind up.
    pub limited_high: bool,
    /// The PLC clamps at its low limit.
    pub limited_low: bool,
}

/// One CV of a problem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CvProblem {
    /// Low limit with back-off, or -infinity.
    pub low: f64,
    /// High limit with back-off, or +infinity.
    pub high: f64,
    /// Rank, 1 = given up last.
    pub priority: u8,
    /// Concern, EU, > 0: violations of one rank are weighed in this unit.
    pub scale: f64,
    /// False: not usable now, not considered.
    pub active: bool,
    /// Output of the map that predicts it.
    pub map_output: u32,
}

/// How a solve ended (words of APC suites).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SolveStatus {
    /// Not run yet.
    #[default]
    Waiting,
    /// Converged.
    Optimal,
    /// Better than now, iteration budget used up.
    Improved,
    /// Better than now or "stay"; the clock net ended it.
    TimeLimit,
    /// Staying is as good (within `accept_if_gain`).
    NoGain,
    /// No point meets all CV limits; the lowest ranks were given up.
    InfeasibleRelaxed,
    /// The model gave no usable number.
    Failed,
}

/// What holds an MV back from its optimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HeldBy {
    /// At its optimum inside all limits.
    #[default]
    Nothing,
    /// Move limit of one period.
    Rate,
    /// High limit of the configuration.
    EngineeringHigh,
    /// Low limit of the configuration.
    EngineeringLow,
    /// High limit of the operator.
    OperatorHigh,
    /// Low limit of the operator.
    OperatorLow,
    /// A CV limit.
    Cv(CvId),
    /// Range in which the model was trained.
    Domain,
    /// The optimiser looks no further than this from the present setpoint.
    Reach,
    /// Not in control: slave loop in manual or MV out of service.
    NotInControl,
    /// PLC clamps in the direction of the move.
    PlcLimit,
    /// Inputs are not trusted.
    Quality,
    /// Mode does not permit moves.
    Mode,
    /// Operator hold.
    Hold,
    /// Hourly travel used up.
    Travel,
    /// Move smaller than the deadband.
    Deadband,
    /// Gain too small to move for.
    NoGain,
    /// Write verification failed three times.
    VerifyFailed,
    /// Waiting until the last write is verified.
    Verifying,
    /// First write after entry: the plant's own setpoint.
    Entry,
    /// The scan began too late.
    Late,
    /// Operator limits cross each other or cannot be read.
    LimitsCross,
}

/// The answer for one MV.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct MvOptimum {
    /// Where it should go in the end.
    pub optimum: f64,
    /// The setpoint of the next move (within the move limits of one period).
    pub next: f64,
    /// What holds it.
    pub held_by: HeldBy,
    /// Worth of its limit: gain in the objective per EU that the limit is moved outwards, >= 0; 0 when no limit of the MV is active.
    pub worth: f64,
}

/// The answer for one CV.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CvOptimum {
    /// Predicted steady value at the optimum, bias included.
    pub predicted: f64,
    /// Violation of its limits at the optimum, EU, >= 0.
    pub violation: f64,
    /// Its limit was given up.
    pub given_up: bool,
    /// Its limit is active at the optimum.
    pub active: bool,
    /// Worth of its limit: gain in the objective per EU that the limit is moved outwards, >= 0.
    pub worth: f64,
}

/// How the optimum depends on one input of the map.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Index in `Model::inputs`.
    pub input: u32,
    /// Change of the objective at the optimum per EU of the input.
    pub slope: f64,
}

/// Sensitivities that are told.
pub const SENSITIVITIES: usize = 3;

/// The answer of one optimiser call.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Optimum {
    /// How it ended.
    pub status: SolveStatus,
    /// Objective at the present setpoints.
    pub objective_now: f64,
    /// Objective at the optimum.
    pub objective_optimum: f64,
    /// Per MV.
    pub mvs: Vec<MvOptimum, MVS_MAX>,
    /// Per CV.
    pub cvs: Vec<CvOptimum, CVS_MAX>,
    /// Iterations used.
    pub iterations: u32,
    /// Starting points tried.
    pub starts: u32,
    /// The inputs of the map that matter most at the optimum, by slope times range; MVs are not among them.
    pub sensitivities: Vec<Sensitivity, SENSITIVITIES>,
}

impl Optimum {
    /// Answer for an MV, "stay" if there is none yet.
    #[must_use]
    pub fn mv(&self, mv: MvId) -> MvOptimum {
        self.mvs.get(mv.index()).copied().unwrap_or_default()
    }
}
