//! The sweep from outputs to inputs: collects the adjoint of each node and hands it to the rule of the node's operator.
//!
//! The *adjoint* of a node is the derivative of what is differentiated with respect to it. It has the node's axes, with the *seed axis* in front if
//! several outputs are differentiated at once. An adjoint may be *narrow*: length 1 along an axis on which it is the same everywhere, as the
//! adjoint of a sum is. Narrow adjoints broadcast, so most rules need not know; those that do widen them.

use std::collections::BTreeMap;

use crate::gradient::leads::Leads;
use crate::graph::{Graph, GraphError, Node, check_size, err};
use crate::index::{FILLED, IndexMap, elements};
use crate::op::{Binary, NodeData, Op, ReduceKind};

/// A graph being extended by adjoints.
pub(super) struct Backward {
    /// The graph itself, then what is appended. Its outputs mean nothing.
    pub(super) graph: Graph,
    /// Length of the seed axis, if there is one.
    pub(super) seeds: Option<usize>,
    own: usize,
    leads: Leads,
    /// Per node of the graph: what its readers contributed so far.
    pending: Vec<Vec<Node>>,
    /// The same per part of a loop.
    parts: BTreeMap<Node, Vec<Vec<Node>>>,
    adjoints: Vec<Option<Node>>,
    lifted: BTreeMap<Node, Node>,
}

impl Backward {
    /// Ready for seeds; derivatives are wanted with respect to `wrt`.
    pub(super) fn new(graph: &Graph, wrt: &[Node], seeds: Option<usize>) -> Self {
        let own = graph.nodes().len();
        Self {
            graph: graph.clone(),
            seeds,
            own,
            leads: Leads::new(graph, wrt),
            pending: vec![Vec::new(); own],
            parts: BTreeMap::new(),
            adjoints: vec![None; own],
            lifted: BTreeMap::new(),
        }
    }

    /// True for nodes of the graph itself, false for what was appended.
    pub(super) fn is_own(&self, node: Node) -> bool {
        node.index() < self.own
    }

    /// True when an adjoint of this node is of use.
    pub(super) fn wants(&self, node: Node) -> bool {
        self.leads.has(node) && elements(self.graph.shape(node)) > 0
    }

    /// Which inputs of a loop's body lead.
    pub(super) fn body_leads(&self, scan: Node) -> Vec<bool> {
        self.leads.body(scan).to_vec()
    }

    /// Adds to the adjoint of a node.
    pub(super) fn contribute(&mut self, node: Node, adjoint: Node) {
        if self.wants(node) {
            self.pending[node.index()].push(adjoint);
        }
    }

    /// A new input as the adjoint of a node.
    pub(super) fn seed(&mut self, node: Node, shape: &[usize]) -> Result<Node, GraphError> {
        let seed = self.graph.input(shape)?;
        self.contribute(node, seed);
        Ok(seed)
    }

    /// The adjoint after the sweep, maybe narrow; `None` where it is zero.
    pub(super) fn adjoint(&self, node: Node) -> Option<Node> {
        self.adjoints[node.index()]
    }

    /// From the last node to the first.
    pub(super) fn sweep(&mut self) -> Result<(), GraphError> {
        for index in (0..self.own).rev() {
            let node = Node(index as u32);
            if let Some(parts) = self.parts.remove(&node) {
                let parts = parts.into_iter().map(|p| self.total(p)).collect::<Result<Vec<_>, _>>()?;
                let data = self.graph.node(node).clone();
                self.graph.set_origin(&data.origin);
                if let Op::Scan(scan) = &data.op {
                    self.scan(node, scan, &data.inputs, &parts)?;
                }
            }
            let pending = std::mem::take(&mut self.pending[index]);
            if let Some(adjoint) = self.total(pending)? {
                self.adjoints[index] = Some(adjoint);
                let data = self.graph.node(node).clone();
                if data.inputs.iter().any(|input| self.leads.has(*input)) {
                    self.graph.set_origin(&data.origin);
                    self.rule(node, &data, adjoint)?;
                }
            }
        }
        Ok(())
    }

    fn total(&mut self, contributions: Vec<Node>) -> Result<Option<Node>, GraphError> {
        let mut terms: Vec<Node> = Vec::new();
        for new in contributions {
            let merged = terms.iter().enumerate().find_map(|(i, term)| Some((i, self.interleaved(*term, new)?)));
            match merged {
                Some((i, (inputs, map))) => {
                    let shape = self.graph.shape(new).to_vec();
                    terms[i] = self.graph.index(&inputs, &shape, map)?;
                }
                None => terms.push(new),
            }
        }
        let mut terms = terms.into_iter();
        let Some(mut sum) = terms.next() else { return Ok(None) };
        for term in terms {
            sum = self.graph.binary(Binary::Add, sum, term)?;
        }
        Ok(Some(sum))
    }

    /// The sum of two adjoints as one map, if both are maps that leave each other's places 0: slices put side by side again.
    fn interleaved(&self, a: Node, b: Node) -> Option<(Vec<Node>, IndexMap)> {
        if self.graph.shape(a) != self.graph.shape(b) {
            return None;
        }
        let ((mut inputs, first), (more, second)) = (self.map_of(a)?, self.map_of(b)?);
        let disjoint = |(a, b): (&u32, &u32)| *a == FILLED || *b == FILLED;
        if first.fill != 0.0 || second.fill != 0.0 || !first.picks.iter().zip(second.picks.iter()).all(disjoint) {
            return None;
        }
        let offset: usize = inputs.iter().map(|input| elements(self.graph.shape(*input))).sum();
        let behind = |pick: u32| if pick == FILLED { FILLED } else { pick + offset as u32 };
        let pick = |(a, b): (&u32, &u32)| if *a == FILLED { behind(*b) } else { *a };
        let picks = first.picks.iter().zip(second.picks.iter()).map(pick).collect();
        inputs.extend(more);
        Some((inputs, IndexMap { picks, fill: 0.0 }))
    }

