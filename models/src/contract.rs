//! The model contract: what an ONNX file says about itself in `metadata_props`, under keys that begin with `plc.`.
//!
//! | key | value |
//! |---|---|
//! | `plc.schema` | 1 |
//! | `plc.inputs` | list of name, unit, filter (`none`, `mean`, `first-order`), filter_s, lag_s, train_min, train_max, mean, std, nominal, deciles (optional, nine) |
//! | `plc.outputs` | list of name, unit, range [low, high] |
//! | `plc.scaling` | `in_graph`: the graph takes and gives engineering units |
//! | `plc.window` | for a model that reads a window of time: `steps`, `axis` of the steps in the graph's input (1: [batch, steps, inputs], 2: [batch, inputs, steps]), `run` (`window`, the default, or `stream`) |
//! | `plc.sample_time` | run interval in seconds, 0 for a steady-state map |
//! | `plc.domain` | PCA of the training inputs: mean, std, loadings, eigenvalues, limits of T2 and SPE at 95, 99, 99.9 % |
//! | `plc.residuals` | quantiles of the absolute error on rows not trained on, and the RMSEP on them |
//! | `plc.modes` | operating modes of the training data: centroids, radii, how much wider intervals are there ([`crate::modes`]) |
//! | `plc.golden` | at least ten pairs `in`, `out` and the tolerance as share of each output's span |
//! | `plc.trained_on`, `plc.metrics`, `plc.card`, `plc.version` | for people |
//!
//! All but scaling and version are JSON. Order of inputs and outputs here is the column order of the graph's tensors.

use std::collections::BTreeMap;

use flyball_core::domain::Pca;
use flyball_core::interval::ErrorQuantiles;
use flyball_core::watch::basis::EDGES;
use serde::Deserialize;
use serde_json::Value as Json;
use tract_onnx::pb;

use crate::error::{ModelError, Refusal};
use crate::limits;
use crate::modes::ModesContract;

/// Schema that this reader knows.
pub const SCHEMA: u32 = 1;

/// Everything the file says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelContract {
    /// `plc.version`.
    pub version: String,
    /// In column order of the graph's input.
    pub inputs: Vec<InputContract>,
    /// In column order of the graph's output.
    pub outputs: Vec<OutputContract>,
    /// Run interval in seconds; 0 for a steady-state map.
    pub sample_time_s: f64,
    /// Where the model was trained, for T2 and SPE.
    pub domain: Option<DomainContract>,
    /// Error quantiles, for the interval.
    pub residuals: Option<ResidualContract>,
    /// Operating modes of the training data.
    pub modes: Option<ModesContract>,
    /// The window of time steps, if the model reads one.
    pub window: Option<WindowContract>,
    /// Golden vectors.
    pub golden: GoldenContract,
    /// `plc.trained_on`, for people.
    pub trained_on: Json,
    /// `plc.metrics`, for people.
    pub metrics: Json,
    /// `plc.card`, for people.
    pub card: Json,
}

/// One input column.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InputContract {
    /// Name, matched with `ModelInput::name`.
    pub name: String,
    /// Unit symbol.
    pub unit: String,
    /// `none`, `mean` or `first-order`.
    pub filter: String,
    /// Window or time constant of the filter, seconds.
    #[serde(default)]
    pub filter_s: f64,
    /// Delay after the filter, seconds.
    #[serde(default)]
    pub lag_s: f64,
    /// Smallest value in training, EU.
    pub train_min: f64,
    /// Largest value in training, EU.
    pub train_max: f64,
    /// Mean in training, EU.
    pub mean: f64,
    /// Standard deviation in training, EU.
    pub std: f64,
    /// Usual value (median of the training), EU.
    pub nominal: f64,
    /// Deciles in training, 10 % to 90 %, EU.
    #[serde(default)]
    pub deciles: Option<Vec<f64>>,
}

/// One output column.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OutputContract {
    /// Name, matched with `ModelOutput::name`.
    pub name: String,
    /// Unit symbol.
    pub unit: String,
    /// EU range; its span scales tolerances.
    pub range: [f64; 2],
}

