//! What a page says among the audio: corrected, and said by the agent as it is; told, stored and committed.

use protocol::{Bye, ClientMessage, Features, Hello, Mark, Numbered, RelayMessage, Role, Upward};
use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use tests::stand_ins::{DOCTOR, DOCTORS_PRICES};
use tests::{Heard, Raw, Relay, hello, token};

#[derive(Default)]
struct Told {
    session: String,
    features: Vec<String>,
    turns: Vec<(u32, Role, String)>,
    errors: Vec<String>,
    /// The number before which everything is committed.
    committed: u32,
}

/// Says these, waits until everything is committed, and hangs up.
async fn talk(relay: &Relay, messages: Vec<Upward>) -> Told {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    let features = Features::CLIENT.into();
    raw.say(&ClientMessage::from(Hello { features, ..hello(&token(), None) }).to_json()).await;
    let (mut told, end) = (Told::default(), u32::try_from(messages.len()).expect("few"));
    for (seq, message) in (0..).zip(messages) {
        let mark = Mark { seq, position: 0 };
        raw.say(&ClientMessage::from(Numbered { mark, message }).to_json()).await;
    }
    let mut has_hung_up = false;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(welcome)) => {
                told.session = welcome.session_id;
                told.features = welcome.features.0;
            }
            Heard::Said(RelayMessage::Transcript(turn)) if turn.last => {
                told.turns.push((turn.turn, turn.role, turn.text));
            }
            Heard::Said(RelayMessage::ErrorMessage(error)) => told.errors.push(error.code),
            Heard::Said(RelayMessage::RelayAck(ack)) => told.committed = ack.committed.seq,
            Heard::Closed(code) => {
                assert_eq!(code, 1000);
                return told;
            }
            _ => {}
        }
        if told.committed == end && !has_hung_up {
            has_hung_up = true;
            raw.say(&ClientMessage::from(Bye { end }).to_json()).await;
        }
    }
}

async fn stored(folder: &std::path::Path, session: &str) -> Vec<(u32, Role, String)> {
    let store = SqlStore::sqlite(&folder.join("data").join(DATABASE_FILE)).await.expect("it is there");
    let turns = store.turns(session).await.expect("stored");
    turns.into_iter().map(|row| (row.turn.turn, row.turn.role, row.turn.text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_understood_wrongly_is_corrected_on_the_page_and_in_the_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let text = |text: &str| Upward::Text { text: text.to_owned() };
    let correct = |turn| Upward::Correction { turn, text: "Hello".to_owned() };
    let told = talk(&relay, vec![text("Hell"), correct(0), correct(1)]).await;
    assert!(told.features.iter().any(|word| word == "correction"), "{:?}", told.features);
    let of = |turn, role, text: &str| (turn, role, text.to_owned());
    let expected = [of(0, Role::User, "Hell"), of(1, Role::Agent, "Hell"), of(0, Role::User, "Hello")];
    assert_eq!(told.turns, expected);
    assert_eq!(told.errors, ["turn_unknown"], "turn 1 is the agent's");
    relay.terminate().await;
    assert_eq!(
        stored(folder.path(), &told.session).await,
        [of(0, Role::User, "Hello"), of(1, Role::Agent, "Hell")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_what_the_page_wants_said_and_only_agents_that_can_are_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prices.toml"), DOCTORS_PRICES).expect("ours");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", DOCTOR).await;
    let say = |text: &str| Upward::Say { text: text.to_owned(), interrupt: false };
    let told = talk(&relay, vec![say("Good day."), say("Please wait.")]).await;
    assert!(told.features.iter().any(|word| word == "say"), "{:?}", told.features);
    assert!(!told.features.iter().any(|word| word == "tool_result"), "it has no tools");
    let of = |turn, text: &str| (turn, Role::Agent, text.to_owned());
    let expected = [of(0, "Good day."), of(1, "Please wait.")];
    assert_eq!(told.turns, expected);
    relay.terminate().await;
    assert_eq!(stored(folder.path(), &told.session).await, expected);
}
