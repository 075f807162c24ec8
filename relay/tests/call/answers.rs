//! Answers: how far ahead they are sent, when they stand still, how they end and how long they took.

use super::*;

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
fn a_pause_of_the_agent_within_an_answer_is_told_before_what_follows_and_one_of_the_line_is_not() {
    let millis = Duration::from_millis;
    let words = || AgentOutput::Words { text: "One moment. ".into(), start: 0, end: 0, last: false };
    let sound = || AgentOutput::Sound(vec![5; 4_800]);
    let ends = |did: &[Did]| did.iter().position(|did| *did == Did::Say(Saying::ReplyEnd));
    let first = |did: &[Did]| did.iter().position(|did| matches!(did, Did::Speak(_)));
    // 200 ms of sound, and the next after so long.
    for (after, is_told) in [(0, false), (190, false), (290, false), (310, true), (5_000, true)] {
        let mut bench = Bench::new();
        assert_eq!(ends(&bench.chunk([said(0, 1_600), words(), sound()])), None);
        assert_eq!(ends(&bench.wait(millis(after))), None, "after {after} ms");
        let did = bench.chunk([sound()]);
        let told = ends(&did);
        assert_eq!(told.is_some(), is_told, "after {after} ms: {did:?}");
        assert!(told.is_none() || told < first(&did), "after {after} ms: {did:?}");
        // What goes on without a pause behind that has none.
        let did = bench.chunk([sound()]);
        assert_eq!(ends(&did), None, "after {after} ms: {did:?}");
    }
    // Nobody was there to whom anything could have been sent.
    let mut bench = Bench::new();
    bench.chunk([said(0, 1_600), words(), sound()]);
    bench.input(Input::Room(false));
    bench.wait(millis(5_000));
    let mut did = bench.chunk([sound()]);
    did.extend(bench.input(Input::Room(true)));
    assert_eq!((ends(&did), spoken(&did)), (None, 4_800), "{did:?}");
}

#[test]
fn the_end_of_an_answer_is_told_once_also_when_all_of_it_was_sent_before_the_agent_knew() {
    let ends = |did: &[Did]| did.iter().filter(|did| **did == Did::Say(Saying::ReplyEnd)).count();
    for after in [50, 1_000, 20_000] {
        let words = AgentOutput::Words { text: "Sure.".into(), start: 0, end: 0, last: false };
        let mut bench = Bench::new();
        assert_eq!(ends(&bench.chunk([said(0, 1_600), words, AgentOutput::Sound(vec![5; 4_800])])), 0);
        assert_eq!(ends(&bench.wait(Duration::from_millis(after))), 0, "after {after} ms");
        assert_eq!(ends(&bench.chunk([AgentOutput::AnswerEnd])), 1, "after {after} ms");
        assert_eq!(ends(&bench.wait(Duration::from_secs(10))), 0, "after {after} ms");
    }
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
