//! The two-phase reactor te4: equations, steady state and cost. Pure; time is an argument.
//!
//! Gas A and C react to liquid D (A + C -> D); B is inert and leaves only with the purge. Feed 1 brings A, B and C, feed 2 pure A, valve 3
//! purges vapour, valve 4 drains product. What is purged of A and C is lost: the cost. The inert gathers slowly, over tens of
//! hours, so the cheapest operation shows only long after a move.
//!
//! Source: N. L. Ricker, "Model predictive control of a continuous, nonlinear, two-phase reactor", Journal of Process Control 3 (1993)
//! 109-123: balances, parameters, limits, prices and the base case.
//!
//! Words: *fraction* is a share of the vapour, 0 to 1; *slack* is product over purge, 102 yB - yC: where it is not positive, no purge
//! holds the inert and there is no steady state. Units: kmol, kmol/h, kPa, K, m3, valves and level in %.

/// Gas constant, kJ/(kmol K).
const GAS: f64 = 8.314;
/// Temperature, K.
const TEMPERATURE: f64 = 373.0;
/// Volume of the vessel, m3.
const VOLUME: f64 = 122.0;
/// Molar density of the liquid, kmol/m3.
const DENSITY: f64 = 8.3;
/// Liquid volume at 100 % level, m3.
const LIQUID_FULL: f64 = 30.0;
/// Rate constant of fresh catalyst, kmol/(h kPa^1.6).
const RATE: f64 = 0.00117;
/// Flow of feed 1 and feed 2, kmol/h per % of valve.
const VALVE_1: f64 = 3.3046;
const VALVE_2: f64 = 0.2246;
/// Flow of purge and product, kmol/h per % of valve and root of the pressure drop in kPa.
const VALVE_3: f64 = 0.00352;
const VALVE_4: f64 = 0.0417;
/// Pressure behind the valves of purge and product, kPa.
const DOWNSTREAM: f64 = 100.0;
/// What a kmol of A in the purge is worth, $.
pub const PRICE_A: f64 = 2.206;
/// What a kmol of C in the purge is worth, $.
pub const PRICE_C: f64 = 6.177;
/// Pressure at which the plant shuts itself down, kPa.
pub const SHUTDOWN: f64 = 3000.0;

/// Amounts stay above this, kmol: an empty vessel has no fractions.
const LEAST: f64 = 1e-3;
/// Liquid stays below this, kmol: 95 % of the vessel.
const LIQUID_MOST: f64 = 0.95 * VOLUME * DENSITY;

/// The states: amounts in the vessel, kmol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    /// A, B and C in the vapour.
    pub vapour: [f64; 3],
    /// D in the liquid.
    pub liquid: f64,
}

/// What acts on the plant from outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surroundings {
    /// Fractions of A, B and C in feed 1.
    pub feed: [f64; 3],
    /// Catalyst activity, 1 is fresh.
    pub activity: f64,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { feed: [0.485, 0.005, 0.510], activity: 1.0 }
    }
}

/// What follows from states and valves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outputs {
    /// Pressure, kPa.
    pub pressure: f64,
    /// Fractions of A, B and C.
    pub fractions: [f64; 3],
    /// Level, %.
    pub level: f64,
    /// Feed 1, feed 2, purge, product, kmol/h.
    pub flows: [f64; 4],
}

/// Cost of what the purge loses, $ per kmol of product, from fractions of A and C and flows. Infinite when nothing is produced.
#[must_use]
pub fn cost(purge: f64, a: f64, c: f64, product: f64) -> f64 {
    if product > 0.0 { purge * (PRICE_A * a + PRICE_C * c) / product } else { f64::INFINITY }
}

impl State {
    /// The vessel at a pressure (kPa), level (%) and fractions of A, B and C.
    #[must_use]
    pub fn holding(pressure: f64, level: f64, fractions: [f64; 3]) -> Self {
        let liquid_volume = level / 100.0 * LIQUID_FULL;
        let amount = pressure * (VOLUME - liquid_volume) / (GAS * TEMPERATURE);
        Self { vapour: fractions.map(|y| y * amount), liquid: liquid_volume * DENSITY }
    }

