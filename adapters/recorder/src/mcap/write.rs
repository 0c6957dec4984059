//! Writing an MCAP file front to back: nothing that was written is ever changed, so what is on disk stays readable whatever happens next.
//!
//! Messages collect in a chunk until `flush`; everything else goes out at once. The summary at the end lets viewers jump; a file without it is read
//! from the front.

use std::collections::BTreeMap;
use std::io::{self, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::{LZ4, MAGIC, kind};

/// A channel of a file.
#[derive(Debug, Clone, Copy)]
pub struct Channel<'a> {
    /// Its number in the file.
    pub id: u16,
    /// Number of its schema; 0 for none.
    pub schema: u16,
    /// Topic, as `/scan`.
    pub topic: &'a str,
    /// How messages are encoded.
    pub encoding: &'a str,
    /// More about it.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// Writes one file.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    /// Bytes handed to `out`.
    at: u64,
    /// CRC of everything up to here.
    crc: crc32fast::Hasher,
    buffer: Vec<u8>,
    chunk: Chunk,
    summary: Summary,
}

/// The open chunk.
#[derive(Debug, Default)]
struct Chunk {
    records: Vec<u8>,
    first: u64,
    last: u64,
    /// Time and place of each message, by channel.
    index: BTreeMap<u16, Vec<(u64, u64)>>,
    messages: u64,
}

/// What is repeated at the end.
#[derive(Debug, Default)]
struct Summary {
    schemas: Vec<u8>,
    channels: Vec<u8>,
    chunks: Vec<u8>,
    attachments: Vec<u8>,
    metadata: Vec<u8>,
    schema_count: u16,
    channel_count: u32,
    attachment_count: u32,
    metadata_count: u32,
    chunk_count: u32,
    messages: BTreeMap<u16, u64>,
    first: Option<u64>,
    last: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(out: W, profile: &str, library: &str) -> io::Result<Self> {
        let mut writer = Self {
            out,
            at: 0,
            crc: crc32fast::Hasher::new(),
            buffer: Vec::new(),
            chunk: Chunk::default(),
            summary: Summary::default(),
        };
        writer.buffer.extend(MAGIC);
        record(&mut writer.buffer, kind::HEADER, |b| {
            text(b, profile);
            text(b, library);
        });
        writer.emit()?;
        Ok(writer)
    }

    /// Bytes written so far; the open chunk is not in them.
    pub fn written(&self) -> u64 {
        self.at
    }

    /// Bytes of the open chunk before compression.
    pub fn open_bytes(&self) -> usize {
        self.chunk.records.len()
    }

    /// Where it writes to.
    pub fn get(&self) -> &W {
        &self.out
    }

    /// A schema; numbers begin at 1.
    ///
    /// # Errors
    /// What `out` says.
    pub fn schema(&mut self, id: u16, name: &str, encoding: &str, data: &[u8]) -> io::Result<()> {
        record(&mut self.buffer, kind::SCHEMA, |b| {
            b.extend(id.to_le_bytes());
            text(b, name);
            text(b, encoding);
            b.extend(len32(data.len()));
            b.extend(data);
        });
        self.summary.schemas.extend(&self.buffer);
        self.summary.schema_count += 1;
        self.emit()
    }

    /// A channel.
    ///
    /// # Errors
    /// What `out` says.
    pub fn channel(&mut self, channel: &Channel<'_>) -> io::Result<()> {
        record(&mut self.buffer, kind::CHANNEL, |b| {
            b.extend(channel.id.to_le_bytes());
            b.extend(channel.schema.to_le_bytes());
            text(b, channel.topic);
            text(b, channel.encoding);
            map(b, channel.metadata.iter().copied());
        });
        self.summary.channels.extend(&self.buffer);
        self.summary.channel_count += 1;
        self.emit()
    }

