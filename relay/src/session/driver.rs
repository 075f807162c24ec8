//! Carries a session: link, call, socket and store. No decisions; each turn of the loop is wait, one input, drain.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::relay::{self as link, Attachment, Link, Saying};
use protocol::{CloseCode, Gap, Hello, Time, Upward};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::{self, Connection};
use super::journal::{Journal, NextToken, Refused, Written, jittered};
use super::registry::{Command, Commands, Registration, ResumeRequest, Whose};
use super::requests::Requests;
use super::token::{self, TokenClock};
use super::wire::{Incoming, Outgoing};
use super::{resume_hash, resume_token};
use crate::auth::{self, Identity};
use crate::call::{self, Call};
use crate::money::budget::{Caps, Range, Reserved};
use crate::money::tab::RequestId;
use crate::provider::Event;
use crate::recording::{self, Recorder};
use crate::running::{Running, waited};
use crate::store::{Leases, Payer, Quality, Reserve, Settle, StoreError, unix_ms};
use crate::{App, NanoUsd, alerts, telemetry};

/// How long the store may take where something waits for it.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the relay's own disk may take when a session leaves something on it.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to set money aside while the database is away, more or less.
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
    /// What is under way at providers.
    pub(super) requests: Requests,
    pub(super) recording: Option<Recorder>,
    pub(super) connection: Option<Connection>,
    pub(super) commands: Commands,
    pub(super) registration: Registration,
    pub(super) reconnects: u32,
    pub(super) token: TokenClock,
    /// A fresh token that is being checked.
    pub(super) verifying: Option<Running<Result<Identity, auth::Refused>>>,
    /// Money that is being set aside.
    pub(super) reserving: Option<Running<Asked>>,
    /// A connection that goes on with the session as soon as its resume token is stored.
    pub(super) resuming: Option<Resuming>,
    /// The one after it.
    pub(super) resuming_next: Option<ResumeRequest>,
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

/// What was asked for, and the answer.
pub(super) struct Asked {
    through: Range,
    spent: NanoUsd,
    exposed: NanoUsd,
    answer: Result<Reserved, StoreError>,
}

/// A connection whose resume token is being stored. The session goes on meanwhile.
pub(super) struct Resuming {
    request: ResumeRequest,
    token: String,
    /// How often the session was resumed, with this time.
    reconnects: u32,
    /// It does not wait for the store for longer than this.
    deadline: Instant,
}

/// What the loop waits for.
enum Wake {
    Shutdown,
    Command(Option<Command>),
    Socket(connection::Event),
    Journal(Result<Written, Refused>),
    Provider(RequestId, Event),
    Reserved(Asked),
    Verified(Result<Identity, auth::Refused>),
    Time,
}

impl Driver {
    /// Runs the session to its end.
    pub(super) async fn run(mut self) {
        let app = self.app.clone();
        self.drain();
        while !(self.ended && (self.link.is_over() || self.connection.is_none())) {
            let live = self.ending.is_none();
            let due = self.due();
            let wake = tokio::select! {
                biased;
                () = app.shutdown.cancelled(), if live => Wake::Shutdown,
                // Once the end is stored, whoever comes back is sent to the store, which says so.
                command = self.commands.recv(), if live || self.ended => Wake::Command(command),
                written = self.journal.next() => Wake::Journal(written),
                reserved = waited(&mut self.reserving) => Wake::Reserved(reserved),
                verified = waited(&mut self.verifying) => Wake::Verified(verified),
                (request, event) = self.requests.next() => Wake::Provider(request, event),
                event = event(&mut self.connection) => Wake::Socket(event),
                () = sleep_until(due) => Wake::Time,
            };
            match wake {
                Wake::Shutdown => return self.leave(CloseCode::GoingAway).await,
                Wake::Command(Some(Command::Resume(request))) => self.resume(*request),
                Wake::Command(Some(Command::End(code))) => self.call(call::Input::Stop(code)),
                // Ended there, or taken over: the store says which when it gets what is owed.
                Wake::Command(Some(Command::Lose)) => self.end_refused(),
                Wake::Command(Some(Command::HandOver)) => return self.hand_over().await,
                Wake::Command(None) => self.call(call::Input::Stop(CloseCode::Internal)),
                Wake::Socket(event) => self.handle_socket(event),
                Wake::Journal(Err(Refused { error: StoreError::Fenced { .. }, .. })) => {
                    return self.lose().await;
                }
                Wake::Journal(written) => self.handle_written(written),
                Wake::Provider(request, event) => self.call(call::Input::Provider { request, event: &event }),
                Wake::Reserved(Asked { answer: Err(StoreError::Fenced { .. }), .. }) => self.end_refused(),
                Wake::Reserved(reserved) => self.handle_reserved(reserved),
                Wake::Verified(verified) => self.handle_verified(verified),
                Wake::Time if self.must_leave() => return self.leave(CloseCode::TryLater).await,
                Wake::Time => self.handle_time(),
            }
            self.drain();
        }
        self.finish().await;
    }

