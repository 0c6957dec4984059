//! Full and unwritable disks: nothing waits, everything is counted, and recording goes on when it can.

use std::fs;
use std::path::{Path, PathBuf};

use flyball_config::Recorder as Settings;
use flyball_recorder::{Recorder, Recording, folder};

use crate::common::{config, files, keep, preamble, settings, wait_until};

/// A disk in memory that is there without privileges, or the folder for temporary files.
fn disk() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("folder")
}

#[test]
fn below_min_free_nothing_is_recorded_until_space_comes_back() {
    let (config, disk) = (config(), disk());
    let ballast: PathBuf = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 24 << 20]).expect("the disk has room for a test");
    let free = folder::free(disk.path()).expect("known");
    // With the ballast there is less than what must stay free, without it there is more.
    let folder = disk.path().join("r");
    let settings = Settings { min_free: free + (12 << 20), ..settings(&folder) };
    let mut recorder = Recorder::start(&settings, preamble(&config)).expect("a thread");
    for n in 1..=20 {
        keep(&mut recorder, &config, n);
    }
    wait_until("all are counted", || recorder.counts().dropped == 20);
    assert_eq!(recorder.counts().recorded, 0);
    assert!(!folder.exists(), "not even an empty file");
    fs::remove_file(&ballast).expect("removed");
    for n in 21..=30 {
        keep(&mut recorder, &config, n);
    }
    wait_until("recording goes on", || recorder.counts().recorded == 10);
    fs::write(&ballast, vec![1; 24 << 20]).expect("full again");
    let mut n = 30;
    wait_until("it stops again", || {
        n += 1;
        keep(&mut recorder, &config, n);
        recorder.counts().dropped > 20
    });
    let counts = recorder.counts();
    drop(recorder);
    let recording = Recording::open(&folder).expect("opens");
    let survey = recording.survey();
    assert_eq!((survey.scans >= counts.recorded, survey.faults), (true, Vec::new()), "the file was ended in order");
    let lines: Vec<_> = recording.lines().map(|l| l.expect("whole").1.text).collect();
    assert!(lines[0].starts_with("20 scans were not recorded: less than "), "{lines:?}");
}

#[test]
fn a_folder_that_cannot_be_made_stops_nobody() {
    let (config, disk) = (config(), disk());
    // A file stands where the folder should be: not even root can make one there.
    let folder = disk.path().join("taken");
    fs::write(&folder, "in the way").expect("written");
    let mut recorder = Recorder::start(&settings(&folder), preamble(&config)).expect("a thread");
    for n in 1..=5 {
        keep(&mut recorder, &config, n);
    }
    wait_until("all are counted", || recorder.counts().dropped == 5);
    fs::remove_file(&folder).expect("removed");
    for n in 6..=8 {
        keep(&mut recorder, &config, n);
    }
    wait_until("recording begins", || recorder.counts().recorded == 3);
    drop(recorder);
    assert_eq!(files(&folder).len(), 1);
}
