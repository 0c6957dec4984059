//! Why a model was refused, in one sentence: what was found, what is allowed, what to do next.

use core::fmt;

/// The rule that a model broke. Texts are for people; this is for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The file cannot be opened or read.
    Unreadable,
    /// The file is larger than [`crate::limits::FILE_BYTES_MAX`].
    TooLarge,
    /// SHA-256 differs from the configuration.
    WrongHash,
    /// Not an ONNX file, or a damaged one.
    NotOnnx,
    /// Weights outside the file.
    ExternalData,
    /// A weight is NaN or infinite, or a tensor's size does not fit its data.
    BadWeight,
    /// A key of the contract is missing or cannot be read.
    BadContract,
    /// An operator that the engine does not have.
    UnknownOperator,
    /// An attribute that would be ignored, or a value that makes no sense.
    BadAttribute,
    /// A tensor's name is missing, made twice or read before it is made.
    BadGraph,
    /// Number, type or shape of graph inputs or outputs.
    WrongShape,
    /// Names of inputs or outputs differ from the configuration.
    WrongName,
    /// Unit of an input or output differs from its tag.
    WrongUnit,
    /// Filter or delay of an input differs from the training.
    WrongFilter,
    /// The engine refused the graph.
    Engine,
    /// A golden vector was not met on this machine.
    WrongGolden,
    /// The engine and tract answer differently.
    Disagreement,
    /// Slower than its stage budget.
    TooSlow,
    /// The objective cannot be used.
    BadObjective,
    /// The optimiser cannot use this map with these MVs or CVs.
    BadMap,
    /// The map answers to an MV in the wrong direction.
    WrongGain,
}

/// A refused model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelError {
    /// Name of the model in the configuration.
    pub model: String,
    /// The rule.
    pub refusal: Refusal,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
    /// What to do next.
    pub next: String,
}

impl ModelError {
    pub(crate) fn new(
        refusal: Refusal,
        found: impl Into<String>,
        allowed: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { model: String::new(), refusal, found: found.into(), allowed: allowed.into(), next: next.into() }
    }

    /// The same error, said about this model.
    pub(crate) fn of(mut self, model: &str) -> Self {
        model.clone_into(&mut self.model);
        self
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {}: {}; {}; {}", self.model, self.found, self.allowed, self.next)
    }
}

impl std::error::Error for ModelError {}
