//! Puts operators on top of each other. Next to each tensor stands a bound of its magnitude; what grows beyond is scaled or squashed.

use crate::graph::{Graph, GraphError, Node};
use crate::index::{IndexMap, elements, place, strides};
use crate::op::{Binary, Conv, ReduceKind, Unary};
use crate::testing::{Kind, MAGNITUDE_MAX, Options, Random};

/// Numbers of one row at most.
const ROW_MAX: usize = 48;

const SMOOTH: [Unary; 11] = [
    Unary::Negate,
    Unary::Square,
    Unary::Sqrt,
    Unary::Exp,
    Unary::Log,
    Unary::Erf,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Softplus,
];

const KINKED: [Unary; 9] = [
    Unary::Absolute,
    Unary::Relu,
    Unary::LeakyRelu { slope: 0.1 },
    Unary::Elu { alpha: 0.7 },
    Unary::Selu { alpha: 1.673_263_2, gamma: 1.050_701 },
    Unary::HardSigmoid { alpha: 0.3, beta: 0.4 },
    Unary::HardSwish,
    Unary::Clip { low: -0.6, high: 0.8 },
    Unary::Clip { low: f32::NEG_INFINITY, high: 0.5 },
];

/// A tensor [rows, ...] and a bound of its magnitude.
#[derive(Clone, Copy)]
pub(super) struct Live {
    pub(super) node: Node,
    pub(super) magnitude: f64,
}

pub(super) struct Grower<'a> {
    pub(super) graph: Graph,
    pub(super) random: Random,
    pub(super) options: &'a Options,
    live: Vec<Live>,
}

/// A whole graph.
pub(super) fn grow(random: Random, options: &Options) -> Result<Graph, GraphError> {
    let mut grower = Grower { graph: Graph::new(), random, options, live: Vec::new() };
    for _ in 0..options.inputs {
        let shape = grower.random_shape();
        let node = grower.graph.input(&[&[options.rows], shape.as_slice()].concat())?;
        grower.live.push(Live { node, magnitude: 1.0 });
    }
    for step in 0..options.steps {
        let kind = grower.random.pick(&options.kinds);
        grower.graph.set_origin(&format!("{kind:?} {step}"));
        let x = grower.recent();
        let next = grower.step(kind, x)?;
        let next = grower.tame(next)?;
        grower.live.push(next);
    }
    let last = grower.live[grower.live.len() - 1];
    grower.graph.output(last.node);
    if grower.random.once_in(3) {
        let other = grower.recent();
        grower.graph.output(other.node);
    }
    Ok(grower.graph)
}

