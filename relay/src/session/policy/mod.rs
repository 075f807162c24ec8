//! What becomes of a session: which connection it has, whose token is in use, what follows from a refused write, when to leave and how.
//!
//! A machine like the link's and the call's: [`Policy::handle_input`] with one thing that happened, [`Policy::poll_output`] until it is
//! empty, then one timer for [`Policy::poll_timeout`]. What is said in the session is none of its business.

mod io;

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{CloseCode, Time};

pub use io::{Ask, Checked, Departure, Note, Visitor};
pub(super) use io::{Input, Output, Written};

use super::jitter::Jitter;
use super::journal::{Failure, FailureKind, NextToken};
use super::token::{LEAD, PATIENCE, TokenClock};
use crate::admission::auth::Identity;
use crate::money::budget::Reserved;

/// How long the store may take where something waits for it.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the relay's own disk may take when a session leaves something on it.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to set money aside while the database is away, more or less.
const RESERVE_RETRY: Duration = Duration::from_millis(500);
/// The shortest time between two looks at the same token.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a policy is made with.
#[derive(Debug)]
pub(super) struct Config {
    /// Whose session it is, by the token that it begins with.
    pub(super) identity: Identity,
    /// How long that token is good.
    pub(super) left: Duration,
    /// How long a call goes on after its token has expired.
    pub(super) token_grace: Duration,
    /// How long a call goes on while the database is away.
    pub(super) store_grace: Duration,
    /// Until when nobody else takes the session for lost, unless the lease is renewed.
    pub(super) lease: Time,
    /// How often it was resumed before.
    pub(super) reconnects: u32,
    /// Seed of the waits between two tries.
    pub(super) seed: u64,
}

/// Where a session is between its beginning and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It goes on.
    Live,
    /// It is known how it ends, and that is being stored.
    Ending(CloseCode),
    /// Its end is stored: the client hears of it.
    Ended(CloseCode),
    /// It is left to another relay: what is owed is written, until this time at the latest.
    Writing { until: Time, code: CloseCode, let_go: bool },
    /// That was not done in time: what is owed is kept on the relay's own disk, until this time at the latest.
    Keeping { until: Time, code: CloseCode, let_go: bool },
    /// Nothing follows.
    Over,
}

/// A connection whose resume token is being stored. The session goes on meanwhile.
#[derive(Debug)]
struct Resuming {
    visitor: Box<Visitor>,
    /// How often the session was resumed, with this time.
    reconnects: u32,
    /// It does not wait for the store for longer than this.
    deadline: Time,
}

