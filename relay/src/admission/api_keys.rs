//! API keys: with what a server uses the administrators' part of the HTTP API, in place of a token.
//!
//! A key is 256 random bits, so that nobody guesses one and its plain SHA-256 is enough to know it by. The database has nothing else of it, and
//! is asked for each request: a key that is revoked is good at no relay from then on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::auth::Identity;
use crate::config::Secret;
use crate::records::store::ApiKey;

/// How every key begins, so that people and scanners know one when they see it.
pub const PREFIX: &str = "vxr_";
/// How the audit, and whatever else names who did something, tells keys from users: no token names a user that begins so.
pub const SUB_PREFIX: &str = "key:";
/// How many random bytes a key has.
const RANDOM_BYTES: usize = 32;
/// How long a key is in all, in characters.
const LENGTH: usize = PREFIX.len() + (RANDOM_BYTES * 4).div_ceil(3);
/// When a key expires that does so never, for whoever wants a time: the end of the year 9999, in seconds since 1970.
const NEVER: u64 = 253_402_300_799;

/// Makes a key.
#[must_use]
pub fn make() -> Secret {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers once it has given one");
    Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// What the database knows a key by. `None` if the text cannot be a key.
#[must_use]
pub fn hashed(key: &str) -> Option<String> {
    let is_one = key.len() == LENGTH && key.starts_with(PREFIX);
    is_one.then(|| Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Who asks with this key. It is no user: nothing belongs to it, and it makes no calls.
pub(crate) fn identity(key: ApiKey) -> Identity {
    let expires_at = key.expires_at_ms.and_then(|at_ms| u64::try_from(at_ms / 1_000).ok()).unwrap_or(NEVER);
    Identity {
        is_admin: key.is_admin,
        is_reader: key.is_reader,
        api_key: Some(key.id),
        ..Identity::new(format!("{SUB_PREFIX}{}", key.name), String::new(), expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_another_one_and_begins_alike() {
        let (one, other) = (make(), make());
        assert!(one.expose().starts_with("vxr_") && one.expose().len() == 47, "{}", one.expose());
        assert_ne!(one.expose(), other.expose());
        assert_ne!(hashed(one.expose()), hashed(other.expose()));
        assert_eq!(hashed(one.expose()).map(|hash| hash.len()), Some(64));
    }

    #[test]
    fn what_is_no_key_is_not_looked_for() {
        let key = make();
        let cut = &key.expose()[..46];
        let longer = format!("{}a", key.expose());
        let other = key.expose().replacen("vxr_", "vxr-", 1);
        for text in ["", "vxr_", cut, &longer, &other] {
            assert_eq!(hashed(text), None, "{text}");
        }
    }
}