    /// Names with values.
    ///
    /// # Errors
    /// What `out` says.
    pub fn metadata(&mut self, name: &str, entries: &BTreeMap<String, String>) -> io::Result<()> {
        record(&mut self.buffer, kind::METADATA, |b| {
            text(b, name);
            map(b, entries.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        });
        let (at, length) = (self.at, self.buffer.len() as u64);
        record(&mut self.summary.metadata, kind::METADATA_INDEX, |b| {
            b.extend(at.to_le_bytes());
            b.extend(length.to_le_bytes());
            text(b, name);
        });
        self.summary.metadata_count += 1;
        self.emit()
    }

    /// A whole file inside this file.
    ///
    /// # Errors
    /// What `out` says.
    pub fn attachment(&mut self, time: u64, name: &str, media: &str, data: &[u8]) -> io::Result<()> {
        record(&mut self.buffer, kind::ATTACHMENT, |b| {
            let from = b.len();
            b.extend(time.to_le_bytes());
            b.extend(time.to_le_bytes());
            text(b, name);
            text(b, media);
            b.extend((data.len() as u64).to_le_bytes());
            b.extend(data);
            let crc = crc32fast::hash(&b[from..]);
            b.extend(crc.to_le_bytes());
        });
        let (at, length) = (self.at, self.buffer.len() as u64);
        record(&mut self.summary.attachments, kind::ATTACHMENT_INDEX, |b| {
            for number in [at, length, time, time, data.len() as u64] {
                b.extend(number.to_le_bytes());
            }
            text(b, name);
            text(b, media);
        });
        self.summary.attachment_count += 1;
        self.emit()
    }

    /// Adds a message to the open chunk.
    pub fn message(&mut self, channel: u16, sequence: u32, time: u64, data: &[u8]) {
        let chunk = &mut self.chunk;
        if chunk.messages == 0 {
            (chunk.first, chunk.last) = (time, time);
        }
        (chunk.first, chunk.last) = (chunk.first.min(time), chunk.last.max(time));
        chunk.messages += 1;
        chunk.index.entry(channel).or_default().push((time, chunk.records.len() as u64));
        record(&mut chunk.records, kind::MESSAGE, |b| {
            b.extend(channel.to_le_bytes());
            b.extend(sequence.to_le_bytes());
            b.extend(time.to_le_bytes());
            b.extend(time.to_le_bytes());
            b.extend(data);
        });
    }

    /// Closes the open chunk and writes it, in one call of `out`. Nothing happens when it is empty.
    ///
    /// # Errors
    /// What `out` says; the messages of the chunk are lost then.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.chunk.messages == 0 {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        let compressed = compress(&chunk.records)?;
        record(&mut self.buffer, kind::CHUNK, |b| {
            b.extend(chunk.first.to_le_bytes());
            b.extend(chunk.last.to_le_bytes());
            b.extend((chunk.records.len() as u64).to_le_bytes());
            b.extend(crc32fast::hash(&chunk.records).to_le_bytes());
            text(b, LZ4);
            b.extend((compressed.len() as u64).to_le_bytes());
            b.extend(&compressed);
        });
        let (begin, length) = (self.at, self.buffer.len() as u64);
        let mut places = Vec::new();
        for (channel, entries) in &chunk.index {
            places.push((*channel, begin + self.buffer.len() as u64));
            record(&mut self.buffer, kind::MESSAGE_INDEX, |b| {
                b.extend(channel.to_le_bytes());
                b.extend(len32(entries.len() * 16));
                for (time, place) in entries {
                    b.extend(time.to_le_bytes());
                    b.extend(place.to_le_bytes());
                }
            });
        }
        let index_length = self.buffer.len() as u64 - length;
        record(&mut self.summary.chunks, kind::CHUNK_INDEX, |b| {
            for number in [chunk.first, chunk.last, begin, length] {
                b.extend(number.to_le_bytes());
            }
            b.extend(len32(places.len() * 10));
            for (channel, place) in &places {
                b.extend(channel.to_le_bytes());
                b.extend(place.to_le_bytes());
            }
            b.extend(index_length.to_le_bytes());
            text(b, LZ4);
            b.extend((compressed.len() as u64).to_le_bytes());
            b.extend((chunk.records.len() as u64).to_le_bytes());
        });
        self.emit()?;
        let s = &mut self.summary;
        s.chunk_count += 1;
        s.first = Some(s.first.map_or(chunk.first, |first| first.min(chunk.first)));
        s.last = s.last.max(chunk.last);
        for (channel, entries) in &chunk.index {
            *s.messages.entry(*channel).or_default() += entries.len() as u64;
        }
        Ok(())
    }

