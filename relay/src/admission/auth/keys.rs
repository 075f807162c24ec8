//! The keys that tokens are checked with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use rsa::BigUint;
use serde::Deserialize;

use super::claims::Head;
use crate::config::{PublicKey, RSA_BITS};

/// How many bytes a coordinate on P-256 has.
const P256_COORDINATE_BYTES: usize = 32;
/// How many keys of one issuer are kept at most, because each of them is tried for a token that names none.
const KEYS_MAX: usize = 32;

/// A key that the relay trusts, with the one algorithm that it is for.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// A set of keys, as an issuer publishes it or as it is configured.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// The set of the configured keys.
    pub(super) fn of(keys: &[PublicKey]) -> KeySet {
        let keys = keys.iter().cloned();
        KeySet {
            keys: keys
                .map(|PublicKey { algorithm, decoding }| Key { kid: None, algorithm, decoding })
                .collect(),
        }
    }

    /// Reads a JWK set and keeps the public keys that are for signatures and strong enough. Other keys in the set are left out (RFC 7517, 5),
    /// and so are secrets, which have no place in a published set.
    pub(super) fn parse(json: &[u8]) -> Result<KeySet, serde_json::Error> {
        #[derive(Deserialize)]
        struct File {
            keys: Vec<serde_json::Value>,
        }
        let file: File = serde_json::from_slice(json)?;
        let keys = file.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(KeySet { keys: keys.filter_map(|key: Jwk| read(&key)).take(KEYS_MAX).collect() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is a key to try for this token.
    pub(super) fn has(&self, head: &Head, algorithm: Algorithm) -> bool {
        self.matching(head, algorithm).next().is_some()
    }

    /// All keys for this algorithm, whatever their names.
    pub(super) fn of_algorithm(&self, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.algorithm == algorithm)
    }

    /// Whether there is a key with the id that the token names, for any algorithm.
    pub(super) fn names(&self, head: &Head) -> bool {
        head.kid.is_some() && self.keys.iter().any(|key| key.kid == head.kid)
    }

    /// The keys to try for this token: those with the id that it names, and those without an id. If it names none, all of them.
    pub(super) fn matching<'a>(
        &'a self,
        head: &'a Head,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| {
            key.algorithm == algorithm
                && match (&head.kid, &key.kid) {
                    (Some(asked), Some(kid)) => asked == kid,
                    (None, _) | (_, None) => true,
                }
        })
    }
}

/// A key of a JWK set, if it is for signatures and strong enough.
fn read(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    let for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !for_signatures {
        return None;
    }
    let algorithm = match (&jwk.algorithm, common.key_algorithm) {
        (AlgorithmParameters::RSA(rsa), None | Some(KeyAlgorithm::RS256)) => {
            let modulus = BigUint::from_bytes_be(&URL_SAFE_NO_PAD.decode(&rsa.n).ok()?);
            RSA_BITS.contains(&modulus.bits()).then_some(Algorithm::RS256)?
        }
        (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES256))
            if ec.curve == EllipticCurve::P256 =>
        {
            let whole = |coordinate: &str| {
                URL_SAFE_NO_PAD.decode(coordinate).is_ok_and(|bytes| bytes.len() == P256_COORDINATE_BYTES)
            };
            (whole(&ec.x) && whole(&ec.y)).then_some(Algorithm::ES256)?
        }
        _ => return None,
    };
    Some(Key { kid: common.key_id.clone(), algorithm, decoding: DecodingKey::from_jwk(jwk).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn count(keys: &serde_json::Value) -> usize {
        KeySet::parse(&serde_json::to_vec(&json!({ "keys": keys })).expect("JSON")).expect("a set").len()
    }

    #[test]
    fn only_strong_keys_for_signatures_are_kept() {
        let n = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xc3; bytes]);
        let xy = URL_SAFE_NO_PAD.encode([1; 32]);
        assert_eq!(count(&json!([{ "kty": "RSA", "n": n(256), "e": "AQAB" }])), 1);
        assert_eq!(
            count(&json!([{ "kty": "EC", "crv": "P-256", "x": xy, "y": xy, "alg": "ES256", "use": "sig" }])),
            1
        );
        for refused in [
            json!({ "kty": "RSA", "n": n(128), "e": "AQAB" }),
            json!({ "kty": "RSA", "n": n(256), "e": "AQAB", "use": "sig", "key_ops": ["encrypt"] }),
            json!({ "kty": "RSA", "n": n(256), "e": "AQAB", "use": "enc", "key_ops": ["verify"] }),
            json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([vec![0; 128], vec![0xc3; 128]].concat()), "e": "AQAB" }),
            json!({ "kty": "RSA", "n": n(1024), "e": "AQAB" }),
            json!({ "kty": "RSA", "n": n(256), "e": "AQAB", "use": "enc" }),
            json!({ "kty": "RSA", "n": n(256), "e": "AQAB", "alg": "PS256" }),
            json!({ "kty": "RSA", "n": n(256), "e": "AQAB", "key_ops": ["encrypt"] }),
            json!({ "kty": "EC", "crv": "P-384", "x": xy, "y": xy }),
            json!({ "kty": "EC", "crv": "P-256", "x": "AQ", "y": xy }),
            json!({ "kty": "oct", "k": n(64), "alg": "HS256" }),
            json!({ "kty": "unheard-of" }),
            json!("no key at all"),
        ] {
            assert_eq!(count(&json!([refused, { "kty": "RSA", "n": n(256), "e": "AQAB" }])), 1, "{refused}");
        }
    }

    #[test]
    fn of_a_large_set_the_first_keys_are_kept() {
        let n = URL_SAFE_NO_PAD.encode(vec![0xc3; 256]);
        let set = |keys: usize| json!(vec![json!({ "kty": "RSA", "n": n, "e": "AQAB" }); keys]);
        assert_eq!((count(&set(32)), count(&set(33))), (32, 32));
    }

    #[test]
    fn a_key_is_tried_for_a_token_of_its_algorithm_that_names_it_or_where_one_of_them_has_no_name() {
        let xy = URL_SAFE_NO_PAD.encode([1; 32]);
        let set = |kid: Option<&str>| {
            let key = json!({ "kty": "EC", "crv": "P-256", "x": xy, "y": xy, "kid": kid });
            KeySet::parse(&serde_json::to_vec(&json!({ "keys": [key] })).expect("JSON")).expect("a set")
        };
        for (asked, kid, has, names) in [
            (Some("a"), Some("a"), true, true),
            (Some("a"), Some("b"), false, false),
            (Some("a"), None, true, false),
            (None, Some("a"), true, false),
            (None, None, true, false),
        ] {
            let head: Head = serde_json::from_value(json!({ "alg": "ES256", "kid": asked })).expect("a head");
            let keys = set(kid);
            assert_eq!(keys.has(&head, Algorithm::ES256), has, "{asked:?} of {kid:?}");
            assert_eq!(keys.names(&head), names, "{asked:?} of {kid:?}");
            assert!(!keys.has(&head, Algorithm::RS256), "{asked:?} of {kid:?}");
            assert_eq!(keys.of_algorithm(Algorithm::ES256).count(), 1);
            assert_eq!(keys.of_algorithm(Algorithm::RS256).count(), 0);
        }
    }
}
