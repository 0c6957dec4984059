//! Functions of one and two numbers, casts, comparisons and selections.

use flyball_engine::{Binary, Graph, Node, Unary};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::{CompEq, CompGT, CompLT, Iff};
use tract_onnx::tract_core::ops::{math, nn};

use super::value::{Comparison, Test, Value, check_float, data, data_at, uniform};
use super::{Why, no, recognise};

/// Translates a node of this family; `None` if it belongs to another.
pub(crate) fn elementwise(graph: &mut Graph, node: &TypedNode, inputs: &[Value]) -> Result<Option<Value>, Why> {
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        let x = data_at(graph, inputs, 0)?;
        return function(graph, op, x).map(|y| Some(Value::Data(y)));
    }
    if let Some(op) = node.op_as::<TypedBinOp>() {
        return two_sided(graph, op, inputs).map(Some);
    }
    if let Some(op) = node.op_as::<Cast>() {
        check_float(op.to)?;
        return Ok(Some(Value::Data(data_at(graph, inputs, 0)?)));
    }
    if node.op_is::<Iff>() {
        return select(graph, inputs).map(|y| Some(Value::Data(y)));
    }
    Ok(None)
}

/// A function of one number.
fn function(graph: &mut Graph, op: &ElementWiseOp, x: Node) -> Result<Node, Why> {
    let op = &op.0;
    let plain = if op.is::<math::Abs>() {
        Unary::Absolute
    } else if op.is::<math::Exp>() {
        Unary::Exp
    } else if op.is::<math::Square>() {
        Unary::Square
    } else if op.is::<math::Sqrt>() {
        Unary::Sqrt
    } else if op.is::<math::Tanh>() {
        Unary::Tanh
    } else if op.is::<math::Erf>() {
        Unary::Erf
    } else if op.is::<math::Neg>() {
        Unary::Negate
    } else if op.is::<nn::Sigmoid>() {
        Unary::Sigmoid
    } else if op.is::<nn::HardSwish>() {
        Unary::HardSwish
    } else if op.is::<nn::GeluExact>() {
        Unary::Gelu
    } else if let Some(op) = op.downcast_ref::<nn::LeakyRelu>() {
        Unary::LeakyRelu { slope: op.alpha }
    } else if let Some(op) = op.downcast_ref::<nn::GeluApproximate>() {
        if op.fast_impl {
            return no("the fast form of gelu, which is no ONNX operator");
        }
        Unary::GeluTanh
    } else if op.is::<math::Ln>() {
        return recognise::logarithm(graph, x);
    } else if op.is::<math::Recip>() {
        return reciprocal(graph, x);
    } else if op.is::<math::Rsqrt>() {
        let root = graph.unary(Unary::Sqrt, x)?;
        return reciprocal(graph, root);
    } else if op.is::<nn::Silu>() {
        let gate = graph.unary(Unary::Sigmoid, x)?;
        return Ok(graph.binary(Binary::Multiply, x, gate)?);
    } else {
        return no("the engine does not have this function");
    };
    Ok(graph.unary(plain, x)?)
}

fn reciprocal(graph: &mut Graph, x: Node) -> Result<Node, Why> {
    let one = graph.scalar(1.0)?;
    Ok(graph.binary(Binary::Divide, one, x)?)
}

/// A function of two numbers, or a comparison.
fn two_sided(graph: &mut Graph, op: &TypedBinOp, inputs: &[Value]) -> Result<Value, Why> {
    let op = &op.0;
    let (left, right) = (data_at(graph, inputs, 0)?, data_at(graph, inputs, 1)?);
    let comparison = if op.is::<CompGT>() {
        Some(Comparison::Greater)
    } else if op.is::<CompLT>() {
        Some(Comparison::Less)
    } else if op.is::<CompEq>() {
        Some(Comparison::Equal)
    } else {
        None
    };
    if let Some(kind) = comparison {
        return Ok(Value::Test(Test { kind, left, right }));
    }
    let made = if op.is::<math::Add>() {
        graph.binary(Binary::Add, left, right)?
    } else if op.is::<math::Sub>() {
        graph.binary(Binary::Subtract, left, right)?
    } else if op.is::<math::Mul>() {
        recognise::product(graph, left, right)?
    } else if op.is::<math::Div>() {
        recognise::quotient(graph, left, right)?
    } else if op.is::<math::Min>() {
        recognise::minimum(graph, left, right)?
    } else if op.is::<math::Max>() {
        recognise::maximum(graph, left, right)?
    } else if op.is::<math::Pow>() {
        power(graph, left, right)?
    } else {
        return no(format!("the engine does not have the operation {}", op.name()));
    };
    Ok(Value::Data(made))
}

/// Powers with a small constant exponent are exact products; the others are computed by logarithms.
fn power(graph: &mut Graph, base: Node, exponent: Node) -> Result<Node, Why> {
    let keeps_shape =
        graph.shape(exponent).len() <= graph.shape(base).len() && graph.shape(exponent).iter().all(|dim| *dim == 1);
    let known = uniform(graph, exponent).filter(|_| keeps_shape);
    Ok(match known {
        Some(1.0) => base,
        Some(2.0) => graph.unary(Unary::Square, base)?,
        Some(3.0) => {
            let square = graph.unary(Unary::Square, base)?;
            graph.binary(Binary::Multiply, square, base)?
        }
        Some(0.5) => graph.unary(Unary::Sqrt, base)?,
        Some(-1.0) => return reciprocal(graph, base),
        _ => graph.binary(Binary::Power, base, exponent)?,
    })
}

/// A selection by a comparison at run time: only the activations that the importers write this way.
///
/// Computing both sides and blending them would turn an unused infinity into NaN, so there is no general form.
fn select(graph: &mut Graph, inputs: &[Value]) -> Result<Node, Why> {
    let refusal = "selects by a condition that is not constant, and is none of the activations that are written so";
    let [Value::Test(test), then, other] = inputs else { return no(refusal) };
    let (then, other) = (data(graph, then)?, data(graph, other)?);
    // Which side is larger when `then` is taken.
    let (larger, smaller) = match test.kind {
        Comparison::Greater => (test.left, test.right),
        Comparison::Less => (test.right, test.left),
        Comparison::Equal => return no(refusal),
    };
    if (then, other) == (larger, smaller) {
        return recognise::maximum(graph, then, other);
    }
    if (then, other) == (smaller, larger) {
        return recognise::minimum(graph, then, other);
    }
    let made = if uniform(graph, smaller) == Some(0.0) {
        recognise::kinked(graph, larger, then, other)?
    } else if uniform(graph, larger) == Some(0.0) {
        recognise::kinked(graph, smaller, other, then)?
    } else {
        None
    };
    made.map_or_else(|| no(refusal), Ok)
}
