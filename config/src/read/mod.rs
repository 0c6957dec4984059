//! One file per section of the configuration: each takes the keys of its tables and makes the validated types.
//!
//! A section never stops at an error. What could not be read becomes a draft with a hole: other sections may still refer to it by
//! name without a second complaint. `load` hands out a `Config` only when nothing at all was reported as an error.

pub(crate) mod app;
pub(crate) mod bias;
pub(crate) mod connection;
pub(crate) mod cv;
pub(crate) mod handshake;
pub(crate) mod model;
mod model_file;
pub(crate) mod mv;
pub(crate) mod optimiser;
pub(crate) mod recorder;
pub(crate) mod server;
pub(crate) mod sheet;
pub(crate) mod tag;
pub(crate) mod trust;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::address::{self, ConnectionDraft};
use crate::diagnostic::{Location, Severity};
use crate::model::{Address, ConnectionId, Model, Output, OutputId, OutputKind, Tag, TagId, WritePhase};
use crate::quantity::{Problem, words};
use crate::reader::{Field, Place, Reader};
use crate::suggest::did_you_mean;
use crate::tree::shorten;

/// A tag as far as it could be read.
#[derive(Debug)]
pub(crate) struct TagDraft {
    pub name: String,
    pub location: Location,
    pub tag: Option<Tag>,
}

/// A model as far as it could be read.
#[derive(Debug)]
pub(crate) struct ModelDraft {
    pub name: String,
    pub is_map: bool,
    /// Names of all outputs, readable or not.
    pub outputs: Vec<String>,
    pub model: Option<Model>,
}

/// What an address is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// The value of a tag.
    Value,
    /// Sample time or validity bit of a tag: several tags may share one.
    Companion,
    /// Written by us.
    Write,
}

/// An address with its user, for the checks between addresses.
#[derive(Debug)]
pub(crate) struct Claim {
    pub connection: ConnectionId,
    pub address: Address,
    pub what: String,
    pub location: Location,
    pub purpose: Use,
}

/// What the sections share.
#[derive(Debug)]
pub(crate) struct Cx {
    /// Folder of the configuration file: relative paths start here.
    pub folder: PathBuf,
    pub connections: Vec<ConnectionDraft>,
    pub claims: RefCell<Vec<Claim>>,
    /// Scan period, if it could be read.
    pub cycle: Option<Duration>,
    /// Process tags, then signals.
    pub tags: RefCell<Vec<TagDraft>>,
    pub outputs: RefCell<Vec<Output>>,
    /// For signals.
    pub stale_after: Duration,
}

impl Cx {
    /// Reads an address and notes who uses it.
    pub fn address(&self, field: &Field<'_>, text: &str, what: &str, purpose: Use) -> Option<(ConnectionId, Address)> {
        let (connection, address) = field.check(address::parse(text, &self.connections))??;
        let problem = match &address {
            Address::Modbus(a) if purpose == Use::Write && !a.table.is_writable() => {
                Some(Problem::new(format!("{} cannot be written", a.explain())).allowed("coils and holding registers"))
            }
            Address::Modbus(a) if purpose == Use::Write && a.bit.is_some() => Some(
                Problem::new(format!("{} is one bit of a register", a.explain()))
                    .allowed("a whole register, or a coil")
                    .help("Writing one bit means reading the register first, and the device may change it in between."),
            ),
            _ => None,
        };
        if let Some(problem) = problem {
            field.error(problem);
        }
        let location = field.place.location(&field.node.span);
        let what = what.to_owned();
        self.claims.borrow_mut().push(Claim { connection, address: address.clone(), what, location, purpose });
        Some((connection, address))
    }

    /// A cell that we write.
    pub fn output(&self, field: &Field<'_>, name: &str, kind: OutputKind) -> Option<OutputId> {
        let (connection, address) = self.address(field, field.text()?, name, Use::Write)?;
        let phase = match kind {
            OutputKind::Sequence(_) | OutputKind::Heartbeat => WritePhase::Commit,
            _ => WritePhase::Value,
        };
        let mut outputs = self.outputs.borrow_mut();
        outputs.push(Output { name: name.to_owned(), connection, address, kind, phase });
        Some(OutputId(outputs.len() as u32 - 1))
    }

