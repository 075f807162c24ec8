//! Sessions: from a connection's first message to the session it belongs to.
//!
//! [`serve_socket`] greets a connection and brings it to its session: a new one, a living one it resumes, or one rebuilt from the
//! store after another relay was lost. The session itself is `driver::Driver`, one task each.

mod connection;
mod driver;
mod journal;
mod lease;
mod recording;
mod registry;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use audio::Hz;
use axum::extract::ws::{Message, WebSocket};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use protocol::relay::{Attachment, Handshake, Link, Refusal};
use protocol::{CloseCode, Codec, ErrorCode, ErrorMessage, Hello, Mark, Prices, RelayMessage, Resume};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, timeout, timeout_at};

pub use lease::Lease;
pub(crate) use lease::keep as keep_leases;
pub use registry::Registry;

use crate::auth::Identity;
use crate::call::{self, Agent, Call, Echo, Start};
use crate::config::{Limits, RecordingPlace};
use crate::meter::Meter;
use crate::price::Price;
use crate::server::close_code;
use crate::store::{
    Caps, Grant, NewSession, Opened, Quality, Quota, Range, Scope, SessionRow, SessionState, Shortage,
    Standing, StoreError, TakeOver, unix_ms,
};
use crate::{App, NanoUsd};
use connection::Connection;
use driver::Driver;
use journal::Journal;
use recording::Recording;
use registry::{Command, Handle, ResumeRequest, Whose};
use token::TokenClock;

/// What the echo agent is metered as.
const ECHO_ITEM: &str = "echo/listening";
/// Commands to a session that may wait.
const COMMANDS: usize = 4;
/// Listening that has to be paid for before a session begins.
const FIRST: Duration = Duration::from_secs(1);
/// How long a client waits for its session to be stored.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);
/// When a refused client may come back.
const RETRY_AFTER_MS: u64 = 5_000;
/// How long a session may take to answer a resume.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one connection until it belongs to a session, or is refused.
pub async fn serve_socket(mut socket: WebSocket, app: Arc<App>, peer: SocketAddr) {
    let greeted = match greet(&mut socket, &app).await {
        Ok(hello) => admit(&app, &hello, peer).await.map(|identity| (hello, identity)),
        Err(None) => return,
        Err(Some(refusal)) => Err(refusal),
    };
    match greeted {
        Ok((hello, identity)) => place(app, socket, hello, &identity).await,
        Err(refusal) => refuse(socket, refusal).await,
    }
}

/// Waits for `hello`. `None` if the connection ended by itself.
async fn greet(socket: &mut WebSocket, app: &App) -> Result<Hello, Option<Refusal>> {
    let mut handshake = Handshake::new(app.now());
    let deadline = app.started + Duration::from_micros(handshake.poll_timeout().as_micros());
    loop {
        return match timeout_at(Instant::from_std(deadline), socket.recv()).await {
            Err(_) => Err(Some(Refusal::unauthorized())),
            Ok(Some(Ok(Message::Text(text)))) => handshake.handle_text(&text).map_err(Some),
            Ok(Some(Ok(Message::Binary(_)))) => Err(Some(handshake.handle_binary())),
            Ok(Some(Ok(Message::Ping(bytes) | Message::Pong(bytes)))) => {
                match handshake.handle_control(bytes.len()) {
                    Ok(()) => continue,
                    Err(refusal) => Err(Some(refusal)),
                }
            }
            Ok(Some(Ok(Message::Close(_))) | None) => Err(None),
            Ok(Some(Err(error))) => {
                Err(close_code(error).map(|code| Refusal::new(code, ErrorCode::Protocol)))
            }
        };
    }
}

