//! A language model on a bad day: what it puts on OpenAI's wire, and when. The real codec and the real exchange read it.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use protocol::Time;
use relay::money::tab::{Billed, RequestId};
use relay::provider::{
    Ask, Bounds, Deadlines, Event, Exchange, Feed, Input, Kind, Message, Output, Provider,
};

use crate::random::Random;
use crate::speech::Speech;

/// The item that requests are billed by.
pub(crate) const ITEM: &str = "anthropic/claude-haiku-5-5";

/// What a model does, piece by piece.
#[derive(Clone, Debug)]
enum Act {
    Head(u16),
    Bytes(Vec<u8>),
    End,
    Lost,
}

/// A recogniser that hears all of a call.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// Samples that it was given.
    given: u64,
    /// It has said that it is there.
    is_ready: bool,
}

/// A request that a simulated provider answers.
pub(crate) struct Answering {
    pub(crate) id: RequestId,
    exchange: Exchange,
    acts: VecDeque<(Time, Act)>,
    /// Tokens that it bills: of the prompt, and of the answer. Only if it got so far.
    pub(crate) billed: Option<(u64, u64)>,
    /// What a recogniser was given that hears all of a call.
    stream: Option<Stream>,
    /// Whoever asked has no room for more, since then.
    held_back: Option<Time>,
}

/// The provider as an operator has configured it.
pub(crate) fn provider() -> Provider {
    Provider {
        name: "model".into(),
        kind: Kind::named("openai-chat").expect("it is in the registry"),
        base_url: "http://model.test/v1/".parse().expect("an address"),
        key: None,
        model: "model".into(),
        voice: None,
        language: None,
        key_terms: Vec::new(),
        eager: false,
        price: ITEM.into(),
        deadlines: Deadlines { first: Duration::from_secs(4), ..Deadlines::default() },
        max_concurrent: 0,
    }
}

impl Answering {
    pub(crate) fn open(
        now: Time,
        id: RequestId,
        provider: &Provider,
        ask: &Ask,
        faults: u64,
        random: &mut Random,
    ) -> Answering {
        let mut at = now + Duration::from_millis(random.between(20, 900));
        let mut acts = VecDeque::new();
        if !matches!(ask, Ask::Chat(_)) {
            let speech = Box::new(Speech::new(ask, faults, random));
            let is_stream = matches!(ask, Ask::Listen);
            let bounds = if is_stream {
                let unanswered = Some(Duration::from_secs(15));
                Bounds { silence: None, unanswered, whole: None, bytes: usize::MAX, ..Bounds::default() }
            } else {
                Bounds::default()
            };
            let (exchange, _) = Exchange::open(now, speech, bounds);
            acts.push_back((at, if random.percent(faults / 4) { Act::Lost } else { Act::Head(200) }));
            let stream = is_stream.then(Stream::default);
            return Answering { id, exchange, acts, billed: None, stream, held_back: None };
        }
        let codec = provider.codec(ask).expect("it is a language model");
        let (exchange, _) = Exchange::open(now, codec, provider.bounds(ask));
        let (prompt, most) = match ask {
            Ask::Chat(chat) => {
                let bytes: usize = chat.messages.iter().map(Message::bytes).sum();
                (bytes.div_ceil(4) as u64, u64::from(chat.max_output_tokens))
            }
            _ => (1, 1),
        };
        if random.percent(faults) {
            match random.between(0, 4) {
                // Nobody there; a refusal; silence.
                0 => {
                    acts.push_back((at, Act::Lost));
                    return Answering { id, exchange, acts, billed: None, stream: None, held_back: None };
                }
                1 => {
                    let status = [400, 401, 429, 500, 503][random.between(0, 4) as usize];
                    acts.push_back((at, Act::Head(status)));
                    acts.push_back((at, Act::Bytes(b"{\"error\":\"no\"}".to_vec())));
                    acts.push_back((at, Act::End));
                    return Answering { id, exchange, acts, billed: None, stream: None, held_back: None };
                }
                2 => return Answering { id, exchange, acts, billed: None, stream: None, held_back: None },
                _ => {}
            }
        }
        acts.push_back((at, Act::Head(200)));
        // Some models do not keep to what they were asked for.
        let mut tokens = if random.percent(faults / 8) { most + 5 } else { random.between(1, most.min(12)) };
        let has_tools = matches!(ask, Ask::Chat(chat) if !chat.tools.is_empty());
        let calls = if has_tools && random.percent(45) { random.between(1, 3) } else { 0 };
        if calls > 0 {
            tokens = random.between(0, 4);
        }
        let mut wire = String::new();
        for token in 0..tokens {
            let word = ["mm ", "yes, ", "grüß ", "no. "][random.between(0, 3) as usize];
            let _ = write!(
                wire,
                "data: {{\"id\":\"r{id}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}{token} \"}}}}]}}\n\n"
            );
            if random.percent(faults / 6) {
                wire.push_str(
                    ["data: garbage\n\n", ": comment\n\n", "\u{0}\n\n"][random.between(0, 2) as usize],
                );
            }
        }
        for call in 0..calls {
            let name = ["look", "book"][random.between(0, 1) as usize];
            // Of the few whose arguments fit nothing, the model hears.
            let key = if random.percent(5) { "x" } else { "n" };
            let number = random.between(0, 1 << 40);
            let _ = write!(
                wire,
                r#"data: {{"id":"r{id}","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":{call},"id":"m{call}","#
            );
            let _ = write!(
                wire,
                "\"function\":{{\"name\":\"{name}\",\"arguments\":\"{{\\\"{key}\\\":{number}}}\"}}}}]}}}}]}}\n\n"
            );
        }
        tokens += 4 * calls;
        // Some say that they have used far more than they may.
        let tokens = if random.percent(faults / 8) { tokens + random.between(1, 1 << 36) } else { tokens };
        let says_usage = random.percent(70);
        if says_usage {
            let _ = write!(
                wire,
                "data: {{\"id\":\"r{id}\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}],\
                 \"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{tokens}}}}}\n\n"
            );
        }
        wire.push_str("data: [DONE]\n\n");
        if random.percent(faults / 6) {
            // It answers twice.
            wire.push_str(
                "data: {\"id\":\"again\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"again\"}}]}\n\n",
            );
        }
        let breaks = random.percent(faults / 2).then(|| random.between(0, wire.len() as u64) as usize);
        let stalls = random.percent(faults / 4);
        let bytes = &wire.as_bytes()[..breaks.unwrap_or(wire.len())];
        let mut rest = bytes;
        while !rest.is_empty() {
            // Cut anywhere, in the middle of a character, too.
            let (piece, after) = rest.split_at(rest.len().min(random.between(20, 400) as usize));
            rest = after;
            at = at + Duration::from_millis(random.between(0, 120));
            acts.push_back((at, Act::Bytes(piece.to_vec())));
        }
        if !stalls {
            acts.push_back((at, if breaks.is_some() && random.percent(50) { Act::Lost } else { Act::End }));
        }
        let billed = (says_usage && breaks.is_none()).then_some((prompt, tokens));
        Answering { id, exchange, acts, billed, stream: None, held_back: None }
    }

