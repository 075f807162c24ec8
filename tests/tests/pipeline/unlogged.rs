//! What is said in a call, and whatever is secret, is in no line of the relay's log, at the level that says most. What is logged in a call has the
//! id of its session and the name of its agent.

use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use protocol::{Bye, ClientMessage, Mark, Numbered, RelayMessage, Resume, Role, Upward};
use relay::config::Secret;
use serde_json::{Value, json};
use tests::postgres::shared;
use tests::stand_ins::{self, KEY, PRICES, Provider, ask};
use tests::{Heard, Raw, Relay, hello, token_but};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, sleep};

use super::{config, talk};

const WEBHOOK_SECRET: &str = "a webhook's secret that nobody reads";
const BROKEN_KEY: &str = "the-key-of-a-provider-that-is-not-there";
const DATABASE_PASSWORD: &str = "the-password-of-the-database";
/// How a JSON object begins in base64, and so each JSON Web Token.
const TOKEN: &str = "eyJ";

/// A backend that takes no message, on a port of its own.
async fn refusing() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let refuse = Router::new().fallback(|| async { StatusCode::INTERNAL_SERVER_ERROR });
    tokio::spawn(async move { axum::serve(listener, refuse).await });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_and_what_is_secret_is_in_no_line_of_the_log() {
    let stt = Provider("deepgram", "nova-3", "deepgram/nova-3", "language = \"en\"");
    let llm = Provider("openai-chat", "small", "openai/chat", "");
    let tts = Provider("openai-speech", "tts-1", "openai/tts-1", "");
    let (port, backend) = (stand_ins::start().await, refusing().await);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
    let config = config(port, &stt, &llm, &tts).replacen("llm = \"mind\"", "llm = [\"broken\", \"mind\"]", 1)
        + &format!(
            "[providers.broken]\nkind = \"openai-chat\"\nurl = \"http://127.0.0.1:1/v1\"\nkey = \"{BROKEN_KEY}\"\n\
            model = \"small\"\nprice = \"openai/chat\"\n\
            [webhooks.crm]\nurl = \"http://127.0.0.1:{backend}/told\"\nsecret = \"{WEBHOOK_SECRET}\"\n\
            [log]\nlevel = \"trace\"\nformat = \"json\"\n"
        );
    // The server trusts whoever comes, so any password is a good one.
    let database = shared().database().await;
    let with_password = format!("voxrelay:{DATABASE_PASSWORD}@");
    let database = Secret::new(database.expose().replacen("voxrelay@", &with_password, 1));
    assert!(database.expose().contains(DATABASE_PASSWORD));
    let log = folder.path().join("log");
    let kept = File::create(&log).expect("the folder is ours");
    let relay = Relay::start_on_logging(&database, folder.path(), &config, kept.into()).await;

    let told = talk(&relay).await;
    assert_eq!((told.closed, told.user.len()), (1000, 1), "{told:?}");
    let refused = token_but(&json!({ "aud": "somebody else" }));
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(&refused, None)).to_json()).await;
    assert_eq!(raw.end().await.1, 4401);
    // The backend is told twice.
    sleep(Duration::from_secs(5)).await;
    relay.terminate().await;

    let log = std::fs::read_to_string(log).expect("it was written");
    for said in ["session began", "session ended", "token refused", "a provider has failed"] {
        assert!(log.contains(said), "the log has what it is for: {said}");
    }
    assert!(log.contains("\"level\":\"TRACE\"") || log.contains("\"level\":\"DEBUG\""), "it says most");
    let is_of_a_call = ["relay::session::logged", "relay::session::requests", "relay::provider"];
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let of_calls = lines.filter(|line| {
        let target = line["target"].as_str().unwrap_or_default();
        is_of_a_call.iter().any(|module| target.starts_with(module))
    });
    let spans: Vec<Value> = of_calls.map(|line| line["span"].clone()).collect();
    let session = json!({ "name": "session", "id": told.session, "agent": "host" });
    assert!(spans.len() >= 2 && spans.iter().all(|span| *span == session), "{spans:#?}");
    let heard = told.user[0].to_lowercase();
    let first: Vec<&str> = heard.split_whitespace().take(2).collect();
    let first = first.join(" ");
    let words = told.user.iter().chain(&told.agent).map(String::as_str);
    let secrets = [KEY, BROKEN_KEY, WEBHOOK_SECRET, DATABASE_PASSWORD, tests::SECRET];
    assert!(!log.contains(TOKEN), "a token is in the log");
    let small = log.to_lowercase();
    for unspoken in words.chain(secrets).chain([first.as_str(), "you said", "be brief"]) {
        assert!(
            !unspoken.is_empty() && !small.contains(&unspoken.to_lowercase()),
            "{unspoken:?} is in the log"
        );
    }
}

