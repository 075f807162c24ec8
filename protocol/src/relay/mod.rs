//! The relay's end of the link: sequence, acknowledgement, resume, liveness.
//!
//! A [`Handshake`] reads a connection's first message; a [`Link`] is a session, which outlives its connections.
//!
//! # Run loop
//! Change, drain, wait: [`Link::handle_input`] with one thing that happened, [`Link::poll_output`] until it is `None`, then one timer
//! for [`Link::poll_timeout`]. Text and binary outputs go to the connection attached last.

#[cfg(test)]
mod documented;
mod handshake;
mod io;
mod phase;
mod preflight;
mod rate;
mod uplink;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

pub use handshake::*;
pub use io::*;
pub use preflight::*;

use phase::{Attached, Due, Phase, Timer};
use rate::RateLimit;

use crate::replay::{Message, ReplayBuffer};
use crate::{
    AgentStateMessage, CloseCode, Codec, Ended, ErrorCode, ErrorMessage, Features, Flush, Gap, Hello, Hold,
    Mark, Move, RelayAck, RelayMessage, Release, ReplyEnd, ResumeFailed, Resumed, Time, TokenAccepted,
    TokenExpiring, TokenRefused, Upward, Usage, Welcome,
};

/// Acknowledgements are gathered for this long at most.
const ACK_DELAY: Duration = Duration::from_millis(200);
/// An acknowledgement that has been gathered for this long goes out with the next frame that comes. It is a little less than the usual chunk, so
/// that every second one is answered while it is handled anyway, and no timer has to ring between two of them.
const ACK_WITH_FRAME: Duration = Duration::from_millis(80);
/// Beyond this many bytes of unacknowledged downlink the agent waits: 30 s of audio at 24 kHz.
const DOWNLINK_BYTES: usize = 30 * 24_000 * 2;
/// So many bytes of messages may wait for a client that is there to acknowledge them. One that reads them and never says so would have them kept for
/// ever.
const DOWNLINK_TEXT_BYTES: usize = 4 << 20;
/// Missed heartbeats after which the client is gone.
const DEAD_AFTER_HEARTBEATS: u32 = 2;
/// Resume tokens that are good at the same time, while none of their answers was confirmed.
const RESUME_TOKENS: usize = 8;
/// Resumes a minute of a client on a very bad network. One that comes to another relay more often than that finds its buckets as if it had
/// just used them there.
const USUAL_RESUMES: u32 = 10;
/// Control messages that a client may say after a greeting: `ack`, `ping`, `gap`, `mute`, `bye`, and as many again.
const GREETING_MESSAGES: u64 = 10;
/// Whoever comes to another relay has this long to say something: when audio was last heard is known, but not when the user last muted.
const LEAST_IDLE: Duration = Duration::from_secs(60);
/// A session whose client went without a word after `hello` is kept for so long: it has most likely never heard of the session.
const UNKNOWN_WINDOW: Duration = Duration::from_secs(5);
/// How long a client may take to be sent what was said before the session's end. Nothing else bounds a session that has ended: it counts among
/// no user's, and no administrator ends it.
const END_WITHIN: Duration = Duration::from_secs(60);
/// How long a client that was told to come back elsewhere may stay beyond the time that it was given.
const MOVE_SLACK: Duration = Duration::from_secs(2);
/// Refused chunks after which the client is taken for broken.
const STRIKES: u32 = 10;

/// Something to do that is not a frame of the replay buffer.
#[derive(Debug)]
enum Pending {
    Text(String),
    Audio(Mark, Bytes),
    Numbered(Mark, Upward),
    Gap(Gap),
    Muted(bool),
    Played(u32),
    BargeIn(u32),
    Held(bool),
    Strikes(u32),
    Greeted(String),
    RoundTrip(Duration),
    Token(String),
    Bye,
    Close(CloseCode),
    Detached,
    Attached,
    Ended(CloseCode),
}

