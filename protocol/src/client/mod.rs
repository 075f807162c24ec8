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
mod receive;
mod uplink;
mod why;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use gaps::ToldGaps;
use why::{Outage, Question};

pub use io::*;

use crate::replay::ReplayBuffer;
use crate::time::Timers;
use crate::{ClientAck, ClientMessage, CloseCode, Codec, Features, Mark, Time, Upward, Usage};

/// How often to look whether a full socket has room again.
const SOCKET_POLL: Duration = Duration::from_millis(50);
/// Acknowledgements of the downlink are gathered for this long.
const ACK_DELAY: Duration = Duration::from_millis(200);
/// Samples of the uplink are 16 kHz.
const UPLINK: Codec = Codec::PcmS16le16000;

/// Names of the timers.
#[derive(Clone, Copy)]
enum Timer {
    /// The application's token function takes too long.
    Token,
    /// Socket or greeting takes too long.
    Open,
    /// The next attempt to connect.
    Retry,
    /// The next `ping`.
    Heartbeat,
    /// The relay was silent for too long.
    Dead,
    /// Sent audio was not acknowledged for long.
    Unacknowledged,
    /// It was not for too long, whatever the relay said meanwhile.
    Stalled,
    /// How much audio has got through is looked at.
    Pace,
    /// The next `ack`.
    Ack,
    /// The connection has held long enough to forget earlier failures.
    Stable,
    /// The relay could not be reached for too long.
    GiveUp,
    /// Hanging up makes no progress.
    Closing,
    /// The relay heard of the microphone a moment ago.
    Mute,
    /// A relay takes the next message.
    Turn,
    /// The relay is about to go.
    Move,
}

const TIMERS: [Timer; 15] = [
    Timer::Token,
    Timer::Open,
    Timer::Retry,
    Timer::Heartbeat,
    Timer::Dead,
    Timer::Unacknowledged,
    Timer::Stalled,
    Timer::Pace,
    Timer::Ack,
    Timer::Stable,
    Timer::GiveUp,
    Timer::Closing,
    Timer::Mute,
    Timer::Turn,
    Timer::Move,
];

/// Where the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// Waiting for the application's token.
    Token,
    /// Waiting for the socket.
    Opening,
    /// `hello` is sent.
    Greeting,
    /// The relay has answered.
    Up,
    /// Waiting for the next attempt.
    Waiting,
    Closed,
}

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
    Event(Event),
}

/// What belongs to one connection. It is replaced whole by the next, so that nothing of it can outlive it.
#[derive(Debug, Default)]
struct Connection {
    /// When it was begun.
    began: Time,
    /// Bytes the socket holds back.
    socket_bytes: usize,
    /// What the socket itself last said of that.
    told_socket_bytes: usize,
    /// Chunks wait in our own buffer.
    held_back: bool,
    /// What the relay speaks.
    features: Features,
    /// What the relay believes of the microphone; unmuted at first.
    told_muted: bool,
    /// What it believes of the agent's sound; not held at first.
    told_held: bool,
    /// What it was told of an interruption.
    told_barge_in: Option<u32>,
    told_bye: bool,
    /// The `ping` that was not answered yet, and when it was sent.
    ping: Option<(u32, Time)>,
    /// When it was last probed, answered or not.
    probed: Option<Time>,
    /// Why the session is over, if the relay said `ended`.
    ended: Option<CloseCode>,
}

/// The client's end of the link.
#[derive(Debug)]
pub struct Client {
    config: Config,
    phase: Phase,
    timers: Timers<{ TIMERS.len() }>,
    pending: VecDeque<Pending>,
    backoff: Backoff,
    /// Set while the application's token travels from `Token` to `hello`.
    token: Option<String>,
    /// Set by the first `welcome`, so that a later connection resumes.
    session: Option<Session>,
    /// The conversation that a session began or went on with.
    conversation_id: Option<String>,
    /// Whether the last state told was a connected one: a loss is then a reconnection.
    was_connected: bool,
    /// The network is away, as far as is known: then it is no news that no token can be had.
    offline: bool,
    /// When a token was last refused (4401).
    refused: Option<Time>,
    /// The application was asked for a token and has not answered.
    wants_token: bool,
    /// Whether it is being asked why no socket could be opened.
    question: Question,
    outage: Outage,
    connection: Connection,

    uplink: ReplayBuffer<Arc<[u8]>>,
    /// The first frame that is not committed: where a new session would begin.
    base: Mark,
    /// The next frame the relay expects, as it last said.
    acknowledged: Mark,
    /// Where `acknowledged` was when the pace was last looked at.
    paced: u32,
    /// Samples that a line is expected to carry between two looks.
    usual: u32,
    told_gaps: ToldGaps,
    muted: bool,
    /// The page holds the agent's sound back.
    playback_held: bool,
    /// The user speaks while the agent does, who was heard up to here: until the agent is silent.
    barge_in: Option<u32>,
    /// The relay's bucket of messages is taken to be full again at this time.
    refilled: Time,

