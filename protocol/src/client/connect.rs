//! Getting a connection, losing it, and getting it back.

use std::time::Duration;

use super::{Client, Connection, Event, Outage, Pending, Phase, State, TIMERS, Timer, UPLINK};
use crate::{CloseCode, ErrorCode, Features, Hello, Ping, Reaction, Resume, Time, Token};

const TOKEN_DEADLINE: Duration = Duration::from_secs(10);
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// A refusal that takes so long may be one of the silence before a `hello` that came too late: relays wait for it for 5 s.
const HELLO_LATE_AFTER: Duration = Duration::from_secs(4);
/// A connection that held this long makes the backoff start anew.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// A first connection is given up sooner than a lost one: somebody is waiting at a button.
const FIRST_GIVE_UP: Duration = Duration::from_secs(30);
/// Audio sent but not acknowledged for this long leads to a probe.
const UNACKNOWLEDGED_AFTER: Duration = Duration::from_secs(5);
/// The answer to a probe is due within this, and so is the acknowledgement of some audio: when nothing of it gets through for so long, TCP
/// waits for longer and longer between its tries, and another connection is there sooner. Longer than a stalled page's 2 s and most of a
/// lossy link's retransmissions.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// How often it is looked at how much audio has got through while some waits.
const PACE_WINDOW: Duration = Duration::from_secs(12);
/// What is said meanwhile, in samples.
pub(super) const REAL_TIME: u32 = 12 * 16_000;
/// A line that lets less audio than this wait keeps up: 2 s, in samples.
const KEEPS_UP: u32 = 2 * 16_000;
/// A line that carries less than one part in so many of what was expected is stuck. Over a network that loses many packets TCP comes to wait for
/// up to two minutes between two of them, and another connection carries a hundred times as much.
const STUCK_PART: u32 = 16;
/// Hanging up goes on for this long after audio last got through. A line that stands still is found out after 10 s, and over a network that
/// loses every third packet another one takes as long again.
const CLOSING_DEADLINE: Duration = Duration::from_secs(30);
/// Meanwhile the next connection is tried within this time, however many attempts have failed: most of the deadline is for the words.
const CLOSING_RETRY: Duration = Duration::from_secs(5);
/// Hanging up ends after this, even while audio gets through: the longest buffer goes through a line that carries a fifth of what is said.
const LONGEST_CLOSING: Duration = Duration::from_secs(300);
/// Probes come no closer than this, however often a page wakes up.
const PROBES_APART: Duration = Duration::from_secs(1);
/// A refusal (4401) ends the call if there was another so short a time before: the token that it was for was asked for anew. Of one longer
/// ago, before an outage say, an application's cache may know nothing any more.
const REFUSED_AGAIN_WITHIN: Duration = Duration::from_secs(60);
/// Missed heartbeats after which the other side is dead.
const DEAD_AFTER_HEARTBEATS: u32 = 2;

impl Client {
    pub(super) fn start(&mut self) {
        if self.phase != Phase::Idle {
            return;
        }
        self.set(Timer::GiveUp, FIRST_GIVE_UP.min(self.config.give_up_after));
        self.request_token();
        self.tell_state();
    }

    fn request_token(&mut self) {
        self.phase = Phase::Token;
        self.timers.stop(Timer::Retry as usize);
        self.backoff.begin(self.now);
        self.ask_for_token();
    }

    pub(super) fn ask_for_token(&mut self) {
        self.wants_token = true;
        self.set(Timer::Token, TOKEN_DEADLINE);
        self.pending.push_back(Pending::RequestToken);
    }

