//! Turns, and what the page says among the audio.

use super::*;

#[test]
fn a_turn_is_told_stored_and_only_then_committed() {
    let mut bench = Bench::new();
    bench.chunk([]);
    let did = bench.chunk([said(0, 3_200)]);
    let committed = Mark { seq: 2, position: 3_200 };
    assert!(
        matches!(&did[0], Did::Say(Saying::Transcript(turn)) if turn.role == Role::User && turn.text == "hello")
    );
    assert!(
        matches!(&did[1], Did::Settle(rows, 3_200, false) if rows.len() == 1),
        "what is committed is in the ledger before: {did:?}"
    );
    assert!(matches!(&did[2], Did::Store(turns, mark) if turns.len() == 1 && *mark == committed), "{did:?}");
    assert_eq!(did[3], Did::Say(Saying::Agent(AgentState::Thinking)));
    assert_eq!(bench.input(settled(&Settled::default())), [], "its turn is not stored yet");
    assert_eq!(bench.input(Input::Stored { committed }), [Did::Commit(committed)]);
}

#[test]
fn what_belongs_to_no_turn_is_committed_when_it_is_in_the_ledger() {
    let mut bench = Bench::new();
    bench.chunk([]);
    bench.chunk([]);
    assert_eq!(bench.chunk([AgentOutput::Final { through: 3_300 }]), [], "it is not in the ledger yet");
    let did = bench.input(Input::Checkpoint { sent_away: true });
    assert!(matches!(did.as_slice(), [Did::Settle(rows, 4_800, true)] if rows.len() == 1), "{did:?}");
    assert_eq!(
        bench.input(settled(&Settled::default())),
        [Did::Commit(Mark { seq: 2, position: 3_200 })],
        "the frame that is only partly final stays"
    );
}

#[test]
fn hanging_up_ends_when_everything_is_written_and_not_before() {
    let mut bench = Bench::new();
    bench.chunk([]);
    bench.script.lock().expect("one thread").push_back(said(0, 1_600));
    let did = bench.input(Input::Bye);
    assert!(
        matches!(
            did.as_slice(),
            [Did::Say(_), Did::Settle(rows, _, false), Did::Store(..), Did::Settle(none, _, true)]
                if rows.len() == 1 && none.is_empty()
        ),
        "{did:?}"
    );
    let committed = Mark { seq: 1, position: 1_600 };
    assert_eq!(bench.input(settled(&Settled::default())), []);
    assert_eq!(bench.input(Input::Stored { committed }), [Did::Commit(committed)]);
    assert_eq!(bench.input(settled(&Settled::default())), [Did::End(CloseCode::Normal)]);
    assert_eq!(bench.input(settled(&Settled::default())), [], "once");
}

