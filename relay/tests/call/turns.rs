//! Turns, answers, and what the page says among the audio.

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
fn an_answer_is_sent_two_seconds_ahead_and_no_further() {
    let mut bench = Bench::new();
    let did = bench.answered(10);
    assert_eq!(spoken(&did), 21 * 2_400);
    assert_eq!(spoken(&bench.wait(Duration::from_secs(3))), 30 * 2_400);
    let did = bench.wait(Duration::from_secs(6));
    assert_eq!(spoken(&did), 49 * 2_400);
    assert_eq!(did.last(), Some(&Did::Say(Saying::ReplyEnd)));
}

#[test]
fn without_a_connection_the_agent_waits_and_then_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.answered(10);
    bench.input(Input::Room(false));
    assert_eq!(spoken(&bench.wait(Duration::from_secs(30))), 0);
    let did = bench.input(Input::Room(true));
    assert_eq!(spoken(&did), 21 * 2_400, "two seconds ahead again, not thirty");
}

#[test]
fn an_answer_that_was_heard_ends_and_its_turn_says_so() {
    let mut bench = Bench::new();
    bench.answered(1);
    assert_eq!(stored_heard(&bench.input(Input::Played(12_000))), None);
    let did = bench.input(Input::Played(24_000));
    assert_eq!(stored_heard(&did), Some(24_000));
    assert!(did.contains(&Did::Say(Saying::Agent(AgentState::Listening))));
}

#[test]
fn a_call_is_between_two_turns_when_its_answer_was_heard_and_not_as_soon_as_it_is_sent() {
    let mut bench = Bench::new();
    assert!(bench.call.is_between_turns());
    bench.answered(1);
    bench.input(Input::Played(12_000));
    assert!(!bench.call.is_between_turns(), "all of it is sent");
    bench.input(Input::Played(24_000));
    assert!(bench.call.is_between_turns());
    bench.input(Input::Bye);
    assert!(!bench.call.is_between_turns(), "it ends, and goes on nowhere");
}

#[test]
fn a_client_that_never_says_what_it_played_leaves_nobody_stuck_in_speaking() {
    let mut bench = Bench::new();
    bench.answered(1);
    assert!(bench.wait(Duration::from_secs(5)).contains(&Did::Say(Saying::Agent(AgentState::Listening))));
}

#[test]
fn an_interrupted_answer_is_flushed_and_stored_as_far_as_it_was_heard() {
    let mut bench = Bench::new();
    bench.answered(10);
    bench.input(Input::Played(30_000));
    let did = bench.chunk([AgentOutput::Cut, AgentOutput::SpeechStarted { at: 1_600 }]);
    assert_eq!(did[0], Did::Say(Saying::Flush));
    assert_eq!(stored_heard(&did), Some(30_000));
    assert_eq!(spoken(&bench.wait(Duration::from_secs(20))), 0, "the rest is never sent");
    // The next answer begins where the sending stopped, not where the dropped one would have ended.
    let did = bench.chunk([said(1_600, 3_200), reply(1)]);
    let start = did.iter().find_map(|did| match did {
        Did::Say(Saying::Transcript(turn)) if turn.role == Role::Agent => Some(turn.start),
        _ => None,
    });
    assert_eq!(start, Some(21 * 2_400));
}

#[test]
fn an_answer_that_is_held_stands_still_and_goes_on_with_the_next_sample_two_seconds_ahead() {
    let mut bench = Bench::new();
    let sent = spoken(&bench.answered(10));
    bench.wait(Duration::from_secs(1));
    bench.input(Input::Played(24_000));
    let did = bench.chunk([AgentOutput::Hold(true), AgentOutput::Hold(true)]);
    assert_eq!(did.iter().filter(|did| **did == Did::Say(Saying::Hold(true))).count(), 1, "told once");
    assert_eq!(spoken(&bench.wait(Duration::from_secs(2))), 0);
    let again = AgentOutput::FalseInterruption;
    let did = bench.chunk([AgentOutput::Hold(false), again]);
    assert!(did.contains(&Did::Say(Saying::Hold(false))) && did.contains(&Did::FalseInterruption));
    assert_eq!(spoken(&did), 0, "the client has its two seconds still");
    let mut rest = spoken(&bench.wait(Duration::from_secs(20)));
    rest += sent + 10 * 2_400;
    assert_eq!(rest, 240_000, "not a sample is lost or sent twice");
}

