//! Maps that move numbers: each output element is one element of the inputs, or a fixed filling.
//!
//! Inputs are counted one after the other as if they were one long list; a *pick* is a place in that list.

use std::sync::Arc;

/// The pick of an element that comes from no input.
pub const FILLED: u32 = u32::MAX;

/// Where each element of an output comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexMap {
    /// One per output element, row-major.
    pub picks: Arc<[u32]>,
    /// Value of elements whose pick is [`FILLED`].
    pub fill: f32,
}

impl IndexMap {
    /// Makes a map from a function of the output's coordinates to a place in the inputs; `None` is filled.
    pub fn from_fn(shape: &[usize], fill: f32, mut pick: impl FnMut(&[usize]) -> Option<usize>) -> Self {
        let mut picks = Vec::with_capacity(elements(shape));
        for_each(shape, |at| picks.push(pick(at).map_or(FILLED, |place| place as u32)));
        Self { picks: picks.into(), fill }
    }

    /// The map that first takes `self`, then `outer` of the result. Both fill alike, or one of them does not fill.
    #[must_use]
    pub fn then(&self, outer: &Self) -> Option<Self> {
        let fills = |m: &Self| m.picks.contains(&FILLED);
        let fill = match (fills(self), fills(outer)) {
            (true, true) if self.fill.to_bits() != outer.fill.to_bits() => return None,
            (true, _) => self.fill,
            _ => outer.fill,
        };
        let through = |pick: &u32| if *pick == FILLED { FILLED } else { self.picks[*pick as usize] };
        Some(Self { picks: outer.picks.iter().map(through).collect(), fill })
    }
}

/// Number of elements of a shape; 1 for a scalar.
#[must_use]
pub fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Distance of neighbours along each axis, row-major.
#[must_use]
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Strides for reading a tensor of `shape` as if it had `wide`, of the same rank: 0 where it broadcasts.
#[must_use]
pub fn broadcast_strides(shape: &[usize], wide: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    (0..wide.len()).map(|axis| if shape[axis] == 1 && wide[axis] != 1 { 0 } else { own[axis] }).collect()
}

/// Place of coordinates under strides.
#[must_use]
pub fn place(at: &[usize], strides: &[usize]) -> usize {
    at.iter().zip(strides).map(|(i, s)| i * s).sum()
}

/// Calls `f` with every coordinate of a shape in row-major order; once, with no coordinate, for a scalar.
pub fn for_each(shape: &[usize], mut f: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut at = vec![0; shape.len()];
    loop {
        f(&at);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}