const PARROT_KEY: &str = "the-key-of-a-server-that-repeats-all";
const TOOL_SECRET: &str = "a secret of a tool that nobody reads";
const TRACES_KEY: &str = "the-key-of-a-collector";
/// What is typed, given and answered in the second call, each with a word that is nowhere else.
const TYPED: &str = "My word for the parcel is heliotrope.";
const KNOWN_TO_PAGE: &str = "The caller is a numismatist.";
const KNOWN_TO_OPERATOR: &str = "The caller is a philatelist.";
const STREET: &str = "Marzipan Street";
const OUTPUT: &str = "It waits behind the quokka.";
const ANSWER: &str = "Your parcel stands beside the wombat.";
const ANNOUNCED: &str = "The week of the walrus begins.";

/// Refuses every question with the whole of it, in one shape after another, as servers do that check what they are sent with a library.
async fn parrot(
    State(asked): State<Arc<AtomicUsize>>,
    head: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let question: Value = serde_json::from_str(&body).expect("JSON");
    let key = head.get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let wrong = json!({"type": "missing", "loc": ["body"], "msg": "Field required", "input": question});
    let refusal = match asked.fetch_add(1, Ordering::Relaxed) {
        0 => json!({"detail": [wrong]}),
        1 => json!({"object": "error", "message": format!("{key} {}", question["messages"])}),
        _ => json!({"error": question["messages"]}),
    };
    (StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string())
}

/// A backend with such a server and a tool, on a port of its own. It takes nothing else, such as traces.
async fn repeating() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let routes = Router::new()
        .route("/parrot/v1/chat/completions", post(parrot))
        .route("/lookup", post(|| async { OUTPUT }))
        .fallback(|| async { StatusCode::INTERNAL_SERVER_ERROR })
        .with_state(Arc::default());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    port
}

/// A request of the HTTP API with this token: the status and the body of the answer.
async fn request(relay: &Relay, token: &str, head: &str, body: &str) -> (u16, Value) {
    let request = format!(
        "{head} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
        content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        relay.address,
        body.len()
    );
    let mut stream = TcpStream::connect(relay.address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// Waits until the agent has said this.
async fn until_said(raw: &mut Raw, text: &str) {
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Transcript(turn))
                if turn.last && turn.role == Role::Agent && turn.text == text =>
            {
                return;
            }
            Heard::Closed(code) => panic!("closed with {code} before {text:?}"),
            _ => {}
        }
    }
}

