//! Contract against configuration: names, units, filters, ranges, golden vectors, time.
//!
//! What could make the model answer wrongly is refused; what only narrows where it may be believed is a warning.

use core::time::Duration;

use flyball_config::{Config, Confirm, DomainKind, Filter, InputSource, Model, ModelRole};
use flyball_core::ports::Clock;

use crate::contract::{InputContract, ModelContract};
use crate::engine::{BatchPlan, SteadyMap};
use crate::error::{ModelError, Refusal};
use crate::limits;

/// What is known about the source of one model input.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceInfo {
    /// Tag, MV or prediction, for messages.
    pub name: String,
    /// Unit symbol ("degC").
    pub unit: String,
    /// Second accepted spelling (display name), may be the same.
    pub display: String,
    /// Smallest value to be expected, EU.
    pub low: f64,
    /// Largest value to be expected, EU.
    pub high: f64,
}

/// The sources of a model's inputs, in the order of `Model::inputs`.
#[must_use]
pub fn sources_of(config: &Config, model: &Model) -> Vec<SourceInfo> {
    let info = |name: &str, unit: flyball_config::units::Unit, range: flyball_config::EuRange| SourceInfo {
        name: name.to_owned(),
        unit: unit.0.symbol.to_owned(),
        display: unit.0.display.to_owned(),
        low: range.low,
        high: range.high,
    };
    let source = |source: InputSource| match source {
        InputSource::Tag(id) => {
            let tag = config.tag(id);
            info(&tag.name, tag.unit, tag.plausible.unwrap_or(tag.range))
        }
        InputSource::Age(id) => {
            let tag = config.tag(id);
            let name = format!("age of {}", tag.name);
            // Older than that the late value itself is Bad.
            let high = tag.stale_after.as_secs_f64();
            SourceInfo { name, unit: "s".into(), display: "s".into(), low: 0.0, high }
        }
        InputSource::Mv(id) => {
            let mv = &config.mvs[id.index()];
            info(&mv.name, mv.unit, mv.limits)
        }
        InputSource::Prediction(id) => {
            let at = config.predictions[id.index()];
            let output = &config.models[at.model.index()].outputs[at.output as usize];
            info(&output.name, output.unit, output.range)
        }
    };
    model.inputs.iter().map(|i| source(i.source)).collect()
}

/// How the configuration's columns map to the file's, and what is worth a warning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matched {
    pub input_order: Vec<usize>,
    pub output_order: Vec<usize>,
    pub warnings: Vec<String>,
}

/// Matches names, units and filters of the configuration with the contract.
pub(crate) fn match_configuration(
    contract: &ModelContract,
    model: &Model,
    sources: &[SourceInfo],
) -> Result<Matched, ModelError> {
    let mut warnings = Vec::new();
    let file_inputs: Vec<&str> = contract.inputs.iter().map(|i| i.name.as_str()).collect();
    let file_outputs: Vec<&str> = contract.outputs.iter().map(|o| o.name.as_str()).collect();
    let mut input_order = Vec::with_capacity(file_inputs.len());
    for (input, source) in model.inputs.iter().zip(sources) {
        let column = find(&file_inputs, &input.name, "input")?;
        let row = &contract.inputs[column];
        check_unit("input", &input.name, &row.unit, &source.unit, &source.display, &source.name)?;
        // A map is steady state: filters on its inputs shape the disturbance in time and change nothing it was trained on.
        if model.role == ModelRole::SoftSensor {
            check_filter(row, input.filter, input.delay)?;
        }
        if source.low < row.train_min || source.high > row.train_max {
            warnings.push(format!(
                "input {}: {} may be {} to {} {}, but the model was trained on {} to {}; outside, the prediction is limited and Uncertain",
                input.name, source.name, source.low, source.high, row.unit, row.train_min, row.train_max
            ));
        }
        input_order.push(column);
    }
    if let Some(missing) = file_inputs.iter().find(|name| !model.inputs.iter().any(|i| i.name == **name)) {
        return Err(name_error(
            format!("the file's input {missing} is not in the configuration"),
            &file_inputs,
            "input",
        ));
    }
    let mut output_order = Vec::with_capacity(model.outputs.len());
    for output in &model.outputs {
        let column = find(&file_outputs, &output.name, "output")?;
        check_unit(
            "output",
            &output.name,
            &contract.outputs[column].unit,
            output.unit.0.symbol,
            output.unit.0.display,
            &output.name,
        )?;
        output_order.push(column);
    }
    let every = model.every.as_secs_f64();
    if contract.sample_time_s > 0.0 && (every - contract.sample_time_s).abs() > 1e-6 {
        warnings.push(format!(
            "the model was trained for a run every {} s, the configuration runs it every {every} s",
            contract.sample_time_s
        ));
    }
    check_trust(contract, model, &mut warnings)?;
    Ok(Matched { input_order, output_order, warnings })
}

/// What the configuration wants to know of its predictions must be in the file.
fn check_trust(contract: &ModelContract, model: &Model, warnings: &mut Vec<String>) -> Result<(), ModelError> {
    if model.role == ModelRole::Map {
        return Ok(());
    }
    let missing = |key: &str, asked: &str, other: &str| {
        ModelError::new(
            Refusal::BadContract,
            format!("the key {key} is missing in metadata_props"),
            format!("the configuration asks for {asked}"),
            format!("write the file again with the scripts of models/tools, or {other}"),
        )
    };
    let trust = &model.trust;
    if contract.domain.is_none() && trust.domain == DomainKind::T2AndSpe {
        return Err(missing("plc.domain", "domain = \"T2 and SPE\"", "write domain = \"training range\""));
    }
    if contract.residuals.is_none() && trust.interval.is_some_and(|i| i.required) {
        return Err(missing("plc.residuals", "an interval", "write kind = \"none\""));
    }
    if contract.domain.is_none() && trust.domain == DomainKind::AsInFile {
        warnings.push("it brings no plc.domain: only the range of each input is checked, not all together".into());
    }
    if contract.residuals.is_none() {
        let confirm = model.outputs.iter().any(|o| o.bias.is_some_and(|b| matches!(b.confirm, Confirm::Sigmas(_))));
        let also = if confirm { ", and no sample waits for confirmation" } else { "" };
        if confirm || trust.interval.is_some() {
            warnings.push(format!("it brings no plc.residuals: predictions have no interval{also}"));
        }
    }
    Ok(())
}

