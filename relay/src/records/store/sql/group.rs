//! Group commit: one transaction for the work of many callers. SQLite writes one transaction at a time, and waiting for the disk costs more
//! than writing.
//!
//! A caller puts its work in a queue and waits for the one connection that writes. The caller who gets the connection does all the work that
//! has queued up while the transaction before ran, in its order, and commits it together. So no work waits for other work to come, and work
//! that is alone has a transaction alone. Each work has its own outcome: if it is refused, it is undone, and nothing else is. No caller is
//! told that its work is done before it is committed.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::AnyConnection;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connections::{Connections, TRANSACTION_TIMEOUT, Taken, begin, undo};
use super::{Dialect, Durability, StoreError, Tx, Work};

/// How many works one transaction does at most.
const WORKS: usize = 64;
/// How long new work may begin in a transaction. Then it is committed, because its first work waits for the commit, and prompt work for the
/// connection.
const BUDGET: Duration = Duration::from_millis(10);

/// The works that wait for a transaction, in their order. Clones share them.
#[derive(Clone)]
pub(super) struct Group {
    line: Arc<Mutex<Line>>,
    budget: Duration,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    next_number: u64,
}

struct Waiting {
    number: u64,
    durability: Durability,
    work: Box<dyn AnyWork>,
}

/// A work in the queue, whatever the type of its answer.
trait AnyWork: Send {
    fn run<'c>(self: Box<Self>, tx: Tx<'c>) -> BoxFuture<'c, Done>;

    /// Tells the caller that the transaction could not be begun.
    fn refuse(self: Box<Self>, why: &Arc<StoreError>);
}

/// A work with the caller that waits for its answer.
struct QueuedWork<T, W> {
    work: W,
    tell: oneshot::Sender<Result<T, StoreError>>,
}

/// A work that has run.
struct Done {
    /// Whether what the work did is to be committed.
    stays: bool,
    /// Tells the caller the answer, or why the shared transaction failed.
    tell: Tell,
}

type Tell = Box<dyn FnOnce(Option<&Arc<StoreError>>) + Send>;

/// How a transaction ended.
struct Ended {
    failed: Option<Arc<StoreError>>,
    /// Whether the connection is as it was before.
    clean: bool,
}

impl Default for Group {
    fn default() -> Group {
        Group { line: Arc::default(), budget: BUDGET }
    }
}

