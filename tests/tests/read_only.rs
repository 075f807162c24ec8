//! A server that takes no writes for a while, as after a fail-over, with a full disk of its own, or by an operator's word.

use futures_util::future::join_all;
use protocol::{CloseCode, RelayMessage};
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use tests::postgres::shared;
use tests::{Heard, Raw, Relay, hello, token_but};

/// Calls that begin at once: more than the connections to the database that a relay has at first.
const CALLERS: usize = 15;

/// How the calls of so many users begin: the close code of each that is refused.
async fn callers(relay: &Relay) -> Vec<Result<Raw, u16>> {
    join_all((0..CALLERS).map(async |number| {
        let mut raw = Raw::connect(relay, None).await.expect("connects");
        let token = token_but(&json!({ "sub": format!("user-{number}") }));
        raw.say(&protocol::ClientMessage::from(hello(&token, None)).to_json()).await;
        loop {
            match raw.next().await {
                Heard::Said(RelayMessage::Welcome(_)) => return Ok(raw),
                Heard::Closed(code) => return Err(code),
                _ => {}
            }
        }
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_server_takes_no_writes_says_so_and_takes_calls_again_afterwards() {
    let database = shared().database().await;
    let name = database.expose().split(['/', '?']).nth(3).expect("its name").to_owned();
    let set = async |what: &str| {
        let mut admin = AnyConnection::connect(shared().url("postgres").expose()).await.expect("it runs");
        let sql = sqlx::AssertSqlSafe(format!("ALTER DATABASE {name} {what}"));
        sqlx::raw_sql(sql).execute(&mut admin).await.expect("altered");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start_on(&database, folder.path(), "").await;
    assert_eq!(relay.becomes_ready(200).await, 200);

    // It counts for connections that are opened from now on: those that the relay has go on writing.
    set("SET default_transaction_read_only = on").await;
    let refused: Vec<u16> = callers(&relay).await.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty(), "new connections were needed");
    assert!(refused.iter().all(|code| *code == CloseCode::TryLater.code()), "{refused:?}");
    relay.has_database("away").await;
    assert_eq!(relay.status("/readyz").await, 200, "the calls that it has may come back");
    assert_eq!(relay.status("/livez").await, 200, "and nobody restarts it");

    set("RESET default_transaction_read_only").await;
    relay.has_database("ok").await;
    for round in 0..3 {
        let begun = callers(&relay).await;
        let refused: Vec<_> = begun.iter().filter_map(|call| call.as_ref().err()).collect();
        assert!(refused.is_empty(), "no connection is left that takes none, in round {round}: {refused:?}");
    }
    relay.terminate().await;
}
