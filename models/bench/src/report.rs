//! The tables: one block per case, and a summary that holds the engine to its goals.

use std::fmt::Write;

use crate::case::{Case, Goal, Work};
use crate::ceiling::Ceiling;
use crate::measure::{Allocations, Times};
use crate::onnx_runtime::Library;
use crate::ours;

/// What came out of one case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// Of one run, if they could be counted.
    pub multiply_adds: Option<u64>,
    /// The ceiling in nanoseconds, of the value.
    pub shortest_ns: Option<f64>,
    /// Cache level that the weights fit in.
    pub level: &'static str,
    /// Largest difference between the contenders, or why they were not compared.
    pub compared: Result<f64, String>,
    /// One entry per contender.
    pub times: Vec<Times>,
    /// Who did not take part and why, and how somebody runs it.
    pub notes: Vec<String>,
}

impl Outcome {
    fn ours(&self) -> Option<&Times> {
        self.times.iter().find(|t| t.name == ours::NAME)
    }

    /// The peer with the shortest p50.
    fn best_peer(&self) -> Option<&Times> {
        self.times.iter().filter(|t| t.name != ours::NAME).min_by_key(|t| t.single.p50)
    }
}

/// How many goals were met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Goals that were met.
    pub met: usize,
    /// Goals that were missed, and cases whose contenders differ.
    pub missed: usize,
    /// Goals that could not be judged.
    pub open: usize,
}

impl Verdict {
    /// Judges all cases.
    #[must_use]
    pub fn of(results: &[Outcome]) -> Self {
        let mut verdict = Self::default();
        for result in results {
            match (&result.compared, ratio(result, results), at_most(result)) {
                (Err(_), ..) => verdict.missed += 1,
                (Ok(_), _, None) => {}
                (Ok(_), Some(ratio), Some(at_most)) if ratio <= at_most => verdict.met += 1,
                (Ok(_), Some(_), Some(_)) => verdict.missed += 1,
                (Ok(_), None, Some(_)) => verdict.open += 1,
            }
        }
        verdict
    }
}

/// Our p50 over what the case's goal names, else over the best peer's.
fn ratio(result: &Outcome, all: &[Outcome]) -> Option<f64> {
    let other = match &result.case.goal {
        Some(Goal::OfOurs { case, .. }) => all.iter().find(|r| r.case.name == *case)?.ours()?,
        Some(Goal::OfBestPeer(_)) | None => result.best_peer()?,
    };
    Some(result.ours()?.single.p50 as f64 / other.single.p50.max(1) as f64)
}

fn at_most(result: &Outcome) -> Option<f64> {
    match result.case.goal.as_ref()? {
        Goal::OfBestPeer(at_most) => Some(*at_most),
        Goal::OfOurs { at_most, .. } => *at_most,
    }
}

/// Machine rates and how to read the tables.
#[must_use]
pub fn header(ceiling: &Ceiling, clock_ns: u64, library: &Result<Library, String>) -> String {
    let mut out = String::new();
    let reads: Vec<String> =
        ceiling.caches.iter().map(|c| format!("{} ({}) {:.0}", c.name, size(c.bytes), c.rate)).collect();
    let _ = writeln!(
        out,
        "ceiling: {}, {:.1} float32 multiply-adds per ns; reads in bytes per ns: {}",
        ceiling.level,
        ceiling.multiply_adds,
        reads.join(", ")
    );
    let _ = writeln!(
        out,
        "clock: {clock_ns} ns, in every single time; 'in a row' is the mean of runs without looking at it"
    );
    match library {
        Ok(library) => {
            let _ = writeln!(out, "{}: {}", library.name, library.path.display());
        }
        Err(why) => {
            let _ = writeln!(out, "\n*** NOT MEASURED: ONNX Runtime: {why} ***");
        }
    }
    out
}

