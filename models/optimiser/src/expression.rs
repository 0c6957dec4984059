//! Economic objectives: an expression over named numbers, parsed once and flattened to a tape with exact derivatives.
//!
//! exmex parses. Its operators here do not calculate: they build a tree of symbols, which is flattened to a tape of at most [`STEPS_MAX`]
//! steps. One sweep over the tape gives the value, a second one backwards all derivatives (reverse mode; Griewank and Walther,
//! "Evaluating Derivatives", 2nd ed. 2008, chapter 3). Nothing is parsed or allocated after [`Expression::compile`].

use std::str::FromStr;
use std::sync::Arc;

use exmex::{BinOp, Express, FlatEx, MakeOperators, MatchLiteral, Operator, literal_matcher_from_pattern, ops_factory};

/// Steps of one tape: numbers, names and operations of the expression.
pub const STEPS_MAX: usize = 512;
/// Names of one expression: 64 inputs, 32 outputs and 32 prices of a map.
pub const NAMES_MAX: usize = 128;

/// Functions of one argument. Derivatives at kinks are those of the right side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unary {
    Negative,
    Abs,
    Sqrt,
    Exp,
    Ln,
    Log10,
    Log2,
    Sin,
    Cos,
    Tan,
    Tanh,
}

/// Functions of two arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Min,
    Max,
}

/// What the parser calculates with: a part of the expression.
#[derive(Debug, Clone)]
enum Symbol {
    Number(f64),
    Name(usize),
    Unary(Unary, Arc<Symbol>),
    Binary(Binary, Arc<Symbol>, Arc<Symbol>),
}

impl Default for Symbol {
    fn default() -> Self {
        Self::Number(0.0)
    }
}

impl FromStr for Symbol {
    type Err = <f64 as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Number)
    }
}

fn one(function: Unary, a: Symbol) -> Symbol {
    Symbol::Unary(function, Arc::new(a))
}

fn two(function: Binary, a: Symbol, b: Symbol) -> Symbol {
    Symbol::Binary(function, Arc::new(a), Arc::new(b))
}

const fn bin(apply: fn(Symbol, Symbol) -> Symbol, prio: i64) -> BinOp<Symbol> {
    // Not called commutative: the order of calculation is that of the text.
    BinOp { apply, prio, is_commutative: false }
}

ops_factory!(
    Operators,
    Symbol,
    Operator::make_bin("^", bin(|a, b| two(Binary::Power, a, b), 4)),
    Operator::make_bin("*", bin(|a, b| two(Binary::Multiply, a, b), 2)),
    Operator::make_bin("/", bin(|a, b| two(Binary::Divide, a, b), 3)),
    Operator::make_bin_unary("+", bin(|a, b| two(Binary::Add, a, b), 0), |a| a),
    Operator::make_bin_unary("-", bin(|a, b| two(Binary::Subtract, a, b), 1), |a| one(Unary::Negative, a)),
    Operator::make_bin("min", bin(|a, b| two(Binary::Min, a, b), 0)),
    Operator::make_bin("max", bin(|a, b| two(Binary::Max, a, b), 0)),
    Operator::make_unary("abs", |a| one(Unary::Abs, a)),
    Operator::make_unary("sqrt", |a| one(Unary::Sqrt, a)),
    Operator::make_unary("exp", |a| one(Unary::Exp, a)),
    Operator::make_unary("ln", |a| one(Unary::Ln, a)),
    Operator::make_unary("log10", |a| one(Unary::Log10, a)),
    Operator::make_unary("log2", |a| one(Unary::Log2, a)),
    Operator::make_unary("sin", |a| one(Unary::Sin, a)),
    Operator::make_unary("cos", |a| one(Unary::Cos, a)),
    Operator::make_unary("tan", |a| one(Unary::Tan, a)),
    Operator::make_unary("tanh", |a| one(Unary::Tanh, a)),
    Operator::make_constant("PI", Symbol::Number(std::f64::consts::PI)),
    Operator::make_constant("E", Symbol::Number(std::f64::consts::E))
);

// exmex's own numbers have no exponent: 1e3 would be 1 times a name.
literal_matcher_from_pattern!(Number, r"^(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?");

type Parsed = FlatEx<Symbol, Operators, Number>;

/// One step of a tape; operands are earlier steps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Number(f64),
    Name(u8),
    Unary(Unary, u16),
    Binary(Binary, u16, u16),
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    steps: Vec<Step>,
    names: Vec<String>,
    values: Vec<f64>,
    adjoints: Vec<f64>,
}

