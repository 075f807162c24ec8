//! The HTTP API: who sees what, pages, problems, exports, the deny-list.

mod access;
mod agents;
mod audit;
mod budgets;
mod commands;
mod credits;
mod exports;
mod feedback;
mod idempotency;
mod keys;
mod listening;
mod orders;
mod overview;
mod pages;
mod problems;
#[path = "../support/records.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod records;
mod request_ids;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each program of tests uses some of it")]
mod support;
mod watching;
mod webhooks;

use jsonwebtoken::{EncodingKey, Header, encode};
use protocol::{Mark, Role};
use relay::NanoUsd;
use relay::call::{Latency, Turn};
use relay::money::ledger::LedgerRow;
use relay::records::store::{NewSession, Quality, Quota, Settle, unix_ms};
use serde_json::{Value, json};
use support::{Relay, header, status};

/// 2026-03-01, midnight.
const MIDNIGHT: i64 = 1_772_323_200_000;
const SECRET: &[u8] = b"an-example-secret-of-more-than-32-bytes";

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// A token of a user in the account `acme`.
fn token(sub: &str) -> String {
    token_with(sub, &json!({ "account": "acme" }))
}

/// A token of an administrator.
fn admin() -> String {
    token_with("root", &json!({ "account": "operator", "role": "voxrelay_admin" }))
}

fn token_with(sub: &str, metadata: &Value) -> String {
    let claims = json!({
        "iss": "voxrelay", "aud": "voxrelay", "sub": sub, "exp": unix_ms() / 1_000 + 3_600,
        "session_id": format!("login-of-{sub}"), "app_metadata": metadata,
    });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("signed")
}

/// Asks the relay with these headers, each line ending in a line break, and this body.
async fn ask(relay: &Relay, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}",
        relay.address
    );
    let (head, body) = relay.whole(&request).await;
    Answer { status: status(&head), head, body }
}

/// Asks as the owner of a token.
async fn as_user(relay: &Relay, token: &str, method: &str, path: &str) -> Answer {
    ask(relay, method, path, &format!("authorization: Bearer {token}\r\n"), "").await
}

async fn get(relay: &Relay, token: &str, path: &str) -> Answer {
    as_user(relay, token, "GET", path).await
}

/// Sends JSON as the owner of a token.
async fn post(relay: &Relay, token: &str, path: &str, body: &Value) -> Answer {
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    ask(relay, "POST", path, &headers, &body.to_string()).await
}

/// A session that ended after ten seconds, with two turns and ten samples that cost 70 nano-dollars.
async fn session(relay: &Relay, id: &str, sub: &str, started_at_ms: i64) {
    let store = &relay.app.records.store;
    let new = NewSession {
        user_sub: sub.into(),
        login: Some(format!("login-of-{sub}")),
        client: format!("page of {sub}/1"),
        started_at_ms,
        ..records::session(id)
    };
    let quota = Quota { sessions_per_user: 1_000, ..records::quota() };
    records::open(&**store, &new, &quota).await;
    let turn = |turn, role, text: &str| Turn {
        turn,
        role,
        text: text.into(),
        start: 16_000 * turn,
        end: 16_000 * (turn + 1),
        heard: None,
        latency: Latency { total_ms: Some(420), ..Latency::default() },
        revision: 0,
    };
    let turns = [
        turn(0, Role::User, &format!("a secret\n of {sub}")),
        turn(1, Role::Agent, &format!("{sub}, I heard you")),
    ];
    store.save_turns(id, 0, &turns, Mark::default(), 0).await.expect("written");
    let rows = vec![LedgerRow { price: NanoUsd::new(7), per: 1, ..records::row("1", 10, 70) }];
    let settle = Settle { release: true, at_ms: started_at_ms, ..records::settle(id, rows, quota.caps) };
    store.settle(&settle).await.expect("written");
    let quality = Quality { rtt_avg_us: 20_000, rtt_max_us: 45_000, lost_samples: 160 };
    store.end_session(id, 0, "normal", quality, started_at_ms + 10_000).await.expect("ended");
}
