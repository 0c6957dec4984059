//! Quantities as words: "250 ms", "2 degC per s", "30 %", "0.02 mol/l". Parsed strictly.
//!
//! The unit must be the unit that is expected; only times are converted, because that is arithmetic and not engineering.

use std::time::Duration;

use crate::bounds::DURATION_MAX;
use crate::suggest::did_you_mean;
use crate::tree::shorten;
use crate::units::Unit;

/// What is wrong with a value: the body of a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Problem {
    pub found: String,
    pub allowed: String,
    pub help: String,
}

impl Problem {
    pub fn new(found: impl Into<String>) -> Self {
        Self { found: found.into(), ..Self::default() }
    }

    pub fn allowed(self, allowed: impl Into<String>) -> Self {
        Self { allowed: allowed.into(), ..self }
    }

    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }
}

/// What a duration looks like.
pub(crate) const DURATIONS: &str =
    "a number and a unit of time, as \"250 ms\", \"10 s\", \"5 min\", \"2 h\" or \"1 d\"";

/// Units of time and their nanoseconds.
const TIMES: [(&str, f64); 6] = [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 60e9), ("h", 3_600e9), ("d", 86_400e9)];

/// Splits "2.5 degC" into number and unit word(s).
pub(crate) fn split(text: &str) -> Result<(f64, &str), Problem> {
    let text = text.trim();
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    // `f64` also reads "inf" and "nan": neither is a quantity.
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match number.parse::<f64>() {
        Ok(value) if plain && value.is_finite() => Ok((value, unit.trim())),
        _ => Err(Problem::new(format!("found \"{}\"", shorten(text)))
            .allowed("a finite number, one space, and a unit, as \"1.5 degC\"")),
    }
}

/// A quantity in exactly `unit`.
pub(crate) fn amount(text: &str, unit: Unit) -> Result<f64, Problem> {
    let (value, word) = split(text)?;
    if word.is_empty() && unit == Unit::ONE {
        return Ok(value);
    }
    expect_unit(text, word, unit)?;
    Ok(value)
}

fn expect_unit(text: &str, word: &str, unit: Unit) -> Result<(), Problem> {
    match Unit::named(word) {
        Some(found) if found == unit => Ok(()),
        Some(_) => Err(Problem::new(format!("found \"{}\"", shorten(text)))
            .allowed(format!("the unit {unit}"))
            .help("Units are never converted silently: write the number in this unit.")),
        None if word.is_empty() => {
            Err(Problem::new(format!("found \"{}\" without a unit", shorten(text))).allowed(format!("the unit {unit}")))
        }
        None => Err(Problem::new(format!("found \"{}\", and '{}' is not a known unit", shorten(text), shorten(word)))
            .allowed(format!("the unit {unit}"))),
    }
}

/// A duration, zero or more.
pub(crate) fn duration(text: &str) -> Result<Duration, Problem> {
    let wrong = |help: String| Problem::new(format!("found \"{}\"", shorten(text))).allowed(DURATIONS).help(help);
    let (value, word) = split(text).map_err(|_| wrong(String::new()))?;
    let Some((_, nanoseconds)) = TIMES.iter().find(|(name, _)| *name == word) else {
        return Err(wrong(did_you_mean(word, TIMES.iter().map(|(name, _)| *name))));
    };
    let total = (value * nanoseconds).round();
    if total < 0.0 {
        return Err(Problem::new(format!("found \"{}\"", shorten(text))).allowed("a duration that is not negative"));
    }
    if total > DURATION_MAX.as_nanos() as f64 {
        let allowed = format!("at most {}", words(DURATION_MAX));
        return Err(Problem::new(format!("found \"{}\"", shorten(text))).allowed(allowed));
    }
    Ok(Duration::from_nanos(total as u64))
}

/// What a number of bytes looks like.
pub(crate) const SIZES: &str = "a number and a unit, as \"64 MiB\" (B, KiB, MiB, GiB, TiB)";

