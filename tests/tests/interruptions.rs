//! What is counted and stored of an answer over which the user made a sound: one that went on, and one that was cut.

use protocol::{CloseCode, Role, Transcript};
use relay::client::{Options, run};
use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use serde_json::{Value, json};
use tests::http::{get, get_as};
use tests::ports::free_address;
use tests::sound::{silence, voice};
use tests::stand_ins::{self, PRICES, Provider, ask};
use tests::{Relay, token};
use tokio::time::{Duration, Instant, sleep};

/// What the agent says first. Its voice takes 60 ms a character.
const STORY: &str = "The tower was built in a year and stands on the hill above the town, where everybody can see it from far away, even at night.";

/// Who said what, in order.
type Said = Vec<(String, String)>;

/// What became of the story.
#[derive(Debug)]
struct Fate {
    interruptions: String,
    false_interruptions: String,
    /// As it is stored.
    text: String,
    /// Whether all of its sound was heard, as the store has it.
    is_whole: bool,
    /// What was said, as the page was told of it last.
    told: Said,
    /// The same as each form has it in which it can be had afterwards.
    forms: [(&'static str, Said); 4],
}

fn said<'a>(turns: impl Iterator<Item = (&'a str, &'a str)>) -> Said {
    // As text and as captions each turn is a line.
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = turns.map(|(role, text)| (role.to_owned(), line(text)));
    said.filter(|(_, text)| !text.is_empty()).collect()
}

fn told(turns: &[Transcript]) -> Said {
    let mut turns: Vec<&Transcript> = turns.iter().collect();
    turns.sort_by_key(|turn| turn.turn);
    let role = |turn: &Transcript| if turn.role == Role::User { "user" } else { "agent" };
    said(turns.into_iter().map(|turn| (role(turn), turn.text.as_str())))
}

/// The turns of a session that has ended, in each form in which its user can have them.
async fn forms(relay: &Relay, session: &str) -> [(&'static str, Said); 4] {
    let token = token();
    let get = async |path: &str| get_as(relay.address, &token, path).await;
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let begun = Instant::now();
    while json(&get(&format!("/v1/sessions/{session}")).await)["state"] != "ended" {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        sleep(Duration::from_millis(200)).await;
    }
    let of_json = |turns: &Value| {
        let turns = turns.as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let turns: Said = turns.map(|turn| (text(&turn["role"]), text(&turn["text"]))).collect();
        said(turns.iter().map(|(role, text)| (role.as_str(), text.as_str())))
    };
    let transcript = format!("/v1/sessions/{session}/transcript");
    let api = json(&get(&format!("{transcript}?limit=100")).await);
    let exported = get("/v1/export/sessions.ndjson").await;
    let exported = exported.lines().map(json).find(|kept| kept["session"]["id"] == session);
    let text = get(&format!("{transcript}?format=text")).await;
    let captions = get(&format!("{transcript}?format=vtt")).await;
    let cues = captions.lines().filter_map(|line| {
        let words = |who: &str| line.strip_prefix(who)?.strip_suffix("</v>");
        let of_user = words("<v User>").map(|words| ("user", words));
        of_user.or_else(|| words("<v Agent>").map(|words| ("agent", words)))
    });
    [
        ("the API", of_json(&api["turns"])),
        ("the export", of_json(&exported.expect("it is in it")["turns"])),
        ("the text", said(text.lines().filter_map(|line| line.split_once(": ")))),
        ("the captions", said(cues)),
    ]
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
    let metrics = free_address();
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
    let options = Options { longest: Duration::from_secs(60), ..Options::new(relay.url(), token(), speech) };
    let report = run(options, |_| {}).await;
    assert_eq!((report.ended, report.errors.len()), (Some(CloseCode::Normal), 0), "{report:?}");
    let said = get(metrics, "/metrics").await;
    let session = report.session_id.as_deref().expect("it was there");
    let forms = forms(&relay, session).await;
    relay.terminate().await;

    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("it is there");
    let turns = store.turns(session).await.expect("readable");
    let mut answers = turns.into_iter().map(|row| row.turn).filter(|turn| turn.role == Role::Agent);
    let story = answers.next().expect("it was told");
    Fate {
        interruptions: counted(&said, "voxrelay_interruptions_total"),
        false_interruptions: counted(&said, "voxrelay_false_interruptions_total"),
        text: story.text,
        is_whole: story.heard.is_none_or(|heard| heard >= story.end),
        told: told(&report.turns),
        forms,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_held_and_went_on_counts_as_falsely_interrupted_and_is_stored_whole() {
    let fate = spoken_over("Mhm.").await;
    assert_eq!((&*fate.interruptions, &*fate.false_interruptions), ("0", "1"), "{fate:?}");
    assert_eq!((fate.text.trim(), fate.is_whole), (STORY, true), "{fate:?}");
    for (form, said) in &fate.forms {
        assert_eq!(said, &fate.told, "{form} has what the page was told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_cut_counts_as_interrupted_and_is_stored_as_far_as_it_was_heard() {
    let fate = spoken_over("please wait a moment").await;
    assert_eq!((&*fate.interruptions, &*fate.false_interruptions), ("1", "0"), "{fate:?}");
    let text = fate.text.trim();
    assert!(!text.is_empty() && text != STORY && STORY.starts_with(text), "{fate:?}");
    assert!(!fate.is_whole, "{fate:?}");
    assert!(fate.told.contains(&("agent".to_owned(), text.to_owned())), "{fate:?}");
    let is_said = |(who, said): &(String, String)| who == "user" && said.starts_with("please wait a moment");
    assert!(fate.told.iter().any(is_said), "{fate:?}");
    for (form, said) in &fate.forms {
        assert_eq!(said, &fate.told, "{form} has what was heard, as the page was told it");
    }
}
