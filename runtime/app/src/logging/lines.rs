//! Log lines on their way to stderr: a bounded queue with a thread of its own. Why: whoever reads stderr may stop reading, and the disk
//! behind it may be full. A thread that serves a PLC must never wait for that, and must not end because of it.
//!
//! When the queue is full, lines are lost and counted; the count is said as soon as a line gets through again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait: some seconds of the loudest filter, below a megabyte.
const LINES: usize = 1_024;
/// Longest wait, twice, for the last lines at the end of the program.
const LAST_WORDS: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    /// Everything before it has been written.
    Done(Sender<()>),
}

/// The giving end. Clones give to the same thread.
#[derive(Clone)]
pub struct Lines {
    queue: Sender<Message>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    /// Starts the thread, which ends when all clones are gone.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, messages) = bounded(LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        std::thread::Builder::new().name("log".into()).spawn(move || write_all(out, &messages, &counted))?;
        Ok(Self { queue, lost })
    }

    /// Waits until everything so far has been written, two seconds at most.
    pub fn finish(&self) {
        let (done, all_written) = bounded(1);
        if self.queue.send_timeout(Message::Done(done), LAST_WORDS).is_ok() {
            // A blocked reader keeps the last lines from being written; the program ends all the same.
            let _ = all_written.recv_timeout(LAST_WORDS);
        }
    }
}

fn write_all(mut out: impl Write, messages: &Receiver<Message>, lost: &AtomicU64) {
    for message in messages {
        let line = match message {
            Message::Line(line) => line,
            Message::Done(done) => {
                // Whoever asked may have stopped waiting.
                let _ = done.try_send(());
                continue;
            }
        };
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(out, "{missing} log lines lost: they were not taken from stderr fast enough");
        }
        // A full disk or a closed pipe: there is nowhere to say so.
        let _ = out.write_all(&line);
    }
}

/// Collects one event and queues it as a line when dropped. Never blocks, never fails.
pub struct Line {
    to: Lines,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.to.queue.try_send(Message::Line(std::mem::take(&mut self.text))).is_err() {
            self.to.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { to: self.clone(), text: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Blocks until the gate is dropped, then keeps what comes.
    struct Slow(Option<Receiver<()>>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(gate) = self.0.take() {
                let _ = gate.recv();
            }
            self.1.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_nothing_else() {
        let (gate, closed) = bounded(1);
        let written = Arc::default();
        let lines = Lines::start(Slow(Some(closed), Arc::clone(&written))).expect("thread");
        for i in 0..LINES + 100 {
            writeln!(lines.make_writer(), "line {i}").expect("never fails");
        }
        drop(gate);
        lines.finish();
        writeln!(lines.make_writer(), "after").expect("never fails");
        lines.finish();
        let text = String::from_utf8(written.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("text");
        assert!(text.starts_with("line 0\n") && text.ends_with("after\n"), "{text}");
        // The thread holds one line while the others wait.
        let lost: Vec<&str> = text.lines().filter(|l| l.contains("log lines lost")).collect();
        assert!(
            lost == ["99 log lines lost: they were not taken from stderr fast enough"] || lost[0].starts_with("100 ")
        );
    }

    #[test]
    fn an_error_of_the_disk_ends_nothing() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let lines = Lines::start(full).expect("thread");
        writeln!(lines.make_writer(), "into nothing").expect("never fails");
        lines.finish();
        writeln!(lines.make_writer(), "again").expect("never fails");
        lines.finish();
        assert_eq!(lines.lost.load(Ordering::Relaxed), 0);
    }
}
