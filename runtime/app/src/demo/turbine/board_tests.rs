//! The board scores what the real models say about the real year, refuses a model that was fed wrongly, and pairs by row number.

use std::net::SocketAddr;

use flyball_core::ports::Predictor;
use flyball_core::status::Status;
use flyball_core::time::Timestamp;
use flyball_core::value::Value;

use super::*;
use crate::clock::VirtualClock;
use crate::demo::folder::PrivateFolder;
use crate::demo::turbine::configuration;

/// Rows of a test: enough for the demands of the whole year.
const ROWS: usize = 1000;

struct Bench {
    config: Config,
    data: Turbine,
    models: Vec<Box<dyn Predictor>>,
}

impl Bench {
    fn new() -> Self {
        let folder = PrivateFolder::new().expect("folder");
        let address = SocketAddr::from(([127, 0, 0, 1], 502));
        let (config, _) = configuration(&folder, "secret", address).expect("the example is good");
        let clock = VirtualClock::default();
        let loaded = crate::engines::load(&config, &clock).expect("the models are good");
        let models = loaded.engines.predictors.into_iter().map(|p| p.expect("a soft sensor")).collect();
        Self { config, data: Turbine::year_2013(), models }
    }

    fn board(&self, rows: usize) -> Board {
        Board::new(&self.config, self.data.clone(), 0, rows, "ROW", ["TEY_LATE", "CO", "NOX"]).expect("all there")
    }

    /// The record of a scan that read this row and fed the models with `columns` in the place of `INPUTS`.
    fn record(&mut self, row: usize, columns: [&str; INPUTS.len()]) -> ScanRecord {
        let mut record = ScanRecord::new(&self.config);
        record.cycle.now = Timestamp(1 + row as u64);
        let at = |name: &str| COLUMNS.iter().position(|c| *c == name).expect("a column");
        let truth = *self.data.row(row).expect("a row");
        // What passed over the wire is a float32.
        let real = |x: f64| Value::new(f64::from(x as f32));
        let late = row.checked_sub(LATE_ROWS).and_then(|r| self.data.row(r));
        for (tag, slot) in self.config.tags.iter().zip(&mut record.tags) {
            let value = match tag.name.as_str() {
                "ROW" => Value::new(row as f64),
                "TEY_LATE" => late.and_then(|r| real(r[at("TEY")])),
                "CO" | "NOX" => late.and_then(|r| real(r[at(&tag.name)])),
                name => real(truth[at(name)]),
            };
            *slot = Conditioned { value, status: Status::Good, ..Conditioned::WAITING };
        }
        let mut next = 0;
        for model in &mut self.models {
            let mut features = columns.map(|name| truth[at(name)]);
            for (i, feature) in features.iter_mut().enumerate() {
                let (low, high) = model.input_range(i);
                *feature = feature.clamp(low, high);
            }
            let mut out = [0.0; TARGETS.len()];
            model.predict(&features, &mut out).expect("predicts");
            for raw in out {
                let p = &mut record.predictions[next];
                (p.raw, p.value, p.status, p.time) = (raw, Value::new(raw), Status::Good, record.cycle.now);
                next += 1;
            }
        }
        record
    }

    fn play(&mut self, columns: [&str; INPUTS.len()]) -> Board {
        let mut board = self.board(ROWS);
        for row in 0..ROWS {
            let record = self.record(row, columns);
            board.take(&record);
        }
        board
    }
}

#[test]
fn the_scores_are_those_of_an_independent_calculation() {
    let board = Bench::new().play(INPUTS);
    assert_eq!(board.rows(), Rows { wanted: ROWS - LATE_ROWS, scored: ROWS - LATE_ROWS, newest: Some(ROWS - 1) });
    assert!(board.finished() && board.met(), "{}", board.table());
    // NumPy on the first 1000 rows of the file with the reference evaluator of ONNX, rows 25 to 1000 scored.
    let wanted = [
        (Method::Network, [0.996, 0.823, 0.635]),
        (Method::Ridge, [0.998, 0.654, -0.068]),
        (Method::Persistence, [-0.215, -0.395, -0.620]),
    ];
    for (method, targets) in wanted {
        for (i, r2) in targets.into_iter().enumerate() {
            let found = board.score(i, method).r2().expect("varied");
            assert!((found - r2).abs() < 0.001, "{method:?} {}: {found} beside {r2}", TARGETS[i].0);
        }
    }
}

#[test]
fn a_model_with_two_columns_swapped_is_not_good_enough() {
    let board = Bench::new().play(["AT", "AP", "AH", "AFDP", "GTEP", "TAT", "TIT", "CDP"]);
    assert!(!board.met(), "{}", board.table());
    assert!(board.table().contains("NOT MET R2 of TEY"), "{}", board.table());
    assert!(board.table().contains("met     at least 90 % of the rows scored: 100.0 %"), "{}", board.table());
}

#[test]
fn rows_that_were_not_read_are_missed() {
    let mut bench = Bench::new();
    let mut board = bench.board(ROWS);
    for row in (0..ROWS).filter(|row| row % 8 != 0) {
        let record = bench.record(row, INPUTS);
        board.take(&record);
    }
    assert!(!board.met(), "an eighth is missing: {}", board.table());
    assert!(board.table().contains("NOT MET at least 90 %"), "{}", board.table());
}

#[test]
fn a_row_counts_once_and_only_whole_and_fresh() {
    let mut bench = Bench::new();
    let mut board = bench.board(ROWS);
    let row = LATE_ROWS + 5;
    let good = bench.record(row, INPUTS);
    let tag = |name: &str| bench.config.tag_named(name).expect("a tag").index();

    let mut torn = good.clone();
    torn.tags[tag("TAT")].value = Value::new(bench.data.row(row + 1).expect("a row")[6]);
    let mut held = good.clone();
    held.tags[tag("AT")].substituted = true;
    let mut old = good.clone();
    old.predictions[0].time = Timestamp(1);
    let mut bad = good.clone();
    bad.predictions[3].value = None;
    let mut no_row = good.clone();
    no_row.tags[tag("ROW")].value = None;
    for record in [torn, held, old, bad, no_row] {
        board.take(&record);
        assert_eq!(board.rows().scored, 0);
    }
    board.take(&good);
    board.take(&good);
    assert_eq!(board.rows().scored, 1);
    assert_eq!(board.score(1, Method::Persistence).count(), 1);
}

#[test]
fn what_is_missing_is_named() {
    let bench = Bench::new();
    let Err(e) = Board::new(&bench.config, bench.data.clone(), 0, ROWS, "ROWS", ["TEY_LATE", "CO", "NOX"]) else {
        panic!("there is no tag ROWS")
    };
    assert!(e.contains("no tag ROWS"), "{e}");
}
