//! What a token says, read strictly.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::Value;

use super::{AuthError, Identity};
use crate::config::TokenLimits;

/// Longest `sub` and `session_id`, in characters (OpenID Connect Core, section 2).
const NAME_MAX_CHARS: usize = 255;
/// The last second of the year 9999, so that nobody's arithmetic overflows.
const LATEST: u64 = 253_402_300_799;

/// The header: which key to try. Nothing in it is believed.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    alg: String,
    #[serde(default)]
    pub(super) kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, 4.1.11): we understand none.
    #[serde(default)]
    crit: Option<Value>,
}

impl Head {
    pub(super) fn parse(token: &str) -> Result<Head, AuthError> {
        let mut parts = token.split('.');
        let (Some(head), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::Malformed);
        };
        let json = URL_SAFE_NO_PAD.decode(head).map_err(|_| AuthError::Malformed)?;
        let head: Head = serde_json::from_slice(&json).map_err(|_| AuthError::Malformed)?;
        if head.crit.is_some() { Err(AuthError::Malformed) } else { Ok(head) }
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
    pub(super) fn read(claims: Value) -> Result<Claims, AuthError> {
        serde_json::from_value(claims).map_err(|_| AuthError::Claims)
    }

    pub(super) fn identity(self) -> Result<Identity, AuthError> {
        // Supabase's API keys are signed with the project's secret like the tokens of its users.
        if self.role.is_some_and(|role| role.any(|role| matches!(role, "anon" | "service_role"))) {
            return Err(AuthError::ApiKey);
        }
        if !is_name(&self.sub) || self.session_id.as_deref().is_some_and(|id| !is_name(id)) {
            return Err(AuthError::Claims);
        }
        Ok(Identity {
            sub: self.sub,
            expires_at: self.exp.0.min(LATEST),
            session_id: self.session_id,
            account: "default".to_owned(),
            plan: None,
            is_admin: false,
            limits: Box::new(TokenLimits::default()),
        })
    }
}

/// Ends up in logs, in the database and on pages.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= NAME_MAX_CHARS && !text.chars().any(char::is_control)
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