    /// It gets more. What it says about that is told when its time has come.
    pub(crate) fn feed(&mut self, now: Time, feed: &Feed) {
        if let (Some(stream), Feed::Audio(bytes)) = (&mut self.stream, feed) {
            stream.given += bytes.len() as u64 / 2;
        }
        self.exchange.handle_input(now, Input::Feed(feed));
    }

    /// What a recogniser that listens says that it bills once it is let go of: more than it was given, less, nothing, or the same. By arithmetic, so
    /// that nothing else of the call depends on it.
    pub(crate) fn late(&self) -> Option<Billed> {
        let Stream { given, .. } = self.stream.filter(|stream| stream.is_ready)?;
        let samples = match (u64::from(self.id.0) + given / 1_600) % 4 {
            0 => given + given / 2 + 32_000,
            1 => given / 2,
            2 => 0,
            _ => given,
        };
        Some(Billed { request: self.id, given, samples, request_id: None })
    }

    /// Nothing more of it is told, or again.
    pub(crate) fn hold_back(&mut self, now: Time, is_held_back: bool) {
        match self.held_back {
            None if is_held_back => self.held_back = Some(now),
            Some(since) if !is_held_back => {
                self.held_back = None;
                self.exchange.held_back(now.since(since));
            }
            _ => {}
        }
    }

    pub(crate) fn due(&self) -> Option<Time> {
        if self.held_back.is_some() {
            return None;
        }
        let act = self.acts.front().map(|(at, _)| *at);
        act.into_iter().chain(self.exchange.poll_timeout()).min()
    }

    /// What is due by now, as events.
    pub(crate) fn step(&mut self, now: Time) -> Vec<Event> {
        let mut events = Vec::new();
        if self.held_back.is_some() {
            return events;
        }
        if self.exchange.poll_timeout().is_some_and(|due| due <= now) {
            self.exchange.handle_input(now, Input::Timeout);
            self.drain(&mut events);
        }
        while let Some((_, act)) = self.acts.pop_front_if(|(at, _)| *at <= now) {
            let input = match &act {
                Act::Head(status) => Input::Head {
                    status: *status,
                    retry_after: None,
                    request_id: None,
                    media_type: if *status == 200 { "text/event-stream" } else { "application/json" },
                },
                Act::Bytes(bytes) => Input::Bytes(bytes),
                Act::End => Input::End,
                Act::Lost => Input::Lost("reset"),
            };
            self.exchange.handle_input(now, input);
            self.drain(&mut events);
        }
        events
    }

    fn drain(&mut self, events: &mut Vec<Event>) {
        while let Some(output) = self.exchange.poll_output() {
            if let Output::Event(event) = output {
                if let (Some(stream), Event::Ready) = (&mut self.stream, &event) {
                    stream.is_ready = true;
                }
                events.push(event);
            }
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.exchange.is_over()
    }
}