    /// Finds a tag by name. A tag that is defined but broken is found too: its errors are its own.
    pub fn tag(&self, field: &Field<'_>, name: &str) -> Option<TagId> {
        let tags = self.tags.borrow();
        if let Some(at) = tags.iter().position(|t| t.name.eq_ignore_ascii_case(name)) {
            return Some(TagId(at as u32));
        }
        let names = || tags.iter().map(|t| t.name.as_str());
        field.error(no_such("tag", name, names()));
        None
    }

    /// Looks at a tag, if it could be read.
    pub fn with_tag<T>(&self, id: TagId, look: impl FnOnce(&Tag) -> T) -> Option<T> {
        self.tags.borrow().get(id.index()).and_then(|t| t.tag.as_ref()).map(look)
    }

    /// A path relative to the configuration file.
    pub fn path(&self, text: &str) -> PathBuf {
        self.folder.join(Path::new(text))
    }

    /// The interval of a model or the optimiser: a whole number of cycles.
    pub fn whole_cycles(&self, field: &Field<'_>) -> Option<Duration> {
        let every = field.duration()?;
        let Some(cycle) = self.cycle else { return Some(every) };
        if every.as_nanos() % cycle.as_nanos() == 0 {
            return Some(every);
        }
        let below = words(cycle * (every.as_nanos() / cycle.as_nanos()).max(1) as u32);
        field.error(
            Problem::new(format!("found {}", words(every)))
                .allowed(format!("a whole number of cycles of {}", words(cycle)))
                .help(format!("{below} would do.")),
        );
        None
    }
}

impl Place<'_> {
    /// A place of this file.
    pub fn location(&self, span: &std::ops::Range<usize>) -> Location {
        Location { file: self.source.clone(), span: span.clone() }
    }
}

/// "There is no tag 'X'", with what there is.
pub(crate) fn no_such<'n>(kind: &str, name: &str, names: impl Iterator<Item = &'n str> + Clone) -> Problem {
    let few: Vec<&str> = names.clone().take(9).collect();
    let allowed = match few.len() {
        0 => format!("no {kind} is defined"),
        9 => format!("one of the {} defined", names.clone().count()),
        _ => few.join(", "),
    };
    Problem::new(format!("there is no {kind} '{}'", shorten(name))).allowed(allowed).help(did_you_mean(name, names))
}

/// Tables whose keys are names: `[tag.TI-101]`, `[mv.feed]`. Checks the names and calls `each` with a reader per table.
pub(crate) fn named_tables<'a>(
    field: Option<Field<'a>>,
    kind: &'static str,
    section: &'static str,
    more_characters: &str,
    mut each: impl FnMut(&'a str, Reader<'a>),
) {
    let Some(mut reader) = field.and_then(|f| f.table(section)) else { return };
    let mut seen: Vec<&str> = Vec::new();
    for (entry, field) in reader.all() {
        let subject = format!("{kind} {}", entry.key);
        let report = |problem| reader.place.report(Severity::Error, &entry.key_span, &subject, problem);
        check_name(&entry.key, more_characters).unwrap_or_else(report);
        // Tags of the file are compared together with those of the sheets and the signals (`check::names`).
        if let Some(first) = seen.iter().find(|n| kind != "tag" && n.eq_ignore_ascii_case(&entry.key)) {
            report(
                Problem::new(format!("the name is taken by '{first}'"))
                    .allowed("names that differ in more than capitals"),
            );
        }
        seen.push(&entry.key);
        let named = Field { subject, ..field };
        if let Some(table) = named.table(section) {
            let span = if entry.key_span.is_empty() { table.span.clone() } else { entry.key_span.clone() };
            each(&entry.key, table.at(span));
        }
    }
    reader.take_rest();
}

/// Names are letters, digits and a few more characters: they become browse names, keys and words of a formula.
pub(crate) fn check_name(name: &str, more_characters: &str) -> Result<(), Problem> {
    let ok = |c: char| c.is_ascii_alphanumeric() || more_characters.contains(c);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(ok) {
        return Ok(());
    }
    Err(Problem::new(format!("the name '{}' cannot be used", shorten(name))).allowed(format!(
        "1 to 64 letters (a-z), digits and {}",
        more_characters.chars().map(String::from).collect::<Vec<_>>().join(" ")
    )))
}

/// Reports a list that is longer than its bound.
pub(crate) fn check_count(place: Place<'_>, span: &std::ops::Range<usize>, what: &str, count: usize, max: usize) {
    if count > max {
        let problem = Problem::new(format!("found {count}")).allowed(format!("at most {max}"));
        place.report(Severity::Error, span, what, problem);
    }
}
