//! What a test or a demonstration reads off te4, measured on truth: means over the last hours, and extremes since they were last reset.
//!
//! Cost is what was lost over what was made in the window, not the mean of momentary costs: an hour that makes little counts little.

use std::collections::VecDeque;

use super::plant::{PRICE_A, PRICE_C};
use super::plc::Te4Truth;

/// Longest window, h.
pub const WINDOW_H: usize = 24;
/// Blocks per hour.
const BLOCKS_PER_H: usize = 10;

/// Sums of one block.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Block {
    scans: f64,
    lost: f64,
    product: f64,
    pressure: f64,
    fraction_a: f64,
    demand: f64,
}

/// Means over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Means {
    /// $ per kmol of product.
    pub cost: f64,
    /// kPa.
    pub pressure: f64,
    /// Fraction of A, %.
    pub fraction_a: f64,
    /// Product, kmol/h.
    pub product: f64,
    /// Demand, kmol/h.
    pub demand: f64,
}

/// The running score. Memory is bounded by the window.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    blocks: VecDeque<Block>,
    open: Block,
    open_until: u64,
    /// Highest pressure since the last reset, kPa.
    pub pressure_high: f64,
    /// Lowest and highest position of each valve since the last reset, %.
    pub valves: [(f64, f64); 4],
    /// The override has acted since the last reset.
    pub overridden: bool,
    /// The plant has shut itself down.
    pub tripped: bool,
    /// Sheds that nobody asked for.
    pub sheds: u16,
    /// The loop has been closed.
    pub closed: bool,
}

impl Default for Score {
    fn default() -> Self {
        Self {
            blocks: VecDeque::with_capacity(WINDOW_H * BLOCKS_PER_H + 1),
            open: Block::default(),
            open_until: 0,
            pressure_high: 0.0,
            valves: [(100.0, 0.0); 4],
            overridden: false,
            tripped: false,
            sheds: 0,
            closed: false,
        }
    }
}

impl Score {
    /// Looks at one scan. Bounded.
    pub fn observe(&mut self, truth: &Te4Truth) {
        let [a, _, c] = truth.plant.fractions;
        let [_, _, purge, product] = truth.plant.flows;
        let block = truth.time.as_millis() as u64 / (3_600_000 / BLOCKS_PER_H as u64);
        if block != self.open_until {
            if self.blocks.len() == WINDOW_H * BLOCKS_PER_H {
                self.blocks.pop_front();
            }
            self.blocks.push_back(self.open);
            self.open = Block::default();
            self.open_until = block;
        }
        let sums = &mut self.open;
        sums.scans += 1.0;
        sums.lost += purge * (PRICE_A * a + PRICE_C * c);
        sums.product += product;
        sums.pressure += truth.plant.pressure;
        sums.fraction_a += 100.0 * a;
        sums.demand += truth.demand;
        self.pressure_high = self.pressure_high.max(truth.plant.pressure);
        for ((low, high), position) in self.valves.iter_mut().zip(truth.positions) {
            (*low, *high) = (low.min(position), high.max(position));
        }
        self.overridden |= truth.reduction > 0.0;
        self.tripped |= truth.tripped;
        self.sheds = truth.link.ui_shed_count;
        self.closed |= truth.link.x_closed_loop;
    }

    /// Means over the last whole `hours`, at most `WINDOW_H`; None before that much has passed or when nothing was made.
    #[must_use]
    pub fn means(&self, hours: usize) -> Option<Means> {
        let count = hours.clamp(1, WINDOW_H) * BLOCKS_PER_H;
        let first = self.blocks.len().checked_sub(count)?;
        let sum = |of: fn(&Block) -> f64| self.blocks.iter().skip(first).map(of).sum::<f64>();
        let (scans, product) = (sum(|b| b.scans), sum(|b| b.product));
        (scans > 0.0 && product > 0.0).then(|| Means {
            cost: sum(|b| b.lost) / product,
            pressure: sum(|b| b.pressure) / scans,
            fraction_a: sum(|b| b.fraction_a) / scans,
            product: product / scans,
            demand: sum(|b| b.demand) / scans,
        })
    }

    /// Forgets the extremes, at the begin of a new chapter.
    pub fn reset_extremes(&mut self) {
        self.pressure_high = 0.0;
        self.valves = [(100.0, 0.0); 4];
        self.overridden = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device as _;
    use crate::te4::plc::{Te4Options, Te4Plc};
    use crate::te4::process::Noise;

    #[test]
    fn the_base_case_costs_what_is_published() {
        let mut plc = Te4Plc::new(Te4Options { noise: Noise::OFF, ..Te4Options::default() });
        let mut score = Score::default();
        assert_eq!(score.means(1), None);
        while plc.time().as_secs() < 3 * 3600 {
            plc.scan();
            score.observe(&plc.truth());
        }
        let means = score.means(2).expect("two hours have passed");
        assert!((means.cost - 0.2415).abs() < 5e-5, "{means:?}");
        assert!((means.pressure - 2700.0).abs() < 1e-3 && (means.product - 100.0).abs() < 1e-3, "{means:?}");
        assert!(!score.overridden && !score.tripped && score.pressure_high < 2700.01, "{score:?}");
        score.reset_extremes();
        assert_eq!(score.pressure_high, 0.0);
    }
}
