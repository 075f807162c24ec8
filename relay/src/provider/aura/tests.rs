use super::super::scenario::{Bench, GARBAGE, provider, sent};
use super::super::{Event, FailureKind, Sound};
use super::*;

fn speaking_with(text: &str) -> (Bench, Vec<Value>) {
    let mut bench = Bench::open(&provider(&DEEPGRAM_AURA, "aura-2-thalia-en"), &Ask::Speak(text.to_owned()));
    let head = Input::Head { status: 101, retry_after: None, request_id: None, media_type: "" };
    let outputs = bench.handle(head);
    let (events, texts): (Vec<_>, Vec<_>) =
        outputs.into_iter().partition(|output| matches!(output, Output::Event(_)));
    assert_eq!(events, [Output::Event(Event::Ready)]);
    (bench, texts.iter().map(sent).collect())
}

fn speak(text: &str) -> Value {
    json!({"type": "Speak", "text": text})
}

#[test]
fn it_asks_as_the_reference_says() {
    let asked = |model: &str, voice: Option<&str>, language: Option<&str>| {
        let (voice, language) = (voice.map(str::to_owned), language.map(str::to_owned));
        let provider = Provider { voice, language, ..provider(&DEEPGRAM_AURA, model) };
        Bench::open(&provider, &Ask::Speak(String::new())).target
    };
    let target = asked("aura-2-thalia-en", None, None);
    let url = "wss://example.com/v1/speak?model=aura-2-thalia-en&encoding=linear16&sample_rate=24000";
    assert_eq!(target.url.as_str(), url);
    assert_eq!(target.headers, [("authorization", "Token sk-test".to_owned())]);
    assert_eq!(asked("aura-2", Some("thalia"), None).url.as_str(), url);
    let spanish = asked("aura-2", Some("celeste"), Some("es-CO"));
    assert!(spanish.url.as_str().contains("?model=aura-2-celeste-es&"), "{}", spanish.url);
}

