//! The two ways through a case, and the judge.

use tract_onnx::pb;
use tract_onnx::prelude::TypedModel;

use super::Outcome;
use super::case::{self, Case, Numbers};
use crate::error::{ModelError, Refusal};
use crate::network::{How, Network};
use crate::onnx::{OnnxFile, caught};

/// Tolerances of the ONNX project's own runner: defaults of `load_model_tests` in onnx/backend/test/loader/__init__.py (1.20.1).
const RELATIVE: f32 = 1e-3;
const ABSOLUTE: f32 = 1e-7;

/// What float32 may add to a number near zero, as a share of the largest number of its tensor, or of 1: gates and other activations of
/// that size stand between input and output.
const ROUNDING: f32 = 1e-6;

/// A way from a model and its inputs to its outputs; an error is a refusal.
type Path = fn(&pb::ModelProto, &[Numbers]) -> Result<Vec<Numbers>, ModelError>;

/// Runs a case natively, with its weights fed and fixed, and if our engine takes neither, on tract's plan. The flag says that some
/// number was right only within rounding.
pub(super) fn judge(case: &Case) -> (Outcome, bool) {
    let ours = both(case, native);
    let why = match ours {
        Ok((Judged::Fed, rounded)) => return (Outcome::Native { weights_fixed: false }, rounded),
        Ok((Judged::Fixed, rounded)) => return (Outcome::Native { weights_fixed: true }, rounded),
        Ok((Judged::Wrong(what), _)) => return (Outcome::Wrong { what: format!("our engine: {what}") }, false),
        Err(why) => why,
    };
    match both(case, fallback) {
        Ok((Judged::Wrong(what), _)) => (Outcome::Wrong { what: format!("tract's plan: {what}") }, false),
        Ok((_, rounded)) => (Outcome::Fallback { why }, rounded),
        Err(why) => (Outcome::Refused { why }, false),
    }
}

/// How one path did.
enum Judged {
    /// Right as the case stands.
    Fed,
    /// Right only when its weights are fixed.
    Fixed,
    Wrong(String),
}

/// A path over a case with weights fed and with weights fixed. An error is a refusal of both; a wrong answer in either counts.
fn both(case: &Case, path: Path) -> Result<(Judged, bool), String> {
    match (verdict(case, path, false), verdict(case, path, true)) {
        (Verdict::Wrong(what), _) | (_, Verdict::Wrong(what)) => Ok((Judged::Wrong(what), false)),
        (Verdict::Right { rounded }, _) => Ok((Judged::Fed, rounded)),
        (_, Verdict::Right { rounded }) => Ok((Judged::Fixed, rounded)),
        (Verdict::Refused(why), Verdict::Refused(_)) => Err(why),
    }
}

enum Verdict {
    Right { rounded: bool },
    Wrong(String),
    Refused(String),
}

fn verdict(case: &Case, path: Path, weights_fixed: bool) -> Verdict {
    let mut rounded = false;
    for set in &case.sets {
        let run = || {
            let asked = Asked::of(case, &set.inputs, weights_fixed)?;
            let expected: Result<Vec<Numbers>, String> = set.outputs.iter().map(case::numbers).collect();
            let expected = expected?;
            let answers = caught(|| path(&asked.model, &asked.inputs)).map_err(|e| e.found)?;
            Ok((expected, answers))
        };
        match run() {
            Ok((expected, answers)) => match compare(&expected, &answers) {
                Ok(within) => rounded |= within,
                Err(what) => return Verdict::Wrong(what),
            },
            Err(why) => return Verdict::Refused(why),
        }
    }
    Verdict::Right { rounded }
}

/// A model with some inputs turned into initial values, and numbers for the rest.
struct Asked {
    model: pb::ModelProto,
    inputs: Vec<Numbers>,
}

