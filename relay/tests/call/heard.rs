//! What was heard of an answer, and what stays of it where that is not all.

use super::turns::told_turns;
use super::*;

/// The words of the agent's turn that were stored last.
fn stored_words(did: &[Did]) -> Option<&str> {
    did.iter().rev().find_map(|did| match did {
        Did::Store(turns, _) => {
            turns.iter().find(|turn| turn.role == Role::Agent).map(|turn| turn.text.as_str())
        }
        _ => None,
    })
}

#[test]
fn of_an_answer_that_the_end_of_the_call_breaks_off_what_was_heard_stays() {
    for (played, left) in [(0, ""), (5_000, ""), (12_000, "hello"), (23_999, "hello")] {
        for ends in [Input::Stop(CloseCode::TooLong), Input::Bye] {
            let mut bench = Bench::new();
            bench.answered(1);
            bench.input(Input::Played(played));
            let mut did = bench.input(ends);
            did.extend(bench.wait(Duration::from_secs(4)));
            assert_eq!(stored_words(&did), Some(left), "heard up to {played}");
            assert_eq!(stored_heard(&did), Some(played));
            let told = did.iter().rev().find_map(|did| match did {
                Did::Say(Saying::Transcript(told)) if told.role == Role::Agent => {
                    Some((&*told.text, told.last))
                }
                _ => None,
            });
            assert_eq!(told, Some((left, true)), "the page is told what is stored");
        }
    }
}

#[test]
fn a_relay_that_goes_on_with_a_call_keeps_of_a_broken_answer_what_was_heard() {
    let mut answer = Turn::new(3, Role::Agent, "one two three four".into(), 24_000, 48_000);
    answer.latency.total_ms = Some(420);
    for (played, left, heard) in [
        (0, "", 24_000),
        (24_000, "", 24_000),
        (30_500, "one", 30_500),
        (37_000, "one two", 37_000),
        (48_000, "one two three four", 48_000),
        (99_000, "one two three four", 48_000),
    ] {
        let cut = answer.clone().broken_off(played, 24_000);
        assert_eq!((cut.text.as_str(), cut.heard), (left, Some(heard)), "heard up to {played}");
        assert_eq!((cut.turn, cut.start, cut.end), (3, 24_000, 48_000));
        assert_eq!(cut.latency, answer.latency, "what was measured stays");
    }
    // Far more is written than is spoken.
    let link =
        "See [the manual](https://example.com/a/very/long/address/of/a/manual/that/nobody/reads/aloud).";
    let linked = Turn::new(1, Role::Agent, link.into(), 0, 24_000);
    assert_eq!(linked.broken_off(24_000, 24_000).text, link, "it was heard to its end");
}

#[test]
fn what_was_stored_last_has_the_highest_revision() {
    let mut bench = Bench::new();
    let mut did = bench.answered(1);
    did.extend(bench.input(Input::Played(24_000)));
    let revisions: Vec<u32> = did
        .iter()
        .filter_map(|did| if let Did::Store(turns, _) = did { Some(turns[0].revision) } else { None })
        .collect();
    assert!(revisions.len() == 3 && revisions.is_sorted_by(|one, next| one < next), "{revisions:?}");
}

#[test]
fn while_nobody_is_there_who_could_say_it_an_answer_is_not_over() {
    let mut bench = Bench::new();
    bench.answered(1);
    bench.input(Input::Room(false));
    let did = bench.wait(Duration::from_secs(60));
    assert_eq!(stored_heard(&did), None, "{did:?}");
    bench.input(Input::Room(true));
    let did = bench.wait(Duration::from_millis(900));
    assert_eq!(stored_heard(&did), None, "what was sent meanwhile is still being played");
    assert_eq!(stored_heard(&bench.input(Input::Played(24_000))), Some(24_000));

    let mut bench = Bench::new();
    bench.answered(1);
    bench.input(Input::Room(false));
    bench.wait(Duration::from_secs(60));
    bench.input(Input::Room(true));
    let did = bench.wait(Duration::from_millis(4_100));
    assert!(
        did.contains(&Did::Say(Saying::Agent(AgentState::Listening))),
        "who says nothing is not waited for"
    );
    assert_eq!(stored_heard(&did), None, "how far it was heard is not known yet");
    assert_eq!(stored_heard(&bench.input(Input::Played(24_000))), Some(24_000), "it was late");

    let mut bench = Bench::new();
    bench.answered(1);
    bench.wait(Duration::from_millis(4_100));
    let did = bench.input(Input::Stop(CloseCode::TooLong));
    assert_eq!((stored_words(&did), stored_heard(&did)), (Some(""), Some(0)), "it is not said any more");
}

