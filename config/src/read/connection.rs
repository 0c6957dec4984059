//! `[connection.*]`: OPC UA and Modbus clients.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::{ConnectionDraft, Notation, Numbering};
use crate::address_modbus::ORDERS;
use crate::bounds::{MODBUS_READ_MAX, MODBUS_WRITE_MAX};
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{
    Backoff, Connection, ModbusConnection, ModbusTransport, OpcUaConnection, Parity, Protocol, ReadBy, Security,
    SecurityMode, SecurityPolicy, UserIdentity,
};
use crate::quantity::{Problem, words};
use crate::read::Cx;
use crate::reader::{Field, Reader};
use crate::secret;
use crate::suggest::did_you_mean;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    OpcUa,
    ModbusTcp,
    ModbusRtuOverTcp,
    ModbusRtu,
}

const KINDS: [(&str, Kind); 4] = [
    ("opcua", Kind::OpcUa),
    ("modbus-tcp", Kind::ModbusTcp),
    ("modbus-rtu-over-tcp", Kind::ModbusRtuOverTcp),
    ("modbus-rtu", Kind::ModbusRtu),
];

const NUMBERINGS: [(&str, Numbering); 3] = [
    ("zero-based", Numbering::ZeroBased),
    ("4xxxx, first register is 40001", Numbering::FiveDigit),
    ("4xxxxx, first register is 400001", Numbering::SixDigit),
];

/// Reads one `[connection.*]`.
pub(crate) fn read(name: &str, mut r: Reader<'_>, cx: &Cx) -> ConnectionDraft {
    let span = r.span.clone();
    let kind = r.need("protocol", "\"opcua\"").and_then(|f| f.choice(&KINDS));
    let timeout = r.get("timeout").and_then(|f| f.duration()).unwrap_or(Duration::from_millis(200));
    let reconnect = r.get("reconnect").and_then(|f| f.table("connection.*.reconnect")).and_then(backoff);
    let reconnect = reconnect.unwrap_or(Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) });
    let (notation, interval, protocol) = match kind {
        // Which keys are known depends on the protocol: without it, none is judged.
        None => {
            r.take_rest();
            (Notation::Unknown, None, None)
        }
        Some(Kind::OpcUa) => opcua(&mut r, cx),
        Some(kind) => modbus(&mut r, kind),
    };
    let connection = protocol.map(|protocol| Connection { name: name.to_owned(), protocol, timeout, reconnect });
    ConnectionDraft { name: name.to_owned(), span, notation, interval, connection }
}

fn backoff(mut r: Reader<'_>) -> Option<Backoff> {
    let first = r.need("first", "\"1 s\"").and_then(|f| f.duration());
    let longest = r.need("longest", "\"30 s\"").and_then(|f| f.duration());
    let (first, longest) = (first?, longest?);
    if first > longest {
        r.error(
            Problem::new(format!("first is {}", words(first))).allowed(format!("at most longest, {}", words(longest))),
        );
    }
    Some(Backoff { first, longest })
}

fn opcua(r: &mut Reader<'_>, cx: &Cx) -> (Notation, Option<Duration>, Option<Protocol>) {
    let endpoint = r.need("endpoint", "\"opc.tcp://192.168.10.20:4840\"").and_then(|f| endpoint(&f));
    let lab = r.get("lab_switch_no_security").and_then(|f| f.boolean()).unwrap_or(false);
    let security = r.need("security", "\"SignAndEncrypt / Basic256Sha256\"").and_then(|f| {
        let security = security(&f)?;
        lab_switch(&f, security, lab);
        Some(security)
    });
    let user = r.get("user");
    let password = r.get("password");
    let user = match (user, password) {
        (Some(user), Some(password)) => match (user.text(), secret::read(&password, cx)) {
            (Some(user), Some(password)) => Some(UserIdentity::Password { user: user.to_owned(), password }),
            _ => None,
        },
        (Some(user), None) => {
            user.error(Problem::new("a user without a password").help("Add password = \"env:NAME\" or \"file:PATH\"."));
            None
        }
        (None, Some(password)) => {
            secret::read(&password, cx);
            password.error(Problem::new("a password without a user").help("Add user = \"...\"."));
            None
        }
        (None, None) => Some(UserIdentity::Anonymous),
    };
    let aliases = r.get("namespace").and_then(|f| f.table("connection.*.namespace")).map(aliases).unwrap_or_default();
    let by = r.get("read_by").and_then(|f| f.choice(&[("subscription", true), ("cyclic", false)])).unwrap_or(true);
    let key = if by { "publishing" } else { "every" };
    let interval = match r.get(key) {
        Some(field) => field.duration(),
        None => cx.cycle.or(Some(Duration::from_secs(1))),
    };
    let read_by = interval
        .map(|time| if by { ReadBy::Subscription { publishing: time } } else { ReadBy::Cyclic { every: time } });
    let pki = pki(r, cx, "pki/client");
    let protocol = match (endpoint, security, user, read_by) {
        (Some(endpoint), Some(security), Some(user), Some(read_by)) => {
            Some(Protocol::OpcUa(OpcUaConnection { endpoint, security, user, read_by, pki }))
        }
        _ => None,
    };
    (Notation::OpcUa { aliases }, interval, protocol)
}

