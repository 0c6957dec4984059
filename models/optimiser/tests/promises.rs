//! What holds for every solve, whatever is asked: over random networks, limits, starts and budgets.
//!
//! `FLYBALL_SOLVES` sets the number of solves; continuous integration makes a million.

use flyball_core::optimum::{Optimum, Problem, SolveStatus};
use flyball_core::ports::{NoProbe, Optimizer, Phase, Probe};
use flyball_engine::testing::Random;
use flyball_optimiser::testing::{RandomNetwork, Sizes, random_optimizer, random_problem, random_setup};
use flyball_optimiser::{Budget, SteadyOptimizer};

/// Questions to one network.
const QUESTIONS: u64 = 50;

fn solves() -> u64 {
    std::env::var("FLYBALL_SOLVES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

/// Violations by priority in units of concern, most important first, and the objective: an independent judge, by values alone.
fn judge(optimizer: &mut SteadyOptimizer, problem: &Problem, sizes: Sizes, mvs: &[f64]) -> (Vec<f64>, f64) {
    let mut x: Vec<f64> = problem.inputs.to_vec();
    x[..mvs.len()].copy_from_slice(mvs);
    x.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
    let mut y = vec![0.0; sizes.cvs + 1];
    assert!(optimizer.evaluate(&x, &mut y));
    y.iter_mut().zip(&problem.output_bias).for_each(|(y, b)| *y += b);
    let mut ranks: Vec<u8> = problem.cvs.iter().map(|cv| cv.priority).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let of_rank = |rank: &u8| -> f64 {
        let members = problem.cvs.iter().filter(|cv| cv.active && cv.priority == *rank);
        let violation = |at: f64, low: f64, high: f64| (low - at).max(at - high).max(0.0);
        let shares =
            members.map(|cv| violation(y[cv.map_output as usize] / cv.scale, cv.low / cv.scale, cv.high / cv.scale));
        // Below 1e-4 of its concern a violation counts as none, and 1e-4 is the resolution.
        let sum: f64 = shares.filter(|v| *v >= 1e-4).sum();
        (sum / 1e-4).floor()
    };
    (ranks.iter().map(of_rank).collect(), problem.prices[0] * y[sizes.cvs] - 0.1 * x[0] * x[0])
}

/// Not worse: first by which ranks are met, then by how far, then by the objective.
fn no_worse(a: &(Vec<f64>, f64), b: &(Vec<f64>, f64)) -> bool {
    let met = |ranks: &[f64]| ranks.iter().map(|v| *v > 0.0).collect::<Vec<_>>();
    let order = met(&a.0).cmp(&met(&b.0)).then(a.0.partial_cmp(&b.0).unwrap());
    order.is_lt() || (order.is_eq() && a.1 >= b.1)
}

fn check(seed: u64, optimizer: &mut SteadyOptimizer, problem: &Problem, sizes: Sizes, optimum: &Optimum) {
    let says = || format!("seed {seed} {sizes:?}\n{problem:?}\n{optimum:?}");
    assert_ne!(optimum.status, SolveStatus::Failed, "{}", says());
    assert!(optimum.iterations <= optimizer.budget().solve, "{}", says());
    assert_eq!((optimum.mvs.len(), optimum.cvs.len()), (sizes.mvs, sizes.cvs), "{}", says());
    let mut now_inside = true;
    for (mv, answer) in problem.mvs.iter().zip(&optimum.mvs) {
        let (low, high) = (mv.low.max(-1.0), mv.high.min(1.0));
        assert!(answer.next >= mv.now - mv.move_down && answer.next <= mv.now + mv.move_up, "{}", says());
        if !mv.free {
            assert!(answer.optimum == mv.now && answer.next == mv.now, "{}", says());
            continue;
        }
        let inside = (low..=high).contains(&mv.now);
        now_inside &= inside;
        // From outside it may stay where it cannot come back, never go further out.
        let (low, high) = (low.min(mv.now), high.max(mv.now));
        assert!((low..=high).contains(&answer.optimum) && (low..=high).contains(&answer.next), "{}", says());
        assert!(!(mv.limited_high && answer.next > mv.now && inside), "{}", says());
        assert!(!(mv.limited_low && answer.next < mv.now && inside), "{}", says());
        assert!(answer.worth >= 0.0 && answer.worth.is_finite(), "{}", says());
    }
    if now_inside {
        let now: Vec<f64> = problem.mvs.iter().map(|mv| mv.now).collect();
        let goal: Vec<f64> = optimum.mvs.iter().map(|mv| mv.optimum).collect();
        let (stay, there) = (judge(optimizer, problem, sizes, &now), judge(optimizer, problem, sizes, &goal));
        assert!(no_worse(&there, &stay), "worse than staying: {there:?} against {stay:?}\n{}", says());
    }
}

/// Counts of what was asked and answered.
#[derive(Default)]
struct Counts {
    made: u64,
    moved: u64,
    relaxed: u64,
    cut: u64,
}

/// Questions to one network; each is solved twice by optimizers that know nothing of each other.
fn ask(seed: u64, counts: &mut Counts) {
    let mut dice = Random::new(seed);
    // Mostly small, up to the limits.
    let largest = [4, 4, 8, 32][if dice.below(40) == 0 { 3 } else { dice.below(3) }];
    let sizes =
        Sizes { mvs: dice.within(1, largest), cvs: dice.within(0, largest.min(31)), hidden: dice.within(2, 10) };
    let network = RandomNetwork::new(seed, sizes);
    let setup = random_setup(sizes, dice.within(1, 6));
    let solve = if dice.below(3) == 0 { dice.within(1, 4) } else { dice.within(5, 60) } as u32;
    let budget = Budget { solve, scan: dice.within(1, solve as usize) as u32 };
    let mut one = random_optimizer(&network, &setup).unwrap().with_budget(budget);
    let mut two = random_optimizer(&network, &setup).unwrap().with_budget(budget);
    let (mut first, mut second) = (Optimum::default(), Optimum::default());
    for _ in 0..QUESTIONS {
        let problem = random_problem(&mut dice, sizes);
        let counted = allocation_counter::measure(|| one.optimise(&problem, &mut first, &mut NoProbe));
        assert_eq!(counted.count_total, 0, "seed {seed} allocates");
        check(seed, &mut one, &problem, sizes, &first);
        two.optimise(&problem, &mut second, &mut NoProbe);
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "seed {seed} does not repeat");
        counts.made += 1;
        counts.moved += u64::from(first.mvs.iter().zip(&problem.mvs).any(|(a, mv)| a.optimum != mv.now));
        counts.relaxed += u64::from(first.status == SolveStatus::InfeasibleRelaxed);
        counts.cut += u64::from(first.status == SolveStatus::Improved);
    }
}

#[test]
fn every_answer_is_inside_its_limits_no_worse_than_staying_in_budget_without_allocation_and_repeats_bit_for_bit() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let share = solves().div_ceil(threads);
    let count = |thread: u64| {
        let (mut random, mut counts) = (Random::new(4 + thread), Counts::default());
        while counts.made < share {
            ask(random.bits(), &mut counts);
        }
        counts
    };
    let all = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|t| scope.spawn(move || count(t))).collect();
        running.into_iter().map(|r| r.join().unwrap()).collect::<Vec<_>>()
    });
    let sum = |of: fn(&Counts) -> u64| all.iter().map(of).sum::<u64>();
    let (made, moved, relaxed, cut) = (sum(|c| c.made), sum(|c| c.moved), sum(|c| c.relaxed), sum(|c| c.cut));
    println!("{made} solves: {moved} move, {relaxed} give up a CV, {cut} are cut by their budget");
    // The questions are of all kinds.
    assert!(moved * 2 > made && relaxed * 20 > made && cut * 200 > made && moved < made && relaxed < made);
}

