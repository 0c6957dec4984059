//! What stands between a file and tract: nothing is evaluated before its size and its work are known.
//!
//! tract folds whatever is constant while it infers shapes, however large the answer is: a file of a hundred bytes can ask for a
//! tensor of 2^40 numbers, and an allocation that fails ends the process. So tract's own shape rules are run node by node, and each
//! answer is weighed before the node may be evaluated. The typed and the optimised graph are weighed again, because both bring
//! tensors of their own (unrolled convolutions, loops).
//!
//! Words: the *work* of a node is its number of multiplications, or of numbers read and written where nothing is multiplied. *Facts*
//! are what tract knows of a tensor: type, shape, value.

use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::scan::{OptScan, Scan};
use tract_onnx::tract_hir::infer::Factoid;

use crate::error::{ModelError, Refusal};
use crate::geometry::Reads;
use crate::{limits, lower};

/// Operators that read and write each number a few times. Any other may multiply everything with everything.
const LINEAR: &[&str] =
    &["Add", "AddDims", "Cast", "Concat", "Div", "Gather", "Mul", "PermuteAxes", "Reshape", "RmDims", "Slice", "Sub"];

/// The typed graph of a file whose inputs have static shapes. Every tensor in it is bounded.
///
/// # Errors
/// A tensor, their sum or the work of one run is over its maximum, a shape is not static, or tract refuses the graph.
pub(crate) fn typed(file: &pb::ModelProto, mut model: InferenceModel) -> Result<TypedModel, ModelError> {
    infer(file, &mut model)?;
    let typed = model.into_typed().map_err(|e| refused(&e))?;
    weigh(&typed)?;
    Ok(typed)
}

/// tract's plan for a typed graph. Each run of it begins anew: a loop keeps nothing from the run before.
///
/// # Errors
/// As [`typed`].
pub(crate) fn plan(mut typed: TypedModel) -> Result<TypedSimpleState, ModelError> {
    lower::reset_states(&mut typed);
    let optimised = typed.into_optimized().map_err(|e| refused(&e))?;
    weigh(&optimised)?;
    optimised.into_runnable().and_then(|plan| plan.spawn()).map_err(|e| refused(&e))
}

/// tract's own words about a graph that it does not take.
pub(crate) fn refused(error: &TractError) -> ModelError {
    ModelError::new(
        Refusal::Engine,
        format!("the engine cannot run the graph ({})", error.root_cause()),
        "a static graph of standard operators, opset 9 to 18, is allowed",
        "export the model with static shapes",
    )
}

fn too_large(found: String, allowed: String) -> ModelError {
    ModelError::new(Refusal::TooLarge, found, allowed, "use a compact model")
}

fn not_static(found: String) -> ModelError {
    ModelError::new(
        Refusal::WrongShape,
        found,
        "shapes that follow from the inputs' shapes alone are allowed",
        "export the model with static shapes",
    )
}

/// Infers every type and shape. Facts flow back from consumers, too: hence the rounds.
fn infer(file: &pb::ModelProto, model: &mut InferenceModel) -> Result<(), ModelError> {
    let read = file.graph.as_ref().map(|g| g.node.as_slice()).unwrap_or_default();
    // tract puts inputs and weights in front of the file's nodes, and keeps the order of those.
    let first = model.nodes().len().saturating_sub(read.len());
    let mut spent = Spent { bytes: vec![0; model.nodes().len()], work: vec![0; model.nodes().len()] };
    for _ in 0..limits::INFERENCE_ROUNDS_MAX {
        let mut changed = false;
        for id in 0..model.nodes().len() {
            let node = id.checked_sub(first).and_then(|i| read.get(i));
            changed |= infer_node(model, id, node, &mut spent)?;
        }
        if !changed {
            return all_static(model);
        }
    }
    Err(not_static(format!("the shapes of the graph do not settle in {} rounds", limits::INFERENCE_ROUNDS_MAX)))
}

/// Per node: bytes of its results, and the work of evaluating it at load.
struct Spent {
    bytes: Vec<u64>,
    work: Vec<u64>,
}

