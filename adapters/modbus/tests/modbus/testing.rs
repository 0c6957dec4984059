//! Configuration by hand, for the tests of this crate (unit tests and socket tests use the same helpers).

use std::time::Duration;

use flyball_config::units::{Unit, UnitRow};
use flyball_config::{
    Address, Backoff, Connection, ConnectionId, DataType, EuRange, ModbusAddress, ModbusConnection, ModbusTable,
    ModbusTransport, OnBad, Protocol, Scaling, Tag, TagRole, WordOrder,
};

static ONE: UnitRow = UnitRow { symbol: "1", unit_id: -1, display: "1", description: "one" };

/// Unit 1, holding registers, high word first.
pub fn holding(start: u16, data: DataType) -> ModbusAddress {
    ModbusAddress { unit: 1, table: ModbusTable::HoldingRegister, start, data, bit: None, order: WordOrder::Abcd }
}

/// A plain process tag.
pub fn tag(name: &str, address: ModbusAddress) -> Tag {
    Tag {
        name: name.to_owned(),
        text: String::new(),
        connection: ConnectionId(0),
        address: Address::Modbus(address),
        role: TagRole::Process,
        unit: Unit(&ONE),
        scaling: Scaling::None,
        range: EuRange { low: -1e9, high: 1e9 },
        plausible: None,
        max_rate_per_s: None,
        frozen: None,
        stale_after: Duration::from_secs(5),
        hold: Duration::ZERO,
        on_bad: OnBad::Bad,
        invalid_marks: Vec::new(),
        sampled_at: None,
        good_when: None,
    }
}

/// Modbus TCP on loopback, polled every 20 ms.
pub fn modbus_settings(port: u16) -> ModbusConnection {
    ModbusConnection {
        transport: ModbusTransport::Tcp { host: "127.0.0.1".to_owned(), port },
        unit: 1,
        poll: Duration::from_millis(20),
        gap_limit: 8,
        max_read: 125,
        max_write: 123,
        pause: Duration::ZERO,
    }
}

/// A connection with these settings, 100 ms per request, back-off 50 to 400 ms.
#[allow(dead_code, reason = "the unit tests need only some of the helpers")]
pub fn connection(settings: ModbusConnection) -> Connection {
    Connection {
        name: "plc1".to_owned(),
        protocol: Protocol::Modbus(settings),
        timeout: Duration::from_millis(100),
        reconnect: Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(400) },
    }
}
