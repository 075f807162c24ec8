//! A public key that tokens are checked with, as an operator gives it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;

/// Bits of an RSA modulus: 2,048 as RFC 7518, 3.3 wants, to the 4,096 that the library takes.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;

/// A public key of the configuration, with the one algorithm it is for.
#[derive(Clone, Debug)]
pub struct PublicKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
