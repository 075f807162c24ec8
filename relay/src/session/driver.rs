//! Carries a session: link, call, socket and store. No decisions; each turn of the loop is wait, one input, drain.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use protocol::relay::{self as link, Attachment, Link, Saying};
use protocol::{CloseCode, Gap, Hello, Time};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::{Connection, Event};
use super::journal::{Journal, Written};
use super::registry::{Command, Commands, Registration, ResumeRequest, Whose};
use super::token::{self, TokenClock};
use super::{resume_hash, resume_token};
use crate::auth::{Identity, Refused};
use crate::call::{self, Call};
use crate::recording::{self, Recorder};
use crate::store::{Caps, Quality, Range, Reserve, Reserved, Settle, StoreError, unix_ms};
use crate::{App, NanoUsd, alerts, telemetry};

/// How long the store may take where something waits for it.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two tries to set money aside while the database is away.
const RESERVE_RETRY: Duration = Duration::from_millis(500);
/// When nothing is due: something else will happen before.
const FAR: Duration = Duration::from_secs(3_600);

/// What a session is made of.
pub(super) struct Driver {
    pub(super) app: Arc<App>,
    pub(super) id: String,
    pub(super) whose: Arc<Whose>,
    pub(super) caps: Caps,
    pub(super) link: Link,
    pub(super) call: Call,
    pub(super) journal: Journal,
    pub(super) recording: Option<Recorder>,
    pub(super) connection: Option<Connection>,
    pub(super) commands: Commands,
    pub(super) registration: Registration,
    pub(super) reconnects: u32,
    pub(super) token: TokenClock,
    /// A fresh token that is being checked.
    pub(super) verifying: Option<Verifying>,
    /// Money that is being set aside.
    pub(super) reserving: Option<Reserving>,
    /// Round trips and lost audio, for the record.
    pub(super) quality: Quality,
    pub(super) round_trips: (u64, u64),
    /// Cost of the ledger rows that are written.
    pub(super) settled: NanoUsd,
    /// Why the session ends, once that is known.
    pub(super) ending: Option<CloseCode>,
    /// Whether that is stored.
    pub(super) ended: bool,
}

pub(super) type Reserving = Pin<Box<dyn Future<Output = Result<Reserved, StoreError>> + Send>>;
pub(super) type Verifying = Pin<Box<dyn Future<Output = Result<Identity, Refused>> + Send>>;

/// What the loop waits for.
enum Wake {
    Shutdown,
    Command(Option<Command>),
    Socket(Event),
    Journal(Result<Written, StoreError>),
    Reserved(Result<Reserved, StoreError>),
    Verified(Result<Identity, Refused>),
    Time,
}

impl Driver {
    /// Runs the session to its end.
    pub(super) async fn run(mut self) {
        let app = self.app.clone();
        self.drain();
        while !(self.ended && (self.link.is_over() || self.connection.is_none())) {
            let live = self.ending.is_none();
            let ready = self.connection.as_mut().is_some_and(Connection::is_ready);
            let due = self.due();
            let wake = tokio::select! {
                biased;
                () = app.shutdown.cancelled(), if live => Wake::Shutdown,
                command = self.commands.recv(), if live => Wake::Command(command),
                written = self.journal.next() => Wake::Journal(written),
                reserved = waited(&mut self.reserving) => Wake::Reserved(reserved),
                verified = waited(&mut self.verifying) => Wake::Verified(verified),
                event = event(&mut self.connection, ready) => Wake::Socket(event),
                () = sleep_until(due) => Wake::Time,
            };
            match wake {
                Wake::Shutdown => return self.leave(CloseCode::GoingAway).await,
                Wake::Command(Some(Command::Resume(request))) => self.resume(*request).await,
                Wake::Command(Some(Command::End(code))) => self.call(call::Input::Stop(code)),
                Wake::Command(Some(Command::Lose)) => return self.lose().await,
                Wake::Command(None) => self.call(call::Input::Stop(CloseCode::Internal)),
                Wake::Socket(event) => self.handle_socket(event),
                Wake::Journal(Err(StoreError::Fenced { .. })) => return self.lose().await,
                Wake::Journal(written) => self.handle_written(written),
                Wake::Reserved(Err(StoreError::Fenced { .. })) => return self.lose().await,
                Wake::Reserved(reserved) => self.handle_reserved(reserved),
                Wake::Verified(verified) => self.handle_verified(verified),
                Wake::Time if self.must_leave() => return self.leave(CloseCode::TryLater).await,
                Wake::Time => self.handle_time(),
            }
            self.drain();
        }
        self.finish().await;
    }

