//! Decides node by node how one step is computed, and how the result depends on time. Nothing is built here, so a refusal leaves nothing.
//!
//! Each node becomes one node of the same operator over inputs that are taken now, delayed or from a history ([`Take`]). A node that
//! cannot run along time, but only needs few steps of the window, gets these steps as they are ("kept").

use super::refusal::Refusal;
use super::shift::Line;
use super::time::{Onset, Take, Time, Track};
use crate::graph::{Graph, Node};
use crate::index::elements;
use crate::op::{Conv, NodeData, Op, Scan};

/// How one node of the windowed graph is computed in one step.
#[derive(Debug)]
pub(super) struct Plan {
    pub inputs: Vec<(Node, Take)>,
    pub op: Op,
    /// Shape of the result; the builder infers it again where it can.
    pub shape: Vec<usize>,
    pub time: Time,
}

/// What is known so far.
pub(super) struct Planner<'a> {
    pub graph: &'a Graph,
    /// Number of steps of the window, at least 2.
    pub window: usize,
    /// Of each node planned so far.
    pub times: Vec<Time>,
}

impl Planner<'_> {
    /// The plan of one node, whose inputs are planned.
    pub fn plan(&self, data: &NodeData) -> Result<Plan, Refusal> {
        if !data.inputs.iter().any(|n| self.track(*n).is_some()) {
            return Ok(self.same(data, self.merged(data)));
        }
        let streamed = match &data.op {
            // A map decides itself which steps it keeps.
            Op::Index(map) => return self.index(data, map),
            Op::Part(result) => return self.part(data, *result),
            Op::Unary(_) | Op::Binary(_) => self.aligned(data, true),
            Op::MatMul => self.matmul(data),
            Op::Conv(conv) => self.conv(data, conv),
            Op::Reduce { kind, axes } => match self.track(data.inputs[0]) {
                Some(track) if axes.contains(&track.axis) => Err(Refusal::Reduces(*kind)),
                _ => self.aligned(data, true),
            },
            Op::Reshape => self.reshape(data),
            Op::Scan(scan) => self.scan(data, scan),
            Op::Input | Op::Constant(_) => unreachable!("reads nothing"),
        };
        streamed.or_else(|refusal| self.kept(data).ok_or(refusal))
    }

    /// How an output of the windowed graph is taken: so that its last position stands at the last step.
    pub fn output(&self, node: Node) -> Result<(Take, Time), Refusal> {
        let Some(track) = self.track(node) else { return Ok((Take::Whole, self.time(node))) };
        let delay = self.until_end(&track, track.len - 1)?;
        readable(&track, delay)?;
        let time = Track { first: track.first + delay as isize, onset: track.seen(delay, false), ..track };
        Ok((Take::delayed(delay), Time::Along(time)))
    }

    pub fn time(&self, node: Node) -> Time {
        self.times[node.index()]
    }

    pub(super) fn track(&self, node: Node) -> Option<Track> {
        match self.time(node) {
            Time::Along(track) => Some(track),
            Time::Still | Time::Newest(_) => None,
        }
    }

    /// Steps from a position to the window's last step.
    fn until_end(&self, track: &Track, position: usize) -> Result<usize, Refusal> {
        let step = track.first + position as isize;
        usize::try_from(self.window as isize - 1 - step).map_err(|_| Refusal::NeedsLater)
    }

    /// The node as it is, over inputs without a time axis.
    fn same(&self, data: &NodeData, time: Time) -> Plan {
        let inputs = data.inputs.iter().map(|n| (*n, Take::Whole)).collect();
        Plan { inputs, op: data.op.clone(), shape: data.shape.clone(), time }
    }

    fn merged(&self, data: &NodeData) -> Time {
        data.inputs.iter().fold(Time::Still, |time, n| meet(time, self.time(*n)))
    }

    /// The node over positions of its sequences that are kept from step to step, if they are few.
    fn kept(&self, data: &NodeData) -> Option<Plan> {
        let (mut inputs, mut time) = (Vec::new(), Time::Still);
        for n in &data.inputs {
            let (take, own) = match self.time(*n) {
                Time::Along(track) => self.keep(&track, 0, track.len - 1).ok().flatten()?,
                other => (Take::Whole, other),
            };
            inputs.push((*n, take));
            time = meet(time, own);
        }
        Some(Plan { inputs, op: data.op.clone(), shape: data.shape.clone(), time })
    }

    /// Positions `low` to `high` as they stand at the window's last step; nothing if they are more than half of the window. A history
    /// of that length costs less than to run the window again, and stays right for ever.
    pub(super) fn keep(&self, track: &Track, low: usize, high: usize) -> Result<Option<(Take, Time)>, Refusal> {
        let steps = high - low + 1;
        if steps > 1 && 2 * steps > self.window {
            return Ok(None);
        }
        let reach = self.until_end(track, high)? + steps - 1;
        readable(track, reach)?;
        Ok(Some((Take::Past { reach, steps, padding: None }, Time::Newest(track.seen(reach, false)))))
    }

    /// The sequences of a node, all along the same axis, at their latest alignment. Other inputs must be the same at all steps;
    /// `lined` if their axes are those of the result.
    fn aligned(&self, data: &NodeData, lined: bool) -> Result<Plan, Refusal> {
        let tracks = data.inputs.iter().filter_map(|n| self.track(*n));
        let first = tracks.clone().map(|t| t.first).max().expect("called for nodes over a sequence");
        self.aligned_at(data, first, lined)
    }

    fn aligned_at(&self, data: &NodeData, first: isize, lined: bool) -> Result<Plan, Refusal> {
        let (mut inputs, mut result): (_, Option<Track>) = (Vec::new(), None);
        for n in &data.inputs {
            if let Some(track) = self.track(*n) {
                if result.is_some_and(|r| r.axis != track.axis) {
                    return Err(Refusal::ComparesSteps);
                }
                let delay = (first - track.first) as usize;
                readable(&track, delay)?;
                inputs.push((*n, Take::delayed(delay)));
                let onset = track.seen(delay, false);
                let onset = result.map_or(onset, |r| r.onset.and(onset));
                result = Some(Track { first, onset, past: None, ..track });
            } else {
                inputs.push((*n, Take::Whole));
            }
        }
        let track = result.expect("called for nodes over a sequence");
        for (n, take) in &mut inputs {
            if self.track(*n).is_none() {
                *take = self.beside(*n, lined.then_some(track.axis))?;
            }
        }
        Ok(Plan { inputs, op: data.op.clone(), shape: data.shape.clone(), time: Time::Along(track) })
    }

    /// How a tensor without a time axis is taken beside a sequence.
    pub(super) fn beside(&self, node: Node, axis: Option<usize>) -> Result<Take, Refusal> {
        if matches!(self.time(node), Time::Newest(_)) {
            return Err(Refusal::MeetsNewest);
        }
        let Some(axis) = axis.filter(|axis| self.graph.shape(node)[*axis] != 1) else { return Ok(Take::Whole) };
        let line = Line::new(self.graph.shape(node), axis);
        let numbers = self.graph.constant_data(node).ok_or(Refusal::OwnNumbers)?;
        let like_the_first = |place: usize| {
            let first = place - place / line.stride % line.len * line.stride;
            numbers[place].to_bits() == numbers[first].to_bits()
        };
        if (0..numbers.len()).all(like_the_first) { Ok(Take::First { axis }) } else { Err(Refusal::OwnNumbers) }
    }

    fn matmul(&self, data: &NodeData) -> Result<Plan, Refusal> {
        let rank = data.shape.len();
        let batch = |track: Track| track.axis < rank - 2;
        match (self.track(data.inputs[0]), self.track(data.inputs[1])) {
            (Some(a), Some(b)) if batch(a) && batch(b) => self.aligned(data, true),
            (Some(_), Some(_)) => Err(Refusal::ComparesSteps),
            (Some(a), None) if a.axis == rank - 1 => Err(Refusal::AddsUp),
            (None, Some(b)) if b.axis == rank - 2 => Err(Refusal::AddsUp),
            (Some(t), None) | (None, Some(t)) => self.aligned(data, batch(t)),
            (None, None) => Ok(self.same(data, self.merged(data))),
        }
    }

    fn conv(&self, data: &NodeData, conv: &Conv) -> Result<Plan, Refusal> {
        let Some(track) = self.track(data.inputs[0]) else { return Err(Refusal::AddsUp) };
        if data.inputs[1..].iter().any(|n| self.time(*n) != Time::Still) {
            return Err(Refusal::MeetsNewest);
        }
        let spatial = match track.axis {
            0 => return self.aligned(data, false),
            1 => return Err(Refusal::AddsUp),
            axis => axis - 2,
        };
        let len = data.shape[track.axis];
        if len > 1 && conv.strides[spatial] > 1 {
            return Err(Refusal::Skips(conv.strides[spatial]));
        }
        let taps = (self.graph.shape(data.inputs[1])[track.axis] - 1) * conv.dilations[spatial];
        let before = conv.pads[spatial].0;
        let mut reach = taps;
        if len - 1 + taps >= track.len + before {
            // Padding behind the last position must not show before the window is over.
            reach += usize::try_from(self.window as isize - track.end()).unwrap_or(0);
        }
        let mut first = track.first + reach as isize - before as isize;
        if len == 1 {
            // A single result stands at the window's last step, however long ago its inputs are complete.
            let wait = usize::try_from(self.window as isize - 1 - first).map_err(|_| Refusal::NeedsLater)?;
            (first, reach) = (first + wait as isize, reach + wait);
        }
        readable(&track, reach)?;
        let padding = (before > 0).then_some(0.0);
        let onset = track.seen(reach, before > 0);
        let time = match len {
            1 => Time::Newest(onset),
            _ => Time::Along(Track { axis: track.axis, first, len, onset, past: None }),
        };
        let mut inputs = vec![(data.inputs[0], Take::Past { reach, steps: taps + 1, padding })];
        inputs.extend(data.inputs[1..].iter().map(|n| (*n, Take::Whole)));
        let mut step = conv.clone();
        step.pads[spatial] = (0, 0);
        Ok(Plan { inputs, op: Op::Conv(step), shape: one_step(&data.shape, track.axis), time })
    }

    fn reshape(&self, data: &NodeData) -> Result<Plan, Refusal> {
        let track = self.track(data.inputs[0]).expect("called for nodes over a sequence");
        let outside = elements(&self.graph.shape(data.inputs[0])[..track.axis]);
        let keeps = |axis: &usize| data.shape[*axis] == track.len && elements(&data.shape[..*axis]) == outside;
        let axis = (0..data.shape.len()).find(keeps).ok_or(Refusal::Mixes)?;
        let shape = one_step(&data.shape, axis);
        let time = Time::Along(Track { axis, ..track });
        Ok(Plan { inputs: vec![(data.inputs[0], Take::NOW)], op: Op::Reshape, shape, time })
    }

    fn scan(&self, data: &NodeData, scan: &Scan) -> Result<Plan, Refusal> {
        let (states, others) = data.inputs.split_at(scan.states);
        let (scanned, fixed) = others.split_at(scan.scanned);
        if states.iter().any(|n| self.time(*n) != Time::Still) {
            return Err(Refusal::StartsFromWindow);
        }
        let tracks: Vec<Track> = scanned.iter().filter_map(|n| self.track(*n)).collect();
        let elsewhere = tracks.is_empty() || tracks.iter().any(|t| t.axis != 0);
        if elsewhere || fixed.iter().any(|n| self.time(*n) != Time::Still) {
            return Err(Refusal::LoopsElsewhere);
        }
        // The last trip at the window's last step, so that the states then are the last ones.
        let earliest = self.window as isize - scan.trips as isize;
        let first = tracks.iter().fold(earliest, |first, t| first.max(t.first));
        let over_scanned = NodeData { inputs: scanned.to_vec(), ..data.clone() };
        let mut plan = self.aligned_at(&over_scanned, first, true)?;
        let Time::Along(Track { onset, .. }) = plan.time else { unreachable!("sequences were aligned") };
        if first < onset.ready {
            return Err(Refusal::LoopsInPadding);
        }
        let state = states.iter().map(|n| (*n, Take::State { first: first as usize }));
        plan.inputs.splice(0..0, state);
        plan.inputs.extend(fixed.iter().map(|n| (*n, Take::Whole)));
        plan.op = Op::Scan(Scan { trips: 1, ..scan.clone() });
        let onset = Onset { ready: first, settled: None };
        plan.time = Time::Along(Track { axis: 0, first, len: scan.trips, onset, past: None });
        Ok(plan)
    }

    fn part(&self, data: &NodeData, result: usize) -> Result<Plan, Refusal> {
        let track = self.track(data.inputs[0]).expect("called for nodes over a sequence");
        let Op::Scan(scan) = &self.graph.node(data.inputs[0]).op else { unreachable!("a part belongs to a scan") };
        if result >= scan.states {
            let shape = one_step(&data.shape, 0);
            return Ok(Plan { shape, ..self.same(data, Time::Along(track)) });
        }
        if track.end() != self.window as isize {
            return Err(Refusal::NeedsLater);
        }
        Ok(self.same(data, Time::Newest(track.onset)))
    }
}

/// # Errors
/// A look back at padding that is not plain.
pub(super) fn readable(track: &Track, reach: usize) -> Result<(), Refusal> {
    if track.is_readable(reach) { Ok(()) } else { Err(Refusal::LooksBackOnPadding) }
}

/// The shape of one step.
pub(super) fn one_step(shape: &[usize], axis: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape[axis] = 1;
    shape
}

/// How a value computed from two depends on time; a sequence cannot be among them.
pub(super) fn meet(a: Time, b: Time) -> Time {
    match (a, b) {
        (Time::Newest(a), Time::Newest(b)) => Time::Newest(a.and(b)),
        (Time::Still, other) | (other, _) => other,
    }
}
