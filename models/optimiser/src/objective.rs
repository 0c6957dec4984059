//! The economic objective: an expression over a map's inputs, outputs and the prices, bound to their places.

use crate::expression::Expression;

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

/// A compiled objective.
#[derive(Debug, Clone)]
pub struct Objective {
    expression: Expression,
    terms: Vec<Term>,
    numbers: Vec<f64>,
    slopes: Vec<f64>,
}

/// Why an objective cannot be used: what was found, what is allowed, what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadObjective {
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
    /// What to do next, if there is a better hint than the obvious.
    pub hint: Option<String>,
}

impl Objective {
    /// Compiles the expression. A name means, in this order, an input, an output or a price.
    ///
    /// # Errors
    /// The expression cannot be read, is too long, or names something unknown or ambiguous.
    pub fn compile(text: &str, inputs: &[&str], outputs: &[&str], prices: &[&str]) -> Result<Self, BadObjective> {
        let known = || inputs.iter().chain(outputs).chain(prices).copied();
        let mut seen = std::collections::BTreeSet::new();
        for name in known() {
            if !seen.insert(name) && mentions(text, name) {
                let found = format!("the objective names '{name}', which is more than one thing");
                return Err(bad(found, "an input, an output or a price"));
            }
            // The language knows constants and functions by name; such a name would silently mean something else.
            if mentions(text, name) && !Expression::is_name(name) {
                let found =
                    format!("the objective names '{name}', which the expression language reads as something else");
                return Err(bad(found, "another name"));
            }
        }
        let expression = Expression::compile(text).map_err(|e| {
            bad(format!("the objective '{text}' cannot be read ({e})"), "+ - * / ^ and functions of names")
        })?;
        let mut terms = Vec::new();
        for name in expression.names() {
            let at = |names: &[&str]| names.iter().position(|n| n == name);
            let term = at(inputs).map(Term::Input).or(at(outputs).map(Term::Output)).or(at(prices).map(Term::Price));
            terms.push(term.ok_or_else(|| {
                let mut error = bad(
                    format!("the objective names '{name}', which is no input, output or price"),
                    format!("one of {}", known().collect::<Vec<_>>().join(", ")),
                );
                let nearest = known().min_by_key(|n| distance(n, name)).unwrap_or_default();
                error.hint = Some(format!("did you mean {nearest}?"));
                error
            })?);
        }
        let room = vec![0.0; terms.len()];
        Ok(Self { expression, numbers: room.clone(), slopes: room, terms })
    }

    /// The objective at a point. NaN where it has no value. Bounded; allocates nothing.
    pub fn value(&mut self, inputs: &[f64], outputs: &[f64], prices: &[f64]) -> f64 {
        self.fill(inputs, outputs, prices);
        self.expression.value(&self.numbers)
    }

    /// The objective with its derivatives by each input and output. Bounded; allocates nothing.
    pub fn gradient(
        &mut self,
        inputs: &[f64],
        outputs: &[f64],
        prices: &[f64],
        by_input: &mut [f64],
        by_output: &mut [f64],
    ) -> f64 {
        self.fill(inputs, outputs, prices);
        let value = self.expression.gradient(&self.numbers, &mut self.slopes);
        by_input.fill(0.0);
        by_output.fill(0.0);
        for (term, slope) in self.terms.iter().zip(&self.slopes) {
            match *term {
                Term::Input(i) => by_input[i] = *slope,
                Term::Output(i) => by_output[i] = *slope,
                Term::Price(_) => {}
            }
        }
        value
    }

    fn fill(&mut self, inputs: &[f64], outputs: &[f64], prices: &[f64]) {
        for (number, term) in self.numbers.iter_mut().zip(&self.terms) {
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

fn bad(found: impl Into<String>, allowed: impl Into<String>) -> BadObjective {
    BadObjective { found: found.into(), allowed: allowed.into(), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "price_B*F*cB - price_A*F*cA0 - price_Q*Q";

    #[test]
    fn value_and_slopes_are_those_of_the_formula() {
        let (x, y, p) = ([200.0, 120.0, 116.0, 5.1], [1.096, 4382.0], [0.60, 0.105, 0.0015]);
        let mut o =
            Objective::compile(TEXT, &["F", "T", "T0", "cA0"], &["cB", "Q"], &["price_B", "price_A", "price_Q"])
                .unwrap();
        let (mut by_x, mut by_y) = ([9.0; 4], [9.0; 2]);
        let value = o.gradient(&x, &y, &p, &mut by_x, &mut by_y);
        assert!((value - (0.6 * 200.0 * 1.096 - 0.105 * 200.0 * 5.1 - 0.0015 * 4382.0)).abs() < 1e-9);
        assert_eq!(value.to_bits(), o.value(&x, &y, &p).to_bits());
        assert!((by_y[0] - 120.0).abs() < 1e-9 && (by_y[1] + 0.0015).abs() < 1e-12);
        assert!((by_x[0] - (0.6 * 1.096 - 0.105 * 5.1)).abs() < 1e-9);
        assert_eq!([by_x[1], by_x[2]], [0.0, 0.0], "T and T0 are not in the objective");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_one() {
        let e = Objective::compile("price_B*F*cb", &["F"], &["cB"], &["price_B"]).unwrap_err();
        assert!(e.found.contains("'cb'") && e.hint.unwrap().contains("cB"));
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        assert!(Objective::compile("E*F", &["F", "E"], &["cB"], &[]).is_err(), "E is Euler's number to the parser");
        assert!(Objective::compile("F*F", &["F"], &["F"], &[]).is_err(), "F is an input and an output");
        assert!(Objective::compile("F +* 2", &["F"], &[], &[]).is_err());
    }
}
