//! Planes round the largest (or smallest) of several numbers.
//!
//! The largest of them is no less than one that is chosen, and no more than that one plus, for each other, relu of what it exceeds it by;
//! each relu lies below a line. The smallest is minus the largest of the negated numbers.

use super::Interval;
use super::forward::Bounds;
use super::lines::above_relu;
use super::plan::{Span, Step};

/// The planes of one step, for each of its results.
#[derive(Debug, Default)]
pub struct Extreme {
    cells: Vec<Cell>,
    /// Share of each number in the upper plane.
    shares: Vec<f64>,
}

#[derive(Debug, Default, Clone)]
struct Cell {
    /// Which of the read numbers is chosen.
    chosen: usize,
    /// Sum of the other numbers' shares.
    total: f64,
    /// Constant of the upper plane.
    constant: f64,
    /// What the upper plane is above the chosen number at the centres of all intervals.
    rise: f64,
    /// Sum of the other numbers' shares times their sizes.
    mass: f64,
    /// The upper plane is the end of the interval.
    flat: bool,
}

/// Factors of the upper and lower plane for one read number, or their constants.
pub type Pair = (f64, f64);

impl Extreme {
    /// Buffers for so many results of so many numbers.
    pub fn new(results: usize, numbers: usize) -> Self {
        Self { cells: vec![Cell { chosen: usize::MAX, ..Cell::default() }; results], shares: vec![0.0; numbers] }
    }

    /// Lays planes over the numbers' intervals.
    pub fn lay(&mut self, step: &Step, bounds: &mut Bounds, largest: bool, x: Span, to: &[u32]) {
        let turned = |x: Interval| if largest { x } else { Interval { low: -x.high, high: -x.low } };
        let middle = |x: Interval| 0.5 * x.low + 0.5 * x.high;
        self.cells.fill(Cell { chosen: usize::MAX, ..Cell::default() });
        for (i, cell) in to.iter().enumerate() {
            let cell = &mut self.cells[*cell as usize];
            let own = |i: usize| middle(turned(bounds.at(x.start + i)));
            if cell.chosen == usize::MAX || own(i) > own(cell.chosen) {
                cell.chosen = i;
            }
        }
        for (i, cell) in to.iter().enumerate() {
            let cell = &mut self.cells[*cell as usize];
            let (own, first) = (turned(bounds.at(x.start + i)), turned(bounds.at(x.start + cell.chosen)));
            let (low, high) = (own.low - first.high, own.high - first.low);
            // What is never larger has no share; where one always is, relu is the difference itself.
            let (share, constant) = match (i == cell.chosen || high <= 0.0, low >= 0.0) {
                (true, _) => (0.0, 0.0),
                (_, true) => (1.0, 0.0),
                _ => above_relu(low, high),
            };
            self.shares[i] = share;
            cell.total += share;
            cell.constant += constant;
            cell.rise += share * (middle(own) - middle(first)) + constant;
            cell.mass += share * own.size();
        }
        for (cell, place) in self.cells.iter_mut().zip(step.out.range()) {
            let (known, first) = (turned(bounds.at(place)), turned(bounds.at(x.start + cell.chosen)));
            let better = middle(first) + cell.rise < known.high;
            if !better {
                (cell.flat, cell.constant) = (true, known.high);
            }
            // All terms at their largest; each is rounded a few times, and the share of the chosen number once per other number.
            let mass = cell.mass + (1.0 + 2.0 * cell.total) * first.size() + cell.constant.abs();
            bounds.slack[place] = (step.gamma_64 + (to.len() + 8) as f64 * f64::EPSILON) * mass;
        }
        for (i, cell) in to.iter().enumerate() {
            let cell = &self.cells[*cell as usize];
            self.shares[i] = match (cell.flat, i == cell.chosen) {
                (true, _) => 0.0,
                (false, true) => 1.0 - cell.total,
                (false, false) => self.shares[i],
            };
        }
    }

    /// Factors of number `i` of result `cell`.
    pub fn factors(&self, largest: bool, i: usize, cell: u32) -> Pair {
        let chosen = f64::from(u8::from(self.cells[cell as usize].chosen == i));
        if largest { (self.shares[i], chosen) } else { (chosen, self.shares[i]) }
    }

    /// Constants of result `cell`.
    pub fn constants(&self, largest: bool, cell: usize) -> Pair {
        let constant = self.cells[cell].constant;
        if largest { (constant, 0.0) } else { (0.0, -constant) }
    }
}
