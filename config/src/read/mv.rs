//! `[mv.*]`: manipulated variables, the setpoints of existing PLC loops, with the cells and signals of each.

use std::time::Duration;

use crate::model::{EuRange, Mv, MvId, OnBad, OutputKind, Scaling, Tag, TagId, TagRole, Verify};
use crate::quantity::{Problem, words};
use crate::read::optimiser::in_objective_units;
use crate::read::{Cx, TagDraft, Use, tag};
use crate::reader::{Field, Reader};
use crate::units::Unit;

/// An unchanged setpoint is written again after this long, when the file does not say: well inside the gate block's 60 s.
const REFRESH: Duration = Duration::from_secs(30);

/// Signals are judged by the handshake, not by a range: counters of 32 bits and any setpoint fit in here.
const SIGNAL_RANGE: EuRange = EuRange { low: -1e12, high: 1e12 };

/// Missed readings of a signal that are bridged, in cycles: one late packet must not take an MV out.
const SIGNAL_HOLD_CYCLES: u32 = 2;

/// A signal that is read: becomes a tag that is never substituted.
pub(crate) fn signal(field: &Field<'_>, name: &str, text: &str, unit: Unit, cx: &Cx) -> Option<TagId> {
    let (connection, address) = cx.address(field, field.text()?, name, Use::Value)?;
    let signal = Tag {
        name: name.to_owned(),
        text: text.to_owned(),
        connection,
        address,
        role: TagRole::Signal,
        unit,
        scaling: Scaling::None,
        range: SIGNAL_RANGE,
        plausible: None,
        max_rate_per_s: None,
        frozen: None,
        stale_after: cx.stale_after,
        hold: cx.cycle.unwrap_or_default() * SIGNAL_HOLD_CYCLES,
        on_bad: OnBad::Bad,
        invalid_marks: Vec::new(),
        sampled_at: None,
        good_when: None,
    };
    let mut tags = cx.tags.borrow_mut();
    let location = field.place.location(&field.node.span);
    tags.push(TagDraft { name: name.to_owned(), location, tag: Some(signal) });
    Some(TagId(tags.len() as u32 - 1))
}

