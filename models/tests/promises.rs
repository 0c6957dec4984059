//! What the optimiser promises for any problem: inside limits and moves, never worse than staying, the same bits, an answer for one iteration.

mod support;

use flyball_core::optimum::{Optimum, Problem, SolveStatus};
use flyball_core::ports::{NoProbe, Optimizer, Phase, Probe};
use flyball_models::NetOptimizer;
use support::{load, r101_mvs, r101_problem, r101_settings, ss};

fn optimiser(iterations: u32) -> NetOptimizer {
    let (model, sources) = ss();
    NetOptimizer::new(&r101_settings(8), &model, &r101_mvs(), 2, &load(&model, &sources))
        .unwrap()
        .with_iterations(iterations)
}

/// xorshift: a seed that is printed is a problem that can be repeated.
struct Random(u64);

impl Random {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + (high - low) * (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn random_problem(random: &mut Random) -> Problem {
    let mut p = r101_problem(0.0, 0.0, random.between(106.0, 126.0), random.between(4.5, 5.7));
    for (i, (low, high)) in [(80.0, 200.0), (105.0, 120.0)].into_iter().enumerate() {
        let mv = &mut p.mvs[i];
        mv.low = random.between(low, 0.5 * (low + high));
        mv.high = random.between(mv.low, high);
        mv.now = random.between(low, high);
        mv.move_up = random.between(0.0, 0.1 * (high - low));
        mv.move_down = random.between(0.0, 0.1 * (high - low));
        mv.free = random.between(0.0, 1.0) > 0.15;
        p.inputs[i] = mv.now;
    }
    p.cvs[0].low = random.between(0.9, 1.15);
    p.cvs[1].high = random.between(1000.0, 9000.0);
    p.cvs[1].active = random.between(0.0, 1.0) > 0.1;
    p.cvs[0].priority = random.between(1.0, 3.99) as u8;
    p.output_bias = [random.between(-0.05, 0.05), random.between(-300.0, 300.0)].into_iter().collect();
    p.prices = [random.between(0.1, 1.0), random.between(0.0, 0.3), random.between(-0.001, 0.01)].into_iter().collect();
    p
}

/// Violations by rank, most important first (CVs that were given up last), in shares of the scale.
fn violations(p: &Problem, given_up: [bool; 2], at: [f64; 2], map: &mut NetOptimizer) -> Vec<f64> {
    let (mut x, mut y) = ([at[0], at[1], p.inputs[2], p.inputs[3]], [0.0; 2]);
    x[2] = x[2].clamp(107.0, 125.0);
    assert!(map.evaluate(&x, &mut y));
    let mut ranked: Vec<(u8, f64)> = Vec::new();
    let given_up_rank = |rank: u8| p.cvs.iter().zip(given_up).any(|(cv, g)| g && cv.priority == rank);
    for cv in p.cvs.iter().filter(|cv| cv.active) {
        let value = y[cv.map_output as usize] + p.output_bias[cv.map_output as usize];
        let share = (cv.low - value).max(value - cv.high).max(0.0) / cv.scale;
        ranked.push((cv.priority + if given_up_rank(cv.priority) { 100 } else { 0 }, share));
    }
    ranked.sort_by_key(|(priority, _)| *priority);
    let mut sums: Vec<f64> = Vec::new();
    for (i, (priority, share)) in ranked.iter().enumerate() {
        if i > 0 && ranked[i - 1].0 == *priority { *sums.last_mut().unwrap() += share } else { sums.push(*share) }
    }
    sums
}

/// Two steps of the search's comparison.
const STEP: f64 = 2.1e-4;

/// True when the first rank that changed got better.
fn move_no_worse(new: &[f64], old: &[f64]) -> bool {
    new.iter().zip(old).find(|(n, o)| (**n - **o).abs() > STEP).is_none_or(|(n, o)| n < o)
}

/// True when no rank that was met is lost for a less important one, and else rank by rank nothing got worse before something got better.
fn no_worse(new: &[f64], old: &[f64]) -> bool {
    let met = |v: f64| v < STEP;
    for (n, o) in new.iter().zip(old) {
        if met(*n) != met(*o) {
            return met(*n);
        }
    }
    move_no_worse(new, old)
}

#[test]
fn two_thousand_random_problems_keep_limits_and_moves_and_are_never_worse_than_staying() {
    let (mut full, mut one, mut map) = (optimiser(60), optimiser(1), optimiser(1));
    let mut statuses = std::collections::BTreeMap::new();
    for seed in 1..=2_000_u64 {
        let p = random_problem(&mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        for (budget, solver) in [(60, &mut full), (1, &mut one)] {
            let mut answer = Optimum::default();
            solver.optimise(&p, &mut answer, &mut NoProbe);
            let says = format!("seed {seed} budget {budget}: {p:?} -> {answer:?}");
            assert!(
                answer.iterations <= budget && answer.status != SolveStatus::Failed && answer.mvs.len() == 2,
                "{says}"
            );
            *statuses.entry(format!("{budget} {:?}", answer.status)).or_insert(0) += 1;
            for (mv, a) in p.mvs.iter().zip(&answer.mvs) {
                assert!(a.next >= mv.now - mv.move_down && a.next <= mv.now + mv.move_up, "{says}");
                if !mv.free {
                    assert!(a.next.to_bits() == mv.now.to_bits() && a.optimum.to_bits() == mv.now.to_bits(), "{says}");
                } else if mv.low <= mv.now && mv.now <= mv.high {
                    assert!((mv.low..=mv.high).contains(&a.next) && (mv.low..=mv.high).contains(&a.optimum), "{says}");
                } else {
                    let outside = |v: f64| (mv.low - v).max(v - mv.high).max(0.0);
                    assert!(outside(a.next) <= outside(mv.now), "{says}");
                }
            }
            let inside = p.mvs.iter().all(|mv| !mv.free || (mv.low..=mv.high).contains(&mv.now));
            let given_up = [answer.cvs[0].given_up, answer.cvs[1].given_up];
            let present = [p.mvs[0].now, p.mvs[1].now];
            let stays = violations(&p, given_up, present, &mut map);
            let next = violations(&p, given_up, [answer.mvs[0].next, answer.mvs[1].next], &mut map);
            assert!(move_no_worse(&next, &stays), "next {next:?} now {stays:?} {says}");
            let now = violations(&p, [false; 2], present, &mut map);
            let goal = violations(&p, [false; 2], [answer.mvs[0].optimum, answer.mvs[1].optimum], &mut map);
            if inside {
                assert!(no_worse(&goal, &now), "goal {goal:?} now {now:?} {says}");
                let same = goal.iter().zip(&now).all(|(g, n)| (g - n).abs() < 1e-12);
                assert!(!same || answer.objective_optimum >= answer.objective_now, "{says}");
            }
        }
    }
    println!("{statuses:?}");
    assert!(statuses.len() >= 5, "the problems are too much alike: {statuses:?}");
}

#[test]
fn the_same_question_gives_the_same_bits() {
    let (mut a, mut b) = (optimiser(60), optimiser(60));
    for seed in 1..=200_u64 {
        let p = random_problem(&mut Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        let (mut x, mut y) = (Optimum::default(), Optimum::default());
        a.optimise(&p, &mut x, &mut NoProbe);
        // The other one has solved something else before.
        b.optimise(&random_problem(&mut Random(seed + 77)), &mut y, &mut NoProbe);
        y = Optimum::default();
        b.optimise(&p, &mut y, &mut NoProbe);
        assert_eq!(format!("{x:?}"), format!("{y:?}"), "seed {seed}");
        for (i, j) in x.mvs.iter().zip(&y.mvs) {
            assert_eq!((i.next.to_bits(), i.optimum.to_bits()), (j.next.to_bits(), j.optimum.to_bits()), "seed {seed}");
        }
    }
}

/// Says "over budget" after so many iterations.
struct Net(u32);

impl Probe for Net {
    fn mark(&mut self, _phase: Phase) {}
    fn over_budget(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 == 0
    }
}

#[test]
fn the_clock_net_ends_a_solve_with_a_usable_answer() {
    let mut o = optimiser(60);
    let p = r101_problem(140.0, 114.0, 116.0, 5.1);
    for (calls, iterations) in [(1, 0), (4, 3)] {
        let mut answer = Optimum::default();
        o.optimise(&p, &mut answer, &mut Net(calls));
        assert_eq!((answer.status, answer.iterations), (SolveStatus::TimeLimit, iterations));
        assert_eq!(answer.mvs.len(), 2);
        assert!(answer.objective_optimum >= answer.objective_now);
    }
}

#[test]
fn a_question_that_is_no_question_fails_and_stays() {
    let mut o = optimiser(60);
    let mut p = r101_problem(140.0, 114.0, 116.0, 5.1);
    p.inputs[2] = f64::NAN;
    let mut answer = Optimum::default();
    o.optimise(&p, &mut answer, &mut NoProbe);
    assert_eq!(answer.status, SolveStatus::Failed);
    assert!(answer.mvs.iter().zip(&p.mvs).all(|(a, mv)| a.next.to_bits() == mv.now.to_bits()));
}
