//! Why: `flyball why`: the question of the morning after, "why did it shed last night", answered from the record in sentences: the first cause, what
//! led from it to the shed, and what happened in the minute before and after.

mod cause;
mod changes;
mod since;

use std::collections::VecDeque;
use std::fmt::Write as _;

use flyball_config::Config;
use flyball_core::mode::Mode;
use flyball_core::record::{Event, ScanRecord};
use flyball_recorder::utc::date;

use crate::cli::Why;
use crate::replay::{Opened, clock};
use crate::utc;
use crate::view::number;
use crate::words::{Words, mode};
use cause::{Cause, of_hold, of_shed};
use changes::Changes;
use since::Since;

/// What is told before and after, nanoseconds.
const AROUND: i64 = 60_000_000_000;
/// Lines of one side at most; the ones nearest to the moment are kept.
const LINES_MAX: usize = 40;
/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

/// Carries out the command. Returns the exit code: 0 answered, 1 there was nothing to explain, 2 error.
#[must_use]
pub fn run(arguments: &Why) -> u8 {
    match answer(arguments) {
        Ok((text, code)) => {
            print!("{text}");
            code
        }
        Err(e) => {
            eprintln!("flyball why: {e}");
            2
        }
    }
}

/// What is to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The loop was left in this scan.
    Shed(i64),
    /// Nothing was left: what holds the MVs?
    Scan(i64),
}

fn answer(arguments: &Why) -> Result<(String, u8), String> {
    let opened = Opened::new(&arguments.file)?;
    let Found { moment, sheds, end } = find(&opened, arguments.time.as_deref())?;
    let Some(moment) = moment else {
        return Ok((
            format!(
                "{}The loop was never left. Give a time to hear what held the MVs then; the recording ends on {} UTC.\n",
                opened.title(),
                clock(end)
            ),
            1,
        ));
    };
    let mut text = opened.title();
    if sheds.len() > 1 {
        let times: Vec<String> = sheds.iter().map(|utc| clock(*utc)).collect();
        let _ = writeln!(text, "CLOSED LOOP was left {} times: {}", sheds.len(), listed(&times));
    }
    text += &explain(&opened, moment)?;
    Ok((text, 0))
}

/// The first and the last few.
fn listed(times: &[String]) -> String {
    const SHOWN: usize = 6;
    if times.len() <= SHOWN {
        return times.join(", ");
    }
    format!("{}, ..., {}", times[..2].join(", "), times[times.len() - SHOWN + 2..].join(", "))
}

struct Found {
    moment: Option<Moment>,
    sheds: Vec<i64>,
    end: i64,
}

/// Finds the shed that is meant: the last one, or the nearest one within a minute of the time.
fn find(opened: &Opened, time: Option<&str>) -> Result<Found, String> {
    let (mut sheds, mut span) = (Vec::new(), None);
    for scan in opened.recording.scans().flatten() {
        let record = scan.decode()?;
        span = Some((span.map_or(scan.utc, |(first, _)| first), scan.utc));
        if record.events.iter().any(|e| matches!(e, Event::Shed(_))) {
            sheds.push(scan.utc);
        }
    }
    let (first, end) = span.ok_or("the recording holds no scan that can be read")?;
    let Some(time) = time else { return Ok(Found { moment: sheds.last().copied().map(Moment::Shed), sheds, end }) };
    let asked = moment(time, first, end)?;
    let near = sheds.iter().copied().filter(|utc| (utc - asked).abs() <= AROUND).min_by_key(|utc| (utc - asked).abs());
    Ok(Found { moment: Some(near.map_or(Moment::Scan(asked), Moment::Shed)), sheds, end })
}

/// A time as people type it, as unix nanoseconds within the recording.
fn moment(typed: &str, first: i64, end: i64) -> Result<i64, String> {
    let full = match typed.len() {
        5 => format!("{}T{typed}:00Z", date(end)),
        8 => format!("{}T{typed}Z", date(end)),
        _ => typed.to_owned(),
    };
    let seconds = utc::parse(&full)
        .ok_or_else(|| format!("\"{typed}\" is no time: write 03:12, 03:12:44 or {}T03:12:44Z (UTC)", date(end)))?;
    let mut asked = seconds.saturating_mul(1_000_000_000);
    if typed.len() <= 8 && asked > end {
        // 23:50 of a recording that ends at 02:00 was yesterday.
        asked -= DAY;
    }
    if asked < first - 1_000_000_000 || asked > end + 1_000_000_000 {
        return Err(format!("{typed} is not in the recording: it goes from {} to {} UTC", clock(first), clock(end)));
    }
    Ok(asked)
}

