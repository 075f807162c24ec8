//! API keys. Whether one is good is asked of the database each time, so that revoking one needs to reach nobody.

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::api_key::{API_KEYS_MAX, ApiKey, MadeKey, NewApiKey};
use super::super::audit::DeedKind;
use super::super::query::{Cursor, Page};
use super::audit::{self, Done};
use super::page::Select;
use super::read::Reading;
use super::{Durability, Sql, SqlStore, StoreError, sql};

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

const REVOKE: Sql = sql!("UPDATE api_keys SET revoked_at = " NOW " WHERE id = $1 AND revoked_at IS NULL");

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
        if is_noted == 0 {
            let noted = self.statement(NOTE_USE).bind(&key.id).execute(&self.writer).await;
            if let Err(error) = noted {
                tracing::warn!(%error, key = %key.name, "the use of an API key was not noted");
            }
        }
        Ok(Some(key))
    }

    pub(in crate::records::store) async fn is_api_key_good(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.statement(IS_GOOD).bind(id).fetch_optional(&self.readers).await?.is_some())
    }

    pub(in crate::records::store) async fn api_keys(
        &self,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<ApiKey, Cursor>, StoreError> {
        let columns = sql!("SELECT " API_KEY " FROM api_keys WHERE 1 = 1");
        let mut select = Select::new(self.dialect.pick(columns));
        if let Some(Cursor { at_ms, id }) = after {
            select.push(" AND (created_at, id) < (?, ?)", [(*at_ms).into(), id.into()]);
        }
        select.push(" ORDER BY created_at DESC, id DESC", []);
        let cursor = |key: &ApiKey| Cursor { at_ms: key.created_at_ms, id: key.id.clone() };
        select.page(&self.readers, limit, read, cursor).await
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

fn read(row: &AnyRow) -> Result<ApiKey, StoreError> {
    let row = Reading::new(row, "an API key");
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
