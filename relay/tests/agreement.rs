//! The link and the call run together, as a session's driver runs them: whatever a client sends and a network does, both agree about where
//! everything stands.

#[path = "agreement/moody.rs"]
mod moody;
#[path = "support/new_call.rs"]
mod new_call;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use moody::Moody;
use protocol::relay::{self as link, Attachment, Link, Saying};
use protocol::{
    AudioHeader, ClientAck, ClientMessage, CloseCode, Codec, ErrorCode, Features, Gap, Hello, Limits, Mark,
    Mute, Numbered, Prices, RelayMessage, Resume, Role, Time, Transcript, Upward,
};
use relay::NanoUsd;
use relay::call::{self, Call};
use relay::money::budget::{Caps, Standing, TokenCaps};

/// Steps of one call.
const STEPS: u32 = 400;
/// Calls that are tried.
const CALLS: u64 = 1_500;
/// The largest chunk of these calls, in bytes: small, so that its bounds are met often.
const CHUNK_MAX: u32 = 4_000;

/// A small generator that is the same on every machine (Knuth's MMIX constants).
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

/// An answer that the store still owes.
enum Owed {
    Turns(Mark),
    Settle,
}

struct World {
    dice: Dice,
    now: Time,
    link: Link,
    call: Call,
    owed: VecDeque<Owed>,
    /// The next uplink frame, as a client that sends everything knows it. A refused frame may have had any length up to the largest.
    next: Mark,
    /// Where frames and gaps that were handed on have ended: the number that follows, and the position.
    ends: BTreeMap<u32, u32>,
    gaps: u64,
    typed: u64,
    expected: Mark,
    /// Samples that the link handed on.
    samples: u64,
    committed: Mark,
    /// What the client got of the downlink: the next frame, where the agent's audio goes on, what was played.
    received: u32,
    downlink: u32,
    played: u32,
    is_held: bool,
    /// The answer that the page was told last.
    answer: Option<Transcript>,
    /// The answer whose end it was told last, unless that was a pause, and where its sound ended.
    over: Option<(Transcript, u32)>,
    resumes: u32,
    ended: Option<CloseCode>,
}

fn limits() -> Limits {
    Limits {
        session_ms: 3_600_000,
        idle_ms: 3_600_000,
        chunk_min_bytes: 100,
        chunk_max_bytes: CHUNK_MAX,
        burst_ms: 600_000,
        budget_nano_usd: 5_000_000_000,
    }
}

impl World {
    fn new(seed: u64) -> World {
        let now = Time::from_millis(1);
        let config = link::Config {
            session_id: "s".into(),
            conversation_id: "s".into(),
            limits: limits(),
            control_per_second: 100_000,
            prices: Prices::default(),
            agent_codec: Codec::PcmS16le24000,
            recording: false,
            heartbeat: Duration::from_secs(3_600),
            resume_window: Duration::from_secs(3_600),
            agent: None,
            features: Features::RELAY,
        };
        let start = new_call::start(NanoUsd::MAX, 0, 0);
        let moody = Moody::new(seed ^ 0x5EED);
        let mut world = World {
            dice: Dice(seed),
            now,
            link: Link::new(now, config, Mark::default()),
            call: Call::new(now, Box::new(moody), start),
            owed: VecDeque::new(),
            next: Mark::default(),
            ends: BTreeMap::from([(0, 0)]),
            gaps: 0,
            typed: 0,
            expected: Mark::default(),
            samples: 0,
            committed: Mark::default(),
            received: 0,
            downlink: 0,
            played: 0,
            is_held: false,
            answer: None,
            over: None,
            resumes: 0,
            ended: None,
        };
        world.attach(Attachment::New);
        world
    }

    fn attach(&mut self, attachment: Attachment) {
        let token = format!("r{}", self.resumes);
        self.resumes += 1;
        let resume = Resume {
            session_id: "s".into(),
            resume_token: format!("r{}", self.resumes - 2.min(self.resumes)),
            epoch: 0,
            received: self.received,
            played: None,
        };
        let hello = Hello {
            token: "t".into(),
            client: "c".into(),
            codec: Codec::PcmS16le16000.name().into(),
            start: self.committed,
            resume: (attachment == Attachment::Resume).then_some(resume),
            conversation: None,
            agent: None,
            features: Features::CLIENT.into(),
        };
        self.link(link::Input::Attach { hello: &hello, attachment, resume_token: &token });
        // What was on its way when the connection broke is sent again from what the relay has.
        self.next = self.expected;
    }

    fn link(&mut self, input: link::Input<'_>) {
        self.link.handle_input(self.now, input);
        self.drain();
    }

