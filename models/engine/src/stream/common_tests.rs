//! Layers as a file's lowering makes them, and the comparison of a windowed graph with its one-step form.

use std::sync::Arc;

use super::{NotStreamable, Stream, stream};
use crate::index::elements;
use crate::op::{Binary, Conv, Unary};
use crate::reference::{Values, evaluate};
use crate::{Graph, Instance, Node, Path, Program};

/// Splitmix64 (Steele, Lea, Flood 2014): seeded numbers for tests.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Between -1 and 1.
    pub fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn numbers(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.number()).collect()
    }
}

/// Where time stands in an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// [1, T, features]
    BatchFirst,
    /// [T, 1, features]
    TimeFirst,
    /// [1, features, T]
    Channels,
}

impl Layout {
    pub const ALL: [Self; 3] = [Self::BatchFirst, Self::TimeFirst, Self::Channels];

    pub fn axis(self) -> usize {
        match self {
            Self::BatchFirst => 1,
            Self::TimeFirst => 0,
            Self::Channels => 2,
        }
    }

    pub fn shape(self, steps: usize, features: usize) -> Vec<usize> {
        match self {
            Self::BatchFirst => vec![1, steps, features],
            Self::TimeFirst => vec![steps, 1, features],
            Self::Channels => vec![1, features, steps],
        }
    }

    /// Axis `i` of the target is axis `order[i]` of this layout.
    pub fn order_to(self, target: Self) -> [usize; 3] {
        // Each axis by its meaning: 0 is batch, 1 time, 2 features.
        let meaning = |layout| match layout {
            Self::BatchFirst => [0, 1, 2],
            Self::TimeFirst => [1, 0, 2],
            Self::Channels => [0, 2, 1],
        };
        meaning(target).map(|wanted| meaning(self).iter().position(|own| *own == wanted).unwrap())
    }
}

