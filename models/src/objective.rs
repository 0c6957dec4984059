//! The economic objective: an expression over the map's inputs and outputs and the prices, compiled once.
//!
//! exmex parses it; evaluating keeps its numbers on the stack up to [`TERMS_ON_STACK`] numbers and names in the expression.
//! Longer expressions would allocate in every evaluation, so they are refused.

use exmex::{Differentiate, Express, FlatEx};

use crate::error::{ModelError, Refusal};

/// Numbers and names in one expression that exmex keeps on its stack (its `N_NODES_ON_STACK`).
pub const TERMS_ON_STACK: usize = 32;
/// Different names in one objective.
pub const NAMES_MAX: usize = 32;

/// What a name in the expression stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Input of the map, index in `Model::inputs`.
    Input(usize),
    /// Output of the map, index in `Model::outputs`.
    Output(usize),
    /// Price, index in `Optimiser::prices`.
    Price(usize),
}

/// A compiled objective with its partial derivatives.
#[derive(Debug, Clone)]
pub struct Objective {
    value: FlatEx<f64>,
    terms: Vec<Term>,
    partials: Vec<FlatEx<f64>>,
}

impl Objective {
    /// Compiles the expression. A name means, in this order, an input, an output or a price.
    ///
    /// # Errors
    /// The expression cannot be parsed, names something unknown, is too long, or has no derivative.
    pub fn compile(text: &str, inputs: &[&str], outputs: &[&str], prices: &[&str]) -> Result<Self, ModelError> {
        let known = || inputs.iter().chain(outputs).chain(prices).copied();
        let mut seen = std::collections::BTreeSet::new();
        for name in known() {
            if !seen.insert(name) && mentions(text, name) {
                return Err(bad(
                    format!("the objective names '{name}', which is more than one thing"),
                    "an input, an output or a price",
                ));
            }
            // exmex knows constants and functions by name (E, PI, sin, ...); such a name would silently mean something else.
            if mentions(text, name) && !exmex::parse::<f64>(name).is_ok_and(|e| e.var_names() == [name.to_owned()]) {
                return Err(bad(
                    format!("the objective names '{name}', which the expression language reads as something else"),
                    "another name",
                ));
            }
        }
        let value = exmex::parse::<f64>(text).map_err(|e| {
            bad(format!("the objective '{text}' cannot be read ({e})"), "+ - * / ^ and functions of names")
        })?;
        let mut terms = Vec::new();
        for name in value.var_names() {
            let at = |names: &[&str]| names.iter().position(|n| n == name);
            let term = at(inputs).map(Term::Input).or(at(outputs).map(Term::Output)).or(at(prices).map(Term::Price));
            terms.push(term.ok_or_else(|| unknown(name, known()))?);
        }
        let length =
            text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).filter(|w| !w.is_empty()).count();
        if length > TERMS_ON_STACK || terms.len() > NAMES_MAX {
            return Err(bad(
                format!("the objective has {length} numbers and names"),
                format!("at most {TERMS_ON_STACK}"),
            ));
        }
        let partial = |i| {
            value
                .clone()
                .partial(i)
                .map_err(|e| bad(format!("the objective has no derivative ({e})"), "smooth functions"))
        };
        let partials = (0..terms.len()).map(partial).collect::<Result<_, _>>()?;
        Ok(Self { value, terms, partials })
    }

    /// The objective at a point. NaN where it has no value. Bounded; allocates nothing.
    #[must_use]
    pub fn value(&self, inputs: &[f64], outputs: &[f64], prices: &[f64]) -> f64 {
        let mut numbers = [0.0; NAMES_MAX];
        self.fill(&mut numbers, inputs, outputs, prices);
        self.value.eval(&numbers[..self.terms.len()]).unwrap_or(f64::NAN)
    }

    /// Partial derivative with respect to one term at a point, 0 for a term that the expression does not name.
    /// Derived expressions may be longer than the objective and may allocate.
    #[must_use]
    pub fn partial(&self, term: Term, inputs: &[f64], outputs: &[f64], prices: &[f64]) -> f64 {
        let mut numbers = [0.0; NAMES_MAX];
        self.fill(&mut numbers, inputs, outputs, prices);
        match self.terms.iter().position(|t| *t == term) {
            Some(i) => self.partials[i].eval(&numbers[..self.terms.len()]).unwrap_or(f64::NAN),
            None => 0.0,
        }
    }

    fn fill(&self, numbers: &mut [f64; NAMES_MAX], inputs: &[f64], outputs: &[f64], prices: &[f64]) {
        for (number, term) in numbers.iter_mut().zip(&self.terms) {
            let found = match *term {
                Term::Input(i) => inputs.get(i),
                Term::Output(i) => outputs.get(i),
                Term::Price(i) => prices.get(i),
            };
            *number = found.copied().unwrap_or(f64::NAN);
        }
    }
}

