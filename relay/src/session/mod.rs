//! Sessions: how a connection comes to the session it belongs to, and how a session is carried.
//!
//! [`serve`] greets a connection and brings it to its session: a new one, a living one, or one that is rebuilt from the store after another
//! relay had it. Each session is carried by a `driver::Driver` in a task of its own.

mod assembly;
pub mod beginning;
pub mod books;
mod connection;
mod driver;
mod history;
mod jitter;
mod journal;
pub mod lease;
mod listening;
mod logged;
pub mod machine;
mod opening;
mod policy;
mod preflight;
mod registry;
mod renewals;
mod requests;
pub mod resume;
mod token;
mod tools;
mod wire;
mod work;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::relay::{Attachment, Handshake, Refusal};
use protocol::{CloseCode, ErrorCode, ErrorMessage, Hello, Mark, RelayMessage, Resume};
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};
use tracing::Instrument;

pub(crate) use listening::Heard;
pub(crate) use preflight::serve as serve_preflight;
pub use registry::Registry;
pub use renewals::OwnLease;
pub(crate) use renewals::{compare as compare_sessions, keep as keep_lease};
pub use tools::tool_client;
pub use wire::{Gone, Incoming, Outgoing, Wire};

use crate::admission::auth::Identity;
use crate::admission::throttle::{self, Asking, Waiting};
use crate::agent::tool::StoredCall;
use crate::config::Limits;
use crate::operations::telemetry;
use crate::records::recording;
use crate::records::store::{SaidRow, SessionRow, StoreError, TakeOver, TakenOver, unix_ms};
use crate::{App, NanoUsd};
use assembly::{First, Parts, Prepared, prepare};
use beginning::{Beginning, since};
use connection::{Connection, Event};
use driver::Driver;
use history::{as_said, said_before, said_until, told};
use opening::{may_begin, new_session, open};
use registry::{Back, Coming, Command, Handle, ResumeRequest};
use resume::{claims_too_much, end_again, ended_with, may_take_over, next_token, resume_hash, was_hung_up};

/// When a client may come back that is refused for a reason that passes.
const RETRY_AFTER_MS: u64 = 5_000;
/// How long another relay may take to hand a session off: it looks every second whether it is asked to, and then writes what is owed.
const HAND_OFF_TIMEOUT: Duration = Duration::from_secs(4);
/// The time between two looks at whether another relay has handed a session off.
const HAND_OFF_LOOK: Duration = Duration::from_millis(100);
/// How long a connection waits for a place among a session's commands, and for its peer to take a last message.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one connection until it belongs to a session, or is refused. It counts as `waiting`, among the connections whose user is not known
/// yet, until its token was checked.
pub async fn serve(wire: Box<dyn Wire>, app: Arc<App>, address: IpAddr, waiting: Waiting) {
    let mut connection = Connection::new(wire);
    let greeted = match greet(&mut connection, &app).await {
        Ok(hello) => admit(&app, &hello, address).await.map(|identity| (hello, identity)),
        Err(None) => return,
        Err(Some(refusal)) => Err(refusal),
    };
    match greeted {
        Ok((hello, identity)) => {
            drop(waiting);
            connection.greeted();
            telemetry::connected(connection.transport());
            bring_to_session(app, connection, hello, &identity, address).await;
        }
        // A refused connection counts as waiting until it is closed, so that a stranger who keeps it open cannot open more and more.
        Err(refusal) => refuse(connection, refusal).await,
    }
}

/// Waits for `hello`. An error without a refusal means that the connection ended by itself.
async fn greet(connection: &mut Connection, app: &App) -> Result<Hello, Option<Refusal>> {
    let mut handshake = Handshake::new(app.live.now());
    let deadline = app.live.started + Duration::from_micros(handshake.poll_timeout().as_micros());
    loop {
        let Ok(event) = timeout_at(Instant::from_std(deadline), connection.event()).await else {
            return Err(Some(Refusal::unauthorized()));
        };
        return match event {
            Event::Flushed => continue,
            Event::Incoming(Incoming::Text(text)) => handshake.handle_text(&text).map_err(Some),
            Event::Incoming(Incoming::Binary(_)) => Err(Some(handshake.handle_binary())),
            Event::Incoming(Incoming::Control(bytes)) => match handshake.handle_control(bytes) {
                Ok(()) => continue,
                Err(refusal) => Err(Some(refusal)),
            },
            Event::Incoming(Incoming::Gone(violation)) => {
                Err(violation.map(|code| Refusal::new(code, ErrorCode::Protocol)))
            }
        };
    }
}

