//! The keys tokens are checked with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::DecodePublicKey;
use rsa::BigUint;
use rsa::traits::PublicKeyParts;
use serde::Deserialize;

use super::claims::Head;

/// Bits of an RSA modulus: 2,048 as RFC 7518, 3.3 wants, to the 4,096 that the library takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;
/// Bytes of a coordinate on P-256.
const P256_COORDINATE_BYTES: usize = 32;
/// Keys of one issuer that are kept: each is tried for a token that names none.
const KEYS_MAX: usize = 32;

/// A key of ours, with the one algorithm it is for.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// A public key of the configuration, with the one algorithm it is for.
#[derive(Clone, Debug)]
pub struct PublicKey {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// Why a text is no public key to check tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// It is the other half.
    #[error("that is a private key: give the public one, such as `openssl pkey -pubout` makes")]
    Private,
    /// An RSA key that is too short to be safe.
    #[error("an RSA key of {bits} bits: give one of 2048 to 4096 bits, or P-256")]
    Weak {
        /// Bits of its modulus.
        bits: usize,
    },
    /// Anything else.
    #[error("give a public key as PEM (-----BEGIN PUBLIC KEY-----): RSA of 2048 to 4096 bits, or P-256")]
    Unsupported,
}

/// What an issuer publishes.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

impl PublicKey {
    /// Reads a public key in PEM (SPKI).
    ///
    /// # Errors
    /// For anything but RSA of 2,048 to 4,096 bits and P-256.
    pub fn from_pem(pem: &str) -> Result<PublicKey, PublicKeyError> {
        let pem = pem.trim();
        if pem.contains("PRIVATE KEY-----") {
            return Err(PublicKeyError::Private);
        }
        if let Ok(key) = p256::PublicKey::from_public_key_pem(pem) {
            let point = key.to_encoded_point(false);
            let (Some(x), Some(y)) = (point.x(), point.y()) else { return Err(PublicKeyError::Unsupported) };
            let decoding =
                DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y));
            let decoding = decoding.map_err(|_| PublicKeyError::Unsupported)?;
            return Ok(PublicKey { algorithm: Algorithm::ES256, decoding });
        }
        let key = rsa::RsaPublicKey::from_public_key_pem(pem).map_err(|_| PublicKeyError::Unsupported)?;
        let bits = key.n().bits();
        if !RSA_BITS.contains(&bits) {
            return Err(PublicKeyError::Weak { bits });
        }
        let decoding = DecodingKey::from_rsa_raw_components(&key.n().to_bytes_be(), &key.e().to_bytes_be());
        Ok(PublicKey { algorithm: Algorithm::RS256, decoding })
    }
}

impl KeySet {
    /// The keys of the configuration.
    pub(super) fn of(keys: &[PublicKey]) -> KeySet {
        let keys = keys.iter().cloned();
        KeySet {
            keys: keys
                .map(|PublicKey { algorithm, decoding }| Key { kid: None, algorithm, decoding })
                .collect(),
        }
    }

    /// Reads a JWK set and keeps the keys that are for signatures and strong enough. A key that we do not understand does not
    /// spoil the others (RFC 7517, 5). Secrets have no place in a published set.
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

    /// Whether there is a key to try.
    pub(super) fn has(&self, head: &Head, algorithm: Algorithm) -> bool {
        self.matching(head, algorithm).next().is_some()
    }

    /// The keys for this algorithm, whatever they are called.
    pub(super) fn of_algorithm(&self, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.algorithm == algorithm)
    }

    /// Whether there is a key of the id that the token names, for whatever algorithm.
    pub(super) fn names(&self, head: &Head) -> bool {
        head.kid.is_some() && self.keys.iter().any(|key| key.kid == head.kid)
    }

    /// The keys to try: those of the named id, all if none is named.
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

    fn pem(der: &[u8]) -> String {
        let base64 = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> =
            (0..base64.len()).step_by(64).map(|at| &base64[at..base64.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// SPKI of an RSA key with a modulus of so many bytes.
    fn rsa_der(bytes: u16) -> Vec<u8> {
        let long = |tag: &[u8], length: u16| [tag, &[0x82], &length.to_be_bytes()].concat();
        [
            &long(&[0x30], bytes + 34)[..],
            &[0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0],
            &long(&[0x03], bytes + 15),
            &[0],
            &long(&[0x30], bytes + 10),
            &long(&[0x02], bytes + 1),
            &[0],
            &vec![0xc3; bytes.into()],
            &[2, 3, 1, 0, 1],
        ]
        .concat()
    }

    #[test]
    fn a_configured_key_is_strong_and_public() {
        let accepted = |pem: &str| PublicKey::from_pem(pem).map(|key| key.algorithm);
        for bytes in [256, 384, 512] {
            assert_eq!(accepted(&pem(&rsa_der(bytes))), Ok(Algorithm::RS256), "{bytes}");
        }
        assert_eq!(accepted(&pem(&rsa_der(255))), Err(PublicKeyError::Weak { bits: 2_040 }));
        assert_eq!(accepted(&pem(&rsa_der(1_024))), Err(PublicKeyError::Unsupported));
        // RFC 7515, A.3; then a point that is not on the curve.
        let good = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==";
        let spki = |base64: &str| format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----");
        assert_eq!(accepted(&spki(good)), Ok(Algorithm::ES256));
        for wrong in [
            spki(&good.replace("jlrQ==", "jlrA==")),
            spki("AAAA"),
            spki(""),
            good.to_owned(),
            spki(good).replace("PUBLIC KEY", "CERTIFICATE"),
        ] {
            assert_eq!(accepted(&wrong), Err(PublicKeyError::Unsupported), "{wrong}");
        }
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            assert_eq!(accepted(&spki(good).replace("PUBLIC KEY", label)), Err(PublicKeyError::Private));
        }
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
}
