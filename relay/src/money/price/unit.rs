use std::fmt;

/// What a price counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Seconds of audio.
    Second,
    /// Tokens of a model, of one kind.
    Token(TokenKind),
    /// Characters to be spoken.
    Character,
}

/// The kinds of token that providers price apart. A token of a request is of exactly one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// Text of the prompt, read anew.
    Input,
    /// Text of the prompt, read from the provider's cache.
    Cached,
    /// Text of the prompt, read and written to the provider's cache, where it lives as long as the provider's default says: five minutes at
    /// Anthropic.
    Written,
    /// Text of the prompt, read and written to the provider's cache, where it lives for an hour.
    Written1h,
    /// Text that the model wrote, its thinking included.
    Output,
    /// Audio of the prompt, read anew.
    AudioInput,
    /// Audio of the prompt, read from the provider's cache.
    AudioCached,
    /// Audio that the model made, heard or not.
    AudioOutput,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 10] = [
        Unit::Second,
        Unit::Token(TokenKind::Input),
        Unit::Token(TokenKind::Cached),
        Unit::Token(TokenKind::Written),
        Unit::Token(TokenKind::Written1h),
        Unit::Token(TokenKind::Output),
        Unit::Token(TokenKind::AudioInput),
        Unit::Token(TokenKind::AudioCached),
        Unit::Token(TokenKind::AudioOutput),
        Unit::Character,
    ];

    /// The unit of this name in a price table.
    #[must_use]
    pub fn parse(name: &str) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// The word in tables, messages and the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Second => "second",
            Unit::Token(kind) => kind.name(),
            Unit::Character => "character",
        }
    }
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [TokenKind; 8] = [
        TokenKind::Input,
        TokenKind::Cached,
        TokenKind::Written,
        TokenKind::Written1h,
        TokenKind::Output,
        TokenKind::AudioInput,
        TokenKind::AudioCached,
        TokenKind::AudioOutput,
    ];

    /// The word in tables, messages and the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TokenKind::Input => "input_token",
            TokenKind::Cached => "cached_token",
            TokenKind::Written => "written_token",
            TokenKind::Written1h => "written_1h_token",
            TokenKind::Output => "output_token",
            TokenKind::AudioInput => "audio_input_token",
            TokenKind::AudioCached => "audio_cached_token",
            TokenKind::AudioOutput => "audio_output_token",
        }
    }

    /// Whether the model made it. Every other kind is part of the prompt.
    #[must_use]
    pub const fn is_output(self) -> bool {
        match self {
            TokenKind::Output | TokenKind::AudioOutput => true,
            TokenKind::Input
            | TokenKind::Cached
            | TokenKind::Written
            | TokenKind::Written1h
            | TokenKind::AudioInput
            | TokenKind::AudioCached => false,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
