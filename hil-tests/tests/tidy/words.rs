//! Words that may stand only in named places: clocks, waits, async, what the scan may not know, left-overs.
//!
//! A *ban* lists words, the part of a file it looks at, the paths it covers, and the *owners*: files (or folders, ending in `/`) in which
//! the words may stand, each with its reason. To add an owner, write why nobody else can do it.

use crate::tree::{Complaint, File, Tree, is_word};

/// Which text of a file a ban looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Rust code of programs, without comments, strings and tests.
    Production,
    /// Rust code, tests included.
    Code,
    /// Everything in every text file.
    Text,
    /// Everything in every text file, in any case.
    AnyCase,
}

struct Ban {
    words: &'static [&'static str],
    part: Part,
    /// Paths it covers; empty covers all.
    covers: &'static [&'static str],
    /// Where the words may stand, and why.
    owners: &'static [(&'static str, &'static str)],
    instead: &'static str,
}

/// This file names what it forbids.
const SELF: (&str, &str) = ("hil-tests/tests/tidy/", "names what it forbids");

const BANS: &[Ban] = &[
    Ban {
        words: &["Instant::now", "SystemTime::now", "clock_gettime", ".elapsed()"],
        part: Part::Production,
        covers: &[],
        owners: &[
            ("runtime/app/src/clock.rs", "the process clock: monotonic time, and UTC once at start"),
            ("adapters/", "links own their deadlines; stamps come from the Clock port"),
            ("hil-tests/rig/", "the simulated PLC has a scan time of its own"),
            ("hil-tests/src/", "harness of tests on real sockets"),
            ("models/bench/src/ceiling.rs", "measures the machine's rates"),
            ("models/bench/src/measure.rs", "times single runs of every engine with the same clock"),
        ],
        instead: "take a Timestamp as an argument: the executive reads the clock once per scan (ScanCycle::now), links use the Clock port",
    },
    Ban {
        words: &[
            "thread::sleep",
            "time::sleep",
            "sleep_until",
            "park_timeout",
            "wait_timeout",
            "clock_nanosleep",
            "spin_loop",
        ],
        part: Part::Production,
        covers: &[],
        owners: &[
            ("runtime/app/src/clock.rs", "the pacer's absolute sleep"),
            ("adapters/", "links wait for the wire and for reconnects"),
            ("hil-tests/rig/", "the simulated PLC paces its scan, proxies delay bytes"),
            ("hil-tests/src/", "harness of tests on real sockets"),
            ("models/bench/src/measure.rs", "rests between turns, so that the kernel need not stop a real-time thread"),
        ],
        instead: "waiting belongs to the pacer (Clock::wait_until) and to the link threads; give what must wait a thread of its own",
    },
    Ban {
        words: &["async fn", "async move", "async {", "async ||", ".await", "tokio"],
        part: Part::Production,
        covers: &[],
        owners: &[
            ("adapters/", "sockets"),
            ("hil-tests/", "simulated peers on sockets and their tests"),
            ("runtime/app/src/application.rs", "hands each link thread the bell of its runtime"),
        ],
        instead: "async stays in adapters, the rig and the link and service files of the program; hand values over through core's exchange",
    },
    Ban {
        words: &[
            "HashMap",
            "HashSet",
            "RandomState",
            "tracing",
            "log::",
            "println!",
            "eprintln!",
            "print!",
            "format!",
            "std::io",
            "std::fs",
            "std::net",
            "std::env",
            "thread::",
            "Mutex",
            "RwLock",
            "rand::",
            "Instant",
            "SystemTime",
            "opcua",
            "tract",
            "modbus",
        ],
        part: Part::Production,
        covers: &["runtime/core/src/"],
        owners: &[],
        instead: "the scan is pure: arrays by TagId, events as Copy enums in the report, everything from outside through the six ports",
    },
    Ban {
        words: &[".unwrap()"],
        part: Part::Production,
        covers: &[],
        owners: &[],
        instead: "handle it, or .expect(\"why it cannot fail\")",
    },
    Ban {
        words: &["todo!", "unimplemented!", "dbg!"],
        part: Part::Code,
        covers: &[],
        owners: &[],
        instead: "build it or leave it out; a plan stands in the documents, marked *planned*",
    },
    Ban {
        words: &["TODO", "FIXME", "XXX", "HACK"],
        part: Part::Text,
        covers: &[],
        owners: &[SELF],
        instead: "mend it now, or write an issue and say in the comment what holds today",
    },
    Ban {
        words: &["/work/", "/tmp/", "/root/", "/home/"],
        part: Part::Text,
        covers: &[],
        owners: &[SELF],
        instead: "a path of one machine. Use a path relative to the project, tempfile, or a placeholder such as FOLDER",
    },
    Ban {
        words: &["llm", "language model", "chatbot", "subagent", "ai-generated", "generated by ai", "co-authored-by"],
        part: Part::AnyCase,
        covers: &[],
        owners: &[SELF],
        instead: "say what the thing does and why; how the text came about does not help its reader",
    },
];

