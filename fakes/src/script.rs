//! What a test sets: for each wire a list of [`Act`]s. Each request, or connection, takes the next one; after the last the wire is its
//! sensible self again.
//!
//! ```json
//! { "openai.chat": [
//!     { "refuse": { "status": 429 } },
//!     { "pace": { "first_ms": 350 }, "think": { "text": "Hello." }, "faults": [{ "at": 2, "kind": "drop" }] }
//! ] }
//! ```

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The wires that are served, each under the name that scripts and the log use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Wire {
    /// Deepgram's `v1/listen`, a WebSocket.
    #[serde(rename = "deepgram.listen")]
    DeepgramListen,
    /// Deepgram's `v2/listen` (Flux), a WebSocket.
    #[serde(rename = "deepgram.flux")]
    DeepgramFlux,
    /// Deepgram's `v1/speak` (Aura), a WebSocket.
    #[serde(rename = "deepgram.speak")]
    DeepgramSpeak,
    /// Deepgram's `v1/speak` (Aura), one request.
    #[serde(rename = "deepgram.speak_once")]
    DeepgramSpeakOnce,
    /// Anthropic's `v1/messages`.
    #[serde(rename = "anthropic.messages")]
    AnthropicMessages,
    /// OpenAI's `v1/chat/completions`.
    #[serde(rename = "openai.chat")]
    OpenAiChat,
    /// OpenAI's `v1/audio/transcriptions`.
    #[serde(rename = "openai.transcriptions")]
    OpenAiTranscriptions,
    /// OpenAI's `v1/audio/speech`.
    #[serde(rename = "openai.speech")]
    OpenAiSpeech,
    /// ElevenLabs' `v1/text-to-speech/{voice}/stream-input`, a WebSocket.
    #[serde(rename = "elevenlabs.stream_input")]
    ElevenLabsStreamInput,
}

/// How one request, or one connection, is answered. Whatever is not said is as the provider does it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Act {
    /// How many requests take this act; once if it is not said.
    pub times: Option<u32>,
    /// When the parts of the answer come.
    pub pace: Delays,
    /// The request is refused, before anything is upgraded or streamed.
    pub refuse: Option<Refusal>,
    /// What goes wrong with the pieces of the answer.
    pub faults: Vec<Fault>,
    /// The time without input after which a WebSocket is closed, in place of the provider's own.
    pub idle_ms: Option<u64>,
    /// What a recogniser hears.
    pub hear: Hear,
    /// What a model answers.
    pub think: Think,
    /// How a voice sounds.
    pub speak: Speak,
}

/// Delays before the head of the answer (or the upgrade), before its first piece, and between two pieces.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// Before the status line, or the upgrade.
    pub head_ms: Delay,
    /// Before the first piece of the answer; on a WebSocket before the first piece after each input.
    pub first_ms: Delay,
    /// Before each further piece.
    pub between_ms: Delay,
}

/// A delay that is always the same, or one of a distribution.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Delay {
    /// Always this many milliseconds.
    Fixed(u64),
    /// Log-normal: half of the delays are below the median, one in a hundred is above the 99th percentile.
    Spread {
        /// The median, in milliseconds.
        median: f64,
        /// The 99th percentile, in milliseconds.
        p99: f64,
    },
}

/// A refusal by a status.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The body; the provider's own for this status if it is not said. A text is sent as it is, anything else as JSON.
    pub body: Option<Value>,
    /// Further headers, such as `retry-after`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// One thing that goes wrong with one piece: a message of a WebSocket, an event of a stream, a piece of a body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The piece, counted from 0.
    pub at: usize,
    /// What happens to it.
    pub kind: FaultKind,
    /// How long to wait.
    #[serde(default)]
    pub ms: u64,
    /// How many copies a flood has.
    #[serde(default = "flood")]
    pub count: usize,
    /// The close code of a WebSocket.
    #[serde(default = "close_code")]
    pub code: u16,
    /// The close reason of a WebSocket.
    #[serde(default)]
    pub reason: String,
    /// The provider's name of an error that is told in the stream.
    #[serde(default)]
    pub error: String,
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Nothing comes any more, and the connection stays open.
    Stall,
    /// A WebSocket is closed by a code; a body ends as if it were whole.
    Close,
    /// The connection breaks.
    Drop,
    /// Bytes without a meaning come before the piece.
    Garbage,
    /// The piece comes in two halves: a body is cut within a character where it has a long one, a message of text becomes two, sound is
    /// cut within a sample.
    Cut,
    /// The piece comes twice.
    Twice,
    /// The piece comes after the one that follows it.
    Late,
    /// The piece does not come.
    Skip,
    /// The piece comes this much later, and all that follow it.
    Wait,
    /// The piece comes very often.
    Flood,
    /// The provider tells an error in place of the piece, and ends.
    Error,
}

/// What a recogniser hears.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hear {
    /// The texts of the utterances, in order. One word of them is known for each 400 ms of loud sound, all at the end.
    pub texts: Vec<String>,
    /// The words of the first utterance with their times, in place of the first text.
    pub words: Vec<Word>,
    /// Words come without their times, which Deepgram does not promise.
    pub untimed: bool,
    /// How long it takes from the quiet that ends an utterance to its final text.
    pub final_ms: Delay,
    /// How much sound Deepgram says at the end of a stream that it has heard, in place of how much it has.
    pub says_ms: Option<u64>,
}

/// A word and when it is said, in milliseconds from the beginning of the utterance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// The word as it is punctuated.
    pub word: String,
    /// Its beginning.
    pub start_ms: u64,
    /// Its end.
    pub end_ms: u64,
}

