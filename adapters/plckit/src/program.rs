//! Structured text that depends on the configuration: the structure of all cells, and the program that calls the blocks.

use std::fmt::Write as _;

use flyball_config::{EuRange, Scaling, Unit, WritePhase, duration_words};

use crate::names::comment;
use crate::plan::{Cell, LEASE_OWNER, LEASE_REQUEST, LinkPlan, MvPlan, Plan, Writer};
use crate::time::{literal, real};

/// Columns before a comment.
const CODE: usize = 44;

/// `code` and a comment in a column of their own.
pub fn line(out: &mut String, code: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = if text.is_empty() {
        writeln!(out, "    {code}")
    } else {
        writeln!(out, "    {code:<width$} (* {} *)", comment(text), width = CODE)
    };
}

fn declaration(member: &str, width: usize, kind: &str) -> String {
    format!("{member:<width$} : {kind};")
}

/// "80 to 200 l/h", "l/h" or nothing.
pub fn range_words(range: Option<EuRange>, unit: Unit) -> String {
    let unit = if unit == Unit::ONE { String::new() } else { unit.symbol().to_owned() };
    match range {
        Some(r) => format!("{} to {} {unit}", r.low, r.high).trim_end().to_owned(),
        None => unit,
    }
}

/// What the comment behind a cell says.
fn about(cell: &Cell<'_>, plan: &Plan<'_>) -> String {
    let writer = match cell.writer {
        Writer::Flyball(WritePhase::Value) => "written by flyball",
        Writer::Flyball(WritePhase::Commit) => "written by flyball, last",
        Writer::Plc => "",
    };
    let tag = plan.config.tag_named(cell.name).filter(|_| cell.process).map(|t| plan.config.tag(t));
    let scaling = tag.map_or_else(String::new, |t| scaling_words(t.scaling));
    let parts = [cell.text.clone(), range_words(cell.range, cell.unit), scaling, writer.to_owned()];
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("; ")
}

/// How a raw value becomes engineering units, empty when it is in them.
pub fn scaling_words(scaling: Scaling) -> String {
    match scaling {
        Scaling::None => String::new(),
        Scaling::Linear { factor, offset: 0.0 } => format!("raw value, times {factor}"),
        Scaling::Linear { factor, offset } => format!("raw value, times {factor} plus {offset}"),
        Scaling::SquareRoot { raw, eu } => {
            format!("raw value {} to {}, its root is {} to {}", raw.low, raw.high, eu.low, eu.high)
        }
    }
}

/// Head of a generated file.
fn head(plan: &Plan<'_>, what: &str) -> String {
    let app = &plan.config.app;
    let mut out = format!("(* {}\n\n", comment(what));
    let known = [("Application", &app.name), ("Purpose", &app.description), ("Change", &app.change_ref)];
    for (what, text) in known.into_iter().filter(|(_, text)| !text.is_empty()) {
        let _ = writeln!(out, "   {what}: {}", comment(text));
    }
    let _ = writeln!(
        out,
        "\n   Written by flyball plc-kit for the configuration with the signature 16#{:08X}.\n   Do not edit: change the configuration and \
         write the kit anew. *)\n",
        plan.config.signature
    );
    out
}

