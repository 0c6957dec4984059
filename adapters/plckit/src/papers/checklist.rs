//! COMMISSIONING.md: what to try on the real PLC, in which order, and what must be seen. Every number is from the configuration.

use std::fmt::Write as _;

use flyball_config::{HighestMode, duration_words};

use crate::papers::{identity, table};
use crate::plan::{LinkPlan, MvPlan, Plan};
use crate::program::range_words;
use crate::time::{literal, three_digits};

/// The clamp test moves a limit by what the ramp covers in this time, s.
const CLAMP_TEST_S: f64 = 10.0;

/// Steps of the list, numbered within their section.
struct Steps {
    section: char,
    rows: Vec<Vec<String>>,
}

impl Steps {
    fn new(section: char) -> Self {
        Self { section, rows: Vec::new() }
    }

    fn step(&mut self, action: impl Into<String>, expected: impl Into<String>) {
        let number = format!("{}{}", self.section, self.rows.len() + 1);
        self.rows.push(vec![number, action.into(), expected.into(), "[ ]".into(), String::new()]);
    }

    fn write(&self, out: &mut String, title: &str, about: &str) {
        let _ = write!(out, "\n## {}. {title}\n\n{about}\n\n", self.section);
        table(out, &["No.", "Do", "Expected", "OK", "Seen, initials"], &self.rows);
    }
}

/// The whole checklist.
pub fn text(plan: &Plan<'_>) -> String {
    let mut out = format!("# Commissioning of {}\n\n", plan.config.app.name);
    identity(&mut out, plan);
    out += "\nPLC and program version: ____________________  Date: ____________  Names: ____________________________________\n\n\
            Go from top to bottom. A step that fails stops the list: mend the cause, then begin its section again. Until section D nothing\n\
            moves a setpoint; from there on an operator who knows of the test sits at the display.\n";
    values(&mut out, plan);
    let Some(link) = &plan.link else {
        out += "\nThe configuration has no `[handshake]`: flyball writes nothing, and there is nothing more to try.\n";
        return out;
    };
    blocks(&mut out, plan);
    heartbeat(&mut out, plan, link);
    if plan.config.app.highest_mode == HighestMode::Advisory {
        out += "\n`highest_mode` is \"advisory\": flyball never writes a setpoint. The list ends here.\n";
        return out;
    }
    closing(&mut out, plan, link);
    sheds(&mut out, plan, link);
    out += "\n## Signatures\n\n";
    let rows: Vec<Vec<String>> = ["Process control", "PLC engineer", "Production"]
        .map(|who| vec![who.to_owned(), String::new(), String::new()])
        .to_vec();
    table(&mut out, &["For", "Name", "Date and signature       "], &rows);
    out
}

fn values(out: &mut String, plan: &Plan<'_>) {
    let mut a = Steps::new('A');
    a.step("`flyball check FILE`", format!("no error; signature {:#010x}", plan.config.signature));
    a.step("Compare limits and moves with the process engineer, initial each line of the table below", "no difference");
    a.step(
        "`flyball run FILE --read-only` (it cannot write)",
        format!("every one of the {} values that it reads is Good, and equals the display of the PLC", reads(plan)),
    );
    if plan.cells.iter().any(|c| c.process && c.unit.symbol() != "1") {
        a.step("For one value of each unit: compare with the field instrument", "same number, same unit");
    }
    a.write(out, "Values", "PLC in RUN, flyball not writing.");
    if !plan.mvs.is_empty() {
        *out += "\n";
        let rows: Vec<Vec<String>> = plan.mvs.iter().map(mv_row).collect();
        let header = [
            "MV",
            "Setpoint",
            "Engineering limits",
            "Move up / down",
            "Deadband",
            "PLC ramp up / down, per s",
            "Jump refused",
            "Time-out",
            "Initials",
        ];
        table(out, &header, &rows);
    }
}

fn reads(plan: &Plan<'_>) -> usize {
    plan.config.tags.len()
}

fn mv_row(m: &MvPlan<'_>) -> Vec<String> {
    let mv = m.mv;
    vec![
        mv.name.clone(),
        mv.text.clone(),
        range_words(Some(mv.limits), mv.unit),
        format!("{} / {} {} per {}", mv.move_up, mv.move_down, mv.unit, duration_words(mv.move_per)),
        format!("{} {}", mv.deadband, mv.unit),
        format!("{} / {} {}", m.rate_up, m.rate_down, mv.unit),
        format!("above {} {}", m.jump, mv.unit),
        literal(m.data_timeout),
        String::new(),
    ]
}

