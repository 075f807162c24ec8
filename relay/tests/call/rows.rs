//! What the rows of a call say beside what was used: which turn they are of, and whom the audio was heard by.

use relay::provider::{Chat, Heard, TurnSign};

use super::*;

const MIND: usize = 2;
const VOICE: usize = 3;

/// Two recognisers that hear all of a call, the second at twice the price; a model, a voice, and a recogniser of utterances.
fn tab() -> Tab {
    let toml = r#"
        version = "1"
        item = [
            { name = "acme/ear", unit = "second", usd = "0.006", per = 60 },
            { name = "acme/other", unit = "second", usd = "0.012", per = 60 },
            { name = "acme/mind", unit = "input_token", usd = "1", per = 1000000 },
            { name = "acme/mind", unit = "output_token", usd = "5", per = 1000000 },
            { name = "acme/voice", unit = "character", usd = "30", per = 1000000 },
        ]"#;
    let table = PriceTable::parse(toml).expect("a table");
    let stream = |item| ItemPrice::stream(&table, item, 0).expect("priced");
    let mind = ItemPrice::model(&table, "acme/mind", 0).expect("priced");
    let voice = ItemPrice::voice(&table, "acme/voice", 0).expect("priced");
    let utterances = ItemPrice::utterances(&table, "acme/ear", 0).expect("priced");
    let ear = Meter::new(table.price("acme/ear").expect("priced").clone(), 16_000);
    let prices = vec![stream("acme/ear"), stream("acme/other"), mind, voice, utterances];
    Tab::new(ear, prices, 0, Earlier::default())
}

fn bench() -> Bench {
    of(NanoUsd::new(5_000_000_000))
}

