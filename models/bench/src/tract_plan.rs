//! tract as a careful user runs it: optimised once, one state for all runs, inputs passed without a copy.
//!
//! tract's recurrent operators keep their last state from run to run unless they are told otherwise. ONNX says that a run begins at
//! `initial_h`, so they are told.

use std::sync::Arc;

use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::bail;
use tract_onnx::tract_core::ops::Cost;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::gru_seq::GruSeq;
use tract_onnx::tract_core::ops::scan::Scan;

use crate::case::Case;
use crate::contender::Contender;

/// Version in `[workspace.dependencies]`; tract has no constant of its own.
const NAME: &str = "tract 0.23";

/// A plan with its state.
struct Plan {
    state: TypedSimpleState,
    inputs: Vec<Arc<Tensor>>,
    results: TVec<TValue>,
    carried: Vec<crate::case::Carried>,
}

/// Loads a case into tract.
///
/// # Errors
/// tract refuses the graph.
pub fn prepare(case: &Case) -> Result<Box<dyn Contender>, String> {
    let build = || -> TractResult<Plan> {
        let state = typed(case)?.into_optimized()?.into_runnable()?.spawn()?;
        let zeros = case.inputs.iter().map(|i| Tensor::zero::<f32>(&i.shape).map(Arc::new));
        Ok(Plan { state, inputs: zeros.collect::<TractResult<_>>()?, results: tvec!(), carried: case.carried.clone() })
    };
    build().map(|plan| Box::new(plan) as Box<dyn Contender>).map_err(|e| in_words(&e))
}

/// Multiply-adds of one run: matrix products, convolutions and recurrent cells. Activations and sums beside them are not counted.
///
/// # Errors
/// tract refuses the graph, or a shape is not known before the run.
pub fn multiply_adds(case: &Case) -> Result<u64, String> {
    let count = || count(&typed(case)?.into_decluttered()?);
    count().map_err(|e| in_words(&e))
}

fn typed(case: &Case) -> TractResult<TypedModel> {
    let file: pb::ModelProto = prost::Message::decode(case.bytes.as_slice())?;
    let mut model = tract_onnx::onnx().model_for_proto_model(&file)?;
    for (place, input) in case.inputs.iter().enumerate() {
        model.set_input_fact(place, f32::fact(&input.shape).into())?;
    }
    // Output facts of a file may name symbols that the input facts have just replaced.
    for place in 0..case.outputs.len() {
        model.set_output_fact(place, InferenceFact::default())?;
    }
    let mut model = model.into_typed()?;
    flyball_models::lower::reset_states(&mut model);
    Ok(model)
}

fn count(model: &TypedModel) -> TractResult<u64> {
    let mut sum = 0;
    for node in model.nodes() {
        let facts = model.node_input_facts(node.id)?;
        sum += if node.op_is::<EinSum>() || node.op_is::<Conv>() {
            let costs = node.op.cost(&facts)?;
            let fused = costs.iter().filter(|(cost, _)| matches!(cost, Cost::FMA(_)));
            fused.map(|(_, n)| n.to_i64()).sum::<Result<i64, _>>()? as u64
        } else if let Some(scan) = node.op_as::<Scan>() {
            let trips = scan.iteration_count(&facts).map_or(Ok(1), |n| n.to_i64())?;
            trips as u64 * count(&scan.body)?
        } else if let Some(gru) = node.op_as::<GruSeq>() {
            // [batch, steps, inputs], or [batch, steps, 3 hidden] once the input's product is taken outside.
            let x = facts[0].shape.as_concrete().unwrap_or(&[]);
            let [batch, steps, width] = x else { bail!("{} has no static shape", node.name) };
            let inputs = if gru.projected { 0 } else { *width };
            (batch * steps * 3 * gru.hidden * (gru.hidden + inputs)) as u64
        } else {
            0
        };
    }
    Ok(sum)
}

impl Contender for Plan {
    fn name(&self) -> &str {
        NAME
    }

    fn set_input(&mut self, input: usize, numbers: &[f32]) -> Result<(), String> {
        let tensor = Arc::make_mut(&mut self.inputs[input]);
        let mut plain = tensor.try_as_plain_ram_mut().map_err(|e| in_words(&e))?;
        plain.as_slice_mut::<f32>().map_err(|e| in_words(&e))?.copy_from_slice(numbers);
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        self.results.clear();
        let inputs = self.inputs.iter().map(|t| TValue::from_const(Arc::clone(t))).collect();
        self.results = self.state.run(inputs).map_err(|e| in_words(&e))?;
        for carried in &self.carried {
            self.inputs[carried.input] = self.results[carried.output].clone().into_arc_tensor();
        }
        Ok(())
    }

    fn output(&self, output: usize) -> Result<Vec<f32>, String> {
        let plain = self.results[output].try_as_plain_ram().map_err(|e| in_words(&e))?;
        plain.as_slice::<f32>().map(<[f32]>::to_vec).map_err(|e| in_words(&e))
    }

    fn counted(&self) -> bool {
        true
    }
}

fn in_words(error: &TractError) -> String {
    format!("{error:#}").replace('\n', " ")
}
