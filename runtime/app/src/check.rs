//! Why: `flyball check FILE`: everything that is wrong with a file at once, then what was understood, to be read beside the P&ID.
//!
//! Connects to nothing. The summary prints wire addresses, because that is what a controls engineer compares with the PLC.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use flyball_config::{
    Address, BackOff, Config, Connection, ConnectionId, Cv, Diagnostic, Diagnostics, Direction, EuRange, HighestMode,
    InputSource, Loaded, ModbusTransport, Model, ModelRole, Mv, OpcUaAddress, Protocol, SecurityMode, Severity,
    StartMode, TagRole, ValueSource, duration_words, load,
};

use crate::cli::Check;
use crate::clock::SystemClock;

/// Carries out the command. Returns the exit code: 0 good, 1 warnings, 2 errors.
#[must_use]
pub fn run(arguments: &Check) -> u8 {
    let loaded = load(&arguments.file);
    let mut findings = loaded.diagnostics.clone();
    if let Some(config) = &loaded.config {
        check_models(config, &loaded, &mut findings);
    }
    let text = if arguments.json { findings.to_json() + "\n" } else { report(loaded.config.as_ref(), &findings) };
    // A reader that has seen enough (`| head`) closes the pipe; that is no error of the file.
    let _ = std::io::stdout().write_all(text.as_bytes());
    findings.exit_code()
}

/// Findings with their lines, then what was understood.
fn report(config: Option<&Config>, findings: &Diagnostics) -> String {
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut text = findings.render(color);
    match config.filter(|_| findings.errors() == 0) {
        Some(config) => text += &summary(config),
        None => {
            text +=
                &format!("Nothing was started. Correct the {} and check again.\n", count(findings.errors(), "error"))
        }
    }
    if findings.exit_code() == 1 {
        text += &format!("\n{}; it can run, but somebody should look.\n", count(findings.warnings(), "warning"));
    }
    text
}

/// Loads every model as `run` would, on this machine: hash, contract, golden vectors, time within its budget.
fn check_models(config: &Config, loaded: &Loaded, findings: &mut Diagnostics) {
    let clock = SystemClock::start(1);
    for model in &config.models {
        let at = |key: &str| loaded.at(&format!("model.{}{key}", model.name));
        let sources = flyball_models::sources_of(config, model);
        match flyball_models::load_model(model, &sources, config.timing.stage_budget.predict, &clock) {
            Ok(good) => good.warnings.into_iter().for_each(|found| {
                findings.push(Diagnostic {
                    severity: Severity::Warning,
                    location: at(""),
                    subject: format!("model {}", model.name),
                    found,
                    allowed: None,
                    help: None,
                });
            }),
            Err(e) => findings.push(Diagnostic {
                severity: Severity::Error,
                location: at(".file"),
                subject: format!("model {}", model.name),
                found: e.found,
                allowed: Some(e.allowed),
                help: Some(e.next),
            }),
        }
    }
    findings.sort();
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// What was understood, for people.
#[must_use]
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_summary(&mut text, config);
    text
}

fn write_summary(out: &mut String, config: &Config) -> std::fmt::Result {
    let app = &config.app;
    writeln!(out, "{}  {}", app.name, app.description)?;
    let start = if app.start_mode == StartMode::Off { "OFF" } else { "ADVISORY" };
    let highest =
        if app.highest_mode == HighestMode::Advisory { "ADVISORY: it never writes a setpoint" } else { "CLOSED LOOP" };
    writeln!(out, "  starts in {start}, highest mode {highest}; signature {:#010x}", config.signature)?;
    write_timing(out, config)?;
    for (id, connection) in (0u32..).map(ConnectionId).zip(&config.connections) {
        write_connection(out, config, id, connection)?;
    }
    for model in &config.models {
        write_model(out, config, model)?;
    }
    if let Some(optimiser) = &config.optimiser {
        let verb = if optimiser.direction == Direction::Maximise { "maximise" } else { "minimise" };
        let (objective, unit) = (&optimiser.objective, &optimiser.objective_unit);
        writeln!(out, "\noptimiser, every {}: {verb} {objective} ({unit})", duration_words(optimiser.every))?;
        let prices: Vec<String> =
            optimiser.prices.iter().map(|p| format!("{} = {} {}", p.name, p.value, p.unit)).collect();
        if !prices.is_empty() {
            writeln!(out, "  prices: {}", prices.join(", "))?;
        }
    }
    if !config.mvs.is_empty() {
        writeln!(out, "\nmanipulated variables")?;
    }
    config.mvs.iter().try_for_each(|mv| write_mv(out, config, mv))?;
    if !config.cvs.is_empty() {
        writeln!(out, "\ncontrolled variables")?;
    }
    config.cvs.iter().try_for_each(|cv| write_cv(out, config, cv))?;
    match &config.handshake {
        Some(h) => writeln!(out, "\nhandshake: PLC heartbeat lost after {}", duration_words(h.lost_after))?,
        None => writeln!(out, "\nno handshake: it can never leave ADVISORY")?,
    }
    match &config.server {
        Some(server) => {
            let clear = server.security.iter().any(|s| s.mode == SecurityMode::None);
            let warning = if clear { ", CLEAR TEXT ALLOWED (lab switch)" } else { "" };
            writeln!(out, "OPC UA server: {}, {}{warning}", server.endpoint, count(server.users.len(), "user"))
        }
        None => writeln!(out, "no OPC UA server"),
    }
}

