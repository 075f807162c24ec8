//! The webhook against a receiver that checks what it gets, with one relay and with two.

#[path = "support/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it")]
mod postgres;
#[path = "support/records.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod records;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use records::{caps, open, quota, row, session, settle};
use relay::config::{self, Secret};
use relay::money::ledger::LedgerRow;
use relay::operations::webhook::{Pace, Webhook, deliver_or_let_go};
use relay::records::store::{
    DeliveryFilter, DeliveryState, IncidentKind, IncidentPace, IncidentState, NewIncident, Quota, Replayed,
    Settle, SqlStore, Store, unix_ms,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

const SECRET: &str = "a secret that both sides have, of 40 bytes";

/// What a receiver answers, one after another; the last one for ever.
struct Receiver {
    url: String,
    answers: Mutex<Vec<StatusCode>>,
    /// By `webhook-id`, the bodies that came.
    got: Mutex<BTreeMap<String, Vec<String>>>,
    /// The bodies, one after another.
    order: Mutex<Vec<String>>,
}

impl Receiver {
    async fn start(answers: &[StatusCode]) -> Arc<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        let receiver = Arc::new(Receiver { url, answers, got: Mutex::default(), order: Mutex::default() });
        let routes = Router::new()
            .route("/hook", post(receive))
            .route("/elsewhere", post(redirected))
            .with_state(Arc::clone(&receiver));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        receiver
    }

    fn webhook(&self) -> Webhook {
        let secrets = vec![Secret::new(SECRET.into())];
        let config = config::Webhook { url: self.url.parse().expect("a URL"), secrets };
        // No wait between two tries.
        let pace = Pace { first: Duration::ZERO, longest: Duration::ZERO, ..Pace::default() };
        Webhook::new(&config, pace).expect("a client")
    }

    fn got(&self) -> BTreeMap<String, Vec<String>> {
        self.got.lock().expect("no panic").clone()
    }
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: String) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let expected = hmac_sha256(SECRET.as_bytes(), format!("{id}.{timestamp}.{body}").as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(expected)));
    let age = unix_ms() / 1_000 - timestamp.parse::<i64>().expect("seconds");
    assert!((-5..300).contains(&age), "{age}");
    assert_eq!(header("content-type"), "application/json");
    receiver.order.lock().expect("no panic").push(body.clone());
    receiver.got.lock().expect("no panic").entry(id.to_owned()).or_default().push(body);
    let mut answers = receiver.answers.lock().expect("no panic");
    let status = if answers.len() > 1 { answers.pop() } else { answers.last().copied() };
    (status.unwrap_or(StatusCode::OK), [(header::LOCATION, "/elsewhere")], "").into_response()
}

/// Nobody is to come here.
async fn redirected(State(receiver): State<Arc<Receiver>>) {
    receiver.got.lock().expect("no panic").insert("redirected".into(), Vec::new());
}

/// RFC 2104, from the hash alone.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64, "longer keys would be hashed first");
    let mut padded = [0; 64];
    padded[..key.len()].copy_from_slice(key);
    let hash = |pad: u8, message: &[u8]| {
        let key = padded.map(|byte| byte ^ pad);
        Sha256::new().chain_update(key).chain_update(message).finalize().to_vec()
    };
    hash(0x5c, &hash(0x36, message))
}

/// Raises three alerts for each session.
async fn raise(store: &dyn Store, sessions: u32) {
    let caps = caps(100, 1_000_000, 1_000_000);
    for n in 0..sessions {
        let id = format!("s{n}");
        let quota = Quota { sessions_per_user: 1_000, caps, ..quota() };
        open(store, &session(&id), &quota).await;
        let settle = Settle { release: true, ..settle(&id, vec![row("1", 1, 100)], caps) };
        assert_eq!(store.settle(&settle).await.expect("written").alerts.len(), 3);
    }
}

async fn sqlite() -> (SqlStore, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    (SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("a store"), dir)
}

/// Until nothing is due.
async fn deliver_all(webhook: &Webhook, store: &dyn Store) {
    while webhook.deliver_due(store).await.expect("the database answers") > 0 {}
}

