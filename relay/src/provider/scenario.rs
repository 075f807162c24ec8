//! A provider on a bench: what the scenarios of the codecs have in common.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use protocol::Time;
use serde_json::{Value, json};

use super::deepgram::FLUSHED_WITHIN;
use super::told::letters;
use super::{
    Ask, Bounds, Codec, Deadlines, Event, Exchange, Failure, FailureKind, Feed, Heard, Input, Kind, Opening,
    Output, Provider, ROUNDING, Target, TurnSign,
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

    /// What is told of so many tenths of a second in which nobody speaks.
    pub(super) fn silence(&mut self, tenths: u64) -> Vec<Event> {
        let mut told = Vec::new();
        for tenth in 0..tenths {
            self.now = Time::from_millis(tenth * 100);
            let outputs = self.handle(Input::Feed(&Feed::Audio(Bytes::from(vec![0; 3_200]))));
            told.extend(outputs.into_iter().filter_map(|output| match output {
                Output::Event(event) => Some(event),
                _ => None,
            }));
        }
        told
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

/// A call in which somebody speaks, and what is told of their words by a codec: never anything but these words, in their order, and each once unless
/// the recogniser revises them where nothing says which is which. Then they may be told again, and none is lost.
pub(super) struct Call {
    bench: Bench,
    /// How much audio has come, in tenths of a second.
    pub(super) fed: u64,
    /// Where each word ends, in tenths of a second.
    pub(super) spoken: Vec<u64>,
    /// The recogniser was told to work off what it has.
    pub(super) is_asked: bool,
    /// It has revised words.
    is_revised: bool,
    /// How many words were told as final when a turn was over last.
    pub(super) over: usize,
    /// The words that stay, and those that may change.
    stays: Vec<String>,
    loose: Vec<String>,
    /// Up to which sample all is final.
    through: u32,
    /// When the user paused, if they did not go on.
    paused: Option<Time>,
}

impl Call {
    /// How much audio a word takes, in tenths of a second.
    const WORD: u64 = 3;

    /// One that this provider hears.
    pub(super) fn heard_by(provider: &Provider) -> Call {
        // One may be silent for as long as a schedule has it.
        let deadlines = Deadlines { silence: Duration::from_secs(3_600), ..provider.deadlines };
        Call {
            bench: Bench::connected(&Provider { deadlines, ..provider.clone() }, &Ask::Listen),
            fed: 0,
            spoken: Vec::new(),
            is_asked: false,
            is_revised: false,
            over: 0,
            stays: Vec::new(),
            loose: Vec::new(),
            through: 0,
            paused: None,
        }
    }

    /// How many words were told as final, and how many in all.
    pub(super) fn told(&self) -> (usize, usize) {
        (self.count(&self.stays, &[]), self.count(&self.stays, &self.loose))
    }

    /// How many words these are. None is left out of them.
    fn count(&self, stays: &[String], loose: &[String]) -> usize {
        stays.iter().chain(loose).fold(0, |count, word| {
            let number: usize = word[1..].parse().expect("a word that was spoken");
            assert!(number <= count, "a word before {word} is lost in {stays:?} {loose:?}");
            assert!(number == count || self.is_revised, "{word} is told twice in {stays:?} {loose:?}");
            count.max(number + 1)
        })
    }

    /// These of the words as a transcript, and one by one, with their times or without. When they become final, those with times move by a tenth of
    /// a second, and those without may be revised.
    pub(super) fn words(
        &mut self,
        which: Range<usize>,
        is_timed: bool,
        is_final: bool,
        is_revised: bool,
    ) -> (String, Vec<Value>) {
        let is_revised = is_revised && !is_timed;
        self.is_revised |= is_revised;
        let (letter, moved) = (if is_revised { 'V' } else { 'W' }, u64::from(is_final));
        let words = which.clone().map(|number| format!("{letter}{number},"));
        let each = which.map(|number| {
            let mut word = json!({"word": format!("w{number}"), "confidence": 0.9});
            if is_timed {
                let end = self.spoken[number] + moved;
                word["start"] = seconds(end - Call::WORD);
                word["end"] = seconds(end);
            }
            word
        });
        (words.collect::<Vec<_>>().join(" "), each.collect())
    }

    /// So many more words are spoken.
    pub(super) fn speak(&mut self, words: usize) {
        for _ in 0..words {
            self.pass(Call::WORD, true);
            self.spoken.push(self.fed);
        }
    }

    /// So many tenths of a second pass, in which audio comes or none.
    pub(super) fn pass(&mut self, tenths: u64, has_audio: bool) {
        for _ in 0..tenths {
            let now = self.bench.now + Duration::from_millis(100);
            while self.bench.due().is_some_and(|due| due <= now) {
                let outputs = self.bench.wait();
                self.take(outputs);
            }
            self.bench.now = now;
            if has_audio {
                self.fed += 1;
                self.paused = None;
                self.feed(&Feed::Audio(Bytes::from(vec![0; 3_200])));
            } else if self.paused.is_some_and(|paused| now >= paused + FLUSHED_WITHIN) {
                let open = (self.fed as u32 * 1_600).saturating_sub(self.through);
                assert!(open <= ROUNDING, "{open} samples are open of somebody who has paused");
            }
        }
    }

    /// The user pauses.
    pub(super) fn pause(&mut self) {
        self.paused = Some(self.bench.now);
        self.feed(&Feed::Flush);
    }

    /// The recogniser says this.
    pub(super) fn says(&mut self, message: &Value) {
        let outputs = self.bench.handle(Input::Text(&message.to_string()));
        self.take(outputs);
    }

    fn feed(&mut self, feed: &Feed) {
        let outputs = self.bench.handle(Input::Feed(feed));
        self.take(outputs);
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Text(_) => {
                    let kind = sent(&output)["type"].clone();
                    self.is_asked |= kind == "ForceEndTurn" || kind == "Finalize";
                }
                Output::Event(Event::Heard(Heard { text, end, is_final, .. })) => {
                    let words = text.split_whitespace().map(|word| letters(word).collect::<String>());
                    if is_final {
                        self.loose.clear();
                        self.stays.extend(words);
                        self.through = self.through.max(end);
                    } else {
                        self.loose = words.collect();
                    }
                }
                Output::Event(Event::Unanswered { end }) => {
                    self.loose.clear();
                    self.through = self.through.max(end);
                }
                Output::Event(Event::Turn(TurnSign::Over)) => {
                    assert!(self.loose.is_empty(), "a turn is over before its words stay: {:?}", self.loose);
                    self.over = self.told().0;
                }
                Output::Event(Event::Failed(failure)) => panic!("{failure}"),
                Output::Event(_) | Output::Binary(_) => {}
            }
        }
        let (_, told) = self.told();
        assert!(told <= self.spoken.len(), "{told} words are told");
    }
}

/// Tenths of a second as the wire has them.
pub(super) fn seconds(tenths: u64) -> Value {
    json!(tenths as f64 / 10.0)
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
