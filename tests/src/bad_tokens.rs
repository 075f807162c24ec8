//! Every bad token that is known to have been accepted somewhere, with the cause that it is to be refused for.

mod claims;
mod forms;
mod headers;
mod keys;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::{AUDIENCE, ISSUER, SECRET, claims};
pub use keys::JWKS;
use keys::ours;

/// A token that no relay may accept.
#[derive(Debug)]
pub struct BadToken {
    /// What is wrong with it.
    pub name: String,
    /// The token.
    pub token: String,
    /// As [`relay::admission::auth::AuthError::cause`] says it.
    pub cause: &'static str,
}

/// The configuration of a relay that refuses them: the secret, and the keys of [`JWKS`] where they are published.
#[must_use]
pub fn configuration(jwks_url: &str) -> String {
    format!(
        "data_dir = \"data\"\n[auth]\nhs256_secret = {SECRET:?}\njwks_url = {jwks_url:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n"
    )
}

/// All of them. Made anew each time: some are only bad now.
#[must_use]
pub fn bad_tokens() -> Vec<BadToken> {
    [forms::all(), headers::all(), keys::all(), claims::all()].into_iter().flatten().collect()
}

/// A good token, signed with the published key: what the bad ones are told apart from.
#[must_use]
pub fn good_es256() -> String {
    sign(&json!({ "alg": "ES256", "kid": "rfc7515" }), &claims(), &ours(), Algorithm::ES256)
}

/// Good tokens whose headers name keys of somebody else: nobody follows that, and the signature is right without.
#[must_use]
pub fn good_with_references() -> Vec<String> {
    let references = [
        json!({ "jku": "https://evil.test/jwks.json" }),
        json!({ "x5u": "https://evil.test/cert.pem" }),
        json!({ "x5c": ["MIIB"], "x5t": "AAAA" }),
        json!({ "jwk": { "kty": "oct", "k": "AAAA" } }),
    ];
    let with = |mut header: Value, (name, value): (&String, &Value)| {
        header[name] = value.clone();
        header
    };
    let header =
        |first: Value, reference: &Value| reference.as_object().into_iter().flatten().fold(first, with);
    let es256 = json!({ "alg": "ES256", "kid": "rfc7515" });
    let published = |reference| sign(&header(es256.clone(), reference), &claims(), &ours(), Algorithm::ES256);
    let shared = |reference| hs256(&header(json!({ "alg": "HS256" }), reference), &claims());
    references.iter().flat_map(|reference| [published(reference), shared(reference)]).collect()
}

fn bad(name: impl Into<String>, token: impl Into<String>, cause: &'static str) -> BadToken {
    BadToken { name: name.into(), token: token.into(), cause }
}

/// Whatever the header says, the signature is of this algorithm and key.
fn sign(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes(), key, algorithm)
}

fn sign_bytes(header: &[u8], claims: &[u8], key: &EncodingKey, algorithm: Algorithm) -> String {
    sign_text(&format!("{}.{}", part(header), part(claims)), key, algorithm)
}

/// Signs what is before the last dot as it stands.
fn sign_text(text: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), key, algorithm).expect("signs");
    format!("{text}.{signature}")
}

/// Signed with our own secret.
fn hs256(header: &Value, claims: &Value) -> String {
    sign(header, claims, &secret(SECRET.as_bytes()), Algorithm::HS256)
}

/// The usual header, and these bytes for claims, signed with our own secret.
fn hs256_claims(claims: impl AsRef<[u8]>) -> String {
    sign_bytes(
        br#"{"alg":"HS256","typ":"JWT"}"#,
        claims.as_ref(),
        &secret(SECRET.as_bytes()),
        Algorithm::HS256,
    )
}

/// With this for a signature.
fn with_signature(header: &Value, signature: &[u8]) -> String {
    let [header, claims] = [header, &claims()].map(|json| part(json.to_string()));
    format!("{header}.{claims}.{}", part(signature))
}

fn secret(bytes: &[u8]) -> EncodingKey {
    EncodingKey::from_secret(bytes)
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
