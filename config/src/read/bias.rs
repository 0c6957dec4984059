//! `[model.*.bias]`: which late samples correct a soft sensor, by how much, and which are refused.

use std::time::Duration;

use crate::bounds::{HISTORY_SCANS_MAX, SAMPLE_HISTORY_MAX, STEADY_RULES_MAX};
use crate::model::{Address, Bias, Confirm, ModelRole, Steady};
use crate::quantity::{self, Problem, words};
use crate::read::model::OutputDraft;
use crate::read::{Cx, no_such};
use crate::reader::{Field, Reader};
use crate::tree::{Value, shorten};
use crate::units::Unit;

/// A result that is older than this comes too late for anything (DeltaV lab entry: MAX_DELAY at most 24 h).
const OLDEST: Duration = Duration::from_secs(24 * 3600);
/// Standard errors beyond which a sample must be confirmed (domain guide 4.5).
const CONFIRM: Confirm = Confirm::Sigmas(4.0);

/// One table for the only output, or one table per output.
pub(crate) fn read(
    field: &Field<'_>,
    cx: &Cx,
    role: ModelRole,
    every: Option<Duration>,
    outputs: &[(&str, Option<OutputDraft>, Field<'_>)],
) -> Vec<(usize, Bias)> {
    let Value::Table(table) = &field.node.value else {
        field.table("model.*.bias");
        return Vec::new();
    };
    if role == ModelRole::Map {
        field.error(
            Problem::new("a map has no bias by samples").help("A map is matched to the plant: see match_plant."),
        );
        return Vec::new();
    }
    let unit = |i: usize| outputs.get(i).and_then(|(_, draft, _)| draft.as_ref()).map(|d| d.unit);
    if table.entry("with").is_some() || table.entries.iter().all(|e| !matches!(e.node.value, Value::Table(_))) {
        if outputs.len() > 1 {
            let all: Vec<&str> = outputs.iter().map(|(name, ..)| *name).collect();
            field.error(
                Problem::new("the model has several outputs")
                    .allowed(format!("one bias table per output: {}", all.join(", "))),
            );
            return Vec::new();
        }
        return field
            .table("model.*.bias")
            .and_then(|r| bias(r, cx, unit(0), every))
            .map(|b| (0, b))
            .into_iter()
            .collect();
    }
    let mut list = Vec::new();
    for entry in &table.entries {
        let named = Field {
            place: field.place,
            node: &entry.node,
            key_span: entry.key_span.clone(),
            subject: format!("{}, {}", field.subject, entry.key),
        };
        let Some(i) = outputs.iter().position(|(name, ..)| *name == entry.key) else {
            named.error(no_such("output", &entry.key, outputs.iter().map(|(name, ..)| *name)));
            continue;
        };
        list.extend(named.table("model.*.bias").and_then(|r| bias(r, cx, unit(i), every)).map(|b| (i, b)));
    }
    list
}

fn bias(mut r: Reader<'_>, cx: &Cx, unit: Option<Unit>, every: Option<Duration>) -> Option<Bias> {
    // A broken interval is reported where it stands.
    let every = every.unwrap_or(Duration::from_secs(1));
    let with = r.need("with", "\"AI-101\"").and_then(|f| {
        let id = cx.tag(&f, f.text()?)?;
        let (other, unseen) =
            cx.with_tag(id, |t| (t.unit, matches!(t.address, Address::Modbus(_)) && t.sampled_at.is_none()))?;
        if let Some(unit) = unit.filter(|u| *u != other) {
            f.error(Problem::new(format!("the tag is in {other}")).allowed(format!("the unit of the output, {unit}")));
        }
        if unseen {
            let help = "Add sampled_at to the tag, or the bias is worked out with the model's value of the wrong time.";
            f.warning(Problem::new("nobody says when the sample was taken").help(help));
        }
        Some(id)
    });
    let take = r.need("take", "\"30 %\"").and_then(|f| f.share());
    let mut amount = |key| r.need(key, "\"0.1 <unit>\"").zip(unit).and_then(|(f, unit)| f.amount_above_zero(unit));
    let (one_step, total) = (amount("one_step"), amount("total"));
    let youngest = r.get("youngest").map_or(Some(Duration::ZERO), |f| f.duration_or_zero());
    let oldest = oldest(r.get("oldest"), every);
    let expires = r.need("expires", "\"2 h\"").and_then(|f| f.duration());
    let confirm = r.get("confirm").map_or(Some(CONFIRM), |f| confirm(&f, unit?));
    let only_when = r.get("only_when").map_or(Some([None; STEADY_RULES_MAX]), |f| only_when(&f, cx, every));
    if let Some((one, all)) = one_step.zip(total).filter(|(one, all)| one > all) {
        r.error(Problem::new(format!("one_step is {one}")).allowed(format!("at most total, {all}")));
    }
    if let Some((young, old)) = youngest.zip(oldest).filter(|(young, old)| young >= old) {
        let problem = Problem::new(format!("youngest is {}", words(young)));
        r.error(problem.allowed(format!("less than oldest, {}", words(old))));
    }
    Some(Bias {
        with: with?,
        take: take?,
        one_step: one_step?,
        total: total?,
        youngest: youngest?,
        oldest: oldest?,
        expires: expires?,
        confirm: confirm?,
        only_when: only_when?,
    })
}

/// The prediction of every run up to the oldest sample is remembered: that has its bound.
fn oldest(field: Option<Field<'_>>, every: Duration) -> Option<Duration> {
    let longest = every * SAMPLE_HISTORY_MAX as u32;
    let Some(field) = field else { return Some(OLDEST.min(longest)) };
    let oldest = field.duration()?;
    if oldest > longest {
        let runs = oldest.as_nanos().div_ceil(every.as_nanos());
        let allowed = format!("at most {SAMPLE_HISTORY_MAX}, {}", words(longest));
        field.error(
            Problem::new(format!("{} are {runs} runs of the model", words(oldest)))
                .allowed(allowed)
                .help("Take a shorter time, or run the model less often."),
        );
        return None;
    }
    Some(oldest)
}

/// `"4 sigma"`, an amount, or `"never"`.
fn confirm(field: &Field<'_>, unit: Unit) -> Option<Confirm> {
    let allowed = || format!("\"4 sigma\", an amount as \"0.05 {unit}\", or \"never\"");
    let Value::Text(text) = &field.node.value else {
        field.error(Problem::new(format!("found {}", field.node.value.kind())).allowed(allowed()));
        return None;
    };
    if text.trim() == "never" {
        return Some(Confirm::Never);
    }
    let (number, word) = field.check(quantity::split(text).map_err(|p| p.allowed(allowed())))?;
    if word != "sigma" {
        let beyond = field.check(quantity::amount(text, unit).map_err(|p| p.allowed(allowed())))?;
        if beyond <= 0.0 {
            field.error(Problem::new(format!("found \"{}\"", shorten(text))).allowed(format!("more than 0 {unit}")));
            return None;
        }
        return Some(Confirm::Beyond(beyond));
    }
    if !(1.0..=100.0).contains(&number) {
        field.error(Problem::new(format!("found \"{}\"", shorten(text))).allowed("1 to 100 sigma"));
        return None;
    }
    Some(Confirm::Sigmas(number))
}

/// One rule or a list of them.
fn only_when(field: &Field<'_>, cx: &Cx, every: Duration) -> Option<[Option<Steady>; STEADY_RULES_MAX]> {
    let fields = if let Value::List(_) = field.node.value { field.list()? } else { vec![field.clone()] };
    if !(1..=STEADY_RULES_MAX).contains(&fields.len()) {
        let problem = Problem::new(format!("found {} rules", fields.len()));
        field.error(problem.allowed(format!("1 to {STEADY_RULES_MAX}")));
        return None;
    }
    let mut rules = [None; STEADY_RULES_MAX];
    for (rule, field) in rules.iter_mut().zip(&fields) {
        *rule = Some(steady(field, cx, every)?);
    }
    Some(rules)
}

/// `TI-101 within 1 degC for 5 min`.
fn steady(field: &Field<'_>, cx: &Cx, every: Duration) -> Option<Steady> {
    let text = field.text()?;
    let parts = text.split_once(" within ").and_then(|(tag, rest)| Some((tag, rest.rsplit_once(" for ")?)));
    let Some((name, (band, time))) = parts else {
        field.error(
            Problem::new(format!("found \"{}\"", shorten(text)))
                .allowed("a tag, how far it may move, and over which time, as \"TI-101 within 1 degC for 5 min\""),
        );
        return None;
    };
    let tag = cx.tag(field, name.trim())?;
    let unit = cx.with_tag(tag, |t| t.unit)?;
    let within = field.check(quantity::amount(band, unit))?;
    let during = field.check(quantity::duration(time))?;
    if within <= 0.0 {
        field.error(Problem::new(format!("found a band of {within} {unit}")).allowed(format!("more than 0 {unit}")));
        return None;
    }
    let longest = every * HISTORY_SCANS_MAX as u32;
    if during < every || during > longest {
        field.error(Problem::new(format!("found a time of {}", words(during))).allowed(format!(
            "{} to {}: one run of the model to {HISTORY_SCANS_MAX}",
            words(every),
            words(longest)
        )));
        return None;
    }
    Some(Steady { tag, within, during })
}
