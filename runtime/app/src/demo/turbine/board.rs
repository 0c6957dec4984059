//! Why: the score board of the turbine: takes scan records, pairs each prediction with the row that it was made from, and judges at the end.
//!
//! Words: a *row* is one hour of measurements; a *target* is a quantity that is predicted (TEY, CO, NOX); a *method* is a way to predict it.
//! Pairing goes by the row number that the simulator serves beside the measurements, never by time: a scan that read late or twice costs
//! nothing, and a scan whose inputs are not all of that row is not scored. Every method is judged on the same rows.

use std::fmt::Write as _;

use flyball_config::{Config, PredictionId, TagId};
use flyball_core::condition::Conditioned;
use flyball_core::record::ScanRecord;
use flyball_rig::turbine::{COLUMNS, LATE_ROWS, Turbine};

use super::score::Score;

/// What is predicted, with its unit.
pub const TARGETS: [(&str, &str); 3] = [("TEY", "MWh"), ("CO", "mg/m3"), ("NOX", "mg/m3")];
/// R2 that the network must reach for TEY and CO. NOX drifts with the years and has no such line; it is shown as it is.
const R2_WANTED: [Option<f64>; TARGETS.len()] = [Some(0.95), Some(0.5), None];
/// Share of the rows that must be scored.
const SHARE_WANTED: f64 = 0.9;
/// Inputs of the models.
const INPUTS: [&str; 8] = ["AT", "AP", "AH", "AFDP", "GTEP", "TIT", "TAT", "CDP"];
/// Registers are float32: a measurement is its row's when it differs by less than this share.
const SAME: f64 = 1e-6;

/// How a target is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The network alone.
    Network,
    /// The network and the bias from late analyser samples.
    Corrected,
    /// Ridge regression on the same inputs, through the same engine.
    Ridge,
    /// The analyser's last value.
    Persistence,
}

impl Method {
    /// All, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Network, Self::Corrected, Self::Ridge, Self::Persistence];

    /// Name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Corrected => "network + late samples",
            Self::Ridge => "ridge",
            Self::Persistence => "persistence (24 rows late)",
        }
    }
}

/// Where a target's numbers stand in a record.
#[derive(Debug, Clone, Copy)]
struct Target {
    column: usize,
    network: PredictionId,
    /// The network has a bias here.
    corrected: bool,
    ridge: PredictionId,
    late: TagId,
}

/// Rows and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rows {
    /// Rows that could be scored: all but the first ones, for which no late value exists.
    pub wanted: usize,
    /// Scored.
    pub scored: usize,
    /// Newest row that was read.
    pub newest: Option<usize>,
}

/// Scores of a run.
pub struct Board {
    data: Turbine,
    first: usize,
    end: usize,
    row_tag: TagId,
    inputs: Vec<(TagId, usize)>,
    targets: [Target; TARGETS.len()],
    scores: [[Score; Method::ALL.len()]; TARGETS.len()],
    rows: Rows,
}

impl Board {
    /// A board for these rows. `row_tag` names the tag that carries the row number, `late` the late tag of each target.
    ///
    /// # Errors
    /// A sentence with the tag or prediction that the configuration does not have.
    pub fn new(
        config: &Config,
        data: Turbine,
        first: usize,
        rows: usize,
        row_tag: &str,
        late: [&str; TARGETS.len()],
    ) -> Result<Self, String> {
        let tag = |name: &str| config.tag_named(name).ok_or_else(|| format!("the configuration has no tag {name}"));
        let column = |name: &str| {
            let at = COLUMNS.iter().position(|c| *c == name);
            at.ok_or_else(|| format!("the data have no column {name}"))
        };
        let prediction = |model: &str, output: &str| {
            let at = config.predictions.iter().position(|p| {
                let m = &config.models[p.model.index()];
                m.name == model && m.outputs[p.output as usize].name == output
            });
            let id = at.map(|i| PredictionId(i as u32));
            id.ok_or_else(|| format!("the configuration has no output {output} of a model {model}"))
        };
        let target = |i: usize| -> Result<Target, String> {
            let name = TARGETS[i].0;
            let network = prediction("turbine", name)?;
            let of = config.predictions[network.index()];
            let corrected = config.models[of.model.index()].outputs[of.output as usize].bias.is_some();
            let (column, ridge, late) = (column(name)?, prediction("ridge", name)?, tag(late[i])?);
            Ok(Target { column, network, corrected, ridge, late })
        };
        let end = first.saturating_add(rows).min(data.rows());
        Ok(Self {
            first,
            end,
            row_tag: tag(row_tag)?,
            inputs: INPUTS.iter().map(|n| Ok((tag(n)?, column(n)?))).collect::<Result<_, String>>()?,
            targets: [target(0)?, target(1)?, target(2)?],
            scores: Default::default(),
            rows: Rows { wanted: end.saturating_sub(first + LATE_ROWS), ..Rows::default() },
            data,
        })
    }

