//! Reading a recording back: one file, or a folder of them, as one sequence of scans.
//!
//! A recording is input from a stranger: it may be cut off, damaged or made by hand. What can be read is given; what is wrong comes as a `Fault` with
//! file and byte, in its place in the sequence. Memory is bounded by the largest chunk (`mcap::CHUNK_MAX`).

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};

use flyball_core::record::ScanRecord;

use crate::file::{EVENTS, Line, REPLAY, REPLAY_ENCODING, read_line};
use crate::folder::{END, LIBRARY};
use crate::header::{HEADER, Header, PATHS};
use crate::mcap::read::{self, Attachment, Reader, Record, Skip};

/// Files that one folder may hold: a file of 64 MiB each ten minutes for ten weeks.
const FILES_MAX: usize = 10_000;
/// Faults, gaps and keyframes that a survey lists; all are counted.
const LISTED_MAX: usize = 10_000;
/// Files that a recording may carry: the configuration, its sheets, 32 models and their shadows, and room.
const ATTACHMENTS_MAX: usize = 256;

/// A recording that was opened.
#[derive(Debug, Clone)]
pub struct Recording {
    files: Vec<RecordedFile>,
}

/// One of its files.
#[derive(Debug, Clone)]
pub struct RecordedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says about itself.
    pub header: Header,
    /// Bytes.
    pub size: u64,
}

/// Something in a file that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which file.
    pub path: PathBuf,
    /// Where and what.
    pub fault: read::Fault,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for Fault {}

/// One scan as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Index in `Recording::files`.
    pub file: usize,
    /// UTC of the scan's clock reading, unix nanoseconds.
    pub utc: i64,
    /// Counts the scans of the run that took place; a hole means that scans are missing in the recording. Wraps.
    pub sequence: u32,
    /// The exact record.
    pub bytes: Vec<u8>,
}

impl Scan {
    /// The record.
    ///
    /// # Errors
    /// The bytes are no record of this version: its number (or what is known of it) and what is wrong.
    pub fn decode(&self) -> Result<ScanRecord, String> {
        ScanRecord::from_bytes(&self.bytes)
            .map_err(|e| format!("scan {}: its bytes are no record ({e})", self.sequence))
    }
}

/// Scans that are missing between two that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// UTC of the scan before, unix nanoseconds.
    pub after: i64,
    /// UTC of the scan after it.
    pub before: i64,
    /// How many are missing.
    pub scans: u32,
}

/// What a whole recording holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Scans that can be read.
    pub scans: u64,
    /// Scans whose bytes are no record.
    pub unreadable: u64,
    /// UTC of the first and the last scan, unix nanoseconds.
    pub span: Option<(i64, i64)>,
    /// Keyframes: UTC and cycle. At most 10,000 are listed.
    pub keyframes: Vec<(i64, u64)>,
    /// Holes; at most 10,000 are listed.
    pub gaps: Vec<Gap>,
    /// Faults; at most 10,000 are listed.
    pub faults: Vec<Fault>,
}

impl Recording {
    /// Opens a file, or all recordings in a folder, oldest first.
    ///
    /// # Errors
    /// A sentence: nothing is there, it is no recording, or recordings of several applications lie there.
    pub fn open(path: &Path) -> Result<Self, String> {
        let mut files = Vec::new();
        if path.is_dir() {
            for path in recordings(path)? {
                // A file of another program is passed over; one of ours without a readable header is told.
                if let Some(file) = RecordedFile::open(&path, false)? {
                    files.push(file);
                }
            }
            files.sort_by(|a, b| {
                let key = |f: &RecordedFile| (f.header.utc.unix_nanos_at_zero, f.path.clone());
                key(a).cmp(&key(b))
            });
        } else {
            files.extend(RecordedFile::open(path, true)?);
        }
        let Some(first) = files.first() else {
            return Err(format!(
                "{} holds no recording: name a file that ends in .{END}, or a folder of them",
                path.display()
            ));
        };
        let name = &first.header.application;
        if let Some(other) = files.iter().find(|f| f.header.application != *name) {
            return Err(format!(
                "{} holds recordings of {name} and of {}: name one file",
                path.display(),
                other.header.application
            ));
        }
        Ok(Self { files })
    }

    /// Its files, oldest first. Files of one run have the same `header.utc`.
    #[must_use]
    pub fn files(&self) -> &[RecordedFile] {
        &self.files
    }

