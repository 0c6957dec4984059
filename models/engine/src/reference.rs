//! The reference interpreter: every operator in f64, written to be read. It judges the kernels, folds constants and takes differences.
//!
//! It is slow and allocates; nothing in a scan uses it. Transcendental functions come from `libm`, so results do not depend on the platform.

use std::sync::Arc;

use crate::graph::Graph;
use crate::index::{FILLED, broadcast_strides, elements, for_each, place, strides};
use crate::op::{Binary, Conv, NodeData, Op, ReduceKind, Scan, Unary};

/// Elements of a node that is folded into a constant at most.
const FOLD_MAX: usize = 1 << 20;
/// Multiplications of a node that is folded at most: a larger one would stall the load.
const FOLD_WORK_MAX: usize = 1 << 26;

impl Unary {
    /// The function at a point.
    #[must_use]
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::Negate => -x,
            Self::Absolute => x.abs(),
            Self::Square => x * x,
            Self::Sqrt => libm::sqrt(x),
            Self::Exp => libm::exp(x),
            Self::Log => libm::log(x),
            Self::Erf => libm::erf(x),
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::LeakyRelu { slope } => {
                if x < 0.0 {
                    f64::from(slope) * x
                } else {
                    x
                }
            }
            Self::Elu { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(alpha) * libm::expm1(x)
                }
            }
            Self::Selu { alpha, gamma } => {
                f64::from(gamma) * if x > 0.0 { x } else { f64::from(alpha) * libm::expm1(x) }
            }
            Self::Gelu => 0.5 * x * libm::erfc(-x * core::f64::consts::FRAC_1_SQRT_2),
            Self::GeluTanh => {
                let inner = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                // The same as 0.5 x (1 + tanh(inner)), with the relative precision of the negative tail.
                x / (1.0 + libm::exp(-2.0 * inner))
            }
            Self::Tanh => libm::tanh(x),
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Self::HardSigmoid { alpha, beta } => clip(f64::from(alpha) * x + f64::from(beta), 0.0, 1.0),
            Self::HardSwish => x * clip(x / 6.0 + 0.5, 0.0, 1.0),
            Self::Softplus => {
                if x > 0.0 {
                    x + libm::log1p(libm::exp(-x))
                } else {
                    libm::log1p(libm::exp(x))
                }
            }
            Self::Clip { low, high } => clip(x, f64::from(low), f64::from(high)),
        }
    }

    /// The derivative at `v`: the function's value where [`Unary::slope_from_output`] says so, else its argument.
    #[must_use]
    pub fn slope(self, v: f64) -> f64 {
        let step = |inside: bool| f64::from(u8::from(inside));
        match self {
            Self::Negate => -1.0,
            Self::Absolute => {
                if v > 0.0 {
                    1.0
                } else if v < 0.0 {
                    -1.0
                } else {
                    0.0
                }
            }
            Self::Square => 2.0 * v,
            Self::Sqrt => 0.5 / v,
            Self::Exp => v,
            Self::Log => 1.0 / v,
            Self::Erf => core::f64::consts::FRAC_2_SQRT_PI * libm::exp(-v * v),
            Self::Relu => step(v > 0.0),
            Self::LeakyRelu { slope } => {
                if v > 0.0 {
                    1.0
                } else {
                    f64::from(slope)
                }
            }
            Self::Elu { alpha } => {
                if v > 0.0 {
                    1.0
                } else {
                    v + f64::from(alpha)
                }
            }
            Self::Selu { alpha, gamma } => {
                if v > 0.0 {
                    f64::from(gamma)
                } else {
                    v + f64::from(alpha) * f64::from(gamma)
                }
            }
            Self::Gelu => {
                let density = libm::exp(-0.5 * v * v) / (2.0 * core::f64::consts::PI).sqrt();
                0.5 * libm::erfc(-v * core::f64::consts::FRAC_1_SQRT_2) + v * density
            }
            Self::GeluTanh => {
                let c = (2.0 / core::f64::consts::PI).sqrt();
                let t = libm::tanh(c * (v + 0.044715 * v * v * v));
                0.5 * (1.0 + t) + 0.5 * v * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * v * v)
            }
            Self::Tanh => 1.0 - v * v,
            Self::Sigmoid => v * (1.0 - v),
            Self::HardSigmoid { alpha, beta } => {
                let inner = f64::from(alpha) * v + f64::from(beta);
                f64::from(alpha) * step(inner > 0.0 && inner < 1.0)
            }
            Self::HardSwish => {
                if v <= -3.0 {
                    0.0
                } else if v >= 3.0 {
                    1.0
                } else {
                    v / 3.0 + 0.5
                }
            }
            Self::Softplus => -libm::expm1(-v),
            Self::Clip { low, high } => step(v > f64::from(low) && v < f64::from(high)),
        }
    }
}

