//! Listening in to a live call: at the relay that has it, or at another one, which passes on what it is told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use protocol::HttpCode;
use reqwest::redirect::Policy;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

use super::Problem;
use super::caller::Reader;
use super::extract::{Path, is_id};
use super::recordings::Wav;
use super::responses::OrNone;
use super::sessions::no_session;
use super::watch::{Watchers, may_still_look};
use crate::App;
use crate::admission::auth::Identity;
use crate::operations::outbound::http_client;
use crate::records::recording::live_header;
use crate::records::store::{DeedKind, SessionState};
use crate::server::problem::ProblemBody;
use crate::server::request_id;
use crate::session::{Heard, seconds_left};

/// Between two looks at the deny-list.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After so many looks without a sound there is a tenth of a second of silence, so that whoever listens knows that the relay is there.
const QUIET_LOOKS: u32 = 15;
/// A tenth of a second of silence, in stereo.
const SILENCE: &[u8] = &[0; 6_400];
/// How long somebody listens at most: then the token is checked anew.
const LONGEST: Duration = Duration::from_secs(3_600);
/// After how many seconds to come back if so many listen already.
const FULL_RETRY_SECONDS: u32 = 5;
/// After how many seconds to come back if the call is nowhere to be found, since it goes from one relay to another.
const ELSEWHERE_RETRY_SECONDS: u32 = 2;
/// What is said where no relay is to be asked.
const NOWHERE: &str = "Another relay has this call, and its `network.advertise` does not say where it is; \
                       or none has it for the moment.";
/// What is said where no token may be sent.
const UNSAFE: &str = "Another relay has this call, where this one sends no token: `https://` is good, and \
                      `http://` for localhost, or with `network.plain_http` of this relay as well.";
/// Says that another relay asks, on whose behalf nobody else is asked.
const PASSED: &str = "x-voxrelay-passed";
/// How long another relay may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it may say nothing: twice as long as it does while nobody speaks.
const SILENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How much is read of what it says instead.
const PROBLEM_MAX_BYTES: usize = 16 * 1024;

/// What is known between two pieces of what is heard.
struct Listen {
    app: Arc<App>,
    /// Who listens.
    identity: Identity,
    heard: Heard,
    /// When to look next.
    look: Instant,
    /// How many looks there were since the last sound.
    quiet: u32,
    ends: Instant,
    _place: OwnedSemaphorePermit,
}

/// What another relay says.
struct Passed {
    app: Arc<App>,
    answer: reqwest::Response,
    _place: OwnedSemaphorePermit,
}

/// Listens in to a live session of any user: what both say, about two seconds later, as a WAV file without an end, the user on the left and the
/// agent on the right. Whoever reads too slowly misses something, and the call waits for nobody. It ends with the session, when the token expires
/// or after an hour, when the caller is denied or the API key revoked, and when the session goes to another relay: ask again then. It needs a role
/// of its own, and is in the audit; the page is told, unless `listening.tell_page` says not. If another relay has the session, this one passes it
/// on (`network.advertise`).
#[utoipa::path(
    get, path = "/v1/admin/sessions/{id}/listen", operation_id = "listen_to_session", tag = "admin",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "What is said, as long as it is", content_type = "audio/wav", body = inline(Wav)),
        (status = 409, description = "The session has ended, or is not to be heard from here; `code` says which", content_type = "application/problem+json", body = ProblemBody),
        OrNone,
    ),
)]
pub(super) async fn listen(
    Shared(app): Shared<Arc<App>>,
    Extension(watchers): Extension<Watchers>,
    Reader(identity): Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Ok(place) = watchers.listening.try_acquire_owned() else {
        let detail = "As many listen in at this relay as may.";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .code(HttpCode::RelayFull)
            .retry_after(FULL_RETRY_SECONDS));
    };
    let session = if is_id(&id) { app.records.store.session(&id).await? } else { None };
    let session = session.ok_or_else(no_session)?;
    if session.state != SessionState::Live {
        let detail = "This session has ended: nothing more is said in it.";
        return Err(Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::SessionEnded));
    }
    if !app.live.sessions.has(&id) {
        let lost = app.live.lease.lost(app.live.now());
        let address = app.records.store.address_of(&id, &app.live.relay_id, lost).await?;
        return match address {
            // Whoever passed it on looked a moment ago: the session goes from one relay to another.
            Some(address) if !headers.contains_key(PASSED) => pass(app, &address, &id, &headers, place).await,
            _ => Err(elsewhere(NOWHERE)),
        };
    }
    // It is in the audit before anything is heard.
    if !app.records.store.note_reading(&id, DeedKind::Listen, &identity.sub).await? {
        return Err(no_session());
    }
    tracing::info!(session = %id, by = %identity.sub, "somebody listens in");
    let heard = app.live.sessions.listen(&id, app.config.tells_of_listening).await;
    let heard = heard.ok_or_else(|| elsewhere("This call has just left this relay, or is about to."))?;
    let now = Instant::now();
    let ends = now + LONGEST.min(seconds_left(identity.expires_at));
    let begun = Listen { app, identity, heard, look: now + LOOK_EVERY, quiet: 0, ends, _place: place };
    let rest = stream::unfold(begun, |mut listen| async move {
        let next = listen.next().await?;
        Some((Ok::<_, Infallible>(next), listen))
    });
    let first = stream::once(async { Ok::<_, Infallible>(live_header()) });
    Ok(sound(Body::from_stream(first.chain(rest))))
}

