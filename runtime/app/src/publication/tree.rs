//! The address space: which nodes there are, below which folder, and where each takes its value from.
//!
//! Names follow the domain guide's model (Identification, Status, Timing, Inputs, Models, Optimiser, Handshake). Paths are stable: they
//! are the NodeIds.

use flyball_config::{Config, CvId, ModelId, MvId, PredictionId, TagId, TagRole, ValueSource};
use flyball_core::mode::Mode;
use flyball_core::outside::{Directory, NodeKind, NodeSpec, NodeValue, UnitSpec, WrittenBy};

use super::methods::{METHODS, Method, methods};
use super::models::{self, ModelItem, PredictionItem};
use super::watch::Watched;
use crate::timing::Measure;
use crate::words::{SOLVE_STATES, mode, solve};

/// Facts about the application that do not change while it runs.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Version of the program.
    pub version: String,
    /// Files of the models, in the order of `Config::models`.
    pub models: Vec<ModelFacts>,
    /// Files of their shadows.
    pub shadows: Vec<Option<ModelFacts>>,
    /// `urn:<host>:flyball:<application>`.
    pub instance_uri: String,
}

/// Facts about one model file.
#[derive(Debug, Clone, Default)]
pub struct ModelFacts {
    /// SHA-256, hex.
    pub hash: String,
    /// Version text.
    pub version: String,
    /// Names of its operating modes.
    pub modes: Vec<String>,
}

impl Facts {
    /// The original file of a model, or its candidate.
    pub(super) fn file(&self, id: ModelId, candidate: bool) -> Option<&ModelFacts> {
        if candidate { self.shadows.get(id.index())?.as_ref() } else { self.models.get(id.index()) }
    }
}

/// Where a node takes its value from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Fixed(&'static str),
    Version,
    InstanceUri,
    ChangeRef,
    Signature,
    Mode,
    ModeRequested,
    ModeReason,
    Blocker,
    ShedReason,
    Hold,
    Health,
    HealthText,
    Heartbeat,
    CycleNumber,
    InputsTimestamp,
    SimulationActive,
    Scheduling,
    ReadOnly,
    Configured(f64),
    Stage(Measure, Statistic),
    Overruns,
    OverrunsInRow,
    Skipped,
    Load,
    Tag(TagId),
    TagRaw(TagId),
    TagReason(TagId),
    TagSubstituted(TagId),
    TagAge(TagId),
    Link(u32),
    Model(ModelId, ModelItem),
    Watch(ModelId, Watched),
    Prediction(PredictionId, PredictionItem),
    SolveStatus,
    SolveText,
    ObjectiveNow,
    ObjectiveOptimum,
    Gain,
    Iterations,
    ActiveConstraints,
    Sensitivities,
    Price(u32),
    SetpointActual(MvId),
    Optimum(MvId),
    NextMove(MvId),
    Written(MvId),
    LimitLow(MvId),
    LimitHigh(MvId),
    InService(MvId),
    InControl(MvId),
    HeldBy(MvId),
    VerifyFailures(MvId),
    MvWorth(MvId),
    CvValue(CvId),
    CvPredicted(CvId),
    CvLow(CvId),
    CvHigh(CvId),
    CvViolation(CvId),
    CvGivenUp(CvId),
    CvWorth(CvId),
    CvBackOff(CvId),
    PlcHeartbeatOk,
    PlcHeartbeat,
    PlcClosed,
    PlcWants,
    PlcShedReason,
    StatusBits,
}

/// Statistic of a stage.
#[derive(Debug, Clone, Copy)]
pub(super) enum Statistic {
    Last,
    P50,
    P99,
    P999,
    Max,
}

pub(super) struct Tree {
    nodes: Vec<NodeSpec>,
    sources: Vec<Source>,
}

impl Tree {
    pub(super) fn add(&mut self, path: impl Into<String>, kind: NodeKind, text: &str, source: Source) {
        self.nodes.push(NodeSpec { path: path.into(), text: text.into(), kind, written_by: None });
        self.sources.push(source);
    }

    /// Makes the node that was added last writable: a write is a call of this method.
    fn written_by(&mut self, method: Method, before: Vec<NodeValue>, after: Vec<NodeValue>) {
        let method = METHODS.iter().position(|m| *m == method);
        if let (Some(node), Some(method)) = (self.nodes.last_mut(), method) {
            node.written_by = Some(WrittenBy { method: method as u32, before, after });
        }
    }
}

