//! `v1/listen`: interim and final results, the end of speech by quiet, the end of an utterance by words.

use serde_json::{Value, json};

use super::{Asked, Fault, is_on, number, sample_rate};
use crate::ear::{Ear, Heard, Sign};
use crate::log::Bill;
use crate::provider::REQUEST_ID;
use crate::script::{Act, Delay};
use crate::sound::samples;
use crate::talk::{Conversation, Frame, Out};

/// Closes after so long with neither sound nor a KeepAlive.
const IDLE_MS: u64 = 10_000;
/// The quiet that ends speech if the query does not say.
const ENDPOINTING_MS: u64 = 300;
/// The quiet after which a result is final although nobody asked where speech ends.
const SEGMENT_MS: u64 = 1_000;
/// So many words make a final result in mid-speech.
const SEGMENT_WORDS: usize = 8;
/// So much sound without speech makes an empty final result.
const EMPTY_MS: u64 = 3_000;

const IDLE_REASON: &str = "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001 (NET-0001)";
const DATA_REASON: &str =
    "The payload cannot be decoded as audio. It is either not audio data or is unsupported (DATA-0000)";

pub(super) struct Listen {
    ear: Ear,
    is_linear: bool,
    is_untimed: bool,
    interim: bool,
    vad_events: bool,
    punctuated: bool,
    endpointing_ms: Option<u64>,
    utterance_end_ms: Option<u64>,
    final_ms: Delay,
    /// How much sound it says that it has heard, if that is not how much it has.
    says_ms: Option<u64>,
    finals: u64,
    idle_ms: u64,
    /// When sound or a KeepAlive came last.
    fed_ms: u64,
    /// Up to here in the sound there is a final result.
    final_until_ms: u64,
    /// The end of the last word, until it was told or somebody speaks again.
    last_word_end_ms: Option<u64>,
}

impl Listen {
    pub(super) fn new(asked: &Asked, act: &Act) -> Result<Self, Fault> {
        let model = asked.get("model").map_or("base", String::as_str);
        if !["nova", "enhanced", "base", "whisper"].iter().any(|family| model.starts_with(family)) {
            return Err("Bad Request: No such model/language/tier combination found.".to_owned());
        }
        let interim = is_on(asked, "interim_results");
        let utterance_end_ms = number(asked, "utterance_end_ms", 1_000.0..=5_000.0)?;
        if utterance_end_ms.is_some() && !interim {
            return Err("Invalid query string: utterance_end_ms needs interim_results=true".to_owned());
        }
        let endpointing_ms = match asked.get("endpointing").map(String::as_str) {
            Some("false") => None,
            Some("true") | None => Some(ENDPOINTING_MS),
            Some(_) => number(asked, "endpointing", 0.0..=10_000.0)?.map(|ms| ms as u64),
        };
        Ok(Listen {
            ear: Ear::new(sample_rate(asked)?, act.hear.clone()),
            is_linear: asked.get("encoding").is_some_and(|encoding| encoding == "linear16"),
            is_untimed: act.hear.untimed,
            interim,
            vad_events: is_on(asked, "vad_events"),
            punctuated: is_on(asked, "punctuate") || is_on(asked, "smart_format"),
            endpointing_ms,
            utterance_end_ms: utterance_end_ms.map(|ms| ms as u64),
            final_ms: act.hear.final_ms,
            says_ms: act.hear.says_ms,
            finals: 0,
            idle_ms: act.idle_ms.unwrap_or(IDLE_MS),
            fed_ms: 0,
            final_until_ms: 0,
            last_word_end_ms: None,
        })
    }

