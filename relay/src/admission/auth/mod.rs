//! Who calls: access tokens (JWT), which are checked against a shared secret, configured public keys, an issuer's published keys, or all of
//! them.
//!
//! The algorithm comes from the relay's key and never from the token. The token's header only says which key to try. A caller who is refused
//! is told the same for every cause, and the cause is logged.

mod claims;
mod jwks;
mod keys;
mod mint;
mod refused;
mod unique;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};

use crate::config::{AuthConfig, Secret, TokenLimits};
pub(crate) use claims::is_name;
use claims::{Head, Reader};
use jwks::{Jwks, Published};
use keys::{Key, KeySet};
pub use mint::{Bearer, MintError, development_secret, mint, mint_for};
pub use refused::Refused;
use unique::Unique;

/// The longest token that is checked, in bytes.
pub const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// What stands for every agent in a token.
pub const EVERY_AGENT: &str = "*";

/// How long a signature on P-256 is, in bytes (RFC 7518, 3.4).
const ES256_SIGNATURE_BYTES: usize = 64;
/// How long an RSA signature is, in bytes: as long as its modulus, 2,048 to 4,096 bits.
const RS256_SIGNATURE_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The shortest time after which a caller is told to come back when the issuer's keys are not there.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Checks tokens, and says whose they are.
#[derive(Debug)]
pub struct Verifier {
    /// The configured keys, which may be replaced while the relay runs. A check takes all of them once, and so sees no mixture.
    own: RwLock<Arc<Own>>,
    jwks: Option<Arc<Jwks>>,
    issuers: Vec<String>,
    leeway_seconds: u64,
    claims: Reader,
}

/// The keys that are configured, and not fetched.
#[derive(Debug)]
struct Own {
    secrets: Vec<Key>,
    public: KeySet,
}

impl Own {
    fn of(config: &AuthConfig) -> Arc<Own> {
        let key = |secret: &Secret| Key {
            kid: None,
            algorithm: Algorithm::HS256,
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
        };
        let secrets = config.hs256_secret.iter().chain(&config.hs256_others).map(key).collect();
        Arc::new(Own { secrets, public: KeySet::of(&config.public_keys) })
    }
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The user: the `sub` claim, 1 to 255 visible characters.
    pub sub: String,
    /// When the token expires, in seconds since 1970, and not later than the year 9999.
    pub expires_at: u64,
    /// The login at the identity provider that the token comes from, which a deny-list may name: the `session_id` claim, as Supabase sets it.
    pub login: Option<String>,
    /// The account whose limits and budget the user shares. `default` if the token names none.
    pub account: String,
    /// The name of the plan that the token names, whether or not it is configured.
    pub plan: Option<String>,
    /// The id of the API key, if one asks and no user.
    pub api_key: Option<String>,
    /// Whether the user may use the administrators' part of the HTTP API.
    pub is_admin: bool,
    /// Whether the user may read what any other user said.
    pub is_reader: bool,
    /// The agents that the user may speak with, [`EVERY_AGENT`] for all of them. `None` if the token names none: that is the default one.
    pub agents: Option<Box<[String]>>,
    /// Names and values for the variables of agents.
    pub variables: Box<[(String, String)]>,
    /// The limits that the token has of its own. They tighten those that apply otherwise.
    pub limits: Box<TokenLimits>,
}

impl Identity {
    /// What a token says that names only its user, an account, and when it expires (in seconds since 1970).
    #[must_use]
    pub fn new(sub: String, account: String, expires_at: u64) -> Identity {
        Identity {
            sub,
            expires_at,
            login: None,
            account,
            plan: None,
            api_key: None,
            is_admin: false,
            is_reader: false,
            agents: None,
            variables: Box::default(),
            limits: Box::default(),
        }
    }

    /// Whether the user may speak with this agent, if `default` is the agent of calls that name none.
    #[must_use]
    pub fn may_speak_with(&self, agent: &str, default: &str) -> bool {
        match &self.agents {
            Some(agents) => agents.iter().any(|name| name == agent || name == EVERY_AGENT),
            None => agent == default,
        }
    }
}

/// Why a token is refused, for logs and metrics. The caller is only told that it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is no token.
    #[error("no token")]
    Missing,
    /// The token is longer than [`TOKEN_MAX_BYTES`].
    #[error("the token has {asked} bytes, more than {limit}")]
    TooLarge {
        /// How long a token may be, in bytes.
        limit: usize,
        /// How long the token is, in bytes.
        asked: usize,
    },
    /// The token is not a JWT.
    #[error("not a JWT")]
    Malformed,
    /// The relay has no key for the algorithm that the token names (`none` included).
    #[error("no key of this relay has the token's algorithm")]
    Algorithm,
    /// The token names a key that the issuer does not publish.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Whether the issuer publishes the token's key cannot be known now: its keys could not be fetched, or may not be fetched again so soon.
    /// It is not the caller's fault. See [`AuthError::is_temporary`].
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
    /// `iss` is not a configured issuer.
    #[error("wrong issuer")]
    Issuer,
    /// `aud` has none of the configured audiences.
    #[error("wrong audience")]
    Audience,
    /// A claim is missing, empty or of the wrong type.
    #[error("a claim is missing or of the wrong type")]
    Claims,
    /// The token is an API key (Supabase's `anon` or `service_role`), and not a user's.
    #[error("an API key, not a user's token")]
    ApiKey,
}

