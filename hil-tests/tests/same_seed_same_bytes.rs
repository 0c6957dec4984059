//! Promise: same seed, same bytes. Two runs of the whole R-101 scenario on the virtual clock leave byte-identical records.

use flyball_hil_tests::{VirtualRun, example};
use flyball_rig::scenario::Plan;

fn record_of_a_run(seed: u64) -> Vec<u8> {
    let config = example("r101.toml");
    let mut run = VirtualRun::new(&config, Plan::STEP, seed);
    let mut bytes = Vec::new();
    while !run.over() {
        run.scan().to_bytes(&mut bytes);
    }
    bytes
}

#[test]
fn two_runs_of_r101_are_byte_identical_and_another_seed_is_not() {
    let first = record_of_a_run(7);
    assert!(first.len() > 1_000_000, "the record of an hour has some size: {}", first.len());
    let second = record_of_a_run(7);
    let differs = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!((differs, first.len()), (None, second.len()));
    assert_ne!(first, record_of_a_run(8), "the seed reaches the plant");
}
