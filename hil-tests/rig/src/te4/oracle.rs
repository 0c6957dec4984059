//! The reference answer: the cheapest steady operation of te4 by brute force over pressure and fraction of A. Tests compare with it.
//!
//! Words: *feasible* means that a steady state exists, the pressure is within its limits and every valve is between 0 and 100 %;
//! *active* is a limit that the best point touches.

use super::plant::{self, Point, Surroundings};

/// Lowest pressure that is looked at, kPa.
pub const PRESSURE_LOW: f64 = 2600.0;
/// Limit of the pressure at the optimum, kPa.
pub const PRESSURE_HIGH: f64 = 2850.0;
/// Step of the grid, kPa.
const PRESSURE_STEP: f64 = 5.0;
/// Fractions of A that are looked at.
const FRACTION: (f64, f64) = (0.35, 0.80);
/// Steps of the grid between them: 0.0001 each.
const FRACTION_STEPS: u32 = 4500;
/// A valve this close to its end is at it, %.
const AT_END: f64 = 0.5;

/// A limit that the optimum touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Active {
    /// Highest pressure.
    PressureHigh,
    /// Lowest pressure of the grid.
    PressureLow,
    /// This valve, 1 to 4, is fully open.
    ValveOpen(u8),
    /// This valve, 1 to 4, is closed.
    ValveClosed(u8),
}

/// Answer of the oracle.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimum {
    /// The cheapest point.
    pub point: Point,
    /// Limits that it touches.
    pub active: Vec<Active>,
}

/// True when every valve can be where the point needs it.
#[must_use]
pub fn holds(point: &Point) -> bool {
    point.valves.iter().all(|v| (0.0..=100.0).contains(v))
}

/// Searches a grid of 5 kPa by 0.0001 up to `pressure_high` (kPa) at this product flow (kmol/h); None when nothing is feasible.
#[must_use]
pub fn oracle(product: f64, around: &Surroundings, pressure_high: f64) -> Option<Optimum> {
    let mut best: Option<Point> = None;
    let rows = ((pressure_high - PRESSURE_LOW) / PRESSURE_STEP).floor().max(0.0) as u32;
    for row in 0..=rows {
        let pressure = pressure_high - f64::from(row) * PRESSURE_STEP;
        for column in 0..=FRACTION_STEPS {
            let share = f64::from(column) / f64::from(FRACTION_STEPS);
            let a = FRACTION.0 + share * (FRACTION.1 - FRACTION.0);
            let Some(p) = plant::steady(pressure, a, product, around).filter(holds) else { continue };
            if best.is_none_or(|b| p.cost < b.cost) {
                best = Some(p);
            }
        }
    }
    best.map(|point| Optimum { active: active(&point, pressure_high), point })
}

fn active(point: &Point, pressure_high: f64) -> Vec<Active> {
    let mut list = Vec::new();
    if point.pressure > pressure_high - PRESSURE_STEP / 2.0 {
        list.push(Active::PressureHigh);
    }
    if point.pressure < PRESSURE_LOW + PRESSURE_STEP {
        list.push(Active::PressureLow);
    }
    for (number, valve) in (1..).zip(point.valves) {
        if valve > 100.0 - AT_END {
            list.push(Active::ValveOpen(number));
        }
        if valve < AT_END {
            list.push(Active::ValveClosed(number));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Surroundings = Surroundings { feed: [0.485, 0.005, 0.510], activity: 1.0 };
    const WEAK: Surroundings = Surroundings { activity: 0.829, ..FRESH };

    #[test]
    fn the_three_optima_and_what_holds_them() {
        for (product, around, cost, a) in
            [(100.0, FRESH, 0.0887, 0.603), (100.0, WEAK, 0.159, 0.660), (115.0, FRESH, 0.1334, 0.645)]
        {
            let best = oracle(product, &around, PRESSURE_HIGH).expect("feasible");
            println!("F4 {product} kmol/h, activity {}: {best:?}", around.activity);
            assert!((best.point.cost - cost).abs() < 5e-5, "{}", best.point.cost);
            assert!((best.point.fractions[0] - a).abs() < 1e-3, "{:?}", best.point.fractions);
            assert_eq!(best.active, [Active::PressureHigh], "only the pressure holds it");
        }
    }

    #[test]
    fn the_purge_valve_ends_what_can_be_made() {
        let most = oracle(140.0, &FRESH, PRESSURE_HIGH).expect("feasible").point;
        assert!(most.valves[2] > 90.0 && most.valves[2] <= 100.0, "{most:?}");
        assert_eq!(oracle(145.0, &FRESH, PRESSURE_HIGH), None, "a larger purge valve would be needed");
    }

    #[test]
    fn limits_that_are_touched_are_named() {
        let point = oracle(100.0, &FRESH, PRESSURE_HIGH).expect("feasible").point;
        let at_ends = Point { pressure: PRESSURE_LOW, valves: [99.8, 0.2, 50.0, 50.0], ..point };
        assert_eq!(
            active(&at_ends, PRESSURE_HIGH),
            [Active::PressureLow, Active::ValveOpen(1), Active::ValveClosed(2)]
        );
    }

    #[test]
    fn a_lower_pressure_limit_costs() {
        let at = |limit| oracle(100.0, &FRESH, limit).expect("feasible").point.cost;
        assert!(at(2800.0) > at(2845.0) && at(2845.0) > at(2850.0));
        assert!((at(2845.0) - 0.0893).abs() < 1e-4, "{}", at(2845.0));
    }
}
