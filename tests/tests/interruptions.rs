//! What is counted and stored of an answer over which the user made a sound: one that went on, and one that was cut.

use protocol::{CloseCode, Role};
use relay::client::{Options, run};
use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use serde_json::{Value, json};
use tests::http::{free_address, get};
use tests::sound::{silence, voice};
use tests::stand_ins::{self, PRICES, Provider, ask};
use tests::{Relay, token_but};
use tokio::time::Duration;

/// What the agent says first. Its voice takes 60 ms a character.
const STORY: &str = "The tower was built in a year and stands on the hill above the town, where everybody can see it from far away, even at night.";

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

/// The value of a counter without labels.
fn counted(metrics: &str, name: &str) -> String {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).to_owned()
}

/// A call whose user makes a sound for a second while the agent tells its story, in which the recogniser finds these words.
async fn spoken_over(words: &str) -> Fate {
    let fakes = stand_ins::start().await;
    let script: Value = json!({ "openai.transcriptions": [{ "times": 9, "hear": { "texts": [words] } }] });
    ask(fakes, "POST", "/script", &script.to_string()).await;

    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
    let metrics = free_address().await;
    let mut config = format!(
        "[metrics]\nlisten = \"{metrics}\"\n[prices]\nfile = \"prices.toml\"\n[agents]\ndefault = \"teller\"\n\
        [agents.teller]\nstt = \"ears\"\nllm = \"mind\"\ntts = \"mouth\"\ngreeting = \"{STORY}\"\n"
    );
    for (name, provider) in [
        ("ears", Provider("openai-transcription", "whisper-1", "openai/whisper", "")),
        ("mind", Provider("openai-chat", "small", "openai/chat", "")),
        ("mouth", Provider("openai-speech", "tts-1", "openai/tts-1", "")),
    ] {
        config += &provider.table(name, fakes);
    }
    let relay = Relay::start(folder.path(), "127.0.0.1:0", &config).await;
    let speech = [silence(2.0), voice(1.0), silence(1.0)].concat();
    let options = Options {
        longest: Duration::from_secs(60),
        ..Options::new(relay.url(), token_but(&json!({})), speech)
    };
    let report = run(options, |_| {}).await;
    assert_eq!((report.ended, report.errors.len()), (Some(CloseCode::Normal), 0), "{report:?}");
    let said = get(metrics, "/metrics").await;
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
