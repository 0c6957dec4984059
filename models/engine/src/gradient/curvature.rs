//! Slopes of slopes, so that a graph that holds derivatives can be differentiated again.
//!
//! The *curvature* of a function is the derivative of [`Unary::slope`] with respect to what that takes: the function's value where
//! [`Unary::slope_from_output`] says so, else its argument.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use crate::graph::{Graph, GraphError, Node};
use crate::op::{Binary, Unary};

/// False when the slope is constant but for steps.
pub(super) fn is_curved(function: Unary) -> bool {
    !matches!(
        function,
        Unary::Negate
            | Unary::Absolute
            | Unary::Relu
            | Unary::LeakyRelu { .. }
            | Unary::HardSigmoid { .. }
            | Unary::Clip { .. }
    )
}

/// The curvature of a curved function at `v`.
pub(super) fn curvature(graph: &mut Graph, function: Unary, v: Node) -> Result<Node, GraphError> {
    let mut g = Builder(graph);
    match function {
        Unary::Square => g.0.scalar(2.0),
        Unary::Exp => g.0.scalar(1.0),
        // 1 / (2 v) and 1 / v
        Unary::Sqrt => g.over_square(-0.5, v),
        Unary::Log => g.over_square(-1.0, v),
        // Slope of erf times -2 v.
        Unary::Erf => {
            let factor = g.affine(-2.0, v, 0.0)?;
            g.0.binary(Binary::Slope(Unary::Erf), factor, v)
        }
        // v + alpha below 0, constant above.
        Unary::Elu { .. } | Unary::Selu { .. } => {
            let zero = g.0.scalar(0.0)?;
            let above = g.0.binary(Binary::Greater, v, zero)?;
            g.affine(-1.0, above, 1.0)
        }
        // With the normal density p: p (2 - v^2). The slope of erf at v / sqrt 2 is 2 sqrt 2 p.
        Unary::Gelu => {
            let square = g.0.unary(Unary::Square, v)?;
            let factor = g.affine(-0.5 * FRAC_1_SQRT_2, square, FRAC_1_SQRT_2)?;
            let at = g.affine(FRAC_1_SQRT_2, v, 0.0)?;
            g.0.binary(Binary::Slope(Unary::Erf), factor, at)
        }
        Unary::GeluTanh => g.gelu_tanh(v),
        // 1 - v^2, v (1 - v) and 1 - e^-v
        Unary::Tanh => g.affine(-2.0, v, 0.0),
        Unary::Sigmoid => g.affine(-2.0, v, 1.0),
        Unary::Softplus => {
            let negative = g.0.unary(Unary::Negate, v)?;
            g.0.unary(Unary::Exp, negative)
        }
        // v / 3 + 1 / 2 between -3 and 3.
        Unary::HardSwish => {
            let third = g.0.scalar(1.0 / 3.0)?;
            g.0.binary(Binary::Slope(Unary::Clip { low: -3.0, high: 3.0 }), third, v)
        }
        Unary::Negate
        | Unary::Absolute
        | Unary::Relu
        | Unary::LeakyRelu { .. }
        | Unary::HardSigmoid { .. }
        | Unary::Clip { .. } => g.0.scalar(0.0),
    }
}

struct Builder<'a>(&'a mut Graph);

impl Builder<'_> {
    /// factor v + offset
    fn affine(&mut self, factor: f32, v: Node, offset: f32) -> Result<Node, GraphError> {
        let factor = self.0.scalar(factor)?;
        let product = self.0.binary(Binary::Multiply, v, factor)?;
        if offset == 0.0 {
            return Ok(product);
        }
        let offset = self.0.scalar(offset)?;
        self.0.binary(Binary::Add, product, offset)
    }

    /// numerator / v^2
    fn over_square(&mut self, numerator: f32, v: Node) -> Result<Node, GraphError> {
        let numerator = self.0.scalar(numerator)?;
        let square = self.0.unary(Unary::Square, v)?;
        self.0.binary(Binary::Divide, numerator, square)
    }

    /// With u = c (v + k v^3), t = tanh u, u' = c (1 + 3 k v^2) and u'' = 6 c k v: (1 - t^2) (u' + v (u'' / 2 - t u'^2)).
    fn gelu_tanh(&mut self, v: Node) -> Result<Node, GraphError> {
        let (c, k) = ((2.0 / PI).sqrt(), 0.044715);
        let square = self.0.unary(Unary::Square, v)?;
        let inner = self.affine(c * k, square, c)?;
        let inner = self.0.binary(Binary::Multiply, v, inner)?;
        let t = self.0.unary(Unary::Tanh, inner)?;
        let first = self.affine(3.0 * c * k, square, c)?;
        let half_second = self.affine(3.0 * c * k, v, 0.0)?;
        let bent = self.0.unary(Unary::Square, first)?;
        let bent = self.0.binary(Binary::Multiply, t, bent)?;
        let bent = self.0.binary(Binary::Subtract, half_second, bent)?;
        let bent = self.0.binary(Binary::Multiply, v, bent)?;
        let sum = self.0.binary(Binary::Add, first, bent)?;
        self.0.binary(Binary::Slope(Unary::Tanh), sum, t)
    }
}
