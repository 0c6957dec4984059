//! Tests of the guard: tables for each rule, and a seeded property run over hostile inputs.

use super::*;
use flyball_config::units::{Unit, UnitRow};
use flyball_config::{OutputId, TagId, Verify};
use std::time::Duration;

const S: u64 = 1_000_000_000;
static ONE: UnitRow = UnitRow { symbol: "1", unit_id: -1, display: "", description: "" };

fn mv() -> Mv {
    Mv {
        name: "feed".into(),
        text: String::new(),
        unit: Unit(&ONE),
        limits: EuRange { low: 80.0, high: 200.0 },
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
        move_up: 2.0,
        move_down: 4.0,
        move_per: Duration::from_secs(30),
        deadband: 0.2,
        move_cost: 0.0,
        refresh: Duration::from_secs(20),
        verify: Verify { within: 0.1, by: Duration::from_secs(3) },
        travel_per_hour: None,
        critical: false,
    }
}

const PLANT: MvFacts = MvFacts {
    readback: Some(140.0),
    in_control: true,
    operator: OperatorLimits::None,
    limited_high: false,
    limited_low: false,
};

fn ask(second: u64, target: f64) -> Request {
    Request {
        now: Timestamp(second * S),
        permitted: true,
        in_time: true,
        trusted: true,
        hold: false,
        target: Some(target),
    }
}

/// A plant that follows every write at once.
struct Follower {
    guard: MvGuard,
    at: f64,
    log: Vec<(u64, f64)>,
}

impl Follower {
    fn new(mv: &Mv) -> Self {
        Self { guard: MvGuard::new(mv), at: 140.0, log: Vec::new() }
    }

    fn run(&mut self, from: u64, to: u64, target: f64) -> Verdict {
        let mut last = Verdict::Idle;
        for t in from..to {
            let facts = MvFacts { readback: Some(self.at), ..PLANT };
            let (setpoint, report) = self.guard.judge(&facts, &ask(t, target));
            if let Some(s) = setpoint {
                self.at = s.value().get();
                self.log.push((t, self.at));
            }
            last = report.verdict;
        }
        last
    }
}

#[test]
fn first_write_is_the_present_setpoint_then_one_move_per_period() {
    let mut f = Follower::new(&mv());
    f.run(0, 91, 200.0);
    assert_eq!(f.log[0], (0, 140.0));
    assert_eq!(&f.log[1..3], &[(1, 142.0), (21, 142.0)], "a move, then a refresh of the same value");
    let moves: Vec<_> = f.log.windows(2).filter(|w| w[0].1 != w[1].1).map(|w| w[1]).collect();
    assert_eq!(moves, [(1, 142.0), (31, 144.0), (61, 146.0)]);
}

#[test]
fn down_is_faster_than_up() {
    let mut f = Follower::new(&mv());
    f.run(0, 32, 100.0);
    assert_eq!(f.at, 132.0);
}

#[test]
fn limits_hold_and_are_named() {
    let mut f = Follower::new(&mv());
    f.at = 199.5;
    let v = f.run(0, 3, 500.0);
    assert_eq!(f.at, 200.0);
    assert_eq!(v.held_by(), HeldBy::EngineeringHigh);
    let mut g = MvGuard::new(&mv());
    let facts = MvFacts { operator: OperatorLimits::Known(80.0, 141.0), ..PLANT };
    g.judge(&facts, &ask(0, 150.0));
    let (s, r) = g.judge(&facts, &ask(1, 150.0));
    assert_eq!(s.map(|s| s.value().get()), Some(141.0));
    assert_eq!(r.verdict, Verdict::Limited(HeldBy::OperatorHigh));
}

#[test]
fn nothing_is_written_without_permission_control_readback_or_sane_limits() {
    let cases: [(MvFacts, Request, HeldBy); 6] = [
        (PLANT, Request { permitted: false, ..ask(1, 150.0) }, HeldBy::Mode),
        (MvFacts { in_control: false, ..PLANT }, ask(1, 150.0), HeldBy::NotInControl),
        (PLANT, Request { in_time: false, ..ask(1, 150.0) }, HeldBy::Late),
        (MvFacts { readback: None, ..PLANT }, ask(1, 150.0), HeldBy::Quality),
        (MvFacts { operator: OperatorLimits::Known(150.0, 120.0), ..PLANT }, ask(1, 150.0), HeldBy::LimitsCross),
        (MvFacts { operator: OperatorLimits::Unreadable, ..PLANT }, ask(1, 150.0), HeldBy::LimitsCross),
    ];
    for (facts, request, why) in cases {
        let mut g = MvGuard::new(&mv());
        g.judge(&PLANT, &ask(0, 140.0));
        let (setpoint, report) = g.judge(&facts, &request);
        assert_eq!(setpoint, None, "{why:?}");
        assert_eq!(report.verdict.held_by(), why);
    }
}

