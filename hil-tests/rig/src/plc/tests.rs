//! The simulated PLC behaves like one: handshake, STOP, power cycles, write faults.

use super::*;
use crate::gate::link::shed;
use crate::gate::setpoint::reject;
use crate::hand::Hand;
use crate::r101::process::Noise;

fn plc() -> SimPlc {
    let mut plc = SimPlc::new(PlcOptions { noise: Noise::OFF, ..PlcOptions::default() });
    plc.panel.enable = true;
    plc
}

/// Runs for some seconds and answers the largest step of the two active setpoints per scan, in units of rate x scan.
fn run(plc: &mut SimPlc, hand: &mut Hand, seconds: u32) -> f32 {
    let mut largest = 0.0f32;
    for _ in 0..seconds * 10 {
        let before = plc.truth();
        plc.scan();
        hand.act(plc);
        let after = plc.truth();
        for (i, per_scan) in [(0, 0.1), (1, 0.01)] {
            largest = largest.max((after.mvs[i].gate.r_sp_out - before.mvs[i].gate.r_sp_out).abs() / per_scan);
        }
    }
    largest
}

#[test]
fn closes_and_moves_within_its_rates() {
    let (mut plc, mut hand) = (plc(), Hand::to([142.0, 114.2]));
    plc.scan();
    assert_eq!(plc.read(Signal::ModeReq), PlcValue::Int(2), "asks from the first scan");
    let largest = run(&mut plc, &mut hand, 120);
    let t = plc.truth();
    assert!(t.link.x_closed_loop && t.mvs.iter().all(|m| m.gate.x_in_control), "{t:?}");
    assert_eq!(plc.read(Signal::FeedSpAct), PlcValue::Real(142.0));
    assert_eq!(plc.read(Signal::TempSpAct), PlcValue::Real(114.2));
    assert!(largest > 0.99 && largest < 1.01, "{largest}");
    let first = t.mvs[0].first_offer.expect("offered");
    assert!((first.offered - first.active).abs() < 1e-6 && (first.offered - 140.0).abs() < 1e-6, "{first:?}");
}

#[test]
fn a_dead_runtime_is_shed_and_the_setpoint_held() {
    let (mut plc, mut hand) = (plc(), Hand::to([200.0, 120.0]));
    run(&mut plc, &mut hand, 125);
    hand.alive = false;
    let held = plc.read(Signal::FeedSpAct);
    let largest = run(&mut plc, &mut hand, 11);
    let t = plc.truth();
    assert!(!t.link.x_closed_loop && t.latched);
    assert_eq!((t.link.i_shed_reason, t.link.ui_shed_count), (shed::HEARTBEAT, 1));
    assert_eq!(plc.read(Signal::FeedSpAct), held);
    assert!(largest < 1.01, "{largest}");
    hand.alive = true;
    run(&mut plc, &mut hand, 60);
    assert!(!plc.truth().link.x_closed_loop, "waits for the operator");
}

#[test]
fn stop_freezes_the_program_but_not_the_plant() {
    let (mut plc, mut hand) = (plc(), Hand::to([140.0, 114.0]));
    run(&mut plc, &mut hand, 30);
    plc.stop();
    plc.process.feed.t0 = 120.0;
    let (heartbeat, temperature) = (plc.read(Signal::PlcHb), plc.read(Signal::TempPv));
    run(&mut plc, &mut hand, 60);
    assert_eq!((plc.read(Signal::PlcHb), plc.read(Signal::TempPv)), (heartbeat, temperature));
    assert!(plc.process.state.t > 114.2, "nobody cools: {}", plc.process.state.t);
    plc.run();
    run(&mut plc, &mut hand, 2);
    assert_ne!(plc.read(Signal::PlcHb), heartbeat);
}

#[test]
fn power_cycle_reads_zero_and_keeps_or_forgets() {
    for (retained, sequence, feed) in [(Retained::Kept, true, 144.0), (Retained::Zeroed, false, 140.0)] {
        let (mut plc, mut hand) = (plc(), Hand::to([144.0, 114.0]));
        run(&mut plc, &mut hand, 120);
        hand.alive = false;
        plc.power_cycle(retained, Duration::from_secs(10));
        for _ in 0..99 {
            plc.scan();
            assert_eq!(plc.read(Signal::TempPv), PlcValue::Real(0.0));
            assert_eq!(plc.write(Signal::AppHb, PlcValue::UInt(9)), WriteResult::Refused);
        }
        run(&mut plc, &mut hand, 1);
        let t = plc.truth();
        assert_eq!(t.plc, PlcState::Run);
        assert_eq!(plc.read(Signal::FeedSeq) != PlcValue::UInt(0), sequence);
        assert_eq!(t.panel.enable, retained == Retained::Kept);
        assert_eq!(plc.read(Signal::FeedSpAct), PlcValue::Real(feed));
        assert!(!t.link.x_closed_loop && !t.link.x_link_ok, "a frozen heartbeat is none");
        assert!((plc.read(Signal::TempPv).number() - 114.0).abs() < 1.0);
    }
}