#[test]
fn what_is_typed_is_committed_with_its_own_number_when_its_turn_is_stored() {
    let mut bench = Bench::new();
    bench.chunk([]);
    let read = AgentOutput::Typed { text: "hello".into(), position: 1_600 };
    bench.script.lock().expect("one thread").push_back(read);
    let mark = Mark { seq: 1, position: 1_600 };
    let did = bench.input(Input::Message { mark, message: &typed("hello") });
    let after = Mark { seq: 2, position: 1_600 };
    assert!(
        did.iter().any(|did| matches!(did, Did::Store(turns, mark) if turns.len() == 1 && *mark == after))
    );
    assert_eq!(*bench.told.lock().expect("one thread"), [r#"Typed { position: 1600, text: "hello" }"#]);
}

#[test]
fn what_was_said_before_something_was_typed_is_stored_without_committing_that() {
    let mut bench = Bench::new();
    bench.chunk([]);
    let read = AgentOutput::Typed { text: "a text".into(), position: 1_600 };
    let through = AgentOutput::Final { through: 1_600 };
    bench.script.lock().expect("one thread").extend([said(0, 1_600), through, read]);
    let mark = Mark { seq: 1, position: 1_600 };
    let did = bench.input(Input::Message { mark, message: &typed("a text") });
    let after = Mark { seq: 2, position: 1_600 };
    let stored: Vec<_> = did
        .iter()
        .filter_map(|did| match did {
            Did::Store(turns, committed) => Some((turns[0].text.as_str(), *committed)),
            _ => None,
        })
        .collect();
    let [(spoken, before), (text, committed)] = stored.as_slice() else { panic!("{did:?}") };
    assert_eq!(
        (*before, *committed),
        (mark, after),
        "a relay that is killed between the two writes loses neither"
    );
    assert_eq!((*spoken, *text), ("hello", "a text"));
}

#[test]
fn what_the_user_seems_to_say_keeps_its_number_until_it_is_said() {
    let mut bench = Bench::new();
    let partial = AgentOutput::Partial { text: "hel".into(), start: 0, end: 800, final_through: None };
    let did = bench.chunk([partial.clone(), partial, said(0, 1_600), reply(1)]);
    let told: Vec<_> = did
        .iter()
        .filter_map(|did| match did {
            Did::Say(Saying::Transcript(turn)) => Some((turn.turn, turn.text.as_str(), turn.last)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(0, "hel", false), (0, "hel", false), (0, "hello", true), (1, "hello yourself", true)]);
}

#[test]
fn words_are_told_as_they_come_but_seldom_and_stored_when_all_are_there() {
    let mut bench = Bench::new();
    let word = |last| AgentOutput::Words { text: "la ".into(), start: 0, end: 0, last };
    let mut did = bench.chunk([word(false)]);
    for _ in 0..50 {
        did.extend(bench.wait(Duration::from_millis(20)));
        bench.script.lock().expect("one thread").push_back(word(false));
        did.extend(bench.input(Input::Muted(true)));
    }
    let told = did.iter().filter(|did| matches!(did, Did::Say(Saying::Transcript(_)))).count();
    assert!((10..=12).contains(&told), "{told}");
    assert!(!did.iter().any(|did| matches!(did, Did::Store(..))));
    bench.script.lock().expect("one thread").push_back(word(true));
    let did = bench.input(Input::Muted(true));
    let stored = did.iter().find_map(|did| match did {
        Did::Store(turns, _) => Some(turns[0].text.len()),
        _ => None,
    });
    assert_eq!(stored, Some(52 * 3));
}

#[test]
fn a_tool_is_called_on_the_page_and_its_result_reaches_the_agent_in_its_place() {
    let mut bench = Bench::new();
    let call = Called {
        call_id: "c1".into(),
        model_id: "m1".into(),
        name: "tables".into(),
        arguments: "{}".into(),
        runs: Runs::Page,
    };
    let cancel = AgentOutput::CancelTool { call_id: "c0".into(), runs: Runs::Page };
    let dropped = Called { call_id: "c2".into(), ..call.clone() };
    let drop = AgentOutput::CancelTool { call_id: "c2".into(), runs: Runs::Page };
    let webhook = Called { call_id: "c3".into(), runs: Runs::Webhook, ..call.clone() };
    let calls = [AgentOutput::CallTool(call.clone()), AgentOutput::CallTool(dropped), drop];
    let did = bench.chunk(calls.into_iter().chain([AgentOutput::CallTool(webhook.clone()), cancel]));
    let noted = Did::Note(ToolNote::Called { called: call, turn: 0 });
    assert!(did.contains(&noted), "{did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::Say(Saying::ToolCall(_)))), "it is not stored yet");
    assert_eq!(bench.input(Input::ToolStored { call_id: "c2" }), [], "it is not wanted any more");
    assert_eq!(bench.input(Input::ToolStored { call_id: "c3" }), [Did::Run(webhook)]);
    let mut did = did;
    did.extend(bench.input(Input::ToolStored { call_id: "c1" }));
    let called = ToolCall { seq: 0, call_id: "c1".into(), name: "tables".into(), arguments: "{}".into() };
    assert!(did.contains(&Did::Say(Saying::ToolCall(called))), "{did:?}");
    assert!(did.contains(&Did::Say(Saying::ToolCancel(ToolCancel { seq: 0, call_id: "c0".into() }))));
    bench.told.lock().expect("one thread").clear();
    let message = Upward::ToolResult { call_id: "c1".into(), output: "none".into(), is_error: true };
    bench.input(Input::Message { mark: Mark { seq: 1, position: 1_600 }, message: &message });
    let told = bench.told.lock().expect("one thread").clone();
    assert_eq!(told, [r#"ToolResult { call_id: "c1", from: Page, output: "none", is_error: true }"#]);
}

#[test]
fn what_a_page_wants_its_agent_to_know_reaches_it_in_its_place() {
    let mut bench = Bench::new();
    bench.chunk([]);
    bench.told.lock().expect("one thread").clear();
    let context = Upward::Context { text: "the terrace".into() };
    let variables = Upward::Variables { variables: Variables(vec![("name".into(), "Ada".into())]) };
    for (seq, message) in [(1, &context), (2, &variables)] {
        bench.input(Input::Message { mark: Mark { seq, position: 1_600 }, message });
    }
    let told = bench.told.lock().expect("one thread").clone();
    let expected = [
        r#"Context { position: 1600, text: "the terrace" }"#,
        r#"Variables { position: 1600, values: [("name", "Ada")] }"#,
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_agent_that_hangs_up_ends_the_call_once_everything_is_written() {
    let mut bench = Bench::new();
    bench.chunk([said(0, 1_600)]);
    let did = bench.chunk([AgentOutput::HangUp]);
    assert!(did.contains(&Did::Trouble(ErrorCode::Idle)), "{did:?}");
    assert!(did.iter().any(|did| matches!(did, Did::Settle(..))), "{did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::End(_))), "{did:?}");
    let mut ended = Vec::new();
    for _ in 0..4 {
        ended.extend(bench.input(settled(&Settled::default())));
        ended.extend(bench.input(Input::Stored { committed: Mark::default() }));
    }
    let ends: Vec<_> = ended.iter().filter(|did| matches!(did, Did::End(_))).collect();
    assert_eq!(ends, [&Did::End(CloseCode::Idle)]);
}

#[test]
fn what_the_agent_cannot_do_is_told_to_the_page() {
    let mut bench = Bench::new();
    let degraded = |degraded| AgentOutput::Degraded { what: Ability::Thinking, degraded };
    let did = bench.chunk([degraded(true), AgentOutput::Trouble(ErrorCode::AgentUnavailable)]);
    let said = Degraded { seq: 0, what: Ability::Thinking, degraded: true };
    assert!(did.contains(&Did::Say(Saying::Degraded(said))), "{did:?}");
    assert!(did.contains(&Did::Trouble(ErrorCode::AgentUnavailable)));
}

#[test]
fn a_correction_takes_the_place_of_what_was_understood_on_the_page_and_in_the_record() {
    let mut bench = Bench::new();
    bench.chunk([said(0, 800), reply(1), said(800, 1_600)]);
    bench.told.lock().expect("one thread").clear();
    // Turn 0 is the user's, 1 the agent's, 2 the user's.
    let correct = |turn| Upward::Correction { turn, text: "hallo".into() };
    let mark = Mark { seq: 1, position: 1_600 };
    let did = bench.input(Input::Message { mark, message: &correct(2) });
    let transcripts = did.iter().filter_map(|did| match did {
        Did::Say(Saying::Transcript(turn)) => {
            Some((turn.turn, turn.text.as_str(), turn.start, turn.end, turn.last))
        }
        _ => None,
    });
    assert_eq!(transcripts.collect::<Vec<_>>(), [(2, "hallo", 800, 1_600, true)]);
    let stored = did.iter().filter_map(|did| match did {
        Did::Store(turns, _) => Some((turns[0].turn, turns[0].text.as_str())),
        _ => None,
    });
    assert_eq!(stored.collect::<Vec<_>>(), [(2, "hallo")]);
    let told = bench.told.lock().expect("one thread").clone();
    assert_eq!(told, [r#"Corrected { said: 1, text: "hallo" }"#]);
    for (seq, other) in [(2, 1), (3, 7)] {
        let mark = Mark { seq, position: 1_600 };
        let did = bench.input(Input::Message { mark, message: &correct(other) });
        assert_eq!(did, [Did::Trouble(ErrorCode::TurnUnknown)], "turn {other}");
    }
}

/// What the page is told of turns: the number, the words, and whether they are all of it.
pub(super) fn told_turns(did: &[Did]) -> Vec<(u32, String, bool)> {
    let told = did.iter().filter_map(|did| match did {
        Did::Say(Saying::Transcript(turn)) => Some((turn.turn, turn.text.clone(), turn.last)),
        _ => None,
    });
    told.collect()
}

#[test]
fn what_is_typed_while_the_user_speaks_is_a_turn_of_its_own() {
    let mut bench = Bench::new();
    let partial = AgentOutput::Partial { text: "good".into(), start: 0, end: 800, final_through: Some(800) };
    assert_eq!(told_turns(&bench.chunk([partial])), [(0, "good".into(), false)]);
    let typed = AgentOutput::Typed { text: "typed".into(), position: 3_200 };
    let spoken = AgentOutput::Said { text: "good day".into(), start: 0, end: 1_600, words_end: 1_600 };
    let both = told_turns(&bench.chunk([typed, spoken]));
    assert_eq!(both, [(1, "typed".into(), true), (0, "good day".into(), true)]);
}

#[test]
fn words_that_come_late_do_not_take_the_place_of_a_turn_once_something_was_typed() {
    let mut bench = Bench::new();
    bench.chunk([said(0, 1_600)]);
    let (text, start, end) = ("hello, I".to_owned(), 0, 2_400);
    bench.chunk([AgentOutput::TurnGoesOn, AgentOutput::Partial { text, start, end, final_through: None }]);
    let typed = AgentOutput::Typed { text: "typed".into(), position: 4_800 };
    let rest = AgentOutput::Said { text: "I wonder".into(), start: 1_600, end: 3_200, words_end: 3_200 };
    let both = told_turns(&bench.chunk([typed, rest]));
    assert_eq!(both, [(1, "typed".into(), true), (2, "I wonder".into(), true)]);
}

#[test]
fn no_tool_is_called_for_a_user_who_has_hung_up() {
    let mut bench = Bench::new();
    let call = |call_id: &str| Called {
        call_id: call_id.into(),
        model_id: "m1".into(),
        name: "book".into(),
        arguments: "{}".into(),
        runs: Runs::Webhook,
    };
    bench.chunk([AgentOutput::CallTool(call("c1"))]);
    bench.input(Input::Bye);
    let did = bench.input(Input::ToolStored { call_id: "c1" });
    assert!(!did.contains(&Did::Run(call("c1"))), "{did:?}");
    let did = bench.chunk([AgentOutput::CallTool(call("c2"))]);
    assert!(!did.iter().any(|did| matches!(did, Did::Note(_))), "{did:?}");
}

#[test]
fn a_turn_that_goes_on_keeps_its_number_and_is_corrected_as_it_is_now() {
    let mut bench = Bench::new();
    bench.chunk([said(0, 1_600)]);
    let turn = |did: &[Did]| {
        did.iter().find_map(|did| match did {
            Did::Say(Saying::Transcript(told)) => Some((told.turn, told.text.clone(), told.last)),
            _ => None,
        })
    };
    let (text, start, end) = ("hello, I".to_owned(), 0, 2_400);
    let did = bench
        .chunk([AgentOutput::TurnGoesOn, AgentOutput::Partial { text, start, end, final_through: None }]);
    assert_eq!(turn(&did), Some((0, "hello, I".to_owned(), false)));
    let text = "hello, I wonder".to_owned();
    let did = bench.chunk([AgentOutput::Said { text, start: 0, end: 3_200, words_end: 3_200 }]);
    assert_eq!(turn(&did), Some((0, "hello, I wonder".to_owned(), true)));
    let stored =
        |did: &Did| matches!(did, Did::Store(turns, _) if turns[0].turn == 0 && turns[0].end == 3_200);
    assert!(did.iter().any(stored), "{did:?}");
    let did = bench.chunk([said(4_000, 4_800)]);
    assert_eq!(turn(&did).map(|(number, ..)| number), Some(1));
    let message = Upward::Correction { turn: 0, text: "hello, I wander".into() };
    bench.input(Input::Message { mark: Mark { seq: 4, position: 6_400 }, message: &message });
    let told = bench.told.lock().expect("one thread").clone();
    assert_eq!(told.last().map(String::as_str), Some(r#"Corrected { said: 1, text: "hello, I wander" }"#));
}
