//! Nodes of the models: versions, domain, predictions with their intervals, and what late samples said.

use flyball_config::{Config, Model, ModelId, ModelRole, PredictionId};
use flyball_core::outside::{NodeKind, NodeValue};
use flyball_core::sensor::Prediction;
use flyball_core::status::Status;

use super::read::{Reading, View, number, text, whole};
use super::tree::{Source, Tree, analog};
use super::watch;
use crate::words::{refusals, sample};

/// What a node shows of a model.
#[derive(Debug, Clone, Copy)]
pub(super) enum ModelItem {
    Version,
    Hash,
    InDomain,
    T2,
    Spe,
    T2Limit,
    SpeLimit,
    WorstInput,
}

/// What a node shows of a prediction.
#[derive(Debug, Clone, Copy)]
pub(super) enum PredictionItem {
    Value,
    Reason,
    Unbiased,
    Lower,
    Upper,
    Coverage,
    CoverageTracked,
    CoverageSamples,
    Bias,
    LastSample,
    LastSampleTime,
    LastSampleValue,
    LastSampleError,
    SamplesRefused,
    RefusedBy,
    LastRefusal,
    NeedsMaintenance,
}

/// Adds the nodes of all models.
pub(super) fn add(t: &mut Tree, config: &Config) {
    use ModelItem as M;
    let mut next = 0u32;
    for (m, model) in (0u32..).map(ModelId).zip(&config.models) {
        let path = format!("Models/{}", model.name);
        let mut rows = vec![
            ("Version", NodeKind::Text, "Version in the model file", M::Version),
            ("Sha256", NodeKind::Text, "Hash of the model file", M::Hash),
        ];
        let soft_sensor = model.role == ModelRole::SoftSensor;
        if soft_sensor {
            rows.extend([
                ("InDomain", NodeKind::Flag, "Inputs are where the model was trained", M::InDomain),
                ("T2", NodeKind::Number, "Distance of the inputs from the centre of the training", M::T2),
                ("SPE", NodeKind::Number, "Distance of the inputs from how they went together in training", M::Spe),
                ("T2Limit", NodeKind::Number, "T2 beyond which predictions are Uncertain", M::T2Limit),
                ("SPELimit", NodeKind::Number, "SPE beyond which predictions are Uncertain", M::SpeLimit),
                ("WorstInput", NodeKind::Text, "Input that contributes most to the larger of both", M::WorstInput),
            ]);
        }
        for (name, kind, text, item) in rows {
            t.add(format!("{path}/{name}"), kind, text, Source::Model(m, item));
        }
        if soft_sensor {
            watch::nodes(t, m, model);
            outputs(t, model, &path, &mut next);
        }
    }
}

fn outputs(t: &mut Tree, model: &Model, path: &str, next: &mut u32) {
    use PredictionItem as P;
    for output in &model.outputs {
        let id = PredictionId(*next);
        *next += 1;
        let path = format!("{path}/Outputs/{}", output.name);
        let kind = || analog(output.unit, output.range);
        t.add(&path, kind(), &model.text, Source::Prediction(id, P::Value));
        let mut rows = vec![
            ("Reason", NodeKind::Text, "Why it is not Good", P::Reason),
            ("Unbiased", kind(), "The model's own output", P::Unbiased),
        ];
        if model.trust.interval.is_some() {
            rows.extend([
                ("Lower", kind(), "Lower end of the prediction interval", P::Lower),
                ("Upper", kind(), "Upper end of the prediction interval", P::Upper),
                ("Coverage", NodeKind::Number, "Share of samples that should lie inside, %", P::Coverage),
            ]);
        }
        if output.bias.is_some() {
            rows.extend([
                ("Bias", NodeKind::Number, "Correction by late samples", P::Bias),
                ("LastLab", NodeKind::Text, "What became of the last sample", P::LastSample),
                ("LastLabTime", NodeKind::Time, "When it was taken", P::LastSampleTime),
                ("LastLabValue", kind(), "Its result", P::LastSampleValue),
                (
                    "LastLabError",
                    NodeKind::Number,
                    "Last accepted sample minus raw prediction at its time",
                    P::LastSampleError,
                ),
                ("SamplesRefused", NodeKind::Count, "Samples that were not taken", P::SamplesRefused),
                ("RefusedBy", NodeKind::Texts, "How many for which reason", P::RefusedBy),
                ("LastRefusal", NodeKind::Text, "Newest reason to refuse", P::LastRefusal),
                ("NeedsMaintenance", NodeKind::Flag, "Bias is at its total", P::NeedsMaintenance),
            ]);
            if model.trust.interval.is_some() {
                let text = "Share of the newest accepted samples that did, %";
                rows.push(("CoverageTracked", NodeKind::Number, text, P::CoverageTracked));
                rows.push(("CoverageSamples", NodeKind::Count, "How many samples those are", P::CoverageSamples));
            }
        }
        for (name, kind, text, item) in rows {
            t.add(format!("{path}/{name}"), kind, text, Source::Prediction(id, item));
        }
    }
}

