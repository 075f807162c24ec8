//! Whose tokens are good, and which of their claims say what.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use super::error::unreadable;
use super::values::{Values, quote};
use super::{ConfigError, PublicKey, Secret};
use crate::operations::outbound::is_safe_url;

/// Claims that users write themselves: Supabase's and Clerk's.
const USER_EDITABLE: [&str; 2] = ["user_metadata", "unsafe_metadata"];

/// Whose tokens are good.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The secret shared with whoever mints tokens. The relay mints its own with it.
    pub hs256_secret: Option<Secret>,
    /// Other secrets whose tokens are good as well, for as long as one takes the place of another.
    pub hs256_others: Vec<Secret>,
    /// Public keys of the minter.
    pub public_keys: Vec<PublicKey>,
    /// Where the minter publishes its public keys (JWKS).
    pub jwks_url: Option<Url>,
    /// The OpenID provider that says itself where its keys are; the only accepted issuer.
    pub oidc_issuer: Option<String>,
    /// Accepted `iss` claims; never empty.
    pub issuers: Vec<String>,
    /// What the audience's claim has to hold, one of them; never empty.
    pub audiences: Vec<String>,
    /// Which claims say what.
    pub claims: ClaimPaths,
    /// The role of those who may use `/v1/admin`.
    pub admin_role: String,
    /// The role of those who may read what any user said.
    pub reader_role: String,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// How long a call goes on after its token expired.
    pub token_grace: Duration,
}

/// Which claims say what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPaths {
    /// Whom the token is for.
    pub audience: ClaimPath,
    /// The account.
    pub account: ClaimPath,
    /// The plan.
    pub plan: ClaimPath,
    /// The role.
    pub role: ClaimPath,
    /// The agents that its user may speak with.
    pub agents: ClaimPath,
    /// Values for the variables of agents.
    pub variables: ClaimPath,
    /// The token's own limits.
    pub limits: ClaimPath,
}

/// Where a claim is: names with dots between them, or one name that is a URL, as Auth0 wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl AuthConfig {
    /// Whether there is anything to check tokens with.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.hs256_secret.is_some() || self.has_foreign_key()
    }

    /// Whether somebody else signs.
    pub(super) fn has_foreign_key(&self) -> bool {
        !self.public_keys.is_empty() || self.jwks_url.is_some() || self.oidc_issuer.is_some()
    }

    pub(super) fn check(values: &Values) -> Result<AuthConfig, ConfigError> {
        let source = KeySource::check(values)?;
        let public_keys = public_keys(values)?;
        // Whoever signs for others as well has to be told apart from them. A secret is shared with one minter only.
        let is_foreign = !matches!(source, KeySource::None) || !public_keys.is_empty();
        let names = |key, known: Option<String>| match (values.list(key)?, known, is_foreign) {
            (given, None, _) if !given.is_empty() => Ok(given),
            (_, Some(known), _) => Ok(vec![known]),
            (_, None, false) => Ok(vec!["voxrelay".to_owned()]),
            (_, None, true) => {
                Err(ConfigError::Missing { key, why: "tokens that somebody else's keys sign have to say so" })
            }
        };
        let path = |key| ClaimPath::check(values, key);
        let seconds = |key| values.whole(key).map(|seconds| Duration::from_secs(seconds.into()));
        let audience = source.audience().filter(|_| !values.has("auth.audience"));
        let mut secrets = values.secrets("auth.hs256_secret")?.into_iter();
        Ok(AuthConfig {
            hs256_secret: secrets.next(),
            hs256_others: secrets.collect(),
            public_keys,
            issuers: names("auth.issuer", source.issuer())?,
            audiences: names("auth.audience", audience)?,
            claims: ClaimPaths {
                audience: path("auth.audience_claim")?,
                account: path("auth.account_claim")?,
                plan: path("auth.plan_claim")?,
                role: path("auth.role_claim")?,
                agents: path("auth.agents_claim")?,
                variables: path("auth.variables_claim")?,
                limits: path("auth.limits_claim")?,
            },
            admin_role: values.word("auth.admin_role")?,
            reader_role: values.word("auth.reader_role")?,
            leeway: seconds("auth.leeway_seconds")?,
            token_grace: seconds("auth.token_grace_seconds")?,
            oidc_issuer: source.oidc_issuer(),
            jwks_url: source.jwks_url(),
        })
    }
}

impl ClaimPath {
    /// Reads a path. `None` for one with an empty name in it, and for one that a user can write to.
    #[must_use]
    pub fn parse(path: &str) -> Option<ClaimPath> {
        let names: Vec<String> = match path.contains("://") {
            true => vec![path.to_owned()],
            false => path.split('.').map(str::to_owned).collect(),
        };
        let good = |name: &String| !name.trim().is_empty() && !USER_EDITABLE.contains(&name.as_str());
        names.iter().all(good).then_some(ClaimPath(names))
    }

