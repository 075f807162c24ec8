//! The client's machine, whatever an application, a network and a relay do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use protocol::client::{Answer, Client, Config, Event, Input, Output, State};
use protocol::{
    AgentState, AgentStateMessage, AudioHeader, ClientMessage, CloseCode, Codec, Ended, ErrorCode,
    ErrorMessage, Features, Flush, Limits, Mark, Move, Numbered, Pong, Prices, RelayAck, RelayMessage,
    ReplyEnd, Resend, ResumeFailed, Resumed, Time, TokenExpiring, Upward, Usage, Welcome,
};

/// The least that a client keeps, in samples.
const KEPT: u32 = 16_000;
/// Outputs of one input that are no frames.
const NEWS: usize = 40;

/// Something that happens.
#[derive(Clone, Debug)]
enum Act {
    Start,
    Token(bool),
    NoToken,
    Opened,
    Closed(u16),
    Why(Option<u16>),
    Buffered(usize),
    Chunk(u16),
    Text(usize),
    Played(u32),
    Mute(bool),
    BargeIn,
    Hold(bool),
    Network(u8),
    Close(bool),
    /// Time passes; what is due happens at its time, or all of it at the end.
    Wait(u64, bool),
    Welcome(u32, bool),
    Resumed {
        epoch: u32,
        received: u32,
        committed: u32,
    },
    ResumeFailed,
    Ack {
        received: u32,
        committed: u32,
    },
    Resend(u32),
    Pong(u32),
    /// A numbered frame: the one before the one that is expected, that one, or the one after it.
    Audio(u32),
    Agent(u32),
    ReplyEnd(u32),
    Flush(u32),
    Other(u8),
    Word(String),
    Bytes(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    let code = select(vec![1000_u16, 1001, 1006, 4400, 4401, 4402, 4408, 4429, 4999]);
    prop_oneof![
        8 => Just(Act::Start),
        8 => any::<bool>().prop_map(Act::Token),
        1 => Just(Act::NoToken),
        10 => Just(Act::Opened),
        3 => code.prop_map(Act::Closed),
        1 => proptest::option::of(select(vec![0_u16, 200, 302, 403, 404, 426, 503])).prop_map(Act::Why),
        4 => select(vec![0_usize, 20_000, 70_000, 200_000]).prop_map(Act::Buffered),
        20 => (0_u16..3_200).prop_map(Act::Chunk),
        4 => (0_usize..4_100).prop_map(Act::Text),
        2 => (0_u32..10_000).prop_map(Act::Played),
        2 => any::<bool>().prop_map(Act::Mute),
        1 => Just(Act::BargeIn),
        1 => any::<bool>().prop_map(Act::Hold),
        3 => (0_u8..3).prop_map(Act::Network),
        1 => any::<bool>().prop_map(Act::Close),
        12 => (0_u64..40_000, any::<bool>()).prop_map(|(millis, at_once)| Act::Wait(millis, at_once)),
        10 => (0_u32..3, any::<bool>()).prop_map(|(epoch, new)| Act::Welcome(epoch, new)),
        6 => (0_u32..3, 0_u32..40, 0_u32..40)
            .prop_map(|(epoch, received, committed)| Act::Resumed { epoch, received, committed }),
        1 => Just(Act::ResumeFailed),
        6 => (0_u32..40, 0_u32..40).prop_map(|(received, committed)| Act::Ack { received, committed }),
        1 => (0_u32..40).prop_map(Act::Resend),
        2 => (0_u32..10).prop_map(Act::Pong),
        8 => (0_u32..3).prop_map(Act::Audio),
        3 => (0_u32..3).prop_map(Act::Agent),
        1 => (0_u32..3).prop_map(Act::ReplyEnd),
        1 => (0_u32..3).prop_map(Act::Flush),
        2 => (0_u8..5).prop_map(Act::Other),
        1 => ".{0,40}".prop_map(Act::Word),
        1 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Act::Bytes),
    ]
}

