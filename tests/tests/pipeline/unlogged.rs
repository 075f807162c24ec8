//! What is said in a call, and whatever is secret, is in no line of the relay's log, at the level that says most. What is logged in a call has the
//! id of its session and the name of its agent.

use std::fs::File;
use std::net::Ipv4Addr;

use axum::Router;
use axum::http::StatusCode;
use protocol::ClientMessage;
use relay::config::Secret;
use serde_json::{Value, json};
use tests::postgres::shared;
use tests::stand_ins::{self, KEY, PRICES, Provider};
use tests::{Raw, Relay, hello, token_but};
use tokio::net::TcpListener;
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