/// Checks the access token of a `hello`, and whether its user is denied.
async fn admit(app: &App, hello: &Hello, address: IpAddr) -> Result<Identity, Refusal> {
    if app.live.moving.is_cancelled() {
        return Err(Refusal::new(CloseCode::GoingAway, ErrorCode::RelayStopping));
    }
    let identity = app.admission.verifier.check(&hello.token).await.map_err(|refused| {
        tracing::info!(%address, cause = refused.cause(), why = %refused, "token refused");
        telemetry::token_refused(refused.cause());
        match refused.retry_after {
            Some(wait) => {
                let mut refusal = later(ErrorCode::KeysUnavailable);
                refusal.error.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                refusal
            }
            None => Refusal::unauthorized(),
        }
    })?;
    app.admission.denials.admit(identity)
}

/// Brings a connection to its session.
async fn bring_to_session(
    app: Arc<App>,
    connection: Connection,
    hello: Hello,
    identity: &Identity,
    address: IpAddr,
) {
    let Some(resume) = hello.resume.clone() else {
        return begin(app, connection, hello, identity, address, Attachment::New).await;
    };
    if let Err(excess) = app.admission.throttle.resume(&identity.sub) {
        tracing::info!(%address, sub = %identity.sub, code = excess.code.name(), "resume refused for now");
        return refuse_resume(connection, excess.to_refusal()).await;
    }
    let back = match app.live.sessions.find(&resume.session_id, identity) {
        Some(handle) => offer(&handle, connection, hello, identity).await,
        None => Some(Back { connection, hello, is_gone: true }),
    };
    let back = match back {
        Some(Back { connection, hello, is_gone: true }) => rebuild(&app, connection, hello, identity).await,
        Some(Back { connection, hello, is_gone: false }) => Some((connection, hello)),
        None => None,
    };
    let Some((connection, hello)) = back else { return };
    let hung_up = match hung_up(&app, &resume, identity).await {
        Ok(hung_up) => hung_up,
        Err(error) => return refuse_unread(connection, &error).await,
    };
    if let Some(row) = hung_up {
        telemetry::resumed(telemetry::Resume::Ended);
        return tell_end_again(
            connection,
            &row,
            &resume,
            &app.config.limits_for(identity.plan.as_deref(), &identity.limits),
        )
        .await;
    }
    tracing::info!(session = %resume.session_id, "resume refused: a new session begins");
    begin(app, connection, hello, identity, address, Attachment::Instead).await;
}

/// Offers a connection to a living session. Returns it if the session does not take it.
async fn offer(handle: &Handle, connection: Connection, hello: Hello, identity: &Identity) -> Option<Back> {
    // The connection is handed out only when there is a place for it among the commands, so that it can be refused if there is none.
    match timeout(RESUME_TIMEOUT, handle.commands.reserve()).await {
        Ok(Ok(place)) => {
            let (back, answer) = oneshot::channel();
            let request = ResumeRequest { connection, hello, identity: identity.clone(), back };
            place.send(Command::Resume(Box::new(request)));
            // No answer means that the session has kept the connection.
            answer.await.ok()
        }
        Ok(Err(_)) => Some(Back { connection, hello, is_gone: true }),
        Err(_) => {
            tracing::info!(session = %handle.whose.id, "a resume waited for too long behind others");
            refuse_resume(connection, later(ErrorCode::RelayFull)).await;
            None
        }
    }
}