    /// Outputs at these valve positions, %.
    #[must_use]
    pub fn outputs(&self, valves: [f64; 4]) -> Outputs {
        let liquid_volume = self.liquid / DENSITY;
        let amount: f64 = self.vapour.iter().sum();
        let pressure = amount * GAS * TEMPERATURE / (VOLUME - liquid_volume);
        let root = (pressure - DOWNSTREAM).max(0.0).sqrt();
        let [v1, v2, v3, v4] = valves;
        Outputs {
            pressure,
            fractions: self.vapour.map(|n| n / amount),
            level: 100.0 * liquid_volume / LIQUID_FULL,
            flows: [VALVE_1 * v1, VALVE_2 * v2, VALVE_3 * v3 * root, VALVE_4 * v4 * root],
        }
    }

    fn derivative(&self, valves: [f64; 4], around: &Surroundings) -> Self {
        let Outputs { pressure, fractions: [a, b, c], flows: [f1, f2, f3, f4], .. } = self.outputs(valves);
        let rate = reaction(a * pressure, c * pressure, around.activity);
        let [feed_a, feed_b, feed_c] = around.feed;
        Self {
            vapour: [feed_a * f1 + f2 - a * f3 - rate, feed_b * f1 - b * f3, feed_c * f1 - c * f3 - rate],
            liquid: rate - f4,
        }
    }

    fn plus(&self, hours: f64, d: &Self) -> Self {
        let mut vapour = self.vapour;
        for (n, change) in vapour.iter_mut().zip(d.vapour) {
            *n = (*n + hours * change).max(LEAST);
        }
        Self { vapour, liquid: (self.liquid + hours * d.liquid).clamp(LEAST, LIQUID_MOST) }
    }

    /// The states after `hours` with the valves held, in one Runge-Kutta step of the fourth order.
    ///
    /// The fastest time constant is about 0.3 h (reaction); steps up to 0.01 h leave an error far below any instrument's. Amounts stay
    /// positive and the vessel never runs over, whatever the valves do.
    #[must_use]
    pub fn advance(&self, hours: f64, valves: [f64; 4], around: &Surroundings) -> Self {
        let a = self.derivative(valves, around);
        let b = self.plus(hours / 2.0, &a).derivative(valves, around);
        let c = self.plus(hours / 2.0, &b).derivative(valves, around);
        let d = self.plus(hours, &c).derivative(valves, around);
        let sixth = |a: f64, b: f64, c: f64, d: f64| (a + 2.0 * b + 2.0 * c + d) / 6.0;
        let mean = Self {
            vapour: [0, 1, 2].map(|i| sixth(a.vapour[i], b.vapour[i], c.vapour[i], d.vapour[i])),
            liquid: sixth(a.liquid, b.liquid, c.liquid, d.liquid),
        };
        self.plus(hours, &mean)
    }
}

/// Rate of reaction, kmol/h, from the partial pressures of A and C in kPa.
fn reaction(a: f64, c: f64, activity: f64) -> f64 {
    activity * RATE * a.max(0.0).powf(1.2) * c.max(0.0).powf(0.4)
}

/// One steady operating point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Pressure, kPa.
    pub pressure: f64,
    /// Fractions of A, B and C.
    pub fractions: [f64; 3],
    /// Feed 1, feed 2, purge, product, kmol/h.
    pub flows: [f64; 4],
    /// Valve positions, %; outside 0 to 100 the point cannot be held.
    pub valves: [f64; 4],
    /// $ per kmol of product.
    pub cost: f64,
}

