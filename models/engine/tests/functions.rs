//! Functions of one and two numbers: errors within what is stated, limits, NaN, slopes, and the same bits on every path.

mod support;
#[path = "support/sweep.rs"]
#[allow(dead_code, reason = "the example uses more of it")]
mod sweep;

use core::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use flyball_engine::math::{apply_binary, apply_unary};
use flyball_engine::{Binary, Path, Unary};
use support::Random;
use sweep::{RELATIVE, TRANSCENDENTAL, sweep as measure};

const SEED: u64 = 20_261_124;
const INF: f32 = f32::INFINITY;

/// The others, with the largest error in ulp.
const PIECEWISE: [(Unary, f64); 9] = [
    (Unary::Negate, 0.0),
    (Unary::Absolute, 0.0),
    (Unary::Square, 0.5),
    (Unary::Sqrt, 0.5),
    (Unary::Relu, 0.0),
    (Unary::LeakyRelu { slope: 0.01 }, 0.5),
    (Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }, 0.5),
    (Unary::HardSwish, 2.5),
    (Unary::Clip { low: -0.5, high: 2.0 }, 0.0),
];

const ARITHMETIC: [Binary; 10] = [
    Binary::Add,
    Binary::Subtract,
    Binary::Multiply,
    Binary::Divide,
    Binary::Minimum,
    Binary::Maximum,
    Binary::Power,
    Binary::PRelu,
    Binary::Greater,
    Binary::Equal,
];

/// Where functions change their formula, saturate, underflow or overflow.
const TURNS: [f32; 36] = [
    0.0,
    1e-45,
    1e-38,
    1.175_494_4e-38,
    1e-20,
    1e-8,
    1e-4,
    0.01,
    0.1,
    0.346_573_6,
    0.5,
    FRAC_1_SQRT_2,
    0.75,
    1.0,
    SQRT_2,
    1.5,
    2.0,
    3.0,
    3.85,
    3.92,
    5.0,
    8.66,
    9.01,
    10.5,
    11.5,
    13.0,
    14.6,
    15.0,
    18.0,
    87.336_55,
    88.722_84,
    89.0,
    103.972_08,
    105.0,
    1e10,
    f32::MAX,
];

fn functions() -> impl Iterator<Item = Unary> {
    TRANSCENDENTAL.into_iter().chain(PIECEWISE).map(|(function, _)| function)
}

fn binaries() -> impl Iterator<Item = Binary> {
    ARITHMETIC.into_iter().chain(functions().map(Binary::Slope))
}

/// The neighbourhoods of [`TURNS`] on both sides of 0.
fn near_turns(within: i64) -> impl Iterator<Item = u32> {
    TURNS.into_iter().flat_map(move |turn| (-within..=within).map(move |i| i64::from(turn.to_bits()) + i)).flat_map(
        |bits| {
            let bits = bits.clamp(0, i64::from(f32::MAX.to_bits())) as u32;
            [bits, bits | 1 << 31]
        },
    )
}

/// Encodings of all kinds, NaN and infinities among them.
fn of_all_kinds(stride: usize) -> Vec<f32> {
    let more = [INF, -INF, f32::NAN, -f32::NAN].map(f32::to_bits);
    (0..=u32::MAX).step_by(stride).chain(near_turns(8)).chain(more).map(f32::from_bits).collect()
}

fn one(function: Unary, x: f32) -> f32 {
    let mut y = [0.0];
    apply_unary(Path::best(), function, &[x], &mut y);
    y[0]
}

fn two(function: Binary, a: f32, b: f32) -> f32 {
    let mut y = [0.0];
    apply_binary(Path::best(), function, &[a], &[b], &mut y);
    y[0]
}

/// NaN is NaN, whatever its sign and payload.
fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

#[test]
fn errors_stay_within_what_is_stated() {
    for (function, limit) in TRANSCENDENTAL.into_iter().chain(PIECEWISE) {
        let worst = measure(Path::best(), function, (0..=u32::MAX).step_by(4099).chain(near_turns(300)));
        assert!(worst.wrong.is_none(), "{function:?}: {worst:?}");
        assert!(worst.ulp.error <= limit && worst.subnormal.error <= limit, "{function:?}, {limit} ulp: {worst:?}");
        assert!(worst.relative.error <= RELATIVE, "{function:?}: {worst:?}");
    }
}

