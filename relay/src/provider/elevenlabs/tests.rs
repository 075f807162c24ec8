use super::super::scenario::{Bench, GARBAGE, provider, sent};
use super::super::{Sound, Spoken};
use super::*;

fn voice(text: &str) -> (Bench, Vec<Value>) {
    let voice = Some("george".to_owned());
    let provider = Provider { voice, ..provider(&ELEVENLABS, "eleven_flash_v2_5") };
    let mut bench = Bench::open(&provider, &Ask::Speak(text.to_owned()));
    let head = Input::Head { status: 101, retry_after: None, request_id: None, media_type: "" };
    let outputs = bench.handle(head);
    let texts = outputs.iter().filter(|output| !matches!(output, Output::Event(_))).map(sent).collect();
    (bench, texts)
}

/// A message with so many milliseconds of sound, and times for each character of the text: 10 ms each.
fn sound(ms: usize, text: &str) -> Value {
    let chars: Vec<String> = text.chars().map(String::from).collect();
    let starts: Vec<usize> = (0..chars.len()).map(|place| place * 10).collect();
    let lengths = vec![10; chars.len()];
    json!({
        "audio": STANDARD.encode(vec![0; ms * 48]), "isFinal": null, "normalizedAlignment": null,
        "alignment": {"chars": chars, "charStartTimesMs": starts, "charDurationsMs": lengths},
    })
}

fn spoken(events: &[Event]) -> Vec<(u32, u32)> {
    let spoken = events.iter().filter_map(|event| match event {
        Event::Spoken(Spoken { bytes, end_ms }) => Some((*bytes, *end_ms)),
        _ => None,
    });
    spoken.collect()
}

#[test]
fn it_asks_as_the_reference_says() {
    let provider = Provider {
        voice: Some("a/b c?".to_owned()),
        language: Some("de-CH".to_owned()),
        ..provider(&ELEVENLABS, "eleven_flash_v2_5")
    };
    let target = Bench::open(&provider, &Ask::Speak(String::new())).target;
    assert_eq!(
        target.url.as_str(),
        "wss://example.com/v1/text-to-speech/a%2Fb%20c%3F/stream-input?model_id=eleven_flash_v2_5\
         &output_format=pcm_24000&sync_alignment=true&language_code=de"
    );
    assert_eq!(target.headers, [("xi-api-key", "sk-test".to_owned())]);
    let mute = Provider { voice: None, ..provider };
    assert!(mute.codec(&Ask::Speak(String::new())).is_none(), "there is no voice without its name");
}

#[test]
fn each_message_ends_with_a_space_and_cuts_no_word() {
    let (mut bench, texts) = voice("Hello wor");
    let begin = json!({"text": " ", "generation_config": {"chunk_length_schedule": [120, 160, 250, 290]}});
    assert_eq!(texts, [begin, json!({"text": "Hello ", "try_trigger_generation": true})]);
    let feed = |bench: &mut Bench, text: &str| bench.feed(&Feed::Text(text.to_owned()));
    assert_eq!(feed(&mut bench, "ld"), [] as [Value; 0]);
    assert_eq!(feed(&mut bench, "! It "), [json!({"text": "world! It ", "try_trigger_generation": true})]);
    assert_eq!(feed(&mut bench, "\n\n"), [] as [Value; 0]);
    assert_eq!(feed(&mut bench, "is"), [] as [Value; 0]);
    assert_eq!(bench.feed(&Feed::Flush), [json!({"text": "is ", "flush": true})]);
    assert_eq!(bench.feed(&Feed::Flush), [json!({"text": " ", "flush": true})]);
    assert_eq!(feed(&mut bench, "me."), [] as [Value; 0]);
    assert_eq!(bench.feed(&Feed::Finish), [json!({"text": "me. "}), json!({"text": ""})]);
    assert_eq!(feed(&mut bench, "late "), [] as [Value; 0]);
}

#[test]
fn how_much_it_was_given_is_told_as_soon_as_it_has_that_and_not_before() {
    let given = |outputs: &[Output]| {
        let mut given = outputs.iter().filter_map(|output| match output {
            Output::Event(Event::Usage(Quantity::Characters(given))) => Some(*given),
            _ => None,
        });
        let last = given.next();
        assert_eq!(given.next(), None, "once: {outputs:?}");
        last
    };
    let provider = Provider { voice: Some("george".to_owned()), ..provider(&ELEVENLABS, "m") };
    let mut bench = Bench::open(&provider, &Ask::Speak("Hello wor".to_owned()));
    assert_eq!(given(&bench.handle(Input::Feed(&Feed::Text("ld!".to_owned())))), None, "nobody has it");
    let head = Input::Head { status: 101, retry_after: None, request_id: None, media_type: "" };
    assert_eq!(given(&bench.handle(head)), Some("Hello ".len() as u64));
    assert_eq!(
        given(&bench.handle(Input::Feed(&Feed::Text(" It".to_owned())))),
        Some("Hello world! ".len() as u64)
    );
    assert_eq!(given(&bench.handle(Input::Feed(&Feed::Finish))), Some("Hello world! It ".len() as u64));
    assert_eq!(given(&bench.handle(Input::Text("{}"))), None);
}