    /// Goes on over a new connection once its resume token is stored, or hands it back.
    ///
    /// Whoever takes the session over must know the token before the client does. Nothing else waits for that: the call goes on.
    fn resume(&mut self, request: ResumeRequest) {
        let used = used_token(&request);
        if !self.link.accepts(&used) {
            return hand_back(request);
        }
        if self.resuming.is_some() {
            if let Some(before) = self.resuming_next.replace(request) {
                self.app.tasks.spawn(before.connection.close(CloseCode::Replaced));
            }
            return;
        }
        let token = resume_token();
        self.reconnects += 1;
        let (hash, replaced, reconnects) = (resume_hash(&token), resume_hash(&used), self.reconnects);
        self.journal.resumed(NextToken { hash, replaced, reconnects });
        let deadline = Instant::now() + STORE_TIMEOUT;
        self.resuming = Some(Resuming { request, token, reconnects, deadline });
        if self.journal.away_since().is_some() {
            // It is stored when the database is back.
            self.go_on();
        }
    }

    /// Attaches the connection that waited.
    fn go_on(&mut self) {
        let Some(Resuming { request, token, reconnects, .. }) = self.resuming.take() else { return };
        let ResumeRequest { connection, hello, identity, .. } = request;
        self.accept(identity);
        tracing::info!(session = %self.id, reconnects, "session resumed");
        self.attach(connection, &hello, Attachment::Resume, &token);
        if let Some(next) = self.resuming_next.take() {
            self.resume(next);
        }
    }

    /// The connections that nobody goes on with.
    fn waiting_connections(&mut self) -> impl Iterator<Item = ResumeRequest> + use<> {
        self.resuming.take().map(|resuming| resuming.request).into_iter().chain(self.resuming_next.take())
    }

    /// Goes on with another token of the same user. What is done to a login is done to the one that the token in use comes from.
    fn accept(&mut self, identity: Identity) {
        self.token.renew(identity.expires_at, self.app.config.auth.token_grace);
        if self.whose.login != identity.session_id {
            self.whose = Arc::new(Whose { login: identity.session_id, ..(*self.whose).clone() });
            self.registration.update(&self.whose);
        }
    }

    /// Takes the place of the connection there may be.
    pub(super) fn attach(
        &mut self,
        connection: Connection,
        hello: &Hello,
        attachment: Attachment,
        token: &str,
    ) {
        if let Some(old) = self.connection.replace(connection) {
            self.app.tasks.spawn(old.close(CloseCode::Replaced));
        }
        self.link(link::Input::Attach { hello, attachment, resume_token: token });
    }

    fn handle_socket(&mut self, event: connection::Event) {
        match event {
            connection::Event::Flushed => {}
            connection::Event::Incoming(Incoming::Text(text)) => self.link(link::Input::Text(&text)),
            connection::Event::Incoming(Incoming::Binary(frame)) => self.link(link::Input::Binary(&frame)),
            connection::Event::Incoming(Incoming::Control(_)) => self.link(link::Input::Control),
            connection::Event::Incoming(Incoming::Gone(violation)) => {
                if let (Some(code), Some(connection)) = (violation, self.connection.take()) {
                    tracing::info!(session = %self.id, code = code.code(), "the client broke the rules of its transport");
                    self.app.tasks.spawn(connection.close(code));
                    self.call(call::Input::Stop(code));
                }
                self.connection = None;
                self.link(link::Input::Closed);
            }
        }
    }

