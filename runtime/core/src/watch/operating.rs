//! Operating mode: in which of the situations of its training data a model is now. Shown, and a reason to widen its intervals.
//!
//! The model file brings the centres (k-means over standardised inputs, made in training). The nearest centre counts, with hysteresis:
//! another one must be nearer by a tenth, and a mode is left for "unknown" a tenth beyond its radius. Nothing is learnt here.
//!
//! Not to be confused with the mode of the application (OFF, ADVISORY, CLOSED LOOP).

use serde::{Deserialize, Serialize};

use super::basis::ModeSet;
use crate::state::Archive;

/// Share by which another centre must be nearer, and by which a radius must be exceeded.
const HYSTERESIS: f64 = 0.1;

/// The operating mode now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OperatingMode {
    /// The model file knows none, or the model has not run yet.
    #[default]
    None,
    /// Beyond the radius of every mode.
    Unknown,
    /// Index in the model file's list.
    Known(u16),
}

/// Follows the operating mode from run to run.
#[derive(Debug, Clone)]
pub struct ModeTracker {
    set: ModeSet,
    now: OperatingMode,
}

impl ModeTracker {
    /// For these modes; all lists of `set` must fit together, which the model contract checks.
    #[must_use]
    pub fn new(set: ModeSet) -> Self {
        Self { set, now: OperatingMode::None }
    }

    /// Takes the inputs of a run, EU. Bounded by modes times inputs.
    pub fn run(&mut self, inputs: &[f64]) {
        let distance = |mode: usize| self.distance(mode, inputs);
        let mut nearest = (0, f64::INFINITY);
        for mode in 0..self.set.modes.len() {
            let d = distance(mode);
            if d < nearest.1 {
                nearest = (mode, d);
            }
        }
        let stays = match self.now {
            OperatingMode::Known(mode) => {
                let mode = usize::from(mode);
                let own = distance(mode);
                let left = own > self.set.modes[mode].radius * (1.0 + HYSTERESIS);
                !left && nearest.1 >= own * (1.0 - HYSTERESIS)
            }
            OperatingMode::None | OperatingMode::Unknown => false,
        };
        if !stays {
            // The nearest one may have the smaller radius: any mode that holds the point is better than none.
            let holds = |mode: &usize| distance(*mode) <= self.set.modes[*mode].radius;
            let found = Some(nearest.0).filter(holds).or_else(|| (0..self.set.modes.len()).find(holds));
            self.now = found.map_or(OperatingMode::Unknown, |mode| OperatingMode::Known(mode as u16));
        }
    }

    /// Keeps the mode.
    pub fn keep(&mut self, archive: &mut Archive<'_>) {
        // Past the last one: unknown, and then none.
        let modes = self.set.modes.len();
        let mut now = match self.now {
            OperatingMode::Known(mode) => usize::from(mode),
            OperatingMode::Unknown => modes,
            OperatingMode::None => modes + 1,
        };
        archive.keep_index(&mut now, modes + 1);
        self.now = match now {
            mode if mode < modes => OperatingMode::Known(mode as u16),
            mode if mode == modes => OperatingMode::Unknown,
            _ => OperatingMode::None,
        };
    }

    /// The mode of the last run.
    #[must_use]
    pub fn now(&self) -> OperatingMode {
        self.now
    }

    /// By how much an output's interval is wider in the present mode than over all modes, at least 1. In an unknown mode: the largest
    /// of all.
    #[must_use]
    pub fn interval_factor(&self, output: usize) -> f64 {
        let factor = |mode: usize| self.set.modes.get(mode).and_then(|m| m.factors.get(output)).copied().unwrap_or(1.0);
        match self.now {
            OperatingMode::None => 1.0,
            OperatingMode::Known(mode) => factor(usize::from(mode)),
            OperatingMode::Unknown => (0..self.set.modes.len()).map(factor).fold(1.0, f64::max),
        }
    }

    /// Euclidean, in standard deviations of the training inputs.
    fn distance(&self, mode: usize, inputs: &[f64]) -> f64 {
        let scaled = inputs.iter().zip(&self.set.mean).zip(&self.set.std).map(|((x, mean), std)| (x - mean) / std);
        let squares: f64 = scaled.zip(&self.set.modes[mode].centroid).map(|(z, c)| (z - c) * (z - c)).sum();
        squares.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::basis::ModeBasis;

    /// One input of mean 100 and spread 10: modes around 80 and 120.
    fn tracker() -> ModeTracker {
        let mode = |name: &str, centre: f64, factor: f64| ModeBasis {
            name: name.into(),
            centroid: vec![centre],
            radius: 2.0,
            factors: vec![factor],
        };
        ModeTracker::new(ModeSet {
            mean: vec![100.0],
            std: vec![10.0],
            modes: vec![mode("part load", -2.0, 1.0), mode("full load", 2.0, 1.6)],
        })
    }

    fn after(t: &mut ModeTracker, inputs: &[f64]) -> OperatingMode {
        inputs.iter().for_each(|x| t.run(&[*x]));
        t.now()
    }

    #[test]
    fn the_nearest_centre_counts() {
        let mut t = tracker();
        assert_eq!((t.now(), t.interval_factor(0)), (OperatingMode::None, 1.0));
        assert_eq!(after(&mut t, &[85.0]), OperatingMode::Known(0));
        assert_eq!(t.interval_factor(0), 1.0);
        assert_eq!(after(&mut t, &[118.0]), OperatingMode::Known(1));
        assert_eq!(t.interval_factor(0), 1.6);
    }

    #[test]
    fn noise_on_the_border_does_not_switch_it() {
        let mut t = tracker();
        after(&mut t, &[99.0]);
        // 100.5 is nearer to the other centre, by 5 %.
        for x in [100.5, 99.5, 100.9, 100.0] {
            assert_eq!(after(&mut t, &[x]), OperatingMode::Known(0), "{x}");
        }
        assert_eq!(after(&mut t, &[102.0]), OperatingMode::Known(1));
    }

    #[test]
    fn beyond_every_radius_it_is_unknown_and_the_doubt_the_largest() {
        let mut t = tracker();
        after(&mut t, &[120.0]);
        assert_eq!(after(&mut t, &[141.0]), OperatingMode::Known(1), "2.1 from the centre: within the hysteresis");
        assert_eq!(after(&mut t, &[143.0]), OperatingMode::Unknown);
        assert_eq!(t.interval_factor(0), 1.6);
        assert_eq!(after(&mut t, &[141.0]), OperatingMode::Unknown, "coming back needs the radius itself");
        assert_eq!(after(&mut t, &[139.0]), OperatingMode::Known(1));
        assert_eq!(after(&mut t, &[50.0]), OperatingMode::Unknown);
        assert_eq!(t.interval_factor(0), 1.6);
    }
}
