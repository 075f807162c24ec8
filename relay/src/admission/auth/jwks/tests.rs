use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jsonwebtoken::Algorithm;
use reqwest::Url;
use tokio::net::TcpListener;

use super::{
    AuthError, BODY_MAX_BYTES, FETCH_BURST, FETCH_INTERVAL, Jwks, LAG, Pace, Published, REDIRECTS_MAX,
    STALE_AFTER, UNKNOWN_MAX, is_safe_url,
};
use crate::admission::auth::claims::{Head, since_1970};

/// An issuer on this machine that counts how often it is asked.
struct Issuer {
    address: SocketAddr,
    asked: AtomicUsize,
    described: AtomicUsize,
    answer: Mutex<Answer>,
}

#[derive(Clone)]
enum Answer {
    Keys(Vec<&'static str>),
    Slowly(Vec<&'static str>),
    Status(StatusCode),
    Bytes(usize),
    /// Keys, in so many bytes.
    Long(Vec<&'static str>, usize),
    Redirect(String),
    /// The keys, and what the provider says about itself: its issuer and where its keys are, below its address.
    Provider {
        issuer: &'static str,
        keys_at: &'static str,
        kids: Vec<&'static str>,
    },
}

impl Issuer {
    async fn start(answer: Answer) -> Arc<Issuer> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let issuer = Arc::new(Issuer {
            address,
            asked: AtomicUsize::new(0),
            described: AtomicUsize::new(0),
            answer: Mutex::new(answer),
        });
        let routes = Router::new()
            .route("/jwks", get(answer_with))
            .route("/moved", get(answer_with))
            .route("/away/{redirects}", get(redirect))
            .route("/tenant/.well-known/openid-configuration", get(describe))
            .with_state(Arc::clone(&issuer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        issuer
    }

    fn answer(&self, answer: Answer) {
        *self.answer.lock().expect("no panic") = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn jwks(&self, interval: Duration) -> Arc<Jwks> {
        self.jwks_with(false, Pace { interval, burst: 1, stale_after: STALE_AFTER })
    }

    fn jwks_with(&self, may_be_empty: bool, pace: Pace) -> Arc<Jwks> {
        let url = Url::parse(&format!("http://{}/jwks", self.address)).expect("a URL");
        Arc::new(Jwks::with_pace(Published::At(url), may_be_empty, pace).expect("a client"))
    }

    /// By what the provider says about itself.
    fn by_name(&self) -> Arc<Jwks> {
        let pace = Pace { interval: Duration::ZERO, burst: 1, stale_after: STALE_AFTER };
        let issuer = format!("http://{}/tenant/", self.address);
        Arc::new(Jwks::with_pace(Published::By(issuer), false, pace).expect("a client"))
    }
}

async fn describe(State(issuer): State<Arc<Issuer>>) -> Response {
    issuer.described.fetch_add(1, Ordering::SeqCst);
    let answer = issuer.answer.lock().expect("no panic").clone();
    let Answer::Provider { issuer: name, keys_at, .. } = answer else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let here = format!("http://{}", issuer.address);
    let full = |text: &str| if text.starts_with('/') { format!("{here}{text}") } else { text.to_owned() };
    serde_json::json!({ "issuer": full(name), "jwks_uri": full(keys_at), "response_types_supported": ["code"] })
        .to_string()
        .into_response()
}

/// So many redirects away from the keys.
async fn redirect(Path(redirects): Path<usize>) -> Response {
    let to = if redirects > 1 { format!("/away/{}", redirects - 1) } else { "/jwks".to_owned() };
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

async fn answer_with(State(issuer): State<Arc<Issuer>>, uri: Uri) -> Response {
    issuer.asked.fetch_add(1, Ordering::SeqCst);
    let answer = issuer.answer.lock().expect("no panic").clone();
    match answer {
        Answer::Provider { keys_at, kids, .. } if uri.path() == keys_at => set(&kids).into_response(),
        Answer::Provider { .. } => StatusCode::NOT_FOUND.into_response(),
        Answer::Keys(kids) => set(&kids).into_response(),
        Answer::Slowly(kids) => {
            tokio::time::sleep(Duration::from_millis(200)).await;
            set(&kids).into_response()
        }
        Answer::Status(status) => status.into_response(),
        Answer::Long(kids, length) => {
            let keys = set(&kids);
            (" ".repeat(length - keys.len()) + &keys).into_response()
        }
        Answer::Bytes(length) => Bytes::from(vec![b' '; length]).into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    }
}

fn set(kids: &[&str]) -> String {
    let xy = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    let key = |kid: &&str| serde_json::json!({ "kty": "EC", "crv": "P-256", "x": xy, "y": xy, "kid": kid });
    serde_json::json!({ "keys": kids.iter().map(key).collect::<Vec<_>>() }).to_string()
}

async fn ask(jwks: &Arc<Jwks>, kid: &str) -> Result<usize, AuthError> {
    let head: Head =
        serde_json::from_value(serde_json::json!({ "alg": "ES256", "kid": kid })).expect("a header");
    let keys = jwks.keys(kid, &head, Algorithm::ES256).await?;
    Ok(keys.matching(&head, Algorithm::ES256).count())
}

#[tokio::test]
async fn a_key_that_was_published_later_is_found_and_one_taken_back_is_forgotten() {
    let issuer = Issuer::start(Answer::Keys(vec!["old"])).await;
    let jwks = issuer.jwks(Duration::ZERO);
    assert_eq!(ask(&jwks, "old").await, Ok(1));
    assert_eq!(ask(&jwks, "old").await, Ok(1));
    assert_eq!(issuer.asked(), 1);
    issuer.answer(Answer::Keys(vec!["new"]));
    assert_eq!(ask(&jwks, "new").await, Ok(1));
    assert_eq!(issuer.asked(), 2);
    assert_eq!(ask(&jwks, "old").await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn during_a_rotation_both_keys_serve_and_then_only_the_new_one() {
    let issuer = Issuer::start(Answer::Keys(vec!["old"])).await;
    // Old at once: every use asks for the set again behind the scenes.
    let jwks =
        issuer.jwks_with(false, Pace { interval: Duration::ZERO, burst: 1, stale_after: Duration::ZERO });
    assert_eq!(ask(&jwks, "old").await, Ok(1));
    issuer.answer(Answer::Keys(vec!["old", "new"]));
    for _ in 0..3 {
        assert_eq!(ask(&jwks, "new").await, Ok(1));
        assert_eq!(ask(&jwks, "old").await, Ok(1));
    }
    issuer.answer(Answer::Keys(vec!["new"]));
    let forgotten = async {
        while ask(&jwks, "old").await.is_ok() {
            assert_eq!(ask(&jwks, "new").await, Ok(1), "nobody waits for the change");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), forgotten).await.expect("the old key is forgotten");
    assert_eq!(ask(&jwks, "old").await, Err(AuthError::UnknownKey));
    assert_eq!(ask(&jwks, "new").await, Ok(1));
}

#[tokio::test]
async fn a_set_that_serves_is_fetched_again_whenever_it_is_old_though_nobody_waits_for_that() {
    let issuer = Issuer::start(Answer::Keys(vec!["old"])).await;
    let jwks =
        issuer.jwks_with(false, Pace { interval: Duration::ZERO, burst: 1, stale_after: Duration::ZERO });
    let fetched = async {
        while issuer.asked() < 4 {
            assert_eq!(ask(&jwks, "old").await, Ok(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), fetched).await.expect("again and again");
}

#[tokio::test]
async fn a_set_that_nobody_asks_for_is_fetched_again_when_it_is_old_and_only_then() {
    let issuer = Issuer::start(Answer::Keys(vec!["old"])).await;
    let fresh = issuer.jwks(Duration::ZERO);
    fresh.keep_fresh();
    assert_eq!(ask(&fresh, "old").await, Ok(1));
    fresh.keep_fresh();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(issuer.asked(), 1, "by the token alone");

    let old =
        issuer.jwks_with(false, Pace { interval: Duration::ZERO, burst: 1, stale_after: Duration::ZERO });
    old.refresh().await;
    issuer.answer(Answer::Keys(vec!["new"]));
    let before = old.known().expect("they were fetched");
    old.keep_fresh();
    let fetched = async {
        while Arc::ptr_eq(&old.known().expect("they were fetched"), &before) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), fetched).await.expect("it is fetched");
    assert_eq!(ask(&old, "old").await, Err(AuthError::UnknownKey), "the first token with it is refused");
}

#[tokio::test]
async fn between_two_fetches_there_is_time() {
    let issuer = Issuer::start(Answer::Keys(vec!["old"])).await;
    let interval = Duration::from_millis(300);
    let jwks = issuer.jwks(interval);
    assert_eq!(ask(&jwks, "old").await, Ok(1));
    issuer.answer(Answer::Keys(vec!["old", "new"]));
    for _ in 0..20 {
        // Nobody can know whether it is published by now.
        assert_eq!(ask(&jwks, "new").await, Err(AuthError::KeysUnavailable));
    }
    assert_eq!(issuer.asked(), 1);
    assert!(!jwks.wait().is_zero() && jwks.wait() <= interval);
    tokio::time::sleep(jwks.wait()).await;
    assert_eq!(ask(&jwks, "new").await, Ok(1));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_key_that_is_changed_right_after_a_fetch_is_found_at_once() {
    let issuer = Issuer::start(Answer::Keys(vec!["old"])).await;
    let pace = Pace { interval: FETCH_INTERVAL, burst: FETCH_BURST, stale_after: STALE_AFTER };
    let jwks = issuer.jwks_with(false, pace);
    jwks.refresh().await;
    issuer.answer(Answer::Keys(vec!["new"]));
    assert_eq!(ask(&jwks, "new").await, Ok(1));
    issuer.answer(Answer::Keys(vec!["newer"]));
    assert_eq!(ask(&jwks, "newer").await, Err(AuthError::KeysUnavailable));
    assert_eq!(issuer.asked(), 2);
    assert!(jwks.wait() > FETCH_INTERVAL / 2 && jwks.wait() <= FETCH_INTERVAL);
}

#[tokio::test]
async fn one_bad_token_uses_up_one_fetch_however_often_it_comes() {
    let issuer = Issuer::start(Answer::Keys(vec!["old"])).await;
    let pace = Pace { interval: FETCH_INTERVAL, burst: 3, stale_after: STALE_AFTER };
    let jwks = issuer.jwks_with(false, pace);
    jwks.refresh().await;
    for _ in 0..100 {
        assert_eq!(ask(&jwks, "made-up").await, Err(AuthError::UnknownKey));
    }
    assert_eq!(issuer.asked(), 2);
    issuer.answer(Answer::Keys(vec!["new"]));
    assert_eq!(ask(&jwks, "new").await, Ok(1), "others still have one");
}

#[tokio::test]
async fn a_flood_of_bad_tokens_brings_the_new_key_as_well_as_a_good_one_does() {
    let issuer = Issuer::start(Answer::Keys(vec!["old"])).await;
    let interval = Duration::from_millis(200);
    let pace = Pace { interval, burst: FETCH_BURST, stale_after: STALE_AFTER };
    let jwks = issuer.jwks_with(false, pace);
    jwks.refresh().await;
    issuer.answer(Answer::Keys(vec!["old", "new"]));
    let began = tokio::time::Instant::now();
    let mut made_up = 0;
    let found = async {
        loop {
            for _ in 0..50 {
                made_up += 1;
                assert!(ask(&jwks, &format!("made-up-{made_up}")).await.is_err());
            }
            match ask(&jwks, "new").await {
                Ok(_) => return,
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("found");
    let most = 2 + began.elapsed().as_millis() / interval.as_millis() + 1;
    assert!(issuer.asked() as u128 <= most, "{} of {most}", issuer.asked());
    // The name of a key that is published one day shuts nobody out.
    assert_eq!(ask(&jwks, "new").await, Ok(1));
}

/// What a token hears whose signature fits no key that is there.
async fn look_again(jwks: &Arc<Jwks>, token: &str) -> Option<AuthError> {
    jwks.newer(token).await.err()
}

#[tokio::test]
async fn a_key_that_is_replaced_under_its_name_is_looked_for_once_for_each_token() {
    let issuer = Issuer::start(Answer::Keys(vec!["same"])).await;
    let interval = Duration::from_secs(1);
    let jwks = issuer.jwks(interval);
    jwks.refresh().await;
    for _ in 0..20 {
        assert_eq!(look_again(&jwks, "one").await, Some(AuthError::KeysUnavailable), "nobody can know");
        assert_eq!(look_again(&jwks, "two").await, Some(AuthError::KeysUnavailable));
    }
    assert_eq!(issuer.asked(), 1);
    tokio::time::sleep(jwks.wait()).await;
    assert_eq!(look_again(&jwks, "one").await, None, "these are the newer ones");
    // Somebody else's fetch says as much about a token that came before it.
    for token in ["one", "two"] {
        assert_eq!(look_again(&jwks, token).await, Some(AuthError::UnknownKey), "{token}");
    }
    assert_eq!(look_again(&jwks, "three").await, Some(AuthError::KeysUnavailable), "it came afterwards");
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_token_that_was_issued_well_before_the_last_fetch_has_no_newer_key() {
    let issuer = Issuer::start(Answer::Keys(vec!["same"])).await;
    let jwks = issuer.jwks(FETCH_INTERVAL);
    let now = since_1970().as_secs();
    assert!(jwks.may_be_newer(0), "nothing was fetched yet");
    jwks.refresh().await;
    for (issued, expected) in [
        (now + 60, true),
        (now, true),
        (now - LAG.as_secs() + 60, true),
        (now - LAG.as_secs() - 60, false),
        (0, false),
        (253_402_300_799, true),
    ] {
        assert_eq!(jwks.may_be_newer(issued), expected, "{issued:?} at {now}");
    }
}

#[tokio::test]
async fn an_issuer_may_publish_no_keys_where_there_is_a_secret_as_well() {
    let issuer = Issuer::start(Answer::Keys(vec![])).await;
    let pace = Pace { interval: Duration::ZERO, burst: 1, stale_after: STALE_AFTER };
    assert_eq!(ask(&issuer.jwks_with(true, pace), "good").await, Err(AuthError::UnknownKey));
    assert_eq!(ask(&issuer.jwks_with(false, pace), "good").await, Err(AuthError::KeysUnavailable));
    // All keys taken back: that counts as well.
    issuer.answer(Answer::Keys(vec!["good"]));
    let jwks = issuer.jwks_with(true, pace);
    assert_eq!(ask(&jwks, "good").await, Ok(1));
    issuer.answer(Answer::Keys(vec![]));
    assert_eq!(ask(&jwks, "made-up").await, Err(AuthError::UnknownKey));
    assert_eq!(ask(&jwks, "good").await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn a_provider_says_itself_where_its_keys_are() {
    let provider = |keys_at, kids| Answer::Provider { issuer: "/tenant/", keys_at, kids };
    let issuer = Issuer::start(provider("/jwks", vec!["one"])).await;
    let jwks = issuer.by_name();
    assert_eq!(ask(&jwks, "one").await, Ok(1));
    for _ in 0..3 {
        assert_eq!(ask(&jwks, "made-up").await, Err(AuthError::UnknownKey));
    }
    assert_eq!((issuer.described.load(Ordering::SeqCst), issuer.asked()), (1, 4));
    // They move: found again one fetch later, and those there serve meanwhile.
    issuer.answer(provider("/moved", vec!["one", "two"]));
    assert_eq!(ask(&jwks, "two").await, Err(AuthError::KeysUnavailable));
    assert_eq!(ask(&jwks, "one").await, Ok(1));
    assert_eq!(ask(&jwks, "two").await, Ok(1));
    assert_eq!(issuer.described.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_provider_of_another_name_or_with_keys_anywhere_is_not_believed() {
    for (name, keys_at) in [
        ("/tenant", "/jwks"),
        ("/TENANT/", "/jwks"),
        ("https://evil.test/tenant/", "/jwks"),
        ("/tenant/", "http://192.0.2.1/jwks"),
        ("/tenant/", "file:///etc/passwd"),
        ("/tenant/", "jwks"),
    ] {
        let issuer = Issuer::start(Answer::Provider { issuer: name, keys_at, kids: vec!["one"] }).await;
        assert_eq!(ask(&issuer.by_name(), "one").await, Err(AuthError::KeysUnavailable), "{name} {keys_at}");
        let why = issuer.by_name().try_fetch().await.expect_err("it is not believed");
        assert!(why.starts_with(&format!("http://{}/tenant/: ", issuer.address)), "{why}");
        assert_eq!(issuer.asked(), 0);
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_makes_one_fetch() {
    let issuer = Issuer::start(Answer::Slowly(vec!["good"])).await;
    let jwks = issuer.jwks(FETCH_INTERVAL);
    let flood: Vec<_> = (0..500)
        .map(|n| {
            let jwks = Arc::clone(&jwks);
            tokio::spawn(async move { ask(&jwks, &format!("made-up-{n}")).await })
        })
        .collect();
    assert_eq!(ask(&jwks, "good").await, Ok(1));
    for asked in flood {
        assert_eq!(asked.await.expect("no panic"), Err(AuthError::UnknownKey));
    }
    assert_eq!(ask(&jwks, "made-up-afterwards").await, Err(AuthError::KeysUnavailable));
    assert_eq!(ask(&jwks, "made-up-7").await, Err(AuthError::UnknownKey), "that one is known to be bad");
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn of_tokens_that_no_key_fits_so_many_are_remembered_and_no_more() {
    let issuer = Issuer::start(Answer::Keys(vec![])).await;
    let jwks = issuer.jwks(FETCH_INTERVAL);
    let remembered = || jwks.unknown.lock().expect("no panic").came.len();
    for token in 0..UNKNOWN_MAX {
        jwks.keep_unknown(&token.to_string());
    }
    assert_eq!(remembered(), UNKNOWN_MAX);
    assert!(jwks.came("7").is_some());
    jwks.keep_unknown("one more");
    assert_eq!(remembered(), 1, "all of them came a moment ago");
    assert!(jwks.came("one more").is_some() && jwks.came("7").is_none());
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_take_the_fetch_away() {
    let issuer = Issuer::start(Answer::Slowly(vec!["good"])).await;
    let jwks = issuer.jwks(FETCH_INTERVAL);
    tokio::time::timeout(Duration::from_millis(50), ask(&jwks, "good")).await.expect_err("hung up");
    assert_eq!(ask(&jwks, "good").await, Ok(1));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn keys_are_read_up_to_the_limits_of_an_answer_and_no_further() {
    for (length, keys) in [(BODY_MAX_BYTES, Ok(1)), (BODY_MAX_BYTES + 1, Err(AuthError::KeysUnavailable))] {
        let issuer = Issuer::start(Answer::Long(vec!["good"], length)).await;
        assert_eq!(ask(&issuer.jwks(Duration::ZERO), "good").await, keys, "{length} bytes");
    }
    let issuer = Issuer::start(Answer::Keys(vec!["good"])).await;
    let pace = || Pace { interval: Duration::ZERO, burst: 1, stale_after: STALE_AFTER };
    for (redirects, keys) in [(REDIRECTS_MAX, Ok(1)), (REDIRECTS_MAX + 1, Err(AuthError::KeysUnavailable))] {
        let url = format!("http://{}/away/{redirects}", issuer.address).parse().expect("a URL");
        let jwks = Arc::new(Jwks::with_pace(Published::At(url), false, pace()).expect("a client"));
        assert_eq!(ask(&jwks, "good").await, keys, "{redirects} redirects");
    }
}

#[tokio::test]
async fn old_keys_serve_through_an_outage() {
    let issuer = Issuer::start(Answer::Keys(vec!["good"])).await;
    let jwks = issuer.jwks(Duration::ZERO);
    assert_eq!(ask(&jwks, "good").await, Ok(1));
    for outage in [
        Answer::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Answer::Bytes(BODY_MAX_BYTES + 1),
        Answer::Bytes(3),
        Answer::Keys(vec![]),
        Answer::Redirect("/jwks".into()),
        Answer::Redirect("http://192.0.2.1/jwks".into()),
    ] {
        issuer.answer(outage);
        let refused = ask(&jwks, "made-up").await;
        assert_eq!(refused, Err(AuthError::KeysUnavailable), "it may be published by now");
        assert_eq!(ask(&jwks, "good").await, Ok(1));
    }
}

#[tokio::test]
async fn keys_that_never_came_are_not_the_callers_fault() {
    let issuer = Issuer::start(Answer::Status(StatusCode::BAD_GATEWAY)).await;
    let jwks = issuer.jwks(Duration::ZERO);
    let refused = ask(&jwks, "good").await;
    assert_eq!(refused, Err(AuthError::KeysUnavailable));
    assert!(refused.is_err_and(AuthError::is_temporary));
    issuer.answer(Answer::Keys(vec!["good"]));
    assert_eq!(ask(&jwks, "good").await, Ok(1));
}

#[test]
fn keys_come_over_tls_or_from_this_machine() {
    let safe = |url: &str| is_safe_url(&Url::parse(url).expect("a URL"));
    for url in ["https://example.com/jwks", "http://localhost:9/", "http://127.0.0.1/", "http://[::1]:80/"] {
        assert!(safe(url), "{url}");
    }
    for url in
        ["http://example.com/", "http://localhost.example.com/", "ftp://localhost/", "file:///etc/passwd"]
    {
        assert!(!safe(url), "{url}");
    }
}
