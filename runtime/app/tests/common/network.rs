//! A plant behind a line that can be spoilt: one proxy in front of the PLC, one in front of the analyser, and a configuration that goes
//! through both, over OPC UA or over Modbus.

use std::fs;
use std::time::Duration;

use flyball_rig::proxy::{Framing, Proxy};
use flyball_rig::signals::{Direction, PlcType, SIGNALS};

use super::{Plant, r101, with_line};

/// Protocol between program and PLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    OpcUa,
    Modbus,
}

/// The proxies.
pub struct Network {
    pub plc: Proxy,
    pub analyser: Proxy,
}

impl Network {
    /// Puts the proxies in front of the plant and writes a configuration that fits.
    pub fn before(plant: &Plant, over: Over) -> Self {
        let (server, framing) = match over {
            Over::OpcUa => (([127, 0, 0, 1], plant.rig.opcua_port()).into(), Framing::Opaque),
            Over::Modbus => (plant.rig.modbus(), Framing::Modbus),
        };
        let plc = Proxy::start(server, framing, 1).expect("proxy");
        let analyser = Proxy::start(plant.rig.analyser(), Framing::Modbus, 2).expect("proxy");
        let mut text = r101(plc.address().port(), analyser.address().port(), plant.port);
        if over == Over::Modbus {
            text = over_modbus(&text, plc.address().port());
        }
        fs::write(&plant.config, text).expect("configuration");
        Self { plc, analyser }
    }
}

/// The example with its PLC on Modbus TCP instead of OPC UA: every node by its register.
fn over_modbus(text: &str, port: u16) -> String {
    let mut text = text.to_owned();
    for s in SIGNALS {
        let kind = match (s.plc_type, s.direction) {
            (PlcType::Bool, Direction::Read) => "bit 0",
            (PlcType::Bool | PlcType::UInt | PlcType::Word, _) => "uint16",
            (PlcType::Int, _) => "int16",
            (PlcType::UDInt, _) => "uint32",
            (PlcType::Real, _) => "float32",
        };
        let register = 40_001 + u32::from(s.register);
        text = text.replace(&format!("'plc1: nsu=s7;s={}'", s.node), &format!("'plc1: {register} {kind}'"));
    }
    for (start, new) in [
        ("security   = ", ""),
        ("user       = ", ""),
        ("password   = \"env:R101_PLC", ""),
        ("namespace  = ", ""),
        ("read_by    = ", "unit = 1\nnumbering = \"4xxxx, first register is 40001\"\nword_order = \"ABCD\""),
        ("publishing = ", "poll       = \"500 ms\""),
        ("protocol   = \"opcua\"", "protocol   = \"modbus-tcp\""),
        ("endpoint   = ", &format!("host       = \"127.0.0.1\"\nport       = {port}")),
    ] {
        text = with_line(&text, start, new);
    }
    text
}

/// Process time of this many cycles of the example.
pub const fn cycles(n: u32) -> Duration {
    Duration::from_secs(n as u64)
}
