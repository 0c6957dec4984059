//! A graph and the only way to build one: every method checks shapes, infers the result's and folds constants.
//!
//! Nodes are appended, never changed: the order of the list is an order of execution.

use std::fmt;
use std::sync::Arc;

use crate::index::{IndexMap, elements};
use crate::op::{Binary, Conv, NodeData, Op, ReduceKind, Scan, Unary};
use crate::reference;

/// Elements of one tensor at most: 16 MiB. Compact networks have kilobytes.
pub const ELEMENTS_MAX: usize = 1 << 22;
/// Nodes of one graph at most.
pub const NODES_MAX: usize = 50_000;
/// Axes of a tensor at most.
pub const RANK_MAX: usize = 8;
/// Trips of one loop at most.
pub const TRIPS_MAX: usize = 1 << 14;

/// A node of one graph, by its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node(pub u32);

impl Node {
    /// Place in [`Graph::nodes`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why a node cannot be built: shapes that do not fit, or a size over its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphError(pub String);

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GraphError {}

pub(crate) fn err<T>(text: impl Into<String>) -> Result<T, GraphError> {
    Err(GraphError(text.into()))
}

/// A computation over tensors of static shape.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<NodeData>,
    inputs: Vec<Node>,
    outputs: Vec<Node>,
    origin: Arc<str>,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All nodes in order of execution.
    #[must_use]
    pub fn nodes(&self) -> &[NodeData] {
        &self.nodes
    }

    /// Inputs in the order in which they were made.
    #[must_use]
    pub fn inputs(&self) -> &[Node] {
        &self.inputs
    }

    /// Outputs in the order of [`Graph::output`].
    #[must_use]
    pub fn outputs(&self) -> &[Node] {
        &self.outputs
    }

    /// One node.
    #[must_use]
    pub fn node(&self, node: Node) -> &NodeData {
        &self.nodes[node.index()]
    }

    /// Shape of a node.
    #[must_use]
    pub fn shape(&self, node: Node) -> &[usize] {
        &self.nodes[node.index()].shape
    }

    /// The numbers of a constant node.
    #[must_use]
    pub fn constant_data(&self, node: Node) -> Option<&Arc<[f32]>> {
        match &self.nodes[node.index()].op {
            Op::Constant(data) => Some(data),
            _ => None,
        }
    }

    /// Names the file's node that the following nodes come from.
    pub fn set_origin(&mut self, name: &str) {
        self.origin = name.into();
    }

    /// Declares an output.
    pub fn output(&mut self, node: Node) {
        self.outputs.push(node);
    }

    /// An input fed from outside.
    ///
    /// # Errors
    /// The shape is over a limit.
    pub fn input(&mut self, shape: &[usize]) -> Result<Node, GraphError> {
        let node = self.push(Op::Input, Vec::new(), shape.to_vec())?;
        self.inputs.push(node);
        Ok(node)
    }

    /// Fixed numbers, row-major.
    ///
    /// # Errors
    /// Shape and data differ, or the shape is over a limit.
    pub fn constant(&mut self, shape: &[usize], data: impl Into<Arc<[f32]>>) -> Result<Node, GraphError> {
        let data = data.into();
        if data.len() != elements(shape) {
            return err(format!("{} numbers do not fill shape {shape:?}", data.len()));
        }
        self.push(Op::Constant(data), Vec::new(), shape.to_vec())
    }

    /// A scalar constant.
    ///
    /// # Errors
    /// Too many nodes.
    pub fn scalar(&mut self, value: f32) -> Result<Node, GraphError> {
        self.constant(&[], vec![value])
    }

    /// A function of each element.
    ///
    /// # Errors
    /// Too many nodes.
    pub fn unary(&mut self, function: Unary, x: Node) -> Result<Node, GraphError> {
        let shape = self.shape(x).to_vec();
        self.push(Op::Unary(function), vec![x], shape)
    }

    /// A function of two tensors; shapes are aligned at their last axes and broadcast.
    ///
    /// # Errors
    /// Two dimensions differ and neither is 1.
    pub fn binary(&mut self, function: Binary, a: Node, b: Node) -> Result<Node, GraphError> {
        let rank = self.shape(a).len().max(self.shape(b).len());
        let (a, b) = (self.with_rank(a, rank)?, self.with_rank(b, rank)?);
        let shape = broadcast(self.shape(a), self.shape(b))?;
        self.push(Op::Binary(function), vec![a, b], shape)
    }

    /// Adds axes of length 1 in front.
    pub(crate) fn with_rank(&mut self, x: Node, rank: usize) -> Result<Node, GraphError> {
        let own = self.shape(x);
        if own.len() == rank {
            return Ok(x);
        }
        let shape: Vec<usize> = std::iter::repeat_n(1, rank - own.len()).chain(own.iter().copied()).collect();
        self.reshape(x, &shape)
    }

