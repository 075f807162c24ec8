//! A language model on a bad day: when it puts what on its vendor's wire. The real codecs and the real exchange read it.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use relay::money::tab::{Billed, RequestId};
use relay::provider::{
    Ask, Bounds, Deadlines, Event, Exchange, Feed, Input, Kind, Message, Output, Provider,
};

use crate::random::Random;
use crate::scenario::Day;
use crate::speech::{Speech, TROUBLE};
use crate::wire::{Piece, Written};

/// The kinds of models.
pub(crate) const OPENAI: &str = "openai-chat";
pub(crate) const ANTHROPIC: &str = "anthropic";

/// The item that requests are billed by.
pub(crate) const ITEM: &str = "anthropic/claude-haiku-5-5";

/// What a model does, piece by piece.
#[derive(Clone, Debug)]
enum Act {
    /// What is asked has left.
    Sent,
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
    /// It bills what it was given, and nothing else.
    is_honest: bool,
}

/// What a provider does with a request beside answering it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Habits {
    /// Something of it goes wrong that is none of the others.
    pub(crate) fails: bool,
    /// It says nothing for a while.
    pub(crate) stalls: bool,
    /// It says the same twice.
    pub(crate) repeats: bool,
    /// Its words come after the end of their turn.
    pub(crate) is_late: bool,
    /// It is a model that speaks Anthropic's dialect.
    pub(crate) is_anthropic: bool,
}

/// What goes wrong with one request, drawn apart from all else of it.
struct Faults {
    random: Random,
    /// So much goes wrong in a hundred requests.
    percent: u64,
    /// Something goes wrong with this one.
    any: bool,
}

impl Faults {
    /// Whether something happens that is so many times rarer than most.
    fn happens(&mut self, rarer: u64) -> bool {
        let happens = self.random.percent(self.percent / rarer);
        self.any |= happens;
        happens
    }
}

/// A request that a simulated provider answers.
pub(crate) struct Answering {
    pub(crate) id: RequestId,
    pub(crate) habits: Habits,
    /// What it bills by, if it was given all of that at once: the characters to speak, or the samples to understand.
    pub(crate) given: Option<u64>,
    exchange: Exchange,
    acts: VecDeque<(Time, Act)>,
    /// Tokens that it bills: of the prompt, and of the answer. Only if it got so far.
    pub(crate) billed: Option<(u64, u64)>,
    /// What a recogniser was given that hears all of a call.
    stream: Option<Stream>,
    /// Whoever asked has no room for more, since then.
    held_back: Option<Time>,
}

/// The provider as an operator has configured it, of this kind.
pub(crate) fn provider(kind: &str) -> Provider {
    Provider {
        name: "model".into(),
        kind: Kind::named(kind).expect("it is in the registry"),
        base_url: "http://model.test/v1/".parse().expect("an address"),
        key: None,
        model: "model".into(),
        voice: None,
        language: None,
        key_terms: Vec::new(),
        eager: false,
        thinks_first: false,
        price: Some(ITEM.into()),
        deadlines: Deadlines { first: Duration::from_secs(4), ..Deadlines::default() },
        max_concurrent: 0,
    }
}

