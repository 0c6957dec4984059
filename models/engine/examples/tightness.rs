//! How tight certified bounds are, beside the range that sampling and local search find, and how long a run takes.
//!
//! `cargo run --release -p flyball-engine --example tightness [POINTS]` prints two Markdown tables. Every point is also checked against
//! the bounds, so the run fails if one of them is left. Points default to a million per network and range of inputs.

use std::error::Error;
use std::time::Instant;

use flyball_engine::Graph;
use flyball_engine::bounds::{Certifier, Interval, Tightness, certify, certify_split};

#[path = "../tests/bounds/nets.rs"]
mod nets;
#[path = "../tests/bounds/program.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod program;
#[path = "../tests/bounds/sampling.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod sampling;

use program::Lanes;
use sampling::{Random, holds};

/// Half the width of each input's interval; inputs are scaled to about -1 to 1.
const RADII: [f64; 3] = [0.01, 0.1, 0.5];
/// Splits of the third column of bounds.
const SPLITS: usize = 64;
/// Batches of one local search, per output and direction.
const SEARCH: usize = 400;
/// Runs that are timed.
const RUNS: usize = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let points = std::env::args().nth(1).map_or(Ok(1_000_000), |a| a.parse())?;
    println!(
        "Width of the first output's bounds; \"seen\" is the range over {points} points, corners and a local search.\n"
    );
    println!(
        "| net | inputs +/- | intervals | relaxation | {SPLITS} splits | seen | intervals / seen | relaxation / seen | splits / seen |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for net in nets::all() {
        for (seed, radius) in (1..).zip(RADII) {
            let inputs: usize = net.graph.inputs().iter().map(|n| net.graph.shape(*n).iter().product::<usize>()).sum();
            let mut random = Random::new(seed);
            let centres: Vec<f64> = (0..inputs).map(|_| random.between(-1.0, 1.0)).collect();
            let at: Vec<(f32, f32)> = centres.iter().map(|c| ((c - radius) as f32, (c + radius) as f32)).collect();
            let plain = certify(&net.graph, &at)?;
            let split = certify_split(&net.graph, &at, SPLITS)?.outputs.concat();
            let mut run = sampling::compiled(&net.graph);
            let mut seen = holds(net.name, &at, &split, points, seed, &mut run)[0];
            for direction in [1.0, -1.0] {
                let found = search(&mut run, &at, direction, &mut random);
                assert!(split[0].contains(found), "{}: {found} outside {:?}", net.name, split[0]);
                seen = Interval { low: seen.low.min(found), high: seen.high.max(found) };
            }
            let widths = [plain.intervals[0][0], plain.outputs[0][0], split[0], seen].map(Interval::width);
            let [a, b, c, s] = widths;
            println!(
                "| {} | {radius} | {a:.4} | {b:.4} | {c:.4} | {s:.4} | {:.2} | {:.2} | {:.2} |",
                net.name,
                a / s,
                b / s,
                c / s
            );
        }
    }
    println!("\nTime of one run, median of {RUNS}, one thread, no allocation.\n");
    println!("| net | intervals, us | outputs, us | layers, us | deviation by layers, us |\n|---|---|---|---|---|");
    for net in nets::all() {
        let times: Vec<String> = times(&net.graph)?.iter().map(|t| format!("{t:.1}")).collect();
        println!("| {} | {} |", net.name, times.join(" | "));
    }
    Ok(())
}

/// A compiled network.
type Run = dyn FnMut(&[Lanes]) -> Vec<[f64; program::POINTS]>;

/// The largest (or smallest) first output that is found by moving one input at a time, or all of them a little, from many points.
fn search(run: &mut Run, at: &[(f32, f32)], direction: f64, random: &mut Random) -> f64 {
    let mut from = sampling::points(random, at);
    let mut value = |x: &[Lanes]| run(x)[0].map(|v| v * direction);
    let mut best = value(&from);
    for round in 0..SEARCH {
        let mut to = from.clone();
        for p in 0..program::POINTS {
            // Mostly one input to one of its ends; sometimes all inputs by a little.
            if round % 4 == 0 {
                for (x, (low, high)) in to.iter_mut().zip(at) {
                    let step = random.between(-0.1, 0.1) as f32 * (high - low);
                    x[p] = (x[p] + step).clamp(*low, *high);
                }
            } else {
                let i = random.below(at.len());
                to[i][p] = sampling::inside(random, at[i]);
            }
        }
        let found = value(&to);
        for p in 0..program::POINTS {
            if found[p] > best[p] {
                best[p] = found[p];
                from.iter_mut().zip(&to).for_each(|(f, t)| f[p] = t[p]);
            }
        }
    }
    best.into_iter().fold(f64::NEG_INFINITY, f64::max) * direction
}

/// Microseconds of a run with each tightness, and of a deviation with the last.
fn times(graph: &Graph) -> Result<[f64; 4], Box<dyn Error>> {
    let mut all = [0.0; 4];
    let levels = [Tightness::Intervals, Tightness::Outputs, Tightness::Layers, Tightness::Layers];
    for (i, (time, tightness)) in all.iter_mut().zip(levels).enumerate() {
        let mut certifier = Certifier::new(graph, tightness)?;
        let centre = vec![0.1; certifier.inputs()];
        let radius = vec![0.05; certifier.inputs()];
        let (low, high) = (vec![0.05; certifier.inputs()], vec![0.15; certifier.inputs()]);
        let mut out = vec![Interval::WHOLE; certifier.outputs()];
        let mut reach = vec![0.0; certifier.outputs()];
        let mut samples = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let start = Instant::now();
            if i < 3 {
                certifier.run(&low, &high, &mut out)?;
            } else {
                certifier.deviation(&centre, &radius, &mut reach)?;
            }
            samples.push(start.elapsed().as_nanos() as f64 / 1e3);
        }
        samples.sort_by(f64::total_cmp);
        *time = samples[RUNS / 2];
    }
    Ok(all)
}
