//! Random graphs are what they promise to be: tame, the same for any number of rows, and of the families asked for.

use super::{Kind, MAGNITUDE_MAX, Options, Random, random_graph, random_inputs};
use crate::op::{Binary, Op, Unary};
use crate::reference::{Values, evaluate, evaluate_all};

fn inputs(graph: &crate::Graph, seed: u64) -> Vec<Values> {
    random_inputs(graph, seed).iter().map(|v| v.iter().map(|x| f64::from(*x)).collect()).collect()
}

#[test]
fn no_number_grows_beyond_what_is_promised() {
    for seed in 0..400 {
        let graph = random_graph(seed, &Options { inputs: 2, steps: 12, ..Options::new(2) });
        let inside = inputs(&graph, seed);
        let corner: Vec<Values> = inside.iter().map(|v| v.iter().map(|x| x.signum()).collect()).collect();
        for at in [inside, corner] {
            let all = evaluate_all(&graph, &at);
            let largest =
                all.iter().flatten().flatten().fold(0.0, |m: f64, v| if v.is_nan() { *v } else { m.max(v.abs()) });
            assert!(largest <= 256.0, "seed {seed}: {largest}");
            for output in evaluate(&graph, &at).iter().flatten() {
                assert!(output.abs() <= MAGNITUDE_MAX * (1.0 + 1e-6), "seed {seed}: {output}");
            }
        }
    }
}

#[test]
fn rows_are_the_same_network_and_do_not_mix() {
    for seed in 0..200 {
        let (one, three) = (random_graph(seed, &Options::new(1)), random_graph(seed, &Options::new(3)));
        assert_eq!(one.outputs().len(), three.outputs().len(), "seed {seed}");
        let at = inputs(&three, seed);
        let mut moved = at.clone();
        let row = at[0].len() / 3;
        moved[0][row..].iter_mut().for_each(|v| *v *= -0.5);
        let single = evaluate(&one, &inputs(&one, seed));
        let (all, other) = (evaluate(&three, &at), evaluate(&three, &moved));
        for ((single, all), other) in single.iter().zip(all).zip(other) {
            let count = single.len();
            let same = |v: &[f64]| v[..count].iter().zip(single).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same(&all), "seed {seed}: row 0 of three differs from one row alone");
            assert!(same(&other), "seed {seed}: row 0 depends on other rows");
        }
    }
}

#[test]
fn only_families_asked_for_appear_and_all_do() {
    let smooth = Options::new(1).only(&[Kind::Smooth, Kind::MatMul]);
    let mut seen = [false; 6];
    for seed in 0..200 {
        for node in random_graph(seed, &smooth).nodes() {
            let unwanted = matches!(node.op, Op::Scan(_) | Op::Conv(_) | Op::Unary(Unary::Relu) | Op::Reduce { .. });
            assert!(!unwanted, "seed {seed}: {:?}", node.op);
        }
        for node in random_graph(seed, &Options::new(1)).nodes() {
            match node.op {
                Op::Scan(_) => seen[0] = true,
                Op::Conv(_) => seen[1] = true,
                Op::Unary(Unary::GeluTanh) => seen[2] = true,
                Op::Binary(Binary::PRelu) => seen[3] = true,
                Op::Binary(Binary::Slope(Unary::Softplus)) => seen[4] = true,
                Op::Binary(Binary::Equal) => seen[5] = true,
                _ => {}
            }
        }
    }
    assert_eq!(seen, [true; 6]);
}

#[test]
fn random_numbers_fill_their_range() {
    let mut random = Random::new(1);
    let numbers: Vec<f32> = (0..1000).map(|_| random.between(-2.0, 2.0)).collect();
    assert!(numbers.iter().all(|v| (-2.0..=2.0).contains(v)));
    assert!(numbers.iter().any(|v| *v < -1.9) && numbers.iter().any(|v| *v > 1.9));
    assert!((0..100).all(|_| (3..=5).contains(&random.within(3, 5))));
}
