//! What an administrator has an agent say, at one of two real relays on one server: the other one has the call, and its agent can speak.

use std::path::Path;
use std::time::{Duration, Instant};

use protocol::{RelayMessage, Role};
use serde_json::{Value, json};
use tests::postgres::shared;
use tests::stand_ins::{DOCTOR, DOCTORS_PRICES};
use tests::{Heard, Raw, Relay, http};
use tokio::time::{sleep, timeout};

/// How long a relay may take that looks every second, on a machine with much to do.
const SOON: Duration = Duration::from_secs(20);

/// Sends one request as an administrator, says the status and the body of the answer.
async fn request(relay: &Relay, method: &str, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = http::request(relay, method, path, body).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {status} {body}")))
}

/// Has the agent of a session say this, and says the id of the command.
async fn give(relay: &Relay, session: &str, text: &str) -> String {
    let body = json!({ "text": text }).to_string();
    let (status, given) = request(relay, "POST", &format!("/v1/admin/sessions/{session}/say"), &body).await;
    assert_eq!((status, &given["outcome"]), (202, &json!("waiting")), "{given}");
    given["id"].as_str().expect("an id").to_owned()
}

/// What has become of a command by now.
async fn outcome(relay: &Relay, session: &str, id: &str) -> Value {
    let (status, told) =
        request(relay, "GET", &format!("/v1/admin/sessions/{session}/commands/{id}"), "").await;
    assert_eq!(status, 200, "{told}");
    told["outcome"].clone()
}

async fn until_done(relay: &Relay, session: &str, id: &str) {
    let end = Instant::now() + SOON;
    while outcome(relay, session, id).await != "done" {
        assert!(Instant::now() < end, "its relay looks every second");
        sleep(Duration::from_millis(100)).await;
    }
}

/// What the agent says, until it has said so much.
async fn says(raw: &mut Raw, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    while said.len() < count {
        match raw.next().await {
            Heard::Said(RelayMessage::Transcript(turn)) if turn.last && turn.role == Role::Agent => {
                said.push(turn.text);
            }
            Heard::Said(RelayMessage::ErrorMessage(error)) => panic!("{error:?}"),
            Heard::Closed(code) => panic!("{code} after {said:?}"),
            _ => {}
        }
    }
    said
}

async fn start(database: &relay::config::Secret, folder: &Path) -> Relay {
    std::fs::write(folder.join("prices.toml"), DOCTORS_PRICES).expect("ours");
    Relay::start_on(database, folder, DOCTOR).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_what_is_given_at_another_relay_once_and_what_waits_when_its_relay_is_killed_at_the_next_one()
 {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let here = start(&database, folders[0].path()).await;
    let there = start(&database, folders[1].path()).await;
    let (mut raw, welcome) = Raw::welcomed(&there, "ada").await;
    let session = &welcome.session_id;

    let first = give(&here, session, "We close in ten minutes.").await;
    let second = give(&there, session, "Mind the step.").await;
    assert_eq!(says(&mut raw, 2).await, ["We close in ten minutes.", "Mind the step."]);
    for id in [&first, &second] {
        until_done(&here, session, id).await;
    }
    // Nothing is said twice, however often its relay looks.
    let quiet = timeout(Duration::from_secs(2), says(&mut raw, 1)).await;
    assert!(quiet.is_err(), "{quiet:?}");

    there.kill().await;
    let third = give(&here, session, "We close now.").await;
    assert_eq!(outcome(&here, session, &third).await, "waiting", "nobody has the call");
    let (mut raw, _) = Raw::resumed(&here, "ada", &welcome).await;
    assert_eq!(says(&mut raw, 1).await, ["We close now."]);
    until_done(&here, session, &third).await;
    assert_eq!(outcome(&here, session, &first).await, "done", "what was said by the lost one stays said");
    here.terminate().await;
}
