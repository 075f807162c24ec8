//! Peers of the first version of the protocol and of this one with each other.
//!
//! A peer of the first version is this one behind a wall that lets through what the first version knew: its messages and their fields, as
//! they stand in `first_version`. It answers an unknown message as that version did, and ignores what was reserved in a frame.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use protocol::client::{self, Client, Event, NotTaken, State};
use protocol::relay::{self, Attachment, Handshake, Link, Saying};
use protocol::{
    AgentState, AudioHeader, ClientMessage, CloseCode, Codec, ErrorCode, Features, Limits, Prices,
    RelayMessage, Time, ToolCall, Upward, Usage,
};
use serde_json::{Map, Value};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// What a version knows of the messages of one side: by `type`, an example with every field.
struct Known(BTreeMap<String, Vec<Map<String, Value>>>);

impl Known {
    fn new(lines: &str) -> Known {
        let mut known: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
        for line in lines.lines() {
            let message: Map<String, Value> = serde_json::from_str(line).expect("JSON");
            known.entry(message["type"].as_str().expect("a word").to_owned()).or_default().push(message);
        }
        Known(known)
    }

    /// What the version sees of a message; nothing if it does not know it.
    fn seen(&self, text: &str) -> Option<String> {
        let mut message: Map<String, Value> = serde_json::from_str(text).expect("JSON");
        let examples = self.0.get(message["type"].as_str().expect("a word"))?;
        message.retain(|name, _| examples.iter().any(|example| example.contains_key(name)));
        Some(serde_json::to_string(&message).expect("JSON"))
    }
}

/// Both machines with nothing but the wall between them.
struct Call {
    now: Time,
    client: Client,
    link: Option<Link>,
    config: relay::Config,
    old: Option<(Known, Known)>,
    is_old_client: bool,
    is_old_relay: bool,
    resume_tokens: u32,
    used_token: Option<String>,
    /// What the relay's side had of the user, and how the user's frames came.
    had: Vec<String>,
    counts: Vec<u16>,
    /// What the user's side was told.
    told: Vec<Event>,
    heard: usize,
    /// How often the relay closed the connection before the end.
    closes: u32,
}

impl Call {
    fn new(is_old_client: bool, is_old_relay: bool) -> Call {
        let config = relay::Config {
            session_id: "s".into(),
            conversation_id: "c".into(),
            limits: Limits {
                session_ms: 3_600_000,
                idle_ms: 600_000,
                chunk_min_bytes: 100,
                chunk_max_bytes: 100_000,
                burst_ms: 65_000,
                budget_nano_usd: 0,
            },
            control_per_second: 20,
            prices: Prices::default(),
            agent_codec: Codec::PcmS16le24000,
            recording: false,
            heartbeat: Duration::from_secs(15),
            resume_window: Duration::from_secs(120),
            agent: Some("echo".into()),
            features: if is_old_relay { &[] } else { Features::RELAY },
        };
        let mut call = Call {
            now: Time::from_millis(1_000),
            client: Client::new(client::Config { agent: Some("echo".into()), ..client::Config::default() }),
            link: None,
            config,
            old: Some((
                Known::new(include_str!("first_version/client.jsonl")),
                Known::new(include_str!("first_version/relay.jsonl")),
            )),
            is_old_client,
            is_old_relay,
            resume_tokens: 0,
            used_token: None,
            had: Vec::new(),
            counts: Vec::new(),
            told: Vec::new(),
            heard: 0,
            closes: 0,
        };
        call.input(client::Input::Start);
        assert_eq!(call.client.state(), State::Connected);
        call
    }

    fn input(&mut self, input: client::Input<'_>) {
        self.client.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut packets = Vec::new();
        let mut next = Vec::new();
        while let Some(output) = self.client.poll_output() {
            match output {
                client::Output::RequestToken => next.push("token"),
                client::Output::Connect => next.push("open"),
                client::Output::Text(text) => packets.push(Ok(text)),
                client::Output::Binary(frame) => packets.push(Err(Bytes::from_owner(frame))),
                client::Output::Play { payload, .. } => self.heard += payload.len(),
                client::Output::Event(event) => self.told.push(event),
                client::Output::Disconnect { .. } => self.relay(relay::Input::Closed),
                client::Output::AskWhy
                | client::Output::EndOfReply
                | client::Output::FlushPlayout
                | client::Output::HoldPlayout(_) => {}
            }
        }
        for packet in packets {
            match packet {
                Ok(text) => self.arrive_at_relay(&text),
                Err(frame) => {
                    self.counts.push(AudioHeader::parse(&frame).expect("ours").0.samples);
                    self.relay(relay::Input::Binary(frame));
                }
            }
        }
        for step in next {
            self.input(if step == "token" { client::Input::Token(Ok("jwt")) } else { client::Input::Opened });
        }
    }

