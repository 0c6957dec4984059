//! Why: one place that decides where log lines go: text or JSON to stderr, and a bounded ring for the live view.
//!
//! The scan thread never logs; the record thread turns its records into lines. stdout stays free: it carries reports, and in the
//! service process it is the channel to control.

mod lines;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use lines::Lines;

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogForm {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

/// Environment variable with a filter such as `info` or `flyball=debug,opcua=warn`.
pub const LOG_VARIABLE: &str = "FLYBALL_LOG";

/// Lines kept for the live view.
const RING_LINES: usize = 200;

/// The newest log lines, for the live view. Bounded: the oldest line goes first.
#[derive(Debug, Clone, Default)]
pub struct LogRing(Arc<Mutex<VecDeque<String>>>);

impl LogRing {
    /// The newest `count` lines, oldest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

/// Collects one event and hands it to the ring as a line when dropped.
pub struct RingWriter {
    ring: LogRing,
    line: Vec<u8>,
}

impl Write for RingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        let mut lines = self.ring.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == RING_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}

impl<'a> MakeWriter<'a> for LogRing {
    type Writer = RingWriter;

    fn make_writer(&'a self) -> RingWriter {
        RingWriter { ring: self.clone(), line: Vec::new() }
    }
}

/// The filter of `FLYBALL_LOG`, or the default: our own info and others' warnings.
///
/// # Errors
/// When the variable cannot be parsed; the sentence shows two filters that can.
pub fn filter(variable: Option<&str>) -> Result<Targets, String> {
    let Some(text) = variable else {
        // The OPC UA stack warns of ordinary things (each refused client, each new session); our links say what matters in their own
        // words. `FLYBALL_LOG=info` brings it back.
        return Ok(Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("flyball", LevelFilter::INFO)
            .with_target("opcua", LevelFilter::OFF));
    };
    text.parse::<Targets>().map_err(|e| {
        format!("{LOG_VARIABLE}={text} is not a log filter ({e}). Use a level (`info`) or `flyball=debug,opcua=warn`.")
    })
}

/// The way to stderr, once somebody logs to it.
static STDERR: OnceLock<Lines> = OnceLock::new();

/// Starts logging to stderr. Whoever logs never waits for who reads it.
///
/// # Errors
/// A filter that cannot be parsed; no thread.
pub fn to_stderr(form: LogForm) -> Result<(), String> {
    let filter = filter(std::env::var(LOG_VARIABLE).ok().as_deref())?;
    let lines = Lines::start(io::stderr()).map_err(|e| format!("the log gets no thread: {e}"))?;
    let lines = STDERR.get_or_init(|| lines).clone();
    let layer = match form {
        LogForm::Text => {
            fmt::layer().with_ansi(io::stderr().is_terminal()).with_target(false).with_writer(lines).boxed()
        }
        LogForm::Json => fmt::layer().json().flatten_event(true).with_writer(lines).boxed(),
    };
    // Already set happens only when two runs share one process (tests); the first one stays.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(())
}

/// Waits, two seconds at most, until what was logged to stderr has been written. Before the program ends.
pub fn finish() {
    if let Some(lines) = STDERR.get() {
        lines.finish();
    }
}

/// Starts logging in the service process: level and text only, because control puts time and form to every line again.
///
/// # Errors
/// A filter that cannot be parsed.
pub fn to_control() -> Result<(), String> {
    let filter = filter(std::env::var(LOG_VARIABLE).ok().as_deref())?;
    let layer = fmt::layer().with_ansi(false).with_target(false).without_time().with_writer(io::stderr);
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(())
}

/// Starts logging into a ring, for the live view that owns the terminal.
///
/// # Errors
/// A filter that cannot be parsed.
pub fn to_ring() -> Result<LogRing, String> {
    let filter = filter(std::env::var(LOG_VARIABLE).ok().as_deref())?;
    let ring = LogRing::default();
    let layer = fmt::layer().with_ansi(false).with_target(false).without_time().with_writer(ring.clone());
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_lines() {
        let ring = LogRing::default();
        let layer = fmt::layer().with_ansi(false).with_target(false).without_time().with_writer(ring.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for i in 0..RING_LINES + 5 {
                tracing::info!(i, "line");
            }
        });
        let newest = ring.newest(2);
        assert_eq!(newest.len(), 2);
        assert!(newest[1].contains("line") && newest[1].contains("i=204"), "{newest:?}");
        assert_eq!(ring.newest(10_000).len(), RING_LINES);
    }

    #[test]
    fn a_bad_filter_is_explained() {
        let e = filter(Some("flyball=loud")).expect_err("no such level");
        assert!(e.contains("FLYBALL_LOG=flyball=loud") && e.contains("Use a level"), "{e}");
        let quiet = filter(None).expect("default");
        assert!(quiet.would_enable("flyball::service", &tracing::Level::INFO));
        assert!(!quiet.would_enable("opcua_server", &tracing::Level::INFO));
    }
}