async fn admit(app: &App, hello: &Hello, peer: SocketAddr) -> Result<Identity, Refusal> {
    if app.shutdown.is_cancelled() {
        return Err(Refusal::new(CloseCode::GoingAway, ErrorCode::RelayFull));
    }
    let identity = app.verifier.verify(&hello.token).await.map_err(|error| {
        tracing::info!(%peer, cause = error.cause(), "token refused");
        if error.is_temporary() { later(ErrorCode::Internal) } else { Refusal::unauthorized() }
    })?;
    app.denials.admit(identity)
}

/// Brings a connection to its session.
async fn place(app: Arc<App>, socket: WebSocket, hello: Hello, identity: &Identity) {
    let Some(resume) = hello.resume.clone() else {
        return begin(app, socket, hello, identity, Attachment::New).await;
    };
    let (socket, hello) = match app.sessions.find(&resume.session_id, &identity.sub) {
        Some(handle) => match hand_over(&handle, socket, hello, identity.expires_at).await {
            Some(back) => back,
            None => return,
        },
        None => match rebuild(&app, socket, hello, identity).await {
            Some(back) => back,
            None => return,
        },
    };
    tracing::info!(session = %resume.session_id, "resume refused: a new session begins");
    begin(app, socket, hello, identity, Attachment::Instead).await;
}

/// Hands a connection to a living session. Comes back if the session does not take it.
async fn hand_over(
    handle: &Handle,
    socket: WebSocket,
    hello: Hello,
    expires_at: u64,
) -> Option<(WebSocket, Hello)> {
    let (refused, answer) = oneshot::channel();
    let request = Box::new(ResumeRequest { socket, hello, expires_at, refused });
    match timeout(RESUME_TIMEOUT, handle.commands.send(Command::Resume(request))).await {
        // Without an answer the session has kept it.
        Ok(Ok(())) => answer.await.ok(),
        Ok(Err(mpsc::error::SendError(Command::Resume(request)))) => Some((request.socket, request.hello)),
        Ok(Err(_)) | Err(_) => None,
    }
}

/// Takes over a session whose relay is gone. The connection comes back if there is none to take over.
async fn rebuild(
    app: &Arc<App>,
    socket: WebSocket,
    hello: Hello,
    identity: &Identity,
) -> Option<(WebSocket, Hello)> {
    let Some(resume) = hello.resume.clone() else { return Some((socket, hello)) };
    // Held for reads and one write only: nobody waits here for somebody else's socket.
    let rebuilding = app.sessions.rebuilding.lock().await;
    if let Some(handle) = app.sessions.find(&resume.session_id, &identity.sub) {
        drop(rebuilding);
        return hand_over(&handle, socket, hello, identity.expires_at).await;
    }
    let taken = match take_over(app, &resume, identity).await {
        Ok(Some(taken)) => taken,
        Ok(None) => return Some((socket, hello)),
        Err(error) => {
            tracing::error!(%error, "a session could not be taken over");
            drop(rebuilding);
            refuse(socket, later(ErrorCode::StoreUnavailable)).await;
            return None;
        }
    };
    let Taken { row, turn, token } = taken;
    let limits = app.config.limits_for(identity);
    let committed = if hello.start.seq > row.committed.seq { hello.start } else { row.committed };
    let caps = caps(&limits);
    let beginning = Beginning {
        id: row.id.clone(),
        conversation_id: row.conversation_id,
        epoch: row.epoch,
        recovered: true,
        mark: committed,
        turn,
        samples: row.audio_samples,
        cost: row.cost,
        // Nothing is set aside yet: the first audio asks for it.
        grant: Grant { authorised: row.authorised, standing: Standing::unused(caps) },
        metered_through: row.metered_position,
        recording: row.recording,
    };
    let parts = match Parts::new(app, committed) {
        Ok(parts) => parts,
        Err(refusal) => {
            drop(rebuilding);
            refuse(socket, refusal).await;
            return None;
        }
    };
    let mut driver = prepare(app, beginning, parts, &limits, identity);
    driver.reconnects = row.reconnects;
    tracing::info!(session = %driver.whose.id, epoch = row.epoch, "session taken over from the store");
    driver.attach(socket, &hello, Attachment::Resume, &token);
    app.tasks.spawn(driver.run());
    None
}

