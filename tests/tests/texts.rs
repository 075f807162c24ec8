//! What a client writes does not decide whether the store answers.

use std::io::{Read, Write};

use protocol::{Bye, ClientMessage, Hello, RelayMessage, Resume};
use serde_json::json;
use tests::postgres::Server;
use tests::{Heard, Raw, Relay, hello, token, token_but};

/// What PostgreSQL refuses in text, and what looks like it.
const TEXTS: [&str; 5] = ["\0", "a\0b", "\u{1}\u{7f}\u{85}", "\\u0000", "\u{ffff}\0\u{10ffff}"];

fn get(relay: &Relay, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(relay.address).expect("connected");
    let token = token_but(&json!({ "app_metadata": { "role": "admin" } }));
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
        relay.address
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

/// The first error, or that there is a session.
async fn answer(raw: &mut Raw) -> String {
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(_)) => return "welcome".to_owned(),
            Heard::Said(RelayMessage::ErrorMessage(error)) => return error.code,
            Heard::Said(_) => {}
            heard => panic!("neither, but {heard:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_client_makes_the_store_unavailable() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    let database = server.database().await;
    let relay = Relay::start_on(&database, folder.path(), "").await;
    let say = async |hello: Hello| {
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        raw.say(&ClientMessage::from(hello).to_json()).await;
        raw
    };
    for text in TEXTS {
        let mut raw = say(Hello { client: text.into(), ..hello(&token(), None) }).await;
        let id = loop {
            match raw.next().await {
                Heard::Said(RelayMessage::Welcome(welcome)) => break welcome.session_id,
                Heard::Said(RelayMessage::AgentStateMessage(_)) => {}
                heard => panic!("{text:?}: no welcome but {heard:?}"),
            }
        };
        raw.say(&ClientMessage::from(Bye { end: 0 }).to_json()).await;
        assert_eq!(raw.end().await, (vec![], 1000), "{text:?} in session {id}");

        let unknown = Hello { conversation: Some(text.into()), ..hello(&token(), None) };
        assert_eq!(answer(&mut say(unknown).await).await, "conversation_unknown", "{text:?}");
        let resume = |id: &str| {
            let resume = Resume {
                session_id: id.into(),
                resume_token: id.into(),
                epoch: 0,
                received: 0,
                played: None,
            };
            hello(&token(), Some(resume))
        };
        let (odd, plain) =
            (answer(&mut say(resume(text)).await).await, answer(&mut say(resume("unknown")).await).await);
        assert_eq!(odd, plain, "{text:?} is like any session that is not there");
        let claims = json!({ "session_id": text, "app_metadata": { "account": text, "plan": text } });
        let answer = answer(&mut say(hello(&token_but(&claims), None)).await).await;
        // A token with an invisible name is refused; any other is good.
        let good = !text.chars().any(char::is_control);
        assert_eq!(answer, if good { "welcome" } else { "unauthorized" }, "{text:?}");
    }
    for path in [
        "/v1/sessions/%00",
        "/v1/sessions/a%00b/transcript",
        "/v1/conversations/%00/transcript",
        "/v1/sessions?conversation=%00",
        "/v1/admin/sessions?user=%00&account=%00",
        "/v1/admin/usage?user=%00&account=%00",
        "/v1/admin/alerts?user=%00",
    ] {
        let status = get(&relay, path);
        let status = status.split(' ').nth(1).expect("a status");
        assert!(status.starts_with('2') || status.starts_with('4'), "{path}: {status}");
    }
    relay.terminate().await;
}
