//! The relay's machine, whatever a client, a network and a session do to it.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use protocol::relay::{Attachment, Config, Elsewhere, Input, Link, Output, Saying};
use protocol::{
    AgentState, AudioHeader, BargeIn, Bye, ClientAck, ClientMessage, CloseCode, Codec, ErrorCode, Features,
    Gap, Hello, Limits, Mark, Mute, Numbered, Ping, Playback, Prices, RelayAck, RelayMessage, Resume, Time,
    Token, Upward, Usage,
};

/// Refused frames that a session survives.
const STRIKES: usize = 10;
/// Outputs of one input that are no frames.
const NEWS: usize = 20;

/// Something that happens.
#[derive(Clone, Debug)]
enum Act {
    /// How the connection comes, and what its client has; the epoch may be another one.
    Attach {
        resumes: bool,
        received: u32,
        epoch: u32,
        counts: bool,
    },
    Closed,
    Control,
    Audio {
        codec: u8,
        ahead: u32,
        shift: i32,
        bytes: usize,
        count: u16,
    },
    Message {
        ahead: u32,
        shift: i32,
        length: usize,
    },
    Gap {
        from: u32,
        to: u32,
        shift: u32,
        is_wild: bool,
    },
    Ack {
        received: u32,
    },
    Bye(u32),
    Other(u8),
    Word(String),
    Bytes(Vec<u8>),
    Commit(u32),
    Speak(usize),
    Say(u8),
    Tell(u8),
    CarryOver(u64),
    End,
    /// Time passes; what is due happens at its time, or all of it at the end.
    Wait(u64, bool),
}

fn act() -> impl Strategy<Value = Act> {
    let ahead = || prop_oneof![12 => Just(0_u32), 1 => Just(1), 1 => Just(20_000), 1 => Just(u32::MAX)];
    let shift = || prop_oneof![12 => Just(0_i32), 1 => -2..3, 1 => Just(1_000_000)];
    let bytes = prop_oneof![10 => (50_usize..2_000).prop_map(|half| half * 2), 1 => 0_usize..300];
    let count = prop_oneof![8 => Just(0_u16), 1 => any::<u16>()];
    prop_oneof![
        4 => (any::<bool>(), 0_u32..20, 0_u32..2, any::<bool>())
            .prop_map(|(resumes, received, epoch, counts)| Act::Attach { resumes, received, epoch, counts }),
        1 => Just(Act::Closed),
        2 => Just(Act::Control),
        24 => (select(vec![1_u8, 1, 1, 1, 1, 1, 1, 1, 2, 9]), ahead(), shift(), bytes, count)
            .prop_map(|(codec, ahead, shift, bytes, count)| Act::Audio { codec, ahead, shift, bytes, count }),
        5 => (ahead(), shift(), select(vec![1_usize, 10, 4_001]))
            .prop_map(|(ahead, shift, length)| Act::Message { ahead, shift, length }),
        4 => (0_u32..3, 0_u32..9, 0_u32..10_000, proptest::bool::weighted(0.1))
            .prop_map(|(from, to, shift, is_wild)| Act::Gap { from, to, shift, is_wild }),
        5 => (0_u32..20).prop_map(|received| Act::Ack { received }),
        1 => (0_u32..3).prop_map(Act::Bye),
        4 => (0_u8..5).prop_map(Act::Other),
        1 => ".{0,40}".prop_map(Act::Word),
        1 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Act::Bytes),
        6 => (0_u32..20).prop_map(Act::Commit),
        8 => (0_usize..2_000).prop_map(Act::Speak),
        4 => (0_u8..4).prop_map(Act::Say),
        3 => (0_u8..6).prop_map(Act::Tell),
        1 => (0_u64..4_000_000).prop_map(Act::CarryOver),
        1 => Just(Act::End),
        10 => (0_u64..20_000, any::<bool>()).prop_map(|(millis, at_once)| Act::Wait(millis, at_once)),
    ]
}

/// A session's link, and what has to be true of it.
struct Watched {
    link: Link,
    now: Time,
    /// Where what was handed to the session ends, and what of it the client was told.
    heard: Mark,
    /// The number that the link waits for: beyond what was handed over, there may be frames that it has left out.
    expected: u32,
    acked: RelayAck,
    /// Ends of what was handed to the session: where a commit may be.
    ends: Vec<Mark>,
    committed: Mark,
    /// Frames that were made for the client.
    said: u32,
    /// The next frame that this connection has to carry, and where the agent's audio is there.
    next: Option<u32>,
    /// The first frame that the client has not confirmed.
    kept: u32,
    spoken: Vec<u32>,
    tokens: u32,
    refused: usize,
    is_over: bool,
}

