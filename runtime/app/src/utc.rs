//! Why: certificates and reports carry a date that people read and programs compare. UTC to seconds, as ISO 8601 writes it.
//!
//! Days are counted after H. Hinnant, chrono-compatible low-level date algorithms (2014): the proleptic Gregorian calendar in 400-year eras.

/// Days of a 400-year era.
const ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const TO_1970: i64 = 719_468;
const DAY: i64 = 86_400;

/// `2026-11-30T15:04:05Z` of unix seconds.
#[must_use]
pub fn text(unix_s: i64) -> String {
    let (days, second) = (unix_s.div_euclid(DAY) + TO_1970, unix_s.rem_euclid(DAY));
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Unix seconds of such a text; None for any other form, and for a day or hour that does not exist.
#[must_use]
pub fn parse(written: &str) -> Option<i64> {
    let field = |at: std::ops::Range<usize>| written.get(at)?.parse::<i64>().ok();
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second) = (field(11..13)?, field(14..16)?, field(17..19)?);
    let shifted_year = year - i64::from(month <= 2);
    let (era, of_era_year) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let of_era = of_era_year * 365 + of_era_year / 4 - of_era_year / 100 + of_year;
    let unix_s = (era * ERA + of_era - TO_1970) * DAY + hour * 3_600 + minute * 60 + second;
    // Whatever was no date comes out as another one.
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
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(text(unix_s), written);
            assert_eq!(parse(written), Some(unix_s));
        }
        for wrong in
            ["", "2023-02-29T00:00:00Z", "2023-11-14 22:13:20Z", "2023-11-14T24:00:00Z", "2023-13-01T00:00:00Z"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