    /// Matrix product over the last two axes. Batch axes are aligned at their last and broadcast.
    ///
    /// # Errors
    /// A side has fewer than two axes, or the inner dimensions differ.
    pub fn matmul(&mut self, a: Node, b: Node) -> Result<Node, GraphError> {
        let rank = self.shape(a).len().max(self.shape(b).len());
        if self.shape(a).len().min(self.shape(b).len()) < 2 {
            return err("a matrix product needs two axes on each side");
        }
        let (a, b) = (self.with_rank(a, rank)?, self.with_rank(b, rank)?);
        let (sa, sb) = (self.shape(a), self.shape(b));
        if sa[rank - 1] != sb[rank - 2] {
            return err(format!("a matrix product of {sa:?} and {sb:?}: the inner dimensions differ"));
        }
        let mut shape = broadcast(&sa[..rank - 2], &sb[..rank - 2])?;
        shape.extend([sa[rank - 2], sb[rank - 1]]);
        self.push(Op::MatMul, vec![a, b], shape)
    }

    /// Convolution; shapes as in [`Op::Conv`].
    ///
    /// # Errors
    /// Shapes, groups or geometry do not fit.
    pub fn conv(&mut self, x: Node, weights: Node, bias: Option<Node>, conv: Conv) -> Result<Node, GraphError> {
        let (sx, sw) = (self.shape(x), self.shape(weights));
        let spatial = sx.len().saturating_sub(2);
        let lists = [conv.strides.len(), conv.dilations.len(), conv.pads.len()];
        if !(1..=2).contains(&spatial) || sw.len() != sx.len() || lists != [spatial; 3] {
            return err(format!("a convolution of {sx:?} with {sw:?}: one or two spatial axes are allowed"));
        }
        let steps_fit = conv.strides.iter().chain(&conv.dilations).all(|s| (1..=ELEMENTS_MAX).contains(s));
        let pads_fit = conv.pads.iter().all(|(before, after)| before.max(after) <= &ELEMENTS_MAX);
        if !steps_fit
            || !pads_fit
            || conv.groups == 0
            || sw[1].checked_mul(conv.groups) != Some(sx[1])
            || !sw[0].is_multiple_of(conv.groups)
        {
            return err(format!("a convolution of {sx:?} with {sw:?} in {} groups does not fit", conv.groups));
        }
        if bias.is_some_and(|b| self.shape(b) != [sw[0]]) {
            return err("the bias of a convolution has one number per output channel");
        }
        let mut shape = vec![sx[0], sw[0]];
        for axis in 0..spatial {
            let reach = (sw[2 + axis].max(1) - 1).checked_mul(conv.dilations[axis]).map_or(usize::MAX, |r| r);
            let padded = sx[2 + axis] + conv.pads[axis].0 + conv.pads[axis].1;
            if sw[2 + axis] == 0 || padded <= reach {
                return err(format!("a kernel of {:?} is larger than its padded input {sx:?}", &sw[2..]));
            }
            shape.push((padded - reach - 1) / conv.strides[axis] + 1);
        }
        let inputs = [x, weights].into_iter().chain(bias).collect();
        self.push(Op::Conv(conv), inputs, shape)
    }

    /// Reduces axes to length 1. Without axes, the input itself.
    ///
    /// # Errors
    /// An axis does not exist.
    pub fn reduce(&mut self, kind: ReduceKind, x: Node, axes: &[usize]) -> Result<Node, GraphError> {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        axes.dedup();
        let mut shape = self.shape(x).to_vec();
        for axis in &axes {
            let Some(dim) = shape.get_mut(*axis) else {
                return err(format!("axis {axis} of a tensor with {} axes", shape.len()));
            };
            if *dim == 0 {
                return err("a reduction over nothing");
            }
            *dim = 1;
        }
        if axes.is_empty() {
            return Ok(x);
        }
        self.push(Op::Reduce { kind, axes }, vec![x], shape)
    }

    /// The same numbers under another shape.
    ///
    /// # Errors
    /// The number of elements differs.
    pub fn reshape(&mut self, x: Node, shape: &[usize]) -> Result<Node, GraphError> {
        if elements(shape) != elements(self.shape(x)) {
            return err(format!("a tensor of shape {:?} does not fit into {shape:?}", self.shape(x)));
        }
        if self.shape(x) == shape {
            return Ok(x);
        }
        if let (Op::Reshape, [inner]) = (&self.node(x).op, self.node(x).inputs.as_slice()) {
            let inner = *inner;
            return self.reshape(inner, shape);
        }
        self.push(Op::Reshape, vec![x], shape.to_vec())
    }

    /// Moves numbers by a map over all inputs, counted one after the other.
    ///
    /// # Errors
    /// The map does not fill the shape or picks outside the inputs.
    pub fn index(&mut self, inputs: &[Node], shape: &[usize], map: IndexMap) -> Result<Node, GraphError> {
        let total: usize = inputs.iter().map(|n| elements(self.shape(*n))).sum();
        let inside = |p: &u32| *p == crate::index::FILLED || (*p as usize) < total;
        if map.picks.len() != elements(shape) || !map.picks.iter().all(inside) {
            return err(format!("a map of {} picks does not fit shape {shape:?}", map.picks.len()));
        }
        let identity = inputs.len() == 1 && total == map.picks.len();
        if identity && map.picks.iter().enumerate().all(|(i, p)| *p as usize == i) {
            return self.reshape(inputs[0], shape);
        }
        self.push(Op::Index(map), inputs.to_vec(), shape.to_vec())
    }