/// A session's end of the link.
#[derive(Debug)]
pub struct Link {
    config: Config,
    epoch: u32,
    phase: Phase,
    /// When the session has lasted as long as it may.
    session_ends: Time,
    /// When there has been nothing but heartbeats for too long.
    idle_ends: Time,
    pending: VecDeque<Pending>,
    /// The tokens that resume the session: what the attached connection was greeted with, last, and before it those the client may
    /// still hold. An answer to a resume can be lost, and one attempt of a client can overtake another, so they stay good until the
    /// client shows which one it has.
    resume_tokens: Vec<String>,

    /// The next uplink frame.
    expected: Mark,
    /// Before this everything is committed by a session before: it is acknowledged, and heard no second time.
    inherited: Mark,
    committed: Mark,
    /// After frames that were refused: how much further on than `expected` the next one may stand, in samples. What such a frame held
    /// is not known, but it was no more than this.
    refused_samples: Option<u32>,
    audio_rate: RateLimit,
    /// Frames of any kind, duplicates and those of no use among them.
    frame_rate: RateLimit,
    control_rate: RateLimit,
    strikes: u32,
    /// The client has shown that it knows of the session: it said something after a greeting, or resumed.
    is_known: bool,

    downlink: ReplayBuffer<Bytes>,
    /// How long the frames waited for their acknowledgements that were sent since the driver last asked: the longest of them.
    acknowledged_after: Option<Duration>,
    now: Time,
}

impl Link {
    /// A session that begins; `start` is the client's first frame.
    #[must_use]
    pub fn new(now: Time, config: Config, start: Mark) -> Self {
        Link::with_epoch(now, config, 0, start)
    }

    /// Another session of the same client has committed everything before this. The client, which does not know that, sends it once more.
    pub fn inherit(&mut self, committed: Mark) {
        self.inherited = committed;
    }

    /// A session rebuilt from the store after its relay was lost. `committed` is the first frame that is not in the stored
    /// transcript, `epoch` one more than the stored one. Whether the client's resume token is good, the store has said.
    #[must_use]
    pub fn recovered(now: Time, config: Config, epoch: u32, committed: Mark) -> Self {
        Link::with_epoch(now, config, epoch, committed)
    }

    fn with_epoch(now: Time, config: Config, epoch: u32, start: Mark) -> Self {
        Link {
            epoch,
            phase: Phase::Detached(now + config.resume_window),
            session_ends: now + Duration::from_millis(config.limits.session_ms),
            idle_ends: now + Duration::from_millis(config.limits.idle_ms),
            pending: VecDeque::new(),
            resume_tokens: Vec::new(),
            expected: start,
            inherited: start,
            committed: start,
            refused_samples: None,
            audio_rate: RateLimit::audio(now, &config.limits),
            frame_rate: RateLimit::frames(now, &config.limits),
            control_rate: RateLimit::control(now, config.control_per_second),
            strikes: 0,
            is_known: false,
            downlink: ReplayBuffer::new(Mark::default()),
            acknowledged_after: None,
            now,
            config,
        }
    }

    /// The session goes on here: its limits count from its beginning, whichever relay that was on.
    pub fn carry_over(&mut self, elsewhere: &Elsewhere) {
        let Elsewhere { age, quiet, heard, again, resumes, strikes } = *elsewhere;
        let limits = &self.config.limits;
        let session = Duration::from_millis(limits.session_ms).saturating_sub(age);
        let idle = Duration::from_millis(limits.idle_ms);
        let idle = idle.saturating_sub(quiet).max(idle.min(LEAST_IDLE));
        self.session_ends = self.now + session;
        self.idle_ends = self.now + idle;
        self.strikes = strikes;
        self.audio_rate.carry_over(age, heard, again.into());
        let usual = u64::from(USUAL_RESUMES) * (1 + age.as_secs() / 60);
        if u64::from(resumes) > usual {
            self.frame_rate.leave_a_second(0);
            self.control_rate.leave_a_second(GREETING_MESSAGES);
        }
    }

    /// Whether this token resumes the session. Compared without telling by time how much of it is right.
    #[must_use]
    pub fn accepts(&self, resume_token: &str) -> bool {
        let good = self.resume_tokens.iter().fold(false, |good, token| good | is_same(token, resume_token));
        matches!(self.phase, Phase::Detached(_) | Phase::Attached(_)) && good
    }

