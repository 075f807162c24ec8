//! Sessions and their connections: who comes, who is refused, how long answers take, and how it ends.

use metrics::{counter, gauge, histogram};
use protocol::client::Transport;
use protocol::{CloseCode, ErrorCode, Latency};

use super::names::{
    ANSWER_SECONDS, CONNECTIONS, DRAINING, FALSE_INTERRUPTIONS, INTERRUPTIONS, MOVED, PREFLIGHTS, REFUSALS,
    RESUMES, SESSIONS_ENDED, SESSIONS_OPENED, TOKENS_REFUSED,
};
use crate::admission::auth::AuthError;
use crate::session::machine::Moment;

/// Refused tokens of another user or account, beside those that are not good.
pub(super) const OTHERS_TOKENS: &[&str] = &["other_account", "other_sub"];
/// What connections go over.
pub(super) const TRANSPORTS: [Transport; 2] = [Transport::WebSocket, Transport::Http];

/// A preflight that says that the call would be taken.
pub(crate) const PREFLIGHT_OK: &str = "ok";

/// What becomes of a client that comes back to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// The session goes on at the relay that has it.
    Here,
    /// The session goes on here after another relay had it.
    TakenOver,
    /// The session had ended, and its client is told so once more.
    Ended,
    /// The session could not go on: another one began in its place.
    BeganAnew,
    /// The client is sent away, for now or for good.
    Refused,
}

impl Resume {
    /// Everything that becomes of one.
    pub(super) const ALL: [Resume; 5] =
        [Resume::Here, Resume::TakenOver, Resume::Ended, Resume::BeganAnew, Resume::Refused];

    fn name(self) -> &'static str {
        match self {
            Resume::Here => "here",
            Resume::TakenOver => "taken_over",
            Resume::Ended => "ended",
            Resume::BeganAnew => "began_anew",
            Resume::Refused => "refused",
        }
    }
}

/// See [`begin`](super::begin).
pub(super) fn begin() {
    counter!(SESSIONS_OPENED).increment(0);
    for code in CloseCode::ALL {
        counter!(SESSIONS_ENDED, "reason" => code.name()).increment(0);
    }
    for moment in Moment::ALL {
        counter!(MOVED, "how" => moment.name()).increment(0);
    }
    for transport in TRANSPORTS {
        counter!(CONNECTIONS, "transport" => transport_name(transport)).increment(0);
    }
    for code in ErrorCode::ALL.iter().map(|code| code.name()).chain(["origin"]) {
        counter!(REFUSALS, "code" => code).increment(0);
    }
    for outcome in ErrorCode::ALL.iter().map(|code| code.name()).chain([PREFLIGHT_OK]) {
        counter!(PREFLIGHTS, "outcome" => outcome).increment(0);
    }
    for cause in AuthError::CAUSES.iter().chain(OTHERS_TOKENS) {
        counter!(TOKENS_REFUSED, "cause" => *cause).increment(0);
    }
    for outcome in Resume::ALL {
        counter!(RESUMES, "outcome" => outcome.name()).increment(0);
    }
    counter!(INTERRUPTIONS).increment(0);
    counter!(FALSE_INTERRUPTIONS).increment(0);
    gauge!(DRAINING).set(0.0);
}

/// The relay is told to stop.
pub(crate) fn draining() {
    gauge!(DRAINING).set(1.0);
}

/// A call is sent elsewhere, at such a moment.
pub(crate) fn moved(moment: Moment) {
    counter!(MOVED, "how" => moment.name()).increment(1);
}

pub(crate) fn session_opened() {
    counter!(SESSIONS_OPENED).increment(1);
}

/// The user of a connection is known.
pub(crate) fn connected(transport: Transport) {
    counter!(CONNECTIONS, "transport" => transport_name(transport)).increment(1);
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::WebSocket => "websocket",
        Transport::Http => "http",
    }
}

/// `reason` is the name of a close code.
pub(crate) fn session_ended(reason: &'static str) {
    counter!(SESSIONS_ENDED, "reason" => reason).increment(1);
}

/// A client came back to its session.
pub(crate) fn resumed(outcome: Resume) {
    counter!(RESUMES, "outcome" => outcome.name()).increment(1);
}

/// `code` is the name of an error code.
pub(crate) fn refused(code: &str) {
    counter!(REFUSALS, "code" => code.to_owned()).increment(1);
}

/// `outcome` is [`PREFLIGHT_OK`] or the name of an error code.
pub(crate) fn preflight(outcome: &str) {
    counter!(PREFLIGHTS, "outcome" => outcome.to_owned()).increment(1);
}

pub(crate) fn token_refused(cause: &'static str) {
    counter!(TOKENS_REFUSED, "cause" => cause).increment(1);
}

pub(crate) fn answered(latency: &Latency) {
    let Latency { stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms, .. } = *latency;
    let stages = [("stt", stt_ms), ("llm", llm_ms), ("tts", tts_ms), ("send", send_ms), ("total", total_ms)];
    // That it was heard is told by itself, behind the rest.
    let heard = [("heard", heard_ms)];
    for &(stage, took) in if heard_ms.is_some() { &heard[..] } else { &stages } {
        if let Some(ms) = took {
            histogram!(ANSWER_SECONDS, "stage" => stage).record(f64::from(ms) / 1_000.0);
        }
    }
}

/// An answer was cut off.
pub(crate) fn interruption() {
    counter!(INTERRUPTIONS).increment(1);
}

/// Nobody wanted to interrupt an answer that was held and goes on.
pub(crate) fn false_interruption() {
    counter!(FALSE_INTERRUPTIONS).increment(1);
}