    /// Goes on over a new connection, or hands it back.
    async fn resume(&mut self, request: ResumeRequest) {
        let ResumeRequest { socket, hello, identity, refused } = request;
        let used = hello.resume.as_ref().map(|resume| resume.resume_token.clone()).unwrap_or_default();
        if !self.link.accepts(&used) {
            // Nobody waits for it any more if this fails.
            let _ = refused.send((socket, hello));
            return;
        }
        let token = resume_token();
        self.reconnects += 1;
        self.accept(identity);
        self.store_resume(&token, &used).await;
        tracing::info!(session = %self.id, reconnects = self.reconnects, "session resumed");
        self.attach(socket, &hello, Attachment::Resume, &token);
    }

    /// Goes on with another token of the same user. What is done to a login is done to the one that the token in use comes from.
    fn accept(&mut self, identity: Identity) {
        self.token = TokenClock::new(identity.expires_at, self.app.config.auth.token_grace);
        if self.whose.login != identity.session_id {
            self.whose = Arc::new(Whose { login: identity.session_id, ..(*self.whose).clone() });
            self.registration.update(&self.whose);
        }
    }

    /// Takes the place of the connection there may be.
    pub(super) fn attach(&mut self, socket: WebSocket, hello: &Hello, attachment: Attachment, token: &str) {
        if let Some(old) = self.connection.replace(Connection::new(socket)) {
            self.app.tasks.spawn(old.close(CloseCode::Replaced));
        }
        self.link(link::Input::Attach { hello, attachment, resume_token: token });
    }

    /// Notes the new resume token before the client learns it: whoever takes the session over must know it.
    pub(super) async fn store_resume(&mut self, token: &str, used: &str) {
        let (hash, used) = (resume_hash(token), resume_hash(used));
        let write =
            self.app.store.rotate_resume(&self.id, self.link.epoch(), &hash, Some(&used), self.reconnects);
        match timeout(STORE_TIMEOUT, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(session = %self.id, %error, "the resume token was not stored"),
            Err(_) => tracing::warn!(session = %self.id, "the resume token was not stored in time"),
        }
    }

    fn handle_socket(&mut self, event: Event) {
        match event {
            Event::Message(Message::Text(text)) => self.link(link::Input::Text(&text)),
            Event::Message(Message::Binary(frame)) => self.link(link::Input::Binary(&frame)),
            Event::Message(_) | Event::Flushed => {}
            Event::Gone(violation) => {
                if let (Some(code), Some(connection)) = (violation, self.connection.take()) {
                    tracing::info!(session = %self.id, code = code.code(), "the client broke the WebSocket protocol");
                    self.app.tasks.spawn(connection.close(code));
                    self.call(call::Input::Stop(code));
                }
                self.connection = None;
                self.link(link::Input::Closed);
            }
        }
    }

    fn handle_written(&mut self, written: Result<Written, StoreError>) {
        match written {
            Ok(Written::Turns(committed)) => self.call(call::Input::Stored { committed }),
            Ok(Written::Settled(settled)) => {
                for alert in &settled.alerts {
                    alerts::raised(alert);
                }
                telemetry::settled(settled.cost.saturating_sub(self.settled));
                self.settled = self.settled.max(settled.cost);
                self.call(call::Input::Settled(&settled));
            }
            Ok(Written::Exhausted(alert)) => alert.iter().for_each(alerts::raised),
            Ok(Written::Attached) => {}
            Ok(Written::End) => self.end(),
            Err(error) => {
                tracing::error!(session = %self.id, %error, "a record was not stored: the session ends");
                if self.ending.is_none() {
                    self.call(call::Input::Stop(CloseCode::Internal));
                    self.ending = Some(CloseCode::Internal);
                    self.journal.end(CloseCode::Internal.name(), self.quality());
                } else {
                    self.end();
                }
            }
        }
    }