    /// One answer for each time that the application was asked, late or not: others would be messages that nobody waits for.
    pub(super) fn handle_token(&mut self, token: Result<&str, &str>) {
        if !std::mem::take(&mut self.wants_token) {
            return;
        }
        match (self.phase, token) {
            (Phase::Token, Ok(token)) => {
                self.timers.stop(Timer::Token as usize);
                self.token = Some(token.into());
                self.phase = Phase::Opening;
                self.connection = Connection { began: self.now, ..Connection::default() };
                self.set(Timer::Open, OPEN_DEADLINE);
                self.pending.push_back(Pending::Connect);
            }
            (Phase::Up, Ok(token)) => {
                self.timers.stop(Timer::Token as usize);
                self.send(Token { token: token.into() });
            }
            (Phase::Token | Phase::Up, Err(cause)) => self.token_failed(cause),
            _ => {}
        }
    }

    fn token_failed(&mut self, cause: &str) {
        self.timers.stop(Timer::Token as usize);
        if self.offline && self.phase == Phase::Token {
            return self.wait();
        }
        let mut error = super::ErrorInfo::from(const { ErrorCode::TokenUnavailable.info() });
        if !cause.is_empty() {
            error.message.push_str(" Cause: ");
            error.message.push_str(cause);
        }
        self.tell(Event::Error(error));
        if self.phase == Phase::Token {
            self.wait();
        }
    }

