//! Transcripts: as JSON in pages, as one text, or as captions.

mod captions;

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::{Reader, User};
use super::export::{self, Pages};
use super::extract::{Path, Query, is_id};
use super::responses::OrNone;
use super::schema::{Role, Turn};
use super::{Problem, cursor, sessions, time};
use crate::App;
use crate::records::store::{DeedKind, SessionFilter, Transcript, TurnCursor};
use captions::Captions;

/// How a transcript is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// JSON in pages, or all of it as text or as captions. By default it is captions if the request has `Accept: text/vtt`, and JSON if not.
    #[param(inline, nullable = false)]
    format: Option<Format>,
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many turns the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
}

/// How a transcript is written.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// JSON, in pages.
    Json,
    /// Plain text, a line for each turn.
    Text,
    /// Captions (WebVTT), a cue for each turn.
    Vtt,
}

/// A page of turns, in order.
#[derive(Serialize, ToSchema)]
pub(super) struct Turns {
    turns: Vec<Turn>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Whose transcript it is, as a [`Transcript`] that owns its texts, so that a stream can keep it.
#[derive(Clone, Debug)]
enum Of {
    Session(String),
    Conversation { id: String, user_sub: String },
}

impl Of {
    fn borrow(&self) -> Transcript<'_> {
        match self {
            Of::Session(id) => Transcript::Session(id),
            Of::Conversation { id, user_sub } => Transcript::Conversation { id, user_sub },
        }
    }
}

/// Reads what was said in one of the user's own sessions.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/transcript", operation_id = "read_transcript", tag = "own",
    params(("id" = String, Path, description = "The session"), Wanted),
    responses(
        (status = 200, description = "A page in order, or all of it as text or as captions",
            content((Turns = "application/json"), (String = "text/plain"), (String = "text/vtt"))),
        OrNone,
    ),
)]
pub(super) async fn of_session(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = sessions::own(&app, &identity, &id).await?;
    answer(app, Of::Session(session.id), &wanted, &headers).await
}

/// Reads what was said in a session of any user. It needs a role of its own, and is in the audit.
#[utoipa::path(
    get, path = "/v1/admin/sessions/{id}/transcript", operation_id = "read_any_transcript", tag = "admin",
    params(("id" = String, Path, description = "The session"), Wanted),
    responses(
        (status = 200, description = "A page in order, or all of it as text or as captions",
            content((Turns = "application/json"), (String = "text/plain"), (String = "text/vtt"))),
        OrNone,
    ),
)]
pub(super) async fn of_any_session(
    Shared(app): Shared<Arc<App>>,
    Reader(identity): Reader,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = sessions::read_by(&app, &identity, &id, DeedKind::ReadTranscript).await?;
    answer(app, Of::Session(session.id), &wanted, &headers).await
}

/// Reads what was said in one of the user's own conversations, in all its sessions as one.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/transcript", operation_id = "read_conversation", tag = "own",
    params(("id" = String, Path, description = "The conversation"), Wanted),
    responses(
        (status = 200, description = "A page in order, or all of it as text or as captions",
            content((Turns = "application/json"), (String = "text/plain"), (String = "text/vtt"))),
        OrNone,
    ),
)]
pub(super) async fn of_conversation(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "There is no such conversation.");
    if !is_id(&id) {
        return Err(none());
    }
    let filter = SessionFilter {
        user_sub: Some(identity.sub.clone()),
        conversation_id: Some(id.clone()),
        ..SessionFilter::default()
    };
    if app.records.store.list_sessions(&filter, None, 1).await?.rows.is_empty() {
        return Err(none());
    }
    answer(app, Of::Conversation { id, user_sub: identity.sub }, &wanted, &headers).await
}

async fn answer(app: Arc<App>, of: Of, wanted: &Wanted, headers: &HeaderMap) -> Result<Response, Problem> {
    let (after, limit) = (cursor::read(wanted.cursor.as_deref())?, cursor::limit(wanted.limit)?);
    let by_default = if accepts_captions(headers) { Format::Vtt } else { Format::Json };
    let (content_type, body) = match wanted.format.unwrap_or(by_default) {
        Format::Json => {
            let page = app.records.store.transcript(of.borrow(), after.as_ref(), limit).await?;
            let turns = page.rows.into_iter().map(Turn::from).collect();
            let (next, damaged) = (cursor::write(page.next.as_ref()), cursor::damaged(page.damaged));
            return Ok(Json(Turns { turns, next, damaged }).into_response());
        }
        Format::Text => {
            ("text/plain; charset=utf-8", export::stream(Text { app, of, session_id: None }, after).await?)
        }
        Format::Vtt => ("text/vtt; charset=utf-8", export::stream(Captions::new(app, of), after).await?),
    };
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// Whether the request names captions among what it accepts.
fn accepts_captions(headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    named
        .flat_map(|accept| accept.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/vtt"))
}

/// A transcript as a person reads it.
struct Text {
    app: Arc<App>,
    of: Of,
    /// The session whose heading was written last.
    session_id: Option<String>,
}

impl Pages for Text {
    type Cursor = TurnCursor;

    async fn page(&mut self, after: Option<TurnCursor>) -> Result<(Vec<u8>, Option<TurnCursor>), Problem> {
        let page = self.app.records.store.transcript(self.of.borrow(), after.as_ref(), export::PAGE).await?;
        let mut text = String::new();
        for said in page.rows {
            if self.session_id.as_ref() != Some(&said.session_id) {
                if self.session_id.is_some() {
                    text.push('\n');
                }
                text.push_str(&format!("# {}\n", time::text(said.session_started_at_ms)));
                self.session_id = Some(said.session_id.clone());
            }
            let turn = Turn::from(said);
            let who = match turn.role {
                Role::User => "user",
                Role::Agent => "agent",
            };
            // Each turn is one line, so line breaks in it become spaces.
            let words: Vec<&str> = turn.text.split_whitespace().collect();
            text.push_str(&format!("{who}: {}\n", words.join(" ")));
        }
        for _ in 0..page.damaged {
            text.push_str("(a turn cannot be read)\n");
        }
        Ok((text.into_bytes(), page.next))
    }
}
