//! What is asked of a provider and what it answers, whatever its wire.

use std::fmt;

use bytes::Bytes;

use crate::money::bill::{Billing, Quantity};

/// Something to ask of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// A language model's next answer.
    Chat(Chat),
    /// The words of a user while they are spoken: the request is fed with [`Feed::Audio`] for as long as it lasts.
    Listen,
    /// The words of one utterance that is over: samples at 16 kHz.
    Transcribe(Vec<i16>),
    /// The sound of these words, and where [`Skills::is_fed`] of those that it is fed. The text may then be empty.
    Speak(String),
}

/// What an agent has to know of a provider, whatever its wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skills {
    /// What it can be asked.
    pub service: Service,
    /// It can be fed while it works: a recogniser with audio ([`Ask::Listen`], otherwise [`Ask::Transcribe`]), a voice with more text. A
    /// recogniser that is fed also says where the user's turns begin and end ([`Event::Turn`]).
    pub is_fed: bool,
    /// What its requests are billed by.
    pub billing: Billing,
}

/// What can be had from a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Service {
    /// A recogniser: it hears audio and gives words.
    SpeechToText,
    /// A language model: it answers text with text.
    LanguageModel,
    /// A voice: it reads text and gives sound.
    TextToSpeech,
}

/// What a language model is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// What was said so far, oldest first.
    pub messages: Vec<Message>,
    /// What it may call; may be empty.
    pub tools: Vec<Tool>,
    /// The longest answer, in tokens: what the worst case of its cost is reckoned with.
    pub max_output_tokens: u32,
}

/// A part of a conversation, as a language model is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The operator: how the model is to behave.
    System(String),
    /// The user's words.
    User(String),
    /// The model's own words, and what it called then.
    Assistant {
        /// The words; may be empty if it called something.
        text: String,
        /// Its calls, in their order; may be empty.
        calls: Vec<ToolCall>,
    },
    /// What came of one of those calls.
    ToolOutput {
        /// The call's own name.
        call_id: String,
        /// What the tool gave, or what went wrong.
        output: String,
        /// Whether it failed.
        is_error: bool,
    },
}

impl Message {
    /// The bytes that a model is given of it: no tokenizer makes more tokens of a text than it has bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Message::System(text) | Message::User(text) => text.len(),
            Message::Assistant { text, calls } => {
                text.len() + calls.iter().map(ToolCall::bytes).sum::<usize>()
            }
            Message::ToolOutput { call_id, output, .. } => call_id.len() + output.len(),
        }
    }
}

impl Tool {
    /// The bytes that a model is given of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.name.len() + self.description.len() + self.parameters.len()
    }
}

impl ToolCall {
    /// The bytes that a model is given of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.id.len() + self.name.len() + self.arguments.len()
    }
}

/// Something that a language model may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does and when to call it, for the model.
    pub description: String,
    /// The JSON Schema of its arguments, as JSON text: an object.
    pub parameters: String,
}

/// A call of a tool that a language model has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's name for it; a codec makes one where a server sends none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments: JSON text, as the model wrote it.
    pub arguments: String,
}

/// What is added to a request that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feed {
    /// More text that is to be spoken.
    Text(String),
    /// More audio of the user: 16-bit little-endian samples at 16 kHz.
    Audio(Bytes),
    /// What was fed so far is to be worked off now; more may come later.
    Flush,
    /// Nothing more comes: the provider is to work off what it has, and to finish.
    Finish,
}

/// What a provider says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection is there, and has what is asked: from now on the provider may bill it, and nothing that is fed has to wait. What has failed
    /// or was given up before this has reached nobody.
    Ready,
    /// The provider's own name for a request that lasts: it may never come to an [`Answer`] that has it. Only what is fed tells this.
    Named(String),
    /// The next piece of a language model's answer; never empty.
    Text(String),
    /// A language model has thought something that is neither shown nor spoken: so many bytes of text, which are billed as others are.
    Thought {
        /// How many.
        bytes: usize,
    },
    /// A language model has said why it stops: what it has used is still to come, and no more text is expected. Text that comes all the same
    /// is part of the answer.
    Stopped,
    /// A language model calls a tool.
    ToolCall(ToolCall),
    /// What the request has used so far: tokens as the provider says, characters as the codec counts what it has sent. A later one takes its
    /// place, and at last what [`Answer::usage`] says.
    Usage(Quantity),
    /// A recogniser understands something.
    Heard(Heard),
    /// A recogniser was told to work off what it had ([`Feed::Flush`]) and has said nothing of it in time, or it has said nothing for long and
    /// nobody has spoken: up to here there are no more words. That is the codec's conclusion, and no sign that the recogniser works.
    Unanswered {
        /// The place: samples at 16 kHz since the first that the request was given.
        end: u32,
    },
    /// A recogniser says how the user's turn stands.
    Turn(TurnSign),
    /// A voice gives the next piece of sound; never empty.
    Sound(Sound),
    /// A voice says when its words are spoken.
    Spoken(Spoken),
    /// The answer is whole. Nothing follows. A recogniser that is fed says so also when it was closed in order because nothing came for it to
    /// hear: that is no failure, and another request goes on where this one ended.
    Finished(Answer),
    /// There will be no (whole) answer. Nothing follows.
    Failed(Failure),
}

