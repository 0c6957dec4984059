//! UTC as people write it, for names of files and days of an export.

/// A moment of UTC, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year, 1970 to 2262.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u64,
    /// Day of the month, 1 to 31.
    pub day: u64,
    /// Second of the day, 0 to 86399.
    pub second: u64,
}

/// The moment of unix nanoseconds; times before 1970 are its first second.
#[must_use]
pub fn civil(unix_nanos: i64) -> Civil {
    let seconds = unix_nanos.max(0) as u64 / 1_000_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March put the leap day last (Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Civil { year, month, day, second }
}

impl Civil {
    /// `20261130T145626Z`, for names of files.
    #[must_use]
    pub fn compact(&self) -> String {
        let (h, m, s) = (self.second / 3_600, self.second / 60 % 60, self.second % 60);
        format!("{:04}{:02}{:02}T{h:02}{m:02}{s:02}Z", self.year, self.month, self.day)
    }

    /// `2026-11-30`.
    #[must_use]
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `2026-11-30 14:56:26`.
    #[must_use]
    pub fn words(&self) -> String {
        let (h, m, s) = (self.second / 3_600, self.second / 60 % 60, self.second % 60);
        format!("{} {h:02}:{m:02}:{s:02}", self.date())
    }
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
            (1_709_251_200, "20240301T000000Z"),
            (1_796_050_586, "20261130T145626Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(civil(seconds * 1_000_000_000).compact(), text);
        }
        assert_eq!(civil(1_796_050_586 * 1_000_000_000).words(), "2026-11-30 14:56:26");
        assert_eq!(civil(-7).compact(), "19700101T000000Z");
    }
}