/// Folder of certificates, relative to the file.
pub(crate) fn pki(r: &mut Reader<'_>, cx: &Cx, default: &str) -> PathBuf {
    cx.path(r.get("pki").and_then(|f| f.text()).unwrap_or(default))
}

fn aliases(mut r: Reader<'_>) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (entry, field) in r.all() {
        let Some(uri) = field.text() else { continue };
        if !uri.contains(':') {
            let help = "A namespace index may change at every restart of the server.";
            let problem = Problem::new(format!("found \"{uri}\""));
            field.error(problem.allowed("a namespace URI, as \"urn:...\" or \"http://...\"").help(help));
        }
        // A wrong URI still names its alias: one complaint, not one per address.
        list.push((entry.key.clone(), uri.to_owned()));
    }
    r.take_rest();
    list
}

/// `opc.tcp://host:port/path`.
pub(crate) fn endpoint(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let good = text.strip_prefix("opc.tcp://").is_some_and(|rest| {
        let authority = rest.split('/').next().unwrap_or("");
        authority.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    });
    // A user before the host may bring a password: the text is not repeated and its line not shown.
    if text.contains('@') {
        field.place.sink.diagnostics.borrow_mut().push(Diagnostic {
            severity: Severity::Error,
            location: field.place.location(&field.node.span).blotted(),
            subject: field.subject.clone(),
            found: "an address with a user in it".to_owned(),
            allowed: Some("\"opc.tcp://host:port\" or \"opc.tcp://host:port/path\"".to_owned()),
            help: Some("Give the user as user = \"...\" and the password as password = \"env:NAME\".".to_owned()),
        });
        return None;
    }
    if good {
        return Some(text.to_owned());
    }
    field.error(
        Problem::new(format!("found \"{text}\"")).allowed("\"opc.tcp://host:port\" or \"opc.tcp://host:port/path\""),
    );
    None
}

const MODES: [(&str, SecurityMode); 2] =
    [("Sign", SecurityMode::Sign), ("SignAndEncrypt", SecurityMode::SignAndEncrypt)];

const POLICIES: [(&str, SecurityPolicy); 3] = [
    ("Basic256Sha256", SecurityPolicy::Basic256Sha256),
    ("Aes128_Sha256_RsaOaep", SecurityPolicy::Aes128Sha256RsaOaep),
    ("Aes256_Sha256_RsaPss", SecurityPolicy::Aes256Sha256RsaPss),
];

/// "SignAndEncrypt / Basic256Sha256", in either order, or "None".
pub(crate) fn security(field: &Field<'_>) -> Option<Security> {
    let text = field.text()?;
    if text == "None" {
        return Some(Security::NONE);
    }
    let (mut mode, mut policy) = (None, None);
    let allowed = "\"<mode> / <policy>\" with mode Sign, SignAndEncrypt and policy Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss";
    for word in text.split('/').map(str::trim) {
        if let Some((_, m)) = MODES.iter().find(|(name, _)| *name == word) {
            mode = Some(*m);
        } else if let Some((_, p)) = POLICIES.iter().find(|(name, _)| *name == word) {
            policy = Some(*p);
        } else {
            let help = match word {
                "Basic128Rsa15" | "Basic256" => format!("{word} is broken and withdrawn by the OPC Foundation."),
                _ => did_you_mean(word, MODES.iter().map(|m| m.0).chain(POLICIES.iter().map(|p| p.0))),
            };
            field.error(Problem::new(format!("found \"{text}\"")).allowed(allowed).help(help));
            return None;
        }
    }
    match (mode, policy) {
        (Some(mode), Some(policy)) => Some(Security { mode, policy }),
        _ => {
            field.error(Problem::new(format!("found \"{text}\"")).allowed(allowed));
            None
        }
    }
}

