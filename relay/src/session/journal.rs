//! What a session writes to the store: one entry after another, while the call goes on.
//!
//! The journal is a machine. It says what is to be written next, and is told what became of it. While the database is away, entries wait in
//! order, are kept on the relay's own disk as well, and are tried again. The policy decides how long that may go on.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{CloseCode, Mark, Time};

use super::jitter::Jitter;
use crate::agent::tool::ToolNote;
use crate::call::Turn;
use crate::money::NanoUsd;
use crate::money::budget::{Shortage, Standing};
use crate::money::ledger::{LateCredit, LedgerRow};

/// The first wait between two tries while the database is away, doubled with each. The real wait is drawn between half and one and a half
/// times this, so that many sessions do not come back at the same moment.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two tries while the database is away. The real wait is drawn between half and one and a half times this.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long a write may take until everything that waits is kept on the relay's own disk, since the write may never come back.
const KEEP_AFTER: Duration = Duration::from_secs(1);

/// Something that a session writes to the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Turns, and that everything before `committed` is in the transcript.
    Turns {
        /// The turns. A turn that is stored already is replaced.
        turns: Vec<Turn>,
        /// The mark before which everything is in the transcript.
        committed: Mark,
        /// How many samples that were metered may be played again at most.
        replayable: u32,
    },
    /// What was spent.
    Settlement(Box<Settlement>),
    /// The session's end.
    End {
        /// Why the session ended.
        code: CloseCode,
        /// Round trips and lost audio of the whole session.
        quality: LineQuality,
        /// When the session ended.
        at: Time,
    },
    /// A budget that is used up.
    Exhausted(Shortage),
    /// Whether the session has a connection.
    Attached(bool),
    /// The next resume token.
    Resumed(Box<NextToken>),
    /// How many frames and texts of the client were refused so far.
    Strikes(u32),
    /// A call of a tool, or what has come of one. Calls that are not stored are not made, and a page sends a result again that is not stored: it is
    /// called again by whoever goes on with the session, even if its `tool_result` is committed.
    Tool(Box<ToolNote>),
}

impl Entry {
    /// Whether the entry outlives the session: it is kept on the relay's own disk while the database is away.
    fn is_owed(&self) -> bool {
        match self {
            Entry::Turns { .. } | Entry::Settlement(_) | Entry::End { .. } => true,
            Entry::Exhausted(_)
            | Entry::Attached(_)
            | Entry::Resumed(_)
            | Entry::Strikes(_)
            | Entry::Tool(_) => false,
        }
    }
}

/// What was spent, as the call says it. See [`Output::Settle`](crate::call::Output::Settle).
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// Its number in its session, from 1 over all relays.
    pub number: u32,
    /// The rows. There may be none.
    pub rows: Vec<LedgerRow>,
    /// What the user gets back.
    pub credits: Vec<LateCredit>,
    /// The position up to which audio is metered.
    pub through: u32,
    /// The mark before which everything is committed.
    pub committed: Mark,
    /// How many samples are metered and not committed, and may be played again.
    pub replayable: u32,
    /// What the store counts as spent if this relay is lost.
    pub exposed: NanoUsd,
    /// Whether what is set aside and not spent is given back.
    pub release: bool,
    /// When it was settled.
    pub at: Time,
}

/// A resume token by its hash, and the token that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextToken {
    /// The hash of the token.
    pub hash: [u8; 32],
    /// The hash of the token that it replaces.
    pub replaced: [u8; 32],
    /// How often the session was resumed, this time included.
    pub reconnects: u32,
}

/// Round trips and lost audio of a session's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineQuality {
    /// The longest round trip, in microseconds.
    pub rtt_max_us: u32,
    /// The sum of all round trips, in microseconds.
    pub rtt_sum_us: u64,
    /// How many round trips there were.
    pub rtt_count: u64,
    /// How many samples of the user never came.
    pub lost_samples: u64,
}

/// What the store confirms of an entry that it has written.
#[derive(Clone, Debug, PartialEq)]
pub enum Receipt {
    /// The entry is written.
    Done,
    /// The entry, a settlement, is written.
    Settled {
        /// The sum of the session's rows.
        cost: NanoUsd,
        /// The budgets after this settlement.
        standing: Standing,
    },
}

/// Why the store did not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What follows from the failure.
    pub kind: FailureKind,
    /// The failure in words, for the log.
    pub why: String,
}

/// What follows from a failure of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The database is away, or refuses the write for a reason that an operator can mend. A later try may succeed.
    Away,
    /// Another relay has the session in a later epoch.
    Fenced,
    /// The session was deleted.
    Erased,
    /// The database refuses the write, and no later try helps.
    Refused,
}