#[test]
fn hold_and_distrust_freeze_but_keep_refreshing() {
    for request in [Request { hold: true, ..ask(0, 150.0) }, Request { trusted: false, ..ask(0, 150.0) }] {
        let mut g = MvGuard::new(&mv());
        let mut written = Vec::new();
        for t in 0..61 {
            let (s, _) = g.judge(&PLANT, &Request { now: Timestamp(t * S), ..request });
            written.extend(s.map(|s| (t, s.value().get())));
        }
        assert_eq!(written, [(0, 140.0), (20, 140.0), (40, 140.0), (60, 140.0)]);
    }
}

#[test]
fn a_write_that_is_ignored_three_times_takes_the_mv_out_until_restored() {
    let mut g = MvGuard::new(&mv());
    let mut last = GuardReport::default();
    for t in 0..200 {
        last = g.judge(&PLANT, &ask(t, 150.0)).1; // the plant never moves
    }
    assert!(last.out);
    assert_eq!(last.verdict, Verdict::Refused(HeldBy::VerifyFailed));
    g.restore();
    assert!(g.judge(&PLANT, &ask(300, 150.0)).0.is_some());
}

#[test]
fn a_slow_ramp_of_the_plc_is_a_failed_verification_but_no_foreign_writer() {
    let mut g = MvGuard::new(&mv());
    let mut at = 140.0;
    let mut target = at;
    for t in 0..60 {
        at = if target < at { f64::max(target, at - 0.5) } else { f64::min(target, at + 0.5) };
        let (s, r) = g.judge(&MvFacts { readback: Some(at), ..PLANT }, &ask(t, 100.0));
        target = s.map_or(target, |s| s.value().get());
        assert!(!r.foreign && !r.out, "second {t}");
    }
}

#[test]
fn a_foreign_writer_is_named_within_two_scans() {
    let mut f = Follower::new(&mv());
    f.run(0, 5, 200.0);
    let moved = MvFacts { readback: Some(150.0), ..PLANT };
    assert!(!f.guard.judge(&moved, &ask(5, 200.0)).1.foreign);
    assert!(f.guard.judge(&moved, &ask(6, 200.0)).1.foreign);
}

#[test]
fn a_foreign_writer_is_not_answered_by_a_move() {
    let mut f = Follower::new(&mv());
    f.run(0, 40, 142.0);
    for second in [40, 41] {
        let moved = MvFacts { readback: Some(150.0), ..PLANT };
        let (setpoint, report) = f.guard.judge(&moved, &ask(second, 142.0));
        assert_eq!((setpoint, report.foreign), (None, second == 41));
    }
}

#[test]
fn limits_narrowed_and_widened_again_are_no_foreign_writer() {
    let mut f = Follower::new(&mv());
    f.run(0, 5, 200.0);
    assert_eq!(f.at, 142.0);
    for second in 5..20 {
        let high = if second < 8 { 130.0 } else { 200.0 };
        let ramped = MvFacts { readback: Some(130.0), operator: OperatorLimits::Known(80.0, high), ..PLANT };
        assert!(!f.guard.judge(&ramped, &ask(second, 200.0)).1.foreign, "second {second}");
    }
}

#[test]
fn a_clamp_by_the_plc_is_learned_not_failed_and_blocks_that_direction() {
    let mut g = MvGuard::new(&mv());
    let clamped = MvFacts { limited_high: true, ..PLANT };
    g.judge(&PLANT, &ask(0, 150.0));
    g.judge(&PLANT, &ask(1, 150.0));
    for t in 2..100 {
        let (s, r) = g.judge(&clamped, &ask(t, 150.0));
        assert!(s.is_none_or(|s| s.value().get() <= 140.0));
        assert!(!r.out && !r.foreign);
        assert_eq!(r.verdict.held_by(), HeldBy::PlcLimit);
    }
}

#[test]
fn outside_narrowed_operator_limits_it_waits_for_the_plcs_own_ramp() {
    let mut g = MvGuard::new(&mv());
    g.judge(&PLANT, &ask(0, 150.0));
    let narrowed = MvFacts { operator: OperatorLimits::Known(80.0, 130.0), ..PLANT };
    let (s, r) = g.judge(&narrowed, &ask(1, 150.0));
    assert_eq!((s, r.verdict), (None, Verdict::Held(HeldBy::OperatorHigh)));
}

#[test]
fn hourly_travel_is_capped() {
    let mut f = Follower::new(&Mv { travel_per_hour: Some(10.0), ..mv() });
    for i in 0..40 {
        f.run(i * 31, (i + 1) * 31, if i % 2 == 0 { 200.0 } else { 80.0 });
    }
    let travel: f64 = f.log.windows(2).map(|w| (w[1].1 - w[0].1).abs()).sum();
    assert!(travel <= 10.0 && travel > 6.0, "{travel}");
    let before = f.at;
    f.run(40 * 31 + 3700, 40 * 31 + 3760, 200.0);
    assert_ne!(f.at, before, "an hour later it may move again");
}

