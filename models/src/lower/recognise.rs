//! Activations that the importers and PyTorch write with several operators, put back together.
//!
//! It saves passes over the data, and for softplus, log-softmax and log-sum-exp it also keeps large arguments from overflowing. A pattern
//! is looked for when its last operator is built; the nodes that it no longer needs are dropped by [`super::simplify`].

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use flyball_engine::op::ReduceKind;
use flyball_engine::{Binary, Graph, GraphError, Node, Op, Unary};

use super::Why;
use super::value::uniform;

/// Exporters write constants of activations with seven digits or more.
fn close(found: f32, wanted: f32) -> bool {
    (found - wanted).abs() <= 2e-6 * wanted.abs()
}

fn unary_of(graph: &Graph, node: Node) -> Option<(Unary, Node)> {
    match graph.node(node).op {
        Op::Unary(function) => Some((function, graph.node(node).inputs[0])),
        _ => None,
    }
}

fn binary_of(graph: &Graph, node: Node) -> Option<(Binary, Node, Node)> {
    match graph.node(node).op {
        Op::Binary(function) => Some((function, graph.node(node).inputs[0], graph.node(node).inputs[1])),
        _ => None,
    }
}

/// The other side and the number, if one side is one number that does not widen the other.
fn with_number(graph: &Graph, left: Node, right: Node) -> Option<(Node, f32)> {
    let fits = |x: Node, number: Node| {
        graph.shape(number).len() <= graph.shape(x).len() && graph.shape(number).iter().all(|dim| *dim == 1)
    };
    let right_number = uniform(graph, right).filter(|_| fits(left, right)).map(|number| (left, number));
    right_number.or_else(|| uniform(graph, left).filter(|_| fits(right, left)).map(|number| (right, number)))
}

/// x and c of c x or x / (1 / c).
fn scaled(graph: &Graph, node: Node) -> Option<(Node, f32)> {
    match binary_of(graph, node)? {
        (Binary::Multiply, left, right) => with_number(graph, left, right),
        (Binary::Divide, left, right) => {
            with_number(graph, left, right).filter(|(x, _)| *x == left).map(|(x, c)| (x, 1.0 / c))
        }
        _ => None,
    }
}

/// x and c of x + c.
fn shifted(graph: &Graph, node: Node) -> Option<(Node, f32)> {
    match binary_of(graph, node)? {
        (Binary::Add, left, right) => with_number(graph, left, right),
        (Binary::Subtract, left, right) => {
            with_number(graph, left, right).filter(|(x, _)| *x == left).map(|(x, c)| (x, -c))
        }
        _ => None,
    }
}

/// Factors of a product that are not single numbers, and the product of those that are.
fn factors(graph: &Graph, node: Node, depth: usize, found: &mut Vec<Node>) -> f32 {
    if depth > 0
        && let Some((inner, number)) = scaled(graph, node)
    {
        return number * factors(graph, inner, depth - 1, found);
    }
    if depth > 0
        && let Some((Binary::Multiply, left, right)) = binary_of(graph, node)
    {
        return factors(graph, left, depth - 1, found) * factors(graph, right, depth - 1, found);
    }
    found.push(node);
    1.0
}

/// left times right.
pub(crate) fn product(graph: &mut Graph, left: Node, right: Node) -> Result<Node, Why> {
    let plain = graph.binary(Binary::Multiply, left, right)?;
    if let Some((unit, gamma)) = scaled(graph, plain)
        && let Some((Unary::Elu { alpha }, x)) = unary_of(graph, unit)
    {
        return Ok(graph.unary(Unary::Selu { alpha, gamma }, x)?);
    }
    let known = gelu(graph, plain);
    known.map_or(Ok(plain), |(form, x)| Ok(graph.unary(form, x)?))
}

