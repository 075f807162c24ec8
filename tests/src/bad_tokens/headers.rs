//! Headers that want to choose the algorithm or the key.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::keys::{attacker, ours};
use super::{BadToken, bad, hs256, part, secret, sign, sign_bytes, with_signature};
use crate::{SECRET, claims};

pub(super) fn all() -> Vec<BadToken> {
    [algorithms(), shapes(), references(), names()].into_iter().flatten().collect()
}

fn algorithms() -> Vec<BadToken> {
    let mut tokens = Vec::new();
    for none in ["none", "None", "NONE", "nOnE", "none ", " none", "n\u{f3}ne", ""] {
        tokens.push(bad(format!("alg {none:?}"), with_signature(&json!({ "alg": none }), b""), "algorithm"));
        let signed = hs256(&json!({ "alg": none, "typ": "JWT" }), &claims());
        tokens.push(bad(format!("alg {none:?}, signed"), signed, "algorithm"));
    }
    for (other, algorithm) in [("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)] {
        let token = sign(&json!({ "alg": other }), &claims(), &secret(SECRET.as_bytes()), algorithm);
        tokens.push(bad(format!("alg {other} with our secret"), token, "algorithm"));
    }
    for other in
        ["hs256", "HS256 ", "HS-256", "ES384", "ES256K", "RS384", "RS512", "PS256", "EdDSA", "A128KW", "dir"]
    {
        tokens.push(bad(format!("alg {other}"), hs256(&json!({ "alg": other }), &claims()), "algorithm"));
    }
    tokens.push(bad("alg HS256, unsigned", with_signature(&json!({ "alg": "HS256" }), b""), "signature"));
    tokens
}

fn shapes() -> Vec<BadToken> {
    let mut tokens = Vec::new();
    for (name, header) in [
        ("no alg", r#"{"typ":"JWT"}"#),
        ("alg null", r#"{"alg":null}"#),
        ("alg a number", r#"{"alg":256}"#),
        ("alg a list", r#"{"alg":["HS256"]}"#),
        ("alg twice", r#"{"alg":"none","alg":"HS256"}"#),
        ("alg twice, once in disguise", r#"{"alg":"HS256","\u0061lg":"none"}"#),
        ("kid twice", r#"{"alg":"HS256","kid":"a","kid":"b"}"#),
        ("kid a number", r#"{"alg":"HS256","kid":7}"#),
        ("kid an object", r#"{"alg":"HS256","kid":{"$ne":null}}"#),
        ("crit", r#"{"alg":"HS256","crit":["b64"],"b64":false}"#),
        ("crit of a claim", r#"{"alg":"HS256","crit":["exp"],"exp":1}"#),
        ("crit empty", r#"{"alg":"HS256","crit":[]}"#),
        ("crit null", r#"{"alg":"HS256","crit":null}"#),
        ("a list for a header", r#"["HS256"]"#),
        ("a text for a header", r#""HS256""#),
        ("an empty header", "{}"),
        ("a header of broken JSON", r#"{"alg":"HS256""#),
        ("two headers", r#"{"alg":"HS256"}{"alg":"HS256"}"#),
        ("a header after a byte order mark", "\u{feff}{\"alg\":\"HS256\"}"),
    ] {
        let key = secret(SECRET.as_bytes());
        let token = sign_bytes(header.as_bytes(), claims().to_string().as_bytes(), &key, Algorithm::HS256);
        tokens.push(bad(name, token, "malformed"));
    }
    let key = secret(SECRET.as_bytes());
    let token = sign_bytes(b"{\"alg\":\"HS256\",\"kid\":\"\xff\"}", b"{}", &key, Algorithm::HS256);
    tokens.push(bad("a header of broken UTF-8", token, "malformed"));
    tokens
}

/// Headers that bring their own key, or say where it is. All signed with that key.
fn references() -> Vec<BadToken> {
    let (key, jwk) = attacker();
    let mut tokens = Vec::new();
    for (name, header) in [
        ("jwk", json!({ "alg": "ES256", "jwk": jwk })),
        ("jwk with our kid", json!({ "alg": "ES256", "kid": "rfc7515", "jwk": jwk })),
        ("jku", json!({ "alg": "ES256", "kid": "rfc7515", "jku": "https://evil.test/jwks.json" })),
        ("jku inside", json!({ "alg": "ES256", "jku": "http://127.0.0.1:1/jwks.json" })),
        ("jku that looks like ours", json!({ "alg": "ES256", "jku": "https://issuer.test@evil.test/" })),
        ("x5u", json!({ "alg": "ES256", "kid": "rfc7515", "x5u": "https://evil.test/cert.pem" })),
        ("x5u a file", json!({ "alg": "ES256", "x5u": "file:///etc/ssl/certs/ca.pem" })),
        ("x5c", json!({ "alg": "ES256", "x5c": ["MIIB"], "x5t": "AAAA" })),
    ] {
        tokens.push(bad(name, sign(&header, &claims(), &key, Algorithm::ES256), "signature"));
    }
    let own = json!({ "kty": "oct", "k": part("mallory's own secret") });
    let header = json!({ "alg": "HS256", "jwk": own });
    let token = sign(&header, &claims(), &secret(b"mallory's own secret"), Algorithm::HS256);
    tokens.push(bad("jwk with a secret", token, "signature"));
    tokens
}

/// Names of keys that mean something to somebody else.
fn names() -> Vec<BadToken> {
    let mut tokens = Vec::new();
    for (kid, contents) in [
        ("../../../../../../dev/null", &b""[..]),
        ("/dev/null", b""),
        ("file:///proc/sys/kernel/randomize_va_space", b"2\n"),
        ("x' UNION SELECT 'secret' -- ", b"secret"),
        ("; sleep 10", b"secret"),
        ("", b""),
    ] {
        let header = json!({ "alg": "HS256", "kid": kid });
        let token = sign(&header, &claims(), &secret(contents), Algorithm::HS256);
        tokens.push(bad(format!("kid {kid:?} for a secret"), token, "signature"));
    }
    let long = "k".repeat(4_000);
    for kid in
        ["../rfc7515", "' OR 1=1 --", "", "RFC7515", "rfc7515\0", "rfc7515 ", "*", "stranger", "rsa", &long]
    {
        let header = json!({ "alg": "ES256", "kid": kid });
        let token = sign(&header, &claims(), &ours(), Algorithm::ES256);
        let name: String = kid.chars().take(20).collect();
        tokens.push(bad(format!("kid {name:?} for a key"), token, "unknown_key"));
    }
    tokens
}
