//! Copies chosen nodes of one graph into another, with all they are computed from: splits, prunes and rewires graphs.

use crate::graph::{Graph, GraphError, Node};
use crate::op::NodeData;

/// Remembers where each node of the source has its copy, so that nothing is copied twice.
pub(crate) struct Copier<'a> {
    source: &'a Graph,
    copies: Vec<Option<Node>>,
}

impl<'a> Copier<'a> {
    /// Nothing is copied yet.
    pub(crate) fn new(source: &'a Graph) -> Self {
        Self { source, copies: vec![None; source.nodes().len()] }
    }

    /// Lets a node of the target stand for one of the source.
    pub(crate) fn stand_in(&mut self, node: Node, copy: Node) {
        self.copies[node.index()] = Some(copy);
    }

    /// Copies of these nodes. What they read is copied before them, in the order of the source; an input for which nothing stands in becomes an
    /// input of the target.
    ///
    /// # Errors
    /// The target grows over a limit.
    pub(crate) fn copy(&mut self, target: &mut Graph, wanted: &[Node]) -> Result<Vec<Node>, GraphError> {
        let needed = reached(self.source, wanted, |node| self.copies[node.index()].is_some());
        for (index, data) in self.source.nodes().iter().enumerate() {
            if needed[index] {
                let inputs = data.inputs.iter().map(|input| self.copied(*input)).collect();
                self.copies[index] = Some(target.append(NodeData { inputs, ..data.clone() })?);
            }
        }
        Ok(wanted.iter().map(|node| self.copied(*node)).collect())
    }

    fn copied(&self, node: Node) -> Node {
        self.copies[node.index()].expect("nodes read earlier nodes only, and those are copied first")
    }
}

/// Per node: whether one of these is computed from it, themselves included.
pub(crate) fn read_by(graph: &Graph, wanted: &[Node]) -> Vec<bool> {
    reached(graph, wanted, |_| false)
}

fn reached(graph: &Graph, wanted: &[Node], stop: impl Fn(Node) -> bool) -> Vec<bool> {
    let mut reached = vec![false; graph.nodes().len()];
    let mut open = wanted.to_vec();
    while let Some(node) = open.pop() {
        if !stop(node) && !std::mem::replace(&mut reached[node.index()], true) {
            open.extend(&graph.node(node).inputs);
        }
    }
    reached
}
