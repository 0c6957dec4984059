//! The base control of te4 in the PLC, called once per scan. Pure.
//!
//! Three PI loops with a period of 0.1 h in velocity form, so that an output at its end never winds up: product flow by feed 1, pressure by
//! the purge, fraction of A by feed 2. A proportional loop holds the level by the product valve in every scan. A pressure override
//! takes demand away above 2900 kPa. Structure, gains and times: N. L. Ricker, Journal of Process Control 3 (1993) 109-123; gain and
//! time of the override are chosen here.
//!
//! Words: *demand* is the product flow that the operator asks for; *output* is the valve position that a loop asks for, %.

use crate::r101::loops::SlaveMode;

/// Period of the PI loops and of the composition analyser, s.
pub const PERIOD_S: u64 = 360;
/// The same in h.
const PERIOD_H: f64 = PERIOD_S as f64 / 3600.0;
/// Level that is held, %, and its loop: output at that level, % per %.
pub const LEVEL_SETPOINT: f64 = 44.18;
const LEVEL_OUTPUT: f64 = 47.03;
const LEVEL_GAIN: f64 = 1.4;
/// The override begins here, kPa.
pub const OVERRIDE_AT: f64 = 2900.0;
/// Gain, kmol/h per kPa, and integral time, h, of the override.
const OVERRIDE_GAIN: f64 = 0.7;
const OVERRIDE_TIME_H: f64 = 3.0;
/// The override can take all of the largest demand, kmol/h.
const OVERRIDE_MOST: f64 = 200.0;

/// A PI controller in velocity form, output 0 to 100 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VelocityPi {
    /// Output, %.
    pub output: f64,
    /// % per EU of error (setpoint - measured).
    gain: f64,
    time_h: f64,
    error: f64,
}

impl VelocityPi {
    /// Steady at this output.
    #[must_use]
    pub const fn at(output: f64, gain: f64, time_h: f64) -> Self {
        Self { output, gain, time_h, error: 0.0 }
    }

    /// One period. In MANUAL the output stands and the error is followed, so the return to AUTO is bumpless. A measurement that is no
    /// number changes nothing.
    pub fn step(&mut self, setpoint: f64, measured: f64, mode: SlaveMode) {
        let error = setpoint - measured;
        if !error.is_finite() {
            return;
        }
        if mode == SlaveMode::Auto {
            let change = self.gain * (error - self.error + PERIOD_H / self.time_h * error);
            self.output = (self.output + change).clamp(0.0, 100.0);
        }
        self.error = error;
    }
}

/// The pressure override: PI on the excess, never below zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Override {
    /// Demand that it takes away, kmol/h.
    pub reduction: f64,
    integral: f64,
}

impl Override {
    fn step(&mut self, pressure: f64) {
        let excess = pressure - OVERRIDE_AT;
        if !excess.is_finite() {
            return;
        }
        let integral = self.integral + OVERRIDE_GAIN * PERIOD_H / OVERRIDE_TIME_H * excess;
        self.integral = integral.clamp(0.0, OVERRIDE_MOST);
        self.reduction = (OVERRIDE_GAIN * excess + self.integral).clamp(0.0, OVERRIDE_MOST);
    }
}

/// Setpoints of one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setpoints {
    /// Product flow, kmol/h.
    pub demand: f64,
    /// Pressure, kPa.
    pub pressure: f64,
    /// Fraction of A, %.
    pub fraction_a: f64,
}

/// Measurements of one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Product flow, kmol/h.
    pub product: f64,
    /// Pressure, kPa.
    pub pressure: f64,
    /// Fraction of A, %.
    pub fraction_a: f64,
}

/// All loops.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseControl {
    /// Product flow by feed 1.
    pub product: VelocityPi,
    /// Pressure by the purge.
    pub pressure: VelocityPi,
    /// Fraction of A by feed 2.
    pub composition: VelocityPi,
    /// Pressure override.
    pub over: Override,
    /// Output of the level loop, %.
    pub level_output: f64,
}

impl BaseControl {
    /// Steady at these valve positions.
    #[must_use]
    pub fn at(valves: [f64; 4]) -> Self {
        let [v1, v2, v3, v4] = valves;
        Self {
            product: VelocityPi::at(v1, 0.1, 1.0),
            pressure: VelocityPi::at(v3, -0.25, 1.5),
            composition: VelocityPi::at(v2, 2.0, 3.0),
            over: Override::default(),
            level_output: v4,
        }
    }

    /// The PI loops, once per period; `modes` of the pressure and the composition loop.
    pub fn each_period(&mut self, setpoints: &Setpoints, measured: &Measured, modes: [SlaveMode; 2]) {
        self.over.step(measured.pressure);
        let demand = (setpoints.demand - self.over.reduction).max(0.0);
        self.product.step(demand, measured.product, SlaveMode::Auto);
        self.pressure.step(setpoints.pressure, measured.pressure, modes[0]);
        self.composition.step(setpoints.fraction_a, measured.fraction_a, modes[1]);
    }

    /// The level loop, once per scan.
    pub fn each_scan(&mut self, level: f64) {
        if level.is_finite() {
            self.level_output = (LEVEL_OUTPUT - LEVEL_GAIN * (LEVEL_SETPOINT - level)).clamp(0.0, 100.0);
        }
    }

    /// Demanded valve positions, %.
    #[must_use]
    pub fn outputs(&self) -> [f64; 4] {
        [self.product.output, self.composition.output, self.pressure.output, self.level_output]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pressure_loop_opens_the_purge_and_never_winds_up() {
        let mut pi = VelocityPi::at(50.0, -0.25, 1.5);
        for _ in 0..1000 {
            pi.step(2700.0, 2800.0, SlaveMode::Auto);
        }
        assert_eq!(pi.output, 100.0);
        pi.step(2700.0, 2700.0, SlaveMode::Auto);
        assert!(pi.output < 100.0, "leaves the end at once when the error is gone: {}", pi.output);
    }

    #[test]
    fn manual_and_back_without_a_bump() {
        let mut pi = VelocityPi::at(25.0, 2.0, 3.0);
        pi.step(47.0, 45.0, SlaveMode::Manual);
        pi.step(47.0, 45.0, SlaveMode::Manual);
        assert_eq!(pi.output, 25.0);
        pi.step(47.0, 45.0, SlaveMode::Auto);
        assert!((pi.output - (25.0 + 2.0 * 0.1 / 3.0 * 2.0)).abs() < 1e-12, "integral only: {}", pi.output);
    }

    #[test]
    fn the_override_acts_above_its_limit_only() {
        let mut over = Override::default();
        over.step(2899.0);
        assert_eq!(over.reduction, 0.0);
        over.step(2910.0);
        assert!(over.reduction > 7.0 && over.reduction < 7.5, "{}", over.reduction);
        for _ in 0..100 {
            over.step(2850.0);
        }
        assert_eq!(over.reduction, 0.0);
    }
}
