//! What the parts of a conversation want to be done, in one order.

use std::collections::VecDeque;

use super::super::AgentOutput;
use crate::money::bill::{AtMost, Quantity};
use crate::money::tab::RequestId;
use crate::provider::{Ask, Feed};

/// Outputs that wait to be taken, the numbers of requests, and how the answer stands that the call is giving.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    outputs: VecDeque<AgentOutput>,
    next_request: u32,
    /// Answers that were begun, as the call counts them.
    answers: u32,
    /// The answer that gets more words.
    given: Option<u32>,
    /// The last answer, until the call says that it is over.
    open: Option<u32>,
}

impl Outbox {
    pub(super) fn push(&mut self, output: AgentOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn pop(&mut self) -> Option<AgentOutput> {
        self.outputs.pop_front()
    }

    /// Makes a request.
    pub(super) fn ask(&mut self, provider: usize, ask: Ask, at_most: AtMost) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.push(AgentOutput::Ask { request, provider, ask, at_most });
        request
    }

    /// Gives a request something that costs nothing more.
    pub(super) fn feed(&mut self, request: RequestId, feed: Feed) {
        self.push(AgentOutput::Feed { request, feed, at_most: None });
    }

    /// A request is over, and has used this by our own reckoning.
    pub(super) fn spent(&mut self, request: RequestId, used: Option<Quantity>) {
        self.push(AgentOutput::Spent { request, used, estimated: true, provider_id: None });
    }

    /// Gives up a request, which has used this by our own reckoning.
    pub(super) fn cancel(&mut self, request: RequestId, used: Option<Quantity>) {
        self.push(AgentOutput::Cancel { request });
        self.spent(request, used);
    }

    /// More words of the answer, with their place in its sound. Returns which answer it is.
    pub(super) fn words(&mut self, text: String, start: u32, end: u32) -> u32 {
        let answer = *self.given.get_or_insert_with(|| {
            self.answers += 1;
            self.answers - 1
        });
        self.open = Some(answer);
        self.push(AgentOutput::Words { text, start, end, last: false });
        answer
    }

    /// The answer gets nothing more, if there is one.
    pub(super) fn end_answer(&mut self) {
        if self.given.take().is_some() {
            self.push(AgentOutput::AnswerEnd);
        }
    }

    /// The answer is dropped where it is, if there is one.
    pub(super) fn cut(&mut self) {
        self.given = None;
        if self.open.is_some() {
            self.push(AgentOutput::Cut);
        }
    }

    /// The call says that an answer is over.
    pub(super) fn answer_over(&mut self, answer: u32) {
        if self.open == Some(answer) {
            self.open = None;
        }
        if self.given == Some(answer) {
            self.given = None;
        }
    }

    /// How many answers have begun.
    pub(super) fn begun(&self) -> u32 {
        self.answers
    }

    /// Whether an answer has begun that gets more words.
    pub(super) fn is_giving(&self) -> bool {
        self.given.is_some()
    }

    /// Whether an answer has begun that the call has not called over.
    pub(super) fn is_answering(&self) -> bool {
        self.open.is_some()
    }
}
