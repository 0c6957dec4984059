//! Engines: loads every model of a configuration, checks it, and hands predictors and optimiser to the scan.

use std::time::Duration;

use flyball_config::{Config, Model, ModelRole};
use flyball_core::controller::Engines;
use flyball_core::ports::{Clock, Optimizer, Predictor};
use flyball_models::{LoadedModel, load_model, sources_of};
use flyball_optimiser::Budget;

use crate::error::StartError;

/// What the scan needs and what is worth showing.
pub struct LoadedEngines {
    /// For `Controller::new`.
    pub engines: Engines,
    /// Training ranges etc. per model, for checks and words.
    pub models: Vec<LoadedModel>,
    /// The shadow of each model, if it has one.
    pub shadows: Vec<Option<LoadedModel>>,
    /// What the optimiser may work per solve and per scan; None without optimiser. A replay on another machine takes this one.
    pub budget: Option<Budget>,
}

/// How much the optimiser may work per solve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SolveBudget {
    /// From the configured time, by a calibration on this machine.
    Calibrated,
    /// Exactly this: the same on every machine.
    Fixed(Budget),
}

impl SolveBudget {
    /// Exactly this many iterations, all in one scan.
    #[must_use]
    pub const fn iterations(n: u32) -> Self {
        Self::Fixed(Budget { solve: n, scan: n })
    }
}

/// Loads all models with a calibrated budget.
///
/// # Errors
/// The first model that is refused, in one sentence.
pub fn load(config: &Config, clock: &dyn Clock) -> Result<LoadedEngines, StartError> {
    load_with(config, clock, SolveBudget::Calibrated)
}

/// Loads all models.
///
/// # Errors
/// The first model that is refused, in one sentence.
pub fn load_with(config: &Config, clock: &dyn Clock, budget: SolveBudget) -> Result<LoadedEngines, StartError> {
    let refused = |e: flyball_models::ModelError| StartError(e.to_string());
    let mut loaded = LoadedEngines {
        engines: Engines { predictors: Vec::new(), shadows: Vec::new(), optimizer: None },
        models: Vec::new(),
        shadows: Vec::new(),
        budget: None,
    };
    for model in &config.models {
        let limit = match model.role {
            ModelRole::SoftSensor => config.timing.stage_budget.predict,
            // The map is never run alone under the predict budget; its time is part of the optimiser's calibration.
            ModelRole::Map => config.timing.stage_budget.optimise.max(Duration::from_millis(1)),
        };
        let file = load_model(model, &sources_of(config, model), limit, clock).map_err(refused)?;
        if !file.warnings.is_empty() {
            tracing::info!("model {}: {} warnings, listed by `flyball check`", model.name, file.warnings.len());
        }
        let predictor = match model.role {
            ModelRole::SoftSensor => Some(Box::new(file.predictor().map_err(refused)?) as Box<dyn Predictor>),
            ModelRole::Map => None,
        };
        loaded.engines.predictors.push(predictor);
        let shadow = shadow(config, model, limit, clock).map_err(refused)?;
        let engine = shadow.as_ref().map(LoadedModel::predictor).transpose().map_err(refused)?;
        loaded.engines.shadows.push(engine.map(|engine| Box::new(engine) as Box<dyn Predictor>));
        loaded.shadows.push(shadow);
        loaded.models.push(file);
    }
    if let Some(settings) = &config.optimiser {
        let map = &config.models[settings.map.index()];
        let file = &loaded.models[settings.map.index()];
        let prices: Vec<f64> = settings.prices.iter().map(|p| p.value).collect();
        let scan = settings.stop_after.min(config.timing.stage_budget.optimise);
        let mut said = |Budget { solve, scan }: Budget| {
            tracing::info!(
                "optimiser: {solve} iterations fit into {} ms here, {scan} in one scan",
                settings.stop_after.as_millis()
            );
            loaded.budget = Some(Budget { solve, scan });
        };
        let optimizer: Box<dyn Optimizer> = match &settings.horizon {
            None => {
                let mut optimizer = file.optimizer(settings, map, &config.mvs, &config.cvs).map_err(refused)?;
                match budget {
                    SolveBudget::Calibrated => said(optimizer.calibrate(settings.stop_after, scan, &prices, clock)),
                    SolveBudget::Fixed(budget) => optimizer = optimizer.with_budget(budget),
                }
                Box::new(optimizer)
            }
            Some(horizon) => {
                let optimizer = file.horizon_optimizer(settings, horizon, map, &config.mvs, &config.cvs);
                let mut optimizer = optimizer.map_err(refused)?;
                match budget {
                    SolveBudget::Calibrated => said(optimizer.calibrate(settings.stop_after, scan, &prices, clock)),
                    SolveBudget::Fixed(budget) => optimizer = optimizer.with_budget(budget),
                }
                Box::new(optimizer)
            }
        };
        if let SolveBudget::Fixed(budget) = budget {
            loaded.budget = Some(budget);
        }
        loaded.engines.optimizer = Some(optimizer);
    }
    Ok(loaded)
}

/// The candidate beside a model: the same inputs, outputs and limits, another file.
fn shadow(
    config: &Config,
    model: &Model,
    limit: Duration,
    clock: &dyn Clock,
) -> Result<Option<LoadedModel>, flyball_models::ModelError> {
    let Some(file) = &model.shadow else { return Ok(None) };
    let candidate = Model {
        name: format!("{} shadow", model.name),
        file: file.file.clone(),
        sha256: file.sha256.clone(),
        shadow: None,
        ..model.clone()
    };
    load_model(&candidate, &sources_of(config, &candidate), limit, clock).map(Some)
}
