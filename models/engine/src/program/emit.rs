//! From a simplified graph to steps: decides what is fused into what, what is only another view, and when each buffer lives.
//!
//! Fused into a product or convolution: the sum that it starts with (a bias, or a tensor of the same shape) and the function that is taken of
//! its result. Views: other shapes, neighbouring slices, slices of a scanned tensor. Everything else gets a buffer of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::Buffer;
use super::simplify::uses;
use super::step::{Place, Segment, StartAt, Step, WEIGHTS, Walk};
use crate::graph::{Graph, GraphError, Node, err};
use crate::index::{FILLED, IndexMap, broadcast_strides, elements, strides};
use crate::kernel::order;
use crate::kernel::reduce::Reduce;
use crate::kernel::slide::Slide;
use crate::op::{Binary, Conv, Op, Scan, Unary};

/// Products of one batched product at most; each becomes a step.
const BATCHES_MAX: usize = 1 << 14;
/// Neighbours from which on a move copies instead of gathering one by one.
const COPY_MIN: usize = 8;

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
}

/// A product or convolution with what is fused into it.
struct Fused {
    root: Node,
    start: Option<Node>,
    then: Option<Unary>,
}

impl Emitter {
    /// A buffer that is born now.
    pub(crate) fn buffer(&mut self, len: usize) -> Place {
        self.buffers.push(Buffer { len, born: self.now, dies: self.now });
        Place { buffer: (self.buffers.len() - 1) as u32, at: 0, len, per_trip: 0 }
    }

    fn touch(&mut self, place: Place) {
        if place.buffer != WEIGHTS {
            let buffer = &mut self.buffers[place.buffer as usize];
            buffer.dies = buffer.dies.max(self.now);
        }
    }

    fn push(&mut self, mut step: Step) {
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
            self.origins.resize(self.origins.len() + added, Arc::clone(&node.origin));
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
        let job = Slide {
            samples: sx[0],
            groups: conv.groups,
            group_len: sw[1] * from[1],
            channels: sw[0] / conv.groups,
            rows: if spatial == 2 { so[2] } else { 1 },
            row_step: if spatial == 2 { conv.strides[0] * from[2] } else { 0 },
            positions: so[1 + spatial],
            offsets,
        };
        let (x, weights) = (value(root.inputs[0])?, value(root.inputs[1])?);
        let bias = root.inputs.get(2).map(|b| value(*b)).transpose()?;
        let bias = bias.unwrap_or(Place { buffer: WEIGHTS, at: 0, len: 0, per_trip: 0 });
        let out = self.buffer(elements(so));
        self.push(Step::Slide { job: Box::new(job), x, weights, bias, then: fused.then, out });
        Ok(out)
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
                Some((place, shape)) if elements(shape) == out.len => StartAt::Rows(place.part(first, len)),
                Some((place, _)) => StartAt::Bias(place),
            };
            let x = x.part(a_at * rows * terms * usize::from(!one_right), rows * terms);
            self.push(Step::Dense { x, terms, packed: b, outputs, start, then, out: out.part(first, len) });
        }
        Ok(out)
    }

    /// Emits a loop. Its buffers live from its begin to its end where a trip hands something to the next.
    fn scan(&mut self, scan: &Scan, inputs: &[Place]) -> Result<Vec<Place>, GraphError> {
        // A place that moves with an outer loop's trips cannot be read inside: the trip count is that of this loop.
        let inputs: Vec<Place> = inputs.iter().map(|p| if p.per_trip > 0 { self.copied(*p) } else { *p }).collect();
        let states: Vec<Place> = inputs[..scan.states].iter().map(|p| self.copied(*p)).collect();
        let stacked: Vec<Place> = scan.body.outputs()[scan.states..]
            .iter()
            .map(|o| self.buffer(scan.trips * elements(scan.body.shape(*o))))
            .collect();
        let slice = |place: &Place| {
            let len = place.len / scan.trips;
            Place { len, per_trip: len, ..*place }
        };
        let (scanned, fixed) = inputs[scan.states..].split_at(scan.scanned);
        let fed: Vec<Place> =
            states.iter().copied().chain(scanned.iter().map(slice)).chain(fixed.iter().copied()).collect();
        let (outer, origins) = (std::mem::take(&mut self.steps), std::mem::take(&mut self.origins));
        let made = self.graph(&scan.body, &fed);
        // A new state that is another state's old one must be saved before that one is overwritten.
        let made = made.map(|made| {
            let is_state = |p: &Place| states.iter().any(|s| s.buffer == p.buffer);
            let save = |this: &mut Self, p: Place| if is_state(&p) { this.copied(p) } else { p };
            made.into_iter().map(|p| save(self, p)).collect::<Vec<Place>>()
        });
        let mut carry = Vec::new();
        if let Ok(made) = &made {
            carry.extend(made[..scan.states].iter().copied().zip(states.iter().copied()));
            carry.extend(made[scan.states..].iter().zip(&stacked).map(|(from, to)| (*from, slice(to))));
        }
        let body = std::mem::replace(&mut self.steps, outer);
        self.origins = origins;
        made?;
        // Touches everything that lives through the whole loop.
        fed.iter().chain(&stacked).for_each(|place| self.touch(*place));
        self.push(Step::Loop { trips: scan.trips, body, carry });
        Ok(states.into_iter().chain(stacked).collect())
    }
}

