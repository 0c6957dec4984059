//! Shared by the tests of this crate: a monotonic clock, and configurations of the example models.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use flyball_config::units::{Unit, UnitRow};
use flyball_config::{
    BackOff, Cv, Direction, EuRange, Filter, InputSource, Model, ModelId, ModelInput, ModelOutput, ModelRole, Mv, MvId,
    Optimiser, OutputId, Price, TagId, Trust, ValueSource, Verify,
};
use flyball_core::ports::Clock;
use flyball_core::time::Timestamp;
use flyball_models::{LoadedModel, SourceInfo};
use sha2::{Digest, Sha256};

/// Wall-independent time since it was made.
pub struct Monotonic(Instant);

impl Monotonic {
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.elapsed().as_nanos() as u64)
    }

    fn wait_until(&self, _at: Timestamp) {}
}

pub fn unit(symbol: &str) -> Unit {
    let leaked: &'static str = String::leak(symbol.to_owned());
    Unit(Box::leak(Box::new(UnitRow { symbol: leaked, unit_id: -1, display: leaked, description: leaked })))
}

pub fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Input name, unit, source, filter, delay in seconds.
pub type In = (&'static str, &'static str, InputSource, Filter, u64);

/// A configuration of an example file with its true hash, and the sources of its inputs.
pub fn configured(
    file: &str,
    every: Duration,
    inputs: &[In],
    outputs: &[(&str, &str, f64, f64)],
) -> (Model, Vec<SourceInfo>) {
    let path = example(file);
    let bytes = std::fs::read(&path).expect("example model");
    let input = |(name, _, source, filter, delay): &In| ModelInput {
        name: (*name).to_owned(),
        source: *source,
        filter: *filter,
        delay: Duration::from_secs(*delay),
    };
    let output = |(name, unit_symbol, low, high): &(&str, &str, f64, f64)| ModelOutput {
        name: (*name).to_owned(),
        unit: unit(unit_symbol),
        range: EuRange { low: *low, high: *high },
        reject_outside: None,
        too_wide: None,
        bias: None,
        match_plant: None,
    };
    let model = Model {
        name: file.trim_end_matches(".onnx").to_owned(),
        text: String::new(),
        file: path,
        sha256: sha256(&bytes),
        shadow: None,
        role: ModelRole::SoftSensor,
        every,
        inputs: inputs.iter().map(input).collect(),
        outputs: outputs.iter().map(output).collect(),
        trust: Trust::default(),
    };
    let source = |(name, unit, ..): &In| SourceInfo {
        name: format!("tag-{name}"),
        unit: (*unit).to_owned(),
        display: (*unit).to_owned(),
        low: 0.0,
        high: 0.0,
    };
    (model, inputs.iter().map(source).collect())
}

pub fn tag(i: u32) -> InputSource {
    InputSource::Tag(TagId(i))
}

/// The soft sensor, inputs in another order than in the file.
pub fn cb() -> (Model, Vec<SourceInfo>) {
    let mean = Filter::Mean(Duration::from_secs(15));
    let slow = Filter::FirstOrder(Duration::from_secs(30));
    configured(
        "r101_cb.onnx",
        Duration::from_secs(5),
        &[
            ("Q", "kJ/h", tag(0), slow, 0),
            ("F", "l/h", tag(1), mean, 0),
            ("F_60", "l/h", tag(1), mean, 60),
            ("F_180", "l/h", tag(1), mean, 180),
            ("T", "degC", tag(2), mean, 0),
            ("TK", "degC", tag(3), mean, 0),
            ("T0", "degC", tag(4), slow, 0),
        ],
        &[("cB", "mol/l", 0.8, 1.3)],
    )
}

/// The steady-state map with its two MVs.
pub fn ss() -> (Model, Vec<SourceInfo>) {
    configured(
        "r101_ss.onnx",
        Duration::from_secs(1),
        &[
            ("F", "l/h", InputSource::Mv(MvId(0)), Filter::None, 0),
            ("T", "degC", InputSource::Mv(MvId(1)), Filter::None, 0),
            ("T0", "degC", tag(4), Filter::None, 0),
            ("cA0", "mol/l", tag(5), Filter::None, 0),
        ],
        &[("cB", "mol/l", 0.8, 1.3), ("Q", "kJ/h", -200.0, 9000.0)],
    )
}

pub fn load(model: &Model, sources: &[SourceInfo]) -> LoadedModel {
    flyball_models::load_model(model, sources, Duration::from_secs(1), &Monotonic::start())
        .expect("example model loads")
}

fn mv(name: &str, low: f64, high: f64, up: f64, down: f64) -> Mv {
    Mv {
        name: name.to_owned(),
        text: String::new(),
        unit: unit(""),
        limits: EuRange { low, high },
        write: OutputId(0),
        sequence: OutputId(1),
        valid: None,
        readback: TagId(0),
        in_control: TagId(0),
        ack: None,
        operator_low: None,
        operator_high: None,
        limited_high: None,
        limited_low: None,
        move_up: up,
        move_down: down,
        move_per: Duration::from_secs(30),
        deadband: 0.0,
        refresh: Duration::from_secs(30),
        verify: Verify { within: 0.1, by: Duration::from_secs(3) },
        travel_per_hour: None,
        move_cost: 0.0,
        critical: false,
    }
}

pub fn r101_mvs() -> Vec<Mv> {
    vec![mv("feed", 80.0, 200.0, 2.0, 4.0), mv("temp", 105.0, 120.0, 0.2, 0.5)]
}

pub fn r101_settings(starts: u16) -> Optimiser {
    let price = |name: &str, value| Price { name: name.to_owned(), value, unit: String::new() };
    Optimiser {
        every: Duration::from_secs(30),
        map: ModelId(0),
        direction: Direction::Maximise,
        objective: "price_B*F*cB - price_A*F*cA0 - price_Q*Q".to_owned(),
        objective_unit: "EUR/h".to_owned(),
        prices: vec![price("price_B", 0.60), price("price_A", 0.105), price("price_Q", 0.0015)],
        starts,
        stop_after: Duration::from_millis(80),
        accept_if_gain: 0.0,
        reach: None,
        domain_cost: 0.0,
        horizon: None,
    }
}

fn cv(name: &str, map_output: u32) -> Cv {
    Cv {
        name: name.to_owned(),
        text: String::new(),
        source: ValueSource::Tag(TagId(0)),
        map_output,
        unit: unit(""),
        low: None,
        high: None,
        back_off: BackOff::Fixed(0.0),
        concern: None,
        gains: Vec::new(),
        priority: 1,
        critical: false,
    }
}

pub fn r101_cvs() -> Vec<Cv> {
    vec![cv("quality", 0), cv("cooling", 1)]
}
