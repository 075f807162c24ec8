//! What a session has to write to the store: one thing after another, without the call waiting for it.
//!
//! While the database is away the writes wait, in order, and are tried again; how long that may go on is the driver's to say.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::Mark;
use tokio::time::{Instant, sleep};

use crate::store::{Alert, Quality, Settle, Settled, Shortage, Store, StoreError, Turn, unix_ms};

/// Between two tries while the database is away: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Something to write.
#[derive(Clone, Debug)]
enum Entry {
    Turns { turns: Vec<Turn>, committed: Mark },
    Settle(Box<Settle>),
    Exhausted(Shortage),
    Attached(bool),
    End { reason: &'static str, quality: Quality },
}

/// What was written.
#[derive(Debug)]
pub(super) enum Written {
    /// These turns are stored: everything before the mark is in the transcript.
    Turns(Mark),
    /// What was spent.
    Settled(Settled),
    /// That a budget is used up, if that is news.
    Exhausted(Option<Alert>),
    /// Whether there is a connection.
    Attached,
    /// That the session has ended.
    End,
}

type Writing = Pin<Box<dyn Future<Output = Result<Written, StoreError>> + Send>>;

/// The queue of a session's writes.
pub(super) struct Journal {
    store: Arc<dyn Store>,
    session_id: String,
    epoch: u32,
    /// Oldest first; the first one is being written.
    waiting: VecDeque<Entry>,
    writing: Option<Writing>,
    /// Whether the store knows that there is a connection.
    attached: bool,
    /// Since when the database is away, and how long to wait before the next try.
    away: Option<(Instant, Duration)>,
}

impl Journal {
    pub(super) fn new(store: Arc<dyn Store>, session_id: String, epoch: u32) -> Self {
        Journal {
            store,
            session_id,
            epoch,
            waiting: VecDeque::new(),
            writing: None,
            attached: true,
            away: None,
        }
    }

    pub(super) fn turns(&mut self, turns: Vec<Turn>, committed: Mark) {
        self.waiting.push_back(Entry::Turns { turns, committed });
    }

    pub(super) fn settle(&mut self, settle: Settle) {
        self.waiting.push_back(Entry::Settle(Box::new(settle)));
    }

    /// A budget is used up.
    pub(super) fn exhausted(&mut self, shortage: Shortage) {
        self.waiting.push_back(Entry::Exhausted(shortage));
    }

    /// Whether the session has a connection.
    pub(super) fn attached(&mut self, attached: bool) {
        if std::mem::replace(&mut self.attached, attached) != attached {
            self.waiting.push_back(Entry::Attached(attached));
        }
    }

    /// The session has ended, with the name of a close code.
    pub(super) fn end(&mut self, reason: &'static str, quality: Quality) {
        self.waiting.push_back(Entry::End { reason, quality });
    }

    /// Whether everything is written.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Since when the database has been away.
    pub(super) fn away_since(&self) -> Option<Instant> {
        self.away.map(|(since, _)| since)
    }

    /// Goes on writing; pending for ever when there is nothing to write. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the database said no. While it is away this waits and tries again.
    pub(super) async fn next(&mut self) -> Result<Written, StoreError> {
        loop {
            if self.writing.is_none() {
                self.writing = self.waiting.front().map(|entry| self.begin(entry.clone()));
            }
            let Some(writing) = &mut self.writing else { return std::future::pending().await };
            let written = writing.await;
            self.writing = None;
            if let Err(error) = &written
                && error.is_away()
            {
                let (since, wait) = self
                    .away
                    .map_or((Instant::now(), RETRY.0), |(since, wait)| (since, (wait * 2).min(RETRY.1)));
                if self.away.is_none() {
                    tracing::warn!(session = %self.session_id, %error, "the database is away; what is to be written waits");
                }
                self.away = Some((since, wait));
                continue;
            }
            if self.away.take().is_some() {
                tracing::info!(session = %self.session_id, "the database is back");
            }
            self.waiting.pop_front();
            return written;
        }
    }

    fn begin(&self, entry: Entry) -> Writing {
        let (store, id, epoch) = (self.store.clone(), self.session_id.clone(), self.epoch);
        let wait = self.away.map(|(_, wait)| wait);
        Box::pin(async move {
            if let Some(wait) = wait {
                sleep(wait).await;
            }
            match entry {
                Entry::Turns { turns, committed } => {
                    store.save_turns(&id, epoch, &turns, committed).await.map(|()| Written::Turns(committed))
                }
                Entry::Settle(settle) => store.settle(&settle).await.map(Written::Settled),
                Entry::Exhausted(Shortage { scope, balance, .. }) => {
                    store.exhausted(&id, scope, balance, unix_ms()).await.map(Written::Exhausted)
                }
                Entry::Attached(attached) => {
                    store.set_attached(&id, epoch, attached).await.map(|()| Written::Attached)
                }
                Entry::End { reason, quality } => {
                    store.end_session(&id, epoch, reason, quality, unix_ms()).await.map(|()| Written::End)
                }
            }
        })
    }
}
