mod orders;

use bytes::Bytes;

use super::super::scenario::{Bench, GARBAGE, provider, sent};
use super::*;

fn listening_to(language: Option<&str>) -> Bench {
    let language = language.map(str::to_owned);
    Bench::connected(&Provider { language, ..provider(&DEEPGRAM, "nova-3") }, &Ask::Listen)
}

fn results(text: &str, start: f64, duration: f64, is_final: bool, speech_final: bool) -> Value {
    json!({
        "type": "Results", "channel_index": [0, 1], "start": start, "duration": duration,
        "is_final": is_final, "speech_final": speech_final, "from_finalize": false,
        "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": []}]},
        "metadata": {"request_id": "r-7"},
    })
}

fn heard(text: &str, start: u32, end: u32, is_final: bool) -> Event {
    Event::Heard(Heard { text: text.to_owned(), start, end, words_end: None, is_final })
}

const OVER: Event = Event::Turn(TurnSign::Over);

#[test]
fn it_asks_as_the_reference_says() {
    let key_terms = vec!["Voxrelay & Co".to_owned(), "Züri+".to_owned()];
    let language = Some("de-CH".to_owned());
    let bench = Bench::open(&Provider { language, key_terms, ..provider(&DEEPGRAM, "nova-3") }, &Ask::Listen);
    assert_eq!(
        bench.target.url.as_str(),
        "wss://example.com/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&channels=1\
         &interim_results=true&smart_format=true&punctuate=true&endpointing=300&utterance_end_ms=1000\
         &vad_events=true&language=de-CH&keyterm=Voxrelay%20%26%20Co&keyterm=Z%C3%BCri%2B"
    );
    assert_eq!(bench.target.headers, [("authorization", "Token sk-test".to_owned())]);
    let local = Provider {
        base_url: "http://127.0.0.1:9/deep/".parse().expect("an address"),
        key: None,
        ..provider(&DEEPGRAM, "m")
    };
    let bench = Bench::open(&local, &Ask::Listen);
    assert!(bench.target.url.as_str().starts_with("ws://127.0.0.1:9/deep/v1/listen?model=m&"));
    assert_eq!(bench.target.headers, []);
    assert!(local.codec(&Ask::Transcribe(Vec::new())).is_none());
}

#[test]
fn a_conversation_is_heard_from_its_first_word_to_its_last() {
    let mut bench = listening_to(None);
    let audio = Bytes::from_static(&[1, 0, 2, 0]);
    assert_eq!(bench.handle(Input::Feed(&Feed::Audio(audio.clone()))), [Output::Binary(audio)]);
    let began = bench.message(&json!({"type": "SpeechStarted", "channel": [0], "timestamp": 0.5}));
    assert_eq!(began, [Event::Turn(TurnSign::Began { at: 8_000 })]);
    assert_eq!(bench.message(&results("Hel", 0.0, 1.0, false, false)), [heard("Hel", 0, 16_000, false)]);
    assert_eq!(bench.message(&results("Hello.", 0.0, 1.5, true, false)), [heard("Hello.", 0, 24_000, true)]);
    let last = bench.message(&results("How are you?", 1.5, 1.0, true, true));
    assert_eq!(last, [heard("How are you?", 24_000, 40_000, true), OVER]);
    // The turn was over already.
    assert_eq!(bench.message(&json!({"type": "UtteranceEnd", "channel": [0], "last_word_end": 2.4})), []);
    // Silence is told, since it says how far everything is heard, and is no turn.
    assert_eq!(bench.message(&results("", 2.5, 1.0, true, true)), [heard("", 40_000, 56_000, true)]);
    assert_eq!(bench.message(&results("", 3.5, 0.5, false, false)), []);
    // The end of speech was missed; the end of the utterance is not.
    assert_eq!(bench.message(&results("Yes", 3.5, 1.0, true, false)), [heard("Yes", 56_000, 72_000, true)]);
    assert_eq!(bench.message(&json!({"type": "UtteranceEnd", "last_word_end": 4.0})), [OVER]);
    assert_eq!(bench.feed(&Feed::Flush), [json!({"type": "Finalize"})]);
    let mut flushed = results("and", 4.5, 0.5, false, false);
    flushed["from_finalize"] = json!(true);
    assert_eq!(bench.message(&flushed), [heard("and", 72_000, 80_000, true)]);
    assert_eq!(bench.feed(&Feed::Finish), [json!({"type": "CloseStream"})]);
    assert_eq!(bench.feed(&Feed::Audio(Bytes::from_static(&[0, 0]))), [] as [Value; 0]);
    assert_eq!(bench.message(&results("so", 5.0, 0.5, true, false)), [heard("so", 80_000, 88_000, true)]);
    let metadata =
        json!({"type": "Metadata", "request_id": "r-8", "created": "", "duration": 5.5, "channels": 1});
    let done = bench.message(&metadata);
    let [Event::Finished(answer)] = &done[..] else { panic!("{done:?}") };
    let billed = Some(Quantity::Samples(88_000));
    assert_eq!((answer.usage, answer.request_id.as_deref()), (billed, Some("r-7")));
    assert_eq!(bench.message(&results("late", 9.0, 1.0, true, true)), []);
}

