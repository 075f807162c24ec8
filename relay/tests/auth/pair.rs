use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::rand_core::OsRng;
use serde_json::Value;

/// A key pair of the issuer.
pub(crate) struct Pair {
    pub(crate) signing: EncodingKey,
    pub(crate) public: Jwk,
    pub(crate) public_pem: String,
    pub(crate) public_der: Vec<u8>,
}

impl Pair {
    pub(crate) fn ec(kid: &str) -> Pair {
        let secret = p256::SecretKey::random(&mut OsRng);
        let signing = EncodingKey::from_ec_der(secret.to_pkcs8_der().expect("DER").as_bytes());
        Pair::new(
            signing,
            Algorithm::ES256,
            kid,
            secret.public_key().to_public_key_der().expect("DER").into_vec(),
        )
    }

    pub(crate) fn rsa(kid: &str) -> Pair {
        let secret = rsa::RsaPrivateKey::new(&mut OsRng, 2_048).expect("a key");
        let signing = EncodingKey::from_rsa_der(secret.to_pkcs1_der().expect("DER").as_bytes());
        Pair::new(
            signing,
            Algorithm::RS256,
            kid,
            secret.to_public_key().to_public_key_der().expect("DER").into_vec(),
        )
    }

    fn new(signing: EncodingKey, algorithm: Algorithm, kid: &str, public_der: Vec<u8>) -> Pair {
        let mut public = Jwk::from_encoding_key(&signing, algorithm).expect("a public key");
        public.common.key_id = Some(kid.to_owned());
        let base64 = STANDARD.encode(&public_der);
        let lines: Vec<&str> =
            (0..base64.len()).step_by(64).map(|at| &base64[at..base64.len().min(at + 64)]).collect();
        let public_pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        Pair { signing, public, public_pem, public_der }
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.signing).expect("signed")
    }
}
