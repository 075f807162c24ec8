use serde::Deserialize;

use crate::money::price::TokenKind;

/// Tokens of one request, each in exactly one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Text of the prompt that was read anew.
    pub input: u64,
    /// Text of the prompt that came from the provider's cache.
    pub cached: u64,
    /// Text of the prompt that was written to the provider's cache, for as long as is usual.
    pub written: u64,
    /// Text of the prompt that was written to the provider's cache for an hour.
    pub written_1h: u64,
    /// Text that the model wrote, its thinking included.
    pub output: u64,
    /// Audio of the prompt that was read anew.
    pub audio_input: u64,
    /// Audio of the prompt that came from the provider's cache.
    pub audio_cached: u64,
    /// Audio that the model made.
    pub audio_output: u64,
}

/// `usage` of Anthropic's messages API, as its `message_start` and `message_delta` carry it. A field that is missing or
/// `null` says nothing.
///
/// The numbers are cumulative (Anthropic's API reference, "Message delta usage"): a later one takes the place of an earlier
/// one. The three that are about input count different tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AnthropicUsage {
    /// Tokens of the prompt that the cache has nothing to do with.
    pub input_tokens: Option<u64>,
    /// Tokens of the prompt that were written to the cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// What `cache_creation_input_tokens` was made of.
    pub cache_creation: Option<AnthropicWritten>,
    /// Tokens of the prompt that came from the cache.
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens that the model wrote.
    pub output_tokens: Option<u64>,
}

/// Tokens that were written to Anthropic's cache, by the life of what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AnthropicWritten {
    /// For five minutes.
    pub ephemeral_5m_input_tokens: Option<u64>,
    /// For an hour, which is dearer.
    pub ephemeral_1h_input_tokens: Option<u64>,
}

/// `response.usage` of `response.done` in OpenAI's realtime API. A field that is missing or `null` says nothing.
///
/// Cached tokens are a subset of input tokens (OpenAI's API reference, "Realtime, response.done"), of text as of audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RealtimeUsage {
    /// All tokens of the prompt: the whole conversation so far.
    pub input_tokens: Option<u64>,
    /// All tokens of the answer, heard or not.
    pub output_tokens: Option<u64>,
    /// What the prompt was made of.
    pub input_token_details: Option<RealtimeInput>,
    /// What the answer was made of.
    pub output_token_details: Option<TextAndAudio>,
}

/// What the prompt of a realtime response was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RealtimeInput {
    /// Text, cached tokens included.
    pub text_tokens: Option<u64>,
    /// Audio, cached tokens included.
    pub audio_tokens: Option<u64>,
    /// Those of both that came from the cache.
    pub cached_tokens: Option<u64>,
    /// What `cached_tokens` was made of.
    pub cached_tokens_details: Option<TextAndAudio>,
}

/// Tokens of text and of audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TextAndAudio {
    /// Text.
    pub text_tokens: Option<u64>,
    /// Audio.
    pub audio_tokens: Option<u64>,
}

impl TokenUsage {
    /// What Anthropic bills for a message, from its last known usage. Where the parts of what was written to the cache are not its sum, the
    /// larger number counts.
    #[must_use]
    pub fn anthropic(usage: &AnthropicUsage) -> TokenUsage {
        let parts = usage.cache_creation.unwrap_or_default();
        let (five_minutes, hour) =
            (parts.ephemeral_5m_input_tokens.unwrap_or(0), parts.ephemeral_1h_input_tokens.unwrap_or(0));
        let written = usage.cache_creation_input_tokens.unwrap_or(0).saturating_sub(hour);
        TokenUsage {
            input: usage.input_tokens.unwrap_or(0),
            cached: usage.cache_read_input_tokens.unwrap_or(0),
            written: written.max(five_minutes),
            written_1h: hour,
            output: usage.output_tokens.unwrap_or(0),
            ..TokenUsage::default()
        }
    }

    /// What OpenAI bills for a realtime response. Cached tokens are taken out of the input they are part of.
    ///
    /// Where the report does not add up, the dearer reading counts: tokens of neither text nor audio are audio; a cached
    /// token of unknown kind is text as long as there is text (its discount is the smaller one); more cached tokens than
    /// there are tokens are not.
    #[must_use]
    pub fn openai_realtime(usage: &RealtimeUsage) -> TokenUsage {
        let details = usage.input_token_details.unwrap_or_default();
        let (text, audio) = split(usage.input_tokens, details.text_tokens, details.audio_tokens);
        let (cached_text, cached_audio) = match details.cached_tokens_details {
            Some(cached) => (cached.text_tokens.unwrap_or(0), cached.audio_tokens.unwrap_or(0)),
            None => {
                let cached = details.cached_tokens.unwrap_or(0);
                (cached.min(text), cached.saturating_sub(text))
            }
        };
        let (cached, audio_cached) = (cached_text.min(text), cached_audio.min(audio));
        let details = usage.output_token_details.unwrap_or_default();
        let (output, audio_output) = split(usage.output_tokens, details.text_tokens, details.audio_tokens);
        TokenUsage {
            input: text - cached,
            cached,
            written: 0,
            written_1h: 0,
            output,
            audio_input: audio - audio_cached,
            audio_cached,
            audio_output,
        }
    }

