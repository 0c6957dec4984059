//! A model file in words: what it says about itself, what runs it and how, what it costs here, and what it can answer at all.
//!
//! For `flyball model show`. Nothing of a configuration is needed; a file without a contract is shown, too.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use flyball_core::ports::Clock;
use flyball_engine::bounds::{OutputBounds, certify};
use flyball_engine::stream::stream;
use flyball_engine::{Graph, Program};
use tract_onnx::pb::ModelProto;

use crate::contract::{ModelContract, WindowRun};
use crate::error::ModelError;
use crate::network::{How, Network};
use crate::onnx::OnnxFile;
use crate::{file, limits, lower};

/// Names of folded nodes that are listed; more are counted.
const FOLDED_LISTED: usize = 12;

/// The text about a file, for `rows` rows where the batch is symbolic.
///
/// # Errors
/// The bytes are no ONNX file or neither engine can run the graph. A contract that is missing or wrong is told in the text.
pub fn show(bytes: &[u8], rows: usize, clock: &dyn Clock) -> Result<String, ModelError> {
    let file = OnnxFile::read(bytes)?;
    let proto = file.proto();
    let contract = ModelContract::read(proto);
    let typed = file.typed(rows)?;
    let graph = lower::lower(&typed).ok();
    let mut network = Network::new(typed)?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_file(&mut text, bytes, proto);
    let bounds = match (&contract, &graph) {
        (Ok(contract), Some(graph)) => training_box(contract, graph).and_then(|limits| certify(graph, &limits).ok()),
        _ => None,
    };
    let _ = match &contract {
        Ok(contract) => write_contract(&mut text, contract, bounds.as_ref()),
        Err(why) => writeln!(text, "\nno contract: {}; {}", why.found, why.allowed),
    };
    let _ = write_engine(&mut text, proto, &network);
    let _ = write_time(&mut text, &mut network, contract.as_ref().ok(), clock);
    let _ = write_streaming(&mut text, contract.as_ref().ok(), graph.as_ref());
    if let Some(program) = network.program() {
        let _ = write!(text, "\nsteps\n{program}");
    }
    Ok(text)
}

fn write_file(out: &mut String, bytes: &[u8], proto: &ModelProto) -> std::fmt::Result {
    let nodes = proto.graph.as_ref().map_or(0, |g| g.node.len());
    let opset = proto.opset_import.iter().find(|o| o.domain.is_empty()).map_or(0, |o| o.version);
    writeln!(out, "{} bytes, sha256 {}", bytes.len(), file::sha256(bytes))?;
    writeln!(
        out,
        "  {nodes} nodes of operator set {opset}, written by {} {}",
        proto.producer_name, proto.producer_version
    )
}

/// The intervals of one row's numbers in training, in the order of the graph's input.
fn training_box(contract: &ModelContract, graph: &Graph) -> Option<Vec<(f32, f32)>> {
    let n = contract.inputs.len();
    let steps = contract.window.map_or(1, |w| w.steps);
    let axis = contract.window.map_or(1, |w| w.axis);
    let input = graph.inputs().first().filter(|_| graph.inputs().len() == 1)?;
    let numbers: usize = graph.shape(*input).iter().product();
    (numbers == n * steps).then(|| {
        let column = |i: usize| if axis == 2 { i / steps } else { i % n };
        let range = |i: usize| &contract.inputs[column(i)];
        (0..numbers).map(|i| (range(i).train_min as f32, range(i).train_max as f32)).collect()
    })
}

fn write_contract(out: &mut String, contract: &ModelContract, bounds: Option<&OutputBounds>) -> std::fmt::Result {
    writeln!(out, "\nversion {}, {} golden vectors", contract.version, contract.golden.pairs.len())?;
    if let Some(window) = contract.window {
        writeln!(out, "reads a window of {} steps, {} s apart", window.steps, contract.sample_time_s)?;
    }
    writeln!(out, "\n{:<20} {:<8} {:>12} {:>12} {:>12}", "input", "unit", "trained from", "to", "nominal")?;
    for i in &contract.inputs {
        writeln!(out, "{:<20} {:<8} {:>12} {:>12} {:>12}", i.name, i.unit, i.train_min, i.train_max, i.nominal)?;
    }
    writeln!(
        out,
        "\n{:<20} {:<8} {:>12} {:>12}   certified for the training ranges",
        "output", "unit", "range from", "to"
    )?;
    for (i, o) in contract.outputs.iter().enumerate() {
        let certified = match bounds.and_then(|b| b.outputs.first()).and_then(|list| list.get(i)) {
            Some(interval) if interval.is_finite() => format!("{:.4} to {:.4}", interval.low, interval.high),
            Some(_) => "not bounded".to_owned(),
            None => "not known".to_owned(),
        };
        writeln!(out, "{:<20} {:<8} {:>12} {:>12}   {certified}", o.name, o.unit, o.range[0], o.range[1])?;
    }
    if let Some(why) = bounds.and_then(|b| b.unbounded.as_ref()) {
        writeln!(out, "  {why}")?;
    }
    Ok(())
}

