//! What a session has to write to the store: one thing after another, without the call waiting for it.
//!
//! While the database is away the writes wait, in order, kept on the relay's own disk as well, and are tried again. How long that may go
//! on is the driver's to say. Each write is a task: it lets go of the database however long nobody asks how it goes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use protocol::Mark;
use tokio::time::{Instant, sleep, sleep_until};

use crate::App;
use crate::call::Turn;
use crate::money::budget::Shortage;
use crate::running::{Running, waited};
use crate::spill::Owed;
use crate::store::{Alert, Quality, Settle, Settled, StoreError, unix_ms};

/// Between two tries while the database is away: at first, and at most. Each is drawn from half of it to one and a half, so that many
/// sessions do not come back in the same moment.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// A write that takes longer than this may not come back: what waits is kept on the relay's own disk from then on.
const KEEP_AFTER: Duration = Duration::from_secs(1);

/// Something to write.
#[derive(Clone, Debug)]
enum Entry {
    Owed(Owed),
    Exhausted(Shortage),
    Attached(bool),
    Resumed(NextToken),
}

/// A resume token and the one that it replaces.
#[derive(Clone, Debug)]
pub(super) struct NextToken {
    pub(super) hash: [u8; 32],
    pub(super) replaced: [u8; 32],
    /// How often the session was resumed, with this time.
    pub(super) reconnects: u32,
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
    /// The next resume token, with the number of reconnects.
    Resumed(u32),
    /// That the session has ended.
    End,
}

/// The database said no to something. It goes on with the next.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: StoreError,
    /// Whether it was the session's end: nothing follows it.
    pub(super) is_end: bool,
}

/// An entry of the queue.
struct Waiting {
    /// Counts the session's entries.
    number: u64,
    entry: Entry,
    kept: Kept,
}

/// Whether an entry is kept on the relay's own disk, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    No,
    /// It is being written.
    Asked,
    /// It is there, under this number.
    At(i64),
    /// There was no room for it.
    Failed,
}

/// A write under way.
struct Writing {
    running: Option<Running<Result<Written, StoreError>>>,
    begun: Instant,
}

/// Which entries, and under which numbers they are kept.
type Keeping = Running<(Vec<u64>, Result<Vec<Option<i64>>, StoreError>)>;

/// The queue of a session's writes.
pub(super) struct Journal {
    app: Arc<App>,
    session_id: String,
    epoch: u32,
    /// Oldest first; the first one is being written.
    waiting: VecDeque<Waiting>,
    next_number: u64,
    writing: Option<Writing>,
    /// The write under way takes long.
    slow: bool,
    keeping: Option<Keeping>,
    /// Whether the store knows that there is a connection.
    attached: bool,
    /// Whether the session's end is written, or waits to be.
    ending: bool,
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
            next_number: 0,
            writing: None,
            slow: false,
            keeping: None,
            attached: true,
            ending: false,
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

    /// The next resume token.
    pub(super) fn resumed(&mut self, token: NextToken) {
        self.push(Entry::Resumed(token));
    }

    /// The session has ended, with the name of a close code. The first time counts.
    pub(super) fn end(&mut self, reason: &'static str, quality: Quality) {
        if !std::mem::replace(&mut self.ending, true) {
            self.push(Entry::Owed(Owed::End { reason: reason.to_owned(), quality, at_ms: unix_ms() }));
        }
    }

