//! `[model.*]`: soft sensors and the optimiser's map, and what feeds them.

use std::time::Duration;

use crate::bounds::{HISTORY_SCANS_MAX, MODEL_INPUTS_MAX, MODEL_OUTPUTS_MAX};
use crate::model::{
    Address, EuRange, Filter, InputSource, MatchPlant, Model, ModelInput, ModelOutput, ModelRole, MvId, PredictionId,
    ValueSource,
};
use crate::quantity::{self, Problem, words};
use crate::read::{Cx, ModelDraft, bias, check_count, model_file, no_such, tag, trust};
use crate::reader::{Field, Reader};
use crate::tree::{Table, Value, shorten};
use crate::units::Unit;

/// Names, roles and outputs of all models, before any is read: models refer to each other.
pub(crate) fn survey(root: &Table) -> Vec<ModelDraft> {
    let table = |node: Option<&crate::tree::Entry>| match node.map(|e| &e.node.value) {
        Some(Value::Table(t)) => t.clone(),
        _ => Table::default(),
    };
    let map = match table(root.entry("optimiser")).entry("model").map(|e| &e.node.value) {
        Some(Value::Text(name)) => name.clone(),
        _ => String::new(),
    };
    let models = table(root.entry("model"));
    let mut list = Vec::new();
    for entry in &models.entries {
        let Value::Table(model) = &entry.node.value else { continue };
        let uses_mv = table(model.entry("inputs")).entries.iter().any(|e| match &e.node.value {
            Value::Text(text) => text.starts_with("mv:"),
            _ => false,
        });
        let outputs = table(model.entry("outputs")).entries.iter().map(|e| e.key.clone()).collect();
        list.push(ModelDraft { name: entry.key.clone(), is_map: uses_mv || entry.key == map, outputs, model: None });
    }
    list
}

/// Reads one `[model.*]`. `models` is the survey, with every model before this one complete.
pub(crate) fn read(name: &str, mut r: Reader<'_>, cx: &Cx, models: &[ModelDraft], mvs: &[String]) -> Option<Model> {
    let at = models.iter().position(|m| m.name == name)?;
    let role = if models[at].is_map { ModelRole::Map } else { ModelRole::SoftSensor };
    let text = r.get("text").and_then(|f| f.text().map(str::to_owned)).unwrap_or_default();
    let file = r.need("file", "\"models/name.onnx\"").and_then(|f| model_file::file(&f, cx));
    let sha256 = model_file::sha256(&mut r, file.as_ref());
    let shadow = r.get("shadow").map(|f| model_file::shadow(&f, cx, role));
    let every = match r.get("every") {
        Some(f) if role == ModelRole::Map => {
            f.error(
                Problem::new("a map has no interval of its own")
                    .help("It runs when the optimiser does: see [optimiser] every."),
            );
            None
        }
        Some(f) => cx.whole_cycles(&f),
        None => Some(cx.cycle.unwrap_or(Duration::from_secs(1))),
    };
    let mut inputs = Vec::new();
    if let Some(table) = r.need("inputs", "{ T = { tag = \"TI-101\" } }").and_then(|f| f.table("model.*.inputs")) {
        let mut table = table;
        for (entry, field) in table.all() {
            inputs.extend(input(&entry.key, &field, cx, models, at, mvs));
            check_name_length(&entry.key, &field);
        }
        check_count(table.place, &table.span, &table.subject, inputs.len(), MODEL_INPUTS_MAX);
        if table.all().next().is_none() {
            table.error(Problem::new("no input").allowed("one entry per input of the model file"));
        }
        table.take_rest();
    }
    let mut outputs =
        r.need("outputs", "{ cB = { unit = \"mol/l\", range = [0, 2] } }").and_then(|f| f.table("model.*.outputs"));
    let mut drafts = Vec::new();
    if let Some(table) = &mut outputs {
        for (entry, field) in table.all() {
            check_name_length(&entry.key, &field);
            drafts.push((entry.key.as_str(), field.table("model.*.outputs.*").and_then(output), field.clone()));
        }
        check_count(table.place, &table.span, &table.subject, drafts.len(), MODEL_OUTPUTS_MAX);
        table.take_rest();
    }
    let mut biases = r.get("bias").map(|f| bias::read(&f, cx, role, every, &drafts)).unwrap_or_default();
    let (trust, too_wide) = r.get("trust").map(|f| trust::read(&f, role, &drafts)).unwrap_or_default();
    let mut matches =
        r.get("match_plant").map(|f| match_plant(&f, cx, role, &models[at].outputs, models)).unwrap_or_default();
    let mut outputs = Vec::new();
    for (i, (name, draft, field)) in drafts.iter().enumerate() {
        let Some(draft) = draft else { continue };
        let matched = matches.iter().position(|(n, _)| n == name).map(|m| matches.swap_remove(m).1);
        let range = draft.range.or(draft.reject_outside).or_else(|| source_range(cx, models, matched.as_ref()?.source));
        let Some(range) = range else {
            let like = "Add range = [low, high], what the model gives in normal operation.";
            field.error(Problem::new("'range' is missing").help(like));
            continue;
        };
        if let Some((source, unit)) =
            matched.and_then(|m| source_unit(cx, models, m.source)).filter(|(_, u)| *u != draft.unit)
        {
            field.error(
                Problem::new(format!("is in {}, but match_plant compares it with {source} in {unit}", draft.unit))
                    .allowed("the same unit"),
            );
        }
        let bias = biases.iter().position(|(n, _)| *n == i).map(|b| biases.swap_remove(b).1);
        outputs.push(ModelOutput {
            name: (*name).to_owned(),
            unit: draft.unit,
            range,
            reject_outside: draft.reject_outside,
            too_wide: too_wide.get(i).copied().flatten(),
            bias,
            match_plant: matched,
        });
    }
    let shadow = shadow.map_or(Some(None), |read| read.map(Some));
    Some(Model {
        name: name.to_owned(),
        text,
        file: file?.0,
        sha256: sha256?,
        shadow: shadow?,
        role,
        every: every?,
        inputs,
        outputs,
        trust,
    })
}

