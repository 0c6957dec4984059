//! Which requests write a batch. Why this file: a setpoint must arrive whole, and before the sequence number that tells the PLC to use it.
//!
//! Words: a *cell* is one output of the plan; a *phase* is `Value` or `Commit` (all values go out before any commit). Contiguous cells
//! share one request (FC16, FC15); a value is never split. Bits of one register go as one mask write (FC22), which the device applies
//! at once; reading the register, changing it and writing it back would undo what the PLC changed meanwhile.
//!
//! A sequence number says "use the value I have just sent". So it is left out when a value of its MV was refused in the same batch.

use flyball_config::{Address, DataType, ModbusAddress, ModbusConnection, ModbusTable, Output, OutputKind, WritePhase};
use flyball_core::status::Status;
use flyball_core::value::Value;

use crate::codec;

/// Registers per write request at most (Modbus Application Protocol V1.1b3, 6.12).
pub const WRITE_REGISTERS_MAX: u16 = 123;
/// Coils per write request at most (V1.1b3, 6.11).
pub const WRITE_BITS_MAX: usize = 1968;

/// One write request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteRequest {
    /// Unit id.
    pub unit: u8,
    /// First register or coil, zero-based.
    pub start: u16,
    /// What is written.
    pub payload: Payload,
    /// Cells inside, as indices of the plan.
    pub cells: Vec<usize>,
}

/// Content of a write request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// FC16.
    Registers(Vec<u16>),
    /// FC5 for one, FC15 for more.
    Coils(Vec<bool>),
    /// FC22: `new = (old AND and) OR (or AND NOT and)`.
    Mask {
        /// Bits that stay.
        and: u16,
        /// Bits that are set.
        or: u16,
    },
}

#[derive(Debug, Clone)]
struct Cell {
    index: usize,
    kind: OutputKind,
    phase: WritePhase,
    /// None when the address cannot be written.
    address: Option<ModbusAddress>,
}

/// The cells of a link in the order of their addresses.
#[derive(Debug, Clone)]
pub struct WritePlan {
    cells: Vec<Cell>,
    max_write: usize,
}

/// Counters wrap at the width of their cell, as a counter of that type in the PLC would.
fn wrapped(value: f64, kind: OutputKind, data: DataType) -> f64 {
    let counter = matches!(kind, OutputKind::Heartbeat | OutputKind::HeartbeatEcho | OutputKind::Sequence(_));
    // The values are whole numbers of at most 32 bits; a saturating cast of anything else is refused by its type later.
    match data {
        DataType::UInt16 if counter && value >= 0.0 => f64::from(value as u64 as u16),
        DataType::Int16 if counter && value >= 0.0 => f64::from(value as u64 as u16 as i16),
        DataType::Int32 if counter && value >= 0.0 => f64::from(value as u64 as u32 as i32),
        _ => value,
    }
}

