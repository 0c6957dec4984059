//! Checks between things that are each right alone: registers that overlap, cells written twice, names taken twice.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Address, DataType, ModbusAddress, ModbusTable};
use crate::read::{Claim, TagDraft, Use};

/// Names of tags and signals are unique, ignoring case.
pub(crate) fn names(tags: &[TagDraft], report: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<String, &TagDraft> = BTreeMap::new();
    for tag in tags {
        let Some(first) = seen.insert(tag.name.to_ascii_lowercase(), tag) else { continue };
        // Two tables of one TOML file with the very same name are reported by the parser.
        report.push(Diagnostic {
            severity: Severity::Error,
            location: tag.location.clone(),
            subject: format!("tag {}", tag.name),
            found: format!(
                "the name is taken by '{}' at {}:{}",
                first.name,
                first.location.file.name,
                first.location.line()
            ),
            allowed: Some("names that differ in more than capitals".to_owned()),
            help: None,
        });
    }
}

/// No two values share a place, and nothing is written where something else is read or written.
pub(crate) fn addresses(claims: &[Claim], report: &mut Vec<Diagnostic>) {
    nodes(claims, report);
    registers(claims, report);
}

fn nodes(claims: &[Claim], report: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<(u32, String), &Claim> = BTreeMap::new();
    for claim in claims {
        let Address::OpcUa(node) = &claim.address else { continue };
        let Some(first) = seen.get(&(claim.connection.0, node.to_string())) else {
            seen.insert((claim.connection.0, node.to_string()), claim);
            continue;
        };
        if let Some(found) = quarrel(first, claim) {
            report.push(diagnostic(claim, format!("{found}, both at {node}")));
        }
    }
}

/// What is wrong when two claims share a place; None when they may.
fn quarrel(first: &Claim, second: &Claim) -> Option<String> {
    let (a, b) = (&first.what, &second.what);
    match (first.purpose, second.purpose) {
        (Use::Write, Use::Write) => Some(format!("{a} and {b} are written to the same place")),
        (Use::Write, _) => Some(format!("{b} reads what {a} writes")),
        (_, Use::Write) => Some(format!("{b} writes what {a} reads")),
        (Use::Value, Use::Value) => Some(format!("{a} and {b} read the same place")),
        _ => None,
    }
}

fn registers(claims: &[Claim], report: &mut Vec<Diagnostic>) {
    let mut sorted: Vec<(&Claim, &ModbusAddress)> = claims
        .iter()
        .filter_map(|c| match &c.address {
            Address::Modbus(a) => Some((c, a)),
            Address::OpcUa(_) => None,
        })
        .collect();
    let key = |c: &Claim, a: &ModbusAddress| (c.connection, a.unit, a.table, a.start);
    sorted.sort_by_key(|(c, a)| key(c, a));
    for (i, (first, a)) in sorted.iter().enumerate() {
        // Nothing is wider than four registers, so this looks at a few neighbours only; the rest of the same table is further on.
        for (second, b) in &sorted[i + 1..] {
            let same_table = first.connection == second.connection && a.unit == b.unit && a.table == b.table;
            if !same_table || u32::from(b.start) >= u32::from(a.start) + u32::from(a.width()) {
                break;
            }
            // Complain at the later line, about the earlier one.
            let order = first.location.span.start <= second.location.span.start;
            let (early, late) = if order { ((*first, *a), (*second, *b)) } else { ((*second, *b), (*first, *a)) };
            if let Some(found) = overlap(early, late) {
                report.push(diagnostic(late.0, found));
            }
        }
    }
}

fn overlap((first, a): (&Claim, &ModbusAddress), (second, b): (&Claim, &ModbusAddress)) -> Option<String> {
    let reads = first.purpose != Use::Write && second.purpose != Use::Write;
    let same = a.start == b.start && a.data == b.data && a.bit == b.bit;
    // Bits of one status register, and the register itself as a number, are read together.
    let status_word = |x: &ModbusAddress| x.bit.is_some() || matches!(x.data, DataType::Int16 | DataType::UInt16);
    if reads && !same && status_word(a) && status_word(b) && (a.bit.is_some() || b.bit.is_some()) {
        return None;
    }
    if same && quarrel(first, second).is_none() {
        return None;
    }
    let relation = if reads { "overlaps" } else { "is written or read over" };
    Some(format!("{} ({}) {relation} {} ({})", second.what, extent(b), first.what, extent(a)))
}

/// "40101 float32 uses registers 40101-40102".
fn extent(a: &ModbusAddress) -> String {
    let last = ModbusAddress { start: a.start.saturating_add(a.width() - 1), ..*a };
    let what = if matches!(a.table, ModbusTable::Coil | ModbusTable::DiscreteInput) { "bit" } else { "register" };
    if a.width() == 1 {
        return format!("{a} uses {what} {}", a.notation());
    }
    format!("{a} uses {what}s {}-{}", a.notation(), last.notation())
}

fn diagnostic(claim: &Claim, found: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        location: claim.location.clone(),
        subject: claim.what.clone(),
        found,
        allowed: Some("one place for one value".to_owned()),
        help: None,
    }
}
