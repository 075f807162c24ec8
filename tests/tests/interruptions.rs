//! What is counted and stored of an answer over which the user made a sound: one that went on, and one that was cut.

use std::net::Ipv4Addr;

use protocol::{CloseCode, Role};
use relay::client::{Options, run};
use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use serde_json::{Value, json};
use tests::sound::{silence, voice};
use tests::{Relay, token_but};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Duration;

const KEY: &str = "fake-key";
/// What the agent says first. Its voice takes 60 ms a character.
const STORY: &str = "The tower was built in a year and stands on the hill above the town, where everybody can see it from far away, even at night.";

/// What has no price in the shipped table.
const PRICES: &str = r#"
version = "test"
item = [
  { name = "openai/whisper", unit = "second", usd = "0.006", per = 60 },
  { name = "openai/chat", unit = "input_token", usd = "1", per = 1_000_000 },
  { name = "openai/chat", unit = "output_token", usd = "5", per = 1_000_000 },
]
"#;

/// What became of the story.
#[derive(Debug)]
struct Fate {
    interruptions: String,
    false_interruptions: String,
    /// As it is stored.
    text: String,
    /// Whether all of its sound was heard, as the store has it.
    is_whole: bool,
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    listener.local_addr().expect("bound").port()
}

async fn http(port: u16, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("it listens");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

/// The value of a counter without labels.
fn counted(metrics: &str, name: &str) -> String {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).to_owned()
}

/// A call whose user makes a sound for a second while the agent tells its story, in which the recogniser finds these words.
async fn spoken_over(words: &str) -> Fate {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let fakes = listener.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(listener, fakes::router(KEY.to_owned())).await });
    let script: Value = json!({ "openai.transcriptions": [{ "times": 9, "hear": { "texts": [words] } }] });
    http(fakes, "POST", "/script", &script.to_string()).await;

    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
    let metrics = free_port().await;
    let mut config = format!(
        "[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n[prices]\nfile = \"prices.toml\"\n[agents]\ndefault = \"teller\"\n\
        [agents.teller]\nstt = \"ears\"\nllm = \"mind\"\ntts = \"mouth\"\ngreeting = \"{STORY}\"\n"
    );
    for (name, kind, model, price) in [
        ("ears", "openai-transcription", "whisper-1", "openai/whisper"),
        ("mind", "openai-chat", "small", "openai/chat"),
        ("mouth", "openai-speech", "tts-1", "openai/tts-1"),
    ] {
        config += &format!(
            "[providers.{name}]\nkind = \"{kind}\"\nurl = \"http://127.0.0.1:{fakes}/v1\"\nkey = \"{KEY}\"\n\
            model = \"{model}\"\nprice = \"{price}\"\n"
        );
    }
    let relay = Relay::start(folder.path(), "127.0.0.1:0", &config).await;
    let speech = [silence(2.0), voice(1.0), silence(1.0)].concat();
    let options = Options {
        longest: Duration::from_secs(60),
        ..Options::new(relay.url(), token_but(&json!({})), speech)
    };
    let report = run(options, |_| {}).await;
    assert_eq!((report.ended, report.errors.len()), (Some(CloseCode::Normal), 0), "{report:?}");
    let said = http(metrics, "GET", "/metrics", "").await;
    relay.terminate().await;

    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("it is there");
    let turns = store.turns(report.session_id.as_deref().expect("it was there")).await.expect("readable");
    let mut answers = turns.into_iter().map(|row| row.turn).filter(|turn| turn.role == Role::Agent);
    let story = answers.next().expect("it was told");
    Fate {
        interruptions: counted(&said, "voxrelay_interruptions_total"),
        false_interruptions: counted(&said, "voxrelay_false_interruptions_total"),
        text: story.text,
        is_whole: story.heard.is_none_or(|heard| heard >= story.end),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_held_and_went_on_counts_as_falsely_interrupted_and_is_stored_whole() {
    let fate = spoken_over("Mhm.").await;
    assert_eq!((&*fate.interruptions, &*fate.false_interruptions), ("0", "1"), "{fate:?}");
    assert_eq!((fate.text.trim(), fate.is_whole), (STORY, true), "{fate:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_cut_counts_as_interrupted_and_is_stored_as_far_as_it_was_heard() {
    let fate = spoken_over("please wait a moment").await;
    assert_eq!((&*fate.interruptions, &*fate.false_interruptions), ("1", "0"), "{fate:?}");
    let text = fate.text.trim();
    assert!(!text.is_empty() && text != STORY && STORY.starts_with(text), "{fate:?}");
    assert!(!fate.is_whole, "{fate:?}");
}
