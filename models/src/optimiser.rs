//! Binds the optimiser to a loaded map: its network with exact derivatives, where it is believed, and what the engineer knows of its gains.

use flyball_config::{Cv, GainSign, Model, Mv, Optimiser};
use flyball_optimiser::gains::{self, Known, POINTS, WrongGain};
use flyball_optimiser::{CannotOptimise, Differences, DomainCost, Map, NetworkMap, Setup, SteadyOptimizer};

use crate::engine::SteadyMap;
use crate::error::{ModelError, Refusal};
use crate::network::How;
use crate::{LoadedModel, lower};

/// Per cent of training data inside the domain that the optimiser may use without cost.
const DOMAIN_LIMIT: &str = "95";
/// Distance of finite differences for a model on tract's plan, share of an input's range: large against 32-bit rounding.
const DIFFERENCE: f64 = 1e-3;

impl LoadedModel {
    /// The optimiser of a configuration over this map; `model` is the configuration's model of it.
    ///
    /// # Errors
    /// The objective cannot be compiled, an MV is no input of the map, a gain has the wrong sign, or the engine cannot compile the map.
    pub fn optimizer(
        &self,
        settings: &Optimiser,
        model: &Model,
        mvs: &[Mv],
        cvs: &[Cv],
    ) -> Result<SteadyOptimizer, ModelError> {
        if self.contract.window.is_some() {
            let allowed = "without [optimiser] horizon the map is a steady state without memory";
            let next = "give [optimiser] a horizon, use the model as a soft sensor, or export a map";
            return Err(
                ModelError::new(Refusal::BadMap, "the model reads a window of time", allowed, next).of(&model.name)
            );
        }
        let setup = Setup::of(settings, model, mvs, cvs.len()).map_err(|e| refused(e).of(&model.name))?;
        let mut map = self.map(setup.starts)?;
        let mut used = self.input_ranges();
        for mv in &setup.mvs {
            let (low, high) = mv.engineering;
            used[mv.input] = (low.max(used[mv.input].0), high.min(used[mv.input].1));
        }
        let known = |(i, cv): (usize, &Cv)| -> Vec<Known> {
            let output = cv.map_output as usize;
            let of = |(mv, sign): &(flyball_config::MvId, GainSign)| Known {
                output,
                input: setup.mvs[mv.index()].input,
                cv: i,
                mv: *mv,
                sign: *sign,
            };
            cv.gains.iter().map(of).collect()
        };
        let known: Vec<Known> = cvs.iter().enumerate().flat_map(known).collect();
        if let Some(wrong) = gains::check(map.as_mut(), &used, &known) {
            return Err(wrong_gain(&wrong, model, mvs, cvs).of(&model.name));
        }
        let domain = self.domain_cost(settings.domain_cost);
        SteadyOptimizer::new(&setup, map, self.input_ranges(), domain).map_err(|e| refused(e).of(&model.name))
    }

    /// The model as a map with derivatives, `rows` rows at once.
    ///
    /// # Errors
    /// The engine cannot compile it.
    pub fn map(&self, rows: usize) -> Result<Box<dyn Map>, ModelError> {
        let (inputs, outputs) = (self.graph.input_order.clone(), self.graph.output_order.clone());
        if matches!(self.how, How::Native) {
            let graph_of = |rows| -> Result<flyball_engine::Graph, NoMap> {
                let typed = self.graph.file().typed(rows).map_err(NoMap::Model)?;
                lower::lower(&typed).map_err(|e| NoMap::Said(e.to_string()))
            };
            let rows = if self.graph.any_batch() { rows } else { 1 };
            let map = NetworkMap::new(graph_of, rows, inputs, outputs).map_err(|e| e.of(&self.name))?;
            return Ok(Box::new(map));
        }
        let mut plan = self.batch_plan(1)?;
        let ranges = self.input_ranges();
        let distance = ranges.iter().map(|(low, high)| DIFFERENCE * (high - low)).collect();
        let values = move |x: &[f64], y: &mut [f64]| plan.run(x, y);
        Ok(Box::new(Differences::new(inputs.len(), outputs.len(), distance, values)))
    }

    /// The model's domain as a cost, if the file has one.
    pub(crate) fn domain_cost(&self, cost: f64) -> Option<DomainCost> {
        let domain = self.contract.domain.as_ref().filter(|_| cost > 0.0)?;
        let pick = |list: &[f64]| self.graph.input_order.iter().map(|i| list[*i]).collect::<Vec<f64>>();
        Some(DomainCost {
            mean: pick(&domain.mean),
            std: pick(&domain.std),
            loadings: domain.loadings.iter().map(|row| pick(row)).collect(),
            eigenvalues: domain.eigenvalues.clone(),
            t2: domain.t2[DOMAIN_LIMIT],
            spe: domain.spe[DOMAIN_LIMIT],
            cost,
        })
    }
}

/// Why a graph became no map.
enum NoMap {
    Model(ModelError),
    Said(String),
}

impl From<flyball_engine::GraphError> for NoMap {
    fn from(error: flyball_engine::GraphError) -> Self {
        Self::Said(error.to_string())
    }
}

impl NoMap {
    fn of(self, name: &str) -> ModelError {
        match self {
            Self::Model(error) => error.of(name),
            Self::Said(found) => {
                let next = "export a smaller map, or one of the operators in docs/OPERATORS.md";
                ModelError::new(Refusal::BadMap, found, "a map that the engine can differentiate is allowed", next)
                    .of(name)
            }
        }
    }
}

pub(crate) fn refused(error: CannotOptimise) -> ModelError {
    match error {
        CannotOptimise::Objective(bad) => ModelError::new(
            Refusal::BadObjective,
            bad.found,
            format!("allowed: {}", bad.allowed),
            bad.hint.unwrap_or_else(|| "mend the optimiser's objective in the configuration".to_owned()),
        ),
        CannotOptimise::Map(found, allowed) => ModelError::new(
            Refusal::BadMap,
            found,
            format!("allowed: {allowed}"),
            "mend the map's inputs, MVs or CVs in the configuration",
        ),
    }
}

fn wrong_gain(wrong: &WrongGain, model: &Model, mvs: &[Mv], cvs: &[Cv]) -> ModelError {
    let (cv, mv) = (&cvs[wrong.known.cv], &mvs[wrong.known.mv.index()]);
    let (sign, right) = match wrong.known.sign {
        GainSign::Positive => ("+", "rises"),
        GainSign::Negative => ("-", "falls"),
    };
    let at: Vec<String> = model.inputs.iter().zip(&wrong.at).map(|(i, x)| format!("{} {x:.4}", i.name)).collect();
    ModelError::new(
        Refusal::WrongGain,
        format!(
            "CV {} changes by {:.4} {} per {} of MV {} at {}; its gain is wrong at {} of {POINTS} points",
            cv.name,
            wrong.worst,
            cv.unit,
            mv.unit,
            mv.name,
            at.join(", "),
            wrong.wrong
        ),
        format!("gains of [cv.{}] says {} = \"{sign}\": {} {right} with it", cv.name, mv.name, cv.name),
        "train the map again with data that show this gain, or take the sign out of the table if the plant does change it",
    )
}
