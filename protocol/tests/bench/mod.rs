//! A client's machine on simulated time, and what it did.

use std::time::Duration;

use protocol::client::{Client, Config, Event, Input, NotTaken, Output};
use protocol::{
    AudioHeader, ClientMessage, CloseCode, Codec, Features, Limits, Mark, Prices, RelayAck, RelayMessage,
    Resumed, Time, Upward, Welcome,
};

/// What came out, as something that can be compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Did {
    RequestToken,
    Connect,
    AskWhy,
    Disconnect(u16),
    Said(ClientMessage),
    Sent(u32),
    Played(u32, Vec<u8>),
    EndOfReply,
    FlushPlayout,
    HoldPlayout(bool),
    Told(Event),
}

pub(crate) struct Bench {
    pub(crate) client: Client,
    pub(crate) now: Time,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(Config { seed: 7, ..Config::default() })
    }

    pub(crate) fn with(config: Config) -> Bench {
        Bench { client: Client::new(config), now: Time::from_millis(1_000) }
    }

    pub(crate) fn up() -> Bench {
        let mut bench = Bench::new();
        bench.begin();
        bench.relay(welcome());
        bench
    }

    /// Up to `hello`.
    pub(crate) fn begin(&mut self) {
        self.input(Input::Start);
        self.input(Input::Token(Ok("jwt")));
        self.input(Input::Opened);
    }

    pub(crate) fn input(&mut self, input: Input<'_>) -> Vec<Did> {
        self.client.handle_input(self.now, input);
        self.drain()
    }

    pub(crate) fn message(&mut self, message: &Upward) -> Result<Vec<Did>, NotTaken> {
        self.client.handle_message(self.now, message)?;
        Ok(self.drain())
    }

    fn drain(&mut self) -> Vec<Did> {
        let mut did = Vec::new();
        while let Some(output) = self.client.poll_output() {
            did.push(match output {
                Output::RequestToken => Did::RequestToken,
                Output::Connect => Did::Connect,
                Output::AskWhy => Did::AskWhy,
                Output::Disconnect { code } => Did::Disconnect(code),
                Output::Text(text) => Did::Said(ClientMessage::parse(&text).expect("ours")),
                Output::Binary(frame) => Did::Sent(AudioHeader::parse(&frame).expect("ours").0.seq),
                Output::Play { position, payload, .. } => Did::Played(position, payload),
                Output::EndOfReply => Did::EndOfReply,
                Output::FlushPlayout => Did::FlushPlayout,
                Output::HoldPlayout(held) => Did::HoldPlayout(held),
                Output::Event(event) => Did::Told(event),
            });
        }
        did
    }

    pub(crate) fn relay(&mut self, message: impl Into<RelayMessage>) -> Vec<Did> {
        self.input(Input::Text(&message.into().to_json()))
    }

    pub(crate) fn chunks(&mut self, count: u32) -> Vec<Did> {
        (0..count).flat_map(|_| self.input(Input::Chunk(&[1; 1_600]))).collect()
    }

    /// Lets time pass, timer by timer, up to `span`.
    pub(crate) fn wait(&mut self, span: Duration) -> Vec<Did> {
        let (end, mut did) = (self.now + span, Vec::new());
        while let Some(due) = self.client.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            did.extend(self.input(Input::Timeout));
        }
        self.now = end;
        did
    }

    pub(crate) fn reconnect(&mut self) -> Vec<Did> {
        let asked = (0..310).any(|_| self.wait(Duration::from_millis(100)).contains(&Did::RequestToken));
        assert!(asked, "the longest wait is 30 s");
        self.input(Input::Token(Ok("jwt")));
        self.input(Input::Opened)
    }
}

pub(crate) fn welcome() -> Welcome {
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
        features: Features::RELAY.into(),
    }
}

pub(crate) fn resumed(received: u32, committed: u32) -> Resumed {
    let mark = |seq| Mark { seq, position: seq * 1_600 };
    Resumed {
        session_id: "s1".into(),
        epoch: 0,
        resume_token: "r2".into(),
        received: mark(received),
        committed: mark(committed),
        features: Features::RELAY.into(),
    }
}

pub(crate) fn ack(received: u32, committed: u32) -> RelayAck {
    let mark = |seq| Mark { seq, position: seq * 1_600 };
    RelayAck { received: mark(received), committed: mark(committed) }
}

pub(crate) fn errors(did: &[Did]) -> Vec<String> {
    did.iter()
        .filter_map(|did| match did {
            Did::Told(Event::Error(error)) => Some(error.code.clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn sent(did: &[Did]) -> Vec<u32> {
    did.iter().filter_map(|did| if let Did::Sent(seq) = did { Some(*seq) } else { None }).collect()
}

/// What the first message of a connection asks for.
pub(crate) fn conversation(did: &[Did]) -> Option<String> {
    let [Did::Said(ClientMessage::Hello(hello))] = did else { panic!("{did:?}") };
    hello.conversation.clone()
}

pub(crate) fn ended(did: &[Did]) -> Option<CloseCode> {
    did.iter().find_map(|did| if let Did::Told(Event::Ended { code, .. }) = did { Some(*code) } else { None })
}
