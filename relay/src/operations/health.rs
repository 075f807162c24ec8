//! How calls went lately, out of the sums that are written with their ends, and whether that is worth an alert.
//!
//! Those sums are by when calls began. Calls that last for longer than the hours that are looked at would be in none of them when they end, so each
//! relay remembers for an hour which of those ended here, and adds them. To look at the sums of more hours would be no help: a fault that has just
//! begun would be little beside a whole day of calls, and would be told for as long.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use protocol::CloseCode;

use crate::config::Alerts;
use crate::records::store::{
    HOUR_MS, IncidentKind, IncidentState, NewIncident, Overview, OverviewFilter, STAGE_BUCKETS_MS,
};

/// The names of close codes that say that a relay, or what it needs, has failed.
const FAULTS: [&str; 2] = ["internal", "try_later"];
/// The stage of an answer that is all of them together.
const TOTAL: &str = "total";
/// How many long calls a relay remembers at most. The oldest goes.
const LONG_CALLS_MAX: usize = 10_000;

/// Calls of more than an hour that have ended at this relay.
#[derive(Debug, Default)]
pub(crate) struct LongCalls(Mutex<VecDeque<LongCall>>);

#[derive(Clone, Copy, Debug)]
struct LongCall {
    began_ms: i64,
    ended_ms: i64,
    is_failed: bool,
}

/// Calls that have ended, and those of them that a relay, or what it needs, has ended by a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    calls: u64,
    failed: u64,
}

impl LongCalls {
    /// Notes a call that has ended, by the close code that says why. Shorter ones are in the sums.
    pub(crate) fn note(&self, began_ms: i64, ended_ms: i64, code: CloseCode) {
        if ended_ms.saturating_sub(began_ms) < HOUR_MS {
            return;
        }
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= LONG_CALLS_MAX {
            calls.pop_front();
        }
        calls.push_back(LongCall { began_ms, ended_ms, is_failed: FAULTS.contains(&code.name()) });
    }

    /// Those that began before this time and have ended within the last hour.
    pub(crate) fn ended(&self, began_before_ms: i64, now_ms: i64) -> Ended {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let are_meant =
            calls.iter().filter(|call| call.began_ms < began_before_ms && call.ended_ms > now_ms - HOUR_MS);
        are_meant.fold(Ended::default(), |ended, call| Ended {
            calls: ended.calls + 1,
            failed: ended.failed + u64::from(call.is_failed),
        })
    }
}

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
    /// What it is read from: the hour (UTC) that is, and the one before. Calls that began before that are in [`LongCalls`].
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

    /// The same with these calls, which are in no sum that was read.
    pub(crate) fn with(self, Ended { calls, failed }: Ended) -> Health {
        Health { calls: self.calls + calls, failed: self.failed + failed, ..self }
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
    fn a_fault_that_ends_calls_of_hours_ago_is_seen_and_each_call_is_counted_once() {
        let (now, long) = (10 * HOUR_MS + 60_000, LongCalls::default());
        let from = Health::lately(now).from_ms;
        for began in 0..30 {
            long.note(7 * HOUR_MS + began, now - 30_000, CloseCode::Internal);
        }
        // Those are in the sums, or over for too long.
        long.note(now - HOUR_MS / 2, now - 20_000, CloseCode::Internal);
        long.note(from, now - 10_000, CloseCode::TryLater);
        long.note(5 * HOUR_MS, now - HOUR_MS, CloseCode::Internal);
        let ended = long.ended(from, now);
        assert_eq!(ended, Ended { calls: 30, failed: 30 });
        let overview = Overview { calls: calls(&[("normal", 20)]), ..Overview::default() };
        let incidents = Health::of(&overview).with(ended).incidents(&WANTED);
        let [failing] = &incidents[..] else { panic!("{incidents:?}") };
        assert_eq!((failing.state, failing.value), (IncidentState::Firing, 60));
        // An hour later the sums that are read lack the one that began then, and the others are over for too long.
        assert_eq!(long.ended(from + HOUR_MS, now + HOUR_MS - 30_000).calls, 1);

        for began in 0..2 * LONG_CALLS_MAX {
            long.note(i64::try_from(began).expect("small"), now, CloseCode::Normal);
        }
        let many = LONG_CALLS_MAX as u64;
        assert_eq!(long.ended(from, now), Ended { calls: many, failed: 0 }, "the newest");
    }

    #[test]
    fn the_hour_that_is_and_the_one_before_are_looked_at() {
        let filter = Health::lately(10 * HOUR_MS + 1);
        assert_eq!((filter.from_ms, filter.to_ms), (9 * HOUR_MS, 11 * HOUR_MS));
    }
}
