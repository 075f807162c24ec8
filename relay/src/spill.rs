//! What is to be written while the database is away, kept on the relay's own disk: a crash in that time loses nothing.
//!
//! A small SQLite file beside the relay's data. It is empty but for such times. What a session could not write is written by the session
//! itself when the database is back; what a lost relay left behind, or a session that had to leave, is written by [`Spill::replay`].

use std::path::Path;
use std::time::Duration;

use protocol::{Mark, Role};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::ledger::LedgerRow;
use crate::money::NanoUsd;
use crate::store::{Caps, Latency, Quality, Settle, Store, StoreError, Turn, create_data_dir};

/// The file in the data folder.
pub(crate) const SPILL_FILE: &str = "spill.db";
/// Entries that are kept at most. A session makes one every five seconds and two for each turn.
const ENTRIES_MAX: i64 = 1_000_000;

/// The file. Clones share it.
#[derive(Clone, Debug)]
pub struct Spill(SqlitePool);

/// Something to write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Owed {
    /// Turns, and what is committed with them.
    Turns { turns: Vec<Turn>, committed: Mark },
    /// What was spent.
    Settle(Box<Settle>),
    /// The session's end.
    End { reason: String, quality: Quality, at_ms: i64 },
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
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open { database, source })?;
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS owed (
                id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, epoch INTEGER NOT NULL, entry TEXT NOT NULL
            ) STRICT",
        )
        .execute(&pool)
        .await?;
        Ok(Spill(pool))
    }

    /// Keeps an entry through a crash. Says under which number; `None` if there is no room for more.
    pub(crate) async fn keep(
        &self,
        session_id: &str,
        epoch: u32,
        owed: &Owed,
    ) -> Result<Option<i64>, StoreError> {
        let entry = serde_json::to_string(&Entry::from(owed)).expect("plain structs are JSON");
        let row = sqlx::query(
            "INSERT INTO owed (session_id, epoch, entry) SELECT $1, $2, $3 WHERE (SELECT COUNT(*) FROM owed) < $4
            RETURNING id",
        )
        .bind(session_id)
        .bind(epoch)
        .bind(entry)
        .bind(ENTRIES_MAX)
        .fetch_optional(&self.0)
        .await?;
        Ok(row.map(|row| row.try_get("id")).transpose()?)
    }

    /// Forgets an entry that was written.
    pub(crate) async fn forget(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM owed WHERE id = $1").bind(id).execute(&self.0).await?;
        Ok(())
    }

    /// Writes what sessions that are gone have left behind, in its order. Says how much that was. What the store refuses for good is
    /// dropped with a word in the log: the session was deleted, or goes on elsewhere, where its audio was played again.
    ///
    /// # Errors
    /// When the database is still away: what was not written stays.
    pub async fn replay(&self, store: &dyn Store, lives: impl Fn(&str) -> bool) -> Result<u64, StoreError> {
        let mut written = 0;
        let mut after = 0_i64;
        loop {
            let row = sqlx::query("SELECT * FROM owed WHERE id > $1 ORDER BY id LIMIT 1")
                .bind(after)
                .fetch_optional(&self.0)
                .await?;
            let Some(row) = row else { break };
            after = row.try_get("id")?;
            let (session, epoch): (String, u32) = (row.try_get("session_id")?, row.try_get("epoch")?);
            if lives(&session) {
                continue;
            }
            let entry: String = row.try_get("entry")?;
            let done = match serde_json::from_str::<Entry>(&entry).map(Owed::try_from) {
                Ok(Ok(owed)) => write(store, &session, epoch, owed).await,
                Ok(Err(())) | Err(_) => Err(StoreError::Corrupt {
                    row: format!("entry {after} of {SPILL_FILE}"),
                    column: "entry",
                }),
            };
            match done {
                Ok(()) => written += 1,
                Err(error) if error.is_away() => return Err(error),
                Err(error) => tracing::warn!(%session, %error, "what was owed is not written"),
            }
            self.forget(after).await?;
        }
        if written > 0 {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.0).await?;
        }
        Ok(written)
    }

    /// Lets go of the file.
    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