#[test]
fn an_answer_that_the_page_holds_back_stands_still_here_and_goes_on_two_seconds_ahead_whoever_else_held_it() {
    let mut bench = Bench::new();
    let sent = spoken(&bench.answered(10));
    bench.wait(Duration::from_secs(1));
    bench.input(Input::Played(24_000));
    let did = bench.input(Input::HeldBack(true));
    assert!(!did.iter().any(|did| matches!(did, Did::Say(_))), "the page knows: {did:?}");
    assert_eq!(spoken(&bench.wait(Duration::from_secs(60))), 0);
    // The agent holds it as well, and lets it go while the page does not.
    bench.chunk([AgentOutput::Hold(true)]);
    bench.chunk([AgentOutput::Hold(false)]);
    assert_eq!(spoken(&bench.wait(Duration::from_secs(60))), 0);
    let did = bench.input(Input::HeldBack(false));
    assert_eq!(spoken(&did), 0, "the client has its two seconds still");
    let rest = spoken(&bench.wait(Duration::from_secs(20)));
    assert_eq!(sent + 10 * 2_400 + rest, 240_000, "not a sample is lost or sent twice");
    // An answer that begins while the page holds back waits for it.
    bench.input(Input::Played(240_000));
    bench.input(Input::HeldBack(true));
    assert_eq!(spoken(&bench.answered(1)), 0);
    assert!(spoken(&bench.input(Input::HeldBack(false))) > 0);
}

