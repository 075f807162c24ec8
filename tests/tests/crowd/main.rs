//! Many spoken conversations at once, behind a proxy of `deploy/`, while one relay of two is killed: nobody loses a word, nobody says one twice, and
//! the ledger says what was said.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use protocol::client::{Event, State};
use protocol::{CloseCode, Role};
use relay::client::{Options, Report, run};
use relay::records::store::{SqlStore, Store};
use serde_json::json;
use tests::postgres::shared;
use tests::proxy::{Kind, Proxy};
use tests::sound::{silence, voice};
use tests::{Relay, token_but};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Conversations at once.
const CALLS: usize = 100;
/// What each of them says: so many words, and a pause in which that is answered.
const PHRASES: [usize; 6] = [2, 4, 1, 5, 3, 2];
const PAUSE_SECONDS: f64 = 4.0;
/// When one relay is killed, after the first of them have spoken: all are in the middle of something.
const KILLED_AFTER: Duration = Duration::from_secs(12);
/// What the stand-in for a recogniser hears in 400 ms of loud sound, one after another.
const WORDS: [&str; 6] = ["word", "one", "two", "three", "four", "five"];
/// What has no price in the shipped table.
const PRICES: &str = r#"
version = "test"
item = [
  { name = "openai/chat", unit = "input_token", usd = "1", per = 1_000_000 },
  { name = "openai/chat", unit = "output_token", usd = "5", per = 1_000_000 },
]
"#;

/// The stand-ins for the providers, on a port of their own.
async fn fakes() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(listener, fakes::router("key".to_owned())).await });
    port
}

fn config(port: u16) -> String {
    let mut config = "[network]\ntrusted_proxies = [\"127.0.0.1\"]\n[prices]\nfile = \"prices.toml\"\n[agents]\ndefault = \"host\"\n\
        [agents.host]\nstt = \"ears\"\nllm = \"mind\"\ntts = \"mouth\"\ninstructions = \"Be brief.\"\n"
        .to_owned();
    for (name, kind, version, model, price) in [
        ("ears", "deepgram", "", "nova-3", "deepgram/nova-3"),
        ("mind", "openai-chat", "/v1", "small", "openai/chat"),
        ("mouth", "openai-speech", "/v1", "tts-1", "openai/tts-1"),
    ] {
        config += &format!(
            "[providers.{name}]\nkind = \"{kind}\"\nurl = \"http://127.0.0.1:{port}{version}\"\nkey = \"key\"\nmodel = \"{model}\"\n\
            price = \"{price}\"\nlanguage = \"en\"\n"
        );
    }
    config
}

/// What one of them says. They do not speak in step.
fn speech(caller: usize) -> Vec<i16> {
    let mut speech = silence(0.3 + (caller % 20) as f64 / 10.0);
    for words in PHRASES {
        speech.extend(voice(0.4 * words as f64 + 0.2));
        speech.extend(silence(PAUSE_SECONDS));
    }
    speech
}

/// The words of a phrase, as the recogniser's stand-in hears them.
fn text(words: usize) -> String {
    WORDS[..words].join(" ")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute and all of a machine: cargo xtask test --all"]
#[expect(clippy::print_stdout, reason = "how long it took is for whoever looks")]
async fn a_hundred_conversations_go_on_when_one_relay_of_two_is_killed() {
    let port = fakes().await;
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let relays = folders.each_ref().map(|folder| {
        std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
        folder.path()
    });
    let config = config(port);
    let first = Relay::start_on(&database, relays[0], &config).await;
    let second = Relay::start_on(&database, relays[1], &config).await;
    let proxy = Proxy::start(Kind::Nginx, [first.address, second.address]).await;

    let calls: Vec<_> = (0..CALLS)
        .map(|caller| {
            let token = token_but(&json!({ "sub": format!("caller {caller}") }));
            let options = Options {
                longest: Duration::from_secs(120),
                ..Options::new(proxy.url(), token, speech(caller))
            };
            tokio::spawn(async move {
                let mut states = Vec::new();
                let report = run(options, |event| {
                    if let Event::State(state) = event {
                        states.push((Instant::now(), *state));
                    }
                });
                (report.await, states)
            })
        })
        .collect();
    sleep(KILLED_AFTER).await;
    let killed = Instant::now();
    first.kill().await;
    let calls: Vec<(Report, Vec<(Instant, State)>)> =
        join_all(calls).await.into_iter().map(|call| call.expect("no panic")).collect();

    let mut back: Vec<Duration> = calls
        .iter()
        .filter(|(report, _)| report.reconnects > 0)
        .filter_map(|(_, states)| {
            let again = states.iter().filter(|(at, state)| *at > killed && *state == State::Connected);
            again.map(|(at, _)| at.duration_since(killed)).next_back()
        })
        .collect();
    back.sort();
    assert!(back.len() > CALLS / 4, "the proxy has given both relays calls: {}", back.len());
    println!(
        "{CALLS} conversations; {} were back after {:?} (median), {:?} (99 of 100), {:?} (the last one)",
        back.len(),
        back[back.len() / 2],
        back[(back.len() * 99).div_ceil(100) - 1],
        back[back.len() - 1],
    );

    let store = SqlStore::postgres(&database).await.expect("opened");
    let said: Vec<String> = PHRASES.iter().map(|words| text(*words)).collect();
    let mut wrong = BTreeMap::new();
    for (caller, (report, _)) in calls.iter().enumerate() {
        if let Err(what) = check(&store, report, &said).await {
            wrong.insert(caller, what);
        }
    }
    assert!(wrong.is_empty(), "{} of {CALLS}: {wrong:#?}", wrong.len());
    second.terminate().await;
}

/// What is wrong with the record of a call in which this was said, if anything is.
async fn check(store: &SqlStore, report: &Report, said: &[String]) -> Result<(), String> {
    if report.ended != Some(CloseCode::Normal) || report.missing() > 0 {
        return Err(format!(
            "it ended with {:?}, {} samples are missing: {:?}",
            report.ended,
            report.missing(),
            report.errors
        ));
    }
    let id = report.session_id.as_deref().ok_or("there was no session")?;
    let session = store.session(id).await.map_err(|error| error.to_string())?.ok_or("it is not stored")?;
    let turns = store.turns(id).await.map_err(|error| error.to_string())?;
    let of =
        |role: Role| turns.iter().filter(move |row| row.turn.role == role).map(|row| row.turn.text.as_str());
    let heard: Vec<String> = of(Role::User).map(str::to_lowercase).collect();
    if heard != said {
        return Err(format!("{said:?} was said, and {heard:?} stands in the transcript"));
    }
    if of(Role::Agent).count() < said.len() {
        return Err(format!("not everything was answered: {turns:#?}"));
    }
    let ledger = store.ledger(id).await.map_err(|error| error.to_string())?;
    let cost: u64 = ledger.iter().map(|row| row.cost.get()).sum();
    if cost != session.cost.get() || report.usage.cost_nano_usd != cost {
        return Err(format!(
            "the ledger says {cost}, the session {}, the page was told {}",
            session.cost, report.usage.cost_nano_usd
        ));
    }
    let heard = ledger.iter().filter(|row| row.unit == "sample");
    let heard: u64 = heard.map(|row| row.quantity).sum();
    if (heard, session.audio_samples) != (report.spoken, report.spoken) {
        return Err(format!(
            "{} samples were said, {} are metered, {heard} stand in the ledger",
            report.spoken, session.audio_samples
        ));
    }
    Ok(())
}
