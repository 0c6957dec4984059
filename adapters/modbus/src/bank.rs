//! The four Modbus tables in memory. Why this file: a simulated PLC and the server share them, and a value of several registers must be seen
//! whole by both.
//!
//! SYNC POINT: one mutex; every read and write of a range happens under one lock, so a request sees no half-written value.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use flyball_config::{ModbusAddress, ModbusTable};

use crate::codec::{self, CodecError};
use crate::error::Exception;
use crate::plan::width;

/// Entries per table, from address 0; at most 65536 each. Addresses behind them do not exist (exception 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankSize {
    /// Coils.
    pub coils: usize,
    /// Discrete inputs.
    pub discrete_inputs: usize,
    /// Input registers.
    pub input_registers: usize,
    /// Holding registers.
    pub holding_registers: usize,
}

impl BankSize {
    /// The same number in every table.
    #[must_use]
    pub const fn all(entries: usize) -> Self {
        Self { coils: entries, discrete_inputs: entries, input_registers: entries, holding_registers: entries }
    }
}

/// Why a typed value could not be read from or put into the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BankError {
    /// Part of the value has no register.
    Address(Exception),
    /// It cannot be encoded or decoded.
    Codec(CodecError),
}

impl core::fmt::Display for BankError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Address(exception) => exception.fmt(f),
            Self::Codec(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BankError {}

#[derive(Debug)]
struct Table {
    /// Registers, or bits as 0 and 1.
    words: Vec<u16>,
    holes: Vec<Range<usize>>,
}

impl Table {
    fn range(&self, start: u16, count: usize) -> Result<Range<usize>, Exception> {
        let range = usize::from(start)..usize::from(start) + count;
        let free = |hole: &Range<usize>| range.end <= hole.start || hole.end <= range.start;
        if range.end <= self.words.len() && self.holes.iter().all(free) {
            Ok(range)
        } else {
            Err(Exception::ILLEGAL_ADDRESS)
        }
    }
}

/// The tables, shared between threads.
#[derive(Debug)]
pub struct RegisterBank {
    tables: Mutex<[Table; 4]>,
}

const fn index(table: ModbusTable) -> usize {
    match table {
        ModbusTable::Coil => 0,
        ModbusTable::DiscreteInput => 1,
        ModbusTable::InputRegister => 2,
        ModbusTable::HoldingRegister => 3,
    }
}

impl RegisterBank {
    /// All zero.
    #[must_use]
    pub fn new(size: BankSize) -> Self {
        let table = |entries: usize| Table { words: vec![0; entries.min(65_536)], holes: Vec::new() };
        let sizes = [size.coils, size.discrete_inputs, size.input_registers, size.holding_registers];
        Self { tables: Mutex::new(sizes.map(table)) }
    }

    fn lock(&self) -> MutexGuard<'_, [Table; 4]> {
        // Plain words: a panic elsewhere while holding the lock leaves nothing that could not be read.
        self.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes addresses out, as devices with gaps in their map do: touching them is exception 2 from now on.
    pub fn hole(&self, table: ModbusTable, addresses: Range<u16>) {
        self.lock()[index(table)].holes.push(usize::from(addresses.start)..usize::from(addresses.end));
    }

    /// A range as one snapshot: registers, or bits as 0 and 1.
    ///
    /// # Errors
    /// `ILLEGAL_ADDRESS` when any of them does not exist.
    pub fn read(&self, table: ModbusTable, start: u16, count: u16) -> Result<Vec<u16>, Exception> {
        let tables = self.lock();
        let table = &tables[index(table)];
        Ok(table.words[table.range(start, usize::from(count))?].to_vec())
    }

    /// Puts a range at once. In bit tables any non-zero word is 1. Inputs can be put too: this is the PLC's side.
    ///
    /// # Errors
    /// `ILLEGAL_ADDRESS` when any of them does not exist; nothing is then changed.
    pub fn write(&self, table: ModbusTable, start: u16, words: &[u16]) -> Result<(), Exception> {
        self.update(table, start, words.len(), |target| target.copy_from_slice(words))
    }

    /// Changes a range under one lock.
    ///
    /// # Errors
    /// `ILLEGAL_ADDRESS` when any of them does not exist.
    pub fn update(
        &self,
        table: ModbusTable,
        start: u16,
        count: usize,
        change: impl FnOnce(&mut [u16]),
    ) -> Result<(), Exception> {
        let mut tables = self.lock();
        let bits = matches!(table, ModbusTable::Coil | ModbusTable::DiscreteInput);
        let table = &mut tables[index(table)];
        let range = table.range(start, count)?;
        let words = &mut table.words[range];
        change(words);
        if bits {
            for word in words {
                *word = u16::from(*word != 0);
            }
        }
        Ok(())
    }

    /// A typed value.
    ///
    /// # Errors
    /// No such register, or a code that is no number (BCD).
    pub fn get_value(&self, address: &ModbusAddress) -> Result<f64, BankError> {
        let words = self.read(address.table, address.start, width(address) as u16).map_err(BankError::Address)?;
        match (address.table, address.bit) {
            (ModbusTable::Coil | ModbusTable::DiscreteInput, _) => Ok(f64::from(words[0])),
            (_, Some(bit)) => {
                codec::decode_bit(words[0], bit).map(|b| f64::from(u8::from(b))).map_err(BankError::Codec)
            }
            (_, None) => codec::decode(&words, address.data, address.order).map_err(BankError::Codec),
        }
    }

    /// Puts a typed value; a bit leaves its neighbours alone.
    ///
    /// # Errors
    /// No such register, or a number that does not fit.
    pub fn set_value(&self, address: &ModbusAddress, value: f64) -> Result<(), BankError> {
        let flag = matches!(address.table, ModbusTable::Coil | ModbusTable::DiscreteInput) || address.bit.is_some();
        let data = if flag { flyball_config::DataType::Bool } else { address.data };
        let words = codec::encode(value, data, address.order).map_err(BankError::Codec)?;
        let words = words.as_slice();
        let mask = match address.bit {
            Some(bit) if bit > 15 => return Err(BankError::Codec(CodecError::Bit { received: bit })),
            Some(bit) => 1u16 << bit,
            None => u16::MAX,
        };
        self.update(address.table, address.start, words.len(), |target| match address.bit {
            Some(_) => target[0] = target[0] & !mask | (mask * words[0]),
            None => target.copy_from_slice(words),
        })
        .map_err(BankError::Address)
    }
}

#[cfg(test)]
mod tests {
    use flyball_config::DataType;

    use super::*;
    use crate::testing::holding;

    #[test]
    fn values_bits_and_holes() {
        let bank = RegisterBank::new(BankSize::all(20));
        let value = holding(4, DataType::Float32);
        bank.set_value(&value, 2.5).expect("there");
        assert_eq!(bank.get_value(&value), Ok(2.5));
        let bit = |n| ModbusAddress { bit: Some(n), ..holding(7, DataType::Bool) };
        bank.set_value(&bit(15), 1.0).expect("there");
        bank.set_value(&bit(0), 1.0).expect("there");
        bank.set_value(&bit(15), 0.0).expect("there");
        assert_eq!(bank.read(ModbusTable::HoldingRegister, 7, 1), Ok(vec![1]));
        let no = Err(Exception::ILLEGAL_ADDRESS);
        assert_eq!(bank.read(ModbusTable::HoldingRegister, 19, 2), no);
        assert_eq!(bank.read(ModbusTable::HoldingRegister, 65_535, 2), no);
        bank.hole(ModbusTable::HoldingRegister, 5..6);
        assert_eq!(bank.get_value(&value), Err(BankError::Address(Exception::ILLEGAL_ADDRESS)));
        assert_eq!(bank.read(ModbusTable::HoldingRegister, 6, 2).map(|w| w.len()), Ok(2));
        bank.write(ModbusTable::Coil, 0, &[7]).expect("there");
        assert_eq!(bank.read(ModbusTable::Coil, 0, 1), Ok(vec![1]), "a bit is 0 or 1");
    }
}
