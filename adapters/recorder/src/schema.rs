//! `/scan`: what a viewer shows of a scan, under the names of the plant. Described by a protobuf `FileDescriptorSet` that is made from the
//! configuration at start, so that Foxglove, PlotJuggler and Python know each field by the name of its tag.
//!
//! This channel is for people: values only, lossless numbers, a choice of the record. What a replay needs is in `/replay`.
//! A value that does not exist (Bad, not yet run) is NaN: plots leave a hole, where protobuf's "absent" would be drawn as zero.

use std::collections::BTreeMap;

use flyball_config::Config;
use flyball_core::mode::Mode;
use flyball_core::optimum::HeldBy;
use flyball_core::ports::Phase;
use flyball_core::record::ScanRecord;
use flyball_core::value::Value;

use crate::protobuf::{Kind, Message, describe, describe_enum, file_set, identifiers, number};

/// Full name of the message of `/scan`.
pub const SCAN: &str = "flyball.Scan";
/// Numbers of `HeldBy` from here on are CVs: 100 is the first.
const FIRST_CV: u32 = 100;

/// Names and units of one configuration.
#[derive(Debug, Clone)]
pub struct Schema {
    /// The serialised `FileDescriptorSet`.
    pub descriptor: Vec<u8>,
    /// Unit of each field that has one, by its path in the message.
    pub units: BTreeMap<String, String>,
}

impl Schema {
    /// The schema of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let tags = identifiers(config.tags.iter().map(|t| t.name.clone()));
        let outputs = config.predictions.iter().map(|p| {
            let model = &config.models[p.model.index()];
            format!("{}.{}", model.name, model.outputs[p.output as usize].name)
        });
        let predictions = identifiers(outputs);
        let mvs = identifiers(config.mvs.iter().map(|m| m.name.clone()));
        let cvs = identifiers(config.cvs.iter().map(|c| c.name.clone()));
        let prices = identifiers(config.optimiser.iter().flat_map(|o| o.prices.iter().map(|p| p.name.clone())));

        let scan = [
            (1, "cycle", Kind::U64),
            (2, "mode", Kind::Enum(".flyball.Mode")),
            (3, "requested", Kind::Enum(".flyball.Mode")),
            (4, "arming", Kind::Bool),
            (5, "hold", Kind::Bool),
            (6, "heartbeat", Kind::U32),
            (7, "plc_heartbeat", Kind::U32),
            (8, "flushed", Kind::Bool),
            (9, "latency_s", Kind::Double),
            (10, "deadlines_missed", Kind::U64),
            (11, "late_s", Kind::Double),
            (12, "scan_s", Kind::Double),
            (13, "objective_now", Kind::Double),
            (14, "objective_optimum", Kind::Double),
            (15, "status_bits", Kind::U32),
            (20, "tag", Kind::Message(".flyball.Tags")),
            (21, "status", Kind::Message(".flyball.Statuses")),
            (22, "prediction", Kind::Message(".flyball.Predictions")),
            (23, "mv", Kind::Message(".flyball.Mvs")),
            (24, "cv", Kind::Message(".flyball.Cvs")),
            (25, "price", Kind::Message(".flyball.Prices")),
        ];
        let prediction = [
            (1, "value", Kind::Double),
            (2, "raw", Kind::Double),
            (3, "bias", Kind::Double),
            (4, "half_width", Kind::Double),
            (5, "status", Kind::U32),
            (6, "in_domain", Kind::Bool),
        ];
        let mv = [
            (1, "readback", Kind::Double),
            (2, "setpoint", Kind::Double),
            (3, "written", Kind::Double),
            (4, "optimum", Kind::Double),
            (5, "low", Kind::Double),
            (6, "high", Kind::Double),
            (7, "in_control", Kind::Bool),
            (8, "in_service", Kind::Bool),
            (9, "held_by", Kind::Enum(".flyball.HeldBy")),
        ];
        let cv = [
            (1, "value", Kind::Double),
            (2, "predicted", Kind::Double),
            (3, "violation", Kind::Double),
            (4, "given_up", Kind::Bool),
        ];
        let messages = [
            describe("Scan", &scan),
            describe("Prediction", &prediction),
            describe("Mv", &mv),
            describe("Cv", &cv),
            each("Tags", &tags, Kind::Double),
            each("Statuses", &tags, Kind::U32),
            each("Predictions", &predictions, Kind::Message(".flyball.Prediction")),
            each("Mvs", &mvs, Kind::Message(".flyball.Mv")),
            each("Cvs", &cvs, Kind::Message(".flyball.Cv")),
            each("Prices", &prices, Kind::Double),
        ];
        let modes = [Mode::Off, Mode::Advisory, Mode::ClosedLoop].map(|m| (mode(m), mode_name(m)));
        let enums = [describe_enum("Mode", &modes), held_by_names(&cvs)];
        let descriptor = file_set("flyball/scan.proto", "flyball", &messages, &enums);

