//! From a simplified graph to steps: decides what is fused into what, what is only another view, and when each buffer lives.
//!
//! Fused into a product or convolution: the sum that it starts with (a bias, or a tensor of the same shape) and the function that is taken of
//! its result. Views: other shapes, neighbouring slices, slices of a scanned tensor. Everything else gets a buffer of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fuse::{Fused, fuse};
use super::plan::Buffer;
use super::segments::segments;
use super::simplify::uses;
use super::step::{Place, StartAt, Step, WEIGHTS, Walk};
use crate::graph::{Graph, GraphError, Node, err};
use crate::index::{FILLED, IndexMap, broadcast_strides, elements, strides};
use crate::kernel::order;
use crate::kernel::reduce::Reduce;
use crate::kernel::slide::{self, Slide};
use crate::op::{Conv, Op, Unary};

/// Stands between the file's nodes of one step.
pub(super) const JOINED: &str = " + ";
/// Products of one batched product at most; each becomes a step.
const BATCHES_MAX: usize = 1 << 14;
/// Everything that is known about a program before its buffers have places.
#[derive(Default)]
pub(crate) struct Emitter {
    pub steps: Vec<Step>,
    /// File node of each outermost step, for listings.
    pub origins: Vec<Arc<str>>,
    pub buffers: Vec<Buffer>,
    pub weights: Vec<f32>,
    /// Constants that are in `weights` already, by address and form.
    stored: BTreeMap<(usize, Form), Place>,
    /// Counts steps through loop bodies too: the time axis of buffer lives.
    now: usize,
}

/// How a constant lies in the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Plain,
    /// Packed for a product: terms, outputs, begin.
    Packed(usize, usize, usize),
    /// Packed for a sliding convolution: groups, channels, terms, address of the bias.
    Slide(usize, usize, usize, usize),
}

impl Emitter {
    /// A buffer that is born now.
    pub(crate) fn buffer(&mut self, len: usize) -> Place {
        self.buffers.push(Buffer { len, born: self.now, dies: self.now });
        Place { buffer: (self.buffers.len() - 1) as u32, at: 0, len, per_trip: 0 }
    }

    pub(super) fn touch(&mut self, place: Place) {
        if place.buffer != WEIGHTS {
            let buffer = &mut self.buffers[place.buffer as usize];
            buffer.dies = buffer.dies.max(self.now);
        }
    }

    pub(super) fn push(&mut self, mut step: Step) {
        let mut places = Vec::new();
        step.places_mut(&mut |place| places.push(*place));
        places.into_iter().for_each(|place| self.touch(place));
        self.steps.push(step);
        self.now += 1;
    }

    /// Keeps a buffer to the end of the program.
    pub(crate) fn keep(&mut self, place: Place) {
        if place.buffer != WEIGHTS {
            self.buffers[place.buffer as usize].dies = usize::MAX;
        }
    }

    /// The place of a result: a copy where it is an input or moves with a loop.
    pub(crate) fn result(&mut self, place: Place, inputs: &[Place]) -> Place {
        let is_input = inputs.iter().any(|i| i.buffer == place.buffer);
        if is_input { self.copied(place) } else { place }
    }

    /// A copy in a buffer of its own.
    pub(crate) fn copied(&mut self, from: Place) -> Place {
        let out = self.buffer(from.len);
        self.push(Step::Copy { from, out });
        out
    }

    fn store(&mut self, key: (usize, Form), numbers: impl FnOnce() -> Vec<f32>) -> Place {
        if let Some(place) = self.stored.get(&key) {
            return *place;
        }
        // Every constant begins at a cache line.
        self.weights.resize(self.weights.len().next_multiple_of(order_align()), 0.0);
        let numbers = numbers();
        let place = Place { buffer: WEIGHTS, at: self.weights.len(), len: numbers.len(), per_trip: 0 };
        self.weights.extend(numbers);
        self.stored.insert(key, place);
        place
    }

