//! Posts spans to the collector: in batches that it can take, again while it cannot take them, and in halves when it wants none of them. What it does
//! not take in time is dropped and counted.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::otlp::{self, Answer, Span};
use crate::operations::telemetry;
use crate::operations::webhook::why;

/// So many spans are posted at once, and those of one turn more.
const BATCH: usize = 512;
/// So many bytes are posted at once, and those of one turn more.
const BATCH_BYTES: usize = 1024 * 1024;
/// How long spans wait for others that are posted with them.
const GATHER: Duration = Duration::from_secs(1);
/// The waits before spans are posted again that a collector did not take for now. Then they are dropped.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(16)];
/// For all requests of a batch and the waits between them.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest that a collector may have itself left alone.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// So much of an answer is read. One that takes all spans is empty.
const ANSWER_BYTES: usize = 64 * 1024;
/// How long a relay that stops waits until what is in the queue is posted.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// The spans of a turn, which wait to be posted.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) spans: Vec<Span>,
    /// How many bytes they are when they are posted.
    pub(super) bytes: usize,
    /// The room that they have among all that wait, until they are taken or dropped.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Who takes the spans.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) client: Client,
    pub(super) url: Url,
}

/// Carries spans from the queue to the collector.
#[derive(Debug)]
pub(super) struct Carrier {
    queue: mpsc::Receiver<Waiting>,
    collector: Collector,
    /// Cancelled when no session is left.
    closing: CancellationToken,
    /// What is taken out of the queue and not out of the relay's hands: a batch, or halves of one that was refused.
    posting: VecDeque<Batch>,
    /// The collector wants to be left alone until then.
    rests_until: Option<Instant>,
}

/// What is posted at once.
#[derive(Debug)]
struct Batch {
    turns: Vec<Waiting>,
    /// Whether it was posted with as many others before, and refused.
    is_half: bool,
}

/// What becomes of spans that are posted.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// They are taken, but for so many.
    Taken { rejected: usize },
    /// They are not taken as they are: there is something in one of them, or there are too many.
    Refused(String),
    /// None would be taken.
    Unwelcome(String),
    /// They are not taken for now. The collector may say how long it wants to be left alone.
    Away { failure: String, rest: Option<Duration> },
}

impl Carrier {
    pub(super) fn new(
        queue: mpsc::Receiver<Waiting>,
        collector: Collector,
        closing: CancellationToken,
    ) -> Carrier {
        Carrier { queue, collector, closing, posting: VecDeque::new(), rests_until: None }
    }

    /// Posts what comes through the queue until that is closed and empty, or the last moment is over.
    pub(super) async fn run(mut self) {
        let closing = self.closing.clone();
        let last_moment = async {
            closing.cancelled().await;
            sleep(LAST_SPANS).await;
        };
        let is_in_time = tokio::select! {
            () = self.carry() => true,
            () = last_moment => false,
        };
        if !is_in_time {
            let left = self.give_up();
            telemetry::spans_dropped(left);
            tracing::warn!(spans = left, "the last traces were not taken in time and are dropped");
        }
    }

