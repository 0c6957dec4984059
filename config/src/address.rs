//! Addresses: `plc1: nsu=s7;s="R101"."TIC101"."PV"` and, in `address_modbus`, `gc: 40101 float32`.
//!
//! Before the colon stands the connection. OPC UA nodes are named by namespace URI or alias, never by index, because a server
//! may renumber its namespaces at every start.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::address_modbus;
use crate::model::{Address, Connection, ConnectionId, NodeIdentifier, OpcUaAddress, WordOrder};
use crate::quantity::Problem;
use crate::suggest::did_you_mean;
use crate::tree::shorten;

/// URI of OPC UA namespace 0.
const UA_NAMESPACE: &str = "http://opcfoundation.org/UA/";

/// A connection as far as it could be read: enough to read the addresses that name it.
#[derive(Debug)]
pub(crate) struct ConnectionDraft {
    pub name: String,
    pub span: Range<usize>,
    pub notation: Notation,
    /// How often values come: poll, publishing or read interval.
    pub interval: Option<Duration>,
    /// None when something in it was wrong.
    pub connection: Option<Connection>,
}

/// How addresses of a connection are written.
#[derive(Debug)]
pub(crate) enum Notation {
    /// OPC UA, with namespace aliases.
    OpcUa { aliases: Vec<(String, String)> },
    /// Modbus.
    Modbus {
        unit: u8,
        numbering: Option<Numbering>,
        order: Option<WordOrder>,
        order_wanted_by: RefCell<Option<String>>,
    },
    /// The protocol itself could not be read: addresses are not judged.
    Unknown,
}

/// How Modbus registers are counted in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// "zero-based": the wire address.
    ZeroBased,
    /// "4xxxx, first register is 40001".
    FiveDigit,
    /// "4xxxxx, first register is 400001".
    SixDigit,
}

/// Splits off the connection and reads the rest in its notation. `Ok(None)`: the connection itself is broken and reported.
pub(crate) fn parse(text: &str, connections: &[ConnectionDraft]) -> Result<Option<(ConnectionId, Address)>, Problem> {
    let names = || connections.iter().map(|c| c.name.as_str());
    let Some((name, rest)) = text.split_once(':') else {
        return Err(Problem::new(format!("found \"{}\"", shorten(text))).allowed("\"connection: address\""));
    };
    let name = name.trim();
    let Some(at) = connections.iter().position(|c| c.name == name) else {
        let known: Vec<&str> = names().collect();
        let known = if known.is_empty() { "none is defined".to_owned() } else { known.join(", ") };
        return Err(Problem::new(format!("there is no connection '{}'", shorten(name)))
            .allowed(known)
            .help(did_you_mean(name, names())));
    };
    let address = match &connections[at].notation {
        Notation::OpcUa { aliases } => Address::OpcUa(opcua(rest.trim(), aliases)?),
        Notation::Modbus { unit, numbering, order, order_wanted_by } => {
            let (address, order_is_guess) = address_modbus::parse(rest.trim(), *unit, *numbering, *order)?;
            if order_is_guess {
                order_wanted_by.borrow_mut().get_or_insert_with(|| text.to_owned());
            }
            Address::Modbus(address)
        }
        Notation::Unknown => return Ok(None),
    };
    Ok(Some((ConnectionId(at as u32), address)))
}

/// `nsu=<alias or URI>;s=...` or `path=/Objects/...`.
fn opcua(text: &str, aliases: &[(String, String)]) -> Result<OpcUaAddress, Problem> {
    const ALLOWED: &str = "nsu=<alias or URI>;s=<text> (or i=, g=, b=), or path=/Objects/<alias>:<name>/...";
    let wrong = || Problem::new(format!("found \"{}\"", shorten(text))).allowed(ALLOWED);
    if let Some(path) = text.strip_prefix("path=") {
        return browse_path(path, aliases);
    }
    if text.starts_with("ns=") {
        return Err(
            wrong().help("A namespace index may change at every restart of the server: name its URI with nsu=.")
        );
    }
    let (namespace, identifier) = match text.strip_prefix("nsu=") {
        Some(rest) => {
            let (name, identifier) = rest.split_once(';').ok_or_else(wrong)?;
            (namespace(name, aliases)?, identifier)
        }
        // OPC UA Part 6: without a namespace the node is in namespace 0.
        None => (UA_NAMESPACE.to_owned(), text),
    };
    let (kind, value) = identifier.split_once('=').ok_or_else(wrong)?;
    let identifier = match kind {
        "s" if !value.is_empty() && value.len() <= 4096 => NodeIdentifier::Text(value.to_owned()),
        "i" => NodeIdentifier::Numeric(
            value.parse().map_err(|_| wrong().allowed("i= a whole number from 0 to 4294967295"))?,
        ),
        "g" if is_guid(value) => NodeIdentifier::Guid(value.to_ascii_lowercase()),
        "b" => NodeIdentifier::Opaque(base64(value).ok_or_else(|| wrong().allowed("b= with base64 text"))?),
        _ => return Err(wrong()),
    };
    Ok(OpcUaAddress::Node { namespace, identifier })
}

