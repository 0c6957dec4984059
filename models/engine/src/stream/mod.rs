//! Turns a graph that reads a window of T steps into one that takes a single step and keeps what it must remember in explicit states.
//!
//! A recurrent layer carries its own states on, a convolution along time keeps the last inputs that it still needs. What would need every
//! step of the window again at each step (a mean over the window, attention over time, a layer that reads backwards) is refused with a
//! reason; the caller then runs the whole window. Words are in `time`.
//!
//! **What is equal.** After steps 0 to T - 1 from the initial states the one-step graph has computed what the windowed one computes, by the
//! same operations in the same order: exactly in the reference interpreter, bit for bit in kernels that round at the same places (but for the
//! sign of a zero sum where a convolution meets its padding). A compiled program that takes a bias into a product, for the shapes of one
//! form only, rounds elsewhere and may differ in the last bit. An output that is a sequence of L positions gives position `t - (T - L)`
//! after step `t`, from the last step of [`Stream::warm_up`] on; any other output equals the windowed one after step T - 1.
//!
//! **Few steps.** What needs some steps of the window together (their mean, or all of them in one row) gets them from a history if they are
//! at most half of the window. More are refused: then there is little to gain.
//!
//! **After T steps** the two may part: a windowed loop forgets what is older than its window, a streamed one remembers since its
//! reset. [`Stream::equal_for_ever`] tells whether that can happen. It cannot if what the newest step depends on, convolutions in all,
//! is at most T steps long. For the same reason a NaN that has reached a loop stays in its state until the next reset.
//!
//! **Reset, snapshot, replay.** The states are lists of numbers that go in and come out, and there is no other memory, not even a
//! count of steps: to reset is to begin with [`Stream::initial`], to keep a copy of the lists is a snapshot, to feed the copy is to restore.
//! Only who asks whether [`Stream::warm_up`] is over counts steps.

mod build;
mod plan;
mod plan_index;
mod refusal;
mod shift;
mod time;

#[cfg(test)]
mod common_tests;
#[cfg(test)]
mod examples_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod refusal_tests;

pub use refusal::NotStreamable;

use self::build::Build;
use self::plan::Planner;
use self::time::{Onset, Time, Track};
use crate::graph::{Graph, Node};
use crate::op::Op;

/// A graph of one step.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Inputs: those of the windowed graph in their order, the windowed one with a time axis of length 1; then the states. Outputs:
    /// those of the windowed graph, sequences with a time axis of length 1; then the states after the step, in the same order.
    pub graph: Graph,
    /// Number of states.
    pub states: usize,
    /// Numbers of each state before the first step, row-major.
    pub initial: Vec<Vec<f32>>,
    /// Number of steps, at least 1, after which the outputs are right: 1 for loops and for convolutions with padding in front, more where
    /// a convolution without padding must first be filled. Earlier outputs are no predictions.
    pub warm_up: usize,
    /// Steps of the window, T.
    pub window: usize,
    /// Time axis of each output that is a sequence, of which the newest position is given; none for an output that is complete.
    pub sequences: Vec<Option<usize>>,
    /// True if the outputs after every later step, too, equal those of the windowed graph over the last T steps; false if that is
    /// promised for the first T steps after a reset only.
    pub equal_for_ever: bool,
}

/// The one-step form of `graph`, whose input number `input` has its steps along `axis`. All other inputs are taken as constant over time: a
/// change of them is seen from the next step on, never in what the states already hold.
///
/// Bounded by the size of the graph; allocates. For the load of a model, not for the scan.
///
/// # Errors
/// The graph cannot run one step at a time, with the node that is in the way; or there is no such input, axis or window of at least two steps.
pub fn stream(graph: &Graph, input: usize, axis: usize) -> Result<Stream, NotStreamable> {
    let missing = |reason: String| NotStreamable { origin: "the windowed input".into(), reason };
    let Some(fed) = graph.inputs().get(input).copied() else {
        return Err(missing(format!("has number {input}, but the graph has {} inputs", graph.inputs().len())));
    };
    let shape = graph.shape(fed);
    let Some(window) = shape.get(axis).copied().filter(|steps| *steps >= 2) else {
        return Err(missing(format!("has shape {shape:?}, so axis {axis} is no window of at least two steps")));
    };

    let mut planner = Planner { graph, window, times: vec![Time::Still; graph.nodes().len()] };
    let (onset, past) = (Onset::FED, None);
    planner.times[fed.index()] = Time::Along(Track { axis, first: 0, len: window, onset, past });
    let mut plans = Vec::new();
    for node in needed(graph) {
        let data = graph.node(node);
        let plan = planner.plan(data).map_err(|refusal| refusal.at(&data.origin))?;
        planner.times[node.index()] = plan.time;
        plans.push((node, plan));
    }
    let (mut takes, mut times) = (Vec::new(), Vec::new());
    for node in graph.outputs() {
        let (take, time) = planner.output(*node).map_err(|refusal| refusal.at(&graph.node(*node).origin))?;
        takes.push((*node, take));
        times.push(time);
    }

    let mut build = Build::new(graph, &planner.times);
    for node in graph.inputs() {
        let mut shape = graph.shape(*node).to_vec();
        if *node == fed {
            shape[axis] = 1;
        }
        build.input(*node, &shape)?;
    }
    for (node, plan) in &plans {
        build.node(*node, plan)?;
    }
    let (graph, initial) = build.finish(&takes)?;

    let onset = times.iter().fold(Onset::FED, |onset, time| match time {
        Time::Still => onset,
        Time::Newest(own) | Time::Along(Track { onset: own, .. }) => onset.and(*own),
    });
    let axis_of = |time: &Time| match time {
        Time::Along(track) => Some(track.axis),
        Time::Still | Time::Newest(_) => None,
    };
    Ok(Stream {
        graph,
        states: initial.len(),
        initial,
        warm_up: onset.ready as usize + 1,
        window,
        sequences: times.iter().map(axis_of).collect(),
        equal_for_ever: onset.settled.is_some_and(|step| step < window as isize),
    })
}

/// What the outputs need, in order, without the inputs.
fn needed(graph: &Graph) -> Vec<Node> {
    let mut is_needed = vec![false; graph.nodes().len()];
    for node in graph.outputs() {
        is_needed[node.index()] = true;
    }
    for (i, data) in graph.nodes().iter().enumerate().rev() {
        if is_needed[i] {
            data.inputs.iter().for_each(|n| is_needed[n.index()] = true);
        }
    }
    let nodes = (0..graph.nodes().len()).filter(|i| is_needed[*i] && !matches!(graph.nodes()[*i].op, Op::Input));
    nodes.map(|i| Node(i as u32)).collect()
}
