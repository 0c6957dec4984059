//! Plans of index maps: all columns along one axis, or a few chosen positions of the window.

use super::plan::{Plan, Planner, meet, one_step, readable};
use super::refusal::Refusal;
use super::shift::{Column, From, Line, Shift, Source, origins, recognise};
use super::time::{Onset, Take, Time, Track};
use crate::graph::Node;
use crate::index::{FILLED, IndexMap, elements};
use crate::op::{NodeData, Op};

/// What fills the positions of a sequence that no step computes, gathered over all that they may come from.
struct Past {
    number: Option<f32>,
    is_mixed: bool,
    /// From this step on a computed number may be among them.
    until: isize,
}

impl Past {
    fn new() -> Self {
        Self { number: None, is_mixed: false, until: isize::MAX }
    }

    fn add(&mut self, number: Option<f32>) {
        let Some(number) = number else {
            self.is_mixed = true;
            return;
        };
        self.is_mixed |= self.number.is_some_and(|other| other.to_bits() != number.to_bits());
        self.number = Some(number);
    }

    /// What is read of a sequence before its first computed number arrives at step `until`.
    fn add_until(&mut self, until: isize, padding: Option<f32>, track: &Track) {
        if padding.is_some() {
            self.add(padding);
        }
        if track.first < track.begin() {
            self.add(track.past);
        }
        self.until = self.until.min(until);
    }

    /// The number before step `begin`.
    fn known(&self, begin: isize) -> Option<f32> {
        self.number.filter(|_| !self.is_mixed && begin <= self.until)
    }
}

/// Inputs of the one-step map: those that are read, one after the other.
struct Taken {
    inputs: Vec<(Node, Take)>,
    /// Where each input of the windowed map begins; 0 for those that are not read.
    begins: Vec<usize>,
    total: usize,
}

impl Taken {
    fn new(count: usize) -> Self {
        Self { inputs: Vec::new(), begins: vec![0; count], total: 0 }
    }

    fn push(&mut self, input: usize, node: Node, take: Take, elements: usize) {
        self.begins[input] = self.total;
        self.total += elements;
        self.inputs.push((node, take));
    }
}

/// Smallest and largest offset or position that a map reads of each input; none if it reads nothing.
type Ranges<T> = Vec<Option<(T, T)>>;

fn widen<T: Ord + Copy>(range: &mut Option<(T, T)>, to: T) {
    let (low, high) = range.unwrap_or((to, to));
    *range = Some((low.min(to), high.max(to)));
}

