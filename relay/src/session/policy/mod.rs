//! What becomes of a session: which connection it has, whose token is in use, what follows from a refused write, when to leave and how.
//!
//! The policy is a machine like the link and the call: [`Policy::handle_input`] with one thing that happened, [`Policy::poll_output`] until
//! it is empty, then one timer for [`Policy::poll_timeout`]. It is told nothing of what is said in the session.

mod drain;
mod io;

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{CloseCode, Time};

pub use io::{Checked, Departure, Moment, Note, Reservation, Visitor};
pub(super) use io::{Input, Output, ResumeToken, Written};

use self::drain::Drain;
use super::jitter::Jitter;
use super::journal::{Failure, FailureKind, NextToken};
use super::token::{LEAD, PATIENCE, TokenClock};
use crate::admission::auth::Identity;
use crate::money::budget::Reserved;

/// How long the store may take where a client, another relay or the end of this relay waits for it.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the relay's own disk may take to keep what a session still owes when it leaves.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two tries to set money aside while the database is away. The real wait is drawn between half and one and a half times
/// this.
const RESERVE_RETRY: Duration = Duration::from_millis(500);
/// The shortest time between two checks of the same token.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a policy begins with.
#[derive(Debug)]
pub(super) struct Config {
    /// What the access token says that the session begins with.
    pub(super) identity: Identity,
    /// How long the access token is good.
    pub(super) left: Duration,
    /// How long a call goes on after its token has expired.
    pub(super) token_grace: Duration,
    /// How long a call goes on while the database is away.
    pub(super) store_grace: Duration,
    /// When the session has to stop unless the lease is renewed.
    pub(super) lease: Time,
    /// How often the session was resumed before.
    pub(super) reconnects: u32,
    /// The seed of the waits between two tries.
    pub(super) seed: u64,
}

/// Where a session is between its beginning and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The session goes on.
    Live,
    /// It is known why the session ends, and that is being stored.
    Ending(CloseCode),
    /// The session's end is stored, and the client is told.
    Ended(CloseCode),
    /// The session leaves this relay. What is owed is written to the store, until this time at the latest.
    Writing { until: Time, code: CloseCode, let_go: bool },
    /// The session leaves this relay, and the store did not take everything in time. What is owed is kept on the relay's own disk, until this
    /// time at the latest.
    Keeping { until: Time, code: CloseCode, let_go: bool },
    /// The session is over here, and nothing follows.
    Over,
}

/// A connection whose resume token is being stored. The session goes on meanwhile.
#[derive(Debug)]
struct Resuming {
    visitor: Box<Visitor>,
    /// How often the session was resumed, this time included.
    reconnects: u32,
    /// When the connection is attached even if its resume token is not stored yet.
    deadline: Time,
}

/// A fresh token that is being checked, again and again while it cannot be judged. The client is not asked for another one meanwhile.
#[derive(Debug)]
struct Checking {
    token: String,
    /// The time after which the token is not checked again.
    until: Time,
}

/// The policy of one session.
#[derive(Debug)]
pub(super) struct Policy {
    identity: Identity,
    store_grace: Duration,
    token: TokenClock,
    checking: Option<Checking>,
    /// Money that is being set aside.
    reserving: Option<Reservation>,
    /// A connection that goes on with the session as soon as its resume token is stored.
    resuming: Option<Resuming>,
    /// The newest connection that waits until `resuming` is attached.
    next_visitor: Option<Box<Visitor>>,
    /// How often the session was resumed.
    reconnects: u32,
    /// When the session has to stop unless the lease is renewed.
    lease: Time,
    /// Since when the database has been away.
    away: Option<Time>,
    /// The relay is told to stop.
    drain: Option<Drain>,
    phase: Phase,
    /// Whether the call was told to stop because its token has expired.
    is_expired: bool,
    jitter: Jitter,
    now: Time,
    outputs: VecDeque<Output>,
}

