//! Exact derivatives in forward mode: a graph that also outputs how all its outputs move with one input.
//!
//! A rollout has few moves and many outputs, and no output depends on a later move. So derivatives are carried forward with the values
//! (Griewank and Walther, "Evaluating Derivatives", 2nd ed. 2008, section 3.1), and at each step only for the moves that were made by then. A
//! graph with an operator that has no rule here is differentiated in reverse mode by the engine instead; both are exact.
//!
//! Words: a *tangent* of a node has the node's shape with an axis in front, one place per variable, from the first to the last one on which
//! the node may depend.

use flyball_engine::gradient::jacobian;
use flyball_engine::index::{FILLED, IndexMap, elements};
use flyball_engine::op::{NodeData, ReduceKind};
use flyball_engine::{Binary, Graph, GraphError, Node, Op, Unary};

/// The graph with one more output, the last: derivatives of output 0, [1, k], by input 0, [1, n], as [n, k].
///
/// # Errors
/// It is over a limit of the engine.
pub fn with_slopes(graph: &Graph) -> Result<Graph, GraphError> {
    match forward(graph)? {
        Some(derived) => Ok(derived),
        None => reverse(graph),
    }
}

/// As [`with_slopes`], by the engine's reverse mode.
///
/// # Errors
/// It is over a limit of the engine.
pub fn reverse(graph: &Graph) -> Result<Graph, GraphError> {
    let moves = graph.inputs()[0];
    let derived = jacobian(graph, &[moves], &[0])?;
    let (n, k) = (elements(graph.shape(moves)), elements(graph.shape(graph.outputs()[0])));
    let mut result = derived.clone();
    let by_output = result.reshape(derived.outputs()[1], &[k, n])?;
    let by_move = result.transpose(by_output, &[1, 0])?;
    result.output(by_move);
    Ok(result)
}

/// As [`with_slopes`]; none when an operator has no rule.
///
/// # Errors
/// It is over a limit of the engine.
pub fn forward(graph: &Graph) -> Result<Option<Graph>, GraphError> {
    let (moves, output) = (graph.inputs()[0], graph.outputs()[0]);
    let (n, k) = (elements(graph.shape(moves)), elements(graph.shape(output)));
    let mut sweep = Sweep { g: graph.clone(), tangents: vec![None; graph.nodes().len()] };
    let identity: Vec<f32> = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let identity = sweep.g.constant(&[n, 1, n], identity)?;
    sweep.tangents[moves.index()] = Some(Tangent { node: identity, width: n });
    for (place, data) in graph.nodes().iter().enumerate() {
        if place != moves.index() && data.inputs.iter().any(|i| sweep.tangents[i.index()].is_some()) {
            let Some(tangent) = sweep.rule(Node(place as u32), data)? else { return Ok(None) };
            sweep.tangents[place] = tangent;
        }
    }
    let slopes = match sweep.tangents[output.index()] {
        Some(tangent) => sweep.widened(tangent, n, graph.shape(output))?,
        None => sweep.g.constant(&[n, k], vec![0.0; n * k])?,
    };
    let slopes = sweep.g.reshape(slopes, &[n, k])?;
    sweep.g.output(slopes);
    Ok(Some(sweep.g))
}

#[derive(Debug, Clone, Copy)]
struct Tangent {
    node: Node,
    /// Length of its first axis.
    width: usize,
}

struct Sweep {
    g: Graph,
    tangents: Vec<Option<Tangent>>,
}

/// A tangent or certainly none; outside, whether there is a rule.
type Ruled = Result<Option<Option<Tangent>>, GraphError>;

