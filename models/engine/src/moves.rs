//! The ways to move numbers and a few compositions, as methods of a graph: each becomes one index map or a handful of nodes.

use crate::graph::{ELEMENTS_MAX, Graph, GraphError, Node, broadcast, check_size, err};
use crate::index::{IndexMap, broadcast_strides, elements, place, strides};
use crate::op::{Binary, ReduceKind, Unary};

impl Graph {
    /// Axes in another order: axis `i` of the result is axis `order[i]`.
    ///
    /// # Errors
    /// `order` is no permutation.
    pub fn transpose(&mut self, x: Node, order: &[usize]) -> Result<Node, GraphError> {
        let own = self.shape(x).to_vec();
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..own.len()) {
            return err(format!("{order:?} is no order of {} axes", own.len()));
        }
        let shape: Vec<usize> = order.iter().map(|a| own[*a]).collect();
        let from = strides(&own);
        let from: Vec<usize> = order.iter().map(|a| from[*a]).collect();
        let map = IndexMap::from_fn(&shape, 0.0, |at| Some(place(at, &from)));
        self.index(&[x], &shape, map)
    }

    /// Chosen places along one axis, in this order; places may repeat.
    ///
    /// # Errors
    /// A place or the axis does not exist.
    pub fn gather(&mut self, x: Node, axis: usize, places: &[usize]) -> Result<Node, GraphError> {
        let mut shape = self.shape(x).to_vec();
        if axis >= shape.len() || places.iter().any(|p| *p >= shape[axis]) {
            return err(format!("places {places:?} along axis {axis} of shape {shape:?}"));
        }
        let from = strides(&shape);
        shape[axis] = places.len();
        check_size(&shape)?;
        let map = IndexMap::from_fn(&shape, 0.0, |at| {
            Some(place(at, &from) + places[at[axis]] * from[axis] - at[axis] * from[axis])
        });
        self.index(&[x], &shape, map)
    }

    /// Places `start..end` along one axis.
    ///
    /// # Errors
    /// The range or the axis does not exist.
    pub fn slice(&mut self, x: Node, axis: usize, start: usize, end: usize) -> Result<Node, GraphError> {
        if start > end || self.shape(x).get(axis).is_none_or(|dim| end > *dim) {
            return err(format!("places {start} to {end} along axis {axis} of shape {:?}", self.shape(x)));
        }
        let places: Vec<usize> = (start..end).collect();
        self.gather(x, axis, &places)
    }

    /// Adds filling before and after each axis.
    ///
    /// # Errors
    /// Not one pair per axis, or the result is over a limit.
    pub fn pad(&mut self, x: Node, pads: &[(usize, usize)], fill: f32) -> Result<Node, GraphError> {
        let own = self.shape(x).to_vec();
        if pads.len() != own.len() || pads.iter().any(|(a, b)| *a > ELEMENTS_MAX || *b > ELEMENTS_MAX) {
            return err(format!("padding {pads:?} of shape {own:?}"));
        }
        let shape: Vec<usize> = own.iter().zip(pads).map(|(d, (a, b))| d + a + b).collect();
        check_size(&shape)?;
        let from = strides(&own);
        let map = IndexMap::from_fn(&shape, fill, |at| {
            let inner =
                at.iter().zip(pads).zip(&own).map(|((i, (before, _)), dim)| i.checked_sub(*before).filter(|i| i < dim));
            inner.zip(&from).try_fold(0, |sum, (i, s)| i.map(|i| sum + i * s))
        });
        self.index(&[x], &shape, map)
    }

    /// Tensors one after the other along an axis.
    ///
    /// # Errors
    /// Shapes differ beside that axis.
    pub fn concat(&mut self, parts: &[Node], axis: usize) -> Result<Node, GraphError> {
        let Some(first) = parts.first() else { return err("nothing to concatenate") };
        let mut shape = self.shape(*first).to_vec();
        if axis >= shape.len() {
            return err(format!("axis {axis} of shape {shape:?}"));
        }
        shape[axis] = 0;
        for part in parts {
            let own = self.shape(*part);
            let fits = own.len() == shape.len() && (0..own.len()).all(|a| a == axis || own[a] == shape[a]);
            if !fits {
                return err(format!("{own:?} and {:?} cannot be concatenated along axis {axis}", self.shape(*first)));
            }
            shape[axis] += own[axis];
        }
        check_size(&shape)?;
        // Per place along the axis: which part, the place inside it, and where the part begins.
        let (mut places, mut begin) = (Vec::new(), 0);
        let lists: Vec<Vec<usize>> = parts.iter().map(|p| strides(self.shape(*p))).collect();
        for (part, node) in parts.iter().enumerate() {
            places.extend((0..self.shape(*node)[axis]).map(|i| (part, i, begin)));
            begin += elements(self.shape(*node));
        }
        let map = IndexMap::from_fn(&shape, 0.0, |at| {
            let (part, inside, begin) = places[at[axis]];
            let from = &lists[part];
            Some(begin + place(at, from) + inside * from[axis] - at[axis] * from[axis])
        });
        self.index(parts, &shape, map)
    }

    /// Repeats axes of length 1 up to `shape`, of any higher rank.
    ///
    /// # Errors
    /// A dimension is neither equal nor 1.
    pub fn expand(&mut self, x: Node, shape: &[usize]) -> Result<Node, GraphError> {
        let x = self.with_rank(x, shape.len().max(self.shape(x).len()))?;
        let own = self.shape(x).to_vec();
        if own.len() != shape.len() || broadcast(&own, shape)? != shape {
            return err(format!("shape {own:?} cannot be expanded to {shape:?}"));
        }
        check_size(shape)?;
        let from = broadcast_strides(&own, shape);
        let map = IndexMap::from_fn(shape, 0.0, |at| Some(place(at, &from)));
        self.index(&[x], shape, map)
    }

    /// Mean over axes, which stay with length 1.
    ///
    /// # Errors
    /// An axis does not exist.
    pub fn mean(&mut self, x: Node, axes: &[usize]) -> Result<Node, GraphError> {
        let sum = self.reduce(ReduceKind::Sum, x, axes)?;
        let count = elements(self.shape(x)) as f64 / elements(self.shape(sum)).max(1) as f64;
        let share = self.scalar((1.0 / count) as f32)?;
        self.binary(Binary::Multiply, sum, share)
    }

    /// Softmax over axes: the largest is taken off first, so that nothing overflows.
    ///
    /// # Errors
    /// An axis does not exist.
    pub fn softmax(&mut self, x: Node, axes: &[usize]) -> Result<Node, GraphError> {
        let largest = self.reduce(ReduceKind::Maximum, x, axes)?;
        let below = self.binary(Binary::Subtract, x, largest)?;
        let powers = self.unary(Unary::Exp, below)?;
        let sum = self.reduce(ReduceKind::Sum, powers, axes)?;
        self.binary(Binary::Divide, powers, sum)
    }
}
