//! Sessions, budgets and rows, as tests want them: `..session("a")`, but for what a test is about.

use std::net::Ipv4Addr;
use std::time::Duration;

use protocol::{Mark, Role};
use relay::NanoUsd;
use relay::call::{Latency, Turn};
use relay::money::budget::{Caps, Range, TokenCaps};
use relay::money::ledger::LedgerRow;
use relay::records::store::{NewSession, Opened, Quota, Reserve, Settle, Store, unix_ms};

/// How long a session is nobody else's.
pub const LEASE: Duration = Duration::from_secs(60);
/// Whose sessions they are.
pub const RELAY: &str = "relay-1";

/// Nano-dollars.
pub fn usd(nano: u64) -> NanoUsd {
    NanoUsd::new(nano)
}

/// A session of `ada`.
pub fn session(id: &str) -> NewSession {
    NewSession {
        id: id.to_owned(),
        conversation_id: id.to_owned(),
        user_sub: "ada".into(),
        account: "acme".into(),
        plan: None,
        login: Some("login-1".into()),
        client: "test/1".into(),
        agent: "echo".into(),
        started_at_ms: unix_ms(),
        epoch: 0,
        committed: Mark::default(),
        resume_hash: [7; 32],
        recording: None,
        instead_of: None,
    }
}

/// Budgets of session, user's day and account's month.
pub fn caps(session: u64, user_day: u64, account_month: u64) -> Caps {
    Caps {
        session: usd(session),
        user_day: usd(user_day),
        account_month: usd(account_month),
        token: TokenCaps::NONE,
    }
}

/// More than any test spends.
pub const WIDE: u64 = 1_000_000_000_000;

/// Room for many sessions and all their money, and none of it set aside at once.
pub fn quota() -> Quota {
    Quota {
        sessions_per_user: 100,
        sessions_per_account: 1_000,
        sessions_per_minute: u32::MAX,
        address: Ipv4Addr::new(192, 0, 2, 1).into(),
        sessions_per_minute_per_address: u32::MAX,
        caps: caps(WIDE, WIDE, WIDE),
        reserve: Range { at_least: usd(0), at_most: usd(0) },
        relay: RELAY.into(),
        lease: LEASE,
    }
}

/// The same on a relay that is lost already.
pub fn of_a_lost_relay() -> Quota {
    Quota { relay: "lost-relay".into(), lease: Duration::ZERO, ..quota() }
}

/// Opens a session that there is room and money for.
pub async fn open(store: &dyn Store, session: &NewSession, quota: &Quota) -> NanoUsd {
    match store.open_session(session, quota).await.expect("written") {
        Opened::Yes { grant, .. } => grant.authorised,
        refused => panic!("{refused:?}"),
    }
}

/// A wish of a session that has spent nothing.
pub fn reserve(id: &str, at_least: u64, at_most: u64, caps: Caps) -> Reserve<'_> {
    Reserve {
        session_id: id,
        epoch: 0,
        through: Range { at_least: usd(at_least), at_most: usd(at_most) },
        spent: usd(0),
        exposed: usd(0),
        caps,
        at_ms: unix_ms(),
    }
}

/// What these rows come to, and nothing given back.
pub fn settle(id: &str, rows: Vec<LedgerRow>, caps: Caps) -> Settle {
    Settle {
        session_id: id.to_owned(),
        payer: None,
        epoch: 0,
        number: 0,
        rows,
        credits: Vec::new(),
        metered_position: 0,
        committed: protocol::Mark::default(),
        replayable_samples: 0,
        exposed: usd(0),
        release: false,
        caps,
        at_ms: unix_ms(),
    }
}

/// A row of so many samples.
pub fn row(key: &str, quantity: u64, cost: u64) -> LedgerRow {
    LedgerRow {
        key: key.into(),
        provider: "echo".into(),
        item: "echo/listening".into(),
        unit: "sample".into(),
        quantity,
        price: usd(4_800_000),
        per: 960_000,
        price_version: "test".into(),
        cost: usd(cost),
        estimated: false,
        turn: None,
        request_id: None,
    }
}

/// What was said in a second.
pub fn turn(turn: u32, role: Role, text: &str) -> Turn {
    Turn {
        turn,
        role,
        text: text.into(),
        start: 0,
        end: 16_000,
        heard: None,
        latency: Latency::default(),
        revision: 0,
    }
}
