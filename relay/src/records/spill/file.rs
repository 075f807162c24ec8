//! The file, and the one task that has it. What many sessions want at once is written in one transaction, so nobody waits for a turn.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};
use tokio::sync::{mpsc, oneshot};

use super::ENTRIES_MAX;
use crate::operations::telemetry::{self, Place};

/// Jobs that are done in one transaction at most.
const BATCH: usize = 256;

/// What somebody wants of the file. Who gets no answer knows that it was not done.
#[derive(Debug)]
pub(super) enum Job {
    /// Keep these entries of a session. Says under which numbers; `None` for those that there was no room for.
    Keep { session_id: String, epoch: u32, entries: Vec<String>, kept: oneshot::Sender<Vec<Option<i64>>> },
    /// Forget the entries of these numbers.
    Forget { numbers: Vec<i64> },
    /// Read so many entries after this number, of one session or of all.
    Read { of: Option<String>, after: i64, limit: u32, rows: oneshot::Sender<Vec<Kept>> },
    /// Let go of the file.
    Close { closed: oneshot::Sender<()> },
}

/// An entry as it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) number: i64,
    pub(super) session_id: String,
    pub(super) epoch: u32,
    pub(super) entry: String,
}

/// The open file.
pub(super) struct File {
    connection: SqliteConnection,
    /// Entries in it.
    count: i64,
}

impl File {
    pub(super) async fn new(mut connection: SqliteConnection) -> Result<File, sqlx::Error> {
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS owed (
                id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, epoch INTEGER NOT NULL, entry TEXT NOT NULL
            ) STRICT;
            CREATE INDEX IF NOT EXISTS owed_by_session ON owed (session_id, id);",
        )
        .execute(&mut connection)
        .await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM owed").fetch_one(&mut connection).await?;
        telemetry::spill_entries(Place::Disk, count.unsigned_abs());
        Ok(File { connection, count })
    }

    /// Does what it is told until nobody can tell it anything any more.
    pub(super) async fn serve(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut closing = None;
        while closing.is_none() && jobs.recv_many(&mut batch, BATCH).await > 0 {
            let (mut writes, mut reads) = (Vec::new(), Vec::new());
            for job in batch.drain(..) {
                match job {
                    Job::Keep { .. } | Job::Forget { .. } => writes.push(job),
                    Job::Read { .. } => reads.push(job),
                    Job::Close { closed } => closing = Some(closed),
                }
            }
            if !writes.is_empty() {
                self.write(writes).await;
            }
            for job in reads {
                self.read(job).await;
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "what is kept for the database could not be closed in order");
        }
        if let Some(closed) = closing {
            let _ = closed.send(());
        }
    }

    async fn write(&mut self, jobs: Vec<Job>) {
        let numbers = match self.try_write(&jobs).await {
            Ok(numbers) => numbers,
            Err(error) => {
                // By hand, because the file is full or broken then: no connection is to stay in the middle of a transaction.
                let _ = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await;
                return tracing::error!(%error, jobs = jobs.len(), "the file for what is owed to the database could not be written");
            }
        };
        for (job, numbers) in jobs.into_iter().zip(numbers) {
            if let Job::Keep { kept, .. } = job {
                let _ = kept.send(numbers);
            }
        }
    }

    async fn try_write(&mut self, jobs: &[Job]) -> Result<Vec<Vec<Option<i64>>>, sqlx::Error> {
        let connection = &mut self.connection;
        let mut count = self.count;
        let mut answers = Vec::with_capacity(jobs.len());
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        for job in jobs {
            let mut numbers = Vec::new();
            match job {
                Job::Keep { session_id, epoch, entries, .. } => {
                    for entry in entries {
                        if count >= ENTRIES_MAX {
                            numbers.push(None);
                            continue;
                        }
                        let done =
                            sqlx::query("INSERT INTO owed (session_id, epoch, entry) VALUES ($1, $2, $3)")
                                .bind(&**session_id)
                                .bind(epoch)
                                .bind(&**entry)
                                .execute(&mut *connection)
                                .await?;
                        count += 1;
                        numbers.push(Some(done.last_insert_rowid()));
                    }
                }
                Job::Forget { numbers } => {
                    for number in numbers {
                        let query = sqlx::query("DELETE FROM owed WHERE id = $1").bind(number);
                        let done = query.execute(&mut *connection).await?;
                        count -= i64::try_from(done.rows_affected()).unwrap_or_default();
                    }
                }
                Job::Read { .. } | Job::Close { .. } => {}
            }
            answers.push(numbers);
        }
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        if count == 0 && self.count > 0 {
            // Nobody needs the pages any more, nor what stood on them.
            let _ = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await;
        }
        self.count = count;
        telemetry::spill_entries(Place::Disk, count.unsigned_abs());
        Ok(answers)
    }

    async fn read(&mut self, job: Job) {
        let Job::Read { of, after, limit, rows } = job else { return };
        let query = match &of {
            None => {
                sqlx::query("SELECT * FROM owed WHERE id > $1 ORDER BY id LIMIT $2").bind(after).bind(limit)
            }
            Some(id) => {
                sqlx::query("SELECT * FROM owed WHERE id > $1 AND session_id = $3 ORDER BY id LIMIT $2")
                    .bind(after)
                    .bind(limit)
                    .bind(&**id)
            }
        };
        let found = query.fetch_all(&mut self.connection).await;
        match found.and_then(|found| found.iter().map(kept).collect()) {
            Ok(found) => {
                let _ = rows.send(found);
            }
            Err(error) => {
                tracing::error!(%error, "the file for what is owed to the database could not be read");
            }
        }
    }
}

fn kept(row: &SqliteRow) -> Result<Kept, sqlx::Error> {
    Ok(Kept {
        number: row.try_get("id")?,
        session_id: text(row, "session_id")?,
        epoch: row.try_get("epoch")?,
        entry: text(row, "entry")?,
    })
}

/// A text as it stands in the file. One that was cut in the middle of a character is empty, which is no entry: it holds up no other.
fn text(row: &SqliteRow, column: &str) -> Result<String, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get_unchecked(column)?;
    Ok(String::from_utf8(bytes).unwrap_or_default())
}
