//! What a session has to write to the store: one thing after another, without the call waiting for it.
//!
//! A machine: it says what is to be written next, and is told what became of it. While the database is away the writes wait, in order,
//! kept on the relay's own disk as well, and are tried again. How long that may go on is the policy's to say.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{CloseCode, Mark, Time};

use super::jitter::Jitter;
use crate::call::Turn;
use crate::money::NanoUsd;
use crate::money::budget::{Shortage, Standing};
use crate::money::ledger::LedgerRow;

/// The first wait between two tries while the database is away. Each is drawn from half of it to one and a half, so that many sessions do
/// not come back in the same moment.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two tries, drawn in the same way.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A write that takes longer than this may not come back: what waits is kept on the relay's own disk from then on.
const KEEP_AFTER: Duration = Duration::from_secs(1);

/// Something to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Turns, and that everything before `committed` is in the transcript.
    Turns {
        /// The turns; one that is stored already is replaced.
        turns: Vec<Turn>,
        /// Everything before this frame is in the transcript.
        committed: Mark,
    },
    /// What was spent.
    Settlement(Settlement),
    /// The session's end.
    End {
        /// Why.
        code: CloseCode,
        /// How well it went.
        quality: LineQuality,
        /// When.
        at: Time,
    },
    /// A budget is used up.
    Exhausted(Shortage),
    /// Whether the session has a connection.
    Attached(bool),
    /// The next resume token.
    Resumed(NextToken),
    /// So many frames and texts were refused.
    Strikes(u32),
}

impl Entry {
    /// Whether the entry outlives the session: it is kept on the relay's own disk while the database is away.
    fn is_owed(&self) -> bool {
        match self {
            Entry::Turns { .. } | Entry::Settlement(_) | Entry::End { .. } => true,
            Entry::Exhausted(_) | Entry::Attached(_) | Entry::Resumed(_) | Entry::Strikes(_) => false,
        }
    }
}

/// What was spent, as the call says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The rows; maybe none.
    pub rows: Vec<LedgerRow>,
    /// The audio before this position is metered.
    pub through: u32,
    /// Everything before this frame is committed.
    pub committed: Mark,
    /// Samples that are metered and not committed, and may be played again.
    pub replayable: u32,
    /// What counts as spent if the relay is lost.
    pub exposed: NanoUsd,
    /// Give back what is set aside and not spent.
    pub release: bool,
    /// When.
    pub at: Time,
}

/// A resume token by its hash, and the one that it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextToken {
    /// Its hash.
    pub hash: [u8; 32],
    /// The hash of the one that it replaces.
    pub replaced: [u8; 32],
    /// How often the session was resumed, with this time.
    pub reconnects: u32,
}

/// Round trips and lost audio of a session's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineQuality {
    /// The longest round trip, in microseconds.
    pub rtt_max_us: u32,
    /// Sum of all round trips, in microseconds.
    pub rtt_sum_us: u64,
    /// How many there were.
    pub rtt_count: u64,
    /// Samples of the user that never came.
    pub lost_samples: u64,
}

/// What the store answers to an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It is written.
    Done,
    /// A settlement is written: the sum of the session's rows, and the budgets after it.
    Settled {
        /// Sum of the session's rows.
        cost: NanoUsd,
        /// The budgets after it.
        standing: Standing,
    },
}

/// The store did not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What follows from it.
    pub kind: FailureKind,
    /// In words, for the log.
    pub why: String,
}

/// What follows from a failure of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The store may do it in a while.
    Away,
    /// The session is another relay's.
    Fenced,
    /// The session was deleted.
    Erased,
    /// The database refuses it, maybe for a reason that an operator can mend.
    Mendable,
    /// Nothing helps.
    Refused,
}

/// What happens to a journal.
#[derive(Debug)]
pub(super) enum Input {
    /// Something is to be written, after what waits already.
    Entry(Entry),
    /// The answer to [`Output::Write`].
    Written(Result<Answer, Failure>),
    /// The answer to [`Output::Keep`]: the number of each entry on the relay's own disk; `None` where there was no room.
    Kept(Vec<Option<i64>>),
    /// The session leaves, and the database does not answer in time: nothing more is written, and everything is kept.
    KeepAll,
    /// What is kept nowhere is to be held in memory: the relay's own disk takes nothing, or does not answer.
    HoldRest,
    /// The time of [`Journal::poll_timeout`] has come.
    Timeout,
}

/// What a journal wants done, or says.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// Write this to the store after so long, then [`Input::Written`].
    Write { entry: Entry, wait: Duration },
    /// Keep these on the relay's own disk, then [`Input::Kept`].
    Keep(Vec<Entry>),
    /// What has these numbers on the relay's own disk is written elsewhere.
    Forget(Vec<i64>),
    /// Keep this until it is written, whatever becomes of the session.
    Rescue(Entry),
    /// Hold these in memory until they are written.
    Hold(Vec<Entry>),
    /// This was written.
    Written { entry: Entry, answer: Answer },
    /// This was refused; the journal goes on with the next.
    Refused { entry: Entry, failure: Failure },
    /// The database is away since then.
    Away { since: Time, why: String },
    /// The database answers again.
    Back,
}

