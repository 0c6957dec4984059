//! Nodes of the watch and of shadows: what there is below `Models/<model>`, and its values.

use flyball_config::{Model, ModelId};
use flyball_core::outside::{NodeKind, NodeValue};
use flyball_core::shadow::ModelReport;
use flyball_core::watch::{OutputReport, WatchReport};

use super::tree::{Facts, Source, Tree, analog};
use crate::words::watch::{advice, comparison, operating_mode, psi, standing};

/// Where a node of the watch takes its value from. Outputs are indices in `Model::outputs`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Watched {
    OperatingMode,
    InDomainWeek,
    Psi,
    Advice,
    Output(Figure, u32),
    ShadowVersion,
    ShadowHash,
    Promoted,
    Report,
    ShadowValue(u32),
    ShadowBias(u32),
    ShadowOutput(Figure, u32),
}

/// One figure of the watch over one output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Figure {
    Rmsep,
    Commissioning,
    Cusum,
    Coverage,
    Accepted,
    Refused,
    Advice,
}

const FIGURES: [(&str, Figure, NodeKind, &str); 7] = [
    ("Rmsep", Figure::Rmsep, NodeKind::Number, "RMSEP of the last 20 samples, EU"),
    ("RmsepCommissioning", Figure::Commissioning, NodeKind::Number, "RMSEP at commissioning, EU"),
    (
        "Cusum",
        Figure::Cusum,
        NodeKind::Number,
        "Larger CUSUM of the raw errors, in RMSEP at commissioning; above 5 is a drift",
    ),
    ("CoverageRecent", Figure::Coverage, NodeKind::Number, "Of the last 20 samples inside the interval, %"),
    ("SamplesAccepted", Figure::Accepted, NodeKind::Count, "Late samples since the watch began"),
    ("SamplesRefused", Figure::Refused, NodeKind::Count, "Refused samples since the watch began"),
    ("Advice", Figure::Advice, NodeKind::Text, "What the watch advises; empty when nothing"),
];

/// Adds the nodes of a soft sensor.
pub(super) fn nodes(t: &mut Tree, id: ModelId, model: &Model) {
    let path = format!("Models/{}", model.name);
    let source = |watched: Watched| Source::Watch(id, watched);
    let rows: [(&str, NodeKind, &str, Watched); 4] = [
        ("OperatingMode", NodeKind::Text, "Operating mode of the training data, or unknown", Watched::OperatingMode),
        ("InDomainWeek", NodeKind::Number, "Of the last week inside the domain, %", Watched::InDomainWeek),
        ("Psi", NodeKind::Texts, "PSI per input, for information", Watched::Psi),
        ("Advice", NodeKind::Text, "What the watch advises about the model; empty when nothing", Watched::Advice),
    ];
    for (name, kind, text, watched) in rows {
        t.add(format!("{path}/{name}"), kind, text, source(watched));
    }
    for (i, output) in (0u32..).zip(&model.outputs).filter(|(_, o)| o.bias.is_some()) {
        // Of the active model, refused samples and coverage stand among the nodes of its predictions.
        for (name, figure, kind, text) in
            FIGURES.into_iter().filter(|f| !matches!(f.1, Figure::Coverage | Figure::Refused))
        {
            t.add(format!("{path}/Outputs/{}/{name}", output.name), kind, text, source(Watched::Output(figure, i)));
        }
    }
    if model.shadow.is_none() {
        return;
    }
    let path = format!("{path}/Shadow");
    let rows: [(&str, NodeKind, &str, Watched); 4] = [
        ("Version", NodeKind::Text, "Version in the shadow's file", Watched::ShadowVersion),
        ("Sha256", NodeKind::Text, "Hash of the shadow's file", Watched::ShadowHash),
        ("Promoted", NodeKind::Flag, "The candidate is the active model now", Watched::Promoted),
        ("Report", NodeKind::Text, "Both models over the same samples", Watched::Report),
    ];
    for (name, kind, text, watched) in rows {
        t.add(format!("{path}/{name}"), kind, text, source(watched));
    }
    for (i, output) in (0u32..).zip(&model.outputs) {
        let path = format!("{path}/Outputs/{}", output.name);
        let kind = analog(output.unit, output.range);
        t.add(&path, kind, "Prediction of the shadow, never used for control", source(Watched::ShadowValue(i)));
        if output.bias.is_some() {
            t.add(
                format!("{path}/Bias"),
                NodeKind::Number,
                "Its correction by late samples",
                source(Watched::ShadowBias(i)),
            );
            for (name, figure, kind, text) in FIGURES {
                t.add(format!("{path}/{name}"), kind, text, source(Watched::ShadowOutput(figure, i)));
            }
        }
    }
}

/// Value of a node; None is null.
pub(super) fn read(
    watched: Watched,
    model: &Model,
    facts: &Facts,
    id: ModelId,
    report: &ModelReport,
) -> Option<NodeValue> {
    let text = |s: String| Some(NodeValue::Text(s));
    let watch: &WatchReport = &report.watch;
    let shadow = report.shadow.as_ref();
    let promoted = shadow.is_some_and(|s| s.promoted);
    match watched {
        Watched::OperatingMode => {
            text(operating_mode(watch.mode, facts.file(id, promoted).map_or(&[], |f| f.modes.as_slice())))
        }
        Watched::InDomainWeek => watch.in_domain.map(|share| NodeValue::Number((share * 1000.0).round() / 10.0)),
        Watched::Psi => {
            let list = model.inputs.iter().zip(&watch.psi).map(|(input, value)| psi(&input.name, *value));
            Some(NodeValue::Texts(list.collect()))
        }
        Watched::Advice => text(standing(watch.advice)),
        Watched::Output(figure, i) => figure.read(watch.outputs.get(i as usize)?),
        Watched::ShadowVersion => text(facts.file(id, !promoted)?.version.clone()),
        Watched::ShadowHash => text(facts.file(id, !promoted)?.hash.clone()),
        Watched::Promoted => Some(NodeValue::Flag(promoted)),
        Watched::Report => text(comparison(model, shadow?)),
        Watched::ShadowValue(i) => number(shadow?.values.get(i as usize).copied().flatten()),
        Watched::ShadowBias(i) => number(shadow?.biases.get(i as usize).copied()),
        Watched::ShadowOutput(figure, i) => figure.read(shadow?.watch.outputs.get(i as usize)?),
    }
}

fn number(x: Option<f64>) -> Option<NodeValue> {
    x.filter(|x| x.is_finite()).map(NodeValue::Number)
}

impl Figure {
    fn read(self, o: &OutputReport) -> Option<NodeValue> {
        match self {
            Self::Rmsep => number(o.rmsep),
            Self::Commissioning => number(o.commissioning),
            Self::Cusum => number(o.commissioning.map(|_| o.cusum.high.max(o.cusum.low))),
            Self::Coverage => number(o.coverage.map(|share| share * 100.0)),
            Self::Accepted => Some(NodeValue::Whole(u64::from(o.accepted))),
            Self::Refused => Some(NodeValue::Whole(u64::from(o.refused))),
            Self::Advice => Some(NodeValue::Text(advice(o))),
        }
    }
}