#[test]
fn the_hmac_of_these_tests_is_that_of_rfc_4231() {
    let hex: String = hmac_sha256(b"Jefe", b"what do ya want for nothing?")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

#[tokio::test]
async fn an_alert_that_fails_comes_again_with_the_same_id_until_it_is_taken() {
    let (store, _dir) = sqlite().await;
    let (bad, good) = (StatusCode::SERVICE_UNAVAILABLE, StatusCode::NO_CONTENT);
    let redirect = StatusCode::TEMPORARY_REDIRECT;
    let receiver = Receiver::start(&[bad, bad, bad, redirect, bad, StatusCode::FORBIDDEN, good]).await;
    raise(&store, 1).await;
    deliver_all(&receiver.webhook(), &store).await;
    let got = receiver.got();
    assert_eq!(got.len(), 3);
    assert_eq!(got.values().map(Vec::len).sum::<usize>(), 6 + 3, "six refusals, each taken in the end");
    for (id, bodies) in &got {
        assert!(bodies.iter().all(|body| body == &bodies[0]), "the same message each time");
        let message: serde_json::Value = serde_json::from_str(&bodies[0]).expect("JSON");
        assert_eq!(message["type"], "budget.threshold");
        assert_eq!(message["data"]["alert_id"], id.as_str());
        assert_eq!(message["data"]["scope"], "session");
        assert_eq!(message["data"]["limit_nano_usd"], 100);
        assert_eq!(
            (message["data"]["user"].as_str(), message["data"]["session_id"].as_str()),
            (Some("ada"), Some("s0"))
        );
    }
    deliver_all(&receiver.webhook(), &store).await;
    assert_eq!(receiver.got(), got, "what was taken is done");
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_never_takes_it_is_given_up() {
    let (store, _dir) = sqlite().await;
    let gone = Receiver::start(&[StatusCode::GONE]).await;
    raise(&store, 1).await;
    deliver_all(&gone.webhook(), &store).await;
    assert!(gone.got().values().all(|bodies| bodies.len() == 1));

    let (store, _dir) = sqlite().await;
    let broken = Receiver::start(&[StatusCode::INTERNAL_SERVER_ERROR]).await;
    raise(&store, 1).await;
    deliver_all(&broken.webhook(), &store).await;
    let tries: Vec<usize> = broken.got().values().map(Vec::len).collect();
    assert_eq!(tries, [12, 12, 12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_on_one_database_deliver_each_alert_once() {
    let url = postgres::shared().database().await;
    let stores = [
        Arc::new(SqlStore::postgres(&url).await.expect("opened")),
        Arc::new(SqlStore::postgres(&url).await.expect("opened")),
    ];
    let receiver = Receiver::start(&[StatusCode::OK]).await;
    raise(&*stores[0], 20).await;
    let relays: Vec<_> = stores
        .iter()
        .map(|store| {
            let (store, webhook) = (store.clone(), receiver.webhook());
            tokio::spawn(async move { deliver_all(&webhook, &*store).await })
        })
        .collect();
    for relay in relays {
        relay.await.expect("no panic");
    }
    let got = receiver.got();
    assert_eq!(got.len(), 60);
    assert!(got.values().all(|bodies| bodies.len() == 1), "none of them twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_without_an_address_leaves_what_is_due_to_one_that_has_it() {
    let url = postgres::shared().database().await;
    let without = SqlStore::postgres(&url).await.expect("opened");
    let with = SqlStore::postgres(&url).await.expect("opened");
    let incident = |state| {
        let (kind, subject) = (IncidentKind::ProviderDown, "ears".to_owned());
        NewIncident { kind, subject, state, value: 0, threshold: 0 }
    };
    let pace = IncidentPace { again: Duration::from_secs(3_600), calm: Duration::ZERO };
    raise(&without, 1).await;
    for state in [IncidentState::Firing, IncidentState::Resolved] {
        assert!(without.note_incident(&incident(state), pace).await.expect("written"));
        deliver_or_let_go(None, &without).await.expect("the database answers");
    }
    let receiver = Receiver::start(&[StatusCode::NO_CONTENT]).await;
    deliver_or_let_go(Some(&receiver.webhook()), &with).await.expect("the database answers");
    let order = receiver.order.lock().expect("no panic").clone();
    let count = |of: &str| order.iter().filter(|body| body.contains(of)).count();
    assert_eq!((count("budget.threshold"), count("provider.down")), (3, 2), "{order:?}");
    let place = |of: &str| order.iter().position(|body| body.contains(of));
    assert!(place("firing") < place("resolved"), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_relay_had_claimed_is_delivered_by_another() {
    let url = postgres::shared().database().await;
    let killed = SqlStore::postgres(&url).await.expect("opened");
    raise(&killed, 1).await;
    assert_eq!(killed.claim_alerts(Duration::from_millis(200), 8).await.expect("claimed").len(), 3);
    killed.close().await;
    let other = SqlStore::postgres(&url).await.expect("opened");
    let receiver = Receiver::start(&[StatusCode::OK]).await;
    let webhook = receiver.webhook();
    let all = tokio::time::timeout(Duration::from_secs(20), async {
        while receiver.got().len() < 3 {
            deliver_all(&webhook, &other).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    all.await.expect("the claim ends");
    assert!(receiver.got().values().all(|bodies| bodies.len() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_that_are_reached_at_once_are_told_in_their_order() {
    let (store, _dir) = sqlite().await;
    let receiver = Receiver::start(&[StatusCode::NO_CONTENT]).await;
    raise(&store, 20).await;
    deliver_all(&receiver.webhook(), &store).await;
    let mut told = BTreeMap::<String, Vec<u64>>::new();
    for body in receiver.order.lock().expect("no panic").iter() {
        let data = &serde_json::from_str::<serde_json::Value>(body).expect("JSON")["data"];
        assert_eq!(data["spent_nano_usd"], 100, "the sum as it is: {data}");
        let session = data["session_id"].as_str().expect("text").to_owned();
        told.entry(session).or_default().push(data["percent"].as_u64().expect("a number"));
    }
    assert_eq!(told.len(), 20);
    assert!(told.values().all(|percents| percents == &[50, 80, 100]), "{told:?}");
}

#[tokio::test]
async fn what_a_provider_reported_too_much_is_told_to_the_receiver_once_an_hour() {
    let (store, _dir) = sqlite().await;
    let caps = caps(1_000_000, 1_000_000, 1_000_000);
    open(&store, &session("a"), &quota()).await;
    let excess = |key: &str| LedgerRow {
        item: "openai/gpt".into(),
        unit: format!("{}output_token", LedgerRow::EXCESS),
        ..row(key, 40, 0)
    };
    let receiver = Receiver::start(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::NO_CONTENT]).await;
    let at_ms = unix_ms();
    for key in ["1", "2", "3"] {
        let settle = Settle { at_ms, ..settle("a", vec![excess(key)], caps) };
        store.settle(&settle).await.expect("written");
        deliver_all(&receiver.webhook(), &store).await;
    }
    let got = receiver.got();
    let [(id, bodies)] = &got.iter().collect::<Vec<_>>()[..] else { panic!("one alert: {got:?}") };
    assert_eq!(bodies.len(), 2, "it was refused, and taken in the end");
    let message: serde_json::Value = serde_json::from_str(&bodies[1]).expect("JSON");
    let data = &message["data"];
    assert_eq!((&message["type"], &data["alert_id"]), (&"provider.excess".into(), &id.as_str().into()));
    assert_eq!((&data["item"], &data["excess_nano_usd"]), (&"openai/gpt".into(), &200.into()));
    assert_eq!((&data["session_id"], &data["account"]), (&"a".into(), &"acme".into()));
    let hour = data["hour"].as_str().expect("a text");
    assert!(message["timestamp"].as_str().is_some_and(|time| time.starts_with(hour)), "{message}");
}

#[tokio::test]
async fn what_is_wrong_with_the_service_is_told_to_the_receiver_and_that_it_is_over() {
    let (store, _dir) = sqlite().await;
    let incident = |kind, subject: &str, state, (value, threshold)| NewIncident {
        kind,
        subject: subject.to_owned(),
        state,
        value,
        threshold,
    };
    let (firing, resolved) = (IncidentState::Firing, IncidentState::Resolved);
    let pace = IncidentPace { again: Duration::from_secs(3_600), calm: Duration::ZERO };
    for new in [
        incident(IncidentKind::ProviderDown, "ears", firing, (0, 0)),
        incident(IncidentKind::CallsFailing, "", firing, (7, 5)),
        incident(IncidentKind::AnswersSlow, "", firing, (4_000, 3_000)),
        incident(IncidentKind::ProviderDown, "ears", resolved, (0, 0)),
    ] {
        assert!(store.note_incident(&new, pace).await.expect("written"), "{new:?}");
    }
    let receiver = Receiver::start(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::NO_CONTENT]).await;
    let webhook = receiver.webhook();
    while webhook.deliver_incidents(&store).await.expect("the database answers") > 0 {}
    let got = receiver.got();
    assert_eq!(got.len(), 4);
    assert_eq!(got.values().map(Vec::len).sum::<usize>(), 1 + 4, "one refusal, each taken in the end");
    let mut told = BTreeMap::new();
    for (id, bodies) in &got {
        assert!(bodies.iter().all(|body| body == &bodies[0]), "the same message each time");
        let mut message: serde_json::Value = serde_json::from_str(&bodies[0]).expect("JSON");
        let data = message["data"].as_object_mut().expect("an object");
        assert_eq!(data.remove("alert_id"), Some(id.as_str().into()));
        let state = data.remove("state").expect("it has one");
        told.insert(format!("{} {state}", message["type"]), message["data"].clone());
    }
    let wanted = [
        (r#""answers.slow" "firing""#, serde_json::json!({ "p95_ms": 4_000, "threshold_ms": 3_000 })),
        (r#""calls.failing" "firing""#, serde_json::json!({ "failed_percent": 7, "threshold_percent": 5 })),
        (r#""provider.down" "firing""#, serde_json::json!({ "provider": "ears" })),
        (r#""provider.down" "resolved""#, serde_json::json!({ "provider": "ears" })),
    ];
    let told: Vec<(&str, serde_json::Value)> =
        told.iter().map(|(name, data)| (name.as_str(), data.clone())).collect();
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn an_alert_is_told_once_more_on_demand_and_its_user_reads_nothing_of_the_receiver() {
    let (store, _dir) = sqlite().await;
    let receiver = Receiver::start(&[StatusCode::NO_CONTENT]).await;
    raise(&store, 1).await;
    let (kind, subject) = (IncidentKind::ProviderDown, "ears".to_owned());
    let down = NewIncident { kind, subject, state: IncidentState::Firing, value: 0, threshold: 0 };
    let pace = IncidentPace { again: Duration::from_secs(3_600), calm: Duration::ZERO };
    assert!(store.note_incident(&down, pace).await.expect("written"));
    let listed = async || {
        let page = store.list_deliveries(&DeliveryFilter::default(), None, 10).await.expect("read");
        assert_eq!(page.rows.len(), 4);
        page.rows
    };

    // Nobody listens there any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    drop(listener);
    let secrets = vec![Secret::new(SECRET.into())];
    let config = config::Webhook { url: url.parse().expect("a URL"), secrets };
    let nowhere = Webhook::new(&config, Pace { attempts: 1, ..Pace::default() }).expect("a client");
    deliver_or_let_go(Some(&nowhere), &store).await.expect("the database answers");
    for row in listed().await {
        assert_eq!((row.state(), row.attempts), (DeliveryState::GivenUp, 1));
        let answer = row.answer.expect("why there was none");
        // The row of a budget's alert is one that its user may read.
        let is_told =
            if row.event == "budget.threshold" { answer == "no answer" } else { answer.contains("refused") };
        assert!(is_told, "{}: {answer}", row.event);
        assert_eq!(store.replay_delivery(&row.id, "root").await.expect("written"), Replayed::Yes);
    }

    for times in 1..=2 {
        deliver_or_let_go(Some(&receiver.webhook()), &store).await.expect("the database answers");
        let got = receiver.got();
        assert_eq!(got.len(), 4);
        for row in listed().await {
            assert_eq!((row.state(), row.answer.as_deref()), (DeliveryState::Delivered, Some("204")));
            let bodies = &got[&row.id];
            assert!(bodies.len() == times && bodies.iter().all(|body| body == &bodies[0]), "{bodies:?}");
            assert_eq!(store.replay_delivery(&row.id, "root").await.expect("written"), Replayed::Yes);
        }
    }
}
