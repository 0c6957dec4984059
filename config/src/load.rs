//! A file becomes a `Config`, or a list of everything that is wrong with it.
//!
//! The order of the sections is the order of need: connections before tags, tags before models, models before MVs and CVs.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use crate::address::Notation;
use crate::bounds::{CONNECTIONS_MAX, CVS_MAX, FILE_BYTES_MAX, MODELS_MAX, MVS_MAX, PREDICTIONS_MAX, TAGS_MAX};
use crate::check;
use crate::diagnostic::{Diagnostic, Diagnostics, Location, Severity, SourceFile};
use crate::model::{Config, HighestMode, ModelId, ModelRole, MvId, PredictionRef};
use crate::quantity::Problem;
use crate::read::sheet::{self, Sheet};
use crate::read::tag::TagDefaults;
use crate::read::{self, Cx, TagDraft, check_count, named_tables};
use crate::reader::{Field, Place, Reader, Sink};
use crate::tree::{self, Table, Value};

/// The version of the file format that this program reads.
const SCHEMA: u32 = 1;

/// Result of reading a file.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; None when there is any error.
    pub config: Option<Config>,
    /// Every error and warning.
    pub diagnostics: Diagnostics,
    source: Arc<SourceFile>,
    root: Table,
    sheet_rows: Vec<(String, Location)>,
    known_keys: Vec<String>,
}

impl Loaded {
    /// Where a key stands ("model.cB.inputs.T"), or its nearest ancestor that is in the file.
    ///
    /// A tag of a sheet ("tag.TI-101") is found in its sheet.
    #[must_use]
    pub fn at(&self, path: &str) -> Location {
        if let Some(rest) = path.strip_prefix("tag.")
            && let Some((_, location)) =
                self.sheet_rows.iter().find(|(name, _)| rest == name || rest.starts_with(&format!("{name}.")))
        {
            return location.clone();
        }
        let mut span = 0..0;
        let mut table = &self.root;
        let mut rest = path;
        // Names of tags may hold dots: the longest key that begins the rest is the next step.
        while let Some(entry) = table
            .entries
            .iter()
            .filter(|e| rest == e.key || rest.strip_prefix(e.key.as_str()).is_some_and(|r| r.starts_with('.')))
            .max_by_key(|e| e.key.len())
        {
            span = entry.key_span.clone();
            rest = rest[entry.key.len()..].trim_start_matches('.');
            match &entry.node.value {
                Value::Table(inner) if !rest.is_empty() => table = inner,
                _ => break,
            }
        }
        Location { file: self.source.clone(), span }
    }

    /// Every key that was asked for, as `section.key`: what docs/CONFIGURATION.md must describe.
    #[must_use]
    pub fn known_keys(&self) -> &[String] {
        &self.known_keys
    }

    fn failed(name: String, found: String) -> Self {
        let source = Arc::new(SourceFile { name: name.clone(), text: String::new() });
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(Diagnostic {
            severity: Severity::Error,
            location: Location { file: source.clone(), span: 0..0 },
            subject: "file".to_owned(),
            found: format!("{name} {found}"),
            allowed: Some("a text file in UTF-8 that this user may read".to_owned()),
            help: None,
        });
        Self {
            config: None,
            diagnostics,
            source,
            root: Table::default(),
            sheet_rows: Vec::new(),
            known_keys: Vec::new(),
        }
    }
}

/// Reads a configuration file with its tag sheets and checks everything that can be checked without a connection.
#[must_use]
pub fn load(path: &Path) -> Loaded {
    let name = path.display().to_string();
    match std::fs::metadata(path) {
        Ok(m) if m.len() > FILE_BYTES_MAX => {
            return Loaded::failed(name, format!("has {} bytes, more than {FILE_BYTES_MAX}", m.len()));
        }
        _ => {}
    }
    match std::fs::read_to_string(path) {
        Ok(text) => load_text(path, &text),
        Err(e) => Loaded::failed(name, format!("cannot be read ({e})")),
    }
}

