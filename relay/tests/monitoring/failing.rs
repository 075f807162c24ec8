//! The alert for calls that fail, on what a relay counts in ten minutes.

use super::alerts;
use super::promql::{self, Read};

/// So often, by the code of the error or by the reason.
type Counts<'c> = &'c [(&'c str, u32)];

/// Whether the expression of the alert holds where connections were refused so and sessions have ended so, and as many have begun.
fn holds(refused: Counts<'_>, ended: Counts<'_>) -> bool {
    let alerts = alerts();
    let alert = alerts.iter().find(|alert| alert.name == "VoxrelayCallsFail").expect("it is there");
    let read = |read: &Read<'_>| {
        let counts = match read.name {
            "voxrelay_refusals_total" => refused,
            "voxrelay_sessions_ended_total" | "voxrelay_sessions_opened_total" => ended,
            other => panic!("{other} is not known"),
        };
        let is_meant =
            |word: &str| read.labels.iter().all(|(_, words)| words.split('|').any(|one| one == word));
        counts.iter().filter(|&&(word, _)| is_meant(word)).map(|(_, count)| f64::from(*count)).sum::<f64>()
    };
    promql::value(&alert.expression, &read).expect("it is understood").is_some()
}

#[test]
fn the_alert_for_calls_that_fail_comes_however_many_bad_tokens_come_beside_them() {
    let bots = ("unauthorized", 100_000);
    assert!(!holds(&[bots], &[("normal", 100)]), "nothing is wrong");
    assert!(holds(&[bots, ("store_unavailable", 50)], &[]), "every call is refused");
    assert!(holds(&[bots], &[("normal", 94), ("internal", 6)]));
    assert!(!holds(&[bots], &[("normal", 96), ("internal", 4)]));
}

#[test]
fn a_few_calls_at_night_wake_nobody_and_long_calls_that_all_end_at_once_do() {
    assert!(!holds(&[("internal", 1)], &[("normal", 1), ("try_later", 1)]), "two of three");
    assert!(!holds(&[], &[("internal", 19)]));
    assert!(holds(&[], &[("internal", 20)]));
    assert!(holds(&[("relay_full", 10)], &[("internal", 10)]));
    assert!(!holds(&[], &[]), "no calls at all");
}
