//! The optimiser on R-101 through the network, judged by the plant's own equations and brute force over them (domain guide 11.3).

mod support;

use flyball_config::{GainSign, MvId};
use flyball_core::optimum::{Optimum, Problem, SolveStatus};
use flyball_core::ports::{NoProbe, Optimizer};
use flyball_models::Refusal;
use flyball_optimiser::SteadyOptimizer;
use flyball_optimiser::testing::{r101, r101_best, r101_problem, r101_profit};
use support::{cb, load, r101_cvs, r101_mvs, r101_settings, ss};

fn on_network() -> SteadyOptimizer {
    let (model, sources) = ss();
    load(&model, &sources).optimizer(&r101_settings(8), &model, &r101_mvs(), &r101_cvs()).unwrap()
}

fn solve(optimiser: &mut SteadyOptimizer, problem: &Problem) -> Optimum {
    let mut optimum = Optimum::default();
    optimiser.optimise(problem, &mut optimum, &mut NoProbe);
    optimum
}

#[test]
fn every_row_of_the_oracle_is_met_through_the_network() {
    let rows =
        [(5.10, 116.0), (5.30, 116.0), (5.10, 112.0), (5.10, 120.0), (4.95, 120.0), (4.90, 116.0), (4.90, 122.0)];
    let mut optimiser = on_network();
    for (ca0, t0) in rows {
        let problem = r101_problem(140.0, 114.0, t0, ca0);
        let optimum = solve(&mut optimiser, &problem);
        let (feed, temperature) = (optimum.mvs[0].optimum, optimum.mvs[1].optimum);
        let there = r101(feed, temperature, t0, ca0);
        let says = format!(
            "cA0 {ca0} T0 {t0}: F {feed:.2} T {temperature:.2} cB {:.4} Q {:.0} {:?} it {}",
            there.0, there.1, optimum.status, optimum.iterations
        );
        println!("{says}");
        match r101_best(&problem) {
            Ok(best) => {
                let got = r101_profit(feed, ca0, there, &problem.prices);
                assert!(got >= 0.99 * best, "{says}: {got} of {best}");
                // The network's own error may touch a limit by its accuracy, no more.
                assert!(there.0 >= 1.06 - 3e-4 && there.1 <= 6006.0, "{says}");
                assert!(optimum.cvs.iter().all(|cv| !cv.given_up), "{says}");
                assert_eq!(optimum.status, SolveStatus::Optimal, "{says}");
            }
            Err(quality) => {
                assert!(there.0 >= quality - 5e-4 && there.1 <= 6006.0, "{says}: best reachable {quality}");
                assert_eq!(optimum.status, SolveStatus::InfeasibleRelaxed, "{says}");
                assert!(
                    optimum.cvs[0].given_up && !optimum.cvs[1].given_up,
                    "{says}: quality cannot be met, cooling can"
                );
            }
        }
    }
}

#[test]
fn limits_are_worth_on_the_network_what_the_guide_says() {
    // 0.119 EUR/h per l/h of feed limit, 0.65 EUR/h per degC of temperature limit.
    let optimum = solve(&mut on_network(), &r101_problem(140.0, 114.0, 116.0, 5.10));
    assert!((optimum.mvs[0].worth / 0.119 - 1.0).abs() < 0.05, "feed {}", optimum.mvs[0].worth);
    assert!((optimum.mvs[1].worth / 0.65 - 1.0).abs() < 0.05, "temperature {}", optimum.mvs[1].worth);
}

#[test]
fn a_network_with_a_wrong_gain_is_refused_by_name() {
    let (model, sources) = ss();
    let loaded = load(&model, &sources);
    let with = |sign| {
        let mut cvs = r101_cvs();
        cvs[1].gains = vec![(MvId(1), sign)];
        loaded.optimizer(&r101_settings(8), &model, &r101_mvs(), &cvs)
    };
    assert!(with(GainSign::Negative).is_ok());
    let refused = with(GainSign::Positive).err().unwrap();
    assert_eq!(refused.refusal, Refusal::WrongGain);
    let text = refused.to_string();
    assert!(text.contains("CV cooling") && text.contains("MV temp") && text.contains("512 points"), "{text}");
}

#[test]
fn an_objective_or_map_that_does_not_fit_is_refused() {
    let (model, sources) = ss();
    let loaded = load(&model, &sources);
    let mut settings = r101_settings(8);
    settings.objective = "price_B*F*cb".to_owned();
    let refused = loaded.optimizer(&settings, &model, &r101_mvs(), &r101_cvs()).err().unwrap();
    assert!(refused.refusal == Refusal::BadObjective && refused.to_string().contains("did you mean cB?"), "{refused}");
    let (sensor, sources) = cb();
    let loaded = load(&sensor, &sources);
    let refused = loaded.optimizer(&r101_settings(8), &sensor, &r101_mvs(), &r101_cvs()).err().unwrap();
    assert_eq!(refused.refusal, Refusal::BadMap);
}
