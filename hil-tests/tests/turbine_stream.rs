//! Promise: what the shipped soft sensors make of a year that no model was trained on, hour after hour, with analysers a day late.
//!
//! 2013 as a stream through the shipped controller on a virtual clock: one row per hour, `config/examples/turbine.toml` with an hourly model
//! and the analyser values of 24 rows ago with their sample time. The bias takes what `models/tools/choose_bias.py` chose on 2012.
//! Persistence (the value of 24 rows ago) and ridge regression (the example's shadow) stand beside the network, whatever they say.
//!
//! The 90 % interval must hold 85 to 95 % of the rows once it has adapted, although every sample comes a day late.
//!
//! Words: *raw* is the model's own output, *corrected* has the bias that was in force when the row passed.

use std::time::Duration;

use flyball::demo::turbine::Score;
use flyball::words::watch::advice;
use flyball_config::{Config, TagId};
use flyball_core::controller::Controller;
use flyball_core::image::{InputImage, LinkState, OutputImage, Sample};
use flyball_core::ports::NoProbe;
use flyball_core::record::ScanRecord;
use flyball_core::status::Status;
use flyball_core::time::{ScanCycle, Timestamp};
use flyball_core::watch::operating::OperatingMode;
use flyball_core::watch::{OutputReport, Trigger};
use flyball_hil_tests::{engines, example, repository};
use flyball_rig::turbine::{COLUMNS, LATE_ROWS, Turbine};

const HOUR: Duration = Duration::from_secs(3600);
/// Longest cycle that a configuration may have.
const CYCLE: Duration = Duration::from_secs(60);
/// Model outputs, in the configuration's order, with their columns in the file.
const OUTPUTS: [(&str, usize); 3] = [("TEY", 7), ("CO", 9), ("NOX", 10)];
/// Shares of each error that the bias takes, as chosen on 2012.
const TAKE: [(&str, f64); 2] = [("CO", 0.02), ("NOX", 0.05)];

/// The example at one row per hour.
fn hourly() -> Config {
    let mut config = example("turbine.toml");
    config.timing.cycle = CYCLE;
    for tag in &mut config.tags {
        // Late values stay usable until the next one has come.
        tag.stale_after = if tag.sampled_at.is_some() { HOUR * 26 } else { HOUR };
    }
    let model = &mut config.models[0];
    model.every = HOUR;
    for output in &mut model.outputs {
        let take = TAKE.iter().find(|(name, _)| *name == output.name).map(|(_, take)| *take);
        let (Some(bias), Some(take)) = (&mut output.bias, take) else { continue };
        (bias.take, bias.oldest, bias.expires) = (take, HOUR * 26, HOUR * 72);
    }
    config
}

/// Scores of one output.
#[derive(Default, Clone, Copy)]
struct Scores {
    network_raw: Score,
    network: Score,
    ridge_raw: Score,
    ridge: Score,
    persistence: Score,
}

/// Samples after which an interval counts as adapted: as many as it remembers.
const ADAPTED: u32 = 100;

/// What a year gave.
#[derive(Default)]
struct Year {
    scores: [Scores; OUTPUTS.len()],
    /// Watch of the network at the end, per output.
    watch: Vec<OutputReport>,
    /// Scores of each quarter.
    quarters: [[Scores; OUTPUTS.len()]; 4],
    /// Rows at which the watch advised anything, and a drift, per output.
    advised: [(u32, u32); OUTPUTS.len()],
    outside: u32,
    /// Rows so far outside the domain that one of both models predicts nothing; nobody is scored on them.
    unpredicted: u32,
    /// Rows with an interval after the adaptation, and how many lay inside, per output and quarter.
    intervals: [[(u32, u32); OUTPUTS.len()]; 4],
    /// Rows in in each operating mode, and in none.
    modes: [u32; 3],
}

