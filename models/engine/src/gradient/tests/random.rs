//! Derivatives of seeded random graphs over all operators.

use super::{check, inputs, weights};
use crate::Graph;
use crate::gradient::jacobian;
use crate::index::elements;
use crate::testing::{Kind, Options, random_graph};

/// Checks many graphs, changed by `f`.
fn campaign(options: &Options, seeds: std::ops::Range<u64>, f: impl Fn(Graph) -> Graph) {
    let (mut compared, mut kinks, mut worst) = (0, 0, 0.0_f64);
    for seed in seeds {
        let graph = f(random_graph(seed, options));
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
    campaign(&Options::new(1), 0..150, |graph| graph);
}

#[test]
fn random_graphs_of_five_rows() {
    campaign(&Options { inputs: 2, ..Options::new(5) }, 1000..1060, |graph| graph);
}

#[test]
fn random_smooth_graphs() {
    let smooth = Options::new(2).without(&[Kind::Kinked, Kind::Choice, Kind::Compare, Kind::Extremum]);
    campaign(&smooth, 2000..2100, |graph| graph);
}

#[test]
fn derivatives_of_random_graphs_differentiated_again() {
    let options = Options { steps: 4, ..Options::new(1).without(&[Kind::Compare]) };
    campaign(&options, 3000..3060, |mut graph| {
        // Two weighted sums of the first output keep the number of second derivatives small.
        let output = graph.outputs()[0];
        let size = elements(graph.shape(output));
        let flat = graph.reshape(output, &[1, size]).unwrap();
        let sums = weights(&mut graph, &[size, 2], 1.0, 1);
        let sums = graph.matmul(flat, sums).unwrap();
        graph.output(sums);
        let last = graph.outputs().len() - 1;
        jacobian(&graph, graph.inputs(), &[last]).unwrap()
    });
}

#[test]
fn kinks_nearer_than_the_step_are_left_out() {
    let graph = super::build(&[&[1, 2]], |g, x| g.unary(crate::Unary::Relu, x[0]).unwrap());
    let found = check(&graph, &[vec![1.5e-4, 0.5]]).unwrap();
    assert_eq!((found.kinks, found.compared), (3, 7));
}