fn write_engine(out: &mut String, proto: &ModelProto, network: &Network) -> std::fmt::Result {
    match (network.how(), network.program()) {
        (How::Native, Some(program)) => {
            let cost = program.cost();
            writeln!(
                out,
                "\nengine: program of {} steps on {}; {} operations, {:.1} KiB of weights, {:.1} KiB of arena, no allocation per run",
                cost.steps,
                program.path(),
                cost.operations,
                cost.weight_bytes as f64 / 1024.0,
                cost.arena_bytes as f64 / 1024.0
            )?;
            write_folded(out, proto, program)
        }
        (How::Fallback(why), _) => {
            writeln!(out, "\nengine: tract's plan, which allocates in each run, because of {why}")
        }
        (How::Native, None) => Ok(()),
    }
}

/// Nodes of the file that have no step of their own.
fn write_folded(out: &mut String, proto: &ModelProto, program: &Program) -> std::fmt::Result {
    let origins: BTreeSet<&str> = program.origins().collect();
    // tract names what it makes from a node after the node, with an end behind a point.
    let has_step =
        |name: &str| origins.iter().any(|o| *o == name || o.strip_prefix(name).is_some_and(|r| r.starts_with('.')));
    let nodes = proto.graph.iter().flat_map(|g| &g.node);
    let folded: Vec<String> = nodes
        .filter(|n| !n.name.is_empty() && !has_step(&n.name))
        .map(|n| format!("{} ({})", n.name, n.op_type))
        .collect();
    if folded.is_empty() {
        return Ok(());
    }
    let more = folded.len().saturating_sub(FOLDED_LISTED);
    let listed = folded[..folded.len() - more].join(", ");
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    writeln!(out, "  without a step of their own (folded into others, views, constants): {listed}{rest}")
}

/// Runs it on its nominal inputs, as the load does.
fn write_time(
    out: &mut String,
    network: &mut Network,
    contract: Option<&ModelContract>,
    clock: &dyn Clock,
) -> std::fmt::Result {
    for (i, info) in network.inputs().to_vec().iter().enumerate() {
        let nominal = |at: usize| match contract {
            Some(c) if i == 0 && c.window.is_none() => {
                c.inputs.get(at % c.inputs.len()).map_or(0.5, |i| i.nominal as f32)
            }
            _ => 0.5,
        };
        let numbers: Vec<f32> = (0..info.len()).map(nominal).collect();
        network.input_mut(i).copy_from_slice(&numbers);
    }
    let mut taken = Vec::with_capacity(limits::TIMED_RUNS);
    for _ in 0..limits::TIMED_RUNS {
        let begin = clock.now();
        if network.run().is_err() {
            return writeln!(out, "time: not measured, because a run failed");
        }
        taken.push(clock.now().0.saturating_sub(begin.0));
    }
    taken.sort_unstable();
    let us = |per_mille: usize| taken[(taken.len() - 1) * per_mille / 1000] as f64 / 1000.0;
    let shapes: Vec<String> = network.inputs().iter().map(|i| format!("{:?}", i.shape)).collect();
    writeln!(
        out,
        "time of one run here, input {}: p50 {:.2} us, p99 {:.2} us, slowest of {} {:.2} us",
        shapes.join(" "),
        us(500),
        us(990),
        taken.len(),
        us(1000)
    )
}

fn write_streaming(out: &mut String, contract: Option<&ModelContract>, graph: Option<&Graph>) -> std::fmt::Result {
    let (Some(window), Some(graph)) = (contract.and_then(|c| c.window), graph) else { return Ok(()) };
    match stream(graph, 0, window.axis) {
        Ok(form) => {
            let numbers: usize = form.initial.iter().map(Vec::len).sum();
            let same = if form.equal_for_ever { "for ever" } else { "for the first window after a reset" };
            let asked = window.run == WindowRun::Stream || form.equal_for_ever;
            let way = if asked { "one step is run at a time" } else { "the whole window is run, as plc.window asks" };
            writeln!(out, "streaming: {way}; one step carries {numbers} numbers and equals the window {same}")
        }
        Err(why) => writeln!(out, "streaming: the whole window is run each time: {why}"),
    }
}
