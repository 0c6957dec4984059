//! Makes the plan of a graph: gives every live node its places and counts the roundings behind it.

use std::collections::BTreeMap;

use super::Interval;
use super::api::BoundsError;
use super::patterns::{Pattern, find};
use super::plan::{Kind, Loop, Operand, PLACES_MAX, Plan, Span, Step, Tighten, WORK_MAX};
use super::products::{Convolution, MatMul, Products, cells, spread};
use super::round::{FLOOR, ROUNDINGS_MAX, gamma, gamma_64};
use crate::graph::{Graph, Node};
use crate::index::{FILLED, elements};
use crate::op::{Binary, Op, ReduceKind, Scan, Unary};

/// The node itself, or what it reshapes.
fn resolve(graph: &Graph, node: Node) -> Node {
    match graph.node(node).op {
        Op::Reshape => resolve(graph, graph.node(node).inputs[0]),
        _ => node,
    }
}

/// The step that a node's numbers belong to: reshapes and parts have none of their own.
fn owner(graph: &Graph, node: Node) -> Node {
    let node = resolve(graph, node);
    match graph.node(node).op {
        Op::Part(_) => graph.node(node).inputs[0],
        _ => node,
    }
}

/// Numbers of all results of a loop: where each begins, and the total.
fn results(scan: &Scan) -> (Vec<usize>, usize) {
    let mut total = 0;
    let starts = scan.body.outputs().iter().enumerate().map(|(i, output)| {
        let start = total;
        total += elements(scan.body.shape(*output)) * if i < scan.states { 1 } else { scan.trips };
        start
    });
    (starts.collect(), total)
}

/// What is known of a node once it has its place.
#[derive(Clone, Copy)]
struct Known {
    span: Span,
    step: Option<usize>,
    roundings: usize,
    nonnegative: bool,
}

struct Builder<'g> {
    graph: &'g Graph,
    known: Vec<Option<Known>>,
    readers: Vec<u32>,
    plan: Plan,
    next: usize,
    loops: usize,
    /// Constants by the numbers that they share with others: those of a body that is written out many times stand once.
    shared: BTreeMap<(*const f32, usize), Span>,
}

impl Plan {
    /// Prepares a graph. Everything that nothing leads to an output from is left out.
    pub fn new(graph: &Graph) -> Result<Self, BoundsError> {
        let patterns: Vec<Option<Pattern>> = (0..graph.nodes().len()).map(|i| find(graph, Node(i as u32))).collect();
        let reads = |node: Node| match &patterns[node.index()] {
            Some(Pattern::Softmax(x, _)) => std::slice::from_ref(x),
            _ => &graph.node(node).inputs,
        };
        let mut live = vec![false; graph.nodes().len()];
        let mut readers = vec![0_u32; graph.nodes().len()];
        for node in graph.inputs().iter().chain(graph.outputs()) {
            live[node.index()] = true;
        }
        for output in graph.outputs() {
            readers[owner(graph, *output).index()] += 1;
        }
        for node in (0..graph.nodes().len()).rev().map(|i| Node(i as u32)) {
            if !live[node.index()] {
                continue;
            }
            let alias = owner(graph, node) != node;
            for input in reads(node) {
                live[input.index()] = true;
                readers[owner(graph, *input).index()] += u32::from(!alias);
            }
        }
        let size = |node: &Node| match &graph.node(*node).op {
            Op::Constant(_) | Op::Reshape | Op::Part(_) => 0,
            Op::Scan(scan) => results(scan).1,
            _ => elements(graph.shape(*node)),
        };
        let alive = || (0..graph.nodes().len()).map(|i| Node(i as u32)).filter(|n| live[n.index()]);
        let variables: usize = alive().map(|n| size(&n)).sum();
        if variables > PLACES_MAX {
            return Err(BoundsError::TooLarge { numbers: variables });
        }
        let plan = Self {
            steps: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            variables,
            constants: Vec::new(),
            work: 0,
        };
        let mut builder = Builder {
            graph,
            known: vec![None; graph.nodes().len()],
            readers,
            plan,
            next: 0,
            loops: 0,
            shared: BTreeMap::new(),
        };
        for node in alive() {
            builder.add(node, patterns[node.index()].as_ref())?;
        }
        builder.finish()
    }
}

