//! The functions of [`crate::Unary`] and [`crate::Binary`] on 16 lanes, written once for all CPUs.
//!
//! What every function here keeps:
//!
//! * *The same bits on every CPU.* Only operations that IEEE 754 defines to the last bit are used: sums, products, quotients, roots,
//!   fused multiply-add, comparisons, and operations on whole numbers. No estimate of a reciprocal, no minimum or maximum instruction.
//! * *NaN stays NaN*, whichever argument it is; in slopes too, where the reference interpreter would answer 0 at a kink. Exceptions:
//!   `Greater` and `Equal` answer 0, and `PRelu` does not look at b where it does not need it.
//! * *Accuracy*: 1e-6 relative or better, measured over all f32 by `cargo run --release -p flyball-engine --example accuracy`; limits in
//!   ulp are held by `tests/functions.rs`. Results below 2^-126 lose digits as f32 does (gradual underflow); none is flushed to 0 early.
//! * *Range.* |tanh|, |erf| and sigmoid never exceed 1. At an infinity the limit is returned: gelu and hard swish are 0 at minus infinity.
//!
//! One struct per function, so that a loop is compiled for each function and CPU with no choice inside: [`with_unary`] and [`with_binary`]
//! call a visitor with the struct. All is `inline(always)`, because code must end up in a function that enables the CPU's instructions.

mod binary;
mod dispatch;
mod exp;
mod gelu;
mod lanes;
mod log;
mod piecewise;
mod power;
mod sigmoid;
mod slices;

use fearless_simd::{Simd, f32x16};

pub(crate) use dispatch::{BinaryVisitor, UnaryVisitor, with_binary, with_unary};
pub(crate) use lanes::Fused;
pub use slices::{apply_binary, apply_unary};

/// A function of one number, lane by lane.
pub(crate) trait UnaryFn: Copy {
    /// The function at x.
    fn apply<S: Simd>(self, simd: S, x: f32x16<S>) -> f32x16<S>;

    /// Its derivative at `v`: the function's value where [`crate::Unary::slope_from_output`] says so, else its argument.
    fn slope<S: Simd>(self, simd: S, v: f32x16<S>) -> f32x16<S>;
}

/// A function of two numbers, lane by lane.
pub(crate) trait BinaryFn: Copy {
    /// The function at a and b.
    fn apply<S: Simd>(self, simd: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S>;
}
