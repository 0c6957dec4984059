//! From the enums of a graph to the struct of a function, chosen once outside of a loop.

use fearless_simd::{f32x16, prelude::*};

use super::binary::{Add, Divide, Equal, Greater, Maximum, Minimum, Multiply, PRelu, Slope, Subtract};
use super::exp::{Elu, Exp, Selu};
use super::gelu::{Erf, Gelu, GeluTanh};
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

/// Calls the visitor with the function's own type.
#[inline(always)]
pub(crate) fn with_unary<V: UnaryVisitor>(function: Unary, visitor: V) -> V::Out {
    match function {
        Unary::Negate => visitor.visit(Negate),
        Unary::Absolute => visitor.visit(Absolute),
        Unary::Square => visitor.visit(Square),
        Unary::Sqrt => visitor.visit(Sqrt),
        Unary::Exp => visitor.visit(Exp),
        Unary::Log => visitor.visit(Log),
        Unary::Erf => visitor.visit(Erf),
        Unary::Relu => visitor.visit(Relu),
        Unary::LeakyRelu { slope } => visitor.visit(LeakyRelu { slope }),
        Unary::Elu { alpha } => visitor.visit(Elu { alpha }),
        Unary::Selu { alpha, gamma } => visitor.visit(Selu { alpha, gamma }),
        Unary::Gelu => visitor.visit(Gelu),
        Unary::GeluTanh => visitor.visit(GeluTanh),
        Unary::Tanh => visitor.visit(Tanh),
        Unary::Sigmoid => visitor.visit(Sigmoid),
        Unary::HardSigmoid { alpha, beta } => visitor.visit(HardSigmoid { alpha, beta }),
        Unary::HardSwish => visitor.visit(HardSwish),
        Unary::Softplus => visitor.visit(Softplus),
        Unary::Clip { low, high } => visitor.visit(Clip { low, high }),
    }
}

/// Calls the visitor with the function's own type.
#[inline(always)]
pub(crate) fn with_binary<V: BinaryVisitor>(function: Binary, visitor: V) -> V::Out {
    match function {
        Binary::Add => visitor.visit(Add),
        Binary::Subtract => visitor.visit(Subtract),
        Binary::Multiply => visitor.visit(Multiply),
        Binary::Divide => visitor.visit(Divide),
        Binary::Minimum => visitor.visit(Minimum),
        Binary::Maximum => visitor.visit(Maximum),
        Binary::Power => visitor.visit(Power),
        Binary::PRelu => visitor.visit(PRelu),
        Binary::Greater => visitor.visit(Greater),
        Binary::Equal => visitor.visit(Equal),
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

/// Applies a function to one vector or two.
pub(super) struct Once<S: Simd> {
    pub(super) simd: S,
    pub(super) a: f32x16<S>,
    pub(super) b: f32x16<S>,
}

impl<S: Simd> UnaryVisitor for Once<S> {
    type Out = f32x16<S>;

    #[inline(always)]
    fn visit<F: UnaryFn>(self, function: F) -> f32x16<S> {
        function.apply(self.simd, self.a)
    }
}

impl<S: Simd> BinaryVisitor for Once<S> {
    type Out = f32x16<S>;

    #[inline(always)]
    fn visit<F: BinaryFn>(self, function: F) -> f32x16<S> {
        function.apply(self.simd, self.a, self.b)
    }
}