impl Watched {
    fn new() -> Watched {
        let (now, start) = (Time::from_millis(5), Mark::default());
        Watched {
            link: Link::new(now, config(), start),
            now,
            heard: start,
            expected: 0,
            acked: RelayAck { received: start, committed: start },
            ends: vec![start],
            committed: start,
            said: 0,
            next: None,
            kept: 0,
            spoken: vec![0],
            tokens: 0,
            refused: 0,
            is_over: false,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let is_timeout = matches!(input, Input::Timeout);
        self.link.handle_input(self.now, input);
        self.drain();
        if is_timeout {
            let next = self.link.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a timer that never ends: {next:?} at {:?}",
                self.now
            );
        }
    }

    fn client(&mut self, message: impl Into<ClientMessage>) {
        self.input(Input::Text(&message.into().to_json()));
    }

    fn drain(&mut self) {
        let most = NEWS + self.said as usize;
        for count in 0.. {
            assert!(count < most, "more outputs than there can be");
            let Some(output) = self.link.poll_output() else { break };
            assert!(!self.is_over, "{output:?} after the end");
            match output {
                Output::Binary(frame) => {
                    let (header, payload) = AudioHeader::parse(&frame).expect("ours");
                    self.carried(header.seq);
                    assert_eq!(header.position, self.spoken[header.seq as usize], "where it was said");
                    let end = self.spoken[header.seq as usize + 1];
                    assert_eq!(payload.len(), (end - header.position) as usize * 2);
                    assert!(payload.iter().all(|byte| *byte == header.seq as u8), "what was said there");
                }
                Output::Text(text) => match RelayMessage::parse(&text).expect("ours") {
                    RelayMessage::AgentStateMessage(agent) => self.carried(agent.seq),
                    RelayMessage::Flush(flush) => self.carried(flush.seq),
                    RelayMessage::Hold(hold) => self.carried(hold.seq),
                    RelayMessage::ReplyEnd(end) => self.carried(end.seq),
                    RelayMessage::RelayAck(ack) => self.acknowledged(ack),
                    RelayMessage::Resumed(resumed) => {
                        let (received, committed) = (resumed.received, resumed.committed);
                        self.acknowledged(RelayAck { received, committed });
                        self.next.get_or_insert(self.kept);
                    }
                    RelayMessage::Welcome(_) => self.next = Some(self.kept),
                    RelayMessage::ErrorMessage(error) => {
                        self.refused += 1;
                        if error.code == "text_too_long" {
                            // It has a number, and is told to nobody.
                            self.hear(Mark { seq: self.heard.seq + 1, ..self.heard });
                        }
                    }
                    _ => {}
                },
                Output::Audio { mark, payload } => {
                    assert_eq!(mark, self.heard, "in order, once, and where it was said");
                    assert!(payload.len() % 2 == 0 && payload.len() >= 100);
                    assert!(payload.iter().all(|byte| *byte == mark.seq as u8), "what was said there");
                    self.hear(Mark {
                        seq: mark.seq + 1,
                        position: mark.position + (payload.len() / 2) as u32,
                    });
                }
                Output::Message { mark, message } => {
                    assert_eq!(mark, self.heard, "in order, once, and where it was said");
                    assert!(message.check_length().is_ok());
                    self.hear(Mark { seq: mark.seq + 1, ..mark });
                }
                Output::Gap(gap) => {
                    assert_eq!(gap.from.position, self.heard.position);
                    assert!(gap.from.seq >= self.heard.seq && gap.to.seq >= gap.from.seq);
                    assert!(gap.to.position >= gap.from.position, "time does not go back");
                    self.hear(gap.to);
                }
                Output::Ended(_) => self.is_over = true,
                Output::Detached => self.next = None,
                _ => {}
            }
        }
        assert!(!self.link.is_over() || self.link.poll_timeout().is_none());
        assert!(self.refused <= STRIKES + 200, "errors without end");
        assert!(!self.link.has_room() || self.link.is_attached());
    }

    fn hear(&mut self, end: Mark) {
        self.heard = end;
        self.expected = end.seq;
        self.ends.push(end);
    }

    /// A numbered frame goes to the client.
    fn carried(&mut self, seq: u32) {
        assert_eq!(Some(seq), self.next, "in order, and each of them");
        self.next = Some(seq + 1);
    }

