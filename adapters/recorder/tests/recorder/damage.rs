//! Hostile and broken files: told with file and byte, never a panic, never more memory than the file can hold.

use std::fs;
use std::path::Path;

use flyball_recorder::Recording;
use flyball_recorder::mcap::{HEAD, MAGIC, kind};

use crate::common::{config, files, settings, write};

/// A whole recording of ten scans as bytes.
fn sound() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    write(&config(), &settings(folder.path()), 1..=10);
    fs::read(&files(folder.path())[0]).expect("read")
}

/// Scans that can be read, and what is told.
fn read(bytes: &[u8], folder: &Path) -> Result<(usize, Vec<String>), String> {
    let path = folder.join("x.mcap");
    fs::write(&path, bytes).expect("written");
    let recording = Recording::open(&path)?;
    // Everything that a user can call must stand it.
    let _ = recording.attachments();
    let (mut scans, mut faults) = (0, Vec::new());
    for scan in recording.scans() {
        match scan {
            Ok(scan) => scans += usize::from(scan.decode().is_ok()),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    Ok((scans, faults))
}

/// Places and kinds of the records.
fn records(bytes: &[u8]) -> Vec<(usize, u8, usize)> {
    let mut list = Vec::new();
    let mut at = MAGIC.len();
    while at + HEAD as usize <= bytes.len() - MAGIC.len() {
        let length = u64::from_le_bytes(bytes[at + 1..at + 9].try_into().expect("eight")) as usize;
        list.push((at, bytes[at], length));
        at += HEAD as usize + length;
    }
    list
}

/// Bytes worth breaking: the first 70 and the last 20 of three records of every kind, and some in their middle.
fn places(bytes: &[u8]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..8).chain(bytes.len() - 40..bytes.len()).collect();
    let mut seen = [0; 256];
    for (at, kind, length) in records(bytes) {
        seen[kind as usize] += 1;
        if seen[kind as usize] > 3 {
            continue;
        }
        let end = at + HEAD as usize + length;
        places.extend((at..end).take(70).chain((end.saturating_sub(20)..end).filter(|p| *p > at)));
        places.extend((0..8).map(|part| at + HEAD as usize + length * part / 8).filter(|p| *p < end));
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[test]
fn one_wrong_byte_anywhere_is_told() {
    let (good, folder) = (sound(), tempfile::tempdir().expect("folder"));
    assert_eq!(read(&good, folder.path()), Ok((10, Vec::new())));
    let places = places(&good);
    assert!(places.len() > 1_000, "{}", places.len());
    for at in places {
        for flip in [0x01, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            if let Ok((_, faults)) = read(&bytes, folder.path()) {
                assert!(!faults.is_empty(), "byte {at} of {} changed by {flip:02x} and nobody noticed", good.len());
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_gives_what_is_whole() {
    let (good, folder) = (sound(), tempfile::tempdir().expect("folder"));
    let first = records(&good).iter().find(|r| r.1 == kind::CHUNK).expect("a chunk").0;
    let data_end = records(&good).iter().find(|r| r.1 == kind::DATA_END).expect("an end").0;
    for length in places(&good) {
        match read(&good[..length], folder.path()) {
            Err(e) => assert!(length < first, "cut at {length}: {e}"),
            Ok((scans, faults)) => {
                assert_eq!(faults.len(), 1, "cut at {length}: {faults:?}");
                assert!(faults[0].contains("cut off at byte"), "{faults:?}");
                assert!(length < data_end || scans == 10, "cut at {length}: {scans} scans");
            }
        }
    }
}

#[test]
fn a_damaged_chunk_costs_its_own_scans_only() {
    let (good, folder) = (sound(), tempfile::tempdir().expect("folder"));
    let chunks: Vec<_> = records(&good).into_iter().filter(|r| r.1 == kind::CHUNK).collect();
    assert_eq!(chunks.len(), 10, "one each, because they close at once");
    let (at, _, length) = chunks[0];
    let mut bytes = good.clone();
    bytes[at + length / 2] ^= 1;
    let (scans, faults) = read(&bytes, folder.path()).expect("opens");
    assert_eq!(scans, 9);
    assert!(faults[0].contains(&format!("damaged at byte {at}")), "{faults:?}");
}

#[test]
fn absurd_lengths_are_refused_before_memory_is_taken() {
    let (good, folder) = (sound(), tempfile::tempdir().expect("folder"));
    for (at, record, _) in records(&good) {
        for length in [u64::MAX, 1 << 62, 1 << 40, good.len() as u64, 1 << 31] {
            let mut bytes = good.clone();
            bytes[at + 1..at + 9].copy_from_slice(&length.to_le_bytes());
            if let Ok((_, faults)) = read(&bytes, folder.path()) {
                assert!(!faults.is_empty(), "kind {record} with length {length}");
            }
        }
    }
    // A chunk that says it unpacks to more than it may.
    let at = records(&good).iter().find(|r| r.1 == kind::CHUNK).expect("a chunk").0;
    let mut bytes = good.clone();
    bytes[at + 9 + 16..at + 9 + 24].copy_from_slice(&(1_u64 << 50).to_le_bytes());
    let (scans, faults) = read(&bytes, folder.path()).expect("opens");
    assert_eq!(scans, 9);
    assert!(faults[0].contains("checksum or lengths"), "{faults:?}");
}

#[test]
fn what_is_no_recording_is_said_in_words() {
    let folder = tempfile::tempdir().expect("folder");
    let refused = |path: &Path| Recording::open(path).expect_err("no recording");
    assert!(refused(folder.path()).contains("holds no recording"));
    assert!(refused(&folder.path().join("gone.mcap")).contains("No such file"));
    let path = folder.path().join("x.mcap");
    fs::write(&path, "hello, this is a text").expect("written");
    assert!(refused(&path).contains("does not begin with the mark"));
    fs::write(&path, "").expect("written");
    assert!(refused(&path).contains("shorter than its first mark"));
    let other = flyball_recorder::mcap::write::Writer::new(Vec::new(), "", "another program").and_then(|w| w.finish());
    fs::write(&path, other.expect("memory")).expect("written");
    assert!(refused(&path).contains("not one that flyball has recorded"));
    assert!(refused(folder.path()).contains("holds no recording"), "files of others are passed over");
}

#[test]
fn an_attachment_cannot_lead_out_of_the_folder() {
    let folder = tempfile::tempdir().expect("folder");
    for evil in ["../evil.toml", "/evil.toml", "a/../../evil.toml", ""] {
        let config = config();
        let mut preamble = crate::common::preamble(&config);
        evil.clone_into(&mut preamble.sources[0].name);
        evil.clone_into(&mut preamble.header.configuration);
        let kept = folder.path().join("r");
        let mut recorder = flyball_recorder::Recorder::start(&settings(&kept), preamble).expect("a thread");
        crate::common::keep(&mut recorder, &config, 1);
        drop(recorder);
        let file = files(&kept).pop().expect("a file");
        let recording = Recording::open(&file).expect("opens");
        let said = recording.extract(&folder.path().join("deep/x")).expect_err("refused");
        assert!(said.contains("leads out of the folder"), "{evil}: {said}");
    }
}