        let mut units = BTreeMap::new();
        for (name, tag) in tags.iter().zip(&config.tags) {
            units.insert(format!("tag.{name}"), tag.unit.to_string());
        }
        for (name, p) in predictions.iter().zip(&config.predictions) {
            let output = &config.models[p.model.index()].outputs[p.output as usize];
            units.insert(format!("prediction.{name}"), output.unit.to_string());
        }
        Self { descriptor, units }
    }
}

/// The message of one scan.
pub fn scan(record: &ScanRecord) -> Vec<u8> {
    let r = record;
    let mut m = Message::default();
    m.whole(1, r.cycle.number);
    m.whole(2, mode(r.mode.actual).into()).whole(3, mode(r.mode.requested).into());
    m.whole(4, r.mode.arming.into()).whole(5, r.mode.hold.into());
    m.whole(6, r.heartbeat.into()).whole(7, r.plc.heartbeat.into()).whole(8, r.flushed.into());
    m.double(9, r.deadlines.latency.map_or(f64::NAN, |d| d.as_secs_f64()));
    m.whole(10, r.deadlines.missed);
    m.double(11, r.cycle.now.since(r.cycle.scheduled).as_secs_f64());
    m.double(12, r.phase_ends[Phase::Flush as usize].since(r.cycle.now).as_secs_f64());
    m.double(13, r.optimum.objective_now).double(14, r.optimum.objective_optimum);
    m.whole(15, r.status_bits.into());
    m.nested(20, |m| {
        for (at, tag) in r.tags.iter().enumerate() {
            m.double(number(at), number_of(tag.value));
        }
    });
    m.nested(21, |m| {
        for (at, tag) in r.tags.iter().enumerate() {
            m.whole(number(at), tag.status.0.into());
        }
    });
    m.nested(22, |m| {
        for (at, p) in r.predictions.iter().enumerate() {
            m.nested(number(at), |m| {
                m.double(1, number_of(p.value)).double(2, p.raw).double(3, p.bias);
                m.double(4, p.half_width.unwrap_or(f64::NAN));
                m.whole(5, p.status.0.into()).whole(6, p.in_domain.into());
            });
        }
    });
    m.nested(23, |m| {
        for (at, mv) in r.mvs.iter().enumerate() {
            let answer = r.optimum.mvs.get(at);
            m.nested(number(at), |m| {
                m.double(1, mv.readback.unwrap_or(f64::NAN));
                m.double(2, answer.map_or(f64::NAN, |a| a.next));
                m.double(3, mv.guard.written.unwrap_or(f64::NAN));
                m.double(4, answer.map_or(f64::NAN, |a| a.optimum));
                m.double(5, mv.guard.low).double(6, mv.guard.high);
                m.whole(7, mv.in_control.into()).whole(8, mv.in_service.into());
                m.whole(9, held_by(mv.held_by).into());
            });
        }
    });
    m.nested(24, |m| {
        for (at, cv) in r.cvs.iter().enumerate() {
            let answer = r.optimum.cvs.get(at);
            m.nested(number(at), |m| {
                m.double(1, cv.value.unwrap_or(f64::NAN));
                m.double(2, answer.map_or(f64::NAN, |a| a.predicted));
                m.double(3, answer.map_or(f64::NAN, |a| a.violation));
                m.whole(4, answer.is_some_and(|a| a.given_up).into());
            });
        }
    });
    m.nested(25, |m| {
        for (at, price) in r.prices.iter().enumerate() {
            m.double(number(at), *price);
        }
    });
    m.0
}