#[test]
fn where_the_first_word_begins_and_the_last_one_ends_is_told_whatever_silence_was_heard_with_them() {
    let mut bench = listening_to(None);
    let mut last = results("How are you?", 0.0, 2.5, true, true);
    last["channel"]["alternatives"][0]["words"] = json!([
        {"word": "how", "start": 0.5, "end": 0.8}, {"word": "are", "start": 0.8, "end": 1.0},
        {"word": "you", "start": 1.0, "end": 1.75, "punctuated_word": "you?"},
    ]);
    let words_end = Some(28_000);
    let heard =
        Heard { text: "How are you?".to_owned(), start: 8_000, end: 40_000, words_end, is_final: true };
    assert_eq!(bench.message(&last), [Event::Heard(heard), OVER]);
    // A stranger's figure leaves what was heard.
    let mut odd = results("Yes.", 2.5, 1.0, true, false);
    odd["channel"]["alternatives"][0]["words"] = json!([{"word": "yes", "start": 1.0, "end": 9e9}]);
    let words_end = Some(56_000);
    let heard = Heard { text: "Yes.".to_owned(), start: 40_000, end: 56_000, words_end, is_final: true };
    assert_eq!(bench.message(&odd), [Event::Heard(heard)]);
}

#[test]
fn what_is_fed_before_the_socket_is_open_waits_in_its_order() {
    let mut bench = Bench::open(&provider(&DEEPGRAM, "nova-3"), &Ask::Listen);
    let audio = Bytes::from_static(&[1, 0]);
    assert_eq!(bench.handle(Input::Feed(&Feed::Audio(audio.clone()))), [Output::Binary(audio)]);
    assert_eq!(bench.feed(&Feed::Flush), [json!({"type": "Finalize"})]);
    let head = Input::Head { status: 101, retry_after: None, request_id: Some("dg-1"), media_type: "" };
    assert_eq!(bench.events(head), [Event::Ready, Event::Named("dg-1".to_owned())]);
    assert_eq!(bench.feed(&Feed::Finish), [json!({"type": "CloseStream"})]);
    let done = bench.message(&json!({"type": "Metadata", "request_id": "r-8"}));
    let [Event::Finished(answer)] = &done[..] else { panic!("{done:?}") };
    assert_eq!(answer.request_id.as_deref(), Some("dg-1"), "the header's name goes before");
    assert_eq!(answer.usage, None, "it does not say what it bills");
}

#[test]
fn a_muted_user_does_not_make_it_hang_up() {
    let mut bench = listening_to(None);
    for at in [4_000, 8_000] {
        let outputs = bench.wait();
        assert_eq!(outputs.iter().map(sent).collect::<Vec<_>>(), [json!({"type": "KeepAlive"})]);
        assert_eq!(bench.now, Time::from_millis(at));
    }
    bench.now = Time::from_millis(11_000);
    bench.handle(Input::Feed(&Feed::Audio(Bytes::from_static(&[0, 0]))));
    assert_eq!(bench.due(), Some(Time::from_millis(15_000)));
    assert_eq!(bench.handle(Input::Timeout), [], "nothing is due yet");
}

#[test]
fn last_words_are_waited_for_only_so_long() {
    let mut bench = listening_to(None);
    bench.feed(&Feed::Finish);
    assert!(matches!(bench.wait()[..], [Output::Event(Event::Finished(_))]));
    assert_eq!(bench.now, Time::ZERO + LAST_WORDS_WITHIN);
    // It was closed in order, without its metadata.
    let mut bench = listening_to(None);
    bench.feed(&Feed::Finish);
    assert!(matches!(bench.events(Input::End)[..], [Event::Finished(_)]));
    // It was closed although nobody asked for it.
    assert_eq!(listening_to(None).fails(Input::End), FailureKind::Connection);
}

