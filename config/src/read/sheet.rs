//! CSV tag sheets: many tags from a spreadsheet, in any column order.
//!
//! A row becomes the same table as a `[tag.*]` of the TOML file, so that one reader and one set of rules judges both. Comma or
//! semicolon may separate the columns (spreadsheets of different countries write either); the decimal sign is always a point.

use std::ops::Range;
use std::sync::Arc;

use crate::address::Notation;
use crate::address_modbus::TYPES;
use crate::bounds::FILE_BYTES_MAX;
use crate::diagnostic::{Severity, SourceFile};
use crate::quantity::{Problem, duration, words};
use crate::read::Cx;
use crate::reader::{Field, Place, Sink};
use crate::suggest::did_you_mean;
use crate::tree::{Entry, Node, Table, Value, shorten};

/// Columns of a sheet.
pub(crate) const COLUMNS: [&str; 21] = [
    "name",
    "text",
    "connection",
    "address",
    "type",
    "unit",
    "range_low",
    "range_high",
    "ok_low",
    "ok_high",
    "max_rate_per_s",
    "frozen_band",
    "frozen_after",
    "stale_after",
    "scan",
    "access",
    "on_bad",
    "factor",
    "offset",
    "sampled_at",
    "good_when",
];

/// Columns that every sheet has.
const MANDATORY: [&str; 7] = ["name", "text", "connection", "address", "unit", "range_low", "range_high"];

/// A sheet as a list of tag tables.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub source: Arc<SourceFile>,
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    pub name: String,
    pub span: Range<usize>,
    pub node: Node,
}

/// Reads the file that `field` names. What is wrong with its rows is reported in the sheet.
pub(crate) fn read(field: &Field<'_>, cx: &Cx, sink: &Sink) -> Option<Sheet> {
    let name = field.text()?;
    let path = cx.path(name);
    let large = std::fs::metadata(&path).is_ok_and(|m| m.len() > FILE_BYTES_MAX);
    if large {
        field.error(Problem::new(format!("{name} is too large")).allowed(format!("at most {FILE_BYTES_MAX} bytes")));
        return None;
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let source = Arc::new(SourceFile { name: path.display().to_string(), text });
            let rows = rows(Place { sink, source: &source }, cx);
            Some(Sheet { source, rows })
        }
        Err(e) => {
            field.error(
                Problem::new(format!("{} cannot be read ({e})", path.display())).allowed("a text file in UTF-8"),
            );
            None
        }
    }
}

fn rows(place: Place<'_>, cx: &Cx) -> Vec<Row> {
    let text = place.source.text.as_str();
    let head = text.lines().find(|l| !l.starts_with('#')).unwrap_or("");
    let delimiter = if head.contains(';') && !head.contains(',') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .comment(Some(b'#'))
        .flexible(true)
        .trim(csv::Trim::All)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let header = match records.next() {
        Some(Ok(header)) => header,
        _ => {
            let problem = Problem::new("the sheet is empty").allowed(COLUMNS.join(","));
            place.report(Severity::Error, &(0..0), "tag sheet", problem);
            return Vec::new();
        }
    };
    let columns = columns(place, &header);
    let mut rows = Vec::new();
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                let at = e.position().map_or(0, |p| p.byte() as usize);
                place.report(
                    Severity::Error,
                    &(at..at),
                    "tag sheet",
                    Problem::new(format!("the row cannot be read ({e})")),
                );
                continue;
            }
        };
        let span = row_span(text, record.position().map_or(0, |p| p.byte() as usize));
        if record.iter().all(str::is_empty) {
            continue;
        }
        if record.len() != columns.len() {
            let found = format!("the row has {} cells", record.len());
            let problem = Problem::new(found).allowed(format!("{}, one per column", columns.len()));
            place.report(
                Severity::Error,
                &span,
                "tag sheet",
                problem.help("Put a text that contains the separator in quotes."),
            );
            continue;
        }
        rows.extend(row(place, &columns, &record, span, cx));
    }
    rows
}

