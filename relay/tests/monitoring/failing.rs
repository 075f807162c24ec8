//! The alerts for calls that fail and for those that are refused, on what Prometheus reads of a relay.

use super::promql::{self, Read};
use super::{alerts, rules};

/// How often Prometheus reads, in seconds.
const SCRAPE: u64 = 15;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
/// When something happens: there are two hours before it that an expression may look back at.
const START: u64 = 2 * HOUR;
/// How long is looked at.
const END: u64 = 6 * HOUR;

/// What a relay has counted at one moment.
#[derive(Clone, Copy, Debug)]
struct Counted {
    second: u64,
    what: What,
    count: u32,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Connections that were refused with this code.
    Refused(&'static str),
    /// Sessions that have ended with this reason, and as many have begun.
    Ended(&'static str),
}

/// So often, by the code of the error or by the reason.
type Counts<'c> = &'c [(&'static str, u32)];

/// All of these at one moment.
fn at_once(refused: Counts<'_>, ended: Counts<'_>) -> Vec<Counted> {
    let refused = refused.iter().map(|&(code, count)| (What::Refused(code), count));
    let ended = ended.iter().map(|&(reason, count)| (What::Ended(reason), count));
    refused.chain(ended).map(|(what, count)| Counted { second: START, what, count }).collect()
}

/// One every so many seconds, from the start until this time after it.
fn steadily(what: What, every: u64, until: u64) -> Vec<Counted> {
    let seconds = (START..START + until).step_by(usize::try_from(every).expect("small"));
    seconds.map(|second| Counted { second, what, count: 1 }).collect()
}

/// By how much a counter has grown of late, as Prometheus has read it by this second.
fn grown(counted: &[Counted], read: &Read<'_>, second: u64) -> f64 {
    let within = read.within.expect("it is a counter").as_secs();
    // The oldest of its readings that is looked at.
    let oldest = (second.saturating_sub(within) / SCRAPE + 1) * SCRAPE;
    let is_meant = |what: What| {
        let word = match (what, read.name) {
            (What::Refused(code), "voxrelay_refusals_total") => code,
            (What::Ended(reason), "voxrelay_sessions_ended_total" | "voxrelay_sessions_opened_total") => {
                reason
            }
            _ => return false,
        };
        read.labels.iter().all(|(_, words)| words.split('|').any(|one| one == word))
    };
    let of_late = counted.iter().filter(|one| oldest < one.second && one.second <= second);
    of_late.filter(|one| is_meant(one.what)).map(|one| f64::from(one.count)).sum()
}

/// Whether this alert comes.
fn comes(name: &str, counted: &[Counted]) -> bool {
    let alerts = alerts();
    let alert = alerts.iter().find(|alert| alert.name == name).expect("it is there");
    let holds = |second: u64| {
        let read = |read: &Read<'_>| grown(counted, read, second);
        promql::value(&alert.expression, &read).expect("it is understood").is_some()
    };
    let seconds = (0..END).step_by(usize::try_from(SCRAPE).expect("small"));
    rules::longest(seconds.map(|second| (second, holds(second)))) >= alert.patience()
}

fn fail(counted: &[Counted]) -> bool {
    comes("VoxrelayCallsFail", counted)
}

fn are_refused(counted: &[Counted]) -> bool {
    comes("VoxrelayCallsRefused", counted)
}

#[test]
fn the_alert_for_calls_that_fail_comes_however_many_bad_tokens_come_beside_them() {
    let bots = ("unauthorized", 100_000);
    assert!(!fail(&at_once(&[bots], &[("normal", 100)])), "nothing is wrong");
    assert!(fail(&at_once(&[bots, ("store_unavailable", 50)], &[])), "every call is refused");
    assert!(fail(&at_once(&[bots], &[("normal", 94), ("internal", 6)])));
    assert!(!fail(&at_once(&[bots], &[("normal", 96), ("internal", 4)])));
}

#[test]
fn a_few_calls_at_night_wake_nobody_and_long_calls_that_all_end_at_once_do() {
    assert!(!fail(&at_once(&[("internal", 1)], &[("normal", 1), ("try_later", 1)])), "two of three");
    assert!(!fail(&at_once(&[], &[("internal", 19)])));
    assert!(fail(&at_once(&[], &[("internal", 20)])));
    assert!(fail(&at_once(&[("relay_full", 10)], &[("internal", 10)])));
    assert!(!fail(&[]), "no calls at all");
}

#[test]
fn a_relay_with_few_calls_that_refuses_every_one_by_a_fault_wakes_somebody() {
    for code in ["internal", "store_unavailable", "keys_unavailable", "missing_price", "relay_full"] {
        let all = steadily(What::Refused(code), 40, HOUR);
        assert!(!fail(&all), "15 in ten minutes are too few for the other one");
        assert!(are_refused(&all), "{code}");
        assert!(are_refused(&steadily(What::Refused(code), 11 * MINUTE, 2 * HOUR)), "{code}: five an hour");
    }
    let bots = steadily(What::Refused("unauthorized"), MINUTE, HOUR);
    assert!(!are_refused(&bots), "that is no fault of the relay");
}

#[test]
fn a_client_that_is_refused_for_a_while_wakes_nobody_and_neither_does_a_fault_of_some_calls() {
    assert!(!are_refused(&at_once(&[("store_unavailable", 50)], &[])), "it is over");
    assert!(!are_refused(&steadily(What::Refused("store_unavailable"), 10, 4 * MINUTE)), "it is soon over");
    assert!(!are_refused(&steadily(What::Refused("internal"), 20 * MINUTE, 3 * HOUR)), "three in an hour");
    let some = steadily(What::Refused("internal"), 5 * MINUTE, 2 * HOUR);
    let most = steadily(What::Ended("normal"), 2 * MINUTE, 2 * HOUR);
    assert!(!are_refused(&[some, most].concat()), "most get a call");
}
