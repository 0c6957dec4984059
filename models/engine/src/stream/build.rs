//! Builds the one-step graph from plans: histories, loop states and what keeps both at their first values until their sequence begins.
//!
//! A *history* is a state that holds the last values of a sequence, oldest first; each step drops the oldest and appends the present
//! one. A *hold* lets a fixed value through before a step and the computed one from that step on. It is made of comparisons only, so that
//! it changes no bit of what it lets through: min(max(x, low), high) with low = high = the fixed value first, then -inf and +inf.

use super::plan::Plan;
use super::time::{Take, Time, Track};
use crate::graph::{Graph, GraphError, Node, err};
use crate::index::elements;
use crate::op::{Binary, Op, Unary};
use std::collections::BTreeMap;

/// A one-step graph under construction.
pub(super) struct Build<'a> {
    pub graph: Graph,
    windowed: &'a Graph,
    times: &'a [Time],
    /// Where each node's present value is.
    now: BTreeMap<Node, Node>,
    /// Results of each loop.
    results: BTreeMap<Node, Vec<Node>>,
    /// First numbers of each state, and its value after the step.
    states: Vec<(Vec<f32>, Option<Node>)>,
    /// Low and high end of what a hold lets through when the value held is 0, by the step from which it lets everything through.
    holds: BTreeMap<usize, (Node, Node)>,
}

