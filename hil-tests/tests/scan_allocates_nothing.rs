//! Promise: after start the scan allocates nothing, its models and its optimiser included. Counted over 10,000 cycles of R-101 in closed loop
//! with faults.

use flyball_core::mode::Mode;
use flyball_core::status::Status;
use flyball_hil_tests::{VirtualRun, engines, example};
use flyball_rig::scenario::{Disturbance, Plan};

#[test]
fn ten_thousand_cycles_with_faults() {
    let config = example("r101.toml");
    let loaded = engines(&config).engines;
    assert!(loaded.optimizer.is_some() && loaded.predictors.iter().any(Option::is_some), "models must be part of it");
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
    let mut run = VirtualRun::with(&config, plan, 3, loaded, spoil);
    let (mut allocations, mut closed) = (0u64, 0u32);
    for _ in 0..10_000 {
        allocations += allocation_counter::measure(|| run.executive.scan()).count_total;
        closed += u32::from(run.newest().mode.actual == Mode::ClosedLoop);
    }
    assert_eq!(
        allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 100]))).count_total,
        1,
        "the counter counts"
    );
    println!("scan with models and optimiser: {allocations} allocations in 10,000 cycles");
    assert_eq!(allocations, 0);
    assert!(closed > 1_000, "the loop must have been closed for this to mean something: {closed} cycles");
}