/// What a model answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Think {
    /// The text, cut into deltas of five words.
    pub text: Option<String>,
    /// The text as it is to be cut.
    pub deltas: Vec<String>,
    /// What the model thinks before it answers.
    pub thinking: Option<String>,
    /// The tools it calls after the text. Without a text there is none.
    pub tools: Vec<ToolCall>,
    /// Why it stops, in the provider's words.
    pub stop: Option<String>,
    /// The numbers of the usage; estimated if they are not said.
    pub usage: Numbers,
    /// How often the usage is told: 0, 1 or 2 times. Told twice, the first time with half of the output.
    pub usage_times: Option<u8>,
    /// The end of the stream is not said (`[DONE]`, `message_stop`).
    pub omit_done: bool,
    /// What local servers do differently.
    pub quirks: Vec<Quirk>,
    /// The body is cut into pieces of so many bytes, whatever it says there.
    pub split_bytes: Option<usize>,
}

/// A call of a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Its id; made up if it is not said.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// What it is called with. A text is sent as it is, be it JSON or not.
    pub arguments: Value,
}

/// The numbers of a usage, under Anthropic's names; OpenAI's wires take the first two and the cached one.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Numbers {
    /// Tokens of the prompt; on Anthropic's wire those that no cache had.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: Option<u64>,
    /// Tokens that were read from the cache.
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens that were written to the cache for five minutes.
    pub cache_write_5m_tokens: Option<u64>,
    /// Tokens that were written to the cache for an hour.
    pub cache_write_1h_tokens: Option<u64>,
}

/// What servers that are compatible with a provider do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// Lines end with `\r\n`.
    Crlf,
    /// Comments stand between the events.
    Comments,
    /// The first chunk has no choice.
    EmptyChoices,
    /// Every call of a tool has the index 0, and its arguments come whole, as an object.
    LocalTools,
    /// A choice comes without a delta, another with `content: null`.
    NoDelta,
}

/// How a voice sounds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speak {
    /// The whole length of what is said at once, in place of 60 ms a character.
    pub sound_ms: Option<u64>,
    /// The tone; 440 Hz if it is not said.
    pub tone_hz: Option<u32>,
    /// The length of one piece; 100 ms if it is not said.
    pub piece_ms: Option<u64>,
}

/// The acts that are still to come on each wire.
#[derive(Debug, Default)]
pub(crate) struct Script(BTreeMap<Wire, VecDeque<Act>>);

impl Script {
    /// Replaces the acts of the wires that are named.
    pub(crate) fn set(&mut self, acts: BTreeMap<Wire, VecDeque<Act>>) {
        self.0.extend(acts);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The act for the next request on this wire.
    pub(crate) fn next(&mut self, wire: Wire) -> Act {
        let Some(acts) = self.0.get_mut(&wire) else { return Act::default() };
        while let Some(act) = acts.front_mut() {
            let left = act.times.get_or_insert(1);
            if *left > 0 {
                *left -= 1;
                return act.clone();
            }
            acts.pop_front();
        }
        Act::default()
    }
}

impl Default for Delay {
    fn default() -> Self {
        Delay::Fixed(0)
    }
}

impl Delay {
    /// The delay of the `index`th use. A spread one runs evenly through its distribution, in the same order each time.
    pub fn ms(&self, index: u64) -> u64 {
        match *self {
            Delay::Fixed(ms) => ms,
            Delay::Spread { median, p99 } => {
                // The golden ratio's multiples lie evenly in 0..1.
                let share = ((index as f64 + 0.5) * 0.618_033_988_749_895).fract().clamp(0.001, 0.999);
                let sigma = (p99 / median).ln() / STANDARD_NORMAL_P99;
                (median * (sigma * standard_normal_quantile(share)).exp()).round() as u64
            }
        }
    }
}

const STANDARD_NORMAL_P99: f64 = 2.326_347_874;

/// The standard normal distribution's quantile by Abramowitz and Stegun 26.2.23; its error is below 4.5e-4.
fn standard_normal_quantile(share: f64) -> f64 {
    let tail = share.min(1.0 - share);
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let size = t - above / below;
    if share < 0.5 { -size } else { size }
}

fn flood() -> usize {
    1000
}

fn close_code() -> u16 {
    1011
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_takes_the_next_act_and_then_the_wire_is_sensible_again() {
        let mut script = Script::default();
        let acts = r#"{ "openai.chat": [{ "times": 2, "idle_ms": 1 }, { "idle_ms": 2 }] }"#;
        script.set(serde_json::from_str(acts).expect("a script"));
        let idle: Vec<_> = (0..4).map(|_| script.next(Wire::OpenAiChat).idle_ms).collect();
        assert_eq!(idle, [Some(1), Some(1), Some(2), None]);
        assert_eq!(script.next(Wire::OpenAiSpeech).idle_ms, None);
    }

    #[test]
    fn a_word_that_no_script_has_is_refused() {
        assert!(serde_json::from_str::<Act>(r#"{ "pase": {} }"#).is_err());
    }

    #[test]
    fn a_spread_delay_has_its_median_and_its_99th_percentile() {
        let delay = Delay::Spread { median: 150.0, p99: 350.0 };
        let mut all: Vec<_> = (0..10_000).map(|index| delay.ms(index)).collect();
        all.sort_unstable();
        assert!((148..=152).contains(&all[5_000]), "{}", all[5_000]);
        assert!((340..=360).contains(&all[9_900]), "{}", all[9_900]);
    }
}