/// A client, and what has to be true of it.
struct Watched {
    client: Client,
    now: Time,
    /// What was handed in: by its number, where it begins and how long it is; a text has no length.
    said: BTreeMap<u32, (u32, u32)>,
    end: Mark,
    /// The number of what is to be sent next, since the relay last said where to go on.
    next: Option<u32>,
    /// The next downlink frame that was not seen yet, in this epoch.
    heard: u32,
    epoch: Option<u32>,
    is_welcome: bool,
    undelivered: BTreeSet<u32>,
    /// What lies before this number a relay has stored, by its own word; one that wants it again is not to be helped.
    committed: u32,
    /// The relay of this connection was greeted, and has answered: only then is it listened to.
    has_greeted: bool,
    is_connected: bool,
    muted: bool,
    told_bye: bool,
    /// It hangs up.
    hangs_up: bool,
    /// And does not wait.
    hurries: bool,
    state: State,
    is_over: bool,
}

impl Watched {
    fn new() -> Watched {
        let config = Config { buffer: Duration::from_secs(1), seed: 3, ..Config::default() };
        Watched {
            client: Client::new(config),
            now: Time::from_millis(1),
            said: BTreeMap::new(),
            end: Mark::default(),
            next: None,
            heard: 0,
            epoch: None,
            is_welcome: false,
            undelivered: BTreeSet::new(),
            committed: 0,
            has_greeted: false,
            is_connected: false,
            muted: false,
            told_bye: false,
            hangs_up: false,
            hurries: false,
            state: State::Idle,
            is_over: false,
        }
    }

    fn mark(&self, seq: u32) -> Mark {
        let position = self.said.get(&seq).map_or(self.end.position, |(position, _)| *position);
        Mark { seq: seq.min(self.end.seq), position }
    }

