//! Commands from outside: small, plain, validated again by the scan that applies them.

use flyball_config::{ModelId, MvId, PredictionId, Role};
use serde::{Deserialize, Serialize};

use crate::mode::Mode;
use crate::time::Timestamp;

/// What an outsider may ask. Numbers may be anything until the scan has checked them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Ask for a mode.
    SetMode(Mode),
    /// Freeze (true) or release (false) the setpoints.
    Hold(bool),
    /// Take an MV in or out of service.
    MvService(MvId, bool),
    /// Change a price of the objective (index in `Optimiser::prices`).
    SetPrice(u32, f64),
    /// Enter a laboratory value with the time the sample was taken.
    LabSample(PredictionId, f64, Timestamp),
    /// Forget the bias of a model.
    ResetBias(ModelId),
    /// Make a model's shadow the active model (true), or bring the original one back.
    SwapModel(ModelId, bool),
    /// Acknowledge alarms and latched sheds.
    Acknowledge,
    /// Start the timing statistics anew.
    ResetTiming,
}

/// One command with who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Names the command in its answer.
    pub id: u32,
    /// Role of the sender; checked again here.
    pub role: Role,
    /// What is asked.
    pub action: Action,
}

/// The scan's answer; the words are made outside by `text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Of which command.
    pub id: u32,
    /// Accepted, or why not.
    pub outcome: Outcome,
}

/// Why a command was or was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done.
    Done,
    /// Requested; what still has to happen first.
    Waiting(crate::mode::Blocker),
    /// Refused: not in this state.
    Refused(crate::mode::Blocker),
    /// The role may not do this.
    RoleTooLow(Role),
    /// No such MV, price, model or prediction.
    Unknown,
    /// Not finite, or outside its range.
    OutOfRange,
    /// The output has no bias that a sample could correct.
    TakesNoSamples,
    /// A sample of this time was looked at before.
    SampleSeenBefore,
    /// What became of a laboratory value.
    Sample(PredictionId, crate::sample::SampleVerdict),
    /// A model was not swapped with its shadow.
    NotSwapped(crate::shadow::SwapRefusal),
}

impl Action {
    /// Lowest role that may ask for it.
    #[must_use]
    pub const fn lowest_role(&self) -> Role {
        match self {
            Self::SetMode(_) | Self::Hold(_) | Self::MvService(..) | Self::LabSample(..) | Self::Acknowledge => {
                Role::Operator
            }
            Self::SetPrice(..) | Self::ResetBias(_) | Self::SwapModel(..) | Self::ResetTiming => Role::Engineer,
        }
    }
}