/// A session that was taken over.
struct Taken {
    row: SessionRow,
    /// The number of its next turn.
    turn: u32,
    /// The next resume token.
    token: String,
}

/// Makes a stored session this relay's, if the resume token is good for it.
async fn take_over(app: &App, resume: &Resume, identity: &Identity) -> Result<Option<Taken>, StoreError> {
    let Some(row) = app.store.session(&resume.session_id).await? else { return Ok(None) };
    if !may_take_over(&row, &resume.resume_token, identity) {
        return Ok(None);
    }
    let token = resume_token();
    let by = TakeOver {
        epoch: row.epoch,
        resume_hash: resume_hash(&token),
        previous: resume_hash(&resume.resume_token),
        relay: app.relay_id.clone(),
        lease: lease::duration(app),
    };
    let Some(row) = app.store.take_over(&row.id, &by).await? else { return Ok(None) };
    let turns = app.store.turns(&row.id).await?;
    let turn = turns.last().map_or(0, |last| last.turn.turn + 1);
    Ok(Some(Taken { row, turn, token }))
}

fn may_take_over(row: &SessionRow, token: &str, identity: &Identity) -> bool {
    let hash = resume_hash(token);
    row.state == SessionState::Live
        && row.user_sub == identity.sub
        && row.account == identity.account
        && (row.resume_hash == hash || row.resume_hash_previous == Some(hash))
}

/// Begins a new session.
async fn begin(app: Arc<App>, socket: WebSocket, hello: Hello, identity: &Identity, attachment: Attachment) {
    let parts = match Parts::new(&app, hello.start) {
        Ok(parts) => parts,
        Err(refusal) => return refuse(socket, refusal).await,
    };
    let limits = app.config.limits_for(identity);
    let id = uuid::Uuid::now_v7().to_string();
    let token = resume_token();
    let session = NewSession {
        conversation_id: hello.conversation.clone().unwrap_or_else(|| id.clone()),
        user_sub: identity.sub.clone(),
        account: identity.account.clone(),
        plan: identity.plan.clone(),
        login: identity.session_id.clone(),
        client: hello.client.clone(),
        agent: parts.agent.name().to_owned(),
        started_at_ms: unix_ms(),
        epoch: match (&hello.resume, attachment) {
            (Some(resume), Attachment::Instead) => resume.epoch.saturating_add(1),
            _ => 0,
        },
        committed: hello.start,
        resume_hash: resume_hash(&token),
        recording: None,
        id,
    };
    let (session, grant) = match open(&app, session, &parts, &limits, attachment).await {
        Ok(opened) => opened,
        Err(refusal) => return refuse(socket, refusal).await,
    };
    let beginning = Beginning {
        id: session.id,
        conversation_id: session.conversation_id,
        epoch: session.epoch,
        recovered: false,
        mark: hello.start,
        turn: 0,
        samples: 0,
        cost: NanoUsd::ZERO,
        grant,
        metered_through: hello.start.position,
        recording: session.recording,
    };
    let mut driver = prepare(&app, beginning, parts, &limits, identity);
    tracing::info!(
        session = %driver.whose.id, sub = %identity.sub, account = %identity.account, client = %hello.client,
        "session began"
    );
    driver.attach(socket, &hello, attachment, &token);
    app.tasks.spawn(driver.run());
}

