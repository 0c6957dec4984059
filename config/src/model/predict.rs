//! Models: soft sensors and the optimiser's map, their inputs, outputs and corrections.

use std::path::PathBuf;
use std::time::Duration;

use super::{Bias, EuRange, ModelId, MvId, PredictionId, TagId, Trust};
use crate::units::Unit;

/// A model file and how it is fed.
#[derive(Debug, Clone)]
pub struct Model {
    /// Name.
    pub name: String,
    /// One sentence.
    pub text: String,
    /// ONNX file.
    pub file: PathBuf,
    /// Expected SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// A candidate that runs beside it on the same inputs and is never used for control (soft sensors).
    pub shadow: Option<ShadowFile>,
    /// Soft sensor or the optimiser's map.
    pub role: ModelRole,
    /// Run interval, a whole number of cycles. The cycle for a map.
    pub every: Duration,
    /// Inputs by the names in the model file (order of the configuration; the file's own order is matched at load).
    pub inputs: Vec<ModelInput>,
    /// Outputs by the names in the model file.
    pub outputs: Vec<ModelOutput>,
    /// When its predictions are believed (soft sensors).
    pub trust: Trust,
}

/// The model file of a shadow; inputs, outputs and bias rules are those of its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowFile {
    /// ONNX file.
    pub file: PathBuf,
    /// Expected SHA-256 of the file, lower-case hex.
    pub sha256: String,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Predicts now; each output is a `PredictionId`.
    SoftSensor,
    /// Steady-state map that the optimiser searches.
    Map,
}

/// One input of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// Name in the model file.
    pub name: String,
    /// Where its value comes from.
    pub source: InputSource,
    /// Causal filter.
    pub filter: Filter,
    /// Delay after the filter.
    pub delay: Duration,
}

/// Source of a model input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputSource {
    /// A conditioned tag.
    Tag(TagId),
    /// A decision variable of the optimiser (maps only).
    Mv(MvId),
    /// Output of a soft sensor earlier in the file.
    Prediction(PredictionId),
    /// Seconds since the newest usable sample of this tag was taken (soft sensors only).
    Age(TagId),
}

/// Causal filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// None.
    None,
    /// Mean over a window.
    Mean(Duration),
    /// First order with this time constant.
    FirstOrder(Duration),
    /// Lead over lag, (1 + lead s) / (1 + lag s): looks ahead along the trend. For disturbances that a map must meet in time.
    LeadLag {
        /// Lead time constant.
        lead: Duration,
        /// Lag time constant.
        lag: Duration,
    },
}

/// One output of a model.
#[derive(Debug, Clone)]
pub struct ModelOutput {
    /// Name in the model file.
    pub name: String,
    /// Unit.
    pub unit: Unit,
    /// EU range.
    pub range: EuRange,
    /// Outside this the prediction is Bad.
    pub reject_outside: Option<EuRange>,
    /// Width of the prediction interval (upper minus lower, EU) from which on the prediction is Uncertain.
    pub too_wide: Option<f64>,
    /// Correction by late samples (soft sensors).
    pub bias: Option<Bias>,
    /// Output bias from the plant (maps).
    pub match_plant: Option<MatchPlant>,
}

/// Output bias of a map: filtered difference between the plant and the map at the present inputs.
#[derive(Debug, Clone, Copy)]
pub struct MatchPlant {
    /// What the plant says.
    pub source: ValueSource,
    /// First-order time constant.
    pub filter: Duration,
}

/// A measured or predicted value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueSource {
    /// A conditioned tag.
    Tag(TagId),
    /// A prediction.
    Prediction(PredictionId),
}

/// Which output of which model a `PredictionId` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PredictionRef {
    /// Model.
    pub model: ModelId,
    /// Index in `Model::outputs`.
    pub output: u32,
}
