//! The operators of a graph: few on purpose, so that values, gradients, bounds and kernels are each written once.
//!
//! Pooling, softmax, normalisation and recurrent cells are built from these. What moves numbers without changing them (transpose,
//! slice, pad, concatenate, gather, expand) is one operator, [`Op::Index`].

use crate::graph::{Graph, Node};
use crate::index::IndexMap;
use std::sync::Arc;

/// A function of one number, element by element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// -x
    Negate,
    /// |x|
    Absolute,
    /// x^2
    Square,
    /// Square root; NaN below 0.
    Sqrt,
    /// e^x
    Exp,
    /// Natural logarithm; NaN below 0.
    Log,
    /// Gauss error function.
    Erf,
    /// max(x, 0)
    Relu,
    /// x above 0, `slope` x below.
    LeakyRelu {
        /// Slope below 0.
        slope: f32,
    },
    /// x above 0, alpha (e^x - 1) below.
    Elu {
        /// Asymptote below 0 is -alpha.
        alpha: f32,
    },
    /// gamma x above 0, gamma alpha (e^x - 1) below.
    Selu {
        /// ONNX attribute alpha.
        alpha: f32,
        /// ONNX attribute gamma.
        gamma: f32,
    },
    /// x (1 + erf(x / sqrt 2)) / 2
    Gelu,
    /// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
    GeluTanh,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// alpha x + beta, limited to 0 and 1.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// x times (x / 6 + 1 / 2) limited to 0 and 1.
    HardSwish,
    /// ln(1 + e^x)
    Softplus,
    /// x limited to `low` and `high`; either may be infinite.
    Clip {
        /// Lower limit.
        low: f32,
        /// Upper limit.
        high: f32,
    },
}

impl Unary {
    /// Name, as shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Negate => "negate",
            Self::Absolute => "absolute",
            Self::Square => "square",
            Self::Sqrt => "sqrt",
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Erf => "erf",
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky relu",
            Self::Elu { .. } => "elu",
            Self::Selu { .. } => "selu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu (tanh)",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::HardSigmoid { .. } => "hard sigmoid",
            Self::HardSwish => "hard swish",
            Self::Softplus => "softplus",
            Self::Clip { .. } => "clip",
        }
    }

    /// True when the slope is computed from the function's value instead of its argument ([`Binary::Slope`]).
    #[must_use]
    pub fn slope_from_output(self) -> bool {
        matches!(
            self,
            Self::Sqrt | Self::Exp | Self::Tanh | Self::Sigmoid | Self::Softplus | Self::Elu { .. } | Self::Selu { .. }
        )
    }
}

/// A function of two numbers, element by element; either side broadcasts where its dimension is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Subtract,
    /// a b
    Multiply,
    /// a / b
    Divide,
    /// The smaller; NaN if either is.
    Minimum,
    /// The larger; NaN if either is.
    Maximum,
    /// a^b; NaN for a negative a and a b that is no integer.
    Power,
    /// a above 0, b a below (parametric relu).
    PRelu,
    /// 1 where a > b, else 0.
    Greater,
    /// 1 where a = b, else 0.
    Equal,
    /// a times the derivative of the function at b. b is the function's value where [`Unary::slope_from_output`] says so, else its
    /// argument. At a kink the derivative is that of the side below (0 for relu at 0).
    Slope(Unary),
}

impl Binary {
    /// Name, as shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Divide => "divide",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Power => "power",
            Self::PRelu => "prelu",
            Self::Greater => "greater",
            Self::Equal => "equal",
            Self::Slope(_) => "slope",
        }
    }
}

/// What a reduction does with the numbers along its axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Sum.
    Sum,
    /// Largest.
    Maximum,
    /// Smallest.
    Minimum,
}

/// Geometry of a convolution over one or two spatial axes. Weights have shape [out, in / groups, kernel...].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Step between outputs, per spatial axis.
    pub strides: Vec<usize>,
    /// Distance of taps, per spatial axis.
    pub dilations: Vec<usize>,
    /// Zeros before and after, per spatial axis.
    pub pads: Vec<(usize, usize)>,
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

/// A loop over time: `trips` runs of the body, state carried from one to the next.
///
/// Inputs of the node and of the body stand in the same order: first values of the states, then scanned tensors (the node's have one
/// more axis in front, of length `trips`; the body sees one slice without it), then tensors that stay. Outputs of the body: new states in
/// the same order, then what is stacked. Parts of the node: last states, then stacked tensors with `trips` in front.
#[derive(Debug, Clone)]
pub struct Scan {
    /// One trip.
    pub body: Arc<Graph>,
    /// Number of trips, at least 1.
    pub trips: usize,
    /// Number of states.
    pub states: usize,
    /// Number of scanned inputs.
    pub scanned: usize,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Op {
    /// Fed from outside.
    Input,
    /// Weights and other fixed numbers, row-major.
    Constant(Arc<[f32]>),
    /// One input.
    Unary(Unary),
    /// Two inputs of the node's rank, dimensions equal or 1.
    Binary(Binary),
    /// [batch..., m, k] times [batch..., k, n]; batch dimensions equal or 1.
    MatMul,
    /// x [n, channels, spatial...], weights, optionally bias [out].
    Conv(Conv),
    /// One input; reduced axes stay with length 1.
    Reduce {
        /// What is done.
        kind: ReduceKind,
        /// Ascending.
        axes: Vec<usize>,
    },
    /// Moves numbers of one or more inputs.
    Index(IndexMap),
    /// The same numbers under another shape.
    Reshape,
    /// A loop; its results are taken by [`Op::Part`].
    Scan(Scan),
    /// Result `0` of a scan, counted as in [`Scan`].
    Part(usize),
}

/// One node with its place in the graph.
#[derive(Debug, Clone)]
pub struct NodeData {
    /// What it is.
    pub op: Op,
    /// What it reads; earlier nodes only.
    pub inputs: Vec<Node>,
    /// Static shape; empty for a scalar. A scan itself has shape [0].
    pub shape: Vec<usize>,
    /// Name of the file's node that it came from, for messages.
    pub origin: Arc<str>,
}