/// One node: its shapes first and then, if they are bounded, its value where that is constant. True if something became known.
fn infer_node(
    model: &mut InferenceModel,
    id: usize,
    read: Option<&pb::NodeProto>,
    spent: &mut Spent,
) -> Result<bool, ModelError> {
    let node = model.node(id);
    let label = format!("node '{}' ({})", node.name, node.op.name());
    let wires = Wires::of(model, id).map_err(|e| refused(&e))?;
    let [inputs, outputs, observed] = wires.facts(model).map_err(|e| refused(&e))?;
    if let Some(read) = read {
        Reads::new(read, &inputs).check()?;
    }
    let (i, o, s) = (inputs.iter().collect(), outputs.iter().collect(), observed.iter().collect());
    let mut found = model.node_mut(id).op.infer_facts(i, o, s).map_err(|e| refused(&e))?;
    let mut elements = [0, 0];
    for (sum, facts) in elements.iter_mut().zip([&found.0, &found.1]) {
        for fact in facts {
            *sum += bounded(fact, &label)?;
        }
    }
    let known = |facts: &TVec<InferenceFact>| facts.iter().all(|f| f.value.is_concrete());
    let size_of = |f: &InferenceFact| f.datum_type.concretize().map_or(8, |d| d.size_of()) as u64;
    let is_constant = model.node(id).op_is::<Const>();
    if !is_constant {
        spent.bytes[id] = elements[1] * found.1.iter().map(size_of).max().unwrap_or(0);
        check_bytes(spent.bytes.iter().sum())?;
    }
    if !found.0.is_empty() && known(&found.0) && !known(&found.1) {
        if let Some(fact) = found.1.iter().find(|f| shape(f).is_none()) {
            return Err(not_static(format!("{label} computes the shape {:?} from values", fact.shape)));
        }
        let linear = LINEAR.contains(&model.node(id).op.name().as_ref());
        let pairs = elements[1] * (elements[0] + limits::TAPS_MAX);
        spent.work[id] = if linear { elements[0] + elements[1] } else { pairs };
        let work: u64 = spent.work.iter().sum();
        if work > limits::FOLD_WORK_MAX {
            return Err(too_large(
                format!("evaluating the constants up to {label} takes up to {work} multiplications"),
                format!("at most {} are allowed", limits::FOLD_WORK_MAX),
            ));
        }
        let (i, o, s) = (inputs.iter().collect(), outputs.iter().collect(), observed.iter().collect());
        found = model.node_mut(id).op.infer(i, o, s).map_err(|e| refused(&e))?;
    }
    wires.learn(model, &label, found)
}

/// The tensors that a node's shape rules speak about: inputs, outputs, and others that it watches.
struct Wires([Vec<OutletId>; 3]);

impl Wires {
    fn of(model: &InferenceModel, id: usize) -> TractResult<Self> {
        let node = model.node(id);
        let outputs = (0..node.outputs.len()).map(|slot| OutletId::new(id, slot)).collect();
        Ok(Self([node.inputs.to_vec(), outputs, node.op.observe_outlets(model, node)?]))
    }

    fn facts(&self, model: &InferenceModel) -> TractResult<[Vec<InferenceFact>; 3]> {
        let mut facts = [Vec::new(), Vec::new(), Vec::new()];
        for (facts, wires) in facts.iter_mut().zip(&self.0) {
            for wire in wires {
                facts.push(model.outlet_fact(*wire)?.clone());
            }
        }
        Ok(facts)
    }

