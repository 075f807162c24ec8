//! What a session has to write to the store: one thing after another, without the call waiting for it.
//!
//! While the database is away the writes wait, in order, kept on the relay's own disk as well, and are tried again. How long that may go
//! on is the driver's to say.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::Mark;
use tokio::time::{Instant, sleep};

use crate::App;
use crate::spill::Owed;
use crate::store::{Alert, Quality, Settle, Settled, Shortage, StoreError, Turn, unix_ms};

/// Between two tries while the database is away: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Something to write.
#[derive(Clone, Debug)]
enum Entry {
    Owed(Owed),
    Exhausted(Shortage),
    Attached(bool),
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

type Step<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The queue of a session's writes.
pub(super) struct Journal {
    app: Arc<App>,
    session_id: String,
    epoch: u32,
    /// Oldest first, each with its number in the spill if it is kept there; the first one is being written.
    waiting: VecDeque<(Entry, Option<i64>)>,
    writing: Option<Step<Result<Written, StoreError>>>,
    keeping: Option<Step<(usize, Option<i64>)>>,
    /// Entries of the queue, from its beginning, that are kept or need not be.
    kept: usize,
    /// Whether the store knows that there is a connection.
    attached: bool,
    /// Since when the database is away, and how long to wait before the next try.
    away: Option<(Instant, Duration)>,
}

impl Journal {
    pub(super) fn new(app: Arc<App>, session_id: String, epoch: u32) -> Self {
        Journal {
            app,
            session_id,
            epoch,
            waiting: VecDeque::new(),
            writing: None,
            keeping: None,
            kept: 0,
            attached: true,
            away: None,
        }
    }

    pub(super) fn turns(&mut self, turns: Vec<Turn>, committed: Mark) {
        self.push(Entry::Owed(Owed::Turns { turns, committed }));
    }

    pub(super) fn settle(&mut self, settle: Settle) {
        self.push(Entry::Owed(Owed::Settle(Box::new(settle))));
    }

    /// A budget is used up.
    pub(super) fn exhausted(&mut self, shortage: Shortage) {
        self.push(Entry::Exhausted(shortage));
    }

    /// Whether the session has a connection.
    pub(super) fn attached(&mut self, attached: bool) {
        if std::mem::replace(&mut self.attached, attached) != attached {
            self.push(Entry::Attached(attached));
        }
    }

    /// The session has ended, with the name of a close code.
    pub(super) fn end(&mut self, reason: &'static str, quality: Quality) {
        self.push(Entry::Owed(Owed::End { reason: reason.to_owned(), quality, at_ms: unix_ms() }));
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
            if self.away.is_some() {
                self.keep().await;
            }
            if self.writing.is_none() {
                self.writing = self.waiting.front().map(|(entry, kept)| self.begin(entry.clone(), *kept));
            }
            let Some(writing) = &mut self.writing else { return std::future::pending().await };
            let written = writing.await;
            self.writing = None;
            match &written {
                Err(error) if error.is_away() => self.handle_away(error),
                _ => {
                    if self.away.take().is_some() {
                        tracing::info!(session = %self.session_id, "the database is back");
                    }
                    self.waiting.pop_front();
                    self.kept = self.kept.saturating_sub(1);
                    return written;
                }
            }
        }
    }

    /// Keeps everything that waits on the relay's own disk, however long that takes: for when the session leaves.
    pub(super) async fn keep(&mut self) {
        loop {
            if self.keeping.is_none() {
                while matches!(
                    self.waiting.get(self.kept),
                    Some((Entry::Exhausted(_) | Entry::Attached(_), _))
                ) {
                    self.kept += 1;
                }
                let Some((Entry::Owed(owed), _)) = self.waiting.get(self.kept) else { return };
                let (app, id, epoch, owed) =
                    (self.app.clone(), self.session_id.clone(), self.epoch, owed.clone());
                let at = self.kept;
                self.keeping = Some(Box::pin(async move {
                    let kept = app.spill.keep(&id, epoch, &owed).await;
                    if !matches!(kept, Ok(Some(_))) {
                        tracing::error!(session = %id, ?kept, "what is to be written is kept in memory only");
                    }
                    (at, kept.ok().flatten())
                }));
            }
            let Some(keeping) = &mut self.keeping else { return };
            let (at, number) = keeping.await;
            self.keeping = None;
            if let Some((_, kept)) = self.waiting.get_mut(at) {
                *kept = number;
            }
            self.kept = at + 1;
        }
    }

    fn push(&mut self, entry: Entry) {
        self.waiting.push_back((entry, None));
    }

    fn handle_away(&mut self, error: &StoreError) {
        let (since, wait) = match self.away {
            Some((since, wait)) => (since, (wait * 2).min(RETRY.1)),
            None => {
                tracing::warn!(session = %self.session_id, %error, "the database is away; what is to be written waits");
                (Instant::now(), RETRY.0)
            }
        };
        self.away = Some((since, wait));
    }

    fn begin(&self, entry: Entry, kept: Option<i64>) -> Step<Result<Written, StoreError>> {
        let (app, id, epoch) = (self.app.clone(), self.session_id.clone(), self.epoch);
        let wait = self.away.map(|(_, wait)| wait);
        Box::pin(async move {
            if let Some(wait) = wait {
                sleep(wait).await;
            }
            let written = write(&app, &id, epoch, entry).await;
            if let Some(number) = kept
                && written.as_ref().map_or_else(|error| !error.is_away(), |_| true)
                && let Err(error) = app.spill.forget(number).await
            {
                // Written twice, it counts once.
                tracing::warn!(session = %id, %error, "a copy of what was written stays");
            }
            written
        })
    }
}

async fn write(app: &App, id: &str, epoch: u32, entry: Entry) -> Result<Written, StoreError> {
    let store = &app.store;
    match entry {
        Entry::Owed(Owed::Turns { turns, committed }) => {
            store.save_turns(id, epoch, &turns, committed).await.map(|()| Written::Turns(committed))
        }
        Entry::Owed(Owed::Settle(settle)) => store.settle(&settle).await.map(Written::Settled),
        Entry::Owed(Owed::End { reason, quality, at_ms }) => {
            store.end_session(id, epoch, &reason, quality, at_ms).await.map(|()| Written::End)
        }
        Entry::Exhausted(Shortage { scope, balance, .. }) => {
            store.exhausted(id, scope, balance, unix_ms()).await.map(Written::Exhausted)
        }
        Entry::Attached(attached) => {
            store.set_attached(id, epoch, attached).await.map(|()| Written::Attached)
        }
    }
}