/// Reads up to a minute after the moment, and tells.
fn explain(opened: &Opened, moment: Moment) -> Result<String, String> {
    let config = &opened.config;
    let words = Words::new(config);
    let (Moment::Shed(at) | Moment::Scan(at)) = moment;
    let (mut since, mut changes) = (Since::new(config), Changes::new(config));
    let (mut before, mut after) = (VecDeque::new(), VecDeque::new());
    let mut told = None;
    for scan in opened.recording.scans().flatten().take_while(|scan| scan.utc <= at + AROUND) {
        let record = scan.decode()?;
        since.take(&record, scan.utc);
        let lines = changes.of(&record, &words);
        if told.is_none() && scan.utc >= at {
            told = Some(match moment {
                Moment::Shed(_) => shed(config, &words, &since, &record, scan.utc),
                Moment::Scan(_) => standing(config, &words, &since, &record, scan.utc),
            });
        }
        let side = if scan.utc <= at { &mut before } else { &mut after };
        side.extend(lines.into_iter().map(|line| (scan.utc, line)));
        while before.front().is_some_and(|(utc, _)| *utc < at - AROUND) || before.len() > LINES_MAX {
            before.pop_front();
        }
        after.truncate(LINES_MAX);
    }
    let mut text = told.ok_or("the recording ends before this time")?;
    for (title, lines) in [("60 s before", before), ("60 s after", after)] {
        let _ = writeln!(text, "\n{title}");
        if lines.is_empty() {
            text += "  nothing changed\n";
        }
        for (utc, line) in lines {
            let clock = clock(utc);
            let _ = writeln!(text, "  {}  {line}", clock.split_once(' ').map_or(clock.as_str(), |(_, time)| time));
        }
    }
    Ok(text)
}

fn shed(config: &Config, words: &Words, since: &Since, record: &ScanRecord, utc: i64) -> String {
    let cause = record.events.iter().find_map(|e| if let Event::Shed(cause) = e { Some(*cause) } else { None });
    let Some(cause) = cause else { return String::new() };
    let mut text =
        format!("\nCLOSED LOOP was left on {} UTC, scan {}: {}.\n", clock(utc), record.cycle.number, words.shed(cause));
    text += &chain(&of_shed(config, words, since, record, cause));
    text += &mvs(config, words, record);
    text
}

fn standing(config: &Config, words: &Words, since: &Since, record: &ScanRecord, utc: i64) -> String {
    let mut text = format!(
        "\nOn {} UTC, scan {}: {}, {}.\n",
        clock(utc),
        record.cycle.number,
        mode(record.mode.actual),
        words.mode_reason(&record.mode)
    );
    if record.mode.actual == Mode::ClosedLoop || record.mode.requested == Mode::ClosedLoop {
        text += &chain(&of_hold(config, words, since, record));
    }
    text += &mvs(config, words, record);
    text
}

fn chain(cause: &Cause) -> String {
    let mut text = String::new();
    for step in &cause.steps {
        let _ = writeln!(text, "  {step}");
    }
    if let Some(first) = &cause.first {
        let _ = writeln!(text, "First cause: {first}");
    }
    text
}

/// Where the setpoints stood.
fn mvs(config: &Config, words: &Words, record: &ScanRecord) -> String {
    let mut text = String::new();
    for (i, mv) in config.mvs.iter().enumerate() {
        let (now, answer) = (&record.mvs[i], record.optimum.mvs.get(i));
        let of = |x: Option<f64>| x.map_or("none".to_owned(), number);
        let _ = writeln!(
            text,
            "  {}: setpoint {} {}, optimum {}, held by: {}",
            mv.name,
            of(now.readback),
            mv.unit.0.symbol,
            of(answer.map(|a| a.optimum)),
            words.held_by(now.held_by)
        );
    }
    text
}
