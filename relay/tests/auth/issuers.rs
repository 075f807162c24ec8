//! Issuers as operators name them, from the configuration to the token.

use std::fs;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use jsonwebtoken::Algorithm;
use relay::Config;
use relay::admission::auth::{AuthError, Verifier};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::pair::Pair;
use crate::{SECRET, USER, but, hs256, hs256_with, now, verify};

fn verifier(auth: &str) -> Verifier {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    fs::write(file.path(), format!("[auth]\n{auth}")).expect("written");
    let config = Config::load(Some(file.path()), []).expect("good");
    Verifier::from_config(&config.auth).expect("a verifier")
}

async fn sub(verifier: &Verifier, token: &str) -> Result<String, AuthError> {
    verify(verifier, token).await.map(|identity| identity.sub)
}

/// Serves a text at each path; says where.
async fn serve(files: Vec<(&'static str, Value)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here = format!("http://{}", listener.local_addr().expect("bound"));
    let routes = files.into_iter().fold(Router::new(), |routes, (path, json)| {
        let text = json.to_string().replace("{here}", &here);
        routes.route(path, get(async move || text))
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    here
}

/// Serves a text that the test may change; says where.
async fn serve_changing(json: Value) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("bound"));
    let text = Arc::new(Mutex::new(json.to_string()));
    let served = Arc::clone(&text);
    let answer = move || async move { served.lock().expect("no panic").clone() };
    let routes = Router::new().route("/jwks", get(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, text)
}

#[tokio::test]
async fn a_supabase_project_needs_nothing_but_its_url() {
    let pair = Pair::ec("new");
    let url = serve(vec![("/auth/v1/.well-known/jwks.json", json!({ "keys": [&pair.public] }))]).await;
    let verifier = verifier(&format!("supabase_url = {url:?}"));
    let iss = format!("{url}/auth/v1");
    let good = but(&json!({ "iss": iss }));
    assert_eq!(sub(&verifier, &pair.sign(Algorithm::ES256, Some("new"), &good)).await, Ok(USER.to_owned()));
    for (changes, expected) in [
        (json!({ "iss": url }), AuthError::Issuer),
        (json!({ "iss": format!("{iss}/") }), AuthError::Issuer),
        (json!({ "iss": iss, "aud": "anon" }), AuthError::Audience),
        (json!({ "iss": iss, "role": "service_role" }), AuthError::ApiKey),
    ] {
        let token = pair.sign(Algorithm::ES256, Some("new"), &but(&changes));
        assert_eq!(sub(&verifier, &token).await, Err(expected), "{changes}");
    }
    assert_eq!(sub(&verifier, &hs256(&good)).await, Err(AuthError::Algorithm), "no secret is configured");
}

#[tokio::test]
async fn a_supabase_project_that_signs_with_its_secret_publishes_no_keys() {
    let url = serve(vec![("/auth/v1/.well-known/jwks.json", json!({ "keys": [] }))]).await;
    let verifier = verifier(&format!("supabase_url = {url:?}\nhs256_secret = {SECRET:?}"));
    verifier.warm_up().await;
    let good = but(&json!({ "iss": format!("{url}/auth/v1") }));
    assert_eq!(sub(&verifier, &hs256(&good)).await, Ok(USER.to_owned()));
    assert_eq!(sub(&verifier, &hs256_with(b"", &good)).await, Err(AuthError::Signature));
    let stranger = Pair::ec("stranger").sign(Algorithm::ES256, Some("stranger"), &good);
    assert_eq!(
        sub(&verifier, &stranger).await,
        Err(AuthError::UnknownKey),
        "and nobody is told to come back"
    );
}

#[tokio::test]
async fn an_openid_provider_needs_nothing_but_its_name_and_ours() {
    let pair = Pair::ec("one");
    let url = serve(vec![
        ("/.well-known/openid-configuration", json!({ "issuer": "{here}/", "jwks_uri": "{here}/keys" })),
        ("/keys", json!({ "keys": [&pair.public] })),
    ])
    .await;
    let verifier = verifier(&format!("oidc_issuer = \"{url}/\"\naudience = \"relay\""));
    let token = |iss: &str, aud: &str| {
        pair.sign(Algorithm::ES256, Some("one"), &but(&json!({ "iss": iss, "aud": aud, "role": null })))
    };
    assert_eq!(sub(&verifier, &token(&format!("{url}/"), "relay")).await, Ok(USER.to_owned()));
    assert_eq!(sub(&verifier, &token(&url, "relay")).await, Err(AuthError::Issuer));
    assert_eq!(sub(&verifier, &token(&format!("{url}/"), "another-client")).await, Err(AuthError::Audience));
}

/// The configuration of each page's section, and a token as that provider makes it.
#[tokio::test]
async fn each_provider_of_the_docs_works_with_the_configuration_that_is_there() {
    let tokens = [
        (
            "AWS Cognito",
            json!({ "aud": null, "role": null, "token_use": "access", "client_id": "1example23456789", "username": "ada",
                "scope": "openid", "cognito:groups": ["voxrelay_admin"], "account": "acme", "plan": "pro" }),
        ),
        (
            "Clerk",
            json!({ "aud": null, "role": null, "azp": "https://app.example.com", "sid": "sess_1", "v": 2, "fva": [1, -1],
                "metadata": { "account": "acme", "plan": "pro", "role": "voxrelay_admin" } }),
        ),
        (
            "Auth0",
            json!({ "aud": ["https://voice.example.com", "https://example.eu.auth0.com/userinfo"], "role": null,
                "azp": "client", "scope": "openid", "https://example.com/account": "acme",
                "https://example.com/plan": "pro", "https://example.com/roles": ["voxrelay_admin"] }),
        ),
        (
            "Keycloak",
            json!({ "aud": ["voxrelay", "account"], "role": null, "azp": "web", "typ": "Bearer", "account": "acme", "plan": "pro",
                "realm_access": { "roles": ["default-roles-example", "voxrelay_admin"] } }),
        ),
        (
            "Firebase",
            json!({ "aud": "example-project", "role": "voxrelay_admin", "auth_time": 1, "account": "acme", "plan": "pro",
                "firebase": { "sign_in_provider": "password", "identities": {} } }),
        ),
    ];
    let page = include_str!("../../../docs/identity-providers.md");
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    assert_eq!(sections.len(), tokens.len());
    for (section, (provider, claims)) in sections.iter().zip(tokens) {
        let (name, rest) = section.split_once('\n').expect("a heading");
        assert_eq!(name, provider);
        let toml = rest
            .split("```toml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .expect("a configuration");
        let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        fs::write(file.path(), toml).expect("written");
        let mut config =
            Config::load(Some(file.path()), []).unwrap_or_else(|error| panic!("{provider}: {error}")).auth;
        // The provider stands on this machine, under the path that it has.
        let pair = Pair::ec("one");
        let set = json!({ "keys": [&pair.public] });
        let url = format!("{}/jwks", serve(vec![("/jwks", set)]).await);
        (config.oidc_issuer, config.jwks_url) = (None, Some(url.parse().expect("a URL")));
        let verifier = Verifier::from_config(&config).expect("a verifier");
        let issuer = config.issuers[0].clone();
        let mut claims = but(&claims);
        claims["iss"] = json!(issuer);
        let good = verifier.check(&pair.sign(Algorithm::ES256, Some("one"), &claims)).await;
        let good = good.unwrap_or_else(|refused| panic!("{provider}: {refused}"));
        assert_eq!((good.account.as_str(), good.plan.as_deref(), good.is_admin), ("acme", Some("pro"), true));
        for name in ["aud", "client_id", "azp"] {
            claims.as_object_mut().expect("an object").insert(name.to_owned(), json!("somebody-else"));
        }
        let wrong = pair.sign(Algorithm::ES256, Some("one"), &claims);
        assert_eq!(sub(&verifier, &wrong).await, Err(AuthError::Audience), "{provider}");
    }
}

/// One test for all of it: making an RSA key takes a while.
#[tokio::test]
async fn configured_public_keys_check_what_they_are_for_and_nothing_else() {
    let (ec, rsa, stranger) = (Pair::ec("ec"), Pair::rsa("rsa"), Pair::ec("ec"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), &rsa.public_pem).expect("written");
    let keys = format!("public_keys = [{:?}, {:?}]\n", ec.public_pem, file.path());
    let names = format!("issuer = {:?}\naudience = {:?}\n", crate::ISSUER, crate::AUDIENCE);
    let only = verifier(&format!("{keys}{names}"));
    let good = crate::good();
    for kid in [None, Some("whatever")] {
        assert_eq!(sub(&only, &ec.sign(Algorithm::ES256, kid, &good)).await, Ok(USER.to_owned()));
        assert_eq!(sub(&only, &rsa.sign(Algorithm::RS256, kid, &good)).await, Ok(USER.to_owned()));
        let forged = stranger.sign(Algorithm::ES256, kid, &good);
        assert_eq!(sub(&only, &forged).await, Err(AuthError::Signature));
    }
    for pair in [&ec, &rsa] {
        let jwk = serde_json::to_vec(&pair.public).expect("JSON");
        for secret in [pair.public_pem.as_bytes(), &pair.public_der, &jwk] {
            assert_eq!(sub(&only, &hs256_with(secret, &good)).await, Err(AuthError::Algorithm));
        }
    }
    let expired = ec.sign(Algorithm::ES256, None, &but(&json!({ "exp": 1 })));
    assert_eq!(sub(&only, &expired).await, Err(AuthError::Expired));
    let pss = rsa.sign(Algorithm::PS256, None, &good);
    assert_eq!(sub(&only, &pss).await, Err(AuthError::Algorithm));

    // Beside published ones, as while keys move from the one place to the other.
    let published = Pair::ec("published");
    let url = serve(vec![("/jwks", json!({ "keys": [&published.public] }))]).await;
    let both = verifier(&format!("{keys}{names}jwks_url = \"{url}/jwks\""));
    for pair in [&ec, &published] {
        let token = pair.sign(Algorithm::ES256, Some("published"), &good);
        assert_eq!(sub(&both, &token).await, Ok(USER.to_owned()));
    }
    let forged = stranger.sign(Algorithm::ES256, Some("published"), &good);
    assert_eq!(sub(&both, &forged).await, Err(AuthError::Signature));
}

#[tokio::test]
async fn a_flood_of_made_up_keys_costs_the_issuer_one_fetch() {
    let pair = Pair::ec("ec-1");
    let (url, asked) = crate::publish(&[&pair]).await;
    let verifier = std::sync::Arc::new(crate::configured(None, Some(&url)));
    let flood: Vec<_> = (0..400)
        .map(|n| {
            let verifier = std::sync::Arc::clone(&verifier);
            let made_up =
                crate::unsigned(&json!({ "alg": "ES256", "kid": format!("../{n}") }), &crate::good());
            tokio::spawn(async move { verify(&verifier, &made_up).await })
        })
        .collect();
    for verified in flood {
        assert_eq!(verified.await.expect("no panic"), Err(AuthError::UnknownKey));
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    let good = pair.sign(Algorithm::ES256, Some("ec-1"), &crate::good());
    assert_eq!(sub(&verifier, &good).await, Ok(USER.to_owned()));
}

#[tokio::test]
async fn a_key_that_is_replaced_right_after_a_fetch_makes_nobody_a_forger() {
    // Without a name, and under the same one.
    for kid in [None, Some("same")] {
        let (old, new) = (Pair::ec("same"), Pair::ec("same"));
        let published = |pair: &Pair| {
            let mut key = pair.public.clone();
            key.common.key_id = kid.map(str::to_owned);
            json!({ "keys": [key] })
        };
        let (url, set) = serve_changing(published(&old)).await;
        let names = format!("issuer = {:?}\naudience = {:?}\n", crate::ISSUER, crate::AUDIENCE);
        let verifier = verifier(&format!("{names}jwks_url = \"{url}\""));
        let sign = |pair: &Pair, claims: &Value| pair.sign(Algorithm::ES256, kid, claims);
        let user = |user: &str| but(&json!({ "sub": user }));
        assert!(sub(&verifier, &sign(&old, &user("first"))).await.is_ok());
        *set.lock().expect("no panic") = published(&new).to_string();
        assert!(sub(&verifier, &sign(&new, &user("second"))).await.is_ok(), "there is a fetch in reserve");
        // Again, with none left: the same token is good in a while.
        *set.lock().expect("no panic") = published(&old).to_string();
        let waits = verifier.check(&sign(&old, &user("third"))).await.expect_err("nobody can know");
        assert_eq!(waits.error, AuthError::KeysUnavailable, "{kid:?}");
        assert!(waits.retry_after.is_some_and(|wait| wait.as_secs() <= 30), "{waits:?}");
        assert!(sub(&verifier, &sign(&new, &user("fourth"))).await.is_ok(), "the keys that are there serve");
        let late = sub(&verifier, &sign(&old, &but(&json!({ "exp": now() - 3 })))).await;
        assert_eq!(late, Err(AuthError::KeysUnavailable), "clocks differ by as much");
        // What is bad whatever key comes is bad at once.
        for changes in [
            json!({ "iat": now() - 3_600 }),
            json!({ "exp": now() - 60 }),
            json!({ "aud": "somebody-else" }),
            json!({ "iss": "https://somebody.else" }),
            json!({ "iat": "yesterday" }),
            json!({ "sub": null }),
        ] {
            let bad = sub(&verifier, &sign(&old, &but(&changes))).await;
            assert_eq!(bad, Err(AuthError::Signature), "{changes}");
        }
        let good = sign(&new, &user("fifth"));
        let cut = &good[..good.len() - 6];
        assert_eq!(sub(&verifier, cut).await, Err(AuthError::Signature), "no key makes so short a one");
    }
}
