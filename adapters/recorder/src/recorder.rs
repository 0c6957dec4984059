//! The recorder's thread: takes scans from a bounded queue, keeps one file open, begins the next one in time, and survives a full disk.
//!
//! Whoever records never waits: a scan that finds no room in the queue, or comes while nothing can be written, is dropped and counted, and the file
//! has a visible hole (`Item::sequence`). Words: *trouble* is the time in which nothing can be written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use flyball_config::Recorder as Settings;
use flyball_core::record::ScanRecord;
use flyball_core::time::UtcOffset;

use crate::file::{Item, Line, OpenFile, Preamble, Unfinished};
use crate::folder;
use crate::schema;

/// Most scans and bytes in the queue: half a minute of the fastest cycle, or what a disk that stands still for a while may hold back.
const QUEUE_SCANS: usize = 4_096;
const QUEUE_BYTES: usize = 64 << 20;
/// A chunk ends when it holds this much, even before its time.
const CHUNK_BYTES: usize = 1 << 20;
/// Looks at the clock while no scan comes.
const TICK: Duration = Duration::from_millis(250);
/// Between two looks at the limits of the folder.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Between two attempts to write again; `flush_every` when that is shorter.
const RETRY: Duration = Duration::from_secs(10);

/// Counters that everybody may read. SYNC POINT: each is a number of its own; Relaxed is enough.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes in the queue.
    queued: AtomicUsize,
    /// Scans that are on the disk or in the open chunk.
    recorded: AtomicU64,
    /// Scans that were not recorded.
    dropped: AtomicU64,
}

/// The side of the keeper. Dropping it writes everything and ends the thread.
#[derive(Debug)]
pub struct Recorder {
    queue: Option<Sender<Item>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    utc: UtcOffset,
    sequence: u32,
    last: Option<u64>,
    /// Dropped in a row because the queue is full.
    refused: u64,
    /// Bytes of the newest record: the next one is about as long.
    length: usize,
}

/// How much was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Scans handed to a file.
    pub recorded: u64,
    /// Scans that took place and are in no file.
    pub dropped: u64,
}

impl Recorder {
    /// Starts the thread. A folder that cannot be written is no error here: it is said loudly and tried again, because the loop matters more than
    /// its record.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(settings: &Settings, preamble: Preamble) -> io::Result<Self> {
        let (queue, items) = bounded(QUEUE_SCANS);
        let shared = Arc::new(Shared::default());
        let utc = preamble.header.utc;
        let thread = Thread {
            settings: settings.clone(),
            preamble,
            shared: Arc::clone(&shared),
            file: None,
            flushed: Instant::now(),
            pruned: None,
            due: 0,
            open: 0,
            now: 0,
            trouble: None,
            expected: None,
        };
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(move || thread.run(&items))?;
        Ok(Self {
            queue: Some(queue),
            shared,
            thread: Some(thread),
            utc,
            sequence: crate::FIRST - 1,
            last: None,
            refused: 0,
            length: 0,
        })
    }

    /// Records a scan with its sentences. Never waits.
    pub fn keep(&mut self, record: &ScanRecord, lines: Vec<Line>) {
        let number = record.cycle.number;
        // Scans that took place and never came here; scans that did not take place are in the record itself.
        let lost = self.last.map_or(0, |last| {
            number.saturating_sub(last).saturating_sub(1).saturating_sub(u64::from(record.cycle.missed))
        });
        self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        self.last = Some(number);
        // The sequence wraps like every sequence of MCAP.
        self.sequence = self.sequence.wrapping_add(lost as u32).wrapping_add(1);
        let mut replay = Vec::with_capacity(self.length + self.length / 4);
        record.to_bytes(&mut replay);
        self.length = replay.len();
        let item = Item {
            time: u64::try_from(self.utc.utc(record.cycle.now)).unwrap_or(0),
            sequence: self.sequence,
            keyframe: !record.keyframe.is_empty(),
            scan: schema::scan(record),
            replay,
            lines,
        };
        let size = item.size();
        let room = self.shared.queued.load(Ordering::Relaxed) + size <= QUEUE_BYTES;
        let Some(queue) = &self.queue else { return };
        self.shared.queued.fetch_add(size, Ordering::Relaxed);
        if room && queue.try_send(item).is_ok() {
            if self.refused > 0 {
                tracing::warn!("recorder: keeps up again; {} scans were not recorded", self.refused);
                self.refused = 0;
            }
            return;
        }
        self.shared.queued.fetch_sub(size, Ordering::Relaxed);
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        if self.refused == 0 {
            tracing::warn!("recorder: the disk is slower than the scans; scans are not recorded until it catches up");
        }
        self.refused += 1;
    }

    /// How much was recorded so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { recorded: count(&self.shared.recorded), dropped: count(&self.shared.dropped) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("thread recorder had panicked");
        }
    }
}

