//! Why: two answers to the same scans, side by side: figures for the terminal, trends for the report.

use std::fmt::Write as _;

use flyball_config::Config;
use flyball_core::guard::Verdict;
use flyball_core::mode::Mode;
use flyball_core::optimum::SolveStatus;
use flyball_core::record::ScanRecord;
use flyball_core::sample::SampleVerdict;
use flyball_report::{Outcome, Report, Row, Trend};

use super::{Opened, clock};
use crate::view::number;

/// Points of a trend at most; beyond that every second one is left out, again and again.
const POINTS_MAX: usize = 4_000;

/// Same thing in both configurations: its number in each.
type Pair = (usize, usize);

/// Sums over scans.
#[derive(Debug, Clone, Default)]
struct Sums {
    scans: u64,
    square: f64,
    largest: f64,
    largest_at: i64,
}

impl Sums {
    fn add(&mut self, difference: f64, utc: i64) {
        self.scans += 1;
        self.square += difference * difference;
        if difference.abs() > self.largest {
            (self.largest, self.largest_at) = (difference.abs(), utc);
        }
    }

    fn rms(&self) -> f64 {
        (self.square / self.scans.max(1) as f64).sqrt()
    }
}

/// Errors of one side at late samples.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    samples: u64,
    square: f64,
}

impl Errors {
    fn rmsep(&self) -> Option<f64> {
        (self.samples > 0).then(|| (self.square / self.samples as f64).sqrt())
    }
}

struct Side {
    closed: u64,
    writing: u64,
    objective: f64,
    solved: u64,
}

/// Two answers, scan by scan.
pub(super) struct Comparison {
    mvs: Vec<(Pair, String, String, Sums)>,
    predictions: Vec<(Pair, String, String, Sums, [Errors; 2])>,
    sides: [Side; 2],
    scans: u64,
    first: i64,
    every: u64,
    times: Vec<f64>,
    /// Two trends for each MV, then for each prediction: recorded and other.
    trends: Vec<Vec<Option<f64>>>,
}

impl Comparison {
    pub(super) fn new(recorded: &Config, other: &Config) -> Self {
        let mvs: Vec<_> = (recorded.mvs.iter().enumerate())
            .filter_map(|(i, mv)| {
                let j = other.mvs.iter().position(|o| o.name == mv.name)?;
                Some(((i, j), mv.name.clone(), mv.unit.0.symbol.to_owned(), Sums::default()))
            })
            .collect();
        let name = |config: &Config, i: usize| {
            let at = config.predictions[i];
            let model = &config.models[at.model.index()];
            let output = &model.outputs[at.output as usize];
            (format!("{}.{}", model.name, output.name), output.unit.0.symbol.to_owned())
        };
        let predictions: Vec<_> = (0..recorded.predictions.len())
            .filter_map(|i| {
                let (own, unit) = name(recorded, i);
                let j = (0..other.predictions.len()).find(|j| name(other, *j).0 == own)?;
                Some(((i, j), own, unit, Sums::default(), [Errors::default(); 2]))
            })
            .collect();
        let side = || Side { closed: 0, writing: 0, objective: 0.0, solved: 0 };
        let trends = vec![Vec::new(); 2 * (mvs.len() + predictions.len())];
        Self { mvs, predictions, sides: [side(), side()], scans: 0, first: 0, every: 1, times: Vec::new(), trends }
    }

    pub(super) fn scans(&self) -> u64 {
        self.scans
    }

