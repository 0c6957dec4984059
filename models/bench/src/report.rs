//! The tables: one block per case, and a summary that holds the engine to its goals.

use std::fmt::Write;

use crate::case::{Case, Goal};
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
    /// The ceiling in nanoseconds.
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
            if result.compared.is_err() {
                verdict.missed += 1;
            } else if result.case.goal.is_some() {
                match reached(result, results) {
                    Some((ratio, at_most)) if ratio <= at_most => verdict.met += 1,
                    Some(_) => verdict.missed += 1,
                    None => verdict.open += 1,
                }
            }
        }
        verdict
    }
}

/// The ratio that a case reached and the one it is allowed.
fn reached(result: &Outcome, all: &[Outcome]) -> Option<(f64, f64)> {
    let ours = result.ours()?.single.p50 as f64;
    match result.case.goal.as_ref()? {
        Goal::OfBestPeer(at_most) => Some((ours / result.best_peer()?.single.p50 as f64, *at_most)),
        Goal::OfOurs { case, at_most } => {
            let other = all.iter().find(|r| r.case.name == *case)?.ours()?.single.p50 as f64;
            Some((ours / other, *at_most))
        }
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
    let work = result.multiply_adds.map_or("multiply-adds not counted".to_owned(), |n| format!("{n} multiply-adds"));
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
    let _ = writeln!(
        out,
        "\n{:<44} {:>9} {:>9}  {:<22} {:>7} {:>8} {:<8} {:>10} {:>10}",
        "p50, us", "ours", "peer's", "best peer", "ratio", "at most", "goal", "our tail", "its tail"
    );
    for result in results {
        let (ours, peer) = (result.ours(), result.best_peer());
        let p50 = |t: Option<&Times>| t.map_or("-".to_owned(), |t| us(t.single.p50 as f64));
        let tail = |t: Option<&Times>| t.map_or("-".to_owned(), |t| format!("{:.2}", t.single.tail()));
        let name = peer.map_or("-", |t| &t.name);
        let (ratio, at_most, goal) = match (reached(result, results), &result.case.goal) {
            (Some((ratio, at_most)), _) => {
                (format!("{ratio:.2}"), format!("{at_most:.2}"), if ratio <= at_most { "met" } else { "MISSED" })
            }
            (None, Some(Goal::OfBestPeer(at_most) | Goal::OfOurs { at_most, .. })) => {
                ("-".to_owned(), format!("{at_most:.2}"), "open")
            }
            (None, None) => {
                let ratio = ours.zip(peer).map(|(o, p)| o.single.p50 as f64 / p.single.p50 as f64);
                (ratio.map_or("-".to_owned(), |r| format!("{r:.2}")), "-".to_owned(), "")
            }
        };
        let _ = writeln!(
            out,
            "{:<44} {:>9} {:>9}  {name:<22} {ratio:>7} {at_most:>8} {goal:<8} {:>10} {:>10}",
            result.case.name,
            p50(ours),
            p50(peer),
            tail(ours),
            tail(peer)
        );
    }
    for result in results {
        if let Some(Goal::OfOurs { case, .. }) = &result.case.goal {
            let _ = writeln!(out, "the ratio of '{}' is to our own p50 of '{case}'", result.case.name);
        }
    }
    let Verdict { met, missed, open } = verdict;
    let _ = writeln!(out, "goals: {met} met, {missed} missed, {open} not judged; a tail is p99.9 / p50");
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