/// Why no verifier can be made.
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

/// How many keys of a JWK set can be used. This is for the fuzzer.
#[must_use]
pub fn keys_in(json: &[u8]) -> usize {
    keys::KeySet::parse(json).map_or(0, |keys| keys.len())
}

impl Verifier {
    /// Makes a verifier. It fetches no keys yet. See [`Verifier::warm_up`].
    ///
    /// # Errors
    /// When no key is configured, or the system's trusted certificates cannot be loaded.
    pub fn from_config(config: &AuthConfig) -> Result<Verifier, VerifierError> {
        if !config.has_key() {
            return Err(VerifierError::NoKey);
        }
        let published = config.jwks_url.clone().map(Published::At);
        let published = published.or_else(|| config.oidc_issuer.clone().map(Published::By));
        // A Supabase project that signs with its JWT secret publishes an empty set, so that is allowed where a secret is configured.
        let has_secret = config.hs256_secret.is_some();
        let jwks = published.map(|published| Jwks::new(published, has_secret)).transpose()?.map(Arc::new);
        Ok(Verifier {
            own: RwLock::new(Own::of(config)),
            jwks,
            issuers: config.issuers.clone(),
            leeway_seconds: config.leeway.as_secs(),
            claims: Reader::new(config),
        })
    }

    /// Takes the secrets and public keys of this configuration in place of those that it has. Everything else stays as it was.
    pub fn renew(&self, config: &AuthConfig) {
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = Own::of(config);
    }

    fn own(&self) -> Arc<Own> {
        Arc::clone(&self.own.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches the issuer's keys, so that the first caller does not wait for them. A failure is logged and tried again later.
    pub async fn warm_up(&self) {
        if let Some(jwks) = &self.jwks {
            jwks.refresh().await;
        }
    }

    /// Has the issuer's keys fetched if they are old. It is to be called now and then, whether or not there are tokens.
    pub fn keep_fresh(&self) {
        if let Some(jwks) = &self.jwks {
            jwks.keep_fresh();
        }
    }

    /// Whether there is a key with which tokens can be checked. As long as there is none, it has the issuer's keys fetched, as often as they may be.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        let Some(jwks) = &self.jwks else { return true };
        let own = self.own();
        let has_keys = !own.secrets.is_empty() || !own.public.is_empty() || jwks.known().is_some();
        if !has_keys {
            jwks.seek();
        }
        has_keys
    }

    /// Fetches the issuer's keys once, to see whether they can be fetched.
    ///
    /// # Errors
    /// Why they cannot be fetched, in words.
    pub async fn try_keys(&self) -> Result<(), String> {
        match &self.jwks {
            Some(jwks) => jwks.try_fetch().await,
            None => Ok(()),
        }
    }

    /// Says whose token it is. It only waits when a key has to be fetched, for 5 s at most.
    ///
    /// # Errors
    /// When the token is not good, with what is logged about it. The caller is not to be told the cause.
    pub async fn check(&self, token: &str) -> Result<Identity, Refused> {
        if token.is_empty() {
            return Err(AuthError::Missing.into());
        }
        if token.len() > TOKEN_MAX_BYTES {
            return Err(AuthError::TooLarge { limit: TOKEN_MAX_BYTES, asked: token.len() }.into());
        }
        let head = Head::parse(token)?;
        let algorithm = head.algorithm()?;
        let own = self.own();
        if algorithm == Algorithm::HS256 {
            let checked = self.check_with_any(token, own.secrets.iter());
            return checked.unwrap_or_else(|| Err(AuthError::Algorithm.into()));
        }
        let configured = self.check_with_any(token, own.public.matching(&head, algorithm));
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
        // The token is forged, or it is signed with a new key that the issuer publishes under the name of an old one.
        match jwks.newer(token).await {
            Ok(newer) => published(&newer),
            Err(error) if error.is_temporary() => {
                Err(Refused::for_now(error, jwks.wait().max(RETRY_AFTER_MIN)))
            }
            Err(_) => checked,
        }
    }

    /// Whether a token that no key fits may be signed with a key that was published after the last fetch.
    fn may_be_newer(&self, token: &str, jwks: &Jwks, keys: &KeySet, algorithm: Algorithm) -> bool {
        let issued = self.claims.issued(token, &self.issuers, self.leeway_seconds);
        issued.is_some_and(|issued| jwks.may_be_newer(issued)) && !self.no_key_fits(token, keys, algorithm)
    }

    /// Whether a token that names an unknown key is bad whatever keys the issuer publishes next: its signature has a length that no key
    /// makes, or it was made with a known key of another name.
    fn no_key_fits(&self, token: &str, keys: &KeySet, algorithm: Algorithm) -> bool {
        let signature = token.rsplit('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let is_whole = signature.is_some_and(|signature| match algorithm {
            Algorithm::ES256 => signature.len() == ES256_SIGNATURE_BYTES,
            _ => RS256_SIGNATURE_BYTES.contains(&signature.len()),
        });
        !is_whole || keys.of_algorithm(algorithm).any(|key| !is_forged(&self.check_with(token, key)))
    }

