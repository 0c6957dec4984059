//! The engine against tract, once at load: a program that computes something else than the file says must never run.
//!
//! Both run the golden inputs and seeded random rows of the declared ranges. Where they disagree the model is refused, and the first node whose
//! numbers differ is named.

use flyball_engine::reference;
use tract_onnx::prelude::*;

use crate::contract::ModelContract;
use crate::error::{ModelError, Refusal};
use crate::limits;
use crate::lower;
use crate::network::{How, Network};
use crate::onnx::OnnxFile;

/// What the comparison found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Rows that both ran.
    pub rows: usize,
    /// Largest difference, share of an output's span.
    pub worst_of_span: f64,
}

/// Compares a one-row network with tract's plan of the same file. None when tract's plan runs it anyway.
///
/// # Errors
/// They differ by more than [`limits::AGREEMENT_OF_SPAN`] of an output's span, or tract cannot run the file.
pub(crate) fn check(
    file: &OnnxFile,
    contract: &ModelContract,
    network: &mut Network,
) -> Result<Option<Agreement>, ModelError> {
    if matches!(network.how(), How::Fallback(_)) {
        return Ok(None);
    }
    let mut tract = Network::on_tract(file.typed(1)?)?;
    let mut random = Random(0x5eed);
    let axis_first = contract.window.is_some_and(|w| w.axis == 2);
    let steps = contract.window.map_or(1, |w| w.steps);
    let n = contract.inputs.len();
    let mut found = Agreement { rows: contract.golden.pairs.len() + limits::COMPARED_ROWS, worst_of_span: 0.0 };
    for row in 0..found.rows {
        let pair = contract.golden.pairs.get(row);
        let at = |step: usize, column: usize, random: &mut Random| match pair {
            Some(pair) => pair.input[step * n + column],
            None => {
                let input = &contract.inputs[column];
                input.train_min + random.share() * (input.train_max - input.train_min)
            }
        };
        for step in 0..steps {
            for column in 0..n {
                let value = at(step, column, &mut random) as f32;
                let cell = if axis_first { column * steps + step } else { step * n + column };
                network.input_mut(0)[cell] = value;
                tract.input_mut(0)[cell] = value;
            }
        }
        let ran = network.run().is_ok() && tract.run().is_ok();
        for (i, output) in contract.outputs.iter().enumerate() {
            let (ours, theirs) = (f64::from(network.output(0)[i]), f64::from(tract.output(0)[i]));
            let share = (ours - theirs).abs() / (output.range[1] - output.range[0]);
            // A NaN is not within.
            let within = share <= limits::AGREEMENT_OF_SPAN;
            if !ran || !within {
                let input = network.input_mut(0).to_vec();
                let place = first_difference(file, &input)
                    .map_or_else(String::new, |node| format!("; the first node that differs is '{node}'"));
                return Err(ModelError::new(
                    Refusal::Disagreement,
                    format!(
                        "the compiled program answers {} = {ours} where tract answers {theirs}{place}",
                        output.name
                    ),
                    format!("a difference of {} of the output's span is allowed", limits::AGREEMENT_OF_SPAN),
                    "do not use the model; report it with the file",
                ));
            }
            found.worst_of_span = found.worst_of_span.max(share);
        }
    }
    Ok(Some(found))
}

/// Name of the first node of tract's typed graph whose numbers the lowered graph does not have. None when all agree: then it is a kernel.
fn first_difference(file: &OnnxFile, input: &[f32]) -> Option<String> {
    let mut typed = file.typed(1).ok()?;
    let graph = lower::lower(&typed).ok()?;
    lower::reset_states(&mut typed);
    let shape = typed.outlet_fact(typed.inputs[0]).ok()?.shape.as_concrete()?.to_vec();
    let names: Vec<String> = typed.nodes().iter().map(|n| n.name.clone()).collect();
    let outlets: Vec<OutletId> = (0..names.len()).map(|i| OutletId::new(i, 0)).collect();
    typed.select_output_outlets(&outlets).ok()?;
    let fed = Tensor::from_shape(&shape, input).ok()?;
    let answers = typed.into_runnable().ok()?.run(tvec!(fed.into())).ok()?;
    let ours = reference::evaluate_all(&graph, &[input.iter().map(|v| f64::from(*v)).collect()]);
    for (name, answer) in names.iter().zip(answers.iter()) {
        let Ok(plain) = answer.try_as_plain_ram() else { continue };
        let Ok(theirs) = plain.as_slice::<f32>() else { continue };
        // The last node that came from this one holds its result.
        let own = graph.nodes().iter().rposition(|n| &*n.origin == name.as_str());
        let Some(values) = own.and_then(|i| ours[i].first()).filter(|v| v.len() == theirs.len()) else { continue };
        let scale = theirs.iter().fold(1.0_f64, |m, v| m.max(f64::from(v.abs())));
        let apart = values.iter().zip(theirs).any(|(a, b)| (a - f64::from(*b)).abs() > 1e-3 * scale);
        if apart {
            return Some(name.clone());
        }
    }
    None
}

/// xorshift64*: the same rows in every load.
struct Random(u64);

impl Random {
    /// In 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