fn unit(u: flyball_config::units::Unit) -> UnitSpec {
    UnitSpec { id: u.0.unit_id, display: u.0.display.into(), text: u.0.description.into() }
}

pub(super) fn analog(u: flyball_config::units::Unit, range: flyball_config::EuRange) -> NodeKind {
    NodeKind::Analog { unit: unit(u), low: range.low, high: range.high }
}

fn milliseconds(high: f64) -> NodeKind {
    // UNECE C26, millisecond.
    NodeKind::Analog {
        unit: UnitSpec { id: 4_403_766, display: "ms".into(), text: "millisecond".into() },
        low: 0.0,
        high,
    }
}

/// The whole address space and its sources, in the same order.
pub(super) fn build(config: &Config) -> (Directory, Vec<Source>) {
    let mut t = Tree { nodes: Vec::new(), sources: Vec::new() };
    identification(&mut t);
    status(&mut t);
    timing(&mut t, config);
    inputs(&mut t, config);
    models::add(&mut t, config);
    optimiser(&mut t, config);
    handshake(&mut t, config);
    let directory = Directory {
        application: config.app.name.clone(),
        text: config.app.description.clone(),
        nodes: t.nodes,
        methods: methods(),
    };
    (directory, t.sources)
}

fn identification(t: &mut Tree) {
    let rows: [(&str, &str, Source); 6] = [
        ("Manufacturer", "Who makes the program", Source::Fixed("The flyball contributors")),
        ("Model", "Product", Source::Fixed("flyball")),
        ("SoftwareRevision", "Version of the program", Source::Version),
        ("InstanceUri", "Globally unique name of this instance", Source::InstanceUri),
        ("ChangeRef", "Management-of-change number of the configuration", Source::ChangeRef),
        ("ConfigSignature", "CRC-32 of configuration and models", Source::Signature),
    ];
    for (name, text, source) in rows {
        let kind = if matches!(source, Source::Signature) { NodeKind::Count } else { NodeKind::Text };
        t.add(format!("Identification/{name}"), kind, text, source);
    }
}

fn status(t: &mut Tree) {
    let modes =
        || NodeKind::Enumeration([Mode::Off, Mode::Advisory, Mode::ClosedLoop].map(|m| mode(m).into()).to_vec());
    let health = ["NORMAL", "FAILURE", "CHECK_FUNCTION", "OFF_SPEC", "MAINTENANCE_REQUIRED"].map(Into::into).to_vec();
    let rows: [(&str, NodeKind, &str, Source); 14] = [
        ("Mode", modes(), "Actual mode", Source::Mode),
        ("ModeRequested", modes(), "Requested mode", Source::ModeRequested),
        ("ModeReason", NodeKind::Text, "Why the actual mode is what it is", Source::ModeReason),
        ("ClosedLoopBlockedBy", NodeKind::Text, "What stands in the way of CLOSED LOOP", Source::Blocker),
        ("ShedReason", NodeKind::Text, "Latched cause of the last shed", Source::ShedReason),
        ("Hold", NodeKind::Flag, "The operator froze the setpoints", Source::Hold),
        ("Health", NodeKind::Enumeration(health), "DeviceHealth (OPC 10000-100)", Source::Health),
        ("HealthText", NodeKind::Text, "Health in words", Source::HealthText),
        ("Heartbeat", NodeKind::Count, "Advances once per completed scan", Source::Heartbeat),
        ("CycleNumber", NodeKind::BigCount, "Number of the scan", Source::CycleNumber),
        ("InputsTimestamp", NodeKind::Time, "When the inputs were frozen", Source::InputsTimestamp),
        ("SimulationActive", NodeKind::Flag, "Simulated data may be used", Source::SimulationActive),
        ("Scheduling", NodeKind::Text, "Scheduling that the scan thread got", Source::Scheduling),
        ("ReadOnly", NodeKind::Flag, "Nothing is ever written", Source::ReadOnly),
    ];
    for (name, kind, text, source) in rows {
        t.add(format!("Status/{name}"), kind, text, source);
    }
}

