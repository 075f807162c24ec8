//! What is to be written while the database is away, kept on the relay's own disk: a crash in that time loses nothing.
//!
//! A small SQLite file beside the relay's data. It is empty but for such times. What a session could not write is written by the session
//! itself when the database is back; what a lost relay left behind, or a session that had to leave, is written by [`Spill::replay`].

mod entry;
mod file;
mod held;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};
use protocol::Mark;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::call::Turn;
use crate::operations::alerts;
use crate::records::store::{Quality, Settle, Store, StoreError, create_data_dir};
use entry::Entry;
use file::{File, Job, Kept};
use held::Held;

/// The file in the data folder.
pub(crate) const SPILL_FILE: &str = "spill.db";
/// Entries that are kept at most. A session makes one every five seconds and two for each turn.
const ENTRIES_MAX: i64 = 1_000_000;
/// Wishes that wait for the file at most; whoever has another one waits for a place.
const JOBS: usize = 1_024;
/// Entries that [`Spill::replay`] holds in memory at a time.
const REPLAY_BATCH: u32 = 512;
/// Sessions whose entries it writes side by side. The other connections to the database are left to the sessions that live.
const REPLAY_SIDE_BY_SIDE: usize = 4;

/// The file. Clones share it.
#[derive(Clone, Debug)]
pub struct Spill {
    jobs: mpsc::Sender<Job>,
    /// The task that has the file. It ends when the last clone is gone, or by [`Spill::close`].
    task: TaskTracker,
    /// What a session left behind and the file could not take.
    held: Arc<Mutex<Held>>,
}

/// A way through everything that is kept, in steps.
#[derive(Debug, Default)]
pub(crate) struct Round {
    begun: bool,
    /// Entries up to this number were looked at.
    after: i64,
    /// Sessions one of whose entries the database did not take for now: the rest of theirs waits, too, and keeps its order.
    waiting: HashSet<String>,
    /// Why they wait: the first error that is about the database itself, or else the first one about a row that is damaged.
    error: Option<StoreError>,
    /// Sessions for which the database was found away, since it has answered for one.
    in_vain: AtomicUsize,
    over: bool,
}

impl Round {
    /// What became of it, once there is nothing more to look at.
    ///
    /// # Errors
    /// When something is left for the next round, because the database did not take it.
    pub(crate) fn end(self) -> Result<(), StoreError> {
        self.error.map_or(Ok(()), Err)
    }

    /// Notes that a session waits.
    fn wait(&mut self, session_id: String, error: StoreError) {
        self.waiting.insert(session_id);
        if self.error.as_ref().is_none_or(|before| before.is_damage() && !error.is_damage()) {
            self.error = Some(error);
        }
    }
}

/// Something to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Owed {
    /// Turns, and what is committed with them.
    Turns {
        /// The turns; one that is stored already is replaced.
        turns: Vec<Turn>,
        /// Everything before this frame is in the transcript.
        committed: Mark,
        /// How many samples that were metered may be played again at most.
        replayable: u32,
    },
    /// What was spent.
    Settle(Box<Settle>),
    /// The session's end.
    End {
        /// The name of a close code.
        reason: String,
        /// How well it went.
        quality: Quality,
        /// Milliseconds since 1970.
        at_ms: i64,
    },
}

/// What becomes of an entry after a try to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is written, for its session or for the account of one that was deleted.
    Written,
    /// The database is away, or an operator has to mend something first: it stays, and so does everything of its session that comes after it.
    Waits,
    /// Nobody will ever take it.
    Dropped,
}

impl Owed {
    /// What becomes of it when the store says this.
    #[must_use]
    pub fn fate(done: &Result<(), StoreError>) -> Fate {
        match done {
            Ok(()) | Err(StoreError::Erased { .. }) => Fate::Written,
            Err(error) if error.is_away() || error.is_mendable() => Fate::Waits,
            Err(_) => Fate::Dropped,
        }
    }
}

