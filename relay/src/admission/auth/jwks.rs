//! An issuer's published keys: fetched from a URL, kept, and fetched again when a token names a key that is not among them.

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

/// The average time between two fetches at least, whatever tokens ask for.
const FETCH_INTERVAL: Duration = Duration::from_secs(30);
/// How many fetches may follow each other at once. It is more than one because an issuer may change its keys right after a fetch, and one
/// token that names a made-up key must not use up every fetch.
const FETCH_BURST: u32 = 2;
/// How many tokens are remembered at most because no key fitted them.
const UNKNOWN_MAX: usize = 1_024;
/// How long before a fetch a token may have been issued and still be signed with a key that the fetch did not bring. An issuer's keys lie in
/// caches for some minutes, and its clock differs from the relay's.
const LAG: Duration = Duration::from_secs(300);
/// The age at which a set of keys is fetched again while it serves, so that keys taken off it are forgotten (Supabase's `max-age`).
const STALE_AFTER: Duration = Duration::from_secs(600);
/// How long it is remembered where a provider's keys are, before the provider is asked again.
const DISCOVERED_FOR: Duration = Duration::from_secs(3_600);
/// How long one fetch may take, with its redirects and the question where the keys are.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read. The largest providers publish about 20 KB.
const BODY_MAX_BYTES: usize = 256 * 1024;
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 3;

/// Where an issuer publishes its keys.
#[derive(Clone, Debug)]
pub(super) enum Published {
    /// The keys are at this URL.
    At(Url),
    /// The keys are where the OpenID provider of this name says.
    By(String),
}

/// The published keys of one issuer. If they cannot be fetched, those that were fetched before stay good.
pub(super) struct Jwks {
    published: Published,
    client: Client,
    pace: Pace,
    /// Whether the set may have no keys, because tokens may be signed with a configured secret instead.
    may_be_empty: bool,
    current: RwLock<Current>,
    fetching: Mutex<Fetching>,
    unknown: Mutex<Unknown>,
    /// Where the provider's keys are, and when the provider said so.
    discovered: Mutex<Option<(Url, Instant)>>,
}

/// How often to fetch.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The average time between two fetches at least.
    interval: Duration,
    /// How many fetches may follow each other at once.
    burst: u32,
    /// The age at which a set of keys is fetched again while it serves.
    stale_after: Duration,
}

/// The keys that serve now, and when they were fetched.
#[derive(Default)]
struct Current {
    keys: Arc<KeySet>,
    fetched: Option<Instant>,
}

/// Fetches under way, and when the next one may begin.
#[derive(Default)]
struct Fetching {
    /// When a whole burst of fetches may begin again. Each fetch that begins, successful or not, moves it on by the interval.
    full_at: Option<Instant>,
    /// The fetch that is under way. Everybody who needs keys waits for the same one.
    in_flight: Option<Shared<BoxFuture<'static, ()>>>,
}

/// Tokens that no key fitted, with the time at which each came first. They are remembered by token and not by the name of their key:
/// otherwise somebody could make up the name of a future key, and shut out the good tokens that have it one day.
#[derive(Default)]
struct Unknown {
    came: HashMap<u64, Instant>,
    /// The hasher of tokens. It is seeded at random, so that nobody can make up a token with the hash of another one.
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

    /// The set that has the token's key. It is fetched if the key is not among those that were fetched before.
    ///
    /// # Errors
    /// [`AuthError::UnknownKey`] once a fetch has shown that the issuer does not publish the key. [`AuthError::KeysUnavailable`] while that
    /// cannot be known, because the fetch failed or has to wait. See [`Jwks::wait`].
    pub(super) async fn keys(
        self: &Arc<Self>,
        token: &str,
        head: &Head,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, AuthError> {
        let (keys, _) = self.current();
        if keys.has(head, algorithm) {
            self.keep_fresh();
            return Ok(keys);
        }
        // A key of this name is there, for another algorithm. A token's header must not have the keys fetched again because of that.
        if keys.names(head) {
            return Err(AuthError::UnknownKey);
        }
        let keys = self.newer(token).await?;
        if keys.has(head, algorithm) { Ok(keys) } else { Err(AuthError::UnknownKey) }
    }

    /// The set as it is after a fetch that ended since this token came first, because no key before fits the token. Each token causes one
    /// fetch only, so that nobody can have the keys fetched again and again by the same made-up token. A fetch that somebody else caused
    /// counts as well.
    ///
    /// # Errors
    /// [`AuthError::UnknownKey`] once keys were fetched since this token came, and are still fresh. [`AuthError::KeysUnavailable`] while that
    /// cannot be known, because the fetch failed or has to wait. See [`Jwks::wait`].
    pub(super) async fn newer(self: &Arc<Self>, token: &str) -> Result<Arc<KeySet>, AuthError> {
        let (_, fetched) = self.current();
        let known_since = self.came(token);
        if let (Some(came), Some(fetched)) = (known_since, fetched)
            && fetched > came
            && fetched.elapsed() < self.pace.interval
        {
            return Err(AuthError::UnknownKey);
        }
        // Keys that were fetched long ago say nothing about what is published by now, so the token counts as new then.
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

    /// The set that was fetched last, if any was.
    pub(super) fn known(&self) -> Option<Arc<KeySet>> {
        let (keys, fetched) = self.current();
        fetched.map(|_| keys)
    }

    /// The time until the next fetch may begin.
    pub(super) fn wait(&self) -> Duration {
        let fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        self.pace.wait(fetching.full_at, Instant::now())
    }

    /// When this token came first, if no key fitted it then.
    fn came(&self, token: &str) -> Option<Instant> {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.came.get(&unknown.hasher.hash_one(token)).copied()
    }

    /// Remembers that no key fits this token. If there are too many of them, old ones are forgotten, and all if that is not enough.
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

    /// Waits for a fetch, if one is under way or may begin.
    pub(super) async fn refresh(self: &Arc<Self>) {
        if let Some(fetch) = self.start_fetch() {
            fetch.await;
        }
    }

    /// Starts a fetch, if one may begin, where there are keys and they are old: those that were taken off the set since are forgotten also if nobody
    /// has asked for any.
    pub(super) fn keep_fresh(self: &Arc<Self>) {
        let (_, fetched) = self.current();
        if fetched.is_some_and(|at| at.elapsed() > self.pace.stale_after) {
            self.seek();
        }
    }

    /// Starts a fetch, if one may begin, and does not wait for it.
    pub(super) fn seek(self: &Arc<Self>) {
        drop(self.start_fetch());
    }

    /// Starts a fetch, unless there were too many a short while ago. It runs in a task of its own, for [`FETCH_TIMEOUT`] at most, so that a
    /// caller who goes away does not end it for the others.
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
        // It is known to be over when somebody has waited for it, and whoever started it may not.
        tokio::spawn(fetch.clone());
        fetching.in_flight = Some(fetch.clone());
        Some(fetch)
    }

    /// Fetches the keys once to see whether that works, and keeps nothing.
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
                    // The keys may have moved, so the provider is asked again next time.
                    *self.discovered.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                fetched?
            }
        };
        let keys = KeySet::parse(&fetched)?;
        if keys.is_empty() && !self.may_be_empty { Err(FetchError::Empty) } else { Ok(keys) }
    }

    /// The URL of the provider's keys (OpenID Connect Discovery 1.0, section 4).
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

    /// The body that a URL answers with, if it is not too large.
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
    /// The time until a fetch may begin, if a whole burst may begin again at `full_at`.
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
