//! Adjoints through functions of one and two numbers, reductions and softmax.

use crate::gradient::backward::Backward;
use crate::gradient::curvature;
use crate::graph::{Graph, GraphError, Node};
use crate::op::{Binary, Op, ReduceKind, Unary};

impl Backward {
    /// y = f(x): the adjoint times the slope of f.
    pub(super) fn unary(&mut self, function: Unary, y: Node, x: Node, adjoint: Node) -> Result<(), GraphError> {
        let contribution = match function {
            Unary::Negate => self.graph.unary(Unary::Negate, adjoint)?,
            Unary::Elu { alpha } if alpha < 0.0 => self.folded_back(y, x, adjoint, 1.0, alpha)?,
            Unary::Selu { alpha, gamma } if alpha < 0.0 || gamma <= 0.0 => {
                self.folded_back(y, x, adjoint, gamma, alpha * gamma)?
            }
            _ => {
                let at = self.lift(if function.slope_from_output() { y } else { x })?;
                self.graph.binary(Binary::Slope(function), adjoint, at)?
            }
        };
        self.contribute(x, contribution);
        Ok(())
    }

    /// y = above x for a positive x, below (e^x - 1) else, with signs for which y does not tell on which side x is.
    fn folded_back(&mut self, y: Node, x: Node, adjoint: Node, above: f32, below: f32) -> Result<Node, GraphError> {
        let (positive, rest) = self.split_by_sign(adjoint, x)?;
        let positive = self.scale(positive, above)?;
        let below = self.graph.scalar(below)?;
        let slope = self.graph.binary(Binary::Add, y, below)?;
        let rest = self.times(rest, slope)?;
        self.graph.binary(Binary::Add, positive, rest)
    }

    /// The adjoint where x is above 0, and the adjoint elsewhere; both 0 otherwise.
    fn split_by_sign(&mut self, adjoint: Node, x: Node) -> Result<(Node, Node), GraphError> {
        let x = self.lift(x)?;
        let above = self.graph.binary(Binary::Slope(Unary::Relu), adjoint, x)?;
        let below = self.graph.binary(Binary::Subtract, adjoint, above)?;
        Ok((above, below))
    }

    /// y = f(a, b), either side broadcast.
    pub(super) fn binary(&mut self, f: Binary, y: Node, [a, b]: [Node; 2], adjoint: Node) -> Result<(), GraphError> {
        match f {
            Binary::Add => {
                self.give(a, y, adjoint)?;
                self.give(b, y, adjoint)
            }
            Binary::Subtract => {
                self.give(a, y, adjoint)?;
                self.give_negative(b, y, adjoint)
            }
            Binary::Multiply => {
                for (side, other) in [(a, b), (b, a)] {
                    if self.wants(side) {
                        let product = self.times(adjoint, other)?;
                        self.give(side, y, product)?;
                    }
                }
                Ok(())
            }
            Binary::Divide => match softmax(&self.graph, y) {
                Some((x, axes)) => self.softmax(x, &axes, y, adjoint),
                None => self.divide(y, a, b, adjoint),
            },
            Binary::Minimum | Binary::Maximum => self.choice(f, y, a, b, adjoint),
            Binary::Power => self.power(y, a, b, adjoint),
            Binary::PRelu => {
                let (above, below) = self.split_by_sign(adjoint, a)?;
                if self.wants(a) {
                    let below = self.times(below, b)?;
                    let sum = self.graph.binary(Binary::Add, above, below)?;
                    self.give(a, y, sum)?;
                }
                if self.wants(b) {
                    let product = self.times(below, a)?;
                    self.give(b, y, product)?;
                }
                Ok(())
            }
            // Steps: their slope is 0 wherever it exists.
            Binary::Greater | Binary::Equal => Ok(()),
            Binary::Slope(function) => self.slope(function, y, a, b, adjoint),
        }
    }

    /// Contributes to one side of a broadcasting operator what is the adjoint of its broadcast form.
    fn give(&mut self, side: Node, y: Node, adjoint: Node) -> Result<(), GraphError> {
        if self.wants(side) {
            let sum = self.summed(side, y, adjoint)?;
            self.contribute(side, sum);
        }
        Ok(())
    }

    fn give_negative(&mut self, side: Node, y: Node, adjoint: Node) -> Result<(), GraphError> {
        if self.wants(side) {
            let sum = self.summed(side, y, adjoint)?;
            let negative = self.graph.unary(Unary::Negate, sum)?;
            self.contribute(side, negative);
        }
        Ok(())
    }

    fn summed(&mut self, side: Node, y: Node, adjoint: Node) -> Result<Node, GraphError> {
        let (from, to) = (self.graph.shape(y).to_vec(), self.graph.shape(side).to_vec());
        self.sum_to(adjoint, &from, &to)
    }

    /// y = a / b: 1 / b, and -y / b.
    fn divide(&mut self, y: Node, a: Node, b: Node, adjoint: Node) -> Result<(), GraphError> {
        let divisor = self.lift(b)?;
        let quotient = self.graph.binary(Binary::Divide, adjoint, divisor)?;
        self.give(a, y, quotient)?;
        if self.wants(b) {
            let product = self.times(quotient, y)?;
            self.give_negative(b, y, product)?;
        }
        Ok(())
    }