/// All complaints about one file.
pub fn check(file: &File) -> Vec<Complaint> {
    BANS.iter().flat_map(|ban| broken(ban, file)).collect()
}

/// Owners that no longer exist.
pub fn stale_places(tree: &Tree) -> Vec<Complaint> {
    let owners = BANS.iter().flat_map(|ban| ban.owners);
    let stale = owners.filter(|(place, _)| !tree.files.iter().any(|f| f.path.starts_with(place)));
    stale
        .map(|(place, reason)| {
            Complaint::new(
                "hil-tests/tests/tidy/words.rs",
                0,
                format!("owner {place} ({reason}) does not exist: remove the entry"),
            )
        })
        .collect()
}

fn broken(ban: &Ban, file: &File) -> Vec<Complaint> {
    let covered = ban.covers.is_empty() || ban.covers.iter().any(|c| file.path.starts_with(c));
    if !covered || ban.owners.iter().any(|(owner, _)| file.path.starts_with(owner)) {
        return Vec::new();
    }
    let lower;
    let text = match ban.part {
        Part::Production => file.production_code(),
        Part::Code => &file.code,
        Part::Text => &file.text,
        Part::AnyCase => {
            lower = file.text.to_lowercase();
            &lower
        }
    };
    let mut complaints = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(word) = ban.words.iter().find(|word| stands_in(line, word)) {
            complaints.push(Complaint::new(&file.path, number, format!("`{word}`: {}", ban.instead)));
        }
    }
    complaints
}

/// The word stands in the line as a word of its own: `unsafe` is not in `unsafe_code`, `/work/` is not in `frame/work/`.
fn stands_in(line: &str, word: &str) -> bool {
    let edge = |outside: Option<char>, inside: Option<char>| match (outside, inside) {
        (Some(out), Some('/')) => !is_word(out) && !".-<>{}$~".contains(out),
        (Some(out), Some(inner)) => !(is_word(out) && is_word(inner)),
        _ => true,
    };
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        // A path may go on after its last slash.
        let ends = word.ends_with('/') || edge(after, word.chars().next_back());
        edge(before, word.chars().next()) && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of complaints about a file with this one line.
    fn complaints(path: &str, line: &str) -> usize {
        check(&File::new(path, line)).len()
    }

    #[test]
    fn each_ban_can_fail() {
        for (path, line) in [
            ("runtime/app/src/x.rs", "let t = std::time::Instant::now();"),
            ("models/src/x.rs", "let t = SystemTime::now();"),
            ("models/src/x.rs", "std::thread::sleep(d);"),
            ("config/src/x.rs", "async fn f() {}"),
            ("runtime/core/src/x.rs", "use std::collections::HashMap;"),
            ("runtime/core/src/x.rs", "tracing::info!();"),
            ("runtime/core/src/x.rs", "println!();"),
            ("adapters/opcua/src/x.rs", "x.unwrap();"),
            ("adapters/opcua/tests/x.rs", "todo!()"),
            ("adapters/opcua/tests/x.rs", "dbg!(x)"),
            ("docs/X.md", "FIXME later"),
            ("docs/X.md", "see `/tmp/x`"),
            ("config/examples/x.toml", "file = \"/home/me/x\""),
            ("docs/X.md", "Generated by AI"),
        ] {
            assert_eq!(complaints(path, line), 1, "{path}: {line}");
        }
    }

    #[test]
    fn what_is_allowed_passes() {
        for (path, line) in [
            ("adapters/opcua/src/x.rs", "let t = Instant::now(); sleep(d).await;"),
            ("models/src/x.rs", "// Instant::now is the executive's"),
            ("models/src/x.rs", "let s = \"todo!\";"),
            ("models/tests/x.rs", "std::thread::sleep(d); x.unwrap();"),
            ("runtime/core/src/x.rs", "#[cfg(test)]\nmod tests { use std::collections::HashMap; }"),
            ("models/src/x.rs", "x.unwrap_or(3)"),
            ("docs/X.md", "see frame/work/x, a small model, AI-101"),
        ] {
            assert_eq!(complaints(path, line), 0, "{path}: {line}");
        }
    }

    #[test]
    fn the_complaint_names_place_and_way_out() {
        let all = check(&File::new("models/src/x.rs", "\nx.unwrap();"));
        assert_eq!(
            all.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["models/src/x.rs:2: `.unwrap()`: handle it, or .expect(\"why it cannot fail\")"]
        );
    }

    #[test]
    fn an_owner_that_is_gone_is_told() {
        assert!(!stale_places(&Tree { files: Vec::new() }).is_empty());
    }
}
