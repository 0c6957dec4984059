//! Why: everything the view shows, as plain data: filled from records by the record thread, drawn by `draw`, made by hand in tests.

use std::collections::VecDeque;
use std::time::Duration;

use flyball_core::image::LinkState;
use flyball_core::mode::Mode;
use flyball_core::status::Status;

use crate::timing::{Overruns, Summary};

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewState {
    /// Application name and description.
    pub title: String,
    /// Actual mode.
    pub mode: Mode,
    /// Requested mode.
    pub requested: Mode,
    /// Sub-state in words (ARMING, HOLD, SHED), empty when there is none.
    pub sub_state: String,
    /// Why the mode is what it is.
    pub reason: String,
    /// Cycle number.
    pub cycle: u64,
    /// Process time since start.
    pub elapsed: Duration,
    /// Process seconds per real second; shown when it is not 1.
    pub time_scale: u32,
    /// Manipulated variables.
    pub mvs: Vec<MvRow>,
    /// Controlled variables.
    pub cvs: Vec<CvRow>,
    /// What the optimum stands against, and what it is worth, in words; empty when nothing binds.
    pub against: String,
    /// Objective, if there is an optimiser.
    pub objective: Option<ObjectiveRow>,
    /// Trends, most important first.
    pub trends: Vec<Trend>,
    /// Stages, most important first.
    pub timing: Vec<TimingRow>,
    /// Configured deadline.
    pub deadline: Duration,
    /// Deadlines missed.
    pub overruns: Overruns,
    /// Field links and the service process.
    pub links: Vec<LinkRow>,
    /// Newest lines last.
    pub messages: Vec<String>,
    /// Share of the scenario that is done (0 to 1) and what comes next.
    pub progress: Option<(f64, String)>,
}

impl Default for ViewState {
    fn default() -> Self {
        Self {
            title: String::new(),
            mode: Mode::Off,
            requested: Mode::Off,
            sub_state: String::new(),
            reason: String::new(),
            cycle: 0,
            elapsed: Duration::ZERO,
            time_scale: 1,
            mvs: Vec::new(),
            cvs: Vec::new(),
            against: String::new(),
            objective: None,
            trends: Vec::new(),
            timing: Vec::new(),
            deadline: Duration::ZERO,
            overruns: Overruns::default(),
            links: Vec::new(),
            messages: Vec::new(),
            progress: None,
        }
    }
}

/// One manipulated variable, EU.
#[derive(Debug, Clone, PartialEq)]
pub struct MvRow {
    /// Name.
    pub name: String,
    /// The setpoint that the loop really uses.
    pub actual: Option<f64>,
    /// The next move.
    pub recommended: Option<f64>,
    /// Where it should go in the end.
    pub optimum: Option<f64>,
    /// Unit.
    pub unit: String,
    /// What holds it, in words.
    pub held_by: String,
    /// The PLC says that we are in control of this loop.
    pub in_control: bool,
}

/// One controlled variable, EU.
#[derive(Debug, Clone, PartialEq)]
pub struct CvRow {
    /// Name.
    pub name: String,
    /// Value now.
    pub value: Option<f64>,
    /// Low limit.
    pub low: Option<f64>,
    /// High limit.
    pub high: Option<f64>,
    /// Predicted at the optimum.
    pub predicted: Option<f64>,
    /// Ends of the bar.
    pub range: (f64, f64),
    /// Unit.
    pub unit: String,
    /// Quality of the value.
    pub status: Status,
    /// Its limit was given up.
    pub given_up: bool,
}

impl CvRow {
    /// True when the value lies outside its limits.
    #[must_use]
    pub fn violated(&self) -> bool {
        let Some(value) = self.value else { return false };
        self.low.is_some_and(|low| value < low) || self.high.is_some_and(|high| value > high)
    }
}

/// The objective.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectiveRow {
    /// Name ("profit").
    pub name: String,
    /// Now.
    pub now: Option<f64>,
    /// At the optimum.
    pub optimum: Option<f64>,
    /// Unit ("EUR/h").
    pub unit: String,
    /// How the last calculation ended, in words.
    pub solve: String,
}

/// A value over time. Bounded: the oldest point goes first.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// Name.
    pub name: String,
    /// Unit.
    pub unit: String,
    points: VecDeque<f64>,
}

impl Trend {
    /// Points kept: more columns than any terminal has.
    pub const POINTS_MAX: usize = 512;

    /// An empty trend.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { name: name.into(), unit: unit.into(), points: VecDeque::with_capacity(Self::POINTS_MAX) }
    }

    /// Adds the newest point; one that is not finite is left out.
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.points.len() == Self::POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(value);
    }

    /// All points, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator + '_ {
        self.points.iter().copied()
    }

    /// The newest point.
    #[must_use]
    pub fn newest(&self) -> Option<f64> {
        self.points.back().copied()
    }
}

/// Statistics of one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct TimingRow {
    /// Name.
    pub name: String,
    /// Numbers.
    pub summary: Summary,
}

/// One link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkRow {
    /// Name.
    pub name: String,
    /// State.
    pub state: LinkState,
}