#[test]
fn it_says_whose_fault_it_is_when_it_hangs_up() {
    for (cause, kind) in [
        ("closed with 1011: NET-0001", FailureKind::Timeout),
        ("closed with 1011: NET-0000", FailureKind::Provider),
        ("closed with 1008: DATA-0000", FailureKind::Request),
        ("closed with 1002: DATA-0000", FailureKind::Request),
        ("closed with 1011: ", FailureKind::Provider),
        ("closed with 1006: ", FailureKind::Connection),
        ("Connection reset by peer", FailureKind::Connection),
    ] {
        assert_eq!(listening_to(None).fails(Input::Lost(cause)), kind, "{cause}");
    }
    for (code, kind) in [
        ("INVALID_AUTH", FailureKind::Key),
        ("TOO_MANY_REQUESTS", FailureKind::Busy),
        ("UNPARSABLE_CLIENT_MESSAGE", FailureKind::Request),
        ("INTERNAL_SERVER_ERROR", FailureKind::Provider),
    ] {
        let error = json!({"type": "Error", "code": code, "description": "It is so."}).to_string();
        assert_eq!(listening_to(None).fails(Input::Text(&error)), kind, "{code}");
    }
}

#[test]
fn a_refused_opening_is_told_in_the_providers_words() {
    for (status, kind) in [
        (401, FailureKind::Key),
        (402, FailureKind::Payment),
        (429, FailureKind::Busy),
        (500, FailureKind::Provider),
    ] {
        let mut bench = Bench::open(&provider(&DEEPGRAM, "nova-3"), &Ask::Listen);
        let head =
            Input::Head { status, retry_after: Some(3), request_id: None, media_type: "application/json" };
        assert_eq!(bench.events(head), []);
        for piece in br#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials."}"#.chunks(5) {
            assert_eq!(bench.events(Input::Bytes(piece)), []);
        }
        let events = bench.events(Input::End);
        let [Event::Failed(failure)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((failure.kind, failure.retry_after), (kind, Some(3)));
        assert!(failure.message.contains("Invalid credentials."), "{failure}");
    }
}

#[test]
fn what_cannot_be_read_is_left_out_and_what_can_be_is_not() {
    let mut bench = listening_to(None);
    for garbage in GARBAGE {
        assert_eq!(bench.events(Input::Text(garbage)), [], "{garbage}");
    }
    assert_eq!(bench.events(Input::Binary(&[1, 2, 3])), []);
    bench.message(&results("one", 1.0, 1.0, true, false));
    // Its place is not said: it follows what was heard before.
    let mut odd = results("two", 0.0, 0.0, true, false);
    odd["start"] = Value::Null;
    odd["duration"] = json!("long");
    odd["speech_final"] = Value::Null;
    assert_eq!(bench.message(&odd), [heard("two", 32_000, 32_000, true)]);
    // Numbers that are none of any audio.
    let far = bench.message(&results("three", 1e300, 1e300, false, false));
    assert_eq!(far, [heard("three", u32::MAX, u32::MAX, false)]);
    assert_eq!(bench.message(&results("four", -5.0, 1.0, false, false)), [heard("four", 0, 16_000, false)]);
    let mut empty = results("", 0.0, 0.0, false, false);
    empty["channel"] = json!({"alternatives": []});
    assert_eq!(bench.message(&empty), [heard("", 0, 0, false)], "words that are gone are taken back");
    assert_eq!(bench.message(&empty), []);
    assert_eq!(bench.feed(&Feed::Text("text".to_owned())), [] as [Value; 0]);
    assert_eq!(
        bench.feed(&Feed::Audio(Bytes::new())),
        [] as [Value; 0],
        "an empty message closes the stream"
    );
}

