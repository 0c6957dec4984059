//! A scenario as data: steps with an action and what must follow, and what must hold all the time. TOML, so that a rig owner writes his own.
//!
//! Words: an *action* is done by flyball's operator, or on the plant; on a rig of its own the plant's part is asked of a person. *Within* is how
//! long an expectation may take, *during* for how long it must then hold without a break.

use std::collections::BTreeSet;

use flyball_config::Config;
use flyball_core::mode::Mode;
use serde::Deserialize;

/// Version of the format.
const SCHEMA: u32 = 1;
/// Most steps of a scenario.
const STEPS_MAX: usize = 200;
/// A larger file is no scenario.
pub const BYTES_MAX: u64 = 1 << 20;

/// A whole scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    schema: u32,
    /// Short name.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What it shows.
    pub text: String,
    /// Seed of the scripted plant's noise.
    #[serde(default = "one")]
    pub seed: u64,
    /// What must hold in every scan.
    #[serde(default)]
    pub always: Vec<Always>,
    /// One after the other.
    pub step: Vec<Step>,
}

fn one() -> u64 {
    1
}

/// One step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Unique in the scenario.
    pub id: String,
    /// What is done, in a sentence.
    pub text: String,
    /// What a person does when the plant is not scripted.
    #[serde(default)]
    pub ask: Option<String>,
    /// What is done.
    #[serde(default)]
    pub action: Option<Action>,
    /// What must follow; all of it in the same scan.
    pub expect: Vec<Expect>,
    /// In at most this many process seconds.
    pub within_s: f64,
    /// And then holds for this many process seconds.
    #[serde(default)]
    pub during_s: f64,
}

/// What must hold in every scan in which its value is usable.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Always {
    /// Unique in the scenario.
    pub id: String,
    /// What is watched, in a sentence.
    pub text: String,
    /// A name as in `Expect`.
    #[serde(default)]
    pub cv: Option<String>,
    /// Setpoint in use.
    #[serde(default)]
    pub mv: Option<String>,
    /// Never below.
    #[serde(default)]
    pub low: Option<f64>,
    /// Never above.
    #[serde(default)]
    pub high: Option<f64>,
    /// Never moves further than this in one scan; in two scans' time, twice as far.
    #[serde(default)]
    pub step: Option<f64>,
}

/// Something that must be seen.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// "off", "advisory" or "closed_loop".
    #[serde(default)]
    pub mode: Option<ModeWord>,
    /// The latched cause of the last shed contains this.
    #[serde(default)]
    pub shed: Option<String>,
    /// The answer to this step's command contains this.
    #[serde(default)]
    pub answer: Option<String>,
    /// Setpoint in use of an MV, with `low`, `high` or `held_by`.
    #[serde(default)]
    pub mv: Option<String>,
    /// Value of a CV, with `low` or `high`.
    #[serde(default)]
    pub cv: Option<String>,
    /// Value of a tag, with `low` or `high`.
    #[serde(default)]
    pub tag: Option<String>,
    /// At least.
    #[serde(default)]
    pub low: Option<f64>,
    /// At most.
    #[serde(default)]
    pub high: Option<f64>,
    /// What holds the MV contains this.
    #[serde(default)]
    pub held_by: Option<String>,
}

/// Mode in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names of `Mode`")]
pub enum ModeWord {
    Off,
    Advisory,
    ClosedLoop,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Off => Self::Off,
            ModeWord::Advisory => Self::Advisory,
            ModeWord::ClosedLoop => Self::ClosedLoop,
        }
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// flyball's operator asks for a mode.
    Mode(ModeWord),
    /// flyball's operator freezes or releases the setpoints.
    Hold(bool),
    /// flyball's engineer changes a price.
    Price {
        /// Name.
        name: String,
        /// New value, in the unit of the configuration.
        value: f64,
    },
    /// flyball's operator takes an MV in or out of service.
    Service {
        /// Name.
        mv: String,
        /// In service.
        on: bool,
    },
    /// Plant: the operator's switch "APC ON" at the PLC.
    Apc(bool),
    /// Plant: the operator's limits of an MV at the PLC.
    OperatorLimits {
        /// Name.
        mv: String,
        /// Low.
        low: f32,
        /// High.
        high: f32,
    },
    /// Plant: the PLC answers Good to writes of an MV's setpoint and keeps nothing.
    IgnoreWrites {
        /// Name.
        mv: String,
        /// The fault is on.
        on: bool,
    },
    /// Plant: feed temperature, degC.
    FeedTemperature(f64),
    /// Plant: the key switch of the PLC.
    Plc(KeySwitch),
}