impl Grower<'_> {
    fn step(&mut self, kind: Kind, x: Live) -> Result<Live, GraphError> {
        match kind {
            Kind::Smooth => {
                let function = self.random.pick(&SMOOTH);
                self.function(function, x)
            }
            Kind::Kinked => {
                let function = self.random.pick(&KINKED);
                self.function(function, x)
            }
            Kind::Arithmetic => {
                let other = self.operand(x)?;
                let function = self.random.pick(&[Binary::Add, Binary::Subtract, Binary::Multiply]);
                self.combine(function, x, other)
            }
            Kind::Divide => {
                let other = self.operand(x)?;
                let other = self.positive(other)?;
                let node = self.graph.binary(Binary::Divide, x.node, other.node)?;
                self.fitted(Live { node, magnitude: 2.0 * x.magnitude })
            }
            Kind::Power => self.power(x),
            Kind::Choice => {
                let other = self.operand(x)?;
                let function = self.random.pick(&[Binary::Minimum, Binary::Maximum, Binary::PRelu]);
                self.combine(function, x, other)
            }
            Kind::Compare => self.compare(x),
            Kind::Slope => self.slope(x),
            Kind::MatMul => self.matmul(x),
            Kind::Conv => self.conv(x),
            Kind::Sum => self.reduce(x, &[ReduceKind::Sum]),
            Kind::Extremum => self.reduce(x, &[ReduceKind::Maximum, ReduceKind::Minimum]),
            Kind::Normalise => self.normalise(x),
            Kind::Move => self.moved(x),
            Kind::Repeat => self.repeated(x),
            Kind::Reshape => {
                let shape = self.regrouped(x)?;
                self.with_shape(x, &shape)
            }
            Kind::Scan => self.recurrent(x),
        }
    }

    /// One of the last tensors, the last most often.
    fn recent(&mut self) -> Live {
        let back = self.random.below(4).min(self.random.below(4)).min(self.live.len() - 1);
        self.live[self.live.len() - 1 - back]
    }

    fn random_shape(&mut self) -> Vec<usize> {
        let rank = self.random.within(1, 3);
        (0..rank).map(|_| self.random.within(1, if rank == 1 { 9 } else { 4 })).collect()
    }

    /// Shape of one row.
    pub(super) fn row(&self, x: Live) -> Vec<usize> {
        self.graph.shape(x.node)[1..].to_vec()
    }

    /// Fixed numbers within a scale.
    pub(super) fn weights(&mut self, shape: &[usize], scale: f32) -> Result<Node, GraphError> {
        let numbers: Vec<f32> = (0..elements(shape)).map(|_| self.random.between(-scale, scale)).collect();
        self.graph.constant(shape, numbers)
    }

    pub(super) fn with_shape(&mut self, x: Live, row: &[usize]) -> Result<Live, GraphError> {
        let node = self.graph.reshape(x.node, &[&[self.options.rows], row].concat())?;
        Ok(Live { node, ..x })
    }

    /// At most this large: scaled if it may be larger.
    pub(super) fn limited(&mut self, x: Live, magnitude: f64) -> Result<Live, GraphError> {
        if x.magnitude <= magnitude {
            return Ok(x);
        }
        let factor = self.graph.scalar((magnitude / x.magnitude * 0.999) as f32)?;
        let node = self.graph.binary(Binary::Multiply, x.node, factor)?;
        Ok(Live { node, magnitude })
    }

    fn tame(&mut self, x: Live) -> Result<Live, GraphError> {
        let squash = self.random.once_in(2) && self.options.kinds.contains(&Kind::Smooth);
        if x.magnitude <= MAGNITUDE_MAX || !squash {
            return self.limited(x, MAGNITUDE_MAX);
        }
        self.function(Unary::Tanh, x)
    }

    /// x^2 + 1/2
    fn positive(&mut self, x: Live) -> Result<Live, GraphError> {
        let square = self.graph.unary(Unary::Square, x.node)?;
        let half = self.graph.scalar(0.5)?;
        let node = self.graph.binary(Binary::Add, square, half)?;
        Ok(Live { node, magnitude: x.magnitude * x.magnitude + 0.5 })
    }

    fn function(&mut self, function: Unary, x: Live) -> Result<Live, GraphError> {
        let x = match function {
            Unary::Exp => self.limited(x, 1.5)?,
            Unary::Sqrt | Unary::Log => self.positive(x)?,
            _ => x,
        };
        let node = self.graph.unary(function, x.node)?;
        let low = if matches!(function, Unary::Sqrt | Unary::Log) { 0.5 } else { -x.magnitude };
        // All are monotonic, or dip by less than 0.4 in between.
        let magnitude = function.value(low).abs().max(function.value(x.magnitude).abs()).max(0.4);
        Ok(Live { node, magnitude })
    }

    /// Another tensor that broadcasts with x: computed, or fixed numbers.
    fn operand(&mut self, x: Live) -> Result<Live, GraphError> {
        let own = self.row(x);
        let fits =
            |row: &[usize]| row.len() == own.len() && row.iter().zip(&own).all(|(a, b)| a == b || *a == 1 || *b == 1);
        let fitting: Vec<Live> = self.live.iter().copied().filter(|other| fits(&self.row(*other))).collect();
        if !self.random.once_in(3) {
            return Ok(self.random.pick(&fitting));
        }
        let shape: Vec<usize> = own.iter().map(|dim| if self.random.once_in(3) { 1 } else { *dim }).collect();
        let cut = self.random.below(shape.len());
        let node = self.weights(&shape[cut..], 1.5)?;
        Ok(Live { node, magnitude: 1.5 })
    }

    /// A function of two in either order, unless that would grow too long.
    fn combine(&mut self, function: Binary, x: Live, other: Live) -> Result<Live, GraphError> {
        let (a, b) = if self.random.once_in(2) { (x, other) } else { (other, x) };
        let node = self.graph.binary(function, a.node, b.node)?;
        let magnitude = match function {
            Binary::Multiply | Binary::PRelu => x.magnitude.max(x.magnitude * other.magnitude).max(other.magnitude),
            Binary::Minimum | Binary::Maximum => x.magnitude.max(other.magnitude),
            _ => x.magnitude + other.magnitude,
        };
        self.fitted(Live { node, magnitude })
    }

    /// Cut to [`ROW_MAX`] numbers per row.
    pub(super) fn fitted(&mut self, x: Live) -> Result<Live, GraphError> {
        let row = self.row(x);
        let longest = (0..row.len()).max_by_key(|axis| row[*axis]);
        match longest.filter(|_| elements(&row) > ROW_MAX) {
            None => Ok(x),
            Some(axis) => {
                let node = self.graph.slice(x.node, 1 + axis, 0, row[axis].div_ceil(2))?;
                self.fitted(Live { node, ..x })
            }
        }
    }

    /// 1 or 0 by a comparison, or x where that is 1 and a tenth of it elsewhere.
    fn compare(&mut self, x: Live) -> Result<Live, GraphError> {
        let other = self.operand(x)?;
        let mut node = self.graph.binary(Binary::Greater, x.node, other.node)?;
        if self.random.once_in(3) {
            let larger = self.graph.binary(Binary::Maximum, x.node, other.node)?;
            node = self.graph.binary(Binary::Equal, x.node, larger)?;
        }
        if self.random.once_in(6) {
            return self.fitted(Live { node, magnitude: 1.0 });
        }
        let tenth = self.graph.scalar(0.1)?;
        let factor = self.graph.binary(Binary::Add, node, tenth)?;
        let node = self.graph.binary(Binary::Multiply, factor, x.node)?;
        self.fitted(Live { node, magnitude: 1.1 * x.magnitude })
    }

    fn power(&mut self, x: Live) -> Result<Live, GraphError> {
        let x = self.limited(x, 1.2)?;
        if self.random.once_in(3) {
            let exponent = self.random.pick(&[0.0, 1.0, 2.0, 3.0]);
            let exponent = self.graph.scalar(exponent)?;
            let node = self.graph.binary(Binary::Power, x.node, exponent)?;
            return Ok(Live { node, magnitude: 1.8 });
        }
        let base = self.positive(x)?;
        let exponent = self.operand(x)?;
        let exponent = self.limited(exponent, 2.0)?;
        let node = self.graph.binary(Binary::Power, base.node, exponent.node)?;
        self.fitted(Live { node, magnitude: 4.0 })
    }

    /// A tensor times the derivative of a function of another.
    fn slope(&mut self, x: Live) -> Result<Live, GraphError> {
        let kinked = self.options.kinds.contains(&Kind::Kinked) && self.random.once_in(2);
        let function = if kinked { self.random.pick(&KINKED) } else { self.random.pick(&SMOOTH) };
        let argument = match function {
            Unary::Exp => self.limited(x, 1.5)?,
            Unary::Sqrt | Unary::Log => self.positive(x)?,
            _ => x,
        };
        let at = if function.slope_from_output() { self.graph.unary(function, argument.node)? } else { argument.node };
        let factor = self.operand(x)?;
        let node = self.graph.binary(Binary::Slope(function), factor.node, at)?;
        let steepest = match function {
            Unary::Square => 2.0 * x.magnitude,
            Unary::Exp => 4.5,
            _ => 2.0,
        };
        self.fitted(Live { node, magnitude: factor.magnitude * steepest })
    }

    fn matmul(&mut self, x: Live) -> Result<Live, GraphError> {
        let row = self.row(x);
        let inner = row[row.len() - 1];
        let columns = self.random.within(1, 6);
        let scale = 1.6 / (inner as f32).sqrt();
        let grown = f64::from(scale) * inner as f64 * x.magnitude;
        match self.random.below(3) {
            0 if row.len() >= 2 => {
                let from = row[row.len() - 2];
                let scale = 1.6 / (from as f32).sqrt();
                let left = self.weights(&[columns, from], scale)?;
                let node = self.graph.matmul(left, x.node)?;
                self.fitted(Live { node, magnitude: f64::from(scale) * from as f64 * x.magnitude })
            }
            1 if row.len() >= 2 => {
                // Rows against each other, as in attention.
                let x = self.limited(x, 1.0)?;
                let mut order: Vec<usize> = (0..=row.len()).collect();
                order.swap(row.len() - 1, row.len());
                let turned = self.graph.transpose(x.node, &order)?;
                let node = self.graph.matmul(x.node, turned)?;
                self.fitted(Live { node, magnitude: inner as f64 * x.magnitude.powi(2) })
            }
            _ => {
                let batch = row.len() == 3 && self.random.once_in(2);
                let shape = if batch { vec![row[0], inner, columns] } else { vec![inner, columns] };
                let right = self.weights(&shape, scale)?;
                let node = self.graph.matmul(x.node, right)?;
                self.fitted(Live { node, magnitude: grown })
            }
        }
    }

    fn conv(&mut self, x: Live) -> Result<Live, GraphError> {
        let spatial = self.random.within(1, 2);
        let x = self.with_axes(x, 1 + spatial)?;
        let row = self.row(x);
        let divisors: Vec<usize> = (1..=row[0]).filter(|g| row[0].is_multiple_of(*g)).collect();
        let groups = self.random.pick(&divisors);
        let outputs = groups * self.random.within(1, 2);
        let mut conv = Conv { strides: Vec::new(), dilations: Vec::new(), pads: Vec::new(), groups };
        let mut shape = vec![outputs, row[0] / groups];
        for length in &row[1..] {
            let (kernel, dilation) = (self.random.within(1, 3), self.random.within(1, 2));
            let short = ((kernel - 1) * dilation + 1).saturating_sub(*length);
            conv.pads.push((short + self.random.below(2), self.random.below(3)));
            conv.strides.push(self.random.within(1, 3));
            conv.dilations.push(dilation);
            shape.push(kernel);
        }
        let taps = elements(&shape[1..]);
        let scale = 1.6 / (taps as f32).sqrt();
        let weights = self.weights(&shape, scale)?;
        let bias = if self.random.once_in(2) { Some(self.weights(&[outputs], 0.5)?) } else { None };
        let node = self.graph.conv(x.node, weights, bias, conv)?;
        self.fitted(Live { node, magnitude: f64::from(scale) * taps as f64 * x.magnitude + 0.5 })
    }

    fn reduce(&mut self, x: Live, kinds: &[ReduceKind]) -> Result<Live, GraphError> {
        let row = self.row(x);
        let kind = self.random.pick(kinds);
        let axes: Vec<usize> = (1..=row.len()).filter(|_| self.random.once_in(2)).collect();
        let node = self.graph.reduce(kind, x.node, &axes)?;
        let count: usize = axes.iter().map(|axis| row[axis - 1]).product();
        let grows = if kind == ReduceKind::Sum { count as f64 } else { 1.0 };
        Ok(Live { node, magnitude: x.magnitude * grows })
    }

    /// Softmax, or mean 0 and variance 1 with 1/10 added to the variance.
    fn normalise(&mut self, x: Live) -> Result<Live, GraphError> {
        let row = self.row(x);
        // Along an axis of length 1 the result would be constant.
        let long: Vec<usize> = (1..=row.len()).filter(|axis| row[axis - 1] > 1).collect();
        let axis = if long.is_empty() { 1 } else { self.random.pick(&long) };
        if self.random.once_in(2) {
            let node = self.graph.softmax(x.node, &[axis])?;
            return Ok(Live { node, magnitude: 1.0 });
        }
        let x = self.limited(x, 1.0)?;
        let mean = self.graph.mean(x.node, &[axis])?;
        let difference = self.graph.binary(Binary::Subtract, x.node, mean)?;
        let square = self.graph.unary(Unary::Square, difference)?;
        let variance = self.graph.mean(square, &[axis])?;
        let some = self.graph.scalar(0.1)?;
        let variance = self.graph.binary(Binary::Add, variance, some)?;
        let deviation = self.graph.unary(Unary::Sqrt, variance)?;
        let node = self.graph.binary(Binary::Divide, difference, deviation)?;
        // A deviation of one among n from their mean is at most sqrt(n) times the standard deviation.
        let count = row[axis - 1] as f64;
        Ok(Live { node, magnitude: count.sqrt() })
    }

    fn moved(&mut self, x: Live) -> Result<Live, GraphError> {
        let row = self.row(x);
        let axis = self.random.below(row.len());
        let node = match self.random.below(4) {
            0 => {
                let mut order: Vec<usize> = (0..=row.len()).collect();
                let other = self.random.below(row.len());
                order.swap(1 + axis, 1 + other);
                self.graph.transpose(x.node, &order)?
            }
            1 => {
                let start = self.random.below(row[axis]);
                let end = self.random.within(start + 1, row[axis]);
                self.graph.slice(x.node, 1 + axis, start, end)?
            }
            2 => {
                let mut pads = vec![(0, 0)];
                pads.extend(row.iter().map(|_| (self.random.below(2), self.random.below(2))));
                let fill = self.random.between(-1.0, 1.0);
                self.graph.pad(x.node, &pads, fill)?
            }
            _ => {
                let fits = |other: &Live| {
                    let own = self.row(*other);
                    own.len() == row.len() && (0..row.len()).all(|a| a == axis || own[a] == row[a])
                };
                let fitting: Vec<Live> = self.live.iter().copied().filter(fits).collect();
                let other = self.random.pick(&fitting);
                let node = self.graph.concat(&[other.node, x.node], 1 + axis)?;
                return self.fitted(Live { node, magnitude: x.magnitude.max(other.magnitude).max(1.0) });
            }
        };
        self.fitted(Live { node, magnitude: x.magnitude.max(1.0) })
    }

    fn repeated(&mut self, x: Live) -> Result<Live, GraphError> {
        let row = self.row(x);
        let axis = self.random.below(row.len());
        let node = match self.random.below(3) {
            0 => {
                let count = self.random.within(1, 5);
                let places: Vec<usize> = (0..count).map(|_| self.random.below(row[axis])).collect();
                self.graph.gather(x.node, 1 + axis, &places)?
            }
            1 => {
                let times = self.random.within(2, 3);
                let wide = [&[self.options.rows], row.as_slice(), &[times]].concat();
                let inner = self.with_shape(x, &[row.as_slice(), &[1]].concat())?;
                let node = self.graph.expand(inner.node, &wide)?;
                // Back to three axes at most.
                let last = row[row.len() - 1] * times;
                let shape = [&[self.options.rows], &row[..row.len() - 1], &[last]].concat();
                self.graph.reshape(node, &shape)?
            }
            _ => {
                let flat = self.with_shape(x, &[elements(&row)])?;
                self.windows(flat)?
            }
        };
        self.fitted(Live { node, ..x })
    }

    /// [rows, n] as overlapping windows [rows, window, places].
    fn windows(&mut self, x: Live) -> Result<Node, GraphError> {
        let length = self.row(x)[0];
        let (window, step) = (self.random.within(1, length.min(3)), self.random.within(1, 2));
        let places = (length - window) / step + 1;
        let shape = [self.options.rows, window, places];
        let from = strides(&[self.options.rows, length]);
        let map = IndexMap::from_fn(&shape, 0.0, |at| Some(place(&[at[0], at[1] + at[2] * step], &from)));
        self.graph.index(&[x.node], &shape, map)
    }

    /// Another grouping of a row's numbers into axes.
    fn regrouped(&mut self, x: Live) -> Result<Vec<usize>, GraphError> {
        let axes = self.random.within(1, 3);
        let split = self.with_axes(x, axes)?;
        Ok(self.row(split))
    }

    /// The same numbers on this many axes beside the rows.
    pub(super) fn with_axes(&mut self, x: Live, axes: usize) -> Result<Live, GraphError> {
        let mut rest = elements(&self.row(x));
        let mut row = Vec::new();
        for _ in 1..axes {
            let divisors: Vec<usize> = (1..=4).filter(|d| rest.is_multiple_of(*d)).collect();
            row.push(self.random.pick(&divisors));
            rest /= row[row.len() - 1];
        }
        row.push(rest);
        self.with_shape(x, &row)
    }
}
