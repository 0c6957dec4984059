//! The slave controllers in the PLC: FIC-101 on the feed valve and TIC-101 on the cooling duty. Pure; called once per scan.
//!
//! Words: *output* is what the controller demands of its actuator; in MANUAL the output is the operator's and the controller tracks it, so
//! that the return to AUTO is bumpless.

/// Highest duty that the cooling machine can deliver, kJ/h.
pub const DUTY_MAX: f64 = 9000.0;
/// Highest feed that the valve can pass, l/h.
pub const FEED_MAX: f64 = 250.0;

/// Mode of a slave controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlaveMode {
    /// Follows its setpoint.
    Auto,
    /// Holds the operator's output.
    Manual,
}

/// FIC-101, the feed flow controller.
///
/// Flow loops are fast against everything else here: in AUTO the demand is the setpoint, and the flow follows as a first-order lag of
/// a few seconds (`process`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeedController {
    /// Mode.
    pub mode: SlaveMode,
    /// Demanded flow, l/h.
    pub output: f64,
}

impl FeedController {
    /// In AUTO at this flow.
    #[must_use]
    pub const fn at(flow: f64) -> Self {
        Self { mode: SlaveMode::Auto, output: flow }
    }

    /// One scan.
    pub fn scan(&mut self, setpoint: f64) {
        if self.mode == SlaveMode::Auto {
            self.output = setpoint.clamp(0.0, FEED_MAX);
        }
    }
}

/// TIC-101: PI on the cooling duty, positional form with the integral held while the output is at its end (anti-windup).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemperatureController {
    /// Mode.
    pub mode: SlaveMode,
    /// Demanded duty, kJ/h.
    pub output: f64,
    /// Gain, kJ/h per K; too hot means more cooling.
    pub gain: f64,
    /// Integral time, s.
    pub integral_time_s: f64,
    integral: f64,
}

impl TemperatureController {
    /// In AUTO, steady at this duty, with Kc 600 kJ/(h K) and Ti 180 s.
    #[must_use]
    pub const fn at(duty: f64) -> Self {
        Self { mode: SlaveMode::Auto, output: duty, gain: 600.0, integral_time_s: 180.0, integral: duty }
    }

    /// One scan of `seconds`, temperatures in degC.
    pub fn scan(&mut self, setpoint: f64, measured: f64, seconds: f64) {
        let proportional = self.gain * (measured - setpoint);
        match self.mode {
            SlaveMode::Auto => {
                let step = proportional * seconds / self.integral_time_s;
                self.integral += step;
                let wanted = self.integral + proportional;
                self.output = wanted.clamp(0.0, DUTY_MAX);
                if wanted <= 0.0 || wanted >= DUTY_MAX {
                    self.integral -= step;
                }
            }
            SlaveMode::Manual => self.integral = self.output - proportional,
        }
    }

    /// The output is at an end: no move can be followed in that direction.
    #[must_use]
    pub fn saturated(&self) -> bool {
        self.output <= 0.0 || self.output >= DUTY_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::super::plant::{self, Feed};
    use super::*;

    /// What one closed-loop hour looked like.
    struct Hour {
        product_low: f64,
        duty_high: f64,
        deviation_high: f64,
        profit: f64,
    }

    /// One hour from a steady point towards end setpoints, ramped by `rates` per second, 1 s steps, no actuator lag: the terms under
    /// which the reference numbers were computed.
    fn hour(from: (f64, f64), to: (f64, f64), rates: (f64, f64), t0_after_600_s: f64) -> Hour {
        let (mut f, mut t) = from;
        let mut feed = Feed { flow: f, c_a0: 5.10, t0: 116.0 };
        let (mut x, duty) = plant::steady(feed, t);
        let mut tic = TemperatureController::at(duty);
        let mut h = Hour { product_low: 9.0, duty_high: 0.0, deviation_high: 0.0, profit: 0.0 };
        for second in 0..3600 {
            if second == 600 {
                feed.t0 = t0_after_600_s;
            }
            f += (to.0 - f).clamp(-4.0 / 30.0, rates.0);
            t += (to.1 - t).clamp(-0.5 / 30.0, rates.1);
            tic.scan(t, x.t, 1.0);
            feed.flow = f;
            x = plant::advance(x, 1.0, feed, tic.output);
            h.product_low = h.product_low.min(x.c_b);
            h.duty_high = h.duty_high.max(tic.output);
            h.deviation_high = h.deviation_high.max((x.t - t).abs());
            h.profit += plant::profit(f, x.c_b, feed.c_a0, tic.output) / 3600.0;
        }
        h
    }

    fn close(what: &str, got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{what}: got {got}, want {want} +- {tolerance}");
    }

    #[test]
    fn ramp_to_the_optimum_with_the_configured_moves() {
        let h = hour((140.0, 114.0), (200.0, 120.0), (2.0 / 30.0, 0.2 / 30.0), 116.0);
        close("product", h.product_low, 1.082, 5e-4);
        close("duty", h.duty_high, 5545.0, 0.5);
        close("deviation", h.deviation_high, 0.77, 5e-3);
        close("profit", h.profit, 16.86, 5e-3);
    }

    #[test]
    fn a_step_to_the_optimum_violates_the_specification() {
        let h = hour((140.0, 114.0), (200.0, 120.0), (60.0, 6.0), 116.0);
        close("product", h.product_low, 1.038, 5e-4);
        close("duty", h.duty_high, 4440.0, 0.5);
        close("deviation", h.deviation_high, 6.0, 0.05);
    }

    #[test]
    fn warmer_feed_without_an_optimiser_violates_the_cooling() {
        let h = hour((200.0, 120.0), (200.0, 120.0), (2.0 / 30.0, 0.2 / 30.0), 120.0);
        close("product", h.product_low, 1.087, 5e-4);
        close("duty", h.duty_high, 6708.0, 0.5);
    }

    #[test]
    fn no_windup_at_the_end_of_the_output() {
        let mut tic = TemperatureController::at(1000.0);
        for _ in 0..3600 {
            tic.scan(114.0, 100.0, 1.0);
        }
        assert!(tic.saturated());
        tic.scan(114.0, 114.0, 1.0);
        assert!(tic.output > 0.0, "leaves the end at once when the error is gone");
    }

    #[test]
    fn manual_and_back_without_a_bump() {
        let mut tic = TemperatureController::at(1000.0);
        tic.mode = SlaveMode::Manual;
        tic.output = 1234.0;
        tic.scan(114.0, 116.0, 0.1);
        tic.mode = SlaveMode::Auto;
        tic.scan(114.0, 116.0, 0.1);
        close("output", tic.output, 1234.0, 1.0);
    }
}
