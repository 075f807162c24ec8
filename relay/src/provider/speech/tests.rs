use super::super::Sound;
use super::super::scenario::{Bench, answered, provider};
use super::*;

fn said(model: &str, media_type: &str, body: &[u8], piece: usize) -> Vec<Event> {
    let ask = Ask::Speak("Hello".to_owned());
    answered(&provider(&OPENAI_SPEECH, model), &ask, (200, media_type), body, piece)
}

/// The rate and all samples.
fn sound(events: &[Event]) -> (u32, Vec<i16>) {
    let (mut at, mut all) = (0, Vec::new());
    for event in events {
        if let Event::Sound(Sound { rate, samples }) = event {
            at = *rate;
            all.extend(samples);
        }
    }
    (at, all)
}

fn finished(events: &[Event]) -> &Answer {
    let Some(Event::Finished(answer)) = events.last() else { panic!("{events:?}") };
    answer
}

#[test]
fn it_asks_as_the_reference_says() {
    let asked = |model: &str, voice: Option<&str>| {
        let base_url = "https://example.com/v1/".parse().expect("an address");
        let voice = voice.map(str::to_owned);
        let provider = Provider { base_url, voice, ..provider(&OPENAI_SPEECH, model) };
        Bench::open(&provider, &Ask::Speak("Say \"hi\"".to_owned())).target
    };
    let target = asked("tts-1", None);
    assert_eq!(target.url.as_str(), "https://example.com/v1/audio/speech");
    assert!(target.headers.contains(&("authorization", "Bearer sk-test".to_owned())));
    assert!(target.headers.iter().any(|(name, value)| *name == "accept" && value.contains("audio/wav")));
    let body: Value = serde_json::from_slice(&target.body).expect("JSON");
    let expected =
        json!({"model": "tts-1", "input": "Say \"hi\"", "voice": "alloy", "response_format": "pcm"});
    assert_eq!(body, expected);
    let target = asked("gpt-4o-mini-tts", Some("coral"));
    let body: Value = serde_json::from_slice(&target.body).expect("JSON");
    assert_eq!((&body["stream_format"], &body["voice"]), (&json!("sse"), &json!("coral")));
    assert!(target.headers.contains(&("accept", "text/event-stream".to_owned())));
}

#[test]
fn samples_without_a_header_are_the_same_however_they_are_cut() {
    let bytes: Vec<u8> = (0..60).collect();
    for media_type in ["audio/pcm", "application/octet-stream", ""] {
        for piece in 1..=60 {
            let events = said("tts-1", media_type, &bytes, piece);
            let (rate, samples) = sound(&events);
            assert_eq!((rate, samples.len(), samples[29]), (24_000, 30, 0x3B3A), "pieces of {piece}");
            let answer = finished(&events);
            assert_eq!((answer.usage, answer.request_id.as_deref()), (None, Some("r-1")));
        }
    }
}