    /// Whether this token resumes the session and is the one that was given out last. Whoever comes with another one has perhaps not got it.
    #[must_use]
    pub fn is_newest(&self, resume_token: &str) -> bool {
        self.accepts(resume_token)
            && self.resume_tokens.last().is_some_and(|token| is_same(token, resume_token))
    }

    /// Which memory of the relay this is.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether a connection is attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.phase, Phase::Attached(_) | Phase::Ending { .. })
    }

    /// How far the agent has come in its timeline, with what is still on its way to the client.
    #[must_use]
    pub fn spoken(&self) -> u32 {
        self.downlink.end().position
    }

    /// Whether the session is over and everything about it was told.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended) && self.pending.is_empty()
    }

    /// Whether the agent may go on: a connection is there and not too far behind.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.is_attached() && self.downlink.bytes() < DOWNLINK_BYTES
    }

    /// One thing happened. Drain [`Link::poll_output`] afterwards, then arm one timer for [`Link::poll_timeout`].
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        self.now = self.now.max(now);
        match self.phase {
            Phase::Ended => return,
            Phase::Ending { .. } if !matches!(input, Input::Closed | Input::Timeout) => return,
            Phase::Ending { .. } | Phase::Detached(_) | Phase::Attached(_) => {}
        }
        self.is_known |= matches!(input, Input::Text(_) | Input::Binary(_) | Input::Control);
        match input {
            Input::Attach { hello, attachment, resume_token } => self.attach(hello, attachment, resume_token),
            Input::Text(text) => self.handle_text(text),
            Input::Binary(frame) => self.handle_binary(&frame),
            Input::Control => self.handle_control(),
            Input::Closed => self.detach(None),
            Input::Commit(mark) => self.commit(mark),
            Input::Audio(samples) => {
                if !self.downlink.push_audio(self.config.agent_codec, samples) {
                    self.fail(CloseCode::TooLong, ErrorCode::TooLong.into());
                }
            }
            Input::Say(saying) => self.say_numbered(saying),
            Input::Usage(usage) => self.send(usage),
            Input::TokenAccepted { expires_in } => {
                self.send(TokenAccepted { expires_in_ms: millis(expires_in) });
            }
            Input::TokenExpiring { left } => self.send(TokenExpiring { in_ms: millis(left) }),
            Input::TokenRefused { left } => self.refuse_token(left),
            Input::Move { within } => self.send_away(within),
            Input::Error(error) => self.send(error.clone()),
            Input::End { code, usage } => self.end(code, usage),
            Input::Timeout => while self.handle_due() {},
        }
    }

    /// The next thing to do; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        if !self.pending.is_empty() {
            return self.poll_urgent();
        }
        let counted = match &self.phase {
            Phase::Attached(attached) => attached.features.has(Features::SAMPLES),
            Phase::Ending { code, usage, .. } if self.downlink.is_sent() => {
                let (code, usage) = (*code, *usage);
                self.tell_end(code, usage);
                return self.poll_urgent();
            }
            Phase::Ending { counted, .. } => *counted,
            Phase::Detached(_) | Phase::Ended => return None,
        };
        Some(match self.downlink.advance(counted)? {
            Message::Text(text) => Output::Text(text),
            Message::Binary(frame) => Output::Binary(frame),
        })
    }

    /// The same without what the agent says: for a driver whose socket is full. What is not taken stays. What the client says is heard
    /// and acknowledged meanwhile, however slowly the line takes the agent's words.
    pub fn poll_urgent(&mut self) -> Option<Output> {
        self.pending.pop_front().map(|pending| match pending {
            Pending::Text(text) => Output::Text(text),
            Pending::Audio(mark, payload) => Output::Audio { mark, payload },
            Pending::Numbered(mark, message) => Output::Message { mark, message },
            Pending::Gap(gap) => Output::Gap(gap),
            Pending::Muted(muted) => Output::Muted(muted),
            Pending::Played(position) => Output::Played(position),
            Pending::BargeIn(position) => Output::BargeIn(position),
            Pending::Held(held) => Output::Held(held),
            Pending::Strikes(strikes) => Output::Strikes(strikes),
            Pending::Greeted(token) => Output::Greeted(token),
            Pending::RoundTrip(time) => Output::RoundTrip(time),
            Pending::Token(token) => Output::Token(token),
            Pending::Bye => Output::Bye,
            Pending::Close(code) => Output::Close(code),
            Pending::Detached => Output::Detached,
            Pending::Attached => Output::Attached,
            Pending::Ended(code) => Output::Ended(code),
        })
    }

    /// How long the oldest frame waited for the acknowledgement that is among the outputs since this was last asked, if one is. It is for
    /// whoever watches the relay; the link goes on as if nobody had asked.
    pub fn take_acknowledged_after(&mut self) -> Option<Duration> {
        self.acknowledged_after.take()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::Ended => None,
            Phase::Ending { until, .. } => Some(until),
            Phase::Detached(_) | Phase::Attached(_) => {
                self.phase.next_timeout().into_iter().chain([self.session_ends, self.idle_ends]).min()
            }
        }
    }

    fn attach(&mut self, hello: &Hello, attachment: Attachment, resume_token: &str) {
        let resumes = attachment == Attachment::Resume;
        self.is_known |= resumes;
        if let Some(resume) = hello.resume.as_ref().filter(|_| resumes && self.resume_tokens.is_empty()) {
            // Rebuilt from the store, which said that it is good.
            self.resume_tokens.push(resume.resume_token.clone());
        }
        self.resume_tokens.push(resume_token.into());
        if self.resume_tokens.len() > RESUME_TOKENS {
            self.resume_tokens.remove(0);
        }
        let ack = RelayAck { received: self.expected, committed: self.committed };
        self.phase = Phase::Attached(Attached::new(hello.features.clone(), ack));
        // What was queued for the connection before this one.
        self.pending.retain(|pending| !matches!(pending, Pending::Text(_) | Pending::Close(_)));
        self.set(Timer::Dead, self.config.heartbeat * DEAD_AFTER_HEARTBEATS);
        if !resumes {
            if attachment == Attachment::Instead {
                self.epoch = hello.resume.as_ref().map_or(0, |resume| resume.epoch.saturating_add(1));
                self.send(ResumeFailed { reason: "unknown".into(), epoch: self.epoch });
            }
            self.send_welcome();
        } else if let Some(resume) = &hello.resume {
            let same_memory = resume.epoch == self.epoch;
            if same_memory {
                let Some(mark) = self.downlink.mark(resume.received) else {
                    return self.fail(CloseCode::Protocol, ErrorCode::Protocol.into());
                };
                self.downlink.release(resume.received);
                self.downlink.seek(mark);
            } else {
                // Rebuilt from the store, whose word counts: a client knows nothing to be committed that is not stored.
                self.downlink.seek(self.downlink.start());
            }
            self.send(Resumed {
                session_id: self.config.session_id.clone(),
                epoch: self.epoch,
                resume_token: self.resume_tokens.last().cloned().unwrap_or_default(),
                received: self.expected,
                committed: self.committed,
                features: self.config.features.into(),
            });
        }
        self.pending.push_back(Pending::Attached);
    }

    fn send_welcome(&mut self) {
        self.send(Welcome {
            session_id: self.config.session_id.clone(),
            conversation_id: self.config.conversation_id.clone(),
            epoch: self.epoch,
            resume_token: self.resume_tokens.last().cloned().unwrap_or_default(),
            resume_window_ms: u32::try_from(millis(self.config.resume_window)).unwrap_or(u32::MAX),
            heartbeat_ms: u32::try_from(millis(self.config.heartbeat)).unwrap_or(u32::MAX),
            agent_codec: self.config.agent_codec.name().into(),
            recording: self.config.recording,
            limits: self.config.limits.clone(),
            prices: self.config.prices.clone(),
            agent: self.config.agent.clone(),
            features: self.config.features.into(),
        });
    }

    fn detach(&mut self, close: Option<CloseCode>) {
        match self.phase {
            Phase::Detached(_) | Phase::Ended => {}
            Phase::Ending { .. } => self.phase = Phase::Ended,
            Phase::Attached(_) => {
                // Who went before the greeting reached them has nothing to resume with.
                let window = self.config.resume_window;
                let window = if self.is_known { window } else { window.min(UNKNOWN_WINDOW) };
                self.phase = Phase::Detached(self.now + window);
                self.pending.extend(close.map(Pending::Close));
                self.pending.push_back(Pending::Detached);
            }
        }
    }

    /// Tells the client to come back elsewhere. One that does not know the word learns it by a close code, which all of them know.
    fn send_away(&mut self, within: Duration) {
        if self.attached().is_some_and(|attached| attached.features.has("move")) {
            self.send(Move { within_ms: u32::try_from(millis(within)).unwrap_or(u32::MAX) });
            self.set(Timer::Moved, within + MOVE_SLACK);
        } else {
            self.detach(Some(CloseCode::GoingAway));
        }
    }

    fn end(&mut self, code: CloseCode, usage: Usage) {
        self.phase = match &self.phase {
            Phase::Attached(attached) => {
                let counted = attached.features.has(Features::SAMPLES);
                Phase::Ending { code, usage, counted, until: self.now + END_WITHIN }
            }
            Phase::Detached(_) | Phase::Ending { .. } | Phase::Ended => Phase::Ended,
        };
    }

    /// Tells the client that the session is over, and how it stands.
    fn tell_end(&mut self, code: CloseCode, usage: Usage) {
        let ack = RelayAck { received: self.expected, committed: self.committed };
        let ended = Ended { reason: code.name().into(), usage };
        let [ack, ended] = [RelayMessage::from(ack), ended.into()].map(|message| message.to_json());
        self.pending.extend([Pending::Text(ack), Pending::Text(ended), Pending::Close(code)]);
        self.phase = Phase::Ended;
    }

    /// Ends the session by the link's own decision.
    fn fail(&mut self, code: CloseCode, error: ErrorMessage) {
        if let Some(attached) = self.attached() {
            // What is stored is told before: the client takes back what is not.
            if attached.told_ack.committed != self.committed {
                self.send_ack();
            }
            self.send(error);
            self.pending.push_back(Pending::Close(code));
        }
        self.phase = Phase::Ended;
        self.pending.push_back(Pending::Ended(code));
    }

    fn say_numbered(&mut self, saying: &Saying) {
        let seq = self.downlink.end().seq;
        let (word, message) = match saying {
            Saying::Agent(state) => ("agent", AgentStateMessage { seq, state: *state }.into()),
            Saying::Transcript(said) => ("transcript", crate::Transcript { seq, ..said.clone() }.into()),
            Saying::ReplyEnd => ("reply_end", ReplyEnd { seq }.into()),
            Saying::Flush => ("flush", Flush { seq }.into()),
            Saying::Hold(true) => ("hold", Hold { seq }.into()),
            Saying::Hold(false) => ("release", Release { seq }.into()),
            Saying::Budget(budget) => ("budget", crate::Budget { seq, ..*budget }.into()),
            Saying::ToolCall(call) => ("tool_call", crate::ToolCall { seq, ..call.clone() }.into()),
            Saying::ToolCancel(call) => ("tool_cancel", crate::ToolCancel { seq, ..call.clone() }.into()),
            Saying::Degraded(what) => ("degraded", crate::Degraded { seq, ..*what }.into()),
            Saying::Latency(latency) => ("latency", crate::Latency { seq, ..*latency }.into()),
            Saying::Listened(listened) => ("listened", crate::Listened { seq, ..*listened }.into()),
        };
        let message: RelayMessage = message;
        if !self.downlink.push_text(word, message.to_json()) {
            self.fail(CloseCode::TooLong, ErrorCode::TooLong.into());
        } else if self.is_attached() && self.downlink.text_bytes() > DOWNLINK_TEXT_BYTES {
            self.fail(CloseCode::Protocol, ErrorCode::Protocol.into());
        }
    }

    /// An error to whoever does not know the message that says more.
    fn refuse_token(&mut self, left: Duration) {
        if self.attached().is_some_and(|attached| attached.features.has("token_refused")) {
            self.send(TokenRefused { in_ms: millis(left) });
        } else {
            self.send(ErrorMessage::from(ErrorCode::TokenRefused));
        }
    }

    /// Sends an unnumbered message; without a connection there is nobody to tell.
    fn send(&mut self, message: impl Into<RelayMessage>) {
        if self.attached().is_some() {
            self.pending.push_back(Pending::Text(message.into().to_json()));
        }
    }

    fn attached(&self) -> Option<&Attached> {
        if let Phase::Attached(attached) = &self.phase { Some(attached) } else { None }
    }

    fn attached_mut(&mut self) -> Option<&mut Attached> {
        if let Phase::Attached(attached) = &mut self.phase { Some(attached) } else { None }
    }

    /// Sets a timer of the connection, if there is one.
    fn set(&mut self, timer: Timer, span: Duration) {
        let due = self.now + span;
        if let Some(attached) = self.attached_mut() {
            attached.timers.set(timer as usize, due);
        }
    }

    fn is_set(&self, timer: Timer) -> bool {
        self.attached().is_some_and(|attached| attached.timers.is_set(timer as usize))
    }

    fn schedule_ack(&mut self) {
        let ack = RelayAck { received: self.expected, committed: self.committed };
        if self.attached().is_some_and(|attached| attached.told_ack != ack) && !self.is_set(Timer::Ack) {
            self.set(Timer::Ack, ACK_DELAY);
        }
    }

    /// A frame came: it has to be acknowledged in time, and takes an acknowledgement along that has been gathered for long enough.
    fn acknowledge_frame(&mut self) {
        self.wait_for_ack();
        let with_frame = self.now + (ACK_DELAY - ACK_WITH_FRAME);
        match self.attached().and_then(|attached| attached.timers.due(Timer::Ack as usize)) {
            Some(due) if due <= with_frame => self.send_ack(),
            _ => self.schedule_ack(),
        }
    }

    /// A frame came that is to be acknowledged: it waits from now on, unless an older one does already.
    fn wait_for_ack(&mut self) {
        let now = self.now;
        if let Some(attached) = self.attached_mut() {
            attached.unacknowledged_since.get_or_insert(now);
        }
    }

    fn send_ack(&mut self) {
        let ack = RelayAck { received: self.expected, committed: self.committed };
        let now = self.now;
        if let Some(attached) = self.attached_mut() {
            attached.timers.stop(Timer::Ack as usize);
            attached.told_ack = ack;
            let waited = attached.unacknowledged_since.take().map(|since| now.since(since));
            self.acknowledged_after = self.acknowledged_after.max(waited);
            self.send(ack);
        }
    }

    fn commit(&mut self, mark: Mark) {
        if mark.seq > self.committed.seq && mark.seq <= self.expected.seq {
            self.committed = mark;
            self.schedule_ack();
        }
    }

    /// Does what is due first; whether there was anything.
    fn handle_due(&mut self) -> bool {
        match self.phase {
            Phase::Ended => return false,
            Phase::Ending { code, usage, until, .. } => {
                if until <= self.now {
                    self.tell_end(code, usage);
                }
                return false;
            }
            Phase::Detached(_) | Phase::Attached(_) => {}
        }
        let session = self.session_ends.min(self.idle_ends);
        let due = if self.phase.next_timeout().is_some_and(|next| next <= session) {
            self.phase.take_due(self.now)
        } else if session <= self.now {
            let (code, error) = if self.session_ends <= self.idle_ends {
                (CloseCode::TooLong, ErrorCode::TooLong)
            } else {
                (CloseCode::Idle, ErrorCode::Idle)
            };
            self.fail(code, error.into());
            return true;
        } else {
            None
        };
        match due {
            Some(Due::ResumeWindow) => self.fail(CloseCode::Abnormal, ErrorCode::LinkLost.into()),
            Some(Due::Timer(Timer::Dead | Timer::Moved)) => self.detach(Some(CloseCode::GoingAway)),
            Some(Due::Timer(Timer::Ack)) => self.send_ack(),
            Some(Due::Timer(Timer::Resend)) => {}
            None => return false,
        }
        true
    }
}

/// Whether two tokens are the same, found out without telling by time how much of them is.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What clients send.
const UPLINK: Codec = Codec::PcmS16le16000;
