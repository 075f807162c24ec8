//! Signatures by keys that are not the issuer's, and public keys taken for secrets.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{BadToken, bad, good_es256, part, secret, sign, with_signature};
use crate::{SECRET, claims};

/// The public keys of RFC 7515, appendices A.3 and A.2, as an issuer publishes them.
pub const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"rfc7515","alg":"ES256","use":"sig",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    {"kty":"RSA","kid":"rsa","alg":"RS256","use":"sig","e":"AQAB",
    "n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#;
/// The private half of the first, from the same appendix.
const EC_PRIVATE: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
/// What is before the private number of a P-256 key in PKCS #8.
const PKCS8_P256: &[u8] = b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x27\x30\x25\x02\x01\x01\x04\x20";
/// What is before the uncompressed point of a P-256 key in SPKI.
const SPKI_P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// What is around the modulus of an RSA key of 2,048 bits in SPKI.
const SPKI_RSA: [&[u8]; 2] = [
    b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00\x30\x82\x01\x0a\x02\x82\x01\x01\x00",
    b"\x02\x03\x01\x00\x01",
];
/// The order of P-256's group (SEC 2, 2.4.2).
const P256_ORDER: &[u8] = b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";

/// The published key's private half.
pub(super) fn ours() -> EncodingKey {
    ec(&URL_SAFE_NO_PAD.decode(EC_PRIVATE).expect("base64url"))
}

/// A key that nobody knows, with its public half.
pub(super) fn attacker() -> (EncodingKey, Value) {
    let key = ec(&[7; 32]);
    let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
    (key, serde_json::to_value(jwk).expect("JSON"))
}

pub(super) fn all() -> Vec<BadToken> {
    [secrets(), public_keys_as_secrets(), signatures()].into_iter().flatten().collect()
}

fn ec(private: &[u8]) -> EncodingKey {
    EncodingKey::from_ec_der(&[PKCS8_P256, private].concat())
}

fn secrets() -> Vec<BadToken> {
    let upper = SECRET.to_uppercase();
    let (line, coded) = (format!("{SECRET}\n"), STANDARD.encode(SECRET));
    let mut tokens = Vec::new();
    for (name, bytes) in [
        ("an empty secret", &b""[..]),
        ("one zero byte", b"\0"),
        ("a short secret", b"secret"),
        ("another secret as long", b"another secret, just as long as the right one"),
        ("our secret in capitals", upper.as_bytes()),
        ("our secret and a line end", line.as_bytes()),
        ("our secret in base64", coded.as_bytes()),
        ("half of our secret", &SECRET.as_bytes()[..SECRET.len() / 2]),
    ] {
        let token = sign(&json!({ "alg": "HS256" }), &claims(), &secret(bytes), Algorithm::HS256);
        tokens.push(bad(name, token, "signature"));
    }
    tokens
}

/// A public key is no secret: whoever signs with it is a forger, whatever form it has.
fn public_keys_as_secrets() -> Vec<BadToken> {
    let set: Value = serde_json::from_str(JWKS).expect("JSON");
    let field = |key: usize, name: &str| set["keys"][key][name].as_str().expect("a text").to_owned();
    let bytes = |key: usize, name: &str| URL_SAFE_NO_PAD.decode(field(key, name)).expect("base64url");
    let point = [&[4][..], &bytes(0, "x"), &bytes(0, "y")].concat();
    let ec_der = [SPKI_P256, &point].concat();
    let rsa_der = [SPKI_RSA[0], &bytes(1, "n"), SPKI_RSA[1]].concat();
    let mut tokens = Vec::new();
    for (at, kid, der) in [(0, "rfc7515", &ec_der), (1, "rsa", &rsa_der)] {
        let pem = pem(der);
        let forms = [
            ("PEM", pem.clone().into_bytes()),
            ("PEM without the last line end", pem.trim_end().into()),
            ("PEM with Windows line ends", pem.replace('\n', "\r\n").into_bytes()),
            ("PEM on one line", pem.replace('\n', "").into_bytes()),
            ("DER", der.clone()),
            ("DER in base64", STANDARD.encode(der).into_bytes()),
            ("JWK", set["keys"][at].to_string().into_bytes()),
        ];
        for (form, bytes) in forms {
            let header = json!({ "alg": "HS256", "kid": kid });
            let token = sign(&header, &claims(), &secret(&bytes), Algorithm::HS256);
            tokens.push(bad(format!("the public key {kid} as {form} for a secret"), token, "signature"));
        }
    }
    let (x, n) = (field(0, "x"), field(1, "n"));
    for (name, bytes) in [
        ("the key set", JWKS.as_bytes()),
        ("the point", &point),
        ("the point's x as text", x.as_bytes()),
        ("the modulus", &bytes(1, "n")),
        ("the modulus as text", n.as_bytes()),
    ] {
        let token = sign(&json!({ "alg": "HS256" }), &claims(), &secret(bytes), Algorithm::HS256);
        tokens.push(bad(format!("{name} for a secret"), token, "signature"));
    }
    tokens
}

fn signatures() -> Vec<BadToken> {
    let (es256, rs256) =
        (json!({ "alg": "ES256", "kid": "rfc7515" }), json!({ "alg": "RS256", "kid": "rsa" }));
    let (stranger, _) = attacker();
    let good = good_es256();
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let integer = |half: &[u8]| [&[2, 33, 0][..], half].concat();
    let der = [&[0x30, 70][..], &integer(&raw[..32]), &integer(&raw[32..])].concat();
    let mut tokens = vec![
        bad("ES256 by a stranger", sign(&es256, &claims(), &stranger, Algorithm::ES256), "signature"),
        bad(
            "ES256 by a stranger, no kid",
            sign(&json!({ "alg": "ES256" }), &claims(), &stranger, Algorithm::ES256),
            "signature",
        ),
        bad(
            "ES256 with our secret",
            sign(&es256, &claims(), &secret(SECRET.as_bytes()), Algorithm::HS256),
            "signature",
        ),
        bad(
            "RS256 with our secret",
            sign(&rs256, &claims(), &secret(SECRET.as_bytes()), Algorithm::HS256),
            "signature",
        ),
        bad("RS256 with our EC key", sign(&rs256, &claims(), &ours(), Algorithm::ES256), "signature"),
        bad(
            "HS256 with our EC key",
            sign(&json!({ "alg": "HS256" }), &claims(), &ours(), Algorithm::ES256),
            "signature",
        ),
        bad("ES256 in DER", format!("{signed}.{}", part(der)), "signature"),
        bad("half an ES256 signature", format!("{signed}.{}", part(&raw[..32])), "signature"),
        bad(
            "ES256 with r and s exchanged",
            format!("{signed}.{}", part([&raw[32..], &raw[..32]].concat())),
            "signature",
        ),
        bad("ES256 expired", sign(&es256, &expired(), &ours(), Algorithm::ES256), "expired"),
        bad("ES256 of the service role", sign(&es256, &service(), &ours(), Algorithm::ES256), "api_key"),
    ];
    for (name, signature) in [
        ("nothing", vec![]),
        ("r = s = 0", vec![0; 64]),
        ("r = 0", [&[0; 32][..], &[1; 32]].concat()),
        ("s = 0", [&[1; 32][..], &[0; 32]].concat()),
        ("r = s = the order", [P256_ORDER, P256_ORDER].concat()),
        ("r = s = 1", [&[0; 31][..], &[1], &[0; 31], &[1]].concat()),
        ("all ones", vec![0xff; 64]),
    ] {
        tokens.push(bad(format!("ES256 signature: {name}"), with_signature(&es256, &signature), "signature"));
    }
    for (name, signature) in
        [("nothing", vec![]), ("zeros", vec![0; 256]), ("one", [&[0; 255][..], &[1]].concat())]
    {
        tokens.push(bad(format!("RS256 signature: {name}"), with_signature(&rs256, &signature), "signature"));
    }
    tokens
}

fn expired() -> Value {
    let mut claims = claims();
    claims["exp"] = json!(crate::now() - 3_600);
    claims
}

fn service() -> Value {
    let mut claims = claims();
    claims["role"] = json!("service_role");
    claims
}

fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..base64.len()).step_by(64).map(|at| &base64[at..base64.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}