impl Sweep {
    fn rule(&mut self, node: Node, data: &NodeData) -> Ruled {
        let x = &data.inputs;
        let t: Vec<Option<Tangent>> = x.iter().map(|i| self.tangents[i.index()]).collect();
        let made = match &data.op {
            Op::Unary(f) => t[0].map(|t| self.unary(*f, node, x[0], t)).transpose()?,
            Op::Binary(f) => return self.binary(*f, node, data, [t[0], t[1]]),
            Op::MatMul => Some(self.matmul(data, [t[0], t[1]])?),
            Op::Conv(conv) => match t[..] {
                [Some(t), None] | [Some(t), None, None] => {
                    let mut shape = self.g.shape(x[0]).to_vec();
                    shape[0] *= t.width;
                    let rows = self.g.reshape(t.node, &shape)?;
                    let slid = self.g.conv(rows, x[1], None, conv.clone())?;
                    Some(self.shaped(slid, t.width, &data.shape)?)
                }
                _ => return Ok(None),
            },
            Op::Reduce { kind: ReduceKind::Sum, axes } => {
                let axes: Vec<usize> = axes.iter().map(|a| a + 1).collect();
                let t = t[0].expect("the only input has one");
                Some(Tangent { node: self.g.reduce(ReduceKind::Sum, t.node, &axes)?, width: t.width })
            }
            Op::Index(map) => Some(self.index(map, data, &t)?),
            Op::Reshape => {
                let t = t[0].expect("the only input has one");
                Some(self.shaped(t.node, t.width, &data.shape)?)
            }
            Op::Input | Op::Constant(_) | Op::Reduce { .. } | Op::Scan(_) | Op::Part(_) => return Ok(None),
        };
        Ok(Some(made))
    }

    fn unary(&mut self, f: Unary, node: Node, x: Node, t: Tangent) -> Result<Tangent, GraphError> {
        let at = if f.slope_from_output() { node } else { x };
        Ok(Tangent { node: self.g.binary(Binary::Slope(f), t.node, at)?, width: t.width })
    }

    fn binary(&mut self, f: Binary, node: Node, data: &NodeData, t: [Option<Tangent>; 2]) -> Ruled {
        let (a, b) = (data.inputs[0], data.inputs[1]);
        // How the result moves with each side: a factor, or nothing for 1.
        let (by_a, by_b): (Option<Node>, Option<Node>) = match f {
            Binary::Add => (None, None),
            Binary::Subtract => (None, Some(self.g.scalar(-1.0)?)),
            Binary::Multiply => (Some(b), Some(a)),
            Binary::Divide => {
                let one = self.g.scalar(1.0)?;
                let inverse = self.g.binary(Binary::Divide, one, b)?;
                let share = self.g.binary(Binary::Multiply, node, inverse)?;
                (Some(inverse), Some(self.g.unary(Unary::Negate, share)?))
            }
            Binary::Minimum | Binary::Maximum => {
                let one = self.g.scalar(1.0)?;
                let (more, less) = if f == Binary::Maximum { (a, b) } else { (b, a) };
                let first = self.g.binary(Binary::Greater, more, less)?;
                (Some(first), Some(self.g.binary(Binary::Subtract, one, first)?))
            }
            Binary::PRelu if t[0].is_none() => {
                let zero = self.g.scalar(0.0)?;
                (None, Some(self.g.binary(Binary::Minimum, a, zero)?))
            }
            Binary::Greater | Binary::Equal => return Ok(Some(None)),
            Binary::PRelu | Binary::Power | Binary::Slope(_) => return Ok(None),
        };
        let mut parts: Vec<Tangent> = Vec::new();
        for (tangent, factor) in t.into_iter().zip([by_a, by_b]) {
            let Some(tangent) = tangent else { continue };
            let node = match factor {
                Some(factor) => self.g.binary(Binary::Multiply, tangent.node, factor)?,
                None => tangent.node,
            };
            parts.push(Tangent { node, width: tangent.width });
        }
        Ok(Some(Some(self.sum(&parts, &data.shape)?)))
    }

    fn matmul(&mut self, data: &NodeData, t: [Option<Tangent>; 2]) -> Result<Tangent, GraphError> {
        let (a, b) = (data.inputs[0], data.inputs[1]);
        let mut parts = Vec::new();
        if let Some(t) = t[0] {
            let (sa, sb) = (self.g.shape(a).to_vec(), self.g.shape(b).to_vec());
            let [k, n] = [sb[sb.len() - 2], sb[sb.len() - 1]];
            let node = if elements(&sb) == k * n {
                // One matrix for all: all rows of all variables in one product.
                let rows = self.g.reshape(t.node, &[t.width * elements(&sa) / k, k])?;
                let matrix = self.g.reshape(b, &[k, n])?;
                self.g.matmul(rows, matrix)?
            } else {
                self.g.matmul(t.node, b)?
            };
            parts.push(self.shaped(node, t.width, &data.shape)?);
        }
        if let Some(t) = t[1] {
            parts.push(Tangent { node: self.g.matmul(a, t.node)?, width: t.width });
        }
        self.sum(&parts, &data.shape)
    }

