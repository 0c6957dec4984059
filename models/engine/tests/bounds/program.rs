//! Programs in f32 that keep to the rules of `bounds`, each as unfavourably as it may: the bounds must hold for all of them.
//!
//! They differ in the order of sums, in fused or separate rounding, and in the sign of their functions' errors.

use flyball_engine::index::{FILLED, broadcast_strides, elements, for_each, place, strides};
use flyball_engine::op::Scan;
use flyball_engine::{Binary, Conv, Graph, Node, Op, ReduceKind, Unary};

/// Points that are computed together.
pub const POINTS: usize = 16;
/// One number of all points.
pub type Lanes = [f32; POINTS];
type Tensor = Vec<Lanes>;

/// How sums are accumulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the first product to the last, fused.
    Ascending,
    /// Four partial sums, each product rounded, then added.
    Partial,
    /// From the last product to the first, fused, beginning with a constant that is added later if nobody else reads the sum.
    FromBias,
}

/// All orders.
pub const ORDERS: [Order; 3] = [Order::Ascending, Order::Partial, Order::FromBias];

/// Relative error that functions make before their result is rounded: both together stay below 1e-6.
const ERROR: f64 = 0.93e-6;

/// Outputs of a graph, one after the other, for inputs that stand one after the other.
pub fn run(graph: &Graph, order: Order, inputs: &[Lanes]) -> Vec<Lanes> {
    let mut rest = inputs;
    let mut take = |n: &Node| {
        let (own, others) = rest.split_at(elements(graph.shape(*n)));
        rest = others;
        own.to_vec()
    };
    let inputs: Vec<Tensor> = graph.inputs().iter().map(&mut take).collect();
    evaluate(graph, order, &inputs).concat()
}

fn evaluate(graph: &Graph, order: Order, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut all: Vec<Vec<Tensor>> = Vec::with_capacity(graph.nodes().len());
    let mut fed = inputs.iter();
    for (at, data) in graph.nodes().iter().enumerate() {
        let read: Vec<&Tensor> = data.inputs.iter().map(|n| &all[n.index()][0]).collect();
        let shapes: Vec<&[usize]> = data.inputs.iter().map(|n| graph.shape(*n)).collect();
        let begin = (order == Order::FromBias).then(|| addend(graph, at, &all)).flatten();
        let value = match &data.op {
            Op::Input => fed.next().unwrap().clone(),
            Op::Constant(numbers) => numbers.iter().map(|v| [*v; POINTS]).collect(),
            Op::Unary(f) => read[0].iter().map(|x| x.map(|x| unary(*f, x, order))).collect(),
            Op::Binary(Binary::Add) if order == Order::FromBias && merged(graph, at).is_some() => {
                all[merged(graph, at).unwrap()][0].clone()
            }
            Op::Binary(f) => {
                let (a, b) = (broadcast_strides(shapes[0], &data.shape), broadcast_strides(shapes[1], &data.shape));
                let mut out = Vec::new();
                for_each(&data.shape, |i| {
                    let (x, y) = (read[0][place(i, &a)], read[1][place(i, &b)]);
                    out.push(std::array::from_fn(|p| binary(*f, x[p], y[p], order)));
                });
                out
            }
            Op::MatMul => matmul(&data.shape, &shapes, &read, begin, order),
            Op::Conv(conv) => convolve(conv, &data.shape, &shapes, &read, order),
            Op::Reduce { kind, .. } => reduce(*kind, &data.shape, shapes[0], read[0]),
            Op::Index(map) => {
                let flat: Tensor = read.into_iter().flatten().copied().collect();
                let pick = |p: &u32| if *p == FILLED { [map.fill; POINTS] } else { flat[*p as usize] };
                map.picks.iter().map(pick).collect()
            }
            Op::Reshape => read[0].clone(),
            Op::Part(i) => all[data.inputs[0].index()][*i].clone(),
            Op::Scan(scan) => {
                let results = run_scan(scan, order, &read);
                all.push(results);
                continue;
            }
        };
        all.push(vec![value]);
    }
    graph.outputs().iter().map(|o| all[o.index()][0].clone()).collect()
}

fn readers(graph: &Graph, at: usize) -> Vec<usize> {
    let reads = |i: &usize| graph.nodes()[*i].inputs.iter().any(|n| n.index() == at);
    (at..graph.nodes().len()).filter(reads).collect()
}

