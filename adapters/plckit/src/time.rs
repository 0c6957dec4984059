//! Times and numbers as structured text writes them.

use std::time::Duration;

/// Longest TIME that every PLC holds: 32 bits of milliseconds, signed.
const TIME_MS_MAX: u128 = 2_147_483_647;

/// A TIME literal in whole milliseconds, rounded up: `T#90S`, `T#1500MS`.
pub fn literal(time: Duration) -> String {
    let ms = time.as_nanos().div_ceil(1_000_000).min(TIME_MS_MAX);
    if ms.is_multiple_of(1_000) { format!("T#{}S", ms / 1_000) } else { format!("T#{ms}MS") }
}

/// A REAL literal with the shortest digits that give the same REAL: `80.0`, `1.5E-5`. `value` is finite.
pub fn real(value: f64) -> String {
    let text = format!("{:?}", value as f32);
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => format!("{mantissa}E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => text,
    }
}

/// Rounded to three digits, for numbers that were derived.
pub fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// Distance from `value` to the next REAL above it: what a PLC can resolve there.
pub fn real_step(value: f64) -> f64 {
    let near = value.abs() as f32;
    f64::from(near.next_up()) - f64::from(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_milliseconds_and_never_shorter() {
        let literal = |us| literal(Duration::from_micros(us));
        assert_eq!([literal(5_000_000), literal(1_500_000), literal(1)], ["T#5S", "T#1500MS", "T#1MS"]);
        assert_eq!(literal(u64::MAX), "T#2147483647MS");
    }

    #[test]
    fn reals_have_a_point_and_a_capital_e() {
        assert_eq!(
            [real(80.0), real(0.1), real(1e-5), real(1.5e-5), real(-2e20)],
            ["80.0", "0.1", "1.0E-5", "1.5E-5", "-2.0E20"]
        );
    }

    #[test]
    fn derived_numbers_and_what_a_real_resolves() {
        assert_eq!([three_digits(1.0 / 60.0), three_digits(0.5), three_digits(1234.5)], [0.0167, 0.5, 1230.0]);
        assert_eq!([real_step(2860.0), real_step(-2860.0)], [2f64.powi(-12); 2]);
    }
}
