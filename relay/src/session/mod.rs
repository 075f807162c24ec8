//! Sessions: from a connection's first message to the session it belongs to.
//!
//! [`serve_socket`] greets a connection and brings it to its session: a new one, a living one it resumes, or one rebuilt from the
//! store after another relay was lost. The session itself is `driver::Driver`, one task each.

mod connection;
mod driver;
mod journal;
mod recording;
mod registry;
mod token;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use audio::Hz;
use axum::extract::ws::{Message, WebSocket};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::relay::{Attachment, Handshake, Link, Refusal};
use protocol::{CloseCode, Codec, ErrorCode, ErrorMessage, Hello, Mark, Prices, RelayMessage};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, timeout, timeout_at};

pub use registry::Registry;

use crate::auth::Identity;
use crate::call::{Agent, Call, Echo, Start};
use crate::config::RecordingPlace;
use crate::meter::Meter;
use crate::server::close_code;
use crate::store::{NewSession, SessionRow, SessionState, unix_ms};
use crate::throttle::Waiting;
use crate::{App, NanoUsd};
use connection::Connection;
use driver::Driver;
use journal::Journal;
use recording::Recording;
use registry::{Command, Handle, ResumeRequest};
use token::TokenClock;

/// What the echo agent is metered as.
const ECHO_ITEM: &str = "echo/listening";
/// Commands to a session that may wait.
const COMMANDS: usize = 4;
/// When a refused client may come back.
const RETRY_AFTER_MS: u64 = 5_000;
/// How long a session may take to answer a resume.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one connection until it belongs to a session, or is refused. It waits until its user is known.
pub async fn serve_socket(mut socket: WebSocket, app: Arc<App>, address: IpAddr, waiting: Waiting) {
    let greeted = match greet(&mut socket, &app).await {
        Ok(hello) => admit(&app, &hello, address).await.map(|identity| (hello, identity)),
        Err(None) => return,
        Err(Some(refusal)) => Err(refusal),
    };
    match greeted {
        Ok((hello, identity)) => {
            drop(waiting);
            place(app, socket, hello, &identity, address).await;
        }
        // It still waits: a stranger who does not take no for an answer keeps the place.
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
            Ok(Some(Ok(Message::Close(_)))) => {
                // The library answers it when it is asked for the next message. There is none.
                let _ = timeout_at(Instant::from_std(deadline), socket.recv()).await;
                Err(None)
            }
            Ok(None) => Err(None),
            Ok(Some(Err(error))) => {
                Err(close_code(error).map(|code| Refusal::new(code, ErrorCode::Protocol)))
            }
        };
    }
}

async fn admit(app: &App, hello: &Hello, address: IpAddr) -> Result<Identity, Refusal> {
    if app.shutdown.is_cancelled() {
        return Err(Refusal::new(CloseCode::GoingAway, ErrorCode::RelayFull));
    }
    app.verifier.verify(&hello.token).await.map_err(|error| {
        tracing::info!(%address, cause = error.cause(), "token refused");
        if error.is_temporary() { later(ErrorCode::Internal) } else { Refusal::unauthorized() }
    })
}

/// Brings a connection to its session.
async fn place(app: Arc<App>, socket: WebSocket, hello: Hello, identity: &Identity, address: IpAddr) {
    let Some(resume) = hello.resume.clone() else {
        return begin(app, socket, hello, identity, address, Attachment::New).await;
    };
    if let Err(excess) = app.throttle.resume(&identity.sub) {
        tracing::info!(%address, sub = %identity.sub, code = excess.code.name(), "resume refused for now");
        return refuse(socket, excess.to_refusal()).await;
    }
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
    begin(app, socket, hello, identity, address, Attachment::Instead).await;
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
    let row = match app.store.session(&resume.session_id).await {
        Ok(Some(row)) if may_take_over(&row, &resume.resume_token, identity) => row,
        Ok(_) => return Some((socket, hello)),
        Err(error) => {
            tracing::error!(%error, "a session could not be read");
            drop(rebuilding);
            refuse(socket, later(ErrorCode::StoreUnavailable)).await;
            return None;
        }
    };
    let turn = match app.store.turns(&row.id).await {
        Ok(turns) => turns.last().map_or(0, |last| last.turn.turn + 1),
        Err(error) => {
            tracing::error!(%error, "a transcript could not be read");
            drop(rebuilding);
            refuse(socket, later(ErrorCode::StoreUnavailable)).await;
            return None;
        }
    };
    let committed = if hello.start.seq > row.committed.seq { hello.start } else { row.committed };
    let beginning = Beginning {
        id: row.id.clone(),
        epoch: row.epoch + 1,
        mark: committed,
        turn,
        samples: row.audio_samples,
        cost: row.cost,
        metered_through: row.metered_position,
    };
    let mut driver = match prepare(app, &beginning, identity) {
        Ok(driver) => driver,
        Err(refusal) => {
            drop(rebuilding);
            refuse(socket, refusal).await;
            return None;
        }
    };
    driver.reconnects = row.reconnects + 1;
    let token = resume_token();
    driver.store_resume(&token, &resume.resume_token).await;
    tracing::info!(session = %row.id, epoch = beginning.epoch, "session taken over from the store");
    driver.attach(socket, &hello, Attachment::Resume, &token);
    app.tasks.spawn(driver.run());
    None
}

