//! Times as the API writes and reads them: RFC 3339 in UTC, and days as `2026-12-31`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use protocol::HttpCode;

use super::Problem;
use super::extract::bad_request;

/// How many days a request for usage may span.
const DAYS_MAX: i32 = 100;
/// How many days a table of usage or of the ledger may span: ten years.
const DAYS_LONG_MAX: i32 = 3_700;
/// How many days a request for usage spans by default.
const DAYS: i32 = 30;
const DAY_MS: i64 = 86_400_000;

/// A time as a text, such as `2026-12-31T23:59:59.999Z`.
pub(super) fn text(unix_ms: i64) -> String {
    let time = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

pub(super) fn maybe_text(unix_ms: Option<i64>) -> Option<String> {
    unix_ms.map(text)
}

/// Reads a time, into milliseconds since 1970. `what` names the parameter for errors.
pub(super) fn read(what: &str, given: &str) -> Result<i64, Problem> {
    let time: Result<Timestamp, _> = given.parse();
    time.map(Timestamp::as_millisecond)
        .map_err(|_| wrong(format!("`{what}` has to be a time (RFC 3339), such as 2026-12-31T23:59:59Z.")))
}

pub(super) fn maybe_read(what: &str, given: Option<&str>) -> Result<Option<i64>, Problem> {
    given.map(|given| read(what, given)).transpose()
}

/// Reads a day, such as 2026-12-31. `what` names the parameter for errors.
pub(super) fn day(what: &str, given: &str) -> Result<Date, Problem> {
    let date: Result<Date, _> = given.parse();
    let date = date.ok().filter(|date| (1970..9999).contains(&date.year()) && given.len() == 10);
    date.ok_or_else(|| wrong(format!("`{what}` has to be a day, such as 2026-12-31.")))
}

/// The day (UTC) of a time, in milliseconds since 1970.
pub(super) fn today(now_ms: i64) -> Date {
    Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}

/// A range of days, its first and its last day included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) from: Date,
    pub(super) to: Date,
}

impl Days {
    /// Reads a range of days. By default it is the last 30 days.
    pub(super) fn read(from: Option<&str>, to: Option<&str>, now_ms: i64) -> Result<Days, Problem> {
        Days::within(DAYS_MAX, from, to, now_ms)
    }

    /// Reads a range of days of a table, which is written while it is read and so may be long. By default it is the last 30 days.
    pub(super) fn long(from: Option<&str>, to: Option<&str>, now_ms: i64) -> Result<Days, Problem> {
        Days::within(DAYS_LONG_MAX, from, to, now_ms)
    }

    fn within(most: i32, from: Option<&str>, to: Option<&str>, now_ms: i64) -> Result<Days, Problem> {
        let today = today(now_ms);
        let to = to.map_or(Ok(today), |to| day("to", to))?;
        let usual = to.checked_sub(jiff::Span::new().days(DAYS - 1)).unwrap_or(to);
        let from = from.map_or(Ok(usual), |from| day("from", from))?;
        let days = Days { from, to };
        match days.end_ms() - days.begin_ms() {
            span if span <= 0 => Err(wrong("`from` has to be a day before `to`, or the same.")),
            span if span > i64::from(most) * DAY_MS => {
                Err(wrong(format!("`from` and `to` may be {most} days apart at most.")))
            }
            _ => Ok(days),
        }
    }

    /// When the first day begins, in milliseconds since 1970.
    pub(super) fn begin_ms(self) -> i64 {
        midnight(self.from)
    }

    /// When the last day ends, in milliseconds since 1970.
    pub(super) fn end_ms(self) -> i64 {
        midnight(self.to) + DAY_MS
    }
}

/// The problem of a wrong time in a query. For the one time in a body, the caller changes the code.
fn wrong(detail: impl Into<String>) -> Problem {
    bad_request(detail).code(HttpCode::BadQuery)
}

fn midnight(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC).map_or(0, |midnight| midnight.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
        assert_eq!(read("from", "2026-12-31T23:59:59.999Z"), Ok(1_798_761_599_999));
        assert_eq!(read("from", "2027-01-01T01:00:00+01:00"), Ok(1_798_761_600_000));
        for wrong in ["", "yesterday", "2026-12-31", "2026-12-31T23:59:59", "1798761599", "\0"] {
            assert!(read("from", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn days_are_those_of_utc_thirty_by_default_and_a_hundred_at_most() {
        let days = |from, to| Days::read(from, to, 1_798_761_599_999);
        let usual = days(None, None).expect("good");
        assert_eq!(
            (usual.from.to_string(), usual.to.to_string()),
            ("2026-12-02".into(), "2026-12-31".into())
        );
        assert_eq!(usual.end_ms(), 1_798_761_600_000);
        assert_eq!(usual.end_ms() - usual.begin_ms(), 30 * DAY_MS);
        let one = days(Some("2026-01-01"), Some("2026-01-01")).expect("good");
        assert_eq!(one.end_ms() - one.begin_ms(), DAY_MS);
        assert!(days(Some("2026-09-23"), None).is_ok() && days(Some("2026-09-22"), None).is_err());
        assert!(days(Some("2027-01-01"), None).is_err());
        let long = |from| Days::long(Some(from), None, 1_798_761_599_999);
        assert!(long("2016-11-14").is_ok() && long("2016-11-13").is_err());
        for wrong in
            ["", "2026-13-01", "20260101", "2026-1-1", "-9999-01-01", "9999-12-31", "2026-01-01T00:00:00Z"]
        {
            assert!(days(Some(wrong), Some("2026-01-02")).is_err(), "{wrong}");
            assert!(days(None, Some(wrong)).is_err(), "{wrong}");
        }
    }
}
