//! `plc.modes`: operating modes of the training data, found by k-means over standardised inputs.
//!
//! ```text
//! { "mean": [per input], "std": [per input], "silhouette": 0.41,
//!   "modes": [ { "name": "TIT low", "centroid": [per input], "radius": 4.1, "share": 0.23,
//!               "outputs": [ { "name": "CO", "quantiles": { "90": 3.2 }, "factor": 1.7 } ] } ] }
//! ```
//!
//! Inputs and outputs are in the file's order, `mean` and `std` in EU, centroid and radius in standard deviations. `factor` says by how
//! much an interval is wider in this mode than over all modes; it is at least 1, because a mode may widen doubt and never narrow it.

use std::collections::BTreeMap;

use flyball_core::watch::basis::{ModeBasis, ModeSet};
use serde::Deserialize;

use crate::contract::{ModelContract, bad};
use crate::error::ModelError;
use crate::limits::{MODE_FACTOR_MAX, MODE_NAME_MAX, MODES_MAX};

/// The whole key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModesContract {
    /// Per input, EU.
    pub mean: Vec<f64>,
    /// Per input, EU.
    pub std: Vec<f64>,
    /// One per cluster.
    pub modes: Vec<ModeContract>,
    /// Mean silhouette of the training rows, for people.
    #[serde(default)]
    pub silhouette: Option<f64>,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModeContract {
    /// What an operator calls it.
    pub name: String,
    /// Standardised inputs.
    pub centroid: Vec<f64>,
    /// Standardised distance that still belongs to it.
    pub radius: f64,
    /// Share of the training rows, for people.
    #[serde(default)]
    pub share: Option<f64>,
    /// Per output.
    pub outputs: Vec<ModeOutput>,
}

/// Doubt about one output in one mode.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModeOutput {
    /// Name of the output.
    pub name: String,
    /// Quantiles of the absolute error in this mode by per cent, EU, for people.
    pub quantiles: BTreeMap<String, f64>,
    /// How much wider an interval is here.
    pub factor: f64,
}

impl ModesContract {
    /// # Errors
    /// A list that does not fit the file's inputs or outputs, or a number outside its bounds.
    pub(crate) fn consistent(&self, contract: &ModelContract) -> Result<(), ModelError> {
        let inputs = contract.inputs.len();
        let finite = |list: &[f64]| list.len() == inputs && list.iter().all(|v| v.is_finite());
        if !(finite(&self.mean) && finite(&self.std) && self.std.iter().all(|s| *s > 0.0)) {
            return Err(bad(
                format!(
                    "plc.modes has {} means and {} spreads, or one is not above 0",
                    self.mean.len(),
                    self.std.len()
                ),
                format!("one finite mean and one spread above 0 for each of {inputs} inputs"),
            ));
        }
        if !(1..=MODES_MAX).contains(&self.modes.len()) {
            return Err(bad(
                format!("plc.modes has {} modes", self.modes.len()),
                format!("1 to {MODES_MAX} are allowed"),
            ));
        }
        for mode in &self.modes {
            let named = (1..=MODE_NAME_MAX).contains(&mode.name.len());
            let sized = mode.radius.is_finite() && mode.radius > 0.0;
            if !(named && sized && finite(&mode.centroid)) {
                return Err(bad(
                    format!(
                        "mode '{}' has a centroid of {} and radius {}",
                        mode.name,
                        mode.centroid.len(),
                        mode.radius
                    ),
                    format!("a name of 1 to {MODE_NAME_MAX} characters, {inputs} finite numbers and a radius above 0"),
                ));
            }
            let same = mode.outputs.iter().map(|o| &o.name).eq(contract.outputs.iter().map(|o| &o.name));
            let factors = mode.outputs.iter().all(|o| (1.0..=MODE_FACTOR_MAX).contains(&o.factor));
            if !same || !factors {
                return Err(bad(
                    format!(
                        "mode '{}' lists other outputs than plc.outputs, or a factor outside its bounds",
                        mode.name
                    ),
                    format!("every output in the file's order with a factor of 1 to {MODE_FACTOR_MAX}"),
                ));
            }
        }
        crate::contract::unique("plc.modes", self.modes.iter().map(|m| m.name.as_str()))
    }

    /// For the runtime, with columns in the configuration's order.
    pub(crate) fn set(&self, inputs: &[usize], outputs: &[usize]) -> ModeSet {
        let pick = |list: &[f64]| inputs.iter().map(|column| list[*column]).collect();
        let mode = |m: &ModeContract| ModeBasis {
            name: m.name.clone(),
            centroid: pick(&m.centroid),
            radius: m.radius,
            factors: outputs.iter().map(|column| m.outputs[*column].factor).collect(),
        };
        ModeSet { mean: pick(&self.mean), std: pick(&self.std), modes: self.modes.iter().map(mode).collect() }
    }
}
