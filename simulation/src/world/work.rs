//! What sessions have under way: in the store, on a relay's disk, at the identity provider; and how that fails.

use std::time::Duration;

use ::relay::records::spill::{Fate, Owed};
use ::relay::records::store::{Leases, Reserve, Settled, StoreError};
use ::relay::session::books::{Books, failure};
use ::relay::session::machine::{Checked, Entry, Input, Receipt, Reservation};
use protocol::Time;

use super::World;
use super::session::{Live, named};
use crate::scenario::{Refusing, Span};
use crate::store::Model;

/// Something under way.
pub(super) struct Op {
    /// The session that waits for it; `None` if nobody does.
    pub(super) key: Option<u64>,
    pub(super) relay: usize,
    session: String,
    epoch: u32,
    what: What,
    /// When it is done; `None` once it is.
    apply: Option<Time>,
    /// When that is heard of.
    answer: Time,
    result: Option<Input>,
}

enum What {
    Write { entry: Box<Entry>, owed: Option<Box<Owed>> },
    Keep(Vec<Owed>),
    Reserve(Reservation),
    Check,
    LetGo { relay: String },
}

impl Op {
    pub(super) fn due(&self) -> Time {
        self.apply.unwrap_or(self.answer)
    }

    pub(super) fn is_applied(&self) -> bool {
        self.apply.is_none()
    }

    /// Its relay is killed, and nobody hears of it. A database goes on with it by itself; what goes to the relay's own disk is there at this moment,
    /// or never.
    pub(super) fn orphan(self, now: Time) -> Op {
        let apply = if matches!(self.what, What::Keep(_)) { self.apply.map(|_| now) } else { self.apply };
        Op { key: None, apply, ..self }
    }

    /// The session that waits for it is gone.
    pub(super) fn forget(&mut self, key: u64) {
        if self.key == Some(key) {
            self.key = None;
        }
    }
}