async fn write(store: &dyn Store, session: &str, epoch: u32, owed: Owed) -> Result<(), StoreError> {
    match owed {
        Owed::Turns { turns, committed } => store.save_turns(session, epoch, &turns, committed).await,
        Owed::Settle(settle) => {
            let settled = store.settle(&settle).await?;
            settled.alerts.iter().for_each(crate::alerts::raised);
            Ok(())
        }
        Owed::End { reason, quality, at_ms } => {
            store.end_session(session, epoch, &reason, quality, at_ms).await
        }
    }
}

/// An entry as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Entry {
    Turns { turns: Vec<TurnEntry>, seq: u32, position: u32 },
    Settle(SettleEntry),
    End { reason: String, rtt_avg_us: u32, rtt_max_us: u32, lost_samples: u64, at_ms: i64 },
}

#[derive(Serialize, Deserialize)]
struct TurnEntry {
    turn: u32,
    role: String,
    text: String,
    start: u32,
    end: u32,
    heard: Option<u32>,
    stt_ms: Option<u32>,
    llm_ms: Option<u32>,
    tts_ms: Option<u32>,
    total_ms: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct SettleEntry {
    session_id: String,
    epoch: u32,
    rows: Vec<RowEntry>,
    metered_position: u32,
    exposed: u64,
    release: bool,
    caps: [u64; 3],
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct RowEntry {
    key: String,
    provider: String,
    item: String,
    unit: String,
    quantity: u64,
    price: u64,
    per: u64,
    price_version: String,
    cost: u64,
    estimated: bool,
}

impl From<&Owed> for Entry {
    fn from(owed: &Owed) -> Entry {
        match owed {
            Owed::Turns { turns, committed } => Entry::Turns {
                turns: turns.iter().map(TurnEntry::from).collect(),
                seq: committed.seq,
                position: committed.position,
            },
            Owed::Settle(settle) => Entry::Settle(SettleEntry {
                session_id: settle.session_id.clone(),
                epoch: settle.epoch,
                rows: settle.rows.iter().map(RowEntry::from).collect(),
                metered_position: settle.metered_position,
                exposed: settle.exposed.get(),
                release: settle.release,
                caps: [settle.caps.session, settle.caps.user_day, settle.caps.account_month]
                    .map(NanoUsd::get),
                at_ms: settle.at_ms,
            }),
            Owed::End { reason, quality, at_ms } => Entry::End {
                reason: reason.clone(),
                rtt_avg_us: quality.rtt_avg_us,
                rtt_max_us: quality.rtt_max_us,
                lost_samples: quality.lost_samples,
                at_ms: *at_ms,
            },
        }
    }
}

impl TryFrom<Entry> for Owed {
    type Error = ();

    fn try_from(entry: Entry) -> Result<Owed, ()> {
        Ok(match entry {
            Entry::Turns { turns, seq, position } => Owed::Turns {
                turns: turns.into_iter().map(Turn::try_from).collect::<Result<_, ()>>()?,
                committed: Mark { seq, position },
            },
            Entry::Settle(settle) => {
                let [session, user_day, account_month] = settle.caps.map(NanoUsd::new);
                Owed::Settle(Box::new(Settle {
                    session_id: settle.session_id,
                    epoch: settle.epoch,
                    rows: settle.rows.into_iter().map(LedgerRow::from).collect(),
                    metered_position: settle.metered_position,
                    exposed: NanoUsd::new(settle.exposed),
                    release: settle.release,
                    caps: Caps { session, user_day, account_month },
                    at_ms: settle.at_ms,
                }))
            }
            Entry::End { reason, rtt_avg_us, rtt_max_us, lost_samples, at_ms } => {
                Owed::End { reason, quality: Quality { rtt_avg_us, rtt_max_us, lost_samples }, at_ms }
            }
        })
    }
}

impl From<&Turn> for TurnEntry {
    fn from(turn: &Turn) -> TurnEntry {
        let Latency { stt_ms, llm_ms, tts_ms, total_ms } = turn.latency;
        let role = match turn.role {
            Role::User => "user",
            Role::Agent => "agent",
        };
        TurnEntry {
            turn: turn.turn,
            role: role.into(),
            text: turn.text.clone(),
            start: turn.start,
            end: turn.end,
            heard: turn.heard,
            stt_ms,
            llm_ms,
            tts_ms,
            total_ms,
        }
    }
}

impl TryFrom<TurnEntry> for Turn {
    type Error = ();

    fn try_from(entry: TurnEntry) -> Result<Turn, ()> {
        let TurnEntry { turn, role, text, start, end, heard, stt_ms, llm_ms, tts_ms, total_ms } = entry;
        let role = match role.as_str() {
            "user" => Role::User,
            "agent" => Role::Agent,
            _ => return Err(()),
        };
        Ok(Turn {
            turn,
            role,
            text,
            start,
            end,
            heard,
            latency: Latency { stt_ms, llm_ms, tts_ms, total_ms },
        })
    }
}

impl From<&LedgerRow> for RowEntry {
    fn from(row: &LedgerRow) -> RowEntry {
        RowEntry {
            key: row.key.clone(),
            provider: row.provider.clone(),
            item: row.item.clone(),
            unit: row.unit.clone(),
            quantity: row.quantity,
            price: row.price.get(),
            per: row.per,
            price_version: row.price_version.clone(),
            cost: row.cost.get(),
            estimated: row.estimated,
        }
    }
}

impl From<RowEntry> for LedgerRow {
    fn from(entry: RowEntry) -> LedgerRow {
        LedgerRow {
            key: entry.key,
            provider: entry.provider,
            item: entry.item,
            unit: entry.unit,
            quantity: entry.quantity,
            price: NanoUsd::new(entry.price),
            per: entry.per,
            price_version: entry.price_version,
            cost: NanoUsd::new(entry.cost),
            estimated: entry.estimated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle() -> Settle {
        let row = LedgerRow {
            key: "echo/listening@0".into(),
            provider: "echo".into(),
            item: "echo/listening".into(),
            unit: "sample".into(),
            quantity: 1_600,
            price: NanoUsd::new(4_800_000),
            per: 960_000,
            price_version: "test".into(),
            cost: NanoUsd::new(8_000),
            estimated: true,
        };
        Settle {
            session_id: "a".into(),
            epoch: 3,
            rows: vec![row],
            metered_position: 1_600,
            exposed: NanoUsd::new(9),
            release: true,
            caps: Caps { session: NanoUsd::new(1), user_day: NanoUsd::new(2), account_month: NanoUsd::MAX },
            at_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn whatever_is_owed_reads_back_as_it_was() {
        let latency = Latency { stt_ms: Some(1), llm_ms: None, tts_ms: Some(3), total_ms: Some(4) };
        let turn =
            |role| Turn {
                turn: 1, role, text: "\u{0}'🎙".into(), start: 2, end: 3, heard: Some(4), latency
            };
        for owed in [
            Owed::Turns {
                turns: vec![turn(Role::User), turn(Role::Agent)],
                committed: Mark { seq: 5, position: 6 },
            },
            Owed::Settle(Box::new(settle())),
            Owed::End {
                reason: "normal".into(),
                quality: Quality { rtt_avg_us: 1, rtt_max_us: 2, lost_samples: u64::MAX },
                at_ms: -1,
            },
        ] {
            let text = serde_json::to_string(&Entry::from(&owed)).expect("JSON");
            let entry: Entry = serde_json::from_str(&text).expect("JSON");
            assert_eq!(Owed::try_from(entry), Ok(owed));
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_there_after_a_crash_until_it_is_forgotten() {
        let dir = tempfile::tempdir().expect("a folder");
        let spill = Spill::open(dir.path()).await.expect("opened");
        let owed = Owed::Settle(Box::new(settle()));
        let first = spill.keep("a", 3, &owed).await.expect("kept").expect("room");
        let second = spill.keep("a", 3, &owed).await.expect("kept").expect("room");
        assert!(first < second);
        spill.forget(first).await.expect("forgotten");
        std::mem::forget(spill);
        let again = Spill::open(dir.path()).await.expect("opened");
        let rows = sqlx::query("SELECT id FROM owed").fetch_all(&again.0).await.expect("read");
        assert_eq!(rows.iter().map(|row| row.get::<i64, _>("id")).collect::<Vec<_>>(), [second]);
    }
}