impl Planner<'_> {
    /// An index map over at least one sequence.
    pub(super) fn index(&self, data: &NodeData, map: &IndexMap) -> Result<Plan, Refusal> {
        let sources: Vec<Source> = data.inputs.iter().map(|n| self.source(*n)).collect();
        let shifted = recognise(&data.shape, map, &sources).and_then(|shift| self.shift(data, map, &shift, &sources));
        match shifted {
            Err(refusal) => self.picked(data, map, &sources)?.ok_or(refusal),
            planned => planned,
        }
    }

    fn source(&self, node: Node) -> Source<'_> {
        let shape = self.graph.shape(node);
        let line = self.track(node).map(|track| Line::new(shape, track.axis));
        let numbers = self.graph.constant_data(node).map(|data| &data[..]);
        Source { elements: elements(shape), line, is_newest: matches!(self.time(node), Time::Newest(_)), numbers }
    }

    fn sequence(&self, node: Node) -> Track {
        self.track(node).expect("a moving column reads a sequence")
    }

    /// All columns, each at its delay.
    fn shift(&self, data: &NodeData, map: &IndexMap, shift: &Shift, sources: &[Source]) -> Result<Plan, Refusal> {
        let mut ranges: Ranges<isize> = vec![None; sources.len()];
        for column in &shift.columns {
            match *column {
                Column::Moving { input, offset, .. } => widen(&mut ranges[input], offset),
                Column::Still(From::Still { input, .. }) => {
                    self.beside(data.inputs[input], None)?;
                    widen(&mut ranges[input], 0);
                }
                Column::Still(_) => {}
            }
        }
        let len = data.shape[shift.axis];
        let first = self.first_of(data, len, shift, &ranges).ok_or(Refusal::Scatters)?;
        let delay = |input: usize, offset: isize| (first - self.sequence(data.inputs[input]).first - offset) as usize;

        let mut taken = Taken::new(sources.len());
        let mut reaches = vec![0; sources.len()];
        let (mut onset, mut past): (Option<Onset>, _) = (None, Past::new());
        for (input, node) in data.inputs.iter().enumerate() {
            let Some((low, high)) = ranges[input] else { continue };
            let Some(track) = self.track(*node) else {
                past.add(None);
                taken.push(input, *node, Take::Whole, sources[input].elements);
                continue;
            };
            let reach = delay(input, low);
            readable(&track, reach)?;
            let padding = shift.padding.filter(|_| low < 0);
            past.add_until(track.begin() + delay(input, high) as isize, padding, &track);
            let seen = track.seen(reach, padding.is_some());
            onset = Some(onset.map_or(seen, |o| o.and(seen)));
            reaches[input] = reach;
            let take = Take::Past { reach, steps: reach + 1, padding };
            taken.push(input, *node, take, sources[input].elements / track.len * (reach + 1));
        }
        // Filling in a column of its own is no padding in front.
        if shift.columns.contains(&Column::Still(From::Filled)) {
            past.add(None);
        }
        let onset = onset.expect("some column moves");
        let pick = |column: &Column| match *column {
            Column::Still(From::Still { input, place }) => (taken.begins[input] + place) as u32,
            Column::Still(_) => FILLED,
            Column::Moving { input, rest, offset } => {
                let reach = reaches[input];
                let place = line(sources, input).place_in(reach + 1, rest, reach - delay(input, offset));
                (taken.begins[input] + place) as u32
            }
        };
        let op = Op::Index(IndexMap { picks: shift.columns.iter().map(pick).collect(), fill: map.fill });
        let past = past.known(first.max(onset.ready));
        let time = Time::Along(Track { axis: shift.axis, first, len, onset, past });
        Ok(Plan { inputs: taken.inputs, op, shape: one_step(&data.shape, shift.axis), time })
    }

    /// Step at which position 0 of the result stands: where the latest of its columns is complete. None if no column moves.
    fn first_of(&self, data: &NodeData, len: usize, shift: &Shift, ranges: &Ranges<isize>) -> Option<isize> {
        let window = self.window as isize;
        let (mut first, mut begin) = (None, 0);
        for (input, node) in data.inputs.iter().enumerate() {
            let (Some(track), Some((_, high))) = (self.track(*node), ranges[input]) else { continue };
            // Filling behind the last position must not show before the window is over.
            let behind = if shift.overrun[input] { window - track.end() } else { 0 };
            first = first.max(Some(track.first + high + behind.max(0)));
            begin = begin.max(track.begin());
        }
        let first = first?;
        // A delay that is written as padding, cut off at the end: taken late at once, nothing stands before its begin.
        let late = window - (first + len as isize);
        Some(first + late.min(begin - first).max(0))
    }

    /// The map over the positions that it picks; nothing if they are more than a few.
    fn picked(&self, data: &NodeData, map: &IndexMap, sources: &[Source]) -> Result<Option<Plan>, Refusal> {
        let from = origins(map, sources);
        let mut ranges: Ranges<usize> = vec![None; sources.len()];
        for one in &from {
            match *one {
                From::Filled => {}
                From::Still { input, .. } => widen(&mut ranges[input], 0),
                From::Step { input, position, .. } => widen(&mut ranges[input], position),
            }
        }
        let (mut taken, mut time) = (Taken::new(sources.len()), Time::Still);
        for (input, node) in data.inputs.iter().enumerate() {
            let Some((low, high)) = ranges[input] else { continue };
            let Some(track) = self.track(*node) else {
                time = meet(time, self.time(*node));
                taken.push(input, *node, Take::Whole, sources[input].elements);
                continue;
            };
            let Some((take, own)) = self.keep(&track, low, high)? else { return Ok(None) };
            time = meet(time, own);
            taken.push(input, *node, take, sources[input].elements / track.len * (high - low + 1));
        }
        let pick = |from: &From| match *from {
            From::Filled => FILLED,
            From::Still { input, place } => (taken.begins[input] + place) as u32,
            From::Step { input, rest, position } => {
                let (low, high) = ranges[input].expect("every picked input has a range");
                let place = line(sources, input).place_in(high - low + 1, rest, position - low);
                (taken.begins[input] + place) as u32
            }
        };
        let op = Op::Index(IndexMap { picks: from.iter().map(pick).collect(), fill: map.fill });
        Ok(Some(Plan { inputs: taken.inputs, op, shape: data.shape.clone(), time }))
    }
}

fn line(sources: &[Source], input: usize) -> Line {
    sources[input].line.expect("only a sequence has steps")
}