/// `ST/ST_Apc<APP>.st`.
pub fn types(plan: &Plan<'_>) -> String {
    let name = plan.type_name();
    let mut out = head(plan, &format!("{name}: every cell that flyball and the PLC exchange."));
    if plan.link.is_some() || !plan.mvs.is_empty() {
        let own: Vec<&Cell<'_>> = plan.cells.iter().filter(|c| !c.process && !c.member.contains('.')).collect();
        let width = width_of(own.iter().map(|c| c.member.as_str()).chain(["FromApp"]));
        let _ = writeln!(out, "TYPE {name} :\nSTRUCT");
        if plan.link.is_some() {
            line(&mut out, &declaration("FromApp", width, "APC_LINK_FROM_APP"), "written by flyball");
            line(&mut out, &declaration("ToApp", width, "APC_LINK_TO_APP"), "written by the PLC");
            for cell in own.iter().filter(|c| [LEASE_REQUEST, LEASE_OWNER].contains(&c.member.as_str())) {
                line(&mut out, &declaration(&cell.member, width, cell.st.word()), &about(cell, plan));
            }
        }
        for mv in &plan.mvs {
            let _ = writeln!(out, "\n    (* {}: {} *)", comment(&mv.mv.name), comment(&mv.mv.text));
            for cell in own.iter().filter(|c| mv.members.has(&c.member)) {
                line(&mut out, &declaration(&cell.member, width, cell.st.word()), &about(cell, plan));
            }
        }
        out += "END_STRUCT\nEND_TYPE\n\n";
    }
    let values: Vec<&Cell<'_>> = plan.cells.iter().filter(|c| c.process && plan.is_plc(c.connection)).collect();
    if !values.is_empty() {
        out += "(* The process values that flyball reads. They exist in the PLC, and the lists say where flyball looks for them; no program\n\
                \x20  needs this structure. It is for a PLC in which they shall stand in one place. *)\n";
        let width = width_of(values.iter().map(|c| c.member.as_str()));
        let _ = writeln!(out, "TYPE {name}Values :\nSTRUCT");
        for cell in values {
            line(&mut out, &declaration(&cell.member, width, cell.st.word()), &about(cell, plan));
        }
        out += "END_STRUCT\nEND_TYPE\n";
    }
    out
}

fn width_of<'n>(names: impl Iterator<Item = &'n str>) -> usize {
    names.map(str::len).max().unwrap_or(0)
}

/// `ST/PRG_Apc<APP>.st`. Empty when there is no handshake, and then nobody asks for it.
pub fn program(plan: &Plan<'_>) -> String {
    let Some(link) = &plan.link else { return String::new() };
    let name = plan.program_name();
    let mut out = head(plan, &format!("{name}: calls FB_ApcLink, and FB_ApcSp for every manipulated variable."));
    let _ = writeln!(out, "PROGRAM {name}");
    declare_inputs(&mut out, plan);
    declare_settings(&mut out, plan, link);
    declare_instances(&mut out, plan);
    if link.lease {
        let _ = write!(
            out,
            "\n(* Which instance may write? *)\nfbLease(uiHb := Apc.FromApp.uiHb, tHbTimeout := tHbTimeout, udiOwnerReq := Apc.{LEASE_REQUEST});\n\
             Apc.{LEASE_OWNER} := fbLease.udiOwner;\n"
        );
    }
    call_link(&mut out);
    for mv in &plan.mvs {
        call_mv(&mut out, mv);
    }
    out += "END_PROGRAM\n";
    out
}

fn declare_inputs(out: &mut String, plan: &Plan<'_>) {
    *out += "VAR                                              (* TO CONNECT: operator display, interlocks, slave loops *)\n";
    line(out, "xOperEnable : BOOL;", "operator: APC on");
    line(out, "xPermit : BOOL;", "interlocks: unit runs, no trip, no change of grade, ...");
    for MvPlan { id, mv, members, .. } in &plan.mvs {
        let unit = mv.unit.symbol();
        line(out, &format!("x{id}Enable : BOOL := TRUE;"), &format!("operator: {} may be moved", mv.name));
        line(out, &format!("x{id}LoopReady : BOOL;"), "its PID is in AUTO, does not track, and its PV is good");
        let wire = if members.op_lo.is_some() { "" } else { "; no operator limits in the configuration" };
        line(out, &format!("r{id}SpLocal : REAL;"), &format!("the operator's setpoint, {unit}{wire}"));
    }
    *out += "END_VAR\n";
}

