//! The table of metrics, the document, and what stands at 0 from the start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use protocol::{CloseCode, ErrorCode, Latency, Time};

use super::names::{
    ALERTS, ANSWER_SECONDS, CONNECTIONS, COST, HTTP_REQUESTS, PREFLIGHTS, PROVIDER_AHEAD, PROVIDER_CIRCUIT,
    PROVIDER_CONNECTIONS, PROVIDER_DIFFERENCE, PROVIDER_IN_USE, PROVIDER_OPENED, PROVIDER_REQUESTS, REPEATED,
    RESUMES,
};
use super::sessions::{OTHERS_TOKENS, Resume, TRANSPORTS};
use super::{
    Kind, METRICS, Metric, answered, begin, cost, http_answered, provider, provider_socket_ahead, recorder,
};
use crate::NanoUsd;
use crate::admission::auth::AuthError;
use crate::money::ledger::LedgerRow;
use crate::provider::{self as providers, Ask, Event, Failure, FailureKind, Upstream};
use crate::records::store::{IncidentKind, OPERATIONS, READ_TABLES, STAGE_BUCKETS_MS};
use crate::session::machine::Moment;

#[test]
fn the_document_lists_what_there_is() {
    let document = include_str!("../../../../docs/metrics.md");
    let is_of_a_metric = |line: &&str| line.starts_with("| `voxrelay_") || line.starts_with("| `process_");
    let listed: BTreeSet<&str> = document.lines().filter(is_of_a_metric).collect();
    let there: BTreeSet<String> = METRICS
        .iter()
        .map(|Metric { name, kind, labels, meaning }| {
            let kind = format!("{kind:?}").to_lowercase();
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{name}` | {kind} | {} | {meaning} |", labels.join(", "))
        })
        .collect();
    assert_eq!(listed, there.iter().map(String::as_str).collect());
}

#[test]
fn every_counter_stands_at_0_from_the_start_with_every_known_value_of_its_labels() {
    let recorder = recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, begin);
    let text = handle.render();
    let series =
        |name: &str| text.lines().filter(|line| line.starts_with(name) && line.ends_with(" 0")).count();
    let counters = METRICS.iter().filter(|metric| metric.kind == Kind::Counter);
    // What is said of the process is read when it is asked for.
    for metric in counters.filter(|metric| !metric.name.starts_with("process_")) {
        let values: usize = metric
            .labels
            .iter()
            .map(|label| match (metric.name, *label) {
                (_, "reason") => CloseCode::ALL.len(),
                (_, "code") => ErrorCode::ALL.len() + 1,
                (_, "cause") => AuthError::CAUSES.len() + OTHERS_TOKENS.len(),
                // Those of a provider stand there once it is configured.
                (PROVIDER_REQUESTS | PROVIDER_OPENED | PROVIDER_CONNECTIONS | PROVIDER_DIFFERENCE, _) => 0,
                // Routes and rows of the ledger appear with the first of them.
                (HTTP_REQUESTS | COST, _) => 0,
                (RESUMES, "outcome") => Resume::ALL.len(),
                (_, "direction") => 2,
                (CONNECTIONS, "transport") => TRANSPORTS.len(),
                (_, "how") => Moment::ALL.len(),
                (PREFLIGHTS, "outcome") => ErrorCode::ALL.len() + 1,
                (_, "scope" | "percent" | "kind" | "outcome") => 3,
                (ALERTS, "type") => IncidentKind::ALL.len() + 1,
                (ALERTS, "state") => 2,
                (_, "operation") => OPERATIONS.len(),
                (_, "table") => READ_TABLES.len(),
                (name, label) => panic!("{name} has a label {label} whose values nobody has listed"),
            })
            .product();
        assert_eq!(series(metric.name), values, "{}: {text}", metric.name);
    }
    assert!(text.contains("\nvoxrelay_store_away 0"), "{text}");
}

#[test]
fn names_end_with_their_unit() {
    for Metric { name, kind, .. } in METRICS {
        assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
    }
}

#[test]
fn answers_are_told_apart_around_a_second_and_methods_of_strangers_are_not() {
    let recorder = recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        answered(&Latency { total_ms: Some(1_100), ..Latency::default() });
        for method in ["GET", "BREW", "POUR"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            http_answered(None, &method, StatusCode::NOT_FOUND, Duration::from_millis(3));
        }
    });
    let text = handle.render();
    for line in [
        format!("{ANSWER_SECONDS}_bucket{{stage=\"total\",le=\"1\"}} 0"),
        format!("{ANSWER_SECONDS}_bucket{{stage=\"total\",le=\"1.25\"}} 1"),
        format!("{HTTP_REQUESTS}{{route=\"none\",method=\"GET\",status=\"4xx\"}} 1"),
        format!("{HTTP_REQUESTS}{{route=\"none\",method=\"other\",status=\"4xx\"}} 2"),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
}

#[test]
fn what_a_recogniser_is_paid_once_more_is_counted_at_its_price_though_its_row_costs_nothing() {
    let row = |unit: &str, quantity: u64, cost: u64| LedgerRow {
        unit: unit.to_owned(),
        quantity,
        price: NanoUsd::new(600),
        per: 60,
        cost: NanoUsd::new(cost),
        ..LedgerRow::lost(0, NanoUsd::ZERO)
    };
    let recorder = recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        cost(&row("sample", 900, 9_000));
        cost(&row("repeated_sample", 60, 0));
        cost(&row("repeated_audio_input_token", 12, 0));
        cost(&row("excess_sample", 60, 0));
    });
    let line = format!("{REPEATED} 720");
    let text = handle.render();
    assert!(text.lines().any(|found| found == line), "no {line} in {text}");
}

#[test]
fn what_is_stored_of_stages_is_counted_in_the_buckets_of_the_metric() {
    assert_eq!(STAGE_BUCKETS_MS.map(|ms| f64::from(ms) / 1_000.0), super::ANSWER_STAGES);
}

/// The provider `voice`, which asks to be left alone for as long as the operator needs with its first failure.
fn voice() -> Arc<Upstream> {
    let kind = providers::Kind::named("openai-speech").expect("registered");
    let voice =
        providers::Provider { name: "voice".to_owned(), ..providers::scenario::provider(kind, "small") };
    Arc::new(Upstream::new(voice).expect("a client"))
}

/// Asks it, and has it refuse the key. The request stays under way until what is returned is dropped.
fn refuse_key(voice: &Arc<Upstream>, now: Time) -> providers::Pass {
    let mut pass = voice.admit(now, &Ask::Speak("Hello.".to_owned())).expect("it is asked");
    pass.note(now, &Event::Failed(Failure::new(FailureKind::Key, "no such key")));
    pass
}

/// What a gauge of it shows.
fn shown(handle: &PrometheusHandle, gauge: &str) -> i32 {
    let text = handle.render();
    let line = format!("{gauge}{{provider=\"voice\"}} ");
    let value = text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok());
    value.unwrap_or_else(|| panic!("no {line} in {text}"))
}

#[test]
fn a_provider_whose_time_is_over_is_shown_as_half_open_until_a_request_has_tried_it() {
    let recorder = recorder();
    let handle = recorder.handle();
    let at = Time::from_millis;
    metrics::with_local_recorder(&recorder, || {
        provider("voice");
        let voice = voice();
        drop(refuse_key(&voice, Time::ZERO));
        for (millis, wanted) in [(299_999, 2), (300_000, 1), (36_000_000, 1)] {
            voice.look(at(millis));
            assert_eq!(shown(&handle, PROVIDER_CIRCUIT), wanted, "{millis} ms");
        }
        drop(refuse_key(&voice, at(36_000_000)));
        assert_eq!(shown(&handle, PROVIDER_CIRCUIT), 2);
    });
}

#[test]
fn what_the_gauges_of_a_provider_show_stays_when_the_configuration_is_read_again() {
    let recorder = recorder();
    let handle = recorder.handle();
    let all = || [PROVIDER_CIRCUIT, PROVIDER_IN_USE, PROVIDER_AHEAD].map(|gauge| shown(&handle, gauge));
    metrics::with_local_recorder(&recorder, || {
        provider("voice");
        assert_eq!(all(), [0, 0, 0], "they are there from the start");
        let (first, second) = (voice(), voice());
        let under_way = refuse_key(&first, Time::ZERO);
        provider_socket_ahead("voice", 1);
        assert_eq!(all(), [2, 1, 1]);
        // Nothing has changed.
        provider("voice");
        assert_eq!(all(), [2, 1, 1]);

        // It has another key. A call that has the first one goes on with it, and finds that it still does not work.
        provider("voice");
        first.retire();
        assert_eq!(all(), [0, 1, 1], "nobody has found anything wrong with the one that is configured");
        let later = Time::from_millis(600_000);
        drop(refuse_key(&first, later));
        assert_eq!(all(), [0, 1, 1]);
        drop(refuse_key(&second, later));
        assert_eq!(all(), [2, 1, 1], "it is the one that is shown");
        drop(under_way);
        provider_socket_ahead("voice", -1);
        assert_eq!(all(), [2, 0, 0]);
    });
}
