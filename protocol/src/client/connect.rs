//! Getting a connection, losing it, and getting it back.

use std::time::Duration;

use super::phase::{Attempt, Away, Closing, Due, Phase, Socket, Timer, Up};
use super::why::Outage;
use super::{Client, ErrorInfo, Event, Pending, State, UPLINK};
use crate::{CloseCode, ErrorCode, Features, Hello, Reaction, Resume, Time, Token};

pub(super) const TOKEN_DEADLINE: Duration = Duration::from_secs(10);
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// A refusal that takes so long may be one of the silence before a `hello` that came too late: relays wait for it for 5 s.
const HELLO_LATE_AFTER: Duration = Duration::from_secs(4);
/// A first connection is given up sooner than a lost one: somebody is waiting at a button.
const FIRST_GIVE_UP: Duration = Duration::from_secs(30);
/// While the user hangs up, the next connection is tried within this time, however many attempts have failed: most of the deadline is for the words.
const CLOSING_RETRY: Duration = Duration::from_secs(5);
/// A refusal (4401) ends the call if there was another so short a time before: the token that it was for was asked for anew. Of one longer
/// ago, before an outage say, an application's cache may know nothing any more.
const REFUSED_AGAIN_WITHIN: Duration = Duration::from_secs(60);
impl Client {
    pub(super) fn start(&mut self) {
        let Phase::Idle { told_full } = self.phase else { return };
        self.phase = Phase::Away(Away {
            attempt: Attempt::Waiting(self.now),
            outage: Outage::default(),
            told_full,
            refused: None,
            gives_up: self.now + FIRST_GIVE_UP.min(self.config.give_up_after),
        });
        self.request_token();
        self.tell_state();
    }

    fn request_token(&mut self) {
        self.turn_to(Attempt::Token(self.now + TOKEN_DEADLINE));
        self.backoff.begin(self.now);
        self.wants_token = true;
        self.pending.push_back(Pending::RequestToken);
    }

    /// One answer for each time that the application was asked, late or not: others would be messages that nobody waits for.
    pub(super) fn handle_token(&mut self, token: Result<&str, &str>) {
        if !std::mem::take(&mut self.wants_token) {
            return;
        }
        match (&self.phase, token) {
            (Phase::Away(Away { attempt: Attempt::Token(_), .. }), Ok(token)) => {
                let (token, socket) = (token.into(), Socket::new(self.now));
                self.turn_to(Attempt::Opening { token, socket, late: self.now + OPEN_DEADLINE });
                self.pending.push_back(Pending::Connect);
            }
            (Phase::Up(_), Ok(token)) => {
                self.stop(Timer::Token);
                self.send(Token { token: token.into() });
            }
            (_, Ok(_)) => {}
            (_, Err(cause)) => self.token_failed(cause),
        }
    }

    /// Another attempt would be in vain. A connection keeps the token that it has, which is good until the relay says otherwise: that asks for a
    /// fresh one again while there is time, and ends the call itself.
    pub(super) fn handle_no_token(&mut self) {
        if !std::mem::take(&mut self.wants_token) {
            return;
        }
        match &self.phase {
            Phase::Up(_) => self.stop(Timer::Token),
            // Without a network something else may have answered in the place of the server.
            Phase::Away(_) if self.offline => self.wait(),
            Phase::Away(_) => self.abandon(CloseCode::Unauthorized),
            Phase::Idle { .. } | Phase::Closed => {}
        }
    }

    pub(super) fn token_is_late(&mut self) {
        self.token_failed("no answer within 10 s");
    }

    fn token_failed(&mut self, cause: &str) {
        let connects = match &self.phase {
            Phase::Away(Away { attempt: Attempt::Token(_), .. }) => true,
            Phase::Up(_) => false,
            Phase::Away(_) | Phase::Idle { .. } | Phase::Closed => return,
        };
        self.stop(Timer::Token);
        if self.offline && connects {
            return self.wait();
        }
        let mut error = ErrorInfo::from(const { ErrorCode::TokenUnavailable.info() });
        if !cause.is_empty() {
            error.message.push_str(" Cause: ");
            error.message.push_str(cause);
        }
        self.tell(Event::Error(error));
        if connects {
            self.wait();
        }
    }