/// What happens to a journal.
#[derive(Debug)]
pub(super) enum Input {
    /// Something is to be written, after what waits already.
    Entry(Entry),
    /// The answer to [`Output::Write`].
    Written(Result<Receipt, Failure>),
    /// The answer to [`Output::Keep`]: the number of each entry on the relay's own disk, or `None` where there was no room.
    Kept(Vec<Option<i64>>),
    /// The session leaves this relay, and the database does not answer in time: nothing more is written to it, and everything is kept on the
    /// relay's own disk.
    KeepAll,
    /// The relay's own disk takes no more, or does not answer: what is not on it is held in memory.
    HoldRest,
    /// The time of [`Journal::poll_timeout`] has come.
    Timeout,
}

/// What a journal wants done, or says.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// Write this entry to the store after the wait, then give [`Input::Written`].
    Write { entry: Entry, wait: Duration },
    /// Keep these entries on the relay's own disk, then give [`Input::Kept`].
    Keep(Vec<Entry>),
    /// Remove the entries with these numbers from the relay's own disk: they are written, or refused for good.
    Forget(Vec<i64>),
    /// Hold these entries in memory until they are written.
    Hold(Vec<Entry>),
    /// Tell the policy that this entry was written.
    Written { entry: Entry, receipt: Receipt },
    /// Tell the policy that this entry was refused. The journal goes on with the next one.
    Refused { entry: Entry, failure: Failure },
    /// Tell the policy that the database has been away since then.
    Away { since: Time, why: String },
    /// Tell the policy that the database answers again.
    Back,
}

/// An entry that waits to be written, or is being written.
#[derive(Debug)]
struct Waiting {
    /// The number of the entry, counted from 0 in each session.
    number: u64,
    entry: Entry,
    kept: Kept,
}

/// Whether an entry is kept on the relay's own disk as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    No,
    /// The entry is on its way to the disk.
    Asked,
    /// The entry is on the disk, under this number.
    At(i64),
    /// The disk had no room for the entry.
    Failed,
}

/// The queue of a session's writes.
#[derive(Debug)]
pub(super) struct Journal {
    /// The entries that are not written, oldest first. Only the first one is being written.
    waiting: VecDeque<Waiting>,
    next_number: u64,
    /// When the write under way began, or begins after its wait.
    writing: Option<Time>,
    /// Whether the write under way has taken longer than [`KEEP_AFTER`].
    is_slow: bool,
    /// The numbers of the entries that are on their way to the relay's own disk.
    keeping: Option<Vec<u64>>,
    /// Whether the store knows that there is a connection.
    attached: bool,
    /// Whether the session's end is written, or waits to be.
    is_ending: bool,
    /// Whether nothing more is written to the store, and everything is kept on the relay's own disk.
    is_leaving: bool,
    /// Since when the database has been away, and how long to wait before the next try.
    away: Option<(Time, Duration)>,
    jitter: Jitter,
    outputs: VecDeque<Output>,
}

impl Journal {
    /// The journal of a session that has a connection.
    pub(super) fn new(seed: u64) -> Journal {
        Journal {
            waiting: VecDeque::new(),
            next_number: 0,
            writing: None,
            is_slow: false,
            keeping: None,
            attached: true,
            is_ending: false,
            is_leaving: false,
            away: None,
            jitter: Jitter::new(seed),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one thing that happened. Drain [`Journal::poll_output`] afterwards, then arm one timer for [`Journal::poll_timeout`].
    pub(super) fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Entry(entry) => self.push(entry),
            Input::Written(answer) => self.handle_written(now, answer),
            Input::Kept(places) => self.handle_kept(&places),
            Input::KeepAll => {
                self.is_leaving = true;
                for waiting in self.waiting.iter_mut().filter(|waiting| waiting.kept == Kept::Failed) {
                    waiting.kept = Kept::No;
                }
            }
            Input::HoldRest => self.hold_rest(),
            Input::Timeout => self.is_slow |= self.slow_at().is_some_and(|due| due <= now),
        }
        if self.away.is_some() || self.is_slow || self.is_leaving {
            self.keep();
        }
        if !self.is_leaving {
            self.write(now);
        }
    }

