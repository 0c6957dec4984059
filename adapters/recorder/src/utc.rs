//! UTC as people write it, for names of files, days of an export and answers. Unix nanoseconds in; times before 1970 are its first second.

use std::time::{Duration, UNIX_EPOCH};

/// `2026-11-30T14:56:26Z`.
fn text(unix_nanos: i64) -> String {
    let since = Duration::from_nanos(unix_nanos.max(0).cast_unsigned());
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

/// `20261130T145626Z`, for names of files.
#[must_use]
pub fn compact(unix_nanos: i64) -> String {
    text(unix_nanos).replace(['-', ':'], "")
}

/// `2026-11-30`.
#[must_use]
pub fn date(unix_nanos: i64) -> String {
    text(unix_nanos).chars().take_while(|c| *c != 'T').collect()
}

/// `2026-11-30 14:56:26`.
#[must_use]
pub fn words(unix_nanos: i64) -> String {
    text(unix_nanos).replace('T', " ").replace('Z', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        // Checked with `date -u -d @N`.
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_796_050_586, "20261130T145626Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(compact(seconds * 1_000_000_000), text);
        }
        let then = 1_796_050_586 * 1_000_000_000;
        assert_eq!((date(then).as_str(), words(then).as_str()), ("2026-11-30", "2026-11-30 14:56:26"));
        assert_eq!(compact(-7), "19700101T000000Z");
    }
}
