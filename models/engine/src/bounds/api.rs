//! What callers see: bounds at load, and a prepared certifier for each scan.

use std::fmt;
use std::sync::Arc;

use super::Interval;
use super::backward::{LANES, Relaxation};
use super::forward::Bounds;
use super::plan::{Kind, PLACES_MAX, Plan, Tighten, WORK_MAX};
use super::round::ROUNDINGS_MAX;
use super::split::Search;
use super::unroll::unroll;
use crate::graph::Graph;
use crate::op::{Binary, Op, Unary};

/// How much work is spent on tight bounds. None is looser than `Intervals` (but for rounding in f64); more work is usually tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tightness {
    /// Interval propagation: a few times the work of the network itself.
    Intervals,
    /// And linear relaxation of the outputs, over the intervals of everything between: once through the network per four outputs.
    Outputs,
    /// And linear relaxation of every argument of a nonlinear function, layer by layer.
    Layers,
}

/// Why bounds cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundsError {
    /// Not one number per number of the graph's inputs.
    Inputs {
        /// Numbers of all inputs of the graph.
        expected: usize,
        /// Numbers given.
        received: usize,
    },
    /// Not one place per number of the graph's outputs.
    Outputs {
        /// Numbers of all outputs of the graph.
        expected: usize,
        /// Places given.
        received: usize,
    },
    /// An input's lower limit is above its upper limit, or one of them is NaN.
    Order {
        /// Which number of the inputs.
        place: usize,
    },
    /// The graph has too many numbers.
    TooLarge {
        /// Numbers of all nodes together.
        numbers: usize,
    },
    /// One run would take too much work.
    TooMuchWork {
        /// Multiplications and functions of one run.
        work: u64,
        /// Allowed.
        max: u64,
    },
    /// A sum is so long that rounding in f32 cannot be bounded in a useful way.
    TooLong {
        /// Place of the node in the graph.
        node: u32,
        /// Roundings that one product passes through.
        roundings: usize,
    },
}

impl fmt::Display for BoundsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inputs { expected, received } => {
                write!(f, "{received} numbers for inputs of {expected} numbers: give one per number, input after input")
            }
            Self::Outputs { expected, received } => {
                write!(
                    f,
                    "{received} places for outputs of {expected} numbers: give one per number, output after output"
                )
            }
            Self::Order { place } => {
                write!(f, "the limits of input number {place} are in the wrong order or NaN: give the lower one first")
            }
            Self::TooLarge { numbers } => {
                write!(
                    f,
                    "{numbers} numbers in all nodes together; at most {PLACES_MAX} can be bounded: use a smaller network"
                )
            }
            Self::TooMuchWork { work, max } => {
                write!(
                    f,
                    "{work} multiplications; at most {max} are allowed: ask for less tightness or use a smaller network"
                )
            }
            Self::TooLong { node, roundings } => {
                write!(
                    f,
                    "node {node} sums {roundings} products; at most {ROUNDINGS_MAX} can be bounded: split the sum"
                )
            }
        }
    }
}

impl std::error::Error for BoundsError {}

/// A graph prepared for bounds, with all buffers. Runs allocate nothing and do the same work whatever the numbers.
#[derive(Debug)]
pub struct Certifier {
    plan: Plan,
    bounds: Bounds,
    relaxation: Option<Relaxation>,
    tightness: Tightness,
    work: u64,
    limits: [Vec<f32>; 2],
    nominal: Vec<Interval>,
}

impl Certifier {
    /// Prepares a graph. Allocates.
    ///
    /// # Errors
    /// The graph is too large, or bounds of this tightness take too much work.
    pub fn new(graph: &Graph, tightness: Tightness) -> Result<Self, BoundsError> {
        let plan = Plan::new(graph)?;
        let work = plan.work.saturating_add(relaxation_work(&plan, tightness));
        if work > WORK_MAX {
            return Err(BoundsError::TooMuchWork { work, max: WORK_MAX });
        }
        let relaxation = (tightness > Tightness::Intervals).then(|| Relaxation::new(&plan));
        let inputs = plan.inputs.iter().map(|s| s.len).sum();
        let outputs = plan.outputs.iter().map(|s| s.len).sum();
        Ok(Self {
            bounds: Bounds::new(&plan),
            plan,
            relaxation,
            tightness,
            work,
            limits: std::array::from_fn(|_| vec![0.0; inputs]),
            nominal: vec![Interval::WHOLE; outputs],
        })
    }