/// A window of equally spaced time steps, the newest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct WindowContract {
    /// Number of steps.
    pub steps: usize,
    /// Axis of the steps in the graph's input: 1 for [batch, steps, inputs], 2 for [batch, inputs, steps].
    pub axis: usize,
    /// How it is run.
    #[serde(default)]
    pub run: WindowRun,
}

/// How a window is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowRun {
    /// The whole window each time: what was trained.
    #[default]
    Window,
    /// One step at a time, states carried on.
    Stream,
}

/// PCA of the standardised training inputs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DomainContract {
    /// Per input.
    pub mean: Vec<f64>,
    /// Per input.
    pub std: Vec<f64>,
    /// One row per kept component, one entry per input.
    pub loadings: Vec<Vec<f64>>,
    /// One per kept component, largest first.
    pub eigenvalues: Vec<f64>,
    /// Limits of T2 by per cent: "95", "99", "99.9".
    pub t2: BTreeMap<String, f64>,
    /// Limits of SPE by per cent.
    pub spe: BTreeMap<String, f64>,
}

/// Error quantiles.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ResidualContract {
    /// Per output.
    pub outputs: Vec<OutputResidual>,
    /// Rows that they were taken from.
    pub rows: u64,
    /// Distance of those rows, seconds.
    pub period_s: f64,
}

/// Error quantiles of one output.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OutputResidual {
    /// Name of the output.
    pub name: String,
    /// Quantile of the absolute error by per cent, EU.
    pub quantiles: BTreeMap<String, f64>,
    /// Root of the mean squared error on the same rows, EU.
    #[serde(default)]
    pub rmsep: Option<f64>,
}

/// Golden vectors.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GoldenContract {
    /// Allowed difference as share of each output's span.
    pub tolerance_of_span: f64,
    /// The vectors.
    pub pairs: Vec<GoldenPair>,
}

/// One golden vector, in column order of the graph.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GoldenPair {
    /// Inputs, EU; for a window step after step, the newest last.
    #[serde(rename = "in")]
    pub input: Vec<f64>,
    /// Outputs, EU.
    #[serde(rename = "out")]
    pub output: Vec<f64>,
}

impl ModelContract {
    /// Reads the contract from the file's metadata and checks that it is complete and consistent in itself.
    ///
    /// # Errors
    /// The first key that is missing, unreadable or contradicts another.
    pub fn read(file: &pb::ModelProto) -> Result<Self, ModelError> {
        let key = |name: &str| -> Result<&str, ModelError> {
            let entry = file.metadata_props.iter().find(|e| e.key == name);
            entry.map(|e| e.value.as_str()).ok_or_else(|| {
                bad(format!("the key {name} is missing in metadata_props"), "the file must carry the model contract")
            })
        };
        fn json<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, ModelError> {
            serde_json::from_str(text).map_err(|e| {
                bad(format!("the key {name} cannot be read ({e})"), "its value must be the JSON of the contract")
            })
        }
        let schema: u32 = json("plc.schema", key("plc.schema")?)?;
        if schema != SCHEMA {
            return Err(bad(format!("plc.schema is {schema}"), format!("this version reads schema {SCHEMA}")));
        }
        let scaling = key("plc.scaling")?;
        if scaling != "in_graph" {
            return Err(bad(
                format!("plc.scaling is '{scaling}'"),
                "only 'in_graph' is supported: the graph takes engineering units",
            ));
        }
        let optional = |name: &str| key(name).ok().map_or(Ok(Json::Null), |text| json(name, text));
        let contract = Self {
            version: key("plc.version")?.to_owned(),
            inputs: json("plc.inputs", key("plc.inputs")?)?,
            outputs: json("plc.outputs", key("plc.outputs")?)?,
            sample_time_s: json("plc.sample_time", key("plc.sample_time")?)?,
            domain: key("plc.domain").ok().map(|t| json("plc.domain", t)).transpose()?,
            residuals: key("plc.residuals").ok().map(|t| json("plc.residuals", t)).transpose()?,
            modes: key("plc.modes").ok().map(|t| json("plc.modes", t)).transpose()?,
            window: key("plc.window").ok().map(|t| json("plc.window", t)).transpose()?,
            golden: json("plc.golden", key("plc.golden")?)?,
            trained_on: optional("plc.trained_on")?,
            metrics: optional("plc.metrics")?,
            card: optional("plc.card")?,
        };
        contract.consistent()?;
        Ok(contract)
    }

