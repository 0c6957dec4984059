//! The flat form of a program: steps in order, each with the places that it reads and the one that it writes.

use crate::kernel::reduce::Reduce;
use crate::kernel::slide::Slide;
use crate::op::{Binary, Unary};

/// Some neighbouring numbers. While a program is made, `buffer` names a buffer and `at` counts from its begin; afterwards `buffer` is
/// [`ARENA`] or [`WEIGHTS`] and `at` counts from the begin of that memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub buffer: u32,
    pub at: usize,
    pub len: usize,
    /// Moves by this much from one trip of the innermost loop to the next.
    pub per_trip: usize,
}

/// Buffer of the fixed numbers.
pub(crate) const WEIGHTS: u32 = u32::MAX;
/// The one buffer of everything else, once places are final.
pub(crate) const ARENA: u32 = u32::MAX - 1;

impl Place {
    /// A part of this place.
    pub(crate) fn part(self, at: usize, len: usize) -> Self {
        Self { at: self.at + at, len, ..self }
    }
}

/// What the sums of a product start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartAt {
    Zero,
    Bias(Place),
    Rows(Place),
}

/// One dimension of an element-wise loop: count, and how far a and b move.
pub(crate) type Axis = (usize, usize, usize);

/// How an element-wise function of two tensors walks: the innermost run has `run` elements, in which each side moves by 1 or 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk {
    pub run: usize,
    pub a_moves: bool,
    pub b_moves: bool,
    /// Outer dimensions, innermost last.
    pub outer: Vec<Axis>,
}

/// A piece of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Rows whose neighbours stay neighbours, equally far apart on both sides.
    Copy { source: u32, from: u32, to: u32, len: u32, count: u32, from_step: u32, to_step: u32 },
    /// One by one, from places in the table.
    Gather { source: u32, table: u32, to: u32, len: u32 },
    /// The filling, in rows equally far apart.
    Fill { to: u32, len: u32, count: u32, to_step: u32 },
}

/// One step. Work is fixed by its fields.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Dense {
        x: Place,
        terms: usize,
        packed: Place,
        outputs: usize,
        start: StartAt,
        then: Option<Unary>,
        out: Place,
    },
    Pack {
        from: Place,
        outputs: usize,
        out: Place,
    },
    Slide {
        job: Box<Slide>,
        x: Place,
        packed: Place,
        terms: usize,
        then: Option<Unary>,
        out: Place,
    },
    Unary {
        function: Unary,
        x: Place,
        out: Place,
    },
    Binary {
        function: Binary,
        a: Place,
        b: Place,
        walk: Box<Walk>,
        out: Place,
    },
    Reduce {
        job: Reduce,
        x: Place,
        out: Place,
    },
    Move {
        sources: Vec<Place>,
        segments: Vec<Segment>,
        table: Vec<u32>,
        fill: f32,
        out: Place,
    },
    Copy {
        from: Place,
        out: Place,
    },
    /// Runs the body `trips` times; after each trip copies `from` to `to` in order.
    Loop {
        trips: usize,
        body: Vec<Step>,
        carry: Vec<(Place, Place)>,
    },
}

impl Step {
    /// Calls `f` with every place, those of loop bodies included.
    pub(crate) fn places_mut(&mut self, f: &mut dyn FnMut(&mut Place)) {
        match self {
            Self::Dense { x, packed, start, out, .. } => {
                [x, packed, out].into_iter().for_each(&mut *f);
                if let StartAt::Bias(place) | StartAt::Rows(place) = start {
                    f(place);
                }
            }
            Self::Pack { from, out, .. } | Self::Copy { from, out } => [from, out].into_iter().for_each(f),
            Self::Slide { x, packed, out, .. } => [x, packed, out].into_iter().for_each(f),
            Self::Unary { x, out, .. } | Self::Reduce { x, out, .. } => [x, out].into_iter().for_each(f),
            Self::Binary { a, b, out, .. } => [a, b, out].into_iter().for_each(f),
            Self::Move { sources, out, .. } => sources.iter_mut().chain([out]).for_each(f),
            Self::Loop { body, carry, .. } => {
                body.iter_mut().for_each(|step| step.places_mut(f));
                carry.iter_mut().for_each(|(from, to)| [from, to].into_iter().for_each(&mut *f));
            }
        }
    }

    /// What it writes; a loop writes in its body.
    pub(crate) fn out(&self) -> Option<Place> {
        match self {
            Self::Dense { out, .. }
            | Self::Pack { out, .. }
            | Self::Slide { out, .. }
            | Self::Unary { out, .. }
            | Self::Binary { out, .. }
            | Self::Reduce { out, .. }
            | Self::Move { out, .. }
            | Self::Copy { out, .. } => Some(*out),
            Self::Loop { .. } => None,
        }
    }

    /// Name, as shown to people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Dense { .. } => "dense".into(),
            Self::Pack { .. } => "pack".into(),
            Self::Slide { .. } => "convolution".into(),
            Self::Unary { function, .. } => function.name().into(),
            Self::Binary { function, .. } => function.name().into(),
            Self::Reduce { job, .. } => format!("reduce {:?}", job.kind).to_lowercase(),
            Self::Move { .. } => "move".into(),
            Self::Copy { .. } => "copy".into(),
            Self::Loop { trips, .. } => format!("loop of {trips}"),
        }
    }

    /// Floating-point operations; a multiply-add counts as two, a function of one number as one.
    pub(crate) fn operations(&self) -> u64 {
        let n = match self {
            Self::Dense { terms, out, then, .. } => out.len * (2 * terms + usize::from(then.is_some())),
            Self::Slide { terms, out, then, .. } => out.len * (2 * terms + usize::from(then.is_some())),
            Self::Unary { out, .. } | Self::Binary { out, .. } => out.len,
            Self::Reduce { x, .. } => x.len,
            Self::Pack { .. } | Self::Move { .. } | Self::Copy { .. } => 0,
            Self::Loop { trips, body, .. } => return *trips as u64 * body.iter().map(Self::operations).sum::<u64>(),
        };
        n as u64
    }

    /// Numbers that one run writes.
    pub(crate) fn written(&self) -> usize {
        match self {
            Self::Loop { trips, body, .. } => trips * body.iter().map(Self::written).sum::<usize>(),
            _ => self.out().map_or(0, |out| out.len),
        }
    }
}
