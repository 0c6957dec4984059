//! Weights as inputs: what training changes must not be constant.

use std::sync::Arc;

use crate::copy::read_by;
use crate::graph::{Graph, GraphError, Node};
use crate::op::{NodeData, Op, Scan};

/// Weights that have become an input.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The input of the new graph.
    pub node: Node,
    /// Shape of that input.
    pub shape: Vec<usize>,
    /// The numbers that the constant held, row-major.
    pub data: Arc<[f32]>,
    /// Name of the file's node that they came from.
    pub origin: Arc<str>,
}

/// The same graph with chosen constants turned into inputs behind its own, in order of first use, and what they held.
///
/// `choose` is asked about every constant that an output depends on, with the graph that holds it. Constants inside a loop's body are asked about
/// with the body; they become inputs that stay. Constants that share their numbers are one parameter as soon as one of them is chosen, also under
/// different shapes. Nodes that nothing reads are left out.
///
/// # Errors
/// The new graph is over a limit.
pub fn with_parameters(
    graph: &Graph,
    choose: impl Fn(&Graph, Node) -> bool,
) -> Result<(Graph, Vec<Parameter>), GraphError> {
    let mut chosen = Vec::new();
    collect(graph, &choose, &mut chosen);
    let (result, used) = lift(graph, &chosen)?;
    let first = graph.inputs().len();
    let parameter = |(i, used): (usize, &usize)| {
        let NodeData { op: Op::Constant(data), shape, origin, .. } = chosen[*used].clone() else { return None };
        Some(Parameter { node: result.inputs()[first + i], shape, data, origin })
    };
    let parameters = used.iter().enumerate().filter_map(parameter).collect();
    Ok((result, parameters))
}

/// Chosen constants in order of first use, bodies included, each kind of numbers once.
fn collect(graph: &Graph, choose: &impl Fn(&Graph, Node) -> bool, chosen: &mut Vec<NodeData>) {
    let read = read_by(graph, graph.outputs());
    for (index, data) in graph.nodes().iter().enumerate().filter(|(index, _)| read[*index]) {
        match &data.op {
            Op::Constant(_) if place(chosen, data).is_none() && choose(graph, Node(index as u32)) => {
                chosen.push(data.clone());
            }
            Op::Scan(scan) => collect(&scan.body, choose, chosen),
            _ => {}
        }
    }
}

/// Place of the chosen constant that shares its numbers with this node.
fn place(chosen: &[NodeData], node: &NodeData) -> Option<usize> {
    let Op::Constant(data) = &node.op else { return None };
    chosen.iter().position(|other| matches!(&other.op, Op::Constant(numbers) if Arc::ptr_eq(numbers, data)))
}

/// The graph with inputs for the chosen constants that it or its bodies use, and which those are, ascending.
fn lift(graph: &Graph, chosen: &[NodeData]) -> Result<(Graph, Vec<usize>), GraphError> {
    let read = read_by(graph, graph.outputs());
    let mut used: Vec<usize> = Vec::new();
    // Bodies of this graph's loops in order, with what they use.
    let mut bodies = Vec::new();
    for (_, data) in graph.nodes().iter().enumerate().filter(|(index, _)| read[*index]) {
        used.extend(place(chosen, data));
        if let Op::Scan(scan) = &data.op {
            let (body, inner) = lift(&scan.body, chosen)?;
            used.extend(&inner);
            bodies.push((body, inner));
        }
    }
    used.sort_unstable();
    used.dedup();

    let mut result = Graph::new();
    let mut copies: Vec<Option<Node>> = vec![None; graph.nodes().len()];
    for input in graph.inputs() {
        copies[input.index()] = Some(result.append(graph.node(*input).clone())?);
    }
    let mut parameters: Vec<Option<Node>> = vec![None; chosen.len()];
    for i in &used {
        let NodeData { shape, origin, .. } = chosen[*i].clone();
        parameters[*i] = Some(result.append(NodeData { op: Op::Input, inputs: Vec::new(), shape, origin })?);
    }
    let parameter = |i: usize| parameters[i].expect("an input was made for everything used");
    let mut bodies = bodies.into_iter();
    for (index, data) in graph.nodes().iter().enumerate() {
        if !read[index] || matches!(data.op, Op::Input) {
            continue;
        }
        let copy = |node: &Node| copies[node.index()].expect("what is read stands earlier and is read too");
        let mut inputs: Vec<Node> = data.inputs.iter().map(copy).collect();
        copies[index] = Some(match &data.op {
            Op::Constant(_) if let Some(i) = place(chosen, data) => result.reshape(parameter(i), &data.shape)?,
            Op::Scan(scan) => {
                let (body, inner) = bodies.next().expect("one per loop");
                inputs.extend(inner.into_iter().map(parameter));
                let op = Op::Scan(Scan { body: Arc::new(body), ..scan.clone() });
                result.append(NodeData { op, inputs, ..data.clone() })?
            }
            _ => result.append(NodeData { inputs, ..data.clone() })?,
        });
    }
    for output in graph.outputs() {
        result.output(copies[output.index()].expect("outputs are read"));
    }
    Ok((result, used))
}
