//! API keys. Whether one is good is asked of the database each time, so that revoking one needs to reach nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::api_key::{API_KEYS_MAX, ApiKey, ApiKeyFilter, MadeKey, NewApiKey};
use super::super::audit::DeedKind;
use super::super::query::{Cursor, Page};
use super::audit::{self, Done};
use super::page::Select;
use super::read::{Reading, named};
use super::{Durability, Sql, SqlStore, StoreError, Tx, damage, sql};

/// How long after one try the use of a key is noted again, if it was not.
const NOTE_AGAIN: Duration = Duration::from_secs(60);
/// How many keys are remembered for that: as many as may be good.
const USES_MAX: usize = API_KEYS_MAX as usize;

/// Of a key that was made and whose answer got lost, nobody has the secret: it gets another one.
const MAKE_AGAIN: Sql = sql!(
    "UPDATE api_keys SET hash = $1
    WHERE id = $2 AND name = $3 AND created_by = $4 AND last_used_at IS NULL AND revoked_at IS NULL"
);

const COUNT_GOOD: Sql = sql!(
    "SELECT COUNT(*) AS number FROM api_keys
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > " NOW ")"
);

const MAKE: Sql = sql!(
    "INSERT INTO api_keys (id, name, hash, is_admin, is_reader, created_by, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, " NOW ", $7)
    ON CONFLICT DO NOTHING"
);

const OF_ID: Sql = sql!("SELECT " API_KEY " FROM api_keys WHERE id = $1");

const GOOD: Sql = sql!(
    "SELECT " API_KEY ",
        CAST(CASE WHEN last_used_at > " NOW " - 3600000 THEN 1 ELSE 0 END AS BIGINT) AS noted
    FROM api_keys WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > " NOW ")"
);

const NOTE_USE: Sql = sql!(
    "UPDATE api_keys SET last_used_at = " NOW "
    WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= " NOW " - 3600000)"
);

const IS_GOOD: Sql = sql!(
    "SELECT id FROM api_keys
    WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > " NOW ")"
);

/// Locks the number of the deny-list, so that nobody is denied between the look at the list and the key that is made.
const HOLD_DENIALS: Sql = sql!("SELECT number FROM revisions WHERE name = 'denials'" LOCK);

const IS_DENIED: Sql = sql!(
    "SELECT subject FROM denials
    WHERE kind = 'sub' AND subject = $1 AND by_key = 0 AND (expires_at IS NULL OR expires_at > " NOW ")"
);

const HAS_GOOD: Sql = sql!(
    "SELECT id FROM api_keys
    WHERE created_by = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > " NOW ") LIMIT 1"
);

const GOOD_OF: Sql = sql!(
    "SELECT " API_KEY " FROM api_keys
    WHERE created_by = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > " NOW ") ORDER BY id" LOCK
);

const REVOKE: Sql = sql!("UPDATE api_keys SET revoked_at = " NOW " WHERE id = $1 AND revoked_at IS NULL");

/// The keys whose use was to be noted lately, each with when: a database that takes no writes is not asked to note it with every request.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses(Arc<Mutex<HashMap<String, Instant>>>);

impl SqlStore {
    pub(in crate::records::store) async fn make_api_key(
        &self,
        new: &NewApiKey,
    ) -> Result<MadeKey, StoreError> {
        let new = new.clone();
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                let again = tx.query(MAKE_AGAIN).bind(&new.hash).bind(&new.id).bind(&new.name).bind(&new.by);
                let is_there = again.execute(&mut *tx.connection).await?.rows_affected() > 0;
                if !is_there {
                    tx.query(HOLD_DENIALS).fetch_optional(&mut *tx.connection).await?;
                    let denied =
                        tx.query(IS_DENIED).bind(&new.by).fetch_optional(&mut *tx.connection).await?;
                    if denied.is_some() {
                        return Ok(MadeKey::Denied);
                    }
                    let counted = tx.query(COUNT_GOOD).fetch_one(&mut *tx.connection).await?;
                    let good: i64 = counted.try_get("number")?;
                    if good >= i64::from(API_KEYS_MAX) {
                        return Ok(MadeKey::TooMany);
                    }
                    let make = tx
                        .query(MAKE)
                        .bind(&new.id)
                        .bind(&new.name)
                        .bind(&new.hash)
                        .bind(i64::from(new.is_admin))
                        .bind(i64::from(new.is_reader))
                        .bind(&new.by)
                        .bind(new.expires_at_ms);
                    if make.execute(&mut *tx.connection).await?.rows_affected() == 0 {
                        return Ok(MadeKey::NameTaken);
                    }
                    let what = DeedKind::MakeKey;
                    let done = Done { by: &new.by, what, user_sub: None, subject: &new.name, reason: "" };
                    audit::write(&mut tx, done).await?;
                }
                let made = tx.query(OF_ID).bind(&new.id).fetch_one(&mut *tx.connection).await?;
                Ok(MadeKey::Yes(read(&made)?))
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn api_key(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let row = self.statement(GOOD).bind(hash).fetch_optional(&self.readers).await?;
        let Some(row) = row else { return Ok(None) };
        let key = read(&row)?;
        let is_noted: i64 = row.try_get("noted")?;
        if is_noted == 0 && self.uses.is_due(&key.id, Instant::now()) {
            // Whoever asks waits for nothing that is written, and what is written goes on if they go away.
            let (store, id, name) = (self.clone(), key.id.clone(), key.name.clone());
            self.tasks.spawn(async move {
                let noted = store.statement(NOTE_USE).bind(&id).execute(&store.writer).await;
                if let Err(error) = noted {
                    tracing::warn!(%error, key = %name, "the use of an API key was not noted");
                }
            });
        }
        Ok(Some(key))
    }

    pub(in crate::records::store) async fn has_good_api_keys(&self, maker: &str) -> Result<bool, StoreError> {
        Ok(self.statement(HAS_GOOD).bind(maker).fetch_optional(&self.readers).await?.is_some())
    }

    pub(in crate::records::store) async fn is_api_key_good(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.statement(IS_GOOD).bind(id).fetch_optional(&self.readers).await?.is_some())
    }

