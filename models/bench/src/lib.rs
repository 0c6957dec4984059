//! Inference side by side: this engine, tract, ONNX Runtime and the machine's ceiling, in one run, on one thread, on the same inputs.
//!
//! `cargo bench -p flyball-models` runs the models of [`zoo`] and counts allocations; `flyball bench inference FILE...` runs any ONNX file.
//! Nothing of this is linked into the scan: the crate exists so that the judges stay outside.
//!
//! Words: a *case* is one model with its rows and goal; a *contender* is one engine with a case loaded; the *ceiling* is the shortest time
//! that the machine's multiply-adds and reads allow; a *peer* is a contender that is not ours.

pub mod case;
pub mod ceiling;
pub mod contender;
pub mod measure;
pub mod onnx;
pub mod onnx_runtime;
pub mod ours;
pub mod report;
#[cfg(test)]
mod report_tests;
pub mod tract_plan;
pub mod zoo;

use case::{Case, Work};
use ceiling::Ceiling;
use contender::Contender;
use flyball_machine::realtime;
use measure::Counter;
use onnx_runtime::Library;
use report::{Outcome, Verdict};

/// Runs all cases and prints their tables, each when it is done.
///
/// # Errors
/// An engine fails in the middle of a measurement.
pub fn run(cases: &[Case], count: Option<Counter<'_>>) -> Result<Verdict, String> {
    print!("{}", realtime::bench_header(realtime::last_core()));
    let library = Library::load();
    let ceiling = Ceiling::measure();
    print!("{}", report::header(&ceiling, measure::clock_ns(), &library));
    let mut results = Vec::new();
    for case in cases {
        let result = run_case(case, &library, &ceiling, count)?;
        print!("{}", report::block(&result));
        results.push(result);
    }
    let verdict = Verdict::of(&results);
    print!("{}", report::summary(&results, &verdict));
    Ok(verdict)
}

fn run_case(
    case: &Case,
    library: &Result<Library, String>,
    ceiling: &Ceiling,
    count: Option<Counter<'_>>,
) -> Result<Outcome, String> {
    let mut contenders: Vec<Box<dyn Contender>> = Vec::new();
    let mut notes = Vec::new();
    let mut admit = |name: &str, prepared: Result<Box<dyn Contender>, String>| match prepared {
        Ok(contender) => contenders.push(contender),
        Err(why) => notes.push(format!("NOT MEASURED: {name}: {why}")),
    };
    let (prepared, note) = match ours::prepare(case) {
        Ok((contender, note)) => (Ok(contender), note),
        Err(why) => (Err(why), None),
    };
    admit(ours::NAME, prepared);
    if case.work == Work::Value {
        admit("tract", tract_plan::prepare(case));
        match library {
            Ok(library) => admit(&library.name, onnx_runtime::prepare(library, case)),
            Err(_) => admit("ONNX Runtime", Err("its library is absent, see above".to_owned())),
        }
    }
    notes.extend(note);
    let multiply_adds = tract_plan::multiply_adds(case).ok();
    let bounded = multiply_adds.filter(|_| case.work == Work::Value);
    let shortest_ns = bounded.map(|n| ceiling.shortest_ns(n, case.weight_bytes));
    let level = ceiling.cache(case.weight_bytes).name;
    let compared = contender::largest_difference(case, &mut contenders);
    let times = match &compared {
        Ok(_) => measure::measure(case, &mut contenders, count)?,
        Err(_) => Vec::new(),
    };
    Ok(Outcome { case: case.clone(), multiply_adds, shortest_ns, level, compared, times, notes })
}