/// Writes the session and sets its first money aside.
async fn open(
    app: &App,
    mut session: NewSession,
    parts: &Parts,
    limits: &Limits,
    attachment: Attachment,
) -> Result<(NewSession, Grant), Refusal> {
    let meter = parts.meter(0, NanoUsd::ZERO);
    let quota = Quota {
        sessions_per_user: limits.sessions_per_user,
        sessions_per_account: limits.sessions_per_account,
        caps: caps(limits),
        reserve: Range { at_least: meter.price_of(FIRST), at_most: meter.price_of(call::AHEAD) },
        relay: app.relay_id.clone(),
        lease: lease::duration(app),
    };
    loop {
        let opened = match timeout(OPEN_TIMEOUT, app.store.open_session(&session, &quota)).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                tracing::error!(%error, "a session could not be stored, so it is refused");
                return Err(later(ErrorCode::StoreUnavailable));
            }
            Err(_) => {
                tracing::error!("a session could not be stored in time, so it is refused");
                return Err(later(ErrorCode::StoreUnavailable));
            }
        };
        return match opened {
            Opened::Yes { grant, replaced } => {
                if let Some(replaced) = replaced {
                    app.sessions.tell(&replaced, Command::End(CloseCode::Replaced));
                }
                Ok((session, grant))
            }
            Opened::UserFull { live } => Err(full(ErrorCode::SessionLimit, limits.sessions_per_user, live)),
            Opened::AccountFull { live } => {
                Err(full(ErrorCode::AccountSessionLimit, limits.sessions_per_account, live))
            }
            Opened::NoMoney(shortage) => Err(no_money(&shortage)),
            // It was deleted while its last session was away: what is said now begins another one.
            Opened::NoConversation if attachment == Attachment::Instead => {
                session.conversation_id = session.id.clone();
                continue;
            }
            Opened::NoConversation => Err(Refusal::new(CloseCode::Forbidden, ErrorCode::ConversationUnknown)),
        };
    }
}

fn full(code: ErrorCode, limit: u32, live: u32) -> Refusal {
    let mut refusal = Refusal::new(CloseCode::Limited, code);
    refusal.error.limit = Some(limit.into());
    refusal.error.asked = Some(u64::from(live) + 1);
    refusal.error.retry_after_ms = Some(RETRY_AFTER_MS);
    refusal
}

/// Says which budget is used up, and when there is a new one.
fn no_money(shortage: &Shortage) -> Refusal {
    let (code, period) = match shortage.scope {
        Scope::Session => (ErrorCode::Budget, None),
        Scope::User => (ErrorCode::UserBudget, Some(Unit::Day)),
        Scope::Account => (ErrorCode::AccountBudget, Some(Unit::Month)),
    };
    // What others have set aside may come back any moment.
    let close = if shortage.contended { CloseCode::Limited } else { CloseCode::Budget };
    let mut refusal = Refusal::new(close, code);
    refusal.error.limit = Some(shortage.balance.limit.get());
    refusal.error.asked = Some(shortage.balance.spent.get() + shortage.balance.reserved.get());
    refusal.error.retry_after_ms = match (shortage.contended, period) {
        (true, _) => Some(RETRY_AFTER_MS),
        (false, period) => period.map(until_next),
    };
    refusal
}

/// Time until the next day or month (UTC) begins, in milliseconds.
fn until_next(period: Unit) -> u64 {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let next = match period {
        Unit::Month => now.date().last_of_month(),
        _ => now.date(),
    };
    let midnight = next.tomorrow().ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    let left = midnight
        .map_or(0, |midnight| midnight.timestamp().as_millisecond() - now.timestamp().as_millisecond());
    u64::try_from(left).unwrap_or_default()
}

fn caps(limits: &Limits) -> Caps {
    Caps {
        session: limits.session_budget,
        user_day: limits.user_day_budget,
        account_month: limits.account_month_budget,
    }
}

/// Where a session begins, or goes on.
struct Beginning {
    id: String,
    conversation_id: String,
    epoch: u32,
    /// Its relay was lost.
    recovered: bool,
    mark: Mark,
    turn: u32,
    samples: u64,
    cost: NanoUsd,
    grant: Grant,
    metered_through: u32,
    recording: Option<String>,
}

/// What a session is made of before it has an id.
struct Parts {
    price: Price,
    agent: Echo,
}