impl World<'_> {
    /// How long the store takes for something.
    pub(super) fn store_time(&mut self) -> Duration {
        let most = self.scenario.store_ms;
        if self.random.percent(80) { self.millis(0, most.min(15)) } else { self.millis(0, most) }
    }

    /// Whether something was done, and the answer is lost.
    pub(super) fn loses_answer(&mut self) -> bool {
        let percent = self.scenario.lost_answers;
        !self.is_aftermath && self.random.percent(percent)
    }

    fn push(&mut self, live: &Live, what: What, wait: Duration) {
        let apply = self.now + wait + self.store_time();
        let answer = apply + self.store_time();
        self.ops.push(Op {
            key: Some(live.key),
            relay: live.relay,
            session: live.id.clone(),
            epoch: live.books.epoch,
            what,
            apply: Some(apply),
            answer,
            result: None,
        });
    }

    pub(super) fn write(&mut self, live: &Live, entry: Entry, wait: Duration) {
        let owed = self.owed(live, &entry).map(Box::new);
        self.push(live, What::Write { entry: Box::new(entry), owed }, wait);
    }

    pub(super) fn keep(&mut self, live: &Live, entries: &[Entry]) {
        let owed = entries.iter().filter_map(|entry| self.owed(live, entry)).collect();
        self.push(live, What::Keep(owed), Duration::ZERO);
    }

    pub(super) fn hold(&mut self, live: &Live, entries: &[Entry]) {
        for entry in entries {
            if let Some(owed) = self.owed(live, entry) {
                self.relays[live.relay].disk.hold(&live.id, live.books.epoch, owed);
            }
        }
    }

    /// Writes what a session leaves behind that is over in its relay, by way of the relay's own disk if the database does not take it, or what came
    /// before it, by now. Says whether it is written.
    pub(super) fn leave_behind(&mut self, relay: usize, books: &Books, entry: &Entry) -> bool {
        let Some(owed) = books.owed(entry, |at| self.unix_ms_at(at)) else { return true };
        let (id, epoch) = (&*books.session_id, books.epoch);
        let (unix_ms, is_away, is_lost) = (self.unix_ms(), self.is_away(), self.loses_answer());
        let is_refused = refused(self.scenario.refuses, self.now);
        if is_refused.is_err() && !is_away {
            self.truth.refused(self.scenario.refuses);
        }
        let is_full = self.scenario.disk_full && !self.is_aftermath;
        let disk = &mut self.relays[relay].disk;
        let done = if is_away || disk.has(id) {
            Err(StoreError::Unfinished)
        } else {
            let store = &mut self.store;
            is_refused.and_then(|()| write_owed(store, unix_ms, id, epoch, &owed).map(drop))
        };
        // What may be written is written once more.
        let done = if is_lost { Err(StoreError::Unfinished) } else { done };
        if Owed::fate(&done) == Fate::Waits {
            if is_full {
                disk.hold(id, epoch, owed);
            } else {
                disk.keep(id, epoch, owed);
            }
        }
        done.is_ok()
    }

    pub(super) fn reserve(&mut self, live: &Live, reservation: Reservation, wait: Duration) {
        self.push(live, What::Reserve(reservation), wait);
    }

    pub(super) fn check_token(&mut self, live: &Live, _token: String, wait: Duration) {
        for op in &mut self.ops {
            if matches!(op.what, What::Check) {
                op.forget(live.key);
            }
        }
        self.push(live, What::Check, wait);
    }

    /// Lets go of a session in the store: another relay waits for that.
    pub(super) fn let_go(&mut self, relay: usize, session: String) {
        let apply = self.now + self.store_time();
        let id = self.relays[relay].id.clone();
        let what = What::LetGo { relay: id };
        let (key, epoch, result) = (None, 0, None);
        self.ops.push(Op { key, relay, session, epoch, what, apply: Some(apply), answer: apply, result });
    }

    fn owed(&self, live: &Live, entry: &Entry) -> Option<Owed> {
        live.books.owed(entry, |at| self.unix_ms_at(at))
    }

    pub(super) fn step_ops(&mut self) -> Result<(), String> {
        while let Some(place) = self.ops.iter().position(|op| op.due() <= self.now) {
            let mut op = self.ops.swap_remove(place);
            if op.apply.take().is_some() {
                self.apply(&mut op);
                self.check_budgets()?;
                if op.key.is_some() {
                    self.ops.push(op);
                }
                continue;
            }
            let (Some(key), Some(input)) = (op.key, op.result) else { continue };
            if let (What::Write { entry, .. }, Input::Written(Ok(_))) = (&op.what, &input)
                && matches!(**entry, Entry::End { .. })
                && let Some(live) = self.live.iter_mut().find(|live| live.key == key)
            {
                live.has_ended = true;
            }
            self.session_input(key, input)?;
        }
        Ok(())
    }

    fn apply(&mut self, op: &mut Op) {
        let (now, unix_ms) = (self.now, self.unix_ms());
        let is_away = self.is_away();
        let is_lost = self.loses_answer();
        if (is_away || is_lost) && self.random.percent(30) {
            // No answer is one, too, after a while.
            op.answer = now + self.millis(500, 10_000);
        }
        let is_refused = refused(self.scenario.refuses, now);
        let id = op.session.clone();
        op.result = Some(match &op.what {
            What::Write { entry, owed } => {
                let written = if is_away {
                    Err(StoreError::Unfinished)
                } else if let (Err(error), true) = (is_refused, owed.is_some()) {
                    self.truth.refused(self.scenario.refuses);
                    Err(error)
                } else {
                    self.apply_entry(&id, op.epoch, entry, owed.as_deref())
                };
                self.say(|world| {
                    let exposed = world.store.exposed(&id);
                    format!("{id} writes {}, {exposed} exposed: {written:?}{}", named(entry), lost(is_lost))
                });
                let written = if is_lost { Err(StoreError::Unfinished) } else { written };
                Input::Written(written.map_err(|error| failure(&error)))
            }
            What::Keep(owed) => {
                self.truth.is_kept = true;
                let is_full = self.scenario.disk_full && !self.is_aftermath;
                let disk = &mut self.relays[op.relay].disk;
                let place = |owed: &Owed| (!is_full).then(|| disk.keep(&id, op.epoch, owed.clone()));
                let places = owed.iter().map(place).collect();
                self.say(|_| format!("{id} keeps {places:?}"));
                Input::Kept(places)
            }
            What::Reserve(Reservation { through, spent, exposed }) => {
                let reserved = if is_away {
                    Err(StoreError::Unfinished)
                } else {
                    let caps = self.scenario.caps;
                    self.store.reserve(&Reserve {
                        session_id: &id,
                        epoch: op.epoch,
                        through: *through,
                        spent: *spent,
                        exposed: *exposed,
                        caps,
                        at_ms: unix_ms,
                    })
                };
                self.say(|_| format!("{id} reserves, {exposed} exposed: {reserved:?}{}", lost(is_lost)));
                let reserved = if is_lost { Err(StoreError::Unfinished) } else { reserved };
                Input::Reserved(reserved.map_err(|error| failure(&error)))
            }
            What::Check => {
                let is_bad = self.random.percent(self.scenario.bad_tokens);
                let retry_after = self.random.percent(50).then(|| Duration::from_secs(1));
                Input::Checked(if is_bad {
                    Checked::Bad { cause: "bad", why: "so".into(), retry_after }
                } else {
                    let (identity, left) = (self.identity(), self.scenario.token);
                    Checked::Good { identity, left, is_denied: false }
                })
            }
            What::LetGo { relay } => {
                if !is_away {
                    self.store.end_leases(unix_ms, Leases::Session { id: &id, relay });
                }
                return;
            }
        });
    }

    fn apply_entry(
        &mut self,
        id: &str,
        epoch: u32,
        entry: &Entry,
        owed: Option<&Owed>,
    ) -> Result<Receipt, StoreError> {
        let now = self.unix_ms();
        if let Some(owed) = owed {
            let written = write_owed(&mut self.store, now, id, epoch, owed);
            // A call whose session was ended from outside hears that it is over, and its words are written all the same.
            if let Err(StoreError::NoSession { .. }) = &written
                && let Owed::Turns { turns, committed, replayable } = owed
            {
                self.store.save_kept_turns(now, id, epoch, turns, *committed, *replayable)?;
                self.truth.outlived.insert(id.to_owned());
            }
            return Ok(match written? {
                Some(Settled { cost, standing, .. }) => Receipt::Settled { cost, standing },
                None => Receipt::Done,
            });
        }
        match entry {
            Entry::Exhausted(shortage) => {
                self.store.exhausted(id, shortage.scope, shortage.balance, now).map(drop)?;
                self.truth.exhausted += 1;
            }
            Entry::Attached(attached) => self.store.set_attached(now, id, epoch, *attached)?,
            Entry::Resumed(token) => {
                self.store.rotate_resume(id, epoch, &token.hash, Some(&token.replaced), token.reconnects)?;
            }
            Entry::Strikes(strikes) => self.store.note_strikes(id, epoch, *strikes)?,
            Entry::Tool(note) => self.store.note_tool(id, epoch, note)?,
            Entry::Turns { .. } | Entry::Settlement(_) | Entry::End { .. } => {}
        }
        Ok(Receipt::Done)
    }
}

/// Writes what is owed to the store.
pub(super) fn write_owed(
    store: &mut Model,
    now: i64,
    session: &str,
    epoch: u32,
    owed: &Owed,
) -> Result<Option<Settled>, StoreError> {
    match owed {
        Owed::Turns { turns, committed, replayable } => {
            store.save_turns(now, session, epoch, turns, *committed, *replayable).map(|()| None)
        }
        Owed::Settle(settle) => store.settle(settle).map(Some),
        Owed::End { reason, quality, at_ms } => {
            store.end_session(session, epoch, reason, *quality, *at_ms).map(|()| None)
        }
    }
}

/// Whether the database says no just now.
pub(super) fn refused(refuses: Option<(Span, Refusing)>, now: Time) -> Result<(), StoreError> {
    match refuses.filter(|(span, _)| span.holds(now)) {
        None => Ok(()),
        Some((_, Refusing::Mendable)) => Err(StoreError::Database(sqlx::Error::RowNotFound)),
        Some((_, Refusing::ForGood)) => {
            Err(StoreError::Damaged { database: "a database".into(), found: "so".into() })
        }
    }
}

fn lost(is_lost: bool) -> &'static str {
    if is_lost { ", and the answer is lost" } else { "" }
}
