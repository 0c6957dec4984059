//! `[cv.*]`: controlled variables, limits that the optimiser keeps and the order in which it gives them up.

use crate::model::{Cv, Model, ValueSource};
use crate::quantity::Problem;
use crate::read::model::{source_unit, value_source};
use crate::read::{Cx, ModelDraft};
use crate::reader::Reader;
use crate::units::Unit;

/// Reads one `[cv.*]`. `map` is the model of the optimiser.
pub(crate) fn read(
    name: &str,
    mut r: Reader<'_>,
    cx: &Cx,
    models: &[ModelDraft],
    map: Option<&ModelDraft>,
) -> Option<Cv> {
    let text = r.need("text", "\"what is limited\"").and_then(|f| f.text());
    let value = r.need("value", "\"model:cB\" or \"tag:QY-101\"");
    let source = value.as_ref().and_then(|f| value_source(f, cx, models, usize::MAX));
    let known = source.and_then(|s| source_unit(cx, models, s));
    let map_output = match (map, &known, source) {
        (Some(ModelDraft { model: Some(map), .. }), Some((source_name, _)), Some(source)) => {
            let found = map_output(map, source, name, source_name);
            if found.is_none() {
                let all: Vec<&str> = map.outputs.iter().map(|o| o.name.as_str()).collect();
                let problem = Problem::new(format!("model '{}' does not predict it", map.name));
                let help = "Name this value in match_plant of the model, so that its output is known.";
                value.as_ref()?.error(problem.allowed(format!("outputs {}", all.join(", "))).help(help));
            }
            found
        }
        (None, ..) => {
            r.error(Problem::new("no optimiser keeps it").allowed("an [optimiser] whose model predicts it"));
            None
        }
        _ => None,
    };
    let unit = known.as_ref().map(|(_, unit)| *unit);
    let mut amount = |key| {
        let field = r.get(key)?;
        field.amount(unit?)
    };
    let (low, high) = (amount("low"), amount("high"));
    let back_off = r.get("back_off").zip(unit).map_or(Some(0.0), |(f, unit)| f.amount_from_zero(unit));
    let eu = unit.unwrap_or(Unit::ONE);
    match (low, high, back_off) {
        (None, None, _) if unit.is_some() => {
            r.error(Problem::new("no limit").allowed(format!("low = \"1.0 {eu}\", high = \"1.0 {eu}\", or both")));
        }
        (Some(low), Some(high), Some(back_off)) if low + back_off >= high - back_off => {
            r.error(
                Problem::new(format!(
                    "nothing is left between low {low} and high {high} with back_off {back_off} {eu}"
                ))
                .allowed("low + back_off smaller than high - back_off"),
            );
        }
        _ => {}
    }
    let priority = r.get("priority").map_or(Some(1), |f| f.whole(1, 255)).map(|p| p as u8);
    let critical = r.get("critical").map_or(Some(false), |f| f.boolean());
    Some(Cv {
        name: name.to_owned(),
        text: text?.to_owned(),
        source: source?,
        map_output: map_output?,
        unit: unit?,
        low,
        high,
        back_off: back_off?,
        priority: priority?,
        critical: critical?,
    })
}

/// The output matched to the same value; else the one with the name of the CV or of its value.
fn map_output(map: &Model, source: ValueSource, cv: &str, source_name: &str) -> Option<u32> {
    let matched = map.outputs.iter().position(|o| o.match_plant.is_some_and(|m| m.source == source));
    let named = || map.outputs.iter().position(|o| o.name == cv || o.name == source_name);
    matched.or_else(named).map(|i| i as u32)
}
