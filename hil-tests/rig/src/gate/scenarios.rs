//! The twelve fault scenarios of the gate blocks, with the numbers that the blocks' Python port prints.
//!
//! Time runs in tenths of a second (one scan); every scenario starts with a local setpoint of 140 and limits 0-200 (operator)
//! and 0-250 (engineering), 1 EU/s, jump 20, data time-out 60 s, heartbeat time-out 5 s.

use super::link::{ApcLink, ApcLinkFromApp, LinkInputs, LinkSettings, shed};
use super::setpoint::{ApcSp, SpInputs, SpSettings, reject};

const SCAN_MS: u32 = 100;

/// What the world does to the blocks at a time in tenths of a second.
struct World {
    hb: fn(u32) -> u16,
    seq: fn(u32) -> u16,
    sp: fn(u32) -> f32,
    enable: fn(u32) -> bool,
    ready: fn(u32) -> bool,
    op_hi: fn(u32) -> f32,
    operator_sets: fn(u32) -> Option<f32>,
    fallback: Option<f32>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            hb: |t| (t / 10) as u16,
            seq: |t| (t / 50) as u16,
            sp: |_| 150.0,
            enable: |_| true,
            ready: |_| true,
            op_hi: |_| 200.0,
            operator_sets: |_| None,
            fallback: None,
        }
    }
}

/// One scan of a run, after the blocks were called.
struct Row {
    t: u32,
    closed: bool,
    in_control: bool,
    out: f32,
    local: f32,
    reject: i16,
}

struct Run {
    rows: Vec<Row>,
    largest_step: f32,
    link: ApcLink,
    sp: ApcSp,
}

impl Run {
    /// First time in tenths at which `f` holds.
    fn first(&self, f: impl Fn(&Row) -> bool) -> Option<u32> {
        self.rows.iter().find(|r| f(r)).map(|r| r.t)
    }

    fn last(&self) -> &Row {
        self.rows.last().expect("a run has rows")
    }

    /// The promise of every scenario: no step larger than rate x scan (one rounding of REAL near 200 is 1.5e-5). An operator's own
    /// new setpoint is his.
    fn steps_are_small(&self) {
        assert!(self.largest_step <= 0.1 + 2e-5, "largest step {}", self.largest_step);
    }
}

fn run(seconds: u32, world: &World) -> Run {
    let link_settings = LinkSettings::default();
    let settings = SpSettings {
        r_eng_lo: 0.0,
        r_eng_hi: 250.0,
        r_rate_up: 1.0,
        r_rate_dn: 1.0,
        r_max_jump: 20.0,
        data_timeout_ms: 60_000,
        x_shed_to_fb: world.fallback.is_some(),
        r_sp_fallback: world.fallback.unwrap_or(0.0),
    };
    let (mut link, mut sp) = (ApcLink::default(), ApcSp::default());
    let mut local = 140.0;
    let mut out = Run { rows: Vec::new(), largest_step: 0.0, link, sp };
    let mut before = local;
    for t in 0..seconds * 10 {
        let app = ApcLinkFromApp { ui_hb: (world.hb)(t), i_mode: 2, ..Default::default() };
        let inputs = LinkInputs { app, x_oper_enable: (world.enable)(t), x_permit: true, udi_sig_ok: 0 };
        link.scan(&inputs, &link_settings, SCAN_MS);
        let operator = (world.operator_sets)(t);
        local = operator.unwrap_or(local);
        let inputs = SpInputs {
            x_closed_loop: link.plc.x_closed_loop,
            x_mv_enable: true,
            x_loop_ready: (world.ready)(t),
            r_sp_app: (world.sp)(t),
            ui_seq_app: (world.seq)(t),
            x_valid_app: true,
            r_op_lo: 0.0,
            r_op_hi: (world.op_hi)(t),
        };
        sp.scan(&inputs, &settings, &mut local, SCAN_MS);
        if operator.is_none() {
            out.largest_step = out.largest_step.max((sp.r_sp_out - before).abs());
        }
        before = sp.r_sp_out;
        out.rows.push(Row {
            t,
            closed: link.plc.x_closed_loop,
            in_control: sp.x_in_control,
            out: sp.r_sp_out,
            local,
            reject: sp.i_reject,
        });
    }
    out.link = link;
    out.sp = sp;
    out
}

fn near(got: f32, want: f32) {
    assert!((got - want).abs() < 1e-4, "got {got}, want {want}");
}

#[test]
fn s01_normal_start() {
    let r = run(120, &World::default());
    assert_eq!(r.first(|r| r.closed), Some(129), "closed 12.9 s after the start");
    assert_eq!(r.first(|r| r.in_control), Some(129));
    near(r.last().out, 150.0);
    assert_eq!(r.sp.ui_seq_ack, 23);
    assert!((r.largest_step - 0.1).abs() < 2e-5, "it does use its rate: {}", r.largest_step);
    r.steps_are_small();
}

