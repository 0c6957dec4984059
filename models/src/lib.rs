//! Neural models behind the predictor port, and the setpoint optimiser.
//!
//! [`load_model`] turns an ONNX file into a [`LoadedModel`], or says in one sentence why not. The file brings its own contract
//! ([`contract`]); it is checked against the configuration and on this machine before anything is predicted.
//! [`LoadedModel::optimizer`] searches setpoints through a loaded steady-state map.
//!
//! Words: a *map* is a model of role `Map`; *columns* are inputs or outputs of one row of a batch.

mod agreement;
mod basis;
mod check;
pub mod conformance;
pub mod contract;
mod engine;
mod error;
mod file;
mod geometry;
mod guard;
mod horizon;
pub mod limits;
pub mod lower;
pub mod modes;
mod network;
mod nodes;
pub mod onnx;
mod operators;
mod optimiser;
mod predictor;
mod show;
mod window;
mod wire;

use core::time::Duration;
use flyball_config::Model;
use flyball_core::ports::{Clock, TrustData};
use flyball_core::watch::basis::Basis;
use onnx::OnnxFile;

pub use agreement::Agreement;
pub use check::{LoadReport, SourceInfo, sources_of};
pub use contract::ModelContract;
pub use engine::{BatchPlan, SteadyMap};
pub use error::{ModelError, Refusal};
pub use network::{How, Network, TensorInfo};
pub use predictor::OnnxPredictor;
pub use show::show;

/// A model that passed every check.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// Name in the configuration.
    pub name: String,
    /// What the file says about itself, in the file's column order.
    pub contract: ModelContract,
    /// Time of one prediction on this machine.
    pub report: LoadReport,
    /// What runs it.
    pub how: How,
    /// The engine beside tract; none when tract's plan runs it.
    pub agreement: Option<Agreement>,
    /// What is worth telling the engineer, one sentence each.
    pub warnings: Vec<String>,
    graph: engine::Graph,
}

/// Loads the model of a configuration: reads the file, checks it, runs its golden vectors and measures it.
///
/// `sources` describe the inputs in the order of `Model::inputs` ([`sources_of`]). `budget` is the predict stage's.
///
/// # Errors
/// The first rule that the file breaks. A panic of the engine's parser is an error, too.
pub fn load_model(
    model: &Model,
    sources: &[SourceInfo],
    budget: Duration,
    clock: &dyn Clock,
) -> Result<LoadedModel, ModelError> {
    let bytes = file::read(&model.file).map_err(|e| e.of(&model.name))?;
    load_bytes(model, &bytes, sources, budget, clock)
}

/// The same for bytes that were read already.
///
/// # Errors
/// As [`load_model`].
pub fn load_bytes(
    model: &Model,
    bytes: &[u8],
    sources: &[SourceInfo],
    budget: Duration,
    clock: &dyn Clock,
) -> Result<LoadedModel, ModelError> {
    onnx::caught(|| load_checked(model, bytes, sources, budget, clock)).map_err(|e| e.of(&model.name))
}

fn load_checked(
    model: &Model,
    bytes: &[u8],
    sources: &[SourceInfo],
    budget: Duration,
    clock: &dyn Clock,
) -> Result<LoadedModel, ModelError> {
    file::check_hash(bytes, &model.sha256)?;
    let file = OnnxFile::read(bytes)?;
    let shape = file::shape(file.proto())?;
    let contract = ModelContract::read(file.proto())?;
    let n = contract.inputs.len();
    let wanted = match contract.window {
        None => vec![n],
        Some(window) if window.axis == 1 => vec![window.steps, n],
        Some(window) => vec![n, window.steps],
    };
    if shape.row != wanted {
        return Err(ModelError::new(
            Refusal::WrongShape,
            format!("one row of the graph's input has shape {:?}; plc.inputs and plc.window say {wanted:?}", shape.row),
            "both must be the same",
            "write the file again with the scripts of models/tools or mend its metadata",
        ));
    }
    let matched = check::match_configuration(&contract, model, sources)?;
    let mut graph = engine::Graph::new(file, shape, &contract);
    let mut plan = graph.plan(1)?;
    check::check_golden(&contract, &mut plan)?;
    let agreement = agreement::check(graph.file(), &contract, plan.network_mut())?;
    let report = check::time(&contract, &mut plan, budget, clock)?;
    let how = plan.network().how().clone();
    graph.input_order = matched.input_order;
    graph.output_order = matched.output_order;
    let mut warnings = matched.warnings;
    if let How::Fallback(why) = &how {
        warnings.push(format!(
            "it runs on tract's plan, which allocates memory in each run ({why}); one prediction takes {} us here, {} us at the 99th percentile",
            report.p50_ns / 1000,
            report.p99_ns / 1000
        ));
    }
    if let Some(window) = &contract.window {
        warnings.extend(graph.window(window)?.note);
    }
    Ok(LoadedModel { name: model.name.clone(), contract, report, how, agreement, warnings, graph })
}

impl LoadedModel {
    /// A predictor with its own engine state.
    ///
    /// # Errors
    /// The engine refused to build the plan.
    pub fn predictor(&self) -> Result<OnnxPredictor, ModelError> {
        match &self.contract.window {
            None => Ok(OnnxPredictor::row(self.batch_plan(1)?, self.input_ranges(), self.trust_data(), self.basis())),
            Some(window) => {
                let window = self.graph.window(window).map_err(|e| e.of(&self.name))?;
                let (inputs, outputs) = (self.graph.input_order.clone(), self.graph.output_order.clone());
                Ok(OnnxPredictor::step(window, inputs, outputs, self.input_ranges(), self.trust_data(), self.basis()))
            }
        }
    }

    /// What the file tells the watch, in the configuration's order.
    #[must_use]
    pub fn basis(&self) -> Basis {
        basis::basis(&self.contract, &self.graph.input_order, &self.graph.output_order)
    }

    /// A plan that answers `rows` rows at once, in the configuration's order.
    ///
    /// # Errors
    /// `rows` is out of range or the engine refused to build the plan.
    pub fn batch_plan(&self, rows: usize) -> Result<BatchPlan, ModelError> {
        self.graph.plan(rows).map_err(|e| e.of(&self.name))
    }

    /// What the file says about its domain and its errors, in the configuration's order.
    #[must_use]
    pub fn trust_data(&self) -> TrustData {
        let errors = self.contract.residuals.iter().flat_map(|r| {
            let names = self.graph.output_order.iter().map(|column| &self.contract.outputs[*column].name);
            names.filter_map(|name| r.of(name))
        });
        let domain = self.contract.domain.as_ref().and_then(|d| d.pca(&self.graph.input_order));
        TrustData { domain, errors: errors.collect() }
    }

    /// Training range of each configured input, EU.
    #[must_use]
    pub fn input_ranges(&self) -> Vec<(f64, f64)> {
        let range = |column: &usize| (self.contract.inputs[*column].train_min, self.contract.inputs[*column].train_max);
        self.graph.input_order.iter().map(range).collect()
    }
}
