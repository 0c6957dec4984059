//! What is wrong with a file: every error and warning, each with its place, what was found, what is allowed and what to do.
//!
//! Three faces of the same list: `render` (with the source line), `lines` (one line each), `to_json` (for pipelines).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A text that was read: the configuration file or a tag sheet.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Name for messages: the path as it was given.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Byte range in its text.
    pub span: Range<usize>,
}

impl Location {
    /// Line number, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        let end = self.span.start.min(self.file.text.len());
        self.file.text.as_bytes()[..end].iter().filter(|b| **b == b'\n').count() + 1
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It can run, but somebody should look.
    Warning,
    /// It must not run.
    Error,
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub location: Location,
    /// What it is about: "tag TI-101, unit".
    pub subject: String,
    /// What was found there.
    pub found: String,
    /// What is allowed.
    pub allowed: Option<String>,
    /// What to do next.
    pub help: Option<String>,
}

/// `file:line subject: found; allowed: .... help`
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.location.file.name.rsplit(['/', '\\']).next().unwrap_or("");
        write!(f, "{name}:{} ", self.location.line())?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        write!(f, "{}: {}", self.subject, self.found)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; allowed: {allowed}")?;
        }
        f.write_str(".")?;
        match &self.help {
            Some(help) => write!(f, " {help}"),
            None => Ok(()),
        }
    }
}

/// All errors and warnings of one run, in the order of the files.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// True when there is neither error nor warning.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// Number of warnings.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.list.len() - self.errors()
    }

    /// Exit code of a check: 0 nothing to say, 1 warnings only, 2 errors.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.errors(), self.warnings()) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        }
    }

    /// Puts them in the order of the files' lines, first file first; the order inside one line stays.
    pub fn sort(&mut self) {
        let mut files: Vec<Arc<SourceFile>> = Vec::new();
        for d in &self.list {
            if !files.contains(&d.location.file) {
                files.push(d.location.file.clone());
            }
        }
        self.list.sort_by_key(|d| (files.iter().position(|f| *f == d.location.file), d.location.span.start));
    }

    /// With source lines and carets, as a compiler prints it.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for d in &self.list {
            text.push_str(&renderer.render(&[group(d)]));
            text.push_str("\n\n");
        }
        text
    }

    /// One line each.
    #[must_use]
    pub fn lines(&self) -> String {
        self.list.iter().map(|d| format!("{d}\n")).collect()
    }

    /// A JSON array of objects with `severity, file, line, subject, found, allowed, help`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let rows: Vec<serde_json::Value> = self
            .list
            .iter()
            .map(|d| {
                serde_json::json!({
                    "severity": d.severity,
                    "file": d.location.file.name,
                    "line": d.location.line(),
                    "subject": d.subject,
                    "found": d.found,
                    "allowed": d.allowed,
                    "help": d.help,
                })
            })
            .collect();
        serde_json::Value::Array(rows).to_string()
    }
}

fn group(d: &Diagnostic) -> Group<'_> {
    let level = match d.severity {
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let source = d.location.file.text.as_str();
    let span = on_characters(source, &d.location.span);
    let label = d.allowed.as_ref().map(|a| format!("allowed: {a}"));
    let annotation = AnnotationKind::Primary.span(span).label(label);
    let snippet = Snippet::source(source).path(d.location.file.name.as_str()).annotation(annotation);
    let group = level.primary_title(format!("{}: {}", d.subject, d.found)).element(snippet);
    match &d.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// The span, cut to the text, to its first line and to whole characters.
fn on_characters(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = (0..=span.start.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let end =
        (span.end.clamp(start, text.len())..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
    let first_line = text[start..end].find('\n').map_or(end, |n| start + n);
    start..first_line
}
