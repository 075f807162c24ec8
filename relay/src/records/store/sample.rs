//! Sessions as tests beside the code want them: `..session("a")`, but for what a test is about.

use std::net::Ipv4Addr;
use std::time::Duration;

use protocol::Mark;

use super::{NewSession, Quota};
use crate::NanoUsd;
use crate::money::budget::{Caps, Range, TokenCaps};

/// A session of `ada`.
pub(crate) fn session(id: &str) -> NewSession {
    NewSession {
        id: id.into(),
        conversation_id: id.into(),
        user_sub: "ada".into(),
        account: "acme".into(),
        plan: None,
        login: None,
        client: "test/1".into(),
        agent: "echo".into(),
        started_at_ms: 0,
        epoch: 0,
        committed: Mark::default(),
        resume_hash: [7; 32],
        recording: None,
        instead_of: None,
    }
}

/// Room for many sessions of this relay and all their money, and none of it set aside at once.
pub(crate) fn quota(relay: &str) -> Quota {
    let all = NanoUsd::MAX;
    Quota {
        sessions_per_user: 1_000,
        sessions_per_account: 1_000,
        sessions_per_minute: u32::MAX,
        address: Ipv4Addr::LOCALHOST.into(),
        sessions_per_minute_per_address: u32::MAX,
        caps: Caps { session: all, user_day: all, account_month: all, token: TokenCaps::NONE },
        reserve: Range { at_least: NanoUsd::ZERO, at_most: NanoUsd::ZERO },
        relay: relay.into(),
        lease: Duration::from_secs(60),
    }
}