#[test]
fn sequence_continues_the_plcs_numbering_after_a_restart() {
    let mut g = MvGuard::new(&mv());
    g.adopt_sequence(57);
    assert_eq!(g.judge(&PLANT, &ask(0, 140.0)).1.sequence, 58);
    g.adopt_sequence(3);
    assert_eq!(g.judge(&PLANT, &ask(1, 150.0)).1.sequence, 59, "not while we are writing");
}

/// Small deterministic generator (SplitMix64, Steele et al. 2014) for the property run.
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

    fn number(&mut self) -> f64 {
        match self.next() % 16 {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => f64::MIN_POSITIVE / 4.0,
            4 => 1e308,
            _ => (self.next() % 4000) as f64 / 10.0 - 100.0,
        }
    }
}

#[test]
fn hostile_inputs_never_pass_limits_moves_or_permission() {
    let m = mv();
    for seed in 0..8 {
        let mut rng = Rng(seed);
        let mut guard = MvGuard::new(&m);
        let mut at = 140.0;
        let mut t = 0;
        let mut moves: Vec<(u64, f64)> = Vec::new();
        for _ in 0..50_000 {
            if rng.one_in(60) {
                guard.restore();
            }
            t += if rng.one_in(50) { rng.next() % 5_000 } else { 1 };
            let (low, high) = (80.0 + (rng.next() % 80) as f64, 140.0 + (rng.next() % 100) as f64);
            let operator = match rng.next() % 12 {
                0 => OperatorLimits::Unreadable,
                1 => OperatorLimits::Known(rng.number(), rng.number()),
                2..=4 => OperatorLimits::Known(low, high),
                _ => OperatorLimits::None,
            };
            let facts = MvFacts {
                readback: if rng.one_in(20) {
                    None
                } else if rng.one_in(40) {
                    Some(rng.number())
                } else {
                    Some(at)
                },
                in_control: !rng.one_in(30),
                operator,
                limited_high: rng.one_in(15),
                limited_low: rng.one_in(15),
            };
            let request = Request {
                now: Timestamp(t * S),
                permitted: !rng.one_in(40),
                in_time: !rng.one_in(25),
                trusted: !rng.one_in(10),
                hold: rng.one_in(10),
                target: (!rng.one_in(10)).then(|| rng.number()),
            };
            let Some(setpoint) = guard.judge(&facts, &request).0 else { continue };
            let x = setpoint.value().get();
            let from = facts.readback.expect("no write without a read-back");
            assert!(request.permitted && request.in_time && facts.in_control, "seed {seed} t {t}");
            assert!(m.limits.contains(x), "seed {seed} t {t}: {x}");
            if let OperatorLimits::Known(lo, hi) = facts.operator {
                assert!(lo <= x && x <= hi, "seed {seed} t {t}: {x} outside {lo}..{hi}");
            }
            if facts.limited_high {
                assert!(x <= from);
            }
            moves.push((t, x - from));
            let up: f64 = moves.iter().rev().take_while(|(w, _)| t - w < 30).map(|(_, d)| d.max(0.0)).sum();
            let down: f64 = moves.iter().rev().take_while(|(w, _)| t - w < 30).map(|(_, d)| (-d).max(0.0)).sum();
            assert!(up <= 2.0 + 1e-9 && down <= 4.0 + 1e-9, "seed {seed} t {t}: up {up} down {down}");
            if !rng.one_in(5) {
                at = x; // mostly the plant follows
            }
        }
        assert!(moves.len() > 1000, "the run must write often enough to mean something: {}", moves.len());
    }
}

#[test]
fn what_was_withheld_counts_as_never_written() {
    let mut guard = MvGuard::new(&mv());
    let mut at = |t: u64, withheld: bool| {
        let (setpoint, report) = guard.judge(&PLANT, &ask(t, 200.0));
        if withheld {
            guard.withheld();
            guard.withheld();
        }
        (setpoint.map(|s| s.value().get()), report.sequence)
    };
    assert_eq!(at(0, true), (Some(140.0), 1));
    assert_eq!(at(1, false), (Some(140.0), 1), "the first write after entry is still to come");
    assert_eq!(at(2, true), (Some(142.0), 2));
    assert_eq!(at(3, false), (Some(142.0), 2), "the move was not used up");
    for t in 4..33 {
        assert_ne!(at(t, false).0, Some(142.0), "second {t}: one move in a period");
    }
    assert_eq!(guard.verify_failures, 1, "only what was sent has to arrive");
}
