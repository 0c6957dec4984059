//! One file that is being recorded: its preamble (everything that a replay needs besides the scans), its open chunk, its end.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::folder::{self, LIBRARY};
use crate::header::{HEADER, Header, PATHS, Source, UNITS};
use crate::mcap::write::{Channel, Writer};
use crate::schema::{SCAN, Schema};

/// Topic of what viewers show.
pub const SCANS: &str = "/scan";
/// Topic of the sentences.
pub const EVENTS: &str = "/events";
/// Topic of the exact records.
pub const REPLAY: &str = "/replay";
/// How `/replay` is encoded: one `ScanRecord`, postcard 1, no schema.
pub const REPLAY_ENCODING: &str = "x-flyball-postcard";

const SCAN_CHANNEL: u16 = 1;
const EVENT_CHANNEL: u16 = 2;
const REPLAY_CHANNEL: u16 = 3;
const SCAN_SCHEMA: u16 = 1;
const EVENT_SCHEMA: u16 = 2;

/// The message that Foxglove shows in its log panel (foxglove.dev, "Log" schema).
const EVENT_NAME: &str = "foxglove.Log";
const EVENT_JSON: &str = r#"{"type":"object","title":"foxglove.Log","properties":{"timestamp":{"type":"object","title":"time","properties":{"sec":{"type":"integer"},"nsec":{"type":"integer"}}},"level":{"type":"integer"},"message":{"type":"string"},"name":{"type":"string"}}}"#;
/// foxglove.Log: INFO and WARNING.
const INFO: u8 = 2;
const WARNING: u8 = 3;

/// One sentence about a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Something that somebody should look at.
    pub warning: bool,
    /// The sentence.
    pub text: String,
}

/// What every file of a run begins with.
#[derive(Debug)]
pub struct Preamble {
    /// The header.
    pub header: Header,
    /// The description of `/scan`.
    pub schema: Schema,
    /// Configuration, sheets and models.
    pub sources: Vec<Source>,
}

/// One scan on its way to the file.
#[derive(Debug)]
pub struct Item {
    /// UTC, unix nanoseconds.
    pub time: u64,
    /// Number among all scans of the run that took place; a hole means that scans are missing here.
    pub sequence: u32,
    /// Its record has a keyframe.
    pub keyframe: bool,
    /// Message of `/scan`.
    pub scan: Vec<u8>,
    /// Message of `/replay`.
    pub replay: Vec<u8>,
    /// Sentences for `/events`.
    pub lines: Vec<Line>,
}

impl Item {
    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        self.scan.len() + self.replay.len() + self.lines.iter().map(|l| l.text.len() + 64).sum::<usize>() + 128
    }
}

/// A file under construction.
#[derive(Debug)]
pub struct OpenFile {
    /// Where it is.
    pub path: PathBuf,
    /// When it was begun, unix nanoseconds.
    pub begun: u64,
    writer: Writer<Arc<File>>,
    /// The same file, to cut off what could not be written whole.
    file: Arc<File>,
    /// Bytes of the preamble.
    preamble: u64,
}

impl OpenFile {
    /// Makes the next file in a folder and writes its preamble to the disk.
    ///
    /// # Errors
    /// What the operating system says; no file is left then.
    pub fn begin(folder: &Path, preamble: &Preamble, time: u64) -> io::Result<Self> {
        let (path, file) = folder::create(folder, &preamble.header.application, i64::try_from(time).unwrap_or(0))?;
        let file = Arc::new(file);
        let begun = Self::preamble(Arc::clone(&file), preamble, time).and_then(|writer| {
            file.sync_all()?;
            Ok(writer)
        });
        match begun {
            Ok(writer) => {
                let length = writer.written();
                Ok(Self { path, begun: time, writer, file, preamble: length })
            }
            Err(e) => {
                // Made above by us and of no use; if it cannot be removed either, a reader will call it cut off.
                let _ = std::fs::remove_file(&path);
                Err(e)
            }
        }
    }

