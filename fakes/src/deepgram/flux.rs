//! `v2/listen` (Flux): turns, and whether they seem to be over.

use serde_json::{Value, json};

use super::listen::{listed, seconds};
use super::{Asked, Fault, number, sample_rate};
use crate::ear::{Ear, Sign, text};
use crate::log::Bill;
use crate::provider::REQUEST_ID;
use crate::script::{Act, Delay};
use crate::sound::samples;
use crate::talk::{Conversation, Frame, Out};

const IDLE_MS: u64 = 10_000;
/// The quiet after which a turn seems to be over.
const EAGER_MS: u64 = 160;
/// The quiet after which it is.
const END_MS: u64 = 300;
/// An update comes after so much sound in which nothing else was said.
const UPDATE_MS: u64 = 240;
/// A second `Configure` within this time is refused.
const CONFIGURE_MS: u64 = 250;

const UNPARSABLE: &str = "UNPARSABLE_CLIENT_MESSAGE";

pub(super) struct Flux {
    ear: Ear,
    is_linear: bool,
    is_untimed: bool,
    thresholds: Thresholds,
    final_ms: Delay,
    idle_ms: u64,
    fed_ms: u64,
    configured_ms: Option<u64>,
    sequence_id: u64,
    turn_index: u64,
    phase: Phase,
    /// Where in the sound the last event was.
    told_ms: u64,
    /// Where in the sound this turn begins.
    turn_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has spoken in this turn.
    Waiting,
    Speaking,
    /// It was told that the turn seems to be over.
    Eager,
}

#[derive(Clone, Copy)]
struct Thresholds {
    end: f64,
    eager: Option<f64>,
    timeout_ms: f64,
}

impl Flux {
    pub(super) fn new(asked: &Asked, act: &Act) -> Result<Self, Fault> {
        if !asked.get("model").is_some_and(|model| model.starts_with("flux-")) {
            return Err("Bad Request: No such model found.".to_owned());
        }
        let thresholds = Thresholds {
            end: number(asked, "eot_threshold", 0.5..=1.0)?.unwrap_or(0.7),
            eager: number(asked, "eager_eot_threshold", 0.3..=0.9)?,
            timeout_ms: number(asked, "eot_timeout_ms", 500.0..=60_000.0)?.unwrap_or(5_000.0),
        };
        Ok(Flux {
            ear: Ear::new(sample_rate(asked)?, act.hear.clone()),
            is_linear: asked.get("encoding").is_some_and(|encoding| encoding == "linear16"),
            is_untimed: act.hear.untimed,
            thresholds,
            final_ms: act.hear.final_ms,
            idle_ms: act.idle_ms.unwrap_or(IDLE_MS),
            fed_ms: 0,
            configured_ms: None,
            sequence_id: 0,
            turn_index: 0,
            phase: Phase::Waiting,
            told_ms: 0,
            turn_ms: 0,
        })
    }

    fn take_sign(&mut self, at_ms: u64, sign: Sign, outs: &mut Vec<Out>) {
        match (sign, self.phase) {
            (Sign::Word, Phase::Waiting) => {
                self.phase = Phase::Speaking;
                outs.push(self.turn_info("StartOfTurn", at_ms, None));
            }
            (Sign::Word, _) => outs.push(self.turn_info("Update", at_ms, None)),
            (Sign::Resumed, Phase::Eager) => {
                self.phase = Phase::Speaking;
                outs.push(self.turn_info("TurnResumed", at_ms, None));
            }
            (Sign::Quiet(ms), _) if ms >= END_MS => self.end_turn(at_ms, "model", outs),
            (Sign::Quiet(ms), Phase::Waiting | Phase::Speaking) if ms >= EAGER_MS => {
                self.ear.complete();
                if self.phase == Phase::Waiting {
                    self.phase = Phase::Speaking;
                    outs.push(self.turn_info("StartOfTurn", at_ms, None));
                }
                if self.thresholds.eager.is_some() {
                    self.phase = Phase::Eager;
                    outs.push(self.turn_info("EagerEndOfTurn", at_ms, None));
                }
            }
            (Sign::Began(_) | Sign::Quiet(_) | Sign::Resumed, _) => {}
        }
    }

    fn end_turn(&mut self, at_ms: u64, trigger: &str, outs: &mut Vec<Out>) {
        if !self.ear.speaks() {
            return;
        }
        self.ear.complete();
        if self.phase == Phase::Waiting {
            outs.push(self.turn_info("StartOfTurn", at_ms, None));
        }
        let wait_ms = self.final_ms.ms(self.turn_index);
        if wait_ms > 0 {
            outs.push(Out::Wait(wait_ms));
        }
        outs.push(self.turn_info("EndOfTurn", at_ms, Some(trigger)));
        self.ear.take();
        self.phase = Phase::Waiting;
        self.turn_index += 1;
        self.turn_ms = at_ms;
    }

    fn turn_info(&mut self, event: &str, at_ms: u64, trigger: Option<&str>) -> Out {
        self.told_ms = at_ms;
        let words = self.ear.known();
        let list: Vec<Value> =
            words.iter().map(|heard| listed(&heard.word, heard, self.is_untimed)).collect();
        let confidence = match event {
            "EndOfTurn" => self.thresholds.end.max(0.8),
            "EagerEndOfTurn" => self.thresholds.eager.unwrap_or_default(),
            _ => 0.05,
        };
        let mut message = json!({
            "type": "TurnInfo",
            "request_id": REQUEST_ID,
            "event": event,
            "turn_index": self.turn_index,
            "audio_window_start": seconds(self.turn_ms),
            "audio_window_end": seconds(at_ms),
            "transcript": text(words),
            "words": list,
            "end_of_turn_confidence": confidence,
        });
        if let Some(trigger) = trigger {
            message["trigger"] = json!(trigger);
        }
        self.numbered(message)
    }