    /// Takes the record of a scan. Does nothing when it brings no new row.
    pub fn take(&mut self, record: &ScanRecord) {
        let number = |tag: TagId| record.tags.get(tag.index()).and_then(Conditioned::measured);
        let Some(row) = number(self.row_tag).filter(|r| *r >= 0.0).map(|r| r as usize) else { return };
        let new = self.rows.newest.is_none_or(|newest| row > newest);
        let Some(truth) = self.data.row(row).filter(|_| new && (self.first..self.end).contains(&row)) else { return };
        let same = |(tag, column): &(TagId, usize)| {
            number(*tag).is_some_and(|read| (read - truth[*column]).abs() <= SAME * truth[*column].abs().max(1.0))
        };
        if !self.inputs.iter().all(same) {
            return;
        }
        let mut pairs = [[0.0; Method::ALL.len()]; TARGETS.len()];
        for (target, pair) in self.targets.iter().zip(&mut pairs) {
            let network = &record.predictions[target.network.index()];
            let ridge = &record.predictions[target.ridge.index()];
            // An older time is a prediction from an older scan.
            let fresh = network.time == record.cycle.now && ridge.time == record.cycle.now;
            let (true, Some(corrected), Some(_)) = (fresh, network.get(), ridge.get()) else { return };
            let late = if row < self.first + LATE_ROWS { Some(f64::NAN) } else { number(target.late) };
            let Some(late) = late else { return };
            *pair = [network.raw, corrected, ridge.raw, late];
        }
        self.rows.newest = Some(row);
        if row < self.first + LATE_ROWS {
            return;
        }
        self.rows.scored += 1;
        for ((target, pair), scores) in self.targets.iter().zip(&pairs).zip(&mut self.scores) {
            for (score, predicted) in scores.iter_mut().zip(pair) {
                score.add(truth[target.column], *predicted);
            }
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// True when the last row has been read.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.rows.newest.is_some_and(|newest| newest + 1 >= self.end)
    }

    /// Score of a target (index in `TARGETS`) by a method.
    #[must_use]
    pub fn score(&self, target: usize, method: Method) -> &Score {
        &self.scores[target][method as usize]
    }

    /// What is required, what was reached, and whether that is enough.
    #[must_use]
    pub fn demands(&self) -> Vec<(String, bool)> {
        let mut demands = Vec::new();
        for (i, wanted) in R2_WANTED.iter().enumerate() {
            let Some(wanted) = wanted else { continue };
            let reached = self.score(i, Method::Network).r2();
            let text = format!("R2 of {} by the network at least {wanted}: {}", TARGETS[i].0, digits(reached, 3));
            demands.push((text, reached.is_some_and(|r| r >= *wanted)));
        }
        let share = self.rows.scored as f64 / self.rows.wanted.max(1) as f64;
        let text = format!("at least {:.0} % of the rows scored: {:.1} %", SHARE_WANTED * 100.0, share * 100.0);
        demands.push((text, share >= SHARE_WANTED));
        demands
    }

    /// True when every demand is met.
    #[must_use]
    pub fn met(&self) -> bool {
        self.demands().iter().all(|(_, met)| *met)
    }

    /// The closing table with what is required.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(text.trim_end());
            out.push('\n');
        };
        let (from, to) = (self.first + 1, self.end);
        line(format!(
            "Gas turbine, 2013, rows {from} to {to}: {} of {} rows scored",
            self.rows.scored, self.rows.wanted
        ));
        let mut head = (format!("{:<28}", ""), format!("{:<28}", ""));
        for (name, unit) in TARGETS {
            write!(head.0, "{:>20}", format!("{name}, {unit}")).expect("a String takes every text");
            write!(head.1, "{:>10}{:>10}", "R2", "RMSE").expect("a String takes every text");
        }
        line(head.0);
        line(head.1);
        for method in Method::ALL {
            let mut text = format!("{:<28}", method.name());
            for (i, target) in self.targets.iter().enumerate() {
                let score = self.score(i, method);
                let cells = if method == Method::Corrected && !target.corrected {
                    ("-".into(), "-".into())
                } else {
                    (digits(score.r2(), 3), digits(score.rmse(), 2))
                };
                write!(text, "{:>10}{:>10}", cells.0, cells.1).expect("a String takes every text");
            }
            line(text);
        }
        line(format!("The first {LATE_ROWS} rows are not scored: no late analyser value exists for them."));
        line("Required:".into());
        for (text, met) in self.demands() {
            line(format!("  {} {text}", if met { "met    " } else { "NOT MET" }));
        }
        line("NOX has no required value: compare the rows above.".into());
        out
    }
}

fn digits(x: Option<f64>, digits: usize) -> String {
    x.map_or_else(|| "-".into(), |x| format!("{x:.digits$}"))
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
