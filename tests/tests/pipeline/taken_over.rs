//! What a model is asked once its call goes on at another relay, because the one before was killed: it has what was said there.

use protocol::{ClientMessage, CloseCode, Hello, Mark, RelayMessage, Resume, Role};
use relay::records::store::{SqlStore, Store};
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use tests::postgres::shared;
use tests::stand_ins::{self, PRICES, Provider, asked};
use tests::{Heard, Raw, Relay, hello, token_but};
use tokio::time::{Duration, Instant, sleep};

use super::{CHUNK, Talk, config};

impl Talk {
    fn resume(&self, start: Mark) -> Hello {
        let resume = Resume {
            session_id: self.told.session.clone(),
            resume_token: self.resume_token.clone(),
            epoch: 0,
            received: self.received,
            played: Some(self.played),
        };
        Hello { start, ..hello(&token_but(&json!({ "sub": "ada" })), Some(resume)) }
    }

    /// Goes on at another relay, from what is committed.
    async fn go_on(&mut self, relay: &Relay, start: Mark) {
        let hello = self.resume(start);
        self.raw = Raw::connect(relay, None).await.expect("connects");
        self.raw.say(&ClientMessage::from(hello).to_json()).await;
        let resumed = loop {
            match self.raw.next().await {
                Heard::Said(RelayMessage::Resumed(resumed)) => break resumed,
                Heard::Said(RelayMessage::Welcome(_)) => panic!("another session began: {:?}", self.told),
                Heard::Closed(code) => panic!("closed with {code}: {:?}", self.told),
                _ => {}
            }
        };
        assert_eq!(resumed.epoch, 1, "it is rebuilt from the database, once");
        assert_eq!(resumed.received.position, resumed.received.seq * CHUNK as u32);
        (self.seq, self.received, self.played) = (resumed.received.seq, 0, 0);
        let behind = self.begun.elapsed().saturating_sub(Duration::from_millis(u64::from(self.seq) * 100));
        self.begun += behind;
    }
}

/// Lets the database refuse whoever reads what was said, and answer again.
const REFUSE: &str = "ALTER TABLE voxrelay.turns RENAME COLUMN text TO text_away";
const ANSWER: &str = "ALTER TABLE voxrelay.turns RENAME COLUMN text_away TO text";

/// Asks the model, and asks it again once another relay has taken the call over; `unreadable` means that what was said cannot be read at first.
async fn goes_on_elsewhere(unreadable: bool) {
    let stt = Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let port = stand_ins::start().await;
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    for folder in &folders {
        std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
    }
    let config = config(port, &stt, &llm, &tts);
    let first = Relay::start_on(&database, folders[0].path(), &config).await;
    let second = Relay::start_on(&database, folders[1].path(), &config).await;
    let store = SqlStore::postgres(&database).await.expect("opened");
    let mut talk = Talk::begin(&first).await;
    talk.ask().await;
    let asked_at = Instant::now();
    let turns = loop {
        let turns = store.turns(&talk.told.session).await.expect("readable");
        if turns.len() == 2 {
            break turns;
        }
        assert!(asked_at.elapsed() < Duration::from_secs(20), "{turns:?} of {:?}", talk.told);
        sleep(Duration::from_millis(50)).await;
    };
    let said = [&turns[0].turn, &turns[1].turn];
    assert_eq!(said.map(|turn| turn.role), [Role::User, Role::Agent], "{turns:?}");
    assert_eq!(said.map(|turn| &turn.text), [&talk.told.user[0], &talk.told.agent[0]], "{turns:?}");
    assert_eq!(asked(port).await.len(), 1, "nothing was said before");

    first.kill().await;
    let session = store.session(&talk.told.session).await.expect("readable").expect("stored");
    if unreadable {
        let mut other = AnyConnection::connect(database.expose()).await.expect("it is there");
        sqlx::raw_sql(REFUSE).execute(&mut other).await.expect("done");
        let conversation = Some(talk.told.session.clone());
        let anew = Hello { conversation, ..hello(&token_but(&json!({ "sub": "ada" })), None) };
        for hello in [talk.resume(session.committed), anew] {
            let mut raw = Raw::connect(&second, None).await.expect("connects");
            raw.say(&ClientMessage::from(hello).to_json()).await;
            let refused = (vec!["store_unavailable".to_owned()], CloseCode::TryLater.code());
            assert_eq!(raw.end().await, refused, "no agent begins that does not know what was said");
        }
        let begun = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM voxrelay.sessions");
        assert_eq!(begun.fetch_one(&mut other).await.expect("counted"), 1, "no other session began");
        sqlx::raw_sql(ANSWER).execute(&mut other).await.expect("undone");
    }
    talk.go_on(&second, session.committed).await;
    talk.ask().await;
    let told = talk.hang_up().await;
    assert_eq!((told.closed, told.errors.as_slice(), told.user.len()), (1000, &[][..], 2), "{told:?}");
    let of = |role: &str, text: &String| (role.to_owned(), text.clone());
    let expected = [of("user", &told.user[0]), of("assistant", &told.agent[0]), of("user", &told.user[1])];
    assert_eq!(asked(port).await, expected, "{told:?}");
    second.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_asked_after_its_relay_was_killed_has_what_was_said_before() {
    goes_on_elsewhere(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_words_cannot_be_read_waits_until_they_can_and_then_goes_on_with_them() {
    goes_on_elsewhere(true).await;
}