/// The header: known columns, each once, the mandatory ones present.
fn columns(place: Place<'_>, header: &csv::StringRecord) -> Vec<Option<&'static str>> {
    let span = row_span(&place.source.text, header.position().map_or(0, |p| p.byte() as usize));
    let report = |problem| place.report(Severity::Error, &span, "tag sheet, columns", problem);
    let mut columns: Vec<Option<&'static str>> = Vec::new();
    for (i, cell) in header.iter().enumerate() {
        let cell = if i == 0 { cell.trim_start_matches('\u{feff}') } else { cell };
        let known = COLUMNS.iter().find(|c| **c == cell).copied();
        if known.is_none() {
            let help = did_you_mean(cell, COLUMNS);
            report(Problem::new(format!("unknown column '{}'", shorten(cell))).allowed(COLUMNS.join(", ")).help(help));
        } else if columns.contains(&known) {
            report(Problem::new(format!("column '{cell}' stands twice")).allowed("each column once"));
        }
        columns.push(known);
    }
    for name in MANDATORY.iter().filter(|m| !columns.contains(&Some(**m))) {
        report(Problem::new(format!("column '{name}' is missing")).allowed(MANDATORY.join(", ")));
    }
    columns
}

/// From the first character of the row to the end of its line.
fn row_span(text: &str, from: usize) -> Range<usize> {
    let mut start = from.min(text.len());
    loop {
        let rest = &text.as_bytes()[start..];
        match rest.first() {
            Some(b'\n' | b'\r') => start += 1,
            Some(b'#') => start += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            _ => break,
        }
    }
    let length = text.as_bytes()[start..].iter().position(|b| *b == b'\n').unwrap_or(text.len() - start);
    start..start + length
}

/// The cells of a row as the keys of a `[tag.*]`.
fn row(
    place: Place<'_>,
    columns: &[Option<&'static str>],
    record: &csv::StringRecord,
    span: Range<usize>,
    cx: &Cx,
) -> Option<Row> {
    let cells = Cells { columns, record, span: span.clone(), text: &place.source.text };
    let (name, name_span) = cells.get("name").unwrap_or_default();
    let subject = format!("tag {name}");
    let report = |span: &Range<usize>, key: &str, problem| {
        place.report(Severity::Error, span, &format!("{subject}, {key}"), problem)
    };
    if name.is_empty() {
        place.report(Severity::Error, &span, "tag sheet", Problem::new("a row without a name"));
        return None;
    }
    let mut table = Table::default();
    let mut add = |key: &str, span: Range<usize>, value: Value| {
        table.entries.push(Entry { key: key.to_owned(), key_span: span.clone(), node: Node { value, span } });
    };
    for key in ["text", "unit", "stale_after", "access", "on_bad", "sampled_at", "good_when"] {
        if let Some((cell, span)) = cells.get(key) {
            add(key, span, Value::Text(cell.to_owned()));
        }
    }
    let (connection, _) = cells.get("connection").unwrap_or_default();
    let home = cx.connections.iter().find(|c| c.name == connection);
    if let Some((kind, span)) =
        cells.get("type").filter(|(kind, _)| !TYPES.iter().any(|(name, _)| name == kind) && !kind.starts_with("bit "))
    {
        let help = did_you_mean(kind, TYPES.iter().map(|t| t.0));
        let problem =
            Problem::new(format!("found '{}'", shorten(kind))).allowed(TYPES.map(|t| t.0).join(", ")).help(help);
        report(&span, "type", problem);
    } else if let Some((address, span)) = cells.get("address") {
        let modbus = home.is_some_and(|c| matches!(c.notation, Notation::Modbus { .. }));
        let kind = cells.get("type").filter(|_| modbus).map_or_else(String::new, |(kind, _)| format!(" {kind}"));
        add("at", span, Value::Text(format!("{connection}: {address}{kind}")));
    }
    for (key, low, high) in [("range", "range_low", "range_high"), ("ok", "ok_low", "ok_high")] {
        let ends: Vec<Node> =
            [low, high].iter().filter_map(|c| cells.get(c)).map(|(cell, span)| number(cell, span)).collect();
        if let Some(first) = ends.first() {
            let span = first.span.start..ends.last().map_or(first.span.end, |n| n.span.end).max(first.span.end);
            add(key, span, Value::List(ends));
        }
    }
    let unit = cells.get("unit").map_or("1", |(unit, _)| unit);
    if let Some((rate, span)) = cells.get("max_rate_per_s") {
        add("max_rate", span, Value::Text(format!("{rate} {unit} per s")));
    }
    let parts = |parts: [(&str, &str); 2], with_unit: bool| -> Option<(Range<usize>, Table)> {
        let mut inner = Table::default();
        for (key, column) in parts {
            let Some((cell, span)) = cells.get(column) else { continue };
            let node = match (key, with_unit) {
                ("band", true) => Node { value: Value::Text(format!("{cell} {unit}")), span: span.clone() },
                ("after", true) => Node { value: Value::Text(cell.to_owned()), span: span.clone() },
                _ => number(cell, span.clone()),
            };
            inner.entries.push(Entry { key: key.to_owned(), key_span: span, node });
        }
        Some((inner.entries.first()?.key_span.clone(), inner))
    };
    if let Some((span, inner)) = parts([("band", "frozen_band"), ("after", "frozen_after")], true) {
        add("frozen", span, Value::Table(inner));
    }
    if let Some((span, inner)) = parts([("factor", "factor"), ("offset", "offset")], false) {
        add("scale", span, Value::Table(inner));
    }
    // Values come as often as the connection brings them; the column is compared, so that no sheet promises more.
    if let Some(((scan, span), interval)) = cells.get("scan").zip(home.and_then(|c| c.interval)) {
        match duration(scan) {
            Ok(time) if time == interval => {}
            Ok(time) => {
                let allowed =
                    format!("{}, how often connection '{connection}' brings values, or an empty cell", words(interval));
                report(&span, "scan", Problem::new(format!("found {}", words(time))).allowed(allowed));
            }
            Err(problem) => report(&span, "scan", problem),
        }
    }
    Some(Row { name: name.to_owned(), span: name_span, node: Node { value: Value::Table(table), span } })
}

/// A number, or the text that was found instead for the reader to refuse.
fn number(cell: &str, span: Range<usize>) -> Node {
    Node { value: cell.parse().map_or_else(|_| Value::Text(cell.to_owned()), Value::Float), span }
}

struct Cells<'a> {
    columns: &'a [Option<&'static str>],
    record: &'a csv::StringRecord,
    span: Range<usize>,
    text: &'a str,
}

impl<'a> Cells<'a> {
    /// A cell that is not empty, with its place: its own when it stands in the row as it is, else the row.
    fn get(&self, column: &str) -> Option<(&'a str, Range<usize>)> {
        let at = self.columns.iter().position(|c| *c == Some(column))?;
        let cell = self.record.get(at).filter(|c| !c.is_empty())?;
        let mut from = self.span.start;
        for before in self.record.iter().take(at) {
            from = self.find(before, from).map_or(from, |r| r.end);
        }
        Some((cell, self.find(cell, from).unwrap_or_else(|| self.span.clone())))
    }

    fn find(&self, cell: &str, from: usize) -> Option<Range<usize>> {
        let start = from + self.text.get(from..self.span.end)?.find(cell)?;
        Some(start..start + cell.len())
    }
}
