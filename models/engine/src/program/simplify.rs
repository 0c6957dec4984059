//! Rewrites a graph into the forms that the kernels have, and drops what no output needs.
//!
//! * A product with its constant on the left is transposed, so that weights stand on the right and lanes lie across outputs.
//! * A convolution that the sliding kernel cannot do (steps, few positions) becomes gather, product, transpose: the same terms in the same
//!   order. Padding becomes a move in front of it.
//! * Moves of moves become one move. A reduction over scattered axes gets a transpose in front.

use std::sync::Arc;

use crate::graph::{Graph, GraphError, Node};
use crate::index::{FILLED, IndexMap, elements, place, strides};
use crate::kernel::LANES;
use crate::op::{Binary, Conv, Op};

/// The same computation in kernel forms. The result's inputs and outputs are the same in number, order and shape.
///
/// # Errors
/// A rewritten tensor is over a limit of the graph.
pub(crate) fn simplify(graph: &Graph) -> Result<Graph, GraphError> {
    let mut rewriter = Rewriter { old: graph, uses: uses(graph), new: Graph::new(), map: Vec::new() };
    for (i, node) in graph.nodes().iter().enumerate() {
        rewriter.new.set_origin(&node.origin);
        let needed = rewriter.uses[i] > 0 || matches!(node.op, Op::Input);
        let made = if needed { Some(rewriter.node(i)?) } else { None };
        rewriter.map.push(made.unwrap_or(Node(u32::MAX)));
    }
    let Rewriter { mut new, map, .. } = rewriter;
    for output in graph.outputs() {
        new.output(map[output.index()]);
    }
    Ok(new)
}

/// How often each node is read by a node that an output needs, or is an output.
pub(crate) fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes().len()];
    for output in graph.outputs() {
        uses[output.index()] += 1;
    }
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if uses[i] > 0 {
            for input in &node.inputs {
                uses[input.index()] += 1;
            }
        }
    }
    uses
}

struct Rewriter<'a> {
    old: &'a Graph,
    uses: Vec<usize>,
    new: Graph,
    /// New node of each old one.
    map: Vec<Node>,
}

