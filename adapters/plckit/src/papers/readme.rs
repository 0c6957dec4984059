//! README.md of a kit: what the files are, what to connect, and by which rule every setting was derived.

use std::fmt::Write as _;

use flyball_config::duration_words;

use crate::papers::{connection, identity, table, written_connections};
use crate::plan::Plan;
use crate::time::literal;

/// The whole README.
pub fn text(plan: &Plan<'_>) -> String {
    let mut out = format!("# PLC kit of {}\n\n", plan.config.app.name);
    identity(&mut out, plan);
    out += "\nWritten by `flyball plc-kit` from the configuration that flyball runs. Do not edit these files: change the configuration, have it\n\
            approved, and write the kit anew. The signature changes with every change of the configuration, its tag sheets or its models.\n\n";
    files(&mut out, plan);
    if plan.link.is_some() {
        steps(&mut out, plan);
        connect(&mut out, plan);
        settings(&mut out, plan);
    } else {
        out += "\n## Nothing to build in the PLC\n\n\
                The configuration has no `[handshake]`: flyball reads and predicts, and never leaves ADVISORY. The PLC only has to offer the\n\
                values in the lists, for reading.\n";
    }
    out += "\n## What has been checked\n\n\
            In flyball's own tests an independent parser reads the structured text, and the blocks run beside a second implementation through\n\
            random scenarios, with the same outputs in every scan. No vendor's compiler has seen it: compile it, read the warnings, and go\n\
            through `COMMISSIONING.md` on the real PLC.\n";
    out
}

fn files(out: &mut String, plan: &Plan<'_>) {
    *out += "## Files\n\n";
    let mut rows = vec![
        ("COMMISSIONING.md".to_owned(), "checklist with the expected values"),
        ("tags.csv".to_owned(), "every value that is exchanged: direction, type, unit, range, address"),
    ];
    let uses = |protocol: fn(&flyball_config::Address) -> bool| plan.cells.iter().any(|c| protocol(c.address));
    if uses(|a| matches!(a, flyball_config::Address::OpcUa(_))) {
        rows.push(("opcua_map.csv".to_owned(), "nodes, their data types, and the right that flyball's user needs"));
    }
    if uses(|a| matches!(a, flyball_config::Address::Modbus(_))) {
        rows.push(("modbus_map.csv".to_owned(), "registers, types, word order, functions"));
    }
    rows.push((format!("ST/{}.st", plan.type_name()), "structure of all cells"));
    if plan.link.is_some() {
        rows.push(("ST/FB_ApcLink.st".to_owned(), "block: heartbeats, permits, shed; with the types it exchanges"));
        if !plan.mvs.is_empty() {
            rows.push(("ST/FB_ApcSp.st".to_owned(), "block: takes or refuses one setpoint, limits, ramps"));
        }
        rows.push((
            format!("ST/{}.st", plan.program_name()),
            "calls the blocks with the settings of this configuration",
        ));
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(file, what)| vec![format!("`{file}`"), what.to_owned()]).collect();
    table(out, &["File", "What"], &rows);
}

fn steps(out: &mut String, plan: &Plan<'_>) {
    let (types, program) = (plan.type_name(), plan.program_name());
    let task = duration_words(plan.task);
    let _ = write!(
        out,
        "\n## Steps\n\n\
         1. Import, in this order: `FB_ApcLink`, {}`{types}`, `{program}`.\n\
         2. Call `{program}` in one cyclic task of {task}. For another cycle write the kit anew with `--task`, or set `rDt`: a wrong `rDt`\n   \
         makes every ramp wrong by the same factor.\n\
         3. Connect the variables of the next section.\n\
         4. Offer `Apc` to flyball as the lists say, and nothing else for writing:\n",
        if plan.mvs.is_empty() { "" } else { "`FB_ApcSp`, " }
    );
    for id in written_connections(plan) {
        let _ = writeln!(
            out,
            "   * {}: write access to {} and to nothing else.",
            connection(plan, id),
            writable(plan, id).join(", ")
        );
    }
    *out += "5. Work through `COMMISSIONING.md`.\n";
    if plan.mvs.iter().any(|m| Some(plan.config.outputs[m.mv.write.index()].connection) != plan.link_connection()) {
        *out += "\n**More than one PLC.** Some setpoints are on another connection than the handshake. Call their FB_ApcSp in their own PLC, and carry\n\
                 `xClosedLoop` there over a link that goes to FALSE when it is lost.\n";
    }
}

