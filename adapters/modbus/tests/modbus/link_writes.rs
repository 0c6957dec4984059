//! Writes of the whole link: order on the wire, deadlines, refusals.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use flyball_config::{
    Address, ConnectionId, DataType, ModbusAddress, ModbusTable, MvId, Output, OutputKind, WordOrder, WritePhase,
};
use flyball_core::image::LinkState;
use flyball_core::status::Status;
use flyball_modbus::{BankSize, Exception, ModbusServer, RegisterBank, ServerOptions, Written};

use crate::seat::Running;
use crate::testing::{connection, holding, modbus_settings, tag};

type Log = Arc<Mutex<Vec<Written>>>;

/// A PLC that notes every write and refuses those to `protected`.
fn plc(protected: Option<u16>) -> (ModbusServer, Arc<RegisterBank>, Log) {
    let bank = Arc::new(RegisterBank::new(BankSize::all(500)));
    let log = Log::default();
    let noted = Arc::clone(&log);
    let options = ServerOptions {
        on_write: Some(Box::new(move |written| {
            noted.lock().expect("log").push(written.clone());
            if protected == Some(written.start) { Err(Exception::ILLEGAL_ADDRESS) } else { Ok(()) }
        })),
        ..ServerOptions::default()
    };
    let server =
        ModbusServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&bank), options).expect("loopback");
    (server, bank, log)
}

fn output(address: ModbusAddress, kind: OutputKind, phase: WritePhase) -> Output {
    Output { name: "out".to_owned(), connection: ConnectionId(0), address: Address::Modbus(address), kind, phase }
}

/// Two setpoints side by side, their sequence numbers and the heartbeat.
fn outputs() -> Vec<Output> {
    let sequence =
        |mv, start| output(holding(start, DataType::UInt16), OutputKind::Sequence(MvId(mv)), WritePhase::Commit);
    let setpoint =
        |mv, start| output(holding(start, DataType::Float32), OutputKind::Setpoint(MvId(mv)), WritePhase::Value);
    vec![
        sequence(0, 30),
        output(holding(32, DataType::UInt16), OutputKind::Heartbeat, WritePhase::Commit),
        setpoint(0, 10),
        setpoint(1, 12),
        sequence(1, 31),
    ]
}

fn start(server: &ModbusServer, outputs: Vec<Output>) -> Running {
    let tags = vec![tag("any", holding(0, DataType::UInt16))];
    let mut link = Running::start(connection(modbus_settings(server.address().port())), tags, outputs);
    link.image(|state, _| state == LinkState::Up);
    link
}

fn starts(log: &Log) -> Vec<(u16, usize)> {
    log.lock().expect("log").iter().map(|w| (w.start, w.words.len())).collect()
}

#[test]
fn values_go_out_before_what_commits_them() {
    let (server, bank, log) = plc(None);
    let mut link = start(&server, outputs());
    let batch = [Some(5.0), Some(9.0), Some(142.5), Some(114.25), Some(6.0)];
    let outcome = link.write(1, link.ample(), &batch);
    assert_eq!((outcome.status, outcome.discarded), (Status::Good, false));
    assert_eq!(starts(&log), [(10, 4), (30, 3)]);
    assert_eq!(bank.get_value(&holding(10, DataType::Float32)), Ok(142.5));
    assert_eq!(bank.read(ModbusTable::HoldingRegister, 30, 3), Ok(vec![5, 6, 9]));
}

#[test]
fn a_late_batch_is_discarded_and_nothing_is_on_the_wire() {
    let (server, _bank, log) = plc(None);
    let mut link = start(&server, outputs());
    let late = link.clock.now().before(std::time::Duration::from_millis(1));
    let outcome = link.write(1, late, &[Some(1.0), Some(1.0), Some(1.0), Some(1.0), Some(1.0)]);
    assert!(outcome.discarded && outcome.status.is_bad());
    assert_eq!(starts(&log), []);
    let outcome = link.write(2, link.ample(), &[None, Some(2.0), None, None, None]);
    assert_eq!((outcome.status, outcome.discarded), (Status::Good, false));
    assert_eq!(starts(&log), [(32, 1)], "only the batch that was in time, only the cell that was set");
}

#[test]
fn a_refused_setpoint_is_never_committed() {
    let (server, bank, log) = plc(Some(10));
    // Apart, so that the two setpoints are two requests.
    let mut outputs = outputs();
    outputs[3].address = Address::Modbus(holding(100, DataType::Float32));
    let mut link = start(&server, outputs);
    let outcome = link.write(1, link.ample(), &[Some(5.0), Some(9.0), Some(1.5), Some(2.5), Some(6.0)]);
    assert_eq!((outcome.status, outcome.discarded), (Status::BadConfigurationError, false));
    assert_eq!(starts(&log), [(10, 2), (100, 2), (31, 2)]);
    assert_eq!(
        bank.read(ModbusTable::HoldingRegister, 30, 3),
        Ok(vec![0, 6, 9]),
        "no sequence number for the refused one"
    );
    assert_eq!(server.accepted(), 1);
}

#[test]
fn without_a_connection_a_batch_ends_at_once() {
    let (server, _bank, _log) = plc(None);
    let port = server.address().port();
    drop(server);
    let mut link = Running::start(connection(modbus_settings(port)), vec![], outputs());
    link.image(|state, _| state == LinkState::Down);
    let outcome = link.write(1, link.ample(), &[None, Some(1.0), None, None, None]);
    assert_eq!(outcome.status, Status::BadNotConnected);
}

#[test]
fn every_kind_of_cell_arrives_as_it_was_meant() {
    let (server, bank, _log) = plc(None);
    let mut outputs = Vec::new();
    let mut values = Vec::new();
    let mut next = 200;
    for order in [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba] {
        for (data, value) in [
            (DataType::Int16, -12.0),
            (DataType::UInt32, 4e9),
            (DataType::Int64, -5e12),
            (DataType::Float32, 0.375),
            (DataType::Float64, 1e-9),
            (DataType::Bcd32, 87_654_321.0),
        ] {
            outputs.push(ModbusAddress { order, ..holding(next, data) });
            values.push(value);
            next += data.registers();
        }
    }
    let bit = |n| ModbusAddress { bit: Some(n), ..holding(400, DataType::Bool) };
    let coil = |n| ModbusAddress { table: ModbusTable::Coil, ..holding(n, DataType::Bool) };
    outputs.extend([bit(3), bit(9), coil(7), coil(8), coil(20)]);
    values.extend([1.0, 0.0, 1.0, 1.0, 1.0]);
    bank.write(ModbusTable::HoldingRegister, 400, &[0xFF00]).expect("there");
    let cells = outputs.iter().map(|a| output(*a, OutputKind::Setpoint(MvId(0)), WritePhase::Value)).collect();
    let mut link = start(&server, cells);
    let batch: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
    assert_eq!(link.write(1, link.ample(), &batch).status, Status::Good);
    for (address, value) in outputs.iter().zip(values) {
        assert_eq!(bank.get_value(address), Ok(value), "{address:?}");
    }
    assert_eq!(bank.read(ModbusTable::HoldingRegister, 400, 1), Ok(vec![0xFD08]), "the other bits stay");
}
