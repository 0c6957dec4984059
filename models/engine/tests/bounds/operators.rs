//! Every operator over random intervals: its own results, and sums of its results with its inputs, so that relaxation has something to
//! cancel.

use std::sync::Arc;

use flyball_engine::bounds::{Certifier, Interval, Tightness};
use flyball_engine::index::{IndexMap, elements};
use flyball_engine::{Binary, Conv, Graph, GraphError, Node, ReduceKind, Unary};

use super::program::{ORDERS, POINTS};
use super::sampling::{Random, compiled, holds, program, reference};

/// Random intervals per operator.
const ROUNDS: u64 = 60;

/// What the inputs of an operator may be.
#[derive(Clone, Copy)]
enum Domain {
    /// Any number.
    All,
    /// At least 0, sometimes exactly 0.
    Positive,
    /// Not 0: one sign per interval.
    Apart,
}

/// A random interval: any scale, any width from none to far across.
fn interval(random: &mut Random, domain: Domain) -> (f32, f32) {
    let scale = 10_f64.powf(random.between(-3.0, 1.5));
    let centre = random.between(-1.0, 1.0) * scale;
    let width = match random.below(6) {
        0 => 0.0,
        1 => 1e-6 * scale,
        2 => 20.0 * scale,
        _ => random.unit() * scale,
    };
    let (low, high) = (centre - width, centre + width * random.unit());
    let (low, high) = match domain {
        Domain::All if random.below(5) == 0 => (low.min(0.0), 0.0),
        Domain::All => (low, high),
        Domain::Positive => (low.max(0.0), high.abs().max(low)),
        Domain::Apart => {
            let low = low.abs() + 0.01 * scale;
            let sign = if random.below(2) == 0 { 1.0 } else { -1.0 };
            let ends = [sign * low, sign * (low + width)];
            (ends[0].min(ends[1]), ends[0].max(ends[1]))
        }
    };
    (low as f32, (high as f32).max(low as f32))
}

/// Adds sums of the results, and of results and inputs, as further outputs.
fn mix(g: &mut Graph, random: &mut Random, y: Node) -> Result<(), GraphError> {
    g.output(y);
    let mut sums = Vec::new();
    for node in g.inputs().to_vec().into_iter().chain([y]) {
        let count = elements(g.shape(node));
        let flat = g.reshape(node, &[1, count])?;
        let weights = random.weights(count * 2, 1.0);
        let weights = g.constant(&[count, 2], weights)?;
        sums.push(g.matmul(flat, weights)?);
    }
    let mut all = sums[0];
    for sum in &sums[1..] {
        all = g.binary(Binary::Add, all, *sum)?;
    }
    g.output(all);
    Ok(())
}

/// Checks an operator that `make` builds from inputs of these shapes. Returns how often its own bounds were finite.
fn check(
    what: &str,
    shapes: &[(&[usize], Domain)],
    mut make: impl FnMut(&mut Graph, &[Node], &mut Random) -> Result<Node, GraphError>,
) -> usize {
    let mut finite = 0;
    for seed in 0..ROUNDS {
        let mut random = Random::new(seed.wrapping_mul(0x5851_F42D) + 7);
        let mut g = Graph::new();
        let inputs: Vec<Node> = shapes.iter().map(|(s, _)| g.input(s).unwrap()).collect();
        let y = make(&mut g, &inputs, &mut random).unwrap_or_else(|e| panic!("{what}: {e}"));
        let own = elements(g.shape(y));
        mix(&mut g, &mut random, y).unwrap();
        let at: Vec<(f32, f32)> = shapes
            .iter()
            .flat_map(|(s, domain)| std::iter::repeat_n(*domain, elements(s)))
            .map(|domain| interval(&mut random, domain))
            .collect();
        let (low, high): (Vec<f32>, Vec<f32>) = at.iter().copied().unzip();
        let (mut before, mut last): (Option<Vec<Interval>>, _) = (None, Vec::new());
        for tightness in [Tightness::Intervals, Tightness::Outputs, Tightness::Layers] {
            let mut certifier = Certifier::new(&g, tightness).unwrap();
            let mut out = vec![Interval::WHOLE; certifier.outputs()];
            certifier.run(&low, &high, &mut out).unwrap();
            let ordered = |i: &Interval| i.low <= i.high;
            assert!(out.iter().all(ordered), "{what}, seed {seed}: {out:?}");
            if let Some(before) = &before {
                let inside = |(a, b): (&Interval, &Interval)| {
                    let rounding = 1e-12 * b.size();
                    a == b || (a.low >= b.low - rounding && a.high <= b.high + rounding)
                };
                let inside = out.iter().zip(before).all(inside);
                assert!(inside, "{what}, seed {seed}: {tightness:?} is looser: {out:?} after {before:?}");
            } else {
                before = Some(out.clone());
            }
            last = out;
        }
        let out = last;
        finite += usize::from(out[..own].iter().all(|i| i.is_finite()));
        for order in ORDERS {
            holds(what, &at, &out, 8 * POINTS, seed, &mut program(&g, order));
        }
        holds(what, &at, &out, 8 * POINTS, seed, &mut compiled(&g));
        holds(what, &at, &out, 4 * POINTS, seed, &mut reference(&g));
    }
    finite
}

