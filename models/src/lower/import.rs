//! From a file to tract's typed graph, with the operators put right whose attributes tract's importer does not read.
//!
//! tract 0.23.9 ignores, without a word: `direction` = reverse, `activations`, `clip` and `input_forget` of RNN, GRU and LSTM, the order of
//! axes of `layout` = 1 with two directions, `training_mode` of BatchNormalization, and `alpha` in one place of Celu. What can be put right
//! is, the rest is refused: a wrong number must not leave this module.

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::ops::rec::common::{CommonRec, WireBody};
use tract_onnx::ops::rec::gru::GRU;
use tract_onnx::ops::rec::lstm::LSTM;
use tract_onnx::ops::rec::rnn::RNN;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::{gru_seq::GruSeq, math, nn, scan::Scan};
use tract_onnx::tract_hir::internal::*;

use super::repairs;
use crate::error::ModelError;
use crate::guard::{self, refused};
use crate::onnx::caught;

/// The typed graph of a file for this many rows.
///
/// The batch axis is the symbolic dimension whose name contains "batch" or is "N"; else the first symbolic dimension that is the first axis
/// of an input; else the only one. A first axis without a name is a batch, too. A file of fixed shapes keeps them.
///
/// # Errors
/// tract cannot read or type the graph, a tensor or the work is over a limit, an attribute has a value that would be ignored, or tract
/// panicked.
pub fn typed(file: &ModelProto, rows: usize) -> Result<TypedModel, ModelError> {
    caught(|| {
        let mut model = parse(file).map_err(|e| refused(&e))?;
        set_rows(&mut model, rows).map_err(|e| refused(&e))?;
        guard::typed(file, model)
    })
}

/// tract's graph of a file, nothing inferred yet. What a file says about its inner tensors is not believed.
pub(crate) fn parse(file: &ModelProto) -> TractResult<InferenceModel> {
    if let Some(graph) = &file.graph {
        check(graph, 0)?;
    }
    let mut framework = tract_onnx::onnx().with_ignore_value_info(true);
    framework.op_register.insert("RNN", rnn);
    framework.op_register.insert("GRU", gru);
    framework.op_register.insert("LSTM", lstm);
    repairs::register(&mut framework);
    framework.model_for_proto_model(file)
}

/// Makes every loop of a typed graph begin with its initial state in each run, as ONNX says.
///
/// By default tract carries the state of a loop from one run of a session to the next.
pub fn reset_states(model: &mut TypedModel) {
    for node in &mut model.nodes {
        if let Some(op) = node.op_as_mut::<Scan>() {
            op.reset_every_turn = true;
            reset_states(&mut op.body);
        } else if let Some(op) = node.op_as_mut::<GruSeq>() {
            op.reset_every_turn = true;
        }
    }
}

/// Fixes the batch axis; see [`typed`].
pub(crate) fn set_rows(model: &mut InferenceModel, rows: usize) -> TractResult<()> {
    let mut found: Vec<(usize, Symbol)> = Vec::new();
    for slot in 0..model.inputs.len() {
        let mut fact = model.input_fact(slot)?.clone();
        let dims: Vec<GenericFactoid<TDim>> = fact.shape.dims().cloned().collect();
        for (axis, dim) in dims.iter().enumerate() {
            match dim {
                GenericFactoid::Only(TDim::Sym(symbol)) => found.push((axis, symbol.clone())),
                GenericFactoid::Any if axis == 0 => {
                    fact.shape.set_dim(0, rows.to_dim());
                }
                _ => {}
            }
        }
        model.set_input_fact(slot, fact)?;
    }
    let named = |(_, symbol): &&(usize, Symbol)| {
        let name = symbol.to_string().to_lowercase();
        name.contains("batch") || name == "n"
    };
    let batch = found.iter().find(named).or_else(|| found.iter().find(|(axis, _)| *axis == 0));
    let only = || found.first().filter(|(_, first)| found.iter().all(|(_, other)| other == first));
    if let Some((_, symbol)) = batch.or_else(only) {
        model.set_symbols(&HashMap::from([(symbol.clone(), rows.to_dim())]))?;
    }
    Ok(())
}

