//! See the crate's page.

mod days;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::routing::post;
use axum::{Json, Router};
use relay::client::{HEARD_RATE, Options, Report, converse, run};
use relay::records::store::{AlertFilter, DATABASE_FILE, SqlStore, Store};
use serde_json::{Value, json};
use tests::http::{get, metric_until};
use tests::ports::free_address;
use tests::sound::{silence, voice};
use tests::stand_ins::{self, KEY, Provider, ask};
use tests::{Raw, Relay, token_but};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};

/// What has no price in the shipped table.
const PRICES: &str = r#"
version = "test"
item = [
  { name = "first/chat", unit = "input_token", usd = "1", per = 1_000_000 },
  { name = "first/chat", unit = "output_token", usd = "5", per = 1_000_000 },
]
"#;

/// The fakes, and a relay whose agent asks an OpenAI-compatible model first and then Anthropic's.
struct Bench {
    fakes: u16,
    metrics: SocketAddr,
    relay: Relay,
}

impl Bench {
    /// With more about the first model.
    async fn start(folder: &Path, more: &str) -> Bench {
        Bench::start_as(folder, more, "", |_| String::new()).await
    }

    /// With a voice over a WebSocket.
    async fn with_voice(folder: &Path) -> Bench {
        let aura = Provider("deepgram-aura", "aura-2-thalia-en", "deepgram/aura-2", "");
        Bench::start_as(folder, "", "tts = \"mouth\"", |fakes| aura.table("mouth", fakes)).await
    }

    /// With two recognisers that hear all of a call.
    async fn with_ears(folder: &Path) -> Bench {
        let nova = Provider("deepgram", "nova-3", "deepgram/nova-3", "");
        let both = |fakes| ["ears", "others"].map(|name| nova.table(name, fakes)).concat();
        Bench::start_as(folder, "", "stt = [\"ears\", \"others\"]", both).await
    }

    /// With two voices over HTTP, on the same wire: the model tells which one is asked.
    async fn with_voices(folder: &Path) -> Bench {
        let both = |fakes| {
            let voices = [("mouth", "tts-1"), ("other", "tts-1-hd")].map(|(name, model)| {
                format!(
                    "[providers.{name}]\nkind = \"openai-speech\"\nurl = \"http://127.0.0.1:{fakes}/v1\"\n\
                    key = \"{KEY}\"\nmodel = \"{model}\"\nprice = \"openai/{model}\"\n"
                )
            });
            voices.concat()
        };
        Bench::start_as(folder, "", "tts = [\"mouth\", \"other\"]", both).await
    }

    async fn start_as(folder: &Path, first: &str, host: &str, more: impl Fn(u16) -> String) -> Bench {
        let fakes = stand_ins::start().await;
        let metrics = free_address();
        std::fs::write(folder.join("prices.toml"), PRICES).expect("ours");
        let config = format!(
            "[metrics]\nlisten = \"{metrics}\"\n[limits]\nsessions_per_user = 100\n\
            [prices]\nfile = \"prices.toml\"\n\
            [agents]\ndefault = \"host\"\n[agents.host]\nllm = [\"first\", \"second\"]\n{host}\n\
            [providers.first]\nurl = \"http://127.0.0.1:{fakes}/v1\"\nkey = \"{KEY}\"\nmodel = \"chat\"\n{first}\n\
            [providers.second]\nkind = \"anthropic\"\nurl = \"http://127.0.0.1:{fakes}/v1\"\nkey = \"{KEY}\"\n\
            model = \"claude-haiku-5-5\"\nprice = \"anthropic/claude-haiku-5-5\"\n{}",
            more(fakes)
        );
        let relay = Relay::start(folder, "127.0.0.1:0", &config).await;
        Bench { fakes, metrics, relay }
    }

    /// What comes next of the first model.
    async fn script(&self, acts: Value) {
        self.script_of("openai.chat", acts).await;
    }

    async fn script_of(&self, wire: &str, acts: Value) {
        ask(self.fakes, "POST", "/script", &json!({ wire: acts }).to_string()).await;
    }

