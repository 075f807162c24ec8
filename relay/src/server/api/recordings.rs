//! Recordings, whole or in ranges (RFC 9110, 14), so that a player can go to any moment.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_range_header::parse_range_header;
use protocol::HttpCode;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use super::caller::{Reader, User};
use super::extract::Path;
use super::responses::OrNone;
use super::{Problem, sessions};
use crate::App;
use crate::records::recording::{Playback, RecordingError};
use crate::records::store::{DeedKind, SessionRow};
use crate::server::etag::is_known;
use crate::server::problem::ProblemBody;

/// The recording of one of one's own sessions: user and agent as two channels.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/recording", operation_id = "read_recording", tag = "own",
    params(
        ("id" = String, Path, description = "The session"),
        ("range" = Option<String>, Header, description = "One range of its bytes"),
        ("if-none-match" = Option<String>, Header, description = "The `etag` of what is there already: the answer is 304 without a body if it is still the same"),
    ),
    responses(
        (status = 200, description = "The recording", content_type = "audio/wav", body = inline(Wav)),
        (status = 206, description = "The range of it", content_type = "audio/wav", body = inline(Wav)),
        (status = 416, description = "It has no such range", content_type = "application/problem+json", body = ProblemBody),
        OrNone,
    ),
)]
pub(super) async fn read(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = sessions::own(&app, &identity, &id).await?;
    of_session(&app, session, &headers).await
}

/// The recording of a session of any user. It needs a role of its own, and is in the audit.
#[utoipa::path(
    get, path = "/v1/admin/sessions/{id}/recording", operation_id = "read_any_recording", tag = "admin",
    params(
        ("id" = String, Path, description = "The session"),
        ("range" = Option<String>, Header, description = "One range of its bytes"),
        ("if-none-match" = Option<String>, Header, description = "The `etag` of what is there already: the answer is 304 without a body if it is still the same"),
    ),
    responses(
        (status = 200, description = "The recording", content_type = "audio/wav", body = inline(Wav)),
        (status = 206, description = "The range of it", content_type = "audio/wav", body = inline(Wav)),
        (status = 416, description = "It has no such range", content_type = "application/problem+json", body = ProblemBody),
        OrNone,
    ),
)]
pub(super) async fn read_any(
    Shared(app): Shared<Arc<App>>,
    Reader(identity): Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = sessions::read_by(&app, &identity, &id, DeedKind::ReadRecording).await?;
    of_session(&app, session, &headers).await
}

async fn of_session(app: &App, session: SessionRow, headers: &HeaderMap) -> Result<Response, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "There is no recording of this session.");
    let (name, recordings) = session.recording.zip(app.records.recordings.as_ref()).ok_or_else(none)?;
    match recordings.open(&name).await {
        Ok(playback) => Ok(answer(playback, headers)),
        Err(RecordingError::NotFound) => {
            let detail = "The recording is not in its place yet, or not any more. If the call ended a moment \
                          ago, try again in a minute.";
            Err(Problem::new(StatusCode::NOT_FOUND, detail))
        }
        Err(error) => {
            tracing::error!(recording = name, %error, "a recording cannot be read");
            let detail = "The recording cannot be read now. Try again in a minute.";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(60);
            Err(problem.code(HttpCode::RecordingUnavailable))
        }
    }
}

/// The bytes of a recording, as the API's document describes them.
pub(super) struct Wav;

impl PartialSchema for Wav {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let bytes = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
        bytes.content_media_type("audio/wav").build().into()
    }
}

impl ToSchema for Wav {}

/// Which part of a recording a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nowhere,
}

fn answer(playback: Playback, headers: &HeaderMap) -> Response {
    let length = playback.length();
    // A recording only ever grows, when its session goes on at another relay, so its length tells its versions apart.
    let etag = format!("\"{length}\"");
    let common = [(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))];
    if is_known(headers, &etag) {
        let etag = HeaderValue::from_str(&etag).expect("digits in quotes");
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let number =
        |name: HeaderName, value: String| (name, HeaderValue::from_str(&value).expect("visible characters"));
    let (status, range) = match wanted(headers, length, &etag) {
        Wanted::All => (StatusCode::OK, 0..length),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nowhere => {
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "The recording has no such range.");
            return (common, [number(header::CONTENT_RANGE, format!("bytes */{length}"))], problem)
                .into_response();
        }
    };
    let own = [
        (header::CONTENT_TYPE, HeaderValue::from_static("audio/wav")),
        (header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start)),
        number(header::ETAG, etag),
    ];
    let part = (status == StatusCode::PARTIAL_CONTENT).then(|| {
        [number(header::CONTENT_RANGE, format!("bytes {}-{}/{length}", range.start, range.end - 1))]
    });
    let mut response = (status, common, own, Body::from_stream(playback.read(range))).into_response();
    response.headers_mut().extend(part.into_iter().flatten());
    response
}