    /// The map that makes an appended node, whatever its shape, and the nodes from which it picks.
    fn map_of(&self, x: Node) -> Option<(Vec<Node>, &IndexMap)> {
        let mut source = x;
        while let (Op::Reshape, [inner]) = (&self.graph.node(source).op, self.graph.node(source).inputs.as_slice()) {
            source = *inner;
        }
        match &self.graph.node(source).op {
            Op::Index(map) if !self.is_own(source) => Some((self.graph.node(source).inputs.clone(), map)),
            _ => None,
        }
    }

    fn rule(&mut self, node: Node, data: &NodeData, adjoint: Node) -> Result<(), GraphError> {
        match (&data.op, data.inputs.as_slice()) {
            (Op::Unary(function), [x]) => self.unary(*function, node, *x, adjoint),
            (Op::Binary(function), [a, b]) => self.binary(*function, node, [*a, *b], adjoint),
            (Op::MatMul, [a, b]) => self.matmul(*a, *b, adjoint),
            (Op::Conv(conv), [x, weights, bias @ ..]) => {
                self.conv(conv, node, *x, *weights, bias.first().copied(), adjoint)
            }
            (Op::Reduce { kind, axes }, [x]) => self.reduce(*kind, axes, node, *x, adjoint),
            (Op::Index(map), inputs) => self.index(map, &data.shape, inputs, adjoint),
            (Op::Reshape, [x]) => self.reshape(*x, &data.shape, adjoint),
            (Op::Part(part), [scan]) => {
                if let Op::Scan(inner) = &self.graph.node(*scan).op {
                    let count = inner.body.outputs().len();
                    self.parts.entry(*scan).or_insert_with(|| vec![Vec::new(); count])[*part].push(adjoint);
                }
                Ok(())
            }
            (Op::Input | Op::Constant(_) | Op::Scan(_), _) => Ok(()),
            (op, inputs) => err(format!("{op:?} with {} inputs", inputs.len())),
        }
    }

    /// Number of axes in front of a node's own: 1 with a seed axis, else 0.
    pub(super) fn front(&self) -> usize {
        usize::from(self.seeds.is_some())
    }

    /// A node's shape with the seed axis in front.
    pub(super) fn wide(&self, shape: &[usize]) -> Vec<usize> {
        self.seeds.into_iter().chain(shape.iter().copied()).collect()
    }

    /// Shape of an adjoint without the seed axis: where it is narrow, 1.
    pub(super) fn narrow(&self, adjoint: Node) -> Vec<usize> {
        self.graph.shape(adjoint)[self.front()..].to_vec()
    }

    /// A node of the graph with an axis of length 1 in front if there is a seed axis, so that it broadcasts along it.
    pub(super) fn lift(&mut self, value: Node) -> Result<Node, GraphError> {
        if self.seeds.is_none() {
            return Ok(value);
        }
        if let Some(lifted) = self.lifted.get(&value) {
            return Ok(*lifted);
        }
        let lifted = self.graph.with_rank(value, self.graph.shape(value).len() + 1)?;
        self.lifted.insert(value, lifted);
        Ok(lifted)
    }

    /// An adjoint times values of a node, element by element.
    pub(super) fn times(&mut self, adjoint: Node, values: Node) -> Result<Node, GraphError> {
        let values = self.lift(values)?;
        self.graph.binary(Binary::Multiply, adjoint, values)
    }

    /// An adjoint times a number.
    pub(super) fn scale(&mut self, adjoint: Node, factor: f32) -> Result<Node, GraphError> {
        if factor == 1.0 {
            return Ok(adjoint);
        }
        let factor = self.graph.scalar(factor)?;
        self.graph.binary(Binary::Multiply, adjoint, factor)
    }

    /// The adjoint of a node of this shape on which nothing depends.
    pub(super) fn zeros(&mut self, shape: &[usize]) -> Result<Node, GraphError> {
        let wide = self.wide(shape);
        check_size(&wide)?;
        self.graph.constant(&wide, vec![0.0; elements(&wide)])
    }

    /// An adjoint without narrow axes, for a node of this shape.
    pub(super) fn widen(&mut self, adjoint: Node, shape: &[usize]) -> Result<Node, GraphError> {
        let wide = self.wide(shape);
        self.graph.expand(adjoint, &wide)
    }

    /// Moves numbers of an adjoint; two moves in a row become one.
    pub(super) fn moved(&mut self, x: Node, shape: &[usize], map: IndexMap) -> Result<Node, GraphError> {
        if let Some((inputs, both)) = self.map_of(x).and_then(|(inputs, first)| Some((inputs, first.then(&map)?))) {
            return self.graph.index(&inputs, shape, both);
        }
        self.graph.index(&[x], shape, map)
    }

    /// Sums an adjoint that belongs to a shape over the axes on which `to`, of the same rank, has length 1: the adjoint of broadcasting.
    pub(super) fn sum_to(&mut self, adjoint: Node, from: &[usize], to: &[usize]) -> Result<Node, GraphError> {
        let own = self.narrow(adjoint);
        let (mut axes, mut repeats) = (Vec::new(), 1);
        for axis in (0..from.len()).filter(|axis| to[*axis] == 1 && from[*axis] > 1) {
            if own[axis] == 1 {
                repeats *= from[axis];
            } else {
                axes.push(axis + self.front());
            }
        }
        let sum = self.graph.reduce(ReduceKind::Sum, adjoint, &axes)?;
        self.scale(sum, repeats as f32)
    }
}