/// Samples of one scan: the row as it is, and the analyser's values of a day ago.
fn show(config: &Config, turbine: &Turbine, row: usize, now: Timestamp, image: &mut InputImage) {
    let late = row.checked_sub(LATE_ROWS);
    for (i, tag) in (0u32..).map(TagId).zip(&config.tags) {
        let column = COLUMNS.iter().position(|c| *c == tag.name).expect("every tag of the example is a column");
        let sample = if tag.sampled_at.is_none() {
            Sample::new(turbine.row(row).expect("a row")[column], Status::Good, now, now)
        } else if let Some(late) = late {
            // A row is the mean of its hour: sampled in the middle of it.
            let taken = Timestamp::ZERO.after(HOUR * late as u32 + HOUR / 2);
            Sample::new(turbine.row(late).expect("a row")[column], Status::Good, taken, now)
        } else {
            Sample::bad(Status::BadWaitingForInitialData, now)
        };
        image.samples[i.index()] = sample;
    }
}

fn stream(turbine: &Turbine) -> Year {
    let config = hourly();
    let mut controller = Controller::new(&config, engines(&config).engines, true);
    let mut image = InputImage::new(config.tags.len(), config.connections.len());
    image.links.fill(LinkState::Up);
    let mut outputs = OutputImage::new(config.outputs.len());
    let mut record = ScanRecord::new(&config);
    let scans = (HOUR.as_secs() / CYCLE.as_secs()) as usize;
    let mut year = Year::default();
    for number in 0..turbine.rows() * scans {
        let row = number / scans;
        // The clock starts a little after zero: a sample time of zero means "never".
        let now = Timestamp::ZERO.after(CYCLE * number as u32 + Duration::from_secs(1));
        let cycle = ScanCycle { number: number as u64, scheduled: now, now, period: CYCLE, missed: 0 };
        show(&config, turbine, row, now, &mut image);
        controller.step(&cycle, &image, &mut outputs, &mut record, &mut NoProbe);
        if number % scans == 0 && row >= LATE_ROWS {
            year.take(turbine, row, &record);
        }
    }
    year.watch.extend_from_slice(&record.models[0].watch.outputs);
    year
}

impl Year {
    /// Scores the predictions of a row that was just run.
    fn take(&mut self, turbine: &Turbine, row: usize, record: &ScanRecord) {
        let shadow = record.models[0].shadow.as_ref().expect("the example has one");
        self.outside += u32::from(!record.predictions[0].in_domain);
        self.modes[match record.models[0].watch.mode {
            OperatingMode::Known(i) => usize::from(i).min(1),
            _ => 2,
        }] += 1;
        let (truth, before) = (turbine.row(row).expect("a row"), turbine.row(row - LATE_ROWS).expect("a row"));
        for (i, (_, column)) in OUTPUTS.iter().enumerate() {
            let p = &record.predictions[i];
            let truth = truth[*column];
            let quarter = 4 * row / turbine.rows();
            let watched = &record.models[0].watch.outputs[i];
            if let (Some((lower, upper)), true) = (p.interval(), watched.accepted >= ADAPTED) {
                let (rows, inside) = &mut self.intervals[quarter][i];
                *rows += 1;
                *inside += u32::from((lower..=upper).contains(&truth));
            }
            let (Some(network), Some(corrected)) = (p.get(), shadow.values[i]) else {
                self.unpredicted += u32::from(i == 0);
                continue;
            };
            for s in [&mut self.scores[i], &mut self.quarters[quarter][i]] {
                s.network_raw.add(truth, p.raw);
                s.network.add(truth, network);
                s.ridge.add(truth, corrected);
                s.ridge_raw.add(truth, corrected - shadow.biases[i]);
                s.persistence.add(truth, before[*column]);
            }
            let advice = watched.advice;
            self.advised[i].0 += u32::from(advice.first().is_some());
            self.advised[i].1 += u32::from(advice.contains(Trigger::Drift));
        }
    }