    /// The tokens of one kind.
    #[must_use]
    pub const fn of(&self, kind: TokenKind) -> u64 {
        match kind {
            TokenKind::Input => self.input,
            TokenKind::Cached => self.cached,
            TokenKind::Written => self.written,
            TokenKind::Written1h => self.written_1h,
            TokenKind::Output => self.output,
            TokenKind::AudioInput => self.audio_input,
            TokenKind::AudioCached => self.audio_cached,
            TokenKind::AudioOutput => self.audio_output,
        }
    }

    /// The size of the prompt: everything that the model did not make.
    #[must_use]
    pub fn prompt_tokens(&self) -> u64 {
        self.sum(|kind| !kind.is_output())
    }

    /// The size of the answer.
    #[must_use]
    pub fn output_tokens(&self) -> u64 {
        self.sum(TokenKind::is_output)
    }

    fn sum(&self, counts: impl Fn(TokenKind) -> bool) -> u64 {
        let kinds = TokenKind::ALL.into_iter().filter(|kind| counts(*kind));
        kinds.fold(0, |sum, kind| sum.saturating_add(self.of(kind)))
    }
}

impl AnthropicUsage {
    /// Takes over what a later event of the same message says.
    pub fn overwrite(&mut self, later: &AnthropicUsage) {
        let AnthropicUsage {
            input_tokens,
            cache_creation_input_tokens,
            cache_creation,
            cache_read_input_tokens,
            output_tokens,
        } = *later;
        self.input_tokens = input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        if let Some(told) = cache_creation.filter(|told| *told != AnthropicWritten::default()) {
            let known = self.cache_creation.get_or_insert_default();
            known.ephemeral_5m_input_tokens =
                told.ephemeral_5m_input_tokens.or(known.ephemeral_5m_input_tokens);
            known.ephemeral_1h_input_tokens =
                told.ephemeral_1h_input_tokens.or(known.ephemeral_1h_input_tokens);
        }
        self.cache_read_input_tokens = cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = output_tokens.or(self.output_tokens);
    }
}