    async fn carry(&mut self) {
        while self.gather().await {
            if let Some(until) = self.rests_until.take() {
                tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.closing.cancelled() => {}
                }
            }
            let (dropped, failure) = self.deliver().await;
            if dropped > 0 {
                telemetry::spans_dropped(dropped);
                tracing::warn!(spans = dropped, %failure, "traces were not taken and are dropped");
            }
        }
    }

    /// Takes a batch out of the queue, once there is something. `false` when nothing comes any more.
    async fn gather(&mut self) -> bool {
        let first = tokio::select! {
            first = self.queue.recv() => first,
            () = self.closing.cancelled() => self.queue.try_recv().ok(),
        };
        let Some(first) = first else { return false };
        let (mut spans, mut bytes) = (first.spans.len(), first.bytes);
        self.posting.push_back(Batch { turns: vec![first], is_half: false });
        tokio::select! {
            () = sleep(GATHER) => {}
            () = self.closing.cancelled() => {}
        }
        let Some(batch) = self.posting.back_mut() else { return false };
        while spans < BATCH
            && bytes < BATCH_BYTES
            && let Ok(more) = self.queue.try_recv()
        {
            spans += more.spans.len();
            bytes += more.bytes;
            batch.turns.push(more);
        }
        true
    }

    /// Posts the batch, in halves if it is refused. Says how many spans are dropped, and why.
    async fn deliver(&mut self) -> (usize, String) {
        let deadline = Instant::now() + WITHIN;
        let (mut dropped, mut failures) = (0, String::new());
        while let Some(batch) = self.posting.front() {
            let body = batch.body();
            let outcome = self.collector.post(&body, deadline, &self.closing).await;
            let Some(mut batch) = self.posting.pop_front() else { break };
            let (lost, failure) = match outcome {
                Outcome::Taken { rejected } => (rejected.min(batch.count()), "rejected".to_owned()),
                Outcome::Refused(_) if !batch.is_half && batch.turns.len() > 1 => {
                    let turns = batch.turns.split_off(batch.turns.len() / 2);
                    self.posting.push_front(Batch { turns, is_half: true });
                    self.posting.push_front(Batch { is_half: true, ..batch });
                    continue;
                }
                Outcome::Refused(failure) | Outcome::Unwelcome(failure) => (batch.count(), failure),
                Outcome::Away { failure, rest } => {
                    self.rests_until = rest.map(|rest| Instant::now() + rest).or(self.rests_until);
                    (batch.count(), failure)
                }
            };
            if lost > 0 {
                dropped += lost;
                failures = failure;
            }
        }
        (dropped, failures)
    }

    /// Lets go of all that is not posted, and says how many spans that is. None comes any more.
    fn give_up(&mut self) -> usize {
        self.queue.close();
        let mut left: usize = self.posting.drain(..).map(|batch| batch.count()).sum();
        while let Ok(waiting) = self.queue.try_recv() {
            left += waiting.spans.len();
        }
        left
    }
}

impl Batch {
    fn count(&self) -> usize {
        self.turns.iter().map(|turn| turn.spans.len()).sum()
    }

    fn body(&self) -> Bytes {
        let spans = self.turns.iter().flat_map(|turn| turn.spans.iter().cloned()).collect();
        Bytes::from(otlp::encode(spans))
    }
}

impl Collector {
    /// Posts spans until it is sure what becomes of them.
    async fn post(&self, body: &Bytes, deadline: Instant, closing: &CancellationToken) -> Outcome {
        let mut waits = AGAIN.into_iter();
        loop {
            let asked = timeout_at(deadline, self.ask(body.clone())).await;
            let outcome = asked.unwrap_or_else(|_| Outcome::Away {
                failure: format!("not taken within {} s", WITHIN.as_secs()),
                rest: None,
            });
            let rest = match &outcome {
                Outcome::Away { rest, .. } => *rest,
                Outcome::Taken { .. } | Outcome::Refused(_) | Outcome::Unwelcome(_) => return outcome,
            };
            let again = waits.next().and_then(|wait| next_try(Instant::now(), wait, rest, deadline));
            let Some(again) = again else { return outcome };
            tokio::select! {
                () = sleep_until(again) => {}
                () = closing.cancelled() => return outcome,
            }
        }
    }

    /// Posts spans once.
    async fn ask(&self, body: Bytes) -> Outcome {
        let response = match self.client.post(self.url.clone()).body(body).send().await {
            Ok(response) => response,
            Err(error) => return Outcome::Away { failure: why(error), rest: None },
        };
        let status = response.status();
        if status.is_success() {
            return Outcome::Taken { rejected: rejected(response).await };
        }
        let failure = format!("status {}", status.as_u16());
        match status.as_u16() {
            400 | 413 => Outcome::Refused(failure),
            408 | 429 | 500..=599 => Outcome::Away { failure, rest: rest(response.headers()) },
            _ => Outcome::Unwelcome(failure),
        }
    }
}

/// How many of the spans a collector says that it did not take, although it took others. One that does not say it as the protocol does took all.
async fn rejected(mut response: Response) -> usize {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        if body.len() + bytes.len() > ANSWER_BYTES {
            return 0;
        }
        body.extend_from_slice(&bytes);
    }
    let partial = Answer::decode(&*body).ok().and_then(|answer| answer.partial_success);
    partial.and_then(|partial| usize::try_from(partial.rejected_spans).ok()).unwrap_or_default()
}

/// How long a collector wants to be left alone, in seconds.
fn rest(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_REST))
}

/// When spans are posted again: after a wait, or the longer one that the collector wants; and not at all when their time is over by then.
fn next_try(now: Instant, wait: Duration, rest: Option<Duration>, deadline: Instant) -> Option<Instant> {
    let again = now + rest.map_or(wait, |rest| rest.max(wait));
    (again < deadline).then_some(again)
}