fn clip(x: f64, low: f64, high: f64) -> f64 {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

impl Binary {
    /// The function at a point.
    #[must_use]
    pub fn value(self, a: f64, b: f64) -> f64 {
        let flag = |yes: bool| f64::from(u8::from(yes));
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Minimum => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
            Self::Maximum => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Self::Power => libm::pow(a, b),
            Self::PRelu => {
                if a < 0.0 {
                    a * b
                } else {
                    a
                }
            }
            Self::Greater => flag(a > b),
            Self::Equal => flag(a == b),
            Self::Slope(function) => a * function.slope(b),
        }
    }
}

/// A tensor of the interpreter, row-major.
pub type Values = Vec<f64>;

/// All outputs for these inputs. Bounded by the graph; allocates.
///
/// # Panics
/// The inputs' lengths are not those of the graph's inputs.
#[must_use]
pub fn evaluate(graph: &Graph, inputs: &[Values]) -> Vec<Values> {
    let all = evaluate_all(graph, inputs);
    graph.outputs().iter().map(|o| all[o.index()][0].clone()).collect()
}

/// The values of every node (a scan has one per part).
///
/// # Panics
/// The inputs' lengths are not those of the graph's inputs.
#[must_use]
pub fn evaluate_all(graph: &Graph, inputs: &[Values]) -> Vec<Vec<Values>> {
    assert_eq!(inputs.len(), graph.inputs().len(), "one list of numbers per input");
    let mut fed = inputs.iter();
    let mut all: Vec<Vec<Values>> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let value = match &node.op {
            Op::Input => {
                let value = fed.next().expect("counted above").clone();
                assert_eq!(value.len(), elements(&node.shape), "length of an input");
                vec![value]
            }
            Op::Scan(scan) => run_scan(scan, &node.inputs.iter().map(|n| &all[n.index()][0]).collect::<Vec<_>>()),
            Op::Part(i) => vec![all[node.inputs[0].index()][*i].clone()],
            _ => {
                let shapes: Vec<&[usize]> = node.inputs.iter().map(|n| graph.shape(*n)).collect();
                let values: Vec<&Values> = node.inputs.iter().map(|n| &all[n.index()][0]).collect();
                vec![evaluate_node(node, &shapes, &values)]
            }
        };
        all.push(value);
    }
    all
}

/// The numbers of a node whose inputs are all constants, if it is small enough.
pub(crate) fn fold(graph: &Graph, node: &NodeData) -> Option<Arc<[f32]>> {
    let data: Option<Vec<&Arc<[f32]>>> = node.inputs.iter().map(|n| graph.constant_data(*n)).collect();
    let data = data?;
    if matches!(node.op, Op::Reshape) {
        return Some(Arc::clone(data[0]));
    }
    let shapes: Vec<&[usize]> = node.inputs.iter().map(|n| graph.shape(*n)).collect();
    let work = match &node.op {
        Op::MatMul => elements(&node.shape).checked_mul(*shapes[0].last()?)?,
        Op::Conv(_) => elements(&node.shape).checked_mul(elements(&shapes[1][1..]))?,
        _ => data.iter().map(|d| d.len()).sum(),
    };
    if elements(&node.shape) > FOLD_MAX || work > FOLD_WORK_MAX {
        return None;
    }
    let values: Vec<Values> = data.iter().map(|d| d.iter().map(|v| f64::from(*v)).collect()).collect();
    let value = evaluate_node(node, &shapes, &values.iter().collect::<Vec<_>>());
    Some(value.iter().map(|v| *v as f32).collect())
}