    /// Checks a token with the first of these keys that fits. `None` if there are no keys.
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

    /// Checks a token with one key.
    fn check_with(&self, token: &str, key: &Key) -> Result<Identity, Refused> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = self.leeway_seconds;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub", "iss"]);
        validation.set_issuer(&self.issuers);
        // `Reader` checks the audience, since not every issuer writes it into `aud`.
        validation.validate_aud = false;
        // The library lets some claims of the wrong type pass, so `Reader` checks the claims again.
        let decoded = jsonwebtoken::decode::<Unique>(token, &key.decoding, &validation)
            .map_err(|error| self.claims.explain(&error, token, &self.issuers))?;
        self.claims.identity(&decoded.claims.0)
    }
}

/// Whether the signature does not fit the key that was tried. Another key may fit.
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

    /// The cause as a word for logs and metrics.
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

    /// Whether the same token may turn out to be good in a while. If so, the caller should come back with it, and not ask for another one.
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
            // The header was read before, so it is the claims that are no good JSON.
            ErrorKind::MissingRequiredClaim(_)
            | ErrorKind::InvalidClaimFormat(_)
            | ErrorKind::InvalidSubject
            | ErrorKind::Json(_) => AuthError::Claims,
            ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm | ErrorKind::UnsupportedAlgorithm => {
                AuthError::Algorithm
            }
            ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => AuthError::Malformed,
            // A published key that is not really one counts as one that does not fit, and so does any error that is not listed here.
            _ => AuthError::Signature,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_finds_wrong_is_a_cause_of_ours_and_all_else_is_a_wrong_signature() {
        let json = serde_json::from_str::<bool>("").expect_err("no JSON");
        let base64 = URL_SAFE_NO_PAD.decode("!").expect_err("no base64");
        let bytes = URL_SAFE_NO_PAD.decode("_w").expect("base64");
        let utf8 = String::from_utf8(bytes).expect_err("no UTF-8");
        for (error, expected) in [
            (ErrorKind::ExpiredSignature.into(), AuthError::Expired),
            (ErrorKind::ImmatureSignature.into(), AuthError::NotYetValid),
            (ErrorKind::InvalidIssuer.into(), AuthError::Issuer),
            (ErrorKind::InvalidAudience.into(), AuthError::Audience),
            (ErrorKind::MissingRequiredClaim("exp".to_owned()).into(), AuthError::Claims),
            (ErrorKind::InvalidClaimFormat("exp".to_owned()).into(), AuthError::Claims),
            (ErrorKind::InvalidSubject.into(), AuthError::Claims),
            (json.into(), AuthError::Claims),
            (ErrorKind::InvalidAlgorithm.into(), AuthError::Algorithm),
            (ErrorKind::MissingAlgorithm.into(), AuthError::Algorithm),
            (ErrorKind::UnsupportedAlgorithm.into(), AuthError::Algorithm),
            (ErrorKind::InvalidToken.into(), AuthError::Malformed),
            (base64.into(), AuthError::Malformed),
            (utf8.into(), AuthError::Malformed),
            (ErrorKind::InvalidSignature.into(), AuthError::Signature),
            (ErrorKind::InvalidKeyFormat.into(), AuthError::Signature),
        ] {
            let found: jsonwebtoken::errors::Error = error;
            assert_eq!(AuthError::from(found), expected);
        }
    }

    #[test]
    fn each_cause_has_a_word_of_its_own() {
        let causes = [
            AuthError::Missing,
            AuthError::TooLarge { limit: 1, asked: 2 },
            AuthError::Malformed,
            AuthError::Algorithm,
            AuthError::UnknownKey,
            AuthError::KeysUnavailable,
            AuthError::Signature,
            AuthError::Expired,
            AuthError::NotYetValid,
            AuthError::Issuer,
            AuthError::Audience,
            AuthError::Claims,
            AuthError::ApiKey,
        ];
        assert_eq!(causes.map(AuthError::cause), AuthError::CAUSES);
        let temporary: Vec<_> = causes.into_iter().filter(|cause| cause.is_temporary()).collect();
        assert_eq!(temporary, [AuthError::KeysUnavailable]);
    }
}