    fn client(&mut self, message: impl Into<ClientMessage>) {
        let text = message.into().to_json();
        self.link(link::Input::Text(&text));
    }

    fn frame(&mut self, codec: Codec, mark: Mark, bytes: usize) {
        let mut frame = Vec::new();
        AudioHeader::write(codec, mark.seq, mark.position, &mut frame);
        frame.resize(frame.len() + bytes, 0);
        self.link(link::Input::Binary(frame.into()));
    }

    /// As a session's driver does it.
    fn drain(&mut self) {
        loop {
            self.drain_link();
            let Some(output) = self.call.poll_output() else { return self.check_end() };
            match output {
                call::Output::NoteTool(_) | call::Output::RunTool(_) | call::Output::CancelTool(_) => {
                    panic!("it has no tools")
                }
                call::Output::NoteCommand { .. } => panic!("nobody gives commands"),
                call::Output::Say(saying) => {
                    if let Saying::Transcript(turn) = &saying
                        && turn.role == Role::Agent
                    {
                        assert!(turn.start <= turn.end);
                    }
                    match saying {
                        Saying::Hold(held) => {
                            assert_ne!(self.is_held, held, "it is told once");
                            self.is_held = held;
                        }
                        Saying::Flush => self.is_held = false,
                        _ => {}
                    }
                    self.link.handle_input(self.now, link::Input::Say(&saying));
                }
                call::Output::FalseInterruption => panic!("nobody says so"),
                call::Output::Speak(samples) => {
                    assert!(!self.is_held, "what is held is not sent");
                    assert!(!samples.is_empty(), "no empty frames");
                    self.link.handle_input(self.now, link::Input::Audio(&samples));
                }
                call::Output::Trouble(code) => {
                    assert_eq!(code, ErrorCode::TurnUnknown, "nothing else goes wrong here");
                    self.link.handle_input(self.now, link::Input::Error(&code.into()));
                }
                call::Output::Usage(usage) => {
                    assert_eq!(
                        usage.audio_ms,
                        self.samples / 16,
                        "what is metered is what the link handed on"
                    );
                    self.link.handle_input(self.now, link::Input::Usage(usage));
                }
                call::Output::Commit(mark) => {
                    assert!(mark.seq > self.committed.seq, "commits grow");
                    assert!(mark.seq <= self.expected.seq && mark.position <= self.expected.position);
                    let known = self.ends.get(&mark.seq) == Some(&mark.position);
                    assert!(known, "{mark:?} is where a frame or a gap ended");
                    self.committed = mark;
                    self.link.handle_input(self.now, link::Input::Commit(mark));
                }
                call::Output::Store { turns, committed, .. } => {
                    for turn in turns {
                        assert!(turn.start <= turn.end);
                        if let Some(heard) = turn.heard {
                            assert!((turn.start..=turn.end).contains(&heard), "{turn:?}");
                        }
                    }
                    self.owed.push_back(Owed::Turns(committed));
                }
                call::Output::Settle { through, committed, .. } => {
                    assert!(through <= self.expected.position && committed.seq <= self.expected.seq);
                    self.owed.push_back(Owed::Settle);
                }
                call::Output::Open { .. }
                | call::Output::Feed { .. }
                | call::Output::HoldBack { .. }
                | call::Output::Cancel(_) => {
                    panic!("nobody is asked")
                }
                call::Output::Reserve { .. } | call::Output::Exhausted(_) => panic!("there is money"),
                call::Output::End { code } => {
                    let usage = self.call.usage();
                    self.link.handle_input(self.now, link::Input::End { code, usage });
                }
            }
        }
    }

    /// Behind the end of an answer came no more of its sound, so it was no pause.
    fn check_end(&mut self) {
        if let Some((answer, end)) = self.over.take() {
            assert!(answer.last, "all words are told when the sound ends");
            assert_eq!(answer.end, end, "its end is where its sound ends");
        }
    }