    /// The tightest certifier whose work is allowed. Allocates.
    ///
    /// # Errors
    /// The graph is too large.
    pub fn tightest(graph: &Graph) -> Result<Self, BoundsError> {
        let tighter = [Tightness::Layers, Tightness::Outputs].into_iter().map(|t| Self::new(graph, t));
        tighter.filter_map(Result::ok).next().map_or_else(|| Self::new(graph, Tightness::Intervals), Ok)
    }

    /// Numbers of all inputs together.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.limits[0].len()
    }

    /// Numbers of all outputs together.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.nominal.len()
    }

    /// What it was made for.
    #[must_use]
    pub fn tightness(&self) -> Tightness {
        self.tightness
    }

    /// Multiplications and functions of one run at most.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Bounds of all outputs, one after the other, for inputs between `low` and `high`. The limits are those of the numbers in f32: since
    /// rounding keeps order, limits rounded from f64 hold for inputs rounded from f64. Allocates nothing; bounded by [`Certifier::work`].
    ///
    /// # Errors
    /// The lengths differ from the graph's, or a pair of limits is in the wrong order; then `out` is as before.
    pub fn run(&mut self, low: &[f32], high: &[f32], out: &mut [Interval]) -> Result<(), BoundsError> {
        self.check(low, high, out.len())?;
        self.pass(low, high, true);
        self.take(out);
        Ok(())
    }

    /// How far each output can move when every input stays within its radius of a centre: at most `out` from the output at the centre,
    /// and infinity where nothing is known. Allocates nothing; bounded by [`Certifier::work`] and once the work of the intervals.
    ///
    /// # Errors
    /// The lengths differ from the graph's, or a radius is negative or NaN; then `out` is as before.
    pub fn deviation(&mut self, centre: &[f32], radius: &[f32], out: &mut [f64]) -> Result<(), BoundsError> {
        if radius.len() != self.inputs() {
            return Err(BoundsError::Inputs { expected: self.inputs(), received: radius.len() });
        }
        self.check(centre, centre, out.len())?;
        let [mut low, mut high] = std::mem::take(&mut self.limits);
        for i in 0..centre.len() {
            low[i] = (centre[i] - radius[i]).next_down();
            high[i] = (centre[i] + radius[i]).next_up();
        }
        // A negative radius is refused even where rounding would hide it.
        let wrong = radius.iter().position(|r| r.is_nan() || *r < 0.0);
        let checked = match wrong {
            Some(place) => Err(BoundsError::Order { place }),
            None => self.check_order(&low, &high),
        };
        if checked.is_ok() {
            self.pass(centre, centre, false);
            let mut nominal = std::mem::take(&mut self.nominal);
            self.take(&mut nominal);
            self.pass(&low, &high, true);
            let outputs = self.plan.outputs.iter().flat_map(|s| s.range());
            for ((place, at), out) in outputs.zip(&nominal).zip(out) {
                let x = self.bounds.at(place);
                let reach = (x.high - at.low).max(at.high - x.low).next_up();
                *out = if x.is_finite() && at.is_finite() { reach } else { f64::INFINITY };
            }
            self.nominal = nominal;
        }
        self.limits = [low, high];
        checked
    }

    fn check(&self, low: &[f32], high: &[f32], out: usize) -> Result<(), BoundsError> {
        for list in [low, high] {
            if list.len() != self.inputs() {
                return Err(BoundsError::Inputs { expected: self.inputs(), received: list.len() });
            }
        }
        if out != self.outputs() {
            return Err(BoundsError::Outputs { expected: self.outputs(), received: out });
        }
        self.check_order(low, high)
    }

    fn check_order(&self, low: &[f32], high: &[f32]) -> Result<(), BoundsError> {
        let ordered = |(l, h): (&f32, &f32)| l <= h;
        match low.iter().zip(high).position(|pair| !ordered(pair)) {
            Some(place) => Err(BoundsError::Order { place }),
            None => Ok(()),
        }
    }

    fn pass(&mut self, low: &[f32], high: &[f32], relaxed: bool) {
        let places = self.plan.inputs.iter().flat_map(|s| s.range());
        for ((place, low), high) in places.zip(low).zip(high) {
            self.bounds.set(place, Interval { low: f64::from(*low), high: f64::from(*high) });
        }
        if let Some(relaxation) = self.relaxation.as_mut().filter(|_| relaxed) {
            relaxation.influence.fill(0.0);
        }
        for (i, step) in self.plan.steps.iter().enumerate() {
            self.bounds.forward(step);
            let Some(relaxation) = self.relaxation.as_mut().filter(|_| relaxed) else { continue };
            relaxation.lay(&self.plan, i, &mut self.bounds);
            if is_target(&self.plan, i, self.tightness) {
                relaxation.tighten(&self.plan, &mut self.bounds, i, step.output);
            }
        }
    }

    fn take(&self, out: &mut [Interval]) {
        let places = self.plan.outputs.iter().flat_map(|s| s.range());
        places.zip(out).for_each(|(place, out)| *out = self.bounds.at(place));
    }

    /// After a run: how much each number of the inputs contributes to the width of the outputs' bounds.
    pub(super) fn influence(&self) -> impl Iterator<Item = f64> + '_ {
        let places = self.plan.inputs.iter().flat_map(|s| s.range());
        places.map(|place| self.relaxation.as_ref().map_or(0.0, |r| r.influence[place]))
    }

    /// After a run: the first node of which nothing is known although it reads only finite numbers.
    fn unbounded(&self, graph: &Graph) -> Option<Unbounded> {
        let infinite = |place: usize| !self.bounds.at(place).is_finite();
        let step = self.plan.steps.iter().find(|s| s.out.range().any(infinite))?;
        let data = graph.node(step.node);
        let reason = match (&step.kind, &data.op) {
            (Kind::Input, _) => Reason::Input,
            (Kind::Unary { function: Unary::Sqrt | Unary::Log, .. }, _) => Reason::Argument,
            (Kind::Binary { function: Binary::Divide, .. }, _) => Reason::Divisor,
            (Kind::Binary { function: Binary::Power, .. }, _) => Reason::Power,
            (Kind::Scan(_), Op::Scan(_)) => Reason::Loop,
            _ => Reason::Overflow,
        };
        Some(Unbounded { node: step.node.0, origin: Arc::clone(&data.origin), reason })
    }
}