    fn arrive_at_relay(&mut self, text: &str) {
        let (known, old) = self.old.take().expect("put back below");
        let seen = known.seen(text);
        // Whoever of the two is of the first version, nothing that it does not know may come through.
        if self.is_old_relay {
            assert!(seen.is_some(), "a relay of the first version ends the call after {text}");
        }
        let text = if self.is_old_client || self.is_old_relay { seen } else { Some(text.to_owned()) };
        self.old = Some((known, old));
        let Some(text) = text else { return };
        match ClientMessage::parse(&text).expect("a message") {
            ClientMessage::Hello(_) => {
                let hello = Handshake::new(self.now).handle_text(&text).expect("a hello");
                self.resume_tokens += 1;
                let attachment = if self.link.is_some() { Attachment::Resume } else { Attachment::New };
                self.used_token = Some(format!("r{}", self.resume_tokens));
                let token = self.used_token.clone().expect("just made");
                let (now, config) = (self.now, self.config.clone());
                self.link.get_or_insert_with(|| Link::new(now, config, hello.start));
                self.relay(relay::Input::Attach { hello: &hello, attachment, resume_token: &token });
            }
            _ => self.relay(relay::Input::Text(&text)),
        }
    }

    fn relay(&mut self, input: relay::Input<'_>) {
        let Some(link) = &mut self.link else { return };
        link.handle_input(self.now, input);
        let (mut packets, mut closed) = (Vec::new(), None);
        while let Some(output) = link.poll_output() {
            match output {
                relay::Output::Text(text) => packets.push(Ok(text)),
                relay::Output::Binary(frame) => packets.push(Err(frame)),
                relay::Output::Audio { payload, .. } => self.had.push(format!("{} bytes", payload.len())),
                relay::Output::Message { message, .. } => self.had.push(message.word().to_owned()),
                relay::Output::Gap(gap) => {
                    self.had.push(format!("a gap of {}", gap.to.position - gap.from.position));
                }
                relay::Output::BargeIn(_) => self.had.push("barge_in".into()),
                relay::Output::Held(held) => self.had.push(format!("held {held}")),
                relay::Output::Bye => self.had.push("bye".into()),
                relay::Output::Close(CloseCode::Normal) => {}
                relay::Output::Close(code) => closed = Some(code.code()),
                relay::Output::Ended(code) => panic!("{code:?}"),
                relay::Output::Muted(_)
                | relay::Output::Played(_)
                | relay::Output::RoundTrip(_)
                | relay::Output::Strikes(_)
                | relay::Output::Greeted(_)
                | relay::Output::Token(_)
                | relay::Output::Detached
                | relay::Output::Attached => {}
            }
        }
        for packet in packets {
            match packet {
                Ok(text) => self.arrive_at_client(&text),
                Err(frame) => {
                    let samples = AudioHeader::parse(&frame).expect("ours").0.samples;
                    let is_known = !self.is_old_client && !self.is_old_relay;
                    assert_eq!(samples, if is_known { 480 } else { 0 });
                    self.input(client::Input::Binary(&frame));
                }
            }
        }
        if let Some(code) = closed {
            assert_eq!(code, 1001);
            self.closes += 1;
            self.input(client::Input::Closed { code });
        }
    }

    fn arrive_at_client(&mut self, text: &str) {
        if !self.is_old_client && !self.is_old_relay {
            return self.input(client::Input::Text(text));
        }
        let (client, relay) = self.old.take().expect("put back below");
        let seen = relay.seen(text);
        self.old = Some((client, relay));
        match seen {
            Some(seen) => self.input(client::Input::Text(&seen)),
            // It counts, and nothing else about it is known.
            None => {
                let seq = serde_json::from_str::<Value>(text).expect("JSON")["seq"].clone();
                let unknown = serde_json::json!({ "type": "from the future", "seq": seq });
                self.input(client::Input::Text(&unknown.to_string()));
            }
        }
    }

