//! Why: seeded random scenarios of the gate blocks with every input and output of every scan, so that an interpreter of the structured text
//! can be laid beside the Rust port (`hil-tests/interop/plckit_check.py`).
//!
//!     cargo run --release -p flyball-rig --example gate_trace -- FIRST_SEED SCENARIOS SCANS
//!
//! One line per scenario (`S`: settings), per cold start of the PLC (`P`), per scan (`R`: inputs, `|`, outputs). REAL is written as its
//! bits, BOOL as 0 or 1, TIME in ms. A *blip* is a condition that is wrong for a random number of scans.

use std::io::{BufWriter, Write};

use flyball_rig::gate::link::{ApcLink, ApcLinkFromApp, LinkInputs, LinkSettings};
use flyball_rig::gate::setpoint::{ApcSp, SpInputs, SpSettings};
use flyball_rig::random::Random;

/// Chances per scan.
const BLIP: f64 = 1.0 / 250.0;
const RARE: f64 = 1.0 / 1_200.0;
/// A blip lasts at most so many scans.
const BLIP_SCANS: u32 = 250;

fn main() -> std::io::Result<()> {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let [first, scenarios, scans] = arguments[..] else {
        eprintln!("usage: gate_trace FIRST_SEED SCENARIOS SCANS");
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for seed in first..first + scenarios {
        scenario(seed, scans, &mut out)?;
    }
    out.flush()
}

/// A condition that is mostly right.
#[derive(Default)]
struct Blip {
    left: u32,
}

impl Blip {
    /// TRUE while all is well.
    fn good(&mut self, random: &mut Random, chance: f64) -> bool {
        if self.left > 0 {
            self.left -= 1;
        } else if random.uniform() < chance {
            self.left = 1 + below(random, BLIP_SCANS);
        }
        self.left == 0
    }
}

fn below(random: &mut Random, end: u32) -> u32 {
    (random.uniform() * f64::from(end)) as u32
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[below(random, from.len() as u32) as usize]
}

fn between(random: &mut Random, low: f32, high: f32) -> f32 {
    low + (high - low) * random.uniform() as f32
}

fn settings(random: &mut Random) -> (LinkSettings, SpSettings, u32) {
    let link = LinkSettings {
        hb_timeout_ms: pick(random, &[1_500, 5_000, 12_345]),
        healthy_ms: pick(random, &[500, 2_000]),
        x_return: random.uniform() < 0.5,
    };
    let low = between(random, -50.0, 100.0);
    let high = low + between(random, 20.0, 200.0);
    // A rate of zero is an engineer's mistake: the block must refuse to move at all.
    let wrong = random.uniform() < 0.15;
    let sp = SpSettings {
        r_eng_lo: low,
        r_eng_hi: high,
        r_rate_up: if wrong { 0.0 } else { between(random, 0.1, 8.0) },
        r_rate_dn: between(random, 0.1, 8.0),
        r_max_jump: between(random, 2.0, 30.0),
        data_timeout_ms: pick(random, &[4_000, 10_000, 60_000]),
        x_shed_to_fb: random.uniform() < 0.5,
        r_sp_fallback: between(random, low, high),
    };
    (link, sp, pick(random, &[50, 100, 200]))
}

/// A recommendation: mostly near, sometimes anywhere, sometimes none at all.
fn recommendation(random: &mut Random, sp: &SpSettings, now: f32) -> f32 {
    match below(random, 20) {
        0 => pick(random, &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0e30, -1.0e30, 3.0e38]),
        1 => pick(random, &[sp.r_eng_lo, sp.r_eng_hi]),
        2 => now + pick(random, &[sp.r_max_jump, -sp.r_max_jump]),
        3 | 4 => between(random, sp.r_eng_lo - 30.0, sp.r_eng_hi + 30.0),
        _ => now + between(random, -sp.r_max_jump, sp.r_max_jump) * 0.5,
    }
}

/// One limit of the operator: inside, outside, crossed, or not a number.
fn operator_limit(random: &mut Random, sp: &SpSettings) -> f32 {
    if random.uniform() < 0.03 { f32::NAN } else { between(random, sp.r_eng_lo - 10.0, sp.r_eng_hi + 10.0) }
}

