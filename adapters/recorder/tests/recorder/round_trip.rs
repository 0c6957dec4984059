//! What goes in comes out: bits, sentences, files; over several files, runs and gaps.

use std::fs;
use std::time::Duration;

use flyball_config::Recorder as Settings;
use flyball_recorder::{Recorder, Recording};

use crate::common::{BEGIN, config, files, keep, preamble, record, settings, wait_until, write};

#[test]
fn every_record_comes_back_bit_for_bit() {
    let (config, folder) = (config(), tempfile::tempdir().expect("folder"));
    write(&config, &settings(folder.path()), 1..=50);
    let recording = Recording::open(folder.path()).expect("opens");
    assert_eq!(*recording.header(), preamble(&config).header);
    let scans: Vec<_> = recording.scans().collect::<Result<_, _>>().expect("whole");
    assert_eq!(scans.len(), 50);
    for (scan, number) in scans.iter().zip(1..) {
        let expected = record(&config, number);
        let mut bytes = Vec::new();
        expected.to_bytes(&mut bytes);
        assert_eq!((scan.utc, &scan.bytes), (BEGIN + number as i64 * 1_000_000_000, &bytes));
        assert_eq!(scan.decode().expect("a record"), expected);
    }
    let lines: Vec<_> = recording.lines().map(|l| l.expect("whole").1.text).collect();
    assert_eq!(lines, [7, 14, 21, 28, 35, 42, 49].map(|n| format!("scan \"{n}\"")));
    let survey = recording.survey();
    assert_eq!((survey.scans, survey.unreadable, survey.gaps.len(), survey.faults.len()), (50, 0, 0, 0));
    assert_eq!(survey.keyframes.iter().map(|k| k.1).collect::<Vec<_>>(), [10, 20, 30, 40, 50]);
}

#[test]
fn the_next_file_begins_with_a_keyframe_and_the_oldest_go() {
    let (config, folder) = (config(), tempfile::tempdir().expect("folder"));
    let aged = Settings { file_age: Duration::from_secs(15), ..settings(folder.path()) };
    write(&config, &aged, 1..=95);
    let recording = Recording::open(folder.path()).expect("opens");
    // Each file is 15 s old at some scan and ends with the next keyframe: 1-19, 20-39, 40-59, 60-79, 80-95.
    assert_eq!(recording.files().len(), 5);
    let mut firsts = Vec::new();
    for scan in recording.scans() {
        let scan = scan.expect("whole");
        if scan.file == firsts.len() {
            firsts.push(scan.decode().expect("a record").cycle.number);
        }
    }
    assert_eq!(firsts, [1, 20, 40, 60, 80]);
    assert_eq!(recording.survey().gaps, []);

    let one = fs::metadata(&files(folder.path())[0]).expect("there").len();
    fs::write(folder.path().join("notes.txt"), "keep me").expect("written");
    let small = Settings { file_size: one, total_size: one * 7 / 2, ..aged };
    write(&config, &small, 96..=100);
    let left = files(folder.path());
    assert!(left.iter().any(|p| p.ends_with("notes.txt")), "{left:?}");
    let sum: u64 = left.iter().map(|p| fs::metadata(p).expect("there").len()).sum();
    assert!(left.len() > 2 && sum <= small.total_size, "{sum} of {}: {left:?}", small.total_size);
    let first = Recording::open(folder.path()).expect("opens").scans().next().expect("a scan").expect("whole");
    let first = first.decode().expect("a record").cycle.number;
    assert!([60, 80].contains(&first), "the oldest have gone, the newest not: {first}");
}

