//! What is asked of a provider and what it answers, whatever its wire.

use std::fmt;

use crate::money::bill::TokenUsage;

/// Something to ask of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// A language model's next answer.
    Chat(Chat),
}

/// What a language model is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// What was said so far, oldest first.
    pub messages: Vec<Message>,
    /// The longest answer, in tokens: what the worst case of its cost is reckoned with.
    pub max_output_tokens: u32,
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// By whom.
    pub role: Role,
    /// The words.
    pub text: String,
}

/// Who said something to a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator: how the model is to behave.
    System,
    /// The user.
    User,
    /// The model itself.
    Assistant,
}

/// What is added to a request that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feed {
    /// More text.
    Text(String),
    /// Nothing more comes: the provider is to finish.
    Finish,
}

/// What a provider says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The next piece of the answer's text; never empty.
    Text(String),
    /// The answer is whole. Nothing follows.
    Finished(Answer),
    /// There will be no (whole) answer. Nothing follows.
    Failed(Failure),
}

/// An answer that is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why it ended there.
    pub finish: Finish,
    /// What the provider says that it used; `None` if it does not say.
    pub usage: Option<TokenUsage>,
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
    /// For the operator's log: the provider's words, or the library's. Never the key; at most [`Failure::MESSAGE_MAX`] bytes.
    pub message: String,
    /// Whole seconds after which the provider wants to be asked again.
    pub retry_after: Option<u32>,
}

/// Kinds of trouble, by who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The key is missing, wrong, or may not do this (401, 403): the operator's.
    Key,
    /// The provider wants to be paid (402): the operator's.
    Payment,
    /// Too much is asked of it just now (429, 529): another provider may answer, or the same one later.
    Busy,
    /// It does not know the model, the address or the question (other 4xx): the operator's.
    Request,
    /// It failed (5xx), or said something that is no answer: another provider may answer.
    Provider,
    /// It was silent for too long.
    Timeout,
    /// It could not be reached, or the connection broke in the middle.
    Connection,
    /// It sent more than any answer has.
    Flood,
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
            401 | 403 => FailureKind::Key,
            402 => FailureKind::Payment,
            429 | 529 => FailureKind::Busy,
            408 | 504 => FailureKind::Timeout,
            400..=499 => FailureKind::Request,
            _ => FailureKind::Provider,
        };
        Failure { retry_after, ..Failure::new(kind, message) }
    }
}

impl FailureKind {
    /// All of them.
    pub const ALL: [FailureKind; 8] = [
        FailureKind::Key,
        FailureKind::Payment,
        FailureKind::Busy,
        FailureKind::Request,
        FailureKind::Provider,
        FailureKind::Timeout,
        FailureKind::Connection,
        FailureKind::Flood,
    ];

    /// The word in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Key => "key",
            FailureKind::Payment => "payment",
            FailureKind::Busy => "busy",
            FailureKind::Request => "request",
            FailureKind::Provider => "provider",
            FailureKind::Timeout => "timeout",
            FailureKind::Connection => "connection",
            FailureKind::Flood => "flood",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}
