//! What a session has under way in the store, on the relay's own disk and at the identity provider.
//!
//! Each piece of work is a task that goes on by itself ([`Running`]), so that it does not keep a database connection while the session's own
//! task is busy elsewhere. Its result is an input of the session's machine.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Mark, Time};
use tokio::time::sleep;
use tracing::Instrument;

use super::books::{Books, failure};
use super::machine::{Checked, Entry, Failure, Input, Receipt, Reservation};
use super::seconds_left;
use crate::admission::auth::{Identity, Refused};
use crate::call::{Command, NotTold, Turn};
use crate::money::budget::Reserved;
use crate::operations::{alerts, telemetry};
use crate::records::spill::Owed;
use crate::records::store::{Alert, Reserve, Settled, Store, StoreError, unix_ms};
use crate::running::{Running, waited};
use crate::{Admission, App, Live, NanoUsd, Records};

/// The work that a session has under way: at most one piece of each kind.
pub(super) struct Work {
    admission: Arc<Admission>,
    records: Arc<Records>,
    live: Arc<Live>,
    books: Books,
    /// The sum of the session's ledger rows, whichever relay wrote them.
    settled: NanoUsd,
    /// The journal's oldest entry, on its way to the store.
    writing: Option<Running<Result<Wrote, StoreError>>>,
    /// Entries on their way to the relay's own disk.
    keeping: Option<Running<Vec<Option<i64>>>>,
    /// Money that is being set aside.
    reserving: Option<Running<Result<Reserved, StoreError>>>,
    /// A fresh access token that is being checked.
    checking: Option<Running<Result<Identity, Refused>>>,
    /// Commands of administrators that are being taken.
    claiming: Option<Running<Result<Vec<Command>, StoreError>>>,
}

/// What the store says about an entry that it has written.
enum Wrote {
    Done,
    Settled(Settled),
    /// A budget is noted as used up. The alert is there if it was not noted before.
    Exhausted(Option<Alert>),
}

impl Work {
    /// The work of a session that has nothing under way yet, and whose ledger rows cost `settled` so far.
    pub(super) fn new(app: &App, books: Books, settled: NanoUsd) -> Work {
        Work {
            admission: app.admission.clone(),
            records: app.records.clone(),
            live: app.live.clone(),
            books,
            settled,
            writing: None,
            keeping: None,
            reserving: None,
            checking: None,
            claiming: None,
        }
    }

