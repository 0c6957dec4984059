//! Operators whose importer in tract 0.23.9 refuses or mistypes what the ONNX standard allows: tract's own expansion with one thing changed.
//!
//! * MatMul of two vectors: tract asks for a matrix on one side.
//! * Pow of a float and an integer: tract computes it in float64; the exponent becomes float32 here.
//! * Pad with an input of axes: tract does not say that the other axes keep their length.
//! * PRelu before operator set 7: one slope per channel, without axes for it to broadcast along.
//! * Selu: tract's default constants have six digits.

use std::sync::OnceLock;

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

type Imported = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Puts the repaired operators in the place of tract's.
pub(crate) fn register(framework: &mut tract_onnx::Onnx) {
    let register = &mut framework.op_register;
    register.insert("MatMul", |context, node| repaired(context, node, Repair::VectorProduct));
    register.insert("Pow", |context, node| repaired(context, node, Repair::IntegerExponent));
    register.insert("Pad", |context, node| repaired(context, node, Repair::OtherAxes));
    register.insert("PRelu", |context, node| match context.onnx_operator_set_version {
        1..7 => repaired(context, node, Repair::SlopePerChannel),
        _ => original(context, node),
    });
    register.insert("Selu", |_, node| {
        let alpha = node.get_attr_opt("alpha")?.unwrap_or(1.673_263_2);
        let gamma = node.get_attr_opt("gamma")?.unwrap_or(1.050_701);
        Ok((expand(tract_onnx::tract_hir::ops::activations::Selu(alpha, gamma)), vec![]))
    });
}

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    VectorProduct,
    IntegerExponent,
    OtherAxes,
    SlopePerChannel,
}

/// tract's expansion of an operator with its repair.
#[derive(Debug, Clone)]
struct Repaired {
    inner: Box<dyn Expansion>,
    repair: Repair,
}

fn original(context: &ParsingContext, node: &NodeProto) -> Imported {
    static TRACTS: OnceLock<OnnxOpRegister> = OnceLock::new();
    let register = TRACTS.get_or_init(|| tract_onnx::onnx().op_register);
    match register.0.get(&node.op_type) {
        Some(builder) => builder(context, node),
        None => bail!("tract does not have the operator {}", node.op_type),
    }
}

fn repaired(context: &ParsingContext, node: &NodeProto, repair: Repair) -> Imported {
    let (op, closures) = original(context, node)?;
    let Some(inner) = op.as_op().downcast_ref::<Box<dyn Expansion>>().cloned() else { return Ok((op, closures)) };
    Ok((expand(Repaired { inner, repair }), closures))
}

impl Expansion for Repaired {
    fn name(&self) -> StaticName {
        self.inner.as_ref().name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.inner.as_ref().info()
    }

    fn validation(&self) -> Validation {
        self.inner.as_ref().validation()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.inner.as_ref().nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.inner.as_ref().rules(s, inputs, outputs)?;
        // Inputs of Pad: x, pads, optionally the filling, axes. Axes are the one list beside the pads.
        if self.repair == Repair::OtherAxes && inputs.len() > 2 {
            let last = inputs.len() - 1;
            s.given_2(&inputs[0].rank, &inputs[last].value, move |s, rank, axes| {
                if axes.rank() != 1 {
                    return Ok(());
                }
                let axes = axes.cast_to::<i64>()?;
                let axes = axes.try_as_plain_ram()?.as_slice::<i64>()?.to_vec();
                for axis in (0..rank).filter(|axis| !axes.contains(axis) && !axes.contains(&(axis - rank))) {
                    s.equals(&inputs[0].shape[axis as usize], &outputs[0].shape[axis as usize])?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut inputs: TVec<OutletId> = inputs.into();
        let rank = |model: &TypedModel, input: OutletId| Ok::<_, TractError>(model.outlet_fact(input)?.rank());
        match self.repair {
            Repair::VectorProduct if rank(model, inputs[0])? == 1 && rank(model, inputs[1])? == 1 => {
                let kind = model.outlet_fact(inputs[0])?.datum_type;
                return model.wire_node(prefix, EinSum::new("k,k->".parse()?, kind), &inputs);
            }
            Repair::IntegerExponent if model.outlet_fact(inputs[0])?.datum_type == f32::datum_type() => {
                let cast = Cast { to: f32::datum_type() };
                inputs[1] = model.wire_node(format!("{prefix}.exponent"), cast, &[inputs[1]])?[0];
            }
            Repair::SlopePerChannel if rank(model, inputs[1])? == 1 => {
                for axis in 2..rank(model, inputs[0])? {
                    let name = format!("{prefix}.slope_{axis}");
                    inputs[1] = model.wire_node(name, AxisOp::Add(1), &[inputs[1]])?[0];
                }
            }
            _ => {}
        }
        self.inner.as_ref().wire(prefix, model, &inputs)
    }
}
