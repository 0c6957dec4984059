//! The process images, %I and %Q: arrays by `TagId` and `OutputId`. Inputs are frozen for one scan.

use flyball_config::{OutputId, TagId};
use serde::{Deserialize, Serialize};

use crate::bounds::COMMANDS_PER_SCAN;
use crate::command::Command;
use crate::guard::Setpoint;
use crate::status::Status;
use crate::time::Timestamp;
use crate::value::Value;

/// One reading: value, quality and time, as OPC UA's DataValue.
///
/// `value` is None when the status is Bad (a Bad value is never shown as a number).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The reading in engineering units.
    pub value: Option<Value>,
    /// Its quality.
    pub status: Status,
    /// When the source says it changed or was taken. May legitimately stand still.
    pub source_time: Timestamp,
    /// Last proof that the source is alive: an answered poll, a keep-alive, a notification. Staleness counts from here.
    pub alive: Timestamp,
}

impl Sample {
    /// Before the first answer.
    pub const WAITING: Self = Self {
        value: None,
        status: Status::BadWaitingForInitialData,
        source_time: Timestamp::ZERO,
        alive: Timestamp::ZERO,
    };

    /// A reading from the border: a Bad status drops the number, a number that is not finite becomes BadSensorFailure.
    #[must_use]
    pub fn new(raw: f64, status: Status, source_time: Timestamp, alive: Timestamp) -> Self {
        let value = if status.is_bad() { None } else { Value::new(raw) };
        let status = if value.is_none() && !status.is_bad() { Status::BadSensorFailure } else { status };
        Self { value, status, source_time, alive }
    }

    /// A Bad sample with its reason.
    #[must_use]
    pub fn bad(status: Status, at: Timestamp) -> Self {
        debug_assert!(status.is_bad());
        Self { value: None, status, source_time: at, alive: at }
    }
}

/// State of one field link as the scan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LinkState {
    /// Never connected yet.
    #[default]
    Starting,
    /// Connected and answering.
    Up,
    /// Not connected; reconnecting with back-off.
    Down,
    /// Refused for a reason that reconnecting will not cure (credentials, certificate, unknown nodes).
    Refused,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteOutcome {
    /// Cycle whose flush asked for it.
    pub cycle: u64,
    /// Status of the worst cell.
    pub status: Status,
    /// When the last response arrived, or when it was given up.
    pub done: Timestamp,
    /// The deadline had passed before it could be sent: nothing was written.
    pub discarded: bool,
}

/// %I: everything one scan may look at, frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputImage {
    /// Newest reading per tag.
    pub samples: Vec<Sample>,
    /// State per connection.
    pub links: Vec<LinkState>,
    /// Newest write outcome per connection.
    pub writes: Vec<Option<WriteOutcome>>,
    /// Commands from outside that arrived since the last scan; each is hostile until validated.
    pub commands: heapless::Vec<Command, COMMANDS_PER_SCAN>,
}

impl InputImage {
    /// An image of this many tags and connections, all waiting.
    #[must_use]
    pub fn new(tags: usize, connections: usize) -> Self {
        Self {
            samples: vec![Sample::WAITING; tags],
            links: vec![LinkState::Starting; connections],
            writes: vec![None; connections],
            commands: heapless::Vec::new(),
        }
    }

    /// Reading of a tag.
    #[must_use]
    pub fn sample(&self, tag: TagId) -> &Sample {
        &self.samples[tag.index()]
    }
}

/// %Q: what one scan wants written. A cell that is None is not written in this cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputImage {
    cells: Vec<Option<Value>>,
    /// Nothing may be sent after this time.
    pub not_after: Timestamp,
}

impl OutputImage {
    /// An image of this many cells, all empty.
    #[must_use]
    pub fn new(outputs: usize) -> Self {
        Self { cells: vec![None; outputs], not_after: Timestamp::ZERO }
    }

    /// Empties every cell for a new scan.
    pub fn clear(&mut self, not_after: Timestamp) {
        self.cells.fill(None);
        self.not_after = not_after;
    }

    /// The door for setpoints: takes nothing but what the guard has made.
    pub fn set_setpoint(&mut self, cell: OutputId, setpoint: Setpoint) {
        self.cells[cell.index()] = Some(setpoint.value());
    }

    /// Signals of the handshake: small whole numbers that carry no process value.
    pub(crate) fn set_signal(&mut self, cell: OutputId, signal: u32) {
        self.cells[cell.index()] = Value::new(f64::from(signal));
    }

    /// All cells by `OutputId`.
    #[must_use]
    pub fn cells(&self) -> &[Option<Value>] {
        &self.cells
    }

    /// One cell.
    #[must_use]
    pub fn cell(&self, id: OutputId) -> Option<Value> {
        self.cells[id.index()]
    }
}

/// What a scan wanted written, as the record keeps it. Not an image: nothing that is read from a file can reach a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedOutputs {
    cells: Vec<Option<Value>>,
    /// Nothing may be sent after this time.
    pub not_after: Timestamp,
}

impl RecordedOutputs {
    /// This many cells, all empty.
    #[must_use]
    pub fn new(outputs: usize) -> Self {
        Self { cells: vec![None; outputs], not_after: Timestamp::ZERO }
    }

    /// Copies an image of the same size without allocating.
    pub fn copy_from(&mut self, image: &OutputImage) {
        self.cells.copy_from_slice(&image.cells);
        self.not_after = image.not_after;
    }

    /// All cells by `OutputId`.
    #[must_use]
    pub fn cells(&self) -> &[Option<Value>] {
        &self.cells
    }

    /// One cell.
    #[must_use]
    pub fn cell(&self, id: OutputId) -> Option<Value> {
        self.cells[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_is_never_a_number() {
        let t = Timestamp(7);
        assert_eq!(Sample::new(4.2, Status::BadTimeout, t, t).value, None);
        let nan = Sample::new(f64::NAN, Status::Good, t, t);
        assert_eq!((nan.value, nan.status), (None, Status::BadSensorFailure));
        let good = Sample::new(4.2, Status::UncertainSubNormal, t, t);
        assert_eq!(good.value.map(Value::get), Some(4.2));
    }
}
