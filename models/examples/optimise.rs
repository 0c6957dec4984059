//! Solves problems that are written as JSON, and times the solves: our side of `models/tools/compare_optimisers.py`, which writes them.
//!
//! `cargo run --release -p flyball-models --example optimise -- [--starts N] [--milliseconds M] PROBLEM.json...`
//!
//! A problem names an ONNX file and says what is moved, what is kept and what is wanted ([`Asked`]). One line of JSON per problem is printed:
//! the answer, and how long a solve took, again and again from the same cold start. Reading, compiling and building are not timed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use flyball_core::optimum::{CvProblem, MvProblem, Optimum, Problem};
use flyball_core::ports::{NoProbe, Optimizer};
use flyball_machine::realtime;
use flyball_machine::spread::Spread;
use flyball_models::lower::lower;
use flyball_models::onnx::OnnxFile;
use flyball_optimiser::{MvSetup, NetworkMap, Setup, SteadyOptimizer};
use serde::Deserialize;
use serde_json::json;

/// Solves that are timed, at least and at most.
const SOLVES: (usize, usize) = (50, 20_000);
/// Solves before anything is timed.
const WARM_UP: usize = 20;

/// A problem, as the script writes it. Order of MVs, CVs, inputs and outputs is that of the lists; units are those of the file.
#[derive(Deserialize)]
struct Asked {
    name: String,
    /// Path of the ONNX file, beginning where the problem's file is.
    onnx: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    objective: String,
    maximise: bool,
    prices: Vec<(String, f64)>,
    mvs: Vec<Mv>,
    /// Value of each input; those of MVs are where the search starts.
    x: Vec<f64>,
    /// Where the map is believed, per input.
    ranges: Vec<(f64, f64)>,
    cvs: Vec<Cv>,
}

#[derive(Deserialize)]
struct Mv {
    input: usize,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Cv {
    output: u32,
    low: Option<f64>,
    high: Option<f64>,
    priority: u8,
    scale: f64,
}

fn main() -> Result<(), String> {
    let (mut starts, mut time, mut files) = (1, Duration::from_millis(500), Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or(format!("{word} needs a number"))?;
            text.parse::<u64>().map_err(|e| format!("{word} {text}: {e}"))
        };
        match word.as_str() {
            "--starts" => starts = number()? as usize,
            "--milliseconds" => time = Duration::from_millis(number()?),
            _ => files.push(word),
        }
    }
    for line in realtime::bench_header(realtime::last_core()).lines() {
        eprintln!("{line}");
    }
    for file in files {
        let answer = solve(Path::new(&file), starts, time).map_err(|e| format!("{file}: {e}"))?;
        println!("{answer}");
    }
    Ok(())
}

fn solve(file: &Path, starts: usize, time: Duration) -> Result<serde_json::Value, String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let asked: Asked = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let onnx = file.parent().unwrap_or(Path::new("")).join(&asked.onnx);
    let bytes = fs::read(&onnx).map_err(|e| format!("{}: {e}", onnx.display()))?;
    let mut optimiser = optimiser(&asked, &bytes, starts)?;
    let problem = problem(&asked);

    let mut optimum = Optimum::default();
    let mut ns = Vec::with_capacity(SOLVES.1);
    let begun = Instant::now();
    for solve in 0..WARM_UP + SOLVES.1 {
        // Without a last answer every solve starts cold.
        optimum = Optimum::default();
        let begin = Instant::now();
        optimiser.optimise(&problem, &mut optimum, &mut NoProbe);
        let taken = begin.elapsed();
        if solve >= WARM_UP {
            ns.push(taken.as_nanos() as u64);
        }
        if ns.len() >= SOLVES.0 && begun.elapsed() > time {
            break;
        }
    }
    let solves = ns.len();
    let spread = Spread::of(ns).ok_or("nothing was timed")?;
    Ok(json!({
        "name": asked.name,
        "starts": optimum.starts,
        "mvs": optimum.mvs.iter().map(|mv| mv.optimum).collect::<Vec<_>>(),
        "status": format!("{:?}", optimum.status),
        "given_up": optimum.cvs.iter().map(|cv| cv.given_up).collect::<Vec<_>>(),
        "iterations": optimum.iterations,
        "objective": optimum.objective_optimum,
        "solves": solves,
        "p50_ns": spread.p50,
        "p999_ns": spread.p999,
        "max_ns": spread.max,
    }))
}

/// The optimiser over the file's network, compiled for as many rows as there are starts.
fn optimiser(asked: &Asked, bytes: &[u8], starts: usize) -> Result<SteadyOptimizer, String> {
    let setup = Setup {
        objective: asked.objective.clone(),
        maximise: asked.maximise,
        inputs: asked.inputs.clone(),
        outputs: asked.outputs.clone(),
        prices: asked.prices.iter().map(|(name, _)| name.clone()).collect(),
        mvs: (asked.mvs.iter())
            .map(|mv| MvSetup { input: mv.input, engineering: (mv.low, mv.high), move_cost: 0.0 })
            .collect(),
        cvs: asked.cvs.len(),
        starts,
        accept_if_gain: 0.0,
        reach: None,
    };
    let file = OnnxFile::read(bytes).map_err(|e| e.to_string())?;
    let graph = |rows: usize| {
        let typed = file.typed(rows).map_err(|e| e.to_string())?;
        lower(&typed).map_err(|e| e.to_string())
    };
    // Both sides know the file's order only.
    let (inputs, outputs) = ((0..asked.inputs.len()).collect(), (0..asked.outputs.len()).collect());
    let map = NetworkMap::new(|rows| graph(rows).map_err(Refused), starts, inputs, outputs).map_err(|e| e.0)?;
    SteadyOptimizer::new(&setup, Box::new(map), asked.ranges.clone(), None).map_err(|e| format!("{e:?}"))
}

/// Why a network cannot be searched.
struct Refused(String);

impl From<flyball_engine::GraphError> for Refused {
    fn from(e: flyball_engine::GraphError) -> Self {
        Self(e.to_string())
    }
}

fn problem(asked: &Asked) -> Problem {
    let mv = |mv: &Mv| MvProblem {
        now: asked.x[mv.input],
        low: mv.low,
        high: mv.high,
        move_up: mv.high - mv.low,
        move_down: mv.high - mv.low,
        free: true,
        limited_high: false,
        limited_low: false,
    };
    let cv = |cv: &Cv| CvProblem {
        low: cv.low.unwrap_or(f64::NEG_INFINITY),
        high: cv.high.unwrap_or(f64::INFINITY),
        priority: cv.priority,
        scale: cv.scale,
        active: true,
        map_output: cv.output,
    };
    Problem {
        mvs: asked.mvs.iter().map(mv).collect(),
        cvs: asked.cvs.iter().map(cv).collect(),
        inputs: asked.x.iter().copied().collect(),
        output_bias: asked.outputs.iter().map(|_| 0.0).collect(),
        prices: asked.prices.iter().map(|(_, price)| *price).collect(),
    }
}