/// What the thread owns.
struct Thread {
    settings: Settings,
    preamble: Preamble,
    shared: Arc<Shared>,
    file: Option<OpenFile>,
    flushed: Instant,
    pruned: Option<Instant>,
    /// Scans since the file should have ended: it ends with the next keyframe.
    due: u32,
    /// Scans in the open chunk.
    open: u64,
    /// UTC of the newest scan, unix nanoseconds.
    now: u64,
    trouble: Option<Trouble>,
    /// Sequence of the next scan if none is missing.
    expected: Option<u32>,
}

/// Nothing can be written.
struct Trouble {
    tried: Instant,
    dropped: u64,
    why: String,
}

impl Thread {
    fn run(mut self, items: &Receiver<Item>) {
        loop {
            match items.recv_timeout(TICK) {
                Ok(item) => {
                    self.shared.queued.fetch_sub(item.size(), Ordering::Relaxed);
                    self.take(&item);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.flushed.elapsed() >= self.settings.flush_every {
                self.flush();
            }
        }
        let counts = (self.shared.recorded.load(Ordering::Relaxed), self.shared.dropped.load(Ordering::Relaxed));
        self.end_file();
        tracing::info!("recorder: {} scans recorded, {} not recorded", counts.0, counts.1);
    }

    fn take(&mut self, item: &Item) {
        self.now = item.time;
        self.rotate(item);
        if self.file.is_none() && !self.begin(item) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(trouble) = &mut self.trouble {
                trouble.dropped += 1;
            }
            return;
        }
        let Some(file) = &mut self.file else { return };
        let missing = self.expected.map_or(0, |expected| item.sequence.wrapping_sub(expected));
        if missing > 0 {
            let text = format!("{missing} scans before this one were not recorded");
            file.line(item.sequence, item.time, &Line { warning: true, text });
        }
        file.take(item);
        self.expected = Some(item.sequence.wrapping_add(1));
        self.shared.recorded.fetch_add(1, Ordering::Relaxed);
        self.open += 1;
        if file.open_bytes() >= CHUNK_BYTES {
            self.flush();
        }
    }

    /// Ends the file when it is large or old enough. The next one begins with a keyframe, so that it can be replayed alone.
    fn rotate(&mut self, item: &Item) {
        let Some(file) = &self.file else { return };
        let age = Duration::from_nanos(item.time.saturating_sub(file.begun));
        if file.recorded() < self.settings.file_size && age < self.settings.file_age {
            return;
        }
        self.due += 1;
        // A keyframe may be late while a solve is under way. One that never comes must not make an endless file.
        if item.keyframe || self.due > self.settings.keyframe_every.saturating_mul(2) {
            self.end_file();
        }
    }

    /// Begins a file; false when it cannot be written or it is not yet time to try again.
    fn begin(&mut self, item: &Item) -> bool {
        if self.trouble.as_ref().is_some_and(|t| t.tried.elapsed() < self.retry()) {
            return false;
        }
        let begun = self.room().and_then(|()| {
            OpenFile::begin(&self.settings.folder, &self.preamble, item.time)
                .map_err(|e| format!("no file can be begun in {} ({e})", self.settings.folder.display()))
        });
        match begun {
            Ok(file) => {
                tracing::info!("recorder: {}", file.path.display());
                self.file = Some(file);
                (self.due, self.pruned) = (0, None);
                self.flushed = Instant::now();
                if let Some(trouble) = self.trouble.take() {
                    tracing::warn!(
                        "recorder: records again; {} scans were not recorded ({})",
                        trouble.dropped,
                        trouble.why
                    );
                    if let Some(file) = &mut self.file {
                        let text = format!("{} scans were not recorded: {}", trouble.dropped, trouble.why);
                        file.line(item.sequence, item.time, &Line { warning: true, text });
                    }
                    self.expected = None;
                }
                self.prune();
                true
            }
            Err(why) => {
                self.in_trouble(why);
                false
            }
        }
    }

    /// Writes the open chunk; a failure ends the file where it is good.
    fn flush(&mut self) {
        self.flushed = Instant::now();
        let Some(file) = &mut self.file else { return };
        if file.open_bytes() == 0 {
            return;
        }
        let written = file.flush();
        match written {
            Ok(()) => {
                self.open = 0;
                if let Err(why) = self.room() {
                    self.end_file();
                    self.in_trouble(why);
                } else if self.pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
                    self.prune();
                }
            }
            Err(e) => {
                let path = file.path.clone();
                self.file = None;
                self.in_trouble(format!("{} cannot be written ({e}); its last chunk is lost", path.display()));
                self.lose_chunk();
            }
        }
    }