impl Answering {
    /// Another request. All of it is drawn from a seed of its own, of which there is one for each request whatever goes wrong: so a call stays as it
    /// is where a kind of trouble is left out that it does not have.
    pub(crate) fn open(
        now: Time,
        id: RequestId,
        provider: &Provider,
        ask: &Ask,
        day: Day,
        random: &mut Random,
    ) -> Answering {
        let seed = random.next();
        let mut random = Random::new(seed);
        let mut faults = Faults { random: Random::new(seed ^ TROUBLE), percent: day.faults, any: false };
        let mut at = now + Duration::from_millis(random.between(20, 900));
        let mut acts = VecDeque::new();
        let Ask::Chat(chat) = ask else {
            return Answering::speech(now, at, id, ask, day, random.next(), &mut faults);
        };
        let codec = provider.codec(ask).expect("it is a language model");
        let (exchange, _) = Exchange::open(now, codec, provider.bounds(ask));
        let is_anthropic = provider.kind.name == ANTHROPIC;
        let answers = |acts, exchange, billed, fails| Answering {
            id,
            habits: Habits { fails, is_anthropic, ..Habits::default() },
            given: None,
            exchange,
            acts,
            billed,
            stream: None,
            held_back: None,
        };
        let bytes: usize = chat.messages.iter().map(Message::bytes).sum();
        let (prompt, most) = (bytes.div_ceil(4) as u64, u64::from(chat.max_output_tokens));
        // Half of the time goes by before the connection is there.
        let sent = now + at.since(now) / 2;
        if faults.happens(1) {
            match faults.random.between(0, 4) {
                // Nobody there; a refusal; silence.
                0 => {
                    acts.push_back((at, Act::Lost));
                    return answers(acts, exchange, None, true);
                }
                1 => {
                    acts.push_back((sent, Act::Sent));
                    let status = [400, 401, 429, 500, 503][faults.random.between(0, 4) as usize];
                    acts.push_back((at, Act::Head(status)));
                    acts.push_back((at, Act::Bytes(b"{\"error\":\"no\"}".to_vec())));
                    acts.push_back((at, Act::End));
                    return answers(acts, exchange, None, true);
                }
                2 => {
                    acts.push_back((sent, Act::Sent));
                    return answers(acts, exchange, None, true);
                }
                _ => {}
            }
        }
        acts.push_back((sent, Act::Sent));
        acts.push_back((at, Act::Head(200)));
        let written = write(id, prompt, most, !chat.tools.is_empty(), &mut faults, &mut random);
        let wire = if is_anthropic { written.as_anthropic() } else { written.as_openai() };
        let breaks = faults.happens(2).then(|| faults.random.between(0, wire.len() as u64) as usize);
        let stalls = faults.happens(4);
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
            let is_lost = breaks.is_some() && faults.random.percent(50);
            acts.push_back((at, if is_lost { Act::Lost } else { Act::End }));
        }
        answers(acts, exchange, written.usage.filter(|_| breaks.is_none()), faults.any)
    }

    /// A recogniser or a voice, which answers from this time on.
    fn speech(
        now: Time,
        at: Time,
        id: RequestId,
        ask: &Ask,
        day: Day,
        seed: u64,
        faults: &mut Faults,
    ) -> Answering {
        let speech = Speech::new(ask, day, seed);
        let mut habits = speech.habits();
        let given = match ask {
            Ask::Speak(text) => Some(text.chars().count() as u64),
            Ask::Transcribe(samples) => Some(samples.len() as u64),
            _ => None,
        };
        let is_honest = !day.misbills;
        let stream = matches!(ask, Ask::Listen).then(|| Stream { is_honest, ..Stream::default() });
        let bounds = if stream.is_some() {
            let unanswered = Some(Duration::from_secs(15));
            Bounds { silence: None, unanswered, whole: None, bytes: usize::MAX, ..Bounds::default() }
        } else {
            Bounds::default()
        };
        let (exchange, _) = Exchange::open(now, Box::new(speech), bounds);
        let head = if faults.happens(4) { Act::Lost } else { Act::Head(200) };
        habits.fails |= faults.any;
        let acts = VecDeque::from([(at, head)]);
        Answering { id, habits, given, exchange, acts, billed: None, stream, held_back: None }
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
        let Stream { given, is_honest, .. } = self.stream.filter(|stream| stream.is_ready)?;
        let samples = match (u64::from(self.id.0) + given / 1_600) % 4 {
            _ if is_honest => given,
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
                Act::Sent => {
                    self.exchange.sent();
                    events.push(Event::Ready);
                    continue;
                }
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

/// What a model answers that may call tools or not, at most so many tokens.
fn write(
    id: RequestId,
    prompt: u64,
    most: u64,
    has_tools: bool,
    faults: &mut Faults,
    random: &mut Random,
) -> Written {
    let usual = random.between(1, most.min(12));
    // Some models do not keep to what they were asked for.
    let mut tokens = if faults.happens(8) { most + 5 } else { usual };
    let calls = if has_tools && random.percent(45) { random.between(1, 3) } else { 0 };
    if calls > 0 {
        tokens = random.between(0, 4);
    }
    let mut pieces = Vec::new();
    for token in 0..tokens {
        let word = ["mm ", "yes, ", "grüß ", "no. "][random.between(0, 3) as usize];
        pieces.push(Piece::Word(format!("{word}{token} ")));
        if faults.happens(6) {
            let noises = ["data: garbage\n\n", ": comment\n\n", "\u{0}\n\n"];
            let noise = noises[faults.random.between(0, 2) as usize];
            pieces.push(Piece::Noise(noise));
        }
    }
    for _ in 0..calls {
        let name = ["look", "book"][random.between(0, 1) as usize];
        // Of the few whose arguments fit nothing, the model hears.
        let key = if random.percent(5) { "x" } else { "n" };
        pieces.push(Piece::Call { name, key, number: random.between(0, 1 << 40) });
    }
    tokens += 4 * calls;
    // Some say that they have used far more than they may.
    let tokens = if faults.happens(8) { tokens + faults.random.between(1, 1 << 36) } else { tokens };
    let usage = random.percent(70).then_some((prompt, tokens));
    Written { id, pieces, usage, answers_twice: faults.happens(6) }
}

#[cfg(test)]
mod tests {
    use relay::money::bill::Quantity;
    use relay::provider::Chat;

    use super::*;

    #[test]
    fn both_dialects_say_the_same_to_the_codecs_that_read_them() {
        let call = Piece::Call { name: "look", key: "n", number: 7 };
        let pieces = vec![Piece::Word("grüß 0 ".to_owned()), Piece::Noise(": comment\n\n"), call];
        let written = Written { id: RequestId(3), pieces, usage: Some((41, 5)), answers_twice: true };
        let messages = vec![Message::User("Hello.".to_owned())];
        let ask = Ask::Chat(Chat { messages, tools: Vec::new(), max_output_tokens: 16 });
        for (kind, wire) in [(OPENAI, written.as_openai()), (ANTHROPIC, written.as_anthropic())] {
            let provider = provider(kind);
            let codec = provider.codec(&ask).expect("it is a language model");
            let (mut exchange, _) = Exchange::open(Time::ZERO, codec, provider.bounds(&ask));
            let media_type = "text/event-stream";
            let head = Input::Head { status: 200, retry_after: None, request_id: None, media_type };
            exchange.handle_input(Time::ZERO, head);
            for piece in wire.as_bytes().chunks(7) {
                exchange.handle_input(Time::ZERO, Input::Bytes(piece));
            }
            let (mut words, mut calls, mut used) = (String::new(), Vec::new(), None);
            while let Some(output) = exchange.poll_output() {
                match output {
                    Output::Event(Event::Text(text)) => words.push_str(&text),
                    Output::Event(Event::ToolCall(call)) => calls.push((call.name, call.arguments)),
                    Output::Event(Event::Finished(answer)) => used = answer.usage,
                    _ => {}
                }
            }
            assert_eq!(words, "grüß 0 ", "{kind}");
            assert_eq!(calls, [("look".to_owned(), "{\"n\":7}".to_owned())], "{kind}");
            let Some(Quantity::Tokens(tokens)) = used else { panic!("{kind} says {used:?}") };
            assert_eq!((tokens.prompt_tokens(), tokens.output_tokens()), (41, 5), "{kind}");
        }
    }
}
