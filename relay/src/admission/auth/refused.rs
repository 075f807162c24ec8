//! A refused token in words for the log: which claim, what came and what was expected.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::AuthError;

/// Longest part of a token's or the configuration's own text in a log line, in characters.
const SHOWN_MAX_CHARS: usize = 120;

/// A token that is refused, and what the log may say about it. The caller is told none of it.
///
/// It prints as one line: what a token says is in it only in parts, escaped, and never the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub error: AuthError,
    /// When the same token may be good, if it may be.
    pub retry_after: Option<Duration>,
    /// Which claim, what came, and what was expected; or what of the token cannot be read.
    detail: Option<Box<str>>,
}

impl Refused {
    /// A claim that is not as it has to be; `came` is what the token has, if it has it.
    pub(super) fn claim(
        error: AuthError,
        name: impl fmt::Display,
        came: Option<&Value>,
        expected: impl fmt::Display,
    ) -> Refused {
        let name = shorten(&name.to_string());
        let came = came.map_or_else(|| "nothing".to_owned(), show);
        Refused::because(error, format!("the claim {name} has to be {expected}, and {came} came"))
    }

    /// What of the token cannot be read, in words that have nothing of it as it is.
    pub(super) fn because(error: AuthError, detail: impl Into<Box<str>>) -> Refused {
        Refused { detail: Some(detail.into()), ..error.into() }
    }

    /// One that may be good after that time.
    pub(super) fn for_now(error: AuthError, retry_after: Duration) -> Refused {
        Refused { retry_after: Some(retry_after), ..error.into() }
    }

    /// The word for logs and metrics.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        self.error.cause()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Refused {
        Refused { error, retry_after: None, detail: None }
    }
}

/// The names that are accepted, for a person.
pub(super) fn one_of(names: &[String]) -> String {
    match names {
        [name] => quote(name),
        names => format!("one of {}", show(&Value::from(names.to_vec()))),
    }
}

/// A value as a log may have it: nothing in it is invisible or turns the text around it.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => shorten(&other.to_string()),
    }
}

pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", shorten(text))
}

fn shorten(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_MAX_CHARS).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_is_shown_in_part_and_without_characters_that_act() {
        for came in [
            json!("a\u{1b}[2Jb\n\u{202e}c".repeat(1_000)),
            json!(["\u{1b}[2J", { "x\r\n": "\u{200b}" }]),
            json!({ "a": "b".repeat(100_000) }),
        ] {
            let line = Refused::claim(AuthError::Claims, "sub\n", Some(&came), "a text").to_string();
            assert!(line.chars().count() < 2_000, "{line}");
            assert!(
                !line.chars().any(|char| char.is_control() || "\u{202e}\u{200b}".contains(char)),
                "{line}"
            );
        }
    }

    #[test]
    fn the_line_says_which_claim_what_came_and_what_was_expected() {
        let names = ["relay".to_owned(), "other".to_owned()];
        let refused = Refused::claim(AuthError::Audience, "aud", Some(&json!("wrong")), one_of(&names));
        assert_eq!(
            refused.to_string(),
            r#"wrong audience: the claim aud has to be one of [\"relay\",\"other\"], and "wrong" came"#
        );
        let refused = Refused::claim(AuthError::Claims, "sub", None, "a text");
        assert!(refused.to_string().ends_with("the claim sub has to be a text, and nothing came"));
    }
}
