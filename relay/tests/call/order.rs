//! The numbers of turns: who begins to speak first has the lower one, however late the words come.

use super::turns::told_turns;
use super::*;

fn began(at: u32) -> AgentOutput {
    AgentOutput::TurnBegan { at }
}

fn dropped(at: u32) -> AgentOutput {
    AgentOutput::TurnDropped { at }
}

fn seems(text: &str, start: u32) -> AgentOutput {
    AgentOutput::Partial { text: text.into(), start, end: start + 800, final_through: None }
}

fn typed_text(text: &str) -> AgentOutput {
    AgentOutput::Typed { text: text.into(), position: 1_600 }
}

/// The numbers under which turns are stored, with their words.
fn stored(did: &[Did]) -> Vec<(u32, String)> {
    let stored = did.iter().filter_map(|did| if let Did::Store(turns, _) = did { Some(turns) } else { None });
    stored.flatten().map(|turn| (turn.turn, turn.text.clone())).collect()
}

#[test]
fn a_turn_has_its_number_when_speech_begins_and_whatever_comes_before_its_words_stands_behind_it() {
    let mut bench = Bench::new();
    assert_eq!(told_turns(&bench.chunk([began(0)])), [], "there are no words yet");
    assert_eq!(told_turns(&bench.chunk([typed_text("typed")])), [(1, "typed".into(), true)]);
    assert_eq!(told_turns(&bench.chunk([reply(1)])), [(2, "hello yourself".into(), true)]);
    let did = bench.chunk([seems("hel", 0), said(0, 1_600)]);
    assert_eq!(told_turns(&did), [(0, "hel".into(), false), (0, "hello".into(), true)]);
    assert_eq!(stored(&did).last(), Some(&(0, "hello".into())));
    assert_eq!(told_turns(&bench.chunk([said(1_600, 3_200)])), [(3, "hello".into(), true)]);
}

#[test]
fn a_turn_that_came_to_nothing_leaves_its_number_to_the_next_one_unless_another_began_meanwhile() {
    let mut bench = Bench::new();
    assert_eq!(told_turns(&bench.chunk([began(0), dropped(0), said(0, 1_600)])), [(0, "hello".into(), true)]);
    bench.chunk([began(1_600)]);
    bench.chunk([typed_text("typed")]);
    let did = bench.chunk([dropped(1_600), said(1_600, 3_200)]);
    assert_eq!(told_turns(&did), [(3, "hello".into(), true)], "the page was told nothing of the second");
}

#[test]
fn words_that_are_taken_back_are_taken_from_the_page_and_nobody_has_their_number() {
    for sign in [None, Some(began(0))] {
        let mut bench = Bench::new();
        let did = bench.chunk(sign.into_iter().chain([seems("uh", 0)]));
        assert_eq!(told_turns(&did), [(0, "uh".into(), false)]);
        let did = bench.chunk([dropped(0)]);
        assert_eq!((told_turns(&did), stored(&did)), (vec![(0, String::new(), true)], vec![]));
        let did = bench.chunk([reply(1), said(1_600, 3_200)]);
        let numbers: Vec<u32> = told_turns(&did).into_iter().map(|(turn, ..)| turn).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(told_turns(&bench.chunk([dropped(0)])), [], "once");
    }
}

#[test]
fn final_words_that_are_no_turn_of_their_own_after_all_are_taken_from_the_record_as_well() {
    for is_final in [true, false] {
        let mut bench = Bench::new();
        bench.chunk([said(0, 400)]);
        let final_through = is_final.then_some(1_200);
        let words = AgentOutput::Partial { text: "once more".into(), start: 400, end: 1_200, final_through };
        let did = bench.chunk([began(400), words]);
        assert_eq!(stored(&did).last().is_some_and(|last| *last == (1, "once more".into())), is_final);
        // They belong to the turn before.
        let did = bench.chunk([AgentOutput::TurnGoesOn, said(0, 1_200)]);
        let told = [(1, String::new(), true), (0, "hello".into(), true)];
        assert_eq!(told_turns(&did), told);
        let taken_back = stored(&did).into_iter().filter(|turn| *turn == (1, String::new())).count();
        assert_eq!(taken_back, usize::from(is_final), "{did:?}");
    }
}

#[test]
fn turns_that_are_understood_late_keep_the_order_in_which_they_began_whatever_becomes_of_those_between() {
    let mut bench = Bench::new();
    bench.chunk([began(0), began(1_600), began(3_200)]);
    bench.chunk([typed_text("typed")]);
    let remarked = AgentOutput::Remarked { text: "mhm".into(), start: 3_200, end: 4_800 };
    let did = bench.chunk([dropped(1_600), said(0, 1_600), remarked, said(4_800, 6_400)]);
    let numbers: Vec<u32> = told_turns(&did).into_iter().map(|(turn, ..)| turn).collect();
    assert_eq!(numbers, [0, 2, 4]);
}

#[test]
fn what_goes_on_with_a_turn_gives_the_number_back_under_which_it_seemed_to_begin_another() {
    let mut bench = Bench::new();
    bench.chunk([said(0, 1_600), began(2_400)]);
    let did = bench.chunk([AgentOutput::TurnGoesOn, seems("hello, I", 0), said(0, 3_200)]);
    assert_eq!(told_turns(&did), [(0, "hello, I".into(), false), (0, "hello".into(), true)]);
    assert_eq!(told_turns(&bench.chunk([said(3_200, 4_800)])), [(1, "hello".into(), true)]);
}

#[test]
fn an_agent_that_never_says_what_came_of_turns_is_given_no_more_numbers_than_a_few() {
    let mut bench = Bench::new();
    bench.chunk((0..1_000).map(began));
    let did = bench.chunk([typed_text("typed")]);
    assert_eq!(told_turns(&did), [(16, "typed".into(), true)]);
    let did = bench.chunk((0..20).map(|at| said(at, at + 1)));
    let numbers: Vec<u32> = told_turns(&did).into_iter().map(|(turn, ..)| turn).collect();
    assert_eq!(numbers, (0..16).chain(17..21).collect::<Vec<_>>(), "each of them another one");
}

#[test]
fn a_call_of_a_tool_stands_before_what_the_user_has_begun_to_say() {
    let mut bench = Bench::new();
    let called = Called {
        call_id: "c1".into(),
        model_id: "m1".into(),
        name: "book".into(),
        arguments: "{}".into(),
        runs: Runs::Webhook,
    };
    let did = bench.chunk([said(0, 1_600), began(1_600), AgentOutput::CallTool(called.clone())]);
    assert!(did.contains(&Did::Note(ToolNote::Called { called, turn: 1 })), "{did:?}");
}