impl Parts {
    fn new(app: &App, mark: Mark) -> Result<Parts, Refusal> {
        let price = app.prices.price(ECHO_ITEM).map_err(|error| {
            tracing::error!(%error, "no price, no call");
            Refusal::new(CloseCode::Forbidden, ErrorCode::MissingPrice)
        })?;
        let agent = Echo::new(Hz(app.config.echo.codec.rate()), mark.position).map_err(|error| {
            tracing::error!(%error, "the echo agent cannot speak at this rate");
            Refusal::new(CloseCode::Internal, ErrorCode::Internal)
        })?;
        Ok(Parts { price: price.clone(), agent })
    }

    fn meter(&self, samples: u64, cost: NanoUsd) -> Meter {
        Meter::resume(self.price.clone(), Codec::PcmS16le16000.rate(), samples, cost)
    }
}

/// Puts a session together and enters it in the registry.
fn prepare(
    app: &Arc<App>,
    beginning: Beginning,
    parts: Parts,
    limits: &Limits,
    identity: &Identity,
) -> Driver {
    let config = &app.config;
    let (sender, commands) = mpsc::channel(COMMANDS);
    let whose = Arc::new(Whose {
        id: beginning.id.clone(),
        sub: identity.sub.clone(),
        account: identity.account.clone(),
        login: identity.session_id.clone(),
    });
    let registration = Registry::enter(app, &beginning.id, Handle { whose: whose.clone(), commands: sender });
    let recording = config.recording.as_ref().and_then(|place| match place {
        RecordingPlace::Folder(dir) => Recording::create(dir, &beginning.id, beginning.epoch)
            .inspect_err(|error| tracing::error!(%error, dir = %dir.display(), "the call is not recorded"))
            .ok(),
        RecordingPlace::Bucket(url) => {
            tracing::error!(%url, "the call is not recorded: only folders are written to");
            None
        }
    });
    let link = protocol::relay::Config {
        session_id: beginning.id.clone(),
        conversation_id: beginning.conversation_id,
        limits: limits.to_message(),
        prices: Prices { version: app.prices.version().to_owned(), items: vec![parts.price.to_message()] },
        control_per_second: limits.control_messages_per_second,
        agent_codec: config.echo.codec,
        recording: recording.is_some(),
        heartbeat: config.heartbeat,
        resume_window: config.resume_window,
    };
    let caps = caps(limits);
    let start = Start {
        mark: beginning.mark,
        turn: beginning.turn,
        meter: parts.meter(beginning.samples, beginning.cost),
        caps,
        grant: beginning.grant,
        metered_through: beginning.metered_through,
    };
    let now = app.now();
    Driver {
        app: app.clone(),
        id: beginning.id.clone(),
        whose,
        caps,
        link: if beginning.recovered {
            Link::recovered(now, link, beginning.epoch, beginning.mark)
        } else {
            Link::new(now, link, beginning.mark)
        },
        call: Call::new(now, Box::new(parts.agent) as Box<dyn Agent>, start),
        journal: Journal::new(app.store.clone(), beginning.id, beginning.epoch),
        recording,
        connection: None,
        commands,
        registration,
        reconnects: 0,
        token: TokenClock::new(identity.expires_at),
        verifying: None,
        reserving: None,
        quality: Quality::default(),
        round_trips: (0, 0),
        ending: None,
        ended: false,
    }
}

fn later(code: ErrorCode) -> Refusal {
    let error = ErrorMessage { retry_after_ms: Some(RETRY_AFTER_MS), ..code.into() };
    Refusal { error, close: CloseCode::TryLater }
}

async fn refuse(mut socket: WebSocket, refusal: Refusal) {
    let error = RelayMessage::from(refusal.error).to_json();
    let _ = timeout(RESUME_TIMEOUT, socket.send(Message::Text(error.into()))).await;
    Connection::new(socket).close(refusal.close).await;
}

/// 192 random bits as text.
fn resume_token() -> String {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers once it has given one");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is stored of a resume token.
fn resume_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