    fn handle_reserved(&mut self, reserved: Result<Reserved, StoreError>) {
        match reserved {
            Ok(reserved) => self.call(call::Input::Reserved(&reserved)),
            Err(error) => {
                tracing::error!(session = %self.id, %error, "no money could be set aside: the session ends");
                self.call(call::Input::Stop(CloseCode::Internal));
            }
        }
    }

    fn handle_verified(&mut self, verified: Result<Identity, Refused>) {
        self.token.release();
        match verified {
            Ok(identity) if self.app.denials.denies(&identity) => {
                self.call(call::Input::Stop(CloseCode::Forbidden));
            }
            Ok(identity) if self.whose.is_of(&identity) => {
                self.accept(identity);
                self.link(link::Input::TokenAccepted { expires_in: self.token.left() });
            }
            Ok(identity) => {
                let cause = if identity.sub == self.whose.sub { "other_account" } else { "other_sub" };
                tracing::info!(session = %self.id, cause, "a fresh token was refused");
                telemetry::token_refused(cause);
                self.call(call::Input::Stop(CloseCode::Unauthorized));
            }
            // The token in use is still good: the client may try again until it expires.
            Err(refused) => {
                tracing::info!(session = %self.id, cause = refused.cause(), why = %refused, "a fresh token was refused");
                telemetry::token_refused(refused.cause());
            }
        }
    }

    fn handle_time(&mut self) {
        if self.connection.as_ref().and_then(Connection::deadline).is_some_and(|due| due <= Instant::now()) {
            self.connection = None;
            self.link(link::Input::Closed);
            return;
        }
        if self.ending.is_some() {
            // Only the link still has something to do.
        } else if let Some(left) = self.token.expiring() {
            self.link(link::Input::TokenExpiring { left });
        } else if self.token.is_over() {
            self.call(call::Input::Stop(CloseCode::Unauthorized));
        }
        self.link(link::Input::Timeout);
        self.call(call::Input::Room(self.link.has_room()));
        self.drain();
        self.call(call::Input::Timeout);
    }

    /// Carries what the machines want, until they want nothing more or the socket is full.
    fn drain(&mut self) {
        loop {
            self.drain_link();
            let Some(output) = self.call.poll_output() else { break };
            let now = self.app.now();
            match output {
                call::Output::Say(saying) => {
                    match saying {
                        Saying::ReplyEnd => record(&mut self.recording, now, recording::Input::ReplyEnd),
                        Saying::Flush => record(&mut self.recording, now, recording::Input::Flush),
                        Saying::Agent(_) | Saying::Transcript(_) | Saying::Budget(_) => {}
                    }
                    self.link.handle_input(now, link::Input::Say(&saying));
                }
                call::Output::Speak(samples) => {
                    record(&mut self.recording, now, recording::Input::Agent(samples));
                    self.link.handle_input(now, link::Input::Audio(samples));
                }
                call::Output::Usage(usage) => self.link.handle_input(now, link::Input::Usage(usage)),
                call::Output::Commit(mark) => self.link.handle_input(now, link::Input::Commit(mark)),
                call::Output::Store { turns, committed } => self.journal.turns(turns, committed),
                call::Output::Settle { row, through, release } => self.journal.settle(Settle {
                    session_id: self.id.clone(),
                    epoch: self.link.epoch(),
                    rows: row.into_iter().collect(),
                    metered_position: through,
                    exposed: NanoUsd::ZERO,
                    release,
                    caps: self.caps,
                    at_ms: unix_ms(),
                }),
                call::Output::Reserve { through, spent } => {
                    self.reserving = Some(self.reserve(through, spent));
                }
                call::Output::Exhausted(shortage) => self.journal.exhausted(shortage),
                call::Output::End { code } => {
                    let code = *self.ending.get_or_insert(code);
                    let quality = self.quality();
                    self.journal.end(code.name(), quality);
                }
            }
        }
    }