const ALL: Domain = Domain::All;

#[test]
fn functions_of_one_number() {
    let functions = [
        (Unary::Negate, ALL),
        (Unary::Absolute, ALL),
        (Unary::Square, ALL),
        (Unary::Sqrt, Domain::Positive),
        (Unary::Exp, ALL),
        (Unary::Log, Domain::Apart),
        (Unary::Erf, ALL),
        (Unary::Relu, ALL),
        (Unary::LeakyRelu { slope: 0.1 }, ALL),
        (Unary::LeakyRelu { slope: -0.5 }, ALL),
        (Unary::LeakyRelu { slope: 1.5 }, ALL),
        (Unary::Elu { alpha: 0.7 }, ALL),
        (Unary::Elu { alpha: 2.5 }, ALL),
        (Unary::Elu { alpha: -0.5 }, ALL),
        (Unary::Selu { alpha: 1.67, gamma: 1.05 }, ALL),
        (Unary::Selu { alpha: -1.0, gamma: -2.0 }, ALL),
        (Unary::Gelu, ALL),
        (Unary::GeluTanh, ALL),
        (Unary::Tanh, ALL),
        (Unary::Sigmoid, ALL),
        (Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }, ALL),
        (Unary::HardSigmoid { alpha: -0.4, beta: 0.3 }, ALL),
        (Unary::HardSigmoid { alpha: 0.0, beta: 0.3 }, ALL),
        (Unary::HardSwish, ALL),
        (Unary::Softplus, ALL),
        (Unary::Clip { low: -0.4, high: 0.6 }, ALL),
        (Unary::Clip { low: f32::NEG_INFINITY, high: 0.5 }, ALL),
        (Unary::Clip { low: 0.0, high: f32::INFINITY }, ALL),
        (Unary::Clip { low: 1.0, high: -1.0 }, ALL),
    ];
    for (f, domain) in functions {
        let finite = check(&format!("{f:?}"), &[(&[4], domain)], |g, x, _| g.unary(f, x[0]));
        assert!(f == Unary::Log || finite * 10 >= ROUNDS as usize * 8, "{f:?}: {finite} of {ROUNDS} are finite");
    }
}

#[test]
fn functions_of_two_numbers() {
    let functions = [
        (Binary::Add, ALL, ALL),
        (Binary::Subtract, ALL, ALL),
        (Binary::Multiply, ALL, ALL),
        (Binary::Divide, ALL, Domain::Apart),
        (Binary::Divide, ALL, ALL),
        (Binary::Minimum, ALL, ALL),
        (Binary::Maximum, ALL, ALL),
        (Binary::Power, Domain::Positive, ALL),
        (Binary::Power, ALL, ALL),
        (Binary::PRelu, ALL, ALL),
        (Binary::Greater, ALL, ALL),
        (Binary::Equal, ALL, ALL),
    ];
    for (f, a, b) in functions {
        let name = format!("{f:?}");
        let finite = check(&name, &[(&[2, 3], a), (&[1, 3], b)], |g, x, _| g.binary(f, x[0], x[1]));
        let sometimes = matches!((f, a, b), (Binary::Divide, _, Domain::All) | (Binary::Power, ..));
        assert!(sometimes || finite == ROUNDS as usize, "{f:?}: {finite} of {ROUNDS} are finite");
        check(&format!("{f:?} of one"), &[(&[3], b)], |g, x, _| g.binary(f, x[0], x[0]));
        for left in [false, true] {
            let constant = |g: &mut Graph, x: &[Node], random: &mut Random| {
                let numbers = random.weights(3, 2.0);
                let c = g.constant(&[3], numbers)?;
                if left { g.binary(f, c, x[0]) } else { g.binary(f, x[0], c) }
            };
            check(&format!("{f:?} with a constant"), &[(&[2, 3], if left { b } else { a })], constant);
        }
    }
    for exponent in [-3.0, -2.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 7.5] {
        for domain in [ALL, Domain::Positive, Domain::Apart] {
            check(&format!("power {exponent}"), &[(&[4], domain)], |g, x, _| {
                let e = g.scalar(exponent)?;
                g.binary(Binary::Power, x[0], e)
            });
        }
    }
}

