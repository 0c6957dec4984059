//! Promise: after start the scan allocates nothing. Counted over 10,000 cycles of R-101 in closed loop with faults; what the model
//! engine allocates inside predict is counted apart and printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flyball_core::controller::Engines;
use flyball_core::mode::Mode;
use flyball_core::optimum::{Optimum, Problem};
use flyball_core::ports::{Optimizer, PredictFault, Predictor, Probe};
use flyball_core::status::Status;
use flyball_hil_tests::{VirtualRun, engines, example};
use flyball_rig::scenario::{Disturbance, Plan};

/// Counts what an engine allocates; the outer count includes it and is reduced by it.
struct Apart<T: ?Sized>(Arc<AtomicU64>, Box<T>);

impl<T: ?Sized> Apart<T> {
    fn run<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut result = None;
        let inner = &mut self.1;
        let info = allocation_counter::measure(|| result = Some(work(inner)));
        self.0.fetch_add(info.count_total, Ordering::Relaxed);
        result.expect("work ran")
    }
}

impl Predictor for Apart<dyn Predictor> {
    fn inputs(&self) -> usize {
        self.1.inputs()
    }
    fn outputs(&self) -> usize {
        self.1.outputs()
    }
    fn input_range(&self, input: usize) -> (f64, f64) {
        self.1.input_range(input)
    }
    fn predict(&mut self, features: &[f64], out: &mut [f64]) -> Result<(), PredictFault> {
        self.run(|p| p.predict(features, out))
    }
}

impl Optimizer for Apart<dyn Optimizer> {
    fn optimise(&mut self, problem: &Problem, optimum: &mut Optimum, probe: &mut dyn Probe) {
        self.run(|o| o.optimise(problem, optimum, probe));
    }
    fn evaluate(&mut self, inputs: &[f64], outputs: &mut [f64]) -> bool {
        self.run(|o| o.evaluate(inputs, outputs))
    }
}

#[test]
fn ten_thousand_cycles_with_faults() {
    let config = example("r101.toml");
    let inside = Arc::new(AtomicU64::new(0));
    let loaded = engines(&config).engines;
    let wrapped = Engines {
        predictors: loaded
            .predictors
            .into_iter()
            .map(|p| p.map(|p| Box::new(Apart(Arc::clone(&inside), p)) as Box<dyn Predictor>))
            .collect(),
        optimizer: loaded.optimizer.map(|o| Box::new(Apart(Arc::clone(&inside), o)) as Box<dyn Optimizer>),
    };
    // Faults: single inputs Bad, NaN-like, implausible, late; a link down for a while.
    let spoil = Box::new(|cycle: &flyball_core::time::ScanCycle, image: &mut flyball_core::image::InputImage| {
        let n = cycle.number as usize;
        if n.is_multiple_of(97) {
            let tag = n / 97 % image.samples.len();
            image.samples[tag] = flyball_core::image::Sample::bad(Status::BadTimeout, cycle.now);
        }
        if n.is_multiple_of(131) {
            image.samples[1] = flyball_core::image::Sample::new(1e38, Status::Good, cycle.now, cycle.now);
        }
        if n % 2_500 > 2_480 {
            image.links.fill(flyball_core::image::LinkState::Down);
        }
    });
    let plan =
        Plan { disturbance: Disturbance::None, end_after: std::time::Duration::from_secs(100_000), ..Plan::STEP };
    let mut run = VirtualRun::with(&config, plan, 3, wrapped, spoil);
    let (mut outside, mut closed) = (0u64, 0u32);
    for _ in 0..10_000 {
        let info = allocation_counter::measure(|| run.executive.scan());
        outside += info.count_total;
        closed += u32::from(run.newest().mode.actual == Mode::ClosedLoop);
    }
    let engine = inside.load(Ordering::Relaxed);
    outside -= engine;
    println!("scan: {outside} allocations in 10,000 cycles; model engine: {engine}");
    assert_eq!(outside, 0);
    assert!(engine > 0, "tract allocates; a count of zero means that nothing was counted");
    assert!(closed > 1_000, "the loop must have been closed for this to mean something: {closed} cycles");
}
