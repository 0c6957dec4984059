//! `[optimiser]`: what is searched for the best setpoints, and what "best" means.

use std::time::Duration;

use crate::bounds::{HORIZON_STEPS_MAX, PRICES_MAX, STARTS_MAX};
use crate::model::{Direction, Horizon, InputSource, Model, ModelId, Optimiser, Price};
use crate::quantity::{self, Problem, words};
use crate::read::{Cx, ModelDraft, check_count, check_name, no_such};
use crate::reader::{Field, Reader};
use crate::suggest::did_you_mean;
use crate::tree::shorten;

/// Functions that an objective may call (the expression library's names).
const FUNCTIONS: [&str; 12] = ["abs", "sqrt", "exp", "ln", "log10", "log2", "sin", "cos", "tan", "tanh", "min", "max"];

/// Leaving the map's domain by a whole limit costs this many times `accept_if_gain`, when the file does not say.
const DOMAIN_COST_GAINS: f64 = 10.0;

/// Reads `[optimiser]`.
pub(crate) fn read(
    field: Option<Field<'_>>,
    cx: &Cx,
    models: &[ModelDraft],
    budget: Option<Duration>,
) -> Option<Optimiser> {
    let mut r = field?.table("optimiser")?;
    let every = r.need("every", "\"30 s\"").and_then(|f| cx.whole_cycles(&f));
    let map = r.need("model", "\"ss\"").and_then(|f| {
        let name = f.text()?;
        let at = models.iter().position(|m| m.name == name);
        if at.is_none() {
            f.error(no_such("model", name, models.iter().map(|m| m.name.as_str())));
        }
        at
    });
    let prices = r.get("prices").and_then(|f| f.table("optimiser.prices")).map(prices).unwrap_or_default();
    let (maximise, minimise) = (r.get("maximise"), r.get("minimise"));
    let objective = match (maximise, minimise) {
        (Some(f), None) => f.text().map(|text| (Direction::Maximise, text, f)),
        (None, Some(f)) => f.text().map(|text| (Direction::Minimise, text, f)),
        (None, None) => {
            r.error(Problem::new("no objective").allowed("maximise = \"...\" or minimise = \"...\""));
            None
        }
        (Some(_), Some(f)) => {
            f.error(Problem::new("both maximise and minimise are given").allowed("one of them"));
            None
        }
    };
    if let Some((model, (_, text, field))) = map.and_then(|m| models[m].model.as_ref()).zip(objective.as_ref()) {
        check_names(text, field, model, &prices);
    }
    let starts = r.get("starts").map_or(Some(8), |f| f.whole(1, u32::from(STARTS_MAX))).map(|n| n as u16);
    let stop_after = r.need("stop_after", "\"80 ms\"").and_then(|f| {
        let time = f.duration()?;
        // A solve that is longer than one scan may be goes on in the next ones; it must end before it is due again.
        if let (Some(budget), Some(every), Some(cycle)) = (budget, every, cx.cycle) {
            let scans = (every.as_nanos() / cycle.as_nanos().max(1)).max(1);
            let longest = budget.saturating_mul(u32::try_from(scans).unwrap_or(u32::MAX));
            if time > longest {
                let allowed = format!(
                    "at most {}, the stage budget 'optimise' of {} in each of the {scans} scans of 'every'",
                    words(longest),
                    words(budget)
                );
                f.error(Problem::new(format!("found {}", words(time))).allowed(allowed));
            }
        }
        Some(time)
    });
    let reach = r.get("reach").map(|f| {
        let (moves, unit) = f.check(quantity::split(f.text()?))?;
        if unit == "moves" && moves >= 1.0 {
            return Some(moves);
        }
        f.error(Problem::new(format!("found {moves} {unit}")).allowed("1 or more moves, as \"20 moves\""));
        None
    });
    let unit_field = r.get("objective_unit");
    let unit = unit_field.as_ref().and_then(|f| f.text());
    let gain = r.need("accept_if_gain", "\"0.20 EUR/h\"").and_then(|f| {
        let (value, gain_unit) = f.check(quantity::split(f.text()?))?;
        if value < 0.0 {
            f.error(Problem::new(format!("found {value}")).allowed("0 or more"));
        }
        match unit {
            Some(unit) if !gain_unit.is_empty() && unit != gain_unit => {
                f.error(Problem::new(format!("found the unit {gain_unit}")).allowed(format!("objective_unit, {unit}")));
                None
            }
            _ => Some((value, unit.unwrap_or(gain_unit).to_owned())),
        }
    });
    let domain_cost = match (r.get("domain_cost"), &gain) {
        (Some(f), Some((_, unit))) => in_objective_units(&f, unit),
        (None, Some((gain, _))) => Some(DOMAIN_COST_GAINS * gain),
        (_, None) => None,
    };
    let horizon = match r.get("horizon") {
        Some(f) => {
            Some(horizon(f.table("optimiser.horizon")?, cx, every, gain.as_ref().map(|(_, unit)| unit.as_str()))?)
        }
        None => None,
    };
    let (direction, objective, _) = objective?;
    let (accept_if_gain, objective_unit) = gain?;
    Some(Optimiser {
        every: every?,
        map: ModelId(map? as u32),
        direction,
        objective: objective.to_owned(),
        objective_unit,
        prices,
        starts: starts?,
        stop_after: stop_after?,
        accept_if_gain,
        reach: match reach {
            Some(reach) => Some(reach?),
            None => None,
        },
        domain_cost: domain_cost?,
        horizon,
    })
}