/// A fresh token that is looked at, and again for as long as nobody can know whether it is good: the call need not ask for another one.
#[derive(Debug)]
struct Checking {
    token: String,
    /// No further look after this time.
    until: Time,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Policy {
    identity: Identity,
    store_grace: Duration,
    token: TokenClock,
    checking: Option<Checking>,
    /// Money that is being set aside.
    reserving: Option<Ask>,
    /// A connection that goes on with the session as soon as its resume token is stored.
    resuming: Option<Resuming>,
    /// The one after it.
    next: Option<Box<Visitor>>,
    reconnects: u32,
    lease: Time,
    /// Since when the database is away.
    away: Option<Time>,
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
            next: None,
            reconnects,
            lease,
            away: None,
            phase: Phase::Live,
            is_expired: false,
            jitter: Jitter::new(seed),
            now,
            outputs: VecDeque::new(),
        }
    }

    /// One thing happened. Drain [`Policy::poll_output`] afterwards, then arm one timer for [`Policy::poll_timeout`].
    pub(super) fn handle_input(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        if self.is_leaving() {
            return self.handle_leaving(input);
        }
        match input {
            Input::Shutdown if self.phase == Phase::Live => self.leave(CloseCode::GoingAway, true, false),
            Input::Shutdown => {}
            Input::End(code) => self.push(Output::Stop(code)),
            // The store says which when it gets what is owed.
            Input::TakenOver => self.end_refused(),
            Input::HandOff if matches!(self.phase, Phase::Ended(_)) => {}
            Input::HandOff => self.leave(CloseCode::Replaced, false, true),
            Input::Forgotten => self.push(Output::Stop(CloseCode::Internal)),
            Input::Resume { visitor, is_good } => self.handle_resume(visitor, is_good),
            Input::Lease(until) => self.lease = until,
            Input::Away(since) => self.away = since,
            Input::Written(written) => self.handle_written(written),
            Input::Refused { failure, is_end } => self.handle_refused(failure, is_end),
            Input::Reserve(ask) => self.reserve(ask, Duration::ZERO),
            Input::Reserved(answer) => self.handle_reserved(answer),
            Input::Token(token) => self.handle_token(token),
            Input::Checked(checked) => self.handle_checked(checked),
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

    /// The next thing to do; `None` when there is nothing until the next input.
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
                token.into_iter().chain(resuming).chain(self.grace_ends()).min()
            }
        }
    }

    /// Whether the session goes on as far as is known.
    pub(super) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether the session's end is stored.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// Whether the session only writes what is owed, or not even that.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Writing { .. } | Phase::Keeping { .. } | Phase::Over)
    }

    /// Whether the session is over here.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The end is stored, and the client has heard of it or is gone.
    pub(super) fn finish(&mut self) {
        if let Phase::Ended(code) = self.phase {
            self.depart(Departure::Ended(code));
        }
    }

    /// How often the session was resumed.
    pub(super) fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// A connection goes on with the session once its resume token is stored, or goes back.
    ///
    /// Whoever takes the session over must know the token before the client does. Nothing else waits for that: the call goes on.
    fn handle_resume(&mut self, visitor: Box<Visitor>, is_good: bool) {
        if !is_good {
            return self.push(Output::HandBack(visitor.number));
        }
        if self.resuming.is_some() {
            if let Some(before) = self.next.replace(visitor) {
                self.push(Output::TurnAway(before.number, CloseCode::Replaced));
            }
            return;
        }
        self.reconnects += 1;
        let (hash, replaced, reconnects) = (visitor.hash, visitor.replaced, self.reconnects);
        self.push(Output::WriteResumed(NextToken { hash, replaced, reconnects }));
        self.resuming = Some(Resuming { visitor, reconnects, deadline: self.now + STORE_TIMEOUT });
        if self.away.is_some() {
            // It is stored when the database is back.
            self.go_on();
        }
    }

    /// Attaches the connection that waited.
    fn go_on(&mut self) {
        let Some(Resuming { visitor, reconnects, .. }) = self.resuming.take() else { return };
        let Visitor { number, hello, identity, left, token, .. } = *visitor;
        self.accept(identity, left);
        self.note(Note::Resumed { reconnects });
        self.push(Output::Attach { number, hello: Box::new(hello), token });
        if let Some(next) = self.next.take() {
            self.push(Output::Revisit(next));
        }
    }

    /// Goes on with another token of the same user. What is done to a login is done to the one that the token in use comes from.
    fn accept(&mut self, identity: Identity, left: Duration) {
        self.token.renew(self.now, identity.expires_at, left);
        if self.identity.session_id != identity.session_id {
            self.push(Output::Login(identity.session_id.clone()));
        }
        self.identity = identity;
    }

    fn handle_written(&mut self, written: Written) {
        match written {
            Written::Turns(committed) => self.push(Output::Stored(committed)),
            Written::Settled { cost, standing } => self.push(Output::Settled { cost, standing }),
            Written::Resumed(reconnects) => {
                if self.resuming.as_ref().is_some_and(|resuming| resuming.reconnects == reconnects) {
                    self.go_on();
                }
            }
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
        // Its resume token may be what was refused: there is nothing to wait for.
        self.go_on();
        self.end_refused();
    }

    /// The store takes no more of the session, or the session may be another relay's: it ends here, after what was spent is written.
    fn end_refused(&mut self) {
        self.push(Output::Stop(CloseCode::Internal));
        self.write_end(CloseCode::Internal);
    }

    /// The first reason that is known counts.
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

    /// The end is stored, or will never be.
    fn tell_end(&mut self) {
        let code = match self.phase {
            Phase::Ending(code) => code,
            _ => CloseCode::Internal,
        };
        self.phase = Phase::Ended(code);
        self.push(Output::TellEnd(code));
    }

    fn reserve(&mut self, ask: Ask, wait: Duration) {
        self.reserving = Some(ask);
        self.push(Output::Reserve { ask, wait });
    }

    fn handle_reserved(&mut self, answer: Result<Reserved, Failure>) {
        let Some(ask) = self.reserving.take() else { return };
        match answer {
            Ok(reserved) => self.push(Output::Reserved(reserved)),
            Err(Failure { kind: FailureKind::Away, .. }) => {
                // What was set aside before may be spent meanwhile.
                let wait = self.jitter.about(RESERVE_RETRY);
                self.reserve(ask, wait);
            }
            Err(Failure { kind: FailureKind::Fenced, .. }) => self.end_refused(),
            Err(Failure { why, .. }) => {
                self.note(Note::NotSetAside { why });
                self.push(Output::Stop(CloseCode::Internal));
            }
        }
    }

    fn handle_token(&mut self, token: String) {
        self.token.hold();
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
        self.token.release();
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
            // The token in use is still good: the client is told, and is asked again until it expires.
            Checked::Bad { cause, why, .. } => {
                self.push(Output::TokenRefused { left: self.token.left(self.now) });
                self.note(Note::TokenRefused { cause, why });
            }
        }
    }

    /// Whether it is the same user's, paid for by the same account.
    fn is_of(&self, identity: &Identity) -> bool {
        self.identity.sub == identity.sub && self.identity.account == identity.account
    }

    fn handle_timeout(&mut self) {
        if self.grace_ends().is_some_and(|end| end <= self.now) {
            return self.leave(CloseCode::TryLater, true, false);
        }
        if self.resuming.as_ref().is_some_and(|resuming| resuming.deadline <= self.now) {
            self.note(Note::ResumeTokenLate);
            self.go_on();
        }
        if self.phase != Phase::Live || self.is_expired {
            // Only the link still has something to do.
        } else if let Some(left) = self.token.expiring(self.now) {
            self.push(Output::TokenExpiring { left });
        } else if self.token.is_over(self.now) {
            self.is_expired = true;
            self.push(Output::Stop(CloseCode::Unauthorized));
        }
    }

    /// Until when the session may go on as things are: the database has been away for too long then, or another relay may take it.
    fn grace_ends(&self) -> Option<Time> {
        let away = self.away.map(|since| since + self.store_grace);
        let lease = (!self.has_ended()).then_some(self.lease);
        away.into_iter().chain(lease).min()
    }

    /// The session cannot go on here: what is owed is written, and whoever takes it over gets the rest. `sent_away` if this relay wants it so:
    /// whoever is sent elsewhere pays for nothing twice.
    fn leave(&mut self, code: CloseCode, sent_away: bool, let_go: bool) {
        self.phase = Phase::Writing { until: self.now + STORE_TIMEOUT, code, let_go };
        self.push(Output::Checkpoint { sent_away });
        // Whoever takes the session over can tell by this that the ledger knows of everything that came here.
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
            // A disk that does not answer is as good as a full one.
            (Phase::Keeping { until, code, let_go }, Input::Timeout) if until <= self.now => {
                self.push(Output::HoldRest);
                self.depart(Departure::HandedOff { code, let_go });
            }
            (Phase::Writing { .. } | Phase::Keeping { .. }, Input::Refused { failure, .. }) => {
                self.note(Note::NotStoredOnLeaving { why: failure.why });
            }
            // It comes too late: it may go on at the next relay.
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