    fn print(&self, title: &str) {
        println!("{title}: R2 (RMSE) over {} rows", self.scores[0].network.count());
        println!(
            "{:<7} {:>17} {:>17} {:>17} {:>17} {:>17}",
            "output", "network corrected", "network raw", "ridge corrected", "ridge raw", "persistence"
        );
        for ((name, _), s) in OUTPUTS.iter().zip(&self.scores) {
            let cell = |s: &Score| format!("{:.3} ({:.3})", s.r2().unwrap_or(f64::NAN), s.rmse().unwrap_or(f64::NAN));
            let cells = [&s.network, &s.network_raw, &s.ridge, &s.ridge_raw, &s.persistence].map(cell);
            println!("{name:<7} {}", cells.map(|c| format!("{c:>17}")).join(" "));
        }
        println!(
            "outside the domain {} rows, {} of them so far that nothing is predicted; operating modes {:?} and unknown {}",
            self.outside,
            self.unpredicted,
            &self.modes[..2],
            self.modes[2]
        );
        for (i, (name, _)) in OUTPUTS.iter().enumerate().filter(|(i, _)| self.watch[*i].accepted > 0) {
            let (w, (any, drift)) = (&self.watch[i], self.advised[i]);
            let share = |rows: u32| 100.0 * f64::from(rows) / f64::from(self.scores[i].network.count());
            println!(
                "{name}: {} samples accepted, {} refused; advice stood at {:.0} % of the rows, of drift at {:.0} %; now: {}",
                w.accepted,
                w.refused,
                share(any),
                share(drift),
                advice(w)
            );
            let quarter = |of: fn(&Scores) -> Score| {
                self.quarters.map(|q| format!("{:>7.3}", of(&q[i]).r2().unwrap_or(f64::NAN))).join("")
            };
            println!(
                "{name}: inside the 90 % interval {:.1} % of the rows after the adaptation; by quarter{}",
                100.0 * self.coverage(i).unwrap_or(f64::NAN),
                self.intervals.map(|q| format!("{:>7.1}", 100.0 * f64::from(q[i].1) / f64::from(q[i].0))).join("")
            );
            println!("{name} R2 by quarter: network corrected{}", quarter(|s| s.network));
            println!("{name} R2 by quarter: network raw      {}", quarter(|s| s.network_raw));
        }
    }

    /// Share of the rows after the adaptation that lay inside the interval shown for them.
    fn coverage(&self, output: usize) -> Option<f64> {
        let (rows, inside) = self.intervals.iter().fold((0, 0), |(n, k), q| (n + q[output].0, k + q[output].1));
        (rows > 0).then(|| f64::from(inside) / f64::from(rows))
    }

    fn r2(&self, output: usize, of: impl Fn(&Scores) -> Score) -> f64 {
        of(&self.scores[output]).r2().expect("a year varies")
    }
}

#[test]
fn the_year_2013() {
    let year = stream(&Turbine::year_2013());
    year.print("2013");
    let (co, nox) = (1, 2);
    assert!(year.r2(co, |s| s.network) >= 0.55);
    assert!(year.r2(nox, |s| s.network) >= 0.5);
    assert!(year.r2(nox, |s| s.network) > year.r2(nox, |s| s.network_raw), "the bias helps");
    for output in [co, nox] {
        assert!(year.r2(output, |s| s.network) > year.r2(output, |s| s.persistence));
        let coverage = year.coverage(output).expect("intervals");
        assert!((0.85..=0.95).contains(&coverage), "90 % intervals hold {coverage}");
    }
    let samples = year.scores[0].network.count() + year.unpredicted;
    for w in &year.watch[co..] {
        // Each row brings one sample, that of a day ago.
        assert_eq!(w.accepted + w.refused, samples);
        // Samples are refused for rows outside the domain, and for hardly any other.
        assert!(w.refused <= year.outside + samples / 100, "{w:?}");
        let raised = w.raised.expect("advice in 2013");
        assert!(raised.sample >= 1 && raised.sample <= w.accepted);
    }
}

/// Beside it, what the same watch says of a year that the models were trained on.
#[test]
fn the_year_2012_for_comparison() {
    let path = repository().join("models/data/gas_turbine/gt_2012.csv");
    let year = stream(&Turbine::read(&path).unwrap_or_else(|e| panic!("{e}")));
    year.print("2012, trained on");
    assert!(year.r2(1, |s| s.network) > year.r2(1, |s| s.persistence));
}
