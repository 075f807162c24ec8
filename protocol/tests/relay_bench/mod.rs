//! A relay's machine on simulated time, and what it did.

use std::time::Duration;

use protocol::relay::{Attachment, Config, Input, Link, Output};
use protocol::{
    AudioHeader, ClientMessage, CloseCode, Codec, Features, Gap, Hello, Limits, Mark, Prices, RelayMessage,
    Resume, Time, Upward,
};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Did {
    Said(RelayMessage),
    Sent(u32),
    Audio(Mark, usize),
    Message(Mark, Upward),
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

pub(crate) struct Bench {
    pub(crate) link: Link,
    pub(crate) now: Time,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let now = Time::from_millis(5);
        Bench { link: Link::new(now, config(), Mark::default()), now }
    }

    pub(crate) fn attached() -> Bench {
        let mut bench = Bench::new();
        bench.attach(&hello(None), Attachment::New, "r1");
        bench
    }

    pub(crate) fn attach(&mut self, hello: &Hello, attachment: Attachment, token: &str) -> Vec<Did> {
        self.input(Input::Attach { hello, attachment, resume_token: token })
    }

    pub(crate) fn resume(&mut self, used: &str, next: &str, received: u32) -> Vec<Did> {
        let resume = Resume {
            session_id: "s1".into(),
            resume_token: used.into(),
            epoch: self.link.epoch(),
            received,
            played: None,
        };
        self.attach(&hello(Some(resume)), Attachment::Resume, next)
    }

    pub(crate) fn input(&mut self, input: Input<'_>) -> Vec<Did> {
        self.link.handle_input(self.now, input);
        let mut did = Vec::new();
        while let Some(output) = self.link.poll_output() {
            did.push(match output {
                Output::Text(text) => Did::Said(RelayMessage::parse(&text).expect("ours")),
                Output::Binary(frame) => Did::Sent(AudioHeader::parse(&frame).expect("ours").0.seq),
                Output::Audio { mark, payload } => Did::Audio(mark, payload.len()),
                Output::Message { mark, message } => Did::Message(mark, message),
                Output::Gap(gap) => Did::Gap(gap),
                Output::BargeIn(position) => Did::BargeIn(position),
                Output::Held(held) => Did::Held(held),
                Output::Strikes(strikes) => Did::Strikes(strikes),
                Output::Greeted(token) => Did::Greeted(token),
                Output::Muted(muted) => Did::Muted(muted),
                Output::Played(position) => Did::Played(position),
                Output::RoundTrip(time) => Did::RoundTrip(time),
                Output::Token(token) => Did::Token(token),
                Output::Bye => Did::Bye,
                Output::Close(code) => Did::Close(code),
                Output::Detached => Did::Detached,
                Output::Attached => Did::Attached,
                Output::Ended(code) => Did::Ended(code),
            });
        }
        did
    }

    pub(crate) fn client(&mut self, message: impl Into<ClientMessage>) -> Vec<Did> {
        self.input(Input::Text(&message.into().to_json()))
    }

    pub(crate) fn chunk(&mut self, seq: u32) -> Vec<Did> {
        self.frame(Codec::PcmS16le16000, seq, seq * 1_600, 3_200)
    }

    pub(crate) fn frame(&mut self, codec: Codec, seq: u32, position: u32, bytes: usize) -> Vec<Did> {
        let mut frame = Vec::new();
        AudioHeader::write(codec, seq, position, &mut frame);
        frame.resize(frame.len() + bytes, 0);
        self.input(Input::Binary(frame.into()))
    }

    pub(crate) fn wait(&mut self, span: Duration) -> Vec<Did> {
        let (end, mut did) = (self.now + span, Vec::new());
        while let Some(due) = self.link.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            did.extend(self.input(Input::Timeout));
        }
        self.now = end;
        did
    }
}

pub(crate) fn config() -> Config {
    Config {
        conversation_id: "conversation".into(),
        session_id: "s1".into(),
        limits: Limits {
            session_ms: 1_800_000,
            idle_ms: 600_000,
            chunk_min_bytes: 100,
            chunk_max_bytes: 100_000,
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

pub(crate) fn hello(resume: Option<Resume>) -> Hello {
    Hello {
        conversation: None,
        token: "jwt".into(),
        client: "test/1".into(),
        codec: Codec::PcmS16le16000.name().into(),
        start: Mark::default(),
        resume,
        agent: None,
        features: Features::CLIENT.into(),
    }
}

pub(crate) fn mark(seq: u32) -> Mark {
    Mark { seq, position: seq * 1_600 }
}
