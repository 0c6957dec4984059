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

impl Planner<'_> {
    pub(super) fn index(&self, data: &NodeData, map: &IndexMap) -> Result<Plan, Refusal> {
        let sources: Vec<Source> = data.inputs.iter().map(|n| self.source(*n)).collect();
        match recognise(&data.shape, map, &sources) {
            Ok(shift) => match self.shift(data, map, &shift, &sources) {
                Err(refusal) => self.picked(data, map, &sources)?.ok_or(refusal),
                planned => planned,
            },
            Err(refusal) => self.picked(data, map, &sources)?.ok_or(refusal),
        }
    }

    fn sequence(&self, node: Node) -> Track {
        self.track(node).expect("a moving column reads a sequence")
    }

    fn source(&self, node: Node) -> Source<'_> {
        let shape = self.graph.shape(node);
        let line = self.track(node).map(|track| Line::new(shape, track.axis));
        Source { elements: elements(shape), line, numbers: self.graph.constant_data(node).map(|data| &data[..]) }
    }

    /// All columns, each at its delay. The result stands where the latest of its columns is complete.
    fn shift(&self, data: &NodeData, map: &IndexMap, shift: &Shift, sources: &[Source]) -> Result<Plan, Refusal> {
        // Of each input that is read, the smallest and the largest offset.
        let mut ranges: Vec<Option<(isize, isize)>> = vec![None; sources.len()];
        let mut first = isize::MIN;
        for column in &shift.columns {
            match *column {
                Column::Moving { input, offset, .. } => {
                    first = first.max(self.sequence(data.inputs[input]).first + offset);
                    let (low, high) = ranges[input].unwrap_or((offset, offset));
                    ranges[input] = Some((low.min(offset), high.max(offset)));
                }
                Column::Still(From::Still { input, .. }) => {
                    self.beside(data.inputs[input], None)?;
                    ranges[input] = Some((0, 0));
                }
                Column::Still(_) => {}
            }
        }
        let len = data.shape[shift.axis];
        let window = self.window as isize;
        let tracks = data.inputs.iter().zip(&ranges).zip(&shift.overrun);
        for ((node, range), overrun) in tracks {
            let (Some(track), Some((_, high))) = (self.track(*node), range) else { continue };
            if *overrun {
                // Filling behind the last position must not show before the window is over.
                first = first.max(window - track.len as isize + high);
            }
        }
        // A delay written as padding that is cut off at the end: taken late at once, so that nothing stands before its begin.
        let begin = data.inputs.iter().filter_map(|n| self.track(*n)).map(|track| track.begin()).max().unwrap_or(0);
        let late = window - (first + len as isize);
        first += late.min(begin - first).max(0);
        let (mut inputs, mut begins, mut begin) = (Vec::new(), vec![0; sources.len()], 0);
        let mut reaches = vec![0; sources.len()];
        let (mut onset, mut past): (Option<Onset>, _) = (None, Past::new());
        for (input, node) in data.inputs.iter().enumerate() {
            let Some((low, high)) = ranges[input] else { continue };
            begins[input] = begin;
            let Some(track) = self.track(*node) else {
                past.add(None);
                inputs.push((*node, Take::Whole));
                begin += sources[input].elements;
                continue;
            };
            let delay = |offset: isize| first - track.first - offset;
            let reach = delay(low) as usize;
            readable(&track, reach)?;
            let padding = shift.padding.filter(|_| low < 0);
            past.add_until(track.begin() + delay(high), padding, &track);
            let seen = track.seen(reach, padding.is_some());
            onset = Some(onset.map_or(seen, |o| o.and(seen)));
            inputs.push((*node, Take::Past { reach, steps: reach + 1, padding }));
            reaches[input] = reach;
            begin += sources[input].elements / track.len * (reach + 1);
        }
        // No moving column: the map takes nothing from a sequence.
        let onset = onset.ok_or(Refusal::Scatters)?;
        // Fixed filling in a column of its own is no padding in front.
        if shift.columns.contains(&Column::Still(From::Filled)) {
            past.add(None);
        }
        let pick = |column: &Column| match *column {
            Column::Still(From::Still { input, place }) => (begins[input] + place) as u32,
            Column::Still(_) => FILLED,
            Column::Moving { input, rest, offset } => {
                let delay = (first - self.sequence(data.inputs[input]).first - offset) as usize;
                let position = reaches[input] - delay;
                let line = line(sources, input);
                (begins[input] + line.place_in(reaches[input] + 1, rest, position)) as u32
            }
        };
        let picks = shift.columns.iter().map(pick).collect();
        let shape = one_step(&data.shape, shift.axis);
        let op = Op::Index(IndexMap { picks, fill: map.fill });
        let track = Track { axis: shift.axis, first, len, onset, past: past.known(first.max(onset.ready)) };
        Ok(Plan { inputs, op, shape, time: Time::Along(track) })
    }

    /// The map over the positions that it picks, if they are few.
    fn picked(&self, data: &NodeData, map: &IndexMap, sources: &[Source]) -> Result<Option<Plan>, Refusal> {
        let from = origins(map, sources);
        let mut ranges: Vec<Option<(usize, usize)>> = vec![None; sources.len()];
        for one in &from {
            let (input, position) = match *one {
                From::Filled => continue,
                From::Still { input, .. } => (input, 0),
                From::Step { input, position, .. } => (input, position),
            };
            let (low, high) = ranges[input].unwrap_or((position, position));
            ranges[input] = Some((low.min(position), high.max(position)));
        }
        let (mut inputs, mut begins, mut begin) = (Vec::new(), vec![0; sources.len()], 0);
        let mut time = Time::Still;
        for (input, node) in data.inputs.iter().enumerate() {
            let Some((low, high)) = ranges[input] else { continue };
            begins[input] = begin;
            let Some(track) = self.track(*node) else {
                time = meet(time, self.time(*node));
                inputs.push((*node, Take::Whole));
                begin += sources[input].elements;
                continue;
            };
            let Some((take, own)) = self.keep(&track, low, high)? else { return Ok(None) };
            time = meet(time, own);
            inputs.push((*node, take));
            begin += sources[input].elements / track.len * (high - low + 1);
        }
        let pick = |from: &From| match *from {
            From::Filled => FILLED,
            From::Still { input, place } => (begins[input] + place) as u32,
            From::Step { input, rest, position } => {
                let (low, high) = ranges[input].expect("every picked input has a range");
                let line = line(sources, input);
                (begins[input] + line.place_in(high - low + 1, rest, position - low)) as u32
            }
        };
        let op = Op::Index(IndexMap { picks: from.iter().map(pick).collect(), fill: map.fill });
        Ok(Some(Plan { inputs, op, shape: data.shape.clone(), time }))
    }
}

fn line(sources: &[Source], input: usize) -> Line {
    sources[input].line.expect("only a sequence has steps")
}