fn mentions(text: &str, name: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> ModelError {
    let names: Vec<&str> = known.collect();
    let nearest = names.iter().min_by_key(|n| distance(n, name)).copied().unwrap_or_default();
    let mut error = bad(
        format!("the objective names '{name}', which is no input, output or price"),
        format!("one of {}", names.join(", ")),
    );
    error.next = format!("did you mean {nearest}?");
    error
}

/// Levenshtein distance, for the suggestion.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn bad(found: impl Into<String>, allowed: impl Into<String>) -> ModelError {
    let allowed: String = allowed.into();
    ModelError::new(
        Refusal::BadObjective,
        found,
        format!("allowed: {allowed}"),
        "mend the optimiser's objective in the configuration",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "price_B*F*cB - price_A*F*cA0 - price_Q*Q";

    fn profit() -> Objective {
        Objective::compile(TEXT, &["F", "T", "T0", "cA0"], &["cB", "Q"], &["price_B", "price_A", "price_Q"]).unwrap()
    }

    #[test]
    fn value_and_partials_are_those_of_the_formula() {
        let (x, y, p) = ([200.0, 120.0, 116.0, 5.1], [1.096, 4382.0], [0.60, 0.105, 0.0015]);
        let o = profit();
        assert!((o.value(&x, &y, &p) - (0.6 * 200.0 * 1.096 - 0.105 * 200.0 * 5.1 - 0.0015 * 4382.0)).abs() < 1e-9);
        assert!((o.partial(Term::Output(0), &x, &y, &p) - 120.0).abs() < 1e-9);
        assert!((o.partial(Term::Output(1), &x, &y, &p) + 0.0015).abs() < 1e-12);
        assert!((o.partial(Term::Input(0), &x, &y, &p) - (0.6 * 1.096 - 0.105 * 5.1)).abs() < 1e-9);
        assert!(o.partial(Term::Input(1), &x, &y, &p).abs() < 1e-12, "T is not in the objective");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_one() {
        let e = Objective::compile("price_B*F*cb", &["F"], &["cB"], &["price_B"]).unwrap_err();
        assert_eq!(e.refusal, Refusal::BadObjective);
        assert!(e.to_string().contains("'cb'") && e.to_string().contains("did you mean cB?"), "{e}");
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        assert!(Objective::compile("E*F", &["F", "E"], &["cB"], &[]).is_err(), "E is Euler's number to the parser");
        assert!(Objective::compile("F*F", &["F"], &["F"], &[]).is_err(), "F is an input and an output");
        assert!(Objective::compile("F +* 2", &["F"], &[], &[]).is_err());
        let long = vec!["F"; 33].join("+");
        assert!(Objective::compile(&long, &["F"], &[], &[]).is_err(), "would allocate in every evaluation");
    }

    #[test]
    fn no_value_is_nan_and_never_a_panic() {
        let o = Objective::compile("1/(F-1)", &["F"], &[], &[]).unwrap();
        assert!(!o.value(&[1.0], &[], &[]).is_finite());
        assert!(o.value(&[], &[], &[]).is_nan(), "missing input");
    }
}
