//! Loops over time: what a trip hands to the next, what it stacks, and which new states can be written over the old ones.

use super::emit::Emitter;
use super::step::{Place, Step, WEIGHTS};
use crate::graph::GraphError;
use crate::index::elements;
use crate::op::Scan;

impl Emitter {
    /// New states that are made after the old one was last read are written over it; the others are copied after the trip.
    fn in_place(&mut self, mut made: Vec<Place>, states: &[Place]) -> Vec<Place> {
        for (i, state) in states.iter().enumerate() {
            let new = made[i];
            let own = new.buffer != WEIGHTS && new.buffer != state.buffer && new.at == 0 && new.per_trip == 0;
            let whole = own && self.buffers[new.buffer as usize].len == new.len;
            let (_, written) = read_and_written(&mut self.steps, new.buffer);
            let (read, _) = read_and_written(&mut self.steps, state.buffer);
            let later = matches!(written, Some(w) if read.is_none_or(|r| r < w));
            if !whole || !later {
                continue;
            }
            let moved = |place: &mut Place| {
                if place.buffer == new.buffer {
                    *place = Place { buffer: state.buffer, at: state.at + place.at, ..*place };
                }
            };
            self.steps.iter_mut().for_each(|step| step.places_mut(&mut |place| moved(place)));
            made.iter_mut().for_each(moved);
        }
        made
    }

    /// Emits a loop. Its buffers live from its begin to its end where a trip hands something to the next.
    pub(super) fn scan(&mut self, scan: &Scan, inputs: &[Place]) -> Result<Vec<Place>, GraphError> {
        // A place that moves with an outer loop's trips cannot be read inside: the trip count is that of this loop.
        let inputs: Vec<Place> = inputs.iter().map(|p| if p.per_trip > 0 { self.copied(*p) } else { *p }).collect();
        let states: Vec<Place> = inputs[..scan.states].iter().map(|p| self.copied(*p)).collect();
        let stacked: Vec<Place> = scan.body.outputs()[scan.states..]
            .iter()
            .map(|o| self.buffer(scan.trips * elements(scan.body.shape(*o))))
            .collect();
        let slice = |place: &Place| {
            let len = place.len / scan.trips;
            Place { len, per_trip: len, ..*place }
        };
        let (scanned, fixed) = inputs[scan.states..].split_at(scan.scanned);
        let fed: Vec<Place> =
            states.iter().copied().chain(scanned.iter().map(slice)).chain(fixed.iter().copied()).collect();
        let (outer, origins) = (std::mem::take(&mut self.steps), std::mem::take(&mut self.origins));
        let made = self.graph(&scan.body, &fed);
        // A new state that is another state's old one must be saved before that one is overwritten.
        let made = made.map(|made| {
            let is_state = |p: &Place| states.iter().any(|s| s.buffer == p.buffer);
            let save = |this: &mut Self, p: Place| if is_state(&p) { this.copied(p) } else { p };
            made.into_iter().map(|p| save(self, p)).collect::<Vec<Place>>()
        });
        let made = made.map(|made| self.in_place(made, &states));
        let mut carry = Vec::new();
        if let Ok(made) = &made {
            let moved = made[..scan.states].iter().copied().zip(states.iter().copied());
            carry.extend(moved.filter(|(from, to)| from != to));
            carry.extend(made[scan.states..].iter().zip(&stacked).map(|(from, to)| (*from, slice(to))));
        }
        let body = std::mem::replace(&mut self.steps, outer);
        self.origins = origins;
        made?;
        // Touches everything that lives through the whole loop.
        fed.iter().chain(&stacked).for_each(|place| self.touch(*place));
        self.push(Step::Loop { trips: scan.trips, body, carry });
        Ok(states.into_iter().chain(stacked).collect())
    }
}

/// Index of the last step that reads a buffer, and of the first that writes it.
fn read_and_written(steps: &mut [Step], buffer: u32) -> (Option<usize>, Option<usize>) {
    let (mut read, mut written) = (None, None);
    for (i, step) in steps.iter_mut().enumerate() {
        let out = step.out().map(|place| place.buffer);
        let mut count = 0;
        step.places_mut(&mut |place| count += usize::from(place.buffer == buffer));
        let writes = out == Some(buffer);
        if count > usize::from(writes) {
            read = Some(i);
        }
        if writes && written.is_none() {
            written = Some(i);
        }
    }
    (read, written)
}