/// Names in a model file may be anything; a name that cannot be shown is a mistake.
fn check_name_length(name: &str, field: &Field<'_>) {
    if name.is_empty() || name.len() > 64 {
        field.error(Problem::new("the name cannot be used").allowed("1 to 64 characters"));
    }
}

/// `"mv:feed"`, `"tag:TI-103"`, `"model:cB"`, or a table with `tag`, `model` or `age`, and `filter`, `delay`.
fn input(
    name: &str,
    field: &Field<'_>,
    cx: &Cx,
    models: &[ModelDraft],
    at: usize,
    mvs: &[String],
) -> Option<ModelInput> {
    let made = |source, filter, delay| Some(ModelInput { name: name.to_owned(), source, filter, delay });
    if let Value::Text(text) = &field.node.value {
        return made(source(field, text, cx, models, at, mvs)?, Filter::None, Duration::ZERO);
    }
    let mut r = field.table("model.*.inputs.*")?;
    let tag = r.get("tag");
    let model = r.get("model");
    let age = r.get("age");
    let filter = r.get("filter").map_or(Some(Filter::None), |f| filter(&f));
    let delay = r.get("delay").map_or(Some(Duration::ZERO), |f| f.duration_or_zero());
    let source = match (tag, model, age) {
        (Some(f), None, None) => source(&f, &format!("tag:{}", f.text()?), cx, models, at, mvs)?,
        (None, Some(f), None) => source(&f, &format!("model:{}", f.text()?), cx, models, at, mvs)?,
        (None, None, Some(f)) => {
            if filter.is_some_and(|f| f != Filter::None) || delay.is_some_and(|d| !d.is_zero()) {
                f.error(Problem::new("an age has a filter or a delay").allowed("neither: it is exact at every scan"));
            }
            age_of(&f, cx, models[at].is_map)?
        }
        _ => {
            let allowed = "one of tag = \"...\", model = \"...\" and age = \"...\"";
            r.error(Problem::new("its source is not clear").allowed(allowed));
            return None;
        }
    };
    let (filter, delay) = (filter?, delay?);
    if let Some(cycle) = cx.cycle {
        let window = if let Filter::Mean(time) = filter { time } else { Duration::ZERO };
        let scans = (window + delay).as_nanos().div_ceil(cycle.as_nanos());
        if scans > HISTORY_SCANS_MAX as u128 {
            let problem = Problem::new(format!("delay and window need {scans} scans of history"));
            r.error(
                problem.allowed(format!("at most {HISTORY_SCANS_MAX}, {}", words(cycle * HISTORY_SCANS_MAX as u32))),
            );
        }
    }
    made(source, filter, delay)
}

