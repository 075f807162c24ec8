//! When a database that takes no writes is worth an alert, and when it is over. It cannot be asked, so each relay tells it for itself.

use std::time::Duration;

use protocol::Time;

use crate::records::store::IncidentState;

/// What the alert is called.
pub(crate) const STORE_DOWN: &str = "store.down";

/// What a relay knows of its database.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// While it takes no writes.
    away: Option<Away>,
}

#[derive(Debug)]
struct Away {
    since: Time,
    /// The same by the wall clock, in milliseconds since 1970.
    since_ms: i64,
    is_told: bool,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutageNews {
    /// Whether it takes no writes, or takes them again.
    pub(crate) state: IncidentState,
    /// Since when it took none, in milliseconds since 1970.
    pub(crate) since_ms: i64,
    /// When this was found, in milliseconds since 1970.
    pub(crate) at_ms: i64,
}

impl Outage {
    /// Looks at it: `takes_writes` is what the last try said. It is told once it is away for `after`; never, if that is nothing. Its end is told
    /// if its beginning was.
    pub(crate) fn handle_look(
        &mut self,
        now: Time,
        at_ms: i64,
        takes_writes: bool,
        after: Option<Duration>,
    ) -> Option<OutageNews> {
        if takes_writes {
            let Away { since_ms, .. } = self.away.take().filter(|away| away.is_told)?;
            return Some(OutageNews { state: IncidentState::Resolved, since_ms, at_ms });
        }
        let away = self.away.get_or_insert(Away { since: now, since_ms: at_ms, is_told: false });
        if away.is_told || now.since(away.since) < after? {
            return None;
        }
        away.is_told = true;
        Some(OutageNews { state: IncidentState::Firing, since_ms: away.since_ms, at_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Option<Duration> = Some(Duration::from_secs(30));

    /// What is told of looks once a second, each of them whether it takes writes, and the second of each.
    fn told(looks: &[bool], after: Option<Duration>) -> Vec<(u64, IncidentState, i64)> {
        let mut outage = Outage::default();
        let look = |(second, takes_writes): (u64, &bool)| {
            let at_ms = i64::try_from(second * 1_000).expect("a small number");
            let news = outage.handle_look(Time::from_millis(second * 1_000), at_ms, *takes_writes, after)?;
            assert_eq!(news.at_ms, at_ms);
            Some((second, news.state, news.since_ms))
        };
        (0..).zip(looks).filter_map(look).collect()
    }

    fn looks(runs: &[(bool, usize)]) -> Vec<bool> {
        runs.iter().flat_map(|(takes_writes, count)| vec![*takes_writes; *count]).collect()
    }

    #[test]
    fn a_database_that_is_away_for_long_enough_is_told_once_and_so_is_its_return() {
        let looks = looks(&[(true, 5), (false, 100), (true, 10)]);
        let wanted = [(35, IncidentState::Firing, 5_000), (105, IncidentState::Resolved, 5_000)];
        assert_eq!(told(&looks, AFTER), wanted);
    }

    #[test]
    fn a_short_time_without_it_is_told_to_nobody_and_does_not_count_for_the_next() {
        assert_eq!(told(&looks(&[(false, 30), (true, 1), (false, 30), (true, 5)]), AFTER), []);
    }

    #[test]
    fn whoever_wants_no_alert_gets_none() {
        assert_eq!(told(&looks(&[(false, 500), (true, 5)]), None), []);
    }
}
