//! Where nothing can be said, that is what is said; wrong questions are errors; runs leave nothing behind.

use flyball_engine::bounds::{BoundsError, Certifier, Interval, Reason, Tightness, certify};
use flyball_engine::{Binary, Graph, Node, Unary};

use super::nets;
use super::program::ORDERS;
use super::sampling::{compiled, holds, program};

fn graph(make: impl Fn(&mut Graph, Node) -> Node) -> Graph {
    let mut g = Graph::new();
    let x = g.input(&[2]).unwrap();
    let y = make(&mut g, x);
    g.output(y);
    g
}

fn reason(g: &Graph, limits: (f32, f32)) -> Option<Reason> {
    let found = certify(g, &[limits; 2]).unwrap();
    let whole = found.outputs[0].iter().any(|i| !i.is_finite());
    assert_eq!(whole, found.unbounded.is_some(), "infinite bounds have a reason");
    assert!(found.outputs[0].iter().all(|i| !i.low.is_nan() && !i.high.is_nan()), "bounds are never NaN");
    found.unbounded.map(|u| u.reason)
}

#[test]
fn what_is_unbounded_says_why() {
    let divided = graph(|g, x| {
        let one = g.scalar(1.0).unwrap();
        g.binary(Binary::Divide, one, x).unwrap()
    });
    assert_eq!(reason(&divided, (-1.0, 1.0)), Some(Reason::Divisor));
    assert_eq!(reason(&divided, (1.0, 2.0)), None);
    let root = graph(|g, x| g.unary(Unary::Sqrt, x).unwrap());
    assert_eq!(reason(&root, (-1e-9, 1.0)), Some(Reason::Argument));
    assert_eq!(reason(&root, (0.0, 1.0)), None);
    let logarithm = graph(|g, x| g.unary(Unary::Log, x).unwrap());
    assert_eq!(reason(&logarithm, (0.0, 1.0)), Some(Reason::Argument));
    assert_eq!(reason(&logarithm, (0.1, 1.0)), None);
    let power = graph(|g, x| {
        let half = g.scalar(0.5).unwrap();
        g.binary(Binary::Power, x, half).unwrap()
    });
    assert_eq!(reason(&power, (-1.0, 1.0)), Some(Reason::Power));
    let exponential = graph(|g, x| g.unary(Unary::Exp, x).unwrap());
    assert_eq!(reason(&exponential, (0.0, 100.0)), Some(Reason::Overflow));
    assert_eq!(reason(&exponential, (0.0, 80.0)), None);
    let passed = graph(|g, x| g.unary(Unary::Relu, x).unwrap());
    assert_eq!(reason(&passed, (0.0, f32::INFINITY)), Some(Reason::Input));
}

/// Where NaN is possible nothing is known, also behind functions that would limit a number.
#[test]
fn nothing_limits_what_may_be_nan() {
    let limits = [Unary::Tanh, Unary::Sigmoid, Unary::Relu, Unary::Clip { low: 0.0, high: 1.0 }, Unary::Absolute];
    for f in limits {
        let g = graph(|g, x| {
            let root = g.unary(Unary::Sqrt, x).unwrap();
            let y = g.unary(f, root).unwrap();
            let one = g.scalar(1.0).unwrap();
            let y = g.binary(Binary::Maximum, y, one).unwrap();
            g.binary(Binary::Add, y, x).unwrap()
        });
        let found = certify(&g, &[(-1.0, 1.0), (1.0, 2.0)]).unwrap().outputs.concat();
        assert_eq!(found[0], Interval::WHOLE, "{f:?}");
        assert!(found[1].is_finite(), "{f:?}: the other number is not concerned");
    }
    // Infinity minus infinity, and zero times infinity.
    let difference = graph(|g, x| {
        let y = g.unary(Unary::Exp, x).unwrap();
        let z = g.unary(Unary::Square, y).unwrap();
        let zero = g.scalar(0.0).unwrap();
        let y = g.binary(Binary::Multiply, y, zero).unwrap();
        g.binary(Binary::Subtract, z, y).unwrap()
    });
    assert!(certify(&difference, &[(0.0, 100.0); 2]).unwrap().outputs[0].iter().all(|i| i.is_whole()));
}

#[test]
fn huge_ranges_give_bounds_or_infinity_and_never_nan() {
    for net in nets::all() {
        for size in [1e3_f32, 1e10, 1e30, f32::MAX, f32::INFINITY] {
            for tightness in [Tightness::Intervals, Tightness::Outputs, Tightness::Layers] {
                let mut certifier = Certifier::new(&net.graph, tightness).unwrap();
                let (low, high) = (vec![-size; certifier.inputs()], vec![size; certifier.inputs()]);
                let mut out = vec![Interval { low: 0.0, high: 0.0 }; certifier.outputs()];
                certifier.run(&low, &high, &mut out).unwrap();
                let fine = out.iter().all(|i| i.low <= i.high && i.low < 1e38 && i.high > -1e38);
                assert!(fine, "{} at {size}: {out:?}", net.name);
                assert!(size < f32::INFINITY || out.iter().all(|i| i.is_whole()), "{}: {out:?}", net.name);
            }
        }
    }
}

