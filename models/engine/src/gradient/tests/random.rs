//! Derivatives of seeded random graphs over all operators.

use super::{check, inputs};
use crate::testing::{Kind, Options, random_graph};

/// Checks many graphs; returns derivatives compared, left out, and the largest deviation.
fn campaign(options: &Options, seeds: std::ops::Range<u64>) {
    let (mut compared, mut kinks, mut worst) = (0, 0, 0.0_f64);
    for seed in seeds {
        let graph = random_graph(seed, options);
        match check(&graph, &inputs(&graph, seed)) {
            Ok(found) => {
                compared += found.compared;
                kinks += found.kinks;
                worst = worst.max(found.worst);
            }
            Err(error) => panic!("seed {seed} with {options:?}: {error}\n{graph:#?}"),
        }
    }
    println!("{compared} derivatives compared, {kinks} at kinks, largest deviation {worst:.1e}");
    assert!(kinks * 20 < compared, "{kinks} of {compared} derivatives were left out at kinks");
}

#[test]
fn random_graphs_of_one_row() {
    campaign(&Options::new(1), 0..150);
}

#[test]
fn random_graphs_of_five_rows() {
    campaign(&Options { inputs: 2, ..Options::new(5) }, 1000..1100);
}

#[test]
fn random_smooth_graphs() {
    let smooth = Options::new(2).without(&[Kind::Kinked, Kind::Choice, Kind::Compare, Kind::Extremum]);
    campaign(&smooth, 2000..2100);
}