#[test]
fn the_agent_is_told_what_is_taken_back_of_an_answer_that_it_took_for_heard_before_it_can_answer_again() {
    let mut bench = Bench::new();
    bench.answered(1);
    // The client is slow to say what it has played.
    bench.wait(Duration::from_millis(4_100));
    let told = |bench: &Bench| {
        let mut told = std::mem::take(&mut *bench.told.lock().expect("one thread"));
        told.retain(|told| told.contains("answer: "));
        told
    };
    assert_eq!(told(&bench), ["AnswerOver { answer: 0, heard: 14 }"]);
    let words = AgentOutput::Words { text: "Is that all?".into(), start: 0, end: 0, last: true };
    bench.chunk([words, AgentOutput::Sound(vec![5; 24_000])]);
    bench.input(Input::Played(12_000));
    let did = bench.chunk([AgentOutput::Cut]);
    assert_eq!(told(&bench), ["TakenBack { answer: 0, heard: 5 }", "AnswerOver { answer: 1, heard: 0 }"]);
    let stored: Vec<&str> = did
        .iter()
        .filter_map(|did| if let Did::Store(turns, _) = did { Some(&*turns[0].text) } else { None })
        .collect();
    assert_eq!(stored, ["hello", ""], "and the record says the same");
}

/// What the agent was told of its answers.
fn told_of_answers(bench: &Bench) -> Vec<String> {
    let told = bench.told.lock().expect("one thread");
    told.iter().filter(|told| told.contains("answer: ")).cloned().collect()
}

fn flushes(did: &[Did]) -> usize {
    did.iter().filter(|did| **did == Did::Say(Saying::Flush)).count()
}

#[test]
fn what_a_client_still_plays_of_an_answer_that_was_taken_for_heard_stops_when_the_user_says_something() {
    for says in [
        AgentOutput::Partial { text: "stop".into(), start: 1_600, end: 3_200, final_through: None },
        said(1_600, 3_200),
        AgentOutput::Typed { text: "stop".into(), position: 3_200 },
    ] {
        let mut bench = Bench::new();
        bench.answered(10);
        bench.input(Input::Played(30_000));
        // The loudspeaker stands still, and goes on later.
        let did = bench.wait(Duration::from_secs(14));
        assert!(did.contains(&Did::Say(Saying::Agent(AgentState::Listening))), "it is not waited for");
        let did = bench.chunk([says.clone()]);
        assert_eq!((flushes(&did), stored_heard(&did)), (1, Some(30_000)), "{says:?}: {did:?}");
        let over = ["AnswerOver { answer: 0, heard: 14 }", "TakenBack { answer: 0, heard: 0 }"];
        assert_eq!(told_of_answers(&bench), over, "{says:?}");
        let did = bench.chunk([said(3_200, 4_800)]);
        assert_eq!((flushes(&did), stored_heard(&did)), (0, None), "it plays nothing any more: {did:?}");
    }
}

#[test]
fn a_sign_that_the_user_listens_and_a_noise_stop_nothing_that_a_client_still_plays() {
    let mut bench = Bench::new();
    bench.answered(1);
    bench.input(Input::Played(12_000));
    bench.wait(Duration::from_secs(5));
    let remarked = AgentOutput::Remarked { text: "mhm".into(), start: 1_600, end: 3_200 };
    let did = bench.chunk([remarked, AgentOutput::SpeechStarted { at: 3_200 }]);
    assert_eq!((flushes(&did), stored_heard(&did)), (0, None), "{did:?}");
    assert_eq!(stored_heard(&bench.input(Input::Played(24_000))), Some(24_000));
}

#[test]
fn of_answers_of_which_nothing_has_sounded_the_words_stay_which_were_read() {
    // A client without sound never says that anything was played.
    let mut bench = Bench::new();
    bench.answered(1);
    bench.wait(Duration::from_secs(5));
    let did = bench.chunk([said(1_600, 3_200)]);
    assert_eq!((flushes(&did), stored_heard(&did)), (0, None), "{did:?}");
    assert_eq!(told_of_answers(&bench), ["AnswerOver { answer: 0, heard: 14 }"]);

    // A loudspeaker that stands still before an answer begins may go on with it at any time.
    let mut bench = Bench::new();
    bench.answered(1);
    bench.input(Input::Played(24_000));
    bench.chunk([said(1_600, 3_200), reply(1)]);
    bench.wait(Duration::from_secs(5));
    let did = bench.chunk([said(3_200, 4_800)]);
    assert_eq!((flushes(&did), stored_heard(&did)), (1, Some(24_000)), "it is settled: {did:?}");
    let stored = did.iter().find_map(|did| match did {
        Did::Store(turns, _) => turns.iter().find(|turn| turn.role == Role::Agent),
        _ => None,
    });
    assert_eq!(stored.map(|turn| turn.text.as_str()), Some("hello yourself"), "no word is taken back");
    let over = ["AnswerOver { answer: 0, heard: 14 }", "AnswerOver { answer: 1, heard: 14 }"];
    assert_eq!(told_of_answers(&bench), over);
}

