//! Copies of one graph inside another: the step of a model, written once per step of the horizon, with its weights shared.

use std::sync::Arc;

use flyball_engine::op::{NodeData, Scan};
use flyball_engine::{Graph, GraphError, Node, Op};

/// A graph to be copied many times into one target. Loops of one trip, which is what a recurrent cell becomes when it runs one step at a
/// time, are written out.
pub(super) struct Template {
    graph: Graph,
    /// Where the target holds each constant, so that weights are packed once.
    constants: Vec<Option<Node>>,
}

impl Template {
    pub(super) fn new(graph: &Graph) -> Result<Self, GraphError> {
        let mut flat = Graph::new();
        let inputs: Result<Vec<Node>, GraphError> =
            graph.inputs().iter().map(|i| flat.input(graph.shape(*i))).collect();
        let outputs = write(&mut flat, graph, &inputs?, &mut [])?;
        outputs.into_iter().for_each(|o| flat.output(o));
        let constants = vec![None; flat.nodes().len()];
        Ok(Self { graph: flat, constants })
    }

    /// One more copy, whose inputs are these nodes of the target; returns its outputs. All copies go into the same target.
    pub(super) fn copy(&mut self, target: &mut Graph, inputs: &[Node]) -> Result<Vec<Node>, GraphError> {
        write(target, &self.graph, inputs, &mut self.constants)
    }
}

/// Writes `from` into `target`. `constants` is empty, or has one place per node.
fn write(
    target: &mut Graph,
    from: &Graph,
    inputs: &[Node],
    constants: &mut [Option<Node>],
) -> Result<Vec<Node>, GraphError> {
    let mut copies: Vec<Vec<Node>> = Vec::with_capacity(from.nodes().len());
    let mut inputs = inputs.iter();
    for (place, data) in from.nodes().iter().enumerate() {
        target.set_origin(&data.origin);
        let copy = match &data.op {
            Op::Input => vec![*inputs.next().ok_or_else(|| GraphError("a copy has too few inputs".into()))?],
            Op::Constant(numbers) => match constants.get(place).copied().flatten() {
                Some(shared) => vec![shared],
                None => {
                    let made = target.constant(&data.shape, Arc::clone(numbers))?;
                    if let Some(kept) = constants.get_mut(place) {
                        *kept = Some(made);
                    }
                    vec![made]
                }
            },
            Op::Part(result) => vec![copies[data.inputs[0].index()][*result]],
            Op::Scan(scan) => {
                let read: Vec<Node> = data.inputs.iter().map(|n| copies[n.index()][0]).collect();
                one_loop(target, scan, &read)?
            }
            _ => {
                let read: Vec<Node> = data.inputs.iter().map(|n| copies[n.index()][0]).collect();
                vec![node(target, data, &read)?]
            }
        };
        copies.push(copy);
    }
    Ok(from.outputs().iter().map(|o| copies[o.index()][0]).collect())
}

fn node(g: &mut Graph, data: &NodeData, read: &[Node]) -> Result<Node, GraphError> {
    match &data.op {
        Op::Unary(f) => g.unary(*f, read[0]),
        Op::Binary(f) => g.binary(*f, read[0], read[1]),
        Op::MatMul => g.matmul(read[0], read[1]),
        Op::Conv(conv) => g.conv(read[0], read[1], read.get(2).copied(), conv.clone()),
        Op::Reduce { kind, axes } => g.reduce(*kind, read[0], axes),
        Op::Index(map) => g.index(read, &data.shape, map.clone()),
        Op::Reshape => g.reshape(read[0], &data.shape),
        Op::Input | Op::Constant(_) | Op::Scan(_) | Op::Part(_) => Err(GraphError("written by the caller".into())),
    }
}

/// A loop; returns its results in the order of its parts.
fn one_loop(target: &mut Graph, scan: &Scan, read: &[Node]) -> Result<Vec<Node>, GraphError> {
    let (states, rest) = read.split_at(scan.states);
    let (scanned, fixed) = rest.split_at(scan.scanned);
    if scan.trips != 1 {
        return target.scan(Arc::clone(&scan.body), scan.trips, states, scanned, fixed);
    }
    let mut inputs = states.to_vec();
    for (slice, inner) in scanned.iter().zip(&scan.body.inputs()[scan.states..]) {
        inputs.push(target.reshape(*slice, scan.body.shape(*inner))?);
    }
    inputs.extend(fixed);
    let mut results = write(target, &scan.body, &inputs, &mut [])?;
    for (result, output) in results.iter_mut().zip(scan.body.outputs()).skip(scan.states) {
        let stacked: Vec<usize> = std::iter::once(1).chain(scan.body.shape(*output).iter().copied()).collect();
        *result = target.reshape(*result, &stacked)?;
    }
    Ok(results)
}
