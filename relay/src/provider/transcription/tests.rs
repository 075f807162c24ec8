use super::super::scenario::{Bench, answered, provider};
use super::*;

fn ask() -> Ask {
    Ask::Transcribe(vec![0, 1, -1, 32_767, -32_768])
}

fn words_of(media_type: &str, body: &str, piece: usize) -> Vec<Event> {
    answered(&provider(&OPENAI_TRANSCRIPTION, "whisper-1"), &ask(), (200, media_type), body.as_bytes(), piece)
}

fn heard(text: &str) -> Event {
    Event::Heard(Heard { text: text.to_owned(), start: 0, end: 5, words_end: None, is_final: true })
}

#[test]
fn it_asks_with_a_form_that_has_a_wav_file() {
    let provider = Provider {
        base_url: "https://example.com/v1/".parse().expect("an address"),
        language: Some("de-CH".to_owned()),
        key_terms: vec!["Voxrelay".to_owned(), "Zürich".to_owned()],
        eager: false,
        thinks_first: false,
        ..provider(&OPENAI_TRANSCRIPTION, "whisper-1")
    };
    let target = Bench::open(&provider, &ask()).target;
    assert_eq!(target.url.as_str(), "https://example.com/v1/audio/transcriptions");
    assert!(target.headers.contains(&("authorization", "Bearer sk-test".to_owned())));
    let content_type = target.headers.iter().find(|(name, _)| *name == "content-type").expect("a form");
    let boundary = content_type.1.strip_prefix("multipart/form-data; boundary=").expect("a form");
    let field = |name: &str, value: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let mut expected = [
        field("model", "whisper-1"),
        field("response_format", "json"),
        field("language", "de"),
        field("prompt", "Voxrelay, Zürich"),
    ]
    .concat();
    expected.push_str(&format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"utterance.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n"
    ));
    let tail = format!("\r\n--{boundary}--\r\n");
    let file = target.body.strip_prefix(expected.as_bytes()).expect("the fields");
    let file = file.strip_suffix(tail.as_bytes()).expect("the end");
    let mut read = hound::WavReader::new(file).expect("a WAV file");
    assert_eq!((read.spec().sample_rate, read.spec().channels), (16_000, 1));
    let samples: Result<Vec<i16>, _> = read.samples().collect();
    assert_eq!(samples.expect("samples"), [0, 1, -1, 32_767, -32_768]);
}

#[test]
fn nobody_can_say_a_field_of_the_form() {
    let boundary = |samples: &[i16]| form(&[("model", "m".to_owned())], &wav(samples)).0;
    assert_ne!(boundary(&[1]), boundary(&[2]), "what parts the fields depends on all that is between them");
    assert_eq!(boundary(&[1]), boundary(&[1]));
}

#[test]
fn words_come_as_json_or_as_text_however_they_are_cut() {
    for (media_type, body, text) in [
        ("application/json", r#"{"text":" Grüezi mitenand. "}"#, "Grüezi mitenand."),
        ("application/json", r#"{"text":""}"#, ""),
        ("application/json", r#"{"text":"Hi","usage":null,"error":null,"logprobs":[]}"#, "Hi"),
        ("text/plain", "Grüezi mitenand.\n", "Grüezi mitenand."),
        ("text/plain", "", ""),
        ("text/plain", r#"{"text":"JSON all the same"}"#, "JSON all the same"),
        ("text/plain; charset=utf-8", "Hello\n", "Hello"),
    ] {
        for piece in 1..40 {
            let request_id = Some("r-1".to_owned());
            let finished = Event::Finished(Answer { request_id, ..Answer::default() });
            assert_eq!(words_of(media_type, body, piece), [heard(text), finished], "{body} in {piece}");
        }
    }
}

#[test]
fn what_it_used_is_told_in_the_unit_that_it_counts() {
    let tokens = |input, audio_input, output| {
        Some(Quantity::Tokens(TokenUsage { input, audio_input, output, ..TokenUsage::default() }))
    };
    for (said, expected) in [
        (
            r#"{"type":"tokens","input_tokens":14,"output_tokens":45,"input_token_details":{"text_tokens":4,"audio_tokens":10}}"#,
            tokens(4, 10, 45),
        ),
        (r#"{"type":"tokens","input_tokens":14,"output_tokens":0}"#, tokens(0, 14, 0)),
        (r#"{"type":"tokens","input_tokens":14.0,"output_tokens":"3"}"#, tokens(0, 14, 3)),
        (
            r#"{"type":"tokens","input_tokens":4,"output_tokens":1,"input_token_details":{"text_tokens":9}}"#,
            tokens(4, 0, 1),
        ),
        (r#"{"type":"tokens","input_tokens":null,"output_tokens":1}"#, None),
        (r#"{"type":"duration","seconds":2}"#, Some(Quantity::Samples(32_000))),
        (r#"{"type":"duration","seconds":0.00001}"#, Some(Quantity::Samples(1))),
        (r#"{"type":"duration","seconds":-1}"#, None),
        (r#"{"type":"duration","seconds":null}"#, None),
        (r#"{"type":"fathoms"}"#, None),
        ("7", None),
    ] {
        let events = words_of("application/json", &format!(r#"{{"text":"x","usage":{said}}}"#), 9);
        let [_, Event::Finished(answer)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(answer.usage, expected, "{said}");
    }
}

#[test]
fn what_is_no_transcription_is_a_failure() {
    for (media_type, body, words) in [
        ("application/json", "", "no transcription"),
        ("application/json", "Hello", "no transcription"),
        ("application/json", r#"{"text":null}"#, "no transcription"),
        ("application/json", r#"{"text":7}"#, "no transcription"),
        ("application/json", "[]", "no transcription"),
        ("text/html", "<html>", "no transcription"),
        ("application/json", r#"{"error":{"message":"no such model"}}"#, "no such model"),
    ] {
        let events = words_of(media_type, body, 3);
        let [Event::Failed(failure)] = &events[..] else { panic!("{body}: {events:?}") };
        assert_eq!(failure.kind, FailureKind::Provider);
        assert!(failure.message.contains(words), "{failure}");
    }
    // One that breaks off, wherever that is, was made, and may be billed.
    let whole = r#"{"text":"Hello.","usage":{"type":"duration","seconds":2}}"#;
    for media_type in ["application/json", "text/plain"] {
        for end in 1..whole.len() {
            let events = words_of(media_type, &whole[..end], 3);
            let [Event::Failed(failure)] = &events[..] else { panic!("{end}: {events:?}") };
            assert_eq!((failure.kind, &*failure.message), (FailureKind::BrokeOff, "the answer broke off"));
        }
    }
    let refusal = br#"{"error":{"message":"Incorrect API key provided"}}"#;
    let provider = provider(&OPENAI_TRANSCRIPTION, "whisper-1");
    let events = answered(&provider, &ask(), (401, "application/json"), refusal, 7);
    let [Event::Failed(failure)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((failure.kind, failure.retry_after), (FailureKind::Key, Some(7)));
    assert!(failure.message.contains("Incorrect API key"), "{failure}");
    assert!(provider.codec(&Ask::Listen).is_none());
}
