//! A recording becomes tables: rows, days, missing values, two configurations; damage costs what is damaged.

use std::fs;
use std::path::{Path, PathBuf};

use flyball_config::{Config, Recorder as Settings};
use flyball_core::record::ScanRecord;
use flyball_core::time::{ScanCycle, Timestamp, UtcOffset};
use flyball_core::value::Value;
use flyball_export::{Format, export};
use flyball_recorder::schema::Schema;
use flyball_recorder::{Header, Preamble, Recorder, Recording, sources};

/// Five seconds before midnight, 2026-11-30.
const BEGIN: i64 = 1_796_083_195_000_000_000;

fn config() -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples/r101.toml");
    flyball_config::load(&file).config.expect("the example is right")
}

/// Ten scans of R-101 over midnight; the third tag is Bad.
fn recorded(folder: &Path) -> PathBuf {
    let config = config();
    let sources = sources(&config).expect("the example's files can be read");
    let header = Header {
        version: "0.0.0".into(),
        application: config.app.name.clone(),
        signature: config.signature,
        models: [].into(),
        machine: "a test".into(),
        budget: None,
        utc: UtcOffset { unix_nanos_at_zero: BEGIN, scale: 1 },
        instance: 0,
        read_only: false,
        keyframe_every: 10,
        configuration: sources[0].name.clone(),
    };
    let settings = Settings { min_free: 0, ..Settings::new(folder.to_owned()) };
    let preamble = Preamble { header, schema: Schema::new(&config), sources };
    let mut recorder = Recorder::start(&settings, preamble).expect("a thread");
    for number in 0..10 {
        let mut r = ScanRecord::new(&config);
        let now = Timestamp(number * 1_000_000_000 + 1_500_000);
        r.cycle = ScanCycle { number, scheduled: now, now, ..r.cycle };
        r.tags.iter_mut().for_each(|tag| tag.value = Value::new(number as f64 + 0.125));
        r.tags[2].value = None;
        recorder.keep(&r, Vec::new());
    }
    drop(recorder);
    folder.to_owned()
}

#[test]
fn csv_has_every_scan_under_its_day_and_nothing_where_nothing_is() {
    let folder = tempfile::tempdir().expect("folder");
    let recording = Recording::open(&recorded(&folder.path().join("r"))).expect("opens");
    let to = folder.path().join("x");
    let report = export(&recording, &to, Format::Csv).expect("exported");
    assert_eq!((report.scans, report.files.len(), report.faults.len()), (10, 2, 0), "two days");
    let days: Vec<_> = ["2026-11-30", "2026-12-01"]
        .iter()
        .map(|day| {
            let of_day =
                report.files.iter().find(|f| f.starts_with(to.join(format!("application=R101-OPT/day={day}"))));
            fs::read_to_string(of_day.expect("a part")).expect("read")
        })
        .collect();
    let header: Vec<_> = days[0].lines().next().expect("a header").split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap_or_else(|| panic!("{name} in {header:?}"));
    assert_eq!(days.iter().map(|d| d.lines().count()).collect::<Vec<_>>(), [6, 6]);
    let row: Vec<_> = days[1].lines().nth(1).expect("a row").split(',').collect();
    assert_eq!(row.len(), header.len());
    assert_eq!(row[column("time")], "2026-12-01T00:00:00.001500Z");
    assert_eq!((row[column("cycle")], row[column("mode")]), ("5", "ADVISORY"));
    assert_eq!((row[column("FI_101")], row[column("TI_102")]), ("5.125", ""));
    assert_eq!(row[column("feed_held_by")], "NOTHING");
    let about = fs::read_to_string(to.join("application=R101-OPT/columns.csv")).expect("read");
    assert!(about.contains("\nTI_101,TI-101,degC\n"), "{about}");
}

#[test]
fn exporting_twice_gives_the_same_and_a_cut_off_file_what_it_has() {
    let folder = tempfile::tempdir().expect("folder");
    let kept = recorded(&folder.path().join("r"));
    let recording = Recording::open(&kept).expect("opens");
    let to = folder.path().join("x");
    let first = export(&recording, &to, Format::Parquet).expect("exported");
    let bytes: Vec<_> = first.files.iter().map(|f| fs::read(f).expect("read")).collect();
    assert_eq!(export(&recording, &to, Format::Parquet), Ok(first.clone()));
    assert_eq!(first.files.iter().map(|f| fs::read(f).expect("read")).collect::<Vec<_>>(), bytes);

    let file = recording.files()[0].path.clone();
    let whole = fs::read(&file).expect("read");
    fs::write(&file, &whole[..whole.len() - 20]).expect("written");
    let report = export(&Recording::open(&kept).expect("opens"), &to, Format::Parquet).expect("exported");
    assert_eq!(report.scans, 10);
    assert!(report.faults[0].contains("cut off"), "{:?}", report.faults);
}