/// The steady point at a pressure (kPa), a fraction of A and a product flow (kmol/h); None where there is none.
///
/// Closed form: the rate gives the fraction of C, the balances of B and C give purge and feed 1, that of A gives feed 2.
#[must_use]
pub fn steady(pressure: f64, a: f64, product: f64, around: &Surroundings) -> Option<Point> {
    let [feed_a, feed_b, feed_c] = around.feed;
    let c = (product / reaction(a * pressure, 1.0, around.activity)).powf(2.5) / pressure;
    let b = 1.0 - a - c;
    let slack = feed_c / feed_b * b - c;
    if !(product > 0.0 && pressure > DOWNSTREAM && a > 0.0 && b > 0.0 && slack > 0.0) {
        return None;
    }
    let purge = product / slack;
    let feed = b * purge / feed_b;
    let pure_a = product + a * purge - feed_a * feed;
    let root = (pressure - DOWNSTREAM).sqrt();
    Some(Point {
        pressure,
        fractions: [a, b, c],
        flows: [feed, pure_a, purge, product],
        valves: [feed / VALVE_1, pure_a / VALVE_2, purge / (VALVE_3 * root), product / (VALVE_4 * root)],
        cost: cost(purge, a, c, product),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(what: &str, got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{what}: got {got}, want {want} +- {tolerance}");
    }

    fn base() -> Point {
        steady(2700.0, 0.47, 100.0, &Surroundings::default()).expect("the base case")
    }

    #[test]
    fn the_published_base_case() {
        let p = base();
        for (i, want) in [60.95, 25.02, 39.26, 47.03].into_iter().enumerate() {
            close("valve", p.valves[i], want, 0.005);
        }
        close("cost", p.cost, 0.2415, 5e-5);
        let x = State::holding(2700.0, 44.18, p.fractions);
        let out = x.outputs(p.valves);
        close("pressure", out.pressure, 2700.0, 1e-9);
        close("level", out.level, 44.18, 1e-9);
        for (flow, want) in out.flows.into_iter().zip(p.flows) {
            close("flow", flow, want, 1e-9);
        }
    }

    #[test]
    fn the_steady_state_stands_still() {
        let p = base();
        let around = Surroundings::default();
        let start = State::holding(2700.0, 44.18, p.fractions);
        let mut x = start;
        for _ in 0..360 {
            x = x.advance(0.001, p.valves, &around);
        }
        for (n, before) in x.vapour.into_iter().zip(start.vapour) {
            close("amount", n, before, 1e-9);
        }
        close("liquid", x.liquid, start.liquid, 1e-9);
    }

    #[test]
    fn short_and_long_steps_agree() {
        let (p, around) = (base(), Surroundings { activity: 0.829, ..Surroundings::default() });
        let start = State::holding(2700.0, 44.18, p.fractions);
        let coarse = (0..100).fold(start, |x, _| x.advance(0.01, p.valves, &around));
        let fine = (0..10_000).fold(start, |x, _| x.advance(0.0001, p.valves, &around));
        close("pressure", coarse.outputs(p.valves).pressure, fine.outputs(p.valves).pressure, 1e-4);
        assert!(coarse.outputs(p.valves).pressure > 2750.0, "less reaction, more pressure");
    }

    #[test]
    fn states_stay_bounded_whatever_the_valves_do() {
        let around = Surroundings::default();
        for valves in [[0.0, 0.0, 100.0, 100.0], [0.0; 4], [100.0, 100.0, 0.0, 0.0], [100.0; 4]] {
            let mut x = State::holding(2700.0, 44.18, base().fractions);
            for _ in 0..10_000 {
                x = x.advance(0.01, valves, &around);
                let out = x.outputs(valves);
                assert!(x.vapour.iter().all(|n| *n >= LEAST && n.is_finite()) && x.liquid <= LIQUID_MOST, "{x:?}");
                assert!(out.pressure.is_finite() && out.level >= 0.0, "{out:?}");
            }
        }
    }

    #[test]
    fn more_demand_or_a_weaker_catalyst_has_no_steady_state_at_the_base_setpoints() {
        assert_eq!(steady(2700.0, 0.47, 115.0, &Surroundings::default()), None);
        let weak = Surroundings { activity: 0.829, ..Surroundings::default() };
        assert_eq!(steady(2700.0, 0.47, 100.0, &weak), None);
    }
}