    fn index(&mut self, map: &IndexMap, data: &NodeData, t: &[Option<Tangent>]) -> Result<Tangent, GraphError> {
        // Place of each pick: its input, and where in it.
        let mut begins = vec![0];
        for input in &data.inputs {
            begins.push(begins[begins.len() - 1] + elements(self.g.shape(*input)));
        }
        let input_of = |pick: usize| begins.partition_point(|b| *b <= pick) - 1;
        let picked = map.picks.iter().filter(|p| **p != FILLED).map(|p| *p as usize);
        // A fed input has the tangent 1 of itself: what is picked of it says on which variables the result depends.
        let reach = |pick: usize| {
            let input = input_of(pick);
            match (&self.g.node(data.inputs[input]).op, t[input]) {
                (_, None) => 0,
                (Op::Input, Some(_)) => pick - begins[input] + 1,
                (_, Some(t)) => t.width,
            }
        };
        let width = picked.map(reach).max().unwrap_or(0).max(1);
        let sources: Vec<Node> = t.iter().flatten().map(|t| t.node).collect();
        let mut tangent_begins = Vec::with_capacity(t.len());
        let mut at = 0;
        for (input, tangent) in data.inputs.iter().zip(t) {
            tangent_begins.push(at);
            at += tangent.map_or(0, |t| t.width * elements(self.g.shape(*input)));
        }
        let mut picks = Vec::with_capacity(width * map.picks.len());
        for variable in 0..width {
            for pick in map.picks.iter() {
                if *pick == FILLED {
                    picks.push(FILLED);
                    continue;
                }
                let input = input_of(*pick as usize);
                let len = begins[input + 1] - begins[input];
                let inside = *pick as usize - begins[input];
                let place =
                    t[input].filter(|t| variable < t.width).map(|_| tangent_begins[input] + variable * len + inside);
                picks.push(place.map_or(FILLED, |p| p as u32));
            }
        }
        let shape: Vec<usize> = std::iter::once(width).chain(data.shape.iter().copied()).collect();
        let map = IndexMap { picks: picks.into(), fill: 0.0 };
        Ok(Tangent { node: self.g.index(&sources, &shape, map)?, width })
    }

    /// The sum of tangents, which may broadcast over the node's shape and have different widths.
    fn sum(&mut self, parts: &[Tangent], shape: &[usize]) -> Result<Tangent, GraphError> {
        let width = parts.iter().map(|t| t.width).max().unwrap_or(1);
        let mut total: Option<Node> = None;
        for part in parts {
            let node = self.widened(*part, width, shape)?;
            total = Some(match total {
                Some(sum) => self.g.binary(Binary::Add, sum, node)?,
                None => node,
            });
        }
        let node = total.ok_or_else(|| GraphError("a tangent of nothing".into()))?;
        Ok(Tangent { node, width })
    }

    /// A tangent in full shape, with zeros for the variables behind its own.
    fn widened(&mut self, t: Tangent, width: usize, shape: &[usize]) -> Result<Node, GraphError> {
        let full: Vec<usize> = std::iter::once(t.width).chain(shape.iter().copied()).collect();
        let node = self.g.expand(t.node, &full)?;
        let mut pads = vec![(0, 0); full.len()];
        pads[0].1 = width - t.width;
        if t.width == width { Ok(node) } else { self.g.pad(node, &pads, 0.0) }
    }

    fn shaped(&mut self, node: Node, width: usize, shape: &[usize]) -> Result<Tangent, GraphError> {
        let full: Vec<usize> = std::iter::once(width).chain(shape.iter().copied()).collect();
        Ok(Tangent { node: self.g.reshape(node, &full)?, width })
    }
}