#[test]
fn s02_heartbeat_stops_at_60() {
    let r = run(120, &World { hb: |t| (t.min(600) / 10) as u16, ..World::default() });
    assert_eq!(r.first(|r| r.t > 600 && !r.closed), Some(650), "sheds after the time-out");
    assert_eq!(r.link.plc.i_shed_reason, shed::HEARTBEAT);
    near(r.last().out, 150.0);
    near(r.last().local, 150.0);
    assert!(r.link.latched());
    assert_eq!(r.link.plc.ui_shed_count, 1);
    r.steps_are_small();
}

#[test]
fn s03_nan_after_40() {
    let r = run(60, &World { sp: |t| if t > 400 { f32::NAN } else { 150.0 }, ..World::default() });
    assert_eq!(r.sp.i_reject, reject::NOT_FINITE);
    near(r.last().out, 150.0);
    assert!(r.sp.x_in_control);
    r.steps_are_small();
}

#[test]
fn s04_sequence_frozen_at_60() {
    let r = run(200, &World { seq: |t| (t.min(600) / 50) as u16, ..World::default() });
    assert_eq!(r.first(|r| r.t > 600 && !r.in_control), Some(1201), "the MV sheds 60 s after the last accepted value");
    assert!(r.link.plc.x_closed_loop);
    r.steps_are_small();
}

#[test]
fn s05_frozen_heartbeat_at_start_never_closes() {
    let r = run(60, &World { hb: |_| 777, ..World::default() });
    assert_eq!(r.first(|r| r.closed), None);
    r.steps_are_small();
}

#[test]
fn s06_operator_lowers_the_limit_below_the_setpoint() {
    let r = run(120, &World { op_hi: |t| if t > 600 { 130.0 } else { 200.0 }, ..World::default() });
    near(r.last().out, 130.0);
    assert!(r.sp.x_lim_hi);
    r.steps_are_small();
}

#[test]
fn s07_heartbeat_wraps() {
    let r = run(60, &World { hb: |t| 65_530u16.wrapping_add((t / 10) as u16), ..World::default() });
    assert!(r.last().closed);
    assert_eq!(r.link.plc.ui_shed_count, 0);
    r.steps_are_small();
}

#[test]
fn s08_fallback_ramp() {
    let r = run(200, &World { hb: |t| (t.min(600) / 10) as u16, fallback: Some(120.0), ..World::default() });
    near(r.last().local, 120.0);
    r.steps_are_small();
}

#[test]
fn s08b_operator_takes_over_during_the_fallback() {
    let r = run(
        200,
        &World {
            hb: |t| (t.min(600) / 10) as u16,
            fallback: Some(100.0),
            operator_sets: |t| (t == 750).then_some(135.0),
            ..World::default()
        },
    );
    near(r.last().local, 135.0);
    r.steps_are_small();
}

#[test]
fn s09_slave_to_manual_and_back() {
    let r = run(
        120,
        &World { ready: |t| !(t > 500 && t < 700), operator_sets: |t| (t == 550).then_some(137.0), ..World::default() },
    );
    near(r.rows[690].out, 137.0);
    near(r.last().out, 150.0);
    r.steps_are_small();
}

#[test]
fn s10_jump_is_refused() {
    let r = run(120, &World { sp: |t| if t > 600 && t < 800 { 250.0 } else { 150.0 }, ..World::default() });
    assert_eq!(r.rows[700].reject, reject::JUMP);
    near(r.rows[700].out, 150.0);
    near(r.last().out, 150.0);
    r.steps_are_small();
}

#[test]
fn s11_all_values_refused() {
    let r = run(160, &World { sp: |t| if t > 600 { 400.0 } else { 150.0 }, ..World::default() });
    assert_eq!(r.first(|r| r.t > 600 && !r.in_control), Some(1201), "a refused value does not restart the timer");
    assert_eq!(r.sp.i_reject, reject::ENGINEERING_LIMIT);
    r.steps_are_small();
}

#[test]
fn s12_heartbeat_gap_and_operator_re_enable() {
    let r = run(
        160,
        &World {
            hb: |t| if !(600..=900).contains(&t) { (t / 10) as u16 } else { 60 },
            enable: |t| !(t > 1000 && t < 1010),
            ..World::default()
        },
    );
    assert!(!r.rows.iter().any(|r| r.t > 700 && r.t < 1000 && r.closed), "latched until the operator asks");
    assert_eq!(r.first(|r| r.t > 1010 && r.closed), Some(1019));
    r.steps_are_small();
}