fn write_timing(out: &mut String, config: &Config) -> std::fmt::Result {
    let t = &config.timing;
    let b = &t.stage_budget;
    let stages = [
        ("read", b.read),
        ("condition", b.condition),
        ("predict", b.predict),
        ("optimise", b.optimise),
        ("guard", b.guard),
        ("write", b.write),
    ];
    let sum: Duration = stages.iter().map(|(_, d)| *d).sum();
    let list: Vec<String> = stages.iter().map(|(name, d)| format!("{name} {}", duration_words(*d))).collect();
    let (cycle, deadline) = (duration_words(t.cycle), duration_words(t.deadline));
    writeln!(out, "\ncycle {cycle}, deadline {deadline}; {} missed in a row shed to ADVISORY", t.shed_after)?;
    let margin = duration_words(t.deadline.saturating_sub(sum));
    writeln!(out, "  budgets: {}; together {}, margin {margin}", list.join(", "), duration_words(sum))
}

fn write_connection(out: &mut String, config: &Config, id: ConnectionId, connection: &Connection) -> std::fmt::Result {
    let place = match &connection.protocol {
        Protocol::OpcUa(o) => {
            let clear = if o.security.mode == SecurityMode::None { "no security" } else { "secured" };
            format!("OPC UA {}, {clear}", o.endpoint)
        }
        Protocol::Modbus(m) => match &m.transport {
            ModbusTransport::Tcp { host, port } => {
                format!("Modbus TCP {host}:{port}, polled every {}", duration_words(m.poll))
            }
            ModbusTransport::RtuOverTcp { host, port } => {
                format!("Modbus RTU over TCP {host}:{port}, polled every {}", duration_words(m.poll))
            }
            ModbusTransport::Rtu { device, baud, .. } => format!("Modbus RTU {} at {baud} baud", device.display()),
        },
    };
    writeln!(out, "\n{}: {place}, timeout {}", connection.name, duration_words(connection.timeout))?;
    // A namespace URI in every line hides what differs: it is said once and gets a letter.
    let addresses = config.tags.iter().filter(|t| t.connection == id).map(|t| &t.address);
    let addresses = addresses.chain(config.outputs.iter().filter(|o| o.connection == id).map(|o| &o.address));
    let namespaces: BTreeSet<&str> = addresses
        .filter_map(|a| match a {
            Address::OpcUa(OpcUaAddress::Node { namespace, .. }) => Some(namespace.as_str()),
            _ => None,
        })
        .collect();
    let named: Vec<(char, String)> = ('a'..='z').zip(namespaces.iter().map(|uri| format!("nsu={uri};"))).collect();
    for (letter, uri) in ('a'..='z').zip(&namespaces) {
        writeln!(out, "  namespace {letter} = {uri}")?;
    }
    let short =
        |text: String| named.iter().fold(text, |t, (letter, uri)| t.replace(uri.as_str(), &format!("{letter};")));
    for tag in config.tags.iter().filter(|t| t.connection == id) {
        let range = match tag.role {
            TagRole::Process => format!("{} {}", range(tag.range), tag.unit),
            TagRole::Signal => "signal".into(),
        };
        writeln!(out, "  reads  {:<24} {:<24} {}", tag.name, range, short(wire(&tag.address)))?;
    }
    for output in config.outputs.iter().filter(|o| o.connection == id) {
        let phase = if output.phase == flyball_config::WritePhase::Value { "first write" } else { "second write" };
        writeln!(out, "  writes {:<24} {:<24} {}", output.name, phase, short(wire_written(&output.address)))?;
    }
    Ok(())
}