    fn type_text(&mut self, text: &str) -> Result<(), NotTaken> {
        let taken = self.client.handle_message(self.now, &Upward::Text { text: text.into() });
        self.drain();
        taken
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self
                .link
                .as_ref()
                .and_then(Link::poll_timeout)
                .into_iter()
                .chain(self.client.poll_timeout())
                .min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.input(client::Input::Timeout);
            self.relay(relay::Input::Timeout);
        }
        self.now = end;
    }

    /// A call with everything in it, to its end. Returns whether the typed texts were taken.
    fn run(&mut self) -> [Result<(), NotTaken>; 2] {
        self.input(client::Input::Chunk(&[1; 1_600]));
        let first = self.type_text("typed while the line was there");
        self.input(client::Input::BargeIn);
        self.input(client::Input::Hold(true));
        self.relay(relay::Input::Say(&Saying::Agent(AgentState::Thinking)));
        let call = ToolCall { seq: 0, call_id: "1".into(), name: "look".into(), arguments: "{}".into() };
        self.relay(relay::Input::Say(&Saying::ToolCall(call)));
        self.relay(relay::Input::TokenRefused { left: Duration::from_secs(60) });
        self.relay(relay::Input::Audio(&[3; 480]));
        self.relay(relay::Input::Say(&Saying::ReplyEnd));
        self.input(client::Input::Offline);
        self.input(client::Input::Chunk(&[2; 1_600]));
        let second = self.type_text("typed while it was not");
        self.input(client::Input::Chunk(&[3; 1_600]));
        self.input(client::Input::Online);
        self.wait(Duration::from_secs(5));
        assert_eq!(self.client.state(), State::Connected);
        self.relay(relay::Input::Move { within: Duration::from_secs(2) });
        self.wait(Duration::from_secs(5));
        assert_eq!(self.client.state(), State::Connected);
        assert_eq!(self.resume_tokens, 3, "it moved when it was asked to");
        let is_told = !self.is_old_client && !self.is_old_relay;
        assert_eq!(self.closes, u32::from(!is_told), "by a word that it knows, or by the close code");
        self.input(client::Input::Close { finish: true });
        self.relay(relay::Input::End { code: CloseCode::Normal, usage: Usage::default() });
        self.input(client::Input::Closed { code: 1000 });
        assert_eq!(self.client.state(), State::Closed);
        assert_eq!(self.heard, 960, "the agent was heard");
        let states = self.told.iter().filter(|event| **event == Event::Agent(AgentState::Thinking)).count();
        assert_eq!(states, 1, "what came after what was not known was understood");
        let refused = ErrorCode::TokenRefused.name();
        let refusals =
            self.told.iter().filter(|event| matches!(event, Event::Error(error) if error.code == refused));
        assert_eq!(refusals.count(), 1, "each version is told in its way that the token was refused");
        [first, second]
    }

    fn has_tool_call(&self) -> bool {
        self.told.iter().any(|event| matches!(event, Event::ToolCall(_)))
    }

    fn undelivered(&self) -> usize {
        self.told.iter().filter(|event| matches!(event, Event::Undelivered(_))).count()
    }
}

const AUDIO: &str = "3200 bytes";

#[test]
fn a_new_client_and_a_new_relay_say_everything_to_each_other() {
    let mut call = Call::new(false, false);
    assert_eq!(call.run(), [Ok(()), Ok(())]);
    let expected =
        [AUDIO, "text", "barge_in", "held true", "held true", AUDIO, "text", AUDIO, "held true", "bye"];
    assert_eq!(call.had, expected);
    assert_eq!(call.counts, [1_600; 3]);
    assert!(call.has_tool_call() && call.undelivered() == 0);
}

#[test]
fn a_new_client_says_nothing_new_to_an_old_relay_and_the_application_knows() {
    let mut call = Call::new(false, true);
    assert_eq!(call.run(), [Err(NotTaken::NotSupported), Ok(())]);
    assert_eq!(call.had, [AUDIO, AUDIO, "a gap of 0", AUDIO, "bye"]);
    assert_eq!(call.counts, [0; 3]);
    assert_eq!(call.undelivered(), 1);
}

#[test]
fn an_old_client_is_served_by_a_new_relay_as_ever() {
    let mut call = Call::new(true, false);
    assert_eq!(call.run(), [Err(NotTaken::NotSupported), Ok(())]);
    assert_eq!(call.had, [AUDIO, AUDIO, "a gap of 0", AUDIO, "bye"]);
    assert!(!call.has_tool_call());
}

#[test]
fn an_old_client_and_an_old_relay_speak_the_first_version() {
    let mut call = Call::new(true, true);
    assert_eq!(call.run(), [Err(NotTaken::NotSupported), Ok(())]);
    assert_eq!(call.had, [AUDIO, AUDIO, "a gap of 0", AUDIO, "bye"]);
    assert!(!call.has_tool_call());
}

#[test]
fn every_line_of_the_first_version_is_still_read() {
    for line in include_str!("first_version/client.jsonl").lines() {
        assert!(ClientMessage::parse(line).is_ok(), "{line}");
    }
    for line in include_str!("first_version/relay.jsonl").lines() {
        assert!(RelayMessage::parse(line).is_ok(), "{line}");
    }
}