    fn consistent(&self) -> Result<(), ModelError> {
        use flyball_core::bounds::{MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
        count("plc.inputs", self.inputs.len(), MODEL_INPUTS_MAX)?;
        count("plc.outputs", self.outputs.len(), MODEL_OUTPUTS_MAX)?;
        unique("plc.inputs", self.inputs.iter().map(|i| i.name.as_str()))?;
        unique("plc.outputs", self.outputs.iter().map(|o| o.name.as_str()))?;
        for input in &self.inputs {
            let numbers =
                [input.train_min, input.train_max, input.nominal, input.mean, input.std, input.filter_s, input.lag_s];
            if numbers.iter().any(|v| !v.is_finite())
                || input.train_min >= input.train_max
                || input.filter_s < 0.0
                || input.lag_s < 0.0
            {
                return Err(bad(
                    format!(
                        "input {} has training range {} to {}, filter {} s and lag {} s",
                        input.name, input.train_min, input.train_max, input.filter_s, input.lag_s
                    ),
                    "train_min must be below train_max, times must not be negative, all must be finite",
                ));
            }
            if !["none", "mean", "first-order"].contains(&input.filter.as_str()) {
                return Err(bad(
                    format!("input {} has filter '{}'", input.name, input.filter),
                    "allowed are none, mean, first-order",
                ));
            }
            let rising = |d: &Vec<f64>| d.len() == EDGES && d.iter().all(|v| v.is_finite()) && d.is_sorted();
            if input.deciles.as_ref().is_some_and(|d| !rising(d)) {
                return Err(bad(
                    format!("input {} has deciles that do not rise or are not nine", input.name),
                    "nine finite numbers, 10 % to 90 %, none smaller than the one before",
                ));
            }
        }
        for output in &self.outputs {
            let [low, high] = output.range;
            if !(low.is_finite() && high.is_finite() && low < high) {
                return Err(bad(format!("output {} has range {low} to {high}", output.name), "low must be below high"));
            }
        }
        if !(self.sample_time_s.is_finite() && self.sample_time_s >= 0.0) {
            return Err(bad(format!("plc.sample_time is {}", self.sample_time_s), "it is in seconds and at least 0"));
        }
        if let Some(window) = self.window {
            let fits = (2..=limits::WINDOW_STEPS_MAX).contains(&window.steps) && (1..=2).contains(&window.axis);
            if !fits || self.sample_time_s <= 0.0 {
                return Err(bad(
                    format!(
                        "plc.window has {} steps on axis {}, and plc.sample_time is {} s",
                        window.steps, window.axis, self.sample_time_s
                    ),
                    format!(
                        "2 to {} steps on axis 1 or 2, and the time between them, are needed",
                        limits::WINDOW_STEPS_MAX
                    ),
                ));
            }
        }
        self.golden_consistent()?;
        self.residuals.as_ref().map_or(Ok(()), |r| r.consistent(&self.outputs))?;
        self.modes.as_ref().map_or(Ok(()), |m| m.consistent(self))?;
        self.domain.as_ref().map_or(Ok(()), |d| d.consistent(self.inputs.len()))
    }

    /// Numbers of one row of the graph's input: the inputs, at every step of a window.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.inputs.len() * self.window.map_or(1, |w| w.steps)
    }

    fn golden_consistent(&self) -> Result<(), ModelError> {
        let pairs = &self.golden.pairs;
        if !(limits::GOLDEN_PAIRS_MIN..=limits::GOLDEN_PAIRS_MAX).contains(&pairs.len()) {
            return Err(bad(
                format!("plc.golden has {} pairs", pairs.len()),
                format!("{} to {} are allowed", limits::GOLDEN_PAIRS_MIN, limits::GOLDEN_PAIRS_MAX),
            ));
        }
        let tolerance = self.golden.tolerance_of_span;
        if !(tolerance > 0.0 && tolerance <= limits::GOLDEN_TOLERANCE_MAX) {
            return Err(bad(
                format!("plc.golden has a tolerance of {tolerance} of the span"),
                format!("above 0 and at most {} is allowed", limits::GOLDEN_TOLERANCE_MAX),
            ));
        }
        for (i, pair) in pairs.iter().enumerate() {
            let fits = pair.input.len() == self.row_len() && pair.output.len() == self.outputs.len();
            if !fits || pair.input.iter().chain(&pair.output).any(|v| !v.is_finite()) {
                return Err(bad(
                    format!(
                        "golden pair {i} has {} inputs and {} outputs, or one is not finite",
                        pair.input.len(),
                        pair.output.len()
                    ),
                    format!("{} finite inputs and {} finite outputs are needed", self.row_len(), self.outputs.len()),
                ));
            }
        }
        Ok(())
    }
}