impl<'a> Build<'a> {
    pub fn new(windowed: &'a Graph, times: &'a [Time]) -> Self {
        let (now, results, holds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { graph: Graph::new(), windowed, times, now, results, states: Vec::new(), holds }
    }

    /// An input of the windowed graph.
    pub fn input(&mut self, node: Node, shape: &[usize]) -> Result<(), GraphError> {
        let made = self.graph.input(shape)?;
        self.now.insert(node, made);
        Ok(())
    }

    /// One node of the windowed graph.
    pub fn node(&mut self, node: Node, plan: &Plan) -> Result<(), GraphError> {
        self.graph.set_origin(&self.windowed.node(node).origin);
        let mut own_states = Vec::new();
        let mut x = Vec::with_capacity(plan.inputs.len());
        for (input, take) in &plan.inputs {
            if let Take::State { first } = take {
                let (value, slot) = self.loop_state(*input, *first)?;
                own_states.push(slot);
                x.push(value);
            } else {
                x.push(self.take(*input, *take)?);
            }
        }
        let g = &mut self.graph;
        let made = match &plan.op {
            Op::Constant(data) => g.constant(&plan.shape, data.clone())?,
            Op::Unary(function) => g.unary(*function, x[0])?,
            Op::Binary(function) => g.binary(*function, x[0], x[1])?,
            Op::MatMul => g.matmul(x[0], x[1])?,
            Op::Conv(conv) => g.conv(x[0], x[1], x.get(2).copied(), conv.clone())?,
            Op::Reduce { kind, axes } => g.reduce(*kind, x[0], axes)?,
            Op::Index(map) => g.index(&x, &plan.shape, map.clone())?,
            Op::Reshape => g.reshape(x[0], &plan.shape)?,
            Op::Scan(scan) => {
                let (states, others) = x.split_at(scan.states);
                let (scanned, fixed) = others.split_at(scan.scanned);
                let results = g.scan(scan.body.clone(), scan.trips, states, scanned, fixed)?;
                for (slot, new) in own_states.into_iter().zip(&results) {
                    self.states[slot].1 = Some(*new);
                }
                self.results.insert(node, results);
                return Ok(());
            }
            Op::Part(result) => self.results[&self.windowed.node(node).inputs[0]][*result],
            Op::Input => return err("an input that the graph does not list"),
        };
        self.now.insert(node, made);
        Ok(())
    }

    /// Declares outputs: those given, then the states after the step. Returns the states' first numbers.
    pub fn finish(mut self, outputs: &[(Node, Take)]) -> Result<(Graph, Vec<Vec<f32>>), GraphError> {
        for (node, take) in outputs {
            let value = self.take(*node, *take)?;
            self.graph.output(value);
        }
        let mut initial = Vec::with_capacity(self.states.len());
        for (numbers, new) in self.states {
            self.graph.output(new.expect("a state's new value is made together with the state"));
            initial.push(numbers);
        }
        Ok((self.graph, initial))
    }

    fn take(&mut self, node: Node, take: Take) -> Result<Node, GraphError> {
        let is_scan = matches!(self.windowed.node(node).op, Op::Scan(_));
        if is_scan {
            // Only a part reads a scan, and it finds its result by itself.
            return Ok(node);
        }
        let now = self.now[&node];
        match (take, self.times[node.index()]) {
            (Take::First { axis }, _) => self.graph.slice(now, axis, 0, 1),
            (Take::Past { reach, steps, padding }, Time::Along(track)) => {
                let held = match (padding, usize::try_from(track.first)) {
                    (Some(number), Ok(first)) if first > 0 => {
                        let number = self.graph.scalar(number)?;
                        self.hold(now, number, first)?
                    }
                    _ => now,
                };
                let history = self.history(held, &track, reach, padding)?;
                self.graph.slice(history, track.axis, 0, steps)
            }
            (Take::Whole | Take::Past { .. } | Take::State { .. }, _) => Ok(now),
        }
    }

    /// The last `reach` values of a sequence and the present one.
    fn history(&mut self, now: Node, track: &Track, reach: usize, padding: Option<f32>) -> Result<Node, GraphError> {
        if reach == 0 {
            return Ok(now);
        }
        let mut shape = self.graph.shape(now).to_vec();
        shape[track.axis] = reach;
        // Steps -reach to -1. What is neither padding nor read before it is ready may be any number.
        let number = |step: isize| if step < track.first { padding } else { track.past }.unwrap_or(0.0);
        let inner = elements(&shape[track.axis + 1..]);
        let steps = (0..elements(&shape)).map(|place| (place / inner % reach) as isize - reach as isize);
        let initial = steps.map(number).collect();
        let state = self.graph.input(&shape)?;
        self.push_history(state, now, track.axis, initial)
    }

    fn push_history(&mut self, state: Node, now: Node, axis: usize, initial: Vec<f32>) -> Result<Node, GraphError> {
        let all = self.graph.concat(&[state, now], axis)?;
        let steps = self.graph.shape(all)[axis];
        let new = self.graph.slice(all, axis, 1, steps)?;
        self.states.push((initial, Some(new)));
        Ok(all)
    }

    /// The state of a loop before its trip: its first value up to and including step `first`, then what the last trip left.
    fn loop_state(&mut self, start: Node, first: usize) -> Result<(Node, usize), GraphError> {
        let start = self.now[&start];
        let shape = self.graph.shape(start).to_vec();
        let state = self.graph.input(&shape)?;
        let slot = self.states.len();
        let numbers = self.graph.constant_data(start).map(|data| data.to_vec());
        let is_constant = numbers.is_some();
        self.states.push((numbers.unwrap_or_else(|| vec![0.0; elements(&shape)]), None));
        let value = if is_constant && first == 0 { state } else { self.hold(state, start, first + 1)? };
        Ok((value, slot))
    }

    /// `fixed` before step `from`, then `x`.
    fn hold(&mut self, x: Node, fixed: Node, from: usize) -> Result<Node, GraphError> {
        let (low, high) = match self.holds.get(&from) {
            Some(ends) => *ends,
            None => {
                // A history of -inf that begins with +inf: `low` passes the fixed value as a lower limit until it has run through.
                let (state, open) = (self.graph.input(&[from])?, self.graph.constant(&[1], vec![f32::NEG_INFINITY])?);
                let all = self.push_history(state, open, 0, vec![f32::INFINITY; from])?;
                let low = self.graph.slice(all, 0, 0, 1)?;
                let high = self.graph.unary(Unary::Negate, low)?;
                self.holds.insert(from, (low, high));
                (low, high)
            }
        };
        let shape = self.graph.shape(x).to_vec();
        let low = self.graph.binary(Binary::Minimum, fixed, low)?;
        let high = self.graph.binary(Binary::Maximum, fixed, high)?;
        let raised = self.graph.binary(Binary::Maximum, x, low)?;
        let held = self.graph.binary(Binary::Minimum, raised, high)?;
        self.graph.reshape(held, &shape)
    }
}