/// The same for a text that is already in memory; `file` says where relative paths start.
#[must_use]
pub fn load_text(file: &Path, text: &str) -> Loaded {
    let source = Arc::new(SourceFile { name: file.display().to_string(), text: text.to_owned() });
    let sink = Sink::default();
    let place = Place { sink: &sink, source: &source };
    let (parsed, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let help = match error.message().lines().next().unwrap_or("") {
            "duplicate key" => "Each key and each table may stand once.",
            _ => "",
        };
        let found = Problem::new(error.message().lines().collect::<Vec<_>>().join(", "));
        place.report(Severity::Error, &error.span().unwrap_or(0..0), "TOML syntax", found.help(help));
    }
    let root = tree::from_toml(parsed.get_ref());
    let (config, sheets) = build(file, &root, place);

    let sheet_rows = sheets
        .iter()
        .flat_map(|s| {
            s.rows.iter().map(|r| (r.name.clone(), Location { file: s.source.clone(), span: r.span.clone() }))
        })
        .collect();
    let mut diagnostics = Diagnostics::default();
    let mut list = sink.diagnostics.take();
    // The main file comes first, whichever file spoke first.
    list.sort_by_key(|d| d.location.file.name != source.name);
    list.into_iter().for_each(|d| diagnostics.push(d));
    diagnostics.sort();
    let config = config.filter(|_| diagnostics.errors() == 0);
    Loaded { config, diagnostics, source, root, sheet_rows, known_keys: sink.known.take().into_iter().collect() }
}