/// A call in which something is typed, two tools are called, an administrator has a word, and the client comes back once: the resume tokens of it.
async fn call(relay: &Relay, admin: &str) -> [String; 2] {
    let (mut raw, welcome) = Raw::welcomed(relay, "ada").await;
    let messages =
        [Upward::Context { text: KNOWN_TO_PAGE.to_owned() }, Upward::Text { text: TYPED.to_owned() }];
    for (seq, message) in (0..).zip(messages) {
        let mark = Mark { seq, position: 0 };
        raw.say(&ClientMessage::from(Numbered { mark, message }).to_json()).await;
    }
    until_said(&mut raw, ANSWER).await;
    for (what, text) in [("context", KNOWN_TO_OPERATOR), ("say", ANNOUNCED)] {
        let head = format!("POST /v1/admin/sessions/{}/{what}", welcome.session_id);
        let (status, given) = request(relay, admin, &head, &json!({ "text": text }).to_string()).await;
        assert_eq!(status, 202, "{given}");
    }
    until_said(&mut raw, ANNOUNCED).await;
    drop(raw);

    let resume = Resume {
        session_id: welcome.session_id,
        resume_token: welcome.resume_token.clone(),
        epoch: welcome.epoch,
        received: 0,
        played: None,
    };
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    let hello = hello(&token_but(&json!({ "sub": "ada" })), Some(resume));
    raw.say(&ClientMessage::from(hello).to_json()).await;
    let resumed = loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Resumed(resumed)) => break resumed,
            Heard::Closed(code) => panic!("closed with {code}"),
            _ => {}
        }
    };
    raw.say(&ClientMessage::from(Bye { end: 2 }).to_json()).await;
    assert_eq!(raw.end().await, (vec![], 1000));
    [welcome.resume_token, resumed.resume_token]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_given_to_tools_or_repeated_by_a_server_that_refuses_it_is_in_no_line_of_the_log() {
    let (port, backend) = (stand_ins::start().await, repeating().await);
    let calls = |tool: &str| json!({"think": {"tools": [{"name": tool, "arguments": {"street": STREET}}]}});
    let script = json!({"openai.chat": [calls("lookup"), calls("absent"), {"think": {"text": ANSWER}}]});
    ask(port, "POST", "/script", &script.to_string()).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prices.toml"), PRICES).expect("ours");
    let mut config = "[agents]\ndefault = \"host\"\n[agents.host]\nllm = [\"parrot\", \"mind\"]\n\
        tools = [\"lookup\", \"absent\"]\ninstructions = \"Be brief.\"\n[prices]\nfile = \"prices.toml\"\n"
        .to_owned();
    let parrot = format!("{backend}/parrot");
    for (name, place, key) in [("parrot", parrot, PARROT_KEY), ("mind", port.to_string(), KEY)] {
        config += &format!(
            "[providers.{name}]\nkind = \"openai-chat\"\nurl = \"http://127.0.0.1:{place}/v1\"\nkey = \"{key}\"\n\
            model = \"small\"\nprice = \"openai/chat\"\n"
        );
    }
    for (name, port) in [("lookup", backend), ("absent", 1)] {
        config += &format!(
            "[tools.{name}]\ndescription = \"Says where a parcel is.\"\nurl = \"http://127.0.0.1:{port}/{name}\"\n\
            secret = \"{TOOL_SECRET}\"\n"
        );
    }
    config += &format!(
        "[traces]\nendpoint = \"http://127.0.0.1:{backend}/traces\"\nheaders = \"authorization=Bearer {TRACES_KEY}\"\n\
        content = true\n[log]\nlevel = \"trace\"\nformat = \"json\"\n"
    );
    let log = folder.path().join("log");
    let kept = File::create(&log).expect("the folder is ours");
    let relay = Relay::start_logging(folder.path(), "127.0.0.1:0", &config, kept.into()).await;

    let admin = token_but(&json!({ "sub": "root", "app_metadata": { "role": "voxrelay_admin" } }));
    let [first, second] = call(&relay, &admin).await;
    let key = json!({ "name": "billing", "roles": ["admin"] }).to_string();
    let (status, made) = request(&relay, &admin, "POST /v1/admin/keys", &key).await;
    assert_eq!(status, 201, "{made}");
    let key = made["key"].as_str().expect("it is shown once").to_owned();
    let wrong = key.replace("vxr_", "vxr_x");
    for (key, expected) in [(&key, 200), (&wrong, 401)] {
        let (status, answer) = request(&relay, key, "GET /v1/admin/sessions", "").await;
        assert_eq!(status, expected, "{answer}");
    }
    relay.terminate().await;

    let log = std::fs::read_to_string(log).expect("it was written");
    for said in [
        "a provider has failed",
        "HTTP 422: Field required",
        "HTTP 422: [it repeats what it was asked]",
        "HTTP 422: it does not say why",
        "a tool has failed",
        "session ended",
    ] {
        assert!(log.contains(said), "the log has what it is for: {said}");
    }
    let words = ["heliotrope", "numismatist", "philatelist", "marzipan", "quokka", "wombat", "walrus"];
    let secrets = [KEY, PARROT_KEY, TOOL_SECRET, TRACES_KEY, tests::SECRET];
    assert!(!log.contains(TOKEN), "a token is in the log");
    let tokens = [&first, &second, &key, &wrong];
    let small = log.to_lowercase();
    for unspoken in
        words.into_iter().chain(secrets).chain(tokens.map(String::as_str)).chain(["vxr_", "be brief"])
    {
        assert!(
            !unspoken.is_empty() && !small.contains(&unspoken.to_lowercase()),
            "{unspoken:?} is in the log"
        );
    }
}