fn find(names: &[&str], name: &str, what: &str) -> Result<usize, ModelError> {
    names
        .iter()
        .position(|n| *n == name)
        .ok_or_else(|| name_error(format!("the configuration's {what} {name} is not in the file"), names, what))
}

fn name_error(found: String, names: &[&str], what: &str) -> ModelError {
    ModelError::new(
        Refusal::WrongName,
        found,
        format!("the file has the {what}s {}", names.join(", ")),
        format!("name every {what} of the file in the configuration, exactly as there"),
    )
}

fn check_unit(what: &str, name: &str, file: &str, symbol: &str, display: &str, source: &str) -> Result<(), ModelError> {
    if file == symbol || file == display {
        return Ok(());
    }
    Err(ModelError::new(
        Refusal::WrongUnit,
        format!("{what} {name} is in '{file}' in the file and {source} is in '{symbol}'"),
        "both must be the same unit; nothing is converted silently",
        "scale the tag to the model's unit or train the model in the tag's unit",
    ))
}

/// A filter that differs from the training is the most common silent error, so it is refused.
fn check_filter(row: &InputContract, filter: Filter, delay: Duration) -> Result<(), ModelError> {
    let (kind, seconds) = match filter {
        Filter::None => ("none", 0.0),
        Filter::Mean(d) => ("mean", d.as_secs_f64()),
        Filter::FirstOrder(d) => ("first-order", d.as_secs_f64()),
        Filter::LeadLag { lead, .. } => ("lead", lead.as_secs_f64()),
    };
    let delay = delay.as_secs_f64();
    if kind == row.filter && (seconds - row.filter_s).abs() < 1e-6 && (delay - row.lag_s).abs() < 1e-6 {
        return Ok(());
    }
    Err(ModelError::new(
        Refusal::WrongFilter,
        format!("input {} has filter {kind} {seconds} s and delay {delay} s in the configuration", row.name),
        format!("the model was trained with filter {} {} s and delay {} s", row.filter, row.filter_s, row.lag_s),
        "write the same filter and delay into the configuration",
    ))
}

/// Runs every golden vector on this machine. `plan` has one row in the file's column order.
pub(crate) fn check_golden(contract: &ModelContract, plan: &mut BatchPlan) -> Result<(), ModelError> {
    let mut y = vec![0.0; contract.outputs.len()];
    for (number, pair) in contract.golden.pairs.iter().enumerate() {
        let ran = plan.run(&pair.input, &mut y).is_ok();
        for ((got, wanted), output) in y.iter().zip(&pair.output).zip(&contract.outputs) {
            let allowed = contract.golden.tolerance_of_span * (output.range[1] - output.range[0]);
            let difference = (got - wanted).abs();
            // A NaN difference fails too, because it is not within.
            let within = difference <= allowed;
            if !ran || !within {
                return Err(ModelError::new(
                    Refusal::WrongGolden,
                    format!(
                        "golden vector {number} gives {} = {got} here instead of {wanted} {}",
                        output.name, output.unit
                    ),
                    format!("a difference of {allowed} is allowed"),
                    "the file or this machine computes wrongly: do not use it, write the file again from its training",
                ));
            }
        }
    }
    Ok(())
}

/// Time of one prediction at load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadReport {
    /// Median, ns.
    pub p50_ns: u64,
    /// 99th percentile, ns.
    pub p99_ns: u64,
    /// Slowest of [`limits::TIMED_RUNS`], ns.
    pub max_ns: u64,
    /// Runs.
    pub runs: u32,
}

/// Times one prediction and compares its 99th percentile with the stage budget. The slowest run is reported, not judged: on a
/// shared machine it measures the neighbours.
pub(crate) fn time(
    contract: &ModelContract,
    plan: &mut BatchPlan,
    budget: Duration,
    clock: &dyn Clock,
) -> Result<LoadReport, ModelError> {
    let x: Vec<f64> = contract.inputs.iter().map(|i| i.nominal).collect();
    let mut y = vec![0.0; contract.outputs.len()];
    let mut taken = Vec::with_capacity(limits::TIMED_RUNS);
    for _ in 0..limits::TIMED_RUNS {
        let begin = clock.now();
        let _ = plan.run(&x, &mut y);
        taken.push(clock.now().0.saturating_sub(begin.0));
    }
    taken.sort_unstable();
    let at = |share: usize| taken[(taken.len() - 1) * share / 1000];
    let report = LoadReport { p50_ns: at(500), p99_ns: at(990), max_ns: at(1000), runs: limits::TIMED_RUNS as u32 };
    if u128::from(report.p99_ns) > budget.as_nanos() {
        return Err(ModelError::new(
            Refusal::TooSlow,
            format!("one prediction takes {} us here (99 % of {} runs)", report.p99_ns / 1000, report.runs),
            format!("the predict stage has a budget of {} us", budget.as_micros()),
            "use a smaller model, a faster machine, or a larger stage budget",
        ));
    }
    Ok(report)
}
