//! The field side of the scan: gathers the link doors into one input image and spreads the output image over them.

use crossbeam::queue::ArrayQueue;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bounds::COMMANDS_PER_SCAN;
use crate::command::Command;
use crate::image::{InputImage, OutputImage};
use crate::link::LinkDoor;
use crate::ports::{FieldInput, FieldOutput};
use crate::time::{ScanCycle, nanos};

/// All links of an application and the queue of commands from outside.
pub struct Field {
    doors: Vec<LinkDoor>,
    commands: Arc<ArrayQueue<Command>>,
}

impl Field {
    /// Doors in the order of `Config::connections`.
    #[must_use]
    pub fn new(doors: Vec<LinkDoor>, commands: Arc<ArrayQueue<Command>>) -> Self {
        Self { doors, commands }
    }
}

impl FieldInput for Field {
    fn freeze(&mut self, cycle: &ScanCycle, image: &mut InputImage) {
        let next = cycle.scheduled.0.saturating_add(nanos(cycle.period));
        for (i, door) in self.doors.iter_mut().enumerate() {
            if let Some(newest) = door.images.newest() {
                image.links[i] = newest.state;
                for (tag, sample) in door.reads.iter().zip(&newest.samples) {
                    image.samples[tag.index()] = *sample;
                }
            }
            if let Some(outcome) = door.outcomes.newest() {
                image.writes[i] = Some(*outcome);
            }
            door.next_scan.store(next, Ordering::Relaxed);
        }
        image.commands.clear();
        for _ in 0..COMMANDS_PER_SCAN {
            let Some(command) = self.commands.pop() else { break };
            // Room for exactly as many as this loop takes.
            let _ = image.commands.push(command);
        }
    }
}

impl FieldOutput for Field {
    fn flush(&mut self, cycle: &ScanCycle, image: &OutputImage) {
        for door in &mut self.doors {
            if door.writes.is_empty() {
                continue;
            }
            let writes = &door.writes;
            door.batches.give(|batch| {
                batch.cycle = cycle.number;
                batch.not_after = image.not_after;
                for (cell, id) in batch.cells.iter_mut().zip(writes) {
                    *cell = image.cell(*id);
                }
            });
        }
    }
}