#[test]
fn saturation_is_exact_and_never_passed() {
    for function in [Unary::Tanh, Unary::Erf, Unary::Sigmoid] {
        // Every 61st number from 1/4 to 128, on both sides.
        let range = |sign: u32| (0x3e80_0000 | sign..0x4300_0000 | sign).step_by(61);
        assert!(measure(Path::best(), function, range(0).chain(range(1 << 31))).size <= 1.0, "{function:?}");
        assert_eq!(one(function, 30.0), 1.0, "{function:?}");
    }
    assert_eq!((one(Unary::Tanh, -30.0), one(Unary::Erf, -30.0)), (-1.0, -1.0));
    assert_eq!(one(Unary::Elu { alpha: 2.0 }, -30.0), -2.0);
}

#[test]
fn infinities_have_limits() {
    let selu = Unary::Selu { alpha: 2.0, gamma: 3.0 };
    let table = [
        (Unary::Exp, 0.0, INF),
        (Unary::Log, f32::NAN, INF),
        (Unary::Sqrt, f32::NAN, INF),
        (Unary::Erf, -1.0, 1.0),
        (Unary::Tanh, -1.0, 1.0),
        (Unary::Sigmoid, 0.0, 1.0),
        (Unary::Softplus, 0.0, INF),
        (Unary::Gelu, 0.0, INF),
        (Unary::GeluTanh, 0.0, INF),
        (Unary::Elu { alpha: 2.0 }, -2.0, INF),
        (selu, -6.0, INF),
        (Unary::Relu, 0.0, INF),
        (Unary::LeakyRelu { slope: 0.5 }, -INF, INF),
        (Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }, 0.0, 1.0),
        (Unary::HardSwish, 0.0, INF),
        (Unary::Clip { low: -0.5, high: 2.0 }, -0.5, 2.0),
        (Unary::Absolute, INF, INF),
    ];
    for (function, low, high) in table {
        assert_eq!(bits(&[one(function, -INF) + 0.0, one(function, INF)]), bits(&[low, high]), "{function:?}");
    }
    assert_eq!(one(Unary::Log, 0.0), -INF);
    assert!(one(Unary::Log, -1e-45).is_nan());
}

#[test]
fn nan_stays_nan() {
    for nan in [f32::NAN, -f32::NAN] {
        for function in functions() {
            assert!(one(function, nan).is_nan(), "{function:?}");
        }
        for function in binaries().filter(|f| !matches!(f, Binary::Greater | Binary::Equal)) {
            for other in [0.0, 1.0, -2.0, INF] {
                let unused = matches!(function, Binary::PRelu) && other >= 0.0;
                assert!(two(function, nan, other).is_nan(), "{function:?}: NaN, {other}");
                assert!(two(function, other, nan).is_nan() || unused, "{function:?}: {other}, NaN");
            }
        }
        assert_eq!([two(Binary::Greater, nan, 1.0), two(Binary::Equal, nan, nan)], [0.0, 0.0]);
    }
}

#[test]
fn pairs_are_as_the_reference_rounded() {
    let mut random = Random(SEED);
    let mut numbers: Vec<f32> = (0..40_000).map(|_| f32::from_bits(random.next() as u32)).collect();
    numbers.retain(|x| x.is_finite());
    let b: Vec<f32> = numbers.iter().rev().enumerate().map(|(i, x)| if i % 9 == 0 { numbers[i] } else { *x }).collect();
    let mut got = vec![0.0; numbers.len()];
    for function in ARITHMETIC.into_iter().filter(|f| *f != Binary::Power) {
        apply_binary(Path::best(), function, &numbers, &b, &mut got);
        for ((a, b), got) in numbers.iter().zip(&b).zip(&got) {
            let exact = function.value(f64::from(*a), f64::from(*b)) as f32;
            assert_eq!(bits(&[*got]), bits(&[exact]), "seed {SEED}, {function:?} of {a:e}, {b:e}");
        }
    }
}

