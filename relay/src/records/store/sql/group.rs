//! One transaction for many: SQLite writes a transaction at a time, and waiting for the disk costs more than what is written.
//!
//! Whoever has something to write puts it in a line and waits for the connection that writes. Who gets that does all that has queued up while
//! the transaction before ran, in its order, and commits it together. So nobody waits for company, and who is alone has a transaction alone.
//! Each work keeps its own outcome: what is refused is undone, and nothing of its neighbours is. Nobody hears that something is done before
//! it is committed.

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

/// Works that one transaction does at most.
const WORKS: usize = 64;
/// After this time no other work begins in a transaction: the first one waits for its commit, and whatever is prompt for the connection.
const BUDGET: Duration = Duration::from_millis(10);

/// Works in their order. Clones share them.
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
    work: Box<dyn Anyones>,
}

/// A work of which only its own caller knows what it answers.
trait Anyones: Send {
    fn run<'c>(self: Box<Self>, tx: Tx<'c>) -> BoxFuture<'c, Done>;

    /// Tells its caller that it cannot be begun.
    fn refuse(self: Box<Self>, why: &Arc<StoreError>);
}

struct Asked<T, W> {
    work: W,
    tell: oneshot::Sender<Result<T, StoreError>>,
}

/// A work that has run.
struct Done {
    /// Whether what it did is to stay.
    stays: bool,
    /// Tells its caller the answer, or why the transaction failed that it shared.
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
    /// Runs `work` in a transaction, alone or with others; what it answers as `Err` is an answer, too, but nothing of what it did stays. It must
    /// not be dropped before it ends: others may wait for what it does for them.
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
        let number = self.queue(durability, Box::new(Asked { work, tell }));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or(Err(StoreError::Unfinished)),
                taken = writer.take() => match taken {
                    Ok(taken) => self.lead(taken).await,
                    Err(error) if self.withdraw(number) => return Err(error),
                    // Somebody has begun it: it has its own end.
                    Err(_) => return answer.await.unwrap_or(Err(StoreError::Unfinished)),
                },
            }
        }
    }

    fn queue(&self, durability: Durability, work: Box<dyn Anyones>) -> u64 {
        let mut line = self.line();
        let number = line.next_number;
        line.next_number += 1;
        line.waiting.push_back(Waiting { number, durability, work });
        number
    }

    /// Takes a work out of the line. Says whether it was still there.
    fn withdraw(&self, number: u64) -> bool {
        let mut line = self.line();
        let before = line.waiting.len();
        line.waiting.retain(|waiting| waiting.number != number);
        line.waiting.len() < before
    }

    /// How many are there for one transaction, and the most that one of them asks of it.
    fn look(&self) -> (usize, Durability) {
        let line = self.line();
        let works = line.waiting.iter().take(WORKS);
        let durability = works.clone().map(|waiting| waiting.durability).max();
        (works.len(), durability.unwrap_or(Durability::Process))
    }

    /// The next one, unless it asks more of the transaction: it came after [`Group::look`], and others left the line.
    fn next(&self, durability: Durability) -> Option<Box<dyn Anyones>> {
        let next = self.line().waiting.pop_front_if(|waiting| waiting.durability <= durability);
        next.map(|waiting| waiting.work)
    }

    /// Does what has queued up, and lets go of the connection.
    async fn lead(&self, mut taken: Taken) {
        let (works, durability) = self.look();
        if works == 0 {
            return taken.hand_back();
        }
        let mut done = Vec::with_capacity(works);
        let transaction = self.transaction(taken.connection(), works, durability, &mut done);
        let ended = timeout(TRANSACTION_TIMEOUT, transaction).await;
        let Ended { failed, clean } = ended.unwrap_or_else(|_| {
            let failed = StoreError::NoAnswer { within: TRANSACTION_TIMEOUT };
            Ended { failed: Some(Arc::new(failed)), clean: false }
        });
        // Before the connection is free: nobody who has an answer is to be on the way to it, and throw it away in the middle of that.
        for Done { tell, .. } in done {
            tell(failed.as_ref());
        }
        if clean {
            taken.hand_back();
        }
    }

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
            // What is alone is undone with its transaction. What stays is let go of with the next one's savepoint, or by the commit: each command
            // is a way to SQLite's thread and back.
            let shares = works > 1;
            let savepoint = if number == 0 { "SAVEPOINT work" } else { "RELEASE work; SAVEPOINT work" };
            if shares && sqlx::raw_sql(savepoint).execute(&mut *connection).await.is_err() {
                return Ended::broken(connection).await;
            }
            let Some(work) = self.next(durability) else { break };
            let tx = Tx { connection: &mut *connection, dialect: Dialect::Sqlite };
            // Who panics hears nothing, and knows by that.
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
    /// SQLite has ended the transaction by itself, as it does when the disk is full, or does not answer any more. Who caused it has heard why from
    /// the statement; of the others none was refused, and all of them may try again.
    async fn broken(connection: &mut AnyConnection) -> Ended {
        let clean = undo(connection, "ROLLBACK").await;
        Ended { failed: Some(Arc::new(StoreError::Unfinished)), clean }
    }
}

impl<T, W> Anyones for Asked<T, W>
where
    T: Send + 'static,
    W: Work<T> + Send + 'static,
{
    fn run<'c>(self: Box<Self>, tx: Tx<'c>) -> BoxFuture<'c, Done> {
        let Asked { work, tell } = *self;
        async move {
            let worked = work(tx).await;
            Done {
                stays: matches!(worked, Ok(Ok(_))),
                tell: Box::new(move |failed| {
                    let answer = match (worked, failed) {
                        (Err(error), _) => Err(error),
                        // Whatever was answered was answered by what the others had done, and that did not happen.
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
