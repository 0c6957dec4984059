//! Why: proves that a recording is what the shipped code decided: each scan is derived again from its inputs and compared bit for bit.

use std::fmt::Write as _;

use flyball_config::Config;
use flyball_core::ports::Phase;
use flyball_core::record::ScanRecord;

use super::derive::{Difference, Replay};

use flyball_recorder::{FIRST, Header};

use super::{Opened, Pace, clock, engines};

/// Differences that are shown; after one, replay goes on from the next keyframe.
const SHOWN_MAX: usize = 5;

/// Counts of one verification.
#[derive(Default)]
struct Tally {
    scans: u64,
    equal: u64,
    passed_over: u64,
    gaps: u64,
    keyframes: u64,
    differences: u64,
}

pub(super) fn run(opened: &Opened) -> Result<(String, u8), String> {
    let mut text = opened.title();
    let (mut config, mut pace, mut tally) = (opened.config.clone(), Pace::start(), Tally::default());
    // None: waits for a keyframe, because scans before it are missing, or differ.
    let mut replay: Option<Replay> = None;
    let (mut run, mut next) = (None, FIRST);
    let (mut faults, mut shown) = (String::new(), String::new());
    for scan in opened.recording.scans() {
        let scan = match scan {
            Ok(scan) => scan,
            Err(fault) => {
                let _ = writeln!(faults, "  {fault}");
                continue;
            }
        };
        let record = scan.decode()?;
        let header = &opened.recording.files()[scan.file].header;
        tally.scans += 1;
        pace.scan(&record);
        let same_run = run == Some(header.utc);
        if !same_run || scan.sequence != next {
            tally.gaps += u64::from(same_run);
            // From the first scan of a run it begins as the program did, from cold.
            run = Some(header.utc);
            config.instance = header.instance;
            replay = if scan.sequence == FIRST { Some(cold(&config, header)?) } else { None };
        }
        next = scan.sequence.wrapping_add(1);
        let Some(running) = &mut replay else {
            tally.passed_over += 1;
            if !record.keyframe.is_empty() {
                let mut fresh = cold(&config, header)?;
                fresh.begin(&record.keyframe).map_err(|e| format!("scan {}: {e}", record.cycle.number))?;
                replay = Some(fresh);
                tally.keyframes += 1;
            }
            continue;
        };
        let Some(difference) = running.verify(&record) else {
            tally.equal += 1;
            continue;
        };
        tally.differences += 1;
        replay = None;
        if tally.differences <= SHOWN_MAX as u64 {
            shown += &told(&config, &record, &difference, scan.utc);
        }
    }
    let Tally { scans, equal, passed_over, gaps, keyframes, differences } = tally;
    let _ = writeln!(text, "{scans} scans: {equal} derived again and equal to the last bit; {}", pace.text());
    if passed_over > 0 {
        let _ = writeln!(
            text,
            "{passed_over} scans could not be compared ({gaps} gaps, differences before them, or the recording begins in the middle of a run); \
             continued from {keyframes} keyframes"
        );
    }
    if !faults.is_empty() {
        let _ = write!(text, "The recording is not whole:\n{faults}");
    }
    text += &shown;
    if differences > SHOWN_MAX as u64 {
        let _ = writeln!(text, "and {} more differences", differences - SHOWN_MAX as u64);
    }
    let good = differences == 0 && equal > 0;
    text += match (good, differences) {
        (true, _) => "Verdict: what was recorded is what this program decides on these inputs.\n",
        (false, 0) => "Verdict: nothing could be compared: no first scan and no keyframe.\n",
        (false, _) => {
            "Verdict: the recording was changed, or was made by another program. The scans named above are the first that differ.\n"
        }
    };
    Ok((text, u8::from(!good)))
}

/// A replay as the program began: the run's instance, budget and way of writing.
fn cold(config: &Config, header: &Header) -> Result<Replay, String> {
    Ok(Replay::new(config, engines(config, header.budget)?.engines, header.read_only))
}

/// A difference in sentences.
fn told(config: &Config, record: &ScanRecord, d: &Difference, utc: i64) -> String {
    let phase = match d.phase {
        Phase::Freeze => "freeze",
        Phase::Condition => "condition",
        Phase::Predict => "predict",
        Phase::Optimise => "optimise",
        Phase::Guard => "guard",
        Phase::Flush => "flush",
    };
    let name = d.entry.and_then(|i| match d.field {
        "inputs" | "tags" => config.tags.get(i).map(|t| t.name.clone()),
        "mvs" => config.mvs.get(i).map(|m| m.name.clone()),
        "cvs" => config.cvs.get(i).map(|c| c.name.clone()),
        "outputs" => config.outputs.get(i).map(|o| o.name.clone()),
        "models" => config.models.get(i).map(|m| m.name.clone()),
        _ => Some(i.to_string()),
    });
    let of = name.map_or_else(String::new, |name| format!(" of {name}"));
    format!(
        "scan {} at {} UTC differs first in phase {phase}, field {}{of}\n  recorded {}\n  derived  {}\n",
        record.cycle.number,
        clock(utc),
        d.field,
        d.recorded,
        d.derived
    )
}
