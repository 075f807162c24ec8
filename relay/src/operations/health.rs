//! How calls went lately, out of the sums that are written with their ends, and whether that is worth an alert.

use crate::config::Alerts;
use crate::records::store::{
    HOUR_MS, IncidentKind, IncidentState, NewIncident, Overview, OverviewFilter, STAGE_BUCKETS_MS,
};

/// The names of close codes that say that a relay, or what it needs, has failed.
const FAULTS: [&str; 2] = ["internal", "try_later"];
/// The stage of an answer that is all of them together.
const TOTAL: &str = "total";

/// How calls went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// Calls that have ended.
    calls: u64,
    /// Those of them that a relay, or what it needs, has ended by a fault.
    failed: u64,
    /// Answers in them.
    answers: u64,
    /// Of a hundred answers, 95 took no longer, in milliseconds: a guess within a bucket.
    p95_ms: u32,
}

impl Health {
    /// What it is read from: the hour (UTC) that is, and the one before.
    pub(crate) fn lately(now_ms: i64) -> OverviewFilter {
        let hour = now_ms.div_euclid(HOUR_MS) * HOUR_MS;
        OverviewFilter {
            from_ms: hour - HOUR_MS,
            to_ms: hour + HOUR_MS,
            step_ms: HOUR_MS,
            account: None,
            agent: None,
        }
    }

    pub(crate) fn of(overview: &Overview) -> Health {
        let mut buckets = [0_u64; STAGE_BUCKETS_MS.len() + 1];
        for sum in overview.turns.iter().filter(|sum| sum.stage == TOTAL) {
            if let Some(turns) = buckets.get_mut(sum.bucket as usize) {
                *turns += sum.turns;
            }
        }
        let failed = overview.calls.iter().filter(|sum| FAULTS.contains(&sum.reason.as_str()));
        Health {
            calls: overview.calls.iter().map(|sum| sum.calls).sum(),
            failed: failed.map(|sum| sum.calls).sum(),
            answers: buckets.iter().sum(),
            p95_ms: p95(&buckets),
        }
    }

    /// What is to be noted of it: nothing of what is too seldom to say anything, or what nobody wants to know.
    pub(crate) fn incidents(&self, alerts: &Alerts) -> Vec<NewIncident> {
        let incident = |kind, value: u32, threshold: u32| {
            let state = if value > threshold { IncidentState::Firing } else { IncidentState::Resolved };
            NewIncident { kind, subject: String::new(), state, value, threshold }
        };
        let least = u64::from(alerts.least_calls);
        let failing = alerts.failed_calls_percent.filter(|_| self.calls >= least).map(|threshold| {
            // Rounded up: more than five of a hundred is six at least.
            let percent = (self.failed * 100).div_ceil(self.calls);
            let percent = u32::try_from(percent).unwrap_or(u32::MAX);
            incident(IncidentKind::CallsFailing, percent, threshold)
        });
        let slow = alerts.answer_p95_ms.filter(|_| self.answers >= least);
        let slow = slow.map(|threshold| incident(IncidentKind::AnswersSlow, self.p95_ms, threshold));
        failing.into_iter().chain(slow).collect()
    }
}

