//! Points inside intervals, and the question whether bounds hold at all of them.

use std::sync::Arc;

use flyball_engine::bounds::Interval;
use flyball_engine::reference::{Values, evaluate};
use flyball_engine::testing::Random as Bits;
use flyball_engine::{Graph, Path, Program, index::elements};

use super::program::{Lanes, POINTS};

/// Random numbers in f64, on top of the bits that all tests use.
#[derive(Debug, Clone)]
pub struct Random(Bits);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Bits::new(seed))
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    /// Below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        self.0.below(count)
    }

    /// `count` numbers of about normal distribution and this deviation.
    pub fn weights(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        let normal = |r: &mut Self| (0..12).map(|_| r.unit()).sum::<f64>() - 6.0;
        (0..count).map(|_| (normal(self) * deviation) as f32).collect()
    }
}

/// A number inside its limits; often one of them.
pub fn inside(random: &mut Random, (low, high): (f32, f32)) -> f32 {
    match random.below(8) {
        0 => low,
        1 => high,
        _ => (random.between(f64::from(low), f64::from(high)) as f32).clamp(low, high),
    }
}

/// One of many points; every fourth is a corner.
pub fn points(random: &mut Random, inputs: &[(f32, f32)]) -> Vec<Lanes> {
    let mut at = |(low, high): (f32, f32), p: usize| match p % 4 {
        0 if random.below(2) == 0 => low,
        0 => high,
        _ => inside(random, (low, high)),
    };
    inputs.iter().map(|limits| std::array::from_fn(|p| at(*limits, p))).collect()
}

/// Checks that `bounds` hold whatever `run` returns for points inside `inputs`; `run` takes one list of lanes per number of the inputs and
/// returns one per number of the outputs. Returns the range of what it returned.
pub fn holds(
    what: &str,
    inputs: &[(f32, f32)],
    bounds: &[Interval],
    count: usize,
    seed: u64,
    run: &mut dyn FnMut(&[Lanes]) -> Vec<[f64; POINTS]>,
) -> Vec<Interval> {
    let mut random = Random::new(seed);
    let mut seen = vec![Interval { low: f64::INFINITY, high: f64::NEG_INFINITY }; bounds.len()];
    for _ in 0..count.div_ceil(POINTS) {
        let at = points(&mut random, inputs);
        let out = run(&at);
        assert_eq!(out.len(), bounds.len(), "{what}: one interval per number");
        for (i, (values, bound)) in out.iter().zip(bounds).enumerate() {
            for (p, value) in values.iter().enumerate() {
                let point: Vec<f32> =
                    if bound.contains(*value) { Vec::new() } else { at.iter().map(|x| x[p]).collect() };
                assert!(
                    bound.contains(*value),
                    "{what}, seed {seed}: output {i} is {value:e} outside {bound:?} at {point:?}"
                );
                seen[i].low = seen[i].low.min(*value);
                seen[i].high = seen[i].high.max(*value);
            }
        }
    }
    seen
}

/// The reference interpreter as something that runs.
pub fn reference(graph: &Graph) -> impl FnMut(&[Lanes]) -> Vec<[f64; POINTS]> + '_ {
    move |at: &[Lanes]| {
        let mut out: Vec<[f64; POINTS]> = Vec::new();
        for p in 0..POINTS {
            let mut flat = at.iter().map(|x| f64::from(x[p]));
            let inputs: Vec<Values> =
                graph.inputs().iter().map(|n| flat.by_ref().take(elements(graph.shape(*n))).collect()).collect();
            let values = evaluate(graph, &inputs).concat();
            out.resize(values.len(), [0.0; POINTS]);
            out.iter_mut().zip(values).for_each(|(o, v)| o[p] = v);
        }
        out
    }
}

/// The compiled program as something that runs.
pub fn compiled(graph: &Graph) -> impl FnMut(&[Lanes]) -> Vec<[f64; POINTS]> + use<> {
    let program = Program::compile(graph, Path::best()).expect("test graphs are within all limits");
    let mut instance = Arc::new(program).instance();
    let sizes = |nodes: &[flyball_engine::Node]| nodes.iter().map(|n| elements(graph.shape(*n))).collect::<Vec<_>>();
    let (inputs, outputs) = (sizes(graph.inputs()), sizes(graph.outputs()));
    move |at: &[Lanes]| {
        let mut out = vec![[0.0; POINTS]; outputs.iter().sum()];
        for p in 0..POINTS {
            let mut numbers = at.iter().map(|x| x[p]);
            for i in 0..inputs.len() {
                instance.input_mut(i).iter_mut().zip(numbers.by_ref().take(inputs[i])).for_each(|(to, x)| *to = x);
            }
            instance.run();
            let values = (0..outputs.len()).flat_map(|o| instance.output(o));
            out.iter_mut().zip(values).for_each(|(to, v)| to[p] = f64::from(*v));
        }
        out
    }
}

/// A program in f32 that is as wrong as it may be, as something that runs.
pub fn program(graph: &Graph, order: super::program::Order) -> impl FnMut(&[Lanes]) -> Vec<[f64; POINTS]> + '_ {
    move |at: &[Lanes]| super::program::run(graph, order, at).iter().map(|x| x.map(f64::from)).collect()
}