impl Builder<'_> {
    fn known(&self, node: Node) -> Known {
        self.known[node.index()].expect("inputs of a live node are live and come first")
    }

    fn is_constant(&self, span: Span) -> bool {
        span.start >= self.plan.variables
    }

    /// Roundings behind a node as its only reader sees them: what several read is a finished number.
    fn chain(&self, node: Node) -> usize {
        let alone = self.readers[owner(self.graph, node).index()] == 1;
        if alone { self.known(node).roundings } else { 0 }
    }

    fn constant(&mut self, numbers: impl Iterator<Item = f32>) -> Span {
        let start = self.plan.variables + self.plan.constants.len();
        self.plan.constants.extend(numbers.map(f64::from));
        Span { start, len: self.plan.variables + self.plan.constants.len() - start }
    }

    fn add(&mut self, node: Node, pattern: Option<&Pattern>) -> Result<(), BoundsError> {
        let data = self.graph.node(node);
        let known = match &data.op {
            Op::Constant(numbers) => {
                let nonnegative = numbers.iter().all(|v| *v >= 0.0);
                let key = (numbers.as_ptr(), numbers.len());
                let span = self.shared.get(&key).copied().unwrap_or_else(|| self.constant(numbers.iter().copied()));
                self.shared.insert(key, span);
                Known { span, step: None, roundings: 0, nonnegative }
            }
            Op::Reshape => self.known(data.inputs[0]),
            Op::Part(i) => {
                let Op::Scan(scan) = &self.graph.node(data.inputs[0]).op else { unreachable!("parts read loops") };
                let whole = self.known(data.inputs[0]);
                let start = whole.span.start + results(scan).0[*i];
                Known { span: Span { start, len: elements(&data.shape) }, ..whole }
            }
            _ => self.step(node, pattern)?,
        };
        self.known[node.index()] = Some(known);
        Ok(())
    }

    fn step(&mut self, node: Node, pattern: Option<&Pattern>) -> Result<Known, BoundsError> {
        let data = self.graph.node(node);
        let inputs: Vec<Known> =
            data.inputs.iter().map(|n| self.known[n.index()]).collect::<Option<_>>().unwrap_or_default();
        let mut out = Span { start: self.next, len: elements(&data.shape) };
        let mut read: Vec<Node> = data.inputs.clone();
        let mut work = out.len;
        // Roundings of the chain, and the sign of its terms.
        let (mut roundings, mut nonnegative) = (0, false);
        let kind = match (&data.op, pattern) {
            (_, Some(Pattern::Softmax(x, axes))) => {
                read = vec![*x];
                let mut reduced = data.shape.clone();
                axes.iter().for_each(|a| reduced[*a] = 1);
                let groups = elements(&reduced);
                nonnegative = true;
                work *= 4;
                Kind::Softmax { x: self.known(*x).span, to: cells(&reduced, &data.shape), groups }
            }
            (Op::Unary(function), _) => {
                let x = inputs[0];
                nonnegative = keeps_sign(*function, x.nonnegative);
                if *function == Unary::Negate {
                    roundings = self.chain(data.inputs[0]);
                }
                Kind::Unary { function: *function, x: x.span.start }
            }
            // The same number twice.
            (Op::Binary(Binary::Multiply), _) if data.inputs[0] == data.inputs[1] => {
                nonnegative = true;
                Kind::Unary { function: Unary::Square, x: inputs[0].span.start }
            }
            (Op::Binary(function), pattern) => {
                let (a, b) = (inputs[0], inputs[1]);
                let by_constant = self.is_constant(b.span);
                let chained = match function {
                    Binary::Add | Binary::Subtract | Binary::Multiply => true,
                    Binary::Divide => by_constant,
                    _ => false,
                };
                if chained {
                    // A constant divisor may be turned into a factor, which is rounded too.
                    let own = if *function == Binary::Divide { 2 } else { 1 };
                    roundings = self.chain(data.inputs[0]) + self.chain(data.inputs[1]) + own;
                }
                nonnegative = match function {
                    Binary::Add | Binary::Multiply | Binary::Divide | Binary::Minimum => a.nonnegative && b.nonnegative,
                    Binary::Maximum => a.nonnegative || b.nonnegative,
                    Binary::Greater | Binary::Equal => true,
                    _ => false,
                };
                let operand = |known: Known, node: Node| Operand {
                    start: known.span.start,
                    places: spread(self.graph.shape(node), &data.shape),
                };
                let limit = if let Some(Pattern::Limit(limit)) = pattern { *limit } else { Interval::WHOLE };
                let (a, b) = (operand(a, data.inputs[0]), operand(b, data.inputs[1]));
                Kind::Binary { function: *function, a, b, limit }
            }
            (Op::MatMul | Op::Conv(_), _) => {
                let shape = |i: usize| self.graph.shape(data.inputs[i]);
                let products = match &data.op {
                    Op::Conv(conv) => Products::Conv(Convolution::new(conv, shape(0), shape(1), &data.shape)),
                    _ => Products::MatMul(MatMul::new(shape(0), shape(1), &data.shape)),
                };
                let chains: usize = data.inputs.iter().map(|n| self.chain(*n)).sum();
                roundings = chains + products.length() + 2;
                nonnegative = inputs.iter().all(|i| i.nonnegative);
                work = out.len * products.length();
                Kind::Products { products, a: inputs[0].span, b: inputs[1].span, bias: inputs.get(2).map(|i| i.span) }
            }
            (Op::Reduce { kind, .. }, _) => {
                let (x, from) = (inputs[0], self.graph.shape(data.inputs[0]));
                let to = cells(&data.shape, from);
                work = to.len();
                nonnegative = x.nonnegative;
                if *kind == ReduceKind::Sum {
                    roundings = self.chain(data.inputs[0]) + to.len() / out.len.max(1);
                    Kind::Sum { x: x.span, to }
                } else {
                    Kind::Extreme { largest: *kind == ReduceKind::Maximum, x: x.span, to }
                }
            }
            (Op::Index(map), _) => {
                roundings = data.inputs.iter().map(|n| self.chain(*n)).max().unwrap_or(0);
                let fills = map.picks.contains(&FILLED);
                nonnegative = inputs.iter().all(|i| i.nonnegative) && (!fills || map.fill >= 0.0);
                let fill = if fills { self.constant(std::iter::once(map.fill)).start } else { 0 };
                let all: Vec<u32> = inputs.iter().flat_map(|i| i.span.range()).map(|p| p as u32).collect();
                let pick = |p: &u32| if *p == FILLED { fill as u32 } else { all[*p as usize] };
                Kind::Index { picks: map.picks.iter().map(pick).collect() }
            }
            (Op::Scan(scan), _) => {
                out.len = results(scan).1;
                let inner = self.scan(scan, &inputs)?;
                work = usize::try_from(inner.body.work).unwrap_or(usize::MAX).saturating_mul(scan.trips);
                Kind::Scan(Box::new(inner))
            }
            (Op::Input, _) => {
                self.plan.inputs.push(out);
                Kind::Input
            }
            (Op::Constant(_) | Op::Reshape | Op::Part(_), _) => unreachable!("no steps of their own"),
        };
        if roundings > ROUNDINGS_MAX {
            return Err(BoundsError::TooLong { node: node.0, roundings });
        }
        let mut reads: Vec<usize> = read.iter().filter_map(|n| self.known(*n).step).collect();
        reads.sort_unstable();
        reads.dedup();
        self.next += out.len;
        self.plan.work = self.plan.work.saturating_add(work as u64);
        let gamma_64 = gamma_64(2 * out.len + 8 * roundings + 16);
        self.plan.steps.push(Step {
            node,
            out,
            kind,
            reads,
            roundings,
            gamma: gamma(roundings) + gamma_64,
            floor: roundings as f64 * FLOOR,
            gamma_64,
            chained: roundings > 0 && self.readers[node.index()] == 1,
            nonnegative,
            tighten: Tighten::No,
            output: false,
            work: work as u64,
        });
        Ok(Known { span: out, step: Some(self.plan.steps.len() - 1), roundings, nonnegative })
    }

    fn scan(&mut self, scan: &Scan, inputs: &[Known]) -> Result<Loop, BoundsError> {
        let body = Plan::new(&scan.body)?;
        let (starts, _) = results(scan);
        let mut pairs: Vec<(Span, Span)> = inputs.iter().map(|i| i.span).zip(body.inputs.iter().copied()).collect();
        let fixed = pairs.split_off(scan.states + scan.scanned);
        let scanned = pairs.split_off(scan.states);
        let updates = body.outputs[..scan.states].to_vec();
        let stacked = starts[scan.states..].iter().copied().zip(body.outputs[scan.states..].iter().copied()).collect();
        let slot = self.loops;
        self.loops += 1;
        Ok(Loop { slot, body, trips: scan.trips, states: pairs, scanned, fixed, updates, stacked })
    }

    fn finish(self) -> Result<Plan, BoundsError> {
        let outputs: Vec<Known> = self.graph.outputs().iter().map(|o| self.known(*o)).collect();
        let mut plan = self.plan;
        plan.outputs = outputs.iter().map(|o| o.span).collect();
        outputs.iter().filter_map(|o| o.step).for_each(|s| plan.steps[s].output = true);
        if plan.places() > PLACES_MAX {
            return Err(BoundsError::TooLarge { numbers: plan.places() });
        }
        if plan.work > WORK_MAX {
            return Err(BoundsError::TooMuchWork { work: plan.work, max: WORK_MAX });
        }
        let mut wanted = vec![Tighten::No; plan.steps.len()];
        for step in plan.steps.iter().filter(|s| !plan.is_linear(s)) {
            let kinked = matches!(step.kind, Kind::Unary { function: Unary::Relu | Unary::LeakyRelu { .. }, .. });
            for read in &step.reads {
                let new = if kinked && wanted[*read] != Tighten::All { Tighten::AcrossZero } else { Tighten::All };
                wanted[*read] = new;
            }
        }
        for (i, wanted) in wanted.into_iter().enumerate() {
            plan.steps[i].tighten = if plan.is_linear(&plan.steps[i]) { wanted } else { Tighten::No };
        }
        Ok(plan)
    }
}

/// True where the function's values are at least 0, given whether its argument is.
fn keeps_sign(function: Unary, argument: bool) -> bool {
    match function {
        Unary::Absolute | Unary::Square | Unary::Sqrt | Unary::Exp | Unary::Relu | Unary::Sigmoid => true,
        Unary::HardSigmoid { .. } => true,
        Unary::Tanh | Unary::Erf | Unary::LeakyRelu { .. } | Unary::HardSwish => argument,
        Unary::Clip { low, high } => low.min(high) >= 0.0 || (argument && high >= 0.0),
        _ => false,
    }
}