    fn handle_written(&mut self, written: Result<Written, Refused>) {
        match written {
            Ok(Written::Turns(committed)) => self.call(call::Input::Stored { committed }),
            Ok(Written::Settled(settled)) => {
                for alert in &settled.alerts {
                    alerts::raised(alert);
                }
                telemetry::settled(settled.cost.saturating_sub(self.settled));
                self.settled = self.settled.max(settled.cost);
                self.call(call::Input::Settled { cost: settled.cost, standing: &settled.standing });
            }
            Ok(Written::Exhausted(alert)) => alert.iter().for_each(alerts::raised),
            Ok(Written::Attached) => {}
            Ok(Written::Resumed(reconnects)) => {
                if self.resuming.as_ref().is_some_and(|resuming| resuming.reconnects == reconnects) {
                    self.go_on();
                }
            }
            Ok(Written::End) => self.end(),
            Err(Refused { error, is_end: true }) => {
                tracing::warn!(session = %self.id, %error, "the session's end was not stored");
                self.end();
            }
            Err(Refused { error: StoreError::Erased { .. }, is_end: false }) => {
                tracing::info!(session = %self.id, "the session was deleted: it ends, and what was spent is on the account's bill");
                self.go_on();
                self.end_refused();
            }
            Err(Refused { error, is_end: false }) => {
                tracing::error!(session = %self.id, %error, "a record was not stored: the session ends");
                self.go_on();
                self.end_refused();
            }
        }
    }

    /// The store takes no more of the session, or the session may be another relay's: it ends here, after what was spent is written.
    fn end_refused(&mut self) {
        if self.journal.is_ending() {
            return;
        }
        self.call(call::Input::Stop(CloseCode::Internal));
        self.drain();
        let code = *self.ending.get_or_insert(CloseCode::Internal);
        self.journal.end(code.name(), self.quality());
    }

    fn handle_reserved(&mut self, asked: Asked) {
        let Asked { through, spent, exposed, answer } = asked;
        match answer {
            Ok(reserved) => self.call(call::Input::Reserved(&reserved)),
            // What was set aside before may be spent meanwhile.
            Err(error) if error.is_away() => {
                self.reserving = Some(self.reserve(through, spent, exposed, jittered(RESERVE_RETRY)));
            }
            Err(error) => {
                tracing::error!(session = %self.id, %error, "no money could be set aside: the session ends");
                self.call(call::Input::Stop(CloseCode::Internal));
            }
        }
    }