    pub(super) fn handle_opened(&mut self) {
        if self.phase != Phase::Opening {
            return;
        }
        let Some(token) = self.token.take() else { return };
        self.phase = Phase::Greeting;
        self.offline = false;
        self.forget_question();
        self.set(Timer::Open, OPEN_DEADLINE);
        let resume = self.session.as_ref().map(|session| Resume {
            session_id: session.info.session_id.clone(),
            resume_token: session.resume_token.clone(),
            epoch: session.info.epoch,
            received: self.expected,
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

    /// What is said belongs to it, whichever session it is said in.
    fn conversation(&self) -> Option<&str> {
        self.conversation_id.as_deref().or(self.config.conversation.as_deref())
    }

    /// The relay answered the greeting: everything the connection needs is set going.
    pub(super) fn connected(&mut self) {
        self.phase = Phase::Up;
        self.was_connected = true;
        self.refused = None;
        self.outage = Outage::default();
        self.take_back_unsupported();
        for timer in [Timer::Open, Timer::GiveUp, Timer::Pace] {
            self.timers.stop(timer as usize);
        }
        self.set(Timer::Stable, STABLE_AFTER);
        self.progress();
        self.send_ack();
        self.send_ping();
        self.alive();
        self.tell_state();
    }

    pub(super) fn handle_closed(&mut self, code: u16) {
        if matches!(self.phase, Phase::Idle | Phase::Token | Phase::Waiting) {
            return;
        }
        let code = self.connection.ended.unwrap_or(CloseCode::from_code(code));
        match code.reaction() {
            Reaction::Stop => self.end(code),
            // The relay did not hear `hello` in time, and may never have seen the token.
            Reaction::RefreshToken if self.phase == Phase::Greeting && self.hello_was_late() => self.failed(),
            Reaction::RefreshToken => {
                let before = self.refused.replace(self.now);
                match before.is_some_and(|before| self.now.since(before) < REFUSED_AGAIN_WITHIN) {
                    true => self.end(code),
                    false => self.lost(),
                }
            }
            Reaction::Retry => self.failed(),
        }
    }

    /// The connection broke, or was never made: then it is asked why.
    fn failed(&mut self) {
        let opening = self.phase == Phase::Opening;
        self.lost();
        if opening {
            self.ask_why();
        }
    }

    fn hello_was_late(&self) -> bool {
        self.now.since(self.connection.began) >= HELLO_LATE_AFTER
    }

    /// The connection is gone; the driver has no socket (any more).
    fn lost(&mut self) {
        self.tell_loss();
        self.wait();
    }

    fn tell_loss(&mut self) {
        if self.phase == Phase::Up {
            self.outage = Outage::default();
            if !self.closing {
                self.tell(Event::Error(const { ErrorCode::LinkLost.info() }.into()));
            }
        }
    }

    /// Closes the socket, whatever its state, and tries again later.
    pub(super) fn drop_link(&mut self) {
        if self.disconnect() {
            self.failed();
        }
    }

    /// Whether there was a socket.
    fn disconnect(&mut self) -> bool {
        let is_there = matches!(self.phase, Phase::Opening | Phase::Greeting | Phase::Up);
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
        // All but these two belong to the connection, or to the attempt to make one.
        for timer in TIMERS.into_iter().filter(|timer| !matches!(timer, Timer::GiveUp | Timer::Closing)) {
            self.timers.stop(timer as usize);
        }
        if !self.timers.is_set(Timer::GiveUp as usize) {
            self.set(Timer::GiveUp, self.config.give_up_after);
        }
        if self.closing && self.is_committed() {
            self.end(CloseCode::Normal);
            return;
        }
        self.phase = Phase::Waiting;
        self.timers.set(Timer::Retry as usize, due);
        self.tell_state();
    }

    pub(super) fn handle_online(&mut self) {
        // A socket that began to open while the network was away may hang for minutes.
        if std::mem::take(&mut self.offline) && self.phase == Phase::Opening {
            self.interrupt();
        }
        self.probe();
    }

    /// The network took the connection with it.
    fn interrupt(&mut self) {
        if self.disconnect() {
            self.tell_loss();
            let due = self.backoff.pause(self.now);
            self.wait_until(due);
        }
    }

    /// The relay is about to go: all its clients come back at moments of their own.
    pub(super) fn prepare_to_move(&mut self, within: Duration) {
        if !self.timers.is_set(Timer::Move as usize) {
            let wait = self.backoff.part_of(within);
            self.set(Timer::Move, wait);
        }
    }

    /// Leaves a relay that works, which is neither a failure nor an error.
    fn move_on(&mut self) {
        self.disconnect();
        let due = self.backoff.hurry(self.now);
        self.wait_until(due);
    }

    /// A socket that loses its network stays silently open, so it is dropped at once: the resume costs one round trip,
    /// waiting for it to fail costs half a minute.
    pub(super) fn handle_offline(&mut self) {
        self.offline = true;
        self.interrupt();
    }

    /// Finds out soon whether the link lives.
    pub(super) fn probe(&mut self) {
        match self.phase {
            Phase::Up => {
                if self.connection.probed.is_none_or(|probed| self.now.since(probed) >= PROBES_APART) {
                    self.connection.probed = Some(self.now);
                    self.send_ping();
                }
                // One that was answered a moment ago shows that the link lives.
                if self.connection.ping.is_some() {
                    self.timers.hasten(Timer::Dead as usize, self.now + PROBE_DEADLINE);
                }
            }
            Phase::Waiting => {
                let due = self.backoff.hurry(self.now);
                self.timers.set(Timer::Retry as usize, due);
            }
            _ => {}
        }
    }

    /// Something came from the relay.
    pub(super) fn alive(&mut self) {
        let heartbeat = self.heartbeat();
        self.set(Timer::Dead, heartbeat.saturating_mul(DEAD_AFTER_HEARTBEATS));
    }

    /// Audio gets through: a slow line is not a dead one, and hanging up goes on.
    pub(super) fn progress(&mut self) {
        for timer in [Timer::Unacknowledged, Timer::Stalled] {
            self.timers.stop(timer as usize);
        }
        if self.timers.is_set(Timer::Closing as usize) {
            let due = (self.now + CLOSING_DEADLINE).min(self.closing_ends);
            self.timers.set(Timer::Closing as usize, due);
        }
    }

    fn heartbeat(&self) -> Duration {
        self.session.as_ref().map_or(Duration::from_secs(15), |session| session.heartbeat)
    }

    fn send_ping(&mut self) {
        self.ping_id = self.ping_id.wrapping_add(1);
        self.connection.ping = Some((self.ping_id, self.now));
        let heartbeat = self.heartbeat();
        self.set(Timer::Heartbeat, heartbeat);
        let rtt_us = self.round_trip.map_or(0, |rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
        self.send(Ping { id: self.ping_id, rtt_us });
    }

    /// Keeps the timer for unacknowledged audio running exactly while there is some.
    pub(super) fn watch_acknowledgements(&mut self) {
        let waiting = self.acknowledged.seq < self.uplink.end().seq;
        match (waiting, self.timers.is_set(Timer::Unacknowledged as usize)) {
            (true, false) => self.set(Timer::Unacknowledged, UNACKNOWLEDGED_AFTER),
            (false, true) => self.timers.stop(Timer::Unacknowledged as usize),
            _ => {}
        }
        if !waiting {
            self.timers.stop(Timer::Pace as usize);
            self.usual = REAL_TIME;
        } else if !self.timers.is_set(Timer::Pace as usize) {
            self.paced = self.acknowledged.position;
            self.set(Timer::Pace, PACE_WINDOW);
        }
    }

    /// Replaces a line that is stuck. On a network that is really so slow the next one carries no more, so less is expected of it, and soon it
    /// is left alone.
    fn look_at_pace(&mut self) {
        let waiting = self.uplink.end().position.saturating_sub(self.acknowledged.position);
        let through = self.acknowledged.position.saturating_sub(self.paced);
        if waiting < KEEPS_UP || self.waits_for_turn() {
            self.usual = REAL_TIME;
        } else if through < self.usual / STUCK_PART {
            self.usual /= 2;
            self.drop_link();
        } else {
            self.usual = self.usual.max(through).min(REAL_TIME);
        }
    }

    pub(super) fn close(&mut self) {
        if self.closing {
            return;
        }
        self.closing = true;
        if !self.was_connected || self.phase != Phase::Up && self.is_committed() {
            self.abandon(CloseCode::Normal);
            return;
        }
        if self.phase == Phase::Waiting {
            self.handle_online();
        }
        self.backoff.shorten(CLOSING_RETRY);
        self.closing_ends = self.now + LONGEST_CLOSING;
        self.set(Timer::Closing, CLOSING_DEADLINE);
        self.tell_state();
    }

    /// Ends without a word of the relay. It may have crashed, so whatever it did not confirm as stored counts as missing.
    pub(super) fn abandon(&mut self, code: CloseCode) {
        self.disconnect();
        self.acknowledged = self.base;
        self.end(code);
    }

    /// The call is over. What the relay never acknowledged is announced as missing.
    pub(super) fn end(&mut self, code: CloseCode) {
        self.tell_missing();
        self.phase = Phase::Closed;
        self.timers.stop_all();
        self.tell(Event::State(State::Closed));
        self.tell(Event::Ended { code, usage: self.usage });
    }

    pub(super) fn handle_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Token => self.token_failed("no answer within 10 s"),
            Timer::Open | Timer::Dead | Timer::Stalled => self.drop_link(),
            Timer::Retry => self.request_token(),
            Timer::Heartbeat => self.send_ping(),
            Timer::Pace => self.look_at_pace(),
            Timer::Unacknowledged => {
                self.probe();
                if !self.timers.is_set(Timer::Stalled as usize) {
                    self.set(Timer::Stalled, PROBE_DEADLINE);
                }
            }
            Timer::Ack => self.send_ack(),
            Timer::Stable => self.backoff.reset(),
            Timer::GiveUp => {
                let mut error = super::ErrorInfo::from(const { ErrorCode::GaveUp.info() });
                self.outage.explain(&mut error.message);
                self.tell(Event::Error(error));
                self.abandon(CloseCode::Abnormal);
            }
            Timer::Closing => self.abandon(CloseCode::Normal),
            // The drain that follows says what the relay does not know yet.
            Timer::Mute | Timer::Turn => {}
            Timer::Move => self.move_on(),
        }
    }
}
