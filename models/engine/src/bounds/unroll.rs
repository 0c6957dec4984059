//! Loops written out trip by trip, so that linear relaxation can look through them.
//!
//! States and slices that are constants become inputs of zero width: as constants they would be folded, and a folded number is more
//! exact than what a program computes in its loop.

use crate::graph::{Graph, GraphError, Node};
use crate::op::{Op, Scan};

/// Nodes of the graph that is written out at most.
const NODES_MAX: usize = 20_000;

struct Writer {
    graph: Graph,
    /// Numbers of the inputs that stand for constants.
    extra: Vec<f32>,
}

/// The graph without loops, and the numbers of the inputs that were added behind its own. Nothing if it has no loops, if it would be
/// too large, or if folding would change a number.
pub fn unroll(graph: &Graph) -> Option<(Graph, Vec<f32>)> {
    if !graph.nodes().iter().any(|n| matches!(n.op, Op::Scan(_))) || size(graph) > NODES_MAX {
        return None;
    }
    let mut writer = Writer { graph: Graph::new(), extra: Vec::new() };
    // The graph's own inputs come first, so that added ones stand behind them.
    let inputs: Option<Vec<Node>> = graph.inputs().iter().map(|i| writer.graph.input(graph.shape(*i)).ok()).collect();
    let outputs = writer.write(graph, &inputs?)?;
    outputs.into_iter().for_each(|o| writer.graph.output(o));
    Some((writer.graph, writer.extra))
}

fn size(graph: &Graph) -> usize {
    let of = |op: &Op| match op {
        Op::Scan(scan) => size(&scan.body).saturating_add(8).saturating_mul(scan.trips),
        _ => 1,
    };
    graph.nodes().iter().fold(0_usize, |all, n| all.saturating_add(of(&n.op)))
}

impl Writer {
    /// Copies a graph whose inputs are these nodes; returns its outputs.
    fn write(&mut self, from: &Graph, inputs: &[Node]) -> Option<Vec<Node>> {
        let mut copies: Vec<Vec<Node>> = Vec::with_capacity(from.nodes().len());
        let mut inputs = inputs.iter();
        for data in from.nodes() {
            let read: Vec<Node> = match &data.op {
                Op::Part(_) => Vec::new(),
                _ => data.inputs.iter().map(|n| copies[n.index()][0]).collect(),
            };
            self.graph.set_origin(&data.origin);
            let copy = match &data.op {
                Op::Input => vec![*inputs.next()?],
                Op::Part(i) => vec![copies[data.inputs[0].index()][*i]],
                Op::Scan(scan) => self.trips(scan, &read)?,
                Op::Constant(numbers) => vec![self.graph.constant(&data.shape, numbers.clone()).ok()?],
                op => {
                    let copy = self.node(op, &read, &data.shape).ok()?;
                    if matches!(self.graph.node(copy).op, Op::Constant(_)) {
                        return None;
                    }
                    vec![copy]
                }
            };
            copies.push(copy);
        }
        Some(from.outputs().iter().map(|o| copies[o.index()][0]).collect())
    }

    fn node(&mut self, op: &Op, read: &[Node], shape: &[usize]) -> Result<Node, GraphError> {
        let g = &mut self.graph;
        match op {
            Op::Unary(f) => g.unary(*f, read[0]),
            Op::Binary(f) => g.binary(*f, read[0], read[1]),
            Op::MatMul => g.matmul(read[0], read[1]),
            Op::Conv(conv) => g.conv(read[0], read[1], read.get(2).copied(), conv.clone()),
            Op::Reduce { kind, axes } => g.reduce(*kind, read[0], axes),
            Op::Index(map) => g.index(read, shape, map.clone()),
            Op::Reshape => g.reshape(read[0], shape),
            Op::Input | Op::Constant(_) | Op::Scan(_) | Op::Part(_) => unreachable!("handled by the caller"),
        }
    }

    /// All trips of a loop; returns its results in the order of its parts.
    fn trips(&mut self, scan: &Scan, read: &[Node]) -> Option<Vec<Node>> {
        let (states, rest) = read.split_at(scan.states);
        let (scanned, fixed) = rest.split_at(scan.scanned);
        let mut states: Vec<Node> = states.iter().map(|s| self.variable(*s)).collect::<Option<_>>()?;
        let scanned: Vec<Node> = scanned.iter().map(|s| self.variable(*s)).collect::<Option<_>>()?;
        let mut stacked: Vec<Vec<Node>> = vec![Vec::new(); scan.body.outputs().len() - scan.states];
        for trip in 0..scan.trips {
            let mut inputs = states.clone();
            for (slice, inner) in scanned.iter().zip(&scan.body.inputs()[scan.states..]) {
                let slice = self.graph.slice(*slice, 0, trip, trip + 1).ok()?;
                inputs.push(self.graph.reshape(slice, scan.body.shape(*inner)).ok()?);
            }
            inputs.extend(fixed);
            let mut outputs = self.write(&scan.body, &inputs)?;
            let made = outputs.split_off(scan.states);
            stacked.iter_mut().zip(made).for_each(|(all, new)| all.push(new));
            states = outputs;
        }
        for (all, output) in stacked.into_iter().zip(&scan.body.outputs()[scan.states..]) {
            let own = scan.body.shape(*output);
            let with_trips =
                |trips: usize| -> Vec<usize> { std::iter::once(trips).chain(own.iter().copied()).collect() };
            let slices: Result<Vec<Node>, GraphError> =
                all.into_iter().map(|n| self.graph.reshape(n, &with_trips(1))).collect();
            states.push(self.graph.concat(&slices.ok()?, 0).ok()?);
        }
        Some(states)
    }

    /// The node itself, or an input of zero width in place of a constant.
    fn variable(&mut self, node: Node) -> Option<Node> {
        let Some(numbers) = self.graph.constant_data(node).cloned() else { return Some(node) };
        let shape = self.graph.shape(node).to_vec();
        self.extra.extend(numbers.iter());
        self.graph.input(&shape).ok()
    }
}