impl Policy {
    pub(super) fn new(now: Time, config: Config) -> Policy {
        let Config { identity, left, token_grace, store_grace, lease, reconnects, seed } = config;
        Policy {
            token: TokenClock::new(now, identity.expires_at, left, token_grace),
            identity,
            store_grace,
            checking: None,
            reserving: None,
            resuming: None,
            next_visitor: None,
            reconnects,
            lease,
            away: None,
            drain: None,
            phase: Phase::Live,
            is_expired: false,
            jitter: Jitter::new(seed),
            now,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one thing that happened. Drain [`Policy::poll_output`] afterwards, then arm one timer for [`Policy::poll_timeout`].
    pub(super) fn handle_input(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        if self.is_leaving() {
            return self.handle_leaving(input);
        }
        match input {
            Input::Shutdown if self.phase == Phase::Live => self.leave(CloseCode::GoingAway, true, true),
            Input::Shutdown => {}
            Input::Drain { within, is_attached } => self.handle_drain(within, is_attached),
            Input::BetweenTurns if self.wants_to_move() => self.move_on(Moment::BetweenTurns),
            Input::BetweenTurns => {}
            // The client goes on elsewhere, and nothing there is to wait for this relay.
            Input::Detached if self.is_draining() => self.leave(CloseCode::GoingAway, true, true),
            Input::Detached => {}
            Input::End(code) => self.push(Output::Stop(code)),
            // Whether another relay has the session or it was ended is found out by writing its end: the store refuses that if it is fenced.
            Input::TakenOver => self.end_refused(),
            Input::HandOff if matches!(self.phase, Phase::Ended(_)) => {}
            Input::HandOff => self.leave(CloseCode::Replaced, false, true),
            Input::Forgotten => self.push(Output::Stop(CloseCode::Internal)),
            Input::Resume { visitor, token } => self.handle_resume(visitor, token),
            Input::Greeted(hash) => self.handle_greeted(hash),
            Input::Lease(until) => self.lease = until,
            Input::Away(since) => self.away = since,
            Input::Written(written) => self.handle_written(written),
            Input::Refused { failure, is_end } => self.handle_refused(failure, is_end),
            Input::Reserve(reservation) => self.reserve(reservation, Duration::ZERO),
            Input::Reserved(answer) => self.handle_reserved(answer),
            Input::Token(token) => self.handle_token(token),
            Input::Checked(checked) => self.handle_checked(*checked),
            Input::LinkEnded(code) => {
                if !matches!(self.phase, Phase::Ended(_)) {
                    self.phase = Phase::Ending(code);
                }
                self.push(Output::Stop(code));
            }
            Input::CallEnded(code) => {
                self.push(Output::EndRecording);
                self.write_end(code);
            }
            Input::Owed { .. } => {}
            Input::Timeout => self.handle_timeout(),
        }
    }

    /// The next thing to do, or `None` until the next input.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::Writing { until, .. } | Phase::Keeping { until, .. } => Some(until),
            Phase::Over => None,
            Phase::Live | Phase::Ending(_) | Phase::Ended(_) => {
                let token = (self.phase == Phase::Live && !self.is_expired).then(|| self.token.due());
                let resuming = self.resuming.as_ref().map(|resuming| resuming.deadline);
                let drain = self.drain.filter(|_| self.is_draining()).and_then(|drain| drain.due(self.now));
                token.into_iter().chain(resuming).chain(drain).chain(self.grace_ends()).min()
            }
        }
    }

    /// Whether the session goes on, as far as is known.
    pub(super) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether the session goes elsewhere in the next pause between two turns.
    pub(super) fn wants_to_move(&self) -> bool {
        self.is_draining() && self.drain.is_some_and(|drain| drain.wants_to_move(self.now))
    }

    /// Whether what the agent would be told now is for the next relay: the session goes there in the next pause, or its client was told to.
    pub(super) fn is_moving(&self) -> bool {
        self.is_draining() && self.drain.is_some_and(|drain| drain.has_begun(self.now))
    }