impl Spill {
    /// Opens the file in the data folder, creates it if it is not there.
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub async fn open(data_dir: &Path) -> Result<Spill, StoreError> {
        let path = data_dir.join(SPILL_FILE);
        let database = path.display().to_string();
        create_data_dir(data_dir).map_err(|source| StoreError::Create { path: database.clone(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("secure_delete", "ON");
        let open = |source| StoreError::Open { database: database.clone(), source };
        let connection = options.connect().await.map_err(open)?;
        let file = File::new(connection).await.map_err(open)?;
        let (jobs, wanted) = mpsc::channel(JOBS);
        let task = TaskTracker::new();
        task.spawn(file.serve(wanted));
        task.close();
        Ok(Spill { jobs, task, held: Arc::default() })
    }

    /// Keeps entries of a session through a crash. Says under which numbers; `None` for those that there is no room for. What is held of the
    /// session in memory comes before them, so the file gets nothing as long as it does not take that.
    pub(crate) async fn keep(
        &self,
        session_id: &str,
        epoch: u32,
        owed: &[Owed],
    ) -> Result<Vec<Option<i64>>, StoreError> {
        self.move_held(|id| id == session_id).await;
        if self.held().has(session_id) {
            return Ok(vec![None; owed.len()]);
        }
        let entries = owed.iter().map(to_text).collect();
        let session_id = session_id.to_owned();
        self.ask(|kept| Job::Keep { session_id, epoch, entries, kept }).await
    }

    /// Holds an entry that the file could not take in memory, until [`Spill::replay`] finds a place for it: in the file or in the database. Says
    /// whether there was room.
    pub(crate) fn hold(&self, session_id: &str, epoch: u32, owed: &Owed) -> bool {
        self.held().add(session_id, epoch, to_text(owed))
    }

    /// Forgets entries that were written, soon. Should a copy stay, it is written twice and counts once.
    pub(crate) fn forget(&self, numbers: Vec<i64>) {
        if self.jobs.try_send(Job::Forget { numbers }).is_err() {
            tracing::warn!("a copy of what was written stays");
        }
    }

    /// Writes what sessions that are gone have left behind, each session's in its order. Says how much that was. What the store refuses
    /// for good is dropped with a word in the log: the session was deleted, or goes on elsewhere, where its audio was played again.
    ///
    /// # Errors
    /// When the database is still away, for all or for some of them, or else when the row of one is damaged: what was not written stays.
    pub async fn replay(&self, store: &dyn Store, lives: impl Fn(&str) -> bool) -> Result<u64, StoreError> {
        self.replay_all(store, None, lives).await
    }

    /// A step of [`Spill::replay`], with a bounded number of entries, so that it holds nobody up; `None` when nothing is left to look at. A session
    /// whose entries have to wait, because its row is locked or damaged, holds up no other.
    ///
    /// # Errors
    /// When the database takes nothing at all: what was not written stays.
    pub(crate) async fn replay_some(
        &self,
        store: &dyn Store,
        lives: impl Fn(&str) -> bool,
        round: &mut Round,
    ) -> Result<Option<u64>, StoreError> {
        self.step(store, None, &lives, round).await
    }

    /// Writes what one session has left behind, before somebody goes on with it: what is written afterwards is refused.
    ///
    /// # Errors
    /// When the database is away or the session's row is damaged: what was not written stays.
    pub(crate) async fn replay_of(&self, store: &dyn Store, session_id: &str) -> Result<u64, StoreError> {
        self.replay_all(store, Some(session_id), |_| false).await
    }

    async fn replay_all(
        &self,
        store: &dyn Store,
        of: Option<&str>,
        lives: impl Fn(&str) -> bool,
    ) -> Result<u64, StoreError> {
        let (mut round, mut written) = (Round::default(), 0);
        while let Some(step) = self.step(store, of, &lives, &mut round).await? {
            written += step;
        }
        round.end().map(|()| written)
    }

    async fn step(
        &self,
        store: &dyn Store,
        of: Option<&str>,
        lives: &impl Fn(&str) -> bool,
        round: &mut Round,
    ) -> Result<Option<u64>, StoreError> {
        if round.over {
            return Ok(None);
        }
        let is_wanted = |id: &str| of.map_or_else(|| !lives(id), |of| of == id);
        if !std::mem::replace(&mut round.begun, true) {
            self.move_held(is_wanted).await;
        }
        let kept = self.pay(store, of, lives, round).await;
        match kept {
            Ok(Some(written)) => return Ok(Some(written)),
            // The database is away, so each session's entries wait in their order.
            Err(error) if !matches!(error, StoreError::Unfinished) => return Err(error),
            Ok(None) | Err(_) => round.over = true,
        }
        let held = self.held().of(|id| is_wanted(id) && !round.waiting.contains(id));
        let written = self.pay_held(store, held, round).await?;
        kept.map(|_| Some(written))
    }

    /// Writes what is held in memory to the file, if it takes it by now: a crash loses nothing from then on.
    async fn move_held(&self, is_wanted: impl Fn(&str) -> bool) {
        let held = self.held().of(is_wanted);
        for entries in by_session(held.into_iter()) {
            let Some(Kept { session_id, epoch, .. }) = entries.first().cloned() else { continue };
            let texts = entries.iter().map(|kept| kept.entry.clone()).collect();
            let kept = self.ask(|kept| Job::Keep { session_id, epoch, entries: texts, kept }).await;
            let Ok(places) = kept else { return };
            let placed = entries.iter().zip(places).filter(|(_, place)| place.is_some());
            let moved = placed.map(|(kept, _)| kept.number).collect();
            self.held().remove(&moved);
        }
    }

    /// Writes what is held in memory to the database, for when the file takes nothing.
    async fn pay_held(
        &self,
        store: &dyn Store,
        held: Vec<Kept>,
        round: &mut Round,
    ) -> Result<u64, StoreError> {
        let mut written = 0;
        for entries in by_session(held.into_iter()) {
            let paid = pay_session(store, entries).await;
            self.held().remove(&paid.done.into_iter().collect());
            written += paid.written;
            match paid.error {
                Some(error) if error.is_damage() => round.wait(paid.session_id, error),
                Some(error) => return Err(error),
                None => {}
            }
        }
        Ok(written)
    }

    /// Writes the entries that come next in the file; `None` when there are no more.
    async fn pay(
        &self,
        store: &dyn Store,
        of: Option<&str>,
        lives: &impl Fn(&str) -> bool,
        round: &mut Round,
    ) -> Result<Option<u64>, StoreError> {
        let read = |after, rows| Job::Read { of: of.map(str::to_owned), after, limit: REPLAY_BATCH, rows };
        let before = round.after;
        let found = self.ask(|rows| read(before, rows)).await?;
        let Some(last) = found.last() else { return Ok(None) };
        let after = last.number;
        let is_left = |id: &str| !lives(id) && !round.waiting.contains(id);
        let gone: HashSet<String> =
            found.into_iter().map(|kept| kept.session_id).filter(|id| is_left(id)).collect();
        round.after = after;
        if gone.is_empty() {
            return Ok(Some(0));
        }
        // Once more: what a session has written itself it has forgotten before it was gone.
        let found = self.ask(|rows| read(before, rows)).await?.into_iter();
        let sessions =
            by_session(found.filter(|kept| kept.number <= after && gone.contains(&kept.session_id)));
        let paid = pay_sessions(store, sessions, &round.in_vain).await;
        let done: Vec<i64> = paid.iter().flat_map(|paid| &paid.done).copied().collect();
        if !done.is_empty() {
            // Waits for a place: an entry that was dropped is not to come again.
            let _ = self.jobs.send(Job::Forget { numbers: done }).await;
        }
        let mut written = 0;
        for paid in paid {
            written += paid.written;
            if let Some(error) = paid.error {
                round.wait(paid.session_id, error);
            }
        }
        // Where one after another finds it away it is the database that is, and not only a row of it.
        match round.error.take_if(|_| round.in_vain.load(Ordering::Relaxed) >= REPLAY_SIDE_BY_SIDE) {
            Some(error) => Err(error),
            None => Ok(Some(written)),
        }
    }

    /// Lets go of the file, after another try to write to it what is held in memory.
    pub(crate) async fn close(&self) {
        self.move_held(|_| true).await;
        let lost = self.held().len();
        if lost > 0 {
            tracing::error!(
                entries = lost,
                "what is owed to the database has no place on this disk: it is lost"
            );
        }
        if self.ask(|closed| Job::Close { closed }).await.is_ok() {
            self.task.wait().await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let (tell, answer) = oneshot::channel();
        self.jobs.send(job(tell)).await.map_err(|_| StoreError::Unfinished)?;
        answer.await.map_err(|_| StoreError::Unfinished)
    }
}

/// What became of a session's entries.
#[derive(Default)]
struct Paid {
    session_id: String,
    written: u64,
    /// The numbers of those that need not be kept any more.
    done: Vec<i64>,
    /// Why the others wait.
    error: Option<StoreError>,
}

impl Paid {
    fn untried(entries: Vec<Kept>) -> Paid {
        let session_id = entries.into_iter().next().map(|kept| kept.session_id).unwrap_or_default();
        Paid { session_id, error: Some(StoreError::Unfinished), ..Paid::default() }
    }
}

/// The entries of each session, in their order.
fn by_session(found: impl Iterator<Item = Kept>) -> Vec<Vec<Kept>> {
    let mut sessions: HashMap<String, Vec<Kept>> = HashMap::new();
    for kept in found {
        sessions.entry(kept.session_id.clone()).or_default().push(kept);
    }
    sessions.into_values().collect()
}

/// Writes the entries of several sessions, some side by side. Where one after another finds the database away the rest is not tried: each would
/// wait for an answer that does not come.
async fn pay_sessions(store: &dyn Store, sessions: Vec<Vec<Kept>>, in_vain: &AtomicUsize) -> Vec<Paid> {
    stream::iter(sessions)
        .map(|entries| async {
            if in_vain.load(Ordering::Relaxed) >= REPLAY_SIDE_BY_SIDE {
                return Paid::untried(entries);
            }
            let paid = pay_session(store, entries).await;
            match &paid.error {
                Some(error) if !error.is_damage() => in_vain.fetch_add(1, Ordering::Relaxed),
                // That a row is damaged is an answer as well.
                Some(_) | None => in_vain.swap(0, Ordering::Relaxed),
            };
            paid
        })
        .buffer_unordered(REPLAY_SIDE_BY_SIDE)
        .collect()
        .await
}

async fn pay_session(store: &dyn Store, entries: Vec<Kept>) -> Paid {
    let session_id = entries.first().map(|kept| kept.session_id.clone()).unwrap_or_default();
    let mut paid = Paid { session_id, ..Paid::default() };
    for Kept { number, session_id, epoch, entry } in entries {
        let owed = match serde_json::from_str::<Entry>(&entry).map(Owed::try_from) {
            Ok(Ok(owed)) => Ok(owed),
            Ok(Err(())) | Err(_) => {
                Err(StoreError::Corrupt { row: format!("entry {number} of {SPILL_FILE}"), column: "entry" })
            }
        };
        let (fate, done) = match owed {
            Ok(owed) => {
                let done = write(store, &session_id, epoch, &owed).await;
                (Owed::fate(&done), done)
            }
            Err(error) => (Fate::Dropped, Err(error)),
        };
        match (fate, done) {
            (Fate::Waits, done) => {
                paid.error = done.err();
                return paid;
            }
            (Fate::Dropped, Err(error)) => {
                tracing::warn!(session = %session_id, %error, "what is owed is not written");
            }
            (Fate::Written | Fate::Dropped, _) => paid.written += 1,
        }
        paid.done.push(number);
    }
    paid
}

async fn write(store: &dyn Store, session: &str, epoch: u32, owed: &Owed) -> Result<(), StoreError> {
    match owed {
        Owed::Turns { turns, committed, replayable } => {
            store.save_kept_turns(session, epoch, turns, *committed, *replayable).await
        }
        Owed::Settle(settle) => {
            let settled = store.settle(settle).await;
            alerts::settled(settle, &settled);
            settled?.alerts.iter().for_each(alerts::raised);
            Ok(())
        }
        Owed::End { reason, quality, at_ms } => {
            store.end_session(session, epoch, reason, *quality, *at_ms).await
        }
    }
}

fn to_text(owed: &Owed) -> String {
    serde_json::to_string(&Entry::from(owed)).expect("plain structs are JSON")
}

#[cfg(test)]
mod tests;
