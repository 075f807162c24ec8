//! What a token says about its user, and what it cannot say.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use relay::admission::auth::Verifier;
use relay::admission::auth::{AuthError, Identity};
use relay::config::{ClaimPath, Secret};
use relay::{Config, NanoUsd};
use serde_json::{Value, json};

use crate::{AUDIENCE, ISSUER, SECRET, but, configured, good, hs256, verify};

async fn identity(app_metadata: Value) -> Result<Identity, AuthError> {
    verify(&configured(Some(SECRET), None), &hs256(&but(&json!({ "app_metadata": app_metadata })))).await
}

#[tokio::test]
async fn account_plan_role_and_limits_come_from_what_the_issuer_wrote() {
    let said = identity(json!({
        "provider": "email", "account": "acme", "plan": "pro", "role": ["editor", "voxrelay_admin"],
        "limits": { "session_minutes": 5, "session_usd": "0.50" },
    }))
    .await
    .expect("good");
    assert_eq!((said.account.as_str(), said.plan.as_deref(), said.is_admin), ("acme", Some("pro"), true));
    let limits = Config::defaults().limits_for(said.plan.as_deref(), &said.limits);
    assert_eq!(limits.session, Duration::from_secs(300));
    assert_eq!(limits.session_budget, NanoUsd::new(500_000_000));
    assert_eq!(limits.idle, Config::defaults().limits.idle);
}

#[tokio::test]
async fn without_them_it_is_the_default_account_without_a_plan() {
    for nothing in
        [json!({}), json!(null), json!({ "account": null, "plan": null, "role": null, "limits": null })]
    {
        let said = identity(nothing).await.expect("good");
        assert_eq!((said.account.as_str(), said.plan.as_deref(), said.is_admin), ("default", None, false));
        assert_eq!(
            Config::defaults().limits_for(said.plan.as_deref(), &said.limits),
            Config::defaults().limits
        );
    }
}

#[tokio::test]
async fn the_agents_of_a_token_are_a_text_or_a_list_of_texts() {
    for (agents, may) in [
        (json!(null), &["host"][..]),
        (json!("clerk"), &["clerk"]),
        (json!(["clerk", "host"]), &["clerk", "host"]),
        (json!([]), &[]),
        (json!(["*"]), &["host", "clerk", "doctor"]),
    ] {
        let said = identity(json!({ "agents": agents })).await.expect("good");
        let spoken_with =
            ["host", "clerk", "doctor"].into_iter().filter(|agent| said.may_speak_with(agent, "host"));
        assert_eq!(spoken_with.collect::<Vec<_>>().len(), may.len(), "{agents}");
        assert!(may.iter().all(|agent| said.may_speak_with(agent, "host")), "{agents}");
    }
    for agents in [json!(7), json!({ "clerk": true }), json!(["clerk", 7])] {
        assert_eq!(identity(json!({ "agents": agents })).await, Err(AuthError::Claims), "{agents}");
    }
    let own = but(&json!({ "user_metadata": { "agents": "*" }, "agents": "*" }));
    let said = verify(&configured(Some(SECRET), None), &hs256(&own)).await.expect("good");
    assert!(!said.may_speak_with("clerk", "host"), "users write that themselves");
}

#[tokio::test]
async fn the_values_of_a_token_are_an_object_of_texts() {
    let said =
        identity(json!({ "variables": { "name": "Ada", "age": 36, "pro": true, "no": null, "deep": {} } }));
    let values = said.await.expect("good").variables;
    let values: Vec<_> = values.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(values, [("age", "36"), ("name", "Ada"), ("pro", "true")]);
    assert_eq!(identity(json!({ "variables": null })).await.expect("good").variables.len(), 0);
    for variables in [json!("name"), json!(["name"]), json!(7)] {
        assert_eq!(identity(json!({ "variables": variables })).await, Err(AuthError::Claims), "{variables}");
    }
}

#[tokio::test]
async fn what_users_write_about_themselves_counts_for_nothing() {
    let own = json!({
        "account": "acme", "plan": "pro", "role": "voxrelay_admin", "sub": "someone-else",
        "app_metadata": { "account": "acme", "role": "voxrelay_admin" },
    });
    let token = hs256(&but(&json!({ "user_metadata": own, "account": "acme", "plan": "pro" })));
    let said = verify(&configured(Some(SECRET), None), &token).await.expect("good");
    assert_eq!((said.account.as_str(), said.plan.as_deref(), said.is_admin), ("default", None, false));
    for path in ["user_metadata", "user_metadata.role", "unsafe_metadata.role", "a.user_metadata.role"] {
        assert_eq!(ClaimPath::parse(path), None, "{path}");
    }
}