    fn preamble(file: Arc<File>, preamble: &Preamble, time: u64) -> io::Result<Writer<Arc<File>>> {
        let mut w = Writer::new(file, "", &format!("{LIBRARY} {}", preamble.header.version))?;
        w.metadata(HEADER, &preamble.header.entries())?;
        w.metadata(UNITS, &preamble.schema.units)?;
        let paths = preamble.sources.iter().map(|s| (s.name.clone(), s.original.display().to_string()));
        w.metadata(PATHS, &paths.collect())?;
        w.schema(SCAN_SCHEMA, SCAN, "protobuf", &preamble.schema.descriptor)?;
        w.schema(EVENT_SCHEMA, EVENT_NAME, "jsonschema", EVENT_JSON.as_bytes())?;
        let channel = |id, schema, topic, encoding| Channel { id, schema, topic, encoding, metadata: &[] };
        w.channel(&channel(SCAN_CHANNEL, SCAN_SCHEMA, SCANS, "protobuf"))?;
        w.channel(&channel(EVENT_CHANNEL, EVENT_SCHEMA, EVENTS, "json"))?;
        w.channel(&channel(REPLAY_CHANNEL, 0, REPLAY, REPLAY_ENCODING))?;
        for source in &preamble.sources {
            let media = if source.name.ends_with(".onnx") { "application/octet-stream" } else { "text/plain" };
            w.attachment(time, &source.name, media, &source.data)?;
        }
        Ok(w)
    }

    /// Adds a scan to the open chunk.
    pub fn take(&mut self, item: &Item) {
        self.writer.message(SCAN_CHANNEL, item.sequence, item.time, &item.scan);
        self.writer.message(REPLAY_CHANNEL, item.sequence, item.time, &item.replay);
        for line in &item.lines {
            self.line(item.sequence, item.time, line);
        }
    }

    /// Adds a sentence to the open chunk.
    pub fn line(&mut self, sequence: u32, time: u64, line: &Line) {
        let (sec, nsec) = (time / 1_000_000_000, time % 1_000_000_000);
        let level = if line.warning { WARNING } else { INFO };
        let json = serde_json::json!({
            "timestamp": { "sec": sec, "nsec": nsec },
            "level": level,
            "message": line.text,
            "name": "flyball",
        });
        self.writer.message(EVENT_CHANNEL, sequence, time, json.to_string().as_bytes());
    }

    /// Bytes in the open chunk.
    pub fn open_bytes(&self) -> usize {
        self.writer.open_bytes()
    }

    /// Bytes of scans that are in the file.
    pub fn recorded(&self) -> u64 {
        self.writer.written() - self.preamble
    }

    /// Writes the open chunk and waits until the disk has it.
    ///
    /// # Errors
    /// What the operating system says; the file then ends after the last whole chunk.
    pub fn flush(&mut self) -> io::Result<()> {
        let good = self.writer.written();
        let done = self.writer.flush().and_then(|()| self.file.sync_data());
        if done.is_err() {
            // Half a chunk helps nobody. If even this fails, readers stop before it.
            let _ = self.file.set_len(good);
        }
        done
    }

    /// Writes the last chunk and the summary.
    ///
    /// # Errors
    /// What the operating system says; the file stays readable up to the last whole chunk.
    pub fn finish(mut self) -> Result<(), Unfinished> {
        self.flush().map_err(|error| Unfinished { chunk_lost: true, error })?;
        let good = self.writer.written();
        self.writer.finish().and_then(|file| file.sync_all()).map_err(|error| {
            let _ = self.file.set_len(good);
            Unfinished { chunk_lost: false, error }
        })
    }
}

/// A file that could not be ended.
#[derive(Debug)]
pub struct Unfinished {
    /// The scans of the open chunk are not in it.
    pub chunk_lost: bool,
    /// Why.
    pub error: io::Error,
}

/// The sentence of a message of `/events`.
pub fn read_line(json: &[u8]) -> Option<Line> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let text = value.get("message")?.as_str()?.to_owned();
    Some(Line { warning: value.get("level")?.as_u64()? >= u64::from(WARNING), text })
}