    /// What the fakes were asked.
    async fn log(&self) -> Vec<Value> {
        let log: Value = serde_json::from_str(&ask(self.fakes, "GET", "/log", "").await).expect("JSON");
        log["requests"].as_array().expect("a list").clone()
    }

    /// How often each model was asked.
    async fn asked(&self) -> (usize, usize) {
        let requests = self.log().await;
        let of = |wire: &str| requests.iter().filter(|request| request["wire"] == *wire).count();
        (of("openai.chat"), of("anthropic.messages"))
    }

    /// A call that types a text and is answered.
    fn call(&self, text: &str) -> impl Future<Output = Report> + Send + use<> {
        self.talk(&[text])
    }

    /// A call that types these texts, each when the one before was answered.
    fn talk(&self, texts: &[&str]) -> impl Future<Output = Report> + Send + use<> {
        let options = Options {
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            longest: Duration::from_secs(60),
            ..Options::new(self.relay.url(), token_but(&json!({})), Vec::new())
        };
        async move {
            let report = run(options, |_| {}).await;
            assert!(report.is_good(), "{report:?}");
            let answer = report.turns.last().expect("answered");
            assert!(answer.text.starts_with("You said"), "{report:?}");
            report
        }
    }

    /// So many calls at once.
    async fn calls(&self, count: usize) -> Vec<Report> {
        let calls: Vec<_> = (0..count).map(|n| tokio::spawn(self.call(&format!("Number {n}")))).collect();
        let mut reports = Vec::new();
        for call in calls {
            reports.push(call.await.expect("it was answered"));
        }
        reports
    }