/// Key switch of a PLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySwitch {
    /// The program stands still; values stay readable.
    Stop,
    /// It goes on.
    Run,
}

impl Action {
    /// Done on the plant, not by flyball.
    #[must_use]
    pub const fn on_the_plant(&self) -> bool {
        matches!(
            self,
            Self::Apc(_)
                | Self::OperatorLimits { .. }
                | Self::IgnoreWrites { .. }
                | Self::FeedTemperature(_)
                | Self::Plc(_)
        )
    }
}

impl Scenario {
    /// Reads a scenario and checks it against a configuration.
    ///
    /// # Errors
    /// One line per mistake.
    pub fn read(text: &str, config: &Config) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        let mistakes = scenario.mistakes(config);
        if mistakes.is_empty() { Ok(scenario) } else { Err(mistakes.join("\n")) }
    }

    fn mistakes(&self, config: &Config) -> Vec<String> {
        let mut found = Vec::new();
        if self.schema != SCHEMA {
            found.push(format!("schema is {}, known is {SCHEMA}", self.schema));
        }
        if self.step.is_empty() || self.step.len() > STEPS_MAX {
            found.push(format!("{} steps; 1 to {STEPS_MAX} are allowed", self.step.len()));
        }
        let mvs: Vec<&str> = config.mvs.iter().map(|m| m.name.as_str()).collect();
        let cvs: Vec<&str> = config.cvs.iter().map(|c| c.name.as_str()).collect();
        let named = |place: &str, what: &str, name: Option<&String>, names: &[&str]| {
            let name = name.filter(|n| !names.contains(&n.as_str()))?;
            Some(format!("{place}: there is no {what} \"{name}\"; known: {}", names.join(", ")))
        };
        let mut ids = BTreeSet::new();
        for id in self.step.iter().map(|s| &s.id).chain(self.always.iter().map(|a| &a.id)) {
            if id.is_empty() || !ids.insert(id) {
                found.push(format!("id \"{id}\" is empty or stands twice"));
            }
        }
        for step in &self.step {
            let place = &step.id;
            if !(step.within_s >= 0.0 && step.during_s >= 0.0 && (step.within_s + step.during_s).is_finite()) {
                found.push(format!("{place}: within_s and during_s must be 0 or more"));
            }
            if step.expect.is_empty() {
                found.push(format!("{place}: nothing is expected, so nothing could fail; give expect"));
            }
            if step.ask.is_none() && step.action.as_ref().is_some_and(Action::on_the_plant) {
                found.push(format!("{place}: an action on the plant needs ask, for a plant that is not scripted"));
            }
            for e in &step.expect {
                let subjects = [&e.shed, &e.answer, &e.mv, &e.cv, &e.tag].iter().filter(|s| s.is_some()).count()
                    + usize::from(e.mode.is_some());
                if subjects != 1 {
                    found.push(format!("{place}: an expectation needs exactly one of mode, shed, answer, mv, cv, tag"));
                }
                if (e.cv.is_some() || e.tag.is_some()) && e.low.is_none() && e.high.is_none() {
                    found.push(format!("{place}: a value is expected without low or high"));
                }
                found.extend(named(place, "MV", e.mv.as_ref(), &mvs));
                found.extend(named(place, "CV", e.cv.as_ref(), &cvs));
                if let Some(tag) = e.tag.as_ref().filter(|t| config.tag_named(t).is_none()) {
                    found.push(format!("{place}: there is no tag \"{tag}\""));
                }
            }
            let mv = match &step.action {
                Some(
                    Action::Service { mv, .. } | Action::OperatorLimits { mv, .. } | Action::IgnoreWrites { mv, .. },
                ) => Some(mv),
                _ => None,
            };
            found.extend(named(place, "MV", mv, &mvs));
            if let Some(Action::Price { name, .. }) = &step.action {
                let prices = config.optimiser.iter().flat_map(|o| o.prices.iter().map(|p| p.name.as_str()));
                found.extend(named(place, "price", Some(name), &prices.collect::<Vec<_>>()));
            }
        }
        for a in &self.always {
            if a.cv.is_some() == a.mv.is_some() || (a.low.is_none() && a.high.is_none() && a.step.is_none()) {
                found.push(format!("{}: always needs one of cv and mv, and low, high or step", a.id));
            }
            found.extend(named(&a.id, "MV", a.mv.as_ref(), &mvs));
            found.extend(named(&a.id, "CV", a.cv.as_ref(), &cvs));
        }
        found
    }
}