/// x and the form of x (1 + erf(x / sqrt 2)) / 2, however it is bracketed.
fn gelu(graph: &Graph, node: Node) -> Option<(Unary, Node)> {
    let mut found = Vec::new();
    let number = factors(graph, node, 3, &mut found);
    let [a, b] = found[..] else { return None };
    if !close(number, 0.5) {
        return None;
    }
    let one_side = |x: Node, gate: Node| {
        let (inner, one) = shifted(graph, gate)?;
        if one != 1.0 {
            return None;
        }
        match unary_of(graph, inner)? {
            (Unary::Erf, y) => {
                scaled(graph, y).filter(|(z, c)| *z == x && close(*c, FRAC_1_SQRT_2)).map(|_| Unary::Gelu)
            }
            (Unary::Tanh, y) => {
                let (sum, c) = scaled(graph, y)?;
                (close(c, FRAC_2_PI.sqrt()) && is_gelu_cubic(graph, sum, x)).then_some(Unary::GeluTanh)
            }
            _ => None,
        }
    };
    one_side(a, b).map(|form| (form, a)).or_else(|| one_side(b, a).map(|form| (form, b)))
}

/// x + 0.044715 x^3
fn is_gelu_cubic(graph: &Graph, node: Node, x: Node) -> bool {
    let Some((Binary::Add, left, right)) = binary_of(graph, node) else { return false };
    let cubic = if left == x { right } else { left };
    let mut found = Vec::new();
    let number = factors(graph, cubic, 4, &mut found);
    let degree: Option<usize> = found
        .iter()
        .map(|factor| match unary_of(graph, *factor) {
            _ if *factor == x => Some(1),
            Some((Unary::Square, inner)) if inner == x => Some(2),
            _ => None,
        })
        .sum();
    (left == x || right == x) && degree == Some(3) && close(number, 0.044715)
}

/// left divided by right.
pub(crate) fn quotient(graph: &mut Graph, left: Node, right: Node) -> Result<Node, Why> {
    let plain = graph.binary(Binary::Divide, left, right)?;
    let known = gelu(graph, plain);
    known.map_or(Ok(plain), |(form, x)| Ok(graph.unary(form, x)?))
}

/// The larger of two; against one number it is a relu or a limit.
pub(crate) fn maximum(graph: &mut Graph, left: Node, right: Node) -> Result<Node, Why> {
    match with_number(graph, left, right) {
        Some((x, number)) if !number.is_nan() => Ok(clip(graph, x, number, f32::INFINITY)?),
        _ => Ok(graph.binary(Binary::Maximum, left, right)?),
    }
}

/// The smaller of two; against one number it is a limit.
pub(crate) fn minimum(graph: &mut Graph, left: Node, right: Node) -> Result<Node, Why> {
    match with_number(graph, left, right) {
        Some((x, number)) if !number.is_nan() => Ok(clip(graph, x, f32::NEG_INFINITY, number)?),
        _ => Ok(graph.binary(Binary::Minimum, left, right)?),
    }
}

fn clip(graph: &mut Graph, x: Node, low: f32, high: f32) -> Result<Node, GraphError> {
    let (mut x, mut low, mut high) = (x, low, high);
    let inner = match unary_of(graph, x) {
        Some((Unary::Clip { low, high }, inner)) => Some((inner, low, high)),
        Some((Unary::Relu, inner)) => Some((inner, 0.0, f32::INFINITY)),
        _ => None,
    };
    // Two limits are one if they leave something between them.
    if let Some((inner, inner_low, inner_high)) = inner
        && inner_low.max(low) <= inner_high.min(high)
    {
        (x, low, high) = (inner, inner_low.max(low), inner_high.min(high));
    }
    if (low, high) == (0.0, 1.0)
        && let Some((line, beta)) = shifted(graph, x)
        && let Some((x, alpha)) = scaled(graph, line)
    {
        return graph.unary(Unary::HardSigmoid { alpha, beta }, x);
    }
    let function = if (low, high) == (0.0, f32::INFINITY) { Unary::Relu } else { Unary::Clip { low, high } };
    graph.unary(function, x)
}