fn timing(t: &mut Tree, config: &Config) {
    let ms = |d: std::time::Duration| d.as_secs_f64() * 1e3;
    let cycle = ms(config.timing.cycle);
    let rows: [(&str, &str, Source); 9] = [
        ("Cycle", "Configured scan period", Source::Configured(cycle)),
        ("Deadline", "Configured deadline", Source::Configured(ms(config.timing.deadline))),
        ("LastTotal", "Scheduled start to last write acknowledged", Source::Stage(Measure::Total, Statistic::Last)),
        ("P50", "Median of that", Source::Stage(Measure::Total, Statistic::P50)),
        ("P99", "99 % of that", Source::Stage(Measure::Total, Statistic::P99)),
        ("P999", "99.9 % of that", Source::Stage(Measure::Total, Statistic::P999)),
        ("Max", "Longest since reset", Source::Stage(Measure::Total, Statistic::Max)),
        ("Jitter", "Wake-up later than scheduled, 99 %", Source::Stage(Measure::Jitter, Statistic::P99)),
        ("DataAgeMax", "Oldest input at freeze, 99 %", Source::Stage(Measure::DataAge, Statistic::P99)),
    ];
    for (name, text, source) in rows {
        t.add(format!("Timing/{name}"), milliseconds(cycle), text, source);
    }
    t.add("Timing/Overruns", NodeKind::BigCount, "Deadlines missed", Source::Overruns);
    t.add("Timing/OverrunsInRow", NodeKind::Count, "Deadlines missed in a row, now", Source::OverrunsInRow);
    t.add("Timing/SkippedScans", NodeKind::BigCount, "Scans that did not take place", Source::Skipped);
    t.add("Timing/Load", NodeKind::Number, "Scan time / period, %", Source::Load);
    let stages = [
        ("read", Measure::Freeze),
        ("validate", Measure::Condition),
        ("predict", Measure::Predict),
        ("optimise", Measure::Optimise),
        ("guard", Measure::Guard),
        ("write", Measure::Write),
    ];
    for (name, measure) in stages {
        for (statistic, label) in [(Statistic::Last, "Last"), (Statistic::P99, "P99"), (Statistic::Max, "Max")] {
            let text = format!("{label} time of stage {name}");
            t.add(
                format!("Timing/Stage/{name}/{label}"),
                milliseconds(cycle),
                &text,
                Source::Stage(measure, statistic),
            );
        }
    }
}

fn inputs(t: &mut Tree, config: &Config) {
    for (id, tag) in (0u32..).map(TagId).zip(&config.tags) {
        if tag.role != TagRole::Process {
            continue;
        }
        let path = format!("Inputs/{}", tag.name);
        t.add(&path, analog(tag.unit, tag.range), &tag.text, Source::Tag(id));
        t.add(format!("{path}/Raw"), NodeKind::Number, "Reading before validation", Source::TagRaw(id));
        t.add(format!("{path}/Reason"), NodeKind::Text, "First test that failed", Source::TagReason(id));
        t.add(format!("{path}/Substituted"), NodeKind::Flag, "Held or configured value", Source::TagSubstituted(id));
        t.add(format!("{path}/Age"), NodeKind::Number, "Seconds since the last proof of life", Source::TagAge(id));
    }
    for (i, connection) in config.connections.iter().enumerate() {
        let path = format!("Connections/{}/State", connection.name);
        t.add(path, NodeKind::Text, "State of the field link", Source::Link(i as u32));
    }
}