    fn take_sign(&mut self, now_ms: u64, sign: Sign, outs: &mut Vec<Out>) {
        match sign {
            Sign::Began(at_ms) => {
                self.last_word_end_ms = None;
                if self.vad_events {
                    let timestamp = seconds(at_ms);
                    outs.push(Out::json(
                        &json!({ "type": "SpeechStarted", "channel": [0], "timestamp": timestamp }),
                    ));
                }
            }
            Sign::Word if self.ear.known().len() >= SEGMENT_WORDS => {
                let words = self.ear.give();
                self.push_final(&words, now_ms, Final { speech: false, from_finalize: false }, outs);
            }
            Sign::Word => {
                if self.interim {
                    outs.push(Out::json(&self.results(self.ear.known(), now_ms, None)));
                }
            }
            Sign::Quiet(ms) => {
                if ms >= self.endpointing_ms.unwrap_or(SEGMENT_MS) {
                    let words = self.ear.take();
                    let speech = self.endpointing_ms.is_some();
                    self.push_final(&words, now_ms, Final { speech, from_finalize: false }, outs);
                }
            }
            Sign::Resumed => {}
        }
    }

    fn push_final(&mut self, words: &[Heard], now_ms: u64, how: Final, outs: &mut Vec<Out>) {
        let wait_ms = self.final_ms.ms(self.finals);
        self.finals += 1;
        if wait_ms > 0 {
            outs.push(Out::Wait(wait_ms));
        }
        outs.push(Out::json(&self.results(words, now_ms, Some(how))));
        self.final_until_ms = now_ms;
        if let Some(last) = words.last() {
            self.last_word_end_ms = Some(last.end_ms);
        }
    }

    fn results(&self, words: &[Heard], now_ms: u64, how: Option<Final>) -> Value {
        let shown: Vec<String> = words.iter().map(|heard| self.shown(&heard.word)).collect();
        let list: Vec<Value> = words
            .iter()
            .map(|heard| {
                let mut word = listed(&bare(&heard.word), heard, self.is_untimed);
                if self.punctuated {
                    word["punctuated_word"] = json!(heard.word);
                }
                word
            })
            .collect();
        let Final { speech, from_finalize } = how.unwrap_or_default();
        json!({
            "type": "Results",
            "channel_index": [0, 1],
            "duration": seconds(now_ms.saturating_sub(self.final_until_ms)),
            "start": seconds(self.final_until_ms),
            "is_final": how.is_some(),
            "speech_final": speech,
            "channel": { "alternatives": [{
                "transcript": shown.join(" "),
                "confidence": if words.is_empty() { 0.0 } else { 0.98 },
                "words": list,
            }] },
            "metadata": {
                "request_id": REQUEST_ID,
                "model_info": { "name": "general-nova-3", "version": "2025-04-17.0", "arch": "nova-3" },
                "model_uuid": "40bd3654-e622-47c4-a111-63a61b23bfe8",
            },
            "from_finalize": from_finalize,
        })
    }

    fn shown(&self, word: &str) -> String {
        if self.punctuated { word.to_owned() } else { bare(word) }
    }

    fn close_stream(&mut self) -> Vec<Out> {
        let mut outs = Vec::new();
        let now_ms = self.ear.now_ms();
        if self.ear.speaks() {
            let words = self.ear.take();
            self.push_final(&words, now_ms, Final { speech: true, from_finalize: false }, &mut outs);
        }
        outs.push(Out::json(&json!({
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": REQUEST_ID,
            "sha256": "154e291ecfa8be6ab8343560bcc109008fa7853eb5372533e8efdefc9b504c33",
            "created": "2026-11-25T12:00:00.000Z",
            "duration": self.says_ms.map_or(self.ear.seconds(), seconds),
            "channels": 1,
        })));
        outs.push(Out::Close(1000, ""));
        outs
    }
}

