//! One trip of a loop backward: the body's own graph with adjoints appended, and how it splits into two bodies.
//!
//! The first body is the loop's own; it stacks more. The second takes adjoints from the end of a trip to its beginning.

use std::collections::BTreeSet;

use crate::copy::Copier;
use crate::gradient::backward::Backward;
use crate::graph::{Graph, GraphError, Node};
use crate::op::{Binary, Op, Scan};

/// What feeds the adjoint of one of the body's outputs.
pub(super) enum Seed {
    /// The trip after: adjoint of a state.
    Carried,
    /// Slices of a tensor of the outer graph, trips in front and in reverse.
    Scanned(Node),
    /// The same tensor of the outer graph in every trip.
    Fixed(Node),
}

/// The body of a loop with adjoints appended.
pub(super) struct Trip<'a> {
    scan: &'a Scan,
    backward: Backward,
    /// Inputs appended to the body, and what feeds them.
    seeds: Vec<(Node, Seed)>,
    /// States of the second body: seeds of carried adjoints, then sums over the trips so far.
    states: Vec<Node>,
}

/// What the second body computes from, by nodes of the trip's graph; nothing is computed twice.
#[derive(Default)]
pub(super) struct Reads {
    /// Values that the first loop saves.
    pub(super) saved: Vec<Node>,
    /// Scanned inputs of the body.
    pub(super) scanned: Vec<Node>,
    /// What is the same in every trip, without constants.
    pub(super) fixed: Vec<Node>,
}

impl<'a> Trip<'a> {
    /// Sweeps the body. `leads` says which inputs of the body lead, `carried` which states have an adjoint after the trip; stacked outputs come
    /// with the shape of their adjoint per trip.
    pub(super) fn new(
        scan: &'a Scan,
        seeds: Option<usize>,
        leads: &[bool],
        carried: &[bool],
        stacked: Vec<(usize, Vec<usize>, Seed)>,
    ) -> Result<Self, GraphError> {
        let body = &scan.body;
        let wrt: Vec<Node> =
            body.inputs().iter().zip(leads).filter(|(_, leads)| **leads).map(|(node, _)| *node).collect();
        let mut backward = Backward::new(body, &wrt, seeds);
        let mut fed = Vec::new();
        for output in body.outputs().iter().zip(carried).filter(|(_, carried)| **carried).map(|(output, _)| *output) {
            let shape = backward.wide(body.shape(output));
            fed.push((backward.seed(output, &shape)?, Seed::Carried));
        }
        let states = fed.iter().map(|(node, _)| *node).collect();
        for (output, shape, seed) in stacked {
            fed.push((backward.seed(body.outputs()[output], &shape)?, seed));
        }
        backward.sweep()?;
        Ok(Self { scan, backward, seeds: fed, states })
    }

    /// The adjoint of an input of the body, maybe narrow.
    pub(super) fn adjoint(&self, input: usize) -> Option<Node> {
        self.backward.adjoint(self.scan.body.inputs()[input])
    }

    /// The adjoint of a state before the trip, in full.
    pub(super) fn carried(&mut self, state: usize) -> Result<Node, GraphError> {
        let shape = self.scan.body.shape(self.scan.body.inputs()[state]);
        match self.adjoint(state) {
            Some(adjoint) => self.backward.widen(adjoint, shape),
            None => self.backward.zeros(shape),
        }
    }

    /// The adjoint of an input that stays, summed up to this trip: a new state.
    pub(super) fn collected(&mut self, input: usize) -> Result<Node, GraphError> {
        let shape = self.backward.wide(self.scan.body.shape(self.scan.body.inputs()[input]));
        let sum = self.backward.graph.input(&shape)?;
        self.states.push(sum);
        match self.adjoint(input) {
            Some(adjoint) => self.backward.graph.binary(Binary::Add, sum, adjoint),
            None => Ok(sum),
        }
    }

