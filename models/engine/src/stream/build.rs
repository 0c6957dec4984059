//! Builds the one-step graph from plans, with its states: histories of sequences and the states of loops.
//!
//! A *history* is a state that holds the last values of a sequence, oldest first; each step drops the oldest and appends the present
//! one. What is fed by a convolution without padding must not see what that gives before it is filled: it is *held* at a fixed value until
//! then. The count of steps that this takes is a state like any other.

use super::plan::Plan;
use super::time::{Take, Time, Track};
use crate::graph::{Graph, GraphError, Node, err};
use crate::index::elements;
use crate::op::{Binary, Op, Unary};
use std::collections::BTreeMap;

/// A state of the one-step graph.
#[derive(Debug)]
struct State {
    initial: Vec<f32>,
    /// Its value after the step, once it is built.
    new: Option<Node>,
}

/// Which of two values a hold lets through, each as a factor -1 (this one) or 0 (the other).
#[derive(Debug, Clone, Copy)]
struct Switch {
    computed: Node,
    fixed: Node,
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
    /// By the step from which the computed value goes through.
    switches: BTreeMap<usize, Switch>,
}

impl<'a> Build<'a> {
    pub fn new(windowed: &'a Graph, times: &'a [Time]) -> Self {
        let (now, results, switches) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { graph: Graph::new(), windowed, times, now, results, states: Vec::new(), switches }
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

    /// Declares outputs: those given, then the states after the step. Returns the states' first numbers.
    pub fn finish(mut self, outputs: &[(Node, Take)]) -> Result<(Graph, Vec<Vec<f32>>), GraphError> {
        for (node, take) in outputs {
            let value = self.take(*node, *take)?;
            self.graph.output(value);
        }
        let mut initial = Vec::with_capacity(self.states.len());
        for state in self.states {
            self.graph.output(state.new.expect("a state's new value is made together with the state"));
            initial.push(state.initial);
        }
        Ok((self.graph, initial))
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
        // As it stands before the sequence begins. Where it is not padding, nothing reads it before it is ready.
        let begin = track.begin();
        let number = |step: isize| if step < track.first { padding } else { track.past }.unwrap_or(0.0);
        let inner = elements(&shape[track.axis + 1..]);
        let ago = |place: usize| (reach - place / inner % reach) as isize;
        let initial: Vec<f32> = (0..elements(&shape)).map(|place| number(begin - ago(place))).collect();
        let hold = if track.starts_known(padding.is_some()) { begin as usize } else { 0 };
        self.push_history(&shape, track.axis, now, initial, hold)
    }

    /// A state that is shifted by one along an axis in each step, together with what is appended. Until step `hold` it stays as it began.
    fn push_history(
        &mut self,
        shape: &[usize],
        axis: usize,
        now: Node,
        initial: Vec<f32>,
        hold: usize,
    ) -> Result<Node, GraphError> {
        let (state, slot) = self.push_state(shape, initial)?;
        let all = self.graph.concat(&[state, now], axis)?;
        let mut new = self.graph.slice(all, axis, 1, shape[axis] + 1)?;
        if hold > 0 {
            let fixed = self.graph.constant(shape, self.states[slot].initial.clone())?;
            new = self.hold(new, fixed, hold)?;
        }
        self.states[slot].new = Some(new);
        Ok(all)
    }

    /// A state, whose new value is still to be set, and its place in the list.
    fn push_state(&mut self, shape: &[usize], initial: Vec<f32>) -> Result<(Node, usize), GraphError> {
        let state = self.graph.input(shape)?;
        self.states.push(State { initial, new: None });
        Ok((state, self.states.len() - 1))
    }

    /// The state of a loop before its trip: its first value up to step `first`, later what the last trip left.
    fn loop_state(&mut self, start: Node, first: usize) -> Result<(Node, usize), GraphError> {
        let start = self.now[&start];
        let shape = self.graph.shape(start).to_vec();
        let numbers = self.graph.constant_data(start).map(|data| data.to_vec());
        let is_initial = numbers.is_some() && first == 0;
        let initial = numbers.unwrap_or_else(|| vec![0.0; elements(&shape)]);
        let (state, slot) = self.push_state(&shape, initial)?;
        let value = if is_initial { state } else { self.hold(state, start, first + 1)? };
        Ok((value, slot))
    }

    /// `fixed` before step `from`, then `computed`. Of the one that does not go through no bit shows, not even if it is NaN, because
    /// [`Binary::PRelu`] of 0 does not look at its second input; of the other all do, because -0 is the neutral element of addition.
    fn hold(&mut self, computed: Node, fixed: Node, from: usize) -> Result<Node, GraphError> {
        let switch = self.switch(from)?;
        let g = &mut self.graph;
        let shape = g.shape(computed).to_vec();
        let computed = g.binary(Binary::PRelu, switch.computed, computed)?;
        let computed = g.unary(Unary::Negate, computed)?;
        let fixed = g.binary(Binary::PRelu, switch.fixed, fixed)?;
        let fixed = g.unary(Unary::Negate, fixed)?;
        let sum = g.binary(Binary::Add, computed, fixed)?;
        g.reshape(sum, &shape)
    }

    fn switch(&mut self, from: usize) -> Result<Switch, GraphError> {
        if let Some(switch) = self.switches.get(&from) {
            return Ok(*switch);
        }
        // A history of -1 that begins with `from` zeros.
        let on = self.graph.constant(&[1], vec![-1.0])?;
        let all = self.push_history(&[from], 0, on, vec![0.0; from], 0)?;
        let computed = self.graph.slice(all, 0, 0, 1)?;
        let fixed = self.graph.binary(Binary::Subtract, on, computed)?;
        let switch = Switch { computed, fixed };
        self.switches.insert(from, switch);
        Ok(switch)
    }
}