/// The product that an addition of a constant is merged into.
fn merged(graph: &Graph, at: usize) -> Option<usize> {
    let inputs = &graph.nodes()[at].inputs;
    let constant = |n: &Node| matches!(graph.node(*n).op, Op::Constant(_));
    let product = |n: &Node| {
        let alone = readers(graph, n.index()) == [at] && !graph.outputs().contains(n);
        matches!(graph.node(*n).op, Op::MatMul) && alone && graph.shape(*n) == graph.nodes()[at].shape
    };
    let pair = [(inputs[0], inputs[1]), (inputs[1], inputs[0])];
    pair.iter().find(|(a, b)| product(a) && constant(b)).map(|(a, _)| a.index())
}

/// What a product's sums begin with when the addition behind it is merged into it.
fn addend(graph: &Graph, at: usize, all: &[Vec<Tensor>]) -> Option<Tensor> {
    let Op::MatMul = graph.nodes()[at].op else { return None };
    let [add] = readers(graph, at)[..] else { return None };
    let data = &graph.nodes()[add];
    if !matches!(data.op, Op::Binary(Binary::Add)) || merged(graph, add) != Some(at) {
        return None;
    }
    let other = data.inputs.iter().find(|n| n.index() != at)?;
    let Op::Constant(numbers) = &graph.node(*other).op else { return None };
    let _ = all;
    let from = broadcast_strides(graph.shape(*other), &data.shape);
    let mut out = Vec::new();
    for_each(&data.shape, |i| out.push([numbers[place(i, &from)]; POINTS]));
    Some(out)
}

/// Largest allowed error, with a sign that looks random and differs between orders.
fn wrong(value: f64, x: f32, order: Order) -> f32 {
    let mixed = (x.to_bits() ^ (order as u32).wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
    let sign = if mixed >> 31 == 0 { 1.0 } else { -1.0 };
    (value * (1.0 + sign * ERROR)) as f32
}

fn unary(f: Unary, x: f32, order: Order) -> f32 {
    let kernel = |f: Unary, x: f32| wrong(f.value(f64::from(x)), x, order);
    let limited = |v: f32, low: f32, high: f32| {
        if v < low {
            low
        } else if v > high {
            high
        } else {
            v
        }
    };
    match f {
        Unary::Negate => -x,
        Unary::Absolute => x.abs(),
        Unary::Square => x * x,
        Unary::Sqrt => x.sqrt(),
        Unary::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Unary::LeakyRelu { slope } => {
            if x < 0.0 {
                slope * x
            } else {
                x
            }
        }
        Unary::Clip { low, high } => limited(x, low, high),
        Unary::HardSigmoid { alpha, beta } => limited(alpha.mul_add(x, beta), 0.0, 1.0),
        Unary::HardSwish => x * limited(x.mul_add(1.0 / 6.0, 0.5), 0.0, 1.0),
        Unary::Elu { alpha } => {
            if x > 0.0 {
                x
            } else {
                alpha * (kernel(Unary::Exp, x) - 1.0)
            }
        }
        Unary::Selu { alpha, gamma } => gamma * if x > 0.0 { x } else { alpha * (kernel(Unary::Exp, x) - 1.0) },
        Unary::Gelu if x < 0.0 => 0.5 * x * (1.0 + kernel(Unary::Erf, x * std::f32::consts::FRAC_1_SQRT_2)),
        Unary::Exp | Unary::Log | Unary::Gelu | Unary::GeluTanh | Unary::Softplus => kernel(f, x),
        Unary::Erf | Unary::Tanh | Unary::Sigmoid => limited(kernel(f, x), -1.0, 1.0),
    }
}

fn binary(f: Binary, a: f32, b: f32, order: Order) -> f32 {
    match f {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Minimum => {
            if a.is_nan() || a < b {
                a
            } else {
                b
            }
        }
        Binary::Maximum => {
            if a.is_nan() || a > b {
                a
            } else {
                b
            }
        }
        Binary::Power => wrong(f.value(f64::from(a), f64::from(b)), a, order),
        Binary::PRelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
        Binary::Greater => f32::from(u8::from(a > b)),
        Binary::Equal => f32::from(u8::from(a == b)),
        Binary::Slope(_) => f.value(f64::from(a), f64::from(b)) as f32,
    }
}

/// The sum of `count` products, whose factors `pair` gives.
fn dot<'t>(begin: Lanes, count: usize, order: Order, pair: impl Fn(usize) -> (&'t Lanes, &'t Lanes)) -> Lanes {
    let fused = |sum: &mut Lanes, i: usize| {
        let (a, b) = pair(i);
        // The product is exact in f64; the sum's own rounding there is 2^-29 of that to f32.
        (0..POINTS).for_each(|p| sum[p] = (f64::from(a[p]) * f64::from(b[p]) + f64::from(sum[p])) as f32);
    };
    let mut sum = begin;
    match order {
        Order::Ascending => (0..count).for_each(|i| fused(&mut sum, i)),
        Order::FromBias => (0..count).rev().for_each(|i| fused(&mut sum, i)),
        Order::Partial => {
            let mut parts = [[0.0; POINTS]; 4];
            for i in 0..count {
                let (a, b) = pair(i);
                (0..POINTS).for_each(|p| parts[i % 4][p] += a[p] * b[p]);
            }
            (0..POINTS).for_each(|p| sum[p] += (parts[0][p] + parts[2][p]) + (parts[1][p] + parts[3][p]));
        }
    }
    sum
}

