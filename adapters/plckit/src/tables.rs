//! The lists: all cells for people, and one per protocol with what a server or register map needs. CSV after RFC 4180, UTF-8.

use std::fmt::Write as _;

use flyball_config::{
    Address, ModbusAddress, ModbusTable, ModbusTransport, NodeIdentifier, OpcUaAddress, Protocol, Unit, WordOrder,
    WritePhase,
};

use crate::plan::{Cell, Plan, Writer};
use crate::program::scaling_words;

/// One row: fields are quoted where they must be.
fn row(out: &mut String, fields: &[&str]) {
    let quoted: Vec<String> = fields
        .iter()
        .map(|f| {
            if f.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", f.replace('"', "\"\"")) } else { (*f).to_owned() }
        })
        .collect();
    let _ = writeln!(out, "{}", quoted.join(","));
}

fn direction(writer: Writer) -> &'static str {
    match writer {
        Writer::Flyball(_) => "flyball -> PLC",
        Writer::Plc => "PLC -> flyball",
    }
}

/// Low and high end, empty when there is no range.
fn ends(cell: &Cell<'_>) -> [String; 2] {
    cell.range.map_or_else(Default::default, |r| [r.low.to_string(), r.high.to_string()])
}

fn unit(unit: Unit) -> &'static str {
    if unit == Unit::ONE { "" } else { unit.symbol() }
}

fn member(cell: &Cell<'_>, plan: &Plan<'_>) -> String {
    match (cell.process, plan.is_plc(cell.connection)) {
        (false, _) => format!("Apc.{}", cell.member),
        (true, _) => String::new(),
    }
}

/// `tags.csv`: every cell.
pub fn tags(plan: &Plan<'_>) -> String {
    let mut out = String::new();
    row(
        &mut out,
        &["name", "direction", "plc_variable", "type", "unit", "low", "high", "connection", "address", "text"],
    );
    for cell in &plan.cells {
        let [low, high] = ends(cell);
        let connection = &plan.config.connections[cell.connection.index()].name;
        let kind = match cell.address {
            Address::OpcUa(_) if cell.process => "any number",
            _ => cell.st.word(),
        };
        let (member, address) = (member(cell, plan), cell.address.to_string());
        let fields = [
            cell.name,
            direction(cell.writer),
            &member,
            kind,
            unit(cell.unit),
            &low,
            &high,
            connection,
            &address,
            &cell.text,
        ];
        row(&mut out, &fields);
    }
    out
}

/// Addresses of a cell: its own, and for a tag where its sample time and its validity stand.
fn addresses<'c>(cell: &Cell<'c>, plan: &Plan<'c>) -> Vec<(String, &'c Address)> {
    let mut found = vec![(cell.name.to_owned(), cell.address)];
    let tag = plan.config.tag_named(cell.name).filter(|_| cell.process);
    if let Some(tag) = tag.and_then(|t| plan.config.tags.get(t.index())) {
        found.extend(tag.sampled_at.as_ref().map(|a| (format!("{}, time of the sample", cell.name), a)));
        found.extend(tag.good_when.as_ref().map(|g| (format!("{}, valid when {}", cell.name, g.equals), &g.address)));
    }
    found
}

/// `opcua_map.csv`: every node, what it must be, and which right flyball's user needs. None: OPC UA is not used.
pub fn opcua(plan: &Plan<'_>) -> Option<String> {
    let mut out = String::new();
    let columns =
        ["name", "direction", "plc_variable", "endpoint", "namespace_uri", "node", "data_type", "right", "written"];
    row(&mut out, &columns);
    let mut any = false;
    for cell in &plan.cells {
        for (name, address) in addresses(cell, plan) {
            let Address::OpcUa(node) = address else { continue };
            let connection = &plan.config.connections[cell.connection.index()];
            let Protocol::OpcUa(server) = &connection.protocol else { continue };
            let (namespace, node) = node_words(node);
            let kind = if cell.process { "any number" } else { cell.st.opcua() };
            let (right, written) = match cell.writer {
                Writer::Flyball(WritePhase::Value) => ("read, write", "first"),
                Writer::Flyball(WritePhase::Commit) => ("read, write", "last"),
                Writer::Plc => ("read", ""),
            };
            let fields = [
                &name,
                direction(cell.writer),
                &member(cell, plan),
                &server.endpoint,
                &namespace,
                &node,
                kind,
                right,
                written,
            ];
            row(&mut out, &fields);
            any = true;
        }
    }
    any.then_some(out)
}