#[test]
fn words_are_told_when_their_sound_ends() {
    let text = "Grüß dich, Welt.";
    let (mut bench, _) = voice(text);
    let events = bench.message(&sound(100, "Grüß dich, "));
    let Event::Sound(Sound { rate: 24_000, samples }) = &events[0] else { panic!("{events:?}") };
    assert_eq!(samples.len(), 2_400);
    assert_eq!(spoken(&events), [(6, 40), (12, 100)]);
    // The times of a message begin with its own sound; a word may go on in the next one.
    assert_eq!(spoken(&bench.message(&sound(50, "We"))), []);
    assert_eq!(spoken(&bench.message(&sound(50, "lt."))), []);
    bench.feed(&Feed::Finish);
    let events = bench.message(&json!({"audio": null, "isFinal": true, "alignment": null}));
    let [Event::Spoken(last), Event::Finished(answer)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((last.bytes as usize, last.end_ms), (text.len(), 180));
    // The words, and the space that ends each message.
    assert_eq!(answer.usage, Some(Quantity::Characters(text.chars().count() as u64 + 1)));
    assert_eq!(bench.message(&sound(10, "more ")), []);
}

#[test]
fn every_spelling_of_the_times_is_understood_and_the_texts_own_goes_before() {
    let list = json!(["H", "i", " "]);
    for (name, starts, lengths) in [
        ("alignment", "charStartTimesMs", "charDurationsMs"),
        ("alignment", "char_start_times_ms", "char_durations_ms"),
        ("normalizedAlignment", "charStartTimesMs", "charsDurationsMs"),
        ("normalized_alignment", "char_start_times_ms", "chars_durations_ms"),
    ] {
        let message = json!({name: {"chars": list, starts: [0, 10.4, 20], lengths: [5, 5, 5]}});
        assert_eq!(spoken(&voice("Hi you").0.message(&message)), [(2, 15)], "{message}");
    }
    let mut both = sound(10, "7 ");
    both["normalizedAlignment"] =
        json!({"chars": ["s", " "], "charStartTimesMs": [500, 510], "charDurationsMs": [1, 1]});
    assert_eq!(spoken(&voice("7 s").0.message(&both)), [(1, 10)]);
}

#[test]
fn words_that_are_spoken_otherwise_than_they_are_written_are_passed_over() {
    let (mut bench, _) = voice("I have 23 cats. ");
    let events = bench.message(&sound(1_000, "I have twenty three cats. "));
    assert_eq!(spoken(&events), [(1, 10), (6, 60), (15, 250)]);
    let (mut bench, _) = voice("Some words that are quite other words than those which are spoken here");
    assert_eq!(spoken(&bench.message(&sound(100, "here "))), [], "that is too far away");
}

#[test]
fn each_word_of_a_script_without_spaces_is_told_when_its_sound_ends() {
    let long = "字".repeat(200);
    let of_long: Vec<(u32, u32)> = (1..=200).map(|place| (place * 3, place * 10)).collect();
    let odd = format!("{}你好", "x".repeat(300));
    for (text, said, expected) in [
        ("你好，世界。", "你好，世界。", &[(3, 10), (6, 20), (9, 30), (12, 40), (15, 50), (18, 60)][..]),
        ("コーヒーです。", "コーヒーです。", &[(12, 40), (15, 50), (18, 60), (21, 70)]),
        ("สวัสดี ค่ะ", "สวัสดี ค่ะ", &[(3, 10), (9, 30), (12, 40), (18, 60), (25, 90), (28, 100)]),
        ("OK你好 Tom，再", "OK你好 Tom，再", &[(2, 20), (5, 30), (8, 40), (12, 80), (15, 90), (18, 100)]),
        // A number is spoken in other words, and a character that stands behind it by chance is not taken for one of them.
        ("有23只猫，三只", "有二十三只猫，三只", &[(3, 10), (8, 50), (11, 60), (14, 70), (17, 80), (20, 90)]),
        (long.as_str(), long.as_str(), &of_long[..]),
        // What is longer than any word is none, and what follows is not lost with it.
        (odd.as_str(), odd.as_str(), &[(303, 3_010), (306, 3_020)]),
    ] {
        let characters: Vec<char> = said.chars().collect();
        // A word may go on in the next message, whose times begin with its own sound.
        for first in [0, 1, 2, 5] {
            let (mut bench, _) = voice(text);
            bench.feed(&Feed::Finish);
            let (first, rest) = characters.split_at(first);
            let mut events = bench.message(&sound(first.len() * 10, &String::from_iter(first)));
            events.extend(bench.message(&sound(rest.len() * 10, &String::from_iter(rest))));
            events.extend(bench.message(&json!({"audio": null, "isFinal": true, "alignment": null})));
            assert_eq!(spoken(&events), expected, "{text}, {first:?}");
        }
    }
}

#[test]
fn a_flush_that_is_answered_is_no_end() {
    let (mut bench, _) = voice("One. ");
    bench.feed(&Feed::Flush);
    assert_eq!(bench.message(&json!({"isFinal": true})), []);
    bench.feed(&Feed::Text("Two. ".to_owned()));
    bench.feed(&Feed::Finish);
    let last = bench.message(&json!({"audio": "AQA=", "is_final": true}));
    assert!(matches!(last[..], [Event::Sound(_), .., Event::Finished(_)]), "{last:?}");
    let (mut bench, _) = voice("One. ");
    bench.feed(&Feed::Finish);
    bench.message(&json!({"audio": "AQA="}));
    assert!(matches!(bench.events(Input::End)[..], [Event::Finished(_)]), "it was closed in order");
    assert_eq!(voice("One. ").0.fails(Input::End), FailureKind::Connection);
}

#[test]
fn trouble_is_told_by_whose_it_is() {
    for (error, kind) in [
        (
            json!({"message": "This request exceeds your quota.", "error": "quota_exceeded", "code": 1008}),
            FailureKind::Payment,
        ),
        (json!({"message": "Invalid API key", "error": "invalid_api_key", "code": 1008}), FailureKind::Key),
        (
            json!({"message": "A voice with that id does not exist.", "error": "voice_id_does_not_exist"}),
            FailureKind::Request,
        ),
        (json!({"message": "Too many concurrent requests", "error": "x", "code": 1008}), FailureKind::Busy),
        (
            json!({"message": "Have not received a new text input", "error": "input_timeout_exceeded"}),
            FailureKind::Timeout,
        ),
        (json!({"message": "Something went wrong", "code": 1011}), FailureKind::Provider),
        (json!({"error": {"message": "Oh."}}), FailureKind::Provider),
    ] {
        assert_eq!(voice("Hi").0.fails(Input::Text(&error.to_string())), kind, "{error}");
    }
    for (cause, kind) in [
        ("closed with 1008: quota_exceeded", FailureKind::Payment),
        ("closed with 1008: Invalid API key", FailureKind::Key),
        ("closed with 1008: A voice with voice_id x does not exist", FailureKind::Request),
        ("closed with 1008: ", FailureKind::Request),
        ("closed with 1011: ", FailureKind::Connection),
        ("invalid peer certificate", FailureKind::Connection),
    ] {
        assert_eq!(voice("Hi").0.fails(Input::Lost(cause)), kind, "{cause}");
    }
}

#[test]
fn what_cannot_be_read_is_left_out_and_what_can_be_is_not() {
    let (mut bench, _) = voice("Hi you ");
    let odd = [
        r#"{"error":null,"code":null,"message":"nothing"}"#,
        r#"{"audio":7}"#,
        r#"{"audio":"AA=="}"#,
        r#"{"alignment":[]}"#,
        r#"{"alignment":{"chars":["H"]}}"#,
        r#"{"alignment":{"chars":"Hi","charStartTimesMs":[0],"charDurationsMs":[0]}}"#,
    ];
    for garbage in GARBAGE.iter().chain(&odd) {
        assert_eq!(bench.events(Input::Text(garbage)), [], "{garbage}");
    }
    // Half a sample has come; here is its other half.
    let [Event::Sound(sound)] = &bench.message(&json!({"audio": "AQ=="}))[..] else { panic!("a sample") };
    assert_eq!(sound.samples, [0x0100]);
    let times = json!({"alignment": {
        "chars": ["H", 7, "i", " "], "charStartTimesMs": [0, 1, 1e300, 5], "charDurationsMs": [null, 1, 2, 3],
    }});
    assert_eq!(spoken(&bench.message(&times)), [(2, u32::MAX)]);
    let long = json!({"alignment": {"chars": ["x".repeat(10_000)], "charStartTimesMs": [0], "charDurationsMs": [0]}});
    assert_eq!(bench.message(&long), []);
    let broken = json!({"audio": "not base64!"}).to_string();
    assert_eq!(
        bench.fails(Input::Text(&broken)),
        FailureKind::Provider,
        "what follows may be shifted by a byte"
    );
}