    pub(super) fn handle_opened(&mut self) {
        let Phase::Away(Away { attempt, .. }) = &mut self.phase else { return };
        let Attempt::Opening { token, socket, .. } = attempt else { return };
        let (token, socket) = (std::mem::take(token), *socket);
        *attempt = Attempt::Greeting { socket, late: self.now + OPEN_DEADLINE };
        self.offline = false;
        self.forget_question();
        let resume = self.session.as_ref().map(|session| Resume {
            session_id: session.info.session_id.clone(),
            resume_token: session.resume_token.clone(),
            epoch: session.info.epoch,
            received: self.expected,
            // What it has is heard by the time that the relay decides about it, or soon after, unless the user has hung up.
            played: Some(if self.closing.is_some() {
                self.played
            } else {
                self.played.max(self.plays_through)
            }),
        });
        self.send(Hello {
            token,
            client: self.config.client.clone(),
            codec: UPLINK.name().into(),
            start: self.base,
            resume,
            conversation: self.conversation().map(str::to_owned),
            agent: self.config.agent.clone(),
            features: Features::CLIENT.into(),
        });
    }

    fn turn_to(&mut self, next: Attempt) {
        if let Phase::Away(away) = &mut self.phase {
            away.attempt = next;
        }
    }

    /// What is said belongs to it, whichever session it is said in.
    fn conversation(&self) -> Option<&str> {
        self.conversation_id.as_deref().or(self.config.conversation.as_deref())
    }

    /// The relay answered the greeting: everything the connection needs is set going.
    pub(super) fn connected(&mut self, features: Features) {
        let Phase::Away(Away { attempt: Attempt::Greeting { socket, late }, .. }) = &self.phase else {
            return;
        };
        let was_late = *late < self.now;
        self.phase = Phase::Up(Box::new(Up::new(*socket, features)));
        self.was_connected = true;
        self.unopened = 0;
        self.take_back_unsupported();
        self.go_live();
        // The answer may have lain in a queue while the machine slept.
        if was_late {
            self.probe();
        }
    }

    pub(super) fn handle_closed(&mut self, code: u16) {
        let (ended, refused, has_opened) = match &self.phase {
            Phase::Up(up) => (up.ended, None, false),
            Phase::Away(Away { attempt: Attempt::Opening { .. }, refused, .. }) => (None, *refused, false),
            Phase::Away(Away { attempt: Attempt::Greeting { .. }, refused, .. }) => (None, *refused, true),
            Phase::Away(_) | Phase::Idle { .. } | Phase::Closed => return,
        };
        let code = ended.unwrap_or(CloseCode::from_code(code));
        let was_late = self.has_greeted_late();
        match code.reaction() {
            Reaction::Stop => {
                match ended {
                    Some(CloseCode::Normal) => {}
                    // Nobody says what became of what a relay had, which is gone.
                    None if self.up().is_none() => self.acknowledged = self.base,
                    Some(_) | None => self.take_back_unheard(),
                }
                self.end(code);
            }
            // A relay that did not hear `hello` in time may never have seen the token.
            Reaction::RefreshToken if !was_late => {
                if refused.is_some_and(|before| self.now.since(before) < REFUSED_AGAIN_WITHIN) {
                    // The relay that had the call is left, and nobody says what became of what it had.
                    self.acknowledged = self.base;
                    return self.end(code);
                }
                self.lost();
                if let Phase::Away(away) = &mut self.phase {
                    away.refused = Some(self.now);
                }
            }
            // What has opened lets something through.
            _ if has_opened => self.lost(),
            Reaction::RefreshToken | Reaction::Retry => self.failed(),
        }
    }

    /// Whether the relay of this connection may have waited for `hello` in vain.
    pub(super) fn has_greeted_late(&self) -> bool {
        match &self.phase {
            Phase::Away(Away { attempt: Attempt::Greeting { socket, .. }, .. }) => {
                self.now.since(socket.began) >= HELLO_LATE_AFTER
            }
            _ => false,
        }
    }

    /// The connection broke, or no relay ever answered on it: then it is asked why.
    fn failed(&mut self) {
        let was_up = self.up().is_some();
        self.lost();
        if !was_up {
            self.unopened = self.unopened.saturating_add(1);
            self.ask_why();
        }
    }

    fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Away(Away { attempt: Attempt::Opening { .. }, .. }))
    }

    /// The connection is gone; the driver has no socket (any more).
    fn lost(&mut self) {
        self.tell_loss();
        self.wait();
    }

    fn tell_loss(&mut self) {
        if self.up().is_some() && self.closing.is_none() {
            self.tell(Event::Error(const { ErrorCode::LinkLost.info() }.into()));
        }
    }

    /// Closes the socket, whatever its state, and tries again later, unless the call is over.
    pub(super) fn drop_link(&mut self) {
        if self.leave() {
            self.failed();
        }
    }

    /// Closes the socket. Whether there was one that has still to be made up for: after `ended` the relay has said what follows, as if it had
    /// closed the socket itself.
    fn leave(&mut self) -> bool {
        let ended = self.up().and_then(|up| up.ended);
        let was_there = self.disconnect();
        if let Some(code) = ended {
            self.handle_closed(code.code());
        }
        was_there && ended.is_none()
    }

    /// Whether there was a socket.
    fn disconnect(&mut self) -> bool {
        let is_there = match &self.phase {
            Phase::Up(_) => true,
            Phase::Away(away) => matches!(away.attempt, Attempt::Opening { .. } | Attempt::Greeting { .. }),
            Phase::Idle { .. } | Phase::Closed => false,
        };
        if is_there {
            self.pending.push_back(Pending::Disconnect(CloseCode::Normal.code()));
        }
        is_there
    }

    fn wait(&mut self) {
        let due = self.backoff.fail(self.now);
        self.wait_until(due);
    }

    fn wait_until(&mut self, due: Time) {
        if self.closing.is_some_and(|closing| !closing.finishes || self.is_committed()) {
            self.acknowledged = self.base;
            return self.end(CloseCode::Normal);
        }
        let attempt = Attempt::Waiting(due);
        match &mut self.phase {
            Phase::Away(away) => away.attempt = attempt,
            Phase::Up(_) => {
                let gives_up = self.now + self.config.give_up_after;
                let outage = Outage::default();
                self.phase = Phase::Away(Away { attempt, outage, told_full: false, refused: None, gives_up });
            }
            Phase::Idle { .. } | Phase::Closed => return,
        }
        self.tell_state();
    }

    pub(super) fn handle_online(&mut self) {
        // A socket that began to open while the network was away may hang for minutes.
        if std::mem::take(&mut self.offline) && self.is_opening() {
            self.interrupt();
        }
        self.probe();
    }

    /// The network took the connection with it.
    fn interrupt(&mut self) {
        if self.leave() {
            self.tell_loss();
            let due = self.backoff.pause(self.now);
            self.wait_until(due);
        }
    }

    /// Leaves a relay that works, which is neither a failure nor an error.
    pub(super) fn move_on(&mut self) {
        if self.leave() {
            let due = self.backoff.hurry(self.now);
            self.wait_until(due);
        }
    }

    /// A socket that loses its network stays silently open, so it is dropped at once: the resume costs one round trip,
    /// waiting for it to fail costs half a minute.
    pub(super) fn handle_offline(&mut self) {
        self.offline = true;
        self.interrupt();
    }

    pub(super) fn close(&mut self, finish: bool) {
        let before = self.closing;
        if before.is_some_and(|before| finish || !before.finishes) {
            return;
        }
        if !self.was_connected || self.up().is_none() && (!finish || self.is_committed()) {
            return self.abandon(CloseCode::Normal);
        }
        if !finish {
            self.tell_missing(self.uplink.cursor());
            self.uplink.cut();
        }
        if matches!(self.phase, Phase::Away(Away { attempt: Attempt::Waiting(_), .. })) {
            self.handle_online();
        }
        self.backoff.shorten(CLOSING_RETRY);
        self.closing = Some(Closing::new(self.now, finish));
        if before.is_none() {
            self.tell_state();
        }
    }

    /// Waits for the relay no more. If it has said why the call ends, that is why. Otherwise it may have crashed, so whatever it did not confirm as
    /// stored counts as missing.
    pub(super) fn abandon(&mut self, code: CloseCode) {
        self.leave();
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.acknowledged = self.base;
        self.end(code);
    }

    /// The call is over. What the relay never acknowledged is announced as missing.
    pub(super) fn end(&mut self, code: CloseCode) {
        self.tell_missing(self.acknowledged);
        // What was said to its end is heard to its end.
        self.pending.push_back(Pending::HoldPlayout(false));
        self.phase = Phase::Closed;
        self.closing = None;
        self.tell(Event::State(State::Closed));
        self.tell(Event::Ended { code, usage: self.usage });
    }

    pub(super) fn handle_due(&mut self, due: Due) {
        match due {
            Due::Attempt => match &self.phase {
                Phase::Away(Away { attempt: Attempt::Token(_), .. }) => self.token_is_late(),
                Phase::Away(Away { attempt: Attempt::Waiting(_), .. }) => self.request_token(),
                Phase::Away(_) => {
                    // A socket that neither opens nor fails is most likely held by something between.
                    self.unopened += u8::from(self.is_opening());
                    self.drop_link();
                }
                Phase::Up(_) | Phase::Idle { .. } | Phase::Closed => {}
            },
            Due::GiveUp => self.give_up(),
            Due::Closing => self.abandon(CloseCode::Normal),
            Due::Timer(timer) => self.handle_timer(timer),
        }
    }

    fn give_up(&mut self) {
        let mut error = ErrorInfo::from(const { ErrorCode::GaveUp.info() });
        if let Phase::Away(away) = &self.phase {
            away.outage.explain(&mut error.message);
        }
        self.tell(Event::Error(error));
        self.abandon(CloseCode::Abnormal);
    }
}