/// Reads one `[mv.*]`.
/// `objective_unit` is that of the optimiser, if there is one.
pub(crate) fn read(name: &str, id: MvId, mut r: Reader<'_>, cx: &Cx, objective_unit: Option<&str>) -> Option<Mv> {
    let text = r.need("text", "\"which setpoint it is\"").and_then(|f| f.text());
    let unit = r.need("unit", "\"l/h\"").and_then(|f| tag::unit(&f));
    // A broken unit is reported once; its quantities are then read as plain signals.
    let eu = unit.unwrap_or(Unit::ONE);
    const LIKE: &str = "'plc1: nsu=...;s=...'";

    let write = r.need("write", LIKE).and_then(|f| cx.output(&f, &format!("{name}.write"), OutputKind::Setpoint(id)));
    let valid = r.get("valid").and_then(|f| cx.output(&f, &format!("{name}.valid"), OutputKind::SetpointValid(id)));
    let sequence = r.need("seq", LIKE).and_then(|f| cx.output(&f, &format!("{name}.seq"), OutputKind::Sequence(id)));

    let read = |f: Option<Field<'_>>, signal_name: &str, text: &str, unit| {
        f.and_then(|f| signal(&f, &format!("{name}.{signal_name}"), text, unit, cx))
    };
    let readback = read(r.need("readback", LIKE), "readback", "Setpoint that the loop uses", eu);
    let in_control = read(r.need("accepted", LIKE), "accepted", "The runtime is in control of this loop", Unit::ONE);
    let ack = read(r.get("ack"), "ack", "Last accepted sequence number", Unit::ONE);
    let limited_high = read(r.get("limited_high"), "limited_high", "PLC clamps at the high limit", Unit::ONE);
    let limited_low = read(r.get("limited_low"), "limited_low", "PLC clamps at the low limit", Unit::ONE);
    let (mut operator_low, mut operator_high) = (None, None);
    if let Some(field) = r.get("operator_limits") {
        match field.list().as_deref() {
            Some([low, high]) => {
                operator_low = read(Some(low.clone()), "operator_low", "Operator limit, low", eu);
                operator_high = read(Some(high.clone()), "operator_high", "Operator limit, high", eu);
            }
            Some(list) => {
                field.error(Problem::new(format!("found {} addresses", list.len())).allowed("two: [low, high]"))
            }
            None => {}
        }
    }

    let limits = r.need("limits", "[80, 200]").and_then(|f| f.range());
    let moves = r.need("move", &format!("{{ up = \"2 {eu}\", down = \"4 {eu}\", per = \"30 s\" }}"));
    let moves = moves.and_then(|f| f.table("mv.*.move")).and_then(|m| moves_of(m, unit, limits));
    let deadband_field = r.need("deadband", &format!("\"0.1 {eu}\""));
    let deadband = deadband_field.as_ref().zip(unit).and_then(|(f, unit)| f.amount_from_zero(unit));
    if let (Some(field), Some(deadband), Some((up, down, per))) = (&deadband_field, deadband, moves) {
        let smallest = up.min(down);
        if deadband >= smallest {
            let found = format!(
                "move {smallest} {eu} per {} but deadband {deadband} {eu}: the setpoint would never move",
                words(per)
            );
            field.error(Problem::new(found).allowed(format!("a deadband below {smallest} {eu}")));
        }
    }
    let refresh = r.get("refresh").map_or(Some(REFRESH), |f| f.duration());
    let verify = r.need("verify", &format!("{{ within = \"0.1 {eu}\", by = \"3 s\" }}"));
    let verify = verify.and_then(|f| f.table("mv.*.verify")).and_then(|v| verify_of(v, unit, cx));
    let travel = r.get("travel_per_hour");
    let travel_per_hour = travel.as_ref().zip(unit).and_then(|(f, unit)| f.amount_above_zero(unit));
    if let (Some(field), Some(travel), Some((up, down, _))) = (&travel, travel_per_hour, moves)
        && travel < up.max(down)
    {
        let problem = Problem::new(format!("found {travel} {eu}"));
        field.error(problem.allowed(format!("at least one move, {} {eu}", up.max(down))));
    }
    let move_cost = match (r.get("move_cost"), objective_unit) {
        (Some(f), Some(unit)) => in_objective_units(&f, unit),
        _ => Some(0.0),
    };
    // There is one policy; the key exists so that a reader of the file sees it.
    r.get("on_shed").and_then(|f| f.choice(&[("hold", ())]));
    let critical = r.get("critical").map_or(Some(false), |f| f.boolean());

    let (move_up, move_down, move_per) = moves?;
    Some(Mv {
        name: name.to_owned(),
        text: text?.to_owned(),
        unit: unit?,
        limits: limits?,
        write: write?,
        sequence: sequence?,
        valid,
        readback: readback?,
        in_control: in_control?,
        ack,
        operator_low,
        operator_high,
        limited_high,
        limited_low,
        move_up,
        move_down,
        move_per,
        deadband: deadband?,
        refresh: refresh?,
        verify: verify?,
        travel_per_hour,
        move_cost: move_cost?,
        critical: critical?,
    })
}

fn moves_of(mut r: Reader<'_>, unit: Option<Unit>, limits: Option<EuRange>) -> Option<(f64, f64, Duration)> {
    let mut step = |key| {
        let field = r.need(key, "\"2 l/h\"")?;
        let step = field.amount_above_zero(unit?)?;
        if let Some(limits) = limits.filter(|l| step > l.span()) {
            let allowed = format!("at most the distance of the limits, {}", limits.span());
            field.error(Problem::new(format!("found a move of {step}")).allowed(allowed));
        }
        Some(step)
    };
    let (up, down) = (step("up"), step("down"));
    let per = r.need("per", "\"30 s\"").and_then(|f| f.duration());
    Some((up?, down?, per?))
}

fn verify_of(mut r: Reader<'_>, unit: Option<Unit>, cx: &Cx) -> Option<Verify> {
    let within = r.need("within", "\"0.1 <unit>\"").zip(unit).and_then(|(f, unit)| f.amount_above_zero(unit));
    let by = r.need("by", "\"3 s\"").and_then(|f| {
        let by = f.duration()?;
        if let Some(cycle) = cx.cycle.filter(|c| by < *c) {
            let allowed = format!("at least one cycle, {}", words(cycle));
            f.error(
                Problem::new(format!("found {}", words(by)))
                    .allowed(allowed)
                    .help("The read-back cannot be seen earlier."),
            );
        }
        Some(by)
    });
    Some(Verify { within: within?, by: by? })
}
