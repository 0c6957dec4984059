//! Builds the one-step graph from plans, with its states: histories of sequences and the states of loops.
//!
//! A *history* is a state that holds the last values of a sequence, oldest first; each step drops the oldest and appends the present
//! one. A state *waits* while what feeds it is not complete yet: until then it must stay as it began.

use super::plan::Plan;
use super::time::{Take, Time, Track};
use crate::graph::{Graph, GraphError, Node, err};
use crate::index::elements;
use crate::op::{Binary, Op, Unary};
use std::collections::BTreeMap;

/// A state of the one-step graph.
#[derive(Debug)]
pub(super) struct State {
    pub initial: Vec<f32>,
    /// Steps after which it is still as it began.
    pub wait: usize,
    /// Its value after the step, once it is built.
    new: Option<Node>,
}

/// A one-step graph under construction.
pub(super) struct Build<'a> {
    graph: Graph,
    windowed: &'a Graph,
    times: &'a [Time],
    /// Where each node's present value is.
    now: BTreeMap<Node, Node>,
    /// Results of each loop.
    results: BTreeMap<Node, Vec<Node>>,
    states: Vec<State>,
}

impl<'a> Build<'a> {
    pub fn new(windowed: &'a Graph, times: &'a [Time]) -> Self {
        let (now, results) = (BTreeMap::new(), BTreeMap::new());
        Self { graph: Graph::new(), windowed, times, now, results, states: Vec::new() }
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
                    self.states[slot].new = Some(*new);
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

    /// Declares outputs: those given, then the states after the step.
    pub fn finish(mut self, outputs: &[(Node, Take)]) -> Result<(Graph, Vec<State>), GraphError> {
        for (node, take) in outputs {
            let value = self.take(*node, *take)?;
            self.graph.output(value);
        }
        for state in &self.states {
            self.graph.output(state.new.expect("a state's new value is made together with the state"));
        }
        Ok((self.graph, self.states))
    }

    fn take(&mut self, node: Node, take: Take) -> Result<Node, GraphError> {
        if matches!(self.windowed.node(node).op, Op::Scan(_)) {
            // Only a part reads a scan, and it finds its result by itself.
            return Ok(node);
        }
        let now = self.now[&node];
        match (take, self.times[node.index()]) {
            (Take::First { axis }, _) => self.graph.slice(now, axis, 0, 1),
            (Take::Past { reach, steps, padding }, Time::Along(track)) => {
                let history = self.history(now, &track, reach, padding)?;
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
        // As it stands before the sequence begins. What is neither padding nor read before it is ready may be any number.
        let begin = track.begin();
        let number = |step: isize| if step < track.first { padding } else { track.past }.unwrap_or(0.0);
        let inner = elements(&shape[track.axis + 1..]);
        let ago = |place: usize| (reach - place / inner % reach) as isize;
        let initial = (0..elements(&shape)).map(|place| number(begin - ago(place))).collect();
        let wait = if track.starts_known(padding.is_some()) { begin as usize } else { 0 };

        let state = self.graph.input(&shape)?;
        let all = self.graph.concat(&[state, now], track.axis)?;
        let new = self.graph.slice(all, track.axis, 1, reach + 1)?;
        self.states.push(State { initial, wait, new: Some(new) });
        Ok(all)
    }

    /// The state of a loop before its trip: its first value in step `first`, later what the last trip left.
    fn loop_state(&mut self, start: Node, first: usize) -> Result<(Node, usize), GraphError> {
        let start = self.now[&start];
        let shape = self.graph.shape(start).to_vec();
        let state = self.graph.input(&shape)?;
        let slot = self.states.len();
        let numbers = self.graph.constant_data(start).map(|data| data.to_vec());
        let is_constant = numbers.is_some();
        let initial = numbers.unwrap_or_else(|| vec![0.0; elements(&shape)]);
        self.states.push(State { initial, wait: first, new: None });
        let value = if is_constant { state } else { self.started(state, start, first)? };
        Ok((value, slot))
    }

    /// `start` in step `first`, later `state`: min(max(state, low), high) with low = high = `start` at first and the infinities later,
    /// which changes no bit of what it lets through.
    fn started(&mut self, state: Node, start: Node, first: usize) -> Result<Node, GraphError> {
        let g = &mut self.graph;
        let shape = g.shape(state).to_vec();
        let fresh = g.input(&[1])?;
        let never = g.constant(&[1], vec![f32::NEG_INFINITY])?;
        let new = g.binary(Binary::Minimum, fresh, never)?;
        self.states.push(State { initial: vec![f32::INFINITY], wait: first, new: Some(new) });
        let low = g.binary(Binary::Minimum, start, fresh)?;
        let stale = g.unary(Unary::Negate, fresh)?;
        let high = g.binary(Binary::Maximum, start, stale)?;
        let raised = g.binary(Binary::Maximum, state, low)?;
        let limited = g.binary(Binary::Minimum, raised, high)?;
        g.reshape(limited, &shape)
    }
}
