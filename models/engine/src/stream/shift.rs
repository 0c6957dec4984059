//! Recognises what an index map does to time: along one axis of its result, every number is a number of the same step, or of a fixed
//! number of steps earlier.
//!
//! Words: a *column* is all elements of the result that differ only in their position along that axis. Transposes, slices, padding,
//! concatenation, expansion and the patches of a pooling with stride 1 all come out as columns with one offset each, whatever they are
//! called in a file.

use super::refusal::Refusal;
use crate::index::{FILLED, IndexMap, for_each, place, strides};

/// What is known of one input of a map.
pub(super) struct Source<'a> {
    /// Number of elements.
    pub elements: usize,
    /// The time axis of a sequence.
    pub line: Option<Line>,
    /// True if it stands at the window's last step.
    pub is_newest: bool,
    /// Numbers of a constant.
    pub numbers: Option<&'a [f32]>,
}

/// A time axis within a row-major tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// Distance of neighbouring positions.
    pub stride: usize,
    /// Number of positions.
    pub len: usize,
}

impl Line {
    pub fn new(shape: &[usize], axis: usize) -> Self {
        Self { stride: strides(shape)[axis], len: shape[axis] }
    }

    /// Splits a place into that of the same element at position 0, and its position.
    fn split(self, place: usize) -> (usize, usize) {
        let position = place / self.stride % self.len;
        (place - position * self.stride, position)
    }

    /// Place of the element `rest` at `position` when the axis has `len` positions instead.
    pub fn place_in(self, len: usize, rest: usize, position: usize) -> usize {
        let outer = rest / (self.stride * self.len);
        outer * self.stride * len + position * self.stride + rest % self.stride
    }
}

/// Where one element of the result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Filled,
    /// An element of an input without a time axis.
    Still {
        input: usize,
        place: usize,
    },
    /// An element of a sequence; `rest` is its place at position 0.
    Step {
        input: usize,
        rest: usize,
        position: usize,
    },
}

/// Where each element of the result comes from, in the map's order.
pub(super) fn origins(map: &IndexMap, sources: &[Source]) -> Vec<From> {
    let origin = |pick: &u32| {
        if *pick == FILLED {
            return From::Filled;
        }
        let (mut input, mut place) = (0, *pick as usize);
        while place >= sources[input].elements {
            place -= sources[input].elements;
            input += 1;
        }
        match sources[input].line {
            None => From::Still { input, place },
            Some(line) => {
                let (rest, position) = line.split(place);
                From::Step { input, rest, position }
            }
        }
    };
    map.picks.iter().map(origin).collect()
}

/// One column of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// The same at all positions.
    Still(From),
    /// Position `p` is the input's position `p + offset`, or fixed where the input has none.
    Moving { input: usize, rest: usize, offset: isize },
}

/// A map that only moves along time.
#[derive(Debug)]
pub(super) struct Shift {
    /// Time axis of the result.
    pub axis: usize,
    /// One per element of one position, row-major.
    pub columns: Vec<Column>,
    /// The number before position 0 of an input, if the map looks there.
    pub padding: Option<f32>,
    /// Inputs of which the map looks behind the last position.
    pub overrun: Vec<bool>,
}

/// The time axis of a map's result: the one that needs the shortest history, if there are several.
///
/// # Errors
/// No axis is time.
pub(super) fn recognise(shape: &[usize], map: &IndexMap, sources: &[Source]) -> Result<Shift, Refusal> {
    let from = origins(map, sources);
    let axes = (0..shape.len()).filter(|axis| shape[*axis] > 1);
    let tried: Vec<_> = axes.clone().map(|axis| along(shape, axis, &from, map.fill, sources)).collect();
    let beside =
        tried.iter().find_map(|tried| tried.as_ref().err().filter(|refusal| **refusal != Refusal::Scatters)).copied();
    let best = tried.into_iter().flatten().min_by_key(|shift| spread(shift, sources.len()));
    best.ok_or_else(|| beside.unwrap_or_else(|| disorder(shape, axes, &from)))
}