#[test]
fn the_end_of_a_call_stops_nothing_that_a_client_still_plays() {
    let mut bench = Bench::new();
    bench.answered(1);
    bench.input(Input::Played(12_000));
    bench.wait(Duration::from_secs(5));
    // What the user was saying is understood with the end.
    bench.script.lock().expect("one thread").push_back(said(1_600, 3_200));
    let did = bench.input(Input::Stop(CloseCode::TooLong));
    assert_eq!((flushes(&did), stored_heard(&did)), (0, Some(12_000)), "{did:?}");
}

#[test]
fn words_that_come_when_the_user_has_hung_up_stay_with_the_sound_of_their_answer_and_begin_no_other() {
    let mut bench = Bench::new();
    let words = |text: &str, start, end, last| AgentOutput::Words { text: text.into(), start, end, last };
    bench.chunk([said(0, 1_600), words("One moment.", 0, 2_400, false), AgentOutput::Sound(vec![0; 2_400])]);
    // Something is still to be understood, so that the call does not end at once.
    bench.chunk([AgentOutput::SpeechStarted { at: 1_600 }]);
    bench.input(Input::Bye);
    let told = |did: &[Did]| {
        did.iter().rev().find_map(|did| match did {
            Did::Say(Saying::Transcript(told)) if told.role == Role::Agent => Some(told.text.clone()),
            _ => None,
        })
    };
    let rest = [words(" It is late.", 2_400, 4_800, true), AgentOutput::Sound(vec![0; 2_400])];
    let mut did = bench.chunk(rest.into_iter().chain([AgentOutput::AnswerEnd]));
    did.extend(bench.wait(Duration::from_millis(100)));
    assert_eq!(told(&did).as_deref(), Some("One moment. It is late."), "{did:?}");
    assert_eq!(told(&bench.chunk([words("Another.", 0, 2_400, true)])), None);
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
fn words_behind_the_end_of_an_answers_sound_were_read_and_stay() {
    let words = |text: &str, start, end| AgentOutput::Words { text: text.into(), start, end, last: false };
    // Nobody speaks the last ones: they are for the eye, or no voice is left.
    let answer = || {
        let sound = AgentOutput::Sound(vec![5; 24_000]);
        [words("One two. ", 0, 0), sound, words("Three.", 24_000, 24_000), AgentOutput::AnswerEnd]
    };
    for (played, heard) in [(24_000, "One two. Three."), (12_000, "One")] {
        let mut bench = Bench::new();
        bench.chunk(answer());
        bench.input(Input::Played(played));
        bench.chunk([AgentOutput::Cut]);
        let told = bench.told.lock().expect("one thread").clone();
        assert_eq!(told, [format!("AnswerOver {{ answer: 0, heard: {} }}", heard.len())], "{played}");
    }
}

#[test]
fn of_a_sentence_whose_voice_broke_off_those_words_were_heard_that_had_sounded() {
    let text = "One two three four. ";
    // A voice broke off in the first word, and another one speaks all of them behind that.
    for (played, heard) in [(14_000, ""), (26_000, "One two")] {
        let mut bench = Bench::new();
        let words = AgentOutput::Words { text: text.into(), start: 0, end: 0, last: false };
        let broken_off = AgentOutput::Spoken { bytes: 0, end: 14_000 };
        bench.chunk([words, AgentOutput::Sound(vec![5; 14_000]), broken_off]);
        bench.chunk([AgentOutput::Sound(vec![5; 24_000])]);
        bench.wait(Duration::from_millis(500));
        bench.input(Input::Played(played));
        bench.chunk([AgentOutput::Cut]);
        let told = bench.told.lock().expect("one thread").clone();
        assert_eq!(told, [format!("AnswerOver {{ answer: 0, heard: {} }}", heard.len())], "{played}");
    }
}