    fn drain_link(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                link::Output::Text(text) => {
                    let message = RelayMessage::parse(&text).expect("a message of the protocol");
                    match message {
                        RelayMessage::Transcript(turn) => {
                            self.check_end();
                            // Of an earlier answer that was never known to be heard, words may be taken back.
                            let is_newest =
                                self.answer.as_ref().is_none_or(|answer| answer.turn <= turn.turn);
                            if turn.role == Role::Agent && is_newest {
                                match self.answer.as_ref().filter(|answer| answer.turn == turn.turn) {
                                    Some(before) => {
                                        assert_eq!(
                                            before.start, turn.start,
                                            "an answer stays where it begins"
                                        );
                                        assert!(!before.last || turn.last, "what was said last stays said");
                                        assert!(
                                            turn.text.starts_with(&before.text)
                                                || turn.last && before.text.starts_with(&turn.text),
                                            "words are only added, or those that were not heard are taken back"
                                        );
                                    }
                                    None => assert_eq!(
                                        turn.start, self.downlink,
                                        "an answer begins where the audio before it ended"
                                    ),
                                }
                                self.answer = Some(turn);
                            }
                            self.received += 1;
                        }
                        RelayMessage::ReplyEnd(_) => {
                            let answer = self.answer.clone().expect("what ends has begun");
                            self.over = Some((answer, self.downlink));
                            self.received += 1;
                        }
                        RelayMessage::Flush(_) => {
                            // What was to come after a pause may have been cut.
                            self.over = None;
                            self.received += 1;
                        }
                        RelayMessage::AgentStateMessage(_)
                        | RelayMessage::Hold(_)
                        | RelayMessage::Release(_)
                        | RelayMessage::Latency(_)
                        | RelayMessage::Budget(_) => self.received += 1,
                        RelayMessage::RelayAck(ack) => {
                            assert_eq!(ack.received.seq, self.expected.seq.max(ack.received.seq));
                            assert!(ack.committed.seq <= ack.received.seq);
                        }
                        _ => {}
                    }
                }
                link::Output::Binary(frame) => {
                    let (header, payload) = AudioHeader::parse(&frame).expect("audio");
                    assert_eq!(header.seq, self.received, "in order and once");
                    assert_eq!(header.position, self.downlink, "the agent's timeline has no holes");
                    self.received += 1;
                    self.over = None;
                    self.downlink += (payload.len() / 2) as u32;
                    let answer = self.answer.as_ref().expect("words come before their sound");
                    assert!(answer.start < self.downlink, "{answer:?} at {}", self.downlink);
                }
                link::Output::Message { mark, message } => {
                    assert_eq!(mark, self.expected, "in order and once, with the audio around it");
                    self.expected = Mark { seq: mark.seq + 1, position: mark.position };
                    self.ends.insert(self.expected.seq, self.expected.position);
                    self.typed += 1;
                    self.call.handle_input(self.now, call::Input::Message { mark, message: &message });
                }
                link::Output::BargeIn(_) | link::Output::Held(_) => panic!("nobody said so"),
                link::Output::Audio { mark, payload } => {
                    assert_eq!(mark, self.expected, "in order and once, without holes that nobody announced");
                    let samples = (payload.len() / 2) as u32;
                    self.expected = Mark { seq: mark.seq + 1, position: mark.position + samples };
                    self.ends.insert(self.expected.seq, self.expected.position);
                    self.samples += u64::from(samples);
                    self.call.handle_input(self.now, call::Input::Audio { mark, payload: &payload });
                }
                link::Output::Gap(gap) => {
                    assert_eq!(
                        gap.from.position, self.expected.position,
                        "a gap begins where the audio ended"
                    );
                    assert!(gap.from.seq >= self.expected.seq && gap.to.seq >= gap.from.seq);
                    let frames = u64::from(gap.to.seq - self.expected.seq);
                    let samples = u64::from(gap.to.position - gap.from.position);
                    assert!(
                        samples <= frames * u64::from(CHUNK_MAX / 2 + 1),
                        "{gap:?} is no longer than its frames can be"
                    );
                    self.expected = gap.to;
                    self.ends.insert(gap.to.seq, gap.to.position);
                    self.gaps += 1;
                    self.call.handle_input(self.now, call::Input::Gap(gap));
                }
                link::Output::Muted(muted) => self.call.handle_input(self.now, call::Input::Muted(muted)),
                link::Output::Played(position) => {
                    self.call.handle_input(self.now, call::Input::Played(position));
                }
                link::Output::Bye => self.call.handle_input(self.now, call::Input::Bye),
                link::Output::Detached => self.call.handle_input(self.now, call::Input::Room(false)),
                link::Output::Attached => self.call.handle_input(self.now, call::Input::Room(true)),
                link::Output::Ended(code) => {
                    self.ended = Some(code);
                    self.call.handle_input(self.now, call::Input::Stop(code));
                }
                link::Output::RoundTrip(_)
                | link::Output::Token(_)
                | link::Output::Strikes(_)
                | link::Output::Greeted(_)
                | link::Output::Close(_) => {}
            }
        }
    }

    fn answer(&mut self) {
        let caps = Caps {
            session: NanoUsd::MAX,
            user_day: NanoUsd::MAX,
            account_month: NanoUsd::MAX,
            token: TokenCaps::NONE,
        };
        let standing = Standing::unused(caps);
        let input = match self.owed.pop_front() {
            Some(Owed::Turns(committed)) => call::Input::Stored { committed },
            Some(Owed::Settle) => call::Input::Settled { cost: NanoUsd::ZERO, standing: &standing },
            None => return,
        };
        self.call.handle_input(self.now, input);
        self.drain();
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self.link.poll_timeout().into_iter().chain(self.call.poll_timeout()).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.link(link::Input::Timeout);
            self.call.handle_input(self.now, call::Input::Room(self.link.has_room()));
            self.drain();
            self.call.handle_input(self.now, call::Input::Timeout);
            self.drain();
        }
        self.now = end;
    }

    fn step(&mut self) {
        let pcm = Codec::PcmS16le16000;
        let length = (50 + self.dice.below(CHUNK_MAX / 2 - 50)) as usize;
        match self.dice.below(40) {
            // Good chunks, mostly.
            0..=19 => {
                self.frame(pcm, self.next, length * 2);
                self.next = self.expected;
            }
            // One that is refused; the client goes on behind it, by its length or (what nobody should do) by another.
            20 => self.refused(pcm, length * 2 + 1, length as u32),
            21 => self.refused(pcm, self.dice.clone().below(100) as usize, 0),
            22 => self.refused(Codec::PcmS16le24000, length * 2, length as u32),
            23 => {
                let wrong = Mark {
                    position: self.next.position.wrapping_add(1 + self.dice.below(100_000)),
                    ..self.next
                };
                self.frame(pcm, wrong, length * 2);
                self.next.seq += 1;
            }
            // What it dropped, from where it stands or from before.
            24 | 25 => {
                let frames = 1 + self.dice.below(5);
                let samples = self.dice.below(frames * CHUNK_MAX / 2 + 1);
                let to = Mark { seq: self.next.seq + frames, position: self.next.position + samples };
                self.client(Gap { from: self.next, to });
                self.next = to;
            }
            // What is here already, and what is ahead.
            26 => self.frame(pcm, Mark { seq: self.next.seq.saturating_sub(1), ..self.next }, 200),
            27 => self.client(Gap { from: Mark::default(), to: Mark { seq: self.next.seq, position: 0 } }),
            28 => self.frame(pcm, Mark { seq: self.next.seq + 2, position: self.next.position }, 200),
            29 => self.client(Mute { muted: self.dice.clone().below(2) == 0 }),
            30..=33 => {
                let heard = self.downlink - self.played;
                self.played += self.dice.below(heard + 1);
                self.client(ClientAck { received: self.received, played: self.played });
            }
            34 => {
                self.link(link::Input::Closed);
                self.wait(Duration::from_millis(self.dice.clone().below(3_000).into()));
                self.attach(Attachment::Resume);
            }
            // What is typed, where the client stands and now and then twice.
            36 => {
                let message = match self.dice.clone().below(7) {
                    0 => Upward::Say { text: "said".into(), interrupt: false },
                    1 => Upward::Correction { turn: self.dice.clone().below(20), text: "meant".into() },
                    2 => Upward::ToolResult { call_id: "c".into(), output: String::new(), is_error: false },
                    _ => Upward::Text { text: "typed".into() },
                };
                let typed = Numbered { mark: self.next, message };
                for _ in 0..=self.dice.clone().below(2) {
                    self.client(typed.clone());
                }
                self.next = self.expected;
            }
            35 => self.wait(Duration::from_millis(self.dice.clone().below(4_000).into())),
            _ => self.answer(),
        }
        // The dice that were cloned are thrown as well.
        self.dice.below(2);
    }

    /// A frame that is refused, and where the client goes on.
    fn refused(&mut self, codec: Codec, bytes: usize, samples: u32) {
        self.frame(codec, self.next, bytes);
        self.next.seq += 1;
        let jump = if self.dice.below(3) == 0 { self.dice.below(30_000) } else { samples };
        self.next.position += jump;
    }
}

#[test]
fn link_and_call_agree_about_every_position_whatever_a_client_sends() {
    let (mut ended, mut answers, mut gaps, mut typed) = (0, 0, 0_u64, 0_u64);
    for seed in 0..CALLS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            if world.ended.is_some() {
                ended += 1;
                break;
            }
            world.step();
        }
        answers += u64::from(world.downlink > 0);
        gaps += world.gaps;
        typed += world.typed;
    }
    // Otherwise nothing of all this was tried.
    assert!(
        answers > CALLS / 2 && gaps > CALLS && typed > CALLS,
        "{answers} calls with an answer, {gaps} gaps, {typed} texts, {ended} ended"
    );
}
