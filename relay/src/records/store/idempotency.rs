//! Writes over the HTTP API that come with a key of their own (`Idempotency-Key`), so that a client whose answer was lost may send them again.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// For how long a key is kept.
pub const KEYED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// How many keys are kept of one who asks. The oldest go first.
pub const KEYED_MAX: u32 = 10_000;
/// How long a relay that is at work on a request with a key may say nothing. Afterwards it counts as lost, and the request may be made again.
pub const KEYED_LEASE: Duration = Duration::from_secs(60);
/// How often a relay says that it is at work on a request with a key.
pub const KEYED_RENEWAL: Duration = Duration::from_secs(20);

/// A request with a key. Everything in it is a hash: neither names nor the words of a request are stored with the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Who asks.
    pub owner: String,
    /// Who asks, the route, and the key.
    pub key: String,
    /// The whole request.
    pub request: String,
    /// The user whom the request names, and its answer with it, if its body names one. With that user it is erased.
    pub about: Option<String>,
}

/// What a relay is to do with a request that has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyed {
    /// It does what is asked.
    Act(KeyedWork),
    /// It repeats this answer.
    Answered(KeptAnswer),
    /// It does nothing: the same request is being answered.
    UnderWay,
    /// It does nothing: the key came with another request.
    OtherRequest,
}

/// A request with a key that a relay is at work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedWork {
    /// [`KeyedRequest::key`].
    pub key: String,
    /// What the request makes has this id: if another relay was lost while it did the same, it is made once.
    pub act: String,
    /// Who is at work on it. If the request is begun again it is somebody else, and nothing that the one before writes counts any more.
    pub holder: String,
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
    /// Nothing was done. The key is free again, also for another request, unless somebody was at work on it before and may have done it.
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
            about: named_in(body).as_deref().map(owner_of),
        }
    }
}

/// The user whom the body of a request names. Whatever is written of one has the name in one of these fields.
fn named_in(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    ["user_sub", "subject"].iter().find_map(|field| body[field].as_str()).map(str::to_owned)
}

/// By what it is known who asks, or whom a request names.
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
        assert_eq!(one.about, None);
        for body in [r#"{"user_sub":"root"}"#, r#"{"kind":"sub","subject":"root"}"#] {
            assert_eq!(put("toor", "k", "/", "/", body).about, Some(owner_of("root")), "{body}");
        }
        assert!(one.owner.len() == 64 && one.key.len() == 64 && one.request.len() == 64);
    }
}