/// `age = "CO"`: seconds since the newest usable sample of a tag was taken.
fn age_of(field: &Field<'_>, cx: &Cx, is_map: bool) -> Option<InputSource> {
    let id = cx.tag(field, field.text()?)?;
    if is_map {
        field.error(Problem::new("a map has no age input").allowed("a soft sensor: a map is a steady state"));
    }
    let unseen = |t: &crate::model::Tag| matches!(t.address, Address::Modbus(_)) && t.sampled_at.is_none();
    if cx.with_tag(id, unseen).unwrap_or(false) {
        let help = "Add sampled_at to the tag, or the age is only that of the last poll.";
        field.warning(Problem::new("nobody says when the sample was taken").help(help));
    }
    Some(InputSource::Age(id))
}

fn source(
    field: &Field<'_>,
    text: &str,
    cx: &Cx,
    models: &[ModelDraft],
    at: usize,
    mvs: &[String],
) -> Option<InputSource> {
    let (kind, name) = text.split_once(':').unwrap_or(("", text));
    match kind {
        "tag" => {
            let id = cx.tag(field, name)?;
            let without_ok = cx.with_tag(id, |t| t.plausible.is_none()).unwrap_or(false);
            if without_ok && !models[at].is_map {
                let problem =
                    Problem::new(format!("tag {name} has no 'ok' range")).allowed("inputs of a soft sensor need one");
                field.error(problem.help("Say where a healthy instrument can be: ok = [low, high] at the tag."));
            }
            Some(InputSource::Tag(id))
        }
        "mv" => {
            let found = mvs.iter().position(|m| m == name);
            if found.is_none() {
                field.error(no_such("mv", name, mvs.iter().map(String::as_str)));
            }
            Some(InputSource::Mv(MvId(found? as u32)))
        }
        "model" => Some(InputSource::Prediction(prediction(field, name, models, at)?)),
        _ => {
            field.error(
                Problem::new(format!("found \"{}\"", shorten(text)))
                    .allowed("\"tag:...\", \"mv:...\" or \"model:...\""),
            );
            None
        }
    }
}

/// Finds "cB" or "cB.output" among the soft sensors before model `before`.
pub(crate) fn prediction(field: &Field<'_>, name: &str, models: &[ModelDraft], before: usize) -> Option<PredictionId> {
    let (model, output) = name.split_once('.').map_or((name, None), |(m, o)| (m, Some(o)));
    let Some(at) = models.iter().position(|m| m.name == model) else {
        field.error(no_such("model", model, models.iter().filter(|m| !m.is_map).map(|m| m.name.as_str())));
        return None;
    };
    if models[at].is_map {
        field.error(
            Problem::new(format!("model '{model}' is the optimiser's map"))
                .allowed("a soft sensor: a map predicts no present value"),
        );
        return None;
    }
    if at >= before {
        field.error(
            Problem::new(format!("model '{model}' is not before this one")).allowed("models earlier in the file"),
        );
        return None;
    }
    let outputs = &models[at].outputs;
    let wanted = output.unwrap_or(if let [only] = outputs.as_slice() { only } else { model });
    let Some(index) = outputs.iter().position(|o| o == wanted) else {
        if output.is_none() && outputs.len() > 1 {
            let all: Vec<String> = outputs.iter().map(|o| format!("model:{model}.{o}")).collect();
            field.error(Problem::new(format!("model '{model}' has several outputs")).allowed(all.join(" or ")));
        } else {
            field.error(no_such("output", wanted, outputs.iter().map(String::as_str)));
        }
        return None;
    };
    let before: usize = models.iter().take(at).filter(|m| !m.is_map).map(|m| m.outputs.len()).sum();
    Some(PredictionId((before + index) as u32))
}

/// Model and output index of a prediction.
pub(crate) fn prediction_of(id: PredictionId, models: &[ModelDraft]) -> Option<(usize, usize)> {
    let mut index = id.index();
    for (at, model) in models.iter().enumerate().filter(|(_, m)| !m.is_map) {
        if index < model.outputs.len() {
            return Some((at, index));
        }
        index -= model.outputs.len();
    }
    None
}

/// `"tag:QY-101"` or `"model:cB"`.
pub(crate) fn value_source(field: &Field<'_>, cx: &Cx, models: &[ModelDraft], before: usize) -> Option<ValueSource> {
    let text = field.text()?;
    match text.split_once(':') {
        Some(("tag", name)) => Some(ValueSource::Tag(cx.tag(field, name.trim())?)),
        Some(("model", name)) => Some(ValueSource::Prediction(prediction(field, name.trim(), models, before)?)),
        _ => {
            field.error(Problem::new(format!("found \"{}\"", shorten(text))).allowed("\"tag:...\" or \"model:...\""));
            None
        }
    }
}