impl Listen {
    /// Waits for the next piece. `None` means that this was all.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.app.live.shutdown.cancelled() => return None,
                () = sleep_until(self.look) => {
                    if Instant::now() >= self.ends || !may_still_look(&self.app, &self.identity).await {
                        return None;
                    }
                    self.look = self.ends.min(Instant::now() + LOOK_EVERY);
                    self.quiet += 1;
                    if self.quiet >= QUIET_LOOKS {
                        self.quiet = 0;
                        return Some(Bytes::from_static(SILENCE));
                    }
                }
                heard = self.heard.recv() => match heard {
                    Ok(piece) => {
                        self.quiet = 0;
                        return Some(piece);
                    }
                    // It was too slow, and goes on with what is there.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}

impl Passed {
    /// Waits for the next piece. `None` means that this was all, or that the other relay says nothing more.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            () = self.app.live.shutdown.cancelled() => None,
            piece = self.answer.chunk() => piece.ok().flatten(),
        }
    }
}

/// Asks the relay that has the session as whoever asks this one, and passes its answer on. It checks the token, and puts it into the audit.
async fn pass(
    app: Arc<App>,
    address: &str,
    id: &str,
    headers: &HeaderMap,
    place: OwnedSemaphorePermit,
) -> Result<Response, Problem> {
    let Some(origin) = app.config.network.other_relay(address) else {
        tracing::warn!(session = %id, %address, "the relay that has the session is where no token is sent");
        return Err(elsewhere(UNSAFE));
    };
    let lost = |error: reqwest::Error| {
        tracing::warn!(session = %id, %error, "the relay that has the session is not reached");
        elsewhere("The relay that has this call is not reached where its `network.advertise` says.")
    };
    let client = http_client().no_proxy().redirect(Policy::none());
    let client =
        client.connect_timeout(CONNECT_TIMEOUT).read_timeout(SILENT_TIMEOUT).build().map_err(lost)?;
    let mut ask = client.get(format!("{origin}/v1/admin/sessions/{id}/listen")).header(PASSED, "1");
    if let Some(token) = headers.get(header::AUTHORIZATION) {
        ask = ask.header(header::AUTHORIZATION, token);
    }
    if let Some(request) = request_id::current() {
        ask = ask.header(request_id::HEADER, request);
    }
    let mut answer = ask.send().await.map_err(lost)?;
    let status = answer.status();
    if status == StatusCode::OK {
        let passed = Passed { app, answer, _place: place };
        let body = stream::unfold(passed, |mut passed| async move {
            let next = passed.next().await?;
            Some((Ok::<_, Infallible>(next), passed))
        });
        return Ok(sound(Body::from_stream(body)));
    }
    if !status.is_client_error() && !status.is_server_error() {
        return Err(elsewhere("What answers where the relay that has this call should be is none."));
    }
    let mut problem = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await
        && problem.len() + piece.len() <= PROBLEM_MAX_BYTES
    {
        problem.extend_from_slice(&piece);
    }
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    Ok((status, kind, Body::from(problem)).into_response())
}

/// The answer with this sound. A proxy in front passes it on as it comes.
fn sound(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("audio/wav")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

/// The problem that the call is not to be heard from here, or not now.
fn elsewhere(detail: &str) -> Problem {
    let problem = Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::CallElsewhere);
    problem.retry_after(ELSEWHERE_RETRY_SECONDS)
}