    /// Whether the session's end is written, or waits to be.
    pub(super) fn is_ending(&self) -> bool {
        self.ending
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
    pub(super) async fn next(&mut self) -> Result<Written, Refused> {
        loop {
            if self.away.is_some() || self.slow {
                self.begin_keeping();
            }
            self.begin_writing();
            let Journal { writing, keeping, slow, .. } = self;
            let due = writing.as_ref().filter(|_| !*slow).map(|writing| writing.begun + KEEP_AFTER);
            let mut nothing = None;
            let write = writing.as_mut().map_or(&mut nothing, |writing| &mut writing.running);
            tokio::select! {
                biased;
                written = waited(write) => {
                    if let Some(answer) = self.handle_written(written) {
                        return answer;
                    }
                }
                kept = waited(keeping) => self.handle_kept(kept),
                () = at(due) => *slow = true,
            }
        }
    }

    /// Keeps everything that waits on the relay's own disk, however long that takes: for when the session leaves.
    pub(super) async fn keep(&mut self) {
        for waiting in &mut self.waiting {
            if waiting.kept == Kept::Failed {
                waiting.kept = Kept::No;
            }
        }
        loop {
            self.begin_keeping();
            if self.keeping.is_none() {
                return;
            }
            let kept = waited(&mut self.keeping).await;
            self.handle_kept(kept);
        }
    }

    /// Gives the relay what is kept nowhere, for when the session leaves and the relay's own disk takes nothing: it holds it in memory
    /// until it is written. Says how many entries, and for how many there was no room.
    pub(super) fn hold_rest(&mut self) -> (usize, usize) {
        let (mut held, mut lost) = (0, 0);
        for waiting in self.waiting.iter().filter(|waiting| !matches!(waiting.kept, Kept::At(_))) {
            if let Entry::Owed(owed) = &waiting.entry {
                let place = if self.app.spill.hold(&self.session_id, self.epoch, owed) {
                    &mut held
                } else {
                    &mut lost
                };
                *place += 1;
            }
        }
        (held, lost)
    }

    fn push(&mut self, entry: Entry) {
        self.waiting.push_back(Waiting { number: self.next_number, entry, kept: Kept::No });
        self.next_number += 1;
    }

    fn begin_writing(&mut self) {
        let (None, Some(first)) = (&self.writing, self.waiting.front()) else { return };
        let (app, id, epoch, entry) =
            (self.app.clone(), self.session_id.clone(), self.epoch, first.entry.clone());
        let wait = self.away.map_or(Duration::ZERO, |(_, wait)| jittered(wait));
        self.slow = false;
        self.writing = Some(Writing {
            begun: Instant::now() + wait,
            running: Some(Running::start(&self.app.tasks, async move {
                sleep(wait).await;
                write(&app, &id, epoch, entry).await
            })),
        });
    }

    /// The answer that is worth telling; `None` while the database is away.
    fn handle_written(&mut self, written: Result<Written, StoreError>) -> Option<Result<Written, Refused>> {
        let begun = self.writing.take().map_or_else(Instant::now, |writing| writing.begun);
        match written {
            Err(error) if error.is_away() => {
                self.handle_away(&error, begun);
                None
            }
            written => {
                if self.away.take().is_some() {
                    tracing::info!(session = %self.session_id, "the database is back");
                }
                let done = self.waiting.pop_front();
                let is_end = matches!(&done, Some(Waiting { entry: Entry::Owed(Owed::End { .. }), .. }));
                if let Some(done) = done {
                    self.dispose(done, written.as_ref().err());
                }
                Some(written.map_err(|error| Refused { error, is_end }))
            }
        }
    }

    /// An entry is written, or refused: what is kept of it may go. Not so what was spent and found no place for a reason that an operator can
    /// mend: that stays until it is written.
    fn dispose(&self, Waiting { entry, kept, .. }: Waiting, refused: Option<&StoreError>) {
        let owed = match (entry, refused) {
            (Entry::Owed(owed @ Owed::Settle(_)), Some(refused)) if refused.is_mendable() => Some(owed),
            _ => None,
        };
        match (owed, kept) {
            (None, Kept::At(number)) => self.app.spill.forget(vec![number]),
            (Some(owed), Kept::No | Kept::Failed) => {
                let (app, id, epoch) = (self.app.clone(), self.session_id.clone(), self.epoch);
                self.app.tasks.spawn(async move {
                    let entries = [owed];
                    let kept = app.spill.keep(&id, epoch, &entries).await;
                    let is_kept = kept.is_ok_and(|places| places.iter().all(Option::is_some));
                    let [owed] = &entries;
                    if !is_kept && !app.spill.hold(&id, epoch, owed) {
                        tracing::error!(session = %id, "what was spent is not in the ledger");
                    }
                });
            }
            // What is still on its way to the disk is forgotten when it is there.
            _ => {}
        }
    }

    fn begin_keeping(&mut self) {
        if self.keeping.is_some() {
            return;
        }
        let (mut numbers, mut all) = (Vec::new(), Vec::new());
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.kept == Kept::No) {
            if let Entry::Owed(owed) = &waiting.entry {
                waiting.kept = Kept::Asked;
                numbers.push(waiting.number);
                all.push(owed.clone());
            }
        }
        if all.is_empty() {
            return;
        }
        let (app, id, epoch) = (self.app.clone(), self.session_id.clone(), self.epoch);
        self.keeping = Some(Running::start(&self.app.tasks, async move {
            let kept = app.spill.keep(&id, epoch, &all).await;
            (numbers, kept)
        }));
    }

    fn handle_kept(&mut self, (numbers, kept): (Vec<u64>, Result<Vec<Option<i64>>, StoreError>)) {
        let places = match kept {
            Ok(places) => places,
            Err(error) => {
                tracing::error!(session = %self.session_id, %error, "what is to be written is kept in memory only");
                vec![None; numbers.len()]
            }
        };
        let mut written = Vec::new();
        for (number, place) in numbers.into_iter().zip(places) {
            match (self.waiting.iter_mut().find(|waiting| waiting.number == number), place) {
                (Some(waiting), Some(place)) => waiting.kept = Kept::At(place),
                (Some(waiting), None) => waiting.kept = Kept::Failed,
                (None, Some(place)) => written.push(place),
                (None, None) => {}
            }
        }
        if !written.is_empty() {
            self.app.spill.forget(written);
        }
    }

    fn handle_away(&mut self, error: &StoreError, begun: Instant) {
        let (since, wait) = match self.away {
            Some((since, wait)) => (since, (wait * 2).min(RETRY.1)),
            None => {
                tracing::warn!(session = %self.session_id, %error, "the database is away; what is to be written waits");
                (begun, RETRY.0)
            }
        };
        self.away = Some((since, wait));
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
        Entry::Resumed(NextToken { hash, replaced, reconnects }) => store
            .rotate_resume(id, epoch, &hash, Some(&replaced), reconnects)
            .await
            .map(|()| Written::Resumed(reconnects)),
    }
}

/// From half of it to one and a half.
pub(super) fn jittered(wait: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    wait / 2 + wait.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
