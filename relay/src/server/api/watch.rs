//! Live calls as they come and go: a body that goes on for as long as somebody looks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use protocol::HttpCode;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::Problem;
use super::caller::Admin;
use super::cursor;
use super::responses::Usual;
use super::schema::AdminSession;
use crate::App;
use crate::admission::auth::Identity;
use crate::session::seconds_left;

/// Between two looks at the live sessions, and at the deny-list.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many sessions a line has at most, the newest of them.
const SESSIONS_MAX: u32 = 100;
/// After how many looks without a change a line is written nevertheless, so that whoever reads knows that the relay is there, and the relay notices
/// that nobody reads.
const QUIET_LOOKS: u32 = 15;
/// How long the body is at most: then the token is checked anew.
const LONGEST: Duration = Duration::from_secs(300);
/// How many may look at the same time, and how many may listen in.
const WATCHERS_MAX: usize = 16;
/// After how many seconds to come back if so many look already.
const FULL_RETRY_SECONDS: u32 = 5;

/// The places of those who look at live calls, and of those who listen in.
#[derive(Clone)]
pub(in crate::server) struct Watchers {
    looking: Arc<Semaphore>,
    pub(super) listening: Arc<Semaphore>,
}

/// All of these places.
pub(in crate::server) fn watchers() -> Watchers {
    let places = || Arc::new(Semaphore::new(WATCHERS_MAX));
    Watchers { looking: places(), listening: places() }
}

/// A line: the live sessions at that moment.
#[derive(Serialize)]
struct Line {
    /// The newest live sessions.
    sessions: Vec<AdminSession>,
    /// Whether there are more.
    more: bool,
    /// How many are left out, since what is stored of them cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<u32>,
}

/// What is known between two lines.
struct Watch {
    app: Arc<App>,
    /// Who looks.
    identity: Identity,
    /// The line that was written last.
    last: Vec<u8>,
    /// How many looks there were since.
    quiet: u32,
    ends: Instant,
    _place: OwnedSemaphorePermit,
}

/// Tells the live sessions of all relays, the newest 100, whenever something of them changes, and every 15 s: a JSON object a line, with
/// `sessions` and with `more` if there are more. It ends after 5 minutes, when the token expires, when the administrator is denied or the API key revoked, or when the
/// relay stops: ask again then.
#[utoipa::path(
    get, path = "/v1/admin/live/watch", operation_id = "watch_live_sessions", tag = "admin",
    responses((status = 200, description = "The live sessions, a line for each change", content_type = "application/x-ndjson",
        body = String), Usual),
)]
pub(super) async fn watch(
    Shared(app): Shared<Arc<App>>,
    Extension(watchers): Extension<Watchers>,
    Admin(identity): Admin,
) -> Result<Response, Problem> {
    let Ok(place) = watchers.looking.try_acquire_owned() else {
        let detail = "As many look at the live calls of this relay as may. Ask for `/v1/admin/live` instead.";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .code(HttpCode::RelayFull)
            .retry_after(FULL_RETRY_SECONDS));
    };
    // The first line is read at once, so that a problem can be answered if that fails.
    let first = line(&app).await?;
    let ends = Instant::now() + LONGEST.min(seconds_left(identity.expires_at));
    let begun = Watch { app, identity, last: first.clone(), quiet: 0, ends, _place: place };
    let rest = stream::unfold(begun, |mut watch| async move {
        let next = watch.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(next)), watch))
    });
    let first = stream::once(async move { Ok::<_, Infallible>(Bytes::from(first)) });
    let body = Body::from_stream(futures_util::StreamExt::chain(first, rest));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

impl Watch {
    /// Waits for the next line. `None` means that this was all.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            tokio::select! {
                () = self.app.live.shutdown.cancelled() => return None,
                () = sleep_until(self.ends.min(Instant::now() + LOOK_EVERY)) => {}
            }
            if Instant::now() >= self.ends || !may_still_look(&self.app, &self.identity).await {
                return None;
            }
            let line = line(&self.app).await.ok()?;
            self.quiet += 1;
            if line != self.last || self.quiet >= QUIET_LOOKS {
                self.quiet = 0;
                self.last.clone_from(&line);
                return Some(line);
            }
        }
    }
}

/// Whether whoever looks or listens is neither denied nor, as an API key, revoked since.
pub(super) async fn may_still_look(app: &App, identity: &Identity) -> bool {
    let is_good = match &identity.api_key {
        Some(id) => app.records.store.is_api_key_good(id).await.unwrap_or(false),
        None => true,
    };
    is_good && !app.admission.denials.denies_api(identity)
}

async fn line(app: &App) -> Result<Vec<u8>, Problem> {
    let page = app.records.store.live_sessions(None, SESSIONS_MAX).await?;
    let (more, damaged) = (page.next.is_some(), cursor::damaged(page.damaged));
    let sessions = page.rows.into_iter().map(|row| AdminSession::from(row.session)).collect();
    let mut line = serde_json::to_vec(&Line { sessions, more, damaged }).expect("texts and numbers are JSON");
    line.push(b'\n');
    Ok(line)
}
