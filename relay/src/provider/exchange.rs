//! One request to a provider, from its opening to its end, with bounds that hold whatever the provider does.

mod watch;

use std::time::Duration;

use bytes::Bytes;
use protocol::Time;

use super::{Ask, Codec, Event, Failure, FailureKind, Feed, Input, Opening, Output};
use watch::{Silence, Watch};

/// What a provider may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the opening to the head of the answer, or the WebSocket's being open.
    pub head: Duration,
    /// From the opening to the first piece of the answer; `None` where that is a silence like any other.
    pub first: Option<Duration>,
    /// Between two pieces of the answer; `None` where silence is no trouble, as while a user says nothing.
    pub silence: Option<Duration>,
    /// How long it may be given audio without saying anything about it, from where a voice begins in that which is more than a cough, or behind words
    /// that it has begun and not ended; `None` for one that is given none. Time in which no audio comes does not count, and neither does how much of it
    /// is given at once.
    pub unanswered: Option<Duration>,
    /// From the opening to the end; `None` for one that is as long as a call.
    pub whole: Option<Duration>,
    /// Bytes received in all.
    pub bytes: usize,
}

/// How long a provider may take with a request, as its operator wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Until the connection is there: TCP and TLS, and the opening of a WebSocket.
    pub connect: Duration,
    /// From the beginning of the request to the first piece of the answer.
    pub first: Duration,
    /// Between two pieces of the answer.
    pub silence: Duration,
    /// From the beginning of the request to the end of the answer.
    pub whole: Duration,
}

impl Default for Deadlines {
    /// As the table of the configuration has them.
    fn default() -> Self {
        Deadlines {
            connect: Duration::from_secs(5),
            first: Duration::from_secs(10),
            silence: Duration::from_secs(15),
            whole: Duration::from_secs(120),
        }
    }
}

impl Deadlines {
    /// For an answer over HTTP. That the connection is there in time is the client's to see to: only it knows when that is.
    #[must_use]
    pub(super) fn over_http(&self) -> Bounds {
        Bounds {
            head: self.first,
            first: Some(self.first),
            silence: Some(self.silence),
            whole: Some(self.whole),
            ..Bounds::default()
        }
    }

    /// For an answer of a language model, which may be as long as was asked for.
    #[must_use]
    pub(super) fn of_a_model(&self, ask: &Ask) -> Bounds {
        let tokens = if let Ask::Chat(ask) = ask { ask.max_output_tokens } else { 0 };
        let bytes = usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(TOKEN_MAX_BYTES);
        let usual = self.over_http();
        Bounds { bytes: usual.bytes.max(bytes), ..usual }
    }

    /// For an answer over a WebSocket.
    #[must_use]
    pub(super) fn over_socket(&self) -> Bounds {
        Bounds { head: self.connect, ..self.over_http() }
    }
}

impl Default for Bounds {
    /// For one answer of a language model.
    fn default() -> Self {
        Bounds {
            head: Duration::from_secs(10),
            first: None,
            silence: Some(Duration::from_secs(15)),
            unanswered: None,
            whole: Some(Duration::from_secs(120)),
            bytes: 1 << 20,
        }
    }
}

/// A recogniser may keep words that it has begun for so long, however little it may be silent otherwise: between two of its results is some time.
const BEGUN_MAX: Duration = Duration::from_secs(5);
/// What a token of an answer may take on the wire. Some servers send each in an event of its own, with half a kilobyte around it.
const TOKEN_MAX_BYTES: usize = 1 << 11;

