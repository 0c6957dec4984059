//! What the servers and the virtual field need of a simulated PLC, whatever plant it runs.

use std::time::Duration;

use crate::plc::WriteResult;
use crate::r101::process::GcResult;
use crate::signals::{PlcValue, SignalSpec};

/// A simulated PLC with its plant: one scan at a time, and signals by the row of its table. Pure: no clock, no socket.
pub trait Device: Send + 'static {
    /// Name of the folder of its signals in an OPC UA server.
    const ROOT: &'static str;
    /// Its signals.
    const TABLE: &'static [SignalSpec];

    /// One scan: the plant moves, then the program runs. Bounded.
    fn scan(&mut self);
    /// Time of one scan.
    fn scan_time(&self) -> Duration;
    /// Process time since the start.
    fn time(&self) -> Duration;
    /// Value of a signal as a server shows it.
    fn value(&self, row: usize) -> PlcValue;
    /// Process time of a signal's last change.
    fn changed_at(&self, row: usize) -> Duration;
    /// A write by a client. Takes effect in the next scan.
    fn write_row(&mut self, row: usize, value: PlcValue) -> WriteResult;
    /// Newest result of the analyser that is a device of its own; None when the plant has none.
    fn analyser(&self) -> Option<GcResult>;
}

/// How a simulated PLC is started.
pub trait Start {
    /// What starts.
    type Plc: Device;

    /// Starts it.
    fn start(self) -> Self::Plc;
}