    /// What is there. `Ok(None)` if nothing is.
    ///
    /// # Errors
    /// When there is something on the way that holds no claims.
    #[expect(clippy::result_unit_err, reason = "there is nothing to say but that it is of the wrong type")]
    pub fn find<'a>(&self, claims: &'a Value) -> Result<Option<&'a Value>, ()> {
        let mut at = claims;
        for name in &self.0 {
            match at {
                Value::Object(claims) => match claims.get(name) {
                    Some(Value::Null) | None => return Ok(None),
                    Some(value) => at = value,
                },
                _ => return Err(()),
            }
        }
        Ok(Some(at))
    }

    /// The name of the outermost claim.
    pub(crate) fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Writes a value to where it is looked for.
    pub(crate) fn put(&self, claims: &mut Value, value: Value) {
        let mut at = claims;
        for name in &self.0 {
            if !at.is_object() {
                *at = Value::Object(serde_json::Map::new());
            }
            at = &mut at[name.as_str()];
        }
        *at = value;
    }

    fn check(values: &Values, key: &'static str) -> Result<ClaimPath, ConfigError> {
        let given = values.word(key)?;
        ClaimPath::parse(&given).ok_or_else(|| {
            let accepted = match USER_EDITABLE.iter().find(|name| given.contains(*name)) {
                Some(name) => format!("give a claim outside of {name}: users edit that themselves"),
                None => {
                    "give the names of claims with dots between them, such as app_metadata.account".to_owned()
                }
            };
            values.wrong(key, quote(&given), accepted)
        })
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Where keys are fetched from.
enum KeySource {
    None,
    Jwks(Url),
    Supabase(Url),
    Oidc(String),
}

impl KeySource {
    fn check(values: &Values) -> Result<KeySource, ConfigError> {
        const SAYS: &str = "it says itself where its keys are and what its issuer is";
        let conflicts: [(&'static str, &[&'static str]); 2] = [
            ("auth.supabase_url", &["auth.jwks_url", "auth.oidc_issuer", "auth.issuer"]),
            ("auth.oidc_issuer", &["auth.jwks_url", "auth.issuer"]),
        ];
        for (key, others) in conflicts {
            if let Some(other) = others.iter().find(|other| values.has(key) && values.has(other)) {
                let place = values.place(key);
                return Err(ConfigError::Conflict { key, place, other, why: SAYS });
            }
        }
        if let Some(url) = values.text("auth.jwks_url")? {
            let accepted = "give an https:// URL (http:// only for localhost)";
            let safe = Url::parse(&url).ok().filter(is_safe_url);
            return safe
                .map(KeySource::Jwks)
                .ok_or_else(|| values.wrong("auth.jwks_url", quote(&url), accepted));
        }
        if let Some(given) = values.text("auth.supabase_url")? {
            let accepted =
                "give the project's URL, such as https://abcdefgh.supabase.co (http:// only for localhost)";
            let project =
                base_url(&given).filter(|url| !url.path().trim_end_matches('/').ends_with("/auth/v1"));
            let project =
                project.ok_or_else(|| values.wrong("auth.supabase_url", quote(&given), accepted))?;
            return Ok(KeySource::Supabase(project));
        }
        if let Some(given) = values.text("auth.oidc_issuer")? {
            let accepted = "give the issuer exactly as its tokens have it, such as https://accounts.example.com (http:// only for localhost)";
            if base_url(&given).is_none() {
                return Err(values.wrong("auth.oidc_issuer", quote(&given), accepted));
            }
            return Ok(KeySource::Oidc(given));
        }
        Ok(KeySource::None)
    }

    fn issuer(&self) -> Option<String> {
        match self {
            KeySource::Supabase(project) => Some(below(project, "/auth/v1")),
            KeySource::Oidc(issuer) => Some(issuer.clone()),
            KeySource::Jwks(_) | KeySource::None => None,
        }
    }

    fn audience(&self) -> Option<String> {
        matches!(self, KeySource::Supabase(_)).then(|| "authenticated".to_owned())
    }

    fn oidc_issuer(&self) -> Option<String> {
        match self {
            KeySource::Oidc(issuer) => Some(issuer.clone()),
            _ => None,
        }
    }

    fn jwks_url(self) -> Option<Url> {
        match self {
            KeySource::Jwks(url) => Some(url),
            KeySource::Supabase(project) => {
                let url = below(&project, "/auth/v1/.well-known/jwks.json");
                Some(Url::parse(&url).expect("a URL with a longer path is a URL"))
            }
            KeySource::Oidc(_) | KeySource::None => None,
        }
    }
}

fn public_keys(values: &Values) -> Result<Vec<PublicKey>, ConfigError> {
    const KEY: &str = "auth.public_keys";
    let read = |given: String| {
        // Not shown: whoever pastes the wrong half pastes a secret.
        let (pem, shown) = match given.contains("-----BEGIN") {
            true => (given, "[PEM]".to_owned()),
            false => match std::fs::read_to_string(&given) {
                Ok(pem) => (pem, quote(&given)),
                Err(error) => {
                    let why = unreadable(Path::new(&given), &error);
                    let accepted = format!("give a PEM text or the path of a PEM file ({why})");
                    return Err(values.wrong(KEY, quote(&given), accepted));
                }
            },
        };
        PublicKey::from_pem(&pem).map_err(|error| values.wrong(KEY, shown, error))
    };
    values.list(KEY)?.into_iter().map(read).collect()
}

/// A URL that others are made of by adding to its path.
fn base_url(given: &str) -> Option<Url> {
    let bare = |url: &Url| {
        url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && is_safe_url(url)
    };
    Url::parse(given).ok().filter(bare)
}

fn below(base: &Url, path: &str) -> String {
    format!("{}{path}", base.as_str().trim_end_matches('/'))
}
