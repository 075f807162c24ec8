//! Why a socket could not be opened: what a plain HTTP request was answered with, and what that means for the call.

use std::time::Duration;

use serde::Deserialize;

use super::phase::{Attempt, Away, Phase};
use super::{Answer, Client, ErrorInfo, Event, Pending, Transport, Transports};
use crate::json::{self, Document};
use crate::{CloseCode, ErrorCode};

/// What a relay answers to a plain request that it would take as a WebSocket.
const UPGRADE_REQUIRED: u16 = 426;
/// So many attempts in a row have to fail until another transport is tried, since a single one may fail by chance.
const UNOPENED: u8 = 2;

/// What was told and learnt while no relay was connected.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Whether it was told why the relay takes no connection now: not at each attempt.
    told_refusal: bool,
    /// The last answer's status; 0 if there was none.
    status: u16,
}

/// Whether an answer is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Question {
    #[default]
    None,
    Asked,
    /// A later attempt got through, so what the answer says is over.
    Overtaken,
}

impl Outage {
    /// Says what was learnt of an address that was tried in vain.
    pub(super) fn explain(&self, message: &mut String) {
        match self.status {
            0 => {}
            UPGRADE_REQUIRED => {
                message.push_str(" Something between may refuse WebSockets.");
            }
            status => push_status(status, message),
        }
    }
}

impl Client {
    /// An attempt failed before its socket was open. Without a network there is nobody to ask.
    pub(super) fn ask_why(&mut self) {
        let waits = matches!(self.phase, Phase::Away(Away { attempt: Attempt::Waiting(_), .. }));
        if waits && !self.offline && self.question == Question::None {
            self.question = Question::Asked;
            self.pending.push_back(Pending::AskWhy);
        }
    }

    /// A socket is open: no answer to why one was not matters any more.
    pub(super) fn forget_question(&mut self) {
        if self.question == Question::Asked {
            self.question = Question::Overtaken;
        }
    }

    pub(super) fn handle_why(&mut self, answer: Option<Answer<'_>>) {
        let question = std::mem::take(&mut self.question);
        let (Question::Asked, Some(answer)) = (question, answer) else { return };
        let Phase::Away(Away { outage, .. }) = &mut self.phase else { return };
        outage.status = answer.status;
        if answer.status == UPGRADE_REQUIRED {
            return self.change_transport();
        }
        let (error, close) = match (answer.status, refusal(&answer)) {
            // What was there once is being replaced, maybe, and comes back.
            (..400 | 404 | 405 | 410, _) if !self.was_connected => {
                let mut error = ErrorInfo::from(const { ErrorCode::NoRelay.info() });
                push_status(answer.status, &mut error.message);
                (error, CloseCode::NoRelay)
            }
            (_, None) => return,
            (_, Some(error)) if error.retryable => {
                let is_news = !std::mem::replace(&mut outage.told_refusal, true);
                self.hold_off(error.retry_after_ms);
                if is_news {
                    self.tell(Event::Error(error));
                }
                return;
            }
            (403, Some(error)) => (error, CloseCode::Forbidden),
            (_, Some(error)) => (error, CloseCode::Protocol),
        };
        self.tell(Event::Error(error));
        self.abandon(close);
    }

    /// The relay is there, and would take a connection that does not get through.
    fn change_transport(&mut self) {
        if self.config.transports != Transports::Both || self.unopened < UNOPENED {
            return;
        }
        self.transport = match self.transport {
            Transport::WebSocket => Transport::Http,
            Transport::Http => Transport::WebSocket,
        };
        self.unopened = 0;
    }

    /// No attempt before the relay wants one.
    pub(super) fn hold_off(&mut self, retry_after_ms: Option<u64>) {
        let Some(after) = retry_after_ms else { return };
        let due = self.backoff.hold_until(self.now + Duration::from_millis(after));
        if let Phase::Away(Away { attempt: Attempt::Waiting(next), .. }) = &mut self.phase {
            *next = due;
            self.tell_state();
        }
    }
}

/// What a relay's problem document (RFC 9457) says; nothing if the answer is somebody else's, or its status says it all.
fn refusal(answer: &Answer<'_>) -> Option<ErrorInfo> {
    if matches!(answer.status, ..400 | 404 | 405 | 410 | UPGRADE_REQUIRED) {
        return None;
    }
    let problem: Problem = Document::parse(answer.body)?.read()?;
    let Problem { status, code, detail, retryable, limit, retry_after_ms } = problem;
    let is_its_own = status == u32::from(answer.status);
    is_its_own.then_some(ErrorInfo { code, message: detail, retryable, limit, retry_after_ms })
}

/// What a problem document has of a relay's own.
#[derive(Deserialize)]
struct Problem {
    status: u32,
    code: String,
    detail: String,
    retryable: bool,
    limit: Option<u64>,
    retry_after_ms: Option<u64>,
}

fn push_status(status: u16, message: &mut String) {
    message.push_str(" The address answered with status ");
    // The writer of messages is there already. What `to_string` writes numbers with would be downloaded.
    message.push_str(&json::write(&status));
    message.push('.');
}