/// Reads `horizon = { ... }`.
fn horizon(mut r: Reader<'_>, cx: &Cx, every: Option<Duration>, unit: Option<&str>) -> Option<Horizon> {
    let steps = r.need("steps", "20").and_then(|f| f.whole(2, HORIZON_STEPS_MAX)).map(|n| n as usize);
    let step = match r.get("step") {
        Some(f) => cx.whole_cycles(&f).filter(|step| {
            let fits = every.is_none_or(|every| every.as_nanos() % step.as_nanos().max(1) == 0);
            if !fits {
                let allowed =
                    format!("a time of which 'every', {}, is a whole number", words(every.unwrap_or_default()));
                f.error(Problem::new(format!("found {}", words(*step))).allowed(allowed));
            }
            fits
        }),
        None => every,
    };
    let blocks = r.need("blocks", "[1, 1, 2, 4, 12]").and_then(|f| {
        let lengths: Option<Vec<usize>> =
            f.list()?.iter().map(|f| f.whole(1, HORIZON_STEPS_MAX).map(|n| n as usize)).collect();
        let lengths = lengths?;
        let sum: usize = lengths.iter().sum();
        let period = every.zip(step).map_or(1, |(every, step)| (every.as_nanos() / step.as_nanos().max(1)) as usize);
        if lengths.is_empty() || steps.is_some_and(|steps| sum > steps) {
            let allowed = format!("1 or more blocks of together at most {} steps", steps.unwrap_or_default());
            f.error(Problem::new(format!("found {} blocks of together {sum} steps", lengths.len())).allowed(allowed));
            return None;
        }
        if lengths.iter().any(|len| *len < period) {
            let allowed = format!("blocks of at least {period} steps, which is one 'every'");
            let problem = Problem::new("a block is shorter than the time between two moves").allowed(allowed);
            f.error(problem.help("Each block is one move."));
            return None;
        }
        Some(lengths)
    });
    let terminal = match r.get("terminal") {
        Some(f) => in_objective_units(&f, unit?),
        None => Some(0.0),
    };
    let recover = match r.get("recover") {
        Some(f) => f.whole(1, HORIZON_STEPS_MAX).map(|n| n as usize),
        None => steps.map(|steps| steps.div_ceil(3)),
    };
    Some(Horizon { steps: steps?, blocks: blocks?, step: step?, terminal: terminal?, recover: recover? })
}

/// An amount in units of the objective, not negative.
pub(crate) fn in_objective_units(field: &Field<'_>, unit: &str) -> Option<f64> {
    let (value, found) = field.check(quantity::split(field.text()?))?;
    if found != unit {
        field.error(Problem::new(format!("found the unit {found}")).allowed(format!("the objective's, {unit}")));
        return None;
    }
    if value < 0.0 {
        field.error(Problem::new(format!("found {value}")).allowed("0 or more"));
        return None;
    }
    Some(value)
}

fn prices(mut r: Reader<'_>) -> Vec<Price> {
    let mut list = Vec::new();
    for (entry, field) in r.all() {
        let named = check_name(&entry.key, "_");
        let value = field.text().and_then(|text| field.check(quantity::split(text)));
        field.check(named);
        // A price that cannot be read is still known by name: one complaint, not another one in the objective.
        let (value, unit) = value.unwrap_or((0.0, ""));
        list.push(Price { name: entry.key.clone(), value, unit: unit.to_owned() });
    }
    check_count(r.place, &r.span, &r.subject, list.len(), PRICES_MAX);
    r.take_rest();
    list
}

/// Every name in the objective is an input or output of the map, a price, or a function; every price is used.
fn check_names(text: &str, field: &Field<'_>, map: &Model, prices: &[Price]) {
    let mut names: Vec<&str> = map.inputs.iter().map(|i| i.name.as_str()).collect();
    names.extend(map.outputs.iter().map(|o| o.name.as_str()));
    for price in prices {
        if names.contains(&price.name.as_str()) {
            field.error(
                Problem::new(format!("price '{}' has the name of an input or output of the map", price.name))
                    .allowed("another name"),
            );
        }
    }
    names.extend(prices.iter().map(|p| p.name.as_str()));
    let mut used: Vec<&str> = Vec::new();
    for word in identifiers(text) {
        if used.contains(&word) {
            continue;
        }
        used.push(word);
        if !names.contains(&word) && !FUNCTIONS.contains(&word) {
            field.error(
                Problem::new(format!("unknown name '{}' in \"{}\"", shorten(word), shorten(text)))
                    .allowed(names.join(", "))
                    .help(did_you_mean(word, names.iter().copied())),
            );
        }
    }
    for price in prices.iter().filter(|p| !used.contains(&p.name.as_str())) {
        field.warning(
            Problem::new(format!("price '{}' is not used", price.name)).help("Remove it, or use it in the objective."),
        );
    }
}

/// Words of letters, digits and `_` that do not begin with a digit ("1e5" is a number).
fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.')
        .filter(|w| w.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_'))
}

/// Each MV is an input of the map exactly once.
pub(crate) fn check_mvs(mvs: &[(String, Field<'_>)], map: Option<&Model>) {
    for (i, (name, field)) in mvs.iter().enumerate() {
        let Some(map) = map else {
            field.error(Problem::new("no optimiser moves it").allowed("an [optimiser] whose model has it as an input"));
            continue;
        };
        let is_it = |s: &InputSource| matches!(s, InputSource::Mv(id) if id.index() == i);
        let count = map.inputs.iter().filter(|input| is_it(&input.source)).count();
        if count != 1 {
            let problem = Problem::new(format!("is {count} inputs of model '{}'", map.name)).allowed("exactly one");
            field.error(problem.help(format!("Add an input \"mv:{name}\" to the model.")));
        }
    }
}
