//! What is timed side by side, and the proof that all of them compute the same.

use crate::case::{Case, FEEDS};

/// Largest difference between two contenders that counts as the same result, as share of the largest output (at least of 1).
pub const TOLERANCE: f64 = 1e-4;

/// One engine with one case loaded, ready to run on the calling thread.
pub trait Contender {
    /// Engine and version.
    fn name(&self) -> &str;
    /// Puts numbers into an input. Not timed.
    ///
    /// # Errors
    /// The engine's own.
    fn set_input(&mut self, input: usize, numbers: &[f32]) -> Result<(), String>;
    /// One run on the inputs in place; carried states go round. This is what is timed.
    ///
    /// # Errors
    /// The engine's own.
    fn run(&mut self) -> Result<(), String>;
    /// The numbers of an output after a run. Not timed.
    ///
    /// # Errors
    /// The engine's own.
    fn output(&self, output: usize) -> Result<Vec<f32>, String>;
    /// False where an allocator counts nothing, because the engine brings one of its own.
    fn counted(&self) -> bool;
}

/// Feeds one input set to a contender.
///
/// # Errors
/// The engine's own.
pub fn feed(contender: &mut dyn Contender, numbers: &[Vec<f32>]) -> Result<(), String> {
    numbers.iter().enumerate().try_for_each(|(i, n)| contender.set_input(i, n))
}

/// Runs all contenders on the same inputs and returns the largest difference, as share of the largest output. Carried states are seen
/// through what later steps make of them: each engine may keep them in an order of its own.
///
/// # Errors
/// A run failed, or two contenders differ by more than [`TOLERANCE`]: they do not compute the same and must not be compared.
pub fn largest_difference(case: &Case, contenders: &mut [Box<dyn Contender>]) -> Result<f64, String> {
    let fixed: Vec<usize> = (0..case.inputs.len()).filter(|i| case.carried.iter().all(|c| c.input != *i)).collect();
    let answers: Vec<usize> = (0..case.outputs.len()).filter(|o| case.carried.iter().all(|c| c.output != *o)).collect();
    let mut largest = 0.0_f64;
    for set in 0..FEEDS {
        let numbers = case.feed(set);
        let mut expected: Vec<Vec<f32>> = Vec::new();
        for (place, contender) in contenders.iter_mut().enumerate() {
            // States go round from set to set, so that the comparison sees what several steps add up to.
            if set == 0 {
                feed(contender.as_mut(), &numbers)?;
            } else {
                fixed.iter().try_for_each(|i| contender.set_input(*i, &numbers[*i]))?;
            }
            contender.run()?;
            let found = answers.iter().map(|o| contender.output(*o)).collect::<Result<Vec<_>, _>>()?;
            if place == 0 {
                expected = found;
                continue;
            }
            let difference = expected.iter().zip(&found).map(|(a, b)| difference(a, b)).fold(0.0, f64::max);
            largest = largest.max(difference);
        }
    }
    if largest <= TOLERANCE {
        return Ok(largest);
    }
    let names: Vec<&str> = contenders.iter().map(|c| c.name()).collect();
    Err(format!(
        "{} differ by {largest:.1e} of the largest output; at most {TOLERANCE:.0e} is the same",
        names.join(" and ")
    ))
}

/// Largest difference of two outputs as share of the largest number in them, at least of 1; infinite if their sizes differ, or where
/// one is NaN and the other is not.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let scale = a.iter().chain(b).filter(|v| v.is_finite()).fold(1.0_f64, |m, v| m.max(f64::from(v.abs())));
    let apart = |(a, b): (&f32, &f32)| match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        (false, false) if a == b => 0.0,
        (false, false) => f64::from((a - b).abs()) / scale,
        _ => f64::INFINITY,
    };
    a.iter().zip(b).map(apart).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_the_largest_output_and_nan_is_never_equal_to_a_number() {
        assert!((difference(&[1000.0, 0.0], &[1000.0, 1.0]) - 1e-3).abs() < 1e-12);
        assert!((difference(&[0.1], &[0.2]) - 0.1).abs() < 1e-6);
        assert!(difference(&[f32::NAN], &[0.0]).is_infinite());
        assert!(difference(&[f32::NAN], &[f32::NAN]) == 0.0);
        assert!(difference(&[f32::INFINITY], &[f32::INFINITY]) == 0.0);
        assert!(difference(&[f32::INFINITY], &[1.0]).is_infinite());
        assert!(difference(&[1.0], &[1.0, 2.0]).is_infinite());
    }
}