fn optimiser(t: &mut Tree, config: &Config) {
    let Some(o) = &config.optimiser else { return };
    let states = NodeKind::Enumeration(SOLVE_STATES.map(|s| solve(s).into()).to_vec());
    let objective = format!("Objective at the present setpoints, {}", o.objective_unit);
    t.add("Optimiser/Status", states, "How the last solve ended", Source::SolveStatus);
    t.add("Optimiser/StatusText", NodeKind::Text, "The same in words", Source::SolveText);
    t.add("Optimiser/ObjectiveNow", NodeKind::Number, &objective, Source::ObjectiveNow);
    t.add("Optimiser/ObjectiveOptimum", NodeKind::Number, "Objective at the optimum", Source::ObjectiveOptimum);
    t.add("Optimiser/GainPerHour", NodeKind::Number, "Estimated gain at the optimum", Source::Gain);
    t.add("Optimiser/Iterations", NodeKind::Count, "Iterations of the last solve", Source::Iterations);
    t.add("Optimiser/ActiveConstraints", NodeKind::Texts, "What limits the optimum", Source::ActiveConstraints);
    let most = "What the optimum depends on most: change of the objective per EU";
    t.add("Optimiser/Sensitivities", NodeKind::Texts, most, Source::Sensitivities);
    for (i, price) in o.prices.iter().enumerate() {
        let path = format!("Optimiser/Prices/{}", price.name);
        let about = format!("Price in force, {}; a write is SetPrice", price.unit);
        t.add(path, NodeKind::Number, &about, Source::Price(i as u32));
        let comment = NodeValue::Text("written to the node".to_owned());
        t.written_by(Method::SetPrice, vec![NodeValue::Text(price.name.clone())], vec![comment]);
    }
    for (id, mv) in (0u32..).map(MvId).zip(&config.mvs) {
        let path = format!("Optimiser/MV/{}", mv.name);
        let kind = || analog(mv.unit, mv.limits);
        let numbers: [(&str, &str, Source); 6] = [
            ("SetpointActual", "Setpoint that the loop uses", Source::SetpointActual(id)),
            ("Optimum", "Where it should go in the end", Source::Optimum(id)),
            ("NextMove", "Recommended next setpoint", Source::NextMove(id)),
            ("Written", "Setpoint written last", Source::Written(id)),
            ("LimitLow", "Tighter of the low limits", Source::LimitLow(id)),
            ("LimitHigh", "Tighter of the high limits", Source::LimitHigh(id)),
        ];
        for (name, text, source) in numbers {
            t.add(format!("{path}/{name}"), kind(), text, source);
        }
        let worth = format!("Worth of its active limit, {} per {}", o.objective_unit, mv.unit);
        t.add(format!("{path}/ShadowPrice"), NodeKind::Number, &worth, Source::MvWorth(id));
        t.add(format!("{path}/InService"), NodeKind::Flag, "In service", Source::InService(id));
        t.add(format!("{path}/InControl"), NodeKind::Flag, "The PLC lets us move it", Source::InControl(id));
        t.add(format!("{path}/HeldBy"), NodeKind::Text, "What holds it back", Source::HeldBy(id));
        t.add(
            format!("{path}/VerifyFailures"),
            NodeKind::Count,
            "Writes not followed, in a row",
            Source::VerifyFailures(id),
        );
    }
    for (id, cv) in (0u32..).map(CvId).zip(&config.cvs) {
        let path = format!("Optimiser/CV/{}", cv.name);
        let range = match cv.source {
            ValueSource::Tag(tag) => config.tag(tag).range,
            ValueSource::Prediction(p) => {
                let at = config.predictions[p.index()];
                config.models[at.model.index()].outputs[at.output as usize].range
            }
        };
        t.add(format!("{path}/Value"), analog(cv.unit, range), &cv.text, Source::CvValue(id));
        t.add(format!("{path}/Predicted"), analog(cv.unit, range), "At the optimum", Source::CvPredicted(id));
        t.add(format!("{path}/Low"), NodeKind::Number, "Low limit", Source::CvLow(id));
        t.add(format!("{path}/High"), NodeKind::Number, "High limit", Source::CvHigh(id));
        t.add(format!("{path}/Violation"), NodeKind::Number, "Violation at the optimum", Source::CvViolation(id));
        t.add(format!("{path}/GivenUp"), NodeKind::Flag, "Its limit cannot be met", Source::CvGivenUp(id));
        let worth = format!("Worth of its active limit, {} per {}", o.objective_unit, cv.unit);
        t.add(format!("{path}/ShadowPrice"), NodeKind::Number, &worth, Source::CvWorth(id));
        let priority = Source::Configured(f64::from(cv.priority));
        t.add(format!("{path}/Priority"), NodeKind::Number, "1 is given up last", priority);
        t.add(format!("{path}/BackOff"), NodeKind::Number, "Distance kept from the limits", Source::CvBackOff(id));
    }
}

fn handshake(t: &mut Tree, config: &Config) {
    if config.handshake.is_none() {
        return;
    }
    let rows: [(&str, NodeKind, &str, Source); 6] = [
        ("PlcHeartbeatOk", NodeKind::Flag, "The PLC's heartbeat changes", Source::PlcHeartbeatOk),
        ("PlcHeartbeat", NodeKind::Count, "The PLC's heartbeat", Source::PlcHeartbeat),
        ("ClosedByPlc", NodeKind::Flag, "The PLC's gate is closed", Source::PlcClosed),
        ("ModeWanted", NodeKind::Count, "Mode that the PLC asks for", Source::PlcWants),
        ("ShedReason", NodeKind::Text, "Why the PLC shed last", Source::PlcShedReason),
        ("StatusBits", NodeKind::Count, "wStatus as written to the PLC", Source::StatusBits),
    ];
    for (name, kind, text, source) in rows {
        t.add(format!("Handshake/{name}"), kind, text, source);
    }
}