fn scenario(seed: u64, scans: u64, out: &mut impl Write) -> std::io::Result<()> {
    let mut r = Random::new(seed);
    let (link_settings, sp_settings, scan_ms) = settings(&mut r);
    let sig_ok = if r.uniform() < 0.3 { 0 } else { r.next_u64() as u32 };
    write_settings(out, seed, &link_settings, &sp_settings, sig_ok, scan_ms)?;
    let (mut link, mut sp) = (ApcLink::default(), ApcSp::default());
    let [mut beats, mut mode, mut sign, mut enable, mut permit] = [(); 5].map(|()| Blip::default());
    let [mut mv_enable, mut ready, mut valid, mut thinking] = [(); 4].map(|()| Blip::default());
    let mut app = ApcLinkFromApp { ui_hb: r.next_u64() as u16, ..ApcLinkFromApp::default() };
    let (mut r_sp_app, mut ui_seq_app) = (0.0, r.next_u64() as u16);
    let (mut r_op_lo, mut r_op_hi) = (sp_settings.r_eng_lo, sp_settings.r_eng_hi);
    let mut local = between(&mut r, sp_settings.r_eng_lo, sp_settings.r_eng_hi);
    let (beat_every, think_every) = (5 + below(&mut r, 10), 5 + below(&mut r, 25));
    for scan in 0..scans as u32 {
        if r.uniform() < RARE {
            (link, sp) = (ApcLink::default(), ApcSp::default());
            writeln!(out, "P")?;
        }
        if beats.good(&mut r, BLIP / 2.0) && scan % beat_every == 0 {
            app.ui_hb = if r.uniform() < 0.01 { r.next_u64() as u16 } else { app.ui_hb.wrapping_add(1) };
        }
        app.ui_hb_echo = link.plc.ui_hb;
        app.i_mode = if mode.good(&mut r, RARE) { 2 } else { pick(&mut r, &[0, 1, 1, 2]) };
        app.udi_sig = if sign.good(&mut r, RARE) { sig_ok } else { r.next_u64() as u32 };
        app.w_status = r.next_u64() as u16;
        if thinking.good(&mut r, BLIP / 2.0) && scan % think_every == 0 {
            r_sp_app = recommendation(&mut r, &sp_settings, sp.r_sp_out);
            ui_seq_app = ui_seq_app.wrapping_add(1);
        }
        if r.uniform() < BLIP {
            (r_op_lo, r_op_hi) = (operator_limit(&mut r, &sp_settings), operator_limit(&mut r, &sp_settings));
        } else if r.uniform() < 3.0 * BLIP {
            (r_op_lo, r_op_hi) = (sp_settings.r_eng_lo - 1.0, sp_settings.r_eng_hi + 1.0);
        }
        // The operator types a setpoint, now and then while he is not asked.
        if r.uniform() < if sp.x_in_control { RARE } else { BLIP } {
            local = between(&mut r, sp_settings.r_eng_lo - 5.0, sp_settings.r_eng_hi + 5.0);
        }
        let inputs = LinkInputs {
            app,
            x_oper_enable: enable.good(&mut r, BLIP),
            x_permit: permit.good(&mut r, RARE),
            udi_sig_ok: sig_ok,
        };
        link.scan(&inputs, &link_settings, scan_ms);
        let sp_inputs = SpInputs {
            x_closed_loop: link.plc.x_closed_loop,
            x_mv_enable: mv_enable.good(&mut r, RARE),
            x_loop_ready: ready.good(&mut r, RARE),
            r_sp_app,
            ui_seq_app,
            x_valid_app: valid.good(&mut r, RARE),
            r_op_lo,
            r_op_hi,
        };
        let before = local;
        sp.scan(&sp_inputs, &sp_settings, &mut local, scan_ms);
        write_scan(out, &inputs, &sp_inputs, before, &link, &sp, local)?;
    }
    Ok(())
}

fn write_settings(
    out: &mut impl Write,
    seed: u64,
    link: &LinkSettings,
    sp: &SpSettings,
    sig_ok: u32,
    scan_ms: u32,
) -> std::io::Result<()> {
    // As the port computes it; in the PLC it is an input of the block.
    let r_dt = scan_ms as f32 / 1_000.0;
    writeln!(
        out,
        "S {seed} {scan_ms} {} {} {} {sig_ok} {:08x} {:08x} {:08x} {:08x} {:08x} {} {} {:08x} {:08x}",
        link.hb_timeout_ms,
        link.healthy_ms,
        u8::from(link.x_return),
        sp.r_eng_lo.to_bits(),
        sp.r_eng_hi.to_bits(),
        sp.r_rate_up.to_bits(),
        sp.r_rate_dn.to_bits(),
        sp.r_max_jump.to_bits(),
        sp.data_timeout_ms,
        u8::from(sp.x_shed_to_fb),
        sp.r_sp_fallback.to_bits(),
        r_dt.to_bits()
    )
}

fn write_scan(
    out: &mut impl Write,
    link: &LinkInputs,
    input: &SpInputs,
    before: f32,
    after: &ApcLink,
    sp: &ApcSp,
    local: f32,
) -> std::io::Result<()> {
    let flag = u8::from;
    let (app, plc) = (&link.app, &after.plc);
    write!(out, "R {} {} {} {} {}", app.ui_hb, app.ui_hb_echo, app.i_mode, app.w_status, app.udi_sig)?;
    write!(out, " {} {}", flag(link.x_oper_enable), flag(link.x_permit))?;
    write!(out, " {} {}", flag(input.x_mv_enable), flag(input.x_loop_ready))?;
    write!(out, " {:08x} {} {}", input.r_sp_app.to_bits(), input.ui_seq_app, flag(input.x_valid_app))?;
    write!(out, " {:08x} {:08x} {:08x} |", input.r_op_lo.to_bits(), input.r_op_hi.to_bits(), before.to_bits())?;
    write!(out, " {} {} {} {}", plc.ui_hb, plc.i_mode_req, flag(plc.x_closed_loop), flag(plc.x_link_ok))?;
    write!(out, " {} {}", plc.i_shed_reason, plc.ui_shed_count)?;
    write!(out, " {:08x} {} {} {}", sp.r_sp_out.to_bits(), flag(sp.x_in_control), sp.ui_seq_ack, sp.i_reject)?;
    writeln!(out, " {} {} {:08x}", flag(sp.x_lim_hi), flag(sp.x_lim_lo), local.to_bits())
}