    fn drain_link(&mut self) {
        let Driver {
            app,
            id,
            link,
            call,
            journal,
            recording,
            connection,
            verifying,
            token: own_token,
            ending,
            quality,
            round_trips,
            ..
        } = self;
        loop {
            if connection.as_mut().is_some_and(|connection| !connection.is_ready()) {
                return;
            }
            let now = app.now();
            match link.poll_output() {
                None => return,
                Some(link::Output::Text(text)) => write(connection, Message::Text(text.into())),
                Some(link::Output::Binary(frame)) => {
                    write(connection, Message::Binary(frame.to_vec().into()));
                }
                Some(link::Output::Audio { mark, payload }) => {
                    record(recording, now, recording::Input::User(payload));
                    call.handle_input(now, call::Input::Audio { mark, payload });
                }
                Some(link::Output::Gap(gap)) => {
                    log_gap(id, gap);
                    let lost = gap.to.position.saturating_sub(gap.from.position);
                    quality.lost_samples += u64::from(lost);
                    record(recording, now, recording::Input::Gap(lost));
                    call.handle_input(now, call::Input::Gap(gap));
                }
                Some(link::Output::Muted(muted)) => {
                    record(recording, now, recording::Input::Muted(muted));
                    call.handle_input(now, call::Input::Muted(muted));
                }
                Some(link::Output::Played(position)) => {
                    record(recording, now, recording::Input::Played(position));
                    call.handle_input(now, call::Input::Played(position));
                }
                Some(link::Output::RoundTrip(time)) => {
                    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
                    quality.rtt_max_us = quality.rtt_max_us.max(micros);
                    *round_trips = (round_trips.0 + 1, round_trips.1 + u64::from(micros));
                }
                Some(link::Output::Token(token)) => {
                    let (app, token) = (app.clone(), token.to_owned());
                    *verifying = Some(Box::pin(async move { token::check(&app.verifier, &token).await }));
                    own_token.hold();
                }
                Some(link::Output::Bye) => call.handle_input(now, call::Input::Bye),
                Some(link::Output::Close(code)) => {
                    if let Some(connection) = connection.take() {
                        app.tasks.spawn(connection.close(code));
                    }
                }
                Some(link::Output::Detached) => {
                    tracing::info!(session = %id, "connection lost");
                    *connection = None;
                    journal.attached(false);
                    call.handle_input(now, call::Input::Room(false));
                }
                Some(link::Output::Attached) => {
                    journal.attached(true);
                    call.handle_input(now, call::Input::Room(true));
                }
                Some(link::Output::Ended(code)) => {
                    *ending = Some(code);
                    call.handle_input(now, call::Input::Stop(code));
                }
            }
        }
    }

    /// Everything is stored: tell the client.
    fn end(&mut self) {
        let code = self.ending.unwrap_or(CloseCode::Internal);
        self.ended = true;
        self.link(link::Input::End { code, usage: self.call.usage() });
    }

    /// Sets money aside. While the database is away it goes on trying: what was set aside before may be spent meanwhile.
    fn reserve(&self, through: Range, spent: NanoUsd) -> Reserving {
        let (store, id, epoch, caps) =
            (self.app.store.clone(), self.id.clone(), self.link.epoch(), self.caps);
        Box::pin(async move {
            loop {
                let exposed = NanoUsd::ZERO;
                let ask = Reserve { session_id: &id, epoch, through, spent, exposed, caps, at_ms: unix_ms() };
                match store.reserve(&ask).await {
                    Err(error) if error.is_away() => sleep(RESERVE_RETRY).await,
                    answer => return answer,
                }
            }
        })
    }

    /// Whether the session may not go on here: the database has been away for too long, or another relay may take it by now.
    fn must_leave(&self) -> bool {
        self.grace_ends().is_some_and(|end| end <= Instant::now())
    }