/// The table of one case.
#[must_use]
pub fn block(result: &Outcome) -> String {
    let mut out = String::new();
    let case = &result.case;
    let alone = if case.work == Work::Value { "" } else { " for the value alone" };
    let work =
        result.multiply_adds.map_or("multiply-adds not counted".to_owned(), |n| format!("{n} multiply-adds{alone}"));
    let weights = format!("{} of weights ({})", size(case.weight_bytes), result.level);
    let ceiling = result.shortest_ns.map_or(String::new(), |ns| format!(", ceiling {} us", us(ns)));
    let _ = writeln!(out, "\n{}: {work}, {weights}{ceiling}", case.name);
    if !case.about.is_empty() {
        let _ = writeln!(out, "  {}", case.about);
    }
    for note in &result.notes {
        let _ = writeln!(out, "  {note}");
    }
    match &result.compared {
        Err(why) => {
            let _ = writeln!(out, "  NOT COMPARED: {why}");
            return out;
        }
        Ok(_) if result.times.is_empty() => return out,
        Ok(_) => {}
    }
    let columns = ["p50", "p99", "p99.9", "max", "in a row"].map(|c| format!("{c:>9}")).join(" ");
    let _ = writeln!(
        out,
        "  {:<22} {columns} {:>14} {:>10} {:>10} {:>8}",
        "us", "allocations", "of ceiling", "p99.9/p50", "runs"
    );
    for times in &result.times {
        let s = &times.single;
        let columns = [s.p50, s.p99, s.p999, s.max].map(|ns| format!("{:>9}", us(ns as f64))).join(" ");
        let allocations = match times.allocations {
            Allocations::PerRun(n) => format!("{n}"),
            Allocations::NoCounter => "(cargo bench)".to_owned(),
            Allocations::NotSeen => "not counted".to_owned(),
        };
        let share =
            result.shortest_ns.map_or("-".to_owned(), |ns| format!("{:.0} %", 100.0 * ns / s.p50.max(1) as f64));
        let _ = writeln!(
            out,
            "  {:<22} {columns} {:>9} {allocations:>14} {share:>10} {:>10.2} {:>8}",
            times.name,
            us(times.in_a_row),
            s.tail(),
            times.runs
        );
    }
    if let (Ok(largest), true) = (&result.compared, result.times.len() > 1) {
        let _ = writeln!(out, "  largest difference: {largest:.1e} of the largest output");
    }
    out
}

/// All goals in one table.
#[must_use]
pub fn summary(results: &[Outcome], verdict: &Verdict) -> String {
    let mut out = String::new();
    let width = results.iter().map(|r| r.case.name.len()).max().unwrap_or(0);
    let _ = writeln!(
        out,
        "\n{:<width$} {:>9} {:>9}  {:<20} {:>6} {:>8} {:<7} {:>9} {:>9}",
        "p50, us", "ours", "peer's", "best peer", "ratio", "at most", "goal", "our tail", "its tail"
    );
    for result in results {
        let (ours, peer) = (result.ours(), result.best_peer());
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let p50 = |t: Option<&Times>| or_dash(t.map(|t| us(t.single.p50 as f64)));
        let tail = |t: Option<&Times>| or_dash(t.map(|t| format!("{:.2}", t.single.tail())));
        let two = |number: Option<f64>| or_dash(number.map(|n| format!("{n:.2}")));
        let mark = if matches!(result.case.goal, Some(Goal::OfOurs { .. })) { "*" } else { "" };
        let (ratio, at_most) = (ratio(result, results), at_most(result));
        let goal = match (&result.compared, ratio, at_most) {
            (Err(_), ..) => "DIFFER",
            (_, _, None) => "",
            (_, None, Some(_)) => "open",
            (_, Some(ratio), Some(at_most)) if ratio <= at_most => "met",
            (_, Some(_), Some(_)) => "MISSED",
        };
        let _ = writeln!(
            out,
            "{:<width$} {:>9} {:>9}  {:<20} {:>6} {:>8} {goal:<7} {:>9} {:>9}",
            result.case.name,
            p50(ours),
            p50(peer),
            peer.map_or("-", |t| &t.name),
            two(ratio) + mark,
            two(at_most),
            tail(ours),
            tail(peer)
        );
    }
    if results.iter().any(|r| matches!(r.case.goal, Some(Goal::OfOurs { .. }))) {
        let _ = writeln!(
            out,
            "* of our own p50: of the whole window for a streaming step, of the value alone for derivatives"
        );
    }
    let both = results.iter().filter_map(|r| Some((r.ours()?.single.tail(), r.best_peer()?.single.tail())));
    let (beside, shorter) = both.fold((0, 0), |(n, s), (ours, its)| (n + 1, s + usize::from(ours <= its)));
    let counted = results.iter().filter_map(|r| match r.ours()?.allocations {
        Allocations::PerRun(n) => Some(n),
        Allocations::NoCounter | Allocations::NotSeen => None,
    });
    let (runs, free) = counted.fold((0, 0), |(n, f), a| (n + 1, f + usize::from(a == 0.0)));
    let Verdict { met, missed, open } = verdict;
    if met + missed + open > 0 {
        let _ = writeln!(out, "goals: {met} met, {missed} missed, {open} not judged");
    }
    let _ = writeln!(out, "tail (p99.9 / p50) no longer than the best peer's: {shorter} of {beside}");
    if runs > 0 {
        let _ = writeln!(out, "no allocation in a run: {free} of {runs}");
    }
    out
}

/// Nanoseconds as microseconds with four significant digits.
fn us(ns: f64) -> String {
    let us = ns * 1e-3;
    let decimals = match us {
        us if us < 10.0 => 3,
        us if us < 100.0 => 2,
        us if us < 1000.0 => 1,
        _ => 0,
    };
    format!("{us:.decimals$}")
}

fn size(bytes: usize) -> String {
    match bytes {
        b if b < 1 << 10 => format!("{b} B"),
        b if b < 10 << 10 => format!("{:.1} KiB", b as f64 / 1024.0),
        b if b < 1 << 20 => format!("{} KiB", b >> 10),
        b => format!("{:.1} MiB", b as f64 / (1 << 20) as f64),
    }
}