#[test]
fn slopes() {
    let functions = [
        Unary::Negate,
        Unary::Absolute,
        Unary::Square,
        Unary::Erf,
        Unary::Relu,
        Unary::LeakyRelu { slope: 0.1 },
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Unary::HardSwish,
        Unary::Clip { low: -0.4, high: 0.6 },
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::Elu { alpha: 2.0 },
        Unary::Selu { alpha: 1.67, gamma: 1.05 },
        Unary::Softplus,
        Unary::Exp,
        Unary::Sqrt,
        Unary::Log,
    ];
    for f in functions {
        let domain = if matches!(f, Unary::Sqrt | Unary::Log) { Domain::Positive } else { ALL };
        // The slope's argument is the function's value or argument, whichever it is computed from.
        check(&format!("slope of {f:?}"), &[(&[3], ALL), (&[3], domain)], |g, x, _| {
            let v = if f.slope_from_output() { g.unary(f, x[1])? } else { x[1] };
            g.binary(Binary::Slope(f), x[0], v)
        });
    }
}

#[test]
fn sums_of_products() {
    check("product with a constant on the right", &[(&[2, 5], ALL)], |g, x, r| {
        let numbers = r.weights(15, 1.0);
        let w = g.constant(&[5, 3], numbers)?;
        g.matmul(x[0], w)
    });
    check("product with a constant on the left", &[(&[5, 3], ALL)], |g, x, r| {
        let numbers = r.weights(10, 1.0);
        let w = g.constant(&[2, 5], numbers)?;
        g.matmul(w, x[0])
    });
    check("product of two variables", &[(&[2, 4], ALL), (&[4, 3], ALL)], |g, x, _| g.matmul(x[0], x[1]));
    check("batches that broadcast", &[(&[2, 1, 1, 3], ALL), (&[1, 2, 3, 2], ALL)], |g, x, _| g.matmul(x[0], x[1]));
    check("batches of a constant", &[(&[1, 2, 3], ALL)], |g, x, r| {
        let numbers = r.weights(24, 1.0);
        let w = g.constant(&[2, 2, 3, 2], numbers)?;
        g.matmul(x[0], w)
    });
    check("bias, scale and another bias", &[(&[1, 6], ALL)], |g, x, r| {
        let (w, b) = (r.weights(24, 1.0), r.weights(4, 30.0));
        let (w, b) = (g.constant(&[6, 4], w)?, g.constant(&[4], b)?);
        let y = g.matmul(x[0], w)?;
        let y = g.binary(Binary::Add, y, b)?;
        let y = g.binary(Binary::Multiply, y, b)?;
        let y = g.binary(Binary::Divide, y, b)?;
        g.binary(Binary::Subtract, y, b)
    });
    check("numbers that nearly cancel", &[(&[1, 8], Domain::Positive)], |g, x, _| {
        let w: Vec<f32> = (0..16).map(|i| if i / 2 % 2 == 0 { 1.0 } else { -1.0 + f32::EPSILON }).collect();
        let w = g.constant(&[8, 2], w)?;
        let large = g.constant(&[2], vec![1e4, -1e4])?;
        let y = g.matmul(x[0], w)?;
        let y = g.binary(Binary::Add, y, large)?;
        let y = g.binary(Binary::Subtract, y, large)?;
        g.unary(Unary::Tanh, y)
    });
}

#[test]
fn convolutions() {
    let geometries = [(1, 1, (0, 0), 1), (2, 1, (1, 0), 1), (1, 2, (2, 2), 2), (3, 1, (0, 2), 2)];
    for (stride, dilation, pads, groups) in geometries {
        for bias in [false, true] {
            let conv = Conv { strides: vec![stride], dilations: vec![dilation], pads: vec![pads], groups };
            check(&format!("{conv:?}"), &[(&[2, 4, 7], ALL)], |g, x, r| {
                let w = r.weights(4 * (4 / groups) * 3, 1.0);
                let w = g.constant(&[4, 4 / groups, 3], w)?;
                let b = r.weights(4, 1.0);
                let b = if bias { Some(g.constant(&[4], b)?) } else { None };
                g.conv(x[0], w, b, conv.clone())
            });
        }
    }
    let plane = Conv { strides: vec![1, 2], dilations: vec![2, 1], pads: vec![(1, 1), (0, 1)], groups: 1 };
    check("two axes", &[(&[1, 2, 5, 4], ALL)], |g, x, r| {
        let w = r.weights(3 * 2 * 2 * 3, 1.0);
        let w = g.constant(&[3, 2, 2, 3], w)?;
        g.conv(x[0], w, None, plane.clone())
    });
    check("variable weights and bias", &[(&[1, 2, 5], ALL), (&[2, 2, 2], ALL), (&[2], ALL)], |g, x, _| {
        let conv = Conv { strides: vec![1], dilations: vec![1], pads: vec![(1, 0)], groups: 1 };
        g.conv(x[0], x[1], Some(x[2]), conv)
    });
    check("variable weights of a constant", &[(&[2, 2, 2], ALL), (&[2], ALL)], |g, x, r| {
        let conv = Conv { strides: vec![1], dilations: vec![1], pads: vec![(1, 0)], groups: 1 };
        let numbers = r.weights(10, 1.0);
        let fixed = g.constant(&[1, 2, 5], numbers)?;
        g.conv(fixed, x[0], Some(x[1]), conv)
    });
}

