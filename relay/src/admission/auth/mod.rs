//! Who calls: access tokens (JWT), checked against a shared secret, public keys that are configured or published, or all of them.
//!
//! The algorithm comes from the key that is ours, never from the token: the token's header only says which of our keys to try.
//! Whoever is refused hears one sentence for every cause; the cause is for the log.

mod claims;
mod jwks;
mod keys;
mod mint;
mod refused;
mod unique;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};

use crate::config::{AuthConfig, TokenLimits};
use claims::{Head, Reader};
use jwks::{Jwks, Published};
use keys::{Key, KeySet};
pub use mint::{Bearer, MintError, development_secret, mint, mint_for};
pub use refused::Refused;
use unique::Unique;

/// Longest token that is looked at, in bytes.
pub const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// A signature on P-256 (RFC 7518, 3.4).
const ES256_SIGNATURE_BYTES: usize = 64;
/// A signature of RSA is as long as its modulus: 2,048 to 4,096 bits.
const RS256_SIGNATURE_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// A caller comes back no sooner to ask whether the issuer's keys are there.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Checks tokens.
#[derive(Debug)]
pub struct Verifier {
    secret: Option<Key>,
    public: KeySet,
    jwks: Option<Arc<Jwks>>,
    issuers: Vec<String>,
    leeway_seconds: u64,
    claims: Reader,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The user: the `sub` claim, 1 to 255 visible characters.
    pub sub: String,
    /// When the token expires, in seconds since 1970; not later than the year 9999.
    pub expires_at: u64,
    /// The session of the identity provider (`session_id` claim, as Supabase sets it): what a deny-list may name.
    pub session_id: Option<String>,
    /// The account whose limits and budget the user shares; `default` if the token names none.
    pub account: String,
    /// The plan by its name, as the token has it: it need not be configured.
    pub plan: Option<String>,
    /// Whether they may use the administrators' part of the HTTP API.
    pub is_admin: bool,
    /// The token's own limits: they tighten what applies.
    pub limits: Box<TokenLimits>,
}

impl Identity {
    /// A user of an account, with a token that expires at this time (seconds since 1970), and nothing else in it.
    #[must_use]
    pub fn new(sub: String, account: String, expires_at: u64) -> Identity {
        Identity {
            sub,
            expires_at,
            session_id: None,
            account,
            plan: None,
            is_admin: false,
            limits: Box::default(),
        }
    }
}

/// Why a token is refused. For logs and metrics only: the caller is told nothing but that it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is none.
    #[error("no token")]
    Missing,
    /// It is longer than [`TOKEN_MAX_BYTES`].
    #[error("the token has {asked} bytes, more than {limit}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What came.
        asked: usize,
    },
    /// It is not a JWT.
    #[error("not a JWT")]
    Malformed,
    /// No key of ours has the algorithm it names (`none` included).
    #[error("no key of this relay has the token's algorithm")]
    Algorithm,
    /// It names a key that the issuer does not publish.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Whether the issuer publishes the token's key cannot be known now: its keys could not be fetched, or may not be fetched again so soon.
    /// Not the caller's fault, see [`AuthError::is_temporary`].
    #[error("whether the issuer has the token's key cannot be known yet")]
    KeysUnavailable,
    /// The signature does not fit.
    #[error("the signature is wrong")]
    Signature,
    /// `exp` is in the past.
    #[error("expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// `iss` is not one of ours.
    #[error("wrong issuer")]
    Issuer,
    /// `aud` is not one of ours.
    #[error("wrong audience")]
    Audience,
    /// A claim is missing, empty or of the wrong type.
    #[error("a claim is missing or of the wrong type")]
    Claims,
    /// An API key (Supabase's `anon` or `service_role`), not the token of a user.
    #[error("an API key, not a user's token")]
    ApiKey,
}

/// Why there is no verifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// No key is configured.
    #[error(
        "configuration: give auth.hs256_secret (at least 32 bytes), auth.supabase_url, auth.oidc_issuer, auth.jwks_url \
         or auth.public_keys, so that tokens can be checked"
    )]
    NoKey,
    /// The HTTP client for the issuer's keys does not start.
    #[error("the HTTP client for the issuer's keys does not start: {0}")]
    Client(#[from] reqwest::Error),
}

