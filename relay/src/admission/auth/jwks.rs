//! Keys by URL: fetched, kept, and fetched again when a token names one that is not there.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jsonwebtoken::Algorithm;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::time::Instant;

use super::AuthError;
use super::claims::{Head, since_1970};
use super::keys::KeySet;
use crate::operations::outbound::is_safe_url;
use crate::operations::{log, outbound};

/// Between two fetches on average, whatever tokens ask for.
const FETCH_INTERVAL: Duration = Duration::from_secs(30);
/// Fetches that may follow each other at once. More than one: an issuer may change its keys right after a fetch, and whoever asks for
/// a key that does not exist must not be able to use up every fetch with one token.
const FETCH_BURST: u32 = 2;
/// Tokens that are remembered at most because no key that was there fitted them.
const UNKNOWN_MAX: usize = 1_024;
/// How long before a fetch a token may have been issued and still be signed with a key that the fetch did not bring: what an issuer publishes
/// lies in caches for some minutes, and its clock is not ours.
const LAG: Duration = Duration::from_secs(300);
/// A set older than this is fetched again behind the scenes, so that keys taken off it are forgotten (Supabase's `max-age`).
const STALE_AFTER: Duration = Duration::from_secs(600);
/// What a provider says about where its keys are is asked for again after this time.
const DISCOVERED_FOR: Duration = Duration::from_secs(3_600);
/// For one fetch with its redirects, and with what the provider is asked before.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer. The largest providers publish about 20 KB.
const BODY_MAX_BYTES: usize = 256 * 1024;
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 3;

/// Where an issuer publishes its keys.
#[derive(Clone, Debug)]
pub(super) enum Published {
    /// At this URL.
    At(Url),
    /// Where the OpenID provider of this name says.
    By(String),
}

/// The keys of one issuer. Whatever goes wrong with fetching them, those we have stay good.
pub(super) struct Jwks {
    published: Published,
    client: Client,
    pace: Pace,
    /// Whether there may be none of them, because tokens are signed otherwise as well.
    may_be_empty: bool,
    current: RwLock<Current>,
    fetching: Mutex<Fetching>,
    unknown: Mutex<Unknown>,
    /// Where the provider's keys are, and since when we know.
    discovered: Mutex<Option<(Url, Instant)>>,
}

/// How often to fetch.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between two fetches on average.
    interval: Duration,
    /// Fetches that may follow each other at once.
    burst: u32,
    /// A set older than this is fetched again while it serves.
    stale_after: Duration,
}

#[derive(Default)]
struct Current {
    keys: Arc<KeySet>,
    fetched: Option<Instant>,
}

#[derive(Default)]
struct Fetching {
    /// When all fetches of a burst are there again: each that begins, successful or not, moves it on by the interval.
    full_at: Option<Instant>,
    /// The fetch that is under way: whoever needs its outcome waits for this one.
    in_flight: Option<Shared<BoxFuture<'static, ()>>>,
}

/// Tokens whose key was not there when it was looked for, with the time they came. Kept by token and not by the key's name: whoever makes up
/// a name that the issuer will use one day must not shut out the tokens that have it then.
#[derive(Default)]
struct Unknown {
    came: HashMap<u64, Instant>,
    /// Seeded at random, so that nobody can aim at somebody's hash.
    hasher: RandomState,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("more than {BODY_MAX_BYTES} bytes")]
    TooLarge,
    #[error("not a JWK set: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error(
        "no key in it that is usable (RSA with RS256, or P-256 with ES256); \
         a Supabase project that signs with its JWT secret has none: give auth.hs256_secret"
    )]
    Empty,
    #[error("the provider calls itself {0:?}")]
    OtherIssuer(String),
    #[error("the provider's keys are neither at https nor on this machine")]
    UnsafeUrl,
    #[error("no answer in {} s", FETCH_TIMEOUT.as_secs())]
    Timeout,
}

impl Jwks {
    pub(super) fn new(published: Published, may_be_empty: bool) -> Result<Jwks, reqwest::Error> {
        let pace = Pace { interval: FETCH_INTERVAL, burst: FETCH_BURST, stale_after: STALE_AFTER };
        Jwks::with_pace(published, may_be_empty, pace)
    }