#[test]
fn reductions_moves_and_compositions() {
    for kind in [ReduceKind::Sum, ReduceKind::Maximum, ReduceKind::Minimum] {
        for axes in [&[0][..], &[1], &[0, 2], &[0, 1, 2]] {
            check(&format!("{kind:?} over {axes:?}"), &[(&[2, 3, 2], ALL)], |g, x, _| g.reduce(kind, x[0], axes));
        }
    }
    check("moves", &[(&[2, 3], ALL), (&[2, 2], ALL)], |g, x, r| {
        let fixed = r.weights(2, 1.0);
        let fixed = g.constant(&[2, 1], fixed)?;
        let all = g.concat(&[x[0], x[1], fixed], 1)?;
        let turned = g.transpose(all, &[1, 0])?;
        let padded = g.pad(turned, &[(1, 0), (0, 1)], 0.5)?;
        let again = g.gather(padded, 0, &[0, 3, 3, 1])?;
        let shape = [2, 6];
        let again = g.reshape(again, &shape)?;
        g.index(&[again, x[1]], &[3], IndexMap { picks: vec![15, 2, u32::MAX].into(), fill: -2.0 })
    });
    check("softmax", &[(&[2, 4], ALL)], |g, x, _| g.softmax(x[0], &[1]));
    check("softmax over two axes", &[(&[2, 2, 2], ALL)], |g, x, _| g.softmax(x[0], &[0, 2]));
    check("logarithm of softmax", &[(&[1, 4], ALL)], |g, x, _| {
        let largest = g.reduce(ReduceKind::Maximum, x[0], &[1])?;
        let below = g.binary(Binary::Subtract, x[0], largest)?;
        let powers = g.unary(Unary::Exp, below)?;
        let sum = g.reduce(ReduceKind::Sum, powers, &[1])?;
        let sum = g.unary(Unary::Log, sum)?;
        g.binary(Binary::Subtract, below, sum)
    });
    let finite = check("normalisation", &[(&[2, 5], ALL)], |g, x, _| {
        let mean = g.mean(x[0], &[1])?;
        let centred = g.binary(Binary::Subtract, x[0], mean)?;
        let squares = g.unary(Unary::Square, centred)?;
        let variance = g.mean(squares, &[1])?;
        let small = g.scalar(1e-5)?;
        let variance = g.binary(Binary::Add, variance, small)?;
        let deviation = g.unary(Unary::Sqrt, variance)?;
        g.binary(Binary::Divide, centred, deviation)
    });
    assert_eq!(finite, ROUNDS as usize, "a root of a sum of squares is never that of a negative number");
}

#[test]
fn loops() {
    let body = |random: &mut Random| -> Result<Arc<Graph>, GraphError> {
        let mut b = Graph::new();
        let (s, t) = (b.input(&[1, 2])?, b.input(&[1, 2])?);
        let (x, w) = (b.input(&[1, 3])?, b.input(&[2, 2])?);
        let from = random.weights(6, 0.7);
        let from = b.constant(&[3, 2], from)?;
        let new = b.matmul(x, from)?;
        let kept = b.matmul(s, w)?;
        let sum = b.binary(Binary::Add, new, kept)?;
        let next = b.unary(Unary::Tanh, sum)?;
        // The states change places.
        let other = b.binary(Binary::Multiply, next, t)?;
        b.output(other);
        b.output(s);
        b.output(next);
        b.output(x);
        Ok(Arc::new(b))
    };
    for part in 0..4 {
        for fixed_state in [false, true] {
            let name = format!("loop, part {part}, constant states {fixed_state}");
            check(&name, &[(&[1, 2], ALL), (&[3, 1, 3], ALL), (&[2, 2], ALL)], |g, x, r| {
                let numbers = r.weights(2, 1.0);
                let zero = g.constant(&[1, 2], numbers)?;
                let first = if fixed_state { zero } else { x[0] };
                let parts = g.scan(body(r)?, 3, &[first, zero], &[x[1]], &[x[2]])?;
                Ok(parts[part])
            });
        }
    }
}
