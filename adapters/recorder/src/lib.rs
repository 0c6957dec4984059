//! The flight recorder: every scan of an application in MCAP files, and reading them back.
//!
//! Writing: `Recorder` (a thread of its own; whoever feeds it never waits). Reading: `Recording`. What is in a file, and how to open it with other
//! programs: docs/RECORDING.md. Why it is so: docs/adr/0016-flight-recorder.md.

mod file;
pub mod folder;
mod header;
pub mod mcap;
mod protobuf;
mod recorder;
mod recording;
pub mod schema;
pub mod utc;

pub use file::{EVENTS, Line, Preamble, REPLAY, REPLAY_ENCODING, SCANS};
pub use header::{Header, RECORD_FORMAT, Source, sources};
pub use mcap::read::Attachment;
pub use protobuf::identifiers;
pub use recorder::{Counts, Recorder};
pub use recording::{Fault, Gap, RecordedFile, Recording, Scan, Scans, Survey};

/// Sequence number of the first scan of a run. A recording that begins with another one begins in the middle.
pub const FIRST: u32 = 1;
