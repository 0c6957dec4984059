//! Bounds of whole networks: they hold at many points, they are never looser than intervals, and they are not trivial.

use flyball_engine::bounds::{Certifier, Interval, OutputBounds, Tightness, certify, certify_split};
use flyball_engine::index::elements;
use flyball_engine::testing::{Options, random_graph};
use flyball_engine::{Binary, Graph, Unary};

use super::nets;
use super::program::ORDERS;
use super::sampling::{Random, compiled, holds, program, reference};

/// Points per network for the compiled program.
const POINTS: usize = 100_000;
/// Points per network for each of the programs that are as wrong as they may be.
const POINTS_WRONG: usize = 10_000;
/// Random graphs.
const GRAPHS: u64 = 600;
/// Points per network for the reference interpreter, which is slow.
const POINTS_REFERENCE: usize = 4_000;

fn inputs(graph: &Graph) -> usize {
    graph.inputs().iter().map(|n| elements(graph.shape(*n))).sum()
}

fn limits(random: &mut Random, count: usize, radius: f64) -> Vec<(f32, f32)> {
    let mut one = || {
        let centre = random.between(-1.0, 1.0);
        ((centre - radius) as f32, (centre + radius) as f32)
    };
    (0..count).map(|_| one()).collect()
}

#[test]
fn bounds_of_networks_hold_at_many_points() {
    for net in nets::all() {
        for (seed, radius) in [(1, 0.01), (2, 0.2), (3, 2.0)] {
            let at = limits(&mut Random::new(seed), inputs(&net.graph), radius);
            let found = certify(&net.graph, &at).unwrap();
            let bounds = found.outputs.concat();
            assert!(bounds.iter().all(|b| b.is_finite()), "{} at {radius}: {:?}", net.name, found.unbounded);
            holds(net.name, &at, &bounds, POINTS / 3, seed, &mut compiled(&net.graph));
            for order in ORDERS {
                holds(net.name, &at, &bounds, POINTS_WRONG / 3, seed, &mut program(&net.graph, order));
            }
            holds(net.name, &at, &bounds, POINTS_REFERENCE / 3, seed, &mut reference(&net.graph));
        }
    }
}

/// Where rounding is as large as the movement of the inputs, only its allowance keeps the bounds true.
#[test]
fn bounds_hold_where_only_rounding_is_left() {
    for net in nets::all() {
        for (seed, scale) in [(1, 1e-3), (2, 1.0), (3, 1e3), (4, 0.0)] {
            let mut random = Random::new(seed);
            let at: Vec<(f32, f32)> = (0..inputs(&net.graph))
                .map(|_| random.between(-1.0, 1.0) as f32)
                .map(|c| (c, if scale == 0.0 { c } else { c + (scale * 1e-7) as f32 }))
                .collect();
            for tightness in [Tightness::Intervals, Tightness::Outputs, Tightness::Layers] {
                let bounds = bounds(&net.graph, &at, tightness);
                for order in ORDERS {
                    holds(net.name, &at, &bounds, 320, seed, &mut program(&net.graph, order));
                }
                holds(net.name, &at, &bounds, 320, seed, &mut compiled(&net.graph));
                holds(net.name, &at, &bounds, 320, seed, &mut reference(&net.graph));
            }
        }
    }
}

/// A sum that begins with its bias loses every product that is less than half a digit of the bias.
#[test]
fn bounds_hold_where_a_bias_swallows_what_is_added() {
    let mut g = Graph::new();
    let x = g.input(&[1, 128]).unwrap();
    let ones = g.constant(&[128, 1], vec![1.0; 128]).unwrap();
    let bias = g.constant(&[1, 1], vec![1e4]).unwrap();
    let sum = g.matmul(x, ones).unwrap();
    let sum = g.binary(Binary::Add, sum, bias).unwrap();
    g.output(sum);
    let at = [(4.0e-4, 4.1e-4); 128];
    let found = certify(&g, &at).unwrap().outputs.concat();
    let seen = ORDERS.map(|order| holds("large bias", &at, &found, 320, 1, &mut program(&g, order))[0]);
    assert!(seen[2].high == 1e4 && seen[0].low > 1e4 + 0.04, "the orders differ: {seen:?}");
    holds("large bias", &at, &found, 320, 1, &mut compiled(&g));
    assert!(found[0].width() < 0.5, "{found:?}");
}

/// A narrow peak beside the place where the inputs' interval is halved.
#[test]
fn splitting_leaves_no_gap() {
    for peak in [0.995, 1.0, 1.0005, 1.005] {
        let mut g = Graph::new();
        let x = g.input(&[1]).unwrap();
        let [peak, steep, one] = [peak, 250.0, 1.0].map(|v| g.scalar(v).unwrap());
        let off = g.binary(Binary::Subtract, x, peak).unwrap();
        let off = g.unary(Unary::Absolute, off).unwrap();
        let off = g.binary(Binary::Multiply, off, steep).unwrap();
        let off = g.binary(Binary::Subtract, one, off).unwrap();
        let y = g.unary(Unary::Relu, off).unwrap();
        g.output(y);
        for splits in 0..12 {
            let found = certify_split(&g, &[(0.0, 2.0)], splits).unwrap().outputs.concat();
            holds("peak", &[(0.0, 2.0)], &found, 20_000, splits as u64, &mut compiled(&g));
            assert!(found[0].high < 1.001, "{found:?}");
        }
    }
}

