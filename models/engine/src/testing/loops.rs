//! Recurrent loops for random graphs: one or two states, gates, weights inside and outside the body, last state or all outputs.

use std::sync::Arc;

use crate::graph::{Graph, GraphError, Node};
use crate::index::elements;
use crate::op::{Binary, Unary};
use crate::testing::grow::{Grower, Live};

impl Grower<'_> {
    /// A loop over one axis of x.
    pub(super) fn recurrent(&mut self, x: Live) -> Result<Live, GraphError> {
        let rows = self.options.rows;
        let x = self.limited(x, 2.0)?;
        let total = elements(&self.row(x));
        let divisors: Vec<usize> = (1..=4).filter(|d| total.is_multiple_of(*d)).collect();
        let few = self.random.pick(&divisors);
        let (trips, features) = if self.random.once_in(2) { (few, total / few) } else { (total / few, few) };
        let x = self.with_shape(x, &[trips, features])?;
        let scanned = self.graph.transpose(x.node, &[1, 0, 2])?;
        let hidden = self.random.within(1, 4);
        let first = if self.random.once_in(2) {
            self.graph.constant(&[rows, hidden], vec![0.0; rows * hidden])?
        } else {
            // A first state that depends on x.
            let flat = self.with_shape(x, &[trips * features])?;
            let weights = self.weights(&[trips * features, hidden], 0.5)?;
            let start = self.graph.matmul(flat.node, weights)?;
            self.graph.unary(Unary::Tanh, start)?
        };
        let gated = self.random.once_in(2);
        let stays = if self.random.once_in(2) {
            let weights = self.weights(&[hidden], 0.5)?;
            Some(self.graph.unary(Unary::Sigmoid, weights)?)
        } else {
            None
        };
        let body = self.body([rows, features, hidden], gated, stays.is_some())?;
        let states = if gated { vec![first, first] } else { vec![first] };
        let fixed: Vec<Node> = stays.into_iter().collect();
        let parts = self.graph.scan(Arc::new(body), trips, &states, &[scanned], &fixed)?;
        let magnitude = 1.0;
        if self.random.once_in(3) {
            return Ok(Live { node: self.random.pick(&parts[..states.len()]), magnitude });
        }
        let node = self.graph.transpose(parts[states.len()], &[1, 0, 2])?;
        self.fitted(Live { node, magnitude })
    }

    /// h' = tanh(x W + h R), or with gates c' = f c + (1 - f) g and h' = tanh c'; both states are between -1 and 1.
    fn body(&mut self, sizes: [usize; 3], gated: bool, stays: bool) -> Result<Graph, GraphError> {
        let [rows, features, hidden] = sizes;
        let mut body = Graph::new();
        let h = body.input(&[rows, hidden])?;
        let c = if gated { Some(body.input(&[rows, hidden])?) } else { None };
        let x = body.input(&[rows, features])?;
        let factor = if stays { Some(body.input(&[hidden])?) } else { None };
        let sum = |body: &mut Graph, grower: &mut Self| -> Result<Node, GraphError> {
            let a = grower.body_weights(body, &[features, hidden])?;
            let b = grower.body_weights(body, &[hidden, hidden])?;
            let (a, b) = (body.matmul(x, a)?, body.matmul(h, b)?);
            body.binary(Binary::Add, a, b)
        };
        let inner = sum(&mut body, self)?;
        let mut new = body.unary(Unary::Tanh, inner)?;
        if let Some(factor) = factor {
            new = body.binary(Binary::Multiply, new, factor)?;
        }
        let mut outputs = Vec::new();
        if let Some(c) = c {
            let gate = sum(&mut body, self)?;
            let gate = body.unary(Unary::Sigmoid, gate)?;
            let difference = body.binary(Binary::Subtract, c, new)?;
            let kept = body.binary(Binary::Multiply, gate, difference)?;
            let cell = body.binary(Binary::Add, new, kept)?;
            new = body.unary(Unary::Tanh, cell)?;
            outputs.push(new);
            outputs.push(cell);
        } else {
            outputs.push(new);
        }
        // What is stacked: the state itself, or a function of it and x.
        let stacked = if self.random.once_in(2) {
            new
        } else {
            let weights = self.body_weights(&mut body, &[features, hidden])?;
            let side = body.matmul(x, weights)?;
            let side = body.unary(Unary::Sigmoid, side)?;
            body.binary(Binary::Multiply, new, side)?
        };
        outputs.push(stacked);
        outputs.into_iter().for_each(|output| body.output(output));
        Ok(body)
    }

    fn body_weights(&mut self, body: &mut Graph, shape: &[usize]) -> Result<Node, GraphError> {
        let numbers: Vec<f32> = (0..elements(shape)).map(|_| self.random.between(-0.9, 0.9)).collect();
        body.constant(shape, numbers)
    }
}
