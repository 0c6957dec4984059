//! The predictor port over one engine row: f64 in engineering units outside, f32 inside.

use flyball_core::ports::{PredictFault, Predictor};

use crate::engine::{BatchPlan, SteadyMap};

/// A loaded model as the scan knows it. Inputs and outputs are in the configuration's order.
pub struct OnnxPredictor {
    plan: BatchPlan,
    ranges: Vec<(f64, f64)>,
}

impl OnnxPredictor {
    /// `plan` has one row; `ranges` are the training ranges of the configured inputs.
    pub(crate) fn new(plan: BatchPlan, ranges: Vec<(f64, f64)>) -> Self {
        Self { plan, ranges }
    }
}

impl Predictor for OnnxPredictor {
    fn inputs(&self) -> usize {
        self.plan.inputs()
    }

    fn outputs(&self) -> usize {
        self.plan.outputs()
    }

    fn input_range(&self, input: usize) -> (f64, f64) {
        self.ranges[input]
    }

    fn predict(&mut self, features: &[f64], out: &mut [f64]) -> Result<(), PredictFault> {
        self.plan.run(features, out)?;
        if out.iter().all(|v| v.is_finite()) { Ok(()) } else { Err(PredictFault::NotFinite) }
    }
}
