//! What the search works on: a cost and rows of limits over variables in [0, 1], with exact derivatives.
//!
//! Words: a *share* is a variable's place in its box, 0 to 1; a *row* is one quantity with limits, in units of its concern; a *level* is its
//! rank as 0, 1, ... without gaps, 0 is given up last; *cost* is what is minimised.

use crate::levels::LEVELS_MAX;

/// Variables of one problem at most: 8 MVs moved at each of 40 steps.
pub const VARIABLES_MAX: usize = 320;
/// Rows of one problem at most: 32 CVs of a map, or 8 at each of 40 steps, and as many limited moves.
pub const ROWS_MAX: usize = 640;

/// Limits of one row, in units of its concern. `low` may be -infinity, `high` infinity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowLimits {
    /// Low limit.
    pub low: f64,
    /// High limit.
    pub high: f64,
    /// Level, below [`LEVELS_MAX`].
    pub level: u8,
}

impl RowLimits {
    /// A row that limits nothing.
    pub const NONE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY, level: 0 };

    /// How far a value lies outside, at least 0.
    #[must_use]
    pub fn violation(&self, value: f64) -> f64 {
        (self.low - value).max(value - self.high).max(0.0)
    }
}

/// One point and all that is known of it.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// Shares, 0 to 1.
    pub point: Vec<f64>,
    /// Cost.
    pub cost: f64,
    /// Derivative of the cost by each share.
    pub gradient: Vec<f64>,
    /// Value of each row, in units of its concern.
    pub rows: Vec<f64>,
    /// Derivative of each row by each share, row by row.
    pub slopes: Vec<f64>,
    /// All of the above are finite.
    pub usable: bool,
}

impl Trial {
    /// Room for a point of `variables` shares and `rows` rows.
    #[must_use]
    pub fn new(variables: usize, rows: usize) -> Self {
        Self {
            point: vec![0.0; variables],
            cost: 0.0,
            gradient: vec![0.0; variables],
            rows: vec![0.0; rows],
            slopes: vec![0.0; variables * rows],
            usable: false,
        }
    }

    /// Derivatives of one row.
    #[must_use]
    pub fn slope(&self, row: usize) -> &[f64] {
        let n = self.point.len();
        &self.slopes[row * n..(row + 1) * n]
    }

    /// Marks the trial as usable if every number is finite.
    pub fn judge(&mut self) {
        let finite = |numbers: &[f64]| numbers.iter().all(|v| v.is_finite());
        self.usable = self.cost.is_finite() && finite(&self.gradient) && finite(&self.rows) && finite(&self.slopes);
    }
}

/// A problem that is posed.
pub trait Nlp {
    /// Number of variables.
    fn variables(&self) -> usize;
    /// Number of rows.
    fn rows(&self) -> usize;
    /// Limits of the rows.
    fn limits(&self) -> &[RowLimits];
    /// Fills those trials of which `wanted` is true; work is bounded and allocates nothing.
    fn evaluate(&mut self, trials: &mut [Trial], wanted: &[bool]);
}

const _: () = assert!(LEVELS_MAX <= 64, "levels are bits of a word");