    /// The next downlink frame.
    expected: u32,
    /// What was last acknowledged, and what is to be.
    told_ack: ClientAck,
    played: u32,
    /// Where the agent's audio that came in this epoch ends: what is played beyond it belongs to an earlier one.
    received_end: u32,

    ping_id: u32,
    round_trip: Option<Duration>,
    usage: Usage,
    /// The user hung up.
    closing: bool,
    /// When hanging up ends, progress or not.
    closing_ends: Time,
    now: Time,
}

impl Client {
    /// A client that waits for [`Input::Start`].
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        config.buffer = config.buffer.clamp(Duration::from_secs(1), Duration::from_secs(60));
        Client {
            backoff: Backoff::new(config.seed),
            config,
            phase: Phase::Idle,
            timers: Timers::new(),
            pending: VecDeque::with_capacity(8),
            token: None,
            session: None,
            conversation_id: None,
            was_connected: false,
            offline: false,
            refused: None,
            wants_token: false,
            question: Question::None,
            outage: Outage::default(),
            connection: Connection::default(),
            uplink: ReplayBuffer::new(Mark::default()),
            base: Mark::default(),
            acknowledged: Mark::default(),
            paced: 0,
            usual: connect::REAL_TIME,
            told_gaps: ToldGaps::default(),
            muted: false,
            playback_held: false,
            barge_in: None,
            refilled: Time::ZERO,
            expected: 0,
            told_ack: ClientAck { received: 0, played: 0 },
            played: 0,
            received_end: 0,
            ping_id: 0,
            round_trip: None,
            usage: Usage::default(),
            closing: false,
            closing_ends: Time::ZERO,
            now: Time::ZERO,
        }
    }

    /// One thing happened. Drain [`Client::poll_output`] afterwards, then arm one timer for [`Client::poll_timeout`].
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        self.now = self.now.max(now);
        if self.phase == Phase::Closed {
            return;
        }
        match input {
            Input::Start => self.start(),
            Input::Token(token) => self.handle_token(token),
            Input::Opened => self.handle_opened(),
            Input::Text(text) => self.handle_text(text),
            Input::Binary(frame) => self.handle_binary(frame),
            Input::Closed { code } => self.handle_closed(code),
            Input::Why(answer) => self.handle_why(answer),
            Input::Buffered(bytes) => self.handle_buffered(bytes),
            Input::Chunk(samples) => self.handle_chunk(samples),
            Input::Played(position) => {
                if position <= self.received_end {
                    self.played = self.played.max(position);
                    self.schedule_ack();
                }
            }
            Input::Mute(muted) => self.muted = muted,
            Input::BargeIn => self.barge_in = Some(self.played),
            Input::Hold(held) => self.playback_held = held,
            Input::Online => self.handle_online(),
            Input::Offline => self.handle_offline(),
            Input::Woke => self.probe(),
            Input::Close => self.close(),
            Input::Timeout => {
                while let Some(timer) = self.timers.expire(self.now) {
                    self.handle_timer(TIMERS[timer]);
                }
            }
        }
        if self.phase == Phase::Up {
            self.watch_acknowledgements();
        }
    }

    /// The application says something among the audio: an input like any other, which can be refused. It is kept until it is committed, and
    /// told back by [`Event::Undelivered`] if the relay turns out not to take it.
    ///
    /// # Errors
    /// When it was not taken, and why.
    pub fn handle_message(&mut self, now: Time, message: &Upward) -> Result<(), NotTaken> {
        self.now = self.now.max(now);
        let taken = self.take_message(message);
        if self.phase == Phase::Up {
            self.watch_acknowledgements();
        }
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
                Pending::Event(event) => Output::Event(event),
            });
        }
        if self.phase == Phase::Up { self.poll_uplink() } else { None }
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let socket = self.is_held_back().then(|| self.now + SOCKET_POLL);
        self.timers.next_timeout().into_iter().chain(socket).min()
    }

    /// The connection as the application sees it.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Idle => State::Idle,
            Phase::Closed => State::Closed,
            _ if self.closing => State::Closing,
            Phase::Up => State::Connected,
            _ if !self.was_connected => State::Connecting,
            Phase::Waiting => State::Reconnecting {
                attempt: self.backoff.failures(),
                retry_in: self.backoff.due().since(self.now),
            },
            _ => State::Reconnecting { attempt: self.backoff.failures(), retry_in: Duration::ZERO },
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

    fn set(&mut self, timer: Timer, span: Duration) {
        self.timers.set(timer as usize, self.now + span);
    }

    fn schedule_ack(&mut self) {
        let ack = ClientAck { received: self.expected, played: self.played };
        if self.phase == Phase::Up && ack != self.told_ack && !self.timers.is_set(Timer::Ack as usize) {
            self.set(Timer::Ack, ACK_DELAY);
        }
    }

    fn send_ack(&mut self) {
        self.timers.stop(Timer::Ack as usize);
        self.told_ack = ClientAck { received: self.expected, played: self.played };
        self.send(self.told_ack);
    }
}

fn say(message: &ClientMessage) -> Output {
    Output::Text(message.to_json())
}