#[test]
fn samples_without_a_header_are_what_their_media_type_says() {
    let bytes: Vec<u8> = [1_i16, 3, -5, 5].into_iter().flat_map(i16::to_le_bytes).collect();
    let (mono, stereo) = (vec![1, 3, -5, 5], vec![2, 0]);
    for (media_type, is) in [
        ("audio/pcm; charset=binary", (24_000, &mono)),
        ("audio/pcm;rate=16000", (16_000, &mono)),
        ("audio/L16; rate=22050; channels=1", (22_050, &mono)),
        ("audio/l16;Channels=2;rate=\"48000\"", (48_000, &stereo)),
        ("application/octet-stream; rate=8000", (8_000, &mono)),
    ] {
        for piece in 1..9 {
            let events = said("kokoro", media_type, &bytes, piece);
            let (rate, samples) = sound(&events);
            assert_eq!((rate, &samples), is, "{media_type} in pieces of {piece}");
            finished(&events);
        }
    }
    for (media_type, words) in [
        ("audio/pcm;rate=fast", "rate=fast"),
        ("audio/pcm;rate=44", "44 Hz"),
        ("audio/pcm;rate=16000;channels=6", "6 channels"),
    ] {
        let ask = Ask::Speak("Hello".to_owned());
        let mut bench = Bench::open(&provider(&OPENAI_SPEECH, "kokoro"), &ask);
        let head = Input::Head { status: 200, retry_after: None, request_id: None, media_type };
        let events = bench.events(head);
        let [Event::Failed(failure)] = &events[..] else { panic!("{media_type}: {events:?}") };
        assert_eq!(failure.kind, FailureKind::Provider);
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[test]
fn a_wav_file_says_its_own_rate_whatever_it_is_called_and_whether_it_is_whole() {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 22_050,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("memory");
    for sample in [100, 300, -5, 5] {
        writer.write_sample(sample).expect("memory");
    }
    writer.finalize().expect("memory");
    let file = file.into_inner();
    for media_type in ["audio/wav", "audio/x-wav;rate=8000", "audio/pcm;rate=16000", ""] {
        for piece in 1..60 {
            let events = said("kokoro", media_type, &file, piece);
            assert_eq!(sound(&events), (22_050, vec![200, 0]), "{media_type} in pieces of {piece}");
            finished(&events);
        }
    }
    // Without its last frame it is not whole, whatever has come of it.
    for piece in 1..60 {
        let events = said("kokoro", "audio/wav", &file[..file.len() - 4], piece);
        assert_eq!(sound(&events), (22_050, vec![200]), "in pieces of {piece}");
        let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
        assert_eq!((failure.kind, &*failure.message), (FailureKind::BrokeOff, "the sound broke off"));
    }
}

#[test]
fn events_carry_sound_and_say_what_was_used() {
    let body = concat!(
        ": keep-alive\r\n\r\n",
        "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AQAC\"}\r\n\r\n",
        "data: not JSON\n\n",
        "data: {\"type\":\"speech.audio.delta\",\"audio\":null}\n\n",
        "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AA==\"}\n\n",
        "data: {\"type\":\"speech.surprise\"}\n\n",
        "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":14.0,\"output_tokens\":101,\"total_tokens\":115}}",
    );
    for piece in 1..60 {
        let events = said("gpt-4o-mini-tts", "text/event-stream", body.as_bytes(), piece);
        assert_eq!(sound(&events), (24_000, vec![1, 2]), "pieces of {piece}");
        let usage = TokenUsage { input: 14, audio_output: 101, ..TokenUsage::default() };
        assert_eq!(finished(&events).usage, Some(Quantity::Tokens(usage)));
    }
    let mute = "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":null}}\n\n";
    let spoken = format!("data: {{\"type\":\"speech.audio.delta\",\"audio\":\"AQA=\"}}\n\n{mute}");
    assert_eq!(finished(&said("gpt-x", "text/event-stream", spoken.as_bytes(), 9)).usage, None);
    let fails = |body: &str| match said("gpt-x", "text/event-stream", body.as_bytes(), 999).last() {
        Some(Event::Failed(failure)) => failure.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(fails(mute), FailureKind::Provider, "nobody has spoken");
    let delta =
        |audio: &str| format!("data: {{\"type\":\"speech.audio.delta\",\"audio\":\"{audio}\"}}\n\n{mute}");
    assert_eq!(fails(&delta("not base64!")), FailureKind::Provider, "what follows may be shifted by a byte");
    assert_eq!(fails(&delta(&"A".repeat(EVENT_MAX_BYTES))), FailureKind::Flood, "it does not vanish");
}

#[test]
fn comments_are_no_sound_that_anybody_waits_for() {
    let ask = Ask::Speak("Hello".to_owned());
    let mut bench = Bench::open(&provider(&OPENAI_SPEECH, "gpt-4o-mini-tts"), &ask);
    let media_type = "text/event-stream";
    bench.handle(Input::Head { status: 200, retry_after: None, request_id: None, media_type });
    let is_late =
        |event: &Event| matches!(event, Event::Failed(failure) if failure.kind == FailureKind::Timeout);
    let fails_at = (1..60).find(|second| {
        bench.now = protocol::Time::from_millis(second * 1_000);
        let mut events = bench.events(Input::Timeout);
        events.extend(bench.events(Input::Bytes(b": still working\n\n")));
        events.iter().any(is_late)
    });
    assert_eq!(fails_at, Some(10));
}

#[test]
fn what_is_no_sound_is_a_failure_in_the_providers_words() {
    for (media_type, body, kind, words) in [
        ("audio/pcm", &b""[..], FailureKind::Provider, "no sound"),
        ("audio/pcm", b"x", FailureKind::Provider, "no sound"),
        ("audio/wav", b"RIFF\0\0\0\0WAVE", FailureKind::Provider, "no sound"),
        ("audio/wav", b"these are no samples", FailureKind::Provider, "no WAV file"),
        ("audio/mpeg", b"ID3\x03rest", FailureKind::Provider, "compressed"),
        ("audio/mpeg", b"\xFF\xFBrest", FailureKind::Provider, "compressed"),
        ("", b"OggS....", FailureKind::Provider, "compressed"),
        ("application/octet-stream", br#"{"error":{"message":"none"}}"#, FailureKind::Provider, "none"),
        ("application/problem+json", br#"{"detail":"none"}"#, FailureKind::Provider, "none"),
        (
            "application/json",
            br#"{"error":{"message":"no such voice"}}"#,
            FailureKind::Provider,
            "no such voice",
        ),
        ("text/html", b"<html>", FailureKind::Provider, "<html>"),
        (
            "text/event-stream",
            b"data: {\"error\":{\"message\":\"overloaded\"}}\n\n",
            FailureKind::Provider,
            "overloaded",
        ),
        (
            "text/event-stream",
            b"data: {\"type\":\"speech.audio.delta\",\"audio\":\"\"}\n\n",
            FailureKind::BrokeOff,
            "broke off",
        ),
    ] {
        for piece in [1, 5, 1_000] {
            let events = said("tts-1", media_type, body, piece);
            let [Event::Failed(failure)] = &events[..] else { panic!("{media_type}: {events:?}") };
            assert_eq!(failure.kind, kind, "{failure}");
            assert!(failure.message.contains(words), "{failure}");
        }
    }
    let ask = Ask::Speak("Hello".to_owned());
    let provider = provider(&OPENAI_SPEECH, "tts-1");
    let events = answered(&provider, &ask, (429, "application/json"), b"{\"detail\":\"slow down\"}", 4);
    let [Event::Failed(failure)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((failure.kind, failure.retry_after), (FailureKind::Busy, Some(7)));
    assert!(failure.message.contains("slow down"), "{failure}");
}