impl Asked {
    /// Fixes what is no float32 and, if asked, every float32 input but the first.
    fn of(case: &Case, tensors: &[pb::TensorProto], weights_fixed: bool) -> Result<Self, String> {
        let mut asked = Self { model: case.model.clone(), inputs: Vec::new() };
        let fed = case.fed();
        if fed.len() != tensors.len() {
            return Err(format!("{} inputs for {} tensors", fed.len(), tensors.len()));
        }
        let graph = asked.model.graph.as_mut().ok_or("a file without a graph")?;
        for (name, tensor) in fed.iter().zip(tensors) {
            if case::is_number(tensor) && (asked.inputs.is_empty() || !weights_fixed) {
                asked.inputs.push(case::numbers(tensor)?);
            } else {
                graph.initializer.push(pb::TensorProto { name: name.clone(), ..tensor.clone() });
                graph.input.retain(|i| i.name != *name);
            }
        }
        Ok(asked)
    }
}

/// Judges as `numpy.testing.assert_allclose` does: |answer - expected| <= ABSOLUTE + RELATIVE |expected|, NaN equal to NaN, infinities
/// equal to themselves. What misses this near zero may still be the rounding of its tensor: then the answer is true. An error names
/// the first number that is wrong.
fn compare(expected: &[Numbers], answers: &[Numbers]) -> Result<bool, String> {
    if expected.len() != answers.len() {
        return Err(format!("{} outputs instead of {}", answers.len(), expected.len()));
    }
    let mut rounded = false;
    for (output, (e, a)) in expected.iter().zip(answers).enumerate() {
        if e.shape != a.shape {
            return Err(format!("output {output} has shape {:?} instead of {:?}", a.shape, e.shape));
        }
        let largest = e.data.iter().filter(|v| v.is_finite()).fold(1.0_f32, |m, v| m.max(v.abs()));
        for (at, (x, y)) in e.data.iter().zip(&a.data).enumerate() {
            let same = x == y || (x.is_nan() && y.is_nan());
            let off = (x - y).abs();
            // A NaN is not within.
            let (within, nearly) = (off <= ABSOLUTE + RELATIVE * x.abs(), off <= ROUNDING * largest);
            if !same && !within {
                if !nearly {
                    return Err(format!("output {output}[{at}] is {y} instead of {x}"));
                }
                rounded = true;
            }
        }
    }
    Ok(rounded)
}

/// tract's typed graph of a checked model, inputs fixed to the shapes of these numbers.
fn typed(model: &pb::ModelProto, inputs: &[Numbers]) -> Result<TypedModel, ModelError> {
    let shapes: Vec<&[usize]> = inputs.iter().map(|n| n.shape.as_slice()).collect();
    OnnxFile::from_proto(model.clone())?.typed_as(&shapes)
}

/// Our engine.
fn native(model: &pb::ModelProto, inputs: &[Numbers]) -> Result<Vec<Numbers>, ModelError> {
    let network = Network::new(typed(model, inputs)?)?;
    if let How::Fallback(why) = network.how() {
        return Err(ModelError::new(
            Refusal::UnknownOperator,
            why.to_string(),
            "the operators of docs/OPERATORS.md are native",
            "use other layers, or let the model run on tract's plan",
        ));
    }
    run(network, inputs)
}

/// tract's plan.
fn fallback(model: &pb::ModelProto, inputs: &[Numbers]) -> Result<Vec<Numbers>, ModelError> {
    run(Network::on_tract(typed(model, inputs)?)?, inputs)
}

fn run(mut network: Network, inputs: &[Numbers]) -> Result<Vec<Numbers>, ModelError> {
    for (i, numbers) in inputs.iter().enumerate() {
        network.input_mut(i).copy_from_slice(&numbers.data);
    }
    network.run().map_err(|fault| {
        ModelError::new(Refusal::Engine, format!("the run failed ({fault:?})"), "finite inputs are needed", "none")
    })?;
    let outputs = network.outputs().iter().enumerate();
    Ok(outputs.map(|(i, o)| Numbers { shape: o.shape.clone(), data: network.output(i).to_vec() }).collect())
}