fn blocks(out: &mut String, plan: &Plan<'_>) {
    let mut b = Steps::new('B');
    let task = duration_words(plan.task);
    b.step("Measure the cycle of the task that calls the program", format!("{task}, as `rDt` says"));
    b.step("Watch `Apc.ToApp.uiHb`", "+1 per 1 s and at most two cycles of the task");
    b.step("`xOperEnable` FALSE, then TRUE, with `xPermit` TRUE", "`iModeReq` 1, then 2; `xClosedLoop` stays FALSE");
    b.step("`xPermit` FALSE", "`iModeReq` 1");
    for m in &plan.mvs {
        mv_refusals(&mut b, m);
    }
    b.write(
        out,
        "Blocks alone",
        "flyball is stopped. Values are typed into `Apc` with the programming tool. The loop is open, so no setpoint moves; the blocks judge all the\nsame. \
         `seq + 1` means: after the value, write the sequence one higher.",
    );
}

fn mv_refusals(b: &mut Steps, m: &MvPlan<'_>) {
    let (id, mv, sp, seq) = (&m.id, m.mv, &m.members.sp, &m.members.seq);
    let (low, high) = (mv.limits.low, mv.limits.high);
    let unit = mv.unit.symbol();
    let valid = m.members.valid.as_ref().map_or_else(String::new, |v| format!(", `Apc.{v}` TRUE"));
    let start = three_digits_inside((low + high) / 2.0, low, high);
    b.step(
        format!("`r{id}SpLocal` {start}{valid}; `Apc.{sp}` {start}, seq + 1"),
        format!("`fb{id}.iReject` 0, `uiSeqAck` = `Apc.{seq}`, `rSpOut` {start} {unit}"),
    );
    let beyond = high + three_digits((high - low) / 100.0);
    b.step(
        format!("`Apc.{sp}` {beyond} (above {high} {unit}), seq + 1"),
        format!("`fb{id}.iReject` 3, `uiSeqAck` as before"),
    );
    let beyond = low - three_digits((high - low) / 100.0);
    b.step(
        format!("`Apc.{sp}` {beyond} (below {low} {unit}), seq + 1"),
        format!("`fb{id}.iReject` 3, `uiSeqAck` as before"),
    );
    let far = start + m.jump * 1.5;
    if far <= high {
        let far = three_digits_inside(far, start + m.jump, high);
        b.step(
            format!("`Apc.{sp}` {far} (more than {} {unit} away), seq + 1", m.jump),
            format!("`fb{id}.iReject` 4, `uiSeqAck` as before"),
        );
    }
    if let Some(valid) = &m.members.valid {
        b.step(
            format!("`Apc.{valid}` FALSE, `Apc.{sp}` {start}, seq + 1"),
            format!("`fb{id}.iReject` 2, `uiSeqAck` as before"),
        );
    }
    if let (Some(lo), Some(hi)) = (&m.members.op_lo, &m.members.op_hi) {
        b.step(
            format!("`Apc.{lo}` above `Apc.{hi}`, then back"),
            format!("`fb{id}.iReject` 5, back at 0 with the next value that is accepted"),
        );
    }
}

/// A round number near `value` inside the range; `value` itself when rounding would leave it.
fn three_digits_inside(value: f64, low: f64, high: f64) -> f64 {
    let round = three_digits(value);
    if low < round && round <= high { round } else { value }
}

fn heartbeat(out: &mut String, plan: &Plan<'_>, link: &LinkPlan) {
    let timing = &plan.config.timing;
    let (cycle, timeout) = (duration_words(timing.cycle), duration_words(link.hb_timeout));
    let mut c = Steps::new('C');
    c.step("Start `flyball run FILE`", format!("`FromApp.uiHb` +1 every {cycle}; `FromApp.iMode` 1"));
    c.step(
        "Watch `Apc.ToApp.xLinkOk`",
        format!("TRUE after the third beat, about {}", duration_words(timing.cycle * 3)),
    );
    let handshake = plan.config.handshake.as_ref();
    if handshake.is_some_and(|h| h.echo_out.is_some()) {
        c.step("Compare `FromApp.uiHbEcho` with `ToApp.uiHb`", "follows with every scan of flyball");
    }
    if link.signature != 0 {
        c.step("Compare `FromApp.udiSig` with `udiSigOk`", format!("both 16#{:08X}", link.signature));
    }
    c.step("Freeze flyball: `kill -STOP` of the control process", format!("`xLinkOk` FALSE after {timeout}"));
    c.step("Let it go on: `kill -CONT`", "`xLinkOk` TRUE after three beats; flyball counts the scans that it missed");
    c.step(
        "PLC to STOP",
        format!("flyball says within {timeout} that the PLC's heartbeat is lost; it stays in ADVISORY"),
    );
    c.step("PLC to RUN", "flyball says that the PLC lives; nothing else happens");
    c.write(out, "Heartbeat, ADVISORY", "flyball runs and writes its handshake, no setpoints. `xOperEnable` is FALSE.");
}