    pub(super) fn take(&mut self, recorded: &ScanRecord, other: &ScanRecord, utc: i64) {
        if self.scans == 0 {
            self.first = utc;
        }
        for (side, record) in self.sides.iter_mut().zip([recorded, other]) {
            side.closed += u64::from(record.mode.actual == Mode::ClosedLoop);
            let moved = |v: Verdict| matches!(v, Verdict::Accepted | Verdict::Limited(_));
            side.writing += u64::from(record.mvs.iter().any(|mv| moved(mv.guard.verdict)));
            if record.solved && record.optimum.status != SolveStatus::Failed {
                side.solved += 1;
                side.objective += record.optimum.objective_optimum;
            }
        }
        let mut points = Vec::with_capacity(self.trends.len());
        for ((i, j), _, _, sums) in &mut self.mvs {
            let next = |r: &ScanRecord, mv: usize| r.optimum.mvs.get(mv).map(|a| a.next);
            let (a, b) = (next(recorded, *i), next(other, *j));
            if let (Some(a), Some(b)) = (a, b) {
                sums.add(b - a, utc);
            }
            points.extend([a, b]);
        }
        for ((i, j), _, _, sums, errors) in &mut self.predictions {
            let (a, b) = (recorded.predictions[*i].get(), other.predictions[*j].get());
            if let (Some(a), Some(b)) = (a, b) {
                sums.add(b - a, utc);
            }
            points.extend([a, b]);
            for (errors, (record, id)) in errors.iter_mut().zip([(recorded, *i), (other, *j)]) {
                let own = record.samples.iter().filter(|s| s.output.index() == id);
                for error in own.filter(|s| s.verdict == SampleVerdict::Accepted).filter_map(|s| s.error_after_bias) {
                    errors.samples += 1;
                    errors.square += error * error;
                }
            }
        }
        if self.scans.is_multiple_of(self.every) {
            self.times.push((utc - self.first) as f64 * 1e-9);
            self.trends.iter_mut().zip(points).for_each(|(trend, point)| trend.push(point));
            if self.times.len() > POINTS_MAX {
                thin(&mut self.times);
                self.trends.iter_mut().for_each(thin);
                self.every *= 2;
            }
        }
        self.scans += 1;
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::from(
            "The plant answered to what was written then: read each line as the next move from the recorded state.\n\n",
        );
        let _ = writeln!(text, "{:<24}{:>16}{:>16}", "", "recorded", "other");
        let share = |n: u64| format!("{:.1} %", 100.0 * n as f64 / self.scans.max(1) as f64);
        let mut line = |name: &str, of: &dyn Fn(&Side) -> String| {
            let _ = writeln!(text, "{name:<24}{:>16}{:>16}", of(&self.sides[0]), of(&self.sides[1]));
        };
        line("in CLOSED LOOP", &|s| share(s.closed));
        line("scans with a move", &|s| s.writing.to_string());
        line("objective at optimum", &|s| number(s.objective / s.solved.max(1) as f64));
        for (_, name, unit, _, errors) in &self.predictions {
            if let [Some(a), Some(b)] = errors.map(|e| e.rmsep()) {
                let samples = errors[0].samples.min(errors[1].samples);
                let _ = writeln!(
                    text,
                    "{:<24}{:>16}{:>16} {unit} at {samples} samples",
                    format!("RMSEP {name}"),
                    number(a),
                    number(b)
                );
            }
        }
        let _ = writeln!(text, "\n{:<24}{:>12}{:>12}  largest at (UTC)", "differences", "rms", "largest");
        for (name, unit, sums) in self.differences() {
            let _ = match (sums.scans, sums.largest) {
                (0, _) => writeln!(text, "{name:<24}{:>12}{:>12}  never both there", "", ""),
                (_, 0.0) => writeln!(text, "{name:<24}{:>12}{:>12}  equal throughout", "", ""),
                (_, largest) => {
                    let (rms, largest, at) = (number(sums.rms()), number(largest), clock(sums.largest_at));
                    writeln!(text, "{name:<24}{rms:>12}{largest:>12}  {unit} at {at}")
                }
            };
        }
        text
    }

    fn differences(&self) -> impl Iterator<Item = (String, &String, &Sums)> {
        let mvs = self.mvs.iter().map(|(_, name, unit, sums)| (format!("next move of {name}"), unit, sums));
        mvs.chain(self.predictions.iter().map(|(_, name, unit, sums, _)| (name.clone(), unit, sums)))
    }

    pub(super) fn report(&self, opened: &Opened, pace: String) -> Report {
        let header = opened.header();
        let names = self
            .differences()
            .flat_map(|(name, unit, _)| ["recorded", "other"].map(|side| (format!("{name}, {side}"), unit.clone())));
        let trend = |((name, unit), values): ((String, String), &Vec<Option<f64>>)| Trend {
            name,
            unit,
            values: values.clone(),
            ..Trend::default()
        };
        let row = |(name, unit, sums): (String, &String, &Sums)| Row {
            id: name.clone(),
            what: name,
            expected: "compared, not judged".into(),
            observed: format!("rms {} {unit}, largest {} {unit}", number(sums.rms()), number(sums.largest)),
            outcome: Outcome::Passed,
            at: 0.0,
            took: 0.0,
        };
        Report {
            name: "replay".into(),
            title: format!("{}: what would have been", header.application),
            text: "The plant answered to what was written then: read every trend as the next move from the recorded state.".into(),
            started: clock(self.first),
            facts: vec![
                ("recorded by".into(), format!("flyball {} on {}", header.version, header.machine)),
                ("scans".into(), self.scans.to_string()),
                ("replay".into(), pace),
            ],
            rows: self.differences().map(row).collect(),
            times: self.times.clone(),
            trends: names.zip(&self.trends).map(trend).collect(),
            ..Report::default()
        }
    }
}

/// Every second one.
fn thin<T>(list: &mut Vec<T>) {
    let mut keep = false;
    list.retain(|_| {
        keep = !keep;
        keep
    });
}
