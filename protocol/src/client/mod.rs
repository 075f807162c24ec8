//! The client's end of the link: connecting, authenticating, heartbeat, backoff, the bounded uplink buffer, replay,
//! and the order of what is played.
//!
//! # Run loop
//! Change, drain, wait: [`Client::handle_input`] with one thing that happened, [`Client::poll_output`] until it is `None`, then
//! one timer for [`Client::poll_timeout`]. Call the application back only after the drain.

mod backoff;
mod connect;
mod gaps;
mod io;
mod live;
mod phase;
mod receive;
mod uplink;
mod why;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use gaps::ToldGaps;
use phase::{Attempt, Away, Closing, Due, Phase, Up};
use why::Question;

pub use io::*;

use crate::replay::ReplayBuffer;
use crate::{ClientMessage, Codec, Mark, Time, Upward, Usage};

/// How often to look whether a full socket has room again.
const SOCKET_POLL: Duration = Duration::from_millis(50);
/// Samples of the uplink are 16 kHz.
const UPLINK: Codec = Codec::PcmS16le16000;

/// What to resume with.
#[derive(Debug)]
struct Session {
    info: SessionInfo,
    resume_token: String,
    heartbeat: Duration,
}

/// Something to do that is not a frame of the replay buffer.
#[derive(Debug)]
enum Pending {
    RequestToken,
    Connect,
    AskWhy,
    Disconnect(u16),
    Message(ClientMessage),
    Play { codec: Codec, position: u32, payload: Vec<u8> },
    EndOfReply,
    FlushPlayout,
    HoldPlayout(bool),
    Event(Event),
}

/// The client's end of the link.
#[derive(Debug)]
pub struct Client {
    config: Config,
    phase: Phase,
    pending: VecDeque<Pending>,
    backoff: Backoff,
    /// Set by the first `welcome`, so that a later connection resumes.
    session: Option<Session>,
    /// The conversation that a session began or went on with.
    conversation_id: Option<String>,
    /// Whether the last state told was a connected one: a loss is then a reconnection.
    was_connected: bool,
    /// The network is away, as far as is known: then it is no news that no token can be had.
    offline: bool,
    /// The application was asked for a token and has not answered.
    wants_token: bool,
    transport: Transport,
    /// Attempts in a row over this transport that did not open a socket, or brought no answer to `hello` in time; one that took too long to open
    /// counts twice.
    unopened: u8,
    /// Whether it is being asked why no socket could be opened.
    question: Question,

    uplink: ReplayBuffer<Arc<[u8]>>,
    /// The first frame that is not committed: where a new session would begin.
    base: Mark,
    /// The next frame the relay expects, as it last said.
    acknowledged: Mark,
    /// Samples that a line is expected to carry between two looks.
    usual: u32,
    told_gaps: ToldGaps,
    muted: bool,
    /// An operator listens in, as the relay last said.
    listened: bool,
    /// The page holds the agent's sound back.
    playback_held: bool,
    /// The user speaks while the agent does, who was heard up to here: until the agent is silent.
    barge_in: Option<u32>,
    /// The relay's bucket of messages is taken to be full again at this time.
    refilled: Time,

    /// The next downlink frame.
    expected: u32,
    /// How much of the agent was heard.
    played: u32,
    /// Where the agent's audio that came in this epoch ends: what is played beyond it belongs to an earlier one.
    received_end: u32,
    /// Where that of it ends which was not dropped: so much is heard, whatever becomes of the connection.
    plays_through: u32,
    /// What is still to be heard of an earlier epoch.
    earlier: Range<u32>,
    /// The reply that the agent's last audio belongs to was neither said to end nor dropped.
    is_mid_reply: bool,

    ping_id: u32,
    round_trip: Option<Duration>,
    /// How many round trips have to be fast until the next ping waits for its heartbeat again.
    slow_pings: u8,
    usage: Usage,
    closing: Option<Closing>,
    now: Time,
}

