//! The alert for a provider that is not asked, on what the gauge shows of a provider that takes every request and never answers.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use relay::provider::{Breaker, Deadlines, Failure, FailureKind, Ticket};

use super::alerts;
use super::rules::Alert;

/// How long it hangs.
const SECONDS: u64 = 3_600;

/// What Prometheus reads of the gauge of a provider that never answers, when it reads every `scrape` seconds and a request comes every `pause`
/// seconds: the second of each, and the value.
fn shown(pause: u64, scrape: u64) -> Vec<(u64, u8)> {
    let deadline = Deadlines::default().first;
    let late = Failure::new(FailureKind::Timeout, "nothing came in time");
    let mut breaker = Breaker::default();
    let mut under_way: VecDeque<(Time, Ticket)> = VecDeque::new();
    let mut shown = Vec::new();
    for second in 0..SECONDS {
        let now = Time::from_millis(second * 1_000);
        while let Some((_, ticket)) = under_way.pop_front_if(|(asked, _)| now.since(*asked) >= deadline) {
            breaker.failed(now, ticket, &late);
        }
        if second % pause == 0
            && let Ok(ticket) = breaker.admit(now)
        {
            under_way.push_back((now, ticket));
        }
        if second % scrape == 0 {
            shown.push((second, breaker.standing().shown()));
        }
    }
    shown
}

/// Whether the expression of an alert, which compares one gauge with a number, holds of this value.
fn holds(alert: &Alert, value: u8) -> bool {
    let words: Vec<&str> = alert.expression.split_whitespace().collect();
    let [_, comparison, number] = words[..] else { panic!("{:?}", alert.expression) };
    let number: u8 = number.parse().expect("a small number");
    match comparison {
        ">" => value > number,
        ">=" => value >= number,
        "==" => value == number,
        other => panic!("{other} is not known"),
    }
}

/// For how long an expression has to hold until its alert comes.
fn patience(alert: &Alert) -> Duration {
    let minutes = alert.said.get("for").and_then(|time| time.strip_suffix('m')).expect("minutes");
    Duration::from_secs(60 * minutes.parse::<u64>().expect("a number"))
}

#[test]
fn the_alert_for_a_provider_that_is_not_asked_comes_for_one_that_hangs_however_often_it_is_read() {
    let alerts = alerts();
    let alert = alerts.iter().find(|alert| alert.name == "VoxrelayProviderOpen").expect("it is there");
    assert!(!holds(alert, 0), "a provider that is asked as ever");
    for (pause, scrape) in [(1, 5), (1, 15), (1, 60), (7, 15), (90, 15), (90, 60)] {
        let shown = shown(pause, scrape);
        assert!(shown.iter().any(|(_, value)| *value == 1), "some requests try it: {pause}, {scrape}");
        let (mut since, mut longest) = (None, Duration::ZERO);
        for (second, value) in &shown {
            since = holds(alert, *value).then(|| since.unwrap_or(*second));
            longest = longest.max(since.map_or(Duration::ZERO, |since| Duration::from_secs(second - since)));
        }
        assert!(longest >= patience(alert), "{pause}, {scrape}: it holds for {longest:?} at most: {shown:?}");
    }
}