/// Refuses attribute values that tract's importer ignores.
fn check(graph: &GraphProto, depth: usize) -> TractResult<()> {
    ensure!(depth <= crate::limits::DEPTH_MAX, "graphs inside graphs to depth {depth}");
    for node in &graph.node {
        let name = &node.name;
        match node.op_type.as_str() {
            "BatchNormalization" => ensure!(
                node.get_attr_opt::<i64>("training_mode")?.unwrap_or(0) == 0,
                "node '{name}' (BatchNormalization): training mode is not allowed; export the model for inference"
            ),
            "Celu" => ensure!(
                node.get_attr_opt::<f32>("alpha")?.unwrap_or(1.0) == 1.0,
                "node '{name}' (Celu): only alpha = 1 is allowed"
            ),
            _ => {}
        }
        for inner in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
            check(inner, depth + 1)?;
        }
    }
    Ok(())
}

type Imported = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

fn rnn(_: &ParsingContext, node: &NodeProto) -> Imported {
    let f = activations(node, &["Tanh"])?.remove(0);
    recurrent(node, Box::new(RNN { fore: f.clone(), back: f }))
}

fn gru(_: &ParsingContext, node: &NodeProto) -> Imported {
    let mut found = activations(node, &["Sigmoid", "Tanh"])?;
    let (g, f) = (found.remove(1), found.remove(0));
    let linear_before_reset = node.get_attr_opt::<i64>("linear_before_reset")?.unwrap_or(0) != 0;
    recurrent(node, Box::new(GRU { f, g, linear_before_reset }))
}

fn lstm(_: &ParsingContext, node: &NodeProto) -> Imported {
    let defaults = ["Sigmoid", "Tanh", "Tanh"];
    ensure!(
        node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) == 0,
        "node '{}' (LSTM): input_forget is not allowed",
        node.name
    );
    let usual = names(node, &defaults)?.iter().zip(defaults).all(|(name, usual)| name == usual);
    let mut found = activations(node, &defaults)?;
    let (h, g, f) = (found.remove(2), found.remove(1), found.remove(0));
    recurrent(node, Box::new(Lstm { inner: LSTM { f, g, h }, usual }))
}

/// Names of the activations of one direction, capitalised as in the standard.
fn names(node: &NodeProto, defaults: &[&str]) -> TractResult<Vec<String>> {
    let Some(found) = node.get_attr_opt_slice::<Vec<u8>>("activations")? else {
        return Ok(defaults.iter().map(|name| (*name).to_owned()).collect());
    };
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).to_lowercase();
    let found: Vec<String> = found.iter().map(text).collect();
    let n = defaults.len();
    ensure!(
        found.len() == n || (found.len() == 2 * n && found[..n] == found[n..]),
        "node '{}' ({}): activations {found:?}; {n} are allowed, the same for both directions",
        node.name,
        node.op_type
    );
    let capital = |name: &String| match name.as_str() {
        "sigmoid" => "Sigmoid".to_owned(),
        "tanh" => "Tanh".to_owned(),
        other => other.to_owned(),
    };
    Ok(found[..n].iter().map(capital).collect())
}

fn activations(node: &NodeProto, defaults: &[&str]) -> TractResult<Vec<Box<dyn TypedOp>>> {
    for parameter in ["activation_alpha", "activation_beta", "clip"] {
        ensure!(
            node.attribute.iter().all(|a| a.name != parameter),
            "node '{}' ({}): attribute {parameter} is not allowed",
            node.name,
            node.op_type
        );
    }
    let op = |name: String| -> TractResult<Box<dyn TypedOp>> {
        Ok(match name.as_str() {
            "Sigmoid" => Box::new(nn::sigmoid()),
            "Tanh" => Box::new(math::tanh()),
            "relu" => Box::new(nn::leaky_relu(0.0)),
            other => {
                bail!("node '{}' ({}): activation {other}; sigmoid, tanh and relu are allowed", node.name, node.op_type)
            }
        })
    };
    names(node, defaults)?.into_iter().map(op).collect()
}

