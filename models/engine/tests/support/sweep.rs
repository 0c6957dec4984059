//! Measures the error of functions of one number against the reference in f64, over any set of f32. Shared by a test and an example.
//!
//! *ulp*: distance of neighbouring f32 at the exact value, 2^-149 where that is below 2^-126 (there f32 has lost digits and a relative
//! error says nothing).

use flyball_engine::math::apply_unary;
use flyball_engine::{Path, Unary};

/// Transcendental functions with the largest error that is promised, in ulp. Elu and selu with the constants of ONNX.
pub const TRANSCENDENTAL: [(Unary, f64); 10] = [
    (Unary::Exp, 1.0),
    (Unary::Log, 1.0),
    (Unary::Tanh, 6.0),
    (Unary::Sigmoid, 2.5),
    (Unary::Softplus, 2.0),
    (Unary::Erf, 7.0),
    (Unary::Gelu, 7.0),
    (Unary::GeluTanh, 3.0),
    (Unary::Elu { alpha: 1.0 }, 1.0),
    (Unary::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }, 2.0),
];

/// Largest relative error of any function, where the result is a normal number.
pub const RELATIVE: f64 = 1e-6;

/// An error and the argument where it was found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    pub error: f64,
    pub at: f32,
}

impl Found {
    fn take(&mut self, error: f64, at: f32) {
        if error > self.error {
            *self = Self { error, at };
        }
    }
}

/// The largest errors of a function.
#[derive(Debug, Clone, Default)]
pub struct Worst {
    /// In ulp, results of 2^-126 and more.
    pub ulp: Found,
    /// Relative, results of 2^-126 and more.
    pub relative: Found,
    /// In units of 2^-149, smaller results.
    pub subnormal: Found,
    /// First result that is NaN or infinite where it should not be, or the other way round.
    pub wrong: Option<(f32, f32, f64)>,
    /// Largest magnitude of a result.
    pub size: f32,
}

impl Worst {
    fn add(&mut self, x: f32, got: f32, exact: f64) {
        let rounded = exact as f32;
        if got.is_nan() != exact.is_nan() || got.is_infinite() != rounded.is_infinite() {
            self.wrong = self.wrong.or(Some((x, got, exact)));
        }
        if !got.is_finite() || !exact.is_finite() {
            return;
        }
        self.size = self.size.max(got.abs());
        let error = (f64::from(got) - exact).abs();
        let smallest = f64::from(f32::MIN_POSITIVE);
        if exact.abs() < smallest {
            self.subnormal.take(error / (smallest * f64::from(f32::EPSILON)), x);
        } else {
            let power_of_two = f64::from_bits(exact.abs().to_bits() & !((1 << 52) - 1));
            self.ulp.take(error / (power_of_two * f64::from(f32::EPSILON)), x);
            self.relative.take(error / exact.abs(), x);
        }
    }

    pub fn merge(mut self, other: &Self) -> Self {
        for (mine, other) in
            [(&mut self.ulp, other.ulp), (&mut self.relative, other.relative), (&mut self.subnormal, other.subnormal)]
        {
            mine.take(other.error, other.at);
        }
        self.wrong = self.wrong.or(other.wrong);
        self.size = self.size.max(other.size);
        self
    }
}

/// The largest errors over the finite ones of these encodings.
pub fn sweep(path: Path, function: Unary, encodings: impl Iterator<Item = u32>) -> Worst {
    const BLOCK: usize = 4096;
    let mut worst = Worst::default();
    let mut finite = encodings.map(f32::from_bits).filter(|x| x.is_finite());
    let (mut from, mut to) = (Vec::with_capacity(BLOCK), vec![0.0; BLOCK]);
    loop {
        from.clear();
        from.extend(finite.by_ref().take(BLOCK));
        if from.is_empty() {
            return worst;
        }
        apply_unary(path, function, &from, &mut to[..from.len()]);
        for (x, got) in from.iter().zip(&to) {
            worst.add(*x, *got, function.value(f64::from(*x)));
        }
    }
}