    /// Puts what the rules found beside what is known; true if that is more than before.
    fn learn(
        self,
        model: &mut InferenceModel,
        label: &str,
        found: (TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>),
    ) -> Result<bool, ModelError> {
        let mut changed = false;
        for (wires, facts) in self.0.into_iter().zip([found.0, found.1, found.2]) {
            if wires.len() != facts.len() {
                return Err(not_static(format!("{label} has {} results, not {}", facts.len(), wires.len())));
            }
            for (wire, fact) in wires.into_iter().zip(facts) {
                let old = model.outlet_fact(wire).map_err(|e| refused(&e))?;
                let new = old.unify(&fact).map_err(|e| refused(&e))?;
                if new != *old {
                    model.set_outlet_fact(wire, new).map_err(|e| refused(&e))?;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }
}

/// Dimensions of a fact, if all are known numbers.
fn shape(fact: &InferenceFact) -> Option<Vec<usize>> {
    fact.shape.as_concrete_finite().ok().flatten().map(|dims| dims.to_vec())
}

/// Number of elements of a fact; 0 while it is not known.
fn bounded(fact: &InferenceFact, label: &str) -> Result<u64, ModelError> {
    match shape(fact) {
        Some(shape) => bounded_shape(&shape, label),
        None => Ok(0),
    }
}

fn bounded_shape(shape: &[usize], label: &str) -> Result<u64, ModelError> {
    let count = shape.iter().try_fold(1_u64, |n, d| n.checked_mul(*d as u64)).filter(|n| *n <= limits::ELEMENTS_MAX);
    count.filter(|_| shape.len() <= limits::RANK_MAX).ok_or_else(|| {
        too_large(
            format!("{label} has a tensor of shape {:?}", shape.iter().map(|d| *d as i64).collect::<Vec<_>>()),
            format!("at most {} numbers on {} axes are allowed", limits::ELEMENTS_MAX, limits::RANK_MAX),
        )
    })
}

fn check_bytes(bytes: u64) -> Result<(), ModelError> {
    if bytes <= limits::RUN_BYTES_MAX {
        return Ok(());
    }
    Err(too_large(
        format!("the tensors of one run have {bytes} bytes together"),
        format!("at most {} MiB are allowed", limits::RUN_BYTES_MAX >> 20),
    ))
}

fn all_static(model: &InferenceModel) -> Result<(), ModelError> {
    for node in model.nodes() {
        for output in &node.outputs {
            if shape(&output.fact).is_none() || !output.fact.datum_type.is_concrete() {
                return Err(not_static(format!(
                    "node '{}' ({}) has no static type and shape ({:?})",
                    node.name,
                    node.op.name(),
                    output.fact
                )));
            }
        }
    }
    Ok(())
}

/// Bounds every tensor of a typed graph, their sum, and the work of one run.
fn weigh(model: &TypedModel) -> Result<(), ModelError> {
    check_bytes(bytes(model)?)?;
    let work = work(model)?;
    if work <= limits::RUN_WORK_MAX {
        return Ok(());
    }
    Err(too_large(
        format!("one run takes {work} multiplications"),
        format!("at most {} are allowed", limits::RUN_WORK_MAX),
    ))
}

/// Bytes of all results together, constants left out: those stand in the file or were weighed when they were made.
fn bytes(model: &TypedModel) -> Result<u64, ModelError> {
    let mut sum = 0_u64;
    for node in model.nodes() {
        let label = format!("node '{}' ({})", node.name, node.op.name());
        for output in &node.outputs {
            let shape = output
                .fact
                .shape
                .as_concrete()
                .ok_or_else(|| not_static(format!("{label} has no static shape ({:?})", output.fact.shape)))?;
            let count = bounded_shape(shape, &label)?;
            if output.fact.konst.is_none() {
                sum = sum.saturating_add(count * output.fact.datum_type.size_of() as u64);
            }
        }
        if let Some(body) = loop_body(node) {
            sum = sum.saturating_add(bytes(body)?);
        }
    }
    Ok(sum)
}

fn loop_body(node: &TypedNode) -> Option<&TypedModel> {
    let planned = || node.op_as::<OptScan>().map(|scan| scan.plan.model());
    node.op_as::<Scan>().map(|scan| &scan.body).or_else(planned)
}

/// Work of one run.
fn work(model: &TypedModel) -> Result<u64, ModelError> {
    let mut sum = 0_u64;
    for node in model.nodes() {
        let inputs = model.node_input_facts(node.id).map_err(|e| refused(&e))?;
        let elements = |facts: &mut dyn Iterator<Item = &TypedFact>| -> u64 {
            facts.filter_map(|f| f.shape.as_concrete()).map(|s| s.iter().product::<usize>() as u64).sum()
        };
        let moved = elements(&mut inputs.iter().copied()) + elements(&mut node.outputs.iter().map(|o| &o.fact));
        let costs = node.op.cost(&inputs).map_err(|e| refused(&e))?;
        let multiplied = costs.iter().filter(|(cost, _)| cost.is_compute()).map(|(_, n)| count(n)).max().unwrap_or(0);
        let mut own = moved.max(multiplied);
        if let Some(pool) = pool(node) {
            let taps: usize = pool.kernel_shape.iter().product();
            own = own.saturating_mul(taps as u64);
        }
        if let Some(body) = loop_body(node) {
            let trips = node.op_as::<Scan>().and_then(|s| s.iteration_count(&inputs));
            let trips = trips.or_else(|| node.op_as::<OptScan>().and_then(|s| s.iteration_count(&inputs)));
            own = own.saturating_add(work(body)?.saturating_mul(trips.as_ref().map_or(u64::MAX, count)));
        }
        sum = sum.saturating_add(own);
    }
    Ok(sum)
}

/// A number of tract's symbolic arithmetic; what is none counts as endless.
fn count(n: &TDim) -> u64 {
    n.as_i64().and_then(|n| u64::try_from(n).ok()).unwrap_or(u64::MAX)
}

fn pool(node: &TypedNode) -> Option<&PoolSpec> {
    let sum = || node.op_as::<SumPool>().map(|p| &p.pool_spec);
    node.op_as::<MaxPool>().map(|p| &p.pool_spec).or_else(sum)
}
