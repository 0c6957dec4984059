//! Compiled programs give what the reference interpreter gives, the same bits on every path, and the same bits for one row and for many.

mod support;

use std::sync::Arc;

use flyball_engine::{Conv, Graph, Path, Program, ReduceKind, Unary, reference};
use support::{Random, close, lstm, mlp};

/// Runs a graph on every path; all must agree to the bit. Returns the outputs.
fn run(graph: &Graph, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut first: Option<Vec<Vec<f32>>> = None;
    for path in Path::available() {
        let mut instance = Arc::new(Program::compile(graph, path).unwrap()).instance();
        for (i, numbers) in inputs.iter().enumerate() {
            instance.input_mut(i).copy_from_slice(numbers);
        }
        for round in 0..2 {
            instance.run();
            let out: Vec<Vec<f32>> = (0..graph.outputs().len()).map(|o| instance.output(o).to_vec()).collect();
            let bits = |all: &[Vec<f32>]| all.iter().flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
            match &first {
                None => first = Some(out),
                Some(first) => assert_eq!(bits(first), bits(&out), "{path} differs, round {round}"),
            }
        }
    }
    first.unwrap()
}

fn check(graph: &Graph, random: &mut Random) {
    let inputs: Vec<Vec<f32>> =
        graph.inputs().iter().map(|n| random.list(graph.shape(*n).iter().product(), 1.0)).collect();
    let got = run(graph, &inputs);
    let exact = reference::evaluate(
        graph,
        &inputs.iter().map(|l| l.iter().map(|v| f64::from(*v)).collect()).collect::<Vec<_>>(),
    );
    for (got, exact) in got.iter().zip(&exact) {
        close(got, exact, 2e-5);
    }
}

#[test]
fn dense_layers_of_every_width() {
    let mut random = Random(1);
    for outputs in [1, 2, 7, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 96, 100, 128, 130] {
        for rows in [1, 2, 3, 4, 5, 9] {
            let terms = 1 + random.below(70);
            check(&mlp(&mut random, rows, &[terms, outputs], Unary::Tanh), &mut random);
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    for seed in 0..20 {
        let sizes = [3 + seed as usize, 64, 33, 2 + seed as usize * 3];
        let (one, many) =
            (mlp(&mut Random(seed), 1, &sizes, Unary::Relu), mlp(&mut Random(seed), 64, &sizes, Unary::Relu));
        let x = Random(seed + 100).list(64 * sizes[0], 1.0);
        let all = run(&many, std::slice::from_ref(&x)).remove(0);
        for (row, wanted) in x.chunks(sizes[0]).zip(all.chunks(sizes[3])) {
            assert_eq!(run(&one, &[row.to_vec()])[0], wanted, "seed {seed}");
        }
    }
}

#[test]
fn convolutions_of_every_kind() {
    let mut random = Random(2);
    for case in 0..120 {
        let two = case % 3 == 0;
        let groups = [1, 1, 2, 4][case % 4];
        let (inside, outside) = (groups * (1 + random.below(3)), groups * (1 + random.below(20)));
        let axis = |random: &mut Random| {
            let kernel = 1 + random.below(4);
            let dilation = 1 + random.below(3);
            let len = (kernel - 1) * dilation + 1 + random.below(50);
            let pads = (random.below(3), random.below(3));
            (kernel, dilation, len, pads, 1 + random.below(2))
        };
        let axes: Vec<_> = (0..1 + usize::from(two)).map(|_| axis(&mut random)).collect();
        let mut g = Graph::new();
        let shape: Vec<usize> = [1 + case % 2, inside].into_iter().chain(axes.iter().map(|a| a.2)).collect();
        let x = g.input(&shape).unwrap();
        let taps: Vec<usize> = [outside, inside / groups].into_iter().chain(axes.iter().map(|a| a.0)).collect();
        let w = g.constant(&taps, random.list(taps.iter().product(), 0.3)).unwrap();
        let b = (case % 5 > 0).then(|| g.constant(&[outside], random.list(outside, 0.3)).unwrap());
        let conv = Conv {
            strides: axes.iter().map(|a| a.4).collect(),
            dilations: axes.iter().map(|a| a.1).collect(),
            pads: axes.iter().map(|a| a.3).collect(),
            groups,
        };
        let y = g.conv(x, w, b, conv).unwrap();
        let y = g.unary(Unary::Relu, y).unwrap();
        g.output(y);
        check(&g, &mut random);
    }
}

#[test]
fn reductions_and_softmax() {
    let mut random = Random(3);
    for shape in [vec![5, 40], vec![3, 7, 18], vec![2, 3, 4, 5], vec![1, 1, 33]] {
        for kind in [ReduceKind::Sum, ReduceKind::Maximum, ReduceKind::Minimum] {
            for mask in 1..1 << shape.len() {
                let axes: Vec<usize> = (0..shape.len()).filter(|a| mask >> a & 1 == 1).collect();
                let mut g = Graph::new();
                let x = g.input(&shape).unwrap();
                let y = g.reduce(kind, x, &axes).unwrap();
                let z = g.softmax(x, &axes).unwrap();
                g.output(y);
                g.output(z);
                check(&g, &mut random);
            }
        }
    }
}

#[test]
fn loops() {
    let mut random = Random(4);
    for (steps, features, hidden, rows) in [(1, 3, 5, 1), (7, 8, 32, 1), (32, 8, 32, 2), (5, 2, 17, 3)] {
        let graph = lstm(&mut random, steps, rows, features, hidden);
        check(&graph, &mut random);
    }
}

/// The bias of a grouped convolution broadcasts over rows and positions; with one of each it looks like a tensor of the same shape.
#[test]
fn a_convolution_has_the_same_bits_alone_among_others_gathered_or_sliding() {
    for (seed, groups, channels) in [(1, 1, 32), (2, 4, 4), (3, 2, 20), (4, 8, 8), (5, 1, 70)] {
        let graph = |rows: usize, steps: usize| {
            let mut random = Random(seed);
            let mut g = Graph::new();
            let x = g.input(&[rows, 8, steps]).unwrap();
            let w = g.constant(&[channels, 8 / groups, 5], random.list(channels * 8 / groups * 5, 0.3)).unwrap();
            let b = g.constant(&[channels], random.list(channels, 0.3)).unwrap();
            let conv = Conv { strides: vec![1], dilations: vec![1], pads: vec![(0, 0)], groups };
            let y = g.conv(x, w, Some(b), conv).unwrap();
            g.output(y);
            g
        };
        // 40 positions slide, 3 positions and one are gathered.
        let x = Random(seed + 50).list(3 * 8 * 44, 1.0);
        let all = run(&graph(3, 44), std::slice::from_ref(&x)).remove(0);
        for (row, at, positions) in [(0, 0, 1), (1, 7, 1), (2, 39, 1), (1, 20, 3), (2, 3, 20)] {
            let part: Vec<f32> = (0..8).flat_map(|c| x[(row * 8 + c) * 44 + at..][..positions + 4].to_vec()).collect();
            let got = run(&graph(1, positions + 4), &[part]).remove(0);
            let wanted: Vec<f32> =
                (0..channels).flat_map(|c| all[(row * channels + c) * 40 + at..][..positions].to_vec()).collect();
            assert_eq!(got, wanted, "seed {seed}, row {row}, position {at}");
        }
    }
}