/// A graph under construction with its weights' seed.
pub struct Net {
    pub g: Graph,
    pub seed: Seeded,
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Self { g: Graph::new(), seed: Seeded(seed) }
    }

    pub fn input(&mut self, shape: &[usize]) -> Node {
        self.g.input(shape).unwrap()
    }

    pub fn done(mut self, outputs: &[Node]) -> Graph {
        outputs.iter().for_each(|n| self.g.output(*n));
        self.g
    }

    pub fn weights(&mut self, shape: &[usize]) -> Node {
        let numbers = self.seed.numbers(elements(shape));
        self.g.constant(shape, numbers).unwrap()
    }

    pub fn layout(&mut self, x: Node, from: Layout, to: Layout) -> Node {
        self.g.transpose(x, &from.order_to(to)).unwrap()
    }

    pub fn unary(&mut self, function: Unary, x: Node) -> Node {
        self.g.unary(function, x).unwrap()
    }

    pub fn binary(&mut self, function: Binary, a: Node, b: Node) -> Node {
        self.g.binary(function, a, b).unwrap()
    }

    /// Over the last axis.
    pub fn dense(&mut self, x: Node, out: usize) -> Node {
        let shape = self.g.shape(x).to_vec();
        let x = if shape.len() < 2 { self.g.reshape(x, &[1, elements(&shape)]).unwrap() } else { x };
        let weights = self.weights(&[*shape.last().unwrap(), out]);
        let bias = self.weights(&[out]);
        let y = self.g.matmul(x, weights).unwrap();
        self.binary(Binary::Add, y, bias)
    }

    /// A convolution of [1, channels, T] along time.
    pub fn conv(
        &mut self,
        x: Node,
        out: usize,
        kernel: usize,
        dilation: usize,
        pads: (usize, usize),
        groups: usize,
    ) -> Node {
        let channels = self.g.shape(x)[1];
        let weights = self.weights(&[out, channels / groups, kernel]);
        let bias = self.weights(&[out]);
        let conv = Conv { strides: vec![1], dilations: vec![dilation], pads: vec![pads], groups };
        self.g.conv(x, weights, Some(bias), conv).unwrap()
    }

    /// One step of an LSTM (gates i, o, f, c as in ONNX) over states h and c [1, hidden].
    pub fn lstm(&mut self, x: Node, hidden: usize) -> Recurrent {
        let features = self.g.shape(x)[2];
        let (w, r, b) =
            (self.weights(&[features, 4 * hidden]), self.weights(&[hidden, 4 * hidden]), self.weights(&[4 * hidden]));
        let mut body = Net::new(0);
        let (h, c, x_t) = (body.input(&[1, hidden]), body.input(&[1, hidden]), body.input(&[1, features]));
        let (w_t, r_t, b_t) =
            (body.input(&[features, 4 * hidden]), body.input(&[hidden, 4 * hidden]), body.input(&[4 * hidden]));
        let from_x = body.g.matmul(x_t, w_t).unwrap();
        let from_h = body.g.matmul(h, r_t).unwrap();
        let sum = body.binary(Binary::Add, from_x, from_h);
        let gates = body.binary(Binary::Add, sum, b_t);
        let mut gate = |k: usize, function| {
            let part = body.g.slice(gates, 1, k * hidden, (k + 1) * hidden).unwrap();
            body.unary(function, part)
        };
        let (i, o, f) = (gate(0, Unary::Sigmoid), gate(1, Unary::Sigmoid), gate(2, Unary::Sigmoid));
        let candidate = gate(3, Unary::Tanh);
        let (kept, new) = (body.binary(Binary::Multiply, f, c), body.binary(Binary::Multiply, i, candidate));
        let cell = body.binary(Binary::Add, kept, new);
        let squashed = body.unary(Unary::Tanh, cell);
        let out = body.binary(Binary::Multiply, o, squashed);
        let body = body.done(&[out, cell, out]);
        let (h, c) = (self.g.constant(&[1, hidden], vec![0.0; hidden]).unwrap(), self.weights(&[1, hidden]));
        let trips = self.g.shape(x)[0];
        let parts = self.g.scan(Arc::new(body), trips, &[h, c], &[x], &[w, r, b]).unwrap();
        Recurrent { last: parts[0], all: parts[2] }
    }

    /// One step of a GRU (reset after the product), its weights inside the body; `start` is the first state.
    pub fn gru(&mut self, x: Node, hidden: usize, start: Option<Node>) -> Recurrent {
        let features = self.g.shape(x)[2];
        let mut body = Net::new(self.seed.next());
        let (h, x_t) = (body.input(&[1, hidden]), body.input(&[1, features]));
        let (from_x, from_h) = (body.dense(x_t, 3 * hidden), body.dense(h, 3 * hidden));
        let part = |body: &mut Net, of, k: usize| body.g.slice(of, 1, k * hidden, (k + 1) * hidden).unwrap();
        let sum = body.binary(Binary::Add, from_x, from_h);
        let (z, r) = (part(&mut body, sum, 0), part(&mut body, sum, 1));
        let (z, r) = (body.unary(Unary::Sigmoid, z), body.unary(Unary::Sigmoid, r));
        let (new_x, new_h) = (part(&mut body, from_x, 2), part(&mut body, from_h, 2));
        let reset = body.binary(Binary::Multiply, r, new_h);
        let new = body.binary(Binary::Add, new_x, reset);
        let new = body.unary(Unary::Tanh, new);
        let difference = body.binary(Binary::Subtract, h, new);
        let kept = body.binary(Binary::Multiply, z, difference);
        let out = body.binary(Binary::Add, new, kept);
        let body = body.done(&[out, out]);
        let start = start.unwrap_or_else(|| self.g.constant(&[1, hidden], vec![0.0; hidden]).unwrap());
        let trips = self.g.shape(x)[0];
        let parts = self.g.scan(Arc::new(body), trips, &[start], &[x], &[]).unwrap();
        Recurrent { last: parts[0], all: parts[1] }
    }
}

/// Results of a recurrent layer over [T, 1, features].
pub struct Recurrent {
    /// [1, hidden]
    pub last: Node,
    /// [T, 1, hidden]
    pub all: Node,
}

/// Steps `from..to` of numbers of a shape along an axis.
pub fn cut(numbers: &[f64], shape: &[usize], axis: usize, from: usize, to: usize) -> Values {
    let (inner, steps) = (elements(&shape[axis + 1..]), shape[axis]);
    numbers.chunks(inner * steps).flat_map(|c| c[from * inner..to * inner].iter().copied()).collect()
}

/// Numbers for the input of a windowed graph that is `steps` long instead.
pub fn feed(graph: &Graph, axis: usize, steps: usize, seed: u64) -> (Values, Vec<usize>) {
    let mut shape = graph.shape(graph.inputs()[0]).to_vec();
    shape[axis] = steps;
    let numbers = Seeded(seed).numbers(elements(&shape));
    (numbers.into_iter().map(f64::from).collect(), shape)
}

/// States before the first step.
pub fn initial(stream: &Stream) -> Vec<Values> {
    stream.initial.iter().map(|s| s.iter().map(|v| f64::from(*v)).collect()).collect()
}

/// Outputs after each step from the initial states. `others` are the inputs after the windowed one.
pub fn run(stream: &Stream, x: &[f64], shape: &[usize], axis: usize, others: &[Values]) -> Vec<Vec<Values>> {
    let mut states = initial(stream);
    let mut all = Vec::new();
    for step in 0..shape[axis] {
        let mut fed = vec![cut(x, shape, axis, step, step + 1)];
        fed.extend(others.iter().chain(&states).cloned());
        let mut outputs = evaluate(&stream.graph, &fed);
        states = outputs.split_off(outputs.len() - stream.states);
        all.push(outputs);
    }
    all
}

