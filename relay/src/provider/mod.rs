//! Speech and language providers: what is asked of them, what they answer, and how both look on their wires.
//!
//! A provider is a [`Codec`]: bytes in, events out. It knows one wire and nothing else: no socket, no clock, no money, no call. It is
//! one file here and one line in the [registry](KINDS). A codec is held by an [`Exchange`], the machine that bounds what a provider may do: how
//! long it may be silent, how much it may send, and that it ends once, with one answer or one failure. Two drivers carry an exchange:
//! streamed HTTP and WebSocket ([`Request`]). A stranger's provider never decides anything: what an event means is the agent's to say,
//! and what it costs the tab's.
//!
//! # Run loop
//! As everywhere: one input, [`Exchange::poll_output`] until it is `None`, then one timer for [`Exchange::poll_timeout`].

mod ahead;
mod anthropic;
mod aura;
mod breaker;
mod channel;
mod chat;
mod connections;
mod deepgram;
mod elevenlabs;
mod event;
mod exchange;
mod fields;
mod flux;
mod guarded;
mod http;
mod incoming;
mod pcm;
mod places;
mod prompt;
mod ready;
mod refusal;
mod registry;
mod repeated;
mod reply;
mod request;
#[cfg(test)]
pub(crate) mod scenario;
mod socket;
mod speech;
mod thoughts;
mod told;
mod transcription;
mod upstream;

pub(crate) use ahead::KEPT_FOR as SOCKET_KEPT_FOR;
pub use breaker::{Breaker, Standing, Ticket};
pub use chat::Chat as ChatCodec;
pub use connections::{Connections, Way};
pub use event::{
    Answer, Ask, Chat, Event, Failure, FailureKind, Feed, Finish, Heard, Message, Service, Skills, Sound,
    Spoken, Tool, ToolCall, TurnSign,
};
pub use exchange::{Bounds, Deadlines, Exchange};
pub use ready::Ready;
pub use registry::{KIND_NAMES, KINDS, Kind, Provider};
pub use request::Request;
pub use upstream::{Expected, Pass, Upstream, Upstreams};

use bytes::Bytes;
use protocol::Time;

/// Recognisers say where words and silence end in seconds, each for itself: so many samples are no difference, 100 ms.
pub(crate) const ROUNDING: u32 = 1_600;

/// How an exchange begins on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A `POST` whose answer is read as it comes.
    Http(Target),
    /// A WebSocket.
    Socket(Target),
}

/// Where to, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The whole address.
    pub url: reqwest::Url,
    /// Names and values. The key is among them, so they are never shown.
    pub headers: Vec<(&'static str, String)>,
    /// The body of a `POST`; empty for a WebSocket.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Target")
            .field("url", &self.url.as_str())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// What a wire brings, and what an agent adds to a request that is under way.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The head of an HTTP answer, or of a WebSocket's.
    Head {
        /// The status.
        status: u16,
        /// Whole seconds after which the provider wants to be asked again, if it says so.
        retry_after: Option<u32>,
        /// The provider's own name for the request, if it is in a header.
        request_id: Option<&'a str>,
        /// The media type of what follows, with its parameters as the server writes them.
        media_type: &'a str,
    },
    /// The next bytes of an HTTP body, cut anywhere.
    Bytes(&'a [u8]),
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// The body is complete, or the WebSocket was closed in order.
    End,
    /// There is nobody there, or the connection broke: in the words of the library.
    Lost(&'a str),
    /// What the agent adds to the request.
    Feed(&'a Feed),
    /// The time of [`Codec::poll_timeout`] has come.
    Timeout,
}

/// A media type without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// What a codec does.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// To send as a text message.
    Text(String),
    /// To send as a binary message.
    Binary(Bytes),
    /// For whoever asked. After [`Event::Finished`] or [`Event::Failed`] nothing follows.
    Event(Event),
}

/// One wire. A machine like the others, without any bound of its own: the [`Exchange`] that holds it has them.
pub trait Codec: Send {
    /// How it begins; asked once, first.
    fn open(&mut self) -> Opening;

    /// One thing happened.
    fn handle_input(&mut self, now: Time, input: Input<'_>);

    /// The next thing to do.
    fn poll_output(&mut self) -> Option<Output>;

    /// What may be shown of words that came from the wire: never the key, nor what repeats words that went over it.
    fn shown(&self, words: &str) -> String {
        words.to_owned()
    }

    /// How many pieces of an answer have come, where not everything that comes over the wire is one: comments and pings keep a connection alive,
    /// and are none. `None` where every byte counts. Of a recogniser that listens it is how often it has said something of what it hears, be it news
    /// or not.
    fn pieces(&self) -> Option<u64> {
        None
    }

    /// A recogniser that listens has said nothing for long, and nobody has spoken in what it was given meanwhile. One that only tells of words never
    /// says that what has none is final. Whether it may be so: a recogniser that has begun words, and says no more of them, has failed.
    #[must_use]
    fn nobody_spoke(&mut self) -> bool {
        true
    }

    /// When [`Input::Timeout`] is due: for wires that want to be kept alive.
    fn poll_timeout(&self) -> Option<Time> {
        None
    }
}