#[test]
fn a_flush_is_answered_even_where_it_says_nothing_of_one() {
    let second = || Feed::Audio(Bytes::from(vec![0; 32_000]));
    let mut bench = listening_to(None);
    bench.handle(Input::Feed(&second()));
    bench.feed(&Feed::Flush);
    // What is fed after the flush does not belong to it.
    bench.handle(Input::Feed(&second()));
    assert_eq!(bench.wait(), [Output::Event(Event::Unanswered { end: 16_000 })]);
    assert_eq!(bench.now, Time::ZERO + FLUSHED_WITHIN);
    // What is being said after the flush is not cut by it.
    let mut later = listening_to(None);
    later.handle(Input::Feed(&second()));
    later.feed(&Feed::Flush);
    later.handle(Input::Feed(&second()));
    let begun = later.message(&results("Ye", 1.25, 0.5, false, false));
    let unanswered = [Event::Unanswered { end: 16_000 }, begun[0].clone()];
    assert_eq!(later.wait(), unanswered.map(Output::Event));
    assert_eq!(later.message(&results("Yes", 1.25, 0.5, true, false)), [heard("Yes", 20_000, 28_000, true)]);
    // It had understood something that it never called final.
    bench.message(&results("and so", 1.0, 0.5, false, false));
    bench.feed(&Feed::Flush);
    assert_eq!(bench.wait(), [Output::Event(heard("and so", 16_000, 32_000, true))]);
    let silence = heard("", 32_000, 32_000, true);
    assert_eq!(bench.message(&results("And so.", 1.0, 0.5, true, false)), [silence], "its words were told");
    assert_eq!(bench.message(&results("on", 2.0, 0.5, true, false)), [heard("on", 32_000, 40_000, true)]);
    // An answer leaves nothing to wait for.
    bench.feed(&Feed::Flush);
    let mut answer = results("", 2.5, 0.5, true, false);
    answer["from_finalize"] = json!(true);
    bench.message(&answer);
    for _ in 0..3 {
        assert_eq!(sent(&bench.wait()[0]), json!({"type": "KeepAlive"}));
    }
}

