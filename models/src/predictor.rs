//! The predictor port over one row or one step: f64 in engineering units outside, f32 inside.

use flyball_core::bounds::MODEL_INPUTS_MAX;
use flyball_core::ports::{PredictFault, Predictor, TrustData};
use flyball_core::state::Archive;
use flyball_core::watch::basis::Basis;

use crate::engine::{BatchPlan, SteadyMap};
use crate::window::Window;

/// A loaded model as the scan knows it. Inputs and outputs are in the configuration's order.
pub struct OnnxPredictor {
    inner: Inner,
    ranges: Vec<(f64, f64)>,
    trust: TrustData,
    basis: Basis,
}

enum Inner {
    /// Each prediction stands alone.
    Row(BatchPlan),
    /// Each prediction takes one step of time; columns of the file for each configured input and output.
    Step { window: Box<Window>, input_order: Vec<usize>, output_order: Vec<usize> },
}

impl OnnxPredictor {
    /// `plan` has one row; `ranges` are the training ranges of the configured inputs.
    pub(crate) fn row(plan: BatchPlan, ranges: Vec<(f64, f64)>, trust: TrustData, basis: Basis) -> Self {
        Self { inner: Inner::Row(plan), ranges, trust, basis }
    }

    /// A model with memory.
    pub(crate) fn step(
        window: Window,
        input_order: Vec<usize>,
        output_order: Vec<usize>,
        ranges: Vec<(f64, f64)>,
        trust: TrustData,
        basis: Basis,
    ) -> Self {
        Self { inner: Inner::Step { window: Box::new(window), input_order, output_order }, ranges, trust, basis }
    }
}

impl Predictor for OnnxPredictor {
    fn inputs(&self) -> usize {
        self.ranges.len()
    }

    fn outputs(&self) -> usize {
        match &self.inner {
            Inner::Row(plan) => plan.outputs(),
            Inner::Step { output_order, .. } => output_order.len(),
        }
    }

    fn input_range(&self, input: usize) -> (f64, f64) {
        self.ranges[input]
    }

    fn predict(&mut self, features: &[f64], out: &mut [f64]) -> Result<(), PredictFault> {
        match &mut self.inner {
            Inner::Row(plan) => plan.run(features, out)?,
            Inner::Step { window, input_order, output_order } => {
                if !features.iter().all(|v| v.is_finite()) {
                    return Err(PredictFault::NotFinite);
                }
                let mut step = [0.0; MODEL_INPUTS_MAX];
                for (value, column) in features.iter().zip(input_order.iter()) {
                    step[*column] = *value as f32;
                }
                let answer = window.step(&step[..features.len()])?;
                for (value, column) in out.iter_mut().zip(output_order.iter()) {
                    *value = f64::from(answer[*column]);
                }
            }
        }
        if out.iter().all(|v| v.is_finite()) { Ok(()) } else { Err(PredictFault::NotFinite) }
    }

    fn trust(&self) -> TrustData {
        self.trust.clone()
    }

    fn basis(&self) -> Basis {
        self.basis.clone()
    }

    fn warm_up(&self) -> u32 {
        match &self.inner {
            Inner::Row(_) => 1,
            Inner::Step { window, .. } => window.warm_up() as u32,
        }
    }

    fn reset(&mut self) {
        if let Inner::Step { window, .. } = &mut self.inner {
            window.reset();
        }
    }

    fn keep(&mut self, archive: &mut Archive<'_>) {
        if let Inner::Step { window, .. } = &mut self.inner {
            window.keep(archive);
        }
    }
}