fn build(file: &Path, root: &Table, place: Place<'_>) -> (Option<Config>, Vec<Sheet>) {
    let mut r = Reader::new(place, "", "", root, &(0..0));
    if let Some(field) = r.need("schema", "1") {
        field.whole(SCHEMA, SCHEMA);
    }
    let app_field = r.need("app", "{ name = \"R101-OPT\" }");
    let app = read::app::read_app(app_field.clone());
    let folder = file.parent().map(Path::to_path_buf).unwrap_or_else(|| PathBuf::from("."));
    let timing_field = r.need("timing", "{ cycle = \"1 s\", deadline = \"500 ms\" }");
    let timing = read::app::read_timing(timing_field, &folder);
    let mut cx = Cx {
        folder,
        connections: Vec::new(),
        claims: RefCell::default(),
        cycle: timing.as_ref().map(|t| t.cycle),
        tags: RefCell::default(),
        outputs: RefCell::default(),
        stale_after: Duration::ZERO,
    };
    let connection_field = r.need("connection", "{ plc1 = { protocol = \"opcua\" } }");
    let mut connections = Vec::new();
    named_tables(connection_field, "connection", "connection.*", "-_", |name, table| {
        connections.push(read::connection::read(name, table, &cx));
    });
    check_count(place, &(0..0), "connection", connections.len(), CONNECTIONS_MAX);
    cx.connections = connections;

    let defaults = read::tag::read_defaults(r.get("tag_defaults"));
    cx.stale_after = defaults.stale_after;
    let sheets = read_tags(&mut r, place, &cx, defaults);

    let mut models = read::model::survey(root);
    let mv_names = names_of(root, "mv");
    // Soft sensors first: a map may be matched to one that stands later in the file.
    let model_field = r.get("model");
    for maps in [false, true] {
        let silent = Sink::default();
        let again = Place { sink: &silent, source: place.source };
        let field = model_field.clone().map(|f| if maps { Field { place: again, ..f } } else { f });
        named_tables(field, "model", "model.*", "-_", |name, mut table| {
            let Some(at) = models.iter().position(|m| m.name == name) else { return };
            if models[at].is_map == maps {
                table.place = place;
                models[at].model = read::model::read(name, table, &cx, &models, &mv_names);
            } else {
                table.take_rest();
            }
        });
    }
    check_count(place, &(0..0), "model", models.len(), MODELS_MAX);

    let budget = timing.as_ref().map(|t| t.stage_budget.optimise);
    let optimiser_field = r.get("optimiser");
    let has_optimiser = optimiser_field.is_some();
    let optimiser = read::optimiser::read(optimiser_field, &cx, &models, budget);
    let map = match root.entry("optimiser").map(|e| &e.node.value) {
        Some(Value::Table(t)) => match t.entry("model").map(|e| &e.node.value) {
            Some(Value::Text(name)) => models.iter().find(|m| m.name == *name),
            _ => None,
        },
        _ => None,
    };

    let mut mvs = Vec::new();
    let mv_field = r.get("mv");
    named_tables(mv_field.clone(), "mv", "mv.*", "-_", |name, table| {
        let id = MvId(mv_names.iter().position(|m| m == name).unwrap_or(0) as u32);
        let objective_unit = optimiser.as_ref().map(|o| o.objective_unit.as_str());
        mvs.push(read::mv::read(name, id, table, &cx, objective_unit));
    });
    check_count(place, &(0..0), "mv", mvs.len(), MVS_MAX);
    if !has_optimiser || map.is_some_and(|m| m.model.is_some()) {
        read::optimiser::check_mvs(&mv_fields(mv_field), map.and_then(|m| m.model.as_ref()));
    }
    let mut cvs = Vec::new();
    named_tables(r.get("cv"), "cv", "cv.*", "-_", |name, table| {
        cvs.push(read::cv::read(name, table, &cx, &models, map, has_optimiser, &mv_names));
    });
    check_count(place, &(0..0), "cv", cvs.len(), CVS_MAX);
    let handshake_field = r.get("handshake");
    let may_write = app.as_ref().is_some_and(|a| a.highest_mode == HighestMode::ClosedLoop);
    if let Some(field) = app_field.filter(|_| may_write && handshake_field.is_none()) {
        field.warning(Problem::new("highest_mode is closed_loop, but there is no [handshake]").help(
            "Without the PLC's permission it stays in ADVISORY: add [handshake], or say highest_mode = \"advisory\".",
        ));
    }
    let handshake = read::handshake::read(handshake_field, &cx);
    let server = read::server::read(r.get("server"), &cx);
    let recorder = read::recorder::read(r.get("recorder"), &cx);
    word_orders(place, &cx);
    {
        let mut list = place.sink.diagnostics.borrow_mut();
        check::names(&cx.tags.borrow(), &mut list);
        check::addresses(&cx.claims.borrow(), &mut list);
    }
    check_count(place, &(0..0), "tags with signals", cx.tags.borrow().len(), TAGS_MAX);

    // Errors are counted by the caller; a hole here means that one was reported.
    let config = (|| {
        let models: Vec<_> = models.into_iter().map(|m| m.model).collect::<Option<_>>()?;
        let predictions = predictions(&models);
        check_count(place, &(0..0), "predictions", predictions.len(), PREDICTIONS_MAX);
        Some(Config {
            file: file.to_path_buf(),
            sources: std::iter::once(place.source).chain(sheets.iter().map(|s| &s.source)).cloned().collect(),
            signature: signature(place.source, &sheets, &models),
            sha256: sha256(place.source, &sheets),
            instance: 0,
            app: app?,
            timing: timing?,
            connections: cx.connections.into_iter().map(|c| c.connection).collect::<Option<_>>()?,
            tags: cx.tags.into_inner().into_iter().map(|t| t.tag).collect::<Option<_>>()?,
            outputs: cx.outputs.into_inner(),
            predictions,
            models,
            optimiser,
            mvs: mvs.into_iter().collect::<Option<_>>()?,
            cvs: cvs.into_iter().collect::<Option<_>>()?,
            handshake,
            server,
            recorder: recorder?,
        })
    })();
    (config, sheets)
}

