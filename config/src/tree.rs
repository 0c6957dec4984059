//! The spanned tree of a file: TOML values in file order, each with its byte range.
//!
//! The `toml` crate sorts keys by name and reads numbers late; here they are in file order and final, so that the readers
//! of the sections stay simple. A row of a tag sheet becomes the same kind of table (`sheet`).

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub value: Value,
    pub span: Range<usize>,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Node>),
    Table(Table),
    /// Something that no key takes: a date, or a number too large for 64 bits.
    Other(String),
}

impl Value {
    /// Its kind in words, for messages.
    pub fn kind(&self) -> String {
        match self {
            Self::Text(text) => format!("the text \"{}\"", shorten(text)),
            Self::Integer(n) => format!("the number {n}"),
            Self::Float(n) => format!("the number {n}"),
            Self::Bool(b) => format!("{b}"),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(text) => shorten(text),
        }
    }
}

/// Keys in file order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Range<usize>,
    pub node: Node,
}

impl Table {
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key == key)
    }
}

/// At most 60 characters of a text, so that a message stays a line.
pub(crate) fn shorten(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= 60 { line } else { format!("{}...", line.chars().take(57).collect::<String>()) }
}

/// Turns the parser's table into ours.
pub(crate) fn from_toml(table: &DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: Node { value: value_of(value.get_ref()), span: value.span() },
        })
        .collect();
    entries.sort_by_key(|e| e.key_span.start);
    Table { entries }
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
            .map_or_else(|_| Value::Other(format!("the number {n}, which does not fit into 64 bits")), Value::Integer),
        DeValue::Float(n) => n.as_str().parse().map_or_else(|_| Value::Other(format!("the number {n}")), Value::Float),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(d) => Value::Other(format!("the date {d}")),
        DeValue::Array(list) => {
            Value::List(list.iter().map(|v| Node { value: value_of(v.get_ref()), span: v.span() }).collect())
        }
        DeValue::Table(table) => Value::Table(from_toml(table)),
    }
}