fn number_of(value: Option<Value>) -> f64 {
    value.map_or(f64::NAN, Value::get)
}

fn each(name: &str, fields: &[String], kind: Kind<'_>) -> Message {
    let fields: Vec<_> = fields.iter().enumerate().map(|(at, name)| (number(at), name.as_str(), kind)).collect();
    describe(name, &fields)
}

const fn mode(mode: Mode) -> u32 {
    match mode {
        Mode::Off => 0,
        Mode::Advisory => 1,
        Mode::ClosedLoop => 2,
    }
}

/// Name of a mode as an enumeration has it.
#[must_use]
pub const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "OFF",
        Mode::Advisory => "ADVISORY",
        Mode::ClosedLoop => "CLOSED_LOOP",
    }
}

/// Everything that can hold an MV, CVs left out. Their place is their number.
const HELD_BY: [(HeldBy, &str); 21] = [
    (HeldBy::Nothing, "NOTHING"),
    (HeldBy::Rate, "RATE"),
    (HeldBy::EngineeringHigh, "ENGINEERING_HIGH"),
    (HeldBy::EngineeringLow, "ENGINEERING_LOW"),
    (HeldBy::OperatorHigh, "OPERATOR_HIGH"),
    (HeldBy::OperatorLow, "OPERATOR_LOW"),
    (HeldBy::Domain, "DOMAIN"),
    (HeldBy::Reach, "REACH"),
    (HeldBy::NotInControl, "NOT_IN_CONTROL"),
    (HeldBy::PlcLimit, "PLC_LIMIT"),
    (HeldBy::Quality, "QUALITY"),
    (HeldBy::Mode, "MODE"),
    (HeldBy::Hold, "HOLD"),
    (HeldBy::Travel, "TRAVEL"),
    (HeldBy::Deadband, "DEADBAND"),
    (HeldBy::NoGain, "NO_GAIN"),
    (HeldBy::VerifyFailed, "VERIFY_FAILED"),
    (HeldBy::Verifying, "VERIFYING"),
    (HeldBy::Entry, "ENTRY"),
    (HeldBy::Late, "LATE"),
    (HeldBy::LimitsCross, "LIMITS_CROSS"),
];

fn held_by(held: HeldBy) -> u32 {
    if let HeldBy::Cv(cv) = held {
        return FIRST_CV + cv.0;
    }
    HELD_BY.iter().position(|(one, _)| *one == held).map_or(0, |at| at as u32)
}

/// Name of what holds an MV, as the enumeration has it; `cvs` are the names of the CVs in the order of the configuration.
#[must_use]
pub fn held_by_name(held: HeldBy, cvs: &[String]) -> String {
    match held {
        HeldBy::Cv(cv) => format!("CV_{}", cvs.get(cv.index()).map_or("?", String::as_str)),
        plain => HELD_BY.iter().find(|(one, _)| *one == plain).map_or("NOTHING", |(_, name)| *name).to_owned(),
    }
}

fn held_by_names(cvs: &[String]) -> Message {
    // Values of an enumeration share one name space with all others of the package.
    let cvs: Vec<String> = cvs.iter().map(|cv| format!("CV_{cv}")).collect();
    let plain = (0..).zip(HELD_BY).map(|(at, (_, name))| (at, name));
    let values: Vec<_> = plain.chain((FIRST_CV..).zip(cvs.iter().map(String::as_str))).collect();
    describe_enum("HeldBy", &values)
}
