//! Why: `flyball export`: recordings as tables, for pandas, DuckDB, Spark and spreadsheets.

use std::time::Duration;

use flyball_export::{Format, export};
use flyball_recorder::Recording;

use crate::cli::{Export, ExportFormat};

/// Faults that are printed; the rest is counted.
const SHOWN: usize = 10;

/// Runs the command. 0: everything; 1: something could not be read and is missing in the tables; 2: nothing was exported.
#[must_use]
pub fn run(arguments: &Export) -> u8 {
    let format = match arguments.format {
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Csv => Format::Csv,
    };
    let exported = Recording::open(&arguments.recording).and_then(|r| Ok((export(&r, &arguments.to, format)?, r)));
    let (report, recording) = match exported {
        Ok(done) => done,
        Err(sentence) => {
            eprintln!("flyball export: {sentence}");
            return 2;
        }
    };
    for fault in report.faults.iter().take(SHOWN) {
        eprintln!("{fault}");
    }
    if report.faults.len() > SHOWN {
        eprintln!("and {} more", report.faults.len() - SHOWN);
    }
    println!("{report}");
    if let Some(day) = megabytes_per_day(&recording, report.recorded_bytes, report.scans) {
        println!("at this cycle, 24 h of recording are {day:.0} MB");
    }
    println!("{}", arguments.to.display());
    u8::from(!report.faults.is_empty())
}

/// What a day would take at the cycle that was recorded, attachments shared out evenly.
fn megabytes_per_day(recording: &Recording, bytes: u64, scans: u64) -> Option<f64> {
    let first = recording.scans().find_map(Result::ok)?.decode().ok()?;
    let scans_per_day = Duration::from_secs(86_400).as_secs_f64() / first.cycle.period.as_secs_f64();
    (scans > 0).then(|| bytes as f64 / scans as f64 * scans_per_day * 1e-6)
}