fn is_target(plan: &Plan, step: usize, tightness: Tightness) -> bool {
    let step = &plan.steps[step];
    let inner = tightness == Tightness::Layers && step.tighten != Tighten::No;
    (inner || step.output) && !plan.is_leaf(step)
}

/// Multiplications of linear relaxation, if every row passes through everything before it.
fn relaxation_work(plan: &Plan, tightness: Tightness) -> u64 {
    if tightness == Tightness::Intervals {
        return 0;
    }
    let (mut before, mut total) = (0_u64, 0_u64);
    for (i, step) in plan.steps.iter().enumerate() {
        before = before.saturating_add(if plan.is_leaf(step) { step.out.len as u64 } else { step.work });
        if is_target(plan, i, tightness) {
            let rows = (2 * step.out.len).next_multiple_of(LANES) as u64;
            total = total.saturating_add(rows.saturating_mul(before));
        }
    }
    total
}

/// Why bounds are infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An input has an infinite limit.
    Input,
    /// A divisor can be 0.
    Divisor,
    /// The argument of a root or logarithm can be negative or 0.
    Argument,
    /// A power of a number that can be negative, or a negative power of one that can be 0.
    Power,
    /// Something in the body of a loop.
    Loop,
    /// A number can exceed the largest f32.
    Overflow,
}

