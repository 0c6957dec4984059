//! R-101 by its own equations against brute force (domain guide 11.3): profit, infeasible rows, and what limits are worth.

use flyball_core::optimum::{HeldBy, Optimum, Problem, SolveStatus};
use flyball_core::ports::{NoProbe, Optimizer};
use flyball_optimiser::SteadyOptimizer;
use flyball_optimiser::testing::{r101, r101_best, r101_equations, r101_problem, r101_profit, r101_setup};

fn on_equations(starts: usize) -> SteadyOptimizer {
    let ranges = vec![(70.0, 210.0), (103.0, 122.0), (107.0, 125.0), (4.6, 5.6)];
    SteadyOptimizer::new(&r101_setup(starts), r101_equations(), ranges, None).unwrap()
}

fn solve(optimiser: &mut SteadyOptimizer, problem: &Problem) -> Optimum {
    let mut optimum = Optimum::default();
    optimiser.optimise(problem, &mut optimum, &mut NoProbe);
    optimum
}

#[test]
fn every_row_of_the_oracle_is_met() {
    let rows =
        [(5.10, 116.0), (5.30, 116.0), (5.10, 112.0), (5.10, 120.0), (4.95, 120.0), (4.90, 116.0), (4.90, 122.0)];
    for starts in [1, 8] {
        let mut optimiser = on_equations(starts);
        for (ca0, t0) in rows {
            let problem = r101_problem(140.0, 114.0, t0, ca0);
            let optimum = solve(&mut optimiser, &problem);
            let (feed, temperature) = (optimum.mvs[0].optimum, optimum.mvs[1].optimum);
            let there = r101(feed, temperature, t0, ca0);
            let says = format!(
                "{starts} starts, cA0 {ca0} T0 {t0}: F {feed:.2} T {temperature:.2} cB {:.4} Q {:.0} {:?} it {}",
                there.0, there.1, optimum.status, optimum.iterations
            );
            println!("{says}");
            match r101_best(&problem) {
                Ok(best) => {
                    let got = r101_profit(feed, ca0, there, &problem.prices);
                    assert!(got >= 0.999 * best, "{says}: {got} of {best}");
                    assert!(there.0 >= 1.06 - 1e-4 && there.1 <= 6001.0, "{says}");
                    assert!(optimum.cvs.iter().all(|cv| !cv.given_up), "{says}");
                    assert_eq!(optimum.status, SolveStatus::Optimal, "{says}");
                }
                // One start finds one hill; the best that cannot be met may lie on another.
                Err(_) if starts == 1 => {
                    assert_eq!(optimum.status, SolveStatus::InfeasibleRelaxed, "{says}");
                    assert!(there.1 <= 6001.0 && optimum.cvs[0].given_up, "{says}");
                }
                Err(quality) => {
                    assert!(there.0 >= quality - 2e-4 && there.1 <= 6001.0, "{says}: best reachable {quality}");
                    assert_eq!(optimum.status, SolveStatus::InfeasibleRelaxed, "{says}");
                    assert!(
                        optimum.cvs[0].given_up && !optimum.cvs[1].given_up,
                        "{says}: quality cannot be met, cooling can"
                    );
                }
            }
        }
    }
}

#[test]
fn limits_are_worth_what_moving_them_gains() {
    let mut optimiser = on_equations(8);
    // First row of the guide: 0.119 EUR/h per l/h of feed limit, 0.65 EUR/h per degC of temperature limit.
    let optimum = solve(&mut optimiser, &r101_problem(140.0, 114.0, 116.0, 5.10));
    assert_eq!(optimum.mvs.iter().map(|m| m.optimum).collect::<Vec<_>>(), [200.0, 120.0]);
    assert!((optimum.mvs[0].worth / 0.119 - 1.0).abs() < 0.05, "feed {}", optimum.mvs[0].worth);
    assert!((optimum.mvs[1].worth / 0.65 - 1.0).abs() < 0.05, "temperature {}", optimum.mvs[1].worth);
    assert!(optimum.cvs.iter().all(|cv| cv.worth == 0.0));
    // Where cooling binds: against the optimum with a limit 60 kJ/h wider.
    let problem = r101_problem(140.0, 114.0, 120.0, 5.10);
    let optimum = solve(&mut optimiser, &problem);
    let mut wider = problem.clone();
    wider.cvs[1].high += 60.0;
    let gained = (solve(&mut optimiser, &wider).objective_optimum - optimum.objective_optimum) / 60.0;
    assert!((optimum.cvs[1].worth / gained - 1.0).abs() < 0.05, "duty {} against {gained}", optimum.cvs[1].worth);
    // So do the disturbances: slopes of the optimum, not of the objective.
    for s in &optimum.sensitivities {
        let mut other = problem.clone();
        let by = if s.input == 2 { 0.05 } else { 0.005 };
        other.inputs[s.input as usize] += by;
        let changed = (solve(&mut optimiser, &other).objective_optimum - optimum.objective_optimum) / by;
        assert!((s.slope / changed - 1.0).abs() < 0.05, "input {}: {} against {changed}", s.input, s.slope);
    }
    assert_eq!(optimum.sensitivities.len(), 2);
}

#[test]
fn what_holds_an_mv_is_said() {
    let mut optimiser = on_equations(8);
    let mut problem = r101_problem(200.0, 120.0, 116.0, 5.10);
    problem.mvs[0].high = 190.0;
    problem.mvs[0].now = 190.0;
    let optimum = solve(&mut optimiser, &problem);
    assert_eq!(optimum.status, SolveStatus::NoGain);
    problem.mvs[1].now = 119.9;
    let optimum = solve(&mut optimiser, &problem);
    assert_eq!([optimum.mvs[0].held_by, optimum.mvs[1].held_by], [HeldBy::OperatorHigh, HeldBy::EngineeringHigh]);
    problem.mvs[0].limited_high = true;
    problem.mvs[0].now = 150.0;
    let optimum = solve(&mut optimiser, &problem);
    assert!(optimum.mvs[0].optimum <= 150.0);
    assert_eq!(optimum.mvs[0].held_by, HeldBy::PlcLimit);
}
