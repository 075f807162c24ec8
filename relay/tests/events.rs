//! Webhooks that are told what happens, against receivers that check what they get: with one relay and with two, slow ones, lost ones.

#[path = "support/local_provider.rs"]
mod local_provider;
#[path = "support/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it")]
mod postgres;
#[path = "support/records.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod records;
#[path = "support/mod.rs"]
#[expect(dead_code, reason = "each program of tests uses some of it")]
mod support;

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use protocol::{Mark, Role, Time};
use records::{WIDE, caps, open, quota, row, session, settle, turn};
use relay::call::{Latency, Turn};
use relay::config::{self, EventHook, Secret};
use relay::operations::telemetry::Telemetry;
use relay::operations::webhook::{Pace, Webhook, sign};
use relay::provider::{Ask, Event, Failure, FailureKind, Provider, Upstream, Upstreams};
use relay::records::store::{
    DATABASE_FILE, DeliveryFilter, DeliveryState, HookEvent, Quality, Replayed, SqlStore, Store,
    Subscription, unix_ms,
};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection};
use support::Relay;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const SECRET: &str = "a secret that both sides have, of 40 bytes";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came: ids and messages, one after another.
type Got = Vec<(String, Value)>;

/// A server of the operator.
struct Receiver {
    url: String,
    /// How long it takes to answer.
    takes: Duration,
    /// What it answers, one after another; then 204.
    answers: Mutex<Vec<StatusCode>>,
    got: Mutex<Got>,
}

impl Receiver {
    async fn start(takes: Duration, answers: &[StatusCode]) -> Arc<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/events", listener.local_addr().expect("bound"));
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        let receiver = Arc::new(Receiver { url, takes, answers, got: Mutex::default() });
        let routes = Router::new().route("/events", post(receive)).with_state(Arc::clone(&receiver));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        receiver
    }

    async fn good() -> Arc<Receiver> {
        Receiver::start(Duration::ZERO, &[]).await
    }

    fn config(&self) -> config::Webhook {
        config::Webhook { url: self.url.parse().expect("a URL"), secrets: vec![Secret::new(SECRET.into())] }
    }

    fn webhook(&self) -> Webhook {
        // No wait between two tries.
        let pace = Pace { first: Duration::ZERO, longest: Duration::ZERO, ..Pace::default() };
        Webhook::new(&self.config(), pace).expect("a client")
    }

    fn got(&self) -> Got {
        self.got.lock().expect("no panic").clone()
    }

    fn ids(&self) -> Vec<String> {
        self.got().into_iter().map(|(id, _)| id).collect()
    }
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let seconds = timestamp.parse().expect("seconds");
    assert_eq!(header("webhook-signature"), sign(&[Secret::new(SECRET.into())], id, seconds, &body));
    assert!(!id.contains('.'), "what is signed has points between its parts");
    let message = serde_json::from_str(&body).expect("JSON");
    receiver.got.lock().expect("no panic").push((id.to_owned(), message));
    sleep(receiver.takes).await;
    receiver.answers.lock().expect("no panic").pop().unwrap_or(StatusCode::NO_CONTENT)
}

async fn sqlite() -> (SqlStore, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    (SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("a store"), dir)
}

/// A connection to the database of this relay, beside its own ones.
async fn database_of(app: &relay::App) -> AnyConnection {
    let url = format!("sqlite://{}", app.config.data_dir.join(DATABASE_FILE).display());
    AnyConnection::connect(&url).await.expect("it is there")
}

/// Has everything that happens told to `crm`.
async fn subscribe(store: &dyn Store) {
    let all = Subscription { name: "crm".into(), events: HookEvent::ALL.into() };
    store.keep_webhooks(&[all]).await.expect("written");
}

async fn begin(store: &dyn Store, id: &str) {
    open(store, &session(id), &quota()).await;
}

async fn end(store: &dyn Store, id: &str) {
    store.end_session(id, 0, "normal", Quality::default(), unix_ms()).await.expect("written");
}

/// Until nothing is due.
async fn deliver_all(webhook: &Webhook, store: &dyn Store) {
    while webhook.deliver_events("crm", store).await.expect("the database answers") > 0 {}
}