/// Text and audio of a total; what is of neither counts as audio, the dearer one.
fn split(total: Option<u64>, text: Option<u64>, audio: Option<u64>) -> (u64, u64) {
    let (text, audio) = (text.unwrap_or(0), audio.unwrap_or(0));
    let rest = total.unwrap_or(0).saturating_sub(text.saturating_add(audio));
    (text, audio.saturating_add(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anthropic(json: &str) -> AnthropicUsage {
        serde_json::from_str(json).expect("a usage")
    }

    fn realtime(json: &str) -> TokenUsage {
        TokenUsage::openai_realtime(&serde_json::from_str(json).expect("a usage"))
    }

    #[test]
    fn a_cumulative_usage_is_overwritten_and_not_added() {
        let mut usage = anthropic(
            r#"{"input_tokens":25,"cache_creation_input_tokens":7,"cache_read_input_tokens":900,"output_tokens":1,
                "service_tier":"standard","cache_creation":{"ephemeral_5m_input_tokens":7}}"#,
        );
        usage.overwrite(&anthropic(r#"{"output_tokens":15}"#));
        usage.overwrite(&anthropic(
            r#"{"input_tokens":null,"cache_read_input_tokens":901,"output_tokens":42}"#,
        ));
        let expected = TokenUsage { input: 25, cached: 901, written: 7, output: 42, ..TokenUsage::default() };
        assert_eq!(TokenUsage::anthropic(&usage), expected);
        assert_eq!((expected.prompt_tokens(), expected.output_tokens()), (933, 42));
    }

    #[test]
    fn what_is_cached_for_an_hour_is_counted_apart_and_no_token_is_counted_twice_or_lost() {
        for (json, written, written_1h) in [
            (r#"{"cache_creation_input_tokens":9,"cache_creation":null}"#, 9, 0),
            (
                r#"{"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5}}"#,
                4,
                5,
            ),
            (r#"{"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_1h_input_tokens":9}}"#, 0, 9),
            (r#"{"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5}}"#, 4, 5),
            // Parts that are not the sum: the dearer reading counts.
            (r#"{"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_1h_input_tokens":1}}"#, 8, 1),
            (
                r#"{"cache_creation_input_tokens":3,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5}}"#,
                4,
                5,
            ),
        ] {
            let expected = TokenUsage { written, written_1h, ..TokenUsage::default() };
            assert_eq!(TokenUsage::anthropic(&anthropic(json)), expected, "{json}");
        }
        let mut usage =
            anthropic(r#"{"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5}}"#);
        usage.overwrite(&anthropic(r#"{"output_tokens":1}"#));
        usage.overwrite(&anthropic(
            r#"{"cache_creation":{"ephemeral_5m_input_tokens":null,"ephemeral_1h_input_tokens":0}}"#,
        ));
        let expected = TokenUsage { written: 4, output: 1, ..TokenUsage::default() };
        assert_eq!(TokenUsage::anthropic(&usage), expected);
    }

    #[test]
    fn a_message_without_a_report_has_used_nothing_that_is_known() {
        assert_eq!(TokenUsage::anthropic(&anthropic("{}")), TokenUsage::default());
        assert_eq!(realtime("{}"), TokenUsage::default());
        assert_eq!(realtime(r#"{"input_token_details":null,"output_tokens":null}"#), TokenUsage::default());
    }

    #[test]
    fn cached_tokens_of_a_realtime_response_are_taken_out_of_its_input() {
        let usage = realtime(
            r#"{"total_tokens":500,"input_tokens":400,"output_tokens":100,
                "input_token_details":{"text_tokens":150,"audio_tokens":250,"image_tokens":0,"cached_tokens":320,
                    "cached_tokens_details":{"text_tokens":128,"audio_tokens":192,"image_tokens":0}},
                "output_token_details":{"text_tokens":20,"audio_tokens":80}}"#,
        );
        let expected = TokenUsage {
            input: 22,
            cached: 128,
            written: 0,
            written_1h: 0,
            output: 20,
            audio_input: 58,
            audio_cached: 192,
            audio_output: 80,
        };
        assert_eq!(usage, expected);
        assert_eq!(
            (usage.prompt_tokens(), usage.output_tokens()),
            (400, 100),
            "nothing is billed twice or lost"
        );
    }

    #[test]
    fn a_realtime_report_that_does_not_add_up_is_read_the_dearer_way() {
        let none = TokenUsage::default();
        for (json, expected) in [
            // No details at all.
            (
                r#"{"input_tokens":9,"output_tokens":5}"#,
                TokenUsage { audio_input: 9, audio_output: 5, ..none },
            ),
            // Three tokens of an unknown kind.
            (
                r#"{"input_tokens":9,"input_token_details":{"text_tokens":4,"audio_tokens":2}}"#,
                TokenUsage { input: 4, audio_input: 5, ..none },
            ),
            // Cached, but nobody says of what.
            (
                r#"{"input_tokens":9,"input_token_details":{"text_tokens":4,"audio_tokens":5,"cached_tokens":6}}"#,
                TokenUsage { cached: 4, audio_input: 3, audio_cached: 2, ..none },
            ),
            // More cached than there is.
            (
                r#"{"input_token_details":{"text_tokens":4,"audio_tokens":5,"cached_tokens":99,
                    "cached_tokens_details":{"text_tokens":50,"audio_tokens":1}}}"#,
                TokenUsage { cached: 4, audio_input: 4, audio_cached: 1, ..none },
            ),
            (
                r#"{"input_token_details":{"text_tokens":4,"audio_tokens":5,"cached_tokens":99}}"#,
                TokenUsage { cached: 4, audio_cached: 5, ..none },
            ),
            // Less in all than in part.
            (
                r#"{"input_tokens":1,"input_token_details":{"text_tokens":4,"audio_tokens":5}}"#,
                TokenUsage { input: 4, audio_input: 5, ..none },
            ),
        ] {
            assert_eq!(realtime(json), expected, "{json}");
        }
    }

    #[test]
    fn absurd_reports_stop_at_the_largest_number() {
        let most = u64::MAX;
        let usage = realtime(&format!(
            r#"{{"input_tokens":{most},"output_tokens":{most},
                "input_token_details":{{"text_tokens":{most},"audio_tokens":{most},"cached_tokens":{most}}},
                "output_token_details":{{"text_tokens":{most},"audio_tokens":3}}}}"#,
        ));
        assert_eq!((usage.cached, usage.audio_input, usage.output), (most, most, most));
        assert_eq!((usage.prompt_tokens(), usage.output_tokens()), (most, most));
    }

    #[test]
    fn what_is_no_count_of_tokens_is_no_report() {
        for json in [r#"{"output_tokens":-1}"#, r#"{"output_tokens":1.5}"#, r#"{"output_tokens":"9"}"#] {
            assert!(serde_json::from_str::<AnthropicUsage>(json).is_err(), "{json}");
            assert!(serde_json::from_str::<RealtimeUsage>(json).is_err(), "{json}");
        }
    }
}
