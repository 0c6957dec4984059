//! Why: certificates and reports carry a date that people read and programs compare. UTC to seconds, as RFC 3339 writes it.

use std::time::{Duration, UNIX_EPOCH};

use humantime::{format_rfc3339_seconds, parse_rfc3339};

/// `2026-11-30T15:04:05Z` of unix seconds; times before 1970 are its first second, those after 9999 its last.
#[must_use]
pub fn text(unix_s: i64) -> String {
    const LAST: u64 = 253_402_300_799;
    format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix_s.max(0).cast_unsigned().min(LAST))).to_string()
}

/// Unix seconds of such a text; None for any other form, and for a day or hour that does not exist.
#[must_use]
pub fn parse(written: &str) -> Option<i64> {
    let seconds = parse_rfc3339(written).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let unix_s = i64::try_from(seconds).ok()?;
    // Fractions of a second are another form.
    (text(unix_s) == written).then_some(unix_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_there_and_back() {
        for (unix_s, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(text(unix_s), written);
            assert_eq!(parse(written), Some(unix_s));
        }
        assert_eq!(text(-1), "1970-01-01T00:00:00Z");
        assert_eq!(text(i64::MAX), "9999-12-31T23:59:59Z");
        for wrong in
            ["", "2023-02-29T00:00:00Z", "2023-11-14 22:13:20Z", "2023-11-14T24:00:00Z", "2023-11-14T22:13:20.5Z"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