fn namespace(name: &str, aliases: &[(String, String)]) -> Result<String, Problem> {
    if let Some((_, uri)) = aliases.iter().find(|(alias, _)| alias == name) {
        return Ok(uri.clone());
    }
    if name.contains(':') {
        return Ok(name.to_owned());
    }
    let known: Vec<&str> = aliases.iter().map(|(alias, _)| alias.as_str()).collect();
    let help = did_you_mean(name, known.iter().copied());
    let help =
        if help.is_empty() { "Add it to 'namespace' of the connection, or write the URI.".to_owned() } else { help };
    Err(Problem::new(format!("unknown namespace alias '{}'", shorten(name)))
        .allowed(if known.is_empty() {
            "a namespace URI".to_owned()
        } else {
            format!("{}, or a URI", known.join(", "))
        })
        .help(help))
}

/// `/Objects/s7:R101/s7:PV`; `&` before `/`, `:` or `&` takes the character as it is (OPC UA Part 4, relative paths).
fn browse_path(path: &str, aliases: &[(String, String)]) -> Result<OpcUaAddress, Problem> {
    let wrong =
        || Problem::new(format!("found \"path={}\"", shorten(path))).allowed("path=/Objects/<alias>:<name>/...");
    let mut steps: Vec<(Option<String>, String)> = Vec::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match (c, steps.last_mut()) {
            ('/', _) => steps.push((None, String::new())),
            (_, None) => return Err(wrong()),
            ('&', Some((_, name))) => name.push(chars.next().ok_or_else(wrong)?),
            (':', Some((alias @ None, name))) => *alias = Some(std::mem::take(name)),
            (_, Some((_, name))) => name.push(c),
        }
    }
    let starts_well = steps.first().is_some_and(|(alias, name)| alias.is_none() && name == "Objects");
    if !starts_well || steps.len() < 2 || steps.iter().any(|(_, name)| name.is_empty()) {
        return Err(wrong());
    }
    let steps: Result<Vec<_>, Problem> = steps
        .into_iter()
        .skip(1)
        .map(|(alias, name)| Ok((alias.map_or(Ok(UA_NAMESPACE.to_owned()), |a| namespace(&a, aliases))?, name)))
        .collect();
    Ok(OpcUaAddress::Path(steps?))
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// Base64 (RFC 4648, section 4), padding optional; None for any other character or an impossible length.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    if text.is_empty() || text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = ((bits << 6) | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

impl fmt::Display for OpcUaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { namespace, identifier } => {
                write!(f, "nsu={namespace};")?;
                match identifier {
                    NodeIdentifier::Numeric(n) => write!(f, "i={n}"),
                    NodeIdentifier::Text(text) => write!(f, "s={text}"),
                    NodeIdentifier::Guid(text) => write!(f, "g={text}"),
                    NodeIdentifier::Opaque(bytes) => {
                        write!(f, "b=0x")?;
                        bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
                    }
                }
            }
            Self::Path(steps) => {
                f.write_str("/Objects")?;
                steps.iter().try_for_each(|(_, name)| write!(f, "/{name}"))
            }
        }
    }
}

/// The node, or the register in words with its wire address.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpcUa(address) => address.fmt(f),
            Self::Modbus(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases() -> Vec<(String, String)> {
        vec![("s7".to_owned(), "urn:s7".to_owned())]
    }

    #[test]
    fn nodes_by_alias_uri_and_kind() {
        let node = |text: &str| opcua(text, &aliases()).unwrap().to_string();
        assert_eq!(node(r#"nsu=s7;s="A"."B;=""#), r#"nsu=urn:s7;s="A"."B;=""#);
        assert_eq!(node("nsu=http://x/y;i=12"), "nsu=http://x/y;i=12");
        assert_eq!(node("i=2258"), "nsu=http://opcfoundation.org/UA/;i=2258");
        assert_eq!(node("nsu=s7;b=AQID"), "nsu=urn:s7;b=0x010203");
        assert_eq!(
            node("nsu=s7;g=01234567-89AB-cdef-0123-456789abcdef"),
            "nsu=urn:s7;g=01234567-89ab-cdef-0123-456789abcdef"
        );
    }

    #[test]
    fn a_browse_path_has_a_namespace_per_step() {
        let path = opcua("path=/Objects/s7:R101/s7:A&/B/Plain", &aliases()).unwrap();
        let step = |uri: &str, name: &str| (uri.to_owned(), name.to_owned());
        assert_eq!(
            path,
            OpcUaAddress::Path(vec![step("urn:s7", "R101"), step("urn:s7", "A/B"), step(UA_NAMESPACE, "Plain")])
        );
    }

    #[test]
    fn wrong_nodes_are_refused() {
        for bad in
            ["", "ns=3;s=x", "nsu=s7", "nsu=s7;s=", "nsu=s8;s=x", "nsu=s7;i=-1", "nsu=s7;g=12", "nsu=s7;b=A", "x"]
        {
            assert!(opcua(bad, &aliases()).is_err(), "{bad}");
        }
        for bad in [
            "path=",
            "path=/",
            "path=/Objects",
            "path=/Root/x",
            "path=/Objects//x",
            "path=/Objects/s9:x",
            "path=/Objects/x&",
        ] {
            assert!(opcua(bad, &aliases()).is_err(), "{bad}");
        }
        assert!(opcua("ns=3;s=x", &aliases()).unwrap_err().help.contains("nsu="));
    }
}