/// Compares `build(T)`, nothing if the layers need more steps, with its one-step form in every way that is promised; returns that form.
pub fn compare(
    build: impl Fn(usize) -> Option<Graph>,
    axis: usize,
    window: usize,
    others: &[Values],
) -> Result<Stream, NotStreamable> {
    let graph = build(window).expect("the whole window");
    let stream = stream(&graph, 0, axis)?;
    let steps = 3 * window;
    let (x, shape) = feed(&graph, axis, steps, 99);
    let streamed = run(&stream, &x, &shape, axis, others);
    let windowed = |graph: &Graph, from: usize, to: usize| {
        let mut fed = vec![cut(&x, &shape, axis, from, to)];
        fed.extend(others.iter().cloned());
        evaluate(graph, &fed)
    };
    // The windowed outputs as far as they are known after the window's last step but `back`.
    let agree = |graph: &Graph, outputs: &[Values], step: usize, back: usize| {
        for (i, axis) in stream.sequences.iter().enumerate() {
            let shape = graph.shape(graph.outputs()[i]);
            let wanted = match axis {
                Some(axis) if shape[*axis] > back => {
                    let position = shape[*axis] - 1 - back;
                    cut(&outputs[i], shape, *axis, position, position + 1)
                }
                None if back == 0 => outputs[i].clone(),
                _ => continue,
            };
            assert_eq!(streamed[step][i], wanted, "output {i} after step {step}, {back} before the window's end");
        }
    };
    let first = windowed(&graph, 0, window);
    for step in stream.warm_up - 1..window {
        agree(&graph, &first, step, window - 1 - step);
    }
    assert!((1..=window).contains(&stream.warm_up), "{}", stream.warm_up);
    let apart = compiled_apart(&graph, &stream, axis, others);
    assert!(apart <= 1e-5, "compiled programs are {apart} apart");
    for steps in stream.warm_up..window {
        let Some(shorter) = build(steps) else { continue };
        agree(&shorter, &windowed(&shorter, 0, steps), steps - 1, 0);
    }
    if stream.equal_for_ever {
        for step in window..steps {
            agree(&graph, &windowed(&graph, step + 1 - window, step + 1), step, 0);
        }
    }
    Ok(stream)
}

/// Largest relative difference of compiled programs over the first window; 0 if all bits are the same but for the sign of zeros.
pub fn compiled_apart(graph: &Graph, stream: &Stream, axis: usize, others: &[Values]) -> f64 {
    let instance = |graph: &Graph| Arc::new(Program::compile(graph, Path::best()).unwrap()).instance();
    let fill = |instance: &mut Instance, input: usize, numbers: &[f64]| {
        instance.input_mut(input).iter_mut().zip(numbers).for_each(|(to, from)| *to = *from as f32);
    };
    let (mut whole, mut step) = (instance(graph), instance(&stream.graph));
    let (x, shape) = feed(graph, axis, stream.window, 7);
    fill(&mut whole, 0, &x);
    for (i, other) in others.iter().enumerate() {
        fill(&mut whole, 1 + i, other);
        fill(&mut step, 1 + i, other);
    }
    whole.run();
    let (mut states, mut apart) = (stream.initial.clone(), 0.0_f64);
    for t in 0..stream.window {
        fill(&mut step, 0, &cut(&x, &shape, axis, t, t + 1));
        for (i, state) in states.iter().enumerate() {
            step.input_mut(1 + others.len() + i).copy_from_slice(state);
        }
        step.run();
        for (i, state) in states.iter_mut().enumerate() {
            state.copy_from_slice(step.output(stream.sequences.len() + i));
        }
        for (i, time) in stream.sequences.iter().enumerate() {
            let shape = graph.shape(graph.outputs()[i]);
            let all: Values = whole.output(i).iter().map(|v| f64::from(*v)).collect();
            let back = stream.window - 1 - t;
            let wanted = match time {
                Some(axis) if shape[*axis] > back && t + 1 >= stream.warm_up => {
                    let position = shape[*axis] - 1 - back;
                    cut(&all, shape, *axis, position, position + 1)
                }
                None if back == 0 => all,
                _ => continue,
            };
            for (got, wanted) in step.output(i).iter().map(|v| f64::from(*v)).zip(wanted) {
                assert!(got.is_finite() && wanted.is_finite(), "output {i} after step {t}: {got} and {wanted}");
                apart = apart.max((got - wanted).abs() / (1.0 + wanted.abs()));
            }
        }
    }
    apart
}