/// Namespace and the rest of a node's name.
fn node_words(node: &OpcUaAddress) -> (String, String) {
    match node {
        OpcUaAddress::Node { namespace, identifier } => {
            let identifier = match identifier {
                NodeIdentifier::Numeric(n) => format!("i={n}"),
                NodeIdentifier::Text(text) => format!("s={text}"),
                NodeIdentifier::Guid(text) => format!("g={text}"),
                NodeIdentifier::Opaque(bytes) => {
                    bytes.iter().fold("b=0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
                }
            };
            (namespace.clone(), identifier)
        }
        OpcUaAddress::Path(steps) => {
            let mut namespaces: Vec<&str> = steps.iter().map(|(uri, _)| uri.as_str()).collect();
            namespaces.dedup();
            (namespaces.join(" "), node.to_string())
        }
    }
}

/// `modbus_map.csv`: every register, with its number, its address on the wire and the function. None: Modbus is not used.
pub fn modbus(plan: &Plan<'_>) -> Option<String> {
    let mut out = String::new();
    let columns = [
        "name",
        "direction",
        "plc_variable",
        "device",
        "unit_id",
        "register",
        "wire_start",
        "count",
        "bit",
        "type",
        "word_order",
        "function",
        "unit",
        "low",
        "high",
        "note",
    ];
    row(&mut out, &columns);
    let mut any = false;
    for cell in &plan.cells {
        for (at, (name, address)) in addresses(cell, plan).into_iter().enumerate() {
            let Address::Modbus(address) = address else { continue };
            let connection = &plan.config.connections[cell.connection.index()];
            let Protocol::Modbus(device) = &connection.protocol else { continue };
            let place = match &device.transport {
                ModbusTransport::Tcp { host, port } | ModbusTransport::RtuOverTcp { host, port } => {
                    format!("{host}:{port}")
                }
                ModbusTransport::Rtu { device, .. } => device.display().to_string(),
            };
            // Sample time and validity have no unit and range of their own.
            let ([low, high], unit) = if at == 0 { (ends(cell), unit(cell.unit)) } else { (Default::default(), "") };
            let words = type_words(*address);
            let kind = words.split(' ').nth(1).unwrap_or_default();
            let fields = [
                &name,
                direction(cell.writer),
                &member(cell, plan),
                &format!("{} {place}", connection.name),
                &address.unit.to_string(),
                &address.notation(),
                &address.start.to_string(),
                &address.width().to_string(),
                &address.bit.map_or_else(String::new, |b| b.to_string()),
                kind,
                order_words(*address),
                &function(*address, cell.writer),
                unit,
                &low,
                &high,
                &if at == 0 { note(cell, *address, plan) } else { String::new() },
            ];
            row(&mut out, &fields);
            any = true;
        }
    }
    any.then_some(out)
}

/// "40101 float32"; a bit is a bool.
fn type_words(address: ModbusAddress) -> String {
    if address.bit.is_some() { format!("{} bool", address.notation()) } else { address.to_string() }
}

/// Words of a value wider than one register, A = most significant byte.
fn order_words(address: ModbusAddress) -> &'static str {
    match address.order {
        _ if address.width() == 1 => "",
        WordOrder::Abcd => "ABCD (high word first)",
        WordOrder::Cdab => "CDAB (low word first)",
        WordOrder::Badc => "BADC (high word first, bytes swapped)",
        WordOrder::Dcba => "DCBA (low word first, bytes swapped)",
    }
}

/// Functions that flyball sends.
fn function(address: ModbusAddress, writer: Writer) -> String {
    match (writer, address.table) {
        (Writer::Plc, table) => format!("FC{}", table.read_function()),
        (Writer::Flyball(_), ModbusTable::Coil) => "FC5 or FC15".into(),
        (Writer::Flyball(_), _) => "FC16".into(),
    }
}

/// What the PLC must convert, and raw values.
fn note(cell: &Cell<'_>, address: ModbusAddress, plan: &Plan<'_>) -> String {
    if cell.process {
        let tag = plan.config.tag_named(cell.name).map(|t| plan.config.tag(t));
        return tag.map_or_else(String::new, |t| scaling_words(t.scaling));
    }
    let wire = type_words(address);
    let wire = wire.split(' ').nth(1).unwrap_or_default();
    let same = match cell.st.word() {
        "BOOL" => wire == "bool",
        "INT" => wire == "int16",
        "UINT" | "WORD" => wire == "uint16",
        "UDINT" => wire == "uint32",
        _ => wire == "float32",
    };
    if same {
        String::new()
    } else {
        format!("{wire} on the wire, {} in the PLC: convert, do not overlay", cell.st.word())
    }
}
