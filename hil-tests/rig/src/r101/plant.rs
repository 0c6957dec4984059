//! The reactor R-101: equations, steady state and profit. Pure; time is an argument.
//!
//! A continuous stirred tank with the reactions A -> B -> C and 2 A -> D; product is B. It is the standard demonstrator of a
//! plant whose gain from feed to product changes sign and whose product first moves the wrong way.
//!
//! Sources: reaction scheme J. G. van de Vusse (1964); model and parameters K.-U. Klatt and S. Engell, "Gain-scheduling trajectory
//! control of a continuous stirred tank reactor", Computers and Chemical Engineering 22 (1998), with the reactor volume rounded
//! to 10 l. Prices and limits are invented for this example.
//!
//! Words: *duty* is the heat taken out of the jacket, kJ/h, positive when cooling; *jacket* is the cooling jacket.

/// Frequency factors of A -> B and B -> C, 1/h.
const K10: f64 = 1.287e12;
const K20: f64 = 1.287e12;
/// Frequency factor of 2 A -> D, l/(mol h).
const K30: f64 = 9.043e9;
/// Activation energies over the gas constant, K.
const E1: f64 = 9758.3;
const E2: f64 = 9758.3;
const E3: f64 = 8560.0;
/// Reaction enthalpies, kJ/mol.
const H1: f64 = 4.2;
const H2: f64 = -11.0;
const H3: f64 = -41.85;
/// Density, kg/l.
const DENSITY: f64 = 0.9342;
/// Heat capacity of the contents, kJ/(kg K).
const HEAT_CAPACITY: f64 = 3.01;
/// Heat transfer coefficient of the wall, kJ/(h m2 K).
const WALL_TRANSFER: f64 = 4032.0;
/// Surface of the wall, m2.
const WALL_AREA: f64 = 0.215;
/// Volume, l.
const VOLUME: f64 = 10.0;
/// Mass of the coolant in the jacket, kg.
const JACKET_MASS: f64 = 5.0;
/// Heat capacity of the coolant, kJ/(kg K).
const JACKET_HEAT_CAPACITY: f64 = 2.0;

/// Price of product B, EUR/mol.
pub const PRICE_B: f64 = 0.60;
/// Price of feed A, EUR/mol.
pub const PRICE_A: f64 = 0.105;
/// Price of cooling, EUR/kJ.
pub const PRICE_Q: f64 = 0.0015;

/// Rate constants at a reactor temperature in degC: 1/h, 1/h, l/(mol h).
fn rates(t: f64) -> (f64, f64, f64) {
    let kelvin = t + 273.15;
    (K10 * (-E1 / kelvin).exp(), K20 * (-E2 / kelvin).exp(), K30 * (-E3 / kelvin).exp())
}

/// What enters the reactor from outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feed {
    /// Flow, l/h.
    pub flow: f64,
    /// Concentration of A, mol/l.
    pub c_a0: f64,
    /// Temperature, degC.
    pub t0: f64,
}

/// The four states of the reactor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    /// Concentration of A, mol/l.
    pub c_a: f64,
    /// Concentration of product B, mol/l.
    pub c_b: f64,
    /// Reactor temperature, degC.
    pub t: f64,
    /// Jacket temperature, degC.
    pub t_jacket: f64,
}

impl State {
    fn plus(self, h: f64, d: State) -> State {
        State {
            c_a: self.c_a + h * d.c_a,
            c_b: self.c_b + h * d.c_b,
            t: self.t + h * d.t,
            t_jacket: self.t_jacket + h * d.t_jacket,
        }
    }
}

/// Steady state with the reactor held at `t` degC: the states and the duty (kJ/h) that hold it there.
///
/// Closed form: the balance of A is a quadratic in c_A, everything else follows.
#[must_use]
pub fn steady(feed: Feed, t: f64) -> (State, f64) {
    let dilution = feed.flow / VOLUME;
    let (k1, k2, k3) = rates(t);
    let linear = dilution + k1;
    let c_a = (-linear + (linear * linear + 4.0 * k3 * dilution * feed.c_a0).sqrt()) / (2.0 * k3);
    let c_b = k1 * c_a / (dilution + k2);
    let reaction_heat = -(k1 * c_a * H1 + k2 * c_b * H2 + k3 * c_a * c_a * H3) * VOLUME;
    let feed_heat = feed.flow * DENSITY * HEAT_CAPACITY * (feed.t0 - t);
    let duty = reaction_heat + feed_heat;
    let t_jacket = t - duty / (WALL_TRANSFER * WALL_AREA);
    (State { c_a, c_b, t, t_jacket }, duty)
}