    /// Emits all steps of a graph whose inputs stand at these places; returns the places of its outputs.
    pub(crate) fn graph(&mut self, graph: &Graph, inputs: &[Place]) -> Result<Vec<Place>, GraphError> {
        let fused = fuse(graph);
        let mut values: Vec<Vec<Place>> = vec![Vec::new(); graph.nodes().len()];
        let (needed, plain) = (uses(graph), read_plainly(graph));
        let mut fed = inputs.iter();
        for (i, node) in graph.nodes().iter().enumerate() {
            if matches!(node.op, Op::Input) {
                values[i] = fed.next().map(|p| vec![*p]).unwrap_or_default();
                continue;
            }
            if needed[i] == 0 || fused.absorbed[i] {
                continue;
            }
            let begin = self.steps.len();
            values[i] = match &node.op {
                // Weights of products are packed where they are used; only other readers need them as they are.
                Op::Constant(_) if !plain[i] => Vec::new(),
                Op::Constant(data) => {
                    let key = (Arc::as_ptr(data).cast::<f32>() as usize, Form::Plain);
                    vec![self.store(key, || data.to_vec())]
                }
                Op::Part(k) => vec![values[node.inputs[0].index()][*k]],
                Op::Scan(scan) => {
                    let places: Vec<Place> = node.inputs.iter().map(|n| values[n.index()][0]).collect();
                    self.scan(scan, &places)?
                }
                _ => {
                    let of = |n: Node| values[n.index()].first().copied();
                    vec![self.node(graph, Node(i as u32), fused.of(i), &of)?]
                }
            };
            let added = self.steps.len() - begin;
            let origin = match fused.of(i).map(|f| &graph.node(f.root).origin) {
                Some(root) if *root != node.origin => format!("{root}{JOINED}{}", node.origin).into(),
                _ => Arc::clone(&node.origin),
            };
            self.origins.resize(self.origins.len() + added, origin);
        }
        Ok(graph.outputs().iter().map(|o| values[o.index()][0]).collect())
    }

    fn node(
        &mut self,
        graph: &Graph,
        node: Node,
        fused: Option<&Fused>,
        of: &dyn Fn(Node) -> Option<Place>,
    ) -> Result<Place, GraphError> {
        let value = |n: Node| of(n).ok_or_else(|| GraphError("a value is used before it is made".into()));
        let data = graph.node(node);
        if let Some(fused) = fused {
            let root = graph.node(fused.root);
            let start = fused.start.map(|n| value(n).map(|place| (place, graph.shape(n)))).transpose()?;
            return match &root.op {
                Op::Conv(conv) => self.slide(graph, conv, fused, &value),
                _ => self.matmul(graph, fused.root, start, fused.then, &value),
            };
        }
        let len = elements(&data.shape);
        match &data.op {
            Op::Unary(function) => {
                let x = value(data.inputs[0])?;
                let out = self.buffer(len);
                self.push(Step::Unary { function: *function, x, out });
                Ok(out)
            }
            Op::Binary(function) => {
                let (a, b) = (value(data.inputs[0])?, value(data.inputs[1])?);
                let walk = Box::new(walk(graph.shape(data.inputs[0]), graph.shape(data.inputs[1]), &data.shape));
                let out = self.buffer(len);
                self.push(Step::Binary { function: *function, a, b, walk, out });
                Ok(out)
            }
            Op::Reduce { kind, axes } => {
                let shape = graph.shape(data.inputs[0]);
                let (first, last) = (axes[0], axes[axes.len() - 1]);
                let job = Reduce {
                    kind: *kind,
                    len: elements(&shape[first..=last]),
                    inner: elements(&shape[last + 1..]),
                    last: last + 1 == shape.len(),
                };
                let x = value(data.inputs[0])?;
                let out = self.buffer(len);
                self.push(Step::Reduce { job, x, out });
                Ok(out)
            }
            Op::Index(map) => {
                let sources = data.inputs.iter().map(|n| value(*n)).collect::<Result<Vec<_>, _>>()?;
                Ok(self.index(map, sources))
            }
            Op::Reshape => value(data.inputs[0]),
            _ => err("an operator without a kernel"),
        }
    }

