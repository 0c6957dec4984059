//! Carries out the steps of a program on its arena. Total, bounded by the steps, allocates nothing.

use fearless_simd::{Level, Simd};

use super::step::{ARENA, Place, Segment, StartAt, Step, Walk};
use crate::kernel::dense::{Start, dense};
use crate::kernel::reduce::reduce;
use crate::kernel::slide::slide;
use crate::kernel::{Work, elementwise, on, order};
use crate::op::Unary;

/// Axes of an element-wise walk at most, innermost run not counted.
const AXES_MAX: usize = crate::graph::RANK_MAX;

/// Runs all steps on one instruction set.
pub(crate) fn run(level: Level, steps: &[Step], weights: &[f32], arena: &mut [f32]) {
    on(level, Run { steps, weights, arena });
}

struct Run<'a> {
    steps: &'a [Step],
    weights: &'a [f32],
    arena: &'a mut [f32],
}

impl Work for Run<'_> {
    fn run<S: Simd>(self, simd: S) {
        run_steps(simd, self.steps, self.weights, self.arena, 0);
    }
}

fn run_steps<S: Simd>(simd: S, steps: &[Step], weights: &[f32], arena: &mut [f32], trip: usize) {
    for step in steps {
        run_step(simd, step, weights, arena, trip);
    }
}

/// Everything that a step may read while it writes: what lies below and above its output, and the weights.
struct Others<'a> {
    low: &'a [f32],
    high: &'a [f32],
    high_at: usize,
    weights: &'a [f32],
    trip: usize,
}

impl<'a> Others<'a> {
    #[inline(always)]
    fn get(&self, place: Place) -> &'a [f32] {
        let at = place.at + self.trip * place.per_trip;
        if place.buffer != ARENA {
            &self.weights[at..at + place.len]
        } else if at >= self.high_at {
            &self.high[at - self.high_at..][..place.len]
        } else {
            &self.low[at..at + place.len]
        }
    }
}

/// Opens the arena at the output of a step.
#[inline(always)]
fn open<'a>(arena: &'a mut [f32], weights: &'a [f32], out: Place, trip: usize) -> (&'a mut [f32], Others<'a>) {
    let at = out.at + trip * out.per_trip;
    let (low, rest) = arena.split_at_mut(at);
    let (out, high) = rest.split_at_mut(out.len);
    let high_at = at + out.len();
    (out, Others { low, high, high_at, weights, trip })
}

fn run_step<S: Simd>(simd: S, step: &Step, weights: &[f32], arena: &mut [f32], trip: usize) {
    match step {
        Step::Dense { x, terms, packed, outputs, start, then, out } => {
            let (out, others) = open(arena, weights, *out, trip);
            let start = match start {
                StartAt::Zero => Start::Zero,
                StartAt::Bias(place) => Start::Bias(others.get(*place)),
                StartAt::Rows(place) => Start::Rows(others.get(*place)),
            };
            let relu = *then == Some(Unary::Relu);
            dense(simd, others.get(*x), *terms, others.get(*packed), *outputs, start, relu, out);
            in_place(simd, then.filter(|_| !relu), out);
        }
        Step::Pack { from, outputs, out } => {
            let (out, others) = open(arena, weights, *out, trip);
            order::pack(others.get(*from), *outputs, out);
        }
        Step::Slide { job, x, packed, then, out, .. } => {
            let (out, others) = open(arena, weights, *out, trip);
            slide(simd, job, others.get(*x), others.get(*packed), out);
            in_place(simd, then.filter(|_| !job.relu), out);
        }
        Step::Unary { function, x, out } => {
            let (out, others) = open(arena, weights, *out, trip);
            elementwise::unary(simd, *function, others.get(*x), out);
        }
        Step::Binary { function, a, b, walk, out } => {
            let (out, others) = open(arena, weights, *out, trip);
            let (a, b) = (others.get(*a), others.get(*b));
            each_run(walk, out, |a_at, b_at, out| {
                let side = |at: usize, moves: bool| if moves { at..at + out.len() } else { at..at + 1 };
                let (a_range, b_range) = (side(a_at, walk.a_moves), side(b_at, walk.b_moves));
                elementwise::binary(simd, *function, &a[a_range], &b[b_range], out);
            });
        }
        Step::Reduce { job, x, out } => {
            let (out, others) = open(arena, weights, *out, trip);
            reduce(simd, *job, others.get(*x), out);
        }
        Step::Move { sources, segments, table, fill, out } => {
            let (out, others) = open(arena, weights, *out, trip);
            for segment in segments {
                run_segment(*segment, sources, table, *fill, &others, out);
            }
        }
        Step::Copy { from, out } => {
            let (out, others) = open(arena, weights, *out, trip);
            out.copy_from_slice(others.get(*from));
        }
        Step::Loop { trips, body, carry } => {
            for trip in 0..*trips {
                run_steps(simd, body, weights, arena, trip);
                for (from, to) in carry {
                    let (out, others) = open(arena, weights, *to, trip);
                    out.copy_from_slice(others.get(*from));
                }
            }
        }
    }
}

fn in_place<S: Simd>(simd: S, function: Option<Unary>, numbers: &mut [f32]) {
    if let Some(function) = function {
        elementwise::unary_in_place(simd, function, numbers);
    }
}

/// Calls `f` with the begin of each innermost run on both sides, and its output.
fn each_run(walk: &Walk, out: &mut [f32], mut f: impl FnMut(usize, usize, &mut [f32])) {
    let mut counters = [0_usize; AXES_MAX];
    let (mut a, mut b) = (0, 0);
    for out in out.chunks_exact_mut(walk.run) {
        f(a, b, out);
        for ((count, a_step, b_step), counter) in walk.outer.iter().zip(&mut counters).rev() {
            *counter += 1;
            a += a_step;
            b += b_step;
            if *counter < *count {
                break;
            }
            *counter = 0;
            a -= a_step * count;
            b -= b_step * count;
        }
    }
}

fn run_segment(segment: Segment, sources: &[Place], table: &[u32], fill: f32, others: &Others<'_>, out: &mut [f32]) {
    match segment {
        Segment::Copy { source, from, to, len, count, from_step, to_step } => {
            let source = others.get(sources[source as usize]);
            for i in 0..count as usize {
                let from = &source[from as usize + i * from_step as usize..][..len as usize];
                copy(from, &mut out[to as usize + i * to_step as usize..][..len as usize]);
            }
        }
        Segment::Gather { source, table: first, to, len } => {
            let source = others.get(sources[source as usize]);
            let table = &table[first as usize..][..len as usize];
            for (out, from) in out[to as usize..][..len as usize].iter_mut().zip(table) {
                *out = source[*from as usize];
            }
        }
        Segment::Fill { to, len, count, to_step } => {
            for i in 0..count as usize {
                out[to as usize + i * to_step as usize..][..len as usize].fill(fill);
            }
        }
    }
}

/// Copies a short row without the call that a copy of unknown length makes.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    let (from, from_rest) = from.as_chunks::<16>();
    let (to, to_rest) = to.as_chunks_mut::<16>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}
