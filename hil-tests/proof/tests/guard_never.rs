//! Promise: whatever the guard is told, it never lets a setpoint pass that breaks a limit, a rate, the hourly travel, or a missing permission.
//!
//! Ten million random cycles over random MVs, hostile numbers and clock gaps. What must hold is worked out here from the log of writes, with
//! nothing of the guard's own. `FLYBALL_SEED=N` repeats a run, `FLYBALL_CYCLES=N` makes it longer.

use std::collections::VecDeque;
use std::time::Duration;

use flyball_config::units::{Unit, UnitRow};
use flyball_config::{EuRange, Mv, OutputId, TagId, Verify};
use flyball_core::guard::{MvFacts, MvGuard, OperatorLimits, Request};
use flyball_core::time::Timestamp;

const MS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MS;
/// Cycles of one MV before another is drawn.
const CYCLES_PER_MV: u64 = 20_000;
static ONE: UnitRow = UnitRow { symbol: "1", unit_id: -1, display: "", description: "" };

/// SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mostly near the limits, sometimes what no plant would say.
    fn number(&mut self, limits: EuRange) -> f64 {
        let span = limits.high - limits.low;
        match self.next() % 24 {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => f64::MIN_POSITIVE / 4.0,
            4 => 1e308,
            5 => -1e308,
            6 => limits.low,
            7 => limits.high,
            _ => self.between(limits.low - span, limits.high + span),
        }
    }
}

fn random_mv(rng: &mut Rng) -> Mv {
    let low = rng.between(-200.0, 200.0);
    let limits = EuRange { low, high: low + rng.between(0.5, 300.0) };
    let span = limits.high - limits.low;
    let move_up = rng.between(0.001, 0.5) * span;
    Mv {
        name: "mv".into(),
        text: String::new(),
        unit: Unit(&ONE),
        limits,
        write: OutputId(0),
        sequence: OutputId(1),
        valid: None,
        readback: TagId(0),
        in_control: TagId(1),
        ack: None,
        operator_low: None,
        operator_high: None,
        limited_high: None,
        limited_low: None,
        move_up,
        move_down: rng.between(0.001, 0.5) * span,
        move_per: Duration::from_millis(1 + rng.next() % 120_000),
        deadband: if rng.one_in(3) { 0.0 } else { rng.between(0.0, 0.3) * move_up },
        move_cost: 0.0,
        refresh: Duration::from_millis(1 + rng.next() % 60_000),
        verify: Verify { within: rng.between(0.0, 0.2) * span, by: Duration::from_millis(rng.next() % 10_000) },
        travel_per_hour: (!rng.one_in(4)).then(|| rng.between(0.1, 5.0) * span),
        critical: false,
    }
}

/// The log of one MV's writes, and what may be said from it.
struct Judge {
    mv: Mv,
    /// (time, move) of every write that moved, of the last hour.
    moves: VecDeque<(u64, f64)>,
    travelled: f64,
    /// No write since entry.
    fresh: bool,
    sequence: Option<u16>,
}

impl Judge {
    /// Fails with the name of the rule that was broken.
    fn check(&mut self, facts: &MvFacts, ask: &Request, x: f64) -> Result<(), &'static str> {
        let must = |holds: bool, rule| if holds { Ok(()) } else { Err(rule) };
        let mv = &self.mv;
        must(x.is_finite(), "finite")?;
        must(ask.permitted, "permitted")?;
        must(facts.in_control, "in control")?;
        must(ask.in_time, "in time")?;
        let from = facts.readback.ok_or("read-back")?;
        must(from.is_finite(), "finite read-back")?;
        must(mv.limits.low <= x && x <= mv.limits.high, "engineering limits")?;
        match facts.operator {
            OperatorLimits::None => {}
            OperatorLimits::Known(low, high) => must(low <= x && x <= high, "operator limits")?,
            OperatorLimits::Unreadable => return Err("unreadable operator limits"),
        }
        let delta = x - from;
        let clamped = facts.limited_high && delta > 0.0 || facts.limited_low && delta < 0.0;
        must(!clamped, "clamped direction")?;
        let may_move = ask.trusted && !ask.hold && ask.target.is_some_and(f64::is_finite);
        must(may_move || delta == 0.0, "no move without trust, in hold, or without a target")?;
        must(!self.fresh || delta == 0.0, "first write equals the read-back")?;
        must(delta == 0.0 || delta.abs() >= mv.deadband, "deadband")?;
        let (now, per) = (ask.now.0, mv.move_per.as_nanos() as u64);
        self.moves.push_back((now, delta));
        self.travelled += delta.abs();
        while self.moves.front().is_some_and(|(at, _)| now - at >= HOUR) {
            self.travelled -= self.moves.pop_front().map_or(0.0, |(_, d)| d.abs());
        }
        let slack = 1e-9 * (1.0 + mv.limits.high.abs() + mv.limits.low.abs());
        let recent = self.moves.iter().rev().take_while(|(at, _)| now - at < per);
        let (up, down) = recent.fold((0.0, 0.0), |(u, d), (_, m)| (u + m.max(0.0), d + (-m).max(0.0)));
        must(up <= mv.move_up + slack, "moves up in a period")?;
        must(down <= mv.move_down + slack, "moves down in a period")?;
        must(mv.travel_per_hour.is_none_or(|most| self.travelled <= most + 1e3 * slack), "travel in an hour")
    }
}