    /// Whether the session's end is stored.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// Whether the session is leaving this relay or is over here.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Writing { .. } | Phase::Keeping { .. } | Phase::Over)
    }

    /// Whether the session is over here.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Ends the session here, if its end is stored. The client has been told or is gone.
    pub(super) fn finish(&mut self) {
        if let Phase::Ended(code) = self.phase {
            self.depart(Departure::Ended(code));
        }
    }

    /// How often the session was resumed.
    pub(super) fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// Lets a connection go on with the session once its next resume token is stored, or gives it back.
    ///
    /// The token is stored before the client gets it, so that a relay that takes the session over knows it. The call goes on meanwhile. A client
    /// never gets a token that is not stored: see [`Policy::attach_unstored`].
    fn handle_resume(&mut self, visitor: Box<Visitor>, token: ResumeToken) {
        if token == ResumeToken::Unknown {
            return self.push(Output::HandBack(visitor.number));
        }
        if self.resuming.is_some() {
            if let Some(before) = self.next_visitor.replace(visitor) {
                self.push(Output::TurnAway(before.number, CloseCode::Replaced));
            }
            return;
        }
        self.reconnects += 1;
        let (hash, replaced, reconnects) = (visitor.hash, visitor.replaced, self.reconnects);
        self.resuming = Some(Resuming { visitor, reconnects, deadline: self.now + STORE_TIMEOUT });
        // A connection does not wait for a database that is away. And two tokens are all that the store knows: a third one would be put in the
        // place of the newest, which the client may hold after all, since one attempt may overtake another.
        if self.away.is_some() || token == ResumeToken::Older {
            return self.attach_unstored();
        }
        self.push(Output::WriteResumed(NextToken { hash, replaced, reconnects }));
    }

    /// Attaches the connection that waits, whose next resume token is not stored: the client keeps the one that it came with. The store knows
    /// that one, whatever becomes of this relay.
    fn attach_unstored(&mut self) {
        if let Some(Resuming { visitor, .. }) = &mut self.resuming
            && let Some(resume) = &visitor.hello.resume
        {
            visitor.token.clone_from(&resume.resume_token);
        }
        self.attach_waiting();
    }

    /// Has the store forget every other resume token, now that the client has the newest. A connection that the client gave up may still ask
    /// for the session at another relay with the one before, and would take it away from the client. A token that is on its way to the store
    /// for the next connection is newer still.
    fn handle_greeted(&mut self, hash: [u8; 32]) {
        if self.phase == Phase::Live && self.resuming.is_none() {
            let reconnects = self.reconnects;
            self.push(Output::WriteResumed(NextToken { hash, replaced: hash, reconnects }));
        }
    }

    /// Attaches the connection that waited for its resume token to be stored.
    fn attach_waiting(&mut self) {
        let Some(Resuming { visitor, reconnects, .. }) = self.resuming.take() else { return };
        let Visitor { number, hello, identity, left, token, .. } = *visitor;
        self.drain.iter_mut().for_each(Drain::tell_again);
        self.accept(identity, left);
        self.note(Note::Resumed { reconnects });
        self.push(Output::Attach { number, hello: Box::new(hello), token });
        if let Some(next) = self.next_visitor.take() {
            self.push(Output::Revisit(next));
        }
    }

    /// Goes on with another token of the same user. If the token comes from another login, the registry is told, so that a denial of a
    /// login finds the session.
    fn accept(&mut self, identity: Identity, left: Duration) {
        self.token.renew(self.now, identity.expires_at, left);
        if self.identity.login != identity.login {
            self.push(Output::Login(identity.login.clone()));
        }
        self.identity = identity;
    }

    fn handle_written(&mut self, written: Written) {
        match written {
            Written::Turns(committed) => self.push(Output::Stored(committed)),
            Written::Settled { cost, standing } => self.push(Output::Settled { cost, standing }),
            Written::Resumed(reconnects) => {
                if self.resuming.as_ref().is_some_and(|resuming| resuming.reconnects == reconnects) {
                    self.attach_waiting();
                }
            }
            Written::Called(call_id) => self.push(Output::ToolStored(call_id)),
            Written::End => self.tell_end(),
            Written::Other => {}
        }
    }

    fn handle_refused(&mut self, Failure { kind, why }: Failure, is_end: bool) {
        if kind == FailureKind::Fenced {
            self.push(Output::EndRecording);
            return self.depart(Departure::TakenOver);
        }
        if is_end {
            self.note(Note::EndNotStored { why });
            return self.tell_end();
        }
        self.note(if kind == FailureKind::Erased { Note::Erased } else { Note::NotStored { why } });
        // The resume token of a waiting connection may be what was refused, so the connection does not wait any longer.
        self.attach_unstored();
        self.end_refused();
    }

    /// Ends the session after what was spent is written, because the store takes no more of it, or another relay may have it.
    fn end_refused(&mut self) {
        self.push(Output::Stop(CloseCode::Internal));
        self.write_end(CloseCode::Internal);
    }

    /// Writes the session's end. The first reason that is known is the one that counts.
    fn write_end(&mut self, code: CloseCode) {
        let code = match self.phase {
            Phase::Live => {
                self.phase = Phase::Ending(code);
                code
            }
            Phase::Ending(first) => first,
            Phase::Ended(_) | Phase::Writing { .. } | Phase::Keeping { .. } | Phase::Over => return,
        };
        self.push(Output::WriteEnd(code));
    }

    /// Has the client told that the session has ended: its end is stored, or will never be.
    fn tell_end(&mut self) {
        let code = match self.phase {
            Phase::Ending(code) => code,
            _ => CloseCode::Internal,
        };
        self.phase = Phase::Ended(code);
        self.push(Output::TellEnd(code));
    }

    fn reserve(&mut self, reservation: Reservation, wait: Duration) {
        self.reserving = Some(reservation);
        self.push(Output::Reserve { reservation, wait });
    }

    fn handle_reserved(&mut self, answer: Result<Reserved, Failure>) {
        let Some(reservation) = self.reserving.take() else { return };
        match answer {
            Ok(reserved) => self.push(Output::Reserved(reserved)),
            Err(Failure { kind: FailureKind::Away, .. }) => {
                // The call goes on meanwhile with what was set aside before.
                let wait = self.jitter.about(RESERVE_RETRY);
                self.reserve(reservation, wait);
            }
            Err(Failure { kind: FailureKind::Fenced, .. }) => self.end_refused(),
            Err(Failure { why, .. }) => {
                self.note(Note::NotSetAside { why });
                self.push(Output::Stop(CloseCode::Internal));
            }
        }
    }

    fn handle_token(&mut self, token: String) {
        self.token.begin_check();
        self.checking = Some(Checking { token: token.clone(), until: self.now + LEAD + PATIENCE });
        self.push(Output::Check { token, wait: Duration::ZERO });
    }

    fn handle_checked(&mut self, checked: Checked) {
        let Some(Checking { token, until }) = self.checking.take() else { return };
        if let Checked::Bad { retry_after: Some(wait), .. } = &checked {
            let wait = (*wait).max(AGAIN_AFTER);
            if self.now + wait <= until {
                self.checking = Some(Checking { token: token.clone(), until });
                return self.push(Output::Check { token, wait });
            }
        }
        self.token.end_check();
        match checked {
            Checked::Good { is_denied: true, .. } => self.push(Output::Stop(CloseCode::Forbidden)),
            Checked::Good { identity, left, .. } if self.is_of(&identity) => {
                self.accept(identity, left);
                self.push(Output::TokenAccepted { left: self.token.left(self.now) });
            }
            Checked::Good { identity, .. } => {
                let cause = if identity.sub == self.identity.sub { "other_account" } else { "other_sub" };
                self.note(Note::TokenRefused { cause, why: "it is somebody else's".into() });
                self.push(Output::Stop(CloseCode::Unauthorized));
            }
            // The session goes on with the token in use, and the client is asked for another one until that expires.
            Checked::Bad { cause, why, .. } => {
                self.push(Output::TokenRefused { left: self.token.left(self.now) });
                self.note(Note::TokenRefused { cause, why });
            }
        }
    }

    /// Whether a token belongs to the user of this session and names the same account.
    fn is_of(&self, identity: &Identity) -> bool {
        self.identity.sub == identity.sub && self.identity.account == identity.account
    }

    /// Another relay is to go on with the session: with one whose client is away at once.
    fn handle_drain(&mut self, within: Duration, is_attached: bool) {
        self.drain = Some(Drain::new(self.now, within, &mut self.jitter));
        if !is_attached && self.is_draining() {
            self.leave(CloseCode::GoingAway, true, true);
        }
    }

    /// Whether the session is to go on elsewhere. One that ends does not.
    fn is_draining(&self) -> bool {
        self.drain.is_some() && self.phase == Phase::Live
    }

    /// Has the client go on elsewhere.
    fn move_on(&mut self, moment: Moment) {
        self.drain.iter_mut().for_each(Drain::tell);
        self.note(Note::Moved(moment));
        self.push(Output::Move);
    }

    fn handle_timeout(&mut self) {
        if self.grace_ends().is_some_and(|end| end <= self.now) {
            return self.leave(CloseCode::TryLater, true, false);
        }
        if self.resuming.as_ref().is_some_and(|resuming| resuming.deadline <= self.now) {
            self.note(Note::ResumeTokenLate);
            self.attach_unstored();
        }
        if self.is_draining() && self.drain.is_some_and(|drain| drain.is_over(self.now)) {
            self.move_on(Moment::Deadline);
        }
        if self.phase != Phase::Live || self.is_expired {
            // An ending session has no use for another token.
        } else if let Some(left) = self.token.expiring(self.now) {
            self.push(Output::TokenExpiring { left });
        } else if self.token.is_over(self.now) {
            self.is_expired = true;
            self.push(Output::Stop(CloseCode::Unauthorized));
        }
    }

    /// Until when the session may go on as things are. Then the database has been away for too long, or another relay may take the session
    /// over.
    fn grace_ends(&self) -> Option<Time> {
        let away = self.away.map(|since| since + self.store_grace);
        let lease = (!self.has_ended()).then_some(self.lease);
        away.into_iter().chain(lease).min()
    }

    /// Begins to leave: the session cannot go on here, so what is owed is written, and another relay may take the session over. `sent_away`
    /// says that this relay wants it so: a client that is sent away pays for nothing twice.
    fn leave(&mut self, code: CloseCode, sent_away: bool, let_go: bool) {
        self.phase = Phase::Writing { until: self.now + STORE_TIMEOUT, code, let_go };
        self.push(Output::Checkpoint { sent_away });
        // This is written last: a relay that takes the session over can tell by it that the ledger knows everything that came here.
        self.push(Output::WriteDetached);
        self.push(Output::EndRecording);
    }

    fn handle_leaving(&mut self, input: Input) {
        match (self.phase, input) {
            (Phase::Writing { code, let_go, .. }, Input::Owed { is_empty: true, .. }) => {
                self.depart(Departure::HandedOff { code, let_go });
            }
            (Phase::Writing { until, code, let_go }, Input::Timeout) if until <= self.now => {
                self.note(Note::KeptHere);
                self.phase = Phase::Keeping { until: self.now + KEEP_TIMEOUT, code, let_go };
                self.push(Output::KeepAll);
            }
            (Phase::Keeping { code, let_go, .. }, Input::Owed { is_kept: true, .. }) => {
                self.push(Output::HoldRest);
                self.depart(Departure::HandedOff { code, let_go });
            }
            // A disk that does not answer in time is treated like a full one.
            (Phase::Keeping { until, code, let_go }, Input::Timeout) if until <= self.now => {
                self.push(Output::HoldRest);
                self.depart(Departure::HandedOff { code, let_go });
            }
            (Phase::Writing { .. } | Phase::Keeping { .. }, Input::Refused { failure, .. }) => {
                self.note(Note::NotStoredOnLeaving { why: failure.why });
            }
            // A connection that comes now is too late, and may go on at the next relay.
            (Phase::Writing { code, .. } | Phase::Keeping { code, .. }, Input::Resume { visitor, .. }) => {
                self.push(Output::TurnAway(visitor.number, code));
            }
            _ => {}
        }
    }

    fn depart(&mut self, departure: Departure) {
        self.phase = Phase::Over;
        self.push(Output::Over(departure));
    }

    fn note(&mut self, note: Note) {
        self.push(Output::Note(note));
    }

    fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}

#[cfg(test)]
mod tests;
