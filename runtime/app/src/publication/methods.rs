//! Methods of the server: their paths, arguments and lowest roles.

use flyball_config::Role;
use flyball_core::mode::Mode;
use flyball_core::outside::{MethodSpec, NodeKind};

use crate::words::mode;

/// Methods, in the order of `Directory::methods`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// SetMode(mode, comment).
    SetMode,
    /// Hold(on).
    Hold,
    /// Acknowledge().
    Acknowledge,
    /// ResetCounters().
    ResetCounters,
    /// SetPrice(name, value).
    SetPrice,
    /// SetMvService(name, in service).
    SetMvService,
    /// EnterLabSample(output, value, sample time, comment).
    EnterLabSample,
    /// ResetBias(model).
    ResetBias,
    /// Promote(model, comment).
    Promote,
    /// RollBack(model, comment).
    RollBack,
}

/// All methods in the order of the directory.
pub const METHODS: [Method; 10] = [
    Method::SetMode,
    Method::Hold,
    Method::Acknowledge,
    Method::ResetCounters,
    Method::SetPrice,
    Method::SetMvService,
    Method::EnterLabSample,
    Method::ResetBias,
    Method::Promote,
    Method::RollBack,
];

/// All of them, in the order of `METHODS`.
pub(super) fn methods() -> Vec<MethodSpec> {
    let modes = NodeKind::Enumeration([Mode::Off, Mode::Advisory, Mode::ClosedLoop].map(|m| mode(m).into()).to_vec());
    let argument = |name: &str, text: &str, kind: NodeKind| (name.to_string(), text.to_string(), kind);
    let comment = || argument("comment", "Why, for the audit log", NodeKind::Text);
    METHODS
        .iter()
        .map(|method| {
            let (path, text, inputs, role) = match method {
                Method::SetMode => (
                    "SetMode",
                    "Asks for a mode: 0 OFF, 1 ADVISORY, 2 CLOSED LOOP",
                    vec![argument("mode", "0, 1 or 2", modes.clone()), comment()],
                    Role::Operator,
                ),
                Method::Hold => (
                    "Hold",
                    "Freezes or releases the setpoints",
                    vec![argument("on", "true freezes", NodeKind::Flag)],
                    Role::Operator,
                ),
                Method::Acknowledge => ("Acknowledge", "Acknowledges a latched shed", vec![], Role::Operator),
                Method::ResetCounters => {
                    ("Timing/ResetCounters", "Starts the timing statistics anew", vec![], Role::Engineer)
                }
                Method::SetPrice => (
                    "Optimiser/SetPrice",
                    "Changes a price of the objective",
                    vec![
                        argument("name", "Name of the price", NodeKind::Text),
                        argument("value", "New price", NodeKind::Number),
                        comment(),
                    ],
                    Role::Engineer,
                ),
                Method::SetMvService => (
                    "Optimiser/SetMvService",
                    "Takes an MV in or out of service",
                    vec![
                        argument("name", "Name of the MV", NodeKind::Text),
                        argument("inService", "true: in service", NodeKind::Flag),
                    ],
                    Role::Operator,
                ),
                Method::EnterLabSample => (
                    "Models/EnterLabSample",
                    "Enters a laboratory value with the time the sample was taken",
                    vec![
                        argument("output", "model.output", NodeKind::Text),
                        argument("value", "Result in EU", NodeKind::Number),
                        argument("sampleTime", "When the sample was taken (UTC)", NodeKind::Time),
                        comment(),
                    ],
                    Role::Operator,
                ),
                Method::ResetBias => (
                    "Models/ResetBias",
                    "Forgets the bias of a model",
                    vec![argument("model", "Name of the model", NodeKind::Text)],
                    Role::Engineer,
                ),
                Method::Promote => (
                    "Models/Promote",
                    "Makes a model's shadow the active model; leaves CLOSED LOOP",
                    vec![argument("model", "Name of the model", NodeKind::Text), comment()],
                    Role::Engineer,
                ),
                Method::RollBack => (
                    "Models/RollBack",
                    "Brings the original model back; leaves CLOSED LOOP",
                    vec![argument("model", "Name of the model", NodeKind::Text), comment()],
                    Role::Engineer,
                ),
            };
            MethodSpec { path: path.into(), text: text.into(), inputs, role }
        })
        .collect()
}
