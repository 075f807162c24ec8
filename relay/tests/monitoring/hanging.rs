//! The alert for a provider that is not asked, on what a relay shows of a provider that takes every request and never answers.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use relay::provider::{Breaker, Deadlines, Failure, FailureKind, Ticket};

use super::alerts;
use super::promql::{self, Read};
use super::rules::{self, Alert};

/// How long it hangs.
const SECONDS: u64 = 3_600;

/// What Prometheus reads of it at one time.
#[derive(Debug)]
struct Reading {
    second: u64,
    /// The gauge of its breaker.
    circuit: u8,
    /// The counter of requests, of which each one failed or was not made.
    requests: u32,
}

/// What Prometheus reads of a provider that never answers, when it reads every `scrape` seconds and a request comes every `pause` seconds until the
/// second `last`.
fn read(pause: u64, scrape: u64, last: u64) -> Vec<Reading> {
    let deadline = Deadlines::default().first;
    let late = Failure::new(FailureKind::Timeout, "nothing came in time");
    let mut breaker = Breaker::default();
    let mut under_way: VecDeque<(Time, Ticket)> = VecDeque::new();
    let (mut requests, mut readings) = (0, Vec::new());
    for second in 0..SECONDS {
        let now = Time::from_millis(second * 1_000);
        while let Some((_, ticket)) = under_way.pop_front_if(|(asked, _)| now.since(*asked) >= deadline) {
            breaker.failed(now, ticket, &late);
            requests += 1;
        }
        if second % pause == 0 && second <= last {
            match breaker.admit(now) {
                Ok(ticket) => under_way.push_back((now, ticket)),
                Err(_) => requests += 1,
            }
        }
        // A relay looks as often.
        if second % 2 == 0 {
            breaker.look(now);
        }
        if second % scrape == 0 {
            readings.push(Reading { second, circuit: breaker.standing().shown(), requests });
        }
    }
    readings
}

/// Whether the expression of an alert holds when the last of these is read.
fn holds(alert: &Alert, readings: &[Reading]) -> bool {
    let newest = readings.last().expect("something was read");
    let read = |read: &Read<'_>| match (read.name, read.within) {
        ("voxrelay_provider_circuit", None) => f64::from(newest.circuit),
        ("voxrelay_provider_requests_total", Some(within)) => {
            let is_within = |reading: &&Reading| reading.second + within.as_secs() > newest.second;
            let oldest = readings.iter().find(is_within).expect("the newest is");
            f64::from(newest.requests - oldest.requests)
        }
        _ => panic!("{read:?} is not known"),
    };
    promql::value(&alert.expression, &read).expect("it is understood").is_some()
}

/// For how long without a break the expression of an alert holds at most.
fn longest(alert: &Alert, readings: &[Reading]) -> Duration {
    let held = (1..).zip(readings).map(|(count, reading)| (reading.second, holds(alert, &readings[..count])));
    rules::longest(held)
}

#[test]
fn the_alert_for_a_provider_that_is_not_asked_comes_for_one_that_hangs_however_often_it_is_read() {
    let alerts = alerts();
    let alert = alerts.iter().find(|alert| alert.name == "VoxrelayProviderOpen").expect("it is there");
    let well = [(0, 0), (60, 9)].map(|(second, requests)| Reading { second, circuit: 0, requests });
    assert!(!holds(alert, &well), "a provider that is asked as ever");
    for (pause, scrape) in [(1, 5), (1, 15), (1, 60), (7, 15), (90, 15), (90, 60)] {
        let readings = read(pause, scrape, SECONDS);
        assert!(readings.iter().any(|reading| reading.circuit == 1), "some try it: {pause}, {scrape}");
        let longest = longest(alert, &readings);
        assert!(longest >= alert.patience(), "{pause}, {scrape}: for {longest:?} at most: {readings:?}");
    }
}

#[test]
fn nobody_is_woken_for_a_provider_that_failed_in_the_last_call_before_a_quiet_night() {
    let alerts = alerts();
    let alert = alerts.iter().find(|alert| alert.name == "VoxrelayProviderOpen").expect("it is there");
    for scrape in [5, 15, 60] {
        let readings = read(7, scrape, 60);
        // Who looks once a minute misses that.
        let is_seen = readings.iter().any(|reading| reading.circuit == 2);
        assert!(is_seen || scrape == 60, "it was not asked any more: {scrape}");
        assert_eq!(readings.last().expect("many were read").circuit, 1, "nobody has tried it since");
        let longest = longest(alert, &readings);
        assert!(longest < alert.patience(), "{scrape}: it holds for {longest:?}");
    }
}