/// A call that has so much.
fn of(authorised: NanoUsd) -> Bench {
    let caps = Caps {
        session: authorised,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    Bench::of_tab(caps, authorised, 0, tab())
}

/// A call that goes on with this turn after another relay.
fn at_turn(turn: u32) -> Bench {
    goes_on(turn, 0, 0)
}

/// The same, where so many samples may be played again that were metered up to this position.
fn goes_on(turn: u32, replayable: u32, metered_through: u32) -> Bench {
    let mut bench = bench();
    let puppet = Puppet {
        script: bench.script.clone(),
        told: bench.told.clone(),
        sound: None,
        farewell: None,
        room: bench.room.clone(),
    };
    let start = Start {
        mark: Mark::default(),
        turn,
        tab: tab(),
        caps: bench.caps,
        grant: Grant { authorised: NanoUsd::new(5_000_000_000), standing: Standing::unused(bench.caps) },
        is_taken_over: true,
        replayable,
        metered_through,
        ends: None,
        broken_off: Vec::new(),
    };
    bench.call = Call::new(bench.now, Box::new(puppet), start);
    bench.drain();
    bench
}

fn ask(request: u32, provider: usize, ask: Ask, at_most: AtMost) -> AgentOutput {
    AgentOutput::Ask { request: RequestId(request), provider, ask, at_most }
}

fn chat(request: u32) -> AgentOutput {
    let chat = Chat { messages: Vec::new(), tools: Vec::new(), max_output_tokens: 100 };
    ask(request, MIND, Ask::Chat(chat), AtMost::Tokens { prompt: 100, output: 100 })
}

fn speak(request: u32) -> AgentOutput {
    ask(request, VOICE, Ask::Speak("Hello.".into()), AtMost::Characters(10))
}

fn listen(request: u32, place: usize) -> AgentOutput {
    ask(request, place, Ask::Listen, AtMost::Nothing)
}

fn transcribe(request: u32) -> AgentOutput {
    ask(request, 4, Ask::Transcribe(vec![0; 16_000]), AtMost::Samples(16_000))
}

fn spent(request: u32, used: Quantity) -> AgentOutput {
    let (request, used) = (RequestId(request), Some(used));
    AgentOutput::Spent { request, used, estimated: false, provider_id: None }
}

/// A recogniser that hears all of a call is over.
fn ends(request: u32) -> AgentOutput {
    AgentOutput::Spent { request: RequestId(request), used: None, estimated: true, provider_id: None }
}

fn thought(request: u32) -> AgentOutput {
    spent(request, Quantity::Tokens(TokenUsage { input: 10, output: 1, ..TokenUsage::default() }))
}

fn spoke(request: u32) -> AgentOutput {
    spent(request, Quantity::Characters(6))
}

impl Bench {
    /// The agent does this, for which there is money; what is spent is written.
    fn acts(&mut self, does: impl IntoIterator<Item = AgentOutput>) -> Vec<Did> {
        let mut did = self.chunk(does);
        loop {
            let before = did.len();
            for asked in did.clone().into_iter().rev().take_while(|did| !matches!(did, Did::Open(_))) {
                if let Did::Reserve(through, ..) = asked {
                    let grant = Grant { authorised: through.at_most, standing: Standing::unused(self.caps) };
                    did.extend(self.input(Input::Reserved(&Reserved::Granted(grant))));
                    break;
                }
            }
            for _ in 0..4 {
                let cost = NanoUsd::new(self.call.usage().cost_nano_usd);
                let standing = Standing::unused(self.caps);
                did.extend(self.input(Input::Settled { cost, standing: &standing }));
            }
            if did.len() == before {
                return did;
            }
        }
    }

    /// All rows that are written from now on, with the last ones.
    fn rows(&mut self, did: Vec<Did>) -> Vec<LedgerRow> {
        let last = self.input(Input::Checkpoint { sent_away: true });
        let rows = did.into_iter().chain(last).filter_map(|did| match did {
            Did::Settle(rows, ..) => Some(rows),
            _ => None,
        });
        rows.flatten().collect()
    }
}

/// Which turn the rows of each request name, without its kinds of token.
fn named(rows: &[LedgerRow]) -> Vec<(u32, Option<u32>)> {
    let mut named: Vec<(u32, Option<u32>)> = rows
        .iter()
        .filter_map(|row| {
            let (_, of) = row.key.rsplit_once('@')?;
            let (request, _) = of.split_once('.')?.1.split_once('/')?;
            Some((request.parse().ok()?, row.turn))
        })
        .collect();
    named.sort_unstable();
    named.dedup();
    named
}

#[test]
fn each_row_of_a_model_and_a_voice_names_the_turn_of_the_user_that_is_answered() {
    let mut bench = bench();
    let words = |text: &str| AgentOutput::Words { text: text.into(), start: 0, end: 2_400, last: true };
    // A greeting answers nobody.
    let mut did = bench.acts([speak(0)]);
    did.extend(bench.acts([words("Hello."), spoke(0), AgentOutput::AnswerEnd]));
    did.extend(bench.input(Input::Played(u32::MAX)));
    // A short answer: the model is through before its first sound. Turn 0 is the greeting's.
    did.extend(bench.acts([said(0, 1_600), chat(1)]));
    did.extend(bench.acts([thought(1), speak(2)]));
    did.extend(bench.acts([words("Yes."), spoke(2), AgentOutput::AnswerEnd]));
    // A long one, which the user interrupts: turns 3 and 5, the answer between them.
    did.extend(bench.acts([said(1_600, 4_800), chat(3)]));
    did.extend(bench.acts([speak(4)]));
    did.extend(bench.acts([words("Once upon a time.")]));
    did.extend(bench.acts([AgentOutput::Cut, thought(3), spoke(4), said(4_800, 8_000), chat(5)]));
    // One that is prepared while the user still speaks, and one that a model makes with a tool.
    did.extend(bench.acts([thought(5)]));
    let partial = AgentOutput::Partial { text: "And".into(), start: 8_000, end: 9_600, final_through: None };
    did.extend(bench.acts([partial, chat(6)]));
    did.extend(bench.acts([thought(6), said(8_000, 11_200), chat(7)]));
    did.extend(bench.acts([thought(7), chat(8), speak(9)]));
    did.extend(bench.acts([thought(8)]));
    // What nobody accounts for names its turn as well.
    let rows = bench.rows(did);
    let turns = [(0, None), (1, Some(1)), (2, Some(1)), (3, Some(3)), (4, Some(3)), (5, Some(5))];
    assert_eq!(named(&rows)[..6], turns);
    assert_eq!(named(&rows)[6..], [6, 7, 8, 9].map(|request| (request, Some(6))));
    assert!(rows.iter().filter(|row| row.unit == "sample").all(|row| row.turn.is_none()));
}

#[test]
fn a_row_of_an_utterance_names_the_turn_that_was_understood_from_it() {
    let mut bench = bench();
    let heard = |request| spent(request, Quantity::Samples(16_000));
    let mut did = bench.acts([transcribe(0)]);
    did.extend(bench.acts([said(0, 1_600), heard(0), chat(1)]));
    // The agent answers, and is interrupted: what is spent meanwhile is of neither.
    let words = AgentOutput::Words { text: "Yes.".into(), start: 0, end: 2_400, last: false };
    did.extend(bench.acts([words, transcribe(2)]));
    did.extend(bench.acts([AgentOutput::Cut, said(1_600, 4_800), heard(2)]));
    let rows = bench.rows(did);
    assert_eq!(named(&rows), [(0, Some(0)), (1, Some(0)), (2, Some(2))]);
}

/// The rows of requests, by unit, with what they cost, when a call ends like this while an utterance is heard and an answer is found.
fn given_up(input: Input<'_>, is_played_again: bool) -> Vec<(String, u64)> {
    let authorised = NanoUsd::new(5_000_000_000);
    let caps = Caps {
        session: authorised,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    let mut bench = Bench::of_tab(caps, authorised, if is_played_again { 1_600 } else { 0 }, tab());
    let mut did = bench.acts([transcribe(0), chat(1)]);
    bench.script.lock().expect("one thread").extend([spent(0, Quantity::Samples(16_000)), thought(1)]);
    did.extend(bench.input(input));
    let rows = did.into_iter().filter_map(|did| match did {
        Did::Settle(rows, ..) => Some(rows),
        _ => None,
    });
    let is_metered = |row: &LedgerRow| ["sample", "unheard_sample"].contains(&&*row.unit);
    let of_requests = rows.flatten().filter(|row| !is_metered(row) && !row.key.contains(".again"));
    of_requests.map(|row| (row.unit, row.cost.get())).collect()
}

#[test]
fn an_utterance_whose_audio_is_sent_again_is_paid_for_where_it_is_understood() {
    let paid = |unit: &str, cost| {
        let model = [("input_token".to_owned(), 10_000), ("output_token".to_owned(), 5_000)];
        [vec![(unit.to_owned(), cost)], model.to_vec()].concat()
    };
    // A model is asked anew, and has answered: what it has used is paid in either case.
    let put_off = paid("repeated_sample", 0);
    assert_eq!(given_up(Input::Checkpoint { sent_away: true }, false), put_off);
    assert_eq!(given_up(Input::Checkpoint { sent_away: false }, false), put_off);
    assert_eq!(given_up(Input::Stop(CloseCode::GoingAway), false), put_off);
    // Nothing is sent again where the call ends for good.
    let heard = paid("utterance_sample", 100_000);
    assert_eq!(given_up(Input::Stop(CloseCode::EndedByOperator), false), heard);
    // What is played again here was put off already: a client that goes on and on by itself pays for that.
    assert_eq!(given_up(Input::Checkpoint { sent_away: false }, true), heard);
    assert_eq!(given_up(Input::Checkpoint { sent_away: true }, true), put_off);
}

#[test]
fn what_is_asked_behind_words_that_were_taken_back_names_the_turn_before_them() {
    let mut bench = bench();
    let partial = AgentOutput::Partial { text: "uh".into(), start: 1_600, end: 2_400, final_through: None };
    let mut did = bench.acts([said(0, 1_600), AgentOutput::TurnBegan { at: 1_600 }, chat(0)]);
    // What is prepared while they seem to be words is asked about them.
    did.extend(bench.acts([thought(0), partial, chat(1)]));
    did.extend(bench.acts([thought(1), AgentOutput::TurnDropped { at: 1_600 }, chat(2)]));
    did.extend(bench.acts([thought(2)]));
    let rows = bench.rows(did);
    assert_eq!(named(&rows), [(0, Some(0)), (1, Some(1)), (2, Some(0))]);
}

#[test]
fn an_answer_that_another_relay_has_left_open_names_the_last_turn_that_is_stored() {
    let mut bench = at_turn(8);
    let mut did = bench.acts([chat(0)]);
    did.extend(bench.acts([thought(0), speak(1)]));
    did.extend(bench.acts([spoke(1), said(0, 1_600), chat(2)]));
    let rows = bench.rows(did);
    assert_eq!(named(&rows), [(0, Some(7)), (1, Some(7)), (2, Some(8))]);
}

/// How many samples stand in rows of each item, and what they cost.
fn heard_by(rows: &[LedgerRow]) -> Vec<(&str, u64, u64)> {
    ["acme/ear", "acme/other"]
        .map(|item| {
            let of = rows.iter().filter(|row| row.item == item && row.unit == "sample");
            of.fold((item, 0, 0), |(item, samples, cost), row| {
                (item, samples + row.quantity, cost + row.cost.get())
            })
        })
        .to_vec()
}

#[test]
fn audio_that_a_stand_in_hears_is_billed_as_the_stand_ins() {
    let mut bench = bench();
    let mut did = bench.acts([listen(0, 0)]);
    did.extend(bench.input(Input::Provider { request: RequestId(0), event: &Event::Ready }));
    for _ in 0..9 {
        did.extend(bench.acts([]));
    }
    // The first one breaks, and the second is there three chunks later.
    let over = |request| AgentOutput::Spent {
        request: RequestId(request),
        used: None,
        estimated: true,
        provider_id: None,
    };
    did.extend(bench.acts([over(0), listen(1, 1)]));
    for _ in 0..3 {
        did.extend(bench.acts([]));
    }
    // Some providers say words before they say that they are there.
    let heard = Heard { text: "and".into(), start: 0, end: 1_600, words_end: None, is_final: false };
    for event in [Event::Heard(heard), Event::Ready, Event::Turn(TurnSign::Over)] {
        did.extend(bench.input(Input::Provider { request: RequestId(1), event: &event }));
    }
    for _ in 0..6 {
        did.extend(bench.acts([]));
    }
    let rows = bench.rows(did);
    // What came with the failure was heard by the first one, as far as is known.
    assert_eq!(heard_by(&rows), [("acme/ear", 11 * 1_600, 110_000), ("acme/other", 9 * 1_600, 180_000)]);
    assert_eq!(bench.call.usage().cost_nano_usd, 290_000);
    assert_eq!(bench.call.usage().audio_ms, 2_000);
}

#[test]
fn while_nobody_listens_there_has_to_be_money_for_the_dearest_recogniser() {
    // A tenth of a second costs 10,000 nano-dollars, or 20,000.
    let cap = NanoUsd::new(40_000);
    let mut bench = of(cap);
    // None of it is in a row before somebody listens, whatever part of the budget is used.
    for _ in 0..4 {
        bench.chunk([]);
    }
    assert_eq!(bench.call.usage().cost_nano_usd, 20_000, "the third chunk waits");
    bench.script.lock().expect("one thread").push_back(listen(0, 1));
    assert!(bench.input(Input::BargeIn).contains(&Did::Open(RequestId(0))));
    bench.input(Input::Provider { request: RequestId(0), event: &Event::Ready });
    assert_eq!(bench.call.usage().cost_nano_usd, cap.get(), "both were heard by the dearer one");
}

#[test]
fn audio_that_no_recogniser_ever_got_is_in_no_row_and_costs_nothing_once_that_is_known() {
    for is_told in [true, false] {
        let mut bench = bench();
        let mut did = bench.acts([listen(0, 0)]);
        // A connection is tried for a quarter of a minute.
        for _ in 0..149 {
            did.extend(bench.acts([]));
            did.extend(bench.wait(Duration::from_millis(100)));
        }
        assert_eq!(bench.call.usage().cost_nano_usd, 1_500_000, "there is money for it, if it is heard");
        assert_eq!(bench.replayable.unwrap_or_default(), 0, "another relay would meter it");
        if is_told {
            let what = Ability::Hearing;
            did.extend(bench.acts([AgentOutput::Degraded { what, degraded: true }]));
            assert_eq!(bench.call.usage().cost_nano_usd, 0);
        }
        // Nor does it if the call ends before that is known.
        did.extend(bench.input(Input::Stop(CloseCode::EndedByOperator)));
        let rows = bench.rows(did);
        assert_eq!(heard_by(&rows), [("acme/ear", 0, 0), ("acme/other", 0, 0)], "told: {is_told}");
        let unheard = rows.iter().filter(|row| row.unit == "unheard_sample" && row.cost == NanoUsd::ZERO);
        let unheard: u64 = unheard.map(|row| row.quantity).sum();
        let chunks = if is_told { 151 } else { 150 };
        assert_eq!(unheard, chunks * 1_600, "it is in the ledger all the same");
        assert_eq!((bench.call.usage().audio_ms, bench.replayable), (0, Some(0)));
    }
}

#[test]
fn audio_that_is_committed_before_a_recogniser_is_there_is_in_the_ledger_before_and_costs_nothing() {
    let mut bench = bench();
    let mut did = bench.acts([listen(0, 0)]);
    did.extend(bench.acts([]));
    did.extend(bench.acts([said(0, 3_200)]));
    let is_unheard =
        |row: &LedgerRow| row.unit == "unheard_sample" && row.quantity == 3_200 && row.cost == NanoUsd::ZERO;
    let settled =
        did.iter().position(|did| matches!(did, Did::Settle(rows, ..) if rows.iter().any(is_unheard)));
    let stored = did.iter().position(|did| matches!(did, Did::Store(..)));
    assert!(settled.is_some() && settled < stored, "{did:?}");
    // The third chunk is the recogniser's, and nobody has paid for it before.
    assert_eq!((bench.call.usage().cost_nano_usd, bench.replayable), (10_000, Some(0)));
    did.extend(bench.input(Input::Provider { request: RequestId(0), event: &Event::Ready }));
    let rows = bench.rows(did);
    assert_eq!(heard_by(&rows), [("acme/ear", 1_600, 10_000), ("acme/other", 0, 0)]);
    assert_eq!((bench.call.usage().audio_ms, bench.replayable), (100, Some(1_600)));
}

/// How many samples stand in rows as heard by nobody, which cost nothing.
fn unheard(rows: &[LedgerRow]) -> u64 {
    let unheard = rows.iter().filter(|row| row.unit == "unheard_sample");
    unheard.inspect(|row| assert_eq!(row.cost, NanoUsd::ZERO)).map(|row| row.quantity).sum()
}

impl Bench {
    /// The recogniser of this request is there.
    fn hears(&mut self, request: u32) -> Vec<Did> {
        self.input(Input::Provider { request: RequestId(request), event: &Event::Ready })
    }
}

#[test]
fn audio_that_is_kept_for_no_recogniser_any_more_is_charged_by_none() {
    let mut bench = bench();
    let mut did = bench.acts([listen(0, 0)]);
    (0..4).for_each(|_| did.extend(bench.acts([])));
    did.extend(bench.acts([AgentOutput::Dropped { kept: 3_200, end: 9_600 }]));
    assert_eq!(bench.call.usage().cost_nano_usd, 20_000);
    did.extend(bench.hears(0));
    let rows = bench.rows(did);
    assert_eq!((heard_by(&rows)[0], unheard(&rows)), (("acme/ear", 3_200, 20_000), 6_400));
}

#[test]
fn who_hangs_up_while_recognisers_are_waited_for_pays_for_nothing_that_none_of_them_has_heard() {
    let mut bench = bench();
    let mut did = bench.acts([listen(0, 0)]);
    did.extend(bench.hears(0));
    did.extend(bench.acts([ends(0)]));
    (0..3).for_each(|_| did.extend(bench.acts([])));
    did.extend(bench.input(Input::Bye));
    did.extend(bench.wait(Duration::from_secs(3)));
    assert!(did.contains(&Did::Trouble(ErrorCode::NotHeard)), "{did:?}");
    let rows = bench.rows(did);
    assert_eq!((heard_by(&rows)[0], unheard(&rows)), (("acme/ear", 3_200, 20_000), 4_800));
    assert_eq!((bench.call.usage().cost_nano_usd, bench.replayable), (20_000, Some(0)));
}

#[test]
fn what_may_be_played_again_after_a_relay_was_killed_ends_where_somebody_has_heard_it() {
    let mut bench = bench();
    bench.acts([listen(0, 0)]);
    bench.hears(0);
    (0..8).for_each(|_| drop(bench.acts([])));
    bench.acts([ends(0)]);
    (0..10).for_each(|_| drop(bench.acts([])));
    let did = bench.wait(Duration::from_secs(5));
    let through = did.iter().rev().find_map(|did| match did {
        Did::Settle(_, through, false) => Some(*through),
        _ => None,
    });
    assert_eq!((through, bench.replayable), (Some(16_000), Some(16_000)), "the other second is nobody's");
    // The client has dropped the first eight chunks, and with them most of what was paid for.
    let mut bench = goes_on(0, 16_000, 16_000);
    let to = Mark { seq: 8, position: 8 * 1_600 };
    bench.input(Input::Gap(Gap { from: Mark::default(), to }));
    bench.chunks = to.seq;
    let mut did = bench.acts([listen(0, 0)]);
    did.extend(bench.hears(0));
    (0..11).for_each(|_| did.extend(bench.acts([])));
    assert_eq!(heard_by(&bench.rows(did))[0], ("acme/ear", 16_000, 100_000), "two of twelve chunks are free");
}

#[test]
fn audio_that_waits_for_a_recogniser_is_charged_when_it_is_heard_whatever_its_client_drops_behind_it() {
    let mut bench = bench();
    let mut did = bench.acts([listen(0, 0), chat(1)]);
    did.extend(bench.acts([]));
    let (from, to) = (Mark { seq: 2, position: 3_200 }, Mark { seq: 4, position: 6_400 });
    did.extend(bench.input(Input::Gap(Gap { from, to })));
    bench.chunks = to.seq;
    did.extend(bench.acts([thought(1)]));
    // What the model has used is settled before anybody hears.
    did.extend(bench.wait(Duration::from_secs(5)));
    did.extend(bench.hears(0));
    let rows = bench.rows(did);
    assert_eq!((heard_by(&rows)[0], unheard(&rows)), (("acme/ear", 4_800, 30_000), 0));
    assert_eq!(bench.replayable, Some(1_600), "the client holds the last chunk only");
}

/// Two chunks that nobody has heard yet, and a text behind them: what comes of it when this happens then, with what the agent does.
fn types_unheard(does: &[AgentOutput], happens: Input<'_>) -> (Bench, Vec<Did>) {
    let mut bench = bench();
    let mut did = bench.acts([listen(0, 0)]);
    did.extend(bench.acts([]));
    let read = AgentOutput::Typed { text: "a text".into(), position: 3_200 };
    bench.script.lock().expect("one thread").push_back(read);
    let mark = Mark { seq: 2, position: 3_200 };
    did.extend(bench.input(Input::Message { mark, message: &typed("a text") }));
    let is_told = |did: &Did| matches!(did, Did::Say(Saying::Transcript(told)) if told.text == "a text");
    assert!(did.iter().any(is_told), "it is told at once: {did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::Store(..))), "{did:?}");
    assert_eq!((bench.committed, bench.call.is_between_turns()), (Mark::default(), false));
    bench.script.lock().expect("one thread").extend(does.iter().cloned());
    did.extend(bench.input(happens));
    (bench, did)
}

/// The words of turns that are stored together, and the mark that goes with them.
fn stored(did: &[Did]) -> Vec<(Vec<&str>, Mark)> {
    did.iter()
        .filter_map(|did| match did {
            Did::Store(turns, mark) => Some((turns.iter().map(|turn| &*turn.text).collect(), *mark)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_text_commits_no_audio_that_is_still_to_be_heard_and_is_stored_with_what_was_said_before_it() {
    let all = Mark { seq: 3, position: 3_200 };
    let through = AgentOutput::Final { through: 3_200 };
    let ready = Input::Provider { request: RequestId(0), event: &Event::Ready };
    let (mut bench, did) = types_unheard(&[said(0, 3_200), through.clone()], ready);
    assert_eq!(stored(&did), [(vec!["a text", "hello"], all)], "a kill between them loses neither");
    let rows = bench.rows(did);
    assert_eq!((heard_by(&rows)[0], unheard(&rows)), (("acme/ear", 3_200, 20_000), 0));
    // Nobody ever hears it, or nothing was said.
    let deaf = AgentOutput::Degraded { what: Ability::Hearing, degraded: true };
    for (does, happens, costs) in
        [(vec![deaf, through.clone()], Input::BargeIn, (0, 3_200)), (vec![through], ready, (20_000, 0))]
    {
        let (mut bench, did) = types_unheard(&does, happens);
        assert_eq!(stored(&did), [(vec!["a text"], all)]);
        let written = did.iter().position(|did| matches!(did, Did::Settle(rows, ..) if !rows.is_empty()));
        assert!(written < did.iter().position(|did| matches!(did, Did::Store(..))), "{did:?}");
        let rows = bench.rows(did);
        assert_eq!((bench.call.usage().cost_nano_usd, unheard(&rows)), costs);
    }
}

#[test]
fn a_call_that_goes_on_elsewhere_before_that_is_sent_both_there_and_one_that_ends_stores_the_text() {
    for sent_away in [true, false] {
        let (bench, did) = types_unheard(&[], Input::Checkpoint { sent_away });
        assert_eq!((stored(&did), bench.committed, bench.replayable), (vec![], Mark::default(), Some(0)));
    }
    let (bench, did) = types_unheard(&[], Input::Stop(CloseCode::EndedByOperator));
    assert_eq!(stored(&did), [(vec!["a text"], Mark { seq: 3, position: 3_200 })]);
    assert_eq!(bench.call.usage().cost_nano_usd, 0);
}

#[test]
fn a_text_commits_no_audio_whose_recogniser_has_broken_before_its_last_words() {
    let mut bench = bench();
    let mut did = bench.acts([listen(0, 0)]);
    did.extend(bench.hears(0));
    did.extend(bench.acts([ends(0)]));
    let read = AgentOutput::Typed { text: "a text".into(), position: 3_200 };
    bench.script.lock().expect("one thread").push_back(read);
    let mark = Mark { seq: 2, position: 3_200 };
    did.extend(bench.input(Input::Message { mark, message: &typed("a text") }));
    assert_eq!((stored(&did), bench.committed), (vec![], Mark::default()));
    bench.script.lock().expect("one thread").extend([listen(1, 1), said(0, 3_200)]);
    let did = bench.input(Input::BargeIn);
    assert_eq!(stored(&did)[0].0, ["a text", "hello"]);
}

#[test]
fn what_the_agent_says_behind_a_text_that_waits_is_stored_with_it_and_never_before_it() {
    let says = AgentOutput::Unsaid { text: "told".into(), position: None };
    let (mut bench, did) = types_unheard(std::slice::from_ref(&says), Input::BargeIn);
    assert_eq!(stored(&did), []);
    bench.script.lock().expect("one thread").push_back(AgentOutput::Final { through: 3_200 });
    let did = bench.hears(0);
    assert_eq!(stored(&did), [(vec!["a text", "told"], Mark { seq: 3, position: 3_200 })]);
    // Whose client never comes back has both in the transcript, and what was said before them is not committed.
    let (mut bench, _) = types_unheard(&[says], Input::BargeIn);
    let did = bench.input(Input::Stop(CloseCode::Abnormal));
    assert_eq!(
        (stored(&did), bench.committed),
        (vec![(vec!["a text", "told"], Mark::default())], Mark::default())
    );
}

#[test]
fn many_texts_may_wait_whatever_the_agent_says_behind_them_and_are_stored_in_the_order_of_their_turns() {
    let mut bench = bench();
    let mut did = bench.acts([listen(0, 0)]);
    did.extend(bench.acts([]));
    for number in 0..16 {
        let text = format!("text {number}");
        let read = AgentOutput::Typed { text: text.clone(), position: 3_200 };
        let says = AgentOutput::Unsaid { text: format!("told {number}"), position: None };
        bench.script.lock().expect("one thread").extend([read, says]);
        let mark = Mark { seq: 2 + number, position: 3_200 };
        did.extend(bench.input(Input::Message { mark, message: &typed(&text) }));
    }
    assert_eq!((stored(&did), bench.committed), (vec![], Mark::default()));
    bench.script.lock().expect("one thread").push_back(AgentOutput::Final { through: 3_200 });
    let did = bench.hears(0);
    let turns: Vec<(u32, Role)> = did
        .iter()
        .filter_map(|did| if let Did::Store(turns, _) = did { Some(turns) } else { None })
        .flatten()
        .map(|turn| (turn.turn, turn.role))
        .collect();
    assert!(turns.is_sorted_by_key(|(turn, _)| *turn), "{turns:?}");
    assert_eq!(turns.iter().filter(|(_, role)| *role == Role::User).count(), 16);
    assert_eq!(turns.len(), 32);
}

#[test]
fn what_the_user_corrects_of_a_text_that_is_not_stored_yet_is_stored_with_it() {
    let message = Upward::Correction { turn: 0, text: "the text".into() };
    let mark = Mark { seq: 3, position: 3_200 };
    let (mut bench, did) = types_unheard(&[], Input::Message { mark, message: &message });
    assert!(stored(&did).is_empty(), "{did:?}");
    bench.script.lock().expect("one thread").push_back(AgentOutput::Final { through: 3_200 });
    let did = bench.hears(0);
    assert_eq!(stored(&did), [(vec!["the text"], Mark { seq: 4, position: 3_200 })]);
}

/// A call in which a recogniser has heard 22 chunks and was let go of.
fn let_go() -> Bench {
    let_go_of(bench())
}

fn let_go_of(mut bench: Bench) -> Bench {
    bench.acts([listen(0, 0)]);
    bench.input(Input::Provider { request: RequestId(0), event: &Event::Ready });
    for _ in 0..20 {
        bench.acts([]);
    }
    let request = RequestId(0);
    let over = AgentOutput::Spent { request, used: None, estimated: false, provider_id: None };
    let did = bench.acts([AgentOutput::Cancel { request }, over]);
    assert!(did.contains(&Did::Cancel(request)), "{did:?}");
    bench
}

/// What the recogniser says of that afterwards.
fn billed(samples: u64) -> Billed {
    Billed { request: RequestId(0), given: 35_200, samples, request_id: Some("dg-1".into()) }
}

/// The rows of what a recogniser bills beyond what it was given.
fn excess(did: &[Did]) -> Vec<&LedgerRow> {
    let rows = did.iter().filter_map(|did| match did {
        Did::Settle(rows, ..) => Some(rows),
        _ => None,
    });
    rows.flatten().filter(|row| row.unit == "excess_sample").collect()
}

#[test]
fn what_a_recogniser_says_that_it_bills_is_settled_while_the_call_goes_on() {
    let mut bench = let_go();
    assert_eq!(excess(&bench.input(Input::Billed(&billed(67_200)))), [] as [&LedgerRow; 0]);
    let did = bench.wait(Duration::from_secs(5));
    let [row] = excess(&did)[..] else { panic!("{did:?}") };
    assert_eq!((&*row.key, row.quantity), ("acme/ear@0.0.late/excess_sample", 32_000));
    assert_eq!((row.cost, row.excess()), (NanoUsd::ZERO, NanoUsd::new(200_000)));
    assert_eq!(row.request_id.as_deref(), Some("dg-1"));
    assert_eq!(bench.call.usage().cost_nano_usd, 220_000, "the user pays what was heard");
    // It has said so: once more changes nothing.
    bench.input(Input::Billed(&billed(3_200)));
    bench.wait(Duration::from_secs(5));
    assert_eq!(bench.credits, []);

    let mut bench = let_go();
    bench.input(Input::Billed(&billed(3_200)));
    let did = bench.wait(Duration::from_secs(5));
    assert_eq!(excess(&did), [] as [&LedgerRow; 0]);
    let back = |samples, amount| LateCredit {
        key: "acme/ear@0.0.late".into(),
        samples,
        amount: NanoUsd::new(amount),
    };
    assert_eq!(bench.credits, [back(32_000, 200_000)]);
    assert_eq!(bench.call.usage().cost_nano_usd, 220_000, "a credit stands beside what the call has cost");
}

#[test]
fn what_a_recogniser_says_after_the_end_of_a_call_is_settled_without_anything_else() {
    for (samples, rows, credits) in [(67_200, 1, 0), (3_200, 0, 1), (0, 0, 0), (35_200, 0, 0)] {
        let mut bench = let_go();
        bench.input(Input::Stop(CloseCode::EndedByOperator));
        assert!(!bench.call.is_late());
        bench.call.settle_late(&[billed(samples)]);
        let did = bench.drain();
        assert_eq!((excess(&did).len(), bench.credits.len()), (rows, credits), "{samples}: {did:?}");
        assert_eq!(did.len(), rows + credits, "one settlement if any: {did:?}");
        assert!(did.iter().all(|did| matches!(did, Did::Settle(_, 35_200, true))), "{did:?}");
        assert!(!bench.call.is_late());
    }
    // What was said when the call was over and its end was not written yet waits for whoever lets go of it.
    let mut bench = let_go();
    bench.input(Input::Stop(CloseCode::EndedByOperator));
    bench.input(Input::Billed(&billed(3_200)));
    // However long that takes: the session's end may be on its way to the store by then.
    bench.now = bench.now + Duration::from_secs(60);
    assert!(bench.input(Input::Timeout).iter().all(|did| !matches!(did, Did::Settle(..))));
    assert!(bench.call.is_late() && bench.credits.is_empty());
    bench.call.settle_late(&[]);
    bench.drain();
    assert_eq!(bench.credits.len(), 1);
    // Who is sent away meanwhile has it as well, behind all that is still to be written.
    let played_again = Bench::of_tab(bench.caps, NanoUsd::new(5_000_000_000), 1_600, tab());
    let mut bench = let_go_of(played_again);
    bench.input(Input::Stop(CloseCode::EndedByOperator));
    bench.input(Input::Billed(&billed(3_200)));
    let did = bench.input(Input::Checkpoint { sent_away: true });
    assert_eq!(did, [Did::Settle(Vec::new(), 35_200, true)]);
    assert!(bench.call.is_late() && bench.credits.is_empty());
    bench.call.settle_late(&[]);
    bench.drain();
    assert_eq!(bench.credits.len(), 1);
    assert_eq!(bench.replayable, Some(35_200), "what was played again may be once more");
}