    /// The result of the next piece of work that is done. It waits for ever while nothing is under way. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Input {
        tokio::select! {
            biased;
            wrote = waited(&mut self.writing) => Input::Written(self.receipt(wrote)),
            kept = waited(&mut self.keeping) => Input::Kept(kept),
            reserved = waited(&mut self.reserving) => Input::Reserved(reserved.map_err(|error| failure(&error))),
            checked = waited(&mut self.checking) => Input::Checked(self.checked(checked)),
            claimed = waited(&mut self.claiming) => Input::Commands(self.claimed(claimed)),
        }
    }

    /// Writes an entry to the store after the wait.
    pub(super) fn write(&mut self, entry: Entry, wait: Duration) {
        let (store, id, epoch) =
            (self.records.store.clone(), self.books.session_id.clone(), self.books.epoch);
        let owed = self.owed(&entry);
        self.writing = Some(Running::start(&self.live.tasks, async move {
            sleep(wait).await;
            match (owed, entry) {
                (Some(Owed::Turns { turns, committed, replayable }), _) => {
                    save_turns(&*store, &id, epoch, &turns, committed, replayable).await.map(|()| Wrote::Done)
                }
                (Some(Owed::Settle(settle)), _) => {
                    let settled = store.settle(&settle).await;
                    alerts::settled(&settle, &settled);
                    settled.map(Wrote::Settled)
                }
                (Some(Owed::End { reason, quality, at_ms }), _) => {
                    store.end_session(&id, epoch, &reason, quality, at_ms).await.map(|()| Wrote::Done)
                }
                (None, Entry::Exhausted(shortage)) => store
                    .exhausted(&id, shortage.scope, shortage.balance, unix_ms())
                    .await
                    .map(Wrote::Exhausted),
                (None, Entry::Attached(attached)) => {
                    store.set_attached(&id, epoch, attached).await.map(|()| Wrote::Done)
                }
                (None, Entry::Strikes(strikes)) => {
                    store.note_strikes(&id, epoch, strikes).await.map(|()| Wrote::Done)
                }
                (None, Entry::Resumed(token)) => store
                    .rotate_resume(&id, epoch, &token.hash, Some(&token.replaced), token.reconnects)
                    .await
                    .map(|()| Wrote::Done),
                (None, Entry::Tool(note)) => store.note_tool(&id, epoch, &note).await.map(|()| Wrote::Done),
                (None, Entry::Turns { .. } | Entry::Settlement(_) | Entry::End { .. }) => Ok(Wrote::Done),
            }
        }));
    }

    /// Keeps entries on the relay's own disk.
    pub(super) fn keep(&mut self, entries: &[Entry]) {
        let (spill, id, epoch) =
            (self.records.spill.clone(), self.books.session_id.clone(), self.books.epoch);
        let owed: Vec<_> = entries.iter().filter_map(|entry| self.owed(entry)).collect();
        self.keeping = Some(Running::start(&self.live.tasks, async move {
            spill.keep(&id, epoch, &owed).await.unwrap_or_else(|error| {
                tracing::error!(%error, "what is to be written is kept in memory only");
                vec![None; owed.len()]
            })
        }));
    }

    /// Removes the entries with these numbers from the relay's own disk.
    pub(super) fn forget(&self, numbers: Vec<i64>) {
        self.records.spill.forget(numbers);
    }

    /// Holds entries in memory until they are written, because the relay's own disk does not take them.
    pub(super) fn hold(&self, entries: &[Entry]) {
        let owed = entries.iter().filter_map(|entry| self.owed(entry));
        let held = owed.map(|owed| self.records.spill.hold(&self.books.session_id, self.books.epoch, &owed));
        let (held, lost): (Vec<bool>, Vec<bool>) = held.partition(|is_held| *is_held);
        match (held.len(), lost.len()) {
            (entries, 0) => {
                tracing::warn!(entries, "records are held in memory until there is room for them");
            }
            (_, entries) => tracing::error!(entries, "records are lost"),
        }
    }

    /// Writes what a session leaves behind that is over here, by way of the relay's own disk: there it waits if the database is away.
    pub(super) fn leave_behind(&self, entries: &[Entry]) -> impl Future<Output = ()> + Send + use<> {
        let Books { session_id, epoch, .. } = &self.books;
        let (records, id, epoch) = (self.records.clone(), session_id.clone(), *epoch);
        let owed: Vec<_> = entries.iter().filter_map(|entry| self.owed(entry)).collect();
        async move {
            let spill = &records.spill;
            let kept = spill.keep(&id, epoch, &owed).await.unwrap_or_else(|_| vec![None; owed.len()]);
            for (owed, _) in owed.iter().zip(kept).filter(|(_, place)| place.is_none()) {
                if !spill.hold(&id, epoch, owed) {
                    tracing::error!(session = %id, "what a provider has said afterwards is lost");
                }
            }
            if let Err(error) = spill.replay_of(&*records.store, &id).await {
                tracing::warn!(session = %id, %error, "what a provider has said afterwards is written later");
            }
        }
    }

    /// Sets money aside after the wait.
    pub(super) fn reserve(&mut self, reservation: Reservation, wait: Duration) {
        let (store, id, epoch, caps) =
            (self.records.store.clone(), self.books.session_id.clone(), self.books.epoch, self.books.caps);
        self.reserving = Some(Running::start(&self.live.tasks, async move {
            sleep(wait).await;
            let Reservation { through, spent, exposed } = reservation;
            let at_ms = unix_ms();
            store.reserve(&Reserve { session_id: &id, epoch, through, spent, exposed, caps, at_ms }).await
        }));
    }

    /// Checks a fresh access token after the wait. A check that is still under way is given up.
    pub(super) fn check(&mut self, token: String, wait: Duration) {
        let admission = self.admission.clone();
        self.checking = Some(Running::start(&self.live.tasks, async move {
            sleep(wait).await;
            admission.verifier.check(&token).await
        }));
    }

    /// Takes the commands of administrators that wait for the session.
    pub(super) fn claim_commands(&mut self) {
        let (store, relay) = (self.records.store.clone(), self.live.relay_id.clone());
        let (id, epoch) = (self.books.session_id.clone(), self.books.epoch);
        self.claiming =
            Some(Running::start(
                &self.live.tasks,
                async move { store.claim_commands(&id, &relay, epoch).await },
            ));
    }

    /// Notes what has become of a command, in a task of its own that nobody waits for. What is not noted is unknown.
    pub(super) fn note_command(&self, command: String, told: Result<(), NotTold>) {
        let store = self.records.store.clone();
        let note = async move {
            match store.finish_command(&command, told).await {
                Ok(()) => {
                    let outcome = told.map_or_else(NotTold::name, |()| "done");
                    tracing::info!(%command, outcome, "a command of an administrator");
                }
                Err(error) => {
                    tracing::warn!(%command, %error, "what has become of a command is not noted");
                }
            }
        };
        self.live.tasks.spawn(note.in_current_span());
    }

    /// The commands that were taken. Those of which the store has not said so wait there, or nobody knows what has become of them.
    fn claimed(&self, claimed: Result<Vec<Command>, StoreError>) -> Vec<Command> {
        claimed.unwrap_or_else(|error| {
            tracing::warn!(%error, "commands were not taken");
            Vec::new()
        })
    }

    /// The receipt for what the store has written. Operators are told of alerts that came with it.
    fn receipt(&mut self, wrote: Result<Wrote, StoreError>) -> Result<Receipt, Failure> {
        Ok(match wrote.map_err(|error| failure(&error))? {
            Wrote::Done => Receipt::Done,
            Wrote::Exhausted(alert) => {
                alert.iter().for_each(alerts::raised);
                Receipt::Done
            }
            Wrote::Settled(Settled { cost, standing, alerts }) => {
                alerts.iter().for_each(alerts::raised);
                telemetry::settled(cost.saturating_sub(self.settled));
                self.settled = self.settled.max(cost);
                Receipt::Settled { cost, standing }
            }
        })
    }

    fn checked(&self, checked: Result<Identity, Refused>) -> Checked {
        match checked {
            Ok(identity) => Checked::Good {
                left: seconds_left(identity.expires_at),
                is_denied: self.admission.denials.denies(&identity),
                identity,
            },
            Err(refused) => Checked::Bad {
                cause: refused.cause(),
                why: refused.to_string(),
                retry_after: refused.retry_after,
            },
        }
    }

    /// An entry as the store and the relay's own disk take it, or `None` if it does not outlive the session.
    fn owed(&self, entry: &Entry) -> Option<Owed> {
        self.books.owed(entry, |at| self.unix_ms_at(at))
    }

    /// A time in milliseconds since 1970, as rows have it.
    fn unix_ms_at(&self, at: Time) -> i64 {
        let ago = self.live.now().since(at).as_millis();
        unix_ms() - i64::try_from(ago).unwrap_or_default()
    }
}

/// Writes turns of a running call. If its session was ended from outside they are written all the same, as what a relay has kept, and the call
/// hears that it is over.
async fn save_turns(
    store: &dyn Store,
    id: &str,
    epoch: u32,
    turns: &[Turn],
    committed: Mark,
    replayable: u32,
) -> Result<(), StoreError> {
    match store.save_turns(id, epoch, turns, committed, replayable).await {
        Err(over @ StoreError::NoSession { .. }) => {
            // If this fails because the database is away, both are tried again.
            store.save_kept_turns(id, epoch, turns, committed, replayable).await?;
            Err(over)
        }
        done => done,
    }
}