/// Takes over a session that another relay has, or had. Returns the connection if there is nothing to take over.
async fn rebuild(
    app: &Arc<App>,
    mut connection: Connection,
    mut hello: Hello,
    identity: &Identity,
) -> Option<(Connection, Hello)> {
    let Some(resume) = hello.resume.clone() else { return Some((connection, hello)) };
    if let Err(error) = ask_for(app, &resume, hello.start, identity).await {
        tracing::error!(%error, "a session could not be asked for");
        refuse_resume(connection, later(ErrorCode::StoreUnavailable)).await;
        return None;
    }
    // This lock is held for reads and one write only, and never while a socket is written to: other sessions wait for the same lock.
    let mut rebuilding = app.live.sessions.lock_rebuilding(&resume.session_id).await;
    if let Some(handle) = app.live.sessions.find(&resume.session_id, identity) {
        drop(rebuilding);
        let back = offer(&handle, connection, hello, identity).await?;
        (connection, hello) = (back.connection, back.hello);
        if !back.is_gone {
            return Some((connection, hello));
        }
        rebuilding = app.live.sessions.lock_rebuilding(&resume.session_id).await;
    }
    let taken = match take_over(app, &resume, hello.start, identity).await {
        Ok(Some(Ok(taken))) => taken,
        Ok(Some(Err(refusal))) => {
            drop(rebuilding);
            refuse_resume(connection, refusal).await;
            return None;
        }
        Ok(None) => {
            drop(rebuilding);
            match was_ended_by_operator(app, &resume, identity).await {
                Ok(false) => return Some((connection, hello)),
                Ok(true) => {
                    telemetry::resumed(telemetry::Resume::Ended);
                    connection.close(CloseCode::EndedByOperator).await;
                }
                Err(error) => refuse_unread(connection, &error).await,
            }
            return None;
        }
        Err(error) => {
            tracing::error!(%error, "a session could not be taken over");
            drop(rebuilding);
            refuse_resume(connection, later(ErrorCode::StoreUnavailable)).await;
            return None;
        }
    };
    let Taken { coming, taken, parts, token, recorded_through, calls, mut said } = taken;
    let limits = app.config.limits_for(identity.plan.as_deref(), &identity.limits);
    let (recording, cost) = (record_again(app, &taken.session).await, taken.session.cost);
    let mut beginning = Beginning::taken_over(taken, &resume, parts.rate(), limits.caps(), unix_ms());
    // An agent that does not know what was said answers nothing anew: what the page has read of its answer stays.
    if !parts.wants_history() {
        beginning.broken_off.clear();
    }
    take_back(app, &beginning).await;
    beginning.correct(&mut said);
    let turns = as_said(said);
    let (epoch, agent) = (beginning.epoch, parts.agent.clone());
    let prepared = Prepared { coming, beginning, turns, calls, cost, recording, recorded_through };
    let first = First { connection, hello, attachment: Attachment::Resume, token };
    let driver = prepare(app, prepared, parts, &limits, identity, first);
    tracing::info!(session = %driver.whose.id, epoch, "session taken over from the store");
    telemetry::resumed(telemetry::Resume::TakenOver);
    carry(app, driver, &agent);
    None
}

/// Asks the relay that has the session to hand it off, and waits until it has, so that everything it has heard is in the ledger. A relay that
/// is gone or does not answer in time is not waited for.
async fn ask_for(app: &App, resume: &Resume, start: Mark, identity: &Identity) -> Result<(), StoreError> {
    let Some(row) = app.records.store.session(&resume.session_id).await? else { return Ok(()) };
    if !may_take_over(&row, &resume.resume_token, identity) || claims_too_much(&row, start) {
        return Ok(());
    }
    let deadline = Instant::now() + HAND_OFF_TIMEOUT;
    while app.records.store.ask_for(&row.id, &app.live.relay_id, app.live.lease.lost(app.live.now())).await? {
        if Instant::now() >= deadline {
            tracing::warn!(session = %row.id, relay = %row.relay, "the relay that has it does not let go: it is taken for lost");
            return Ok(());
        }
        sleep(HAND_OFF_LOOK).await;
    }
    Ok(())
}

/// Takes back what nobody heard before the client hears of its new epoch: whoever takes the session over from this relay is not told any more what
/// was heard before that. What is not written now the call writes as soon as it can.
async fn take_back(app: &App, beginning: &Beginning) {
    let Beginning { id, epoch, broken_off, mark, replayable, .. } = beginning;
    if broken_off.is_empty() {
        return;
    }
    if let Err(error) = app.records.store.save_turns(id, *epoch, broken_off, *mark, *replayable).await {
        tracing::warn!(session = %id, %error, "what nobody heard is taken back later");
    }
}

/// Begins the recording that goes on where another relay's ended, and returns its key.
async fn record_again(app: &App, row: &SessionRow) -> Option<String> {
    app.records.recordings.as_ref()?;
    let key = recording::key(&row.id, row.epoch, row.started_at_ms);
    match app.records.store.add_recording(&row.id, row.epoch, &key).await {
        Ok(()) => Some(key),
        Err(error) => {
            tracing::error!(session = %row.id, %error, "the rest of the call is not recorded");
            None
        }
    }
}

