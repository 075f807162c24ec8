//! Cursors: where the next page begins, as a text that means nothing to clients.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::HttpCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Problem;
use super::extract::bad_request;
use crate::records::store::StoreError;

/// The longest cursor that is read, in bytes.
const CURSOR_MAX_BYTES: usize = 4 * 1024;
/// How many rows a page has by default, and at most.
pub(super) const PAGE: (u32, u32) = (20, 100);
/// After how many seconds to come back while the database is away.
const STORE_RETRY_SECONDS: u32 = 5;

/// Writes a cursor as a text.
pub(super) fn write<C: Serialize>(cursor: Option<&C>) -> Option<String> {
    let json = serde_json::to_vec(cursor?).expect("texts and numbers are JSON");
    Some(URL_SAFE_NO_PAD.encode(json))
}

/// How many rows a page leaves out, if there are any.
pub(super) fn damaged(rows: u32) -> Option<u32> {
    (rows > 0).then_some(rows)
}

/// Reads a cursor that a client has given back.
pub(super) fn read<C: DeserializeOwned>(given: Option<&str>) -> Result<Option<C>, Problem> {
    given.map(parse).transpose()
}

fn parse<C: DeserializeOwned>(given: &str) -> Result<C, Problem> {
    let cursor = || {
        let json = URL_SAFE_NO_PAD.decode(given).ok().filter(|_| given.len() <= CURSOR_MAX_BYTES)?;
        let value: Value = serde_json::from_slice(&json).ok()?;
        // PostgreSQL takes no text with U+0000, and no cursor that was written here has one.
        let fields = value.as_object()?;
        let clean = fields.values().all(|field| field.as_str().is_none_or(|text| !text.contains('\0')));
        if clean { serde_json::from_value(value).ok() } else { None }
    };
    cursor().ok_or_else(|| {
        bad_request("`cursor` is not the `next` of a page of this list.").code(HttpCode::BadQuery)
    })
}

/// How many rows a page may have, as the client wants it.
pub(super) fn limit(given: Option<u32>) -> Result<u32, Problem> {
    let (usual, most) = PAGE;
    match given.unwrap_or(usual) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        _ => {
            Err(bad_request(format!("`limit` has to be a whole number, 1 to {most}."))
                .code(HttpCode::BadQuery))
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        tracing::error!(%error, "a request to the HTTP API was not served");
        if matches!(error, StoreError::ListTooLong) {
            let code = HttpCode::ListTooLong;
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, code.info().message).code(code);
        }
        if error.is_away() {
            let detail = "The relay's database is away.";
            let problem =
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(STORE_RETRY_SECONDS);
            return problem.code(HttpCode::StoreUnavailable);
        }
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The relay failed; its log says why.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::store::{Cursor, TurnCursor};

    #[test]
    fn a_list_that_takes_too_long_is_told_apart_from_a_database_that_is_away() {
        let told = |error: StoreError| {
            let problem = Problem::from(error);
            (problem.status().as_u16(), problem.word())
        };
        assert_eq!(told(StoreError::ListTooLong), (503, "list_too_long"));
        assert_eq!(told(StoreError::Unfinished), (503, "store_unavailable"));
    }

    #[test]
    fn a_cursor_reads_back_and_what_is_not_ours_is_refused() {
        let cursor = Cursor { at_ms: -5, id: "019f".into() };
        let text = write(Some(&cursor)).expect("a text");
        assert_eq!(read::<Cursor>(Some(&text)), Ok(Some(cursor)));
        assert_eq!(read::<Cursor>(None), Ok(None));
        let encoded = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let turn = write(Some(&TurnCursor { started_at_ms: 1, session_id: "a".into(), turn: 2 }));
        for given in [
            String::new(),
            "!".into(),
            format!("{text}="),
            "é".into(),
            turn.expect("a text"),
            encoded("{}"),
            encoded("[1, \"a\"]"),
            encoded(r#"{"at_ms": 1.5, "id": "a"}"#),
            encoded(r#"{"at_ms": 1, "id": "a", "more": 1}"#),
            encoded(r#"{"at_ms": 1, "id": "a\u0000"}"#),
            encoded(r#"{"at_ms": 99999999999999999999, "id": "a"}"#),
            encoded(&format!(r#"{{"at_ms": 1, "id": "{}"}}"#, "a".repeat(5_000))),
        ] {
            assert!(read::<Cursor>(Some(&given)).is_err(), "{given}");
        }
    }
}