impl Client {
    /// A client that waits for [`Input::Start`].
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        config.buffer = config.buffer.clamp(Duration::from_secs(1), Duration::from_secs(60));
        Client {
            backoff: Backoff::new(config.seed),
            transport: match config.transports {
                Transports::Only(transport) => transport,
                Transports::Both => Transport::WebSocket,
            },
            unopened: 0,
            config,
            phase: Phase::Idle { told_full: false },
            pending: VecDeque::with_capacity(8),
            session: None,
            conversation_id: None,
            was_connected: false,
            offline: false,
            wants_token: false,
            question: Question::None,
            uplink: ReplayBuffer::new(Mark::default()),
            base: Mark::default(),
            acknowledged: Mark::default(),
            usual: live::REAL_TIME,
            told_gaps: ToldGaps::default(),
            muted: false,
            listened: false,
            playback_held: false,
            barge_in: None,
            refilled: Time::ZERO,
            expected: 0,
            played: 0,
            received_end: 0,
            plays_through: 0,
            earlier: 0..0,
            is_mid_reply: false,
            ping_id: 0,
            round_trip: None,
            slow_pings: 0,
            usage: Usage::default(),
            closing: None,
            now: Time::ZERO,
        }
    }

    /// How much of what the user said the relay is not known to have, in samples.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.uplink.end().position.saturating_sub(self.acknowledged.position)
    }

    /// What the next connection goes over.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// One thing happened. Drain [`Client::poll_output`] afterwards, then arm one timer for [`Client::poll_timeout`].
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        self.now = self.now.max(now);
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match input {
            Input::Start => self.start(),
            Input::Token(token) => self.handle_token(token),
            Input::NoToken => self.handle_no_token(),
            Input::Opened => self.handle_opened(),
            Input::Text(text) => self.handle_text(text),
            Input::Binary(frame) => self.handle_binary(frame),
            Input::Closed { code } => self.handle_closed(code),
            Input::Why(answer) => self.handle_why(answer),
            Input::Buffered(bytes) => self.handle_buffered(bytes),
            Input::Chunk(samples) => self.handle_chunk(samples),
            Input::Played(position) => self.handle_played(position),
            Input::Mute(muted) => self.muted = muted,
            Input::BargeIn => self.barge_in = Some(self.played),
            Input::Hold(held) => self.playback_held = held,
            Input::Online => self.handle_online(),
            Input::Offline => self.handle_offline(),
            Input::Woke => self.probe(),
            Input::Close { finish } => self.close(finish),
            Input::Timeout => {
                while let Some(due) = self.take_due() {
                    self.handle_due(due);
                }
            }
        }
        self.watch_acknowledgements();
    }

    /// The application says something among the audio: an input like any other, which can be refused. It is kept until it is committed, and
    /// told back by [`Event::Undelivered`] if the relay turns out not to take it.
    ///
    /// # Errors
    /// When it was not taken, and why.
    pub fn handle_message(&mut self, now: Time, message: &Upward) -> Result<(), NotTaken> {
        self.now = self.now.max(now);
        let taken = self.take_message(message);
        self.watch_acknowledgements();
        taken
    }

    /// The next thing to do; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(pending) = self.pending.pop_front() {
            return Some(match pending {
                Pending::RequestToken => Output::RequestToken,
                Pending::Connect => Output::Connect,
                Pending::AskWhy => Output::AskWhy,
                Pending::Disconnect(code) => Output::Disconnect { code },
                Pending::Message(message) => say(&message),
                Pending::Play { codec, position, payload } => Output::Play { codec, position, payload },
                Pending::EndOfReply => Output::EndOfReply,
                Pending::FlushPlayout => Output::FlushPlayout,
                Pending::HoldPlayout(held) => Output::HoldPlayout(held),
                Pending::Event(event) => Output::Event(event),
            });
        }
        self.poll_uplink()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let socket = self.is_held_back().then(|| self.now + SOCKET_POLL);
        let closing = self.closing.map(|closing| closing.stuck);
        self.phase.next_timeout().into_iter().chain(closing).chain(socket).min()
    }

    /// The connection as the application sees it.
    #[must_use]
    pub fn state(&self) -> State {
        let attempt = self.backoff.failures();
        match &self.phase {
            Phase::Idle { .. } => State::Idle,
            Phase::Closed => State::Closed,
            _ if self.closing.is_some() => State::Closing,
            Phase::Up(_) => State::Connected,
            Phase::Away(_) if !self.was_connected => State::Connecting,
            Phase::Away(Away { attempt: Attempt::Waiting(due), .. }) => {
                State::Reconnecting { attempt, retry_in: due.since(self.now) }
            }
            Phase::Away(_) => State::Reconnecting { attempt, retry_in: Duration::ZERO },
        }
    }

    /// Whether the relay of the connection decides what becomes of an answer that the page holds ([`Input::BargeIn`]). Not while there is none.
    #[must_use]
    pub fn takes_barge_in(&self) -> bool {
        self.up().is_some_and(|up| up.features.has("barge_in"))
    }

    /// The agent was heard up to here, which is a place of an earlier epoch until all was heard that came in that.
    fn handle_played(&mut self, position: u32) {
        if self.earlier.start < position && position <= self.earlier.end {
            self.earlier.start = position;
            return;
        }
        self.earlier = 0..0;
        if position <= self.received_end {
            self.played = self.played.max(position);
            self.schedule_ack();
        }
    }

    /// Whether everything said is in the stored transcript.
    fn is_committed(&self) -> bool {
        self.base.seq == self.uplink.end().seq
    }

    fn send(&mut self, message: impl Into<ClientMessage>) {
        self.pending.push_back(Pending::Message(message.into()));
    }

    fn tell(&mut self, event: Event) {
        self.pending.push_back(Pending::Event(event));
    }

    fn tell_state(&mut self) {
        self.tell(Event::State(self.state()));
    }

    fn up(&self) -> Option<&Up> {
        if let Phase::Up(up) = &self.phase { Some(up) } else { None }
    }

    fn up_mut(&mut self) -> Option<&mut Up> {
        if let Phase::Up(up) = &mut self.phase { Some(up) } else { None }
    }

    /// Takes what is due first, of the call and of its connection.
    fn take_due(&mut self) -> Option<Due> {
        let closing = self.closing.map(|closing| closing.stuck).filter(|stuck| *stuck <= self.now);
        if closing.is_some_and(|stuck| self.phase.next_timeout().is_none_or(|next| stuck < next)) {
            return Some(Due::Closing);
        }
        self.phase.take_due(self.now)
    }
}

fn say(message: &ClientMessage) -> Output {
    Output::Text(message.to_json())
}