/// Sooner than the slow receiver answers.
async fn until(done: impl Fn() -> bool) {
    let waited = timeout(PATIENCE / 2, async {
        while !done() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("in time");
}

#[tokio::test]
async fn a_call_is_told_from_its_beginning_to_its_end_with_what_was_said_and_what_it_cost() {
    let (store, _dir) = sqlite().await;
    let receiver = Receiver::good().await;
    subscribe(&store).await;
    begin(&store, "a").await;
    let said = [turn(0, Role::User, "hello"), turn(1, Role::Agent, "good morning")];
    store.save_turns("a", 0, &said, Mark::default(), 0).await.expect("written");
    let used = settle("a", vec![row("1", 10, 70)], caps(WIDE, WIDE, WIDE));
    store.settle(&used).await.expect("written");
    end(&store, "a").await;
    // What has ended once does not end again.
    assert!(store.end_session("a", 0, "normal", Quality::default(), unix_ms()).await.is_err());
    deliver_all(&receiver.webhook(), &store).await;
    let got = receiver.got();
    assert_eq!(receiver.ids(), ["started_a_crm", "ended_a_crm"]);
    let (begun, ended) = (&got[0].1, &got[1].1);
    assert_eq!(
        (&begun["type"], &begun["data"]["session"]["user_sub"]),
        (&json!("call.started"), &json!("ada"))
    );
    assert_eq!(ended["type"], "call.ended");
    let data = &ended["data"];
    let session = &data["session"];
    assert_eq!((&session["state"], &session["end_reason"]), (&json!("ended"), &json!("normal")));
    assert_eq!((&session["cost_nano_usd"], &session["recording"]), (&json!(70), &Value::Null));
    let texts: Vec<_> = data["turns"].as_array().expect("a list").iter().map(|turn| &turn["text"]).collect();
    assert_eq!(texts, ["hello", "good morning"]);
    assert_eq!((&data["turns"][1]["role"], &data["more_turns"]), (&json!("agent"), &json!(false)));
    assert_eq!(data.get("damaged"), None);
    assert!(data["turns"][1].get("total_ms").is_some(), "how long the answer took, if it is known");
    deliver_all(&receiver.webhook(), &store).await;
    assert_eq!(receiver.got(), got, "what was taken is done");
}

/// Writes what no relay writes, as a broken disk does.
async fn damage(dir: &tempfile::TempDir, sql: &'static str) {
    let url = format!("sqlite://{}", dir.path().join("voxrelay.db").display());
    let mut database = AnyConnection::connect(&url).await.expect("it is there");
    sqlx::raw_sql("PRAGMA ignore_check_constraints = ON").execute(&mut database).await.expect("switched");
    let damaged = sqlx::query(sql).execute(&mut database).await.expect("written");
    assert_eq!(damaged.rows_affected(), 1);
    database.close().await.expect("closed");
}

#[tokio::test]
async fn an_event_whose_session_cannot_be_read_is_given_up_as_one_that_nobody_takes_and_holds_up_no_other() {
    let (store, dir) = sqlite().await;
    let receiver = Receiver::good().await;
    subscribe(&store).await;
    begin(&store, "a").await;
    begin(&store, "b").await;
    damage(&dir, "UPDATE sessions SET client = CAST(X'41C3' AS TEXT) WHERE id = 'a'").await;
    deliver_all(&receiver.webhook(), &store).await;
    assert_eq!(receiver.ids(), ["started_b_crm"]);
    let filter = DeliveryFilter { state: Some(DeliveryState::GivenUp), ..DeliveryFilter::default() };
    let given_up = store.list_deliveries(&filter, None, 10).await.expect("read").rows;
    let [event] = &given_up[..] else { panic!("{given_up:?}") };
    assert_eq!((event.id.as_str(), event.attempts), ("started_a_crm", Pace::default().attempts));
    let answer = event.answer.as_deref().unwrap_or_default();
    assert!(answer.starts_with("session a: ") && answer.contains("VoxrelayRowsDamaged"), "{answer}");
    // Somebody mends it, and has it told.
    damage(&dir, "UPDATE sessions SET client = 'web' WHERE id = 'a'").await;
    assert_eq!(store.replay_delivery("started_a_crm", "root").await.expect("written"), Replayed::Yes);
    deliver_all(&receiver.webhook(), &store).await;
    assert_eq!(receiver.ids(), ["started_b_crm", "started_a_crm"]);
}

#[tokio::test]
async fn a_call_with_a_turn_that_cannot_be_read_is_told_without_it_and_says_so() {
    let (store, dir) = sqlite().await;
    let receiver = Receiver::good().await;
    subscribe(&store).await;
    begin(&store, "a").await;
    let said = [turn(0, Role::User, "hello"), turn(1, Role::Agent, "good morning")];
    store.save_turns("a", 0, &said, Mark::default(), 0).await.expect("written");
    end(&store, "a").await;
    damage(&dir, "UPDATE turns SET text = CAST(X'41C3' AS TEXT) WHERE session_id = 'a' AND turn = 1").await;
    deliver_all(&receiver.webhook(), &store).await;
    let (_, ended) = receiver.got().pop().expect("the last");
    let data = &ended["data"];
    assert_eq!(data["turns"].as_array().map(Vec::len), Some(1), "{data}");
    assert_eq!((&data["more_turns"], &data["damaged"]), (&json!(false), &json!(1)));
}

#[tokio::test]
async fn what_happened_before_a_kill_is_told_after_it() {
    let (store, dir) = sqlite().await;
    subscribe(&store).await;
    begin(&store, "a").await;
    end(&store, "a").await;
    // Dropped without a goodbye, as a killed relay leaves it.
    drop(store);
    let store = SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("a store");
    let receiver = Receiver::good().await;
    deliver_all(&receiver.webhook(), &store).await;
    assert_eq!(receiver.ids(), ["started_a_crm", "ended_a_crm"]);
}

#[tokio::test]
async fn an_event_that_is_refused_comes_again_with_the_same_id_and_gone_ends_it() {
    let (store, _dir) = sqlite().await;
    let bad = StatusCode::SERVICE_UNAVAILABLE;
    let receiver =
        Receiver::start(Duration::ZERO, &[bad, bad, StatusCode::NO_CONTENT, StatusCode::GONE]).await;
    subscribe(&store).await;
    begin(&store, "a").await;
    deliver_all(&receiver.webhook(), &store).await;
    end(&store, "a").await;
    deliver_all(&receiver.webhook(), &store).await;
    assert_eq!(receiver.ids(), ["started_a_crm", "started_a_crm", "started_a_crm", "ended_a_crm"]);
    let listed = store.list_deliveries(&DeliveryFilter::default(), None, 10).await.expect("read").rows;
    let brief: Vec<_> = listed.iter().map(|row| (row.state(), row.attempts, row.answer.as_deref())).collect();
    let (taken, gone) =
        ((DeliveryState::Delivered, 3, Some("204")), (DeliveryState::GivenUp, 1, Some("410")));
    assert!(brief == [gone, taken] || brief == [taken, gone], "{brief:?}");
}

#[tokio::test]
async fn a_message_is_sent_once_more_on_demand_and_an_erased_name_only_until_it_was_heard() {
    let (store, _dir) = sqlite().await;
    let receiver = Receiver::good().await;
    subscribe(&store).await;
    begin(&store, "a").await;
    deliver_all(&receiver.webhook(), &store).await;
    assert_eq!(store.replay_delivery("started_a_crm", "root").await.expect("written"), Replayed::Yes);
    deliver_all(&receiver.webhook(), &store).await;
    assert_eq!(receiver.ids(), ["started_a_crm", "started_a_crm"]);

    store.delete_user("ada", Some("root"), "act").await.expect("erased");
    deliver_all(&receiver.webhook(), &store).await;
    let (id, message) = receiver.got().pop().expect("the last");
    assert_eq!((&message["type"], &message["data"]), (&json!("user.erased"), &json!({ "user_sub": "ada" })));
    assert_eq!(store.replay_delivery(&id, "root").await.expect("read"), Replayed::Forgotten);
    let unknown = store.replay_delivery("started_a_crm", "root").await.expect("read");
    assert_eq!(unknown, Replayed::Unknown, "what is told of an erased session goes with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_on_one_database_tell_each_event_once() {
    let url = postgres::shared().database().await;
    let stores = [
        Arc::new(SqlStore::postgres(&url).await.expect("opened")),
        Arc::new(SqlStore::postgres(&url).await.expect("opened")),
    ];
    let receiver = Receiver::good().await;
    subscribe(&*stores[0]).await;
    for n in 0..20 {
        let (id, store) = (format!("s{n}"), &stores[n % 2]);
        begin(&**store, &id).await;
        end(&**store, &id).await;
    }
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
    let mut ids = receiver.ids();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), receiver.ids().len()), (40, 40), "none of them twice, and none left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_relay_had_claimed_is_told_by_another() {
    let url = postgres::shared().database().await;
    let killed = SqlStore::postgres(&url).await.expect("opened");
    subscribe(&killed).await;
    begin(&killed, "a").await;
    end(&killed, "a").await;
    let claimed = killed.claim_deliveries("crm", Duration::from_millis(200), 8).await.expect("claimed");
    assert_eq!(claimed.len(), 2);
    Store::close(&killed).await;
    let other = SqlStore::postgres(&url).await.expect("opened");
    let receiver = Receiver::good().await;
    let webhook = receiver.webhook();
    let all = timeout(PATIENCE, async {
        while receiver.got().len() < 2 {
            deliver_all(&webhook, &other).await;
            sleep(Duration::from_millis(50)).await;
        }
    });
    all.await.expect("the claim ends");
    assert_eq!(receiver.ids(), ["started_a_crm", "ended_a_crm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_tells_each_address_what_it_wants_to_hear_and_a_slow_one_holds_up_no_other() {
    let slow = Receiver::start(PATIENCE, &[]).await;
    let quick = Receiver::good().await;
    let relay = Relay::with(|config| {
        let hook = |receiver: &Receiver, events: &[HookEvent]| EventHook {
            webhook: receiver.config(),
            events: events.to_vec(),
        };
        config.webhooks.insert("slow".into(), hook(&slow, &HookEvent::ALL));
        config.webhooks.insert("quick".into(), hook(&quick, &[HookEvent::CallEnded]));
    })
    .await;
    let store = &*relay.app.records.store;
    // It names its addresses before it takes calls.
    let answered = relay.whole("GET /livez HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await;
    assert!(answered.0.contains(" 200 "), "{answered:?}");
    begin(store, "a").await;
    until(|| !slow.got().is_empty()).await;
    for n in 0..30 {
        let id = format!("b{n}");
        begin(store, &id).await;
        end(store, &id).await;
    }
    // All of it while the slow one still thinks about its first message.
    until(|| quick.got().len() == 30).await;
    assert!(
        quick.got().iter().all(|(id, message)| id.ends_with("_quick") && message["type"] == "call.ended")
    );
    assert_eq!(slow.ids(), ["started_a_slow"]);
}

/// What counts in this process.
static TELEMETRY: LazyLock<Telemetry> =
    LazyLock::new(|| Telemetry::install().expect("nobody else counts in this process"));

/// Whether so many alerts of this type are counted in this state.
async fn is_counted(app: &relay::App, what: &str, state: &str, count: u32) -> bool {
    let line = format!("voxrelay_alerts_total{{type=\"{what}\",state=\"{state}\"}} {count}");
    TELEMETRY.render(app).await.lines().any(|found| found == line)
}

/// The types and the states of the messages that came.
fn alerts(receiver: &Receiver) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    receiver.got().iter().map(|(_, told)| (word(&told["type"]), word(&told["data"]["state"]))).collect()
}

fn is_told(receiver: &Receiver, what: &str, state: &str) -> bool {
    alerts(receiver).contains(&(what.to_owned(), state.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_asked_any_more_is_an_alert_and_so_is_that_it_is_asked_again() {
    let receiver = Receiver::good().await;
    let (app, _data) = support::app(|config| config.webhook = Some(receiver.config())).await;
    let provider = Provider {
        name: "voice".to_owned(),
        price: Some("voice/small".to_owned()),
        ..local_provider::at("openai-speech", "http://127.0.0.1:9/")
    };
    let upstream = Arc::new(Upstream::new(provider).expect("a client"));
    let upstreams = Upstreams::from([("voice".to_owned(), Arc::clone(&upstream))]);
    let app = Arc::into_inner(app).expect("nobody else has it").with_upstreams(upstreams);
    let mut database = database_of(&app).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let relay = tokio::spawn(relay::run(listener, Arc::new(app)));

    let ask = Ask::Speak("Hello.".to_owned());
    for _ in 0..3 {
        let mut pass = upstream.admit(Time::ZERO, &ask).expect("it is asked");
        pass.note(Time::ZERO, &Event::Failed(Failure::new(FailureKind::Connection, "broke off")));
    }
    until(|| is_told(&receiver, "provider.down", "firing")).await;
    // As if nobody had found it for the minute after which it is over.
    let aged =
        sqlx::query("UPDATE incidents SET found_at = 0").execute(&mut database).await.expect("written");
    assert_eq!(aged.rows_affected(), 1);
    let mut probe = upstream.admit(Time::from_millis(60_000), &ask).expect("its time is over");
    probe.note(Time::from_millis(60_000), &Event::Text("Hel".to_owned()));
    until(|| is_told(&receiver, "provider.down", "resolved")).await;
    assert_eq!(receiver.got().len(), 2, "each of them once");
    assert_eq!(receiver.got()[0].1["data"]["provider"], "voice");
    relay.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_and_answers_that_are_slow_are_alerts() {
    let receiver = Receiver::good().await;
    let (app, _data) = support::app(|config| config.webhook = Some(receiver.config())).await;
    for what in ["calls.failing", "answers.slow"] {
        assert!(is_counted(&app, what, "firing", 0).await, "{what} is counted from the start");
    }
    let store = &*app.records.store;
    for n in 0..20 {
        let (id, reason) = (format!("s{n}"), if n < 2 { "internal" } else { "normal" });
        begin(store, &id).await;
        let latency = Latency { total_ms: Some(4_500), ..Latency::default() };
        let said = [Turn { latency, ..turn(0, Role::Agent, "good morning") }];
        store.save_turns(&id, 0, &said, Mark::default(), 0).await.expect("written");
        store.end_session(&id, 0, reason, Quality::default(), unix_ms()).await.expect("written");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let relay = tokio::spawn(relay::run(listener, Arc::clone(&app)));
    until(|| is_told(&receiver, "calls.failing", "firing") && is_told(&receiver, "answers.slow", "firing"))
        .await;
    let figures = |what: &str, name: &str| {
        let got = receiver.got();
        let (_, told) = got.into_iter().find(|(_, told)| told["type"] == what).expect("it was told");
        told["data"][name].as_u64()
    };
    assert_eq!(figures("calls.failing", "failed_percent"), Some(10));
    assert_eq!(figures("calls.failing", "threshold_percent"), Some(5));
    assert_eq!(figures("answers.slow", "p95_ms"), Some(4_900), "95 of a hundred within the bucket to 5,000");
    assert_eq!(receiver.got().len(), 2, "none of them twice");
    for what in ["calls.failing", "answers.slow"] {
        assert!(is_counted(&app, what, "firing", 1).await, "{what} is counted");
        assert!(is_counted(&app, what, "resolved", 0).await, "{what} is not over");
    }
    relay.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_tells_by_itself_that_its_database_takes_no_writes_and_that_it_does_again() {
    let receiver = Receiver::start(Duration::ZERO, &[StatusCode::SERVICE_UNAVAILABLE]).await;
    let relay = Relay::with(|config| {
        config.webhook = Some(receiver.config());
        config.alerts.store_down = Some(Duration::from_secs(1));
    })
    .await;
    assert!(is_counted(&relay.app, "store.down", "firing", 0).await, "it is counted from the start");
    // It renews its lease before it is asked anything else.
    let answered = relay.whole("GET /livez HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await;
    assert!(answered.0.contains(" 200 "), "{answered:?}");
    let mut database = database_of(&relay.app).await;
    let refuse = "PRAGMA busy_timeout = 5000;
        CREATE TRIGGER no_writes BEFORE INSERT ON relays BEGIN SELECT RAISE(ABORT, 'no room'); END;";
    sqlx::raw_sql(refuse).execute(&mut database).await.expect("made");
    // A relay that is alone renews its lease every five seconds, and the first try to tell it is refused.
    let told = |count: usize| {
        let receiver = Arc::clone(&receiver);
        async move {
            let waited = timeout(2 * PATIENCE, async {
                while receiver.got().len() < count {
                    sleep(Duration::from_millis(20)).await;
                }
            });
            waited.await.expect("in time");
        }
    };
    told(2).await;
    sqlx::raw_sql("DROP TRIGGER no_writes").execute(&mut database).await.expect("dropped");
    told(3).await;
    let got = receiver.got();
    assert_eq!(got[0], got[1], "the same message each time");
    let words: Vec<_> =
        alerts(&receiver).into_iter().map(|(what, state)| format!("{what} {state}")).collect();
    assert_eq!(words, ["store.down firing", "store.down firing", "store.down resolved"]);
    let (down, up) = (&got[0], &got[2]);
    assert_eq!(down.1["data"]["since"], up.1["data"]["since"], "it is one and the same time");
    assert_eq!(down.1["data"]["relay"], relay.app.live.relay_id.as_str());
    let since = |id: &str| id.rsplit('_').next().map(str::to_owned);
    assert!(down.0.starts_with("store_down_") && up.0.starts_with("store_up_"), "{} {}", down.0, up.0);
    assert_eq!(since(&down.0), since(&up.0));
    for state in ["firing", "resolved"] {
        assert!(is_counted(&relay.app, "store.down", state, 1).await, "{state} is counted once");
    }
}
