//! Basis: what a model file says about its own commissioning, as far as the watch needs it. Read once at start, in the configuration's
//! order of inputs and outputs; what a file does not say is not watched.

/// Inner edges of ten bins.
pub const EDGES: usize = 9;
/// The standard normal distribution's deciles (10 % to 90 %), for a file that gives mean and spread only.
pub const NORMAL_DECILES: [f64; EDGES] =
    [-1.281_552, -0.841_621, -0.524_401, -0.253_347, 0.0, 0.253_347, 0.524_401, 0.841_621, 1.281_552];

/// Everything the watch takes from a model file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Basis {
    /// Deciles of each input in training, EU, ascending. Empty: inputs are not compared.
    pub inputs: Vec<[f64; EDGES]>,
    /// RMSEP of each output at commissioning, on rows that were not trained on, EU, above 0; None when the file does not say.
    pub rmsep: Vec<Option<f64>>,
    /// Operating modes of the training data.
    pub modes: Option<ModeSet>,
}

/// Operating modes: centres of the training data in standardised inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct ModeSet {
    /// Per input, EU.
    pub mean: Vec<f64>,
    /// Per input, EU, above 0.
    pub std: Vec<f64>,
    /// At least one.
    pub modes: Vec<ModeBasis>,
}

/// One operating mode.
#[derive(Debug, Clone, PartialEq)]
pub struct ModeBasis {
    /// What an operator calls it.
    pub name: String,
    /// Centre, standardised inputs.
    pub centroid: Vec<f64>,
    /// Farthest distance from the centre that still belongs to it, standardised.
    pub radius: f64,
    /// Per output: by how much its interval is wider here than over all modes, at least 1.
    pub factors: Vec<f64>,
}

/// Deciles of a normal distribution, EU.
#[must_use]
pub fn normal_deciles(mean: f64, std: f64) -> [f64; EDGES] {
    NORMAL_DECILES.map(|z| mean + std * z)
}