/// How many keys of a JWK set can be used; for the fuzzer.
#[cfg(fuzzing)]
#[must_use]
pub fn keys_in(json: &[u8]) -> usize {
    keys::KeySet::parse(json).map_or(0, |keys| keys.len())
}

impl Verifier {
    /// Gets ready to check tokens. Fetches nothing yet, see [`Verifier::warm_up`].
    ///
    /// # Errors
    /// When no key is configured, or the system's trusted certificates cannot be loaded.
    pub fn from_config(config: &AuthConfig) -> Result<Verifier, VerifierError> {
        if !config.has_key() {
            return Err(VerifierError::NoKey);
        }
        let secret = config.hs256_secret.as_ref().map(|secret| Key {
            kid: None,
            algorithm: Algorithm::HS256,
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
        });
        let published = config.jwks_url.clone().map(Published::At);
        let published = published.or_else(|| config.oidc_issuer.clone().map(Published::By));
        // A Supabase project that signs with its JWT secret publishes an empty set.
        let jwks =
            published.map(|published| Jwks::new(published, secret.is_some())).transpose()?.map(Arc::new);
        Ok(Verifier {
            secret,
            public: KeySet::of(&config.public_keys),
            jwks,
            issuers: config.issuers.clone(),
            leeway_seconds: config.leeway.as_secs(),
            claims: Reader::new(config),
        })
    }

    /// Fetches the issuer's keys, so that the first caller does not wait for them. A failure is logged and tried again later.
    pub async fn warm_up(&self) {
        if let Some(jwks) = &self.jwks {
            jwks.refresh().await;
        }
    }

    /// Fetches the issuer's keys once, to see whether they can be fetched.
    ///
    /// # Errors
    /// When they cannot: why, in words.
    pub async fn try_keys(&self) -> Result<(), String> {
        match &self.jwks {
            Some(jwks) => jwks.try_fetch().await,
            None => Ok(()),
        }
    }

    /// Says whose token it is, as [`Verifier::check`] does.
    ///
    /// # Errors
    /// When the token is not good; the cause is not for the caller.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        self.check(token).await.map_err(|refused| refused.error)
    }

    /// Says whose token it is. Waits only when a key has to be fetched, 5 s at most.
    ///
    /// # Errors
    /// When the token is not good, with what the log may say about it; the cause is not for the caller.
    pub async fn check(&self, token: &str) -> Result<Identity, Refused> {
        if token.is_empty() {
            return Err(AuthError::Missing.into());
        }
        if token.len() > TOKEN_MAX_BYTES {
            return Err(AuthError::TooLarge { limit: TOKEN_MAX_BYTES, asked: token.len() }.into());
        }
        let head = Head::parse(token)?;
        let algorithm = head.algorithm()?;
        if algorithm == Algorithm::HS256 {
            let key = self.secret.as_ref().ok_or(AuthError::Algorithm)?;
            return self.check_with(token, key);
        }
        let configured = self.check_with_any(token, self.public.matching(&head, algorithm));
        let Some(jwks) = &self.jwks else {
            return configured.unwrap_or_else(|| Err(AuthError::Algorithm.into()));
        };
        if let Some(decided) = configured.filter(|checked| !is_forged(checked)) {
            return decided;
        }
        let keys = match jwks.keys(token, &head, algorithm).await {
            Ok(keys) => keys,
            Err(error) if !error.is_temporary() => return Err(error.into()),
            Err(_) if jwks.known().is_some_and(|keys| self.no_key_fits(token, &keys, algorithm)) => {
                return Err(AuthError::UnknownKey.into());
            }
            Err(error) => return Err(Refused::for_now(error, jwks.wait().max(RETRY_AFTER_MIN))),
        };
        let published = |keys: &KeySet| {
            let checked = self.check_with_any(token, keys.matching(&head, algorithm));
            checked.unwrap_or_else(|| Err(AuthError::UnknownKey.into()))
        };
        let checked = published(&keys);
        if !is_forged(&checked) || !self.may_be_newer(token, jwks, &keys, algorithm) {
            return checked;
        }
        // Forged, or signed with a key that took the place of one we have.
        match jwks.newer(token).await {
            Ok(newer) => published(&newer),
            Err(error) if error.is_temporary() => {
                Err(Refused::for_now(error, jwks.wait().max(RETRY_AFTER_MIN)))
            }
            Err(_) => checked,
        }
    }

    /// Whether a token that no key fits may be good under a key that was published after those we have.
    fn may_be_newer(&self, token: &str, jwks: &Jwks, keys: &KeySet, algorithm: Algorithm) -> bool {
        let issued = self.claims.issued(token, &self.issuers, self.leeway_seconds);
        issued.is_some_and(|issued| jwks.may_be_newer(issued)) && !self.no_key_fits(token, keys, algorithm)
    }

    /// Whether a token that names a key which is not there is bad whatever key the issuer publishes next: its signature has a length that
    /// no key makes, or was made with a key that is there under another name.
    fn no_key_fits(&self, token: &str, keys: &KeySet, algorithm: Algorithm) -> bool {
        let signature = token.rsplit('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let is_whole = signature.is_some_and(|signature| match algorithm {
            Algorithm::ES256 => signature.len() == ES256_SIGNATURE_BYTES,
            _ => RS256_SIGNATURE_BYTES.contains(&signature.len()),
        });
        !is_whole || keys.of_algorithm(algorithm).any(|key| !is_forged(&self.check_with(token, key)))
    }

    /// With the first key that fits; `None` if there is none to try.
    fn check_with_any<'a>(
        &self,
        token: &str,
        keys: impl Iterator<Item = &'a Key>,
    ) -> Option<Result<Identity, Refused>> {
        let mut refused = None;
        for key in keys {
            let checked = self.check_with(token, key);
            if !is_forged(&checked) {
                return Some(checked);
            }
            refused = Some(checked);
        }
        refused
    }

    fn check_with(&self, token: &str, key: &Key) -> Result<Identity, Refused> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = self.leeway_seconds;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub", "iss"]);
        validation.set_issuer(&self.issuers);
        // The reader does it: not every issuer writes it into `aud`.
        validation.validate_aud = false;
        // The library's own checks let some claims of the wrong type pass, so ours reads them again.
        let decoded = jsonwebtoken::decode::<Unique>(token, &key.decoding, &validation)
            .map_err(|error| self.claims.explain(&error, token, &self.issuers))?;
        self.claims.identity(&decoded.claims.0)
    }
}

