//! The reference answer: the best setpoints of R-101 by brute force over the true plant. Tests and acceptance compare with it.
//!
//! Words: *oracle* is this reference; *feasible* means product and duty inside their limits at steady state.

use super::plant::{self, Feed};

/// Feed limits, l/h.
pub const FEED_LIMITS: (f64, f64) = (80.0, 200.0);
/// Reactor temperature limits, degC.
pub const TEMPERATURE_LIMITS: (f64, f64) = (105.0, 120.0);
/// Cooling capacity, kJ/h.
pub const DUTY_HIGH: f64 = 6000.0;
/// Specification of product B, mol/l.
pub const PRODUCT_LOW: f64 = 1.06;

/// One steady operating point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Feed, l/h.
    pub feed: f64,
    /// Reactor temperature, degC.
    pub temperature: f64,
    /// Product B, mol/l.
    pub c_b: f64,
    /// Duty, kJ/h.
    pub duty: f64,
    /// Profit, EUR/h.
    pub profit: f64,
}

/// The steady operating point at these setpoints and disturbances.
#[must_use]
pub fn point(feed: f64, temperature: f64, c_a0: f64, t0: f64) -> Point {
    let (x, duty) = plant::steady(Feed { flow: feed, c_a0, t0 }, temperature);
    Point { feed, temperature, c_b: x.c_b, duty, profit: plant::profit(feed, x.c_b, c_a0, duty) }
}

/// Answer of the oracle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Oracle {
    /// The most profitable point that meets both limits.
    Feasible(Point),
    /// No point meets both: the best product that the cooling allows.
    Infeasible(Point),
}

impl Oracle {
    /// The point, feasible or not.
    #[must_use]
    pub const fn point(&self) -> Point {
        match self {
            Self::Feasible(p) | Self::Infeasible(p) => *p,
        }
    }
}

/// Searches a grid of 0.5 l/h by 0.1 degC inside the limits: 36,391 points, some milliseconds.
///
/// `c_a0` in mol/l, `t0` in degC. Ties go to the lower feed, then the lower temperature.
#[must_use]
pub fn oracle(c_a0: f64, t0: f64) -> Oracle {
    let mut best: Option<Point> = None;
    let mut reachable: Option<Point> = None;
    let half_litres = (FEED_LIMITS.0 * 2.0) as u32..=(FEED_LIMITS.1 * 2.0) as u32;
    for f in half_litres {
        for t in (TEMPERATURE_LIMITS.0 * 10.0) as u32..=(TEMPERATURE_LIMITS.1 * 10.0) as u32 {
            let p = point(f64::from(f) / 2.0, f64::from(t) / 10.0, c_a0, t0);
            if !(0.0..=DUTY_HIGH).contains(&p.duty) {
                continue;
            }
            if reachable.is_none_or(|r| p.c_b > r.c_b) {
                reachable = Some(p);
            }
            if p.c_b >= PRODUCT_LOW && best.is_none_or(|b| p.profit > b.profit) {
                best = Some(p);
            }
        }
    }
    // A grid on which nothing can be cooled answers the lowest corner: still infeasible, never a panic.
    let corner = || point(FEED_LIMITS.0, TEMPERATURE_LIMITS.0, c_a0, t0);
    best.map_or_else(|| Oracle::Infeasible(reachable.unwrap_or_else(corner)), Oracle::Feasible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(what: &str, got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{what}: got {got}, want {want} +- {tolerance}");
    }

    #[test]
    fn every_feasible_row_of_the_reference_table() {
        // c_A0, T0, base profit, optimum F, T, c_B, duty, EUR/h
        let rows = [
            (5.10, 116.0, 8.27, 200.0, 120.0, 1.096, 4382.0, 17.82),
            (5.30, 116.0, 7.98, 200.0, 120.0, 1.133, 4821.0, 17.47),
            (5.10, 112.0, 10.63, 200.0, 120.0, 1.096, 2133.0, 21.20),
            (5.10, 120.0, 5.91, 176.0, 120.0, 1.088, 5988.0, 11.64),
            (4.95, 120.0, 6.10, 187.5, 120.0, 1.064, 5997.0, 13.30),
        ];
        for (c_a0, t0, base, f, t, c_b, duty, eur) in rows {
            close("base", point(140.0, 114.0, c_a0, t0).profit, base, 0.005);
            let Oracle::Feasible(p) = oracle(c_a0, t0) else { panic!("{c_a0} {t0}: infeasible") };
            close("feed", p.feed, f, 1e-9);
            close("temperature", p.temperature, t, 1e-9);
            close("product", p.c_b, c_b, 5e-4);
            close("duty", p.duty, duty, 0.5);
            close("profit", p.profit, eur, 0.005);
        }
        close("base duty at 120", point(140.0, 114.0, 5.10, 120.0).duty, 7124.0, 0.5);
        close("base duty at 120, thin feed", point(140.0, 114.0, 4.95, 120.0).duty, 6893.0, 0.5);
    }

    #[test]
    fn both_infeasible_rows() {
        let base = point(140.0, 114.0, 4.90, 116.0);
        close("base", base.profit, 8.52, 0.005);
        close("base product", base.c_b, 1.053, 5e-4);
        // The table was made on a grid of 0.5 degC; on ours the best point may lie one step beside it and is at least as good.
        for (t0, f, t, c_b, duty) in [(116.0, 200.0, 119.5, 1.058, 4207.0), (122.0, 80.0, 107.5, 1.040, 5967.0)] {
            let Oracle::Infeasible(p) = oracle(4.90, t0) else { panic!("{t0}: feasible") };
            let table = point(f, t, 4.90, t0);
            close("product", table.c_b, c_b, 5e-4);
            close("duty", table.duty, duty, 0.5);
            assert!(p.c_b >= table.c_b && p.c_b < PRODUCT_LOW && p.duty <= DUTY_HIGH, "{p:?}");
            close("feed", p.feed, f, 1e-9);
            close("temperature", p.temperature, t, 0.101);
        }
    }

    #[test]
    fn worth_of_the_limits_at_the_first_row() {
        let here = point(200.0, 120.0, 5.10, 116.0).profit;
        close("feed limit", point(200.5, 120.0, 5.10, 116.0).profit - here, 0.119 / 2.0, 0.5e-3);
        // What the last tenth of a degree below the limit was worth.
        close("temperature limit", (here - point(200.0, 119.9, 5.10, 116.0).profit) * 10.0, 0.65, 5e-3);
    }
}