/// Which part of a recording a request wants. The whole is answered to a range that cannot be understood, to several ranges, and to a range
/// of an earlier version (`If-Range`).
fn wanted(headers: &HeaderMap, length: u64, etag: &str) -> Wanted {
    let Some(range) = headers.get(header::RANGE).and_then(|range| range.to_str().ok()) else {
        return Wanted::All;
    };
    let changed = headers.get(header::IF_RANGE).is_some_and(|known| known != etag);
    match parse_range_header(range) {
        Ok(parsed) if !changed => match parsed.validate(length) {
            Ok(ranges) => match &ranges[..] {
                [one] => Wanted::Part(*one.start()..*one.end() + 1),
                _ => Wanted::All,
            },
            Err(_) => Wanted::Nowhere,
        },
        _ => Wanted::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_client_has_already_is_not_sent_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = crate::config::RecordingPlace::Folder(dir.path().join("rec"));
        let recordings =
            crate::records::recording::Recordings::new(&place, dir.path(), 0, []).expect("a place");
        std::fs::write(dir.path().join("rec/a.wav"), vec![0; 444]).expect("written");
        let ask = async |fields: &[(HeaderName, &str)]| {
            let headers =
                fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("visible"))).collect();
            let (parts, body) = answer(recordings.open("a.wav").await.expect("there"), &headers).into_parts();
            (parts, axum::body::to_bytes(body, 10_000).await.expect("a body").len())
        };
        let (whole, length) = ask(&[]).await;
        assert_eq!((whole.status, length), (StatusCode::OK, 444));
        let etag = whole.headers[header::ETAG].to_str().expect("text");
        for fields in [
            &[(header::IF_NONE_MATCH, etag)][..],
            &[(header::IF_NONE_MATCH, etag), (header::RANGE, "bytes=0-1")],
            &[(header::IF_NONE_MATCH, "*")],
        ] {
            let (known, length) = ask(fields).await;
            assert_eq!((known.status, length), (StatusCode::NOT_MODIFIED, 0), "{fields:?}");
            assert_eq!(known.headers[header::ETAG], etag);
        }
        let (other, length) = ask(&[(header::IF_NONE_MATCH, "\"443\""), (header::RANGE, "bytes=0-1")]).await;
        assert_eq!((other.status, length), (StatusCode::PARTIAL_CONTENT, 2));
    }

    #[test]
    fn one_range_is_a_part_and_what_is_not_understood_is_the_whole() {
        let ask = |range: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().expect("visible"));
            wanted(&headers, 1_000, "\"1000\"")
        };
        assert_eq!(wanted(&HeaderMap::new(), 1_000, "\"1000\""), Wanted::All);
        assert_eq!(ask("bytes=0-1"), Wanted::Part(0..2));
        assert_eq!(ask("bytes=900-"), Wanted::Part(900..1_000));
        assert_eq!(ask("bytes=900-5000"), Wanted::Part(900..1_000));
        assert_eq!(ask("bytes=-100"), Wanted::Part(900..1_000));
        assert_eq!(ask("bytes=0-1, 5-6"), Wanted::All);
        assert_eq!(ask("bytes=1000-"), Wanted::Nowhere);
        for strange in ["", "bytes", "bytes=", "bytes=x-y", "items=0-1", "bytes=5-1"] {
            assert!(matches!(ask(strange), Wanted::All | Wanted::Nowhere), "{strange}");
        }
    }

    #[test]
    fn a_range_of_what_it_was_before_is_answered_with_what_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=5-"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"1000\""));
        assert_eq!(wanted(&headers, 1_000, "\"1000\""), Wanted::Part(5..1_000));
        assert_eq!(wanted(&headers, 1_200, "\"1200\""), Wanted::All);
    }
}
