//! PSI: how far an input's distribution has moved from the training data. For information, never an alarm.
//!
//! Population stability index over ten bins whose edges are the deciles of the training data, so that 10 % are expected in each:
//! PSI = sum (actual - expected) ln(actual / expected) (N. Siddiqi, Credit Risk Scorecards, 2006). Readings of 0.1 ("changed") and 0.25
//! ("changed much") are conventions of credit scoring. Without any change its mean is about 9 / points (B. Yurdakul and J. Naranjo,
//! Statistical properties of the population stability index, Journal of Risk Model Validation 14, 2020), and successive process values are no
//! independent draws: so points are taken far apart, and few points give no number.

use std::time::Duration;

use super::basis::EDGES;
use crate::state::Archive;
use crate::time::{Timestamp, nanos};

/// Points kept: without change they give a PSI of about 0.02.
pub const POINTS: usize = 500;
/// Fewer points give no number.
pub const POINTS_MIN: usize = 100;
/// Points are at least this far apart: 500 span a week.
pub const SPACING: Duration = Duration::from_secs(20 * 60);
/// Reading that convention calls changed.
pub const CHANGED: f64 = 0.1;
/// Reading that convention calls changed much.
pub const CHANGED_MUCH: f64 = 0.25;

/// The last points of every input as numbers of their bins.
#[derive(Debug, Clone, Default)]
pub struct Psi {
    edges: Vec<[f64; EDGES]>,
    /// `POINTS` rows of one bin per input.
    ring: Vec<u8>,
    counts: Vec<[u16; EDGES + 1]>,
    /// Newest PSI per input; None while there are too few points.
    pub values: Vec<Option<f64>>,
    next: usize,
    filled: usize,
    last: Option<Timestamp>,
}

impl Psi {
    /// With these deciles per input, EU. Allocates everything.
    #[must_use]
    pub fn new(edges: &[[f64; EDGES]]) -> Self {
        Self {
            edges: edges.to_vec(),
            ring: vec![0; edges.len() * POINTS],
            counts: vec![[0; EDGES + 1]; edges.len()],
            values: vec![None; edges.len()],
            ..Self::default()
        }
    }

    /// Takes the inputs of a run, if the last point is long enough ago. Bounded by the number of inputs.
    pub fn add(&mut self, now: Timestamp, inputs: &[f64]) {
        if self.edges.is_empty() || self.last.is_some_and(|last| nanos(now.since(last)) < nanos(SPACING)) {
            return;
        }
        self.last = Some(now);
        let n = self.edges.len();
        let full = self.filled == POINTS;
        self.filled = (self.filled + 1).min(POINTS);
        for (i, (edges, value)) in self.edges.iter().zip(inputs).enumerate() {
            let bin = edges.iter().filter(|edge| **edge < *value).count();
            let (cell, counts) = (&mut self.ring[self.next * n + i], &mut self.counts[i]);
            if full {
                counts[usize::from(*cell)] -= 1;
            }
            counts[bin] += 1;
            *cell = bin as u8;
            self.values[i] = (self.filled >= POINTS_MIN).then(|| index(counts, self.filled));
        }
        self.next = (self.next + 1) % POINTS;
    }

    /// Keeps the points.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        archive.keep_all(&mut self.ring);
        archive.keep_all(&mut self.counts);
        archive.keep_all(&mut self.values);
        archive.keep_index(&mut self.next, POINTS - 1);
        archive.keep_index(&mut self.filled, POINTS);
        archive.keep(&mut self.last);
    }

    /// Forgets all points.
    pub fn restart(&mut self) {
        self.counts.fill([0; EDGES + 1]);
        self.values.fill(None);
        (self.next, self.filled, self.last) = (0, 0, None);
    }
}

/// An empty bin counts as half a point: its logarithm would be infinite.
fn index(counts: &[u16; EDGES + 1], points: usize) -> f64 {
    let expected = 1.0 / counts.len() as f64;
    let term = |count: &u16| {
        let actual = f64::from(*count).max(0.5) / points as f64;
        (actual - expected) * (actual / expected).ln()
    };
    counts.iter().map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::basis::normal_deciles;

    fn at(point: usize) -> Timestamp {
        Timestamp::ZERO.after(SPACING * point as u32)
    }

    /// Deciles of 0 to 1, and so many points spread evenly over [low, high).
    fn fed(points: usize, low: f64, high: f64) -> Psi {
        let mut psi = Psi::new(&[[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]]);
        for i in 0..points {
            psi.add(at(i), &[low + (high - low) * (i % 10) as f64 / 10.0 + 1e-6]);
        }
        psi
    }

    #[test]
    fn by_hand() {
        assert!(fed(500, 0.0, 1.0).values[0].is_some_and(|v| v.abs() < 1e-12), "the same distribution");
        // Five bins with 20 %, five empty ones with half a point of 500.
        let expected = 5.0 * 0.1 * 2f64.ln() + 5.0 * (0.001 - 0.1) * 0.01f64.ln();
        assert!(fed(500, 0.0, 0.5).values[0].is_some_and(|v| (v - expected).abs() < 1e-12));
    }

    #[test]
    fn old_points_leave_and_too_few_say_nothing() {
        assert_eq!(fed(99, 0.0, 1.0).values[0], None);
        let mut psi = fed(500, 5.0, 6.0);
        assert!(psi.values[0].is_some_and(|v| v > CHANGED_MUCH));
        for i in 500..1000 {
            psi.add(at(i), &[(i % 10) as f64 / 10.0 + 1e-6]);
        }
        assert!(psi.values[0].is_some_and(|v| v < 1e-12), "{:?}", psi.values);
        psi.restart();
        assert_eq!(psi.values[0], None);
    }

    #[test]
    fn points_that_come_too_soon_are_left_out() {
        let mut psi = fed(0, 0.0, 1.0);
        for second in 0..86_400u64 {
            psi.add(Timestamp(second * 1_000_000_000), &[0.5]);
        }
        assert_eq!(psi.filled, 72, "one every 20 minutes");
    }

    #[test]
    fn deciles_of_mean_and_spread() {
        let edges = normal_deciles(10.0, 2.0);
        assert_eq!(edges[4], 10.0);
        assert!((edges[8] - 12.563_104).abs() < 1e-9 && edges.is_sorted());
    }
}
