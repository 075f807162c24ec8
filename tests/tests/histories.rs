//! What an agent is told of what was said before: what its user said in the same account, however the call comes to its session, and nothing that
//! somebody said in another account, even if that has the same user.

use protocol::{Bye, ClientMessage, CloseCode, Hello, Mark, RelayMessage, Resume, Role};
use relay::records::store::{SqlStore, Store};
use serde_json::json;
use tests::postgres::shared;
use tests::stand_ins::{self, PRICES, Provider};
use tests::{Heard, Raw, Relay, hello, token_but};
use tokio::time::{Duration, Instant, sleep};

const SECRET: &str = "The safe opens with 4711.";
const QUESTION: &str = "What opens the safe?";

/// A `hello` of `ada` in this account, who wants to go on with a conversation or with a session.
fn ada(account: &str, conversation: Option<&str>, resume: Option<Resume>) -> Hello {
    let token = token_but(&json!({ "sub": "ada", "app_metadata": { "account": account } }));
    Hello { conversation: conversation.map(str::to_owned), ..hello(&token, resume) }
}

/// A call in writing.
struct Call {
    raw: Raw,
    id: String,
    conversation: String,
    resume_token: String,
    /// The number of its next message.
    seq: u32,
}

impl Call {
    /// A session that begins.
    async fn begin(relay: &Relay, hello: Hello) -> Call {
        let mut raw = greet(relay, hello).await;
        loop {
            match raw.next().await {
                Heard::Said(RelayMessage::Welcome(welcome)) => {
                    let (id, conversation) = (welcome.session_id, welcome.conversation_id);
                    return Call { raw, id, conversation, resume_token: welcome.resume_token, seq: 0 };
                }
                Heard::Said(RelayMessage::Resumed(resumed)) => panic!("it goes on: {resumed:?}"),
                Heard::Closed(code) => panic!("closed with {code}"),
                _ => {}
            }
        }
    }

    fn resume(&self) -> Resume {
        Resume {
            session_id: self.id.clone(),
            resume_token: self.resume_token.clone(),
            epoch: 0,
            received: 0,
            played: None,
        }
    }

    /// The same session at another relay.
    async fn go_on(&mut self, relay: &Relay, start: Mark) {
        self.raw = greet(relay, Hello { start, ..ada("acme", None, Some(self.resume())) }).await;
        loop {
            match self.raw.next().await {
                Heard::Said(RelayMessage::Resumed(resumed)) => {
                    self.seq = resumed.received.seq;
                    return;
                }
                Heard::Said(RelayMessage::Welcome(_)) => panic!("another session began"),
                Heard::Closed(code) => panic!("closed with {code}"),
                _ => {}
            }
        }
    }

    /// Types this, and waits until it is answered.
    async fn ask(&mut self, text: &str) {
        let message = json!({ "type": "text", "seq": self.seq, "position": 0, "text": text });
        self.raw.say(&message.to_string()).await;
        self.seq += 1;
        loop {
            match self.raw.next().await {
                Heard::Said(RelayMessage::Transcript(turn)) if turn.last && turn.role == Role::Agent => {
                    return;
                }
                Heard::Said(RelayMessage::ErrorMessage(error)) => panic!("{error:?}"),
                Heard::Closed(code) => panic!("closed with {code}"),
                _ => {}
            }
        }
    }

    async fn hang_up(mut self) {
        self.raw.say(&ClientMessage::from(Bye { end: self.seq }).to_json()).await;
        assert_eq!(self.raw.end().await, (vec![], CloseCode::Normal.code()));
    }
}

async fn greet(relay: &Relay, hello: Hello) -> Raw {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello).to_json()).await;
    raw
}

/// What the model was asked last, in everybody's words.
async fn asked(port: u16) -> Vec<String> {
    stand_ins::asked(port).await.into_iter().map(|(_, text)| text).collect()
}

async fn start(database: &relay::config::Secret, folder: &std::path::Path, port: u16) -> Relay {
    std::fs::write(folder.join("prices.toml"), PRICES).expect("ours");
    let mind = Provider("openai-chat", "small", "openai/chat", "").table("mind", port);
    let config = format!(
        "[agents]\ndefault = \"host\"\n[agents.host]\nllm = \"mind\"\n[prices]\nfile = \"prices.toml\"\n{mind}"
    );
    Relay::start_on(database, folder, &config).await
}

/// Asks as the same user in another account, in each way in which a call may come to a session, naming what was said in the first account. The
/// model is to hear the question alone.
async fn another_account_asks(relay: &Relay, call: &Call, port: u16) {
    let conversation = Some(call.conversation.as_str());
    let mut refused = greet(relay, ada("other", conversation, None)).await;
    let expected = (vec!["conversation_unknown".to_owned()], CloseCode::Forbidden.code());
    assert_eq!(refused.end().await, expected, "it may not name the conversation");

    let unknown = Resume { session_id: "unknown".to_owned(), ..call.resume() };
    for (conversation, resume) in
        [(conversation, call.resume()), (None, call.resume()), (conversation, unknown)]
    {
        let mut own = Call::begin(relay, ada("other", conversation, Some(resume))).await;
        assert_eq!(own.conversation, own.id, "it begins a conversation of its own");
        own.ask(QUESTION).await;
        assert_eq!(asked(port).await, [QUESTION]);
        own.hang_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_agent_is_told_what_the_same_user_said_in_another_account_however_the_call_comes_to_its_session() {
    let port = stand_ins::start().await;
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let first = start(&database, folders[0].path(), port).await;
    let second = start(&database, folders[1].path(), port).await;
    let store = SqlStore::postgres(&database).await.expect("opened");
    let mut call = Call::begin(&first, ada("acme", None, None)).await;
    call.ask(SECRET).await;
    let answered = Instant::now();
    while store.turns(&call.id).await.expect("readable").len() < 2 {
        assert!(answered.elapsed() < Duration::from_secs(20), "what was said is not stored");
        sleep(Duration::from_millis(50)).await;
    }

    // Where the session lives, where it does not, and where nobody has it any more.
    another_account_asks(&first, &call, port).await;
    another_account_asks(&second, &call, port).await;
    first.kill().await;
    another_account_asks(&second, &call, port).await;

    // Whoever said it is told of it: in the session itself, and in a new one of its conversation.
    let committed = store.session(&call.id).await.expect("readable").expect("stored").committed;
    call.go_on(&second, committed).await;
    call.ask(QUESTION).await;
    let told = asked(port).await;
    assert_eq!((told[0].as_str(), told.last().map(String::as_str)), (SECRET, Some(QUESTION)), "{told:?}");
    let conversation = call.conversation.clone();
    call.hang_up().await;
    let mut next = Call::begin(&second, ada("acme", Some(&conversation), None)).await;
    assert_eq!(next.conversation, conversation);
    next.ask(QUESTION).await;
    assert_eq!(asked(port).await[0], SECRET);
    next.hang_up().await;
    second.terminate().await;
}