    fn numbered(&mut self, mut message: Value) -> Out {
        message["sequence_id"] = json!(self.sequence_id);
        self.sequence_id += 1;
        Out::json(&message)
    }

    fn fail(&mut self, code: &'static str, close: u16) -> Vec<Out> {
        let message = json!({ "type": "Error", "code": code, "description": "The connection is closed." });
        vec![self.numbered(message), Out::Close(close, code)]
    }

    fn configure(&mut self, now_ms: u64, message: &Value) -> Vec<Out> {
        let is_burst = self.configured_ms.is_some_and(|before| now_ms < before + CONFIGURE_MS);
        self.configured_ms = Some(now_ms);
        let thresholds = &message["thresholds"];
        let end = thresholds["eot_threshold"].as_f64();
        let eager = thresholds["eager_eot_threshold"].as_f64();
        let is_wrong = end.is_some_and(|end| !(0.5..=1.0).contains(&end))
            || eager.is_some_and(|eager| !(0.3..=0.9).contains(&eager));
        if is_burst || is_wrong {
            return vec![self.numbered(json!({ "type": "ConfigureFailure", "request_id": REQUEST_ID }))];
        }
        self.thresholds.end = end.unwrap_or(self.thresholds.end);
        self.thresholds.eager = eager.or(self.thresholds.eager);
        self.thresholds.timeout_ms =
            thresholds["eot_timeout_ms"].as_f64().unwrap_or(self.thresholds.timeout_ms);
        let keyterms = message.get("keyterms").cloned().unwrap_or_else(|| json!([]));
        vec![self.numbered(json!({
            "type": "ConfigureSuccess",
            "request_id": REQUEST_ID,
            "thresholds": {
                "eot_threshold": self.thresholds.end,
                "eager_eot_threshold": self.thresholds.eager,
                "eot_timeout_ms": self.thresholds.timeout_ms,
            },
            "keyterms": keyterms,
        }))]
    }
}

impl Conversation for Flux {
    fn open(&mut self) -> Vec<Out> {
        vec![self.numbered(json!({ "type": "Connected", "request_id": REQUEST_ID }))]
    }

    fn handle_text(&mut self, now_ms: u64, text: &str) -> Vec<Out> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let heard_ms = self.ear.now_ms();
        let mut outs = Vec::new();
        match message["type"].as_str() {
            Some("Configure") => outs = self.configure(now_ms, &message),
            Some("ForceEndTurn") => self.end_turn(heard_ms, "manual", &mut outs),
            Some("CloseStream") => {
                outs.push(self.turn_info("Update", heard_ms, None));
                outs.push(Out::Close(1000, ""));
            }
            _ => outs = self.fail(UNPARSABLE, 1008),
        }
        outs
    }

    fn handle_bytes(&mut self, now_ms: u64, bytes: &[u8]) -> Vec<Out> {
        self.fed_ms = now_ms;
        if !self.is_linear {
            return self.fail("DATA-0000", 1008);
        }
        let mut outs = Vec::new();
        self.ear.handle_sound(&samples(bytes));
        while let Some((at_ms, sign)) = self.ear.poll_sign() {
            self.take_sign(at_ms, sign, &mut outs);
        }
        let heard_ms = self.ear.now_ms();
        if heard_ms >= self.told_ms + UPDATE_MS {
            outs.push(self.turn_info("Update", heard_ms, None));
        }
        outs
    }

    fn poll_timeout(&self) -> Option<u64> {
        Some(self.fed_ms + self.idle_ms)
    }

    fn handle_timeout(&mut self, now_ms: u64) -> Vec<Out> {
        self.fed_ms = now_ms;
        self.fail("NET-0001", 1011)
    }

    fn error(&self, name: &str) -> Frame {
        let sequence_id = self.sequence_id;
        let error = json!({ "type": "Error", "sequence_id": sequence_id, "code": name, "description": name });
        Frame::Text(error.to_string())
    }

    fn bill(&self) -> Bill {
        Bill { seconds: self.ear.seconds(), ..Bill::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Speak;
    use crate::sound::Tone;

    #[test]
    fn words_have_no_times_where_the_script_leaves_them_out() {
        for (script, has_times) in [("{}", true), (r#"{ "hear": { "untimed": true } }"#, false)] {
            let query = [("model", "flux-general-en"), ("encoding", "linear16"), ("sample_rate", "16000")];
            let asked = query.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let act = serde_json::from_str(script).expect("an act");
            let mut flux = Flux::new(&asked, &act).expect("a good query");
            let loud = Tone::new(16_000, Speak { sound_ms: Some(500), ..Speak::default() }).say("").concat();
            let outs = flux.handle_bytes(0, &loud);
            let Some(Out::Send(Frame::Text(message))) = outs.first() else { panic!("{outs:?}") };
            let message: Value = serde_json::from_str(message).expect("JSON");
            assert_eq!((&message["event"], &message["transcript"]), (&json!("StartOfTurn"), &json!("word")));
            let word = &message["words"][0];
            assert_eq!(
                (word["start"].is_number(), word["end"].is_number()),
                (has_times, has_times),
                "{word}"
            );
        }
    }
}