/// Units of size and their bytes.
const BYTES: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A number of bytes, zero or more. The cast saturates: what is too large is beyond every bound too.
pub(crate) fn size(text: &str) -> Result<u64, Problem> {
    let wrong = |help: String| Problem::new(format!("found \"{}\"", shorten(text))).allowed(SIZES).help(help);
    let (value, word) = split(text).map_err(|_| wrong(String::new()))?;
    match BYTES.iter().find(|(name, _)| *name == word) {
        Some((_, bytes)) if value >= 0.0 => Ok((value * *bytes as f64).round() as u64),
        Some(_) => Err(wrong(String::new())),
        None => Err(wrong(did_you_mean(word, BYTES.iter().map(|(name, _)| *name)))),
    }
}

/// Bytes in the words of a configuration: the largest unit that gives a whole number.
pub(crate) fn size_words(bytes: u64) -> String {
    let fits = BYTES.iter().rev().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    let (name, size) = fits.unwrap_or(&BYTES[0]);
    format!("{} {name}", bytes / size)
}

/// A rate "2 degC per s", as EU per second, more than zero.
pub(crate) fn rate(text: &str, unit: Unit) -> Result<f64, Problem> {
    let wrong = || {
        Problem::new(format!("found \"{}\"", shorten(text)))
            .allowed(format!("a rate, as \"2 {unit} per s\" (per s, min or h)"))
    };
    let (amount_text, per) = text.split_once(" per ").ok_or_else(wrong)?;
    let value = amount(amount_text, unit)?;
    let Some((_, nanoseconds)) = TIMES.iter().find(|(name, _)| *name == per.trim()) else { return Err(wrong()) };
    if value <= 0.0 {
        return Err(Problem::new(format!("found \"{}\"", shorten(text))).allowed("a rate of more than zero"));
    }
    Ok(value * 1e9 / nanoseconds)
}

/// A duration in the words of a configuration: the largest unit of time that gives a whole number.
#[must_use]
pub fn words(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    for (name, size) in TIMES.iter().rev() {
        let size = *size as u128;
        if nanoseconds >= size && nanoseconds.is_multiple_of(size) {
            return format!("{} {name}", nanoseconds / size);
        }
    }
    format!("{} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_and_strict() {
        assert_eq!(duration("250 ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0.5 s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5 min"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1.5 d"), Ok(Duration::from_secs(129_600)));
        for bad in ["", "5", "5min", "five s", "-1 s", "inf s", "nan s", "1e300 s", "5 sec", "1e400 s", "5 m", "5 s s"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_unit_is_never_converted() {
        let degc = Unit::named("degC").unwrap();
        assert_eq!(amount("2.5 degC", degc), Ok(2.5));
        assert!(amount("2.5 K", degc).unwrap_err().help.contains("never converted"));
        assert!(amount("2.5", degc).unwrap_err().found.contains("without a unit"));
        assert!(amount("2.5 dgC", degc).unwrap_err().found.contains("not a known unit"));
        assert_eq!(amount("3", Unit::ONE), Ok(3.0));
    }

    #[test]
    fn a_rate_is_per_second() {
        let flow = Unit::named("l/h").unwrap();
        assert_eq!(rate("60 l/h per s", flow), Ok(60.0));
        assert_eq!(rate("60 l/h per min", flow), Ok(1.0));
        assert!(rate("60 l/h", flow).is_err());
        assert!(rate("-60 l/h per s", flow).is_err());
    }

    #[test]
    fn sizes_are_powers_of_two_and_strict() {
        assert_eq!(size("64 MiB"), Ok(64 << 20));
        assert_eq!(size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(size("0 B"), Ok(0));
        assert_eq!(size("1e300 TiB"), Ok(u64::MAX));
        for bad in ["", "64", "64MiB", "64 MB", "-1 B", "inf B"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for text in ["0 B", "1 KiB", "1536 MiB", "1023 B"] {
            assert_eq!(size_words(size(text).unwrap()), text);
        }
    }

    #[test]
    fn words_are_read_back() {
        for text in ["250 ms", "10 s", "5 min", "2 h", "1 d", "90 s", "1500 us"] {
            assert_eq!(words(duration(text).unwrap()), text);
        }
    }
}
