//! A graph prepared for bounds: where every number stands, what reads what, and how many roundings lie behind each.
//!
//! Places of numbers that depend on inputs come first, in the order of the steps, constants last. Reshapes and parts of loops are other
//! names of places and make no step.

use super::Interval;
use super::products::Products;
use crate::graph::Node;
use crate::op::{Binary, Unary};

/// Numbers of all nodes together at most; each takes about a hundred bytes in a certifier.
pub const PLACES_MAX: usize = 1 << 22;
/// Multiplications and functions of one run at most.
pub const WORK_MAX: u64 = 1 << 32;

/// Consecutive places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First.
    pub start: usize,
    /// How many.
    pub len: usize,
}

impl Span {
    /// As a range of indices.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }
}

/// Where the elements of one side of a binary function stand.
#[derive(Debug)]
pub struct Operand {
    /// First place of the tensor.
    pub start: usize,
    /// Places counted from there, if they are not consecutive.
    pub places: Option<Vec<usize>>,
}

impl Operand {
    /// Place for element `i` of the result.
    pub fn at(&self, i: usize) -> usize {
        self.start + self.places.as_ref().map_or(i, |p| p[i])
    }
}

/// What a step computes.
#[derive(Debug)]
pub enum Kind {
    /// Fed from outside.
    Input,
    /// A function of each element.
    Unary { function: Unary, x: usize },
    /// A function of two elements; results stay inside `limit`.
    Binary { function: Binary, a: Operand, b: Operand, limit: Interval },
    /// Sums of products of the places from `a` and `b` on.
    Products { products: Products, a: Span, b: Span, bias: Option<Span> },
    /// Sums; `to` is the cell of each element.
    Sum { x: Span, to: Box<[u32]> },
    /// Largest or smallest; `to` is the cell of each element.
    Extreme { largest: bool, x: Span, to: Box<[u32]> },
    /// Moved numbers.
    Index { picks: Box<[u32]> },
    /// Softmax; `to` is the group of each element.
    Softmax { x: Span, to: Box<[u32]>, groups: usize },
    /// A loop.
    Scan(Box<Loop>),
}

/// A loop with the plan of its body. Pairs are (outside, in the body).
#[derive(Debug)]
pub struct Loop {
    /// Number of loops before it in the graph.
    pub slot: usize,
    pub body: Plan,
    pub trips: usize,
    /// Values before the first trip.
    pub states: Vec<(Span, Span)>,
    /// What is read one slice per trip.
    pub scanned: Vec<(Span, Span)>,
    /// What stays.
    pub fixed: Vec<(Span, Span)>,
    /// New states in the body.
    pub updates: Vec<Span>,
    /// Where each stacked output goes, counted from the step's first place, and where it comes from.
    pub stacked: Vec<(usize, Span)>,
}

/// Whether and where linear relaxation tightens a step's results before others read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tighten {
    /// Nobody would profit.
    No,
    /// Where zero lies inside: all readers are linear on each side of it.
    AcrossZero,
    /// Everywhere.
    All,
}

/// One operator.
#[derive(Debug)]
pub struct Step {
    /// Node of the graph.
    pub node: Node,
    pub out: Span,
    pub kind: Kind,
    /// Steps whose results it reads, each once.
    pub reads: Vec<usize>,
    /// Roundings that a product passes through, counted through the chain of sums behind it.
    pub roundings: usize,
    /// Relative error of those, in f32.
    pub gamma: f64,
    /// Absolute error of those by underflow.
    pub floor: f64,
    /// Relative error of coefficients that are carried backwards through the step, in f64.
    pub gamma_64: f64,
    /// The next sum may continue this one, so its mass is kept.
    pub chained: bool,
    /// All terms of the sum are at least 0, whatever the inputs.
    pub nonnegative: bool,
    pub tighten: Tighten,
    /// An output of the graph.
    pub output: bool,
    /// Multiplications and functions.
    pub work: u64,
}

/// A prepared graph.
#[derive(Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub inputs: Vec<Span>,
    pub outputs: Vec<Span>,
    /// Places before this one depend on inputs.
    pub variables: usize,
    /// Numbers of the places from `variables` on.
    pub constants: Vec<f64>,
    /// Multiplications and functions of one run.
    pub work: u64,
}

impl Plan {
    /// True if a step's results have no planes: linear relaxation ends there, at their intervals.
    pub fn is_leaf(&self, step: &Step) -> bool {
        match &step.kind {
            Kind::Input | Kind::Scan(_) | Kind::Softmax { .. } => true,
            Kind::Products { a, b, .. } => a.start < self.variables && b.start < self.variables,
            _ => false,
        }
    }

    /// True if a step's results are sums of what it reads, with constant weights.
    pub fn is_linear(&self, step: &Step) -> bool {
        let fixed = |start: usize| start >= self.variables;
        match &step.kind {
            Kind::Unary { function, .. } => *function == Unary::Negate,
            Kind::Binary { function: Binary::Add | Binary::Subtract, .. } => true,
            Kind::Binary { function: Binary::Multiply, a, b, .. } => fixed(a.start) || fixed(b.start),
            Kind::Binary { function: Binary::Divide, b, .. } => fixed(b.start),
            Kind::Products { a, b, .. } => fixed(a.start) || fixed(b.start),
            Kind::Sum { .. } | Kind::Index { .. } => true,
            _ => false,
        }
    }

    /// Number of places.
    pub fn places(&self) -> usize {
        self.variables + self.constants.len()
    }
}
