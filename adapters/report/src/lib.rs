//! Reports of a run as files: what happened is told four times, for the build server (`junit.xml`), for people (`report.html`), for the
//! signature (`FAT.md`) and for a spreadsheet (`trend.csv`).
//!
//! Plain data in, files out: this crate knows nothing of plants, scans or scenarios. The page is self-contained; it loads nothing.
//!
//! Words: a *row* is one thing that was expected and what was seen instead; a *trend* is one value over time; a *mark* is a moment worth a line
//! in every plot.

mod html;
mod junit;
mod plot;
mod protocol;
mod trends;

use std::fs;
use std::path::Path;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Not as expected.
    Failed,
    /// Never looked at: something before it failed.
    Skipped,
}

impl Outcome {
    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Unique in the report.
    pub id: String,
    /// What was done.
    pub what: String,
    /// What had to follow.
    pub expected: String,
    /// What followed.
    pub observed: String,
    /// The verdict.
    pub outcome: Outcome,
    /// When it was done, process seconds.
    pub at: f64,
    /// How long it took until the outcome stood, process seconds.
    pub took: f64,
}

/// One value over time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trend {
    /// Name.
    pub name: String,
    /// Unit.
    pub unit: String,
    /// Lower limit, drawn as a dashed line.
    pub low: Option<f64>,
    /// Upper limit, drawn as a dashed line.
    pub high: Option<f64>,
    /// By time; None where it had no usable value. As many as `Report::times`.
    pub values: Vec<Option<f64>>,
}

/// One line of the timing table; times in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimingRow {
    /// Stage.
    pub stage: String,
    /// How often it was measured.
    pub count: u64,
    /// p50, p99, p99.9 and max.
    pub times: [String; 4],
}

/// Everything about one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Short name, for the build server.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What it is about.
    pub text: String,
    /// When it began, as people write it.
    pub started: String,
    /// Real seconds that it took.
    pub seconds: f64,
    /// Seed, versions, hashes, machine: name and value.
    pub facts: Vec<(String, String)>,
    /// Expectations in their order.
    pub rows: Vec<Row>,
    /// How long the stages of a cycle took.
    pub timing: Vec<TimingRow>,
    /// What was counted beside: one sentence each.
    pub counted: Vec<String>,
    /// Process seconds of the points of all trends.
    pub times: Vec<f64>,
    /// Trends.
    pub trends: Vec<Trend>,
    /// Moments, process seconds, with a short name.
    pub marks: Vec<(f64, String)>,
    /// What was said on the way, process seconds.
    pub events: Vec<(f64, String)>,
}

impl Report {
    /// True when there is a row and each has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|r| r.outcome == Outcome::Passed)
    }

    /// Writes `junit.xml`, `report.html`, `FAT.md` and `trend.csv` into a folder, which is made when it is missing.
    ///
    /// # Errors
    /// A sentence with the path that could not be written, or a plot that could not be drawn.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let failed = |path: &Path, e: &dyn std::fmt::Display| format!("{} cannot be written ({e})", path.display());
        fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        let files = [
            ("junit.xml", junit::text(self)?),
            ("report.html", html::text(self)?),
            ("FAT.md", protocol::text(self)),
            ("trend.csv", trends::text(self)),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| failed(&path, &e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod report_tests;