    fn input(&mut self, input: Input<'_>) {
        let is_timeout = matches!(input, Input::Timeout);
        self.client.handle_input(self.now, input);
        self.drain();
        if is_timeout {
            let next = self.client.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a timer that never ends: {next:?} at {:?}",
                self.now
            );
        }
    }

    fn relay(&mut self, message: impl Into<RelayMessage>) {
        self.input(Input::Text(&message.into().to_json()));
    }

    fn disconnected(&mut self) {
        (self.told_bye, self.next) = (false, None);
        (self.has_greeted, self.is_connected) = (false, false);
    }

    /// The relay says what it has stored.
    fn commit(&mut self, committed: Mark, message: impl Into<RelayMessage>) {
        self.relay(message);
        if self.is_connected {
            self.committed = self.committed.max(committed.seq);
        }
    }

    fn drain(&mut self) {
        let most = NEWS + 2 * self.said.len();
        let mut begins = false;
        for count in 0.. {
            assert!(count < most, "more outputs than there can be");
            let Some(output) = self.client.poll_output() else { break };
            assert!(!self.is_over, "{output:?} after the end");
            match output {
                Output::Binary(frame) => {
                    let (header, payload) = AudioHeader::parse(&frame).expect("ours");
                    let samples = (payload.len() / 2) as u32;
                    self.sent(header.seq, header.seq + 1);
                    assert_eq!(self.said.get(&header.seq), Some(&(header.position, samples)));
                    assert!(
                        payload.chunks(2).all(|sample| sample[0] == header.seq as u8),
                        "what was said there"
                    );
                    assert!(self.end.position - header.position <= KEPT, "more is kept than may be");
                }
                Output::Text(text) => match ClientMessage::parse(&text).expect("ours") {
                    ClientMessage::Numbered(Numbered { mark, .. }) => {
                        assert_eq!(self.said.get(&mark.seq), Some(&(mark.position, 0)));
                        self.sent(mark.seq, mark.seq + 1);
                    }
                    ClientMessage::Gap(gap) => {
                        assert_eq!((gap.from, gap.to), (self.mark(gap.from.seq), self.mark(gap.to.seq)));
                        assert!(gap.from.seq < gap.to.seq);
                        self.sent(gap.from.seq, gap.to.seq);
                        let missing = self.said.range(gap.from.seq..gap.to.seq);
                        for (seq, (_, samples)) in missing {
                            assert!(
                                *samples > 0 || self.undelivered.contains(seq) || *seq < self.committed,
                                "a text is never missing"
                            );
                        }
                    }
                    ClientMessage::Bye(bye) => {
                        assert!(!std::mem::replace(&mut self.told_bye, true), "once on a connection");
                        // What was not sent was never said.
                        if self.hurries && bye.end < self.end.seq {
                            self.end = self.mark(bye.end);
                            self.said.split_off(&bye.end);
                        }
                        assert_eq!(bye.end, self.end.seq);
                    }
                    ClientMessage::Hello(hello) => {
                        self.has_greeted = true;
                        assert_eq!(hello.start, self.mark(hello.start.seq));
                    }
                    _ => {}
                },
                Output::Play { position, payload, .. } => {
                    assert!(!self.hangs_up, "whoever has hung up hears nothing more");
                    assert_eq!(payload, position.to_le_bytes(), "as it was sent");
                    assert_eq!(position, self.heard, "in order and once");
                    self.heard += 1;
                }
                Output::Event(Event::Session(info)) => {
                    let is_another = self.epoch.replace(info.epoch) != Some(info.epoch);
                    begins = is_another || self.is_welcome;
                    self.heard = if begins { 0 } else { self.heard };
                }
                // What is left of the epoch before ends with it, without a word of the relay.
                Output::EndOfReply if begins => {}
                Output::Event(Event::Agent(_)) | Output::EndOfReply | Output::FlushPlayout => self.heard += 1,
                Output::Event(Event::Undelivered(Upward::Text { text })) => {
                    let number = text.split(' ').next().and_then(|number| number.parse().ok());
                    assert!(self.undelivered.insert(number.expect("ours")), "told once");
                }
                Output::Disconnect { .. } => self.disconnected(),
                Output::Event(Event::State(state)) => self.state = state,
                Output::Event(Event::Ended { .. }) => self.is_over = true,
                _ => {}
            }
        }
        assert_eq!(discriminant(&self.state), discriminant(&self.client.state()), "the application is told");
    }

    /// Something that stands for these numbers was sent.
    fn sent(&mut self, from: u32, to: u32) {
        assert!(
            self.next.is_none_or(|next| next == from),
            "in order, and each of them once: {from} for {:?}",
            self.next
        );
        self.next = Some(to);
    }

    fn wait(&mut self, millis: u64, at_once: bool) {
        let end = self.now + Duration::from_millis(millis);
        for count in 0.. {
            let Some(due) = self.client.poll_timeout().filter(|due| *due <= end && !at_once) else { break };
            assert!(count < 10_000, "timers without end");
            self.now = self.now.max(due);
            self.input(Input::Buffered(0));
            self.input(Input::Timeout);
        }
        self.now = end;
        self.input(Input::Timeout);
    }

    fn act(&mut self, act: Act) {
        let heard = self.heard;
        match act {
            Act::Start => self.input(Input::Start),
            Act::Token(is_there) => self.input(Input::Token(if is_there { Ok("jwt") } else { Err("away") })),
            Act::NoToken => self.input(Input::NoToken),
            Act::Opened => self.input(Input::Opened),
            Act::Closed(code) => {
                self.disconnected();
                self.input(Input::Closed { code });
            }
            Act::Why(status) => self.input(Input::Why(status.map(|status| Answer { status, body: "{}" }))),
            Act::Buffered(bytes) => self.input(Input::Buffered(bytes)),
            Act::Chunk(samples) => self.say(samples),
            Act::Text(length) => {
                let text = Upward::Text { text: format!("{} {}", self.end.seq, "x".repeat(length)) };
                if self.client.handle_message(self.now, &text).is_ok() {
                    self.said.insert(self.end.seq, (self.end.position, 0));
                    self.end.seq += 1;
                }
                self.drain();
            }
            Act::Played(position) => self.input(Input::Played(position)),
            Act::Mute(muted) => {
                self.muted = muted;
                self.input(Input::Mute(muted));
            }
            Act::BargeIn => self.input(Input::BargeIn),
            Act::Hold(held) => self.input(Input::Hold(held)),
            Act::Network(0) => self.input(Input::Offline),
            Act::Network(1) => self.input(Input::Online),
            Act::Network(_) => self.input(Input::Woke),
            Act::Close(finish) => {
                self.hangs_up = true;
                self.hurries |= !finish;
                self.input(Input::Close { finish });
            }
            Act::Wait(millis, at_once) => self.wait(millis, at_once),
            Act::Welcome(epoch, has_features) => {
                let features = if has_features { Features::RELAY.into() } else { Features::default() };
                self.is_welcome = true;
                self.is_connected |= self.has_greeted;
                self.relay(Welcome { epoch, features, ..welcome() });
                self.is_welcome = false;
            }
            Act::Resumed { epoch, received, committed } => {
                let (received, committed) = (self.mark(received), self.mark(committed.min(received)));
                let resumed = Resumed {
                    session_id: "new".into(),
                    epoch,
                    resume_token: "r".into(),
                    received,
                    committed,
                    features: Features::RELAY.into(),
                };
                self.is_connected |= self.has_greeted;
                self.commit(committed, resumed);
            }
            Act::ResumeFailed => self.relay(ResumeFailed { reason: "unknown".into(), epoch: 1 }),
            Act::Ack { received, committed } => {
                let (received, committed) = (self.mark(received), self.mark(committed.min(received)));
                self.commit(committed, RelayAck { received, committed });
            }
            Act::Resend(from) => {
                self.next = None;
                self.relay(Resend { from: self.mark(from) });
            }
            Act::Pong(id) => self.relay(Pong { id }),
            Act::Audio(after) => {
                // The position stands for the number.
                let (seq, mut frame) = ((heard + after).saturating_sub(1), Vec::new());
                AudioHeader::write(Codec::PcmS16le24000, seq, seq, &mut frame);
                frame.extend_from_slice(&seq.to_le_bytes());
                self.input(Input::Binary(&frame));
            }
            Act::Agent(after) => {
                self.relay(AgentStateMessage {
                    seq: (heard + after).saturating_sub(1),
                    state: AgentState::Speaking,
                });
            }
            Act::ReplyEnd(after) => self.relay(ReplyEnd { seq: (heard + after).saturating_sub(1) }),
            Act::Flush(after) => self.relay(Flush { seq: (heard + after).saturating_sub(1) }),
            Act::Other(0) => self.relay(TokenExpiring { in_ms: 1_000 }),
            Act::Other(1) => self.relay(Move { within_ms: 1_000 }),
            Act::Other(2) => self.relay(Usage::default()),
            Act::Other(3) => {
                self.relay(Ended { reason: CloseCode::Normal.name().into(), usage: Usage::default() });
            }
            Act::Other(_) => {
                let retry_after_ms = Some(u64::from(self.end.seq) * 100);
                self.relay(ErrorMessage { retry_after_ms, ..ErrorCode::Unauthorized.into() });
            }
            Act::Word(text) => self.input(Input::Text(&text)),
            Act::Bytes(bytes) => self.input(Input::Binary(&bytes)),
        }
    }

    /// A chunk whose samples say which number it would have.
    fn say(&mut self, samples: u16) {
        let value = i16::from_le_bytes([self.end.seq as u8, 0]);
        let samples = u32::from(samples);
        if samples > 0 && !self.muted && !self.told_bye && !self.hurries && !self.is_over {
            self.said.insert(self.end.seq, (self.end.position, samples));
            self.end = Mark { seq: self.end.seq + 1, position: self.end.position + samples };
        }
        self.input(Input::Chunk(&vec![value; samples as usize]));
    }
}

fn welcome() -> Welcome {
    Welcome {
        conversation_id: "conversation".into(),
        session_id: "s1".into(),
        epoch: 0,
        resume_token: "r1".into(),
        resume_window_ms: 120_000,
        heartbeat_ms: 15_000,
        agent_codec: Codec::PcmS16le24000.name().into(),
        recording: false,
        limits: Limits::default(),
        prices: Prices::default(),
        agent: None,
        features: Features::default(),
    }
}

proptest! {
    #![proptest_config(super::config(120, "proptest-regressions/client.txt"))]

    #[test]
    fn whatever_happens_to_a_client_it_keeps_order_place_bounds_and_time(
        acts in proptest::collection::vec(act(), 1..120),
    ) {
        let mut watched = Watched::new();
        for act in acts {
            watched.act(act);
        }
    }

    #[test]
    fn a_call_that_is_up_keeps_order_place_bounds_and_time(
        acts in proptest::collection::vec(act(), 1..120),
    ) {
        let mut watched = Watched::new();
        for act in [Act::Start, Act::Token(true), Act::Opened, Act::Welcome(0, true)].into_iter().chain(acts) {
            watched.act(act);
        }
        prop_assert_ne!(watched.state, State::Idle);
    }
}
