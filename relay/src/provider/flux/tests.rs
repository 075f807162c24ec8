mod orders;

use bytes::Bytes;

use super::super::scenario::{Bench, GARBAGE, provider};
use super::super::{FailureKind, Provider};
use super::*;

fn listening_to() -> Bench {
    Bench::connected(&provider(&DEEPGRAM_FLUX, "flux-general-en"), &Ask::Listen)
}

fn turn(event: &str, text: &str, start: f64, end: f64) -> Value {
    json!({
        "type": "TurnInfo", "request_id": "r-7", "sequence_id": 3, "event": event, "turn_index": 0,
        "audio_window_start": start, "audio_window_end": end, "transcript": text,
        "words": [{"word": text, "confidence": 0.9}], "end_of_turn_confidence": 0.4,
    })
}

/// Of words that were known first at that end.
fn heard(text: &str, start: u32, end: u32, is_final: bool) -> Event {
    heard_since(text, (start, end), (!text.is_empty()).then_some(end), is_final)
}

fn heard_since(text: &str, (start, end): (u32, u32), words_end: Option<u32>, is_final: bool) -> Event {
    Event::Heard(Heard { text: text.to_owned(), start, end, words_end, is_final })
}

#[test]
fn it_asks_as_the_reference_says() {
    let asked = |model: &str, language: &str| {
        let (language, key_terms) = (Some(language.to_owned()), vec!["Voxrelay".to_owned()]);
        let provider = Provider { language, key_terms, ..provider(&DEEPGRAM_FLUX, model) };
        Bench::open(&provider, &Ask::Listen).target
    };
    let target = asked("flux-general-en", "en");
    assert_eq!(
        target.url.as_str(),
        "wss://example.com/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000\
         &eot_threshold=0.7&eot_timeout_ms=5000&keyterm=Voxrelay"
    );
    assert_eq!(target.headers, [("authorization", "Token sk-test".to_owned())]);
    let target = asked("flux-general-multi", "de-CH");
    assert!(target.url.as_str().ends_with("&language_hint=de-CH&keyterm=Voxrelay"), "{}", target.url);
    let provider = Provider { eager: true, ..provider(&DEEPGRAM_FLUX, "flux-general-en") };
    let target = Bench::open(&provider, &Ask::Listen).target;
    assert!(target.url.as_str().ends_with("&eager_eot_threshold=0.5"), "{}", target.url);
    assert!(!asked("flux-general-multi", "multi").url.as_str().contains("language"));
}

#[test]
fn a_turn_is_told_as_it_grows_and_is_final_with_its_end() {
    let mut bench = listening_to();
    assert_eq!(bench.message(&json!({"type": "Connected", "request_id": "r-1", "sequence_id": 0})), []);
    let audio = Bytes::from_static(&[1, 0]);
    assert_eq!(bench.handle(Input::Feed(&Feed::Audio(audio.clone()))), [Output::Binary(audio)]);
    assert_eq!(bench.message(&turn("Update", "", 0.0, 3.0)), [heard("", 0, 32_000, true)]);
    assert_eq!(bench.message(&turn("Update", "", 0.0, 2.5)), [], "it is no news that nobody spoke then");
    let began = bench.message(&turn("StartOfTurn", "Hel", 3.0, 3.5));
    assert_eq!(began, [Event::Turn(TurnSign::Began { at: 48_000 }), heard("Hel", 48_000, 56_000, false)]);
    assert_eq!(bench.message(&turn("Update", "Hel", 3.0, 3.75)), [], "that is no news");
    assert_eq!(bench.message(&turn("Update", "Hello", 3.0, 4.0)), [heard("Hello", 48_000, 64_000, false)]);
    let maybe = bench.message(&turn("EagerEndOfTurn", "Hello.", 3.0, 4.5));
    assert_eq!(
        maybe,
        [heard_since("Hello.", (48_000, 72_000), Some(64_000), false), Event::Turn(TurnSign::MayBeOver)]
    );
    let resumed = bench.message(&turn("TurnResumed", "Hello. You", 3.0, 4.75));
    assert_eq!(resumed, [Event::Turn(TurnSign::GoesOn), heard("Hello. You", 48_000, 76_000, false)]);
    let over = bench.message(&turn("EndOfTurn", "Hello. You there?", 3.0, 5.5));
    assert_eq!(over, [heard("Hello. You there?", 48_000, 88_000, true), Event::Turn(TurnSign::Over)]);
    assert_eq!(bench.feed(&Feed::Flush), [json!({"type": "ForceEndTurn"})]);
    assert_eq!(bench.feed(&Feed::Finish), [json!({"type": "CloseStream"})]);
    let done = bench.events(Input::End);
    let [Event::Finished(answer)] = &done[..] else { panic!("no turn was left: {done:?}") };
    assert_eq!((answer.usage, answer.request_id.as_deref()), (None, Some("r-1")));
}