/// Constants that something reads otherwise than as the right side of a product.
fn read_plainly(graph: &Graph) -> Vec<bool> {
    let mut plain = vec![false; graph.nodes().len()];
    graph.outputs().iter().for_each(|o| plain[o.index()] = true);
    for node in graph.nodes() {
        for (side, input) in node.inputs.iter().enumerate() {
            plain[input.index()] |= !(matches!(node.op, Op::MatMul) && side == 1);
        }
    }
    plain
}

fn order_align() -> usize {
    crate::kernel::LANES
}

/// Which nodes are computed inside others.
struct Fusion {
    absorbed: Vec<bool>,
    fused: BTreeMap<usize, Fused>,
}

impl Fusion {
    fn of(&self, i: usize) -> Option<&Fused> {
        self.fused.get(&i)
    }
}

fn fuse(graph: &Graph) -> Fusion {
    let uses = uses(graph);
    let mut fusion = Fusion { absorbed: vec![false; graph.nodes().len()], fused: BTreeMap::new() };
    for (i, node) in graph.nodes().iter().enumerate().filter(|(i, _)| uses[*i] > 0) {
        match &node.op {
            Op::MatMul | Op::Conv(_) => {
                fusion.fused.insert(i, Fused { root: Node(i as u32), start: None, then: None });
            }
            Op::Binary(Binary::Add) => {
                let takes = |product: Node, start: Node| {
                    let free = uses[product.index()] == 1
                        && fusion.of(product.index()).is_some_and(|f| f.start.is_none() && f.then.is_none())
                        && matches!(graph.node(product).op, Op::MatMul)
                        && graph.shape(product) == node.shape.as_slice();
                    let (own, last) = (graph.shape(start), node.shape[node.shape.len() - 1]);
                    let bias = elements(own) == last && own.last() == Some(&last);
                    free && (bias || own == node.shape.as_slice())
                };
                // The later product takes the other side as its start, so that the other may be a product too.
                let (a, b) = (node.inputs[0], node.inputs[1]);
                let sides = if a > b { [(a, b), (b, a)] } else { [(b, a), (a, b)] };
                if let Some((product, start)) = sides.into_iter().find(|(p, s)| takes(*p, *s)) {
                    fusion.absorbed[product.index()] = true;
                    fusion.fused.remove(&product.index());
                    fusion.fused.insert(i, Fused { root: product, start: Some(start), then: None });
                }
            }
            Op::Unary(function) => {
                let x = node.inputs[0].index();
                if uses[x] == 1 && fusion.of(x).is_some_and(|f| f.then.is_none()) {
                    fusion.absorbed[x] = true;
                    if let Some(inner) = fusion.fused.remove(&x) {
                        fusion.fused.insert(i, Fused { then: Some(*function), ..inner });
                    }
                }
            }
            _ => {}
        }
    }
    fusion
}

/// Splits picks into runs that are copied, stretches that are gathered, and fillings.
fn segments(picks: &[u32], sources: &[Place]) -> (Vec<Segment>, Vec<u32>) {
    let mut begins = Vec::with_capacity(sources.len());
    let mut total = 0;
    for source in sources {
        begins.push(total);
        total += source.len;
    }
    let source_of = |pick: u32| begins.partition_point(|b| *b <= pick as usize) - 1;
    let (mut segments, mut table): (Vec<Segment>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < picks.len() {
        let to = at as u32;
        if picks[at] == FILLED {
            let len = picks[at..].iter().take_while(|p| **p == FILLED).count();
            segments.push(Segment::Fill { to, len: len as u32 });
            at += len;
            continue;
        }
        let source = source_of(picks[at]);
        let (begin, end) = (begins[source], begins[source] + sources[source].len);
        let run = picks[at..]
            .iter()
            .enumerate()
            .take_while(|(i, p)| **p != FILLED && **p as usize == picks[at] as usize + i && (**p as usize) < end)
            .count();
        let from = picks[at] - begin as u32;
        if run >= COPY_MIN {
            segments.push(Segment::Copy { source: source as u32, from, to, len: run as u32 });
        } else {
            let entries = picks[at..at + run].iter().map(|p| p - begin as u32);
            match segments.last_mut() {
                Some(Segment::Gather { source: same, len, .. }) if *same as usize == source => *len += run as u32,
                _ => segments.push(Segment::Gather {
                    source: source as u32,
                    table: table.len() as u32,
                    to,
                    len: run as u32,
                }),
            }
            table.extend(entries);
        }
        at += run;
    }
    (segments, table)
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