/// Graphs of all operators in all combinations.
#[test]
fn bounds_of_random_graphs_hold() {
    let mut finite = 0;
    for seed in 0..GRAPHS {
        let options = Options { inputs: 1 + seed as usize % 3, ..Options::new(1 + seed as usize % 2) };
        let graph = random_graph(seed, &options);
        let radius = [1e-6, 0.01, 0.3][seed as usize % 3];
        let mut at = limits(&mut Random::new(seed), inputs(&graph), radius);
        at.iter_mut().for_each(|(low, high)| (*low, *high) = (low.max(-1.0), high.min(1.0)));
        let name = format!("random graph {seed}");
        let found = certify(&graph, &at).unwrap();
        let (bounds, plain) = (found.outputs.concat(), found.intervals.concat());
        assert!(narrower(&bounds, &plain), "{name}");
        finite += usize::from(bounds.iter().all(|b| b.is_finite()));
        for order in ORDERS {
            holds(&name, &at, &bounds, 160, seed, &mut program(&graph, order));
        }
        holds(&name, &at, &bounds, 480, seed, &mut compiled(&graph));
        holds(&name, &at, &bounds, 32, seed, &mut reference(&graph));
    }
    assert!(finite as u64 * 10 > GRAPHS * 6, "{finite} of {GRAPHS} graphs have finite bounds");
}

fn bounds(graph: &Graph, at: &[(f32, f32)], tightness: Tightness) -> Vec<Interval> {
    let mut certifier = Certifier::new(graph, tightness).unwrap();
    let (low, high): (Vec<f32>, Vec<f32>) = at.iter().copied().unzip();
    let mut out = vec![Interval::WHOLE; certifier.outputs()];
    certifier.run(&low, &high, &mut out).unwrap();
    out
}

fn narrower(a: &[Interval], b: &[Interval]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.low >= b.low && a.high <= b.high)
}

#[test]
fn more_work_never_gives_looser_bounds_and_usually_much_tighter_ones() {
    for net in nets::all() {
        let at = limits(&mut Random::new(9), inputs(&net.graph), 0.1);
        let levels = [Tightness::Intervals, Tightness::Outputs, Tightness::Layers];
        let found: Vec<Vec<Interval>> = levels.iter().map(|t| bounds(&net.graph, &at, *t)).collect();
        assert!(narrower(&found[1], &found[0]) && narrower(&found[2], &found[1]), "{}", net.name);
        let OutputBounds { outputs, intervals, .. } = certify(&net.graph, &at).unwrap();
        assert!(narrower(&outputs.concat(), &intervals.concat()), "{}", net.name);
        let split = certify_split(&net.graph, &at, 8).unwrap().outputs.concat();
        assert!(narrower(&split, &outputs.concat()), "{}: splitting", net.name);
        holds(net.name, &at, &split, 3_000, 9, &mut program(&net.graph, ORDERS[0]));
        let width = |list: &[Interval]| list.iter().map(|i| i.width()).sum::<f64>();
        let gain = width(&intervals.concat()) / width(&outputs.concat());
        let wanted = if net.name.starts_with("MLP") { 3.0 } else { 1.2 };
        assert!(gain > wanted, "{}: relaxation gains a factor of {gain}", net.name);
    }
}

#[test]
fn a_smaller_range_of_the_inputs_gives_smaller_intervals() {
    for net in nets::all() {
        let mut random = Random::new(11);
        for radius in [0.001, 0.1, 3.0] {
            let outer = limits(&mut random, inputs(&net.graph), radius);
            let inner: Vec<(f32, f32)> = outer
                .iter()
                .map(|(l, h)| {
                    let (a, b) = (random.unit() as f32, random.unit() as f32);
                    (l + a.min(b) * (h - l), (l + a.max(b) * (h - l)).min(*h))
                })
                .collect();
            let (inner, outer) =
                (bounds(&net.graph, &inner, Tightness::Intervals), bounds(&net.graph, &outer, Tightness::Intervals));
            for (i, o) in inner.iter().zip(&outer) {
                let rounding = 1e-12 * o.size();
                assert!(i.low >= o.low - rounding && i.high <= o.high + rounding, "{}: {i:?} in {o:?}", net.name);
            }
        }
    }
}

#[test]
fn outputs_move_no_further_than_the_deviation_says() {
    for net in nets::all() {
        let mut random = Random::new(13);
        let count = inputs(&net.graph);
        let centre: Vec<f32> = (0..count).map(|_| random.between(-1.0, 1.0) as f32).collect();
        for radius in [0.0, 1e-4, 0.05] {
            let radii = vec![radius; count];
            let mut certifier = Certifier::new(&net.graph, Tightness::Layers).unwrap();
            let mut reach = vec![0.0; certifier.outputs()];
            certifier.deviation(&centre, &radii, &mut reach).unwrap();
            let at: Vec<(f32, f32)> = centre.iter().map(|c| (c - radius, c + radius)).collect();
            for order in ORDERS {
                let mut run = program(&net.graph, order);
                let nominal = run(&centre.iter().map(|c| [*c; 16]).collect::<Vec<_>>());
                let around = |(n, r): (&[f64; 16], &f64)| Interval { low: n[0] - r, high: n[0] + r };
                let bounds: Vec<Interval> = nominal.iter().zip(&reach).map(around).collect();
                holds(net.name, &at, &bounds, 1_600, 13, &mut run);
            }
            if net.name.starts_with("MLP") {
                let limit = if radius == 0.0 { 1e-3 } else { 200.0 * f64::from(radius) };
                assert!(reach.iter().all(|r| *r < limit), "{}: {reach:?} at {radius}", net.name);
            }
        }
    }
}