fn closing(out: &mut String, plan: &Plan<'_>, link: &LinkPlan) {
    let timing = &plan.config.timing;
    let mut d = Steps::new('D');
    d.step(
        "`xPermit` TRUE, all loops in AUTO, then `xOperEnable` TRUE",
        format!(
            "`iModeReq` 2; not before {} in ADVISORY and {} cycles in time `FromApp.iMode` 2; `xClosedLoop` TRUE when the heartbeat has been \
             alive for {}",
            duration_words(timing.arm_after),
            timing.arm_cycles,
            duration_words(link.healthy)
        ),
    );
    for m in &plan.mvs {
        mv_moves(&mut d, m, plan);
    }
    d.write(out, "Closed loop", "The operator watches. Trend every setpoint, its read-back and its PV.");
}

fn mv_moves(d: &mut Steps, m: &MvPlan<'_>, plan: &Plan<'_>) {
    let (id, mv) = (&m.id, m.mv);
    let unit = mv.unit.symbol();
    let scan = three_digits(m.rate_up.max(m.rate_down) * plan.task.as_secs_f64());
    d.step(
        format!("{}: bumpless entry. Trend `fb{id}.rSpOut` while the loop closes", mv.name),
        format!(
            "`xInControl` TRUE without a step; the first value that flyball writes equals `rSpOut` within {} {unit}",
            mv.verify.within
        ),
    );
    d.step(
        format!("{}: wait for a move", mv.name),
        format!(
            "at most {} up, {} down {unit} in {}; `rSpOut` ramps, never more than {scan} {unit} per cycle of the task, and arrives within {}",
            mv.move_up,
            mv.move_down,
            duration_words(mv.move_per),
            duration_words(mv.verify.by)
        ),
    );
    if let Some(hi) = &m.members.op_hi {
        let distance = three_digits(m.rate_down * CLAMP_TEST_S);
        d.step(
            format!("{}: clamp. Set `Apc.{hi}` {distance} {unit} below `rSpOut`", mv.name),
            format!("`rSpOut` goes down by {} {unit} per s and stands at the limit after {CLAMP_TEST_S} s; `xLimHi` TRUE; flyball says \"held by\" the limit", m.rate_down),
        );
        d.step(format!("{}: set `Apc.{hi}` back", mv.name), "`xLimHi` FALSE with the next value; no step");
    }
    d.step(
        format!("{}: hand back. PID to MAN, type another setpoint, PID to AUTO", mv.name),
        format!("`xInControl` FALSE in the same cycle, `rSpOut` = `r{id}SpLocal`; the other MVs go on; back in AUTO it starts from the typed setpoint"),
    );
    d.step(
        format!("{}: dead calculation. Force `Apc.{}` to its present number", mv.name, m.members.seq),
        format!("after {} `xInControl` FALSE, `rSpOut` stays; `xClosedLoop` stays TRUE; flyball says \"not in control\". Remove the force, `x{id}Enable` FALSE and TRUE: in control again, unless flyball counted three writes that were not followed: then acknowledge there", duration_words(m.data_timeout)),
    );
}

fn sheds(out: &mut String, plan: &Plan<'_>, link: &LinkPlan) {
    let mut e = Steps::new('E');
    let timeout = duration_words(link.hb_timeout);
    let after = if link.returns {
        "closes again by itself when all is well (`return_after_shed = \"automatic\"`)"
    } else {
        "stays open until `xOperEnable` goes FALSE and TRUE again"
    };
    e.step(
        "Kill flyball's control process",
        format!("after {timeout} `xClosedLoop` FALSE, `iShedReason` 1, `uiShedCount` +1, every `rSpOut` unchanged"),
    );
    e.step("Start flyball again", format!("ADVISORY; the loop {after}"));
    e.step(
        "In closed loop: pull the network cable between flyball and the PLC",
        format!("as E1 after {timeout}; flyball leaves CLOSED LOOP and says why"),
    );
    e.step(
        "In closed loop: `xPermit` FALSE",
        "in the same cycle `xClosedLoop` FALSE, `iShedReason` 3, `uiShedCount` +1; flyball in ADVISORY",
    );
    e.step(
        "In closed loop: ask flyball for ADVISORY (SetMode 1)",
        "`FromApp.iMode` 1; `xClosedLoop` FALSE, `iShedReason` 2",
    );
    if link.signature != 0 {
        e.step(
            "In closed loop: set `udiSigOk` to another number",
            "`xClosedLoop` FALSE, `iShedReason` 4; back again afterwards",
        );
    }
    e.step(
        "In closed loop: `xOperEnable` FALSE",
        "`xClosedLoop` FALSE, `iShedReason` 5, `uiShedCount` as before, every `rSpOut` unchanged",
    );
    e.step(
        "In closed loop: PLC to STOP and RUN",
        "flyball says that the PLC was restarted and is in ADVISORY; the loop is open after the start",
    );
    let expected =
        format!("in every trend of this section no step above the ramp; {} setpoints were held", plan.mvs.len());
    e.step("Read the trends again", expected);
    e.write(out, "Shed tests", &format!("Close the loop before each step. After a shed it {after}."));
}
