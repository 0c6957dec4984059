//! `[model.*.trust]`: when a prediction is doubted. The limits themselves are stored in the model file.

use crate::model::{DomainKind, DomainLimit, Interval, ModelRole, Trust};
use crate::quantity::Problem;
use crate::read::model::OutputDraft;
use crate::read::no_such;
use crate::reader::{Field, Reader};
use crate::tree::Value;
use crate::units::Unit;

/// Limits that a model file carries.
const LIMITS: [(&str, DomainLimit); 3] =
    [("95 %", DomainLimit::P95), ("99 %", DomainLimit::P99), ("99.9 %", DomainLimit::P999)];
/// Coverages that make sense: below, a plain number says more; above, no plant has enough samples.
const COVERAGE: (f64, f64) = (0.5, 0.99);
/// Largest step of the level by one sample. Beyond, the interval follows single samples.
const ADAPT_MAX: f64 = 0.1;

/// One output of the model as far as it was read: its name, unit and place.
type Output<'a> = (&'a str, Option<OutputDraft>, Field<'a>);

/// Reads `[model.*.trust]` and, per output, the width from which on its interval is too wide.
pub(crate) fn read(field: &Field<'_>, role: ModelRole, outputs: &[Output<'_>]) -> (Trust, Vec<Option<f64>>) {
    let mut trust = Trust::default();
    let mut too_wide = vec![None; outputs.len()];
    if role == ModelRole::Map {
        let problem = Problem::new("a map predicts no present value");
        field.error(problem.help("The optimiser keeps inside the range that the map was trained on by itself."));
        return (trust, too_wide);
    }
    let Some(mut r) = field.table("model.*.trust") else { return (trust, too_wide) };
    if let Some(f) = r.get("domain") {
        let words = [("T2 and SPE", DomainKind::T2AndSpe), ("training range", DomainKind::TrainingRange)];
        trust.domain = f.choice(&words).unwrap_or(trust.domain);
    }
    let uncertain = r.get("uncertain_at");
    if let Some(limit) = uncertain.as_ref().and_then(|f| f.choice(&LIMITS)) {
        trust.uncertain_at = limit;
    }
    if let Some(f) = r.get("bad_at") {
        let [a, b, c] = LIMITS.map(|(word, limit)| (word, Some(limit)));
        trust.bad_at = f.choice(&[a, b, c, ("never", None)]).unwrap_or(trust.bad_at);
    }
    if trust.bad_at.is_some_and(|bad| bad <= trust.uncertain_at) {
        let at = uncertain.map_or("its default, 95 %".to_owned(), |f| f.text().unwrap_or_default().to_owned());
        r.error(
            Problem::new(format!("bad_at is not beyond uncertain_at, {at}"))
                .allowed("a limit further out, or \"never\""),
        );
    }
    if let Some(table) = r.get("interval").and_then(|f| f.table("model.*.trust.interval")) {
        trust.interval = interval(table, outputs, &mut too_wide);
    }
    (trust, too_wide)
}

fn interval(mut r: Reader<'_>, outputs: &[Output<'_>], too_wide: &mut [Option<f64>]) -> Option<Interval> {
    let wanted = r.get("kind").map_or(Some(true), |f| f.choice(&[("conformal", true), ("none", false)]));
    let default = Trust::default().interval?;
    let coverage = r.get("coverage").map_or(Some(default.coverage), |f| share_within(&f, COVERAGE.0, COVERAGE.1));
    let adapt = r.get("adapt").map_or(Some(default.adapt), |f| share_within(&f, 0.0, ADAPT_MAX));
    if let Some(f) = r.get("too_wide") {
        widths(&f, outputs, too_wide);
    }
    Some(Interval { coverage: coverage?, adapt: adapt?, required: true }).filter(|_| wanted == Some(true))
}

/// A percentage between two shares.
fn share_within(field: &Field<'_>, low: f64, high: f64) -> Option<f64> {
    let share = field.amount(Unit::PERCENT)? / 100.0;
    if (low..=high).contains(&share) {
        return Some(share);
    }
    let found = Problem::new(format!("found {} %", share * 100.0));
    field.error(found.allowed(format!("{} % to {} %", low * 100.0, high * 100.0)));
    None
}

/// An amount for the only output, or one per output.
fn widths(field: &Field<'_>, outputs: &[Output<'_>], too_wide: &mut [Option<f64>]) {
    let unit = |i: usize| outputs.get(i).and_then(|(_, draft, _)| draft.as_ref()).map(|d| d.unit);
    if !matches!(field.node.value, Value::Table(_)) {
        match (outputs, unit(0)) {
            ([_], Some(unit)) => too_wide[0] = field.amount_above_zero(unit),
            ([_] | [], _) => {}
            _ => {
                let all: Vec<String> = outputs.iter().map(|(name, ..)| format!("{name} = \"...\"")).collect();
                let problem = Problem::new("the model has several outputs");
                field.error(problem.allowed(format!("one width per output: {{ {} }}", all.join(", "))));
            }
        }
        return;
    }
    let Some(mut table) = field.table("model.*.trust.interval.too_wide") else { return };
    for (entry, field) in table.all() {
        match outputs.iter().position(|(name, ..)| *name == entry.key) {
            Some(i) => too_wide[i] = unit(i).and_then(|unit| field.amount_above_zero(unit)),
            None => field.error(no_such("output", &entry.key, outputs.iter().map(|(name, ..)| *name))),
        }
    }
    table.take_rest();
}