#[test]
fn an_answer_is_spoken_and_then_closed() {
    let (mut bench, texts) = speaking_with("Hello. ");
    assert_eq!(texts, [speak("Hello. ")]);
    assert_eq!(bench.message(&json!({"type": "Metadata", "request_id": "r-7", "model_name": "aura"})), []);
    assert_eq!(bench.feed(&Feed::Flush), [json!({"type": "Flush"})]);
    assert_eq!(bench.feed(&Feed::Flush), [] as [Value; 0], "there is nothing to flush");
    assert_eq!(bench.feed(&Feed::Text("You".to_owned())), [speak("You")]);
    let mut samples = Vec::new();
    for bytes in [&[1, 0, 2][..], &[0], &[3], &[0]] {
        for event in bench.events(Input::Binary(bytes)) {
            let Event::Sound(Sound { rate: 24_000, samples: more }) = event else { panic!("{event:?}") };
            samples.extend(more);
        }
    }
    assert_eq!(samples, [1, 2, 3]);
    let warning = json!({"type": "Warning", "code": "SLOW", "description": "It takes a while."});
    assert_eq!(bench.message(&warning), []);
    assert_eq!(bench.message(&json!({"type": "Flushed", "sequence_id": 0})), []);
    assert_eq!(bench.feed(&Feed::Finish), [json!({"type": "Flush"})]);
    assert_eq!(bench.feed(&Feed::Text("late".to_owned())), [] as [Value; 0]);
    let outputs = bench.handle(Input::Text(r#"{"type":"Flushed","sequence_id":1}"#));
    let [close, Output::Event(Event::Finished(answer))] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(sent(close), json!({"type": "Close"}));
    assert_eq!((answer.usage, answer.request_id.as_deref()), (None, Some("r-7")));
    assert_eq!(bench.events(Input::Binary(&[1, 0])), []);
}

#[test]
fn who_has_nothing_to_say_is_done_at_once() {
    let (mut bench, texts) = speaking_with("");
    assert_eq!(texts, [] as [Value; 0]);
    let outputs = bench.handle(Input::Feed(&Feed::Finish));
    assert!(matches!(outputs[..], [Output::Text(_), Output::Event(Event::Finished(_))]), "{outputs:?}");
}

#[test]
fn an_end_waits_for_every_flush() {
    let (mut bench, _) = speaking_with("One.");
    bench.feed(&Feed::Flush);
    assert_eq!(bench.feed(&Feed::Finish), [] as [Value; 0], "all of it is flushed");
    assert_eq!(bench.events(Input::Binary(&[1, 0])).len(), 1);
    let outputs = bench.handle(Input::Text(r#"{"type":"Flushed"}"#));
    assert!(matches!(outputs[..], [Output::Text(_), Output::Event(Event::Finished(_))]), "{outputs:?}");
    let (mut bench, _) = speaking_with("One.");
    assert_eq!(bench.message(&json!({"type": "Flushed"})), [], "nobody has flushed");
    assert_eq!(bench.fails(Input::End), FailureKind::Connection);
    // What was flushed has no sound.
    let (mut bench, _) = speaking_with("One.");
    bench.feed(&Feed::Flush);
    bench.feed(&Feed::Finish);
    let outputs = bench.handle(Input::Text(r#"{"type":"Flushed"}"#));
    assert!(matches!(outputs[..], [Output::Text(_), Output::Event(Event::Failed(_))]), "{outputs:?}");
}

#[test]
fn it_never_flushes_more_than_twenty_times_in_a_minute() {
    let (mut bench, _) = speaking_with("");
    let flushes = |bench: &mut Bench, second: u64| {
        bench.now = Time::from_millis(second * 1_000);
        bench.feed(&Feed::Text("Word. ".to_owned()));
        bench.feed(&Feed::Flush).len()
    };
    let sent: usize = (0..40).map(|second| flushes(&mut bench, second)).sum();
    assert_eq!(sent, 19, "and one is kept for the end");
    assert_eq!(flushes(&mut bench, 59), 0);
    assert_eq!(flushes(&mut bench, 60), 1, "the first one no longer counts");
    assert_eq!(flushes(&mut bench, 60), 0);
    assert_eq!(bench.feed(&Feed::Finish), [json!({"type": "Flush"})], "the last one always goes");
}

#[test]
fn a_long_text_goes_in_pieces_that_are_whole_again_together() {
    let words = "wörter ".repeat(1_000);
    let stuff = "x".repeat(4_500);
    for (text, count) in [(words.as_str(), 4), (stuff.as_str(), 3), ("short", 1)] {
        let (_, texts) = speaking_with(text);
        let texts: Vec<&str> = texts.iter().filter_map(|message| message["text"].as_str()).collect();
        assert_eq!((texts.concat().as_str(), texts.len()), (text, count));
        assert!(texts.iter().all(|piece| piece.chars().count() <= TEXT_MAX_CHARS));
    }
}

#[test]
fn trouble_is_told_by_whose_it_is() {
    for (cause, kind) in [
        ("closed with 1008: DATA-0000", FailureKind::Request),
        ("closed with 1011: NET-0001", FailureKind::Timeout),
        ("Broken pipe", FailureKind::Connection),
    ] {
        assert_eq!(speaking_with("Hi").0.fails(Input::Lost(cause)), kind, "{cause}");
    }
    let error = r#"{"type":"Error","code":"TOO_MANY_REQUESTS","description":"Slow down."}"#;
    assert_eq!(speaking_with("Hi").0.fails(Input::Text(error)), FailureKind::Busy);
    let (mut bench, _) = speaking_with("Hi");
    for garbage in GARBAGE {
        assert_eq!(bench.events(Input::Text(garbage)), [], "{garbage}");
    }
    assert!(provider(&DEEPGRAM_AURA, "aura-2").codec(&Ask::Listen).is_none());
}

#[test]
fn only_a_voice_that_has_something_to_say_is_waited_for() {
    let provider = provider(&DEEPGRAM_AURA, "aura-2");
    let first = |text: &str| provider.bounds(&Ask::Speak(text.to_owned())).first;
    assert_eq!((first("Hi"), first(" ")), (Some(Duration::from_secs(10)), None));
}