/// An entry of the queue.
#[derive(Debug)]
struct Waiting {
    /// Counts the session's entries.
    number: u64,
    entry: Entry,
    kept: Kept,
}

/// Whether an entry is kept on the relay's own disk, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    No,
    /// It is being written.
    Asked,
    /// It is there, under this number.
    At(i64),
    /// There was no room for it.
    Failed,
}

/// The queue of a session's writes.
#[derive(Debug)]
pub(super) struct Journal {
    /// Oldest first; the first one is being written.
    waiting: VecDeque<Waiting>,
    next_number: u64,
    /// When the write under way began, or begins.
    writing: Option<Time>,
    /// The write under way takes long.
    is_slow: bool,
    /// The numbers of the entries that are on their way to the relay's own disk.
    keeping: Option<Vec<u64>>,
    /// Whether the store knows that there is a connection.
    attached: bool,
    /// Whether the session's end is written, or waits to be.
    is_ending: bool,
    /// Whether nothing more is written, and everything kept.
    is_leaving: bool,
    /// Since when the database is away, and how long to wait before the next try.
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

    /// One thing happened. Drain [`Journal::poll_output`] afterwards, then arm one timer for [`Journal::poll_timeout`].
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

    /// The next thing to do; `None` when there is nothing until the next input.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.slow_at()
    }

    /// Whether everything is written.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether everything that is owed is on the relay's own disk, as far as there was room.
    pub(super) fn is_kept(&self) -> bool {
        let mut owed = self.waiting.iter().filter(|waiting| waiting.entry.is_owed());
        !owed.any(|waiting| matches!(waiting.kept, Kept::No | Kept::Asked))
    }

    fn push(&mut self, entry: Entry) {
        match &entry {
            // The store knows it already, or takes nothing of the kind any more.
            Entry::Attached(attached) if *attached == self.attached || self.is_ending => return,
            Entry::Attached(attached) => self.attached = *attached,
            // The first end counts.
            Entry::End { .. } if self.is_ending => return,
            Entry::End { .. } => self.is_ending = true,
            Entry::Turns { .. }
            | Entry::Settlement(_)
            | Entry::Exhausted(_)
            | Entry::Resumed(_)
            | Entry::Strikes(_) => {}
        }
        self.waiting.push_back(Waiting { number: self.next_number, entry, kept: Kept::No });
        self.next_number += 1;
    }

    /// When the write under way has taken long.
    fn slow_at(&self) -> Option<Time> {
        self.writing.filter(|_| !self.is_slow && !self.is_leaving).map(|begun| begun + KEEP_AFTER)
    }

    /// Begins with the oldest entry, unless it is under way.
    fn write(&mut self, now: Time) {
        let (None, Some(first)) = (self.writing, self.waiting.front()) else { return };
        let wait = self.away.map_or(Duration::ZERO, |(_, wait)| self.jitter.about(wait));
        self.writing = Some(now + wait);
        self.outputs.push_back(Output::Write { entry: first.entry.clone(), wait });
    }

    fn handle_written(&mut self, now: Time, answer: Result<Answer, Failure>) {
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
        self.dispose(&entry, kept, answer.as_ref().err());
        self.outputs.push_back(match answer {
            Ok(answer) => Output::Written { entry, answer },
            Err(failure) => Output::Refused { entry, failure },
        });
    }

    /// An entry is written, or refused: what is kept of it may go. Not so what was spent and found no place for a reason that an operator can
    /// mend: that stays until it is written.
    fn dispose(&mut self, entry: &Entry, kept: Kept, refused: Option<&Failure>) {
        let stays = matches!(entry, Entry::Settlement(_))
            && refused.is_some_and(|failure| failure.kind == FailureKind::Mendable);
        match (stays, kept) {
            (false, Kept::At(number)) => self.outputs.push_back(Output::Forget(vec![number])),
            // What is still on its way to the disk is forgotten when it is there, so it is kept once more.
            (true, Kept::No | Kept::Failed | Kept::Asked) => {
                self.outputs.push_back(Output::Rescue(entry.clone()));
            }
            (true, Kept::At(_)) | (false, Kept::No | Kept::Failed | Kept::Asked) => {}
        }
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

    /// Begins to keep what is not kept, all of it at once.
    fn keep(&mut self) {
        if self.keeping.is_some() {
            return;
        }
        let (mut numbers, mut entries) = (Vec::new(), Vec::new());
        for waiting in &mut self.waiting {
            if waiting.kept == Kept::No && waiting.entry.is_owed() {
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