    fn index(&mut self, map: &IndexMap, sources: Vec<Place>) -> Place {
        let run = map.picks.windows(2).all(|pair| pair[0] != FILLED && pair[1] == pair[0].wrapping_add(1));
        if let (true, [only], Some(first)) =
            (run && !map.picks.contains(&FILLED), sources.as_slice(), map.picks.first())
        {
            return only.part(*first as usize, map.picks.len());
        }
        let (segments, table) = segments(&map.picks, &sources);
        let out = self.buffer(map.picks.len());
        self.push(Step::Move { sources, segments, table, fill: map.fill, out });
        out
    }

    fn slide(
        &mut self,
        graph: &Graph,
        conv: &Conv,
        fused: &Fused,
        value: &dyn Fn(Node) -> Result<Place, GraphError>,
    ) -> Result<Place, GraphError> {
        let root = graph.node(fused.root);
        let (sx, sw, so) = (graph.shape(root.inputs[0]), graph.shape(root.inputs[1]), &root.shape);
        let spatial = conv.strides.len();
        let from = strides(sx);
        let mut offsets = Vec::with_capacity(elements(&sw[1..]));
        crate::index::for_each(&sw[1..], |tap| {
            let taps = (0..spatial).map(|a| tap[1 + a] * conv.dilations[a] * from[2 + a]).sum::<usize>();
            offsets.push((tap[0] * from[1] + taps) as u32);
        });
        let (channels, terms) = (sw[0] / conv.groups, offsets.len());
        let job = Box::new(Slide {
            groups: conv.groups,
            group_len: sw[1] * from[1],
            channels,
            rows: if spatial == 2 { so[2] } else { 1 },
            row_step: if spatial == 2 { conv.strides[0] * from[2] } else { 0 },
            positions: so[1 + spatial],
            offsets: slide::order_offsets(channels, &offsets),
            relu: fused.then == Some(Unary::Relu),
        });
        let x = value(root.inputs[0])?;
        let constant = |i: usize| root.inputs.get(i).and_then(|n| graph.constant_data(*n));
        let Some(weights) = constant(1) else { return err("a sliding convolution has constant weights") };
        let bias = constant(2);
        let address = |data: &Arc<[f32]>| Arc::as_ptr(data).cast::<f32>() as usize;
        let form = Form::Slide(conv.groups, channels, terms, bias.map_or(0, address));
        let packed = self.store((address(weights), form), || {
            let mut packed = vec![0.0; slide::packed_len(conv.groups, channels, terms)];
            slide::pack(weights, bias.map_or(&[], |b| b), channels, terms, &mut packed);
            packed
        });
        let out = self.buffer(elements(so));
        self.push(Step::Slide { job, x, packed, terms, then: fused.then, out });
        Ok(out)
    }

    /// What a product of this shape starts with; true for one row that serves all.
    fn start(&mut self, place: Place, own: &[usize], shape: &[usize]) -> (Place, bool) {
        let last = shape[shape.len() - 1];
        if elements(own) == last && own.last() == Some(&last) {
            return (place, true);
        }
        let from = broadcast_strides(own, shape);
        let map = IndexMap::from_fn(shape, 0.0, |at| Some(crate::index::place(at, &from)));
        (self.index(&map, vec![place]), false)
    }

