//! Taking keys out of a table: types checked, ranges checked, and a complaint about every key that nobody took.
//!
//! A `Reader` stands on one table, a `Field` on one value. Both return `None` after they have reported what is wrong, so that
//! a section goes on and finds the next error. A reader that goes out of scope complains about what is left over.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Location, Severity, SourceFile};
use crate::model::EuRange;
use crate::quantity::{self, Problem};
use crate::suggest::did_you_mean;
use crate::tree::{Entry, Node, Table, Value};
use crate::units::Unit;

/// Collects what the readers have to say.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub diagnostics: RefCell<Vec<Diagnostic>>,
    /// Every key a reader asked for, as `section.key`: the reference must describe each.
    pub known: RefCell<BTreeSet<String>>,
}

/// The file that is read and where complaints go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub sink: &'a Sink,
    pub source: &'a Arc<SourceFile>,
}

impl Place<'_> {
    pub fn report(&self, severity: Severity, span: &Range<usize>, subject: &str, problem: Problem) {
        let some = |text: String| if text.is_empty() { None } else { Some(text) };
        self.sink.diagnostics.borrow_mut().push(Diagnostic {
            severity,
            location: Location { file: self.source.clone(), span: span.clone() },
            subject: subject.to_owned(),
            found: problem.found,
            allowed: some(problem.allowed),
            help: some(problem.help),
        });
    }
}

/// Stands on one table and takes its keys.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub place: Place<'a>,
    /// Name of the kind of table, for the reference ("tag.*").
    section: &'static str,
    /// What the table is about ("tag TI-101").
    pub subject: String,
    table: &'a Table,
    /// Where to point when a key is missing.
    pub span: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub fn new(
        place: Place<'a>,
        section: &'static str,
        subject: impl Into<String>,
        table: &'a Table,
        span: &Range<usize>,
    ) -> Self {
        Self { place, section, subject: subject.into(), table, span: span.clone(), asked: Vec::new() }
    }

    /// Points somewhere else when a key is missing.
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = span;
        self
    }

    /// The value of an optional key.
    pub fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        let name = if self.section.is_empty() { key.to_owned() } else { format!("{}.{key}", self.section) };
        self.place.sink.known.borrow_mut().insert(name);
        let entry = self.table.entry(key)?;
        let subject = if self.subject.is_empty() { key.to_owned() } else { format!("{}, {key}", self.subject) };
        Some(Field { place: self.place, node: &entry.node, key_span: entry.key_span.clone(), subject })
    }

    /// The value of a mandatory key; `like` shows one.
    pub fn need(&mut self, key: &'static str, like: &str) -> Option<Field<'a>> {
        let field = self.get(key);
        if field.is_none() {
            self.error(Problem::new(format!("'{key}' is missing")).help(format!("Add {key} = {like}.")));
        }
        field
    }

    /// Every key with its value, for tables whose keys are names.
    pub fn all(&self) -> impl Iterator<Item = (&'a Entry, Field<'a>)> + use<'a> {
        let (place, subject) = (self.place, self.subject.clone());
        self.table.entries.iter().map(move |e| {
            let subject = format!("{subject}, {}", e.key);
            (e, Field { place, node: &e.node, key_span: e.key_span.clone(), subject })
        })
    }

    /// Keys that are not in `asked` become names that the section has taken itself.
    pub fn take_rest(&mut self) {
        self.table = &EMPTY;
    }

    pub fn error(&self, problem: Problem) {
        self.place.report(Severity::Error, &self.span, self.named(), problem);
    }

    pub fn warning(&self, problem: Problem) {
        self.place.report(Severity::Warning, &self.span, self.named(), problem);
    }

    /// What the table is about; the table of the whole file has no name of its own.
    fn named(&self) -> &str {
        if self.subject.is_empty() { "file" } else { &self.subject }
    }
}

static EMPTY: Table = Table { entries: Vec::new() };

impl Drop for Reader<'_> {
    /// An unknown key is an error: a misspelt limit that is ignored is worse than a program that does not start.
    fn drop(&mut self) {
        for entry in &self.table.entries {
            if !self.asked.contains(&entry.key.as_str()) {
                let known = self.asked.join(", ");
                let help = did_you_mean(&entry.key, self.asked.iter().copied());
                let problem = Problem::new(format!("unknown key '{}'", entry.key)).allowed(known).help(help);
                self.place.report(Severity::Error, &entry.key_span, self.named(), problem);
            }
        }
    }
}

/// Stands on one value.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    pub place: Place<'a>,
    pub node: &'a Node,
    pub key_span: Range<usize>,
    pub subject: String,
}

impl<'a> Field<'a> {
    pub fn error(&self, problem: Problem) {
        self.place.report(Severity::Error, &self.node.span, &self.subject, problem);
    }

    pub fn warning(&self, problem: Problem) {
        self.place.report(Severity::Warning, &self.node.span, &self.subject, problem);
    }