/// One node that is no input, scan or part.
fn evaluate_node(node: &NodeData, shapes: &[&[usize]], values: &[&Values]) -> Values {
    match &node.op {
        Op::Constant(data) => data.iter().map(|v| f64::from(*v)).collect(),
        Op::Unary(function) => values[0].iter().map(|v| function.value(*v)).collect(),
        Op::Binary(function) => {
            let (a, b) = (broadcast_strides(shapes[0], &node.shape), broadcast_strides(shapes[1], &node.shape));
            let mut out = Vec::with_capacity(elements(&node.shape));
            for_each(&node.shape, |at| out.push(function.value(values[0][place(at, &a)], values[1][place(at, &b)])));
            out
        }
        Op::MatMul => matmul(&node.shape, shapes, values),
        Op::Conv(conv) => convolve(conv, &node.shape, shapes, values),
        Op::Reduce { kind, .. } => reduce(*kind, &node.shape, shapes[0], values[0]),
        Op::Index(map) => {
            let flat: Values = values.iter().flat_map(|v| v.iter().copied()).collect();
            let pick = |p: &u32| if *p == FILLED { f64::from(map.fill) } else { flat[*p as usize] };
            map.picks.iter().map(pick).collect()
        }
        Op::Reshape => values[0].clone(),
        Op::Input | Op::Scan(_) | Op::Part(_) => unreachable!("handled by the caller"),
    }
}

fn matmul(shape: &[usize], shapes: &[&[usize]], values: &[&Values]) -> Values {
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
        out.push((0..inner).map(|k| values[0][row + k] * values[1][column + k * shape[rank - 1]]).sum());
    });
    out
}

fn convolve(conv: &Conv, shape: &[usize], shapes: &[&[usize]], values: &[&Values]) -> Values {
    let (sx, sw) = (strides(shapes[0]), strides(shapes[1]));
    let per_group = shapes[1][0] / conv.groups;
    let mut out = Vec::with_capacity(elements(shape));
    for_each(shape, |at| {
        let first = at[1] / per_group * shapes[1][1];
        let mut sum = values.get(2).map_or(0.0, |bias| bias[at[1]]);
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
            sum += values[0][source] * values[1][weight];
        });
        out.push(sum);
    });
    out
}

fn reduce(kind: ReduceKind, shape: &[usize], from: &[usize], values: &Values) -> Values {
    let to = broadcast_strides(shape, from);
    let start = match kind {
        ReduceKind::Sum => 0.0,
        ReduceKind::Maximum => f64::NEG_INFINITY,
        ReduceKind::Minimum => f64::INFINITY,
    };
    let mut out = vec![start; elements(shape)];
    let mut values = values.iter();
    for_each(from, |at| {
        let cell = &mut out[place(at, &to)];
        let value = *values.next().expect("one per coordinate");
        *cell = match kind {
            ReduceKind::Sum => *cell + value,
            ReduceKind::Maximum => Binary::Maximum.value(*cell, value),
            ReduceKind::Minimum => Binary::Minimum.value(*cell, value),
        };
    });
    out
}

fn run_scan(scan: &Scan, inputs: &[&Values]) -> Vec<Values> {
    let mut states: Vec<Values> = inputs[..scan.states].iter().map(|v| (*v).clone()).collect();
    let mut stacked: Vec<Values> = vec![Vec::new(); scan.body.outputs().len() - scan.states];
    for trip in 0..scan.trips {
        let mut fed = states.clone();
        for (i, input) in inputs.iter().enumerate().skip(scan.states) {
            let slice = input.len() / scan.trips;
            let is_scanned = i < scan.states + scan.scanned;
            fed.push(if is_scanned { input[trip * slice..(trip + 1) * slice].to_vec() } else { (*input).clone() });
        }
        let mut results = evaluate(&scan.body, &fed);
        for (all, new) in stacked.iter_mut().zip(results.split_off(scan.states)) {
            all.extend(new);
        }
        states = results;
    }
    states.into_iter().chain(stacked).collect()
}
