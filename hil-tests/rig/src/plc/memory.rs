//! The signal memory of a simulated PLC: a value and its last change per row of the table, and the faults that can be laid on it.

use std::time::Duration;

use super::types::{WriteFault, WriteResult};
use crate::signals::{Direction, PlcValue, SignalSpec};

#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    value: PlcValue,
    changed: Duration,
}

/// Signals by the row of their table.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    table: &'static [SignalSpec],
    cells: Vec<Cell>,
    forced: Vec<Option<PlcValue>>,
    write_faults: Vec<Option<WriteFault>>,
}

impl Memory {
    /// All zero.
    #[must_use]
    pub fn new(table: &'static [SignalSpec]) -> Self {
        let zero = |s: &SignalSpec| Cell { value: PlcValue::zero(s.plc_type), changed: Duration::ZERO };
        Self {
            table,
            cells: table.iter().map(zero).collect(),
            forced: vec![None; table.len()],
            write_faults: vec![None; table.len()],
        }
    }

    /// Value of a signal.
    #[must_use]
    pub fn value(&self, row: usize) -> PlcValue {
        self.cells[row].value
    }

    /// Value as a number; FALSE is 0, TRUE is 1.
    #[must_use]
    pub fn number(&self, row: usize) -> f64 {
        self.cells[row].value.number()
    }

    /// Process time of the last change.
    #[must_use]
    pub fn changed(&self, row: usize) -> Duration {
        self.cells[row].changed
    }

    /// The program sets a signal; a forced one keeps its forced value.
    pub fn publish(&mut self, row: usize, value: PlcValue, now: Duration) {
        let value = self.forced[row].unwrap_or(value);
        let cell = &mut self.cells[row];
        if !cell.value.same(value) {
            *cell = Cell { value, changed: now };
        }
    }

    /// A client's write, with the faults laid on the signal.
    pub fn write(&mut self, row: usize, value: PlcValue, now: Duration) -> WriteResult {
        let spec = &self.table[row];
        if spec.direction != Direction::Write {
            return WriteResult::Refused;
        }
        if value.plc_type() != spec.plc_type {
            return WriteResult::WrongType;
        }
        match self.write_faults[row] {
            None => {
                self.publish(row, value, now);
                WriteResult::Done
            }
            Some(WriteFault::Ignore) => WriteResult::Done,
            Some(WriteFault::Refuse) => WriteResult::Refused,
            Some(WriteFault::Clamp { low, high, silent }) => {
                let x = value.number();
                let limited = x.max(low).min(high);
                let kept = PlcValue::from_number(spec.plc_type, limited);
                self.publish(row, kept, now);
                if silent || kept.same(value) { WriteResult::Done } else { WriteResult::Clamped }
            }
        }
    }

    /// Lays a fault on the writes of a signal, or lifts it.
    pub fn set_write_fault(&mut self, row: usize, fault: Option<WriteFault>) {
        self.write_faults[row] = fault;
    }

    /// Forces a signal, or releases it. A value of another type is ignored.
    pub fn force(&mut self, row: usize, value: Option<PlcValue>, now: Duration) {
        let value = value.filter(|v| v.plc_type() == self.table[row].plc_type);
        self.forced[row] = value;
        if let Some(value) = value {
            self.publish(row, value, now);
        }
    }

    /// All values, as retained memory keeps them.
    #[must_use]
    pub fn values(&self) -> Vec<PlcValue> {
        self.cells.iter().map(|c| c.value).collect()
    }

    /// Zero of every signal.
    #[must_use]
    pub fn zeros(&self) -> Vec<PlcValue> {
        self.table.iter().map(|s| PlcValue::zero(s.plc_type)).collect()
    }

    /// Loads all values at a power cycle; all of them have changed now. One value per row.
    pub fn load(&mut self, values: &[PlcValue], now: Duration) {
        for (cell, value) in self.cells.iter_mut().zip(values) {
            *cell = Cell { value: *value, changed: now };
        }
    }
}