fn source_output(models: &[ModelDraft], id: PredictionId) -> Option<&ModelOutput> {
    let (model, output) = prediction_of(id, models)?;
    let name = models[model].outputs.get(output)?;
    models[model].model.as_ref()?.outputs.iter().find(|o| o.name == *name)
}

fn source_range(cx: &Cx, models: &[ModelDraft], source: ValueSource) -> Option<EuRange> {
    match source {
        ValueSource::Tag(id) => cx.with_tag(id, |t| t.range),
        ValueSource::Prediction(id) => source_output(models, id).map(|o| o.range),
    }
}

/// Name and unit of a source.
pub(crate) fn source_unit(cx: &Cx, models: &[ModelDraft], source: ValueSource) -> Option<(String, Unit)> {
    match source {
        ValueSource::Tag(id) => cx.with_tag(id, |t| (t.name.clone(), t.unit)),
        ValueSource::Prediction(id) => source_output(models, id).map(|o| (o.name.clone(), o.unit)),
    }
}

/// What a filter may be.
const FILTERS: &str = "\"none\", \"mean 15 s\", \"first-order 30 s\" or \"lead 120 s, lag 30 s\"";

/// `lead 120 s, lag 30 s`; `times` is what stands behind the first word.
fn lead_lag(field: &Field<'_>, times: &str) -> Option<Filter> {
    let Some((lead, lag)) = times.split_once(", lag ") else {
        field.error(Problem::new("found a lead without a lag").allowed(FILTERS));
        return None;
    };
    let (lead, lag) = (field.check(quantity::duration(lead))?, field.check(quantity::duration(lag))?);
    if lag.is_zero() {
        field.error(Problem::new("found a lag of 0 s").allowed("more than 0 s: a lead without a lag is all noise"));
        return None;
    }
    Some(Filter::LeadLag { lead, lag })
}

fn filter(field: &Field<'_>) -> Option<Filter> {
    let text = field.text()?;
    let (kind, time) = text.split_once(' ').unwrap_or((text, ""));
    let filter = match kind {
        "none" if time.is_empty() => return Some(Filter::None),
        "mean" => Filter::Mean,
        "first-order" => Filter::FirstOrder,
        "lead" => return lead_lag(field, time),
        _ => {
            let help = crate::suggest::did_you_mean(kind, ["none", "mean", "first-order", "lead"]);
            let problem = Problem::new(format!("found \"{}\"", shorten(text)));
            field.error(problem.allowed(FILTERS).help(help));
            return None;
        }
    };
    let time = field.check(quantity::duration(time))?;
    if time.is_zero() {
        field.error(Problem::new("found a filter of 0 s").allowed("more than 0 s, or \"none\""));
        return None;
    }
    Some(filter(time))
}

pub(crate) struct OutputDraft {
    pub unit: Unit,
    range: Option<EuRange>,
    reject_outside: Option<EuRange>,
}

fn output(mut r: Reader<'_>) -> Option<OutputDraft> {
    let unit = r.need("unit", "\"mol/l\"").and_then(|f| tag::unit(&f));
    let range = r.get("range").and_then(|f| f.range());
    let reject_outside = r.get("reject_outside").and_then(|f| {
        let reject = f.range()?;
        if let Some(range) = range.filter(|range| reject.low > range.low || reject.high < range.high) {
            f.error(
                Problem::new(format!("[{}, {}] cuts into the range", reject.low, reject.high))
                    .allowed(format!("at least [{}, {}]", range.low, range.high)),
            );
        }
        Some(reject)
    });
    Some(OutputDraft { unit: unit?, range, reject_outside })
}

fn match_plant(
    field: &Field<'_>,
    cx: &Cx,
    role: ModelRole,
    outputs: &[String],
    models: &[ModelDraft],
) -> Vec<(String, MatchPlant)> {
    let Some(mut r) = field.table("model.*.match_plant") else { return Vec::new() };
    if role == ModelRole::SoftSensor {
        r.error(
            Problem::new("a soft sensor is not matched to the plant").help("It is corrected by samples: see bias."),
        );
    }
    let filter = r.need("filter", "\"10 min\"").and_then(|f| f.duration());
    let mut list = Vec::new();
    for (entry, field) in r.all().filter(|(e, _)| e.key != "filter") {
        if !outputs.contains(&entry.key) {
            field.error(no_such("output", &entry.key, outputs.iter().map(String::as_str)));
            continue;
        }
        let source = value_source(&field, cx, models, usize::MAX);
        list.extend(source.zip(filter).map(|(source, filter)| (entry.key.clone(), MatchPlant { source, filter })));
    }
    r.take_rest();
    list
}
