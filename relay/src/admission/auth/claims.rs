//! What a token says, read strictly.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::refused::{Refused, one_of};
use super::unique::Unique;
use super::{AuthError, Identity};
use crate::admission::api_keys::SUB_PREFIX;
use crate::config::{AuthConfig, ClaimPath, ClaimPaths, TokenLimits};

/// The longest `sub`, `session_id`, account and plan, in characters (as OpenID Connect Core, section 2, has it for `sub`).
const NAME_MAX_CHARS: usize = 255;
/// The account of a token that names none.
const DEFAULT_ACCOUNT: &str = "default";
/// The latest time that a token may name: the last second of the year 9999. So no arithmetic with it overflows.
const LATEST: u64 = 253_402_300_799;

/// The header of a token. It says which key to try, and nothing else in it is believed.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    alg: String,
    #[serde(default)]
    pub(super) kid: Option<String>,
}

impl Head {
    pub(super) fn parse(token: &str) -> Result<Head, Refused> {
        let malformed = |detail: &str| Refused::because(AuthError::Malformed, detail);
        let mut parts = token.split('.');
        let (Some(head), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it has to have three parts with dots between them"));
        };
        let head = object(head).map_err(|why| malformed(&format!("its header {why}")))?;
        // `crit` names extensions that must be understood (RFC 7515, 4.1.11), and the relay understands none.
        if head.get("crit").is_some() {
            return Err(malformed("its header has `crit`, and no extension is understood"));
        }
        Head::deserialize(head)
            .map_err(|_| malformed("its header has no `alg`, or no text in `alg` or `kid`"))
    }

    pub(super) fn algorithm(&self) -> Result<Algorithm, AuthError> {
        match self.alg.as_str() {
            "HS256" => Ok(Algorithm::HS256),
            "ES256" => Ok(Algorithm::ES256),
            "RS256" => Ok(Algorithm::RS256),
            _ => Err(AuthError::Algorithm),
        }
    }
}

/// The object that a part of a token is, or why it is none.
fn object(part: &str) -> Result<Value, String> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| "is not base64url without padding")?;
    // The parser's error says where a text is not JSON, and repeats nothing of the text.
    let Unique(value) = serde_json::from_slice(&json).map_err(|error| match error.is_data() {
        true => format!("has a name twice: {error}"),
        false => format!("is not JSON: {error}"),
    })?;
    if value.is_object() { Ok(value) } else { Err("is JSON, but no object".to_owned()) }
}

/// Reads claims: where the configuration says that they are, and what has to be in them.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) paths: ClaimPaths,
    pub(super) audiences: Vec<String>,
    pub(super) admin_role: String,
    pub(super) reader_role: String,
}

/// What a claim with a name has to be, in words.
const NAME: &str = "a text of 1 to 255 visible characters";
/// What a claim with one text or several has to be, in words.
const TEXTS: &str = "a text or a list of texts";
/// What a claim with a time has to be, in words.
const TIME: &str = "a number of seconds since 1970";

impl Reader {
    pub(super) fn new(config: &AuthConfig) -> Reader {
        Reader {
            paths: config.claims.clone(),
            audiences: config.audiences.clone(),
            admin_role: config.admin_role.clone(),
            reader_role: config.reader_role.clone(),
        }
    }