/// Tags of the file, then those of the sheets.
fn read_tags(r: &mut Reader<'_>, place: Place<'_>, cx: &Cx, defaults: TagDefaults) -> Vec<Sheet> {
    let paths = r.get("tag_sheets").and_then(|f| f.list()).unwrap_or_default();
    let sheets: Vec<Sheet> = paths.iter().filter_map(|f| sheet::read(f, cx, place.sink)).collect();
    let tag_field = r.get("tag");
    let mut drafts = Vec::new();
    named_tables(tag_field, "tag", "tag.*", TAG_CHARACTERS, |name, table| {
        let location = place.location(&table.span);
        drafts.push(TagDraft { name: name.to_owned(), location, tag: read::tag::read(name, table, cx, defaults) });
    });
    for sheet in &sheets {
        let place = Place { sink: place.sink, source: &sheet.source };
        for row in &sheet.rows {
            let location = place.location(&row.span);
            let Some(table) = &row.table else {
                drafts.push(TagDraft { name: row.name.clone(), location, tag: None });
                continue;
            };
            let reader = Reader::new(place, "tag.*", format!("tag {}", row.name), table, &row.row);
            if let Err(problem) = read::check_name(&row.name, TAG_CHARACTERS) {
                reader.error(problem);
            }
            drafts.push(TagDraft {
                name: row.name.clone(),
                location,
                tag: read::tag::read(&row.name, reader, cx, defaults),
            });
        }
    }
    if drafts.is_empty() && paths.is_empty() {
        let problem = Problem::new("no tag is defined").allowed("[tag.*] tables or tag_sheets");
        place.report(Severity::Error, &(0..0), "file", problem);
    }
    cx.tags.replace(drafts);
    sheets
}

/// Characters of ISA-5.1 tag names beyond letters and digits.
const TAG_CHARACTERS: &str = "-_./";

fn names_of(root: &Table, key: &str) -> Vec<String> {
    match root.entry(key).map(|e| &e.node.value) {
        Some(Value::Table(table)) => table.entries.iter().map(|e| e.key.clone()).collect(),
        _ => Vec::new(),
    }
}

fn mv_fields(field: Option<Field<'_>>) -> Vec<(String, Field<'_>)> {
    let Some(field) = field else { return Vec::new() };
    let Value::Table(table) = &field.node.value else { return Vec::new() };
    let named = |e: &tree::Entry| format!("mv {}", e.key);
    table.entries.iter().map(|e| (e.key.clone(), Field { node: &e.node, subject: named(e), ..field.clone() })).collect()
}

/// 32- and 64-bit values have no order of their own: the connection must say it.
fn word_orders(place: Place<'_>, cx: &Cx) {
    for connection in &cx.connections {
        let Notation::Modbus { order_wanted_by, .. } = &connection.notation else { continue };
        if let Some(address) = order_wanted_by.borrow().as_ref() {
            let problem = Problem::new(format!("'word_order' is missing, and \"{address}\" needs it"))
                .allowed("\"ABCD\", \"CDAB\", \"BADC\" or \"DCBA\"")
                .help("Modbus does not define it: look into the device's manual (CDAB is low word first).");
            place.report(Severity::Error, &connection.span, &format!("connection {}", connection.name), problem);
        }
    }
}

fn predictions(models: &[crate::Model]) -> Vec<PredictionRef> {
    let mut list = Vec::new();
    for (model, m) in (0u32..).zip(models).filter(|(_, m)| m.role == ModelRole::SoftSensor) {
        list.extend((0u32..).zip(&m.outputs).map(|(output, _)| PredictionRef { model: ModelId(model), output }));
    }
    list
}

/// CRC-32 over the bytes of the file, its sheets and the SHA-256 of its models and their shadows, in file order.
fn signature(source: &SourceFile, sheets: &[Sheet], models: &[crate::Model]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(source.text.as_bytes());
    sheets.iter().for_each(|s| crc.update(s.source.text.as_bytes()));
    for model in models {
        crc.update(model.sha256.as_bytes());
        model.shadow.iter().for_each(|shadow| crc.update(shadow.sha256.as_bytes()));
    }
    crc.finalize()
}

/// SHA-256 of the file and its sheets, lower-case hex.
fn sha256(source: &SourceFile, sheets: &[Sheet]) -> String {
    let mut hash = Sha256::new();
    hash.update(source.text.as_bytes());
    sheets.iter().for_each(|s| hash.update(s.source.text.as_bytes()));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
