//! Which nodes lead: those whose values change with the nodes that are differentiated. All others need no adjoint.

use std::collections::BTreeMap;

use crate::gradient::curvature;
use crate::graph::{Graph, Node};
use crate::op::{Binary, Op, Scan};

/// The leading nodes of one graph.
pub(super) struct Leads {
    nodes: Vec<bool>,
    /// Per loop: which inputs of its body lead.
    bodies: BTreeMap<Node, Vec<bool>>,
}

impl Leads {
    /// Everything that depends on `from`, those included, by a path along which a derivative exists and is not zero everywhere.
    pub(super) fn new(graph: &Graph, from: &[Node]) -> Self {
        let mut leads = Self { nodes: vec![false; graph.nodes().len()], bodies: BTreeMap::new() };
        let mut results: BTreeMap<Node, Vec<bool>> = BTreeMap::new();
        for node in from {
            leads.nodes[node.index()] = true;
        }
        for (index, data) in graph.nodes().iter().enumerate() {
            let inputs: Vec<bool> = data.inputs.iter().map(|input| leads.has(*input)).collect();
            leads.nodes[index] |= match &data.op {
                Op::Scan(scan) => {
                    let node = Node(index as u32);
                    let (body, outputs) = inside(scan, inputs);
                    let any = outputs.contains(&true);
                    leads.bodies.insert(node, body);
                    results.insert(node, outputs);
                    any
                }
                Op::Part(part) => results[&data.inputs[0]][*part],
                op => inputs.iter().enumerate().any(|(i, leads)| *leads && passes(op, i)),
            };
        }
        leads
    }

    /// True when this node leads.
    pub(super) fn has(&self, node: Node) -> bool {
        self.nodes[node.index()]
    }

    /// Which inputs of a loop's body lead.
    pub(super) fn body(&self, scan: Node) -> &[bool] {
        &self.bodies[&scan]
    }
}

/// Inputs and outputs of a body that lead, given which of its inputs do at the first trip: a state that leads after one trip leads before the next.
fn inside(scan: &Scan, mut inputs: Vec<bool>) -> (Vec<bool>, Vec<bool>) {
    loop {
        let from: Vec<Node> =
            scan.body.inputs().iter().zip(&inputs).filter(|(_, leads)| **leads).map(|(n, _)| *n).collect();
        let body = Leads::new(&scan.body, &from);
        let outputs: Vec<bool> = scan.body.outputs().iter().map(|output| body.has(*output)).collect();
        let grown = (0..scan.states).filter(|i| outputs[*i] && !std::mem::replace(&mut inputs[*i], true)).count();
        if grown == 0 {
            return (inputs, outputs);
        }
    }
}

/// True when an operator has a derivative with respect to this input that is not zero everywhere.
fn passes(op: &Op, input: usize) -> bool {
    match op {
        Op::Binary(Binary::Greater | Binary::Equal) => false,
        Op::Binary(Binary::Slope(function)) => input == 0 || curvature::is_curved(*function),
        _ => true,
    }
}