#[test]
fn powers_are_rounded_once() {
    let mut random = Random(SEED);
    let mut pairs: Vec<(f32, f32)> = Vec::new();
    for _ in 0..100_000 {
        // Bases of all sizes, exponents so that most powers are neither 0 nor infinite; whole ones among them.
        let a = f32::from_bits(random.next() as u32);
        let b = random.list(1, 200.0)[0] / (a.abs().log2().abs() + 0.1);
        pairs.push((a, if random.below(4) == 0 { b.round() } else { b }));
        pairs.push((1.0 + random.list(1, 0.001)[0], random.list(1, 1e5)[0]));
    }
    pairs.retain(|(a, b)| a.is_finite() && b.is_finite());
    let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
    let mut got = vec![0.0; a.len()];
    apply_binary(Path::best(), Binary::Power, &a, &b, &mut got);
    let mut ordinary = 0;
    for ((a, b), got) in a.iter().zip(&b).zip(&got) {
        let exact = Binary::Power.value(f64::from(*a), f64::from(*b));
        let at = format!("seed {SEED}, {a:e} to the power {b:e}: {got:e} instead of {exact:e}");
        assert_eq!(got.is_nan(), exact.is_nan(), "{at}");
        if exact.is_finite() && exact.abs() < f64::from(f32::MAX) {
            let ulp = (exact.abs() * f64::from(f32::EPSILON)).max(1.5e-45);
            assert!((f64::from(*got) - exact).abs() <= 0.51 * ulp, "{at}");
            ordinary += usize::from(*got != 0.0);
        } else if !exact.is_nan() {
            assert_eq!(f64::from(*got), exact.signum() * f64::INFINITY, "{at}");
        }
    }
    assert!(ordinary > 100_000, "{ordinary} of {} powers say something", got.len());
    let corners = [0.0, 0.5, 1.0, 2.0, 3.0, 16_777_216.0, INF].map(|x| [x, -x]);
    for a in corners.into_iter().flatten() {
        for b in corners.into_iter().flatten() {
            let exact = Binary::Power.value(f64::from(a), f64::from(b)) as f32;
            assert_eq!(bits(&[two(Binary::Power, a, b)]), bits(&[exact]), "{a:e} to the power {b:e}");
        }
    }
}

#[test]
fn slopes_are_those_of_the_reference() {
    let mut random = Random(SEED);
    let mut v: Vec<f32> = random.list(20_000, 13.0);
    v.extend(random.list(20_000, 1.0));
    v.extend([0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 1e-30, -1e-30, 1e-40, 12.0, -12.0, 100.0, -100.0, 1e30, -1e30]);
    let ones = vec![1.0; v.len()];
    let mut got = vec![0.0; v.len()];
    for function in functions() {
        // The reference knows no kink between two f32; values of these functions are not negative.
        let outside = |v: f32| v < 0.0 && matches!(function, Unary::Sqrt | Unary::Softplus | Unary::Log);
        // A relative error says nothing where a slope crosses 0.
        let crosses_zero = matches!(function, Unary::Gelu | Unary::GeluTanh | Unary::Selu { .. } | Unary::HardSwish);
        apply_binary(Path::best(), Binary::Slope(function), &ones, &v, &mut got);
        for (v, got) in v.iter().zip(&got).filter(|(v, _)| !outside(**v)) {
            let exact = function.slope(f64::from(*v));
            let allowed = 1.5 * RELATIVE * exact.abs() + if crosses_zero { 3e-7 } else { 3e-45 };
            let same = f64::from(*got) == f64::from(exact as f32);
            let at = format!("seed {SEED}, {function:?} at {v:e}: {got:e} instead of {exact:e}");
            assert!(same || (f64::from(*got) - exact).abs() <= allowed, "{at}");
        }
    }
}

#[test]
fn every_path_gives_the_same_bits() {
    let a = of_all_kinds(100_003);
    let mut b = a.clone();
    b.rotate_left(a.len() / 3);
    let (mut first, mut got) = (vec![0.0; a.len()], vec![0.0; a.len()]);
    for path in Path::available() {
        for function in functions() {
            apply_unary(Path::Scalar, function, &a, &mut first);
            apply_unary(path, function, &a, &mut got);
            compare(path, &format!("{function:?}"), &a, &first, &got);
        }
        for function in binaries() {
            let (x, y) = if matches!(function, Binary::Slope(_)) { (&b, &a) } else { (&a, &b) };
            apply_binary(Path::Scalar, function, x, y, &mut first);
            apply_binary(path, function, x, y, &mut got);
            compare(path, &format!("{function:?}"), y, &first, &got);
        }
    }
}

fn compare(path: Path, what: &str, at: &[f32], first: &[f32], got: &[f32]) {
    if let Some(i) = (0..at.len()).find(|i| bits(&first[*i..=*i]) != bits(&got[*i..=*i])) {
        panic!("{what} at {:e}: {:e} on path {path}, {:e} on the scalar one", at[i], got[i], first[i]);
    }
}

#[test]
fn a_number_does_not_depend_on_its_place() {
    let a: Vec<f32> = Random(SEED).list(50, 10.0);
    for function in functions() {
        let alone: Vec<f32> = a.iter().map(|x| one(function, *x)).collect();
        for len in 0..=a.len() {
            let mut got = vec![f32::NAN; len];
            apply_unary(Path::best(), function, &a[..len], &mut got);
            assert_eq!(bits(&got), bits(&alone[..len]), "seed {SEED}, {function:?}, {len} numbers");
        }
    }
}