    fn handle_verified(&mut self, verified: Result<Identity, auth::Refused>) {
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
            // The token in use is still good: the client is told, and is asked again until it expires.
            Err(refused) => {
                self.link(link::Input::TokenRefused { left: self.token.left() });
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
        if self.resuming.as_ref().is_some_and(|resuming| resuming.deadline <= Instant::now()) {
            tracing::warn!(session = %self.id, "the resume token was not stored in time");
            self.go_on();
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

    /// Carries what the machines want, until they want nothing more. With a full socket the agent's words wait in the link.
    fn drain(&mut self) {
        // Written after what was spent: an alert says the sum that is in the ledger by then, and those of lower thresholds come first.
        let mut exhausted = None;
        loop {
            self.drain_link();
            let Some(output) = self.call.poll_output() else { break };
            let now = self.app.now();
            match output {
                call::Output::Say(saying) => {
                    match saying {
                        Saying::ReplyEnd => record(&mut self.recording, now, recording::Input::ReplyEnd),
                        Saying::Flush => record(&mut self.recording, now, recording::Input::Flush),
                        _ => {}
                    }
                    self.link.handle_input(now, link::Input::Say(&saying));
                }
                call::Output::Speak(samples) => {
                    record(&mut self.recording, now, recording::Input::Agent(&samples));
                    self.link.handle_input(now, link::Input::Audio(&samples));
                }
                call::Output::Open { request, provider, ask } => self.requests.open(request, provider, &ask),
                call::Output::Feed { request, feed } => self.requests.feed(request, feed),
                call::Output::Cancel(request) => self.requests.cancel(request),
                call::Output::Usage(usage) => self.link.handle_input(now, link::Input::Usage(usage)),
                call::Output::Commit(mark) => self.link.handle_input(now, link::Input::Commit(mark)),
                call::Output::Store { turns, committed } => self.journal.turns(turns, committed),
                call::Output::Settle { rows, through, committed, replayable, exposed, release } => {
                    self.journal.settle(Settle {
                        session_id: self.id.clone(),
                        payer: Some(Payer {
                            user_sub: self.whose.sub.clone(),
                            account: self.whose.account.clone(),
                        }),
                        epoch: self.link.epoch(),
                        rows,
                        metered_position: through,
                        committed,
                        replayable_samples: replayable,
                        exposed,
                        release,
                        caps: self.caps,
                        at_ms: unix_ms(),
                    });
                }
                call::Output::Reserve { through, spent, exposed } => {
                    self.reserving = Some(self.reserve(through, spent, exposed, Duration::ZERO));
                }
                call::Output::Exhausted(shortage) => exhausted = Some(shortage),
                call::Output::End { code } => {
                    record(&mut self.recording, now, recording::Input::End);
                    let code = *self.ending.get_or_insert(code);
                    let quality = self.quality();
                    self.journal.end(code.name(), quality);
                }
            }
        }
        if let Some(shortage) = exhausted {
            self.journal.exhausted(shortage);
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
            let is_full = connection.as_mut().is_some_and(|connection| !connection.is_ready());
            let now = app.now();
            match if is_full { link.poll_urgent() } else { link.poll_output() } {
                None => return,
                Some(link::Output::Text(text)) => write(connection, Outgoing::Text(text.to_owned())),
                Some(link::Output::Binary(frame)) => {
                    write(connection, Outgoing::Binary(Bytes::copy_from_slice(frame)));
                }
                Some(link::Output::Audio { mark, payload }) => {
                    if let Some(recorder) = recording {
                        recorder.handle_audio(now, mark, payload);
                    }
                    call.handle_input(now, call::Input::Audio { mark, payload });
                }
                Some(link::Output::Gap(gap)) => {
                    log_gap(id, gap);
                    let lost = gap.to.position.saturating_sub(gap.from.position);
                    quality.lost_samples += u64::from(lost);
                    if let Some(recorder) = recording {
                        recorder.handle_gap(now, gap);
                    }
                    call.handle_input(now, call::Input::Gap(gap));
                }
                Some(link::Output::Message { mark, message: Upward::Text { text } }) => {
                    call.handle_input(now, call::Input::Text { mark, text: &text });
                }
                // No agent takes these yet, and `FEATURES` does not name them.
                Some(link::Output::Message { .. } | link::Output::BargeIn(_) | link::Output::Held(_)) => {}
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
                    let (tasks, app, token) = (app.tasks.clone(), app.clone(), token.to_owned());
                    let verify = async move { token::check(&app.verifier, &token).await };
                    *verifying = Some(Running::start(&tasks, verify));
                    own_token.hold();
                }
                Some(link::Output::Bye) => {
                    record(recording, now, recording::Input::End);
                    call.handle_input(now, call::Input::Bye);
                }
                Some(link::Output::Close(code)) => {
                    if let Some(connection) = connection.take() {
                        app.tasks.spawn(connection.close(code));
                    }
                }
                Some(link::Output::Detached) => {
                    tracing::info!(session = %id, "connection lost");
                    *connection = None;
                    journal.attached(false);
                    record(recording, now, recording::Input::Connected(false));
                    call.handle_input(now, call::Input::Room(false));
                }
                Some(link::Output::Attached) => {
                    journal.attached(true);
                    record(recording, now, recording::Input::Connected(true));
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

    /// Sets money aside, after a while.
    fn reserve(&self, through: Range, spent: NanoUsd, exposed: NanoUsd, wait: Duration) -> Running<Asked> {
        let (store, id, epoch, caps) =
            (self.app.store.clone(), self.id.clone(), self.link.epoch(), self.caps);
        Running::start(&self.app.tasks, async move {
            sleep(wait).await;
            let ask = Reserve { session_id: &id, epoch, through, spent, exposed, caps, at_ms: unix_ms() };
            Asked { through, spent, exposed, answer: store.reserve(&ask).await }
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
        record(&mut self.recording, self.app.now(), recording::Input::End);
        self.recording = None;
        telemetry::session_ended(CloseCode::Replaced.name());
        tracing::info!(session = %self.id, "session lost to another relay");
        self.registration.leave();
        self.turn_away(CloseCode::TryLater);
        if let Some(connection) = self.connection.take() {
            connection.close(CloseCode::Replaced).await;
        }
    }

    /// The session cannot go on here: write what is owed, and leave it to whoever takes it over. Whoever is sent elsewhere so pays for nothing
    /// twice.
    async fn leave(mut self, code: CloseCode) {
        self.call(call::Input::Checkpoint { sent_away: true });
        self.write_and_close(code, false).await;
    }

    /// The client went to another relay, which waits for this one to let go.
    async fn hand_over(mut self) {
        self.call(call::Input::Checkpoint { sent_away: false });
        self.write_and_close(CloseCode::Replaced, true).await;
    }

    async fn write_and_close(mut self, code: CloseCode, let_go: bool) {
        self.drain();
        // Whoever takes the session over can tell by this that the ledger knows of everything that came here.
        self.journal.attached(false);
        record(&mut self.recording, self.app.now(), recording::Input::End);
        let write = async {
            while !self.journal.is_empty() {
                if let Err(Refused { error, .. }) = self.journal.next().await {
                    tracing::error!(session = %self.id, %error, "a record was not stored");
                }
            }
        };
        if timeout(STORE_TIMEOUT, write).await.is_err() {
            tracing::warn!(session = %self.id, "records were not stored in time: they are kept here");
            // A disk that does not answer is as good as a full one.
            let _ = timeout(KEEP_TIMEOUT, self.journal.keep()).await;
            match self.journal.hold_rest() {
                (0, 0) => {}
                (entries, 0) => {
                    tracing::warn!(session = %self.id, entries, "records are held in memory until there is room for them");
                }
                (_, entries) => tracing::error!(session = %self.id, entries, "records are lost"),
            }
        }
        self.recording = None;
        telemetry::session_ended(code.name());
        tracing::info!(session = %self.id, reason = code.name(), "session left to the next relay");
        self.registration.leave();
        if let_go {
            let lease = Leases::Session { id: &self.id, relay: &self.app.relay_id };
            match timeout(STORE_TIMEOUT, self.app.store.end_leases(lease)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(session = %self.id, %error, "its lease was not ended"),
                Err(_) => tracing::warn!(session = %self.id, "its lease was not ended in time"),
            }
        }
        self.turn_away(code);
        if let Some(connection) = self.connection.take() {
            connection.close(code).await;
        }
    }

    /// Closes the connections that waited to go on with the session.
    fn turn_away(&mut self, code: CloseCode) {
        for ResumeRequest { connection, .. } in self.waiting_connections() {
            self.app.tasks.spawn(connection.close(code));
        }
    }

    async fn finish(mut self) {
        self.registration.leave();
        self.waiting_connections().for_each(hand_back);
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
            .chain(self.resuming.as_ref().map(|resuming| resuming.deadline))
            .chain(token)
            .chain(self.grace_ends())
            .min()
            .unwrap_or_else(|| Instant::now() + FAR)
    }
}

async fn event(connection: &mut Option<Connection>) -> connection::Event {
    match connection {
        Some(connection) => connection.event().await,
        None => std::future::pending().await,
    }
}

/// The resume token that a connection came with.
fn used_token(request: &ResumeRequest) -> String {
    request.hello.resume.as_ref().map(|resume| resume.resume_token.clone()).unwrap_or_default()
}

/// Gives a connection back to whoever brought it: a new session begins there.
fn hand_back(ResumeRequest { connection, hello, refused, .. }: ResumeRequest) {
    // Nobody waits for it any more if this fails.
    let _ = refused.send((connection, hello));
}

fn write(connection: &mut Option<Connection>, message: Outgoing) {
    if let Some(writing) = connection
        && writing.write(message).is_err()
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
