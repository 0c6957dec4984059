//! The last pass: drops nodes that nothing needs and folds scales and shifts of channels into the weights before them.
//!
//! So batch normalisation after a convolution or a dense layer costs nothing. What stands before a layer (scaling of inputs) is not folded:
//! subtracting a mean first loses fewer digits than a large bias.

use std::collections::HashMap;
use std::sync::Arc;

use flyball_engine::{Binary, Graph, GraphError, Node, Op};

/// Which nodes the outputs need.
pub(crate) fn used(graph: &Graph) -> Vec<bool> {
    let mut used = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        used[output.index()] = true;
    }
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if used[i] {
            node.inputs.iter().for_each(|input| used[input.index()] = true);
        }
    }
    used
}

/// Inputs of a graph that are constant where it stands.
pub(crate) type Known = HashMap<Node, Arc<[f32]>>;

/// The graph with these inputs, in this order, and without what nothing needs; inputs in `known` become constants.
pub(crate) fn simplify(graph: &Graph, inputs: &[Node], known: &Known) -> Result<Graph, GraphError> {
    let folded = rebuild(graph, inputs, known)?;
    // Folding leaves the unscaled layers behind.
    let order = folded.inputs().to_vec();
    rebuild(&folded, &order, &Known::new())
}

fn rebuild(graph: &Graph, inputs: &[Node], known: &Known) -> Result<Graph, GraphError> {
    let used = used(graph);
    let mut uses = vec![0_usize; graph.nodes().len()];
    for (i, node) in graph.nodes().iter().enumerate() {
        if used[i] {
            node.inputs.iter().for_each(|input| uses[input.index()] += 1);
        }
    }
    graph.outputs().iter().for_each(|output| uses[output.index()] += 1);
    let mut new = Graph::new();
    let mut map: HashMap<Node, Node> = HashMap::new();
    for input in inputs {
        new.set_origin(&graph.node(*input).origin);
        map.insert(*input, new.input(graph.shape(*input))?);
    }
    let mut parts: HashMap<Node, Vec<Node>> = HashMap::new();
    for (i, data) in graph.nodes().iter().enumerate() {
        let old = Node(i as u32);
        if !used[i] || map.contains_key(&old) {
            continue;
        }
        new.set_origin(&data.origin);
        let fed: Vec<Node> = data.inputs.iter().filter_map(|input| map.get(input).copied()).collect();
        let shape = &data.shape;
        let made = match &data.op {
            Op::Input => match known.get(&old) {
                Some(numbers) => new.constant(shape, Arc::clone(numbers))?,
                None => return Err(GraphError("a needed input is not among the inputs".to_owned())),
            },
            Op::Constant(numbers) => new.constant(shape, Arc::clone(numbers))?,
            Op::Unary(function) => new.unary(*function, fed[0])?,
            Op::Binary(function) => {
                let once = |side: usize| uses[data.inputs[side].index()] == 1;
                match fold(&mut new, *function, fed[0], fed[1], [once(0), once(1)])? {
                    Some(folded) => folded,
                    None => new.binary(*function, fed[0], fed[1])?,
                }
            }
            Op::MatMul => new.matmul(fed[0], fed[1])?,
            Op::Conv(conv) => new.conv(fed[0], fed[1], fed.get(2).copied(), conv.clone())?,
            Op::Reduce { kind, axes } => new.reduce(*kind, fed[0], axes)?,
            Op::Index(map) => new.index(&fed, shape, map.clone())?,
            Op::Reshape => new.reshape(fed[0], shape)?,
            Op::Scan(scan) => {
                let (states, rest) = fed.split_at(scan.states);
                let (scanned, fixed) = rest.split_at(scan.scanned);
                let made = new.scan(Arc::clone(&scan.body), scan.trips, states, scanned, fixed)?;
                parts.insert(old, made);
                continue;
            }
            Op::Part(part) => parts[&data.inputs[0]][*part],
        };
        map.insert(old, made);
    }
    for output in graph.outputs() {
        new.output(map[output]);
    }
    Ok(new)
}

