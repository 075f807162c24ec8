//! What a session has to write to the store: one thing after another, without the call waiting for it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use protocol::Mark;

use crate::meter::UsageRow;
use crate::store::{Store, StoreError, Turn, unix_ms};

/// Something to write.
#[derive(Debug)]
enum Entry {
    Turns { turns: Vec<Turn>, committed: Mark },
    Usage { row: UsageRow, through: u32 },
    End(&'static str),
}

/// What was written.
#[derive(Debug)]
pub(super) enum Written {
    /// These turns are stored: everything before the mark is in the transcript.
    Turns(Mark),
    /// A line of usage.
    Usage,
    /// That the session has ended.
    End,
}

type Writing = Pin<Box<dyn Future<Output = Result<Written, StoreError>> + Send>>;

/// The queue of a session's writes.
pub(super) struct Journal {
    store: Store,
    session_id: String,
    waiting: VecDeque<Entry>,
    writing: Option<Writing>,
}

impl Journal {
    pub(super) fn new(store: Store, session_id: String) -> Self {
        Journal { store, session_id, waiting: VecDeque::new(), writing: None }
    }

    pub(super) fn turns(&mut self, turns: Vec<Turn>, committed: Mark) {
        self.waiting.push_back(Entry::Turns { turns, committed });
    }

    pub(super) fn usage(&mut self, row: UsageRow, through: u32) {
        self.waiting.push_back(Entry::Usage { row, through });
    }

    /// The session has ended, with the name of a close code.
    pub(super) fn end(&mut self, reason: &'static str) {
        self.waiting.push_back(Entry::End(reason));
    }

    /// Whether everything is written.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.writing.is_none()
    }

    /// Goes on writing; pending for ever when there is nothing to write. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Written, StoreError> {
        if self.writing.is_none() {
            self.writing = self.waiting.pop_front().map(|entry| self.begin(entry));
        }
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let written = writing.await;
        self.writing = None;
        written
    }

    fn begin(&self, entry: Entry) -> Writing {
        let (store, id) = (self.store.clone(), self.session_id.clone());
        Box::pin(async move {
            match entry {
                Entry::Turns { turns, committed } => {
                    store.save_turns(&id, &turns, committed).await.map(|()| Written::Turns(committed))
                }
                Entry::Usage { row, through } => {
                    store.record_usage(&id, &[row], through).await.map(|()| Written::Usage)
                }
                Entry::End(reason) => store.end_session(&id, reason, unix_ms()).await.map(|()| Written::End),
            }
        })
    }
}