#[test]
fn write_faults() {
    let mut plc = plc();
    let sp = Signal::FeedSp;
    assert_eq!(plc.write(sp, PlcValue::Real(150.0)), WriteResult::Done);
    assert_eq!(plc.write(sp, PlcValue::UInt(150)), WriteResult::WrongType);
    assert_eq!(plc.write(Signal::FeedHi, PlcValue::Real(1.0)), WriteResult::Refused, "not in the write area");
    plc.set_write_fault(sp, Some(WriteFault::Clamp { low: 80.0, high: 155.0, silent: false }));
    assert_eq!(plc.write(sp, PlcValue::Real(190.0)), WriteResult::Clamped);
    assert_eq!(plc.read(sp), PlcValue::Real(155.0));
    plc.set_write_fault(sp, Some(WriteFault::Clamp { low: 80.0, high: 154.0, silent: true }));
    assert_eq!(plc.write(sp, PlcValue::Real(190.0)), WriteResult::Done);
    assert_eq!(plc.read(sp), PlcValue::Real(154.0));
    plc.set_write_fault(sp, Some(WriteFault::Ignore));
    assert_eq!(plc.write(sp, PlcValue::Real(151.0)), WriteResult::Done);
    assert_eq!(plc.read(sp), PlcValue::Real(154.0));
    plc.set_write_fault(sp, Some(WriteFault::Refuse));
    assert_eq!(plc.write(sp, PlcValue::Real(151.0)), WriteResult::Refused);
    plc.set_write_fault(sp, None);
    assert_eq!(plc.write(sp, PlcValue::Real(151.0)), WriteResult::Done);
}

#[test]
fn foreign_writer_moves_the_setpoint_while_the_runtime_is_in_control() {
    let (mut plc, mut hand) = (plc(), Hand::to([140.0, 114.0]));
    run(&mut plc, &mut hand, 35);
    assert!(plc.truth().mvs[0].gate.x_in_control);
    plc.foreign_write(MvName::Feed, 147.0);
    plc.scan();
    assert!(plc.read(Signal::FeedSpAct).number() > 140.05);
}

#[test]
fn slave_in_manual_gives_up_control_of_that_mv_only() {
    let (mut plc, mut hand) = (plc(), Hand::to([140.0, 114.0]));
    run(&mut plc, &mut hand, 35);
    plc.panel.mv(MvName::Feed).slave = SlaveMode::Manual;
    plc.panel.mv(MvName::Feed).manual_output = Some(150.0);
    run(&mut plc, &mut hand, 30);
    let t = plc.truth();
    assert!(!t.mvs[0].gate.x_in_control && t.mvs[1].gate.x_in_control && t.link.x_closed_loop);
    assert!((t.feed.flow - 150.0).abs() < 0.1, "{}", t.feed.flow);
    let panel = plc.panel.mv(MvName::Feed);
    (panel.slave, panel.manual_output, panel.local_setpoint) = (SlaveMode::Auto, None, 150.0);
    let largest = run(&mut plc, &mut hand, 5);
    assert!(plc.truth().mvs[0].gate.x_in_control);
    assert!(largest > 1.0, "the operator's own new setpoint may step: it is his");
    assert!((plc.read(Signal::FeedSpAct).number() - 150.0).abs() < 1e-3);
}

#[test]
fn forced_signals_stay_and_mislead_the_slave() {
    let mut plc = plc();
    plc.force(Signal::TempPv, Some(PlcValue::Real(110.0)));
    for _ in 0..1800 {
        plc.scan();
    }
    assert_eq!(plc.read(Signal::TempPv), PlcValue::Real(110.0));
    assert!(plc.process.state.t > 115.0, "TIC-101 heats against a stuck transmitter: {}", plc.process.state.t);
    plc.force(Signal::TempPv, Some(PlcValue::Real(f32::NAN)));
    plc.scan();
    let output = plc.read(Signal::TempOut);
    assert!(output.number().is_finite());
    plc.force(Signal::TempPv, None);
    plc.scan();
    assert!(plc.read(Signal::TempPv).number() > 115.0);
}

#[test]
fn an_unapproved_signature_never_closes() {
    let (mut plc, mut hand) = (plc(), Hand::to([140.0, 114.0]));
    plc.panel.approved_signature = 7;
    run(&mut plc, &mut hand, 40);
    assert!(!plc.truth().link.x_closed_loop);
    plc.write(Signal::AppSignature, PlcValue::UDInt(7));
    run(&mut plc, &mut hand, 2);
    assert!(plc.truth().link.x_closed_loop);
    plc.panel.approved_signature = 8;
    run(&mut plc, &mut hand, 1);
    assert_eq!(plc.truth().link.i_shed_reason, shed::SIGNATURE);
}

#[test]
fn invalid_or_far_values_are_refused_by_the_gate() {
    let (mut plc, mut hand) = (plc(), Hand::to([140.0, 114.0]));
    run(&mut plc, &mut hand, 35);
    let mut offer = |value: f32, valid: bool, sequence: u16| {
        plc.write(Signal::FeedSp, PlcValue::Real(value));
        plc.write(Signal::FeedValid, PlcValue::Bool(valid));
        plc.write(Signal::FeedSeq, PlcValue::UInt(sequence));
        plc.scan();
        plc.read(Signal::FeedReject)
    };
    assert_eq!(offer(f32::NAN, true, 900), PlcValue::Int(reject::NOT_FINITE));
    assert_eq!(offer(141.0, false, 901), PlcValue::Int(reject::NOT_VALID));
    assert_eq!(offer(79.0, true, 902), PlcValue::Int(reject::ENGINEERING_LIMIT));
    assert_eq!(offer(151.0, true, 903), PlcValue::Int(reject::JUMP));
    assert_eq!(offer(141.0, true, 904), PlcValue::Int(reject::OK));
}

#[test]
fn same_seed_same_bits() {
    let hour = |seed| {
        let mut plc = SimPlc::new(PlcOptions { seed, ..PlcOptions::default() });
        plc.panel.enable = true;
        let mut hand = Hand::to([200.0, 120.0]);
        run(&mut plc, &mut hand, 600);
        plc
    };
    assert_eq!(hour(3), hour(3));
    assert_ne!(hour(3), hour(4));
}
