//! What becomes of texts that come while a call ends.

use super::requests::thinking_tab;
use super::*;

/// What the last words cost at most.
const KEPT: u64 = 300_000;
const CHUNK: u64 = 8_000;

/// A call whose money goes to its end, with an agent that has last words or none.
pub(super) fn bench(has_last_words: bool) -> Bench {
    let cap = 4 * KEPT + CHUNK;
    let caps = Caps {
        session: NanoUsd::new(cap),
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    if !has_last_words {
        return Bench::of_tab(caps, NanoUsd::new(cap), 0, thinking_tab());
    }
    Bench::parting(caps, NanoUsd::new(cap), thinking_tab(), vec![(1, AtMost::Characters(10))], None)
}

fn says(text: &str) -> Upward {
    Upward::Say { text: text.to_owned(), interrupt: false }
}

impl Bench {
    /// A message of the page, behind what was said.
    fn message(&mut self, message: &Upward) -> Vec<Did> {
        let mark = Mark { seq: self.chunks + self.messages, position: self.chunks * 1_600 };
        self.messages += 1;
        self.input(Input::Message { mark, message })
    }

    /// 100 ms of the user, behind messages of the page.
    fn speaks(&mut self) -> Vec<Did> {
        let mark = Mark { seq: self.chunks + self.messages, position: self.chunks * 1_600 };
        self.chunks += 1;
        self.input(Input::Audio { mark, payload: &[0; 3_200] })
    }

    /// The user speaks until a chunk waits for money.
    pub(super) fn spends_all(&mut self) {
        loop {
            let before = self.call.usage().cost_nano_usd;
            self.speaks();
            self.written();
            if self.call.usage().cost_nano_usd == before {
                return;
            }
        }
    }

    pub(super) fn shortage(&self, contended: bool) -> Shortage {
        let balance = Balance { limit: self.caps.session, ..Balance::default() };
        Shortage { scope: Scope::Session, balance, contended, authorised: self.caps.session }
    }
}

/// The turns that are stored, as who says what, and the furthest mark before which all is stored with them.
pub(super) fn stored(did: &[Did]) -> (Vec<(Role, &str)>, Mark) {
    let stores = did
        .iter()
        .filter_map(|did| if let Did::Store(turns, mark) = did { Some((turns, *mark)) } else { None });
    let mut through = Mark::default();
    let mut said = Vec::new();
    for (turns, mark) in stores {
        if mark.seq > through.seq {
            through = mark;
        }
        said.extend(turns.iter().map(|turn| (turn.role, turn.text.as_str())));
    }
    (said, through)
}

#[test]
fn what_is_typed_while_the_agent_says_goodbye_is_in_the_record() {
    let mut bench = bench(true);
    bench.spends_all();
    assert_eq!(bench.message(&typed("Call me")), [], "it waits behind audio that waits for money");
    bench.told.lock().expect("one thread").clear();
    let short = Reserved::Short(bench.shortage(false));
    bench.input(Input::Reserved(&short));
    bench.speaks();
    bench.message(&typed("on 0151"));
    let told = bench.told.lock().expect("one thread").clone();
    let kinds: Vec<_> = told.iter().filter_map(|told| told.split(' ').next()).collect();
    let expected = ["Farewell", "Gap", "Typed", "Gap", "Typed"];
    assert_eq!(kinds, expected, "it reads what it is told, and hears nothing that is not paid for: {told:?}");
    let position = bench.chunks * 1_600;
    let chunk = |end: u32| format!("Gap {{ position: {}, end: {end} }}", end - 1_600);
    assert_eq!([&told[1], &told[3]], [&chunk(position - 1_600), &chunk(position)], "a chunk each, whole");
    // It says that it has read something, which is stored with all that comes before it.
    let text = "I mean it".to_owned();
    bench.script.lock().expect("one thread").push_back(AgentOutput::Typed { text, position });
    let did = bench.message(&typed("I mean it"));
    let through = Mark { seq: bench.chunks + bench.messages, position };
    assert_eq!(stored(&did), (vec![(Role::User, "I mean it")], through));
    assert!(bench.input(Input::Bye).iter().any(|did| matches!(did, Did::Exhausted(_))));
}

#[test]
fn who_hangs_up_behind_audio_that_is_never_paid_for_does_not_wait_for_the_last_words() {
    let mut bench = bench(true);
    bench.spends_all();
    bench.message(&typed("Bye"));
    assert_eq!(bench.input(Input::Bye), []);
    let short = Reserved::Short(bench.shortage(false));
    let did = bench.input(Input::Reserved(&short));
    assert!(did.iter().any(|did| matches!(did, Did::Exhausted(_))), "{did:?}");
    assert!(bench.written().contains(&Did::End(CloseCode::Budget)));
}

#[test]
fn texts_behind_audio_that_is_never_paid_for_are_neither_stored_nor_committed_so_that_the_client_tells_them_back()
 {
    let mut bench = bench(false);
    bench.spends_all();
    for message in [&typed("Call me"), &says("We close now."), &Upward::Context { text: "a hint".into() }] {
        assert_eq!(bench.message(message), []);
    }
    bench.speaks();
    assert_eq!(bench.message(&typed("on 0151")), []);
    let short = Reserved::Short(bench.shortage(false));
    let did = bench.input(Input::Reserved(&short));
    let (said, through) = stored(&did);
    let notice = "This call has reached its budget and ends here.";
    assert_eq!(said, [(Role::Agent, notice)]);
    assert_eq!(through.seq, 0, "the audio before them was not heard: nothing behind it is committed");
    assert!(bench.written().contains(&Did::End(CloseCode::Budget)));
}

#[test]
fn a_call_that_is_stopped_stores_no_text_behind_audio_that_was_not_paid_for_whatever_stops_it() {
    for code in [CloseCode::EndedByOperator, CloseCode::TooLong, CloseCode::TryLater, CloseCode::Unauthorized]
    {
        let mut bench = bench(false);
        bench.spends_all();
        bench.message(&typed("Call me"));
        // The client sends it again, or tells it back: it is not committed.
        assert_eq!(stored(&bench.input(Input::Stop(code))).0, [], "{code:?}");
        assert_eq!(stored(&bench.message(&typed("Hello?"))).0, [], "{code:?}");
        assert!(bench.written().contains(&Did::End(code)), "{code:?}");
    }
}

#[test]
fn what_the_agent_does_not_get_to_say_is_told_in_writing_unless_the_client_sends_it_again() {
    let unsaid = |position| AgentOutput::Unsaid { text: "We close soon.".into(), position: Some(position) };
    // The user hears nothing any more: the page has the words.
    let mut bench = bench(false);
    bench.message(&says("We close soon."));
    bench.script.lock().expect("one thread").push_back(unsaid(0));
    let did = bench.input(Input::Stop(CloseCode::EndedByOperator));
    assert_eq!(stored(&did), (vec![(Role::Agent, "We close soon.")], Mark { seq: 1, position: 0 }));
    assert!(
        did.iter()
            .any(|did| matches!(did, Did::Say(Saying::Transcript(turn)) if turn.text == "We close soon."))
    );
    // Another relay is sent it, and says it.
    for input in [Input::Checkpoint { sent_away: true }, Input::Stop(CloseCode::TryLater)] {
        let mut bench = self::bench(false);
        bench.message(&says("We close soon."));
        bench.script.lock().expect("one thread").push_back(unsaid(0));
        assert_eq!(stored(&bench.input(input)), (vec![], Mark::default()));
        // Not where a turn of the user has taken it along.
        let mut bench = self::bench(false);
        bench.message(&says("We close soon."));
        bench.script.lock().expect("one thread").push_back(said(0, 1_600));
        bench.speaks();
        bench.script.lock().expect("one thread").push_back(unsaid(0));
        assert_eq!(stored(&bench.input(input)).0, [(Role::Agent, "We close soon.")]);
    }
    // Who has hung up waits for nothing.
    let mut bench = self::bench(false);
    bench.message(&says("We close soon."));
    bench.script.lock().expect("one thread").extend([unsaid(0), AgentOutput::Final { through: 0 }]);
    assert_eq!(stored(&bench.input(Input::Bye)).0, []);
}