fn may_take_over(row: &SessionRow, token: &str, identity: &Identity) -> bool {
    let hash = resume_hash(token);
    row.state == SessionState::Live
        && row.user_sub == identity.sub
        && (row.resume_hash == hash || row.resume_hash_previous == Some(hash))
}

/// Whether the user may begin another session, and from this address. One that is resumed does not begin.
fn may_begin(app: &App, identity: &Identity, address: IpAddr) -> Result<(), Refusal> {
    let user = (identity.sub.as_str(), app.config.limits_for(identity).sessions_per_minute);
    let address = (address, app.config.network.sessions_per_minute_per_address);
    app.throttle.begin(user, address).map_err(|excess| {
        tracing::info!(address = %address.0, sub = user.0, code = excess.code.name(), "session refused");
        excess.to_refusal()
    })
}

/// Begins a new session.
async fn begin(
    app: Arc<App>,
    socket: WebSocket,
    hello: Hello,
    identity: &Identity,
    address: IpAddr,
    attachment: Attachment,
) {
    if let Err(refusal) = may_begin(&app, identity, address) {
        return refuse(socket, refusal).await;
    }
    let beginning = Beginning {
        id: uuid::Uuid::now_v7().to_string(),
        epoch: 0,
        mark: hello.start,
        turn: 0,
        samples: 0,
        cost: NanoUsd::ZERO,
        metered_through: hello.start.position,
    };
    let mut driver = match prepare(&app, &beginning, identity) {
        Ok(driver) => driver,
        Err(refusal) => return refuse(socket, refusal).await,
    };
    let token = resume_token();
    let session = NewSession {
        id: beginning.id.clone(),
        user_sub: identity.sub.clone(),
        client: hello.client.clone(),
        agent: driver.call.agent().to_owned(),
        started_at_ms: unix_ms(),
        epoch: match (&hello.resume, attachment) {
            (Some(resume), Attachment::Instead) => resume.epoch.saturating_add(1),
            _ => 0,
        },
        committed: hello.start,
        resume_hash: resume_hash(&token),
    };
    if let Err(error) = app.store.begin_session(&session).await {
        tracing::error!(%error, "a session could not be stored, so it is refused");
        drop(driver);
        return refuse(socket, later(ErrorCode::StoreUnavailable)).await;
    }
    tracing::info!(session = %beginning.id, sub = %identity.sub, client = %hello.client, "session began");
    driver.attach(socket, &hello, attachment, &token);
    app.tasks.spawn(driver.run());
}

/// Where a session begins, or goes on.
struct Beginning {
    id: String,
    epoch: u32,
    mark: Mark,
    turn: u32,
    samples: u64,
    cost: NanoUsd,
    metered_through: u32,
}

/// Makes the parts of a session and enters it in the registry.
fn prepare(app: &Arc<App>, beginning: &Beginning, identity: &Identity) -> Result<Driver, Refusal> {
    let config = &app.config;
    let price = app.prices.price(ECHO_ITEM).map_err(|error| {
        tracing::error!(%error, "no price, no call");
        Refusal::new(CloseCode::Forbidden, ErrorCode::MissingPrice)
    })?;
    let codec = config.echo.codec;
    let agent = Echo::new(Hz(codec.rate()), beginning.mark.position).map_err(|error| {
        tracing::error!(%error, "the echo agent cannot speak at this rate");
        Refusal::new(CloseCode::Internal, ErrorCode::Internal)
    })?;
    let (sender, commands) = mpsc::channel(COMMANDS);
    let handle = Handle {
        sub: identity.sub.as_str().into(),
        commands: sender,
        attached: Arc::new(AtomicBool::new(true)),
    };
    let sub = handle.sub.clone();
    let limit = config.limits.sessions_per_user;
    let registration = Registry::admit(app, &beginning.id, handle, limit).map_err(|count| {
        let mut refusal = Refusal::new(CloseCode::Limited, ErrorCode::SessionLimit);
        refusal.error.limit = Some(limit.into());
        refusal.error.asked = Some(count as u64 + 1);
        refusal.error.retry_after_ms = Some(RETRY_AFTER_MS);
        refusal
    })?;
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
        limits: config.limits.to_message(),
        prices: Prices { version: app.prices.version().to_owned(), items: vec![price.to_message()] },
        control_per_second: config.limits_for(identity).control_messages_per_second,
        agent_codec: codec,
        recording: recording.is_some(),
        heartbeat: config.heartbeat,
        resume_window: config.resume_window,
    };
    let start = Start {
        mark: beginning.mark,
        turn: beginning.turn,
        meter: Meter::resume(price.clone(), Codec::PcmS16le16000.rate(), beginning.samples, beginning.cost),
        budget: config.limits.session_budget,
        metered_through: beginning.metered_through,
    };
    let now = app.now();
    Ok(Driver {
        app: app.clone(),
        id: beginning.id.clone(),
        sub,
        account: identity.account.as_str().into(),
        link: match beginning.epoch {
            0 => Link::new(now, link, beginning.mark),
            epoch => Link::recovered(now, link, epoch, beginning.mark),
        },
        call: Call::new(now, Box::new(agent) as Box<dyn Agent>, start),
        journal: Journal::new(app.store.clone(), beginning.id.clone()),
        recording,
        connection: None,
        commands,
        registration,
        reconnects: 0,
        token: TokenClock::new(identity.expires_at, config.auth.token_grace),
        verifying: None,
        ending: None,
        ended: false,
    })
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