#[test]
fn the_last_word_ends_where_it_says_so_or_else_where_it_was_known_first() {
    let mut bench = listening_to();
    bench.message(&turn("StartOfTurn", "Hello there", 0.5, 1.5));
    let over = bench.message(&turn("EndOfTurn", "Hello, there!", 0.5, 2.5));
    assert_eq!(over[0], heard_since("Hello, there!", (8_000, 40_000), Some(24_000), true));
    let mut timed = turn("EndOfTurn", "Yes.", 2.5, 4.0);
    timed["turn_index"] = json!(1);
    timed["words"] = json!([{"word": "Yes.", "start": 2.75, "end": 3.25, "confidence": 0.9}]);
    assert_eq!(bench.message(&timed)[0], heard_since("Yes.", (44_000, 64_000), Some(52_000), true));
}

#[test]
fn the_first_word_begins_where_it_says_so_or_else_a_while_before_it_was_known_whatever_silence_was_heard_with_it()
 {
    let mut bench = listening_to();
    bench.message(&turn("Update", "", 0.0, 10.0));
    let began = bench.message(&turn("StartOfTurn", "Yes", 0.0, 10.25));
    assert_eq!(began, [Event::Turn(TurnSign::Began { at: 144_000 }), heard("Yes", 144_000, 164_000, false)]);
    let over = bench.message(&turn("EndOfTurn", "Yes, please.", 0.0, 12.0));
    assert_eq!(over[0], heard("Yes, please.", 144_000, 192_000, true));
    let mut timed = turn("StartOfTurn", "No.", 12.0, 20.0);
    timed["turn_index"] = json!(1);
    timed["words"] = json!([{"word": "No.", "start": 19.5, "end": 19.75, "confidence": 0.9}]);
    let began = bench.message(&timed);
    let words = heard_since("No.", (312_000, 320_000), Some(316_000), false);
    assert_eq!(began, [Event::Turn(TurnSign::Began { at: 312_000 }), words]);
}