    /// Until when the session may go on as things are.
    fn grace_ends(&self) -> Option<Instant> {
        let away = self.journal.away_since().map(|since| since + self.app.config.store_grace);
        let lease = (!self.ended).then(|| self.app.lease.valid_until());
        away.into_iter().chain(lease).min()
    }

    fn quality(&self) -> Quality {
        let (count, sum) = self.round_trips;
        let average = sum.checked_div(count).unwrap_or_default();
        Quality { rtt_avg_us: u32::try_from(average).unwrap_or(u32::MAX), ..self.quality }
    }

    /// Another relay goes on with the session.
    async fn lose(mut self) {
        self.recording = None;
        telemetry::session_ended(CloseCode::Replaced.name());
        tracing::info!(session = %self.id, "session lost to another relay");
        self.registration.leave();
        if let Some(connection) = self.connection.take() {
            connection.close(CloseCode::Replaced).await;
        }
    }

    /// The session cannot go on here: write what is owed, and leave it to whoever takes it over.
    async fn leave(mut self, code: CloseCode) {
        self.call(call::Input::Checkpoint);
        self.drain();
        let write = async {
            while !self.journal.is_empty() {
                if let Err(error) = self.journal.next().await {
                    tracing::error!(session = %self.id, %error, "a record was not stored");
                }
            }
        };
        if timeout(STORE_TIMEOUT, write).await.is_err() {
            tracing::warn!(session = %self.id, "records were not stored in time: they are kept here");
            if timeout(STORE_TIMEOUT, self.journal.keep()).await.is_err() {
                tracing::error!(session = %self.id, "records are lost");
            }
        }
        self.recording = None;
        telemetry::session_ended(code.name());
        tracing::info!(session = %self.id, reason = code.name(), "session left to the next relay");
        self.registration.leave();
        if let Some(connection) = self.connection.take() {
            connection.close(code).await;
        }
    }

    async fn finish(mut self) {
        self.registration.leave();
        let code = self.ending.unwrap_or(CloseCode::Internal);
        let usage = self.call.usage();
        self.recording = None;
        telemetry::session_ended(code.name());
        tracing::info!(
            session = %self.id,
            reason = code.name(),
            audio_ms = usage.audio_ms,
            cost_nano_usd = usage.cost_nano_usd,
            reconnects = self.reconnects,
            "session ended"
        );
        if let Some(connection) = self.connection.take() {
            connection.close(code).await;
        }
    }

    fn link(&mut self, input: link::Input<'_>) {
        self.link.handle_input(self.app.now(), input);
    }

    fn call(&mut self, input: call::Input<'_>) {
        self.call.handle_input(self.app.now(), input);
    }

    fn due(&self) -> Instant {
        let base = Instant::from_std(self.app.started);
        let machines = self.link.poll_timeout().into_iter().chain(self.call.poll_timeout());
        let machines = machines.map(|time| base + Duration::from_micros(time.as_micros()));
        let socket = self.connection.as_ref().and_then(Connection::deadline);
        let token = self.ending.is_none().then(|| self.token.due());
        machines
            .chain(socket)
            .chain(token)
            .chain(self.grace_ends())
            .min()
            .unwrap_or_else(|| Instant::now() + FAR)
    }
}

async fn event(connection: &mut Option<Connection>, read: bool) -> Event {
    match connection {
        Some(connection) => connection.event(read).await,
        None => std::future::pending().await,
    }
}

/// Waits for what is under way, if anything is.
async fn waited<T>(pending: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    let Some(future) = pending else { return std::future::pending().await };
    let done = future.await;
    *pending = None;
    done
}

fn write(connection: &mut Option<Connection>, message: Message) {
    if let Some(writing) = connection
        && !writing.write(message)
    {
        // The reading side says so, too: the link hears of it there.
        tracing::debug!("a message could not be written");
    }
}

fn record(recording: &mut Option<Recorder>, now: Time, input: recording::Input<'_>) {
    if let Some(recorder) = recording {
        recorder.handle_input(now, input);
    }
}

fn log_gap(id: &str, gap: Gap) {
    let ms = gap.to.position.saturating_sub(gap.from.position) / 16;
    tracing::warn!(session = %id, ms, "the client dropped audio");
}
