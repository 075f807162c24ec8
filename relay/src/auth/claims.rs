//! What a token says, read strictly.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::unique::Unique;
use super::{AuthError, Identity};
use crate::config::{ClaimPath, ClaimPaths, TokenLimits};

/// Longest `sub` and `session_id`, in characters (OpenID Connect Core, section 2).
const NAME_MAX_CHARS: usize = 255;
/// The account of a token that names none.
const DEFAULT_ACCOUNT: &str = "default";
/// The last second of the year 9999, so that nobody's arithmetic overflows.
const LATEST: u64 = 253_402_300_799;

/// The header: which key to try. Nothing in it is believed.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    alg: String,
    #[serde(default)]
    pub(super) kid: Option<String>,
}

impl Head {
    pub(super) fn parse(token: &str) -> Result<Head, AuthError> {
        let mut parts = token.split('.');
        let (Some(head), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::Malformed);
        };
        let json = URL_SAFE_NO_PAD.decode(head).map_err(|_| AuthError::Malformed)?;
        let Unique(head) = serde_json::from_slice(&json).map_err(|_| AuthError::Malformed)?;
        // Extensions that must be understood (RFC 7515, 4.1.11): we understand none.
        if !head.is_object() || head.get("crit").is_some() {
            return Err(AuthError::Malformed);
        }
        Head::deserialize(head).map_err(|_| AuthError::Malformed)
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

/// The claims we use. Reading them refuses those of the wrong type.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    exp: Seconds,
    #[serde(default, rename = "nbf")]
    _nbf: Option<Seconds>,
    #[serde(default, rename = "iat")]
    _iat: Option<Seconds>,
    #[serde(rename = "iss")]
    _iss: String,
    #[serde(rename = "aud")]
    _aud: OneOrMany,
    #[serde(default)]
    role: Option<OneOrMany>,
    #[serde(default)]
    session_id: Option<String>,
}

impl Claims {
    fn read(claims: &Value) -> Result<Claims, AuthError> {
        // A list would do as well, by the order of the fields.
        if !claims.is_object() {
            return Err(AuthError::Claims);
        }
        Claims::deserialize(claims).map_err(|_| AuthError::Claims)
    }
}

/// Where the claims are that the operator names.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) paths: ClaimPaths,
    pub(super) admin_role: String,
}

impl Reader {
    /// Whose token it is, from its claims, which somebody we trust has signed.
    pub(super) fn identity(&self, value: &Value) -> Result<Identity, AuthError> {
        let claims = Claims::read(value)?;
        // Supabase's API keys are signed with the project's secret like the tokens of its users.
        if claims.role.is_some_and(|role| role.any(|role| matches!(role, "anon" | "service_role"))) {
            return Err(AuthError::ApiKey);
        }
        let account: Option<String> = find(value, &self.paths.account)?;
        let plan: Option<String> = find(value, &self.paths.plan)?;
        let role: Option<OneOrMany> = find(value, &self.paths.role)?;
        // Read by name only: a list would do as well, by the order of the fields.
        let limits: Option<Map<String, Value>> = find(value, &self.paths.limits)?;
        let limits = limits.map(|limits| TokenLimits::deserialize(Value::Object(limits))).transpose();
        let limits = limits.map_err(|_| AuthError::Claims)?;
        let names = [Some(&claims.sub), claims.session_id.as_ref(), account.as_ref(), plan.as_ref()];
        if !names.into_iter().flatten().all(|name| is_name(name)) {
            return Err(AuthError::Claims);
        }
        Ok(Identity {
            sub: claims.sub,
            expires_at: claims.exp.0.min(LATEST),
            session_id: claims.session_id,
            account: account.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()),
            plan,
            is_admin: role.is_some_and(|role| role.any(|role| role == self.admin_role)),
            limits: Box::new(limits.unwrap_or_default()),
        })
    }
}

/// The claim at a path; an error if it is of another type.
fn find<'a, T: Deserialize<'a>>(claims: &'a Value, path: &ClaimPath) -> Result<Option<T>, AuthError> {
    let found = path.find(claims).map_err(|()| AuthError::Claims)?;
    found.map(T::deserialize).transpose().map_err(|_| AuthError::Claims)
}

/// Ends up in logs, in the database and on pages: nothing that is invisible or turns the text around it.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= NAME_MAX_CHARS
        && !text.chars().any(|char| char.is_control() || is_format(char))
}

/// Characters without a shape of their own (Unicode's Cf, and the separators of lines and paragraphs).
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
            // `as` stops at the ends of the range.
            (None, Some(seconds)) if seconds >= 0.0 => Ok(Seconds(seconds as u64)),
            _ => Err("not a time"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn any(&self, mut test: impl FnMut(&str) -> bool) -> bool {
        match self {
            OneOrMany::One(text) => test(text),
            OneOrMany::Many(texts) => texts.iter().any(|text| test(text)),
        }
    }
}
