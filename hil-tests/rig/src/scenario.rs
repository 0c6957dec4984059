//! What happens to R-101 in a demonstration, and the score beside the oracle. Pure: called after every scan, with no clock of its own.
//!
//! Story: the plant runs at the base case; the operator switches APC on; the loop closes; some time later the feed temperature rises
//! from 116 to 120 degC, as a step or as a ramp, and the cooling no longer carries the old optimum.
//!
//! Words: *closing* is the first scan in which the gate uses recommendations; *disturbance* is the change of the feed temperature.

use std::time::Duration;

use crate::plc::SimPlc;
use crate::score::Score;

/// Change of the feed temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Disturbance {
    /// None.
    None,
    /// At once to this temperature, degC.
    Step {
        /// degC.
        to: f64,
    },
    /// Straight to this temperature, degC.
    Ramp {
        /// degC.
        to: f64,
        /// In this time.
        over: Duration,
    },
}

/// Times of the story, all process time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The operator switches on.
    pub enable_at: Duration,
    /// What comes.
    pub disturbance: Disturbance,
    /// When it comes, after closing.
    pub disturb_after: Duration,
    /// When the story ends, after closing.
    pub end_after: Duration,
    /// When the story ends if the loop never closes.
    pub give_up_at: Duration,
}

impl Plan {
    /// On at 30 s, step 116 -> 120 degC 30 min after closing, end 20 min later.
    pub const STEP: Self = Self {
        enable_at: Duration::from_secs(30),
        disturbance: Disturbance::Step { to: 120.0 },
        disturb_after: Duration::from_secs(30 * 60),
        end_after: Duration::from_secs(50 * 60),
        give_up_at: Duration::from_secs(15 * 60),
    };
    /// The same change as a ramp of 10 min, end 30 min after its start.
    pub const RAMP: Self = Self {
        disturbance: Disturbance::Ramp { to: 120.0, over: Duration::from_secs(600) },
        end_after: Duration::from_secs(60 * 60),
        ..Self::STEP
    };
}

/// Where the story is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chapter {
    /// Operator has not switched on.
    Waiting,
    /// Switched on, the loop is not closed yet.
    Arming,
    /// Closed, climbing to or at the optimum.
    Climbing,
    /// The feed temperature has changed.
    Disturbed,
    /// Over.
    Over,
}

impl Chapter {
    /// One line for a view.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Waiting => "plant at its base case, APC switched off by the operator",
            Self::Arming => "operator has switched APC on, waiting for the loop to close",
            Self::Climbing => "loop closed, climbing to the optimum",
            Self::Disturbed => "feed temperature has risen, cooling limits the feed",
            Self::Over => "over",
        }
    }
}

/// A running story.
#[derive(Debug, Clone)]
pub struct Scenario {
    plan: Plan,
    chapter: Chapter,
    closed_at: Duration,
    t0_before: f64,
    score: Score,
}

impl Scenario {
    /// A story that has not begun.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { score: Score::new(plan.disturbance), plan, chapter: Chapter::Waiting, closed_at: Duration::ZERO, t0_before: 0.0 }
    }

    /// Plays the story's part after a scan and keeps the score. Bounded.
    pub fn step(&mut self, plc: &mut SimPlc) -> Chapter {
        let now = plc.time();
        match self.chapter {
            Chapter::Waiting if now >= self.plan.enable_at => {
                plc.panel.enable = true;
                self.chapter = Chapter::Arming;
            }
            Chapter::Arming if plc.truth().link.x_closed_loop => {
                self.closed_at = now;
                self.chapter = Chapter::Climbing;
            }
            Chapter::Arming if now >= self.plan.give_up_at => self.chapter = Chapter::Over,
            Chapter::Climbing
                if self.plan.disturbance != Disturbance::None && now >= self.closed_at + self.plan.disturb_after =>
            {
                self.t0_before = plc.process.feed.t0;
                self.score.disturbed(now);
                self.chapter = Chapter::Disturbed;
            }
            Chapter::Climbing | Chapter::Disturbed if now >= self.closed_at + self.plan.end_after => {
                self.chapter = Chapter::Over;
            }
            _ => {}
        }
        if self.chapter == Chapter::Disturbed {
            self.disturb(plc);
        }
        if self.chapter != Chapter::Over {
            self.score.observe(&plc.truth(), plc.options());
        }
        self.chapter
    }

    fn disturb(&self, plc: &mut SimPlc) {
        let since = plc.time() - (self.closed_at + self.plan.disturb_after);
        plc.process.feed.t0 = match self.plan.disturbance {
            Disturbance::None => return,
            Disturbance::Step { to } => to,
            Disturbance::Ramp { to, over } => {
                let share = (since.as_secs_f64() / over.as_secs_f64().max(1e-9)).min(1.0);
                self.t0_before + (to - self.t0_before) * share
            }
        };
    }

    /// Where the story is.
    #[must_use]
    pub const fn chapter(&self) -> Chapter {
        self.chapter
    }

    /// True when it has ended.
    #[must_use]
    pub fn over(&self) -> bool {
        self.chapter == Chapter::Over
    }

    /// Share of the story that has passed, 0 to 1, for a progress bar.
    #[must_use]
    pub fn progress(&self, now: Duration) -> f64 {
        let whole = (self.plan.enable_at + self.plan.end_after).as_secs_f64();
        let passed = match self.chapter {
            Chapter::Over => whole,
            Chapter::Waiting | Chapter::Arming => now.min(self.plan.enable_at).as_secs_f64(),
            _ => (self.plan.enable_at + (now - self.closed_at)).as_secs_f64(),
        };
        (passed / whole).min(1.0)
    }

    /// The score so far.
    #[must_use]
    pub const fn score(&self) -> &Score {
        &self.score
    }
}