/// One request. It tells its asker any number of pieces and then one end: [`Event::Finished`] or [`Event::Failed`].
pub struct Exchange {
    codec: Box<dyn Codec>,
    bounds: Bounds,
    began: Time,
    /// The connection is not there yet, so that nothing was asked.
    is_connecting: bool,
    /// When the provider has been silent for too long.
    silent_at: Option<Time>,
    /// Whether it says something of the audio that it is given.
    watch: Option<Watch>,
    /// When it has taken too long in all.
    over_at: Option<Time>,
    received: usize,
    /// It answers over HTTP, and so has read what it was asked.
    has_begun: bool,
    /// It was refused with this status, to be asked again after so many seconds: that counts, however the words about it end.
    refused: Option<(u16, Option<u32>)>,
    /// The end, told after everything that the codec still has.
    failed: Option<Failure>,
    ended: bool,
}

impl Exchange {
    /// An exchange that begins now. The driver opens what the second value says, and then tells of it.
    #[must_use]
    pub fn open(now: Time, mut codec: Box<dyn Codec>, bounds: Bounds) -> (Exchange, Opening) {
        let opening = codec.open();
        let exchange = Exchange {
            codec,
            bounds,
            began: now,
            is_connecting: true,
            silent_at: Some(now + bounds.head),
            watch: bounds.unanswered.map(Watch::new),
            over_at: bounds.whole.map(|whole| now + whole),
            received: 0,
            has_begun: false,
            refused: None,
            failed: None,
            ended: false,
        };
        (exchange, opening)
    }