/// Whether another key may fit.
fn is_forged(checked: &Result<Identity, Refused>) -> bool {
    checked.as_ref().is_err_and(|refused| refused.error == AuthError::Signature)
}

impl AuthError {
    /// Every [`AuthError::cause`].
    pub const CAUSES: &[&str] = &[
        "missing",
        "too_large",
        "malformed",
        "algorithm",
        "unknown_key",
        "keys_unavailable",
        "signature",
        "expired",
        "not_yet_valid",
        "issuer",
        "audience",
        "claims",
        "api_key",
    ];

    /// The word for logs and metrics.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            AuthError::Missing => "missing",
            AuthError::TooLarge { .. } => "too_large",
            AuthError::Malformed => "malformed",
            AuthError::Algorithm => "algorithm",
            AuthError::UnknownKey => "unknown_key",
            AuthError::KeysUnavailable => "keys_unavailable",
            AuthError::Signature => "signature",
            AuthError::Expired => "expired",
            AuthError::NotYetValid => "not_yet_valid",
            AuthError::Issuer => "issuer",
            AuthError::Audience => "audience",
            AuthError::Claims => "claims",
            AuthError::ApiKey => "api_key",
        }
    }

    /// Whether the same token may be good in a while: then the caller should come back with it, not ask for another one.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, AuthError::KeysUnavailable)
    }
}

impl From<jsonwebtoken::errors::Error> for AuthError {
    fn from(error: jsonwebtoken::errors::Error) -> AuthError {
        match error.kind() {
            ErrorKind::ExpiredSignature => AuthError::Expired,
            ErrorKind::ImmatureSignature => AuthError::NotYetValid,
            ErrorKind::InvalidIssuer => AuthError::Issuer,
            ErrorKind::InvalidAudience => AuthError::Audience,
            // The header was read before, so what is not as JSON should be are the claims.
            ErrorKind::MissingRequiredClaim(_)
            | ErrorKind::InvalidClaimFormat(_)
            | ErrorKind::InvalidSubject
            | ErrorKind::Json(_) => AuthError::Claims,
            ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm | ErrorKind::UnsupportedAlgorithm => {
                AuthError::Algorithm
            }
            ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => AuthError::Malformed,
            // A published key that is no key counts as one that does not fit; so does what the library adds later.
            _ => AuthError::Signature,
        }
    }
}