#[tokio::test]
async fn only_the_configured_role_makes_an_administrator() {
    for (role, is_admin) in [
        (json!("voxrelay_admin"), true),
        (json!(["voxrelay_admin"]), true),
        (json!("Voxrelay_admin"), false),
        (json!("voxrelay_admin "), false),
        (json!("admin"), false),
        (json!([]), false),
        (json!(["editor"]), false),
    ] {
        assert_eq!(identity(json!({ "role": role })).await.map(|said| said.is_admin), Ok(is_admin), "{role}");
    }
    // The role of PostgreSQL at the top is another one.
    let top =
        verify(&configured(Some(SECRET), None), &hs256(&but(&json!({ "role": "voxrelay_admin" })))).await;
    assert_eq!(top.map(|said| said.is_admin), Ok(false));
}

#[tokio::test]
async fn claims_are_where_the_operator_says() {
    let mut config = Config::defaults().auth;
    config.hs256_secret = Some(Secret::new(SECRET.to_owned()));
    (config.issuers, config.audiences) = (vec![ISSUER.to_owned()], vec![AUDIENCE.to_owned()]);
    config.claims.account = ClaimPath::parse("org.id").expect("a path");
    config.claims.plan = ClaimPath::parse("https://example.com/plan").expect("a path");
    config.claims.role = ClaimPath::parse("groups").expect("a path");
    config.admin_role = "ops".to_owned();
    let verifier = Verifier::from_config(&config).expect("a verifier");
    let token = hs256(&but(&json!({
        "org": { "id": "acme" }, "https://example.com/plan": "pro", "groups": ["ops"],
        "app_metadata": { "account": "other", "plan": "other" },
    })));
    let said = verify(&verifier, &token).await.expect("good");
    assert_eq!((said.account.as_str(), said.plan.as_deref(), said.is_admin), ("acme", Some("pro"), true));
    let wrong = hs256(&but(&json!({ "org": "acme" })));
    assert_eq!(verify(&verifier, &wrong).await, Err(AuthError::Claims));
}

#[tokio::test]
async fn a_name_that_shows_otherwise_than_it_is_is_none() {
    for name in [
        "",
        " ",
        " acme",
        "acme\n",
        "ac\u{0}me",
        "ac\u{200b}me",
        "\u{202e}emca",
        "acme\u{feff}",
        "a\u{2028}b",
    ] {
        for claim in ["account", "plan"] {
            assert_eq!(identity(json!({ claim: name })).await, Err(AuthError::Claims), "{claim} {name:?}");
        }
    }
    for name in ["a", "Ünïcödé 株式会社", &"a".repeat(255)] {
        assert_eq!(identity(json!({ "account": name })).await.map(|said| said.account), Ok(name.to_owned()));
    }
}

/// A token whose parts are these texts, signed as it should be.
fn signed(header: &str, claims: &str) -> String {
    let parts = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(parts.as_bytes(), &key, Algorithm::HS256).expect("signed");
    format!("{parts}.{signature}")
}

#[tokio::test]
async fn the_log_says_what_of_a_token_cannot_be_read_and_never_the_token() {
    let verifier = configured(Some(SECRET), None);
    let (header, claims) = (r#"{"alg":"HS256"}"#, good().to_string());
    assert!(verifier.check(&signed(header, &claims)).await.is_ok());
    let twice = claims.replacen('{', r#"{"sub":"SECRET","#, 1);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for (token, says) in [
        (
            signed(header, &twice),
            "the part with the claims has a name twice: the name \"sub\" is given twice",
        ),
        (signed(header, r#"{"sub":"SECRET""#), "the part with the claims is not JSON: EOF"),
        (signed(header, "SECRET"), "the part with the claims is not JSON: expected value at line 1 column 1"),
        (signed(header, r#"["SECRET"]"#), "the part with the claims is JSON, but no object"),
        (signed(header, "\"SECRET\""), "the part with the claims is JSON, but no object"),
        (signed(header, "null"), "the part with the claims is JSON, but no object"),
        (signed(r#"{"alg":"HS256","alg":"none"}"#, &claims), "its header has a name twice: the name \"alg\""),
        (signed("{SECRET", &claims), "its header is not JSON: key must be a string"),
        (signed("[]", &claims), "its header is JSON, but no object"),
        (signed(r#"{"alg":7}"#, &claims), "its header has no `alg`"),
        (signed(r#"{"alg":"HS256","crit":["b64"]}"#, &claims), "its header has `crit`"),
        (format!("+{}", signed(header, &claims)), "its header is not base64url"),
        (format!("{}.{}", part(header), part(&claims)), "it has to have three parts"),
        ("SECRET".to_owned(), "it has to have three parts"),
    ] {
        let said = verifier.check(&token).await.expect_err(says).to_string();
        assert!(said.contains(says) && !said.contains("SECRET"), "{said:?} does not say {says:?}");
    }
}