/// `None` is refused without the lab switch, and said loudly with it.
pub(crate) fn lab_switch(field: &Field<'_>, security: Security, lab: bool) {
    if security != Security::NONE {
        return;
    }
    if lab {
        field.warning(
            Problem::new("no security, by the lab switch")
                .help("Never on a plant network: anyone there can read and write."),
        );
    } else {
        let help = "Only in a laboratory: lab_switch_no_security = true beside it.";
        field.error(Problem::new("found \"None\"").allowed("a secured mode and policy").help(help));
    }
}

fn modbus(r: &mut Reader<'_>, kind: Kind) -> (Notation, Option<Duration>, Option<Protocol>) {
    let transport = if kind == Kind::ModbusRtu { serial(r) } else { tcp(r, kind) };
    let unit = r.get("unit").map_or(Some(1), |f| f.whole(1, 247)).map(|u| u as u8);
    let numbering =
        r.need("numbering", "\"4xxxx, first register is 40001\" or \"zero-based\"").and_then(|f| f.choice(&NUMBERINGS));
    let order = r.get("word_order").and_then(|f| f.choice(&ORDERS));
    let poll = r.need("poll", "\"1 s\"").and_then(|f| f.duration());
    let mut count = |key, default, low, high: u16| {
        r.get(key).map_or(Some(default), |f| f.whole(low, u32::from(high)).map(|n| n as u16))
    };
    let gap_limit = count("gap_limit", 8, 0, MODBUS_READ_MAX);
    let max_read = count("max_read", MODBUS_READ_MAX, 4, MODBUS_READ_MAX);
    let max_write = count("max_write", MODBUS_WRITE_MAX, 4, MODBUS_WRITE_MAX);
    let pause = r.get("pause").map_or(Some(Duration::ZERO), |f| f.duration_or_zero());
    let protocol = (|| {
        Some(Protocol::Modbus(ModbusConnection {
            transport: transport?,
            unit: unit?,
            poll: poll?,
            gap_limit: gap_limit?,
            max_read: max_read?,
            max_write: max_write?,
            pause: pause?,
        }))
    })();
    (
        Notation::Modbus { unit: unit.unwrap_or(1), numbering, order, order_wanted_by: RefCell::default() },
        poll,
        protocol,
    )
}

fn tcp(r: &mut Reader<'_>, kind: Kind) -> Option<ModbusTransport> {
    let host = r.need("host", "\"192.168.10.31\"").and_then(|f| f.text());
    let port = r.get("port").map_or(Some(502), |f| f.whole(1, 65_535)).map(|p| p as u16);
    let (host, port) = (host?.to_owned(), port?);
    Some(if kind == Kind::ModbusTcp {
        ModbusTransport::Tcp { host, port }
    } else {
        ModbusTransport::RtuOverTcp { host, port }
    })
}

const BAUDS: [u32; 9] = [1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200, 230_400];

fn serial(r: &mut Reader<'_>) -> Option<ModbusTransport> {
    let device = r.need("device", "\"/dev/ttyUSB0\"").and_then(|f| f.text());
    let baud = r.need("baud", "19200").and_then(|f| {
        let baud = f.whole(0, u32::MAX)?;
        if !BAUDS.contains(&baud) {
            f.error(Problem::new(format!("found {baud}")).allowed(BAUDS.map(|b| b.to_string()).join(", ")));
            return None;
        }
        Some(baud)
    });
    let parities = [("none", Parity::None), ("even", Parity::Even), ("odd", Parity::Odd)];
    let parity = r.get("parity").map_or(Some(Parity::Even), |f| f.choice(&parities));
    // Modbus over serial line 1.02, section 2.5.1: 11 bits per character, so two stop bits without parity.
    let default = if parity == Some(Parity::None) { 2 } else { 1 };
    let stop_bits = r.get("stop_bits").map_or(Some(default), |f| f.whole(1, 2));
    Some(ModbusTransport::Rtu { device: device?.into(), baud: baud?, parity: parity?, stop_bits: stop_bits? as u8 })
}