#[test]
fn who_is_muted_and_holds_the_agent_back_is_on_hold() {
    let mut bench = Bench::new();
    let mut on_hold = |input| {
        bench.told.lock().expect("one thread").clear();
        bench.input(input);
        bench
            .told
            .lock()
            .expect("one thread")
            .iter()
            .filter(|told| told.starts_with("OnHold"))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert!(on_hold(Input::Muted(true)).is_empty());
    assert_eq!(on_hold(Input::HeldBack(true)), ["OnHold(true)"]);
    assert!(on_hold(Input::HeldBack(true)).is_empty());
    assert_eq!(on_hold(Input::Muted(false)), ["OnHold(false)"]);
    assert_eq!(on_hold(Input::Muted(true)), ["OnHold(true)"]);
    assert_eq!(on_hold(Input::HeldBack(false)), ["OnHold(false)"]);
}

#[test]
fn a_page_that_notices_an_interruption_is_told_to_go_on_unless_the_agent_holds_or_cuts_the_answer() {
    let told = |did: &[Did]| -> Vec<Did> {
        let is_about_it = |did: &&Did| matches!(did, Did::Say(Saying::Hold(_) | Saying::Flush));
        did.iter().filter(is_about_it).cloned().collect()
    };
    let goes_on = [Did::Say(Saying::Hold(false))];
    let mut bench = Bench::new();
    assert_eq!(told(&bench.input(Input::BargeIn)), goes_on, "nothing sounds any more");
    bench.answered(10);
    assert_eq!(told(&bench.input(Input::BargeIn)), goes_on, "the agent takes no notice");
    bench.script.lock().expect("one thread").push_back(AgentOutput::Hold(true));
    assert_eq!(told(&bench.input(Input::BargeIn)), [Did::Say(Saying::Hold(true))]);
    assert_eq!(told(&bench.input(Input::BargeIn)), [], "it is held already, and the agent decides");
    bench.script.lock().expect("one thread").push_back(AgentOutput::Cut);
    let did = told(&bench.input(Input::BargeIn));
    assert_eq!(did.first(), Some(&Did::Say(Saying::Flush)), "{did:?}");
}

#[test]
fn a_client_that_cannot_hold_has_played_on_and_gets_the_rest_in_time() {
    let mut bench = Bench::new();
    bench.answered(10);
    bench.chunk([AgentOutput::Hold(true)]);
    bench.wait(Duration::from_secs(2));
    bench.input(Input::Played(48_000));
    let did = bench.chunk([AgentOutput::Hold(false)]);
    assert!(spoken(&did) >= 15 * 2_400, "{}", spoken(&did));
}

#[test]
fn whatever_ends_an_answer_that_is_held_lets_the_loudspeaker_go() {
    let lets_go = |did: &[Did]| did.iter().filter(|did| **did == Did::Say(Saying::Hold(false))).count();
    let mut bench = Bench::new();
    bench.answered(1);
    bench.chunk([AgentOutput::Hold(true)]);
    let did = bench.chunk([AgentOutput::Cut]);
    assert!(did.contains(&Did::Say(Saying::Flush)));
    assert_eq!(lets_go(&did), 0, "the flush does that");
    bench.answered(1);
    bench.chunk([AgentOutput::Hold(true)]);
    assert_eq!(lets_go(&bench.input(Input::Played(48_000))), 1, "it was heard to its end meanwhile");
    bench.answered(1);
    bench.chunk([AgentOutput::Hold(true)]);
    assert_eq!(lets_go(&bench.input(Input::Stop(CloseCode::Limited))), 1);
}

#[test]
fn a_sign_that_the_user_listens_is_stored_and_the_answer_goes_on_speaking() {
    let mut bench = Bench::new();
    bench.answered(2);
    let remarked = AgentOutput::Remarked { text: "mhm".into(), start: 1_600, end: 3_200 };
    let did = bench.chunk([remarked]);
    let is_it = |turn: &Turn| turn.role == Role::User && turn.text == "mhm" && turn.turn == 2;
    assert!(did.iter().any(|did| matches!(did, Did::Store(turns, _) if turns.iter().any(is_it))), "{did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::Say(Saying::Agent(_) | Saying::Flush))), "{did:?}");
}

#[test]
fn what_is_said_into_an_answer_that_may_not_be_interrupted_waits_for_its_end() {
    let mut bench = Bench::new();
    bench.chunk([reply(1)]);
    let did = bench.chunk([said(0, 1_600)]);
    assert!(!did.iter().any(|did| matches!(did, Did::Say(Saying::Agent(_)))), "it goes on speaking: {did:?}");
    let did = bench.input(Input::Played(24_000));
    assert!(did.contains(&Did::Say(Saying::Agent(AgentState::Thinking))), "{did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::Say(Saying::Latency(_)))), "that was no answer to it");
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
fn the_agent_is_told_how_much_of_its_words_was_heard() {
    let mut bench = Bench::new();
    let words = |text: &str, start, last| AgentOutput::Words { text: text.into(), start, end: 0, last };
    let sound = AgentOutput::Sound(vec![5; 48_000]);
    let did = bench.chunk([words("One. ", 0, false), words("Two. ", 24_000, true), sound]);
    assert_eq!(spoken(&did), 48_000);
    bench.input(Input::Played(24_000));
    bench.chunk([AgentOutput::Cut]);
    let told = bench.told.lock().expect("one thread").clone();
    assert_eq!(told, ["AnswerOver { answer: 0, heard: 5 }"]);
}

#[test]
fn of_words_whose_sound_is_not_all_there_only_those_were_heard_that_a_voice_had_time_for() {
    let mut bench = Bench::new();
    let text = "One two three four five six seven eight nine ten.".to_owned();
    let words = AgentOutput::Words { text, start: 0, end: 0, last: false };
    bench.chunk([words, AgentOutput::Sound(vec![5; 24_000])]);
    bench.input(Input::Played(18_000));
    bench.chunk([AgentOutput::Cut]);
    // At 18 characters a second three quarters of a second are 13 characters, though it is three quarters of the sound so far.
    let told = bench.told.lock().expect("one thread").clone();
    assert_eq!(told, ["AnswerOver { answer: 0, heard: 13 }"]);
}

#[test]
fn how_long_words_last_whose_sound_is_not_all_there_is_by_the_script_that_they_are_written_in() {
    // Two seconds of their sound are there, and one and a half were heard.
    for (text, heard) in [
        ("One two three four five six seven eight nine ten eleven.", "One two three four five six"),
        ("我们今晚八点还有一张两人桌请问要吗。", "我们今晚八点还"),
        ("はいもちろんですこんばんはごよやくをうけたまわります。", "はいもちろんですこんば"),
        ("오늘저녁 여덟시에는 창가자리가 아직 남아있습니다", "오늘저녁 여덟시에는"),
    ] {
        let mut bench = Bench::new();
        let words = AgentOutput::Words { text: text.into(), start: 0, end: 0, last: false };
        bench.chunk([words, AgentOutput::Sound(vec![5; 48_000])]);
        bench.input(Input::Played(36_000));
        bench.chunk([AgentOutput::Cut]);
        let told = bench.told.lock().expect("one thread").clone();
        assert_eq!(told, [format!("AnswerOver {{ answer: 0, heard: {} }}", heard.len())], "{text}");
    }
}

#[test]
fn of_a_sentence_without_spaces_the_part_that_was_heard_stays() {
    for (text, heard) in [
        ("我们今晚八点还有一张两人桌。", "我们今晚八点还"),
        // A word that was heard in part is not heard, where its letters show that it is one.
        ("予約はコンピュータで取れます。", "予約は"),
        ("Wi-Fi的密码是Voxrelay。", "Wi-Fi的密码"),
        ("오늘 저녁 여덟 시에 자리가 있습니다.", "오늘 저녁 여덟"),
    ] {
        let mut bench = Bench::new();
        let words = AgentOutput::Words { text: text.into(), start: 0, end: 0, last: true };
        bench.chunk([words, AgentOutput::Sound(vec![5; 48_000])]);
        bench.input(Input::Played(24_000));
        let did = bench.chunk([AgentOutput::Cut]);
        let told = bench.told.lock().expect("one thread").clone();
        assert_eq!(told, [format!("AnswerOver {{ answer: 0, heard: {} }}", heard.len())], "{text}");
        assert!(told_turns(&did).iter().any(|(_, text, _)| text == heard), "in the transcript, too: {did:?}");
    }
    // In Thai no letter shows where a word ends.
    let mut bench = Bench::new();
    let text = "โต๊ะสำหรับสองคนพร้อมแล้วค่ะ".to_owned();
    let words = AgentOutput::Words { text, start: 0, end: 0, last: true };
    bench.chunk([words, AgentOutput::Sound(vec![5; 48_000])]);
    bench.input(Input::Played(46_000));
    bench.chunk([AgentOutput::Cut]);
    let told = bench.told.lock().expect("one thread").clone();
    assert_ne!(told, ["AnswerOver { answer: 0, heard: 0 }"], "most of it was heard");
}

#[test]
fn an_interrupted_sentence_ends_at_the_word_that_its_voice_says_was_spoken() {
    // A long pause after the second word, and then the rest in no time: in proportion more would be heard in the pause, and less after it.
    let text = "One moment please while I look for it. ";
    let spoken = |bytes, end| AgentOutput::Spoken { bytes, end };
    for (played, heard) in [
        (11_999, "One"),
        (12_000, "One moment"),
        (36_000, "One moment"),
        (40_800, "One moment please"),
        (40_801, "One moment please"),
        (47_100, "One moment please while I look for"),
    ] {
        let mut bench = Bench::new();
        let first = AgentOutput::Words { text: "Yes. ".into(), start: 0, end: 0, last: false };
        let words = AgentOutput::Words { text: text.into(), start: 4_800, end: 0, last: true };
        bench.chunk([first, words, AgentOutput::Sound(vec![5; 4_800 + 48_000]), AgentOutput::AnswerEnd]);
        // The first of them and the last are known in one piece, the words between them in another.
        bench.chunk([spoken(3, 4_800 + 6_000), spoken(10, 4_800 + 12_000), spoken(17, 4_800 + 40_800)]);
        // What does not go on from there says nothing.
        bench.chunk([spoken(12, 4_800 + 41_000), spoken(20, 4_800 + 40_000), spoken(9_999, 4_000)]);
        bench.chunk([spoken(34, 4_800 + 47_000)]);
        bench.wait(Duration::from_millis(500));
        bench.input(Input::Played(4_800 + played));
        bench.chunk([AgentOutput::Cut]);
        let told = bench.told.lock().expect("one thread").clone();
        let bytes = "Yes. ".len() + heard.len();
        assert_eq!(told, [format!("AnswerOver {{ answer: 0, heard: {bytes} }}")], "after {played}");
    }
}

#[test]
fn of_a_later_answer_too_it_is_its_own_sound_that_says_how_much_was_heard() {
    let mut bench = Bench::new();
    for answer in 0..3 {
        let text = "One two three four five ".into();
        let words = AgentOutput::Words { text, start: 0, end: 0, last: true };
        let did = bench.chunk([words, AgentOutput::Sound(vec![5; 48_000])]);
        let start = did.iter().find_map(|did| match did {
            Did::Say(Saying::Transcript(turn)) if turn.role == Role::Agent => Some(turn.start),
            _ => None,
        });
        // Half of it: twelve bytes, in the middle of the third word.
        bench.input(Input::Played(start.expect("its words are told") + 24_000));
        bench.told.lock().expect("one thread").clear();
        bench.chunk([AgentOutput::Cut]);
        let told = bench.told.lock().expect("one thread").clone();
        assert_eq!(told, [format!("AnswerOver {{ answer: {answer}, heard: 7 }}")]);
    }
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
fn how_long_an_answer_took_is_told_once_it_is_known() {
    let mut bench = Bench::new();
    let word = AgentOutput::Words { text: "yes".into(), start: 0, end: 0, last: true };
    let did = bench.chunk([said(0, 1_600), word, AgentOutput::AnswerEnd]);
    let latencies: Vec<_> = did
        .iter()
        .filter_map(|did| if let Did::Say(Saying::Latency(latency)) = did { Some(*latency) } else { None })
        .collect();
    let expected =
        Latency { turn: 1, stt_ms: Some(0), llm_ms: Some(0), total_ms: Some(0), ..Latency::default() };
    assert_eq!(latencies, [expected]);
}

#[test]
fn understanding_takes_from_the_end_of_the_last_word_on_whatever_silence_belongs_to_the_turn() {
    let mut bench = Bench::new();
    bench.chunk([]);
    bench.chunk([]);
    let said = AgentOutput::Said { text: "hello".into(), start: 0, end: 4_800, words_end: 1_600 };
    let word = AgentOutput::Words { text: "yes".into(), start: 0, end: 0, last: true };
    let did = bench.chunk([said, word, AgentOutput::AnswerEnd]);
    let took = did.iter().find_map(|did| match did {
        Did::Say(Saying::Latency(latency)) => Some((latency.stt_ms, latency.total_ms)),
        _ => None,
    });
    assert_eq!(took, Some((Some(200), Some(200))), "{did:?}");
}

#[test]
fn each_stage_of_a_spoken_answer_has_its_share_and_its_hearing_is_told_and_stored_when_it_is_known() {
    let mut bench = Bench::new();
    let latency = |did: &[Did]| {
        did.iter()
            .find_map(|did| if let Did::Say(Saying::Latency(latency)) = did { Some(*latency) } else { None })
    };
    bench.chunk([said(0, 1_600)]);
    let request = RequestId(0);
    bench.now = bench.now + Duration::from_millis(300);
    assert_eq!(latency(&bench.input(Input::Provider { request, event: &Event::Text("Yes".into()) })), None);
    bench.now = bench.now + Duration::from_millis(50);
    bench.input(Input::Provider { request, event: &Event::Text(".".into()) });
    bench.now = bench.now + Duration::from_millis(100);
    // The voice has begun, and the agent has nothing to give of that yet.
    let sound = Event::Sound(relay::provider::Sound { samples: vec![5; 10], rate: 24_000 });
    bench.input(Input::Provider { request, event: &sound });
    bench.now = bench.now + Duration::from_millis(20);
    bench.script.lock().expect("one thread").push_back(reply(1));
    let did = bench.input(Input::Provider { request, event: &sound });
    let first = Latency {
        turn: 1,
        stt_ms: Some(0),
        llm_ms: Some(300),
        tts_ms: Some(150),
        send_ms: Some(20),
        total_ms: Some(470),
        ..Latency::default()
    };
    assert_eq!(latency(&did), Some(first));
    bench.now = bench.now + Duration::from_millis(250);
    assert_eq!(latency(&bench.input(Input::Played(0))), None);
    assert_eq!(latency(&bench.input(Input::Played(2_400))), Some(Latency { heard_ms: Some(250), ..first }));
    let did = bench.input(Input::Played(24_000));
    assert_eq!(latency(&did), None, "once");
    let stored = did.iter().find_map(|did| if let Did::Store(turns, _) = did { turns.first() } else { None });
    assert_eq!(stored.and_then(|turn| turn.latency.heard_ms), Some(250));
}

#[test]
fn the_first_of_an_answer_is_sent_as_soon_as_there_is_a_little_of_it_and_the_rest_in_whole_frames() {
    let mut bench = Bench::new();
    let sounds = |bench: &mut Bench, samples: usize| {
        let sound = AgentOutput::Sound(vec![5; samples]);
        let did = bench.chunk([sound]);
        did.iter()
            .filter_map(|did| if let Did::Speak(samples) = did { Some(*samples) } else { None })
            .collect::<Vec<_>>()
    };
    let words = AgentOutput::Words { text: "yes".into(), start: 0, end: 0, last: false };
    bench.chunk([said(0, 1_600), words]);
    assert_eq!(sounds(&mut bench, 240), [0_usize; 0], "10 ms are not worth a frame");
    assert_eq!(sounds(&mut bench, 720), [960]);
    assert_eq!(sounds(&mut bench, 960), [0_usize; 0], "40 ms play already");
    assert_eq!(sounds(&mut bench, 1_920), [2_400]);
    // What is left is sent before nobody hears anything any more.
    bench.now = bench.now + Duration::from_millis(139);
    assert_eq!(sounds(&mut bench, 0), [0_usize; 0]);
    assert_eq!(spoken(&bench.wait(Duration::from_millis(2))), 480);
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