    fn end_file(&mut self) {
        let Some(file) = self.file.take() else { return };
        let path = file.path.clone();
        match file.finish() {
            Ok(()) => self.open = 0,
            Err(Unfinished { chunk_lost, error }) => {
                self.in_trouble(format!("the end of {} cannot be written ({error})", path.display()));
                if chunk_lost {
                    self.lose_chunk();
                }
                self.open = 0;
            }
        }
    }

    /// The scans of the open chunk are in no file.
    fn lose_chunk(&mut self) {
        let lost = std::mem::take(&mut self.open);
        self.shared.recorded.fetch_sub(lost, Ordering::Relaxed);
        self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        if let Some(trouble) = &mut self.trouble {
            trouble.dropped += lost;
        }
    }

    /// Time between two attempts to write again.
    fn retry(&self) -> Duration {
        RETRY.min(self.settings.flush_every)
    }

    /// The disk keeps its minimum of free space.
    fn room(&self) -> Result<(), String> {
        // A folder that is not there yet is made by the first file; the disk is asked for its nearest ancestor that is there.
        let folder = &self.settings.folder;
        let there = folder.ancestors().find(|f| f.is_dir()).map_or_else(|| PathBuf::from("."), PathBuf::from);
        match folder::free(&there) {
            Ok(free) if free < self.settings.min_free => Err(format!(
                "less than {} MiB (min_free) are free on the disk of {}: delete something, or lower min_free",
                self.settings.min_free >> 20,
                folder.display()
            )),
            Ok(_) => Ok(()),
            Err(e) => Err(format!("the disk of {} cannot be asked for free space ({e})", folder.display())),
        }
    }

    /// Says trouble once, when it begins and when its reason changes.
    fn in_trouble(&mut self, why: String) {
        let before = self.trouble.take();
        if before.as_ref().is_none_or(|t| t.why != why) {
            tracing::warn!("recorder: NOT RECORDING: {why}; control goes on, next attempt in {:?}", self.retry());
        }
        self.trouble = Some(Trouble { tried: Instant::now(), dropped: before.map_or(0, |t| t.dropped), why });
    }

    fn prune(&mut self) {
        self.pruned = Some(Instant::now());
        let Some(file) = &self.file else { return };
        let s = &self.settings;
        let now = i64::try_from(self.now).unwrap_or(i64::MAX);
        let name = &self.preamble.header.application;
        // A file of the size limit must find room too.
        let room = s.total_size.saturating_sub(s.file_size);
        match folder::prune(&s.folder, name, &file.path, now, room, s.total_age) {
            Ok(gone) => {
                for (path, limit) in gone {
                    tracing::info!("recorder: {} deleted ({limit})", path.display());
                }
            }
            Err(e) => tracing::warn!("recorder: old files in {} cannot be deleted ({e})", s.folder.display()),
        }
    }
}