    /// The next thing to do, or `None` until the next input.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.slow_at()
    }

    /// Whether everything is written, and no copy of it is on its way to the relay's own disk: one that came there after the session has gone
    /// would stay, and be written again over what others write meanwhile.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.keeping.is_none()
    }

    /// Whether the session's end is written, or waits to be.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Whether the relay's own disk has taken or refused everything that is owed.
    pub(super) fn is_kept(&self) -> bool {
        let mut owed = self.waiting.iter().filter(|waiting| waiting.entry.is_owed());
        !owed.any(|waiting| matches!(waiting.kept, Kept::No | Kept::Asked))
    }

    /// Puts an entry at the end of the queue, unless it changes nothing.
    fn push(&mut self, entry: Entry) {
        match &entry {
            // The store knows this already, or is about to know the session's end, after which it is of no interest.
            Entry::Attached(attached) if *attached == self.attached || self.is_ending => return,
            Entry::Attached(attached) => self.attached = *attached,
            // A session has one end: the first one that is written.
            Entry::End { .. } if self.is_ending => return,
            Entry::End { .. } => self.is_ending = true,
            Entry::Turns { .. }
            | Entry::Settlement(_)
            | Entry::Exhausted(_)
            | Entry::Resumed(_)
            | Entry::Strikes(_)
            | Entry::Tool(_) => {}
        }
        self.waiting.push_back(Waiting { number: self.next_number, entry, kept: Kept::No });
        self.next_number += 1;
    }

    /// When the write under way will have taken longer than [`KEEP_AFTER`].
    fn slow_at(&self) -> Option<Time> {
        self.writing.filter(|_| !self.is_slow && !self.is_leaving).map(|begun| begun + KEEP_AFTER)
    }

    /// Begins to write the oldest entry, unless that is under way.
    fn write(&mut self, now: Time) {
        let (None, Some(first)) = (self.writing, self.waiting.front()) else { return };
        let wait = self.away.map_or(Duration::ZERO, |(_, wait)| self.jitter.about(wait));
        self.writing = Some(now + wait);
        self.outputs.push_back(Output::Write { entry: first.entry.clone(), wait });
    }

    fn handle_written(&mut self, now: Time, answer: Result<Receipt, Failure>) {
        let begun = self.writing.take().unwrap_or(now);
        self.is_slow = false;
        let answer = match answer {
            Err(Failure { kind: FailureKind::Away, why }) => return self.handle_away(begun, why),
            answer => answer,
        };
        if self.away.take().is_some() {
            self.outputs.push_back(Output::Back);
        }
        let Some(Waiting { entry, kept, .. }) = self.waiting.pop_front() else { return };
        // An entry that is still on its way to the disk is removed as soon as it is there.
        if let Kept::At(number) = kept {
            self.outputs.push_back(Output::Forget(vec![number]));
        }
        self.outputs.push_back(match answer {
            Ok(receipt) => Output::Written { entry, receipt },
            Err(failure) => Output::Refused { entry, failure },
        });
    }

    fn handle_away(&mut self, begun: Time, why: String) {
        self.away = Some(match self.away {
            Some((since, wait)) => (since, (wait * 2).min(RETRY_MAX)),
            None => {
                self.outputs.push_back(Output::Away { since: begun, why });
                (begun, RETRY_FIRST)
            }
        });
    }

    /// Begins to keep everything that is owed and not kept yet, unless some of it is on its way to the disk. What the disk has refused is asked
    /// for again before what came later, so that the disk never has an entry without those before it: it is read in the order in which it was
    /// written.
    fn keep(&mut self) {
        let has_new = self.waiting.iter().any(|waiting| waiting.kept == Kept::No && waiting.entry.is_owed());
        if self.keeping.is_some() || !has_new {
            return;
        }
        let (mut numbers, mut entries) = (Vec::new(), Vec::new());
        for waiting in &mut self.waiting {
            if matches!(waiting.kept, Kept::No | Kept::Failed) && waiting.entry.is_owed() {
                waiting.kept = Kept::Asked;
                numbers.push(waiting.number);
                entries.push(waiting.entry.clone());
            }
        }
        if !entries.is_empty() {
            self.keeping = Some(numbers);
            self.outputs.push_back(Output::Keep(entries));
        }
    }

    fn handle_kept(&mut self, places: &[Option<i64>]) {
        let mut written = Vec::new();
        for (index, number) in self.keeping.take().into_iter().flatten().enumerate() {
            let place = places.get(index).copied().flatten();
            match (self.waiting.iter_mut().find(|waiting| waiting.number == number), place) {
                (Some(waiting), Some(place)) => waiting.kept = Kept::At(place),
                (Some(waiting), None) => waiting.kept = Kept::Failed,
                (None, Some(place)) => written.push(place),
                (None, None) => {}
            }
        }
        if !written.is_empty() {
            self.outputs.push_back(Output::Forget(written));
        }
    }

    /// Gives out what is owed and not on the disk, to be held in memory.
    fn hold_rest(&mut self) {
        let rest = self.waiting.iter().filter(|waiting| !matches!(waiting.kept, Kept::At(_)));
        let rest: Vec<_> =
            rest.map(|waiting| &waiting.entry).filter(|entry| entry.is_owed()).cloned().collect();
        if !rest.is_empty() {
            self.outputs.push_back(Output::Hold(rest));
        }
    }
}

#[cfg(test)]
mod tests;