/// An address as it goes over the wire when read.
fn wire(address: &Address) -> String {
    match address {
        Address::Modbus(m) => m.explain(),
        Address::OpcUa(o) => o.to_string(),
    }
}

/// An address as it goes over the wire when written: the read function of Modbus' explanation would mislead here.
fn wire_written(address: &Address) -> String {
    match address {
        Address::Modbus(m) => format!("{} ({m}), start {}, unit {}", m.notation(), m.start, m.unit),
        Address::OpcUa(o) => o.to_string(),
    }
}

fn range(r: EuRange) -> String {
    format!("{} to {}", r.low, r.high)
}

fn write_model(out: &mut String, config: &Config, model: &Model) -> std::fmt::Result {
    let role = if model.role == ModelRole::Map { "map of the optimiser" } else { "soft sensor" };
    writeln!(out, "\nmodel {} ({role}), every {}: {}", model.name, duration_words(model.every), model.file.display())?;
    if let Some(shadow) = &model.shadow {
        writeln!(out, "  shadow: {}, never used for control", shadow.file.display())?;
    }
    let source = |source: InputSource| match source {
        InputSource::Tag(tag) => config.tag(tag).name.clone(),
        InputSource::Age(tag) => format!("age of {}", config.tag(tag).name),
        InputSource::Mv(mv) => config.mvs.get(mv.index()).map_or_else(String::new, |m| format!("mv {}", m.name)),
        InputSource::Prediction(p) => format!("prediction {}", prediction_name(config, p)),
    };
    let inputs: Vec<String> = model
        .inputs
        .iter()
        .map(|i| {
            let delay = if i.delay.is_zero() { String::new() } else { format!(" {} ago", duration_words(i.delay)) };
            format!("{} = {}{delay}", i.name, source(i.source))
        })
        .collect();
    writeln!(out, "  in:  {}", inputs.join(", "))?;
    let outputs: Vec<String> =
        model.outputs.iter().map(|o| format!("{} {} {}", o.name, range(o.range), o.unit)).collect();
    writeln!(out, "  out: {}", outputs.join(", "))
}

fn prediction_name(config: &Config, id: flyball_config::PredictionId) -> String {
    let Some(at) = config.predictions.get(id.index()) else { return String::new() };
    let model = &config.models[at.model.index()];
    format!("{}.{}", model.name, model.outputs[at.output as usize].name)
}

fn write_mv(out: &mut String, config: &Config, mv: &Mv) -> std::fmt::Result {
    let unit = &mv.unit;
    writeln!(
        out,
        "  {:<12} {} {unit}, at most +{} / -{} {unit} per {}, deadband {} {unit}",
        mv.name,
        range(mv.limits),
        mv.move_up,
        mv.move_down,
        duration_words(mv.move_per),
        mv.deadband
    )?;
    let (write, readback) = (&config.outputs[mv.write.index()], config.tag(mv.readback));
    let place = &config.connections[write.connection.index()].name;
    writeln!(out, "  {:<12} {} to {place}, checked by {}", "", write.name, readback.name)
}

fn write_cv(out: &mut String, config: &Config, cv: &Cv) -> std::fmt::Result {
    let source = match cv.source {
        ValueSource::Tag(tag) => config.tag(tag).name.clone(),
        ValueSource::Prediction(p) => format!("prediction {}", prediction_name(config, p)),
    };
    let limit = match (cv.low, cv.high) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!(">= {low}"),
        (None, Some(high)) => format!("<= {high}"),
        (None, None) => "no limit".into(),
    };
    let critical = if cv.critical { ", critical" } else { "" };
    let unit = &cv.unit;
    let back_off = match cv.back_off {
        BackOff::Fixed(distance) => distance.to_string(),
        BackOff::HalfInterval => "half the interval".to_owned(),
    };
    writeln!(out, "  {:<12} {source} {limit} {unit}, back-off {back_off}, priority {}{critical}", cv.name, cv.priority)
}
