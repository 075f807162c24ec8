//! Tokens that the issuer has signed and that are still not good.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{BadToken, bad, hs256, hs256_claims, secret, sign_bytes};
use crate::{AUDIENCE, ISSUER, SECRET, claims, now, token, token_but};

pub(super) fn all() -> Vec<BadToken> {
    [registered(), names(), metadata(), api_keys(), shapes()].into_iter().flatten().collect()
}

/// `iss`, `aud`, `exp`, `nbf` and `iat`, missing and wrong.
fn registered() -> Vec<BadToken> {
    let now = now();
    let mut tokens = Vec::new();
    for (changes, cause) in [
        (json!({ "iss": null }), "claims"),
        (json!({ "iss": "" }), "issuer"),
        (json!({ "iss": "https://evil.test" }), "issuer"),
        (json!({ "iss": format!("{ISSUER}/") }), "issuer"),
        (json!({ "iss": format!(" {ISSUER}") }), "issuer"),
        (json!({ "iss": ISSUER.to_uppercase() }), "issuer"),
        (json!({ "iss": ISSUER.replace("https", "http") }), "issuer"),
        (json!({ "iss": format!("{ISSUER}.evil.test") }), "issuer"),
        (json!({ "iss": &ISSUER[..ISSUER.len() - 1] }), "issuer"),
        (json!({ "iss": [ISSUER] }), "claims"),
        (json!({ "iss": [ISSUER, "https://evil.test"] }), "claims"),
        (json!({ "iss": { "0": ISSUER } }), "claims"),
        (json!({ "iss": 7 }), "claims"),
        (json!({ "aud": null }), "claims"),
        (json!({ "aud": "" }), "audience"),
        (json!({ "aud": "somebody-else" }), "audience"),
        (json!({ "aud": AUDIENCE.to_uppercase() }), "audience"),
        (json!({ "aud": format!("{AUDIENCE} ") }), "audience"),
        (json!({ "aud": &AUDIENCE[..AUDIENCE.len() - 1] }), "audience"),
        (json!({ "aud": format!("{AUDIENCE},other") }), "audience"),
        (json!({ "aud": [] }), "audience"),
        (json!({ "aud": ["a", "b"] }), "audience"),
        (json!({ "aud": [AUDIENCE, 7] }), "claims"),
        (json!({ "aud": [[AUDIENCE]] }), "claims"),
        (json!({ "aud": { "0": AUDIENCE } }), "claims"),
        (json!({ "aud": true }), "claims"),
        (json!({ "exp": null }), "claims"),
        (json!({ "exp": now - 3_600 }), "expired"),
        (json!({ "exp": now - 10 }), "expired"),
        (json!({ "exp": 0 }), "expired"),
        (json!({ "exp": 0.000_01 }), "expired"),
        (json!({ "exp": -1 }), "claims"),
        (json!({ "exp": "tomorrow" }), "claims"),
        (json!({ "exp": (now + 3_600).to_string() }), "claims"),
        (json!({ "exp": "2999-12-31T00:00:00Z" }), "claims"),
        (json!({ "exp": true }), "claims"),
        (json!({ "exp": [now + 3_600] }), "claims"),
        (json!({ "exp": {} }), "claims"),
        (json!({ "nbf": now + 3_600 }), "not_yet_valid"),
        (json!({ "nbf": now + 10 }), "not_yet_valid"),
        (json!({ "nbf": now as f64 + 3_600.5 }), "not_yet_valid"),
        (json!({ "nbf": 1e300 }), "claims"),
        (json!({ "nbf": "now" }), "claims"),
        (json!({ "nbf": false }), "claims"),
        (json!({ "nbf": -1 }), "claims"),
        (json!({ "nbf": [] }), "claims"),
        (json!({ "iat": "now" }), "claims"),
        (json!({ "iat": {} }), "claims"),
    ] {
        tokens.push(bad(changes.to_string(), token_but(&changes), cause));
    }
    tokens
}

/// Names that are none, wherever a name stands.
fn names() -> Vec<BadToken> {
    let long = "a".repeat(256);
    let mut tokens = vec![bad("no sub", token_but(&json!({ "sub": null })), "claims")];
    for wrong in [
        json!(""),
        json!("   "),
        json!(" ada"),
        json!("ada\n"),
        json!("a\u{0}da"),
        json!("a\u{1b}[2Jda"),
        json!("a\u{7f}da"),
        json!("a\u{85}da"),
        json!("a\u{200b}da"),
        json!("\u{202e}ada"),
        json!("a\u{2028}da"),
        json!("\u{feff}ada"),
        json!("a\u{e0041}da"),
        json!("key:ada"),
        json!(long),
        json!(7),
        json!(true),
        json!(["ada"]),
        json!({ "name": "ada" }),
    ] {
        tokens.push(bad(format!("sub {wrong}"), token_but(&json!({ "sub": wrong })), "claims"));
    }
    for wrong in
        [json!(""), json!("a\u{0}b"), json!(7), json!([]), json!({}), json!(false), json!("\u{202e}a")]
    {
        for claim in ["account", "plan"] {
            let token = token_but(&json!({ "app_metadata": { claim: wrong } }));
            tokens.push(bad(format!("{claim} {wrong}"), token, "claims"));
        }
        tokens.push(bad(format!("session_id {wrong}"), token_but(&json!({ "session_id": wrong })), "claims"));
    }
    tokens
}

