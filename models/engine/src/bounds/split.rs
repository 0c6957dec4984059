//! Splitting: halve the inputs' intervals where that tightens the bounds most, and take the hull of the parts.
//!
//! A part is bounded by its own run and by what it was split from. Of all parts the one with the widest bounds is halved next, along the
//! input that contributes most to them. The number of splits is a count, so the result does not depend on the machine.

use super::{BoundsError, Certifier, Interval};

/// Intervals of the inputs and bounds of the outputs over them.
struct Part {
    low: Vec<f32>,
    high: Vec<f32>,
    outputs: Vec<Interval>,
    /// Input along which it is halved next.
    along: usize,
}

/// The parts so far.
pub struct Search {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Search {
    /// Begins with these limits.
    pub fn new(low: Vec<f32>, high: Vec<f32>) -> Self {
        Self { low, high }
    }

    /// Tightens `outputs`, which hold for all inputs inside the limits.
    pub fn run(self, certifier: &mut Certifier, splits: usize, outputs: &mut [Interval]) -> Result<(), BoundsError> {
        let mut parts = vec![part(certifier, self.low, self.high, outputs)?];
        for _ in 0..splits {
            let hull = hull(&parts);
            let width = |p: &Part| p.outputs.iter().zip(&hull).map(|(o, h)| share(*o, *h)).fold(0.0, f64::max);
            let candidates = (0..parts.len()).filter(|i| middle(&parts[*i]).is_some());
            let Some(widest) = candidates.max_by(|i, j| width(&parts[*i]).total_cmp(&width(&parts[*j]))) else { break };
            let Part { low, high, outputs, along } = parts.swap_remove(widest);
            let middle = 0.5 * low[along] + 0.5 * high[along];
            let (mut lower_high, mut upper_low) = (high.clone(), low.clone());
            (lower_high[along], upper_low[along]) = (middle, middle);
            parts.push(part(certifier, low, lower_high, &outputs)?);
            parts.push(part(certifier, upper_low, high, &outputs)?);
        }
        for (output, hull) in outputs.iter_mut().zip(hull(&parts)) {
            *output = meet(*output, hull);
        }
        Ok(())
    }
}

fn part(certifier: &mut Certifier, low: Vec<f32>, high: Vec<f32>, known: &[Interval]) -> Result<Part, BoundsError> {
    let mut outputs = vec![Interval::WHOLE; certifier.outputs()];
    certifier.run(&low, &high, &mut outputs)?;
    outputs.iter_mut().zip(known).for_each(|(o, k)| *o = meet(*o, *k));
    // Without relaxation nothing is known of influence; then the widest input is halved.
    let weight =
        |(i, influence): (usize, f64)| if influence > 0.0 { influence } else { f64::from(high[i] - low[i]) * 1e-30 };
    let weights: Vec<f64> = certifier.influence().enumerate().map(weight).collect();
    let along = (0..weights.len()).max_by(|i, j| weights[*i].total_cmp(&weights[*j])).unwrap_or(0);
    Ok(Part { low, high, outputs, along })
}

/// Where a part can be halved.
fn middle(part: &Part) -> Option<f32> {
    let (low, high) = (*part.low.get(part.along)?, part.high[part.along]);
    Some(0.5 * low + 0.5 * high).filter(|m| low < *m && *m < high)
}

/// Width of bounds as a share of the hull's.
fn share(own: Interval, hull: Interval) -> f64 {
    if own.is_finite() && hull.width() > 0.0 {
        own.width() / hull.width()
    } else {
        f64::from(u8::from(!own.is_finite()))
    }
}

/// Two statements about the same number. Finite numbers cannot come out of nothing: if either knows it is no NaN, it is none.
fn meet(a: Interval, b: Interval) -> Interval {
    Interval::new(a.low.max(b.low), a.high.min(b.high))
}

fn hull(parts: &[Part]) -> Vec<Interval> {
    let mut all = parts[0].outputs.clone();
    for part in &parts[1..] {
        for (all, own) in all.iter_mut().zip(&part.outputs) {
            *all = Interval::new(all.low.min(own.low), all.high.max(own.high));
        }
    }
    all
}