    /// A loop; returns its parts: last states, then stacked outputs. Order as in [`Scan`].
    ///
    /// # Errors
    /// Inputs and body do not fit.
    pub fn scan(
        &mut self,
        body: Arc<Graph>,
        trips: usize,
        states: &[Node],
        scanned: &[Node],
        fixed: &[Node],
    ) -> Result<Vec<Node>, GraphError> {
        let inputs: Vec<Node> = states.iter().chain(scanned).chain(fixed).copied().collect();
        if !(1..=TRIPS_MAX).contains(&trips) {
            return err(format!("a loop of {trips} trips; 1 to {TRIPS_MAX} are allowed"));
        }
        if body.inputs().len() != inputs.len() || body.outputs().len() < states.len().max(1) {
            return err("a loop and its body have different numbers of inputs or states");
        }
        for (i, (outer, inner)) in inputs.iter().zip(body.inputs()).enumerate() {
            let slice = (states.len()..states.len() + scanned.len()).contains(&i);
            let mut wanted = if slice { vec![trips] } else { Vec::new() };
            wanted.extend(body.shape(*inner));
            if self.shape(*outer) != wanted {
                return err(format!("input {i} of a loop has shape {:?}, not {wanted:?}", self.shape(*outer)));
            }
        }
        for (state, new) in states.iter().zip(body.outputs()) {
            if self.shape(*state) != body.shape(*new) {
                return err("a state of a loop changes its shape");
            }
        }
        let results: Vec<Vec<usize>> = body.outputs().iter().map(|o| body.shape(*o).to_vec()).collect();
        let scan = Scan { body, trips, states: states.len(), scanned: scanned.len() };
        let node = self.push(Op::Scan(scan), inputs, vec![0])?;
        let part = |(i, shape): (usize, Vec<usize>)| {
            let stacked = if i < states.len() { shape } else { std::iter::once(trips).chain(shape).collect() };
            self.push(Op::Part(i), vec![node], stacked)
        };
        results.into_iter().enumerate().map(part).collect()
    }

    /// A node of any kind as it is, under its own origin; what the typed methods check is taken for granted.
    pub(crate) fn append(&mut self, data: NodeData) -> Result<Node, GraphError> {
        let is_input = matches!(data.op, Op::Input);
        self.origin = data.origin;
        let node = self.push(data.op, data.inputs, data.shape)?;
        if is_input {
            self.inputs.push(node);
        }
        Ok(node)
    }

    /// Gives a loop a body that does the same and stacks more behind its outputs; returns the parts of what is new.
    pub(crate) fn stack_more(&mut self, scan: Node, body: Arc<Graph>) -> Result<Vec<Node>, GraphError> {
        let Op::Scan(old) = &mut self.nodes[scan.index()].op else {
            return err("only a loop stacks outputs");
        };
        let (before, trips) = (old.body.outputs().len(), old.trips);
        old.body = Arc::clone(&body);
        let new = body.outputs().iter().enumerate().skip(before);
        new.map(|(i, output)| {
            let shape = std::iter::once(trips).chain(body.shape(*output).iter().copied()).collect();
            self.push(Op::Part(i), vec![scan], shape)
        })
        .collect()
    }

    fn push(&mut self, op: Op, inputs: Vec<Node>, shape: Vec<usize>) -> Result<Node, GraphError> {
        check_size(&shape)?;
        if shape.len() > RANK_MAX {
            return err(format!("a tensor of shape {shape:?}; at most {RANK_MAX} axes are allowed"));
        }
        if self.nodes.len() >= NODES_MAX {
            return err(format!("more than {NODES_MAX} nodes"));
        }
        let foldable = !matches!(op, Op::Input | Op::Constant(_) | Op::Scan(_) | Op::Part(_)) && !inputs.is_empty();
        let data = NodeData { op, inputs, shape, origin: Arc::clone(&self.origin) };
        let data = match foldable.then(|| reference::fold(self, &data)).flatten() {
            Some(numbers) => NodeData { op: Op::Constant(numbers), inputs: Vec::new(), ..data },
            None => data,
        };
        self.nodes.push(data);
        Ok(Node((self.nodes.len() - 1) as u32))
    }
}

/// Refuses a tensor of too many numbers, before anything of its size is laid out.
pub(crate) fn check_size(shape: &[usize]) -> Result<(), GraphError> {
    let count = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
    if count.is_none_or(|n| n > ELEMENTS_MAX) {
        return err(format!("a tensor of shape {shape:?}; at most {ELEMENTS_MAX} numbers are allowed"));
    }
    Ok(())
}

/// Shape of two broadcast tensors of the same rank.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, GraphError> {
    let dim = |(x, y): (&usize, &usize)| match (*x, *y) {
        (1, other) | (other, 1) => Ok(other),
        (x, y) if x == y => Ok(x),
        _ => err(format!("shapes {a:?} and {b:?} do not broadcast")),
    };
    a.iter().zip(b).map(dim).collect()
}