impl WritePlan {
    /// Sorts the cells once.
    #[must_use]
    pub fn new<'a>(outputs: impl Iterator<Item = &'a Output>, connection: &ModbusConnection) -> Self {
        let mut cells: Vec<Cell> = outputs
            .enumerate()
            .map(|(index, output)| {
                let address = match &output.address {
                    Address::Modbus(a) if matches!(a.table, ModbusTable::Coil | ModbusTable::HoldingRegister) => {
                        Some(*a)
                    }
                    Address::Modbus(_) | Address::OpcUa(_) => None,
                };
                Cell { index, kind: output.kind, phase: output.phase, address }
            })
            .collect();
        cells.sort_by_key(|c| c.address.map(|a| (a.unit, a.table, a.bit.is_some(), a.start, a.bit)));
        Self { cells, max_write: usize::from(connection.max_write.clamp(1, WRITE_REGISTERS_MAX)) }
    }

    /// Requests of one phase for the cells that are set. `refused` holds one status per cell: cells that cannot be encoded are marked
    /// there, and a sequence number whose value is marked gets that status too.
    ///
    /// Bounded by the number of cells.
    #[must_use]
    pub fn requests(
        &self,
        phase: WritePhase,
        batch: &[Option<Value>],
        refused: &mut [Option<Status>],
    ) -> Vec<WriteRequest> {
        let mut requests: Vec<WriteRequest> = Vec::new();
        for cell in self.cells.iter().filter(|c| c.phase == phase) {
            let Some(value) = batch.get(cell.index).copied().flatten() else { continue };
            if let Some(status) = self.held_back(cell, refused) {
                refused[cell.index] = Some(status);
                continue;
            }
            let Some(address) = cell.address else {
                refused[cell.index] = Some(Status::BadNotWritable);
                continue;
            };
            if let Err(status) = self.append(&mut requests, cell, address, value.get()) {
                refused[cell.index] = Some(status);
            }
        }
        requests
    }

    /// The status of a refused value of the same MV, for a sequence number.
    fn held_back(&self, cell: &Cell, refused: &[Option<Status>]) -> Option<Status> {
        let OutputKind::Sequence(mv) = cell.kind else { return None };
        let of_mv = |kind| kind == OutputKind::Setpoint(mv) || kind == OutputKind::SetpointValid(mv);
        self.cells.iter().filter(|c| of_mv(c.kind)).find_map(|c| refused[c.index])
    }

    /// Adds a cell to the last request when it continues it, or starts a new one.
    fn append(
        &self,
        requests: &mut Vec<WriteRequest>,
        cell: &Cell,
        address: ModbusAddress,
        value: f64,
    ) -> Result<(), Status> {
        let last = requests.last_mut().filter(|r| r.unit == address.unit);
        let flag = |value| codec::encode(value, DataType::Bool, address.order).map(|w| w.as_slice()[0] == 1);
        let payload = if address.table == ModbusTable::Coil {
            let bit = flag(value).map_err(|_| Status::BadOutOfRange)?;
            if let Some(WriteRequest { start, payload: Payload::Coils(bits), cells, .. }) = last
                && usize::from(*start) + bits.len() == usize::from(address.start)
                && bits.len() < WRITE_BITS_MAX
            {
                bits.push(bit);
                cells.push(cell.index);
                return Ok(());
            }
            Payload::Coils(vec![bit])
        } else if let Some(bit) = address.bit {
            let mask = 1u16.checked_shl(u32::from(bit)).ok_or(Status::BadConfigurationError)?;
            let set = if flag(value).map_err(|_| Status::BadOutOfRange)? { mask } else { 0 };
            if let Some(WriteRequest { start, payload: Payload::Mask { and, or }, cells, .. }) = last
                && *start == address.start
            {
                *and &= !mask;
                *or = *or & !mask | set;
                cells.push(cell.index);
                return Ok(());
            }
            Payload::Mask { and: !mask, or: set }
        } else {
            let value = wrapped(value, cell.kind, address.data);
            let words = codec::encode(value, address.data, address.order).map_err(|_| Status::BadOutOfRange)?;
            if let Some(WriteRequest { start, payload: Payload::Registers(registers), cells, .. }) = last
                && usize::from(*start) + registers.len() == usize::from(address.start)
                && registers.len() + words.as_slice().len() <= self.max_write
            {
                registers.extend_from_slice(words.as_slice());
                cells.push(cell.index);
                return Ok(());
            }
            Payload::Registers(words.as_slice().to_vec())
        };
        requests.push(WriteRequest { unit: address.unit, start: address.start, payload, cells: vec![cell.index] });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flyball_config::{ConnectionId, MvId, WordOrder};

    use super::*;
    use crate::jitter::Jitter;
    use crate::testing::{holding, modbus_settings};

    fn output(address: ModbusAddress, kind: OutputKind, phase: WritePhase) -> Output {
        Output { name: String::new(), connection: ConnectionId(0), address: Address::Modbus(address), kind, phase }
    }

    fn setpoint(address: ModbusAddress) -> Output {
        output(address, OutputKind::Setpoint(MvId(0)), WritePhase::Value)
    }

    fn plan(outputs: &[Output], max_write: u16) -> WritePlan {
        WritePlan::new(outputs.iter(), &ModbusConnection { max_write, ..modbus_settings(502) })
    }

    fn values(list: &[f64]) -> Vec<Option<Value>> {
        list.iter().map(|v| Value::new(*v)).collect()
    }

    #[test]
    fn contiguous_values_share_one_request_and_commits_wait() {
        let outputs = [
            output(holding(14, DataType::UInt16), OutputKind::Heartbeat, WritePhase::Commit),
            setpoint(holding(12, DataType::Float32)),
            setpoint(holding(10, DataType::Float32)),
        ];
        let plan = plan(&outputs, 123);
        let batch = values(&[7.0, 2.0, 1.0]);
        let mut refused = vec![None; 3];
        let first = plan.requests(WritePhase::Value, &batch, &mut refused);
        assert_eq!(first.len(), 1);
        assert_eq!((first[0].start, &first[0].cells), (10, &vec![2, 1]));
        assert_eq!(first[0].payload, Payload::Registers(vec![0x3F80, 0, 0x4000, 0]));
        let second = plan.requests(WritePhase::Commit, &batch, &mut refused);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].payload, Payload::Registers(vec![7]));
        assert_eq!(refused, [None; 3]);
    }

    #[test]
    fn an_unset_cell_is_not_written() {
        let outputs: Vec<Output> = (0..3).map(|i| setpoint(holding(i, DataType::UInt16))).collect();
        let batch = [Value::new(1.0), None, Value::new(3.0)];
        let requests = plan(&outputs, 123).requests(WritePhase::Value, &batch, &mut [None; 3]);
        assert_eq!(
            requests.iter().map(|r| (r.start, r.cells.clone())).collect::<Vec<_>>(),
            [(0, vec![0]), (2, vec![2])]
        );
    }

    #[test]
    fn a_sequence_number_never_commits_a_value_that_was_not_sent() {
        let outputs = [
            setpoint(holding(0, DataType::Int16)),
            output(holding(1, DataType::UInt16), OutputKind::Sequence(MvId(0)), WritePhase::Commit),
            output(holding(2, DataType::UInt16), OutputKind::Sequence(MvId(1)), WritePhase::Commit),
            output(holding(3, DataType::UInt16), OutputKind::Heartbeat, WritePhase::Commit),
        ];
        let plan = plan(&outputs, 123);
        let batch = values(&[40_000.0, 5.0, 6.0, 70_000.0]);
        let mut refused = vec![None; 4];
        assert_eq!(plan.requests(WritePhase::Value, &batch, &mut refused), []);
        let commits = plan.requests(WritePhase::Commit, &batch, &mut refused);
        let out_of_range = Some(Status::BadOutOfRange);
        assert_eq!(refused, [out_of_range, out_of_range, None, None]);
        assert_eq!(commits.len(), 1, "the other MV and the heartbeat go on");
        assert_eq!(commits[0].payload, Payload::Registers(vec![6, (70_000u32 % 65_536) as u16]), "counters wrap");
    }

    #[test]
    fn bits_of_a_register_are_one_mask_write() {
        let bit = |n| setpoint(ModbusAddress { bit: Some(n), ..holding(9, DataType::Bool) });
        let requests = plan(&[bit(0), bit(4)], 123).requests(WritePhase::Value, &values(&[1.0, 0.0]), &mut [None; 2]);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].payload, Payload::Mask { and: 0xFFEE, or: 0x0001 });
    }

    #[test]
    fn inputs_cannot_be_written() {
        let input = ModbusAddress { table: ModbusTable::InputRegister, ..holding(0, DataType::UInt16) };
        let mut refused = [None];
        assert_eq!(plan(&[setpoint(input)], 123).requests(WritePhase::Value, &values(&[1.0]), &mut refused), []);
        assert_eq!(refused, [Some(Status::BadNotWritable)]);
    }

    #[test]
    fn random_batches_write_every_value_whole_and_once() {
        let mut random = Jitter::new(99);
        let types = [DataType::UInt16, DataType::Float32, DataType::Float64];
        for _ in 0..300 {
            let max_write = 4 + (random.next_u64() % 120) as u16;
            let mut next = 0u16;
            let outputs: Vec<Output> = (0..50)
                .map(|_| {
                    let data = types[(random.next_u64() % 3) as usize];
                    next += random.next_u64().is_multiple_of(3) as u16;
                    let address = ModbusAddress { order: WordOrder::Cdab, ..holding(next, data) };
                    next += data.registers();
                    setpoint(address)
                })
                .collect();
            let batch: Vec<_> = (0..50)
                .map(|i| if random.next_u64().is_multiple_of(4) { None } else { Value::new(f64::from(i)) })
                .collect();
            let requests = plan(&outputs, max_write).requests(WritePhase::Value, &batch, &mut [None; 50]);
            let mut written = vec![0; 50];
            for request in &requests {
                let Payload::Registers(words) = &request.payload else { panic!("registers only") };
                assert!(words.len() <= usize::from(max_write));
                for cell in &request.cells {
                    let Address::Modbus(a) = &outputs[*cell].address else { panic!("Modbus only") };
                    let at = usize::from(a.start - request.start);
                    let raw = &words[at..at + usize::from(a.data.registers())];
                    assert_eq!(codec::decode(raw, a.data, a.order), Ok(f64::from(*cell as u8)));
                    written[*cell] += 1;
                }
                let expected: usize = request
                    .cells
                    .iter()
                    .map(|c| match &outputs[*c].address {
                        Address::Modbus(a) => usize::from(a.data.registers()),
                        Address::OpcUa(_) => 0,
                    })
                    .sum();
                assert_eq!(words.len(), expected, "nothing is written that was not asked for");
            }
            let asked: Vec<i32> = batch.iter().map(|c| i32::from(c.is_some())).collect();
            assert_eq!(written, asked);
        }
    }
}
