//! What is fixed about an optimisation: names, objective, MVs. From a configuration, or made by hand for tests and benches.

use flyball_config::{Direction, InputSource, Model, Mv, MvId, Optimiser};

use crate::CannotOptimise;

/// One MV.
#[derive(Debug, Clone, PartialEq)]
pub struct MvSetup {
    /// Input of the map.
    pub input: usize,
    /// Engineering limits, EU.
    pub engineering: (f64, f64),
    /// What one whole move costs, units of the objective.
    pub move_cost: f64,
}

/// What is fixed about an optimisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Expression over the names below.
    pub objective: String,
    /// Maximise, or minimise.
    pub maximise: bool,
    /// Inputs of the map.
    pub inputs: Vec<String>,
    /// Outputs of the map.
    pub outputs: Vec<String>,
    /// Prices.
    pub prices: Vec<String>,
    /// MVs.
    pub mvs: Vec<MvSetup>,
    /// Number of CVs.
    pub cvs: usize,
    /// Starting points, the present one and the last answer included.
    pub starts: usize,
    /// Do not move for less, units of the objective.
    pub accept_if_gain: f64,
    /// The search looks this many moves far; none: as far as limits and training allow.
    pub reach: Option<f64>,
}

impl Setup {
    /// That of a configuration; `model` is the map, `cvs` the number of CVs.
    ///
    /// # Errors
    /// An MV is no input of the map.
    pub fn of(settings: &Optimiser, model: &Model, mvs: &[Mv], cvs: usize) -> Result<Self, CannotOptimise> {
        let inputs: Vec<String> = model.inputs.iter().map(|i| i.name.clone()).collect();
        let mut list = Vec::with_capacity(mvs.len());
        for (i, mv) in mvs.iter().enumerate() {
            let at = model.inputs.iter().position(|input| input.source == InputSource::Mv(MvId(i as u32)));
            let input = at.ok_or_else(|| {
                let found = format!("MV {} is no input of the map", mv.name);
                CannotOptimise::Map(found, format!("inputs are {}", inputs.join(", ")))
            })?;
            let engineering = (mv.limits.low, mv.limits.high);
            list.push(MvSetup { input, engineering, move_cost: mv.move_cost });
        }
        Ok(Self {
            objective: settings.objective.clone(),
            maximise: settings.direction == Direction::Maximise,
            inputs,
            outputs: model.outputs.iter().map(|o| o.name.clone()).collect(),
            prices: settings.prices.iter().map(|p| p.name.clone()).collect(),
            mvs: list,
            cvs,
            starts: usize::from(settings.starts),
            accept_if_gain: settings.accept_if_gain,
            reach: settings.reach,
        })
    }
}