#[test]
fn a_gap_is_seen_and_skipped_scans_are_none() {
    let (config, folder) = (config(), tempfile::tempdir().expect("folder"));
    let mut recorder = Recorder::start(&settings(folder.path()), preamble(&config)).expect("a thread");
    (1..=5).for_each(|n| keep(&mut recorder, &config, n));
    // Scans 6 to 8 never took place: the record says so. Scans 10 and 11 took place and never arrived.
    let mut late = record(&config, 9);
    late.cycle.missed = 3;
    recorder.keep(&late, Vec::new());
    (12..=15).for_each(|n| keep(&mut recorder, &config, n));
    wait_until("all is taken", || recorder.counts().recorded == 10);
    assert_eq!(recorder.counts().dropped, 2);
    drop(recorder);
    let recording = Recording::open(folder.path()).expect("opens");
    let survey = recording.survey();
    let at = |n: i64| BEGIN + n * 1_000_000_000;
    assert_eq!(survey.gaps, [flyball_recorder::Gap { after: at(9), before: at(12), scans: 2 }]);
    let lines: Vec<_> = recording.lines().map(|l| l.expect("whole").1.text).collect();
    assert!(lines.contains(&"2 scans before this one were not recorded".to_owned()), "{lines:?}");
}

#[test]
fn a_recording_brings_its_configuration_along() {
    let (config, folder) = (config(), tempfile::tempdir().expect("folder"));
    write(&config, &settings(&folder.path().join("r")), 1..=2);
    let recording = Recording::open(&folder.path().join("r")).expect("opens");
    let file = recording.extract(&folder.path().join("x")).expect("extracted");
    let loaded = flyball_config::load(&file);
    let again = loaded.config.unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)));
    assert_eq!(again.signature, config.signature);
    assert_ne!(again.models[0].file, config.models[0].file);
    assert!(recording.extract(&folder.path().join("x")).unwrap_err().contains("empty folder"), "never overwrites");
}

#[test]
fn full_paths_lead_into_the_folder_after_extraction() {
    let (config, folder) = (config(), tempfile::tempdir().expect("folder"));
    // As somebody would write it whose models lie elsewhere.
    let models = fs::canonicalize(config.file.parent().expect("a folder").join("../../models")).expect("there");
    let text = config.sources[0].text.replace("\"../../models", &format!("\"{}", models.display()));
    let file = folder.path().join("plant.toml");
    fs::write(&file, text).expect("written");
    let config = flyball_config::load(&file).config.expect("as right as the example");
    write(&config, &settings(&folder.path().join("r")), 1..=2);
    let to = folder.path().join("x");
    let file = Recording::open(&folder.path().join("r")).expect("opens").extract(&to).expect("extracted");
    let again = flyball_config::load(&file).config.expect("loads");
    assert!(again.models.iter().all(|m| m.file.starts_with(&to)), "{:?}", again.models[0].file);
}

#[test]
fn reading_from_a_time_on_passes_over_what_is_before() {
    let (config, folder) = (config(), tempfile::tempdir().expect("folder"));
    let mut recorder = Recorder::start(&settings(folder.path()), preamble(&config)).expect("a thread");
    for n in 1..=30 {
        keep(&mut recorder, &config, n);
        wait_until("a chunk each", || recorder.counts().recorded == n);
    }
    drop(recorder);
    let recording = Recording::open(folder.path()).expect("opens");
    let at = BEGIN + 20 * 1_000_000_000;
    let scans: Vec<_> = recording.scans_from(at).collect::<Result<_, _>>().expect("whole");
    assert!(scans.iter().any(|s| s.utc == at));
    assert!(scans.len() < 30 && scans.last().map(|s| s.utc) == Some(BEGIN + 30 * 1_000_000_000), "{}", scans.len());
}

#[test]
fn the_number_of_the_format_goes_up_with_the_record() {
    let config = config();
    let mut bytes = Vec::new();
    record(&config, 10).to_bytes(&mut bytes);
    let seen = (flyball_recorder::RECORD_FORMAT, bytes.len(), crc32fast::hash(&bytes));
    // When this fails, `ScanRecord` (or the example) has changed: raise RECORD_FORMAT if recordings of released versions can no longer be decoded,
    // then write the new numbers here.
    assert_eq!(seen, (1, 997, 272_804_203));
}