    /// The header of the first file.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.files[0].header
    }

    /// All scans in order, faults in their place. Reads everything and compares every checksum.
    #[must_use]
    pub fn scans(&self) -> Scans<'_> {
        Scans(Messages::new(self, REPLAY, 0))
    }

    /// The scans from a time on (unix nanoseconds). Passes over earlier chunks unread; a few scans before the time may come first.
    #[must_use]
    pub fn scans_from(&self, utc: i64) -> Scans<'_> {
        Scans(Messages::new(self, REPLAY, u64::try_from(utc).unwrap_or(0)))
    }

    /// All sentences with their UTC, unix nanoseconds.
    pub fn lines(&self) -> impl Iterator<Item = Result<(i64, Line), Fault>> + '_ {
        Messages::new(self, EVENTS, 0).filter_map(|message| match message {
            Ok(m) => read_line(&m.bytes).map(|line| Ok((m.utc, line))),
            Err(fault) => Some(Err(fault)),
        })
    }

    /// The files that the first file carries: configuration, sheets, models.
    ///
    /// # Errors
    /// The first fault.
    pub fn attachments(&self) -> Result<Vec<Attachment>, Fault> {
        self.files[0].attachments()
    }

    /// Writes the files that the first file carries into an empty or new folder. Returns the path of the configuration file. Where its text names a file
    /// by its full old path, the new path is put in its place (`signature` is then the header's, not the new text's).
    ///
    /// # Errors
    /// A sentence: a fault, a name that leads out of the folder, or the folder cannot be written.
    pub fn extract(&self, to: &Path) -> Result<PathBuf, String> {
        let to = std::path::absolute(to).map_err(|e| format!("{}: {e}", to.display()))?;
        let attachments = self.attachments().map_err(|e| e.to_string())?;
        let originals = self.files[0].originals().map_err(|e| e.to_string())?;
        let header = self.header();
        if !attachments.iter().any(|a| a.name == header.configuration) {
            return Err(
                "the recording carries no configuration: it was too large, or a model could not be read at start"
                    .into(),
            );
        }
        for attachment in &attachments {
            let inside = Path::new(&attachment.name);
            if attachment.name.is_empty() || !inside.components().all(|c| matches!(c, Component::Normal(_))) {
                return Err(format!(
                    "the recording carries a file named \"{}\", which leads out of the folder",
                    attachment.name
                ));
            }
            let path = to.join(inside);
            let mut data = attachment.data.clone();
            if !attachment.name.ends_with(".onnx")
                && let Ok(mut text) = String::from_utf8(data.clone())
            {
                for (name, original) in originals.iter().filter(|(_, original)| Path::new(original).is_absolute()) {
                    text = text.replace(original.as_str(), &to.join(name).display().to_string());
                }
                data = text.into_bytes();
            }
            let folder = path.parent().unwrap_or(&to);
            std::fs::create_dir_all(folder)
                .and_then(|()| File::create_new(&path))
                .and_then(|mut file| std::io::Write::write_all(&mut file, &data))
                .map_err(|e| format!("{} cannot be written ({e}); give an empty folder", path.display()))?;
        }
        Ok(to.join(&header.configuration))
    }

    /// Reads everything once.
    #[must_use]
    pub fn survey(&self) -> Survey {
        let mut survey = Survey::default();
        let mut before: Option<(usize, u32, i64)> = None;
        for scan in self.scans() {
            let scan = match scan {
                Ok(scan) => scan,
                Err(fault) => {
                    push(&mut survey.faults, fault);
                    continue;
                }
            };
            let run = |file: usize| self.files[file].header.utc;
            if let Some((file, sequence, after)) = before.filter(|(file, ..)| run(*file) == run(scan.file)) {
                let missing = scan.sequence.wrapping_sub(sequence).wrapping_sub(1);
                if missing > 0 && file <= scan.file {
                    push(&mut survey.gaps, Gap { after, before: scan.utc, scans: missing });
                }
            }
            before = Some((scan.file, scan.sequence, scan.utc));
            survey.span = Some((survey.span.map_or(scan.utc, |(first, _)| first), scan.utc));
            match scan.decode() {
                Ok(record) => {
                    survey.scans += 1;
                    if !record.keyframe.is_empty() {
                        push(&mut survey.keyframes, (scan.utc, record.cycle.number));
                    }
                }
                Err(_) => survey.unreadable += 1,
            }
        }
        survey
    }
}

fn push<T>(list: &mut Vec<T>, one: T) {
    if list.len() < LISTED_MAX {
        list.push(one);
    }
}

/// Files of a folder that could be recordings, by name.
fn recordings(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |e: std::io::Error| format!("{} cannot be listed ({e})", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == END) && path.is_file() {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(format!("{} holds more than {FILES_MAX} files: name one file", folder.display()));
        }
    }
    paths.sort();
    Ok(paths)
}

impl RecordedFile {
    /// Reads as far as the header. None: a readable MCAP file of another program, and that is no fault.
    fn open(path: &Path, must: bool) -> Result<Option<Self>, String> {
        let said = |what: &dyn fmt::Display| format!("{}: {what}", path.display());
        let size = std::fs::metadata(path).map_err(|e| said(&e))?.len();
        let mut ours = false;
        for record in reader(path, Skip { attachments: true, before: u64::MAX }).map_err(|e| said(&e.fault))? {
            match record.map_err(|fault| said(&fault))? {
                Record::Header { library } => ours = library.split(' ').next() == Some(LIBRARY),
                Record::Metadata { name, entries } if name == HEADER && ours => {
                    let header = Header::read(&entries).map_err(|e| said(&e))?;
                    return Ok(Some(Self { path: path.to_owned(), header, size }));
                }
                _ if ours => {}
                _ => break,
            }
        }
        if must || ours {
            return Err(said(&"an MCAP file, but not one that flyball has recorded: its header is not there"));
        }
        Ok(None)
    }