    fn acknowledged(&mut self, ack: RelayAck) {
        assert!(
            ack.received.seq >= self.acked.received.seq
                && ack.received.position >= self.acked.received.position
        );
        assert!(ack.committed.seq >= self.acked.committed.seq && ack.committed.seq <= self.committed.seq);
        assert!(ack.committed.seq <= ack.received.seq);
        self.acked = ack;
    }

    fn wait(&mut self, millis: u64, at_once: bool) {
        let end = self.now + Duration::from_millis(millis);
        for count in 0.. {
            let Some(due) = self.link.poll_timeout().filter(|due| *due <= end && !at_once) else { break };
            assert!(count < 1_000, "timers without end");
            self.now = self.now.max(due);
            self.input(Input::Timeout);
        }
        self.now = end;
        self.input(Input::Timeout);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Attach { resumes, received, epoch, counts } => self.attach(resumes, received, epoch, counts),
            Act::Closed => self.input(Input::Closed),
            Act::Control => self.input(Input::Control),
            Act::Audio { codec, ahead, shift, bytes, count } => {
                let (seq, position) = self.place(ahead, shift);
                let mut frame = Vec::new();
                AudioHeader::write(Codec::PcmS16le16000, seq, position, &mut frame);
                frame[1] = codec;
                AudioHeader::set_samples(&mut frame, count.into());
                frame.resize(frame.len() + bytes, seq as u8);
                let before = (self.refused, self.heard);
                self.input(Input::Binary(frame.into()));
                let was_left_out = self.refused > before.0 && self.heard == before.1 && seq == self.expected;
                self.expected =
                    self.expected.saturating_add(u32::from(was_left_out && self.link.is_attached()));
            }
            Act::Message { ahead, shift, length } => {
                let (seq, position) = self.place(ahead, shift);
                let message = Upward::Text { text: "x".repeat(length) };
                self.client(Numbered { mark: Mark { seq, position }, message });
            }
            Act::Gap { from, to, shift, is_wild } => {
                let (seq, position) = self.place(0, 0);
                let from = Mark { seq: seq.saturating_sub(from), position };
                let to = Mark { seq: seq.saturating_add(to), position: position.saturating_add(shift) };
                let wild = Mark { seq: u32::MAX, position: u32::MAX };
                self.client(Gap { from, to: if is_wild { wild } else { to } });
            }
            Act::Ack { received } => {
                let received = self.kept + received;
                if self.next.is_some_and(|next| received <= next) {
                    self.kept = received;
                }
                self.client(ClientAck { received, played: received });
            }
            Act::Bye(ahead) => self.client(Bye { end: self.place(ahead, 0).0 }),
            Act::Other(0) => self.client(Ping { id: 1, rtt_us: 5 }),
            Act::Other(1) => self.client(Mute { muted: true }),
            Act::Other(2) => self.client(BargeIn { played: 4 }),
            Act::Other(3) => self.client(Playback { held: true }),
            Act::Other(_) => self.client(Token { token: "jwt".into() }),
            Act::Word(text) => self.input(Input::Text(&text)),
            Act::Bytes(bytes) => self.input(Input::Binary(bytes.into())),
            Act::Commit(back) => {
                let index = self.ends.len().saturating_sub(1 + back as usize);
                if let Some(mark) = self.ends.get(index).copied() {
                    self.committed = if mark.seq > self.committed.seq { mark } else { self.committed };
                    self.input(Input::Commit(mark));
                }
            }
            Act::Speak(samples) => {
                let value = i16::from_le_bytes([self.said as u8; 2]);
                self.speak(samples as u32);
                self.input(Input::Audio(&vec![value; samples]));
            }
            Act::Say(what) => {
                let saying = match what {
                    0 => Saying::Agent(AgentState::Speaking),
                    1 => Saying::Flush,
                    2 => Saying::Hold(true),
                    _ => Saying::ReplyEnd,
                };
                self.speak(0);
                self.input(Input::Say(&saying));
            }
            Act::Tell(0) => self.input(Input::Usage(Usage::default())),
            Act::Tell(1) => self.input(Input::TokenAccepted { expires_in: Duration::from_secs(60) }),
            Act::Tell(2) => self.input(Input::TokenExpiring { left: Duration::from_secs(60) }),
            Act::Tell(3) => self.input(Input::TokenRefused { left: Duration::from_secs(60) }),
            Act::Tell(4) => self.input(Input::Move { within: Duration::from_secs(5) }),
            Act::Tell(_) => {
                self.refused = 0;
                self.input(Input::Error(&ErrorCode::LinkLost.into()));
            }
            Act::CarryOver(age) => {
                let age = Duration::from_millis(age);
                let elsewhere =
                    Elsewhere { age, quiet: age / 2, heard: 1_000, again: 100, resumes: 3, strikes: 2 };
                self.link.carry_over(&elsewhere);
            }
            Act::End => self.input(Input::End { code: CloseCode::Normal, usage: Usage::default() }),
            Act::Wait(millis, at_once) => self.wait(millis, at_once),
        }
    }

    /// The next frame's place, or one that is wrong: the most that can be added is the frame before.
    fn place(&self, ahead: u32, shift: i32) -> (u32, u32) {
        (self.expected.wrapping_add(ahead), self.heard.position.saturating_add_signed(shift))
    }

    /// A connection that lives is told in the end what has come and what is committed.
    fn end(&mut self) {
        self.wait(1_000, false);
        if self.link.is_attached() && !self.is_over {
            assert!(self.acked.received.seq >= self.heard.seq);
            assert_eq!(self.acked.committed, self.committed);
            assert_eq!(self.next, Some(self.said), "everything was said");
        }
    }

    /// The session makes one more frame for the client.
    fn speak(&mut self, samples: u32) {
        let position = self.spoken[self.said as usize];
        self.said += 1;
        self.spoken.push(position + samples);
    }

    fn attach(&mut self, resumes: bool, received: u32, epoch: u32, counts: bool) {
        if self.is_over || !resumes && self.tokens > 0 {
            return;
        }
        let has = self.next.unwrap_or(self.said).min(self.kept + received);
        let received = has.max(self.kept).min(self.said);
        let resume = resumes.then(|| Resume {
            session_id: "s1".into(),
            resume_token: format!("r{}", self.tokens),
            epoch,
            received,
            played: None,
        });
        self.next = None;
        if resumes && epoch == self.link.epoch() {
            self.kept = received;
        }
        self.tokens += 1;
        let token = format!("r{}", self.tokens);
        let features = if counts { Features::CLIENT.into() } else { Features::default() };
        let attachment = if resumes { Attachment::Resume } else { Attachment::New };
        let hello = Hello {
            conversation: None,
            token: "jwt".into(),
            client: "test/1".into(),
            codec: Codec::PcmS16le16000.name().into(),
            start: Mark::default(),
            resume,
            agent: None,
            features,
        };
        self.input(Input::Attach { hello: &hello, attachment, resume_token: &token });
        assert!(self.link.is_over() || !self.link.is_attached() || self.link.accepts(&token));
    }
}

