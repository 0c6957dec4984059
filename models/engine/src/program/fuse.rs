//! What is computed inside what: a product or convolution takes the sum that it starts with and the function that follows it into its step.

use std::collections::BTreeMap;

use super::simplify::uses;
use crate::graph::{Graph, Node};
use crate::op::{Binary, Op, Unary};

/// A product or convolution with what is fused into it.
pub(super) struct Fused {
    pub root: Node,
    pub start: Option<Node>,
    pub then: Option<Unary>,
}

/// Which nodes are computed inside others.
pub(super) struct Fusion {
    pub absorbed: Vec<bool>,
    fused: BTreeMap<usize, Fused>,
}

impl Fusion {
    pub(super) fn of(&self, i: usize) -> Option<&Fused> {
        self.fused.get(&i)
    }
}

pub(super) fn fuse(graph: &Graph) -> Fusion {
    let uses = uses(graph);
    let mut fusion = Fusion { absorbed: vec![false; graph.nodes().len()], fused: BTreeMap::new() };
    for (i, node) in graph.nodes().iter().enumerate().filter(|(i, _)| uses[*i] > 0) {
        match &node.op {
            Op::MatMul | Op::Conv(_) => {
                fusion.fused.insert(i, Fused { root: Node(i as u32), start: None, then: None });
            }
            Op::Binary(Binary::Add) => {
                let takes = |product: Node| {
                    let free = uses[product.index()] == 1
                        && fusion.of(product.index()).is_some_and(|f| f.start.is_none() && f.then.is_none())
                        && matches!(graph.node(product).op, Op::MatMul)
                        && graph.shape(product) == node.shape.as_slice();
                    // Whatever the other side's shape: the choice must not depend on the number of rows, because it decides bits.
                    free
                };
                // The later product takes the other side as its start, so that the other may be a product too.
                let (a, b) = (node.inputs[0], node.inputs[1]);
                let sides = if a > b { [(a, b), (b, a)] } else { [(b, a), (a, b)] };
                if let Some((product, start)) = sides.into_iter().find(|(p, _)| takes(*p)) {
                    fusion.absorbed[product.index()] = true;
                    fusion.fused.remove(&product.index());
                    fusion.fused.insert(i, Fused { root: product, start: Some(start), then: None });
                }
            }
            Op::Unary(function) => {
                let x = node.inputs[0].index();
                if uses[x] == 1 && fusion.of(x).is_some_and(|f| f.then.is_none()) {
                    fusion.absorbed[x] = true;
                    if let Some(inner) = fusion.fused.remove(&x) {
                        fusion.fused.insert(i, Fused { then: Some(*function), ..inner });
                    }
                }
            }
            _ => {}
        }
    }
    fusion
}