/// tract's LSTM body; it reads its activations only in the spelling with peepholes.
#[derive(Debug, Clone)]
struct Lstm {
    inner: LSTM,
    usual: bool,
}

impl WireBody for Lstm {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn wire_body(&self, prefix: &str, body: &mut TypedModel) -> TractResult<()> {
        if !self.usual && body.node_by_name("peepholes").is_err() {
            let r = body.node_by_name("R")?.id;
            let hidden = body.outlet_fact(r.into())?.shape[1].to_usize()?;
            body.add_const("peepholes", Tensor::zero::<f32>(&[1, 3 * hidden])?)?;
        }
        self.inner.wire_body(prefix, body)
    }

    fn w_b_multipliers(&self) -> (usize, usize) {
        self.inner.w_b_multipliers()
    }

    fn have_extra_c_state(&self) -> bool {
        self.inner.have_extra_c_state()
    }
}

fn recurrent(node: &NodeProto, body: Box<dyn WireBody>) -> Imported {
    let reverse = match node.get_attr_opt::<String>("direction")?.as_deref() {
        None | Some("forward" | "bidirectional") => false,
        Some("reverse") => true,
        Some(other) => bail!("node '{}' ({}): direction {other}", node.name, node.op_type),
    };
    let declared = CommonRec::from_node_and_options(node, 3, 0, body)?;
    Ok((expand(Recurrent { declared, reverse }), vec![]))
}

/// tract's recurrent layers with direction and layout put right.
#[derive(Debug, Clone)]
struct Recurrent {
    declared: CommonRec,
    reverse: bool,
}

impl Recurrent {
    fn reversed(op: &mut Scan) {
        use tract_onnx::tract_core::ops::scan::InputMapping;
        for mapping in &mut op.input_mapping {
            if let InputMapping::Scan(info) = mapping {
                info.chunk = -info.chunk;
            }
        }
        for mapping in &mut op.output_mapping {
            if let Some((_, info)) = &mut mapping.scan {
                info.chunk = -info.chunk;
            }
        }
    }
}

impl Expansion for Recurrent {
    fn name(&self) -> StaticName {
        self.declared.name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.declared.nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.declared.rules(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let swap = |model: &mut TypedModel, name: &str, from: usize, to: usize, wire: OutletId| {
            Ok::<_, TractError>(model.wire_node(format!("{prefix}.{name}"), AxisOp::Move(from, to), &[wire])?[0])
        };
        let mut op = self.declared.clone();
        let mut inputs: TVec<OutletId> = inputs.into();
        let batch_first = std::mem::replace(&mut op.batch_first, false);
        if batch_first {
            let states = [op.optional_initial_h_input, op.optional_initial_c_input];
            for slot in states.into_iter().flatten().chain([0]) {
                inputs[slot] = swap(model, &format!("input_{slot}"), 1, 0, inputs[slot])?;
            }
        }
        let before = model.nodes.len();
        let mut outputs = op.wire(prefix, model, &inputs)?;
        if self.reverse {
            for node in &mut model.nodes[before..] {
                if let Some(op) = node.op_as_mut::<Scan>() {
                    Self::reversed(op);
                } else if let Some(op) = node.op_as_mut::<GruSeq>() {
                    op.chunk = -op.chunk;
                }
            }
        }
        if batch_first {
            if let Some(slot) = op.optional_y_output {
                // [steps, directions, rows, hidden] to [rows, steps, directions, hidden]
                outputs[slot] = swap(model, "y_rows_first", 2, 0, outputs[slot])?;
            }
            for slot in [op.optional_y_h_output, op.optional_y_c_output].into_iter().flatten() {
                outputs[slot] = swap(model, &format!("state_{slot}_rows_first"), 1, 0, outputs[slot])?;
            }
        }
        Ok(outputs)
    }
}