    /// Reports the problem of a result.
    pub fn check<T>(&self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.error(problem)).ok()
    }

    fn wrong_kind<T>(&self, allowed: &str) -> Option<T> {
        self.error(Problem::new(format!("found {}", self.node.value.kind())).allowed(allowed));
        None
    }

    /// A text that is not empty.
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if !text.trim().is_empty() => Some(text.trim()),
            _ => self.wrong_kind("a text in quotes, not empty"),
        }
    }

    /// A finite number.
    pub fn number(&self) -> Option<f64> {
        match self.node.value {
            Value::Integer(n) => Some(n as f64),
            Value::Float(n) if n.is_finite() => Some(n),
            _ => self.wrong_kind("a finite number"),
        }
    }

    /// A whole number between two bounds.
    pub fn whole(&self, low: u32, high: u32) -> Option<u32> {
        match self.node.value {
            Value::Integer(n) if (i64::from(low)..=i64::from(high)).contains(&n) => u32::try_from(n).ok(),
            _ => self.wrong_kind(&format!("a whole number from {low} to {high}")),
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Bool(b) => Some(b),
            _ => self.wrong_kind("true or false"),
        }
    }

    /// One of a list of words.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = words.iter().map(|(w, _)| format!("\"{w}\"")).collect();
        let allowed = names.join(" or ");
        let Value::Text(text) = &self.node.value else { return self.wrong_kind(&allowed) };
        if let Some((_, value)) = words.iter().find(|(w, _)| w == text) {
            return Some(*value);
        }
        let help = did_you_mean(text, words.iter().map(|(w, _)| *w));
        self.error(Problem::new(format!("found {}", self.node.value.kind())).allowed(allowed).help(help));
        None
    }

    /// A table with its own keys.
    pub fn table(&self, section: &'static str) -> Option<Reader<'a>> {
        match &self.node.value {
            Value::Table(table) => Some(Reader::new(self.place, section, self.subject.clone(), table, &self.node.span)),
            _ => self.wrong_kind(&format!("a table with the keys of {section}")),
        }
    }

    pub fn list(&self) -> Option<Vec<Field<'a>>> {
        let Value::List(nodes) = &self.node.value else { return self.wrong_kind("a list in [ ]") };
        let field =
            |node| Field { place: self.place, node, key_span: self.key_span.clone(), subject: self.subject.clone() };
        Some(nodes.iter().map(field).collect())
    }

    /// `[low, high]` with low < high.
    pub fn range(&self) -> Option<EuRange> {
        let fields = self.list()?;
        let [low, high] = fields.as_slice() else {
            self.error(Problem::new(format!("found a list of {}", fields.len())).allowed("two numbers, [low, high]"));
            return None;
        };
        let range = EuRange { low: low.number()?, high: high.number()? };
        if range.low < range.high && range.span().is_finite() {
            return Some(range);
        }
        self.error(Problem::new(format!("found [{}, {}]", range.low, range.high)).allowed("low smaller than high"));
        None
    }

    /// A duration of more than zero.
    pub fn duration(&self) -> Option<Duration> {
        let time = self.duration_or_zero()?;
        if time.is_zero() {
            return self.wrong_kind("more than zero");
        }
        Some(time)
    }

    /// A duration.
    pub fn duration_or_zero(&self) -> Option<Duration> {
        let Value::Text(text) = &self.node.value else { return self.wrong_kind(quantity::DURATIONS) };
        self.check(quantity::duration(text))
    }

    /// A duration between two bounds.
    pub fn duration_within(&self, low: Duration, high: Duration) -> Option<Duration> {
        let time = self.duration()?;
        if (low..=high).contains(&time) {
            return Some(time);
        }
        let allowed = format!("{} to {}", quantity::words(low), quantity::words(high));
        self.error(Problem::new(format!("found {}", quantity::words(time))).allowed(allowed));
        None
    }

    /// A number of bytes between two bounds.
    pub fn size(&self, low: u64, high: u64) -> Option<u64> {
        let Value::Text(text) = &self.node.value else { return self.wrong_kind(quantity::SIZES) };
        let bytes = self.check(quantity::size(text))?;
        if (low..=high).contains(&bytes) {
            return Some(bytes);
        }
        let allowed = format!("{} to {}", quantity::size_words(low), quantity::size_words(high));
        self.error(Problem::new(format!("found {}", quantity::size_words(bytes))).allowed(allowed));
        None
    }

    /// A quantity in exactly this unit.
    pub fn amount(&self, unit: Unit) -> Option<f64> {
        let example = format!("a text with number and unit, as \"1.5 {unit}\"");
        match &self.node.value {
            Value::Text(text) => self.check(quantity::amount(text, unit)),
            Value::Integer(_) | Value::Float(_) if unit == Unit::ONE => self.number(),
            _ => self.wrong_kind(&example),
        }
    }

    /// A quantity in this unit, not negative.
    pub fn amount_from_zero(&self, unit: Unit) -> Option<f64> {
        let value = self.amount(unit)?;
        if value < 0.0 {
            return self.wrong_kind(&format!("0 {unit} or more"));
        }
        Some(value)
    }

    /// A quantity in this unit, more than zero.
    pub fn amount_above_zero(&self, unit: Unit) -> Option<f64> {
        let value = self.amount(unit)?;
        if value <= 0.0 {
            return self.wrong_kind(&format!("more than 0 {unit}"));
        }
        Some(value)
    }

    /// A percentage above 0 and up to 100, as a share.
    pub fn share(&self) -> Option<f64> {
        let value = self.amount(Unit::PERCENT)?;
        if value <= 0.0 || value > 100.0 {
            return self.wrong_kind("more than 0 % and at most 100 %");
        }
        Some(value / 100.0)
    }

    /// A rate "2 degC per s", as EU per second, more than zero.
    pub fn rate(&self, unit: Unit) -> Option<f64> {
        let Value::Text(text) = &self.node.value else {
            return self.wrong_kind(&format!("a text as \"2 {unit} per s\""));
        };
        self.check(quantity::rate(text, unit))
    }
}
