//! Times one solve of R-101 and one prediction on this machine: `cargo run --release -p flyball-models --example solve_time`.

#[path = "../tests/support/mod.rs"]
mod support;

use flyball_core::optimum::Optimum;
use flyball_core::ports::{Clock, NoProbe, Optimizer, Predictor};
use flyball_optimiser::testing::r101_problem;

const RUNS: usize = 2_000;

fn report(what: &str, mut ns: Vec<u64>) {
    ns.sort_unstable();
    let at = |share: usize| ns[(ns.len() - 1) * share / 1000] as f64 / 1000.0;
    println!(
        "{what:<44} p50 {:>9.1} us   p99 {:>9.1} us   p99.9 {:>9.1} us   max {:>9.1} us   n {}",
        at(500),
        at(990),
        at(999),
        at(1000),
        ns.len()
    );
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |key: &str| {
        text.lines().find(|l| l.starts_with(key)).and_then(|l| l.split_once(':')).map_or("unknown", |(_, v)| v.trim())
    };
    let flags = line("flags");
    let known = ["fma", "avx2", "avx512f"].into_iter().filter(|f| flags.split(' ').any(|have| have == *f));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "{} {}, {threads} threads, {}",
        std::env::consts::ARCH,
        line("model name"),
        known.collect::<Vec<_>>().join(" ")
    )
}

fn main() {
    println!("{}", machine());
    let clock = support::Monotonic::start();
    for (name, (model, sources)) in [("r101_cb 7-24-24-1", support::cb()), ("r101_ss 4-32-32-2", support::ss())] {
        let loaded = support::load(&model, &sources);
        let mut predictor = loaded.predictor().expect("loaded");
        let x: Vec<f64> =
            (0..predictor.inputs()).map(|i| predictor.input_range(i)).map(|(a, b)| 0.5 * (a + b)).collect();
        let mut y = vec![0.0; predictor.outputs()];
        let mut taken = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let begin = clock.now();
            predictor.predict(&x, &mut y).expect("finite");
            taken.push(clock.now().0 - begin.0);
        }
        report(&format!("prediction {name}"), taken);
    }
    let (model, sources) = support::ss();
    let loaded = support::load(&model, &sources);
    let settings = support::r101_settings(8);
    let optimiser = loaded.optimizer(&settings, &model, &support::r101_mvs(), &support::r101_cvs());
    let mut optimiser = optimiser.expect("optimiser");
    let prices: Vec<f64> = settings.prices.iter().map(|p| p.value).collect();
    let budget = optimiser.calibrate(settings.stop_after, settings.stop_after, &prices, &clock);
    println!("calibrated: {} iterations for {:?}", budget.solve, settings.stop_after);
    for (what, t0, ca0) in
        [("vertex, T0 116", 116.0, 5.1), ("cooling limit, T0 120", 120.0, 5.1), ("infeasible, cA0 4.9", 116.0, 4.9)]
    {
        let problem = r101_problem(140.0, 114.0, t0, ca0);
        let (mut taken, mut iterations) = (Vec::with_capacity(RUNS), 0);
        for _ in 0..RUNS / 4 {
            let mut optimum = Optimum::default();
            let begin = clock.now();
            optimiser.optimise(&problem, &mut optimum, &mut NoProbe);
            taken.push(clock.now().0 - begin.0);
            iterations = optimum.iterations;
        }
        report(&format!("solve, 8 starts, {what}, {iterations} iterations"), taken);
    }
}