    /// Writes the last chunk and the summary. The file is complete then.
    ///
    /// # Errors
    /// What `out` says; the file stays readable up to the last whole chunk.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        let crc = std::mem::take(&mut self.crc).finalize();
        record(&mut self.buffer, kind::DATA_END, |b| b.extend(crc.to_le_bytes()));
        let end = self.buffer.len();
        let start = self.at + end as u64;
        let s = std::mem::take(&mut self.summary);
        let mut statistics = Vec::new();
        record(&mut statistics, kind::STATISTICS, |b| {
            b.extend(s.messages.values().sum::<u64>().to_le_bytes());
            b.extend(s.schema_count.to_le_bytes());
            for count in [s.channel_count, s.attachment_count, s.metadata_count, s.chunk_count] {
                b.extend(count.to_le_bytes());
            }
            b.extend(s.first.unwrap_or(0).to_le_bytes());
            b.extend(s.last.to_le_bytes());
            b.extend(len32(s.messages.len() * 10));
            for (channel, count) in &s.messages {
                b.extend(channel.to_le_bytes());
                b.extend(count.to_le_bytes());
            }
        });
        let groups = [
            (kind::SCHEMA, &s.schemas),
            (kind::CHANNEL, &s.channels),
            (kind::STATISTICS, &statistics),
            (kind::CHUNK_INDEX, &s.chunks),
            (kind::ATTACHMENT_INDEX, &s.attachments),
            (kind::METADATA_INDEX, &s.metadata),
        ];
        let mut offsets = Vec::new();
        for (group, bytes) in groups.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let place = self.at + self.buffer.len() as u64;
            self.buffer.extend(*bytes);
            record(&mut offsets, kind::SUMMARY_OFFSET, |b| {
                b.push(*group);
                b.extend(place.to_le_bytes());
                b.extend((bytes.len() as u64).to_le_bytes());
            });
        }
        let offset_start = self.at + self.buffer.len() as u64;
        self.buffer.extend(offsets);
        // The CRC covers the summary and the footer up to the CRC itself.
        self.buffer.push(kind::FOOTER);
        self.buffer.extend(20_u64.to_le_bytes());
        self.buffer.extend(start.to_le_bytes());
        self.buffer.extend(offset_start.to_le_bytes());
        let crc = crc32fast::hash(&self.buffer[end..]);
        self.buffer.extend(crc.to_le_bytes());
        self.buffer.extend(MAGIC);
        self.emit()?;
        Ok(self.out)
    }

    /// Hands the buffer over in one call.
    fn emit(&mut self) -> io::Result<()> {
        let done = self.out.write_all(&self.buffer);
        self.crc.update(&self.buffer);
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        done
    }
}

/// Independent blocks: every reader of LZ4 frames knows them.
fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let info = FrameInfo::new().block_size(BlockSize::Max1MB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(bytes.len() / 2));
    encoder.write_all(bytes)?;
    encoder.finish().map_err(io::Error::other)
}

/// Kind, length, content.
fn record(out: &mut Vec<u8>, kind: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend([0; 8]);
    content(out);
    let length = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&length.to_le_bytes());
}

/// Lengths inside records have 32 bits; what is written is bounded far below (`CHUNK_MAX`).
fn len32(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("nothing that is written here reaches 4 GiB").to_le_bytes()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(len32(text.len()));
    out.extend(text.as_bytes());
}

fn map<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    let at = out.len();
    out.extend([0; 4]);
    for (key, value) in entries {
        text(out, key);
        text(out, value);
    }
    let length = len32(out.len() - at - 4);
    out[at..at + 4].copy_from_slice(&length);
}
