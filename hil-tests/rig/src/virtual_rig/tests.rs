//! The virtual field against the example configuration: every address resolves, the loop closes, and two runs are equal bit by bit.

use super::*;
use crate::plc::PlcOptions;
use crate::signals::Signal;
use flyball_config::OutputKind;
use std::path::Path;

const SECOND: Duration = Duration::from_secs(1);

/// The example configuration of R-101.
pub fn config() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples/r101.toml");
    let loaded = flyball_config::load(&path);
    assert!(loaded.config.is_some(), "the example has errors");
    loaded.config.expect("just seen")
}

fn rig(config: &Config, delay_scans: usize) -> VirtualRig {
    let mut plc = SimPlc::new(PlcOptions::default());
    plc.panel.enable = true;
    VirtualRig::new(config, plc, VirtualOptions { delay_scans, ..VirtualOptions::default() })
        .expect("all addresses exist")
}

fn cycle(number: u64) -> ScanCycle {
    let at = Timestamp::ZERO.after(SECOND * number as u32);
    ScanCycle { number, scheduled: at, now: at, period: SECOND, missed: 0 }
}

/// A runtime of a few lines: mode 2, heartbeat, and from second 20 on a feed of 0.05 l/h more per second.
fn cells(config: &Config, image: &InputImage, number: u64) -> Vec<Option<Value>> {
    let read = |tag: flyball_config::TagId| image.sample(tag).value.map_or(0.0, Value::get);
    let cell = |kind: OutputKind| match kind {
        OutputKind::Heartbeat | OutputKind::Sequence(_) => number as f64,
        OutputKind::HeartbeatEcho => config.handshake.as_ref().map_or(0.0, |h| read(h.heartbeat_in)),
        OutputKind::Mode => 2.0,
        OutputKind::Status => 0.0,
        OutputKind::SetpointValid(_) => 1.0,
        OutputKind::LeaseRequest => 0.0,
        OutputKind::Signature => f64::from(config.signature),
        OutputKind::Setpoint(mv) if mv.index() == 0 => read(config.mvs[0].readback) + 0.05,
        OutputKind::Setpoint(mv) => read(config.mvs[mv.index()].readback),
    };
    config.outputs.iter().map(|o| Value::new(cell(o.kind))).collect()
}

fn run(seconds: u64, delay_scans: usize) -> (Config, VirtualRig, Vec<InputImage>) {
    let config = config();
    let mut rig = rig(&config, delay_scans);
    let mut image = InputImage::new(config.tags.len(), config.connections.len());
    let mut images = Vec::new();
    for number in 1..=seconds {
        rig.freeze(&cycle(number), &mut image);
        rig.write(&cycle(number), &cells(&config, &image, number));
        images.push(image.clone());
    }
    (config, rig, images)
}

#[test]
fn the_loop_closes_and_follows() {
    let (config, rig, images) = run(120, 0);
    let truth = rig.with_plc(|plc| plc.truth());
    assert!(truth.link.x_closed_loop && truth.mvs[0].gate.x_in_control, "{truth:?}");
    assert!(truth.mvs[0].gate.r_sp_out > 142.0, "{}", truth.mvs[0].gate.r_sp_out);
    assert_eq!(truth.app.udi_sig, config.signature);
    let last = images.last().expect("images");
    assert!(last.links.iter().all(|l| *l == LinkState::Up));
    let outcome = last.writes[0].expect("written");
    assert_eq!((outcome.cycle, outcome.status), (119, Status::Good));
    let feed = config.tag_named("FI-101").expect("tag");
    assert!(last.sample(feed).status.is_good());
    assert!((last.sample(feed).value.expect("good").get() - truth.feed.flow).abs() < 2.0);
}

#[test]
fn two_runs_are_equal_bit_by_bit() {
    let (_, a, images_a) = run(300, 2);
    let (_, b, images_b) = run(300, 2);
    assert_eq!(images_a, images_b);
    assert_eq!(a.with_plc(|p| p.clone()), b.with_plc(|p| p.clone()));
}

#[test]
fn what_is_read_is_as_old_as_stated() {
    let (config, _, images) = run(30, 5);
    let tag = config.tag_named("TI-101").expect("tag");
    let sample = images[29].sample(tag);
    assert_eq!(sample.alive, Timestamp::ZERO.after(Duration::from_millis(29_500)));
    assert!(sample.source_time <= sample.alive);
}

#[test]
fn the_analyser_says_when_it_sampled_and_whether_it_is_well() {
    let config = config();
    let mut rig = rig(&config, 0);
    let tag = config.tag_named("AI-101").expect("tag");
    let mut image = InputImage::new(config.tags.len(), config.connections.len());
    rig.freeze(&cycle(700), &mut image);
    let sample = image.sample(tag);
    assert_eq!(sample.source_time, Timestamp::ZERO.after(Duration::from_secs(300)));
    assert!((sample.value.expect("good").get() - 1.09).abs() < 0.02);
    rig.with_plc(|plc| plc.process.gc_healthy = false);
    rig.freeze(&cycle(1300), &mut image);
    assert_eq!((image.sample(tag).status, image.sample(tag).value), (Status::BadSensorFailure, None));
}

#[test]
fn unknown_addresses_are_reported_together() {
    let mut config = config();
    for name in ["TI-101", "TI-102"] {
        let id = config.tag_named(name).expect("tag");
        let Address::OpcUa(OpcUaAddress::Node { identifier, .. }) = &mut config.tags[id.index()].address else {
            panic!("an OPC UA tag")
        };
        *identifier = NodeIdentifier::Text("nowhere".into());
    }
    let Err(errors) = VirtualRig::new(&config, SimPlc::new(PlcOptions::default()), VirtualOptions::default()) else {
        panic!("accepted")
    };
    assert_eq!(errors.len(), 2);
    assert!(errors[0].contains("TI-101") && errors[0].contains("plc1"), "{errors:?}");
}

#[test]
fn refused_writes_are_told() {
    let config = config();
    let mut rig = rig(&config, 0);
    rig.with_plc(|plc| plc.set_write_fault(Signal::FeedSp, Some(crate::plc::WriteFault::Refuse)));
    let mut image = InputImage::new(config.tags.len(), config.connections.len());
    rig.freeze(&cycle(1), &mut image);
    rig.write(&cycle(1), &cells(&config, &image, 1));
    rig.freeze(&cycle(2), &mut image);
    assert_eq!(image.writes[0].map(|w| w.status), Some(Status::BadNotWritable));
}
