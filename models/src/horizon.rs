//! Binds the horizon optimiser to a loaded model that reads a window of time.

use std::time::Duration;

use flyball_config::{Cv, Horizon, InputSource, Model, Mv, Optimiser, ValueSource};
use flyball_optimiser::Setup;
use flyball_optimiser::horizon::{Blocks, Columns, Dynamics, HorizonOptimizer, HorizonSetup, Run};

use crate::contract::WindowRun;
use crate::error::{ModelError, Refusal};
use crate::network::How;
use crate::optimiser::refused;
use crate::{LoadedModel, lower};

impl LoadedModel {
    /// The horizon optimiser of a configuration over this model; `model` is the configuration's model of it.
    ///
    /// An input with the source of an output's plant value is that output fed back.
    ///
    /// # Errors
    /// The model reads no window or its steps differ from the configuration's, the engine does not run it, sizes are over a limit, or the
    /// objective cannot be compiled.
    pub fn horizon_optimizer(
        &self,
        settings: &Optimiser,
        horizon: &Horizon,
        model: &Model,
        mvs: &[Mv],
        cvs: &[Cv],
    ) -> Result<HorizonOptimizer, ModelError> {
        let bad = |found: String, allowed: &str, next: &str| {
            ModelError::new(Refusal::BadMap, found, allowed, next).of(&model.name)
        };
        let Some(window) = self.contract.window else {
            return Err(bad(
                "the model reads no window of time".to_owned(),
                "[optimiser] horizon needs a model that remembers",
                "leave horizon out, or export a model with plc.window",
            ));
        };
        let sample = Duration::from_secs_f64(self.contract.sample_time_s.max(0.0));
        if sample.abs_diff(horizon.step) > Duration::from_millis(1) {
            return Err(bad(
                format!(
                    "the model's steps are {} s, those of the horizon {} s",
                    sample.as_secs_f64(),
                    horizon.step.as_secs_f64()
                ),
                "both must be the same",
                "set step in [optimiser] horizon to the model's plc.sample_time",
            ));
        }
        let native = matches!(self.how, How::Native).then(|| self.graph.file().typed(1)).transpose()?;
        let graph = native.and_then(|typed| lower::lower(&typed).ok()).ok_or_else(|| {
            bad(
                "the engine does not have all operators of the model".to_owned(),
                "a horizon needs exact derivatives",
                "use the operators of docs/OPERATORS.md",
            )
        })?;
        let run = if window.run == WindowRun::Stream { Run::Stepwise } else { Run::AsTrained };
        let dynamics = Dynamics::new(&graph, window.axis, run)
            .map_err(|e| bad(e.to_string(), "a windowed model is allowed", "export the model again"))?;
        let base = Setup::of(settings, model, mvs, cvs.len()).map_err(|e| refused(e).of(&model.name))?;
        let columns = Columns {
            inputs: self.graph.input_order.clone(),
            outputs: self.graph.output_order.clone(),
            ranges: self.input_ranges(),
            is_mv: model.inputs.iter().map(|i| matches!(i.source, InputSource::Mv(_))).collect(),
            bias_share: model
                .outputs
                .iter()
                .map(|o| bias_share(o.match_plant.map(|m| m.filter), horizon.step))
                .collect(),
        };
        let blocks = Blocks::new(&horizon.blocks, horizon.steps).ok_or_else(|| {
            bad(format!("move blocks {:?}", horizon.blocks), "blocks that fit into the horizon", "shorten them")
        })?;
        let setup = HorizonSetup {
            base,
            blocks,
            fed_back: fed_back(model, cvs),
            terminal: horizon.terminal,
            recover: horizon.recover,
        };
        let domain = self.domain_cost(settings.domain_cost);
        HorizonOptimizer::new(&setup, &dynamics, columns, domain).map_err(|e| refused(e).of(&model.name))
    }
}

/// Share of a new difference that the bias takes in one step: all of it without a filter.
fn bias_share(filter: Option<Duration>, step: Duration) -> f64 {
    let filter = filter.unwrap_or_default().as_secs_f64();
    if filter > 0.0 { 1.0 - (-step.as_secs_f64() / filter).exp() } else { 1.0 }
}

/// Inputs that have the source of an output's plant value: the output fed back.
fn fed_back(model: &Model, cvs: &[Cv]) -> Vec<(usize, usize)> {
    let plant = |output: usize| {
        let of_cv = || cvs.iter().find(|cv| cv.map_output as usize == output).map(|cv| cv.source);
        model.outputs[output].match_plant.map(|m| m.source).or_else(of_cv)
    };
    let same = |source: InputSource, output: usize| match (source, plant(output)) {
        (InputSource::Tag(a), Some(ValueSource::Tag(b))) => a == b,
        (InputSource::Prediction(a), Some(ValueSource::Prediction(b))) => a == b,
        _ => false,
    };
    let of_input = |(i, input): (usize, &flyball_config::ModelInput)| {
        (0..model.outputs.len()).find(|o| same(input.source, *o)).map(|o| (i, o))
    };
    model.inputs.iter().enumerate().filter_map(of_input).collect()
}
