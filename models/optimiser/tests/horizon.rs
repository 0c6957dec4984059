//! What holds for every horizon solve over random networks, limits, starts and budgets.
//!
//! `FLYBALL_SOLVES` sets the number of solves.

use flyball_core::optimum::{Optimum, SolveStatus};
use flyball_core::ports::{NoProbe, Optimizer};
use flyball_engine::testing::Random;
use flyball_optimiser::Budget;
use flyball_optimiser::horizon::testing::{
    Network, Sizes, columns, network, optimizer, problem, random_problem, setup,
};
use flyball_optimiser::horizon::{Blocks, HorizonOptimizer};

/// Questions to one network.
const QUESTIONS: u64 = 25;

fn solves() -> u64 {
    std::env::var("FLYBALL_SOLVES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

fn objective(sizes: Sizes) -> String {
    format!("price*y{} - 0.1*u0^2", sizes.outputs - 1)
}

fn seen(optimizer: &mut HorizonOptimizer, random: &mut Random, sizes: Sizes, rows: usize) {
    for _ in 0..rows {
        let row: Vec<f64> = (0..sizes.columns()).map(|_| f64::from(random.between(-1.0, 1.0))).collect();
        let plant: Vec<Option<f64>> = (0..sizes.outputs).map(|_| Some(f64::from(random.between(-1.0, 1.0)))).collect();
        optimizer.observe(&row, &plant);
    }
}

#[test]
fn every_first_move_is_inside_its_limits_no_plan_is_worse_than_staying_nothing_is_allocated_and_bits_repeat() {
    let (mut random, mut made, mut moved, mut relaxed, mut cut) = (Random::new(4), 0, 0, 0, 0);
    while made < solves() {
        let seed = random.bits();
        let mut dice = Random::new(seed);
        let kind = dice.pick(&[Network::Gru, Network::Convolution, Network::Dense]);
        let sizes = Sizes {
            mvs: dice.within(1, 4),
            outputs: dice.within(1, 3),
            hidden: dice.within(2, 8),
            window: dice.within(6, 10),
            fed_back: dice.below(2) == 0,
        };
        let blocks = Blocks::new(&dice.pick(&[vec![1], vec![1, 2], vec![1, 1, 2, 4]]), dice.within(8, 14)).unwrap();
        let mut fixed = setup(sizes, &objective(sizes), blocks);
        fixed.terminal = f64::from(dice.between(0.0, 0.3));
        fixed.base.mvs.iter_mut().for_each(|mv| mv.move_cost = f64::from(dice.between(0.0, 0.02)));
        fixed.base.starts = dice.within(1, 3);
        let solve = if dice.below(4) == 0 { dice.within(1, 4) } else { dice.within(5, 60) } as u32;
        let budget = Budget { solve, scan: dice.within(1, solve as usize) as u32 };
        let graph = network(kind, seed, sizes).unwrap();
        let new = || optimizer(&graph, &fixed, columns(sizes, 1.0)).unwrap().with_budget(budget);
        let (mut one, mut two) = (new(), new());
        let mut history = dice.clone();
        seen(&mut one, &mut dice, sizes, sizes.window + 1);
        seen(&mut two, &mut history, sizes, sizes.window + 1);
        let (mut first, mut second) = (Optimum::default(), Optimum::default());
        for _ in 0..QUESTIONS {
            let question = random_problem(&mut dice, sizes);
            let plant: Vec<Option<f64>> =
                (0..sizes.outputs).map(|_| (dice.below(4) > 0).then(|| f64::from(dice.between(-1.0, 1.0)))).collect();
            let says = |answer: &Optimum| format!("seed {seed} {kind:?} {sizes:?}\n{question:?}\n{answer:?}");
            let counted = allocation_counter::measure(|| {
                one.observe(&question.inputs, &plant);
                one.optimise(&question, &mut first, &mut NoProbe);
            });
            assert_eq!(counted.count_total, 0, "seed {seed} allocates");
            two.observe(&question.inputs, &plant);
            two.optimise(&question, &mut second, &mut NoProbe);
            assert_eq!(format!("{first:?}"), format!("{second:?}"), "seed {seed} does not repeat");

            assert_ne!(first.status, SolveStatus::Failed, "{}", says(&first));
            assert!(first.iterations <= solve, "{}", says(&first));
            let mut now_inside = true;
            for (mv, answer) in question.mvs.iter().zip(&first.mvs) {
                assert!(answer.next >= mv.now - mv.move_down && answer.next <= mv.now + mv.move_up, "{}", says(&first));
                if !mv.free {
                    assert!(answer.next == mv.now && answer.optimum == mv.now, "{}", says(&first));
                    continue;
                }
                let (low, high) = (mv.low.max(-1.0), mv.high.min(1.0));
                now_inside &= (low..=high).contains(&mv.now);
                // From outside it may stay where it cannot come back, never go further out.
                let (low, high) = (low.min(mv.now), high.max(mv.now));
                assert!(
                    (low..=high).contains(&answer.next) && (low..=high).contains(&answer.optimum),
                    "{}",
                    says(&first)
                );
                assert!(answer.worth >= 0.0 && answer.worth.is_finite(), "{}", says(&first));
            }
            // Moves between blocks are never given up, whatever the CVs ask.
            let plan: Vec<Vec<f64>> = one.plan().map(<[f64]>::to_vec).collect();
            let next: Vec<f64> = first.mvs.iter().map(|mv| mv.next).collect();
            assert_eq!(plan[0], next, "what was judged is what is made: {}", says(&first));
            for two in plan.windows(2) {
                for ((before, after), mv) in two[0].iter().zip(&two[1]).zip(&question.mvs) {
                    let slack = 1.01e-4 * mv.move_up.max(mv.move_down);
                    assert!(
                        after - before <= mv.move_up + slack && before - after <= mv.move_down + slack,
                        "{}",
                        says(&first)
                    );
                }
            }
            if now_inside {
                let stay: Vec<f64> = plan.iter().flat_map(|_| question.mvs.iter().map(|mv| mv.now)).collect();
                let (there, here) =
                    (one.judge(&question, &plan.concat()).unwrap(), one.judge(&question, &stay).unwrap());
                assert!(!here.better_than(&there), "worse than staying: {there:?} against {here:?}\n{}", says(&first));
            }
            made += 1;
            moved += u64::from(first.mvs.iter().zip(&question.mvs).any(|(a, mv)| a.next != mv.now));
            relaxed += u64::from(first.status == SolveStatus::InfeasibleRelaxed);
            cut += u64::from(first.status == SolveStatus::Improved);
        }
    }
    println!("{made} solves: {moved} move, {relaxed} give up a CV, {cut} are cut by their budget");
    assert!(moved * 2 > made && relaxed * 20 > made && cut * 50 > made && moved < made && relaxed < made);
}

#[test]
fn it_waits_for_its_window_and_anew_after_a_gap() {
    let sizes = Sizes { mvs: 2, outputs: 1, hidden: 4, window: 6, fed_back: true };
    let fixed = setup(sizes, &objective(sizes), Blocks::new(&[1, 2], 6).unwrap());
    let mut one = optimizer(&network(Network::Gru, 1, sizes).unwrap(), &fixed, columns(sizes, 1.0)).unwrap();
    let question = problem(sizes, &[0.1, 0.2], 0.1);
    let mut optimum = Optimum::default();
    for round in 0..2 {
        // A row is complete when the next one begins.
        for row in 0..=sizes.window {
            one.optimise(&question, &mut optimum, &mut NoProbe);
            assert_eq!(optimum.status, SolveStatus::Failed, "round {round} row {row}");
            assert_eq!(optimum.mvs[0].next, 0.1);
            one.observe(&question.inputs, &[Some(0.0)]);
        }
        one.optimise(&question, &mut optimum, &mut NoProbe);
        assert_ne!(optimum.status, SolveStatus::Failed);
        if round == 0 {
            one.reset();
        } else {
            one.observe(&[f64::NAN; 4], &[Some(0.0)]);
            one.optimise(&question, &mut optimum, &mut NoProbe);
            assert_eq!(optimum.status, SolveStatus::Failed, "a number that is none is a gap");
        }
    }
}

#[test]
fn a_horizon_over_the_limits_is_refused_with_what_to_do() {
    let sizes = Sizes { mvs: 9, outputs: 1, hidden: 2, window: 4, fed_back: false };
    let fixed = setup(sizes, "y0", Blocks::new(&[1], 4).unwrap());
    let error = optimizer(&network(Network::Dense, 1, sizes).unwrap(), &fixed, columns(sizes, 1.0)).err().unwrap();
    assert!(format!("{error:?}").contains("1 to 8 MVs"), "{error:?}");
}
