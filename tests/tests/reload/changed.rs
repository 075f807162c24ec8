//! What is different for whoever calls or is told, once a relay that runs has read another configuration.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use protocol::{ClientMessage, RelayMessage};
use relay::client::{Options, Report, run};
use relay::config::Secret;
use relay::operations::webhook::sign;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::http::request;
use tests::stand_ins::{self, KEY, PRICES, Provider, ask};
use tests::{Heard, Raw, Relay, alone, chunk, hello, token_but};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A relay whose configuration changes while it runs.
struct Changing {
    folder: TempDir,
    relay: Relay,
    /// How often it has read another one.
    times: usize,
}

impl Changing {
    async fn start(config: &str) -> Changing {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
        let log = std::fs::File::create(folder.path().join("log")).expect("ours");
        let relay = Relay::start_logging(folder.path(), "127.0.0.1:0", config, Stdio::from(log)).await;
        Changing { folder, relay, times: 0 }
    }

    /// Lets it read this, and waits until it applies.
    async fn read(&mut self, config: &str) {
        let config = alone(self.folder.path(), config);
        std::fs::write(self.folder.path().join("voxrelay.toml"), config).expect("ours");
        self.relay.signal("-HUP").await;
        self.times += 1;
        let since = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("log")).expect("ours");
            if log.matches("read again, and applies").count() == self.times {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "it is not read again: {log}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A call of somebody with a plan, or the code of the error with which it is refused.
async fn call_by_plan(relay: &Relay) -> Result<Raw, String> {
    let token = token_but(&json!({ "app_metadata": { "plan": "pro" } }));
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(&token, None)).to_json()).await;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(_)) => return Ok(raw),
            Heard::Said(RelayMessage::ErrorMessage(error)) => return Err(error.code),
            Heard::Closed(code) => panic!("closed with {code} without a word"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_gets_another_limit_or_is_gone_is_another_limit_for_the_next_call() {
    let plan = |sessions: u32| {
        format!("[limits]\nsessions_per_user = 3\n[plans.pro]\nsessions_per_user = {sessions}\n")
    };
    let refused = || Some("session_limit".to_owned());
    let mut changing = Changing::start(&plan(1)).await;
    let _first = call_by_plan(&changing.relay).await.expect("there is a place");
    assert_eq!(call_by_plan(&changing.relay).await.err(), refused());

    changing.read(&plan(2)).await;
    let _second = call_by_plan(&changing.relay).await.expect("there are two places");
    assert_eq!(call_by_plan(&changing.relay).await.err(), refused());

    changing.read("[limits]\nsessions_per_user = 3\n").await;
    let _third = call_by_plan(&changing.relay).await.expect("there are three, as for whoever has no plan");
    assert_eq!(call_by_plan(&changing.relay).await.err(), refused());
    changing.relay.terminate().await;
}

/// What messages are signed with, before and after the change.
const SECRETS: [&str; 2] =
    ["a secret of before, which has more than 32 bytes", "a secret of afterwards, of more than 32 bytes"];

/// Where a message came, of which type it is, and with which of the secrets it is signed.
type Told = (String, String, Option<usize>);

/// A server of the operator's: its port, and what has come there.
async fn operator() -> (u16, Arc<Mutex<Vec<Told>>>) {
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let routes = Router::new().fallback(take).with_state(Arc::clone(&told));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (port, told)
}

async fn take(State(told): State<Arc<Mutex<Vec<Told>>>>, uri: Uri, headers: HeaderMap, body: String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp").parse().expect("seconds"));
    let signed = |secret: &str| sign(&[Secret::new(secret.to_owned())], id, seconds, &body);
    let by = SECRETS.into_iter().position(|secret| header("webhook-signature") == signed(secret));
    let message: Value = serde_json::from_str(&body).expect("JSON");
    let kind = message["type"].as_str().expect("a type").to_owned();
    told.lock().expect("no panic").push((uri.path().to_owned(), kind, by));
}

/// A call that uses up its budget of two and a half seconds, on the way past three thresholds.
async fn spend(relay: &Relay, sub: &str) {
    let (mut raw, _) = Raw::welcomed(relay, sub).await;
    for seq in 0..40 {
        raw.send(Message::binary(chunk(seq))).await;
    }
    assert_eq!(raw.end().await.1, 4402, "its money is used up");
}

/// Waits until so many events are known to have arrived: one of which that is not known yet would be sent to the next address once more.
async fn until_noted(relay: &Relay, events: usize) {
    let since = Instant::now();
    loop {
        let (status, listed) = request(relay, "GET", "/v1/admin/webhooks?state=delivered", "").await;
        if listed.matches("_crm\"").count() == events {
            return;
        }
        assert!(status == 200 && since.elapsed() < PATIENCE, "{status}: {listed}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_events_go_to_the_new_addresses_and_are_signed_with_the_new_secrets() {
    let (port, told) = operator().await;
    let config = |place: usize| {
        let secret = SECRETS[place];
        format!(
            "[limits]\nsession_usd = \"0.000204\"\n\
            [webhook]\nurl = \"http://127.0.0.1:{port}/alerts/{place}\"\nsecret = {secret:?}\n\
            [webhooks.crm]\nurl = \"http://127.0.0.1:{port}/events/{place}\"\nsecret = {secret:?}\n\
            events = [\"call.ended\"]\n"
        )
    };
    let came = async |place: usize| {
        let alert = (format!("/alerts/{place}"), "budget.threshold".to_owned(), Some(place));
        let event = (format!("/events/{place}"), "call.ended".to_owned(), Some(place));
        let expected = [alert.clone(), alert.clone(), alert, event];
        let since = Instant::now();
        loop {
            let mut told = told.lock().expect("no panic").clone();
            if told.len() >= expected.len() * (place + 1) {
                let mut newest = told.split_off(expected.len() * place);
                newest.sort();
                assert_eq!(newest, expected);
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{told:?}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    let mut changing = Changing::start(&config(0)).await;
    spend(&changing.relay, "ada").await;
    came(0).await;
    until_noted(&changing.relay, 1).await;
    changing.read(&config(1)).await;
    spend(&changing.relay, "bob").await;
    came(1).await;
    changing.relay.terminate().await;
}

/// A call in which something is typed.
async fn typed(relay: &Relay) -> Report {
    let options = Options {
        texts: vec!["Hello".to_owned()],
        longest: Duration::from_secs(5),
        ..Options::new(relay.url(), token_but(&json!({})), Vec::new())
    };
    run(options, |_| {}).await
}

/// Whether each question to the model came with the right key, in their order.
async fn keys(port: u16) -> Vec<bool> {
    let log: Value = serde_json::from_str(&ask(port, "GET", "/log", "").await).expect("JSON");
    let requests = log["requests"].as_array().expect("a list").iter();
    requests.filter(|request| request["wire"] == "openai.chat").map(|one| one["key"] == "right").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_key_is_mended_answers_the_next_call_although_it_was_not_asked_any_more() {
    let port = stand_ins::start().await;
    let right =
        "[agents]\ndefault = \"host\"\n[agents.host]\nllm = \"mind\"\n[prices]\nfile = \"prices.toml\"\n"
            .to_owned()
            + &Provider("openai-chat", "small", "openai/chat", "").table("mind", port);
    let wrong = right.replace(KEY, "a key of yesterday");
    let is_answered = |report: &Report| report.turns.iter().any(|turn| turn.text.starts_with("You said"));
    let mut changing = Changing::start(&wrong).await;
    let before = typed(&changing.relay).await;
    assert!(!is_answered(&before), "{before:?}");
    let asked = keys(port).await;
    assert!(!asked.is_empty() && !asked.contains(&true), "{asked:?}");

    changing.read(&right).await;
    let after = typed(&changing.relay).await;
    assert!(is_answered(&after), "{after:?}");
    assert_eq!(keys(port).await[asked.len()..], [true]);
    changing.relay.terminate().await;
}