    fn matmul(
        &mut self,
        graph: &Graph,
        root: Node,
        start: Option<(Place, &[usize])>,
        then: Option<Unary>,
        value: &dyn Fn(Node) -> Result<Place, GraphError>,
    ) -> Result<Place, GraphError> {
        let data = graph.node(root);
        let (sa, sb) = (graph.shape(data.inputs[0]), graph.shape(data.inputs[1]));
        let rank = data.shape.len();
        let (rows, terms, outputs) = (data.shape[rank - 2], sa[rank - 1], data.shape[rank - 1]);
        let x = value(data.inputs[0])?;
        let constant = graph.constant_data(data.inputs[1]);
        let start = start.map(|(place, shape)| self.start(place, shape, &data.shape));
        let out = self.buffer(elements(&data.shape));
        let one_right = elements(&sb[..rank - 2]) == 1;
        let right_len = terms * outputs;
        if out.len == 0 {
            return Ok(out);
        }
        // The same right side for all batches: they are more rows.
        let batches = if one_right { 1 } else { elements(&data.shape[..rank - 2]) };
        let rows = if one_right { out.len / outputs } else { rows };
        if batches > BATCHES_MAX {
            return err(format!("a product of {batches} batches; at most {BATCHES_MAX}"));
        }
        let batch_shape = &data.shape[..rank - 2];
        let (left, right) =
            (broadcast_strides(&sa[..rank - 2], batch_shape), broadcast_strides(&sb[..rank - 2], batch_shape));
        let mut packed: BTreeMap<usize, Place> = BTreeMap::new();
        let mut starts = Vec::with_capacity(batches);
        if one_right {
            starts.push((0, 0));
        } else {
            crate::index::for_each(batch_shape, |at| {
                starts.push((crate::index::place(at, &left), crate::index::place(at, &right)));
            });
        }
        for (batch, (a_at, b_at)) in starts.into_iter().enumerate() {
            let b = match packed.get(&b_at) {
                Some(place) => *place,
                None => {
                    let place = match constant {
                        Some(numbers) => {
                            let form = Form::Packed(terms, outputs, b_at);
                            self.store((Arc::as_ptr(numbers).cast::<f32>() as usize, form), || {
                                let mut packed = vec![0.0; order::packed_len(terms, outputs)];
                                order::pack(&numbers[b_at * right_len..][..right_len], outputs, &mut packed);
                                packed
                            })
                        }
                        None => {
                            let from = value(data.inputs[1])?.part(b_at * right_len, right_len);
                            let to = self.buffer(order::packed_len(terms, outputs));
                            self.push(Step::Pack { from, outputs, out: to });
                            to
                        }
                    };
                    packed.insert(b_at, place);
                    place
                }
            };
            let (len, first) = (rows * outputs, batch * rows * outputs);
            let start = match start {
                None => StartAt::Zero,
                Some((place, true)) => StartAt::Bias(place),
                Some((place, false)) => StartAt::Rows(place.part(first, len)),
            };
            let x = x.part(a_at * rows * terms * usize::from(!one_right), rows * terms);
            self.push(Step::Dense { x, terms, packed: b, outputs, start, then, out: out.part(first, len) });
        }
        Ok(out)
    }
}

/// Constants that something reads otherwise than as the right side of a product or the weights of a convolution.
fn read_plainly(graph: &Graph) -> Vec<bool> {
    let mut plain = vec![false; graph.nodes().len()];
    graph.outputs().iter().for_each(|o| plain[o.index()] = true);
    for node in graph.nodes() {
        for (side, input) in node.inputs.iter().enumerate() {
            plain[input.index()] |= !(matches!(node.op, Op::MatMul | Op::Conv(_)) && side > 0);
        }
    }
    plain
}

fn order_align() -> usize {
    crate::kernel::LANES
}

/// How to walk two broadcast tensors: neighbouring axes on which both sides move (or stand) alike are one.
fn walk(a: &[usize], b: &[usize], shape: &[usize]) -> Walk {
    let (sa, sb) = (broadcast_strides(a, shape), broadcast_strides(b, shape));
    let mut axes: Vec<(usize, usize, usize)> = Vec::new();
    for axis in 0..shape.len() {
        if shape[axis] == 1 {
            continue;
        }
        let own = (shape[axis], sa[axis], sb[axis]);
        match axes.last_mut() {
            Some(last) if last.1 == own.0 * own.1 && last.2 == own.0 * own.2 => *last = (last.0 * own.0, own.1, own.2),
            _ => axes.push(own),
        }
    }
    let (run, a_step, b_step) = axes.pop().unwrap_or((1, 1, 1));
    Walk { run, a_moves: a_step > 0, b_moves: b_step > 0, outer: axes }
}