    pub(in crate::records::store) async fn api_keys(
        &self,
        filter: &ApiKeyFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<ApiKey, Cursor>, StoreError> {
        let columns = sql!("SELECT " API_KEY " FROM api_keys WHERE 1 = 1");
        let mut select = Select::new(self.dialect.pick(columns));
        select.push_if(" AND created_by = ?", filter.created_by.as_ref());
        if let Some(Cursor { at_ms, id }) = after {
            select.push(" AND (created_at, id) < (?, ?)", [(*at_ms).into(), id.into()]);
        }
        select.push(" ORDER BY created_at DESC, id DESC", []);
        let cursor = |key: &ApiKey| Cursor { at_ms: key.created_at_ms, id: key.id.clone() };
        select.page(&self.readers, damage::API_KEYS, limit, read, cursor).await
    }

    pub(in crate::records::store) async fn revoke_api_key(
        &self,
        id: &str,
        by: &str,
    ) -> Result<bool, StoreError> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                let revoked = tx.query(REVOKE).bind(&id).execute(&mut *tx.connection).await?;
                if revoked.rows_affected() == 0 {
                    return Ok(false);
                }
                let row = tx.query(OF_ID).bind(&id).fetch_one(&mut *tx.connection).await?;
                let (key, what) = (read(&row)?, DeedKind::RevokeKey);
                let done = Done { by: &by, what, user_sub: None, subject: &key.name, reason: "" };
                audit::write(&mut tx, done).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }
}

/// Revokes the keys that a user has made and that are good, for the administrator `by`. There are never more of them than may be good.
pub(super) async fn revoke_all_of(tx: &mut Tx<'_>, maker: &str, by: &str) -> Result<(), StoreError> {
    let rows = tx.query(GOOD_OF).bind(maker).fetch_all(&mut *tx.connection).await?;
    for row in &rows {
        let key = read(row)?;
        tx.query(REVOKE).bind(&key.id).execute(&mut *tx.connection).await?;
        let what = DeedKind::RevokeKey;
        audit::write(tx, Done { by, what, user_sub: None, subject: &key.name, reason: "" }).await?;
    }
    Ok(())
}

impl Uses {
    /// Whether to note now that the key with this id is used. Of more keys than are remembered, the use of those that come last is noted later.
    fn is_due(&self, id: &str, now: Instant) -> bool {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.retain(|_, at| now.saturating_duration_since(*at) < NOTE_AGAIN);
        let is_due = !tried.contains_key(id) && tried.len() < USES_MAX;
        if is_due {
            tried.insert(id.to_owned(), now);
        }
        is_due
    }
}

fn read(row: &AnyRow) -> Result<ApiKey, StoreError> {
    let name = named(row, "API key", "id");
    let row = Reading::new(row, &name);
    Ok(ApiKey {
        id: row.text("id")?,
        name: row.text("name")?,
        is_admin: row.signed("is_admin")? == 1,
        is_reader: row.signed("is_reader")? == 1,
        created_by: row.text("created_by")?,
        created_at_ms: row.signed("created_at")?,
        expires_at_ms: row.maybe_signed("expires_at")?,
        last_used_at_ms: row.maybe_signed("last_used_at")?,
        revoked_at_ms: row.maybe_signed("revoked_at")?,
    })
}