/// Profit now, EUR/h, from flow (l/h), product (mol/l), feed concentration (mol/l) and duty (kJ/h; heating costs as cooling does).
#[must_use]
pub fn profit(flow: f64, c_b: f64, c_a0: f64, duty: f64) -> f64 {
    PRICE_B * flow * c_b - PRICE_A * flow * c_a0 - PRICE_Q * duty.abs()
}

/// Time derivative of the states, per hour.
fn derivative(x: State, feed: Feed, duty: f64) -> State {
    let dilution = feed.flow / VOLUME;
    let (k1, k2, k3) = rates(x.t);
    let heat_per_kelvin = DENSITY * HEAT_CAPACITY;
    let wall = WALL_TRANSFER * WALL_AREA;
    State {
        c_a: dilution * (feed.c_a0 - x.c_a) - k1 * x.c_a - k3 * x.c_a * x.c_a,
        c_b: -dilution * x.c_b + k1 * x.c_a - k2 * x.c_b,
        t: dilution * (feed.t0 - x.t) - (k1 * x.c_a * H1 + k2 * x.c_b * H2 + k3 * x.c_a * x.c_a * H3) / heat_per_kelvin
            + wall / (heat_per_kelvin * VOLUME) * (x.t_jacket - x.t),
        t_jacket: (-duty + wall * (x.t - x.t_jacket)) / (JACKET_MASS * JACKET_HEAT_CAPACITY),
    }
}

/// Advances the states by `seconds` under constant feed and duty: classical Runge-Kutta steps of at most 1 s.
///
/// The fastest time constant is about 17 s (wall and reaction), so 1 s leaves an error far below any instrument's.
/// Work grows with `seconds`: one step per second or part of it.
#[must_use]
pub fn advance(x: State, seconds: f64, feed: Feed, duty: f64) -> State {
    const LONGEST_STEP_S: f64 = 1.0;
    let steps = (seconds / LONGEST_STEP_S).ceil().max(1.0);
    let h = seconds / steps / 3600.0;
    let mut x = x;
    for _ in 0..steps as u64 {
        let a = derivative(x, feed, duty);
        let b = derivative(x.plus(h / 2.0, a), feed, duty);
        let c = derivative(x.plus(h / 2.0, b), feed, duty);
        let d = derivative(x.plus(h, c), feed, duty);
        x = x.plus(h / 6.0, a).plus(h / 3.0, b).plus(h / 3.0, c).plus(h / 6.0, d);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "got {got}, want {want} +- {tolerance}");
    }

    #[test]
    fn textbook_point() {
        let (x, duty) = steady(Feed { flow: 141.9, c_a0: 5.10, t0: 104.9 }, 114.2);
        close(x.c_a, 2.140, 5e-4);
        close(x.c_b, 1.090, 5e-4);
        close(x.t_jacket, 112.92, 5e-3);
        close(duty, 1110.0, 5.0);
    }

    #[test]
    fn the_steady_state_stands_still() {
        let feed = Feed { flow: 140.0, c_a0: 5.10, t0: 116.0 };
        let (x, duty) = steady(feed, 114.0);
        let later = advance(x, 600.0, feed, duty);
        close(later.c_b, x.c_b, 1e-9);
        close(later.t, x.t, 1e-7);
    }

    #[test]
    fn product_first_moves_the_wrong_way() {
        // Feed 140 -> 160 l/h at fixed duty: 1.090 falls to about 1.070 within 1-2 min and then rises to 1.096 at 10 min.
        let feed = Feed { flow: 140.0, c_a0: 5.10, t0: 116.0 };
        let (mut x, duty) = steady(feed, 114.0);
        close(x.c_b, 1.0900, 5e-4);
        let more = Feed { flow: 160.0, ..feed };
        let mut lowest = x.c_b;
        for second in 1..=600 {
            x = advance(x, 1.0, more, duty);
            if second <= 120 {
                lowest = lowest.min(x.c_b);
            }
        }
        close(lowest, 1.070, 2e-3);
        close(x.c_b, 1.096, 1e-3);
    }

    #[test]
    fn short_and_long_steps_agree() {
        let feed = Feed { flow: 200.0, c_a0: 5.10, t0: 120.0 };
        let (start, duty) = steady(Feed { flow: 140.0, ..feed }, 114.0);
        let coarse = advance(start, 60.0, feed, duty);
        let mut fine = start;
        for _ in 0..600 {
            fine = advance(fine, 0.1, feed, duty);
        }
        close(coarse.t, fine.t, 1e-4);
        close(coarse.c_b, fine.c_b, 1e-7);
    }
}