/// What the issuer keeps about a user, of the wrong type.
fn metadata() -> Vec<BadToken> {
    let mut tokens = Vec::new();
    for wrong in [
        json!("text"),
        json!(["account"]),
        json!(7),
        json!({ "role": 7 }),
        json!({ "role": { "name": "voxrelay_admin" } }),
        json!({ "role": ["voxrelay_admin", 7] }),
        json!({ "limits": "none" }),
        json!({ "limits": [] }),
        json!({ "limits": [5] }),
        json!({ "limits": { "session_minutes": "5" } }),
        json!({ "limits": { "session_minutes": -1 } }),
        json!({ "limits": { "session_minutes": 1.5 } }),
        json!({ "limits": { "session_usd": -1 } }),
        json!({ "limits": { "session_usd": "five" } }),
        json!({ "limits": { "session_usd": 1e300 } }),
        json!({ "limits": { "session_usd": null, "user_day_usd": [] } }),
        json!({ "limits": { "budget": 5 } }),
    ] {
        tokens.push(bad(
            format!("app_metadata {wrong}"),
            token_but(&json!({ "app_metadata": wrong })),
            "claims",
        ));
    }
    tokens
}

/// Supabase's API keys are signed with the project's secret like the tokens of its users.
fn api_keys() -> Vec<BadToken> {
    let mut tokens = Vec::new();
    for role in ["anon", "service_role"] {
        let key = json!({ "iss": "supabase", "ref": "abcdefgh", "role": role, "iat": now(), "exp": now() + 300_000_000 });
        tokens.push(bad(
            format!("the {role} key"),
            hs256(&json!({ "alg": "HS256", "typ": "JWT" }), &key),
            "claims",
        ));
        tokens.push(bad(format!("{role} with a sub"), token_but(&json!({ "role": role })), "api_key"));
        let both = token_but(&json!({ "role": ["authenticated", role] }));
        tokens.push(bad(format!("{role} among others"), both, "api_key"));
    }
    tokens.push(bad("role a number", token_but(&json!({ "role": 7 })), "claims"));
    tokens
}

/// Claims that are no object, or one that two readers read differently.
fn shapes() -> Vec<BadToken> {
    let good = claims().to_string();
    let open = &good[..good.len() - 1];
    let deep = format!("{open},\"deep\":{}{}}}", "[".repeat(400), "]".repeat(400));
    let list = format!("[\"ada\",{},null,null,\"{ISSUER}\",\"{AUDIENCE}\"]", now() + 3_600);
    let nested = token();
    let mut tokens = Vec::new();
    for (name, json) in [
        ("sub twice", format!("{open},\"sub\":\"admin\"}}")),
        ("sub twice, once in disguise", format!("{open},\"s\\u0075b\":\"admin\"}}")),
        ("exp twice", format!("{open},\"exp\":{}}}", now() + 9_000)),
        ("iss twice", format!("{open},\"iss\":\"{ISSUER}\"}}")),
        ("aud twice", format!("{open},\"aud\":\"{AUDIENCE}\"}}")),
        ("role twice", format!("{open},\"role\":\"authenticated\"}}")),
        ("account twice", format!("{open},\"app_metadata\":{{\"account\":\"a\",\"account\":\"b\"}}}}")),
        ("app_metadata twice", format!("{open},\"app_metadata\":{{}},\"app_metadata\":{{}}}}")),
        ("half a surrogate pair", good.replace("\"ada\"", "\"ada\\ud800\"")),
        ("a number beyond all", format!("{open},\"nbf\":1e400}}")),
        ("not a number", format!("{open},\"nbf\":NaN}}")),
        ("a comma too many", format!("{open},}}")),
        ("something after the end", format!("{good}x")),
        ("two objects", format!("{good}{good}")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("nested too deep", deep),
        ("an empty object", "{}".to_owned()),
        ("a list", "[]".to_owned()),
        ("a list in the order of the claims", list),
        ("a text", "\"ada\"".to_owned()),
        ("a number", "7".to_owned()),
        ("null", "null".to_owned()),
        ("another token", nested.clone()),
        ("another token in quotes", format!("{nested:?}")),
    ] {
        tokens.push(bad(format!("claims: {name}"), hs256_claims(json), "claims"));
    }
    let header = json!({ "alg": "HS256", "cty": "JWT" });
    let key = secret(SECRET.as_bytes());
    let token = sign_bytes(header.to_string().as_bytes(), nested.as_bytes(), &key, Algorithm::HS256);
    tokens.push(bad("a token in a token", token, "claims"));
    let broken = [&b"{\"sub\":\"\xff\xfe\","[..], &good.as_bytes()[1..]].concat();
    tokens.push(bad("claims: broken UTF-8", hs256_claims(broken), "claims"));
    tokens
}