#[test]
fn the_last_that_it_said_of_a_turn_is_final_when_it_closes() {
    let lost = Input::Lost("Connection reset without closing handshake");
    for end in [Input::End, lost, Input::Timeout] {
        let mut bench = listening_to();
        bench.message(&turn("StartOfTurn", "Good", 0.0, 1.0));
        bench.feed(&Feed::Finish);
        assert_eq!(bench.message(&turn("Update", "Goodbye", 0.0, 2.0)), [heard("Goodbye", 0, 32_000, false)]);
        bench.now = Time::ZERO + LAST_WORDS_WITHIN;
        let events = bench.events(end);
        let [words, over, Event::Finished(_)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((words, over), (&heard("Goodbye", 0, 32_000, true), &Event::Turn(TurnSign::Over)));
        assert_eq!(bench.message(&turn("Update", "more", 0.0, 3.0)), []);
    }
    // Nobody asked it to close.
    let mut bench = listening_to();
    bench.message(&turn("StartOfTurn", "Good", 0.0, 1.0));
    assert_eq!(bench.fails(Input::End), FailureKind::Connection);
}

#[test]
fn a_fatal_error_ends_it() {
    for (error, kind) in [
        (
            json!({"type": "Error", "sequence_id": 4, "code": "INTERNAL_SERVER_ERROR", "description": "Oh."}),
            FailureKind::Provider,
        ),
        (
            json!({"type": "Error", "code": "UNPARSABLE_CLIENT_MESSAGE", "description": "Eh?"}),
            FailureKind::Request,
        ),
        (json!({"type": "Error", "code": null, "description": null}), FailureKind::Provider),
    ] {
        assert_eq!(listening_to().fails(Input::Text(&error.to_string())), kind, "{error}");
    }
    // It was given something just now.
    let mut bench = listening_to();
    bench.handle(Input::Feed(&Feed::Audio(Bytes::from_static(&[1, 0]))));
    assert_eq!(bench.fails(Input::Lost("closed with 1011: NET-0001")), FailureKind::Timeout);
}

#[test]
fn that_it_closes_a_connection_which_nothing_comes_over_is_no_failure_and_ends_no_turn() {
    let error = json!({"type": "Error", "sequence_id": 4, "code": "NET-0001", "description": "Idle."});
    let error = error.to_string();
    for closes in [Input::Text(&error), Input::Lost("closed with 1011: NET-0001")] {
        let mut bench = listening_to();
        bench.message(&json!({"type": "Connected", "request_id": "r-1"}));
        bench.handle(Input::Feed(&Feed::Audio(Bytes::from_static(&[1, 0]))));
        bench.message(&turn("StartOfTurn", "Just a", 0.0, 1.0));
        bench.now = Time::from_millis(11_000);
        let events = bench.events(closes);
        let [Event::Finished(answer)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(answer.request_id.as_deref(), Some("r-1"));
        // Whatever else it says then is one.
        let mut bench = listening_to();
        bench.now = Time::from_millis(11_000);
        assert_eq!(bench.fails(Input::Lost("closed with 1011: NET-0000")), FailureKind::Provider);
    }
}

/// What is final of a monologue of a word each second, which is told twice a second and is over after so many seconds, and when that was told.
fn finals(seconds: u32, flushed_at: Option<u32>) -> Vec<(u32, Heard)> {
    let mut bench = listening_to();
    let mut finals = Vec::new();
    for half in 2..=2 * seconds {
        let (now, spoken) = (f64::from(half) / 2.0, half / 2);
        let words: Vec<String> = (1..=spoken).map(|number| format!("word{number}")).collect();
        let name = match half {
            2 => "StartOfTurn",
            _ if half == 2 * seconds => "EndOfTurn",
            _ => "Update",
        };
        if flushed_at == Some(half / 2) {
            bench.handle(Input::Feed(&Feed::Flush));
        }
        finals.extend(bench.message(&turn(name, &words.join(" "), 0.5, now)).into_iter().filter_map(
            |event| match event {
                Event::Heard(heard) if heard.is_final => Some((spoken, heard)),
                _ => None,
            },
        ));
    }
    finals
}

#[test]
fn of_a_long_turn_without_an_end_the_words_that_do_not_change_are_final_before_a_client_forgets_their_audio()
{
    let finals = finals(120, None);
    let (mut from, mut said) = (8_000, Vec::new());
    for (told, Heard { text, start, end, .. }) in &finals {
        assert_eq!(*start, from, "each begins where the one before ends");
        // A client keeps 30 s.
        assert!(told * 16_000 - from <= 25 * 16_000, "what begins at {from} is told after {told} s");
        from = *end;
        said.push(text.as_str());
    }
    let all: Vec<String> = (1..=120).map(|number| format!("word{number}")).collect();
    assert_eq!(said.join(" "), all.join(" "), "each word is told once");
    assert!(finals.len() > 5, "{finals:?}");
}

#[test]
fn that_a_long_turn_seems_to_have_become_shorter_ends_nothing() {
    let mut bench = listening_to();
    assert_eq!(bench.message(&turn("Update", "a", 0.0, 1.0)), [heard("a", 0, 16_000, false)]);
    assert_eq!(bench.message(&turn("Update", "a b", 0.0, 10.0)), [heard("a b", 0, 160_000, false)]);
    assert_eq!(bench.message(&turn("Update", "a b c", 0.0, 8.0)), [heard("a b c", 0, 128_000, false)]);
    let told = bench.message(&turn("Update", "a b c", 0.0, 16.0));
    let rest = heard_since("c", (160_000, 256_000), Some(160_000), false);
    assert_eq!(told, [heard("a b", 0, 160_000, true), rest], "no word ends before those that stay");
}

#[test]
fn a_turn_that_is_told_to_end_stays_whole_from_there_on() {
    let told = |flushed_at| finals(60, flushed_at).iter().map(|(told, _)| *told).collect::<Vec<_>>();
    let whole = told(None);
    let before: Vec<u32> = whole.iter().copied().filter(|at| *at < 30).chain([60]).collect();
    assert!(before.len() < whole.len(), "{whole:?}");
    assert_eq!(told(Some(30)), before);
}

#[test]
fn what_cannot_be_read_is_left_out_and_what_can_be_is_not() {
    let mut bench = listening_to();
    for garbage in GARBAGE.iter().chain(&["{\"type\":\"TurnInfo\"}", "{\"type\":\"TurnInfo\",\"event\":7}"]) {
        assert_eq!(bench.events(Input::Text(garbage)), [], "{garbage}");
    }
    bench.message(&turn("StartOfTurn", "one", 1.0, 2.0));
    let mut odd = turn("Update", "one two", 0.0, 0.0);
    odd["audio_window_start"] = Value::Null;
    odd["audio_window_end"] = json!("late");
    assert_eq!(bench.message(&odd), [heard("one two", 32_000, 32_000, false)]);
    odd["transcript"] = json!(7);
    odd["event"] = json!("EndOfTurn");
    assert_eq!(bench.message(&odd), [heard("", 32_000, 32_000, true), Event::Turn(TurnSign::Over)]);
    assert_eq!(bench.message(&turn("Surprise", "x", 0.0, 1.0)), []);
}

#[test]
fn a_flush_is_answered_even_where_it_says_nothing_of_one() {
    let second = || Feed::Audio(Bytes::from(vec![0; 32_000]));
    let flushed = |bench: &mut Bench| {
        bench.handle(Input::Feed(&second()));
        bench.feed(&Feed::Flush);
        // What is fed after the flush does not belong to it.
        bench.handle(Input::Feed(&second()));
    };
    let after = |bench: &mut Bench| {
        let outputs = bench.wait();
        assert_eq!(bench.now, Time::ZERO + FLUSHED_WITHIN);
        outputs
    };
    let mut bench = listening_to();
    flushed(&mut bench);
    assert_eq!(after(&mut bench), [Output::Event(Event::Unanswered { end: 16_000 })]);
    assert_eq!(bench.due(), None);
    let mut bench = listening_to();
    bench.message(&turn("StartOfTurn", "Hi", 0.25, 0.75));
    flushed(&mut bench);
    let over = Output::Event(Event::Turn(TurnSign::Over));
    assert_eq!(
        after(&mut bench),
        [Output::Event(heard_since("Hi", (4_000, 16_000), Some(12_000), true)), over]
    );
    let silence = bench.message(&turn("EndOfTurn", "Hi.", 0.25, 1.5));
    assert_eq!(silence, [heard("", 16_000, 24_000, true), Event::Turn(TurnSign::Over)], "its word was told");
    let mut next = turn("StartOfTurn", "You", 1.5, 2.0);
    next["turn_index"] = json!(1);
    assert_eq!(bench.message(&next).len(), 2);
    // A turn that began after the flush is not cut by it.
    let mut bench = listening_to();
    flushed(&mut bench);
    bench.message(&turn("StartOfTurn", "Yes", 1.25, 1.75));
    let words = Output::Event(heard("Yes", 20_000, 28_000, false));
    assert_eq!(after(&mut bench), [Output::Event(Event::Unanswered { end: 16_000 }), words]);
    let over = bench.message(&turn("EndOfTurn", "Yes.", 1.25, 2.0));
    assert_eq!(over[0], heard_since("Yes.", (20_000, 32_000), Some(28_000), true));
}

/// A second of audio.
fn second() -> Input<'static> {
    static SECOND: std::sync::LazyLock<Feed> =
        std::sync::LazyLock::new(|| Feed::Audio(Bytes::from(vec![0; 32_000])));
    Input::Feed(&SECOND)
}

/// The same turn under another number.
fn numbered(index: i64, mut turn: Value) -> Value {
    turn["turn_index"] = json!(index);
    turn
}

#[test]
fn a_flush_that_was_answered_is_over_and_cuts_nobody_who_speaks_after_it() {
    let mut bench = listening_to();
    bench.handle(second());
    bench.message(&turn("StartOfTurn", "Hello", 0.25, 0.75));
    bench.feed(&Feed::Flush);
    bench.message(&turn("EndOfTurn", "Hello.", 0.25, 0.8));
    bench.handle(second());
    // Without times of its own it seems to begin before the flush.
    let began = bench.message(&numbered(1, turn("StartOfTurn", "I'd like a", 0.8, 1.25)));
    assert_eq!(began[0], Event::Turn(TurnSign::Began { at: 12_800 }));
    assert_eq!(bench.due(), None, "nothing is waited for");
    let over = bench.message(&numbered(1, turn("EndOfTurn", "I'd like a table for two.", 0.8, 3.0)));
    assert_eq!(over[0], heard("I'd like a table for two.", 12_800, 48_000, true));
}

#[test]
fn whoever_begins_to_speak_after_a_flush_that_has_nothing_to_answer_is_not_cut_wherever_that_seems_to_be() {
    let mut bench = listening_to();
    bench.handle(second());
    bench.feed(&Feed::Flush);
    bench.handle(second());
    bench.message(&turn("StartOfTurn", "I'd like a", 0.0, 1.5));
    // There may be words before the flush, so that nothing of it is called silence.
    assert_eq!(bench.wait(), [Output::Event(heard("I'd like a", 0, 24_000, false))]);
    let over = bench.message(&turn("EndOfTurn", "I'd like a table for two.", 0.0, 3.0));
    assert_eq!(over[0], heard("I'd like a table for two.", 0, 48_000, true));
}

#[test]
fn of_somebody_who_speaks_on_a_forced_end_takes_what_was_said_before_it_and_the_rest_goes_on() {
    let mut bench = listening_to();
    bench.handle(second());
    bench.message(&turn("StartOfTurn", "And so", 0.25, 0.75));
    bench.feed(&Feed::Flush);
    bench.handle(second());
    bench.message(&turn("Update", "And so on", 0.25, 1.5));
    let told = [
        heard("And so", 4_000, 12_000, true),
        Event::Turn(TurnSign::Over),
        heard("on", 12_000, 24_000, false),
    ];
    assert_eq!(bench.wait(), told.map(Output::Event));
    let more = bench.message(&turn("Update", "And so on and on", 0.25, 2.0));
    assert_eq!(more, [heard("on and on", 12_000, 32_000, false)]);
    let over = bench.message(&turn("EndOfTurn", "And so on, and on.", 0.25, 2.5));
    let rest = heard_since("on, and on.", (12_000, 40_000), Some(32_000), true);
    assert_eq!(over, [rest, Event::Turn(TurnSign::Over)]);
}

#[test]
fn words_that_change_in_a_turn_that_was_taken_to_be_over_lose_none_behind_them() {
    let word = |word: &str, start: f64, end: f64| json!({"word": word, "start": start, "end": end});
    for (is_timed, rest) in [(true, "tables."), (false, "21 tables.")] {
        let said = |event: &str, words: &[Value], end: f64| {
            let texts: Vec<&str> = words.iter().filter_map(|word| word["word"].as_str()).collect();
            let mut said = turn(event, &texts.join(" "), 0.0, end);
            if is_timed {
                said["words"] = json!(words);
            }
            said
        };
        let mut bench = listening_to();
        bench.handle(second());
        let before =
            [word("I", 0.0, 0.1), word("have", 0.1, 0.3), word("twenty", 0.3, 0.6), word("one", 0.6, 0.8)];
        bench.message(&said("StartOfTurn", &before, 0.9));
        bench.feed(&Feed::Flush);
        assert_eq!(bench.wait()[1..], [Output::Event(Event::Turn(TurnSign::Over))]);
        let words =
            [word("I", 0.0, 0.1), word("have", 0.1, 0.3), word("21", 0.3, 0.85), word("tables.", 0.9, 1.4)];
        // What was told stays told, as it is now.
        for (event, rest) in [("Update", rest), ("EndOfTurn", rest), ("EndOfTurn", "")] {
            let told = bench.message(&said(event, &words, 1.5));
            let [Event::Heard(heard), ..] = &told[..] else { panic!("{told:?}") };
            assert_eq!(heard.text, rest, "{event}, timed: {is_timed}");
        }
    }
}

#[test]
fn words_that_are_others_in_one_update_only_are_told_once() {
    for flicker in ["I have 21", "And I have twenty", "I"] {
        let mut bench = listening_to();
        bench.handle(second());
        bench.message(&turn("StartOfTurn", "I have twenty one", 0.0, 0.9));
        bench.feed(&Feed::Flush);
        assert_eq!(bench.wait()[1..], [Output::Event(Event::Turn(TurnSign::Over))]);
        bench.message(&turn("Update", flicker, 0.0, 1.2));
        let told = bench.message(&turn("EndOfTurn", "I have twenty one tables.", 0.0, 1.6));
        let [Event::Heard(heard), ..] = &told[..] else { panic!("{told:?}") };
        assert_eq!(heard.text, "tables.", "{flicker}");
    }
}

#[test]
fn how_far_nobody_has_spoken_is_told_of_one_that_says_nothing_of_silence() {
    assert_eq!(listening_to().silence(160), [Event::Unanswered { end: 225_600 }]);
    let mut bench = listening_to();
    bench.message(&turn("StartOfTurn", "Yes", 0.0, 0.5));
    assert_eq!(bench.silence(140), [], "words of a turn are its own to take back, or to make final");
    let [Event::Failed(failure)] = &bench.silence(20)[..] else { panic!("it has failed") };
    assert_eq!(failure.kind, FailureKind::Timeout);
}

#[test]
fn the_last_words_of_somebody_who_is_muted_are_final_although_the_flush_was_answered_without_them() {
    let mut bench = listening_to();
    bench.handle(second());
    bench.message(&turn("StartOfTurn", "A table", 0.0, 0.5));
    bench.feed(&Feed::Flush);
    bench.message(&turn("EndOfTurn", "A table,", 0.0, 0.5));
    bench.message(&numbered(1, turn("StartOfTurn", "please", 0.5, 1.0)));
    let told = [heard("please", 8_000, 16_000, true), Event::Turn(TurnSign::Over)];
    assert_eq!(bench.wait(), told.map(Output::Event));
}

#[test]
fn each_word_is_told_once_also_where_the_end_of_a_turn_comes_behind_the_beginning_of_the_next_or_twice() {
    let mut bench = listening_to();
    let mut told = Vec::new();
    for message in [
        turn("StartOfTurn", "One two", 0.0, 1.0),
        numbered(1, turn("StartOfTurn", "four", 1.5, 2.0)),
        turn("EndOfTurn", "One two three.", 0.0, 1.5),
        numbered(1, turn("EndOfTurn", "Four five.", 1.5, 2.5)),
        numbered(1, turn("EndOfTurn", "Four five.", 1.5, 2.5)),
    ] {
        told.extend(bench.message(&message).into_iter().filter_map(|event| match event {
            Event::Heard(heard) if heard.is_final && !heard.text.is_empty() => Some(heard.text),
            _ => None,
        }));
    }
    assert_eq!(told, ["One two", "four", "three.", "five."]);
}

#[test]
fn turns_without_numbers_are_told_apart_by_their_ends() {
    let mut bench = listening_to();
    for (text, end) in [("Yes.", 1.0), ("Yes.", 2.0)] {
        let mut over = turn("EndOfTurn", text, end - 1.0, end);
        over["turn_index"] = Value::Null;
        let told = bench.message(&over);
        assert!(matches!(&told[0], Event::Heard(heard) if heard.text == text), "{told:?}");
    }
}
