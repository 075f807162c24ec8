//! Writes over the HTTP API that come with a key of their own (`Idempotency-Key`), so that a client whose answer was lost may send them again.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// For how long a key is kept.
pub const KEYED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// How many keys are kept of one who asks. The oldest go first.
pub const KEYED_MAX: u32 = 10_000;
/// How long a relay may be at work on a request with a key. Afterwards it counts as lost, and the request may be made again.
pub const KEYED_LEASE: Duration = Duration::from_secs(60);

/// A request with a key. Everything in it is a hash: neither names nor the words of a request are stored with the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Who asks.
    pub owner: String,
    /// Who asks, the route, and the key.
    pub key: String,
    /// The whole request.
    pub request: String,
}

/// What a relay is to do with a request that has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyed {
    /// It does what is asked. What it makes has this id: if another relay was lost while it did the same, it is made once.
    Act(String),
    /// It repeats this answer.
    Answered(KeptAnswer),
    /// It does nothing: the same request is being answered.
    UnderWay,
    /// It does nothing: the key came with another request.
    OtherRequest,
}

/// An answer as it is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The status.
    pub status: u16,
    /// The body, without what must not be stored.
    pub body: String,
}

/// What has come of a request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyedEnd {
    /// It was decided, and the same request is answered with this from now on.
    Answered(KeptAnswer),
    /// Nothing was done. The key is free again, also for another request.
    Nothing,
    /// It failed, and may have been done. The same request may be made again.
    Unsure,
}

impl KeyedRequest {
    /// The request `method` of `who` to `route`, which stands for all `target`s of its kind, with the bytes of its body.
    #[must_use]
    pub fn new(who: &str, key: &str, method: &str, route: &str, target: &str, body: &[u8]) -> KeyedRequest {
        KeyedRequest {
            owner: owner_of(who),
            key: hashed(&[who, method, route, key].map(str::as_bytes)),
            request: hashed(&[method.as_bytes(), target.as_bytes(), body]),
        }
    }
}

/// By what it is known who asks.
pub(super) fn owner_of(who: &str) -> String {
    hashed(&["owner".as_bytes(), who.as_bytes()])
}

/// The SHA-256 of these parts, each with its length before it.
fn hashed(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sub: &str, key: &str, route: &str, target: &str, body: &str) -> KeyedRequest {
        KeyedRequest::new(sub, key, "PUT", route, target, body.as_bytes())
    }

    #[test]
    fn a_key_belongs_to_who_asks_and_a_route_and_names_one_request_of_it() {
        let one = put("root", "k", "/v1/a/{id}", "/v1/a/1", "{}");
        assert_eq!(put("root", "k", "/v1/a/{id}", "/v1/a/1", "{}"), one);
        for other in [
            put("root", "k", "/v1/a/{id}", "/v1/a/2", "{}"),
            put("root", "k", "/v1/a/{id}", "/v1/a/1", "{ }"),
        ] {
            assert!(other.key == one.key && other.request != one.request);
        }
        let others = [
            put("toor", "k", "/v1/a/{id}", "/v1/a/1", "{}"),
            put("root", "l", "/v1/a/{id}", "/v1/a/1", "{}"),
            put("root", "k", "/v1/b/{id}", "/v1/a/1", "{}"),
            put("roo", "k", "t/v1/a/{id}", "/v1/a/1", "{}"),
            KeyedRequest::new("root", "k", "POST", "/v1/a/{id}", "/v1/a/1", b"{}"),
        ];
        assert!(others.iter().all(|other| other.key != one.key), "{others:?}");
        assert!(one.owner.len() == 64 && one.key.len() == 64 && one.request.len() == 64);
    }
}
