//! The folder of recordings: names of files, and which may be deleted.
//!
//! Only a file that has a name of ours *and* says inside that flyball wrote it is ever deleted.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::mcap::MAGIC;
use crate::utc::compact;

/// End of a file's name.
pub const END: &str = "mcap";
/// What the header of a file says about who wrote it; the version follows.
pub const LIBRARY: &str = "flyball";
/// Files of one second that find a name of their own.
const SAME_SECOND: u32 = 1_000;

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Written last, unix nanoseconds.
    pub written: i64,
}

/// Makes the folder and in it a new file that is named after application and time. Never overwrites.
///
/// # Errors
/// What the operating system says.
pub fn create(folder: &Path, application: &str, unix_nanos: i64) -> io::Result<(PathBuf, File)> {
    DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    let stamp = compact(unix_nanos);
    for n in 1..=SAME_SECOND {
        let more = if n == 1 { String::new() } else { format!("_{n}") };
        let path = folder.join(format!("{application}_{stamp}{more}.{END}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other(format!("{SAME_SECOND} files begin in the same second")))
}

/// The application's files, oldest first.
///
/// # Errors
/// The folder cannot be listed.
pub fn list(folder: &Path, application: &str) -> io::Result<Vec<Kept>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(order) = name.to_str().and_then(|n| order(n, application)) else { continue };
        // A file that is deleted by somebody else in this moment is no error.
        let Ok(about) = entry.metadata() else { continue };
        if !about.is_file() {
            continue;
        }
        let since = about.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::ZERO);
        let written = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        found.push((order, Kept { path: entry.path(), size: about.len(), written }));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found.into_iter().map(|(_, kept)| kept).collect())
}

/// Stamp and number of a name of ours: `NAME_20261130T145626Z.mcap`, `NAME_20261130T145626Z_2.mcap`.
fn order(name: &str, application: &str) -> Option<(String, u32)> {
    let rest = name.strip_prefix(application)?.strip_prefix('_')?.strip_suffix(END)?.strip_suffix('.')?;
    let (stamp, number) = match rest.split_once('_') {
        None => (rest, 1),
        Some((stamp, number)) => (stamp, number.parse().ok().filter(|n| (2..=SAME_SECOND).contains(n))?),
    };
    let shape = stamp.len() == 16
        && stamp.bytes().enumerate().all(|(at, b)| match at {
            8 => b == b'T',
            15 => b == b'Z',
            _ => b.is_ascii_digit(),
        });
    shape.then(|| (stamp.to_owned(), number))
}

/// Deletes the oldest files until the rest is below both limits; `open` is never deleted. Returns what went, with the reason.
///
/// # Errors
/// The folder cannot be listed, or a file cannot be deleted.
pub fn prune(
    folder: &Path,
    application: &str,
    open: &Path,
    now: i64,
    total_size: u64,
    total_age: Duration,
) -> io::Result<Vec<(PathBuf, &'static str)>> {
    let mut gone = Vec::new();
    let kept = list(folder, application)?;
    let mut sum: u64 = kept.iter().map(|k| k.size).sum();
    let eldest = now.saturating_sub(i64::try_from(total_age.as_nanos()).unwrap_or(i64::MAX));
    for old in kept.iter().filter(|k| k.path != open) {
        let reason = if sum > total_size {
            "total_size"
        } else if old.written < eldest {
            "total_age"
        } else {
            break;
        };
        if is_ours(&old.path) {
            fs::remove_file(&old.path)?;
            sum -= old.size;
            gone.push((old.path.clone(), reason));
        }
    }
    Ok(gone)
}

/// The file begins as flyball begins its files.
pub fn is_ours(path: &Path) -> bool {
    // Mark, kind and length of the header, an empty profile, then the length of the library's name and the name.
    let mut head = [0; 8 + 9 + 4 + 4 + LIBRARY.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.starts_with(&MAGIC) && head.ends_with(LIBRARY.as_bytes())
}

/// Bytes that are free for this user on the disk of the folder.
///
/// # Errors
/// What the operating system says.
pub fn free(folder: &Path) -> io::Result<u64> {
    let about = nix::sys::statvfs::statvfs(folder)?;
    Ok((about.blocks_available() as u64).saturating_mul(about.fragment_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcap::write::Writer;

    fn write(path: &Path, library: &str, bytes: usize) {
        let mut file = Writer::new(Vec::new(), "", library).expect("memory").finish().expect("memory");
        file.resize(bytes, 0);
        fs::write(path, file).expect("written");
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("listed")
            .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_files_of_ours_are_seen() {
        for (name, ours) in [
            ("R101_20261130T145626Z.mcap", true),
            ("R101_20261130T145626Z_2.mcap", true),
            ("R101_20261130T145626Z_1.mcap", false),
            ("R101_20261130T145626Z_x.mcap", false),
            ("R101_20261130T145626.mcap", false),
            ("R101_2026113XT145626Z.mcap", false),
            ("R101-B_20261130T145626Z.mcap", false),
            ("R101_20261130T145626Z.mcap.bak", false),
            ("copy of R101_20261130T145626Z.mcap", false),
        ] {
            assert_eq!(order(name, "R101").is_some(), ours, "{name}");
        }
    }

    #[test]
    fn the_oldest_go_and_what_is_not_ours_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        for day in 1..=5 {
            write(&at(&format!("A_2026010{day}T000000Z.mcap")), "flyball 1", 1_000);
        }
        write(&at("A_20250101T000000Z.mcap"), "another program", 1_000);
        write(&at("B_20250101T000000Z.mcap"), "flyball 1", 1_000);
        fs::write(at("notes.txt"), "keep").expect("written");
        let open = at("A_20260105T000000Z.mcap");
        let gone = prune(folder.path(), "A", &open, 0, 3_500, Duration::MAX).expect("pruned");
        assert_eq!(gone.len(), 3, "{gone:?}");
        let left = [
            "A_20250101T000000Z.mcap",
            "A_20260104T000000Z.mcap",
            "A_20260105T000000Z.mcap",
            "B_20250101T000000Z.mcap",
            "notes.txt",
        ];
        assert_eq!(names(folder.path()), left);
        // A century later everything is too old, but the open file and what is not ours.
        let gone = prune(folder.path(), "A", &open, 5_000_000_000_000_000_000, u64::MAX, Duration::from_secs(1));
        assert_eq!(gone.expect("pruned"), [(at("A_20260104T000000Z.mcap"), "total_age")]);
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let folder = tempfile::tempdir().expect("folder");
        let below = folder.path().join("x/y");
        for wanted in ["A_19700101T000001Z.mcap", "A_19700101T000001Z_2.mcap", "A_19700101T000001Z_3.mcap"] {
            let (path, _) = create(&below, "A", 1_500_000_000).expect("made");
            assert_eq!(path, below.join(wanted));
        }
        assert_eq!(list(&below, "A").expect("listed").len(), 3);
        assert!(free(&below).expect("known") > 0);
    }
}
