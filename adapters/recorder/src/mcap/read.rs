//! Reading an MCAP file front to back, as if a stranger had written it: every length is compared with its bound and with what is left of the file
//! before anything is allocated, every checksum is checked, and the first thing that is wrong is told with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use lz4_flex::frame::FrameDecoder;

use super::{ATTACHMENT_MAX, CHUNK_MAX, HEAD, LZ4, MAGIC, RECORD_MAX, kind};

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Byte at which the record begins that is wrong.
    pub at: u64,
    /// The file simply ends too early: the program that wrote it was killed, or still writes. Everything before is good.
    pub cut_off: bool,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", if self.cut_off { "cut off" } else { "damaged" }, self.at, self.what)
    }
}

/// One record of the data section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The first.
    Header {
        /// Who wrote the file.
        library: String,
    },
    /// A channel.
    Channel {
        /// Its number.
        id: u16,
        /// Its topic.
        topic: String,
        /// How its messages are encoded.
        encoding: String,
    },
    /// Messages, one after the other (`messages`).
    Chunk {
        /// Their bytes.
        bytes: Vec<u8>,
    },
    /// A file inside the file.
    Attachment(Attachment),
    /// Names with values.
    Metadata {
        /// Of what.
        name: String,
        /// The values.
        entries: BTreeMap<String, String>,
    },
    /// Something that a recording has no use for.
    Other,
}

/// A file inside a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its path with `/`.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Number of its channel.
    pub channel: u16,
    /// Its own number.
    pub sequence: u32,
    /// UTC, unix nanoseconds.
    pub time: u64,
    /// The bytes.
    pub data: &'a [u8],
}

/// What is passed over without being read. The checksum of the whole file cannot be compared then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Skip {
    /// Contents of attachments.
    pub attachments: bool,
    /// Chunks that end before this time, unix nanoseconds.
    pub before: u64,
}

/// Reads one file. An iterator of records with their places; after a fault that hides where the next record begins it ends.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    at: u64,
    length: u64,
    skip: Skip,
    /// None once something was passed over.
    crc: Option<crc32fast::Hasher>,
    ended: bool,
}

/// Why a record cannot be used: a fault, and whether the next record can still be found.
struct Broken(Fault, bool);

impl<R: Read + Seek> Reader<R> {
    /// Begins to read a file of `length` bytes.
    ///
    /// # Errors
    /// It is not an MCAP file.
    pub fn new(input: R, length: u64, skip: Skip) -> Result<Self, Fault> {
        let mut reader = Self { input, at: 0, length, skip, crc: Some(crc32fast::Hasher::new()), ended: false };
        if length < MAGIC.len() as u64 {
            return Err(cut(0, "the file is shorter than its first mark"));
        }
        let magic = reader.bytes(MAGIC.len() as u64).map_err(|Broken(fault, _)| fault)?;
        if magic != MAGIC {
            return Err(bad(0, "the file does not begin with the mark of MCAP files"));
        }
        Ok(reader)
    }

    /// Bytes read so far.
    pub fn place(&self) -> u64 {
        self.at
    }

    fn next_record(&mut self) -> Result<Option<Record>, Broken> {
        let begin = self.at;
        if self.length - begin < HEAD {
            return Err(Broken(cut(begin, "the file ends without its end record"), false));
        }
        // The end record holds the checksum of what comes before itself.
        let before = self.crc.clone();
        let head = self.bytes(HEAD)?;
        let kind = head[0];
        let length = u64::from_le_bytes(head[1..9].try_into().expect("eight bytes"));
        if length > self.length - self.at {
            let left = self.length - self.at;
            let what = format!("a record of {length} bytes begins here and only {left} are left");
            return Err(Broken(cut(begin, what), false));
        }
        let most = match kind {
            kind::CHUNK => CHUNK_MAX,
            kind::ATTACHMENT => ATTACHMENT_MAX,
            _ => RECORD_MAX,
        };
        if length > most {
            let what = format!("a record of kind {kind} has {length} bytes, more than {most}");
            return Err(Broken(bad(begin, what), false));
        }
        let parsed = match kind {
            kind::ATTACHMENT if self.skip.attachments => {
                self.pass(length)?;
                Some(Record::Other)
            }
            kind::CHUNK if self.skip.before > 0 && length >= 16 => {
                let times = self.bytes(16)?;
                if u64_at(&times, 8) < self.skip.before {
                    self.pass(length - 16)?;
                    return Ok(Some(Record::Other));
                }
                let mut body = times;
                body.extend(self.bytes(length - 16)?);
                chunk(&body)
            }
            kind::DATA_END => return self.end(begin, length, before).map(|()| None),
            _ => {
                let body = self.bytes(length)?;
                parse(kind, &body)
            }
        };
        match parsed {
            Some(record) => Ok(Some(record)),
            None => {
                let what = format!("the record of kind {kind} does not hold what it says (checksum or lengths)");
                Err(Broken(bad(begin, what), true))
            }
        }
    }

