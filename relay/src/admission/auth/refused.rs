//! A refused token in words for the log: which claim, what came and what was expected.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::AuthError;

/// The longest part of a text from a token or the configuration that a log line shows, in characters.
const SHOWN_MAX_CHARS: usize = 120;

/// Why a token is refused, for the log. The caller is told nothing of it.
///
/// It prints as one line, which shows values of the token in part and escaped, and never the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why the token is refused.
    pub error: AuthError,
    /// After how long to check the same token again, if it cannot be judged now.
    pub retry_after: Option<Duration>,
    /// Which claim is wrong, what came and what was expected, or which part of the token cannot be read.
    detail: Option<Box<str>>,
}

impl Refused {
    /// The refusal of a token with a wrong claim. `came` is the claim as the token has it, if it has it.
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

    /// The refusal of a token that cannot be read. `detail` repeats nothing of the token unescaped.
    pub(super) fn because(error: AuthError, detail: impl Into<Box<str>>) -> Refused {
        Refused { detail: Some(detail.into()), ..error.into() }
    }

    /// The refusal of a token that cannot be judged before that time.
    pub(super) fn for_now(error: AuthError, retry_after: Duration) -> Refused {
        Refused { retry_after: Some(retry_after), ..error.into() }
    }

    /// The cause as a word for logs and metrics.
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

/// The accepted names in words.
pub(super) fn one_of(names: &[String]) -> String {
    match names {
        [name] => quote(name),
        names => format!("one of {}", show(&Value::from(names.to_vec()))),
    }
}

/// A value for a log line: shortened, and escaped so that it has no invisible characters, nor any that change the text around it.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => shorten(&other.to_string()),
    }
}

/// A text in quotes for a log line, shortened and escaped.
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
    fn a_text_of_120_characters_is_shown_whole_and_of_a_longer_one_so_many() {
        let whole = "ü".repeat(120);
        assert_eq!(quote(&whole), format!("\"{whole}\""));
        assert_eq!(quote(&format!("{whole}ü")), format!("\"{whole}…\""));
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