#[test]
fn words_that_were_told_as_final_without_its_saying_so_are_not_told_again_with_what_comes_behind_them() {
    let second = || Feed::Audio(Bytes::from(vec![0; 32_000]));
    let forced = |words: &Value| {
        let mut bench = listening_to(None);
        bench.handle(Input::Feed(&second()));
        let mut interim = results("I want twenty one", 0.0, 0.8, false, false);
        interim["channel"]["alternatives"][0]["words"] = words.clone();
        bench.message(&interim);
        bench.feed(&Feed::Flush);
        assert!(matches!(&bench.wait()[..], [Output::Event(Event::Heard(heard))] if heard.is_final));
        bench
    };
    let mut bench = forced(&json!([]));
    // In parts, and with marks and capitals.
    assert_eq!(bench.message(&results("I want", 0.0, 0.4, true, false)), [heard("", 16_000, 16_000, true)]);
    let rest = bench.message(&results("twenty-one tables.", 0.4, 1.6, true, true));
    assert_eq!(rest, [heard("tables.", 16_000, 32_000, true), OVER]);
    // Words that have changed meanwhile are those that were told if they are spoken where those were.
    let word = |word: &str, start: f64, end: f64| json!({"word": word, "start": start, "end": end});
    let mut bench = forced(&json!([word("i", 0.0, 0.1), word("one", 0.6, 0.8)]));
    let mut last = results("I want 21 please.", 0.0, 1.5, true, false);
    last["channel"]["alternatives"][0]["words"] =
        json!([word("i", 0.0, 0.1), word("want", 0.1, 0.3), word("21", 0.4, 0.8), word("please", 0.9, 1.2)]);
    let told = bench.message(&last);
    let [Event::Heard(rest)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((rest.text.as_str(), rest.start), ("please.", 16_000));
    // Without times they are told twice, which is better than to lose what is behind them.
    let mut bench = forced(&json!([]));
    let changed = bench.message(&results("I want 21", 0.0, 0.8, true, false));
    assert_eq!(changed, [heard("21", 16_000, 16_000, true)]);
    let rest = bench.message(&results("tables.", 0.8, 1.2, true, true));
    assert_eq!(rest, [heard("tables.", 16_000, 32_000, true), OVER]);
    // Behind the last of them nothing is taken for one of them, however they have changed.
    let mut bench = forced(&json!([word("i", 0.0, 0.1), word("one", 0.6, 0.8)]));
    let mut changed = results("I want 21", 0.0, 0.8, true, false);
    changed["channel"]["alternatives"][0]["words"] =
        json!([word("i", 0.0, 0.1), word("want", 0.1, 0.3), word("21", 0.4, 0.8)]);
    assert_eq!(bench.message(&changed), [heard("", 16_000, 16_000, true)]);
    let rest = bench.message(&results("entyone", 0.8, 1.2, true, true));
    assert_eq!(rest, [heard("entyone", 16_000, 32_000, true), OVER]);
}

/// That its words end there, and nobody has spoken since.
fn utterance_end(last_word_end: f64) -> Value {
    json!({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last_word_end})
}

#[test]
fn the_end_of_an_utterance_that_is_told_late_ends_no_words_that_came_meanwhile() {
    for is_timed in [true, false] {
        let mut bench = listening_to(None);
        let said = |text: &str, (start, end): (f64, f64), is_final: bool| {
            let mut said = results(text, start, end - start, is_final, false);
            if is_timed {
                let words = json!([{"word": text, "start": start + 0.5, "end": end}]);
                said["channel"]["alternatives"][0]["words"] = words;
            }
            said
        };
        let mut first = said("Hello.", (0.0, 1.0), true);
        first["speech_final"] = json!(true);
        assert_eq!(bench.message(&first)[1], OVER);
        bench.message(&json!({"type": "SpeechStarted", "timestamp": 1.5}));
        bench.message(&said("I want", (1.0, 2.5), false));
        assert_eq!(bench.message(&utterance_end(1.0)), [], "more is being said, timed: {is_timed}");
        assert_eq!(bench.message(&said("I want", (1.0, 2.5), true)).len(), 1);
        assert_eq!(bench.message(&utterance_end(1.0)), [], "more was said, timed: {is_timed}");
        assert_eq!(bench.message(&utterance_end(2.5)), [OVER]);
    }
}

#[test]
fn at_the_end_of_an_utterance_whose_words_may_change_it_is_asked_to_call_them_final_and_each_is_told_once() {
    let finalize = || Output::Text(json!({"type": "Finalize"}).to_string());
    // It says -1 where it has called no word final.
    for end in [utterance_end(0.9), utterance_end(-1.0)] {
        let noisy = || {
            let mut bench = listening_to(None);
            bench.handle(Input::Feed(&Feed::Audio(Bytes::from(vec![0; 64_000]))));
            bench.message(&results("hello there", 0.0, 2.0, false, false));
            assert_eq!(bench.handle(Input::Text(&end.to_string())), [finalize()]);
            // It goes on hearing the noise.
            bench.handle(Input::Feed(&Feed::Audio(Bytes::from(vec![0; 32_000]))));
            bench.message(&results("hello there", 0.0, 2.5, false, false));
            bench
        };
        let mut bench = noisy();
        let mut last = results("Hello there.", 0.0, 2.8, true, false);
        last["from_finalize"] = json!(true);
        assert_eq!(bench.message(&last), [heard("Hello there.", 0, 44_800, true), OVER]);
        // Or they were no words.
        let mut bench = noisy();
        assert_eq!(bench.message(&results("", 0.0, 2.8, true, false)), [heard("", 0, 44_800, true)]);
        // Or it does not do as it is asked.
        let mut bench = noisy();
        let told = [heard("hello there", 0, 40_000, true), OVER];
        assert_eq!(bench.wait(), told.map(Output::Event));
        let rest = bench.message(&results("Hello there. I want", 0.0, 4.0, true, true));
        assert_eq!(rest, [heard("I want", 40_000, 64_000, true), OVER]);
    }
}

/// Words of which the last one is spoken there.
fn timed(mut results: Value, start: f64, end: f64) -> Value {
    results["channel"]["alternatives"][0]["words"] = json!([{"word": "w", "start": start, "end": end}]);
    results
}

#[test]
fn an_utterance_is_over_also_where_its_last_word_moves_when_it_becomes_final() {
    for (words_end, is_over) in [(0.8, true), (1.1, true), (1.4, true), (1.6, false)] {
        let mut bench = listening_to(None);
        bench.handle(Input::Feed(&Feed::Audio(Bytes::from(vec![0; 64_000]))));
        bench.message(&timed(results("hello there", 0.0, 2.0, false, false), 0.5, 0.9));
        bench.handle(Input::Text(&utterance_end(-1.0).to_string()));
        let last = timed(results("Hello there.", 0.0, 2.0, true, false), 0.5, words_end);
        let told = bench.message(&last);
        assert_eq!(told.contains(&OVER), is_over, "{words_end}: {told:?}");
        // It may have moved before that is told as well.
        let mut bench = listening_to(None);
        bench.message(&last);
        assert_eq!(bench.message(&utterance_end(0.9)) == [OVER], is_over, "{words_end}");
    }
}

#[test]
fn an_utterance_is_over_although_noise_that_seemed_to_be_words_came_before_that_was_told() {
    for is_timed in [true, false] {
        let noisy = || {
            let mut bench = listening_to(None);
            let said = results("I want a table", 0.0, 1.0, true, false);
            bench.message(&if is_timed { timed(said, 0.5, 0.9) } else { said });
            let noise = results("uh", 1.0, 0.8, false, false);
            bench.message(&if is_timed { timed(noise, 1.6, 1.7) } else { noise });
            assert_eq!(bench.message(&utterance_end(0.9)), [], "there may be more words, timed: {is_timed}");
            bench
        };
        let mut bench = noisy();
        let taken_back = bench.message(&results("", 1.0, 1.5, false, false));
        assert_eq!(taken_back, [heard("", 16_000, 40_000, false), OVER]);
        assert_eq!(
            bench.message(&results("", 1.0, 2.0, true, true)),
            [heard("", 16_000, 48_000, true)],
            "once"
        );
        // There are more words.
        let more = noisy().message(&results("for two", 1.0, 2.0, true, false));
        assert_eq!(more, [heard("for two", 16_000, 48_000, true)]);
    }
}

#[test]
fn the_end_of_an_utterance_of_which_words_came_late_is_told_of_them_as_well() {
    let mut bench = listening_to(None);
    bench.handle(Input::Feed(&Feed::Audio(Bytes::from(vec![0; 64_000]))));
    bench.feed(&Feed::Flush);
    assert_eq!(bench.wait(), [Output::Event(Event::Unanswered { end: 32_000 })]);
    let late = bench.message(&timed(results("Yes", 0.0, 2.0, true, false), 0.5, 0.9));
    let words_end = Some(32_000);
    let heard = Heard { text: "Yes".to_owned(), start: 32_000, end: 32_000, words_end, is_final: true };
    assert_eq!(late, [Event::Heard(heard)]);
    assert_eq!(bench.message(&utterance_end(0.9)), [OVER]);
}

#[test]
fn how_far_nobody_has_spoken_is_told_of_one_that_says_nothing_of_silence() {
    let unanswered = [225_600, 467_200].map(|end| Event::Unanswered { end });
    assert_eq!(
        listening_to(None).silence(310),
        unanswered,
        "up to a second before, where somebody may begin"
    );
    // Words that may change are its own to take back, or to make final.
    let mut bench = listening_to(None);
    bench.message(&results("Yes", 0.0, 0.5, false, false));
    assert_eq!(bench.silence(140), []);
    let [Event::Failed(failure)] = &bench.silence(20)[..] else { panic!("it has failed") };
    assert_eq!(failure.kind, FailureKind::Timeout);
    // Between two results is some time, however little it may be silent otherwise.
    let deadlines = Deadlines { silence: Duration::from_secs(1), ..Deadlines::default() };
    let impatient = Provider { deadlines, ..provider(&DEEPGRAM, "nova-3") };
    let mut bench = Bench::connected(&impatient, &Ask::Listen);
    bench.silence(100);
    bench.message(&results("Yes", 0.0, 0.5, false, false));
    assert_eq!(bench.silence(40), []);
    assert!(matches!(bench.silence(20)[..], [Event::Failed(_)]));
}

#[test]
fn the_last_that_it_said_is_final_when_it_closes() {
    let mut bench = listening_to(None);
    bench.message(&results("Good bye", 0.0, 1.0, false, false));
    bench.feed(&Feed::Finish);
    let done = bench.message(&json!({"type": "Metadata", "request_id": "r-8", "duration": 1.0}));
    let [words, over, Event::Finished(_)] = &done[..] else { panic!("{done:?}") };
    assert_eq!((words, over), (&heard("Good bye", 0, 16_000, true), &OVER));
}

#[test]
fn one_that_finds_no_words_in_what_it_hears_is_not_broken_as_long_as_it_says_so() {
    let fails_after = |says: bool| {
        let mut bench = listening_to(None);
        (1..=400_u32).find(|tenth| {
            bench.now = Time::from_millis(u64::from(*tenth) * 100);
            let voice = (tenth * 1_600..(tenth + 1) * 1_600).map(audio::synthetic::voice);
            let bytes = voice.flat_map(i16::to_le_bytes).collect::<Vec<u8>>();
            let outputs = bench.handle(Input::Feed(&Feed::Audio(bytes.into())));
            if says && tenth.is_multiple_of(100) {
                bench.message(&results("", 0.0, f64::from(*tenth) / 10.0, false, false));
            }
            outputs.iter().any(|output| matches!(output, Output::Event(Event::Failed(_))))
        })
    };
    assert_eq!(fails_after(true), None);
    assert!(fails_after(false).is_some_and(|tenth| (150..160).contains(&tenth)));
}
