//! What a call does when its money or its time comes to an end.

use super::requests::{MIND, thinking_tab};
use super::*;

/// What the last words cost at most: ten characters at 30 dollars for a million.
const KEPT: u64 = 300_000;
const CHUNK: u64 = 8_000;

/// A call with so much for the session in all, whose agent has ten characters to say at last.
fn bench(cap: u64, ends: Option<Time>) -> Bench {
    let caps = Caps {
        session: NanoUsd::new(cap),
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    let farewell = vec![(1, AtMost::Characters(10))];
    Bench::parting(caps, NanoUsd::new(cap), thinking_tab(), farewell, ends)
}

fn ask(request: u32, prompt: u64) -> AgentOutput {
    let chat = relay::provider::Chat { messages: Vec::new(), tools: Vec::new(), max_output_tokens: 100 };
    let (request, ask) = (RequestId(request), Ask::Chat(chat));
    AgentOutput::Ask { request, provider: 0, ask, at_most: AtMost::Tokens { prompt, output: 0 } }
}

fn used(request: u32, input: u64) -> AgentOutput {
    let used = Some(Quantity::Tokens(TokenUsage { input, ..TokenUsage::default() }));
    AgentOutput::Spent { request: RequestId(request), used, estimated: false, provider_id: None }
}

fn speak(request: u32) -> AgentOutput {
    let at_most = AtMost::Characters(10);
    AgentOutput::Ask { request: RequestId(request), provider: 1, ask: Ask::Speak("Goodbye.".into()), at_most }
}

impl Bench {
    fn does(&mut self, does: impl IntoIterator<Item = AgentOutput>) {
        self.script.lock().expect("one thread").extend(does);
    }

    /// What the agent was told of money and time.
    fn told(&self) -> Vec<String> {
        let told = self.told.lock().expect("one thread");
        told.iter()
            .filter(|told| told.starts_with("Means") || told.starts_with("Farewell"))
            .cloned()
            .collect()
    }

    /// There is no more than this for the session.
    fn refuse(&mut self, authorised: u64) -> Vec<Did> {
        let authorised = NanoUsd::new(authorised);
        let balance = Balance { limit: self.caps.session, ..Balance::default() };
        let (scope, contended) = (Scope::Session, false);
        self.input(Input::Reserved(&Reserved::Short(Shortage { scope, balance, contended, authorised })))
    }

    fn grant(&mut self, authorised: u64) -> Vec<Did> {
        let authorised = NanoUsd::new(authorised);
        let grant = Grant { authorised, standing: self.standing() };
        self.input(Input::Reserved(&Reserved::Granted(grant)))
    }

    fn standing(&self) -> Standing {
        let mut standing = Standing::unused(self.caps);
        standing.session.spent = NanoUsd::new(self.call.usage().cost_nano_usd);
        standing
    }

    /// The store writes everything, until nothing more is to be written.
    pub(super) fn written(&mut self) -> Vec<Did> {
        let mut did = Vec::new();
        for _ in 0..6 {
            let cost = NanoUsd::new(self.call.usage().cost_nano_usd);
            let standing = self.standing();
            did.extend(self.input(Input::Settled { cost, standing: &standing }));
            did.extend(self.input(Input::Stored { committed: Mark::default() }));
        }
        did
    }
}

fn has_reserve(did: &[Did]) -> bool {
    did.iter().any(|did| matches!(did, Did::Reserve(..)))
}

#[test]
fn what_the_last_words_cost_is_left_when_everything_else_is_spent_and_pays_for_them() {
    let cap = 4 * KEPT + CHUNK;
    let mut bench = bench(cap, None);
    let mut did = Vec::new();
    // Listening spends everything but what is kept, and no more.
    for _ in 0..(cap - KEPT) / CHUNK + 1 {
        did.extend(bench.chunk([]));
        did.extend(bench.written());
    }
    assert!(bench.told().is_empty() && has_reserve(&did), "{did:?}");
    assert_eq!(bench.call.usage().cost_nano_usd, (cap - KEPT) / CHUNK * CHUNK);
    bench.does([speak(0)]);
    let did = bench.refuse(cap);
    assert_eq!(bench.told(), ["Farewell"]);
    assert!(has_reserve(&did) && !did.iter().any(|did| matches!(did, Did::Exhausted(_))), "{did:?}");
    assert!(bench.grant(cap).contains(&Did::Open(RequestId(0))));
    // What the user says now waits for money that does not come.
    bench.chunk([]);
    let cost = bench.call.usage().cost_nano_usd;
    let words = AgentOutput::Words { text: "Goodbye.".into(), start: 0, end: 0, last: true };
    let paid = AgentOutput::Spent {
        request: RequestId(0),
        used: Some(Quantity::Characters(8)),
        estimated: false,
        provider_id: None,
    };
    bench.does([words, paid, AgentOutput::AnswerEnd, AgentOutput::HangUp]);
    let did = bench.input(Input::Provider { request: RequestId(0), event: &Event::Ready });
    assert_eq!(bench.call.usage().cost_nano_usd, cost + 240_000);
    assert!(bench.call.usage().cost_nano_usd <= cap);
    assert!(did.iter().any(|did| matches!(did, Did::Exhausted(_))), "{did:?}");
    let says = |did: &Did| matches!(did, Did::Say(Saying::Transcript(turn)) if turn.text.contains("budget"));
    assert!(!did.iter().any(says), "it was said: {did:?}");
    assert!(bench.written().contains(&Did::End(CloseCode::Budget)));
}

#[test]
fn a_question_that_is_too_dear_is_asked_for_less_before_the_agent_says_goodbye() {
    let cap = 8 * KEPT;
    let mut bench = bench(cap, None);
    bench.does([said(0, 0), ask(0, 5_000_000)]);
    let did = bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
    assert!(has_reserve(&did), "{did:?}");
    bench.written();
    // Each time it asks for less, until that is too much as well.
    let less = |request, prompt| {
        let used = None;
        let (estimated, provider_id) = (true, None);
        let over = AgentOutput::Spent { request: RequestId(request), used, estimated, provider_id };
        [over, ask(request + 1, prompt)]
    };
    bench.does(less(0, 4_000_000));
    assert!(has_reserve(&bench.refuse(cap)), "at once");
    assert_eq!(bench.told(), ["Means { means: Little, refused: Some(RequestId(0)) }"]);
    bench.does(less(1, 3_000_000));
    assert!(has_reserve(&bench.refuse(cap)));
    assert_eq!(bench.told()[1..], ["Means { means: Scarce, refused: Some(RequestId(1)) }"]);
    bench.refuse(cap);
    assert_eq!(bench.told()[2..], ["Farewell"]);
    assert_eq!(bench.call.usage().cost_nano_usd, 0);
}

#[test]
fn an_answer_is_not_broken_off_for_want_of_what_its_own_requests_have_set_aside() {
    let cap = 4 * KEPT;
    let mut bench = bench(cap, None);
    // The model may use all that is left, and uses little of it.
    bench.does([said(0, 0), ask(0, 800)]);
    bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
    bench.written();
    bench.grant(cap);
    bench.does([speak(1)]);
    bench.input(Input::Provider { request: MIND, event: &Event::Ready });
    let mut opened = Vec::new();
    for _ in 0..6 {
        let did = bench.wait(Duration::from_millis(500));
        if has_reserve(&did) {
            opened.extend(bench.refuse(cap));
        }
    }
    assert_eq!((bench.told(), opened), (vec![], vec![]), "it waits");
    bench.does([used(0, 10)]);
    let mut did = bench.input(Input::Provider { request: MIND, event: &Event::Ready });
    did.extend(bench.written());
    did.extend(bench.grant(cap));
    assert!(did.contains(&Did::Open(RequestId(1))), "{did:?}");
}

#[test]
fn last_words_that_do_not_come_are_not_waited_for_and_the_end_is_told_in_writing() {
    let cap = 4 * KEPT + CHUNK;
    let mut bench = bench(cap, None);
    for _ in 0..(cap - KEPT) / CHUNK + 1 {
        bench.chunk([]);
        bench.written();
    }
    bench.refuse(cap);
    let did = bench.wait(Duration::from_secs(60));
    let says = |did: &Did| matches!(did, Did::Say(Saying::Transcript(turn)) if turn.text.contains("budget"));
    assert!(did.iter().any(says), "{did:?}");
    assert!(bench.written().contains(&Did::End(CloseCode::Budget)));
}

#[test]
fn last_words_that_cost_much_of_what_is_left_are_not_kept_money_for() {
    let cap = 4 * KEPT - 1;
    let mut bench = bench(cap, None);
    for _ in 0..cap / CHUNK {
        bench.chunk([]);
        bench.written();
    }
    assert_eq!(bench.call.usage().cost_nano_usd, cap / CHUNK * CHUNK, "all of it is for listening");
    bench.does([speak(0)]);
    bench.chunk([]);
    bench.refuse(cap);
    assert_eq!(bench.told(), ["Farewell"]);
    let did = bench.refuse(cap);
    assert!(did.iter().any(|did| matches!(did, Did::Exhausted(_))), "they are too dear: {did:?}");
}

#[test]
fn the_agent_hears_that_the_money_goes_less_far_before_it_is_at_its_end() {
    let mut bench = bench(10 * KEPT, None);
    // Each answer costs 200,000 of 3,000,000, of which 300,000 are kept.
    for request in 0..12 {
        bench.does([said(0, 0), ask(request, 200)]);
        bench.input(Input::Message { mark: Mark { seq: request, position: 0 }, message: &typed("hello") });
        bench.written();
        bench.grant(10 * KEPT);
        bench.does([used(request, 200)]);
        bench.input(Input::Provider { request: RequestId(request), event: &Event::Ready });
        bench.written();
        assert_eq!(bench.call.usage().cost_nano_usd, 200_000 * u64::from(request + 1));
        let expected = match request {
            ..=5 => 0,
            6..=8 => 1,
            _ => 2,
        };
        assert_eq!(bench.told().len(), expected, "after {request}: {:?}", bench.told());
    }
    let told = ["Means { means: Little, refused: None }", "Means { means: Scarce, refused: None }"];
    assert_eq!(bench.told(), told);
}

#[test]
fn before_the_longest_time_is_over_the_agent_says_its_last_words() {
    let ends = Time::from_millis(60_001);
    let mut bench = bench(10 * KEPT, Some(ends));
    bench.wait(Duration::from_secs(39));
    assert!(bench.told().is_empty());
    bench.wait(Duration::from_secs(2));
    assert_eq!(bench.told(), ["Farewell"]);
    bench.does([AgentOutput::HangUp]);
    let did = bench.chunk([]);
    assert!(did.contains(&Did::Trouble(ErrorCode::TooLong)), "{did:?}");
    assert!(bench.written().contains(&Did::End(CloseCode::TooLong)));
}
