//! Which day and month (UTC) a moment belongs to.

const DAY_MS: i64 = 86_400_000;

/// A day and a month, as numbers that grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Periods {
    /// Days since 1970.
    pub(super) day: i64,
    /// Months since the year 0.
    pub(super) month: i64,
}

impl Periods {
    pub(super) fn at(unix_ms: i64) -> Periods {
        Periods::of_day(unix_ms.div_euclid(DAY_MS))
    }

    /// A day, counted since 1970, and its month.
    pub(super) fn of_day(day: i64) -> Periods {
        let (year, month, _) = civil(day);
        Periods { day, month: year * 12 + month - 1 }
    }

    /// As an alert says it: `2026-11-22`.
    pub(super) fn day_name(self) -> String {
        let (year, month, day) = civil(self.day);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// As an alert says it: `2026-11`.
    pub(super) fn month_name(self) -> String {
        format!("{:04}-{:02}", self.month / 12, self.month % 12 + 1)
    }
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_a_month_are_those_of_utc() {
        let names = |ms| (Periods::at(ms).day_name(), Periods::at(ms).month_name());
        assert_eq!(names(0), ("1970-01-01".into(), "1970-01".into()));
        assert_eq!(names(1_798_761_599_999), ("2026-12-31".into(), "2026-12".into()));
        assert_eq!(names(1_798_761_600_000), ("2027-01-01".into(), "2027-01".into()));
        assert_eq!(names(1_709_208_000_000), ("2024-02-29".into(), "2024-02".into()));
    }
}
