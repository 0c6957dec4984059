//! Compositions whose range is known better than that of their parts: softmax, distance below the maximum, normalisation.
//!
//! An operator at a time forgets that numerator and denominator hold the same numbers. These three are recognised by their nodes.

use super::Interval;
use super::round::{FLOOR, gamma};
use crate::graph::{Graph, Node};
use crate::op::{Binary, Op, ReduceKind, Unary};

/// Smallest constant under the root of a normalisation for which underflow of squares cannot break the bound.
const UNDER_ROOT_MIN: f32 = 1e-20;

/// What a node is part of.
pub enum Pattern {
    /// The last node of a softmax of this node over these axes.
    Softmax(Node, Vec<usize>),
    /// All elements stay inside this interval.
    Limit(Interval),
}

/// The pattern that ends in `node`, if there is one.
pub fn find(graph: &Graph, node: Node) -> Option<Pattern> {
    match pair(graph, node)? {
        (Binary::Subtract, ..) => {
            below_maximum(graph, node).map(|_| Pattern::Limit(Interval { low: f64::NEG_INFINITY, high: 0.0 }))
        }
        (Binary::Divide, a, b) => softmax(graph, a, b).or_else(|| normalised(graph, a, b)),
        _ => None,
    }
}

/// x and the axes if the node is x minus its maximum.
fn below_maximum(graph: &Graph, node: Node) -> Option<(Node, &[usize])> {
    let (Binary::Subtract, x, largest) = pair(graph, node)? else { return None };
    let (of, axes) = reduced(graph, largest, ReduceKind::Maximum)?;
    (of == x).then_some((x, axes))
}

fn softmax(graph: &Graph, powers: Node, total: Node) -> Option<Pattern> {
    let (of, axes) = reduced(graph, total, ReduceKind::Sum)?;
    let (x, below) = below_maximum(graph, applied(graph, powers, Unary::Exp)?)?;
    (of == powers && below == axes).then(|| Pattern::Softmax(x, axes.to_vec()))
}

/// c / sqrt(share sum(c^2) + constant): at most 1 / sqrt(share), because c^2 is one term of the sum.
fn normalised(graph: &Graph, c: Node, root: Node) -> Option<Pattern> {
    let (mean, constant) = with_constant(graph, applied(graph, root, Unary::Sqrt)?, Binary::Add)?;
    let (total, share) = with_constant(graph, mean, Binary::Multiply)?;
    let (squares, axes) = reduced(graph, total, ReduceKind::Sum)?;
    let of = applied(graph, squares, Unary::Square).or_else(|| match pair(graph, squares)? {
        (Binary::Multiply, a, b) if a == b => Some(a),
        _ => None,
    })?;
    if of != c || constant < UNDER_ROOT_MIN || share <= f32::MIN_POSITIVE || graph.shape(root) != graph.shape(total) {
        return None;
    }
    let count: usize = axes.iter().map(|a| graph.shape(squares)[*a]).product();
    let limit = (1.0 / f64::from(share)).sqrt() * (1.0 + gamma(count + 16)) + FLOOR;
    Some(Pattern::Limit(Interval { low: -limit, high: limit }))
}

fn pair(graph: &Graph, node: Node) -> Option<(Binary, Node, Node)> {
    match graph.node(node).op {
        Op::Binary(f) => Some((f, graph.node(node).inputs[0], graph.node(node).inputs[1])),
        _ => None,
    }
}

fn applied(graph: &Graph, node: Node, function: Unary) -> Option<Node> {
    matches!(graph.node(node).op, Op::Unary(f) if f == function).then(|| graph.node(node).inputs[0])
}

fn reduced(graph: &Graph, node: Node, wanted: ReduceKind) -> Option<(Node, &[usize])> {
    match &graph.node(node).op {
        Op::Reduce { kind, axes } if *kind == wanted => Some((graph.node(node).inputs[0], axes)),
        _ => None,
    }
}

/// The variable side and the smallest number of the constant side.
fn with_constant(graph: &Graph, node: Node, function: Binary) -> Option<(Node, f32)> {
    let (f, a, b) = pair(graph, node)?;
    let smallest = |n: Node| {
        let data = graph.constant_data(n).filter(|d| !d.is_empty() && d.iter().all(|v| v.is_finite()))?;
        Some(data.iter().copied().fold(f32::MAX, f32::min))
    };
    let found = smallest(b).map(|v| (a, v)).or_else(|| smallest(a).map(|v| (b, v)));
    found.filter(|_| f == function)
}