    fn with_pace(published: Published, may_be_empty: bool, pace: Pace) -> Result<Jwks, reqwest::Error> {
        let redirects = Policy::custom(|attempt| {
            if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("too many redirects")
            } else if !is_safe_url(attempt.url()) {
                attempt.error("a redirect away from https")
            } else {
                attempt.follow()
            }
        });
        let client = outbound::http_client().timeout(FETCH_TIMEOUT).redirect(redirects).build()?;
        Ok(Jwks {
            published,
            client,
            pace,
            may_be_empty,
            current: RwLock::default(),
            fetching: Mutex::default(),
            unknown: Mutex::default(),
            discovered: Mutex::default(),
        })
    }

    /// The keys to look for the token's in. Fetches them when that one is not there.
    ///
    /// # Errors
    /// [`AuthError::UnknownKey`] once a fetch has shown that the issuer does not publish it; [`AuthError::KeysUnavailable`] while nobody can
    /// know, because the fetch failed or has to wait, see [`Jwks::wait`].
    pub(super) async fn keys(
        self: &Arc<Self>,
        token: &str,
        head: &Head,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, AuthError> {
        let (keys, fetched) = self.current();
        if keys.has(head, algorithm) {
            if fetched.is_some_and(|at| at.elapsed() > self.pace.stale_after) {
                drop(self.start_fetch());
            }
            return Ok(keys);
        }
        // A key that is there for another algorithm is not rotated away by a token's header.
        if keys.names(head) {
            return Err(AuthError::UnknownKey);
        }
        let keys = self.newer(token).await?;
        if keys.has(head, algorithm) { Ok(keys) } else { Err(AuthError::UnknownKey) }
    }

    /// The keys as they are after a fetch that ended since this token came, because none of those before fits it. Each token is worth one
    /// look: whoever makes tokens up must not have the keys fetched for the same one again and again, and whoever waits is told the truth after
    /// a fetch that somebody else caused.
    ///
    /// # Errors
    /// [`AuthError::UnknownKey`] once the keys were looked at for this token and are still fresh; [`AuthError::KeysUnavailable`] while nobody
    /// can know, because the fetch failed or has to wait, see [`Jwks::wait`].
    pub(super) async fn newer(self: &Arc<Self>, token: &str) -> Result<Arc<KeySet>, AuthError> {
        let (_, fetched) = self.current();
        let known_since = self.came(token);
        if let (Some(came), Some(fetched)) = (known_since, fetched)
            && fetched > came
            && fetched.elapsed() < self.pace.interval
        {
            return Err(AuthError::UnknownKey);
        }
        // What was fetched long ago says nothing about what is published by now.
        let came = known_since.filter(|came| fetched.is_none_or(|fetched| fetched <= *came));
        let came = came.unwrap_or_else(|| self.keep_unknown(token));
        self.refresh().await;
        let (keys, fetched) = self.current();
        if fetched.is_some_and(|fetched| fetched > came) { Ok(keys) } else { Err(AuthError::KeysUnavailable) }
    }

    /// Whether a token that was issued at this time (seconds since 1970) may be signed with a key that was published after the
    /// last fetch.
    pub(super) fn may_be_newer(&self, issued: u64) -> bool {
        let (_, fetched) = self.current();
        let Some(fetched) = fetched else { return true };
        Duration::from_secs(issued) + fetched.elapsed() + LAG >= since_1970()
    }

    /// The keys there are, once there are any.
    pub(super) fn known(&self) -> Option<Arc<KeySet>> {
        let (keys, fetched) = self.current();
        fetched.map(|_| keys)
    }

    /// Time until the next fetch may begin.
    pub(super) fn wait(&self) -> Duration {
        let fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        self.pace.wait(fetching.full_at, Instant::now())
    }

    /// When this token came, if no key fitted it then.
    fn came(&self, token: &str) -> Option<Instant> {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.came.get(&unknown.hasher.hash_one(token)).copied()
    }

    fn keep_unknown(&self, token: &str) -> Instant {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.came.len() >= UNKNOWN_MAX {
            unknown.came.retain(|_, came| came.elapsed() < 2 * self.pace.interval);
        }
        if unknown.came.len() >= UNKNOWN_MAX {
            unknown.came.clear();
        }
        let (token, now) = (unknown.hasher.hash_one(token), Instant::now());
        unknown.came.insert(token, now);
        now
    }

    /// Waits for a fetch, if one is under way or due.
    pub(super) async fn refresh(self: &Arc<Self>) {
        if let Some(fetch) = self.start_fetch() {
            fetch.await;
        }
    }

    /// Starts a fetch unless there were too many a short while ago. It runs in its own task, at most [`FETCH_TIMEOUT`] long: a caller
    /// who hangs up must not take it away from the others.
    fn start_fetch(self: &Arc<Self>) -> Option<Shared<BoxFuture<'static, ()>>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(in_flight) = fetching.in_flight.as_ref().filter(|fetch| fetch.peek().is_none()) {
            return Some(in_flight.clone());
        }
        let now = Instant::now();
        if !self.pace.wait(fetching.full_at, now).is_zero() {
            return None;
        }
        fetching.full_at =
            Some(fetching.full_at.map_or(now, |full_at| full_at.max(now)) + self.pace.interval);
        let this = Arc::clone(self);
        let task = tokio::spawn(async move { this.fetch_and_keep().await });
        #[expect(clippy::disallowed_methods, reason = "it waits for a task, which goes on by itself")]
        let fetch = task.map(drop).boxed().shared();
        fetching.in_flight = Some(fetch.clone());
        Some(fetch)
    }

    /// Fetches them once and keeps nothing.
    pub(super) async fn try_fetch(&self) -> Result<(), String> {
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.fetch()).await;
        fetched
            .unwrap_or(Err(FetchError::Timeout))
            .map(drop)
            .map_err(|error| format!("{}: {error}", self.published))
    }

    async fn fetch_and_keep(&self) {
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.fetch()).await;
        match fetched.unwrap_or(Err(FetchError::Timeout)) {
            Ok(keys) => {
                tracing::info!(from = %self.published, keys = keys.len(), "fetched the issuer's keys");
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Current { keys: Arc::new(keys), fetched: Some(Instant::now()) };
            }
            Err(error) => {
                let error = log::with_causes(&error);
                tracing::warn!(from = %self.published, %error, "could not fetch the issuer's keys; those there are stay good");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let fetched = match &self.published {
            Published::At(url) => self.get(url.clone()).await?,
            Published::By(issuer) => {
                let url = self.discover(issuer).await?;
                let fetched = self.get(url).await;
                if fetched.is_err() {
                    // They may have moved.
                    *self.discovered.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                fetched?
            }
        };
        let keys = KeySet::parse(&fetched)?;
        if keys.is_empty() && !self.may_be_empty { Err(FetchError::Empty) } else { Ok(keys) }
    }

    /// Where the provider's keys are (OpenID Connect Discovery 1.0, section 4).
    async fn discover(&self, issuer: &str) -> Result<Url, FetchError> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        let known = self.discovered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((url, _)) = known.filter(|(_, since)| since.elapsed() < DISCOVERED_FOR) {
            return Ok(url);
        }
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url = Url::parse(&url).ok().filter(is_safe_url).ok_or(FetchError::UnsafeUrl)?;
        let metadata: Metadata = serde_json::from_slice(&self.get(url).await?)?;
        if metadata.issuer != issuer {
            return Err(FetchError::OtherIssuer(metadata.issuer));
        }
        let url = Url::parse(&metadata.jwks_uri).ok().filter(is_safe_url).ok_or(FetchError::UnsafeUrl)?;
        *self.discovered.lock().unwrap_or_else(PoisonError::into_inner) = Some((url.clone(), Instant::now()));
        Ok(url)
    }

    /// What is there, if it is not too large.
    async fn get(&self, url: Url) -> Result<Vec<u8>, FetchError> {
        let mut response =
            self.client.get(url).header("accept", "application/json").send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            if body.len() + part.len() > BODY_MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn current(&self) -> (Arc<KeySet>, Option<Instant>) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&current.keys), current.fetched)
    }
}

impl Pace {
    /// Time until a fetch may begin, when a whole burst is there again at `full_at`.
    fn wait(&self, full_at: Option<Instant>, now: Instant) -> Duration {
        let spared = self.interval * self.burst.saturating_sub(1);
        full_at
            .map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now).saturating_sub(spared))
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("published", &self.published).finish_non_exhaustive()
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Published::At(url) => f.write_str(url.as_str()),
            Published::By(issuer) => f.write_str(issuer),
        }
    }
}
