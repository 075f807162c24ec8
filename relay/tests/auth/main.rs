//! Every bad token that is known to have been accepted somewhere, and the good ones beside them.

mod identity;
mod issuers;
mod pair;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pair::Pair;
use relay::Config;
use relay::admission::auth::{AuthError, Identity, Verifier};
use relay::config::{Secret, TokenLimits};
use serde_json::{Value, json};

const SECRET: &str = "an-example-secret-of-more-than-32-bytes";
const ISSUER: &str = "https://project.supabase.co/auth/v1";
const AUDIENCE: &str = "authenticated";
const USER: &str = "0d5b3c9e-6f0a-4a55-9c8b-0d8d6f6f8a11";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": USER, "iat": now(), "exp": now() + 3_600, "role": "authenticated",
        "aal": "aal1", "session_id": "b5c1", "email": "ada@example.com", "is_anonymous": false,
    })
}

/// The good claims with some of them changed; `null` takes one away.
fn but(changes: &Value) -> Value {
    let mut claims = good();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => claims.as_object_mut().expect("an object").remove(name),
            value => claims.as_object_mut().expect("an object").insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn hs256(claims: &Value) -> String {
    hs256_with(SECRET.as_bytes(), claims)
}

fn hs256_with(secret: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).expect("signed")
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

fn configured(secret: Option<&str>, jwks_url: Option<&str>) -> Verifier {
    let mut config = Config::defaults().auth;
    config.hs256_secret = secret.map(|secret| Secret::new(secret.to_owned()));
    config.jwks_url = jwks_url.map(|url| url.parse().expect("a URL"));
    config.issuers = vec![ISSUER.to_owned()];
    config.audiences = vec![AUDIENCE.to_owned()];
    Verifier::from_config(&config).expect("a verifier")
}

async fn verify(verifier: &Verifier, token: &str) -> Result<Identity, AuthError> {
    verifier.check(token).await.map_err(|refused| refused.error)
}

/// Publishes keys on this machine; says where, and counts who asks.
async fn publish(keys: &[&Pair]) -> (String, Arc<AtomicUsize>) {
    let set = json!({ "keys": keys.iter().map(|pair| &pair.public).collect::<Vec<_>>() }).to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let answer = move || async move {
        counter.fetch_add(1, Ordering::SeqCst);
        set
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/.well-known/jwks.json", listener.local_addr().expect("bound"));
    let routes = Router::new().route("/.well-known/jwks.json", get(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, asked)
}

#[tokio::test]
async fn a_good_token_says_who_it_is() {
    let verifier = configured(Some(SECRET), None);
    let expires = now() + 3_600;
    let identity = verify(&verifier, &hs256(&but(&json!({ "exp": expires })))).await.expect("good");
    assert_eq!(
        (identity.sub.as_str(), identity.expires_at, identity.login.as_deref()),
        (USER, expires, Some("b5c1"))
    );
}

#[tokio::test]
async fn every_lawful_form_of_a_claim_is_accepted() {
    let verifier = configured(Some(SECRET), None);
    for changes in [
        json!({ "aud": [AUDIENCE] }),
        json!({ "aud": ["something-else", AUDIENCE] }),
        json!({ "exp": now() as f64 + 100.5 }),
        json!({ "nbf": now() - 10 }),
        json!({ "nbf": 0.0, "iat": 0.0 }),
        json!({ "nbf": now() + 3 }),
        json!({ "exp": now() - 3 }),
        json!({ "role": null, "session_id": null }),
        json!({ "role": ["authenticated"] }),
        json!({ "is_anonymous": true }),
        json!({ "user_metadata": { "role": "service_role", "sub": "someone-else" } }),
        json!({ "exp": u64::MAX }),
    ] {
        let verified = verify(&verifier, &hs256(&but(&changes))).await;
        assert!(verified.is_ok(), "{changes}: {verified:?}");
    }
    let latest = verify(&verifier, &hs256(&but(&json!({ "exp": u64::MAX }))))
        .await
        .map(|identity| identity.expires_at);
    assert_eq!(latest, Ok(253_402_300_799));
}

#[tokio::test]
async fn what_is_no_token_of_ours_is_refused() {
    let verifier = configured(Some(SECRET), None);
    let ours = hs256(&good());
    let [head, claims, signature] = ours.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let other_claims = URL_SAFE_NO_PAD.encode(but(&json!({ "sub": "admin" })).to_string());
    let crit = json!({ "alg": "HS256", "crit": ["b64"], "b64": false });
    for (token, expected) in [
        (String::new(), AuthError::Missing),
        ("garbage".into(), AuthError::Malformed),
        ("...".into(), AuthError::Malformed),
        ("..".into(), AuthError::Malformed),
        ("é.é.é".into(), AuthError::Malformed),
        (format!("{ours}.{signature}"), AuthError::Malformed),
        (format!("Bearer {ours}"), AuthError::Malformed),
        (format!("{head}.{claims}"), AuthError::Malformed),
        (format!("{head}.{claims}."), AuthError::Signature),
        (format!("{head}.{other_claims}.{signature}"), AuthError::Signature),
        (format!("{head}.{claims}.{}", &signature[..signature.len() - 3]), AuthError::Signature),
        (format!("{head}.{claims}.!"), AuthError::Malformed),
        (hs256_with(b"another-secret-of-more-than-32-bytes!!", &good()), AuthError::Signature),
        (hs256_with(b"", &good()), AuthError::Signature),
        (unsigned(&json!({ "alg": "none" }), &good()), AuthError::Algorithm),
        (unsigned(&json!({ "alg": "None" }), &good()), AuthError::Algorithm),
        (unsigned(&json!({ "alg": "nOnE", "typ": "JWT" }), &good()), AuthError::Algorithm),
        (unsigned(&json!({ "alg": "" }), &good()), AuthError::Algorithm),
        (unsigned(&json!({ "alg": "HS256" }), &good()), AuthError::Signature),
        (unsigned(&json!({ "typ": "JWT" }), &good()), AuthError::Malformed),
        (unsigned(&json!({ "alg": ["HS256"] }), &good()), AuthError::Malformed),
        (unsigned(&json!({ "alg": "HS256", "kid": 7 }), &good()), AuthError::Malformed),
        (unsigned(&crit, &good()), AuthError::Malformed),
        (unsigned(&json!({ "alg": "HS384" }), &good()), AuthError::Algorithm),
        (unsigned(&json!({ "alg": "RS256" }), &good()), AuthError::Algorithm),
    ] {
        assert_eq!(verify(&verifier, &token).await, Err(expected), "{token}");
    }
}

#[tokio::test]
async fn a_token_of_more_than_8_kib_is_not_looked_at() {
    let verifier = configured(Some(SECRET), None);
    let long = hs256(&but(&json!({ "email": "a".repeat(8 * 1024) })));
    assert_eq!(verify(&verifier, &long).await, Err(AuthError::TooLarge { limit: 8_192, asked: long.len() }));
    for (length, expected) in
        [(8_192, AuthError::Malformed), (8_193, AuthError::TooLarge { limit: 8_192, asked: 8_193 })]
    {
        assert_eq!(verify(&verifier, &"a".repeat(length)).await, Err(expected));
    }
}

#[tokio::test]
async fn claims_that_are_missing_wrong_or_of_the_wrong_type_are_refused() {
    let verifier = configured(Some(SECRET), None);
    for (changes, expected) in [
        (json!({ "exp": now() - 60 }), AuthError::Expired),
        (json!({ "exp": 0 }), AuthError::Expired),
        (json!({ "nbf": now() + 60 }), AuthError::NotYetValid),
        (json!({ "aud": "anon" }), AuthError::Audience),
        (json!({ "aud": "Authenticated" }), AuthError::Audience),
        (json!({ "aud": ["a", "b"] }), AuthError::Audience),
        (json!({ "aud": [] }), AuthError::Audience),
        (json!({ "iss": "https://other.supabase.co/auth/v1" }), AuthError::Issuer),
        (json!({ "iss": format!("{ISSUER}/") }), AuthError::Issuer),
        (json!({ "iss": [ISSUER] }), AuthError::Claims),
        (json!({ "iss": { "0": ISSUER } }), AuthError::Claims),
        (json!({ "aud": { "0": AUDIENCE } }), AuthError::Claims),
        (json!({ "aud": [AUDIENCE, 7] }), AuthError::Claims),
        (json!({ "exp": (now() + 3_600).to_string() }), AuthError::Claims),
        (json!({ "exp": -1 }), AuthError::Claims),
        (json!({ "exp": true }), AuthError::Claims),
        (json!({ "nbf": "soon" }), AuthError::Claims),
        (json!({ "iat": -1.5 }), AuthError::Claims),
        (json!({ "sub": 7 }), AuthError::Claims),
        (json!({ "sub": [USER] }), AuthError::Claims),
        (json!({ "sub": "" }), AuthError::Claims),
        (json!({ "sub": "  " }), AuthError::Claims),
        (json!({ "sub": "a\u{1b}[2Jb" }), AuthError::Claims),
        (json!({ "sub": "a".repeat(256) }), AuthError::Claims),
        (json!({ "session_id": 7 }), AuthError::Claims),
        (json!({ "role": 7 }), AuthError::Claims),
        (json!({ "exp": null }), AuthError::Claims),
        (json!({ "sub": null }), AuthError::Claims),
        (json!({ "iss": null }), AuthError::Claims),
        (json!({ "aud": null }), AuthError::Claims),
    ] {
        assert_eq!(verify(&verifier, &hs256(&but(&changes))).await, Err(expected), "{changes}");
    }
    for claims in [json!([]), json!("text"), json!(7), json!({})] {
        assert!(verify(&verifier, &hs256(&claims)).await.is_err(), "{claims}");
    }
}

#[tokio::test]
async fn a_limit_of_a_token_that_is_written_with_a_fraction_of_nothing_is_a_whole_number() {
    let verifier = configured(Some(SECRET), None);
    let names = [
        "session_minutes",
        "idle_minutes",
        "chunk_min_bytes",
        "chunk_max_bytes",
        "burst_seconds",
        "control_messages_per_second",
        "sessions_per_user",
        "sessions_per_account",
        "sessions_per_minute",
    ];
    for name in names {
        let with = |value: Value| hs256(&but(&json!({ "app_metadata": { "limits": { name: value } } })));
        let whole = verify(&verifier, &with(json!(4))).await.expect("good").limits;
        assert_ne!(*whole, TokenLimits::default(), "{name}");
        for value in [json!(4.0), serde_json::from_str("4e0").expect("JSON")] {
            assert_eq!(verify(&verifier, &with(value)).await.expect("good").limits, whole, "{name}");
        }
        for value in [json!(4.5), json!(-1.0), json!(1e300), json!("4"), json!(true), json!([4])] {
            assert!(verify(&verifier, &with(value.clone())).await.is_err(), "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn the_log_says_which_claim_what_came_and_what_was_expected_and_never_the_token() {
    let verifier = configured(Some(SECRET), None);
    let long = "x".repeat(5_000);
    for (changes, claim, came, expected) in [
        (json!({ "iss": "https://other.example" }), "iss", r#""https://other.example""#, ISSUER),
        (json!({ "aud": "anon" }), "aud", r#""anon""#, AUDIENCE),
        (json!({ "aud": null }), "aud", "nothing", AUDIENCE),
        (json!({ "exp": 17 }), "exp", "17", "a time that is not over"),
        (json!({ "exp": "soon" }), "exp", r#""soon""#, "a number of seconds"),
        (json!({ "exp": null }), "exp", "nothing", "a number of seconds"),
        (json!({ "iss": null }), "iss", "nothing", ISSUER),
        (json!({ "nbf": now() + 600 }), "nbf", "and 1", "a time that is over"),
        (json!({ "sub": null }), "sub", "nothing", "a text"),
        (json!({ "sub": "a\u{1b}[2Jb" }), "sub", r#""a\u{1b}[2Jb""#, "visible"),
        (json!({ "session_id": long }), "session_id", "xxx…", "1 to 255"),
        (json!({ "role": 7 }), "role", "7", "a list of texts"),
        (json!({ "role": "anon" }), "role", "anon", "API key"),
        (json!({ "app_metadata": 7 }), "app_metadata.account", "7", "a text"),
        (json!({ "app_metadata": { "plan": ["pro"] } }), "app_metadata.plan", "pro", "a text"),
        (
            json!({ "app_metadata": { "limits": { "idle_minutes": "many" } } }),
            "app_metadata.limits",
            "many",
            "limits",
        ),
        (
            json!({ "app_metadata": { "limits": { "chunk_max_bytes": 0 } } }),
            "app_metadata.limits.chunk_max_bytes",
            "and 0 came",
            "at least 2",
        ),
        (
            json!({ "app_metadata": { "limits": { "chunk_min_bytes": 100_000, "chunk_max_bytes": 100 } } }),
            "app_metadata.limits.chunk_max_bytes",
            "and 100 came",
            "at least chunk_min_bytes (100000)",
        ),
        (
            json!({ "app_metadata": { "limits": { "burst_seconds": 0.5 } } }),
            "app_metadata.limits",
            "0.5",
            "an object of limits",
        ),
    ] {
        let token = hs256(&but(&changes));
        let line = verifier.check(&token).await.expect_err("refused").to_string();
        for part in [&format!("the claim {claim} "), came, expected] {
            assert!(line.contains(part), "{changes}: {line}");
        }
        assert!(line.len() < 1_000 && !line.chars().any(char::is_control), "{line}");
        for part in token.split('.') {
            assert!(!line.contains(part), "{line}");
        }
    }
}

#[tokio::test]
async fn while_there_are_two_secrets_tokens_of_both_are_good_and_the_relay_signs_with_the_first() {
    let [new, old] = ["the-new-secret-of-more-than-32-bytes", "the-old-secret-of-more-than-32-bytes"];
    let mut config = Config::defaults().auth;
    config.hs256_secret = Some(Secret::new(old.to_owned()));
    let mint = |config: &relay::config::AuthConfig| {
        relay::admission::auth::mint(config, "ada", now(), Duration::from_secs(60)).expect("signed")
    };
    let of_old = mint(&config);
    let verifier = Verifier::from_config(&config).expect("a verifier");
    let mut both = config.clone();
    both.hs256_secret = Some(Secret::new(new.to_owned()));
    both.hs256_others = vec![Secret::new(old.to_owned())];
    let of_new = mint(&both);
    assert_eq!(verify(&verifier, &of_new).await, Err(AuthError::Signature));
    verifier.renew(&both);
    for token in [&of_new, &of_old] {
        assert_eq!(verify(&verifier, token).await.expect("good").sub, "ada");
    }
    both.hs256_others.clear();
    verifier.renew(&both);
    assert_eq!(verify(&verifier, &of_new).await.expect("good").sub, "ada");
    assert_eq!(verify(&verifier, &of_old).await, Err(AuthError::Signature));
}

#[tokio::test]
async fn the_audience_may_be_in_another_claim() {
    let mut config = Config::defaults().auth;
    config.hs256_secret = Some(Secret::new(SECRET.to_owned()));
    config.issuers = vec![ISSUER.to_owned()];
    config.audiences = vec!["our-client".to_owned()];
    config.claims.audience = relay::config::ClaimPath::parse("client_id").expect("a path");
    let verifier = Verifier::from_config(&config).expect("a verifier");
    for (changes, expected) in [
        (json!({ "aud": null, "client_id": "our-client" }), None),
        (json!({ "client_id": ["other", "our-client"] }), None),
        (json!({ "aud": 7, "client_id": "our-client" }), None),
        (json!({ "aud": "our-client" }), Some(AuthError::Claims)),
        (json!({ "aud": "our-client", "client_id": "other" }), Some(AuthError::Audience)),
        (json!({ "aud": "our-client", "client_id": [] }), Some(AuthError::Audience)),
        (json!({ "client_id": 7 }), Some(AuthError::Claims)),
        (json!({ "client_id": "" }), Some(AuthError::Audience)),
    ] {
        let verified = verify(&verifier, &hs256(&but(&changes))).await.err();
        assert_eq!(verified, expected, "{changes}");
    }
    let minted =
        relay::admission::auth::mint(&config, "ada", now(), Duration::from_secs(60)).expect("signed");
    let ada = verify(&verifier, &minted).await.expect("good");
    assert_eq!(ada.sub, "ada");
    assert!(ada.may_speak_with("whoever", "echo"), "a token of one's own, to try all agents with");
}

#[tokio::test]
async fn a_projects_api_keys_are_not_users() {
    let verifier = configured(Some(SECRET), None);
    for role in ["anon", "service_role"] {
        let key = json!({ "iss": "supabase", "ref": "project", "role": role, "iat": now(), "exp": now() + 300_000_000 });
        assert!(verify(&verifier, &hs256(&key)).await.is_err(), "{role}");
        for claims in [but(&json!({ "role": role })), but(&json!({ "role": ["authenticated", role] }))] {
            assert_eq!(verify(&verifier, &hs256(&claims)).await, Err(AuthError::ApiKey));
        }
    }
}

/// One test for all of it: making an RSA key takes a while.
#[tokio::test]
async fn published_keys_check_what_they_are_for_and_nothing_else() {
    let (ec, rsa, stranger) = (Pair::ec("ec-1"), Pair::rsa("rsa-1"), Pair::ec("stranger"));
    let (url, asked) = publish(&[&ec, &rsa]).await;
    let verifier = configured(None, Some(&url));
    assert_eq!(verifier.try_keys().await, Ok(()));
    let sub = |identity: Identity| identity.sub;

    for token in [
        ec.sign(Algorithm::ES256, Some("ec-1"), &good()),
        rsa.sign(Algorithm::RS256, Some("rsa-1"), &good()),
        ec.sign(Algorithm::ES256, None, &good()),
        rsa.sign(Algorithm::RS256, None, &good()),
    ] {
        assert_eq!(verify(&verifier, &token).await.map(sub), Ok(USER.to_owned()));
    }

    // A public key is no secret: whoever signs with it is a forger, whatever form it has.
    for pair in [&ec, &rsa] {
        for secret in [pair.public_pem.as_bytes(), pair.public_pem.trim().as_bytes(), &pair.public_der] {
            let forged = hs256_with(secret, &good());
            assert_eq!(verify(&verifier, &forged).await, Err(AuthError::Algorithm));
            let both = configured(Some(SECRET), Some(&url));
            assert_eq!(verify(&both, &forged).await, Err(AuthError::Signature));
        }
    }

    // Issued before the keys were fetched: no key that came later has signed it.
    let old = but(&json!({ "iat": now() - 3_600 }));
    for (token, expected) in [
        (unsigned(&json!({ "alg": "none", "kid": "ec-1" }), &good()), AuthError::Algorithm),
        (stranger.sign(Algorithm::ES256, Some("ec-1"), &old), AuthError::Signature),
        (stranger.sign(Algorithm::ES256, None, &old), AuthError::Signature),
        (stranger.sign(Algorithm::ES256, Some("stranger"), &good()), AuthError::UnknownKey),
        (ec.sign(Algorithm::ES256, Some("rsa-1"), &good()), AuthError::UnknownKey),
        (rsa.sign(Algorithm::RS384, Some("rsa-1"), &good()), AuthError::Algorithm),
        (rsa.sign(Algorithm::PS256, Some("rsa-1"), &good()), AuthError::Algorithm),
        (ec.sign(Algorithm::ES256, Some("ec-1"), &but(&json!({ "exp": now() - 60 }))), AuthError::Expired),
        (rsa.sign(Algorithm::RS256, Some("rsa-1"), &but(&json!({ "aud": "other" }))), AuthError::Audience),
    ] {
        assert_eq!(verify(&verifier, &token).await, Err(expected), "{token}");
    }

    // What no key could have signed, and what one of those there are signed under another name, is bad whatever comes.
    let before = asked.load(Ordering::SeqCst);
    for n in 0..300 {
        let made_up = unsigned(&json!({ "alg": "ES256", "kid": format!("made-up-{n}") }), &good());
        assert_eq!(verify(&verifier, &made_up).await, Err(AuthError::UnknownKey));
    }
    for n in 0..10 {
        let renamed = ec.sign(Algorithm::ES256, Some(&format!("renamed-{n}")), &good());
        assert_eq!(verify(&verifier, &renamed).await, Err(AuthError::UnknownKey));
    }
    // Whether the others are published by now nobody can know before the next fetch.
    for n in 0..10 {
        let unknown = stranger.sign(Algorithm::ES256, Some(&format!("unknown-{n}")), &good());
        let refused = verifier.check(&unknown).await.expect_err("not published");
        assert!(refused.error.is_temporary() && refused.retry_after.is_some(), "{refused}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), before);

    // Both kinds at once, as a project has them while it moves from the one to the other.
    let both = configured(Some(SECRET), Some(&url));
    assert_eq!(verify(&both, &hs256(&good())).await.map(sub), Ok(USER.to_owned()));
    assert_eq!(
        verify(&both, &ec.sign(Algorithm::ES256, Some("ec-1"), &good())).await.map(sub),
        Ok(USER.to_owned())
    );
}

#[tokio::test]
async fn without_a_reachable_issuer_nobody_is_blamed() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jwks", closed.local_addr().expect("bound"));
    drop(closed);
    let verifier = configured(None, Some(&url));
    assert!(verifier.try_keys().await.is_err_and(|error| error.starts_with(&format!("{url}: "))));
    verifier.warm_up().await;
    let token = Pair::ec("ec-1").sign(Algorithm::ES256, Some("ec-1"), &good());
    let refused = verify(&verifier, &token).await.expect_err("no keys");
    assert_eq!((refused, refused.is_temporary()), (AuthError::KeysUnavailable, true));
}

#[tokio::test]
async fn a_relay_has_keys_that_were_configured_or_fetched_and_seeks_them_until_then() {
    let (url, asked) = publish(&[&Pair::ec("ec-1")]).await;
    for jwks_url in [None, Some(url.as_str())] {
        assert!(configured(Some(SECRET), jwks_url).has_keys());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody has to be asked");
    let verifier = configured(None, Some(&url));
    assert!(!verifier.has_keys());
    let sought = async {
        while !verifier.has_keys() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), sought).await.expect("they are fetched");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_relay_without_a_key_does_not_start() {
    let error = Verifier::from_config(&Config::defaults().auth).expect_err("no key");
    for key in ["hs256_secret", "supabase_url", "oidc_issuer", "jwks_url", "public_keys"] {
        assert!(error.to_string().contains(&format!("auth.{key}")), "{error}");
    }
}
