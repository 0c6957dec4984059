//! Certified bounds: intervals that hold whatever a program in f32 computes for inputs inside given intervals.
//!
//! # What is certified
//!
//! For every input inside its interval, each output's interval holds both the real value of the graph and the number that a program in
//! f32 computes, if that program keeps to these rules:
//!
//! * Sums of products (matrix products, convolutions, sums, and additions and products by which they are chained) are accumulated in any
//!   order, with or without fused multiply-add. Partial sums that nobody else reads may be continued (a bias may start the accumulation)
//!   and constant factors may be multiplied into weights, as long as these stay normal numbers.
//! * Functions have a relative error of at most 1e-6 ([`round::ACTIVATION`]), plus the same absolute error at the scale of the operands
//!   where a kernel may subtract 1 from such a number or add it; tanh, erf and sigmoid never exceed 1. Single operations are rounded to
//!   nearest. Results that are no normal numbers may be flushed to zero.
//! * NaN stays NaN.
//!
//! # Why it holds
//!
//! By induction over the nodes. If the intervals of a node's inputs hold what the program computed there, then the exact result of the
//! operator on those numbers lies in the range of the operator over the intervals, and what the program makes of it is not further from it
//! than its rounding error. So every interval is that range, widened by the rounding error:
//!
//! * A sum of products in which each product passes through at most k roundings is off by at most gamma(k) M, where gamma(k) =
//!   k u / (1 - k u), u = 2^-24, and M is the sum of the products' magnitudes (Higham, Accuracy and Stability of Numerical Algorithms,
//!   2nd ed. 2002, section 3.1). M, here the *mass*, is bounded along with the interval, through chains of such operators, so that the
//!   bound does not depend on where a program begins or ends its accumulations. Underflow adds k times the smallest normal number.
//! * A function's error is its stated accuracy. Limits, maxima, moves and changes of sign are exact.
//! * The f64 arithmetic of this module is rounded itself. Its unit is 2^-29 of that of f32, and the allowances above are taken a
//!   thousandth larger, which covers sums of the same length; where no such allowance is made, results are pushed outwards.
//!
//! A number that can be NaN, or about which nothing is known, has the interval from minus to plus infinity, and everything that reads it
//! too: no other interval can hold NaN, and no bound is ever NaN. What exceeds the largest f32 is infinite.
//!
//! # Tighter: linear relaxation
//!
//! Interval propagation forgets that two numbers come from the same input. Linear relaxation (CROWN: Zhang et al., Efficient Neural
//! Network Robustness Certification with General Activation Functions, NeurIPS 2018; DeepPoly: Singh et al., An Abstract Domain for
//! Certifying Neural Networks, POPL 2019) holds each nonlinear function between two lines over its argument's interval and carries linear
//! bounds of an output backwards through the graph to the inputs. Rounding is an additional term of each node: its allowance times the
//! magnitude of its coefficient. Results are intersected with the intervals, so they are never worse.
//!
//! Words: *mass*, the sum of magnitudes above; *slack*, the allowance of one number; *planes*, the two lines (or planes, for functions of
//! two numbers) round a function; *place*, where a number stands in the list of all numbers of all nodes.

mod api;
mod backward;
mod build;
mod extreme;
mod forward;
mod functions;
mod lines;
#[cfg(test)]
mod lines_tests;
mod pairs;
mod patterns;
mod plan;
mod products;
mod round;
mod split;
mod unroll;

pub use api::{BoundsError, Certifier, OutputBounds, Reason, Tightness, Unbounded, certify, certify_split};

/// What a number can be: from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Smallest; may be minus infinity.
    pub low: f64,
    /// Largest; may be infinity.
    pub high: f64,
}

impl Interval {
    /// Nothing is known; the only interval that also holds NaN.
    pub const WHOLE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// From `low` to `high`; all numbers if they are in the wrong order or NaN.
    #[must_use]
    pub fn new(low: f64, high: f64) -> Self {
        if low <= high { Self { low, high } } else { Self::WHOLE }
    }

    /// True if nothing is known.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.low == f64::NEG_INFINITY && self.high == f64::INFINITY
    }

    /// True if both ends are finite.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    /// `high` minus `low`.
    #[must_use]
    pub fn width(self) -> f64 {
        self.high - self.low
    }

    /// Largest magnitude inside.
    #[must_use]
    pub fn size(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    /// True if a program's result is inside; NaN is inside only where nothing is known.
    #[must_use]
    pub fn contains(self, value: f64) -> bool {
        self.is_whole() || (self.low <= value && value <= self.high)
    }
}
