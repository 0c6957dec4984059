//! Recordings as tables: one row per scan, one column per value, named as in `/scan` of the recording.
//!
//! Parquet for pandas, DuckDB and Spark, or CSV for everything else, in folders that those tools take as partitions:
//! `application=R101-OPT/day=2026-11-30/part-FILE.parquet`. `columns.csv` beside them says what each column is and its unit.

mod parquet;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flyball_config::Config;
use flyball_core::record::ScanRecord;
use flyball_recorder::utc;
use flyball_recorder::{RecordedFile, Recording};

use parquet::{Column, Writer};
use table::Table;

/// Values that wait in memory for one group of rows: 36 MB of numbers.
const CELLS_MAX: usize = 4 << 20;

/// Form of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet, Snappy.
    Parquet,
    /// Comma-separated, a header of names, empty where there is no value.
    Csv,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows.
    pub scans: u64,
    /// Files.
    pub files: Vec<PathBuf>,
    /// Bytes of the recordings that were read.
    pub recorded_bytes: u64,
    /// What could not be read, in words.
    pub faults: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.recorded_bytes.checked_div(self.scans).unwrap_or(0);
        write!(f, "{} scans in {} files; recorded in {} bytes each", self.scans, self.files.len(), each)
    }
}

/// Writes a recording as tables below `to`. Files of the same name are replaced: exporting twice gives the same.
///
/// # Errors
/// A sentence: a file without configuration, or the folder cannot be written. Damage is no error: it is in the report.
pub fn export(recording: &Recording, to: &Path, format: Format) -> Result<Report, String> {
    let mut report = Report::default();
    let mut described: Option<(u32, Config)> = None;
    for file in recording.files() {
        let config = match described.take() {
            Some((signature, config)) if signature == file.header.signature => config,
            _ => configuration(file)?,
        };
        one(file, &config, to, format, &mut report)?;
        described = Some((file.header.signature, config));
    }
    Ok(report)
}

/// The configuration that a file carries.
fn configuration(file: &RecordedFile) -> Result<Config, String> {
    // Removed when it goes out of scope: everything that is needed of it is in the configuration by then.
    let folder = tempfile::tempdir().map_err(|e| format!("no folder for temporary files ({e}): set TMPDIR"))?;
    let path = Recording::open(&file.path)?.extract(folder.path())?;
    let loaded = flyball_config::load(&path);
    loaded.config.ok_or_else(|| {
        format!(
            "the configuration in {} is refused by this version:\n{}",
            file.path.display(),
            loaded.diagnostics.lines()
        )
    })
}

fn one(file: &RecordedFile, config: &Config, to: &Path, format: Format, report: &mut Report) -> Result<(), String> {
    let table = Table::new(config);
    let root = to.join(format!("application={}", file.header.application));
    let said = |e: io::Error| format!("{} cannot be written ({e})", root.display());
    let stem = file.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let mut days: BTreeMap<String, Part> = BTreeMap::new();
    let recording = Recording::open(&file.path)?;
    report.recorded_bytes += file.size;
    for scan in recording.scans() {
        let scan = match scan {
            Ok(scan) => scan,
            Err(fault) => {
                report.faults.push(fault.to_string());
                continue;
            }
        };
        let record = match scan.decode() {
            Ok(record) if table.fits(&record) => record,
            Ok(_) => {
                report.faults.push(format!("scan {} does not fit the configuration of its file", scan.sequence));
                continue;
            }
            Err(e) => {
                report.faults.push(e);
                continue;
            }
        };
        let day = utc::date(scan.utc);
        let part = match days.entry(day.clone()) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let folder = root.join(format!("day={day}"));
                let part = Part::begin(&folder, &stem, format, &table).map_err(said)?;
                report.files.push(part.path.clone());
                new.insert(part)
            }
        };
        part.add(&table, scan.utc, record).map_err(said)?;
        report.scans += 1;
    }
    for part in days.into_values() {
        part.end(&table).map_err(said)?;
    }
    if report.scans > 0 {
        fs::write(root.join("columns.csv"), table.about_csv()).map_err(said)?;
    }
    Ok(())
}

/// One file of one day.
struct Part {
    path: PathBuf,
    form: Form,
    waiting: Vec<(i64, ScanRecord)>,
}

enum Form {
    Parquet(Writer<BufWriter<File>>),
    Csv(BufWriter<File>),
}

impl Part {
    fn begin(folder: &Path, stem: &str, format: Format, table: &Table) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let end = match format {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
        };
        let path = folder.join(format!("part-{stem}.{end}"));
        let mut out = BufWriter::new(File::create(&path)?);
        let form = match format {
            Format::Parquet => Form::Parquet(Writer::new(out, table.names())?),
            Format::Csv => {
                writeln!(out, "{}", table.names().join(","))?;
                Form::Csv(out)
            }
        };
        Ok(Self { path, form, waiting: Vec::new() })
    }

    fn add(&mut self, table: &Table, utc: i64, mut record: ScanRecord) -> io::Result<()> {
        record.keyframe = Vec::new();
        self.waiting.push((utc, record));
        let most = (CELLS_MAX / table.columns().max(1)).max(16);
        if self.waiting.len() >= most { self.write(table) } else { Ok(()) }
    }

    fn write(&mut self, table: &Table) -> io::Result<()> {
        let columns = table.fill(&self.waiting);
        let rows = self.waiting.len();
        self.waiting.clear();
        match &mut self.form {
            Form::Parquet(writer) => writer.rows(&columns),
            Form::Csv(out) => (0..rows).try_for_each(|row| {
                let cells: Vec<String> = columns.iter().map(|c| cell(c, row)).collect();
                writeln!(out, "{}", cells.join(","))
            }),
        }
    }

    fn end(mut self, table: &Table) -> io::Result<()> {
        self.write(table)?;
        match self.form {
            Form::Parquet(writer) => writer.finish(&table.units()).map(drop),
            Form::Csv(mut out) => out.flush(),
        }
    }
}

/// A value as CSV has it: numbers with all their digits, times as ISO 8601, nothing where nothing is.
fn cell(column: &Column, row: usize) -> String {
    match column {
        Column::Time(v) => {
            let micros = v[row];
            let second = utc::words(micros.saturating_mul(1_000)).replace(' ', "T");
            format!("{second}.{:06}Z", micros.rem_euclid(1_000_000))
        }
        Column::Whole(v) => v[row].to_string(),
        Column::Number(v) => v[row].map(|x| x.to_string()).unwrap_or_default(),
        Column::Flag(v) => v[row].to_string(),
        Column::Text(v) => v[row].to_owned(),
        Column::Name(v) => v[row].clone(),
    }
}