    async fn metric(&self, series: &str) -> String {
        let text = get(self.metrics, "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).to_owned()
    }
}

/// A receiver of alerts: its port, and what has come there.
async fn receiver() -> (u16, Arc<Mutex<Vec<Value>>>) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = got.clone();
    let take = move |Json(alert): Json<Value>| {
        kept.lock().expect("no panic").push(alert);
        async {}
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let routes = Router::new().route("/alerts", post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (port, got)
}

/// The items that these calls were billed for.
async fn items(folder: &Path, reports: &[Report]) -> Vec<String> {
    let store = SqlStore::sqlite(&folder.join("data").join(DATABASE_FILE)).await.expect("it is there");
    let mut items = Vec::new();
    for report in reports {
        let rows = store.ledger(report.session_id.as_deref().expect("it was there")).await.expect("readable");
        items.extend(rows.into_iter().map(|row| row.item));
    }
    items.sort_unstable();
    items.dedup();
    items
}

/// How long something sounds in what was heard.
fn loud_seconds(heard: &[f32]) -> f64 {
    let pieces = heard.chunks_exact(HEARD_RATE as usize / 20);
    pieces.filter(|piece| piece.iter().any(|sample| sample.abs() > 0.05)).count() as f64 * 0.05
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_found_out_by_one_call_and_every_call_is_answered_by_the_stand_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start(folder.path(), "").await;
    bench.script(json!([{ "refuse": { "status": 401 }, "times": 100 }])).await;
    let mut reports = vec![bench.call("Hello").await];
    assert_eq!(bench.asked().await, (1, 1));
    reports.extend(bench.calls(8).await);
    assert_eq!(bench.asked().await, (1, 9), "nobody asks with that key again");
    assert_eq!(bench.metric("voxrelay_provider_circuit{provider=\"first\"}").await, "2");
    assert_eq!(bench.metric("voxrelay_provider_opened_total{provider=\"first\"}").await, "1");
    let open = "voxrelay_provider_requests_total{provider=\"first\",outcome=\"circuit_open\"}";
    assert_eq!(bench.metric(open).await, "8");
    bench.relay.terminate().await;
    assert_eq!(
        items(folder.path(), &reports).await,
        ["anthropic/claude-haiku-5-5"],
        "the other one has told nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_was_down_is_probed_by_one_call_while_the_others_go_on_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start(folder.path(), "").await;
    bench
        .script(json!([
            { "refuse": { "status": 429, "headers": { "retry-after": "1" } } },
            // The probe: it is answered long after all others were.
            { "pace": { "head_ms": 8_000 } },
        ]))
        .await;
    bench.call("Hello").await;
    assert_eq!(bench.asked().await, (1, 1));
    sleep(Duration::from_millis(1_100)).await;
    bench.calls(6).await;
    assert_eq!(bench.asked().await, (2, 6), "one of them asked, and five did without");
    assert_eq!(bench.metric("voxrelay_provider_circuit{provider=\"first\"}").await, "0");
    bench.calls(3).await;
    assert_eq!(bench.asked().await, (5, 6), "it answers again");
    bench.relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn above_its_limit_a_provider_is_left_to_those_who_have_it_and_the_next_one_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start(folder.path(), "max_concurrent = 1").await;
    bench.script(json!([{ "pace": { "head_ms": 8_000 } }])).await;
    let slow = tokio::spawn(bench.call("Slowly"));
    while bench.asked().await != (1, 0) {
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bench.metric("voxrelay_provider_in_use{provider=\"first\"}").await, "1");
    bench.calls(3).await;
    assert_eq!(bench.asked().await, (1, 3), "one at a time");
    slow.await.expect("it was answered in the end");
    assert_eq!(bench.metric("voxrelay_provider_in_use{provider=\"first\"}").await, "0");
    bench.call("Hello").await;
    assert_eq!(bench.asked().await, (2, 3), "its place is free");
    bench.relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_waits_for_the_connection_to_its_model_and_a_second_call_makes_no_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::start(folder.path(), "").await;
    let opened = async |opened: &str| {
        let series = format!("voxrelay_provider_connections_total{{provider=\"first\",opened=\"{opened}\"}}");
        bench.metric(&series).await
    };
    let (types, lines) = mpsc::channel(3);
    let options = Options {
        longest: Duration::from_secs(60),
        ..Options::new(bench.relay.url(), token_but(&json!({})), Vec::new())
    };
    let call = tokio::spawn(async move { converse(options, Some(lines), |_| {}).await });
    while opened("ahead").await != "1" {
        sleep(Duration::from_millis(50)).await;
    }
    // Nobody has said a word in so short a time.
    sleep(Duration::from_secs(1)).await;
    for text in ["one", "two", "three"] {
        types.send(text.to_owned()).await.expect("the call goes on");
    }
    drop(types);
    let report = call.await.expect("no panic");
    assert!(report.is_good(), "{report:?}");
    bench.talk(&["four", "five"]).await;
    assert_eq!(bench.asked().await, (5, 0));
    assert_eq!((&*opened("needed").await, &*opened("ahead").await), ("0", "1"));
    bench.relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_a_price_of_listening_if_somebody_listens() {
    for hears in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = match hears {
            false => Bench::start(folder.path(), "").await,
            true => Bench::with_ears(folder.path()).await,
        };
        let (_raw, welcome) = Raw::welcomed(&bench.relay, "ada").await;
        let by_the_second = welcome.prices.items.iter().any(|price| price.unit == "second");
        assert_eq!(by_the_second, hears, "{:?}", welcome.prices);
        bench.relay.terminate().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_waits_for_the_socket_of_its_voice() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::with_voice(folder.path()).await;
    bench.talk(&["one", "two"]).await;
    let opened = async |opened: &str| {
        let series = format!("voxrelay_provider_connections_total{{provider=\"mouth\",opened=\"{opened}\"}}");
        bench.metric(&series).await
    };
    assert_eq!(opened("needed").await, "0");
    let ahead = opened("ahead").await;
    assert!(matches!(&*ahead, "3" | "4"), "one for each answer, and at most one more behind each: {ahead}");
    // What nobody takes is closed, and its place is free.
    while bench.metric("voxrelay_provider_in_use{provider=\"mouth\"}").await != "0" {
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(bench.metric("voxrelay_provider_sockets_ahead{provider=\"mouth\"}").await, "0");
    bench.relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_breaks_off_after_its_first_sound_leaves_no_word_unsaid_and_says_none_of_a_prepared_sentence()
 {
    const COUNT: &str = "One two three four five six seven eight nine ten.";
    const LAST: &str = "That was all.";
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::with_voices(folder.path()).await;
    // The second sentence is asked for while the first one sounds. Its voice breaks off first, and then that of the first one, after a second.
    let text = format!("{COUNT} {LAST}");
    bench.script(json!([{ "pace": { "between_ms": 200 }, "think": { "text": text } }])).await;
    let breaks = |at: u32, after_ms: u32| json!({ "faults": [{ "at": at, "kind": "wait", "ms": after_ms }, { "at": at, "kind": "drop" }] });
    bench.script_of("openai.speech", json!([breaks(10, 2_000), breaks(2, 300)])).await;
    let options = Options {
        texts: vec!["Count.".to_owned()],
        longest: Duration::from_secs(60),
        ..Options::new(bench.relay.url(), token_but(&json!({})), Vec::new())
    };
    let report = run(options, |_| {}).await;
    assert!(report.is_good() && report.errors.is_empty(), "{report:?}");
    let log = bench.log().await;
    bench.relay.terminate().await;

    let asked = log.iter().filter(|request| request["wire"] == "openai.speech");
    let asked = asked.map(|request| &request["body"]);
    let asked: Vec<_> = asked.filter_map(|body| body["model"].as_str().zip(body["input"].as_str())).collect();
    assert_eq!(asked.len(), 4, "{asked:?}");
    let first = [("tts-1", COUNT), ("tts-1", LAST), ("tts-1-hd", LAST)];
    assert_eq!(asked[..3], first, "nobody has heard any of the last sentence");
    let (by, rest) = asked[3];
    let sounded = COUNT.strip_suffix(rest).unwrap_or_else(|| panic!("it goes on with {rest:?}"));
    assert!(by == "tts-1-hd" && ["One two ", "One two three "].contains(&sounded), "{asked:?}");

    // The second of the count, the rest of it, and the last sentence, at 60 ms a character.
    let (heard, said) = (loud_seconds(&report.heard), 1.0 + (rest.len() + LAST.len()) as f64 * 0.06);
    assert!((heard - said).abs() < 0.4, "{heard} s were heard, and {said} s were spoken");
    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("it is there");
    let id = report.session_id.as_deref().expect("it was there");
    let turns = store.turns(id).await.expect("readable");
    let answer = &turns.last().expect("answered").turn;
    assert_eq!((answer.text.trim(), answer.heard), (&*text, Some(answer.end)), "each word once");
    let rows = store.ledger(id).await.expect("readable");
    let characters = |item: &str| -> u64 {
        let of = rows.iter().filter(|row| row.item == item && row.unit == "character");
        of.map(|row| row.quantity).sum()
    };
    let given = |model: &str| -> u64 {
        let of = asked.iter().filter(|(by, _)| *by == model);
        of.map(|(_, text)| text.len() as u64).sum()
    };
    for model in ["tts-1", "tts-1-hd"] {
        assert_eq!(characters(&format!("openai/{model}")), given(model), "what it was given: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_second_recogniser_hears_again_is_on_the_bill_as_its_provider_has_it_and_costs_the_user_nothing()
 {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::with_ears(folder.path()).await;
    // The first one breaks off while the user speaks.
    bench
        .script_of("deepgram.listen", json!([{ "faults": [{ "at": 2, "kind": "close", "code": 1011 }] }]))
        .await;
    let speech = [silence(0.5), voice(2.0), silence(1.5)].concat();
    let options = Options {
        longest: Duration::from_secs(60),
        ..Options::new(bench.relay.url(), token_but(&json!({})), speech)
    };
    let report = run(options, |_| {}).await;
    let said: Vec<&str> = report.turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(said.len(), 2, "{report:?}");
    assert!(
        said[0].to_lowercase().starts_with("word one two"),
        "heard whole, from its first word on: {said:?}"
    );
    let log = bench.log().await;
    let billed: Vec<f64> = log.iter().filter_map(|request| request["bill"]["seconds"].as_f64()).collect();
    assert_eq!(log.iter().filter(|request| request["wire"] == "deepgram.listen").count(), 2, "{log:?}");
    bench.relay.terminate().await;
    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("it is there");
    let rows = store.ledger(report.session_id.as_deref().expect("it was there")).await.expect("readable");
    let seconds = |unit: &str| -> f64 {
        let of = rows.iter().filter(|row| row.unit == unit).map(|row| row.quantity);
        of.sum::<u64>() as f64 / 16_000.0
    };
    let (heard, again) = (seconds("sample"), seconds("repeated_sample"));
    assert!(again > 0.5, "{rows:?}");
    // A chunk or two may be on their way when a connection breaks.
    assert!((heard + again - billed.iter().sum::<f64>()).abs() < 0.5, "{heard} and {again} of {billed:?}");
    assert!(
        rows.iter().filter(|row| row.unit == "repeated_sample").all(|row| row.cost.get() == 0),
        "{rows:?}"
    );
    let spoken = report.spoken as f64 / 16_000.0;
    assert!((heard - spoken).abs() < 0.01, "the user pays for what was said: {heard} s of {spoken} s");
    let cost: u64 = rows.iter().map(|row| row.cost.get()).sum();
    assert_eq!(cost, report.usage.cost_nano_usd, "and is told so");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_reports_beyond_what_was_set_aside_costs_nobody_anything_and_is_told_to_the_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let (port, alerts) = receiver().await;
    let webhook = move |_| {
        format!(
            "[webhook]\nurl = \"http://127.0.0.1:{port}/alerts\"\nsecret = \"of nobody who has to check it at all\"\n"
        )
    };
    let bench = Bench::start_as(folder.path(), "", "", webhook).await;
    bench
        .script(json!([{ "think": { "text": "You said so.", "usage": { "input_tokens": 20, "output_tokens": 7_000_000 } } }]))
        .await;
    let report = bench.call("Hello").await;
    while alerts.lock().expect("no panic").is_empty() {
        sleep(Duration::from_millis(100)).await;
    }
    let told = alerts.lock().expect("no panic")[0].clone();
    let excess: u64 = bench.metric("voxrelay_excess_nano_usd_total").await.parse().expect("a number");
    // It is counted once it was answered.
    let delivered = "voxrelay_webhook_deliveries_total{outcome=\"delivered\"}";
    metric_until(bench.metrics, delivered, |count| count == 1.0).await;
    bench.relay.terminate().await;
    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("it is there");
    let id = report.session_id.as_deref().expect("it was there");
    let rows = store.ledger(id).await.expect("readable");
    let of = |unit: &str| -> u64 { rows.iter().filter(|row| row.unit == unit).map(|row| row.quantity).sum() };
    let (charged, beyond) = (of("output_token"), of("excess_output_token"));
    assert_eq!((of("input_token"), charged + beyond), (20, 7_000_000), "{rows:?}");
    // What is set aside for a prompt of some bytes and an answer of 500 tokens.
    assert!((500..1_500).contains(&charged), "{rows:?}");
    assert!(rows.iter().all(|row| row.unit != "excess_output_token" || row.cost.get() == 0), "{rows:?}");
    assert_eq!(excess, beyond * 5_000, "at five dollars a million");
    let session = store.session(id).await.expect("readable").expect("there");
    assert_eq!((session.cost.get(), session.tokens), (20 * 1_000 + charged * 5_000, 20 + charged));
    assert_eq!(report.usage.cost_nano_usd, session.cost.get(), "the page was told the same");
    assert_eq!((&told["type"], &told["data"]["item"]), (&json!("provider.excess"), &json!("first/chat")));
    assert_eq!((&told["data"]["excess_nano_usd"], &told["data"]["session_id"]), (&json!(excess), &json!(id)));
    let listed = store.list_alerts(&AlertFilter::default(), None, 10).await.expect("readable").rows;
    assert_eq!(listed.len(), 1, "{listed:?}");
}