/// Attention masks with minus infinity: what is masked has no share, and the others are bounded.
#[test]
fn masked_shares_are_zero() {
    let mut g = Graph::new();
    let x = g.input(&[1, 3]).unwrap();
    let weights = g.constant(&[3, 3], (0..9).map(|i| i as f32 * 0.1).collect::<Vec<f32>>()).unwrap();
    let scores = g.matmul(x, weights).unwrap();
    let mask = g.constant(&[1, 3], vec![0.0, f32::NEG_INFINITY, 0.0]).unwrap();
    let masked = g.binary(Binary::Add, scores, mask).unwrap();
    let shares = g.softmax(masked, &[1]).unwrap();
    g.output(shares);
    let at = [(-1.0, 1.0); 3];
    let found = certify(&g, &at).unwrap().outputs.concat();
    assert!(found[1].low == 0.0 && found[1].high < 1e-30, "{found:?}");
    assert!(found[0].low > 0.05 && found[0].high < 0.95, "{found:?}");
    for order in ORDERS {
        holds("masked softmax", &at, &found, 2_000, 1, &mut program(&g, order));
    }
    holds("masked softmax", &at, &found, 2_000, 1, &mut compiled(&g));
    // Nothing is known where all are masked, or where a constant is NaN.
    for wrong in [f32::NEG_INFINITY, f32::NAN] {
        let g = graph(|g, x| {
            let mask = g.constant(&[2], vec![wrong; 2]).unwrap();
            let masked = g.binary(Binary::Add, x, mask).unwrap();
            g.softmax(masked, &[0]).unwrap()
        });
        assert!(certify(&g, &at[..2]).unwrap().outputs[0].iter().all(|i| i.is_whole()), "{wrong}");
    }
}

/// A certifier that has seen other numbers answers as a new one, bit for bit.
#[test]
fn runs_leave_nothing_behind() {
    for net in nets::all() {
        for tightness in [Tightness::Intervals, Tightness::Outputs, Tightness::Layers] {
            let mut used = Certifier::new(&net.graph, tightness).unwrap();
            let count = used.inputs();
            let answer = |certifier: &mut Certifier, low: f32, high: f32| {
                let mut out = vec![Interval::WHOLE; certifier.outputs()];
                certifier.run(&vec![low; count], &vec![high; count], &mut out).unwrap();
                out
            };
            let fresh = answer(&mut Certifier::new(&net.graph, tightness).unwrap(), -0.3, 0.2);
            for (low, high) in [(-1.0, 1.0), (f32::NEG_INFINITY, f32::INFINITY), (0.5, 0.5), (-1e20, 1e20)] {
                answer(&mut used, low, high);
                assert_eq!(answer(&mut used, -0.3, 0.2), fresh, "{}", net.name);
            }
        }
    }
}

#[test]
fn runs_allocate_nothing() {
    for net in nets::all() {
        for tightness in [Tightness::Intervals, Tightness::Outputs, Tightness::Layers] {
            let mut certifier = Certifier::new(&net.graph, tightness).unwrap();
            let (low, high) = (vec![-0.1; certifier.inputs()], vec![0.1; certifier.inputs()]);
            let mut out = vec![Interval::WHOLE; certifier.outputs()];
            let mut reach = vec![0.0; certifier.outputs()];
            let counted = allocation_counter::measure(|| {
                certifier.run(&low, &high, &mut out).unwrap();
                certifier.deviation(&low, &high, &mut reach).unwrap();
            });
            assert_eq!(counted.count_total, 0, "{} with {tightness:?}", net.name);
        }
    }
}

#[test]
fn wrong_questions_are_errors() {
    let g = graph(|g, x| g.unary(Unary::Tanh, x).unwrap());
    let mut certifier = Certifier::new(&g, Tightness::Layers).unwrap();
    let mut out = [Interval::WHOLE; 2];
    let inputs = BoundsError::Inputs { expected: 2, received: 1 };
    assert_eq!(certifier.run(&[0.0], &[1.0, 1.0], &mut out), Err(inputs));
    assert_eq!(certifier.run(&[0.0; 2], &[1.0], &mut out), Err(inputs));
    assert_eq!(certifier.deviation(&[0.0; 2], &[1.0], &mut [0.0; 2]), Err(inputs));
    let outputs = BoundsError::Outputs { expected: 2, received: 1 };
    assert_eq!(certifier.run(&[0.0; 2], &[1.0; 2], &mut out[..1]), Err(outputs));
    let order = BoundsError::Order { place: 1 };
    assert_eq!(certifier.run(&[0.0, 2.0], &[1.0; 2], &mut out), Err(order));
    assert_eq!(certifier.run(&[0.0, f32::NAN], &[1.0; 2], &mut out), Err(order));
    assert_eq!(certifier.deviation(&[0.0; 2], &[0.0, -1e-30], &mut [0.0; 2]), Err(order));
    assert_eq!(certifier.deviation(&[0.0; 2], &[0.0, f32::NAN], &mut [0.0; 2]), Err(order));
    assert_eq!(out, [Interval::WHOLE; 2], "an error changes nothing");
    certifier.run(&[0.0; 2], &[1.0; 2], &mut out).unwrap();
    assert!(out[0].is_finite(), "an error breaks nothing");
    assert!(inputs.to_string().contains('2') && order.to_string().contains("input number 1"));
}