/// Whether it ends a session, or may.
fn is_the_end(act: &Act) -> bool {
    match act {
        Act::End | Act::Word(_) | Act::Bytes(_) | Act::Bye(_) | Act::CarryOver(_) => true,
        Act::Audio { ahead, codec, .. } => *ahead == 20_000 || *codec != 1,
        Act::Message { ahead, shift, .. } => *ahead == 20_000 || *shift != 0,
        Act::Gap { is_wild, .. } => *is_wild,
        _ => false,
    }
}

fn config() -> Config {
    Config {
        conversation_id: "conversation".into(),
        session_id: "s1".into(),
        limits: Limits {
            session_ms: 1_800_000,
            idle_ms: 600_000,
            chunk_min_bytes: 100,
            chunk_max_bytes: 3_000,
            burst_ms: 2_000,
            budget_nano_usd: 5_000_000_000,
        },
        control_per_second: 20,
        prices: Prices::default(),
        agent_codec: Codec::PcmS16le24000,
        recording: false,
        heartbeat: Duration::from_secs(15),
        resume_window: Duration::from_secs(120),
        agent: None,
        features: Features::RELAY,
    }
}

proptest! {
    #![proptest_config(super::config(120, "proptest-regressions/link.txt"))]

    #[test]
    fn whatever_happens_to_a_link_it_keeps_order_place_bounds_and_time(
        acts in proptest::collection::vec(act(), 1..150),
    ) {
        let mut watched = Watched::new();
        watched.attach(false, 0, 0, true);
        for act in acts {
            watched.act(act);
        }
        watched.end();
    }

    #[test]
    fn a_session_that_is_not_cut_short_acknowledges_and_delivers_everything(
        acts in proptest::collection::vec(act(), 1..150),
    ) {
        let mut watched = Watched::new();
        watched.attach(false, 0, 0, true);
        for act in acts.into_iter().filter(|act| !is_the_end(act)) {
            watched.act(act);
        }
        watched.end();
    }
}
