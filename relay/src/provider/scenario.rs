//! A provider on a bench: what the scenarios of the codecs have in common.

use protocol::Time;
use serde_json::Value;

use super::{
    Ask, Bounds, Codec, Deadlines, Event, Exchange, Failure, FailureKind, Feed, Input, Kind, Opening, Output,
    Provider, Target,
};
use crate::config::Secret;

/// The provider of this kind at `https://example.com/`, with a key.
pub(crate) fn provider(kind: &'static Kind, model: &str) -> Provider {
    Provider {
        name: "p".to_owned(),
        kind,
        base_url: "https://example.com/".parse().expect("an address"),
        key: Some(Secret::new("sk-test".to_owned())),
        model: model.to_owned(),
        voice: None,
        language: None,
        key_terms: Vec::new(),
        eager: false,
        thinks_first: false,
        price: Some("p/m".to_owned()),
        deadlines: Deadlines::default(),
        max_concurrent: 0,
    }
}

/// A request that is carried by a test.
pub(super) struct Bench {
    exchange: Exchange,
    pub(super) target: Target,
    pub(super) now: Time,
}

impl Bench {
    /// A request whose wire is not there yet.
    pub(super) fn open(provider: &Provider, ask: &Ask) -> Bench {
        let codec = provider.codec(ask).expect("it can be asked so");
        let (exchange, opening) = Exchange::open(Time::ZERO, codec, provider.bounds(ask));
        let (Opening::Http(target) | Opening::Socket(target)) = opening;
        assert!(!format!("{target:?}{}", target.url).contains("sk-test"), "a key is never shown");
        Bench { exchange, target, now: Time::ZERO }
    }

    /// One on a WebSocket that is open.
    pub(super) fn connected(provider: &Provider, ask: &Ask) -> Bench {
        let mut bench = Bench::open(provider, ask);
        let head = Input::Head { status: 101, retry_after: None, request_id: None, media_type: "" };
        let outputs = bench.handle(head);
        assert!(outputs.contains(&Output::Event(Event::Ready)), "{outputs:?}");
        bench
    }

    /// One thing happens; everything that comes of it.
    pub(super) fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
        self.exchange.handle_input(self.now, input);
        std::iter::from_fn(|| self.exchange.poll_output()).collect()
    }

    /// The same as events, where nothing is sent.
    pub(super) fn events(&mut self, input: Input<'_>) -> Vec<Event> {
        self.exchange.handle_input(self.now, input);
        events(&mut self.exchange)
    }

    /// What the provider's message comes to.
    pub(super) fn message(&mut self, message: &Value) -> Vec<Event> {
        self.events(Input::Text(&message.to_string()))
    }

    /// What is sent for this, where nothing is told but how much was.
    pub(super) fn feed(&mut self, feed: &Feed) -> Vec<Value> {
        let outputs = self.handle(Input::Feed(feed));
        let is_sent = |output: &&Output| !matches!(output, Output::Event(Event::Usage(_)));
        outputs.iter().filter(is_sent).map(sent).collect()
    }

    /// Waits until it is due, and what is sent then.
    pub(super) fn wait(&mut self) -> Vec<Output> {
        self.now = self.exchange.poll_timeout().expect("something is due");
        self.handle(Input::Timeout)
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Time> {
        self.exchange.poll_timeout()
    }

    /// The kind of the failure that this comes to.
    pub(super) fn fails(&mut self, input: Input<'_>) -> FailureKind {
        let events = self.events(input);
        let [Event::Failed(Failure { kind, message, .. })] = &events[..] else { panic!("{events:?}") };
        assert!(!message.contains("sk-test"), "{message}");
        assert!(self.exchange.is_over());
        *kind
    }
}

/// What has come of an exchange, where nothing is sent.
pub(super) fn events(exchange: &mut Exchange) -> Vec<Event> {
    let outputs = std::iter::from_fn(|| exchange.poll_output());
    outputs
        .map(|output| match output {
            Output::Event(event) => event,
            other => panic!("nothing was to be sent: {other:?}"),
        })
        .collect()
}

/// What comes of an answer that is cut into pieces of this many bytes.
pub(super) fn cut(codec: Box<dyn Codec>, head: Input<'_>, body: &str, piece: usize) -> Vec<Event> {
    let (mut exchange, _) = Exchange::open(Time::ZERO, codec, Bounds::default());
    exchange.handle_input(Time::ZERO, head);
    let mut all = events(&mut exchange);
    for bytes in body.as_bytes().chunks(piece) {
        exchange.handle_input(Time::ZERO, Input::Bytes(bytes));
        all.extend(events(&mut exchange));
    }
    exchange.handle_input(Time::ZERO, Input::End);
    all.extend(events(&mut exchange));
    assert_eq!(events(&mut exchange), []);
    all
}

/// The text of an answer.
pub(super) fn text_of(events: &[Event]) -> String {
    let pieces = events.iter().filter_map(|event| match event {
        Event::Text(text) => Some(text.as_str()),
        _ => None,
    });
    pieces.collect()
}

/// A text message as JSON.
pub(super) fn sent(output: &Output) -> Value {
    let Output::Text(text) = output else { panic!("no text message: {output:?}") };
    serde_json::from_str(text).expect("JSON")
}

/// Everything that comes of an HTTP answer which is cut into pieces of this many bytes.
pub(super) fn answered(
    provider: &Provider,
    ask: &Ask,
    (status, media_type): (u16, &str),
    body: &[u8],
    piece: usize,
) -> Vec<Event> {
    let mut bench = Bench::open(provider, ask);
    let head = Input::Head { status, retry_after: Some(7), request_id: Some("r-1"), media_type };
    let mut events = bench.events(head);
    for bytes in body.chunks(piece) {
        events.extend(bench.events(Input::Bytes(bytes)));
    }
    events.extend(bench.events(Input::End));
    assert_eq!(bench.events(Input::Bytes(body)), [], "nothing follows the end");
    events
}

/// Messages that no provider should send, and some do.
pub(super) const GARBAGE: &[&str] = &[
    "",
    "null",
    "7",
    "[]",
    "\"Results\"",
    "{",
    "{}",
    "not JSON",
    "{\"type\":7}",
    "{\"type\":null}",
    "{\"type\":\"Surprise\",\"channel\":[]}",
];