/// Members that flyball writes on a connection.
fn writable(plan: &Plan<'_>, id: flyball_config::ConnectionId) -> Vec<String> {
    let written = plan.cells.iter().filter(|c| c.connection == id && c.writer != crate::plan::Writer::Plc);
    let mut names: Vec<String> = written
        .map(|c| if c.member.starts_with("FromApp.") { "`FromApp`".to_owned() } else { format!("`{}`", c.member) })
        .collect();
    names.dedup();
    names
}

fn connect(out: &mut String, plan: &Plan<'_>) {
    *out += "\n## What to connect\n\n";
    let mut rows = vec![
        vec!["`xOperEnable`".to_owned(), "from the operator display: APC on".to_owned()],
        vec![
            "`xPermit`".to_owned(),
            "from the interlocks: TRUE while the unit runs, nothing has tripped, no change of grade".to_owned(),
        ],
    ];
    for m in &plan.mvs {
        let (id, text, unit) = (&m.id, &m.mv.text, m.mv.unit);
        rows.push(vec![format!("`x{id}Enable`"), format!("from the operator display: {} may be moved", m.mv.name)]);
        rows.push(vec![format!("`x{id}LoopReady`"), "from the PID: AUTO, does not track, PV good".to_owned()]);
        rows.push(vec![
            format!("`r{id}SpLocal`"),
            format!("the operator's setpoint of {text}, {unit}; a number at all times, retained over a restart"),
        ]);
        if let (Some(lo), Some(hi)) = (&m.members.op_lo, &m.members.op_hi) {
            rows.push(vec![
                format!("`Apc.{lo}`, `Apc.{hi}`"),
                format!("operator limits, from the operator display, {unit}"),
            ]);
        }
        rows.push(vec![format!("`fb{id}.rSpOut`"), format!("**to** the setpoint of the PID: {text}")]);
        rows.push(vec![
            format!("`fb{id}.iReject`"),
            "**to** the operator display: why the last value was refused".to_owned(),
        ]);
    }
    table(out, &["Variable", "From or to"], &rows);
    *out += "\nNothing else is retained over a restart: the PLC begins with an open loop.\n";
}

fn settings(out: &mut String, plan: &Plan<'_>) {
    *out += "\n## Where the settings come from\n\n\
             The blocks shall let pass what flyball does by its configuration, and not much more.\n\n";
    let Some(link) = &plan.link else { return };
    let signature = if link.signature == 0 { "0, any".to_owned() } else { format!("16#{:08X}", link.signature) };
    let mut rows = vec![
        [
            "tHbTimeout".into(),
            literal(link.hb_timeout),
            "`lost_after` of `[handshake]`: both sides wait for as long".into(),
        ],
        ["tHealthy".into(), literal(link.healthy), "3 cycles of flyball, at least 10 s".into()],
        ["udiSigOk".into(), signature, "signature of this configuration, when `signature_out` is in the file".into()],
    ];
    for m in &plan.mvs {
        let (id, unit) = (&m.id, m.mv.unit);
        let limits = format!("{} to {} {unit}", m.mv.limits.low, m.mv.limits.high);
        rows.push([format!("r{id}EngLo, EngHi"), limits, "`limits`; the PLC's own copy counts".into()]);
        let rates = format!("{} / {} {unit} per s", m.rate_up, m.rate_down);
        rows.push([
            format!("r{id}RateUp / RateDn"),
            rates,
            "a whole `move` in half of `verify.by`; at least 8 steps of REAL per cycle".into(),
        ]);
        rows.push([format!("r{id}MaxJump"), format!("{} {unit}", m.jump), "two of the larger `move`".into()]);
        let timeout = literal(m.data_timeout);
        rows.push([
            format!("t{id}DataTimeout"),
            timeout,
            "3 times `refresh`, at least 60 s: two repetitions may be lost".into(),
        ]);
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|r| r.to_vec()).collect();
    table(out, &["Setting", "Value", "Rule"], &rows);
}