impl Expression {
    /// Parses and flattens.
    ///
    /// # Errors
    /// One sentence that says what is wrong: the text cannot be read, or it is too long.
    pub fn compile(text: &str) -> Result<Self, String> {
        let parsed = Parsed::parse(text).map_err(|e| e.to_string())?;
        let names = parsed.var_names().to_vec();
        if names.len() > NAMES_MAX {
            return Err(format!("it has {} names, at most {NAMES_MAX} are allowed", names.len()));
        }
        let symbols: Vec<Symbol> = (0..names.len()).map(Symbol::Name).collect();
        let root = parsed.eval(&symbols).map_err(|e| e.to_string())?;
        let mut steps = Vec::new();
        flatten(&root, &mut steps)?;
        let room = vec![0.0; steps.len()];
        Ok(Self { values: room.clone(), adjoints: room, steps, names })
    }

    /// Whether the language reads a word as a name, and not as a function or a constant.
    #[must_use]
    pub fn is_name(word: &str) -> bool {
        Parsed::parse(word).is_ok_and(|e| e.var_names() == [word.to_owned()])
    }

    /// The names in the expression, in the order of `numbers` below.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The value; NaN where there is none, or when a number is missing. Bounded by [`STEPS_MAX`]; allocates nothing.
    pub fn value(&mut self, numbers: &[f64]) -> f64 {
        for (i, step) in self.steps.iter().enumerate() {
            self.values[i] = match *step {
                Step::Number(number) => number,
                Step::Name(name) => numbers.get(usize::from(name)).copied().unwrap_or(f64::NAN),
                Step::Unary(function, a) => unary(function, self.values[usize::from(a)]),
                Step::Binary(function, a, b) => {
                    binary(function, self.values[usize::from(a)], self.values[usize::from(b)])
                }
            };
        }
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    /// The value and its derivatives, one per name, into `slopes`.
    pub fn gradient(&mut self, numbers: &[f64], slopes: &mut [f64]) -> f64 {
        let value = self.value(numbers);
        slopes.fill(0.0);
        self.adjoints.fill(0.0);
        let Some(last) = self.adjoints.last_mut() else { return value };
        *last = 1.0;
        for (i, step) in self.steps.iter().enumerate().rev() {
            let adjoint = self.adjoints[i];
            match *step {
                Step::Number(_) => {}
                Step::Name(name) => {
                    if let Some(slope) = slopes.get_mut(usize::from(name)) {
                        *slope += adjoint;
                    }
                }
                Step::Unary(function, a) => {
                    let a = usize::from(a);
                    self.adjoints[a] += adjoint * unary_slope(function, self.values[a], self.values[i]);
                }
                Step::Binary(function, a, b) => {
                    let (a, b) = (usize::from(a), usize::from(b));
                    let (by_a, by_b) = binary_slopes(function, self.values[a], self.values[b], self.values[i]);
                    self.adjoints[a] += adjoint * by_a;
                    self.adjoints[b] += adjoint * by_b;
                }
            }
        }
        value
    }
}

fn flatten(symbol: &Symbol, steps: &mut Vec<Step>) -> Result<u16, String> {
    let step = match symbol {
        Symbol::Number(number) => Step::Number(*number),
        Symbol::Name(name) => Step::Name(*name as u8),
        Symbol::Unary(function, a) => Step::Unary(*function, flatten(a, steps)?),
        // The parser binds the minus first, people read it last: nobody should find out from a plant.
        Symbol::Binary(Binary::Power, a, _) if matches!(**a, Symbol::Unary(Unary::Negative, _)) => {
            return Err("-a^b can be read in two ways: write 0 - a^b, or (0 - a)^b".to_owned());
        }
        Symbol::Binary(function, a, b) => {
            let a = flatten(a, steps)?;
            Step::Binary(*function, a, flatten(b, steps)?)
        }
    };
    if steps.len() == STEPS_MAX {
        return Err(format!("it has more than {STEPS_MAX} numbers, names and operations"));
    }
    steps.push(step);
    Ok((steps.len() - 1) as u16)
}

fn unary(function: Unary, a: f64) -> f64 {
    match function {
        Unary::Negative => -a,
        Unary::Abs => a.abs(),
        Unary::Sqrt => a.sqrt(),
        Unary::Exp => a.exp(),
        Unary::Ln => a.ln(),
        Unary::Log10 => a.log10(),
        Unary::Log2 => a.log2(),
        Unary::Sin => a.sin(),
        Unary::Cos => a.cos(),
        Unary::Tan => a.tan(),
        Unary::Tanh => a.tanh(),
    }
}

fn unary_slope(function: Unary, a: f64, value: f64) -> f64 {
    match function {
        Unary::Negative => -1.0,
        Unary::Abs if a < 0.0 => -1.0,
        Unary::Abs => 1.0,
        Unary::Sqrt => 0.5 / value,
        Unary::Exp => value,
        Unary::Ln => 1.0 / a,
        Unary::Log10 => std::f64::consts::LOG10_E / a,
        Unary::Log2 => std::f64::consts::LOG2_E / a,
        Unary::Sin => a.cos(),
        Unary::Cos => -a.sin(),
        Unary::Tan => 1.0 + value * value,
        Unary::Tanh => 1.0 - value * value,
    }
}

fn binary(function: Binary, a: f64, b: f64) -> f64 {
    match function {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Power => a.powf(b),
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
    }
}

fn binary_slopes(function: Binary, a: f64, b: f64, value: f64) -> (f64, f64) {
    match function {
        Binary::Add => (1.0, 1.0),
        Binary::Subtract => (1.0, -1.0),
        Binary::Multiply => (b, a),
        Binary::Divide => (1.0 / b, -value / b),
        // d(a^b)/db is of no interest, and NaN, where the base is not positive.
        Binary::Power => (b * a.powf(b - 1.0), if a > 0.0 { value * a.ln() } else { 0.0 }),
        Binary::Min => (f64::from(u8::from(a <= b)), f64::from(u8::from(b < a))),
        Binary::Max => (f64::from(u8::from(a >= b)), f64::from(u8::from(b > a))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, names: &[(&str, f64)]) -> (f64, Vec<f64>) {
        let mut e = Expression::compile(text).unwrap();
        let numbers: Vec<f64> = e.names().iter().map(|n| names.iter().find(|(name, _)| name == n).unwrap().1).collect();
        let mut slopes = vec![0.0; numbers.len()];
        let value = e.gradient(&numbers, &mut slopes);
        assert_eq!(value.to_bits(), e.value(&numbers).to_bits());
        (value, slopes)
    }

    #[test]
    fn precedence_is_that_of_school() {
        assert_eq!(of("1+2*3^2-8/4/2", &[]).0, 18.0);
        assert_eq!(of("-(2-5)*2", &[]).0, 6.0);
        assert_eq!(of("1e3*2 - x", &[("x", 1.0)]).0, 1999.0);
        assert_eq!(of("3 max (7 min 5)", &[]).0, 5.0);
    }

    #[test]
    fn derivatives_are_those_of_central_differences() {
        let texts = [
            "p*F*cB - q*F*cA - r*Q",
            "F3*(2.206*yA + 6.177*yC)/F4",
            "sqrt(x)*exp(-y/3) + ln(x*y) - tanh(x-y)^2",
            "sin(x)*cos(y) + tan(x/5) + log10(x) + log2(y) + abs(x-3*y) + x^y",
            "max(x*y, x+y) - min(x, 2*y)",
        ];
        for text in texts {
            let mut e = Expression::compile(text).unwrap();
            let at: Vec<f64> = (0..e.names().len()).map(|i| 0.7 + 0.37 * i as f64).collect();
            let mut slopes = vec![0.0; at.len()];
            e.gradient(&at, &mut slopes);
            for i in 0..at.len() {
                let mut near = |by: f64| {
                    let mut x = at.clone();
                    x[i] += by;
                    e.value(&x)
                };
                let difference = (near(1e-6) - near(-1e-6)) / 2e-6;
                assert!((slopes[i] - difference).abs() < 1e-7 * (1.0 + difference.abs()), "{text} by {}", e.names()[i]);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_and_never_a_panic() {
        for text in ["", "F +* 2", "f(x", "2 3", "%"] {
            assert!(Expression::compile(text).is_err(), "{text}");
        }
        assert!(Expression::compile("3-x^2").is_ok() && Expression::compile("-x^2").unwrap_err().contains("two ways"));
        let long = vec!["x"; 300].join("+");
        assert!(Expression::compile(&long).unwrap_err().contains("512"));
        assert!(Expression::compile(&vec!["x"; 200].join("+")).is_ok());
        assert!(Expression::is_name("cB") && !Expression::is_name("E") && !Expression::is_name("sin"));
        let mut e = Expression::compile("1/(F-1)").unwrap();
        assert!(!e.value(&[1.0]).is_finite() && e.value(&[]).is_nan());
    }
}