/// `function` of two new nodes, if one is a constant per channel and the other a layer that nothing else needs (`once`).
fn fold(
    graph: &mut Graph,
    function: Binary,
    left: Node,
    right: Node,
    once: [bool; 2],
) -> Result<Option<Node>, GraphError> {
    let (layer, constant, once, constant_right) = match (graph.constant_data(left), graph.constant_data(right)) {
        (None, Some(_)) => (left, right, once[0], true),
        (Some(_), None) => (right, left, once[1], false),
        _ => return Ok(None),
    };
    let commutes = matches!(function, Binary::Add | Binary::Multiply);
    if !once || !(commutes || constant_right) || graph.shape(layer).len() < graph.shape(constant).len() {
        return Ok(None);
    }
    let data = graph.node(layer).clone();
    match &data.op {
        Op::Conv(conv) => {
            let channels = data.shape[1];
            let Some(numbers) = per_axis(graph, constant, data.shape.len(), 1, channels) else { return Ok(None) };
            let Some(weights) = graph.constant_data(data.inputs[1]).cloned() else { return Ok(None) };
            let bias = match data.inputs.get(2) {
                None => vec![0.0; channels],
                Some(bias) => match graph.constant_data(*bias) {
                    Some(bias) => bias.to_vec(),
                    None => return Ok(None),
                },
            };
            let shape = graph.shape(data.inputs[1]).to_vec();
            let per_channel = weights.len() / channels.max(1);
            let (weights, bias) = match function {
                Binary::Multiply | Binary::Divide => (
                    weights.iter().enumerate().map(|(i, w)| scale(function, *w, numbers[i / per_channel])).collect(),
                    bias.iter().zip(&numbers).map(|(b, c)| scale(function, *b, *c)).collect::<Vec<_>>(),
                ),
                Binary::Add | Binary::Subtract => {
                    (weights.to_vec(), bias.iter().zip(&numbers).map(|(b, c)| scale(function, *b, *c)).collect())
                }
                _ => return Ok(None),
            };
            let weights: Vec<f32> = weights;
            let weights = graph.constant(&shape, weights)?;
            let bias = graph.constant(&[channels], bias)?;
            graph.conv(data.inputs[0], weights, Some(bias), conv.clone()).map(Some)
        }
        Op::MatMul if matches!(function, Binary::Multiply | Binary::Divide) => {
            let last = data.shape.len() - 1;
            let columns = data.shape[last];
            let Some(numbers) = per_axis(graph, constant, data.shape.len(), last, columns) else { return Ok(None) };
            let Some(weights) = graph.constant_data(data.inputs[1]).cloned() else { return Ok(None) };
            let shape = graph.shape(data.inputs[1]).to_vec();
            let scaled: Vec<f32> =
                weights.iter().enumerate().map(|(i, w)| scale(function, *w, numbers[i % columns])).collect();
            let weights = graph.constant(&shape, scaled)?;
            graph.matmul(data.inputs[0], weights).map(Some)
        }
        // A layer's bias: (y + b) c = y c + b c, and (y + b) + c = y + (b + c).
        Op::Binary(Binary::Add) => {
            let (a, b) = (data.inputs[0], data.inputs[1]);
            let (product, bias) = match (graph.constant_data(a), graph.constant_data(b)) {
                (None, Some(_)) => (a, b),
                (Some(_), None) => (b, a),
                _ => return Ok(None),
            };
            if !matches!(graph.node(product).op, Op::MatMul) || graph.shape(product) != data.shape {
                return Ok(None);
            }
            let bias = graph.binary(function, bias, constant)?;
            let product = match function {
                Binary::Multiply | Binary::Divide => match fold(graph, function, product, constant, [true, false])? {
                    Some(product) => product,
                    None => return Ok(None),
                },
                Binary::Add | Binary::Subtract => product,
                _ => return Ok(None),
            };
            graph.binary(Binary::Add, product, bias).map(Some)
        }
        _ => Ok(None),
    }
}

fn scale(function: Binary, a: f32, b: f32) -> f32 {
    function.value(f64::from(a), f64::from(b)) as f32
}

/// The numbers of a constant that differ along one axis of a tensor of this rank only.
fn per_axis(graph: &Graph, constant: Node, rank: usize, axis: usize, length: usize) -> Option<Vec<f32>> {
    let numbers = graph.constant_data(constant)?;
    let own = graph.shape(constant);
    let missing = rank.checked_sub(own.len())?;
    let alone = own.iter().enumerate().all(|(i, dim)| *dim == 1 || i + missing == axis);
    match numbers.len() {
        1 => Some(vec![numbers[0]; length]),
        n if alone && n == length => Some(numbers.to_vec()),
        _ => None,
    }
}