/// A session that this relay has taken over.
struct Taken {
    /// Until it is entered, this relay is not to give it up as one that nobody here has.
    coming: Coming,
    taken: TakenOver,
    parts: Parts,
    /// The resume token that the client is given.
    token: String,
    /// The position up to which the user's audio is in the recording of the relay before.
    recorded_through: u32,
    /// What was called in the session, oldest first.
    calls: Vec<StoredCall>,
    /// What was said in the session's conversation, oldest first.
    said: Vec<SaidRow>,
}

/// Takes a stored session over, if the resume token is good for it. Everything that may be a reason to refuse is checked first, since nothing
/// undoes a take-over.
async fn take_over(
    app: &App,
    resume: &Resume,
    start: Mark,
    identity: &Identity,
) -> Result<Option<Result<Taken, Refusal>>, StoreError> {
    let Some(row) = app.records.store.session(&resume.session_id).await? else { return Ok(None) };
    if !may_take_over(&row, &resume.resume_token, identity) {
        return Ok(None);
    }
    if claims_too_much(&row, start) {
        tracing::info!(session = %row.id, ?start, committed = ?row.committed, "a resume claims more than is committed");
        return Ok(None);
    }
    if let Err(excess) = throttle::resumed_elsewhere(row.reconnects, since(row.started_at_ms, unix_ms())) {
        tracing::info!(session = %row.id, sub = %identity.sub, "resume on another relay refused for now");
        return Ok(Some(Err(excess.to_refusal())));
    }
    let parts = Parts::new(&app.config, &app.upstreams, &app.prices, &row.agent, row.started_at_ms);
    let parts = match parts {
        Ok(parts) => parts,
        Err(refusal) => return Ok(Some(Err(refusal))),
    };
    let recorded_through = recording::recorded_through(&row);
    // What this relay owes of the session is written first: after the take-over it would be refused, as of an older epoch.
    app.records.spill.replay_of(&*app.records.store, &row.id).await?;
    let (token, newest) = next_token(&row, &resume.resume_token, resume_token());
    let by = TakeOver {
        epoch: row.epoch,
        resume_hash: newest,
        previous: resume_hash(&resume.resume_token),
        relay: app.live.relay_id.clone(),
        lease: lease::duration(app.config.store_grace),
    };
    let coming = Registry::expect(&app.live, &row.id);
    let Some(taken) = app.records.store.take_over(&row.id, &by).await? else {
        // Somebody else took it over or ended it since it was looked at: perhaps this client's connection before, whose answer got lost. When
        // the client comes again, it is looked at anew.
        return Ok(Some(Err(later(ErrorCode::StoreUnavailable))));
    };
    // Should one of these fail, the client comes back and takes the session over once more. An agent that does not know what was said would greet
    // in the middle of the call.
    let calls = if parts.has_tools() { app.records.store.tool_calls(&row.id).await? } else { Vec::new() };
    let said = said_until(app, &parts, &taken.session).await?;
    Ok(Some(Ok(Taken { coming, taken, parts, token, recorded_through, calls, said })))
}

/// Whether an administrator ended the session while its client was away. If so, no new session takes its place.
async fn was_ended_by_operator(app: &App, resume: &Resume, identity: &Identity) -> Result<bool, StoreError> {
    let row = app.records.store.session(&resume.session_id).await?;
    Ok(row.is_some_and(|row| ended_with(&row, CloseCode::EndedByOperator, resume, identity)))
}

/// The session that a client asks for, if the client has hung it up. The client did not hear the answer to its `bye`.
async fn hung_up(app: &App, resume: &Resume, identity: &Identity) -> Result<Option<SessionRow>, StoreError> {
    let row = app.records.store.session(&resume.session_id).await?;
    Ok(row.filter(|row| was_hung_up(row, resume, identity)))
}

/// Sends a client away whose session could not be read: whether it has ended is not known, and a new one in its place would hear everything again.
async fn refuse_unread(connection: Connection, error: &StoreError) {
    tracing::error!(%error, "how a session has ended could not be read");
    refuse_resume(connection, later(ErrorCode::StoreUnavailable)).await;
}