    /// The end record: compares the checksum of everything before, then that of the summary.
    fn end(&mut self, begin: u64, length: u64, before: Option<crc32fast::Hasher>) -> Result<(), Broken> {
        let computed = before.map(crc32fast::Hasher::finalize);
        let body = self.bytes(length)?;
        let stored = body.try_into().map_or(0, u32::from_le_bytes);
        if computed.is_some_and(|crc| crc != stored) {
            return Err(Broken(bad(begin, "the checksum of the whole file differs: some byte before is wrong"), false));
        }
        let Some(mut rest) = (self.length - self.at).checked_sub(12) else {
            return Err(Broken(cut(self.at, "the file ends before its summary"), false));
        };
        let summary = self.at;
        self.crc = Some(crc32fast::Hasher::new());
        while rest > 0 {
            let step = rest.min(RECORD_MAX);
            self.bytes(step)?;
            rest -= step;
        }
        let computed = self.crc.take().map_or(0, crc32fast::Hasher::finalize);
        let tail = self.bytes(12)?;
        if tail[4..] != MAGIC {
            return Err(Broken(cut(summary, "the file ends inside its summary"), false));
        }
        if u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) != computed {
            return Err(Broken(bad(summary, "the checksum of the summary differs"), false));
        }
        Ok(())
    }

    /// The next bytes; their number has been compared with what is left.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Broken> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.input.read_exact(&mut bytes).map_err(|e| self.unreadable(&e))?;
        if let Some(crc) = &mut self.crc {
            crc.update(&bytes);
        }
        self.at += length;
        Ok(bytes)
    }

    fn pass(&mut self, length: u64) -> Result<(), Broken> {
        self.crc = None;
        self.at += length;
        self.input.seek(SeekFrom::Start(self.at)).map_err(|e| self.unreadable(&e))?;
        Ok(())
    }

    /// A file that became shorter while it was read is cut off like any other.
    fn unreadable(&self, e: &io::Error) -> Broken {
        let cut_off = e.kind() == io::ErrorKind::UnexpectedEof;
        Broken(Fault { at: self.at, cut_off, what: format!("cannot be read ({e})") }, false)
    }
}

impl<R: Read + Seek> Iterator for Reader<R> {
    type Item = Result<Record, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.next_record() {
            Ok(Some(record)) => Some(Ok(record)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(Broken(fault, goes_on)) => {
                self.ended = !goes_on;
                Some(Err(fault))
            }
        }
    }
}

/// The messages of a chunk. None in the place of a message that cannot be read; nothing follows it.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Option<Message<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let record = split(&mut bytes);
        if record.is_none() {
            bytes = &[];
        }
        Some(record)
    })
    .filter(|message| message.is_none_or(|m| m.channel != u16::MAX))
}

/// Takes the first record off. Records of a chunk that are no messages come out with the channel `u16::MAX`.
fn split<'a>(bytes: &mut &'a [u8]) -> Option<Message<'a>> {
    let mut rest = Fields(bytes);
    let kind = rest.bytes(1)?[0];
    let length = usize::try_from(rest.u64()?).ok()?;
    let mut body = Fields(rest.bytes(length)?);
    *bytes = rest.0;
    if kind != kind::MESSAGE {
        return Some(Message { channel: u16::MAX, sequence: 0, time: 0, data: &[] });
    }
    let (channel, sequence, time) = (body.u16()?, body.u32()?, body.u64()?);
    body.u64()?;
    Some(Message { channel, sequence, time, data: body.0 })
}

fn parse(kind: u8, body: &[u8]) -> Option<Record> {
    let mut f = Fields(body);
    Some(match kind {
        kind::HEADER => {
            f.text()?;
            Record::Header { library: f.text()? }
        }
        kind::CHANNEL => {
            let id = f.u16()?;
            f.u16()?;
            let (topic, encoding) = (f.text()?, f.text()?);
            f.map()?;
            Record::Channel { id, topic, encoding }
        }
        kind::CHUNK => return chunk(body),
        kind::ATTACHMENT => {
            f.bytes(16)?;
            let name = f.text()?;
            f.text()?;
            let length = usize::try_from(f.u64()?).ok()?;
            let data = f.bytes(length)?.to_vec();
            let stored = f.u32()?;
            if stored != 0 && stored != crc32fast::hash(&body[..body.len() - 4 - f.0.len()]) {
                return None;
            }
            Record::Attachment(Attachment { name, data })
        }
        kind::METADATA => Record::Metadata { name: f.text()?, entries: f.map()? },
        _ => Record::Other,
    })
}

/// Unpacks a chunk; None when lengths or checksum do not fit.
fn chunk(body: &[u8]) -> Option<Record> {
    let mut f = Fields(body);
    f.bytes(16)?;
    let (size, crc, compression) = (f.u64()?, f.u32()?, f.text()?);
    let length = usize::try_from(f.u64()?).ok()?;
    let packed = f.bytes(length)?;
    if size > CHUNK_MAX {
        return None;
    }
    let bytes = match compression.as_str() {
        "" => packed.to_vec(),
        LZ4 => {
            let mut bytes = Vec::new();
            // One byte more than announced, so that a longer content is noticed and a bomb goes no further.
            FrameDecoder::new(packed).take(size + 1).read_to_end(&mut bytes).ok()?;
            bytes
        }
        _ => return None,
    };
    let good = bytes.len() as u64 == size && (crc == 0 || crc == crc32fast::hash(&bytes));
    good.then_some(Record::Chunk { bytes })
}

fn cut(at: u64, what: impl Into<String>) -> Fault {
    Fault { at, cut_off: true, what: what.into() }
}

fn bad(at: u64, what: impl Into<String>) -> Fault {
    Fault { at, cut_off: false, what: what.into() }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Little-endian fields of a record; None when it is too short.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        String::from_utf8(self.bytes(length)?.to_vec()).ok()
    }

    fn map(&mut self) -> Option<BTreeMap<String, String>> {
        let length = self.u32()? as usize;
        let mut inside = Fields(self.bytes(length)?);
        let mut entries = BTreeMap::new();
        while !inside.0.is_empty() {
            entries.insert(inside.text()?, inside.text()?);
        }
        Some(entries)
    }
}
