//! How runs are timed: contenders take turns in blocks, so that a disturbance meets all of them, and each single run is timed.
//!
//! The clock costs some 20 to 30 ns, which are in every single time and said above the table. Beside it stands the mean of runs *in a
//! row* with one reading of the clock before and one after, which says what a caller pays who does not look.
//!
//! The kernel takes a real-time thread off its core for 50 ms in each second that it fills (sched(7)). Between turns the thread sleeps for
//! longer than that share, so that such a pause is in nobody's times.

use std::time::{Duration, Instant};

use flyball_machine::spread::Spread;

use crate::case::{Case, FEEDS};
use crate::contender::{Contender, feed};

/// Turns of each contender.
const TURNS: usize = 25;
/// Single runs per contender, at least and at most.
const RUNS: (u64, u64) = (2_000, 100_000);
/// Time for the single runs of the slowest contender.
const TIME: Duration = Duration::from_millis(1_200);
/// Time for which each contender runs before anything is measured.
const WARM_UP: Duration = Duration::from_millis(60);
/// Runs at the begin of a turn that are not timed: caches and branches belong to the contender before.
const SETTLE: u64 = 30;
/// Sleep after a turn, as share of the turn: more than the 5 % that the kernel takes otherwise.
const REST: f64 = 0.08;
/// Lists of runs in a row per turn, and their length; shorter for what takes long.
const ROWS_PER_TURN: usize = 4;
const IN_A_ROW: u64 = 100;
const IN_A_ROW_SLOW: u64 = 10;
const SLOW: Duration = Duration::from_micros(20);
/// Runs over which allocations are counted.
const COUNTED: u64 = 100;

/// Counts the allocations of a piece of work, where a counting allocator is linked in.
pub type Counter<'a> = &'a dyn Fn(&mut dyn FnMut()) -> u64;

/// Allocations per run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allocations {
    /// Counted.
    PerRun(f64),
    /// No counting allocator is linked in.
    NoCounter,
    /// The engine brings an allocator of its own.
    NotSeen,
}

/// Times of one contender in one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// Engine and version.
    pub name: String,
    /// Single runs, nanoseconds.
    pub single: Spread,
    /// Runs that `single` was taken from.
    pub runs: u64,
    /// Median of the means of runs in a row, nanoseconds.
    pub in_a_row: f64,
    /// Allocations per run.
    pub allocations: Allocations,
}

/// p50 of two readings of the clock with nothing between them, nanoseconds.
#[must_use]
pub fn clock_ns() -> u64 {
    let times = (0..10_000).map(|_| {
        let begin = Instant::now();
        begin.elapsed().as_nanos() as u64
    });
    Spread::of(times.collect()).map_or(0, |s| s.p50)
}

/// Times all contenders on the same inputs, in turns.
///
/// # Errors
/// A run failed.
pub fn measure(
    case: &Case,
    contenders: &mut [Box<dyn Contender>],
    count: Option<Counter<'_>>,
) -> Result<Vec<Times>, String> {
    let feeds: Vec<Vec<Vec<f32>>> = (0..FEEDS).map(|set| case.feed(set)).collect();
    let mut costs = Vec::new();
    for contender in contenders.iter_mut() {
        feed(contender.as_mut(), &feeds[0])?;
        costs.push(warm_up(contender.as_mut())?);
    }
    let slowest = costs.iter().max().copied().unwrap_or_default();
    let runs = (TIME.as_nanos() / slowest.as_nanos().max(1)).clamp(RUNS.0.into(), RUNS.1.into()) as usize;
    let mut single: Vec<Vec<u64>> = contenders.iter().map(|_| Vec::with_capacity(runs + TURNS)).collect();
    let mut rows: Vec<Vec<u64>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..TURNS {
        for (place, contender) in contenders.iter_mut().enumerate() {
            let contender = contender.as_mut();
            let turn = Instant::now();
            for _ in 0..SETTLE {
                contender.run()?;
            }
            for run in 0..runs.div_ceil(TURNS) {
                feed(contender, &feeds[run % FEEDS])?;
                let begin = Instant::now();
                contender.run()?;
                single[place].push(begin.elapsed().as_nanos() as u64);
            }
            let length = if costs[place] > SLOW { IN_A_ROW_SLOW } else { IN_A_ROW };
            for _ in 0..ROWS_PER_TURN {
                let begin = Instant::now();
                for _ in 0..length {
                    contender.run()?;
                }
                // In tenths of a nanosecond, so that the mean of a short run keeps a digit.
                rows[place].push(begin.elapsed().as_nanos() as u64 * 10 / length);
            }
            std::thread::sleep(turn.elapsed().mul_f64(REST));
        }
    }
    let mut all = Vec::new();
    for ((contender, single), rows) in contenders.iter_mut().zip(single).zip(rows) {
        let allocations = match count {
            _ if !contender.counted() => Allocations::NotSeen,
            None => Allocations::NoCounter,
            Some(count) => Allocations::PerRun(allocations(contender.as_mut(), count)?),
        };
        let runs = single.len() as u64;
        let (Some(single), Some(rows)) = (Spread::of(single), Spread::of(rows)) else {
            return Err(format!("{} was not run", contender.name()));
        };
        let in_a_row = rows.p50 as f64 / 10.0;
        all.push(Times { name: contender.name().to_owned(), single, runs, in_a_row, allocations });
    }
    Ok(all)
}

/// Runs for a while and returns the time of one run, from the ten in a row that nothing disturbed.
fn warm_up(contender: &mut dyn Contender) -> Result<Duration, String> {
    let begin = Instant::now();
    let mut runs = 0;
    let mut cost = Duration::MAX;
    while begin.elapsed() < WARM_UP || runs < COUNTED {
        let started = Instant::now();
        for _ in 0..10 {
            contender.run()?;
        }
        cost = cost.min(started.elapsed() / 10);
        runs += 10;
    }
    Ok(cost)
}

fn allocations(contender: &mut dyn Contender, count: Counter<'_>) -> Result<f64, String> {
    let mut done = Ok(());
    let sum = count(&mut || {
        for _ in 0..COUNTED {
            if let Err(e) = contender.run() {
                done = Err(e);
            }
        }
    });
    done.map(|()| sum as f64 / COUNTED as f64)
}