fn matmul(shape: &[usize], shapes: &[&[usize]], read: &[&Tensor], begin: Option<Tensor>, order: Order) -> Tensor {
    let rank = shape.len();
    let inner = shapes[0][rank - 1];
    let wide = |own: &[usize]| {
        let mut strides = broadcast_strides(own, shape);
        strides[rank - 2..].copy_from_slice(&[0, 0]);
        strides
    };
    let (a, b) = (wide(shapes[0]), wide(shapes[1]));
    let mut out = Vec::with_capacity(elements(shape));
    for_each(shape, |at| {
        let (row, column) = (place(at, &a) + at[rank - 2] * inner, place(at, &b) + at[rank - 1]);
        let begin = begin.as_ref().map_or([0.0; POINTS], |b| b[out.len()]);
        let pair = |k: usize| (&read[0][row + k], &read[1][column + k * shape[rank - 1]]);
        out.push(dot(begin, inner, order, pair));
    });
    out
}

fn convolve(conv: &Conv, shape: &[usize], shapes: &[&[usize]], read: &[&Tensor], order: Order) -> Tensor {
    let (sx, sw) = (strides(shapes[0]), strides(shapes[1]));
    let per_group = shapes[1][0] / conv.groups;
    let mut out = Vec::with_capacity(elements(shape));
    for_each(shape, |at| {
        let first = at[1] / per_group * shapes[1][1];
        let mut pairs = Vec::new();
        for_each(&shapes[1][1..], |tap| {
            let mut source = at[0] * sx[0] + (first + tap[0]) * sx[1];
            let mut weight = at[1] * sw[0] + tap[0] * sw[1];
            for axis in 0..conv.strides.len() {
                let here = at[2 + axis] * conv.strides[axis] + tap[1 + axis] * conv.dilations[axis];
                let Some(inside) = here.checked_sub(conv.pads[axis].0).filter(|i| *i < shapes[0][2 + axis]) else {
                    return;
                };
                source += inside * sx[2 + axis];
                weight += tap[1 + axis] * sw[2 + axis];
            }
            pairs.push((source, weight));
        });
        let begin = read.get(2).map_or([0.0; POINTS], |bias| bias[at[1]]);
        out.push(dot(begin, pairs.len(), order, |i| (&read[0][pairs[i].0], &read[1][pairs[i].1])));
    });
    out
}

fn reduce(kind: ReduceKind, shape: &[usize], from: &[usize], x: &Tensor) -> Tensor {
    let to = broadcast_strides(shape, from);
    let begin = match kind {
        ReduceKind::Sum => 0.0,
        ReduceKind::Maximum => f32::NEG_INFINITY,
        ReduceKind::Minimum => f32::INFINITY,
    };
    let mut out = vec![[begin; POINTS]; elements(shape)];
    let mut x = x.iter();
    for_each(from, |at| {
        let (cell, value) = (&mut out[place(at, &to)], x.next().unwrap());
        for (cell, value) in cell.iter_mut().zip(value) {
            *cell = match kind {
                ReduceKind::Sum => *cell + value,
                ReduceKind::Maximum => binary(Binary::Maximum, *cell, *value, Order::Ascending),
                ReduceKind::Minimum => binary(Binary::Minimum, *cell, *value, Order::Ascending),
            };
        }
    });
    out
}

fn run_scan(scan: &Scan, order: Order, read: &[&Tensor]) -> Vec<Tensor> {
    let mut states: Vec<Tensor> = read[..scan.states].iter().map(|t| (*t).clone()).collect();
    let mut stacked: Vec<Tensor> = vec![Vec::new(); scan.body.outputs().len() - scan.states];
    for trip in 0..scan.trips {
        let mut fed = states.clone();
        for (i, input) in read.iter().enumerate().skip(scan.states) {
            let slice = input.len() / scan.trips;
            let is_scanned = i < scan.states + scan.scanned;
            fed.push(if is_scanned { input[trip * slice..(trip + 1) * slice].to_vec() } else { (*input).clone() });
        }
        let mut results = evaluate(&scan.body, order, &fed);
        for (all, new) in stacked.iter_mut().zip(results.split_off(scan.states)) {
            all.extend(new);
        }
        states = results;
    }
    states.into_iter().chain(stacked).collect()
}