    /// What a token says of its user. Its signature has to be checked before.
    pub(super) fn identity(&self, value: &Value) -> Result<Identity, Refused> {
        // serde would read a list as an object as well, by the order of the fields.
        if !value.is_object() {
            return Err(Refused::because(
                AuthError::Claims,
                "the part with the claims is JSON, but no object",
            ));
        }
        let sub: String = needed(value, "sub", NAME)?;
        let exp: Seconds = needed(value, "exp", TIME)?;
        let _: Option<Seconds> = named(value, "nbf", TIME)?;
        let _: Option<Seconds> = named(value, "iat", TIME)?;
        let _: String = needed(value, "iss", "a text")?;
        self.check_audience(value)?;
        // Supabase's API keys are signed with the same secret as the tokens of its users, and must not count as a user's.
        let role: Option<OneOrMany> = named(value, "role", TEXTS)?;
        if role.is_some_and(|role| role.any(|role| matches!(role, "anon" | "service_role"))) {
            let expected = "a user's, not that of an API key";
            return Err(Refused::claim(AuthError::ApiKey, "role", value.get("role"), expected));
        }
        let login: Option<String> = named(value, "session_id", NAME)?;
        let account: Option<String> = find(value, &self.paths.account, NAME)?;
        let plan: Option<String> = find(value, &self.paths.plan, NAME)?;
        let roles: Option<OneOrMany> = find(value, &self.paths.role, TEXTS)?;
        let roles = roles.map(OneOrMany::all).unwrap_or_default();
        let has_role = |role: &str| roles.iter().any(|one| one == role);
        let agents: Option<OneOrMany> = find(value, &self.paths.agents, TEXTS)?;
        let limits = self.limits(value)?;
        let names = [
            ("sub".to_owned(), Some(&sub)),
            ("session_id".to_owned(), login.as_ref()),
            (self.paths.account.to_string(), account.as_ref()),
            (self.paths.plan.to_string(), plan.as_ref()),
        ];
        for (claim, name) in names {
            if let Some(name) = name.filter(|name| !is_name(name)) {
                let came = Value::from(name.as_str());
                return Err(Refused::claim(AuthError::Claims, claim, Some(&came), NAME));
            }
        }
        if sub.starts_with(SUB_PREFIX) {
            let expected = "a user's, which does not begin with `key:` as the names of API keys do";
            return Err(Refused::claim(AuthError::Claims, "sub", value.get("sub"), expected));
        }
        Ok(Identity {
            sub,
            expires_at: exp.0.min(LATEST),
            login,
            account: account.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()),
            plan,
            api_key: None,
            is_admin: has_role(&self.admin_role),
            is_reader: has_role(&self.reader_role),
            agents: agents.map(OneOrMany::all),
            variables: self.variables(value)?,
            limits: Box::new(limits),
        })
    }

    /// When a token says that it was issued. `None` if it does not say so, or if its claims are not good whatever key has signed it.
    pub(super) fn issued(&self, token: &str, issuers: &[String], leeway_seconds: u64) -> Option<u64> {
        let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok())?;
        let Unique(claims) = serde_json::from_slice(&claims).ok()?;
        let identity = self.identity(&claims).ok()?;
        let issuer: String = needed(&claims, "iss", "a text").ok()?;
        let is_over = identity.expires_at.saturating_add(leeway_seconds) < unix_now();
        let issued: Option<Seconds> = named(&claims, "iat", TIME).ok()?;
        issued.filter(|_| !is_over && issuers.contains(&issuer)).map(|issued| issued.0.min(LATEST))
    }

    /// Checks that one of the configured audiences is among those of the token.
    fn check_audience(&self, value: &Value) -> Result<(), Refused> {
        let path = &self.paths.audience;
        let came = path.find(value).ok().flatten();
        let wrong = |error| Refused::claim(error, path, came, one_of(&self.audiences));
        let audience: Option<OneOrMany> =
            came.map(OneOrMany::deserialize).transpose().map_err(|_| wrong(AuthError::Claims))?;
        let Some(audience) = audience else { return Err(wrong(AuthError::Claims)) };
        let is_ours = audience.any(|audience| self.audiences.iter().any(|ours| ours == audience));
        if is_ours { Ok(()) } else { Err(wrong(AuthError::Audience)) }
    }

    /// The values that a token has for the variables of agents. What is neither a text nor a number nor a truth is none.
    fn variables(&self, value: &Value) -> Result<Box<[(String, String)]>, Refused> {
        let path = &self.paths.variables;
        let values: Option<Map<String, Value>> = find(value, path, "an object of texts")?;
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let values = values.unwrap_or_default();
        Ok(values.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect())
    }

    /// The limits that a token has of its own.
    fn limits(&self, value: &Value) -> Result<TokenLimits, Refused> {
        let path = &self.paths.limits;
        let expected = "an object of limits, named as in [limits]";
        // The claim is read as a map first, since serde would read a list as an object as well, by the order of the fields.
        let Some(limits) = find::<Map<String, Value>>(value, path, expected)? else {
            return Ok(TokenLimits::default());
        };
        let came = path.find(value).ok().flatten();
        let limits = TokenLimits::deserialize(Value::Object(limits)).map_err(|error| {
            let expected = format!("{expected} ({})", error.to_string().escape_debug());
            Refused::claim(AuthError::Claims, path, came, expected)
        })?;
        match limits.impossible() {
            Some((name, accepted)) => {
                let came = came.and_then(|limits| limits.get(name));
                Err(Refused::claim(AuthError::Claims, format!("{path}.{name}"), came, accepted))
            }
            None => Ok(limits),
        }
    }

    /// What the library found wrong with the claims of a token whose signature is good, in words.
    pub(super) fn explain(
        &self,
        error: &jsonwebtoken::errors::Error,
        token: &str,
        issuers: &[String],
    ) -> Refused {
        use jsonwebtoken::errors::ErrorKind;
        let auth = AuthError::from(error.clone());
        let claims = object(token.split('.').nth(1).unwrap_or_default());
        let claim = |name: &str, expected: &str| {
            let came = claims.as_ref().ok().and_then(|claims| claims.get(name));
            Refused::claim(auth, name, came, expected)
        };
        match error.kind() {
            ErrorKind::ExpiredSignature => {
                claim("exp", &format!("a time that is not over at {}", unix_now()))
            }
            ErrorKind::ImmatureSignature => claim("nbf", &format!("a time that is over at {}", unix_now())),
            ErrorKind::InvalidIssuer => claim("iss", &one_of(issuers)),
            ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => {
                match name.as_str() {
                    "exp" | "nbf" => claim(name, TIME),
                    "iss" => claim(name, &one_of(issuers)),
                    name => claim(name, NAME),
                }
            }
            ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => match claims {
                Err(why) => Refused::because(auth, format!("the part with the claims {why}")),
                Ok(_) => auth.into(),
            },
            _ => auth.into(),
        }
    }
}

pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn unix_now() -> u64 {
    since_1970().as_secs()
}

/// The claim of this name. An error if it is missing or of another type.
fn needed<'a, T: Deserialize<'a>>(claims: &'a Value, name: &str, expected: &str) -> Result<T, Refused> {
    named(claims, name, expected)?.ok_or_else(|| Refused::claim(AuthError::Claims, name, None, expected))
}

/// The claim of this name, if it is there. An error if it is of another type.
fn named<'a, T: Deserialize<'a>>(
    claims: &'a Value,
    name: &str,
    expected: &str,
) -> Result<Option<T>, Refused> {
    let came = claims.get(name).filter(|value| !value.is_null());
    let read = came.map(T::deserialize).transpose();
    read.map_err(|_| Refused::claim(AuthError::Claims, name, came, expected))
}

/// The claim at this path, if it is there. An error if it is of another type.
fn find<'a, T: Deserialize<'a>>(
    claims: &'a Value,
    path: &ClaimPath,
    expected: &str,
) -> Result<Option<T>, Refused> {
    let wrong = |came| Refused::claim(AuthError::Claims, path, came, expected);
    let found = path.find(claims).map_err(|()| wrong(claims.get(path.first())))?;
    found.map(T::deserialize).transpose().map_err(|_| wrong(found))
}

/// Whether a text can serve as a name. Names appear in logs, in the database and on pages, so they have no invisible characters, nor any that
/// change the direction of the text around them.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= NAME_MAX_CHARS
        && !text.chars().any(|char| char.is_control() || is_format(char))
}

/// Whether a character has no shape of its own (Unicode's Cf, and the separators of lines and paragraphs).
fn is_format(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A NumericDate (RFC 7519, 2): a number, possibly with a fraction.
#[derive(Debug, Deserialize)]
#[serde(try_from = "serde_json::Number")]
struct Seconds(u64);

impl TryFrom<serde_json::Number> for Seconds {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Seconds, Self::Error> {
        match (number.as_u64(), number.as_f64()) {
            (Some(seconds), _) => Ok(Seconds(seconds)),
            // `as` turns a number beyond the range into the largest one.
            (None, Some(seconds)) if seconds >= 0.0 => Ok(Seconds(seconds as u64)),
            _ => Err("not a time"),
        }
    }
}

/// A claim with one text or with a list of texts.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(self) -> Box<[String]> {
        match self {
            OneOrMany::One(text) => Box::new([text]),
            OneOrMany::Many(texts) => texts.into(),
        }
    }

    fn any(&self, mut test: impl FnMut(&str) -> bool) -> bool {
        match self {
            OneOrMany::One(text) => test(text),
            OneOrMany::Many(texts) => texts.iter().any(|text| test(text)),
        }
    }
}