impl Group {
    /// Runs `work` in a transaction, alone or with other work. If its answer is the inner `Err`, it is undone, and that is the answer. The
    /// future must not be dropped before it ends, because it may be doing the work of other callers.
    pub(super) async fn run<T, W>(
        &self,
        writer: &Connections,
        durability: Durability,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Work<T> + Send + 'static,
    {
        let (tell, mut answer) = oneshot::channel();
        let number = self.queue(durability, Box::new(QueuedWork { work, tell }));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or(Err(StoreError::Unfinished)),
                taken = writer.take() => match taken {
                    Ok(taken) => self.lead(taken).await,
                    Err(error) if self.withdraw(number) => return Err(error),
                    // Another caller has begun this work, and will tell its answer.
                    Err(_) => return answer.await.unwrap_or(Err(StoreError::Unfinished)),
                },
            }
        }
    }

    fn queue(&self, durability: Durability, work: Box<dyn AnyWork>) -> u64 {
        let mut line = self.line();
        let number = line.next_number;
        line.next_number += 1;
        line.waiting.push_back(Waiting { number, durability, work });
        number
    }

    /// Takes a work out of the queue. Says whether it was still there.
    fn withdraw(&self, number: u64) -> bool {
        let mut line = self.line();
        let before = line.waiting.len();
        line.waiting.retain(|waiting| waiting.number != number);
        line.waiting.len() < before
    }

    /// How many works wait for the next transaction, and the highest durability that one of them needs.
    fn look(&self) -> (usize, Durability) {
        let line = self.line();
        let works = line.waiting.iter().take(WORKS);
        let durability = works.clone().map(|waiting| waiting.durability).max();
        (works.len(), durability.unwrap_or(Durability::Process))
    }

    /// Takes the next work, unless it needs a higher durability than the transaction has. Such work came after [`Group::look`], when other
    /// work was withdrawn.
    fn next(&self, durability: Durability) -> Option<Box<dyn AnyWork>> {
        let next = self.line().waiting.pop_front_if(|waiting| waiting.durability <= durability);
        next.map(|waiting| waiting.work)
    }

    /// Does the work that has queued up in one transaction, and hands the connection back.
    async fn lead(&self, mut taken: Taken) {
        let (works, durability) = self.look();
        if works == 0 {
            return taken.hand_back();
        }
        let mut done = Vec::with_capacity(works);
        let transaction = self.transaction(taken.connection(), works, durability, &mut done);
        let ended = timeout(TRANSACTION_TIMEOUT, transaction).await;
        let Ended { failed, clean } = ended.unwrap_or_else(|_| {
            let failed = StoreError::NoAnswer { within: TRANSACTION_TIMEOUT, at_work: false };
            Ended { failed: Some(Arc::new(failed)), clean: false }
        });
        // Callers are told before the connection is free. Otherwise a caller whose answer is ready might just be taking the connection, and
        // would throw it away by leaving in the middle of that.
        for Done { tell, .. } in done {
            tell(failed.as_ref());
        }
        if clean {
            taken.hand_back();
        }
    }

    /// Runs up to `works` works in one transaction. Those that ran are put in `done`, to be told when it is known how the transaction ended.
    async fn transaction(
        &self,
        connection: &mut AnyConnection,
        works: usize,
        durability: Durability,
        done: &mut Vec<Done>,
    ) -> Ended {
        if let Err(error) = begin(connection, Dialect::Sqlite, durability).await {
            let failed = Arc::new(error);
            for work in (0..works).map_while(|_| self.next(durability)) {
                work.refuse(&failed);
            }
            return Ended { failed: None, clean: false };
        }
        let begun = Instant::now();
        for number in 0..works {
            if number > 0 && begun.elapsed() >= self.budget {
                break;
            }
            // Work that is alone is undone with its transaction. The savepoint of work that stays is released together with the next one's, or by
            // the commit, since each command is a way to SQLite's thread and back.
            let shares = works > 1;
            let savepoint = if number == 0 { "SAVEPOINT work" } else { "RELEASE work; SAVEPOINT work" };
            if shares && sqlx::raw_sql(savepoint).execute(&mut *connection).await.is_err() {
                return Ended::broken(connection).await;
            }
            let Some(work) = self.next(durability) else { break };
            let tx = Tx { connection: &mut *connection, dialect: Dialect::Sqlite };
            // If the work panics, its caller is told nothing, and takes the dropped channel for the answer.
            let ran = AssertUnwindSafe(work.run(tx)).catch_unwind().await.ok();
            let stays = ran.as_ref().is_some_and(|ran| ran.stays);
            done.extend(ran);
            if !shares && !stays {
                return Ended { failed: None, clean: undo(connection, "ROLLBACK").await };
            }
            if !stays && !undo(connection, "ROLLBACK TO work").await {
                return Ended::broken(connection).await;
            }
        }
        match sqlx::raw_sql("COMMIT").execute(&mut *connection).await {
            Ok(_) => Ended { failed: None, clean: true },
            Err(error) => {
                Ended { failed: Some(Arc::new(error.into())), clean: undo(connection, "ROLLBACK").await }
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ended {
    /// The end of a transaction that SQLite has ended by itself, as it does when the disk is full, or that does not answer any more. The work
    /// that caused it has the error of its statement. No other work was refused, and all of them may be tried again.
    async fn broken(connection: &mut AnyConnection) -> Ended {
        let clean = undo(connection, "ROLLBACK").await;
        Ended { failed: Some(Arc::new(StoreError::Unfinished)), clean }
    }
}

impl<T, W> AnyWork for QueuedWork<T, W>
where
    T: Send + 'static,
    W: Work<T> + Send + 'static,
{
    fn run<'c>(self: Box<Self>, tx: Tx<'c>) -> BoxFuture<'c, Done> {
        let QueuedWork { work, tell } = *self;
        async move {
            let worked = work(tx).await;
            Done {
                stays: matches!(worked, Ok(Ok(_))),
                tell: Box::new(move |failed| {
                    let answer = match (worked, failed) {
                        (Err(error), _) => Err(error),
                        // Even a refusal may rest on what other work had done in this transaction, and that was undone.
                        (Ok(_), Some(failed)) => Err(StoreError::Shared(Arc::clone(failed))),
                        (Ok(Ok(answer) | Err(answer)), None) => Ok(answer),
                    };
                    let _ = tell.send(answer);
                }),
            }
        }
        .boxed()
    }

    fn refuse(self: Box<Self>, why: &Arc<StoreError>) {
        let _ = self.tell.send(Err(StoreError::Shared(Arc::clone(why))));
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("waiting", &self.line().waiting.len()).finish()
    }
}

#[cfg(test)]
mod tests;