/// A share in per cent, in tenths: finer steps say nothing.
fn per_cent(share: f64) -> Option<NodeValue> {
    number((share * 1000.0).round() / 10.0)
}

impl View<'_> {
    pub(super) fn model(&self, m: ModelId, item: ModelItem) -> Reading {
        let now = self.record.cycle.now;
        let own = || self.config.predictions.iter().zip(&self.record.predictions).filter(|(p, _)| p.model == m);
        let first = own().next().map(|(_, p)| p);
        let of = |fact: Option<&String>| (text(fact.map_or("", String::as_str)), Status::Good, now);
        let value = match item {
            ModelItem::Version => return of(self.active_file(m).map(|f| &f.version)),
            ModelItem::Hash => return of(self.active_file(m).map(|f| &f.hash)),
            ModelItem::InDomain => {
                return (Some(NodeValue::Flag(own().all(|(_, p)| p.in_domain))), Status::Good, now);
            }
            ModelItem::T2 => first.and_then(|p| number(p.domain?.t2)),
            ModelItem::Spe => first.and_then(|p| number(p.domain?.spe)),
            ModelItem::T2Limit => first.and_then(|p| number(p.domain?.t2_limit)),
            ModelItem::SpeLimit => first.and_then(|p| number(p.domain?.spe_limit)),
            ModelItem::WorstInput => first.and_then(|p| {
                let input = self.config.models[m.index()].inputs.get(usize::from(p.domain?.worst))?;
                text(input.name.as_str())
            }),
        };
        let status = match (&value, first) {
            (Some(_), _) => Status::Good,
            (None, Some(p)) if p.value.is_none() => p.status,
            // It runs and says nothing: the file brings no data for it, or the configuration declines.
            _ => Status::BadNotSupported,
        };
        (value, status, first.map_or(now, |p| p.time))
    }

    pub(super) fn prediction(&self, id: PredictionId, item: PredictionItem) -> Reading {
        use PredictionItem as P;
        let p: &Prediction = &self.record.predictions[id.index()];
        let late = &p.late;
        // What is shown with the status of the prediction itself, and what stands beside it.
        let own = match item {
            P::Value => p.get().and_then(number),
            P::Unbiased => number(p.raw).filter(|_| !p.status.is_bad()),
            P::Lower => p.interval().and_then(|(lower, _)| number(lower)),
            P::Upper => p.interval().and_then(|(_, upper)| number(upper)),
            _ => {
                let beside = match item {
                    P::Reason => {
                        let model = &self.config.models[self.config.predictions[id.index()].model.index()];
                        text(self.words.prediction_reason(model, p))
                    }
                    P::Bias => number(p.bias),
                    P::Coverage => late.coverage_aimed.and_then(per_cent),
                    P::CoverageTracked => late.coverage.and_then(|(share, _)| per_cent(share)),
                    P::CoverageSamples => whole(late.coverage.map_or(0, |(_, n)| n)),
                    P::LastSample => text(late.last.map_or("no sample yet", |(_, v)| sample(v))),
                    P::LastSampleTime => late.last.map(|(taken, _)| NodeValue::Time(self.utc.utc(taken))),
                    P::LastSampleValue => late.last_value.and_then(number),
                    P::LastSampleError => number(late.last_error),
                    P::SamplesRefused => whole(late.refused_in_all()),
                    P::RefusedBy => Some(NodeValue::Texts(refusals(&late.refused))),
                    P::LastRefusal => text(late.last_refusal.map_or("", sample)),
                    _ => Some(NodeValue::Flag(late.needs_maintenance)),
                };
                let status = if beside.is_some() { Status::Good } else { Status::BadWaitingForInitialData };
                return (beside, status, p.time);
            }
        };
        let missing = matches!(item, P::Lower | P::Upper).then_some(Status::BadNotSupported);
        let status = match own {
            None if !p.status.is_bad() => missing.unwrap_or(Status::BadInternalError),
            _ => p.status,
        };
        (own, status, p.time)
    }
}