/// A clock that runs out after some looks.
struct RunsOut(u32);

impl Probe for RunsOut {
    fn mark(&mut self, _phase: Phase) {}

    fn over_budget(&mut self) -> bool {
        let over = self.0 == 0;
        self.0 = self.0.saturating_sub(1);
        over
    }
}

#[test]
fn a_clock_that_runs_out_leaves_a_sound_answer_that_says_so() {
    let sizes = Sizes { mvs: 4, cvs: 3, hidden: 8 };
    let setup = random_setup(sizes, 4);
    let mut optimizer = random_optimizer(&RandomNetwork::new(1, sizes), &setup).unwrap();
    let mut dice = Random::new(1);
    let mut caught = 0;
    for looks in (0..200).map(|i| i % 7) {
        let problem = random_problem(&mut dice, sizes);
        let mut optimum = Optimum::default();
        optimizer.optimise(&problem, &mut optimum, &mut RunsOut(looks));
        check(1, &mut optimizer, &problem, sizes, &optimum);
        assert!(optimum.iterations <= looks);
        caught += u32::from(optimum.status == SolveStatus::TimeLimit);
    }
    assert!(caught > 50, "{caught}");
}

#[test]
fn a_solve_in_slices_is_the_same_solve() {
    let sizes = Sizes { mvs: 5, cvs: 4, hidden: 12 };
    let setup = random_setup(sizes, 6);
    let network = RandomNetwork::new(2, sizes);
    let with = |scan| random_optimizer(&network, &setup).unwrap().with_budget(Budget { solve: 60, scan });
    let (mut whole, mut sliced) = (with(60), with(3));
    let mut dice = Random::new(2);
    for _ in 0..200 {
        let problem = random_problem(&mut dice, sizes);
        let (mut a, mut b) = (Optimum::default(), Optimum::default());
        whole.optimise(&problem, &mut a, &mut NoProbe);
        sliced.begin(&problem, &b);
        let mut slices = 1;
        while !sliced.proceed(&mut b, &mut NoProbe) {
            slices += 1;
            assert_eq!(b.status, SolveStatus::Waiting, "an answer is given when it is complete");
        }
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        assert!(
            slices == b.iterations.div_ceil(3).max(1) || slices == b.iterations / 3 + 1,
            "{slices} {}",
            b.iterations
        );
    }
}

#[test]
fn numbers_that_are_none_fail_and_stay() {
    let sizes = Sizes { mvs: 3, cvs: 2, hidden: 6 };
    let mut optimizer = random_optimizer(&RandomNetwork::new(3, sizes), &random_setup(sizes, 4)).unwrap();
    let good = random_problem(&mut Random::new(3), sizes);
    for bad in [f64::NAN, f64::INFINITY] {
        for place in 0..6 {
            let mut problem = good.clone();
            match place {
                0 => problem.inputs[4] = bad,
                1 => problem.prices[0] = bad,
                2 => problem.mvs[1].now = bad,
                3 => problem.mvs[1].move_up = bad,
                4 => problem.output_bias[0] = bad,
                _ => problem.cvs[0].scale = bad,
            }
            let mut optimum = Optimum::default();
            optimizer.optimise(&problem, &mut optimum, &mut NoProbe);
            assert_eq!(optimum.status, SolveStatus::Failed, "{bad} at {place}");
            for (answer, mv) in optimum.mvs.iter().zip(&problem.mvs) {
                assert!(answer.next.to_bits() == mv.now.to_bits() && answer.optimum.to_bits() == mv.now.to_bits());
            }
        }
    }
}