/// Limits of T2 and SPE that a domain must have, per cent.
const DOMAIN_LIMITS: [&str; 3] = ["95", "99", "99.9"];

impl DomainContract {
    fn consistent(&self, inputs: usize) -> Result<(), ModelError> {
        let sizes = self.mean.len() == inputs
            && self.std.len() == inputs
            && self.loadings.len() == self.eigenvalues.len()
            && (1..=inputs).contains(&self.loadings.len())
            && self.loadings.iter().all(|row| row.len() == inputs);
        let positive = self.std.iter().chain(&self.eigenvalues).all(|v| *v > 0.0 && v.is_finite());
        let finite = self.mean.iter().chain(self.loadings.iter().flatten()).all(|v| v.is_finite());
        let rising = |limits: [f64; 3]| limits[0] > 0.0 && limits.windows(2).all(|w| w[0] <= w[1]);
        if sizes && positive && finite && [&self.t2, &self.spe].map(limits_of).iter().all(|l| l.is_some_and(rising)) {
            return Ok(());
        }
        Err(bad(
            "plc.domain does not fit the inputs, has a zero spread or a number that is none, or lacks a limit",
            "it needs mean, std and loadings per input, eigenvalues above 0, and rising T2 and SPE limits at 95, 99 and 99.9",
        ))
    }

    /// The same for the scan; `columns` is the file's column of each configured input.
    pub(crate) fn pca(&self, columns: &[usize]) -> Option<Pca> {
        let picked = |row: &Vec<f64>| columns.iter().map(|c| row[*c]).collect();
        Some(Pca {
            mean: picked(&self.mean),
            std: picked(&self.std),
            loadings: self.loadings.iter().map(picked).collect(),
            eigenvalues: self.eigenvalues.clone(),
            t2: limits_of(&self.t2)?,
            spe: limits_of(&self.spe)?,
        })
    }
}

/// The limits by rising share; None when one is missing or no number.
fn limits_of(limits: &BTreeMap<String, f64>) -> Option<[f64; 3]> {
    let [a, b, c] = DOMAIN_LIMITS.map(|share| limits.get(share).copied().filter(|v| v.is_finite()));
    Some([a?, b?, c?])
}

impl ResidualContract {
    fn consistent(&self, outputs: &[OutputContract]) -> Result<(), ModelError> {
        for output in outputs {
            if self.of(&output.name).is_none() {
                return Err(bad(
                    format!("plc.residuals has no usable quantiles for output {}", output.name),
                    "each output needs sizes of its error, not negative, that rise with their shares between 0 and 100 per cent",
                ));
            }
        }
        Ok(())
    }

    /// The quantiles of one output for the scan.
    pub(crate) fn of(&self, output: &str) -> Option<ErrorQuantiles> {
        let row = self.outputs.iter().find(|o| o.name == output)?;
        let mut points = Vec::new();
        for (share, size) in &row.quantiles {
            points.push((share.parse::<f64>().ok()? / 100.0, *size));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        ErrorQuantiles::new(points)
    }
}

pub(crate) fn bad(found: impl Into<String>, allowed: impl Into<String>) -> ModelError {
    ModelError::new(
        Refusal::BadContract,
        found,
        allowed,
        "write the file again with the scripts of models/tools or mend its metadata",
    )
}

fn count(key: &str, n: usize, max: usize) -> Result<(), ModelError> {
    if (1..=max).contains(&n) {
        return Ok(());
    }
    Err(bad(format!("{key} has {n} rows"), format!("1 to {max} are allowed")))
}

pub(crate) fn unique<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ModelError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            return Err(bad(format!("{key} names '{name}' twice or not at all"), "every name must be given once"));
        }
    }
    Ok(())
}
