//! From the enums of a graph to the struct of a function, chosen once outside of a loop.

use fearless_simd::{f32x16, prelude::*};

use super::binary::{Add, Divide, Equal, Greater, Maximum, Minimum, Multiply, PRelu, Slope, Subtract};
use super::exp::{Elu, Exp, Selu};
use super::gelu::{Erf, Gelu, GeluTanh};
use super::lanes::apart;
use super::log::Log;
use super::piecewise::{Absolute, Clip, HardSigmoid, HardSwish, LeakyRelu, Negate, Relu, Sqrt, Square};
use super::power::Power;
use super::sigmoid::{Sigmoid, Softplus, Tanh};
use super::{BinaryFn, UnaryFn};
use crate::op::{Binary, Unary};

/// What is done with the function of a [`Unary`].
pub(crate) trait UnaryVisitor {
    /// Result of the visit.
    type Out;

    /// Called once, with the function's own type.
    fn visit<F: UnaryFn>(self, function: F) -> Self::Out;
}

/// What is done with the function of a [`Binary`].
pub(crate) trait BinaryVisitor {
    /// Result of the visit.
    type Out;

    /// Called once, with the function's own type.
    fn visit<F: BinaryFn>(self, function: F) -> Self::Out;
}

/// A function that is copied into its loop where it is short, and called where it is long ([`apart`]).
#[derive(Clone, Copy)]
struct Apart<F>(F);

impl<F: UnaryFn> UnaryFn for Apart<F> {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, x: f32x16<S>) -> f32x16<S> {
        apart(
            simd,
            #[inline(always)]
            |simd| self.0.apply(simd, x),
        )
    }
    #[inline(always)]
    fn slope<S: Simd>(self, simd: S, v: f32x16<S>) -> f32x16<S> {
        apart(
            simd,
            #[inline(always)]
            |simd| self.0.slope(simd, v),
        )
    }
}

impl<F: BinaryFn> BinaryFn for Apart<F> {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
        apart(
            simd,
            #[inline(always)]
            |simd| self.0.apply(simd, a, b),
        )
    }
}

/// Calls the visitor with the function's own type.
#[inline(always)]
pub(crate) fn with_unary<V: UnaryVisitor>(function: Unary, visitor: V) -> V::Out {
    match function {
        Unary::Negate => visitor.visit(Apart(Negate)),
        Unary::Absolute => visitor.visit(Apart(Absolute)),
        Unary::Square => visitor.visit(Apart(Square)),
        Unary::Sqrt => visitor.visit(Apart(Sqrt)),
        Unary::Exp => visitor.visit(Apart(Exp)),
        Unary::Log => visitor.visit(Apart(Log)),
        Unary::Erf => visitor.visit(Apart(Erf)),
        Unary::Relu => visitor.visit(Apart(Relu)),
        Unary::LeakyRelu { slope } => visitor.visit(Apart(LeakyRelu { slope })),
        Unary::Elu { alpha } => visitor.visit(Apart(Elu { alpha })),
        Unary::Selu { alpha, gamma } => visitor.visit(Apart(Selu { alpha, gamma })),
        Unary::Gelu => visitor.visit(Apart(Gelu)),
        Unary::GeluTanh => visitor.visit(Apart(GeluTanh)),
        Unary::Tanh => visitor.visit(Apart(Tanh)),
        Unary::Sigmoid => visitor.visit(Apart(Sigmoid)),
        Unary::HardSigmoid { alpha, beta } => visitor.visit(Apart(HardSigmoid { alpha, beta })),
        Unary::HardSwish => visitor.visit(Apart(HardSwish)),
        Unary::Softplus => visitor.visit(Apart(Softplus)),
        Unary::Clip { low, high } => visitor.visit(Apart(Clip { low, high })),
    }
}

/// Calls the visitor with the function's own type.
#[inline(always)]
pub(crate) fn with_binary<V: BinaryVisitor>(function: Binary, visitor: V) -> V::Out {
    match function {
        Binary::Add => visitor.visit(Apart(Add)),
        Binary::Subtract => visitor.visit(Apart(Subtract)),
        Binary::Multiply => visitor.visit(Apart(Multiply)),
        Binary::Divide => visitor.visit(Apart(Divide)),
        Binary::Minimum => visitor.visit(Apart(Minimum)),
        Binary::Maximum => visitor.visit(Apart(Maximum)),
        Binary::Power => visitor.visit(Apart(Power)),
        Binary::PRelu => visitor.visit(Apart(PRelu)),
        Binary::Greater => visitor.visit(Apart(Greater)),
        Binary::Equal => visitor.visit(Apart(Equal)),
        Binary::Slope(of) => with_unary(of, SlopeOf(visitor)),
    }
}

/// Visits a function's slope.
struct SlopeOf<V>(V);

impl<V: BinaryVisitor> UnaryVisitor for SlopeOf<V> {
    type Out = V::Out;

    #[inline(always)]
    fn visit<F: UnaryFn>(self, function: F) -> V::Out {
        self.0.visit(Slope(function))
    }
}
