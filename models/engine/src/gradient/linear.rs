//! Adjoints through matrix products and reshapes.

use crate::gradient::backward::Backward;
use crate::graph::{GraphError, Node};
use crate::index::elements;
use crate::op::ReduceKind;

impl Backward {
    /// y = a b: adjoint b^T, and a^T adjoint, each summed over the batch axes on which its side is broadcast.
    ///
    /// An adjoint that is narrow along the rows or columns of y stays so: then the other factor is summed instead.
    pub(super) fn matmul(&mut self, a: Node, b: Node, adjoint: Node) -> Result<(), GraphError> {
        let (sa, sb) = (self.graph.shape(a).to_vec(), self.graph.shape(b).to_vec());
        let (row, column) = (sa.len() - 2, sa.len() - 1);
        let narrow = self.narrow(adjoint);
        let batch: Vec<usize> = sa[..row].iter().zip(&sb).map(|(x, y)| if *x == 1 { *y } else { *x }).collect();
        let over = |rows: usize, columns: usize| [batch.as_slice(), &[rows, columns]].concat();
        if self.wants(a) {
            let is_narrow = narrow[column] == 1 && sb[column] > 1;
            let factor = if is_narrow { self.graph.reduce(ReduceKind::Sum, b, &[column])? } else { b };
            let factor = self.swapped(factor)?;
            let product = match self.seeds {
                // The rows of the factor are the product, one per seed.
                Some(seeds) if elements(&sb[..row]) == 1 && self.is_identity(adjoint, seeds) => {
                    let mut shape = vec![1; sa.len() + 1];
                    (shape[0], shape[sa.len()]) = (seeds, sa[column]);
                    self.graph.reshape(factor, &shape)?
                }
                _ => self.graph.matmul(adjoint, factor)?,
            };
            let sum = self.sum_to(product, &over(sa[row], sa[column]), &sa)?;
            self.contribute(a, sum);
        }
        if self.wants(b) {
            let shared = sb[..row].iter().all(|dim| *dim == 1) && sa[..row].iter().any(|dim| *dim != 1);
            let sum = if shared {
                self.shared_factor(a, adjoint, &over(sa[row], sb[column]))?
            } else {
                let is_narrow = narrow[row] == 1 && sa[row] > 1;
                let factor = if is_narrow { self.graph.reduce(ReduceKind::Sum, a, &[row])? } else { a };
                let factor = self.swapped(factor)?;
                let product = self.graph.matmul(factor, adjoint)?;
                self.sum_to(product, &over(sb[row], sb[column]), &sb)?
            };
            self.contribute(b, sum);
        }
        Ok(())
    }

    /// True for the seeds of the last layer's outputs: constant, the same for all rows, 1 where the output is the seed's own.
    fn is_identity(&self, adjoint: Node, seeds: usize) -> bool {
        let shape = self.graph.shape(adjoint);
        let is_square = shape[shape.len() - 1] == seeds && elements(shape) == seeds * seeds;
        let diagonal = |(i, value): (usize, &f32)| *value == f32::from(u8::from(i % (seeds + 1) == 0));
        is_square && self.graph.constant_data(adjoint).is_some_and(|data| data.iter().enumerate().all(diagonal))
    }

    /// The adjoint of one matrix b that multiplies a whole batch a: all rows of the batch in one product.
    fn shared_factor(&mut self, a: Node, adjoint: Node, shape: &[usize]) -> Result<Node, GraphError> {
        let sa = self.graph.shape(a).to_vec();
        let (inner, columns) = (sa[sa.len() - 1], shape[shape.len() - 1]);
        let rows = elements(&sa) / inner;
        let a = self.graph.reshape(a, &[rows, inner])?;
        let a = self.graph.transpose(a, &[1, 0])?;
        let adjoint = self.widen(adjoint, shape)?;
        let flat = self.wide(&[rows, columns]);
        let adjoint = self.graph.reshape(adjoint, &flat)?;
        let product = self.graph.matmul(a, adjoint)?;
        let mut own = vec![1; sa.len() - 2];
        own.extend([inner, columns]);
        let own = self.wide(&own);
        self.graph.reshape(product, &own)
    }

    /// A matrix, or a batch of them, transposed.
    fn swapped(&mut self, x: Node) -> Result<Node, GraphError> {
        let rank = self.graph.shape(x).len();
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        self.graph.transpose(x, &order)
    }

    /// The same numbers under the shape before. Narrow axes stay narrow where whole groups of axes are.
    pub(super) fn reshape(&mut self, x: Node, from: &[usize], adjoint: Node) -> Result<(), GraphError> {
        if !self.wants(x) {
            return Ok(());
        }
        let to = self.graph.shape(x).to_vec();
        let own = self.narrow(adjoint);
        // The widest form in which groups of axes with the same product are all narrow or all full.
        let (mut before, mut after) = (own.clone(), to.clone());
        let (mut i, mut j) = (0, 0);
        while j < to.len() {
            if to[j] == 1 {
                j += 1;
                continue;
            }
            while from[i] == 1 {
                i += 1;
            }
            let (i0, j0) = (i, j);
            let (mut a, mut b) = (from[i], to[j]);
            (i, j) = (i + 1, j + 1);
            while a != b {
                if a < b {
                    a *= from[i];
                    i += 1;
                } else {
                    b *= to[j];
                    j += 1;
                }
            }
            if own[i0..i].iter().all(|dim| *dim == 1) {
                after[j0..j].fill(1);
            } else {
                before[i0..i].copy_from_slice(&from[i0..i]);
            }
        }
        let adjoint = self.widen(adjoint, &before)?;
        let after = self.wide(&after);
        let contribution = self.graph.reshape(adjoint, &after)?;
        self.contribute(x, contribution);
        Ok(())
    }
}