/// Tells a client once more that its session has ended, and what it cost. Otherwise the client would say everything that it does not know to
/// be committed again, in a new session.
async fn tell_end_again(mut connection: Connection, row: &SessionRow, resume: &Resume, limits: &Limits) {
    tracing::info!(session = %row.id, "the client hears again that its session has ended");
    let left = limits.session_budget.saturating_sub(row.cost);
    for message in end_again(row, resume, left) {
        if connection.say(message.to_json(), RESUME_TIMEOUT).await.is_err() {
            return;
        }
    }
    connection.close(CloseCode::Normal).await;
}

/// Begins a new session.
async fn begin(
    app: Arc<App>,
    connection: Connection,
    hello: Hello,
    identity: &Identity,
    address: IpAddr,
    attachment: Attachment,
) {
    let (parts, limits) = match may_begin(&app, Asking::Take, &hello, identity, address) {
        Ok(may) => may,
        Err(refusal) => return refuse_to_begin(connection, refusal, attachment).await,
    };
    let token = resume_token();
    let session = new_session(&app, &hello, identity, &parts, attachment, &token);
    // This is read before the session begins: whoever is refused has begun nothing.
    let said = match said_before(&app, &parts, &session).await {
        Ok(said) => said,
        Err(error) => {
            tracing::error!(%error, "what was said before in a conversation could not be read");
            return refuse_to_begin(connection, later(ErrorCode::StoreUnavailable), attachment).await;
        }
    };
    let coming = Registry::expect(&app.live, &session.id);
    let opened = open(&app, Asking::Take, session, &parts, &limits, address, attachment).await;
    let (session, grant, inherited) = match opened {
        Ok(opened) => opened,
        Err(refusal) => return refuse_to_begin(connection, refusal, attachment).await,
    };
    let beginning = Beginning::new(&session, grant, inherited);
    let turns = told(&session, said);
    tracing::info!(
        session = %beginning.id, sub = %identity.sub, account = %identity.account, client = %hello.client,
        "session began"
    );
    if attachment == Attachment::Instead {
        telemetry::resumed(telemetry::Resume::BeganAnew);
    }
    let first = First { connection, hello, attachment, token };
    let recording = session.recording;
    let (calls, cost) = (Vec::new(), NanoUsd::ZERO);
    let prepared = Prepared { coming, beginning, turns, calls, cost, recording, recorded_through: 0 };
    let driver = prepare(&app, prepared, parts, &limits, identity, first);
    carry(&app, driver, &session.agent);
}

/// Carries a session in a task of its own. Whatever is logged there, and by the tasks that the session starts, has its id and its agent.
fn carry(app: &App, driver: Box<Driver>, agent: &str) {
    // Whatever level of lines is wanted, they have the session. The request with which it began is over before it is.
    let span = tracing::error_span!(parent: None, "session", id = %driver.whose.id, agent);
    app.live.tasks.spawn(driver.run().instrument(span));
}

/// A refusal for a reason that passes: the client may try again.
fn later(code: ErrorCode) -> Refusal {
    let error = ErrorMessage { retry_after_ms: Some(RETRY_AFTER_MS), ..code.into() };
    Refusal { error, close: CloseCode::TryLater }
}

/// Tells a client why it gets no new session, and closes its connection.
async fn refuse_to_begin(connection: Connection, refusal: Refusal, attachment: Attachment) {
    if attachment == Attachment::Instead {
        return refuse_resume(connection, refusal).await;
    }
    refuse(connection, refusal).await;
}

/// Tells a client that comes back why it gets no session, and closes its connection.
async fn refuse_resume(connection: Connection, refusal: Refusal) {
    telemetry::resumed(telemetry::Resume::Refused);
    refuse(connection, refusal).await;
}

/// Tells a client why it gets no session, and closes its connection.
async fn refuse(connection: Connection, refusal: Refusal) {
    telemetry::refused(&refusal.error.code);
    turn_away(connection, refusal).await;
}

/// Tells a client why it is refused, and closes its connection.
async fn turn_away(mut connection: Connection, refusal: Refusal) {
    let error = RelayMessage::from(refusal.error).to_json();
    // The connection is closed whether the peer takes the message or not.
    let _ = connection.say(error, RESUME_TIMEOUT).await;
    connection.close(refusal.close).await;
}

/// The time until `expires_at`, which is in seconds since 1970.
pub(crate) fn seconds_left(expires_at: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(expires_at).saturating_sub(now)
}

/// A new resume token: 192 random bits as text.
fn resume_token() -> String {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers once it has given one");
    URL_SAFE_NO_PAD.encode(bytes)
}
