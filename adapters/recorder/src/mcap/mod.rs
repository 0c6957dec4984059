//! The MCAP container (specification 0 of mcap.dev), as much of it as a recording needs.
//!
//! Why not the crate `mcap`: it compresses by C libraries only, and it cannot give what a crash left of a file chunk by chunk. What is needed is
//! a dozen kinds of record, each a byte, a length and little-endian fields. docs/adr/0016-flight-recorder.md has the weighing.
//!
//! Words: a *record* is one of those; a *chunk* is a record that holds compressed messages; *data section* is everything before the summary.

pub mod read;
pub mod write;

/// First and last eight bytes of a file.
pub const MAGIC: [u8; 8] = [0x89, b'M', b'C', b'A', b'P', b'0', b'\r', b'\n'];
/// Name of the compression in MCAP: LZ4 frames.
pub const LZ4: &str = "lz4";
/// Bytes of a record before its content: kind and length.
pub const HEAD: u64 = 9;

/// Most bytes that one chunk may hold, before and after compression. A chunk of ours ends with the record that passes 1 MiB; one scan of 20,000 tags
/// is below 4 MiB and its keyframe below 64 MiB.
pub const CHUNK_MAX: u64 = 96 << 20;
/// Longest attachment: a model file (`MODEL_BYTES_MAX`, 64 MB) with its name.
pub const ATTACHMENT_MAX: u64 = 65 << 20;
/// Longest record of any other kind: the description of 20,000 tags.
pub const RECORD_MAX: u64 = 16 << 20;

/// Kinds of record.
#[allow(missing_docs, reason = "the names are the specification's")]
pub mod kind {
    pub const HEADER: u8 = 0x01;
    pub const FOOTER: u8 = 0x02;
    pub const SCHEMA: u8 = 0x03;
    pub const CHANNEL: u8 = 0x04;
    pub const MESSAGE: u8 = 0x05;
    pub const CHUNK: u8 = 0x06;
    pub const MESSAGE_INDEX: u8 = 0x07;
    pub const CHUNK_INDEX: u8 = 0x08;
    pub const ATTACHMENT: u8 = 0x09;
    pub const ATTACHMENT_INDEX: u8 = 0x0A;
    pub const STATISTICS: u8 = 0x0B;
    pub const METADATA: u8 = 0x0C;
    pub const METADATA_INDEX: u8 = 0x0D;
    pub const SUMMARY_OFFSET: u8 = 0x0E;
    pub const DATA_END: u8 = 0x0F;
}
