//! Why: what a child says is shown to people, so it is made harmless first: bounded, one line, no control characters.

use std::io::{BufRead, BufReader, Read};

/// Longest log line of a child; the rest comes as another line.
const LINE_MAX: u64 = 2_000;
/// Log lines of one child that are passed on; a child that writes more has other troubles and its pipe is still emptied.
const LINES_MAX: u64 = 20_000;

/// One line of printable text, at most `max` characters.
pub(super) fn plain(text: &str, max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect()
}

/// Passes a child's stderr on as log lines until it closes.
pub(super) fn forward_lines(from: impl Read) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    for count in 1u64.. {
        line.clear();
        match from.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if count < LINES_MAX => log_again(&plain(&String::from_utf8_lossy(&line), LINE_MAX as usize)),
            Ok(_) if count == LINES_MAX => tracing::warn!("service: {LINES_MAX} log lines; further ones are dropped"),
            Ok(_) => {}
        }
    }
}

/// One line of the child, at the level that it begins with.
fn log_again(line: &str) {
    let line = line.trim();
    let (level, rest) = line.split_once(' ').unwrap_or(("", line));
    match level {
        "ERROR" => tracing::error!("service: {}", rest.trim_start()),
        "WARN" => tracing::warn!("service: {}", rest.trim_start()),
        "INFO" => tracing::info!("service: {}", rest.trim_start()),
        "DEBUG" | "TRACE" => tracing::debug!("service: {}", rest.trim_start()),
        // Not from the log: a panic message, or a library that prints.
        _ => tracing::warn!("service: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_length_are_taken_out() {
        assert_eq!(plain("a\x1b[2Jb\nc", 100), "a [2Jb c");
        assert_eq!(plain("abcdef", 3), "abc");
    }
}