fn declare_settings(out: &mut String, plan: &Plan<'_>, link: &LinkPlan) {
    *out += "VAR CONSTANT                                     (* settings, derived from the configuration *)\n";
    let seconds = real(plan.task.as_secs_f64());
    line(out, &format!("rDt : REAL := {seconds};"), "s; MUST be the cycle of the task that runs this program");
    let signature = link.signature;
    let code = format!("udiSigOk : UDINT := 16#{signature:08X};");
    line(out, &code, if signature == 0 { "no signature is written: any" } else { "approved signature; 0 = any" });
    line(out, &format!("tHbTimeout : TIME := {};", literal(link.hb_timeout)), "[handshake] lost_after");
    line(out, &format!("tHealthy : TIME := {};", literal(link.healthy)), "3 cycles of flyball, at least 10 s");
    let returns = if link.returns { "TRUE" } else { "FALSE" };
    line(out, &format!("xReturn : BOOL := {returns};"), "[handshake] return_after_shed");
    for plan in &plan.mvs {
        let MvPlan { id, mv, .. } = plan;
        let unit = mv.unit.symbol();
        let mut set = |what: &str, value: f64, text: String| {
            line(out, &format!("r{id}{what} : REAL := {};", real(value)), &text);
        };
        set("EngLo", mv.limits.low, format!("{unit}, engineering limit"));
        set("EngHi", mv.limits.high, format!("{unit}, engineering limit"));
        let by = duration_words(mv.verify.by);
        let why = |step: f64, raised: bool| match raised {
            true => format!("{unit} per s: the least that REAL resolves in one cycle"),
            false => format!("{unit} per s: {step} {unit} in half of {by}"),
        };
        set("RateUp", plan.rate_up, why(mv.move_up, plan.raised[0]));
        set("RateDn", plan.rate_down, why(mv.move_down, plan.raised[1]));
        set("MaxJump", plan.jump, format!("{unit}: two of the largest moves"));
        let code = format!("t{id}DataTimeout : TIME := {};", literal(plan.data_timeout));
        line(out, &code, &format!("flyball repeats itself every {}", duration_words(mv.refresh)));
    }
    *out += "END_VAR\n";
}

fn declare_instances(out: &mut String, plan: &Plan<'_>) {
    *out += "VAR\n";
    line(out, &format!("Apc : {};", plan.type_name()), "what flyball reads and writes");
    if plan.link.as_ref().is_some_and(|l| l.lease) {
        line(out, "fbLease : FB_ApcLease;", "one of several instances may write");
    }
    line(out, "fbLink : FB_ApcLink;", "");
    for MvPlan { id, mv, .. } in &plan.mvs {
        line(out, &format!("fb{id} : FB_ApcSp;"), &format!("rSpOut is the setpoint for the PID: {}", mv.text));
    }
    *out += "END_VAR\n";
}

fn call_link(out: &mut String) {
    *out += "\n(* May the loop be closed? *)\nfbLink(stApp := Apc.FromApp, xOperEnable := xOperEnable, xPermit := xPermit, udiSigOk := udiSigOk,\n    \
             tHbTimeout := tHbTimeout, tHealthy := tHealthy, xReturn := xReturn);\nApc.ToApp := fbLink.stPlc;\n";
}

fn call_mv(out: &mut String, plan: &MvPlan<'_>) {
    let MvPlan { id, mv, members: m, .. } = plan;
    let cell =
        |member: &Option<String>, without: &str| member.as_ref().map_or(without.to_owned(), |m| format!("Apc.{m}"));
    let (lo, hi) = (cell(&m.op_lo, &format!("r{id}EngLo")), cell(&m.op_hi, &format!("r{id}EngHi")));
    let valid = cell(&m.valid, "TRUE");
    let (sp, seq) = (&m.sp, &m.seq);
    let _ = write!(
        out,
        "\n(* {} *)\n\
         fb{id}(xClosedLoop := Apc.ToApp.xClosedLoop, xMvEnable := x{id}Enable, xLoopReady := x{id}LoopReady,\n    \
         rSpApp := Apc.{sp}, uiSeqApp := Apc.{seq}, xValidApp := {valid},\n    \
         rOpLo := {lo}, rOpHi := {hi}, rEngLo := r{id}EngLo, rEngHi := r{id}EngHi,\n    \
         rRateUp := r{id}RateUp, rRateDn := r{id}RateDn, rMaxJump := r{id}MaxJump, tDataTimeout := t{id}DataTimeout,\n    \
         rDt := rDt, xShedToFb := FALSE, rSpFallback := r{id}SpLocal, rSpLocal := r{id}SpLocal);\n",
        comment(&mv.text)
    );
    let outputs = [
        (Some(&m.sp_act), "rSpOut"),
        (Some(&m.in_control), "xInControl"),
        (m.ack.as_ref(), "uiSeqAck"),
        (m.lim_hi.as_ref(), "xLimHi"),
        (m.lim_lo.as_ref(), "xLimLo"),
    ];
    for (member, output) in outputs.into_iter().filter_map(|(m, o)| Some((m?, o))) {
        let _ = writeln!(out, "Apc.{member} := fb{id}.{output};");
    }
}