    /// Tensors whose slices are adjoints of stacked outputs.
    pub(super) fn scanned_seeds(&self) -> impl Iterator<Item = Node> + '_ {
        self.seeds.iter().filter_map(|(_, seed)| if let Seed::Scanned(tensor) = seed { Some(*tensor) } else { None })
    }

    /// What these results are computed from.
    pub(super) fn reads(&self, results: &[Node]) -> Reads {
        let graph = &self.backward.graph;
        let first_scanned = self.scan.states;
        let body_scanned = &self.scan.body.inputs()[first_scanned..first_scanned + self.scan.scanned];
        let varies = self.varies();
        let [mut saved, mut scanned, mut fixed, mut seen] = [const { BTreeSet::new() }; 4];
        let mut open = results.to_vec();
        while let Some(node) = open.pop() {
            let data = graph.node(node);
            let is_first =
                self.backward.is_own(node) || (matches!(data.op, Op::Part(_)) && self.backward.is_own(data.inputs[0]));
            if matches!(data.op, Op::Constant(_)) || !seen.insert(node) {
                continue;
            }
            if !varies[node.index()] {
                fixed.insert(node);
            } else if body_scanned.contains(&node) {
                scanned.insert(node);
            } else if is_first {
                saved.insert(node);
            } else {
                open.extend(&data.inputs);
            }
        }
        let list = |set: BTreeSet<Node>| set.into_iter().collect();
        Reads { saved: list(saved), scanned: list(scanned), fixed: list(fixed) }
    }

    /// Per node: whether it differs from trip to trip.
    fn varies(&self) -> Vec<bool> {
        let graph = &self.backward.graph;
        let mut varies = vec![false; graph.nodes().len()];
        let stays = &self.scan.body.inputs()[self.scan.states + self.scan.scanned..];
        for input in graph.inputs() {
            let is_fixed_seed = self.seeds.iter().any(|(node, seed)| node == input && matches!(seed, Seed::Fixed(_)));
            varies[input.index()] = !is_fixed_seed && !stays.contains(input);
        }
        for (index, data) in graph.nodes().iter().enumerate() {
            varies[index] |= data.inputs.iter().any(|input| varies[input.index()]);
        }
        varies
    }

    /// What is the same in every trip, computed in the outer graph from the loop's own inputs.
    pub(super) fn outside(&self, outer: &mut Graph, inputs: &[Node], fixed: &[Node]) -> Result<Vec<Node>, GraphError> {
        let mut copier = Copier::new(&self.backward.graph);
        let first = self.scan.states + self.scan.scanned;
        for (inner, input) in self.scan.body.inputs().iter().zip(inputs).skip(first) {
            copier.stand_in(*inner, *input);
        }
        for (node, seed) in &self.seeds {
            if let Seed::Fixed(tensor) = seed {
                copier.stand_in(*node, *tensor);
            }
        }
        copier.copy(outer, fixed)
    }

    /// The loop's body, which stacks what is saved behind its own outputs.
    pub(super) fn first_body(&self, saved: &[Node]) -> Result<Graph, GraphError> {
        let (body, mut graph) = (&self.scan.body, Graph::new());
        let results = [body.outputs(), saved].concat();
        let wanted = [body.inputs(), &results].concat();
        let copies = Copier::new(&self.backward.graph).copy(&mut graph, &wanted)?;
        copies[body.inputs().len()..].iter().for_each(|copy| graph.output(*copy));
        Ok(graph)
    }

    /// The body of the second loop. Scanned are what is saved, scanned inputs, scanned seeds; the rest stays.
    pub(super) fn second_body(&self, reads: &Reads, results: &[Node]) -> Result<Graph, GraphError> {
        let (mut graph, mut copier) = (Graph::new(), Copier::new(&self.backward.graph));
        let seeds = self.seeds.iter().filter(|(_, seed)| matches!(seed, Seed::Scanned(_))).map(|(node, _)| node);
        let scanned = reads.saved.iter().chain(&reads.scanned).chain(seeds);
        for node in self.states.iter().chain(scanned).chain(&reads.fixed) {
            let input = graph.input(self.backward.graph.shape(*node))?;
            copier.stand_in(*node, input);
        }
        for result in copier.copy(&mut graph, results)? {
            graph.output(result);
        }
        Ok(graph)
    }
}