/// How long the answer took that 95 of a hundred are not slower than, as if those of a bucket lay evenly in it, which is how Prometheus guesses
/// as well. Of what is slower than the last end of a bucket, that end is known alone.
fn p95(buckets: &[u64; STAGE_BUCKETS_MS.len() + 1]) -> u32 {
    let mut left = (buckets.iter().sum::<u64>() * 95).div_ceil(100);
    let mut lower = 0;
    for (upper, turns) in STAGE_BUCKETS_MS.into_iter().zip(buckets) {
        if left <= *turns {
            let part = (u64::from(upper - lower) * left).checked_div(*turns).unwrap_or_default();
            return lower + u32::try_from(part).unwrap_or_default();
        }
        left -= turns;
        lower = upper;
    }
    lower
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::records::store::{CallsSum, TurnsSum};

    const WANTED: Alerts = Alerts {
        failed_calls_percent: Some(5),
        answer_p95_ms: Some(3_000),
        least_calls: 20,
        store_down: Some(Duration::from_secs(30)),
    };

    fn calls(reasons: &[(&str, u64)]) -> Vec<CallsSum> {
        let sum = |(reason, calls): &(&str, u64)| CallsSum {
            at_ms: 0,
            reason: (*reason).to_owned(),
            calls: *calls,
            milliseconds: 0,
            reconnects: 0,
        };
        reasons.iter().map(sum).collect()
    }

    fn turns(stage: &str, buckets: &[(u32, u64)]) -> Vec<TurnsSum> {
        let sum = |(bucket, turns): &(u32, u64)| TurnsSum {
            at_ms: 0,
            stage: stage.to_owned(),
            bucket: *bucket,
            turns: *turns,
        };
        buckets.iter().map(sum).collect()
    }

    fn told(overview: &Overview, alerts: &Alerts) -> Vec<(IncidentKind, IncidentState, u32)> {
        let incidents = Health::of(overview).incidents(alerts);
        incidents.into_iter().map(|incident| (incident.kind, incident.state, incident.value)).collect()
    }

    #[test]
    fn calls_that_a_fault_has_ended_are_counted_among_all_and_those_that_users_end_are_not_faults() {
        for (reasons, state, percent) in [
            (&[("normal", 94), ("internal", 4), ("try_later", 2)][..], IncidentState::Firing, 6),
            (&[("normal", 95), ("internal", 5)][..], IncidentState::Resolved, 5),
            (&[("normal", 949), ("internal", 51)][..], IncidentState::Firing, 6),
            (&[("abnormal", 50), ("budget", 50)][..], IncidentState::Resolved, 0),
        ] {
            let overview = Overview { calls: calls(reasons), ..Overview::default() };
            assert_eq!(told(&overview, &WANTED), [(IncidentKind::CallsFailing, state, percent)]);
        }
    }

    #[test]
    fn answers_are_slow_if_more_than_five_of_a_hundred_are() {
        // Buckets 10 and 12 end at 2,000 and 5,000 ms.
        for (buckets, state, p95_ms) in [
            (&[(10, 95), (12, 5)][..], IncidentState::Resolved, 2_000),
            (&[(10, 90), (12, 10)][..], IncidentState::Firing, 4_000),
            (&[(0, 100)][..], IncidentState::Resolved, 23),
            (&[(14, 100)][..], IncidentState::Firing, 10_000),
        ] {
            let mut sums = turns("total", buckets);
            sums.extend(turns("heard", &[(14, 1_000)]));
            let overview = Overview { turns: sums, ..Overview::default() };
            assert_eq!(told(&overview, &WANTED), [(IncidentKind::AnswersSlow, state, p95_ms)]);
        }
    }

    #[test]
    fn a_few_calls_say_nothing_and_nobody_is_told_what_they_do_not_want_to_know() {
        let few =
            Overview { calls: calls(&[("internal", 19)]), turns: turns("total", &[(14, 19)]), money: vec![] };
        assert_eq!(told(&few, &WANTED), []);
        let bad =
            Overview { calls: calls(&[("internal", 90)]), turns: turns("total", &[(14, 90)]), money: vec![] };
        assert_eq!(told(&bad, &WANTED).len(), 2);
        let unwanted = Alerts { failed_calls_percent: None, answer_p95_ms: None, ..WANTED };
        assert_eq!(told(&bad, &unwanted), []);
    }

    #[test]
    fn the_hour_that_is_and_the_one_before_are_looked_at() {
        let filter = Health::lately(10 * HOUR_MS + 1);
        assert_eq!((filter.from_ms, filter.to_ms), (9 * HOUR_MS, 11 * HOUR_MS));
    }
}
