//! `[cv.*]`: controlled variables, limits that the optimiser keeps and the order in which it gives them up.

use crate::model::{BackOff, Cv, GainSign, Model, MvId, ValueSource};
use crate::quantity::Problem;
use crate::read::model::{source_unit, value_source};
use crate::read::{Cx, ModelDraft, no_such};
use crate::reader::Reader;
use crate::tree::Value;
use crate::units::Unit;

/// `back_off` by the width of the prediction's interval.
const HALF_INTERVAL: &str = "half interval";

/// Reads one `[cv.*]`. `mvs` are the names of all MVs; `map` is the model of the optimiser; None when there is none or it is not known.
pub(crate) fn read(
    name: &str,
    mut r: Reader<'_>,
    cx: &Cx,
    models: &[ModelDraft],
    map: Option<&ModelDraft>,
    has_optimiser: bool,
    mvs: &[String],
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
        (None, ..) if !has_optimiser => {
            r.error(Problem::new("no optimiser keeps it").allowed("an [optimiser] whose model predicts it"));
            None
        }
        _ => None,
    };
    let unit = known.as_ref().map(|(_, unit)| *unit);
    let (low_field, high_field) = (r.get("low"), r.get("high"));
    let unlimited = low_field.is_none() && high_field.is_none();
    let low = low_field.zip(unit).and_then(|(f, unit)| f.amount(unit));
    let high = high_field.zip(unit).and_then(|(f, unit)| f.amount(unit));
    let back_off = r.get("back_off").zip(unit).map_or(Some(BackOff::Fixed(0.0)), |(f, unit)| {
        if !matches!(&f.node.value, Value::Text(text) if text == HALF_INTERVAL) {
            return f.amount_from_zero(unit).map(BackOff::Fixed);
        }
        if !matches!(source, Some(ValueSource::Prediction(_))) {
            f.error(
                Problem::new("a tag has no interval")
                    .allowed("a distance, or a value that is predicted, \"model:...\""),
            );
            return None;
        }
        Some(BackOff::HalfInterval)
    });
    let concern = r.get("concern").zip(unit).map(|(f, unit)| f.amount_above_zero(unit));
    let gains = r.get("gains").and_then(|f| f.table("cv.*.gains")).map(|t| gains(t, mvs)).unwrap_or_default();
    let eu = unit.unwrap_or(Unit::ONE);
    match (low, high, back_off) {
        (None, None, _) if unlimited => {
            r.error(Problem::new("no limit").allowed(format!("low = \"1.0 {eu}\", high = \"1.0 {eu}\", or both")));
        }
        (Some(low), Some(high), Some(BackOff::Fixed(back_off))) if low + back_off >= high - back_off => {
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
        concern: match concern {
            Some(concern) => Some(concern?),
            None => None,
        },
        gains,
        priority: priority?,
        critical: critical?,
    })
}

/// Signs of the gains by MV.
fn gains(mut r: Reader<'_>, mvs: &[String]) -> Vec<(MvId, GainSign)> {
    let mut list = Vec::new();
    for (entry, field) in r.all() {
        let at = mvs.iter().position(|m| *m == entry.key);
        if at.is_none() {
            field.error(no_such("MV", &entry.key, mvs.iter().map(String::as_str)));
        }
        let sign = field.choice(&[("+", GainSign::Positive), ("-", GainSign::Negative)]);
        list.extend(at.zip(sign).map(|(at, sign)| (MvId(at as u32), sign)));
    }
    r.take_rest();
    list
}

/// The output matched to the same value; else the one with the name of the CV or of its value.
fn map_output(map: &Model, source: ValueSource, cv: &str, source_name: &str) -> Option<u32> {
    let matched = map.outputs.iter().position(|o| o.match_plant.is_some_and(|m| m.source == source));
    let named = || map.outputs.iter().position(|o| o.name == cv || o.name == source_name);
    matched.or_else(named).map(|i| i as u32)
}
