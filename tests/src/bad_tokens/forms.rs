//! What is no token at all, or one that something happened to.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{BadToken, bad, part, secret, sign_text};
use crate::{SECRET, token, token_but};

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn all() -> Vec<BadToken> {
    let good = token();
    let [head, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let other = token_but(&json!({ "sub": "mallory" }));
    let others: Vec<&str> = other.split('.').collect();
    // 43 characters hold 258 bits: the last two are not the signature's.
    let last = signature.bytes().last().expect("a signature");
    let at = ALPHABET.iter().position(|byte| *byte == last).expect("base64url");
    let loose = format!("{}{}", &signature[..signature.len() - 1], char::from(ALPHABET[at + 1]));
    let hex: String = URL_SAFE_NO_PAD
        .decode(signature)
        .expect("base64url")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let reversed: String = signature.chars().rev().collect();
    let key = secret(SECRET.as_bytes());
    let standard = STANDARD.encode(r#"{"alg":"HS256","x":"???????>>>>>>>"}"#);
    let padded = format!("{}==", part(r#"{"alg":"HS256" }"#));
    let sign = |text: &str| sign_text(text, &key, Algorithm::HS256);
    vec![
        bad("nothing", "", "missing"),
        bad("no token", "not a token", "malformed"),
        bad("dots only", "..", "malformed"),
        bad("one part", head, "malformed"),
        bad("two parts", format!("{head}.{claims}"), "malformed"),
        bad("four parts", format!("{good}.{signature}"), "malformed"),
        bad("five parts, as if it were encrypted", format!("{head}.{claims}.{signature}.a.b"), "malformed"),
        bad("Bearer before it", format!("Bearer {good}"), "malformed"),
        bad("a space before it", format!(" {good}"), "malformed"),
        bad("a line end after it", format!("{good}\n"), "malformed"),
        bad("a line end in it", format!("{head}.{claims}\n.{signature}"), "signature"),
        bad("a zero byte in it", format!("{head}\0.{claims}.{signature}"), "malformed"),
        bad("in quotes", format!("\"{good}\""), "malformed"),
        bad("letters outside of ASCII", format!("{good}é"), "malformed"),
        bad("percent signs", good.replace('.', "%2e"), "malformed"),
        bad("header with padding", sign(&format!("{padded}.{claims}")), "malformed"),
        bad("header in the other alphabet", sign(&format!("{standard}.{claims}")), "malformed"),
        bad("claims with padding", sign(&format!("{head}.{claims}=")), "malformed"),
        bad("signature with padding", format!("{good}="), "malformed"),
        bad("signature with loose bits", format!("{head}.{claims}.{loose}"), "malformed"),
        bad("signature that is no base64url", format!("{head}.{claims}.!"), "malformed"),
        bad("no signature", format!("{head}.{claims}."), "signature"),
        bad("no header", format!(".{claims}.{signature}"), "malformed"),
        bad("no claims", format!("{head}..{signature}"), "signature"),
        bad("no claims, signed", sign(&format!("{head}.")), "claims"),
        bad("a cut signature", format!("{head}.{claims}.{}", &signature[..signature.len() - 3]), "signature"),
        bad("more after the signature", format!("{good}AAAA"), "signature"),
        bad("signature backwards", format!("{head}.{claims}.{}A", &reversed[1..]), "signature"),
        bad("signature in hexadecimal", format!("{head}.{claims}.{hex}"), "signature"),
        bad("signature of another token", format!("{head}.{claims}.{}", others[2]), "signature"),
        bad("claims of another token", format!("{head}.{}.{signature}", others[1]), "signature"),
        bad("claims that are no base64url", sign(&format!("{head}.{{}}")), "malformed"),
        bad("more than 8 KiB", token_but(&json!({ "email": "a".repeat(8 * 1_024) })), "too_large"),
    ]
}