    /// The side that is taken gets the adjoint. Where both are equal, b gets it if both sides lead, so that the shares sum to one; a limit that
    /// does not lead keeps it, as relu does at 0.
    fn choice(&mut self, f: Binary, y: Node, a: Node, b: Node, adjoint: Node) -> Result<(), GraphError> {
        let both = self.wants(a) && self.wants(b);
        let (taken, other) = if self.wants(a) { (a, b) } else { (b, a) };
        let (larger, smaller) = if f == Binary::Maximum { (taken, other) } else { (other, taken) };
        let mask = self.graph.binary(Binary::Greater, larger, smaller)?;
        let share = self.times(adjoint, mask)?;
        self.give(taken, y, share)?;
        if both {
            let rest = self.graph.binary(Binary::Subtract, adjoint, share)?;
            self.give(other, y, rest)?;
        }
        Ok(())
    }

    /// y = a^b: b a^(b - 1), and y ln a.
    fn power(&mut self, y: Node, a: Node, b: Node, adjoint: Node) -> Result<(), GraphError> {
        let zero = self.graph.scalar(0.0)?;
        if self.wants(a) {
            // Where b is 0 the slope is 0 for every a: a^0 keeps 0 a^-1 from being NaN at a = 0.
            let one = self.graph.scalar(1.0)?;
            let constant = self.graph.binary(Binary::Equal, b, zero)?;
            let less = self.graph.binary(Binary::Subtract, one, constant)?;
            let lower = self.graph.binary(Binary::Subtract, b, less)?;
            let power = match self.graph.constant_data(lower) {
                Some(data) if data.iter().all(|exponent| *exponent == 1.0) => a,
                _ => self.graph.binary(Binary::Power, a, lower)?,
            };
            let slope = self.graph.binary(Binary::Multiply, b, power)?;
            let product = self.times(adjoint, slope)?;
            self.give(a, y, product)?;
        }
        if self.wants(b) {
            // 0^b is 0 for every b above 0: there the slope is 0, not 0 ln 0. Below 0 the logarithm is NaN, as the derivative is.
            let at_zero = self.graph.binary(Binary::Equal, a, zero)?;
            let above = self.graph.binary(Binary::Greater, b, zero)?;
            let flat = self.graph.binary(Binary::Multiply, at_zero, above)?;
            let base = self.graph.binary(Binary::Add, a, flat)?;
            let log = self.graph.unary(Unary::Log, base)?;
            let slope = self.graph.binary(Binary::Multiply, y, log)?;
            let product = self.times(adjoint, slope)?;
            self.give(b, y, product)?;
        }
        Ok(())
    }

    /// y = a f'(b), itself a derivative.
    fn slope(&mut self, function: Unary, y: Node, a: Node, b: Node, adjoint: Node) -> Result<(), GraphError> {
        if self.wants(a) {
            let at = self.lift(b)?;
            let slope = self.graph.binary(Binary::Slope(function), adjoint, at)?;
            self.give(a, y, slope)?;
        }
        if self.wants(b) && curvature::is_curved(function) {
            let curvature = curvature::curvature(&mut self.graph, function, b)?;
            let product = self.times(adjoint, a)?;
            let product = self.times(product, curvature)?;
            self.give(b, y, product)?;
        }
        Ok(())
    }

    /// A sum passes its adjoint on, narrow; the largest and the smallest share it among all that are equal to them.
    pub(super) fn reduce(
        &mut self,
        kind: ReduceKind,
        axes: &[usize],
        y: Node,
        x: Node,
        adjoint: Node,
    ) -> Result<(), GraphError> {
        let contribution = match kind {
            ReduceKind::Sum => adjoint,
            ReduceKind::Maximum | ReduceKind::Minimum => {
                let equal = self.graph.binary(Binary::Equal, x, y)?;
                let count = self.graph.reduce(ReduceKind::Sum, equal, axes)?;
                let share = self.graph.binary(Binary::Divide, equal, count)?;
                self.times(adjoint, share)?
            }
        };
        self.contribute(x, contribution);
        Ok(())
    }

    /// y = softmax(x): y (adjoint - sum of adjoint y).
    fn softmax(&mut self, x: Node, axes: &[usize], y: Node, adjoint: Node) -> Result<(), GraphError> {
        let product = self.times(adjoint, y)?;
        let axes: Vec<usize> = axes.iter().map(|axis| axis + self.front()).collect();
        let mean = self.graph.reduce(ReduceKind::Sum, product, &axes)?;
        let difference = self.graph.binary(Binary::Subtract, adjoint, mean)?;
        let contribution = self.times(difference, y)?;
        self.contribute(x, contribution);
        Ok(())
    }
}

/// If this node is a softmax, its argument and axes. What is subtracted before the exponential cancels, and with it its derivative: the
/// argument is what stands before the subtraction.
fn softmax(graph: &Graph, y: Node) -> Option<(Node, Vec<usize>)> {
    let [powers, sum] = graph.node(y).inputs[..] else { return None };
    let (Op::Reduce { kind: ReduceKind::Sum, axes }, Op::Unary(Unary::Exp)) =
        (&graph.node(sum).op, &graph.node(powers).op)
    else {
        return None;
    };
    if graph.node(sum).inputs[0] != powers {
        return None;
    }
    let exponent = graph.node(powers).inputs[0];
    if let (Op::Binary(Binary::Subtract), [x, shift]) =
        (&graph.node(exponent).op, graph.node(exponent).inputs.as_slice())
    {
        let same_for_all = axes.iter().all(|axis| graph.shape(*shift)[*axis] == 1);
        if same_for_all && graph.shape(*x) == graph.shape(exponent) {
            return Some((*x, axes.clone()));
        }
    }
    Some((exponent, axes.clone()))
}