/// The map with this axis as time.
///
/// # Errors
/// It is not: [`Refusal::Scatters`], unless only what stands beside the sequences is in the way.
fn along(shape: &[usize], axis: usize, from: &[From], fill: f32, sources: &[Source]) -> Result<Shift, Refusal> {
    let number = |from: From| match from {
        From::Filled => Some(fill),
        From::Still { input, place } => sources[input].numbers.map(|numbers| numbers[place]),
        From::Step { .. } => None,
    };
    let step = strides(shape)[axis];
    let mut shift = Shift { axis, columns: Vec::new(), padding: None, overrun: vec![false; sources.len()] };
    for begin in starts(shape, axis) {
        let column: Vec<From> = (0..shape[axis]).map(|p| from[begin + p * step]).collect();
        let moving = column.iter().zip(0_isize..).find_map(|(from, p)| match *from {
            From::Step { input, rest, position } => Some((input, rest, position as isize - p)),
            _ => None,
        });
        let Some((input, rest, offset)) = moving else {
            let like_the_first = |from: &From| {
                let bits = |from| number(from).map(f32::to_bits);
                *from == column[0] || bits(*from).is_some() && bits(*from) == bits(column[0])
            };
            if !column.iter().all(like_the_first) {
                let is_newest = |from: &From| matches!(*from, From::Still { input, .. } if sources[input].is_newest);
                return Err(if column.iter().any(is_newest) { Refusal::MeetsNewest } else { Refusal::OwnNumbers });
            }
            shift.columns.push(Column::Still(column[0]));
            continue;
        };
        // One step among fixed numbers, such as padded features, is no sequence.
        if column.iter().filter(|from| matches!(from, From::Step { .. })).count() < 2 {
            return Err(Refusal::Scatters);
        }
        let len = sources[input].line.map_or(0, |line| line.len);
        for (from, p) in column.into_iter().zip(0_isize..) {
            match usize::try_from(p + offset) {
                Ok(position) if position < len => {
                    if from != (From::Step { input, rest, position }) {
                        return Err(Refusal::Scatters);
                    }
                }
                Ok(_) => {
                    number(from).ok_or(Refusal::Scatters)?;
                    shift.overrun[input] = true;
                }
                Err(_) => {
                    let before = number(from).ok_or(Refusal::Scatters)?;
                    if shift.padding.is_some_and(|other| other.to_bits() != before.to_bits()) {
                        return Err(Refusal::Scatters);
                    }
                    shift.padding = Some(before);
                }
            }
        }
        shift.columns.push(Column::Moving { input, rest, offset });
    }
    Ok(shift)
}

/// Place of the first element of each column.
fn starts(shape: &[usize], axis: usize) -> Vec<usize> {
    let (mut one, strides) = (shape.to_vec(), strides(shape));
    one[axis] = 1;
    let mut starts = Vec::new();
    for_each(&one, |at| starts.push(place(at, &strides)));
    starts
}

/// Steps of history that the inputs need together.
fn spread(shift: &Shift, inputs: usize) -> isize {
    let of_input = |wanted: usize| {
        let offsets = shift.columns.iter().filter_map(|column| match *column {
            Column::Moving { input, offset, .. } if input == wanted => Some(offset),
            _ => None,
        });
        offsets.clone().max().unwrap_or(0) - offsets.min().unwrap_or(0)
    };
    (0..inputs).map(of_input).sum()
}

/// Says what a map that is no shift does, from the first two steps that stand on one column.
fn disorder(shape: &[usize], axes: impl Iterator<Item = usize>, from: &[From]) -> Refusal {
    for axis in axes {
        let step = strides(shape)[axis];
        for begin in starts(shape, axis) {
            let mut positions = (0..shape[axis]).filter_map(|p| match from[begin + p * step] {
                From::Step { position, .. } => Some(position),
                _ => None,
            });
            let (Some(a), Some(b)) = (positions.next(), positions.next()) else { continue };
            if b < a {
                return Refusal::Backwards;
            }
            if b > a + 1 {
                return Refusal::Skips(b - a);
            }
        }
    }
    Refusal::Scatters
}