/// What a recogniser has understood. Places are samples at 16 kHz since the first that the request was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The words between the places, as far as they are understood; may be empty.
    pub text: String,
    /// Where they begin.
    pub start: u32,
    /// Up to where it has heard, for these words or for none: the silence behind the last word may be part of it.
    pub end: u32,
    /// Where the last word ends, as far as the provider says so; at most `end`.
    pub words_end: Option<u32>,
    /// These words stay: what comes later is about what was said after them. Otherwise the next ones take their place.
    pub is_final: bool,
}

/// How the user's turn stands, in the eyes of a recogniser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnSign {
    /// The user began to speak here: samples at 16 kHz since the first that the request was given.
    Began {
        /// The place.
        at: u32,
    },
    /// The turn may be over. Nothing may be heard of an answer yet.
    MayBeOver,
    /// It was not over.
    GoesOn,
    /// It is over: every word of it was told.
    Over,
}

/// A piece of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// One channel.
    pub samples: Vec<i16>,
}

/// When words are spoken that a voice was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Bytes of the text that the request was given, up to and with these words.
    pub bytes: u32,
    /// When the sound of these words ends, in milliseconds since the first of the request's sound.
    pub end_ms: u32,
}

/// An answer that is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why it ended there.
    pub finish: Finish,
    /// What the provider says that it used; `None` if it does not say.
    pub usage: Option<Quantity>,
    /// The provider's own name for the request.
    pub request_id: Option<String>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// It was complete.
    #[default]
    Complete,
    /// The longest answer was reached.
    Length,
    /// The provider held it back.
    Filtered,
    /// It wants to call tools.
    Tools,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of trouble it is.
    pub kind: FailureKind,
    /// For the operator's log: the provider's words, or the library's. Never the key, nor words that repeat what was asked; at most
    /// [`Failure::MESSAGE_MAX`] bytes.
    pub message: String,
    /// Whole seconds after which the provider wants to be asked again.
    pub retry_after: Option<u32>,
}

/// Kinds of trouble, by who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The key is missing or wrong (401): the operator's.
    Key,
    /// The key may not do this, or somebody in front of the provider refuses this question (403): the operator's. Another question may be answered.
    Permission,
    /// The provider wants to be paid (402): the operator's.
    Payment,
    /// Too much is asked of it just now (429, 529): another provider may answer, or the same one later.
    Busy,
    /// It does not know the model, the address or the question (other 4xx): the operator's.
    Request,
    /// It failed (5xx, 408), or said something that is no answer: another provider may answer.
    Provider,
    /// It was silent for too long.
    Timeout,
    /// It could not be reached, or the connection broke before it had begun to answer.
    Connection,
    /// It had begun to answer over HTTP, and the answer broke off.
    BrokeOff,
    /// It sent more than any answer has.
    Flood,
    /// It was not asked: it has failed too often just now, for any call of this relay. Another provider may answer.
    CircuitOpen,
    /// It was not asked: it has as many requests under way as it may. Another provider may answer.
    AtLimit,
    /// It was fed more than may wait before its connection was there: that is the doing of whoever feeds it. Another provider may answer.
    Clogged,
}

impl Failure {
    /// The longest message.
    pub const MESSAGE_MAX: usize = 300;

    /// A failure without a time to come back.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        let mut message = message.into();
        let mut end = message.len().min(Self::MESSAGE_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        // One line of a log, whatever a stranger writes.
        let message = message.replace(char::is_control, " ");
        Failure { kind, message, retry_after: None }
    }

    /// What an HTTP status says.
    #[must_use]
    pub fn of_status(status: u16, message: impl Into<String>, retry_after: Option<u32>) -> Failure {
        let kind = match status {
            401 => FailureKind::Key,
            403 => FailureKind::Permission,
            402 => FailureKind::Payment,
            429 | 529 => FailureKind::Busy,
            // Somebody on the way has waited for too long, and says so: that is a refusal, and no silence of who was asked. It may soon be over.
            408 | 504 => FailureKind::Provider,
            400..=499 => FailureKind::Request,
            _ => FailureKind::Provider,
        };
        Failure { retry_after, ..Failure::new(kind, message) }
    }
}

impl FailureKind {
    /// All of them.
    pub const ALL: [FailureKind; 13] = [
        FailureKind::Key,
        FailureKind::Permission,
        FailureKind::Payment,
        FailureKind::Busy,
        FailureKind::Request,
        FailureKind::Provider,
        FailureKind::Timeout,
        FailureKind::Connection,
        FailureKind::BrokeOff,
        FailureKind::Flood,
        FailureKind::CircuitOpen,
        FailureKind::AtLimit,
        FailureKind::Clogged,
    ];

    /// Whether the provider may bill what it was asked, although nothing has come of it: it has read it.
    #[must_use]
    pub fn may_be_billed(self) -> bool {
        matches!(self, FailureKind::Timeout | FailureKind::BrokeOff | FailureKind::Flood)
    }

    /// The word in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Key => "key",
            FailureKind::Permission => "permission",
            FailureKind::Payment => "payment",
            FailureKind::Busy => "busy",
            FailureKind::Request => "request",
            FailureKind::Provider => "provider",
            FailureKind::Timeout => "timeout",
            FailureKind::Connection => "connection",
            FailureKind::BrokeOff => "broke_off",
            FailureKind::Flood => "flood",
            FailureKind::CircuitOpen => "circuit_open",
            FailureKind::AtLimit => "at_limit",
            FailureKind::Clogged => "clogged",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}