    /// One thing happened.
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        if self.is_over() {
            return;
        }
        let (silent_at, pieces) = (self.silent_at, self.codec.pieces());
        match input {
            Input::Head { status, retry_after, .. } => {
                self.is_connecting = false;
                self.has_begun = (200..300).contains(&status);
                self.refused = (status >= 300).then_some((status, retry_after));
                self.heard(now);
                self.silent_at = self.bounds.first.map(|first| self.began + first).or(self.silent_at);
                if self.refused.is_some() {
                    // Nobody is silent any more whose silence would be no trouble.
                    self.silent_at = self.silent_at.or(Some(now + self.bounds.head));
                }
            }
            Input::Bytes(bytes) | Input::Binary(bytes) => self.receive(now, bytes.len()),
            Input::Text(text) => self.receive(now, text.len()),
            Input::Timeout if self.due().is_some_and(|due| due <= now) => {
                let is_over = self.over_at.is_some_and(|over| over <= now);
                let (kind, after) = match (self.is_connecting, is_over) {
                    // What was not asked is not billed, so it is not called an answer that came too late.
                    (true, _) => (FailureKind::Connection, "no connection"),
                    (false, true) => (FailureKind::Timeout, "no end"),
                    (false, false) => (FailureKind::Timeout, "nothing came"),
                };
                self.fail(kind, format!("{after} in time"));
            }
            Input::Feed(Feed::Audio(audio)) => self.give(now, audio),
            Input::Timeout | Input::End | Input::Lost(_) | Input::Feed(_) => {}
        }
        if self.failed.is_none() {
            self.codec.handle_input(now, input);
        }
        let has_answered = self.codec.pieces() != pieces;
        if matches!(input, Input::Bytes(_)) && pieces.is_some() && !has_answered {
            // Somebody keeps the connection alive, who has still said nothing.
            self.silent_at = silent_at;
        }
        if has_answered {
            self.answered();
        }
        match input {
            // What the codec makes of it comes first; an end without an end is told below.
            Input::End => self.fail(self.cut(), "the answer broke off"),
            Input::Lost(cause) => self.fail(self.cut(), cause),
            _ => {}
        }
    }

    /// What it is called that the connection is gone.
    fn cut(&self) -> FailureKind {
        if self.has_begun { FailureKind::BrokeOff } else { FailureKind::Connection }
    }

    /// What is asked over HTTP is on its way: the connection is there, and takes it. The driver tells whoever asked, by [`Event::Ready`].
    pub fn sent(&mut self) {
        self.is_connecting = false;
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.ended {
            return None;
        }
        let output =
            self.codec.poll_output().or_else(|| Some(Output::Event(Event::Failed(self.failed.take()?))))?;
        match output {
            Output::Event(Event::Finished(_) | Event::Failed(_)) => self.ended = true,
            // What cannot be understood is no answer, and neither is what the codec says by itself.
            Output::Event(Event::Ready | Event::Named(_) | Event::Unanswered { .. })
            | Output::Text(_)
            | Output::Binary(_) => {}
            // Of whoever counts its pieces it is known whether an event is one.
            Output::Event(_) if self.codec.pieces().is_some() => {}
            Output::Event(_) => self.answered(),
        }
        Some(output)
    }

    /// The provider was not read for this long, because whoever asked had no room for what it says: none of its bounds has run meanwhile.
    pub fn held_back(&mut self, for_so_long: Duration) {
        for due in [&mut self.silent_at, &mut self.over_at].into_iter().flatten() {
            *due = *due + for_so_long;
        }
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.codec.poll_timeout().into_iter().chain(self.due()).min()
    }

    /// Whether the end was told: whatever it holds may go.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended
    }

    fn due(&self) -> Option<Time> {
        self.silent_at.into_iter().chain(self.over_at).min()
    }

    fn heard(&mut self, now: Time) {
        self.silent_at = self.bounds.silence.map(|silence| now + silence);
    }

    /// It is given audio.
    fn give(&mut self, now: Time, audio: &Bytes) {
        match self.watch.as_mut().map(|watch| watch.give(now, audio)) {
            Some(Silence::Fault) => self.fail(FailureKind::Timeout, "it says nothing about what it hears"),
            Some(Silence::Nobody(silent)) => {
                if !self.codec.nobody_spoke() && silent >= BEGUN_MAX {
                    self.fail(FailureKind::Timeout, "it says nothing more about words that it has begun");
                }
            }
            Some(Silence::Short) | None => {}
        }
    }

    /// It has said something.
    fn answered(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.answered();
        }
    }

    fn receive(&mut self, now: Time, bytes: usize) {
        self.heard(now);
        self.received = self.received.saturating_add(bytes);
        if self.received > self.bounds.bytes {
            self.fail(FailureKind::Flood, format!("more than {} bytes", self.bounds.bytes));
        }
    }

    /// The first cause counts.
    fn fail(&mut self, kind: FailureKind, message: impl Into<String>) {
        let refused = self.refused;
        let message = self.codec.shown(&message.into());
        self.failed.get_or_insert_with(|| match refused {
            Some((status, retry_after)) => {
                let message = format!("HTTP {status}, and of its words {message}");
                Failure::of_status(status, message, retry_after)
            }
            None => Failure::new(kind, message),
        });
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("received", &self.received)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    /// Says back what it hears, and never ends by itself.
    struct Parrot(std::collections::VecDeque<Output>);

    impl Codec for Parrot {
        fn open(&mut self) -> Opening {
            let url = reqwest::Url::parse("ws://127.0.0.1/").expect("an address");
            Opening::Socket(Target { url, headers: Vec::new(), body: Vec::new() })
        }

        fn handle_input(&mut self, _now: Time, input: Input<'_>) {
            if let Input::Text(text) = input {
                self.0.push_back(Output::Event(Event::Text(text.to_owned())));
            }
        }

        fn poll_output(&mut self) -> Option<Output> {
            self.0.pop_front()
        }
    }

    const HEAD: Input<'static> =
        Input::Head { status: 101, retry_after: None, request_id: None, media_type: "" };

    fn open() -> Exchange {
        let bounds = Bounds { bytes: 100, ..Bounds::default() };
        Exchange::open(Time::ZERO, Box::new(Parrot(std::collections::VecDeque::new())), bounds).0
    }

    fn failure(exchange: &mut Exchange) -> Option<FailureKind> {
        let mut failures = std::iter::from_fn(|| exchange.poll_output()).filter_map(|output| match output {
            Output::Event(Event::Failed(failure)) => Some(failure.kind),
            _ => None,
        });
        let failure = failures.next();
        assert_eq!(failures.next(), None, "an exchange ends once");
        failure
    }

    #[test]
    fn a_provider_may_be_silent_only_so_long_before_and_after_its_first_word() {
        for (words, silent_at) in [(0, 10_000), (1, 15_000), (3, 19_000)] {
            let mut exchange = open();
            if words > 0 {
                exchange.handle_input(Time::ZERO, HEAD);
            }
            for word in 1..words {
                exchange.handle_input(Time::from_millis(word * 2_000), Input::Text("word"));
            }
            assert_eq!(exchange.poll_timeout(), Some(Time::from_millis(silent_at)));
            exchange.handle_input(Time::from_millis(silent_at - 1), Input::Timeout);
            assert_eq!(failure(&mut exchange), None);
            exchange.handle_input(Time::from_millis(silent_at), Input::Timeout);
            // Before the socket is open nothing was asked.
            let kind = if words == 0 { FailureKind::Connection } else { FailureKind::Timeout };
            assert_eq!(failure(&mut exchange), Some(kind));
        }
    }

    #[test]
    fn who_has_the_question_and_says_nothing_is_late() {
        let mut exchange = open();
        exchange.sent();
        exchange.handle_input(Time::from_millis(10_000), Input::Timeout);
        assert_eq!(failure(&mut exchange), Some(FailureKind::Timeout));
    }

    #[test]
    fn where_the_first_piece_has_a_time_of_its_own_the_head_alone_gives_no_more() {
        let bounds = Bounds { first: Some(Duration::from_secs(12)), ..Bounds::default() };
        let parrot = Box::new(Parrot(std::collections::VecDeque::new()));
        let mut exchange = Exchange::open(Time::ZERO, parrot, bounds).0;
        exchange.handle_input(Time::from_millis(9_000), HEAD);
        assert_eq!(exchange.poll_timeout(), Some(Time::from_millis(12_000)));
        exchange.handle_input(Time::from_millis(11_000), Input::Text("word"));
        assert_eq!(exchange.poll_timeout(), Some(Time::from_millis(26_000)));
    }

    #[test]
    fn a_recogniser_that_says_nothing_of_a_voice_has_failed_and_one_that_hears_nobody_has_not() {
        let bounds = Bounds {
            silence: None,
            unanswered: Some(Duration::from_secs(15)),
            bytes: 1_000,
            ..Bounds::default()
        };
        let parrot = || Box::new(Parrot(std::collections::VecDeque::new()));
        let sound = |tenth: u64, is_voice: bool| {
            let from = tenth as u32 * 1_600;
            let sample = |at| if is_voice { audio::synthetic::voice(at) } else { 0 };
            let bytes = (from..from + 1_600).map(sample).flat_map(i16::to_le_bytes).collect::<Vec<u8>>();
            Feed::Audio(bytes.into())
        };
        // When one fails that is given audio ten times a second, but not in the seconds `paused`, and says something at the second `word`.
        // Somebody speaks in the tenths of a second `voice`.
        let fails_at =
            |word: u64, paused: std::ops::Range<u64>, at_once: u64, voice: std::ops::Range<u64>| {
                let mut exchange = Exchange::open(Time::ZERO, parrot(), bounds).0;
                exchange.handle_input(Time::ZERO, HEAD);
                for tenth in 0..at_once {
                    exchange.handle_input(Time::ZERO, Input::Feed(&sound(tenth, voice.contains(&tenth))));
                }
                (0..600).find(|tenth| {
                    let now = Time::from_millis(tenth * 100);
                    if *tenth == word * 10 {
                        exchange.handle_input(now, Input::Text("word"));
                        exchange.poll_output();
                    }
                    // What nobody understands comes all the time.
                    exchange.handle_input(now, Input::Binary(&[7]));
                    if !paused.contains(&(tenth / 10)) {
                        exchange.handle_input(now, Input::Feed(&sound(*tenth, voice.contains(tenth))));
                    }
                    failure(&mut exchange) == Some(FailureKind::Timeout)
                })
            };
        assert_eq!(fails_at(99, 0..0, 0, 0..600), Some(151));
        assert_eq!(
            fails_at(99, 0..0, 500, 0..600),
            Some(151),
            "what it is given at once takes it no longer to begin with"
        );
        assert_eq!(fails_at(10, 0..0, 0, 0..600), Some(250));
        let paused = fails_at(99, 5..30, 0, 0..600);
        assert_eq!(paused, Some(392), "a pause counts for the second that may be a gap");
        assert_eq!(fails_at(99, 5..60, 0, 0..600), None);
        assert_eq!(fails_at(99, 0..0, 0, 0..0), None, "where nobody speaks there is nothing to say");
        // It has as long as any other from where somebody began to speak, 200 ms of what is before that being part of it.
        for begins in [100, 200, 290] {
            let fails = fails_at(99, 0..0, 0, begins..begins + 10).expect("it heard somebody");
            assert!((begins + 145..=begins + 155).contains(&fails), "{fails}, with a voice from {begins} on");
        }
    }

    #[test]
    fn a_provider_that_drips_for_ever_is_cut_off() {
        let mut exchange = open();
        exchange.handle_input(Time::ZERO, HEAD);
        for second in 1..120 {
            exchange.handle_input(Time::from_millis(second * 1_000), Input::Binary(&[]));
            assert_eq!(failure(&mut exchange), None);
        }
        exchange.handle_input(Time::from_millis(120_000), Input::Timeout);
        assert_eq!(failure(&mut exchange), Some(FailureKind::Timeout));
    }

    #[test]
    fn a_flood_is_cut_off_and_what_came_before_is_told() {
        let mut exchange = open();
        exchange.handle_input(Time::ZERO, HEAD);
        exchange.handle_input(Time::ZERO, Input::Text("before"));
        exchange.handle_input(Time::ZERO, Input::Bytes(&[0; 100]));
        assert_eq!(exchange.poll_output(), Some(Output::Event(Event::Text("before".to_owned()))));
        assert_eq!(failure(&mut exchange), Some(FailureKind::Flood));
        exchange.handle_input(Time::ZERO, Input::Text("after"));
        assert_eq!(exchange.poll_output(), None);
    }

    #[test]
    fn the_first_cause_counts_and_an_end_without_an_end_is_one() {
        let mut exchange = open();
        exchange.handle_input(Time::ZERO, Input::Lost("refused"));
        exchange.handle_input(Time::ZERO, Input::End);
        let expected = Failure::new(FailureKind::Connection, "refused");
        assert_eq!(exchange.poll_output(), Some(Output::Event(Event::Failed(expected))));
        let mut exchange = open();
        exchange.handle_input(Time::ZERO, HEAD);
        exchange.handle_input(Time::ZERO, Input::End);
        assert_eq!(failure(&mut exchange), Some(FailureKind::Connection));
    }

    #[test]
    fn an_answer_that_has_begun_may_be_billed_and_a_connection_that_breaks_before_it_is_not() {
        let head = |status| Input::Head { status, retry_after: None, request_id: None, media_type: "" };
        for end in [Input::End, Input::Lost("reset")] {
            for (head, kind) in [
                (None, FailureKind::Connection),
                (Some(head(101)), FailureKind::Connection),
                (Some(head(200)), FailureKind::BrokeOff),
                (Some(head(206)), FailureKind::BrokeOff),
                (Some(head(503)), FailureKind::Provider),
            ] {
                let mut exchange = open();
                exchange.sent();
                head.into_iter().for_each(|head| exchange.handle_input(Time::ZERO, head));
                exchange.handle_input(Time::ZERO, end);
                assert_eq!(failure(&mut exchange), Some(kind), "{head:?}, {end:?}");
                assert_eq!(kind.may_be_billed(), kind == FailureKind::BrokeOff);
            }
        }
    }
}