impl Conversation for Listen {
    fn handle_text(&mut self, now_ms: u64, text: &str) -> Vec<Out> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message["type"].as_str() {
            Some("KeepAlive") => {
                self.fed_ms = now_ms;
                Vec::new()
            }
            Some("Finalize") => {
                let mut outs = Vec::new();
                let until_ms = self.ear.now_ms();
                // Where no sound waits for a result there is nothing to make final.
                if until_ms > self.final_until_ms {
                    let words = self.ear.take();
                    self.push_final(
                        &words,
                        until_ms,
                        Final { speech: false, from_finalize: true },
                        &mut outs,
                    );
                }
                outs
            }
            Some("CloseStream") => self.close_stream(),
            _ => vec![Out::Close(1008, DATA_REASON)],
        }
    }

    fn handle_bytes(&mut self, now_ms: u64, bytes: &[u8]) -> Vec<Out> {
        self.fed_ms = now_ms;
        if !self.is_linear {
            return vec![Out::Close(1008, DATA_REASON)];
        }
        let mut outs = Vec::new();
        self.ear.handle_sound(&samples(bytes));
        while let Some((at_ms, sign)) = self.ear.poll_sign() {
            self.take_sign(at_ms, sign, &mut outs);
        }
        let heard_ms = self.ear.now_ms();
        if self.ear.speaks() {
            return outs;
        }
        if let (Some(end_ms), Some(gap_ms)) = (self.last_word_end_ms, self.utterance_end_ms)
            && heard_ms >= end_ms + gap_ms
        {
            self.last_word_end_ms = None;
            outs.push(Out::json(&json!({
                "type": "UtteranceEnd",
                "channel": [0, 1],
                "last_word_end": seconds(end_ms),
            })));
        }
        if heard_ms >= self.final_until_ms + EMPTY_MS {
            self.push_final(&[], heard_ms, Final { speech: false, from_finalize: false }, &mut outs);
        }
        outs
    }

    fn poll_timeout(&self) -> Option<u64> {
        Some(self.fed_ms + self.idle_ms)
    }

    fn handle_timeout(&mut self, now_ms: u64) -> Vec<Out> {
        self.fed_ms = now_ms;
        vec![Out::Close(1011, IDLE_REASON)]
    }

    fn error(&self, name: &str) -> Frame {
        let description = "Something went wrong.";
        let error = json!({ "type": "Error", "variant": name, "description": description, "message": name });
        Frame::Text(error.to_string())
    }

    fn bill(&self) -> Bill {
        Bill { seconds: self.ear.seconds(), ..Bill::default() }
    }
}

/// Why a result is final.
#[derive(Clone, Copy, Default)]
struct Final {
    /// Speech has ended.
    speech: bool,
    /// The client asked for it.
    from_finalize: bool,
}

/// A word as it is without `punctuate`.
fn bare(word: &str) -> String {
    word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase()
}

/// A word in the list of words, with its times unless they are left out.
pub(super) fn listed(word: &str, heard: &Heard, is_untimed: bool) -> Value {
    let mut listed = json!({ "word": word, "confidence": 0.98 });
    if !is_untimed {
        listed["start"] = json!(seconds(heard.start_ms));
        listed["end"] = json!(seconds(heard.end_ms));
    }
    listed
}

pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Speak;
    use crate::sound::Tone;

    const QUERY: [(&str, &str); 6] = [
        ("model", "nova-3"),
        ("encoding", "linear16"),
        ("sample_rate", "16000"),
        ("interim_results", "true"),
        ("vad_events", "true"),
        ("utterance_end_ms", "1000"),
    ];

    fn listen(script: &str) -> Listen {
        let asked = QUERY.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Listen::new(&asked, &serde_json::from_str(script).expect("an act")).expect("a good query")
    }

    fn loud(ms: u64) -> Vec<u8> {
        Tone::new(16_000, Speak { sound_ms: Some(ms), ..Speak::default() }).say("").concat()
    }

    fn quiet(ms: usize) -> Vec<u8> {
        vec![0; ms * 32]
    }

    /// Each message by its type, and what is final in it.
    fn told(outs: &[Out]) -> Vec<String> {
        let tell = |out: &Out| match out {
            Out::Send(Frame::Text(text)) => {
                let message: Value = serde_json::from_str(text).expect("JSON");
                let transcript = message["channel"]["alternatives"][0]["transcript"].as_str();
                let flags = ["is_final", "speech_final", "from_finalize"];
                let flags = flags.into_iter().filter(|flag| message[flag] == true);
                let words = message["type"].as_str().into_iter().chain(flags).chain(transcript);
                words.collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        };
        outs.iter().map(tell).collect()
    }

    #[test]
    fn an_utterance_is_heard_in_pieces_and_ends_by_quiet() {
        let mut listen = listen("{}");
        let outs = listen.handle_bytes(0, &[loud(900), quiet(300)].concat());
        assert_eq!(
            told(&outs),
            ["SpeechStarted", "Results word", "Results word one", "Results is_final speech_final word one"]
        );
        assert!(listen.handle_bytes(0, &quiet(500)).is_empty());
        assert_eq!(told(&listen.handle_bytes(0, &quiet(100))), ["UtteranceEnd"]);
    }

    #[test]
    fn a_long_speech_is_final_in_parts_and_its_last_part_may_be_empty() {
        let mut listen = listen("{}");
        let outs = told(&listen.handle_bytes(0, &[loud(3200), quiet(300)].concat()));
        let finals: Vec<_> = outs.iter().filter(|told| told.contains("is_final")).collect();
        assert_eq!(
            finals,
            ["Results is_final word one two three four five six seven", "Results is_final speech_final "]
        );
    }

    #[test]
    fn finalize_is_answered_only_if_sound_waits_for_a_result() {
        let mut listen = listen("{}");
        let finalize = r#"{"type":"Finalize"}"#;
        assert!(listen.handle_text(0, finalize).is_empty());
        listen.handle_bytes(0, &loud(500));
        assert_eq!(told(&listen.handle_text(0, finalize)), ["Results is_final from_finalize word"]);
        assert!(listen.handle_text(0, finalize).is_empty());
    }

    #[test]
    fn ten_seconds_without_sound_or_a_keep_alive_close_it() {
        let mut listen = listen("{}");
        listen.handle_text(4_000, r#"{"type":"KeepAlive"}"#);
        assert_eq!(listen.poll_timeout(), Some(14_000));
        listen.handle_bytes(5_000, &quiet(100));
        assert_eq!(listen.poll_timeout(), Some(15_000));
        assert_eq!(listen.handle_timeout(15_000), [Out::Close(1011, IDLE_REASON)]);
        // No close frame has room for more.
        assert!(IDLE_REASON.len() <= 123 && DATA_REASON.len() <= 123);
    }

    #[test]
    fn a_final_result_takes_the_time_that_the_script_gives_it() {
        let mut listen = listen(r#"{ "hear": { "final_ms": 150 } }"#);
        let outs = told(&listen.handle_bytes(0, &[loud(400), quiet(300)].concat()));
        assert_eq!(outs[2..], ["Wait(150)", "Results is_final speech_final word"]);
    }

    #[test]
    fn at_its_end_it_says_how_much_it_has_heard_or_what_the_script_has_it_say() {
        for (script, duration) in [("{}", 0.5), (r#"{ "hear": { "says_ms": 9000 } }"#, 9.0)] {
            let mut listen = listen(script);
            listen.handle_bytes(0, &quiet(500));
            let outs = listen.handle_text(0, r#"{"type":"CloseStream"}"#);
            let [Out::Send(Frame::Text(last)), Out::Close(1000, "")] = &outs[..] else { panic!("{outs:?}") };
            let last: Value = serde_json::from_str(last).expect("JSON");
            assert_eq!((&last["type"], last["duration"].as_f64()), (&json!("Metadata"), Some(duration)));
            assert_eq!(listen.bill().seconds, 0.5);
        }
    }

    #[test]
    fn silence_has_empty_results_now_and_then() {
        let mut listen = listen("{}");
        let outs: Vec<_> = (0..60).flat_map(|_| listen.handle_bytes(0, &quiet(100))).collect();
        assert_eq!(told(&outs), ["Results is_final ", "Results is_final "]);
    }
}