    /// The files that it carries.
    ///
    /// # Errors
    /// The first fault before the first scan.
    pub fn attachments(&self) -> Result<Vec<Attachment>, Fault> {
        let mut found = Vec::new();
        for record in self.preamble()? {
            if let Record::Attachment(attachment) = record {
                found.push(attachment);
            }
        }
        Ok(found)
    }

    /// Names of its attachments with the paths that they had.
    fn originals(&self) -> Result<Vec<(String, String)>, Fault> {
        for record in self.preamble()? {
            if let Record::Metadata { name, entries } = record
                && name == PATHS
            {
                return Ok(entries.into_iter().collect());
            }
        }
        Ok(Vec::new())
    }

    /// What stands before the first scan.
    fn preamble(&self) -> Result<Vec<Record>, Fault> {
        let mut found = Vec::new();
        let told = |fault| Fault { path: self.path.clone(), fault };
        let mut records = reader(&self.path, Skip::default())?;
        loop {
            let begin = records.place();
            match records.next() {
                None | Some(Ok(Record::Chunk { .. })) => return Ok(found),
                // A file that was cut off before its first scan carries what it carries.
                Some(Err(fault)) if fault.cut_off && fault.at == begin && !found.is_empty() => return Ok(found),
                Some(Err(fault)) => return Err(told(fault)),
                Some(Ok(record)) if found.len() < ATTACHMENTS_MAX => found.push(record),
                Some(Ok(_)) => {
                    let what = format!("more than {ATTACHMENTS_MAX} records before the first scan");
                    return Err(told(read::Fault { at: begin, cut_off: false, what }));
                }
            }
        }
    }
}

fn reader(path: &Path, skip: Skip) -> Result<Reader<BufReader<File>>, Fault> {
    let told = |fault| Fault { path: path.to_owned(), fault };
    let unreadable =
        |e: std::io::Error| told(read::Fault { at: 0, cut_off: false, what: format!("cannot be read ({e})") });
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    Reader::new(BufReader::with_capacity(1 << 16, file), length, skip).map_err(told)
}

/// Scans in order.
#[derive(Debug)]
pub struct Scans<'a>(Messages<'a>);

impl Iterator for Scans<'_> {
    type Item = Result<Scan, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// Messages of one topic, over all files.
#[derive(Debug)]
struct Messages<'a> {
    recording: &'a Recording,
    topic: &'static str,
    skip: Skip,
    /// File that is read, and its reader once it is open.
    file: usize,
    reader: Option<Reader<BufReader<File>>>,
    /// Number of the topic's channel in this file.
    channel: Option<u16>,
    waiting: VecDeque<Result<Scan, Fault>>,
}

impl<'a> Messages<'a> {
    fn new(recording: &'a Recording, topic: &'static str, before: u64) -> Self {
        let skip = Skip { attachments: before > 0, before };
        Self { recording, topic, skip, file: 0, reader: None, channel: None, waiting: VecDeque::new() }
    }

    /// Takes the messages of the topic out of a chunk.
    fn unpack(&mut self, bytes: &[u8], at: u64, path: &Path) {
        for message in read::messages(bytes) {
            match message {
                Some(m) if Some(m.channel) == self.channel => self.waiting.push_back(Ok(Scan {
                    file: self.file,
                    utc: i64::try_from(m.time).unwrap_or(i64::MAX),
                    sequence: m.sequence,
                    bytes: m.data.to_vec(),
                })),
                Some(_) => {}
                None => {
                    let what = "a message of the chunk that begins here is longer than the chunk".to_owned();
                    let fault = read::Fault { at, cut_off: false, what };
                    self.waiting.push_back(Err(Fault { path: path.to_owned(), fault }));
                }
            }
        }
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<Scan, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(waiting) = self.waiting.pop_front() {
                return Some(waiting);
            }
            let path = &self.recording.files.get(self.file)?.path;
            let Some(records) = &mut self.reader else {
                match reader(path, self.skip) {
                    Ok(records) => (self.reader, self.channel) = (Some(records), None),
                    Err(fault) => {
                        self.file += 1;
                        return Some(Err(fault));
                    }
                }
                continue;
            };
            let at = records.place();
            match records.next() {
                None => (self.reader, self.file) = (None, self.file + 1),
                Some(Err(fault)) => return Some(Err(Fault { path: path.clone(), fault })),
                Some(Ok(Record::Channel { id, topic, encoding })) if topic == self.topic => {
                    if topic == REPLAY && encoding != REPLAY_ENCODING {
                        let what = format!("{REPLAY} is encoded as \"{encoding}\", not as {REPLAY_ENCODING}");
                        return Some(Err(Fault {
                            path: path.clone(),
                            fault: read::Fault { at, cut_off: false, what },
                        }));
                    }
                    self.channel = Some(id);
                }
                Some(Ok(Record::Chunk { bytes })) => self.unpack(&bytes, at, path),
                Some(Ok(_)) => {}
            }
        }
    }
}