/// The natural logarithm: of 1 + e^x it is softplus, of a softmax and of a sum of powers it is computed without the powers' range.
pub(crate) fn logarithm(graph: &mut Graph, x: Node) -> Result<Node, Why> {
    if let Some((inner, one)) = shifted(graph, x)
        && one == 1.0
        && let Some((Unary::Exp, argument)) = unary_of(graph, inner)
    {
        return Ok(graph.unary(Unary::Softplus, argument)?);
    }
    if let Some((Binary::Divide, powers, sum)) = binary_of(graph, x)
        && let Some((Unary::Exp, argument)) = unary_of(graph, powers)
        && matches!(graph.node(sum).op, Op::Reduce { kind: ReduceKind::Sum, .. })
        && graph.node(sum).inputs[0] == powers
    {
        let log = graph.unary(Unary::Log, sum)?;
        return Ok(graph.binary(Binary::Subtract, argument, log)?);
    }
    if let Op::Reduce { kind: ReduceKind::Sum, axes } = graph.node(x).op.clone()
        && let Some((Unary::Exp, argument)) = unary_of(graph, graph.node(x).inputs[0])
    {
        let largest = graph.reduce(ReduceKind::Maximum, argument, &axes)?;
        let below = graph.binary(Binary::Subtract, argument, largest)?;
        let powers = graph.unary(Unary::Exp, below)?;
        let sum = graph.reduce(ReduceKind::Sum, powers, &axes)?;
        let log = graph.unary(Unary::Log, sum)?;
        return Ok(graph.binary(Binary::Add, log, largest)?);
    }
    Ok(graph.unary(Unary::Log, x)?)
}

/// `above` where x is above 0, `below` where it is below: the leaky and the exponential units.
pub(crate) fn kinked(graph: &mut Graph, x: Node, above: Node, below: Node) -> Result<Option<Node>, Why> {
    // The standard writes selu with its factor on both sides.
    let (above, gamma) = if above == x { (above, 1.0) } else { scaled(graph, above).unwrap_or((above, 1.0)) };
    let factored = if gamma == 1.0 { Some((below, 1.0)) } else { scaled(graph, below) };
    if above != x || factored.is_none_or(|(_, factor)| factor != gamma) {
        return Ok(None);
    }
    let inner = factored.map_or(below, |(inner, _)| inner);
    if let Some(alpha) = exponential(graph, x, inner) {
        let function = if gamma == 1.0 { Unary::Elu { alpha } } else { Unary::Selu { alpha, gamma } };
        return Ok(Some(graph.unary(function, x)?));
    }
    if gamma != 1.0 {
        return Ok(None);
    }
    if let Some((_, slope)) = scaled(graph, below).filter(|(scaled, _)| *scaled == x) {
        return Ok(Some(graph.unary(Unary::LeakyRelu { slope }, x)?));
    }
    let Some((Binary::Multiply, left, right)) = binary_of(graph, below) else { return Ok(None) };
    let slope = match (left == x, right == x) {
        (true, false) => right,
        (false, true) => left,
        _ => return Ok(None),
    };
    Ok(Some(graph.binary(Binary::PRelu, x, slope)?))
}

/// alpha of alpha (e^x - 1), also written alpha e^x - alpha.
fn exponential(graph: &Graph, x: Node, node: Node) -> Option<f32> {
    let power = |node: Node| unary_of(graph, node) == Some((Unary::Exp, x));
    // alpha = 1 may be left out in both.
    let (inner, alpha) = scaled(graph, node).unwrap_or((node, 1.0));
    if shifted(graph, inner).is_some_and(|(exp, minus_one)| power(exp) && minus_one == -1.0) {
        return Some(alpha);
    }
    let (inner, minus_alpha) = shifted(graph, node)?;
    let (exp, alpha) = scaled(graph, inner)?;
    (power(exp) && alpha == -minus_alpha).then_some(alpha)
}