impl Rewriter<'_> {
    fn node(&mut self, i: usize) -> Result<Node, GraphError> {
        let node = &self.old.nodes()[i];
        let inputs: Vec<Node> = node.inputs.iter().map(|n| self.map[n.index()]).collect();
        match &node.op {
            Op::Input => self.new.input(&node.shape),
            Op::Constant(data) => self.new.constant(&node.shape, Arc::clone(data)),
            Op::Unary(f) => self.new.unary(*f, inputs[0]),
            Op::Binary(f) => self.new.binary(*f, inputs[0], inputs[1]),
            Op::MatMul => self.matmul(inputs[0], inputs[1]),
            Op::Conv(conv) => self.conv(conv, inputs[0], inputs[1], inputs.get(2).copied()),
            Op::Reduce { kind, axes } => self.reduce(*kind, axes, inputs[0]),
            Op::Index(map) => self.index(&inputs, &node.shape, map),
            Op::Reshape => self.new.reshape(inputs[0], &node.shape),
            Op::Scan(scan) => {
                let body = Arc::new(simplify(&scan.body)?);
                let (states, rest) = inputs.split_at(scan.states);
                let (scanned, fixed) = rest.split_at(scan.scanned);
                // Parts follow the scan in the new graph: part 0 is the node that stands for the scan.
                let parts = self.new.scan(body, scan.trips, states, scanned, fixed)?;
                Ok(parts[0])
            }
            Op::Part(k) => Ok(Node(inputs[0].0 + *k as u32)),
        }
    }

    fn matmul(&mut self, a: Node, b: Node) -> Result<Node, GraphError> {
        let constant_left = self.new.constant_data(a).is_some() && self.new.constant_data(b).is_none();
        if !constant_left {
            return self.new.matmul(a, b);
        }
        let (a, b) = (self.swap_last(a)?, self.swap_last(b)?);
        let product = self.new.matmul(b, a)?;
        self.swap_last(product)
    }

    fn swap_last(&mut self, x: Node) -> Result<Node, GraphError> {
        let rank = self.new.shape(x).len();
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        self.new.transpose(x, &order)
    }

    fn reduce(&mut self, kind: crate::op::ReduceKind, axes: &[usize], x: Node) -> Result<Node, GraphError> {
        if axes.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return self.new.reduce(kind, x, axes);
        }
        let shape = self.new.shape(x).to_vec();
        let kept: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
        let order: Vec<usize> = kept.iter().chain(axes).copied().collect();
        let moved = self.new.transpose(x, &order)?;
        let last: Vec<usize> = (kept.len()..shape.len()).collect();
        let reduced = self.new.reduce(kind, moved, &last)?;
        let result: Vec<usize> = (0..shape.len()).map(|a| if axes.contains(&a) { 1 } else { shape[a] }).collect();
        self.new.reshape(reduced, &result)
    }

    /// Moves of moves become one.
    fn index(&mut self, inputs: &[Node], shape: &[usize], map: &IndexMap) -> Result<Node, GraphError> {
        let (mut sources, mut lists, mut fill) = (Vec::new(), Vec::new(), None);
        let mut begin = 0_usize;
        if map.picks.contains(&FILLED) {
            fill = Some(map.fill);
        }
        for input in inputs {
            let mut seen = *input;
            while matches!(self.new.node(seen).op, Op::Reshape) {
                seen = self.new.node(seen).inputs[0];
            }
            let inner = match &self.new.node(seen).op {
                Op::Index(inner) => {
                    let fills = inner.picks.contains(&FILLED);
                    let alike = !fills || fill.is_none_or(|f: f32| f.to_bits() == inner.fill.to_bits());
                    if fills && alike {
                        fill = Some(inner.fill);
                    }
                    alike.then(|| inner.clone())
                }
                _ => None,
            };
            match inner {
                Some(inner) => {
                    let shifted = |p: &u32| if *p == FILLED { FILLED } else { p + begin as u32 };
                    lists.extend(inner.picks.iter().map(shifted));
                    let own = self.new.node(seen).inputs.clone();
                    begin += own.iter().map(|n| elements(self.new.shape(*n))).sum::<usize>();
                    sources.extend(own);
                }
                None => {
                    let n = elements(self.new.shape(seen));
                    lists.extend(begin as u32..(begin + n) as u32);
                    begin += n;
                    sources.push(seen);
                }
            }
        }
        let picks = map.picks.iter().map(|p| if *p == FILLED { FILLED } else { lists[*p as usize] }).collect();
        self.new.index(&sources, shape, IndexMap { picks, fill: fill.unwrap_or(0.0) })
    }

    fn conv(&mut self, conv: &Conv, x: Node, weights: Node, bias: Option<Node>) -> Result<Node, GraphError> {
        let spatial = conv.strides.len();
        let constant =
            self.new.constant_data(weights).is_some() && bias.is_none_or(|b| self.new.constant_data(b).is_some());
        let mut x = x;
        if conv.pads.iter().any(|p| *p != (0, 0)) {
            let pads: Vec<(usize, usize)> = [(0, 0); 2].into_iter().chain(conv.pads.iter().copied()).collect();
            let padded = self.new.pad(x, &pads, 0.0)?;
            let (inputs, map) = match &self.new.node(padded).op {
                Op::Index(map) => (self.new.node(padded).inputs.clone(), map.clone()),
                _ => (Vec::new(), IndexMap { picks: [].into(), fill: 0.0 }),
            };
            let shape = self.new.shape(padded).to_vec();
            x = if inputs.is_empty() { padded } else { self.index(&inputs, &shape, &map)? };
        }
        let plain = Conv { pads: vec![(0, 0); spatial], ..conv.clone() };
        let (sx, sw) = (self.new.shape(x).to_vec(), self.new.shape(weights).to_vec());
        let reach = (sw[1 + spatial] - 1) * conv.dilations[spatial - 1];
        let positions = (sx[1 + spatial] - reach - 1) / conv.strides[spatial - 1] + 1;
        if constant && conv.strides[spatial - 1] == 1 && positions >= LANES {
            return self.new.conv(x, weights, bias, plain);
        }
        self.gathered(&plain, x, weights, bias)
    }

    /// Gather [samples, groups, positions, terms], product with [groups, terms, channels], transpose.
    fn gathered(&mut self, conv: &Conv, x: Node, weights: Node, bias: Option<Node>) -> Result<Node, GraphError> {
        let (sx, sw) = (self.new.shape(x).to_vec(), self.new.shape(weights).to_vec());
        let spatial = conv.strides.len();
        let (inside, channels) = (sw[1], sw[0] / conv.groups);
        let out: Vec<usize> =
            (0..spatial).map(|a| (sx[2 + a] - (sw[2 + a] - 1) * conv.dilations[a] - 1) / conv.strides[a] + 1).collect();
        let (from, taps) = (strides(&sx), elements(&sw[2..]));
        let (tap_strides, out_strides) = (strides(&sw[2..]), strides(&out));
        let (positions, terms) = (elements(&out), inside * taps);
        let columns = IndexMap::from_fn(&[sx[0], conv.groups, positions, terms], 0.0, |at| {
            let channel = at[1] * inside + at[3] / taps;
            let mut source = at[0] * from[0] + channel * from[1];
            for axis in 0..spatial {
                let position = at[2] / out_strides[axis] % out[axis];
                let tap = at[3] % taps / tap_strides[axis] % sw[2 + axis];
                source += (position * conv.strides[axis] + tap * conv.dilations[axis]) * from[2 + axis];
            }
            Some(source)
        });
        let columns = self.index(&[x], &[sx[0], conv.groups, positions, terms], &columns)?;
        let own = strides(&sw);
        let right = IndexMap::from_fn(&[1, conv.groups, terms, channels], 0.0, |at| {
            Some(place(&[at[1] * channels + at[3]], &own[..1]) + at[2])
        });
        let right = self.new.index(&[weights], &[1, conv.groups, terms, channels], right)?;
        let product = if conv.groups == 1 {
            let columns = self.new.reshape(columns, &[sx[0], positions, terms])?;
            let right = self.new.reshape(right, &[terms, channels])?;
            let product = self.new.matmul(columns, right)?;
            let sum = match bias {
                Some(bias) => self.new.binary(Binary::Add, product, bias)?,
                None => product,
            };
            self.new.reshape(sum, &[sx[0], 1, positions, channels])?
        } else {
            let product = self.new.matmul(columns, right)?;
            match bias {
                Some(bias) => {
                    let bias = self.new.reshape(bias, &[1, conv.groups, 1, channels])?;
                    self.new.binary(Binary::Add, product, bias)?
                }
                None => product,
            }
        };
        let turned = self.new.transpose(product, &[0, 1, 3, 2])?;
        let shape: Vec<usize> = [sx[0], sw[0]].into_iter().chain(out).collect();
        self.new.reshape(turned, &shape)
    }
}