/// Where bounds become infinite.
#[derive(Debug, Clone, PartialEq)]
pub struct Unbounded {
    /// Place of the node in the graph.
    pub node: u32,
    /// Name of the file's node that it came from.
    pub origin: Arc<str>,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Unbounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::Input => "an input has an infinite limit",
            Reason::Divisor => "a divisor can be 0",
            Reason::Argument => "the argument of a root or logarithm can be negative or 0",
            Reason::Power => "the base of a power can be negative or 0",
            Reason::Loop => "a number in the body of a loop can be infinite or undefined",
            Reason::Overflow => "a number can exceed the largest f32",
        };
        write!(f, "no bounds behind node {} ({}): {reason}", self.node, self.origin)
    }
}

/// Certified bounds of all outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputBounds {
    /// One list per output of the graph, row-major.
    pub outputs: Vec<Vec<Interval>>,
    /// What interval propagation alone gives.
    pub intervals: Vec<Vec<Interval>>,
    /// How they were computed.
    pub tightness: Tightness,
    /// Where and why bounds become infinite, if any do.
    pub unbounded: Option<Unbounded>,
}

/// Bounds of all outputs for inputs inside these pairs of limits (lower, upper), one pair per number of the inputs, input after input.
/// As tight as linear relaxation makes them within the allowed work, with loops written out where that is affordable. For use at load:
/// allocates, and may take seconds for a large network.
///
/// # Errors
/// Number or order of the limits is wrong, or the graph is too large.
pub fn certify(graph: &Graph, inputs: &[(f32, f32)]) -> Result<OutputBounds, BoundsError> {
    certify_split(graph, inputs, 0)
}

/// As [`certify`], and the inputs' intervals are halved up to `splits` times where it tightens the bounds most. Each split costs two runs;
/// there are fewer where all of them together would take more than eight times the work that one run may take.
///
/// # Errors
/// Number or order of the limits is wrong, or the graph is too large.
pub fn certify_split(graph: &Graph, inputs: &[(f32, f32)], splits: usize) -> Result<OutputBounds, BoundsError> {
    let (mut low, mut high): (Vec<f32>, Vec<f32>) = inputs.iter().copied().unzip();
    let mut plain = Certifier::new(graph, Tightness::Intervals)?;
    let mut intervals = vec![Interval::WHOLE; plain.outputs()];
    plain.run(&low, &high, &mut intervals)?;
    let mut unbounded = plain.unbounded(graph);
    let written_out = unroll(graph);
    let (unrolled, extra) = match &written_out {
        Some((unrolled, extra)) => (unrolled, extra.as_slice()),
        None => (graph, [].as_slice()),
    };
    low.extend(extra);
    high.extend(extra);
    // What does not fit when it is written out is bounded with its loops.
    let mut tight = match Certifier::tightest(unrolled) {
        Ok(tight) if tight.tightness > Tightness::Intervals => tight,
        _ => {
            low.truncate(inputs.len());
            high.truncate(inputs.len());
            Certifier::tightest(graph)?
        }
    };
    let affordable = usize::try_from(4 * WORK_MAX / tight.work.max(1)).unwrap_or(usize::MAX);
    let splits = splits.min(affordable);
    let mut outputs = intervals.clone();
    Search::new(low, high).run(&mut tight, splits, &mut outputs)?;
    if outputs.iter().all(|o| o.is_finite()) {
        unbounded = None;
    }
    Ok(OutputBounds {
        outputs: divide(graph, &outputs),
        intervals: divide(graph, &intervals),
        tightness: tight.tightness,
        unbounded,
    })
}

/// One list per output.
fn divide(graph: &Graph, all: &[Interval]) -> Vec<Vec<Interval>> {
    let mut rest = all;
    let mut take = |len: usize| {
        let (own, others) = rest.split_at(len);
        rest = others;
        own.to_vec()
    };
    graph.outputs().iter().map(|o| take(crate::index::elements(graph.shape(*o)))).collect()
}
