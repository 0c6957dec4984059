//! Why a windowed graph cannot run one step at a time, in words: what was found, what is allowed, what to do next.

use crate::graph::GraphError;
use crate::op::ReduceKind;
use std::fmt;
use std::sync::Arc;

/// A graph that must see its whole window at every step, with the node that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotStreamable {
    /// Name of the file's node that it came from; empty if the node has none.
    pub origin: Arc<str>,
    /// What it does, and what is allowed.
    pub reason: String,
}

impl fmt::Display for NotStreamable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.origin.is_empty() { "a node without a name" } else { &self.origin };
        write!(f, "{name} {}. Run the whole window at every step instead", self.reason)
    }
}

impl std::error::Error for NotStreamable {}

/// What is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Reduces(ReduceKind),
    AddsUp,
    ComparesSteps,
    MeetsNewest,
    Backwards,
    Skips(usize),
    Scatters,
    OwnNumbers,
    Mixes,
    NeedsLater,
    LoopsInPadding,
    LoopsElsewhere,
    StartsFromWindow,
    LooksBackOnPadding,
}

impl Refusal {
    pub fn at(self, origin: &Arc<str>) -> NotStreamable {
        NotStreamable { origin: Arc::clone(origin), reason: self.reason() }
    }

    fn reason(self) -> String {
        let axes = "time may be a batch or row axis of a product, or the axis along which a convolution slides";
        let moves = "steps may be delayed by a fixed number, padded in front, or the last of them taken";
        let few = "steps may be put together if they are at most half of the window";
        match self {
            Self::Reduces(kind) => {
                let what = match kind {
                    ReduceKind::Sum => "the sum",
                    ReduceKind::Maximum => "the largest",
                    ReduceKind::Minimum => "the smallest",
                };
                format!("takes {what} over all steps of the window, which no state of fixed size can carry on; {few}")
            }
            Self::AddsUp => format!("multiplies all steps of the window by weights and adds them up; {axes}"),
            Self::ComparesSteps => {
                format!("brings every step of the window together with every other (attention over time); {axes}")
            }
            Self::MeetsNewest => {
                "brings the newest step together with all steps of the window, so that each step would have to be \
                 computed again; a step may meet itself and earlier ones"
                    .into()
            }
            Self::Backwards => format!("reads the window from its newest step back to its oldest; {moves}"),
            Self::Skips(n) => format!("keeps one step of every {n}, counted from the window's beginning; {moves}"),
            Self::Scatters => format!("moves numbers between steps in another way than by a fixed delay; {moves}"),
            Self::OwnNumbers => {
                "uses fixed numbers that differ from step to step, counted from the window's beginning; they must be \
                 the same at all steps"
                    .into()
            }
            Self::Mixes => format!("puts the steps of the window together with other numbers on one axis; {few}"),
            Self::NeedsLater => {
                "needs steps that come after the newest (padding at the window's end); padding may stand in front \
                 only, or what it adds must be cut off again"
                    .into()
            }
            Self::LoopsInPadding => {
                "begins its loop in padding before the first step; a loop must begin at a step of the window".into()
            }
            Self::LoopsElsewhere => {
                "loops over another axis than time, or sees all steps of the window in each trip; only the scanned \
                 inputs may change with time, and they must be scanned along it"
                    .into()
            }
            Self::StartsFromWindow => {
                "begins its loop in a state computed from the window; the first state must not depend on time".into()
            }
            Self::LooksBackOnPadding => {
                "looks back on padding that something was computed from; padding must stand right in front of the \
                 convolution that needs it"
                    .into()
            }
        }
    }
}

impl From<GraphError> for NotStreamable {
    fn from(error: GraphError) -> Self {
        Self { origin: "the one-step graph".into(), reason: format!("cannot be built: {error}") }
    }
}
