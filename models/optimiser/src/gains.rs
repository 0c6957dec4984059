//! The gain table: does a map answer to its MVs as the engineer knows the plant does?
//!
//! An optimiser follows the sign of each gain; a map with a wrong one drives the plant the wrong way (practice of gain matrix review, domain
//! guide 5.9). Derivatives are exact; they are looked at on points spread evenly over where the map is used.

use flyball_config::{GainSign, MvId};

use crate::halton::spread;
use crate::map::Map;

/// Points at which gains are looked at.
pub const POINTS: usize = 512;
/// A gain whose size is below this share of the largest of the same kind counts as none: networks wiggle.
const NOISE: f64 = 0.02;

/// What an engineer knows of one gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Output of the map.
    pub output: usize,
    /// Input of the map.
    pub input: usize,
    /// The CV, for the message.
    pub cv: usize,
    /// The MV.
    pub mv: MvId,
    /// Its sign.
    pub sign: GainSign,
}

/// A gain with the wrong sign.
#[derive(Debug, Clone, PartialEq)]
pub struct WrongGain {
    /// Which one.
    pub known: Known,
    /// Points at which it is wrong, of [`POINTS`].
    pub wrong: usize,
    /// The worst wrong gain, EU per EU.
    pub worst: f64,
    /// The inputs there, EU.
    pub at: Vec<f64>,
}

/// Looks at the gains over `ranges`, one per input in EU. The first wrong one, in the order given; None when all are right.
pub fn check(map: &mut dyn Map, ranges: &[(f64, f64)], known: &[Known]) -> Option<WrongGain> {
    let (n, m) = (map.inputs(), map.outputs());
    let (mut x, mut y, mut slopes) = (vec![0.0; n], vec![0.0; m], vec![0.0; n * m]);
    let mut gains = vec![Vec::with_capacity(POINTS); known.len()];
    let mut points = Vec::with_capacity(POINTS);
    for k in 0..POINTS {
        for (i, (x, (low, high))) in x.iter_mut().zip(ranges).enumerate() {
            *x = low + spread(k, i) * (high - low);
        }
        if map.run(&x, &mut y, &mut slopes).is_err() {
            continue;
        }
        for (list, known) in gains.iter_mut().zip(known) {
            list.push(slopes[known.output * n + known.input]);
        }
        points.push(x.clone());
    }
    for (list, known) in gains.iter().zip(known) {
        let largest = list.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        let wrong_by = |gain: &f64| match known.sign {
            GainSign::Positive => -gain,
            GainSign::Negative => *gain,
        };
        let wrong = list.iter().filter(|g| wrong_by(g) > NOISE * largest).count();
        let worst = (0..list.len()).max_by(|a, b| wrong_by(&list[*a]).total_cmp(&wrong_by(&list[*b])));
        if let Some(worst) = worst.filter(|_| wrong > 0) {
            return Some(WrongGain { known: *known, wrong, worst: list[worst], at: points[worst].clone() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::r101_equations;

    #[test]
    fn the_gain_of_feed_on_duty_is_negative_and_that_on_product_has_no_sign() {
        let mut map = r101_equations();
        let ranges = [(80.0, 200.0), (105.0, 120.0), (110.0, 122.0), (4.8, 5.4)];
        let known = |output, input, sign| Known { output, input, cv: output, mv: MvId(input as u32), sign };
        let temperature = known(1, 1, GainSign::Negative);
        assert_eq!(check(map.as_mut(), &ranges, &[temperature]), None, "a hotter reactor takes less heat to hold");
        let wrong = check(map.as_mut(), &ranges, &[temperature, known(1, 1, GainSign::Positive)]).unwrap();
        assert!(wrong.wrong > POINTS / 2 && wrong.worst < 0.0 && wrong.at.len() == 4, "{wrong:?}");
        for sign in [GainSign::Positive, GainSign::Negative] {
            assert!(check(map.as_mut(), &ranges, &[known(0, 0, sign)]).is_some(), "feed on product changes its sign");
        }
    }
}
