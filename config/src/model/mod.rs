//! The validated configuration: what the plant is, in types that carry units and ids.
//!
//! Everything here has passed `check`: references are indices, quantities are in the stated unit, lists respect `bounds`.
//! The reader of a file (`load`) is the only maker in production; tests and rigs may build one by hand.
//!
//! Words: docs/GLOSSARY.md. Numbers without a unit in their name are in the engineering unit (EU) of their tag.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::SourceFile;

mod control;
mod field;
mod outside;
mod predict;
mod tag;
mod trust;

pub use control::*;
pub use field::*;
pub use outside::*;
pub use predict::*;
pub use tag::*;
pub use trust::*;

macro_rules! index_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name(pub u32);

        impl $name {
            /// Position in the list that this id indexes.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index_type!(
    /// Index of a tag in `Config::tags` and in the input image.
    TagId
);
index_type!(
    /// Index of an output cell in `Config::outputs` and in the output image.
    OutputId
);
index_type!(
    /// Index of a connection in `Config::connections`.
    ConnectionId
);
index_type!(
    /// Index of a model in `Config::models`.
    ModelId
);
index_type!(
    /// Index of one output of one soft sensor in `Config::predictions`.
    PredictionId
);
index_type!(
    /// Index of a manipulated variable in `Config::mvs`.
    MvId
);
index_type!(
    /// Index of a controlled variable in `Config::cvs`.
    CvId
);

/// A whole, validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from; relative paths inside it are relative to this file's folder.
    pub file: PathBuf,
    /// What was read: the file, then its tag sheets. Their texts hold no secret, because a secret may not stand in them.
    pub sources: Vec<Arc<SourceFile>>,
    /// CRC-32 over the bytes of the file, its tag sheets and its models: what the PLC can check under management of change.
    pub signature: u32,
    /// SHA-256 over the bytes of the file and its tag sheets, lower-case hex: what a latency certificate is made for.
    pub sha256: String,
    /// Number of this run of the program among those that may ask the PLC for its lease, never 0; the program draws it at start. Not part of the
    /// file: two machines with the same file must differ. 0, as loaded: no lease is ever asked for.
    pub instance: u32,
    /// Who this application is.
    pub app: App,
    /// When it runs and how long it may take.
    pub timing: Timing,
    /// Field connections, in file order.
    pub connections: Vec<Connection>,
    /// Every value that is read: process tags first (file order), then the signals of MVs and handshake.
    pub tags: Vec<Tag>,
    /// Every cell that is written.
    pub outputs: Vec<Output>,
    /// Soft sensors and the optimiser's map.
    pub models: Vec<Model>,
    /// All outputs of models of role `SoftSensor`, flattened in file order.
    pub predictions: Vec<PredictionRef>,
    /// The setpoint optimiser, if there is one.
    pub optimiser: Option<Optimiser>,
    /// Manipulated variables.
    pub mvs: Vec<Mv>,
    /// Controlled variables.
    pub cvs: Vec<Cv>,
    /// The link to the PLC's gate block. Without it the application can never leave ADVISORY.
    pub handshake: Option<Handshake>,
    /// What others can read over OPC UA.
    pub server: Option<Server>,
    /// What is recorded of every scan.
    pub recorder: Recorder,
}

impl Config {
    /// The tag of an id.
    #[must_use]
    pub fn tag(&self, id: TagId) -> &Tag {
        &self.tags[id.index()]
    }

    /// Finds a tag by its name, ignoring case (names are unique ignoring case).
    #[must_use]
    pub fn tag_named(&self, name: &str) -> Option<TagId> {
        let at = self.tags.iter().position(|t| t.name.eq_ignore_ascii_case(name))?;
        Some(TagId(at as u32))
    }

    /// True when a critical CV takes its value from this prediction.
    #[must_use]
    pub fn critical_prediction(&self, id: PredictionId) -> bool {
        self.cvs.iter().any(|cv| cv.critical && cv.source == ValueSource::Prediction(id))
    }
}

/// Who this application is: printed in reports, served under Identification.
#[derive(Debug, Clone)]
pub struct App {
    /// Short unique name, also the root folder of the OPC UA address space.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Plant area.
    pub area: String,
    /// Whom to call.
    pub owner: String,
    /// OFF or ADVISORY; closed loop is never a start mode.
    pub start_mode: StartMode,
    /// The highest mode this configuration may ever reach.
    pub highest_mode: HighestMode,
    /// Management-of-change number.
    pub change_ref: String,
    /// True when simulated data (UncertainSimulatedValue) may be used. Never for a real plant.
    pub simulation: bool,
}

/// Mode after start. ClosedLoop is deliberately not expressible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartMode {
    /// Read and predict only.
    Off,
    /// Compute and show, write nothing.
    Advisory,
}

/// Cap on the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HighestMode {
    /// Never writes a setpoint.
    Advisory,
    /// May write when the PLC and the operator permit.
    ClosedLoop,
}

/// Cycle, deadline, budgets.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Scan period.
    pub cycle: Duration,
    /// Scheduled start of a scan to last write confirmed.
    pub deadline: Duration,
    /// Consecutive missed deadlines that shed to ADVISORY.
    pub shed_after: u32,
    /// Budget per stage; their sum is at most the deadline.
    pub stage_budget: StageBudget,
    /// Deadline must have been met for this many cycles in a row before closing the loop.
    pub arm_cycles: u32,
    /// Time in ADVISORY before closing the loop.
    pub arm_after: Duration,
    /// The latency certificate without which CLOSED LOOP is refused, if one is demanded.
    pub certificate: Option<CertificateRule>,
    /// What is asked of the operating system for the scan thread.
    pub cpu: CpuRequest,
}

/// A latency certificate that is demanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRule {
    /// Its file.
    pub file: PathBuf,
    /// How old it may be.
    pub max_age: Duration,
}

/// Budget of each stage of a scan.
#[derive(Debug, Clone, Copy)]
pub struct StageBudget {
    /// Reading: the age a fresh sample may have gained in the link.
    pub read: Duration,
    /// Condition and features.
    pub condition: Duration,
    /// All models that are due.
    pub predict: Duration,
    /// One optimiser call.
    pub optimise: Duration,
    /// Guard and transition.
    pub guard: Duration,
    /// Write until acknowledged.
    pub write: Duration,
}

/// Scheduling that is asked for; what was got is reported.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuRequest {
    /// Core to pin the scan thread to.
    pub core: Option<u32>,
    /// SCHED_FIFO priority, 1 to 99.
    pub priority: Option<u8>,
    /// Lock memory against paging.
    pub lock_memory: bool,
}