struct Tally {
    writes: u64,
    moves: u64,
    first: u64,
}

fn run(seed: u64, cycles: u64) -> Tally {
    let mut tally = Tally { writes: 0, moves: 0, first: 0 };
    for nth in 0..cycles.div_ceil(CYCLES_PER_MV) {
        let mut rng = Rng(seed.wrapping_add(nth.wrapping_mul(0xA076_1D64_78BD_642F)));
        let mv = random_mv(&mut rng);
        let limits = mv.limits;
        let mut guard = MvGuard::new(&mv);
        let mut judge = Judge { mv, moves: VecDeque::new(), travelled: 0.0, fresh: true, sequence: None };
        let (mut at, mut now) = (rng.between(limits.low, limits.high), 0u64);
        // A mood lasts a while: a hostile one breaks something in nearly every cycle, a calm one lets moves add up.
        let mut hostile = 8;
        for cycle in 0..CYCLES_PER_MV {
            if rng.one_in(500) {
                hostile = [2, 8, 50, 1_000][(rng.next() % 4) as usize];
            }
            now += match rng.next() % 64 {
                0 => 0,
                1 => rng.next() % (2 * HOUR),
                2..=5 => rng.next() % (90_000 * MS),
                _ => 1_000 * MS,
            };
            let odd = |rng: &mut Rng| rng.one_in(hostile);
            let operator = if odd(&mut rng) {
                match rng.next() % 3 {
                    0 => OperatorLimits::Known(rng.number(limits), rng.number(limits)),
                    1 => OperatorLimits::Unreadable,
                    _ => OperatorLimits::Known(at - rng.between(0.0, 5.0), at + rng.between(0.0, 5.0)),
                }
            } else {
                OperatorLimits::None
            };
            let facts = MvFacts {
                readback: if odd(&mut rng) {
                    rng.next().is_multiple_of(2).then(|| rng.number(limits))
                } else {
                    Some(at)
                },
                in_control: !odd(&mut rng),
                operator,
                limited_high: odd(&mut rng),
                limited_low: odd(&mut rng),
            };
            let ask = Request {
                now: Timestamp(now),
                permitted: !odd(&mut rng),
                in_time: !odd(&mut rng),
                trusted: !odd(&mut rng),
                hold: odd(&mut rng),
                target: (!odd(&mut rng)).then(|| rng.number(limits)),
            };
            if odd(&mut rng) {
                guard.restore();
            }
            let (setpoint, report) = guard.judge(&facts, &ask);
            if !(ask.permitted && facts.in_control) {
                judge.fresh = true;
            }
            let was = judge.sequence.replace(report.sequence).unwrap_or(0);
            let step = u16::from(setpoint.is_some());
            assert_eq!(
                report.sequence,
                was.wrapping_add(step),
                "one number per write: seed {seed}, MV {nth}, cycle {cycle}"
            );
            let Some(setpoint) = setpoint else { continue };
            let x = setpoint.value().get();
            if let Err(rule) = judge.check(&facts, &ask, x) {
                panic!("{rule}: seed {seed}, MV {nth}, cycle {cycle}: wrote {x}\n{facts:?}\n{ask:?}\n{:?}", judge.mv);
            }
            tally.writes += 1;
            tally.first += u64::from(judge.fresh);
            judge.fresh = false;
            let from = facts.readback.unwrap_or(at);
            tally.moves += u64::from((x - from).abs() > 0.0);
            // Mostly the plant follows; now and then it ignores the write, or somebody else moves it.
            at = match rng.next() % 16 {
                0 => at,
                1 => rng.between(limits.low, limits.high),
                _ => x,
            };
        }
    }
    tally
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a whole number"))
}

#[test]
fn ten_million_random_cycles() {
    let (seed, cycles) = (from_environment("FLYBALL_SEED", 1), from_environment("FLYBALL_CYCLES", 10_000_000));
    println!("FLYBALL_SEED={seed} FLYBALL_CYCLES={cycles}");
    let Tally { writes, moves, first } = run(seed, cycles);
    println!("{cycles} cycles: {writes} writes, {moves} moves, {first} entries");
    assert!(writes > cycles / 50 && moves > cycles / 500 && first > cycles / 500, "too few writes to mean something");
}
